// SPDX-License-Identifier: GPL-2.0

//! A volume and its disk.

use super::{
    encryption::{Encryption, EncryptionStatus, KeyStatus, Lock},
    status::{Facts, Shown, Status},
};
use crate::{
    engine::{self, Common, EncryptionKey, Stages},
    io::{
        disk::{is_inline_below, level_above, Disk, Params},
        gate::GateError,
        limits::StackedLimits,
        lower::Lower,
        stat::{Counters, Stat},
    },
    kapi::bdev::{Backing, DevName, DevT},
    model::{extent::Extent, name::Name, select::Uuid},
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
    disk: Disk<Arc<Stages>>,
    /// What is known of it, and told.
    facts: Arc<Facts>,
    /// The backing is going: nothing waits for a key any more. Set once, before it fails.
    failing: Atomic<bool>,
    /// What is told of its encryption, if it is encrypted.
    #[pin]
    encryption: Mutex<Option<EncryptionStatus>>,
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
    pub(crate) fn unlock(&self, key: EncryptionKey, status: KeyStatus) -> Result<(), GateError> {
        self.volume.unlock(key, status)
    }
}

/// What a new volume is to be.
pub(crate) struct New {
    /// What the user knows it by.
    pub(crate) identity: Identity,
    /// What the user named the backing by.
    pub(crate) path: CString,
    /// Its backing.
    pub(crate) backing: Backing,
    /// Where on the backing it is.
    pub(crate) extent: Extent,
    /// It refuses writes.
    pub(crate) read_only: bool,
    /// How its data is encrypted, if it is.
    pub(crate) encryption: Option<Encryption>,
    /// Its I/O is counted.
    pub(crate) counted: bool,
}

