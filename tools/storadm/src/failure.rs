// SPDX-License-Identifier: GPL-2.0

//! How a command fails, and with which exit status.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use stor_netlink::{errno_name, Error};

/// Where the kernel shows that the module is there.
const MODULE: &str = "/sys/module/stor";

/// Exit status of the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done, or nobody wants to know.
    Success = 0,
    /// Refused by the module, or failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// No module to talk to.
    NotLoaded = 3,
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit status.
    pub status: Status,
    /// What the user reads; empty if there is nothing to say.
    pub message: String,
    /// Name of the error number, as in `EINVAL`.
    pub errno: Option<String>,
    /// Name of the attribute to blame.
    pub attribute: Option<&'static str>,
}

impl Failure {
    /// A failure without an error number.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            errno: None,
            attribute: None,
        }
    }

    /// Adds to an error of the module what it was that failed.
    pub fn netlink(what: impl Into<String>) -> impl FnOnce(Error) -> Self {
        let what = what.into();
        move |error| {
            let status = match error {
                Error::NotLoaded => return Self::not_loaded(Path::new(MODULE).exists()),
                Error::TooLong(_) => Status::Usage,
                _ => Status::Failed,
            };
            Self {
                status,
                message: format!("{what}: {error}"),
                errno: error.errno().map(errno_name),
                attribute: error.attribute(),
            }
        }
    }

    /// A system call failed in `what`.
    pub fn system(what: &str, error: &io::Error) -> Self {
        let errno = error.raw_os_error();
        let text = match errno {
            Some(errno) => format!("{} ({})", Errno::from_raw(errno).desc(), errno_name(errno)),
            None => error.to_string(),
        };
        Self {
            errno: errno.map(errno_name),
            ..Self::new(Status::Failed, format!("{what}: {text}"))
        }
    }

    fn not_loaded(present: bool) -> Self {
        let message = if present {
            "the stor module is loaded, but cannot be reached from this network namespace".into()
        } else {
            Error::NotLoaded.to_string()
        };
        Self::new(Status::NotLoaded, message)
    }
}

/// Standard output could not be written.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // The reader has seen enough.
            return Self::new(Status::Success, "");
        }
        Self::system("cannot write to standard output", &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use stor_netlink::wire::TooLong;

    #[test]
    fn statuses() {
        let failure = Failure::netlink("x")(Error::TooLong(TooLong { attribute: "name" }));
        assert_eq!(failure.status, Status::Usage);
        assert_eq!(failure.message, "x: name: too long");
        assert_eq!(failure.attribute, Some("name"));

        assert_eq!(
            Failure::not_loaded(false),
            Failure::new(
                Status::NotLoaded,
                "the stor module is not loaded (modprobe stor or insmod stor.ko)"
            )
        );
        assert_eq!(Failure::not_loaded(true).status, Status::NotLoaded);

        let full = Failure::from(io::Error::from_raw_os_error(28));
        assert_eq!(
            full.message,
            "cannot write to standard output: No space left on device (ENOSPC)"
        );
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(
            (closed.status, closed.message.as_str()),
            (Status::Success, "")
        );
    }
}
