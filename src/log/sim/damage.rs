//! What a bad disk does to records that were committed: bytes that flip, values cut short, records
//! that are gone. What may be damaged without breaking the worker's promise, the test decides.

use std::sync::Arc;

use super::SimBroker;
use super::batch::SimRecord;
use crate::log::TopicPartition;

impl SimBroker {
    /// Flips the bytes of the newest committed record of `key`; `false` when it has no value.
    pub fn rot(&self, at: TopicPartition, key: &[u8]) -> bool {
        self.damage(at, key, |value| value.iter_mut().for_each(|byte| *byte ^= 0xA5))
    }

    /// Cuts the newest committed record of `key` in half, as a torn write does; `false` when it has
    /// no value.
    pub fn tear(&self, at: TopicPartition, key: &[u8]) -> bool {
        self.damage(at, key, |value| value.truncate(value.len() / 2))
    }

    /// Takes every committed record of `key` away; `false` when there was none.
    pub fn lose(&self, at: TopicPartition, key: &[u8]) -> bool {
        self.state().partition_mut(at).is_ok_and(|partition| partition.lose(key) > 0)
    }

    fn damage(&self, at: TopicPartition, key: &[u8], how: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.state();
        let Ok(partition) = state.partition_mut(at) else { return false };
        let Some(newest) = partition.newest_committed(key) else { return false };
        let mut record = SimRecord::clone(newest);
        let Some(value) = record.value.as_mut().filter(|value| !value.is_empty()) else { return false };
        how(value);
        *newest = Arc::new(record);
        true
    }
}
