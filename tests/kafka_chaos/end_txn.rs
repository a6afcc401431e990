//! The request that ends a transaction comes late, twice, or not at all, over and over: a reader
//! still sees what one uninterrupted run tells, each transition once, and nothing stays open.

use std::sync::Mutex;
use std::time::Duration;

use accountpulse::engine::event::Kind;

use super::fleet::{Fleet, INPUTS, PARTITIONS, TOPICS};
use crate::process::oracle::{last_words, replay};
use crate::process::{history, write_lines};
use crate::support::proxy::{END_TXN, Fault, Proxy};
use crate::support::python::{self, Produce};
use crate::support::{Broker, Listener, Options};

const EVENTS: usize = 20_000;
/// 2026-03-02T00:00:00Z
const END_MS: i64 = 1_772_409_600_000;
const EVENT_CLOCK: &str = "clock:\n  mode: event\n  lateness: 0s\ncheckpoint_round: 1s\n";
const RATE: u32 = 600;
/// Every so many requests, one suffers.
const EVERY: usize = 5;
/// How often each fault happens.
const ROUNDS: usize = 3;
/// A second is enough for the next transaction to begin and for its client to come back; 3 s is
/// more than a commit may take to be certain; 5 s is more than a transaction may take.
const FAULTS: [Fault; 7] = [
    Fault::Slow(Duration::from_millis(300)),
    Fault::Unanswered,
    Fault::Twice,
    Fault::Late(Duration::from_secs(1)),
    Fault::Lost,
    Fault::Slow(Duration::from_secs(3)),
    Fault::Late(Duration::from_secs(5)),
];

#[test]
fn an_end_that_comes_late_twice_or_not_at_all_changes_nothing() {
    let proxy = Proxy::start();
    let broker = Broker::start(Options::plain().behind(proxy.port()));
    proxy.lead_to(broker.port(Listener::Proxied));
    broker.warm_up();
    let fleet = Fleet::new(&proxy.bootstrap(), EVENT_CLOCK);
    fleet.create_topics();
    let mut events = history(200, 60, EVENTS, END_MS);
    events.extend(last_words(PARTITIONS, &[Kind::Login, Kind::Ticket], END_MS + 2 * 86_400_000));
    let total = events.len() as u64;
    let oracle = replay(fleet.folder(), fleet.config("oracle").to_str().unwrap(), &INPUTS, &events);
    assert!(oracle.risks.len() > 30, "only {} transitions: the history is too calm", oracle.risks.len());
    let file = fleet.folder().join("events.jsonl");
    write_lines(&file, events.iter());

    let ends = Mutex::new((0_usize, FAULTS.into_iter().cycle().take(FAULTS.len() * ROUNDS)));
    proxy.suffer(move |request| {
        if request.api != END_TXN || !request.client.starts_with("one-") {
            return None;
        }
        let (count, faults) = &mut *ends.lock().unwrap();
        *count += 1;
        if count.is_multiple_of(EVERY) { faults.next() } else { None }
    });
    let one = fleet.start("one");
    let produce = Produce::to(&broker.bootstrap(Listener::Plain))
        .topic("login", TOPICS[0])
        .topic("usage", TOPICS[0])
        .topic("*", TOPICS[1])
        .rate(RATE)
        .spawn(&[&file]);
    python::finish(produce);
    fleet.wait_for(total - u64::from(PARTITIONS));
    let fired = proxy.fired();
    for fault in FAULTS {
        assert!(fired.contains(&fault), "{fault:?} never happened: {fired:?}");
    }
    assert_eq!(one.end("-TERM"), Some(0));
    fleet.assert_nothing_open();
    fleet.read().assert_same(&oracle);
    assert_eq!(fleet.dead_letters(), "");
}
