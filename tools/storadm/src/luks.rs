// SPDX-License-Identifier: GPL-2.0

//! What the header of a LUKS2 container says, and whether a volume can be laid over its data.
//!
//! The header is JSON, which libcryptsetup has checked; its numbers of 64 bits are strings.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The cipher that the module has.
const CIPHER: &str = "aes-xts-plain64";

/// The same, in words of the kernel's crypto API.
const CAPI_CIPHER: &str = "capi:xts(aes)-plain64";

/// The segment that holds the data.
const DATA: &str = "0";

/// What comes before the JSON area in each of the two copies of the header.
const BINARY_HEADER: u64 = 4096;

/// A header, as far as it matters here.
#[derive(Debug, Deserialize)]
pub struct Header {
    keyslots: BTreeMap<String, Keyslot>,
    segments: BTreeMap<String, Segment>,
    digests: BTreeMap<String, Digest>,
    config: Config,
}

#[derive(Debug, Deserialize)]
struct Keyslot {
    #[serde(rename = "type")]
    kind: String,
    key_size: usize,
}

#[derive(Debug, Deserialize)]
struct Segment {
    #[serde(rename = "type")]
    kind: String,
    offset: String,
    size: String,
    iv_tweak: Option<String>,
    encryption: Option<String>,
    sector_size: Option<u32>,
    integrity: Option<Integrity>,
    #[serde(default)]
    flags: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Integrity {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Digest {
    keyslots: Vec<String>,
    segments: Vec<String>,
    salt: String,
    digest: String,
}

#[derive(Debug, Deserialize)]
struct Config {
    json_size: String,
    keyslots_size: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    requirements: Requirements,
}

#[derive(Debug, Default, Deserialize)]
struct Requirements {
    #[serde(default)]
    mandatory: Vec<String>,
}

/// How the data of a container lies on its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// First byte.
    pub offset: u64,
    /// Number of bytes, unless it is all that follows.
    pub length: Option<u64>,
    /// What is encrypted by itself, in bytes.
    pub sector: u32,
    /// Length of the key in bytes.
    pub key_size: usize,
    /// Whether the header has discards passed on.
    pub discard: bool,
    /// What tells the key from others.
    digest: String,
}

impl Header {
    /// How the data lies, or why it can not be a volume.
    ///
    /// # Errors
    ///
    /// The reason, which reads on after a colon.
    pub fn plan(&self) -> Result<Plan, String> {
        self.nothing_unknown()?;
        let segment = self.segment()?;
        let length = match segment.size.as_str() {
            "dynamic" => None,
            size => Some(number(size)?),
        };
        let offset = number(&segment.offset)?;
        // What belongs to a header of this size ends here, if it is on the same device.
        let copies = number(&self.config.json_size)?
            .checked_add(BINARY_HEADER)
            .and_then(|copy| copy.checked_mul(2));
        let end = number(&self.config.keyslots_size)?.checked_add(copies.unwrap_or(u64::MAX));
        if offset < end.unwrap_or(u64::MAX) {
            return Err("its header is detached from the data, which stor does not do".into());
        }
        let digest = self.digest()?;
        let key_size = digest
            .keyslots
            .iter()
            .find_map(|slot| self.keyslots.get(slot))
            .ok_or("no key slot is left that opens it")?
            .key_size;
        if ![32, 64].contains(&key_size) {
            return Err(format!(
                "its key has {} bits, stor takes 256 or 512",
                key_size.saturating_mul(8)
            ));
        }
        Ok(Plan {
            offset,
            length,
            sector: segment.sector_size.unwrap_or(512),
            key_size,
            discard: self.config.flags.iter().any(|it| it == "allow-discards"),
            digest: format!("{} {}", digest.salt, digest.digest),
        })
    }

    /// Whether a key slot is there, and has the key of the data.
    ///
    /// # Errors
    ///
    /// The reason why it can not be used.
    pub fn check_slot(&self, slot: u32) -> Result<(), String> {
        let name = slot.to_string();
        if !self.keyslots.contains_key(&name) {
            return Err(format!("it has no key slot {slot}"));
        }
        if !self.digest()?.keyslots.contains(&name) {
            // One that is "unbound".
            return Err(format!("key slot {slot} has another key than the data's"));
        }
        Ok(())
    }

