//! One partition: records with the state of their transaction, the last stable offset, retention
//! and compaction.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::batch::SimRecord;
use super::transaction::TxnId;
use crate::log::{Offset, Watermarks};

/// Whether a record counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visibility {
    Committed,
    Open(TxnId),
    Aborted,
}

#[derive(Clone, Debug)]
struct Entry {
    offset: Offset,
    visibility: Visibility,
    record: Arc<SimRecord>,
}

/// Records of one partition in offset order, with gaps.
#[derive(Debug, Default)]
pub(super) struct Partition {
    entries: VecDeque<Entry>,
    start: Offset,
    end: Offset,
    /// First offset of every open transaction that wrote here.
    open: BTreeMap<TxnId, Offset>,
    /// Nothing will be appended any more.
    pub(super) closed: bool,
    /// No leader: cannot be read, written or marked.
    pub(super) leaderless: bool,
}

/// Answer of [`Partition::read`].
pub(super) struct ReadOut {
    pub(super) records: Vec<(Offset, Arc<SimRecord>)>,
    pub(super) position: Offset,
}

impl Partition {
    pub(super) fn append(&mut self, record: SimRecord, txn: Option<TxnId>) -> Offset {
        let offset = self.end;
        let visibility = match txn {
            Some(id) => {
                self.open.entry(id).or_insert(offset);
                Visibility::Open(id)
            }
            None => Visibility::Committed,
        };
        self.entries.push_back(Entry { offset, visibility, record: Arc::new(record) });
        self.end += 1;
        offset
    }

    /// Writes the commit or abort marker of a transaction. It takes one offset.
    pub(super) fn mark(&mut self, txn: TxnId, commit: bool) {
        let outcome = if commit { Visibility::Committed } else { Visibility::Aborted };
        if let Some(first) = self.open.remove(&txn) {
            let from = self.index_of(first);
            for entry in self.entries.range_mut(from..) {
                if entry.visibility == Visibility::Open(txn) {
                    entry.visibility = outcome;
                }
            }
        }
        self.end += 1;
    }

    /// Whether committed records lie behind an open transaction, where no committed reader sees them.
    pub(super) fn hides_committed(&self) -> bool {
        let stable = self.stable();
        let behind = self.entries.range(self.index_of(stable)..);
        stable < self.end && { behind }.any(|entry| entry.visibility == Visibility::Committed)
    }

    /// The last stable offset: nothing from here on may be read committed.
    pub(super) fn stable(&self) -> Offset {
        self.open.values().copied().min().unwrap_or(self.end)
    }

    pub(super) fn watermarks(&self) -> Watermarks {
        Watermarks { start: self.start, end: self.end }
    }

    fn index_of(&self, offset: Offset) -> usize {
        self.entries.partition_point(|entry| entry.offset < offset)
    }

    /// Committed records from `from`, until one of the limits is passed.
    pub(super) fn read(&self, from: Offset, max_records: usize, max_bytes: usize) -> ReadOut {
        let stable = self.stable();
        let mut out = ReadOut { records: Vec::new(), position: from };
        let mut bytes = 0;
        for entry in self.entries.range(self.index_of(from)..) {
            if entry.offset >= stable {
                break;
            }
            if entry.visibility == Visibility::Committed {
                if out.records.len() >= max_records || bytes >= max_bytes {
                    return out;
                }
                bytes += entry.record.bytes();
                out.records.push((entry.offset, Arc::clone(&entry.record)));
            }
            out.position = entry.offset + 1;
        }
        out.position = out.position.max(stable);
        out
    }

    /// All committed records, also those that an open transaction still hides.
    pub(super) fn committed(&self) -> impl Iterator<Item = (Offset, &Arc<SimRecord>)> {
        self.entries
            .iter()
            .filter(|entry| entry.visibility == Visibility::Committed)
            .map(|entry| (entry.offset, &entry.record))
    }

    /// Retention: everything below `before` is gone.
    pub(super) fn delete_before(&mut self, before: Offset) {
        let before = before.min(self.stable());
        let count = self.index_of(before);
        self.entries.drain(..count);
        self.start = self.start.max(before);
    }

    /// Compaction below the last stable offset: aborted records and all but the newest committed
    /// one per key go; so do the newest ones that are tombstones if `purge_tombstones`. Answers how
    /// many records went, and how many of them were such tombstones.
    pub(super) fn compact(&mut self, purge_tombstones: bool) -> (usize, u64) {
        let stable = self.stable();
        let mut newest: HashMap<Vec<u8>, Offset> = HashMap::new();
        for (offset, record) in self.committed() {
            if let (true, Some(key)) = (offset < stable, &record.key) {
                newest.insert(key.clone(), offset);
            }
        }
        let before = self.entries.len();
        let mut purged = 0;
        self.entries.retain(|entry| {
            if entry.offset >= stable {
                return true;
            }
            if entry.visibility != Visibility::Committed {
                return false;
            }
            let Some(key) = &entry.record.key else { return true };
            let newest = newest.get(key) == Some(&entry.offset);
            let purge = newest && purge_tombstones && entry.record.value.is_none();
            purged += u64::from(purge);
            newest && !purge
        });
        (before - self.entries.len(), purged)
    }

    /// The newest committed record of `key`.
    pub(super) fn newest_committed(&mut self, key: &[u8]) -> Option<&mut Arc<SimRecord>> {
        let mut newest = self.entries.iter_mut().rev();
        let newest = newest.find(|entry| {
            entry.visibility == Visibility::Committed && entry.record.key.as_deref() == Some(key)
        });
        newest.map(|entry| &mut entry.record)
    }

    /// Takes every committed record of `key` out, as a lost segment would.
    pub(super) fn lose(&mut self, key: &[u8]) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| {
            entry.visibility != Visibility::Committed || entry.record.key.as_deref() != Some(key)
        });
        before - self.entries.len()
    }

    /// Keys of the records that this open transaction wrote here.
    pub(super) fn open_keys(&self, txn: TxnId) -> impl Iterator<Item = &[u8]> {
        let open = self.entries.iter().filter(move |entry| entry.visibility == Visibility::Open(txn));
        open.filter_map(|entry| entry.record.key.as_deref())
    }
}
