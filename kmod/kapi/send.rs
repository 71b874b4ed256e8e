// SPDX-License-Identifier: GPL-2.0

//! The way of a request: down as one lower bio, and back.
//!
//! The lower bio is embedded in the request's PDU, so that no I/O waits for memory. A request that
//! was merged of several bios needs a table of their segments; it comes from a [`Lower`]'s pool,
//! whose reserve is only ever held by an I/O that is already below. Why no task waits for itself
//! below is said in `kmod/shim/submit.c`.

use super::{
    data::{Bounce, Data, Reserve, Source, Target},
    lower::Lower,
    request::{pdu, Op, Request, Status, OP_MASK},
    stat,
    sys::shim,
    trace,
};
use crate::model::units::Sectors;
use kernel::{bindings, page::PAGE_SIZE, prelude::*, types::Opaque};

/// Flags of a request that a lower bio inherits. Not among them: PREFLUSH, which the block layer
/// has turned into a request of its own; ALLOC_CACHE, which belongs to the upper bio; INTEGRITY,
/// which the disk does not offer.
const INHERITED: u32 = 1 << bindings::req_flag_bits___REQ_FAILFAST_DEV
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
const MIXED: u32 = 1 << bindings::req_flag_bits___REQ_FAILFAST_DEV
    | 1 << bindings::req_flag_bits___REQ_FAILFAST_TRANSPORT
    | 1 << bindings::req_flag_bits___REQ_FAILFAST_DRIVER
    | 1 << bindings::req_flag_bits___REQ_RAHEAD;
/// Flags of a lower bio which say that its bytes were counted, or held back for, already.
const ACCOUNTED: u16 = 1 << bindings::BIO_CGROUP_ACCT | 1 << bindings::BIO_BPS_THROTTLED;
/// Most bytes of a write that is transformed: what there is memory for.
pub(super) const MAX_TRANSFORMED: u32 = shim::STOR_BOUNCE_PAGES * PAGE_SIZE as u32;
const NOWAIT: u32 = 1 << bindings::req_flag_bits___REQ_NOWAIT;
const POLLED: u32 = 1 << bindings::req_flag_bits___REQ_POLLED;
const DIRECT: u32 =
    1 << bindings::req_flag_bits___REQ_SYNC | 1 << bindings::req_flag_bits___REQ_IDLE;
const PREFLUSH: u32 = 1 << bindings::req_flag_bits___REQ_PREFLUSH;

impl Op {
    /// The operation of the lower bio. A flush becomes an empty write with PREFLUSH: that is how
    /// a bio asks for one. It is marked as a direct write is, as somebody waits for it, so that
    /// nobody below holds it back with what is written in the background.
    #[inline]
    fn lower_opf(self) -> u32 {
        match self {
            Op::Flush => bindings::req_op_REQ_OP_WRITE | PREFLUSH | DIRECT,
            other => other as u32,
        }
    }
}

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

/// A task in `queue_rq()` or `queue_rqs()` that is ready to submit below.
///
/// # Invariants
///
/// `stor_shim_batch_begin()` has filled it in for the current task, which has not left the
/// function since, and `stor_shim_batch_end()` is still to come.
pub(crate) struct Batch {
    raw: Opaque<shim::stor_batch>,
}

impl Batch {
    /// Calls `submit` with the current task made ready for `nr` requests of `q`.
    ///
    /// # Safety
    ///
    /// To be called from within `queue_rq()` or `queue_rqs()` of the queue `q`.
    #[inline(always)]
    pub(super) unsafe fn run<R>(
        q: *mut bindings::request_queue,
        nr: u32,
        timed: bool,
        submit: impl FnOnce(&Self) -> R,
    ) -> R {
        // The plug in it need not be initialised where there is no batch.
        let batch = Self {
            raw: Opaque::uninit(),
        };
        // INVARIANT: Filled in here, and ended below.
        // SAFETY: By the contract of this function.
        unsafe { shim::stor_shim_batch_begin(batch.raw.get(), q, nr, timed) };
        let result = submit(&batch);
        // SAFETY: Begun above by the same task.
        unsafe { shim::stor_shim_batch_end(batch.raw.get()) };
        result
    }

    /// When it began, in ns; 0 if it is not timed.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        // SAFETY: Filled in by the type invariant.
        unsafe { (*self.raw.get()).now }
    }
}

