//! One transaction after the other on one producer, and what became of each.
//!
//! Two rules of the library and of the brokers shape this file. A commit or abort with records
//! still under way waits in steps of a tenth of a second, so everything is drained in short polls
//! first. And a late request to end transaction *n* can end transaction *n*+1: after an outcome that
//! is not certain the producer is never used again; its successor of the same name is given a new
//! epoch, which shuts out what is still under way.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError as LibraryError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};

use super::client::KafkaCluster;
use super::closing::Closing;
use super::delivery::ProducerContext;
use super::error::KafkaError;
use super::outcome::{Verdict, is_fenced, judge, misuse, of_verdict};
use super::settings;
use crate::clock;
use crate::log::{CommitOutcome, CommittedPosition, Drain, LogError, Offset, OutRecord, TopicPartition};

/// Longest wait in one call of `init`; the call may be repeated.
const INIT_WAIT: Duration = Duration::from_secs(2);
/// Longest wait in one call of `drain`.
const DRAIN_WAIT: Duration = Duration::from_millis(10);
/// Between two looks at what was acknowledged: the first time, and at most. Each look costs two changes
/// of thread, and acknowledgements take some milliseconds.
const DRAIN_STEP: Duration = Duration::from_micros(250);
const DRAIN_STEP_MAX: Duration = Duration::from_millis(1);
/// Longest wait for positions to be taken; the call may be repeated.
const OFFSETS_WAIT: Duration = Duration::from_secs(2);
/// Longest wait for a commit.
const COMMIT_WAIT: Duration = Duration::from_secs(10);
/// A commit that took longer may have been sent twice.
const COMMIT_SUSPICIOUS: Duration = Duration::from_secs(2);
/// Longest wait for records that are under way when the transaction is aborted.
const ABORT_DRAIN_WAIT: Duration = Duration::from_millis(500);
/// Longest wait for an abort.
const ABORT_WAIT: Duration = Duration::from_secs(5);
/// Brokers refuse the first record of a transaction while they finish the one before it, and the
/// library then waits ten times as long.
const PAUSE_BETWEEN: Duration = Duration::from_millis(2);

/// Where the producer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its predecessors are not fenced yet.
    New,
    /// Between two transactions.
    Idle,
    /// Inside one.
    Open,
    /// Of no use any more.
    Dead,
}

/// The transactions of one worker.
pub(super) struct Transactions {
    producer: Closing<BaseProducer<ProducerContext>>,
    stage: Stage,
    /// Partitions written to by the open transaction.
    touched: Vec<usize>,
    ended: Option<Instant>,
    /// `gone` of the context when the last transaction was ended.
    gone: u64,
    /// The name under which they are fenced.
    name: String,
    cluster: Arc<KafkaCluster>,
}

impl Transactions {
    pub fn new(cluster: &Arc<KafkaCluster>, worker: u32) -> Result<Transactions, KafkaError> {
        let options = cluster.options();
        let partitions = usize::try_from(options.partitions).unwrap_or(0);
        let slots = options.topics.len() * partitions;
        let context = ProducerContext::new(cluster.base(&format!("producer {worker}")), slots, options);
        let settings = settings::transactional(options, worker);
        Ok(Transactions {
            producer: cluster.make(&settings, context)?,
            stage: Stage::New,
            touched: Vec::new(),
            ended: None,
            gone: 0,
            name: settings.get("transactional.id").unwrap_or_default().to_owned(),
            cluster: Arc::clone(cluster),
        })
    }

    fn context(&self) -> &ProducerContext {
        self.producer.context()
    }

    /// Runs the callbacks that wait.
    pub fn serve(&self) {
        self.context().base.serve(|| self.producer.poll(Duration::ZERO));
    }

    fn slot(&self, at: TopicPartition) -> Option<usize> {
        self.cluster.options().name(at)?;
        let partitions = usize::try_from(self.cluster.options().partitions).ok()?;
        Some(usize::from(at.topic.0) * partitions + usize::try_from(at.partition).ok()?)
    }

    /// Whether a transaction is open, or why there is none.
    pub fn is_open(&self) -> Result<(), LogError> {
        match self.stage {
            Stage::Open => Ok(()),
            Stage::New => Err(misuse("init has not finished")),
            Stage::Idle => Err(misuse("no transaction is open")),
            Stage::Dead => Err(misuse("this producer must not be used any more")),
        }
    }

    /// What an error of a transactional call means; a producer that is of no use any more is marked.
    fn failure(&mut self, what: &str, error: &LibraryError) -> LogError {
        self.serve();
        let verdict = judge(error);
        if matches!(verdict, Verdict::Fenced | Verdict::Broken) {
            self.stage = Stage::Dead;
        }
        let reason = self.context().base.trouble().map(|trouble| trouble.sentence);
        let about = match error.rdkafka_error_code() {
            Some(Code::GroupAuthorizationFailed) => &self.cluster.options().group,
            _ => &self.name,
        };
        let detail = match (verdict, reason) {
            (Verdict::Retry, Some(reason)) => reason,
            _ => match self.cluster.failed(what, error, about) {
                KafkaError::Denied { sentence } if verdict == Verdict::Broken => {
                    return LogError::Denied { sentence };
                }
                failed => failed.to_string(),
            },
        };
        of_verdict(verdict, detail)
    }

