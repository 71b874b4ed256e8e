// SPDX-License-Identifier: GPL-2.0

//! What volumes have done: since they were made, or between two readings.

mod summary;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use stor_netlink::{Stat, StatList, StatOp, StatStage};

use crate::cli::StageChoice;

pub use summary::{Percentile, Summary, PERCENTILES};
pub use text::{errors, human_bytes, human_rate, latencies, path, plain, terminal};

/// What was read at a time.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// What.
    pub stats: Vec<Stat>,
    /// Whether volumes came or went meanwhile.
    pub interrupted: bool,
}

impl Reading {
    /// Adds what was read of other volumes; of one that is there already, nothing.
    pub fn add(&mut self, list: StatList) {
        self.interrupted |= list.interrupted;
        let known: Vec<_> = self.stats.iter().map(|stat| stat.key.clone()).collect();
        let others = list.stats.into_iter();
        self.stats
            .extend(others.filter(|stat| !known.contains(&stat.key)));
    }
}

/// What there is to tell of a volume, or of one CPU of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What was counted in the time that is told of.
    pub stat: Stat,
    /// How long that time was in nanoseconds; `None` if it is since the volume was made.
    pub elapsed: Option<u64>,
    /// What is in flight at its end, by op.
    in_flight: BTreeMap<StatOp, u64>,
}

/// What there is to tell of all volumes.
#[derive(Clone, Debug)]
pub struct Report {
    /// One for each volume, or for each CPU of each.
    pub entries: Vec<Entry>,
    /// Whether volumes came or went meanwhile.
    pub interrupted: bool,
}

impl Report {
    /// Tells what was done since the volumes were made.
    pub fn since_made(reading: &Reading) -> Self {
        let entries = reading.stats.iter();
        Self {
            entries: entries
                .map(|stat| Entry::new(stat, stat.clone(), None))
                .collect(),
            interrupted: reading.interrupted,
        }
    }

    /// Tells what was done between two readings.
    pub fn between(before: &Reading, after: &Reading) -> Self {
        let clock = after.at.saturating_duration_since(before.at).as_nanos();
        let clock = u64::try_from(clock).unwrap_or(u64::MAX);
        let entry = |stat: &Stat| {
            let earlier = before.stats.iter().find(|earlier| earlier.key == stat.key);
            match earlier.and_then(|earlier| Some((earlier, stat.since(earlier)?))) {
                Some((earlier, difference)) => {
                    // The module's own clock, if it tells.
                    let times = stat.time.zip(earlier.time);
                    let elapsed = times.and_then(|(now, then)| now.checked_sub(then));
                    Entry::new(stat, difference, Some(elapsed.unwrap_or(clock)))
                }
                // Not there before, so all of it was done since then.
                None => Entry::new(stat, stat.clone(), Some(clock)),
            }
        };
        Self {
            entries: after.stats.iter().map(entry).collect(),
            interrupted: before.interrupted || after.interrupted,
        }
    }
}

impl Entry {
    fn new(now: &Stat, stat: Stat, elapsed: Option<u64>) -> Self {
        let in_flight = match now.key.cpu {
            None => now.ops.keys().map(|op| (*op, now.in_flight(*op))).collect(),
            // Another CPU may end what this one started.
            Some(_) => BTreeMap::new(),
        };
        Self {
            stat,
            elapsed,
            in_flight,
        }
    }

    /// I/Os of `op` that are in flight; `None` if that cannot be known.
    pub fn in_flight(&self, op: StatOp) -> Option<u64> {
        self.in_flight.get(&op).copied()
    }

    /// All ops that there are, in order.
    pub fn ops(&self) -> BTreeSet<StatOp> {
        let told = self.stat.ops.keys().copied();
        let timed = self.stat.latencies.keys().map(|(op, _)| *op);
        StatOp::all().chain(told).chain(timed).collect()
    }

