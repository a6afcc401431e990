//! Events: the decoders are total, what they accept is within the limits of the manual, what they
//! refuse is said in one short line, and an event means the same however it is written.

use accountpulse::engine::event::{
    Body, Encoding, Event, Headers, Intake, Kind, MAX_AMOUNT_MINOR, MAX_ENTITLED_FEATURES, MAX_ID_BYTES,
    MAX_TEXT_BYTES, MAX_TIME_MS, MIN_TIME_MS, Patch, PersonKey, RawRecord, Reason, Refusal, decode_json,
    decode_protobuf, pb,
};
use prost::Message;
use serde_json::Value;

/// Person ids are hashed with this.
const KEY: PersonKey = PersonKey::new([7; 16]);
/// Longest sentence of a refusal: it stands in a header and in log lines.
const MAX_SENTENCE_BYTES: usize = 400;
/// What serde_json gives a meaning of its own, which no decoder of ours does.
const PRIVATE: &[u8] = b"$serde_json::private";

/// Any bytes as an event in JSON.
pub fn json(bytes: &[u8]) -> bool {
    let decoded = decode_json(bytes, &KEY);
    judge(&decoded);
    longer_way(bytes, &decoded);
    let Ok(event) = &decoded else { return false };
    // The order of keys means nothing. What this parser does not read stands in ignored fields.
    if !bytes.windows(PRIVATE.len()).any(|part| part == PRIVATE)
        && let Ok(value) = serde_json::from_slice::<Value>(bytes)
    {
        same(decode_json(value.to_string().as_bytes(), &KEY), event, "keys in another order");
    }
    true
}

/// What is plain is decoded a short way. An array that nobody knows makes it go the long one, which
/// must lead to the same place.
fn longer_way(bytes: &[u8], decoded: &Result<Event<'_>, Refusal>) {
    let next = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().position(|byte| !b" \t\n\r".contains(byte)).map(|at| (from + at, rest[at]))
    };
    let Some((brace, b'{')) = next(0) else { return };
    let Some((_, b'"')) = next(brace + 1) else { return };
    let (start, rest) = bytes.split_at(brace + 1);
    let longer = [start, b"\"\":[],", rest].concat();
    match (decode_json(&longer, &KEY), decoded) {
        (Ok(other), Ok(event)) => {
            let unknown_fields = event.unknown_fields + 1;
            assert_eq!(other, Event { unknown_fields, ..event.clone() }, "the longer way");
        }
        // What is no JSON is refused with its place, which was moved.
        (Err(other), Err(refusal)) if refusal.reason == Reason::MalformedJson => {
            assert_eq!(other.reason, refusal.reason, "the longer way");
        }
        (other, _) => assert_eq!(&other, decoded, "the longer way"),
    }
}

/// Any bytes as an event in protobuf.
pub fn protobuf(bytes: &[u8]) -> bool {
    let decoded = decode_protobuf(bytes, &KEY);
    judge(&decoded);
    let Ok(event) = &decoded else { return false };
    // Whatever we read, the generated code reads; written again by it, and as JSON, it is the same.
    let message = match pb::Event::decode(bytes) {
        Ok(message) => message,
        Err(error) => panic!("only our scan reads this: {error}"),
    };
    same(decode_protobuf(&message.encode_to_vec(), &KEY), event, "encoded again");
    same(decode_json(super::json::event(&message).to_string().as_bytes(), &KEY), event, "as JSON");
    true
}

/// Headers of a record; of two with one name the last counts.
struct Given<'a>(Vec<(&'a str, &'a [u8])>);

impl Headers for Given<'_> {
    fn any(&self) -> bool {
        !self.0.is_empty()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// Cuts `name: value` lines up to an empty one from what follows; without such lines everything is
/// the value.
fn split(bytes: &[u8]) -> (Given<'_>, &[u8]) {
    let mut headers = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, more) = (&rest[..end], &rest[end + 1..]);
        if line.is_empty() {
            return (Given(headers), more);
        }
        let Some(at) = line.windows(2).position(|two| two == b": ") else { break };
        let Ok(name) = std::str::from_utf8(&line[..at]) else { break };
        headers.push((name, &line[at + 2..]));
        rest = more;
    }
    (Given(Vec::new()), bytes)
}

/// Any bytes as a record with headers: framed, a CloudEvent in any mode, or plain.
pub fn record(bytes: &[u8]) -> bool {
    let (headers, value) = split(bytes);
    let intake = Intake { person_key: KEY, skew_ms: 60_000, partitions: 1 };
    let with = |encoding| RawRecord {
        key: Some(b"acme"),
        value: Some(value),
        timestamp_ms: MAX_TIME_MS,
        partition: 0,
        encoding,
        headers: &headers,
    };
    let [auto, as_json, as_protobuf] =
        [Encoding::Auto, Encoding::Json, Encoding::Protobuf].map(|e| intake.decode_value(&with(e)));
    for decoded in [&auto, &as_json, &as_protobuf] {
        judge(decoded);
    }
    let Ok(event) = &auto else { return false };
    assert!(as_json == auto || as_protobuf == auto, "told apart, it is read as neither: {event:?}");
    match intake.decode(with(Encoding::Auto)) {
        Ok(whole) => assert_eq!((&whole, &*whole.account), (event, "acme")),
        Err(_) => assert_ne!(event.account, "acme", "an event of the key is refused"),
    }
    if let Some(plain) = plain(&headers, value) {
        same(decode_json(plain.as_bytes(), &KEY), event, "without the CloudEvent");
    }
    true
}

