//! Events up to the end of history: made day by day, so that memory holds one day of activity.

use super::account::Account;
use super::calendar::{DAY_MS, HOUR_MS, day_of};
use super::company::Company;
use super::fact::{Dated, Fact, SimEvent};
use super::random::Random;

/// Iterator over history in time order. Made by [`Company::history`].
#[derive(Debug)]
pub struct History<'c> {
    company: &'c Company,
    /// Index of the next fact of the company that is not yet in `today`.
    next_fact: usize,
    next_day: i64,
    /// Logins and usage events that may still be made.
    activity_left: usize,
    /// The events of the day being told, latest first.
    today: Vec<Dated>,
}

/// How much a week differs from the usual one, as a standard deviation.
const WEEK_NOISE: f64 = 0.06;
/// Hour of the day, local time, at which people come to work.
const OFFICE_OPENS_HOURS: i64 = 8;
/// How long they stay.
const OFFICE_MS: i64 = 10 * HOUR_MS;
/// Least and most uses one usage event counts.
const USES: (i64, i64) = (3, 8);

impl<'c> History<'c> {
    pub(super) fn new(company: &'c Company) -> History<'c> {
        History {
            company,
            next_fact: 0,
            next_day: day_of(company.setting.start_ms),
            activity_left: company.activity_limit,
            today: Vec::new(),
        }
    }

    /// Fills `today`; false when history is over.
    fn turn_day(&mut self) -> bool {
        let setting = &self.company.setting;
        if self.next_day * DAY_MS >= setting.end_ms {
            return false;
        }
        let until_ms = ((self.next_day + 1) * DAY_MS).min(setting.end_ms);
        for (index, account) in self.company.accounts.iter().enumerate() {
            self.act(index, account, until_ms);
        }
        let facts = self.company.facts.iter().skip(self.next_fact);
        let before = self.today.len();
        self.today.extend(facts.take_while(|dated| dated.at_ms < until_ms).cloned());
        self.next_fact += self.today.len() - before;
        // Stable, then turned round: equal times keep the order in which they were made.
        self.today.sort_by_key(|dated| (dated.at_ms, dated.account));
        self.today.reverse();
        self.next_day += 1;
        true
    }

    /// Logins and usage of one account on one day.
    fn act(&mut self, index: usize, account: &Account, until_ms: i64) {
        let (seed, day) = (self.company.setting.seed, self.next_day);
        let mut week = Random::for_part(seed, index as u64, 3 + 2 * day.div_euclid(7).unsigned_abs());
        let noise = 1.0 + WEEK_NOISE * week.normal();
        let mut random = Random::for_part(seed, index as u64, 4 + 2 * day.unsigned_abs());
        let factor = account.activity(day) * noise * self.company.scale;
        let (logins, usages) = account.daily_means();
        let logins = random.poisson(logins * factor);
        let usages = random.round(usages * factor);
        for number in 0..logins + usages {
            let of_day =
                random.between(0, OFFICE_MS - 1) + (OFFICE_OPENS_HOURS - account.utc_offset_hours) * HOUR_MS;
            let at_ms = day * DAY_MS + of_day.rem_euclid(DAY_MS);
            let user = account.pick_user(at_ms, &mut random);
            let fact = if number < logins {
                Fact::Login { user }
            } else {
                let feature = account.pick_feature(&mut random);
                Fact::Usage { user, feature, count: random.between(USES.0, USES.1) as u16 }
            };
            if at_ms >= account.since_ms && at_ms < until_ms && self.activity_left > 0 {
                self.activity_left -= 1;
                self.today.push(Dated { at_ms, account: index as u32, fact });
            }
        }
    }
}

impl Iterator for History<'_> {
    type Item = SimEvent;

    fn next(&mut self) -> Option<SimEvent> {
        loop {
            if let Some(dated) = self.today.pop() {
                // Facts are made for accounts by their index.
                let account = &self.company.accounts[dated.account as usize];
                return Some(SimEvent::new(account, dated.at_ms, &dated.fact));
            }
            if !self.turn_day() {
                return None;
            }
        }
    }
}
