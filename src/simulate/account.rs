//! One customer: who they are, how much they use, what was planted in them.

use std::sync::Arc;

use super::calendar::{DAY_MS, add_months, day_of, is_day_off};
use super::catalogue::{FEATURES, INDUSTRIES, OWNERS, ZONES, company_name, slug};
use super::cause::{Cause, Planted, Twin};
use super::random::Random;
use crate::engine::event::BillingPeriod;

/// Size segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// 4 to 15 users.
    Smb,
    /// 16 to 60 users.
    Mid,
    /// 61 to 200 users.
    Enterprise,
}

impl Segment {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Segment::Smb => "smb",
            Segment::Mid => "mid",
            Segment::Enterprise => "enterprise",
        }
    }
}

/// Share of the usual activity on weekends and holidays.
const DAY_OFF_FACTOR: f64 = 0.05;
/// Logins per user and working day.
const LOGINS_PER_USER: f64 = 0.3;
/// Days over which a declining account loses its use.
const DECLINE_DAYS: f64 = 7.0;
/// Days a new customer needs to reach its usual activity.
const RAMP_DAYS: f64 = 21.0;
/// The champion is the first user, the sponsor the second, the admin the third.
pub(super) const CHAMPION_USER: u16 = 0;

/// A customer of the made-up company.
#[derive(Clone, Debug)]
pub struct Account {
    /// Account id.
    pub id: Arc<str>,
    /// Display name.
    pub name: String,
    /// Size segment.
    pub segment: Segment,
    /// Users who sign in.
    pub users: u16,
    pub(super) seats: u32,
    pub(super) industry: &'static str,
    pub(super) owner: &'static str,
    pub(super) time_zone: &'static str,
    pub(super) lifecycle: &'static str,
    pub(super) utc_offset_hours: i64,
    pub(super) billing: BillingPeriod,
    pub(super) recurring_minor: i64,
    pub(super) currency: &'static str,
    /// First day of the contract that runs at the end of history.
    pub(super) contract_day: i64,
    /// First instant with any event.
    pub(super) since_ms: i64,
    /// Whether the account was won during history.
    pub(super) is_new: bool,
    /// Share of the usual activity left after a decline.
    rest: f64,
    /// One bit per feature of the catalogue.
    feature_bits: u8,
    pub(super) planted: Planted,
}

/// What every account of one company has in common.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) seed: u64,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
}

impl Account {
    pub(super) fn new(index: usize, setting: &Setting, planted: Planted) -> Account {
        let mut random = Random::for_part(setting.seed, index as u64, 1);
        let (segment, users) = size(&mut random);
        let name = company_name(index);
        let (time_zone, utc_offset_hours) = random.pick(&ZONES);
        let is_new = planted == Planted::Nothing && random.percent(4);
        let history_days = (setting.end_ms - setting.start_ms) / DAY_MS;
        let since_ms = match is_new {
            true => setting.start_ms + random.between(history_days / 4, history_days * 3 / 4) * DAY_MS,
            false => setting.start_ms,
        };
        let billing = billing(segment, planted, &mut random);
        let seats = u32::from(users) + random.below(u64::from(users) / 4 + 3) as u32;
        Account {
            id: slug(&name).into(),
            name,
            segment,
            users,
            seats,
            industry: random.pick(&INDUSTRIES),
            owner: random.pick(&OWNERS),
            time_zone,
            lifecycle: if is_new { "onboarding" } else { "established" },
            utc_offset_hours,
            billing,
            recurring_minor: recurring_minor(segment, billing, seats, &mut random),
            currency: if utc_offset_hours == 1 { "EUR" } else { "USD" },
            contract_day: contract_day(since_ms, is_new, setting, planted, &mut random),
            since_ms,
            is_new,
            rest: rest(planted, &mut random),
            feature_bits: features(&mut random),
            planted,
        }
    }

