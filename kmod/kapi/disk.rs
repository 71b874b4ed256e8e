// SPDX-License-Identifier: GPL-2.0

//! A disk: how it comes, is changed behind its gate, and goes.

use super::{
    bdev::{Backing, DevName, DevT, PATIENCE_MS},
    limits::StackedLimits,
    queue::{Operations, QueueData, Queues, Tags},
    sys::shim,
    sysfs,
};
use crate::model::{name::Name, select::Hyphenated, select::Uuid, units::Sectors};
use core::{cell::UnsafeCell, fmt::Write, marker::PhantomData, ptr::NonNull};
use kernel::{
    bindings,
    error::{code::*, from_err_ptr, to_result},
    new_mutex,
    prelude::*,
    str::NullTerminatedFormatter,
    sync::{
        atomic::{ordering::*, Atomic},
        LockClassKey, Mutex,
    },
    types::Opaque,
};

/// States of a disk.
const NEW: u32 = 0;
const LIVE: u32 = 1;
const GONE: u32 = 2;

/// What the block layer calls on a disk of `T`, beside its queues.
struct Table<T>(PhantomData<T>);

impl<T: Operations> Table<T> {
    const FOPS: bindings::block_device_operations = bindings::block_device_operations {
        open: Some(Self::open),
        owner: T::MODULE.as_ptr(),
        // SAFETY: All other members are pointers, for which null means none.
        ..unsafe { core::mem::zeroed() }
    };

    /// Writes the value of a file in sysfs. Process context.
    ///
    /// # Safety
    ///
    /// Called by sysfs only, on a live disk made by [`Disk::new`], with a page to write to.
    unsafe extern "C" fn show(
        disk: *mut bindings::gendisk,
        what: shim::stor_sysfs,
        page: *mut c_char,
    ) -> isize {
        // SAFETY: A live disk has its queue and the queue's data.
        let data = unsafe { &*(*(*disk).queue).queuedata.cast::<QueueData<T>>() };
        // SAFETY: sysfs gives a whole page.
        let page = unsafe { core::slice::from_raw_parts_mut(page.cast(), kernel::page::PAGE_SIZE) };
        sysfs::show(page, |out| data.ops.show(sysfs::File::of(what)?, out))
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
    /// It takes no writes.
    pub(crate) read_only: bool,
    /// Requests end on the CPU that they came from, and not on one near by: their end is work.
    pub(crate) same_cpu: bool,
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
    pub(super) disk: NonNull<bindings::gendisk>,
    pub(super) data: NonNull<QueueData<T>>,
    state: Atomic<u32>,
    /// Its requests are kept back: see `gate.rs`.
    pub(super) held: Pin<KBox<Held>>,
    /// Who reads its partition table, and links it to its backing in sysfs.
    scan: Pin<KBox<Opaque<shim::stor_scan>>>,
    identity: KBox<shim::stor_identity>,
    tags: Tags,
    /// Dropped last: locks of the tag set have them, too.
    classes: LockClasses,
}

/// Classes of the locks of one disk that are taken while those of the disk below are held, or the
/// other way round. Disks may stand on each other in any way, so each has its own.
struct LockClasses {
    flush: Pin<KBox<LockClassKey>>,
    elevator: Pin<KBox<LockClassKey>>,
    dispatch: Pin<KBox<LockClassKey>>,
}

impl LockClasses {
    fn new() -> Result<Self> {
        let class = || KBox::pin_init(LockClassKey::new_dynamic(), GFP_KERNEL);
        Ok(Self {
            flush: class()?,
            elevator: class()?,
            dispatch: class()?,
        })
    }
}

/// Whether requests of a disk are kept back: see `gate.rs`.
///
/// Lock order: the queue's freeze, then this one, a leaf.
#[pin_data]
pub(super) struct Held {
    #[pin]
    pub(super) held: Mutex<bool>,
}

impl Held {
    /// They are not.
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            held <- new_mutex!(false, "Disk::held"),
        })
    }
}

// SAFETY: A disk can be used and freed from any thread, and so can `T`.
unsafe impl<T: Operations> Send for Disk<T> {}
// SAFETY: What a shared reference allows is protected by the block layer's locks or atomic.
unsafe impl<T: Operations> Sync for Disk<T> {}

