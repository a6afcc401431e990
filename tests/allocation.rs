//! Decoding an event allocates nothing, in either encoding, plain or framed or with headers. The
//! exceptions are said: escaped text in JSON, lists of features, base64. Nor does a login or a use that
//! finds what it counts in already there, but for what remembers it, which grows by doubling. And telling a
//! score allocates the lists of its record and nothing else: the log is handed room that was used before.
//!
//! Its own test target, because a counting allocator counts for the whole process.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use accountpulse::engine::event::{
    Encoding, Headers, Intake, NoHeaders, PersonKey, RawRecord, decode_json, pb,
};
use accountpulse::engine::partition::partition_of;
use accountpulse::engine::record::OutputEncoding;
use accountpulse::engine::{EngineConfig, Input, Shard, ShardId};
use accountpulse::log::{TopicId, TopicPartition};
use accountpulse::worker::OutputWriter;
use prost::Message;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is the system's allocator; counting touches a constant-initialised cell.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Headers as a log has them.
struct Given(&'static [(&'static str, &'static str)]);

impl Headers for Given {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes())
    }
}

fn allocations(value: &[u8], headers: &dyn Headers) -> u64 {
    let intake = Intake { person_key: PersonKey::new([7; 16]), skew_ms: 0, partitions: 4 };
    let record = RawRecord {
        key: Some(b"acme"),
        value: Some(value),
        timestamp_ms: 1_767_607_200_000,
        partition: partition_of(b"acme", 4),
        encoding: Encoding::Auto,
        headers,
    };
    let before = ALLOCATIONS.with(Cell::get);
    let event = intake.decode(record);
    let after = ALLOCATIONS.with(Cell::get);
    assert!(event.is_ok(), "{event:?}");
    after - before
}

