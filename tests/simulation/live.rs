//! One worker by the wall clock: what silence means, what is held, what is refused. No faults by
//! chance here; each test sets up the one thing it is about.

use std::time::Duration;

use accountpulse::engine::EngineConfig;
use accountpulse::engine::partition::partition_of;
use accountpulse::engine::time::{DAY_MS, HOUR_MS, rfc3339};
use accountpulse::log::sim::{SimBroker, SimLog, SimOptions, SimRecord};
use accountpulse::log::{TopicId, TopicPartition};
use accountpulse::worker::format::{Key, ShardRecord, decode};
use accountpulse::worker::{
    BreakerLimits, ClockMode, HEADER_BY_REFERENCE, HEADER_CODE, HEADER_KEY_BY_REFERENCE, HEADER_TIMESTAMP,
    Now, PhaseName, ShardState, Wake, Worker, WorkerCounts, WorkerSettings,
};
use serde_json::Value;
use std::sync::Arc;

use super::history::PARTITIONS;
use super::setup::{CHECKPOINTS, DEAD_LETTERS, RISKS, config, intake, settings, topics};

/// 2026-01-05T00:00:00Z.
const START_MS: i64 = 1_767_571_200_000;
const LATENESS_MS: i64 = 60_000;
/// Time between two steps.
const STEP_MS: i64 = 10 * 60_000;
pub const ACTIVITY: TopicId = TopicId(0);
pub const BUSINESS: TopicId = TopicId(1);

pub struct Live {
    pub broker: SimBroker,
    pub worker: Option<Worker<SimLog>>,
    pub settings: WorkerSettings,
    pub config: Arc<EngineConfig>,
    pub counts: WorkerCounts,
    pub wall_ms: i64,
}

impl Live {
    pub fn new() -> Self {
        let mut options = SimOptions::new(topics());
        // A backlog is read record by record, so that there is time to draw wrong conclusions.
        options.poll_records = 1;
        let mut settings = settings(ClockMode::Wall { lateness_ms: LATENESS_MS });
        settings.poll_wait = Duration::ZERO;
        settings.max_buffered_records = 1;
        settings.commit_timeout_ms = 40 * DAY_MS;
        settings.restore_stall_ms = 40 * DAY_MS;
        settings.audit_restores = true;
        let mut config = EngineConfig::clone(&config());
        config.rules.inactivity.after_days = 2;
        Live {
            broker: SimBroker::new(options),
            worker: None,
            settings,
            config: Arc::new(config),
            counts: WorkerCounts::default(),
            wall_ms: START_MS,
        }
    }

    pub fn start(&mut self) {
        self.worker = Some(self.worker_named("w"));
    }

    pub fn worker_named(&self, name: &str) -> Worker<SimLog> {
        let log = self.broker.member(name);
        Worker::new(log, self.settings.clone(), Arc::clone(&self.config), intake()).unwrap()
    }

    /// One step at the present moment.
    pub fn step(&mut self) -> Wake {
        let worker = self.worker.as_mut().unwrap();
        let wake = worker.step(Now { wall_ms: self.wall_ms });
        self.counts.add(worker.take_counts());
        wake
    }

    /// Steps without letting the clock move by more than a moment.
    pub fn settle(&mut self) {
        for _ in 0..400 {
            self.wall_ms += 60;
            self.step();
        }
    }

    /// Lets time pass, working all the while.
    pub fn pass(&mut self, ms: i64) {
        let end = self.wall_ms + ms;
        while self.wall_ms < end {
            self.wall_ms += STEP_MS;
            for _ in 0..20 {
                self.step();
            }
        }
        self.settle();
    }

    pub fn login(&self, account: &str, at_ms: i64) {
        let value = format!(
            r#"{{"id":"l{at_ms}","account_id":"{account}","occurred_at":"{}","login":{{"user_id":"u1"}}}}"#,
            rfc3339(at_ms)
        );
        self.append(ACTIVITY, account, at_ms, value.as_bytes());
    }

    pub fn append(&self, topic: TopicId, account: &str, at_ms: i64, value: &[u8]) {
        let partition = partition_of(account.as_bytes(), PARTITIONS);
        let record = SimRecord::new(at_ms, account.as_bytes(), value);
        self.broker.append(TopicPartition { topic, partition }, record).unwrap();
    }

