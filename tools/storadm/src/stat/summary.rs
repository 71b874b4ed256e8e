// SPDX-License-Identifier: GPL-2.0

//! A histogram in a few numbers.

use stor_netlink::Histogram;

/// A percentile that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentile {
    /// How people call it.
    pub title: &'static str,
    /// How many of 100 000 I/Os do not take longer.
    pub parts: u64,
}

/// What [`Percentile::parts`] are parts of.
const WHOLE: u64 = 100_000;

/// All that are shown.
pub const PERCENTILES: [Percentile; 6] = [
    Percentile::new("p50", 50_000),
    Percentile::new("p90", 90_000),
    Percentile::new("p99", 99_000),
    Percentile::new("p99.9", 99_900),
    Percentile::new("p99.99", 99_990),
    Percentile::new("p99.999", 99_999),
];

impl Percentile {
    const fn new(title: &'static str, parts: u64) -> Self {
        Self { title, parts }
    }
}

/// How long I/Os took, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many there are.
    pub count: u64,
    /// The [`PERCENTILES`]; `u64::MAX` in the last bucket; `None` without I/Os.
    pub percentiles: [Option<u64>; PERCENTILES.len()],
    /// The longest, as the percentiles are.
    pub max: Option<u64>,
}

impl Summary {
    /// Sums up a histogram; nothing counts as an empty one.
    pub fn new(histogram: Option<&Histogram>) -> Self {
        let Some(histogram) = histogram else {
            return Self::default();
        };
        Self {
            count: histogram.total(),
            percentiles: PERCENTILES.map(|p| histogram.quantile(p.parts, WHOLE)),
            max: histogram.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn sums_up() {
        assert_eq!(Summary::new(None), Summary::default());
        let mut histogram = Histogram::default();
        for (bucket, count) in [(10, 50_000), (20, 49_998), (30, 1), (40, 1)] {
            assert!(histogram.set(bucket, count));
        }
        let summary = Summary::new(Some(&histogram));
        assert_eq!(summary.count, 100_000);
        let expected = [10, 20, 20, 20, 20, 30].map(Some);
        assert_eq!(summary.percentiles, expected);
        assert_eq!(summary.max, Some(40));
    }

    /// Titles say what the numbers mean.
    #[test]
    fn titles() {
        for percentile in PERCENTILES {
            let number: f64 = percentile.title[1..].parse().unwrap();
            assert!((number * 1000.0 - percentile.parts as f64).abs() < 1e-6);
        }
    }
}
