//! CloudEvents: binary mode, and structured mode as JSON and as protobuf.

use accountpulse::engine::event::Reason::{
    InvalidField, KeyMismatch, MalformedCloudEvent, MalformedJson, MalformedProtobuf, MissingField,
    UnknownKind, UnsupportedSpecversion, UnsupportedVersion,
};
use prost::encoding::WireType;

use super::wire::field;
use super::{Draft, Near, Row};

/// A good login in binary mode.
fn binary(near: &Near) -> Draft {
    near.draft(br#"{"user_id":"u-bad"}"#)
        .with("ce_specversion", "1.0")
        .with("ce_type", "com.example.accountpulse.login.v1")
        .with("ce_source", "/crm")
        .with("ce_id", format!("bad-{}", near.n))
        .with("ce_subject", &near.account)
        .with("ce_time", near.at())
        .with("content-type", "application/json")
}

fn of_value(near: &Near, value: &[u8]) -> Draft {
    Draft { value: Some(value.to_vec()), ..binary(near) }
}

/// The same with its data in protobuf.
fn of_message(near: &Near, kind: &str, data: &[u8]) -> Draft {
    of_value(near, data)
        .with("content-type", near.pick(&["application/protobuf", "application/x-protobuf"]))
        .with("ce_type", format!("accountpulse.{kind}.v1"))
}

pub const BINARY: &[Row<Draft>] = &[
    ("CloudEvents of another version", UnsupportedSpecversion, |near| {
        binary(near).with("ce_specversion", near.pick(&["0.3", "2.0", "1.0.1", ""]))
    }),
    ("a CloudEvent without type", MissingField, |near| binary(near).without("ce_type")),
    ("a CloudEvent of another system", UnknownKind, |near| {
        binary(near).with("ce_type", near.pick(&["com.github.push", "login", "", "accountpulse.v1"]))
    }),
    ("a CloudEvent of a kind nobody knows", UnknownKind, |near| {
        binary(near).with("ce_type", "accountpulse.milestone.v1")
    }),
    ("a CloudEvent of another major version", UnsupportedVersion, |near| {
        binary(near).with("ce_type", near.pick(&["accountpulse.login.v2", "accountpulse.login.v0"]))
    }),
    ("a CloudEvent without id", MissingField, |near| binary(near).without("ce_id")),
    ("a CloudEvent without subject", MissingField, |near| binary(near).without("ce_subject")),
    ("a CloudEvent without time", MissingField, |near| binary(near).without("ce_time")),
    ("a CloudEvent at no time there is", InvalidField, |near| {
        binary(near).with("ce_time", near.pick(&["soon", "0001-01-01T00:00:00Z", "2026-02-01T09:00:00"]))
    }),
    ("a CloudEvent with an id of 10 kB", InvalidField, |near| binary(near).with("ce_id", "x".repeat(10_000))),
    ("a CloudEvent with an empty id", InvalidField, |near| binary(near).with("ce_id", "")),
    ("a CloudEvent whose version is a word", InvalidField, |near| binary(near).with("ce_version", "three")),
    ("a CloudEvent about two accounts", KeyMismatch, |near| {
        binary(near).with("ce_partitionkey", near.other())
    }),
    ("a CloudEvent about another account than its key", KeyMismatch, |near| {
        binary(near).with("ce_subject", near.other())
    }),
    ("a CloudEvent header that is not UTF-8", MalformedCloudEvent, |near| {
        binary(near).with(near.pick(&["ce_id", "ce_subject", "ce_time", "content-type"]), b"\xff\xfe")
    }),
    ("a CloudEvent of another content type", MalformedCloudEvent, |near| {
        binary(near).with("content-type", near.pick(&["text/xml", "application/avro", ""]))
    }),
    ("a CloudEvent whose data is null", MissingField, |near| of_value(near, b"null")),
    ("a CloudEvent without value", MissingField, |near| Draft { value: None, ..binary(near) }),
    ("a CloudEvent whose data is cut off", MalformedJson, |near| {
        let data = br#"{"user_id":"u-bad"}"#;
        of_value(near, &data[..near.n % data.len()])
    }),
    ("a CloudEvent whose data is not UTF-8", MalformedJson, |near| of_value(near, b"{\"user_id\":\"\xff\"}")),
    ("a CloudEvent with a whole event as a login", MissingField, |near| {
        of_value(near, near.login().as_bytes())
    }),
    ("a CloudEvent whose protobuf is cut off", MalformedProtobuf, |near| {
        of_message(near, "login", &[0x0a, 0x06, b'u'])
    }),
    ("a CloudEvent whose protobuf has a wrong wire type", MalformedProtobuf, |near| {
        of_message(near, "login", &[0x08, 0x01])
    }),
    ("a CloudEvent whose protobuf has an unknown enum", InvalidField, |near| {
        let survey = [field(1, WireType::LengthDelimited, b"s"), vec![0x10, 0x63]].concat();
        of_message(near, "survey", &survey)
    }),
];

/// A CloudEvent in one JSON object; these members in place of its data.
fn json(near: &Near, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","type":"accountpulse.login.v1","source":"/crm","id":"bad-{}","subject":"{}","time":"{}"{data}}}"#,
        near.n,
        near.account,
        near.at()
    )
}

const DATA: &str = r#","data":{"user_id":"u-bad"}"#;

