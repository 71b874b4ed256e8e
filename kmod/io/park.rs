// SPDX-License-Identifier: GPL-2.0

//! What is parked: I/O that waits for something that is not below, without a request.

use super::{
    pdu::{Op, Status},
    request::{Outcome, Parked, Request},
    stat::{self, OPS},
};
use crate::kapi::sys::c;
use kernel::{error::to_result, prelude::*, types::Opaque};

/// Where I/O of one volume waits. It holds no tag and no reference to the queue, so nobody waits for
/// it but who has sent it; see `park.c`. What waits when this is dropped ends with an error.
///
/// # Invariants
///
/// Initialised, and does not move.
#[pin_data(PinnedDrop)]
pub(crate) struct Park {
    #[pin]
    raw: Opaque<c::stor_park>,
}

// SAFETY: It has a lock of its own, and a workqueue can be freed by any thread.
unsafe impl Send for Park {}
// SAFETY: It has a lock of its own.
unsafe impl Sync for Park {}

impl Park {
    /// Makes one that is not open. May sleep.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        // INVARIANT: Initialised here.
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` is memory for it that stays where it is.
                to_result(unsafe { c::stor_park_init(slot) })
            }),
        })
    }

    /// Parks a request, if this is open; else it ends with an error. One that can not be parked, or
    /// for which there is no room, comes again. Process context.
    ///
    /// A flush has nothing that could be parked, and is not to be: what has not been written when it
    /// comes is not what it is there for.
    #[cold]
    #[inline(never)]
    pub(crate) fn park<'a>(&self, request: Request<'a>) -> Outcome<'a> {
        if request.op() == Op::Flush {
            return Outcome::End(request, Status::IOERR);
        }
        // SAFETY: By the type invariants. What was counted when the request came is counted when
        // its bios come again.
        unsafe {
            let (stat, op) = ((*request.io()).stat, (*request.io()).op);
            match c::stor_park_add(self.raw.get(), request.as_ptr()) {
                c::stor_parked_STOR_PARKED => {}
                c::stor_parked_STOR_PARK_LATER => return Outcome::Again(request),
                _ => return Outcome::End(request, Status::IOERR),
            }
            // It has ended.
            request.into_raw();
            stat::take_back(stat, op);
        }
        Outcome::Parked(Parked::new())
    }

    /// Has I/O parked from now on.
    pub(crate) fn open(&self) {
        // SAFETY: By the type invariant.
        unsafe { c::stor_park_open(self.raw.get()) }
    }

    /// Parks no more, and lets go what waits; it comes again by a worker.
    pub(crate) fn release(&self) {
        // SAFETY: By the type invariant.
        unsafe { c::stor_park_release(self.raw.get()) }
    }

    /// Parks no more, and ends what waits with an error. Process context.
    pub(crate) fn abort(&self) {
        // SAFETY: By the type invariant.
        unsafe { c::stor_park_abort(self.raw.get()) }
    }

    /// Whether I/O is parked.
    pub(crate) fn is_open(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { c::stor_park_is_open(self.raw.get()) }
    }

    /// How many bios wait, or are on their way back, by what they are counted as.
    pub(crate) fn counts(&self) -> [u64; OPS] {
        // SAFETY: By the type invariant; there are so many counts.
        core::array::from_fn(|op| unsafe { c::stor_park_count(self.raw.get(), op as u32) }.into())
    }
}

#[pinned_drop]
impl PinnedDrop for Park {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised by the type invariant. Its disk is gone, so nothing comes again.
        unsafe { c::stor_park_exit(self.raw.get()) }
    }
}