    /// Fences predecessors; `false`: call again.
    pub fn init(&mut self) -> Result<bool, LogError> {
        if self.stage != Stage::New {
            return Ok(true);
        }
        let _watched = self.cluster.guard("fencing earlier producers");
        // A new client has no token before its callbacks have run.
        self.serve();
        match self.producer.init_transactions(INIT_WAIT) {
            Ok(()) => {
                self.stage = Stage::Idle;
                self.context().base.heard();
                Ok(true)
            }
            Err(error) => match self.failure("fencing earlier producers", &error) {
                LogError::Unavailable { .. } => Ok(false),
                error => Err(error),
            },
        }
    }

    pub fn begin(&mut self) -> Result<(), LogError> {
        match self.stage {
            Stage::Idle => {}
            Stage::Open => return Err(misuse("a transaction is already open")),
            Stage::New | Stage::Dead => return self.is_open(),
        }
        if let Some(ended) = self.ended {
            // A commit is answered before its markers are written. Brokers that are killed in between may
            // never write them; another transaction would then end part of it, this way or that.
            self.serve();
            if self.context().gone.load(Ordering::Relaxed) != self.gone {
                self.stage = Stage::Dead;
                return Err(misuse("no broker was left behind a commit: what became of it is read back"));
            }
            let since = clock::monotonic().saturating_duration_since(ended);
            if since < PAUSE_BETWEEN {
                clock::pause(PAUSE_BETWEEN.saturating_sub(since));
            }
        }
        for slot in self.touched.drain(..) {
            if let Some(newest) = self.producer.context().newest.get(slot) {
                newest.store(-1, Ordering::Relaxed);
            }
        }
        *self.context().failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _watched = self.cluster.guard("beginning a transaction");
        if let Err(error) = self.producer.begin_transaction() {
            return Err(self.failure("beginning a transaction", &error));
        }
        self.stage = Stage::Open;
        Ok(())
    }

