//! Dead letters for those who repair what was refused: found by what is wrong with them, one by one
//! or all, and put back. They are read where `tail` reads ([`Source`]); what is put back goes through
//! the running instance, into a data directory that none uses, or straight to a cluster.
//!
//! A scan keeps what a person is shown and not the bytes: a topic of any size is gone through once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::client::Client;
use super::source::{Source, SourceError};
use super::store::RunningLog;
use super::topics::{TopicTable, open_local};
use crate::config::Config;
use crate::engine::event::{Intake, PersonKey};
use crate::ingest::letter::{Letter, LetterPlace};
use crate::ingest::put_back::{Fate, Fates, PutBack, put_back};
use crate::ingest::topics::{Ask, ExactLine, Failure};
use crate::ingest::{OutputTopic, StoreError};

/// Letters that are put back by one request: below what it may name, so that progress is seen.
const AT_ONCE: usize = 100;
/// Letters that a scan holds before it drops the older ones, at least.
const SPARE: usize = 1_000;

/// Which letters are meant; what is empty or absent leaves none out.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Reason codes.
    pub reasons: Vec<String>,
    /// Input topics.
    pub topics: Vec<String>,
    /// Partitions.
    pub partitions: Vec<u32>,
    /// The account that is the key.
    pub account: Option<String>,
    /// Written at or after.
    pub since_ms: Option<i64>,
    /// Written before.
    pub until_ms: Option<i64>,
    /// These alone.
    pub places: Vec<LetterPlace>,
}

impl Filter {
    /// Whether this letter is meant.
    pub fn takes(&self, letter: &Letter) -> bool {
        fn among<T: PartialEq>(list: &[T], one: &T) -> bool {
            list.is_empty() || list.contains(one)
        }
        among(&self.reasons, &letter.code)
            && among(&self.topics, &letter.topic)
            && among(&self.partitions, &letter.partition)
            && among(&self.places, &letter.place)
            && self.account.as_ref().is_none_or(|account| letter.account().as_ref() == Some(account))
            && self.since_ms.is_none_or(|since_ms| letter.written_ms >= since_ms)
            && self.until_ms.is_none_or(|until_ms| letter.written_ms < until_ms)
    }
}

/// A letter without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub place: LetterPlace,
    /// When it was written.
    pub written_ms: i64,
    /// Input topic, partition and offset of the refused record.
    pub from: (String, u32, u64),
    /// Reason code.
    pub code: String,
    /// The sentence.
    pub message: String,
    /// The key, as text.
    pub account: Option<String>,
    /// Length of the value.
    pub bytes: Option<u64>,
    /// The letter that its record was put back from.
    pub resubmitted_from: Option<LetterPlace>,
}

impl Entry {
    /// Of a letter.
    pub fn of(letter: Letter) -> Entry {
        Entry {
            place: letter.place,
            written_ms: letter.written_ms,
            account: letter.account(),
            bytes: letter.value_left_out.or(letter.value.as_ref().map(|value| value.len() as u64)),
            resubmitted_from: letter.resubmitted_from(),
            from: (letter.topic, letter.partition, letter.offset),
            code: letter.code,
            message: letter.message,
        }
    }
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest that were asked for, oldest first.
    pub entries: Vec<Entry>,
    /// How many there are in all.
    pub matched: u64,
    /// Of letters that were put back and refused again: a newer letter of each.
    pub again: BTreeMap<LetterPlace, LetterPlace>,
}

/// Goes through every dead letter, oldest first in each partition.
pub fn each(source: &Source, mut see: impl FnMut(Letter)) -> Result<(), SourceError> {
    let mut from = "beginning".to_owned();
    loop {
        let ask = Ask { from: Some(from.clone()), exact: true, ..Ask::default() };
        let (lines, next) = source.page(OutputTopic::DeadLetters, &ask)?;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let unreadable = || Failure::Asked("a line is not understood; do versions differ?");
            let line: ExactLine = serde_json::from_slice(line).map_err(|_| unreadable())?;
            let partition = line.partition;
            let record = line.stored().ok_or_else(unreadable)?;
            if let Some(letter) = Letter::read(partition, record) {
                see(letter);
            }
        }
        if next == from {
            return Ok(());
        }
        from = next;
    }
}

