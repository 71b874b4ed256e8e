// SPDX-License-Identifier: GPL-2.0

//! What is told of a volume, by netlink and in sysfs: one status for both.

use super::encryption::Lock;
use crate::{
    engine::Stages,
    io::{
        queue::Owner,
        stat::{Counters, Stat, OPS},
        sysfs::File,
    },
    model::extent::Extent,
};
use core::fmt::Write;
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::{ordering::*, Atomic},
        Arc,
    },
};

/// What is known of a volume, and told.
pub(super) struct Facts {
    /// Its stages, which know its size and whether it is read-only.
    pub(super) stages: Arc<Stages>,
    /// What is counted of its I/O, if that is counted.
    pub(super) stat: Option<Arc<Stat>>,
    /// What the user named the backing by.
    pub(super) path: CString,
    /// How often its gate was closed.
    pub(super) gate_count: Atomic<u64>,
    /// For how long the last time, in ns.
    pub(super) gate_last: Atomic<u64>,
    /// For how long at most, in ns.
    pub(super) gate_longest: Atomic<u64>,
    /// A [`Lock`], or 0.
    pub(super) lock: Atomic<u32>,
}

impl Facts {
    /// Of a new volume.
    pub(super) fn new(path: CString, stages: Arc<Stages>, stat: Option<Arc<Stat>>) -> Self {
        Self {
            stages,
            stat,
            path,
            gate_count: Atomic::new(0),
            gate_last: Atomic::new(0),
            gate_longest: Atomic::new(0),
            lock: Atomic::new(0),
        }
    }

    /// Notes that the gate was closed for so long. One caller at a time.
    pub(super) fn note_gate(&self, nanos: u64) {
        self.gate_last.store(nanos, Relaxed);
        let longest = self.gate_longest.load(Relaxed).max(nanos);
        self.gate_longest.store(longest, Relaxed);
        self.gate_count
            .store(self.gate_count.load(Relaxed) + 1, Relaxed);
    }

    /// What happens to the I/O of a volume that has forgotten its key.
    pub(super) fn lock(&self) -> Option<Lock> {
        Lock::of(self.lock.load(Relaxed))
    }

    /// What the volume is just now.
    pub(super) fn status(&self) -> Status {
        let lock = self.lock();
        Status {
            state: if self.stages.is_failed() {
                State::Failed
            } else if lock.is_some() {
                State::Locked
            } else {
                State::Live
            },
            extent: self.stages.extent(),
            read_only: self.stages.read_only(),
            lock,
            gate_count: self.gate_count.load(Relaxed),
            gate_last: self.gate_last.load(Relaxed),
            gate_longest: self.gate_longest.load(Relaxed),
        }
    }

    /// What was counted of its I/O, of a CPU or of all, if that is counted. What is parked counts as
    /// begun, with all CPUs: it is on none.
    pub(super) fn counters(&self, cpu: Option<u32>) -> Option<Counters> {
        let mut counters = self.stat.as_ref()?.counters(cpu);
        if let (None, Some(park)) = (cpu, self.stages.park()) {
            counters.add_parked(&park.counts());
        }
        Some(counters)
    }
}

/// Whether a volume serves I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It does.
    Live,
    /// Its backing is gone.
    Failed,
    /// It has forgotten its key.
    Locked,
}

/// What a volume is just now.
pub(crate) struct Status {
    /// Whether it serves I/O.
    pub(crate) state: State,
    /// Where on the backing it is.
    pub(crate) extent: Extent,
    /// Whether it refuses writes.
    pub(crate) read_only: bool,
    /// What happens to its I/O, if it has forgotten its key.
    pub(crate) lock: Option<Lock>,
    /// How often its gate was closed.
    pub(crate) gate_count: u64,
    /// For how long the last time, in ns.
    pub(crate) gate_last: u64,
    /// For how long at most, in ns.
    pub(crate) gate_longest: u64,
}

/// I/Os that were begun and have not ended.
fn in_flight(counters: &Counters) -> u64 {
    let sum = |counts: &[u64; OPS]| counts.iter().fold(0u64, |sum, &n| sum.wrapping_add(n));
    let now = sum(counters.started()).wrapping_sub(sum(counters.done()));
    // The CPUs are not looked at all at once.
    (now as i64).max(0) as u64
}

/// What is known of a volume, for its disk.
pub(super) struct Shown(pub(super) Arc<Facts>);

impl Owner for Shown {
    fn holds(&self) -> bool {
        self.0.stages.park().is_some_and(|park| park.is_open())
    }

    fn show(&self, what: File, out: &mut dyn Write) -> core::fmt::Result {
        let status = self.0.status();
        let number = match what {
            File::State => {
                return out.write_str(match status.state {
                    State::Live => "live",
                    State::Failed => "failed",
                    State::Locked => "locked",
                })
            }
            File::Backing => return write_path(out, &self.0.path),
            File::Offset => status.extent.start().0,
            File::Length => status.extent.length().0,
            File::ReadOnly => status.read_only.into(),
            File::GateCount => status.gate_count,
            File::GateLast => status.gate_last,
            File::GateLongest => status.gate_longest,
            counted => {
                let Some(counters) = self.0.counters(None) else {
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
                    _ => in_flight(&counters),
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
