// SPDX-License-Identifier: GPL-2.0

//! Looks up families, whose numbers the kernel gives out as they register.

use std::io::Cursor;

use neli::consts::genl::{CtrlAttr, CtrlAttrMcastGrp, CtrlCmd, Index};
use neli::err::DeError;
use neli::genl::Genlmsghdr;
use neli::FromBytesWithInput;
use nix::errno::Errno;

use super::socket::Socket;
use crate::error::{Error, Refusal};
use crate::wire::{self, Malformed, GENL_ID_CTRL};

/// A family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// Its number.
    pub(super) id: u16,
    /// Names and numbers of its multicast groups.
    groups: Vec<(String, u32)>,
}

impl Family {
    /// Asks the kernel for the family `name`.
    pub(super) fn resolve(socket: &mut Socket, name: &str) -> Result<Self, Error> {
        let request = wire::get_family(socket.next_seq(), name)?;
        let (exchange, ack) = socket.call(GENL_ID_CTRL, &request)?;
        match Errno::from_raw(ack.errno) {
            Errno::ENOENT => return Err(Error::NotLoaded),
            _ if ack.errno != 0 => return Err(Error::Refused(Refusal::new(ack, &request))),
            _ => {}
        }
        let reply = exchange.replies.first().ok_or(Error::NotLoaded)?;
        Ok(Self::parse(&reply.payload)?)
    }

    /// Number of the multicast group `name`.
    pub(super) fn group(&self, name: &str) -> Result<u32, Error> {
        self.groups
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, id)| *id)
            .ok_or(Error::Malformed(Malformed("list of multicast groups")))
    }

    fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let message = ctrl_message(payload)?;
        Self::from_message(&message).map_err(|_| Malformed("description of a family"))
    }

    fn from_message(message: &CtrlMessage) -> Result<Self, DeError> {
        let attrs = message.attrs().get_attr_handle();
        let mut groups = Vec::new();
        if attrs.get_attribute(CtrlAttr::McastGroups).is_some() {
            let nested = attrs.get_nested_attributes::<Index>(CtrlAttr::McastGroups)?;
            for group in nested.iter() {
                let group = group.get_attr_handle::<CtrlAttrMcastGrp>()?;
                groups.push((
                    group.get_attr_payload_as_with_len::<String>(CtrlAttrMcastGrp::Name)?,
                    group.get_attr_payload_as::<u32>(CtrlAttrMcastGrp::Id)?,
                ));
            }
        }
        Ok(Self {
            id: attrs.get_attr_payload_as::<u16>(CtrlAttr::FamilyId)?,
            groups,
        })
    }
}

type CtrlMessage = Genlmsghdr<CtrlCmd, CtrlAttr>;

fn ctrl_message(payload: &[u8]) -> Result<CtrlMessage, Malformed> {
    CtrlMessage::from_bytes_with_input(&mut Cursor::new(payload), payload.len())
        .map_err(|_| Malformed("description of a family"))
}

/// The number of the family that this message of [`GENL_ID_CTRL`] declares dead, if it does so.
pub(super) fn deleted(payload: &[u8]) -> Result<Option<u16>, Malformed> {
    let message = ctrl_message(payload)?;
    if *message.cmd() != CtrlCmd::Delfamily {
        return Ok(None);
    }
    let attrs = message.attrs().get_attr_handle();
    Ok(attrs.get_attr_payload_as::<u16>(CtrlAttr::FamilyId).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sys;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    fn attr(kind: u32, payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(payload.len() + 4).unwrap();
        let kind = u16::try_from(kind).unwrap();
        let mut bytes = [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), payload].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn description(cmd: u32) -> Vec<u8> {
        let group = [
            attr(sys::CTRL_ATTR_MCAST_GRP_ID, &9u32.to_ne_bytes()),
            attr(sys::CTRL_ATTR_MCAST_GRP_NAME, b"monitor\0"),
        ]
        .concat();
        [
            vec![u8::try_from(cmd).unwrap(), 2, 0, 0],
            attr(sys::CTRL_ATTR_FAMILY_NAME, b"stor\0"),
            attr(sys::CTRL_ATTR_FAMILY_ID, &0x21u16.to_ne_bytes()),
            attr(99, b"from the future"),
            attr(sys::CTRL_ATTR_MCAST_GROUPS, &attr(1, &group)),
        ]
        .concat()
    }

    #[test]
    fn a_family() {
        let family = Family::parse(&description(sys::CTRL_CMD_NEWFAMILY)).unwrap();
        assert_eq!(family.id, 0x21);
        assert_eq!(family.group("monitor").unwrap(), 9);
        assert!(family.group("other").is_err());
    }

    #[test]
    fn a_death() {
        assert_eq!(deleted(&description(sys::CTRL_CMD_NEWFAMILY)), Ok(None));
        assert_eq!(
            deleted(&description(sys::CTRL_CMD_DELFAMILY)),
            Ok(Some(0x21))
        );
    }

    proptest! {
        #[test]
        fn garbage(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = Family::parse(&bytes);
            let _ = deleted(&bytes);
        }

        #[test]
        fn truncated(end in 0usize..84) {
            let bytes = description(sys::CTRL_CMD_NEWFAMILY);
            let _ = Family::parse(&bytes[..end.min(bytes.len())]);
        }
    }
}
