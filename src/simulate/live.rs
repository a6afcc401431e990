//! Events after the end of history, without end, for someone who watches: steady small traffic,
//! what history left to be finished, and every so often an [`Episode`].
//!
//! Times are event times. The caller decides how fast they pass: an event is due when its
//! `at_ms` has come (real time), or `speed` times earlier.

use std::collections::BTreeMap;

use super::calendar::{DAY_MS, HOUR_MS};
use super::cause::{Cause, Planted};
use super::company::Company;
use super::episode::{Episode, OPENING_STEP_SECONDS, PAUSE_SECONDS, REAL_SECOND_MS, Stage};
use super::fact::{Fact, Invoice, SimEvent, Ticket};
use super::random::Random;
use crate::engine::event::{InvoiceStatus, Priority, TicketStatus};

/// How live events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveOptions {
    /// Event time of the first: the end of history, or later after a restart.
    pub from_ms: i64,
    /// Seconds of event time per second of the watcher; 1 is real time, 0 counts as 1.
    pub speed: u32,
    /// Events per second of the watcher, without the episodes; 0 counts as 1.
    pub events_per_second: u32,
}

impl LiveOptions {
    /// Four events a second in real time.
    pub fn new(from_ms: i64) -> LiveOptions {
        LiveOptions { from_ms, speed: 1, events_per_second: 4 }
    }
}

/// Endless iterator of events. Made by [`Company::live`].
#[derive(Debug)]
pub struct Live<'c> {
    company: &'c Company,
    random: Random,
    second_ms: i64,
    gap_ms: i64,
    next_ms: i64,
    next_episode_ms: i64,
    /// Episodes played so far.
    episodes: usize,
    /// Index of the next fact that history left over.
    next_fact: usize,
    /// Facts to come, by time and then by the order in which they were thought of.
    scheduled: BTreeMap<(i64, u64), (usize, Fact)>,
    thought_of: u64,
    overdue: Vec<(usize, Invoice)>,
    doubtful: Vec<usize>,
}

