//! Every example cut off at every byte, in every form an event may have: it is refused for a reason
//! that fits, or it is whole in what is left. Never does it mean something else.

use std::collections::BTreeMap;

use accountpulse::engine::event::pb;
use accountpulse::engine::event::{Encoding, Headers, RawRecord, Reason};
use accountpulse::engine::time::rfc3339;
use prost::Message;
use prost::encoding::WireType;

use super::bench::{Bench, INPUT_NAME, PARTITIONS, START_MS, intake};
use super::examples::{NAMES, body_bytes, events};
use super::kinds::{Draft, wire::field};
use super::letters::Letter;
use super::memory::taken;
use super::{json, kinds};

/// What decoding may take beside a few times the value: a sentence.
const ROOM_BYTES: isize = 16 * 1024;

/// A way to write an event, and for what its parts may be refused.
#[derive(Clone)]
struct Form {
    name: String,
    whole: Draft,
    reasons: &'static [Reason],
    /// A message with its last fields cut off is a message: protobuf has no end mark, and records
    /// are not cut in real life. The fields that are left must be read as they are.
    may_decode: bool,
}

fn draft(value: Vec<u8>, headers: &[(&str, &str)]) -> Draft {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    let empty = Draft { key: None, value: None, headers: Vec::new(), timestamp_ms: START_MS, partition: 0 };
    Draft { value: Some(value), headers: headers.collect(), ..empty }.keyed(b"acme", PARTITIONS)
}

fn text(number: u32, text: &str) -> Vec<u8> {
    field(number, WireType::LengthDelimited, text.as_bytes())
}

/// A form of the event whose name it begins with.
fn form(name: &str, what: &str, whole: Draft, reasons: &'static [Reason]) -> Form {
    Form { name: format!("{name}, {what}"), whole, reasons, may_decode: false }
}

/// The forms of one event. Cut before its first byte, a value is a protobuf message without fields;
/// cut within a character, text is not UTF-8.
fn forms(name: &str, event: &pb::Event) -> Vec<Form> {
    [plain(name, event), binary(name, event), structured(name, event)].concat()
}

/// The event itself, also behind the frame of a schema registry.
fn plain(name: &str, event: &pb::Event) -> Vec<Form> {
    use Reason::{MalformedFraming, MalformedJson, MalformedProtobuf, MissingField, UnknownKind};
    let text = json::event(event).to_string().into_bytes();
    let message = event.encode_to_vec();
    let framed = |index: &[u8], payload: &[u8]| draft([&[0, 0, 0, 0, 9], index, payload].concat(), &[]);
    vec![
        form(name, "JSON in a frame", framed(&[], &text), &[MalformedFraming, MalformedJson, MissingField]),
        form(
            name,
            "protobuf in a frame",
            framed(&[0], &message),
            &[MalformedFraming, MalformedProtobuf, MissingField, UnknownKind],
        ),
        form(name, "JSON", draft(text, &[]), &[MalformedJson, MissingField]),
        form(name, "protobuf", draft(message, &[]), &[MalformedProtobuf, MissingField, UnknownKind]),
    ]
}

/// A CloudEvent with its attributes in headers.
fn binary(name: &str, event: &pb::Event) -> Vec<Form> {
    let (kind, body) = json::body(event.body.as_ref().unwrap());
    let (at, r#type) = (rfc3339(START_MS), format!("accountpulse.{kind}.v1"));
    let with = |content: &str, value: Vec<u8>| {
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_type", &r#type),
            ("ce_id", &event.id),
            ("ce_subject", "acme"),
            ("ce_time", &at),
            ("ce_version", "7"),
            ("content-type", content),
        ];
        draft(value, &headers)
    };
    let text = with("application/json", body.to_string().into_bytes());
    let message = with("application/protobuf", body_bytes(event));
    let of_message = &[Reason::MalformedProtobuf, Reason::MissingField];
    vec![
        form(name, "binary CloudEvent in JSON", text, &[Reason::MalformedJson]),
        Form { may_decode: true, ..form(name, "binary CloudEvent in protobuf", message, of_message) },
    ]
}

