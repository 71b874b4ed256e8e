// SPDX-License-Identifier: GPL-2.0

//! What is counted of a volume: I/Os, bytes, failures, and histograms of latencies.
//!
//! Every CPU has counters of its own, so that counting takes no lock and writes to no memory that
//! another CPU writes to.

use super::pdu::{Status, OP_MASK};
use crate::{
    kapi::sys::{c, uapi::*},
    model::histogram::{bucket, BUCKETS},
};
use kernel::{bindings, error::to_result, prelude::*, types::Opaque};

/// Kinds of I/O that are counted apart (`stor-stat-op`).
pub(crate) const OPS: usize = c::STOR_STAT_OPS as usize;
/// Parts of the path that have a histogram (`stor-stat-stage`).
pub(crate) const STAGES: usize = c::STOR_STAT_STAGES as usize;
/// Ways to fail that are counted apart (`stor-stat-status`).
pub(crate) const STATUSES: usize = c::STOR_STAT_STATUSES as usize;

// What the interface says, the shim and the model must say too.
const _: () = {
    assert!(STOR_STAT_BUCKETS as usize == BUCKETS);
    assert!(stor_stat_op_STOR_STAT_OP_READ == bindings::req_op_REQ_OP_READ);
    assert!(stor_stat_op_STOR_STAT_OP_WRITE == bindings::req_op_REQ_OP_WRITE);
    assert!(stor_stat_op_STOR_STAT_OP_FLUSH == bindings::req_op_REQ_OP_FLUSH);
    assert!(stor_stat_op_STOR_STAT_OP_DISCARD == bindings::req_op_REQ_OP_DISCARD);
    assert!(stor_stat_op_STOR_STAT_OP_DISCARD as usize + 1 == OPS);
    assert!(stor_stat_stage_STOR_STAT_STAGE_LOWER == 1);
    assert!(stor_stat_stage_STOR_STAT_STAGE_SEAL == 2 + Work::Encrypt as u32);
    assert!(stor_stat_stage_STOR_STAT_STAGE_OPEN == 2 + Work::Decrypt as u32);
    assert!(stor_stat_stage_STOR_STAT_STAGE_OPEN as usize + 1 == STAGES);
    assert!(stor_stat_status_STOR_STAT_STATUS_OFFLINE as usize + 1 == STATUSES);
};

/// What is done to data.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// Writes are encrypted.
    Encrypt = c::stor_stat_work_STOR_STAT_ENCRYPTING as isize,
    /// Reads are decrypted.
    Decrypt = c::stor_stat_work_STOR_STAT_DECRYPTING as isize,
}

impl Work {
    /// All of it.
    pub(crate) const ALL: [Self; 2] = [Self::Encrypt, Self::Decrypt];

    /// The interface's numbers for the ops that it is done for, and for itself.
    pub(crate) fn op_and_stage(self) -> (u32, u32) {
        match self {
            Self::Encrypt => (
                stor_stat_op_STOR_STAT_OP_WRITE,
                stor_stat_stage_STOR_STAT_STAGE_SEAL,
            ),
            Self::Decrypt => (
                stor_stat_op_STOR_STAT_OP_READ,
                stor_stat_stage_STOR_STAT_STAGE_OPEN,
            ),
        }
    }
}

/// Nanoseconds since boot, as `CLOCK_MONOTONIC` counts them.
#[inline]
pub(crate) fn now() -> u64 {
    // SAFETY: May be called in any context.
    unsafe { bindings::ktime_get() as u64 }
}

/// The same, or 0 for a request that is not counted.
///
/// # Safety
///
/// [`begin`] was called for the request.
#[inline]
pub(super) unsafe fn now_if(io: *const c::stor_io) -> u64 {
    // SAFETY: By the contract of this function.
    if unsafe { (*io).stat.is_null() } {
        0
    } else {
        now()
    }
}

/// What an operation of the block layer is counted as: one without a number of its own, as a
/// discard.
#[inline]
fn op_of(cmd_flags: u32) -> u32 {
    let op = cmd_flags & OP_MASK;
    op.min(stor_stat_op_STOR_STAT_OP_DISCARD)
}

/// Statuses of the block layer that have a number in the interface, in the order of those numbers,
/// which begin at 1.
const NUMBERED: [u32; STATUSES - 1] = [
    c::stor_shim_const_STOR_SHIM_STS_NOTSUPP,
    c::stor_shim_const_STOR_SHIM_STS_TIMEOUT,
    c::stor_shim_const_STOR_SHIM_STS_NOSPC,
    c::stor_shim_const_STOR_SHIM_STS_TRANSPORT,
    c::stor_shim_const_STOR_SHIM_STS_TARGET,
    c::stor_shim_const_STOR_SHIM_STS_RESV_CONFLICT,
    c::stor_shim_const_STOR_SHIM_STS_MEDIUM,
    c::stor_shim_const_STOR_SHIM_STS_PROTECTION,
    c::stor_shim_const_STOR_SHIM_STS_RESOURCE,
    c::stor_shim_const_STOR_SHIM_STS_IOERR,
    c::stor_shim_const_STOR_SHIM_STS_AGAIN,
    c::stor_shim_const_STOR_SHIM_STS_OFFLINE,
];

