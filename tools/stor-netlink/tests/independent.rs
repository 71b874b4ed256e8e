// SPDX-License-Identifier: GPL-2.0

//! The same bytes, read and written by an implementation of netlink that is not ours.

mod other;

use netlink_packet_core::{NetlinkPayload, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use other::{emit, nla, read, value};
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use stor_netlink::uapi::*;
use stor_netlink::wire::{self, Exchange, Header, Progress};
use stor_netlink::{Change, CryptoEngine, NewVolume, Selector, Uuid, Volume};

const FAMILY: u16 = 0x23;
const HEADER: Header = Header {
    family: FAMILY,
    seq: 77,
};

#[test]
fn plain_requests() {
    for (request, cmd, flags) in [
        (wire::info_get(HEADER), STOR_CMD_INFO_GET, NLM_F_ACK),
        (wire::volume_dump(HEADER), STOR_CMD_VOLUME_GET, NLM_F_DUMP),
    ] {
        let (header, genl, nlas) = read(request.as_bytes());
        assert_eq!(header.length as usize, request.as_bytes().len());
        assert_eq!(header.message_type, FAMILY);
        assert_eq!(header.flags, NLM_F_REQUEST | flags);
        assert_eq!(header.sequence_number, 77);
        assert_eq!(u32::from(genl.cmd), cmd);
        assert_eq!(u32::from(genl.version), STOR_FAMILY_VERSION);
        assert_eq!(nlas, []);
    }
}

#[test]
fn a_family_is_asked_for() {
    let request = wire::get_family(1, "stor").unwrap();
    let (header, genl, nlas) = read(request.as_bytes());
    assert_eq!(header.message_type, 16);
    assert_eq!((genl.cmd, genl.version), (3, 2));
    assert_eq!(nlas, [nla(2, b"stor\0")]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut volume = NewVolume {
        name: "vm1".into(),
        backing: vec![b'x'; 70_000],
        ..NewVolume::default()
    };
    let error = wire::volume_new(HEADER, &volume).unwrap_err();
    assert_eq!(error.attribute, "backing");
    volume.backing.truncate(4096);
    assert!(wire::volume_new(HEADER, &volume).is_ok());
}

#[test]
fn requests_remember_where_attributes_are() {
    let selector = Selector::Name("vm1".into());
    let request = wire::volume_del(HEADER, &selector).unwrap();
    assert_eq!(request.attr_at(0), None);
    assert_eq!(request.attr_at(19), None);
    assert_eq!(request.attr_at(20), Some(STOR_A_VOLUME_NAME));
    assert_eq!(request.attr_at(27), Some(STOR_A_VOLUME_NAME));
    assert_eq!(request.attr_at(28), None);
    assert_eq!(request.attr_at(usize::MAX), None);
}

fn new_volume() -> impl Strategy<Value = NewVolume> {
    (
        "[A-Za-z0-9._-]{1,31}",
        prop::collection::vec(1u8.., 1..300),
        any::<Option<u64>>(),
        any::<Option<u64>>(),
        any::<Option<u32>>(),
        any::<Option<[u8; 16]>>(),
        any::<Option<bool>>(),
        prop::option::of((
            "logon:[a-z:;]{1,200}",
            any::<Option<u32>>(),
            any::<Option<u64>>(),
            any::<Option<bool>>(),
            any::<Option<bool>>(),
            any::<Option<u32>>(),
        )),
    )
        .prop_map(
            |(name, backing, offset, length, index, uuid, read_only, encryption)| NewVolume {
                name,
                backing,
                offset,
                length,
                index,
                uuid: uuid.map(Uuid::from_bytes),
                read_only,
                key: encryption.as_ref().map(|it| it.0.clone()),
                crypto_sector: encryption.as_ref().and_then(|it| it.1),
                iv_offset: encryption.as_ref().and_then(|it| it.2),
                iv_large_sectors: encryption.as_ref().and_then(|it| it.3),
                discard: encryption.as_ref().and_then(|it| it.4),
                crypto_engine: encryption.as_ref().and_then(|it| it.5).map(CryptoEngine),
            },
        )
}

/// What a module would reply: every attribute, and one from the future.
fn reply(volume: &NewVolume, more: u32) -> Vec<netlink_packet_core::DefaultNla> {
    let text = |bytes: &[u8]| [bytes, b"\0"].concat();
    let number = |kind| nla(kind, &more.to_ne_bytes());
    let mut nlas = vec![
        nla(STOR_A_VOLUME_NAME, &text(volume.name.as_bytes())),
        nla(9999, b"from the future"),
        nla(STOR_A_VOLUME_BACKING, &text(&volume.backing)),
        nla(STOR_A_VOLUME_DISK, b"stor7\0"),
        nla(STOR_A_VOLUME_BACKING_DISK, b"nvme0n1\0"),
    ];
    nlas.extend(
        [
            STOR_A_VOLUME_STATE,
            STOR_A_VOLUME_DEV_MAJOR,
            STOR_A_VOLUME_DEV_MINOR,
            STOR_A_VOLUME_BACKING_MAJOR,
            STOR_A_VOLUME_BACKING_MINOR,
            STOR_A_VOLUME_LOGICAL_BLOCK_SIZE,
            STOR_A_VOLUME_PHYSICAL_BLOCK_SIZE,
        ]
        .map(number),
    );
    let long = |kind| nla(kind, &(u64::from(more) << 7).to_ne_bytes());
    nlas.extend(
        [
            STOR_A_VOLUME_GATE_COUNT,
            STOR_A_VOLUME_GATE_LAST,
            STOR_A_VOLUME_GATE_LONGEST,
        ]
        .map(long),
    );
    for (kind, flag) in [
        (STOR_A_VOLUME_READ_ONLY, volume.read_only),
        (STOR_A_VOLUME_CIPHER_SLOW, volume.read_only),
        (STOR_A_VOLUME_IV_LARGE_SECTORS, volume.iv_large_sectors),
        (STOR_A_VOLUME_DISCARD, volume.discard),
        (STOR_A_VOLUME_CRYPTO_NATIVE, volume.discard),
    ] {
        nlas.extend(flag.map(|v| nla(kind, &[u8::from(v)])));
    }
    nlas.extend(
        volume
            .key
            .as_ref()
            .map(|v| nla(STOR_A_VOLUME_KEY, &text(v.as_bytes()))),
    );
    nlas.push(nla(STOR_A_VOLUME_CIPHER, b"aes-xts-plain64\0"));
    nlas.push(nla(STOR_A_VOLUME_CIPHER_DRIVER, b"xts-aes-aesni\0"));
    nlas.push(number(STOR_A_VOLUME_KEY_SIZE));
    nlas.extend(
        volume
            .crypto_sector
            .map(|v| nla(STOR_A_VOLUME_CRYPTO_SECTOR, &v.to_ne_bytes())),
    );
    nlas.extend(
        volume
            .iv_offset
            .map(|v| nla(STOR_A_VOLUME_IV_OFFSET, &v.to_ne_bytes())),
    );
    nlas.extend(
        volume
            .crypto_engine
            .map(|v| nla(STOR_A_VOLUME_CRYPTO_ENGINE, &v.0.to_ne_bytes())),
    );
    nlas.extend(volume.uuid.map(|v| nla(STOR_A_VOLUME_UUID, v.as_bytes())));
    nlas.extend(
        volume
            .index
            .map(|v| nla(STOR_A_VOLUME_INDEX, &v.to_ne_bytes())),
    );
    nlas.extend(
        volume
            .offset
            .map(|v| nla(STOR_A_VOLUME_OFFSET, &v.to_ne_bytes())),
    );
    nlas.extend(
        volume
            .length
            .map(|v| nla(STOR_A_VOLUME_LENGTH, &v.to_ne_bytes())),
    );
    nlas
}

fn assert_reply(volume: &Volume, expected: &NewVolume, more: u32) {
    let bytes = |text: &Option<stor_netlink::Text>| text.as_ref().map(|t| t.as_bytes().to_vec());
    assert_eq!(
        bytes(&volume.name),
        Some(expected.name.clone().into_bytes())
    );
    assert_eq!(bytes(&volume.backing), Some(expected.backing.clone()));
    assert_eq!(bytes(&volume.disk), Some(b"stor7".to_vec()));
    assert_eq!(bytes(&volume.backing_disk), Some(b"nvme0n1".to_vec()));
    assert_eq!(volume.uuid, expected.uuid);
    assert_eq!(volume.index, expected.index);
    assert_eq!(volume.offset, expected.offset);
    assert_eq!(volume.length, expected.length);
    assert_eq!(volume.state.map(|state| state.0), Some(more));
    assert_eq!(volume.read_only, expected.read_only);
    assert_eq!(
        bytes(&volume.key),
        expected.key.clone().map(String::into_bytes)
    );
    assert_eq!(bytes(&volume.cipher), Some(b"aes-xts-plain64".to_vec()));
    assert_eq!(
        bytes(&volume.cipher_driver),
        Some(b"xts-aes-aesni".to_vec())
    );
    assert_eq!(volume.cipher_slow, expected.read_only);
    assert_eq!(volume.key_size, Some(more));
    assert_eq!(volume.crypto_sector, expected.crypto_sector);
    assert_eq!(volume.iv_offset, expected.iv_offset);
    assert_eq!(volume.iv_large_sectors, expected.iv_large_sectors);
    assert_eq!(volume.discard, expected.discard);
    assert_eq!(volume.crypto_engine, expected.crypto_engine);
    assert_eq!(volume.crypto_native, expected.discard);
    for number in [volume.gate_count, volume.gate_last, volume.gate_longest] {
        assert_eq!(number, Some(u64::from(more) << 7));
    }
    for number in [
        volume.dev_major,
        volume.dev_minor,
        volume.backing_major,
        volume.backing_minor,
        volume.logical_block_size,
        volume.physical_block_size,
    ] {
        assert_eq!(number, Some(more));
    }
}

proptest! {
    #[test]
    fn the_other_reads_what_we_write(volume in new_volume()) {
        let request = wire::volume_new(HEADER, &volume).unwrap();
        let (header, genl, nlas) = read(request.as_bytes());
        assert_eq!(header.length as usize, request.as_bytes().len());
        assert_eq!(u32::from(genl.cmd), STOR_CMD_VOLUME_NEW);

        let text = |bytes: &[u8]| Some([bytes, b"\0"].concat());
        assert_eq!(value(&nlas, STOR_A_VOLUME_NAME), text(volume.name.as_bytes()));
        assert_eq!(value(&nlas, STOR_A_VOLUME_BACKING), text(&volume.backing));
        for (kind, expected) in [
            (STOR_A_VOLUME_OFFSET, volume.offset.map(|v| v.to_ne_bytes().to_vec())),
            (STOR_A_VOLUME_LENGTH, volume.length.map(|v| v.to_ne_bytes().to_vec())),
            (STOR_A_VOLUME_INDEX, volume.index.map(|v| v.to_ne_bytes().to_vec())),
            (STOR_A_VOLUME_UUID, volume.uuid.map(|v| v.as_bytes().to_vec())),
            (STOR_A_VOLUME_READ_ONLY, volume.read_only.map(|v| vec![u8::from(v)])),
            (STOR_A_VOLUME_KEY, volume.key.as_ref().and_then(|v| text(v.as_bytes()))),
            (STOR_A_VOLUME_CRYPTO_SECTOR, volume.crypto_sector.map(|v| v.to_ne_bytes().to_vec())),
            (STOR_A_VOLUME_IV_OFFSET, volume.iv_offset.map(|v| v.to_ne_bytes().to_vec())),
            (
                STOR_A_VOLUME_IV_LARGE_SECTORS,
                volume.iv_large_sectors.map(|v| vec![u8::from(v)]),
            ),
            (STOR_A_VOLUME_DISCARD, volume.discard.map(|v| vec![u8::from(v)])),
            (
                STOR_A_VOLUME_CRYPTO_ENGINE,
                volume.crypto_engine.map(|v| v.0.to_ne_bytes().to_vec()),
            ),
        ] {
            assert_eq!(value(&nlas, kind), expected);
        }
    }

    #[test]
    fn the_other_reads_selectors(index: u32, uuid: [u8; 16], name in "[a-z]{1,31}") {
        for (selector, expected) in [
            (Selector::Index(index), nla(STOR_A_VOLUME_INDEX, &index.to_ne_bytes())),
            (Selector::Uuid(Uuid::from_bytes(uuid)), nla(STOR_A_VOLUME_UUID, &uuid)),
            (
                Selector::Name(name.clone()),
                nla(STOR_A_VOLUME_NAME, format!("{name}\0").as_bytes()),
            ),
        ] {
            let get = wire::volume_get(HEADER, &selector).unwrap();
            let del = wire::volume_del(HEADER, &selector).unwrap();
            let gate = wire::volume_gate(HEADER, &selector).unwrap();
            for (request, cmd) in [
                (get, STOR_CMD_VOLUME_GET),
                (del, STOR_CMD_VOLUME_DEL),
                (gate, STOR_CMD_VOLUME_GATE),
            ] {
                let (_, genl, nlas) = read(request.as_bytes());
                assert_eq!(u32::from(genl.cmd), cmd);
                assert_eq!(nlas, [expected.clone()]);
            }
        }
    }

    #[test]
    fn the_other_reads_changes(index: u32, length: Option<u64>, read_only: Option<bool>) {
        let change = Change { length, read_only };
        let request = wire::volume_set(HEADER, &Selector::Index(index), &change).unwrap();
        let (_, genl, nlas) = read(request.as_bytes());
        assert_eq!(u32::from(genl.cmd), STOR_CMD_VOLUME_SET);
        let mut expected = vec![nla(STOR_A_VOLUME_INDEX, &index.to_ne_bytes())];
        expected.extend(length.map(|v| nla(STOR_A_VOLUME_LENGTH, &v.to_ne_bytes())));
        expected.extend(read_only.map(|v| nla(STOR_A_VOLUME_READ_ONLY, &[u8::from(v)])));
        assert_eq!(nlas, expected);
    }

    #[test]
    fn the_other_reads_what_statistics_are_asked_for(index: u32, uuid: [u8; 16], per_cpu: bool) {
        for (selector, expected) in [
            (None, None),
            (Some(Selector::Index(index)), Some(nla(STOR_A_STAT_INDEX, &index.to_ne_bytes()))),
            (Some(Selector::Uuid(Uuid::from_bytes(uuid))), Some(nla(STOR_A_STAT_UUID, &uuid))),
            (Some(Selector::Name("vm1".into())), Some(nla(STOR_A_STAT_NAME, b"vm1\0"))),
        ] {
            let request = wire::stat_dump(HEADER, selector.as_ref(), per_cpu).unwrap();
            let (header, genl, nlas) = read(request.as_bytes());
            assert_eq!(header.flags, NLM_F_REQUEST | NLM_F_DUMP);
            assert_eq!(u32::from(genl.cmd), STOR_CMD_STAT_GET);
            let flag = per_cpu.then(|| nla(STOR_A_STAT_PER_CPU, &[]));
            assert_eq!(nlas, expected.into_iter().chain(flag).collect::<Vec<_>>());
        }
    }

    #[test]
    fn we_read_what_the_other_writes(volume in new_volume(), more: u32) {
        let bytes = emit(FAMILY, 77, 0, STOR_CMD_VOLUME_NEW, reply(&volume, more));
        // The other can read it back, so it is a fair witness.
        let (_, _, nlas) = read(&bytes);
        assert_eq!(value(&nlas, STOR_A_VOLUME_STATE), Some(more.to_ne_bytes().to_vec()));

        let mut exchange = Exchange::new(FAMILY, 77);
        assert_eq!(exchange.feed(&bytes), Ok(Progress::More));
        assert_eq!(exchange.replies.len(), 1);
        let decoded = wire::decode_volume(exchange.replies[0].attrs()).unwrap();
        assert_reply(&decoded, &volume, more);
    }

    #[test]
    fn we_read_notifications(volume in new_volume(), cmd: u8, more: u32) {
        let bytes = emit(FAMILY, 0, 0, u32::from(cmd), reply(&volume, more));
        let message = wire::messages(&bytes).next().unwrap().unwrap();
        assert_eq!(message.kind, FAMILY);
        let event = wire::decode_event(&message).unwrap();
        assert_eq!(event.kind.0, cmd);
        assert_reply(&event.volume, &volume, more);
    }

    #[test]
    fn we_read_what_the_module_is(features: u64, abi: u32) {
        let nlas = vec![
            nla(STOR_A_INFO_FEATURES, &features.to_ne_bytes()),
            nla(STOR_A_INFO_ABI_VERSION, &abi.to_ne_bytes()),
            nla(STOR_A_INFO_MODULE_VERSION, b"1.2.3\0"),
            nla(77, b""),
        ];
        let bytes = emit(FAMILY, 77, 0, STOR_CMD_INFO_GET, nlas);
        let mut exchange = Exchange::new(FAMILY, 77);
        exchange.feed(&bytes).unwrap();
        let info = wire::decode_info(exchange.replies[0].attrs()).unwrap();
        assert_eq!(info.features, Some(features));
        assert_eq!(info.abi_version, Some(abi));
        assert_eq!(info.module_version, Some("1.2.3".into()));
        assert_eq!(info.feature_names().len(), features.count_ones() as usize);
    }
}

/// The other agrees on how a request ended.
#[test]
fn the_other_reads_acknowledgments() {
    let request = wire::info_get(HEADER);
    for errno in [0, 22] {
        let bytes = other::ack(&request, errno, other::Form::Capped, &[]);
        let NetlinkPayload::Error(error) = other::payload(&bytes) else {
            panic!("not an acknowledgment");
        };
        assert_eq!(error.raw_code(), -errno);
        let mut exchange = Exchange::new(FAMILY, 77);
        match exchange.feed(&bytes).unwrap() {
            Progress::Ended(ack) => assert_eq!(ack.errno, errno),
            more => panic!("{more:?}"),
        }
    }
}
