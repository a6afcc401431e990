//! `instance.json` in the data directory: the process that runs there and where it answers. It is
//! written when the listener is bound and removed at an orderly end; after a crash it is stale, so
//! readers must expect that nobody answers.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

const FILE: &str = "instance.json";

/// A running instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Process id.
    pub pid: u32,
    /// Base address, without a slash at the end.
    pub url: String,
    /// When it started, UTC milliseconds.
    pub started_at_ms: i64,
}

impl Instance {
    /// Who runs there according to the file; `None` when it is absent or unreadable.
    pub fn read(data_dir: &Path) -> Option<Instance> {
        let text = std::fs::read(data_dir.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Replaces the file as a whole, so that a reader never sees half of it.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let fresh = data_dir.join(format!("{FILE}.{}", self.pid));
        std::fs::write(&fresh, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(fresh, data_dir.join(FILE))
    }

    /// Removes the file, if it is (still) about this process.
    pub fn remove(&self, data_dir: &Path) {
        if Instance::read(data_dir).as_ref() == Some(self) {
            // A file that cannot be removed is a stale one, which readers expect anyway.
            let _ = std::fs::remove_file(data_dir.join(FILE));
        }
    }
}