/// The interface's number for a status.
fn number_of(status: Status) -> u32 {
    let raw = u32::from(status.as_raw());
    let at = NUMBERED.iter().position(|&numbered| numbered == raw);
    at.map_or(stor_stat_status_STOR_STAT_STATUS_OTHER, |at| at as u32 + 1)
}

/// The counters of a volume.
///
/// # Invariants
///
/// Initialised, and does not move.
#[pin_data(PinnedDrop)]
pub(crate) struct Stat {
    #[pin]
    raw: Opaque<c::stor_stat>,
}

// SAFETY: Per-CPU counters can be freed by any thread.
unsafe impl Send for Stat {}
// SAFETY: Counting is one instruction on memory of the CPU that does it, and reading is of whole
// words.
unsafe impl Sync for Stat {}

/// What was counted, but for the histograms.
pub(crate) struct Counters(c::stor_counters);

impl Counters {
    /// Of no I/O.
    pub(crate) fn none() -> Self {
        Self(c::stor_counters {
            started: [0; OPS],
            done: [0; OPS],
            bytes: [0; OPS],
            failed: [0; STATUSES],
            worked: [0; Work::ALL.len()],
        })
    }

    /// Counts what is parked as begun: it has not ended, and is counted by nobody else.
    pub(crate) fn add_parked(&mut self, parked: &[u64; OPS]) {
        for (started, parked) in self.0.started.iter_mut().zip(parked) {
            *started = started.wrapping_add(*parked);
        }
    }

    /// I/Os begun, by op.
    pub(crate) fn started(&self) -> &[u64; OPS] {
        &self.0.started
    }

    /// I/Os ended, by op.
    pub(crate) fn done(&self) -> &[u64; OPS] {
        &self.0.done
    }

    /// Bytes of I/Os that ended well, by op.
    pub(crate) fn bytes(&self) -> &[u64; OPS] {
        &self.0.bytes
    }

    /// I/Os that failed. Those that were not to wait, and would have had to, are none: who submits
    /// them does it again.
    pub(crate) fn errors(&self) -> u64 {
        let all: u64 = self.0.failed.iter().sum();
        all - self.0.failed[stor_stat_status_STOR_STAT_STATUS_AGAIN as usize]
    }

    /// I/Os that ended otherwise than well, by status.
    pub(crate) fn failed(&self) -> &[u64; STATUSES] {
        &self.0.failed
    }

    /// Bytes that were worked on.
    pub(crate) fn worked(&self, work: Work) -> u64 {
        self.0.worked[work as usize]
    }
}

