//! Somebody else's producer writes, several of our processes work and are killed, the broker is
//! killed, somebody else's reader reads: it sees what one uninterrupted run over the same events
//! tells, each transition once and in order.

use accountpulse::engine::event::Kind;

use super::fleet::{Fleet, INPUTS, PARTITIONS, TOPICS};
use crate::process::oracle::{last_words, replay};
use crate::process::{history, write_lines};
use crate::support::python::{self, Produce};
use crate::support::{Broker, Listener, Options};

const EVENTS: usize = 50_000;
/// 2026-03-02T00:00:00Z
const END_MS: i64 = 1_772_409_600_000;
const EVENT_CLOCK: &str = "clock:\n  mode: event\n  lateness: 0s\ncheckpoint_round: 1s\n";
/// Slow enough that everything below happens while events still come.
const RATE: u32 = 2_500;

#[test]
fn processes_and_the_broker_are_killed_and_a_stranger_reads_each_transition_once() {
    let mut broker = Broker::start(Options::plain().own_controller());
    broker.warm_up();
    let bootstrap = broker.bootstrap(Listener::Plain);
    let fleet = Fleet::new(&bootstrap, EVENT_CLOCK);
    let mut events = history(500, 60, EVENTS, END_MS);
    events.extend(last_words(PARTITIONS, &[Kind::Login, Kind::Ticket], END_MS + 2 * 86_400_000));
    let total = events.len() as u64;
    assert!(total >= 45_000, "{total} events");
    let oracle = replay(fleet.folder(), fleet.config("oracle").to_str().unwrap(), &INPUTS, &events);
    assert!(oracle.risks.len() > 50, "only {} transitions: the history is too calm", oracle.risks.len());
    assert!(oracle.rules_of_time().len() >= 3, "{:?}", oracle.rules_of_time());

    fleet.create_topics();
    let [mut one, mut two, mut three] = ["one", "two", "three"].map(|name| fleet.start(name));
    let file = fleet.folder().join("events.jsonl");
    write_lines(&file, events.iter());
    let produce = Produce::to(&bootstrap)
        .topic("login", TOPICS[0])
        .topic("usage", TOPICS[0])
        .topic("*", TOPICS[1])
        .rate(RATE)
        .spawn(&[&file]);

    let share = |percent: u64| total * percent / 100;
    fleet.wait_for(share(8));
    one.child.kill().unwrap();
    one = fleet.start("one");
    fleet.wait_for(share(16));
    two.child.kill().unwrap();
    two = fleet.start("two");
    fleet.wait_for(share(24));
    let four = fleet.start("four");
    fleet.wait_for(share(36));
    three.child.kill().unwrap();
    three = fleet.start("three");
    fleet.wait_for(share(48));
    broker.kill9();
    broker.restart();
    fleet.wait_for(share(60));
    one.child.kill().unwrap();
    one = fleet.start("one");
    fleet.wait_for(share(72));
    assert_eq!(two.end("-TERM"), Some(0));
    fleet.wait_for(share(84));
    three.child.kill().unwrap();
    three = fleet.start("three");

    python::finish(produce);
    // The last words of one input wait for something later in the other for ever.
    fleet.wait_for(total - u64::from(PARTITIONS));
    for instance in [one, three, four] {
        assert_eq!(instance.end("-TERM"), Some(0));
    }
    let told = fleet.read();
    told.assert_same(&oracle);
    let dead = fleet.dead_letters();
    assert!(dead.is_empty(), "dead letters: {dead:.2000}");
}
