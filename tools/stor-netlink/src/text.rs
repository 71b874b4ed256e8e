// SPDX-License-Identifier: GPL-2.0

//! Strings that came from the kernel.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Bytes that the kernel sent as a string.
///
/// A path may hold any byte but NUL, so these are neither sure to be UTF-8 nor safe to show. The
/// type has no `Display` of its own: the caller says which of its two faces is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<u8>);

impl Text {
    /// Takes the bytes of a netlink string; ends at the first NUL.
    pub fn from_nul_padded(bytes: &[u8]) -> Self {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Self(bytes[..end].to_vec())
    }

    /// The bytes as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As UTF-8; each invalid sequence becomes U+FFFD. Control characters stay.
    pub fn lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// For a terminal: printable characters stay, everything else is escaped.
    ///
    /// Control, format and bidirectional characters become `\n`, `\t`, `\u{1b}`; bytes that are not
    /// UTF-8 become `\xff`; the backslash becomes `\\`, so that no two texts look the same.
    pub fn escape(&self) -> Escape<'_> {
        Escape(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from_nul_padded(text.as_bytes())
    }
}

/// A [`Text`] that is safe to write to a terminal, see [`Text::escape`].
#[derive(Clone, Copy, Debug)]
pub struct Escape<'a>(&'a [u8]);

impl fmt::Display for Escape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    // Harmless, and common in messages.
                    '\'' | '"' => f.write_char(c)?,
                    c => write!(f, "{}", c.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Text;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8]) -> String {
        Text::from_nul_padded(bytes).escape().to_string()
    }

    #[test]
    fn escapes() {
        assert_eq!(escaped(b"/dev/nvme0n1"), "/dev/nvme0n1");
        assert_eq!(escaped("/dev/größe 'x'".as_bytes()), "/dev/größe 'x'");
        assert_eq!(escaped(b"a\x1b[2Jb\n\t"), "a\\u{1b}[2Jb\\n\\t");
        assert_eq!(escaped(b"a\xffb\\"), "a\\xffb\\\\");
        assert_eq!(escaped("\u{9b}\u{202e}".as_bytes()), "\\u{9b}\\u{202e}");
        assert_eq!(escaped(b"ends\0here"), "ends");
    }

    proptest! {
        #[test]
        fn nothing_but_printable_leaves(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!escaped(&bytes).chars().any(char::is_control));
        }
    }
}
