// SPDX-License-Identifier: GPL-2.0

//! The way of a request: from the block layer, down as one lower bio, and back.
//!
//! The lower bio is embedded in the request's PDU, so that no I/O waits for memory. A request that
//! was merged of several bios needs a table of their segments; it comes from a [`Lower`]'s pool,
//! whose reserve is only ever held by an I/O that is already below.

use super::{bdev::Backing, sys::shim};
use crate::model::units::{Bytes, Sectors};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{bindings, error::to_result, prelude::*, types::Opaque};

/// How an I/O ended, or why it can not start: a `blk_status_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(bindings::blk_status_t);

impl Status {
    /// An I/O error.
    pub(crate) const IOERR: Self = Self(shim::stor_shim_const_STOR_SHIM_STS_IOERR as u8);
    /// Not supported.
    pub(crate) const NOTSUPP: Self = Self(shim::stor_shim_const_STOR_SHIM_STS_NOTSUPP as u8);
    /// Out of something; the block layer tries again by itself.
    pub(crate) const RESOURCE: Self = Self(shim::stor_shim_const_STOR_SHIM_STS_RESOURCE as u8);

    /// The raw status.
    pub(super) fn as_raw(self) -> bindings::blk_status_t {
        self.0
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Read data.
    Read,
    /// Write data.
    Write,
    /// Make what was written durable; it has no sectors.
    Flush,
    /// The sectors are not needed any more.
    Discard,
    /// The same, and no trace of the data may stay.
    SecureErase,
    /// Write zeros without sending them.
    WriteZeroes,
}

/// Flags of a request that a lower bio inherits. Not among them: PREFLUSH, which the block layer
/// has turned into a request of its own; POLLED and ALLOC_CACHE, which belong to the upper bio;
/// ATOMIC and INTEGRITY, which the disk does not offer.
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
    | 1 << bindings::req_flag_bits___REQ_NOUNMAP;
/// Of these, the ones that a merged request must not pass on.
const MIXED: u32 = 1 << bindings::req_flag_bits___REQ_FAILFAST_DEV
    | 1 << bindings::req_flag_bits___REQ_FAILFAST_TRANSPORT
    | 1 << bindings::req_flag_bits___REQ_FAILFAST_DRIVER
    | 1 << bindings::req_flag_bits___REQ_RAHEAD;
const NOWAIT: u32 = 1 << bindings::req_flag_bits___REQ_NOWAIT;
const PREFLUSH: u32 = 1 << bindings::req_flag_bits___REQ_PREFLUSH;
const OP_MASK: u32 = (1 << bindings::REQ_OP_BITS) - 1;

/// What lies behind each `struct request` of our queues. Uninitialised until the request is sent.
#[repr(C)]
pub(super) struct Pdu {
    bio: bindings::bio,
    /// Segments of a merged request, from `pool`; null if the request has one bio or no data.
    table: *mut bindings::bio_vec,
    pool: *mut bindings::mempool,
    status: bindings::blk_status_t,
}

/// # Safety
///
/// `rq` must be a request of a tag set whose `cmd_size` is that of [`Pdu`].
unsafe fn pdu(rq: *mut bindings::request) -> *mut Pdu {
    // SAFETY: The PDU follows the request, by the contract of `cmd_size`.
    unsafe { rq.add(1).cast() }
}

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

impl<'a> Request<'a> {
    /// # Safety
    ///
    /// `rq` must be what `queue_rq()` was called with, and is passed on to nobody else. `'a` must
    /// not outlive the queue.
    pub(super) unsafe fn from_raw(rq: NonNull<bindings::request>) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            rq,
            _queue: PhantomData,
        }
    }

    fn cmd_flags(&self) -> u32 {
        // SAFETY: The request is valid by the type invariant. Only its reference count changes
        // under us, so no reference to the whole is made, here and below.
        unsafe { (*self.rq.as_ptr()).cmd_flags }
    }

    /// First and last bio; null for a flush.
    fn bios(&self) -> (*mut bindings::bio, *mut bindings::bio) {
        // SAFETY: As in `cmd_flags()`.
        unsafe { ((*self.rq.as_ptr()).bio, (*self.rq.as_ptr()).biotail) }
    }

    fn data_len(&self) -> u32 {
        // SAFETY: As in `cmd_flags()`.
        unsafe { (*self.rq.as_ptr()).__data_len }
    }

    /// What it asks for; `None` if that is nothing a disk of ours offers.
    pub(crate) fn op(&self) -> Option<Op> {
        match self.cmd_flags() & OP_MASK {
            bindings::req_op_REQ_OP_READ => Some(Op::Read),
            bindings::req_op_REQ_OP_WRITE => Some(Op::Write),
            bindings::req_op_REQ_OP_FLUSH => Some(Op::Flush),
            bindings::req_op_REQ_OP_DISCARD => Some(Op::Discard),
            bindings::req_op_REQ_OP_SECURE_ERASE => Some(Op::SecureErase),
            bindings::req_op_REQ_OP_WRITE_ZEROES => Some(Op::WriteZeroes),
            _ => None,
        }
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

    /// Sends it down as one bio that starts at `at` on the backing, and ends it when that ends,
    /// with the same status. Any context in which `queue_rq()` may be called; may sleep in the
    /// lower device.
    ///
    /// # Errors
    ///
    /// The request was not started and is the caller's to give back with this status.
    pub(crate) fn send(self, op: Op, lower: &'a Lower, at: Sectors) -> Result<(), Status> {
        let rq = self.rq.as_ptr();
        // SAFETY: All requests of our queues have our PDU, by the type invariant.
        let pdu = unsafe { pdu(rq) };
        // SAFETY: The PDU belongs to whoever has the request. Nothing has set it up yet, and a raw
        // pointer to a field needs no initialised value.
        let bio = unsafe { &raw mut (*pdu).bio };
        let (first, last) = self.bios();
        let mut opf = (self.cmd_flags() & INHERITED) | op.lower_opf();
        if first != last {
            // The flags of a merged request are those of its first bio. The others may not have
            // asked to fail fast, or to be readahead.
            opf &= !MIXED;
        }
        let mut table = core::ptr::null_mut();

        match op {
            Op::Read | Op::Write if first == last => {
                // SAFETY: `bio` is memory for a bio, `first` is the bio of the request, and the
                // device is open as long as `lower`.
                let err = unsafe {
                    bindings::bio_init_clone(
                        lower.backing.as_ptr(),
                        bio,
                        first,
                        bindings::GFP_NOWAIT,
                    )
                };
                if err != 0 {
                    return Err(Status::RESOURCE);
                }
                // A bio that may not wait ends with EAGAIN where its owner expects it. A device
                // that can not promise that, as a dm table may become one, would refuse the bio.
                // SAFETY: `bio` and `first` are initialised, and the device is open.
                unsafe {
                    if (*first).bi_opf & NOWAIT != 0
                        && shim::stor_shim_bdev_nowait(lower.backing.as_ptr())
                    {
                        opf |= NOWAIT;
                    }
                    (*bio).bi_opf = opf;
                }
            }
            Op::Read | Op::Write => {
                table = lower.table().ok_or(Status::RESOURCE)?;
                // SAFETY: The request has data, and the table has `max_segments` entries.
                let n = unsafe { shim::stor_shim_rq_bvecs(rq, table, lower.max_segments.into()) };
                let Some(n) = u16::try_from(n).ok().filter(|&n| n != 0) else {
                    // The block layer counts segments no lower than this does. If it ever did,
                    // the request could never be sent.
                    lower.give_back(table);
                    return Err(Status::IOERR);
                };
                // SAFETY: `bio` is memory for a bio; the table is ours until the bio ends.
                unsafe {
                    bindings::bio_init(bio, lower.backing.as_ptr(), table, n, opf);
                    (*bio).bi_vcnt = n;
                }
                self.inherit(bio);
            }
            Op::Flush | Op::Discard | Op::SecureErase | Op::WriteZeroes => {
                // SAFETY: `bio` is memory for a bio; it has no data.
                unsafe {
                    bindings::bio_init(bio, lower.backing.as_ptr(), core::ptr::null_mut(), 0, opf)
                };
                self.inherit(bio);
            }
        }

        // SAFETY: `bio` was initialised above and belongs to this request. Everything the bio
        // points to lives until its end: the device and the pool by `'a`, which covers the end of
        // every request; the table by belonging to this bio; the pages by the upper bios. The
        // request is started once and handed over to `end_io`, which ends it.
        unsafe {
            (*bio).bi_iter.bi_sector = at.0;
            (*bio).bi_end_io = Some(end_io);
            (*bio).bi_private = rq.cast();
            (*pdu).table = table;
            (*pdu).pool = lower.pool.get();
            bindings::blk_mq_start_request(rq);
            shim::stor_shim_submit_lower(bio, rq, lower.punt.get());
        }
        Ok(())
    }

    /// Gives a lower bio that is no clone the length of the request and what its first bio is
    /// accounted to.
    fn inherit(&self, bio: *mut bindings::bio) {
        let (first, _) = self.bios();
        // SAFETY: The caller has initialised `bio`. `first` is null or the first bio of the
        // request; a flush has none.
        unsafe {
            (*bio).bi_iter.bi_size = self.data_len();
            if !first.is_null() {
                (*bio).bi_ioprio = (*first).bi_ioprio;
                (*bio).bi_write_hint = (*first).bi_write_hint;
                bindings::bio_clone_blkg_association(bio, first);
            }
        }
    }
}

