//! From what the checkpoint holds to what recovery does, or to the sentence why it must not.
//! Steps 6 to 11 of recovery. Pure: it reads no log.
//!
//! A refusal names the thing that is missing. It is only final after the committed number was
//! read once more and had not moved (see `mod.rs`).

use std::collections::BTreeMap;

use super::view::CheckpointView;
use crate::engine::PageId;
use crate::log::{Offset, Watermarks};
use crate::worker::format::{Marker, MarkerEntry, ShardRecord, Slot, StateIdentity};
use crate::worker::judge::{Judgement, judge, newest_marker};
use crate::worker::planted::Break;
use crate::worker::settings::WorkerSettings;

/// Why a shard is not taken up. Each names what is missing and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the sentence of each variant says what its fields are")]
pub enum RestoreRefusal {
    #[error(
        "shard {partition}: not every input topic has partition {partition}, or some have more than are \
         configured, and its events are not read; give all input topics the configured number of partitions"
    )]
    Incomplete { partition: u32 },
    #[error(
        "shard {partition}: the committed positions of its input topics carry different numbers ({numbers}); \
         another program moved some of them: set all of them back to the positions of one commit"
    )]
    NumbersDisagree { partition: u32, numbers: String },
    #[error(
        "shard {partition}: the committed position of input {input} was not written by accountpulse \
         (metadata {metadata:?}); use a group of its own, or restore the group's positions"
    )]
    ForeignPosition { partition: u32, input: usize, metadata: String },
    #[error(
        "shard {partition}: there is no readable record shard/{partition} in the checkpoint topic although \
         commit {committed} exists; restore the checkpoint topic, or start a new group and topic set"
    )]
    ShardRecordMissing { partition: u32, committed: u64 },
    #[error(
        "shard {partition}: the checkpoint topic is at commit {found}, the positions are at {committed}; \
         positions or checkpoint topic were restored on their own: restore both from the same moment"
    )]
    NumberMismatch { partition: u32, found: u64, committed: u64 },
    #[error(
        "shard {partition}: commit {commit} wrote the positions of {topics}, and the group has none: the topic was \
         deleted and created anew, or the positions were deleted or have expired (offsets.retention.minutes); \
         restore the positions, or start with another group, and other topics for the outputs"
    )]
    PositionsGone { partition: u32, commit: u64, topics: String },
    #[error(
        "shard {partition}: neither marker/{partition}/0 nor marker/{partition}/1 is readable; \
         restore the checkpoint topic"
    )]
    MarkerMissing { partition: u32 },
    #[error(
        "shard {partition}: page {page} is missing from the checkpoint topic (best copy: commit {have:?}, needed: \
         commit {listed}); restore the checkpoint topic"
    )]
    PageMissing { partition: u32, page: u8, have: Option<u64>, listed: u64 },
    #[error(
        "shard {partition}: page {page} cannot be loaded: {detail}; it was written by another version or by a \
         defect: run the version that wrote it"
    )]
    PageUnusable { partition: u32, page: u8, detail: String },
    #[error(
        "shard {partition}: the input topic {topic} begins at offset {start}, recovery needs offset {needed}; its retention \
         is shorter than the time since the last checkpoint: lengthen it, or start a new group"
    )]
    InputGone { partition: u32, topic: String, needed: Offset, start: Offset },
    #[error(
        "shard {partition}: the committed position {committed} of the input topic {topic} is above its end {end}; it was \
         created anew: start with another group, and other topics for the outputs"
    )]
    InputShrank { partition: u32, topic: String, committed: Offset, end: Offset },
    #[error(
        "shard {partition}: the scores topic has offsets {start} to {end}, its decisions are needed from {journal}; \
         it was created anew or has a retention: use compaction only, and start a new group"
    )]
    JournalGone { partition: u32, journal: Offset, start: Offset, end: Offset },
    #[error("shard {partition}: the record at offset {offset} of the scores topic is not ours: {detail}")]
    JournalUnreadable { partition: u32, offset: Offset, detail: String },
    #[error(
        "shard {partition}: the state was written with {recorded} input topics, {configured} are configured; add \
         topics only at the end of the list and never remove one"
    )]
    InputRemoved { partition: u32, recorded: usize, configured: usize },
    #[error(
        "shard {partition}: its state was written with the input topic {recorded} where the configuration now has \
         {configured}; positions belong to topics: set topics.names back, or start a new group and topic set"
    )]
    InputRenamed { partition: u32, recorded: String, configured: String },
    #[error(
        "shard {partition}: the state was written with {recorded} partitions, the input topics have {configured}; \
         reshard it offline, or set the topics back"
    )]
    PartitionsChanged { partition: u32, recorded: u32, configured: u32 },
    #[error(
        "shard {partition}: the state was written with another pseudonym key; every person would count twice: \
         give the key file that was used, or start a new group"
    )]
    PersonKeyChanged { partition: u32 },
    #[error(
        "shard {partition}: the state was written with another day offset or other limits (version {recorded}, \
         configured: {configured}); set them back, or start a new group and topic set"
    )]
    StateSettingsChanged { partition: u32, recorded: String, configured: String },
    #[error(
        "shard {partition}: config epoch {recorded} of another config has replaced epoch {known} of this one; \
         this process runs an old config: restart it with the new one"
    )]
    Superseded { partition: u32, recorded: u64, known: u64 },
    #[error("shard {partition}: an offset that recovery needs is gone: {detail}")]
    RangeGone { partition: u32, detail: String },
    #[error(
        "shard {partition}: evaluation after recovery concluded something new ({what}); recovered state and \
         decisions disagree"
    )]
    AuditFailed { partition: u32, what: String },
}

