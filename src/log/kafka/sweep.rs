//! Ends a transaction of our own name that hangs.
//!
//! A broker that is killed between the decision to commit and the last of the markers that say so
//! may come back, find its partitions without a leader for a moment, take them for deleted and the
//! transaction for ended (Kafka 4.1 to 4.3 do). From then on no timeout ends it: readers of
//! committed records stop below it, and the group's positions stay pending. A marker closes
//! whatever its producer id has open in a partition, however old. So a new transaction under
//! the same name goes to the same partitions and is ended the way the old one has to end.
//!
//! This file must not decide which way that is.

use rdkafka::consumer::ConsumerGroupMetadata;

use super::outcome::misuse;
use super::transaction::Transactions;
use crate::clock;
use crate::log::{CommitOutcome, CommittedPosition, Drain, LogError, OutRecord, SweepAs, TopicPartition};

/// Longest wait for the records that go to the partitions, and for the end.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(20);
/// Key of these records, which no reader ever sees; without one a compacted topic refuses them.
const KEY: &[u8] = b"sweep";

/// Ends what hangs in `partitions` and in the positions of the group. The first of them must be
/// one that the group does not read: in [`SweepAs::Committed`] it is given a position, without meaning.
pub(super) fn sweep(
    transactions: &mut Transactions,
    partitions: &[TopicPartition],
    group: &ConsumerGroupMetadata,
    how: SweepAs,
) -> Result<(), LogError> {
    transactions.begin()?;
    if let Err(error) = touch(transactions, partitions, group, how) {
        // The first error tells more.
        drop(transactions.abort());
        return Err(error);
    }
    match how {
        SweepAs::Aborted => transactions.abort(),
        SweepAs::Committed => commit(transactions),
    }
}

/// Makes the partitions part of the open transaction.
fn touch(
    transactions: &mut Transactions,
    partitions: &[TopicPartition],
    group: &ConsumerGroupMetadata,
    how: SweepAs,
) -> Result<(), LogError> {
    let Some(mark) = partitions.first() else { return Err(misuse("nothing to sweep")) };
    // What was committed is seen already where it was written: only the positions hang.
    let written = if how == SweepAs::Aborted { partitions } else { &[] };
    for to in written {
        let (key, headers) = (Some(KEY.to_vec()), Vec::new());
        let record = OutRecord { to: *to, key, value: None, headers, timestamp_ms: clock::wall_ms() };
        transactions.send(&record)?;
    }
    let deadline = clock::monotonic() + LONGEST;
    while transactions.drain()? == Drain::Pending {
        if clock::monotonic() >= deadline {
            return Err(LogError::Unavailable { detail: "a sweep is not acknowledged".to_owned() });
        }
    }
    let nowhere = CommittedPosition { position: 0, metadata: String::new() };
    transactions.send_offsets(&[(*mark, nowhere)], group)
}

fn commit(transactions: &mut Transactions) -> Result<(), LogError> {
    let deadline = clock::monotonic() + LONGEST;
    loop {
        match transactions.commit()? {
            CommitOutcome::Committed => return Ok(()),
            CommitOutcome::Pending if clock::monotonic() < deadline => {}
            outcome => return Err(misuse(&format!("the end of a sweep is not certain ({outcome:?})"))),
        }
    }
}
