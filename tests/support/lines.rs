//! The lines of a stream, kept as they come: for whoever waits for one of them, and for whoever has
//! to say why a test failed.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Longest wait for a line. It only keeps a test from waiting for ever.
const LONGEST: Duration = Duration::from_secs(90);

/// See the module.
#[derive(Default)]
pub struct Lines {
    found: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Lines {
    /// Reads a stream to its end, in a thread of its own.
    pub fn of(stream: impl Read + Send + 'static) -> Arc<Lines> {
        let lines = Arc::new(Lines::default());
        let of_thread = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                of_thread.found.lock().unwrap().0.push(line);
                of_thread.more.notify_all();
            }
            of_thread.found.lock().unwrap().1 = true;
            of_thread.more.notify_all();
        });
        lines
    }

    /// Waits for a line that has this in it.
    pub fn wait(&self, part: &str) -> String {
        let is_it = |line: &&String| line.contains(part);
        let found = self.found.lock().unwrap();
        let waits = |(lines, ended): &mut (Vec<String>, bool)| !*ended && !lines.iter().any(|l| is_it(&l));
        let (found, _) = self.more.wait_timeout_while(found, LONGEST, waits).unwrap();
        let line = found.0.iter().find(is_it).cloned();
        drop(found);
        line.unwrap_or_else(|| panic!("no line with {part:?} in:\n{}", self.text()))
    }

    /// Waits for the end of the stream.
    pub fn wait_for_end(&self) {
        let found = self.found.lock().unwrap();
        drop(self.more.wait_timeout_while(found, LONGEST, |(_, ended)| !*ended).unwrap());
    }

    /// How many lines have this in them.
    pub fn count(&self, part: &str) -> usize {
        self.found.lock().unwrap().0.iter().filter(|line| line.contains(part)).count()
    }

    /// All of them.
    pub fn text(&self) -> String {
        self.found.lock().unwrap().0.join("\n")
    }

    /// The last ones.
    pub fn last(&self, count: usize) -> String {
        let found = self.found.lock().unwrap();
        found.0[found.0.len().saturating_sub(count)..].join("\n")
    }
}
