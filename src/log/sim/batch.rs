//! Records as the simulated broker stores and hands them out: shared, never copied.

use std::sync::Arc;

use crate::log::{Offset, RecordBatch, RecordRef, TopicPartition};

/// A stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimRecord {
    /// Timestamp, UTC milliseconds.
    pub timestamp_ms: i64,
    /// Key bytes.
    pub key: Option<Vec<u8>>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl SimRecord {
    /// A record with key and value and nothing else.
    pub fn new(timestamp_ms: i64, key: &[u8], value: &[u8]) -> Self {
        Self { timestamp_ms, key: Some(key.to_vec()), value: Some(value.to_vec()), headers: Vec::new() }
    }

    /// What the record counts for in a byte limit.
    pub(super) fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len) + headers
    }
}

/// Records of one partition.
#[derive(Debug, Default)]
pub struct SimBatch {
    pub(super) records: Vec<(TopicPartition, Offset, Arc<SimRecord>)>,
}

impl RecordBatch for SimBatch {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn get(&self, index: usize) -> RecordRef<'_> {
        // The trait states the panic.
        let (at, offset, record) = &self.records[index];
        RecordRef {
            at: *at,
            offset: *offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
        }
    }

    fn has_headers(&self, index: usize) -> bool {
        self.records.get(index).is_some_and(|(_, _, record)| !record.headers.is_empty())
    }

    fn header(&self, index: usize, name: &str) -> Option<&[u8]> {
        let (_, _, record) = self.records.get(index)?;
        record.headers.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    fn each_header<'b>(&'b self, index: usize, see: &mut dyn FnMut(&'b str, &'b [u8])) {
        let Some((_, _, record)) = self.records.get(index) else { return };
        record.headers.iter().for_each(|(name, value)| see(name, value));
    }
}
