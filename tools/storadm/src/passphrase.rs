// SPDX-License-Identifier: GPL-2.0

//! A passphrase on its way from the user to libcryptsetup.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::sys::termios::{tcgetattr, tcsetattr, LocalFlags, SetArg, Termios};
use stor_netlink::Text;
use zeroize::Zeroizing;

use crate::failure::{Failure, Status};
use crate::wait::{Signals, Wake};

/// Longest passphrase, as cryptsetup has it.
const MAX: usize = 8 << 20;

/// A path, safe for a terminal.
fn shown(path: &Path) -> String {
    Text::from(&*path.to_string_lossy()).escape().to_string()
}

/// A passphrase. Its memory is wiped when it is dropped, and is never moved.
pub struct Passphrase {
    bytes: Zeroizing<Vec<u8>>,
    length: usize,
}

impl Passphrase {
    fn new() -> Self {
        Self {
            bytes: Zeroizing::new(vec![0; MAX + 1]),
            length: 0,
        }
    }

    /// The passphrase.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Reads all there is: what a key file has.
    fn read_all(&mut self, from: &mut impl Read) -> io::Result<()> {
        while self.length <= MAX && self.read_some(from, MAX)? {}
        Ok(())
    }

    /// Reads up to the end of the line, which is no part of it.
    fn read_line(&mut self, from: &mut impl Read) -> io::Result<()> {
        while self.length <= MAX && self.read_byte(from)? {}
        Ok(())
    }

    /// Reads the next byte of a line; gives whether there may be more. What follows the line stays
    /// where it is.
    fn read_byte(&mut self, from: &mut impl Read) -> io::Result<bool> {
        if !self.read_some(from, 1)? {
            return Ok(false);
        }
        if self.bytes[self.length - 1] == b'\n' {
            self.length -= 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads up to `most` bytes; gives whether there were any.
    fn read_some(&mut self, from: &mut impl Read, most: usize) -> io::Result<bool> {
        let end = self.bytes.len().min(self.length.saturating_add(most));
        loop {
            match from.read(&mut self.bytes[self.length..end]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.length += count;
                    return Ok(count > 0);
                }
            }
        }
    }

    fn check(self, what: &str) -> Result<Self, Failure> {
        let why = match self.length {
            0 => "the passphrase is empty",
            1..=MAX => return Ok(self),
            _ => "the passphrase is longer than 8 MiB",
        };
        Err(Failure::new(Status::Failed, format!("{what}: {why}")))
    }

    /// Reads a passphrase: all of a key file, or one line of standard input, which is asked for if
    /// that is a terminal. The key file `-` is all of standard input.
    ///
    /// # Errors
    ///
    /// If it can not be read, or is none; `what` is what fails then.
    pub fn get(what: &str, device: &Path, key_file: Option<&Path>) -> Result<Self, Failure> {
        let mut passphrase = Self::new();
        let failed = |error| Failure::system(&format!("{what}: passphrase"), &error);
        match key_file {
            Some(path) if path != Path::new("-") => {
                let what = format!("{what}: key file {}", shown(path));
                File::open(path)
                    .and_then(|mut file| passphrase.read_all(&mut file))
                    .map_err(|error| Failure::system(&what, &error))?;
            }
            _ => {
                // Not by the standard input of the library, whose buffer nobody wipes.
                let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
                if stdin.is_terminal() {
                    passphrase.ask(what, device, stdin)?;
                } else if key_file.is_some() {
                    passphrase
                        .read_all(&mut File::from(stdin))
                        .map_err(failed)?;
                } else {
                    passphrase
                        .read_line(&mut File::from(stdin))
                        .map_err(failed)?;
                }
            }
        }
        passphrase.check(what)
    }

    /// Asks for it on a terminal, which shows nothing of it.
    fn ask(&mut self, what: &str, device: &Path, terminal: OwnedFd) -> Result<(), Failure> {
        let failed = |error| Failure::system(&format!("{what}: passphrase"), &error);
        let signals = Signals::catch(what)?;
        let silence = Silence::new(&terminal).map_err(failed)?;
        // By the same line that errors come by: standard output is for data.
        let mut stderr = io::stderr();
        let _: io::Result<()> = write!(stderr, "Passphrase for {}: ", shown(device));
        let mut file = File::from(terminal.try_clone().map_err(failed)?);
        let read = loop {
            match signals.wait(what, Some(terminal.as_fd()), None) {
                Ok(Wake::End) => break Ok(false),
                Ok(_) => match self.read_byte(&mut file) {
                    Ok(true) if self.length <= MAX => {}
                    Ok(_) => break Ok(true),
                    Err(error) => break Err(failed(error)),
                },
                Err(failure) => break Err(failure),
            }
        };
        drop(silence);
        let _: io::Result<()> = writeln!(stderr);
        // A signal that came ends the tool here.
        signals.release(what)?;
        match read? {
            true => Ok(()),
            false => Err(Failure::new(
                Status::Failed,
                format!("{what}: no passphrase was given"),
            )),
        }
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silence<'a> {
    terminal: &'a OwnedFd,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn new(terminal: &'a OwnedFd) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        silent.local_flags.insert(LocalFlags::ICANON);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // There is nobody left to tell when this fails.
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    /// Gives a byte at a time, as a terminal may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let most = to.len().min(1);
            self.0.read(&mut to[..most])
        }
    }

    #[test]
    fn a_line_ends_where_it_does() {
        for (text, want, left) in [
            (&b"secret\nmore"[..], &b"secret"[..], 4),
            (b"secret", b"secret", 0),
            (b"\x00\xff \r\n", b"\x00\xff \r", 0),
            (b"\n", b"", 0),
            (b"", b"", 0),
        ] {
            let mut from = text;
            let mut passphrase = Passphrase::new();
            passphrase.read_line(&mut from).unwrap();
            assert_eq!(passphrase.as_bytes(), want);
            assert_eq!(from.len(), left, "what follows stays");
        }
    }

    #[test]
    fn a_file_is_taken_whole() {
        let mut passphrase = Passphrase::new();
        passphrase.read_all(&mut Slow(b"one\ntwo\n")).unwrap();
        assert_eq!(passphrase.as_bytes(), b"one\ntwo\n");
    }

    #[test]
    fn too_short_and_too_long_are_refused() {
        let check = |count| {
            let mut passphrase = Passphrase::new();
            passphrase
                .read_all(&mut io::repeat(b'x').take(count))
                .unwrap();
            passphrase.check("x").map(|it| it.length)
        };
        assert_eq!(check(0).unwrap_err().message, "x: the passphrase is empty");
        assert_eq!(check(1), Ok(1));
        assert_eq!(check(8 << 20), Ok(8 << 20));
        for count in [(8 << 20) + 1, 9 << 20] {
            assert_eq!(
                check(count).unwrap_err().message,
                "x: the passphrase is longer than 8 MiB"
            );
        }
    }
}
