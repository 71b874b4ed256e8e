// SPDX-License-Identifier: GPL-2.0

//! A key on its way from the user to the kernel.

use std::io::{self, Read};

use nix::sys::mman::{mlockall, MlockAllFlags};
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{setrlimit, Resource};
use stor_model::crypt::{check_key, KEY_MAX};
use zeroize::{Zeroize, Zeroizing};

/// Longest text that can be a key: hexadecimal digits, each with white space around.
const TEXT_MAX: usize = 4 * 2 * KEY_MAX;

/// Keeps what this process knows from reaching a disk: by swap, or by a core dump.
///
/// # Errors
///
/// That of the system call that failed.
pub fn keep_in_memory() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    set_dumpable(false)?;
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)?;
    Ok(())
}

/// Why something is no key.
#[derive(Debug)]
pub enum BadKey {
    /// It could not be read.
    Io(io::Error),
    /// It is against a rule.
    Rule(String),
}

impl From<io::Error> for BadKey {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A key. Its memory is wiped when it is dropped; it is not moved, as what is left behind would not
/// be wiped.
pub struct Secret {
    bytes: Box<Zeroizing<[u8; KEY_MAX + 1]>>,
    length: usize,
}

impl Secret {
    /// Reads a key: all there is. Nothing is kept elsewhere if `from` has no buffer.
    ///
    /// # Errors
    ///
    /// If it can not be read, or is none.
    pub fn read(from: &mut impl Read, hex: bool) -> Result<Self, BadKey> {
        let mut secret = Self {
            bytes: Box::new(Zeroizing::new([0; KEY_MAX + 1])),
            length: 0,
        };
        if hex {
            let mut text = Box::new(Zeroizing::new([0; TEXT_MAX]));
            let length = fill(from, &mut text[..])?;
            if length == TEXT_MAX {
                return Err(BadKey::Rule("too long for a key".to_owned()));
            }
            secret.length = decode(&text[..length], &mut secret.bytes[..])?;
        } else {
            secret.length = fill(from, &mut secret.bytes[..])?;
        }
        secret.check()
    }

    /// Draws a key of so many bytes.
    ///
    /// # Errors
    ///
    /// If the random generator can not be read.
    pub fn random(length: usize) -> Result<Self, BadKey> {
        Self::read(
            &mut std::fs::File::open("/dev/urandom")?.take(length as u64),
            false,
        )
    }

    /// Has somebody else write a key, and say how long it is.
    ///
    /// # Errors
    ///
    /// That of `write`.
    pub fn fill<E>(write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<Self, E> {
        let mut secret = Self {
            bytes: Box::new(Zeroizing::new([0; KEY_MAX + 1])),
            length: 0,
        };
        secret.length = write(&mut secret.bytes[..])?;
        Ok(secret)
    }

    fn check(self) -> Result<Self, BadKey> {
        if self.length > KEY_MAX {
            return Err(BadKey::Rule(format!(
                "more than {KEY_MAX} bytes long, 32 or 64 are needed"
            )));
        }
        check_key(&self.bytes[..], self.length).map_err(|refusal| {
            let text = String::from_utf8_lossy(refusal.text.as_bytes()).into_owned();
            BadKey::Rule(text.trim_start_matches("key: ").to_owned())
        })?;
        Ok(self)
    }

    /// The key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Reads until the end, or until the buffer is full.
fn fill(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < to.len() {
        match from.read(&mut to[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Decodes hexadecimal digits; gives the number of bytes.
fn decode(text: &[u8], to: &mut [u8]) -> Result<usize, BadKey> {
    let mut digits = 0;
    let mut high = 0;
    for &byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            // Not which: it may be a part of the key.
            _ => {
                return Err(BadKey::Rule(
                    "there is something else than hexadecimal digits".to_owned(),
                ))
            }
        };
        if digits % 2 == 0 {
            high = digit << 4;
        } else if let Some(slot) = to.get_mut(digits / 2) {
            *slot = high | digit;
        } else {
            // One that is too long is told by its length.
            return Ok(to.len());
        }
        digits += 1;
    }
    high.zeroize();
    if digits % 2 != 0 {
        return Err(BadKey::Rule(
            "the number of hexadecimal digits is odd".to_owned(),
        ));
    }
    Ok(digits / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    fn refused(text: &[u8], hex: bool) -> String {
        match Secret::read(&mut &text[..], hex) {
            Err(BadKey::Rule(why)) => why,
            Err(BadKey::Io(error)) => panic!("{error}"),
            Ok(_) => panic!("taken"),
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(refused(b"", false), "0 bytes long, 32 or 64 are needed");
        assert_eq!(
            refused(&[1; 33], false),
            "33 bytes long, 32 or 64 are needed"
        );
        assert_eq!(
            refused(&[1; 65], false),
            "more than 64 bytes long, 32 or 64 are needed"
        );
        assert_eq!(refused(&[1; 64], false), "its two halves are equal");
        assert_eq!(
            refused(b"00112", true),
            "the number of hexadecimal digits is odd"
        );
        assert_eq!(
            refused(b"0x00", true),
            "there is something else than hexadecimal digits"
        );
        assert_eq!(
            refused(&[b'a'; 200], true),
            "more than 64 bytes long, 32 or 64 are needed"
        );
        assert_eq!(refused(&[b' '; 2000], true), "too long for a key");
    }

    #[test]
    fn draws_different_ones() {
        let one = Secret::random(64).unwrap();
        assert_eq!(one.as_bytes().len(), 64);
        assert!(one.as_bytes() != Secret::random(64).unwrap().as_bytes());
    }

    proptest! {
        #[test]
        fn reads_what_was_written(key in prop::collection::vec(any::<u8>(), 64), short: bool) {
            let key = &key[..if short { 32 } else { 64 }];
            prop_assume!(key[..key.len() / 2] != key[key.len() / 2..]);
            let read = Secret::read(&mut &key[..], false).unwrap();
            prop_assert_eq!(read.as_bytes(), key);
            let mut hex = String::new();
            for (n, byte) in key.iter().enumerate() {
                hex += &if n % 2 == 0 { format!("{byte:02x}") } else { format!("{byte:02X}\n") };
            }
            let read = Secret::read(&mut hex.as_bytes(), true).unwrap();
            prop_assert_eq!(read.as_bytes(), key);
        }
    }
}
