//! CloudEvents in every mode against the plain event they stand for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use prost_types::{Any, Timestamp};

use super::*;

const AT: &str = "2026-01-05T09:00:00Z";
const LOGIN: &str = r#"{"user_id":"u1"}"#;
const BINARY: [(&str, &[u8]); 6] = [
    ("ce_specversion", b"1.0"),
    ("ce_type", b"accountpulse.login.v1"),
    ("ce_id", b"e1"),
    ("ce_source", b"/crm"),
    ("ce_subject", b"acme"),
    ("ce_time", AT.as_bytes()),
];

/// The event all of them stand for.
fn plain() -> Event<'static> {
    let json =
        r#"{"id":"e1","account_id":"acme","occurred_at":"2026-01-05T09:00:00Z","login":{"user_id":"u1"}}"#;
    decode_json(json.as_bytes(), &KEY).expect("an event")
}

fn login_message() -> Vec<u8> {
    pb::Login { user_id: "u1".into() }.encode_to_vec()
}

/// The headers of binary mode with one set to another value, or taken away.
fn with<'a>(name: &'a str, value: Option<&'a [u8]>) -> Vec<(&'a str, &'a [u8])> {
    let mut headers: Vec<(&str, &[u8])> =
        BINARY.iter().copied().filter(|(known, _)| *known != name).collect();
    headers.extend(value.map(|value| (name, value)));
    headers
}

#[track_caller]
fn good(value: &[u8], headers: &[(&str, &[u8])]) {
    assert_eq!(read(value, &Given(headers), Encoding::Auto), Ok(plain()));
}

#[track_caller]
fn bad(value: &[u8], headers: &[(&str, &[u8])], reason: Reason, part: &str) {
    let refusal = read(value, &Given(headers), Encoding::Auto).expect_err(part);
    assert_eq!(refusal.reason, reason, "{refusal}");
    assert!(refusal.message.contains(part), "{refusal}");
    assert!(!refusal.message.contains("secret"), "{refusal}");
}

#[test]
fn binary_mode() {
    let login = login_message();
    good(LOGIN.as_bytes(), &BINARY);
    good(LOGIN.as_bytes(), &with("content-type", Some(b"Application/JSON; charset=utf-8")));
    good(LOGIN.as_bytes(), &with("content-type", Some(b"application/vnd.acme.login+json")));
    good(&login, &with("content-type", Some(b"application/protobuf")));
    good(LOGIN.as_bytes(), &with("ce_type", Some(b"com.example.accountpulse.login.v1")));
    good(LOGIN.as_bytes(), &with("ce_partitionkey", Some(b"acme")));
    good(LOGIN.as_bytes(), &with("ce_traceparent", Some(b"\xff")));
    // Framed by a registry's serializer; Login is message 1 of its file.
    good(&[&[0, 0, 0, 0, 1], LOGIN.as_bytes()].concat(), &BINARY);
    let protobuf = with("content-type", Some(b"application/x-protobuf"));
    good(&[&[0, 0, 0, 0, 1, 2, 2], login.as_slice()].concat(), &protobuf);
    let other = [&[0, 0, 0, 0, 1, 0], login.as_slice()].concat();
    bad(&other, &protobuf, Reason::MalformedFraming, "names message 0 of its schema, login is number 1");
    let versioned = with("ce_version", Some(b"18446744073709551615"));
    let headers = Given(&versioned);
    let event = read(LOGIN.as_bytes(), &headers, Encoding::Protobuf);
    assert_eq!(event, Ok(Event { version: Some(u64::MAX), ..plain() }));
}

#[test]
fn a_whole_event_as_data() {
    let whole =
        r#"{"id":"e1","account_id":"acme","occurred_at":"2026-01-05T09:00:00Z","login":{"user_id":"u1"}}"#;
    let headers = with("ce_type", Some(b"accountpulse.event.v1"));
    good(whole.as_bytes(), &headers);
    let other = [headers, vec![("ce_subject", b"acme2")]].concat();
    bad(whole.as_bytes(), &other, Reason::KeyMismatch, "cloudevent.subject: differs from the account_id");
}

