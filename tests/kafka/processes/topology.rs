//! Topics that change under a running fleet, or between two starts: found soon, named, refused.

use std::time::Duration;

use accountpulse::clock;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;

use super::place::{Instance, PARTITIONS, Place, bad_survey};
use crate::support::{Listener, shared};

/// A change must be noticed within: a look every five seconds, and a session.
const SOON: Duration = Duration::from_secs(45);
/// In this time an instance has asked for the ends more than once.
const ENDS_SEEN: Duration = Duration::from_secs(5);

fn place(name: &str) -> Place {
    Place::new(&shared().bootstrap(Listener::Plain), name).kafka("workers: 1")
}

fn admin<T>(act: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> T) -> T {
    let admin: AdminClient<DefaultClientContext> = shared().config().create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(act(&admin, &options))
}

fn delete(topic: &str) {
    let done = admin(async |admin, options| admin.delete_topics(&[topic], options).await.unwrap());
    assert_eq!(done, [Ok(topic.to_owned())]);
}

/// Ends by itself, soon, with one error that has this in it.
fn ends_with(instance: Instance<'_>, part: &str) {
    let began = clock::monotonic();
    let lines = std::sync::Arc::clone(&instance.lines);
    assert_eq!(instance.ended(), Some(69), "{}", lines.text());
    assert!(clock::monotonic().duration_since(began) < SOON, "{}", lines.text());
    let line = lines.wait("error: ");
    assert!(line.contains(part), "{line}");
}

#[test]
fn a_partition_count_that_is_raised_ends_every_instance_with_the_reason() {
    let place = place("raised");
    place.expect(0, "one", &["topics", "create"]);
    let (one, two) = (place.start("one"), place.start("two"));
    one.ready();
    two.ready();
    one.post(&bad_survey("before"));
    let topic = place.input_topic();
    let raised = NewPartitions::new(&topic, 6);
    admin(async |admin, options| admin.create_partitions(&[raised], options).await.unwrap());
    let sentence = format!("topic {topic} has 6 partitions now, it had {PARTITIONS} at the start");
    ends_with(one, &sentence);
    ends_with(two, &sentence);
    // Neither begins again on them.
    let again = place.ask("one", &["check", "--connect"]);
    assert!(
        again.err.contains(&format!("topic {topic} has 6 partitions, the configuration says 4")),
        "{}",
        again.err
    );
    let data = place.file("data");
    let run = place.ask("one", &["run", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert_eq!(run.code, Some(69), "{}", run.err);
}

/// Some events, handled.
fn tell(instance: &Instance<'_>, name: &str) {
    (0..20).for_each(|index| instance.post(&bad_survey(&format!("{name}-{index}"))));
    instance.process.wait_for("accountpulse_events_consumed_total", |consumed| consumed == 20.0);
    instance.process.settle();
}

#[test]
fn a_topic_that_is_made_anew_under_a_running_instance_ends_it_with_the_reason() {
    let place = place("anew");
    place.expect(0, "one", &["topics", "create"]);
    let one = place.start("one");
    one.ready();
    // The ends are asked for once a second: these must have been seen.
    let (began, mut told) = (clock::monotonic(), 0);
    while told < 20 || clock::monotonic().duration_since(began) < ENDS_SEEN {
        one.post(&bad_survey(&format!("before-{told}")));
        told += 1;
    }
    one.process.wait_for("accountpulse_events_consumed_total", |consumed| consumed == f64::from(told));
    one.until(200, "[+] caught-up: ok");
    delete(&place.input_topic());
    shared().create_topic(&place.input_topic(), PARTITIONS, &[]);
    let topic = format!("topic {}", place.input_topic());
    ends_with(one, &topic);
}

#[test]
fn a_topic_that_was_made_anew_between_two_starts_is_refused() {
    let place = place("replaced");
    place.expect(0, "one", &["topics", "create"]);
    let one = place.start("one");
    one.ready();
    tell(&one, "before");
    one.stop();
    delete(&place.input_topic());
    shared().create_topic(&place.input_topic(), PARTITIONS, &[]);
    let again = place.start("one");
    // The cluster forgets the positions together with the topic.
    let line = again.lines.wait("and the group has none: the topic was deleted and created anew");
    assert!(line.contains(&format!("wrote the positions of {}", place.input_topic())), "{line}");
    again.until(503, "[-] restored");
    again.stop();
}

#[test]
fn state_of_other_settings_is_refused_and_the_right_ones_go_on() {
    let place = place("settings");
    place.expect(0, "one", &["topics", "create"]);
    let one = place.start("one");
    one.ready();
    tell(&one, "before");
    one.stop();
    let other = place.more("day_offset: 2h\n");
    let shifted = other.start("one");
    shifted.lines.wait("the state was written with another day offset or other limits");
    shifted.until(503, "[-] restored");
    shifted.stop();
    let other = other.more("");
    let mapped = other.input("settings.other.v1");
    mapped.expect(0, "one", &["topics", "create"]);
    let renamed = mapped.start("one");
    let line = renamed.lines.wait("where the configuration now has settings.other.v1");
    assert!(line.contains("input topic settings.events.v1"), "{line}");
    renamed.until(503, "[-] restored");
    renamed.stop();
    let right = mapped.input("");
    let one = right.start("one");
    one.ready();
    one.post(&bad_survey("after"));
    one.process.wait_for("accountpulse_events_applied_total", |applied| applied == 1.0);
    one.stop();
}
