// SPDX-License-Identifier: GPL-2.0

//! A generic netlink socket with the options that every request here wants.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::{libc, setsockopt_impl, sockopt_impl};

use crate::error::Error;
use crate::wire::{Ack, Exchange, Progress, Reply, Request};

// neli has no name for this option. The macro wants its parts in scope.
sockopt_impl!(
    /// Acknowledgments repeat only the header of the request.
    CapAck,
    SetOnly,
    libc::SOL_NETLINK,
    libc::NETLINK_CAP_ACK,
    bool
);

/// Larger than any datagram of a dump, which the kernel fills to 32 KiB at most.
const BUFFER: usize = 64 * 1024;

/// A generic netlink socket.
pub(super) struct Socket {
    socket: NlSocket,
    buffer: Vec<u8>,
    seq: u32,
}

impl AsFd for Socket {
    #[allow(unsafe_code)]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `socket` owns the descriptor and closes it only when it is dropped, so it stays
        // open as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }
    }
}

/// Turns an I/O error into an [`Error`] that says what was tried.
fn failed(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::System { what, error }
}

impl Socket {
    /// Opens a socket.
    pub(super) fn open() -> Result<Self, Error> {
        let setup = || -> io::Result<Self> {
            let socket = NlSocket::connect(NlFamily::Generic, None, Groups::empty())?;
            socket.enable_ext_ack(true)?;
            socket.enable_strict_checking(true)?;
            let this = Self {
                socket,
                buffer: vec![0; BUFFER],
                seq: 0,
            };
            setsockopt(&this, CapAck, &true)?;
            Ok(this)
        };
        setup().map_err(failed("cannot open a netlink socket"))
    }

    /// Joins the multicast group `id`.
    pub(super) fn join(&self, id: u32) -> Result<(), Error> {
        self.socket
            .add_mcast_membership(Groups::new_groups(&[id]))
            .map_err(failed("cannot join a netlink group"))
    }

    /// Asks for room for `size` bytes of messages that are not yet read.
    pub(super) fn reserve(&self, size: usize) -> Result<(), Error> {
        self.socket
            .set_recv_buffer_size(size)
            .map_err(failed("cannot size the receive buffer"))
    }

    /// A number for the next request. Never 0, which marks notifications.
    pub(super) fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1).max(1);
        self.seq
    }

    /// Receives a datagram, or `None` if `flags` forbid to wait for it.
    pub(super) fn receive(&mut self, flags: Msg) -> Result<Option<&[u8]>, Error> {
        let received = loop {
            match self.socket.recv(&mut self.buffer[..], flags | Msg::TRUNC) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // With MSG_TRUNC the length is that of the datagram, not of what fits.
                Ok((len, _)) if len > self.buffer.len() => break Err(Errno::EMSGSIZE.into()),
                other => break other,
            }
        };
        let (len, _) = received.map_err(failed("cannot receive from the kernel"))?;
        Ok(Some(&self.buffer[..len]))
    }

    /// Sends `request` to `family` and collects the answer.
    pub(super) fn call(
        &mut self,
        family: u16,
        request: &Request,
    ) -> Result<(Exchange, Ack), Error> {
        self.call_with(family, request, |_| {})
    }

    /// The same, but lets `each` have the replies of each datagram, and take those that need not be
    /// kept.
    pub(super) fn call_with(
        &mut self,
        family: u16,
        request: &Request,
        mut each: impl FnMut(&mut Vec<Reply>),
    ) -> Result<(Exchange, Ack), Error> {
        self.socket
            .send(request.as_bytes(), Msg::empty())
            .map_err(failed("cannot send to the kernel"))?;
        let mut exchange = Exchange::new(family, request.seq());
        loop {
            let Some(datagram) = self.receive(Msg::empty())? else {
                continue;
            };
            let progress = exchange.feed(datagram)?;
            each(&mut exchange.replies);
            if let Progress::Ended(ack) = progress {
                return Ok((exchange, ack));
            }
        }
    }
}
