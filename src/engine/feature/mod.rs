//! Features: named numbers computed from the state of an account, each with a unit, a
//! definition, and a rule for when it is *absent* — which is not zero.
//!
//! All values are integers (counts, days, hundredths of a percent, minor units, hundredths of a
//! point), so that scores are exact. `docs/features.md` is generated from [`CATALOGUE`].
//!
//! To add one: a line in the `features!` table below, a function for its value and one for how it
//! goes on while nothing happens in the file of its group (`forecast::tomorrow` is always right),
//! and `cargo test --test docs` tells how to refresh the document.

mod activity;
mod commercial;
mod forecast;
mod people;
mod support;
mod view;

pub use activity::{
    COMPARED_AHEAD_DAYS, Comparison, baseline_until, compares_fewer_days, comparison, contrast_days,
    last_seen,
};
pub use commercial::{annual_minor, contract_until, oldest_due_ms, overdue, renewal};
pub use forecast::{Forecast, NEVER};
pub use people::{answers_until, champion_gap, detractors, nps_answers};
pub use support::{
    Breach, breach, breach_ms, breached, next_promise_ms, promises, recent_until, unresolved_recent,
};
pub use view::{ScoreNow, Tally, View};

/// What a feature value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Whole days.
    Days,
    /// Hundredths of a percent: 10000 is 100 %.
    BasisPoints,
    /// Minor units of the account's currency.
    Minor,
    /// Hundredths of a survey point.
    SurveyHundredths,
    /// Hundredths of a score point.
    ScoreHundredths,
}

impl Unit {
    /// The name in documents and outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Count => "count",
            Unit::Days => "days",
            Unit::BasisPoints => "basis_points",
            Unit::Minor => "minor_units",
            Unit::SurveyHundredths => "survey_hundredths",
            Unit::ScoreHundredths => "score_hundredths",
        }
    }
}

/// What can change a feature: a set of [`Touch`] bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touch(pub u32);

impl Touch {
    /// Logins or uses on the account's present day (or ahead of it).
    pub const ACTIVITY_TODAY: Touch = Touch(1);
    /// Logins or uses on an earlier day.
    pub const ACTIVITY_PAST: Touch = Touch(1 << 1);
    /// Tickets.
    pub const TICKETS: Touch = Touch(1 << 2);
    /// Invoices.
    pub const INVOICES: Touch = Touch(1 << 3);
    /// Surveys.
    pub const SURVEYS: Touch = Touch(1 << 4);
    /// Contacts.
    pub const CONTACTS: Touch = Touch(1 << 5);
    /// Contracts.
    pub const CONTRACTS: Touch = Touch(1 << 6);
    /// Master data.
    pub const MASTER: Touch = Touch(1 << 7);
    /// Time: a day turned or a deadline passed.
    pub const TIME: Touch = Touch(1 << 8);
    /// The score or its history.
    pub const SCORE: Touch = Touch(1 << 9);
    /// Other risks of the account.
    pub const RISKS: Touch = Touch(1 << 10);
    /// Only how many logins or uses there are on the present day (or ahead of it): who came, what they
    /// used and on which days is as it was.
    pub const COUNTS_TODAY: Touch = Touch(1 << 11);
    /// The same on earlier days. No event is only that; it is how a count of today comes to count later.
    pub const COUNTS_PAST: Touch = Touch(1 << 12);
    /// Everything.
    pub const ALL: Touch = Touch(u32::MAX);
    /// Any login or use.
    pub const ACTIVITY: Touch = Touch(0b11);

    /// Both sets.
    #[must_use]
    pub const fn or(self, other: Touch) -> Touch {
        Touch(self.0 | other.0)
    }

    /// These without others.
    #[must_use]
    pub const fn without(self, other: Touch) -> Touch {
        Touch(self.0 & !other.0)
    }

    /// What changes how something goes on that this can change: a login today counts among the past
    /// ones from tomorrow on.
    #[must_use]
    pub const fn foreseen(self) -> Touch {
        let counts = Touch::COUNTS_TODAY.or(Touch::COUNTS_PAST);
        let counted = if self.meets(counts) { self.or(counts) } else { self };
        if self.meets(Touch::ACTIVITY) { counted.or(Touch::ACTIVITY) } else { counted }
    }

    /// Whether the sets share anything.
    pub const fn meets(self, other: Touch) -> bool {
        self.0 & other.0 != 0
    }
}

