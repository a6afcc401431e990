//! `check`, `topics`, `status`, `tail` and `explain` on a cluster.

use std::collections::BTreeSet;

use accountpulse::clock;
use serde_json::Value;

use super::place::{PARTITIONS, Place, TOPICS, bad_survey};
use crate::process::{history, write_lines};
use crate::support::python::Produce;
use crate::support::{Listener, shared};

fn place(name: &str) -> Place {
    Place::new(&shared().bootstrap(Listener::Plain), name).kafka("workers: 1")
}

fn lines_with(text: &str, part: &str) -> usize {
    text.lines().filter(|line| line.contains(part)).count()
}

#[test]
fn topics_are_made_once_and_checked() {
    let place = place("fresh");
    let missing = place.ask("one", &["check", "--connect"]);
    assert_eq!(missing.code, Some(3), "{}", missing.err);
    assert_eq!(
        lines_with(&missing.err, "does not exist; run: accountpulse topics create"),
        TOPICS,
        "{}",
        missing.err
    );
    assert!(missing.err.contains("error: topic fresh.events.v1 does not exist"), "{}", missing.err);

    let would = place.expect(0, "one", &["topics", "create", "--dry-run"]);
    assert_eq!(lines_with(&would, "would create fresh."), TOPICS, "{would}");
    let list = place.expect(3, "one", &["topics", "list"]);
    assert_eq!(lines_with(&list, "missing"), TOPICS, "{list}");

    let made = place.expect(0, "one", &["topics", "create"]);
    assert_eq!(lines_with(&made, "created fresh."), TOPICS, "{made}");
    assert!(made.ends_with("5 created, 0 were there and are right\n"), "{made}");
    let again = place.expect(0, "one", &["topics", "create"]);
    assert_eq!(again, "0 created, 5 were there and are right\n");
    assert_eq!(place.expect(0, "one", &["topics", "create", "--dry-run"]), "");
    let list = place.expect(0, "one", &["topics", "list"]);
    assert_eq!(lines_with(&list, "partitions 4"), TOPICS, "{list}");
    assert_eq!(lines_with(&list, "cleanup compact"), 2, "{list}");

    let right = place.ask("one", &["check", "--connect"]);
    assert_eq!((right.code, right.err.as_str()), (Some(0), ""));
    assert!(right.out.ends_with(": ok\n") && right.out.lines().count() == 2, "{}", right.out);
}

