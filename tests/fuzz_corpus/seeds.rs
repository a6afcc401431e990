//! What the corpora begin with: every event in every form, configurations, and what a worker stores.

use std::sync::Arc;

use accountpulse::config::defaults_yaml;
use accountpulse::engine::event::{PersonKey, decode_protobuf, pb};
use accountpulse::engine::{EngineConfig, Input, PageId, Shard, ShardId};
use accountpulse::worker::format::{
    CopyStamp, Key, Listed, Marker, MarkerEntry, ShardRecord, Slot, StateIdentity, encode, encode_page,
};
use prost::Message;

use super::bodies::json;
use super::examples::{NAMES, body_bytes, events};

/// 2026-02-02T09:00:00Z
const AT_MS: i64 = 1_770_022_800_000;
const DAY_MS: i64 = 86_400_000;
/// In front of the payload of a sealed value.
const SEAL_BYTES: usize = 9;

/// Target, file name, content.
pub fn all() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, event) in NAMES.iter().zip(events("acme", AT_MS)) {
        all.push(("json", (*name).to_owned(), json::event(&event).to_string().into_bytes()));
        all.push(("protobuf", (*name).to_owned(), event.encode_to_vec()));
        let forms = records(&event).into_iter();
        all.extend(forms.map(|(form, bytes)| ("record", format!("{name}-{form}"), bytes)));
    }
    all.extend(configs().map(|(name, text)| ("config", name.to_owned(), text.into_bytes())));
    all.extend(pages().into_iter().map(|(name, bytes)| ("page", name.to_owned(), bytes)));
    all
}

/// Headers as lines, an empty line, the value.
fn with(headers: &[(&str, &str)], value: &[u8]) -> Vec<u8> {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    [lines.as_bytes(), b"\n", value].concat()
}

fn records(event: &pb::Event) -> Vec<(&'static str, Vec<u8>)> {
    let (kind, body) = json::body(event.body.as_ref().unwrap());
    let at = accountpulse::engine::time::rfc3339(AT_MS);
    let r#type = format!("com.example.accountpulse.{kind}.v1");
    let attributes = |content: &'static str| {
        vec![
            ("ce_specversion", "1.0"),
            ("ce_type", r#type.as_str()),
            ("ce_id", event.id.as_str()),
            ("ce_subject", "acme"),
            ("ce_time", at.as_str()),
            ("ce_version", "7"),
            ("content-type", content),
        ]
    };
    let structured = format!(
        r#"{{"specversion":"1.0","type":"{type}","source":"/","id":"{}","subject":"acme","time":"{at}","data":{body}}}"#,
        event.id
    );
    let message = event.encode_to_vec();
    vec![
        ("plain", with(&[], json::event(event).to_string().as_bytes())),
        ("framed", with(&[], &[&[0, 0, 0, 0, 9, 0], &message[..]].concat())),
        ("binary-json", with(&attributes("application/json"), body.to_string().as_bytes())),
        ("binary-protobuf", with(&attributes("application/protobuf"), &body_bytes(event))),
        ("structured", with(&[("content-type", "application/cloudevents+json")], structured.as_bytes())),
    ]
}

fn configs() -> impl Iterator<Item = (&'static str, String)> {
    let kafka = "storage:\n  log: kafka\n  data_dir: /var/lib/accountpulse\nkafka:\n  brokers: kafka-1:9093,kafka-2:9093\n  \
                 instance: ${HOST}\n  partitions: 12\n  security:\n    protocol: sasl_ssl\n    ca_file: /etc/ca.pem\n    \
                 mechanism: scram-sha-512\n    username: accountpulse\n    password_file: /etc/password\n";
    let short = "http:\n  listen: 127.0.0.1:9464\nclock: { lateness: 5s }\nrules:\n  inactivity:\n    after_days: 21\n  \
                 usage_drop:\n    timing:\n      renotify: 14d\n";
    [("defaults", defaults_yaml()), ("kafka", kafka.to_owned()), ("short", short.to_owned())].into_iter()
}

/// A shard that knows one account with something of each kind, a month on.
fn shard() -> Shard {
    let mut shard = Shard::new(Arc::new(EngineConfig::default()), ShardId { partition: 0, partitions: 1 });
    shard.advance(AT_MS - 1, usize::MAX);
    for event in events("acme", AT_MS) {
        let bytes = event.encode_to_vec();
        shard.apply(Input(0), &decode_protobuf(&bytes, &PersonKey::new([7; 16])).unwrap()).unwrap();
    }
    shard.advance(AT_MS + 30 * DAY_MS, usize::MAX);
    shard
}

fn pages() -> Vec<(&'static str, Vec<u8>)> {
    let mut shard = shard();
    let decisions = shard.drain_all().scores.pop().unwrap().decisions;
    let page = Shard::page_of("acme", 1);
    let content = shard.encode_page(page);
    let stamp =
        CopyStamp { partition: 0, page, commit: 7, positions: vec![8, 0], covered: shard.covered_now() };
    let copy = encode_page(&stamp, &content, usize::MAX).unwrap().pop().unwrap();
    let listed = Listed { page: page.0, commit: 7, digest: 9 };
    let entry = MarkerEntry { positions: vec![8, 0], journal: 3, pages: vec![listed] };
    let marker = Marker { partition: 0, round: 4, this: entry.clone(), previous: entry };
    let record = ShardRecord {
        partition: 0,
        commit: 7,
        clock_ms: Some(AT_MS),
        config_epoch: 1,
        config_version: "0a446b54f4cc".to_owned(),
        evaluated: true,
        newest_ms: vec![Some(AT_MS), None],
        identity: StateIdentity {
            partitions: 1,
            inputs: vec!["logins.v1".to_owned(), "usage.v1".to_owned()],
            person_key: 5,
            engine: EngineConfig::default().state_version(),
        },
    };
    let (marker, record) = (encode(&marker).unwrap(), encode(&record).unwrap());
    let key = Key::Page { page: PageId(3), slot: Slot::One, part: 2 };
    let tagged = |tag: u8, payload: &[u8]| [&[tag], payload].concat();
    vec![
        ("page", tagged(b'P', &[&[page.0], &content[..]].concat())),
        ("decisions", tagged(b'J', &decisions)),
        ("copy", tagged(b'C', &copy[SEAL_BYTES..])),
        ("shard-record", tagged(b'S', &record[SEAL_BYTES..])),
        ("marker", tagged(b'M', &marker[SEAL_BYTES..])),
        ("sealed-record", record),
        ("sealed-copy", copy),
        ("number", accountpulse::worker::format::number_text(17).into_bytes()),
        ("key", key.bytes(7)),
    ]
}
