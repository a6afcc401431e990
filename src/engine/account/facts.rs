//! Facts: everything about an account that is a function of its set of events.
//!
//! Facts never look at a clock and never depend on order; recovery recomputes them as often as
//! it likes. What was concluded from them lives in [`super::Decisions`].

mod parts;

pub(in crate::engine) use parts::Lengths;

use super::entity::{ContactFact, ContractFact, InvoiceFact, SurveyFact, TicketFact};
use super::index::{Derived, InvoiceIndex, TicketIndex};
use super::keyed::{Merge, Stamp};
use super::list::List;
use crate::engine::event::{Body, Currency, Event, Login, Patch, Usage};
use crate::engine::limits::Limits;
use crate::engine::time::{Calendar, Day};
use crate::engine::window::{Admission, DAILY_DAYS, Filter, People, Recent, RecentDays, Series};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A master-data field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum MasterField {
    Name,
    Segment,
    Industry,
    Owner,
    TimeZone,
    Lifecycle,
    Parent,
    EntitledFeatures,
    ExpectedWeeklyUsers,
    ExpectedMonthlyUsers,
}

impl From<&MasterField> for MasterField {
    fn from(field: &MasterField) -> Self {
        *field
    }
}

/// Value of a master-data field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MasterValue {
    /// Explicitly cleared.
    Cleared,
    /// Text.
    Text(Box<str>),
    /// A list, in the order given.
    List(Vec<Box<str>>),
    /// A number.
    Number(u32),
}

/// Uses of one feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureUse {
    /// The feature's name.
    pub feature: Box<str>,
    /// Its uses.
    pub uses: Series,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KindFilter {
    kind: u8,
    input: u16,
    filter: Filter,
}

/// The facts of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Who was active when.
    pub people: People,
    /// Sign-ins.
    pub logins: Series,
    /// Uses by feature, sorted by name.
    pub usage: Vec<FeatureUse>,
    /// The greatest name hash among features that were dropped when the limit was reached;
    /// features at or above it are never tracked.
    usage_cut: Option<u64>,
    /// Tickets by id.
    pub tickets: List<Box<str>, TicketFact>,
    /// Invoices by id.
    pub invoices: List<Box<str>, InvoiceFact>,
    /// Survey responses by id.
    pub surveys: List<Box<str>, SurveyFact>,
    /// Contacts by id.
    pub contacts: List<Box<str>, ContactFact>,
    /// Contracts by id.
    pub contracts: List<Box<str>, ContractFact>,
    /// Master data by field.
    pub master: List<MasterField, MasterValue>,
    filters: Vec<KindFilter>,
    /// The newest `occurred_at` of any event that was not late.
    pub newest_ms: Option<i64>,
    /// The first day with a login or a use. Kept apart because counts that old are forgotten.
    pub first_active: Option<Day>,
    /// The newest days of logins and uses together.
    #[serde(skip)]
    recent: Recent,
    #[serde(skip)]
    pub(super) ticket_index: Derived<TicketIndex>,
    #[serde(skip)]
    pub(super) invoice_index: Derived<InvoiceIndex>,
}

/// What one event did to the facts, and how much of it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// What it did.
    pub verdict: Verdict,
    /// Of a login or a use: nothing but counts differs. Who came and what was used on that day was known,
    /// or is not remembered.
    pub repeats: bool,
}

/// What one event did to the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The facts include it now.
    Applied,
    /// It was here already.
    Duplicate,
    /// A count older than the duplicate horizon: put aside.
    Late,
    /// A later write of the same entity is known.
    Superseded,
    /// It fell under a limit of the account.
    Limited,
}

impl From<Merge> for Verdict {
    fn from(merge: Merge) -> Self {
        match merge {
            Merge::Applied => Verdict::Applied,
            Merge::Duplicate => Verdict::Duplicate,
            Merge::Superseded => Verdict::Superseded,
            Merge::Limited => Verdict::Limited,
        }
    }
}

