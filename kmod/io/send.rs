// SPDX-License-Identifier: GPL-2.0

//! The path of a request: down as a leg, and back.
//!
//! The first leg is embedded in the request's PDU, so that no I/O waits for memory. A request that
//! was merged of several bios needs a table of their segments; it comes from a [`Lower`]'s pool,
//! whose reserve is only ever held by an I/O that is already below. Why no task waits for itself
//! below is said in `submit.c`.
//!
//! An I/O has one leg today. One that has more ends when the last of them has, in
//! [`leg_ended`](end_io): nothing else asks how many there are.

use super::{
    end::{end, end_polled, note},
    leg::{clone_bio, new_bio, INHERITED, MIXED, NOWAIT, POLLED},
    lower::Lower,
    pdu::{io, request, Op, Status, OP_MASK},
    request::{Outcome, Request, Sent},
    stat, trace,
    transform::{self, Transform},
};
use crate::{
    kapi::{inline_key::InlineKey, sys::c},
    model::units::Sectors,
};
use kernel::{bindings, prelude::*, types::Opaque};

/// Flags of a lower bio which say that its bytes were counted, or held back for, already.
const ACCOUNTED: u16 = 1 << bindings::BIO_CGROUP_ACCT | 1 << bindings::BIO_BPS_THROTTLED;

/// Submit context: a task in `queue_rq()` or `queue_rqs()` that is ready to submit below.
///
/// # Invariants
///
/// `stor_submit_begin()` has filled it in for the current task, which has not left the
/// function since, and `stor_submit_end()` is still to come.
pub(crate) struct SubmitContext {
    raw: Opaque<c::stor_submit>,
}

impl SubmitContext {
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
        let context = Self {
            raw: Opaque::uninit(),
        };
        // INVARIANT: Filled in here, and ended below.
        // SAFETY: By the contract of this function.
        unsafe { c::stor_submit_begin(context.raw.get(), q, nr, timed) };
        let result = submit(&context);
        // SAFETY: Begun above by the same task.
        unsafe { c::stor_submit_end(context.raw.get()) };
        result
    }

    /// When it began, in ns; 0 if it is not timed.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        // SAFETY: Filled in by the type invariant.
        unsafe { (*self.raw.get()).now }
    }
}

