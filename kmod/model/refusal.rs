// SPDX-License-Identifier: GPL-2.0

//! A refusal: why a request of the user is turned down, in one sentence.

use core::fmt::{self, Write};

/// Longest sentence that fits the buffer of an extended acknowledgment, without its NUL
/// (`NETLINK_MAX_FMTMSG_LEN - 1`).
pub const TEXT_MAX: usize = 79;

/// Characters of a value from the user that a sentence repeats.
const QUOTE_MAX: usize = 32;

/// The error number that goes with a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// Access denied: the backing is read-only.
    Acces,
    /// It is so already.
    Already,
    /// In use.
    Busy,
    /// It exists already.
    Exist,
    /// Too many layers.
    Loop,
    /// The value is against a rule.
    Inval,
    /// No such thing.
    NoEnt,
    /// No memory.
    NoMem,
    /// No space: too small, or no number left.
    NoSpc,
    /// No key of that name.
    NoKey,
    /// The key has expired.
    KeyExpired,
    /// It is the wrong key.
    KeyRejected,
    /// The key was revoked.
    KeyRevoked,
    /// Not a block device.
    NotBlk,
    /// The backing has no device behind it.
    NxIo,
    /// Not done by this version.
    OpNotSupp,
    /// The value is outside what can be represented.
    Overflow,
    /// Not permitted.
    Perm,
    /// The value is outside its range.
    Range,
    /// It took too long.
    TimedOut,
}

/// The attribute that is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Name of a volume.
    Name,
    /// UUID of a volume.
    Uuid,
    /// The N of `/dev/storN`.
    Index,
    /// Path of the backing.
    Backing,
    /// First byte on the backing.
    Offset,
    /// Size in bytes.
    Length,
    /// Whether the disk refuses writes.
    ReadOnly,
    /// Name of the key.
    Key,
    /// Size of a crypto sector.
    CryptoSector,
    /// What is added to the number of a sector.
    IvOffset,
    /// Whether tweaks count crypto sectors.
    IvLargeSectors,
    /// Whether an encrypted disk takes discards.
    Discard,
    /// What happens to the I/O of a locked volume.
    Lock,
    /// Who encrypts.
    CryptoEngine,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Name => "name",
            Field::Uuid => "uuid",
            Field::Index => "index",
            Field::Backing => "backing",
            Field::Offset => "offset",
            Field::Length => "length",
            Field::ReadOnly => "read-only",
            Field::Key => "key",
            Field::CryptoSector => "crypto-sector",
            Field::IvOffset => "iv-offset",
            Field::IvLargeSectors => "iv-large-sectors",
            Field::Discard => "discard",
            Field::Lock => "lock",
            Field::CryptoEngine => "crypto-engine",
        })
    }
}

/// A sentence of at most [`TEXT_MAX`] bytes of printable ASCII. What does not fit is cut off.
#[derive(Clone)]
pub struct Text {
    bytes: [u8; TEXT_MAX],
    len: usize,
}

impl Text {
    const fn new() -> Self {
        Self {
            bytes: [0; TEXT_MAX],
            len: 0,
        }
    }

    /// The sentence.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for &byte in s.as_bytes() {
            let Some(slot) = self.bytes.get_mut(self.len) else {
                break;
            };
            *slot = if byte == b' ' || byte.is_ascii_graphic() {
                byte
            } else {
                b'?'
            };
            self.len += 1;
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

/// Why a request is turned down.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The attribute to blame, if it is one.
    pub field: Option<Field>,
    /// Whether the field is to blame for not being there.
    pub missing: bool,
    /// The sentence; it starts with the name of the attribute.
    pub text: Text,
}

impl Refusal {
    /// A refusal that blames `field`; the sentence becomes `field: why`.
    pub fn field(errno: Errno, field: Field, why: fmt::Arguments<'_>) -> Self {
        let mut text = Text::new();
        // Writing to a `Text` cuts off, it does not fail.
        let _ = write!(text, "{field}: {why}");
        Self {
            errno,
            field: Some(field),
            missing: false,
            text,
        }
    }

    /// A refusal of a request without `field`, which has to be there.
    pub fn missing(field: Field) -> Self {
        Self {
            missing: true,
            ..Self::field(Errno::Inval, field, format_args!("missing, it is needed"))
        }
    }

    /// A refusal for want of memory.
    pub fn no_memory() -> Self {
        Self::plain(Errno::NoMem, format_args!("out of memory"))
    }

    /// A refusal that blames no attribute.
    pub fn plain(errno: Errno, why: fmt::Arguments<'_>) -> Self {
        let mut text = Text::new();
        let _ = text.write_fmt(why);
        Self {
            errno,
            field: None,
            missing: false,
            text,
        }
    }
}

/// A value from the user, shortened so that the rule behind it still fits the sentence.
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0.iter().take(QUOTE_MAX) {
            let shown = if byte == b' ' || byte.is_ascii_graphic() {
                byte
            } else {
                b'?'
            };
            f.write_char(char::from(shown))?;
        }
        if self.0.len() > QUOTE_MAX {
            f.write_str("...")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    #[test]
    fn names_the_field() {
        let r = Refusal::field(Errno::Inval, Field::Offset, format_args!("{} is odd", 3));
        assert_eq!(r.text.as_bytes(), b"offset: 3 is odd");
        assert_eq!(r.field, Some(Field::Offset));
        let r = Refusal::no_memory();
        assert_eq!(r.errno, Errno::NoMem);
        assert_eq!(r.text.as_bytes(), b"out of memory");
        assert_eq!(r.field, None);
    }

    proptest! {
        #[test]
        fn text_is_short_and_printable(s in ".*") {
            let r = Refusal::plain(Errno::Inval, format_args!("{s}"));
            prop_assert!(r.text.as_bytes().len() <= TEXT_MAX);
            prop_assert!(r.text.as_bytes().iter().all(|&b| b == b' ' || b.is_ascii_graphic()));
        }

        #[test]
        fn quotes_are_bounded(v in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut text = Text::new();
            write!(text, "{}", Quoted(&v)).unwrap();
            prop_assert!(text.as_bytes().len() <= QUOTE_MAX + 3);
        }
    }
}
