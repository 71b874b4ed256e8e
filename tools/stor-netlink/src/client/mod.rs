// SPDX-License-Identifier: GPL-2.0

//! Talks to the module over netlink.

mod family;
mod monitor;
mod socket;

use nix::errno::Errno;

use crate::error::{Error, Refusal};
use crate::stat::{Stat, StatAssembly};
use crate::text::Text;
use crate::types::{Change, Info, NewVolume, Selector, Volume, VolumeLock};
use crate::uapi;
use crate::wire::{self, Ack, Exchange, Header, Malformed, Request};
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

/// What volumes have done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatList {
    /// One for each volume, or for each CPU of each, in the order in which they came: that of the
    /// volumes' index.
    pub stats: Vec<Stat>,
    /// Whether volumes came or went at every try, so that some may be missing.
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
        self.call_for_volume(&request, &Selector::Name(volume.name.clone()))
    }

    /// Deletes a volume.
    pub fn volume_del(&mut self, selector: &Selector) -> Result<(), Error> {
        let request = wire::volume_del(self.header(), selector)?;
        self.call(&request)?;
        Ok(())
    }

    /// Changes a volume.
    pub fn volume_set(&mut self, selector: &Selector, change: &Change) -> Result<Volume, Error> {
        let request = wire::volume_set(self.header(), selector, change)?;
        self.call_for_volume(&request, selector)
    }

    /// Closes the gate of a volume and opens it again.
    pub fn volume_gate(&mut self, selector: &Selector) -> Result<Volume, Error> {
        let request = wire::volume_gate(self.header(), selector)?;
        self.call_for_volume(&request, selector)
    }

    /// Makes an encrypted volume forget its key.
    pub fn volume_lock(&mut self, selector: &Selector, lock: VolumeLock) -> Result<Volume, Error> {
        let request = wire::volume_lock(self.header(), selector, lock)?;
        self.call_for_volume(&request, selector)
    }

    /// Gives a locked volume its key again, by the name of before or by another.
    pub fn volume_unlock(
        &mut self,
        selector: &Selector,
        key: Option<&str>,
    ) -> Result<Volume, Error> {
        let request = wire::volume_unlock(self.header(), selector, key)?;
        self.call_for_volume(&request, selector)
    }

    fn call_for_volume(&mut self, request: &Request, selector: &Selector) -> Result<Volume, Error> {
        let exchange = self.call(request)?;
        match exchange.replies.first() {
            Some(reply) => Ok(wire::decode_volume(reply.attrs())?),
            // It was done all the same.
            None => self.volume_get(selector),
        }
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

    /// Asks what the volume has done that is named, or all of them; of each CPU by itself if so
    /// wished. Asks again while volumes come and go, but not for ever.
    pub fn stat_list(
        &mut self,
        selector: Option<&Selector>,
        per_cpu: bool,
    ) -> Result<StatList, Error> {
        let mut tries = DUMP_TRIES;
        loop {
            let request = wire::stat_dump(self.header(), selector, per_cpu)?;
            let mut assembly = StatAssembly::default();
            // A whole dump may be large, what is assembled from it is not. What is wrong with a
            // message is told only at the end: no other dump can begin before this one is read.
            let mut result = Ok(());
            let (exchange, ack) = self.socket.call_with(self.family.id, &request, |replies| {
                for reply in replies.drain(..) {
                    let taken = wire::decode_stat(reply.attrs()).and_then(|r| assembly.add(r));
                    result = result.and(taken);
                }
            })?;
            let exchange = self.judge(&request, exchange, ack)?;
            result?;
            tries -= 1;
            if exchange.interrupted && tries > 0 {
                continue;
            }
            return Ok(StatList {
                stats: assembly.finish(),
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
        self.judge(request, exchange, ack)
    }

    /// The exchange if it ended well, else why not.
    fn judge(
        &mut self,
        request: &Request,
        exchange: Exchange,
        ack: Ack,
    ) -> Result<Exchange, Error> {
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
