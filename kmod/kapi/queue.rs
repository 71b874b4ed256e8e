// SPDX-License-Identifier: GPL-2.0

//! The queues of a disk: their tags, and what the block layer calls with their requests.

use super::{
    bdev::Backing,
    finish,
    limits::online_cpus,
    lower::Lower,
    request::{Request, Status},
    send::{self, Batch},
    stat::{self, Stat},
    sys::shim,
    sysfs,
    transform::Transform,
};
use core::{cell::UnsafeCell, fmt::Write, marker::PhantomData, ptr::NonNull};
use kernel::{bindings, error::to_result, prelude::*, sync::atomic::Atomic, types::Opaque};

/// Requests that one hardware queue can have in flight.
const QUEUE_DEPTH: u32 = 256;

/// What a disk does with requests. One value serves all its queues.
pub(crate) trait Operations: Send + Sync + Sized + 'static {
    /// The module that the code of this is in.
    const MODULE: ThisModule;

    /// What requests are served by, and what changes only while there are none. A request gets a
    /// copy: it may end, and the gate be closed, before `queue()` has returned.
    type Config: Copy + Send + Sync;

    /// What requests are served with, and refer to until they end. It changes only while there are
    /// none, and none of those who were called with one, or were left one to submit, runs any more.
    type Kit: Send + Sync;

    /// What is done to data on its way.
    type Transform: Transform;

    /// Takes a request. May be called on all CPUs at once, in process context; may sleep.
    ///
    /// # Errors
    ///
    /// The status to end the request with, or [`Status::RESOURCE`] to be asked again later.
    fn queue<'a>(
        &'a self,
        config: Self::Config,
        kit: &'a Self::Kit,
        rq: Request<'a>,
        batch: &Batch,
    ) -> Result<(), Status>;

    /// Where its requests are sent.
    fn lower(&self) -> &Lower;

    /// Where its requests are counted, if they are.
    fn stat(&self) -> Option<&Stat>;

    /// Writes the value of a file in the folder `stor` of the disk's folder in sysfs. May sleep.
    fn show(&self, what: sysfs::File, out: &mut dyn Write) -> core::fmt::Result;
}

/// What the queue, and the disk's `open()`, find behind their pointer.
pub(super) struct QueueData<T: Operations> {
    /// The disk is shut to users.
    pub(super) closed: Atomic<bool>,
    /// Read by whoever has a request, written while the queue is frozen.
    pub(super) config: UnsafeCell<T::Config>,
    /// Used by whoever has a request or was called with one, written while the queue is frozen or
    /// quiesced with none of them.
    pub(super) kit: UnsafeCell<T::Kit>,
    pub(super) ops: Pin<KBox<T>>,
}

/// What the block layer calls on the queues of `T`.
pub(super) struct Queues<T>(PhantomData<T>);

impl<T: Operations> Queues<T> {
    pub(super) const MQ: bindings::blk_mq_ops = bindings::blk_mq_ops {
        queue_rq: Some(Self::queue_rq),
        queue_rqs: Some(Self::queue_rqs),
        complete: Some(send::complete::<T::Transform>),
        poll: Some(Self::poll),
        map_queues: Some(shim::stor_shim_map_queues),
        init_hctx: Some(shim::stor_shim_polled_init),
        exit_hctx: Some(shim::stor_shim_polled_exit),
        // SAFETY: All members are function pointers, for which null means none.
        ..unsafe { core::mem::zeroed() }
    };

