// SPDX-License-Identifier: GPL-2.0

//! Netlink attributes in a byte slice.
//!
//! The kernel has checked the attributes against the policy before this walks them; it is safe on
//! any bytes all the same.

/// Bytes of an attribute's header: its length and its type, 16 bits each.
const HEADER: usize = 4;

/// The bits of a type that are flags (nested, network byte order).
const TYPE_MASK: u16 = 0x3fff;

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr<'a> {
    /// Its type, without flags.
    pub kind: u16,
    /// Where its header starts in the slice.
    pub at: usize,
    /// What it carries, without padding.
    pub payload: &'a [u8],
}

/// A run of attributes.
#[derive(Clone, Copy, Debug)]
pub struct Attrs<'a>(pub &'a [u8]);

impl<'a> Attrs<'a> {
    /// Walks the attributes; ends at the first that does not fit.
    pub fn iter(self) -> impl Iterator<Item = Attr<'a>> {
        let bytes = self.0;
        let mut at = 0usize;
        core::iter::from_fn(move || {
            let rest = bytes.get(at..)?;
            let length = usize::from(u16_at(rest, 0)?);
            let kind = u16_at(rest, 2)? & TYPE_MASK;
            let payload = rest.get(HEADER..length)?;
            let found = Attr { kind, at, payload };
            at = at.saturating_add(length.next_multiple_of(HEADER));
            Some(found)
        })
    }

    /// The attribute of type `kind`; the last one if it stands there twice.
    pub fn get(self, kind: u16) -> Option<Attr<'a>> {
        self.iter().filter(|attr| attr.kind == kind).last()
    }

    /// The second attribute of a type that stands there twice.
    pub fn repeated(self) -> Option<Attr<'a>> {
        self.iter().find(|attr| {
            self.iter()
                .take_while(|before| before.at < attr.at)
                .any(|before| before.kind == attr.kind)
        })
    }
}

impl<'a> Attr<'a> {
    /// The payload as an 8-bit number.
    pub fn u8(&self) -> Option<u8> {
        self.payload.try_into().ok().map(u8::from_ne_bytes)
    }

    /// The payload as a 32-bit number in host order.
    pub fn u32(&self) -> Option<u32> {
        self.payload.try_into().ok().map(u32::from_ne_bytes)
    }

    /// The payload as a 64-bit number in host order.
    pub fn u64(&self) -> Option<u64> {
        self.payload.try_into().ok().map(u64::from_ne_bytes)
    }

    /// The payload as a string without its one terminating NUL.
    pub fn string(&self) -> &'a [u8] {
        self.payload.strip_suffix(&[0]).unwrap_or(self.payload)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at + 2)?;
    two.try_into().ok().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn build(list: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (kind, payload) in list {
            out.extend(((HEADER + payload.len()) as u16).to_ne_bytes());
            out.extend(kind.to_ne_bytes());
            out.extend(payload);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn finds_what_is_there() {
        let bytes = build(&[
            (1, b"vm1\0".to_vec()),
            (3, 7u32.to_ne_bytes().to_vec()),
            (0x8005, 9u64.to_ne_bytes().to_vec()),
        ]);
        let attrs = Attrs(&bytes);
        assert_eq!(attrs.get(1).unwrap().string(), b"vm1");
        assert_eq!(attrs.get(3).unwrap().u32(), Some(7));
        assert_eq!(attrs.get(3).unwrap().u64(), None);
        assert_eq!(attrs.get(5).unwrap().u64(), Some(9));
        assert_eq!(attrs.get(2), None);
        assert_eq!(attrs.repeated(), None);
    }

    #[test]
    fn sees_a_repetition() {
        let bytes = build(&[(1, b"a\0".to_vec()), (2, Vec::new()), (1, b"b\0".to_vec())]);
        let attrs = Attrs(&bytes);
        assert_eq!(attrs.get(1).unwrap().string(), b"b");
        assert_eq!(attrs.repeated().unwrap().at, 12);
    }

    #[test]
    fn inner_nul_stays() {
        let bytes = build(&[(1, b"a\0b\0".to_vec())]);
        assert_eq!(Attrs(&bytes).get(1).unwrap().string(), b"a\0b");
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(v in proptest::collection::vec(any::<u8>(), 0..200)) {
            for attr in Attrs(&v).iter() {
                prop_assert!(attr.at + HEADER + attr.payload.len() <= v.len());
            }
            let _ = Attrs(&v).repeated();
        }

        #[test]
        fn walks_what_was_built(list in proptest::collection::vec(
            (0u16..0x4000, proptest::collection::vec(any::<u8>(), 0..20)), 0..10)) {
            let bytes = build(&list);
            let seen: Vec<_> = Attrs(&bytes).iter().map(|a| (a.kind, a.payload.to_vec())).collect();
            prop_assert_eq!(seen, list);
        }
    }
}
