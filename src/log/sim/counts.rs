//! What the broker saw happen, for tests that must know that a fault did fire.

/// Happenings since the broker was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimCounts {
    /// Positions refused because of a stale generation or a member that is gone.
    pub stale_generations: u64,
    /// Requests refused because the producer has a newer epoch.
    pub fenced: u64,
    /// Late `EndTxn` requests that arrived while the *next* transaction of their producer was open.
    pub late_into_next: u64,
    /// Reads outside the group that stopped at an open transaction although committed records lie
    /// behind it.
    pub committed_behind_open: u64,
    /// Rebalances that began before the one before was complete.
    pub overlapping_rebalances: u64,
    /// Assignments that held a partition number some input topic lacks.
    pub incomplete_assignments: u64,
    /// Tombstones that compaction removed for good.
    pub tombstones_purged: u64,
    /// Polls that had records of a partition and did not deliver them.
    pub withheld: u64,
    /// Questions for committed positions that had to wait for an outcome.
    pub pending_positions: u64,
}
