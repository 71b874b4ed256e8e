// SPDX-License-Identifier: GPL-2.0

//! How what is known is shown: for people, for programs, or as JSON.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use stor_netlink::uapi::STOR_VOLUME_STATE_LIVE;
use stor_netlink::{CryptoEngine, Info, Text, Volume, VolumeLock, VolumeState};

use crate::duration::human_duration;
use crate::failure::Failure;
use crate::json::{Document, JsonError, JsonWarning};
use crate::size::human_size;
use crate::table::{aligned, key_values, tabbed, Align};

/// Stands for what is not known.
const UNKNOWN: &str = "-";

/// The state of a volume that is well.
const LIVE: VolumeState = VolumeState(STOR_VOLUME_STATE_LIVE);

/// For whom output is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// People at a terminal.
    Terminal,
    /// Programs that read lines.
    Plain,
    /// Programs that read JSON.
    Json,
}

impl Style {
    /// The style for standard output.
    pub fn detect(json: bool) -> Self {
        match json {
            true => Self::Json,
            false if io::stdout().is_terminal() => Self::Terminal,
            false => Self::Plain,
        }
    }
}

/// Writes to standard output and leaves nothing in its buffer.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Writes a JSON document over several lines.
pub fn print_json(body: impl Serialize) -> Result<(), Failure> {
    let text = Document::new(body).pretty().map_err(io::Error::from)?;
    print(&(text + "\n"))
}

/// Says what failed on standard error, if there is anything to say.
pub fn print_failure(json: bool, failure: &Failure) {
    if !failure.message.is_empty() {
        say(json, JsonError::from(failure), &failure.message);
    }
}

/// Says on standard error what the user should know.
pub fn print_warning(json: bool, warning: &str) {
    say(
        json,
        JsonWarning { warning },
        &format!("warning: {warning}"),
    );
}

fn say(json: bool, body: impl Serialize, text: &str) {
    let line = match Document::new(body).line() {
        Ok(line) if json => line,
        _ => format!("storadm: {text}"),
    };
    // There is nobody left to tell when this fails.
    let _ = writeln!(io::stderr(), "{line}");
}

/// A text as it is shown.
pub fn text(text: &Option<Text>) -> String {
    match text {
        Some(text) => text.escape().to_string(),
        None => UNKNOWN.to_owned(),
    }
}

fn number(number: Option<impl ToString>) -> String {
    number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string())
}

fn size(size: Option<u64>, human: bool) -> String {
    match size {
        Some(size) if human => human_size(size),
        size => number(size),
    }
}

/// As the option of `volume set` has it.
fn on_off(value: Option<bool>) -> String {
    number(value.map(|on| if on { "on" } else { "off" }))
}

fn duration(nanos: Option<u64>) -> String {
    number(nanos.map(human_duration))
}

/// How long the gate of a volume was closed the last time.
pub fn gate_last(style: Style, volume: &Volume) -> String {
    match style {
        Style::Terminal => duration(volume.gate_last),
        _ => number(volume.gate_last),
    }
}

/// How often and for how long the gate of a volume was closed, for people.
pub fn gate(volume: &Volume) -> String {
    match volume.gate_count {
        None => UNKNOWN.to_owned(),
        Some(0) => "never closed".to_owned(),
        Some(1) => format!("closed once, for {}", duration(volume.gate_last)),
        Some(count) => format!(
            "closed {count} times, last for {}, longest {}",
            duration(volume.gate_last),
            duration(volume.gate_longest)
        ),
    }
}

/// What happens to the I/O of a locked volume, for people.
pub fn lock(volume: &Volume) -> String {
    match volume.lock {
        Some(VolumeLock::HOLD) => "waits".to_owned(),
        Some(VolumeLock::FAIL) => "fails".to_owned(),
        other => number(other),
    }
}

/// Name of a volume.
pub fn name(volume: &Volume) -> String {
    text(&volume.name)
}

/// Path of a volume's disk.
pub fn disk_path(volume: &Volume) -> String {
    match &volume.disk {
        Some(disk) => format!("/dev/{}", disk.escape()),
        None => UNKNOWN.to_owned(),
    }
}

