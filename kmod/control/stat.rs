// SPDX-License-Identifier: GPL-2.0

//! The dump of what volumes have done.

use super::{message::selector, registry::REGISTRY};
use crate::{
    front::Volume,
    io::stat::{next_cpu, now, Counters, Stat, Work, OPS, STAGES, STATUSES},
    kapi::{
        genl::{Dump, Writer},
        sys::uapi::*,
    },
    model::{attrs::Attrs, cursor::Cursor, histogram::BUCKETS, refusal::Refusal, select::Selector},
};
use kernel::{prelude::*, sync::Arc};

/// Buckets that one message carries at most.
const CHUNK: usize = STOR_STAT_CHUNK as usize;
/// Messages of one histogram at most.
const CHUNKS: usize = BUCKETS / CHUNK;

// What is asked for has the same numbers as where a volume is, so that they are read, and blamed,
// by the same code.
const _: () = {
    assert!(STOR_A_STAT_NAME == STOR_A_VOLUME_NAME);
    assert!(STOR_A_STAT_UUID == STOR_A_VOLUME_UUID);
    assert!(STOR_A_STAT_INDEX == STOR_A_VOLUME_INDEX);
};

/// One message.
enum Part {
    /// Counters of an op.
    Op(usize),
    /// I/Os that failed with a status.
    Failed(usize),
    /// Bytes that were worked on.
    Worked(Work),
    /// A part of a histogram, from a bucket on.
    Histogram(usize, usize, usize),
}

/// The messages of a volume or of one CPU of it, in their order.
fn part(step: usize) -> Option<Part> {
    if step < OPS {
        return Some(Part::Op(step));
    }
    let step = step - OPS;
    if step < STATUSES {
        return Some(Part::Failed(step));
    }
    let step = step - STATUSES;
    if let Some(&work) = Work::ALL.get(step) {
        return Some(Part::Worked(work));
    }
    let step = step - Work::ALL.len();
    let (histogram, chunk) = (step / CHUNKS, step % CHUNKS);
    let (op, stage) = (histogram / STAGES, histogram % STAGES);
    (op < OPS).then_some(Part::Histogram(op, stage, chunk * CHUNK))
}

/// Goes on with a dump.
pub(super) fn dump(dump: &mut Dump<'_>) -> Result {
    let attrs = dump.attrs();
    let wanted = wanted(attrs).map_err(|refusal| dump.refuse(&refusal))?;
    let per_cpu = attrs.get(STOR_A_STAT_PER_CPU as u16).is_some();
    let mut at = Cursor::unpack(*dump.cursor() as u64);
    while let Some(volume) = next_volume(&wanted, at.volume) {
        let index = volume.identity().index;
        if index != at.volume {
            at = Cursor::at(index);
        }
        if let Some(stat) = volume.stat() {
            if !one_volume(dump, &volume, stat, per_cpu, &mut at) {
                // The reader's buffer is full, and the next call goes on here; unless it is too
                // small for a single message, when that call would find no more room either.
                return if dump.written() == 0 {
                    Err(EMSGSIZE)
                } else {
                    Ok(())
                };
            }
        }
        at = Cursor::at(index + 1);
        *dump.cursor() = at.pack() as c_ulong;
    }
    Ok(())
}

/// The volume that was asked for, if it is one.
fn wanted(attrs: Attrs<'_>) -> Result<Option<Selector>, Refusal> {
    let named = [STOR_A_STAT_NAME, STOR_A_STAT_UUID, STOR_A_STAT_INDEX];
    if named.iter().all(|&kind| attrs.get(kind as u16).is_none()) {
        return Ok(None);
    }
    let selector = selector(attrs)?;
    REGISTRY.lock().find(&selector)?;
    Ok(Some(selector))
}

fn next_volume(wanted: &Option<Selector>, from: u32) -> Option<Arc<Volume>> {
    let registry = REGISTRY.lock();
    let found = registry.visible_from(from).find(|volume| {
        let identity = volume.identity();
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted.matches(&identity.name, &identity.uuid, identity.index))
    });
    found.cloned()
}

