// SPDX-License-Identifier: GPL-2.0

//! The command line: one definition for the parser, the help, the man pages and the completions.

mod help;
mod key;
mod stat;
mod volume;

use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use help::{exit_status, output};
pub use key::{KeyAddArgs, KeyCommand, KeyRemoveArgs, KeyTypeChoice};
pub use stat::{StageChoice, StatArgs};
pub use volume::{
    ChangeArgs, CreateArgs, Engine, ListArgs, LockArgs, OnOff, OpenLuksArgs, SelectorArgs, SetArgs,
    ShowArgs, UnlockArgs, VolumeCommand,
};

use crate::duration::parse_interval;

/// Administer stor volumes: the disks that the stor driver gives to virtual machines
#[derive(Debug, Parser)]
#[command(
    name = "storadm",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    after_help = help::MAIN,
    after_long_help = help::main_long()
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Copy, Debug)]
pub struct Common {
    /// Write JSON documents; errors become JSON on standard error
    ///
    /// Every document carries "schema_version". Sizes are exact numbers of bytes.
    #[arg(long, global = true, display_order = 100)]
    pub json: bool,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create, change, delete and show volumes
    #[command(
        subcommand,
        arg_required_else_help = true,
        disable_help_subcommand = true,
        after_help = help::VOLUME
    )]
    Volume(VolumeCommand),
    /// Add, list and remove the keys of encrypted volumes
    #[command(
        subcommand,
        arg_required_else_help = true,
        disable_help_subcommand = true,
        after_help = help::KEY
    )]
    Key(KeyCommand),
    /// Show what volumes have done, and how long it took
    ///
    /// Shows I/Os, bytes, what is in flight, errors, and percentiles of how long I/Os took, by op:
    /// read, write, flush and discard. Without an interval all of it is since the volume was made.
    /// With one, it is what was added in each interval, and I/Os and bytes are rates; it ends with
    /// status 0 after --count intervals, on SIGINT, SIGTERM, or when its output is closed.
    #[command(after_help = help::STAT)]
    Stat(StatArgs),
    /// Watch what volumes do, live on a terminal
    ///
    /// Shows a line for each volume: I/Os and bytes a second, what is in flight, percentiles of how
    /// long I/Os took in the last interval, and errors since the volume was made, with those of the
    /// last interval in parentheses. Enter shows all about one volume; h tells what other keys do.
    /// Columns for which there is no room are left out.
    ///
    /// Ends with status 0 on q, SIGINT or SIGTERM, and with status 3 when the module is unloaded.
    #[command(after_help = help::TOP)]
    Top(TopArgs),
    /// Print what happens to volumes as it happens
    ///
    /// Prints one line for each event: the time in UTC, the event, and the volume. Events are
    /// volume-add, volume-del, volume-set (it was changed, locked or unlocked) and volume-fail
    /// (the backing went away); "lost" stands for events that came faster than they were read,
    /// after which "storadm volume list" tells where things are. With --json each line is a JSON
    /// document, written at once.
    ///
    /// Ends with status 0 on SIGINT, SIGTERM, or when its output is closed, and with status 3 when
    /// the module is unloaded.
    #[command(after_help = help::MONITOR)]
    Monitor(MonitorArgs),
    /// Show the versions of tool and module, and what the module can do
    ///
    /// Warns when the module speaks a newer version of the interface than this tool. A feature
    /// that this tool does not know is shown by its number, as in bit-40.
    #[command(after_help = help::INFO)]
    Info,
}

/// Options of `monitor`.
#[derive(Args, Clone, Copy, Debug)]
pub struct MonitorArgs {
    /// First print the volumes that exist, as "volume-present" events
    ///
    /// A volume that is made meanwhile may appear twice, but none is left out.
    #[arg(long)]
    pub initial: bool,
}

/// Options of `top`.
#[derive(Args, Clone, Copy, Debug)]
pub struct TopArgs {
    /// How often to look
    ///
    /// From 0.1 to 86400; 0.5 is half a second.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_interval)]
    pub interval: Duration,
}

/// The definition of the whole command line, from which documentation is made.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;
    use pretty_assertions::assert_eq;

    fn parse(args: &str) -> Result<Cli, ErrorKind> {
        let args = std::iter::once("storadm").chain(args.split_whitespace());
        Cli::try_parse_from(args).map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn json_goes_everywhere() {
        for args in [
            "--json info",
            "info --json",
            "volume list --json",
            "volume --json list",
            "volume delete vm1 --json",
            "monitor --json",
        ] {
            assert!(parse(args).unwrap().common.json, "{args}");
        }
    }

    #[test]
    fn exactly_one_selector() {
        const UUID: &str = "4f1c2d3e-5a6b-4c7d-8e9f-0a1b2c3d4e5f";
        for what in ["delete", "show", "gate", "lock", "unlock"] {
            for selector in ["vm1", "--index 3", &format!("--uuid {UUID}")] {
                assert!(parse(&format!("volume {what} {selector}")).is_ok());
            }
            for (selectors, kind) in [
                ("", ErrorKind::MissingRequiredArgument),
                ("vm1 --index 3", ErrorKind::ArgumentConflict),
                (
                    &format!("--index 3 --uuid {UUID}"),
                    ErrorKind::ArgumentConflict,
                ),
                ("--uuid 1234", ErrorKind::ValueValidation),
                ("--index -1", ErrorKind::UnknownArgument),
                ("--index 4294967296", ErrorKind::ValueValidation),
            ] {
                let error = parse(&format!("volume {what} {selectors}")).unwrap_err();
                assert_eq!(error, kind, "{selectors}");
            }
        }
    }

    #[test]
    fn set_wants_a_change() {
        for args in [
            "vm1 --length 1G",
            "vm1 --read-only on",
            "--index 3 --length 1G --read-only off",
        ] {
            assert!(parse(&format!("volume set {args}")).is_ok(), "{args}");
        }
        for (args, kind) in [
            ("vm1", ErrorKind::MissingRequiredArgument),
            ("--length 1G", ErrorKind::MissingRequiredArgument),
            ("vm1 --read-only", ErrorKind::InvalidValue),
            ("vm1 --read-only yes", ErrorKind::InvalidValue),
            ("vm1 --index 3 --length 1G", ErrorKind::ArgumentConflict),
        ] {
            let error = parse(&format!("volume set {args}")).unwrap_err();
            assert_eq!(error, kind, "{args}");
        }
    }

    #[test]
    fn create_wants_a_name_and_a_backing() {
        assert!(parse("volume create vm1 --backing /dev/x --offset 2048s --length 1G").is_ok());
        for args in [
            "volume create",
            "volume create vm1",
            "volume create --backing /dev/x",
        ] {
            assert_eq!(
                parse(args).unwrap_err(),
                ErrorKind::MissingRequiredArgument,
                "{args}"
            );
        }
        assert_eq!(
            parse("volume create vm1 --backing /dev/x --length 17E").unwrap_err(),
            ErrorKind::ValueValidation
        );
    }

    #[test]
    fn a_bad_size_is_named() {
        let args = "storadm volume create vm1 --backing /dev/x --length 99999999999G";
        let error = Cli::try_parse_from(args.split(' '))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("'99999999999G' for '--length <SIZE>'"),
            "{error}"
        );
        assert!(error.contains("exceeds 64 bits"), "{error}");
    }
}