impl Op {
    /// The operation of the lower bio. A flush becomes an empty write with PREFLUSH: that is how
    /// a bio asks for one.
    fn lower_opf(self) -> u32 {
        match self {
            Op::Read => bindings::req_op_REQ_OP_READ,
            Op::Write => bindings::req_op_REQ_OP_WRITE,
            Op::Flush => bindings::req_op_REQ_OP_WRITE | PREFLUSH,
            Op::Discard => bindings::req_op_REQ_OP_DISCARD,
            Op::SecureErase => bindings::req_op_REQ_OP_SECURE_ERASE,
            Op::WriteZeroes => bindings::req_op_REQ_OP_WRITE_ZEROES,
        }
    }
}

/// A lower bio has ended. Any context, hard interrupt included.
///
/// # Safety
///
/// Called by the block layer only, once for each bio that [`Request::send`] has submitted.
unsafe extern "C" fn end_io(bio: *mut bindings::bio) {
    // SAFETY: `send()` has put the request there, which has our PDU.
    let (rq, pdu) = unsafe {
        let rq: *mut bindings::request = (*bio).bi_private.cast();
        (rq, pdu(rq))
    };
    // SAFETY: The block layer is done with the bio, the table belongs to it, and the pool exists
    // as long as the queue, which has this request in flight. Handing the request on is the last
    // thing done with it here.
    unsafe {
        (*pdu).status = (*bio).bi_status;
        bindings::bio_uninit(bio);
        if !(*pdu).table.is_null() {
            bindings::mempool_free((*pdu).table.cast(), (*pdu).pool);
        }
        bindings::blk_mq_complete_request(rq);
    }
}

