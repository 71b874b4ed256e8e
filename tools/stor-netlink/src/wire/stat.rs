// SPDX-License-Identifier: GPL-2.0

//! The messages that tell what volumes have done.

use super::{attrs, Malformed};
use crate::stat::{Counters, StatKey, StatOp, StatStage, StatStatus};
use crate::text::Text;
use crate::uapi::*;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatRecord {
    /// Whose it is.
    pub key: StatKey,
    /// Name of the volume.
    pub name: Option<Text>,
    /// What it tells.
    pub part: StatPart,
}

/// What one message tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatPart {
    /// The counters of an op.
    Counters {
        /// The op.
        op: StatOp,
        /// When they were read.
        time: Option<u64>,
        /// The counters.
        counters: Counters,
    },
    /// How many I/Os failed in one way.
    Errors {
        /// The way.
        status: StatStatus,
        /// How many.
        count: u64,
    },
    /// A part of a histogram.
    Latencies {
        /// The op.
        op: StatOp,
        /// The stage.
        stage: StatStage,
        /// Number of the first bucket.
        first: usize,
        /// The count of each bucket from there on.
        counts: Vec<u64>,
    },
    /// How many bytes a stage has worked on.
    Worked {
        /// The op.
        op: StatOp,
        /// The stage.
        stage: StatStage,
        /// How many.
        bytes: u64,
    },
    /// Something that a later module has to tell.
    Unknown,
}

/// Decodes the attributes of a message of `stat-get`.
pub fn decode_stat(bytes: &[u8]) -> Result<StatRecord, Malformed> {
    let mut key = StatKey::default();
    let mut name = None;
    let (mut op, mut stage, mut status) = (None, None, None);
    let (mut time, mut first, mut failed) = (None, 0, None);
    let (mut counters, mut worked, mut counts) = (Counters::default(), None, None);
    for attr in attrs(bytes) {
        let attr = attr?;
        match attr.kind {
            STOR_A_STAT_NAME => name = Some(attr.text()),
            STOR_A_STAT_UUID => key.uuid = Some(attr.uuid()?),
            STOR_A_STAT_INDEX => key.index = Some(attr.u32()?),
            STOR_A_STAT_CPU => key.cpu = Some(attr.u32()?),
            STOR_A_STAT_TIME => time = Some(attr.u64()?),
            STOR_A_STAT_OP => op = Some(StatOp(attr.u32()?)),
            STOR_A_STAT_STARTED => counters.started = attr.u64()?,
            STOR_A_STAT_DONE => counters.done = attr.u64()?,
            STOR_A_STAT_BYTES => worked = Some(attr.u64()?),
            STOR_A_STAT_STAGE => stage = Some(StatStage(attr.u32()?)),
            STOR_A_STAT_FIRST_BUCKET => {
                first =
                    usize::try_from(attr.u32()?).map_err(|_| Malformed("number of a bucket"))?;
            }
            STOR_A_STAT_COUNTS => counts = Some(attr.u64s()?.collect()),
            STOR_A_STAT_STATUS => status = Some(StatStatus(attr.u32()?)),
            STOR_A_STAT_FAILED => failed = Some(attr.u64()?),
            _ => {}
        }
    }
    counters.bytes = worked.unwrap_or(0);
    let part = match (op, stage, counts, status, failed) {
        (Some(op), Some(stage), Some(counts), _, _) => StatPart::Latencies {
            op,
            stage,
            first,
            counts,
        },
        (Some(op), Some(stage), None, None, None) => match worked {
            Some(bytes) => StatPart::Worked { op, stage, bytes },
            None => StatPart::Unknown,
        },
        (_, _, _, Some(status), Some(count)) => StatPart::Errors { status, count },
        (Some(op), None, None, None, None) => StatPart::Counters { op, time, counters },
        _ => StatPart::Unknown,
    };
    Ok(StatRecord { key, name, part })
}
