//! Whether scores are published: one that differs from what was told last goes out with the first
//! commit after its second of rest. Nobody else would notice if it were forgotten until the next
//! event or deadline of its account.

use std::collections::BTreeMap;

use accountpulse::engine::AccountState;
use serde_json::Value;

/// A score may rest this long, in wall milliseconds.
const REST_MS: i64 = 1_100;
/// Commits that may have been put together before.
const COMMITS: u64 = 2;

/// A score that differs from what was told.
struct Waiting {
    since_ms: i64,
    /// What is, and as of when something was told; when either changes, waiting begins anew.
    what: (Option<Value>, Option<Value>),
    /// Worker and number of the shard's last commit, once it has rested.
    rested: Option<(u64, u64)>,
}

/// What waits to be published.
#[derive(Default)]
pub struct Published {
    waiting: BTreeMap<String, Waiting>,
    looked: bool,
    /// Every shard has a clock.
    pub has_begun: bool,
}

impl Published {
    /// Looks at one account of a live worker: as it is, as it was told last. `owner` is the worker
    /// and the number of the shard's last commit.
    pub fn look(
        &mut self,
        account: &str,
        state: &AccountState,
        told: Option<&Value>,
        owner: (u64, u64),
        now_ms: i64,
    ) -> Result<(), String> {
        self.looked = true;
        let record =
            serde_json::to_value((state.record.score, state.record.band, state.record.coverage)).ok();
        let told_now = told.map(|told| {
            Value::from(vec![told["score"].clone(), told["band"].clone(), told["coverage"].clone()])
        });
        let nothing_known = told.is_none() && state.score_hundredths.is_none();
        if nothing_known || told_now == record {
            self.waiting.remove(account);
            return Ok(());
        }
        // Which record it was, too: scores go and come back between two looks.
        let what = (record, told.map(|told| told["as_of"].clone()));
        if self.waiting.get(account).is_some_and(|waiting| waiting.what != what) {
            self.waiting.remove(account);
        }
        let since = Waiting { since_ms: now_ms, what, rested: None };
        let waiting = self.waiting.entry(account.to_owned()).or_insert(since);
        // A clock that was set back begins anew.
        waiting.since_ms = waiting.since_ms.min(now_ms);
        let rested = match waiting.rested {
            Some(rested) if rested.0 == owner.0 => rested,
            _ if now_ms - waiting.since_ms < REST_MS => return Ok(()),
            _ => *waiting.rested.insert(owner),
        };
        if owner.1 > rested.1 + COMMITS {
            let commits = owner.1 - rested.1;
            return Err(format!("{account}: its score is not published, {commits} commits after it changed"));
        }
        Ok(())
    }

    /// Whether all was looked at and nothing waits.
    pub fn is_all(&self) -> bool {
        self.looked && self.waiting.is_empty()
    }

    /// Begins anew.
    pub fn forget(&mut self) {
        self.waiting.clear();
        self.looked = false;
    }
}
