//! `dead-letters` on a cluster: a producer with another partitioner, noticed, and what it sent put
//! back and applied once.

use accountpulse::clock;
use serde_json::Value;

use super::place::Place;
use crate::process::{history, write_lines};
use crate::support::python::Produce;
use crate::support::{Listener, shared};

/// Above the length with which a value is kept in its letter.
const LONG: usize = 800 * 1024;
const APPLIED: &str = "accountpulse_events_applied_total";
const CONSUMED: &str = "accountpulse_events_consumed_total";

fn json(place: &Place, code: i32, args: &[&str]) -> Value {
    let all = [&["dead-letters"], args, &["-o", "json"]].concat();
    serde_json::from_str(&place.expect(code, "repairer", &all)).unwrap()
}

#[test]
fn what_another_partitioner_misplaced_is_put_back_and_applied_once() {
    let bootstrap = shared().bootstrap(Listener::Plain);
    let place = Place::new(&bootstrap, "misplaced").kafka("workers: 1");
    place.expect(0, "one", &["topics", "create"]);
    let one = place.start("one");
    one.ready();

    let now = clock::wall_ms();
    let mut events = history(40, 30, 400, now);
    // Some whose value is too long for its letter, of which most will be misplaced.
    let padding = format!(",\"note\":\"{}\"}}}}", "x".repeat(LONG));
    for long in events.iter_mut().filter(|event| event.json.ends_with(b"\"}}")).take(6) {
        long.json.truncate(long.json.len() - 2);
        long.json.extend_from_slice(padding.as_bytes());
    }
    let file = place.file("events.jsonl");
    write_lines(&file, events.iter());
    // librdkafka's own default, crc32: the usual cause.
    let producer =
        Produce::to(&bootstrap).topic("*", &place.input_topic()).property("partitioner", "consistent");
    assert_eq!(producer.send(&[&file]), events.len() as u64);
    one.process.wait_for(CONSUMED, |consumed| consumed == events.len() as f64);
    let applied = one.process.metric(APPLIED);
    let rejected = one.process.metric("accountpulse_events_rejected_total");
    assert!(rejected > 100.0 && rejected == events.len() as f64 - applied, "{rejected} of {}", events.len());
    one.ready();

    let groups = json(&place, 0, &["group"]);
    assert_eq!(groups["letters"], rejected as u64, "{groups:#}");
    assert_eq!(groups["groups"][0]["reason"], "wrong_partition");
    let letter = groups["groups"][0]["example"]["letter"].as_str().unwrap();
    let shown = place.expect(0, "repairer", &["dead-letters", "show", letter]);
    assert!(shown.contains("the key belongs to partition") && shown.contains("murmur2"), "{shown}");

    // Some are only referred to, and read from where they stood.
    let listed = json(&place, 0, &["list", "--limit", "1000"]);
    let is_long = |letter: &&Value| letter["bytes"].as_u64().unwrap() > LONG as u64;
    assert!(listed["letters"].as_array().unwrap().iter().filter(is_long).count() > 1, "{listed:#}");
    let dry = json(&place, 0, &["resubmit", "--reason", "wrong_partition", "--dry-run"]);
    assert_eq!((&dry["sent"], &dry["kept"]), (&groups["letters"], &0.into()), "{dry:#}");
    let some = json(&place, 0, &["resubmit", "--limit", "3", "--yes"]);
    assert_eq!(some["sent"], 3, "{some:#}");
    let done = json(&place, 0, &["resubmit", "--reason", "wrong_partition", "--yes"]);
    assert_eq!(done["sent"], groups["letters"], "{done:#}");
    let all = events.len() as f64 + rejected + 3.0;
    one.process.wait_for(CONSUMED, |consumed| consumed == all);
    one.ready();
    // Three were sent twice. What was applied: every event once, or superseded by a later one.
    let sum = |names: &[&str]| -> f64 {
        names.iter().map(|name| one.process.metric(&format!("accountpulse_events_{name}_total"))).sum()
    };
    assert_eq!(
        one.process.metric("accountpulse_events_rejected_total"),
        rejected,
        "nothing is refused again"
    );
    assert_eq!(sum(&["applied", "superseded", "duplicate", "limited", "late"]), events.len() as f64 + 3.0);
    assert!(sum(&["duplicate", "superseded"]) >= 3.0);
    one.stop();
}
