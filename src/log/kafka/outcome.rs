//! What an error of the library means to the caller of the trait.
//!
//! Three questions decide: may the same call succeed when it is repeated, can the transaction be
//! ended by an abort, and has somebody taken our place. To add a code: to one of the lists below,
//! with a row in the tests.

use rdkafka::error::{KafkaError as LibraryError, RDKafkaErrorCode as Code};

use super::client::{KafkaCluster, is_transport};
use super::error::KafkaError;
use crate::log::LogError;

/// What follows from the error of a transactional call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same call may succeed later.
    Retry,
    /// The transaction must be aborted.
    Abort,
    /// A newer producer of the same name exists, or the transaction outlived its time.
    Fenced,
    /// The producer is of no use any more.
    Broken,
}

/// Judges the error of a transactional call.
pub(super) fn judge(error: &LibraryError) -> Verdict {
    let code = error.rdkafka_error_code();
    let fenced = code.is_some_and(is_fenced);
    match error {
        LibraryError::Transaction(error) if error.is_fatal() => {
            if fenced {
                Verdict::Fenced
            } else {
                Verdict::Broken
            }
        }
        LibraryError::Transaction(error) if error.txn_requires_abort() => Verdict::Abort,
        LibraryError::Transaction(error) if error.is_retriable() => Verdict::Retry,
        _ if fenced => Verdict::Fenced,
        _ if is_transport(error) => Verdict::Retry,
        _ => Verdict::Broken,
    }
}

/// Whether the code says that a newer producer of the same name exists, or that the cluster has
/// ended our transaction.
pub(super) fn is_fenced(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

/// Whether the code alone says that waiting may help: leaders move, topics appear.
fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::UnstableOffsetCommit
            | Code::RebalanceInProgress
            | Code::WaitingForCoordinator
            | Code::Resolve
    )
}

/// The error of a call that asks or reads. `what` is asked for, in words.
pub(super) fn of_call(cluster: &KafkaCluster, what: &str, error: &LibraryError) -> LogError {
    let passing = is_transport(error) || error.rdkafka_error_code().is_some_and(may_pass);
    if passing && let Some(trouble) = cluster.trouble() {
        return LogError::Unavailable { detail: format!("{what}: {}", trouble.sentence) };
    }
    let of_group = error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed);
    let detail = match cluster.failed(what, error, if of_group { &cluster.options().group } else { what }) {
        KafkaError::Denied { sentence } if of_group => return LogError::Denied { sentence },
        failed => failed.to_string(),
    };
    if passing { LogError::Unavailable { detail } } else { LogError::Store { detail } }
}

/// The error of a transactional call, with what was said.
pub(super) fn of_verdict(verdict: Verdict, detail: String) -> LogError {
    match verdict {
        Verdict::Retry => LogError::Unavailable { detail },
        Verdict::Abort => LogError::AbortRequired { detail },
        Verdict::Fenced => LogError::Fenced { detail },
        Verdict::Broken => LogError::Store { detail },
    }
}

/// A call at a time when it has no meaning.
pub(super) fn misuse(detail: &str) -> LogError {
    LogError::Store { detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_judged_without_their_flags_as_well() {
        let of = |code| judge(&LibraryError::MessageProduction(code));
        assert_eq!(of(Code::Fenced), Verdict::Fenced);
        assert_eq!(of(Code::InvalidProducerEpoch), Verdict::Fenced);
        assert_eq!(of(Code::OperationTimedOut), Verdict::Retry);
        assert_eq!(of(Code::BrokerTransportFailure), Verdict::Retry);
        assert_eq!(of(Code::InvalidTransactionalState), Verdict::Broken);
        assert_eq!(of(Code::TransactionalIdAuthorizationFailed), Verdict::Broken);
    }

    #[test]
    fn a_verdict_becomes_the_error_that_asks_for_the_right_thing() {
        let of = |verdict| of_verdict(verdict, "x".to_owned());
        assert!(matches!(of(Verdict::Retry), LogError::Unavailable { .. }));
        assert!(matches!(of(Verdict::Abort), LogError::AbortRequired { .. }));
        assert!(matches!(of(Verdict::Fenced), LogError::Fenced { .. }));
        assert!(matches!(of(Verdict::Broken), LogError::Store { .. }));
    }
}
