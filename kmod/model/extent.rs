// SPDX-License-Identifier: GPL-2.0

//! Where a volume lies on its backing, and how its addresses map there.

use super::refusal::{Errno, Field, Refusal};
use super::units::{Bytes, Sectors};

/// What the rules for an extent need to know of a backing.
#[derive(Clone, Copy, Debug)]
pub struct Backing {
    /// Size of the backing.
    pub size: Bytes,
    /// Its logical block size in bytes, a power of two of at least 512.
    pub block: u32,
}

/// A range of a backing.
///
/// # Invariants
///
/// Both are multiples of 512, the length is not 0, and start plus length is at most `u64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    start: Bytes,
    length: Bytes,
}

impl Extent {
    /// Checks what the user asked for against the backing: `offset` is 0 if it was not given,
    /// `length` is all that follows.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that names the attribute, the value and the rule.
    pub fn place(
        offset: Option<Bytes>,
        length: Option<Bytes>,
        backing: &Backing,
    ) -> Result<Self, Refusal> {
        let block = u64::from(backing.block);
        // A power of two: what it divides has none of the lower bits.
        let within_block = block.wrapping_sub(1);
        let size = backing.size.0;
        let refuse =
            |errno, field, why: core::fmt::Arguments<'_>| Err(Refusal::field(errno, field, why));

        if size < block {
            return refuse(
                Errno::NoSpc,
                Field::Backing,
                format_args!("{size} bytes, less than one logical block of {block}"),
            );
        }
        let start = offset.unwrap_or_default().0;
        if start & within_block != 0 {
            return refuse(
                Errno::Inval,
                Field::Offset,
                format_args!("{start} is not a multiple of the logical block size {block}"),
            );
        }
        if length == Some(Bytes(0)) {
            return refuse(
                Errno::Inval,
                Field::Length,
                format_args!("0, at least one logical block of {block} is needed"),
            );
        }
        if let Some(Bytes(length)) = length {
            if length & within_block != 0 {
                return refuse(
                    Errno::Inval,
                    Field::Length,
                    format_args!("{length} is not a multiple of the logical block size {block}"),
                );
            }
        }
        if start >= size {
            return refuse(
                Errno::NoSpc,
                Field::Offset,
                format_args!("{start} is past the backing's end {size}"),
            );
        }
        let room = size - start;
        let length = match length {
            // A backing whose size is no multiple of its block has a tail that no I/O reaches.
            None => room & !within_block,
            Some(Bytes(length)) => length,
        };
        let Some(end) = start.checked_add(length) else {
            return refuse(
                Errno::Overflow,
                Field::Length,
                format_args!("{length} from offset {start} is over 2^64"),
            );
        };
        if length > room {
            return refuse(
                Errno::NoSpc,
                Field::Length,
                format_args!("end {end} is past the backing's end {size}"),
            );
        }
        if length == 0 {
            return refuse(
                Errno::NoSpc,
                Field::Offset,
                format_args!("{start} leaves less than one logical block of {block}"),
            );
        }
        // INVARIANT: both are multiples of the block, which is a multiple of 512; the length is
        // not 0; and the end was just computed without overflow.
        Ok(Self {
            start: Bytes(start),
            length: Bytes(length),
        })
    }

    /// The same start with another length.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that names the attribute, the value and the rule.
    pub fn resize(&self, length: Bytes, backing: &Backing) -> Result<Self, Refusal> {
        Self::place(Some(self.start), Some(length), backing)
    }

    /// The same start, and of the length what is a multiple of `unit`, a power of two of at least
    /// 512; `None` if that is nothing.
    pub fn trim(&self, unit: u64) -> Option<Self> {
        let length = self.length.0 & !unit.wrapping_sub(1);
        // INVARIANT: A multiple of 512 that is not 0, and no longer than it was.
        (length != 0).then_some(Self {
            start: self.start,
            length: Bytes(length),
        })
    }

    /// The extent of a volume that exists, whose start and length come from an extent.
    pub fn of_volume(start: Bytes, length: Bytes) -> Self {
        // INVARIANT: As it held for the extent that they come from.
        Self { start, length }
    }

    /// First byte on the backing.
    pub fn start(&self) -> Bytes {
        self.start
    }

    /// Size in bytes.
    pub fn length(&self) -> Bytes {
        self.length
    }

    /// Whether the two share a byte.
    pub fn overlaps(&self, other: &Self) -> bool {
        // By the invariant neither sum overflows.
        self.start.0 < other.start.0 + other.length.0
            && other.start.0 < self.start.0 + self.length.0
    }

