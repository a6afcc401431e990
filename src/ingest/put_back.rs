//! `POST /v1/dead-letters/resubmit`: refused records go back to the input topic they came from, as
//! they were, to be judged again. `docs/contract.md` says what is written.
//!
//! A letter is named by its place and read here: nobody can write through this route what was not
//! refused before. Each is judged first as a worker would; what would be refused again stays where
//! it is. Doing it twice changes nothing, as with every event that is sent again.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::events::{throttled, unavailable};
use super::letter::{HEADER_RESUBMITTED, Letter, LetterPlace};
use super::problem::Problem;
use super::{OldRecord, OutputTopic, Shared, Store, StoreError, Stored};
use crate::clock;
use crate::engine::event::{Encoding, Headers, Intake, RawRecord, Reason};
use crate::engine::partition::partition_of;
use crate::telemetry::catalogue::INGEST_RESUBMITTED;

/// Most letters in one request.
pub const LETTERS_MAX: usize = 1_000;
/// About how much is read from the dead letters at once.
const READ_BYTES: usize = 1024 * 1024;
/// Records are written once they have this many bytes.
const WRITE_BYTES: usize = 4 * 1024 * 1024;

/// What is asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutBack {
    /// Which letters.
    pub letters: Vec<LetterPlace>,
    /// Judge only.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of one letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// Which.
    pub letter: LetterPlace,
    /// Where its record was written, or would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_to: Option<SentTo>,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// Where a record was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentTo {
    /// Name of the topic.
    pub topic: String,
    /// Partition: that of its key.
    pub partition: u32,
}

/// The answer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fates {
    /// One per letter asked for, in ascending order.
    pub fates: Vec<Fate>,
}

/// The handler.
pub async fn post_resubmit(
    State(shared): State<Arc<Shared>>,
    body: Result<axum::Json<PutBack>, axum::extract::rejection::JsonRejection>,
) -> Result<Response, Problem> {
    let sentence = match &body {
        Ok(axum::Json(asked)) if asked.letters.len() <= LETTERS_MAX => None,
        Ok(_) => Some(format!("a request may name {LETTERS_MAX} letters; send several")),
        Err(error) => {
            Some(format!("write {{\"letters\": [\"0/17\"], \"dry_run\": false}}: {}", error.body_text()))
        }
    };
    let (Ok(axum::Json(asked)), None) = (body, &sentence) else {
        let detail = sentence.unwrap_or_default();
        let kind = "urn:accountpulse:problem:letters";
        return Err(Problem::new(StatusCode::BAD_REQUEST, kind, "Not a list of dead letters", detail));
    };
    let Ok(permit) = Arc::clone(&shared.queue).try_acquire_owned() else { return Err(throttled()) };
    let worked = tokio::task::spawn_blocking(move || {
        let fates = put_back(shared.store.as_ref(), &shared.intake, &asked);
        drop(permit);
        fates
    });
    match worked.await {
        Ok(Ok(fates)) => Ok(axum::Json(fates).into_response()),
        Ok(Err(StoreError::Busy)) => Err(throttled()),
        Ok(Err(error)) => Err(unavailable(&error)),
        Err(_) => Err(unavailable(&StoreError::Failed { detail: "the request was interrupted".to_owned() })),
    }
}

/// Puts letters back, or says what would become of them. When it fails, some may have been written.
pub fn put_back(store: &dyn Store, intake: &Intake, asked: &PutBack) -> Result<Fates, StoreError> {
    let now_ms = clock::wall_ms();
    let mut letters = Letters { store, bounds: store.bounds(OutputTopic::DeadLetters)?, page: None };
    // In the order in which they stand, so that no page is read twice.
    let mut sorted = asked.letters.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let mut fates = Vec::with_capacity(sorted.len());
    let (mut records, mut bytes) = (Vec::new(), 0);
    for place in sorted {
        let judged = match letters.at(place)? {
            None => Err("there is no dead letter at that place; retention may have taken it".to_owned()),
            Some(letter) => judge(store, intake, &letter, now_ms)?,
        };
        let (sent_to, kept) = match judged {
            Ok(record) => {
                let sent_to = SentTo { topic: record.topic.clone(), partition: record.partition };
                if !asked.dry_run {
                    bytes += record.value.as_ref().map_or(0, Vec::len);
                    records.push(record);
                }
                (Some(sent_to), None)
            }
            Err(why) => (None, Some(why)),
        };
        fates.push(Fate { letter: place, sent_to, kept });
        if bytes >= WRITE_BYTES {
            write(store, &mut records)?;
            bytes = 0;
        }
    }
    write(store, &mut records)?;
    Ok(Fates { fates })
}