fn structured(near: &Near, value: impl AsRef<[u8]>) -> Draft {
    near.draft(value.as_ref()).with("content-type", "application/cloudevents+json; charset=utf-8")
}

/// A CloudEvent as `io.cloudevents.v1.CloudEvent`, with these fields at its end.
fn protobuf(near: &Near, rest: &[u8]) -> Draft {
    let text = |number, text: &str| field(number, WireType::LengthDelimited, text.as_bytes());
    let attribute = |name: &str, value: &str| {
        let entry = [text(1, name), field(2, WireType::LengthDelimited, &text(3, value))].concat();
        field(5, WireType::LengthDelimited, &entry)
    };
    let whole = [
        text(1, &format!("bad-{}", near.n)),
        text(2, "/crm"),
        text(3, "1.0"),
        text(4, "accountpulse.login.v1"),
        attribute("subject", &near.account),
        attribute("time", &near.at()),
        rest.to_vec(),
    ];
    near.draft(&whole.concat()).with("content-type", "application/cloudevents+protobuf")
}

pub const STRUCTURED: &[Row<Draft>] = &[
    ("a structured CloudEvent that is no JSON", MalformedCloudEvent, |near| {
        structured(near, near.pick(&["", "{", "[]", "null", "<xml/>"]))
    }),
    ("a structured CloudEvent as an array", MalformedCloudEvent, |near| {
        let (account, at, data) = (&near.account, near.at(), r#"{"user_id":"u-bad"}"#);
        let members =
            format!(r#"["1.0","accountpulse.login.v1","bad","{account}","{at}",null,null,null,{data},null]"#);
        structured(near, members)
    }),
    ("a structured CloudEvent that is cut off", MalformedCloudEvent, |near| {
        let whole = json(near, DATA);
        structured(near, &whole[..(near.n * 11) % whole.len()])
    }),
    ("a structured CloudEvent with an attribute twice", MalformedCloudEvent, |near| {
        structured(near, json(near, &format!(r#","id":"again"{DATA}"#)))
    }),
    ("a structured CloudEvent nested without end", MalformedCloudEvent, |near| {
        structured(near, r#"{"data":"#.repeat(50_000))
    }),
    ("a structured CloudEvent that is not UTF-8", MalformedJson, |near| {
        structured(near, b"{\"id\":\"\xff\"}")
    }),
    ("a batch of CloudEvents", MalformedCloudEvent, |near| {
        structured(near, format!("[{}]", json(near, DATA)))
            .with("content-type", "application/cloudevents-batch+json")
    }),
    ("a CloudEvent in Avro", MalformedCloudEvent, |near| {
        structured(near, json(near, DATA)).with("content-type", "application/cloudevents+avro")
    }),
    ("a structured CloudEvent of another version", UnsupportedSpecversion, |near| {
        structured(near, json(near, DATA).replacen("\"1.0\"", near.pick(&["\"0.3\"", "1.0", "[]"]), 1))
    }),
    ("a structured CloudEvent without version", MissingField, |near| {
        structured(near, json(near, DATA).replacen(r#""specversion":"1.0","#, "", 1))
    }),
    ("a plain event called a CloudEvent", MissingField, |near| structured(near, near.login())),
    ("a structured CloudEvent without data", MissingField, |near| structured(near, json(near, ""))),
    ("a structured CloudEvent with data twice", MalformedCloudEvent, |near| {
        structured(near, json(near, &format!(r#"{DATA},"data_base64":"e30=""#)))
    }),
    ("a structured CloudEvent with broken base64", MalformedCloudEvent, |near| {
        structured(near, json(near, near.pick(&[r#","data_base64":"e30""#, r#","data_base64":"*""#])))
    }),
    ("a structured CloudEvent whose base64 is a number", MalformedCloudEvent, |near| {
        structured(near, json(near, r#","data_base64":7"#))
    }),
    ("a structured CloudEvent with protobuf as JSON", MalformedCloudEvent, |near| {
        structured(near, json(near, &format!(r#","datacontenttype":"application/protobuf"{DATA}"#)))
    }),
    ("a structured CloudEvent with a person nested deep", InvalidField, |near| {
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        structured(near, json(near, &format!(r#","data":{{"user_id":{open}{close}}}"#)))
    }),
    ("a CloudEvent around an event of another account", KeyMismatch, |near| {
        let data = near.login().replacen(&near.account, &near.other(), 1);
        let whole = json(near, &format!(r#","data":{data}"#));
        structured(near, whole.replacen("accountpulse.login.v1", "accountpulse.event.v1", 1))
    }),
    ("a CloudEvent in protobuf that is cut off", MalformedCloudEvent, |near| {
        protobuf(near, &[0x32, 0x08, 0x0a])
    }),
    ("a CloudEvent in protobuf without data", MissingField, |near| protobuf(near, &[])),
    ("a CloudEvent in protobuf of another schema", MalformedCloudEvent, |near| {
        let any = field(1, WireType::LengthDelimited, b"type.googleapis.com/google.protobuf.Empty");
        protobuf(near, &field(8, WireType::LengthDelimited, &any))
    }),
    ("a CloudEvent in protobuf with broken JSON", MalformedJson, |near| {
        protobuf(near, &field(7, WireType::LengthDelimited, b"{\"user_id\":"))
    }),
];
