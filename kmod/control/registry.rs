// SPDX-License-Identifier: GPL-2.0

//! Which volumes there are.
//!
//! # Locking
//!
//! [`REGISTRY`] protects the list and nothing else. It is a leaf: while it is held, no device is
//! opened or closed, no disk is added or deleted, no I/O is waited for, and no other lock of stor
//! (but that of what is told of a volume's encryption) or of the block layer is taken. What takes
//! long is done between two short visits: a volume that is being made, or deleted, keeps its place in
//! the list meanwhile, so that of two callers who want the same name one wins and the other is told.
//! As it is also taken by those who are told that a backing goes away, and who may have to get I/O
//! going again, memory is allocated under it without starting I/O.
//!
//! [`EVENTS`] comes before it. It keeps a change of the list and the event that tells of it
//! together, so that listeners see events in the order of the changes.

use crate::{
    engine::Common,
    front::{Identity, Volume},
    kapi::{
        bdev::BackingId,
        global::{global_mutex, NoIo},
    },
    model::{
        extent::Extent,
        name::Name,
        refusal::{Errno, Field, Refusal},
        select::{lowest_free, Hyphenated, Selector, Uuid, INDEX_MAX},
    },
};
use kernel::{prelude::*, sync::Arc};

global_mutex! {
    /// The volumes of this host.
    pub(super) static REGISTRY: Registry = Registry::new();
}

global_mutex! {
    /// Taken around a change and its event.
    pub(super) static EVENTS: () = ();
}

enum State {
    /// Being made; on its range once the backing is known.
    Coming(Option<Place>),
    /// Visible to users.
    Live(Arc<Volume>),
    /// Being deleted.
    Going(Arc<Volume>),
}

/// Where a volume that is being made is to lie.
#[derive(Clone, Copy)]
struct Place {
    backing: BackingId,
    extent: Extent,
    /// The backing has gone away meanwhile.
    lost: bool,
}

struct Entry {
    identity: Identity,
    state: State,
    /// What a volume that grows, or shrinks, takes meanwhile.
    claim: Option<Extent>,
}

impl Entry {
    fn place(&self) -> Option<(BackingId, Extent)> {
        match &self.state {
            State::Coming(place) => place.map(|place| (place.backing, place.extent)),
            State::Live(volume) | State::Going(volume) => {
                let extent = self.claim.unwrap_or_else(|| volume.status().extent);
                Some((volume.backing().id(), extent))
            }
        }
    }

    fn volume(&self) -> Option<&Arc<Volume>> {
        match &self.state {
            State::Coming(_) => None,
            State::Live(volume) | State::Going(volume) => Some(volume),
        }
    }
}

/// The volumes, in the order of their index.
///
/// # Invariants
///
/// Names, UUIDs and indexes are unique. Ranges on one device do not overlap. `generation` is not
/// 0, and another one after each change that a dump can see.
pub(super) struct Registry {
    /// What volumes have in common, as long as the control plane is open.
    common: Option<Arc<Common>>,
    generation: u32,
    entries: KVec<Entry>,
}

impl Registry {
    const fn new() -> Self {
        Self {
            common: None,
            generation: 1,
            entries: KVec::new(),
        }
    }

    /// Takes what volumes have in common, or, as nothing drops a static, gives it up.
    pub(super) fn set_common(&mut self, common: Option<Arc<Common>>) -> Option<Arc<Common>> {
        core::mem::replace(&mut self.common, common)
    }

    /// What volumes have in common.
    pub(super) fn common(&self) -> Result<Arc<Common>, Refusal> {
        self.common.clone().ok_or_else(|| {
            Refusal::plain(Errno::Busy, format_args!("the module is being unloaded"))
        })
    }

    /// Notes that something of a volume has changed that a dump shows; false if it is no longer in
    /// the list. One that is being deleted is: it may turn out to be open, and stay.
    pub(super) fn note_changed(&mut self, volume: &Arc<Volume>) -> bool {
        let listed = self
            .visible_from(volume.identity().index)
            .next()
            .is_some_and(|first| Arc::ptr_eq(first, volume));
        if listed {
            self.changed();
        }
        listed
    }

    /// Notes a change that a dump can see.
    fn changed(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
    }

