//! The made-up company: all its customers, everything that happens to them, and the ground truth.

use std::sync::Arc;

use super::account::{Account, Setting};
use super::calendar::{DAY_MS, day_of};
use super::cause::{Cause, CauseRecord, Planted, Planter, TwinRecord};
use super::fact::Dated;
use super::history::History;
use super::live::{Live, LiveOptions};
use super::random::Random;
use super::timeline;

/// Most accounts of one company; what happens to them is held in memory, about 10 KB each.
const MAX_ACCOUNTS: usize = 20_000;
/// Longest history, in days.
const MAX_HISTORY_DAYS: u32 = 1000;

/// What to make up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompanyOptions {
    /// Everything else being equal, the same seed gives the same events, byte for byte.
    pub seed: u64,
    /// Customers; cut to 20,000.
    pub accounts: usize,
    /// Days of history; cut to 1..=1000.
    pub history_days: u32,
    /// The first instant after history, UTC milliseconds.
    pub end_ms: i64,
    /// About the most events history may have: people do less until it fits. Contracts, contacts,
    /// invoices, tickets and surveys are never left out.
    pub max_events: usize,
    /// Percentage of accounts with a cause of churn.
    pub cause_percent: u64,
    /// Percentage of accounts that only look like it.
    pub twin_percent: u64,
}

impl CompanyOptions {
    /// A thousand customers over 150 days that end at `end_ms`.
    pub fn new(seed: u64, end_ms: i64) -> CompanyOptions {
        CompanyOptions {
            seed,
            accounts: 1000,
            history_days: 150,
            end_ms,
            max_events: 1_000_000,
            cause_percent: 7,
            twin_percent: 6,
        }
    }
}

/// A company, its customers and all that happens to them.
#[derive(Debug)]
pub struct Company {
    pub(super) setting: Setting,
    pub(super) accounts: Vec<Account>,
    /// Everything but logins and usage, in time order.
    pub(super) facts: Vec<Dated>,
    /// Logins and usage events history may have.
    pub(super) activity_limit: usize,
    /// Share of the usual activity that fits the limit; at most 1.
    pub(super) scale: f64,
    causes: Vec<CauseRecord>,
    twins: Vec<TwinRecord>,
}

impl Company {
    /// Makes up a company.
    pub fn new(options: CompanyOptions) -> Company {
        let history_ms = i64::from(options.history_days.clamp(1, MAX_HISTORY_DAYS)) * DAY_MS;
        let setting =
            Setting { seed: options.seed, start_ms: options.end_ms - history_ms, end_ms: options.end_ms };
        let accounts = make_accounts(&options, &setting);
        let mut facts: Vec<Dated> = accounts
            .iter()
            .enumerate()
            .flat_map(|(index, account)| timeline::facts(account, index, &setting))
            .collect();
        // Stable: facts of one account at one instant keep the order they were made in.
        facts.sort_by_key(|dated| (dated.at_ms, dated.account));
        let in_history = facts.partition_point(|dated| dated.at_ms < setting.end_ms);
        let activity_limit = options.max_events.saturating_sub(in_history);
        let expected = expected_activity(&accounts, &setting);
        // A little below the limit, so that chance does not cut off the last days.
        let scale = (0.98 * activity_limit as f64 / expected.max(1.0)).min(1.0);
        let causes = accounts.iter().flat_map(cause_records).collect();
        let twins = accounts.iter().filter_map(twin_record).collect();
        Company { setting, accounts, facts, activity_limit, scale, causes, twins }
    }

    /// The customers.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Ground truth: causes of churn.
    pub fn causes(&self) -> &[CauseRecord] {
        &self.causes
    }

    /// Ground truth: accounts that must not alarm.
    pub fn twins(&self) -> &[TwinRecord] {
        &self.twins
    }

    /// All events before the end of history, in time order.
    pub fn history(&self) -> History<'_> {
        History::new(self)
    }

    /// The events from `options.from_ms` on, without end. After a restart ask again with a later
    /// time: ids are made of times, so they are fresh.
    pub fn live(&self, options: LiveOptions) -> Live<'_> {
        Live::new(self, options)
    }
}

fn make_accounts(options: &CompanyOptions, setting: &Setting) -> Vec<Account> {
    let planter = Planter { start_ms: setting.start_ms, end_ms: setting.end_ms };
    let (mut causes, mut twins) = (0, 0);
    (0..options.accounts.min(MAX_ACCOUNTS))
        .map(|index| {
            let mut random = Random::for_part(options.seed, index as u64, 0);
            let lot = random.below(100);
            let planted = if lot < options.cause_percent {
                causes += 1;
                planter.cause(causes - 1, &mut random)
            } else if lot < options.cause_percent.saturating_add(options.twin_percent) {
                twins += 1;
                planter.twin(twins - 1, &mut random)
            } else {
                Planted::Nothing
            };
            Account::new(index, setting, planted)
        })
        .collect()
}

