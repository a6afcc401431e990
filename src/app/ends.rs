//! The ends of a cluster's input partitions, asked for once a second by a thread of their own: how
//! far behind we are is a matter of metrics and readiness, and no worker waits for it. Whether there
//! was an answer is the readiness of the cluster: of all that is asked, this is asked always.
//!
//! The same thread looks whether the topics are still those that the workers began with. What is
//! found is one sentence, and the end of the instance: going on would read only a part, or another
//! topic under the same name. So is the end of the thread: without it nobody would look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

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

/// Of a thread that is not there any more nothing can be said but that.
const LOST: &str = "the thread that looks after the topics has ended with a panic, whose words stand in the log: how \
                    far the inputs go, and whether the topics are still the same, is not known any more; start the \
                    process again";

/// What was answered last.
pub struct Ends {
    found: Arc<Found>,
    thread: JoinHandle<()>,
    /// Dropping it ends the thread, within one question.
    _running: Sender<()>,
}

/// What the thread found.
#[derive(Default)]
struct Found {
    known: Mutex<BTreeMap<TopicPartition, Offset>>,
    wrong: OnceLock<String>,
}

impl Found {
    fn known(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Offset>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first finding is the reason.
    fn wrong(&self, sentence: Option<String>) {
        sentence.into_iter().for_each(|sentence| drop(self.wrong.set(sentence)));
    }
}

impl Ends {
    /// Starts to ask.
    pub fn watch(link: &Arc<KafkaLink>, health: &Arc<Health>) -> Ends {
        let (link, health) = (Arc::clone(link), Arc::clone(health));
        Ends::start(move |found, stopped| ask_on(&link, &health, found, stopped))
    }

    /// Starts the thread; `work` goes on until there is no sender left.
    fn start(work: impl FnOnce(&Found, &Receiver<()>) + Send + 'static) -> Ends {
        let found = Arc::<Found>::default();
        let (running, stopped) = bounded::<()>(0);
        let of_thread = Arc::clone(&found);
        let thread = std::thread::spawn(move || work(&of_thread, &stopped));
        Ends { found, thread, _running: running }
    }

    /// The end of a partition, if it was ever answered.
    pub fn get(&self, at: TopicPartition) -> Option<Offset> {
        self.found.known().get(&at).copied()
    }

    /// Why nothing can go on with these topics, if so.
    pub fn wrong(&self) -> Option<String> {
        let found = self.found.wrong.get().cloned();
        found.or_else(|| self.thread.is_finished().then(|| LOST.to_owned()))
    }
}

fn ask_on(link: &KafkaLink, health: &Health, found: &Found, stopped: &Receiver<()>) {
    let topics = link.topics.input_ids();
    let at = |partition| topics.iter().map(move |topic| TopicPartition { topic: *topic, partition });
    let all: Vec<TopicPartition> = (0..link.partitions()).flat_map(at).collect();
    let mut shape = Shape::default();
    while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        // In the log a cluster that does not answer is spoken of by those who need it.
        let answer = link.cluster.ends(&all, ANSWER_WAIT);
        health.note_cluster(answer.as_ref().err().map(ToString::to_string));
        found.wrong(shape.look(link));
        let Ok(ends) = answer else { continue };
        let ends: Vec<_> = all.iter().zip(ends).filter_map(|(at, end)| Some((*at, end?))).collect();
        shape.begun |= ends.len() == all.len();
        let mut known = found.known();
        let shorter = shape.judge(link, &known, &ends);
        for (at, end) in ends {
            let newest = known.entry(at).or_insert(end);
            *newest = end.max(*newest);
        }
        drop(known);
        found.wrong(shorter);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_thread_that_ends_ends_the_instance_with_a_sentence() {
        let ends = Ends::start(|found, _| {
            found.wrong(None);
            panic!("on purpose");
        });
        let deadline = clock::monotonic() + LONG;
        while ends.wrong().is_none() {
            assert!(clock::monotonic() < deadline, "its end is not noticed");
            clock::pause(Duration::from_millis(1));
        }
        assert!(ends.wrong().is_some_and(|sentence| sentence.contains("has ended with a panic")));
    }

    #[test]
    fn what_was_found_first_is_the_reason_and_a_thread_that_goes_on_is_none() {
        let (said, heard) = bounded::<()>(0);
        let ends = Ends::start(move |found, stopped| {
            let _ = heard.recv();
            found.wrong(Some("another number of partitions".to_owned()));
            found.wrong(Some("something else".to_owned()));
            let _ = stopped.recv();
        });
        assert_eq!(ends.wrong(), None);
        drop(said);
        let deadline = clock::monotonic() + LONG;
        while ends.wrong().is_none() {
            assert!(clock::monotonic() < deadline, "nothing was found");
            clock::pause(Duration::from_millis(1));
        }
        assert_eq!(ends.wrong().as_deref(), Some("another number of partitions"));
    }
}
