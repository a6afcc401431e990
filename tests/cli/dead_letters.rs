//! `dead-letters` on the embedded log: found, shown and put back, by a running instance and in a
//! data directory at rest.

use accountpulse::app::running;
use accountpulse::clock;
use accountpulse::config::Config;
use accountpulse::engine::event::Kind;
use accountpulse::engine::partition::partition_of;
use accountpulse::engine::time::rfc3339;
use accountpulse::ingest::put_back::PutBack;
use accountpulse::log::{AppendRecord, TopicPartition};
use serde_json::{Value, json};

use crate::support::{Process, expect, run};

const PARTITIONS: u32 = 4;
const HOUR_MS: i64 = 3_600_000;
/// What is no event, and what a terminal would obey.
const GARBAGE: &[u8] = b"\xff\x00\x1b[2J";
/// Above the length with which a value is kept in its letter.
const LONG: usize = 800 * 1024;

/// One installation with records of a producer that is not ours.
struct Place {
    folder: tempfile::TempDir,
    config: Config,
    at_ms: i64,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = folder.path().join("data");
        Place { folder, config, at_ms: clock::wall_ms() - 2 * HOUR_MS }
    }

    fn data(&self) -> String {
        self.folder.path().join("data").to_str().unwrap().to_owned()
    }

    /// Writes records to the input topics, as a producer of a cluster does.
    fn write(&self, records: Vec<(Kind, u32, &str, Vec<u8>)>) {
        let opened = running::open(self.config.clone()).unwrap();
        let topics = opened.log.topics().clone();
        let record = |(kind, partition, key, value): (Kind, u32, &str, Vec<u8>)| AppendRecord {
            at: TopicPartition { topic: topics.input(kind), partition },
            key: Some(key.as_bytes().to_vec()),
            value: Some(value),
            headers: vec![("traceparent".to_owned(), b"00-1".to_vec()), ("tried".to_owned(), vec![0xfe])],
            timestamp_ms: self.at_ms,
        };
        opened.log.write(records.into_iter().map(record).collect()).unwrap();
    }

    fn letters(&self, args: &[&str]) -> Value {
        let data = self.data();
        let all = [&["dead-letters", "list", "-o", "json", "--data", &data], args].concat();
        serde_json::from_str(&expect(0, &all)).unwrap()
    }

    /// Which letters these arguments mean.
    fn places(&self, args: &[&str]) -> Vec<String> {
        let listed = self.letters(args);
        let letters = listed["letters"].as_array().unwrap();
        letters.iter().map(|letter| letter["letter"].as_str().unwrap().to_owned()).collect()
    }

    /// Puts back what these arguments mean.
    fn resubmit(&self, code: i32, args: &[&str]) -> Value {
        let data = self.data();
        let all = [&["dead-letters", "resubmit", "-o", "json", "--data", &data], args].concat();
        serde_json::from_str(&expect(code, &all)).unwrap()
    }
}

/// The partition after the one where the key belongs.
fn beside(key: &str) -> u32 {
    (partition_of(key.as_bytes(), PARTITIONS) + 1) % PARTITIONS
}

fn invoice(account: &str, at_ms: i64, more: &str) -> Vec<u8> {
    let at = rfc3339(at_ms);
    format!(
        r#"{{"id":"i-{account}","account_id":"{account}","occurred_at":"{at}","invoice":{{"id":"i","amount_minor":1,"currency":"EUR","issued_at":"{at}","due_at":"{at}"}}{more}}}"#
    )
    .into_bytes()
}

