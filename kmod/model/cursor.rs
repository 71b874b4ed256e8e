// SPDX-License-Identifier: GPL-2.0

//! Where a dump of statistics goes on, in one word.

/// Bits for the step, and behind them for the CPU; the volume has the rest.
const STEP_BITS: u32 = 16;
const CPU_BITS: u32 = 24;

/// A place in a dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Index of the volume.
    pub volume: u32,
    /// The CPU, of a dump that has each by itself.
    pub cpu: u32,
    /// Message of that volume and CPU.
    pub step: u32,
}

impl Cursor {
    /// The beginning of a volume.
    pub fn at(volume: u32) -> Self {
        Self {
            volume,
            ..Self::default()
        }
    }

    /// As one word. Indexes go up to 65536, CPUs to 8192 and steps to 200: all of it fits.
    pub fn pack(self) -> u64 {
        (u64::from(self.volume) << (CPU_BITS + STEP_BITS))
            | (u64::from(self.cpu) << STEP_BITS)
            | u64::from(self.step)
    }

    /// From what [`Self::pack`] gave; of 0, the beginning.
    pub fn unpack(word: u64) -> Self {
        let bits = |shift: u32, count: u32| ((word >> shift) & ((1 << count) - 1)) as u32;
        Self {
            volume: bits(CPU_BITS + STEP_BITS, u64::BITS - CPU_BITS - STEP_BITS),
            cpu: bits(STEP_BITS, CPU_BITS),
            step: bits(0, STEP_BITS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back(volume in 0u32..=65536, cpu in 0u32..1 << CPU_BITS, step in 0u32..1 << STEP_BITS) {
            let cursor = Cursor { volume, cpu, step };
            prop_assert_eq!(Cursor::unpack(cursor.pack()), cursor);
        }
    }

    #[test]
    fn begins_at_zero() {
        assert_eq!(Cursor::unpack(0), Cursor::at(0));
    }
}
