// SPDX-License-Identifier: GPL-2.0

//! One request and everything that answers it.

use super::message::GENL_HEADER;
use super::{messages, sys, Ack, Malformed, Message};

/// A reply, still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Generic netlink header and attributes.
    pub payload: Vec<u8>,
}

impl Reply {
    /// The attributes.
    pub fn attrs(&self) -> &[u8] {
        self.payload.get(GENL_HEADER..).unwrap_or_default()
    }
}

/// How far an exchange has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More datagrams are to come.
    More,
    /// This was the last one; the request ended so.
    Ended(Ack),
}

/// Collects what answers one request.
#[derive(Debug)]
pub struct Exchange {
    family: u16,
    seq: u32,
    /// The replies so far.
    pub replies: Vec<Reply>,
    /// Whether what is dumped changed meanwhile.
    pub interrupted: bool,
}

impl Exchange {
    /// Waits for the replies of `family` to the request number `seq`.
    pub fn new(family: u16, seq: u32) -> Self {
        Self {
            family,
            seq,
            replies: Vec::new(),
            interrupted: false,
        }
    }

    /// Takes the next datagram.
    pub fn feed(&mut self, datagram: &[u8]) -> Result<Progress, Malformed> {
        for message in messages(datagram) {
            let message = message?;
            // Left over from an earlier request that was given up.
            if message.seq != self.seq {
                continue;
            }
            if let Some(ack) = self.take(&message)? {
                return Ok(Progress::Ended(ack));
            }
        }
        Ok(Progress::More)
    }

    fn take(&mut self, message: &Message<'_>) -> Result<Option<Ack>, Malformed> {
        if message.has(sys::NLM_F_DUMP_INTR) {
            self.interrupted = true;
        }
        match u32::from(message.kind) {
            sys::NLMSG_ERROR => return Ack::from_error(message).map(Some),
            sys::NLMSG_DONE => return Ack::from_done(message).map(Some),
            kind if kind == u32::from(self.family) => {
                message.genl()?;
                self.replies.push(Reply {
                    payload: message.payload.to_vec(),
                });
            }
            _ => {}
        }
        Ok(None)
    }
}
