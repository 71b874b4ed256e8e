// SPDX-License-Identifier: GPL-2.0

//! The pure logic of stor, compiled for the host: the same source as in the module.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[path = "mod.rs"]
mod model;

pub use model::*;
