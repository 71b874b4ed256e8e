// SPDX-License-Identifier: GPL-2.0

//! `storadm key ...`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::help;

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Put a key for an encrypted volume into a keyring of the kernel
    ///
    /// The key comes from standard input, from a file, or from the kernel's random generator, and is
    /// 32 bytes long for AES-128-XTS or 64 for AES-256-XTS. While the tool has it, its memory is
    /// locked, and it leaves no core dump; then the memory is wiped. Prints the name to give to
    /// "storadm volume create --key".
    #[command(after_help = help::KEY_ADD)]
    Add(KeyAddArgs),
    /// List the keys that a volume can be encrypted with
    ///
    /// Those in your session's and your user's keyring, and in keyrings in them. In a pipe: no
    /// header, one key per line, fields separated by tabs: its name, and the number of the user it
    /// belongs to.
    #[command(after_help = help::KEY_LIST)]
    List,
    /// Take a key out of the keyring, and have the kernel forget it
    ///
    /// A volume that was made with it keeps its own copy. Prints nothing unless standard output is a
    /// terminal.
    #[command(after_help = help::KEY_REMOVE)]
    Remove(KeyRemoveArgs),
}

/// Arguments of `key add`.
#[derive(Args, Debug)]
pub struct KeyAddArgs {
    /// Description of the key, as in stor:vm1
    ///
    /// That of a logon key needs a prefix that ends in a colon. The type may be put in front, as in
    /// logon:stor:vm1.
    pub description: String,
    /// Type of the key [default: logon]
    #[arg(long = "type", value_name = "TYPE")]
    pub key_type: Option<KeyTypeChoice>,
    /// Read the key from this file instead of standard input, which - stands for, too
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with = "random")]
    pub file: Option<PathBuf>,
    /// What is read is hexadecimal; white space in it does not count
    #[arg(long, conflicts_with = "random")]
    pub hex: bool,
    /// Draw a key of so many bits, which nobody will know: what is encrypted with it is lost with it
    ///
    /// Refused if there is a key of that name, which would be lost.
    #[arg(long, value_name = "BITS", value_parser = parse_bits)]
    pub random: Option<usize>,
}

/// Arguments of `key remove`.
#[derive(Args, Debug)]
pub struct KeyRemoveArgs {
    /// Name of the key, as in logon:stor:vm1
    #[arg(value_name = "TYPE:DESCRIPTION")]
    pub name: String,
}

/// Types of keys that can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyTypeChoice {
    /// Nobody can read it but the kernel
    Logon,
    /// Its owner can read it
    User,
}

/// Reads the length of a key in bits.
fn parse_bits(text: &str) -> Result<usize, String> {
    match text {
        "256" => Ok(256),
        "512" => Ok(512),
        _ => Err("a key has 256 or 512 bits".to_owned()),
    }
}
