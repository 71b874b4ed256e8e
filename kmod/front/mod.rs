// SPDX-License-Identifier: GPL-2.0

//! The guest-facing half: a volume, its disk, and the life of a request.

mod encrypt;
mod volume;

pub(crate) use encrypt::{Engine, ShownEngine};
pub(crate) use volume::{
    fallback_below, level_above, Change, Changing, Encryption, Identity, Volume, MAX_LEVEL,
};
