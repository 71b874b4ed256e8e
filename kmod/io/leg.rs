// SPDX-License-Identifier: GPL-2.0

//! Legs: how their bios are made, and what they have of their requests.

use super::pdu::{Op, Status};
use kernel::bindings;

/// Flags of a request that a lower bio inherits. Not among them: PREFLUSH, which the block layer
/// has turned into a request of its own; ALLOC_CACHE, which belongs to the upper bio; INTEGRITY,
/// which the disk does not offer.
pub(super) const INHERITED: u32 = 1 << bindings::req_flag_bits___REQ_FAILFAST_DEV
    | 1 << bindings::req_flag_bits___REQ_FAILFAST_TRANSPORT
    | 1 << bindings::req_flag_bits___REQ_FAILFAST_DRIVER
    | 1 << bindings::req_flag_bits___REQ_SYNC
    | 1 << bindings::req_flag_bits___REQ_META
    | 1 << bindings::req_flag_bits___REQ_PRIO
    | 1 << bindings::req_flag_bits___REQ_IDLE
    | 1 << bindings::req_flag_bits___REQ_FUA
    | 1 << bindings::req_flag_bits___REQ_RAHEAD
    | 1 << bindings::req_flag_bits___REQ_BACKGROUND
    | 1 << bindings::req_flag_bits___REQ_SWAP
    | 1 << bindings::req_flag_bits___REQ_ATOMIC
    | 1 << bindings::req_flag_bits___REQ_NOUNMAP
    | POLLED;
/// Of these, the ones that a merged request must not pass on.
pub(super) const MIXED: u32 = 1 << bindings::req_flag_bits___REQ_FAILFAST_DEV
    | 1 << bindings::req_flag_bits___REQ_FAILFAST_TRANSPORT
    | 1 << bindings::req_flag_bits___REQ_FAILFAST_DRIVER
    | 1 << bindings::req_flag_bits___REQ_RAHEAD;
pub(super) const NOWAIT: u32 = 1 << bindings::req_flag_bits___REQ_NOWAIT;
pub(super) const POLLED: u32 = 1 << bindings::req_flag_bits___REQ_POLLED;
const DIRECT: u32 =
    1 << bindings::req_flag_bits___REQ_SYNC | 1 << bindings::req_flag_bits___REQ_IDLE;
const PREFLUSH: u32 = 1 << bindings::req_flag_bits___REQ_PREFLUSH;

impl Op {
    /// The operation of the lower bio. A flush becomes an empty write with PREFLUSH: that is how
    /// a bio asks for one. It is marked as a direct write is, as somebody waits for it, so that
    /// nobody below holds it back with what is written in the background.
    #[inline]
    pub(super) fn lower_opf(self) -> u32 {
        match self {
            Op::Flush => bindings::req_op_REQ_OP_WRITE | PREFLUSH | DIRECT,
            other => other as u32,
        }
    }
}

/// Makes a lower bio of the only bio of a request with data. Any context.
///
/// # Safety
///
/// `bio` must be memory for a bio, and `first` that bio.
#[inline(always)]
pub(super) unsafe fn clone_bio(
    bio: *mut bindings::bio,
    bdev: *mut bindings::block_device,
    first: *mut bindings::bio,
    opf: u32,
) -> Result<(), Status> {
    // Without a device first: the group of the submitter would be looked up, and then replaced by
    // that of the bio.
    // SAFETY: By the contract of this function.
    unsafe {
        if bindings::bio_init_clone(core::ptr::null_mut(), bio, first, bindings::GFP_NOWAIT) != 0 {
            return Err(Status::RESOURCE);
        }
        (*bio).bi_bdev = bdev;
        (*bio).bi_opf = opf;
        bindings::bio_clone_blkg_association(bio, first);
    }
    Ok(())
}

/// Makes a lower bio of a request without data, or of one whose data is in `table`. Any context.
///
/// # Safety
///
/// `bio` must be memory for a bio, and `rq` a request that is not ended. The table is null, or has
/// the request's segments.
pub(super) unsafe fn new_bio(
    bio: *mut bindings::bio,
    bdev: *mut bindings::block_device,
    rq: *mut bindings::request,
    opf: u32,
    table: *mut bindings::bio_vec,
    segments: u16,
) {
    // SAFETY: By the contract of this function. The first bio is null for a flush.
    unsafe {
        let first = (*rq).bio;
        bindings::bio_init(bio, bdev, table, segments, opf);
        (*bio).bi_vcnt = segments;
        (*bio).bi_iter.bi_size = (*rq).__data_len;
        if !first.is_null() {
            (*bio).bi_ioprio = (*first).bi_ioprio;
            (*bio).bi_write_hint = (*first).bi_write_hint;
            (*bio).bi_write_stream = (*first).bi_write_stream;
            bindings::bio_clone_blkg_association(bio, first);
        }
    }
}
