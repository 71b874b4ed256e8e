// SPDX-License-Identifier: GPL-2.0

//! Netlink attributes.

use super::{align, array, sys, Malformed};
use crate::text::Text;
use crate::uuid::Uuid;

/// Bytes of an attribute's header.
pub(super) const HEADER: usize = 4;

/// Flags in the type of an attribute.
const FLAGS: u32 = sys::NLA_F_NESTED | sys::NLA_F_NET_BYTEORDER;

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr<'a> {
    /// Type without flags.
    pub kind: u32,
    /// What it holds.
    pub payload: &'a [u8],
    /// Offset of its header in the bytes that were walked.
    pub offset: usize,
}

impl Attr<'_> {
    fn array<const N: usize>(&self) -> Result<[u8; N], Malformed> {
        self.payload
            .try_into()
            .map_err(|_| Malformed("length of an attribute"))
    }

    /// The payload as a `u8`.
    pub fn u8(&self) -> Result<u8, Malformed> {
        self.array().map(u8::from_ne_bytes)
    }

    /// The payload as a `u32`.
    pub fn u32(&self) -> Result<u32, Malformed> {
        self.array().map(u32::from_ne_bytes)
    }

    /// The payload as a `u64`.
    pub fn u64(&self) -> Result<u64, Malformed> {
        self.array().map(u64::from_ne_bytes)
    }

    /// The payload as a row of `u64`.
    pub fn u64s(&self) -> Result<impl Iterator<Item = u64> + '_, Malformed> {
        let numbers = self.payload.chunks_exact(8);
        if !numbers.remainder().is_empty() {
            return Err(Malformed("length of an attribute"));
        }
        Ok(numbers.filter_map(|bytes| array(bytes, 0).map(u64::from_ne_bytes)))
    }

    /// The payload as a UUID.
    pub fn uuid(&self) -> Result<Uuid, Malformed> {
        self.array().map(Uuid::from_bytes)
    }

    /// The payload as a string.
    pub fn text(&self) -> Text {
        Text::from_nul_padded(self.payload)
    }
}

/// Walks the attributes in `bytes`.
pub fn attrs(bytes: &[u8]) -> Attrs<'_> {
    Attrs { bytes, at: 0 }
}

/// Iterator over attributes, see [`attrs`]. Ends after the first malformed one.
#[derive(Clone, Debug)]
pub struct Attrs<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Result<Attr<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.at;
        // Fewer bytes than a header is padding.
        if self.bytes.len().saturating_sub(offset) < HEADER {
            return None;
        }
        let attr = (|| {
            let len = usize::from(u16::from_ne_bytes(array(self.bytes, offset)?));
            let kind = u32::from(u16::from_ne_bytes(array(self.bytes, offset + 2)?));
            let payload = self.bytes.get(offset + HEADER..offset + len)?;
            self.at = offset + align(len);
            Some(Attr {
                kind: kind & !FLAGS,
                payload,
                offset,
            })
        })();
        if attr.is_none() {
            self.at = self.bytes.len();
        }
        Some(attr.ok_or(Malformed("attribute")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    #[test]
    fn walks() {
        let bytes = [
            &8u16.to_ne_bytes()[..],
            &3u16.to_ne_bytes(),
            &7u32.to_ne_bytes(),
            &6u16.to_ne_bytes(),
            &0x8001u16.to_ne_bytes(),
            b"a\0\0\0",
        ]
        .concat();
        let all: Vec<_> = attrs(&bytes).map(Result::unwrap).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].u32(), Ok(7));
        assert_eq!(all[0].u64(), Err(Malformed("length of an attribute")));
        assert_eq!((all[1].kind, all[1].offset), (1, 8));
        assert_eq!(all[1].text(), Text::from("a"));
    }

    #[test]
    fn ends_at_the_first_malformed_one() {
        for len in [0u16, 3, 200] {
            let bytes = [&len.to_ne_bytes()[..], &[0; 30]].concat();
            let all: Vec<_> = attrs(&bytes).collect();
            assert_eq!(all, [Err(Malformed("attribute"))]);
        }
    }

    proptest! {
        #[test]
        fn garbage(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            for attr in attrs(&bytes).flatten() {
                let _ = (attr.u8(), attr.u64s().map(Iterator::count));
                let _ = (attr.u32(), attr.u64(), attr.uuid(), attr.text());
                prop_assert!(attr.offset + HEADER + attr.payload.len() <= bytes.len());
            }
        }
    }
}
