// SPDX-License-Identifier: GPL-2.0

//! Data that is not the same on a disk and on its backing: a write goes down as something else, and
//! what was read is made what the disk holds.

use super::{
    data::{Bounce, Data, Reserve},
    end::{end, end_polled, note},
    leg::{new_bio, MIXED},
    lower::Lower,
    pdu::{request, Status, OP_MASK},
    request::Request,
    stat::{self, Work},
    trace,
};
use crate::{
    kapi::{
        memory::{Source, Target},
        sys::c,
    },
    model::units::Sectors,
};
use kernel::{bindings, page::PAGE_SIZE, prelude::*};

/// Most bytes of a write that is transformed: what there is memory for.
pub(super) const MAX_TRANSFORMED: u32 = c::STOR_BOUNCE_PAGES * PAGE_SIZE as u32;

/// What is done to the data of reads and writes between a disk and its backing.
pub(crate) trait Transform: Send + Sync + 'static {
    /// Memory for one write when there is no other.
    fn reserve(&self) -> &Reserve;

    /// Makes what goes down, `to`, of the data of a write, which begins at `at` of the disk. Both
    /// have the same length. Process context.
    ///
    /// # Errors
    ///
    /// What the write is to end with; nothing goes down. So it is if not all of `to` was taken.
    fn encrypt(
        &self,
        at: Sectors,
        from: Data<'_, Source>,
        to: &mut Bounce<'_>,
    ) -> Result<(), Status>;

    /// Makes what was read, which begins at `at` of the disk, what the disk holds there, where it
    /// lies. Process or softirq context, with interrupts on.
    ///
    /// # Errors
    ///
    /// What the read is to end with.
    fn decrypt(&self, at: Sectors, data: Data<'_, Target>) -> Result<(), Status>;
}

/// The two words of a reference to a transform, or two null ones. A PDU has them: what an I/O was
/// started with stays what it ends with, whatever the volume has by then.
#[inline(always)]
pub(super) fn to_words(transform: Option<&dyn Transform>) -> [*const c_void; 2] {
    const _: () = assert!(
        size_of::<Option<&'static dyn Transform>>() == size_of::<[*const c_void; 2]>()
            && align_of::<Option<&'static dyn Transform>>() == align_of::<[*const c_void; 2]>()
    );
    match transform {
        None => [core::ptr::null(); 2],
        // SAFETY: A reference to a trait object consists of two pointers, neither of which is null,
        // and is as large, which is asserted above.
        Some(transform) => unsafe {
            core::mem::transmute::<*const dyn Transform, [*const c_void; 2]>(core::ptr::from_ref(
                transform,
            ))
        },
    }
}

/// Whether the data of an I/O is transformed.
///
/// # Safety
///
/// The I/O was sent, and has not ended.
#[inline(always)]
pub(super) unsafe fn is_transformed(io: *const c::stor_io) -> bool {
    // SAFETY: By the contract of this function.
    unsafe { !(*io).transform[0].is_null() }
}

/// # Safety
///
/// As that of [`is_transformed`], and it is.
unsafe fn transform_of<'a>(io: *const c::stor_io) -> &'a dyn Transform {
    // SAFETY: By the contract of this function, `to_words()` has made them. What they refer to
    // exists as long as the queue, which has this request in flight.
    unsafe { &*core::mem::transmute::<[*const c_void; 2], *const dyn Transform>((*io).transform) }
}

/// Encrypts a write, and makes its lower bio, `bio`, of what comes of that. Gives the flags of the
/// bio, and its table. Process context.
///
/// # Errors
///
/// What the write is to end with, or [`Status::RESOURCE`] if there is no memory for it now.
#[inline(never)]
pub(super) fn encrypt(
    rq: &Request<'_>,
    transform: &dyn Transform,
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
        let io = rq.io();
        let bounce = &raw mut (*io).bounce;
        if !c::stor_bounce_get(bounce, rq.data_len(), reserve) {
            return Err(Status::RESOURCE);
        }
        let (from, mut to) = (Data::new(first), Bounce::new(&*bounce));
        let since = stat::now_if(io);
        let mut result = transform.encrypt(rq.sector(), from, &mut to);
        if !to.is_used_up() {
            // What is left would go down as it is: what another write has left there.
            result = result.and(Err(Status::IOERR));
        }
        if let Err(status) = result {
            trace::encrypted(rq.as_ptr(), status.as_raw());
            c::stor_bounce_put(bounce, reserve);
            return Err(status);
        }
        // The time below begins now.
        (*io).sent = stat::worked(io, Work::Encrypt, since);
        trace::encrypted(rq.as_ptr(), Status::OK.as_raw());
        let (table, count) = ((*bounce).table, (*bounce).count);
        let bdev = lower.backing().as_ptr();
        new_bio(bio, bdev, rq.as_ptr(), opf, table, count);
        Ok((opf, table))
    }
}

