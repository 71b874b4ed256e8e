// SPDX-License-Identifier: GPL-2.0

//! Replies and notifications.
//!
//! Attributes that are not known here come from a newer module and are skipped.

use super::{attrs, Malformed, Message};
use crate::types::{CryptoEngine, Event, EventKind, Info, Volume, VolumeLock, VolumeState};
use crate::uapi::*;

/// Decodes the attributes of a volume.
pub fn decode_volume(bytes: &[u8]) -> Result<Volume, Malformed> {
    let mut volume = Volume::default();
    for attr in attrs(bytes) {
        let attr = attr?;
        match attr.kind {
            STOR_A_VOLUME_NAME => volume.name = Some(attr.text()),
            STOR_A_VOLUME_UUID => volume.uuid = Some(attr.uuid()?),
            STOR_A_VOLUME_INDEX => volume.index = Some(attr.u32()?),
            STOR_A_VOLUME_BACKING => volume.backing = Some(attr.text()),
            STOR_A_VOLUME_OFFSET => volume.offset = Some(attr.u64()?),
            STOR_A_VOLUME_LENGTH => volume.length = Some(attr.u64()?),
            STOR_A_VOLUME_STATE => volume.state = Some(VolumeState(attr.u32()?)),
            STOR_A_VOLUME_DISK => volume.disk = Some(attr.text()),
            STOR_A_VOLUME_DEV_MAJOR => volume.dev_major = Some(attr.u32()?),
            STOR_A_VOLUME_DEV_MINOR => volume.dev_minor = Some(attr.u32()?),
            STOR_A_VOLUME_BACKING_DISK => volume.backing_disk = Some(attr.text()),
            STOR_A_VOLUME_BACKING_MAJOR => volume.backing_major = Some(attr.u32()?),
            STOR_A_VOLUME_BACKING_MINOR => volume.backing_minor = Some(attr.u32()?),
            STOR_A_VOLUME_LOGICAL_BLOCK_SIZE => volume.logical_block_size = Some(attr.u32()?),
            STOR_A_VOLUME_PHYSICAL_BLOCK_SIZE => volume.physical_block_size = Some(attr.u32()?),
            // Only 0 and 1 are specified; whatever is not 0 restricts.
            STOR_A_VOLUME_READ_ONLY => volume.read_only = Some(attr.u8()? != 0),
            STOR_A_VOLUME_GATE_COUNT => volume.gate_count = Some(attr.u64()?),
            STOR_A_VOLUME_GATE_LAST => volume.gate_last = Some(attr.u64()?),
            STOR_A_VOLUME_GATE_LONGEST => volume.gate_longest = Some(attr.u64()?),
            STOR_A_VOLUME_KEY => volume.key = Some(attr.text()),
            STOR_A_VOLUME_CIPHER => volume.cipher = Some(attr.text()),
            STOR_A_VOLUME_CIPHER_DRIVER => volume.cipher_driver = Some(attr.text()),
            STOR_A_VOLUME_CIPHER_SLOW => volume.cipher_slow = Some(attr.u8()? != 0),
            STOR_A_VOLUME_KEY_SIZE => volume.key_size = Some(attr.u32()?),
            STOR_A_VOLUME_CRYPTO_SECTOR => volume.crypto_sector = Some(attr.u32()?),
            STOR_A_VOLUME_IV_OFFSET => volume.iv_offset = Some(attr.u64()?),
            STOR_A_VOLUME_IV_LARGE_SECTORS => volume.iv_large_sectors = Some(attr.u8()? != 0),
            STOR_A_VOLUME_DISCARD => volume.discard = Some(attr.u8()? != 0),
            STOR_A_VOLUME_LOCK => volume.lock = Some(VolumeLock(attr.u32()?)),
            STOR_A_VOLUME_CRYPTO_ENGINE => {
                volume.crypto_engine = Some(CryptoEngine(attr.u32()?));
            }
            STOR_A_VOLUME_CRYPTO_NATIVE => volume.crypto_native = Some(attr.u8()? != 0),
            _ => {}
        }
    }
    Ok(volume)
}

/// Decodes the attributes of the module.
pub fn decode_info(bytes: &[u8]) -> Result<Info, Malformed> {
    let mut info = Info::default();
    for attr in attrs(bytes) {
        let attr = attr?;
        match attr.kind {
            STOR_A_INFO_MODULE_VERSION => info.module_version = Some(attr.text()),
            STOR_A_INFO_ABI_VERSION => info.abi_version = Some(attr.u32()?),
            STOR_A_INFO_FEATURES => info.features = Some(attr.u64()?),
            _ => {}
        }
    }
    Ok(info)
}

/// Decodes a notification of the family.
pub fn decode_event(message: &Message<'_>) -> Result<Event, Malformed> {
    let (header, attrs) = message.genl()?;
    Ok(Event {
        kind: EventKind(header.cmd),
        volume: decode_volume(attrs)?,
    })
}
