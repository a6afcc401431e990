//! The encoding told from the first bytes, and a registry's framing.

use proptest::prelude::*;
use prost::Message;

use super::*;

const JSON: &str =
    r#"{"id":"e1","account_id":"acme","occurred_at":"2026-01-05T09:00:00Z","login":{"user_id":"u"}}"#;
const AT_MS: i64 = 1_767_603_600_000;

fn protobuf() -> Vec<u8> {
    let login = pb::event::Body::Login(pb::Login { user_id: "u".into() });
    let message = pb::Event {
        id: "e1".into(),
        account_id: "acme".into(),
        occurred_at_ms: AT_MS,
        body: Some(login),
        ..Default::default()
    };
    message.encode_to_vec()
}

fn framed(indexes: &[u8], payload: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1, 7], indexes, payload].concat()
}

#[track_caller]
fn good(value: &[u8], headers: &dyn Headers, encoding: Encoding) {
    let event = read(value, headers, encoding).unwrap_or_else(|refusal| panic!("{refusal}: {value:02x?}"));
    assert_eq!((event.account.as_ref(), event.occurred_at_ms, event.kind()), ("acme", AT_MS, Kind::Login));
}

#[track_caller]
fn bad(value: &[u8], headers: &dyn Headers, encoding: Encoding, reason: Reason, part: &str) {
    let refusal = read(value, headers, encoding).expect_err("refused");
    assert_eq!(refusal.reason, reason, "{refusal}");
    assert!(refusal.message.contains(part), "{refusal}");
    assert!(!refusal.message.contains("secret"), "{refusal}");
}

#[test]
fn one_topic_may_mix_what_its_first_byte_tells_apart() {
    let spaced = format!(" \t\r\n{JSON}");
    for value in [
        JSON.as_bytes(),
        spaced.as_bytes(),
        &protobuf(),
        &framed(&[], JSON.as_bytes()),
        &framed(&[], spaced.as_bytes()),
        &framed(&[0], &protobuf()),
        &framed(&[2, 0], &protobuf()),
        &framed(&[0x82, 0x00, 0x80, 0x00], &protobuf()),
    ] {
        good(value, &NoHeaders, Encoding::Auto);
    }
}

#[test]
fn a_fixed_encoding_sees_through_framing_and_takes_nothing_else() {
    use Reason::{MalformedFraming, MalformedJson, MalformedProtobuf};
    good(JSON.as_bytes(), &NoHeaders, Encoding::Json);
    good(&framed(&[], JSON.as_bytes()), &NoHeaders, Encoding::Json);
    good(&protobuf(), &NoHeaders, Encoding::Protobuf);
    good(&framed(&[0], &protobuf()), &NoHeaders, Encoding::Protobuf);
    bad(&protobuf(), &NoHeaders, Encoding::Json, MalformedJson, "");
    bad(JSON.as_bytes(), &NoHeaders, Encoding::Protobuf, MalformedProtobuf, "field 15");
    bad(&framed(&[], JSON.as_bytes()), &NoHeaders, Encoding::Protobuf, MalformedFraming, "message index");
}

#[test]
fn a_schema_id_in_a_header_leaves_the_value_alone() {
    let guid = [&[1][..], &[0xab; 16]].concat();
    let guid_first = [&guid[..], &[0]].concat();
    let guid_long = [&guid[..], &[2, 0]].concat();
    for header in [&guid[..], &guid_first, &guid_long, &[0, 0, 0, 0, 7], &[0, 0, 0, 0, 7, 0]] {
        let headers = [("__value_schema_id", header), ("traceparent", b"00-1")];
        good(&protobuf(), &Given(&headers), Encoding::Auto);
        good(JSON.as_bytes(), &Given(&headers), Encoding::Auto);
    }
}

