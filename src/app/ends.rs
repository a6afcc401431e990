//! The ends of a cluster's input partitions, asked for once a second by a thread of their own: how
//! far behind we are is a matter of metrics and readiness, and no worker waits for it. Whether there
//! was an answer is the readiness of the cluster: of all that is asked, this is asked always.
//!
//! The same thread looks whether the topics are still those that the workers began with. What is
//! found is one sentence, and the end of the instance: going on would read only a part, or another
//! topic under the same name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::kafka_link::KafkaLink;
use super::kafka_topics::{changed, deleted, gone, shrunk};
use crate::ingest::health::Health;
use crate::log::{Offset, TopicPartition};

/// Time between two questions.
const EVERY: Duration = Duration::from_secs(1);
/// Longest wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Questions between two looks at the topics.
const LOOK_EVERY: u32 = 5;
/// What may pass, such as a broker that has just begun and does not know its topics yet, must be
/// found so many times in a row.
const SURE: u32 = 3;

/// What was answered last.
pub struct Ends {
    known: Arc<Mutex<BTreeMap<TopicPartition, Offset>>>,
    wrong: Arc<OnceLock<String>>,
    /// Dropping it ends the thread, within one question.
    _running: Sender<()>,
}

impl Ends {
    /// Starts to ask.
    pub fn watch(link: &Arc<KafkaLink>, health: &Arc<Health>) -> Ends {
        let (known, wrong) = (Arc::<Mutex<BTreeMap<_, _>>>::default(), Arc::new(OnceLock::new()));
        let (running, stopped) = bounded::<()>(0);
        let (of_thread, found, link, health) =
            (Arc::clone(&known), Arc::clone(&wrong), Arc::clone(link), Arc::clone(health));
        std::thread::spawn(move || {
            let topics = link.topics.input_ids();
            let at = |partition| topics.iter().map(move |topic| TopicPartition { topic: *topic, partition });
            let all: Vec<TopicPartition> = (0..link.partitions()).flat_map(at).collect();
            let mut shape = Shape::default();
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                // In the log a cluster that does not answer is spoken of by those who need it.
                let answer = link.cluster.ends(&all, ANSWER_WAIT);
                health.note_cluster(answer.as_ref().err().map(ToString::to_string));
                shape.look(&link).into_iter().for_each(|sentence| drop(found.set(sentence)));
                let Ok(ends) = answer else { continue };
                let ends: Vec<_> = all.iter().zip(ends).filter_map(|(at, end)| Some((*at, end?))).collect();
                shape.begun |= ends.len() == all.len();
                let mut known = of_thread.lock().unwrap_or_else(PoisonError::into_inner);
                let shorter = shape.judge(&link, &known, &ends);
                for (at, end) in ends {
                    let newest = known.entry(at).or_insert(end);
                    *newest = end.max(*newest);
                }
                drop(known);
                // The first finding is the reason.
                shorter.into_iter().for_each(|sentence| drop(found.set(sentence)));
            }
        });
        Ends { known, wrong, _running: running }
    }

    /// The end of a partition, if it was ever answered.
    pub fn get(&self, at: TopicPartition) -> Option<Offset> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&at).copied()
    }

    /// Why nothing can go on with these topics, if so.
    pub fn wrong(&self) -> Option<&String> {
        self.wrong.get()
    }
}

/// What the topics were seen to be.
#[derive(Default)]
struct Shape {
    /// Whether every partition was there once: before, the start looks at them.
    begun: bool,
    questions: u32,
    /// How often in a row some topic was missing, or some partition shorter.
    missing: u32,
    shorter: u32,
}

impl Shape {
    /// Looks at the topics when it is time; what is wrong, if something is.
    fn look(&mut self, link: &KafkaLink) -> Option<String> {
        self.questions += 1;
        if !self.begun || !self.questions.is_multiple_of(LOOK_EVERY) {
            return None;
        }
        // Whether the cluster answers is said elsewhere.
        let found = link.cluster.look(ANSWER_WAIT).ok()?;
        if let Some(sentence) = changed(link.partitions(), &found) {
            return Some(sentence);
        }
        let gone = gone(&found);
        self.missing = if gone.is_empty() { 0 } else { self.missing + 1 };
        (self.missing >= SURE).then(|| deleted(&gone))
    }

    /// Whether a partition ends before where it ended: that of a log never goes back.
    fn judge(
        &mut self,
        link: &KafkaLink,
        known: &BTreeMap<TopicPartition, Offset>,
        ends: &[(TopicPartition, Offset)],
    ) -> Option<String> {
        let before = |(at, end): &(TopicPartition, Offset)| {
            let before = *known.get(at)?;
            (*end < before).then_some((*at, before, *end))
        };
        let Some((at, before, now)) = ends.iter().find_map(before) else {
            self.shorter = 0;
            return None;
        };
        self.shorter += 1;
        let name = link.topics.names.get(usize::from(at.topic.0)).map_or("?", String::as_str);
        (self.shorter >= SURE).then(|| shrunk(name, at.partition, before, now))
    }
}
