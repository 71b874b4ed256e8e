// SPDX-License-Identifier: GPL-2.0

//! Changes a volume that is in use.

use super::{
    create::read_only,
    message::describe,
    registry::{EVENTS, REGISTRY},
};
use crate::{
    front::{Change, Volume},
    kapi::{disk::GateError, genl::notify, sys::uapi::*},
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
            volume.extent().resize(length, &room)
        })
        .transpose()?;
    let change = Change { length, read_only };
    if let Some(extent) = length {
        REGISTRY.lock().claim(volume, extent)?;
    }
    let result = pass_gate(volume, &change, change.length.map(|_| Field::Length));
    let _event = EVENTS.lock();
    REGISTRY.lock().settle(volume);
    result?;
    notify(STOR_CMD_VOLUME_SET_NTF, |message| {
        describe(message, volume)
    });
    Ok(())
}

/// Closes the gate of a volume and opens it again.
pub(super) fn gate(volume: &Arc<Volume>) -> Result<(), Refusal> {
    pass_gate(volume, &Change::default(), None)
}

fn pass_gate(volume: &Volume, change: &Change, smaller: Option<Field>) -> Result<(), Refusal> {
    let identity = volume.identity();
    let being_deleted = || {
        Refusal::plain(
            Errno::Busy,
            format_args!("volume {} is being deleted", identity.name),
        )
    };
    if !REGISTRY.lock().is_live(volume) {
        return Err(being_deleted());
    }
    volume.change(change).map_err(|why| match why {
        None => being_deleted(),
        Some(GateError::Open) => Refusal::field(
            Errno::Busy,
            smaller.unwrap_or(Field::ReadOnly),
            format_args!("stor{} is open", identity.index),
        ),
        Some(GateError::Timeout) => Refusal::plain(
            Errno::TimedOut,
            format_args!("I/O of stor{} did not end in 10 s, nothing changed", identity.index),
        ),
    })
}
