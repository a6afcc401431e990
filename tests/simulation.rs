//! The real worker on the simulated log: three members, generated histories, faults by seed.
//! Whatever happens, what committed readers see is what an uninterrupted run tells.
//!
//! ```text
//! cargo test --test simulation                                      all seeds
//! ACCOUNTPULSE_SIM_SEEDS=100000 cargo test --test simulation -- --nocapture every_seed
//! ACCOUNTPULSE_SIM_SEED=17 cargo test --test simulation -- --nocapture one_seed
//! ```
//!
//! `setup` what a world is made of · `history` what happens to the accounts · `world` and `passing`
//! the run ·
//! `faults` and `disturb` what goes wrong · `reader`, `published`, `ideal` and `oracle` what must be
//! true · `breaks` that all this can fail · `live`, `refused`, `recovery`,
//! `standstill` single happenings.
//! To add a fault: a line in `faults::KINDS`, and the place that draws and counts it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

#[path = "simulation/breaks.rs"]
mod breaks;
#[path = "simulation/disturb.rs"]
mod disturb;
#[path = "simulation/faults.rs"]
mod faults;
#[path = "simulation/history.rs"]
mod history;
#[path = "simulation/ideal.rs"]
mod ideal;
#[path = "simulation/live.rs"]
mod live;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/passing.rs"]
mod passing;
#[path = "simulation/published.rs"]
mod published;
#[path = "simulation/reader.rs"]
mod reader;
#[path = "simulation/recovery.rs"]
mod recovery;
#[path = "simulation/refused.rs"]
mod refused;
#[path = "simulation/rng.rs"]
mod rng;
#[path = "simulation/setup.rs"]
mod setup;
#[path = "simulation/standstill.rs"]
mod standstill;
#[path = "simulation/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use accountpulse::worker::{Break, WorkerCounts};
use breaks::{BUG_VARIABLE, bug_named};
use oracle::{Expected, compare, compare_by_wall, expect, history_of, told};
use setup::{Bug, Mode, Traits};
use world::World;

/// Thousands of runs allocate for a living.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds of the ordinary run, unless [`SEEDS_VARIABLE`] gives another number.
const SEEDS: u64 = 2_000;
/// Runs more seeds.
const SEEDS_VARIABLE: &str = "ACCOUNTPULSE_SIM_SEEDS";
/// Different histories for each clock; seeds share them.
pub const HISTORIES: u64 = 12;
/// Picks one seed.
const SEED_VARIABLE: &str = "ACCOUNTPULSE_SIM_SEED";

/// What the uninterrupted run of a history tells.
fn expected(number: u64, mode: Mode) -> &'static Expected {
    static ALL: OnceLock<Vec<[OnceLock<Expected>; 2]>> = OnceLock::new();
    let all = ALL.get_or_init(|| (0..HISTORIES).map(|_| Default::default()).collect());
    all[number as usize][usize::from(mode == Mode::Wall)]
        .get_or_init(|| expect(number, mode, None).expect("the uninterrupted run completes"))
}

struct Outcome {
    result: Result<(), String>,
    mode: Mode,
    trace: String,
    fired: BTreeMap<&'static str, u64>,
    counts: WorkerCounts,
    out_of_order: u64,
    quiet_steps: u64,
}

