//! The transaction coordinator: producer epochs and the two phases of ending a transaction.

use std::collections::BTreeSet;

use crate::log::{CommittedPosition, TopicPartition};

/// Identifies one transaction in the whole broker.
pub(super) type TxnId = u64;

/// Where a marker has to be written before a transaction has ended everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MarkerTarget {
    /// The group's positions.
    Positions,
    /// A partition the transaction wrote to.
    Partition(TopicPartition),
}

/// Where the newest transaction of a producer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing is under way; `last` is how the newest transaction ended, if there was one.
    Empty { last: Option<bool> },
    /// Records or positions were added.
    Open,
    /// The outcome is decided; markers are still to be written.
    Ending { commit: bool },
}

/// Why a request of a producer was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A newer epoch exists.
    Fenced,
    /// The previous transaction has not ended everywhere (Kafka: concurrent transactions).
    Busy,
    /// The transaction already ended the other way (Kafka: invalid transactional state, fatal).
    Invalid,
}

/// One transactional id.
#[derive(Debug)]
pub(super) struct Producer {
    pub(super) epoch: u64,
    pub(super) stage: Stage,
    pub(super) txn: TxnId,
    pub(super) targets: BTreeSet<MarkerTarget>,
    pub(super) positions: Vec<(TopicPartition, CommittedPosition)>,
}

impl Producer {
    pub(super) fn new() -> Self {
        Self {
            epoch: 0,
            stage: Stage::Empty { last: None },
            txn: 0,
            targets: BTreeSet::new(),
            positions: Vec::new(),
        }
    }

    /// A new epoch, or `None` while the predecessor's transaction is being ended. An open one is
    /// fenced first, so that it can no longer be committed, and then aborted.
    pub(super) fn init(&mut self) -> Option<u64> {
        match self.stage {
            Stage::Empty { .. } => {
                self.epoch += 1;
                Some(self.epoch)
            }
            Stage::Open => {
                self.expire();
                None
            }
            Stage::Ending { .. } => None,
        }
    }

    /// The transaction timeout: the epoch moves, an open transaction is aborted.
    pub(super) fn expire(&mut self) {
        self.epoch += 1;
        if self.stage == Stage::Open {
            self.stage = Stage::Ending { commit: false };
        }
    }

    /// Joins the open transaction, opening one (numbered `fresh`) if there is none.
    pub(super) fn enter(&mut self, epoch: u64, target: MarkerTarget, fresh: TxnId) -> Result<TxnId, Refused> {
        if epoch != self.epoch {
            return Err(Refused::Fenced);
        }
        match self.stage {
            Stage::Ending { .. } => return Err(Refused::Busy),
            Stage::Empty { .. } => {
                self.stage = Stage::Open;
                self.txn = fresh;
                self.targets.clear();
                self.positions.clear();
            }
            Stage::Open => {}
        }
        self.targets.insert(target);
        Ok(self.txn)
    }

    /// Decides the outcome of whatever transaction is open. The request names no transaction:
    /// a late one ends a newer transaction, as the protocol of this client generation does.
    pub(super) fn end(&mut self, epoch: u64, commit: bool) -> Result<(), Refused> {
        if epoch != self.epoch {
            return Err(Refused::Fenced);
        }
        match self.stage {
            Stage::Open => {
                self.stage = Stage::Ending { commit };
                Ok(())
            }
            Stage::Ending { commit: decided } | Stage::Empty { last: Some(decided) } if decided == commit => {
                Ok(())
            }
            _ => Err(Refused::Invalid),
        }
    }
}