impl Facts {
    /// Merges one event of input number `input`.
    pub fn merge(&mut self, input: u16, event: &Event<'_>, calendar: Calendar, limits: &Limits) -> Merged {
        let mut repeats = false;
        let verdict = match &event.body {
            Body::Login(login) => self.put_aside(input, event, limits).unwrap_or_else(|| {
                let day = self.active_day(event, calendar);
                repeats = self.count_login(*login, day, limits);
                Verdict::Applied
            }),
            Body::Usage(usage) => self.put_aside(input, event, limits).unwrap_or_else(|| {
                let day = self.active_day(event, calendar);
                let merged = self.merge_usage(usage, day, limits);
                repeats = merged.repeats;
                merged.verdict
            }),
            Body::Ticket(t) => self.merge_ticket(stamp(event), t, calendar, limits),
            Body::Invoice(i) => self.merge_invoice(stamp(event), i, limits),
            Body::Survey(s) => {
                let respondent = s.respondent.map(|person| person.0);
                let value = SurveyFact { survey: s.survey, score: s.score, respondent };
                self.surveys.merge(&*s.id, stamp(event), value, limits.surveys).into()
            }
            Body::Contact(c) => {
                let value = ContactFact { role: c.role, status: c.status, user: c.user.map(|user| user.0) };
                self.contacts.merge(&*c.id, stamp(event), value, limits.contacts).into()
            }
            Body::Contract(c) => {
                let value = ContractFact {
                    start_ms: c.start_ms,
                    end_ms: c.end_ms,
                    recurring_minor: c.recurring_minor,
                    currency: c.currency.0,
                    billing: c.billing,
                    seats: c.seats,
                    status: c.status,
                    renews: c.renews.as_deref().map(Box::from),
                };
                self.contracts.merge(&*c.id, stamp(event), value, limits.contracts).into()
            }
            Body::Account(_) => self.merge_master(event),
        };
        if verdict != Verdict::Late {
            self.newest_ms = self.newest_ms.max(Some(event.occurred_at_ms));
        }
        Merged { verdict, repeats }
    }

    /// Why a counted event is not counted; `None` when it is new, and from then on remembered.
    fn put_aside(&mut self, input: u16, event: &Event<'_>, limits: &Limits) -> Option<Verdict> {
        let kind = event.kind() as u8;
        let place = self.filters.binary_search_by_key(&(kind, input), |f| (f.kind, f.input));
        let index = match place {
            Ok(index) => index,
            Err(index) => {
                self.filters.insert(index, KindFilter { kind, input, filter: Filter::default() });
                index
            }
        };
        let fingerprint = xxh3_64_with_seed(event.id.as_bytes(), event.occurred_at_ms as u64);
        let filter = &mut self.filters[index].filter;
        match filter.admit(fingerprint, event.occurred_at_ms, limits.duplicate_horizon.0, limits.fingerprints)
        {
            Admission::New => None,
            Admission::Duplicate => Some(Verdict::Duplicate),
            Admission::Late => Some(Verdict::Late),
        }
    }

    /// The day of a login or a use, on which the account has been active from now on.
    fn active_day(&mut self, event: &Event<'_>, calendar: Calendar) -> Day {
        let day = calendar.day_of(event.occurred_at_ms);
        self.first_active = Some(self.first_active.map_or(day, |first| first.min(day)));
        day
    }

    /// Counts a login that is not a duplicate; whether it [repeats](Merged::repeats).
    fn count_login(&mut self, login: Login, day: Day, limits: &Limits) -> bool {
        let was_active = self.logins.on(day) > 0;
        self.logins.add(day, 1);
        self.recent.add(day, true);
        let is_news = self.people.record(login.user, day, limits.people);
        was_active && !is_news
    }

    /// Counts a use that is not a duplicate.
    fn merge_usage(&mut self, usage: &Usage<'_>, day: Day, limits: &Limits) -> Merged {
        let is_news = usage.user.is_some_and(|user| self.people.record(user, day, limits.people));
        let was_used = self.feature(&usage.feature).is_ok_and(|i| self.usage[i].uses.on(day) > 0);
        let is_counted = self.count_use(&usage.feature, day, usage.count, limits.features);
        let verdict = if is_counted { Verdict::Applied } else { Verdict::Limited };
        Merged { verdict, repeats: was_used && !is_news }
    }

    /// Over the limit the features with the smallest name hashes are tracked: which ones those
    /// are depends only on the set of names ever seen.
    fn count_use(&mut self, feature: &str, day: Day, count: u32, limit: usize) -> bool {
        match self.feature(feature) {
            Ok(index) => {
                self.usage[index].uses.add(day, count);
                self.recent.add(day, count > 0);
            }
            Err(index) => {
                if self.usage_cut.is_some_and(|cut| name_hash(feature) >= cut) {
                    return false;
                }
                let mut uses = Series::default();
                uses.add(day, count);
                self.usage.insert(index, FeatureUse { feature: feature.into(), uses });
                self.recent.add(day, count > 0);
                if self.usage.len() > limit {
                    let largest = (0..self.usage.len()).max_by_key(|&i| name_hash(&self.usage[i].feature));
                    if let Some(largest) = largest {
                        let gone = self.usage.remove(largest);
                        self.recent.forget();
                        self.usage_cut = Some(name_hash(&gone.feature));
                        return *gone.feature != *feature;
                    }
                }
            }
        }
        true
    }

