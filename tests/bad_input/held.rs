//! One partition of one topic turns bad as a whole, in the real program: it is held where it stands,
//! and everything else is consumed and told: the other partitions of that topic, the other topics of
//! that partition.

use std::collections::BTreeSet;

use accountpulse::clock;
use accountpulse::engine::event::Kind as EventKind;
use accountpulse::engine::partition::partition_of;
use accountpulse::engine::time::rfc3339;

use super::kinds::Draft;
use super::mixed::{PARTITIONS, Writing, published};
use super::support::Process;

const BAD_PARTITION: u32 = 2;
/// Bad records, without a good one between them.
const BAD: usize = 300;
/// Of these become dead letters before it is taken for a topic turned bad.
const LETTERS: usize = 99;
/// Good records behind them, which nobody reads.
const BEHIND: usize = 5;
const HOUR_MS: i64 = 3_600_000;

/// An account of a partition.
fn account(partition: u32) -> String {
    let of_partition = |name: &String| partition_of(name.as_bytes(), PARTITIONS) == partition;
    (0..).map(|n| format!("customer-{n}")).find(of_partition).unwrap()
}

fn draft(partition: u32, at_ms: i64, id: &str, body: &str) -> Draft {
    let (account, at) = (account(partition), rfc3339(at_ms));
    let value = format!(r#"{{"id":"{id}","account_id":"{account}","occurred_at":"{at}",{body}}}"#);
    Draft {
        key: Some(account.into_bytes()),
        value: Some(value.into_bytes()),
        headers: Vec::new(),
        timestamp_ms: at_ms,
        partition,
    }
}

fn ticket(partition: u32, at_ms: i64, id: &str) -> Draft {
    let opened = rfc3339(at_ms);
    let body = format!(r#""ticket":{{"id":"{id}","status":"open","opened_at":"{opened}"}}"#);
    draft(partition, at_ms, id, &body)
}

#[test]
fn one_partition_turned_bad_is_held_and_everything_else_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("accountpulse.yaml");
    std::fs::write(&config, "clock:\n  lateness: 0s\n").unwrap();
    let (config, data) = (config.to_str().unwrap(), folder.path().join("data"));
    let now_ms = clock::wall_ms();
    let mut writing = Writing::to(config, &data);
    let mut tickets = String::new();
    for partition in 0..PARTITIONS {
        let (topic, ..) = writing.write(EventKind::Ticket, ticket(partition, now_ms - 3 * HOUR_MS, "first"));
        tickets = topic;
        let rest = if partition == BAD_PARTITION { BAD } else { 0 };
        for n in 0..rest {
            let mut bad = ticket(partition, now_ms - 2 * HOUR_MS, &format!("bad-{n}"));
            bad.value.as_mut().unwrap().pop();
            writing.write(EventKind::Ticket, bad);
        }
        for n in 0..BEHIND {
            writing.write(EventKind::Ticket, ticket(partition, now_ms - 2 * HOUR_MS, &format!("behind-{n}")));
        }
        let unhappy = r#""survey":{"id":"s","type":"nps","score":1,"respondent":"u"}"#;
        writing.write(EventKind::Survey, draft(partition, now_ms - HOUR_MS, "survey", unhappy));
    }
    let records = writing.flush();
    drop(writing);

    let instance = Process::start(&data, &["-c", config]);
    let left = (BAD - LETTERS + BEHIND) as f64;
    instance.wait_for("accountpulse_records_waiting", |waiting| waiting == left);
    instance.wait_for("accountpulse_risks_published_total", |told| told >= f64::from(PARTITIONS - 1));
    let open = format!("accountpulse_breaker_open{{topic=\"{tickets}\",partition=\"{BAD_PARTITION}\"}} 1");
    assert_eq!(instance.metric("accountpulse_breaker_open"), 1.0, "one partition is held");
    assert!(instance.get("/metrics").1.lines().any(|line| line == open), "{open}");
    assert_eq!(instance.metric("accountpulse_events_consumed_total"), records as f64 - left);
    assert_eq!(instance.metric("accountpulse_events_rejected_total"), LETTERS as f64);
    assert_eq!(instance.end("-TERM"), Some(0));

    let (letters, told) = published(&data);
    let places: BTreeSet<_> = letters.iter().map(|letter| letter.place()).collect();
    let first = (1..=LETTERS as u64).map(|offset| (tickets.clone(), BAD_PARTITION, offset));
    assert_eq!(places, first.collect(), "the first of the bad ones, each once");
    assert_eq!(letters.len(), LETTERS);
    let unhappy: BTreeSet<&str> =
        told.risks.values().map(|risk| risk["account_id"].as_str().unwrap()).collect();
    for partition in (0..PARTITIONS).filter(|partition| *partition != BAD_PARTITION) {
        let account = account(partition);
        assert!(
            unhappy.contains(account.as_str()),
            "{account} of partition {partition} is not told: {unhappy:?}"
        );
    }
}
