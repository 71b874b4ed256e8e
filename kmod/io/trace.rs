// SPDX-License-Identifier: GPL-2.0

//! The tracepoints `stor:*`, which `kmod/shim/trace.h` defines. One that is off costs one
//! instruction that does nothing.

use crate::kapi::sys::c;
use kernel::{bindings, jump_label::static_branch_unlikely};

macro_rules! tracepoint {
    ($($(#[$meta:meta])* $name:ident = $key:ident, $call:ident($($arg:ident: $type:ty),*);)*) => {$(
        $(#[$meta])*
        ///
        /// # Safety
        ///
        /// What the pointers point to must be valid. Runs in any context.
        #[inline(always)]
        pub(super) unsafe fn $name($($arg: $type),*) {
            // SAFETY: The key is that of a tracepoint of this module.
            if unsafe { static_branch_unlikely!(c::$key, bindings::tracepoint, key) } {
                // SAFETY: By the contract of this function.
                unsafe { c::$call($($arg),*) }
            }
        }
    )*};
}

tracepoint! {
    /// A request was handed to us.
    submit = __tracepoint_stor_submit, rust_do_trace_stor_submit(rq: *mut bindings::request);
    /// A lower bio has ended.
    lower_complete = __tracepoint_stor_lower_complete, rust_do_trace_stor_lower_complete(
        rq: *mut bindings::request, bio: *mut bindings::bio, sector: u64);
    /// The data of a write was encrypted, or could not be.
    encrypted = __tracepoint_stor_encrypt, rust_do_trace_stor_encrypt(
        rq: *mut bindings::request, status: bindings::blk_status_t);
    /// The data of a read was decrypted, or could not be.
    decrypted = __tracepoint_stor_decrypt, rust_do_trace_stor_decrypt(
        rq: *mut bindings::request, status: bindings::blk_status_t);
    /// A request is about to end.
    end = __tracepoint_stor_end, rust_do_trace_stor_end(
        rq: *mut bindings::request, status: bindings::blk_status_t);
}
