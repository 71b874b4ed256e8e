// SPDX-License-Identifier: GPL-2.0

//! How a volume is encrypted, what is told of that, and what happens without a key.

use crate::{engine::SealingKey, kapi::cipher::KeyProof, model::crypt::Geometry};
use kernel::str::CString;

/// How a volume is encrypted.
pub(crate) struct Encryption {
    /// Its key, with whoever uses it.
    pub(crate) key: SealingKey,
    /// What is told of it.
    pub(crate) shown: ShownEncryption,
}

/// What is told of the encryption of a volume.
pub(crate) struct ShownEncryption {
    /// Which sectors there are, and their tweaks.
    pub(crate) geometry: Geometry,
    /// Whether the disk takes discards.
    pub(crate) discard: bool,
    /// Its key.
    pub(crate) key: ShownKey,
}

/// What is told of a key.
pub(crate) struct ShownKey {
    /// What it was named by.
    pub(crate) name: CString,
    /// Its length in bits.
    pub(crate) bits: u32,
    /// What tells it from another. Not for users.
    pub(crate) proof: KeyProof,
    /// Who encrypts with it.
    pub(crate) engine: ShownEngine,
}

/// What is told of who encrypts.
pub(crate) enum ShownEngine {
    /// The module.
    Software {
        /// The implementation of the cipher.
        driver: CString,
        /// Whether that takes many blocks at once.
        is_fast: bool,
    },
    /// Who is below.
    BlkCrypto {
        /// Whether it is hardware.
        is_native: bool,
    },
}

/// What happens to the I/O of a volume that has no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// It waits.
    Hold = 1,
    /// It fails.
    Fail = 2,
}

impl Lock {
    /// Of its number; `None` of any other.
    pub(super) fn of(raw: u32) -> Option<Self> {
        [Self::Hold, Self::Fail]
            .into_iter()
            .find(|&lock| lock as u32 == raw)
    }
}
