// SPDX-License-Identifier: GPL-2.0

//! Data that is not the same on a disk and on its backing: a write goes down as something else, and
//! what was read is made what the disk holds.

use super::{
    bio::{new_bio, MIXED},
    data::{Bounce, Data, Reserve, Source, Target},
    finish::{self, note},
    lower::Lower,
    request::{pdu, Request, Status, OP_MASK},
    stat::{self, Work},
    sys::shim,
    trace,
};
use crate::model::units::Sectors;
use kernel::{bindings, page::PAGE_SIZE};

/// Most bytes of a write that is transformed: what there is memory for.
pub(super) const MAX_TRANSFORMED: u32 = shim::STOR_BOUNCE_PAGES * PAGE_SIZE as u32;

/// What is done to the data of reads and writes between a disk and its backing.
pub(crate) trait Transform: Send + Sync + 'static {
    /// Memory for one write when there is no other.
    fn reserve(&self) -> &Reserve;

    /// Makes what goes down, `to`, of the data of a write, which begins at `at` of the disk. Both
    /// have the same length. Process context.
    ///
    /// # Errors
    ///
    /// What the write is to end with; nothing goes down.
    fn seal(&self, at: Sectors, from: Data<'_, Source>, to: Bounce<'_>) -> Result<(), Status>;

    /// Makes what was read, which begins at `at` of the disk, what the disk holds there, where it
    /// lies. Process or softirq context, with interrupts on.
    ///
    /// # Errors
    ///
    /// What the read is to end with.
    fn open(&self, at: Sectors, data: Data<'_, Target>) -> Result<(), Status>;
}

/// Seals a write, and makes its lower bio, `bio`, of what comes of that. Gives the flags of the bio,
/// and its table. Process context.
///
/// # Errors
///
/// What the write is to end with, or [`Status::RESOURCE`] if there is no memory for it now.
#[inline(never)]
pub(super) fn seal<S: Transform>(
    rq: &Request<'_>,
    transform: &S,
    mut opf: u32,
    bio: *mut bindings::bio,
    lower: &Lower,
) -> Result<(u32, *mut bindings::bio_vec), Status> {
    let (first, last) = rq.bios();
    if first != last {
        opf &= !MIXED;
    }
    if rq.data_len() > MAX_TRANSFORMED {
        // The disk's limits forbid it.
        return Err(Status::IOERR);
    }
    let reserve = transform.reserve().as_ptr();
    // SAFETY: The PDU is ours, and so is the memory once we have it. The request has data, which
    // is there until it ends. `bio` is memory for a bio.
    unsafe {
        let pdu = rq.pdu();
        let bounce = &raw mut (*pdu).bounce;
        if !shim::stor_shim_bounce_get(bounce, rq.data_len(), reserve) {
            return Err(Status::RESOURCE);
        }
        let (from, to) = (Data::new(first), Bounce::new(&*bounce));
        let since = stat::now_if(pdu);
        if let Err(status) = transform.seal(rq.sector(), from, to) {
            trace::sealed(rq.as_ptr(), status.as_raw());
            shim::stor_shim_bounce_put(bounce, reserve);
            return Err(status);
        }
        // The time below begins now.
        (*pdu).sent = stat::worked(pdu, Work::Seal, since);
        trace::sealed(rq.as_ptr(), Status::OK.as_raw());
        let (table, count) = ((*bounce).table, (*bounce).count);
        let bdev = lower.backing().as_ptr();
        new_bio(bio, bdev, rq.as_ptr(), opf, table, count);
        Ok((opf, table))
    }
}

/// Goes on with a request whose lower bio has ended. Any context.
///
/// # Safety
///
/// The request was sent with an `S`, its bio has ended, and nobody else ends it.
#[inline(never)]
pub(super) unsafe fn ended<S: Transform>(
    rq: *mut bindings::request,
    pdu: *mut shim::stor_pdu,
    lower: &Lower,
    status: Status,
) {
    // SAFETY: By the contract of this function. The table of a write is that of its memory. Who has
    // handed the request to another CPU does no more with it.
    unsafe {
        if written::<S>(pdu).is_none() && !(*pdu).table.is_null() {
            lower.release(pdu);
        }
        note(rq, pdu, status);
        if (*pdu).on_polled || !bindings::blk_mq_complete_request_remote(rq) {
            on_its_cpu::<S>(rq, pdu);
        }
    }
}

/// Goes on with it where it belongs: now, or, if its data is to be opened and can not be here, in a
/// softirq of this CPU. Any context.
///
/// # Safety
///
/// As that of [`ended`], which has noted how its bio has ended.
pub(super) unsafe fn on_its_cpu<S: Transform>(
    rq: *mut bindings::request,
    pdu: *mut shim::stor_pdu,
) {
    // SAFETY: By the contract of this function.
    unsafe {
        if to_open::<S>(pdu).is_some() && !shim::stor_shim_may_open() {
            shim::stor_shim_later(pdu, Some(finish::<S>));
        } else {
            finish::<S>(rq);
        }
    }
}

/// Opens a read, or gives back what a write was sealed into, to the CPU where the next one takes
/// it; then ends the request. If it is to be opened, process or softirq context, with interrupts
/// on; else any.
///
/// # Safety
///
/// As that of [`on_its_cpu`].
unsafe extern "C" fn finish<S: Transform>(rq: *mut bindings::request) {
    // SAFETY: By the contract of this function. Nothing of the request has ended yet.
    unsafe {
        let pdu = pdu(rq);
        let mut now = stat::now_if(pdu);
        if let Some(transform) = to_open::<S>(pdu) {
            let at = Sectors((*rq).__sector);
            match transform.open(at, Data::new((*rq).bio)) {
                Ok(()) => now = stat::worked(pdu, Work::Open, now),
                Err(status) => (*pdu).status = status.as_raw(),
            }
            trace::opened(rq, (*pdu).status);
        } else if let Some(transform) = written::<S>(pdu) {
            shim::stor_shim_bounce_put(&raw mut (*pdu).bounce, transform.reserve().as_ptr());
        }
        if (*pdu).on_polled {
            finish::finish_polled(rq, pdu, Status::new((*pdu).status), now);
        } else {
            finish::finish(rq, now);
        }
    }
}

/// What a write was sealed with; `None` for a read.
///
/// # Safety
///
/// The request was sent with an `S`, and has not ended.
#[inline(always)]
unsafe fn written<'a, S: Transform>(pdu: *const shim::stor_pdu) -> Option<&'a S> {
    // SAFETY: By the contract of this function; it exists as long as the queue, which has this
    // request in flight.
    unsafe {
        let transform = (*pdu).transform.cast::<S>().as_ref()?;
        ((*pdu).opf & OP_MASK == bindings::req_op_REQ_OP_WRITE).then_some(transform)
    }
}

/// What is to open a read; `None` for a write, and for what has failed.
///
/// # Safety
///
/// As that of [`written`]; and it is noted how the bio has ended.
#[inline(always)]
unsafe fn to_open<'a, S: Transform>(pdu: *const shim::stor_pdu) -> Option<&'a S> {
    // SAFETY: By the contract of this function; it exists as long as the queue, which has this
    // request in flight.
    unsafe {
        let transform = (*pdu).transform.cast::<S>().as_ref()?;
        let read = (*pdu).opf & OP_MASK == bindings::req_op_REQ_OP_READ;
        (read && (*pdu).status == Status::OK.as_raw()).then_some(transform)
    }
}
