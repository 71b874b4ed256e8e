// SPDX-License-Identifier: GPL-2.0

//! The guest-facing half: what a volume is, how it changes, and what is told of it.

mod encryption;
mod status;
mod volume;

pub(crate) use encryption::{Encryption, EncryptionStatus, EngineStatus, KeyStatus, Lock};
pub(crate) use status::State;
pub(crate) use volume::{Change, Changing, Identity, New, Volume};
