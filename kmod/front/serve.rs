// SPDX-License-Identifier: GPL-2.0

//! What serves the queues of a volume's disk.

use super::encrypt::Lock;
use crate::{
    engine::{self, Seal, Sealing},
    kapi::{
        bdev::Backing,
        disk::Disk,
        lower::Lower,
        queue::Operations,
        request::{Request, Status},
        send::Batch,
        stat::Stat,
        sysfs::File,
    },
    model::{extent::Extent, units::Bytes},
};
use core::fmt::Write;
use kernel::{
    prelude::*,
    str::CString,
    sync::atomic::{ordering::*, Atomic},
};

/// What the requests of a volume are served by; changed behind the gate.
#[derive(Clone, Copy)]
pub(super) struct Config {
    /// Where on the backing the volume is.
    pub(super) extent: Extent,
    /// What changes data fails.
    pub(super) read_only: bool,
}

/// What serves the queues of a volume's disk.
#[pin_data]
pub(super) struct Front {
    /// The backing is going: nothing waits for a key any more. Set once, before `failed`.
    pub(super) failing: Atomic<bool>,
    /// The backing is gone. Set once.
    pub(super) failed: Atomic<bool>,
    /// How many volumes lie below this one, each the backing of the next.
    pub(super) level: u32,
    /// What is told of the volume.
    pub(super) shown: Shown,
    /// What is counted of its I/O, if that is counted.
    pub(super) stat: Option<Pin<KBox<Stat>>>,
    /// The data of this volume, or of one below, is encrypted by who is below.
    pub(super) handed_on: bool,
    /// Its way to the backing.
    #[pin]
    pub(super) lower: Lower,
}

/// What is told of a volume: requests have their own [`Config`].
pub(super) struct Shown {
    /// What the user named the backing by.
    pub(super) path: CString,
    /// Where on the backing it begins.
    pub(super) start: Bytes,
    /// Its size, in bytes.
    pub(super) length: Atomic<u64>,
    /// It refuses writes.
    pub(super) read_only: Atomic<bool>,
    /// How often its gate was closed.
    pub(super) gate_count: Atomic<u64>,
    /// For how long the last time, in ns.
    pub(super) gate_last: Atomic<u64>,
    /// For how long at most, in ns.
    pub(super) gate_longest: Atomic<u64>,
    /// A [`Lock`], or 0.
    pub(super) lock: Atomic<u32>,
}

impl Operations for Front {
    const MODULE: ThisModule = crate::THIS_MODULE;

    type Config = Config;
    type Kit = Option<Sealing>;
    type Transform = Seal;

    #[inline]
    fn queue<'a>(
        &'a self,
        config: Config,
        kit: &'a Self::Kit,
        rq: Request<'a>,
        batch: &Batch,
    ) -> Result<(), Status> {
        if self.failed.load(Relaxed) {
            return Err(Status::IOERR);
        }
        let op = rq.op().ok_or(Status::NOTSUPP)?;
        if config.read_only && op.changes_data() {
            return Err(Status::IOERR);
        }
        if kit.as_ref().is_some_and(Sealing::is_locked) {
            return Err(Status::IOERR);
        }
        engine::submit(rq, op, &config.extent, &self.lower, kit.as_ref(), batch)
    }

    #[inline]
    fn lower(&self) -> &Lower {
        &self.lower
    }

    #[inline]
    fn stat(&self) -> Option<&Stat> {
        self.stat.as_deref()
    }

    fn show(&self, what: File, out: &mut dyn Write) -> core::fmt::Result {
        let counters = self.stat().map(|stat| stat.counters(None));
        let number = match what {
            File::State => {
                return out.write_str(if self.failed.load(Relaxed) {
                    "failed"
                } else if self.shown.lock.load(Relaxed) != 0 {
                    "locked"
                } else {
                    "live"
                })
            }
            File::Backing => return write_path(out, &self.shown.path),
            File::Offset => self.shown.start.0,
            File::Length => self.shown.length.load(Relaxed),
            File::ReadOnly => self.shown.read_only.load(Relaxed).into(),
            File::GateCount => self.shown.gate_count.load(Relaxed),
            File::GateLast => self.shown.gate_last.load(Relaxed),
            File::GateLongest => self.shown.gate_longest.load(Relaxed),
            counted => {
                let Some(counters) = counters else {
                    return out.write_str("off");
                };
                match counted {
                    File::Reads => counters.done()[0],
                    File::Writes => counters.done()[1],
                    File::Flushes => counters.done()[2],
                    File::Discards => counters.done()[3],
                    File::ReadBytes => counters.bytes()[0],
                    File::WriteBytes => counters.bytes()[1],
                    File::Errors => counters.errors(),
                    _ => {
                        let sum = |counts: &[u64]| {
                            counts.iter().fold(0u64, |sum, &n| sum.wrapping_add(n))
                        };
                        let now = sum(counters.started()).wrapping_sub(sum(counters.done()));
                        // The CPUs are not looked at all at once.
                        (now as i64).max(0) as u64
                    }
                }
            }
        };
        write!(out, "{number}")
    }
}

/// Writes a path, with `?` for what is no printable ASCII.
fn write_path(out: &mut dyn Write, path: &CStr) -> core::fmt::Result {
    for &byte in path.to_bytes() {
        let shown = byte == b' ' || byte.is_ascii_graphic();
        out.write_char(if shown { char::from(byte) } else { '?' })?;
    }
    Ok(())
}

/// How many volumes may lie below a volume, each the backing of the next. Every layer submits to
/// the next from within its own submission, and the stack of a task is small. What lies between
/// two volumes, dm say, is not looked through.
pub(crate) const MAX_LEVEL: u32 = 4;

/// How many volumes lie below a volume on `backing`.
pub(crate) fn level_above(backing: &Backing) -> u32 {
    Disk::<Front>::below(backing).map_or(0, |front| front.level + 1)
}

/// Whether I/O to `backing`, if that is a volume, waits for the key of a locked one. What lies between
/// two volumes is not looked through.
pub(crate) fn is_held_below(backing: &Backing) -> bool {
    let mut below = Disk::<Front>::below(backing);
    while let Some(front) = below {
        let lock = Lock::of(front.shown.lock.load(Relaxed));
        if lock == Some(Lock::Hold) && !front.failing.load(Relaxed) {
            return true;
        }
        below = Disk::<Front>::below(front.lower.backing());
    }
    false
}

/// Whether `backing` is a volume whose data is encrypted by who is below, or has one below it.
pub(crate) fn handed_on_below(backing: &Backing) -> bool {
    Disk::<Front>::below(backing).is_some_and(|front| front.handed_on)
}