    /// All stages of those in `choice` that `op` has, in order: what only some volumes do is one
    /// where it was done.
    pub fn stages(&self, op: StatOp, choice: StageChoice) -> BTreeSet<StatStage> {
        let told = self.stat.latencies.keys().chain(self.stat.worked.keys());
        let told = told.filter(|kind| kind.0 == op).map(|kind| kind.1);
        StatStage::all()
            .filter(|stage| stage.is_common())
            .chain(told)
            .filter(|stage| choice.has(*stage))
            .collect()
    }

    /// How long I/Os of `op` took in `stage`.
    pub fn summary(&self, op: StatOp, stage: StatStage) -> Summary {
        Summary::new(self.stat.latency(op, stage))
    }

    /// How many I/Os failed, but for those that were to end rather than wait.
    pub fn failed(&self) -> u64 {
        let errors = self.stat.errors.iter();
        errors
            .filter(|(status, _)| status.is_error())
            .fold(0, |sum: u64, (_, count)| sum.saturating_add(*count))
    }

    /// So many a second; `None` if the time is not known.
    pub fn rate(&self, count: u64) -> Option<f64> {
        let elapsed = self.elapsed.filter(|elapsed| *elapsed > 0)?;
        let rate = count as f64 * 1e9 / elapsed as f64;
        // More decimals would be noise.
        Some((rate * 1000.0).round() / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use std::time::Duration;
    use stor_netlink::Counters;

    fn stat(index: u32, time: Option<u64>, done: u64) -> Stat {
        let mut stat = Stat {
            time,
            ..Stat::default()
        };
        stat.key.index = Some(index);
        let counters = Counters {
            started: done + 3,
            done,
            bytes: done * 512,
        };
        stat.ops.insert(StatOp::READ, counters);
        stat
    }

    fn reading(at: Instant, stats: &[Stat]) -> Reading {
        Reading {
            at,
            stats: stats.to_vec(),
            interrupted: false,
        }
    }

    fn told(entry: &Entry) -> (u64, Option<u64>, Option<u64>) {
        let done = entry.stat.ops[&StatOp::READ].done;
        (done, entry.elapsed, entry.in_flight(StatOp::READ))
    }

    #[test]
    fn between_readings() {
        let start = Instant::now();
        let before = reading(
            start,
            &[stat(0, Some(100), 10), stat(1, None, 10), stat(2, None, 9)],
        );
        let after = reading(
            start + Duration::from_nanos(500),
            &[
                stat(0, Some(300), 14),
                stat(1, Some(300), 15),
                stat(2, None, 1),
                stat(3, None, 7),
            ],
        );
        let report = Report::between(&before, &after);
        let told: Vec<_> = report.entries.iter().map(told).collect();
        assert_eq!(
            told,
            [
                (4, Some(200), Some(3)),
                (5, Some(500), Some(3)),
                // Made anew, and new.
                (1, Some(500), Some(3)),
                (7, Some(500), Some(3)),
            ]
        );
    }

    #[test]
    fn since_they_were_made() {
        let report = Report::since_made(&reading(Instant::now(), &[stat(0, Some(100), 10)]));
        assert_eq!(told(&report.entries[0]), (10, None, Some(3)));
        assert_eq!(report.entries[0].rate(10), None);
    }

    #[test]
    fn what_is_in_flight_on_a_cpu_is_not_known() {
        let mut one = stat(0, None, 10);
        one.key.cpu = Some(1);
        let report = Report::since_made(&reading(Instant::now(), &[one]));
        assert_eq!(report.entries[0].in_flight(StatOp::READ), None);
    }

    #[test]
    fn rates() {
        let entry = Entry::new(&Stat::default(), Stat::default(), Some(3_000_000_000));
        assert_eq!(entry.rate(10), Some(3.333));
        let entry = Entry::new(&Stat::default(), Stat::default(), Some(0));
        assert_eq!(entry.rate(10), None);
    }

    #[test]
    fn a_volume_that_is_named_twice_is_shown_once() {
        let mut all = reading(Instant::now(), &[stat(0, None, 1)]);
        all.add(StatList {
            stats: vec![stat(0, None, 1), stat(1, None, 1)],
            interrupted: true,
        });
        assert_eq!(all.stats.len(), 2);
        assert!(all.interrupted);
    }
}
