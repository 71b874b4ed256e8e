// SPDX-License-Identifier: GPL-2.0

//! `storadm monitor`.

use std::io;
use std::os::fd::AsFd;

use stor_netlink::{Error, Event, Monitor, Notice, Volume};

use super::connect;
use crate::cli::MonitorArgs;
use crate::failure::Failure;
use crate::json::{Document, JsonEvent};
use crate::output::{self, print, Style};
use crate::time::now;
use crate::wait::{Signals, Wake};

const WHAT: &str = "cannot monitor volumes";

pub(super) fn monitor(style: Style, args: MonitorArgs) -> Result<(), Failure> {
    let signals = Signals::catch(WHAT)?;
    let mut monitor = Monitor::connect().map_err(Failure::netlink(WHAT))?;
    if args.initial {
        let list = connect(WHAT)?
            .volume_list()
            .map_err(Failure::netlink(WHAT))?;
        for volume in &list.volumes {
            print(&event_line(style, "volume-present", &now(), Some(volume))?)?;
        }
    }
    loop {
        if signals.wait(WHAT, Some(monitor.as_fd()), None)? == Wake::End {
            return Ok(());
        }
        for notice in monitor.receive().map_err(Failure::netlink(WHAT))? {
            match notice {
                Notice::Event(event) => {
                    let Event { kind, volume } = *event;
                    let line = event_line(style, &kind.to_string(), &now(), Some(&volume))?;
                    print(&line)?;
                }
                Notice::Lost => print(&event_line(style, "lost", &now(), None)?)?,
                Notice::Unloaded => return Err(unloaded()),
            }
        }
    }
}

fn unloaded() -> Failure {
    Failure {
        message: "the stor module was unloaded".to_owned(),
        ..Failure::netlink(WHAT)(Error::NotLoaded)
    }
}

/// The line that tells of an event.
fn event_line(
    style: Style,
    event: &str,
    time: &str,
    volume: Option<&Volume>,
) -> Result<String, Failure> {
    let line = match (style, volume) {
        (Style::Json, _) => Document::new(JsonEvent {
            event: event.to_owned(),
            time: time.to_owned(),
            volume: volume.map(Into::into),
        })
        .line()
        .map_err(io::Error::from)?,
        (Style::Plain, Some(volume)) => {
            let (name, disk) = (output::name(volume), output::disk_path(volume));
            format!("{time}\t{event}\t{name}\t{disk}")
        }
        (Style::Plain, None) => format!("{time}\t{event}\t-\t-"),
        (Style::Terminal, Some(volume)) => {
            format!("{time}  {event:<14}  {}", output::summary(volume))
        }
        (Style::Terminal, None) => format!(
            "{time}  {event:<14}  events were lost: \
             \"storadm volume list\" tells where things are"
        ),
    };
    Ok(line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use stor_netlink::uapi::STOR_VOLUME_STATE_FAILED;
    use stor_netlink::{Text, VolumeState};

    #[test]
    fn lines() {
        let volume = Volume {
            name: Some(Text::from("vm1")),
            disk: Some(Text::from("stor0")),
            length: Some(10 << 30),
            backing: Some(Text::from("/dev/a\tb")),
            ..Volume::default()
        };
        let line = |style, volume| event_line(style, "volume-add", "T", volume).unwrap();
        assert_eq!(
            line(Style::Plain, Some(&volume)),
            "T\tvolume-add\tvm1\t/dev/stor0\n"
        );
        assert_eq!(
            line(Style::Terminal, Some(&volume)),
            "T  volume-add      vm1: /dev/stor0, 10GiB on /dev/a\\tb\n"
        );
        let failed = Volume {
            state: Some(VolumeState(STOR_VOLUME_STATE_FAILED)),
            ..volume.clone()
        };
        assert!(line(Style::Terminal, Some(&failed)).ends_with(", failed\n"));
        assert_eq!(line(Style::Plain, None), "T\tvolume-add\t-\t-\n");
        let json = line(Style::Json, Some(&volume));
        assert_eq!(json.lines().count(), 1);
        assert!(json.starts_with(
            r#"{"schema_version":1,"event":"volume-add","time":"T","volume":{"name":"vm1","#
        ));
    }

    #[test]
    fn the_end_of_the_module() {
        let failure = unloaded();
        assert_eq!(failure.status as u8, 3);
        assert_eq!(failure.message, "the stor module was unloaded");
    }
}