#[test]
fn binary_mode_refused() {
    use Reason::{
        InvalidField, KeyMismatch, MalformedCloudEvent, MalformedJson, MissingField, UnknownKind,
        UnsupportedSpecversion, UnsupportedVersion,
    };
    let check =
        |name, value: Option<&[u8]>, reason, part| bad(LOGIN.as_bytes(), &with(name, value), reason, part);
    check(
        "ce_specversion",
        Some(b"0.3"),
        UnsupportedSpecversion,
        "cloudevent.specversion: this build reads CloudEvents 1.0",
    );
    check("ce_type", None, MissingField, "cloudevent.type");
    check("ce_type", Some(b"com.secret.login.v1"), UnknownKind, "cloudevent.type");
    check("ce_type", Some(b"accountpulse.secret.v1"), UnknownKind, "cloudevent.type");
    check("ce_type", Some(b"accountpulse.login"), UnknownKind, "cloudevent.type");
    check("ce_type", Some(b"notaccountpulse.login.v1"), UnknownKind, "cloudevent.type");
    check("ce_type", Some(b"accountpulse.login.v2"), UnsupportedVersion, "reads v1 only");
    check("ce_id", None, MissingField, "cloudevent.id");
    check("ce_id", Some(b""), InvalidField, "cloudevent.id: expected 1 to 128 bytes");
    check("ce_id", Some(b"secret\xff"), MalformedCloudEvent, "the header ce_id is not UTF-8");
    check("ce_subject", None, MissingField, "cloudevent.subject");
    check("ce_partitionkey", Some(b"acme2"), KeyMismatch, "cloudevent.partitionkey: differs from subject");
    check("ce_time", None, MissingField, "cloudevent.time");
    check("ce_time", Some(b"secret"), InvalidField, "cloudevent.time: expected a time");
    check("ce_version", Some(b"-1"), InvalidField, "cloudevent.version");
    check("content-type", Some(b"text/plain"), MalformedCloudEvent, "content type that is not read");
    check("content-type", Some(b"application/protobuf"), Reason::MalformedProtobuf, "the data is not");
    check("content-type", Some(b"application/cloudevents-batch+json"), MalformedCloudEvent, "names a batch");
    check(
        "content-type",
        Some(b"application/cloudevents+avro"),
        MalformedCloudEvent,
        "a format that is not read",
    );
    bad(b"{\"user_id\":\"\"}", &BINARY, InvalidField, "login.user_id");
    bad(b"[]", &BINARY, InvalidField, "login: expected an object");
    bad(b"null", &BINARY, MissingField, "cloudevent.data");
    bad(b"{\"user_id\":\"secret", &BINARY, MalformedJson, "the data is not JSON");
    let intake = Intake { person_key: KEY, skew_ms: 0, partitions: 1 };
    let headers = Given(&BINARY);
    let (key, value, timestamp_ms, partition, encoding) = (None, None, 0, 0, Encoding::Auto);
    let tombstone = RawRecord { key, value, timestamp_ms, partition, encoding, headers: &headers };
    assert_eq!(intake.decode_value(&tombstone).expect_err("no data").reason, MissingField);
}

/// A structured event in JSON, with some of it replaced.
fn structured(from: &str, to: &str) -> Vec<u8> {
    let text = r#"{"specversion":"1.0","type":"accountpulse.login.v1","id":"e1","source":"/crm","subject":"acme",
        "time":"2026-01-05T09:00:00Z","comexampleextra":7,"data":{"user_id":"u1"}}"#;
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

const IN_JSON: [(&str, &[u8]); 1] = [("content-type", b"application/cloudevents+json; charset=utf-8")];

