// SPDX-License-Identifier: GPL-2.0

//! stor: a stacking block driver for the disks of virtual machines.
//!
//! What exists, and in which order it starts and stops. Who may know whom:
//! `control` → `front` → `engine` → `io` → `kapi`; `model` uses nothing, and may be used by all.

mod control;
mod engine;
mod front;
mod io;
mod kapi;
// `pub`, and what is only used by the tools, is there for the crate that the host compiles of the
// same files.
#[allow(dead_code, unreachable_pub)]
#[path = "model/mod.rs"]
mod model;

use kernel::prelude::*;

/// This module, for those who must keep it loaded.
const THIS_MODULE: ThisModule = <Stor as kernel::ModuleMetadata>::THIS_MODULE;

module! {
    type: Stor,
    name: "stor",
    authors: ["The stor developers"],
    description: "Stacking block driver for the disks of virtual machines",
    license: "GPL",
    params: {
        stats: bool {
            default: true,
            description: "Count I/O (off only to measure what counting costs)",
        },
    },
}

/// Whether the I/O of volumes is counted.
fn counts() -> bool {
    module_parameters::stats.value()
}

/// The loaded module. The control plane is all there is at first; volumes come through it, and
/// each holds a reference to the module, so that none is left when this is dropped.
struct Stor {
    _control: control::Control,
}

impl kernel::Module for Stor {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let control = control::Control::new(engine::Common::new()?)?;
        pr_info!("version {}\n", kapi::version());
        Ok(Self { _control: control })
    }
}
