//! Asks for the ends of partitions, open transactions included. One client and one thread serve
//! all members of the process: an answer may take a while, and a worker must not wait for it.
//!
//! The proof of silence rests on this end. The one that a reader of committed records sees stops
//! below an open transaction, and what stands in that has not been heard yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};

use super::client::{KafkaCluster, Probe, is_transport, serve};
use super::error::KafkaError;
use super::outcome::{misuse, of_call};
use super::settings;
use crate::clock;
use crate::log::{LogError, Offset, TopicId, TopicPartition, Watermarks};

/// Longest wait for the ends of a list of partitions.
const ENDS_WAIT: Duration = Duration::from_secs(1);
/// Longest wait for the bounds of one partition.
const BOUNDS_WAIT: Duration = Duration::from_secs(2);
/// How often the client's callbacks run when nobody asks.
const IDLE_PACE: Duration = Duration::from_secs(1);

/// A question for the thread.
struct Ask {
    at: Vec<TopicPartition>,
    number: u64,
    reply: Sender<Answer>,
}

/// What the cluster answered.
pub(super) struct Answer {
    /// Of which question.
    pub number: u64,
    /// When the question was put to the cluster: the ends are not older than that.
    pub asked: Instant,
    /// The ends that are known now; empty if the cluster did not answer.
    pub ends: Vec<(TopicPartition, Offset)>,
}

/// The way to the thread. The thread ends when the last of these is dropped.
pub(super) struct Prober {
    asks: Sender<Ask>,
    /// The thread was found gone: nobody answers here any more.
    gone: AtomicBool,
    client: Arc<Probe>,
    cluster: Arc<KafkaCluster>,
}

impl Prober {
    /// Makes the client and starts the thread.
    pub fn start(cluster: &Arc<KafkaCluster>) -> Result<Prober, KafkaError> {
        let client = settings::probe(cluster.options());
        let client: Arc<Probe> = Arc::new(cluster.make(&client, cluster.base("ends"))?);
        let (asks, questions) = crossbeam_channel::unbounded();
        let (of_thread, its_cluster) = (Arc::clone(&client), Arc::clone(cluster));
        let thread = thread::Builder::new().name("kafka-ends".to_owned());
        thread.spawn(move || answer_all(&of_thread, &its_cluster, &questions)).map_err(|error| {
            KafkaError::Call {
                what: "a thread for the ends of partitions".to_owned(),
                detail: error.to_string(),
            }
        })?;
        Ok(Prober { asks, gone: AtomicBool::new(false), client, cluster: Arc::clone(cluster) })
    }

    /// Asks for these ends; the answer comes to `reply`. An error says that the thread is gone and
    /// that a new member has to be made, which gets a new one.
    pub fn ask(&self, at: Vec<TopicPartition>, number: u64, reply: Sender<Answer>) -> Result<(), LogError> {
        self.asks.send(Ask { at, number, reply }).map_err(|_| {
            self.gone.store(true, Ordering::Relaxed);
            misuse("the thread that asks for the ends of partitions is gone")
        })
    }

    /// Whether nobody answers here any more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Start and end of a partition, open transactions included.
    pub fn watermarks(&self, at: TopicPartition) -> Result<Watermarks, LogError> {
        let options = self.cluster.options();
        let name = options.name(at).ok_or_else(|| misuse("no such partition"))?;
        let _watched = self.cluster.guard("the bounds of a partition");
        serve(&self.client);
        let partition = i32::try_from(at.partition).unwrap_or(i32::MAX);
        let answer = self.client.fetch_watermarks(name, partition, BOUNDS_WAIT);
        serve(&self.client);
        if answer.as_ref().is_err_and(|error| !is_transport(error)) {
            refresh(&self.client, &options.topics, &[at]);
        }
        let (start, end) = answer
            .map_err(|error| of_call(&self.cluster, &format!("the bounds of {name}/{partition}"), &error))?;
        self.client.context().heard();
        let (Ok(start), Ok(end)) = (Offset::try_from(start), Offset::try_from(end)) else {
            return Err(LogError::Unavailable {
                detail: format!("the bounds of {name}/{partition} are unknown"),
            });
        };
        Ok(Watermarks { start, end })
    }
}

