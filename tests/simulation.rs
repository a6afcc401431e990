//! The real worker on the simulated log: three members, generated histories, faults by seed.
//! Whatever happens, what committed readers see is what an uninterrupted run tells.
//!
//! ```text
//! cargo test --test simulation                                      all seeds
//! ACCOUNTPULSE_SIM_SEEDS=20000 cargo test --test simulation          more seeds
//! ACCOUNTPULSE_SIM_SEED=17 cargo test --test simulation -- one_seed one seed, with its trace
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

#[path = "simulation/faults.rs"]
mod faults;
#[path = "simulation/history.rs"]
mod history;
#[path = "simulation/live.rs"]
mod live;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/rng.rs"]
mod rng;
#[path = "simulation/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use accountpulse::worker::{Break, WorkerCounts};
use oracle::{Told, compare, told};
use world::World;

/// Seeds of the ordinary run, unless [`SEEDS_VARIABLE`] gives another number.
const SEEDS: u64 = 600;
/// Runs more seeds.
const SEEDS_VARIABLE: &str = "ACCOUNTPULSE_SIM_SEEDS";
/// Different histories; seeds share them.
const HISTORIES: u64 = 12;
/// Seeds tried for each planted break.
const BREAK_SEEDS: u64 = 400;
/// Picks one seed.
const SEED_VARIABLE: &str = "ACCOUNTPULSE_SIM_SEED";

/// What the uninterrupted run of a history tells.
fn expected(number: u64) -> &'static Told {
    static ALL: OnceLock<Vec<OnceLock<Told>>> = OnceLock::new();
    let all = ALL.get_or_init(|| (0..HISTORIES).map(|_| OnceLock::new()).collect());
    all[number as usize].get_or_init(|| {
        let history = history::generate(number);
        let mut world = World::quiet(number, &history);
        world.run().expect("the uninterrupted run completes");
        told(&mut world, &history.accounts)
    })
}

struct Outcome {
    result: Result<(), String>,
    trace: String,
    fired: BTreeMap<&'static str, u64>,
    counts: WorkerCounts,
}