fn messages() -> Vec<pb::Event> {
    use pb::event::Body;
    let at = 1_767_607_200_000;
    let text = |text: &str| Some(text.to_owned());
    let bodies = [
        Body::Login(pb::Login { user_id: "ann".into() }),
        Body::Usage(pb::Usage { user_id: "ann".into(), feature: "export é".into(), count: 3 }),
        Body::Ticket(pb::Ticket { id: "T".into(), status: 1, opened_at_ms: at, ..Default::default() }),
        Body::Invoice(pb::Invoice {
            id: "I".into(),
            amount_minor: Some(5),
            currency: "EUR".into(),
            issued_at_ms: at,
            due_at_ms: at,
            ..Default::default()
        }),
        Body::Survey(pb::Survey { id: "S".into(), r#type: 1, score: Some(3), respondent: "ann".into() }),
        Body::Contact(pb::Contact { id: "C".into(), role: 1, status: 1, user_id: "ann".into() }),
        Body::Contract(pb::Contract {
            id: "K".into(),
            start_at_ms: at,
            recurring_minor: Some(5),
            currency: "EUR".into(),
            ..Default::default()
        }),
        Body::Account(pb::Account { name: text("Acme"), owner: text("ann"), ..Default::default() }),
    ];
    let event = |body| pb::Event {
        v: 1,
        id: "e1".into(),
        account_id: "acme".into(),
        occurred_at_ms: at,
        version: Some(7),
        body: Some(body),
    };
    bodies.into_iter().map(event).collect()
}

#[test]
fn nothing_is_allocated() {
    assert!(allocations_are_counted(), "the counter does not count");
    for message in messages() {
        let bytes = message.encode_to_vec();
        assert_eq!(allocations(&bytes, &NoHeaders), 0, "{message:?}");
        let framed = [&[0, 0, 0, 0, 9, 0], bytes.as_slice()].concat();
        assert_eq!(allocations(&framed, &NoHeaders), 0, "{message:?}");
    }
    let json =
        br#"{"id":"e1","account_id":"acme","occurred_at":"2026-01-05T10:00:00Z","login":{"user_id":"ann"}}"#;
    assert_eq!(allocations(json, &NoHeaders), 0);
    let cloud = Given(&[
        ("ce_specversion", "1.0"),
        ("ce_type", "accountpulse.login.v1"),
        ("ce_id", "e1"),
        ("ce_subject", "acme"),
        ("ce_time", "2026-01-05T10:00:00Z"),
    ]);
    assert_eq!(allocations(br#"{"user_id":"ann"}"#, &cloud), 0);
}

#[test]
fn an_event_that_only_counts_allocates_nothing() {
    let mut shard = Shard::new(Default::default(), ShardId { partition: 0, partitions: 1 });
    let json = |n: usize| {
        let body = match n % 5 {
            0 => format!(r#""usage":{{"user_id":"u{}","feature":"f{}"}}"#, n % 40, n % 3),
            _ => format!(r#""login":{{"user_id":"u{}"}}"#, n % 40),
        };
        let time = format!("2026-01-05T10:{:02}:{:02}Z", n / 60 % 60, n % 60);
        format!(r#"{{"id":"e{n}","account_id":"acme","occurred_at":"{time}",{body}}}"#)
    };
    let key = PersonKey::new([7; 16]);
    let mut allocated = 0;
    for n in 0..3_000 {
        let json = json(n);
        let event = decode_json(json.as_bytes(), &key).unwrap();
        let before = ALLOCATIONS.with(Cell::get);
        shard.apply(Input(0), &event).unwrap();
        if n >= 1_000 {
            allocated += ALLOCATIONS.with(Cell::get) - before;
        }
        if n == 100 {
            shard.advance(event.occurred_at_ms, usize::MAX);
        }
    }
    // Two filters remember up to three times as many events as at first, one of them in lots.
    assert!(allocated <= 5, "{allocated} allocations");
}

/// The event of a day on which somebody logs in and answers a survey.
fn day(shard: &mut Shard, number: i64, answer: i64) {
    let at_ms = 1_767_607_200_000 + number * 86_400_000;
    let at = accountpulse::engine::time::rfc3339(at_ms);
    let event = |kind: &str| {
        format!(r#"{{"id":"{kind}-{number}","account_id":"acme","occurred_at":"{at}","{kind}":"#)
    };
    shard.advance(at_ms - 1, usize::MAX);
    for json in [
        format!(r#"{}{{"user_id":"ann"}}}}"#, event("login")),
        format!(r#"{}{{"id":"T","status":"open","opened_at":"{at}"}}}}"#, event("ticket")),
        format!(
            r#"{}{{"id":"S{number}","type":"nps","score":{answer},"respondent":"ann"}}}}"#,
            event("survey")
        ),
    ] {
        shard.apply(Input(0), &decode_json(json.as_bytes(), &PersonKey::new([7; 16])).unwrap()).unwrap();
    }
}

#[test]
fn telling_a_score_allocates_little() {
    let mut shard = Shard::new(Arc::new(EngineConfig::default()), ShardId { partition: 0, partitions: 1 });
    let to = TopicPartition { topic: TopicId(0), partition: 0 };
    let (mut output, mut told, mut most) = (OutputWriter::default(), 0, 0);
    for number in 0..60 {
        day(&mut shard, number, number * 5 % 11);
        let before = ALLOCATIONS.with(Cell::get);
        shard.drain_each(None, |record, decisions| {
            let out = output.score(to, &record, decisions, OutputEncoding::Json, 0);
            // All buffers have their size after the first weeks.
            if number > 30 {
                let lists = record.causes.len() + record.risks.len();
                let allocations = ALLOCATIONS.with(Cell::get) - before;
                most = most.max(allocations - lists as u64);
                told += 1;
            }
            output.give_back([out].into_iter());
        });
    }
    assert!(told > 10, "{told}");
    assert!(most <= 10, "{most} allocations beside causes and risks");
}

fn allocations_are_counted() -> bool {
    let before = ALLOCATIONS.with(Cell::get);
    drop(std::hint::black_box(Box::new(7_u64)));
    ALLOCATIONS.with(Cell::get) > before
}
