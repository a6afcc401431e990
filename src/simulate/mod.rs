//! Made-up data, the same for the same seed: a believable company for demos and backtests, and
//! the fixed workload of the benchmarks.
//!
//! ```text
//! random.rs     the generator all randomness comes from
//! calendar.rs   days, weekdays, holidays, months; RFC 3339 text
//! text.rs       JSON by hand into a byte buffer
//! fact.rs       one event before it becomes JSON
//! catalogue.rs  names, industries, owners, time zones, features
//! account.rs    one customer: size, habits, contract, what was planted in it
//! timeline.rs   contracts, contacts, invoices, tickets and surveys of one customer
//! cause.rs      what is planted: causes of churn, and twins that only look like one
//! company.rs    all customers, and the ground truth
//! history.rs    events in time order up to the end of history
//! live.rs       events after it, without end
//! episode.rs    the small dramas that live events tell
//! workload.rs   the benchmark workload
//! ```
//!
//! No wall clock: the seed and every time are arguments. To plant another cause, add a variant to
//! [`Cause`], when it begins in `cause.rs`, and what it does to facts in `timeline.rs` or to
//! activity in `account.rs`.

mod account;
mod calendar;
mod catalogue;
mod cause;
mod company;
mod episode;
mod fact;
mod history;
mod live;
mod random;
mod text;
mod timeline;
mod workload;

pub use account::{Account, Segment};
pub use cause::{Cause, CauseRecord, Twin, TwinRecord};
pub use company::{Company, CompanyOptions};
pub use fact::SimEvent;
pub use history::History;
pub use live::{Live, LiveOptions};
pub use random::Random;
pub use workload::{Workload, WorkloadEvent, WorkloadOptions};
