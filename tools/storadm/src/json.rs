// SPDX-License-Identifier: GPL-2.0

//! JSON documents; `schema/storadm-v1.schema.json` describes them.
//!
//! Within a version of the schema, keys are only ever added.

mod stat;

use std::borrow::Cow;

use serde::Serialize;
use stor_netlink::{Info, Selector, Text, Volume};

use crate::failure::Failure;

pub use stat::{JsonStat, StatBody};

/// Version of the schema.
pub const SCHEMA_VERSION: u32 = 1;

/// A document: its version and, under one key or more, what it says.
#[derive(Debug, Serialize)]
pub struct Document<T> {
    schema_version: u32,
    #[serde(flatten)]
    body: T,
}

impl<T: Serialize> Document<T> {
    /// Wraps what is said.
    pub fn new(body: T) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            body,
        }
    }

    /// Over several lines.
    pub fn pretty(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| escape(&text))
    }

    /// On a single line.
    pub fn line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|text| escape(&text))
    }
}

/// `volume create`, `volume show`, `volume set` and `volume gate`.
#[derive(Debug, Serialize)]
pub struct OneVolume<'a> {
    /// The volume.
    pub volume: JsonVolume<'a>,
}

/// `volume list`.
#[derive(Debug, Serialize)]
pub struct Volumes<'a> {
    /// The volumes in the order of their index.
    pub volumes: Vec<JsonVolume<'a>>,
    /// Whether volumes came or went meanwhile.
    pub interrupted: bool,
}

/// `volume delete`: the selector that was given.
#[derive(Debug, Serialize)]
pub struct Deleted {
    /// What was deleted.
    pub deleted: JsonSelector,
}

/// `key add`: the key that was added.
#[derive(Debug, Serialize)]
pub struct OneKey<'a> {
    /// Its name, as `volume create` takes it.
    pub key: &'a str,
}

/// `key list`: all keys.
#[derive(Debug, Serialize)]
pub struct Keys<'a> {
    /// In the order of their names.
    pub keys: Vec<JsonKey<'a>>,
}

/// A key.
#[derive(Debug, Serialize)]
pub struct JsonKey<'a> {
    /// Its name, as `volume create` takes it.
    pub name: &'a str,
    /// The user that it belongs to.
    pub uid: u32,
}

/// `key remove`: the key that was removed.
#[derive(Debug, Serialize)]
pub struct RemovedKey<'a> {
    /// Its name.
    pub removed_key: &'a str,
}

/// `monitor`: one line.
#[derive(Debug, Serialize)]
pub struct JsonEvent<'a> {
    /// What happened.
    pub event: String,
    /// When it was heard of.
    pub time: String,
    /// The volume; none when events are lost.
    pub volume: Option<JsonVolume<'a>>,
}

/// `info`.
#[derive(Debug, Serialize)]
pub struct JsonInfo<'a> {
    /// What tool and module are.
    pub info: InfoBody<'a>,
}

/// What tool and module are.
#[derive(Debug, Serialize)]
pub struct InfoBody<'a> {
    tool_version: &'a str,
    tool_abi_version: u32,
    module_version: Option<Cow<'a, str>>,
    abi_version: Option<u32>,
    features: Vec<String>,
}

impl<'a> InfoBody<'a> {
    /// Describes the tool by its version, and the module by what it says.
    pub fn new(tool_version: &'a str, info: &'a Info) -> Self {
        Self {
            tool_version,
            tool_abi_version: stor_netlink::uapi::STOR_ABI_VERSION,
            module_version: info.module_version.as_ref().map(Text::lossy),
            abi_version: info.abi_version,
            features: info.feature_names(),
        }
    }
}

/// Any command that fails; on standard error.
#[derive(Debug, Serialize)]
pub struct JsonError<'a> {
    error: ErrorBody<'a>,
}

#[derive(Debug, Serialize)]
struct ErrorBody<'a> {
    message: &'a str,
    errno: Option<&'a str>,
    attribute: Option<&'a str>,
}

impl<'a> From<&'a Failure> for JsonError<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self {
            error: ErrorBody {
                message: &failure.message,
                errno: failure.errno.as_deref(),
                attribute: failure.attribute,
            },
        }
    }
}

/// Something worth knowing; on standard error.
#[derive(Debug, Serialize)]
pub struct JsonWarning<'a> {
    /// What the user reads.
    pub warning: &'a str,
}

/// One of the three is set.
#[derive(Debug, Default, Serialize)]
pub struct JsonSelector {
    name: Option<String>,
    uuid: Option<String>,
    index: Option<u32>,
}

