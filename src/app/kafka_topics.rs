//! The topics of a cluster: what they should be, what is wrong with those that are there, and
//! making those that are missing. Judging is pure; every finding is one sentence with the next step.

use std::time::Duration;

use super::kafka_link::KafkaLink;
use super::topics::TopicTable;
use crate::config::Config;
use crate::log::TopicId;
use crate::log::kafka::{KafkaError, Made, NewTopic, TopicFound, TopicState};

/// Longest wait for the cluster's answer to one request.
pub const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Shortest retention of events with which recovery can be trusted: two rounds of checkpoints must
/// have been closed since, also by an instance that was down for a weekend.
const RETENTION_MIN: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// What a topic must take: the client's own limit for a batch, with its frame. Kafka's default is
/// above it.
const RECORD_BYTES: u64 = 1_000_512;
/// Copies that must have a record before it counts, where there are that many.
const IN_SYNC: u32 = 2;

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Input,
    Newest,
    History,
}

fn purpose(topics: &TopicTable, index: usize) -> Purpose {
    let outputs = [topics.outputs.scores, topics.outputs.checkpoints];
    if index < topics.inputs.len() {
        Purpose::Input
    } else if outputs.iter().any(|topic: &TopicId| usize::from(topic.0) == index) {
        Purpose::Newest
    } else {
        Purpose::History
    }
}

/// All topics as `create` makes them, by number.
pub fn wanted(config: &Config, topics: &TopicTable) -> Vec<NewTopic> {
    let kept = &config.storage;
    let replication = config.kafka.replication;
    let make = |(index, name): (usize, &String)| {
        let mut settings = vec![("min.insync.replicas", replication.min(IN_SYNC).to_string())];
        match purpose(topics, index) {
            Purpose::Newest => settings.extend(COMPACTED.map(|(key, value)| (key, value.to_owned()))),
            purpose => {
                let dead_letters = usize::from(topics.outputs.dead_letters.0) == index;
                let retention = match purpose {
                    Purpose::Input => kept.retention_events,
                    _ if dead_letters => kept.retention_dead_letters,
                    _ => kept.retention_risks,
                };
                settings.push(("cleanup.policy", "delete".to_owned()));
                // Retention goes by the record's time: by the time of the event, what a back-fill of
                // old history reads and tells would be deleted as soon as it is written.
                settings.push(("message.timestamp.type", "LogAppendTime".to_owned()));
                settings.push(("retention.ms", retention.as_millis().to_string()));
            }
        }
        NewTopic { name: name.clone(), partitions: config.kafka.partitions, replication, settings }
    };
    topics.names.iter().enumerate().map(make).collect()
}

/// Settings of topics that keep the newest record per key. The active segment is never compacted:
/// rolling it once a day bounds how long an erased value stays.
const COMPACTED: [(&str, &str); 6] = [
    ("cleanup.policy", "compact"),
    ("min.cleanable.dirty.ratio", "0.3"),
    ("segment.bytes", "67108864"),
    ("segment.ms", "86400000"),
    ("max.compaction.lag.ms", "86400000"),
    ("delete.retention.ms", "86400000"),
];

/// What is wrong with the topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Names of those that are missing.
    pub missing: Vec<String>,
    /// With these nothing runs.
    pub wrong: Vec<String>,
    /// With these it runs, and somebody should know.
    pub warnings: Vec<String>,
}

/// Judges what was found against the configuration.
pub fn judge(config: &Config, topics: &TopicTable, found: &[TopicFound]) -> Findings {
    let mut findings = Findings::default();
    for (index, topic) in found.iter().enumerate() {
        match &topic.state {
            TopicState::Missing => findings.missing.push(topic.name.clone()),
            TopicState::Denied(sentence) => findings.wrong.push(sentence.clone()),
            TopicState::Found { partitions, settings, replication } => {
                let name = &topic.name;
                let expected = config.kafka.partitions;
                if *partitions != expected {
                    findings.wrong.push(format!(
                        "topic {name} has {partitions} partitions, the configuration says {expected}: all topics need \
                         the same number; create it anew with {expected}, or set kafka.partitions to {partitions} \
                         if every topic has that many"
                    ));
                }
                let setting = |key: &str| settings.get(key).map_or("", String::as_str);
                policy(&mut findings, name, purpose(topics, index), setting("cleanup.policy"));
                if purpose(topics, index) == Purpose::Input {
                    retention(&mut findings, name, setting("retention.ms"));
                } else {
                    sizes(&mut findings, name, setting("max.message.bytes"));
                }
                if purpose(topics, index) == Purpose::History
                    && setting("message.timestamp.type") == "CreateTime"
                {
                    findings.warnings.push(format!(
                        "topic {name} has message.timestamp.type=CreateTime: what is told about old history is as old as \
                         that for its retention, and may be deleted at once; set LogAppendTime"
                    ));
                }
                if *replication > 1 && setting("min.insync.replicas") == "1" {
                    findings.warnings.push(format!(
                        "topic {name} has {replication} copies and min.insync.replicas=1: what was acknowledged can be \
                         lost with one broker; set min.insync.replicas=2"
                    ));
                }
            }
        }
    }
    findings
}