    fn position(&self, index: u32) -> Option<usize> {
        self.entries
            .binary_search_by_key(&index, |entry| entry.identity.index)
            .ok()
    }

    fn entry(&mut self, index: u32) -> Option<&mut Entry> {
        let at = self.position(index)?;
        self.entries.get_mut(at)
    }

    /// That of a volume, unless it is deleted; its index may be another one's by then.
    fn entry_of(&mut self, volume: &Volume) -> Option<&mut Entry> {
        self.entry(volume.identity().index).filter(|entry| {
            entry
                .volume()
                .is_some_and(|own| core::ptr::eq(&raw const **own, volume))
        })
    }

    /// Takes a name, a UUID and an index for a volume that is about to be made; without an index
    /// it gets the lowest free one.
    pub(super) fn reserve(
        &mut self,
        name: Name,
        uuid: Uuid,
        index: Option<u32>,
    ) -> Result<Reservation, Refusal> {
        let exists = |field, value: core::fmt::Arguments<'_>| {
            Err(Refusal::field(
                Errno::Exist,
                field,
                format_args!("{value} exists"),
            ))
        };
        for Entry { identity, .. } in &self.entries {
            if identity.name == name {
                return exists(Field::Name, format_args!("volume {name}"));
            }
            if identity.uuid == uuid {
                return exists(Field::Uuid, format_args!("volume {}", Hyphenated(&uuid)));
            }
            if Some(identity.index) == index {
                return exists(Field::Index, format_args!("volume stor{}", identity.index));
            }
        }
        let taken = self.entries.iter().map(|entry| entry.identity.index);
        let Some(index) = index.or_else(|| lowest_free(taken)) else {
            return Err(Refusal::field(
                Errno::NoSpc,
                Field::Index,
                format_args!("all of 0 to {INDEX_MAX} are taken"),
            ));
        };
        let identity = Identity { name, uuid, index };
        let at = self
            .entries
            .partition_point(|entry| entry.identity.index < index);
        let out_of_memory = || Refusal::plain(Errno::NoMem, format_args!("out of memory"));
        let _noio = NoIo::new();
        self.entries
            .reserve(1, GFP_KERNEL)
            .map_err(|_| out_of_memory())?;
        let state = State::Coming(None);
        self.entries
            .insert_within_capacity(
                at,
                Entry {
                    identity,
                    state,
                    claim: None,
                },
            )
            .map_err(|_| out_of_memory())?;
        Ok(Reservation { identity })
    }

    /// Whatever is asked for, if users can see it.
    pub(super) fn find(&self, selector: &Selector) -> Result<&Arc<Volume>, Refusal> {
        self.entries
            .iter()
            .find(|Entry { identity, .. }| {
                selector.matches(&identity.name, &identity.uuid, identity.index)
            })
            .and_then(Entry::volume)
            .ok_or_else(|| selector.not_found())
    }

    /// All that users can see, from an index on.
    pub(super) fn visible_from(&self, index: u32) -> impl Iterator<Item = &Arc<Volume>> {
        self.entries
            .iter()
            .filter(move |entry| entry.identity.index >= index)
            .filter_map(Entry::volume)
    }

    /// Another number after each change.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whose range on a device has something of `range`, other than `except`.
    fn overlapped(&self, backing: BackingId, range: &Extent, except: u32) -> Option<&Identity> {
        self.entries
            .iter()
            .filter(|entry| entry.identity.index != except)
            .find(|entry| {
                entry
                    .place()
                    .is_some_and(|(other, taken)| other == backing && taken.overlaps(range))
            })
            .map(|entry| &entry.identity)
    }

    /// Takes the larger of a volume's range and `extent`, its range after a change; to be settled
    /// by [`Self::settle`].
    pub(super) fn claim(&mut self, volume: &Volume, extent: Extent) -> Result<(), Refusal> {
        let index = volume.identity().index;
        if let Some(identity) = self.overlapped(volume.backing().id(), &extent, index) {
            return Err(Refusal::field(
                Errno::Busy,
                Field::Length,
                format_args!("{} overlaps volume {}", extent.length(), identity.name),
            ));
        }
        let now = volume.status().extent;
        if let Some(entry) = self.entry_of(volume) {
            entry.claim = Some(if now.length() > extent.length() {
                now
            } else {
                extent
            });
        }
        Ok(())
    }

    /// A volume has the range that it says, and no other.
    pub(super) fn settle(&mut self, volume: &Volume) {
        if let Some(entry) = self.entry_of(volume) {
            entry.claim = None;
        }
        self.changed();
    }

    /// Whether a volume is live: neither being made nor being deleted.
    pub(super) fn is_live(&self, volume: &Volume) -> bool {
        self.position(volume.identity().index)
            .and_then(|at| self.entries.get(at))
            .is_some_and(|entry| {
                matches!(&entry.state, State::Live(live) if core::ptr::eq(&raw const **live, volume))
            })
    }

    /// Marks a volume as being deleted, for one caller only.
    pub(super) fn start_delete(&mut self, selector: &Selector) -> Result<Arc<Volume>, Refusal> {
        let identity = *self.find(selector)?.identity();
        let entry = self
            .entry(identity.index)
            .ok_or_else(|| selector.not_found())?;
        match &entry.state {
            State::Live(volume) => {
                let volume = volume.clone();
                entry.state = State::Going(volume.clone());
                Ok(volume)
            }
            _ => Err(Refusal::plain(
                Errno::Busy,
                format_args!("volume {} is being deleted", identity.name),
            )),
        }
    }

    /// Takes [`Self::start_delete`] back.
    pub(super) fn cancel_delete(&mut self, volume: &Arc<Volume>) {
        if let Some(entry) = self.entry(volume.identity().index) {
            entry.state = State::Live(volume.clone());
        }
    }

    /// Forgets a volume whose disk is gone.
    pub(super) fn finish_delete(&mut self, volume: &Arc<Volume>) {
        self.remove(volume.identity().index);
        self.changed();
    }

    fn remove(&mut self, index: u32) {
        if let Some(at) = self.position(index) {
            // The position was just found.
            let _ = self.entries.remove(at);
        }
        if self.entries.is_empty() {
            // Nothing drops a static: give the memory back before the module may go.
            self.entries = KVec::new();
        }
    }

    /// Notes that a backing goes away, for those volumes on it that are being made.
    pub(super) fn note_lost(&mut self, backing: BackingId) {
        for entry in &mut self.entries {
            if let State::Coming(Some(place)) = &mut entry.state {
                place.lost |= place.backing == backing;
            }
        }
    }

    /// The first volume on a backing with an index of at least `from`.
    pub(super) fn next_on(&self, backing: BackingId, from: u32) -> Option<Arc<Volume>> {
        self.visible_from(from)
            .find(|volume| volume.backing().id() == backing)
            .cloned()
    }
}

