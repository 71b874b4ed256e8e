// SPDX-License-Identifier: GPL-2.0

//! How a new volume is to be encrypted.

use super::message::c_string;
use crate::{
    front::{Encryption, ShownEncryption, ShownKey, Volume},
    kapi::{
        cipher::{Key, Xts},
        sys::uapi::*,
    },
    model::{
        attrs::{Attr, Attrs},
        crypt::{check_key, key_name, Geometry, KeyType, Wanted},
        extent::Extent,
        refusal::{Errno, Field, Quoted, Refusal},
    },
};
use kernel::{error::code::*, error::Error, prelude::*, str::CString};

/// What the user asks for, each value checked by itself.
pub(super) struct NewEncryption {
    name: CString,
    key_type: KeyType,
    wanted: Wanted,
    discard: bool,
}

impl NewEncryption {
    /// Reads the attributes of a request; `None` if it asks for no encryption.
    pub(super) fn parse(attrs: Attrs<'_>) -> Result<Option<Self>, Refusal> {
        let get = |kind: u32| attrs.get(kind as u16);
        let Some(key) = get(STOR_A_VOLUME_KEY) else {
            for (kind, field) in [
                (STOR_A_VOLUME_CRYPTO_SECTOR, Field::CryptoSector),
                (STOR_A_VOLUME_IV_OFFSET, Field::IvOffset),
                (STOR_A_VOLUME_IV_LARGE_SECTORS, Field::IvLargeSectors),
                (STOR_A_VOLUME_DISCARD, Field::Discard),
            ] {
                if get(kind).is_some() {
                    return Err(Refusal::field(
                        Errno::Inval,
                        field,
                        format_args!("given without a key, of which it says how it is used"),
                    ));
                }
            }
            return Ok(None);
        };
        let (key_type, _) = key_name(key.string())?;
        let flag = |attr: Attr<'_>| attr.u8().map(|value| value != 0);
        Ok(Some(Self {
            name: c_string(key.string()).map_err(|_| Refusal::no_memory())?,
            key_type,
            wanted: Wanted {
                sector: get(STOR_A_VOLUME_CRYPTO_SECTOR).and_then(|attr| attr.u32()),
                iv_offset: get(STOR_A_VOLUME_IV_OFFSET).and_then(|attr| attr.u64()),
                iv_large_sectors: get(STOR_A_VOLUME_IV_LARGE_SECTORS).and_then(flag),
            },
            discard: get(STOR_A_VOLUME_DISCARD).and_then(flag).unwrap_or(false),
        }))
    }

    /// Takes the key, and chooses sectors for a volume on `extent`, which may get shorter if its
    /// length was not `given`. May sleep.
    pub(super) fn make(
        self,
        extent: Extent,
        given: bool,
        block: u32,
    ) -> Result<(Encryption, Extent), Refusal> {
        let (geometry, extent) = Geometry::choose(&self.wanted, extent, given, block)?;
        let (cipher, key) = take_key(self.name, self.key_type)?;
        let shown = ShownEncryption {
            geometry,
            discard: self.discard,
            key,
        };
        Ok((Encryption { cipher, shown }, extent))
    }
}

/// The key that is to unlock a volume: that of the name `given`, or else of the name before. May
/// sleep.
pub(super) fn unlock_key(
    volume: &Volume,
    given: Option<Attr<'_>>,
) -> Result<(Xts, ShownKey), Refusal> {
    let not_locked = || {
        Refusal::plain(
            Errno::Already,
            format_args!("volume {} is not locked", volume.identity().name),
        )
    };
    volume.locked().ok_or_else(not_locked)?;
    let name = match given {
        Some(key) => c_string(key.string()),
        None => {
            let encryption = volume.encryption();
            let shown = encryption.as_ref().ok_or_else(not_locked)?;
            CString::try_from(&*shown.key.name).map_err(Error::from)
        }
    }
    .map_err(|_| Refusal::no_memory())?;
    let (key_type, _) = key_name(name.to_bytes())?;
    let (cipher, key) = take_key(name, key_type)?;
    let is_same = volume
        .encryption()
        .as_ref()
        .is_some_and(|shown| shown.key.proof == key.proof && shown.key.bits == key.bits);
    if is_same {
        Ok((cipher, key))
    } else {
        Err(Refusal::field(
            Errno::KeyRejected,
            Field::Key,
            format_args!("{} is not the key of before", Quoted(key.name.to_bytes())),
        ))
    }
}

/// Takes the key of a name out of the keyrings, and prepares the cipher with it. May sleep.
fn take_key(name: CString, key_type: KeyType) -> Result<(Xts, ShownKey), Refusal> {
    let key = find_key(&name, key_type)?;
    let cipher = Xts::new(&key).map_err(|e| {
        if e == ENOMEM {
            Refusal::no_memory()
        } else if e == ENOENT {
            Refusal::field(
                Errno::OpNotSupp,
                Field::Key,
                format_args!("the kernel has no synchronous xts(aes)"),
            )
        } else {
            Refusal::field(
                Errno::Inval,
                Field::Key,
                format_args!("the cipher refuses it: error {}", e.to_errno()),
            )
        }
    })?;
    let proof = cipher.proof().map_err(|e| {
        if e == ENOMEM {
            Refusal::no_memory()
        } else {
            Refusal::plain(
                Errno::Inval,
                format_args!("the cipher fails: error {}", e.to_errno()),
            )
        }
    })?;
    let driver = CString::try_from(cipher.driver()).map_err(|_| Refusal::no_memory())?;
    let shown = ShownKey {
        name,
        bits: 8 * key.length() as u32,
        proof,
        driver,
        is_fast: cipher.is_fast(),
    };
    Ok((cipher, shown))
}

fn find_key(name: &CStr, key_type: KeyType) -> Result<Key, Refusal> {
    let name = name.to_bytes();
    let quoted = Quoted(name);
    let refuse = |errno, why: core::fmt::Arguments<'_>| Refusal::field(errno, Field::Key, why);
    let (_, description) = key_name(name)?;
    let description = c_string(description).map_err(|_| Refusal::no_memory())?;
    let key = Key::find(key_type, &description).map_err(|e: Error| {
        if e == ENOKEY {
            refuse(
                Errno::NoKey,
                format_args!("{quoted} is in no keyring of yours"),
            )
        } else if e == EKEYEXPIRED {
            refuse(Errno::KeyExpired, format_args!("{quoted} has expired"))
        } else if e == EKEYREVOKED {
            refuse(Errno::KeyRevoked, format_args!("{quoted} was revoked"))
        } else if e == EACCES || e == EPERM {
            refuse(
                Errno::Acces,
                format_args!("{quoted} may not be used by you"),
            )
        } else if e == ENOPKG {
            refuse(
                Errno::OpNotSupp,
                format_args!("{quoted} is of a type that this kernel does not have"),
            )
        } else if e == ENOMEM {
            Refusal::no_memory()
        } else {
            refuse(
                Errno::Inval,
                format_args!("{quoted} can not be read: error {}", e.to_errno()),
            )
        }
    })?;
    check_key(key.bytes(), key.length())?;
    Ok(key)
}
