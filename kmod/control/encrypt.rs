// SPDX-License-Identifier: GPL-2.0

//! How a new volume is to be encrypted.

use super::message::c_string;
use crate::{
    front::Encryption,
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
        let key = self.find_key()?;
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
        let key_bits = 8 * key.length() as u32;
        Ok((
            Encryption {
                cipher,
                geometry,
                key_name: self.name,
                key_bits,
                discard: self.discard,
            },
            extent,
        ))
    }

    fn find_key(&self) -> Result<Key, Refusal> {
        let name = self.name.to_bytes();
        let quoted = Quoted(name);
        let refuse = |errno, why: core::fmt::Arguments<'_>| Refusal::field(errno, Field::Key, why);
        let (_, description) = key_name(name)?;
        let description = c_string(description).map_err(|_| Refusal::no_memory())?;
        let key = Key::find(self.key_type, &description).map_err(|e: Error| {
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
}
