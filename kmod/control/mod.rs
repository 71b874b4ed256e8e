// SPDX-License-Identifier: GPL-2.0

//! The control plane: parse, validate, apply, notify.
//!
//! The tool is not trusted: every rule is enforced here, and every refusal says which attribute,
//! which value and which rule.

mod commands;
mod create;
mod message;
mod registry;

use crate::kapi::genl::Registration;
use kernel::prelude::*;

/// The control plane, open for commands as long as this exists.
pub(crate) struct Control {
    _family: Registration,
}

impl Control {
    /// Opens the control plane. Called once.
    pub(crate) fn new() -> Result<Self> {
        crate::kapi::global::init_global!(registry::REGISTRY);
        Ok(Self {
            _family: Registration::new()?,
        })
    }
}
