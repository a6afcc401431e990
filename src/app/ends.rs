//! The ends of a cluster's input partitions, asked for once a second by a thread of their own: how
//! far behind we are is a matter of metrics and readiness, and no worker waits for it. Whether there
//! was an answer is the readiness of the cluster: of all that is asked, this is asked always.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::kafka_link::KafkaLink;
use crate::ingest::health::Health;
use crate::log::{Offset, TopicPartition};

/// Time between two questions.
const EVERY: Duration = Duration::from_secs(1);
/// Longest wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// What was answered last.
pub struct Ends {
    known: Arc<Mutex<BTreeMap<TopicPartition, Offset>>>,
    /// Dropping it ends the thread, within one question.
    _running: Sender<()>,
}

impl Ends {
    /// Starts to ask.
    pub fn watch(link: &Arc<KafkaLink>, health: &Arc<Health>) -> Ends {
        let known = Arc::new(Mutex::new(BTreeMap::new()));
        let (running, stopped) = bounded::<()>(0);
        let (of_thread, link, health) = (Arc::clone(&known), Arc::clone(link), Arc::clone(health));
        std::thread::spawn(move || {
            let topics = link.topics.input_ids();
            let at = |partition| topics.iter().map(move |topic| TopicPartition { topic: *topic, partition });
            let all: Vec<TopicPartition> = (0..link.partitions()).flat_map(at).collect();
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                // In the log a cluster that does not answer is spoken of by those who need it.
                let answer = link.cluster.ends(&all, ANSWER_WAIT);
                health.note_cluster(answer.as_ref().err().map(ToString::to_string));
                let Ok(ends) = answer else { continue };
                let ends = all.iter().zip(ends).filter_map(|(at, end)| Some((*at, end?)));
                of_thread.lock().unwrap_or_else(PoisonError::into_inner).extend(ends);
            }
        });
        Ends { known, _running: running }
    }

    /// The end of a partition, if it was ever answered.
    pub fn get(&self, at: TopicPartition) -> Option<Offset> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&at).copied()
    }
}
