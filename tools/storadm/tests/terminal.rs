// SPDX-License-Identifier: GPL-2.0

//! The view on a terminal of its own: what it does to it, and that it gives it back.
//!
//! The view runs in a child, which is this program again. As in the tool, it has one thread, to
//! which all signals go: so this test does without the harness, which has more.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::{ordinary, reading, stat};
use nix::poll::{poll, PollFd, PollFlags};
use nix::pty::{openpty, Winsize};
use nix::sys::signal::{kill, Signal};
use nix::sys::termios::{tcgetattr, LocalFlags};
use nix::unistd::Pid;
use pretty_assertions::assert_eq;
use stor_netlink::Volume;
use storadm::failure::Failure;
use storadm::stat::Reading;
use storadm::top::{run, Source};

/// Tells the child what to do at its third reading.
const ROLE: &str = "STORADM_TEST_TERMINAL";
/// Longer than anything takes here, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Readings that are made up, and an end that is not foreseen.
struct MadeUp {
    role: String,
    start: Instant,
    readings: u32,
}

impl Source for MadeUp {
    fn read(&mut self) -> Result<(Reading, Vec<Volume>), Failure> {
        self.readings += 1;
        if self.readings == 3 {
            match self.role.as_str() {
                "panic" => panic!("made up"),
                "error" => return Err(Failure::new(storadm::failure::Status::Failed, "made up")),
                _ => {}
            }
        }
        let later = self.readings > 1;
        let stats = vec![stat(&ordinary(), later)];
        Ok((reading(self.start, later, stats), vec![ordinary()]))
    }
}

fn main() {
    match std::env::var(ROLE) {
        Ok(role) => child(role),
        Err(_) => {
            keys_and_signals_end_it();
            what_is_not_foreseen_ends_it();
            keys_are_heard_and_sizes_are_followed();
            println!("\ntest result: ok. 3 passed; 0 failed; 0 ignored");
        }
    }
}

fn child(role: String) {
    let source = MadeUp {
        role,
        start: Instant::now(),
        readings: 0,
    };
    let code = match run(source, Duration::from_millis(100)) {
        Ok(()) => 0,
        Err(failure) => {
            eprintln!("failed: {}", failure.message);
            1
        }
    };
    std::process::exit(code);
}

/// A child on a terminal.
struct OnTerminal {
    child: Child,
    terminal: File,
    seen: Vec<u8>,
    /// Where in that to look for what is awaited.
    mark: usize,
}

impl OnTerminal {
    fn start(role: &str) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).unwrap();
        let end = || Stdio::from(OwnedFd::from(File::from(pty.slave.try_clone().unwrap())));
        let child = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, role)
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        Self {
            child,
            terminal: File::from(pty.master),
            seen: Vec::new(),
            mark: 0,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Writes to the view; what is awaited is what comes after that.
    fn write(&mut self, keys: &str) {
        self.mark = self.seen.len();
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads until there is `text`: one word, as what has not changed is not drawn.
    fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !String::from_utf8_lossy(&self.seen[self.mark..]).contains(text) {
            let seen = &self.seen[self.seen.len().saturating_sub(500)..];
            let seen = String::from_utf8_lossy(seen);
            assert!(start.elapsed() < PATIENCE, "no {text:?}: {seen:?}");
            self.read();
        }
    }

    /// Reads what there is, if something comes soon; whether there may be more.
    fn read(&mut self) -> bool {
        let mut fds = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, 100u8).unwrap() == 0 {
            return true;
        }
        let mut buffer = [0; 4096];
        // An error is the end: the other side is closed.
        match self.terminal.read(&mut buffer) {
            Ok(length @ 1..) => self.seen.extend(&buffer[..length]),
            _ => return false,
        }
        true
    }

    fn is_raw(&self) -> bool {
        let flags = tcgetattr(&self.terminal).unwrap().local_flags;
        !flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits for the end, and sees the terminal as it was.
    fn end(mut self) -> (ExitStatus, String) {
        assert!(self.text().contains("\x1b[?1049h"), "{}", self.text());
        let start = Instant::now();
        while self.read() {
            assert!(start.elapsed() < PATIENCE, "it does not end");
        }
        let status = self.child.wait().unwrap();
        assert!(!self.is_raw());
        let text = self.text();
        let (_, last) = text.split_once("\x1b[?1049l").expect("the main screen");
        assert!(last.contains("\x1b[?25h"), "no cursor: {last:?}");
        (status, last.to_owned())
    }
}

fn keys_and_signals_end_it() {
    for end in ["q", "\x03", "TERM", "INT", "HUP"] {
        let mut view = OnTerminal::start("");
        view.wait_for("vm1");
        assert!(view.is_raw());
        match end {
            "TERM" => view.signal(Signal::SIGTERM),
            "INT" => view.signal(Signal::SIGINT),
            "HUP" => view.signal(Signal::SIGHUP),
            keys => view.write(keys),
        }
        let (status, _) = view.end();
        assert_eq!(status.code(), Some(0), "{end:?}");
    }
}

fn what_is_not_foreseen_ends_it() {
    for (role, code) in [("error", 1), ("panic", 101)] {
        let mut view = OnTerminal::start(role);
        view.wait_for("vm1");
        view.wait_for("made up");
        let (status, last) = view.end();
        assert_eq!(status.code(), Some(code), "{role}");
        // Said where people can read it.
        assert!(last.contains("made up"), "{last:?}");
    }
}

fn keys_are_heard_and_sizes_are_followed() {
    let mut view = OnTerminal::start("");
    view.wait_for("vm1");
    // All is drawn anew in a new size.
    for (keys, columns, word) in [("\r", 120, "p99.999"), ("h", 100, "parentheses")] {
        view.write(keys);
        set_size(&view.terminal, columns);
        view.signal(Signal::SIGWINCH);
        view.wait_for(word);
    }
    view.write("q");
    assert_eq!(view.end().0.code(), Some(0));
}

/// Changes the width of a terminal.
fn set_size(terminal: &File, columns: u16) {
    let status = Command::new("stty")
        .args(["cols", &columns.to_string()])
        .stdin(terminal.try_clone().unwrap())
        .status()
        .unwrap();
    assert!(status.success());
}
