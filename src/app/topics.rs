//! The topics of the embedded log: which number, which name, how long kept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, PARTITIONS};
use crate::engine::event::Kind;
use crate::ingest::OutputTopic;
use crate::log::TopicId;
use crate::log::local::{LocalError, LocalOptions, LocalStore, LocalTopic, TopicKind};

/// Scores come after the inputs.
pub const SCORES: TopicId = TopicId(Kind::ALL.len() as u16);
/// Risk transitions.
pub const RISKS: TopicId = TopicId(SCORES.0 + 1);
/// Refused input.
pub const DEAD_LETTERS: TopicId = TopicId(SCORES.0 + 2);
/// Checkpoints.
pub const CHECKPOINTS: TopicId = TopicId(SCORES.0 + 3);

/// The input topic of a kind.
pub const fn input(kind: Kind) -> TopicId {
    TopicId(kind as u16)
}

/// The number of a topic that can be read.
pub const fn output(topic: OutputTopic) -> TopicId {
    match topic {
        OutputTopic::Scores => SCORES,
        OutputTopic::Risks => RISKS,
        OutputTopic::DeadLetters => DEAD_LETTERS,
    }
}

/// Opens the embedded log of a configuration.
pub fn open(config: &Config, data_dir: &Path) -> Result<Arc<LocalStore>, LocalError> {
    let topics = &config.topics;
    let kept = &config.storage;
    let topic = |name: &str, kind, compacted, retention: Option<Duration>| LocalTopic {
        name: name.to_owned(),
        kind,
        compacted,
        retention_ms: retention.map(|kept| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)),
    };
    let mut all: Vec<LocalTopic> = topics
        .inputs
        .iter()
        .map(|name| topic(name, TopicKind::Input, false, Some(kept.retention_events)))
        .collect();
    all.push(topic(&topics.scores, TopicKind::Output, true, None));
    all.push(topic(&topics.risks, TopicKind::Output, false, Some(kept.retention_risks)));
    all.push(topic(&topics.dead_letters, TopicKind::Output, false, Some(kept.retention_dead_letters)));
    all.push(topic(&topics.checkpoints, TopicKind::Output, true, None));
    LocalStore::open(data_dir, LocalOptions::new(all, PARTITIONS))
}
