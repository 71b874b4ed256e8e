// SPDX-License-Identifier: GPL-2.0

//! A volume and its disk.

use super::{
    encrypt::{Encryption, Lock, ShownEncryption, ShownKey},
    serve::{handed_on_below, level_above, Config, Front, Shown},
};
use crate::{
    engine::{Sealing, SealingKey},
    kapi::{
        bdev::{Backing, DevName, DevT},
        disk::{Disk, Params},
        gate::{Closed, GateError},
        limits::StackedLimits,
        lower::Lower,
        queue::Operations,
        stat::Stat,
    },
    model::{extent::Extent, name::Name, select::Uuid, units::Bytes},
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{ordering::*, Atomic},
        Arc, Mutex, MutexGuard,
    },
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

/// A volume. As long as it exists the module stays loaded: its backing sees to that.
///
/// Lock order: `change`, then what the disk takes, or the registry, then `encryption`, a leaf. As it
/// is taken under the registry, what is allocated under it starts no I/O.
#[pin_data]
pub(crate) struct Volume {
    identity: Identity,
    logical_block_size: u32,
    physical_block_size: u32,
    disk: Disk<Front>,
    /// What is told of it, if it is encrypted.
    #[pin]
    encryption: Mutex<Option<ShownEncryption>>,
    /// Held by whoever changes it or shuts it.
    #[pin]
    change: Mutex<()>,
}

/// A change of a volume.
#[derive(Clone, Copy, Default)]
pub(crate) struct Change {
    /// Its new size.
    pub(crate) length: Option<Extent>,
    /// Whether it is to refuse writes.
    pub(crate) read_only: Option<bool>,
}

/// The right to change a volume.
pub(crate) struct Changing<'a> {
    volume: &'a Volume,
    _guard: MutexGuard<'a, ()>,
}

impl Changing<'_> {
    /// Changes the volume behind its gate: what is in flight ends before, what comes meanwhile
    /// waits. A change of nothing only waits. May sleep.
    ///
    /// # Errors
    ///
    /// Why the gate stays as it was; then nothing has changed.
    pub(crate) fn change(&self, change: &Change) -> Result<(), GateError> {
        self.volume.change(change)
    }

    /// Forgets the key of an encrypted volume: I/O in flight ends before, what comes then waits or
    /// fails, as `how` says. May sleep.
    ///
    /// # Errors
    ///
    /// Why the gate stays as it was; then nothing has changed.
    pub(crate) fn lock(&self, how: Lock) -> Result<(), GateError> {
        self.volume.lock(how)
    }

    /// Gives a locked volume a key again. May sleep.
    ///
    /// # Errors
    ///
    /// Why the gate stays as it was; then nothing has changed.
    pub(crate) fn unlock(&self, key: SealingKey, shown: ShownKey) -> Result<(), GateError> {
        self.volume.unlock(key, shown)
    }
}

impl Volume {
    /// Makes a volume on `extent` of `backing`, which the user named `path`. Its disk is not
    /// visible yet. With `encryption`, its data is encrypted. With `counted`, its I/O is counted. May
    /// sleep.
    pub(crate) fn new(
        identity: Identity,
        path: CString,
        backing: Backing,
        extent: Extent,
        read_only: bool,
        encryption: Option<Encryption>,
        counted: bool,
    ) -> Result<Arc<Self>> {
        let level = level_above(&backing);
        let mut limits = StackedLimits::above(&backing, extent.start().to_sectors());
        let mut handed_on = handed_on_below(&backing);
        let (mut sealing, mut encrypted) = (None, None);
        if let Some(Encryption { key, shown }) = encryption {
            let (sector, discard) = (shown.geometry.sector(), shown.discard);
            match &key {
                SealingKey::Here(_) => limits.seal(sector, discard),
                SealingKey::Below(key) => {
                    limits.inline(sector, discard, key.is_native());
                    handed_on = true;
                }
            }
            sealing = Some(Sealing::new(key, shown.geometry)?);
            encrypted = Some(shown);
        }
        let logical_block_size = limits.logical_block_size();
        let physical_block_size = limits.physical_block_size();
        let max_segments = limits.max_segments();
        let is_sealed_here = sealing.as_ref().is_some_and(Sealing::is_here);
        let stat = if counted {
            Some(KBox::pin_init(Stat::new(is_sealed_here), GFP_KERNEL)?)
        } else {
            None
        };
        let shown = Shown {
            path,
            start: extent.start(),
            length: Atomic::new(extent.length().0),
            read_only: Atomic::new(read_only),
            gate_count: Atomic::new(0),
            gate_last: Atomic::new(0),
            gate_longest: Atomic::new(0),
            lock: Atomic::new(0),
        };
        let front = KBox::pin_init(
            try_pin_init!(Front {
                failing: Atomic::new(false),
                failed: Atomic::new(false),
                level,
                shown,
                stat,
                handed_on,
                lower <- Lower::new(backing, max_segments),
            }),
            GFP_KERNEL,
        )?;
        let params = Params {
            index: identity.index,
            name: &identity.name,
            uuid: &identity.uuid,
            capacity: extent.length().to_sectors(),
            limits,
            read_only,
            same_cpu: is_sealed_here,
        };
        let disk = Disk::new(params, Config { extent, read_only }, sealing, front)?;
        Arc::pin_init(
            pin_init!(Self {
                identity,
                logical_block_size,
                physical_block_size,
                disk,
                encryption <- new_mutex!(encrypted, "Volume::encryption"),
                change <- new_mutex!((), "Volume::change"),
            }),
            GFP_KERNEL,
        )
    }

