// SPDX-License-Identifier: GPL-2.0

//! How a new volume is to be encrypted.

use super::message::c_string;
use crate::{
    front::{fallback_below, Encryption, Engine},
    kapi::{
        bdev::Backing,
        blkcrypto::InlineKey,
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
    engine: WantedEngine,
}

/// Who shall encrypt.
#[derive(Clone, Copy)]
enum WantedEngine {
    Auto,
    Software,
    BlkCrypto,
}

impl WantedEngine {
    /// That of the interface, whose policy lets no other number pass.
    fn of(number: u32) -> Self {
        if number == stor_crypto_engine_STOR_CRYPTO_ENGINE_SOFTWARE {
            Self::Software
        } else if number == stor_crypto_engine_STOR_CRYPTO_ENGINE_BLK_CRYPTO {
            Self::BlkCrypto
        } else {
            Self::Auto
        }
    }
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
                (STOR_A_VOLUME_CRYPTO_ENGINE, Field::CryptoEngine),
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
            engine: get(STOR_A_VOLUME_CRYPTO_ENGINE)
                .and_then(|attr| attr.u32())
                .map_or(WantedEngine::Auto, WantedEngine::of),
        }))
    }

    /// Takes the key, and chooses sectors for a volume on `extent` of `backing`, which may get
    /// shorter if its length was not `given`, and who encrypts them. May sleep.
    pub(super) fn make(
        self,
        extent: Extent,
        given: bool,
        backing: &Backing,
    ) -> Result<(Encryption, Extent), Refusal> {
        let block = backing.logical_block_size();
        let (geometry, extent) = Geometry::choose(&self.wanted, extent, given, block)?;
        let key = self.find_key()?;
        let key_bits = 8 * key.length() as u32;
        let inline = geometry.check_inline(key_bits);
        let engine = match (self.engine, inline) {
            (WantedEngine::BlkCrypto, Err(refusal)) => return Err(refusal),
            (WantedEngine::BlkCrypto, Ok(())) => blk_crypto(backing, &key, &geometry)?,
            (WantedEngine::Auto, Ok(())) => {
                match InlineKey::new(backing, &key, geometry.sector(), false) {
                    Ok(key) => Engine::BlkCrypto(key),
                    Err(e) if e == ENOMEM => return Err(Refusal::no_memory()),
                    Err(_) => software(&key)?,
                }
            }
            (WantedEngine::Auto | WantedEngine::Software, _) => software(&key)?,
        };
        Ok((
            Encryption {
                engine,
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

/// Has the module encrypt. May sleep.
fn software(key: &Key) -> Result<Engine, Refusal> {
    Xts::new(key).map(Engine::Software).map_err(|e| {
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
    })
}

/// Has who is below encrypt: hardware, or else the kernel's fallback. May sleep.
fn blk_crypto(backing: &Backing, key: &Key, geometry: &Geometry) -> Result<Engine, Refusal> {
    let key = InlineKey::new(backing, key, geometry.sector(), true).map_err(|e| {
        if e == ENOMEM {
            Refusal::no_memory()
        } else if e == EOPNOTSUPP {
            Refusal::field(
                Errno::OpNotSupp,
                Field::CryptoEngine,
                format_args!("blk-crypto: the backing can not, the kernel has no fallback"),
            )
        } else {
            Refusal::field(
                Errno::Inval,
                Field::CryptoEngine,
                format_args!("blk-crypto: the kernel refuses: error {}", e.to_errno()),
            )
        }
    })?;
    // One that waits for what it needs may keep what the other waits for.
    if !key.is_native() && fallback_below(backing) {
        return Err(Refusal::field(
            Errno::Loop,
            Field::CryptoEngine,
            format_args!("blk-crypto: a volume below has the kernel encrypt, too"),
        ));
    }
    Ok(Engine::BlkCrypto(key))
}
