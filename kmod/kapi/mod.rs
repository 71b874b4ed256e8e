// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers for what the `kernel` crate lacks.
//!
//! This is where `unsafe` lives. What is here knows the kernel and [`super::model`]'s units, and
//! nothing of volumes or of the interface's commands.

pub(crate) mod bdev;
mod bio;
pub(crate) mod blkcrypto;
pub(crate) mod cipher;
pub(crate) mod data;
pub(crate) mod disk;
mod finish;
pub(crate) mod gate;
pub(crate) mod genl;
pub(crate) mod global;
pub(crate) mod limits;
pub(crate) mod lower;
mod message;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod stat;
pub(crate) mod sys;
pub(crate) mod sysfs;
mod trace;
pub(crate) mod transform;

/// Version of the module, as `modinfo` shows it.
pub(crate) fn version() -> &'static str {
    // Kbuild has it from tools/Cargo.toml.
    env!("STOR_VERSION")
}
