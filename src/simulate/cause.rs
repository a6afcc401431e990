//! What is planted in some accounts: a cause of churn that must be noticed, or a twin that looks
//! alike for a moment and must not alarm anyone. The rest of the room asks an account what was
//! planted in it and behaves accordingly.

use std::sync::Arc;

use super::calendar::{DAY_MS, HOUR_MS};
use super::random::Random;

/// Why a customer is about to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// Use falls to a fraction within a week and stays there.
    UsageDecline,
    /// The champion leaves the company and nobody takes over.
    ChampionLeft,
    /// The champion moves to another team and nobody takes over.
    ChampionMoved,
    /// Each invoice is paid later than the one before, the last not at all.
    PaymentsSlip,
    /// Many tickets within days, none of them solved.
    TicketSurge,
    /// The champion answers a survey with a very low score.
    Detractor,
    /// The contract ends soon, nobody renewed it, and the mood is bad.
    RenewalDoubt,
}

impl Cause {
    /// All causes; they are planted in turn.
    pub const ALL: [Cause; 7] = [
        Cause::UsageDecline,
        Cause::ChampionLeft,
        Cause::PaymentsSlip,
        Cause::TicketSurge,
        Cause::Detractor,
        Cause::RenewalDoubt,
        Cause::ChampionMoved,
    ];

    /// Earliest and latest beginning, in days before the end of history: late enough to be
    /// visible at its end, early enough for the evidence to be complete.
    const fn days_before_end(self) -> (i64, i64) {
        match self {
            Cause::UsageDecline => (22, 34),
            Cause::ChampionLeft | Cause::ChampionMoved => (1, 30),
            Cause::PaymentsSlip => (100, 110),
            Cause::TicketSurge => (6, 16),
            Cause::Detractor => (2, 50),
            Cause::RenewalDoubt => (3, 40),
        }
    }
}

/// What looks like a cause and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Twin {
    /// One week with a third of the use; the weeks around it are as ever.
    QuietWeek,
    /// Always pays a few days late, never beyond the grace.
    PaysInGrace,
    /// An invoice with a wrong due date, corrected before anyone could have paid late.
    InvoiceCorrected,
    /// Several tickets within days, each solved in time.
    TicketsSolved,
    /// A promoter's survey answer.
    Promoter,
    /// The champion leaves a week after the successor took over.
    ChampionSucceeded,
}

impl Twin {
    /// All twins; they are planted in turn.
    pub const ALL: [Twin; 6] = [
        Twin::QuietWeek,
        Twin::PaysInGrace,
        Twin::InvoiceCorrected,
        Twin::TicketsSolved,
        Twin::Promoter,
        Twin::ChampionSucceeded,
    ];
}

/// Ground truth: what was planted where, and when it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseRecord {
    /// The account.
    pub account: Arc<str>,
    /// The cause.
    pub cause: Cause,
    /// When it began, UTC milliseconds.
    pub at_ms: i64,
}

/// Ground truth: an account that must not alarm anyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinRecord {
    /// The account.
    pub account: Arc<str>,
    /// What it looks like.
    pub twin: Twin,
    /// When it looks most like it, UTC milliseconds.
    pub at_ms: i64,
}

/// What an account has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planted {
    Nothing,
    Cause(Cause, i64),
    /// Everything goes wrong, one after the other: the first so many of [`UNRAVELLING`].
    Unravelling(usize, i64),
    Twin(Twin, i64),
}

impl Planted {
    /// Whether `cause` has begun at `at_ms`.
    pub(super) fn has_begun(self, cause: Cause, at_ms: i64) -> bool {
        self.cause_at(cause).is_some_and(|since_ms| since_ms <= at_ms)
    }

    /// When `twin` happens, if it is what was planted.
    pub(super) fn twin_at(self, twin: Twin) -> Option<i64> {
        match self {
            Planted::Twin(planted, at_ms) if planted == twin => Some(at_ms),
            _ => None,
        }
    }

    /// When `cause` begins, if it is what was planted.
    pub(super) fn cause_at(self, cause: Cause) -> Option<i64> {
        match self {
            Planted::Cause(planted, at_ms) if planted == cause => Some(at_ms),
            Planted::Unravelling(depth, at_ms) => UNRAVELLING
                .iter()
                .take(depth)
                .find(|(planted, _)| *planted == cause)
                .map(|(_, days)| at_ms + days * DAY_MS),
            _ => None,
        }
    }
}

/// What goes wrong in an account that unravels, and how many days after the beginning. Few
/// customers leave for one reason; these are the ones whose score falls through the bands.
const UNRAVELLING: [(Cause, i64); 5] = [
    (Cause::UsageDecline, 0),
    (Cause::ChampionLeft, 4),
    (Cause::Detractor, 2),
    (Cause::TicketSurge, 11),
    (Cause::PaymentsSlip, -75),
];

/// Days of history a plant needs before it: the evidence must have something to differ from.
const LEAD_IN_DAYS: i64 = 1;

/// Chooses when each plant begins. `round` counts the plants of one sort so far, so that every
/// cause gets its turn even in a small company.
pub(super) struct Planter {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
}

impl Planter {
    pub(super) fn cause(&self, round: usize, random: &mut Random) -> Planted {
        // One turn more than there are causes: then the account unravels, by turns in part and
        // in full.
        let turn = round % (Cause::ALL.len() + 1);
        let Some(&cause) = Cause::ALL.get(turn) else {
            let depth = if (round / (turn + 1)).is_multiple_of(2) { UNRAVELLING.len() } else { 3 };
            return Planted::Unravelling(depth, self.office_hour(random.between(24, 34), random));
        };
        let (latest, earliest) = cause.days_before_end();
        Planted::Cause(cause, self.office_hour(random.between(latest, earliest), random))
    }

    pub(super) fn twin(&self, round: usize, random: &mut Random) -> Planted {
        let twin = Twin::ALL[round % Twin::ALL.len()];
        Planted::Twin(twin, self.office_hour(random.between(15, 40), random))
    }

    fn office_hour(&self, days_before_end: i64, random: &mut Random) -> i64 {
        let at_ms = self.end_ms - days_before_end * DAY_MS - random.between(0, 8 * HOUR_MS);
        at_ms.max(self.start_ms + LEAD_IN_DAYS * DAY_MS)
    }
}