    /// The features the customer pays for and uses: 5 to 8 of the catalogue.
    pub(super) fn features(&self) -> impl Iterator<Item = usize> + '_ {
        (0..FEATURES.len()).filter(|feature| self.feature_bits & (1 << feature) != 0)
    }

    /// One feature in use; the first of the catalogue most often.
    pub(super) fn pick_feature(&self, random: &mut Random) -> u8 {
        let skewed = random.unit() * random.unit();
        let mut feature = (skewed * FEATURES.len() as f64) as usize % FEATURES.len();
        while self.feature_bits & (1 << feature) == 0 {
            // The first feature is always in use, so this ends there at the latest.
            feature = feature.saturating_sub(1);
        }
        feature as u8
    }

    /// One user; the first users are the busiest. A champion who is gone does not sign in.
    pub(super) fn pick_user(&self, at_ms: i64, random: &mut Random) -> u16 {
        let skewed = random.unit() * (0.4 + 0.6 * random.unit());
        let user = (skewed * f64::from(self.users)) as u16;
        let is_gone = self.planted.has_begun(Cause::ChampionLeft, at_ms)
            || self.planted.has_begun(Cause::ChampionMoved, at_ms)
            || self.planted.twin_at(Twin::ChampionSucceeded).is_some_and(|gone_ms| gone_ms <= at_ms);
        if user == CHAMPION_USER && is_gone { user + 1 } else { user }
    }

    /// Expected logins and usage events on a working day.
    pub(super) fn daily_means(&self) -> (f64, f64) {
        let users = f64::from(self.users);
        (users * LOGINS_PER_USER, 1.0 + users / 30.0)
    }

    /// Activity of a day as a share of a usual working day.
    pub(super) fn activity(&self, day: i64) -> f64 {
        let since_day = day_of(self.since_ms);
        if day < since_day {
            return 0.0;
        }
        let mut factor = if is_day_off(day) { DAY_OFF_FACTOR } else { 1.0 };
        if self.is_new {
            factor *= ((day - since_day + 3) as f64 / RAMP_DAYS).min(1.0);
        }
        if let Some(at_ms) = self.planted.cause_at(Cause::UsageDecline) {
            let gone = ((day - day_of(at_ms)) as f64 / DECLINE_DAYS).clamp(0.0, 1.0);
            factor *= 1.0 - gone * (1.0 - self.rest);
        }
        match self.planted.twin_at(Twin::QuietWeek) {
            Some(at_ms) if (0..7).contains(&(day - day_of(at_ms))) => factor / 3.0,
            _ => factor,
        }
    }
}

fn size(random: &mut Random) -> (Segment, u16) {
    let (segment, low, high) = match random.below(100) {
        0..60 => (Segment::Smb, 4, 15),
        60..90 => (Segment::Mid, 16, 60),
        _ => (Segment::Enterprise, 61, 200),
    };
    (segment, random.between(low, high) as u16)
}

fn billing(segment: Segment, planted: Planted, random: &mut Random) -> BillingPeriod {
    let pays_often = planted.cause_at(Cause::PaymentsSlip).is_some()
        || matches!(planted, Planted::Twin(Twin::PaysInGrace | Twin::InvoiceCorrected, _));
    match (segment, random.below(100)) {
        // Slipping month after month takes months.
        _ if pays_often => BillingPeriod::Monthly,
        (Segment::Smb, 0..80) | (Segment::Mid, 0..40) => BillingPeriod::Monthly,
        (Segment::Smb, _) | (Segment::Mid, 40..80) | (Segment::Enterprise, 0..50) => BillingPeriod::Quarterly,
        _ => BillingPeriod::Annual,
    }
}

/// Months between two invoices.
pub(super) fn billing_months(billing: BillingPeriod) -> i64 {
    match billing {
        BillingPeriod::Monthly => 1,
        BillingPeriod::Quarterly => 3,
        BillingPeriod::Annual => 12,
    }
}

fn recurring_minor(segment: Segment, billing: BillingPeriod, seats: u32, random: &mut Random) -> i64 {
    let per_seat_month = match segment {
        Segment::Smb => random.between(25, 40),
        Segment::Mid => random.between(30, 55),
        Segment::Enterprise => random.between(35, 70),
    };
    per_seat_month * i64::from(seats) * 100 * billing_months(billing)
}

fn contract_day(
    since_ms: i64,
    is_new: bool,
    setting: &Setting,
    planted: Planted,
    random: &mut Random,
) -> i64 {
    let end_day = day_of(setting.end_ms);
    let age_days = random.between(5, 355);
    match planted {
        _ if is_new => day_of(since_ms),
        // Ends 30 to 70 days after the end of history.
        Planted::Cause(Cause::RenewalDoubt, _) => add_months(end_day + random.between(30, 70), -12),
        // No renewal in sight, so that what is planted is all there is to see.
        Planted::Cause(..) | Planted::Unravelling(..) | Planted::Twin(..) => end_day - age_days % 200 - 5,
        Planted::Nothing => end_day - age_days,
    }
}

fn rest(planted: Planted, random: &mut Random) -> f64 {
    match planted {
        Planted::Unravelling(..) => 0.05,
        _ => 0.15 + 0.15 * random.unit(),
    }
}

fn features(random: &mut Random) -> u8 {
    let mut bits = u8::MAX;
    // Up to three of the last seven are not in use; the first always is.
    for _ in 0..3 {
        bits &= !(1 << random.between(1, 7));
    }
    bits
}
