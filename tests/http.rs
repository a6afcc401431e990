//! HTTP over a log that is a vector: what is accepted, what is refused and how, over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use accountpulse::engine::event::{Encoding, Headers, Intake, Kind, PersonKey, RawRecord, pb};
use accountpulse::ingest::health::Health;
use accountpulse::ingest::{
    self, NewRecord, OldRecord, OutputTopic, Outputs, Shared, Store, StoreError, Stored,
};
use prost::Message;
use tokio::sync::Semaphore;

#[derive(Default)]
struct Memory {
    appended: Mutex<Vec<NewRecord>>,
    risks: Mutex<Vec<Stored>>,
    put_back: Mutex<Vec<OldRecord>>,
    change: Condvar,
    /// While set, appends say that the disk is busy.
    busy: Mutex<bool>,
}

impl Memory {
    fn publish(&self, value: &str) {
        let mut risks = self.risks.lock().unwrap();
        let offset = risks.len() as u64;
        risks.push(Stored {
            offset,
            timestamp_ms: 7,
            key: Some(b"acme".to_vec()),
            value: Some(value.as_bytes().to_vec()),
            headers: Vec::new(),
        });
        self.change.notify_all();
    }
}

impl Outputs for Memory {
    fn bounds(&self, _: OutputTopic) -> Result<Vec<(u64, u64)>, StoreError> {
        Ok(vec![(0, self.risks.lock().unwrap().len() as u64)])
    }
    fn read(
        &self,
        _: OutputTopic,
        _: u32,
        _: (u64, u64),
        from: u64,
        _: usize,
    ) -> Result<(Vec<Stored>, u64), StoreError> {
        let risks = self.risks.lock().unwrap();
        Ok((risks[(from as usize).min(risks.len())..].to_vec(), risks.len() as u64))
    }
}

impl Store for Memory {
    fn append(&self, records: Vec<NewRecord>) -> Result<(), StoreError> {
        if *self.busy.lock().unwrap() {
            return Err(StoreError::Busy);
        }
        self.appended.lock().unwrap().extend(records);
        Ok(())
    }
    fn is_input(&self, _: &str) -> bool {
        true
    }
    fn letters_name(&self) -> String {
        "dead".to_owned()
    }
    fn input_record(&self, _: &str, _: u32, _: u64) -> Result<Option<Stored>, StoreError> {
        Ok(None)
    }
    fn put_back(&self, records: Vec<OldRecord>) -> Result<(), StoreError> {
        self.put_back.lock().unwrap().extend(records);
        Ok(())
    }
    fn changes(&self) -> u64 {
        self.risks.lock().unwrap().len() as u64
    }
    fn wait(&self, seen: u64, longest: Duration) {
        let risks = self.risks.lock().unwrap();
        let _ = self.change.wait_timeout_while(risks, longest, |risks| risks.len() as u64 == seen);
    }
}