/// Goes on with an I/O whose leg has ended. Any context.
///
/// # Safety
///
/// The I/O was sent, and is transformed; its leg has ended, and nobody else ends it.
#[inline(never)]
pub(super) unsafe fn ended(
    rq: *mut bindings::request,
    io: *mut c::stor_io,
    lower: &Lower,
    status: Status,
) {
    // SAFETY: By the contract of this function. The table of a write is that of its memory. Who has
    // handed the request to another CPU does no more with it.
    unsafe {
        if !is_write(io) && !(*io).leg.table.is_null() {
            lower.release(&raw mut (*io).leg);
        }
        note(rq, io, status);
        if (*io).leg.on_polled || !bindings::blk_mq_complete_request_remote(rq) {
            on_its_cpu(rq, io);
        }
    }
}

/// Goes on with it where it belongs: now, or, if its data is to be decrypted and can not be here, in
/// a softirq or a worker of this CPU. Any context.
///
/// # Safety
///
/// As that of [`ended`], which has noted how its leg has ended.
pub(super) unsafe fn on_its_cpu(rq: *mut bindings::request, io: *mut c::stor_io) {
    // SAFETY: By the contract of this function.
    unsafe {
        if is_write(io) {
            // To the CPU where the next one takes it.
            let reserve = transform_of(io).reserve().as_ptr();
            c::stor_bounce_put(&raw mut (*io).bounce, reserve);
            return finish(rq, io, stat::now_if(io));
        }
        if (*io).status != Status::OK.as_raw() {
            return finish(rq, io, stat::now_if(io));
        }
        let softirq = transform_of(io).reserve().common().softirq();
        match c::stor_softirq_where(softirq) {
            c::stor_where_STOR_HERE => stor_io_decrypt(io),
            elsewhere => c::stor_softirq_later(softirq, io, elsewhere),
        }
    }
}

/// Decrypts a read, then ends it. Process or softirq context, with interrupts on.
///
/// # Safety
///
/// The I/O was sent, and is transformed; it is a read whose leg has ended well, which was noted, and
/// nobody else ends it.
#[no_mangle]
unsafe extern "C" fn stor_io_decrypt(io: *mut c::stor_io) {
    // SAFETY: By the contract of this function. Nothing of the request has ended yet.
    unsafe {
        let rq = request(io);
        let transform = transform_of(io);
        let softirq = transform.reserve().common().softirq();
        let (at, since) = (Sectors((*rq).__sector), stat::now());
        let result = transform.decrypt(at, Data::new((*rq).bio));
        let now = stat::now();
        match result {
            Ok(()) => stat::worked_for(io, Work::Decrypt, now.saturating_sub(since)),
            Err(status) => (*io).status = status.as_raw(),
        }
        c::stor_softirq_spent(softirq, now.saturating_sub(since));
        trace::decrypted(rq, (*io).status);
        finish(rq, io, now);
    }
}

/// # Safety
///
/// The I/O was sent, and nothing of it is in use any more. Nobody else ends it.
unsafe fn finish(rq: *mut bindings::request, io: *mut c::stor_io, now: u64) {
    // SAFETY: By the contract of this function.
    unsafe {
        if (*io).leg.on_polled {
            end_polled(rq, io, Status::new((*io).status), now);
        } else {
            end(rq, now);
        }
    }
}

/// # Safety
///
/// The I/O was sent, and has not ended.
unsafe fn is_write(io: *const c::stor_io) -> bool {
    // SAFETY: By the contract of this function.
    unsafe { (*io).leg.opf & OP_MASK == bindings::req_op_REQ_OP_WRITE }
}
