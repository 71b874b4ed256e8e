// SPDX-License-Identifier: GPL-2.0

//! The end of a request: it is counted, traced, and given back to the block layer.

use super::{
    bio::NOWAIT,
    request::{pdu, Status},
    stat,
    sys::shim,
    trace,
};
use kernel::bindings;

/// Notes how a lower bio has ended, and how long it took. Gives the time. Any context.
///
/// # Safety
///
/// The request was sent, its bio has ended, and nobody else ends it.
#[inline(always)]
pub(super) unsafe fn note(
    rq: *mut bindings::request,
    pdu: *mut shim::stor_pdu,
    status: Status,
) -> u64 {
    // SAFETY: By the contract of this function.
    unsafe {
        (*pdu).status = status.as_raw();
        if status == Status::AGAIN && (*pdu).opf & NOWAIT != 0 {
            // Whoever asked not to wait expects that: it is nothing for the kernel's log.
            (*rq).rq_flags |= 1 << bindings::rqf_flags___RQF_QUIET;
        }
        let now = stat::now_if(pdu);
        (*pdu).sent = now.saturating_sub((*pdu).sent);
        now
    }
}

/// Ends a request that was polled, together with others if the poll collects them.
///
/// # Safety
///
/// As that of [`finish`]; the request is in the list of its polled queue.
#[inline(never)]
pub(super) unsafe fn finish_polled(
    rq: *mut bindings::request,
    pdu: *mut shim::stor_pdu,
    status: Status,
    now: u64,
) {
    // SAFETY: By the contract of this function.
    unsafe {
        shim::stor_shim_polled_del(pdu, rq);
        stat::end(pdu, status, now, Some((*pdu).sent));
        trace::end(rq, status.as_raw());
        let complete = Some(bindings::blk_mq_end_request_batch as unsafe extern "C" fn(_));
        if !shim::stor_shim_poll_collect(rq, status != Status::OK, complete) {
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
pub(super) unsafe fn finish(rq: *mut bindings::request, now: u64) {
    // SAFETY: By the contract of this function.
    unsafe {
        let pdu = pdu(rq);
        let status = Status::new((*pdu).status);
        stat::end(pdu, status, now, Some((*pdu).sent));
        trace::end(rq, status.as_raw());
        bindings::blk_mq_end_request(rq, status.as_raw());
    }
}

/// Ends a request that was never sent. Process context.
///
/// # Safety
///
/// The request is the caller's, was not started, and [`stat::begin`] was called for it. If `end`
/// is false, somebody else ends it after this.
#[cold]
#[inline(never)]
pub(super) unsafe fn fail(rq: *mut bindings::request, status: Status, end: bool) {
    // SAFETY: By the contract of this function.
    unsafe {
        let pdu = pdu(rq);
        stat::end(pdu, status, stat::now_if(pdu), None);
        trace::end(rq, status.as_raw());
        if end {
            bindings::blk_mq_end_request(rq, status.as_raw());
        }
    }
}
