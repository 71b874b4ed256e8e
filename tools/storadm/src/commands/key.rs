// SPDX-License-Identifier: GPL-2.0

//! `storadm key ...`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::Path;

use keyutils::keytypes::user::User;
use keyutils::{Key, KeyType, Keyring, SpecialKeyring};
use stor_model::crypt::key_name;
use stor_netlink::Text;

use crate::cli::{KeyAddArgs, KeyRemoveArgs, KeyTypeChoice};
use crate::failure::{Failure, Status};
use crate::json::{JsonKey, Keys, OneKey, RemovedKey};
use crate::output::{print, print_json, Style};
use crate::secret::{keep_in_memory, BadKey, Secret};
use crate::table::{aligned, tabbed, Align};

/// How deep keyrings are looked into: as deep as the kernel does.
const DEPTH: usize = 6;

/// A key whose description is plain text; its own type forbids less than the kernel does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Logon;

impl KeyType for Logon {
    type Description = str;
    type Payload = [u8];

    fn name() -> &'static str {
        "logon"
    }
}

/// A key that was found, and the keyring that it is in.
struct Found<'a> {
    key: &'a Key,
    keyring: &'a mut Keyring,
}

pub(super) fn add(style: Style, args: &KeyAddArgs) -> Result<(), Failure> {
    let (key_type, description) = split(args.key_type, &args.description);
    let name = match key_type {
        KeyTypeChoice::Logon => format!("logon:{description}"),
        KeyTypeChoice::User => format!("user:{description}"),
    };
    check_name(&name)?;
    if key_type == KeyTypeChoice::Logon && !has_prefix(description) {
        return Err(Failure::new(
            Status::Usage,
            format!("key: {name} has no prefix that ends in a colon, as logon:stor:vm1 has"),
        ));
    }
    let what = format!("cannot add key {name}");
    keep_in_memory().map_err(|error| {
        Failure::system("cannot lock memory, so that no key reaches a disk", &error)
    })?;
    let secret = read(args, &what)?;
    let mut keyring = user_keyring(&what)?;
    // The kernel would put it in place of the other, of which there may be no copy.
    if args.random.is_some() && has_key(&mut keyring, &name, &what)? {
        return Err(Failure::new(
            Status::Failed,
            format!("{what}: it exists, and would be lost; remove it first"),
        ));
    }
    match key_type {
        KeyTypeChoice::Logon => keyring.add_key::<Logon, _, _>(description, secret.as_bytes()),
        KeyTypeChoice::User => keyring.add_key::<User, _, _>(description, secret.as_bytes()),
    }
    .map_err(failed(&what))?;
    drop(secret);
    match style {
        Style::Json => print_json(OneKey { key: &name }),
        Style::Plain => print(&format!("{name}\n")),
        Style::Terminal => print(&format!("added key {name}\n")),
    }
}

/// The key that the arguments ask for.
fn read(args: &KeyAddArgs, what: &str) -> Result<Secret, Failure> {
    let secret = if let Some(bits) = args.random {
        Secret::random(bits / 8)
    } else if let Some(path) = args.file.as_ref().filter(|path| *path != Path::new("-")) {
        File::open(path)
            .map_err(BadKey::Io)
            .and_then(|mut file| Secret::read(&mut file, args.hex))
    } else {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err(Failure::new(
                Status::Usage,
                format!(
                    "{what}: a key is not typed; have it come by a pipe, or use --file or --random"
                ),
            ));
        }
        // Not by the standard input of the library, whose buffer nobody wipes.
        stdin
            .as_fd()
            .try_clone_to_owned()
            .map_err(BadKey::Io)
            .and_then(|fd| Secret::read(&mut File::from(fd), args.hex))
    };
    secret.map_err(|why| match why {
        BadKey::Io(error) => Failure::system(what, &error),
        BadKey::Rule(rule) => Failure::new(Status::Failed, format!("{what}: key: {rule}")),
    })
}

pub(super) fn list(style: Style) -> Result<(), Failure> {
    // Each once, however many keyrings have it.
    let mut found = BTreeMap::new();
    each_key("cannot list keys", |name, uid, _| {
        found.insert((name.to_owned(), uid), ());
        Ok(())
    })?;
    let keys = found.keys();
    if style == Style::Json {
        return print_json(Keys {
            keys: keys
                .map(|(name, uid)| JsonKey { name, uid: *uid })
                .collect(),
        });
    }
    let rows: Vec<_> = keys
        .map(|(name, uid)| {
            let name = Text::from(name.as_str()).escape().to_string();
            [name, uid.to_string()]
        })
        .collect();
    print(&if style == Style::Terminal {
        aligned([("KEY", Align::Left), ("UID", Align::Right)], &rows)
    } else {
        tabbed(&rows)
    })
}

pub(super) fn remove(style: Style, args: &KeyRemoveArgs) -> Result<(), Failure> {
    let name = &args.name;
    check_name(name)?;
    let what = format!("cannot remove key {name}");
    let mut removed = false;
    each_key(&what, |found_name, _, found| {
        if found_name == name {
            found.keyring.unlink_key(found.key)?;
            // Whoever else has a link to it loses it, too, if that is allowed.
            let _: Result<(), _> = found.key.clone().invalidate();
            removed = true;
        }
        Ok(())
    })?;
    if !removed {
        return Err(Failure::new(
            Status::Failed,
            format!("{what}: it is in no keyring of yours"),
        ));
    }
    match style {
        Style::Json => print_json(RemovedKey { removed_key: name }),
        Style::Plain => Ok(()),
        Style::Terminal => print(&format!("removed key {name}\n")),
    }
}

