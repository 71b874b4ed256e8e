// SPDX-License-Identifier: GPL-2.0

//! `storadm volume ...`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use stor_netlink::{Selector, Uuid};

use super::help;
use crate::size::{parse_sector, parse_size};

/// Commands on volumes.
#[derive(Debug, Subcommand)]
pub enum VolumeCommand {
    /// Create a volume and its disk
    ///
    /// Opens the backing exclusively and makes the disk /dev/storN. Prints a line for people when
    /// standard output is a terminal, and only the path of the disk when it is not.
    #[command(after_help = help::CREATE)]
    Create(CreateArgs),
    /// Make a volume of the data in a LUKS2 container
    ///
    /// Unlocks the container with a passphrase and makes the disk /dev/storN over its data: what
    /// "cryptsetup open" does, by stor in place of dm-crypt. The passphrase is asked for if standard
    /// input is a terminal; else it is its first line. The header is not changed, and the container
    /// is closed by deleting the volume.
    ///
    /// Only aes-xts-plain64 with a key of 256 or 512 bits is taken, on the device that has the header
    /// too, without integrity protection, and not while it is being reencrypted. Tokens are not used.
    ///
    /// Passphrase and key stay in locked memory, and leave no core dump. The kernel gets the key by a
    /// keyring of this process, logon:stor:luks:UUID, which is gone when this is done. Prints what
    /// "storadm volume create" prints.
    #[command(after_help = help::OPEN_LUKS)]
    OpenLuks(OpenLuksArgs),
    /// Delete a volume and its disk
    ///
    /// The data on the backing stays. A volume whose disk is open is not deleted; the disk gets a
    /// second to be closed, as udev opens each new disk for a moment. Prints nothing
    /// unless standard output is a terminal.
    #[command(after_help = help::DELETE)]
    Delete(SelectorArgs),
    /// Change a volume while it is in use
    ///
    /// The gate of the volume is closed: I/O that comes waits, and I/O in flight ends. Then the
    /// change is made and the gate is opened again; no I/O fails. Making a volume shorter, and
    /// making it read-only, is refused while its disk is open; the disk gets a second to be closed,
    /// as udev opens each new disk for a moment. Prints nothing unless standard output is a
    /// terminal.
    #[command(after_help = help::SET)]
    Set(SetArgs),
    /// Wait until all I/O that a volume has taken has ended, and tell how long that took
    ///
    /// The gate of the volume is closed, and opened again when the I/O in flight has ended. I/O
    /// that comes meanwhile waits and does not fail. Prints how long the gate was closed: for people
    /// on a terminal, else as a number of nanoseconds.
    #[command(after_help = help::GATE)]
    Gate(SelectorArgs),
    /// Make an encrypted volume forget its key, while its disk stays
    ///
    /// I/O in flight ends, and the key is wiped from the kernel's memory. I/O that comes then waits
    /// until the volume is unlocked, or fails. What guests and file systems have read stays in
    /// their memory. A volume that is locked already can be locked in the other way. Prints nothing
    /// unless standard output is a terminal.
    #[command(after_help = help::LOCK)]
    Lock(LockArgs),
    /// Give a locked volume its key again
    ///
    /// The key is taken from your keyrings, as by "storadm volume create", and must be the one of
    /// before: with another key the data would be lost. With --luks a passphrase opens the container
    /// that the volume lies in, once more. I/O that waits goes on. Prints nothing unless standard
    /// output is a terminal.
    #[command(after_help = help::UNLOCK)]
    Unlock(UnlockArgs),
    /// List all volumes in the order of their index
    ///
    /// On a terminal: a table with a header and sizes in binary units. Otherwise: no header, one
    /// volume per line, fields separated by tabs, sizes in bytes, times in nanoseconds, "-" for what
    /// is not known; the fields are name, disk, size, state, offset, uuid, backing, read-only (on or
    /// off), how often the gate was closed, for how long the last time, and for how long at most.
    #[command(after_help = help::LIST)]
    List(ListArgs),
    /// Show everything about one volume
    ///
    /// On a terminal: one aligned line for each property. Otherwise: the name of the property, a
    /// tab and its value, sizes in bytes and times in nanoseconds.
    #[command(after_help = help::SHOW)]
    Show(ShowArgs),
}

/// Arguments of `volume create`.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Name of the volume: 1 to 31 of A-Z, a-z, 0-9, dot, underscore and hyphen
    pub name: String,
    /// Block device that holds the data
    ///
    /// A relative path is made absolute; symbolic links are kept as they are, so that a name such
    /// as /dev/disk/by-id/... stays what "storadm volume show" reports.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub backing: PathBuf,
    /// First byte of the volume on the backing [default: 0]
    ///
    /// A multiple of the backing's logical block size.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub offset: Option<u64>,
    /// Size of the volume [default: all that follows the offset]
    ///
    /// A multiple of the backing's logical block size.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub length: Option<u64>,
    /// The N of /dev/storN [default: the lowest free one]
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// UUID of the volume [default: a random one]
    #[arg(long)]
    pub uuid: Option<Uuid>,
    /// Make a disk that refuses writes
    #[arg(long)]
    pub read_only: bool,
    /// Encrypt the data with the key of this name in your keyrings
    ///
    /// TYPE:DESCRIPTION, where TYPE is logon, user, encrypted or trusted. The key is 32 or 64 bytes
    /// long, for AES-128-XTS or AES-256-XTS. It is copied when the volume is created, and may leave
    /// the keyring after that. The format is aes-xts-plain64 of dm-crypt.
    #[arg(long, value_name = "TYPE:DESCRIPTION")]
    pub key: Option<String>,
    /// Size of what is encrypted by itself: 512, 1024, 2048 or 4096 bytes
    ///
    /// It divides the size of the volume, and no I/O to its disk is smaller. The default is 4096 if
    /// that divides offset and size, else the backing's logical block size.
    #[arg(long, value_name = "SIZE", value_parser = parse_sector, requires = "key")]
    pub sector_size: Option<u32>,
    /// What is added to the number of a sector to get its initialization vector, in units of 512
    /// bytes [default: 0]
    #[arg(long, value_name = "N", requires = "key")]
    pub iv_offset: Option<u64>,
    /// Count initialization vectors in units of the sector size instead of 512 bytes
    #[arg(long, requires = "key")]
    pub iv_large_sectors: bool,
    /// Pass discards on, which tells whoever sees the backing which blocks are free
    #[arg(long, requires = "key")]
    pub allow_discards: bool,
    /// Who encrypts [default: auto]
    ///
    /// The ciphertext is the same. blk-crypto needs a key of 64 bytes, and --iv-large-sectors unless
    /// the sector size is 512.
    #[arg(long, value_name = "ENGINE", requires = "key")]
    pub crypto_engine: Option<Engine>,
}

