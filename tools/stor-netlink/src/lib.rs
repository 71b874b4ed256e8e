// SPDX-License-Identifier: GPL-2.0

//! The generic netlink family of stor, seen from user space.
//!
//! [`wire`] turns requests into bytes and bytes into replies: pure functions, no system calls.
//! [`Client`] and [`Monitor`] carry these bytes over a socket. The numbers behind both come from
//! `uapi/stor.h` through [`uapi`].

#![deny(unsafe_code)]

pub mod client;
mod errno;
mod error;
mod histogram;
mod stat;
mod text;
mod types;
pub mod uapi;
mod uuid;
pub mod wire;

pub use client::{Client, Monitor, Notice, StatList, VolumeList};
pub use errno::errno_name;
pub use error::{Error, Refusal};
pub use histogram::Histogram;
pub use stat::{Counters, Latencies, Stat, StatAssembly, StatKey, StatOp, StatStage, StatStatus};
pub use text::Text;
pub use types::{
    Change, CryptoEngine, Event, EventKind, Info, NewVolume, Selector, Volume, VolumeLock,
    VolumeState,
};
pub use uuid::{ParseUuidError, Uuid};
