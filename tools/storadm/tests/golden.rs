// SPDX-License-Identifier: GPL-2.0

//! What the tool prints, to the letter; and that its JSON is what the schema says.
//!
//! After a change that is meant, `STORADM_BLESS=1 cargo test` writes the files anew.

mod common;

use std::time::Instant;

use common::{check, check_json, encrypted, handed_on, hostile, idle, ordinary, reading, stat};
use pretty_assertions::assert_eq;
use serde_json::Value;
use stor_netlink::uapi::STOR_VOLUME_STATE_LOCKED;
use stor_netlink::{
    Info, Selector, StatOp, StatStage, StatStatus, Volume, VolumeLock, VolumeState,
};
use storadm::cli::StageChoice;
use storadm::failure::{Failure, Status};
use storadm::json::{
    Deleted, Document, InfoBody, JsonError, JsonEvent, JsonInfo, JsonKey, JsonStat, JsonWarning,
    Keys, OneKey, OneVolume, RemovedKey, StatBody, Volumes,
};
use storadm::output::{self, Style};
use storadm::stat::{plain, terminal, Report};

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
        assert_eq!(line.split('\t').count(), 11, "{line}");
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
    for (name, volume) in [
        ("show", ordinary()),
        ("show-hostile", hostile()),
        ("show-encrypted", encrypted()),
        (
            "show-locked",
            Volume {
                state: Some(VolumeState(STOR_VOLUME_STATE_LOCKED)),
                lock: Some(VolumeLock::HOLD),
                ..encrypted()
            },
        ),
        ("show-handed-on", handed_on()),
    ] {
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
        features: Some(0b1000_0111),
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
    let name = "logon:stor:vm1";
    check_json("key.json", OneKey { key: name });
    check_json("key-removed.json", RemovedKey { removed_key: name });
    let keys = vec![JsonKey { name, uid: 0 }];
    check_json("keys.json", Keys { keys });
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

/// What is shown at once, and of an interval.
fn reports() -> [(&'static str, Report); 2] {
    let (start, volume) = (Instant::now(), ordinary());
    let before = reading(start, false, vec![stat(&volume, false), idle(false)]);
    let after = reading(start, true, vec![stat(&volume, true), idle(true)]);
    [
        ("stat", Report::since_made(&after)),
        ("stat-interval", Report::between(&before, &after)),
    ]
}

const TIME: &str = "2026-01-31T23:59:59.000001Z";

#[test]
fn stats() {
    for (name, report) in reports() {
        let total = StageChoice::Total;
        check(&format!("{name}.terminal"), &terminal(&report, total));
        let lines = plain(TIME, &report, total);
        assert!(lines.lines().all(|line| line.split('\t').count() == 20));
        check(&format!("{name}.plain"), &lines);
        let stat = StatBody::new(TIME, &report, total, false);
        check_json(&format!("{name}.json"), JsonStat { stat });
    }
    let [_, (_, report)] = reports();
    check("stat-all.terminal", &terminal(&report, StageChoice::All));
    check("stat-all.plain", &plain(TIME, &report, StageChoice::All));
    let stat = StatBody::new(TIME, &report, StageChoice::Lower, true);
    check_json("stat-histogram.json", JsonStat { stat });
    let nothing = Report {
        entries: Vec::new(),
        interrupted: false,
    };
    let all = StageChoice::All;
    assert_eq!(terminal(&nothing, all), "no volumes\n");
    assert_eq!(plain(TIME, &nothing, all), "");
}

/// Data that is encrypted on its way: only what was done of it has lines.
#[test]
fn encrypted_stats() {
    let volume = encrypted();
    let readings = [false, true].map(|later| {
        let mut stat = stat(&volume, later);
        let kinds = [
            (StatOp::WRITE, StatStage::SEAL, 5_012),
            (StatOp::READ, StatStage::OPEN, 99_999),
        ];
        for (kind, count) in kinds.map(|(op, stage, count)| ((op, stage), count)) {
            let count = count + if later { 100 } else { 0 };
            stat.worked.insert(kind, count * 4096);
            let histogram = stat.latencies.entry(kind).or_default();
            assert!(histogram.set(300, count));
        }
        reading(Instant::now(), later, vec![stat])
    });
    let all = Report::since_made(&readings[1]);
    let interval = Report::between(&readings[0], &readings[1]);
    let shown = [&all, &interval].map(|report| terminal(report, StageChoice::All));
    check("stat-encrypted.terminal", &shown.join("\n"));
    check(
        "stat-encrypted.plain",
        &plain(TIME, &all, StageChoice::Seal),
    );
    let stat = StatBody::new(TIME, &interval, StageChoice::Open, false);
    check_json("stat-encrypted.json", JsonStat { stat });
    let [(_, report), _] = reports();
    let shown = terminal(&report, StageChoice::Open);
    assert!(shown.contains(", nothing was decrypted\n"), "{shown}");
}

/// One CPU, a latency beyond all buckets, and what only a later module tells.
#[test]
fn strange_stats() {
    let mut strange = stat(&hostile(), false);
    strange.key.cpu = Some(3);
    strange.time = None;
    strange.name = Some("a\x1b[2J\tb".into());
    strange.ops.insert(StatOp(9), strange.ops[&StatOp::READ]);
    strange.errors.insert(StatStatus(77), u64::MAX);
    let histogram = strange
        .latencies
        .entry((StatOp(9), StatStage(5)))
        .or_default();
    assert!(histogram.set(2047, 1));
    let report = Report::since_made(&reading(Instant::now(), false, vec![strange]));
    check(
        "stat-strange.terminal",
        &terminal(&report, StageChoice::All),
    );
    check(
        "stat-strange.plain",
        &plain(TIME, &report, StageChoice::All),
    );
    let stat = StatBody::new(TIME, &report, StageChoice::All, false);
    check_json("stat-strange.json", JsonStat { stat });
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
        r#"{"schema_version":1,"stat":{"time":"2026-01-31T23:59:59.000001Z","interrupted":false}}"#,
        r#"{"schema_version":1,"stat":{"time":"2026-01-31T23:59:59.000001Z","interrupted":false,"volumes":[{}]}}"#,
    ] {
        let wrong: Value = serde_json::from_str(wrong).unwrap();
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}
