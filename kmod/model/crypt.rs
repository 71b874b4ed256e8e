// SPDX-License-Identifier: GPL-2.0

//! How a volume is encrypted: what the user may ask for, and which tweak a sector gets.
//!
//! The format is that of dm-crypt's `aes-xts-plain64`: each crypto sector is a message of its own,
//! whose tweak is its number.

use super::extent::Extent;
use super::refusal::{Errno, Field, Quoted, Refusal};
use super::units::{Bytes, Sectors, SECTOR_SHIFT};

/// Largest crypto sector, in bytes.
pub const SECTOR_MAX: u32 = 4096;

/// Smallest crypto sector, in bytes.
pub const SECTOR_MIN: u32 = 1 << SECTOR_SHIFT;

/// Longest key, in bytes: two of AES-256.
pub const KEY_MAX: usize = 64;

/// What the user asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Size of a crypto sector, in bytes.
    pub sector: Option<u32>,
    /// What is added to the number of a sector, in units of 512 bytes.
    pub iv_offset: Option<u64>,
    /// Whether the tweak counts crypto sectors, not units of 512 bytes.
    pub iv_large_sectors: Option<bool>,
}

/// Which crypto sectors a volume has, and their tweaks.
///
/// # Invariants
///
/// `shift` is 0 to 3, and the IV offset a multiple of `1 << shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size of a crypto sector, as a power of two of 512 bytes.
    shift: u32,
    /// In units of 512 bytes.
    iv_offset: u64,
    /// Whether tweaks count crypto sectors.
    large: bool,
    /// By how much a number in units of 512 bytes is shifted to be a tweak.
    tweak_shift: u32,
}

impl Geometry {
    /// Chooses the crypto sectors for a volume on `extent`, whose backing has blocks of `block`
    /// bytes, and cuts from the extent what is less than a sector unless its length was `given`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that names the attribute, the value and the rule.
    pub fn choose(
        wanted: &Wanted,
        extent: Extent,
        given: bool,
        block: u32,
    ) -> Result<(Self, Extent), Refusal> {
        let sector = match wanted.sector {
            Some(sector) => check_sector(sector)?,
            None if (extent.start().0 | extent.length().0) & u64::from(SECTOR_MAX - 1) == 0 => {
                SECTOR_MAX
            }
            // What is no multiple of 4096 has smaller blocks.
            None => block.clamp(SECTOR_MIN, SECTOR_MAX),
        };
        let shift = sector.trailing_zeros() - SECTOR_SHIFT;
        let iv_offset = wanted.iv_offset.unwrap_or(0);
        if iv_offset & ((1 << shift) - 1) != 0 {
            return Err(Refusal::field(
                Errno::Inval,
                Field::IvOffset,
                format_args!(
                    "{iv_offset} is not a multiple of {}, one crypto sector",
                    1 << shift
                ),
            ));
        }
        let large = wanted.iv_large_sectors.unwrap_or(false);
        // INVARIANT: The sector is 512 to 4096, and the offset was checked.
        let geometry = Self {
            shift,
            iv_offset,
            large,
            tweak_shift: if large { shift } else { 0 },
        };
        let extent = if given {
            geometry.check_length(extent.length())?;
            extent
        } else {
            extent.trim(u64::from(sector)).ok_or_else(|| {
                Refusal::field(
                    Errno::NoSpc,
                    Field::Offset,
                    format_args!("{} leaves less than a crypto sector", extent.start()),
                )
            })?
        };
        Ok((geometry, extent))
    }

    /// Checks the size of a volume.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if the volume is not of whole sectors.
    pub fn check_length(&self, length: Bytes) -> Result<(), Refusal> {
        let sector = self.sector();
        if length.0 & u64::from(sector - 1) != 0 {
            return Err(Refusal::field(
                Errno::Inval,
                Field::Length,
                format_args!("{length} is not a multiple of the crypto sector {sector}"),
            ));
        }
        Ok(())
    }

    /// Checks whether the kernel's inline encryption can do it with a key of `key_bits`: it has
    /// AES-256-XTS only, and counts from each sector to the next by one.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that says what it can not do.
    pub fn check_inline(&self, key_bits: u32) -> Result<(), Refusal> {
        const WANTED_BITS: u32 = 8 * KEY_MAX as u32;
        if key_bits != WANTED_BITS {
            return Err(Refusal::field(
                Errno::OpNotSupp,
                Field::Key,
                format_args!("{key_bits} bits long, blk-crypto takes only {WANTED_BITS}"),
            ));
        }
        if self.step() != 1 {
            return Err(Refusal::field(
                Errno::OpNotSupp,
                Field::IvLargeSectors,
                format_args!(
                    "0, blk-crypto can only count crypto sectors, of {} bytes",
                    self.sector()
                ),
            ));
        }
        // A tweak begins again from 0 where those numbers go on. No disk has so many sectors as
        // are left to it here.
        if self.iv_offset > i64::MAX as u64 {
            return Err(Refusal::field(
                Errno::OpNotSupp,
                Field::IvOffset,
                format_args!("{} is not below 2^63, for blk-crypto", self.iv_offset),
            ));
        }
        Ok(())
    }

