// SPDX-License-Identifier: GPL-2.0

//! How a user names one volume of many, and which index a new one gets.

use super::name::Name;
use super::refusal::{Errno, Field, Refusal};

/// Largest index (`STOR_INDEX_MAX` of the interface).
pub const INDEX_MAX: u32 = 65535;

/// A UUID, in network byte order.
pub type Uuid = [u8; 16];

/// What a volume is asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By its name.
    Name(Name),
    /// By its UUID.
    Uuid(Uuid),
    /// By the N of `/dev/storN`.
    Index(u32),
}

impl Selector {
    /// Takes the one that was given.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it is none, or more than one.
    pub fn exactly_one(
        name: Option<Name>,
        uuid: Option<Uuid>,
        index: Option<u32>,
    ) -> Result<Self, Refusal> {
        match (name, uuid, index) {
            (Some(name), None, None) => Ok(Selector::Name(name)),
            (None, Some(uuid), None) => Ok(Selector::Uuid(uuid)),
            (None, None, Some(index)) => Ok(Selector::Index(index)),
            (None, None, None) => Err(Refusal::plain(
                Errno::Inval,
                format_args!("none of name, uuid and index is given, one is needed"),
            )),
            _ => Err(Refusal::plain(
                Errno::Inval,
                format_args!("more than one of name, uuid and index is given"),
            )),
        }
    }

    /// Whether a volume is the one that is asked for.
    pub fn matches(&self, name: &Name, uuid: &Uuid, index: u32) -> bool {
        match self {
            Selector::Name(wanted) => wanted == name,
            Selector::Uuid(wanted) => wanted == uuid,
            Selector::Index(wanted) => *wanted == index,
        }
    }

    /// The refusal for a volume that does not exist.
    pub fn not_found(&self) -> Refusal {
        let no = |field, value: core::fmt::Arguments<'_>| {
            Refusal::field(Errno::NoEnt, field, format_args!("no volume {value}"))
        };
        match self {
            Selector::Name(name) => no(Field::Name, format_args!("{name}")),
            Selector::Uuid(uuid) => no(Field::Uuid, format_args!("{}", Hyphenated(uuid))),
            Selector::Index(index) => no(Field::Index, format_args!("stor{index}")),
        }
    }
}

/// Checks an index that the user asks for.
///
/// # Errors
///
/// A [`Refusal`] if it is over [`INDEX_MAX`].
pub fn check_index(index: u32) -> Result<u32, Refusal> {
    if index > INDEX_MAX {
        return Err(Refusal::field(
            Errno::Range,
            Field::Index,
            format_args!("{index} is over the largest, {INDEX_MAX}"),
        ));
    }
    Ok(index)
}

/// Checks a UUID that the user asks for.
///
/// # Errors
///
/// A [`Refusal`] if it is all zeros, which stands for none.
pub fn check_uuid(uuid: Uuid) -> Result<Uuid, Refusal> {
    if uuid == [0; 16] {
        return Err(Refusal::field(
            Errno::Inval,
            Field::Uuid,
            format_args!("all zeros, which stands for no UUID"),
        ));
    }
    Ok(uuid)
}

/// The lowest index that is not among `taken`, which come in ascending order; `None` if all are.
pub fn lowest_free(taken: impl Iterator<Item = u32>) -> Option<u32> {
    let mut free = 0;
    for index in taken {
        if index != free {
            break;
        }
        free += 1;
    }
    (free <= INDEX_MAX).then_some(free)
}

/// Shows a UUID in its usual form.
pub struct Hyphenated<'a>(pub &'a Uuid);

impl core::fmt::Display for Hyphenated<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::string::ToString;

    const UUID: Uuid = [
        0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee,
        0xff,
    ];

    #[test]
    fn needs_exactly_one() {
        let name = Name::new(b"a").unwrap();
        assert_eq!(
            Selector::exactly_one(None, None, Some(3)).unwrap(),
            Selector::Index(3)
        );
        let none = Selector::exactly_one(None, None, None).unwrap_err();
        assert_eq!(
            none.text.as_bytes(),
            b"none of name, uuid and index is given, one is needed"
        );
        for (n, u, i) in [
            (Some(name), Some(UUID), None),
            (Some(name), None, Some(1)),
            (None, Some(UUID), Some(1)),
            (Some(name), Some(UUID), Some(1)),
        ] {
            let two = Selector::exactly_one(n, u, i).unwrap_err();
            assert_eq!(two.errno, Errno::Inval);
            assert_eq!(
                two.text.as_bytes(),
                b"more than one of name, uuid and index is given"
            );
        }
    }

    #[test]
    fn tells_what_is_missing() {
        assert_eq!(
            Selector::Uuid(UUID).not_found().text.as_bytes(),
            b"uuid: no volume 00112233-4455-6677-8899-aabbccddeeff"
        );
        assert_eq!(
            Selector::Index(7).not_found().text.as_bytes(),
            b"index: no volume stor7"
        );
        let long = Selector::Name(Name::new(&[b'x'; 31]).unwrap()).not_found();
        assert_eq!(long.errno, Errno::NoEnt);
        assert!(long.text.as_bytes().ends_with(&[b'x'; 31]));
    }

    #[test]
    fn ranges() {
        assert_eq!(check_index(INDEX_MAX).unwrap(), INDEX_MAX);
        assert_eq!(
            check_index(65536).unwrap_err().text.as_bytes(),
            b"index: 65536 is over the largest, 65535"
        );
        assert_eq!(check_uuid([0; 16]).unwrap_err().errno, Errno::Inval);
        assert_eq!(check_uuid(UUID).unwrap(), UUID);
        assert_eq!(lowest_free(0..=INDEX_MAX), None);
        assert_eq!(lowest_free(0..INDEX_MAX), Some(INDEX_MAX));
        assert_eq!(Hyphenated(&UUID).to_string().len(), 36);
    }

    proptest! {
        #[test]
        fn lowest_is_free_and_lowest(taken in proptest::collection::btree_set(0u32..40, 0..40)) {
            let free = lowest_free(taken.iter().copied()).unwrap();
            prop_assert!(!taken.contains(&free));
            prop_assert!((0..free).collect::<BTreeSet<_>>().is_subset(&taken));
        }
    }
}
