// SPDX-License-Identifier: GPL-2.0

//! Netlink messages and the generic netlink header.

use super::{align, array, Malformed};

/// Bytes of a netlink header.
pub(super) const HEADER: usize = 16;
/// Bytes of a generic netlink header.
pub(super) const GENL_HEADER: usize = 4;

/// One message of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Type: a control type such as `NLMSG_ERROR`, or the number of a family.
    pub kind: u16,
    /// Flags, `NLM_F_*`.
    pub flags: u16,
    /// Number of the request that this answers; 0 in notifications.
    pub seq: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Whether any of `flags` is set.
    pub fn has(&self, flags: u32) -> bool {
        u32::from(self.flags) & flags != 0
    }

    /// Splits the payload into a generic netlink header and attributes.
    pub fn genl(&self) -> Result<(GenlHeader, &'a [u8]), Malformed> {
        match *self.payload {
            [cmd, version, _, _, ref attrs @ ..] => Ok((GenlHeader { cmd, version }, attrs)),
            _ => Err(Malformed("generic netlink header")),
        }
    }
}

/// Header of a generic netlink message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenlHeader {
    /// Command.
    pub cmd: u8,
    /// Version of the family.
    pub version: u8,
}

/// Walks the messages of a datagram.
pub fn messages(bytes: &[u8]) -> Messages<'_> {
    Messages { rest: bytes }
}

/// Iterator over messages, see [`messages`]. Ends after the first malformed one.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = (|| {
            let len = usize::try_from(u32::from_ne_bytes(array(self.rest, 0)?)).ok()?;
            let payload = self.rest.get(HEADER..len)?;
            Some((
                len,
                Message {
                    kind: u16::from_ne_bytes(array(self.rest, 4)?),
                    flags: u16::from_ne_bytes(array(self.rest, 6)?),
                    seq: u32::from_ne_bytes(array(self.rest, 8)?),
                    payload,
                },
            ))
        })();
        self.rest = match message {
            Some((len, _)) => self.rest.get(align(len)..).unwrap_or_default(),
            None => &[],
        };
        Some(
            message
                .map(|(_, message)| message)
                .ok_or(Malformed("message")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn garbage(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            for message in messages(&bytes).flatten() {
                let _ = message.genl();
            }
        }

        /// Lengths that are nearly right reach further than plain garbage does.
        #[test]
        fn near_misses(len in 0u32..80, bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let bytes = [&len.to_ne_bytes()[..], &bytes].concat();
            let count = messages(&bytes).count();
            prop_assert!(count >= 1 && count <= bytes.len());
        }
    }
}
