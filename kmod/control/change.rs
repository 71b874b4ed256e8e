// SPDX-License-Identifier: GPL-2.0

//! Changes a volume that is in use.

use super::{
    create::read_only,
    encrypt::unlock_key,
    message::describe,
    registry::{EVENTS, REGISTRY},
};
use crate::{
    front::{Change, Changing, Lock, Volume},
    io::gate::GateError,
    kapi::{genl::notify, sys::uapi::*},
    model::{
        attrs::Attrs,
        extent,
        refusal::{Errno, Field, Refusal},
        units::Bytes,
    },
};
use kernel::{prelude::*, sync::Arc};

/// Makes the change that the attributes ask for.
pub(super) fn set(volume: &Arc<Volume>, attrs: Attrs<'_>) -> Result<(), Refusal> {
    let length = attrs
        .get(STOR_A_VOLUME_LENGTH as u16)
        .and_then(|attr| attr.u64())
        .map(Bytes);
    let read_only = read_only(attrs);
    if length.is_none() && read_only.is_none() {
        return Err(Refusal::plain(
            Errno::Inval,
            format_args!("neither length nor read-only is given, one is needed"),
        ));
    }
    if read_only == Some(false) && !volume.backing().is_writable() {
        return Err(Refusal::field(
            Errno::Acces,
            Field::ReadOnly,
            format_args!("0, but the backing is read-only"),
        ));
    }
    let length = length
        .map(|length| {
            let backing = volume.backing();
            let room = extent::Backing {
                size: backing.size(),
                block: backing.logical_block_size(),
            };
            if let Some(encryption) = &*volume.encryption() {
                encryption.geometry.check_length(length)?;
            }
            volume.status().extent.resize(length, &room)
        })
        .transpose()?;
    let change = Change { length, read_only };
    // Until its range is settled nobody else changes the volume, or what it has claimed.
    let changing = changing(volume)?;
    if let Some(extent) = length {
        REGISTRY.lock().claim(volume, extent)?;
    }
    let result = pass_gate(volume, &changing, &change);
    REGISTRY.lock().settle(volume);
    drop(changing);
    result?;
    tell(volume);
    Ok(())
}

/// Tells whoever listens that a volume was changed.
fn tell(volume: &Arc<Volume>) {
    let _event = EVENTS.lock();
    // Nobody wants to hear of a volume after its end.
    if REGISTRY.lock().note_changed(volume) {
        notify(STOR_CMD_VOLUME_SET_NTF, |message| describe(message, volume));
    }
}

/// Makes a volume forget its key.
pub(super) fn lock(volume: &Arc<Volume>, attrs: Attrs<'_>) -> Result<(), Refusal> {
    let how = attrs
        .get(STOR_A_VOLUME_LOCK as u16)
        .and_then(|attr| attr.u32());
    let how = if how == Some(stor_volume_lock_STOR_VOLUME_LOCK_FAIL) {
        Lock::Fail
    } else {
        Lock::Hold
    };
    if volume.encryption().is_none() {
        return Err(Refusal::plain(
            Errno::Inval,
            format_args!("volume {} is not encrypted", volume.identity().name),
        ));
    }
    let changing = changing(volume)?;
    changing
        .lock(how)
        .map_err(|why| at_gate(volume, None, why))?;
    drop(changing);
    tell(volume);
    Ok(())
}

/// Gives a locked volume its key again.
pub(super) fn unlock(volume: &Arc<Volume>, attrs: Attrs<'_>) -> Result<(), Refusal> {
    let changing = changing(volume)?;
    let (key, status) = unlock_key(volume, attrs.get(STOR_A_VOLUME_KEY as u16))?;
    changing
        .unlock(key, status)
        .map_err(|why| at_gate(volume, None, why))?;
    drop(changing);
    tell(volume);
    Ok(())
}

/// Closes the gate of a volume and opens it again.
pub(super) fn gate(volume: &Arc<Volume>) -> Result<(), Refusal> {
    let changing = changing(volume)?;
    pass_gate(volume, &changing, &Change::default())
}

fn changing(volume: &Arc<Volume>) -> Result<Changing<'_>, Refusal> {
    let live = REGISTRY.lock().is_live(volume);
    live.then(|| volume.changing()).flatten().ok_or_else(|| {
        Refusal::plain(
            Errno::Busy,
            format_args!("volume {} is being deleted", volume.identity().name),
        )
    })
}

fn pass_gate(volume: &Volume, changing: &Changing<'_>, change: &Change) -> Result<(), Refusal> {
    let field = change.length.map_or(Field::ReadOnly, |_| Field::Length);
    changing
        .change(change)
        .map_err(|why| at_gate(volume, Some(field), why))
}

/// Why a gate stays as it was.
fn at_gate(volume: &Volume, field: Option<Field>, why: GateError) -> Refusal {
    let index = volume.identity().index;
    match why {
        GateError::Open => Refusal::field(
            Errno::Busy,
            field.unwrap_or(Field::Length),
            format_args!("stor{index} is open"),
        ),
        GateError::Timeout => Refusal::plain(
            Errno::TimedOut,
            format_args!("I/O of stor{index} did not end in 10 s, nothing changed"),
        ),
    }
}