    /// Passes one request on. Process context.
    ///
    /// # Safety
    ///
    /// `rq` must be what the block layer has handed to us for the queue of `data`, and is passed
    /// on once. On an error it is still the caller's, and ended as far as counting goes unless it
    /// is to come again.
    #[inline(always)]
    unsafe fn pass(
        data: &QueueData<T>,
        rq: NonNull<bindings::request>,
        batch: &Batch,
        end: bool,
    ) -> Result<(), Status> {
        // SAFETY: A request of the queue is not ended yet, so the queue is not drained, and nobody
        // changes the configuration now.
        let config = unsafe { *data.config.get() };
        // SAFETY: Nobody changes it before the request has ended, and this has returned.
        let kit = unsafe { &*data.kit.get() };
        // SAFETY: The request is passed on once. The queue data, which the lifetime is that of,
        // is freed only after all requests of the queue have ended.
        let request = unsafe { Request::from_raw(rq) };
        let pdu = request.pdu();
        stat::begin(&request, data.ops.stat(), batch.now());
        // SAFETY: The request is valid.
        unsafe { super::trace::submit(rq.as_ptr()) };
        let result = data.ops.queue(config, kit, request, batch);
        if let Err(status) = result {
            // SAFETY: The request was counted above, and is still ours.
            unsafe {
                if status == Status::RESOURCE {
                    stat::take_back(pdu);
                } else {
                    finish::fail(rq.as_ptr(), status, end);
                }
            }
        }
        result
    }

    /// Process context.
    ///
    /// # Safety
    ///
    /// Called by the block layer only, on a queue made by [`super::disk::Disk::new`].
    unsafe extern "C" fn queue_rq(
        _hctx: *mut bindings::blk_mq_hw_ctx,
        bd: *const bindings::blk_mq_queue_data,
    ) -> bindings::blk_status_t {
        // SAFETY: `bd` and its request are valid by the contract of this callback; `queuedata`
        // was set by `Disk::new()`, and is not freed until this has returned: see `remove()`.
        let (rq, q, data) = unsafe {
            let rq = (*bd).rq;
            let q = (*rq).q;
            (rq, q, &*(*q).queuedata.cast::<QueueData<T>>())
        };
        let Some(rq) = NonNull::new(rq) else {
            return Status::IOERR.as_raw();
        };
        let timed = data.ops.stat().is_some();
        // SAFETY: This is `queue_rq()` of that queue. The request was handed to us, and is passed
        // on once.
        match unsafe { Batch::run(q, 1, timed, |batch| Self::pass(data, rq, batch, false)) } {
            Ok(()) => bindings::BLK_STS_OK as bindings::blk_status_t,
            Err(status) => status.as_raw(),
        }
    }

    /// Takes a list of requests of one queue, and leaves those in it that are to come again one
    /// by one. Process context.
    ///
    /// # Safety
    ///
    /// Called by the block layer only, on a queue made by [`super::disk::Disk::new`].
    unsafe extern "C" fn queue_rqs(list: *mut bindings::rq_list) {
        // The list may be the plug's own, to which lower requests are added: empty it first.
        // SAFETY: The list is ours until this returns.
        let mut next = unsafe {
            let head = (*list).head;
            (*list).head = core::ptr::null_mut();
            (*list).tail = core::ptr::null_mut();
            head
        };
        if next.is_null() {
            return;
        }
        let mut nr = 0;
        let mut rq = next;
        while !rq.is_null() {
            nr += 1;
            // SAFETY: What is in the list is valid.
            rq = unsafe { *link(rq) };
        }
        // SAFETY: As in `queue_rq()`.
        let (q, data) = unsafe {
            let q = (*next).q;
            (q, &*(*q).queuedata.cast::<QueueData<T>>())
        };
        let mut left = bindings::rq_list {
            head: core::ptr::null_mut(),
            tail: core::ptr::null_mut(),
        };
        let submit = |batch: &Batch| {
            while let Some(rq) = NonNull::new(next) {
                let raw = rq.as_ptr();
                // SAFETY: Valid until it is passed on; it is taken off the list before.
                unsafe {
                    next = *link(raw);
                    *link(raw) = core::ptr::null_mut();
                }
                // SAFETY: It was handed to us, and is passed on once.
                if unsafe { Self::pass(data, rq, batch, true) } == Err(Status::RESOURCE) {
                    if left.tail.is_null() {
                        left.head = raw;
                    } else {
                        // SAFETY: A request that is still ours.
                        unsafe { *link(left.tail) = raw };
                    }
                    left.tail = raw;
                }
            }
        };
        // SAFETY: This is `queue_rqs()` of that queue.
        unsafe { Batch::run(q, nr, data.ops.stat().is_some(), submit) };
        // SAFETY: The list is ours until this returns, and nobody has added to it: the plug that
        // it belongs to was hidden.
        unsafe { *list = left };
    }

