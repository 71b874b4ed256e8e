// SPDX-License-Identifier: GPL-2.0

//! Encryption: each write is sealed on its way down, each read opened on its way up.

use crate::{
    kapi::{
        blkcrypto::InlineKey,
        cipher::{SectorCipher, Xts},
        data::{Bounce, Data, Memory, Reserve, Source, Target},
        request::Status,
        transform::Transform,
    },
    model::{
        crypt::Geometry,
        runs::{Piece, Run, Runs},
        units::{Bytes, Sectors},
    },
};
use kernel::prelude::*;

/// Who seals and opens a volume's data.
pub(crate) enum Sealing {
    /// This stage does.
    Here(Pin<KBox<Seal>>),
    /// Who is below does, with a key that goes down with the data.
    Below(Handed),
}

/// How data is handed on to who encrypts it below.
pub(crate) struct Handed {
    /// None while it is forgotten.
    pub(super) key: Option<InlineKey>,
    pub(super) geometry: Geometry,
}

/// A key, with whoever uses it. Wiped when it is dropped, which may sleep.
pub(crate) enum SealingKey {
    /// This stage.
    Here(Xts),
    /// Who is below.
    Below(InlineKey),
}

impl Sealing {
    /// Prepares for sectors of `geometry`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(key: SealingKey, geometry: Geometry) -> Result<Self> {
        Ok(match key {
            SealingKey::Here(cipher) => {
                Self::Here(KBox::pin_init(Seal::new(cipher, geometry), GFP_KERNEL)?)
            }
            SealingKey::Below(key) => Self::Below(Handed {
                key: Some(key),
                geometry,
            }),
        })
    }

    /// Whether this stage does it.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    /// Whether it has no key: nothing can be sealed or opened.
    #[inline]
    pub(crate) fn is_locked(&self) -> bool {
        match self {
            Self::Here(seal) => seal.cipher.is_none(),
            Self::Below(handed) => handed.key.is_none(),
        }
    }

    /// Takes the key out of it, to be wiped by whoever drops it.
    pub(crate) fn take_key(&mut self) -> Option<SealingKey> {
        match self {
            Self::Here(seal) => seal.as_mut().project().cipher.take().map(SealingKey::Here),
            Self::Below(handed) => handed.key.take().map(SealingKey::Below),
        }
    }

    /// Gives it a key that was made for it. One that was made for another way is forgotten, and this
    /// stays as it was. May sleep.
    pub(crate) fn give_key(&mut self, key: SealingKey) {
        match (self, key) {
            (Self::Here(seal), SealingKey::Here(cipher)) => {
                *seal.as_mut().project().cipher = Some(cipher);
            }
            (Self::Below(handed), SealingKey::Below(key)) => handed.key = Some(key),
            (Self::Here(_), SealingKey::Below(_)) | (Self::Below(_), SealingKey::Here(_)) => {}
        }
    }
}

/// How a volume's data is sealed and opened.
#[pin_data]
pub(crate) struct Seal {
    /// None while the key is forgotten.
    cipher: Option<Xts>,
    geometry: Geometry,
    #[pin]
    reserve: Reserve,
}

impl Seal {
    /// Prepares for sectors of `geometry`. May sleep.
    fn new(cipher: Xts, geometry: Geometry) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            cipher: Some(cipher),
            geometry,
            reserve <- Reserve::new(),
        })
    }

    /// By how much the tweak grows over `piece`.
    #[inline]
    fn growth<Access>(&self, piece: &Piece<Memory<'_, Access>>) -> u64 {
        self.geometry.growth(Bytes(piece.length.into()))
    }
}

impl Transform for Seal {
    fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    #[inline]
    fn seal(&self, at: Sectors, from: Data<'_, Source>, mut to: Bounce<'_>) -> Result<(), Status> {
        let cipher = self.cipher.as_ref().ok_or(Status::IOERR)?;
        let (sector, step) = (self.geometry.sector(), self.geometry.step());
        let mut tweak = self.geometry.tweak(at);
        for run in Runs::new(from, sector) {
            match run {
                Run::Whole(mut run) => {
                    while run.length != 0 {
                        let to = to.take(run.length).ok_or(Status::IOERR)?;
                        let from = run.take(to.length);
                        let sealed = cipher.seal(&from, &to, sector, tweak, step);
                        sealed.map_err(|_| Status::IOERR)?;
                        tweak = tweak.wrapping_add(self.growth(&from));
                    }
                }
                Run::Torn(pieces, count) => {
                    let from = pieces.get(..count).unwrap_or(&[]);
                    let to = to.take(sector).ok_or(Status::IOERR)?;
                    let sealed = cipher.seal_torn(from, &to, sector, tweak);
                    sealed.map_err(|_| Status::IOERR)?;
                    tweak = tweak.wrapping_add(step);
                }
                Run::Bad => return Err(Status::IOERR),
            }
        }
        // What is left would go down as it is.
        if to.take(1).is_some() {
            return Err(Status::IOERR);
        }
        Ok(())
    }

    #[inline]
    fn open(&self, at: Sectors, data: Data<'_, Target>) -> Result<(), Status> {
        let cipher = self.cipher.as_ref().ok_or(Status::IOERR)?;
        let (sector, step) = (self.geometry.sector(), self.geometry.step());
        let mut tweak = self.geometry.tweak(at);
        for run in Runs::new(data, sector) {
            match run {
                Run::Whole(run) => {
                    let opened = cipher.open(&run, sector, tweak, step);
                    opened.map_err(|_| Status::IOERR)?;
                    tweak = tweak.wrapping_add(self.growth(&run));
                }
                Run::Torn(pieces, count) => {
                    let pieces = pieces.get(..count).unwrap_or(&[]);
                    let opened = cipher.open_torn(pieces, sector, tweak);
                    opened.map_err(|_| Status::IOERR)?;
                    tweak = tweak.wrapping_add(step);
                }
                Run::Bad => return Err(Status::IOERR),
            }
        }
        Ok(())
    }
}
