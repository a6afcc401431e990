//! The protobuf scan against the generated messages: the same events are accepted, with the same
//! meaning, and the same bytes are refused for the same reason, whatever was done to the bytes.
//! Two differences are meant: the scan counts unknown fields, and it is stricter where a hostile
//! message would cost memory (names to clear, nested groups) or says more (another version beats a damage).

use proptest::prelude::*;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::both::message;
use super::*;

/// Both decoders on the same bytes.
#[track_caller]
fn same(bytes: &[u8]) {
    let (scan, oracle) = (decode_protobuf(bytes, &KEY), oracle::decode(bytes, &KEY));
    match (scan, oracle) {
        (Ok(mut scan), Ok(oracle)) => {
            assert!(scan.unknown_fields >= oracle.unknown_fields, "{bytes:02x?}");
            scan.unknown_fields = oracle.unknown_fields;
            assert_eq!(scan, oracle, "{bytes:02x?}");
        }
        (Err(scan), Err(oracle)) => {
            let explained = scan.reason == Reason::UnsupportedVersion;
            assert!(scan.reason == oracle.reason || explained, "{scan} | {oracle} | {bytes:02x?}");
            if scan.reason != Reason::MalformedProtobuf && !explained {
                assert_eq!(scan, oracle, "{bytes:02x?}");
            }
        }
        (scan, oracle) => panic!("{scan:?} | {oracle:?} | {bytes:02x?}"),
    }
}

/// A field and its value, by hand.
fn field(number: u32, wire: WireType, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, wire, &mut bytes);
    if wire == WireType::LengthDelimited {
        encode_varint(value.len() as u64, &mut bytes);
    }
    bytes.extend_from_slice(value);
    bytes
}

fn text(number: u32, value: &str) -> Vec<u8> {
    field(number, WireType::LengthDelimited, value.as_bytes())
}

fn inner(number: u32, fields: &[Vec<u8>]) -> Vec<u8> {
    field(number, WireType::LengthDelimited, &fields.concat())
}

fn number(number: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_varint(value, &mut bytes);
    field(number, WireType::Varint, &bytes)
}

/// An envelope in front of `rest`.
fn around(rest: &[Vec<u8>]) -> Vec<u8> {
    [text(2, "e1"), text(3, "acme"), number(4, 1_767_571_200_000), rest.concat()].concat()
}

fn login() -> Vec<u8> {
    inner(10, &[text(1, "u1")])
}

fn groups(depth: usize, inside: &[u8]) -> Vec<u8> {
    let start = field(99, WireType::StartGroup, &[]).repeat(depth);
    let end = field(99, WireType::EndGroup, &[]).repeat(depth);
    [start, inside.to_vec(), end].concat()
}

