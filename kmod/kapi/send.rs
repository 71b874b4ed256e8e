// SPDX-License-Identifier: GPL-2.0

//! The way of a request: down as one lower bio, and back.
//!
//! The lower bio is embedded in the request's PDU, so that no I/O waits for memory. A request that
//! was merged of several bios needs a table of their segments; it comes from a [`Lower`]'s pool,
//! whose reserve is only ever held by an I/O that is already below. Why no task waits for itself
//! below is said in `kmod/shim/submit.c`.

use super::{
    bio::{clone_bio, new_bio, INHERITED, MIXED, NOWAIT, POLLED},
    blkcrypto::InlineKey,
    finish::{finish, finish_polled, note},
    lower::Lower,
    request::{pdu, Op, Request, Status, OP_MASK},
    stat,
    sys::shim,
    trace,
    transform::{self, Transform},
};
use crate::model::units::Sectors;
use kernel::{bindings, prelude::*, types::Opaque};

/// Flags of a lower bio which say that its bytes were counted, or held back for, already.
const ACCOUNTED: u16 = 1 << bindings::BIO_CGROUP_ACCT | 1 << bindings::BIO_BPS_THROTTLED;

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
            self.send_as(op, lower, None::<&S>, at, batch, None)
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
        self.send_as(op, lower, transform, at, batch, None)
    }

    /// Sends it down with a key, for who is below to encrypt or decrypt its data, the first sector of
    /// which has the number `dun`, and each next one the next number. It has data. Process context;
    /// may sleep in the lower device.
    ///
    /// It is not polled: the kernel may decrypt on another CPU, some time after the device is done.
    ///
    /// # Errors
    ///
    /// As those of [`Self::send`].
    #[inline(never)]
    pub(crate) fn send_inline<S: Transform>(
        self,
        op: Op,
        lower: &'a Lower,
        key: &'a InlineKey,
        dun: u64,
        at: Sectors,
        batch: &Batch,
    ) -> Result<(), Status> {
        if !op.has_data() {
            return Err(Status::IOERR);
        }
        self.send_as(op, lower, None::<&S>, at, batch, Some((key, dun)))
    }

    #[inline(always)]
    fn send_as<S: Transform>(
        self,
        op: Op,
        lower: &'a Lower,
        transform: Option<&'a S>,
        at: Sectors,
        batch: &Batch,
        inline: Option<(&'a InlineKey, u64)>,
    ) -> Result<(), Status> {
        let rq = self.as_ptr();
        let pdu = self.pdu();
        let bdev = lower.backing().as_ptr();
        // SAFETY: The PDU belongs to whoever has the request. A raw pointer to a field needs no
        // initialised value.
        let bio = unsafe { &raw mut (*pdu).bio };
        let (first, last) = self.bios();
        let mut opf = (self.cmd_flags() & INHERITED) | op.lower_opf();
        if inline.is_some() {
            opf &= !POLLED;
        }
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
            (opf, table) = transform::seal(&self, transform, opf, bio, lower)?;
        } else if first == last && op.has_data() {
            // SAFETY: `bio` is memory for a bio, and the request has one.
            unsafe { clone_bio(bio, bdev, first, opf)? };
        } else {
            (opf, table) = self.init_bio(op, opf, bio, lower)?;
        }

        // SAFETY: `bio` was initialised above and belongs to this request. Everything the bio
        // points to lives until its end: the device, `lower`, `transform` and the key by `'a`, which
        // covers the end of every request; the table by belonging to this bio; the pages by the upper
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
            if let Some((key, dun)) = inline {
                (*pdu).inline_key = key.as_ptr();
                (*pdu).dun = dun;
                shim::stor_shim_inline_submit(pdu, batch.raw.get(), lower.punt());
            } else {
                shim::stor_shim_submit(pdu, batch.raw.get(), lower.punt());
            }
        }
        Ok(())
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
                return ended(rq, pdu, status);
            }
        } else {
            new_bio(bio, bdev, rq, (*pdu).opf, table, segments);
        }
        (*bio).bi_iter.bi_sector = (*pdu).sector;
        (*bio).bi_end_io = Some(end_io::<S>);
        (*bio).bi_private = rq.cast();
        (*bio).bi_flags |= accounted;
        (*pdu).tried = false;
        shim::stor_shim_punt(pdu, core::ptr::null(), lower.punt());
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
            return transform::ended::<S>(rq, pdu, lower, status);
        }
        if !(*bio).bi_crypt_context.is_null() || !(*pdu).table.is_null() {
            lower.release(pdu);
        }
        ended(rq, pdu, status);
    }
}

/// Hands a request on whose lower bio is done with, to the CPU that it belongs to. Any context.
///
/// # Safety
///
/// The request was sent, its bio holds nothing any more, and nobody else ends it.
#[inline(always)]
unsafe fn ended(rq: *mut bindings::request, pdu: *mut shim::stor_pdu, status: Status) {
    // SAFETY: By the contract of this function.
    unsafe {
        let now = note(rq, pdu, status);
        if (*pdu).on_polled {
            finish_polled(rq, pdu, status, now);
        } else if !bindings::blk_mq_complete_request_remote(rq) {
            finish(rq, now);
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
        if (*pdu).transform.is_null() {
            finish(rq, stat::now_if(pdu));
        } else {
            transform::on_its_cpu::<S>(rq, pdu);
        }
    }
}
