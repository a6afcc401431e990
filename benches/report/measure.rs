//! What a piece of work took, and what a process holds: Linux' `/proc`, nothing else.

use std::time::Instant;

use accountpulse::clock;

/// Time that went by and processor time of the thread that measures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
}

impl Cost {
    pub fn add(&mut self, other: Cost) {
        self.wall_seconds += other.wall_seconds;
        self.cpu_seconds += other.cpu_seconds;
    }

    /// Processor time per event.
    pub fn ns_per(&self, events: u64) -> f64 {
        self.cpu_seconds * 1e9 / events as f64
    }
}

/// A measurement under way, of one thread.
pub struct Meter {
    wall: Instant,
    cpu_seconds: f64,
}

impl Meter {
    pub fn start() -> Meter {
        Meter { wall: clock::monotonic(), cpu_seconds: thread_cpu_seconds() }
    }

    pub fn stop(self) -> Cost {
        let wall_seconds = self.wall.elapsed().as_secs_f64();
        Cost { wall_seconds, cpu_seconds: thread_cpu_seconds() - self.cpu_seconds }
    }
}

/// Time this thread has had a core, to the nanosecond.
fn thread_cpu_seconds() -> f64 {
    let text = read("/proc/thread-self/schedstat");
    let ran = text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok());
    ran.expect("/proc/thread-self/schedstat begins with a number") as f64 / 1e9
}

/// User and system time of a process so far, all threads; the tick is 10 ms.
pub fn cpu_seconds(pid: u32) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = read(&format!("/proc/{pid}/stat"));
    // The second field is a name in brackets and may hold spaces; utime and stime are 14 and 15.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    ticks.sum::<u64>() as f64 / TICKS_PER_SECOND
}

/// Memory that a process holds now, in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmRSS:")
}

/// Most memory it has held.
pub fn peak_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmHWM:")
}

/// Lets the most begin anew at what it holds now.
pub fn forget_peak(pid: u32) {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").unwrap_or_else(|error| panic!("{path}: {error}"));
}

fn status_bytes(pid: u32, field: &str) -> u64 {
    let status = read(&format!("/proc/{pid}/status"));
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("the process runs and /proc/PID/status names its memory") * 1024
}

/// A file of `/proc`.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}; is this Linux?"))
}

/// The middle, or the mean of the two around it.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(low), Some(high)) if values.len().is_multiple_of(2) => f64::midpoint(*low, *high),
        (_, Some(value)) => *value,
        _ => f64::NAN,
    }
}

/// A quantile of ascending values.
pub fn quantile(ascending: &[f64], quantile: f64) -> f64 {
    let rank = (quantile * ascending.len() as f64).ceil() as usize;
    ascending.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}
