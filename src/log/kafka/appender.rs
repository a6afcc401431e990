//! Appends records outside any transaction: the way in for events that come by HTTP or a tool.
//!
//! It returns when the cluster has taken every record, or says what it did not take; such a record
//! may still arrive later. It must not be used for the outputs of a worker.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as LibraryError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::clock;
use crate::log::AppendRecord;

use super::admin::partition_number;
use super::client::{KafkaCluster, Patience};
use super::closing::Closing;
use super::context::Base;
use super::error::KafkaError;
use super::settings;

/// How long one look for acknowledgements takes; the library looks until the time is up.
const LOOK: Duration = Duration::from_millis(1);

/// Appends records; any thread may.
pub struct KafkaAppender {
    cluster: Arc<KafkaCluster>,
    /// Made anew after an error that the library cannot recover from.
    producer: Mutex<Arc<Appends>>,
}

type Appends = Closing<BaseProducer<AppendContext>>;

/// One call of [`KafkaAppender::append`].
#[derive(Default)]
struct Call {
    state: Mutex<CallState>,
}

#[derive(Default)]
struct CallState {
    pending: usize,
    failed: usize,
    /// Topic, partition and reason of the first record that failed.
    first: Option<(String, i32, Code)>,
}

struct AppendContext(Base);

impl ClientContext for AppendContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, line: &str) {
        self.0.log(level, fac, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.0.stats_raw(statistics);
    }

    fn error(&self, error: LibraryError, text: &str) {
        self.0.error(error, text);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.generate_oauth_token(config)
    }
}

impl ProducerContext for AppendContext {
    type DeliveryOpaque = Arc<Call>;

    fn delivery(&self, result: &DeliveryResult<'_>, call: Arc<Call>) {
        let mut state = call.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending = state.pending.saturating_sub(1);
        match result {
            Ok(_) => self.0.heard(),
            Err((error, message)) => {
                state.failed += 1;
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                let failure = || (message.topic().to_owned(), message.partition(), code);
                state.first.get_or_insert_with(failure);
            }
        }
    }
}

impl KafkaCluster {
    /// A producer without transactions.
    pub fn appender(self: &Arc<Self>) -> Result<KafkaAppender, KafkaError> {
        let producer = Mutex::new(Arc::new(make(self)?));
        Ok(KafkaAppender { cluster: Arc::clone(self), producer })
    }
}

fn make(cluster: &KafkaCluster) -> Result<Appends, KafkaError> {
    let context = AppendContext(cluster.base("appender"));
    let producer: Appends = cluster.make(&settings::appender(cluster.options()), context)?;
    // The first callback is the one for the token.
    producer.poll(Duration::ZERO);
    Ok(producer)
}

impl KafkaAppender {
    /// Appends these records and waits until all are acknowledged.
    /// [`KafkaError::Busy`] when there was no room for the first of them.
    pub fn append(&self, records: Vec<AppendRecord>, timeout: Duration) -> Result<(), KafkaError> {
        let _watched = self.cluster.guard("appending records");
        let producer = self.producer()?;
        let count = records.len();
        let call = Arc::new(Call::default());
        let deadline = clock::monotonic() + timeout;
        let mut patience = Patience::default();
        let mut records = records.into_iter().peekable();
        let mut sent = 0;
        let mut over = false;
        loop {
            while let Some(record) = records.peek() {
                if !self.send(&producer, record, &call)? {
                    break;
                }
                sent += 1;
                records.next();
            }
            if sent == 0 && records.peek().is_some() {
                return Err(KafkaError::Busy);
            }
            if over || (records.peek().is_none() && call.pending() == 0) {
                break;
            }
            producer.poll(LOOK);
            let now = clock::monotonic();
            over = now >= deadline || patience.is_over(&producer.context().0, now);
        }
        self.outcome(&producer, &call, count, count - sent)
    }

    /// The present producer; a new one in place of one that is beyond recovery.
    fn producer(&self) -> Result<Arc<Appends>, KafkaError> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, detail)) = producer.client().fatal_error() {
            tracing::warn!("the producer of appended records is made anew after {code:?}: {detail}");
            *producer = Arc::new(make(&self.cluster)?);
        }
        Ok(Arc::clone(&producer))
    }

    /// Whether there was room for the record.
    fn send(&self, producer: &Appends, record: &AppendRecord, call: &Arc<Call>) -> Result<bool, KafkaError> {
        let topic = self.cluster.topic(record.at)?;
        let mut to = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, Arc::clone(call))
            .partition(partition_number(record.at)?)
            .timestamp(record.timestamp_ms);
        to.key = record.key.as_deref();
        to.payload = record.value.as_deref();
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            to.headers =
                Some(record.headers.iter().fold(headers, |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(value) })
                }));
        }
        call.lock(|state| state.pending += 1);
        let Err((error, _)) = producer.send(to) else { return Ok(true) };
        call.lock(|state| state.pending -= 1);
        match error.rdkafka_error_code() {
            Some(Code::QueueFull) => Ok(false),
            _ => Err(self.cluster.failed(&place(topic, record.at.partition), &error, topic)),
        }
    }

    fn outcome(
        &self,
        producer: &Appends,
        call: &Call,
        count: usize,
        unsent: usize,
    ) -> Result<(), KafkaError> {
        let (pending, failed, first) = call.lock(|state| (state.pending, state.failed, state.first.take()));
        let missing = unsent + pending + failed;
        if missing == 0 {
            return Ok(());
        }
        let base = &producer.context().0;
        if let Some((topic, partition, code)) = first {
            let error = LibraryError::MessageProduction(code);
            return Err(match self.cluster.failed(&place(&topic, partition), &error, &topic) {
                // Time was up before a broker had it: then the connection has the better reason.
                KafkaError::Call { .. } if base.trouble().is_some() => self.cluster.unreachable(base),
                KafkaError::Call { what, detail } => KafkaError::Call {
                    what,
                    detail: format!("{missing} of {count} records were not taken: {detail}"),
                },
                other => other,
            });
        }
        if base.trouble().is_some() {
            return Err(self.cluster.unreachable(base));
        }
        Err(KafkaError::Call {
            what: "appending records".to_owned(),
            detail: format!(
                "{missing} of {count} records were not acknowledged in time; they may arrive later"
            ),
        })
    }
}

impl Call {
    fn lock<T>(&self, look: impl FnOnce(&mut CallState) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn pending(&self) -> usize {
        self.lock(|state| state.pending)
    }
}

fn place(topic: &str, partition: impl std::fmt::Display) -> String {
    format!("writing to {topic}/{partition}")
}
