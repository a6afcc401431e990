//! What a run told the world, and whether it is what the uninterrupted run tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use accountpulse::engine::Effects;
use accountpulse::engine::replay::{Refused, Replay, ReplayOptions, ReplaySink};
use serde_json::Value;

use super::history::{History, PARTITIONS, Placed};
use super::ideal;
use super::reader::{Known, Reader};
use super::setup::{Bug, LATENESS_MS, MUTABLE_RULE, Mode, config, intake};
use super::world::World;

/// The committed outputs and the final state.
pub struct Told {
    /// Per account its transitions, in order.
    pub risks: BTreeMap<String, Vec<Value>>,
    /// Per account score, band and coverage class of its last record.
    pub scores: BTreeMap<String, [Value; 3]>,
    /// Topic, partition, offset, code of every dead letter.
    pub letters: BTreeSet<String>,
    /// Per account the exact explanation of the final state.
    pub accounts: BTreeMap<String, Value>,
}

/// What a history leads to.
pub struct Expected {
    pub told: Told,
    /// What a reader may hold every record to while the run goes on.
    pub known: Option<Arc<Known>>,
}

/// The uninterrupted run of a history, and what is known without any run. A bug that changes what
/// the events mean is held to the uninterrupted run with the same bug: what must be noticed is that
/// a recovery gives something else.
pub fn expect(number: u64, mode: Mode, bug: Option<Bug>) -> Result<Expected, String> {
    let history = history_of(number, mode);
    let mut world = World::quiet_with(number, mode, history, bug);
    world.run()?;
    let told = told(&mut world, history)?;
    let known = (mode == Mode::Event && bug.is_none()).then(|| {
        let states = ideal::states(history, LATENESS_MS);
        Arc::new(Known { risks: told.risks.clone(), states })
    });
    Ok(Expected { told, known })
}

/// The history of that number.
pub fn history_of(number: u64, mode: Mode) -> &'static History {
    use super::HISTORIES;
    use std::sync::OnceLock;
    static ALL: OnceLock<Vec<[OnceLock<History>; 2]>> = OnceLock::new();
    let all = ALL.get_or_init(|| (0..HISTORIES).map(|_| Default::default()).collect());
    let wall = mode == Mode::Wall;
    all[number as usize][usize::from(wall)].get_or_init(|| super::history::generate(number, wall))
}

/// Collects it; call after the last recovery. A reader that begins now must find exactly what the
/// one found that read along.
pub fn told(world: &mut World, history: &History) -> Result<Told, String> {
    world.read()?;
    let mut last = Reader::new(None);
    // Older scores may have been compacted: only what they leave is compared.
    last.only_latest();
    last.read(&world.broker)?;
    let along = world.reader();
    let along = along.lock().unwrap();
    along.agrees()?;
    if (&along.risks, &along.letters) != (&last.risks, &last.letters) {
        return Err("who read along saw other risks or dead letters than who reads at the end".to_owned());
    }
    if along.scores != last.scores {
        return Err("who read along saw other last scores than who reads at the end".to_owned());
    }
    let last_words = |score: &Value| ["score", "band", "coverage"].map(|field| score[field].clone());
    let scores = last.scores.iter().map(|(account, score)| (account.clone(), last_words(score)));
    let mut accounts = BTreeMap::new();
    for account in &history.accounts {
        if let Some(state) = world.account(account) {
            let mut record = serde_json::to_value(&state.record).unwrap();
            // These compare with what happened to be published last; the rest is a function of state.
            for field in ["causes", "previous", "changes", "config_version"] {
                record.as_object_mut().unwrap().remove(field);
            }
            accounts.insert(account.clone(), record);
        }
    }
    let scores = scores.collect();
    Ok(Told { risks: last.risks, scores, letters: last.letters, accounts })
}

/// The transitions of the same history through the engine's replay, which has no worker.
pub fn replay(history: &History) -> BTreeMap<String, Vec<Value>> {
    #[derive(Default)]
    struct Sink(BTreeMap<String, Vec<Value>>);
    impl ReplaySink for Sink {
        fn effects(&mut self, effects: Effects) {
            for risk in effects.risks {
                let account = risk.account_id.clone();
                let mut told = serde_json::to_value(&risk).unwrap();
                told.as_object_mut().unwrap().remove("config_version");
                self.0.entry(account).or_default().push(told);
            }
        }
        fn refused(&mut self, _: Refused) {}
    }
    let options = ReplayOptions {
        config: config(),
        person_key: intake().person_key,
        partitions: PARTITIONS,
        lateness_ms: 0,
        until_ms: Some(history.until_ms),
    };
    let lines = |topic: &Vec<Vec<Placed>>| {
        let values = topic.iter().flatten().map(|placed| placed.record.value.clone().unwrap());
        values.collect::<Vec<_>>().into_iter()
    };
    let mut sink = Sink::default();
    Replay::new(options, history.records.iter().map(lines).collect()).run(&mut sink);
    sink.0
}