fn run(seed: u64, planted: Option<Break>) -> Outcome {
    let history = history::generate(seed % HISTORIES);
    let mut world = World::new(seed, &history, planted);
    let result = world.run().and_then(|()| {
        let found = told(&mut world, &history.accounts);
        compare(expected(seed % HISTORIES), &found)
    });
    Outcome {
        result,
        trace: std::mem::take(&mut world.trace),
        fired: world.fired(),
        counts: world.counts.clone(),
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn replay_command(seed: u64) -> String {
    format!("{SEED_VARIABLE}={seed} cargo test --test simulation -- --nocapture one_seed")
}

/// Runs seeds on all cores until `visit` says stop.
fn each_seed(seeds: u64, planted: Option<Break>, visit: impl Fn(u64, Outcome) -> bool + Sync) {
    in_parallel(seeds, |seed| visit(seed, run(seed, planted)));
}

/// Calls `work` with every number below `end` on all cores, until it says stop.
fn in_parallel(end: u64, work: impl Fn(u64) -> bool + Sync) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    if !work(number) {
                        next.store(end, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

#[test]
fn every_seed_tells_what_the_uninterrupted_run_tells() {
    let failures = Mutex::new(BTreeMap::new());
    let fired = Mutex::new(BTreeMap::<&str, u64>::new());
    let counts = Mutex::new(WorkerCounts::default());
    let seeds = number(SEEDS_VARIABLE).unwrap_or(SEEDS);
    each_seed(seeds, None, |seed, outcome| {
        if let Err(error) = outcome.result {
            failures.lock().unwrap().insert(seed, error);
        }
        for (kind, times) in outcome.fired {
            *fired.lock().unwrap().entry(kind).or_default() += times;
        }
        counts.lock().unwrap().add(outcome.counts);
        true
    });
    let (failures, fired, counts) =
        (failures.into_inner().unwrap(), fired.into_inner().unwrap(), counts.into_inner().unwrap());
    println!("{seeds} seeds, faults fired: {fired:?}");
    println!(
        "commits {}, restores {}, reused {}, fallbacks {}, restarts {}, markers {}, pages {}, replayed {}",
        counts.commits,
        counts.restores,
        counts.reused,
        counts.fallbacks,
        counts.restarts,
        counts.markers,
        counts.pages,
        counts.replayed
    );
    let lines: Vec<String> = failures
        .iter()
        .take(10)
        .map(|(seed, error)| format!("{error}\n    {}", replay_command(*seed)))
        .collect();
    assert!(failures.is_empty(), "{} of {seeds} seeds failed:\n{}", failures.len(), lines.join("\n"));
    let missing: Vec<&str> = faults::KINDS.into_iter().filter(|kind| !fired.contains_key(kind)).collect();
    assert!(missing.is_empty(), "these faults never fired: {missing:?}");
    assert!(counts.fallbacks > 0 && counts.reused > 0, "no fallback or no reuse of parked state");
}

/// Not by chance: one run per call of the uninterrupted run, with the crash right before it, so
/// that no gap between two calls is left out, recovery and the closing of rounds included.
#[test]
fn a_crash_before_any_single_call_changes_nothing() {
    let history = history::generate(0);
    let calls = {
        let mut world = World::quiet(0, &history);
        world.run().unwrap();
        world.calls()
    };
    let failures = Mutex::new(Vec::new());
    in_parallel(calls, |at| {
        let mut world = World::quiet(0, &history);
        world.crash_at(at);
        let result = world.run().and_then(|()| compare(expected(0), &told(&mut world, &history.accounts)));
        if let Err(error) = result {
            failures.lock().unwrap().push((at, error));
        }
        true
    });
    println!("{calls} calls, each with a crash before it");
    let failures = failures.into_inner().unwrap();
    assert!(calls > 500 && failures.is_empty(), "{} of {calls}: {:?}", failures.len(), failures.first());
}

/// An oracle that shares no code with the worker: the engine's own replay of the same history.
#[test]
fn the_worker_tells_what_a_replay_without_a_log_tells() {
    for number in 0..HISTORIES {
        let history = history::generate(number);
        let mut world = World::quiet(number, &history);
        world.set_lateness(0);
        world.run().unwrap();
        let found = told(&mut world, &history.accounts);
        let by_replay = oracle::replay(&history);
        assert_eq!(found.risks, by_replay, "history {number}");
    }
}

#[test]
fn one_seed() {
    let seed = number(SEED_VARIABLE).unwrap_or(1);
    let outcome = run(seed, None);
    println!("{}", outcome.trace);
    if let Err(error) = outcome.result {
        panic!("{error}\n    {}", replay_command(seed));
    }
}

#[test]
fn a_seed_gives_the_same_trace_every_time() {
    for seed in [2, 5, 9] {
        assert_eq!(run(seed, None).trace, run(seed, None).trace, "seed {seed}");
    }
}

#[test]
fn the_histories_make_timers_matter() {
    let mut rules = BTreeSet::new();
    for number in 0..HISTORIES {
        for transition in expected(number).risks.values().flatten() {
            if transition.get("caused_by").is_none() && transition["transition"] == "started" {
                rules.insert(transition["rule"].as_str().unwrap().to_owned());
            }
        }
    }
    for rule in ["late_payment", "sla_breach", "inactivity"] {
        assert!(rules.contains(rule), "{rule} is never started by time alone: {rules:?}");
    }
}

/// The harness is worth something only if it finds what is really broken.
#[test]
fn planted_breaks_are_found() {
    let breaks = [
        Break::ForgetOlderEntry,
        Break::WriteOnce,
        Break::OverwriteBest,
        Break::OneMarkerKey,
        Break::NewerJournalOnFallback,
        Break::RestoreIsClean,
        Break::ClockAsFrontier,
        Break::EffectsNextCommit,
        Break::DeadLettersInReplay,
        Break::PositionsOnlyWhenMoved,
        Break::EndsAtStable,
        Break::MissingIsEmpty,
        Break::UnclearIsCommitted,
        Break::NoJournal,
    ];
    let mut unseen = Vec::new();
    for planted in breaks {
        let found = Mutex::new(None);
        each_seed(BREAK_SEEDS, Some(planted), |seed, outcome| match outcome.result {
            Ok(()) => true,
            Err(error) => {
                let mut found = found.lock().unwrap();
                found.get_or_insert((seed, error));
                false
            }
        });
        match found.into_inner().unwrap() {
            Some((seed, error)) => {
                println!("{planted:?}: seed {seed}: {}", error.chars().take(160).collect::<String>())
            }
            None => unseen.push(planted),
        }
    }
    assert!(unseen.is_empty(), "not found within {BREAK_SEEDS} seeds: {unseen:?}");
}