/// One entry of the catalogue.
#[derive(Debug)]
pub struct FeatureDef {
    /// Its number.
    pub id: FeatureId,
    /// Its name, `group.name`.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Its definition, for people.
    pub definition: &'static str,
    /// When it has no value.
    pub absent: &'static str,
    /// What can change it.
    pub touched_by: Touch,
    compute: fn(&View<'_>) -> Option<i64>,
    forecast: fn(&View<'_>) -> Forecast,
}

impl FeatureDef {
    /// The group: the name up to the dot.
    pub fn group(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(group, _)| group)
    }
}

macro_rules! features {
    ($($variant:ident, $name:literal, $unit:ident, $touch:expr, $compute:path, $forecast:path, $definition:literal, $absent:literal;)+) => {
        /// The features, in catalogue order. Order is part of the score's rounding rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum FeatureId { $(#[doc = $definition] $variant),+ }

        /// Every feature, by number.
        pub static CATALOGUE: &[FeatureDef] = &[$(FeatureDef {
            id: FeatureId::$variant,
            name: $name,
            unit: Unit::$unit,
            definition: $definition,
            absent: $absent,
            touched_by: $touch,
            compute: $compute,
            forecast: $forecast,
        }),+];
    };
}

const DAILY: Touch = Touch::ACTIVITY_PAST.or(Touch::TIME);

features! {
    ActiveUsers7d, "usage.active_users_7d", Count, Touch::ACTIVITY.or(Touch::TIME), activity::active_users_7d, activity::people_week,
        "Distinct users with a login or a use on the last 7 days, today included.", "The account never had a login or a use.";
    ActiveUsers28d, "usage.active_users_28d", Count, Touch::ACTIVITY.or(Touch::TIME), activity::active_users_28d, activity::people_month,
        "Distinct users with a login or a use on the last 28 days, today included.", "The account never had a login or a use.";
    Logins28d, "usage.logins_28d", Count, Touch::ACTIVITY.or(Touch::COUNTS_TODAY).or(Touch::TIME), activity::logins_28d, activity::logins_on,
        "Logins on the last 28 days, today included.", "The account never had a login.";
    ActiveDays28d, "usage.active_days_28d", Days, DAILY, activity::active_days_28d, activity::active_days_on,
        "Complete days with a login or a use among the last 28 complete days.", "The account never had a login or a use, or its first one is younger than 28 days.";
    DaysSinceActive, "usage.days_since_active", Days, Touch::ACTIVITY.or(Touch::TIME), activity::days_since_active, activity::silence_on,
        "Days since the last day with a login or a use.", "The account never had a login or a use.";
    UsageTrend28d, "usage.trend_28d", BasisPoints, DAILY.or(Touch::COUNTS_PAST), activity::trend_28d, activity::trend_on,
        "Logins and uses of the last 28 complete days, as a share of those of the 28 complete days before.", "Fewer than 40 logins and uses, or fewer than 8 active days, in the earlier 28 days.";
    SeatUtilisation, "adoption.seat_utilisation", BasisPoints, Touch::ACTIVITY.or(Touch::CONTRACTS).or(Touch::TIME), activity::seat_utilisation, activity::seats_on,
        "Distinct active users of the last 28 days, as a share of the seats of the contract in force; at most 100 %.", "No contract in force says how many seats, or the account never had a login or a use.";
    FeatureBreadth, "adoption.feature_breadth", BasisPoints, Touch::ACTIVITY.or(Touch::MASTER).or(Touch::TIME), activity::feature_breadth, activity::breadth_on,
        "Entitled features used on the last 28 days, as a share of the entitled features.", "The entitled features are unknown or none.";
    Stickiness, "adoption.stickiness", BasisPoints, Touch::ACTIVITY.or(Touch::TIME), activity::stickiness, activity::people_week,
        "Distinct active users of the last 7 days, as a share of those of the last 28.", "Nobody was active in the last 28 days.";
    OpenTickets, "support.open_tickets", Count, Touch::TICKETS, support::open_tickets, forecast::steady,
        "Tickets that are neither solved nor deleted.", "The account never had a ticket.";
    UrgentTickets, "support.urgent_open_tickets", Count, Touch::TICKETS, support::urgent_tickets, forecast::steady,
        "Unsolved tickets of priority high or urgent, or escalated.", "The account never had a ticket.";
    UnresolvedShare, "support.unresolved_share_30d", BasisPoints, Touch::TICKETS.or(Touch::TIME), support::unresolved_share, support::recent_on,
        "Unsolved tickets among those opened in the last 30 days, as a share.", "No ticket was opened in the last 30 days.";
    OldestTicketDays, "support.oldest_open_ticket_days", Days, Touch::TICKETS.or(Touch::TIME), support::oldest_ticket_days, support::oldest_on,
        "Age of the oldest unsolved ticket.", "No ticket is open.";
    BreachedTickets, "support.sla_breached_open", Count, Touch::TICKETS.or(Touch::TIME), support::breached_tickets, forecast::steady,
        "Unsolved tickets whose first response or solution is past due.", "The account never had a ticket.";
    TicketCsat, "support.csat_90d", SurveyHundredths, Touch::TICKETS.or(Touch::TIME), support::ticket_csat, support::csat_on,
        "Mean satisfaction (1 to 5) with the tickets opened in the last 90 days.", "No ticket of the last 90 days was rated.";
    OverdueInvoices, "billing.overdue_invoices", Count, Touch::INVOICES.or(Touch::TIME), commercial::overdue_invoices, forecast::steady,
        "Open invoices past their due date.", "The account has no invoice.";
    OverdueDays, "billing.overdue_days_max", Days, Touch::INVOICES.or(Touch::TIME), commercial::overdue_days, commercial::overdue_on,
        "Days the longest overdue invoice is past due; 0 when none is.", "The account has no invoice.";
    OverdueAmount, "billing.overdue_amount", Minor, Touch::INVOICES.or(Touch::CONTRACTS).or(Touch::TIME), commercial::overdue_amount, commercial::contract_on,
        "Sum of the invoices past due in the account's currency.", "The account has no invoice in its currency.";
    PaymentDelay, "billing.payment_delay_days", Days, Touch::INVOICES.or(Touch::CONTRACTS).or(Touch::TIME), commercial::payment_delay, commercial::delay_on,
        "Amount-weighted mean of (paid - due) over invoices due in the last 365 days in the account's currency, an unpaid one counting up to today; early payment is negative.", "No invoice in the account's currency fell due in the last 365 days.";
    NpsLatest, "sentiment.nps_latest", Count, Touch::SURVEYS.or(Touch::TIME), people::nps_latest, people::nps_on,
        "The newest NPS answer (0 to 10) of the last 180 days.", "Nobody answered in the last 180 days.";
    Nps, "sentiment.nps_180d", Count, Touch::SURVEYS.or(Touch::TIME), people::nps, people::nps_on,
        "Net promoter score of the last 180 days: share of 9 and 10 minus share of 0 to 6, in points from -100 to 100.", "Nobody answered in the last 180 days.";
    NpsAnswers, "sentiment.nps_answers_180d", Count, Touch::SURVEYS.or(Touch::TIME), people::nps_answer_count, people::nps_on,
        "NPS answers of the last 180 days.", "Nobody was ever asked.";
    Detractors, "sentiment.detractors_90d", Count, Touch::SURVEYS.or(Touch::TIME), people::detractor_count, people::detractors_on,
        "Respondents whose newest NPS answer of the last 90 days is 6 or less.", "Nobody answered in the last 90 days.";
    Champions, "relationship.active_champions", Count, Touch::CONTACTS, people::champions, forecast::steady,
        "Contacts with the role champion that are active.", "No champion was ever named.";
    DaysToRenewal, "contract.days_to_renewal", Days, Touch::CONTRACTS.or(Touch::TIME), commercial::days_to_renewal, commercial::renewal_on,
        "Days until the contract in force ends.", "No contract in force, or it is open-ended, cancelled or already renewed.";
    Arr, "contract.arr", Minor, Touch::CONTRACTS.or(Touch::TIME), commercial::arr, commercial::contract_on,
        "Recurring revenue of the contract in force per year, minor units of its currency.", "No contract in force.";
    Score, "score.now", ScoreHundredths, Touch::SCORE, view::score_now, forecast::steady,
        "The score.", "Coverage is below the floor.";
    ScoreChange7d, "score.change_7d", ScoreHundredths, Touch::SCORE.or(Touch::TIME), view::score_change_7d, forecast::tomorrow,
        "The score now minus its closing value 7 days ago.", "The score is unknown, or was unknown then.";
    ScoreChangeQuarter, "score.change_quarter", ScoreHundredths, Touch::SCORE.or(Touch::TIME), view::score_change_quarter, forecast::tomorrow,
        "The score now minus its closing value of the first day of the calendar quarter.", "The score is unknown, or was unknown then.";
}

impl FeatureId {
    /// The catalogue entry.
    pub fn def(self) -> &'static FeatureDef {
        // The enum and the table come from one macro, so every number has its entry.
        &CATALOGUE[self as usize]
    }

