// SPDX-License-Identifier: GPL-2.0

//! A disk: how it comes, is changed behind its gate, and goes.

use super::{
    edge::{Data, Engine, Handle},
    limits::StackedLimits,
    lower::Lower,
    queue::{Owner, QueueData, Tags},
    stat::Stat,
    sysfs,
};
use crate::{
    kapi::{
        bdev::{Backing, DevName, DevT, PATIENCE_MS},
        sys::c,
    },
    model::{name::Name, select::Hyphenated, select::Uuid, units::Sectors},
};
use core::{fmt::Write, marker::PhantomData, ptr::NonNull};
use kernel::{
    bindings,
    error::{code::*, from_err_ptr, to_result},
    new_mutex,
    prelude::*,
    str::NullTerminatedFormatter,
    sync::{
        atomic::{ordering::*, Atomic},
        Arc, LockClassKey, Mutex,
    },
    types::Opaque,
};

/// States of a disk.
const NEW: u32 = 0;
const LIVE: u32 = 1;
const GONE: u32 = 2;

/// What the block layer calls on our disks, beside their queues; by its address they are known.
static FOPS: Fops = Fops(bindings::block_device_operations {
    open: Some(open),
    owner: crate::THIS_MODULE.as_ptr(),
    // SAFETY: All other members are pointers, for which null means none.
    ..unsafe { core::mem::zeroed() }
});

/// Functions for the block layer.
struct Fops(bindings::block_device_operations);

// SAFETY: Pointers to functions, and to the module, which any thread may have.
unsafe impl Sync for Fops {}

/// Writes the value of a file in sysfs. Process context.
///
/// # Safety
///
/// Called by sysfs only, on a live disk made by [`Disk::new`], with a page to write to.
unsafe extern "C" fn show(
    disk: *mut bindings::gendisk,
    what: c::stor_sysfs,
    page: *mut c_char,
) -> isize {
    // SAFETY: A live disk has its queue and the queue's data.
    let data = unsafe { &*(*(*disk).queue).queuedata.cast::<QueueData>() };
    // SAFETY: sysfs gives a whole page.
    let page = unsafe { core::slice::from_raw_parts_mut(page.cast(), kernel::page::PAGE_SIZE) };
    sysfs::show(page, |out| data.owner.show(sysfs::File::of(what)?, out))
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
    let data = unsafe { &*(*(*disk).queue).queuedata.cast::<QueueData>() };
    if data.closed.load(Relaxed) {
        ENXIO.to_errno()
    } else {
        0
    }
}

/// # Safety
///
/// `data` must point to a valid `QueueData`.
unsafe extern "C" fn close(data: *mut c_void) {
    // SAFETY: By the contract of this function.
    let data = unsafe { &*data.cast::<QueueData>() };
    data.closed.store(true, Relaxed);
}

/// What the queues of the disk have that `backing` is, or is a partition of, if that is one of ours.
fn data_of(backing: &Backing) -> Option<&QueueData> {
    // SAFETY: The device is open, and so has its disk. A disk with our operations has our queue
    // data, which stays: a disk that is open can not be closed and freed.
    unsafe {
        let disk = (*backing.as_ptr()).bd_disk;
        core::ptr::eq((*disk).fops, &raw const FOPS.0)
            .then(|| &*(*(*disk).queue).queuedata.cast::<QueueData>())
    }
}

/// How many volumes may lie below a volume, each the backing of the next. Each takes a request of
/// its own for each I/O, and looks for room on the stack; what lies between two volumes, dm say, is
/// not looked through.
pub(crate) const MAX_LEVEL: u32 = 4;

/// How many volumes lie below a volume on `backing`.
pub(crate) fn level_above(backing: &Backing) -> u32 {
    data_of(backing).map_or(0, |data| data.lower.level() + 1)
}

/// Whether `backing` is a volume whose data is encrypted inline, or has one below it.
pub(crate) fn is_inline_below(backing: &Backing) -> bool {
    data_of(backing).is_some_and(|data| data.lower.is_inline())
}

