// SPDX-License-Identifier: GPL-2.0

//! Reports as text: for people, and for programs that read lines.

use stor_model::histogram::{lower_bound, BUCKETS};
use stor_netlink::{Counters, Stat, StatOp, StatStage};

use super::{Entry, Report, Summary, PERCENTILES};
use crate::cli::StageChoice;
use crate::duration::human_duration;
use crate::size::human_size;
use crate::table::{aligned, tabbed, Align};

const UNKNOWN: &str = "-";

fn known(value: Option<impl ToString>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

fn name(stat: &Stat) -> String {
    known(stat.name.as_ref().map(|name| name.escape()))
}

/// Path of a volume's disk.
pub fn path(stat: &Stat) -> String {
    known(stat.key.index.map(|index| format!("/dev/stor{index}")))
}

/// A latency for people; the last bucket has no end.
fn human_latency(nanos: u64) -> String {
    match nanos {
        u64::MAX => format!(">{}", human_duration(lower_bound(BUCKETS - 1))),
        nanos => human_duration(nanos),
    }
}

/// A number of things a second, for people.
pub fn human_rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        _ if rate < 99.95 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

/// A number of bytes a second, for people.
// Never negative, and what is beyond 64 bits becomes the most that they hold.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn human_bytes(rate: f64) -> String {
    human_size(rate.round() as u64)
}

/// Which errors there were, for people; empty without any.
pub fn errors(stat: &Stat) -> String {
    let errors = stat.errors.iter();
    errors
        .filter(|(status, count)| status.is_error() && **count > 0)
        .map(|(status, count)| format!("{count} {status}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A table for each volume that did something, and a line for each other.
pub fn terminal(report: &Report, stages: StageChoice) -> String {
    if report.entries.is_empty() {
        return "no volumes\n".to_owned();
    }
    let entries = report.entries.iter();
    let blocks: Vec<_> = entries.map(|entry| block(entry, stages)).collect();
    blocks.join("\n")
}

fn block(entry: &Entry, stages: StageChoice) -> String {
    let mut title = format!("{}: {}", name(&entry.stat), path(&entry.stat));
    if let Some(cpu) = entry.stat.key.cpu {
        title.push_str(&format!(", CPU {cpu}"));
    }
    let errors = errors(&entry.stat);
    if !errors.is_empty() {
        title.push_str(&format!(", errors: {errors}"));
    }
    let rows: Vec<_> = entry
        .ops()
        .into_iter()
        .filter(|op| is_busy(entry, *op))
        .flat_map(|op| rows(entry, op, stages))
        .collect();
    if rows.is_empty() {
        return title
            + match stages {
                StageChoice::Seal => ", nothing was encrypted\n",
                StageChoice::Open => ", nothing was decrypted\n",
                _ => ", no I/O\n",
            };
    }
    let (ios, bytes) = match entry.elapsed {
        None => ("IOS", "BYTES"),
        Some(_) => ("IOPS", "BYTES/S"),
    };
    let mut header = [("", Align::Right); 12];
    header[0] = ("OP", Align::Left);
    header[1].0 = ios;
    header[2].0 = bytes;
    header[3].0 = "IN FLIGHT";
    header[4] = ("STAGE", Align::Left);
    for (column, percentile) in header[5..].iter_mut().zip(PERCENTILES) {
        column.0 = percentile.title;
    }
    header[11].0 = "max";
    format!("{title}\n{}", aligned(header, &rows))
}

fn is_busy(entry: &Entry, op: StatOp) -> bool {
    let counters = entry.stat.ops.get(&op).copied().unwrap_or_default();
    counters != Counters::default() || entry.in_flight(op).unwrap_or(0) > 0
}

/// A row for each stage; only in the first is what all of them share, and beside those that work on
/// data is on how much.
fn rows(entry: &Entry, op: StatOp, stages: StageChoice) -> Vec<[String; 12]> {
    let counters = entry.stat.ops.get(&op).copied().unwrap_or_default();
    let (ios, bytes) = match entry.elapsed {
        None => (counters.done.to_string(), human_size(counters.bytes)),
        Some(_) => (
            known(entry.rate(counters.done).map(human_rate)),
            known(entry.rate(counters.bytes).map(human_bytes)),
        ),
    };
    let mut shared = [ios, bytes, known(entry.in_flight(op))];
    let mut rows = Vec::new();
    for stage in entry.stages(op, stages) {
        let [ios, mut bytes, in_flight] = std::mem::take(&mut shared);
        if let Some(worked) = entry.stat.worked.get(&(op, stage)).copied() {
            bytes = match entry.elapsed {
                None => human_size(worked),
                Some(_) => known(entry.rate(worked).map(human_bytes)),
            };
        }
        let [p0, p1, p2, p3, p4, p5, max] = latencies(&entry.summary(op, stage));
        let (op, stage) = (op.to_string(), stage.to_string());
        rows.push([
            op, ios, bytes, in_flight, stage, p0, p1, p2, p3, p4, p5, max,
        ]);
    }
    rows
}

/// The percentiles and the longest, for people.
pub fn latencies(summary: &Summary) -> [String; PERCENTILES.len() + 1] {
    std::array::from_fn(|i| {
        let latency = summary.percentiles.get(i).unwrap_or(&summary.max);
        known(latency.map(human_latency))
    })
}

/// A line for each volume, op and stage.
pub fn plain(time: &str, report: &Report, stages: StageChoice) -> String {
    let mut rows = Vec::new();
    for entry in &report.entries {
        for op in entry.ops() {
            for stage in entry.stages(op, stages) {
                rows.push(fields(time, entry, op, stage));
            }
        }
    }
    tabbed(&rows)
}

fn fields(time: &str, entry: &Entry, op: StatOp, stage: StatStage) -> [String; 20] {
    let counters = entry.stat.ops.get(&op).copied().unwrap_or_default();
    let summary = entry.summary(op, stage);
    let worked = entry.stat.worked.get(&(op, stage)).copied();
    let bytes = worked.unwrap_or(counters.bytes);
    let [p0, p1, p2, p3, p4, p5] = summary.percentiles.map(known);
    [
        time.to_owned(),
        name(&entry.stat),
        path(&entry.stat),
        known(entry.stat.key.cpu),
        op.to_string(),
        stage.to_string(),
        known(entry.elapsed),
        counters.done.to_string(),
        bytes.to_string(),
        known(entry.rate(counters.done)),
        known(entry.rate(bytes)),
        known(entry.in_flight(op)),
        entry.failed().to_string(),
        p0,
        p1,
        p2,
        p3,
        p4,
        p5,
        known(summary.max),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn rates_for_people() {
        for (rate, text) in [
            (0.0, "0"),
            (0.04, "0.0"),
            (1.25, "1.2"),
            (99.94, "99.9"),
            (99.96, "100"),
            (123_456.7, "123457"),
        ] {
            assert_eq!(human_rate(rate), text);
        }
        assert_eq!(human_bytes(1536.4), "1.5KiB");
        assert_eq!(human_bytes(f64::MAX), "16EiB");
    }

    #[test]
    fn what_is_too_long_has_no_edge() {
        assert_eq!(human_latency(u64::MAX), ">136s");
        assert_eq!(human_latency(1500), "1.5us");
    }
}
