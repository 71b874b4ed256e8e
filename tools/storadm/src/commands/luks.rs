// SPDX-License-Identifier: GPL-2.0

//! `storadm volume open-luks` and `unlock --luks`.

use std::ffi::{c_char, c_int, c_void, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use keyutils::{Key, Keyring, SpecialKeyring};
use libcryptsetup_rs::consts::vals::EncryptionFormat;
use libcryptsetup_rs::{set_log_callback, CryptDevice, CryptInit, LibcryptErr};
use nix::errno::Errno;
use nix::sys::stat::{major, minor};
use stor_netlink::{NewVolume, Selector, Text};

use super::key::Logon;
use super::volume::{absolute, created, engine, selector, unlocked, when_closed};
use super::{connect, pass_on_warning};
use crate::cli::{OpenLuksArgs, UnlockArgs};
use crate::failure::{Failure, Status};
use crate::luks::{Header, Plan};
use crate::output::Style;
use crate::passphrase::Passphrase;
use crate::secret::{keep_in_memory, Secret};

/// What the names of keys of containers begin with: the type that [`Logon`] makes, and more.
const KEY_PREFIX: &str = "logon:stor:luks:";
const KEY_TYPE: &str = "logon";

pub(super) fn open(style: Style, args: &OpenLuksArgs) -> Result<(), Failure> {
    let backing = absolute(&args.device)?;
    let what = format!(
        "cannot open {} as volume {}",
        Text::from(&*args.device.to_string_lossy()).escape(),
        Selector::Name(args.name.clone())
    );
    let mut client = connect(&what)?;
    keep_secrets_in_memory()?;
    // Before anybody types a passphrase in vain.
    let mut container = Container::open(&args.device, &what)?;
    let key = container.key(args.key_slot, args.key_file.as_deref(), &what)?;
    let plan = container.plan.clone();
    drop(container);
    let volume = client
        .volume_new(&NewVolume {
            name: args.name.clone(),
            backing,
            offset: Some(plan.offset),
            length: plan.length,
            index: args.index,
            uuid: args.uuid,
            read_only: args.read_only.then_some(true),
            key: Some(key.name.clone()),
            crypto_sector: Some(plan.sector),
            iv_offset: Some(0),
            iv_large_sectors: None,
            discard: (args.allow_discards || plan.discard).then_some(true),
            crypto_engine: args.crypto_engine.map(engine),
        })
        .map_err(Failure::netlink(what.as_str()))?;
    drop(key);
    // From here on the volume has the device for itself, and nobody can reencrypt it. Before that
    // somebody could, and the key would be that of yesterday.
    let now = Container::open(&args.device, &what).map(|container| container.plan);
    if now.as_ref() != Ok(&plan) {
        let selector = Selector::Name(args.name.clone());
        when_closed(|| client.volume_del(&selector)).map_err(Failure::netlink(format!(
            "{what}: its header was changed meanwhile, and the volume can not be deleted"
        )))?;
        return Err(now.err().unwrap_or_else(|| {
            refuse(&what)("its header was changed meanwhile; try again".to_owned())
        }));
    }
    pass_on_warning(style, &mut client);
    created(style, &volume)
}

pub(super) fn unlock(style: Style, args: &UnlockArgs) -> Result<(), Failure> {
    let selector = selector(&args.volume)?;
    let what = format!("cannot unlock volume {selector}");
    let mut client = connect(&what)?;
    keep_secrets_in_memory()?;
    // Before anybody types a passphrase in vain.
    let volume = client
        .volume_get(&selector)
        .map_err(Failure::netlink(what.as_str()))?;
    if volume.lock.is_none() {
        return Err(refuse(&what)("it is not locked".into()));
    }
    let path = volume.backing.unwrap_or_default();
    let what = format!("{what} by the container on {}", path.escape());
    let path = Path::new(OsStr::from_bytes(path.as_bytes()));
    let dev = path
        .metadata()
        .map_err(|error| Failure::system(&what, &error))?
        .rdev();
    if [volume.backing_major, volume.backing_minor].map(|number| number.map(u64::from))
        != [Some(major(dev)), Some(minor(dev))]
    {
        return Err(refuse(&what)(
            "it is another device than the volume's".into(),
        ));
    }
    let mut container = Container::open(path, &what)?;
    // One of another name may be the same; the module knows.
    let name = volume.key.unwrap_or_default();
    let own = container.key_name();
    if name.as_bytes().starts_with(KEY_PREFIX.as_bytes()) && name.as_bytes() != own.as_bytes() {
        return Err(refuse(&what)(format!(
            "its key is {}, that of the container is {own}",
            name.escape()
        )));
    }
    let key = container.key(args.key_slot, args.key_file.as_deref(), &what)?;
    let volume = client
        .volume_unlock(&selector, Some(&key.name))
        .map_err(Failure::netlink(what))?;
    drop(key);
    pass_on_warning(style, &mut client);
    unlocked(style, &volume)
}

fn keep_secrets_in_memory() -> Result<(), Failure> {
    keep_in_memory().map_err(|error| {
        Failure::system("cannot lock memory, so that no key reaches a disk", &error)
    })
}

/// A container whose header has been read, and can be a volume.
struct Container {
    path: PathBuf,
    device: CryptDevice,
    header: Header,
    plan: Plan,
    uuid: String,
}

impl Container {
    fn open(path: &Path, what: &str) -> Result<Self, Failure> {
        let metadata = path
            .metadata()
            .map_err(|error| Failure::system(what, &error))?;
        if !metadata.file_type().is_block_device() {
            return Err(refuse(what)("it is not a block device".into()));
        }
        set_log_callback::<()>(Some(silent), None);
        let mut device = CryptInit::init(path).map_err(failed(what))?;
        device
            .context_handle()
            // Any of LUKS, to tell which.
            .load::<()>(None, None)
            .map_err(|error| match errno(&error) {
                Some(Errno::EINVAL) => refuse(what)("it has no LUKS header that is whole".into()),
                _ => failed(what)(error),
            })?;
        match device.format_handle().get_type().map_err(failed(what))? {
            EncryptionFormat::Luks2 => {}
            EncryptionFormat::Luks1 => {
                return Err(refuse(what)(
                    "it is a LUKS1 container, only LUKS2 is opened".into(),
                ));
            }
            _ => return Err(refuse(what)("it is no LUKS2 container".into())),
        }
        let json = device.status_handle().dump_json().map_err(failed(what))?;
        let header: Header = serde_json::from_value(json)
            .map_err(|error| refuse(what)(format!("its header is not understood: {error}")))?;
        let plan = header.plan().map_err(refuse(what))?;
        let uuid = device.status_handle().get_uuid().map_err(failed(what))?;
        Ok(Self {
            path: path.to_owned(),
            device,
            header,
            plan,
            uuid: uuid.to_string(),
        })
    }

    /// What its key is named by, as a volume has it.
    fn key_name(&self) -> String {
        format!("{KEY_TYPE}:{}", self.description())
    }

    fn description(&self) -> String {
        format!("stor:luks:{}", self.uuid)
    }

    /// Asks for a passphrase, and puts the key of the data where the kernel finds it.
    fn key(
        &mut self,
        slot: Option<u32>,
        file: Option<&Path>,
        what: &str,
    ) -> Result<TemporaryKey, Failure> {
        if let Some(slot) = slot {
            self.header.check_slot(slot).map_err(refuse(what))?;
        }
        let passphrase = Passphrase::get(what, &self.path, file)?;
        let secret = self.unlock(slot, &passphrase, what)?;
        drop(passphrase);
        TemporaryKey::add(&self.description(), &secret, what)
    }

    /// The key of the data.
    fn unlock(
        &mut self,
        slot: Option<u32>,
        passphrase: &Passphrase,
        what: &str,
    ) -> Result<Secret, Failure> {
        let secret = Secret::fill(|buffer| {
            let mut keys = self.device.volume_key_handle();
            let (_, length) = keys.get(slot, buffer, Some(passphrase.as_bytes()))?;
            // A key slot may have another key.
            keys.verify(&buffer[..length])?;
            Ok(length)
        })
        .map_err(|error| match (errno(&error), slot) {
            (Some(Errno::EPERM), None) => refuse(what)("no key slot has this passphrase".into()),
            (Some(Errno::ENOENT), None) => refuse(what)(
                "no key slot is tried unless it is named (priority \"ignore\"); give --key-slot"
                    .into(),
            ),
            (Some(Errno::EPERM), Some(slot)) => {
                refuse(what)(format!("key slot {slot} has another passphrase"))
            }
            _ => failed(&format!("{what}: it can not be unlocked"))(error),
        })?;
        if secret.as_bytes().len() != self.plan.key_size {
            return Err(refuse(what)("its key is not as long as it says".into()));
        }
        Ok(secret)
    }
}

/// A key in the keyring of this process: nobody else can find it, no key of that name somewhere
/// else is found before it, and it ends with the process if not before.
struct TemporaryKey {
    keyring: Keyring,
    key: Key,
    name: String,
}

impl TemporaryKey {
    fn add(description: &str, secret: &Secret, what: &str) -> Result<Self, Failure> {
        let add = || {
            let mut keyring = Keyring::attach_or_create(SpecialKeyring::Process)?;
            let key = keyring.add_key::<Logon, _, _>(description, secret.as_bytes())?;
            Ok((keyring, key))
        };
        let (keyring, key) = add().map_err(|error: keyutils::Error| {
            Failure::system(
                &format!("{what}: cannot add key {KEY_TYPE}:{description}"),
                &io::Error::from_raw_os_error(error.0),
            )
        })?;
        Ok(Self {
            keyring,
            key,
            name: format!("{KEY_TYPE}:{description}"),
        })
    }
}

impl Drop for TemporaryKey {
    fn drop(&mut self) {
        // Should this fail, the end of the process does it.
        let _: keyutils::Result<()> = self.keyring.unlink_key(&self.key);
        let _: keyutils::Result<()> = self.key.clone().invalidate();
    }
}

/// Takes what libcryptsetup would print by itself, to whatever stream.
extern "C" fn silent(_level: c_int, _message: *const c_char, _data: *mut c_void) {}

fn refuse(what: &str) -> impl FnOnce(String) -> Failure + '_ {
    move |why| Failure::new(Status::Failed, format!("{what}: {why}"))
}

fn errno(error: &LibcryptErr) -> Option<Errno> {
    match error {
        LibcryptErr::IOError(error) => error.raw_os_error().map(Errno::from_raw),
        _ => None,
    }
}

fn failed(what: &str) -> impl FnOnce(LibcryptErr) -> Failure + '_ {
    move |error| match error {
        LibcryptErr::IOError(error) => Failure::system(what, &error),
        error => Failure::new(Status::Failed, format!("{what}: {error}")),
    }
}
