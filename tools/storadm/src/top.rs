// SPDX-License-Identifier: GPL-2.0

//! A live view of what volumes do.

mod app;
mod columns;
mod detail;
mod list;
mod row;
mod screen;

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use stor_netlink::Volume;

use crate::failure::Failure;
use crate::stat::Reading;
use crate::wait::{next_time, Signals, Wake};
use screen::Screen;

pub use app::{App, Flow};

const WHAT: &str = "cannot use the terminal";

/// How long to wait at most before there is something to see.
const FIRST: Duration = Duration::from_secs(1);

/// Where the numbers come from.
pub trait Source {
    /// Reads what all volumes have done, and what they are.
    fn read(&mut self) -> Result<(Reading, Vec<Volume>), Failure>;
}

/// Shows what `source` tells, until the user or a signal ends it. The terminal is afterwards as it
/// was before.
pub fn run(mut source: impl Source, interval: Duration) -> Result<(), Failure> {
    let broken = |error: io::Error| Failure::system(WHAT, &error);
    let signals = Signals::catch(WHAT)?;
    let (mut before, _) = source.read()?;
    let mut app = App::new(interval);
    let mut screen = Screen::open().map_err(broken)?;
    let mut time = Instant::now() + interval.min(FIRST);
    loop {
        screen.draw(&mut app).map_err(broken)?;
        let stdin = io::stdin();
        match signals.wait(WHAT, Some(stdin.as_fd()), Some(time))? {
            Wake::End => return Ok(()),
            Wake::Ready => {
                for key in screen.keys().map_err(broken)? {
                    if app.key(key) == Flow::Quit {
                        return Ok(());
                    }
                }
            }
            Wake::Time => {
                let (after, volumes) = source.read()?;
                app.update(&before, &after, &volumes);
                before = after;
                time = next_time(time, interval);
            }
        }
    }
}
