//! A member of the group with its transactional producer: the `Log` trait on a cluster.
//!
//! One thread owns it and makes all its calls. What comes in goes through one batch queue, to which
//! every partition is forwarded; the consumer's own queue carries only what the library has to say.
//! Dropping it leaves the group as soon as the last batch it handed out is gone.

mod calls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError as LibraryError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};

use super::client::{KafkaCluster, is_transport};
use super::closing::Closing;
use super::context::SERVED_MAX;
use super::drain::{BatchQueue, KafkaBatch, Message, Notice};
use super::error::KafkaError;
use super::inputs::Inputs;
use super::outcome::{misuse, of_call};
use super::probe::Prober;
use super::range::RangeReader;
use super::rebalance::{Happening, MemberContext, rectangle};
use super::settings;
use super::transaction::Transactions;
use crate::clock;
use crate::log::{GroupMetadata, LogError, Offset, Polled, TopicId, TopicPartition, Watermarks};

/// Most records handed out at once.
const BATCH: usize = 4096;
/// Longest wait between two looks at what the library has to say beside records.
const SLICE: Duration = Duration::from_millis(20);
/// Longest wait for committed positions; the call may be repeated.
const COMMITTED_WAIT: Duration = Duration::from_secs(1);
/// Longest wait for an answer that only a sweep asks for; the call may be repeated.
const SETTLED_WAIT: Duration = Duration::from_secs(2);
/// While inputs are read, a reader of ranges that nobody asks is let go after this: it would go on to
/// fetch and to hold what it fetched.
const READER_IDLE: Duration = Duration::from_secs(60);
/// Longest wait for a record in a range.
const RANGE_WAIT: Duration = Duration::from_millis(100);
/// How often it is said that no broker answers.
const SAY_AGAIN: Duration = Duration::from_secs(1);
/// How long a member that lost its transactional id waits to learn whether its name is taken too:
/// the group's answer to a heartbeat, every 3 s, tells.
const NAME_WAIT: Duration = Duration::from_secs(4);

/// The membership under which positions are committed.
struct Membership {
    shown: GroupMetadata,
    /// `None` if the library had none to give: then nothing can be committed.
    held: Option<ConsumerGroupMetadata>,
}

/// Whether brokers answer.
#[derive(Default)]
struct Silence {
    lost: bool,
    said: Option<Instant>,
}

/// The member of a cluster's group, with its transactions.
pub struct KafkaLog {
    transactions: Transactions,
    reader: Option<RangeReader>,
    /// When it was asked last.
    reader_asked: Instant,
    queue: BatchQueue,
    inputs: Inputs,
    consumer: Arc<Closing<BaseConsumer<MemberContext>>>,
    prober: Arc<Prober>,
    membership: Option<Membership>,
    /// How many assignments there have been.
    assignments: i64,
    /// Whether the group waits for our word that we let go.
    revoking: bool,
    silence: Silence,
    /// An error that came behind records: told once they are handed out.
    pending: Option<LogError>,
    notices: Vec<Notice>,
    subscribed: bool,
    name: String,
    cluster: Arc<KafkaCluster>,
}

impl KafkaCluster {
    /// A fresh member of the group: worker `worker` of this process. It does not connect yet.
    pub fn member(self: &Arc<Self>, worker: u32) -> Result<KafkaLog, KafkaError> {
        let options = self.options();
        let name = format!("{}-{worker}", options.instance);
        let context = MemberContext::new(self.base(&format!("consumer {worker}")));
        let consumer = Arc::new(self.make(&settings::member(options, worker), context)?);
        let queue = BatchQueue::new(&consumer, options, &options.inputs, BATCH).ok_or_else(bad_name)?;
        let prober = self.prober()?;
        Ok(KafkaLog {
            transactions: Transactions::new(self, worker)?,
            reader: None,
            reader_asked: clock::monotonic(),
            queue,
            inputs: Inputs::new(Arc::clone(&prober)),
            consumer,
            prober,
            membership: None,
            assignments: 0,
            revoking: false,
            silence: Silence::default(),
            pending: None,
            notices: Vec::new(),
            subscribed: false,
            name,
            cluster: Arc::clone(self),
        })
    }
}

fn bad_name() -> KafkaError {
    KafkaError::Setting { setting: "topics".to_owned(), detail: "a name cannot be a topic's".to_owned() }
}

impl KafkaLog {
    fn ready(&self) -> Result<(), LogError> {
        if self.subscribed { Ok(()) } else { Err(misuse("init has not finished")) }
    }

    fn place(&self, at: TopicPartition) -> Result<(&str, i32), LogError> {
        let name = self.cluster.options().name(at).ok_or_else(|| misuse("no such partition"))?;
        Ok((name, i32::try_from(at.partition).unwrap_or(i32::MAX)))
    }

