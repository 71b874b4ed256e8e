// SPDX-License-Identifier: GPL-2.0

//! A mutex in a static, and the hold that a volume has on the module.

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
        // SAFETY: By the invariant this reference is ours. The caller runs on behalf of netlink or
        // of another module's callback, so code of this module is still there when this returns:
        // unloading waits for the family, and for the devices, to be unregistered.
        unsafe { bindings::module_put(self.0) }
    }
}
