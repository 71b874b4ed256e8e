// SPDX-License-Identifier: GPL-2.0

//! The guest-facing half: a volume, its disk, and the life of a request.

mod encrypt;
mod volume;

pub(crate) use encrypt::{Encryption, Lock, ShownEncryption, ShownEngine, ShownKey};
pub(crate) use volume::{
    handed_on_below, is_held_below, level_above, Change, Changing, Identity, Volume, MAX_LEVEL,
};
