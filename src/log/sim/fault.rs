//! The place where a test puts a fault: before every call of every member.

use crate::log::LogError;

/// Which call of the `Log` trait is about to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// `init`
    Init,
    /// `poll`
    Poll,
    /// `assign`
    Assign,
    /// `unassign`
    Unassign,
    /// `committed`
    Committed,
    /// `watermarks`
    Watermarks,
    /// `read_range`
    ReadRange,
    /// `begin`
    Begin,
    /// `send`
    Send,
    /// `drain`
    Drain,
    /// `send_offsets`
    SendOffsets,
    /// `commit`
    Commit,
    /// `abort`
    Abort,
}

/// The call a fault may be put before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSite<'a> {
    /// Name of the member that calls.
    pub member: &'a str,
    /// What it calls.
    pub call: Call,
    /// How many calls the whole broker has seen before this one.
    pub index: u64,
}

/// What became of a commit (or abort) whose outcome the member never learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indefinite {
    /// It took effect.
    Landed,
    /// The request never arrived: the transaction stays open.
    Lost,
    /// The request is still under way; [`super::SimBroker::deliver_late`] brings it, perhaps into
    /// a newer transaction of the same producer epoch.
    Late,
}

/// What happens instead of (or before) the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// The call runs.
    #[default]
    None,
    /// The process is gone: this call and all later ones of the member fail, its session and
    /// transaction stay until they are replaced or expire.
    Crash,
    /// The call fails with `AbortRequired`, and so do all transactional calls until `abort`.
    AbortRequired,
    /// The producer is fenced before the call runs, as a transaction timeout does it.
    Fenced,
    /// The call fails with `Unavailable` and changes nothing.
    Unavailable,
    /// This call and the following `n - 1` of the same kind answer "not yet" in their own way:
    /// `false`, `Pending`, `Idle`; `send` keeps the record back until `drain`; calls without such
    /// an answer fail with `Unavailable`. The hook is not asked for calls answered this way.
    Slow(u32),
    /// `send` answers `BufferFull`. Other calls run.
    BufferFull,
    /// `poll` delivers no record of the input partition any more whose turn it is, however often it is
    /// assigned: only a new handle cures it. Other calls run.
    Withhold,
    /// `commit` answers `Indefinite` (`abort`: `Unavailable`). Other calls run.
    Indefinite(Indefinite),
}

/// Decides the fault for a call. It may call the broker (deliver markers, compact, rebalance),
/// which puts those happenings between any two calls; it must not call `set_hook`.
pub type Hook = Box<dyn FnMut(CallSite<'_>) -> Fault + Send>;

/// The error of a crashed member.
pub(super) fn crashed() -> LogError {
    LogError::Store { detail: "crashed".to_owned() }
}

/// The error of calls that find nobody.
pub(super) fn unavailable(detail: &str) -> LogError {
    LogError::Unavailable { detail: detail.to_owned() }
}