    /// Size of a crypto sector, in bytes.
    pub fn sector(&self) -> u32 {
        SECTOR_MIN << self.shift
    }

    /// What is added to the number of a sector, in units of 512 bytes.
    pub fn iv_offset(&self) -> u64 {
        self.iv_offset
    }

    /// Whether tweaks count crypto sectors.
    pub fn iv_large_sectors(&self) -> bool {
        self.large
    }

    /// The tweak of the crypto sector that begins at `sector` of the volume; its 8 bytes in
    /// little-endian order are followed by 8 of zeros. Any context.
    #[inline]
    pub fn tweak(&self, sector: Sectors) -> u64 {
        sector
            .0
            .wrapping_add(self.iv_offset)
            .wrapping_shr(self.tweak_shift)
    }

    /// The difference of the tweaks of one crypto sector and the next.
    #[inline]
    pub fn step(&self) -> u64 {
        self.growth(Bytes(self.sector().into()))
    }

    /// By how much the tweak grows over so many bytes, whole sectors.
    #[inline]
    pub fn growth(&self, length: Bytes) -> u64 {
        length.to_sectors().0.wrapping_shr(self.tweak_shift)
    }
}

fn check_sector(sector: u32) -> Result<u32, Refusal> {
    if sector.is_power_of_two() && (SECTOR_MIN..=SECTOR_MAX).contains(&sector) {
        return Ok(sector);
    }
    Err(Refusal::field(
        Errno::Inval,
        Field::CryptoSector,
        format_args!("{sector} is none of 512, 1024, 2048 and 4096"),
    ))
}

/// Types of keys in the kernel's keyrings that can be a volume's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// User space can write it, and not read it.
    Logon,
    /// User space can read it.
    User,
    /// Encrypted by another key.
    Encrypted,
    /// Encrypted by hardware.
    Trusted,
}

/// Takes the name of a key apart, as in `logon:stor:vm1`: a type, and the description that it has
/// in the keyring.
///
/// # Errors
///
/// A [`Refusal`] if it has no such form.
pub fn key_name(name: &[u8]) -> Result<(KeyType, &[u8]), Refusal> {
    const TYPES: [(&[u8], KeyType); 4] = [
        (b"logon:", KeyType::Logon),
        (b"user:", KeyType::User),
        (b"encrypted:", KeyType::Encrypted),
        (b"trusted:", KeyType::Trusted),
    ];
    let refuse = |why: &str| {
        Err(Refusal::field(
            Errno::Inval,
            Field::Key,
            format_args!("{} {why}", Quoted(name)),
        ))
    };
    for (prefix, key_type) in TYPES {
        if let Some(description) = name.strip_prefix(prefix) {
            if description.is_empty() {
                return refuse("has nothing after the colon");
            }
            if description.contains(&0) {
                return refuse("has a NUL in it");
            }
            return Ok((key_type, description));
        }
    }
    refuse("is not logon|user|encrypted|trusted:ID")
}

