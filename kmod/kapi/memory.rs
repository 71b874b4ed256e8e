// SPDX-License-Identifier: GPL-2.0

//! Memory that a cipher reads, or writes to.

use super::sys::c;
use crate::model::runs::Piece;
use core::marker::PhantomData;
use kernel::bindings;

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
    pub(crate) unsafe fn of(entry: &bindings::bio_vec, skip: u32, length: u32) -> Piece<Self> {
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
    pub(super) fn raw(piece: &Piece<Self>) -> Option<c::stor_piece> {
        let end = piece.offset.checked_add(piece.length)?;
        (piece.offset >= piece.page.start && end <= piece.page.end).then_some(c::stor_piece {
            page: piece.page.page,
            offset: piece.offset,
            length: piece.length,
        })
    }
}
