// SPDX-License-Identifier: GPL-2.0

//! The gate of a disk: how what its requests are served by is changed under running I/O.
//!
//! Closed means that the queue is quiesced and drained: requests that come wait in it, in their
//! order, and none is in flight. None fails for it, whatever it asked for. What is parked has no
//! request, and is not waited for.
//!
//! Lock order: the disk's `changing`, its `open_mutex`, then the gate.

use super::{disk::Disk, edge::Engine, stat::now};
use crate::{
    kapi::{global::NoIo, sys::c},
    model::units::Sectors,
};
use core::ptr::NonNull;
use kernel::{bindings, prelude::*};

/// How long a closed gate waits for I/O in flight: longer, and a guest would take the disk for
/// hung.
const GATE_PATIENCE_MS: u32 = 10_000;

/// Why a gate was not opened on something new.
pub(crate) enum GateError {
    /// The disk is open, and the change is one for a closed disk.
    Open,
    /// I/O in flight did not end in time.
    Timeout,
}

/// A disk whose gate is closed: it has no request in flight, nobody is on the way back from having
/// sent one, and none comes.
///
/// User space is told of a change after the gate is opened: who hears of it may need the disk.
pub(crate) struct Closed<'a, R> {
    disk: NonNull<bindings::gendisk>,
    resized: &'a mut bool,
    read_only: &'a mut Option<bool>,
    /// What requests will borrow.
    pub(crate) resources: &'a mut R,
}

impl<R> Closed<'_, R> {
    /// Changes the size of the disk.
    pub(crate) fn set_capacity(&mut self, capacity: Sectors) {
        // SAFETY: The disk is valid.
        unsafe { bindings::set_capacity(self.disk.as_ptr(), capacity.0) };
        *self.resized = true;
    }

    /// Shows the disk as read-only, or as writable. The engine is what makes it so.
    pub(crate) fn set_read_only(&mut self, read_only: bool) {
        *self.read_only = Some(read_only);
    }
}

impl<E: Engine> Disk<E> {
    /// Closes the gate, makes a change, and opens the gate again: requests that come meanwhile wait
    /// and do not fail. Gives back for how long it was closed, in ns. With `unopened`, only if
    /// nobody has the disk or a partition of it open. Sleeps.
    ///
    /// # Errors
    ///
    /// A [`GateError`], and then nothing has changed.
    pub(crate) fn gate(
        &self,
        unopened: bool,
        change: impl FnOnce(Closed<'_, E::Resources>),
    ) -> Result<u64, GateError> {
        let _one_at_a_time = self.changing.changing.lock();
        let mut result = Err(GateError::Open);
        let mut run = Some(|| result = self.closed(change));
        if !unopened {
            if let Some(run) = run.take() {
                run();
            }
        } else {
            // SAFETY: The disk is valid, and the function is made for what it is called with.
            unsafe {
                c::stor_shim_disk_claim_closed(
                    self.disk.as_ptr(),
                    Some(call_once(&run)),
                    (&raw mut run).cast(),
                )
            };
        }
        drop(run);
        result
    }

    /// Closes the gate, makes a change, and opens the gate. With `changing` held.
    fn closed(&self, change: impl FnOnce(Closed<'_, E::Resources>)) -> Result<u64, GateError> {
        // Whoever waits for the gate may be who would give memory back.
        let _noio = NoIo::new();
        let disk = self.disk.as_ptr();
        let (mut resized, mut read_only) = (false, None);
        let closed = now();
        // SAFETY: The disk is valid, and so is its gate. It is opened once below if it was closed.
        unsafe {
            let q = (*disk).queue;
            let punt = self.lower().punt();
            if !c::stor_gate_close(self.gate.get(), q, punt, GATE_PATIENCE_MS) {
                return Err(GateError::Timeout);
            }
            change(Closed {
                disk: self.disk,
                resized: &mut resized,
                read_only: &mut read_only,
                // No request exists, and nobody who was called with one, or was left one, runs.
                resources: &mut *self.engine_data().resources.get(),
            });
            c::stor_gate_open(q);
        }
        let nanos = now() - closed;
        // SAFETY: The disk is valid.
        unsafe {
            if resized {
                c::stor_shim_disk_resized(disk);
            }
            if let Some(read_only) = read_only {
                bindings::set_disk_ro(disk, read_only);
            }
        }
        Ok(nanos)
    }
}

/// A C function that calls the closure in an `Option<F>`; the argument is only there to tell `F`.
fn call_once<F: FnOnce()>(_: &Option<F>) -> unsafe extern "C" fn(*mut c_void) {
    /// # Safety
    ///
    /// `closure` must point to an `Option<F>` that nobody else uses meanwhile.
    unsafe extern "C" fn call<F: FnOnce()>(closure: *mut c_void) {
        // SAFETY: By the contract of this function.
        if let Some(closure) = unsafe { (*closure.cast::<Option<F>>()).take() } {
            closure();
        }
    }
    call::<F>
}