/// Adds what is left of a volume; false if there is no room for all of it.
fn one_volume(
    dump: &mut Dump<'_>,
    volume: &Volume,
    stat: &Stat,
    per_cpu: bool,
    at: &mut Cursor,
) -> bool {
    loop {
        let cpu = if per_cpu {
            let Some(cpu) = next_cpu(at.cpu) else {
                return true;
            };
            if cpu != at.cpu {
                at.cpu = cpu;
                at.step = 0;
            }
            Some(cpu)
        } else {
            None
        };
        while let Some(part) = part(at.step as usize) {
            if !one_part(dump, volume, stat, cpu, part) {
                return false;
            }
            at.step += 1;
            *dump.cursor() = at.pack() as c_ulong;
        }
        if !per_cpu {
            return true;
        }
        at.cpu += 1;
        at.step = 0;
    }
}

/// Adds a message, unless it would say nothing; false if there is no room for it.
fn one_part(
    dump: &mut Dump<'_>,
    volume: &Volume,
    stat: &Stat,
    cpu: Option<u32>,
    part: Part,
) -> bool {
    let counters = || volume.counters(cpu).unwrap_or_else(Counters::none);
    match part {
        Part::Op(op) => {
            let time = now();
            let counters = counters();
            dump.entry(STOR_CMD_STAT_GET, |message| {
                head(message, volume, cpu)?;
                message.put_u64(STOR_A_STAT_TIME, time)?;
                message.put_u32(STOR_A_STAT_OP, op as u32)?;
                message.put_u64(STOR_A_STAT_STARTED, counters.started()[op])?;
                message.put_u64(STOR_A_STAT_DONE, counters.done()[op])?;
                message.put_u64(STOR_A_STAT_BYTES, counters.bytes()[op])
            })
        }
        Part::Failed(status) => {
            let failed = counters().failed()[status];
            failed == 0
                || dump.entry(STOR_CMD_STAT_GET, |message| {
                    head(message, volume, cpu)?;
                    message.put_u32(STOR_A_STAT_STATUS, status as u32)?;
                    message.put_u64(STOR_A_STAT_FAILED, failed)
                })
        }
        Part::Worked(work) => {
            let bytes = counters().worked(work);
            let (op, stage) = work.op_and_stage();
            bytes == 0
                || dump.entry(STOR_CMD_STAT_GET, |message| {
                    head(message, volume, cpu)?;
                    message.put_u32(STOR_A_STAT_OP, op)?;
                    message.put_u32(STOR_A_STAT_STAGE, stage)?;
                    message.put_u64(STOR_A_STAT_BYTES, bytes)
                })
        }
        Part::Histogram(op, stage, first) => {
            let mut counts = [0; CHUNK];
            stat.histogram(cpu, op, stage, first, &mut counts);
            let Some(begin) = counts.iter().position(|&count| count != 0) else {
                return true;
            };
            let end = counts.iter().rposition(|&count| count != 0);
            let counts = counts
                .get(begin..end.map_or(begin, |end| end + 1))
                .unwrap_or_default();
            dump.entry(STOR_CMD_STAT_GET, |message| {
                head(message, volume, cpu)?;
                message.put_u32(STOR_A_STAT_OP, op as u32)?;
                message.put_u32(STOR_A_STAT_STAGE, stage as u32)?;
                message.put_u32(STOR_A_STAT_FIRST_BUCKET, (first + begin) as u32)?;
                message.put_u64s(STOR_A_STAT_COUNTS, counts)
            })
        }
    }
}

/// What every message says: whose it is.
fn head(message: &mut Writer<'_>, volume: &Volume, cpu: Option<u32>) -> Result {
    let identity = volume.identity();
    message.put_string(STOR_A_STAT_NAME, identity.name.as_bytes())?;
    message.put_bytes(STOR_A_STAT_UUID, &identity.uuid)?;
    message.put_u32(STOR_A_STAT_INDEX, identity.index)?;
    match cpu {
        Some(cpu) => message.put_u32(STOR_A_STAT_CPU, cpu),
        None => Ok(()),
    }
}