impl<T: Operations> Disk<T> {
    /// Makes a disk that nobody can see yet. May sleep.
    pub(crate) fn new(
        params: Params<'_>,
        config: T::Config,
        kit: T::Kit,
        ops: Pin<KBox<T>>,
    ) -> Result<Self> {
        let held = KBox::pin_init(Held::new(), GFP_KERNEL)?;
        let classes = LockClasses::new()?;
        let scan = KBox::pin(Opaque::uninit(), GFP_KERNEL)?;
        let tags = Tags::new(&Queues::<T>::MQ, ops.lower().backing())?;
        let mut limits = params.limits;
        let data = KBox::new(
            QueueData {
                closed: Atomic::new(false),
                config: UnsafeCell::new(config),
                kit: UnsafeCell::new(kit),
                ops,
            },
            GFP_KERNEL,
        )?;
        let mut identity = KBox::new(
            shim::stor_identity {
                serial: [0; 32],
                uuid: [0; 40],
                show: Some(Table::<T>::show),
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
                tags.as_ptr(),
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
            held,
            scan,
            identity,
            tags,
            classes,
        };
        let fops: &'static bindings::block_device_operations = &Table::<T>::FOPS;
        // SAFETY: The disk is ours, and nobody sees it yet. The device below is open.
        unsafe {
            let disk = disk.as_ptr();
            (*disk).fops = fops;
            (*disk).private_data = (&raw const *this.identity).cast_mut().cast();
            fill(&mut (*disk).disk_name, format_args!("stor{}", params.index))?;
            bindings::set_capacity(disk, params.capacity.0);
            bindings::set_disk_ro(disk, params.read_only);
            shim::stor_shim_disk_match_nowait(disk, this.backing().as_ptr());
            shim::stor_shim_scan_init(this.scan.get(), disk, this.backing().as_ptr());
            shim::stor_shim_disk_lock_classes(
                disk,
                this.classes.flush.as_ptr(),
                this.classes.elevator.as_ptr(),
                this.classes.dispatch.as_ptr(),
            );
            // Writeback is throttled below, where it is known how long the device takes.
            bindings::blk_queue_flag_set(
                shim::stor_shim_const_STOR_SHIM_QUEUE_FLAG_DISABLE_WBT,
                (*disk).queue,
            );
            if params.same_cpu {
                bindings::blk_queue_flag_set(
                    shim::stor_shim_const_STOR_SHIM_QUEUE_FLAG_SAME_FORCE,
                    (*disk).queue,
                );
            }
        }
        Ok(this)
    }

    /// Shows the disk to users, and has its partition table read. Sleeps, but if the backing does
    /// not answer, no longer than [`PATIENCE_MS`]: then it gives back false, and the partitions
    /// come when the backing answers.
    ///
    /// # Errors
    ///
    /// `EEXIST` if this was called before, and those of adding a disk.
    pub(crate) fn add(&self) -> Result<bool> {
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
        if let Err(e) = added {
            self.state.store(GONE, Release);
            return Err(e);
        }
        // SAFETY: The disk was added, and this happens once.
        Ok(unsafe { shim::stor_shim_scan(self.scan.get(), PATIENCE_MS) })
    }

    /// Hides the disk, after all its I/O has ended; does nothing if it is hidden. May sleep. To be
    /// called after [`Self::close`]: its partition table was read, then, and nobody waits for that.
    pub(crate) fn remove(&self) {
        if self.state.cmpxchg(LIVE, GONE, Full).is_err() {
            return;
        }
        // What is kept back could not end.
        self.release();
        // SAFETY: The disk was added, and by the exchange above is deleted once only.
        unsafe {
            shim::stor_shim_scan_exit(self.scan.get());
            bindings::del_gendisk(self.disk.as_ptr());
            // All requests have ended, but a `queue_rq()` may still be on its way back from
            // submitting the last one. It runs in a section of the set's SRCU; no new one begins.
            bindings::blk_mq_wait_quiesce_done(self.tags.as_ptr());
        }
    }

    /// Shuts the disk to users, for good, unless one has it or a partition of it open. May sleep,
    /// but not for I/O.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it is open.
    pub(crate) fn close(&self) -> Result {
        // SAFETY: The disk is valid, and `Table::close()` is made for its data.
        let closed = unsafe {
            shim::stor_shim_scan_is_done(self.scan.get())
                && shim::stor_shim_disk_claim_closed(
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

    fn backing(&self) -> &Backing {
        self.ops().lower().backing()
    }

    /// Whether [`Self::close`] has shut it.
    pub(crate) fn is_closed(&self) -> bool {
        // SAFETY: The data is valid as long as `self`.
        unsafe { self.data.as_ref().closed.load(Relaxed) }
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
        // uses the data any more. The tags and the classes are dropped after this.
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