/// A few words about a volume.
pub fn summary(volume: &Volume) -> String {
    // Worth a word only when it is not as it should be.
    let state = match volume.state {
        Some(state) if state != LIVE => format!(", {state}"),
        _ => String::new(),
    };
    let read_only = match volume.read_only {
        Some(true) => ", read-only",
        _ => "",
    };
    let encrypted = match volume.cipher {
        Some(_) => ", encrypted",
        None => "",
    };
    format!(
        "{}: {}, {} on {}{encrypted}{read_only}{state}",
        name(volume),
        disk_path(volume),
        size(volume.length, true),
        text(&volume.backing)
    )
}

/// All volumes, one on each line.
pub fn volumes(style: Style, bytes: bool, volumes: &[Volume]) -> String {
    let human = style == Style::Terminal && !bytes;
    if style != Style::Terminal {
        // What was added later is at the end: scripts count fields.
        let rows: Vec<_> = volumes
            .iter()
            .map(|volume| {
                [
                    name(volume),
                    disk_path(volume),
                    number(volume.length),
                    number(volume.state),
                    number(volume.offset),
                    number(volume.uuid),
                    text(&volume.backing),
                    on_off(volume.read_only),
                    number(volume.gate_count),
                    number(volume.gate_last),
                    number(volume.gate_longest),
                ]
            })
            .collect();
        return tabbed(&rows);
    }
    let rows: Vec<_> = volumes
        .iter()
        .map(|volume| {
            [
                name(volume),
                disk_path(volume),
                size(volume.length, human),
                number(volume.state),
                on_off(volume.read_only),
                size(volume.offset, human),
                number(volume.gate_count),
                duration(volume.gate_longest),
                number(volume.uuid),
                text(&volume.backing),
            ]
        })
        .collect();
    // Last is what may be long, or hold characters of other widths.
    let header = [
        ("NAME", Align::Left),
        ("DISK", Align::Left),
        ("SIZE", Align::Right),
        ("STATE", Align::Left),
        ("READ-ONLY", Align::Left),
        ("OFFSET", Align::Right),
        ("GATED", Align::Right),
        ("LONGEST", Align::Right),
        ("UUID", Align::Left),
        ("BACKING", Align::Left),
    ];
    aligned(header, &rows)
}

/// Everything about one volume.
pub fn volume(style: Style, bytes: bool, volume: &Volume) -> String {
    if style == Style::Terminal {
        key_values(&volume_for_people(bytes, volume))
    } else {
        tabbed(&volume_for_programs(volume))
    }
}

/// The same keys in the same order as in JSON.
fn volume_for_programs(volume: &Volume) -> Vec<[String; 2]> {
    [
        ("name", name(volume)),
        ("uuid", number(volume.uuid)),
        ("index", number(volume.index)),
        ("disk", text(&volume.disk)),
        ("path", disk_path(volume)),
        ("dev_major", number(volume.dev_major)),
        ("dev_minor", number(volume.dev_minor)),
        ("state", number(volume.state)),
        ("read_only", on_off(volume.read_only)),
        ("length", number(volume.length)),
        ("logical_block_size", number(volume.logical_block_size)),
        ("physical_block_size", number(volume.physical_block_size)),
        ("backing", text(&volume.backing)),
        ("offset", number(volume.offset)),
        ("backing_disk", text(&volume.backing_disk)),
        ("backing_major", number(volume.backing_major)),
        ("backing_minor", number(volume.backing_minor)),
        ("gate_count", number(volume.gate_count)),
        ("gate_last_ns", number(volume.gate_last)),
        ("gate_longest_ns", number(volume.gate_longest)),
        ("key", text(&volume.key)),
        ("cipher", text(&volume.cipher)),
        ("cipher_driver", text(&volume.cipher_driver)),
        ("cipher_slow", on_off(volume.cipher_slow)),
        ("key_size", number(volume.key_size)),
        ("crypto_sector", number(volume.crypto_sector)),
        ("iv_offset", number(volume.iv_offset)),
        ("iv_large_sectors", on_off(volume.iv_large_sectors)),
        ("discard", on_off(volume.discard)),
        ("lock", number(volume.lock)),
        ("crypto_engine", number(volume.crypto_engine)),
        ("crypto_native", on_off(volume.crypto_native)),
    ]
    .map(|(key, value)| [key.to_owned(), value])
    .to_vec()
}

