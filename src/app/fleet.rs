//! All workers of an instance: gets the log ready, starts one thread per worker, ends them
//! together. When one cannot go on, the instance cannot.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::kafka_link::KafkaLink;
use super::kafka_topics::{self, TopicsError};
use super::members::Members;
use super::worker_thread::{Ended, Parts};
use crate::clock;
use crate::config::Config;
use crate::log::kafka::KafkaError;

/// Longest wait for one attempt to reach a cluster.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Pause between attempts.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often in a row a topic must be missing before that is believed.
const SURE: u32 = 5;
/// Time between two log lines that say the same.
const REPEAT_MS: i64 = 30_000;
/// How soon the end of a worker is noticed.
const LOOK: Duration = Duration::from_millis(200);

/// What must hold before workers start. `Ok(false)`: the end was asked for meanwhile.
pub type Preparation = Box<dyn FnOnce(&Receiver<()>) -> Result<bool, String> + Send>;

/// See the module.
pub struct Fleet {
    /// Dropping it asks for the end.
    stop: Option<Sender<()>>,
    thread: JoinHandle<()>,
    failure: Arc<OnceLock<String>>,
}

impl Fleet {
    /// Starts everything in a thread of its own.
    pub fn start<M: Members>(prepare: Preparation, workers: Vec<Parts<M>>) -> Fleet {
        let (stop, stopped) = bounded(0);
        let failure = Arc::new(OnceLock::new());
        let failed = Arc::clone(&failure);
        let thread = std::thread::spawn(move || {
            let sentence = match prepare(&stopped) {
                Ok(true) => drive(workers, &stopped),
                Ok(false) => None,
                Err(sentence) => Some(sentence),
            };
            if let Some(sentence) = sentence {
                // Said once: this thread is the only one that sets it.
                let _ = failed.set(sentence);
            }
        });
        Fleet { stop: Some(stop), thread, failure }
    }

    /// Whether it still works; it ends by itself only when it cannot go on.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Why it cannot go on.
    pub fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    /// Last commits, then the end.
    pub fn stop(mut self) {
        self.stop = None;
        if self.thread.join().is_err() {
            tracing::error!("a thread of the workers ended with a panic; everything committed is safe");
        }
    }
}

/// Runs the workers until they are told to end or one fails; why, if so.
fn drive<M: Members>(workers: Vec<Parts<M>>, stopped: &Receiver<()>) -> Option<String> {
    let (stop_workers, worker_stopped) = bounded::<()>(0);
    let threads: Vec<_> = workers
        .into_iter()
        .map(|parts| {
            let stopped = worker_stopped.clone();
            std::thread::spawn(move || parts.run(&stopped))
        })
        .collect();
    while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        if threads.iter().any(JoinHandle::is_finished) {
            break;
        }
    }
    drop(stop_workers);
    let mut failure = None;
    for thread in threads {
        match thread.join() {
            Ok(Ended::Stopped) => {}
            Ok(Ended::Failed(sentence)) => failure = failure.or(Some(sentence)),
            Err(_) => failure = Some("a worker ended with a panic; everything committed is safe".to_owned()),
        }
    }
    failure
}

/// Why the workers cannot start.
enum NotYet {
    /// Waiting may heal it.
    Waiting(String),
    /// A topic is not there. A broker that is about to learn of it says the same.
    Missing(String),
    /// It stays so.
    Never(String),
}

/// Looks once whether the cluster is there and its topics are right, and makes those that are missing
/// if the configuration says so.
fn look(link: &KafkaLink, config: &Config) -> Result<(), NotYet> {
    let trouble = |error: KafkaError| match error.is_permanent() {
        true => NotYet::Never(error.to_string()),
        false => NotYet::Waiting(error.to_string()),
    };
    let info = link.cluster.connect(CONNECT_WAIT).map_err(trouble)?;
    let ensured = kafka_topics::ensure(link, config, config.kafka.create_topics).map_err(|error| {
        let sentences = error.to_string();
        match error {
            TopicsError::Kafka(error) => trouble(error),
            TopicsError::Missing(_) => NotYet::Missing(sentences),
            TopicsError::Wrong(_) => NotYet::Never(sentences),
        }
    })?;
    ensured.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if !ensured.made.is_empty() {
        tracing::info!(topics = ensured.made.join(" "), "created");
    }
    tracing::info!(brokers = info.brokers, cluster = info.cluster_id, "connected");
    Ok(())
}

/// Waits for the cluster, then checks its topics and makes missing ones if the configuration says so.
pub fn prepare_cluster(link: &KafkaLink, config: &Config, stopped: &Receiver<()>) -> Result<bool, String> {
    let mut said: Option<(String, i64)> = None;
    let mut missing = 0;
    loop {
        match look(link, config) {
            Ok(()) => return Ok(true),
            Err(NotYet::Never(sentence)) => return Err(sentence),
            Err(NotYet::Missing(sentence)) => {
                missing += 1;
                if missing >= SURE {
                    return Err(sentence);
                }
            }
            Err(NotYet::Waiting(sentence)) => {
                missing = 0;
                let now_ms = clock::wall_ms();
                if said.as_ref().is_none_or(|(last, at_ms)| *last != sentence || now_ms - at_ms >= REPEAT_MS)
                {
                    tracing::warn!("waiting for the cluster: {sentence}");
                    said = Some((sentence, now_ms));
                }
            }
        }
        if stopped.recv_timeout(RETRY_PAUSE) != Err(RecvTimeoutError::Timeout) {
            return Ok(false);
        }
    }
}
