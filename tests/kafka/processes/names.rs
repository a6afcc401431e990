//! The name of an instance: two processes must not share it, and a process that comes back under
//! its own finds its shards where they were.

use super::place::{Place, bad_survey};
use crate::support::{Listener, shared};

/// A worker got its shards and their state.
const RESTORES: &str = "INFO restored ";

#[test]
fn of_two_processes_with_one_name_one_ends_and_the_other_works() {
    let place = Place::new(&shared().bootstrap(Listener::Plain), "twins").kafka("workers: 2");
    let first = place.start_in("one", "first");
    first.ready();
    let second = place.start_in("one", "second");
    let line = first.lines.wait("error: another process");
    let sentence =
        "another process runs under the instance name one; give each process its own (kafka.instance)";
    assert_eq!(line, format!("error: {sentence}"));
    assert_eq!(first.lines.count("error: another process"), 1, "{}", first.lines.text());
    assert_eq!(first.lines.count("starts again"), 0, "{}", first.lines.text());
    assert_eq!(first.ended(), Some(69));

    second.ready();
    let following = place.follow("risks");
    second.post(&bad_survey("acme"));
    following.lines.wait("acme");
    // Nobody took anything from it: no worker was ever built again.
    assert_eq!(second.lines.count("starts again"), 0, "{}", second.lines.text());
    second.stop();
}

#[test]
fn an_instance_that_is_killed_and_comes_back_in_time_moves_no_shard() {
    let place = Place::new(&shared().bootstrap(Listener::Plain), "returns")
        .kafka("workers: 1")
        .kafka("session_timeout: 30s");
    let one = place.start("one");
    one.ready();
    let two = place.start("two");
    two.ready();
    one.ready();
    let served = |place: &Place| {
        let status: serde_json::Value =
            serde_json::from_str(&place.expect(0, "one", &["status", "-o", "json"])).unwrap();
        let shards = status["shards"].as_array().unwrap().clone();
        shards.iter().map(|shard| shard["member"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = served(&place);
    let changes = two.lines.count("phase=");
    let restores = two.lines.count(RESTORES);
    one.kill();
    let one = place.start("one");
    one.ready();
    let following = place.follow("risks");
    // Every account of theirs is served again, whichever shard it is in.
    for account in ["a", "b", "c", "d", "e", "f"] {
        two.post(&bad_survey(&format!("returned-{account}")));
        following.lines.wait(&format!("returned-{account}"));
    }
    assert_eq!(served(&place), before);
    assert_eq!(two.lines.count(RESTORES), restores, "{}", two.lines.text());
    assert_eq!(two.lines.count("phase="), changes, "{}", two.lines.text());
    assert_eq!(one.lines.count(RESTORES), 1, "{}", one.lines.text());
    one.stop();
    two.stop();
}
