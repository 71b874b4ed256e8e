// SPDX-License-Identifier: GPL-2.0

//! A disk with blk-mq queues.

use super::{
    bdev::{Backing, DevName, DevT},
    limits::{online_cpus, StackedLimits},
    request::{self, Pdu, Request, Status},
    sys::shim,
};
use crate::model::{name::Name, select::Hyphenated, select::Uuid, units::Sectors};
use core::{fmt::Write, marker::PhantomData, ptr::NonNull};
use kernel::{
    bindings,
    error::{code::*, from_err_ptr, to_result},
    prelude::*,
    str::NullTerminatedFormatter,
    sync::atomic::{ordering::*, Atomic},
    types::Opaque,
};

/// Requests that one hardware queue can have in flight.
const QUEUE_DEPTH: u32 = 256;

/// States of a disk.
const NEW: u32 = 0;
const LIVE: u32 = 1;
const GONE: u32 = 2;

/// What a disk does with requests. One value serves all its queues.
pub(crate) trait Operations: Send + Sync + Sized + 'static {
    /// The module that the code of this is in.
    const MODULE: ThisModule;

    /// Takes a request. May be called on all CPUs at once, in process context; may sleep.
    ///
    /// # Errors
    ///
    /// The status to end the request with, or [`Status::RESOURCE`] to be asked again later.
    fn queue<'a>(&'a self, rq: Request<'a>) -> Result<(), Status>;

    /// The device that the disk stands on, for sysfs.
    fn backing(&self) -> &Backing;
}

/// What the queue, and the disk's `open()`, find behind their pointer.
struct QueueData<T> {
    closed: Atomic<bool>,
    ops: Pin<KBox<T>>,
}

struct Table<T>(PhantomData<T>);

impl<T: Operations> Table<T> {
    const MQ: bindings::blk_mq_ops = bindings::blk_mq_ops {
        queue_rq: Some(Self::queue_rq),
        complete: Some(request::complete),
        // SAFETY: All members are function pointers, for which null means none.
        ..unsafe { core::mem::zeroed() }
    };

    const FOPS: bindings::block_device_operations = bindings::block_device_operations {
        open: Some(Self::open),
        owner: T::MODULE.as_ptr(),
        // SAFETY: All other members are pointers, for which null means none.
        ..unsafe { core::mem::zeroed() }
    };

    /// Process context.
    ///
    /// # Safety
    ///
    /// Called by the block layer only, on a queue made by [`Disk::new`].
    unsafe extern "C" fn queue_rq(
        _hctx: *mut bindings::blk_mq_hw_ctx,
        bd: *const bindings::blk_mq_queue_data,
    ) -> bindings::blk_status_t {
        // SAFETY: `bd` and its request are valid by the contract of this callback; `queuedata`
        // was set by `Disk::new()`, and is not freed until this has returned: see `remove()`.
        let (rq, data) = unsafe {
            let rq = (*bd).rq;
            (rq, &*(*(*rq).q).queuedata.cast::<QueueData<T>>())
        };
        let Some(rq) = NonNull::new(rq) else {
            return Status::IOERR.as_raw();
        };
        // SAFETY: The request is passed on once. The queue data, which the lifetime is that of,
        // is freed only after all requests of the queue have ended.
        let rq = unsafe { Request::from_raw(rq) };
        match data.ops.queue(rq) {
            Ok(()) => bindings::BLK_STS_OK as bindings::blk_status_t,
            Err(status) => status.as_raw(),
        }
    }

    /// Process context, with the disk's `open_mutex` held.
    ///
    /// # Safety
    ///
    /// Called by the block layer only, on a live disk made by [`Disk::new`].
    unsafe extern "C" fn open(
        disk: *mut bindings::gendisk,
        _mode: bindings::blk_mode_t,
    ) -> core::ffi::c_int {
        // SAFETY: As in `queue_rq()`: a live disk has its queue and the queue's data.
        let data = unsafe { &*(*(*disk).queue).queuedata.cast::<QueueData<T>>() };
        if data.closed.load(Relaxed) {
            ENXIO.to_errno()
        } else {
            0
        }
    }

    /// # Safety
    ///
    /// `data` must point to a valid `QueueData<T>`.
    unsafe extern "C" fn close(data: *mut c_void) {
        // SAFETY: By the contract of this function.
        let data = unsafe { &*data.cast::<QueueData<T>>() };
        data.closed.store(true, Relaxed);
    }
}

/// What a new disk is to be.
pub(crate) struct Params<'a> {
    /// The N of `/dev/storN`.
    pub(crate) index: u32,
    /// Serial number in sysfs.
    pub(crate) name: &'a Name,
    /// UUID in sysfs.
    pub(crate) uuid: &'a Uuid,
    /// Its size.
    pub(crate) capacity: Sectors,
    /// Limits of its queues.
    pub(crate) limits: StackedLimits,
}

/// A tag set, set up for as long as it exists.
///
/// # Invariants
///
/// `blk_mq_alloc_tag_set()` has succeeded on it. It does not move: the box is never given away.
struct Tags(Pin<KBox<Opaque<bindings::blk_mq_tag_set>>>);