/// How the data of a request goes down.
enum How<'a> {
    /// As it is.
    Plain,
    /// Transformed here.
    Transformed(&'a dyn Transform),
    /// As it is, with a key, for inline encryption; and the number of its first data unit.
    Inline(&'a InlineKey, u64),
}

impl<'a> Request<'a> {
    /// Sends it down as one leg that starts at `at` on the backing, and ends it when that ends,
    /// with the same status. Process context; may sleep in the lower device.
    #[inline]
    pub(crate) fn send(self, lower: &'a Lower, at: Sectors, submit: &SubmitContext) -> Outcome<'a> {
        self.send_as(lower, at, How::Plain, submit)
    }

    /// The same; its data, if it has some, is encrypted before, or decrypted after.
    #[inline(never)]
    pub(crate) fn send_transformed(
        self,
        lower: &'a Lower,
        at: Sectors,
        transform: &'a dyn Transform,
        submit: &SubmitContext,
    ) -> Outcome<'a> {
        if !self.op().has_data() {
            return self.send_as(lower, at, How::Plain, submit);
        }
        self.send_as(lower, at, How::Transformed(transform), submit)
    }

    /// The same, with a key for inline encryption of its data, if it has some, the first sector of
    /// which has the number `dun`, and each next one the next number.
    ///
    /// It is not polled: the kernel may decrypt on another CPU, some time after the device is done.
    #[inline(never)]
    pub(crate) fn send_inline(
        self,
        lower: &'a Lower,
        at: Sectors,
        key: &'a InlineKey,
        dun: u64,
        submit: &SubmitContext,
    ) -> Outcome<'a> {
        if !self.op().has_data() {
            return self.send_as(lower, at, How::Plain, submit);
        }
        self.send_as(lower, at, How::Inline(key, dun), submit)
    }

    #[inline(always)]
    fn send_as(
        self,
        lower: &'a Lower,
        at: Sectors,
        how: How<'a>,
        submit: &SubmitContext,
    ) -> Outcome<'a> {
        let (rq, io, op) = (self.as_ptr(), self.io(), self.op());
        let bdev = lower.backing().as_ptr();
        // SAFETY: The PDU belongs to whoever has the request. A raw pointer to a field needs no
        // initialised value.
        let (leg, bio) = unsafe { (&raw mut (*io).leg, &raw mut (*io).leg.bio) };
        let (first, last) = self.bios();
        let mut opf = (self.cmd_flags() & INHERITED) | op.lower_opf();
        if let How::Inline(..) = how {
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
                && c::stor_shim_bdev_nowait(bdev)
            {
                opf |= NOWAIT;
            }
        }
        // SAFETY: The PDU is ours, and `bio` is memory for a bio. `first` is the request's only one
        // where it is said to be.
        unsafe {
            let made = match how {
                How::Transformed(transform) => {
                    (*io).transform = transform::to_words(Some(transform));
                    if op == Op::Write {
                        transform::encrypt(&self, transform, opf, bio, lower)
                    } else if first == last {
                        clone_bio(bio, bdev, first, opf).map(|()| (opf, table))
                    } else {
                        self.init_bio(op, opf, bio, lower)
                    }
                }
                How::Plain | How::Inline(..) => {
                    (*io).transform = transform::to_words(None);
                    if first == last && op.has_data() {
                        clone_bio(bio, bdev, first, opf).map(|()| (opf, table))
                    } else {
                        self.init_bio(op, opf, bio, lower)
                    }
                }
            };
            match made {
                Ok(made) => (opf, table) = made,
                Err(Status::RESOURCE) => return Outcome::Again(self),
                Err(status) => return Outcome::End(self, status),
            }
        }

        // SAFETY: `bio` was initialised above and belongs to this request. Everything the leg
        // points to lives until its end: the device, `lower`, the transform and the key by `'a`,
        // which covers the end of every request; the table by belonging to this leg; the pages by
        // the upper bios, or by being the request's. The request is started once and handed over to
        // `end_io`, which ends it.
        unsafe {
            (*bio).bi_iter.bi_sector = at.0;
            (*bio).bi_end_io = Some(end_io);
            (*bio).bi_private = io.cast();
            (*leg).lower = core::ptr::from_ref(lower).cast();
            (*leg).table = table;
            (*leg).sector = at.0;
            (*leg).tried = false;
            (*leg).on_polled = false;
            if opf & POLLED != 0 {
                (*leg).on_polled = c::stor_poll_add(leg, rq);
            }
            if self.cmd_flags() & POLLED != 0 && !(*leg).on_polled {
                // Nobody would poll it; and who polls others must not wait for it below.
                opf &= !(POLLED | NOWAIT);
                (*bio).bi_opf = opf;
                (*leg).opf = opf;
                (*leg).key = core::ptr::null();
                if let How::Inline(key, dun) = how {
                    (*leg).key = key.as_ptr();
                    (*leg).dun = dun;
                }
                bindings::blk_mq_start_request(self.into_raw());
                c::stor_punt(leg, lower.punt());
                return Outcome::Sent(Sent::new());
            }
            (*leg).opf = opf;
            bindings::blk_mq_start_request(self.into_raw());
            match how {
                How::Inline(key, dun) => {
                    (*leg).key = key.as_ptr();
                    (*leg).dun = dun;
                    c::stor_submit_inline(leg, submit.raw.get(), lower.punt());
                }
                _ => c::stor_submit_leg(leg, submit.raw.get(), lower.punt()),
            }
        }
        Outcome::Sent(Sent::new())
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
            let n =
                unsafe { c::stor_shim_rq_bvecs(self.as_ptr(), table, lower.max_segments().into()) };
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

/// Leaves a leg to the worker whose bio was tried, and would have had to wait; or that was to
/// be polled, by a queue which the backing has lost. Those below may have changed the bio, so it is
/// made anew, and is not polled: the worker must not wait for what is there for who polls. Any
/// context.
///
/// # Errors
///
/// The bio could not be made; the leg has ended with this status.
///
/// # Safety
///
/// The leg was sent to `lower`, and has ended; its I/O has not.
unsafe fn retry(
    rq: *mut bindings::request,
    leg: *mut c::stor_leg,
    lower: &Lower,
) -> Result<(), Status> {
    // SAFETY: By the contract of this function. Only the position in a table is changed by who has
    // the bio, never what is in it.
    unsafe {
        let bio = &raw mut (*leg).bio;
        let (first, bdev, private) = ((*rq).bio, lower.backing().as_ptr(), (*bio).bi_private);
        let (table, segments) = ((*leg).table, (*bio).bi_vcnt);
        let accounted = (*bio).bi_flags & ACCOUNTED;
        if (*leg).on_polled {
            c::stor_poll_del(leg, rq);
            (*leg).on_polled = false;
            (*leg).opf &= !POLLED;
        }
        bindings::bio_uninit(bio);
        let op = (*leg).opf & OP_MASK;
        let has_data = op == bindings::req_op_REQ_OP_READ || op == bindings::req_op_REQ_OP_WRITE;
        if has_data && table.is_null() && !first.is_null() {
            clone_bio(bio, bdev, first, (*leg).opf)?;
        } else {
            new_bio(bio, bdev, rq, (*leg).opf, table, segments);
        }
        (*bio).bi_iter.bi_sector = (*leg).sector;
        (*bio).bi_end_io = Some(end_io);
        (*bio).bi_private = private;
        (*bio).bi_flags |= accounted;
        (*leg).tried = false;
        (*leg).key = core::ptr::null();
        c::stor_punt(leg, lower.punt());
    }
    Ok(())
}

/// What comes of a leg that has ended otherwise than well: the status that matters, or `None` if it
/// was sent again. Any context.
///
/// # Safety
///
/// As that of [`retry`].
#[cold]
#[inline(never)]
unsafe fn failed(
    rq: *mut bindings::request,
    leg: *mut c::stor_leg,
    lower: &Lower,
    status: Status,
) -> Option<Status> {
    // SAFETY: By the contract of this function. The request has a queue, and that a disk.
    unsafe {
        if (status == Status::AGAIN && (*leg).tried)
            || (status == Status::NOTSUPP && (*leg).on_polled)
        {
            return retry(rq, leg, lower).err();
        }
        let (disk, bdev) = ((*(*rq).q).disk, lower.backing().as_ptr());
        if (status == Status::TARGET || status == Status::NOTSUPP)
            && c::stor_shim_disk_take_back(disk, bdev, (*leg).opf & OP_MASK)
        {
            // Whoever asked for it looks at the limit then, and does it in another manner: it is
            // nothing for the kernel's log.
            (*rq).rq_flags |= 1 << bindings::rqf_flags___RQF_QUIET;
        }
        Some(status)
    }
}

/// A lower bio has ended. Any context, hard interrupt included.
///
/// # Safety
///
/// Called by the block layer only, once for each time that a bio of [`Request::send`] was
/// submitted.
unsafe extern "C" fn end_io(bio: *mut bindings::bio) {
    // SAFETY: `send_as()` has put the PDU of a request there, whose leg it is. `lower` exists as
    // long as the queue, which has this request in flight. All of it belongs to this request until
    // it is handed on: the last thing that is done with it.
    unsafe {
        let io: *mut c::stor_io = (*bio).bi_private.cast();
        let (rq, leg) = (request(io), &raw mut (*io).leg);
        let lower = &*(*leg).lower.cast::<Lower>();
        let mut status = Status::new((*bio).bi_status);
        debug_assert!(core::ptr::eq(bio, &raw const (*leg).bio));
        trace::lower_complete(rq, bio, (*leg).sector);
        if status != Status::OK {
            match failed(rq, leg, lower, status) {
                Some(matters) => status = matters,
                None => return,
            }
        }
        if transform::is_transformed(io) {
            return transform::ended(rq, io, lower, status);
        }
        if !(*bio).bi_crypt_context.is_null() || !(*leg).table.is_null() {
            lower.release(leg);
        }
        let now = note(rq, io, status);
        if (*leg).on_polled {
            end_polled(rq, io, status, now);
        } else if !bindings::blk_mq_complete_request_remote(rq) {
            end(rq, now);
        }
    }
}

/// Ends a request on the CPU that it belongs to, if that is another one than where its leg has
/// ended. Softirq or hard interrupt context.
///
/// # Safety
///
/// Called by the block layer only, after [`end_io`] has completed the request.
pub(super) unsafe extern "C" fn complete(rq: *mut bindings::request) {
    // SAFETY: By the contract of this function.
    unsafe {
        let io = io(rq);
        if transform::is_transformed(io) {
            transform::on_its_cpu(rq, io);
        } else {
            end(rq, stat::now_if(io));
        }
    }
}