    /// Whoever does not know a requirement must not touch the data.
    fn nothing_unknown(&self) -> Result<(), String> {
        let requirements = &self.config.requirements.mandatory;
        let reencrypts = requirements.iter().any(|it| it.contains("reencrypt"))
            || self.keyslots.values().any(|slot| slot.kind == "reencrypt")
            || self
                .segments
                .values()
                .any(|segment| segment.flags.iter().any(|it| it == "in-reencryption"));
        if reencrypts {
            return Err(
                "it is being reencrypted; let \"cryptsetup reencrypt --resume-only\" finish that"
                    .into(),
            );
        }
        if !requirements.is_empty() {
            return Err(format!(
                "it requires {}, which stor does not know",
                requirements.join(", ")
            ));
        }
        Ok(())
    }

    /// The data, if it is of a kind that stor can do.
    fn segment(&self) -> Result<&Segment, String> {
        let segment = match (self.segments.len(), self.segments.get(DATA)) {
            (1, Some(segment)) => segment,
            (count, _) => return Err(format!("its data is in {count} segments, stor takes one")),
        };
        if segment.kind != "crypt" {
            return Err(format!(
                "its data is a segment of type {}, stor takes crypt",
                segment.kind
            ));
        }
        if let Some(integrity) = &segment.integrity {
            return Err(format!(
                "it has integrity protection ({}), which stor does not do",
                integrity.kind
            ));
        }
        if ![CIPHER, CAPI_CIPHER]
            .map(Some)
            .contains(&segment.encryption.as_deref())
        {
            return Err(format!(
                "its cipher is {}, stor has {CIPHER}",
                segment.encryption.as_deref().unwrap_or("missing")
            ));
        }
        // cryptsetup never writes another one, and would read it as 0: whose data would that be?
        match segment.iv_tweak.as_deref() {
            None | Some("0") => Ok(segment),
            Some(other) => Err(format!(
                "its sectors count from {other} (iv_tweak), stor takes 0"
            )),
        }
    }

