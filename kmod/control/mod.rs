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

use crate::{engine::Common, kapi::genl::Registration};
use kernel::{prelude::*, sync::Arc};

/// The control plane, open for commands as long as this exists.
pub(crate) struct Control {
    family: Option<Registration>,
}

impl Control {
    /// Opens the control plane. `common` is what volumes have in common. Called once.
    pub(crate) fn new(common: Arc<Common>) -> Result<Self> {
        crate::kapi::global::init_global!(registry::REGISTRY);
        crate::kapi::global::init_global!(registry::EVENTS);
        let mut control = Self { family: None };
        registry::REGISTRY.lock().set_common(Some(common));
        control.family = Some(Registration::new()?);
        Ok(control)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // No command from here on, and no volume: each would hold the module.
        self.family = None;
        crate::kapi::global::wait_for_callers();
        let common = registry::REGISTRY.lock().set_common(None);
        drop(common);
    }
}
