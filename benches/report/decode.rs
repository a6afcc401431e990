//! What decoding one event costs, alone: JSON, protobuf by our scan, and protobuf by the generated
//! messages (which own their text and check nothing), for logins and for the fixed workload. The
//! same events in turn, many short rounds; the fastest round of each counts, because a neighbour
//! can only make one slower.

use std::hint::black_box;

use accountpulse::clock;
use accountpulse::engine::event::{Encoding, Intake, NoHeaders, RawRecord, decode_json, decode_protobuf, pb};
use accountpulse::engine::partition::partition_of;
use accountpulse::simulate::{Workload, WorkloadOptions};
use prost::Message;

use crate::corpus::key;
use crate::figures::beside;
use crate::protobuf::to_message;

/// Events of one round.
const EVENTS: usize = 20_000;
/// Partitions of the made-up topic.
const PARTITIONS: u32 = 12;

pub fn run(rounds: usize) {
    let all = corpus();
    let logins: Vec<Sample> = all.iter().filter(|sample| sample.is_login).cloned().collect();
    measure("login", &logins, rounds);
    measure("mix", &all, rounds);
}

/// One event in both encodings.
#[derive(Clone)]
struct Sample {
    account: String,
    at_ms: i64,
    partition: u32,
    json: Vec<u8>,
    protobuf: Vec<u8>,
    is_login: bool,
}

fn measure(name: &str, samples: &[Sample], rounds: usize) {
    let key = key();
    let intake = Intake { person_key: key.clone(), skew_ms: 600_000, partitions: PARTITIONS };
    let mut json = Fastest::default();
    let mut prost = Fastest::default();
    let mut scan = Fastest::default();
    let mut record_json = Fastest::default();
    let mut record_scan = Fastest::default();
    for _ in 0..rounds {
        json.round(samples, |sample| drop(black_box(decode_json(&sample.json, &key))));
        prost.round(samples, |sample| drop(black_box(pb::Event::decode(sample.protobuf.as_slice()))));
        scan.round(samples, |sample| drop(black_box(decode_protobuf(&sample.protobuf, &key))));
        record_json.round(samples, |sample| drop(black_box(intake.decode(sample.record(&sample.json)))));
        record_scan.round(samples, |sample| drop(black_box(intake.decode(sample.record(&sample.protobuf)))));
    }
    for (what, fastest) in [
        ("json", &json),
        ("proto", &scan),
        ("prost", &prost),
        // With key, partition and time checked, as a worker does.
        ("record_json", &record_json),
        ("record_proto", &record_scan),
    ] {
        beside(&format!("decode_{name}/{what}"), fastest.seconds * 1e9 / samples.len() as f64, "ns/event");
    }
}

/// The fastest round so far.
struct Fastest {
    seconds: f64,
}

impl Default for Fastest {
    fn default() -> Self {
        Fastest { seconds: f64::INFINITY }
    }
}

impl Fastest {
    fn round(&mut self, samples: &[Sample], work: impl Fn(&Sample)) {
        let start = clock::monotonic();
        samples.iter().for_each(work);
        self.seconds = self.seconds.min(start.elapsed().as_secs_f64());
    }
}

impl Sample {
    /// As a worker hands it to the decoder.
    fn record<'a>(&'a self, value: &'a [u8]) -> RawRecord<'a> {
        RawRecord {
            key: Some(self.account.as_bytes()),
            value: Some(value),
            timestamp_ms: self.at_ms,
            partition: self.partition,
            encoding: Encoding::Auto,
            headers: &NoHeaders,
        }
    }
}

fn corpus() -> Vec<Sample> {
    let mut workload = Workload::new(WorkloadOptions::new(1, EVENTS as u64));
    let mut samples = Vec::with_capacity(EVENTS);
    let key = key();
    loop {
        let mut json = Vec::new();
        if workload.next_into(&mut json).is_none() {
            return samples;
        }
        let message = to_message(&serde_json::from_slice(&json).expect("the workload is JSON"));
        let protobuf = message.encode_to_vec();
        assert_eq!(decode_json(&json, &key), decode_protobuf(&protobuf, &key), "the encodings differ");
        samples.push(Sample {
            partition: partition_of(message.account_id.as_bytes(), PARTITIONS),
            is_login: matches!(message.body, Some(pb::event::Body::Login(_))),
            account: message.account_id,
            at_ms: message.occurred_at_ms,
            json,
            protobuf,
        });
    }
}
