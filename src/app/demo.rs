//! The made-up company of `demo`: what it is, how far its history is loaded, what it does now.
//! `demo.json` in the data directory keeps what it is and on which log; how far it is loaded stands
//! in the log itself, so a crash repeats and loses nothing. A directory and a log that do not belong
//! together are refused: one company would be mixed with another, or none be seen.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::store::RunningLog;
use crate::engine::partition::partition_of;
use crate::ingest::StoreError;
use crate::log::{AppendRecord, TopicPartition};
use crate::simulate::{Company, CompanyOptions, SimEvent};

const FILE: &str = "demo.json";
/// Events per durable write while history is loaded.
pub const LOAD_BATCH: usize = 5_000;

/// What the company is and how far it is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoState {
    /// The same seed makes the same company.
    pub seed: u64,
    /// Customers.
    pub accounts: usize,
    /// Most events of history.
    pub max_events: usize,
    /// End of history, UTC milliseconds.
    pub end_ms: i64,
    /// Whether all of history is in the log.
    pub complete: bool,
    /// Which log it is on, in words.
    pub log: String,
}

/// Why the demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Its state file.
    #[error("{} cannot be {action}: {cause}; remove the data directory to begin anew", path.display())]
    State {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// The directory is of another log.
    #[error(
        "{} is of a demo on {theirs}, and this one is on {ours}; choose another directory with --data",
        data_dir.display()
    )]
    OtherLog {
        /// The directory.
        data_dir: PathBuf,
        /// The log of its demo.
        theirs: String,
        /// The log of this one.
        ours: String,
    },
    /// The log has events that no demo of this directory wrote.
    #[error(
        "{log} holds {events} events already, and none of a demo in {}; choose {}",
        data_dir.display(),
        if *is_shared {
            "another `topics.prefix` and `kafka.group`, or remove what the broker holds"
        } else {
            "another directory with --data"
        }
    )]
    NotEmpty {
        /// The directory.
        data_dir: PathBuf,
        /// The log.
        log: String,
        /// How many.
        events: u64,
        /// Whether it lies elsewhere than the directory.
        is_shared: bool,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] StoreError),
}

impl DemoState {
    /// The company of a data directory; `fresh` when it has none yet.
    ///
    /// # Errors
    /// When directory and log do not belong together, or cannot be read.
    pub fn load_or(data_dir: &Path, fresh: DemoState, log: &RunningLog) -> Result<DemoState, DemoError> {
        let path = data_dir.join(FILE);
        let failed = |cause| DemoError::State { path: path.clone(), action: "read", cause };
        let data_dir = data_dir.to_owned();
        match std::fs::read(&path) {
            Ok(text) => {
                let found: DemoState = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
                if found.log == fresh.log {
                    return Ok(found);
                }
                Err(DemoError::OtherLog { data_dir, theirs: found.log, ours: fresh.log })
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => match appended(log)? {
                0 => Ok(fresh),
                events => {
                    let is_shared = matches!(log, RunningLog::Kafka(_));
                    Err(DemoError::NotEmpty { data_dir, log: fresh.log, events, is_shared })
                }
            },
            Err(cause) => Err(failed(cause)),
        }
    }

    fn save(&self, data_dir: &Path) -> Result<(), DemoError> {
        let path = data_dir.join(FILE);
        let fresh = data_dir.join(format!("{FILE}.new"));
        let written = serde_json::to_vec_pretty(self)
            .map_err(io::Error::from)
            .and_then(|text| std::fs::write(&fresh, text))
            .and_then(|()| std::fs::rename(&fresh, &path));
        written.map_err(|cause| DemoError::State { path, action: "written", cause })
    }

    /// The company.
    pub fn company(&self) -> Company {
        let mut options = CompanyOptions::new(self.seed, self.end_ms);
        options.accounts = self.accounts;
        options.max_events = self.max_events;
        Company::new(options)
    }

    /// Loads what is missing of history; `progress` hears how many events are durable. Nothing else
    /// writes before history is complete, and each partition is written in order: so the number of
    /// records in a partition is the number of its events that were loaded.
    pub fn load_history(
        &mut self,
        company: &Company,
        log: &RunningLog,
        data_dir: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), DemoError> {
        self.save(data_dir)?;
        let mut there = ends(log)?;
        let mut loaded: u64 = there.values().sum();
        let mut batch = Vec::new();
        for event in company.history() {
            let record = record(log, &event);
            if let Some(left) = there.get_mut(&record.at).filter(|left| **left > 0) {
                *left -= 1;
                continue;
            }
            batch.push(record);
            if batch.len() >= LOAD_BATCH {
                loaded += batch.len() as u64;
                log.write(std::mem::take(&mut batch))?;
                progress(loaded);
            }
        }
        log.write(batch)?;
        self.complete = true;
        self.save(data_dir)
    }
}

/// Records ever appended to the input topics.
pub fn appended(log: &RunningLog) -> Result<u64, DemoError> {
    Ok(ends(log)?.values().sum())
}

/// The end of every input partition.
fn ends(log: &RunningLog) -> Result<BTreeMap<TopicPartition, u64>, DemoError> {
    let mut ends = BTreeMap::new();
    for topic in log.topics().input_ids() {
        for partition in 0..log.partitions() {
            let at = TopicPartition { topic, partition };
            ends.insert(at, log.watermarks(at)?.end);
        }
    }
    Ok(ends)
}

/// Writes live events.
pub struct LiveFeed {
    log: RunningLog,
}

impl LiveFeed {
    /// Into this log.
    pub fn new(log: RunningLog) -> LiveFeed {
        LiveFeed { log }
    }

    /// Writes one event durably.
    pub fn write(&self, event: &SimEvent) -> Result<(), DemoError> {
        Ok(self.log.write(vec![record(&self.log, event)])?)
    }
}

fn record(log: &RunningLog, event: &SimEvent) -> AppendRecord {
    let key = event.account.as_bytes();
    let partition = partition_of(key, log.partitions());
    AppendRecord {
        at: TopicPartition { topic: log.topics().input(event.kind), partition },
        key: Some(key.to_vec()),
        value: Some(event.json.clone()),
        headers: Vec::new(),
        timestamp_ms: event.at_ms,
    }
}
