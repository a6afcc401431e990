//! The fixed workload in memory, so that no disk is measured, and a shard that it goes through.

use std::hint::black_box;
use std::sync::Arc;

use accountpulse::engine::event::{Event, PersonKey, decode_json, decode_protobuf};
use accountpulse::engine::{EngineConfig, Input, Shard, ShardId};
use accountpulse::simulate::{Workload, WorkloadOptions};
use prost::Message;

use crate::measure::{Cost, Meter};
use crate::protobuf::to_message;
use crate::workload::Encoding;

/// Events between two steps of the clock, about as many as a worker's commit has at full load.
const BATCH_EVENTS: usize = 5_000;
/// Most effects of one drain, as the worker's default.
const MAX_EFFECTS: usize = 20_000;

/// Records one after the other.
#[derive(Default)]
pub struct Corpus {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Corpus {
    /// The workload in one of the encodings.
    pub fn new(options: WorkloadOptions, encoding: Encoding) -> Corpus {
        let mut workload = Workload::new(options);
        let mut corpus = Corpus::default();
        let mut json = Vec::new();
        while workload.next_into(&mut json).is_some() {
            match encoding {
                Encoding::Json => corpus.bytes.extend_from_slice(&json),
                Encoding::Proto => {
                    let message = to_message(&serde_json::from_slice(&json).expect("the workload is JSON"));
                    message.encode(&mut corpus.bytes).expect("a Vec takes everything");
                }
            }
            corpus.ends.push(corpus.bytes.len());
            json.clear();
        }
        corpus
    }

    /// Takes a file with one record per line.
    pub fn of_lines(bytes: Vec<u8>) -> Corpus {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        Corpus { ends: ends.collect(), bytes }
    }

    pub fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    pub fn mean_bytes(&self) -> f64 {
        self.bytes.len() as f64 / self.ends.len() as f64
    }

    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

pub fn key() -> PersonKey {
    PersonKey::new([7; 16])
}

pub fn decode<'a>(record: &'a [u8], encoding: Encoding, key: &PersonKey) -> Event<'a> {
    let decoded = match encoding {
        Encoding::Json => decode_json(record, key),
        Encoding::Proto => decode_protobuf(record, key),
    };
    decoded.unwrap_or_else(|refusal| panic!("the workload is refused: {refusal}"))
}

/// Decoding and nothing else.
pub fn decode_alone(corpus: &Corpus, encoding: Encoding) -> Cost {
    let (key, meter) = (key(), Meter::start());
    for record in corpus.records() {
        black_box(decode(record, encoding, &key));
    }
    meter.stop()
}

/// What going through a shard took: the events, and the clock that follows them from batch to
/// batch, with what is told.
#[derive(Default)]
pub struct Replayed {
    pub events: Cost,
    pub clock: Cost,
    pub outputs: u64,
}

impl Replayed {
    pub fn whole(&self) -> Cost {
        let mut whole = self.events;
        whole.add(self.clock);
        whole
    }
}

/// A fresh shard of that many.
pub fn shard(partition: u32, partitions: u32) -> Shard {
    Shard::new(Arc::new(EngineConfig::default()), ShardId { partition, partitions })
}

/// Sends a corpus through a shard as a worker does: a batch of events, then the clock, then what
/// is to be told.
pub fn replay(corpus: &Corpus, encoding: Encoding, shard: &mut Shard) -> Replayed {
    replay_telling(corpus, encoding, shard, &mut drain)
}

/// The same, where `tell` takes what is to be told at an instant and says how much.
pub fn replay_telling(
    corpus: &Corpus,
    encoding: Encoding,
    shard: &mut Shard,
    tell: &mut impl FnMut(&mut Shard, i64) -> u64,
) -> Replayed {
    let mut replayed = Replayed::default();
    let (key, mut records) = (key(), corpus.records().peekable());
    while records.peek().is_some() {
        let (meter, mut newest_ms) = (Meter::start(), i64::MIN);
        let mut batch = records.by_ref().take(BATCH_EVENTS).peekable();
        let mut events = Vec::with_capacity(Shard::APPROACHED);
        while batch.peek().is_some() {
            let next = batch.by_ref().take(Shard::APPROACHED);
            events.extend(next.map(|record| decode(record, encoding, &key)));
            // A worker does so by the keys of the records.
            shard.approach(events.iter().map(|event| event.account.as_bytes()));
            for event in events.drain(..) {
                apply(shard, &event);
                newest_ms = event.occurred_at_ms;
            }
        }
        replayed.events.add(meter.stop());
        let meter = Meter::start();
        replayed.outputs += advance_telling(shard, newest_ms, tell);
        replayed.clock.add(meter.stop());
    }
    replayed
}

pub fn apply(shard: &mut Shard, event: &Event<'_>) {
    shard.apply(Input(0), event).unwrap_or_else(|refusal| panic!("the shard refuses: {refusal}"));
}

/// Lets the clock follow and takes what came out; returns how much.
pub fn advance(shard: &mut Shard, to_ms: i64) -> u64 {
    advance_telling(shard, to_ms, &mut drain)
}

fn advance_telling(shard: &mut Shard, to_ms: i64, tell: &mut impl FnMut(&mut Shard, i64) -> u64) -> u64 {
    let mut outputs = 0;
    loop {
        let clock_ms = shard.advance(to_ms, MAX_EFFECTS);
        outputs += tell(shard, clock_ms);
        if clock_ms >= to_ms && !shard.is_evaluating() {
            return outputs;
        }
    }
}

/// Takes what is to be told as a worker does, score by score; returns how much.
pub fn drain(shard: &mut Shard, wall_ms: i64) -> u64 {
    let mut scores = 0;
    let risks = shard.drain_each(Some(wall_ms), |record, decisions| {
        black_box((&record, decisions));
        scores += 1;
    });
    scores + black_box(risks).len() as u64
}