/// A CloudEvent that is all in its value.
fn structured(name: &str, event: &pb::Event) -> Vec<Form> {
    use Reason::{MalformedCloudEvent, MalformedJson, MissingField};
    let (kind, body) = json::body(event.body.as_ref().unwrap());
    let (at, r#type) = (rfc3339(START_MS), format!("accountpulse.{kind}.v1"));
    let whole = format!(
        r#"{{"specversion":"1.0","type":"{type}","source":"/","id":"{}","subject":"acme","time":"{at}","version":7,"data":{body}}}"#,
        event.id
    );
    let attribute = |name: &str, value: Vec<u8>| {
        let entry = [text(1, name), field(2, WireType::LengthDelimited, &value)].concat();
        field(5, WireType::LengthDelimited, &entry)
    };
    let message = [
        text(1, &event.id),
        text(2, "/"),
        text(3, "1.0"),
        text(4, &r#type),
        attribute("subject", text(3, "acme")),
        attribute("time", text(3, &at)),
        attribute("datacontenttype", text(3, "application/protobuf")),
        attribute("version", vec![0x10, 0x07]),
        field(6, WireType::LengthDelimited, &body_bytes(event)),
    ];
    let with =
        |format: &str, value| draft(value, &[("content-type", &format!("application/cloudevents+{format}"))]);
    vec![
        form(
            name,
            "structured CloudEvent in JSON",
            with("json", whole.into_bytes()),
            &[MalformedCloudEvent, MalformedJson],
        ),
        form(
            name,
            "structured CloudEvent in protobuf",
            with("protobuf", message.concat()),
            &[MalformedCloudEvent, MissingField],
        ),
    ]
}

struct Given<'d>(&'d Draft);

impl Headers for Given<'_> {
    fn any(&self) -> bool {
        !self.0.headers.is_empty()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}

/// What the decoder says of a record, and that it takes little memory to say it.
fn verdict(draft: &Draft) -> Result<String, Reason> {
    let intake = intake();
    let headers = Given(draft);
    let record = RawRecord {
        key: draft.key.as_deref(),
        value: draft.value.as_deref(),
        timestamp_ms: draft.timestamp_ms,
        partition: draft.partition,
        encoding: Encoding::Auto,
        headers: &headers,
    };
    let (decoded, taken) = taken(|| intake.decode(record).map_err(|refusal| refusal.reason));
    let bytes = draft.value.as_ref().map_or(0, Vec::len) as isize;
    assert!(taken.most <= 8 * bytes + ROOM_BYTES, "{taken:?} for {bytes}");
    decoded.map(|event| format!("{event:?}"))
}

/// The event in a body that was cut, by way of the generated messages: nothing, if that is none.
fn meant(whole: &pb::Event, cut: &[u8]) -> Option<String> {
    let body = field(10 + kinds_place(whole), WireType::LengthDelimited, cut);
    let envelope = pb::Event { body: None, ..whole.clone() }.encode_to_vec();
    let message = pb::Event::decode([envelope, body].concat().as_slice()).ok()?;
    let record = draft(message.encode_to_vec(), &[]);
    verdict(&record).ok()
}

/// The place of an event's kind among the kinds.
fn kinds_place(event: &pb::Event) -> u32 {
    let (kind, _) = json::body(event.body.as_ref().unwrap());
    NAMES.iter().position(|name| *name == kind).unwrap() as u32
}

#[test]
fn cut_off_at_every_byte_it_is_refused_or_whole() {
    let mut bench = Bench::new();
    let mut expected = BTreeMap::new();
    let (mut records, mut decoded) = (0, 0);
    for (name, event) in NAMES.iter().zip(events("acme", START_MS)) {
        for form in forms(name, &event) {
            assert!(verdict(&form.whole).is_ok(), "{}: {:?}", form.name, verdict(&form.whole));
            let value = form.whole.value.clone().unwrap();
            for end in 0..value.len() {
                let cut = Draft { value: Some(value[..end].to_vec()), ..form.whole.clone() };
                match verdict(&cut) {
                    Ok(found) => {
                        assert!(form.may_decode, "{} cut at {end} is {found}", form.name);
                        assert_eq!(meant(&event, &value[..end]), Some(found), "{} cut at {end}", form.name);
                        decoded += 1;
                    }
                    Err(reason) => {
                        assert!(form.reasons.contains(&reason), "{} cut at {end}: {reason:?}", form.name);
                        let offset = bench.append(&cut);
                        let place = (INPUT_NAME.to_owned(), cut.partition, offset);
                        expected.insert(place, (reason, cut));
                        records += 1;
                    }
                }
            }
        }
    }
    assert!(records > 10_000 && decoded > 10, "{records} were refused, {decoded} were not");
    bench.consume(records);
    let letters = bench.letters();
    assert_eq!(letters.len(), expected.len());
    for letter in letters {
        let (reason, cut) = expected.remove(&letter.place()).expect("one letter for each");
        check(&letter, reason, &cut);
    }
}

fn check(letter: &Letter, reason: Reason, cut: &Draft) {
    let kind = kinds::all().into_iter().find(|kind| kind.reason == reason).unwrap();
    letter.check(&kind, cut);
}
