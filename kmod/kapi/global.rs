// SPDX-License-Identifier: GPL-2.0

//! A mutex in a static, a hold on the module, and other things of the kernel at large.

use super::sys::c;
use crate::model::select::Uuid;
use kernel::{bindings, error::code::ENODEV, error::Result, ThisModule};

/// Defines a static mutex that code without `unsafe` can use.
///
/// `static NAME: TYPE = VALUE;` makes `NAME`, which locks by `NAME.lock()` once
/// `init_global!(NAME)` has run.
macro_rules! global_mutex {
    ($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty = $value:expr;) => {
        kernel::sync::global_lock! {
            $(#[$meta])*
            // SAFETY: `init_global!` runs in the module's initialiser, before anything that locks.
            $vis unsafe(uninit) static $name: Mutex<$type> = $value;
        }
    };
}

/// Initialises a mutex made by [`global_mutex!`]. To be used once, in the module's initialiser,
/// before anything that may lock it is registered.
macro_rules! init_global {
    ($name:path) => {
        // SAFETY: Module initialisation calls this once, see above.
        unsafe { $name.init() }
    };
}

pub(crate) use {global_mutex, init_global};

/// A reference to a module: as long as one exists, the module can not be unloaded.
///
/// # Invariants
///
/// Owns one reference of the module, taken by `try_module_get()`.
pub(crate) struct ModuleHold(*mut bindings::module);

// SAFETY: The reference belongs to no thread.
unsafe impl Send for ModuleHold {}
// SAFETY: There is nothing to be done with a shared reference to it.
unsafe impl Sync for ModuleHold {}

impl ModuleHold {
    /// Takes a reference.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the module is about to be unloaded.
    pub(crate) fn new(module: &ThisModule) -> Result<Self> {
        // SAFETY: `ThisModule` holds a valid module pointer.
        if !unsafe { bindings::try_module_get(module.as_ptr()) } {
            return Err(ENODEV);
        }
        // INVARIANT: The reference was just taken.
        Ok(Self(module.as_ptr()))
    }
}

impl Drop for ModuleHold {
    fn drop(&mut self) {
        // SAFETY: By the invariant this reference is ours. The code that runs here stays: a netlink
        // handler runs under the lock that unregistering the family takes, the callback of a
        // backing has a reference of its own, and what little either has left to do after that,
        // the module's exit waits for (see `wait_for_callers()`).
        unsafe { bindings::module_put(self.0) }
    }
}

/// Waits for those who are on their last steps in the module's code, when no more can come. Sleeps.
pub(crate) fn wait_for_callers() {
    // SAFETY: Called in process context.
    unsafe { c::stor_shim_wait_for_callers() }
}

/// As long as this exists, allocations of the current task start no I/O.
pub(crate) struct NoIo {
    flags: u32,
    // It belongs to the task that made it.
    _not_send: core::marker::PhantomData<*mut ()>,
}

impl NoIo {
    /// Begins the scope. Scopes end in the opposite order.
    pub(crate) fn new() -> Self {
        Self {
            // SAFETY: Sets a flag of the current task.
            flags: unsafe { c::stor_shim_noio_save() },
            _not_send: core::marker::PhantomData,
        }
    }
}

impl Drop for NoIo {
    fn drop(&mut self) {
        // SAFETY: The flags are what was saved by this task.
        unsafe { c::stor_shim_noio_restore(self.flags) }
    }
}

/// A random UUID.
pub(crate) fn random_uuid() -> Uuid {
    let mut uuid = Uuid::default();
    // SAFETY: The array has room for a UUID.
    unsafe { bindings::generate_random_uuid(uuid.as_mut_ptr()) };
    uuid
}
