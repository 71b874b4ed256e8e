// SPDX-License-Identifier: GPL-2.0

//! A request that the block layer has handed to us.

use super::sys::shim;
use crate::model::units::{Bytes, Sectors};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::bindings;

/// How an I/O ended, or why it can not start: a `blk_status_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(bindings::blk_status_t);

impl Status {
    /// It went well.
    pub(super) const OK: Self = Self(bindings::BLK_STS_OK as u8);
    /// An I/O error.
    pub(crate) const IOERR: Self = Self(shim::stor_shim_const_STOR_SHIM_STS_IOERR as u8);
    /// Not supported.
    pub(crate) const NOTSUPP: Self = Self(shim::stor_shim_const_STOR_SHIM_STS_NOTSUPP as u8);
    /// Out of something; the block layer tries again by itself.
    pub(crate) const RESOURCE: Self = Self(shim::stor_shim_const_STOR_SHIM_STS_RESOURCE as u8);
    /// It was not to wait, and would have had to.
    pub(super) const AGAIN: Self = Self(shim::stor_shim_const_STOR_SHIM_STS_AGAIN as u8);

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

/// A request that the block layer has handed to us and that has not been started.
///
/// `'a` is invariant: it is the time for which the queue, and with it whatever the queue's owner
/// keeps for it, is sure to exist; the end of every request falls into it.
///
/// # Invariants
///
/// `rq` is a valid request of a queue made by [`super::disk::Disk`], which was passed to us alone.
pub(crate) struct Request<'a> {
    rq: NonNull<bindings::request>,
    _queue: PhantomData<fn(&'a ()) -> &'a ()>,
}

impl Request<'_> {
    /// # Safety
    ///
    /// `rq` must be what `queue_rq()` or `queue_rqs()` was called with, and is passed on to nobody
    /// else. `'a` must not outlive the queue.
    pub(super) unsafe fn from_raw(rq: NonNull<bindings::request>) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            rq,
            _queue: PhantomData,
        }
    }

    /// The request itself.
    pub(super) fn as_ptr(&self) -> *mut bindings::request {
        self.rq.as_ptr()
    }

    /// What lies behind it; uninitialised but for what was set since it was handed to us.
    pub(super) fn pdu(&self) -> *mut shim::stor_pdu {
        // SAFETY: All requests of our queues have our PDU, by the type invariant.
        unsafe { pdu(self.rq.as_ptr()) }
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

    /// When it was made, in ns, if the block layer keeps account of it.
    pub(super) fn start_time(&self) -> Option<u64> {
        const IO_STAT: u32 = 1 << bindings::rqf_flags___RQF_IO_STAT;
        // SAFETY: As in `cmd_flags()`.
        let (flags, time) = unsafe {
            (
                (*self.rq.as_ptr()).rq_flags,
                (*self.rq.as_ptr()).start_time_ns,
            )
        };
        (flags & IO_STAT != 0).then_some(time)
    }

    /// What it asks for; `None` if that is nothing a disk of ours offers.
    pub(crate) fn op(&self) -> Option<Op> {
        Op::of(self.cmd_flags())
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

/// # Safety
///
/// `rq` must be a request of a tag set whose `cmd_size` is that of the PDU.
pub(super) unsafe fn pdu(rq: *mut bindings::request) -> *mut shim::stor_pdu {
    // SAFETY: The PDU follows the request, by the contract of `cmd_size`.
    unsafe { rq.add(1).cast() }
}
