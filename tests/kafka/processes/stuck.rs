//! A call into the client library that does not return: the process says which and leaves, with an exit
//! code of its own, and its successor goes on where the last commit was.

use std::sync::Arc;
use std::time::Duration;

use accountpulse::clock;

use super::place::{Instance, Place, bad_survey};
use crate::support::proxy::{Fault, Proxy, TXN_OFFSET_COMMIT};
use crate::support::{Broker, Listener, Options};

/// Exit code of a process that left because a call hangs.
const STUCK: i32 = 75;
/// A worker that finishes no step for half a minute is not alive; a call may take a minute.
const LONGEST: Duration = Duration::from_secs(90);

/// Waits until the instance says itself that it does not get on.
fn until_not_alive(instance: &Instance<'_>) {
    let began = clock::monotonic();
    loop {
        let (status, said) = instance.process.get("/livez");
        if status == 503 {
            assert!(said.contains("[-] worker: the worker finished no step for"), "{said}");
            return;
        }
        assert!(clock::monotonic().duration_since(began) < LONGEST, "{}", instance.lines.text());
        clock::pause(Duration::from_millis(100));
    }
}

#[test]
fn a_call_that_does_not_return_ends_the_process_and_its_successor_tells_once() {
    let proxy = Proxy::start();
    let broker = Broker::start(Options::plain().behind(proxy.port()));
    proxy.lead_to(broker.port(Listener::Proxied));
    broker.warm_up();
    // The library gives a request of a transaction as long as the transaction has.
    let place = Place::new(&proxy.bootstrap(), "stuck")
        .kafka("workers: 1")
        .kafka("session_timeout: 15m")
        .kafka("transaction_timeout: 10m");
    let instance = place.start("one");
    instance.ready();
    proxy.suffer(|request| (request.api == TXN_OFFSET_COMMIT).then_some(Fault::Swallowed));
    instance.post(&bad_survey("stuck-once"));
    until_not_alive(&instance);
    let lines = Arc::clone(&instance.lines);
    assert_eq!(instance.ended(), Some(STUCK), "{}", lines.text());
    assert!(proxy.fired().contains(&Fault::Swallowed));
    let said = "a call to Kafka did not return within 60 s (adding positions to a transaction); the process must be \
                started again";
    assert_eq!(lines.count(said), 1, "{}", lines.text());

    proxy.heal();
    let instance = place.start("one");
    instance.ready();
    let following = place.follow("risks");
    following.lines.wait("stuck-once");
    instance.post(&bad_survey("stuck-later"));
    following.lines.wait("stuck-later");
    let text = following.lines.text();
    let told = text.lines().filter(|line| line.contains("stuck-once") && line.contains("detractor"));
    assert_eq!(told.count(), 1, "{text}");
    instance.stop();
}
