// SPDX-License-Identifier: GPL-2.0

//! The edge between what owns disks, tags and queues, and the engine, which decides what becomes of
//! their requests: a table of functions and plain data.
//!
//! No type of an engine is compiled into what the block layer calls on a disk. A later engine can
//! take the place of one under running I/O by another table and another pointer; what is in flight
//! holds what it needs of the old one by its PDU.
//!
//! The engine is called once for a list of requests, not once for each.

use super::{
    lower::Lower,
    queue::Requests,
    request::{Outcome, Request},
    send::SubmitContext,
};
use core::{cell::UnsafeCell, marker::PhantomData, ptr::NonNull};
use kernel::prelude::*;

/// What becomes of the requests of one disk.
pub(crate) trait Engine: Send + Sync + Sized + 'static {
    /// What requests borrow until they end. It changes only behind the gate: while there is none,
    /// and nobody who was called with one, or was left one to submit, runs any more.
    type Resources: Send + Sync;

    /// Takes a request, which goes to `lower`. May be called on all CPUs at once, in process
    /// context; may sleep.
    fn pass<'a>(
        &'a self,
        resources: &'a Self::Resources,
        lower: &'a Lower,
        request: Request<'a>,
        submit: &SubmitContext,
    ) -> Outcome<'a>;
}

/// The functions of an engine.
#[repr(C)]
pub(super) struct Table {
    /// Takes a list of requests of the disk that the engine's data is of. Process context; may
    /// sleep.
    ///
    /// # Safety
    ///
    /// The data is that of an engine of this table, and nobody changes its resources meanwhile, nor
    /// before all of these requests have ended.
    pub(super) pass: unsafe fn(
        engine: NonNull<c_void>,
        lower: &Lower,
        requests: &mut Requests<'_>,
        submit: &SubmitContext,
    ),
    /// Frees the engine's data. May sleep.
    ///
    /// # Safety
    ///
    /// The data is that of an engine of this table, which nobody uses any more.
    free: unsafe fn(engine: NonNull<c_void>),
}

/// An engine's data.
pub(super) struct Data<E: Engine> {
    pub(super) engine: E,
    pub(super) resources: UnsafeCell<E::Resources>,
}

/// The table of one type of engine.
struct TableOf<E>(PhantomData<E>);

impl<E: Engine> TableOf<E> {
    const TABLE: Table = Table {
        pass: Self::pass,
        free: Self::free,
    };

    /// # Safety
    ///
    /// As [`Table::pass`] asks.
    unsafe fn pass(
        engine: NonNull<c_void>,
        lower: &Lower,
        requests: &mut Requests<'_>,
        submit: &SubmitContext,
    ) {
        // SAFETY: By the contract of this function. The lifetime covers the end of the requests.
        let (engine, resources, lower) = unsafe {
            let data = engine.cast::<Data<E>>().as_ref();
            let lower = &*core::ptr::from_ref(lower);
            (&data.engine, &*data.resources.get(), lower)
        };
        requests.each(|request| engine.pass(resources, lower, request, submit));
    }

    /// # Safety
    ///
    /// As [`Table::free`] asks.
    unsafe fn free(engine: NonNull<c_void>) {
        // SAFETY: By the contract of this function; `Handle::new()` has made it of a box.
        drop(unsafe { KBox::from_raw(engine.cast::<Data<E>>().as_ptr()) });
    }
}

/// An engine without its type: its table and its data.
///
/// # Invariants
///
/// `data` is that of an engine of `table`, and is owned.
pub(super) struct Handle {
    pub(super) table: &'static Table,
    pub(super) data: NonNull<c_void>,
}

impl Handle {
    /// Of an engine, and what its requests borrow.
    pub(super) fn new<E: Engine>(engine: E, resources: E::Resources) -> Result<Self> {
        let data = KBox::new(
            Data {
                engine,
                resources: UnsafeCell::new(resources),
            },
            GFP_KERNEL,
        )?;
        let table: &'static Table = &TableOf::<E>::TABLE;
        // SAFETY: A box is never null.
        let data = unsafe { NonNull::new_unchecked(KBox::into_raw(data)) };
        // INVARIANT: Made of a box just now.
        Ok(Self {
            table,
            data: data.cast(),
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; who has the handle has the queue, and drops it when no
        // request is left and no `queue_rq()` runs.
        unsafe { (self.table.free)(self.data) }
    }
}