    pub fn send(&mut self, record: &OutRecord) -> Result<(), LogError> {
        self.is_open()?;
        let Some(slot) = self.slot(record.to) else { return Err(misuse("no such partition to write to")) };
        let cluster = Arc::clone(&self.cluster);
        let name = cluster.options().name(record.to).unwrap_or_default();
        let mut out = BaseRecord::<[u8], [u8], usize>::with_opaque_to(name, slot)
            .partition(i32::try_from(record.to.partition).unwrap_or(i32::MAX))
            // The library takes 0 for "now", and brokers refuse times before 1970.
            .timestamp(record.timestamp_ms.max(1));
        if let Some(key) = &record.key {
            out = out.key(key);
        }
        if let Some(value) = &record.value {
            out = out.payload(value);
        }
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            let headers = record
                .headers
                .iter()
                .fold(headers, |all, (key, value)| all.insert(Header { key, value: Some(&**value) }));
            out = out.headers(headers);
        }
        match self.producer.send(out) {
            Ok(()) => {
                if !self.touched.contains(&slot) {
                    self.touched.push(slot);
                }
                Ok(())
            }
            Err((LibraryError::MessageProduction(Code::QueueFull), _)) => Err(LogError::BufferFull),
            Err((error, _)) => {
                let failure = self.failure(&format!("writing to {name}"), &error);
                // Nothing that is refused here becomes right by being sent again.
                Err(match failure {
                    LogError::Unavailable { detail } => LogError::AbortRequired { detail },
                    failure => failure,
                })
            }
        }
    }

    /// Polls until nothing is under way or the time is up; `true`: nothing is.
    fn settle(&self, longest: Duration) -> bool {
        let deadline = clock::monotonic() + longest;
        let (mut before, mut step) = (i32::MAX, DRAIN_STEP);
        loop {
            let left = self.producer.in_flight_count();
            if left == 0 {
                return true;
            }
            if clock::monotonic() >= deadline {
                return false;
            }
            if left >= before {
                // The library's own wait would spin for as long.
                clock::pause(step);
                step = (step * 2).min(DRAIN_STEP_MAX);
            }
            before = left;
            self.serve();
        }
    }

    pub fn drain(&mut self) -> Result<Drain, LogError> {
        self.is_open()?;
        if !self.settle(DRAIN_WAIT) {
            return Ok(Drain::Pending);
        }
        let failed = *self.context().failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed {
            None => Ok(Drain::Done),
            Some((code, slot)) => Err(self.undelivered(code, slot)),
        }
    }

    /// Why the open transaction failed: the library says it to any call that is out of place.
    fn cause(&self) -> Option<Code> {
        self.producer.begin_transaction().err()?.rdkafka_error_code()
    }

    /// A record was refused.
    fn undelivered(&mut self, code: Code, slot: usize) -> LogError {
        let _watched = self.cluster.guard("looking for the cause of a failure");
        // Records of a transaction that has failed are taken back, which is no reason by itself.
        let taken_back = matches!(code, Code::PurgeQueue | Code::PurgeInflight);
        let code = if taken_back { self.cause().unwrap_or(code) } else { code };
        self.serve();
        let closed = self.context().closed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fatal = self.producer.client().fatal_error();
        let fenced = is_fenced(code) || fatal.as_ref().is_some_and(|(code, _)| is_fenced(*code));
        let options = self.cluster.options();
        let partitions = usize::try_from(options.partitions).unwrap_or(1).max(1);
        let name = options.topics.get(slot / partitions).cloned();
        let name = closed.filter(|_| taken_back).or(name).unwrap_or_default();
        if fenced {
            self.stage = Stage::Dead;
            return LogError::Fenced { detail: format!("a record for {name} was not accepted: {code}") };
        }
        match self.cluster.access(code, &name) {
            Some(sentence) => {
                // Readers of the other partitions must not wait for its end; the producer is given up.
                drop(self.abort());
                self.stage = Stage::Dead;
                LogError::Denied { sentence }
            }
            None => {
                LogError::AbortRequired { detail: format!("a record for {name} was not accepted: {code}") }
            }
        }
    }

    pub fn last_sent(&self, at: TopicPartition) -> Option<Offset> {
        let newest = self.context().newest.get(self.slot(at)?)?.load(Ordering::Relaxed);
        Offset::try_from(newest).ok()
    }

    pub fn send_offsets(
        &mut self,
        positions: &[(TopicPartition, CommittedPosition)],
        group: &ConsumerGroupMetadata,
    ) -> Result<(), LogError> {
        self.is_open()?;
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (at, position) in positions {
            let name = self.cluster.options().name(*at).ok_or_else(|| misuse("no such partition"))?;
            let offset = i64::try_from(position.position).unwrap_or(i64::MAX);
            let partition = i32::try_from(at.partition).unwrap_or(i32::MAX);
            if list.add_partition_offset(name, partition, Place::Offset(offset)).is_err() {
                return Err(misuse("a position that cannot be one"));
            }
            if let Some(mut entry) = list.find_partition(name, partition) {
                entry.set_metadata(&position.metadata);
            }
        }
        let _watched = self.cluster.guard("adding positions to a transaction");
        let sent = self.producer.send_offsets_to_transaction(&list, group, OFFSETS_WAIT);
        sent.map_err(|error| self.failure("adding positions to a transaction", &error))
    }

    pub fn commit(&mut self) -> Result<CommitOutcome, LogError> {
        if self.drain()? == Drain::Pending {
            return Ok(CommitOutcome::Pending);
        }
        let _watched = self.cluster.guard("committing a transaction");
        // What happened before this call says nothing about its outcome.
        self.serve();
        let lost = self.context().lost.load(Ordering::Relaxed);
        let began = clock::monotonic();
        let answer = self.producer.commit_transaction(COMMIT_WAIT);
        self.serve();
        let now = clock::monotonic();
        let quick = now.saturating_duration_since(began) <= COMMIT_SUSPICIOUS;
        match answer {
            Ok(()) if quick && self.context().lost.load(Ordering::Relaxed) == lost => {
                self.stage = Stage::Idle;
                self.ended = Some(now);
                self.gone = self.context().gone.load(Ordering::Relaxed);
                self.context().base.heard();
                return Ok(CommitOutcome::Committed);
            }
            Ok(()) => tracing::warn!("a commit was slow or lost its connection: its outcome is read back"),
            Err(error) => match judge(&error) {
                Verdict::Abort => return Err(self.failure("committing a transaction", &error)),
                Verdict::Fenced => {
                    self.stage = Stage::Dead;
                    return Ok(CommitOutcome::Fenced);
                }
                Verdict::Retry | Verdict::Broken => {
                    tracing::warn!("the outcome of a commit is unknown and is read back: {error}");
                }
            },
        }
        self.stage = Stage::Dead;
        Ok(CommitOutcome::Indefinite)
    }

    pub fn abort(&mut self) -> Result<(), LogError> {
        self.is_open()?;
        let _watched = self.cluster.guard("aborting a transaction");
        // An abort does not look at acknowledgements and would wait for them until its time is up.
        if !self.settle(ABORT_DRAIN_WAIT) {
            self.producer.purge(PurgeConfig::default().queue().inflight());
            self.settle(ABORT_DRAIN_WAIT);
        }
        // What happened before this call says nothing about its outcome.
        self.serve();
        let lost = self.context().lost.load(Ordering::Relaxed);
        let answer = self.producer.abort_transaction(ABORT_WAIT);
        self.serve();
        match answer {
            Ok(()) if self.context().lost.load(Ordering::Relaxed) == lost => {
                self.stage = Stage::Idle;
                self.ended = Some(clock::monotonic());
                self.gone = self.context().gone.load(Ordering::Relaxed);
                // What was written is void, and so is what is known of it.
                Ok(())
            }
            Ok(()) => {
                self.stage = Stage::Dead;
                Err(misuse("the connection was lost during an abort"))
            }
            Err(error) => {
                let failure = self.failure("aborting a transaction", &error);
                // Late requests may still end the next transaction: there must be none.
                self.stage = Stage::Dead;
                Err(failure)
            }
        }
    }
}