/// Whether I/O to `backing` waits for the owner of a disk of ours to do something. What lies between
/// two of them is not looked through.
pub(crate) fn is_held_below(backing: &Backing) -> bool {
    let mut below = data_of(backing);
    while let Some(data) = below {
        if data.owner.holds() {
            return true;
        }
        below = data_of(data.lower.backing());
    }
    false
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

/// A disk below `/dev`, whose requests an engine of the type `E` gets. The type is known here, so
/// that what requests borrow can be changed; the block layer's side of the disk knows nothing of it.
///
/// # Invariants
///
/// - `disk` is a disk with queues of `tags`, with `data` as its `queuedata` and `identity` as its
///   `private_data`; a reference to it is owned.
/// - `data` came from [`KBox::into_raw`] and is owned. Its engine is an `E`.
/// - The disk was added, and not deleted again, if and only if `state` is `LIVE`; it goes from
///   `NEW` to `LIVE` to `GONE` and never back.
pub(crate) struct Disk<E: Engine> {
    pub(super) disk: NonNull<bindings::gendisk>,
    data: NonNull<QueueData>,
    state: Atomic<u32>,
    /// Held by who changes what its requests borrow.
    pub(super) changing: Pin<KBox<Changing>>,
    /// Who waits for those in `queue_rq()`: see `gate.rs`.
    pub(super) gate: Pin<KBox<Opaque<c::stor_gate>>>,
    /// Who reads its partition table, and links it to its backing in sysfs.
    scan: Pin<KBox<Opaque<c::stor_scan>>>,
    identity: KBox<c::stor_identity>,
    tags: Tags,
    /// Dropped last: locks of the tag set have them, too.
    classes: LockClasses,
    _engine: PhantomData<E>,
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

/// Held by who changes what the requests of a disk borrow: one at a time.
///
/// Lock order: this one, the disk's `open_mutex`, then the gate.
#[pin_data]
pub(super) struct Changing {
    #[pin]
    pub(super) changing: Mutex<()>,
}

impl Changing {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            changing <- new_mutex!((), "Disk::changing"),
        })
    }
}

// SAFETY: A disk can be used and freed from any thread, and so can an engine.
unsafe impl<E: Engine> Send for Disk<E> {}
// SAFETY: What a shared reference allows is protected by the block layer's locks or atomic.
unsafe impl<E: Engine> Sync for Disk<E> {}

