// SPDX-License-Identifier: GPL-2.0

//! The files in `/sys/block/storN/stor/`.

use crate::kapi::sys::c;
use core::fmt::{self, Write};
use kernel::{error::code::EIO, prelude::*};

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    /// State of the volume.
    State,
    /// Path of its backing.
    Backing,
    /// First byte on the backing.
    Offset,
    /// Size in bytes.
    Length,
    /// Whether it refuses writes.
    ReadOnly,
    /// I/Os that were started and have not ended.
    InFlight,
    /// Reads that have ended.
    Reads,
    /// Writes that have ended.
    Writes,
    /// Flushes that have ended.
    Flushes,
    /// Discards, secure erases and write zeroes that have ended.
    Discards,
    /// Bytes read.
    ReadBytes,
    /// Bytes written.
    WriteBytes,
    /// I/Os that failed.
    Errors,
    /// How often the gate was closed.
    GateCount,
    /// How long the last time, in ns.
    GateLast,
    /// How long at most, in ns.
    GateLongest,
}

impl File {
    /// Of the shim's number.
    pub(super) fn of(raw: c::stor_sysfs) -> Result<Self, fmt::Error> {
        Ok(match raw {
            c::stor_sysfs_STOR_SYSFS_STATE => File::State,
            c::stor_sysfs_STOR_SYSFS_BACKING => File::Backing,
            c::stor_sysfs_STOR_SYSFS_OFFSET => File::Offset,
            c::stor_sysfs_STOR_SYSFS_LENGTH => File::Length,
            c::stor_sysfs_STOR_SYSFS_READ_ONLY => File::ReadOnly,
            c::stor_sysfs_STOR_SYSFS_INFLIGHT => File::InFlight,
            c::stor_sysfs_STOR_SYSFS_READS => File::Reads,
            c::stor_sysfs_STOR_SYSFS_WRITES => File::Writes,
            c::stor_sysfs_STOR_SYSFS_FLUSHES => File::Flushes,
            c::stor_sysfs_STOR_SYSFS_DISCARDS => File::Discards,
            c::stor_sysfs_STOR_SYSFS_READ_BYTES => File::ReadBytes,
            c::stor_sysfs_STOR_SYSFS_WRITE_BYTES => File::WriteBytes,
            c::stor_sysfs_STOR_SYSFS_ERRORS => File::Errors,
            c::stor_sysfs_STOR_SYSFS_GATE_COUNT => File::GateCount,
            c::stor_sysfs_STOR_SYSFS_GATE_LAST_NS => File::GateLast,
            c::stor_sysfs_STOR_SYSFS_GATE_LONGEST_NS => File::GateLongest,
            _ => return Err(fmt::Error),
        })
    }
}

/// A page of sysfs that is being written.
struct Page<'a> {
    page: &'a mut [u8],
    written: usize,
}

impl Write for Page<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = self.page.get_mut(self.written..).unwrap_or_default();
        let to = room.get_mut(..s.len()).ok_or(fmt::Error)?;
        to.copy_from_slice(s.as_bytes());
        self.written += s.len();
        Ok(())
    }
}

/// Fills a page with a value and the end of its line; gives what sysfs wants to be told.
pub(super) fn show(page: &mut [u8], value: impl FnOnce(&mut dyn Write) -> fmt::Result) -> isize {
    let mut out = Page { page, written: 0 };
    match value(&mut out).and_then(|()| out.write_str("\n")) {
        Ok(()) => out.written as isize,
        Err(_) => EIO.to_errno() as isize,
    }
}
