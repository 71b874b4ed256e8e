// SPDX-License-Identifier: GPL-2.0

//! The life of an I/O: what happens to a request between the block layer, which hands it to us, and
//! the devices below; and the disks and queues that it comes by.
//!
//! Beside [`crate::kapi`] this is where `unsafe` lives. What is here knows nothing of names, keys'
//! names, or commands. What becomes of a request is decided by an [`edge::Engine`], of which this
//! knows a table of functions only.
//!
//! Each C file stands beside what it belongs to: `submit.c` ([`send`]), `poll.c`, `softirq.c` and
//! `bounce.c` ([`data`], [`transform`]), `park.c` ([`park`]), `gate.c` ([`gate`]), `scan.c` ([`disk`]), `stat.c`
//! ([`stat`]), `sysfs.c` ([`sysfs`]). `io.h` has the PDU.

pub(crate) mod data;
pub(crate) mod disk;
pub(crate) mod edge;
mod end;
pub(crate) mod gate;
mod leg;
pub(crate) mod limits;
pub(crate) mod lower;
pub(crate) mod park;
pub(crate) mod pdu;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod stat;
pub(crate) mod sysfs;
mod trace;
pub(crate) mod transform;
