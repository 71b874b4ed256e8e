// SPDX-License-Identifier: GPL-2.0

//! `storadm volume ...`.

use std::os::unix::ffi::OsStringExt;
use std::path::{self, Path};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use stor_netlink::{Change, CryptoEngine, NewVolume, Selector, Volume, VolumeLock};

use super::{connect, key::see_user_keys, pass_on_warning};
use crate::cli::{
    CreateArgs, Engine, ListArgs, LockArgs, OnOff, SelectorArgs, SetArgs, ShowArgs, UnlockArgs,
};
use crate::failure::{Failure, Status};
use crate::json::{Deleted, OneVolume, Volumes};
use crate::output::{self, disk_path, print, print_json, print_warning, Style};

/// How long something is tried that an open disk forbids, and how often.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
const CLOSE_PAUSE: Duration = Duration::from_millis(50);

pub(super) fn create(style: Style, args: &CreateArgs) -> Result<(), Failure> {
    let request = request(args)?;
    let what = format!("cannot create volume {}", Selector::Name(args.name.clone()));
    if args.key.is_some() {
        see_user_keys();
    }
    let mut client = connect(&what)?;
    let volume = client
        .volume_new(&request)
        .map_err(Failure::netlink(what))?;
    pass_on_warning(style, &mut client);
    created(style, &volume)
}

/// Tells of a volume that was made.
pub(super) fn created(style: Style, volume: &Volume) -> Result<(), Failure> {
    warn_if_slow(style, volume);
    match style {
        Style::Json => print_json(OneVolume {
            volume: volume.into(),
        }),
        Style::Plain => print(&format!("{}\n", disk_path(volume))),
        Style::Terminal => print(&format!("created volume {}\n", output::summary(volume))),
    }
}

/// The request that the arguments ask for.
fn request(args: &CreateArgs) -> Result<NewVolume, Failure> {
    Ok(NewVolume {
        name: args.name.clone(),
        backing: absolute(&args.backing)?,
        offset: args.offset,
        length: args.length,
        index: args.index,
        uuid: args.uuid,
        // Off is what the module takes it to be.
        read_only: args.read_only.then_some(true),
        key: args.key.clone(),
        crypto_sector: args.sector_size,
        iv_offset: args.iv_offset,
        iv_large_sectors: args.iv_large_sectors.then_some(true),
        discard: args.allow_discards.then_some(true),
        crypto_engine: args.crypto_engine.map(engine),
    })
}

/// An engine, as the module calls it.
pub(super) fn engine(engine: Engine) -> CryptoEngine {
    match engine {
        Engine::Auto => CryptoEngine::AUTO,
        Engine::Software => CryptoEngine::SOFTWARE,
        Engine::BlkCrypto => CryptoEngine::BLK_CRYPTO,
    }
}

/// The path as the module shall record it: absolute, but with symbolic links as given.
pub(super) fn absolute(path: &Path) -> Result<Vec<u8>, Failure> {
    match path::absolute(path) {
        Ok(path) => Ok(path.into_os_string().into_vec()),
        Err(_) if path.as_os_str().is_empty() => Err(Failure::new(
            Status::Usage,
            "backing: the path of a block device is missing",
        )),
        Err(error) => Err(Failure::system(
            "cannot make the backing's path absolute",
            &error,
        )),
    }
}

pub(super) fn delete(style: Style, args: &SelectorArgs) -> Result<(), Failure> {
    let selector = selector(args)?;
    let what = format!("cannot delete volume {selector}");
    let mut client = connect(&what)?;
    when_closed(|| client.volume_del(&selector)).map_err(Failure::netlink(what))?;
    pass_on_warning(style, &mut client);
    match style {
        Style::Json => print_json(Deleted {
            deleted: (&selector).into(),
        }),
        Style::Plain => Ok(()),
        Style::Terminal => print(&format!("deleted volume {selector}\n")),
    }
}

/// Does something, but gives whoever has the disk open a moment to close it: udev looks at each new
/// disk, and again after each that has been written to.
pub(super) fn when_closed<T>(
    mut something: impl FnMut() -> Result<T, stor_netlink::Error>,
) -> Result<T, stor_netlink::Error> {
    let start = Instant::now();
    loop {
        match something() {
            Err(error)
                if error.errno() == Some(Errno::EBUSY as i32) && start.elapsed() < CLOSE_WAIT =>
            {
                thread::sleep(CLOSE_PAUSE);
            }
            result => return result,
        }
    }
}

pub(super) fn set(style: Style, args: &SetArgs) -> Result<(), Failure> {
    let selector = selector(&args.volume)?;
    let change = Change {
        length: args.change.length,
        read_only: args.change.read_only.map(|it| it == OnOff::On),
    };
    let what = format!("cannot change volume {selector}");
    let mut client = connect(&what)?;
    let volume =
        when_closed(|| client.volume_set(&selector, &change)).map_err(Failure::netlink(what))?;
    pass_on_warning(style, &mut client);
    match style {
        Style::Json => print_json(OneVolume {
            volume: (&volume).into(),
        }),
        Style::Plain => Ok(()),
        Style::Terminal => print(&format!("changed volume {}\n", output::summary(&volume))),
    }
}