    /// A login a day at nine, for these days, with the worker at work until the next morning.
    pub fn daily(&mut self, accounts: &[&str], days: std::ops::Range<i64>) {
        for day in days {
            self.wall_ms = START_MS + day * DAY_MS + 9 * HOUR_MS;
            for account in accounts {
                self.login(account, self.wall_ms);
            }
            self.pass(23 * HOUR_MS);
        }
    }

    /// Accounts with a transition of the rule, in the order told.
    fn told(&self, rule: &str) -> Vec<(String, String)> {
        let records = self.broker.committed_records(RISKS).into_iter();
        let values = records.map(|r| serde_json::from_slice::<Value>(&r.record.value.unwrap()).unwrap());
        let of_rule = values.filter(|value| value["rule"] == rule);
        let text = |value: &Value, field: &str| value[field].as_str().unwrap().to_owned();
        of_rule.map(|value| (text(&value, "account_id"), text(&value, "transition"))).collect()
    }

    pub fn shard_record(&self) -> ShardRecord {
        let key = Key::Shard.bytes(partition());
        let records = self.broker.committed_records(CHECKPOINTS);
        let last = records.into_iter().rfind(|r| r.record.key.as_deref() == Some(&key[..])).unwrap();
        decode(&last.record.value.unwrap()).unwrap()
    }

    pub fn refusal(&self) -> Option<String> {
        let shards = self.worker.as_ref().unwrap().status().shards;
        shards.into_iter().find_map(|shard| match shard.state {
            ShardState::Refused { sentence } => Some(sentence),
            ShardState::Live => None,
        })
    }

    fn clock_of(&self, partition: u32) -> Option<i64> {
        let shards = self.worker.as_ref().unwrap().status().shards;
        shards.into_iter().find(|shard| shard.partition == partition).unwrap().clock_ms
    }
}

/// Two accounts of one shard.
pub fn pair() -> [String; 2] {
    let mut names = (0..).map(|n| format!("acct{n}")).filter(|a| partition_of(a.as_bytes(), PARTITIONS) == 1);
    [names.next().unwrap(), names.next().unwrap()]
}

pub fn partition() -> u32 {
    1
}

#[test]
fn days_down_raise_no_false_inactivity_and_then_the_true_one() {
    let [busy, quiet] = pair();
    let mut live = Live::new();
    live.start();
    live.daily(&[&busy, &quiet], 0..8);
    assert_eq!(live.told("inactivity"), []);
    live.worker = None;
    for day in 8..12 {
        live.login(&busy, START_MS + day * DAY_MS + 9 * HOUR_MS);
    }
    live.wall_ms = START_MS + 11 * DAY_MS + 9 * HOUR_MS + 5 * 60_000;
    live.start();
    // By the wall the busy account has been silent for more than two days, until its backlog is read.
    let stuck_at = live.wall_ms;
    for _ in 0..300 {
        live.wall_ms += 5;
        live.step();
    }
    assert!(live.wall_ms - stuck_at < HOUR_MS);
    live.pass(2 * HOUR_MS);
    assert_eq!(live.told("inactivity"), [(quiet, "started".to_owned())]);
}

#[test]
fn one_lagging_topic_holds_absence_rules_back() {
    let [account, _] = pair();
    let mut live = Live::new();
    live.start();
    live.daily(&[&account], 0..8);
    let lagging = TopicPartition { topic: BUSINESS, partition: partition() };
    live.broker.set_leader(lagging, false).unwrap();
    let before = live.clock_of(partition());
    live.pass(4 * DAY_MS);
    assert_eq!(live.told("inactivity"), [], "nobody knows what the other topic holds");
    assert!(live.clock_of(partition()) <= before.map(|clock| clock + HOUR_MS));
    live.broker.set_leader(lagging, true).unwrap();
    live.pass(2 * HOUR_MS);
    assert_eq!(live.told("inactivity"), [(account, "started".to_owned())]);
}

#[test]
fn a_log_that_does_not_answer_is_not_silence() {
    let [account, _] = pair();
    let mut live = Live::new();
    // Nothing but a wrong conclusion would be committed (and get stuck) while the log is away.
    live.settings.heartbeat_ms = 40 * DAY_MS;
    live.start();
    live.daily(&[&account], 0..8);
    live.broker.set_available(false);
    for day in 8..12 {
        live.login(&account, START_MS + day * DAY_MS + 9 * HOUR_MS);
    }
    live.pass(START_MS + 11 * DAY_MS + 10 * HOUR_MS - live.wall_ms);
    live.broker.set_available(true);
    live.pass(3 * HOUR_MS);
    assert_eq!(live.told("inactivity"), []);
    assert!(live.clock_of(partition()) > Some(START_MS + 11 * DAY_MS), "and time went on");
}