    /// By which the key of the data is known.
    fn digest(&self) -> Result<&Digest, String> {
        self.digests
            .values()
            .find(|digest| digest.segments.iter().any(|it| it == DATA))
            .ok_or_else(|| "its header has no digest of the data's key".to_owned())
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "its header has something else for a number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use serde_json::{json, Value};

    /// What cryptsetup 2.7.5 makes, less what nobody here reads.
    fn header() -> Value {
        json!({
            "keyslots": {
                "0": {"type": "luks2", "key_size": 64, "kdf": {"type": "pbkdf2"}},
                "1": {"type": "luks2", "key_size": 64},
                "2": {"type": "luks2", "key_size": 32},
            },
            "tokens": {},
            "segments": {"0": {
                "type": "crypt", "offset": "16777216", "size": "dynamic",
                "iv_tweak": "0", "encryption": "aes-xts-plain64", "sector_size": 4096,
            }},
            "digests": {
                "0": {"type": "pbkdf2", "keyslots": ["0", "1"], "segments": ["0"],
                      "salt": "c2FsdA==", "digest": "ZGlnZXN0"},
                "1": {"type": "pbkdf2", "keyslots": ["2"], "segments": [],
                      "salt": "AA==", "digest": "AAAA"},
            },
            "config": {"json_size": "12288", "keyslots_size": "16744448"},
        })
    }

    fn parsed(value: Value) -> Header {
        serde_json::from_value(value).unwrap()
    }

    /// Why a header is refused that differs in one thing.
    fn refused(change: impl FnOnce(&mut Value)) -> String {
        let mut value = header();
        change(&mut value);
        parsed(value).plan().unwrap_err()
    }

    #[test]
    fn a_usual_one_is_taken() {
        let plan = parsed(header()).plan().unwrap();
        let want = Plan {
            offset: 16 << 20,
            length: None,
            sector: 4096,
            key_size: 64,
            discard: false,
            digest: "c2FsdA== ZGlnZXN0".into(),
        };
        assert_eq!(plan, want);
    }

    #[test]
    fn all_that_can_vary_is_read() {
        let mut value = header();
        let segment = &mut value["segments"]["0"];
        segment["offset"] = json!("33554432");
        segment["size"] = json!("1048576");
        segment["sector_size"] = json!(512);
        value["keyslots"]["0"]["key_size"] = json!(32);
        value["config"]["flags"] = json!(["allow-discards"]);
        value["config"]["requirements"] = json!({});
        let want = Plan {
            offset: 32 << 20,
            length: Some(1 << 20),
            sector: 512,
            key_size: 32,
            discard: true,
            digest: "c2FsdA== ZGlnZXN0".into(),
        };
        assert_eq!(parsed(value).plan().unwrap(), want);
    }

    #[test]
    fn another_key_is_another_plan() {
        let mut value = header();
        let plan = parsed(value.clone()).plan().unwrap();
        // A key slot more is not.
        value["digests"]["0"]["keyslots"] = json!(["0", "1", "5"]);
        assert_eq!(parsed(value.clone()).plan().unwrap(), plan);
        value["digests"]["0"]["digest"] = json!("AAAA");
        assert_ne!(parsed(value).plan().unwrap(), plan);
    }

    #[test]
    fn what_stor_can_not_do_is_refused() {
        let reencrypted =
            "it is being reencrypted; let \"cryptsetup reencrypt --resume-only\" finish that";
        for name in ["online-reencrypt-v2", "offline-reencrypt"] {
            assert_eq!(
                refused(|it| it["config"]["requirements"] = json!({"mandatory": [name]})),
                reencrypted
            );
        }
        assert_eq!(
            refused(|it| it["keyslots"]["3"] = json!({"type": "reencrypt", "key_size": 1})),
            reencrypted
        );
        assert_eq!(
            refused(|it| it["segments"]["0"]["flags"] = json!(["in-reencryption"])),
            reencrypted
        );
        assert_eq!(
            refused(|it| it["config"]["requirements"] = json!({"mandatory": ["opal", "x"]})),
            "it requires opal, x, which stor does not know"
        );
        assert_eq!(
            refused(|it| it["segments"]["1"] = it["segments"]["0"].clone()),
            "its data is in 2 segments, stor takes one"
        );
        assert_eq!(
            refused(|it| it["segments"] = json!({})),
            "its data is in 0 segments, stor takes one"
        );
        assert_eq!(
            refused(|it| it["segments"]["0"] =
                json!({"type": "linear", "offset": "0", "size": "dynamic"})),
            "its data is a segment of type linear, stor takes crypt"
        );
        assert_eq!(
            refused(|it| it["segments"]["0"]["integrity"] = json!({"type": "hmac(sha256)"})),
            "it has integrity protection (hmac(sha256)), which stor does not do"
        );
        let plan = |cipher| {
            let mut value = header();
            value["segments"]["0"]["encryption"] = json!(cipher);
            parsed(value).plan()
        };
        assert_eq!(plan(CAPI_CIPHER), plan(CIPHER));
        for cipher in [
            "serpent-xts-plain64",
            "aes-xts-plain",
            "aes-cbc-essiv:sha256",
        ] {
            assert_eq!(
                refused(|it| it["segments"]["0"]["encryption"] = json!(cipher)),
                format!("its cipher is {cipher}, stor has aes-xts-plain64")
            );
        }
        assert_eq!(
            refused(|it| it["segments"]["0"]["iv_tweak"] = json!("80")),
            "its sectors count from 80 (iv_tweak), stor takes 0"
        );
        for (size, bits) in [(0, 0), (48, 384), (128, 1024)] {
            assert_eq!(
                refused(|it| it["keyslots"]["0"]["key_size"] = json!(size)),
                format!("its key has {bits} bits, stor takes 256 or 512")
            );
        }
        for offset in ["0", "16777215"] {
            assert_eq!(
                refused(|it| it["segments"]["0"]["offset"] = json!(offset)),
                "its header is detached from the data, which stor does not do"
            );
        }
        assert_eq!(
            refused(|it| it["digests"]["0"]["keyslots"] = json!([])),
            "no key slot is left that opens it"
        );
        assert_eq!(
            refused(|it| it["digests"] = json!({})),
            "its header has no digest of the data's key"
        );
    }

    #[test]
    fn numbers_that_are_none_do_no_harm() {
        let why = "its header has something else for a number";
        for key in ["offset", "size"] {
            for text in ["", "-1", "18446744073709551616", "x"] {
                assert_eq!(refused(|it| it["segments"]["0"][key] = json!(text)), why);
            }
        }
        for key in ["json_size", "keyslots_size"] {
            assert_eq!(refused(|it| it["config"][key] = json!("x")), why);
            assert_eq!(
                refused(|it| it["config"][key] = json!("18446744073709551615")),
                "its header is detached from the data, which stor does not do"
            );
        }
    }

    #[test]
    fn slots() {
        let header = parsed(header());
        assert_eq!(header.check_slot(0), Ok(()));
        assert_eq!(header.check_slot(1), Ok(()));
        assert_eq!(
            header.check_slot(2),
            Err("key slot 2 has another key than the data's".into())
        );
        assert_eq!(header.check_slot(3), Err("it has no key slot 3".into()));
    }
}
