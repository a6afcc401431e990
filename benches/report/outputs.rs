//! What telling costs without a log: building records from state and writing them as they go to a
//! log, with key, value as JSON and headers. One thread, the fixed workload, batches of a worker's
//! size.

use std::hint::black_box;

use accountpulse::engine::Shard;
use accountpulse::engine::record::OutputEncoding;
use accountpulse::log::{OutRecord, TopicId, TopicPartition};
use accountpulse::simulate::WorkloadOptions;
use accountpulse::worker::OutputWriter;

use crate::corpus::{Corpus, replay_telling, shard};
use crate::figures::{beside, tell};
use crate::measure::{Cost, Meter};
use crate::workload::Encoding;

const TO: TopicPartition = TopicPartition { topic: TopicId(0), partition: 0 };

/// `output_ns`.
pub fn run(events: u64) {
    let corpus = Corpus::new(WorkloadOptions::new(1, events), Encoding::Json);
    let mut told = Told::default();
    replay_telling(&corpus, Encoding::Json, &mut shard(0, 1), &mut |shard, wall_ms| {
        told.take(shard, wall_ms)
    });
    let outputs = told.scores + told.risks;
    tell("output_ns", told.cost.ns_per(outputs));
    let beside = |what: &str, value: f64, unit| beside(&format!("output_ns/{what}"), value, unit);
    beside("outputs", outputs as f64, "records");
    beside("risks", told.risks as f64, "records");
    beside("record_bytes", told.bytes as f64 / outputs as f64, "bytes");
    beside("header_bytes", told.header_bytes as f64 / outputs as f64, "bytes");
}

/// What was told, and what that took.
#[derive(Default)]
struct Told {
    output: OutputWriter,
    cost: Cost,
    scores: u64,
    risks: u64,
    bytes: usize,
    header_bytes: usize,
}

impl Told {
    /// As a commit does: everything is there before anything goes out.
    fn take(&mut self, shard: &mut Shard, wall_ms: i64) -> u64 {
        let meter = Meter::start();
        let (output, mut records) = (&mut self.output, Vec::new());
        let risks = shard.drain_each(Some(wall_ms), |record, decisions| {
            records.push(output.score(TO, &record, decisions, OutputEncoding::Json, wall_ms));
        });
        let scores = records.len();
        self.scores += scores as u64;
        self.risks += risks.len() as u64;
        records.extend(risks.iter().map(|risk| output.risk(TO, risk, OutputEncoding::Json, wall_ms)));
        black_box(&records);
        self.bytes += records.iter().map(|record| record.value.as_ref().map_or(0, Vec::len)).sum::<usize>();
        self.header_bytes += records.iter().map(header_bytes).sum::<usize>();
        let told = records.len() as u64;
        output.give_back(records.into_iter().take(scores));
        self.cost.add(meter.stop());
        told
    }
}

fn header_bytes(record: &OutRecord) -> usize {
    record.headers.iter().map(|(name, value)| name.len() + value.len()).sum()
}