/// Checks a key of `length` bytes, of which as many are there as a key may have. Nothing of them is
/// told.
///
/// # Errors
///
/// A [`Refusal`] for one of another length than that of two keys of AES-128 or AES-256, or of two
/// equal halves, with which XTS is as weak as ECB.
pub fn check_key(key: &[u8], length: usize) -> Result<(), Refusal> {
    let refuse = |why: core::fmt::Arguments<'_>| Err(Refusal::field(Errno::Inval, Field::Key, why));
    let key = match length {
        32 | KEY_MAX => key.get(..length),
        _ => None,
    };
    let Some(key) = key else {
        return refuse(format_args!("{length} bytes long, 32 or 64 are needed"));
    };
    let (data, tweak) = key.split_at(length / 2);
    // Not by `==`, whose time tells how much of it is equal.
    let differ = data
        .iter()
        .zip(tweak)
        .fold(0, |bits, (a, b)| bits | (a ^ b));
    if differ == 0 {
        return refuse(format_args!("its two halves are equal"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::extent::Backing;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use std::string::String;

    fn extent(offset: u64, length: u64) -> Extent {
        let backing = Backing {
            size: Bytes(u64::MAX),
            block: 512,
        };
        Extent::place(Some(Bytes(offset)), Some(Bytes(length)), &backing).unwrap()
    }

    fn told(r: Refusal) -> String {
        String::from_utf8(r.text.as_bytes().to_vec()).unwrap()
    }

    fn sector_of(offset: u64, length: u64, block: u32) -> u32 {
        let wanted = Wanted::default();
        let (geometry, same) =
            Geometry::choose(&wanted, extent(offset, length), true, block).unwrap();
        assert_eq!(same, extent(offset, length));
        geometry.sector()
    }

    #[test]
    fn the_largest_sector_that_fits() {
        assert_eq!(sector_of(0, 1 << 20, 512), 4096);
        assert_eq!(sector_of(4096, 8192, 4096), 4096);
        assert_eq!(sector_of(512, 1 << 20, 512), 512);
        assert_eq!(sector_of(0, 4096 + 512, 512), 512);
        assert_eq!(sector_of(2048, 1 << 20, 2048), 2048);
        assert_eq!(sector_of(0, 1 << 20, 16384), 4096);
    }

    #[test]
    fn refuses_by_rule() {
        let refused = |wanted: Wanted, length| {
            told(Geometry::choose(&wanted, extent(0, length), true, 512).unwrap_err())
        };
        let sector = |sector| Wanted {
            sector: Some(sector),
            ..Wanted::default()
        };
        for bad in [0, 256, 513, 3072, 8192, u32::MAX] {
            assert_eq!(
                refused(sector(bad), 1 << 20),
                std::format!("crypto-sector: {bad} is none of 512, 1024, 2048 and 4096")
            );
        }
        assert_eq!(
            refused(sector(1024), 1536),
            "length: 1536 is not a multiple of the crypto sector 1024"
        );
        let odd = Wanted {
            iv_offset: Some(12),
            ..sector(4096)
        };
        assert_eq!(
            refused(odd, 1 << 20),
            "iv-offset: 12 is not a multiple of 8, one crypto sector"
        );
    }

    #[test]
    fn cuts_a_tail_that_nobody_asked_for() {
        let wanted = Wanted {
            sector: Some(4096),
            ..Wanted::default()
        };
        let choose = |length| Geometry::choose(&wanted, extent(512, length), false, 512);
        assert_eq!(choose(8192 + 512).unwrap().1, extent(512, 8192));
        assert_eq!(
            told(choose(3584).unwrap_err()),
            "offset: 512 leaves less than a crypto sector"
        );
    }

    #[test]
    fn what_is_not_encrypted_below() {
        let check = |sector, large, offset, bits| {
            let wanted = Wanted {
                sector: Some(sector),
                iv_offset: Some(offset),
                iv_large_sectors: Some(large),
            };
            let (geometry, _) = Geometry::choose(&wanted, extent(0, 1 << 20), true, 512).unwrap();
            geometry.check_inline(bits).map_err(told)
        };
        for large in [false, true] {
            assert_eq!(check(512, large, 0, 512), Ok(()));
        }
        for sector in [1024, 2048, 4096] {
            assert_eq!(check(sector, true, (1 << 63) - 8, 512), Ok(()));
            assert_eq!(
                check(sector, false, 0, 512),
                Err(std::format!(
                    "iv-large-sectors: 0, blk-crypto can only count crypto sectors, of {sector} bytes"
                ))
            );
        }
        assert_eq!(
            check(512, false, 0, 256),
            Err("key: 256 bits long, blk-crypto takes only 512".into())
        );
        assert_eq!(
            check(4096, true, 1 << 63, 512),
            Err("iv-offset: 9223372036854775808 is not below 2^63, for blk-crypto".into())
        );
    }

    #[test]
    fn names_of_keys() {
        assert_eq!(
            key_name(b"logon:stor:vm1").unwrap(),
            (KeyType::Logon, &b"stor:vm1"[..])
        );
        assert_eq!(key_name(b"user:k").unwrap(), (KeyType::User, &b"k"[..]));
        let refused = |name: &[u8]| told(key_name(name).unwrap_err());
        assert_eq!(
            refused(b"vm1"),
            "key: vm1 is not logon|user|encrypted|trusted:ID"
        );
        assert_eq!(refused(b"user:"), "key: user: has nothing after the colon");
        assert_eq!(refused(b"user:a\0b"), "key: user:a?b has a NUL in it");
    }

    #[test]
    fn bad_keys() {
        let refused = |key: &[u8]| told(check_key(key, key.len()).unwrap_err());
        for length in [0, 16, 31, 48, 65, 128] {
            assert_eq!(
                refused(&std::vec![1; length]),
                std::format!("key: {length} bytes long, 32 or 64 are needed")
            );
        }
        let mut key = [7; 64];
        assert_eq!(refused(&key), "key: its two halves are equal");
        assert_eq!(refused(&key[..32]), "key: its two halves are equal");
        key[63] = 8;
        assert!(check_key(&key, 64).is_ok());
        key[31] = 8;
        assert_eq!(refused(&key), "key: its two halves are equal");
        assert!(check_key(&key, 32).is_ok());
        assert!(check_key(&key, 128).is_err());
    }

    proptest! {
        // The words of dm-crypt: the number is in units of 512 bytes unless it is said otherwise.
        #[test]
        fn tweaks_count_up(
            shift in 0u32..4,
            large: bool,
            offset in 0u64..1 << 60,
            index in 0u64..1 << 50,
        ) {
            let wanted = Wanted {
                sector: Some(512 << shift),
                iv_offset: Some(offset << shift),
                iv_large_sectors: Some(large),
            };
            let (geometry, _) =
                Geometry::choose(&wanted, extent(0, 1 << 30), true, 512).unwrap();
            let tweak = geometry.tweak(Sectors(index << shift));
            let expected = if large { index + offset } else { (index + offset) << shift };
            prop_assert_eq!(tweak, expected);
            let next = geometry.tweak(Sectors((index + 1) << shift));
            prop_assert_eq!(next - tweak, geometry.step());
        }
    }
}
