// SPDX-License-Identifier: GPL-2.0

//! The data of a request, and the memory that a write is sealed into.

use super::sys::shim;
use crate::model::runs::Piece;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{bindings, error::to_result, prelude::*, types::Opaque};

/// Memory that is only read: whoever writes may still look at it.
#[derive(Clone, Copy)]
pub(crate) struct Source;

/// Memory that may be written to.
#[derive(Clone, Copy)]
pub(crate) struct Target;

/// Memory that a [`Piece`] may lie in.
///
/// # Invariants
///
/// For `'a`, the bytes from `start` to `end`, counted from the beginning of `page`, may be read;
/// and written, if it is a [`Target`].
#[derive(Clone, Copy)]
pub(crate) struct Memory<'a, Access> {
    page: *mut bindings::page,
    start: u32,
    end: u32,
    _data: PhantomData<(&'a (), Access)>,
}

impl<Access> Memory<'_, Access> {
    /// The whole of an entry of a table, but for its first `skip` bytes, as long as `length`.
    ///
    /// # Safety
    ///
    /// The entry has so many bytes, and its memory is as the type invariant says.
    #[inline]
    unsafe fn of(entry: &bindings::bio_vec, skip: u32, length: u32) -> Piece<Self> {
        let offset = entry.bv_offset + skip;
        Piece {
            // INVARIANT: By the contract of this function.
            page: Self {
                page: entry.bv_page,
                start: offset,
                end: offset + length,
                _data: PhantomData,
            },
            offset,
            length,
        }
    }

    /// The piece for the shim; `None` if it is not in its memory.
    #[inline]
    pub(super) fn raw(piece: &Piece<Self>) -> Option<shim::stor_piece> {
        let end = piece.offset.checked_add(piece.length)?;
        (piece.offset >= piece.page.start && end <= piece.page.end).then_some(shim::stor_piece {
            page: piece.page.page,
            offset: piece.offset,
            length: piece.length,
        })
    }
}

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

/// Memory that a write is sealed into.
///
/// # Invariants
///
/// `table` has entries whose memory belongs to the request that is sealed.
pub(crate) struct Bounce<'a> {
    table: core::slice::Iter<'a, bindings::bio_vec>,
    now: Option<Piece<Memory<'a, Target>>>,
}

impl<'a> Bounce<'a> {
    /// # Safety
    ///
    /// `bounce` was filled in by `stor_shim_bounce_get()`, and nobody else uses it for `'a`.
    #[inline]
    pub(super) unsafe fn new(bounce: &'a shim::stor_bounce) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            // SAFETY: A table has as many entries as are counted.
            table: unsafe { core::slice::from_raw_parts(bounce.table, bounce.count.into()) }.iter(),
            now: None,
        }
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
    raw: Opaque<shim::stor_reserve>,
}

// SAFETY: Pages can be freed by any thread.
unsafe impl Send for Reserve {}
// SAFETY: Who takes it is decided by an atomic bit.
unsafe impl Sync for Reserve {}

impl Reserve {
    /// Makes one. May sleep.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        // INVARIANT: Initialised here.
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` is memory for it that stays where it is.
                to_result(unsafe { shim::stor_shim_reserve_init(slot) })
            }),
        })
    }

    pub(super) fn as_ptr(&self) -> *mut shim::stor_reserve {
        self.raw.get()
    }
}

#[pinned_drop]
impl PinnedDrop for Reserve {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised by the type invariant. Whoever had taken it was a request in flight,
        // and those keep `self` alive.
        unsafe { shim::stor_shim_reserve_exit(self.raw.get()) }
    }
}

/// What requests whose data is transformed have in common. As long as this exists there may be
/// some.
pub(crate) struct Common(());

impl Common {
    /// Gets ready. Called once; sleeps, and loads what has the fast cipher.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Nobody uses it yet.
        unsafe {
            to_result(shim::stor_shim_bounce_init())?;
            shim::stor_shim_later_init();
            shim::stor_shim_cipher_load();
        }
        Ok(Self(()))
    }
}

impl Drop for Common {
    fn drop(&mut self) {
        // SAFETY: No request is left, and so nobody uses any of this. Sleeps.
        unsafe {
            shim::stor_shim_later_exit();
            shim::stor_shim_bounce_exit();
        }
    }
}
