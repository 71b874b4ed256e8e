// SPDX-License-Identifier: GPL-2.0

//! How a new volume is to be encrypted.

use super::message::c_string;
use crate::{
    engine::EncryptionKey,
    front::{Encryption, EncryptionStatus, EngineStatus, KeyStatus, Volume},
    io::disk::is_inline_below,
    kapi::{
        bdev::Backing,
        cipher::{Key, KeyProof, Xts},
        inline_key::{InlineKey, Who},
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
                        format_args!("has a meaning with a key only"),
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
        let key = find_key(&self.name, self.key_type)?;
        let bits = 8 * key.length() as u32;
        let (cipher, proof) = make_cipher(&key)?;
        let (key, engine) = match (self.engine, geometry.check_inline(bits)) {
            (WantedEngine::BlkCrypto, Err(refusal)) => return Err(refusal),
            (WantedEngine::BlkCrypto, Ok(())) => {
                inline(make_inline(&key, backing, geometry.sector(), Who::Either)?)
            }
            (WantedEngine::Auto, Ok(())) => {
                match InlineKey::new(backing, &key, geometry.sector(), Who::Hardware) {
                    Ok(key) => inline(key),
                    Err(e) if e == ENOMEM => return Err(Refusal::no_memory()),
                    Err(_) => here(cipher)?,
                }
            }
            (WantedEngine::Auto | WantedEngine::Software, _) => here(cipher)?,
        };
        let status = EncryptionStatus {
            geometry,
            discard: self.discard,
            key: KeyStatus {
                name: self.name,
                bits,
                proof,
                engine,
            },
        };
        Ok((Encryption { key, status }, extent))
    }
}

/// The key that is to unlock a volume: that of the name `given`, or else of the name before. Who
/// encrypts stays who it was. May sleep.
pub(super) fn unlock_key(
    volume: &Volume,
    given: Option<Attr<'_>>,
) -> Result<(EncryptionKey, KeyStatus), Refusal> {
    let not_locked = || {
        Refusal::plain(
            Errno::Already,
            format_args!("volume {} is not locked", volume.identity().name),
        )
    };
    volume.status().lock.ok_or_else(not_locked)?;
    if let Some(key) = given {
        key_name(key.string())?;
    }
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
    let key = find_key(&name, key_type)?;
    let bits = 8 * key.length() as u32;
    let (cipher, proof) = make_cipher(&key)?;
    let (is_same, sector, native) = {
        let encryption = volume.encryption();
        let shown = encryption.as_ref().ok_or_else(not_locked)?;
        let native = match shown.key.engine {
            EngineStatus::Software { .. } => None,
            EngineStatus::BlkCrypto { is_native } => Some(is_native),
        };
        let is_same = shown.key.proof == proof && shown.key.bits == bits;
        (is_same, shown.geometry.sector(), native)
    };
    if !is_same {
        return Err(Refusal::field(
            Errno::KeyRejected,
            Field::Key,
            format_args!("{} is not the key of before", Quoted(name.to_bytes())),
        ));
    }
    let (key, engine) = match native {
        None => here(cipher)?,
        // Its disk was made for who encrypted before.
        Some(true) => inline(make_inline(&key, volume.backing(), sector, Who::Hardware)?),
        Some(false) => inline(make_inline(&key, volume.backing(), sector, Who::Kernel)?),
    };
    let status = KeyStatus {
        name,
        bits,
        proof,
        engine,
    };
    Ok((key, status))
}

/// Prepares the cipher with a key, and with it what tells that from another. May sleep.
fn make_cipher(key: &Key) -> Result<(Xts, KeyProof), Refusal> {
    let cipher = Xts::new(key).map_err(|e| {
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
    Ok((cipher, proof))
}

/// Has the module encrypt.
fn here(cipher: Xts) -> Result<(EncryptionKey, EngineStatus), Refusal> {
    let engine = EngineStatus::Software {
        driver: CString::try_from(cipher.driver()).map_err(|_| Refusal::no_memory())?,
        is_fast: cipher.is_fast(),
    };
    Ok((EncryptionKey::Here(cipher), engine))
}

/// Has it done inline.
fn inline(key: InlineKey) -> (EncryptionKey, EngineStatus) {
    let engine = EngineStatus::BlkCrypto {
        is_native: key.is_native(),
    };
    (EncryptionKey::Inline(key), engine)
}

/// Prepares a key for inline encryption. May sleep.
fn make_inline(key: &Key, backing: &Backing, sector: u32, who: Who) -> Result<InlineKey, Refusal> {
    let refuse =
        |errno, why: core::fmt::Arguments<'_>| Refusal::field(errno, Field::CryptoEngine, why);
    let key = InlineKey::new(backing, key, sector, who).map_err(|e| {
        if e == ENOMEM {
            Refusal::no_memory()
        } else if e == EOPNOTSUPP && who == Who::Hardware {
            refuse(
                Errno::OpNotSupp,
                format_args!("blk-crypto: the backing has lost its hardware for it"),
            )
        } else if e == EOPNOTSUPP {
            refuse(
                Errno::OpNotSupp,
                format_args!("blk-crypto: the backing can not, the kernel has no fallback"),
            )
        } else {
            refuse(
                Errno::Inval,
                format_args!("blk-crypto: the kernel refuses: error {}", e.to_errno()),
            )
        }
    })?;
    // The kernel has a supply for all: one that waits for some of it may keep what the other, below,
    // waits for.
    if !key.is_native() && is_inline_below(backing) {
        return Err(refuse(
            Errno::Loop,
            format_args!("blk-crypto: a volume below is encrypted so, too"),
        ));
    }
    Ok(key)
}

/// Takes the key of a name out of the keyrings. May sleep.
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
        } else if e == EINPROGRESS {
            refuse(Errno::Busy, format_args!("{quoted} is still being made"))
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
                format_args!("{quoted} is of a type that this kernel lacks"),
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
