// SPDX-License-Identifier: GPL-2.0

//! How a volume is encrypted, what is told of that, and what happens without a key.

use crate::{engine::EncryptionKey, kapi::cipher::KeyProof, model::crypt::Geometry};
use kernel::str::CString;

/// How a volume is encrypted.
pub(crate) struct Encryption {
    /// Its key, and what uses it.
    pub(crate) key: EncryptionKey,
    /// What is told of it.
    pub(crate) status: EncryptionStatus,
}

/// What is told of the encryption of a volume.
pub(crate) struct EncryptionStatus {
    /// Which sectors there are, and their tweaks.
    pub(crate) geometry: Geometry,
    /// Whether the disk takes discards.
    pub(crate) discard: bool,
    /// Its key.
    pub(crate) key: KeyStatus,
}

/// What is told of a key.
pub(crate) struct KeyStatus {
    /// What it was named by.
    pub(crate) name: CString,
    /// Its length in bits.
    pub(crate) bits: u32,
    /// What tells it from another. Not for users.
    pub(crate) proof: KeyProof,
    /// Who encrypts with it.
    pub(crate) engine: EngineStatus,
}

/// What is told of who encrypts.
pub(crate) enum EngineStatus {
    /// The module.
    Software {
        /// The implementation of the cipher.
        driver: CString,
        /// Whether that takes many blocks at once.
        is_fast: bool,
    },
    /// Hardware, or the kernel in its place: inline.
    BlkCrypto {
        /// Whether it is hardware.
        is_native: bool,
    },
}

/// What happens to the I/O of a volume that has no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// It is parked.
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
