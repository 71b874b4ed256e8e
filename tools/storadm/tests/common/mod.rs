// SPDX-License-Identifier: GPL-2.0

//! What golden tests share: the files, and volumes to show.

#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;
use serde_json::Value;
use stor_model::histogram::bucket;
use stor_netlink::{
    Counters, CryptoEngine, Stat, StatOp, StatStage, StatStatus, Text, Volume, VolumeState,
};
use storadm::json::Document;
use storadm::stat::Reading;

/// Compares with a golden file.
pub fn check(name: &str, actual: &str) {
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
    let schema = include_str!("../../../schema/storadm-v1.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let document: Value = serde_json::from_str(document).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&document)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(errors, Vec::<String>::new(), "{document}");
}

/// Compares a document with a golden file, and with the schema.
pub fn check_json<T: serde::Serialize>(name: &str, body: T) {
    let document = Document::new(body);
    assert_valid(&document.line().unwrap());
    check(name, &(document.pretty().unwrap() + "\n"));
}

/// A volume that is well.
pub fn ordinary() -> Volume {
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
        read_only: Some(false),
        gate_count: Some(0),
        gate_last: Some(0),
        gate_longest: Some(0),
        ..Volume::default()
    }
}

/// One that is encrypted, by a slow cipher.
pub fn encrypted() -> Volume {
    Volume {
        key: Some("logon:stor:vm1".into()),
        cipher: Some("aes-xts-plain64".into()),
        cipher_driver: Some("xts(ecb-aes-lib)".into()),
        cipher_slow: Some(true),
        key_size: Some(512),
        crypto_sector: Some(4096),
        iv_offset: Some(8),
        iv_large_sectors: Some(false),
        discard: Some(true),
        crypto_engine: Some(CryptoEngine::SOFTWARE),
        logical_block_size: Some(4096),
        ..ordinary()
    }
}

/// One that the backing's hardware encrypts.
pub fn handed_on() -> Volume {
    Volume {
        cipher_driver: None,
        cipher_slow: None,
        iv_large_sectors: Some(true),
        crypto_engine: Some(CryptoEngine::BLK_CRYPTO),
        crypto_native: Some(true),
        ..encrypted()
    }
}

/// As hostile as a name can be, with a state from the future.
pub fn hostile() -> Volume {
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
        read_only: Some(true),
        gate_count: Some(1000),
        gate_last: Some(812_345),
        gate_longest: Some(u64::MAX),
        ..ordinary()
    }
}

/// Adds I/Os of 4 KiB, each with how many there are and how long they took in both stages.
fn add(stat: &mut Stat, op: StatOp, ios: &[(u64, u64, u64)]) {
    let done: u64 = ios.iter().map(|(count, _, _)| count).sum();
    let counters = stat.ops.entry(op).or_default();
    counters.started += done;
    counters.done += done;
    counters.bytes += match op {
        StatOp::READ | StatOp::WRITE => done * 4096,
        _ => 0,
    };
    for (stage, pick) in [
        (StatStage::TOTAL, (|io| io.1) as fn(&(u64, u64, u64)) -> u64),
        (StatStage::LOWER, |io| io.2),
    ] {
        let histogram = stat.latencies.entry((op, stage)).or_default();
        for io in ios {
            let at = bucket(pick(io));
            let before = histogram
                .iter()
                .find(|(b, _)| *b == at)
                .map_or(0, |(_, n)| n);
            assert!(histogram.set(at, before + io.0));
        }
    }
}

/// What a volume has done at first, and a second later.
pub fn stat(volume: &Volume, later: bool) -> Stat {
    let mut stat = Stat {
        name: volume.name.clone(),
        time: Some(if later {
            61_000_250_000
        } else {
            60_000_000_000
        }),
        ..Stat::default()
    };
    stat.key.index = volume.index;
    stat.key.uuid = volume.uuid;
    for op in StatOp::all() {
        stat.ops.insert(op, Counters::default());
    }
    let reads = [
        (90_000, 81_000, 78_000),
        (9_000, 120_000, 115_000),
        (990, 450_000, 440_000),
        (9, 2_100_000, 2_050_000),
        (1, 30_500_000, 30_400_000),
    ];
    add(&mut stat, StatOp::READ, &reads);
    add(
        &mut stat,
        StatOp::WRITE,
        &[(5_000, 21_000, 18_500), (12, 95_000, 90_000)],
    );
    add(&mut stat, StatOp(2), &[(40, 1_200_000, 1_190_000)]);
    stat.errors.insert(StatStatus(7), 2);
    if later {
        add(
            &mut stat,
            StatOp::READ,
            &[(1_900, 82_000, 79_000), (3, 910_000, 900_000)],
        );
        add(&mut stat, StatOp::WRITE, &[(24, 20_000, 17_000)]);
        stat.errors.insert(StatStatus(10), 1);
        stat.ops.get_mut(&StatOp::READ).unwrap().started += 16;
    }
    stat
}

/// A volume that did nothing.
pub fn idle(later: bool) -> Stat {
    let mut stat = Stat {
        name: Some("idle".into()),
        time: Some(if later {
            61_000_260_000
        } else {
            60_000_010_000
        }),
        ..Stat::default()
    };
    stat.key.index = Some(3);
    for op in StatOp::all() {
        stat.ops.insert(op, Counters::default());
    }
    stat
}

/// What was read at `start`, or a second later.
pub fn reading(start: Instant, later: bool, stats: Vec<Stat>) -> Reading {
    Reading {
        at: start + Duration::from_secs(u64::from(later)),
        stats,
        interrupted: false,
    }
}
