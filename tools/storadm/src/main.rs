// SPDX-License-Identifier: GPL-2.0

//! `storadm`: administer stor volumes.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    storadm::run(std::env::args_os())
}
