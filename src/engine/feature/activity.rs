//! Usage and adoption: logins, uses, distinct users.

use super::forecast::{Forecast, NEVER, tomorrow};
use super::{View, contract_until};
use crate::engine::statistics::{lower_tail, week_variance};
use crate::engine::time::Day;
use crate::engine::window::DAILY_DAYS;

/// Days per window of a comparison; a multiple of 7, so that weekly seasons cancel.
pub const fn contrast_days() -> i32 {
    28
}

/// Fewest logins and uses in the earlier window for a comparison to mean anything.
const MIN_BASELINE: u64 = 40;
/// Fewest active days in the earlier window.
const MIN_BASELINE_DAYS: u32 = 8;

/// Two windows of complete days beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Logins and uses in the last 28 complete days.
    pub now: u64,
    /// The same in the 28 complete days before.
    pub before: u64,
    /// Active days in the earlier window.
    pub days_before: u32,
}

/// How many days an event may be ahead of the account's day before it can roll up days that a
/// comparison needs.
pub const COMPARED_AHEAD_DAYS: i32 = DAILY_DAYS - 2 * contrast_days() - 1;

/// The comparison of the last 28 complete days with the 28 before, at the view's moment; `None`
/// when newer events have rolled up some of these days, and what is left would look like a change.
pub fn comparison(view: &View<'_>) -> Option<Comparison> {
    let end = view.today().minus(1);
    let middle = end.minus(contrast_days());
    let start = middle.minus(contrast_days());
    let compare = || Comparison {
        now: view.facts.activity(middle, end),
        before: view.facts.activity(start, middle),
        days_before: view.facts.active_days(start, middle),
    };
    *view.tally.comparison.get_or_init(|| view.facts.keeps(start.plus(1)).then(compare))
}

impl Comparison {
    /// Whether the earlier window holds enough to compare with.
    pub fn has_baseline(&self, min_count: u64, min_days: u32) -> bool {
        self.before >= min_count && self.days_before >= min_days
    }

    /// By how much activity fell, in basis points; 0 when it rose.
    pub fn drop_bp(&self) -> i64 {
        if self.before == 0 {
            return 0;
        }
        share_bp(self.before.saturating_sub(self.now), self.before)
    }

    /// Probability of seeing so little activity if nothing had changed, given how much the earlier
    /// weeks and their weekdays varied.
    pub fn p_value(&self, view: &View<'_>) -> f64 {
        let end = view.today().minus(1).minus(contrast_days());
        let weeks = [0, 1, 2, 3].map(|k| {
            let upto = end.minus(7 * k);
            view.facts.activity(upto.minus(7), upto)
        });
        let on = |day: Day| view.facts.activity_on(day);
        let same_weekday = (0..contrast_days() - 7).map(|k| (on(end.minus(k + 7)), on(end.minus(k))));
        lower_tail(self.now, self.before, week_variance(&weeks, same_weekday))
    }
}

/// A part of a whole that is not zero, in basis points.
fn share_bp(part: u64, whole: u64) -> i64 {
    match part.checked_mul(10_000) {
        Some(parts) => i64::try_from(parts / whole).unwrap_or(i64::MAX),
        None => i64::try_from(u128::from(part) * 10_000 / u128::from(whole)).unwrap_or(i64::MAX),
    }
}

/// The last day with a login or a use that counts at the view's moment. Looking back, only days
/// that were complete by then count: when on the day itself something happened is not kept.
pub fn last_seen(view: &View<'_>) -> Option<Day> {
    let upto = if view.looks_back() { view.today().minus(1) } else { Day(i32::MAX) };
    view.facts.last_active(upto)
}

fn ever_active(view: &View<'_>) -> Option<()> {
    (view.facts.logins.newest().is_some() || !view.facts.usage.is_empty()).then_some(())
}

fn active_users(view: &View<'_>, days: i32) -> Option<u32> {
    view.facts.people.active(view.today().minus(days), view.today())
}

pub(super) fn active_users_7d(view: &View<'_>) -> Option<i64> {
    ever_active(view)?;
    Some(active_users(view, 7)?.into())
}

pub(super) fn active_users_28d(view: &View<'_>) -> Option<i64> {
    ever_active(view)?;
    Some(active_users(view, 28)?.into())
}

pub(super) fn logins_28d(view: &View<'_>) -> Option<i64> {
    view.facts.logins.newest()?;
    if !view.facts.logins.keeps(view.today().minus(27)) {
        return None;
    }
    let sum = view.facts.logins.sum(view.today().minus(28), view.today());
    Some(i64::try_from(sum).unwrap_or(i64::MAX))
}

pub(super) fn active_days_28d(view: &View<'_>) -> Option<i64> {
    ever_active(view)?;
    let end = view.today().minus(1);
    let start = end.minus(28);
    // A young account has not had 28 days to be active on.
    if !view.facts.reaches_back(start.plus(1)) || !view.facts.keeps(start.plus(1)) {
        return None;
    }
    Some(view.facts.active_days(start, end).into())
}

pub(super) fn days_since_active(view: &View<'_>) -> Option<i64> {
    let last = last_seen(view)?;
    Some(view.today().since(last).max(0).into())
}

/// Whether the earlier window of a comparison has fewer active days than this, which is known without
/// summing anything.
pub fn compares_fewer_days(view: &View<'_>, min_days: u32) -> bool {
    let middle = view.today().minus(1 + contrast_days());
    view.facts.active_days(middle.minus(contrast_days()), middle) < min_days
}