impl<E: Engine> Disk<E> {
    /// Makes a disk that nobody can see yet, whose requests go to `lower` by way of `engine`, which
    /// has them borrow `resources`. They are counted in `stat`. May sleep.
    pub(crate) fn new(
        params: Params<'_>,
        lower: Pin<KBox<Lower>>,
        engine: E,
        resources: E::Resources,
        stat: Option<Arc<Stat>>,
        owner: KBox<dyn Owner>,
    ) -> Result<Self> {
        let changing = KBox::pin_init(Changing::new(), GFP_KERNEL)?;
        let gate = KBox::pin(Opaque::uninit(), GFP_KERNEL)?;
        let classes = LockClasses::new()?;
        let scan = KBox::pin(Opaque::uninit(), GFP_KERNEL)?;
        let tags = Tags::new(lower.backing())?;
        let mut limits = params.limits;
        let data = KBox::new(
            QueueData {
                closed: Atomic::new(false),
                engine: Handle::new(engine, resources)?,
                stat,
                owner,
                lower,
            },
            GFP_KERNEL,
        )?;
        let mut identity = KBox::new(
            c::stor_identity {
                serial: [0; 32],
                uuid: [0; 40],
                show: Some(show),
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
            changing,
            gate,
            scan,
            identity,
            tags,
            classes,
            _engine: PhantomData,
        };
        // SAFETY: The disk is ours, and nobody sees it yet. The device below is open.
        unsafe {
            let disk = disk.as_ptr();
            (*disk).fops = &raw const FOPS.0;
            (*disk).private_data = (&raw const *this.identity).cast_mut().cast();
            fill(&mut (*disk).disk_name, format_args!("stor{}", params.index))?;
            bindings::set_capacity(disk, params.capacity.0);
            bindings::set_disk_ro(disk, params.read_only);
            c::stor_shim_disk_match_nowait(disk, this.backing().as_ptr());
            c::stor_scan_init(this.scan.get(), disk, this.backing().as_ptr());
            c::stor_gate_init(this.gate.get(), this.tags.as_ptr());
            c::stor_shim_disk_lock_classes(
                disk,
                this.classes.flush.as_ptr(),
                this.classes.elevator.as_ptr(),
                this.classes.dispatch.as_ptr(),
            );
            // Writeback is throttled below, where it is known how long the device takes.
            bindings::blk_queue_flag_set(
                c::stor_shim_const_STOR_SHIM_QUEUE_FLAG_DISABLE_WBT,
                (*disk).queue,
            );
            if params.same_cpu {
                bindings::blk_queue_flag_set(
                    c::stor_shim_const_STOR_SHIM_QUEUE_FLAG_SAME_FORCE,
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
                (&raw mut c::stor_sysfs_groups).cast(),
            )
        });
        if let Err(e) = added {
            self.state.store(GONE, Release);
            return Err(e);
        }
        // SAFETY: The disk was added, and this happens once.
        Ok(unsafe { c::stor_scan(self.scan.get(), PATIENCE_MS) })
    }

    /// Hides the disk, after all its I/O has ended; does nothing if it is hidden. May sleep. To be
    /// called after [`Self::close`]: its partition table was read, then, and nobody waits for that.
    pub(crate) fn remove(&self) {
        if self.state.cmpxchg(LIVE, GONE, Full).is_err() {
            return;
        }
        // SAFETY: The disk was added, and by the exchange above is deleted once only.
        unsafe {
            c::stor_scan_exit(self.scan.get());
            bindings::del_gendisk(self.disk.as_ptr());
            // All requests have ended, but a `queue_rq()` may still be on its way back from
            // submitting the last one. It runs in a section of the set's SRCU; no new one begins.
            bindings::blk_mq_wait_quiesce_done(self.tags.as_ptr());
            c::stor_gate_exit(self.gate.get());
        }
    }

    /// Shuts the disk to users, for good, unless one has it or a partition of it open. May sleep,
    /// but not for I/O.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it is open.
    pub(crate) fn close(&self) -> Result {
        // SAFETY: The disk is valid, and `close()` is made for its data.
        let closed = unsafe {
            c::stor_scan_is_done(self.scan.get())
                && c::stor_shim_disk_claim_closed(
                    self.disk.as_ptr(),
                    Some(close),
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
        unsafe { c::stor_shim_disk_mark_dead(self.disk.as_ptr(), surprise) }
    }

    /// The kernel's name of the disk, as in `stor0`.
    pub(crate) fn name(&self) -> DevName {
        // SAFETY: A disk has its whole-disk device as long as it exists.
        unsafe { DevName::of((*self.disk.as_ptr()).part0) }
    }

    /// Number of the disk.
    pub(crate) fn dev(&self) -> DevT {
        // SAFETY: The disk is valid.
        DevT::new(unsafe { c::stor_shim_disk_devt(self.disk.as_ptr()) })
    }

    /// Its backing.
    pub(crate) fn backing(&self) -> &Backing {
        self.lower().backing()
    }

    /// Where its requests are sent.
    pub(crate) fn lower(&self) -> &Lower {
        // SAFETY: The data is valid as long as `self`.
        unsafe { &self.data.as_ref().lower }
    }

    /// What becomes of its requests.
    pub(crate) fn engine(&self) -> &E {
        &self.engine_data().engine
    }

    pub(super) fn engine_data(&self) -> &Data<E> {
        // SAFETY: The data is valid as long as `self`, and by the type invariant of this type.
        unsafe { self.data.as_ref().engine.data.cast::<Data<E>>().as_ref() }
    }

    /// Whether [`Self::close`] has shut it.
    pub(crate) fn is_closed(&self) -> bool {
        // SAFETY: The data is valid as long as `self`.
        unsafe { self.data.as_ref().closed.load(Relaxed) }
    }
}

impl<E: Engine> Drop for Disk<E> {
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
