// SPDX-License-Identifier: GPL-2.0

//! Makes a volume.

use super::{
    encrypt::NewEncryption,
    lost::lost_backing,
    message::{c_string, describe},
    registry::{EVENTS, REGISTRY},
};
use crate::{
    front::{New, Volume},
    io::disk::{is_held_below, level_above, MAX_LEVEL},
    kapi::{
        bdev::{self, Backing, LookupError, OpenError},
        genl::notify,
        global::ModuleHold,
        sys::uapi::*,
    },
    model::{
        attrs::Attrs,
        extent::{self, Extent},
        name::Name,
        refusal::{Errno, Field, Quoted, Refusal},
        select::{check_index, check_uuid, Uuid},
        units::Bytes,
    },
};
use kernel::{error::code::*, error::Error, prelude::*, str::CString, sync::Arc};

/// What the user asks for, each value checked by itself.
pub(super) struct NewVolume {
    name: Name,
    uuid: Option<Uuid>,
    index: Option<u32>,
    backing: CString,
    offset: Option<Bytes>,
    length: Option<Bytes>,
    read_only: bool,
    encryption: Option<NewEncryption>,
}

impl NewVolume {
    /// Reads the attributes of a request.
    pub(super) fn parse(attrs: Attrs<'_>) -> Result<Self, Refusal> {
        let name = attrs
            .get(STOR_A_VOLUME_NAME as u16)
            .ok_or_else(|| Refusal::missing(Field::Name))?;
        let name = Name::new(name.string())?;
        let backing = attrs
            .get(STOR_A_VOLUME_BACKING as u16)
            .ok_or_else(|| Refusal::missing(Field::Backing))?
            .string();
        if backing.is_empty() {
            return Err(Refusal::field(
                Errno::Inval,
                Field::Backing,
                format_args!("empty, the path of a block device is needed"),
            ));
        }
        if backing.contains(&0) {
            return Err(Refusal::field(
                Errno::Inval,
                Field::Backing,
                format_args!("{} has a NUL in it", Quoted(backing)),
            ));
        }
        let uuid = attrs
            .get(STOR_A_VOLUME_UUID as u16)
            .and_then(|attr| attr.payload.try_into().ok())
            .map(check_uuid)
            .transpose()?;
        let index = attrs
            .get(STOR_A_VOLUME_INDEX as u16)
            .and_then(|attr| attr.u32())
            .map(check_index)
            .transpose()?;
        let bytes = |kind: u32| attrs.get(kind as u16)?.u64().map(Bytes);
        Ok(Self {
            name,
            uuid,
            index,
            backing: c_string(backing).map_err(|_| Refusal::no_memory())?,
            offset: bytes(STOR_A_VOLUME_OFFSET),
            length: bytes(STOR_A_VOLUME_LENGTH),
            read_only: read_only(attrs).unwrap_or(false),
            encryption: NewEncryption::parse(attrs)?,
        })
    }

    /// Makes the volume and shows it to users.
    pub(super) fn make(self) -> Result<Arc<Volume>, Refusal> {
        let uuid = self.uuid.unwrap_or_else(crate::kapi::global::random_uuid);
        let place = REGISTRY.lock().reserve(self.name, uuid, self.index)?;
        let backing = self.open()?;
        check_held(&self.backing, &backing)?;
        let mut extent = Extent::place(
            self.offset,
            self.length,
            &extent::Backing {
                size: backing.size(),
                block: backing.logical_block_size(),
            },
        )?;
        let mut encryption = None;
        if let Some(wanted) = self.encryption {
            let made = wanted.make(extent, self.length.is_some(), &backing)?;
            extent = made.1;
            encryption = Some(made.0);
        }
        place.claim(backing.id(), extent)?;
        // To find the key may have taken a while.
        check_held(&self.backing, &backing)?;

        let failed = |e: Error| {
            Refusal::plain(
                if e == ENOMEM {
                    Errno::NoMem
                } else if e == EBUSY || e == EEXIST {
                    Errno::Busy
                } else {
                    Errno::NxIo
                },
                format_args!("the disk could not be made: error {}", e.to_errno()),
            )
        };
        let new = New {
            identity: place.identity(),
            path: self.backing,
            backing,
            extent,
            read_only: self.read_only,
            encryption,
            counted: crate::counts(),
        };
        let common = REGISTRY.lock().common()?;
        let volume = Volume::new(new, &common).map_err(failed)?;
        volume.show().map_err(failed)?;
        let event = EVENTS.lock();
        let lost = place.publish(volume.clone());
        notify(STOR_CMD_VOLUME_ADD_NTF, |m| describe(m, &volume));
        drop(event);
        // Had the backing begun to go before the volume was in the list, nobody would have found
        // the volume there. From here on, whoever comes after this check does.
        // A device may also lose its medium, and with it its size, and stay. One that has only shrunk
        // goes on, and I/O past its end fails.
        if lost || volume.backing().is_dead() || volume.backing().size().0 == 0 {
            lost_backing(volume.backing().id(), true);
        }
        Ok(volume)
    }

