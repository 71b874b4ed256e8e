// SPDX-License-Identifier: GPL-2.0

//! Encryption: each write is sealed on its way down, each read opened on its way up.

use crate::{
    kapi::{
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
    /// Who is below does, with the key that goes down with it.
    Below(Geometry),
}

impl Sealing {
    /// Which sectors there are, and their tweaks.
    pub(crate) fn geometry(&self) -> &Geometry {
        match self {
            Self::Here(seal) => seal.geometry(),
            Self::Below(geometry) => geometry,
        }
    }
}

/// How a volume's data is sealed and opened.
#[pin_data]
pub(crate) struct Seal {
    cipher: Xts,
    geometry: Geometry,
    #[pin]
    reserve: Reserve,
}

impl Seal {
    /// Prepares for sectors of `geometry`. May sleep.
    pub(crate) fn new(cipher: Xts, geometry: Geometry) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            cipher,
            geometry,
            reserve <- Reserve::new(),
        })
    }

    /// Which sectors there are, and their tweaks.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What does it.
    pub(crate) fn cipher(&self) -> &Xts {
        &self.cipher
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
        let (sector, step) = (self.geometry.sector(), self.geometry.step());
        let mut tweak = self.geometry.tweak(at);
        for run in Runs::new(from, sector) {
            match run {
                Run::Whole(mut run) => {
                    while run.length != 0 {
                        let to = to.take(run.length).ok_or(Status::IOERR)?;
                        let from = run.take(to.length);
                        let sealed = self.cipher.seal(&from, &to, sector, tweak, step);
                        sealed.map_err(|_| Status::IOERR)?;
                        tweak = tweak.wrapping_add(self.growth(&from));
                    }
                }
                Run::Torn(pieces, count) => {
                    let from = pieces.get(..count).unwrap_or(&[]);
                    let to = to.take(sector).ok_or(Status::IOERR)?;
                    let sealed = self.cipher.seal_torn(from, &to, sector, tweak);
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
        let (sector, step) = (self.geometry.sector(), self.geometry.step());
        let mut tweak = self.geometry.tweak(at);
        for run in Runs::new(data, sector) {
            match run {
                Run::Whole(run) => {
                    let opened = self.cipher.open(&run, sector, tweak, step);
                    opened.map_err(|_| Status::IOERR)?;
                    tweak = tweak.wrapping_add(self.growth(&run));
                }
                Run::Torn(pieces, count) => {
                    let pieces = pieces.get(..count).unwrap_or(&[]);
                    let opened = self.cipher.open_torn(pieces, sector, tweak);
                    opened.map_err(|_| Status::IOERR)?;
                    tweak = tweak.wrapping_add(step);
                }
                Run::Bad => return Err(Status::IOERR),
            }
        }
        Ok(())
    }
}
