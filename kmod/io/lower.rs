// SPDX-License-Identifier: GPL-2.0

//! Where requests are sent.

use crate::kapi::{bdev::Backing, sys::c};
use kernel::{bindings, error::to_result, prelude::*, types::Opaque};

/// Where requests are sent: a backing, and what some of them need on their path there.
///
/// # Invariants
///
/// The elements of `pool` have `max_segments` entries.
#[pin_data]
pub(crate) struct Lower {
    // Dropped in this order: the worker may be on its way back from the lower device when the last
    // request has ended, and has left it when `punt` is gone.
    #[pin]
    punt: Punt,
    #[pin]
    pool: Pool,
    max_segments: u16,
    /// How many volumes lie below, each the backing of the next.
    level: u32,
    /// Data is encrypted inline, of this volume or of one below.
    inline: bool,
    backing: Backing,
}

/// Tables for merged requests.
///
/// # Invariants
///
/// The pool is initialised, and does not move.
#[pin_data(PinnedDrop)]
struct Pool {
    #[pin]
    pool: Opaque<bindings::mempool>,
}

/// The worker, for bios that the current task must not submit itself.
///
/// # Invariants
///
/// Initialised, and does not move.
#[pin_data(PinnedDrop)]
struct Punt {
    #[pin]
    punt: Opaque<c::stor_punt>,
}

// SAFETY: A mempool and a workqueue can be used from any thread.
unsafe impl Send for Lower {}
// SAFETY: A mempool has a lock of its own, and so has what is punted.
unsafe impl Sync for Lower {}

impl Lower {
    /// Prepares for requests of up to `max_segments` segments, with so many volumes below; data is
    /// encrypted `inline` here or there. May sleep.
    pub(crate) fn new(
        backing: Backing,
        max_segments: u16,
        level: u32,
        inline: bool,
    ) -> impl PinInit<Self, Error> {
        let nr_bvecs = u32::from(max_segments);
        try_pin_init!(Self {
            level,
            inline,
            backing,
            max_segments,
            pool <- Pool::new(nr_bvecs),
            punt <- Punt::new(),
        })
    }

    /// The device below.
    pub(crate) fn backing(&self) -> &Backing {
        &self.backing
    }

    /// How many volumes lie below, each the backing of the next.
    pub(super) fn level(&self) -> u32 {
        self.level
    }

    /// Whether data is encrypted inline, of this volume or of one below.
    pub(super) fn is_inline(&self) -> bool {
        self.inline
    }

    /// Most segments that a request may have.
    pub(super) fn max_segments(&self) -> u16 {
        self.max_segments
    }

    /// Who submits what the current task must not.
    pub(super) fn punt(&self) -> *mut c::stor_punt {
        self.punt.get()
    }

    /// Takes a table for a merged request, if there is one. Any context.
    pub(super) fn table(&self) -> Option<*mut bindings::bio_vec> {
        // SAFETY: The pool is initialised by its type invariant.
        let table = unsafe { c::stor_shim_mempool_alloc_nowait(self.pool.get()) };
        (!table.is_null()).then_some(table.cast())
    }

    /// Gives back what a bio that has ended holds, beyond what its end gave back itself.
    ///
    /// # Safety
    ///
    /// The leg was sent here, and has ended.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn release(&self, leg: *mut c::stor_leg) {
        // SAFETY: By the contract of this function; the table belongs to the bio.
        unsafe {
            bindings::bio_uninit(&raw mut (*leg).bio);
            if !(*leg).table.is_null() {
                self.give_back((*leg).table);
            }
        }
    }

    /// Gives a table back. Any context.
    ///
    /// # Safety
    ///
    /// It was taken from [`Self::table`] of this, and is in use no more.
    pub(super) unsafe fn give_back(&self, table: *mut bindings::bio_vec) {
        // SAFETY: By the contract of this function.
        unsafe { bindings::mempool_free(table.cast(), self.pool.get()) }
    }
}

impl Pool {
    fn new(nr_bvecs: u32) -> impl PinInit<Self, Error> {
        // INVARIANT: Initialised here.
        try_pin_init!(Self {
            pool <- Opaque::try_ffi_init(move |slot| {
                // SAFETY: `slot` is memory for a pool that stays where it is.
                to_result(unsafe { c::stor_shim_bvec_pool_init(slot, nr_bvecs) })
            }),
        })
    }

    fn get(&self) -> *mut bindings::mempool {
        self.pool.get()
    }
}

#[pinned_drop]
impl PinnedDrop for Pool {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The pool is initialised by the type invariant. All tables are back: requests in
        // flight keep the queue, and with it `self`, alive.
        unsafe { bindings::mempool_exit(self.pool.get()) }
    }
}

impl Punt {
    fn new() -> impl PinInit<Self, Error> {
        // INVARIANT: Initialised here.
        try_pin_init!(Self {
            punt <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` is memory for it that stays where it is.
                to_result(unsafe { c::stor_punt_init(slot) })
            }),
        })
    }

    fn get(&self) -> *mut c::stor_punt {
        self.punt.get()
    }
}

#[pinned_drop]
impl PinnedDrop for Punt {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised by the type invariant. No bio is left: each belongs to a request in
        // flight, and those keep `self` alive. This waits for the worker's last steps.
        unsafe { c::stor_punt_exit(self.punt.get()) }
    }
}