impl<'a> Request<'a> {
    /// Sends it down as one bio that starts at `at` on the backing, and ends it when that ends,
    /// with the same status. With `transform`, its data is sealed before, or opened after. Process
    /// context; may sleep in the lower device.
    ///
    /// # Errors
    ///
    /// The request was not started and is the caller's to give back with this status.
    #[inline]
    pub(crate) fn send<S: Transform>(
        self,
        op: Op,
        lower: &'a Lower,
        transform: Option<&'a S>,
        at: Sectors,
        batch: &Batch,
    ) -> Result<(), Status> {
        if transform.is_some() && op.has_data() {
            self.send_transformed(op, lower, transform, at, batch)
        } else {
            self.send_as(op, lower, None::<&S>, at, batch)
        }
    }

    /// The same, by itself: who transforms nothing shall not pay for it.
    #[inline(never)]
    fn send_transformed<S: Transform>(
        self,
        op: Op,
        lower: &'a Lower,
        transform: Option<&'a S>,
        at: Sectors,
        batch: &Batch,
    ) -> Result<(), Status> {
        self.send_as(op, lower, transform, at, batch)
    }

    #[inline(always)]
    fn send_as<S: Transform>(
        self,
        op: Op,
        lower: &'a Lower,
        transform: Option<&'a S>,
        at: Sectors,
        batch: &Batch,
    ) -> Result<(), Status> {
        let rq = self.as_ptr();
        let pdu = self.pdu();
        let bdev = lower.backing().as_ptr();
        // SAFETY: The PDU belongs to whoever has the request. A raw pointer to a field needs no
        // initialised value.
        let bio = unsafe { &raw mut (*pdu).bio };
        let (first, last) = self.bios();
        let mut opf = (self.cmd_flags() & INHERITED) | op.lower_opf();
        let mut table = core::ptr::null_mut();

        // A bio that may not wait ends with EAGAIN where its owner expects it. A device that can
        // not promise that, as a dm table may become one, would refuse the bio.
        // SAFETY: `first`, if it is not null, is the only bio of the request; the device is open.
        unsafe {
            if first == last
                && !first.is_null()
                && (*first).bi_opf & NOWAIT != 0
                && shim::stor_shim_bdev_nowait(bdev)
            {
                opf |= NOWAIT;
            }
        }
        // SAFETY: The PDU is ours.
        unsafe {
            (*pdu).transform = transform
                .map_or(core::ptr::null(), core::ptr::from_ref)
                .cast()
        };
        if let (Some(transform), Op::Write) = (transform, op) {
            (opf, table) = self.seal(transform, opf, bio, lower)?;
        } else if first == last && op.has_data() {
            // SAFETY: `bio` is memory for a bio, and the request has one.
            unsafe { clone_bio(bio, bdev, first, opf)? };
        } else {
            (opf, table) = self.init_bio(op, opf, bio, lower)?;
        }

        // SAFETY: `bio` was initialised above and belongs to this request. Everything the bio
        // points to lives until its end: the device, `lower` and `transform` by `'a`, which covers
        // the end of every request; the table by belonging to this bio; the pages by the upper
        // bios, or by being the request's. The request is started once and handed over to `end_io`,
        // which ends it.
        unsafe {
            (*bio).bi_iter.bi_sector = at.0;
            (*bio).bi_end_io = Some(end_io::<S>);
            (*bio).bi_private = rq.cast();
            (*pdu).lower = core::ptr::from_ref(lower).cast();
            (*pdu).table = table;
            (*pdu).sector = at.0;
            (*pdu).tried = false;
            (*pdu).on_polled = false;
            if opf & POLLED != 0 {
                if shim::stor_shim_polled_add(pdu, rq) {
                    (*pdu).on_polled = true;
                } else {
                    // Nobody would poll it.
                    opf &= !POLLED;
                    (*bio).bi_opf = opf;
                }
            }
            (*pdu).opf = opf;
            bindings::blk_mq_start_request(rq);
            shim::stor_shim_submit(pdu, batch.raw.get(), lower.punt());
        }
        Ok(())
    }

