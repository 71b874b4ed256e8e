// SPDX-License-Identifier: GPL-2.0

//! Keys for who is below: hardware that encrypts by itself, or the kernel in its place.

use super::{
    bdev::{Backing, PATIENCE_MS},
    cipher::Key,
    sys::c,
};
use core::ptr::NonNull;
use kernel::{
    error::{code::*, from_err_ptr},
    prelude::*,
};

/// Who may encrypt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Hardware of the backing.
    Hardware,
    /// The kernel, in its place.
    Kernel,
    /// The kernel, if hardware can not.
    Either,
}

/// A key that data can go down with. When it is dropped it is taken away from the device, and wiped;
/// if that takes too long, it comes later. By then no I/O that it went down with is left, and nobody
/// is on the way back from having submitted some: it is among what requests borrow.
///
/// # Invariants
///
/// The pointer is from `stor_inline_new()`, and is ours.
pub(crate) struct InlineKey(NonNull<c::stor_inline_key>);

// SAFETY: It can be freed by any thread.
unsafe impl Send for InlineKey {}
// SAFETY: It does not change after it was made.
unsafe impl Sync for InlineKey {}

impl InlineKey {
    /// Prepares AES-256-XTS for sectors of `sector` bytes of `backing`. May sleep, and load modules.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if none of these can, `EINVAL` for a key of another length, `ENOMEM`, and what the
    /// kernel's ciphers say.
    pub(crate) fn new(backing: &Backing, key: &Key, sector: u32, who: Who) -> Result<Self> {
        let bytes = key.bytes();
        // SAFETY: The device is open, by whoever holds the module; the key has so many bytes.
        let key = from_err_ptr(unsafe {
            c::stor_inline_new(
                backing.open_ptr(),
                bytes.as_ptr(),
                bytes.len() as u32,
                sector,
                who != Who::Kernel,
                who != Who::Hardware,
            )
        })?;
        // INVARIANT: It was just made.
        Ok(Self(NonNull::new(key).ok_or(ENOMEM)?))
    }

    pub(crate) fn as_ptr(&self) -> *const c::stor_inline_key {
        self.0.as_ptr()
    }

    /// Whether it is hardware that encrypts.
    pub(crate) fn is_native(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { c::stor_inline_is_native(self.0.as_ptr()) }
    }
}

impl Drop for InlineKey {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Nobody uses it: what was sent with it borrowed it until
        // its end, and what requests borrow is dropped and changed only when all who have sent some
        // are back. Sleeps, but not for ever.
        unsafe { c::stor_inline_free(self.0.as_ptr(), PATIENCE_MS) }
    }
}
