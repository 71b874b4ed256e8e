// SPDX-License-Identifier: GPL-2.0

//! A dump of statistics, as another implementation of netlink writes it, put together again.

mod other;

use netlink_packet_core::{DefaultNla, NLM_F_MULTIPART};
use other::{ack, emit, nla, Form};
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use stor_netlink::uapi::*;
use stor_netlink::wire::{self, Exchange, Header, Malformed, Progress};
use stor_netlink::{Counters, Stat, StatAssembly, StatOp, StatStage, StatStatus, Text, Uuid};

const FAMILY: u16 = 0x23;
const SEQ: u32 = 9;
const CHUNK: usize = STOR_STAT_CHUNK as usize;
const BUCKETS: usize = STOR_STAT_BUCKETS as usize;

fn number(kind: u32, value: u32) -> DefaultNla {
    nla(kind, &value.to_ne_bytes())
}

fn long(kind: u32, value: u64) -> DefaultNla {
    nla(kind, &value.to_ne_bytes())
}

/// The volume, and the CPU, that messages are of.
#[derive(Clone, Copy)]
struct Of(u32, Option<u32>);

impl Of {
    fn message(self, more: Vec<DefaultNla>) -> Vec<u8> {
        let Self(index, cpu) = self;
        let mut nlas = vec![
            nla(STOR_A_STAT_NAME, format!("vm{index}\0").as_bytes()),
            nla(STOR_A_STAT_UUID, &[7; 16]),
            number(STOR_A_STAT_INDEX, index),
        ];
        nlas.extend(cpu.map(|cpu| number(STOR_A_STAT_CPU, cpu)));
        nlas.extend(more);
        emit(FAMILY, SEQ, NLM_F_MULTIPART, STOR_CMD_STAT_GET, nlas)
    }

    fn counters(self, op: u32, done: u64) -> Vec<u8> {
        self.message(vec![
            number(STOR_A_STAT_OP, op),
            long(STOR_A_STAT_TIME, 5_000),
            long(STOR_A_STAT_STARTED, done + 2),
            long(STOR_A_STAT_DONE, done),
            long(STOR_A_STAT_BYTES, done * 4096),
        ])
    }

    fn failed(self, status: u32, count: u64) -> Vec<u8> {
        self.message(vec![
            number(STOR_A_STAT_STATUS, status),
            long(STOR_A_STAT_FAILED, count),
        ])
    }

    fn chunk(self, op: u32, stage: u32, first: usize, counts: &[u64]) -> Vec<u8> {
        let counts: Vec<u8> = counts.iter().flat_map(|n| n.to_ne_bytes()).collect();
        self.message(vec![
            number(STOR_A_STAT_OP, op),
            number(STOR_A_STAT_STAGE, stage),
            number(STOR_A_STAT_FIRST_BUCKET, u32::try_from(first).unwrap()),
            nla(STOR_A_STAT_COUNTS, &counts),
        ])
    }

    /// A histogram in the parts in which the module sends it.
    fn histogram(self, op: u32, stage: u32, counts: &[u64]) -> Vec<u8> {
        counts
            .chunks(CHUNK)
            .enumerate()
            .filter(|(_, part)| part.iter().any(|count| *count != 0))
            .flat_map(|(i, part)| self.chunk(op, stage, i * CHUNK, part))
            .collect()
    }
}

fn read(datagrams: &[Vec<u8>]) -> Result<Vec<Stat>, Malformed> {
    let mut exchange = Exchange::new(FAMILY, SEQ);
    let mut assembly = StatAssembly::default();
    for datagram in datagrams {
        assert_eq!(exchange.feed(datagram), Ok(Progress::More));
    }
    let header = Header {
        family: FAMILY,
        seq: SEQ,
    };
    let request = wire::stat_dump(header, None, false).unwrap();
    let done = ack(&request, 0, Form::Done, &[]);
    assert!(matches!(exchange.feed(&done), Ok(Progress::Ended(_))));
    for reply in &exchange.replies {
        assembly.add(wire::decode_stat(reply.attrs())?)?;
    }
    Ok(assembly.finish())
}

#[test]
fn two_volumes() {
    let mut counts = vec![0; BUCKETS];
    counts[3] = 1;
    counts[300] = 20;
    counts[2047] = u64::MAX;
    let (a, b) = (Of(0, None), Of(4, None));
    let stats = read(&[
        [a.counters(0, 21), a.counters(1, 0), a.failed(10, 5)].concat(),
        a.histogram(0, 0, &counts),
        [a.histogram(0, 1, &counts[..256]), b.counters(0, 0)].concat(),
    ])
    .unwrap();
    assert_eq!(stats.len(), 2);
    let (a, b) = (&stats[0], &stats[1]);
    assert_eq!(a.name, Some(Text::from("vm0")));
    assert_eq!(a.key.uuid, Some(Uuid::from_bytes([7; 16])));
    assert_eq!((a.key.index, a.key.cpu), (Some(0), None));
    assert_eq!(a.time, Some(5_000));
    let expected = Counters {
        started: 23,
        done: 21,
        bytes: 21 * 4096,
    };
    assert_eq!(a.ops[&StatOp(0)], expected);
    assert_eq!(a.in_flight(StatOp(1)), 2);
    assert_eq!(a.errors.iter().collect::<Vec<_>>(), [(&StatStatus(10), &5)]);
    let of = |stage| {
        let histogram = a.latency(StatOp(0), StatStage(stage)).unwrap();
        histogram.iter().collect::<Vec<_>>()
    };
    assert_eq!(of(0), [(3, 1), (300, 20), (2047, u64::MAX)]);
    assert_eq!(of(1), [(3, 1)]);
    assert_eq!(a.latency(StatOp(1), StatStage(0)), None);
    assert_eq!(b.key.index, Some(4));
    assert_eq!(b.errors.len() + b.latencies.len(), 0);
}

