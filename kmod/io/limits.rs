// SPDX-License-Identifier: GPL-2.0

//! Queue limits, stacked by the kernel's own rules.

use super::transform::MAX_TRANSFORMED;
use crate::{
    kapi::{bdev::Backing, sys::c},
    model::{
        crypt::SECTOR_MAX,
        runs::PIECES,
        units::{Sectors, SECTOR_SHIFT},
    },
};
use kernel::{bindings, prelude::*};

/// Entries that the table of a lower bio may have (`BIO_MAX_VECS`).
const MAX_SEGMENTS: u16 = 256;

/// Most sectors of a request whose data is encrypted: what there is memory for.
const ENCRYPTED_MAX_SECTORS: u32 = MAX_TRANSFORMED >> SECTOR_SHIFT;

/// Smallest piece of a sector that is encrypted, in bytes.
const PIECE_MIN: u32 = SECTOR_MAX / PIECES as u32;

/// The limits of a queue above one backing.
pub(crate) struct StackedLimits(bindings::queue_limits);

impl StackedLimits {
    /// Stacks the limits of a range that starts `start` sectors into `backing`.
    ///
    /// Some limits differ from the backing's. One lower bio carries one request, so a request has
    /// at most [`MAX_SEGMENTS`] segments, a discard only one range, and an untorn write that was
    /// merged the size of a single one.
    pub(crate) fn above(backing: &Backing, start: Sectors) -> Self {
        let mut limits = bindings::queue_limits::default();
        // SAFETY: `limits` may be written to.
        unsafe { bindings::blk_set_stacking_limits(&mut limits) };
        // Data goes down where it lies: the backing alone says how it must be aligned.
        limits.dma_alignment = 0;
        // A request that must not be torn goes down as one bio. Stacking takes the feature away if
        // the backing lacks it, or if the range does not start where it could be kept.
        limits.features |= c::stor_shim_const_STOR_SHIM_FEAT_ATOMIC_WRITES;
        limits.max_segments = MAX_SEGMENTS;
        limits.max_discard_segments = 1;
        // SAFETY: `limits` is initialised, the device is open, and the prefix is a string.
        unsafe {
            bindings::queue_limits_stack_bdev(
                &mut limits,
                backing.as_ptr(),
                start.0,
                c"stor".as_char_ptr(),
            )
        };
        // The block layer merges untorn writes up to a size that only a merged one may have, and
        // what was merged goes down as one bio.
        // SAFETY: An open device has a queue. Its limits may change, and what is read then is one
        // of the values.
        let unit = unsafe {
            let q = (*backing.as_ptr()).bd_queue;
            (&raw const (*q).limits.atomic_write_unit_max).read_volatile()
        };
        limits.atomic_write_hw_unit_max = limits.atomic_write_hw_unit_max.min(unit);
        if limits.atomic_write_hw_unit_max < limits.atomic_write_hw_unit_min {
            limits.atomic_write_hw_unit_max = 0;
        }
        limits.atomic_write_hw_max = limits.atomic_write_hw_unit_max;
        // What a backing has can change while it is in use: a dm table is replaced, a SCSI disk gets
        // another type of cache, a path is added that signs what it sends. Where that only makes
        // things slow, or fails, it stays as it was. Where data would be lost, the disk offers what
        // is safe from the start, and the lower queue drops what it needs not: without a cache it
        // strips flushes and FUA, and pages that do not change while they are written do no harm.
        limits.features |= c::stor_shim_const_STOR_SHIM_FEAT_WRITE_CACHE
            | c::stor_shim_const_STOR_SHIM_FEAT_FUA
            | c::stor_shim_const_STOR_SHIM_FEAT_STABLE_WRITES;
        // A drive that turned out not to write zeroes may still say that it would unmap them.
        if limits.max_hw_wzeroes_unmap_sectors != limits.max_write_zeroes_sectors {
            limits.max_hw_wzeroes_unmap_sectors = 0;
        }
        // The disk offers no protection information, whatever the backing has.
        limits.max_integrity_segments = 0;
        Self(limits)
    }

    /// Changes them for data that is encrypted here, in sectors of `sector` bytes. Discards are only
    /// taken with `discard`: they tell which blocks are free.
    pub(crate) fn encrypt_here(&mut self, sector: u32, discard: bool) {
        self.encrypt(sector, discard);
        let limits = &mut self.0;
        // A sector in more pieces than these could not be encrypted.
        limits.dma_alignment = limits.dma_alignment.max(PIECE_MIN - 1);
        // A write goes down as it was when it was encrypted.
        limits.features &= !c::stor_shim_const_STOR_SHIM_FEAT_STABLE_WRITES;
        // There must be memory to encrypt any request into.
        limits.max_hw_sectors = limits.max_hw_sectors.min(ENCRYPTED_MAX_SECTORS);
    }

    /// Changes them for data that is encrypted inline, by hardware if it is `native`, the rest as
    /// for [`Self::encrypt_here`].
    pub(crate) fn encrypt_inline(&mut self, sector: u32, discard: bool, native: bool) {
        self.encrypt(sector, discard);
        let limits = &mut self.0;
        // The kernel takes no sector in more than one piece, and ends such a bio with an error.
        limits.dma_alignment = limits.dma_alignment.max(sector - 1);
        if !native {
            // The kernel's own bios have their data in single pages, and may be split.
            limits.features &= !c::stor_shim_const_STOR_SHIM_FEAT_ATOMIC_WRITES;
            limits.atomic_write_hw_max = 0;
            limits.atomic_write_hw_unit_min = 0;
            limits.atomic_write_hw_unit_max = 0;
        }
    }

    fn encrypt(&mut self, sector: u32, discard: bool) {
        let limits = &mut self.0;
        limits.logical_block_size = limits.logical_block_size.max(sector);
        limits.physical_block_size = limits.physical_block_size.max(limits.logical_block_size);
        let physical = limits.physical_block_size;
        if limits.io_min & (physical - 1) != 0 {
            limits.io_min = physical;
        }
        // Requests are split at chunks; one that no block fits into would leave nothing of them.
        if limits.chunk_sectors & ((physical >> SECTOR_SHIFT) - 1) != 0 {
            limits.chunk_sectors = 0;
        }
        // Zeros below are no zeros above.
        limits.max_hw_wzeroes_unmap_sectors = 0;
        limits.max_write_zeroes_sectors = 0;
        limits.max_secure_erase_sectors = 0;
        if !discard {
            limits.max_hw_discard_sectors = 0;
        }
        // An untorn write is of whole blocks.
        let block = limits.logical_block_size;
        if limits.atomic_write_hw_unit_max < block {
            limits.atomic_write_hw_unit_max = 0;
            limits.atomic_write_hw_max = 0;
        }
        limits.atomic_write_hw_unit_min = limits.atomic_write_hw_unit_min.max(block);
    }

    /// Smallest unit of I/O in bytes.
    pub(crate) fn logical_block_size(&self) -> u32 {
        self.0.logical_block_size
    }

    /// Smallest unit in bytes that is written without a read.
    pub(crate) fn physical_block_size(&self) -> u32 {
        self.0.physical_block_size
    }

    /// Largest number of segments of one request.
    pub(crate) fn max_segments(&self) -> u16 {
        self.0.max_segments
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut bindings::queue_limits {
        &mut self.0
    }
}

/// CPUs that are online now.
pub(super) fn online_cpus() -> u32 {
    // SAFETY: Reads a counter.
    unsafe { c::stor_shim_num_online_cpus() }
}
