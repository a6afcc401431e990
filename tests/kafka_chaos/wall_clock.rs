//! By the wall's clock, what is told depends on when the program looked; and yet much of it may not.
//! While history is loaded and the present goes on, faults are fired, and in the end
//!
//! - every rule on every account has lived as the contract draws it, without a gap or a repeat, and
//!   what a concurrent reader was told stands as it was told;
//! - a deadline whose facts were there in time was told once, at its own instant, and not before;
//! - an event that moves a risk by itself moved it once;
//! - the last scores are those that the same events give at the same clock, and so is what fires by
//!   rules that look at facts alone;
//! - the last scores agree with the transitions, and every refused event is one dead letter.

use std::collections::BTreeMap;

use accountpulse::clock;
use accountpulse::engine::time::rfc3339;
use accountpulse::simulate::{Random, SimEvent};
use serde_json::Value;

use crate::bad;
use crate::fleet::{INPUTS, Patience};
use crate::life::{assert_lives, assert_scores_agree, firing};
use crate::plan::{Mix, Strike, plan, rounds};
use crate::probes::{HOLD_S, Probes, closing};
use crate::process::history;
use crate::process::oracle::{Told, replayed};
use crate::readers::{Readers, Seen};
use crate::support::Listener;
use crate::world::World;

const EVENTS: usize = 36_000;
/// One event of the present comes after so many of the past.
const LIVE_EVERY: usize = 200;
/// How soon after everything else the last deadline is.
const CLOSING_MS: i64 = 5_000;
const MIX: Mix = &[
    (Strike::Kill, 5),
    (Strike::KillTwice, 2),
    (Strike::KillAndStayAway, 1),
    (Strike::Bounce, 1),
    (Strike::BounceAndKill, 1),
    (Strike::Guest, 2),
    (Strike::Leave, 1),
    (Strike::Freeze, 1),
];
/// Their condition is met or clear by the facts, with nothing between, and by nothing that was decided.
const BY_FACTS: [&str; 4] = ["late_payment", "sla_breach", "detractor", "champion_departed"];

#[test]
fn wall_clock_readers_see_nothing_lost_nothing_twice_and_nothing_that_is_not_so() {
    rounds("wall_clock", round);
}

fn round(seed: u64) {
    let mut random = Random::new(seed);
    let strikes = plan(MIX, &mut random);
    let config = format!(
        "clock:\n  lateness: 0s\ncheckpoint_round: 1s\nrules:\n  champion_departed:\n    timing:\n      hold: {HOLD_S}s\n"
    );
    let mut world = World::new(&config, random);
    let start_ms = clock::wall_ms();
    let past = history(250, 30, EVENTS, start_ms - 60_000);
    let (mut probes, facts) = Probes::new(start_ms, &mut Random::for_part(seed, 1, 0));
    world.write(&facts);
    let mut good = facts;
    let bootstrap = world.broker.bootstrap(Listener::Plain);
    let mut concurrent = Readers::follow(&bootstrap);
    world.begin();
    let mut dead = Vec::new();
    let part = past.len().div_ceil(strikes.len());
    for (strike, part) in strikes.into_iter().zip(past.chunks(part)) {
        let now_ms = clock::wall_ms();
        let mut events = concurrent.look(|seen| probes.ends(seen, now_ms));
        for part in part.chunks(LIVE_EVERY) {
            events.extend_from_slice(part);
            events.push(probes.live(now_ms));
        }
        good.extend_from_slice(&events);
        world.strike(strike, &bad::strewn(&events, &mut dead));
    }
    world.until_all_handled(0);
    let until_told = |world: &World, concurrent: &mut Readers, probes: &Probes| {
        until(world, concurrent, probes.expected(), |seen| probes.told(seen));
    };
    until_told(&world, &mut concurrent, &probes);
    let ends = concurrent.look(|seen| probes.ends(seen, clock::wall_ms()));
    world.give(&ends);
    good.extend(ends);
    until_told(&world, &mut concurrent, &probes);
    let now_ms = clock::wall_ms();
    let last_ms = now_ms + CLOSING_MS;
    let closing = closing(now_ms, last_ms);
    world.give(&closing);
    until(&world, &mut concurrent, closing.len() as u64, |seen| {
        seen.risks.iter().filter(|risk| risk.text("account_id").starts_with("last-")).count() as u64
    });
    good.extend(closing);
    world.until_all_handled(0);
    world.end();
    let end_ms = clock::wall_ms();

    let last = Readers::read(&bootstrap);
    concurrent.catch_up(&last).assert_same(&last);
    println!("{}; {} transitions, {} score records", world.summary(), last.risks.len(), last.score_records);
    assert_lives(&last);
    assert_scores_agree(&last);
    probes.assert_told(&last);
    // Between the two nothing was given any more, but a deadline may have passed by chance.
    good.sort_by_key(|event| event.at_ms);
    assert_facts(&last, [last_ms, end_ms].map(|until_ms| undisturbed(&world, &good, until_ms)));
    bad::assert_dead_once(&bootstrap, &dead);
    assert_eq!(world.open_transactions(), Vec::<String>::new());
    let fired = &world.fired;
    assert!(fired.kills >= 10 && fired.bounces >= 2 && fired.rebalances >= 5, "{fired:?}");
    assert!(fired.frozen >= 1 && fired.kills_in_recovery >= 2, "{fired:?}");
}

/// Waits until so much of something was seen, as long as more of it comes.
fn until(world: &World, concurrent: &mut Readers, wanted: u64, count: impl Fn(&Seen) -> u64) {
    let mut patience = Patience::new();
    loop {
        let found = concurrent.look(&count);
        if found >= wanted {
            return;
        }
        if patience.is_over(found) {
            world.fail(&format!("{found} of {wanted} expected transitions are told, and no more"));
        }
    }
}

/// What the events tell at a clock.
fn undisturbed(world: &World, events: &[SimEvent], until_ms: i64) -> Told {
    let config = world.fleet.config("oracle");
    let args = ["-c", config.to_str().unwrap(), "--until", &rfc3339(until_ms)];
    replayed(world.fleet.folder(), &args, &INPUTS, events)
}

/// That what depends on facts alone is what one of the oracles says.
fn assert_facts(seen: &Seen, oracles: [Told; 2]) {
    // Score and coverage; one that nobody ever wrote about is unknown.
    let facts = |told: &Told| -> BTreeMap<String, (Value, Value)> {
        let known = told.scores.iter().map(|(account, kept)| (account, &kept[0], &kept[2]));
        let known = known.filter(|(_, score, _)| !score.is_null());
        known.map(|(account, score, class)| (account.clone(), (score.clone(), class.clone()))).collect()
    };
    let told = seen.told();
    let found = facts(&told);
    let wanted = oracles.each_ref().map(facts);
    assert!(found.len() > 100, "only {} accounts have a score", found.len());
    for account in found.keys().chain(wanted[0].keys()) {
        let is = found.get(account);
        let should = wanted.each_ref().map(|wanted| wanted.get(account));
        assert!(should.contains(&is), "{account} is {is:?} and should be one of {should:?}");
    }
    let found = firing(&told, &BY_FACTS);
    let wanted = oracles.each_ref().map(|told| firing(told, &BY_FACTS));
    assert!(found.len() > 50, "only {} risks fire in the end", found.len());
    for subject in found.union(&wanted[0]) {
        let is = found.contains(subject);
        let should = wanted.each_ref().map(|wanted| wanted.contains(subject));
        assert!(should.contains(&is), "whether {subject:?} fires is {is} and should be one of {should:?}");
    }
}