#[test]
fn each_cpu_by_itself() {
    let (cpu0, cpu1) = (Of(0, Some(0)), Of(0, Some(1)));
    let stats = read(&[
        cpu0.counters(0, 5),
        [cpu1.counters(0, 7), cpu1.failed(0, 1)].concat(),
    ])
    .unwrap();
    let told: Vec<_> = stats
        .iter()
        .map(|stat| (stat.key.cpu, stat.ops[&StatOp(0)].done, stat.errors.len()))
        .collect();
    assert_eq!(told, [(Some(0), 5, 0), (Some(1), 7, 1)]);
}

/// When volumes come and go, a dump may tell of one twice.
#[test]
fn what_is_told_twice_counts_once() {
    let (a, b) = (Of(0, None), Of(1, None));
    let told = [a.counters(0, 5), a.failed(3, 2), a.chunk(0, 0, 7, &[1, 2])].concat();
    let stats = read(&[told.clone(), b.counters(0, 1), told]).unwrap();
    assert_eq!(stats.len(), 2);
    assert_eq!(stats[0].ops[&StatOp(0)].done, 5);
    assert_eq!(stats[0].errors[&StatStatus(3)], 2);
    let histogram = stats[0].latency(StatOp(0), StatStage(0)).unwrap();
    assert_eq!(histogram.iter().collect::<Vec<_>>(), [(7, 1), (8, 2)]);
}

#[test]
fn what_later_modules_tell() {
    let a = Of(0, None);
    let stats = read(&[
        a.counters(77, 3),
        a.failed(78, 4),
        a.chunk(79, 80, 0, &[5]),
        a.message(vec![nla(9999, b"?")]),
        a.message(vec![number(STOR_A_STAT_STAGE, 0), nla(9999, b"?")]),
    ])
    .unwrap();
    assert_eq!(stats.len(), 1);
    assert_eq!(stats[0].ops[&StatOp(77)].done, 3);
    assert_eq!(stats[0].errors[&StatStatus(78)], 4);
    assert!(stats[0].latency(StatOp(79), StatStage(80)).is_some());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let a = Of(0, None);
    for bad in [
        a.chunk(0, 0, BUCKETS, &[1]),
        a.chunk(0, 0, BUCKETS - 1, &[1, 1]),
        a.chunk(0, 0, u32::MAX as usize, &[1, 1]),
        a.message(vec![
            number(STOR_A_STAT_OP, 0),
            number(STOR_A_STAT_STAGE, 0),
            nla(STOR_A_STAT_COUNTS, &[0; 9]),
        ]),
        a.message(vec![nla(STOR_A_STAT_DONE, &[0; 4])]),
    ] {
        assert!(read(&[bad]).is_err());
    }
}

/// As large as it gets: all buckets of all histograms of many volumes.
#[test]
fn a_large_dump() {
    let counts: Vec<u64> = (1..=BUCKETS as u64).collect();
    let datagrams: Vec<_> = (0..50)
        .flat_map(|index| (0..8).map(move |kind| (index, kind / 2, kind % 2)))
        .map(|(index, op, stage)| Of(index, None).histogram(op, stage, &counts))
        .collect();
    let stats = read(&datagrams).unwrap();
    assert_eq!(stats.len(), 50);
    let sum = (BUCKETS * (BUCKETS + 1) / 2) as u64;
    for stat in &stats {
        assert_eq!(stat.latencies.len(), 8);
        assert!(stat.latencies.values().all(|h| h.total() == sum));
    }
}

proptest! {
    #[test]
    fn histograms_arrive_as_they_are(
        hits in prop::collection::btree_map(0..BUCKETS, 1u64.., 0..40),
    ) {
        let mut counts = vec![0; BUCKETS];
        for (bucket, count) in &hits {
            counts[*bucket] = *count;
        }
        let stats = read(&[Of(1, None).histogram(2, 1, &counts)]).unwrap();
        let told: Vec<_> = stats
            .first()
            .and_then(|stat| stat.latency(StatOp(2), StatStage(1)))
            .map(|histogram| histogram.iter().collect())
            .unwrap_or_default();
        prop_assert_eq!(told, hits.into_iter().collect::<Vec<_>>());
    }
}
