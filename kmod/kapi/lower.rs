// SPDX-License-Identifier: GPL-2.0

//! Where requests are sent.

use super::{
    bdev::Backing,
    blkcrypto::{InUse, InlineKey},
    sys::shim,
};
use kernel::{bindings, error::to_result, prelude::*, types::Opaque};

/// Where requests are sent: a backing, and what some of them need on their way there.
///
/// # Invariants
///
/// The elements of `pool` have `max_segments` entries.
#[pin_data]
pub(crate) struct Lower {
    // Dropped in this order: the worker may be on its way back from the lower device when the last
    // request has ended, and has left it when `punt` is gone. Then nobody uses the key, and it goes
    // before the device does.
    #[pin]
    punt: Punt,
    #[pin]
    pool: Pool,
    max_segments: u16,
    key: Option<InUse>,
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

/// The way of bios that the current task must not submit itself.
///
/// # Invariants
///
/// Initialised, and does not move.
#[pin_data(PinnedDrop)]
struct Punt {
    #[pin]
    punt: Opaque<shim::stor_punt>,
}

// SAFETY: A mempool and a workqueue can be used from any thread.
unsafe impl Send for Lower {}
// SAFETY: A mempool has a lock of its own, and so has what is punted.
unsafe impl Sync for Lower {}

impl Lower {
    /// Prepares for requests of up to `max_segments` segments, whose data may go down with `key`.
    /// May sleep.
    pub(crate) fn new(
        backing: Backing,
        max_segments: u16,
        key: Option<InlineKey>,
    ) -> impl PinInit<Self, Error> {
        let nr_bvecs = u32::from(max_segments);
        // SAFETY: The backing is dropped after this, here as well. All I/O is a request's, and
        // those in flight, and who submits them, keep `self` alive; but for the worker, which is
        // gone with `punt` before.
        let key = key.map(|key| unsafe { InUse::new(key, &backing) });
        let raw_key = key.as_ref().map_or(core::ptr::null(), InUse::as_ptr);
        try_pin_init!(Self {
            backing,
            key,
            max_segments,
            pool <- Pool::new(nr_bvecs),
            // SAFETY: The key is dropped after this, here as well.
            punt <- unsafe { Punt::new(raw_key) },
        })
    }

    /// What data can go down with.
    pub(crate) fn key(&self) -> Option<&InlineKey> {
        self.key.as_ref().map(InUse::key)
    }

    /// The device below.
    pub(crate) fn backing(&self) -> &Backing {
        &self.backing
    }

    /// Most segments that a request may have.
    pub(super) fn max_segments(&self) -> u16 {
        self.max_segments
    }

    /// Who submits what the current task must not.
    pub(super) fn punt(&self) -> *mut shim::stor_punt {
        self.punt.get()
    }

    /// Takes a table for a merged request, if there is one. Any context.
    pub(super) fn table(&self) -> Option<*mut bindings::bio_vec> {
        // SAFETY: The pool is initialised by its type invariant.
        let table = unsafe { shim::stor_shim_mempool_alloc_nowait(self.pool.get()) };
        (!table.is_null()).then_some(table.cast())
    }

    /// Gives back what a bio that has ended holds, beyond what its end gave back itself.
    ///
    /// # Safety
    ///
    /// The bio of `pdu` was sent here, and has ended.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn release(&self, pdu: *mut shim::stor_pdu) {
        // SAFETY: By the contract of this function; the table belongs to the bio.
        unsafe {
            bindings::bio_uninit(&raw mut (*pdu).bio);
            if !(*pdu).table.is_null() {
                self.give_back((*pdu).table);
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
                to_result(unsafe { shim::stor_shim_bvec_pool_init(slot, nr_bvecs) })
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
    /// # Safety
    ///
    /// The key, if it is not null, must be there until this is dropped.
    unsafe fn new(key: *const shim::stor_inline_key) -> impl PinInit<Self, Error> {
        // INVARIANT: Initialised here.
        try_pin_init!(Self {
            punt <- Opaque::try_ffi_init(move |slot| {
                // SAFETY: `slot` is memory for it that stays where it is.
                to_result(unsafe { shim::stor_shim_punt_init(slot, key) })
            }),
        })
    }

    fn get(&self) -> *mut shim::stor_punt {
        self.punt.get()
    }
}

#[pinned_drop]
impl PinnedDrop for Punt {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised by the type invariant. No bio is left: each belongs to a request in
        // flight, and those keep `self` alive. This waits for the worker's last steps.
        unsafe { shim::stor_shim_punt_exit(self.punt.get()) }
    }
}
