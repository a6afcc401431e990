//! A controller in a process of its own, as in production: it lives on while its broker is killed.
//!
//! A node that is both begins, after `kill -9`, with the metadata of before: it takes up its
//! transactions, then gives up its own old registration, and for that moment no partition has a
//! leader. Kafka 4.1 to 4.4 takes such a partition for a deleted one (KAFKA-20734): a transaction
//! that is completed just then gets no markers, and readers of committed records wait at it for
//! ever. With a controller that gave up the old registration before the broker is back, the moment
//! does not exist.

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use accountpulse::clock;

use super::Broker;
use super::java::{Log, Running, launch};
use super::settings::controller_properties;

/// What it says of a broker that it gives up.
const GIVEN_UP: &str = "Fencing broker 1 ";
/// Longest wait for that; it is due two seconds after the broker's last word.
const LONGEST: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// A controller; killed when dropped.
pub(super) struct Controller {
    process: Running,
    log: Log,
}

/// The name of its settings in the broker's folder.
pub(super) const SETTINGS: &str = "controller.properties";

impl Controller {
    /// Writes its settings into the folder of its broker.
    pub(super) fn prepare(broker: &Broker, folder: &Path) {
        std::fs::write(folder.join(SETTINGS), controller_properties(broker)).unwrap();
    }

    /// Starts it; the log when it ended instead.
    pub(super) fn start(folder: &Path) -> Result<Controller, String> {
        let log = Log::default();
        let process = launch(folder, SETTINGS, "log4j2.controller.properties", &log)?;
        Ok(Controller { process, log })
    }

    fn given_up(&self) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(GIVEN_UP)).count()
    }

    /// Kills a broker, and waits until it is given up.
    pub(super) fn outlive(&self, kill: impl FnOnce()) {
        let before = self.given_up();
        kill();
        let began = clock::monotonic();
        while self.given_up() == before {
            let waited = clock::monotonic().duration_since(began);
            assert!(waited < LONGEST, "the controller does not give up the killed broker");
            clock::pause(LOOK);
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let Running { java, guard } = &mut self.process;
        for child in [java, guard] {
            end(child);
        }
    }
}

/// Kills a process; already ended is fine.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
