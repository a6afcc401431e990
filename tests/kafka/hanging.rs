//! Transactions that hang: their coordinator knows nothing of them or takes them for ended, and they
//! are open where they wrote. Some brokers leave them behind when they are killed in the middle
//! of a commit; here a proxy makes them, by answers that the broker never gave.

use std::sync::Mutex;
use std::time::Duration;

use accountpulse::clock;
use accountpulse::engine::event::Kind;

use super::fleet::{Fleet, INPUTS, PARTITIONS, TOPICS};
use crate::process::oracle::{last_words, replay};
use crate::process::{history, write_lines};
use crate::support::proxy::{ADD_OFFSETS_TO_TXN, ADD_PARTITIONS_TO_TXN, END_TXN, Fault, Proxy, Request};
use crate::support::python::{self, Produce};
use crate::support::{Broker, Listener, Options};

const EVENTS: usize = 8_000;
/// 2026-03-02T00:00:00Z
const END_MS: i64 = 1_772_409_600_000;
const EVENT_CLOCK: &str = "clock:\n  mode: event\n  lateness: 0s\ncheckpoint_round: 1s\n";
const RATE: u32 = 800;
/// Longest wait for a fault that needs a transaction.
const LONGEST: Duration = Duration::from_secs(60);

/// What the brokers do not hear of the one transaction that is chosen.
#[derive(Clone, Copy)]
enum Unheard {
    /// Anything.
    All,
    /// That positions belong to it: it is committed without them.
    Positions,
}

/// Of the first worker of "one" that begins a transaction, that one; nothing later gets through.
fn choose(unheard: Unheard) -> impl Fn(&Request) -> Option<Fault> {
    let state: Mutex<(Option<String>, bool)> = Mutex::default();
    move |request| {
        let (chosen, over) = &mut *state.lock().unwrap();
        if request.api == ADD_PARTITIONS_TO_TXN && request.client.starts_with("one-") && chosen.is_none() {
            *chosen = Some(request.client.clone());
        }
        if chosen.as_ref() != Some(&request.client) {
            return None;
        }
        match (request.api, unheard) {
            (ADD_PARTITIONS_TO_TXN | ADD_OFFSETS_TO_TXN | END_TXN, _) if *over => Some(Fault::Lost),
            (ADD_OFFSETS_TO_TXN, _) | (ADD_PARTITIONS_TO_TXN, Unheard::All) => Some(Fault::Pretend),
            (END_TXN, Unheard::All) => {
                *over = true;
                Some(Fault::Lost)
            }
            (END_TXN, Unheard::Positions) => {
                *over = true;
                None
            }
            _ => None,
        }
    }
}

fn is_ended(unheard: Unheard) {
    let proxy = Proxy::start();
    // Brokers that ask the coordinator about every transaction notice what is not true.
    let options =
        Options::plain().behind(proxy.port()).with("transaction.partition.verification.enable", "false");
    let broker = Broker::start(options);
    proxy.lead_to(broker.port(Listener::Proxied));
    broker.warm_up();
    let fleet = Fleet::new(&proxy.bootstrap(), EVENT_CLOCK);
    fleet.create_topics();
    let mut events = history(100, 60, EVENTS, END_MS);
    events.extend(last_words(PARTITIONS, &[Kind::Login, Kind::Ticket], END_MS + 2 * 86_400_000));
    let total = events.len() as u64;
    let oracle = replay(fleet.folder(), fleet.config("oracle").to_str().unwrap(), &INPUTS, &events);
    assert!(oracle.risks.len() > 10, "only {} transitions: the history is too calm", oracle.risks.len());
    let file = fleet.folder().join("events.jsonl");
    write_lines(&file, events.iter());
    let produce = Produce::to(&broker.bootstrap(Listener::Plain))
        .topic("login", TOPICS[0])
        .topic("usage", TOPICS[0])
        .topic("*", TOPICS[1])
        .rate(RATE)
        .spawn(&[&file]);

    let mut one = fleet.start("one");
    fleet.wait_for(total / 4);
    proxy.suffer(choose(unheard));
    let began = clock::monotonic();
    while !proxy.fired().contains(&Fault::Lost) {
        assert!(clock::monotonic().duration_since(began) < LONGEST, "no transaction: {:?}", proxy.fired());
        clock::pause(Duration::from_millis(10));
    }
    assert!(proxy.fired().contains(&Fault::Pretend), "{:?}", proxy.fired());
    one.child.kill().unwrap();
    proxy.heal();
    one = fleet.start("one");
    python::finish(produce);
    fleet.wait_for(total - u64::from(PARTITIONS));
    assert!(one.metric("accountpulse_transactions_swept_total") >= 1.0, "nothing hung");
    assert_eq!(one.end("-TERM"), Some(0));
    fleet.assert_nothing_open();
    fleet.read().assert_same(&oracle);
}

#[test]
fn a_transaction_that_nobody_knows_is_ended_as_if_it_had_never_been() {
    is_ended(Unheard::All);
}

#[test]
fn positions_that_were_left_out_of_a_commit_follow_it() {
    is_ended(Unheard::Positions);
}
