// SPDX-License-Identifier: GPL-2.0

//! Block devices that are opened exclusively, as the backing of something.

use super::{global::ModuleHold, sys::c};
use crate::model::units::Bytes;
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{code::*, from_err_ptr, to_result, Error},
    prelude::*,
};

/// Number of a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DevT(bindings::dev_t);

impl DevT {
    /// Wraps a number that the kernel gave.
    pub(crate) fn new(raw: bindings::dev_t) -> Self {
        Self(raw)
    }

    /// The major number.
    pub(crate) fn major(self) -> u32 {
        self.0 >> bindings::MINORBITS
    }

    /// The minor number.
    pub(crate) fn minor(self) -> u32 {
        self.0 & ((1 << bindings::MINORBITS) - 1)
    }
}

/// Why a path leads to no device.
pub(crate) enum LookupError {
    /// There is nothing.
    NotFound,
    /// Something else is there.
    NotBlock,
    /// Something on the path is closed to the caller.
    Access,
    /// Too many links, or one of `/proc` that leads to what a task has open.
    Loop,
    /// It takes longer than [`PATIENCE_MS`], or the caller was killed.
    TimedOut,
    /// The module is about to be unloaded.
    Unloading,
    /// Another error of the kernel.
    Other(Error),
}

/// Looks up the device that `path` leads the caller to, in its mount namespace, with its root,
/// working directory and rights. Sleeps, but not for ever: a file system on the path may have to ask
/// somebody else, who does not answer.
pub(crate) fn lookup(path: &CStr) -> Result<DevT, LookupError> {
    let mut dev = 0;
    // SAFETY: `path` is a NUL-terminated string and `dev` may be written to.
    to_result(unsafe { c::stor_bdev_lookup(path.as_char_ptr(), PATIENCE_MS, &mut dev) }).map_err(
        |e| {
            if e == ENOENT || e == ENOTDIR {
                LookupError::NotFound
            } else if e == ENOTBLK {
                LookupError::NotBlock
            } else if e == EACCES || e == EPERM {
                LookupError::Access
            } else if e == ELOOP {
                LookupError::Loop
            } else if e == ETIMEDOUT {
                LookupError::TimedOut
            } else if e == ESHUTDOWN {
                LookupError::Unloading
            } else {
                LookupError::Other(e)
            }
        },
    )?;
    Ok(DevT(dev))
}

/// Which device it is, among those that are open: other than its number, this can not stand for
/// another device as long as one of the two is open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BackingId(usize);

/// Defines what is called when a backing goes away: `fn(id: BackingId, surprise: bool)`.
///
/// `surprise` means that the device is gone already, and that I/O to it can only fail. Process
/// context; may sleep, but allocations start no I/O. The device may have been closed by now.
macro_rules! on_backing_lost {
    ($function:path) => {
        /// # Safety
        ///
        /// Called by the shim only.
        #[no_mangle]
        unsafe extern "C" fn stor_backing_lost(
            bdev: *mut kernel::bindings::block_device,
            surprise: bool,
        ) {
            $function($crate::kapi::bdev::BackingId::of(bdev), surprise);
        }
    };
}

pub(crate) use on_backing_lost;

impl BackingId {
    /// The identity of the device at `bdev`, which is not looked at.
    pub(crate) fn of(bdev: *const bindings::block_device) -> Self {
        Self(bdev.addr())
    }
}

/// How long a device may take to be opened or closed before that is left to a worker, and how long
/// a new disk's partition table is waited for.
pub(crate) const PATIENCE_MS: u32 = 10_000;

/// Why a device can not be a backing.
pub(crate) enum OpenError {
    /// Somebody else has claimed it.
    Busy,
    /// It takes longer than [`PATIENCE_MS`], or the caller was killed.
    TimedOut,
    /// It can not be written to.
    ReadOnly,
    /// There is no such device any more, or nothing behind its number.
    Gone,
    /// This module is about to be unloaded.
    Unloading,
    /// Anything else.
    Other(Error),
}

/// A block device, opened exclusively.
///
/// Several may exist for one device: all of this module's opens share one holder, so that volumes
/// can share a device; it is for the caller to keep their ranges apart.
///
/// # Invariants
///
/// `open` is a block device that is open and was claimed with this module's holder, and this owns
/// it. `bdev` is that device, valid as long as it is open.
pub(crate) struct Backing {
    open: NonNull<c::stor_bdev>,
    bdev: NonNull<bindings::block_device>,
    writable: bool,
    _hold: ModuleHold,
}

// SAFETY: The device can be used from, and closed by, any thread.
unsafe impl Send for Backing {}
// SAFETY: All that a shared reference allows only reads fields that the block layer lets anybody
// read while the device is open.
unsafe impl Sync for Backing {}

