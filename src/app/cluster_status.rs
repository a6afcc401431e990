//! How the shards of a cluster stand, whoever serves them: read from the group and from what every
//! commit writes, so no instance has to be asked.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kafka_link::KafkaLink;
use super::kafka_topics::ANSWER_WAIT;
use crate::log::kafka::{KafkaError, KafkaReader, MemberFound};
use crate::log::{CommittedPosition, Offset, RecordBatch, TopicPartition};
use crate::worker::format::{Key, ShardRecord, decode, parse_number};

/// Records looked back for the newest shard record at first; twice as many each time.
const LOOK_BACK: u64 = 64;
/// About how much is read at once.
const READ_BYTES: usize = 1024 * 1024;

/// Everything `status` shows.
#[derive(Debug, Serialize)]
pub struct ClusterStatus {
    /// Version of this shape.
    pub v: u8,
    /// The group.
    pub group: String,
    /// Members, by name.
    pub members: Vec<MemberLine>,
    /// Shards, by partition.
    pub shards: Vec<ShardLine>,
}

/// A member of the group: one worker of one process.
#[derive(Debug, Serialize)]
pub struct MemberLine {
    /// Its name: instance and worker.
    pub member: String,
    /// Where it runs.
    pub host: String,
    /// The shards it owns.
    pub shards: Vec<u32>,
}

/// A shard.
#[derive(Debug, Serialize)]
pub struct ShardLine {
    /// Partition number of every topic.
    pub shard: u32,
    /// Who owns it; none while it moves.
    pub member: Option<String>,
    /// Number of its last commit; none before the first.
    pub commit: Option<u64>,
    /// Committed input records behind the end of the inputs.
    pub lag: u64,
    /// Every deadline up to this instant is handled; milliseconds since 1970.
    pub clock_ms: Option<i64>,
    /// How far that is behind the wall clock, seconds.
    pub clock_delay_seconds: Option<f64>,
    /// Time of the newest event that was applied; milliseconds since 1970.
    pub newest_event_ms: Option<i64>,
    /// The configuration that decides.
    pub config_version: Option<String>,
}

/// Asks the cluster.
pub fn cluster_status(link: &KafkaLink, now_ms: i64) -> Result<ClusterStatus, KafkaError> {
    let found = link.cluster.members(ANSWER_WAIT)?;
    let inputs = link.topics.input_ids();
    let partitions = 0..link.partitions();
    let all: Vec<TopicPartition> = partitions
        .clone()
        .flat_map(|partition| inputs.iter().map(move |topic| TopicPartition { topic: *topic, partition }))
        .collect();
    let positions = link.cluster.positions(&all, ANSWER_WAIT)?;
    let owners = owners(&found);
    let mut shards = Vec::new();
    for (partition, positions) in partitions.zip(positions.chunks(inputs.len().max(1))) {
        let record = link.with_reader(|reader| newest_record(reader, link, partition))?;
        let mut lag = 0;
        for (topic, position) in inputs.iter().zip(positions) {
            let marks = link.watermarks(TopicPartition { topic: *topic, partition })?;
            let position = position.as_ref().map_or(marks.start, |committed| committed.position);
            lag += marks.end.saturating_sub(position);
        }
        let clock_ms = record.as_ref().and_then(|record| record.clock_ms);
        shards.push(ShardLine {
            shard: partition,
            member: owners.get(&partition).cloned(),
            commit: number(positions),
            lag,
            clock_ms,
            clock_delay_seconds: clock_ms.map(|clock_ms| (now_ms - clock_ms) as f64 / 1000.0),
            newest_event_ms: record
                .as_ref()
                .and_then(|record| record.newest_ms.iter().copied().flatten().max()),
            config_version: record.map(|record| record.config_version),
        });
    }
    let line = |member: &MemberFound| MemberLine {
        member: name(member),
        host: member.host.clone(),
        shards: owned(member),
    };
    let mut members: Vec<MemberLine> = found.iter().map(line).collect();
    members.sort_by(|a, b| a.member.cmp(&b.member));
    Ok(ClusterStatus { v: 1, group: link.cluster.options().group.clone(), members, shards })
}

fn number(positions: &[Option<CommittedPosition>]) -> Option<u64> {
    positions.iter().flatten().filter_map(|position| parse_number(&position.metadata)).max()
}

/// Instance and worker of a static member; the group's own name for any other.
fn name(member: &MemberFound) -> String {
    member.instance().unwrap_or(&member.member).to_owned()
}

fn owned(member: &MemberFound) -> Vec<u32> {
    let mut shards: Vec<u32> =
        member.partitions.iter().flat_map(|(_, partitions)| partitions.clone()).collect();
    shards.sort_unstable();
    shards.dedup();
    shards
}

fn owners(members: &[MemberFound]) -> BTreeMap<u32, String> {
    let shards = |member: &MemberFound| {
        let name = name(member);
        owned(member).into_iter().map(move |shard| (shard, name.clone())).collect::<Vec<_>>()
    };
    members.iter().flat_map(shards).collect()
}

/// The newest `shard/<p>` record. Every commit writes one, so it stands near the end.
fn newest_record(
    reader: &mut KafkaReader,
    link: &KafkaLink,
    partition: u32,
) -> Result<Option<ShardRecord>, KafkaError> {
    let at = TopicPartition { topic: link.topics.outputs.checkpoints, partition };
    let marks = reader.watermarks(at)?;
    let mut back = LOOK_BACK;
    loop {
        let from = marks.end.saturating_sub(back).max(marks.start);
        let found = last_in(reader, at, (from, marks.end))?;
        if found.is_some() || from == marks.start {
            return Ok(found);
        }
        back = back.saturating_mul(2);
    }
}

fn last_in(
    reader: &mut KafkaReader,
    at: TopicPartition,
    (mut from, end): (Offset, Offset),
) -> Result<Option<ShardRecord>, KafkaError> {
    let mut found = None;
    while from < end {
        let read = reader.read(at, from, READ_BYTES, ANSWER_WAIT)?;
        for index in 0..read.batch.len() {
            let record = read.batch.get(index);
            let is_shard = record.key.and_then(|key| Key::parse(key, at.partition)) == Some(Key::Shard);
            if let Some(value) = record.value.filter(|_| is_shard) {
                // One that another version wrote says nothing here.
                found = decode::<ShardRecord>(value).ok().or(found);
            }
        }
        if read.position == from {
            break;
        }
        from = read.position;
    }
    Ok(found)
}
