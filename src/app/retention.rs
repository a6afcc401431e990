//! Deletes what is older than its retention, once a minute. Input is kept as long as recovery could
//! still need it: down to the start positions of every entry of the newest two markers of each
//! shard, which stand in the checkpoints topic like everything else recovery reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::clock;
use crate::log::local::{LocalError, LocalStore};
use crate::log::{Offset, RecordBatch, TopicId, TopicPartition};
use crate::worker::format::{Key, Marker, Slot, decode};

/// Time between two passes.
const EVERY: Duration = Duration::from_secs(60);
/// About how much of the checkpoints is read at once.
const READ_BYTES: usize = 1024 * 1024;

/// What is known about the markers of a log.
pub struct Retention {
    store: Arc<LocalStore>,
    checkpoints: TopicId,
    /// Where to read on in the checkpoints, per partition.
    next: Vec<Offset>,
    markers: BTreeMap<(u32, Slot), Marker>,
}

impl Retention {
    /// Knows nothing yet.
    pub fn new(store: Arc<LocalStore>, checkpoints: TopicId) -> Retention {
        let next = vec![0; store.partitions() as usize];
        Retention { store, checkpoints, next, markers: BTreeMap::new() }
    }

    /// Deletes what has expired at `now_ms`; how many stored batches went.
    pub fn pass(&mut self, now_ms: i64) -> Result<usize, LocalError> {
        for partition in 0..self.store.partitions() {
            self.read_markers(partition)?;
            for (input, floor) in (0u16..).zip(self.floors(partition)) {
                self.store.set_retention_floor(TopicPartition { topic: TopicId(input), partition }, floor)?;
            }
        }
        let mut deleted = 0;
        loop {
            match self.store.delete_expired(now_ms)? {
                0 => return Ok(deleted),
                batches => deleted += batches,
            }
        }
    }

    /// Takes in the markers written since the last pass. One that cannot be read leaves the older
    /// one of its slot in force, which keeps more.
    fn read_markers(&mut self, partition: u32) -> Result<(), LocalError> {
        let at = TopicPartition { topic: self.checkpoints, partition };
        let end = self.store.watermarks(at)?.end;
        let next = &mut self.next[partition as usize]; // one place per partition
        while *next < end {
            let (batch, after) = self.store.read(at, *next, READ_BYTES)?;
            for record in (0..batch.len()).map(|index| batch.get(index)) {
                let key = record.key.and_then(|key| Key::parse(key, partition));
                if let (Some(Key::Marker(slot)), Some(value)) = (key, record.value)
                    && let Ok(marker) = decode::<Marker>(value)
                {
                    self.markers.insert((partition, slot), marker);
                }
            }
            if after == *next {
                break;
            }
            *next = after;
        }
        Ok(())
    }

    /// The lowest position recovery may start from, per input; none while no marker is known.
    fn floors(&self, partition: u32) -> Vec<Offset> {
        let known = self.markers.range((partition, Slot::Zero)..=(partition, Slot::One));
        let entries = known.flat_map(|(_, marker)| [&marker.this, &marker.previous]);
        let lowest = entries.map(|entry| entry.positions.clone()).reduce(|a, b| {
            // An input that one of them does not know is kept whole.
            a.iter().zip(&b).map(|(a, b)| *a.min(b)).collect()
        });
        lowest.unwrap_or_default()
    }
}

/// The running thread.
pub struct RetentionThread {
    /// Dropping it asks for the end.
    stop: Option<Sender<()>>,
    thread: JoinHandle<()>,
}

impl RetentionThread {
    /// Starts it; the first pass comes after a minute.
    pub fn start(store: Arc<LocalStore>, checkpoints: TopicId) -> RetentionThread {
        let (stop, stopped) = bounded::<()>(0);
        let thread = std::thread::spawn(move || {
            let mut retention = Retention::new(store, checkpoints);
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                match retention.pass(clock::wall_ms()) {
                    Ok(0) => {}
                    Ok(batches) => tracing::info!(batches, "deleted what was older than its retention"),
                    Err(error) => {
                        tracing::error!(%error, "retention could not be applied; disk use will grow")
                    }
                }
            }
        });
        RetentionThread { stop: Some(stop), thread }
    }

    /// Ends it.
    pub fn stop(mut self) {
        self.stop = None;
        if self.thread.join().is_err() {
            tracing::error!("the retention thread ended with a panic");
        }
    }
}
