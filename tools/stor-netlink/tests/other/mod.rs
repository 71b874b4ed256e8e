// SPDX-License-Identifier: GPL-2.0

//! Netlink as `netlink-packet-core` does it. Shared by tests, not all of which need all of it.

#![allow(dead_code, unreachable_pub)]

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla,
    NlaBuffer, NlasIterator, Parseable, ParseableParametrized, NLM_F_ACK_TLVS, NLM_F_CAPPED,
    NLM_F_MULTIPART,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use stor_netlink::wire::Request;

/// Attributes of any family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Any {
    header: GenlHeader,
    nlas: Vec<DefaultNla>,
}

impl GenlFamily for Any {
    fn family_name() -> &'static str {
        "stor"
    }

    fn command(&self) -> u8 {
        self.header.cmd
    }

    fn version(&self) -> u8 {
        self.header.version
    }
}

impl Emitable for Any {
    fn buffer_len(&self) -> usize {
        self.nlas.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.nlas.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Any {
    fn parse_with_param(buffer: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let nlas: Result<Vec<_>, _> = NlasIterator::new(buffer)
            .map(|nla: Result<NlaBuffer<_>, _>| DefaultNla::parse(&nla?))
            .collect();
        Ok(Self {
            header,
            nlas: nlas?,
        })
    }
}

/// An attribute.
pub fn nla(kind: u32, value: &[u8]) -> DefaultNla {
    DefaultNla::new(u16::try_from(kind).unwrap(), value.to_vec())
}

/// The value of the attribute `kind`.
pub fn value(nlas: &[DefaultNla], kind: u32) -> Option<Vec<u8>> {
    nlas.iter()
        .find(|nla| u32::from(nla.kind()) == kind)
        .map(|nla| {
            let mut value = vec![0; nla.value_len()];
            nla.emit_value(&mut value);
            value
        })
}

/// Reads a message.
pub fn payload(bytes: &[u8]) -> NetlinkPayload<GenlMessage<Any>> {
    NetlinkMessage::<GenlMessage<Any>>::deserialize(bytes)
        .unwrap()
        .payload
}

/// Reads a generic netlink message.
pub fn read(bytes: &[u8]) -> (NetlinkHeader, GenlHeader, Vec<DefaultNla>) {
    let message = NetlinkMessage::<GenlMessage<Any>>::deserialize(bytes).unwrap();
    match message.payload {
        NetlinkPayload::InnerMessage(genl) => (message.header, genl.header, genl.payload.nlas),
        other => panic!("not a message of a family: {other:?}"),
    }
}

/// Writes a generic netlink message.
pub fn emit(family: u16, seq: u32, flags: u16, cmd: u32, nlas: Vec<DefaultNla>) -> Vec<u8> {
    let header = GenlHeader {
        cmd: u8::try_from(cmd).unwrap(),
        version: 1,
    };
    let mut genl = GenlMessage::from_payload(Any { header, nlas });
    genl.set_resolved_family_id(family);
    let mut message = NetlinkMessage::from(genl);
    message.header.flags = flags;
    message.header.sequence_number = seq;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// How an acknowledgment repeats the request.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// Its header only.
    Capped,
    /// All of it.
    Full,
    /// Not at all, for it ends a dump.
    Done,
}

/// Writes what the kernel sends at the end of `request`, as `netlink_ack()` and
/// `netlink_dump_done()` do.
pub fn ack(request: &Request, errno: i32, form: Form, nlas: &[DefaultNla]) -> Vec<u8> {
    let (kind, mut flags, repeated): (u16, u16, &[u8]) = match form {
        Form::Capped => (2, NLM_F_CAPPED, &request.as_bytes()[..16]),
        Form::Full => (2, 0, request.as_bytes()),
        Form::Done => (3, NLM_F_MULTIPART, &[]),
    };
    if !nlas.is_empty() {
        flags |= NLM_F_ACK_TLVS;
    }
    let mut tlvs = vec![0; nlas.buffer_len()];
    nlas.emit(&mut tlvs);
    let payload = [&(-errno).to_ne_bytes()[..], repeated, &tlvs].concat();
    let len = u32::try_from(16 + payload.len()).unwrap();
    [
        &len.to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &request.seq().to_ne_bytes(),
        &[0; 4],
        &payload,
    ]
    .concat()
}
