// SPDX-License-Identifier: GPL-2.0

//! What the commands do.

mod info;
mod key;
mod luks;
mod monitor;
mod stat;
mod top;
mod volume;

use stor_netlink::Client;

use crate::cli::{Cli, Command, KeyCommand, VolumeCommand};
use crate::failure::Failure;
use crate::output::{print_warning, Style};

/// Carries out what was asked for.
pub(crate) fn run(cli: &Cli) -> Result<(), Failure> {
    let style = Style::detect(cli.common.json);
    match &cli.command {
        Command::Volume(VolumeCommand::Create(args)) => volume::create(style, args),
        Command::Volume(VolumeCommand::OpenLuks(args)) => luks::open(style, args),
        Command::Volume(VolumeCommand::Delete(args)) => volume::delete(style, args),
        Command::Volume(VolumeCommand::Set(args)) => volume::set(style, args),
        Command::Volume(VolumeCommand::Gate(args)) => volume::gate(style, args),
        Command::Volume(VolumeCommand::Lock(args)) => volume::lock(style, args),
        Command::Volume(VolumeCommand::Unlock(args)) if args.luks => luks::unlock(style, args),
        Command::Volume(VolumeCommand::Unlock(args)) => volume::unlock(style, args),
        Command::Volume(VolumeCommand::List(args)) => volume::list(style, *args),
        Command::Volume(VolumeCommand::Show(args)) => volume::show(style, args),
        Command::Key(KeyCommand::Add(args)) => key::add(style, args),
        Command::Key(KeyCommand::List) => key::list(style),
        Command::Key(KeyCommand::Remove(args)) => key::remove(style, args),
        Command::Stat(args) => stat::stat(style, args),
        Command::Top(args) => top::top(style, *args),
        Command::Monitor(args) => monitor::monitor(style, *args),
        Command::Info => info::info(style),
    }
}

/// Connects to the module in order to do `what`.
fn connect(what: &str) -> Result<Client, Failure> {
    Client::connect().map_err(Failure::netlink(what))
}

/// Passes on what the module said about a request that it carried out.
fn pass_on_warning(style: Style, client: &mut Client) {
    if let Some(warning) = client.take_warning() {
        print_warning(style == Style::Json, &warning.escape().to_string());
    }
}
