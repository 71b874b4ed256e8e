// SPDX-License-Identifier: GPL-2.0

//! The guest-facing half: a volume, its disk, and the life of a request.

mod encrypt;
mod serve;
mod volume;

pub(crate) use encrypt::{Encryption, Lock, ShownEncryption, ShownEngine, ShownKey};
pub(crate) use serve::{handed_on_below, is_held_below, level_above, MAX_LEVEL};
pub(crate) use volume::{Change, Changing, Identity, Volume};