/// Where the group stands in a shard's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The commit number in all metadata; `None`: nothing was ever committed.
    pub number: Option<u64>,
    /// Committed position per input; a newly configured topic has none.
    pub positions: Vec<Option<Offset>>,
}

/// The ends taken once after the assignment; recovery reads up to them.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub checkpoint: Watermarks,
    pub scores: Watermarks,
    pub inputs: Vec<Watermarks>,
}

/// What recovery does.
pub(super) enum Plan {
    /// There is nothing: the shard begins here.
    Fresh,
    /// Load pages, replay inputs, read decisions.
    Load(Box<Load>),
}

/// A recovery from a checkpoint.
pub(super) struct Load {
    pub record: ShardRecord,
    pub marker: Marker,
    pub fell_back: bool,
    /// Replay start per input.
    pub starts: Vec<Offset>,
    /// Committed position per input.
    pub committed: Vec<Offset>,
    /// Where the journal is read from.
    pub journal: Offset,
    /// The copy of each page that is loaded.
    pub chosen: BTreeMap<PageId, Slot>,
}

/// Decides.
pub(super) fn plan(
    partition: u32,
    standing: &Standing,
    view: &CheckpointView,
    ends: &Ends,
    identity: &StateIdentity,
    settings: &WorkerSettings,
) -> Result<Plan, RestoreRefusal> {
    if standing.number.is_none() && !view.has_records {
        return Ok(Plan::Fresh);
    }
    let committed = standing.number.unwrap_or(0);
    let record = view.shard.clone().ok_or(RestoreRefusal::ShardRecordMissing { partition, committed })?;
    // First what is configured: with other topics there are other positions.
    check_identity(partition, &record, identity)?;
    check_positions(partition, &record, standing)?;
    if record.commit != committed {
        return Err(RestoreRefusal::NumberMismatch { partition, found: record.commit, committed });
    }
    let marker = newest_marker(view.markers[0].as_ref(), view.markers[1].as_ref());
    let marker = marker.ok_or(RestoreRefusal::MarkerMissing { partition })?.clone();
    let mut best = view.best_copies();
    if settings.breaks(Break::NumberOnly) {
        best.values_mut().for_each(|copy| copy.digest = 0);
    }
    let fell_back = match judge(&marker, &best) {
        Judgement::This => false,
        _ if settings.breaks(Break::MissingIsEmpty) || settings.breaks(Break::OlderCopy) => false,
        Judgement::Previous => true,
        Judgement::Missing { page, have, listed } => {
            return Err(RestoreRefusal::PageMissing { partition, page: page.0, have, listed });
        }
    };
    let entry = if fell_back { &marker.previous } else { &marker.this };
    let (starts, committed) = replay_ranges(partition, entry, (standing, identity), ends)?;
    let newer = fell_back && settings.breaks(Break::NewerJournalOnFallback);
    let journal = if newer { marker.this.journal } else { entry.journal };
    if journal > ends.scores.end || journal < ends.scores.start {
        let Watermarks { start, end } = ends.scores;
        return Err(RestoreRefusal::JournalGone { partition, journal, start, end });
    }
    let pages = view.best_copies().into_keys();
    let chosen = pages.filter_map(|page| Some((page, view.best(page)?.0))).collect();
    Ok(Plan::Load(Box::new(Load { record, marker, fell_back, starts, committed, journal, chosen })))
}

