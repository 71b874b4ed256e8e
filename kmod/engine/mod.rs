// SPDX-License-Identifier: GPL-2.0

//! The stages of an I/O's path, and what they know.
//!
//! [`Stages`] has their order, in one function. What they know of one volume hangs from it, and what
//! they share from one [`Common`], which the module makes; there is nothing static here. Whoever
//! owns the disk knows none of these types: see [`crate::io::edge`].

mod encrypt;
mod stages;

pub(crate) use crate::io::data::Common;
pub(crate) use encrypt::{Encryption, EncryptionKey};
pub(crate) use stages::Stages;
