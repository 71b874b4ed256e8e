// SPDX-License-Identifier: GPL-2.0

//! The stages of an I/O's way, and what they know.
//!
//! One stage exists so far: [`lower`], which sends a request to its backing. The edge to the front
//! is [`submit`]: the front gives it requests, and what they are to be served by.

mod lower;

pub(crate) use lower::submit;
