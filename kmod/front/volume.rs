// SPDX-License-Identifier: GPL-2.0

//! A volume and its disk.

use crate::{
    engine::Target,
    kapi::{
        bdev::{Backing, DevName, DevT},
        disk::{Disk, Operations, Params},
        limits::StackedLimits,
        request::{Request, Status},
    },
    model::{extent::Extent, name::Name, select::Uuid},
};
use kernel::{
    prelude::*,
    str::CString,
    sync::atomic::{ordering::*, Atomic},
};

/// What a user knows a volume by; it never changes.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    /// Its name.
    pub(crate) name: Name,
    /// Its UUID.
    pub(crate) uuid: Uuid,
    /// The N of `/dev/storN`.
    pub(crate) index: u32,
}

/// What serves the queues of a volume's disk.
#[pin_data]
struct Front {
    /// The backing is gone. Set once.
    failed: Atomic<bool>,
    /// How many volumes lie below this one, each the backing of the next.
    level: u32,
    #[pin]
    target: Target,
}

impl Operations for Front {
    const MODULE: ThisModule = crate::THIS_MODULE;

    #[inline]
    fn queue<'a>(&'a self, rq: Request<'a>) -> Result<(), Status> {
        if self.failed.load(Relaxed) {
            return Err(Status::IOERR);
        }
        self.target.submit(rq)
    }

    fn backing(&self) -> &Backing {
        self.target.backing()
    }
}

/// How many volumes may lie below a volume, each the backing of the next. Every layer submits to
/// the next from within its own submission, and the stack of a task is small. What lies between
/// two volumes, dm say, is not looked through.
pub(crate) const MAX_LEVEL: u32 = 4;

/// How many volumes lie below a volume on `backing`.
pub(crate) fn level_above(backing: &Backing) -> u32 {
    Disk::<Front>::below(backing).map_or(0, |front| front.level + 1)
}

/// A volume. As long as it exists the module stays loaded: its backing sees to that.
pub(crate) struct Volume {
    identity: Identity,
    path: CString,
    logical_block_size: u32,
    physical_block_size: u32,
    disk: Disk<Front>,
}

impl Volume {
    /// Makes a volume on `extent` of `backing`, which the user named `path`. Its disk is not
    /// visible yet. May sleep.
    pub(crate) fn new(
        identity: Identity,
        path: CString,
        backing: Backing,
        extent: Extent,
    ) -> Result<Self> {
        let level = level_above(&backing);
        let limits = StackedLimits::above(&backing, extent.start().to_sectors());
        let logical_block_size = limits.logical_block_size();
        let physical_block_size = limits.physical_block_size();
        let max_segments = limits.max_segments();
        let front = KBox::pin_init(
            try_pin_init!(Front {
                failed: Atomic::new(false),
                level,
                target <- Target::new(backing, extent, max_segments),
            }),
            GFP_KERNEL,
        )?;
        let params = Params {
            index: identity.index,
            name: &identity.name,
            uuid: &identity.uuid,
            capacity: extent.length().to_sectors(),
            limits,
        };
        Ok(Self {
            identity,
            path,
            logical_block_size,
            physical_block_size,
            disk: Disk::new(params, front)?,
        })
    }

    /// Shows the disk to users. Called once. Reads the partition table; sleeps.
    pub(crate) fn show(&self) -> Result {
        self.disk.add()
    }

    /// Shuts the disk to users, for good.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it is open, and then nothing has changed.
    pub(crate) fn close(&self) -> Result {
        self.disk.close()
    }

    /// Takes the disk away; to be called after [`Self::close`]. Waits for its I/O.
    pub(crate) fn hide(&self) {
        self.disk.remove();
    }

    /// Called when the backing goes away: from here on all I/O fails at once, and what stands on
    /// the disk is told. True the first time. May sleep.
    pub(crate) fn fail(&self, surprise: bool) -> bool {
        let failed = &self.disk.ops().failed;
        if failed.load(Relaxed) {
            return false;
        }
        if !surprise {
            // The backing still works: let a file system above write back first.
            self.disk.mark_dead(false);
        }
        if failed.xchg(true, Full) {
            return false;
        }
        if surprise {
            self.disk.mark_dead(true);
        }
        true
    }

    /// Whether the backing is gone.
    pub(crate) fn is_failed(&self) -> bool {
        self.disk.ops().failed.load(Relaxed)
    }

    /// What the user knows it by.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The path that the backing was named by.
    pub(crate) fn path(&self) -> &CStr {
        &self.path
    }

    /// Its backing.
    pub(crate) fn backing(&self) -> &Backing {
        self.disk.ops().target.backing()
    }

    /// Where on the backing it is.
    pub(crate) fn extent(&self) -> &Extent {
        self.disk.ops().target.extent()
    }

    /// The kernel's name of its disk.
    pub(crate) fn disk_name(&self) -> DevName {
        self.disk.name()
    }

    /// Number of its disk.
    pub(crate) fn dev(&self) -> DevT {
        self.disk.dev()
    }

    /// Smallest unit of I/O, in bytes.
    pub(crate) fn logical_block_size(&self) -> u32 {
        self.logical_block_size
    }

    /// Smallest unit that is written without a read, in bytes.
    pub(crate) fn physical_block_size(&self) -> u32 {
        self.physical_block_size
    }
}
