// SPDX-License-Identifier: GPL-2.0

//! Bindings that bindgen makes at build time: our own C, and the constants of `uapi/stor.h`.

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

/// What the C of this module has for Rust.
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
pub(crate) mod c {
    use kernel::bindings::*;
    include!(env!("STOR_C_RS"));
}
