// SPDX-License-Identifier: GPL-2.0

//! From arguments to an exit status.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::commands;
use crate::failure::{Failure, Status};
use crate::output::print_failure;

/// Runs the tool with `args`, the first of which is its own name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let (json, result) = match Cli::try_parse_from(&args) {
        Ok(cli) => (cli.common.json, commands::run(&cli)),
        Err(error) => {
            let json = wants_json(&args);
            (json, not_parsed(&error, json))
        }
    };
    let status = match result {
        Ok(()) => Status::Success,
        Err(failure) => {
            print_failure(json, &failure);
            failure.status
        }
    };
    ExitCode::from(status as u8)
}

/// Whether arguments that are not understood ask for JSON all the same.
fn wants_json(args: &[OsString]) -> bool {
    args.iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| arg == "--json")
}

/// Prints help if that is what stopped the parser, else fails.
fn not_parsed(error: &clap::Error, json: bool) -> Result<(), Failure> {
    use clap::error::ErrorKind::*;
    match error.kind() {
        DisplayHelp | DisplayVersion => match error.print() {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        },
        DisplayHelpOnMissingArgumentOrSubcommand => {
            // Only fails if nobody can be told.
            let _: io::Result<()> = error.print();
            Err(Failure::new(Status::Usage, ""))
        }
        _ => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            // What follows the first paragraph is advice for people.
            let end = text.find("\n\n").filter(|_| json);
            let text = &text[..end.unwrap_or(text.len())];
            Err(Failure::new(Status::Usage, text.trim_end()))
        }
    }
}