/// Finds the newest `limit` letters that the filter takes.
pub fn find(source: &Source, filter: &Filter, limit: Option<usize>) -> Result<Found, SourceError> {
    let mut found = Found::default();
    each(source, |letter| {
        if let Some(older) = letter.resubmitted_from() {
            found.again.insert(older, letter.place);
        }
        if !filter.takes(&letter) {
            return;
        }
        found.matched += 1;
        found.entries.push(Entry::of(letter));
        // Now and then, so that neither memory nor sorting grows with the topic.
        if limit.is_some_and(|limit| found.entries.len() >= limit.saturating_mul(2).max(SPARE)) {
            keep_newest(&mut found.entries, limit);
        }
    })?;
    keep_newest(&mut found.entries, limit);
    Ok(found)
}

fn keep_newest(entries: &mut Vec<Entry>, limit: Option<usize>) {
    entries.sort_by_key(|entry| (entry.written_ms, entry.place));
    if let Some(limit) = limit {
        entries.drain(..entries.len().saturating_sub(limit));
    }
}

/// The letter at a place.
pub fn one(source: &Source, place: LetterPlace) -> Result<Option<Letter>, SourceError> {
    let ask =
        Ask { from: Some(format!("{}:{}", place.partition, place.offset)), exact: true, ..Ask::default() };
    let (lines, _) = source.page(OutputTopic::DeadLetters, &ask)?;
    let lines = lines.split(|byte| *byte == b'\n');
    let record = lines
        .filter_map(|line| serde_json::from_slice::<ExactLine>(line).ok())
        .find(|line| (line.partition, line.offset) == (place.partition, place.offset))
        .and_then(ExactLine::stored);
    Ok(record.and_then(|record| Letter::read(place.partition, record)))
}

/// Where letters are put back.
pub enum Desk {
    /// A running instance does it.
    Instance(Client),
    /// We do, on a log that we may write to.
    Log(Box<RunningLog>, Intake),
}

impl Desk {
    /// On the log that was read; a data directory at rest is opened for writing.
    pub fn open(source: Source, config: &Config, data_dir: &Path) -> Result<Desk, SourceError> {
        let log = match source {
            Source::Running(client) => return Ok(Desk::Instance(client)),
            Source::Cluster(log) => log,
            Source::AtRest(reader) => {
                drop(reader); // it holds the file
                let mut config = config.clone();
                config.storage.data_dir = data_dir.to_owned();
                let table = TopicTable::new(&config);
                RunningLog::Local(open_local(&config, &table)?, Arc::new(table))
            }
        };
        // Judges only: what is written is the record as it was, with the person as it is.
        let person_key = PersonKey::new([0; 16]);
        let skew_ms = i64::try_from(config.clock.skew_limit.as_millis()).unwrap_or(i64::MAX);
        let intake = Intake { person_key, skew_ms, partitions: log.partitions() };
        Ok(Desk::Log(Box::new(log), intake))
    }

    /// Puts letters back, or says what would become of them; `told` hears of each.
    pub fn put_back(
        &self,
        places: &[LetterPlace],
        dry_run: bool,
        mut told: impl FnMut(Fate),
    ) -> Result<(), SourceError> {
        for places in places.chunks(AT_ONCE) {
            let asked = PutBack { letters: places.to_vec(), dry_run };
            let fates = match self {
                Desk::Log(log, intake) => put_back(log.as_ref(), intake, &asked).map_err(Failure::Store)?,
                Desk::Instance(client) => asked_of(client, &asked)?,
            };
            fates.fates.into_iter().for_each(&mut told);
        }
        Ok(())
    }
}

fn asked_of(client: &Client, asked: &PutBack) -> Result<Fates, SourceError> {
    // Numbers, text and a flag always serialise.
    let body = serde_json::to_vec(asked).unwrap_or_default();
    let answer = client.post("/v1/dead-letters/resubmit", "application/json", &body)?;
    let said = || String::from_utf8_lossy(&answer.body).into_owned();
    match answer.status {
        200 => serde_json::from_slice(&answer.body)
            .map_err(|error| SourceError::Refused { status: 200, said: format!("{error}: {}", said()) }),
        429 => Err(Failure::Store(StoreError::Busy).into()),
        503 => Err(Failure::Store(StoreError::Failed { detail: said() }).into()),
        status => Err(SourceError::Refused { status, said: said() }),
    }
}
