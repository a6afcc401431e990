//! Ports for test brokers. A broker that was killed must find its port free again, so ports are
//! taken below the range that the system gives to outgoing connections, and each is held by a
//! locked file for as long as its broker lives: the other test processes leave it alone.

use std::fs::File;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Linux gives 32768 and up to outgoing connections, others still higher ones.
const FIRST: u32 = 20_000;
const COUNT: u32 = 10_000;

/// A port that no other test has; free again when dropped.
pub struct Port {
    pub number: u16,
    _lock: File,
}

impl Port {
    /// Takes the next port that neither another test nor another program holds.
    pub fn take() -> Port {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = std::env::temp_dir().join("accountpulse-test-ports");
        std::fs::create_dir_all(&folder).unwrap();
        // Processes begin at different places, so that they seldom meet.
        let begin = std::process::id().wrapping_mul(131);
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = (FIRST + begin.wrapping_add(step) % COUNT) as u16;
            let lock = File::create(folder.join(number.to_string())).unwrap();
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Port { number, _lock: lock };
            }
        }
        panic!("no port from {FIRST} on is free");
    }
}
