// SPDX-License-Identifier: GPL-2.0

//! The stages of an I/O's way, and what they know.
//!
//! Two stages exist so far: [`seal`], which encrypts unless who is below does, and [`lower`], which
//! sends a request to its backing. The edge to the front is [`submit`]: the front gives it requests,
//! and what they are to be served by.

mod lower;
mod seal;

pub(crate) use lower::submit;
pub(crate) use seal::{Seal, Sealing, SealingKey};
