// SPDX-License-Identifier: GPL-2.0

//! How requests end: refusals in the kernel's words, dumps, and bytes that make no sense.

mod other;

use netlink_packet_core::{DefaultNla, Emitable, NLM_F_DUMP_INTR, NLM_F_MULTIPART};
use other::{ack, emit, nla, Form};
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use stor_netlink::uapi::*;
use stor_netlink::wire::{self, sys, Ack, Exchange, Header, Progress, Request};
use stor_netlink::{NewVolume, Refusal, Selector, StatAssembly};

const FAMILY: u16 = 0x23;
const HEADER: Header = Header {
    family: FAMILY,
    seq: 5,
};

fn request() -> Request {
    let volume = NewVolume {
        name: "vm1".into(),
        backing: b"/dev/nvme0n1".to_vec(),
        offset: Some(513),
        length: None,
        index: None,
        uuid: None,
        ..NewVolume::default()
    };
    wire::volume_new(HEADER, &volume).unwrap()
}

/// Offset of the attribute `kind` in `request`.
fn offset(request: &Request, kind: u32) -> u32 {
    let at = (0..request.as_bytes().len())
        .find(|at| request.attr_at(*at) == Some(kind))
        .unwrap();
    u32::try_from(at).unwrap()
}

fn end(bytes: &[u8]) -> Ack {
    match Exchange::new(FAMILY, 5).feed(bytes).unwrap() {
        Progress::Ended(ack) => ack,
        Progress::More => panic!("more is expected"),
    }
}

fn refusal(request: &Request, errno: i32, form: Form, nlas: &[DefaultNla]) -> String {
    Refusal::new(end(&ack(request, errno, form, nlas)), request).to_string()
}

#[test]
fn the_words_of_the_kernel_in_every_form() {
    let request = request();
    let at = offset(&request, STOR_A_VOLUME_OFFSET);
    let nlas = [
        nla(
            sys::NLMSGERR_ATTR_MSG,
            b"offset: 513 is not a multiple of 512\0",
        ),
        nla(sys::NLMSGERR_ATTR_OFFS, &at.to_ne_bytes()),
    ];
    for form in [Form::Capped, Form::Full, Form::Done] {
        assert_eq!(
            refusal(&request, 22, form, &nlas),
            "offset: 513 is not a multiple of 512 (EINVAL)",
            "{form:?}"
        );
        assert_eq!(
            refusal(&request, 1, form, &[]),
            "not permitted: needs CAP_SYS_ADMIN (EPERM)"
        );
    }
}

#[test]
fn a_policy_that_is_not_kept() {
    let request = request();
    let at = offset(&request, STOR_A_VOLUME_BACKING);
    let policy = [nla(
        sys::NL_POLICY_TYPE_ATTR_MAX_LENGTH,
        &4095u32.to_ne_bytes(),
    )];
    let mut bytes = vec![0; policy.as_slice().buffer_len()];
    policy.as_slice().emit(&mut bytes);
    let nlas = [
        nla(
            sys::NLMSGERR_ATTR_MSG,
            b"Attribute failed policy validation\0",
        ),
        nla(sys::NLMSGERR_ATTR_OFFS, &at.to_ne_bytes()),
        nla(sys::NLMSGERR_ATTR_POLICY, &bytes),
    ];
    assert_eq!(
        refusal(&request, 34, Form::Capped, &nlas),
        "backing: Attribute failed policy validation: at most 4095 bytes (ERANGE)"
    );
}

#[test]
fn an_attribute_that_is_missing() {
    let request = wire::volume_del(HEADER, &Selector::Index(1)).unwrap();
    let missing = nla(
        sys::NLMSGERR_ATTR_MISS_TYPE,
        &STOR_A_VOLUME_BACKING.to_ne_bytes(),
    );
    assert_eq!(
        refusal(&request, 22, Form::Capped, &[missing]),
        "backing: missing from the request (EINVAL)"
    );
}

/// The attributes of statistics have numbers of their own.
#[test]
fn an_attribute_of_statistics_is_named() {
    let request = wire::stat_dump(HEADER, Some(&Selector::Name("vm1".into())), true).unwrap();
    let at = offset(&request, STOR_A_STAT_PER_CPU);
    let nlas = [
        nla(sys::NLMSGERR_ATTR_MSG, b"no\0"),
        nla(sys::NLMSGERR_ATTR_OFFS, &at.to_ne_bytes()),
    ];
    assert_eq!(
        refusal(&request, 22, Form::Done, &nlas),
        "per-cpu: no (EINVAL)"
    );
}