impl From<&Selector> for JsonSelector {
    fn from(selector: &Selector) -> Self {
        let mut json = Self::default();
        match selector {
            Selector::Name(name) => json.name = Some(name.clone()),
            Selector::Uuid(uuid) => json.uuid = Some(uuid.to_string()),
            Selector::Index(index) => json.index = Some(*index),
        }
        json
    }
}

/// A volume; null for what the module does not say.
#[derive(Debug, Serialize)]
pub struct JsonVolume<'a> {
    name: Option<Cow<'a, str>>,
    uuid: Option<String>,
    index: Option<u32>,
    disk: Option<Cow<'a, str>>,
    path: Option<String>,
    dev_major: Option<u32>,
    dev_minor: Option<u32>,
    state: Option<String>,
    read_only: Option<bool>,
    length: Option<u64>,
    logical_block_size: Option<u32>,
    physical_block_size: Option<u32>,
    backing: Option<Cow<'a, str>>,
    offset: Option<u64>,
    backing_disk: Option<Cow<'a, str>>,
    backing_major: Option<u32>,
    backing_minor: Option<u32>,
    gate_count: Option<u64>,
    gate_last_ns: Option<u64>,
    gate_longest_ns: Option<u64>,
    key: Option<Cow<'a, str>>,
    cipher: Option<Cow<'a, str>>,
    cipher_driver: Option<Cow<'a, str>>,
    cipher_slow: Option<bool>,
    key_size: Option<u32>,
    crypto_sector: Option<u32>,
    iv_offset: Option<u64>,
    iv_large_sectors: Option<bool>,
    discard: Option<bool>,
    lock: Option<String>,
    crypto_engine: Option<String>,
    crypto_native: Option<bool>,
}

impl<'a> From<&'a Volume> for JsonVolume<'a> {
    fn from(volume: &'a Volume) -> Self {
        Self {
            name: volume.name.as_ref().map(Text::lossy),
            uuid: volume.uuid.map(|uuid| uuid.to_string()),
            index: volume.index,
            disk: volume.disk.as_ref().map(Text::lossy),
            path: volume
                .disk
                .as_ref()
                .map(|disk| format!("/dev/{}", disk.lossy())),
            dev_major: volume.dev_major,
            dev_minor: volume.dev_minor,
            state: volume.state.map(|state| state.to_string()),
            read_only: volume.read_only,
            length: volume.length,
            logical_block_size: volume.logical_block_size,
            physical_block_size: volume.physical_block_size,
            backing: volume.backing.as_ref().map(Text::lossy),
            offset: volume.offset,
            backing_disk: volume.backing_disk.as_ref().map(Text::lossy),
            backing_major: volume.backing_major,
            backing_minor: volume.backing_minor,
            gate_count: volume.gate_count,
            gate_last_ns: volume.gate_last,
            gate_longest_ns: volume.gate_longest,
            key: volume.key.as_ref().map(Text::lossy),
            cipher: volume.cipher.as_ref().map(Text::lossy),
            cipher_driver: volume.cipher_driver.as_ref().map(Text::lossy),
            cipher_slow: volume.cipher_slow,
            key_size: volume.key_size,
            crypto_sector: volume.crypto_sector,
            iv_offset: volume.iv_offset,
            iv_large_sectors: volume.iv_large_sectors,
            discard: volume.discard,
            lock: volume.lock.map(|lock| lock.to_string()),
            crypto_engine: volume.crypto_engine.map(|engine| engine.to_string()),
            crypto_native: volume.crypto_native,
        }
    }
}

/// Escapes what is not printable, so that JSON too is safe on a terminal.
///
/// Outside of strings JSON is printable ASCII and line breaks, and in strings serde has escaped
/// the ASCII control characters but DEL; so whatever is left to escape stands in a string.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        let printable = match c {
            '\n' | ' '..='~' => true,
            _ => c.escape_debug().eq([c]),
        };
        if printable {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    #[test]
    fn escapes_keep_the_meaning() {
        let text = "\x1b\x7f\u{9b}\u{202e}ü\u{10ffff}\"\\";
        let json = escape(&serde_json::to_string(text).unwrap());
        assert_eq!(
            json,
            "\"\\u001b\\u007f\\u009b\\u202eü\\udbff\\udfff\\\"\\\\\""
        );
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    proptest! {
        #[test]
        fn any_text_survives(text in any::<String>()) {
            let json = escape(&serde_json::to_string_pretty(&[&text]).unwrap());
            prop_assert!(!json.chars().any(|c| c.is_control() && c != '\n'));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
        }
    }
}
