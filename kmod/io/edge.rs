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
    end,
    lower::Lower,
    pdu::{io, Status},
    request::{Outcome, Request},
    send::SubmitContext,
    stat::{self, Stat},
    trace,
};
use core::{cell::UnsafeCell, marker::PhantomData, ptr::NonNull};
use kernel::{bindings, prelude::*};

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

/// A list of requests of one queue, on their way to the engine.
pub(super) struct Requests<'a> {
    /// Where they are counted.
    stat: Option<&'a Stat>,
    /// When they came, in ns, or 0.
    now: u64,
    /// The first of them.
    next: *mut bindings::request,
    /// Those that are to come again.
    left: bindings::rq_list,
}

impl<'a> Requests<'a> {
    /// A list that begins with `first`, and came at `now`, in ns, or 0.
    ///
    /// # Safety
    ///
    /// What is in the list was handed to us by the block layer, which gets back what is left of it.
    /// `'a` does not outlive the queue.
    #[inline(always)]
    pub(super) unsafe fn new(
        first: *mut bindings::request,
        stat: Option<&'a Stat>,
        now: u64,
    ) -> Self {
        Self {
            stat,
            now,
            next: first,
            left: bindings::rq_list {
                head: core::ptr::null_mut(),
                tail: core::ptr::null_mut(),
            },
        }
    }

    /// Those that are to come again, when all were passed on.
    #[inline(always)]
    pub(super) fn into_left(self) -> bindings::rq_list {
        debug_assert!(self.next.is_null());
        self.left
    }

    /// Calls `pass` with each, and does what it says.
    #[inline(always)]
    pub(super) fn each(&mut self, mut pass: impl FnMut(Request<'a>) -> Outcome<'a>) {
        while let Some(rq) = NonNull::new(self.next) {
            let raw = rq.as_ptr();
            // SAFETY: What is in the list is valid, and was handed to us; it is taken off the list
            // before it is passed on, which happens once; by the contract of `new()`.
            unsafe {
                self.next = *link(raw);
                *link(raw) = core::ptr::null_mut();
                let io = io(raw);
                stat::begin(raw, io, self.stat, self.now);
                trace::submit(raw);
                let Some(request) = Request::from_raw(rq) else {
                    end::fail(raw, Status::NOTSUPP);
                    continue;
                };
                match pass(request) {
                    Outcome::Sent(_) | Outcome::Parked(_) => {}
                    Outcome::Again(request) => self.keep(request),
                    Outcome::End(request, status) => end::fail(request.into_raw(), status),
                }
            }
        }
    }

    /// Leaves a request in the list, to come again.
    #[cold]
    fn keep(&mut self, request: Request<'a>) {
        // SAFETY: It was counted, and not started. It goes back to the block layer, in its list.
        unsafe {
            let io = request.io();
            stat::take_back((*io).stat, (*io).op);
            let raw = request.into_raw();
            if self.left.tail.is_null() {
                self.left.head = raw;
            } else {
                *link(self.left.tail) = raw;
            }
            self.left.tail = raw;
        }
    }
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

/// Where a request in a list has its successor.
///
/// # Safety
///
/// `rq` must be valid.
pub(super) unsafe fn link(rq: *mut bindings::request) -> *mut *mut bindings::request {
    // SAFETY: By the contract of this function; no reference is made.
    unsafe { &raw mut (*rq).__bindgen_anon_1.rq_next }
}
