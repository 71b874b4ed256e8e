// SPDX-License-Identifier: GPL-2.0

//! `storadm stat`.

use std::fs;
use std::io;
use std::time::Instant;

use stor_netlink::{Client, Selector};

use super::{connect, pass_on_warning};
use crate::cli::StatArgs;
use crate::failure::{Failure, Status};
use crate::json::{Document, JsonStat, StatBody};
use crate::output::{print, print_json, print_warning, Style};
use crate::stat::{self, Reading, Report};
use crate::time::now;
use crate::wait::{next_time, Signals, Wake};

pub(super) fn stat(style: Style, args: &StatArgs) -> Result<(), Failure> {
    if args.histogram && style != Style::Json {
        let message = "--histogram adds to JSON: give --json too";
        return Err(Failure::new(Status::Usage, message));
    }
    let selectors = args.selectors();
    let what = match selectors.as_slice() {
        [one] => format!("cannot read what volume {one} has done"),
        _ => "cannot read what volumes have done".to_owned(),
    };
    let mut client = connect(&what)?;
    let mut before = read(style, &mut client, args, &selectors)?;
    let Some(interval) = args.interval else {
        let report = Report::since_made(&before);
        return match style {
            Style::Json => print_json(JsonStat {
                stat: StatBody::new(&now(), &report, args.stage, args.histogram),
            }),
            _ => print(&text(style, args, &report)?),
        };
    };
    let signals = Signals::catch(&what)?;
    let mut time = before.at;
    let mut left = args.count;
    while left != Some(0) {
        time = next_time(time, interval);
        loop {
            match signals.wait(&what, None, Some(time))? {
                Wake::Ready => continue,
                Wake::Time => break,
                Wake::End => return Ok(()),
            }
        }
        let after = read(style, &mut client, args, &selectors)?;
        print(&text(style, args, &Report::between(&before, &after))?)?;
        before = after;
        left = left.map(|left| left - 1);
    }
    Ok(())
}

/// Reads all volumes, or those that are named.
fn read(
    style: Style,
    client: &mut Client,
    args: &StatArgs,
    selectors: &[Selector],
) -> Result<Reading, Failure> {
    let mut reading = Reading {
        at: Instant::now(),
        stats: Vec::new(),
        interrupted: false,
    };
    if selectors.is_empty() {
        let list = client
            .stat_list(None, args.per_cpu)
            .map_err(Failure::netlink("cannot read what volumes have done"))?;
        reading.add(list);
    }
    for selector in selectors {
        let what = format!("cannot read what volume {selector} has done");
        let list = client
            .stat_list(Some(selector), args.per_cpu)
            .map_err(Failure::netlink(what))?;
        reading.add(list);
    }
    pass_on_warning(style, client);
    if reading.stats.is_empty() && counts_nothing(client)? {
        let message = "the module counts nothing: it was loaded with stats=0";
        return Err(Failure::new(Status::Failed, message));
    }
    if reading.interrupted {
        print_warning(
            style == Style::Json,
            "volumes came or went while they were read; some may be missing",
        );
    }
    Ok(reading)
}

/// Whether there are volumes, and the module was loaded so that it does not count what they do.
fn counts_nothing(client: &mut Client) -> Result<bool, Failure> {
    let list = client
        .volume_list()
        .map_err(Failure::netlink("cannot list volumes"))?;
    let disks = list
        .volumes
        .iter()
        .filter_map(|volume| volume.disk.as_ref());
    Ok(disks
        .map(|disk| {
            format!(
                "/sys/block/{}/stor/reads",
                String::from_utf8_lossy(disk.as_bytes())
            )
        })
        .any(|file| fs::read(file).is_ok_and(|content| content == b"off\n")))
}

/// The report in a style that is written piece by piece.
fn text(style: Style, args: &StatArgs, report: &Report) -> Result<String, Failure> {
    let now = now();
    Ok(match style {
        Style::Json => {
            let stat = StatBody::new(&now, report, args.stage, args.histogram);
            let line = Document::new(JsonStat { stat }).line();
            line.map_err(io::Error::from)? + "\n"
        }
        Style::Plain => stat::plain(&now, report, args.stage),
        Style::Terminal if args.interval.is_some() => {
            format!("{now}\n{}\n", stat::terminal(report, args.stage))
        }
        Style::Terminal => stat::terminal(report, args.stage),
    })
}
