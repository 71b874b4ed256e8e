// SPDX-License-Identifier: GPL-2.0

//! Sizes as people write and read them.

use std::fmt;

/// Bytes of a sector, the unit `s`.
const SECTOR: u64 = 512;

/// Letters of the units, each 1024 times the one before.
const LETTERS: &str = "KMGTPE";

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseSizeError {
    /// It does not begin with a whole number.
    Number,
    /// What follows the number is not a unit.
    Unit(String),
    /// It is more than 64 bits of bytes.
    TooLarge,
}

impl fmt::Display for ParseSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => f.write_str("a size is a whole number and a unit, as in 512MiB"),
            Self::Unit(unit) => write!(
                f,
                "unknown unit {unit:?}: use K, M, G, T, P, E or KiB, MiB, ... (powers of 1024), \
                 KB, MB, ... (powers of 1000), s (sectors of 512 bytes) or B"
            ),
            Self::TooLarge => f.write_str("the size exceeds 64 bits of bytes"),
        }
    }
}

impl std::error::Error for ParseSizeError {}

/// Reads the size of a sector, which is less than 4 GiB.
pub fn parse_sector(text: &str) -> Result<u32, ParseSizeError> {
    u32::try_from(parse_size(text)?).map_err(|_| ParseSizeError::TooLarge)
}

/// Reads a size: a whole number and a unit, as coreutils does, plus `s` for sectors.
pub fn parse_size(text: &str) -> Result<u64, ParseSizeError> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err(ParseSizeError::Number);
    }
    let factor = match unit {
        "" | "B" | "b" => 1,
        "s" | "S" => SECTOR,
        _ => factor(unit).ok_or_else(|| {
            if unit.starts_with(['.', ',']) {
                ParseSizeError::Number
            } else {
                ParseSizeError::Unit(unit.to_owned())
            }
        })?,
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or(ParseSizeError::TooLarge)
}

/// Bytes of a unit with a letter: `K`, `KiB`, `KB` and so on, in either case.
fn factor(unit: &str) -> Option<u64> {
    let mut chars = unit.chars();
    let letter = chars.next()?.to_ascii_uppercase();
    let power = u32::try_from(LETTERS.find(letter)?).ok()? + 1;
    match chars.as_str().to_ascii_lowercase().as_str() {
        "" | "ib" => 1024u64.checked_pow(power),
        "b" => 1000u64.checked_pow(power),
        _ => None,
    }
}

/// A size for people: binary units, at most one decimal, as in `1.5GiB`.
pub fn human_size(bytes: u64) -> String {
    let mut unit = "";
    // Tenths, so that one decimal needs no floating point.
    let mut tenths = u128::from(bytes) * 10;
    let mut divisor = 1u128;
    for letter in LETTERS.split("").filter(|letter| !letter.is_empty()) {
        // Compare what would be shown: 1023.95KiB rounds to 1MiB.
        if rounded(tenths, divisor) < 10240 {
            break;
        }
        divisor *= 1024;
        unit = letter;
    }
    tenths = rounded(tenths, divisor);
    let suffix = if unit.is_empty() { "B" } else { "iB" };
    match tenths % 10 {
        0 => format!("{}{unit}{suffix}", tenths / 10),
        tenth => format!("{}.{tenth}{unit}{suffix}", tenths / 10),
    }
}

fn rounded(value: u128, divisor: u128) -> u128 {
    (value + divisor / 2) / divisor
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    #[test]
    fn units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("2048s", 1 << 20),
            ("4K", 4096),
            ("4k", 4096),
            ("4KiB", 4096),
            ("4KB", 4000),
            ("4kB", 4000),
            ("512MiB", 512 << 20),
            ("10G", 10 << 30),
            ("10GiB", 10 << 30),
            ("10GB", 10_000_000_000),
            ("1T", 1 << 40),
            ("1P", 1 << 50),
            ("15E", 15 << 60),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refused() {
        use ParseSizeError::*;
        for (text, error) in [
            ("", Number),
            ("G", Number),
            ("-1", Number),
            ("+1", Number),
            ("1.5G", Number),
            (" 1", Number),
            ("1 G", Unit(" G".into())),
            ("1X", Unit("X".into())),
            ("1Gi", Unit("Gi".into())),
            ("1GiBs", Unit("GiBs".into())),
            ("0x10", Unit("x10".into())),
            ("16E", TooLarge),
            ("18446744073709551616", TooLarge),
            ("36028797018963968s", TooLarge),
        ] {
            assert_eq!(parse_size(text), Err(error), "{text}");
        }
    }

    #[test]
    fn for_people() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (1536, "1.5KiB"),
            (10 << 30, "10GiB"),
            ((1 << 20) - 1, "1MiB"),
            (1_000_000_000, "953.7MiB"),
            (u64::MAX, "16EiB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes: u64) {
            prop_assert_eq!(parse_size(&bytes.to_string()), Ok(bytes));
            prop_assert_eq!(parse_size(&format!("{bytes}B")), Ok(bytes));
        }

        #[test]
        fn units_multiply_or_refuse(
            number: u64,
            (unit, factor) in prop::sample::select(vec![
                ("s", 512u128), ("K", 1 << 10), ("MiB", 1 << 20), ("GB", 1_000_000_000),
                ("T", 1 << 40), ("PB", 1_000_000_000_000_000), ("E", 1 << 60),
            ]),
        ) {
            let expected = u64::try_from(u128::from(number) * factor)
                .map_err(|_| ParseSizeError::TooLarge);
            prop_assert_eq!(parse_size(&format!("{number}{unit}")), expected);
        }

        #[test]
        fn any_text(text in ".*") {
            let _ = parse_size(&text);
        }

        /// What people read is at most 5% off (half a tenth of 1), and a size itself.
        #[test]
        fn people_are_not_misled(bytes: u64) {
            let text = human_size(bytes);
            let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            let number: f64 = text[..end].parse().unwrap();
            let unit = parse_size(&format!("1{}", text[end..].trim_end_matches("iB"))).unwrap();
            let shown = number * unit as f64;
            prop_assert!((shown - bytes as f64).abs() <= 0.0501 * bytes as f64, "{text}");
        }
    }
}