/// Who encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Hardware of the backing if it can, else stor.
    Auto,
    /// stor.
    Software,
    /// Hardware of the backing, or the kernel in its place.
    BlkCrypto,
}

/// Arguments of `volume open-luks`.
#[derive(Args, Debug)]
pub struct OpenLuksArgs {
    /// Block device that holds the container
    ///
    /// A relative path is made absolute; symbolic links are kept as they are, as by "storadm volume
    /// create".
    #[arg(value_hint = ValueHint::FilePath)]
    pub device: PathBuf,
    /// Name of the volume: 1 to 31 of A-Z, a-z, 0-9, dot, underscore and hyphen
    pub name: String,
    /// Take all of this file as the passphrase, line breaks too; - is standard input
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
    /// Try this key slot only [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..32))]
    pub key_slot: Option<u32>,
    /// The N of /dev/storN [default: the lowest free one]
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// UUID of the volume, which is not that of the container [default: a random one]
    #[arg(long)]
    pub uuid: Option<Uuid>,
    /// Make a disk that refuses writes
    #[arg(long)]
    pub read_only: bool,
    /// Pass discards on, which tells whoever sees the backing which blocks are free
    ///
    /// They are passed on without it, too, if the header has the flag allow-discards.
    #[arg(long)]
    pub allow_discards: bool,
    /// Who encrypts [default: auto]
    ///
    /// blk-crypto needs a container with a key of 512 bits and sectors of 512 bytes.
    #[arg(long, value_name = "ENGINE")]
    pub crypto_engine: Option<Engine>,
}

/// Arguments of `volume set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The volume.
    #[command(flatten)]
    pub volume: SelectorArgs,
    /// What is changed.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Arguments of `volume lock`.
#[derive(Args, Debug)]
pub struct LockArgs {
    /// The volume.
    #[command(flatten)]
    pub volume: SelectorArgs,
    /// Let I/O wait until the volume is unlocked; this is the default
    #[arg(long, conflicts_with = "fail")]
    pub hold: bool,
    /// Let I/O fail until the volume is unlocked
    #[arg(long)]
    pub fail: bool,
}

/// Arguments of `volume unlock`.
#[derive(Args, Debug)]
pub struct UnlockArgs {
    /// The volume.
    #[command(flatten)]
    pub volume: SelectorArgs,
    /// Name of the key in your keyrings [default: the name that it had before]
    #[arg(long, value_name = "TYPE:DESCRIPTION")]
    pub key: Option<String>,
    /// Take the key out of the LUKS2 container on the backing, by a passphrase
    ///
    /// For a volume of "storadm volume open-luks", and as that does it.
    #[arg(long, conflicts_with = "key")]
    pub luks: bool,
    /// Take all of this file as the passphrase, line breaks too; - is standard input
    #[arg(long, value_name = "PATH", requires = "luks", value_hint = ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
    /// Try this key slot only [default: all]
    #[arg(long, value_name = "N", requires = "luks", value_parser = clap::value_parser!(u32).range(..32))]
    pub key_slot: Option<u32>,
}

/// What `volume set` changes: at least one thing.
#[derive(Args, Clone, Copy, Debug)]
#[group(required = true, multiple = true)]
pub struct ChangeArgs {
    /// New size of the volume, a multiple of the backing's logical block size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub length: Option<u64>,
    /// Whether the disk refuses writes
    #[arg(long, value_name = "WHETHER")]
    pub read_only: Option<OnOff>,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Names exactly one volume.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct SelectorArgs {
    /// Name of the volume
    pub name: Option<String>,
    /// UUID of the volume, instead of its name
    #[arg(long)]
    pub uuid: Option<Uuid>,
    /// The N of /dev/storN, instead of the volume's name
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
}

impl SelectorArgs {
    /// The one selector that was given; `None` cannot pass the parser.
    pub fn selector(&self) -> Option<Selector> {
        None.or_else(|| self.name.clone().map(Selector::Name))
            .or_else(|| self.uuid.map(Selector::Uuid))
            .or_else(|| self.index.map(Selector::Index))
    }
}

/// Arguments of `volume list`.
#[derive(Args, Clone, Copy, Debug)]
pub struct ListArgs {
    /// Print sizes in bytes on a terminal too
    #[arg(long)]
    pub bytes: bool,
}

/// Arguments of `volume show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The volume.
    #[command(flatten)]
    pub volume: SelectorArgs,
    /// Print sizes in bytes on a terminal too
    #[arg(long)]
    pub bytes: bool,
}
