// SPDX-License-Identifier: GPL-2.0

//! Bindings that bindgen makes at build time: the shim, and the constants of `uapi/stor.h`.

/// Constants of the interface, from `uapi/stor.h`.
#[allow(
    missing_docs,
    dead_code,
    non_camel_case_types,
    non_upper_case_globals,
    clippy::all,
    unreachable_pub
)]
pub(crate) mod uapi {
    include!(env!("STOR_UAPI_RS"));
}

/// Functions of `kmod/shim`.
#[allow(
    missing_docs,
    dead_code,
    non_camel_case_types,
    non_upper_case_globals,
    improper_ctypes,
    clippy::all,
    unreachable_pub,
    unused_imports
)]
pub(crate) mod shim {
    use kernel::bindings::*;
    include!(env!("STOR_SHIM_RS"));
}
