// SPDX-License-Identifier: GPL-2.0

//! Who encrypts a volume.

use crate::kapi::{blkcrypto::InlineKey, cipher::Xts};

/// Who encrypts a new volume, with its key.
pub(crate) enum Engine {
    /// The module.
    Software(Xts),
    /// Who is below.
    BlkCrypto(InlineKey),
}

/// What is told of who encrypts a volume.
pub(crate) enum ShownEngine<'a> {
    /// The module.
    Software {
        /// The implementation of the cipher.
        driver: &'a [u8],
        /// Whether that takes many blocks at once.
        is_fast: bool,
    },
    /// Who is below.
    BlkCrypto {
        /// Whether it is hardware.
        native: bool,
    },
}
