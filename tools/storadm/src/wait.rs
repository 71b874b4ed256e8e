// SPDX-License-Identifier: GPL-2.0

//! Waiting for what comes next, or for the end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::failure::Failure;

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// There may be something to read.
    Ready,
    /// The time has come.
    Time,
    /// A signal asks to end, or nobody reads.
    End,
}

/// The signals that ask the tool to end.
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// From here on these signals wait until they are asked for. `what` fails if this does.
    pub(crate) fn catch(what: &str) -> Result<Self, Failure> {
        let catch = || {
            let signals = Self::set();
            signals.thread_block()?;
            SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        };
        match catch() {
            Ok(fd) => Ok(Self(fd)),
            Err(errno) => Err(Failure::system(what, &errno.into())),
        }
    }

    /// From here on they do again what they do to any program; those that have come, too.
    pub(crate) fn release(self, what: &str) -> Result<(), Failure> {
        Self::set()
            .thread_unblock()
            .map_err(|errno| Failure::system(what, &errno.into()))
    }

    fn set() -> SigSet {
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
            .into_iter()
            .collect()
    }

    /// Waits until `fd` can be read, or until `deadline`.
    pub(crate) fn wait(
        &self,
        what: &str,
        fd: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> Result<Wake, Failure> {
        let stdout = io::stdout();
        let mut fds = vec![
            PollFd::new(self.0.as_fd(), PollFlags::POLLIN),
            // Nothing is asked for: only errors are reported, as when the reader of a pipe is gone.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
        ];
        fds.extend(fd.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        loop {
            match poll(&mut fds, timeout(deadline)) {
                // Whoever handles that signal may have something to read now.
                Err(Errno::EINTR) => return Ok(Wake::Ready),
                Err(errno) => return Err(Failure::system(what, &errno.into())),
                Ok(_) => {}
            }
            let woken = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
            if woken(&fds[0]) || woken(&fds[1]) {
                return Ok(Wake::End);
            }
            if fds.get(2).is_some_and(woken) {
                return Ok(Wake::Ready);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Wake::Time);
            }
        }
    }
}

/// How long poll may wait: to the next millisecond after the deadline, lest it spins before it.
fn timeout(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else {
        return PollTimeout::NONE;
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return PollTimeout::ZERO;
    }
    PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
}

/// The next of a row of times that are `interval` apart; none of those that were missed.
pub(crate) fn next_time(last: Instant, interval: Duration) -> Instant {
    let (next, now) = (last + interval, Instant::now());
    if next > now {
        next
    } else {
        now + interval
    }
}
