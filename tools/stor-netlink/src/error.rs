// SPDX-License-Identifier: GPL-2.0

//! What can go wrong between the tool and the module.

use std::fmt;
use std::io;

use nix::errno::Errno;

use crate::errno::errno_name;
use crate::text::Text;
use crate::wire::{Ack, Malformed, Policy, Request, TooLong};

/// Why a request got no reply.
#[derive(Debug)]
pub enum Error {
    /// The kernel knows no family of this name.
    NotLoaded,
    /// The module said no.
    Refused(Refusal),
    /// A system call failed.
    System {
        /// What was tried.
        what: &'static str,
        /// How it failed.
        error: io::Error,
    },
    /// The module sent what cannot be read.
    Malformed(Malformed),
    /// A value does not fit into a request.
    TooLong(TooLong),
}

impl Error {
    /// The error number behind this error, if there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused(refusal) => Some(refusal.errno),
            Self::System { error, .. } => error.raw_os_error(),
            _ => None,
        }
    }

    /// The attribute to blame, if there is one.
    pub fn attribute(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => refusal.attribute,
            Self::TooLong(error) => Some(error.attribute),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoaded => {
                f.write_str("the stor module is not loaded (modprobe stor or insmod stor.ko)")
            }
            Self::Refused(refusal) => refusal.fmt(f),
            Self::System { what, error } => match error.raw_os_error() {
                Some(errno) => {
                    let text = Errno::from_raw(errno).desc();
                    write!(f, "{what}: {text} ({})", errno_name(errno))
                }
                None => write!(f, "{what}: {error}"),
            },
            Self::Malformed(error) => error.fmt(f),
            Self::TooLong(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<Malformed> for Error {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl From<TooLong> for Error {
    fn from(error: TooLong) -> Self {
        Self::TooLong(error)
    }
}

/// The module's no. Displays as in `offset: 513 is not a multiple of 512 (EINVAL)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Positive error number.
    pub errno: i32,
    /// The module's own words.
    pub message: Option<Text>,
    /// Name of the attribute to blame.
    pub attribute: Option<&'static str>,
    /// Whether the attribute to blame is missing.
    pub missing: bool,
    /// What the attribute to blame must look like.
    pub policy: Policy,
}

impl Refusal {
    /// Reads `ack`, which answers `request`.
    pub fn new(ack: Ack, request: &Request) -> Self {
        let offset = ack.offset.and_then(|offset| usize::try_from(offset).ok());
        let attribute = offset
            .and_then(|offset| request.attr_at(offset))
            .or(ack.missing)
            .and_then(|kind| request.name_of(kind));
        Self {
            errno: ack.errno,
            message: ack.message,
            attribute,
            missing: offset.is_none() && ack.missing.is_some(),
            policy: ack.policy,
        }
    }

    /// What to say when the kernel only gave an error number.
    fn default_message(&self) -> &'static str {
        match Errno::from_raw(self.errno) {
            _ if self.missing => "missing from the request",
            Errno::EPERM | Errno::EACCES => "not permitted: needs CAP_SYS_ADMIN",
            Errno::ENOENT => "no such volume or backing",
            Errno::EEXIST => "exists already",
            Errno::EBUSY => "in use",
            Errno::EINVAL => "the module refused the request and did not say why",
            Errno::EOPNOTSUPP => "the module does not know this request; it may be too old",
            Errno::ENOMEM => "the kernel is out of memory",
            Errno::UnknownErrno => "the module failed and did not say why",
            errno => errno.desc(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match &self.message {
            Some(text) => text.escape().to_string(),
            None => self.default_message().to_owned(),
        };
        if let Some(name) = self.attribute {
            if !begins_with_word(&message, name) {
                write!(f, "{name}: ")?;
            }
        }
        f.write_str(&message)?;
        let policy = self.policy.to_string();
        if !policy.is_empty() {
            write!(f, ": {policy}")?;
        }
        write!(f, " ({})", errno_name(self.errno))
    }
}

/// Whether `text` begins with `word` and the word ends there.
fn begins_with_word(text: &str, word: &str) -> bool {
    text.strip_prefix(word).is_some_and(|rest| {
        !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn refusal(errno: i32, message: Option<&str>, attribute: Option<&'static str>) -> Refusal {
        Refusal {
            errno,
            message: message.map(Text::from),
            attribute,
            missing: false,
            policy: Policy::default(),
        }
    }

    #[test]
    fn the_kernel_speaks() {
        let text = "offset: 513 is not a multiple of 512";
        assert_eq!(
            refusal(22, Some(text), Some("offset")).to_string(),
            "offset: 513 is not a multiple of 512 (EINVAL)"
        );
        assert_eq!(
            refusal(22, Some("names differ"), Some("name")).to_string(),
            "name: names differ (EINVAL)"
        );
        assert_eq!(
            refusal(16, Some("bad\x1b[2J"), None).to_string(),
            "bad\\u{1b}[2J (EBUSY)"
        );
    }

    #[test]
    fn the_policy_speaks() {
        let mut refusal = refusal(
            34,
            Some("Attribute failed policy validation"),
            Some("backing"),
        );
        refusal.policy.max_len = Some(4095);
        assert_eq!(
            refusal.to_string(),
            "backing: Attribute failed policy validation: at most 4095 bytes (ERANGE)"
        );
    }

    #[test]
    fn the_kernel_is_silent() {
        assert_eq!(
            refusal(1, None, None).to_string(),
            "not permitted: needs CAP_SYS_ADMIN (EPERM)"
        );
        assert_eq!(
            refusal(2, None, Some("name")).to_string(),
            "name: no such volume or backing (ENOENT)"
        );
        let missing = Refusal {
            missing: true,
            ..refusal(22, None, Some("backing"))
        };
        assert_eq!(
            missing.to_string(),
            "backing: missing from the request (EINVAL)"
        );
    }
}