fn run(seed: u64, bug: Option<Bug>) -> Outcome {
    let traits = Traits::of(seed);
    let mode = traits.mode;
    let history = history_of(traits.history, mode);
    let own;
    let expected = match bug {
        Some(Bug::Worker(Break::FilterAcrossInputs)) => {
            own = expect(traits.history, mode, bug).expect("nothing goes wrong without faults");
            &own
        }
        _ => expected(traits.history, mode),
    };
    let muted = traits.roll_from.is_some();
    let mut world = World::new(seed, traits, history, expected.known.clone(), bug);
    let result = world.run().and_then(|()| {
        let found = told(&mut world, history)?;
        match mode {
            Mode::Event => compare(&expected.told, &found),
            Mode::Wall => compare_by_wall(history, &expected.told, &found, muted),
        }
    });
    Outcome {
        result,
        mode,
        trace: std::mem::take(&mut world.trace),
        fired: world.fired(),
        counts: world.counts.clone(),
        out_of_order: history.out_of_order,
        quiet_steps: world.quiet_steps,
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn brief(error: &str) -> String {
    error.chars().take(600).collect()
}

fn replay_command(seed: u64) -> String {
    format!("{SEED_VARIABLE}={seed} cargo test --test simulation -- --nocapture one_seed")
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

/// What all seeds together came to.
#[derive(Default)]
struct Sum {
    failures: BTreeMap<u64, String>,
    fired: BTreeMap<&'static str, u64>,
    counts: WorkerCounts,
    by_wall: u64,
    out_of_order: u64,
    longest_quiet: u64,
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        if let Err(error) = outcome.result {
            self.failures.insert(seed, error);
        }
        for (kind, times) in outcome.fired {
            *self.fired.entry(kind).or_default() += times;
        }
        self.counts.add(outcome.counts);
        self.by_wall += u64::from(outcome.mode == Mode::Wall);
        self.out_of_order += outcome.out_of_order;
        self.longest_quiet = self.longest_quiet.max(outcome.quiet_steps);
    }

    /// Everything that must have happened, with how often it did.
    fn happenings(&self) -> Vec<(&'static str, u64)> {
        let faults = faults::KINDS.into_iter();
        let faults = faults.map(|kind| (kind, self.fired.get(kind).copied().unwrap_or(0)));
        let counts = &self.counts;
        let seen = [
            ("duplicate", counts.duplicate),
            ("reorder", self.out_of_order),
            ("late", counts.late),
            ("recovery", counts.restores),
            ("fallback to the round before", counts.fallbacks),
            ("parked state taken up again", counts.reused),
            ("recovery started over", counts.restarts),
        ];
        faults.chain(seen).collect()
    }
}

#[test]
fn every_seed_tells_what_the_uninterrupted_run_tells() {
    let sum = Mutex::new(Sum::default());
    let seeds = number(SEEDS_VARIABLE).unwrap_or(SEEDS);
    in_parallel(seeds, |seed| {
        let outcome = run(seed, None);
        if let Err(error) = &outcome.result {
            println!("{}\n    {}", brief(error), replay_command(seed));
        }
        sum.lock().unwrap().add(seed, outcome);
        true
    });
    let sum = sum.into_inner().unwrap();
    println!("{seeds} seeds, {} of them by the wall clock", sum.by_wall);
    sum.happenings().iter().for_each(|(kind, times)| println!("{times:9} {kind}"));
    let WorkerCounts { commits, markers, pages, replayed, .. } = sum.counts;
    println!("commits {commits}, markers {markers}, pages {pages}, replayed {replayed}");
    println!("done at the latest {} steps after faults had stopped", sum.longest_quiet);
    let lines: Vec<String> = sum
        .failures
        .iter()
        .take(10)
        .map(|(seed, error)| format!("{}\n    {}", brief(error), replay_command(*seed)))
        .collect();
    let failed = sum.failures.len();
    assert!(failed == 0, "{failed} of {seeds} seeds failed:\n{}", lines.join("\n"));
    let missing: Vec<&str> =
        sum.happenings().into_iter().filter(|(_, times)| *times == 0).map(|(kind, _)| kind).collect();
    assert!(missing.is_empty() || seeds < SEEDS, "these never happened: {missing:?}");
}

/// An oracle that shares no code with the worker: the engine's own replay of the same history.
#[test]
fn the_worker_tells_what_a_replay_without_a_log_tells() {
    for number in 0..HISTORIES {
        let history = history_of(number, Mode::Event);
        let mut world = World::quiet(number, Mode::Event, history);
        world.set_lateness(0);
        world.run().unwrap();
        let found = told(&mut world, history).unwrap();
        assert_eq!(found.risks, oracle::replay(history), "history {number}");
    }
}

#[test]
fn one_seed() {
    let seed = number(SEED_VARIABLE).unwrap_or(1);
    let bug = std::env::var(BUG_VARIABLE).ok();
    let bug = bug.map(|name| bug_named(&name).unwrap_or_else(|| panic!("no bug is called {name}")));
    let outcome = run(seed, bug);
    println!("{}\n{:?}", outcome.trace, Traits::of(seed));
    if let Err(error) = outcome.result {
        panic!("{error}\n    {}", replay_command(seed));
    }
}

#[test]
fn a_seed_gives_the_same_trace_every_time() {
    let mut modes = Vec::new();
    for seed in 0..24 {
        let first = run(seed, None);
        assert_eq!(first.trace, run(seed, None).trace, "seed {seed}");
        assert!(first.trace.lines().count() > 20, "seed {seed} has a trace");
        modes.push(first.mode);
    }
    assert!(modes.contains(&Mode::Event) && modes.contains(&Mode::Wall));
}

#[test]
fn the_histories_make_timers_matter() {
    for mode in [Mode::Event, Mode::Wall] {
        let mut rules = BTreeSet::new();
        for number in 0..HISTORIES {
            for transition in expected(number, mode).told.risks.values().flatten() {
                if transition.get("caused_by").is_none() && transition["transition"] == "started" {
                    rules.insert(transition["rule"].as_str().unwrap().to_owned());
                }
            }
        }
        for rule in ["late_payment", "sla_breach", "inactivity"] {
            assert!(rules.contains(rule), "{rule} is never started by time alone: {rules:?}");
        }
    }
}