fn write(store: &dyn Store, records: &mut Vec<OldRecord>) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let count = records.len() as u64;
    store.put_back(std::mem::take(records))?;
    INGEST_RESUBMITTED.add(&[], count);
    Ok(())
}

/// Reads letters, asked for in ascending order.
struct Letters<'s> {
    store: &'s dyn Store,
    bounds: Vec<(u64, u64)>,
    /// What was read last: of which partition, what is not handed out yet, the offset behind.
    page: Option<(u32, Vec<Stored>, u64)>,
}

impl Letters<'_> {
    fn at(&mut self, place: LetterPlace) -> Result<Option<Letter>, StoreError> {
        let LetterPlace { partition, offset } = place;
        let bounds = usize::try_from(partition).ok().and_then(|index| self.bounds.get(index)).copied();
        let Some(bounds) = bounds.filter(|(start, end)| (*start..*end).contains(&offset)) else {
            return Ok(None);
        };
        let known = self.page.take().filter(|(of, _, next)| *of == partition && offset < *next);
        let page = match known {
            Some(page) => page,
            None => {
                let topic = OutputTopic::DeadLetters;
                let (records, next) = self.store.read(topic, partition, bounds, offset, READ_BYTES)?;
                (partition, records, next)
            }
        };
        let (_, records, _) = self.page.insert(page);
        let index = records.iter().position(|record| record.offset == offset);
        Ok(index.and_then(|index| Letter::read(partition, records.swap_remove(index))))
    }
}

/// The record to write, or why there is none.
fn judge(
    store: &dyn Store,
    intake: &Intake,
    letter: &Letter,
    now_ms: i64,
) -> Result<Result<OldRecord, String>, StoreError> {
    if !store.is_input(&letter.topic) {
        let topic = &letter.topic;
        return Ok(Err(format!("{topic} is not an input topic any more; add it to `topics.names` again")));
    }
    let whole = match letter.is_whole() {
        true => Ok(Whole {
            key: letter.key.clone(),
            value: letter.value.clone(),
            headers: letter.headers.clone(),
        }),
        false => fetched(store, letter)?,
    };
    let Whole { key, value, mut headers } = match whole {
        Ok(whole) => whole,
        Err(why) => return Ok(Err(why)),
    };
    let partition = key.as_deref().map_or(letter.partition, |key| partition_of(key, intake.partitions));
    // With its own time it would be refused as of the future for ever.
    let is_future = letter.code == Reason::Future.code();
    let timestamp_ms = if is_future { now_ms } else { letter.timestamp_ms.min(now_ms).max(1) };
    let own = Own(&headers);
    let raw = RawRecord {
        key: key.as_deref(),
        value: value.as_deref(),
        timestamp_ms,
        partition,
        encoding: Encoding::Auto,
        headers: &own,
    };
    if let Err(refusal) = intake.decode(raw) {
        return Ok(Err(format!("would be refused again as {}: {}", refusal.reason.code(), refusal.message)));
    }
    headers.retain(|(name, _)| name != HEADER_RESUBMITTED);
    let from = format!("{}/{}", store.letters_name(), letter.place);
    headers.push((HEADER_RESUBMITTED.to_owned(), from.into_bytes()));
    Ok(Ok(OldRecord { topic: letter.topic.clone(), partition, key, value, headers, timestamp_ms }))
}

/// What was refused.
struct Whole {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

struct Own<'h>(&'h [(String, Vec<u8>)]);

impl Headers for Own<'_> {
    fn any(&self) -> bool {
        !self.0.is_empty()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}

/// The record that a letter refers to, where it stood; or why it cannot be had.
fn fetched(store: &dyn Store, letter: &Letter) -> Result<Result<Whole, String>, StoreError> {
    let Letter { topic, partition, offset, .. } = letter;
    let place = format!("{topic}, partition {partition}, offset {offset}");
    let Some(record) = store.input_record(topic, *partition, *offset)? else {
        let why = format!("a part was left out for its length, and the record is gone from {place}");
        return Ok(Err(why));
    };
    let fits = |part: &Option<Vec<u8>>, known: &Option<Vec<u8>>, left_out: Option<u64>| match left_out {
        Some(bytes) => part.as_ref().map(|part| part.len() as u64) == Some(bytes),
        None => part == known,
    };
    let same = fits(&record.key, &letter.key, letter.key_left_out)
        && fits(&record.value, &letter.value, letter.value_left_out);
    if !same {
        let why = format!("a part was left out for its length, and another record stands at {place} now");
        return Ok(Err(why));
    }
    Ok(Ok(Whole { key: record.key, value: record.value, headers: record.headers }))
}