    /// Seals a write, and makes the lower bio of what comes of that. Gives the flags of the bio, and
    /// the table.
    #[inline(never)]
    fn seal<S: Transform>(
        &self,
        transform: &S,
        mut opf: u32,
        bio: *mut bindings::bio,
        lower: &Lower,
    ) -> Result<(u32, *mut bindings::bio_vec), Status> {
        let (first, last) = self.bios();
        if first != last {
            opf &= !MIXED;
        }
        let reserve = transform.reserve().as_ptr();
        if self.data_len() > MAX_TRANSFORMED {
            return Err(Status::IOERR);
        }
        // SAFETY: The PDU is ours, and so is the memory once we have it; a request is no larger
        // than the disk's limits say. The request has data, which is there until it ends. `bio` is
        // memory for a bio.
        unsafe {
            let bounce = &raw mut (*self.pdu()).bounce;
            if !shim::stor_shim_bounce_get(bounce, self.data_len(), reserve) {
                return Err(Status::RESOURCE);
            }
            let (from, to) = (Data::new(first), Bounce::new(&*bounce));
            if let Err(status) = transform.seal(self.sector(), from, to) {
                shim::stor_shim_bounce_put(bounce, reserve);
                return Err(status);
            }
            let pdu = self.pdu();
            if !(*pdu).stat.is_null() {
                // The time below begins now.
                (*pdu).sent = stat::now();
            }
            let (table, count) = ((*bounce).table, (*bounce).count);
            let bdev = lower.backing().as_ptr();
            new_bio(bio, bdev, self.as_ptr(), opf, table, count);
            Ok((opf, table))
        }
    }

    /// Makes the lower bio of a request that has no data, or that was merged of several bios; such
    /// a one needs a table. Gives the flags of the bio, and the table.
    #[inline(never)]
    fn init_bio(
        &self,
        op: Op,
        mut opf: u32,
        bio: *mut bindings::bio,
        lower: &Lower,
    ) -> Result<(u32, *mut bindings::bio_vec), Status> {
        let (first, last) = self.bios();
        let mut table = core::ptr::null_mut();
        let mut segments = 0;
        if first != last {
            // The flags of a merged request are those of its first bio. The others may not
            // have asked to fail fast, or to be readahead.
            opf &= !MIXED;
        }
        if op.has_data() {
            table = lower.table().ok_or(Status::RESOURCE)?;
            // SAFETY: The request has data, and the table has `max_segments` entries.
            let n = unsafe {
                shim::stor_shim_rq_bvecs(self.as_ptr(), table, lower.max_segments().into())
            };
            let Some(n) = u16::try_from(n).ok().filter(|&n| n != 0) else {
                // The block layer counts segments no lower than this does. If it ever did,
                // the request could never be sent.
                // SAFETY: Taken above, and in no bio yet.
                unsafe { lower.give_back(table) };
                return Err(Status::IOERR);
            };
            segments = n;
        }
        // SAFETY: `bio` is memory for a bio; the table, null if there is no data, is ours until
        // the bio ends.
        unsafe {
            new_bio(
                bio,
                lower.backing().as_ptr(),
                self.as_ptr(),
                opf,
                table,
                segments,
            )
        };
        Ok((opf, table))
    }
}

