// SPDX-License-Identifier: GPL-2.0

//! A generic netlink message that is being written.

use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{code::*, to_result},
    prelude::*,
};

/// A message that is being written.
///
/// # Invariants
///
/// `hdr` is the header of the last message in `skb`, which this owns.
pub(super) struct Message {
    pub(super) skb: NonNull<bindings::sk_buff>,
    pub(super) hdr: NonNull<c_void>,
}

impl Message {
    pub(super) fn new(skb: *mut bindings::sk_buff, hdr: *mut c_void) -> Result<Self> {
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        let Some(hdr) = NonNull::new(hdr) else {
            // SAFETY: The buffer was made for us.
            unsafe { bindings::nlmsg_free(skb.as_ptr()) };
            return Err(EMSGSIZE);
        };
        // INVARIANT: Just begun, and ours.
        Ok(Self { skb, hdr })
    }

    pub(super) fn finish(self) -> *mut bindings::sk_buff {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: By the invariant.
        unsafe { bindings::genlmsg_end(this.skb.as_ptr(), this.hdr.as_ptr()) };
        this.skb.as_ptr()
    }

    fn put(&mut self, kind: u32, bytes: &[u8]) -> Result {
        let length = c_int::try_from(bytes.len()).map_err(|_| EMSGSIZE)?;
        // SAFETY: The buffer is ours, and `bytes` has the length given.
        to_result(unsafe {
            bindings::nla_put(
                self.skb.as_ptr(),
                kind as c_int,
                length,
                bytes.as_ptr().cast(),
            )
        })
    }

    fn put_nul_terminated(&mut self, kind: u32, value: &[u8]) -> Result {
        let length = c_int::try_from(value.len() + 1).map_err(|_| EMSGSIZE)?;
        // SAFETY: The buffer is ours.
        let attr = unsafe { bindings::nla_reserve(self.skb.as_ptr(), kind as c_int, length) };
        if attr.is_null() {
            return Err(EMSGSIZE);
        }
        // SAFETY: The attribute has room for the string and its NUL behind its header.
        unsafe {
            let to = attr.add(1).cast::<u8>();
            to.copy_from_nonoverlapping(value.as_ptr(), value.len());
            to.add(value.len()).write(0);
        }
        Ok(())
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: The buffer is ours.
        unsafe { bindings::nlmsg_free(self.skb.as_ptr()) };
    }
}

/// What fills a message: only what is in it can be reached.
pub(crate) struct Writer<'a>(pub(super) &'a mut Message);

impl Writer<'_> {
    /// Adds an 8-bit number.
    pub(crate) fn put_u8(&mut self, kind: u32, value: u8) -> Result {
        self.0.put(kind, &[value])
    }

    /// Adds a 32-bit number.
    pub(crate) fn put_u32(&mut self, kind: u32, value: u32) -> Result {
        self.0.put(kind, &value.to_ne_bytes())
    }

    /// Adds a 64-bit number.
    pub(crate) fn put_u64(&mut self, kind: u32, value: u64) -> Result {
        self.0.put(kind, &value.to_ne_bytes())
    }

    /// Adds 64-bit numbers, one behind the other.
    pub(crate) fn put_u64s(&mut self, kind: u32, values: &[u64]) -> Result {
        // SAFETY: Numbers have no padding, and may be read as bytes.
        let bytes =
            unsafe { core::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) };
        self.0.put(kind, bytes)
    }

    /// Adds bytes.
    pub(crate) fn put_bytes(&mut self, kind: u32, value: &[u8]) -> Result {
        self.0.put(kind, value)
    }

    /// Adds a string, given without its NUL.
    pub(crate) fn put_string(&mut self, kind: u32, value: &[u8]) -> Result {
        self.0.put_nul_terminated(kind, value)
    }
}
