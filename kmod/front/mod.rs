// SPDX-License-Identifier: GPL-2.0

//! The guest-facing half: a volume, its disk, and the life of a request.

mod volume;

pub(crate) use volume::{
    level_above, Change, Changing, Encryption, Identity, Lock, ShownEncryption, ShownKey, Volume,
    MAX_LEVEL,
};
