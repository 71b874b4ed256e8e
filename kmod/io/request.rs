// SPDX-License-Identifier: GPL-2.0

//! A request that the block layer has handed to us, and what becomes of it.

use super::{
    end,
    pdu::{io, Op, Status},
};
use crate::{
    kapi::sys::c,
    model::units::{Bytes, Sectors},
};
use core::{marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};
use kernel::bindings;

/// A request was sent. Only who has sent one makes this.
pub(crate) struct Sent(());

impl Sent {
    /// In exchange for the request.
    pub(super) fn new() -> Self {
        Self(())
    }
}

/// A request was parked. Only who has parked one makes this.
pub(crate) struct Parked(());

impl Parked {
    /// In exchange for the request.
    pub(super) fn new() -> Self {
        Self(())
    }
}

/// What has become of a request. As it takes the request, or something that is only had in exchange
/// for one, none can be forgotten.
pub(crate) enum Outcome<'a> {
    /// It is below, and ends when its leg does.
    Sent(Sent),
    /// It has been given back; its bios wait, and come again.
    Parked(Parked),
    /// There is something missing now; the block layer hands it to us again.
    Again(Request<'a>),
    /// It ends with this status.
    End(Request<'a>, Status),
}

/// A request that the block layer has handed to us and that has not been started. One that is
/// dropped ends with an error.
///
/// `'a` is invariant: it is the time for which the queue, and with it whatever the queue's owner
/// keeps for it, is sure to exist; the end of every request falls into it.
///
/// # Invariants
///
/// `rq` is a valid request of a queue made by [`super::disk::Disk`], which was passed to us alone.
/// It was counted by [`super::stat::begin`], and asks for one of the operations of [`Op`].
pub(crate) struct Request<'a> {
    rq: NonNull<bindings::request>,
    _queue: PhantomData<fn(&'a ()) -> &'a ()>,
}

impl Request<'_> {
    /// Gives a request that asks for nothing that a disk of ours offers back.
    ///
    /// # Safety
    ///
    /// `rq` must be what `queue_rq()` or `queue_rqs()` was called with, is passed on to nobody
    /// else, and was counted. `'a` must not outlive the queue.
    #[inline]
    pub(super) unsafe fn from_raw(rq: NonNull<bindings::request>) -> Option<Self> {
        // SAFETY: The request is valid by the contract of this function.
        Op::of(unsafe { (*rq.as_ptr()).cmd_flags })?;
        // INVARIANT: By the contract of this function.
        Some(Self {
            rq,
            _queue: PhantomData,
        })
    }

    /// The request itself, which is now for who asks to pass on or to end.
    #[inline]
    pub(super) fn into_raw(self) -> *mut bindings::request {
        ManuallyDrop::new(self).as_ptr()
    }

    /// The request itself.
    pub(super) fn as_ptr(&self) -> *mut bindings::request {
        self.rq.as_ptr()
    }

    /// What lies behind it; uninitialised but for what was set since it was handed to us.
    pub(super) fn io(&self) -> *mut c::stor_io {
        // SAFETY: All requests of our queues have our PDU, by the type invariant.
        unsafe { io(self.rq.as_ptr()) }
    }

    pub(super) fn cmd_flags(&self) -> u32 {
        // SAFETY: The request is valid by the type invariant. Only its reference count changes
        // under us, so no reference to the whole is made, here and below.
        unsafe { (*self.rq.as_ptr()).cmd_flags }
    }

    /// First and last bio; null for a flush.
    pub(super) fn bios(&self) -> (*mut bindings::bio, *mut bindings::bio) {
        // SAFETY: As in `cmd_flags()`.
        unsafe { ((*self.rq.as_ptr()).bio, (*self.rq.as_ptr()).biotail) }
    }

    /// Its length in bytes.
    pub(super) fn data_len(&self) -> u32 {
        // SAFETY: As in `cmd_flags()`.
        unsafe { (*self.rq.as_ptr()).__data_len }
    }

    /// What it asks for.
    #[inline]
    pub(crate) fn op(&self) -> Op {
        // SAFETY: By the type invariant it is one of them.
        unsafe { Op::of(self.cmd_flags()).unwrap_unchecked() }
    }

    /// Its first sector on the disk.
    pub(crate) fn sector(&self) -> Sectors {
        // SAFETY: As in `cmd_flags()`.
        Sectors(unsafe { (*self.rq.as_ptr()).__sector })
    }

    /// Its length.
    pub(crate) fn length(&self) -> Bytes {
        Bytes(u64::from(self.data_len()))
    }
}

impl Drop for Request<'_> {
    #[cold]
    fn drop(&mut self) {
        debug_assert!(false, "stor: a request was dropped");
        // SAFETY: By the type invariant; it is nobody else's.
        unsafe { end::fail(self.rq.as_ptr(), Status::IOERR) }
    }
}
