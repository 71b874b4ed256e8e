// SPDX-License-Identifier: GPL-2.0

//! Encryption: each write is encrypted on its path down, each read decrypted on its path up; or both
//! are done inline, by hardware of the backing or by the kernel in its place.

use super::Common;
use crate::{
    io::{
        data::{Bounce, Data, Reserve},
        pdu::Status,
        transform::Transform,
    },
    kapi::{
        cipher::{SectorCipher, Xts},
        inline_key::InlineKey,
        memory::{Memory, Source, Target},
    },
    model::{
        crypt::Geometry,
        runs::{Piece, Run, Runs},
        units::{Bytes, Sectors},
    },
};
use kernel::{prelude::*, sync::Arc};

/// How a volume's data is encrypted.
pub(crate) enum Encryption {
    /// By this stage.
    Here(Pin<KBox<Encryptor>>),
    /// Inline, with a key that goes down with the data.
    Inline(Inline),
}

/// How data is encrypted inline.
pub(crate) struct Inline {
    /// None while it is forgotten.
    pub(super) key: Option<InlineKey>,
    pub(super) geometry: Geometry,
}

/// A key, and what uses it. Wiped when it is dropped, which may sleep.
pub(crate) enum EncryptionKey {
    /// This stage.
    Here(Xts),
    /// Inline encryption.
    Inline(InlineKey),
}

impl Encryption {
    /// Prepares for sectors of `geometry`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        key: EncryptionKey,
        geometry: Geometry,
        common: &Arc<Common>,
    ) -> Result<Self> {
        Ok(match key {
            EncryptionKey::Here(cipher) => Self::Here(KBox::pin_init(
                Encryptor::new(cipher, geometry, common),
                GFP_KERNEL,
            )?),
            EncryptionKey::Inline(key) => Self::Inline(Inline {
                key: Some(key),
                geometry,
            }),
        })
    }

    /// Whether it has no key: nothing can be encrypted or decrypted.
    #[inline]
    pub(crate) fn is_locked(&self) -> bool {
        match self {
            Self::Here(here) => here.cipher.is_none(),
            Self::Inline(inline) => inline.key.is_none(),
        }
    }

    /// Takes the key out of it, to be wiped by whoever drops it.
    pub(crate) fn take_key(&mut self) -> Option<EncryptionKey> {
        match self {
            Self::Here(here) => here
                .as_mut()
                .project()
                .cipher
                .take()
                .map(EncryptionKey::Here),
            Self::Inline(inline) => inline.key.take().map(EncryptionKey::Inline),
        }
    }

    /// Gives it a key that was made for it. One that was made for another is forgotten, and this
    /// stays as it was. May sleep.
    pub(crate) fn give_key(&mut self, key: EncryptionKey) {
        match (self, key) {
            (Self::Here(here), EncryptionKey::Here(cipher)) => {
                *here.as_mut().project().cipher = Some(cipher);
            }
            (Self::Inline(inline), EncryptionKey::Inline(key)) => inline.key = Some(key),
            (Self::Here(_), EncryptionKey::Inline(_))
            | (Self::Inline(_), EncryptionKey::Here(_)) => {}
        }
    }
}

/// Encrypts and decrypts a volume's data.
#[pin_data]
pub(crate) struct Encryptor {
    /// None while the key is forgotten.
    cipher: Option<Xts>,
    geometry: Geometry,
    #[pin]
    reserve: Reserve,
}

impl Encryptor {
    /// Prepares for sectors of `geometry`. May sleep.
    fn new(
        cipher: Xts,
        geometry: Geometry,
        common: &Arc<Common>,
    ) -> impl PinInit<Self, Error> + use<> {
        let reserve = Reserve::new(common);
        try_pin_init!(Self {
            cipher: Some(cipher),
            geometry,
            reserve <- reserve,
        })
    }

    /// By how much the tweak grows over `piece`.
    #[inline]
    fn growth<Access>(&self, piece: &Piece<Memory<'_, Access>>) -> u64 {
        self.geometry.growth(Bytes(piece.length.into()))
    }
}

impl Transform for Encryptor {
    fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    #[inline]
    fn encrypt(
        &self,
        at: Sectors,
        from: Data<'_, Source>,
        to: &mut Bounce<'_>,
    ) -> Result<(), Status> {
        let cipher = self.cipher.as_ref().ok_or(Status::IOERR)?;
        let (sector, step) = (self.geometry.sector(), self.geometry.step());
        let mut tweak = self.geometry.tweak(at);
        for run in Runs::new(from, sector) {
            match run {
                Run::Whole(mut run) => {
                    while run.length != 0 {
                        let to = to.take(run.length).ok_or(Status::IOERR)?;
                        let from = run.take(to.length);
                        let done = cipher.encrypt(&from, &to, sector, tweak, step);
                        done.map_err(|_| Status::IOERR)?;
                        tweak = tweak.wrapping_add(self.growth(&from));
                    }
                }
                Run::Scattered(pieces, count) => {
                    let from = pieces.get(..count).unwrap_or(&[]);
                    let to = to.take(sector).ok_or(Status::IOERR)?;
                    let done = cipher.encrypt_scattered(from, &to, sector, tweak);
                    done.map_err(|_| Status::IOERR)?;
                    tweak = tweak.wrapping_add(step);
                }
                Run::Bad => return Err(Status::IOERR),
            }
        }
        Ok(())
    }

    #[inline]
    fn decrypt(&self, at: Sectors, data: Data<'_, Target>) -> Result<(), Status> {
        let cipher = self.cipher.as_ref().ok_or(Status::IOERR)?;
        let (sector, step) = (self.geometry.sector(), self.geometry.step());
        let mut tweak = self.geometry.tweak(at);
        for run in Runs::new(data, sector) {
            match run {
                Run::Whole(run) => {
                    let done = cipher.decrypt(&run, sector, tweak, step);
                    done.map_err(|_| Status::IOERR)?;
                    tweak = tweak.wrapping_add(self.growth(&run));
                }
                Run::Scattered(pieces, count) => {
                    let pieces = pieces.get(..count).unwrap_or(&[]);
                    let done = cipher.decrypt_scattered(pieces, sector, tweak);
                    done.map_err(|_| Status::IOERR)?;
                    tweak = tweak.wrapping_add(step);
                }
                Run::Bad => return Err(Status::IOERR),
            }
        }
        Ok(())
    }
}
