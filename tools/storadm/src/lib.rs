// SPDX-License-Identifier: GPL-2.0

//! The parts of `storadm`: a library, so that documentation and tests are made from the same
//! definitions as the tool.

#![forbid(unsafe_code)]

pub mod cli;
mod commands;
pub mod duration;
pub mod failure;
pub mod json;
pub mod luks;
pub mod output;
pub mod passphrase;
mod run;
pub mod secret;
pub mod size;
pub mod stat;
pub mod table;
pub mod time;
pub mod top;
mod wait;

pub use run::run;
