//! The simulated log: an in-memory broker that several members share, with Kafka's semantics
//! and a place for a fault before every call.
//!
//! It exists so that a crash, a fence, an unclear commit, a rebalance or a compaction can be put
//! between any two calls of a worker and the run repeated from its seed. Offline replay uses it
//! too, without faults: it is a plain log that needs no disk.
//!
//! ```text
//! SimBroker (tests hold this)      SimLog (a member; one per worker)
//!     │ append, rot, compact,          │ init, poll, begin, send … (the `Log` trait)
//!     │ deliver markers, expire        │   each call first asks the hook for a fault
//!     └──────────────┬─────────────────┘
//!                  State: partitions · transactions · group · positions
//! ```
//!
//! What is imitated: read-committed reads that stop at the last stable offset; markers that take
//! an offset; producer epochs; the two phases of ending a transaction, so that positions and
//! partitions become visible at different moments; positions fenced by generation and member but
//! *not* by ownership; an old request that ends a newer transaction; eager range assignment with
//! static members; partition numbers that some input topic lacks; retention and compaction at any
//! time; a client that withholds one partition.
//!
//! This room must not read a clock, sleep, or use randomness that is not seeded: time-outs are
//! actions of the test ([`SimBroker::expire_transaction`], [`SimBroker::expire_session`]).
//!
//! To add a fault: a variant of [`Fault`], its meaning in `member.rs`, a test in `tests.rs`. To
//! add broker behaviour: put it beside the state it touches (`partition`, `transaction`,
//! `group`), expose the scheduler's choice on [`SimBroker`] and, if a test must know that it
//! happened, count it in [`SimCounts`].

mod batch;
mod broker;
mod counts;
mod damage;
mod fault;
mod group;
mod member;
mod partition;
mod reading;
mod state;
mod transaction;

#[cfg(test)]
mod tests;

pub use batch::{SimBatch, SimRecord};
pub use broker::{CommittedRead, CommittedRecord, OpenTransaction, PendingMarker, SimBroker};
pub use counts::SimCounts;
pub use fault::{Call, CallSite, Fault, Hook, Indefinite};
pub use member::SimLog;
pub use transaction::MarkerTarget;

/// Most records one poll hands out unless the options say otherwise.
pub const DEFAULT_POLL_RECORDS: usize = 4096;
/// Most records a member may have sent and not yet drained unless the options say otherwise.
pub const DEFAULT_BUFFER_RECORDS: usize = 1_000_000;

/// A topic of the simulated broker.
#[derive(Clone, Debug)]
pub struct SimTopic {
    /// Its name; the [`super::TopicId`] is its index in [`SimOptions::topics`].
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// Whether [`SimBroker::compact`] may remove older records of a key.
    pub compacted: bool,
    /// Whether the consumer group is assigned its partitions.
    pub input: bool,
}

/// How the broker is made.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// All topics, inputs and outputs.
    pub topics: Vec<SimTopic>,
    /// `Some`: which partition answers a poll, and with how many records, is drawn from this
    /// seed. `None`: partitions take turns and a poll answers with all it may.
    pub seed: Option<u64>,
    /// Most records per poll.
    pub poll_records: usize,
    /// Most records sent and not yet drained; beyond it `send` answers `BufferFull`.
    pub buffer_records: usize,
    /// Whether the markers of an ended transaction are delivered at once. When not, the test
    /// delivers them one by one with [`SimBroker::deliver_marker`].
    pub auto_markers: bool,
    /// A part of the contract that is not kept, to show that a worker needs it.
    pub weakness: Option<Weakness>,
}

/// A part of the contract that a client may do without by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// `committed` answers although a transaction with such positions has no outcome yet.
    UnstablePositions,
    /// Positions are sent under the membership the client has at that moment instead of the one
    /// that was handed in. A client that was put out of the group has none and is not checked.
    FreshMembership,
    /// Positions are accepted under any membership.
    NoMembership,
}

impl SimOptions {
    /// Options without surprises: no seed, default limits, markers at once.
    pub fn new(topics: Vec<SimTopic>) -> Self {
        Self {
            topics,
            seed: None,
            poll_records: DEFAULT_POLL_RECORDS,
            buffer_records: DEFAULT_BUFFER_RECORDS,
            auto_markers: true,
            weakness: None,
        }
    }
}
