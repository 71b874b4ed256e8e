// SPDX-License-Identifier: GPL-2.0

//! What the tool prints, to the letter; and that its JSON is what the schema says.
//!
//! After a change that is meant, `STORADM_BLESS=1 cargo test` writes the files anew.

use std::fs;
use std::path::PathBuf;

use pretty_assertions::assert_eq;
use serde_json::Value;
use stor_netlink::{Info, Selector, Text, Volume, VolumeState};
use storadm::failure::{Failure, Status};
use storadm::json::{
    Deleted, Document, InfoBody, JsonError, JsonEvent, JsonInfo, JsonWarning, OneVolume, Volumes,
};
use storadm::output::{self, Style};

fn check(name: &str, actual: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("STORADM_BLESS").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{name}");
}

fn assert_valid(document: &str) {
    let schema = include_str!("../../schema/storadm-v1.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let document: Value = serde_json::from_str(document).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&document)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(errors, Vec::<String>::new(), "{document}");
}

fn check_json<T: serde::Serialize>(name: &str, body: T) {
    let document = Document::new(body);
    assert_valid(&document.line().unwrap());
    check(name, &(document.pretty().unwrap() + "\n"));
}

fn ordinary() -> Volume {
    Volume {
        name: Some("vm1".into()),
        uuid: Some("4f1c2d3e-5a6b-4c7d-8e9f-0a1b2c3d4e5f".parse().unwrap()),
        index: Some(0),
        backing: Some("/dev/nvme0n1".into()),
        offset: Some(1 << 20),
        length: Some(10 << 30),
        state: Some(VolumeState(0)),
        disk: Some("stor0".into()),
        dev_major: Some(259),
        dev_minor: Some(3),
        backing_disk: Some("nvme0n1".into()),
        backing_major: Some(259),
        backing_minor: Some(0),
        logical_block_size: Some(512),
        physical_block_size: Some(4096),
    }
}

/// As hostile as a name can be, with a state from the future.
fn hostile() -> Volume {
    Volume {
        name: Some("a-much-longer-name.with_all-kin".into()),
        index: Some(12),
        backing: Some(Text::from_nul_padded(
            b"/dev/a\tb\x1b[2J\n\xff\\\xe2\x80\xae",
        )),
        offset: Some(0),
        length: Some(u64::MAX),
        state: Some(VolumeState(9)),
        disk: Some("stor12".into()),
        ..ordinary()
    }
}

fn volumes() -> [Volume; 3] {
    [ordinary(), hostile(), Volume::default()]
}

#[test]
fn lists() {
    let list = |style, bytes| output::volumes(style, bytes, &volumes());
    check("list.terminal", &list(Style::Terminal, false));
    check("list-bytes.terminal", &list(Style::Terminal, true));
    check("list.plain", &list(Style::Plain, false));
    assert_eq!(list(Style::Plain, true), list(Style::Plain, false));
    for line in list(Style::Plain, false).lines() {
        assert_eq!(line.split('\t').count(), 7, "{line}");
    }
    check_json(
        "list.json",
        Volumes {
            volumes: volumes().iter().map(Into::into).collect(),
            interrupted: false,
        },
    );
    assert_eq!(output::volumes(Style::Plain, false, &[]), "");
}

#[test]
fn shows() {
    for (name, volume) in [("show", ordinary()), ("show-hostile", hostile())] {
        for (kind, style) in [("terminal", Style::Terminal), ("plain", Style::Plain)] {
            let text = output::volume(style, false, &volume);
            check(&format!("{name}.{kind}"), &text);
        }
        let volume = (&volume).into();
        check_json(&format!("{name}.json"), OneVolume { volume });
    }
    check(
        "show-bytes.terminal",
        &output::volume(Style::Terminal, true, &ordinary()),
    );
}

/// Plain output and JSON have the same keys in the same order.
#[test]
fn plain_keys_are_json_keys() {
    let volume = ordinary();
    let json = Document::new(OneVolume {
        volume: (&volume).into(),
    });
    let json = json.pretty().unwrap();
    let json_keys: Vec<_> = json
        .lines()
        .filter_map(|line| line.strip_prefix("    \"")?.split('"').next())
        .collect();
    let plain = output::volume(Style::Plain, false, &volume);
    let plain_keys: Vec<_> = plain
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(plain_keys, json_keys);
}

#[test]
fn infos() {
    let info = Info {
        module_version: Some("0.1.0".into()),
        abi_version: Some(1),
        features: Some(0b101),
    };
    for (kind, style) in [("terminal", Style::Terminal), ("plain", Style::Plain)] {
        let text = output::info(style, "1.2.3", &info);
        check(&format!("info.{kind}"), &text);
    }
    for (name, info) in [("info", info), ("info-empty", Info::default())] {
        let info = InfoBody::new("1.2.3", &info);
        check_json(&format!("{name}.json"), JsonInfo { info });
    }
}

#[test]
fn small_documents() {
    for (name, selector) in [
        ("deleted-name.json", Selector::Name("vm1".into())),
        ("deleted-index.json", Selector::Index(3)),
    ] {
        let deleted = (&selector).into();
        check_json(name, Deleted { deleted });
    }
    let volume = hostile();
    for (name, event, volume) in [
        ("event.json", "volume-fail", Some((&volume).into())),
        ("event-lost.json", "lost", None),
    ] {
        let (event, time) = (event.to_owned(), "2026-01-31T23:59:59.000001Z".to_owned());
        check_json(
            name,
            JsonEvent {
                event,
                time,
                volume,
            },
        );
    }
    let failure = Failure {
        errno: Some("EINVAL".into()),
        attribute: Some("offset"),
        ..Failure::new(
            Status::Failed,
            "cannot create volume vm1: offset: 513 is not a multiple of 512 (EINVAL)",
        )
    };
    check_json("error.json", JsonError::from(&failure));
    let warning = "take care";
    check_json("warning.json", JsonWarning { warning });
}

/// Nothing reaches a terminal that could change more than the place where it is shown.
#[test]
fn nothing_hostile_reaches_a_terminal() {
    let volume = hostile();
    let json = Document::new(OneVolume {
        volume: (&volume).into(),
    });
    for text in [
        output::summary(&volume),
        output::volume(Style::Terminal, false, &volume),
        output::volumes(Style::Terminal, false, std::slice::from_ref(&volume)),
        json.pretty().unwrap(),
    ] {
        assert!(
            !text
                .chars()
                .any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'),
            "{text:?}"
        );
    }
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    let schema = include_str!("../../schema/storadm-v1.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for wrong in [
        r#"{}"#,
        r#"{"schema_version":1}"#,
        r#"{"schema_version":2,"warning":"x"}"#,
        r#"{"schema_version":1,"volume":{"name":"vm1"}}"#,
        r#"{"schema_version":1,"error":{"message":1,"errno":null,"attribute":null}}"#,
        r#"{"schema_version":1,"event":"x","time":"now","volume":null}"#,
    ] {
        let wrong: Value = serde_json::from_str(wrong).unwrap();
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}
