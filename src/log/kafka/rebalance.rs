//! What the group's callbacks leave for the member to find.
//!
//! A callback only records. Given partitions are acknowledged there with an empty assignment:
//! the worker recovers first and starts reading afterwards. A revocation is acknowledged by nobody
//! until the worker has committed and says so; only while the member is being dropped, when nobody
//! will say it any more, the callback does it.
//!
//! This file must not wait and must not call the library beyond that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::KafkaError as LibraryError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::context::Base;
use crate::log::{TopicId, TopicPartition};

/// What happened to the membership.
pub(super) enum Happening {
    /// These partitions are ours now.
    Assigned {
        /// Topic names and partition numbers.
        given: Vec<(String, i32)>,
        /// The membership they were given to; `None` if the library has none.
        group: Option<ConsumerGroupMetadata>,
    },
    /// They are being taken away, and the group waits for our word.
    Revoked,
    /// They are gone.
    Lost,
}

/// The context of a member's consumer.
pub(super) struct MemberContext {
    base: Base,
    inbox: Mutex<VecDeque<Happening>>,
    leaving: AtomicBool,
    /// Whether our session has ended since the last assignment.
    session_ended: AtomicBool,
}

impl MemberContext {
    pub fn new(base: Base) -> MemberContext {
        MemberContext {
            base,
            inbox: Mutex::default(),
            leaving: AtomicBool::new(false),
            session_ended: AtomicBool::new(false),
        }
    }

    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The oldest happening that nobody has taken.
    pub fn next(&self) -> Option<Happening> {
        self.lock().pop_front()
    }

    /// Whether a happening waits to be taken.
    pub fn has_news(&self) -> bool {
        !self.lock().is_empty()
    }

    /// From now on nobody acknowledges a change but the callback. Says whether the group still
    /// waits for a word about one that was recorded before.
    pub fn leave(&self) -> bool {
        self.leaving.store(true, Ordering::SeqCst);
        self.lock().iter().any(|happening| !matches!(happening, Happening::Assigned { .. }))
    }

    /// Whether our session has ended since the last assignment. The library then beats its heart on
    /// without the number it was given, which brokers that still know that number take for another
    /// process of our name.
    pub fn session_ended(&self) -> bool {
        self.session_ended.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Happening>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for MemberContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, line: &str) {
        if fac == "SESSTMOUT" {
            self.session_ended.store(true, Ordering::SeqCst);
        }
        self.base.log(level, fac, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.base.stats_raw(statistics);
    }

    fn error(&self, error: LibraryError, text: &str) {
        self.base.error(error, text);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.base.generate_oauth_token(config)
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<MemberContext>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        self.base.count();
        let leaving = self.leaving.load(Ordering::SeqCst);
        let (happening, answer) = if leaving {
            // The group's client waits for this word before it ends. It must be said only where it
            // is waited for: a client that has ended never answers.
            (Happening::Lost, consumer.unassign())
        } else if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let given = partitions.elements();
            let given = given.iter().map(|one| (one.topic().to_owned(), one.partition())).collect();
            let group = consumer.group_metadata();
            self.session_ended.store(false, Ordering::SeqCst);
            (Happening::Assigned { given, group }, consumer.assign(&TopicPartitionList::new()))
        } else if consumer.assignment_lost() {
            (Happening::Lost, Ok(()))
        } else {
            (Happening::Revoked, Ok(()))
        };
        if let Err(error) = answer {
            // The group goes on without us; the session ends, and that is reported as a loss.
            tracing::warn!("a change of the group could not be acknowledged: {error}");
        }
        self.lock().push_back(happening);
    }
}

/// The partition numbers of which every input is given, ascending, and what is given beside them.
pub(super) fn rectangle(
    inputs: &[TopicId],
    partitions: u32,
    given: &[TopicPartition],
) -> (Vec<u32>, Vec<TopicPartition>) {
    let mut topics: BTreeMap<u32, BTreeSet<TopicId>> = BTreeMap::new();
    for at in given {
        topics.entry(at.partition).or_default().insert(at.topic);
    }
    topics.retain(|number, topics| *number < partitions && inputs.iter().all(|input| topics.contains(input)));
    let odd = |at: &&TopicPartition| !topics.contains_key(&at.partition) || !inputs.contains(&at.topic);
    let odd = given.iter().filter(odd).copied().collect();
    (topics.into_keys().collect(), odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(topic: u16, partition: u32) -> TopicPartition {
        TopicPartition { topic: TopicId(topic), partition }
    }

    #[test]
    fn only_partitions_that_every_input_has_are_named() {
        let inputs = [TopicId(0), TopicId(2)];
        let full = [at(2, 1), at(0, 0), at(0, 1), at(2, 0)];
        assert_eq!(rectangle(&inputs, 4, &full), (vec![0, 1], vec![]));
        let corner = [at(0, 0), at(2, 0), at(0, 3)];
        assert_eq!(rectangle(&inputs, 4, &corner), (vec![0], vec![at(0, 3)]));
        let beyond = [at(0, 4), at(2, 4), at(1, 0)];
        assert_eq!(rectangle(&inputs, 4, &beyond), (vec![], beyond.to_vec()));
        assert_eq!(rectangle(&inputs, 4, &[]), (vec![], vec![]));
    }
}
