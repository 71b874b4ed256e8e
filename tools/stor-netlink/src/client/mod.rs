// SPDX-License-Identifier: GPL-2.0

//! Talks to the module over netlink.

mod family;
mod monitor;
mod socket;

use nix::errno::Errno;

use crate::error::{Error, Refusal};
use crate::text::Text;
use crate::types::{Info, NewVolume, Selector, Volume};
use crate::uapi;
use crate::wire::{self, Exchange, Header, Malformed, Request};
use family::Family;
use socket::Socket;

pub use monitor::{Monitor, Notice};

/// How often a dump is tried that something changes meanwhile.
const DUMP_TRIES: u32 = 5;

/// Name of the family.
fn family_name() -> Result<&'static str, Malformed> {
    uapi::STOR_FAMILY_NAME
        .to_str()
        .map_err(|_| Malformed("name of the family"))
}

/// All volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeList {
    /// The volumes in the order of their index.
    pub volumes: Vec<Volume>,
    /// Whether volumes came or went at every try, so that some may be missing or listed twice.
    pub interrupted: bool,
}

/// A connection to the module.
pub struct Client {
    socket: Socket,
    family: Family,
    warning: Option<Text>,
}

impl Client {
    /// Connects; [`Error::NotLoaded`] without the module.
    pub fn connect() -> Result<Self, Error> {
        let mut socket = Socket::open()?;
        let family = Family::resolve(&mut socket, family_name()?)?;
        Ok(Self {
            socket,
            family,
            warning: None,
        })
    }

    /// What the module had to say about a request that it carried out; asked once.
    pub fn take_warning(&mut self) -> Option<Text> {
        self.warning.take()
    }

    /// Asks what the module is.
    pub fn info(&mut self) -> Result<Info, Error> {
        let request = wire::info_get(self.header());
        let exchange = self.call(&request)?;
        let reply = exchange.replies.first().ok_or(Malformed("empty reply"))?;
        Ok(wire::decode_info(reply.attrs())?)
    }

    /// Makes a volume.
    pub fn volume_new(&mut self, volume: &NewVolume) -> Result<Volume, Error> {
        let request = wire::volume_new(self.header(), volume)?;
        let exchange = self.call(&request)?;
        match exchange.replies.first() {
            Some(reply) => Ok(wire::decode_volume(reply.attrs())?),
            // It was made all the same.
            None => self.volume_get(&Selector::Name(volume.name.clone())),
        }
    }

    /// Deletes a volume.
    pub fn volume_del(&mut self, selector: &Selector) -> Result<(), Error> {
        let request = wire::volume_del(self.header(), selector)?;
        self.call(&request)?;
        Ok(())
    }

    /// Asks for one volume.
    pub fn volume_get(&mut self, selector: &Selector) -> Result<Volume, Error> {
        let request = wire::volume_get(self.header(), selector)?;
        let exchange = self.call(&request)?;
        let reply = exchange.replies.first().ok_or(Malformed("empty reply"))?;
        Ok(wire::decode_volume(reply.attrs())?)
    }

    /// Asks for all volumes; again and again while volumes come and go, but not for ever.
    pub fn volume_list(&mut self) -> Result<VolumeList, Error> {
        let mut tries = DUMP_TRIES;
        loop {
            let request = wire::volume_dump(self.header());
            let exchange = self.call(&request)?;
            tries -= 1;
            if exchange.interrupted && tries > 0 {
                continue;
            }
            let volumes: Result<Vec<_>, _> = exchange
                .replies
                .iter()
                .map(|reply| wire::decode_volume(reply.attrs()))
                .collect();
            return Ok(VolumeList {
                volumes: volumes?,
                interrupted: exchange.interrupted,
            });
        }
    }

    fn header(&mut self) -> Header {
        Header {
            family: self.family.id,
            seq: self.socket.next_seq(),
        }
    }

    fn call(&mut self, request: &Request) -> Result<Exchange, Error> {
        let (exchange, ack) = self.socket.call(self.family.id, request)?;
        if ack.errno == 0 {
            self.warning = ack.message;
            return Ok(exchange);
        }
        // Without a family of this number generic netlink answers ENOENT, and gives no reason.
        if Errno::from_raw(ack.errno) == Errno::ENOENT && ack.message.is_none() {
            Family::resolve(&mut self.socket, family_name()?)?;
        }
        Err(Error::Refused(Refusal::new(ack, request)))
    }
}