fn expected_activity(accounts: &[Account], setting: &Setting) -> f64 {
    let days = day_of(setting.start_ms)..=day_of(setting.end_ms - 1);
    let of_account = |account: &Account| {
        let (logins, usages) = account.daily_means();
        days.clone().map(|day| account.activity(day)).sum::<f64>() * (logins + usages)
    };
    accounts.iter().map(of_account).sum()
}

fn cause_records(account: &Account) -> impl Iterator<Item = CauseRecord> {
    let planted_at = |cause| account.planted.cause_at(cause).map(|at_ms| (cause, at_ms));
    Cause::ALL.into_iter().filter_map(planted_at).map(|(cause, at_ms)| {
        let account = Arc::clone(&account.id);
        CauseRecord { account, cause, at_ms }
    })
}

fn twin_record(account: &Account) -> Option<TwinRecord> {
    match account.planted {
        Planted::Twin(twin, at_ms) => Some(TwinRecord { account: Arc::clone(&account.id), twin, at_ms }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::cause::Twin;
    use super::*;
    use crate::engine::event::Kind;

    /// 2026-11-22T12:00:00Z
    const END_MS: i64 = 1_795_348_800_000;

    fn small() -> Company {
        Company::new(CompanyOptions { accounts: 200, max_events: 60_000, ..CompanyOptions::new(5, END_MS) })
    }

    #[test]
    fn history_is_in_order_within_its_time_and_limit() {
        let company = small();
        let mut previous_ms = END_MS - 150 * DAY_MS;
        let mut count = 0;
        for event in company.history() {
            assert!(event.at_ms >= previous_ms && event.at_ms < END_MS);
            previous_ms = event.at_ms;
            count += 1;
        }
        assert!((50_000..=60_000).contains(&count), "{count}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let bytes = |seed| {
            let options =
                CompanyOptions { accounts: 30, history_days: 20, ..CompanyOptions::new(seed, END_MS) };
            Company::new(options).history().flat_map(|event| event.json).collect::<Vec<u8>>()
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn events_decode_and_ids_are_unique_per_account_and_kind() {
        let company = small();
        let mut seen = BTreeSet::new();
        for event in company.history() {
            let id = event.decoded_id();
            assert!(seen.insert((event.account, event.kind, id.clone())), "{id} stands twice");
        }
    }

    #[test]
    fn every_cause_and_every_twin_is_planted_within_history() {
        let company = small();
        let causes: BTreeSet<Cause> = company.causes().iter().map(|record| record.cause).collect();
        let twins: BTreeSet<Twin> = company.twins().iter().map(|record| record.twin).collect();
        assert_eq!((causes.len(), twins.len()), (Cause::ALL.len(), Twin::ALL.len()));
        let times = company.causes().iter().map(|record| record.at_ms);
        assert!(times.into_iter().all(|at_ms| at_ms < END_MS && at_ms > END_MS - 150 * DAY_MS));
    }

    #[test]
    fn every_kind_occurs_and_logins_are_most() {
        let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
        for event in small().history() {
            *kinds.entry(event.kind).or_default() += 1;
        }
        assert_eq!(kinds.len(), Kind::ALL.len(), "{kinds:?}");
        assert!(kinds[&Kind::Login] > kinds[&Kind::Usage] && kinds[&Kind::Usage] > kinds[&Kind::Ticket]);
    }

    #[test]
    fn declining_accounts_lose_most_of_their_use_and_others_do_not() {
        let company = small();
        let mut totals: BTreeMap<Arc<str>, [f64; 2]> = BTreeMap::new();
        for event in company.history().filter(|event| matches!(event.kind, Kind::Login | Kind::Usage)) {
            let age_days = (END_MS - event.at_ms) / DAY_MS;
            if age_days < 56 {
                totals.entry(event.account).or_default()[usize::from(age_days < 28)] += 1.0;
            }
        }
        for record in company.causes().iter().filter(|record| record.cause == Cause::UsageDecline) {
            let [before, after] = totals[&record.account];
            assert!(after < before * 0.6, "{record:?} {before} {after}");
        }
        let quiet = company.twins().iter().filter(|record| record.twin == Twin::QuietWeek);
        for record in quiet {
            let [before, after] = totals[&record.account];
            assert!(after > before * 0.6, "{record:?} {before} {after}");
        }
    }
}