/// The plain event that says the same as a CloudEvent in binary mode with JSON in it.
fn plain(headers: &Given<'_>, value: &[u8]) -> Option<String> {
    let text = |name: &str| std::str::from_utf8(headers.header(name)?).ok().map(Value::from);
    text("ce_specversion")?;
    let structured = b"application/cloudevents";
    let content = headers.header("content-type").unwrap_or(b"application/json");
    let data = std::str::from_utf8(value).ok().filter(|data| !data.starts_with('\0'))?;
    let is_json = content.eq_ignore_ascii_case(b"application/json");
    if !is_json || content.starts_with(structured) {
        return None;
    }
    let name = std::str::from_utf8(headers.header("ce_type")?).ok()?;
    let kind = Kind::from_name(name.rsplit('.').nth(1)?)?.name();
    let (id, account, at) = (text("ce_id")?, text("ce_subject")?, text("ce_time")?);
    let version = text("ce_version").map_or_else(String::new, |version| format!(r#""version":{version},"#));
    Some(format!(r#"{{{version}"id":{id},"account_id":{account},"occurred_at":{at},"{kind}":{data}}}"#))
}

/// Another way to write an event leads to the same one. Unknown fields are counted where they stand,
/// and not every way keeps them.
#[track_caller]
fn same(other: Result<Event<'_>, Refusal>, event: &Event<'_>, how: &str) {
    match other {
        Ok(mut other) => {
            other.unknown_fields = event.unknown_fields;
            assert_eq!(&other, event, "{how}");
        }
        Err(refusal) => panic!("{how}: {refusal}; it was {event:?}"),
    }
}

/// What was accepted is within the limits, what was refused says so in one short line.
#[track_caller]
fn judge(decoded: &Result<Event<'_>, Refusal>) {
    match decoded {
        Ok(event) => within_limits(event),
        Err(refusal) => {
            let sentence = &refusal.message;
            assert!(!sentence.is_empty() && sentence.len() <= MAX_SENTENCE_BYTES, "{sentence}");
            assert!(!sentence.contains(char::is_control), "{sentence:?}");
        }
    }
}

#[track_caller]
fn text_within(text: &str, most: usize) {
    assert!(!text.is_empty() && text.len() <= most && !text.contains(char::is_control), "{text:?}");
}

#[track_caller]
fn id(text: &str) {
    text_within(text, MAX_ID_BYTES);
}

#[track_caller]
fn times(times: &[Option<i64>]) {
    for ms in times.iter().flatten() {
        assert!((MIN_TIME_MS..MAX_TIME_MS).contains(ms), "{ms}");
    }
}

#[track_caller]
fn money(amount: i64, currency: &str) {
    assert!((0..=MAX_AMOUNT_MINOR).contains(&amount), "{amount}");
    assert!(currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase()), "{currency}");
}

#[track_caller]
fn within_limits(event: &Event<'_>) {
    id(&event.id);
    id(&event.account);
    times(&[Some(event.occurred_at_ms)]);
    match &event.body {
        Body::Login(_) => {}
        Body::Usage(m) => {
            text_within(&m.feature, MAX_TEXT_BYTES);
            assert!(m.count >= 1);
        }
        Body::Ticket(m) => {
            id(&m.id);
            times(&[Some(m.opened_at_ms), m.first_response_at_ms, m.first_response_due_ms]);
            times(&[m.resolve_due_ms, m.solved_at_ms]);
            assert!(m.csat.is_none_or(|csat| (1..=5).contains(&csat)));
        }
        Body::Invoice(m) => {
            id(&m.id);
            times(&[Some(m.issued_at_ms), Some(m.due_at_ms), m.paid_at_ms]);
            money(m.amount_minor, m.currency.as_str());
        }
        Body::Survey(m) => {
            id(&m.id);
            assert!(m.score.is_none_or(|score| score <= 10));
        }
        Body::Contact(m) => id(&m.id),
        Body::Contract(m) => {
            id(&m.id);
            times(&[Some(m.start_ms), m.end_ms]);
            assert!(m.end_ms.is_none_or(|end| end > m.start_ms));
            money(m.recurring_minor, m.currency.as_str());
            m.renews.iter().for_each(|renews| id(renews));
        }
        Body::Account(m) => {
            for text in [&m.name, &m.segment, &m.industry, &m.owner, &m.time_zone, &m.lifecycle] {
                if let Patch::Set(text) = text {
                    text_within(text, MAX_TEXT_BYTES);
                }
            }
            if let Patch::Set(parent) = &m.parent {
                id(parent);
            }
            if let Patch::Set(features) = &m.entitled_features {
                assert!(!features.is_empty() && features.len() <= MAX_ENTITLED_FEATURES);
                features.iter().for_each(|feature| text_within(feature, MAX_TEXT_BYTES));
            }
        }
    }
}
