/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen makes Rust bindings of, beyond those of the kernel crate.
 */
#include "shim.h"
#include "trace.h"