impl<'c> Live<'c> {
    pub(super) fn new(company: &'c Company, options: LiveOptions) -> Live<'c> {
        let second_ms = REAL_SECOND_MS * i64::from(options.speed.max(1));
        let from_ms = options.from_ms.max(company.setting.end_ms);
        Live {
            company,
            // Another start tells another story about the same accounts.
            random: Random::for_part(company.setting.seed, 5, from_ms.unsigned_abs()),
            second_ms,
            gap_ms: (second_ms / i64::from(options.events_per_second.max(1))).max(1),
            next_ms: from_ms,
            next_episode_ms: from_ms + 2 * second_ms,
            episodes: 0,
            next_fact: company.facts.partition_point(|dated| dated.at_ms < company.setting.end_ms),
            scheduled: BTreeMap::new(),
            thought_of: 0,
            overdue: overdue_invoices(company),
            doubtful: doubtful_accounts(company),
        }
    }

    fn schedule(&mut self, at_ms: i64, account: usize, fact: Fact) {
        self.thought_of += 1;
        self.scheduled.insert((at_ms, self.thought_of), (account, fact));
    }

    fn episode(&mut self) {
        let at_ms = self.next_episode_ms;
        let episode = match Episode::OPENING.get(self.episodes) {
            Some(episode) => *episode,
            None => self.random.pick(&Episode::OPENING),
        };
        self.episodes += 1;
        let opening = self.episodes < Episode::OPENING.len();
        let pause = if opening {
            OPENING_STEP_SECONDS
        } else {
            self.random.between(PAUSE_SECONDS.0, PAUSE_SECONDS.1)
        };
        self.next_episode_ms += pause * self.second_ms;
        let (account, overdue) = match episode {
            Episode::OverduePaid => match self.overdue.pop() {
                Some((account, invoice)) => (account, Some(invoice)),
                None => return,
            },
            Episode::RenewalSigned => match self.doubtful.pop() {
                Some(account) => (account, None),
                None => return,
            },
            _ => match self.calm_account() {
                Some(account) => (account, None),
                None => return,
            },
        };
        let stage =
            Stage { account: &self.company.accounts[account], at_ms, second_ms: self.second_ms, overdue };
        for (at_ms, fact) in stage.play(episode) {
            self.schedule(at_ms, account, fact);
        }
    }

    /// An account in which nothing was planted, so that an episode is all there is to see.
    fn calm_account(&mut self) -> Option<usize> {
        const TRIES: usize = 50;
        let count = self.company.accounts.len() as u64;
        (0..TRIES)
            .map(|_| self.random.below(count) as usize)
            .find(|index| self.company.accounts.get(*index).is_some_and(|a| a.planted == Planted::Nothing))
    }

    /// Everyday traffic: mostly logins and usage, of the larger accounts most.
    fn everyday(&mut self) {
        let at_ms = self.next_ms;
        self.next_ms += self.random.between(self.gap_ms - self.gap_ms / 2, self.gap_ms + self.gap_ms / 2);
        let count = self.company.accounts.len() as u64;
        let (one, other) = (self.random.below(count) as usize, self.random.below(count) as usize);
        let users = |index: usize| self.company.accounts.get(index).map(|account| account.users);
        let index = if users(one) >= users(other) { one } else { other };
        let Some(account) = self.company.accounts.get(index) else { return };
        let number = at_ms.unsigned_abs();
        let user = account.pick_user(at_ms, &mut self.random);
        match self.random.below(100) {
            0..72 => self.schedule(at_ms, index, Fact::Login { user }),
            72..92 => {
                let feature = account.pick_feature(&mut self.random);
                let count = self.random.between(3, 8) as u16;
                self.schedule(at_ms, index, Fact::Usage { user, feature, count });
            }
            92..96 => self.ticket_solved_soon(at_ms, index),
            96..98 => {
                let score = self.random.between(8, 10) as u8;
                self.schedule(at_ms, index, Fact::Nps { number, score, user });
            }
            _ => {
                let paid = Invoice {
                    number,
                    issued_ms: at_ms - 20 * DAY_MS,
                    due_ms: at_ms + 10 * DAY_MS,
                    paid_ms: Some(at_ms),
                    status: InvoiceStatus::Paid,
                };
                self.schedule(at_ms, index, Fact::Invoice(paid));
            }
        }
    }

    fn ticket_solved_soon(&mut self, at_ms: i64, index: usize) {
        let opened = Ticket {
            number: at_ms.unsigned_abs(),
            priority: Priority::Normal,
            status: TicketStatus::Open,
            opened_ms: at_ms,
            responded_ms: None,
            response_due_ms: at_ms + (8 * HOUR_MS).max(500 * self.second_ms),
            resolve_due_ms: at_ms + (5 * DAY_MS).max(1000 * self.second_ms),
            solved_ms: None,
            csat: None,
        };
        let solved_ms = at_ms + self.random.between(20, 90) * self.second_ms;
        let solved = Ticket {
            status: TicketStatus::Solved,
            responded_ms: Some(solved_ms),
            solved_ms: Some(solved_ms),
            csat: Some(5),
            ..opened.clone()
        };
        self.schedule(at_ms, index, Fact::Ticket(opened));
        self.schedule(solved_ms, index, Fact::Ticket(solved));
    }
}

/// Invoices that history leaves unpaid past their grace, and that nobody is about to pay.
fn overdue_invoices(company: &Company) -> Vec<(usize, Invoice)> {
    let mut open: BTreeMap<(u32, u64), Invoice> = BTreeMap::new();
    for dated in &company.facts {
        if let Fact::Invoice(invoice) = &dated.fact {
            let key = (dated.account, invoice.number);
            match invoice.status {
                InvoiceStatus::Open if dated.at_ms < company.setting.end_ms => {
                    open.insert(key, invoice.clone());
                }
                _ => {
                    open.remove(&key);
                }
            }
        }
    }
    let late_ms = company.setting.end_ms - 10 * DAY_MS;
    open.retain(|_, invoice| invoice.due_ms < late_ms);
    open.into_iter().map(|((account, _), invoice)| (account as usize, invoice)).collect()
}

fn doubtful_accounts(company: &Company) -> Vec<usize> {
    let is_doubtful = |index: &usize| {
        company.accounts.get(*index).is_some_and(|a| a.planted.cause_at(Cause::RenewalDoubt).is_some())
    };
    (0..company.accounts.len()).filter(is_doubtful).collect()
}

impl Iterator for Live<'_> {
    type Item = SimEvent;

