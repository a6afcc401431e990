//! How fast the embedded log is on this machine: `cargo run --example local_log_rate [DIR]`.
//!
//! Prints records per second of appends (batches of 1,000 and 10,000 records of 250 bytes, one
//! and four callers), of reading them back, and the time of a worker's commit.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use accountpulse::clock::monotonic;
use accountpulse::log::local::{LocalOptions, LocalStore, LocalTopic, TopicKind};
use accountpulse::log::{
    AppendRecord, CommitOutcome, CommittedPosition, Log, OutRecord, Polled, RecordBatch, TopicId,
    TopicPartition,
};

const RECORDS: usize = 400_000;
const RECORD_BYTES: usize = 250;
const PARTITIONS: u32 = 4;
const COMMITS: usize = 200;
const ACCOUNTS: usize = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("local-log-rate-{}", std::process::id()));
    let outcome = measure(&dir);
    std::fs::remove_dir_all(&dir)?;
    outcome
}

fn measure(dir: &Path) -> Result<(), Box<dyn Error>> {
    let topic =
        |name: &str, kind, compacted| LocalTopic { name: name.into(), kind, compacted, retention_ms: None };
    let topics = vec![
        topic("in", TopicKind::Input, false),
        topic("risks", TopicKind::Output, false),
        topic("scores", TopicKind::Output, true),
    ];
    let store = LocalStore::open(dir, LocalOptions::new(topics, PARTITIONS))?;
    for (batch, callers) in [(1_000, 1), (1_000, 4), (10_000, 1)] {
        let began = monotonic();
        append(&store, batch, callers)?;
        let rate = RECORDS as f64 / began.elapsed().as_secs_f64();
        println!("append, batches of {batch}, {callers} callers: {rate:.0} records/s");
    }
    let mut log = store.member();
    while !log.init()? {}
    let Polled::Assigned { group, .. } = log.poll(Duration::ZERO)? else { return Err("not assigned".into()) };
    let inputs: Vec<_> =
        (0..PARTITIONS).map(|partition| (TopicPartition { topic: TopicId(0), partition }, 0)).collect();
    log.assign(&inputs)?;
    let (began, mut seen) = (monotonic(), 0);
    while seen < RECORDS * 3 {
        if let Polled::Records(batch) = log.poll(Duration::ZERO)? {
            seen += batch.len();
        }
    }
    println!("poll: {:.0} records/s", seen as f64 / began.elapsed().as_secs_f64());
    // The first line fills the compacted topic; the others show what replacing costs then.
    for (risks, scores) in [(0, 10_000), (10, 10), (100, 100), (2_000, 0), (0, 1_000), (10_000, 10_000)] {
        let mut times = Vec::new();
        for round in 0..COMMITS.min(2_000_000 / (risks + scores)) {
            let began = monotonic();
            log.begin()?;
            for index in 0..risks + scores {
                let topic = TopicId(if index < risks { 1 } else { 2 });
                let to = TopicPartition { topic, partition: (index % 4) as u32 };
                // A hundred thousand accounts take turns, scattered: 7919 is prime to their number.
                let key = format!("account-{:06}", (round * (risks + scores) + index) * 7919 % ACCOUNTS);
                let (key, value) = (Some(key.into_bytes()), Some(vec![b'x'; RECORD_BYTES]));
                log.send(&OutRecord { to, key, value, headers: Vec::new(), timestamp_ms: 0 })?;
            }
            let position = CommittedPosition { position: 1, metadata: round.to_string() };
            log.send_offsets(&[(inputs[0].0, position)], &group)?;
            while log.commit()? != CommitOutcome::Committed {}
            times.push(began.elapsed());
        }
        times.sort();
        let (half, most) = (times[times.len() / 2], times[times.len() * 9 / 10]);
        println!("commit of {risks} risks + {scores} compacted scores: p50 {half:.1?}, p90 {most:.1?}");
    }
    Ok(())
}

fn append(store: &Arc<LocalStore>, batch: usize, callers: usize) -> Result<(), Box<dyn Error>> {
    let threads: Vec<_> = (0..callers)
        .map(|caller| {
            let store = Arc::clone(store);
            std::thread::spawn(move || {
                for round in 0..RECORDS / callers / batch {
                    let record = |index: usize| AppendRecord {
                        at: TopicPartition { topic: TopicId(0), partition: (index % 4) as u32 },
                        key: Some(format!("account-{caller}-{index}").into_bytes()),
                        value: Some(vec![round as u8; RECORD_BYTES]),
                        headers: Vec::new(),
                        timestamp_ms: 0,
                    };
                    store.append((0..batch).map(record).collect())?;
                }
                Ok::<(), accountpulse::log::local::LocalError>(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a caller panicked")??;
    }
    Ok(())
}
