// SPDX-License-Identifier: GPL-2.0

//! What a request asks for, how it ends, and where its PDU is.

use crate::kapi::sys::c;
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
    pub(super) fn of(cmd_flags: u32) -> Option<Self> {
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
