// SPDX-License-Identifier: GPL-2.0

//! The document of `stat`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use stor_model::histogram::lower_bound;
use stor_netlink::{StatOp, StatStage, Text};

use crate::cli::StageChoice;
use crate::stat::{Entry, Report};

/// `stat`.
#[derive(Debug, Serialize)]
pub struct JsonStat<'a> {
    /// What there is to tell.
    pub stat: StatBody<'a>,
}

/// What there is to tell of all volumes.
#[derive(Debug, Serialize)]
pub struct StatBody<'a> {
    time: &'a str,
    interrupted: bool,
    volumes: Vec<VolumeStat<'a>>,
}

#[derive(Debug, Serialize)]
struct VolumeStat<'a> {
    name: Option<Cow<'a, str>>,
    uuid: Option<String>,
    index: Option<u32>,
    path: Option<String>,
    cpu: Option<u32>,
    time_ns: Option<u64>,
    elapsed_ns: Option<u64>,
    errors: BTreeMap<String, u64>,
    ops: Vec<OpStat>,
}

#[derive(Debug, Serialize)]
struct OpStat {
    op: String,
    started: u64,
    done: u64,
    bytes: u64,
    in_flight: Option<u64>,
    iops: Option<f64>,
    bytes_per_second: Option<f64>,
    latency: Vec<Latency>,
}

#[derive(Debug, Serialize)]
struct Latency {
    stage: String,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    p50_ns: Option<u64>,
    p90_ns: Option<u64>,
    p99_ns: Option<u64>,
    p99_9_ns: Option<u64>,
    p99_99_ns: Option<u64>,
    p99_999_ns: Option<u64>,
    max_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<Vec<(u64, u64)>>,
}

impl<'a> StatBody<'a> {
    /// Tells what is in `report`, which was read at `time`.
    pub fn new(time: &'a str, report: &'a Report, stages: StageChoice, histogram: bool) -> Self {
        let volume = |entry: &'a Entry| VolumeStat {
            name: entry.stat.name.as_ref().map(Text::lossy),
            uuid: entry.stat.key.uuid.map(|uuid| uuid.to_string()),
            index: entry.stat.key.index,
            path: entry
                .stat
                .key
                .index
                .map(|index| format!("/dev/stor{index}")),
            cpu: entry.stat.key.cpu,
            time_ns: entry.stat.time,
            elapsed_ns: entry.elapsed,
            errors: entry
                .stat
                .errors
                .iter()
                .map(|(status, count)| (status.to_string(), *count))
                .collect(),
            ops: entry
                .ops()
                .into_iter()
                .map(|op| OpStat::new(entry, op, stages, histogram))
                .collect(),
        };
        Self {
            time,
            interrupted: report.interrupted,
            volumes: report.entries.iter().map(volume).collect(),
        }
    }
}

impl OpStat {
    fn new(entry: &Entry, op: StatOp, stages: StageChoice, histogram: bool) -> Self {
        let counters = entry.stat.ops.get(&op).copied().unwrap_or_default();
        Self {
            op: op.to_string(),
            started: counters.started,
            done: counters.done,
            bytes: counters.bytes,
            in_flight: entry.in_flight(op),
            iops: entry.rate(counters.done),
            bytes_per_second: entry.rate(counters.bytes),
            latency: entry
                .stages(op, stages)
                .into_iter()
                .map(|stage| Latency::new(entry, op, stage, histogram))
                .collect(),
        }
    }
}

impl Latency {
    fn new(entry: &Entry, op: StatOp, stage: StatStage, histogram: bool) -> Self {
        let summary = entry.summary(op, stage);
        let [p50_ns, p90_ns, p99_ns, p99_9_ns, p99_99_ns, p99_999_ns] = summary.percentiles;
        let buckets = || {
            let counted = entry.stat.latency(op, stage);
            counted
                .into_iter()
                .flat_map(|counted| counted.iter())
                .map(|(bucket, count)| (lower_bound(bucket), count))
                .collect()
        };
        Self {
            stage: stage.to_string(),
            count: summary.count,
            bytes: entry.stat.worked.get(&(op, stage)).copied(),
            p50_ns,
            p90_ns,
            p99_ns,
            p99_9_ns,
            p99_99_ns,
            p99_999_ns,
            max_ns: summary.max,
            histogram: histogram.then(buckets),
        }
    }
}