/// Fields the schema does not have, of every wire type.
fn unknown_field() -> impl Strategy<Value = Vec<u8>> {
    let data = prop::collection::vec(any::<u8>(), 0..20);
    let number = prop_oneof![6..10_u32, 18..40_u32, Just(0x1fff_ffff_u32)];
    (number, 0..6_u8, any::<u64>(), data, 1..6_usize).prop_map(|(at, wire, n, data, depth)| match wire {
        0 => self::number(at, n),
        1 => field(at, WireType::SixtyFourBit, &n.to_le_bytes()),
        2 => field(at, WireType::LengthDelimited, &data),
        3 => field(at, WireType::ThirtyTwoBit, &n.to_le_bytes()[..4]),
        _ => groups(depth, &self::number(at, n)),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn messages_read_the_same(m in message()) {
        let bytes = m.encode_to_vec();
        same(&bytes);
        prop_assert!(decode_protobuf(&bytes, &KEY).is_ok());
    }

    #[test]
    fn damaged_messages_read_the_same(
        m in message(), at: prop::sample::Index, byte: u8, bit in 0..8_u8, part in prop::collection::vec(any::<u8>(), 0..6),
    ) {
        let whole = m.encode_to_vec();
        let at = at.index(whole.len());
        for cut in 0..whole.len() {
            same(&whole[..cut]);
        }
        let mut changed = whole.clone();
        changed[at] ^= 1 << bit;
        same(&changed);
        changed[at] = byte;
        same(&changed);
        let mut spliced = whole.clone();
        spliced.splice(at..at, part.iter().copied());
        same(&spliced);
        let until = (at + part.len()).min(whole.len());
        let mut replaced = whole.clone();
        replaced.splice(at..until, []);
        same(&replaced);
    }

    /// Concatenated messages are merged, unknown fields may stand anywhere between them.
    #[test]
    fn merged_messages_read_the_same(
        a in message(), b in message(), first in unknown_field(), second in unknown_field(), cut: prop::sample::Index,
    ) {
        let (a, b) = (a.encode_to_vec(), b.encode_to_vec());
        let bytes = [first.as_slice(), &a, &second, &b].concat();
        same(&bytes);
        same(&bytes[..cut.index(bytes.len())]);
        let within = inner(12, &[second, text(1, "T-1"), first]);
        same(&[a, within].concat());
    }

    #[test]
    fn arbitrary_fields_read_the_same(fields in prop::collection::vec((1..20_u32, 0..8_u8, any::<u64>()), 0..12)) {
        let mut bytes = Vec::new();
        for (number, wire, value) in fields {
            encode_varint(u64::from(number << 3 | u32::from(wire)), &mut bytes);
            encode_varint(value >> (value % 64), &mut bytes);
        }
        same(&bytes);
    }
}

#[test]
fn corner_cases_read_the_same() {
    let ten = |last: u8| [vec![0x80_u8; 9], vec![last]].concat();
    let cases: Vec<Vec<u8>> = vec![
        vec![],
        around(&[]),
        around(&[login()]),
        // The last value of a field, the last of two kinds, and two of one kind merged.
        around(&[login(), text(2, "e2"), number(4, 1_767_571_200_001)]),
        around(&[login(), inner(11, &[text(2, "f")])]),
        around(&[inner(11, &[text(2, "f")]), inner(11, &[text(1, "u1"), number(3, 4)])]),
        around(&[inner(11, &[text(2, "f")]), login(), inner(11, &[text(1, "u1")])]),
        around(&[inner(12, &[text(1, "T"), number(3, 1)]), inner(12, &[number(4, 1_767_571_200_000)])]),
        // An invalid value that is overwritten was never there; damaged text was.
        around(&[login(), text(2, &"x".repeat(200)), text(2, "e2")]),
        around(&[login(), field(2, WireType::LengthDelimited, b"\xff"), text(2, "e2")]),
        around(&[login(), text(2, "")]),
        // Numbers are cut to their width.
        around(&[inner(11, &[text(2, "f"), number(3, u64::MAX)])]),
        around(&[inner(11, &[text(2, "f"), number(3, 1 << 32)])]),
        around(&[login(), number(1, 1 << 32), number(1, (1 << 32) + 1)]),
        around(&[inner(12, &[text(1, "T"), number(3, u64::MAX), number(4, 1_767_571_200_000)])]),
        around(&[login(), number(5, u64::MAX)]),
        // Varints: padded, of ten bytes, too long.
        [around(&[login()]), vec![0x28, 0x85, 0x80, 0x80, 0x00]].concat(),
        [around(&[login()]), vec![0x28], ten(1)].concat(),
        [around(&[login()]), vec![0x28], ten(2)].concat(),
        [around(&[login()]), vec![0x28], ten(0x80), vec![0]].concat(),
        [around(&[login()]), vec![0x28], vec![0xff; 20]].concat(),
        // Keys: number zero, wire types that do not exist, more than 32 bits, padded.
        [around(&[login()]), vec![0x00, 0x00]].concat(),
        [around(&[login()]), vec![0x06, 0x00]].concat(),
        [around(&[login()]), vec![0xa7, 0x01]].concat(),
        [around(&[login()]), vec![0x80, 0x80, 0x80, 0x80, 0x10, 0x00]].concat(),
        [around(&[login()]), vec![0xa8, 0x80, 0x00, 0x05]].concat(),
        // Lengths: past the end, past the body they stand in, absurd.
        [around(&[]), vec![0x52, 0x05, 0x0a, 0x02]].concat(),
        [around(&[]), vec![0x52, 0x02, 0x0a, 0x03], b"abc".to_vec()].concat(),
        [around(&[]), vec![0x52, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]].concat(),
        // A known field of another wire type, packed numbers where none are.
        around(&[login(), field(4, WireType::SixtyFourBit, &[0; 8])]),
        around(&[field(10, WireType::Varint, &[1])]),
        around(&[field(10, WireType::StartGroup, &[])]),
        around(&[login(), field(5, WireType::LengthDelimited, &[1, 2])]),
        // Groups: unknown ones of any depth, unbalanced ones, ones closed by another.
        around(&[login(), groups(1, &[])]),
        around(&[login(), groups(32, &text(7, "x"))]),
        around(&[login(), groups(101, &[])]),
        around(&[login(), field(99, WireType::EndGroup, &[])]),
        around(&[login(), field(99, WireType::StartGroup, &[])]),
        around(&[login(), field(98, WireType::StartGroup, &[]), field(99, WireType::EndGroup, &[])]),
        around(&[inner(10, &[text(1, "u1"), groups(3, &number(3, 3))])]),
        // Lists: merged, too long; names to clear: known, twice, unknown, also set.
        around(&[inner(17, &[text(8, "a"), text(8, "b")]), inner(17, &[text(8, "c")])]),
        around(&[inner(17, &vec![text(8, "a"); 256])]),
        around(&[inner(17, &vec![text(8, "a"); 257])]),
        around(&[inner(17, &[text(8, "")])]),
        around(&[inner(17, &[text(15, "owner"), text(15, "nobody"), text(15, "parent")])]),
        around(&[inner(17, &[text(15, "owner"), text(15, "owner")])]),
        around(&[inner(17, &[text(15, "owner"), text(4, "x")])]),
        around(&[inner(17, &vec![text(15, "nobody"); 256])]),
        around(&[inner(17, &[text(1, "")])]),
    ];
    for bytes in &cases {
        same(bytes);
    }
    assert!(decode_protobuf(&cases[2], &KEY).is_ok(), "the frame of the cases is an event");
}

#[test]
fn groups_are_bounded() {
    assert!(decode_protobuf(&around(&[login(), groups(32, &[])]), &KEY).is_ok());
    for deep in [33, 100_000] {
        let refusal = decode_protobuf(&around(&[login(), groups(deep, &[])]), &KEY).expect_err("too deep");
        assert!(refusal.message.contains("groups are nested too deep"), "{refusal}");
    }
}

#[test]
fn names_to_clear_are_bounded() {
    let bytes = around(&[inner(17, &vec![text(15, "nobody"); 257])]);
    let refusal = decode_protobuf(&bytes, &KEY).expect_err("too many");
    assert_eq!(refusal.reason, Reason::MalformedProtobuf);
    assert!(refusal.message.contains("field 15 is repeated too often"), "{refusal}");
}

#[test]
fn unknown_fields_are_counted_where_they_stand() {
    let rest =
        [inner(10, &[text(1, "u1"), number(7, 1), text(9, "x")]), groups(2, &number(1, 1)), number(8, 1)];
    assert_eq!(decode_protobuf(&around(&rest), &KEY).expect("an event").unknown_fields, 4);
}

#[test]
fn another_version_beats_a_damage() {
    let other = [number(1, 2), around(&[field(10, WireType::Varint, &[1])])].concat();
    assert_eq!(decode_protobuf(&other, &KEY).expect_err("v 2").reason, Reason::UnsupportedVersion);
}

#[test]
fn a_damage_is_named_without_the_payload() {
    let cases = [
        ([around(&[]), vec![0x52, 0x05, 0x0a, 0x02]].concat(), "the bytes end within a field (byte 19)"),
        (
            around(&[inner(10, &[field(1, WireType::LengthDelimited, b"secret\xff")])]),
            "the text in field 1 is not UTF-8 (byte 19)",
        ),
        (
            around(&[field(10, WireType::Varint, &[1])]),
            "field 10 has another wire type than in the schema (byte 17)",
        ),
        (vec![0xff; 20], "a varint is longer than 64 bits (byte 0)"),
        (br#"{"id":"secret"}"#.to_vec(), "field 15 has another wire type than in the schema (byte 0)"),
    ];
    for (bytes, expected) in cases {
        let refusal = decode_protobuf(&bytes, &KEY).expect_err(expected);
        assert_eq!(refusal.reason, Reason::MalformedProtobuf);
        assert!(refusal.message.contains(expected), "{refusal}");
        assert!(!refusal.message.contains("secret"), "{refusal}");
    }
}