impl Stat {
    /// Makes counters that are all 0; with some for work on data, if it `works`. May sleep.
    pub(crate) fn new(works: bool) -> impl PinInit<Self, Error> {
        // INVARIANT: Initialised here.
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` is memory for it that stays where it is.
                to_result(unsafe { c::stor_stat_init(slot, works) })
            }),
        })
    }

    /// Reads all counters of a CPU, or the sums of all CPUs.
    pub(crate) fn counters(&self, cpu: Option<u32>) -> Counters {
        let Counters(mut read) = Counters::none();
        let words = size_of::<c::stor_counters>() / size_of::<u64>();
        // SAFETY: The counters consist of words only, as many as are read.
        unsafe {
            c::stor_stat_read(
                (*self.raw.get()).counters.cast(),
                words as u32,
                cpu.map_or(-1, |cpu| cpu as c_int),
                (&raw mut read).cast(),
            )
        };
        Counters(read)
    }

    /// Reads buckets of a histogram from `first` on, of a CPU or the sums of all CPUs.
    pub(crate) fn histogram(
        &self,
        cpu: Option<u32>,
        op: usize,
        stage: usize,
        first: usize,
        to: &mut [u64],
    ) {
        let room = BUCKETS.saturating_sub(first).min(to.len());
        // SAFETY: Initialised by the type invariant.
        let histograms = unsafe { &(*self.raw.get()).histogram };
        let from = histograms.get(op * STAGES + stage);
        let Some(from) = from.filter(|from| !from.is_null()) else {
            to.fill(0);
            return;
        };
        // SAFETY: A histogram has `BUCKETS` words, of which at most those from `first` on are
        // read; `to` has room for them.
        unsafe {
            c::stor_stat_read(
                from.wrapping_add(first),
                room as u32,
                cpu.map_or(-1, |cpu| cpu as c_int),
                to.as_mut_ptr(),
            )
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Stat {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised by the type invariant. Whoever counts has a request in flight, and
        // that keeps `self` alive.
        unsafe { c::stor_stat_exit(self.raw.get()) }
    }
}

/// The first CPU with counters, from a number on.
pub(crate) fn next_cpu(from: u32) -> Option<u32> {
    // SAFETY: Reads a mask.
    u32::try_from(unsafe { c::stor_stat_next_cpu(from) }).ok()
}

/// Counts a request as begun, and notes in its PDU what its end needs. `sent` is 0 if it was made
/// just now, so that the time of that is near enough.
///
/// Process context.
///
/// # Safety
///
/// The request is the caller's, and of a queue that lives no longer than `stat`.
#[inline(always)]
pub(super) unsafe fn begin(
    rq: *mut bindings::request,
    io: *mut c::stor_io,
    stat: Option<&Stat>,
    sent: u64,
) {
    const IO_STAT: u32 = 1 << bindings::rqf_flags___RQF_IO_STAT;
    let raw = stat.map_or(core::ptr::null_mut(), |stat| stat.raw.get());
    // SAFETY: By the contract of this function. Only the request's reference count changes under
    // us, so no reference to the whole is made.
    unsafe {
        (*io).stat = raw;
        if !raw.is_null() {
            let op = op_of((*rq).cmd_flags);
            (*io).op = op as u8;
            (*io).bytes = (*rq).__data_len;
            // When it was made, if the block layer keeps account of it.
            let start = ((*rq).rq_flags & IO_STAT != 0).then_some((*rq).start_time_ns);
            let sent = if sent != 0 {
                sent
            } else {
                start.unwrap_or_else(now)
            };
            (*io).start = start.unwrap_or(sent);
            (*io).sent = sent;
            c::stor_stat_start(raw, op, 1);
        }
    }
}

/// Takes back that a request was counted: it goes back to the block layer, to come again.
///
/// # Safety
///
/// `stat` and `op` are what [`begin`] has noted for a request that has not been started.
pub(super) unsafe fn take_back(stat: *const c::stor_stat, op: u8) {
    if !stat.is_null() {
        // SAFETY: By the contract of this function.
        unsafe { c::stor_stat_start(stat, op.into(), u64::MAX) }
    }
}

/// Counts work on the data of a request, which was begun at `since`; gives the time, 0 for a request
/// that is not counted. Any context.
///
/// # Safety
///
/// [`begin`] was called for the request.
pub(super) unsafe fn worked(io: *const c::stor_io, work: Work, since: u64) -> u64 {
    // SAFETY: By the contract of this function.
    unsafe {
        if (*io).stat.is_null() {
            return 0;
        }
        let now = now();
        worked_for(io, work, now.saturating_sub(since));
        now
    }
}

/// The same, of work that has taken so long, in ns.
///
/// # Safety
///
/// As that of [`worked`].
pub(super) unsafe fn worked_for(io: *const c::stor_io, work: Work, nanos: u64) {
    // SAFETY: By the contract of this function. The bucket is the number of one.
    unsafe {
        if !(*io).stat.is_null() {
            let time = bucket(nanos) as u32;
            c::stor_stat_worked((*io).stat, work as u32, (*io).bytes, time);
        }
    }
}

/// Counts a request as ended. Any context.
///
/// # Safety
///
/// [`begin`] was called for the request; `sent` is how long it took below, if it was there.
#[inline]
pub(super) unsafe fn end(io: *mut c::stor_io, status: Status, now: u64, below: Option<u64>) {
    // SAFETY: By the contract of this function. The buckets are numbers of buckets.
    unsafe {
        let stat = (*io).stat;
        if stat.is_null() {
            return;
        }
        let total = bucket(now.saturating_sub((*io).start)) as u32;
        match below {
            Some(below) if status == Status::OK => c::stor_stat_end(
                stat,
                (*io).op.into(),
                (*io).bytes,
                total,
                bucket(below) as u32,
            ),
            _ => failed(io, status, total, below),
        }
    }
}

/// # Safety
///
/// As that of [`end`], for a request that is counted.
#[cold]
#[inline(never)]
unsafe fn failed(io: *mut c::stor_io, status: Status, total: u32, below: Option<u64>) {
    let lower = below.map_or(STOR_STAT_BUCKETS, |nanos| bucket(nanos) as u32);
    // SAFETY: By the contract of this function. The buckets are numbers of buckets, but for the
    // one that stands for none.
    unsafe {
        let op = (*io).op.into();
        c::stor_stat_failed((*io).stat, op, number_of(status), total, lower);
    }
}