/// Ends a request on the CPU that it belongs to. Softirq or hard interrupt context.
///
/// # Safety
///
/// Called by the block layer only, after [`end_io`] has completed the request.
pub(super) unsafe extern "C" fn complete(rq: *mut bindings::request) {
    // SAFETY: `end_io()` has stored the status, and nothing of the request is in use any more.
    unsafe { bindings::blk_mq_end_request(rq, (*pdu(rq)).status) }
}

/// Where requests are sent: a backing, and what some of them need on their way there.
///
/// # Invariants
///
/// The elements of `pool` have `max_segments` entries.
#[pin_data]
pub(crate) struct Lower {
    // Dropped in this order: the worker may be on its way back from the lower device when the last
    // request has ended, and has left it when `punt` is gone.
    #[pin]
    punt: Punt,
    #[pin]
    pool: Pool,
    max_segments: u16,
    backing: Backing,
}

/// Tables for merged requests.
///
/// # Invariants
///
/// The pool is initialised, and does not move.
#[pin_data(PinnedDrop)]
struct Pool {
    #[pin]
    pool: Opaque<bindings::mempool>,
}

/// The way of bios that the current task must not submit itself.
///
/// # Invariants
///
/// Initialised, and does not move.
#[pin_data(PinnedDrop)]
struct Punt {
    #[pin]
    punt: Opaque<shim::stor_punt>,
}

// SAFETY: A mempool and a workqueue can be used from any thread.
unsafe impl Send for Lower {}
// SAFETY: A mempool has a lock of its own, and so has what is punted.
unsafe impl Sync for Lower {}

impl Lower {
    /// Prepares for requests of up to `max_segments` segments. May sleep.
    pub(crate) fn new(backing: Backing, max_segments: u16) -> impl PinInit<Self, Error> {
        let nr_bvecs = u32::from(max_segments);
        try_pin_init!(Self {
            backing,
            max_segments,
            pool <- Pool::new(nr_bvecs),
            punt <- Punt::new(),
        })
    }

    /// The device below.
    pub(crate) fn backing(&self) -> &Backing {
        &self.backing
    }

    fn table(&self) -> Option<*mut bindings::bio_vec> {
        // SAFETY: The pool is initialised by its type invariant.
        let table = unsafe { shim::stor_shim_mempool_alloc_nowait(self.pool.get()) };
        (!table.is_null()).then_some(table.cast())
    }

    fn give_back(&self, table: *mut bindings::bio_vec) {
        // SAFETY: The caller has taken `table` from this pool and is done with it.
        unsafe { bindings::mempool_free(table.cast(), self.pool.get()) }
    }
}

impl Pool {
    fn new(nr_bvecs: u32) -> impl PinInit<Self, Error> {
        // INVARIANT: Initialised here.
        try_pin_init!(Self {
            pool <- Opaque::try_ffi_init(move |slot| {
                // SAFETY: `slot` is memory for a pool that stays where it is.
                to_result(unsafe { shim::stor_shim_bvec_pool_init(slot, nr_bvecs) })
            }),
        })
    }

    fn get(&self) -> *mut bindings::mempool {
        self.pool.get()
    }
}

#[pinned_drop]
impl PinnedDrop for Pool {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The pool is initialised by the type invariant. All tables are back: requests in
        // flight keep the queue, and with it `self`, alive.
        unsafe { bindings::mempool_exit(self.pool.get()) }
    }
}

impl Punt {
    fn new() -> impl PinInit<Self, Error> {
        // INVARIANT: Initialised here.
        try_pin_init!(Self {
            punt <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` is memory for it that stays where it is.
                to_result(unsafe { shim::stor_shim_punt_init(slot) })
            }),
        })
    }

    fn get(&self) -> *mut shim::stor_punt {
        self.punt.get()
    }
}

#[pinned_drop]
impl PinnedDrop for Punt {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised by the type invariant. No bio is left: each belongs to a request in
        // flight, and those keep `self` alive. This waits for the worker's last steps.
        unsafe { shim::stor_shim_punt_exit(self.punt.get()) }
    }
}