#[test]
fn an_attribute_of_a_newer_kernel_is_skipped() {
    let nlas = [nla(200, b"?"), nla(sys::NLMSGERR_ATTR_MSG, b"no\0")];
    assert_eq!(
        refusal(&request(), 95, Form::Capped, &nlas),
        "no (EOPNOTSUPP)"
    );
}

#[test]
fn a_warning_with_success() {
    let nlas = [nla(sys::NLMSGERR_ATTR_MSG, b"take care\0")];
    let ack = end(&ack(&request(), 0, Form::Capped, &nlas));
    assert_eq!(ack.errno, 0);
    assert_eq!(ack.message, Some("take care".into()));
}

#[test]
fn a_dump() {
    let volume = |index: u32, flags| {
        let nlas = vec![nla(STOR_A_VOLUME_INDEX, &index.to_ne_bytes())];
        emit(
            FAMILY,
            5,
            NLM_F_MULTIPART | flags,
            STOR_CMD_VOLUME_GET,
            nlas,
        )
    };
    let request = wire::volume_dump(HEADER);
    for (flags, interrupted) in [(0, false), (NLM_F_DUMP_INTR, true)] {
        let mut exchange = Exchange::new(FAMILY, 5);
        let first = [volume(0, 0), volume(3, flags)].concat();
        assert_eq!(exchange.feed(&first), Ok(Progress::More));
        let last = [volume(7, 0), ack(&request, 0, Form::Done, &[])].concat();
        assert_eq!(exchange.feed(&last), Ok(Progress::Ended(Ack::default())));
        let indices: Vec<_> = exchange
            .replies
            .iter()
            .map(|reply| wire::decode_volume(reply.attrs()).unwrap().index.unwrap())
            .collect();
        assert_eq!(indices, [0, 3, 7]);
        assert_eq!(exchange.interrupted, interrupted);
    }
}

#[test]
fn others_are_not_listened_to() {
    let mut exchange = Exchange::new(FAMILY, 6);
    let late = ack(&request(), 22, Form::Capped, &[]);
    assert_eq!(exchange.feed(&late), Ok(Progress::More));
    let stranger = emit(FAMILY + 1, 6, 0, 1, vec![]);
    assert_eq!(exchange.feed(&stranger), Ok(Progress::More));
    assert_eq!(exchange.replies, []);
}

/// Something that is nearly right.
fn sample() -> Vec<u8> {
    let nlas = vec![
        nla(STOR_A_VOLUME_NAME, b"vm1\0"),
        nla(STOR_A_VOLUME_UUID, &[7; 16]),
        nla(STOR_A_VOLUME_LENGTH, &[1; 8]),
    ];
    let at = 40u32.to_ne_bytes();
    let words = [
        nla(sys::NLMSGERR_ATTR_MSG, b"no\0"),
        nla(sys::NLMSGERR_ATTR_OFFS, &at),
        nla(sys::NLMSGERR_ATTR_POLICY, &[8, 0, 7, 0, 1, 0, 0, 0]),
    ];
    [
        emit(FAMILY, 5, 0, STOR_CMD_VOLUME_NEW, nlas),
        ack(&request(), 22, Form::Full, &words),
    ]
    .concat()
}

/// Everything that is ever done to bytes from the kernel.
fn digest(bytes: &[u8]) {
    let mut exchange = Exchange::new(FAMILY, 5);
    if let Ok(Progress::Ended(ack)) = exchange.feed(bytes) {
        let _ = Refusal::new(ack, &request()).to_string();
    }
    let mut assembly = StatAssembly::default();
    for reply in &exchange.replies {
        if let Ok(record) = wire::decode_stat(reply.attrs()) {
            let _ = assembly.add(record);
        }
        let _ = wire::decode_volume(reply.attrs());
        let _ = wire::decode_info(reply.attrs());
    }
    for message in wire::messages(bytes).flatten() {
        let _ = wire::decode_event(&message);
        let _ = Ack::from_error(&message);
        let _ = Ack::from_done(&message);
    }
}

#[test]
fn truncation_never_panics() {
    let bytes = sample();
    for end in 0..=bytes.len() {
        digest(&bytes[..end]);
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        digest(&bytes);
    }

    #[test]
    fn damage_never_panics(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = sample();
        for (at, value) in hits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        digest(&bytes);
    }
}