fn policy(findings: &mut Findings, name: &str, purpose: Purpose, policy: &str) {
    if policy.is_empty() {
        return; // the cluster did not say
    }
    let right = if purpose == Purpose::Newest { policy == "compact" } else { !policy.contains("compact") };
    if right {
        return;
    }
    findings.wrong.push(match purpose {
        Purpose::Newest => format!(
            "topic {name} has cleanup.policy={policy}: it would delete state that recovery needs; \
             set cleanup.policy=compact"
        ),
        Purpose::Input | Purpose::History => format!(
            "topic {name} has cleanup.policy={policy}: compaction keeps one record per account and loses the others; \
             set cleanup.policy=delete"
        ),
    });
}

/// A record that a topic does not take would stop its shard for good.
fn sizes(findings: &mut Findings, name: &str, max_message_bytes: &str) {
    let Ok(taken) = max_message_bytes.parse::<u64>() else { return };
    if taken < RECORD_BYTES {
        findings.wrong.push(format!(
            "topic {name} has max.message.bytes={taken}: we write records and batches of up to {RECORD_BYTES}; \
             set it to {RECORD_BYTES} or more"
        ));
    }
}

fn retention(findings: &mut Findings, name: &str, retention_ms: &str) {
    let Ok(kept_ms) = retention_ms.parse::<i64>() else { return };
    let least_ms = i64::try_from(RETENTION_MIN.as_millis()).unwrap_or(i64::MAX);
    if (0..least_ms).contains(&kept_ms) {
        findings.warnings.push(format!(
            "topic {name} keeps events for {} h: an instance that is down for longer cannot recover what was deleted; \
             set retention.ms to at least {least_ms}",
            kept_ms / 3_600_000
        ));
    }
}

/// What `ensure` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ensured {
    /// Topics that were made.
    pub made: Vec<String>,
    /// See [`Findings::warnings`].
    pub warnings: Vec<String>,
}

/// Why the topics are not as they must be.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The cluster did not answer.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// They are wrong; one sentence each.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
    /// Some are not there, and are not made; one sentence each. A broker that has just begun, or a topic
    /// that was just made by somebody else, looks the same for a moment.
    #[error("{}", .0.join("\n"))]
    Missing(Vec<String>),
}

/// Checks all topics and, if `create`, makes those that are missing.
pub fn ensure(link: &KafkaLink, config: &Config, create: bool) -> Result<Ensured, TopicsError> {
    let found = link.cluster.describe(ANSWER_WAIT)?;
    let findings = judge(config, &link.topics, &found);
    let (mut wrong, mut lacking, mut made) = (findings.wrong, Vec::new(), Vec::new());
    if !create {
        lacking.extend(findings.missing.iter().map(|name| missing(name)));
    } else if wrong.is_empty() && !findings.missing.is_empty() {
        let mut new = wanted(config, &link.topics);
        new.retain(|topic| findings.missing.contains(&topic.name));
        for (name, outcome) in link.cluster.create(&new, false, ANSWER_WAIT)? {
            match outcome {
                Ok(Made::Created) => made.push(name),
                Ok(Made::Existed) => {} // another instance was faster
                Err(sentence) => lacking.push(sentence),
            }
        }
    }
    if !wrong.is_empty() {
        wrong.append(&mut lacking);
        Err(TopicsError::Wrong(wrong))
    } else if !lacking.is_empty() {
        Err(TopicsError::Missing(lacking))
    } else {
        Ok(Ensured { made, warnings: findings.warnings })
    }
}

/// What changed about the topics since the start, that nothing can go on with; `None`: nothing.
pub fn changed(partitions: u32, found: &[TopicFound]) -> Option<String> {
    found.iter().find_map(|topic| match topic.state {
        TopicState::Found { partitions: now, .. } if now != partitions => Some(format!(
            "topic {} has {now} partitions now, it had {partitions} at the start: what is keyed from now on goes to \
             other partitions than the state of its account. Nothing is lost: what came meanwhile stands in \
             the topics, and in the dead letters if it was misplaced. Stop the producers, create topics with {now} partitions under another \
             topics.prefix, copy the events into them by key, and start with another kafka.group",
            topic.name
        )),
        _ => None,
    })
}

