//! Questions about topics and the group, and making topics.
//!
//! Topics and settings are reported as they are; whether that will do is the caller's to judge.
//! Never the library's `alter_configs`: it resets every setting it is not told.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic as LibraryTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as LibraryError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset as LibraryOffset, TopicPartitionList};

use crate::clock;
use crate::log::{CommittedPosition, Offset, TopicPartition};

use super::client::{KafkaCluster, Probe};
use super::closing::Closing;
use super::context::Base;
use super::error::KafkaError;
use super::{drain, settings};

/// A topic of ours, as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFound {
    /// Its name.
    pub name: String,
    /// What is known.
    pub state: TopicState,
}

/// What is known of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// It does not exist.
    Missing,
    /// We may not look, or it does not exist: the cluster does not tell the two apart.
    Denied(String),
    /// It exists.
    Found {
        /// How many partitions.
        partitions: u32,
        /// The fewest copies that a partition has.
        replication: u32,
        /// All its settings; empty when we may not read them.
        settings: BTreeMap<String, String>,
    },
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// How many copies.
    pub replication: u32,
    /// Settings other than the cluster's defaults.
    pub settings: Vec<(&'static str, String)>,
}

/// What came of making a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is new (or would be, when only asked).
    Created,
    /// It was there.
    Existed,
}

/// A member of our group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberFound {
    /// The group's name for it.
    pub member: String,
    /// Its own name.
    pub client_id: String,
    /// Where it runs, as the broker sees it.
    pub host: String,
    /// What it owns, by topic.
    pub partitions: Vec<(String, Vec<u32>)>,
    /// State of the whole group.
    pub group_state: String,
}