#[test]
fn a_topic_turned_bad_is_held_and_the_rest_goes_on() {
    let [account, _] = pair();
    let mut live = Live::new();
    live.settings.breaker = BreakerLimits { consecutive: 4, ..BreakerLimits::default() };
    live.start();
    live.daily(&[&account], 0..2);
    for _ in 0..10 {
        live.append(BUSINESS, &account, live.wall_ms, b"<xml/>");
    }
    live.settle();
    let clock = live.clock_of(partition());
    live.daily(&[&account], 2..4);
    let status = live.worker.as_ref().unwrap().status();
    let shard = status.shards.iter().find(|shard| shard.partition == partition()).unwrap();
    assert_eq!((shard.held.len(), shard.held[0].topic, shard.held[0].offset), (1, BUSINESS, 3));
    assert_eq!(live.broker.committed_records(DEAD_LETTERS).len(), 3);
    assert_eq!(live.counts.held, 1);
    assert_eq!(live.clock_of(partition()), clock, "silence proves nothing while a topic is held");
    let committed = live.broker.positions();
    let at = TopicPartition { topic: ACTIVITY, partition: partition() };
    let activity = committed.iter().find(|(p, _)| *p == at).unwrap();
    assert_eq!(activity.1.position, 4, "the other topic is still consumed");
}

#[test]
fn a_dead_letter_above_the_cap_is_kept_by_reference() {
    let [account, _] = pair();
    let mut live = Live::new();
    live.settings.max_dead_letter_bytes = 8;
    live.start();
    live.append(ACTIVITY, &account, live.wall_ms, b"{\"small");
    live.append(ACTIVITY, &account, live.wall_ms, b"{\"larger than the cap");
    live.settle();
    let letters = live.broker.committed_records(DEAD_LETTERS);
    let header = |index: usize, name: &str| {
        let headers: &Vec<(String, Vec<u8>)> = &letters[index].record.headers;
        headers.iter().find(|(known, _)| known == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned())
    };
    assert_eq!(letters[0].record.value.as_deref(), Some(&b"{\"small"[..]));
    assert_eq!(header(0, HEADER_BY_REFERENCE), None);
    assert_eq!(letters[1].record.value, None);
    assert_eq!(header(1, HEADER_BY_REFERENCE).as_deref(), Some("21"));
    assert_eq!(header(1, HEADER_CODE).as_deref(), Some("malformed_json"));
    assert_eq!(letters[1].record.key.as_deref(), Some(account.as_bytes()));
}

#[test]
fn a_dead_letter_is_one_that_every_log_takes() {
    let mut live = Live::new();
    live.start();
    let long = "k".repeat(100_000);
    let at = TopicPartition { topic: ACTIVITY, partition: partition() };
    let ahead_ms = live.wall_ms + 30 * DAY_MS;
    live.broker
        .append(
            at,
            SimRecord {
                key: Some(long.clone().into_bytes()),
                value: Some(b"{".to_vec()),
                headers: vec![("content-type".to_owned(), vec![b'x'; 100_000])],
                timestamp_ms: ahead_ms,
            },
        )
        .unwrap();
    live.settle();
    let letters = live.broker.committed_records(DEAD_LETTERS);
    let record = &letters[0].record;
    let header =
        |name: &str| record.headers.iter().find(|(known, _)| known == name).map(|(_, v)| v.as_slice());
    assert_eq!((record.key.as_deref(), record.value.as_deref()), (None, Some(&b"{"[..])));
    assert_eq!(header(HEADER_KEY_BY_REFERENCE), Some(&b"100000"[..]));
    assert_eq!(header(HEADER_TIMESTAMP), Some(ahead_ms.to_string().as_bytes()));
    assert!(record.timestamp_ms < ahead_ms && header("content-type").is_none());
}

