// SPDX-License-Identifier: GPL-2.0

//! Names of volumes.

use super::refusal::{Errno, Field, Refusal};
use core::fmt;

/// Longest name, in bytes (`STOR_NAME_MAX_LEN` of the interface).
pub const NAME_MAX: usize = 31;

/// The name of a volume: 1 to [`NAME_MAX`] characters of `A-Z a-z 0-9 . _ -`.
///
/// # Invariants
///
/// `bytes[..len]` holds only such characters, and `1 <= len <= NAME_MAX`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; NAME_MAX],
    len: u8,
}

impl Name {
    /// Checks `raw`, without a terminating NUL, and makes a name of it.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that names the rule it breaks.
    pub fn new(raw: &[u8]) -> Result<Self, Refusal> {
        if raw.is_empty() {
            return Err(refuse(format_args!(
                "empty, 1 to {NAME_MAX} characters are needed"
            )));
        }
        if let Some(at) = raw.iter().position(|&c| !is_allowed(c)) {
            let c = raw.get(at).copied().unwrap_or(0);
            return Err(if c == b' ' || c.is_ascii_graphic() {
                refuse(format_args!(
                    "'{}' at character {}, only A-Z a-z 0-9 . _ - are allowed",
                    char::from(c),
                    at + 1
                ))
            } else {
                refuse(format_args!(
                    "byte {c:#04x} at character {}, only A-Z a-z 0-9 . _ - are allowed",
                    at + 1
                ))
            });
        }
        let mut bytes = [0; NAME_MAX];
        let Some(slot) = bytes.get_mut(..raw.len()) else {
            return Err(refuse(format_args!(
                "{} characters, at most {NAME_MAX} are allowed",
                raw.len()
            )));
        };
        slot.copy_from_slice(raw);
        // INVARIANT: all characters were checked above, and the slice above has
        // 1 <= raw.len() <= NAME_MAX, which fits a u8.
        Ok(Self {
            bytes,
            len: raw.len() as u8,
        })
    }

    /// The characters of the name.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_bytes().escape_ascii(), f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_allowed(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-')
}

fn refuse(why: fmt::Arguments<'_>) -> Refusal {
    Refusal::field(Errno::Inval, Field::Name, why)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use std::string::ToString;

    fn why(raw: &[u8]) -> std::string::String {
        let refusal = Name::new(raw).unwrap_err();
        assert_eq!(refusal.errno, Errno::Inval);
        assert_eq!(refusal.field, Some(Field::Name));
        std::string::String::from_utf8(refusal.text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn refuses_by_rule() {
        assert_eq!(why(b""), "name: empty, 1 to 31 characters are needed");
        assert_eq!(
            why(&[b'a'; 32]),
            "name: 32 characters, at most 31 are allowed"
        );
        assert_eq!(
            why(b"a/b"),
            "name: '/' at character 2, only A-Z a-z 0-9 . _ - are allowed"
        );
        assert_eq!(
            why(b"a\nb"),
            "name: byte 0x0a at character 2, only A-Z a-z 0-9 . _ - are allowed"
        );
    }

    #[test]
    fn takes_the_longest() {
        let name = Name::new(&[b'z'; NAME_MAX]).unwrap();
        assert_eq!(name.as_bytes(), &[b'z'; NAME_MAX]);
    }

    proptest! {
        #[test]
        fn good_names_round_trip(s in "[A-Za-z0-9._-]{1,31}") {
            let name = Name::new(s.as_bytes()).unwrap();
            prop_assert_eq!(name.as_bytes(), s.as_bytes());
            prop_assert_eq!(name.to_string(), s);
        }

        #[test]
        fn only_good_names_pass(v in proptest::collection::vec(any::<u8>(), 0..40)) {
            let good = (1..=NAME_MAX).contains(&v.len())
                && v.iter().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(c));
            prop_assert_eq!(Name::new(&v).is_ok(), good);
        }
    }
}
