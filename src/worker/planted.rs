//! Parts of the protocol that can be left out, one at a time, to prove that the simulation
//! notices. Nothing but tests sets one, and a build without debug assertions has none: there
//! [`Planted::is`] is `false` whatever was set, and the compiler drops what stands behind it.
//!
//! To add one: a variant that says in a sentence what is missing, the place where it is missing
//! (one line, `if settings.breaks(Break::…)`), and its line in `tests/simulation/breaks.rs`.

/// What is left out, if anything.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted(Option<Break>);

impl Planted {
    /// This one.
    pub const fn new(which: Break) -> Self {
        Planted(Some(which))
    }

    /// Whether it is this one.
    pub(super) fn is(self, which: Break) -> bool {
        cfg!(debug_assertions) && self.0 == Some(which)
    }
}

/// The parts.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// One duplicate filter for all inputs of an account.
    FilterAcrossInputs,
    /// After a fallback the journal is read from the newer offset.
    NewerJournalOnFallback,
    /// A decision alone does not make its page due.
    DecisionsAreClean,
    /// Changes made by replay and journal do not make pages due.
    RestoreIsClean,
    /// The clock is recorded as if every deadline had been handled.
    ClockAsFrontier,
    /// Transitions go out one commit after the position of their event.
    EffectsNextCommit,
    /// Recovery does not ask which scores are still to be published.
    DueForgotten,
    /// Replay writes dead letters again.
    DeadLettersInReplay,
    /// Parked state is taken up again when the positions have not moved, without a second look at
    /// the number, which would notice too.
    ParkedByPosition,
    /// A page is written once, not until both copies hold its last change.
    WriteOnce,
    /// A copy counts as complete by its number alone, never by its content.
    NumberOnly,
    /// The first marker after a fallback does not repeat the older entry.
    ForgetOlderEntry,
    /// A write replaces the best copy.
    OverwriteBest,
    /// Both markers go to one key.
    OneMarkerKey,
    /// A refusal is believed without a second look at the number.
    RefuseAtOnce,
    /// Positions are sent only when they moved.
    PositionsOnlyWhenMoved,
    /// The checkpoint is read to the last stable offset instead of the high watermark.
    CheckpointAtStable,
    /// The journal is read to the last stable offset instead of the high watermark.
    JournalAtStable,
    /// A listed page that is missing is taken as empty.
    MissingIsEmpty,
    /// Positions are committed in a transaction of their own, before the outputs.
    OffsetsBeforeState,
    /// An unclear commit is taken for a success.
    UnclearIsCommitted,
    /// An unclear commit is repeated on the same producer.
    UnclearIsRepeated,
    /// Tombstones of page parts are ignored, and so is the number of parts.
    TombstoneIgnored,
    /// What a deadline told is told again by the next commit.
    TimerTwice,
    /// What replay saw is not in the duplicate filter.
    FilterForgotten,
    /// The older copy of a page is taken for the better one.
    OlderCopy,
    /// On a revocation what was applied is kept without a last commit.
    RevokeWithoutCommit,
    /// The position of an input that did not move is left out.
    IdlePositionLeftOut,
    /// The journal of decisions is not read.
    NoJournal,
    /// Decisions are made anew instead of read.
    DecisionsRecomputed,
    /// A marker names the positions where its round ended.
    MarkerAtEnd,
    /// Nobody minds an input partition that stands still.
    StandstillIgnored,
}
