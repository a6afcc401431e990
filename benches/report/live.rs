//! The workload in real time: each event is sent at its own instant.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use accountpulse::clock;
use accountpulse::simulate::{Workload, WorkloadOptions};

use crate::cluster::{Cluster, Sender};

const SECONDS_PER_DAY: u64 = 86_400;

/// A load that comes until it is told to stop.
pub struct Load {
    pub rate: u64,
    pub accounts: u32,
    stop: AtomicBool,
    sent: AtomicU64,
}

impl Load {
    pub fn new(rate: u64, accounts: u32) -> Load {
        Load { rate, accounts, stop: AtomicBool::new(false), sent: AtomicU64::new(0) }
    }

    /// Events sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sends until told to stop; on a thread of its own.
    pub fn send_to(&self, cluster: &Cluster, inputs: &str) {
        let mut options = WorkloadOptions::new(3, self.rate * SECONDS_PER_DAY);
        (options.days, options.start_ms, options.accounts) = (1, clock::wall_ms(), self.accounts);
        let mut workload = Workload::new(options);
        // A request has records of one partition: sooner, they would be what keeps the broker busy.
        let mut sender = Sender::new(cluster, inputs, "25");
        let begun = clock::monotonic();
        let (mut json, mut account) = (Vec::new(), Vec::new());
        while !self.is_stopped() {
            let due = (begun.elapsed().as_secs_f64() * self.rate as f64) as u64;
            while sender.sent < due {
                json.clear();
                account.clear();
                let Some(event) = workload.next_into(&mut json) else { return };
                Workload::push_account_id(event.account, &mut account);
                sender.send(event.kind, &account, &json);
            }
            self.sent.store(sender.sent, Ordering::Relaxed);
            sender.serve();
            clock::pause(Duration::from_millis(2));
        }
        sender.flush();
    }
}

/// Stops the load when dropped, so that a failure does not wait for it for ever.
pub struct Stopper<'l>(pub &'l Load);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
