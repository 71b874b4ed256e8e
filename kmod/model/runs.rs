// SPDX-License-Identifier: GPL-2.0

//! Cuts the data of an I/O into runs of whole crypto sectors.
//!
//! The data comes as segments of memory. Most begin and end where a sector does, and then many
//! sectors are one run. A sector that is spread over several segments comes by itself, as the
//! pieces that it has.

/// Most pieces that one sector may have: with a sector of 4096 bytes, each is 512 bytes or more.
pub const PIECES: usize = 8;

/// Memory in one piece: where it is, in words of the caller, and how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<P> {
    /// The page that it is in, or in which it begins.
    pub page: P,
    /// First byte, from the beginning of the page.
    pub offset: u32,
    /// Length in bytes.
    pub length: u32,
}

impl<P: Copy> Piece<P> {
    /// Takes the first `length` bytes off, or all if it has no more.
    #[inline]
    pub fn take(&mut self, length: u32) -> Self {
        let first = Self {
            length: length.min(self.length),
            ..*self
        };
        self.offset += first.length;
        self.length -= first.length;
        first
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run<P> {
    /// Whole sectors, one after the other.
    Whole(Piece<P>),
    /// One sector in several pieces.
    Scattered([Piece<P>; PIECES], usize),
    /// One sector in more pieces than there is room for, or less than one sector.
    Bad,
}

/// The runs of what comes as segments.
pub struct Runs<I, P> {
    segments: I,
    now: Option<Piece<P>>,
    sector: u32,
}

impl<P: Copy, I: Iterator<Item = Piece<P>>> Runs<I, P> {
    /// Cuts `segments` into runs of sectors of `sector` bytes, a power of two.
    #[inline]
    pub fn new(segments: I, sector: u32) -> Self {
        Self {
            segments,
            now: None,
            sector,
        }
    }

    /// One sector in pieces, of which `first` is less than a sector.
    #[cold]
    fn scattered(&mut self, first: Piece<P>) -> Run<P> {
        let mut pieces = [first; PIECES];
        let mut count = 1;
        let mut missing = self.sector - first.length;
        while missing > 0 {
            let Some(mut segment) = self.segments.next() else {
                return Run::Bad;
            };
            let piece = segment.take(missing);
            missing -= piece.length;
            if piece.length == 0 {
                continue;
            }
            let Some(slot) = pieces.get_mut(count) else {
                return Run::Bad;
            };
            *slot = piece;
            count += 1;
            self.now = Some(segment);
        }
        Run::Scattered(pieces, count)
    }
}

impl<P: Copy, I: Iterator<Item = Piece<P>>> Iterator for Runs<I, P> {
    type Item = Run<P>;

    #[inline]
    fn next(&mut self) -> Option<Run<P>> {
        let mut segment = match self.now.take() {
            Some(segment) if segment.length != 0 => segment,
            _ => self.segments.find(|segment| segment.length != 0)?,
        };
        let whole = segment.length & !(self.sector - 1);
        if whole == 0 {
            return Some(self.scattered(segment));
        }
        let run = segment.take(whole);
        self.now = Some(segment);
        Some(Run::Whole(run))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn piece(page: u32, offset: u32, length: u32) -> Piece<u32> {
        Piece {
            page,
            offset,
            length,
        }
    }

    fn runs(segments: &[Piece<u32>], sector: u32) -> Vec<Run<u32>> {
        Runs::new(segments.iter().copied(), sector).collect()
    }

    #[test]
    fn a_page_is_one_run() {
        assert_eq!(
            runs(&[piece(1, 0, 4096)], 512),
            [Run::Whole(piece(1, 0, 4096))]
        );
    }

    #[test]
    fn a_sector_over_two_pages() {
        let got = runs(&[piece(1, 512, 7680), piece(2, 0, 512)], 4096);
        let mut pieces = [piece(1, 4608, 3584); PIECES];
        pieces[1] = piece(2, 0, 512);
        assert_eq!(
            got,
            [Run::Whole(piece(1, 512, 4096)), Run::Scattered(pieces, 2)]
        );
    }

    #[test]
    fn too_little_and_too_many() {
        assert_eq!(runs(&[piece(1, 0, 512)], 1024), [Run::Bad]);
        let many: Vec<_> = (0..16).map(|page| piece(page, 0, 256)).collect();
        assert_eq!(runs(&many, 4096)[0], Run::Bad);
        assert_eq!(runs(&[], 512), []);
    }

    proptest! {
        // Every byte comes once, in order, and every run is of whole sectors.
        #[test]
        fn nothing_is_lost(
            shift in 0u32..4,
            units in proptest::collection::vec(0u32..20, 0..20),
        ) {
            let sector = 512 << shift;
            let mut segments: Vec<_> = units
                .iter()
                .enumerate()
                .map(|(page, &units)| piece(page as u32, 512, units * 512))
                .collect();
            let total: u32 = segments.iter().map(|s| s.length).sum();
            let rest = total % sector;
            if rest != 0 {
                segments.push(piece(1000, 0, sector - rest));
            }
            let bytes = |p: &Piece<u32>| -> Vec<(u32, u32)> {
                (0..p.length / 512).map(|n| (p.page, p.offset + n * 512)).collect()
            };
            let expected: Vec<_> = segments.iter().flat_map(bytes).collect();
            let mut got = Vec::new();
            for run in runs(&segments, sector) {
                match run {
                    Run::Whole(piece) => {
                        prop_assert!(piece.length != 0 && piece.length % sector == 0);
                        got.extend(bytes(&piece));
                    }
                    Run::Scattered(pieces, count) => {
                        prop_assert!(count > 1);
                        let length: u32 = pieces[..count].iter().map(|p| p.length).sum();
                        prop_assert_eq!(length, sector);
                        got.extend(pieces[..count].iter().flat_map(bytes));
                    }
                    Run::Bad => prop_assert!(false, "all pieces are of 512 bytes"),
                }
            }
            prop_assert_eq!(got, expected);
        }
    }
}
