// SPDX-License-Identifier: GPL-2.0

//! The gate of a disk: how what its requests are served by is changed under running I/O, and how
//! requests are kept back.
//!
//! Closed means that the queue is frozen: who comes waits before it has a request. Kept back means
//! that the queue is quiesced: requests are made, and wait in it in their order.

use super::{disk::Disk, global::NoIo, queue::Operations, stat::now, sys::shim};
use crate::model::units::Sectors;
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
    /// Requests are kept back, and would not end.
    Held,
}

/// A disk whose gate is closed: it has no request in flight, and none comes.
///
/// User space is told of a change after the gate is opened: who hears of it may need the disk.
pub(crate) struct Closed<'a, C> {
    disk: NonNull<bindings::gendisk>,
    resized: &'a mut bool,
    read_only: &'a mut Option<bool>,
    /// What requests will be served by.
    pub(crate) config: &'a mut C,
}

impl<C> Closed<'_, C> {
    /// Changes the size of the disk.
    pub(crate) fn set_capacity(&mut self, capacity: Sectors) {
        // SAFETY: The disk is valid.
        unsafe { bindings::set_capacity(self.disk.as_ptr(), capacity.0) };
        *self.resized = true;
    }

    /// Shows the disk as read-only, or as writable. The configuration is what makes it so.
    pub(crate) fn set_read_only(&mut self, read_only: bool) {
        *self.read_only = Some(read_only);
    }
}

impl<T: Operations> Disk<T> {
    /// Closes the gate, makes a change, and opens the gate again: requests that come meanwhile wait
    /// and do not fail. Gives back for how long it was closed, in ns. With `unopened`, only if
    /// nobody has the disk or a partition of it open. One caller at a time; sleeps.
    ///
    /// Lock order: the disk's `open_mutex`, then the queue's freeze.
    ///
    /// # Errors
    ///
    /// A [`GateError`], and then nothing has changed.
    pub(crate) fn gate(
        &self,
        unopened: bool,
        change: impl FnOnce(Closed<'_, T::Config>),
    ) -> Result<u64, GateError> {
        if self.is_held() {
            // Who has the lock below may wait for what is kept back.
            return Err(GateError::Held);
        }
        let mut result = Err(GateError::Open);
        let mut run = Some(|| result = self.gate_unlocked(change));
        if !unopened {
            if let Some(run) = run.take() {
                run();
            }
        } else {
            // SAFETY: The disk is valid, and the function is made for what it is called with.
            unsafe {
                shim::stor_shim_disk_claim_closed(
                    self.disk.as_ptr(),
                    Some(call_once(&run)),
                    (&raw mut run).cast(),
                )
            };
        }
        drop(run);
        result
    }

    fn gate_unlocked(&self, change: impl FnOnce(Closed<'_, T::Config>)) -> Result<u64, GateError> {
        // Whoever waits for the gate may be who would give memory back.
        let _noio = NoIo::new();
        let disk = self.disk.as_ptr();
        let (mut resized, mut read_only) = (false, None);
        let nanos = self.drained(|| {
            change(Closed {
                disk: self.disk,
                resized: &mut resized,
                read_only: &mut read_only,
                // SAFETY: The queue is frozen: no request exists, so nobody else looks at the
                // configuration.
                config: unsafe { &mut *self.data.as_ref().config.get() },
            });
        })?;
        // SAFETY: The disk is valid.
        unsafe {
            if resized {
                shim::stor_shim_disk_resized(disk);
            }
            if let Some(read_only) = read_only {
                bindings::set_disk_ro(disk, read_only);
            }
        }
        Ok(nanos)
    }

    /// Whether requests are kept back. Who may let them be kept back knows that it stays so, unless
    /// they are let go meanwhile.
    pub(super) fn is_held(&self) -> bool {
        *self.held.held.lock()
    }

    /// Closes the gate, and opens it again; does something between. Gives back how long that took,
    /// in ns.
    fn drained(&self, between: impl FnOnce()) -> Result<u64, GateError> {
        if self.is_held() {
            // What is kept back would not end.
            return Err(GateError::Held);
        }
        let closed = now();
        // SAFETY: The disk is valid. The queue is frozen here, and unfrozen once below.
        unsafe {
            let q = (*self.disk.as_ptr()).queue;
            bindings::blk_freeze_queue_start(q);
            let patience = bindings::__msecs_to_jiffies(GATE_PATIENCE_MS);
            let drained = bindings::blk_mq_freeze_queue_wait_timeout(q, patience) != 0;
            if drained {
                between();
            }
            bindings::blk_mq_unfreeze_queue_nomemrestore(q);
            if !drained {
                return Err(GateError::Timeout);
            }
        }
        Ok(now() - closed)
    }

    /// Changes what requests are served with, behind the gate. With `hold`, requests that come from
    /// then on are kept back until [`Self::release`]. Gives back for how long the gate was closed, in
    /// ns. One caller at a time; sleeps.
    ///
    /// # Errors
    ///
    /// A [`GateError`], and then nothing has changed.
    pub(crate) fn refit(
        &self,
        hold: bool,
        change: impl FnOnce(&mut T::Kit),
    ) -> Result<u64, GateError> {
        let _noio = NoIo::new();
        self.drained(|| {
            // SAFETY: The disk is valid. The queue is unquiesced once for this: below, or when it
            // is noted in `held`.
            unsafe {
                let q = (*self.disk.as_ptr()).queue;
                // A request may have ended before the function that was called with it has come
                // back. This waits for all of them, and keeps the next ones away. The volume's
                // worker, which may be on its way back as well, has had a reference to the queue.
                bindings::blk_mq_quiesce_queue(q);
                // No request exists, and nobody who was called with one runs.
                change(&mut *self.data.as_ref().kit.get());
                if hold {
                    *self.held.held.lock() = true;
                } else {
                    bindings::blk_mq_unquiesce_queue(q);
                }
            }
        })
    }

    /// Changes what requests are served with, if requests are kept back, and lets them go. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// Gives the change back if none are: it is one for behind the gate.
    pub(crate) fn refit_and_release<F: FnOnce(&mut T::Kit)>(&self, change: F) -> Result<(), F> {
        let mut held = self.held.held.lock();
        if !*held {
            return Err(change);
        }
        // SAFETY: The disk is valid. Since `refit()`, when no request existed, the queue is
        // quiesced: no request has come to us, so nobody else looks at the kit. That stays so as
        // long as we have the lock, and is ended once.
        unsafe {
            change(&mut *self.data.as_ref().kit.get());
            *held = false;
            bindings::blk_mq_unquiesce_queue((*self.disk.as_ptr()).queue);
        }
        Ok(())
    }

    /// Lets requests go that are kept back, if there are any. May sleep.
    pub(crate) fn release(&self) {
        // Who keeps none back has none to let go.
        let _ = self.refit_and_release(|_| ());
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
