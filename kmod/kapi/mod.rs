// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers for what the `kernel` crate lacks.
//!
//! Beside [`crate::io`] this is where `unsafe` lives. What is here knows the kernel and
//! [`super::model`]'s units, and nothing of volumes, of gates or of what is counted.

pub(crate) mod bdev;
pub(crate) mod cipher;
pub(crate) mod genl;
pub(crate) mod global;
pub(crate) mod inline_key;
pub(crate) mod memory;
mod message;
pub(crate) mod sys;

/// Version of the module, as `modinfo` shows it.
pub(crate) fn version() -> &'static str {
    // Kbuild has it from tools/Cargo.toml.
    env!("STOR_VERSION")
}