impl Tags {
    fn new(ops: &'static bindings::blk_mq_ops) -> Result<Self> {
        let set = KBox::pin_init(
            Opaque::try_ffi_init(|slot: *mut bindings::blk_mq_tag_set| {
                // SAFETY: `slot` is memory for a tag set that stays where it is; zeros are what
                // `blk_mq_alloc_tag_set()` asks for in the members that are not set here.
                to_result(unsafe {
                    slot.write_bytes(0, 1);
                    (*slot).ops = ops;
                    (*slot).nr_hw_queues = online_cpus();
                    (*slot).nr_maps = 1;
                    (*slot).queue_depth = QUEUE_DEPTH;
                    (*slot).cmd_size = size_of::<Pdu>() as u32;
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
}

impl Drop for Tags {
    fn drop(&mut self) {
        // SAFETY: It was set up, by the invariant, and the queue that used it is dead: in `Disk`
        // and in `Disk::new()`, tags are dropped last.
        unsafe { bindings::blk_mq_free_tag_set(self.0.get()) }
    }
}

/// A disk below `/dev`.
///
/// # Invariants
///
/// - `disk` is a disk with queues of `tags`, with `data` as its `queuedata` and `identity` as its
///   `private_data`; a reference to it is owned.
/// - `data` came from [`KBox::into_raw`] and is owned.
/// - The disk was added, and not deleted again, if and only if `state` is `LIVE`; it goes from
///   `NEW` to `LIVE` to `GONE` and never back.
pub(crate) struct Disk<T: Operations> {
    disk: NonNull<bindings::gendisk>,
    data: NonNull<QueueData<T>>,
    state: Atomic<u32>,
    /// There are links between the disk and its backing in sysfs.
    linked: Atomic<bool>,
    identity: KBox<shim::stor_identity>,
    tags: Tags,
}

// SAFETY: A disk can be used and freed from any thread, and so can `T`.
unsafe impl<T: Operations> Send for Disk<T> {}
// SAFETY: What a shared reference allows is protected by the block layer's locks or atomic.
unsafe impl<T: Operations> Sync for Disk<T> {}

impl<T: Operations> Disk<T> {
    /// Makes a disk that nobody can see yet. May sleep.
    pub(crate) fn new(params: Params<'_>, ops: Pin<KBox<T>>) -> Result<Self> {
        let tags = Tags::new(&Table::<T>::MQ)?;
        let mut limits = params.limits;
        let data = KBox::new(
            QueueData {
                closed: Atomic::new(false),
                ops,
            },
            GFP_KERNEL,
        )?;
        let mut identity = KBox::new(
            shim::stor_identity {
                serial: [0; 32],
                uuid: [0; 40],
            },
            GFP_KERNEL,
        )?;
        fill(&mut identity.serial, format_args!("{}", params.name))?;
        fill(
            &mut identity.uuid,
            format_args!("{}", Hyphenated(params.uuid)),
        )?;

        let data = KBox::into_raw(data);
        // SAFETY: The set is set up, the limits may be written to, and the lock class is static.
        let disk = from_err_ptr(unsafe {
            bindings::__blk_mq_alloc_disk(
                tags.0.get(),
                limits.as_mut_ptr(),
                data.cast(),
                kernel::static_lock_class!().as_ptr(),
            )
        });
        let disk = match disk.and_then(|disk| NonNull::new(disk).ok_or(ENOMEM)) {
            Ok(disk) => disk,
            Err(e) => {
                // SAFETY: It came from `into_raw()` above, and no queue knows of it.
                drop(unsafe { KBox::from_raw(data) });
                return Err(e);
            }
        };
        // SAFETY: A box is never null.
        let data = unsafe { NonNull::new_unchecked(data) };
        // INVARIANT: Made as said above; from here on dropping `this` cleans up.
        let this = Self {
            disk,
            data,
            state: Atomic::new(NEW),
            linked: Atomic::new(false),
            identity,
            tags,
        };
        let fops: &'static bindings::block_device_operations = &Table::<T>::FOPS;
        // SAFETY: The disk is ours, and nobody sees it yet. The device below is open.
        unsafe {
            let disk = disk.as_ptr();
            (*disk).fops = fops;
            (*disk).private_data = (&raw const *this.identity).cast_mut().cast();
            fill(&mut (*disk).disk_name, format_args!("stor{}", params.index))?;
            bindings::set_capacity(disk, params.capacity.0);
            shim::stor_shim_disk_match_nowait(disk, this.ops().backing().as_ptr());
        }
        Ok(this)
    }

    /// Shows the disk to users, and reads its partition table. Does I/O and sleeps.
    ///
    /// # Errors
    ///
    /// `EEXIST` if this was called before, and those of adding a disk.
    pub(crate) fn add(&self) -> Result {
        // INVARIANT: The disk is added right away; if that fails, it is `GONE` without having been
        // `LIVE` for anybody else, as the caller has not got it to work yet.
        if self.state.cmpxchg(NEW, LIVE, Full).is_err() {
            return Err(EEXIST);
        }
        // SAFETY: The disk is set up, this happens once, and the groups are static.
        let added = to_result(unsafe {
            bindings::device_add_disk(
                core::ptr::null_mut(),
                self.disk.as_ptr(),
                (&raw mut shim::stor_shim_disk_groups).cast(),
            )
        });
        if added.is_err() {
            self.state.store(GONE, Release);
            return added;
        }
        // SAFETY: Both devices are valid, and the lower one is claimed.
        let linked = to_result(unsafe {
            bindings::bd_link_disk_holder(self.ops().backing().as_ptr(), self.disk.as_ptr())
        });
        match linked {
            Ok(()) => self.linked.store(true, Release),
            // Users may have opened the disk by now: it stays, without links in sysfs.
            Err(e) => pr_warn!(
                "no links from disk to backing in sysfs: error {}\n",
                e.to_errno()
            ),
        }
        Ok(())
    }

    /// Hides the disk, after all its I/O has ended; does nothing if it is hidden. May sleep.
    pub(crate) fn remove(&self) {
        if self.state.cmpxchg(LIVE, GONE, Full).is_err() {
            return;
        }
        // SAFETY: The disk was added, and by the exchange above is deleted once only.
        unsafe {
            if self.linked.load(Acquire) {
                bindings::bd_unlink_disk_holder(self.ops().backing().as_ptr(), self.disk.as_ptr());
            }
            bindings::del_gendisk(self.disk.as_ptr());
            // All requests have ended, but a `queue_rq()` may still be on its way back from
            // submitting the last one. It runs in a section of the set's SRCU; no new one begins.
            bindings::blk_mq_wait_quiesce_done(self.tags.0.get());
        }
    }

    /// Shuts the disk to users, for good, unless one has it or a partition of it open. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it is open.
    pub(crate) fn close(&self) -> Result {
        // SAFETY: The disk is valid, and `Table::close()` is made for its data.
        let closed = unsafe {
            shim::stor_shim_disk_claim_closed(
                self.disk.as_ptr(),
                Some(Table::<T>::close),
                self.data.as_ptr().cast(),
            )
        };
        if closed {
            Ok(())
        } else {
            Err(EBUSY)
        }
    }

    /// Tells what stands on the disk or on a partition of it, a file system say, that its device is going away. With
    /// `surprise`, that it is gone, and nothing can be written back. May sleep.
    pub(crate) fn mark_dead(&self, surprise: bool) {
        // SAFETY: The disk is valid.
        unsafe { shim::stor_shim_disk_mark_dead(self.disk.as_ptr(), surprise) }
    }

    /// The kernel's name of the disk, as in `stor0`.
    pub(crate) fn name(&self) -> DevName {
        // SAFETY: A disk has its whole-disk device as long as it exists.
        unsafe { DevName::of((*self.disk.as_ptr()).part0) }
    }

    /// Number of the disk.
    pub(crate) fn dev(&self) -> DevT {
        // SAFETY: The disk is valid.
        DevT::new(unsafe { shim::stor_shim_disk_devt(self.disk.as_ptr()) })
    }

    /// What serves the queues of the disk that `backing` is, or is a partition of, if that is one
    /// of these disks.
    pub(crate) fn below(backing: &Backing) -> Option<&T> {
        // SAFETY: The device is open, and so has its disk. A disk with our operations has our
        // queue data, which stays: a disk that is open can not be closed and freed.
        unsafe {
            let disk = (*backing.as_ptr()).bd_disk;
            let ours = (*(*disk).fops).open.is_some_and(|open| {
                core::ptr::fn_addr_eq(
                    open,
                    Table::<T>::open as unsafe extern "C" fn(*mut bindings::gendisk, u32) -> c_int,
                )
            });
            if !ours {
                return None;
            }
            Some(&(*(*(*disk).queue).queuedata.cast::<QueueData<T>>()).ops)
        }
    }

    /// What serves its queues.
    pub(crate) fn ops(&self) -> &T {
        // SAFETY: The data is valid as long as `self`.
        unsafe { &self.data.as_ref().ops }
    }
}

impl<T: Operations> Drop for Disk<T> {
    fn drop(&mut self) {
        self.remove();
        // SAFETY: The reference to the disk is ours. When `remove()` has returned, or if the disk
        // was never added, no request exists, none can come, and no `queue_rq()` runs, so nothing
        // uses the data any more. The tags are dropped after this.
        unsafe {
            bindings::put_disk(self.disk.as_ptr());
            drop(KBox::from_raw(self.data.as_ptr()));
        }
    }
}

/// Writes a string into a C array, with its NUL.
fn fill(array: &mut [c_char], text: core::fmt::Arguments<'_>) -> Result {
    let mut out = NullTerminatedFormatter::new(array).ok_or(EINVAL)?;
    out.write_fmt(text).map_err(|_| EOVERFLOW)
}

/// A random UUID.
pub(crate) fn random_uuid() -> Uuid {
    let mut uuid = Uuid::default();
    // SAFETY: The array has room for a UUID.
    unsafe { bindings::generate_random_uuid(uuid.as_mut_ptr()) };
    uuid
}