/// The first difference, in words. By the event clock everything is compared.
pub fn compare(expected: &Told, found: &Told) -> Result<(), String> {
    same_transitions(&expected.risks, &found.risks)?;
    first_difference("last score", &expected.scores, &found.scores)?;
    first_difference("final state", &expected.accounts, &found.accounts)?;
    same_letters(expected, found)
}

/// By the wall clock: what cannot depend on when anybody looked. That is the facts (so the score
/// and its contributions in the end), the dead letters, and everything about calm accounts.
/// `muted`: a rule was switched off on the way; nothing of it may be left.
pub fn compare_by_wall(history: &History, expected: &Told, found: &Told, muted: bool) -> Result<(), String> {
    let deciding = ["rule", "transition", "transition_seq", "severity", "began_at", "fired_at", "at", "id"];
    let calm = |risks: &BTreeMap<String, Vec<Value>>| {
        let of = |account: &String| {
            let all = risks.get(account).map(Vec::as_slice).unwrap_or_default().iter();
            let all = all.filter(|told| {
                let rule = &told["rule"];
                ["late_payment", "sla_breach", "inactivity"].iter().any(|known| rule == known)
                    && !(muted && rule == MUTABLE_RULE)
            });
            all.map(|told| deciding.map(|field| told[field].clone()).to_vec().into()).collect()
        };
        let all = history.calm.iter().map(|account| (account.clone(), of(account)));
        all.collect::<BTreeMap<String, Vec<Value>>>()
    };
    first_difference("transitions", &calm(&replay(history)), &calm(&found.risks))?;
    let facts = ["score", "score_hundredths", "coverage", "coverage_basis_points", "contributions", "absent"];
    let facts = |told: &Told| {
        let of = |record: &Value| facts.map(|field| record[field].clone());
        let all = told.accounts.iter().map(|(account, record)| (account.clone(), of(record)));
        all.collect::<BTreeMap<_, _>>()
    };
    first_difference("final state", &facts(expected), &facts(found))?;
    for (account, transitions) in found.risks.iter().filter(|_| muted) {
        let last = transitions.iter().rfind(|told| told["rule"] == MUTABLE_RULE);
        if last.is_some_and(|told| told["transition"] != "resolved" && told["transition"] != "retracted") {
            return Err(format!("{account}: {MUTABLE_RULE} was switched off and still fires"));
        }
    }
    same_letters(expected, found)
}

fn same_transitions(
    expected: &BTreeMap<String, Vec<Value>>,
    found: &BTreeMap<String, Vec<Value>>,
) -> Result<(), String> {
    for (account, transitions) in expected {
        let ours = found.get(account).map(Vec::as_slice).unwrap_or_default();
        if let Some((index, missing)) = transitions.iter().enumerate().nth(ours.len()) {
            return Err(format!(
                "{account}: transition {index} ({} {} at {}) is missing",
                missing["rule"], missing["transition"], missing["at"]
            ));
        }
    }
    first_difference("transitions", expected, found)
}

fn same_letters(expected: &Told, found: &Told) -> Result<(), String> {
    if expected.letters == found.letters {
        return Ok(());
    }
    let missing = expected.letters.difference(&found.letters).next();
    let (want, have) = (expected.letters.len(), found.letters.len());
    Err(format!("{have} dead letters, expected {want}; first missing: {missing:?}"))
}

fn first_difference<V: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &BTreeMap<String, V>,
    found: &BTreeMap<String, V>,
) -> Result<(), String> {
    for (account, value) in expected {
        if found.get(account) != Some(value) {
            return Err(format!("{what} of {account} is {:?}, expected {value:?}", found.get(account)));
        }
    }
    match found.keys().find(|account| !expected.contains_key(*account)) {
        Some(account) => Err(format!("{what} of {account}, of which nothing is expected")),
        None => Ok(()),
    }
}
