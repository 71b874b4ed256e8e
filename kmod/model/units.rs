// SPDX-License-Identifier: GPL-2.0

//! Quantities that carry their unit, so that no function takes two `u64`s that could be swapped.

use core::fmt;

/// Bits by which a byte count is shifted to count sectors.
pub const SECTOR_SHIFT: u32 = 9;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A number, or an address, in sectors of 512 bytes: the unit of the block layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sectors(pub u64);

impl Bytes {
    /// The whole sectors in this many bytes; a last partial sector is cut off.
    pub const fn to_sectors(self) -> Sectors {
        Sectors(self.0 >> SECTOR_SHIFT)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn sectors_and_bytes() {
        assert_eq!(Bytes(0).to_sectors(), Sectors(0));
        assert_eq!(Bytes(1023).to_sectors(), Sectors(1));
    }
}
