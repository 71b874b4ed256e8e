// SPDX-License-Identifier: GPL-2.0

//! UUIDs: sixteen bytes in network byte order on the wire, canonical text for people.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::uapi::STOR_UUID_LEN;

/// Bytes of a UUID.
const LEN: usize = STOR_UUID_LEN as usize;

/// Offsets of the hyphens in the canonical text.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// A UUID. Displays as canonical lower-case text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uuid([u8; LEN]);

impl Uuid {
    /// Takes the bytes in network byte order.
    pub const fn from_bytes(bytes: [u8; LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes in network byte order.
    pub const fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The text is not a UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseUuidError;

impl fmt::Display for ParseUuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a UUID such as 4f1c2d3e-5a6b-4c7d-8e9f-0a1b2c3d4e5f")
    }
}

impl Error for ParseUuidError {}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.as_bytes();
        if text.len() != 2 * LEN + HYPHENS.len() {
            return Err(ParseUuidError);
        }
        let mut bytes = [0; LEN];
        let mut digits = 0;
        for (at, c) in text.iter().enumerate() {
            if HYPHENS.contains(&at) {
                if *c != b'-' {
                    return Err(ParseUuidError);
                }
                continue;
            }
            let digit = match c {
                b'0'..=b'9' => c - b'0',
                b'a'..=b'f' => c - b'a' + 10,
                b'A'..=b'F' => c - b'A' + 10,
                _ => return Err(ParseUuidError),
            };
            bytes[digits / 2] = (bytes[digits / 2] << 4) | digit;
            digits += 1;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    const TEXT: &str = "4f1c2d3e-5a6b-4c7d-8e9f-0a1b2c3d4e5f";

    #[test]
    fn network_byte_order() {
        let uuid: Uuid = TEXT.parse().unwrap();
        assert_eq!(uuid.as_bytes()[..4], [0x4f, 0x1c, 0x2d, 0x3e]);
        assert_eq!(uuid.as_bytes()[15], 0x5f);
        assert_eq!(uuid.to_string(), TEXT);
        assert_eq!(TEXT.to_uppercase().parse(), Ok(uuid));
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "4f1c2d3e5a6b4c7d8e9f0a1b2c3d4e5f",
            "4f1c2d3e-5a6b-4c7d-8e9f-0a1b2c3d4e5",
            "4f1c2d3e-5a6b-4c7d-8e9f-0a1b2c3d4e5g",
            "4f1c2d3e-5a6b-4c7d-8e9f+0a1b2c3d4e5f",
            "4f1c2d3e5-a6b-4c7d-8e9f-0a1b2c3d4e5f",
            "{4f1c2d3e-5a6b-4c7d-8e9f-0a1b2c3d4e5f}",
        ] {
            assert_eq!(text.parse::<Uuid>(), Err(ParseUuidError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(bytes: [u8; LEN]) {
            let uuid = Uuid::from_bytes(bytes);
            prop_assert_eq!(uuid.to_string().parse::<Uuid>(), Ok(uuid));
        }

        #[test]
        fn any_text(text in ".*") {
            let _ = text.parse::<Uuid>();
        }
    }
}
