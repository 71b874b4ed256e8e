/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen makes Rust bindings of, beyond those of the kernel crate.
 */
#include "shim/shim.h"
#include "shim/trace.h"
#include "kapi/cipher.h"
#include "kapi/inline_key.h"
#include "kapi/key.h"
#include "kapi/open.h"
#include "io/gate.h"
#include "io/io.h"
#include "io/park.h"
#include "io/poll.h"
#include "io/scan.h"
#include "io/softirq.h"
#include "io/submit.h"
#include "io/sysfs.h"