    /// `None` only when the company has no accounts.
    fn next(&mut self) -> Option<SimEvent> {
        if self.company.accounts.is_empty() {
            return None;
        }
        loop {
            let leftover = self.company.facts.get(self.next_fact);
            let scheduled_ms = self.scheduled.keys().next().map_or(i64::MAX, |(at_ms, _)| *at_ms);
            let made_until_ms = self.next_ms.min(self.next_episode_ms);
            if let Some(dated) = leftover.filter(|d| d.at_ms <= scheduled_ms && d.at_ms <= made_until_ms) {
                self.next_fact += 1;
                let account = self.company.accounts.get(dated.account as usize)?;
                return Some(SimEvent::new(account, dated.at_ms, &dated.fact));
            }
            // What comes next may still be thought of at `made_until_ms`, not before.
            if scheduled_ms < made_until_ms {
                let ((at_ms, _), (index, fact)) = self.scheduled.pop_first()?;
                let account = self.company.accounts.get(index)?;
                return Some(SimEvent::new(account, at_ms, &fact));
            }
            if self.next_episode_ms <= self.next_ms {
                self.episode();
            } else {
                self.everyday();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::company::CompanyOptions;
    use super::*;
    use crate::engine::event::Kind;

    /// 2026-11-22T12:00:00Z
    const END_MS: i64 = 1_795_348_800_000;

    fn company() -> Company {
        Company::new(CompanyOptions { accounts: 300, max_events: 10_000, ..CompanyOptions::new(5, END_MS) })
    }

    fn id(event: &SimEvent) -> (String, Kind, String) {
        (event.account.to_string(), event.kind, event.decoded_id())
    }

    #[test]
    fn the_first_minutes_show_every_kind_of_drama_and_its_end() {
        let company = company();
        let minutes: Vec<SimEvent> = company
            .live(LiveOptions::new(END_MS))
            .take_while(|event| event.at_ms < END_MS + 120_000)
            .collect();
        assert!((350..700).contains(&minutes.len()), "{}", minutes.len());
        assert!(minutes.is_sorted_by_key(|event| event.at_ms));
        let has = |text: &str| minutes.iter().any(|e| String::from_utf8_lossy(&e.json).contains(text));
        for text in ["\"left\"", "\"moved\"", "\"score\":2", "\"urgent\",\"status\":\"solved\"", "\"renews\""]
        {
            assert!(has(text), "{text}");
        }
        assert!(minutes.iter().filter(|event| event.kind == Kind::Contact).count() >= 4);
    }

    #[test]
    fn a_restart_has_fresh_ids_and_the_same_accounts() {
        let company = company();
        let begin = |from_ms| company.live(LiveOptions::new(from_ms)).skip_while(move |e| e.at_ms < from_ms);
        let first: BTreeSet<_> = begin(END_MS).take(2000).map(|event| id(&event)).collect();
        assert_eq!(first.len(), 2000);
        let later_ms = END_MS + DAY_MS;
        let second: BTreeSet<_> = begin(later_ms).take(2000).map(|event| id(&event)).collect();
        assert_eq!(second.len(), 2000);
        assert!(first.is_disjoint(&second));
        let known: BTreeSet<&str> = company.accounts().iter().map(|account| &*account.id).collect();
        assert!(second.iter().all(|(account, _, _)| known.contains(account.as_str())));
    }

    #[test]
    fn speed_stretches_event_time_and_nothing_else() {
        let company = company();
        let options = LiveOptions { speed: 3600, ..LiveOptions::new(END_MS) };
        let minute: Vec<_> =
            company.live(options).take_while(|event| event.at_ms < END_MS + 60 * 3_600_000).collect();
        assert!((230..2000).contains(&minute.len()), "{}", minute.len());
    }

    #[test]
    fn an_empty_company_is_silent() {
        let company = Company::new(CompanyOptions { accounts: 0, ..CompanyOptions::new(1, END_MS) });
        assert_eq!(company.live(LiveOptions::new(END_MS)).next(), None);
        assert_eq!(company.history().next(), None);
    }
}