impl Volume {
    /// Makes a volume, whose disk is not visible yet. May sleep.
    pub(crate) fn new(new: New, common: &Arc<Common>) -> Result<Arc<Self>> {
        let (identity, backing, extent) = (new.identity, new.backing, new.extent);
        let mut limits = StackedLimits::above(&backing, extent.start().to_sectors());
        let (mut encryption, mut encryption_status) = (None, None);
        let (mut is_inline, mut is_here) = (false, false);
        if let Some(Encryption { key, status }) = new.encryption {
            let (sector, discard) = (status.geometry.sector(), status.discard);
            match &key {
                EncryptionKey::Here(_) => {
                    limits.encrypt_here(sector, discard);
                    is_here = true;
                }
                EncryptionKey::Inline(key) => {
                    limits.encrypt_inline(sector, discard, key.is_native());
                    is_inline = true;
                }
            }
            encryption = Some(engine::Encryption::new(key, status.geometry, common)?);
            encryption_status = Some(status);
        }
        let stat = if new.counted {
            Some(Arc::pin_init(Stat::new(is_here), GFP_KERNEL)?)
        } else {
            None
        };
        // What has a key may be locked, and then has to wait.
        let stages = Stages::new(extent, new.read_only, encryption.is_some())?;
        let facts = Facts::new(new.path, stages.clone(), stat.clone());
        let facts = Arc::new(facts, GFP_KERNEL)?;
        let logical_block_size = limits.logical_block_size();
        let physical_block_size = limits.physical_block_size();
        let (level, inline) = (
            level_above(&backing),
            is_inline || is_inline_below(&backing),
        );
        let lower = Lower::new(backing, limits.max_segments(), level, inline);
        let lower = KBox::pin_init(lower, GFP_KERNEL)?;
        let owner = KBox::new(Shown(facts.clone()), GFP_KERNEL)?;
        let params = Params {
            index: identity.index,
            name: &identity.name,
            uuid: &identity.uuid,
            capacity: extent.length().to_sectors(),
            limits,
            read_only: new.read_only,
            same_cpu: is_here,
        };
        let disk = Disk::new(params, lower, stages, encryption, stat, owner)?;
        Arc::pin_init(
            pin_init!(Self {
                identity,
                logical_block_size,
                physical_block_size,
                disk,
                facts,
                failing: Atomic::new(false),
                encryption <- new_mutex!(encryption_status, "Volume::encryption"),
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
        let stages = self.stages();
        // What would take something from those who have it open.
        let smaller = change
            .length
            .is_some_and(|extent| extent.length() < stages.extent().length());
        let locked = change.read_only == Some(true) && !stages.read_only();
        let nanos = self.disk.gate(smaller || locked, |mut closed| {
            if let Some(extent) = change.length {
                stages.set_length(extent.length());
                closed.set_capacity(extent.length().to_sectors());
            }
            if let Some(read_only) = change.read_only {
                stages.set_read_only(read_only);
                closed.set_read_only(read_only);
            }
        })?;
        self.facts.note_gate(nanos);
        Ok(())
    }

    /// Forgets the key, for [`Changing::lock`].
    fn lock(&self, how: Lock) -> Result<(), GateError> {
        let mut key = None;
        if self.facts.lock().is_none() {
            let nanos = self.disk.gate(false, |closed| {
                key = closed
                    .resources
                    .as_mut()
                    .and_then(engine::Encryption::take_key);
                // Nobody finds it locked before what waits has a place.
                self.hold(how);
            })?;
            self.facts.note_gate(nanos);
        } else {
            self.hold(how);
        }
        self.facts.lock.store(how as u32, Relaxed);
        // Last: to take it away from hardware may take a while.
        drop(key);
        Ok(())
    }

    /// Has the I/O of a locked volume wait, or fail, and with it what waits already.
    fn hold(&self, how: Lock) {
        let Some(park) = self.stages().park() else {
            return;
        };
        match how {
            Lock::Hold => park.open(),
            Lock::Fail => park.abort(),
        }
        if self.failing.load(Relaxed) {
            // Who has set that came before there was anything to end; the lock inside orders them.
            park.abort();
        }
    }

    /// Gives it a key again, for [`Changing::unlock`].
    fn unlock(&self, key: EncryptionKey, status: KeyStatus) -> Result<(), GateError> {
        let nanos = self.disk.gate(false, |closed| {
            if let Some(encryption) = closed.resources {
                encryption.give_key(key);
            }
        })?;
        self.facts.note_gate(nanos);
        if let Some(encryption) = &mut *self.encryption.lock() {
            encryption.key = status;
        }
        self.facts.lock.store(0, Relaxed);
        if let Some(park) = self.stages().park() {
            park.release();
        }
        Ok(())
    }

    fn stages(&self) -> &Stages {
        self.disk.engine()
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
        let stages = self.stages();
        if stages.is_failed() {
            return false;
        }
        // What waits for a key would keep what stands on the disk waiting. From here on nothing
        // does: either this ends it, or `hold()` finds the flag.
        self.failing.store(true, Relaxed);
        if let Some(park) = stages.park() {
            park.abort();
        }
        if !surprise {
            // The backing still works: let a file system above write back first.
            self.disk.mark_dead(false);
        }
        if !stages.fail() {
            return false;
        }
        if surprise {
            self.disk.mark_dead(true);
        }
        true
    }

    /// What the user knows it by.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it is just now.
    pub(crate) fn status(&self) -> Status {
        self.facts.status()
    }

    /// The path that the backing was named by.
    pub(crate) fn path(&self) -> &CStr {
        &self.facts.path
    }

    /// Its backing.
    pub(crate) fn backing(&self) -> &Backing {
        self.disk.backing()
    }

    /// How it is encrypted, if it is. May sleep.
    pub(crate) fn encryption(&self) -> MutexGuard<'_, Option<EncryptionStatus>> {
        self.encryption.lock()
    }

    /// What was counted of it, unless counting is off.
    pub(crate) fn stat(&self) -> Option<&Stat> {
        self.facts.stat.as_deref()
    }

    /// The counters of that, of a CPU or of all.
    pub(crate) fn counters(&self, cpu: Option<u32>) -> Option<Counters> {
        self.facts.counters(cpu)
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