/// Whether a keyring has a key of that name itself.
fn has_key(keyring: &mut Keyring, name: &str, what: &str) -> Result<bool, Failure> {
    let mut found = false;
    walk(keyring, 0, &mut |found_name, _, _| {
        found |= found_name == name;
        Ok(())
    })
    .map_err(failed(what))?;
    Ok(found)
}

/// The type and the description of a key, of which the latter may begin with the former.
fn split(key_type: Option<KeyTypeChoice>, description: &str) -> (KeyTypeChoice, &str) {
    for (own, prefix) in [
        (KeyTypeChoice::Logon, "logon:"),
        (KeyTypeChoice::User, "user:"),
    ] {
        if key_type.is_none_or(|wanted| wanted == own) {
            if let Some(rest) = description.strip_prefix(prefix) {
                return (own, rest);
            }
        }
    }
    (key_type.unwrap_or(KeyTypeChoice::Logon), description)
}

/// Makes the keys of the user findable for this process, whatever session it has.
pub(super) fn see_user_keys() {
    // Who may not do that may still have the key somewhere else.
    if let (Ok(mut process), Ok(user)) = (
        Keyring::attach_or_create(SpecialKeyring::Process),
        Keyring::attach(SpecialKeyring::User),
    ) {
        let _: Result<(), _> = process.link_keyring(&user);
    }
}

/// Calls `each` with every key that a volume can have: its name, its owner, and the key.
fn each_key(
    what: &str,
    mut each: impl FnMut(&str, u32, Found<'_>) -> keyutils::Result<()>,
) -> Result<(), Failure> {
    let mut found_one = None;
    for special in [SpecialKeyring::User, SpecialKeyring::Session] {
        match Keyring::attach(special) {
            Ok(mut keyring) => {
                walk(&mut keyring, DEPTH, &mut each).map_err(failed(what))?;
                found_one = Some(Ok(()));
            }
            Err(error) => found_one = found_one.or(Some(Err(error))),
        }
    }
    found_one.unwrap_or(Ok(())).map_err(failed(what))
}

fn walk(
    keyring: &mut Keyring,
    depth: usize,
    each: &mut impl FnMut(&str, u32, Found<'_>) -> keyutils::Result<()>,
) -> keyutils::Result<()> {
    let (keys, keyrings) = keyring.read()?;
    for key in &keys {
        // It may be gone by now, or hidden.
        let Ok(description) = key.description() else {
            continue;
        };
        let name = format!("{}:{}", description.type_, description.description);
        if key_name(name.as_bytes()).is_ok() {
            each(&name, description.uid, Found { key, keyring })?;
        }
    }
    for mut inner in keyrings {
        if depth > 0 {
            // One that may not be read has nothing to show.
            let _: keyutils::Result<()> = walk(&mut inner, depth - 1, each);
        }
    }
    Ok(())
}

fn user_keyring(what: &str) -> Result<Keyring, Failure> {
    Keyring::attach_or_create(SpecialKeyring::User).map_err(failed(what))
}

/// Adds to an error of the kernel what it was that failed.
fn failed(what: &str) -> impl FnOnce(keyutils::Error) -> Failure + '_ {
    move |error| Failure::system(what, &io::Error::from_raw_os_error(error.0))
}

/// A logon key's description has to have a prefix.
fn has_prefix(description: &str) -> bool {
    description.find(':').is_some_and(|at| at > 0)
}

/// By the rules of the module, so that the message is the same.
fn check_name(name: &str) -> Result<(), Failure> {
    match key_name(name.as_bytes()) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(Failure::new(
            Status::Usage,
            String::from_utf8_lossy(refusal.text.as_bytes()).into_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn names_follow_the_rules_of_the_module() {
        assert!(check_name("logon:stor:vm1").is_ok());
        let why = check_name("vm1").unwrap_err();
        assert_eq!(
            why.message,
            "key: vm1 is not logon|user|encrypted|trusted:ID"
        );
        assert_eq!(why.status, Status::Usage);
        assert!(has_prefix("stor:vm1"));
        assert!(!has_prefix("vm1") && !has_prefix(":vm1"));
    }

    #[test]
    fn the_type_may_stand_before_the_description() {
        let (logon, user) = (KeyTypeChoice::Logon, KeyTypeChoice::User);
        assert_eq!(split(None, "stor:vm1"), (logon, "stor:vm1"));
        assert_eq!(split(None, "logon:stor:vm1"), (logon, "stor:vm1"));
        assert_eq!(split(None, "user:vm1"), (user, "vm1"));
        assert_eq!(split(Some(user), "user:vm1"), (user, "vm1"));
        // Of another type it is a part of the description.
        assert_eq!(split(Some(user), "logon:vm1"), (user, "logon:vm1"));
        assert_eq!(split(Some(logon), "user:vm1"), (logon, "user:vm1"));
    }
}
