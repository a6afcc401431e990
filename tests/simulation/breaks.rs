//! The harness is worth something only if it finds what is really broken: every part of the
//! protocol, left out one at a time, is noticed within [`BREAK_SEEDS`] seeds, by a seed that passes
//! without the bug.

use std::sync::Mutex;

use accountpulse::log::sim::Weakness;
use accountpulse::worker::Break;

use super::setup::Bug;
use super::{in_parallel, run};

/// Seeds tried for each bug, at most: the first that finds it ends the search.
const BREAK_SEEDS: u64 = 2_000;
/// Picks one bug, here and for `one_seed`.
pub const BUG_VARIABLE: &str = "ACCOUNTPULSE_SIM_BUG";

pub const BUGS: [Bug; 35] = [
    Bug::Worker(Break::FilterAcrossInputs),
    Bug::Worker(Break::NewerJournalOnFallback),
    Bug::Worker(Break::DecisionsAreClean),
    Bug::Worker(Break::RestoreIsClean),
    Bug::Worker(Break::ClockAsFrontier),
    Bug::Worker(Break::EffectsNextCommit),
    Bug::Worker(Break::DueForgotten),
    Bug::Client(Weakness::NoMembership),
    Bug::Client(Weakness::FreshMembership),
    Bug::Worker(Break::DeadLettersInReplay),
    Bug::Worker(Break::ParkedByPosition),
    Bug::Client(Weakness::UnstablePositions),
    Bug::Worker(Break::WriteOnce),
    Bug::Worker(Break::NumberOnly),
    Bug::Worker(Break::ForgetOlderEntry),
    Bug::Worker(Break::OverwriteBest),
    Bug::Worker(Break::OneMarkerKey),
    Bug::Worker(Break::RefuseAtOnce),
    Bug::Worker(Break::PositionsOnlyWhenMoved),
    Bug::Worker(Break::CheckpointAtStable),
    Bug::Worker(Break::JournalAtStable),
    Bug::Worker(Break::MissingIsEmpty),
    Bug::Worker(Break::OffsetsBeforeState),
    Bug::Worker(Break::UnclearIsCommitted),
    Bug::Worker(Break::UnclearIsRepeated),
    Bug::Worker(Break::TombstoneIgnored),
    Bug::Worker(Break::TimerTwice),
    Bug::Worker(Break::FilterForgotten),
    Bug::Worker(Break::OlderCopy),
    Bug::Worker(Break::RevokeWithoutCommit),
    Bug::Worker(Break::IdlePositionLeftOut),
    Bug::Worker(Break::NoJournal),
    Bug::Worker(Break::DecisionsRecomputed),
    Bug::Worker(Break::MarkerAtEnd),
    Bug::Worker(Break::StandstillIgnored),
];

/// The bug of that name.
pub fn bug_named(name: &str) -> Option<Bug> {
    BUGS.into_iter().find(|bug| self::name(*bug) == name)
}

fn name(bug: Bug) -> String {
    match bug {
        Bug::Worker(which) => format!("{which:?}"),
        Bug::Client(which) => format!("{which:?}"),
    }
}

#[test]
fn planted_breaks_are_found() {
    let mut unseen = Vec::new();
    let picked = std::env::var(BUG_VARIABLE).ok();
    for bug in BUGS.into_iter().filter(|bug| picked.as_ref().is_none_or(|picked| *picked == name(*bug))) {
        let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
        in_parallel(BREAK_SEEDS, |seed| {
            let Err(error) = run(seed, Some(bug)).result else { return true };
            if run(seed, None).result.is_err() {
                return true;
            }
            let mut found = found.lock().unwrap();
            if found.as_ref().is_none_or(|(known, _)| seed < *known) {
                *found = Some((seed, error));
            }
            false
        });
        match found.into_inner().unwrap() {
            Some((seed, error)) => {
                let error: String = error.chars().take(140).collect();
                println!("{:24} seed {seed:4}: {error}", name(bug));
            }
            None => {
                println!("{:24} not found", name(bug));
                unseen.push(name(bug));
            }
        }
    }
    assert!(unseen.is_empty(), "not found within {BREAK_SEEDS} seeds: {unseen:?}");
}
