//! The made-up company of `demo`: what it is, how far its history is loaded, what it does now.
//! `demo.json` in the data directory keeps what it is; how far it is loaded stands in the log
//! itself, so a crash repeats and loses nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::topics;
use crate::config::PARTITIONS;
use crate::engine::event::Kind;
use crate::engine::partition::partition_of;
use crate::log::TopicPartition;
use crate::log::local::{AppendRecord, LocalError, LocalStore};
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
    /// The log.
    #[error(transparent)]
    Log(#[from] LocalError),
}

impl DemoState {
    /// The company of a data directory; `fresh` when it has none yet.
    pub fn load_or(data_dir: &Path, fresh: DemoState) -> Result<DemoState, DemoError> {
        let path = data_dir.join(FILE);
        let failed = |cause| DemoError::State { path: path.clone(), action: "read", cause };
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(error.into())),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(fresh),
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

    /// Loads what is missing of history; `progress` hears how many events are durable. Each write
    /// is durable as a whole, and nothing else writes before history is complete: so the number
    /// of records in the log is the number of events loaded.
    pub fn load_history(
        &mut self,
        company: &Company,
        store: &LocalStore,
        data_dir: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), DemoError> {
        self.save(data_dir)?;
        let mut loaded = appended(store)?;
        let mut events = company.history().skip(usize::try_from(loaded).unwrap_or(usize::MAX));
        loop {
            let batch: Vec<AppendRecord> =
                events.by_ref().take(LOAD_BATCH).map(|event| record(&event)).collect();
            if batch.is_empty() {
                self.complete = true;
                return self.save(data_dir);
            }
            loaded += batch.len() as u64;
            store.append(batch)?;
            progress(loaded);
        }
    }
}

/// Records ever appended to the input topics.
pub fn appended(store: &LocalStore) -> Result<u64, DemoError> {
    let mut sum = 0;
    for topic in Kind::ALL.map(topics::input) {
        for partition in 0..PARTITIONS {
            sum += store.watermarks(TopicPartition { topic, partition })?.end;
        }
    }
    Ok(sum)
}

/// Writes live events.
pub struct LiveFeed {
    store: Arc<LocalStore>,
}

impl LiveFeed {
    /// Into this log.
    pub fn new(store: Arc<LocalStore>) -> LiveFeed {
        LiveFeed { store }
    }

    /// Writes one event durably.
    pub fn write(&self, event: &SimEvent) -> Result<(), DemoError> {
        self.store.append(vec![record(event)])?;
        Ok(())
    }
}

fn record(event: &SimEvent) -> AppendRecord {
    let key = event.account.as_bytes();
    AppendRecord {
        at: TopicPartition { topic: topics::input(event.kind), partition: partition_of(key, PARTITIONS) },
        key: Some(key.to_vec()),
        value: Some(event.json.clone()),
        headers: Vec::new(),
        timestamp_ms: event.at_ms,
    }
}