impl MemberFound {
    /// The name under which it is a static member, provided that it is one: the cluster puts a
    /// random id behind it.
    pub fn instance(&self) -> Option<&str> {
        let cut = self.member.len().checked_sub(37)?;
        let (name, id) = self.member.split_at_checked(cut)?;
        let uuid = id.bytes().enumerate().all(|(at, byte)| match at {
            0 | 9 | 14 | 19 | 24 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
        (uuid && !name.is_empty()).then_some(name)
    }
}

impl KafkaCluster {
    /// The ends of partitions, the records of open transactions included, in one question; `None`
    /// where the cluster did not tell.
    pub fn ends(&self, at: &[TopicPartition], timeout: Duration) -> Result<Vec<Option<Offset>>, KafkaError> {
        let probe = self.probe(timeout)?;
        let mut list = TopicPartitionList::with_capacity(at.len());
        for at in at {
            let name = self.options().name(*at).unwrap_or_default();
            let partition = i32::try_from(at.partition).unwrap_or(i32::MAX);
            // The end is always a place that can be asked for.
            let _ = list.add_partition_offset(name, partition, LibraryOffset::End);
        }
        let found = self.ask("the ends of partitions", "", &*probe, timeout, |slice| {
            probe.offsets_for_times(list.clone(), slice)
        })?;
        let end = |one: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match one.offset() {
            LibraryOffset::Offset(end) => Offset::try_from(end).ok(),
            _ => None,
        };
        Ok(found.elements().iter().map(end).collect())
    }

    /// Every topic of the options, in their order, without settings.
    pub fn look(&self, timeout: Duration) -> Result<Vec<TopicFound>, KafkaError> {
        let probe = self.probe(timeout)?;
        let look = |name: &String| {
            Ok(TopicFound { name: name.clone(), state: self.look_at(name, &probe, timeout)? })
        };
        self.options().topics.iter().map(look).collect()
    }

    /// The same with settings.
    pub fn describe(&self, timeout: Duration) -> Result<Vec<TopicFound>, KafkaError> {
        let mut found = self.look(timeout)?;
        let names: Vec<&str> =
            found.iter().filter(|topic| exists(topic)).map(|topic| topic.name.as_str()).collect();
        let mut all = self.read_settings(&names, timeout)?;
        for topic in &mut found {
            if let TopicState::Found { settings, .. } = &mut topic.state {
                *settings = all.remove(&topic.name).unwrap_or_default();
            }
        }
        Ok(found)
    }

    fn look_at(&self, name: &str, probe: &Probe, timeout: Duration) -> Result<TopicState, KafkaError> {
        self.ask(&format!("the topic {name}"), name, probe, timeout, |slice| {
            let metadata = probe.client().fetch_metadata(Some(name), slice)?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            let Some(topic) = topic else { return Ok(TopicState::Missing) };
            let code = topic.error().map(Code::from);
            if let Some(sentence) = code.and_then(|code| self.access(code, name)) {
                return Ok(TopicState::Denied(sentence));
            }
            match code {
                Some(Code::UnknownTopicOrPartition) => Ok(TopicState::Missing),
                // A topic that was just made may not have its leaders yet; it is there all the same.
                Some(code) if topic.partitions().is_empty() => Err(LibraryError::MetadataFetch(code)),
                _ => {
                    let copies = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
                    Ok(TopicState::Found {
                        partitions: u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX),
                        replication: copies.and_then(|copies| u32::try_from(copies).ok()).unwrap_or(0),
                        settings: BTreeMap::new(),
                    })
                }
            }
        })
    }

    fn read_settings(
        &self,
        topics: &[&str],
        timeout: Duration,
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, KafkaError> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let admin = self.admin()?;
        let options = AdminOptions::new().request_timeout(Some(timeout));
        let which: Vec<ResourceSpecifier<'_>> =
            topics.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let answer =
            self.wait("the settings of the topics", timeout, admin.describe_configs(&which, &options))?;
        // A topic whose settings we may not read answers with an error of its own.
        let found = answer.into_iter().flatten().filter_map(|resource| {
            let OwnedResourceSpecifier::Topic(name) = resource.specifier else { return None };
            let settings =
                resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
            Some((name, settings))
        });
        Ok(found.collect())
    }

    /// Makes topics, or only asks whether it could be done. An answer for each, in order.
    #[allow(clippy::type_complexity, reason = "a name and what came of it, for each")]
    pub fn create(
        &self,
        wanted: &[NewTopic],
        validate_only: bool,
        timeout: Duration,
    ) -> Result<Vec<(String, Result<Made, String>)>, KafkaError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        // The administration client cannot say why it has no connection; a probe can.
        self.probe(timeout)?;
        let admin = self.admin()?;
        let topics: Vec<LibraryTopic<'_>> = wanted.iter().map(library_topic).collect();
        let options = AdminOptions::new()
            .request_timeout(Some(timeout))
            .operation_timeout(Some(timeout))
            .validate_only(validate_only);
        let answer = self.wait("making topics", timeout, admin.create_topics(&topics, &options))?;
        let made = answer.into_iter().map(|result| match result {
            Ok(name) => (name, Ok(Made::Created)),
            Err((name, Code::TopicAlreadyExists)) => (name, Ok(Made::Existed)),
            Err((name, code)) => {
                let why = self.why_not_made(wanted, &name, code);
                (name, Err(why))
            }
        });
        Ok(made.collect())
    }

    fn why_not_made(&self, wanted: &[NewTopic], name: &str, code: Code) -> String {
        let topic = wanted.iter().find(|topic| topic.name == name);
        let settings = topic.map(|topic| {
            let pairs = topic.settings.iter().map(|(key, value)| format!("{key}={value}"));
            pairs.collect::<Vec<_>>().join(", ")
        });
        match code {
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => format!(
                "{} may not make the topic {name}; grant CREATE on it, or let an administrator make it",
                self.who()
            ),
            Code::InvalidReplicationFactor => format!(
                "the topic {name} wants {} copies, which the cluster does not have brokers for; lower it",
                topic.map_or(0, |topic| topic.replication)
            ),
            Code::InvalidConfig => format!(
                "the cluster refuses a setting of the topic {name} ({}); check its version and policies",
                settings.unwrap_or_default()
            ),
            Code::PolicyViolation => {
                format!("a policy of the cluster forbids the topic {name}; let an administrator make it")
            }
            code => format!("the topic {name} was not made: {code}"),
        }
    }