    /// Keeps others from changing or shutting it. May sleep.
    ///
    /// # Errors
    ///
    /// `None` if it is shut.
    pub(crate) fn changing(&self) -> Option<Changing<'_>> {
        let guard = self.change.lock();
        (!self.disk.is_closed()).then_some(Changing {
            volume: self,
            _guard: guard,
        })
    }

    /// Changes it behind its gate, for [`Changing::change`].
    fn change(&self, change: &Change) -> Result<(), GateError> {
        let shown = &self.disk.ops().shown;
        let length = change.length.map(|extent| extent.length().0);
        // What would take something from those who have it open.
        let smaller = length.is_some_and(|length| length < shown.length.load(Relaxed));
        let locked = change.read_only == Some(true) && !shown.read_only.load(Relaxed);
        let unopened = smaller || locked;
        let nanos = self.disk.gate(unopened, |mut closed: Closed<'_, Config>| {
            if let Some(extent) = change.length {
                closed.config.extent = extent;
                closed.set_capacity(extent.length().to_sectors());
                shown.length.store(extent.length().0, Relaxed);
            }
            if let Some(read_only) = change.read_only {
                closed.config.read_only = read_only;
                closed.set_read_only(read_only);
                shown.read_only.store(read_only, Relaxed);
            }
        })?;
        self.note_gate(nanos);
        Ok(())
    }

    /// Forgets the key, for [`Changing::lock`].
    fn lock(&self, how: Lock) -> Result<(), GateError> {
        let shown = &self.disk.ops().shown;
        let mut key = None;
        match (Lock::of(shown.lock.load(Relaxed)), how) {
            (Some(now), how) if now == how => {}
            (Some(Lock::Hold), Lock::Fail) => self.disk.release(),
            _ => {
                let hold = how == Lock::Hold;
                let nanos = self.disk.refit(hold, |sealing| {
                    key = sealing.as_mut().and_then(Sealing::take_key);
                })?;
                self.note_gate(nanos);
            }
        }
        shown.lock.store(how as u32, Relaxed);
        if self.disk.ops().failing.load(Relaxed) {
            // Who has set that may have let go before there was anything to let go.
            self.disk.release();
        }
        // Last: to take it away from hardware may take a while.
        drop(key);
        Ok(())
    }

    /// Gives it a key again, for [`Changing::unlock`].
    fn unlock(&self, key: SealingKey, shown: ShownKey) -> Result<(), GateError> {
        let refit = |sealing: &mut Option<Sealing>| {
            if let Some(sealing) = sealing {
                sealing.give_key(key);
            }
        };
        if let Err(refit) = self.disk.refit_and_release(refit) {
            let nanos = self.disk.refit(false, refit)?;
            self.note_gate(nanos);
        }
        let mut encryption = self.encryption.lock();
        if let Some(encryption) = &mut *encryption {
            encryption.key = shown;
        }
        self.disk.ops().shown.lock.store(0, Relaxed);
        Ok(())
    }

    /// Notes that its gate was closed for so long.
    fn note_gate(&self, nanos: u64) {
        let shown = &self.disk.ops().shown;
        shown.gate_last.store(nanos, Relaxed);
        let longest = shown.gate_longest.load(Relaxed).max(nanos);
        shown.gate_longest.store(longest, Relaxed);
        shown
            .gate_count
            .store(shown.gate_count.load(Relaxed) + 1, Relaxed);
    }

    /// Shows the disk to users. Called once. Reads the partition table; sleeps, but not for ever. Once
    /// it has succeeded, the volume is not dropped before [`Self::close`].
    pub(crate) fn show(&self) -> Result {
        if !self.disk.add()? {
            pr_warn!(
                "stor{}: the partition table is not read yet; until then the disk counts as open\n",
                self.identity.index
            );
        }
        Ok(())
    }

    /// Shuts the disk to users, for good.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it is open, and then nothing has changed.
    pub(crate) fn close(&self) -> Result {
        let _one_at_a_time = self.change.lock();
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
        // What waits for a key would keep what stands on the disk waiting. From here on nothing
        // does: either this finds it, or `lock()` finds the flag.
        self.disk.ops().failing.store(true, Relaxed);
        self.disk.release();
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
        &self.disk.ops().shown.path
    }

    /// Its backing.
    pub(crate) fn backing(&self) -> &Backing {
        self.disk.ops().lower.backing()
    }

    /// Where on the backing it is.
    pub(crate) fn extent(&self) -> Extent {
        let shown = &self.disk.ops().shown;
        Extent::of_volume(shown.start, Bytes(shown.length.load(Relaxed)))
    }

    /// Whether it refuses writes.
    pub(crate) fn is_read_only(&self) -> bool {
        self.disk.ops().shown.read_only.load(Relaxed)
    }

    /// How it is encrypted, if it is. May sleep.
    pub(crate) fn encryption(&self) -> MutexGuard<'_, Option<ShownEncryption>> {
        self.encryption.lock()
    }

    /// What happens to its I/O, if it is locked.
    pub(crate) fn locked(&self) -> Option<Lock> {
        Lock::of(self.disk.ops().shown.lock.load(Relaxed))
    }

    /// How often its gate was closed, and for how long, the last time and at most, in ns.
    pub(crate) fn gate(&self) -> (u64, u64, u64) {
        let shown = &self.disk.ops().shown;
        (
            shown.gate_count.load(Relaxed),
            shown.gate_last.load(Relaxed),
            shown.gate_longest.load(Relaxed),
        )
    }

    /// What was counted of it, unless counting is off.
    pub(crate) fn stat(&self) -> Option<&Stat> {
        self.disk.ops().stat()
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
