//! Where the workers of an instance get their log handles, and what they wait for between steps.

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::ends::Ends;
use crate::clock;
use crate::log::kafka::{KafkaCluster, KafkaError, KafkaLog};
use crate::log::local::{LocalLog, LocalStore};
use crate::log::{Log, Offset, TopicPartition};

/// Makes the members of one worker, one after the other.
pub trait Members: Send + 'static {
    /// Their kind of log.
    type Log: Log;
    /// Why there is no handle to be had.
    type Error: Display;

    /// A fresh handle.
    fn member(&self) -> Result<Self::Log, Self::Error>;

    /// A number that changes whenever the log has something new; taken before a step.
    fn changes(&self) -> u64;

    /// Waits for a change, at most so long. `polled`: the step has waited in its poll already.
    fn wait(&self, seen: u64, longest: Duration, polled: bool);

    /// One past the newest record, as far as it is known without asking anybody.
    fn end(&self, at: TopicPartition) -> Option<Offset>;

    /// Why no member can go on, if so: found by somebody else than the members.
    fn must_end(&self) -> Option<String> {
        None
    }
}

impl Members for Arc<LocalStore> {
    type Log = LocalLog;
    type Error = Infallible;

    fn member(&self) -> Result<LocalLog, Infallible> {
        Ok(LocalStore::member(self))
    }

    fn changes(&self) -> u64 {
        LocalStore::changes(self)
    }

    fn wait(&self, seen: u64, longest: Duration, _: bool) {
        self.wait_for_change(seen, longest);
    }

    fn end(&self, at: TopicPartition) -> Option<Offset> {
        // A log that cannot answer has told the worker already.
        self.watermarks(at).ok().map(|marks| marks.end)
    }
}

/// Members of a cluster's group: one name per worker.
pub struct ClusterMembers {
    /// The cluster.
    pub cluster: Arc<KafkaCluster>,
    /// Ends of the inputs, looked at now and then.
    pub ends: Arc<Ends>,
    /// Which worker of this process.
    pub worker: u32,
}

impl Members for ClusterMembers {
    type Log = KafkaLog;
    type Error = KafkaError;

    fn member(&self) -> Result<KafkaLog, KafkaError> {
        self.cluster.member(self.worker)
    }

    fn changes(&self) -> u64 {
        0
    }

    fn wait(&self, _: u64, longest: Duration, polled: bool) {
        if !polled {
            clock::pause(longest);
        }
    }

    fn end(&self, at: TopicPartition) -> Option<Offset> {
        self.ends.get(at)
    }

    fn must_end(&self) -> Option<String> {
        self.ends.wrong()
    }
}
