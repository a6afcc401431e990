//! The open file, and opening it anew after the disk failed: the store refuses everything from a
//! failed write on, because only the file knows what became durable.
//!
//! The disk is asked first, by a file of its own beside the log, so that a full one is not opened
//! and failed again and again. Only the writer opens; readers find the place empty meanwhile.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use redb::{Database, DatabaseError};

use super::LocalError;
use super::tables::{Layout, Mirror, load, opening_error};
use crate::clock;

/// First and longest pause before the disk is tried again.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A log that was well for so long is tried after the first pause again.
const FORGIVEN: Duration = Duration::from_secs(60);
/// How much room there must be: some commits, so that the next one does not fail at once.
const PROBE_BYTES: usize = 2 << 20;
/// The file that asks the disk; removed at once.
const PROBE_NAME: &str = "log.probe";

/// Opens the file.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send>;

/// The open file, or nothing while it is being opened anew.
pub(super) struct Slot(RwLock<Option<Database>>);

impl Slot {
    pub(super) fn new(db: Database) -> Slot {
        Slot(RwLock::new(Some(db)))
    }

    /// Uses the file, if it is open.
    pub(super) fn with<T>(&self, act: impl FnOnce(&Database) -> T) -> Option<T> {
        // Nothing under the lock can be left half done: it is only filled and emptied.
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(act)
    }

    fn put(&self, db: Option<Database>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = db;
    }
}

/// When and how the file is opened anew.
pub(super) struct Room {
    dir: PathBuf,
    open: Opener,
    layout: Layout,
    /// Set while the disk has failed.
    pause: Option<Duration>,
    opened: Instant,
    last_pause: Duration,
}

impl Room {
    pub(super) fn new(dir: &Path, open: Opener, layout: Layout) -> Room {
        let opened = clock::monotonic();
        Room { dir: dir.to_path_buf(), open, layout, pause: None, opened, last_pause: PAUSE_FIRST }
    }

    /// How long to wait before the next try; `None` while all is well.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// The disk failed just now.
    pub(super) fn note_failure(&mut self) {
        let well = clock::monotonic().saturating_duration_since(self.opened);
        self.last_pause = if well >= FORGIVEN { PAUSE_FIRST } else { (self.last_pause * 2).min(PAUSE_MAX) };
        self.pause = Some(self.last_pause);
    }

    /// Opens the file anew; what it holds.
    pub(super) fn open_again(&mut self, slot: &Slot) -> Result<Mirror, LocalError> {
        probe(&self.dir).map_err(|error| LocalError::io(&self.dir, &error))?;
        // The old handle holds the lock of the file.
        slot.put(None);
        let db = (self.open)().map_err(|error| opening_error(&self.dir, error))?;
        let mirror = load(&db, &self.dir, &self.layout)?;
        slot.put(Some(db));
        self.pause = None;
        self.opened = clock::monotonic();
        Ok(mirror)
    }
}

/// Whether there is room: answered by the disk itself.
fn probe(dir: &Path) -> std::io::Result<()> {
    let path = dir.join(PROBE_NAME);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}