    /// Maps `count` sectors at `sector` of the volume to their place on the backing, or `None`
    /// if they are not all inside the volume.
    ///
    /// Runs in any context.
    #[inline]
    pub fn map(&self, sector: Sectors, count: Sectors) -> Option<Sectors> {
        let end = sector.0.checked_add(count.0)?;
        if end > self.length.to_sectors().0 {
            return None;
        }
        Some(Sectors(self.start.to_sectors().0 + sector.0))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::refusal::TEXT_MAX;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use std::string::String;

    const NVME: Backing = Backing {
        size: Bytes(1 << 20),
        block: 4096,
    };

    fn place(offset: u64, length: u64) -> Result<Extent, (Errno, Option<Field>, String)> {
        Extent::place(Some(Bytes(offset)), Some(Bytes(length)), &NVME).map_err(told)
    }

    fn told(r: Refusal) -> (Errno, Option<Field>, String) {
        let text = String::from_utf8(r.text.as_bytes().to_vec()).unwrap();
        (r.errno, r.field, text)
    }

    fn refused(
        errno: Errno,
        field: Field,
        text: &str,
    ) -> Result<Extent, (Errno, Option<Field>, String)> {
        Err((errno, Some(field), text.into()))
    }

    #[test]
    fn refuses_by_rule() {
        use Errno::*;
        use Field::*;
        assert_eq!(
            place(512, 4096),
            refused(
                Inval,
                Offset,
                "offset: 512 is not a multiple of the logical block size 4096"
            )
        );
        assert_eq!(
            place(0, 512),
            refused(
                Inval,
                Length,
                "length: 512 is not a multiple of the logical block size 4096"
            )
        );
        assert_eq!(
            place(0, 0),
            refused(
                Inval,
                Length,
                "length: 0, at least one logical block of 4096 is needed"
            )
        );
        assert_eq!(
            place(1 << 20, 4096),
            refused(
                NoSpc,
                Offset,
                "offset: 1048576 is past the backing's end 1048576"
            )
        );
        assert_eq!(
            place(4096, 1 << 20),
            refused(
                NoSpc,
                Length,
                "length: end 1052672 is past the backing's end 1048576"
            )
        );
        assert_eq!(
            place(8192, u64::MAX - 4095),
            refused(
                Overflow,
                Length,
                "length: 18446744073709547520 from offset 8192 is over 2^64"
            )
        );
    }

    #[test]
    fn refuses_a_backing_without_a_block() {
        let tiny = Backing {
            size: Bytes(2048),
            block: 4096,
        };
        assert_eq!(
            Extent::place(None, None, &tiny).map_err(told),
            refused(
                Errno::NoSpc,
                Field::Backing,
                "backing: 2048 bytes, less than one logical block of 4096"
            )
        );
    }

    #[test]
    fn takes_what_is_left() {
        let all = Extent::place(None, None, &NVME).unwrap();
        assert_eq!((all.start(), all.length()), (Bytes(0), NVME.size));
        let tail = Extent::place(Some(Bytes(4096)), None, &NVME).unwrap();
        assert_eq!(tail.length(), Bytes((1 << 20) - 4096));
        let odd = Backing {
            size: Bytes((1 << 20) + 512),
            block: 4096,
        };
        assert_eq!(
            Extent::place(None, None, &odd).unwrap().length(),
            Bytes(1 << 20)
        );
        assert_eq!(
            Extent::place(Some(Bytes(1 << 20)), None, &odd).map_err(told),
            refused(
                Errno::NoSpc,
                Field::Offset,
                "offset: 1048576 leaves less than one logical block of 4096"
            )
        );
    }

    #[test]
    fn neighbours_do_not_overlap() {
        let a = place(0, 4096).unwrap();
        let b = place(4096, 4096).unwrap();
        let c = place(0, 8192).unwrap();
        assert!(!a.overlaps(&b) && !b.overlaps(&a));
        assert!(a.overlaps(&c) && c.overlaps(&a) && c.overlaps(&b) && a.overlaps(&a));
    }

    #[test]
    fn maps_the_edges() {
        let e = place(4096, 8192).unwrap();
        assert_eq!(e.map(Sectors(0), Sectors(16)), Some(Sectors(8)));
        assert_eq!(e.map(Sectors(15), Sectors(1)), Some(Sectors(23)));
        assert_eq!(e.map(Sectors(15), Sectors(2)), None);
        assert_eq!(e.map(Sectors(16), Sectors(1)), None);
        assert_eq!(e.map(Sectors(u64::MAX), Sectors(2)), None);
    }

    proptest! {
        #[test]
        fn placed_extents_keep_their_invariants(
            offset in proptest::option::of(any::<u64>()),
            length in proptest::option::of(any::<u64>()),
            // The size of a device is an loff_t.
            size in 0..=i64::MAX as u64,
            shift in 9u32..17,
            aligned in any::<bool>(),
        ) {
            let block = 1u32 << shift;
            let mask = if aligned { !(u64::from(block) - 1) } else { u64::MAX };
            let backing = Backing { size: Bytes(size), block };
            match Extent::place(
                offset.map(|v| Bytes(v & mask)),
                length.map(|v| Bytes(v & mask)),
                &backing,
            ) {
                Ok(e) => {
                    prop_assert!(e.length().0 >= u64::from(block));
                    prop_assert_eq!(e.start().0 % u64::from(block), 0);
                    prop_assert_eq!(e.length().0 % u64::from(block), 0);
                    prop_assert!(u128::from(e.start().0) + u128::from(e.length().0) <= u128::from(size));
                }
                // A sentence that is cut off has lost its rule.
                Err(r) => prop_assert!(r.text.as_bytes().len() < TEXT_MAX, "{:?}", r.text),
            }
        }

        #[test]
        fn overlap_is_what_it_says(a in 0u64..64, b in 1u64..64, c in 0u64..64, d in 1u64..64) {
            let big = Backing { size: Bytes(1 << 20), block: 512 };
            let make = |s: u64, l: u64| Extent::place(Some(Bytes(s * 512)), Some(Bytes(l * 512)), &big).unwrap();
            let shared = (a..a + b).any(|x| (c..c + d).contains(&x));
            prop_assert_eq!(make(a, b).overlaps(&make(c, d)), shared);
        }

        #[test]
        fn mapped_sectors_stay_inside(start in 0u64..100, len in 1u64..100, at in any::<u64>(), n in 0u64..200) {
            let big = Backing { size: Bytes(1 << 20), block: 512 };
            let e = Extent::place(Some(Bytes(start * 512)), Some(Bytes(len * 512)), &big).unwrap();
            let inside = at.checked_add(n).is_some_and(|end| end <= len);
            prop_assert_eq!(e.map(Sectors(at), Sectors(n)), inside.then(|| Sectors(start + at)));
        }
    }
}
