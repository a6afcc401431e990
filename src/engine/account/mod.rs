//! What is known about one account: facts (a function of its events) apart from decisions (what
//! was concluded, when we looked).
//!
//! To add an event kind: its entity in `entity.rs`, its merge in [`Facts::merge`], its sort check
//! in [`Facts::is_sound`]; the order law in `tests/laws.rs` then covers it.

mod decisions;
mod entity;
mod facts;
mod history;
mod index;
mod keyed;
mod list;

pub use decisions::{Decisions, Phase, Published, PublishedLine, RiskState, apply_header, encode_header};
pub use entity::{ContactFact, ContractFact, InvoiceFact, SurveyFact, TicketFact};
pub(super) use facts::Lengths;
pub use facts::{Facts, FeatureUse, MasterField, MasterValue, Merged, Verdict, currency};
pub use history::{Band, Close, HISTORY_DAYS, History};
pub use index::{InvoiceIndex, OpenTicket, OpenedOn, TicketIndex, UnpaidInvoice};
pub use keyed::{Entry, Keyed, Merge, Stamp};
pub use list::List;

use crate::engine::time::{DAY_TURN_SPREAD_MS, Day};
use xxhash_rust::xxh3::xxh3_64;

/// How far after midnight the day turns for an account.
pub fn day_turn_jitter_ms(account: &str) -> i64 {
    (xxh3_64(account.as_bytes()) % DAY_TURN_SPREAD_MS as u64) as i64
}

/// The moment from which an account is looked at: an instant, and the day it belongs to for
/// this account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The instant.
    pub at_ms: i64,
    /// The account's day at that instant (it turns a little after midnight).
    pub today: Day,
    /// `None` in the present, where everything known counts. In a look back only what had
    /// happened by this instant counts; an event moves things at its own time, which may be ahead
    /// of the clock by which they are judged.
    pub known_until_ms: Option<i64>,
}
