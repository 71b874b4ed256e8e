// SPDX-License-Identifier: GPL-2.0

//! What a message tells of a volume, and which one it asks for.

use crate::{
    front::{EngineStatus, Lock, State, Volume},
    kapi::{genl::Writer, sys::uapi::*},
    model::{attrs::Attrs, name::Name, refusal::Refusal, select::Selector},
};
use kernel::{prelude::*, str::CString};

/// Which volume is asked for.
pub(super) fn selector(attrs: Attrs<'_>) -> Result<Selector, Refusal> {
    Selector::exactly_one(
        attrs
            .get(STOR_A_VOLUME_NAME as u16)
            .map(|attr| Name::new(attr.string()))
            .transpose()?,
        attrs
            .get(STOR_A_VOLUME_UUID as u16)
            .and_then(|attr| attr.payload.try_into().ok()),
        attrs
            .get(STOR_A_VOLUME_INDEX as u16)
            .and_then(|attr| attr.u32()),
    )
}

/// A string of a message, which has no NUL in it.
pub(super) fn c_string(bytes: &[u8]) -> Result<CString> {
    let mut with_nul = KVec::with_capacity(bytes.len() + 1, GFP_KERNEL)?;
    with_nul.extend_from_slice(bytes, GFP_KERNEL)?;
    with_nul.push(0, GFP_KERNEL)?;
    let string = CStr::from_bytes_with_nul(&with_nul).map_err(|_| EINVAL)?;
    Ok(CString::try_from(string)?)
}

/// Writes all attributes of a volume. Allocates nothing.
pub(super) fn describe(message: &mut Writer<'_>, volume: &Volume) -> Result {
    let identity = volume.identity();
    let status = volume.status();
    let backing = volume.backing();
    let encryption = volume.encryption();
    let state = match status.state {
        State::Live => stor_volume_state_STOR_VOLUME_STATE_LIVE,
        State::Failed => stor_volume_state_STOR_VOLUME_STATE_FAILED,
        State::Locked => stor_volume_state_STOR_VOLUME_STATE_LOCKED,
    };
    message.put_string(STOR_A_VOLUME_NAME, identity.name.as_bytes())?;
    message.put_bytes(STOR_A_VOLUME_UUID, &identity.uuid)?;
    message.put_u32(STOR_A_VOLUME_INDEX, identity.index)?;
    message.put_string(STOR_A_VOLUME_BACKING, volume.path().to_bytes())?;
    message.put_u64(STOR_A_VOLUME_OFFSET, status.extent.start().0)?;
    message.put_u64(STOR_A_VOLUME_LENGTH, status.extent.length().0)?;
    message.put_u32(STOR_A_VOLUME_STATE, state)?;
    message.put_string(STOR_A_VOLUME_DISK, volume.disk_name().as_bytes())?;
    message.put_u32(STOR_A_VOLUME_DEV_MAJOR, volume.dev().major())?;
    message.put_u32(STOR_A_VOLUME_DEV_MINOR, volume.dev().minor())?;
    message.put_string(STOR_A_VOLUME_BACKING_DISK, backing.name().as_bytes())?;
    message.put_u32(STOR_A_VOLUME_BACKING_MAJOR, backing.dev().major())?;
    message.put_u32(STOR_A_VOLUME_BACKING_MINOR, backing.dev().minor())?;
    message.put_u32(
        STOR_A_VOLUME_LOGICAL_BLOCK_SIZE,
        volume.logical_block_size(),
    )?;
    message.put_u32(
        STOR_A_VOLUME_PHYSICAL_BLOCK_SIZE,
        volume.physical_block_size(),
    )?;
    message.put_u8(STOR_A_VOLUME_READ_ONLY, status.read_only.into())?;
    message.put_u64(STOR_A_VOLUME_GATE_COUNT, status.gate_count)?;
    message.put_u64(STOR_A_VOLUME_GATE_LAST, status.gate_last)?;
    message.put_u64(STOR_A_VOLUME_GATE_LONGEST, status.gate_longest)?;
    let Some(encryption) = encryption.as_ref() else {
        return Ok(());
    };
    let (geometry, key) = (&encryption.geometry, &encryption.key);
    message.put_string(STOR_A_VOLUME_KEY, key.name.to_bytes())?;
    message.put_string(STOR_A_VOLUME_CIPHER, b"aes-xts-plain64")?;
    let engine = match &key.engine {
        EngineStatus::Software { driver, is_fast } => {
            message.put_string(STOR_A_VOLUME_CIPHER_DRIVER, driver.to_bytes())?;
            message.put_u8(STOR_A_VOLUME_CIPHER_SLOW, (!is_fast).into())?;
            stor_crypto_engine_STOR_CRYPTO_ENGINE_SOFTWARE
        }
        EngineStatus::BlkCrypto { is_native } => {
            message.put_u8(STOR_A_VOLUME_CRYPTO_NATIVE, (*is_native).into())?;
            stor_crypto_engine_STOR_CRYPTO_ENGINE_BLK_CRYPTO
        }
    };
    message.put_u32(STOR_A_VOLUME_CRYPTO_ENGINE, engine)?;
    message.put_u32(STOR_A_VOLUME_KEY_SIZE, key.bits)?;
    message.put_u32(STOR_A_VOLUME_CRYPTO_SECTOR, geometry.sector())?;
    message.put_u64(STOR_A_VOLUME_IV_OFFSET, geometry.iv_offset())?;
    message.put_u8(
        STOR_A_VOLUME_IV_LARGE_SECTORS,
        geometry.iv_large_sectors().into(),
    )?;
    message.put_u8(STOR_A_VOLUME_DISCARD, encryption.discard.into())?;
    match status.lock {
        Some(Lock::Hold) => {
            message.put_u32(STOR_A_VOLUME_LOCK, stor_volume_lock_STOR_VOLUME_LOCK_HOLD)
        }
        Some(Lock::Fail) => {
            message.put_u32(STOR_A_VOLUME_LOCK, stor_volume_lock_STOR_VOLUME_LOCK_FAIL)
        }
        None => Ok(()),
    }
}