struct Served {
    store: Arc<Memory>,
    health: Arc<Health>,
    queue: Arc<Semaphore>,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

fn serve() -> Served {
    let store = Arc::new(Memory::default());
    let health = Arc::new(Health::default());
    let queue = Arc::new(Semaphore::new(2));
    let shared = Arc::new(Shared {
        store: Arc::clone(&store) as Arc<dyn Store>,
        intake: Intake { person_key: PersonKey::new([1; 16]), skew_ms: 600_000, partitions: 4 },
        health: Arc::clone(&health),
        render_metrics: Box::new(|| "metrics\n".to_owned()),
        request_bytes: 64 * 1024,
        queue: Arc::clone(&queue),
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(ingest::serve(listener, shared, std::future::pending()));
    Served { store, health, queue, address, _runtime: runtime }
}

impl Served {
    /// Status and the whole answer, headers included.
    fn ask(&self, request_line: &str, headers: &str, body: impl AsRef<[u8]>) -> (u16, String) {
        let body = body.as_ref();
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let request = format!(
            "{request_line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n",
            self.address
        );
        stream.write_all(&[request.as_bytes(), body].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (answer[9..12].parse().unwrap(), answer)
    }

    fn post(&self, media: &str, body: impl AsRef<[u8]>) -> (u16, String) {
        self.ask("POST /v1/events", &format!("content-type: {media}\r\n"), body)
    }
}

const GOOD: &str =
    r#"{"id":"e1","account_id":"acme","occurred_at":"2026-01-05T10:00:00Z","login":{"user_id":"ann"}}"#;

#[test]
fn good_events_are_durable_and_bad_lines_are_reported_with_index_and_reason() {
    let served = serve();
    let (status, answer) = served.post("application/json", GOOD);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains(r#"{"accepted":1,"refused":0,"refusals":[]}"#), "{answer}");

    let lines = format!("{GOOD}\n\n{{\"broken\n{GOOD}\r\n");
    let (status, answer) = served.post("application/x-ndjson", &lines);
    assert_eq!(status, 207, "{answer}");
    assert!(answer.contains(r#""accepted":2,"refused":1"#), "{answer}");
    assert!(answer.contains(r#""index":2,"reason":"malformed_json""#), "{answer}");

    let (status, answer) = served.post("application/json", r#"{"id":"e1"}"#);
    assert_eq!(status, 422, "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains(r#""reason":"missing_field""#), "{answer}");

    let future = GOOD.replace("2026-01-05", "2199-01-05");
    let (status, answer) = served.post("application/json", &future);
    assert_eq!(status, 422, "{answer}");
    assert!(answer.contains(r#""reason":"future""#), "{answer}");

    let appended = served.store.appended.lock().unwrap();
    assert_eq!(appended.len(), 3);
    assert!(appended.iter().all(|record| record.key == b"acme" && record.value == GOOD.as_bytes()));
}

/// The same login in protobuf.
fn login(id: &str) -> Vec<u8> {
    let message = pb::Event {
        id: id.to_owned(),
        account_id: "acme".to_owned(),
        occurred_at_ms: 1_767_607_200_000,
        body: Some(pb::event::Body::Login(pb::Login { user_id: "ann".to_owned() })),
        ..Default::default()
    };
    message.encode_to_vec()
}

/// What a worker makes of a stored record.
fn decoded(record: &NewRecord) -> (String, Kind) {
    struct Kept<'a>(&'a [(String, Vec<u8>)]);
    impl Headers for Kept<'_> {
        fn header(&self, name: &str) -> Option<&[u8]> {
            self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
        }
    }
    let intake = Intake { person_key: PersonKey::new([1; 16]), skew_ms: 600_000, partitions: 4 };
    let raw = RawRecord {
        key: Some(&record.key),
        value: Some(&record.value),
        timestamp_ms: i64::MAX,
        partition: record.partition,
        encoding: Encoding::Auto,
        headers: &Kept(&record.headers),
    };
    let event = intake.decode(raw).expect("the worker reads what was stored");
    assert_eq!(
        (event.kind(), event.account.as_ref(), event.occurred_at_ms),
        (record.kind, "acme", 1_767_607_200_000)
    );
    (event.id.into_owned(), record.kind)
}

const STRUCTURED: &str = r#"{"specversion":"1.0","type":"accountpulse.login.v1","source":"/crm","id":"e5","subject":"acme","time":"2026-01-05T10:00:00Z","data":{"user_id":"ann"}}"#;

#[test]
fn every_form_is_stored_so_that_the_worker_reads_it() {
    let served = serve();
    let accepted = |answer: (u16, String), count: usize| {
        assert_eq!(answer.0, 200, "{}", answer.1);
        assert!(answer.1.contains(&format!(r#""accepted":{count}"#)), "{}", answer.1);
    };
    accepted(served.post("application/x-protobuf", login("e2")), 1);
    let stream: Vec<u8> = ["e3", "e4"]
        .iter()
        .flat_map(|id| [&[login(id).len() as u8], login(id).as_slice()].concat())
        .collect();
    accepted(served.post("application/x-protobuf; encoding=delimited", stream), 2);
    accepted(served.post("application/cloudevents+json; charset=utf-8", STRUCTURED), 1);
    let batch = format!("[{}, {}]", STRUCTURED.replace("e5", "e6"), STRUCTURED.replace("e5", "e7"));
    accepted(served.post("application/cloudevents-batch+json", batch), 2);
    accepted(served.post("application/cloudevents-batch+json", "[]"), 0);
    let attributes = "ce-specversion: 1.0\r\nce-type: accountpulse.login.v1\r\nce-source: /crm\r\n\
                      ce-id: Euro%20%E2%82%AC\r\nce-subject: acme\r\nce-time: 2026-01-05T10:00:00Z\r\n";
    let json = format!("content-type: application/json\r\n{attributes}");
    accepted(served.ask("POST /v1/events", &json, r#"{"user_id":"ann"}"#), 1);
    accepted(served.ask("POST /v1/events", attributes, r#"{"user_id":"ann"}"#), 1);
    let protobuf = format!("content-type: application/protobuf\r\n{attributes}");
    accepted(served.ask("POST /v1/events", &protobuf, b"\x0a\x03ann"), 1);
    let framed = [&[0, 0, 0, 0, 9][..], GOOD.as_bytes()].concat();
    accepted(served.post("application/json", framed), 1);

    let appended = served.store.appended.lock().unwrap();
    let ids: Vec<_> = appended.iter().map(|record| decoded(record).0).collect();
    assert_eq!(ids, ["e2", "e3", "e4", "e5", "e6", "e7", "Euro €", "Euro €", "Euro €", "e1"]);
    assert_eq!(appended[0].headers, []);
    assert_eq!(appended[4].headers, [("content-type".to_owned(), b"application/cloudevents+json".to_vec())]);
}

#[test]
fn every_form_is_refused_with_index_and_reason() {
    let served = serve();
    let refused = |media: &str, body: &[u8], status: u16, part: &str| {
        let (found, answer) = served.post(media, body);
        assert_eq!(found, status, "{answer}");
        assert!(answer.contains(part), "{answer}");
        assert!(!answer.contains("secret"), "{answer}");
    };
    refused("application/x-protobuf", GOOD.as_bytes(), 422, r#""index":0,"reason":"malformed_protobuf""#);
    refused("application/json", &login("e1"), 422, r#""reason":"malformed_json""#);
    let cut = [&[login("e1").len() as u8], login("e1").as_slice(), &[99], b"secret"].concat();
    let delimited = "application/x-protobuf;encoding=delimited";
    refused(delimited, &cut, 207, r#""index":1,"reason":"malformed_framing""#);
    refused("application/cloudevents-batch+json", br#"{"secret":1}"#, 422, r#""reason":"malformed_json""#);
    let old = STRUCTURED.replace("1.0", "0.3");
    let batch = format!("[{STRUCTURED},{old}]");
    let batch_media = "application/cloudevents-batch+json";
    refused(batch_media, batch.as_bytes(), 207, r#""index":1,"reason":"unsupported_specversion""#);
    refused("application/cloudevents+json", b"secret", 422, r#""reason":"malformed_cloudevent""#);
    let long = format!("ce-specversion: 1.0\r\nce-extra: {}\r\n", "x".repeat(17_000));
    assert_eq!(served.ask("POST /v1/events", &long, "{}").0, 431);
}

#[test]
fn what_cannot_be_taken_is_a_problem_that_says_what_to_do() {
    let served = serve();
    let large = "x".repeat(65 * 1024);
    let full = Arc::clone(&served.queue).try_acquire_many_owned(2).unwrap();
    let (status, answer) = served.post("application/json", GOOD);
    assert_eq!(status, 429, "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    drop(full);

    *served.store.busy.lock().unwrap() = true;
    assert_eq!(served.post("application/json", GOOD).0, 429);
    *served.store.busy.lock().unwrap() = false;

    assert_eq!(served.post("text/plain", GOOD).0, 415);
    assert_eq!(served.post("application/json", &large).0, 413);
    assert_eq!(served.ask("GET /v1/events", "", "").0, 405);
    assert_eq!(served.ask("GET /nowhere", "", "").0, 404);
    assert_eq!(served.ask("GET /v1/topics/other", "", "").0, 404);
    assert_eq!(served.ask("GET /v1/topics/risks?from=x", "", "").0, 400);
    let cross = "content-type: application/json\r\nsec-fetch-site: cross-site\r\n";
    let (status, answer) = served.ask("POST /v1/events", cross, GOOD);
    assert_eq!(status, 403, "{answer}");
    for header in ["x-content-type-options: nosniff", "content-security-policy: default-src 'none'"] {
        assert!(answer.contains(header), "no {header} in {answer}");
    }
    assert!(served.store.appended.lock().unwrap().is_empty(), "a refused request wrote something");
}

#[test]
fn a_topic_is_read_from_anywhere_and_followed() {
    let served = serve();
    served.store.publish(r#"{"score":1.50}"#);
    served.store.publish("not json");
    let (status, answer) = served.ask("GET /v1/topics/risks", "", "");
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("accountpulse-next: 0:2"), "{answer}");
    let first = r#"{"partition":0,"offset":0,"timestamp_ms":7,"key":"acme","value":{"score":1.50}}"#;
    assert!(answer.contains(first), "{answer}");
    assert!(answer.contains(r#""value":"not json""#), "{answer}");
    assert!(!served.ask("GET /v1/topics/risks?last=1", "", "").1.contains("1.50"));

    let store = Arc::clone(&served.store);
    let publisher = std::thread::spawn(move || store.publish(r#"{"new":true}"#));
    let (_, answer) = served.ask("GET /v1/topics/risks?from=0:2&follow=30", "", "");
    assert!(answer.contains(r#"{"new":true}"#), "{answer}");
    publisher.join().unwrap();
}

#[test]
fn health_follows_the_worker() {
    use std::sync::atomic::Ordering::Relaxed;
    let served = serve();
    assert_eq!(served.ask("GET /livez", "", "").0, 200);
    let (status, answer) = served.ask("GET /readyz?verbose", "", "");
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("[-] assigned: no partitions are assigned yet"), "{answer}");
    served.health.assigned.store(true, Relaxed);
    served.health.restored.store(true, Relaxed);
    assert_eq!(served.ask("GET /-/ready", "", "").0, 200);
    served.health.note_cluster(Some("no connection to kafka:9092".to_owned()));
    let (status, answer) = served.ask("GET /readyz", "", "");
    assert_eq!(
        (status, answer.ends_with("[-] cluster: no connection to kafka:9092\n")),
        (503, true),
        "{answer}"
    );
    served.health.note_cluster(None);
    assert_eq!(served.ask("GET /-/ready", "", "").0, 200);
    served.health.waiting.store(9, Relaxed);
    assert_eq!(served.ask("GET /-/ready", "", "").0, 503);
    served.health.heartbeat_ms.store(1, Relaxed);
    assert_eq!(served.ask("GET /-/healthy", "", "").0, 503);
    assert!(served.ask("GET /metrics", "", "").1.contains("metrics"));
    assert!(served.ask("GET /version", "", "").1.contains("\"version\""));
}
