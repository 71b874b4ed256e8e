// SPDX-License-Identifier: GPL-2.0

//! What volumes have done, put together from the messages that tell of it.

use std::collections::BTreeMap;
use std::fmt;

use crate::histogram::Histogram;
use crate::text::Text;
use crate::uapi;
use crate::uuid::Uuid;
use crate::wire::{Malformed, StatPart, StatRecord};

/// What an I/O does. Displays as the specification's name, or `op-N` for one it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatOp(pub u32);

/// The part of an I/O's way that a latency is of. Displays as the specification's name, or
/// `stage-N` for one it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatStage(pub u32);

/// How an I/O failed. Displays as the specification's name, or `status-N` for one it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatStatus(pub u32);

impl StatStatus {
    /// Whether whoever did the I/O lost something: not if it was to end rather than wait, as it
    /// is done again then.
    pub fn is_error(self) -> bool {
        self.0 != uapi::STOR_STAT_STATUS_AGAIN
    }
}

impl StatOp {
    /// Read data.
    pub const READ: Self = Self(uapi::STOR_STAT_OP_READ);
    /// Write data.
    pub const WRITE: Self = Self(uapi::STOR_STAT_OP_WRITE);

    /// All that the specification has.
    pub fn all() -> impl Iterator<Item = Self> {
        numbers(uapi::STAT_OPS).map(Self)
    }
}

impl StatStage {
    /// The whole way.
    pub const TOTAL: Self = Self(uapi::STOR_STAT_STAGE_TOTAL);
    /// In the backing.
    pub const LOWER: Self = Self(uapi::STOR_STAT_STAGE_LOWER);
    /// Encryption of a write.
    pub const SEAL: Self = Self(uapi::STOR_STAT_STAGE_SEAL);
    /// Decryption of a read.
    pub const OPEN: Self = Self(uapi::STOR_STAT_STAGE_OPEN);

    /// All that the specification has.
    pub fn all() -> impl Iterator<Item = Self> {
        numbers(uapi::STAT_STAGES).map(Self)
    }

    /// Whether every I/O of every volume has it, so that it is worth a line even when empty.
    pub fn is_common(self) -> bool {
        self == Self::TOTAL || self == Self::LOWER
    }
}

fn numbers(table: &'static [(u64, &'static str)]) -> impl Iterator<Item = u32> {
    table.iter().filter_map(|(n, _)| u32::try_from(*n).ok())
}

fn write_name(
    f: &mut fmt::Formatter<'_>,
    table: &[(u64, &'static str)],
    what: &str,
    number: u32,
) -> fmt::Result {
    match uapi::name_of(table, u64::from(number)) {
        Some(name) => f.pad(name),
        None => f.pad(&format!("{what}-{number}")),
    }
}

impl fmt::Display for StatOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, uapi::STAT_OPS, "op", self.0)
    }
}

impl fmt::Display for StatStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, uapi::STAT_STAGES, "stage", self.0)
    }
}

impl fmt::Display for StatStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, uapi::STAT_STATUSES, "status", self.0)
    }
}

/// Counters of one op.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// I/Os that were started.
    pub started: u64,
    /// I/Os that have ended, well or not.
    pub done: u64,
    /// Bytes of those that ended well.
    pub bytes: u64,
}

impl Counters {
    /// What was counted since `earlier`; `None` if this is no continuation of it.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        Some(Self {
            started: self.started.checked_sub(earlier.started)?,
            done: self.done.checked_sub(earlier.done)?,
            bytes: self.bytes.checked_sub(earlier.bytes)?,
        })
    }
}

/// Whom counters belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatKey {
    /// The N of `/dev/storN`.
    pub index: Option<u32>,
    /// UUID of the volume.
    pub uuid: Option<Uuid>,
    /// The CPU, if each was asked for by itself.
    pub cpu: Option<u32>,
}

/// Latencies by op and stage.
pub type Latencies = BTreeMap<(StatOp, StatStage), Histogram>;

/// What a volume, or one CPU for it, has done since the volume was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Whose this is.
    pub key: StatKey,
    /// Name of the volume.
    pub name: Option<Text>,
    /// When the counters were read, in nanoseconds of CLOCK_MONOTONIC.
    pub time: Option<u64>,
    /// What was counted, by op.
    pub ops: BTreeMap<StatOp, Counters>,
    /// I/Os that failed, by how.
    pub errors: BTreeMap<StatStatus, u64>,
    /// How long they took. Without an entry nothing was counted.
    pub latencies: Latencies,
    /// Bytes that a stage has worked on, of those that do. Without an entry there were none.
    pub worked: BTreeMap<(StatOp, StatStage), u64>,
}

