// SPDX-License-Identifier: GPL-2.0

//! What is known of how long I/Os took.

use std::collections::BTreeMap;

use stor_model::histogram::{midpoint, BUCKETS};

/// The bucket for all that is too long for the others.
const LAST: usize = BUCKETS - 1;

/// Counts of latencies by bucket; only buckets in which something was counted are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: BTreeMap<usize, u64>,
}

impl Histogram {
    /// Says how much was counted in a bucket; `false` if there is no such bucket.
    pub fn set(&mut self, bucket: usize, count: u64) -> bool {
        match count {
            _ if bucket >= BUCKETS => return false,
            0 => self.counts.remove(&bucket),
            _ => self.counts.insert(bucket, count),
        };
        true
    }

    /// The buckets in which something was counted and how much, shortest latency first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, u64)> + '_ {
        self.counts.iter().map(|(bucket, count)| (*bucket, *count))
    }

    /// How much was counted.
    pub fn total(&self) -> u64 {
        self.counts
            .values()
            .fold(0, |sum: u64, count| sum.saturating_add(*count))
    }

    /// What was counted since `earlier`; `None` if this is no continuation of it.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if !earlier.counts.keys().all(|k| self.counts.contains_key(k)) {
            return None;
        }
        let mut difference = Self::default();
        for (bucket, count) in self.iter() {
            let before = earlier.counts.get(&bucket).copied().unwrap_or(0);
            difference.set(bucket, count.checked_sub(before)?);
        }
        Some(difference)
    }

    /// The latency in nanoseconds that `parts` of `of` I/Os do not exceed; `None` without any.
    ///
    /// With `n` latencies in order, it is the one at place ⌈`n` · `parts` / `of`⌉, counted from 1,
    /// told as the midpoint of its bucket; `u64::MAX` if that is the last one, which has no end.
    /// With few of them that is the longest one, or close to it: the rule makes nothing up in
    /// between.
    pub fn quantile(&self, parts: u64, of: u64) -> Option<u64> {
        let total: u128 = self.counts.values().map(|count| u128::from(*count)).sum();
        let rank = (total * u128::from(parts))
            .div_ceil(u128::from(of.max(1)))
            .clamp(1, total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.iter() {
            seen += u128::from(count);
            if seen >= rank {
                return Some(match bucket {
                    LAST => u64::MAX,
                    _ => midpoint(bucket),
                });
            }
        }
        None
    }

    /// The longest latency in nanoseconds, as well as it is known: the middle of its bucket, or
    /// `u64::MAX` if it is in the last one; `None` without any.
    pub fn max(&self) -> Option<u64> {
        self.quantile(1, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use stor_model::histogram::bucket;

    fn of(latencies: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for latency in latencies {
            *histogram.counts.entry(bucket(*latency)).or_default() += 1;
        }
        histogram
    }

    #[test]
    fn empty() {
        let nothing = Histogram::default();
        assert_eq!(nothing.total(), 0);
        assert_eq!(nothing.quantile(50, 100), None);
        assert_eq!(nothing.max(), None);
        assert_eq!(nothing.since(&nothing), Some(nothing));
    }

    #[test]
    fn ranks() {
        let one_to_hundred: Vec<u64> = (1..=100).collect();
        let histogram = of(&one_to_hundred);
        for (parts, expected) in [
            (0, 1),
            (50_000, 50),
            (50_001, 51),
            (90_000, 90),
            (99_000, 99),
            (99_001, 100),
            (99_999, 100),
            (100_000, 100),
        ] {
            assert_eq!(histogram.quantile(parts, 100_000), Some(expected));
        }
        assert_eq!(histogram.max(), Some(100));
    }

    #[test]
    fn huge_counts_and_long_latencies() {
        let mut histogram = Histogram::default();
        assert!(histogram.set(10, u64::MAX));
        assert!(histogram.set(BUCKETS - 1, u64::MAX));
        assert!(!histogram.set(BUCKETS, 1));
        assert_eq!(histogram.total(), u64::MAX);
        assert_eq!(histogram.quantile(50, 100), Some(10));
        assert_eq!(histogram.quantile(51, 100), Some(u64::MAX));
        assert_eq!(histogram.max(), Some(u64::MAX));
    }

    #[test]
    fn differences() {
        let (before, after) = (of(&[5, 5, 900]), of(&[5, 5, 5, 900, 7]));
        assert_eq!(after.since(&before), Some(of(&[5, 7])));
        assert_eq!(before.since(&before), Some(Histogram::default()));
        assert_eq!(before.since(&after), None);
        assert_eq!(of(&[5]).since(&of(&[6])), None);
    }

    proptest! {
        /// Against the rule applied to the latencies themselves.
        #[test]
        fn quantiles_are_near(
            mut latencies in prop::collection::vec((0u32..37, 0u64..127 << 30), 1..300)
                .prop_map(|all| all.into_iter().map(|(s, v)| v >> s).collect::<Vec<u64>>()),
            parts in 1u64..=100_000,
        ) {
            latencies.sort_unstable();
            let rank = (latencies.len() * usize::try_from(parts).unwrap()).div_ceil(100_000);
            let exact = latencies[rank - 1];
            let told = of(&latencies).quantile(parts, 100_000).unwrap();
            prop_assert!(told.abs_diff(exact) * 128 <= exact, "{told} for {exact}");
        }

        #[test]
        fn what_was_added_is_the_difference(
            a in prop::collection::vec(any::<u64>(), 0..50),
            b in prop::collection::vec(any::<u64>(), 0..50),
        ) {
            let both = of(&[a.clone(), b.clone()].concat());
            prop_assert_eq!(both.since(&of(&a)), Some(of(&b)));
        }
    }
}
