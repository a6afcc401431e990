//! What an event costs without a log: decode, apply, score, rules, deadlines and what is told of
//! them, on one thread; decoding alone beside it.

use accountpulse::simulate::WorkloadOptions;

use crate::corpus::{Corpus, decode_alone, replay, shard};
use crate::decode;
use crate::figures::{Wanted, beside, tell};
use crate::outputs;
use crate::sizes::Sizes;
use crate::workload::Encoding;

/// `engine_json_ns`, `engine_proto_ns`, `output_ns`.
pub fn run(sizes: &Sizes, wanted: &Wanted) {
    for (encoding, name) in [(Encoding::Json, "engine_json_ns"), (Encoding::Proto, "engine_proto_ns")] {
        if wanted.has(name) {
            measure(sizes.engine_events, encoding, name);
        }
    }
    if wanted.has("output_ns") {
        outputs::run(sizes.output_events);
    }
    if wanted.has("engine_json_ns") || wanted.has("engine_proto_ns") {
        decode::run(sizes.decode_rounds);
    }
}

fn measure(events: u64, encoding: Encoding, name: &str) {
    let options = WorkloadOptions::new(1, events);
    eprintln!("# {events} events in {}", encoding.name());
    let corpus = Corpus::new(options, encoding);
    let alone = decode_alone(&corpus, encoding);
    let replayed = replay(&corpus, encoding, &mut shard(0, 1));
    let whole = replayed.whole();
    tell(name, whole.ns_per(events));
    let beside = |what: &str, value: f64, unit| beside(&format!("{name}/{what}"), value, unit);
    beside("events", events as f64, "events");
    beside("record_bytes", corpus.mean_bytes(), "bytes");
    beside("decode_alone", alone.ns_per(events), "ns/event");
    beside("without_deadlines", replayed.events.ns_per(events), "ns/event");
    // Days turn for every account, whether or not anything happens to it.
    let account_days = f64::from(options.days) * f64::from(options.accounts);
    beside("account_days_per_event", account_days / events as f64, "ratio");
    beside("deadlines_per_account_day", replayed.clock.cpu_seconds * 1e9 / account_days, "ns");
    beside("outputs_per_event", replayed.outputs as f64 / events as f64, "records");
    beside("rate", events as f64 / whole.wall_seconds, "events/s");
}