impl Backing {
    /// Opens a device for reading and writing. With `or_read_only`, one that can not be written to
    /// is opened for reading. Sleeps, but not for ever: whoever opens or closes it, or a disk that it
    /// is a part of, may wait for I/O. `hold` is kept until it is closed again.
    pub(crate) fn open(
        dev: DevT,
        or_read_only: bool,
        hold: impl Fn() -> Result<ModuleHold>,
    ) -> Result<Self, OpenError> {
        let new_hold = || hold().map_err(|_| OpenError::Unloading);
        match Self::open_as(dev, true, new_hold()?) {
            Err(OpenError::ReadOnly) if or_read_only => Self::open_as(dev, false, new_hold()?),
            result => result,
        }
    }

    fn open_as(dev: DevT, writable: bool, hold: ModuleHold) -> Result<Self, OpenError> {
        // SAFETY: The module's reference is kept as long as the device is open.
        let open = unsafe { c::stor_bdev_open(dev.0, !writable, PATIENCE_MS) };
        let open = match from_err_ptr(open) {
            Ok(open) => open,
            Err(e) if e == EBUSY => return Err(OpenError::Busy),
            Err(e) if e == EROFS => return Err(OpenError::ReadOnly),
            Err(e) if e == ENXIO || e == ENODEV || e == ENOMEDIUM => return Err(OpenError::Gone),
            Err(e) if e == ETIMEDOUT => return Err(OpenError::TimedOut),
            Err(e) => return Err(OpenError::Other(e)),
        };
        let open = NonNull::new(open).ok_or(OpenError::Gone)?;
        // SAFETY: The device is open.
        let bdev = unsafe { c::stor_bdev_get(open.as_ptr()) };
        let Some(bdev) = NonNull::new(bdev) else {
            // SAFETY: It was just opened, and is ours.
            unsafe { c::stor_bdev_close(open.as_ptr(), PATIENCE_MS) };
            return Err(OpenError::Gone);
        };
        // INVARIANT: The device was opened above, and is owned from here on.
        let backing = Self {
            open,
            bdev,
            writable,
            _hold: hold,
        };
        // SAFETY: The device is open.
        if writable && unsafe { c::stor_shim_bdev_read_only(backing.as_ptr()) } {
            return Err(OpenError::ReadOnly);
        }
        Ok(backing)
    }

    /// The device, valid as long as `self`.
    pub(crate) fn as_ptr(&self) -> *mut bindings::block_device {
        self.bdev.as_ptr()
    }

    /// What it was opened as, valid as long as `self`.
    pub(super) fn open_ptr(&self) -> *mut c::stor_bdev {
        self.open.as_ptr()
    }

    /// Whether it was opened for writing, too.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Which one it is.
    pub(crate) fn id(&self) -> BackingId {
        BackingId::of(self.as_ptr())
    }

    /// Its number.
    pub(crate) fn dev(&self) -> DevT {
        // SAFETY: The device is open by the type invariant.
        DevT(unsafe { c::stor_shim_bdev_dev(self.as_ptr()) })
    }

    /// Whether it is going away: true before `stor_backing_lost()` is called for it.
    pub(crate) fn is_dead(&self) -> bool {
        // SAFETY: The device is open by the type invariant.
        unsafe { c::stor_shim_bdev_is_dead(self.as_ptr()) }
    }

    /// Its size; 0 once it is gone.
    pub(crate) fn size(&self) -> Bytes {
        // SAFETY: The device is open by the type invariant.
        let bytes = unsafe { c::stor_shim_bdev_nr_bytes(self.as_ptr()) };
        Bytes(u64::try_from(bytes).unwrap_or(0))
    }

    /// Its logical block size in bytes.
    pub(crate) fn logical_block_size(&self) -> u32 {
        // SAFETY: The device is open by the type invariant.
        unsafe { c::stor_shim_bdev_logical_block_size(self.as_ptr()) }
    }

    /// Whether it has zones that must be written in order.
    pub(crate) fn is_zoned(&self) -> bool {
        // SAFETY: The device is open by the type invariant.
        unsafe { c::stor_shim_bdev_is_zoned(self.as_ptr()) }
    }

    /// The kernel's name of it.
    pub(crate) fn name(&self) -> DevName {
        // SAFETY: The device is open by the type invariant.
        unsafe { DevName::of(self.as_ptr()) }
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is ours. Whoever closes it keeps the module until then:
        // who is told that the device goes away finds the claim, and with it the module, or neither.
        unsafe { c::stor_bdev_close(self.open.as_ptr(), PATIENCE_MS) };
    }
}

/// The kernel's name of a device, as in `nvme0n1p2`.
pub(crate) struct DevName([u8; Self::SIZE]);

impl DevName {
    const SIZE: usize = 48;

    /// # Safety
    ///
    /// `bdev` must be a valid device.
    pub(crate) unsafe fn of(bdev: *mut bindings::block_device) -> Self {
        let mut name = Self([0; Self::SIZE]);
        // SAFETY: The device is valid, and the buffer has the size given.
        unsafe { c::stor_shim_bdev_name(bdev, name.0.as_mut_ptr().cast(), Self::SIZE) };
        name
    }

    /// The name without its NUL.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.split(|&c| c == 0).next().unwrap_or(&[])
    }
}
