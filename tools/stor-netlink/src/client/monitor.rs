// SPDX-License-Identifier: GPL-2.0

//! Listens to what happens to volumes.

use std::os::fd::{AsFd, BorrowedFd};

use neli::consts::socket::Msg;
use nix::errno::Errno;

use super::family::{self, Family};
use super::family_name;
use super::socket::Socket;
use crate::error::Error;
use crate::types::Event;
use crate::uapi;
use crate::wire::{self, Malformed};

/// Room for events that are not yet read, in bytes.
const ROOM: usize = 1 << 20;

/// What a [`Monitor`] hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something happened to a volume.
    Event(Box<Event>),
    /// Events came faster than they were read; some are lost.
    Lost,
    /// The module is gone, and no event will follow.
    Unloaded,
}

/// A subscription to the events of all volumes.
pub struct Monitor {
    socket: Socket,
    family: u16,
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Monitor {
    /// Subscribes; [`Error::NotLoaded`] without the module.
    pub fn connect() -> Result<Self, Error> {
        let mut socket = Socket::open()?;
        // The default would do, only not for long.
        socket.reserve(ROOM)?;
        // First to the deaths of families, so that none goes unheard after stor is found.
        let ctrl = Family::resolve(&mut socket, "nlctrl")?;
        socket.join(ctrl.group("notify")?)?;
        let stor = Family::resolve(&mut socket, family_name()?)?;
        let group = uapi::STOR_MCGRP_MONITOR
            .to_str()
            .map_err(|_| Malformed("name of the group"))?;
        socket.join(stor.group(group)?)?;
        Ok(Self {
            socket,
            family: stor.id,
        })
    }

    /// What has arrived; empty if nothing has. Never waits: poll the descriptor for that.
    pub fn receive(&mut self) -> Result<Vec<Notice>, Error> {
        let datagram = match self.socket.receive(Msg::DONTWAIT) {
            Ok(Some(datagram)) => datagram,
            Ok(None) => return Ok(Vec::new()),
            Err(error) if error.errno() == Some(Errno::ENOBUFS as i32) => {
                return Ok(vec![Notice::Lost]);
            }
            Err(error) => return Err(error),
        };
        Ok(notices(self.family, datagram)?)
    }
}

/// What the messages in `datagram` mean to one who listens to `family`.
fn notices(family: u16, datagram: &[u8]) -> Result<Vec<Notice>, Malformed> {
    let mut notices = Vec::new();
    for message in wire::messages(datagram) {
        let message = message?;
        if message.kind == family {
            notices.push(Notice::Event(Box::new(wire::decode_event(&message)?)));
        } else if message.kind == wire::GENL_ID_CTRL
            && family::deleted(message.payload)? == Some(family)
        {
            notices.push(Notice::Unloaded);
        }
    }
    Ok(notices)
}
