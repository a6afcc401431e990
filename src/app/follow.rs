//! Follows our own risks topic from where it stood at the start, as any other reader would: each
//! committed transition is handed to whoever watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Deserialize;

use super::store::RunningLog;
use crate::clock;
use crate::engine::record::{RecordKind, json_twin};
use crate::ingest::{OutputTopic, Outputs, Store, StoreError};

/// How soon a stop is noticed.
const WAIT: Duration = Duration::from_millis(200);
/// About how much is read at once.
const READ_BYTES: usize = 1024 * 1024;

/// What a watcher needs of a risk transition.
#[derive(Clone, Debug, Deserialize)]
pub struct RiskNews {
    /// Stable id of the episode.
    pub id: String,
    /// The account.
    pub account_id: String,
    /// Its display name.
    pub account_name: Option<String>,
    /// Rule key.
    pub rule: String,
    /// The rule's name for people.
    pub title: String,
    /// `started`, `resolved` and so on.
    pub transition: String,
    /// `low` to `critical`.
    pub severity: String,
    /// When it happened, RFC 3339.
    pub at: String,
    /// Whether it is history.
    pub backfill: bool,
    /// What happened, in a sentence.
    pub what: String,
    /// The score then.
    pub score_hundredths: Option<i16>,
    /// Money at stake per year.
    pub money_at_stake: Option<MoneyNews>,
    /// Who is in charge.
    pub owner: Option<String>,
    /// What to do.
    pub play: String,
}

/// An amount.
#[derive(Clone, Debug, Deserialize)]
pub struct MoneyNews {
    /// Minor units per year.
    pub annual_minor: i64,
    /// Currency.
    pub currency: String,
}

/// Receives each transition, in commit order per partition.
pub type Watcher = Box<dyn FnMut(&RiskNews) + Send>;

/// The running follower.
pub struct Follower {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Follower {
    /// Starts at the present end of the topic.
    pub fn start(log: RunningLog, mut watcher: Watcher) -> Result<Follower, StoreError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let mut next: Vec<u64> = log.bounds(OutputTopic::Risks)?.iter().map(|(_, end)| *end).collect();
        let thread = std::thread::spawn(move || {
            let mut failing = false;
            while !stopping.load(Ordering::Relaxed) {
                let seen = log.changes();
                match read(&log, &mut next, &mut watcher) {
                    Ok(0) => log.wait(seen, WAIT),
                    Ok(_) => failing = false,
                    // It may come back: a disk that was full, a cluster that was away.
                    Err(error) => {
                        if !failing {
                            tracing::error!(%error, "the risks topic cannot be followed now");
                        }
                        failing = true;
                        clock::pause(WAIT);
                    }
                }
            }
        });
        Ok(Follower { stop, thread })
    }

    /// Ends it.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the thread that follows the risks ended with a panic");
        }
    }
}

fn read(log: &RunningLog, next: &mut [u64], watcher: &mut Watcher) -> Result<usize, StoreError> {
    let mut count = 0;
    let bounds = log.bounds(OutputTopic::Risks)?;
    for ((partition, position), bounds) in (0u32..).zip(next).zip(bounds) {
        let (records, after) = log.read(OutputTopic::Risks, partition, bounds, *position, READ_BYTES)?;
        *position = after;
        for value in records.iter().filter_map(|record| record.value.as_deref()) {
            // Written by this very program; what it cannot read it does not show.
            let Some(news) = news(value) else { continue };
            watcher(&news);
        }
        count += records.len();
    }
    Ok(count)
}

/// Written by this very program, in either encoding; what it cannot read it does not count.
pub fn news(value: &[u8]) -> Option<RiskNews> {
    let json = json_twin(RecordKind::Risk, value).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_read_in_either_encoding() {
        let json = include_bytes!("../../tests/contract/golden/risk_resolved.json");
        let hex = include_str!("../../tests/contract/golden/risk_resolved.hex").replace('\n', "");
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let protobuf: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        for value in [&json[..], &protobuf] {
            let news = news(value).unwrap();
            assert_eq!((news.rule.as_str(), news.transition.as_str()), ("late_payment", "resolved"));
        }
        assert!(news(b"\xff").is_none());
    }
}