fn login(account: &str, id: &str, at_ms: i64) -> Vec<u8> {
    let at = rfc3339(at_ms);
    format!(r#"{{"id":"{id}","account_id":"{account}","occurred_at":"{at}","login":{{"user_id":"u"}}}}"#)
        .into_bytes()
}

const REJECTED: &str = "accountpulse_events_rejected_total";
const APPLIED: &str = "accountpulse_events_applied_total";

/// A wrong partitioner, a clock that was ahead, garbage, a long value, and a late count.
fn refused() -> Place {
    let place = Place::new();
    let at_ms = place.at_ms;
    let own = |key: &str| partition_of(key.as_bytes(), PARTITIONS);
    let padded = invoice("long", at_ms, &format!(r#","note":"{}""#, "x".repeat(LONG)));
    place.write(vec![
        (Kind::Invoice, beside("moved"), "moved", invoice("moved", at_ms, "")),
        (Kind::Login, own("ahead"), "ahead", login("ahead", "l", at_ms + HOUR_MS)),
        (Kind::Usage, 2, "garbage", GARBAGE.to_vec()),
        (Kind::Invoice, beside("long"), "long", padded),
        (Kind::Login, own("late"), "late", login("late", "new", at_ms)),
        (Kind::Login, own("late"), "late", login("late", "old", at_ms - 300 * HOUR_MS)),
    ]);
    place
}

#[test]
fn what_was_refused_is_found_shown_and_put_back_once() {
    let place = refused();
    let data = place.data();
    let instance = Process::start(&place.config.storage.data_dir, &[]);
    instance.wait_for(REJECTED, |rejected| rejected == 4.0);
    instance.wait_for("accountpulse_events_late_total", |late| late == 1.0);
    instance.settle();
    assert_eq!(instance.metric(APPLIED), 1.0);

    found_and_shown(&place);

    // Nothing happens unasked.
    let unsure = run(&["dead-letters", "resubmit", "--data", &data]);
    let said = String::from_utf8_lossy(&unsure.stderr).into_owned();
    assert_eq!(unsure.status.code(), Some(2), "{said}");
    assert!(said.contains("5 letters are meant and nothing was done; add --dry-run"), "{said}");
    let dry = place.resubmit(3, &["--dry-run"]);
    assert_eq!((&dry["sent"], &dry["kept"]), (&json!(4), &json!(1)), "{dry:#}");
    let why = dry["kept_by_reason"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("would be refused again as malformed_"), "{why}");
    assert_eq!(place.letters(&[])["matched"], 5);

    let done = place.resubmit(3, &["--yes"]);
    assert_eq!((&done["sent"], &done["kept"]), (&json!(4), &json!(1)), "{done:#}");
    assert_eq!(done["sent_by_topic"]["accountpulse.invoices.v1"], 2);
    instance.wait_for(APPLIED, |applied| applied == 4.0);
    // The late one comes back, and says so.
    instance.wait_for("accountpulse_events_late_total", |late| late == 2.0);
    instance.settle();
    let late = place.letters(&["--reason", "late"]);
    assert_eq!(late["matched"], 2, "{late:#}");
    let (older, newer) = (&late["letters"][0], &late["letters"][1]);
    assert_eq!(newer["resubmitted_from"], older["letter"], "{late:#}");

    // A second time: what failed again is passed over, what was accepted changes nothing.
    let again = place.resubmit(0, &["--reason", "wrong_partition", "--yes"]);
    assert_eq!(again["sent"], 2, "{again:#}");
    let passed = place.resubmit(0, &[older["letter"].as_str().unwrap(), "--yes"]);
    assert_eq!((&passed["sent"], &passed["refused_again"][0]["newer"]), (&json!(0), &newer["letter"]));
    instance.settle();
    assert_eq!(instance.metric(APPLIED), 4.0, "an event that is sent again changed something");
    assert_eq!(place.letters(&[])["matched"], 6);
    assert_eq!(instance.end("-TERM"), Some(0));

    at_rest(&place);
}

fn found_and_shown(place: &Place) {
    let data = place.data();
    assert_eq!(place.letters(&[])["matched"], 5);
    assert_eq!(place.letters(&["--limit", "2"])["letters"].as_array().unwrap().len(), 2);
    let by = |args: &[&str]| place.letters(args)["matched"].as_u64().unwrap();
    assert_eq!(by(&["--reason", "wrong_partition"]), 2);
    assert_eq!(by(&["--reason", "wrong_partition", "--reason", "late"]), 3);
    assert_eq!(by(&["--topic", "accountpulse.invoices.v1", "--account", "long"]), 1);
    assert_eq!(by(&["--partition", "2", "--account", "garbage"]), 1);
    assert_eq!((by(&["--since", "1h"]), by(&["--since", "5h", "--until", "1h"])), (0, 5));
    let table = expect(0, &["dead-letters", "list", "--data", &data]);
    assert!(table.starts_with("LETTER ") && table.lines().count() == 6, "{table}");
    let wrong = run(&["dead-letters", "list", "--reason", "nonsense", "--data", &data]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("the codes are malformed_json,"));

    let groups = expect(0, &["dead-letters", "group", "--data", &data]);
    assert!(groups.starts_with("wrong_partition in accountpulse.invoices.v1: 2 letters\n"), "{groups}");
    assert!(groups.contains("next: set the producer's partitioner to murmur2"), "{groups}");
    let groups: Value =
        serde_json::from_str(&expect(0, &["dead-letters", "group", "-o", "json", "--data", &data])).unwrap();
    assert_eq!((&groups["letters"], groups["groups"].as_array().unwrap().len()), (&json!(5), 4));

    let show = |account: &str, form: &str| {
        let letter = place.places(&["--account", account]).remove(0);
        run(&["dead-letters", "show", &letter, "--as", form, "--data", &data])
    };
    assert_eq!(show("garbage", "raw").stdout, GARBAGE);
    let garbage = String::from_utf8(show("garbage", "auto").stdout).unwrap();
    assert!(garbage.contains("00000000  ff 00 1b 5b 32 4a ") && !garbage.contains('\x1b'), "{garbage}");
    let moved = String::from_utf8(show("moved", "auto").stdout).unwrap();
    assert!(moved.contains("  header    traceparent: 00-1\n  header    tried: 0xfe\n"), "{moved}");
    assert!(moved.contains(std::str::from_utf8(&invoice("moved", place.at_ms, "")).unwrap()), "{moved}");
    let long = show("long", "raw");
    assert_eq!(long.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&long.stderr).contains("was left out for its length; it stands at"));
    let nobody = run(&["dead-letters", "show", "0/4711", "--data", &data]);
    assert_eq!(nobody.status.code(), Some(1));
}

/// The same on the data directory alone.
fn at_rest(place: &Place) {
    let data = place.data();
    assert_eq!(place.letters(&[])["matched"], 6);
    let moved = place.places(&["--account", "moved"]);
    let named: Vec<&str> = moved.iter().map(String::as_str).chain(["3/4711", "--yes"]).collect();
    let done = place.resubmit(3, &named);
    assert_eq!((&done["sent"], &done["kept"]), (&json!(1), &json!(1)), "{done:#}");
    assert!(done["kept_by_reason"][0]["why"].as_str().unwrap().starts_with("there is no dead letter at"));
    let instance = Process::start(&place.config.storage.data_dir, &[]);
    instance.wait_for("accountpulse_events_consumed_total", |consumed| consumed == 1.0);
    instance.settle();
    assert_eq!(instance.metric(APPLIED), 0.0);

    // The record that was written is the record that was refused.
    assert_eq!(instance.end("-TERM"), Some(0));
    let opened = running::open(place.config.clone()).unwrap();
    let topic = opened.log.topics().input(Kind::Invoice);
    let at = TopicPartition { topic, partition: partition_of(b"moved", PARTITIONS) };
    let end = opened.log.watermarks(at).unwrap().end;
    let stored = accountpulse::ingest::Store::input_record(
        &opened.log,
        "accountpulse.invoices.v1",
        at.partition,
        end - 1,
    );
    let stored = stored.unwrap().unwrap();
    assert_eq!((stored.key.as_deref(), stored.timestamp_ms), (Some(&b"moved"[..]), place.at_ms));
    assert_eq!(stored.value.unwrap(), invoice("moved", place.at_ms, ""));
    let from = format!("accountpulse.dead-letters.v1/{}", moved[0]);
    let headers = [
        ("traceparent".to_owned(), b"00-1".to_vec()),
        ("tried".to_owned(), vec![0xfe]),
        ("accountpulse.resubmitted.from".to_owned(), from.into_bytes()),
    ];
    assert_eq!(stored.headers, headers);
    drop(opened);
    assert_eq!(run(&["dead-letters", "group", "--data", &data]).status.code(), Some(0));
}

#[test]
fn a_list_of_letters_that_is_none_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let instance = Process::start(folder.path(), &[]);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/v1/dead-letters/resubmit", instance.url);
    let many = PutBack { letters: vec!["0/1".parse().unwrap(); 1_001], dry_run: true };
    let bodies = [
        ("{\"letters\":[\"0-1\"]}".to_owned(), "a dead letter is named by partition/offset"),
        ("{\"letter\":[]}".to_owned(), "unknown field `letter`"),
        (serde_json::to_string(&many).unwrap(), "a request may name 1000 letters"),
    ];
    for (body, part) in bodies {
        let mut answer = agent.post(&url).header("content-type", "application/json").send(&body).unwrap();
        let said = answer.body_mut().read_to_string().unwrap();
        assert!(answer.status() == 400 && said.contains(part), "{said}");
    }
    assert_eq!(instance.end("-TERM"), Some(0));
}