impl Stat {
    /// What was counted since `earlier`; `None` if this is no continuation of it, which is so when
    /// the volume was deleted meanwhile and another made in its place.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let mut difference = Self {
            ops: BTreeMap::new(),
            errors: BTreeMap::new(),
            latencies: Latencies::new(),
            worked: BTreeMap::new(),
            ..self.clone()
        };
        if self.key != earlier.key
            || !has_keys_of(&self.ops, &earlier.ops)
            || !has_keys_of(&self.errors, &earlier.errors)
            || !has_keys_of(&self.latencies, &earlier.latencies)
            || !has_keys_of(&self.worked, &earlier.worked)
        {
            return None;
        }
        for (op, counters) in &self.ops {
            let before = earlier.ops.get(op).copied().unwrap_or_default();
            difference.ops.insert(*op, counters.since(&before)?);
        }
        for (status, count) in &self.errors {
            let before = earlier.errors.get(status).copied().unwrap_or(0);
            match count.checked_sub(before)? {
                0 => {}
                more => drop(difference.errors.insert(*status, more)),
            }
        }
        for (kind, histogram) in &self.latencies {
            let histogram = match earlier.latencies.get(kind) {
                Some(before) => histogram.since(before)?,
                None => histogram.clone(),
            };
            difference.latencies.insert(*kind, histogram);
        }
        for (kind, bytes) in &self.worked {
            let before = earlier.worked.get(kind).copied().unwrap_or(0);
            difference.worked.insert(*kind, bytes.checked_sub(before)?);
        }
        Some(difference)
    }

    /// I/Os of `op` that were started and are not done. Means nothing for a single CPU: another one
    /// may end what this one started.
    pub fn in_flight(&self, op: StatOp) -> u64 {
        // The module counts while it is read: an I/O may be seen to end, but not to begin.
        let counters = self.ops.get(&op).copied().unwrap_or_default();
        counters.started.saturating_sub(counters.done)
    }

    /// The latencies of `op` in `stage`.
    pub fn latency(&self, op: StatOp, stage: StatStage) -> Option<&Histogram> {
        self.latencies.get(&(op, stage))
    }
}

fn has_keys_of<K: Ord, V>(later: &BTreeMap<K, V>, earlier: &BTreeMap<K, V>) -> bool {
    earlier.keys().all(|key| later.contains_key(key))
}

/// Puts the messages of a dump together.
#[derive(Debug, Default)]
pub struct StatAssembly {
    stats: Vec<Stat>,
}

impl StatAssembly {
    /// Takes the next message. One that comes twice, as may be when volumes come and go, counts
    /// once.
    pub fn add(&mut self, record: StatRecord) -> Result<(), Malformed> {
        let stat = self.stat_of(record.key, record.name);
        match record.part {
            StatPart::Counters { op, time, counters } => {
                stat.time = time.or(stat.time);
                stat.ops.insert(op, counters);
            }
            StatPart::Errors { status, count } => {
                stat.errors.insert(status, count);
            }
            StatPart::Latencies {
                op,
                stage,
                first,
                counts,
            } => {
                let histogram = stat.latencies.entry((op, stage)).or_default();
                for (i, count) in counts.into_iter().enumerate() {
                    if !histogram.set(first.saturating_add(i), count) {
                        return Err(Malformed("number of a bucket"));
                    }
                }
            }
            StatPart::Worked { op, stage, bytes } => {
                stat.worked.insert((op, stage), bytes);
            }
            StatPart::Unknown => {}
        }
        Ok(())
    }

    /// All that the messages told.
    pub fn finish(self) -> Vec<Stat> {
        self.stats
    }

    fn stat_of(&mut self, key: StatKey, name: Option<Text>) -> &mut Stat {
        // What belongs together mostly comes together.
        let at = match self.stats.iter().rposition(|stat| stat.key == key) {
            Some(at) => at,
            None => {
                self.stats.push(Stat {
                    key,
                    ..Stat::default()
                });
                self.stats.len() - 1
            }
        };
        let stat = &mut self.stats[at];
        stat.name = name.or(stat.name.take());
        stat
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    const READ: StatOp = StatOp(0);

    fn stat(done: u64, failed: u64, bucket: usize, count: u64) -> Stat {
        let mut stat = Stat::default();
        let counters = Counters {
            started: done + 1,
            done,
            bytes: done * 512,
        };
        stat.ops.insert(READ, counters);
        stat.errors.insert(StatStatus(10), failed);
        let histogram = stat.latencies.entry((READ, StatStage(0))).or_default();
        assert!(histogram.set(bucket, count));
        stat
    }

    #[test]
    fn names() {
        assert_eq!(StatOp(3).to_string(), "discard");
        assert_eq!(StatOp(9).to_string(), "op-9");
        assert_eq!(StatStage(1).to_string(), "lower");
        assert_eq!(StatStage(7).to_string(), "stage-7");
        assert_eq!(StatStatus(6).to_string(), "resv-conflict");
        assert_eq!(StatStatus(99).to_string(), "status-99");
        assert_eq!(format!("{:>6}", StatOp(0)), "  read");
        assert_eq!(StatOp::all().count(), 4);
        assert_eq!(StatStage::all().count(), 4);
    }

    #[test]
    fn differences() {
        let difference = stat(10, 2, 70, 10).since(&stat(4, 2, 70, 4)).unwrap();
        let expected = Counters {
            started: 6,
            done: 6,
            bytes: 6 * 512,
        };
        assert_eq!(difference.ops[&READ], expected);
        assert_eq!(difference.errors, BTreeMap::new());
        let histogram = difference.latency(READ, StatStage(0)).unwrap();
        assert_eq!(histogram.iter().collect::<Vec<_>>(), [(70, 6)]);
    }

    #[test]
    fn another_volume_in_its_place() {
        let before = stat(10, 2, 70, 10);
        for other in [
            stat(9, 2, 70, 10),
            stat(10, 1, 70, 10),
            stat(10, 2, 70, 9),
            stat(10, 2, 71, 10),
            Stat {
                key: StatKey {
                    index: Some(1),
                    ..StatKey::default()
                },
                ..stat(20, 4, 70, 20)
            },
            Stat::default(),
        ] {
            assert_eq!(other.since(&before), None, "{other:?}");
        }
        assert!(before.since(&Stat::default()).is_some());
    }

    #[test]
    fn what_is_in_flight_is_never_below_none() {
        let mut stat = stat(10, 0, 0, 0);
        assert_eq!(stat.in_flight(READ), 1);
        stat.ops.get_mut(&READ).unwrap().started = 9;
        assert_eq!(stat.in_flight(READ), 0);
        assert_eq!(stat.in_flight(StatOp(1)), 0);
    }
}