/// How a volume is encrypted, if it is.
fn encryption_for_people(volume: &Volume) -> Vec<[String; 2]> {
    if volume.cipher.is_none() {
        return Vec::new();
    }
    let slow = match volume.cipher_slow {
        Some(true) => " (slow)",
        _ => "",
    };
    let by = match (volume.crypto_engine, volume.crypto_native) {
        (Some(CryptoEngine::BLK_CRYPTO), Some(true)) => {
            "the backing's hardware (blk-crypto)".to_owned()
        }
        (Some(CryptoEngine::BLK_CRYPTO), _) => "the kernel (blk-crypto's fallback)".to_owned(),
        _ => format!("{}{slow}", text(&volume.cipher_driver)),
    };
    [
        (
            "Cipher",
            format!(
                "{}, {}-bit key, by {by}",
                text(&volume.cipher),
                number(volume.key_size),
            ),
        ),
        ("Key", text(&volume.key)),
        ("Sector size", number(volume.crypto_sector)),
        (
            "IV",
            format!(
                "of {}, from {}",
                match volume.iv_large_sectors {
                    Some(true) => "sectors",
                    _ => "512 bytes",
                },
                number(volume.iv_offset)
            ),
        ),
        ("Discards", on_off(volume.discard)),
    ]
    .map(|(key, value)| [key.to_owned(), value])
    .to_vec()
}

fn volume_for_people(bytes: bool, volume: &Volume) -> Vec<[String; 2]> {
    // People want both: a size they can grasp and one they can rely on.
    let both = |value: Option<u64>| match value {
        Some(value) if !bytes && value >= 1024 => {
            format!("{} ({value} bytes)", human_size(value))
        }
        value => number(value),
    };
    let device =
        |disk: String, major, minor| format!("{disk} ({}:{})", number(major), number(minor));
    [
        ("Name", name(volume)),
        ("UUID", number(volume.uuid)),
        ("Index", number(volume.index)),
        (
            "Disk",
            device(disk_path(volume), volume.dev_major, volume.dev_minor),
        ),
        (
            "State",
            match volume.lock {
                Some(_) => format!("{}, I/O {}", number(volume.state), lock(volume)),
                None => number(volume.state),
            },
        ),
        ("Read-only", on_off(volume.read_only)),
        ("Size", both(volume.length)),
        (
            "Block size",
            format!(
                "{} logical, {} physical",
                number(volume.logical_block_size),
                number(volume.physical_block_size)
            ),
        ),
        ("Backing", text(&volume.backing)),
        (
            "Backing disk",
            device(
                text(&volume.backing_disk),
                volume.backing_major,
                volume.backing_minor,
            ),
        ),
        ("Offset", both(volume.offset)),
        ("Gate", gate(volume)),
    ]
    .map(|(key, value)| [key.to_owned(), value])
    .into_iter()
    .chain(encryption_for_people(volume))
    .collect()
}

/// What tool and module are.
pub fn info(style: Style, tool_version: &str, info: &Info) -> String {
    let people = style == Style::Terminal;
    let features = info.feature_names();
    let rows = [
        ("Tool version", "tool_version", tool_version.to_owned()),
        (
            "Tool ABI version",
            "tool_abi_version",
            stor_netlink::uapi::STOR_ABI_VERSION.to_string(),
        ),
        (
            "Module version",
            "module_version",
            text(&info.module_version),
        ),
        (
            "Module ABI version",
            "abi_version",
            number(info.abi_version),
        ),
        (
            "Features",
            "features",
            match info.features {
                None => UNKNOWN.to_owned(),
                Some(_) => features.join(if people { " " } else { "," }),
            },
        ),
    ]
    .map(|(title, key, value)| [if people { title } else { key }.to_owned(), value]);
    if people {
        key_values(&rows)
    } else {
        tabbed(&rows)
    }
}
