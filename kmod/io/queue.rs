// SPDX-License-Identifier: GPL-2.0

//! The queues of a disk: their tags, and what the block layer calls with their requests.

use super::{
    edge::{link, Handle, Requests},
    limits::online_cpus,
    lower::Lower,
    pdu::Status,
    send::{self, SubmitContext},
    stat::Stat,
    sysfs,
};
use crate::kapi::{bdev::Backing, sys::c};
use core::fmt::Write;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::{atomic::Atomic, Arc},
    types::Opaque,
};

/// Requests that one hardware queue can have in flight.
const QUEUE_DEPTH: u32 = 256;

/// What the owner of a disk tells of it.
pub(crate) trait Owner: Send + Sync {
    /// Whether I/O to the disk waits for somebody to do something, as to unlock it.
    fn holds(&self) -> bool;

    /// Writes the value of a file in the folder `stor` of the disk's folder in sysfs. May sleep.
    fn show(&self, what: sysfs::File, out: &mut dyn Write) -> core::fmt::Result;
}

/// What the queue, and the disk's `open()`, find behind their pointer.
pub(super) struct QueueData {
    /// The disk is shut to users.
    pub(super) closed: Atomic<bool>,
    /// What becomes of its requests.
    pub(super) engine: Handle,
    /// Where they are counted, if they are.
    pub(super) stat: Option<Arc<Stat>>,
    /// Who has the disk.
    pub(super) owner: KBox<dyn Owner>,
    /// Where they go.
    pub(super) lower: Pin<KBox<Lower>>,
}

/// What the block layer calls on the queues of our disks.
pub(super) static MQ: Ops = Ops(bindings::blk_mq_ops {
    queue_rq: Some(queue_rq),
    queue_rqs: Some(queue_rqs),
    complete: Some(send::complete),
    poll: Some(poll),
    map_queues: Some(c::stor_poll_map_queues),
    init_hctx: Some(c::stor_poll_init_hctx),
    exit_hctx: Some(c::stor_poll_exit_hctx),
    // SAFETY: All members are function pointers, for which null means none.
    ..unsafe { core::mem::zeroed() }
});

/// Functions for the block layer.
pub(super) struct Ops(pub(super) bindings::blk_mq_ops);

// SAFETY: Pointers to functions.
unsafe impl Sync for Ops {}

/// Passes a list of `nr` requests of a queue on. Gives those that are to come again.
///
/// # Safety
///
/// To be called from within `queue_rq()` or `queue_rqs()` of a queue made by
/// [`super::disk::Disk::new`], with what the block layer has handed to us.
#[inline(always)]
unsafe fn pass(first: *mut bindings::request, nr: u32) -> bindings::rq_list {
    // SAFETY: The request is valid; `queuedata` was set by `Disk::new()`, and is not freed until
    // this has returned: see `Disk::remove()`.
    let (q, data) = unsafe {
        let q = (*first).q;
        (q, &*(*q).queuedata.cast::<QueueData>())
    };
    let stat = data.stat.as_deref();
    let pass = |submit: &SubmitContext| {
        // SAFETY: The list was handed to us, and the queue outlives its requests.
        let mut requests = unsafe { Requests::new(first, stat, submit.now()) };
        let engine = &data.engine;
        // SAFETY: Data and table are of one handle. What requests borrow changes behind the gate
        // only, which waits for this to return and for these requests to end.
        unsafe { (engine.table.pass)(engine.data, &data.lower, &mut requests, submit) };
        requests.into_left()
    };
    // SAFETY: By the contract of this function.
    unsafe { SubmitContext::run(q, nr, stat.is_some(), pass) }
}

/// Takes a request. Process context.
///
/// # Safety
///
/// Called by the block layer only, on a queue made by [`super::disk::Disk::new`].
unsafe extern "C" fn queue_rq(
    _hctx: *mut bindings::blk_mq_hw_ctx,
    bd: *const bindings::blk_mq_queue_data,
) -> bindings::blk_status_t {
    // SAFETY: `bd` and its request are valid by the contract of this callback. By itself it is a
    // list of one.
    unsafe {
        let rq = (*bd).rq;
        *link(rq) = core::ptr::null_mut();
        let left = pass(rq, 1);
        if left.head.is_null() {
            return Status::OK.as_raw();
        }
        // In no list.
        *link(rq) = link(rq).cast();
        Status::RESOURCE.as_raw()
    }
}

/// Takes a list of requests of one queue, and leaves those in it that are to come again one
/// by one. Process context.
///
/// # Safety
///
/// Called by the block layer only, on a queue made by [`super::disk::Disk::new`].
unsafe extern "C" fn queue_rqs(list: *mut bindings::rq_list) {
    // SAFETY: The list is ours until this returns, and what is in it is valid. It may be the plug's
    // own, to which lower requests are added: it is emptied first. When it is filled again nobody
    // has added to it, since the plug that it belongs to was hidden.
    unsafe {
        let first = (*list).head;
        (*list).head = core::ptr::null_mut();
        (*list).tail = core::ptr::null_mut();
        if first.is_null() {
            return;
        }
        let mut nr = 0;
        let mut rq = first;
        while !rq.is_null() {
            nr += 1;
            rq = *link(rq);
        }
        *list = pass(first, nr);
    }
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
    // SAFETY: By the contract of this function; whoever polls has a reference to the queue.
    unsafe { c::stor_poll(hctx, batch) }
}

/// A tag set, set up for as long as it exists.
///
/// # Invariants
///
/// `blk_mq_alloc_tag_set()` has succeeded on it. It does not move: the box is never given away.
pub(super) struct Tags(Pin<KBox<Opaque<bindings::blk_mq_tag_set>>>);

impl Tags {
    /// Tags for a disk above `backing`.
    pub(super) fn new(backing: &Backing) -> Result<Self> {
        // One queue a CPU, and if the backing can be polled, one more that is.
        // SAFETY: The device is open.
        let (queues, maps) = if unsafe { c::stor_poll_is_offered(backing.as_ptr()) } {
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
                    (*slot).ops = &raw const MQ.0;
                    (*slot).nr_hw_queues = queues;
                    (*slot).nr_maps = maps;
                    (*slot).queue_depth = QUEUE_DEPTH;
                    (*slot).cmd_size = size_of::<c::stor_io>() as u32;
                    (*slot).numa_node = bindings::NUMA_NO_NODE;
                    // The lower device knows when something takes too long. To look for it here
                    // would keep the block layer's worker waiting for all who submit.
                    (*slot).timeout = i32::MAX as u32;
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