    fn open(&self) -> Result<Backing, Refusal> {
        let path = Quoted(self.backing.to_bytes());
        let refuse =
            |errno, why: core::fmt::Arguments<'_>| Refusal::field(errno, Field::Backing, why);
        let unloading =
            || Refusal::plain(Errno::Busy, format_args!("the module is being unloaded"));
        let dev = bdev::lookup(&self.backing).map_err(|why| match why {
            LookupError::NotFound => refuse(Errno::NoEnt, format_args!("{path} does not exist")),
            LookupError::NotBlock => {
                refuse(Errno::NotBlk, format_args!("{path} is not a block device"))
            }
            LookupError::Access => refuse(Errno::Acces, format_args!("{path} may not be accessed")),
            LookupError::Loop => refuse(
                Errno::Loop,
                format_args!("{path} has links in a loop, or of /proc"),
            ),
            LookupError::TimedOut => refuse(
                Errno::TimedOut,
                format_args!("{path} could not be looked up within 10 s"),
            ),
            LookupError::Unloading => unloading(),
            LookupError::Other(e) if e == ENOMEM => Refusal::no_memory(),
            LookupError::Other(e) => refuse(
                Errno::Inval,
                format_args!("{path} can not be looked up: error {}", e.to_errno()),
            ),
        })?;
        let hold = || ModuleHold::new(&crate::THIS_MODULE);
        let backing = Backing::open(dev, self.read_only, hold).map_err(|why| match why {
            OpenError::Busy => refuse(
                Errno::Busy,
                format_args!("{path} is mounted or otherwise in use"),
            ),
            OpenError::TimedOut => refuse(
                Errno::TimedOut,
                format_args!("{path} could not be opened within 10 s"),
            ),
            OpenError::ReadOnly => refuse(Errno::Acces, format_args!("{path} is read-only")),
            OpenError::Gone => refuse(Errno::NxIo, format_args!("{path} has no device behind it")),
            OpenError::Other(e) if e == ENOMEM => Refusal::no_memory(),
            OpenError::Unloading => unloading(),
            OpenError::Other(e) if e == EACCES || e == EPERM => {
                refuse(Errno::Acces, format_args!("{path} may not be accessed"))
            }
            OpenError::Other(e) => refuse(
                Errno::NxIo,
                format_args!("{path} can not be opened: error {}", e.to_errno()),
            ),
        })?;
        if backing.is_zoned() {
            return Err(refuse(
                Errno::OpNotSupp,
                format_args!("{path} is zoned, which stor can not do"),
            ));
        }
        if level_above(&backing) > MAX_LEVEL {
            return Err(refuse(
                Errno::Loop,
                format_args!("{path} has {} volumes below it already", MAX_LEVEL + 1),
            ));
        }
        Ok(backing)
    }
}

/// Nobody could read the partition table of the new disk, or anything, before the volume below is
/// unlocked.
fn check_held(path: &CStr, backing: &Backing) -> Result<(), Refusal> {
    if is_held_below(backing) {
        return Err(Refusal::field(
            Errno::Busy,
            Field::Backing,
            format_args!("{} is locked and holds its I/O", Quoted(path.to_bytes())),
        ));
    }
    Ok(())
}

/// What a request says of refusing writes.
pub(super) fn read_only(attrs: Attrs<'_>) -> Option<bool> {
    let attr = attrs.get(STOR_A_VOLUME_READ_ONLY as u16)?;
    attr.u8().map(|value| value != 0)
}
