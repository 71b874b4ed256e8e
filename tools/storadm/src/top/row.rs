// SPDX-License-Identifier: GPL-2.0

//! A volume in the view.

use std::cmp::Ordering;

use stor_netlink::uapi::{STOR_VOLUME_STATE_FAILED, STOR_VOLUME_STATE_LOCKED};
use stor_netlink::{Stat, StatKey, StatOp, StatStage, Volume, VolumeState};

use crate::stat::{Entry, Summary};

/// A volume in the view.
pub(super) struct Row {
    /// What it did in the last interval.
    pub(super) entry: Entry,
    /// What it has done since it was made.
    pub(super) whole: Entry,
    /// What it is, if it was there when the module was asked for that.
    pub(super) volume: Option<Volume>,
}

/// What volumes are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Disk,
    Iops,
    Bytes,
    InFlight,
    Latency,
    Errors,
}

impl Sort {
    /// All of them, and the keys that choose them.
    pub(super) const ALL: [(char, Self); 7] = [
        ('n', Self::Name),
        ('d', Self::Disk),
        ('i', Self::Iops),
        ('b', Self::Bytes),
        ('f', Self::InFlight),
        ('l', Self::Latency),
        ('e', Self::Errors),
    ];

    /// How people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Disk => "disk",
            Self::Iops => "IOPS",
            Self::Bytes => "bytes/s",
            Self::InFlight => "in flight",
            Self::Latency => "p99",
            Self::Errors => "errors",
        }
    }

    /// Compares so that what is most worth a look comes first.
    pub(super) fn compare(self, a: &Row, b: &Row, since_made: bool) -> Ordering {
        let number = |row: &Row| match self {
            Self::Name | Self::Disk => 0,
            Self::Iops => row.sum(|stat, op| stat.ops.get(&op).map_or(0, |c| c.done)),
            Self::Bytes => row.sum(|stat, op| stat.ops.get(&op).map_or(0, |c| c.bytes)),
            Self::InFlight => row.in_flight(),
            Self::Latency => [StatOp::READ, StatOp::WRITE]
                .map(|op| row.summary(op, StatStage::TOTAL, since_made).percentiles[2])
                .into_iter()
                .flatten()
                .max()
                .unwrap_or(0),
            Self::Errors => row.whole.failed(),
        };
        let name = |row: &Row| {
            row.entry
                .stat
                .name
                .as_ref()
                .map(|name| name.as_bytes().to_vec())
        };
        let order = match self {
            Self::Name => name(a).cmp(&name(b)),
            _ => number(b).cmp(&number(a)),
        };
        // Those that are alike keep their places.
        order.then(a.key().index.cmp(&b.key().index))
    }
}

impl Row {
    /// Which volume this is.
    pub(super) fn key(&self) -> &StatKey {
        &self.entry.stat.key
    }

    /// How long I/Os took: in the interval, or since the volume was made.
    pub(super) fn summary(&self, op: StatOp, stage: StatStage, since_made: bool) -> Summary {
        let entry = if since_made { &self.whole } else { &self.entry };
        entry.summary(op, stage)
    }

    /// What is in flight, whatever it does.
    pub(super) fn in_flight(&self) -> u64 {
        let ops = self.entry.ops().into_iter();
        ops.filter_map(|op| self.entry.in_flight(op)).sum()
    }

    /// Whether the volume has no key, so that I/O waits or fails.
    pub(super) fn is_locked(&self) -> bool {
        let state = self.volume.as_ref().and_then(|volume| volume.state);
        state == Some(VolumeState(STOR_VOLUME_STATE_LOCKED))
    }

    /// Whether the backing is gone.
    pub(super) fn is_failed(&self) -> bool {
        let state = self.volume.as_ref().and_then(|volume| volume.state);
        state == Some(VolumeState(STOR_VOLUME_STATE_FAILED))
    }

    fn sum(&self, count: impl Fn(&Stat, StatOp) -> u64) -> u64 {
        let ops = self.entry.ops().into_iter();
        ops.map(|op| count(&self.entry.stat, op)).sum()
    }
}