    /// Process context.
    ///
    /// # Safety
    ///
    /// Called by the block layer only, on a polled queue made by [`super::disk::Disk::new`].
    unsafe extern "C" fn poll(
        hctx: *mut bindings::blk_mq_hw_ctx,
        batch: *mut bindings::io_comp_batch,
    ) -> c_int {
        // SAFETY: As in `queue_rq()`; whoever polls has a reference to the queue.
        unsafe {
            let data = &*(*(*hctx).queue).queuedata.cast::<QueueData<T>>();
            shim::stor_shim_poll(hctx, data.ops.lower().backing().as_ptr(), batch)
        }
    }
}

/// A tag set, set up for as long as it exists.
///
/// # Invariants
///
/// `blk_mq_alloc_tag_set()` has succeeded on it. It does not move: the box is never given away.
pub(super) struct Tags(Pin<KBox<Opaque<bindings::blk_mq_tag_set>>>);

impl Tags {
    /// Tags for a disk above `backing`.
    pub(super) fn new(ops: &'static bindings::blk_mq_ops, backing: &Backing) -> Result<Self> {
        // One queue a CPU, and if the backing can be polled, one more that is.
        // SAFETY: The device is open.
        let (queues, maps) = if unsafe { shim::stor_shim_bdev_can_poll(backing.as_ptr()) } {
            (2 * online_cpus(), bindings::hctx_type_HCTX_MAX_TYPES)
        } else {
            (online_cpus(), 1)
        };
        let set = KBox::pin_init(
            Opaque::try_ffi_init(|slot: *mut bindings::blk_mq_tag_set| {
                // SAFETY: `slot` is memory for a tag set that stays where it is; zeros are what
                // `blk_mq_alloc_tag_set()` asks for in the members that are not set here.
                to_result(unsafe {
                    slot.write_bytes(0, 1);
                    (*slot).ops = ops;
                    (*slot).nr_hw_queues = queues;
                    (*slot).nr_maps = maps;
                    (*slot).queue_depth = QUEUE_DEPTH;
                    (*slot).cmd_size = size_of::<shim::stor_pdu>() as u32;
                    (*slot).numa_node = bindings::NUMA_NO_NODE;
                    // The lower device may sleep when a bio is submitted. It does the scheduling,
                    // and takes care of its own requests when a CPU goes offline.
                    (*slot).flags = bindings::BLK_MQ_F_BLOCKING
                        | bindings::BLK_MQ_F_STACKING
                        | bindings::BLK_MQ_F_NO_SCHED_BY_DEFAULT;
                    bindings::blk_mq_alloc_tag_set(slot)
                })
            }),
            GFP_KERNEL,
        )?;
        // INVARIANT: It has succeeded just now.
        Ok(Self(set))
    }

    /// The kernel's tag set.
    pub(super) fn as_ptr(&self) -> *mut bindings::blk_mq_tag_set {
        self.0.get()
    }
}

impl Drop for Tags {
    fn drop(&mut self) {
        // SAFETY: It was set up, by the invariant, and the queue that used it is dead: in `Disk`
        // and in `Disk::new()`, tags are dropped after it.
        unsafe { bindings::blk_mq_free_tag_set(self.0.get()) }
    }
}

/// Where a request in a list has its successor.
///
/// # Safety
///
/// `rq` must be valid.
unsafe fn link(rq: *mut bindings::request) -> *mut *mut bindings::request {
    // SAFETY: By the contract of this function; no reference is made.
    unsafe { &raw mut (*rq).__bindgen_anon_1.rq_next }
}
