// SPDX-License-Identifier: GPL-2.0

//! Acknowledgments: the outcome of a request and why.

use std::fmt;

use super::attr::{attrs, Attr};
use super::{align, array, message, sys, Malformed, Message};
use crate::text::Text;

/// The outcome of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Positive error number; 0 for success.
    pub errno: i32,
    /// A sentence for the user: why it failed, or a warning.
    pub message: Option<Text>,
    /// Offset in the request of the attribute to blame.
    pub offset: Option<u32>,
    /// Type of the attribute that is missing.
    pub missing: Option<u32>,
    /// What the attribute to blame must look like.
    pub policy: Policy,
}

/// Bounds that an attribute has to keep. Displays as in `at most 255 bytes`; empty without any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Smallest value.
    pub min: Option<u64>,
    /// Largest value.
    pub max: Option<u64>,
    /// Smallest length in bytes.
    pub min_len: Option<u32>,
    /// Largest length in bytes.
    pub max_len: Option<u32>,
}

impl Policy {
    fn decode(bytes: &[u8]) -> Self {
        let mut policy = Self::default();
        // Only a hint: what cannot be read is left out.
        for attr in attrs(bytes).flatten() {
            match attr.kind {
                sys::NL_POLICY_TYPE_ATTR_MIN_VALUE_U => policy.min = attr.u64().ok(),
                sys::NL_POLICY_TYPE_ATTR_MAX_VALUE_U => policy.max = attr.u64().ok(),
                sys::NL_POLICY_TYPE_ATTR_MIN_LENGTH => policy.min_len = attr.u32().ok(),
                sys::NL_POLICY_TYPE_ATTR_MAX_LENGTH => policy.max_len = attr.u32().ok(),
                _ => {}
            }
        }
        policy
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min_len, self.max_len) {
            (Some(min), Some(max)) if min == max => return write!(f, "exactly {max} bytes"),
            (Some(min), Some(max)) => return write!(f, "{min} to {max} bytes"),
            (None, Some(max)) => return write!(f, "at most {max} bytes"),
            (Some(min), None) => return write!(f, "at least {min} bytes"),
            (None, None) => {}
        }
        match (self.min, self.max) {
            (Some(min), Some(max)) => write!(f, "{min} to {max}"),
            (None, Some(max)) => write!(f, "at most {max}"),
            (Some(min), None) => write!(f, "at least {min}"),
            (None, None) => Ok(()),
        }
    }
}

impl Ack {
    /// Decodes an `NLMSG_ERROR` message.
    pub fn from_error(message: &Message<'_>) -> Result<Self, Malformed> {
        let bad = Malformed("acknowledgment");
        let original = array(message.payload, 4).ok_or(bad)?;
        // A capped acknowledgment repeats only the header of the request.
        let repeated = if message.has(sys::NLM_F_CAPPED) {
            message::HEADER
        } else {
            usize::try_from(u32::from_ne_bytes(original)).map_err(|_| bad)?
        };
        let end = align(repeated.min(message.payload.len())) + 4;
        Self::decode(message, end)
    }

    /// Decodes the `NLMSG_DONE` message that ends a dump.
    pub fn from_done(message: &Message<'_>) -> Result<Self, Malformed> {
        Self::decode(message, 4)
    }

    fn decode(message: &Message<'_>, attrs_at: usize) -> Result<Self, Malformed> {
        let code = array(message.payload, 0).ok_or(Malformed("acknowledgment"))?;
        let mut ack = Self {
            // Netlink errors are negative; whatever is not 0 is an error.
            errno: i32::from_ne_bytes(code).saturating_abs(),
            ..Self::default()
        };
        if message.has(sys::NLM_F_ACK_TLVS) {
            // The outcome counts more than its explanation: skip what cannot be read.
            for attr in attrs(message.payload.get(attrs_at..).unwrap_or_default()).flatten() {
                ack.take(&attr);
            }
        }
        Ok(ack)
    }

    fn take(&mut self, attr: &Attr<'_>) {
        match attr.kind {
            sys::NLMSGERR_ATTR_MSG => {
                let text = attr.text();
                self.message = (!text.as_bytes().is_empty()).then_some(text);
            }
            sys::NLMSGERR_ATTR_OFFS => self.offset = attr.u32().ok(),
            sys::NLMSGERR_ATTR_MISS_TYPE => self.missing = attr.u32().ok(),
            sys::NLMSGERR_ATTR_POLICY => self.policy = Policy::decode(attr.payload),
            _ => {}
        }
    }
}
