// SPDX-License-Identifier: GPL-2.0

//! The data of a request, and the memory that a write is encrypted into.

use crate::kapi::{memory::Memory, memory::Target, sys::c};
use crate::model::runs::Piece;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{bindings, error::to_result, prelude::*, sync::Arc, types::Opaque};

/// The segments of a request's data.
///
/// # Invariants
///
/// `bio` is null, or a bio of a request with data that does not end for `'a`; of it, `size` bytes
/// are left, from byte `done` of entry `index` on.
pub(crate) struct Data<'a, Access> {
    bio: *mut bindings::bio,
    index: u32,
    done: u32,
    size: u32,
    _request: PhantomData<(&'a (), Access)>,
}

impl<Access> Data<'_, Access> {
    /// # Safety
    ///
    /// `first` must be the first bio of a request with data, nothing of which is ended for as long
    /// as this, and what comes of it, is used. If it is a [`Target`], the request is a read.
    #[inline]
    pub(super) unsafe fn new(first: *mut bindings::bio) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            bio: first,
            // SAFETY: By the contract of this function.
            ..unsafe { Self::of(first) }
        }
    }

    /// # Safety
    ///
    /// As that of [`Self::new`], for any of its bios.
    #[inline]
    unsafe fn of(bio: *mut bindings::bio) -> Self {
        // SAFETY: By the contract of this function. The structure is packed: its members are
        // copied.
        unsafe {
            Self {
                bio,
                index: (*bio).bi_iter.bi_idx,
                done: (*bio).bi_iter.bi_offset,
                size: (*bio).bi_iter.bi_size,
                _request: PhantomData,
            }
        }
    }
}

impl<'a, Access: Copy> Iterator for Data<'a, Access> {
    type Item = Piece<Memory<'a, Access>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.size == 0 {
            // SAFETY: By the type invariant; `new()` was given one, and the list ends with null.
            let next = unsafe { NonNull::new((*self.bio).bi_next)? };
            // INVARIANT: The next bio of the same request.
            // SAFETY: The same.
            *self = unsafe { Self::of(next.as_ptr()) };
        }
        // SAFETY: By the type invariant the bio has such an entry, whose memory is there until the
        // request ends, and has at least the bytes that are left of the entry or of the bio.
        unsafe {
            let entry = &*(*self.bio).bi_io_vec.add(self.index as usize);
            let length = (entry.bv_len - self.done).min(self.size);
            let piece = Memory::of(entry, self.done, length);
            // INVARIANT: The rest begins with the next entry.
            self.index += 1;
            self.done = 0;
            self.size -= length;
            Some(piece)
        }
    }
}

/// Memory that a write is encrypted into.
///
/// # Invariants
///
/// `table` has entries whose memory belongs to the request that is encrypted.
pub(crate) struct Bounce<'a> {
    table: core::slice::Iter<'a, bindings::bio_vec>,
    now: Option<Piece<Memory<'a, Target>>>,
}

impl<'a> Bounce<'a> {
    /// # Safety
    ///
    /// `bounce` was filled in by `stor_bounce_get()`, and nobody else uses it for `'a`.
    #[inline]
    pub(super) unsafe fn new(bounce: &'a c::stor_bounce) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            // SAFETY: A table has as many entries as are counted.
            table: unsafe { core::slice::from_raw_parts(bounce.table, bounce.count.into()) }.iter(),
            now: None,
        }
    }

    /// Whether all of it was taken.
    pub(super) fn is_used_up(&mut self) -> bool {
        self.take(1).is_none()
    }

    /// Takes up to `length` bytes in one piece; `None` if nothing is left.
    #[inline]
    pub(crate) fn take(&mut self, length: u32) -> Option<Piece<Memory<'a, Target>>> {
        if self.now.is_none_or(|piece| piece.length == 0) {
            let entry = self.table.next()?;
            // SAFETY: The whole entry is ours by the type invariant.
            self.now = Some(unsafe { Memory::of(entry, 0, entry.bv_len) });
        }
        self.now.as_mut().map(|piece| piece.take(length))
    }
}

/// Memory for one write, come what may.
///
/// # Invariants
///
/// Initialised, and does not move.
#[pin_data(PinnedDrop)]
pub(crate) struct Reserve {
    #[pin]
    raw: Opaque<c::stor_reserve>,
    // After what uses it.
    common: Arc<Common>,
}

// SAFETY: Pages can be freed by any thread.
unsafe impl Send for Reserve {}
// SAFETY: Who takes it is decided by an atomic bit.
unsafe impl Sync for Reserve {}

impl Reserve {
    /// Makes one. May sleep.
    pub(crate) fn new(common: &Arc<Common>) -> impl PinInit<Self, Error> + use<> {
        let common = common.clone();
        let memory = common.memory.get();
        // INVARIANT: Initialised here.
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(move |slot| {
                // SAFETY: `slot` is memory for it that stays where it is; the rest exists as long.
                to_result(unsafe { c::stor_reserve_init(slot, memory) })
            }),
            common,
        })
    }

    /// What it belongs to.
    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    pub(super) fn as_ptr(&self) -> *mut c::stor_reserve {
        self.raw.get()
    }
}

#[pinned_drop]
impl PinnedDrop for Reserve {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised by the type invariant. Whoever had taken it was a request in flight,
        // and those keep `self` alive.
        unsafe { c::stor_reserve_exit(self.raw.get()) }
    }
}

/// What all volumes whose data is encrypted here have in common: memory for writes, and where reads
/// are decrypted. One instance serves all; whatever belongs to it has a reference.
///
/// # Invariants
///
/// Initialised, and does not move.
#[pin_data(PinnedDrop)]
pub(crate) struct Common {
    #[pin]
    memory: Opaque<c::stor_memory>,
    #[pin]
    softirq: Opaque<c::stor_softirq>,
}

// SAFETY: It can be freed by any thread.
unsafe impl Send for Common {}
// SAFETY: What is in it is of each CPU, or atomic.
unsafe impl Sync for Common {}

impl Common {
    /// Gets ready. Sleeps, and loads what has the fast cipher.
    pub(crate) fn new() -> Result<Arc<Self>> {
        // SAFETY: Called in process context.
        unsafe { c::stor_cipher_load() };
        Arc::pin_init(
            // INVARIANT: Initialised here.
            try_pin_init!(Self {
                memory <- Opaque::try_ffi_init(|slot| {
                    // SAFETY: `slot` is memory for it that stays where it is.
                    to_result(unsafe { c::stor_memory_init(slot) })
                }),
                softirq <- Opaque::try_ffi_init(|slot| {
                    // SAFETY: `slot` is memory for it that stays where it is.
                    to_result(unsafe { c::stor_softirq_init(slot) })
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Where reads are decrypted.
    pub(super) fn softirq(&self) -> *mut c::stor_softirq {
        self.softirq.get()
    }
}

#[pinned_drop]
impl PinnedDrop for Common {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised by the type invariant. No request is left, as the disk of each has a
        // reference, and so nobody uses any of this. Sleeps.
        unsafe {
            c::stor_softirq_exit(self.softirq.get());
            c::stor_memory_exit(self.memory.get());
        }
    }
}
