// SPDX-License-Identifier: GPL-2.0

//! Requests as bytes, bytes as replies.
//!
//! Nothing here makes a system call, and nothing panics whatever the bytes are.
//!
//! ```
//! use stor_netlink::wire;
//! use stor_netlink::Selector;
//!
//! let request = wire::volume_get(wire::Header { family: 0x20, seq: 1 }, &Selector::Index(0))?;
//! assert_eq!(request.as_bytes().len(), 16 + 4 + 8);
//! # Ok::<(), wire::TooLong>(())
//! ```

mod attr;
mod exchange;
mod extack;
mod message;
mod reply;
mod request;
mod stat;

use std::fmt;

pub use attr::{attrs, Attr, Attrs};
pub use exchange::{Exchange, Progress, Reply};
pub use extack::{Ack, Policy};
pub use message::{messages, GenlHeader, Message, Messages};
pub use reply::{decode_event, decode_info, decode_volume};
pub use request::{
    get_family, info_get, stat_dump, volume_del, volume_dump, volume_gate, volume_get, volume_lock,
    volume_new, volume_set, volume_unlock, Header, Request, TooLong,
};
pub use stat::{decode_stat, StatPart, StatRecord};

/// Constants of netlink itself, from the kernel headers of the build host.
#[allow(missing_docs, non_camel_case_types, non_upper_case_globals)]
#[allow(unreachable_pub, dead_code)]
pub mod sys {
    include!(concat!(env!("OUT_DIR"), "/netlink.rs"));
}

/// Number of the family that knows all others.
// Types of messages have 16 bits, but bindgen gives every constant 32.
#[allow(clippy::cast_possible_truncation)]
pub const GENL_ID_CTRL: u16 = sys::GENL_ID_CTRL as u16;

/// Bytes that are not what netlink or the family promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(
    /// What could not be read.
    pub &'static str,
);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {} from the kernel", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Rounds up to netlink's alignment of four; the same for messages and attributes.
const fn align(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// The first bytes of `bytes` as an array.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