    /// The feature of that name.
    pub fn by_name(name: &str) -> Option<FeatureId> {
        CATALOGUE.iter().find(|def| def.name == name).map(|def| def.id)
    }

    /// Its value for an account at a moment.
    pub fn value(self, view: &View<'_>) -> Option<i64> {
        (self.def().compute)(view)
    }

    /// How its value goes on from day to day while nothing happens.
    pub fn forecast(self, view: &View<'_>) -> Forecast {
        (self.def().forecast)(view)
    }
}

/// `docs/features.md`, generated.
pub fn document() -> String {
    let mut out = String::from(
        "# Features\n\nGenerated from the catalogue in `src/engine/feature/mod.rs`; refresh with \
         `ACCOUNTPULSE_BLESS=1 cargo test --test docs`.\n\nA feature is a named number computed from the state of an \
         account. All are integers in the unit given. *Absent* is not zero: an absent feature gives its weight to the \
         rest of its group. Days are UTC days plus the deployment's `day_offset`; \"the last n days\" are the days d \
         with today - n < d <= today; *complete* days exclude today.\n\nLogins and uses are kept by day for the 91 \
         days up to the newest one (users for 64). While the clock is so far behind the newest event that days of \
         a window are no longer kept, a feature of `usage` or `adoption` that counts over it is absent too.\n",
    );
    let mut group = "";
    for def in CATALOGUE {
        if def.group() != group {
            group = def.group();
            out.push_str(&format!(
                "\n## {group}\n\n| name | unit | definition | absent when |\n| --- | --- | --- | --- |\n"
            ));
        }
        out.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            def.name,
            def.unit.name(),
            def.definition,
            def.absent
        ));
    }
    out
}