#[test]
fn topics_that_are_wrong_are_named_and_nothing_is_made() {
    let place = place("wrong");
    shared().create_topic("wrong.events.v1", PARTITIONS - 1, &[]);
    shared().create_topic("wrong.scores.v1", PARTITIONS, &[("cleanup.policy", "delete")]);
    let parts = [
        "error: topic wrong.events.v1 has 3 partitions, the configuration says 4",
        "error: topic wrong.scores.v1 has cleanup.policy=delete: it would delete state that recovery needs",
    ];
    for command in [&["check", "--connect"][..], &["topics", "list"], &["topics", "create"]] {
        let said = place.ask("one", command);
        assert_eq!(said.code, Some(3), "{command:?}: {}", said.err);
        for part in parts {
            assert_eq!(lines_with(&said.err, part), 1, "{command:?}: {}", said.err);
        }
    }
    assert_eq!(lines_with(&place.expect(3, "one", &["topics", "list"]), "missing"), TOPICS - 2);
    // An instance does not begin on them either, and says the same.
    let data = place.file("data");
    let run = place.ask("one", &["run", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert_eq!(run.code, Some(69), "{}", run.err);
    assert!(parts.iter().all(|part| run.err.contains(part.trim_start_matches("error: "))), "{}", run.err);
}

/// `status -o json`.
fn status(place: &Place, code: i32) -> Value {
    serde_json::from_str(&place.expect(code, "asker", &["status", "-o", "json"])).unwrap()
}

/// Asks for the status until it is as wanted.
fn status_until(place: &Place, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..300 {
        let said = place.ask("asker", &["status", "-o", "json"]);
        assert!(matches!(said.code, Some(0 | 10)), "{}", said.err);
        let status: Value = serde_json::from_str(&said.out).unwrap();
        if wanted(&status) {
            return status;
        }
    }
    panic!("{what} does not happen: {:#}", status(place, 0));
}

fn owners(status: &Value) -> Vec<&str> {
    let shards = status["shards"].as_array().unwrap();
    shards.iter().map(|shard| shard["member"].as_str().unwrap_or("nobody")).collect()
}

#[test]
fn status_tail_and_explain_tell_what_two_instances_do() {
    let place = place("told");
    place.expect(0, "asker", &["topics", "create"]);
    assert_eq!(owners(&status(&place, 10)), ["nobody"; PARTITIONS as usize]);
    let [one, two] = ["one", "two"].map(|name| place.start(name));
    one.ready();
    two.ready();

    let now = clock::wall_ms();
    let events = history(12, 60, 2_000, now);
    let file = place.file("events.jsonl");
    write_lines(&file, events.iter());
    let sent =
        Produce::to(&shared().bootstrap(Listener::Plain)).topic("*", &place.input_topic()).send(&[&file]);
    assert_eq!(sent, events.len() as u64);
    let done = status_until(&place, "handling all", |status| {
        let shards = status["shards"].as_array().unwrap();
        shards
            .iter()
            .all(|shard| shard["lag"] == 0 && shard["member"].is_string() && shard["commit"].is_u64())
    });
    let names: Vec<&str> =
        done["members"].as_array().unwrap().iter().map(|m| m["member"].as_str().unwrap()).collect();
    assert_eq!((names, &done["group"]), (vec!["one-0", "two-0"], &Value::from("told")));
    assert!(done["members"].as_array().unwrap().iter().all(|m| m["shards"].as_array().unwrap().len() == 2));
    for shard in done["shards"].as_array().unwrap() {
        let clock_ms = shard["clock_ms"].as_i64().unwrap();
        assert!(clock_ms > now - 7 * 86_400_000 && clock_ms <= clock::wall_ms(), "{shard}");
        assert!(shard["newest_event_ms"].as_i64().unwrap() <= now, "{shard}");
    }
    let text = place.expect(0, "asker", &["status"]);
    assert!(text.starts_with("group told: 2 members\n  one-0   127.0.0.1  shards "), "{text}");

    prints(&place, &one.lines.text());
    let used = place.ask("two", &["check", "--connect"]);
    assert_eq!(used.code, Some(0), "{}", used.err);
    let warning = "warning: a process at 127.0.0.1 runs under the instance name two";
    assert!(used.err.starts_with(warning) && used.err.lines().count() == 1, "{}", used.err);
    assert_eq!(place.ask("three", &["check", "--connect"]).err, "");

    let following = place.follow("risks");
    one.post(&bad_survey("followed"));
    let line: Value = serde_json::from_str(&following.lines.wait("followed")).unwrap();
    assert_eq!((&line["value"]["rule"], &line["key"]), (&"detractor".into(), &"followed".into()));

    one.stop();
    let moved = status_until(&place, "moving", |status| owners(status) == ["two-0"; PARTITIONS as usize]);
    assert_eq!(moved["members"].as_array().unwrap().len(), 1, "{moved:#}");
    two.post(&bad_survey("taken-over"));
    following.lines.wait("taken-over");
    two.stop();
    let left = status_until(&place, "leaving", |status| status["members"].as_array().unwrap().is_empty());
    assert_eq!(owners(&left), ["nobody"; PARTITIONS as usize]);
    place.expect(10, "asker", &["status"]);
}

/// `tail scores` and `explain` of what is published.
fn prints(place: &Place, log: &str) {
    let scores = place.expect(0, "asker", &["tail", "scores", "--last", "3"]);
    let lines: Vec<Value> = scores.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for partition in 0..PARTITIONS {
        let of = lines.iter().filter(|line| line["partition"] == partition).count();
        assert!(of <= 3, "{of} of partition {partition}");
    }
    let accounts: BTreeSet<&str> = lines.iter().map(|line| line["key"].as_str().unwrap()).collect();
    let account = accounts.first().unwrap_or_else(|| panic!("no score is published: {log}"));
    let newest = lines.iter().rfind(|line| line["key"] == *account).unwrap();
    let text = place.expect(0, "asker", &["explain", account]);
    assert!(text.contains(&format!("({account}): score ")), "{text}");
    assert!(text.contains("What the score of") || newest["value"]["score_hundredths"].is_null(), "{text}");
    let whole: Value =
        serde_json::from_str(&place.expect(0, "asker", &["explain", account, "-o", "json"])).unwrap();
    assert_eq!(whole["score"], newest["value"]);
    let nobody = place.ask("asker", &["explain", "nobody-at-all"]);
    assert_eq!(nobody.code, Some(1), "{}", nobody.err);
    assert!(
        nobody.err.starts_with("error: nothing is known about account `nobody-at-all`"),
        "{}",
        nobody.err
    );
}