#[test]
fn a_graceful_stop_commits_what_was_applied_and_gives_back() {
    let [account, _] = pair();
    let mut live = Live::new();
    live.settings.commit_interval_ms = DAY_MS;
    live.start();
    for _ in 0..200 {
        live.wall_ms += 1;
        live.step();
    }
    live.login(&account, live.wall_ms);
    for _ in 0..20 {
        live.wall_ms += 1;
        live.step();
    }
    live.worker.as_mut().unwrap().request_stop();
    let stopped = (0..40).any(|_| matches!(live.step(), Wake::Stopped));
    assert!(stopped);
    assert_eq!(live.worker.as_ref().unwrap().status().phase, PhaseName::Stopped);
    let at = TopicPartition { topic: ACTIVITY, partition: partition() };
    assert!(live.broker.positions().iter().any(|(p, c)| *p == at && c.position == 1));
    assert!(live.broker.open_transactions().is_empty());
}

#[test]
fn a_changed_config_is_applied_once_and_an_old_one_gives_way() {
    let [account, _] = pair();
    let mut live = Live::new();
    live.start();
    live.daily(&[&account], 0..8);
    live.pass(4 * DAY_MS);
    let started = (account.clone(), "started".to_owned());
    assert_eq!(live.told("inactivity"), std::slice::from_ref(&started));
    assert_eq!(live.shard_record().config_epoch, 1);

    let old = Arc::clone(&live.config);
    let old_epochs = live.worker.as_ref().unwrap().config_epochs().clone();
    let mut changed = EngineConfig::clone(&old);
    changed.rules.inactivity.enabled = false;
    live.worker = None;
    live.config = Arc::new(changed);
    live.start();
    live.pass(2 * HOUR_MS);
    let resolved = (account, "resolved".to_owned());
    assert_eq!(live.told("inactivity"), [started.clone(), resolved.clone()]);
    assert_eq!(live.shard_record().config_epoch, 2);

    live.worker = None;
    live.config = old;
    live.settings.known_epochs = old_epochs;
    live.start();
    live.settle();
    assert!(live.refusal().unwrap().contains("config epoch 2 of another config"), "{:?}", live.refusal());
    assert!(!live.worker.as_ref().unwrap().status().ready);
    assert_eq!(live.told("inactivity"), [started, resolved]);
}

#[test]
fn a_changed_config_is_applied_in_bounded_commits_and_survives_a_crash_between_them() {
    let names = (0..).map(|n| format!("acct{n}")).filter(|a| partition_of(a.as_bytes(), PARTITIONS) == 1);
    let accounts: Vec<String> = names.take(9).collect();
    let mut live = Live::new();
    live.start();
    live.daily(&accounts.iter().map(String::as_str).collect::<Vec<_>>(), 0..8);
    live.pass(4 * DAY_MS);
    assert_eq!(live.told("inactivity").len(), 9);

    let mut changed = EngineConfig::clone(&live.config);
    changed.rules.inactivity.enabled = false;
    live.config = Arc::new(changed);
    live.settings.max_effects = 2;
    live.start();
    let resolved = |live: &Live| live.told("inactivity").len() - 9;
    assert!((0..10_000).any(|_| {
        live.wall_ms += 60;
        live.step();
        resolved(&live) > 0
    }));
    // Scores count as effects too: what one commit takes is less than half of it all.
    assert!(resolved(&live) < 5, "{} in one commit", resolved(&live));
    assert_eq!((live.shard_record().config_epoch, live.shard_record().evaluated), (2, false));

    live.start();
    live.settle();
    let told = live.told("inactivity");
    let mut ended: Vec<&String> =
        told.iter().filter(|(_, transition)| transition == "resolved").map(|(account, _)| account).collect();
    ended.sort();
    let mut all: Vec<&String> = accounts.iter().collect();
    all.sort();
    assert_eq!(ended, all, "each once");
    assert_eq!((live.shard_record().config_epoch, live.shard_record().evaluated), (2, true));
}

#[test]
fn a_wall_clock_that_is_set_back_postpones_nothing() {
    let [account, _] = pair();
    let mut live = Live::new();
    live.settings.round_ms = 100;
    live.start();
    live.daily(&[&account], 0..3);
    let before = (live.counts.commits, live.counts.markers);
    live.wall_ms -= DAY_MS;
    live.login(&account, live.wall_ms);
    live.settle();
    assert!(live.counts.commits > before.0, "what was applied is committed");
    assert!(live.counts.markers > before.1, "and checkpointed");
    assert!(live.clock_of(partition()) > Some(live.wall_ms), "the clock of the shard does not go back");
}
