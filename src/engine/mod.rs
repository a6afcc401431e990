//! The pure core: no I/O, no async, no clock, no metrics, no logging. Facts and time come in as
//! arguments, decisions go out as values. Anyone could lift this room out as a library:
//! [`Shard::apply`], [`Shard::advance`], [`Shard::drain`], [`Shard::next_deadline`].
//!
//! ```text
//! event/    decode, pseudonyms, refusals        rule/    conditions and evidence
//! window/   counts, people, duplicate filter    risk.rs  the life of one risk
//! account/  facts apart from decisions          timer.rs deadlines of a shard (quiet.rs: which)
//! feature/  the catalogue                       page.rs  the unit of checkpointing
//! score/    ramps, weights, caps, explanations  shard.rs all state of one partition
//! record/   what is told, as JSON and protobuf  replay.rs files through shards, in event time
//! evaluate.rs, publish.rs                       what one account comes to, and what it tells
//! ```

pub mod account;
mod config;
mod evaluate;
pub mod event;
pub mod feature;
mod judge;
pub mod limits;
mod page;
pub mod partition;
mod plain;
mod publish;
mod quiet;
pub mod record;
pub mod replay;
pub mod risk;
pub mod rule;
pub mod score;
mod shard;
pub mod statistics;
pub mod time;
mod timer;
pub mod window;

pub use account::Verdict;
pub use config::EngineConfig;
pub use page::PageError;
pub use partition::{PAGES, PageId};
pub use shard::{AccountState, Covered, Effects, Input, ScoreOutput, Shard, ShardId, ShardStats};
