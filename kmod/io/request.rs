// SPDX-License-Identifier: GPL-2.0

//! A request that the block layer has handed to us, and what becomes of it.

use super::{end, park::Parked, send::Sent};
use crate::{
    kapi::sys::c,
    model::units::{Bytes, Sectors},
};
use core::{marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};
use kernel::bindings;

/// How an I/O ended, or why it can not start: a `blk_status_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(bindings::blk_status_t);

impl Status {
    /// It went well.
    pub(super) const OK: Self = Self(bindings::BLK_STS_OK as u8);
    /// An I/O error.
    pub(crate) const IOERR: Self = Self(c::stor_shim_const_STOR_SHIM_STS_IOERR as u8);
    /// Not supported.
    pub(super) const NOTSUPP: Self = Self(c::stor_shim_const_STOR_SHIM_STS_NOTSUPP as u8);
    /// Out of something; the block layer tries again by itself.
    pub(super) const RESOURCE: Self = Self(c::stor_shim_const_STOR_SHIM_STS_RESOURCE as u8);
    /// A device can not do it, and has learned that just now.
    pub(super) const TARGET: Self = Self(c::stor_shim_const_STOR_SHIM_STS_TARGET as u8);
    /// It was not to wait, and would have had to.
    pub(super) const AGAIN: Self = Self(c::stor_shim_const_STOR_SHIM_STS_AGAIN as u8);

    /// Wraps what the block layer gave.
    pub(super) fn new(raw: bindings::blk_status_t) -> Self {
        Self(raw)
    }

    /// The raw status.
    pub(super) fn as_raw(self) -> bindings::blk_status_t {
        self.0
    }
}

/// What a request asks for; its number is the block layer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Op {
    /// Read data.
    Read = bindings::req_op_REQ_OP_READ,
    /// Write data.
    Write = bindings::req_op_REQ_OP_WRITE,
    /// Make what was written durable; it has no sectors.
    Flush = bindings::req_op_REQ_OP_FLUSH,
    /// The sectors are not needed any more.
    Discard = bindings::req_op_REQ_OP_DISCARD,
    /// The same, and no trace of the data may stay.
    SecureErase = bindings::req_op_REQ_OP_SECURE_ERASE,
    /// Write zeros without sending them.
    WriteZeroes = bindings::req_op_REQ_OP_WRITE_ZEROES,
}

impl Op {
    #[inline]
    fn of(cmd_flags: u32) -> Option<Self> {
        match cmd_flags & OP_MASK {
            bindings::req_op_REQ_OP_READ => Some(Op::Read),
            bindings::req_op_REQ_OP_WRITE => Some(Op::Write),
            bindings::req_op_REQ_OP_FLUSH => Some(Op::Flush),
            bindings::req_op_REQ_OP_DISCARD => Some(Op::Discard),
            bindings::req_op_REQ_OP_SECURE_ERASE => Some(Op::SecureErase),
            bindings::req_op_REQ_OP_WRITE_ZEROES => Some(Op::WriteZeroes),
            _ => None,
        }
    }

    /// Whether it carries data.
    #[inline]
    pub(crate) fn has_data(self) -> bool {
        matches!(self, Op::Read | Op::Write)
    }

    /// Whether it changes what the disk holds.
    #[inline]
    pub(crate) fn changes_data(self) -> bool {
        !matches!(self, Op::Read | Op::Flush)
    }
}

/// The bits of a flags word that say what is asked for.
pub(super) const OP_MASK: u32 = (1 << bindings::REQ_OP_BITS) - 1;

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

/// # Safety
///
/// `rq` must be a request of a tag set whose `cmd_size` is that of the PDU.
#[inline(always)]
pub(super) unsafe fn io(rq: *mut bindings::request) -> *mut c::stor_io {
    // SAFETY: The PDU follows the request, by the contract of `cmd_size`.
    unsafe { rq.add(1).cast() }
}

/// # Safety
///
/// `io` must be the PDU of a request.
#[inline(always)]
pub(super) unsafe fn request(io: *mut c::stor_io) -> *mut bindings::request {
    // SAFETY: The PDU follows the request, by the contract of `cmd_size`.
    unsafe { io.cast::<bindings::request>().sub(1) }
}
