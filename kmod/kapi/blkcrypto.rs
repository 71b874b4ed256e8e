// SPDX-License-Identifier: GPL-2.0

//! Keys for who is below: hardware that encrypts by itself, or the kernel in its place.

use super::{bdev::Backing, cipher::Key, sys::shim};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{code::*, from_err_ptr},
    prelude::*,
};

/// A key that data can go down with. Wiped when it is dropped.
///
/// # Invariants
///
/// The pointer is from `stor_shim_inline_new()`, and is ours.
pub(crate) struct InlineKey(NonNull<shim::stor_inline_key>);

// SAFETY: It can be freed by any thread.
unsafe impl Send for InlineKey {}
// SAFETY: It does not change after it was made.
unsafe impl Sync for InlineKey {}

impl InlineKey {
    /// Prepares AES-256-XTS for sectors of `sector` bytes of `backing`: by its hardware, or with
    /// `fallback`, if that can not do it, by the kernel. May sleep, and load modules.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if nobody can, `EINVAL` for a key of another length, `ENOMEM`, and what the
    /// kernel's ciphers say.
    pub(crate) fn new(backing: &Backing, key: &Key, sector: u32, fallback: bool) -> Result<Self> {
        let bytes = key.bytes();
        // SAFETY: The device is open, and the key has so many bytes.
        let key = from_err_ptr(unsafe {
            shim::stor_shim_inline_new(
                backing.as_ptr(),
                bytes.as_ptr(),
                bytes.len() as u32,
                sector,
                fallback,
            )
        })?;
        // INVARIANT: It was just made.
        Ok(Self(NonNull::new(key).ok_or(ENOMEM)?))
    }

    /// Whether it is hardware that encrypts.
    pub(crate) fn is_native(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { shim::stor_shim_inline_is_native(self.0.as_ptr()) }
    }
}

impl Drop for InlineKey {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; a device that may have it is told before, by `InUse`.
        unsafe { shim::stor_shim_inline_free(self.0.as_ptr()) }
    }
}

/// A key that a device may have.
///
/// # Invariants
///
/// The device is open.
pub(super) struct InUse {
    key: InlineKey,
    bdev: *mut bindings::block_device,
}

impl InUse {
    /// # Safety
    ///
    /// The device that `backing` is stays open until this is dropped; by then no I/O with the key
    /// is left, and nobody is on the way back from having submitted some.
    pub(super) unsafe fn new(key: InlineKey, backing: &Backing) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            key,
            bdev: backing.as_ptr(),
        }
    }

    pub(super) fn key(&self) -> &InlineKey {
        &self.key
    }

    pub(super) fn as_ptr(&self) -> *const shim::stor_inline_key {
        self.key.0.as_ptr()
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        // SAFETY: By the invariants of both, and the contract of `new()`. Sleeps.
        unsafe { shim::stor_shim_inline_evict(self.as_ptr(), self.bdev) }
    }
}