    /// The members of our group. Without the right to see the group it looks empty; whether we
    /// have it, [`KafkaCluster::positions`] says.
    pub fn members(&self, timeout: Duration) -> Result<Vec<MemberFound>, KafkaError> {
        let probe = self.probe(timeout)?;
        let group = &self.options().group;
        let list = self.ask("the members of the group", group, &*probe, timeout, |slice| {
            probe.client().fetch_group_list(Some(group), slice)
        })?;
        let ours = list.groups().iter().filter(|found| found.name() == group);
        let members = ours.flat_map(|found| {
            found.members().iter().map(|member| MemberFound {
                member: member.id().to_owned(),
                client_id: member.client_id().to_owned(),
                host: member.client_host().trim_start_matches('/').to_owned(),
                partitions: member.assignment().and_then(assignment).unwrap_or_default(),
                group_state: found.state().to_owned(),
            })
        });
        Ok(members.collect())
    }

    /// What the group has committed, newest outcome first known: a transaction that is still open
    /// is not waited for.
    pub fn positions(
        &self,
        at: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<CommittedPosition>>, KafkaError> {
        let client: Probe =
            self.make(&settings::positions(self.options()), self.base("positions").quiet())?;
        let mut list = TopicPartitionList::with_capacity(at.len());
        for at in at {
            list.add_partition(self.topic(*at)?, partition_number(*at)?);
        }
        let group = &self.options().group;
        let found = self.ask("the positions of the group", group, &*client, timeout, |slice| {
            client.committed_offsets(list.clone(), slice)
        })?;
        // The answer is the list that was asked for, in its order.
        let found = at.iter().zip(drain::positions(&found));
        let one = |(at, (offset, failed, metadata)): (&TopicPartition, (i64, Option<Code>, String))| {
            match failed {
                None => {}
                Some(Code::UnknownTopicOrPartition) => return Ok(None),
                Some(code) => {
                    let error = LibraryError::OffsetFetch(code);
                    return Err(self.failed("the positions of the group", &error, self.topic(*at)?));
                }
            }
            Ok(u64::try_from(offset).ok().map(|position| CommittedPosition { position, metadata }))
        };
        found.map(one).collect()
    }

    /// Whether the cluster lets us have transactions: opens none, only registers the name
    /// `<group>-<instance>-check`, which stands beside those of the workers.
    pub fn try_transactions(&self, timeout: Duration) -> Result<(), KafkaError> {
        let config = settings::transactional(self.options(), "check");
        let name = config.get("transactional.id").unwrap_or_default();
        let producer: Closing<BaseProducer<Base>> = self.make(&config, self.base("check").quiet())?;
        let tried = self.ask("a transactional producer", name, &producer, timeout, |slice| {
            producer.init_transactions(slice)
        });
        // What the broker lacks is told to the callback, with more words.
        let told = producer.context().trouble().filter(|trouble| trouble.permanent);
        match tried {
            Err(KafkaError::Call { .. }) if told.is_some() => Err(self.unreachable(producer.context())),
            tried => tried,
        }
    }

    /// The name of a topic.
    pub(super) fn topic(&self, at: TopicPartition) -> Result<&str, KafkaError> {
        let name = self.options().topics.get(usize::from(at.topic.0)).map(String::as_str);
        name.ok_or_else(|| KafkaError::Call {
            what: format!("{:?}", at.topic),
            detail: "there is no topic of this number".to_owned(),
        })
    }

    /// A client for administration. Its callbacks are never served by the library's wrapper: it
    /// gets its token here, and has no reasons to give.
    fn admin(&self) -> Result<Closing<AdminClient<Base>>, KafkaError> {
        let base = self.base("admin");
        let token = base.token();
        let admin: Closing<AdminClient<Base>> = self.make(&settings::admin(self.options()), base)?;
        match token {
            Some(Ok(token)) => {
                let what = || "handing over the token".to_owned();
                drain::set_token(admin.inner(), &token)
                    .map_err(|detail| KafkaError::Call { what: what(), detail })?;
            }
            Some(Err(_)) => return Err(self.unreachable(admin.inner().context())),
            None => {}
        }
        Ok(admin)
    }

    /// Waits for an answer of the administration client.
    fn wait<A>(
        &self,
        what: &str,
        timeout: Duration,
        answer: impl Future<Output = Result<A, LibraryError>>,
    ) -> Result<A, KafkaError> {
        let _watched = self.guard(what);
        let slow = || KafkaError::Call { what: what.to_owned(), detail: "no answer in time".to_owned() };
        let answer = wait_for(answer, timeout).ok_or_else(slow)?;
        answer.map_err(|error| self.failed(what, &error, what))
    }
}

fn exists(topic: &TopicFound) -> bool {
    matches!(topic.state, TopicState::Found { .. })
}

fn library_topic(topic: &NewTopic) -> LibraryTopic<'_> {
    let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
    let copies = i32::try_from(topic.replication).unwrap_or(i32::MAX);
    let made = LibraryTopic::new(&topic.name, partitions, TopicReplication::Fixed(copies));
    topic.settings.iter().fold(made, |made, (key, value)| made.set(key, value))
}