/// Names of topics that are gone.
pub fn gone(found: &[TopicFound]) -> Vec<&str> {
    let is_gone = |topic: &&TopicFound| topic.state == TopicState::Missing;
    found.iter().filter(is_gone).map(|topic| topic.name.as_str()).collect()
}

/// The sentence about topics that were deleted under a running instance.
pub fn deleted(names: &[&str]) -> String {
    format!(
        "{} was deleted while it was in use: positions and state belong to records that are gone. Create it again, \
         and start with another kafka.group and another topics.prefix for the outputs",
        names.join(", ")
    )
}

/// The sentence about an input partition that ends before where it ended.
pub fn shrunk(name: &str, partition: u32, before: u64, now: u64) -> String {
    format!(
        "topic {name}, partition {partition}, ends at offset {now} and ended at {before} before: the topic was deleted \
         and created anew, or the cluster lost records. State and positions belong to what was there: start with \
         another kafka.group and another topics.prefix for the outputs, or restore the topic"
    )
}

/// The sentence about a topic that is not there.
pub fn missing(name: &str) -> String {
    format!("topic {name} does not exist; run: accountpulse topics create")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn found(config: &Config, topics: &TopicTable) -> Vec<TopicFound> {
        let state = |topic: NewTopic| TopicFound {
            name: topic.name,
            state: TopicState::Found {
                partitions: topic.partitions,
                replication: topic.replication,
                settings: topic.settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            },
        };
        wanted(config, topics).into_iter().map(state).collect()
    }

    fn change(topic: &mut TopicFound, count: u32, key: &str, value: &str) {
        if let TopicState::Found { partitions, settings, .. } = &mut topic.state {
            *partitions = count;
            settings.insert(key.to_owned(), value.to_owned());
        }
    }

    #[test]
    fn what_create_makes_is_right() {
        let config = Config::default();
        let topics = TopicTable::new(&config);
        assert_eq!(judge(&config, &topics, &found(&config, &topics)), Findings::default());
    }

    #[test]
    fn each_fault_is_one_sentence_that_names_topic_and_next_step() {
        let config = Config::default();
        let topics = TopicTable::new(&config);
        let mut all = found(&config, &topics);
        all[0].state = TopicState::Missing;
        all[1].state = TopicState::Denied("no access to topic accountpulse.usage.v1".to_owned());
        change(&mut all[2], 8, "retention.ms", "3600000");
        change(&mut all[3], 12, "cleanup.policy", "compact");
        change(&mut all[8], 12, "cleanup.policy", "compact,delete");
        change(&mut all[9], 12, "min.insync.replicas", "1");
        change(&mut all[11], 12, "max.message.bytes", "500000");
        let findings = judge(&config, &topics, &all);
        assert_eq!(findings.missing, ["accountpulse.logins.v1"]);
        let parts = [
            "no access to topic accountpulse.usage.v1",
            "topic accountpulse.tickets.v1 has 8 partitions, the configuration says 12",
            "topic accountpulse.invoices.v1 has cleanup.policy=compact: compaction keeps one record per account",
            "topic accountpulse.scores.v1 has cleanup.policy=compact,delete: it would delete state",
            "topic accountpulse.checkpoints.v1 has max.message.bytes=500000: we write records and batches",
        ];
        assert_eq!(findings.wrong.len(), parts.len(), "{findings:#?}");
        assert!(findings.wrong.iter().zip(parts).all(|(got, part)| got.starts_with(part)), "{findings:#?}");
        let warned = ["keeps events for 1 h", "min.insync.replicas=1"];
        assert!(findings.warnings.iter().zip(warned).all(|(got, part)| got.contains(part)), "{findings:#?}");
    }

    #[test]
    fn a_change_under_a_running_fleet_is_named() {
        let config = Config::default();
        let topics = TopicTable::new(&config);
        let mut all = found(&config, &topics);
        assert_eq!((changed(12, &all), gone(&all)), (None, vec![]));
        change(&mut all[2], 16, "any", "");
        let said = changed(12, &all).unwrap();
        assert!(said.starts_with("topic accountpulse.tickets.v1 has 16 partitions now, it had 12"), "{said}");
        all[2].state = TopicState::Missing;
        all[3].state = TopicState::Denied("no".to_owned());
        assert_eq!((changed(12, &all), gone(&all)), (None, vec!["accountpulse.tickets.v1"]));
    }

    #[test]
    fn a_setting_that_the_cluster_does_not_tell_is_not_judged() {
        let config = Config::default();
        let topics = TopicTable::new(&config);
        let mut all = found(&config, &topics);
        for topic in &mut all {
            if let TopicState::Found { settings, .. } = &mut topic.state {
                *settings = BTreeMap::new();
            }
        }
        assert_eq!(judge(&config, &topics, &all), Findings::default());
    }
}
