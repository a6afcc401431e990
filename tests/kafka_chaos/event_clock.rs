//! By event time alone, what is told is a function of the events: a replay of the same events is
//! the measure, record by record.

use accountpulse::engine::event::Kind;
use accountpulse::simulate::Random;

use crate::bad;
use crate::fleet::INPUTS;
use crate::plan::{Mix, Strike, plan, rounds};
use crate::process::history;
use crate::process::oracle::{last_words, replay};
use crate::readers::Readers;
use crate::support::Listener;
use crate::world::{PARTITIONS, World};

/// What must be sent at least; the company stays a little below what it may do.
const EVENTS: usize = 100_000;
const ALLOWED: usize = 104_000;
/// 2026-03-02T00:00:00Z
const END_MS: i64 = 1_772_409_600_000;
const CONFIG: &str = "clock:\n  mode: event\n  lateness: 0s\ncheckpoint_round: 1s\n";
const MIX: Mix = &[
    (Strike::Kill, 10),
    (Strike::KillTwice, 3),
    (Strike::KillAndStayAway, 3),
    (Strike::Bounce, 3),
    (Strike::BounceAndKill, 3),
    (Strike::Guest, 4),
    (Strike::Leave, 2),
    (Strike::Freeze, 1),
];

#[test]
fn event_clock_readers_see_what_an_undisturbed_run_tells() {
    rounds("event_clock", round);
}

fn round(seed: u64) {
    let mut random = Random::new(seed);
    let strikes = plan(MIX, &mut random);
    let mut world = World::new(CONFIG, random);
    let mut good = history(600, 60, ALLOWED, END_MS);
    good.extend(last_words(PARTITIONS, &[Kind::Login, Kind::Ticket], END_MS + 2 * 86_400_000));
    assert!(good.len() >= EVENTS, "{} events", good.len());
    let config = world.fleet.config("oracle");
    let oracle = replay(world.fleet.folder(), config.to_str().unwrap(), &INPUTS, &good);
    assert!(oracle.risks.len() > 200, "only {} transitions: the history is too calm", oracle.risks.len());
    assert!(oracle.rules_of_time().len() >= 3, "{:?}", oracle.rules_of_time());

    let bootstrap = world.broker.bootstrap(Listener::Plain);
    let mut concurrent = Readers::follow(&bootstrap);
    world.begin();
    let mut dead = Vec::new();
    let part = good.len().div_ceil(strikes.len());
    for (strike, part) in strikes.into_iter().zip(good.chunks(part)) {
        let events = bad::strewn(part, &mut dead);
        world.strike(strike, &events);
        concurrent.look(|_| ());
    }
    // The last words of one input wait for something later in the other for ever.
    world.until_all_handled(u64::from(PARTITIONS));
    world.end();

    let last = Readers::read(&bootstrap);
    concurrent.catch_up(&last).assert_same(&last);
    println!("{}; {} transitions, {} score records", world.summary(), last.risks.len(), last.score_records);
    last.told().assert_same(&oracle);
    bad::assert_dead_once(&bootstrap, &dead);
    assert_eq!(world.open_transactions(), Vec::<String>::new());
    let fired = &world.fired;
    assert!(fired.kills >= 20 && fired.bounces >= 5 && fired.rebalances >= 10, "{fired:?}");
    assert!(fired.frozen >= 1 && fired.kills_in_recovery >= 3, "{fired:?}");
}