#[test]
fn broken_framing_says_where() {
    let broken = |value: &[u8], part| bad(value, &NoHeaders, Encoding::Auto, Reason::MalformedFraming, part);
    for cut in 1..5 {
        broken(&framed(&[0], &protobuf())[..cut], "ends within the schema id");
    }
    broken(&framed(&[], b""), "neither JSON nor a protobuf message index");
    broken(&framed(&[0x80], b""), "neither JSON nor a protobuf message index");
    broken(&framed(&[0xff; 12], b""), "neither JSON nor a protobuf message index");
    broken(&framed(&[1], &protobuf()), "neither JSON nor a protobuf message index");
    broken(&framed(&[2], b""), "neither JSON nor a protobuf message index");
    broken(&framed(&[2, 1], &protobuf()), "neither JSON nor a protobuf message index");
    broken(&framed(&[4, 0, 2], &protobuf()), "a message inside another");
    broken(&framed(&[2, 2], &protobuf()), "names message 1 of its schema, Event is number 0");
    let header = |header: &[u8], part| {
        let headers = [("__value_schema_id", header)];
        bad(JSON.as_bytes(), &Given(&headers), Encoding::Auto, Reason::MalformedFraming, part);
    };
    header(b"", "starts with neither 0x00 nor 0x01");
    header(b"\x02secret", "starts with neither 0x00 nor 0x01");
    header(b"\x01secret", "ends within the schema id");
    header(b"\x00\x00\x00\x00\x07\x00secret", "bytes after the message indexes");
    // What is inside is refused for itself.
    bad(&framed(&[0], &[0xff]), &NoHeaders, Encoding::Auto, Reason::MalformedProtobuf, "");
    bad(&framed(&[], b"{"), &NoHeaders, Encoding::Auto, Reason::MalformedJson, "");
}

#[test]
fn text_that_is_no_event_is_refused_as_text() {
    for value in [&b""[..], b"secret", b"[1]", b"\"secret\"", b"\xef\xbb\xbf{}", b"id;account\r\n1;2"] {
        if value.is_empty() {
            // No protobuf has no fields either: the missing ones are named.
            bad(value, &NoHeaders, Encoding::Auto, Reason::MissingField, "id");
        } else {
            bad(value, &NoHeaders, Encoding::Auto, Reason::MalformedJson, "the value");
        }
    }
    bad(&[0xff, 0xfe], &NoHeaders, Encoding::Auto, Reason::MalformedProtobuf, "(byte 0)");
}

#[test]
fn messages_stand_in_the_schema_in_the_order_of_the_kinds() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let set = protox::compile(["accountpulse/v1/event.proto"], [root]).expect("the schema compiles");
    let names: Vec<_> =
        set.file[0].message_type.iter().map(|message| message.name().to_lowercase()).collect();
    let kinds = Kind::ALL.map(|kind| kind.name().to_owned());
    assert_eq!(names, [&["event".to_owned()][..], &kinds].concat());
}

proptest! {
    /// No event in protobuf is taken for JSON or for framing, whatever the order of its fields.
    #[test]
    fn protobuf_is_never_taken_for_anything_else(m in super::both::message(), first in 0..5_usize) {
        let mut rest = m.clone();
        let mut only = pb::Event::default();
        match first {
            0 => only.v = std::mem::take(&mut rest.v),
            1 => only.id = std::mem::take(&mut rest.id),
            2 => only.account_id = std::mem::take(&mut rest.account_id),
            3 => only.occurred_at_ms = std::mem::take(&mut rest.occurred_at_ms),
            _ => only.body = rest.body.take(),
        }
        let bytes = [only.encode_to_vec(), rest.encode_to_vec()].concat();
        let (found, expected) = (read(&bytes, &NoHeaders, Encoding::Auto), decode_protobuf(&bytes, &KEY));
        prop_assert!(expected.is_ok());
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn arbitrary_records_never_panic(
        value in prop::collection::vec(any::<u8>(), 0..60), header in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        let headers = [("__value_schema_id", header.as_slice())];
        let framed = framed(&[], &value);
        for value in [&value, &framed] {
            let _ = read(value, &NoHeaders, Encoding::Auto);
            let _ = read(value, &Given(&headers), Encoding::Auto);
        }
        for mode in ["application/cloudevents+json", "application/cloudevents+protobuf"] {
            let headers = [("content-type", mode.as_bytes())];
            let _ = read(&value, &Given(&headers), Encoding::Auto);
        }
    }
}