/// Makes a lower bio of the only bio of a request with data. Any context.
///
/// # Safety
///
/// `bio` must be memory for a bio, and `first` that bio.
#[inline(always)]
unsafe fn clone_bio(
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
unsafe fn new_bio(
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

/// Leaves a request to the worker whose bio was tried, and would have had to wait; or that was to
/// be polled, by a queue which the backing has lost. Those below may have changed the bio, so it is
/// made anew, and is not polled: the worker must not wait for what is there for who polls. Any
/// context.
///
/// # Safety
///
/// The bio was sent to `lower`, and has ended; its request has not.
#[cold]
#[inline(never)]
unsafe fn retry<S: Transform>(rq: *mut bindings::request, pdu: *mut shim::stor_pdu, lower: &Lower) {
    // SAFETY: By the contract of this function. Only the position in a table is changed by who has
    // the bio, never what is in it.
    unsafe {
        let bio = &raw mut (*pdu).bio;
        let (first, bdev) = ((*rq).bio, lower.backing().as_ptr());
        let (table, segments) = ((*pdu).table, (*bio).bi_vcnt);
        let accounted = (*bio).bi_flags & ACCOUNTED;
        if (*pdu).on_polled {
            shim::stor_shim_polled_del(pdu, rq);
            (*pdu).on_polled = false;
            (*pdu).opf &= !POLLED;
        }
        bindings::bio_uninit(bio);
        let op = (*pdu).opf & OP_MASK;
        let has_data = op == bindings::req_op_REQ_OP_READ || op == bindings::req_op_REQ_OP_WRITE;
        if has_data && table.is_null() && !first.is_null() {
            if let Err(status) = clone_bio(bio, bdev, first, (*pdu).opf) {
                return ended::<S>(rq, pdu, status, true);
            }
        } else {
            new_bio(bio, bdev, rq, (*pdu).opf, table, segments);
        }
        (*bio).bi_iter.bi_sector = (*pdu).sector;
        (*bio).bi_end_io = Some(end_io::<S>);
        (*bio).bi_private = rq.cast();
        (*bio).bi_flags |= accounted;
        (*pdu).tried = false;
        shim::stor_shim_punt(pdu, lower.punt());
    }
}

/// A lower bio has ended. Any context, hard interrupt included.
///
/// # Safety
///
/// Called by the block layer only, once for each time that a bio of [`Request::send`] was
/// submitted.
unsafe extern "C" fn end_io<S: Transform>(bio: *mut bindings::bio) {
    // SAFETY: `send()` has put the request there, which has our PDU.
    let (rq, pdu, status) = unsafe {
        let rq: *mut bindings::request = (*bio).bi_private.cast();
        (rq, pdu(rq), Status::new((*bio).bi_status))
    };
    // SAFETY: `send()` has set it; it exists as long as the queue, which has this request in
    // flight.
    let lower = unsafe { &*(*pdu).lower.cast::<Lower>() };
    // SAFETY: All of it belongs to this request, which is in flight until it is handed on: the last
    // thing that is done with it.
    unsafe {
        trace::lower_complete(rq, bio);
        if (status == Status::AGAIN && (*pdu).tried)
            || (status == Status::NOTSUPP && (*pdu).on_polled)
        {
            return retry::<S>(rq, pdu, lower);
        }
        if !(*pdu).transform.is_null() {
            return transformed::<S>(rq, pdu, lower, status);
        }
        if !(*bio).bi_crypt_context.is_null() || !(*pdu).table.is_null() {
            lower.release(pdu);
        }
        ended::<S>(rq, pdu, status, false);
    }
}

/// Hands a request on whose lower bio is done with, to the CPU that it belongs to; `transformed` if
/// its data may have been. Any context.
///
/// # Safety
///
/// The request was sent, its bio holds nothing any more, and nobody else ends it.
#[inline(always)]
unsafe fn ended<S: Transform>(
    rq: *mut bindings::request,
    pdu: *mut shim::stor_pdu,
    status: Status,
    transformed: bool,
) {
    // SAFETY: By the contract of this function.
    unsafe {
        (*pdu).status = status.as_raw();
        if status == Status::AGAIN && (*pdu).opf & NOWAIT != 0 {
            // Whoever asked not to wait expects that: it is nothing for the kernel's log.
            (*rq).rq_flags |= 1 << bindings::rqf_flags___RQF_QUIET;
        }
        let now = stat::now_if(pdu);
        (*pdu).sent = now.saturating_sub((*pdu).sent);
        if transformed && to_open::<S>(pdu).is_some() {
            opened_here::<S>(rq, pdu);
        } else if (*pdu).on_polled {
            if transformed {
                give_back::<S>(pdu);
            }
            finish_polled(rq, pdu, status, now);
        } else if !bindings::blk_mq_complete_request_remote(rq) {
            if transformed {
                give_back::<S>(pdu);
            }
            finish(rq, now);
        }
    }
}

/// Goes on with the end of a bio whose data was transformed, or is to be. Any context.
///
/// # Safety
///
/// As that of [`ended`], for a request that was sent with an `S`.
#[inline(never)]
unsafe fn transformed<S: Transform>(
    rq: *mut bindings::request,
    pdu: *mut shim::stor_pdu,
    lower: &Lower,
    status: Status,
) {
    // SAFETY: By the contract of this function.
    unsafe {
        if written::<S>(pdu).is_none() && !(*pdu).table.is_null() {
            lower.release(pdu);
        }
        ended::<S>(rq, pdu, status, true);
    }
}

/// Gives back what a write was sealed into, on the CPU that it came from if possible: that is
/// where the next one takes it. Any context.
///
/// # Safety
///
/// As that of [`finish`].
#[inline]
unsafe fn give_back<S: Transform>(pdu: *mut shim::stor_pdu) {
    // SAFETY: By the contract of this function.
    unsafe {
        if let Some(transform) = written::<S>(pdu) {
            shim::stor_shim_bounce_put(&raw mut (*pdu).bounce, transform.reserve().as_ptr());
        }
    }
}

/// What a write was sealed with, if it was.
///
/// # Safety
///
/// The request was sent with an `S`, or without one.
#[inline(always)]
unsafe fn written<'a, S: Transform>(pdu: *const shim::stor_pdu) -> Option<&'a S> {
    // SAFETY: By the contract of this function; it exists as long as the queue, which has this
    // request in flight.
    let transform = unsafe { (*pdu).transform.cast::<S>().as_ref()? };
    // SAFETY: The same.
    let op = unsafe { (*pdu).opf & OP_MASK };
    (op == bindings::req_op_REQ_OP_WRITE).then_some(transform)
}

/// What is to open a read that went well, if something is.
///
/// # Safety
///
/// The request was sent with an `S`, or without one, and its status is known.
#[inline(always)]
unsafe fn to_open<'a, S: Transform>(pdu: *const shim::stor_pdu) -> Option<&'a S> {
    // SAFETY: By the contract of this function; it exists as long as the queue, which has this
    // request in flight.
    let transform = unsafe { (*pdu).transform.cast::<S>().as_ref()? };
    // SAFETY: The same.
    let (op, status) = unsafe { ((*pdu).opf & OP_MASK, Status::new((*pdu).status)) };
    (op == bindings::req_op_REQ_OP_READ && status == Status::OK).then_some(transform)
}

/// Opens a read on the CPU that it belongs to, and ends it: now, or in a softirq. Any context.
///
/// # Safety
///
/// As that of [`ended`], for a request that is to be opened.
#[inline(never)]
unsafe fn opened_here<S: Transform>(rq: *mut bindings::request, pdu: *mut shim::stor_pdu) {
    // SAFETY: By the contract of this function. Who has put the request off to another CPU, or to
    // a softirq, does no more with it.
    unsafe {
        if !(*pdu).on_polled && bindings::blk_mq_complete_request_remote(rq) {
            return;
        }
        if shim::stor_shim_may_open() {
            open::<S>(rq);
        } else {
            shim::stor_shim_later(pdu, Some(open::<S>));
        }
    }
}

/// Opens a read, and ends it. Process or softirq context, with interrupts on.
///
/// # Safety
///
/// As that of [`finish`], for a request that is to be opened.
unsafe extern "C" fn open<S: Transform>(rq: *mut bindings::request) {
    // SAFETY: By the contract of this function. Nothing of the request has ended yet.
    unsafe {
        let pdu = pdu(rq);
        if let Some(transform) = to_open::<S>(pdu) {
            let at = Sectors((*rq).__sector);
            if let Err(status) = transform.open(at, Data::new((*rq).bio)) {
                (*pdu).status = status.as_raw();
            }
        }
        let now = stat::now_if(pdu);
        if (*pdu).on_polled {
            finish_polled(rq, pdu, Status::new((*pdu).status), now);
        } else {
            finish(rq, now);
        }
    }
}

/// Ends a request that was polled, together with others if the poll collects them.
///
/// # Safety
///
/// As that of [`finish`]; the request is in the list of its polled queue.
#[inline(never)]
unsafe fn finish_polled(
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

/// Ends a request on the CPU that it belongs to, if that is another one than where its bio has
/// ended. Softirq or hard interrupt context.
///
/// # Safety
///
/// Called by the block layer only, after [`end_io`] has completed the request.
pub(super) unsafe extern "C" fn complete<S: Transform>(rq: *mut bindings::request) {
    // SAFETY: By the contract of this function.
    unsafe {
        let pdu = pdu(rq);
        if to_open::<S>(pdu).is_none() {
            give_back::<S>(pdu);
            finish(rq, stat::now_if(pdu));
        } else if shim::stor_shim_may_open() {
            open::<S>(rq);
        } else {
            shim::stor_shim_later(pdu, Some(open::<S>));
        }
    }
}

/// Counts a request and ends it. Any context.
///
/// # Safety
///
/// [`end_io`] has filled in the PDU, and nothing of the request is in use any more.
#[inline]
unsafe fn finish(rq: *mut bindings::request, now: u64) {
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