pub(super) fn trend_28d(view: &View<'_>) -> Option<i64> {
    if compares_fewer_days(view, MIN_BASELINE_DAYS) {
        return None;
    }
    let comparison = comparison(view)?;
    if !comparison.has_baseline(MIN_BASELINE, MIN_BASELINE_DAYS) {
        return None;
    }
    Some(share_bp(comparison.now, comparison.before))
}

pub(super) fn seat_utilisation(view: &View<'_>) -> Option<i64> {
    ever_active(view)?;
    let contract = view.contract()?;
    let seats = contract.value.seats.filter(|&seats| seats > 0)?;
    let share = i64::from(active_users(view, 28)?) * 10_000 / i64::from(seats);
    Some(share.min(10_000))
}

pub(super) fn feature_breadth(view: &View<'_>) -> Option<i64> {
    let entitled = view.facts.entitled().filter(|list| !list.is_empty())?;
    let (after, upto) = (view.today().minus(28), view.today());
    if !view.facts.keeps(after.plus(1)) {
        return None;
    }
    let used = |name: &str| {
        view.facts
            .usage
            .binary_search_by(|entry| (*entry.feature).cmp(name))
            .is_ok_and(|index| view.facts.usage[index].uses.sum(after, upto) > 0)
    };
    let used = entitled.iter().filter(|name| used(name)).count() as i64;
    Some(used * 10_000 / entitled.len() as i64)
}

pub(super) fn stickiness(view: &View<'_>) -> Option<i64> {
    let (week, month) = (active_users(view, 7)?, active_users(view, 28)?);
    (month > 0).then(|| i64::from(week) * 10_000 / i64::from(month))
}

/// Whether a login or a use lies ahead of the account's day, and so enters windows as days pass.
fn ahead(view: &View<'_>) -> bool {
    view.facts.newest_activity().is_some_and(|newest| newest > view.today())
}

fn people_until(view: &View<'_>, days: i32) -> Day {
    view.facts.people.steady_until(view.today(), days)
}

/// Also for what looks at the month beside the week.
pub(super) fn people_week(view: &View<'_>) -> Forecast {
    Forecast::until(people_until(view, 7).min(people_until(view, 28)))
}

pub(super) fn people_month(view: &View<'_>) -> Forecast {
    Forecast::until(people_until(view, 28))
}

/// When the oldest of the active days in `mask` (bit `k` = `newest - k`) leaves a window.
fn oldest_leaves(mask: u64, newest: Day, days: i32) -> Day {
    match mask {
        0 => NEVER,
        mask => newest.minus(63 - mask.leading_zeros() as i32).plus(days),
    }
}

pub(super) fn logins_on(view: &View<'_>) -> Forecast {
    let logins = &view.facts.logins;
    if ahead(view) || !logins.keeps(view.today().minus(27)) {
        return tomorrow(view);
    }
    let mask = logins.active_mask(view.today().minus(28), view.today());
    Forecast::until(oldest_leaves(mask, view.today(), 28)).always_present()
}

pub(super) fn active_days_on(view: &View<'_>) -> Forecast {
    let (today, oldest) = (view.today(), view.today().minus(28));
    let Some(first) = view.facts.first_active else { return Forecast::until(NEVER) };
    if first > oldest {
        return Forecast::until(first.plus(28));
    }
    if ahead(view) || !view.facts.keeps(oldest) {
        return tomorrow(view);
    }
    // Today becomes complete tomorrow; the oldest complete day leaves 29 days after itself.
    let mask = view.facts.active_mask(oldest.minus(1), today);
    let until = if mask & 1 == 1 { view.tomorrow() } else { oldest_leaves(mask, today, 29) };
    Forecast::until(until).always_present()
}

pub(super) fn silence_on(view: &View<'_>) -> Forecast {
    match last_seen(view) {
        None => Forecast::until(NEVER),
        Some(last) if last > view.today() => Forecast::until(last.plus(1)).always_present(),
        Some(_) => Forecast::moving(1),
    }
}

/// The first day on which the earlier window of a comparison may hold this much: none, unless the
/// days that are still to pass through it do.
pub fn baseline_until(view: &View<'_>, min_count: u64, min_days: u32) -> Day {
    let after = view.tomorrow().minus(2 * contrast_days() + 2);
    let enough = (ahead(view) || view.facts.active_mask(after, view.today()).count_ones() >= min_days)
        && *view.tally.to_compare.get_or_init(|| view.facts.activity(after, Day(i32::MAX))) >= min_count;
    if enough { view.tomorrow() } else { NEVER }
}

pub(super) fn trend_on(view: &View<'_>) -> Forecast {
    Forecast::until(baseline_until(view, MIN_BASELINE, MIN_BASELINE_DAYS))
}

pub(super) fn seats_on(view: &View<'_>) -> Forecast {
    let seats = view.contract().and_then(|contract| contract.value.seats);
    let people = if seats.is_some() { people_until(view, 28) } else { NEVER };
    Forecast::until(people.min(contract_until(view)))
}

pub(super) fn breadth_on(view: &View<'_>) -> Forecast {
    let (after, today) = (view.today().minus(28), view.today());
    if view.facts.entitled().is_none_or(<[_]>::is_empty) {
        return Forecast::until(NEVER);
    }
    if ahead(view) || !view.facts.keeps(after.plus(1)) {
        return tomorrow(view);
    }
    Forecast::until(oldest_leaves(view.facts.active_mask(after, today), today, 28)).always_present()
}
