//! A polled record on its way to being applied, and the headers of records that are only read.
//!
//! A record keeps its whole batch alive, and a batch of the cluster's client keeps the answer of the
//! broker alive that it came in. That is right for records that are applied at once; one that has
//! to wait is copied ([`Queued::keep`]), or little would hold much. This room must not decide who waits.

use std::sync::Arc;

use crate::engine::event::Headers;
use crate::log::{Offset, RecordBatch, RecordRef, TopicPartition};

/// A polled record that waits for its turn.
pub(super) enum Queued<B> {
    /// In the batch it came in.
    Polled {
        /// The batch.
        batch: Arc<B>,
        /// Which record of it.
        index: usize,
        /// Its offset, which the batch would have to look up.
        offset: Offset,
    },
    /// A copy.
    Kept(Box<Kept>),
}

/// The copy of a record, with all of its headers: a dead letter keeps them.
pub(super) struct Kept {
    at: TopicPartition,
    offset: Offset,
    timestamp_ms: i64,
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
    headers: Vec<(Box<str>, Box<[u8]>)>,
    /// That of the original, so that copying changes no decision.
    weight: usize,
}

impl<B: RecordBatch> Queued<B> {
    /// The record at `index` of `batch`, which has it at that offset.
    pub fn new(batch: Arc<B>, index: usize, offset: Offset) -> Self {
        Queued::Polled { batch, index, offset }
    }

    /// The record.
    pub fn record(&self) -> RecordRef<'_> {
        match self {
            Queued::Polled { batch, index, .. } => batch.get(*index),
            Queued::Kept(kept) => RecordRef {
                at: kept.at,
                offset: kept.offset,
                timestamp_ms: kept.timestamp_ms,
                key: kept.key.as_deref(),
                value: kept.value.as_deref(),
            },
        }
    }

    /// Its offset.
    pub fn offset(&self) -> Offset {
        match self {
            Queued::Polled { offset, .. } => *offset,
            Queued::Kept(kept) => kept.offset,
        }
    }

    /// About the memory it holds.
    pub fn weight(&self) -> usize {
        match self {
            Queued::Polled { batch, index, .. } => batch.weight(*index),
            Queued::Kept(kept) => kept.weight,
        }
    }

    /// Becomes a copy, so that its batch may go.
    pub fn keep(&mut self) {
        if matches!(self, Queued::Kept(_)) {
            return;
        }
        let record = self.record();
        let mut headers: Vec<(Box<str>, Box<[u8]>)> = Vec::new();
        if self.any() {
            self.each(&mut |name, value| headers.push((name.into(), value.into())));
        }
        let kept = Kept {
            at: record.at,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(Box::from),
            value: record.value.map(Box::from),
            headers,
            weight: self.weight(),
        };
        *self = Queued::Kept(Box::new(kept));
    }
}

impl<B: RecordBatch> Headers for Queued<B> {
    fn any(&self) -> bool {
        match self {
            Queued::Polled { batch, index, .. } => batch.has_headers(*index),
            Queued::Kept(kept) => !kept.headers.is_empty(),
        }
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        match self {
            Queued::Polled { batch, index, .. } => batch.header(*index, name),
            Queued::Kept(kept) => {
                // The last of a name counts, as it does in the batch.
                let mut found = kept.headers.iter().rev();
                found.find(|(known, _)| known.as_ref() == name).map(|(_, value)| value.as_ref())
            }
        }
    }

    fn each<'h>(&'h self, see: &mut dyn FnMut(&'h str, &'h [u8])) {
        match self {
            Queued::Polled { batch, index, .. } => batch.each_header(*index, see),
            Queued::Kept(kept) => kept.headers.iter().for_each(|(name, value)| see(name, value)),
        }
    }
}

/// The headers of a record of a batch that is only read.
pub(super) struct HeadersAt<'b, B> {
    /// The batch.
    pub batch: &'b B,
    /// Which record.
    pub index: usize,
}

impl<B: RecordBatch> Headers for HeadersAt<'_, B> {
    fn any(&self) -> bool {
        self.batch.has_headers(self.index)
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.batch.header(self.index, name)
    }

    fn each<'h>(&'h self, see: &mut dyn FnMut(&'h str, &'h [u8])) {
        self.batch.each_header(self.index, see);
    }
}