/// A place in the list for a volume that is being made. Dropping it gives the place back.
pub(super) struct Reservation {
    identity: Identity,
}

impl Reservation {
    /// What was reserved.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// Takes a range of a backing, unless another volume has some of it.
    pub(super) fn claim(&self, backing: BackingId, extent: Extent) -> Result<(), Refusal> {
        let mut registry = REGISTRY.lock();
        if let Some(identity) = registry.overlapped(backing, &extent, self.identity.index) {
            return Err(Refusal::field(
                Errno::Busy,
                Field::Offset,
                format_args!("{} overlaps volume {}", extent.start(), identity.name),
            ));
        }
        if let Some(entry) = registry.entry(self.identity.index) {
            entry.state = State::Coming(Some(Place {
                backing,
                extent,
                lost: false,
            }));
        }
        Ok(())
    }

    /// Shows the finished volume to users of the control plane. True if its backing has gone away
    /// since the range was claimed.
    pub(super) fn publish(self, volume: Arc<Volume>) -> bool {
        let mut lost = false;
        let mut registry = REGISTRY.lock();
        if let Some(entry) = registry.entry(self.identity.index) {
            lost = matches!(entry.state, State::Coming(Some(Place { lost: true, .. })));
            entry.state = State::Live(volume);
        }
        registry.changed();
        drop(registry);
        core::mem::forget(self);
        lost
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        REGISTRY.lock().remove(self.identity.index);
    }
}
