// SPDX-License-Identifier: GPL-2.0

//! The end of a request: it is counted, traced, and given back to the block layer.

use super::{
    leg::NOWAIT,
    pdu::{io, Status},
    stat, trace,
};
use crate::kapi::sys::c;
use kernel::bindings;

/// Notes how an I/O has ended below, and how long it took. Gives the time. Any context.
///
/// # Safety
///
/// The request was sent, its legs have ended, and nobody else ends it.
#[inline(always)]
pub(super) unsafe fn note(rq: *mut bindings::request, io: *mut c::stor_io, status: Status) -> u64 {
    // SAFETY: By the contract of this function.
    unsafe {
        (*io).status = status.as_raw();
        if status == Status::AGAIN && (*io).leg.opf & NOWAIT != 0 {
            // Whoever asked not to wait expects that: it is nothing for the kernel's log.
            (*rq).rq_flags |= 1 << bindings::rqf_flags___RQF_QUIET;
        }
        let now = stat::now_if(io);
        (*io).sent = now.saturating_sub((*io).sent);
        now
    }
}

/// Ends a request that was polled, together with others if the poll collects them.
///
/// # Safety
///
/// As that of [`end`]; the request is in the list of its polled queue.
#[inline(never)]
pub(super) unsafe fn end_polled(
    rq: *mut bindings::request,
    io: *mut c::stor_io,
    status: Status,
    now: u64,
) {
    // SAFETY: By the contract of this function.
    unsafe {
        c::stor_poll_del(&raw mut (*io).leg, rq);
        stat::end(io, status, now, Some((*io).sent));
        trace::end(rq, status.as_raw());
        let complete = Some(bindings::blk_mq_end_request_batch as unsafe extern "C" fn(_));
        if !c::stor_poll_collect(rq, status != Status::OK, complete) {
            bindings::blk_mq_end_request(rq, status.as_raw());
        }
    }
}

/// Counts a request and ends it. Any context.
///
/// # Safety
///
/// [`note`] has filled in the PDU, and nothing of the request is in use any more.
#[inline]
pub(super) unsafe fn end(rq: *mut bindings::request, now: u64) {
    // SAFETY: By the contract of this function.
    unsafe {
        let io = io(rq);
        let status = Status::new((*io).status);
        stat::end(io, status, now, Some((*io).sent));
        trace::end(rq, status.as_raw());
        bindings::blk_mq_end_request(rq, status.as_raw());
    }
}

/// Ends a request that was never sent. Process context.
///
/// # Safety
///
/// The request is the caller's, was not started, and [`stat::begin`] was called for it.
#[cold]
#[inline(never)]
pub(super) unsafe fn fail(rq: *mut bindings::request, status: Status) {
    // SAFETY: By the contract of this function.
    unsafe {
        let io = io(rq);
        stat::end(io, status, stat::now_if(io), None);
        trace::end(rq, status.as_raw());
        bindings::blk_mq_end_request(rq, status.as_raw());
    }
}
