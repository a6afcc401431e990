//! Rolling windows: what is remembered of the stream of counted events.
//!
//! Everything here is a function of the *set* of events that were added, never of their order,
//! also past the limits. Nothing here knows the clock: old days roll up by event time.

pub(super) mod bytes;
mod counts;
mod filter;
mod fingerprints;
mod people;
mod recent;
mod series;
mod spread;

pub use counts::SlotCounts;
pub use filter::{Admission, Filter};
pub use people::People;
pub use recent::{Recent, RecentDays};
pub use series::{DAILY_DAYS, Series};
