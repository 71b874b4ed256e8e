// SPDX-License-Identifier: GPL-2.0

//! `storadm top`.

use std::io::{self, IsTerminal};
use std::time::Instant;

use stor_netlink::{Client, Volume};

use super::connect;
use crate::cli::TopArgs;
use crate::failure::{Failure, Status};
use crate::output::Style;
use crate::stat::Reading;
use crate::top::{self, Source};

const WHAT: &str = "cannot watch volumes";

pub(super) fn top(style: Style, args: TopArgs) -> Result<(), Failure> {
    let instead = "\"storadm stat --interval 1\" does this without one";
    if style == Style::Json {
        let message = format!("top needs a terminal and writes no JSON; {instead}");
        return Err(Failure::new(Status::Usage, message));
    }
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let message = format!("top needs a terminal; {instead}");
        return Err(Failure::new(Status::Usage, message));
    }
    // While the terminal is still as it was: it is likely to fail here if anywhere.
    let source = connect(WHAT)?;
    top::run(source, args.interval)
}

impl Source for Client {
    fn read(&mut self) -> Result<(Reading, Vec<Volume>), Failure> {
        let mut reading = Reading {
            at: Instant::now(),
            stats: Vec::new(),
            interrupted: false,
        };
        let stats = self.stat_list(None, false);
        reading.add(stats.map_err(Failure::netlink(WHAT))?);
        let volumes = self.volume_list().map_err(Failure::netlink(WHAT))?.volumes;
        Ok((reading, volumes))
    }
}