#[test]
fn structured_mode_in_json() {
    let json = |from, to: &str| good(&structured(from, to), &IN_JSON);
    json("", "");
    json("", " \n");
    json(r#""subject""#, r#""datacontenttype":"application/json","subject""#);
    json(r#""subject""#, r#""data_base64":null,"partitionkey":"acme","subject""#);
    json("acme", r"\u0061cme");
    let login = STANDARD.encode(login_message());
    let encoded = format!(r#""datacontenttype":"application/x-protobuf","data_base64":"{login}""#);
    json(r#""data":{"user_id":"u1"}"#, &encoded);
    json(r#""data":{"user_id":"u1"}"#, &format!(r#""data_base64":"{}""#, STANDARD.encode(LOGIN)));
    let version = structured(r#""id":"#, r#""version":"7","id":"#);
    let event = read(&version, &Given(&IN_JSON), Encoding::Json);
    assert_eq!(event, Ok(Event { version: Some(7), ..plain() }));
}

#[test]
fn structured_mode_in_json_refused() {
    use Reason::{InvalidField, MalformedCloudEvent, MalformedJson, MissingField, UnsupportedSpecversion};
    let check = |from, to: &str, reason, part| bad(&structured(from, to), &IN_JSON, reason, part);
    check("1.0", "2.0", UnsupportedSpecversion, "cloudevent.specversion");
    check(r#""1.0""#, "1.0", UnsupportedSpecversion, "cloudevent.specversion");
    check(r#""specversion":"1.0","#, "", MissingField, "cloudevent.specversion");
    check(r#""id":"e1""#, r#""id":7"#, InvalidField, "cloudevent.id: expected a string");
    check(r#""id":"e1""#, r#""id":null"#, MissingField, "cloudevent.id");
    check(r#""id":"e1""#, r#""id":"e1","id":"secret""#, MalformedCloudEvent, "each attribute once");
    check(r#""acme""#, r#"["secret"]"#, InvalidField, "cloudevent.subject: expected a string");
    check(r#"{"user_id":"u1"}"#, "null", MissingField, "cloudevent.data");
    check(r#"{"user_id":"u1"}"#, r#""secret""#, InvalidField, "login: expected an object");
    let members = br#"["1.0","accountpulse.login.v1","e1","acme","2026-01-05T09:00:00Z",null,null,null,{"user_id":"u1"},null]"#;
    bad(members, &IN_JSON, MalformedCloudEvent, "an array");
    check(r#""data":"#, r#""data_base64":"dTE=","data":"#, MalformedCloudEvent, "both given");
    check(r#""data":{"user_id":"u1"}"#, r#""data_base64":"secret!""#, MalformedCloudEvent, "not base64");
    check(r#""data":{"user_id":"u1"}"#, r#""data_base64":5"#, MalformedCloudEvent, "not a string");
    let protobuf = r#""datacontenttype":"application/protobuf","data":"#;
    check(r#""data":"#, protobuf, MalformedCloudEvent, "data_base64");
    check(r#""data":"#, r#""datacontenttype":"text/xml","data":"#, MalformedCloudEvent, "content type");
    check(r#""data":"#, r#""datacontenttype":5,"data":"#, MalformedCloudEvent, "not a string");
    for value in [&b"{"[..], b"[\"secret\"]", b"\"secret\"", b"", b"{}x"] {
        let refusal = read(value, &Given(&IN_JSON), Encoding::Auto).expect_err("no object");
        assert_eq!(refusal.reason, MalformedCloudEvent, "{refusal}");
        assert!(!refusal.message.contains("secret"), "{refusal}");
    }
    bad(b"\xff", &IN_JSON, MalformedJson, "not UTF-8");
}

/// `io.cloudevents.v1.CloudEvent`, as its schema has it.
#[derive(Clone, PartialEq, prost::Message)]
struct CloudEvent {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(string, tag = "3")]
    spec_version: String,
    #[prost(string, tag = "4")]
    r#type: String,
    #[prost(map = "string, message", tag = "5")]
    attributes: std::collections::HashMap<String, Value>,
    #[prost(oneof = "Data", tags = "6, 7, 8")]
    data: Option<Data>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Data {
    #[prost(bytes, tag = "6")]
    Binary(Vec<u8>),
    #[prost(string, tag = "7")]
    Text(String),
    #[prost(message, tag = "8")]
    Proto(Any),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Value {
    #[prost(oneof = "Attribute", tags = "1, 2, 3, 4, 5, 6, 7")]
    attr: Option<Attribute>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Attribute {
    #[prost(bool, tag = "1")]
    Boolean(bool),
    #[prost(int32, tag = "2")]
    Integer(i32),
    #[prost(string, tag = "3")]
    String(String),
    #[prost(bytes, tag = "4")]
    Bytes(Vec<u8>),
    #[prost(string, tag = "5")]
    Uri(String),
    #[prost(string, tag = "6")]
    UriRef(String),
    #[prost(message, tag = "7")]
    Timestamp(Timestamp),
}

const IN_PROTOBUF: [(&str, &[u8]); 1] = [("content-type", b"application/cloudevents+protobuf")];

fn message(data: Data, attributes: &[(&str, Attribute)]) -> Vec<u8> {
    let time = Timestamp { seconds: 1_767_603_600, nanos: 999_999 };
    let known = [
        ("subject", Attribute::String("acme".into())),
        ("time", Attribute::Timestamp(time)),
        ("flag", Attribute::Boolean(true)),
        ("bytes", Attribute::Bytes(vec![0xff])),
        ("link", Attribute::Uri("x".into())),
    ];
    let all = known.iter().chain(attributes).cloned();
    let value = |(name, attr): (&str, Attribute)| (name.to_owned(), Value { attr: Some(attr) });
    let event = CloudEvent {
        id: "e1".into(),
        source: "/crm".into(),
        spec_version: "1.0".into(),
        r#type: "accountpulse.login.v1".into(),
        attributes: all.map(value).collect(),
        data: Some(data),
    };
    event.encode_to_vec()
}

#[test]
fn structured_mode_in_protobuf() {
    let protobuf = ("datacontenttype", Attribute::String("application/protobuf".into()));
    let any = Any { type_url: "type.googleapis.com/accountpulse.v1.Login".into(), value: login_message() };
    good(&message(Data::Proto(any), &[]), &IN_PROTOBUF);
    good(&message(Data::Binary(login_message()), std::slice::from_ref(&protobuf)), &IN_PROTOBUF);
    good(&message(Data::Binary(LOGIN.into()), &[]), &IN_PROTOBUF);
    good(&message(Data::Text(LOGIN.into()), &[("time", Attribute::String(AT.into()))]), &IN_PROTOBUF);
    let versioned = message(Data::Text(LOGIN.into()), &[("version", Attribute::Integer(7))]);
    let event = read(&versioned, &Given(&IN_PROTOBUF), Encoding::Auto);
    assert_eq!(event, Ok(Event { version: Some(7), ..plain() }));
}

#[test]
fn structured_mode_in_protobuf_refused() {
    use Reason::{InvalidField, KeyMismatch, MalformedCloudEvent, MissingField};
    let whole = message(Data::Text(LOGIN.into()), &[]);
    for cut in 0..whole.len() {
        assert!(read(&whole[..cut], &Given(&IN_PROTOBUF), Encoding::Auto).is_err(), "{cut}");
    }
    let check = |data, attribute, reason, part| bad(&message(data, &[attribute]), &IN_PROTOBUF, reason, part);
    let text = || Data::Text(LOGIN.into());
    let other = || Attribute::UriRef("acme2".into());
    check(text(), ("partitionkey", other()), KeyMismatch, "cloudevent.partitionkey");
    check(text(), ("subject", Attribute::Boolean(true)), InvalidField, "cloudevent.subject");
    check(text(), ("version", Attribute::Integer(-1)), InvalidField, "cloudevent.version");
    check(text(), ("datacontenttype", Attribute::Integer(1)), MalformedCloudEvent, "not a string");
    let any = Any { type_url: "type.googleapis.com/secret.v1.Login".into(), value: login_message() };
    check(Data::Proto(any), ("x", other()), MalformedCloudEvent, "another schema");
    // The message of another kind, whose first field is text too.
    let any = Any { type_url: "type.googleapis.com/accountpulse.v1.Contact".into(), value: login_message() };
    check(Data::Proto(any), ("x", other()), MalformedCloudEvent, "another schema or kind");
    bad(&[0xff], &IN_PROTOBUF, MalformedCloudEvent, "the value is not an io.cloudevents.v1.CloudEvent");
    bad(b"", &IN_PROTOBUF, MissingField, "cloudevent.specversion");
}
