// SPDX-License-Identifier: GPL-2.0

//! The control plane: parse, validate, apply, notify.
//!
//! The tool is not trusted: every rule is enforced here, and every refusal says which attribute,
//! which value and which rule.

mod change;
mod commands;
mod create;
mod encrypt;
mod lost;
mod message;
mod registry;
mod stat;

use crate::kapi::genl::Registration;
use kernel::prelude::*;

/// The control plane, open for commands as long as this exists.
pub(crate) struct Control {
    family: Option<Registration>,
}

impl Control {
    /// Opens the control plane. Called once.
    pub(crate) fn new() -> Result<Self> {
        crate::kapi::global::init_global!(registry::REGISTRY);
        crate::kapi::global::init_global!(registry::EVENTS);
        Ok(Self {
            family: Some(Registration::new()?),
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // No command from here on, and no volume: each would hold the module.
        self.family = None;
        crate::kapi::global::wait_for_callers();
    }
}
