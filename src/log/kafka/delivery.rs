//! What the callbacks of a transactional producer report, for [`super::transaction`] to judge.
//!
//! Some of it stands only in lines of the library's log. Above all this: a connection that is lost while
//! the end of a transaction is under way is no error to the library, which connects and asks again;
//! it tells it with `debug=eos`, which every transactional producer therefore has.
//!
//! This file must not call the library.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as LibraryError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext as LibraryContext};

use super::KafkaOptions;
use super::client::is_transport;
use super::context::Base;

/// What the callbacks of the producer report.
pub(super) struct ProducerContext {
    pub base: Base,
    /// Newest acknowledged offset by partition; -1 for none.
    pub newest: Vec<AtomicI64>,
    /// Why the first record that was not acknowledged was not, and its index into `newest`.
    pub failed: Mutex<Option<(Code, usize)>>,
    /// How often the connection was lost, or the end of a transaction had no answer.
    pub lost: AtomicU64,
    /// How often no broker was left.
    pub gone: AtomicU64,
    /// The topic that we may not write to, of which only a line of the library's log speaks.
    pub closed: Mutex<Option<String>>,
    /// The operator wants to see every line.
    wordy: bool,
}

impl ProducerContext {
    /// For so many partitions.
    pub fn new(base: Base, slots: usize, options: &KafkaOptions) -> ProducerContext {
        ProducerContext {
            base,
            newest: (0..slots).map(|_| AtomicI64::new(-1)).collect(),
            failed: Mutex::default(),
            lost: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            closed: Mutex::default(),
            wordy: options.properties.contains_key("debug"),
        }
    }
}

/// Whether a line says that a request to end a transaction has no answer: the library sends it
/// again, and the first one may still be on its way.
fn is_unanswered_end(fac: &str, line: &str) -> bool {
    let answer = line.split_once("EndTxn returned ").map(|(_, answer)| answer);
    fac == "ENDTXN" && answer.is_some_and(|answer| answer.starts_with('_'))
}

/// The topic in a line of the library about a partition that a transaction may not write to.
fn closed_topic(fac: &str, line: &str) -> Option<String> {
    let denied = fac == "ADDPARTS" && line.ends_with("Topic authorization failed");
    line.split('"').nth(1).filter(|_| denied).map(str::to_owned)
}

impl ClientContext for ProducerContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, line: &str) {
        if let Some(topic) = closed_topic(fac, line) {
            *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(topic);
        }
        if is_unanswered_end(fac, line) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(level, RDKafkaLogLevel::Debug) && !self.wordy {
            // Asked for only to be read here.
            self.base.count();
            return;
        }
        self.base.log(level, fac, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.base.stats_raw(statistics);
    }

    fn error(&self, error: LibraryError, text: &str) {
        if is_transport(&error) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        if error.rdkafka_error_code() == Some(Code::AllBrokersDown) {
            self.gone.fetch_add(1, Ordering::Relaxed);
        }
        self.base.error(error, text);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.base.generate_oauth_token(config)
    }
}

impl LibraryContext for ProducerContext {
    /// Which partition the record went to, as an index into `newest`.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: usize) {
        match result {
            Ok(message) => {
                if let Some(newest) = self.newest.get(slot) {
                    newest.fetch_max(message.offset(), Ordering::Relaxed);
                }
            }
            Err((error, _)) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert((error.rdkafka_error_code().unwrap_or(Code::Unknown), slot));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{closed_topic, is_unanswered_end};

    #[test]
    fn the_topic_that_is_closed_is_read_from_the_librarys_line() {
        let line =
            "[thrd:main]: TxnCoordinator/1: Failed to add partition \"a.b.v1\" [2] to transaction: Broker: ";
        let of = |fac, end| closed_topic(fac, &format!("{line}{end}"));
        assert_eq!(of("ADDPARTS", "Topic authorization failed").as_deref(), Some("a.b.v1"));
        assert_eq!(of("ADDPARTS", "Operation not attempted"), None);
        assert_eq!(of("TXNERR", "Topic authorization failed"), None);
    }

    #[test]
    fn an_end_without_an_answer_is_read_from_the_librarys_line() {
        let of = |code: &str| {
            let state = "in state CommittingTransaction (may_retry=true)";
            is_unanswered_end("ENDTXN", &format!("[thrd:main]: EndTxn returned {code} {state}"))
        };
        assert!(of("_TRANSPORT") && of("_TIMED_OUT") && of("_TIMED_OUT_QUEUE"));
        // Brokers that answer have done it, or have not.
        assert!(!of("NO_ERROR") && !of("CONCURRENT_TRANSACTIONS") && !of("NOT_COORDINATOR"));
        assert!(!is_unanswered_end("TXNSTATE", "EndTxn returned _TRANSPORT in state"));
    }
}
