// SPDX-License-Identifier: GPL-2.0

//! The buckets of a latency histogram.
//!
//! Below 128 ns each value has its own bucket. From there on each power of two is cut into 64
//! buckets of the same width, so that none is wider than 1/64 of its lower bound. The module
//! counts by this formula, and the tool reads what was counted by it.

/// Buckets of a histogram.
pub const BUCKETS: usize = 2048;

/// Bits of a value that choose among the buckets of one power of two.
const BITS: u32 = 6;
/// Buckets of one power of two.
const STEPS: usize = 1 << BITS;
/// The last bucket.
const LAST: usize = BUCKETS - 1;

/// The bucket that counts a latency; the last one if it is longer than all of them.
///
/// Runs in any context.
#[inline]
pub fn bucket(nanos: u64) -> usize {
    // The bit makes what is shorter than a power of two of STEPS fall below the first shift.
    let leading = (nanos | STEPS as u64).leading_zeros();
    let shift = (u64::BITS - 1 - BITS).wrapping_sub(leading);
    let bucket = ((shift as usize) << BITS) + (nanos >> shift) as usize;
    if bucket > LAST {
        LAST
    } else {
        bucket
    }
}

/// Shortest latency that a bucket counts.
///
/// Here and below, a number that is no bucket stands for the last one.
pub fn lower_bound(bucket: usize) -> u64 {
    let (steps, shift) = parts(bucket);
    steps << shift
}

/// Shortest latency that is too long for a bucket; `u64::MAX` for the last one, which counts that
/// too.
pub fn upper_bound(bucket: usize) -> u64 {
    if bucket >= LAST {
        return u64::MAX;
    }
    let (steps, shift) = parts(bucket);
    (steps + 1) << shift
}

/// The latency that stands for all that a bucket counts: at most 1/128 from any of them.
///
/// For the last one it is what it would be if it were not open to the top.
pub fn midpoint(bucket: usize) -> u64 {
    let (steps, shift) = parts(bucket);
    (steps << shift) + ((1 << shift) >> 1)
}

/// The lower bound of a bucket as a multiple of its width, and the width as a power of two.
fn parts(bucket: usize) -> (u64, u32) {
    let bucket = bucket.min(LAST);
    match bucket / STEPS {
        0 => (bucket as u64, 0),
        row => ((STEPS + bucket % STEPS) as u64, (row - 1) as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    /// The first latency that only the last bucket takes because nothing else does: 137 s.
    const END: u64 = 1 << 37;

    #[test]
    fn known_buckets() {
        for (nanos, expected) in [
            (0, 0),
            (1, 1),
            (63, 63),
            (64, 64),
            (127, 127),
            (128, 128),
            (129, 128),
            (130, 129),
            (255, 191),
            (256, 192),
            (1_000, 317),
            (1_000_000, 954),
            (1_000_000_000, 1591),
            (END - 1, 2047),
            (END, 2047),
            (u64::MAX, 2047),
        ] {
            assert_eq!(bucket(nanos), expected, "{nanos}");
        }
    }

    #[test]
    fn known_bounds() {
        let bounds = |bucket| (lower_bound(bucket), midpoint(bucket), upper_bound(bucket));
        assert_eq!(bounds(0), (0, 0, 1));
        assert_eq!(bounds(127), (127, 127, 128));
        assert_eq!(bounds(128), (128, 129, 130));
        assert_eq!(
            bounds(2046),
            (126 << 30, (126 << 30) + (1 << 29), 127 << 30)
        );
        assert_eq!(bounds(2047), (127 << 30, (127 << 30) + (1 << 29), u64::MAX));
        assert_eq!(bounds(usize::MAX), bounds(2047));
    }

    #[test]
    fn one_ends_where_the_next_begins() {
        assert_eq!(lower_bound(0), 0);
        for b in 0..LAST {
            assert_eq!(upper_bound(b), lower_bound(b + 1), "{b}");
        }
        for b in 0..BUCKETS {
            assert_eq!(bucket(lower_bound(b)), b);
            assert_eq!(bucket(midpoint(b)), b);
            assert_eq!(bucket(upper_bound(b) - 1), b);
        }
    }

    /// As the specification of the netlink family puts it.
    #[test]
    fn is_the_specification() {
        for b in 128..BUCKETS {
            let (step, shift) = (b as u64 % 64, b / 64 - 1);
            assert_eq!(lower_bound(b), (64 + step) << shift, "{b}");
            if b < LAST {
                assert_eq!(upper_bound(b), (65 + step) << shift, "{b}");
            }
        }
    }

    fn any_latency() -> impl Strategy<Value = u64> {
        (0u32..64, any::<u64>()).prop_map(|(shift, bits)| bits >> shift)
    }

    proptest! {
        #[test]
        fn bounds_hold_the_value(nanos in any_latency()) {
            let b = bucket(nanos);
            prop_assert!(b < BUCKETS);
            prop_assert!(lower_bound(b) <= nanos);
            prop_assert!(nanos < upper_bound(b) || b == LAST);
        }

        #[test]
        fn longer_is_never_lower(a in any_latency(), b in any_latency()) {
            prop_assert!(bucket(a.min(b)) <= bucket(a.max(b)));
        }

        #[test]
        fn the_midpoint_is_near(nanos in any_latency().prop_map(|nanos| nanos % END)) {
            let middle = midpoint(bucket(nanos));
            // Exact below 128, where the bound would allow that too.
            prop_assert!(middle.abs_diff(nanos) * 128 <= nanos, "{middle}");
        }
    }
}