fn check_identity(
    partition: u32,
    record: &ShardRecord,
    identity: &StateIdentity,
) -> Result<(), RestoreRefusal> {
    let (recorded, configured) = (record.identity.partitions, identity.partitions);
    if recorded != configured {
        return Err(RestoreRefusal::PartitionsChanged { partition, recorded, configured });
    }
    if record.identity.person_key != identity.person_key {
        return Err(RestoreRefusal::PersonKeyChanged { partition });
    }
    if record.identity.engine != identity.engine {
        let (recorded, configured) = (record.identity.engine.clone(), identity.engine.clone());
        return Err(RestoreRefusal::StateSettingsChanged { partition, recorded, configured });
    }
    let (recorded, configured) = (&record.identity.inputs, &identity.inputs);
    if recorded.len() > configured.len() {
        let (recorded, configured) = (recorded.len(), configured.len());
        return Err(RestoreRefusal::InputRemoved { partition, recorded, configured });
    }
    if let Some((recorded, configured)) = recorded.iter().zip(configured).find(|(a, b)| a != b) {
        let (recorded, configured) = (recorded.clone(), configured.clone());
        return Err(RestoreRefusal::InputRenamed { partition, recorded, configured });
    }
    Ok(())
}

/// Every commit writes the positions of all inputs: one that the state knows and the group does not
/// was taken away, with its topic or on its own. Beginning it anew would skip what pages include.
fn check_positions(partition: u32, record: &ShardRecord, standing: &Standing) -> Result<(), RestoreRefusal> {
    let has_none = |input: usize| standing.positions.get(input).copied().flatten().is_none();
    let known = record.identity.inputs.iter().enumerate();
    let gone: Vec<&str> =
        known.filter(|(input, _)| has_none(*input)).map(|(_, topic)| topic.as_str()).collect();
    if gone.is_empty() {
        return Ok(());
    }
    Err(RestoreRefusal::PositionsGone { partition, commit: record.commit, topics: gone.join(", ") })
}

/// Replay start and committed position per input, provided that everything between still exists.
fn replay_ranges(
    partition: u32,
    entry: &MarkerEntry,
    (standing, identity): (&Standing, &StateIdentity),
    ends: &Ends,
) -> Result<(Vec<Offset>, Vec<Offset>), RestoreRefusal> {
    let topic = |input: usize| identity.inputs.get(input).cloned().unwrap_or_default();
    let mut starts = Vec::new();
    let mut committed_all = Vec::new();
    for (input, (marks, position)) in ends.inputs.iter().zip(&standing.positions).enumerate() {
        let committed = position.unwrap_or(marks.start);
        // A topic that the entry does not know yet has not been read before its first commit.
        let start = entry.positions.get(input).copied().unwrap_or(marks.start).min(committed);
        if committed > marks.end {
            return Err(RestoreRefusal::InputShrank {
                partition,
                topic: topic(input),
                committed,
                end: marks.end,
            });
        }
        if start < marks.start {
            return Err(RestoreRefusal::InputGone {
                partition,
                topic: topic(input),
                needed: start,
                start: marks.start,
            });
        }
        starts.push(start);
        committed_all.push(committed);
    }
    Ok((starts, committed_all))
}