/// A partition number as the library counts.
pub(super) fn partition_number(at: TopicPartition) -> Result<i32, KafkaError> {
    i32::try_from(at.partition).map_err(|_| KafkaError::Call {
        what: format!("partition {}", at.partition),
        detail: "there is no partition of this number".to_owned(),
    })
}

/// What a member owns, as the group's protocol writes it: version, then topics with partitions.
fn assignment(bytes: &[u8]) -> Option<Vec<(String, Vec<u32>)>> {
    fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (head, rest) = bytes.split_first_chunk::<N>()?;
        *bytes = rest;
        Some(*head)
    }
    let mut rest = bytes.get(2..)?;
    let topics = i32::from_be_bytes(take(&mut rest)?);
    let mut found = Vec::new();
    for _ in 0..topics {
        let len = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(len)?;
        rest = after;
        let mut partitions = Vec::new();
        for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
            partitions.push(u32::try_from(i32::from_be_bytes(take(&mut rest)?)).ok()?);
        }
        partitions.sort_unstable();
        found.push((String::from_utf8(name.to_vec()).ok()?, partitions));
    }
    Some(found)
}

/// Wakes a waiting thread.
struct Waiting(Thread);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread; `None` when time is up.
fn wait_for<F: Future>(future: F, timeout: Duration) -> Option<F::Output> {
    let deadline = clock::monotonic() + timeout;
    let waker = Waker::from(Arc::new(Waiting(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(answer);
        }
        let left = deadline.saturating_duration_since(clock::monotonic());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str) -> MemberFound {
        MemberFound {
            member: id.to_owned(),
            client_id: String::new(),
            host: String::new(),
            partitions: Vec::new(),
            group_state: String::new(),
        }
    }

    #[test]
    fn the_name_of_a_static_member_is_found_in_its_id() {
        let id = "pod-1-0-4c5b1d3e-8f6a-4b7c-9d2e-0a1b2c3d4e5f";
        assert_eq!(member(id).instance(), Some("pod-1-0"));
        assert_eq!(member("-4c5b1d3e-8f6a-4b7c-9d2e-0a1b2c3d4e5f").instance(), None);
        assert_eq!(member("4c5b1d3e-8f6a-4b7c-9d2e-0a1b2c3d4e5f").instance(), None);
        assert_eq!(member("pod-1").instance(), None);
    }

    #[test]
    fn an_assignment_is_read_and_a_damaged_one_is_none() {
        let bytes: Vec<u8> = [
            &[0, 1][..],
            &2_i32.to_be_bytes(),
            &[0, 2],
            b"in",
            &2_i32.to_be_bytes(),
            &3_i32.to_be_bytes(),
            &1_i32.to_be_bytes(),
            &[0, 1],
            b"x",
            &0_i32.to_be_bytes(),
            &(-1_i32).to_be_bytes(),
        ]
        .concat();
        assert_eq!(assignment(&bytes), Some(vec![("in".to_owned(), vec![1, 3]), ("x".to_owned(), vec![])]));
        assert_eq!(assignment(&bytes[..12]), None);
        assert_eq!(assignment(&[]), None);
    }

    #[test]
    fn a_future_that_never_ends_is_given_up() {
        assert_eq!(wait_for(std::future::pending::<()>(), Duration::from_millis(1)), None);
        assert_eq!(wait_for(std::future::ready(7), Duration::ZERO), Some(7));
    }
}
