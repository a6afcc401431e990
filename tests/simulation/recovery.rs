//! Crashes that are not left to chance: one before every single call of a run, and a second one
//! before every single call of the recovery that follows; and the recovery that is overtaken.

use std::sync::Mutex;

use accountpulse::log::sim::{Call, Fault, SimBroker};
use accountpulse::worker::{Now, PhaseName, Wake, Worker, WorkerCounts};

use super::live::Live;
use super::oracle::{compare, history_of, told};
use super::setup::{CHECKPOINTS, Mode, SCORES};
use super::world::World;
use super::{expected, in_parallel};

fn with_crashes(indices: &[u64]) -> Result<(), String> {
    let history = history_of(0, Mode::Event);
    let mut world = World::quiet(0, Mode::Event, history);
    world.crash_at(indices);
    world.run()?;
    compare(&expected(0, Mode::Event).told, &told(&mut world, history)?)
}

/// Repeats one run, with these crashes.
const CRASHES_VARIABLE: &str = "ACCOUNTPULSE_SIM_CRASHES";

fn replay(crashes: &[u64]) -> String {
    let crashes: Vec<String> = crashes.iter().map(u64::to_string).collect();
    let crashes = crashes.join(",");
    format!("{CRASHES_VARIABLE}={crashes} cargo test --test simulation -- --nocapture these_crashes")
}

#[test]
fn these_crashes() {
    let crashes = std::env::var(CRASHES_VARIABLE).unwrap_or_default();
    let crashes: Vec<u64> = crashes.split(',').filter_map(|at| at.parse().ok()).collect();
    with_crashes(&crashes).unwrap();
}

/// One run per number, on all cores.
fn all_hold(what: &str, end: u64, crashes: impl Fn(u64) -> Vec<u64> + Sync) {
    let failures = Mutex::new(Vec::new());
    in_parallel(end, |number| {
        if let Err(error) = with_crashes(&crashes(number)) {
            failures.lock().unwrap().push((crashes(number), error));
        }
        true
    });
    println!("{end} runs, {what}");
    let failures = failures.into_inner().unwrap();
    let lines: Vec<String> =
        failures.iter().take(5).map(|(at, error)| format!("{error}\n    {}", replay(at))).collect();
    assert!(failures.is_empty(), "{} of {end}:\n{}", failures.len(), lines.join("\n"));
}

fn calls_of_a_quiet_run() -> u64 {
    let mut world = World::quiet(0, Mode::Event, history_of(0, Mode::Event));
    world.run().unwrap();
    world.calls()
}

/// No gap between two calls is left out, the closing of rounds included.
#[test]
fn a_crash_before_any_single_call_changes_nothing() {
    let calls = calls_of_a_quiet_run();
    assert!(calls > 500);
    all_hold("each with a crash before another call", calls, |at| vec![at]);
}

/// A recovery makes about a hundred calls: the second crash falls on each of them.
#[test]
fn a_second_crash_before_any_call_of_a_recovery_changes_nothing() {
    let first = calls_of_a_quiet_run() / 3;
    all_hold("each with a second crash in the recovery", 160, |after| vec![first, first + 1 + after]);
}

/// A restorer whose session is over and who does not hear of it: its calls go on, the group's
/// notice does not come.
struct Overtaken {
    live: Live,
    stale: Worker<accountpulse::log::sim::SimLog>,
    counts: WorkerCounts,
}

impl Overtaken {
    /// Stops the stale restorer right before its first call of this kind, and lets another member
    /// take over, commit, and compact what is older.
    fn before(call: Call) -> Self {
        let [account, _] = super::live::pair();
        let mut live = Live::new();
        live.start();
        live.daily(&[&account], 0..3);
        live.worker = None;
        let mut stale = live.worker_named("stale");
        let reached = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        hold(&live.broker, call, &reached);
        let mut counts = WorkerCounts::default();
        for _ in 0..400 {
            live.wall_ms += 1;
            stale.step(Now { wall_ms: live.wall_ms });
            counts.add(stale.take_counts());
            if reached.load(std::sync::atomic::Ordering::Relaxed) {
                break;
            }
        }
        assert!(reached.load(std::sync::atomic::Ordering::Relaxed), "never came to {call:?}");
        live.broker.expire_session("stale");
        deafen(&live.broker);
        live.start();
        live.daily(&[&account], 3..5);
        live.broker.compact(CHECKPOINTS, true);
        live.broker.compact(SCORES, true);
        Overtaken { live, stale, counts }
    }

    /// The stale one goes on, without hearing of the group, and then with.
    fn go_on(mut self) -> WorkerCounts {
        for deaf in [true, false] {
            if !deaf {
                self.live.broker.clear_hook();
            }
            for _ in 0..400 {
                self.live.wall_ms += 1;
                let wake = self.stale.step(Now { wall_ms: self.live.wall_ms });
                self.counts.add(self.stale.take_counts());
                assert!(!matches!(wake, Wake::Rebuild { .. }) || deaf, "{wake:?}");
                if matches!(wake, Wake::Rebuild { .. }) {
                    return self.counts;
                }
                let status = self.stale.status();
                let refused = status.shards.iter().any(|s| s.state != accountpulse::worker::ShardState::Live);
                assert!(!refused, "it refuses what only its delay made it miss: {:?}", status.shards);
            }
        }
        assert_ne!(self.stale.status().phase, PhaseName::Broken);
        self.counts
    }
}

/// From its first call of this kind on, the stale member gets no answer.
fn hold(broker: &SimBroker, call: Call, reached: &std::sync::Arc<std::sync::atomic::AtomicBool>) {
    let reached = std::sync::Arc::clone(reached);
    broker.set_hook(Box::new(move |site| {
        if site.member == "stale" && site.call == call {
            reached.store(true, std::sync::atomic::Ordering::Relaxed);
            return Fault::Unavailable;
        }
        Fault::None
    }));
}

/// The stale member polls in vain.
fn deafen(broker: &SimBroker) {
    broker.set_hook(Box::new(|site| {
        if site.member == "stale" && site.call == Call::Poll { Fault::Slow(1) } else { Fault::None }
    }));
}

#[test]
fn a_recovery_that_was_overtaken_starts_over_instead_of_refusing() {
    for call in [Call::Watermarks, Call::ReadRange] {
        let counts = Overtaken::before(call).go_on();
        assert!(counts.restarts > 0, "{call:?}: the number moved while it recovered");
        assert_eq!(counts.refused, 0, "{call:?}");
    }
}