    /// The place of a feature, or where it belongs. Lengths lie with the entries and names do not, so
    /// among a few features looking at the names of equal length is quickest.
    fn feature(&self, name: &str) -> Result<usize, usize> {
        const FEW: usize = 8;
        let is_it = |entry: &FeatureUse| entry.feature.len() == name.len() && *entry.feature == *name;
        let found = if self.usage.len() > FEW { None } else { self.usage.iter().position(is_it) };
        found.map_or_else(|| self.usage.binary_search_by(|entry| (*entry.feature).cmp(name)), Ok)
    }

    fn merge_master(&mut self, event: &Event<'_>) -> Verdict {
        let Body::Account(update) = &event.body else { return Verdict::Superseded };
        let text = |patch: &Patch<std::borrow::Cow<'_, str>>| match patch {
            Patch::Unchanged => None,
            Patch::Cleared => Some(MasterValue::Cleared),
            Patch::Set(text) => Some(MasterValue::Text(Box::from(&**text))),
        };
        let number = |patch: &Patch<u32>| match patch {
            Patch::Unchanged => None,
            Patch::Cleared => Some(MasterValue::Cleared),
            Patch::Set(n) => Some(MasterValue::Number(*n)),
        };
        let list = match &update.entitled_features {
            Patch::Unchanged => None,
            Patch::Cleared => Some(MasterValue::Cleared),
            Patch::Set(list) => Some(MasterValue::List(list.iter().map(|name| Box::from(&**name)).collect())),
        };
        let fields = [
            (MasterField::Name, text(&update.name)),
            (MasterField::Segment, text(&update.segment)),
            (MasterField::Industry, text(&update.industry)),
            (MasterField::Owner, text(&update.owner)),
            (MasterField::TimeZone, text(&update.time_zone)),
            (MasterField::Lifecycle, text(&update.lifecycle)),
            (MasterField::Parent, text(&update.parent)),
            (MasterField::EntitledFeatures, list),
            (MasterField::ExpectedWeeklyUsers, number(&update.expected_weekly_users)),
            (MasterField::ExpectedMonthlyUsers, number(&update.expected_monthly_users)),
        ];
        // The verdict of the whole event is its best field: one that took effect counts as applied.
        let mut verdict = Verdict::Superseded;
        for (field, value) in fields {
            let Some(value) = value else { continue };
            match self.master.merge(&field, stamp(event), value, usize::MAX) {
                Merge::Applied => verdict = Verdict::Applied,
                Merge::Duplicate if verdict == Verdict::Superseded => verdict = Verdict::Duplicate,
                _ => {}
            }
        }
        verdict
    }

    /// A text field of the master data.
    pub fn text(&self, field: MasterField) -> Option<&str> {
        match self.master.get(&field).map(|entry| &entry.value) {
            Some(MasterValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The entitled features, when they are known.
    pub fn entitled(&self) -> Option<&[Box<str>]> {
        match self.master.get(&MasterField::EntitledFeatures).map(|entry| &entry.value) {
            Some(MasterValue::List(list)) => Some(list),
            _ => None,
        }
    }

    /// Logins and uses together on one day.
    pub fn activity_on(&self, day: Day) -> u64 {
        u64::from(self.logins.on(day)) + self.usage.iter().map(|f| u64::from(f.uses.on(day))).sum::<u64>()
    }

    /// Logins and uses in `after < d <= upto`.
    pub fn activity(&self, after: Day, upto: Day) -> u64 {
        self.logins.sum(after, upto) + self.usage.iter().map(|f| f.uses.sum(after, upto)).sum::<u64>()
    }

    /// Days with a login or a use in `after < d <= upto`, of which at most the last 64 count.
    pub fn active_days(&self, after: Day, upto: Day) -> u32 {
        self.active_mask(after, upto).count_ones()
    }

    /// The same days, a bit each: bit `k` is the day `upto - k`.
    pub fn active_mask(&self, after: Day, upto: Day) -> u64 {
        self.recent().between(after, upto).unwrap_or_else(|| self.mask_of_all(after, upto))
    }

    fn mask_of_all(&self, after: Day, upto: Day) -> u64 {
        let days = |series: &Series| series.active_mask(after, upto);
        self.usage.iter().fold(days(&self.logins), |mask, f| mask | days(&f.uses))
    }

    fn recent(&self) -> RecentDays {
        self.recent.get(|| {
            let newest = self.usage.iter().map(|f| f.uses.newest()).fold(self.logins.newest(), Option::max);
            let mask = newest.map_or(0, |newest| self.mask_of_all(newest.minus(64), newest));
            RecentDays { newest, mask }
        })
    }

    /// The newest day with a login or a use, the days ahead of the account's own included.
    pub fn newest_activity(&self) -> Option<Day> {
        self.recent().newest
    }

    /// The newest day with a login or a use, not after `upto`.
    pub fn last_active(&self, upto: Day) -> Option<Day> {
        self.recent().last(upto).or_else(|| {
            let used = self.usage.iter().filter_map(|f| f.uses.last_active(upto)).max();
            self.logins.last_active(upto).max(used)
        })
    }

    /// Whether features were dropped because of the limit.
    pub fn forgets_features(&self) -> bool {
        self.usage_cut.is_some()
    }

    /// Whether logins and uses of a day and of all after it are kept by day.
    pub fn keeps(&self, day: Day) -> bool {
        self.newest_activity().is_none_or(|newest| day.0 > newest.0 - DAILY_DAYS)
    }

    /// Whether the account had a login or a use on or before a day.
    pub fn reaches_back(&self, day: Day) -> bool {
        self.first_active.is_some_and(|first| first <= day)
    }

    /// The number of the contract in force on a day (the latest start wins), cancelled ones
    /// included.
    pub fn contract_on(&self, day: Day, calendar: Calendar) -> Option<usize> {
        // Days begin at fixed instants, so comparing instants needs no division per contract.
        let next_ms = calendar.start_of(day.plus(1));
        let in_force = |c: &ContractFact| c.start_ms < next_ms && c.end_ms.is_none_or(|end| end >= next_ms);
        let entries = self.contracts.iter().enumerate();
        let found = entries.filter(|(_, entry)| in_force(&entry.value));
        found
            .max_by(|(_, a), (_, b)| (a.value.start_ms, &a.key).cmp(&(b.value.start_ms, &b.key)))
            .map(|(n, _)| n)
    }

    /// Reads a little of what counting an event reads first.
    pub(in crate::engine) fn glance(&self) -> u64 {
        let filter = self.filters.first().map_or(0, |entry| u64::from(entry.kind));
        let day = self.logins.newest().unwrap_or_default();
        filter ^ u64::from(self.logins.on(day)) ^ self.people.len() as u64 ^ self.usage.len() as u64
    }

    /// Reads a little of what lies behind that.
    pub(in crate::engine) fn glance_further(&self) -> u64 {
        let remembered = self.filters.first().map_or(0, |entry| entry.filter.glance());
        remembered ^ self.people.glance()
    }

    /// About how many bytes of memory they have taken beside their own.
    pub fn bytes(&self) -> usize {
        let uses = |entry: &FeatureUse| entry.feature.len() + entry.uses.bytes();
        self.people.bytes()
            + self.logins.bytes()
            + self.usage.capacity() * size_of::<FeatureUse>()
            + self.usage.iter().map(uses).sum::<usize>()
            + self.tickets.bytes()
            + self.ticket_index.known().map_or(0, TicketIndex::bytes)
            + self.invoices.bytes()
            + self.invoice_index.known().map_or(0, InvoiceIndex::bytes)
            + self.surveys.bytes()
            + self.contacts.bytes()
            + self.contracts.bytes()
            + self.master.bytes()
            + self.stored_bytes()
            + self.filters.capacity() * size_of::<KindFilter>()
            + self.filters.iter().map(|entry| entry.filter.bytes()).sum::<usize>()
    }

    /// Whether facts read from disk are well-formed. A page that is not is treated as rotten.
    pub fn is_sound(&self) -> bool {
        self.people.is_sound()
            && self.usage.is_sorted_by(|a, b| a.feature < b.feature)
            && self.tickets.is_sound()
            && self.invoices.is_sound()
            && self.surveys.is_sound()
            && self.contacts.is_sound()
            && self.contracts.is_sound()
            && self.master.is_sound()
            && self.filters.is_sorted_by(|a, b| (a.kind, a.input) < (b.kind, b.input))
            && self.filters.iter().all(|f| f.filter.is_sound())
    }
}

fn name_hash(feature: &str) -> u64 {
    xxh3_64(feature.as_bytes())
}

fn stamp(event: &Event<'_>) -> Stamp {
    Stamp { version: event.version, at_ms: event.occurred_at_ms, event_id: Box::from(&*event.id) }
}

/// The currency of stored bytes.
pub fn currency(bytes: [u8; 3]) -> Currency {
    Currency(bytes)
}
