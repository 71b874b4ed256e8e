// SPDX-License-Identifier: GPL-2.0

//! What requests and replies say, without how it is encoded.

use std::fmt;

use crate::text::Text;
use crate::uapi;
use crate::uuid::Uuid;

/// A volume as the module describes it.
///
/// Every attribute may be missing: a module of another version need not send what this one does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Name, unique on the host.
    pub name: Option<Text>,
    /// UUID, unique on the host.
    pub uuid: Option<Uuid>,
    /// The N of `/dev/storN`.
    pub index: Option<u32>,
    /// Path of the backing as it was given.
    pub backing: Option<Text>,
    /// First byte on the backing.
    pub offset: Option<u64>,
    /// Size in bytes.
    pub length: Option<u64>,
    /// State.
    pub state: Option<VolumeState>,
    /// Name of the disk below `/dev`.
    pub disk: Option<Text>,
    /// Major number of the disk.
    pub dev_major: Option<u32>,
    /// Minor number of the disk.
    pub dev_minor: Option<u32>,
    /// The kernel's name of the backing.
    pub backing_disk: Option<Text>,
    /// Major number of the backing.
    pub backing_major: Option<u32>,
    /// Minor number of the backing.
    pub backing_minor: Option<u32>,
    /// Smallest unit of I/O in bytes.
    pub logical_block_size: Option<u32>,
    /// Smallest unit that is written without a read, in bytes.
    pub physical_block_size: Option<u32>,
    /// Whether the disk refuses writes.
    pub read_only: Option<bool>,
    /// How often the gate was closed and opened again.
    pub gate_count: Option<u64>,
    /// How long the gate was closed the last time, in nanoseconds.
    pub gate_last: Option<u64>,
    /// The longest time that the gate was closed, in nanoseconds.
    pub gate_longest: Option<u64>,
    /// Name of the key that the data is encrypted with, as it was given.
    pub key: Option<Text>,
    /// How the data is encrypted, in the words of dm-crypt.
    pub cipher: Option<Text>,
    /// The implementation of the cipher, if the module encrypts.
    pub cipher_driver: Option<Text>,
    /// Whether that takes one block at a time.
    pub cipher_slow: Option<bool>,
    /// Length of the key in bits.
    pub key_size: Option<u32>,
    /// Size in bytes of what is encrypted by itself.
    pub crypto_sector: Option<u32>,
    /// What is added to the number of a sector, in units of 512 bytes.
    pub iv_offset: Option<u64>,
    /// Whether initialization vectors count crypto sectors, not units of 512 bytes.
    pub iv_large_sectors: Option<bool>,
    /// Whether the disk of an encrypted volume takes discards.
    pub discard: Option<bool>,
    /// What happens to I/O while the volume is locked; `None` when it is not.
    pub lock: Option<VolumeLock>,
    /// Who encrypts the data.
    pub crypto_engine: Option<CryptoEngine>,
    /// Whether that is hardware of the backing.
    pub crypto_native: Option<bool>,
}

/// What happens to the I/O of a locked volume. Displays as the specification's name, or `lock-N` for
/// one it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeLock(pub u32);

impl VolumeLock {
    /// It waits.
    pub const HOLD: Self = Self(uapi::STOR_VOLUME_LOCK_HOLD);
    /// It fails.
    pub const FAIL: Self = Self(uapi::STOR_VOLUME_LOCK_FAIL);
}

impl fmt::Display for VolumeLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match uapi::name_of(uapi::VOLUME_LOCKS, u64::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "lock-{}", self.0),
        }
    }
}

/// Who encrypts. Displays as the specification's name, or `engine-N` for one it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptoEngine(pub u32);

impl CryptoEngine {
    /// Hardware of the backing, if it can, else the module.
    pub const AUTO: Self = Self(uapi::STOR_CRYPTO_ENGINE_AUTO);
    /// The module.
    pub const SOFTWARE: Self = Self(uapi::STOR_CRYPTO_ENGINE_SOFTWARE);
    /// Who is below: hardware, or the kernel in its place.
    pub const BLK_CRYPTO: Self = Self(uapi::STOR_CRYPTO_ENGINE_BLK_CRYPTO);
}

impl fmt::Display for CryptoEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match uapi::name_of(uapi::CRYPTO_ENGINES, u64::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "engine-{}", self.0),
        }
    }
}

