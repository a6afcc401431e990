//! What checkpoints take from the rate: the same stretch of events handled while one round of pages
//! is begun, written and followed by its pause, and handled without rounds.

use accountpulse::clock;

use crate::cluster::{Cluster, Job};
use crate::figures::{beside, tell};
use crate::instance::{self, Run, Watched};
use crate::sizes::Sizes;
use crate::throughput;
use crate::workload::{self, Encoding, load};

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A rate that a trial overestimates makes the runs longer, never too short.
const MARGIN: f64 = 1.1;

/// Attempts with more events each, when the rate turns out to be higher than was told.
const ATTEMPTS: usize = 3;

/// `checkpoint_cost`.
pub fn run(cluster: &Cluster, sizes: &Sizes, rate: Option<f64>) {
    let mut rate = rate.unwrap_or_else(|| throughput::trial(cluster));
    for attempt in 0..ATTEMPTS {
        let events = (rate * sizes.checkpoint.as_secs_f64() * MARGIN) as u64;
        let inputs = format!("pages-{attempt}");
        let loaded = load(cluster, &inputs, Encoding::Json, workload::until_now(events), false);
        let name = format!("with-rounds-{attempt}");
        let (with, begin) = with_rounds(cluster, sizes, &name, &inputs, loaded.events);
        let last = with.progress.last().map_or(0.0, |(second, _)| *second);
        if let Some(begin) = begin.filter(|begin| begin + sizes.round.as_secs_f64() <= last) {
            // A round begins no sooner than an hour after the start.
            let name = format!("without-rounds-{attempt}");
            let job = Job { name: &name, inputs: &inputs, more: "checkpoint_round: 1h\n" };
            let without = instance::run(cluster, job, loaded.events, |_| ());
            return compare(sizes, &with, &without, begin);
        }
        eprintln!(
            "# {events} events took {last:.0} s only: no round was followed by its pause; again with more"
        );
        rate = with.rate();
    }
    panic!("{ATTEMPTS} runs were too short for a round and its pause");
}

/// A run with rounds, and the second at which it wrote its first page.
fn with_rounds(
    cluster: &Cluster,
    sizes: &Sizes,
    name: &str,
    inputs: &str,
    events: u64,
) -> (Run, Option<f64>) {
    let more = format!("checkpoint_round: {}s\n", sizes.round.as_secs());
    let mut seen = None;
    let run = instance::run(cluster, Job { name, inputs, more: &more }, events, |instance| {
        let (first_page, guard) = FirstPage::watch(instance);
        seen = Some(first_page);
        guard
    });
    let begin = seen.and_then(|seen| *seen.lock().expect("nobody panics with it"));
    (run, begin)
}

fn compare(sizes: &Sizes, with: &Run, without: &Run, begin: f64) {
    let (from, to) = (with.records_at(begin), with.records_at(begin + sizes.round.as_secs_f64()));
    let stretch = |run: &Run| run.second_of(to) - run.second_of(from);
    tell("checkpoint_cost", stretch(without) / stretch(with));
    let beside = |what: &str, value: f64, unit| beside(&format!("checkpoint_cost/{what}"), value, unit);
    let events = (to - from) as f64;
    beside("events_in_the_stretch", events, "events");
    beside("rate_with_rounds", events / stretch(with), "events/s");
    beside("rate_without", events / stretch(without), "events/s");
    beside("time_between_rounds", sizes.round.as_secs_f64(), "s");
    beside("pages_written", with.page_bytes / 1e6, "MB");
    beside("outputs_per_event", with.outputs_per_event(), "records");
}

/// Notes when the first page was written, by seconds since the first commit.
struct FirstPage {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FirstPage {
    fn watch(instance: &Watched) -> (Arc<Mutex<Option<f64>>>, FirstPage) {
        let (seen, stop) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
        let (url, begun) = (instance.process.url.clone(), clock::monotonic());
        let thread = std::thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if instance::metric_at(&url, "accountpulse_checkpoint_bytes_total") > 0.0 {
                        *seen.lock().expect("nobody panics with it") = Some(begun.elapsed().as_secs_f64());
                        return;
                    }
                    clock::pause(Duration::from_millis(500));
                }
            }
        });
        (seen, FirstPage { stop, thread: Some(thread) })
    }
}

impl Drop for FirstPage {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}