    /// A list for the library, in the order of `at`.
    fn list(
        &self,
        at: impl Iterator<Item = (TopicPartition, Place)>,
    ) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        for (at, place) in at {
            let (name, partition) = self.place(at)?;
            list.add_partition_offset(name, partition, place).map_err(|error| misuse(&error.to_string()))?;
        }
        Ok(list)
    }

    /// Runs the callbacks that wait and takes the errors that the consumer reports.
    fn serve(&mut self) -> Result<(), LogError> {
        self.transactions.serve();
        for _ in 0..SERVED_MAX {
            let before = self.consumer.context().base().callbacks();
            let error = match self.consumer.poll(Duration::ZERO) {
                // A callback ran, and there may be more behind it.
                None if self.consumer.context().base().callbacks() != before => continue,
                None => return Ok(()),
                Some(Err(error)) => error,
                // Every partition is forwarded: a record here would be a hole in its batch.
                Some(Ok(_)) => return Err(misuse("a record came past the batch queue")),
            };
            match error {
                LibraryError::MessageConsumptionFatal(code) => return Err(self.fatal(code)),
                LibraryError::PartitionEOF(_) => {}
                error if is_transport(&error) => self.silence.lost = true,
                error if error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) => {
                    return Err(of_call(&self.cluster, "joining the group", &error));
                }
                // The context has noted what is worth noting; the library goes on trying.
                error => tracing::debug!(member = self.name, "the consumer reports: {error}"),
            }
        }
        Ok(())
    }

    fn fatal(&self, code: Code) -> LogError {
        let options = self.cluster.options();
        match code {
            // A successor of the same name is let in, or meets whoever has the name by now.
            Code::FencedInstanceId if self.consumer.context().session_ended() => {
                LogError::Fenced { detail: "our session in the group had ended".to_owned() }
            }
            Code::FencedInstanceId | Code::UnreleasedInstanceId => {
                LogError::InstanceTaken { instance: options.instance.clone() }
            }
            code => misuse(&format!("the consumer {} cannot go on: {code}", self.name)),
        }
    }

    /// The cluster has answered.
    fn heard(&mut self) {
        self.silence.lost = false;
        self.consumer.context().base().heard();
    }

    fn happening(&mut self, happening: Happening) -> Result<Polled<KafkaBatch>, LogError> {
        self.heard();
        self.inputs.start(&[]);
        self.pending = None;
        Ok(match happening {
            Happening::Assigned { given, group } => {
                if self.is_former(&given) && self.cluster.leave_former(&self.name) {
                    let session = self.cluster.options().session_timeout;
                    return Err(misuse(&format!(
                        "the group gives {} the partitions of a former configuration, as it does to whoever returns \
                         within a session; it joins anew once that is over, in {} s",
                        self.name,
                        session.as_secs()
                    )));
                }
                self.revoking = false;
                self.assignments += 1;
                let shown = GroupMetadata { generation: self.assignments, member: self.name.clone() };
                self.membership = Some(Membership { shown: shown.clone(), held: group });
                let (partitions, unusable) = self.whole(&given);
                Polled::Assigned { partitions, unusable, group: shown }
            }
            Happening::Revoked => {
                self.revoking = true;
                Polled::Revoked
            }
            Happening::Lost => {
                self.membership = None;
                self.let_go();
                Polled::Lost
            }
        })
    }

    /// Whether this was given for other topics than ours: to a member that returns in time the group
    /// hands back what it had, whatever it asks for now.
    fn is_former(&self, given: &[(String, i32)]) -> bool {
        let options = self.cluster.options();
        let name = |id: &TopicId| options.topics.get(usize::from(id.0));
        let is_ours = |topic: &String| options.inputs.iter().any(|id| name(id) == Some(topic));
        let lacks = |id: &TopicId| !given.iter().any(|(topic, _)| Some(topic) == name(id));
        !given.is_empty()
            && (given.iter().any(|(topic, _)| !is_ours(topic)) || options.inputs.iter().any(lacks))
    }

    /// The partition numbers of which every input is ours, and those of which some are.
    fn whole(&self, given: &[(String, i32)]) -> (Vec<u32>, Vec<u32>) {
        let options = self.cluster.options();
        let known = |(name, partition): &(String, i32)| {
            let topic =
                options.inputs.iter().find(|id| options.topics.get(usize::from(id.0)) == Some(name))?;
            Some(TopicPartition { topic: *topic, partition: u32::try_from(*partition).ok()? })
        };
        let given: Vec<_> = given.iter().filter_map(known).collect();
        let (numbers, odd) = rectangle(&options.inputs, options.partitions, &given);
        if let Some(first) = odd.first() {
            let name = options.topics.get(usize::from(first.topic.0)).map_or("?", String::as_str);
            tracing::error!(
                member = self.name,
                "{} of the given input partitions cannot be used, the first is {name}/{}: every input topic \
                 must have exactly {} partitions; create the missing ones",
                odd.len(),
                first.partition,
                options.partitions
            );
        }
        let mut unusable: Vec<u32> = odd.iter().map(|at| at.partition).collect();
        unusable.sort_unstable();
        unusable.dedup();
        (numbers, unusable)
    }

    /// Tells the group that we read nothing of what it took away.
    fn let_go(&mut self) {
        self.revoking = false;
        let _watched = self.cluster.guard("giving partitions back");
        if let Err(error) = self.consumer.unassign() {
            tracing::warn!(member = self.name, "partitions could not be given back: {error}");
        }
    }

    /// Takes records, and what came beside them.
    fn take(&mut self, wait: Duration) -> Result<Option<KafkaBatch>, LogError> {
        let messages = self.queue.take(wait, &mut self.notices);
        let batch = self.hand_out(messages);
        for notice in std::mem::take(&mut self.notices) {
            match notice {
                Notice::Eof { at, position } => {
                    self.heard();
                    self.inputs.note_end(at, position);
                }
                Notice::Error { at, offset, code, detail } => self.note_error(at, offset, code, &detail),
            }
        }
        Ok(batch)
    }

    fn hand_out(&mut self, messages: Vec<Message>) -> Option<KafkaBatch> {
        if messages.is_empty() {
            return None;
        }
        self.heard();
        let batch = self.queue.batch(messages);
        for (at, offset) in batch.ends() {
            self.inputs.note_record(at, offset);
        }
        Some(batch)
    }

    fn note_error(&mut self, at: Option<TopicPartition>, offset: Option<Offset>, code: Code, detail: &str) {
        let error = LibraryError::MessageConsumption(code);
        let missing = at.and_then(|at| Some((at, self.inputs.position(at)?)));
        let missing = missing.map(|(at, position)| (at, offset.unwrap_or(position)));
        self.pending = match (code, missing) {
            (Code::AutoOffsetReset, Some((at, offset))) => Some(self.out_of_range(at, offset)),
            // Of a partition that is no longer read.
            (Code::AutoOffsetReset, None) => return,
            _ if is_transport(&error) => {
                self.silence.lost = true;
                return;
            }
            _ => Some(self.no_access(code, at).unwrap_or_else(|| {
                match of_call(&self.cluster, "reading the input", &error) {
                    LogError::Store { .. } => misuse(&format!("reading the input failed: {detail}")),
                    passing => passing,
                }
            })),
        };
    }

    /// The error of reading what we may not read.
    fn no_access(&self, code: Code, at: Option<TopicPartition>) -> Option<LogError> {
        let name = at.and_then(|at| self.cluster.options().name(at)).unwrap_or("that we read");
        let of_topic = code == Code::TopicAuthorizationFailed;
        let sentence = self.cluster.access(code, name).filter(|_| of_topic)?;
        Some(LogError::Denied { sentence })
    }

    fn out_of_range(&self, at: TopicPartition, offset: Offset) -> LogError {
        match self.prober.watermarks(at) {
            Ok(Watermarks { start, end }) => {
                LogError::OutOfRange { topic: at.topic, partition: at.partition, offset, start, end }
            }
            Err(error) => error,
        }
    }

    /// Somebody took our transactional id. If our name in the group is taken as well, another
    /// process runs under it; a transaction that outlived its time looks the same otherwise.
    fn who_fenced(&mut self, detail: &str) -> LogError {
        let deadline = clock::monotonic() + NAME_WAIT;
        loop {
            if let Some(Err(LibraryError::MessageConsumptionFatal(code))) = self.consumer.poll(SLICE) {
                return self.fatal(code);
            }
            if clock::monotonic() >= deadline {
                return LogError::Fenced { detail: detail.to_owned() };
            }
        }
    }

    fn judged<T>(&mut self, answer: Result<T, LogError>) -> Result<T, LogError> {
        match answer {
            Err(LogError::Fenced { detail }) => Err(self.who_fenced(&detail)),
            answer => answer,
        }
    }

    /// What reads ranges; made when it is needed first.
    fn reader(&mut self) -> Result<&mut RangeReader, LogError> {
        self.reader_asked = clock::monotonic();
        if self.reader.is_none() {
            let options = self.cluster.options();
            let made = self.cluster.make(&settings::reader(options), self.cluster.base("reader"));
            let made = made.and_then(|client| RangeReader::new(client, options).ok_or_else(bad_name));
            self.reader = Some(made.map_err(|error| misuse(&error.to_string()))?);
        }
        self.reader.as_mut().ok_or_else(|| misuse("there is no reader"))
    }

    /// Lets the reader go that nobody has asked for a while.
    fn rest_reader(&mut self, now: Instant) {
        let idle = now.saturating_duration_since(self.reader_asked) > READER_IDLE;
        if idle && self.reader.is_some() && self.inputs.is_reading() {
            self.reader = None;
        }
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        // Nobody is left to acknowledge a revocation that was recorded; the callback does it for
        // what is to come.
        if self.consumer.context().leave() || self.revoking {
            self.let_go();
        }
    }
}

impl KafkaLog {
    /// Asks for the ends that prove silence, or merely whether anybody answers.
    fn ask(&mut self, now: Instant) -> Result<(), LogError> {
        let anything = self.cluster.options().inputs.first();
        let anything = anything.filter(|_| self.silence.lost);
        self.inputs.ask(now, anything.map(|topic| TopicPartition { topic: *topic, partition: 0 }))
    }
}