fn answer_all(client: &Probe, cluster: &KafkaCluster, questions: &Receiver<Ask>) {
    loop {
        let ask = match questions.recv_timeout(IDLE_PACE) {
            Ok(ask) => Some(ask),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        serve(client);
        if let Some(Ask { at, number, reply }) = ask {
            let asked = clock::monotonic();
            let ends = {
                let _watched = cluster.guard("the ends of partitions");
                ends(client, &cluster.options().topics, &at)
            };
            serve(client);
            // Whoever asked may be gone.
            drop(reply.send(Answer { number, asked, ends }));
        }
    }
}

/// The ends of these partitions, in one request per broker.
fn ends(client: &Probe, names: &[String], at: &[TopicPartition]) -> Vec<(TopicPartition, Offset)> {
    let mut list = TopicPartitionList::with_capacity(at.len());
    for at in at {
        let place = names.get(usize::from(at.topic.0)).zip(i32::try_from(at.partition).ok());
        // The end is always a place that can be asked for.
        let _ = place.map(|(name, partition)| list.add_partition_offset(name, partition, Place::End));
    }
    let list = match client.offsets_for_times(list, ENDS_WAIT) {
        Ok(list) => list,
        Err(error) => {
            if !is_transport(&error) {
                refresh(client, names, at);
            }
            return Vec::new();
        }
    };
    client.context().heard();
    let found = list.elements();
    let found = found.iter().filter_map(|one| {
        let topic = names.iter().position(|name| name == one.topic())?;
        let topic = TopicId(u16::try_from(topic).ok()?);
        let at = TopicPartition { topic, partition: u32::try_from(one.partition()).ok()? };
        match (one.error(), one.offset()) {
            (Ok(()), Place::Offset(end)) => Some((at, Offset::try_from(end).ok()?)),
            _ => None,
        }
    });
    found.collect()
}

/// A broker that has just started may not know its topics yet, and the library keeps such an answer
/// for a quarter of an hour unless it is asked again.
fn refresh(client: &Probe, names: &[String], at: &[TopicPartition]) {
    let mut topics: Vec<u16> = at.iter().map(|at| at.topic.0).collect();
    topics.sort_unstable();
    topics.dedup();
    for name in topics.iter().filter_map(|topic| names.get(usize::from(*topic))) {
        // Without an answer it is asked for again with the next question.
        drop(client.client().fetch_metadata(Some(name), ENDS_WAIT));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::inputs::Inputs;
    use super::super::options::{KafkaOptions, Security};
    use super::super::{DEFAULT_FETCHED_BYTES, DEFAULT_SESSION_TIMEOUT, DEFAULT_TRANSACTION_TIMEOUT};
    use super::*;

    const AT: TopicPartition = TopicPartition { topic: TopicId(0), partition: 0 };

    /// A cluster that nobody is asked for.
    fn cluster() -> Arc<KafkaCluster> {
        let options = KafkaOptions {
            brokers: "127.0.0.1:1".to_owned(),
            group: "g".to_owned(),
            instance: "i".to_owned(),
            topics: vec!["in".to_owned()],
            inputs: vec![TopicId(0)],
            partitions: 1,
            session_timeout: DEFAULT_SESSION_TIMEOUT,
            transaction_timeout: DEFAULT_TRANSACTION_TIMEOUT,
            fetched_bytes: DEFAULT_FETCHED_BYTES,
            security: Security::default(),
            properties: BTreeMap::new(),
        };
        KafkaCluster::new(options).unwrap()
    }

    #[test]
    fn a_thread_that_is_gone_ends_the_worker_and_the_next_one_gets_a_new_thread() {
        let cluster = cluster();
        let mut prober = Prober::start(&cluster).unwrap();
        // What a panic of the thread leaves behind: nobody at the other end.
        prober.asks = crossbeam_channel::unbounded().0;
        let prober = Arc::new(prober);
        cluster.keep_prober(&prober);
        assert!(Arc::ptr_eq(&cluster.prober().unwrap(), &prober), "it was not asked yet");

        let mut inputs = Inputs::new(Arc::clone(&prober));
        inputs.start(&[(AT, 5)]);
        inputs.note_end(AT, 5);
        let Err(LogError::Store { detail }) = inputs.ask(clock::monotonic(), None) else {
            panic!("it goes on")
        };
        assert_eq!(detail, "the thread that asks for the ends of partitions is gone");
        let successor = cluster.prober().unwrap();
        assert!(!Arc::ptr_eq(&successor, &prober));
        let (reply, answers) = crossbeam_channel::unbounded();
        successor.ask(vec![AT], 1, reply).unwrap();
        let answer = answers.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(answer.number == 1 && answer.ends.is_empty(), "there is no cluster");
    }

    #[test]
    fn a_question_that_died_with_the_thread_is_put_again() {
        let cluster = cluster();
        let mut prober = Prober::start(&cluster).unwrap();
        let (asks, questions) = crossbeam_channel::unbounded();
        prober.asks = asks;
        let mut inputs = Inputs::new(Arc::new(prober));
        inputs.start(&[(AT, 5)]);
        inputs.note_end(AT, 5);
        let began = clock::monotonic();
        inputs.ask(began, None).unwrap();
        // It panics over the first question.
        drop(questions);
        assert!(inputs.ask(began + Duration::from_secs(1), None).is_ok(), "it may still be answered");
        assert!(inputs.ask(began + Duration::from_secs(6), None).is_err());
    }
}