pub(super) fn gate(style: Style, args: &SelectorArgs) -> Result<(), Failure> {
    let selector = selector(args)?;
    let what = format!("cannot close the gate of volume {selector}");
    let mut client = connect(&what)?;
    let volume = client
        .volume_gate(&selector)
        .map_err(Failure::netlink(what))?;
    pass_on_warning(style, &mut client);
    let time = output::gate_last(style, &volume);
    match style {
        Style::Json => print_json(OneVolume {
            volume: (&volume).into(),
        }),
        Style::Plain => print(&format!("{time}\n")),
        Style::Terminal => print(&format!(
            "the gate of volume {} was closed for {time}\n",
            output::name(&volume)
        )),
    }
}

pub(super) fn lock(style: Style, args: &LockArgs) -> Result<(), Failure> {
    let selector = selector(&args.volume)?;
    let what = format!("cannot lock volume {selector}");
    let mut client = connect(&what)?;
    let lock = if args.fail {
        VolumeLock::FAIL
    } else {
        VolumeLock::HOLD
    };
    let volume = client
        .volume_lock(&selector, lock)
        .map_err(Failure::netlink(what))?;
    pass_on_warning(style, &mut client);
    match style {
        Style::Json => print_json(OneVolume {
            volume: (&volume).into(),
        }),
        Style::Plain => Ok(()),
        Style::Terminal => print(&format!(
            "locked volume {}: its I/O {}\n",
            output::name(&volume),
            output::lock(&volume)
        )),
    }
}

pub(super) fn unlock(style: Style, args: &UnlockArgs) -> Result<(), Failure> {
    let selector = selector(&args.volume)?;
    let what = format!("cannot unlock volume {selector}");
    see_user_keys();
    let mut client = connect(&what)?;
    let volume = client
        .volume_unlock(&selector, args.key.as_deref())
        .map_err(Failure::netlink(what))?;
    pass_on_warning(style, &mut client);
    unlocked(style, &volume)
}

/// Tells that a volume was unlocked.
pub(super) fn unlocked(style: Style, volume: &Volume) -> Result<(), Failure> {
    warn_if_slow(style, volume);
    match style {
        Style::Json => print_json(OneVolume {
            volume: volume.into(),
        }),
        Style::Plain => Ok(()),
        Style::Terminal => print(&format!("unlocked volume {}\n", output::name(volume))),
    }
}

/// Warns of a cipher that takes one block at a time.
fn warn_if_slow(style: Style, volume: &Volume) {
    if volume.cipher_slow == Some(true) {
        print_warning(
            style == Style::Json,
            &format!(
                "volume {} is encrypted by {}, which is slow; \
                 is the kernel's module for this processor loaded (aesni_intel)?",
                output::name(volume),
                output::text(&volume.cipher_driver)
            ),
        );
    }
}

pub(super) fn list(style: Style, args: ListArgs) -> Result<(), Failure> {
    let what = "cannot list volumes";
    let list = connect(what)?
        .volume_list()
        .map_err(Failure::netlink(what))?;
    if list.interrupted {
        print_warning(
            style == Style::Json,
            "volumes came or went while they were listed; \
             some may be missing or appear twice",
        );
    }
    if style == Style::Json {
        return print_json(Volumes {
            volumes: list.volumes.iter().map(Into::into).collect(),
            interrupted: list.interrupted,
        });
    }
    print(&output::volumes(style, args.bytes, &list.volumes))
}

pub(super) fn show(style: Style, args: &ShowArgs) -> Result<(), Failure> {
    let selector = selector(&args.volume)?;
    let what = format!("cannot show volume {selector}");
    let mut client = connect(&what)?;
    let volume = client
        .volume_get(&selector)
        .map_err(Failure::netlink(what))?;
    pass_on_warning(style, &mut client);
    if style == Style::Json {
        return print_json(OneVolume {
            volume: (&volume).into(),
        });
    }
    print(&output::volume(style, args.bytes, &volume))
}

pub(super) fn selector(args: &SelectorArgs) -> Result<Selector, Failure> {
    args.selector()
        .ok_or_else(|| Failure::new(Status::Usage, "no volume is named"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn paths_become_absolute_and_nothing_else() {
        let given = |path| String::from_utf8(absolute(Path::new(path)).unwrap()).unwrap();
        assert_eq!(given("/dev/disk/by-id/../x"), "/dev/disk/by-id/../x");
        let here = std::env::current_dir().unwrap();
        assert_eq!(given("nvme0n1"), here.join("nvme0n1").to_str().unwrap());
        assert_eq!(absolute(Path::new("")).unwrap_err().status, Status::Usage);
    }
}
