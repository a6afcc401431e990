//! The topics of an instance: which number, which name, what belongs where. Inputs come first, in
//! the order of their first kind; a topic that carries several kinds is one input.
//!
//! The number of an input is part of the state: what is added goes to the end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, PARTITIONS};
use crate::engine::event::{Encoding, Kind};
use crate::ingest::OutputTopic;
use crate::log::TopicId;
use crate::log::local::{LocalError, LocalOptions, LocalStore, LocalTopic, TopicKind};
use crate::worker::{InputTopic, OutputTopics};

/// Numbers and names of all topics.
#[derive(Clone, Debug)]
pub struct TopicTable {
    /// Names of the inputs, by number.
    pub inputs: Vec<String>,
    /// The input topic of each kind, in the order of [`Kind::ALL`].
    of_kind: [TopicId; Kind::ALL.len()],
    /// The topics the worker writes.
    pub outputs: OutputTopics,
    /// Every name, by number.
    pub names: Vec<String>,
}

impl TopicTable {
    /// The topics of a configuration.
    pub fn new(config: &Config) -> TopicTable {
        let mut names: Vec<String> = Vec::new();
        let of_kind = Kind::ALL.map(|kind| {
            let name = &config.topics.inputs[kind as usize]; // one name per kind
            let known = names.iter().position(|known| known == name);
            let index = known.unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            });
            number(index)
        });
        let inputs = names.clone();
        let mut output = |name: &String| {
            names.push(name.clone());
            number(names.len() - 1)
        };
        let outputs = OutputTopics {
            scores: output(&config.topics.scores),
            risks: output(&config.topics.risks),
            dead_letters: output(&config.topics.dead_letters),
            checkpoints: output(&config.topics.checkpoints),
        };
        TopicTable { inputs, of_kind, outputs, names }
    }

    /// The input topic of a kind.
    pub fn input(&self, kind: Kind) -> TopicId {
        self.of_kind[kind as usize] // one place per kind
    }

    /// The input topic of that name.
    pub fn input_named(&self, name: &str) -> Option<TopicId> {
        self.inputs.iter().position(|known| known == name).map(number)
    }

    /// The number of a topic that can be read.
    pub fn output(&self, topic: OutputTopic) -> TopicId {
        match topic {
            OutputTopic::Scores => self.outputs.scores,
            OutputTopic::Risks => self.outputs.risks,
            OutputTopic::DeadLetters => self.outputs.dead_letters,
        }
    }

    /// Numbers of the inputs.
    pub fn input_ids(&self) -> Vec<TopicId> {
        (0..self.inputs.len()).map(number).collect()
    }

    /// The inputs as a worker knows them.
    pub fn worker_inputs(&self) -> Vec<InputTopic> {
        let input = |(topic, name): (TopicId, &String)| InputTopic {
            topic,
            name: name.clone(),
            encoding: Encoding::Auto,
        };
        self.input_ids().into_iter().zip(&self.inputs).map(input).collect()
    }
}

/// The topic at an index. There are at most a dozen.
fn number(index: usize) -> TopicId {
    TopicId(u16::try_from(index).unwrap_or(u16::MAX))
}

/// Opens the embedded log of a configuration.
pub fn open_local(config: &Config, table: &TopicTable) -> Result<Arc<LocalStore>, LocalError> {
    let kept = &config.storage;
    let topic = |name: &str, kind, compacted, retention: Option<Duration>| LocalTopic {
        name: name.to_owned(),
        kind,
        compacted,
        retention_ms: retention.map(|kept| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)),
    };
    let mut all: Vec<LocalTopic> = table
        .inputs
        .iter()
        .map(|name| topic(name, TopicKind::Input, false, Some(kept.retention_events)))
        .collect();
    let topics = &config.topics;
    all.push(topic(&topics.scores, TopicKind::Output, true, None));
    all.push(topic(&topics.risks, TopicKind::Output, false, Some(kept.retention_risks)));
    all.push(topic(&topics.dead_letters, TopicKind::Output, false, Some(kept.retention_dead_letters)));
    all.push(topic(&topics.checkpoints, TopicKind::Output, true, None));
    let data_dir: &Path = &config.storage.data_dir;
    LocalStore::open(data_dir, LocalOptions::new(all, PARTITIONS))
}