/// State of a volume. Displays as the specification's name, or `state-N` for one it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeState(pub u32);

impl fmt::Display for VolumeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match uapi::name_of(uapi::VOLUME_STATES, u64::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "state-{}", self.0),
        }
    }
}

/// What the module is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Version of the module.
    pub module_version: Option<Text>,
    /// Version of the netlink interface.
    pub abi_version: Option<u32>,
    /// Mask of features.
    pub features: Option<u64>,
}

impl Info {
    /// Names of the features, lowest bit first; `bit-N` for one the specification lacks.
    pub fn feature_names(&self) -> Vec<String> {
        let mask = self.features.unwrap_or(0);
        (0..u64::BITS)
            .filter(|bit| mask & (1 << bit) != 0)
            .map(|bit| match uapi::name_of(uapi::FEATURES, 1 << bit) {
                Some(name) => name.to_owned(),
                None => format!("bit-{bit}"),
            })
            .collect()
    }
}

/// A volume to be made. What is `None` is left to the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewVolume {
    /// Name, unique on the host.
    pub name: String,
    /// Path of the backing, any bytes but NUL.
    pub backing: Vec<u8>,
    /// First byte on the backing.
    pub offset: Option<u64>,
    /// Size in bytes.
    pub length: Option<u64>,
    /// The N of `/dev/storN`.
    pub index: Option<u32>,
    /// UUID.
    pub uuid: Option<Uuid>,
    /// Whether the disk shall refuse writes.
    pub read_only: Option<bool>,
    /// Name of the key to encrypt with, as in `logon:stor:vm1`.
    pub key: Option<String>,
    /// Size in bytes of what is encrypted by itself.
    pub crypto_sector: Option<u32>,
    /// What is added to the number of a sector, in units of 512 bytes.
    pub iv_offset: Option<u64>,
    /// Whether initialization vectors shall count crypto sectors.
    pub iv_large_sectors: Option<bool>,
    /// Whether the disk of an encrypted volume shall take discards.
    pub discard: Option<bool>,
    /// Who shall encrypt.
    pub crypto_engine: Option<CryptoEngine>,
}

/// What shall change of a volume. What is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Size in bytes.
    pub length: Option<u64>,
    /// Whether the disk refuses writes.
    pub read_only: Option<bool>,
}

/// Names one volume. Displays as in `vm1`, `with index 3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By its name.
    Name(String),
    /// By its UUID.
    Uuid(Uuid),
    /// By the N of `/dev/storN`.
    Index(u32),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) if name.is_empty() => f.write_str("\"\""),
            Self::Name(name) => write!(f, "{}", Text::from(name.as_str()).escape()),
            Self::Uuid(uuid) => write!(f, "with UUID {uuid}"),
            Self::Index(index) => write!(f, "with index {index}"),
        }
    }
}

/// Something that happened to a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The volume as it was then.
    pub volume: Volume,
}

/// What happened. Displays as in `volume-add`, or `event-N` for one the specification lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKind(pub u8);

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match uapi::name_of(uapi::COMMANDS, u64::from(self.0)) {
            Some(name) => f.write_str(name.strip_suffix("-ntf").unwrap_or(name)),
            None => write!(f, "event-{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn what_the_specification_lacks_has_a_name_too() {
        assert_eq!(VolumeState(0).to_string(), "live");
        assert_eq!(VolumeState(77).to_string(), "state-77");
        assert_eq!(EventKind(5).to_string(), "volume-add");
        assert_eq!(EventKind(7).to_string(), "volume-fail");
        assert_eq!(EventKind(10).to_string(), "volume-set");
        assert_eq!(EventKind(200).to_string(), "event-200");
        let info = Info {
            features: Some(1 | (1 << 40) | (1 << 63)),
            ..Info::default()
        };
        assert_eq!(info.feature_names(), ["volume", "bit-40", "bit-63"]);
    }

    #[test]
    fn selectors_read_well() {
        assert_eq!(Selector::Name("vm1\x1b".into()).to_string(), "vm1\\u{1b}");
        assert_eq!(Selector::Name(String::new()).to_string(), "\"\"");
        assert_eq!(Selector::Index(3).to_string(), "with index 3");
    }
}
