// SPDX-License-Identifier: GPL-2.0

//! Pure logic: no kernel, no allocation, no `unsafe`.
//!
//! Everything that can be decided without the kernel is decided here. These files are compiled
//! twice: into `stor.ko`, and as the crate `stor-model` on the host, where properties, Miri and
//! fuzzing test them. Nothing here may name `crate::` or anything outside `core`.

pub mod attrs;
pub mod crypt;
pub mod cursor;
pub mod extent;
pub mod histogram;
pub mod name;
pub mod refusal;
pub mod runs;
pub mod select;
pub mod units;
