//! A disk that fails: the reason is told, nothing acknowledged is lost, nothing is corrupted.

mod crash;

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{Builder, StorageBackend};
use tempfile::TempDir;

use super::writer::Work;
use super::*;
use crate::log::{
    AppendRecord, CommitOutcome, CommittedPosition, Log, OutRecord, Polled, RecordBatch, TopicId,
};

/// Numbers of the system for a full, a read-only, a limited and a broken disk.
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
const EFBIG: i32 = 27;
const EIO: i32 = 5;
const IN: TopicPartition = TopicPartition { topic: TopicId(0), partition: 0 };
const OUT: TopicPartition = TopicPartition { topic: TopicId(1), partition: 0 };

/// What the disk does.
#[derive(Debug, Default)]
struct Health {
    /// Writes left before it is full; counts down only while `limited`.
    left: AtomicU64,
    limited: AtomicBool,
    /// What it then says.
    code: AtomicI32,
}

impl Health {
    fn allow(&self, writes: u64) {
        self.allow_then(writes, ENOSPC);
    }

    fn allow_then(&self, writes: u64, code: i32) {
        self.code.store(code, Ordering::SeqCst);
        self.left.store(writes, Ordering::SeqCst);
        self.limited.store(true, Ordering::SeqCst);
    }

    fn heal(&self) {
        self.limited.store(false, Ordering::SeqCst);
    }

    fn spend(&self) -> io::Result<()> {
        if !self.limited.load(Ordering::SeqCst) {
            return Ok(());
        }
        let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        spent.map(|_| ()).map_err(|_| io::Error::from_raw_os_error(self.code.load(Ordering::SeqCst)))
    }
}

#[derive(Debug)]
struct Disk {
    file: FileBackend,
    health: Arc<Health>,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.health.spend()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.health.spend()?;
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.health.spend()?;
        self.file.write(offset, data)
    }
}

fn options() -> LocalOptions {
    let topic =
        |name: &str, kind, compacted| LocalTopic { name: name.into(), kind, compacted, retention_ms: None };
    LocalOptions::new(vec![topic("in", TopicKind::Input, false), topic("out", TopicKind::Output, true)], 1)
}

fn open_on(dir: &Path, health: &Arc<Health>) -> Arc<LocalStore> {
    let (path, health) = (dir.join(FILE_NAME), Arc::clone(health));
    let open = move || {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        #[allow(deprecated, reason = "the constructor of this version; the next one changes its type only")]
        let file = FileBackend::new(file)?;
        Builder::new().create_with_backend(Disk { file, health: Arc::clone(&health) })
    };
    LocalStore::with_opener(Box::new(open), dir, &options()).unwrap()
}

fn append(store: &LocalStore, value: &str) -> Result<Offset, LocalError> {
    let record =
        AppendRecord { at: IN, key: None, value: Some(value.into()), headers: Vec::new(), timestamp_ms: 0 };
    store.append(vec![record]).map(|offsets| offsets[0])
}

/// Begins a transaction with one output and position 1.
fn fill(log: &mut LocalLog) {
    while !log.init().unwrap() {}
    let Polled::Assigned { group, .. } = log.poll(std::time::Duration::ZERO).unwrap() else { panic!() };
    log.begin().unwrap();
    let (key, value) = (Some(b"k".to_vec()), Some(b"out".to_vec()));
    log.send(&OutRecord { to: OUT, key, value, headers: Vec::new(), timestamp_ms: 0 }).unwrap();
    let position = CommittedPosition { position: 1, metadata: "1".into() };
    log.send_offsets(&[(IN, position)], &group).unwrap();
}

fn values(store: &LocalStore, at: TopicPartition) -> Vec<Vec<u8>> {
    let (batch, _) = store.read(at, 0, usize::MAX).unwrap();
    (0..batch.len()).map(|index| batch.get(index).value.unwrap().to_vec()).collect()
}

/// Fails the disk after every possible number of writes, and looks what is left.
#[test]
fn a_full_disk_at_any_write_loses_nothing_acknowledged_and_tears_nothing() {
    let mut failures = 0;
    for writes in 0..200 {
        let (dir, health) = (TempDir::new().unwrap(), Arc::new(Health::default()));
        let store = open_on(dir.path(), &health);
        append(&store, "before").unwrap();
        let mut log = store.member();
        fill(&mut log);
        health.allow(writes);
        let mut acknowledged = vec![b"before".to_vec()];
        let committed = loop {
            match log.commit() {
                Ok(CommitOutcome::Pending) => {}
                other => break other,
            }
        };
        let after = append(&store, "after");
        if after.is_ok() {
            acknowledged.push(b"after".to_vec());
        } else {
            failures += 1;
            let said = append(&store, "again").unwrap_err().to_string();
            assert!(said.contains("its disk is full") && said.contains("make room"), "{said}");
            assert!(store.watermarks(IN).is_err() && store.member().init().is_err());
        }
        drop(log);
        drop(store);
        let store = LocalStore::open(dir.path(), options()).unwrap();
        let found = values(&store, IN);
        assert!(found.starts_with(&acknowledged), "{writes}: {found:?}");
        let (output, position) = (values(&store, OUT).len(), store.position(IN).unwrap());
        assert_eq!(output == 1, position.is_some(), "{writes}: torn");
        match committed {
            Ok(CommitOutcome::Committed) => assert_eq!(output, 1, "{writes}"),
            Ok(outcome) => assert_eq!(outcome, CommitOutcome::Indefinite),
            Err(_) => assert_eq!(output, 0, "{writes}: told as failed, yet there"),
        }
        if after.is_ok() {
            assert!(failures > 3, "the disk never failed");
            return;
        }
    }
    panic!("200 writes were not enough");
}

#[test]
fn each_trouble_of_a_disk_has_its_own_next_step() {
    let cases = [
        (ENOSPC, "its disk is full", "make room there"),
        (EROFS, "its file system is read-only", "mount it writable"),
        (EFBIG, "a limit of the process", "ulimit -f"),
        (EIO, "the disk does not do it", "how it is mounted"),
    ];
    for (code, what, next) in cases {
        let (dir, health) = (TempDir::new().unwrap(), Arc::new(Health::default()));
        let store = open_on(dir.path(), &health);
        append(&store, "before").unwrap();
        health.allow_then(0, code);
        let said = append(&store, "refused").unwrap_err().to_string();
        let place = dir.path().display().to_string();
        assert!(said.contains(what) && said.contains(next) && said.contains(&place), "{said}");
        assert!(said.contains("nothing acknowledged is lost"), "{said}");
    }
}

#[test]
fn a_disk_that_is_well_again_is_used_again_and_members_from_before_are_fenced() {
    let (dir, health) = (TempDir::new().unwrap(), Arc::new(Health::default()));
    let store = open_on(dir.path(), &health);
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    store.on_trouble(move |trouble| list.lock().unwrap().push(trouble.is_some()));
    append(&store, "before").unwrap();
    let mut log = store.member();
    fill(&mut log);
    health.allow(2);
    assert!(append(&store, "lost").is_err());
    assert!(store.trouble().is_some() && store.read(IN, 0, 1).is_err());

    health.heal();
    let (began, mut seen) = (crate::clock::monotonic(), store.changes());
    while store.trouble().is_some() {
        assert!(crate::clock::monotonic().duration_since(began).as_secs() < 60, "it does not come back");
        // A failed store lets nobody wait: the clock does.
        crate::clock::pause(std::time::Duration::from_millis(20));
        seen = store.wait_for_change(seen, std::time::Duration::ZERO);
    }
    let told = told.lock().unwrap().clone();
    assert!(told.first() == Some(&true) && told.last() == Some(&false), "{told:?}");
    append(&store, "after").unwrap();
    let found = values(&store, IN);
    assert!(found.first().unwrap() == b"before" && found.last().unwrap() == b"after", "{found:?}");
    let outcome = loop {
        match log.commit().unwrap() {
            CommitOutcome::Pending => {}
            outcome => break outcome,
        }
    };
    assert_eq!((outcome, values(&store, OUT).len()), (CommitOutcome::Fenced, 0));
    let mut next = store.member();
    fill(&mut next);
    while next.commit().unwrap() == CommitOutcome::Pending {}
    assert_eq!(values(&store, OUT).len(), 1);
    assert!(!dir.path().join("log.probe").exists());
}

#[test]
fn a_full_queue_is_told_and_what_was_taken_is_served() {
    let dir = TempDir::new().unwrap();
    let store = LocalStore::open(dir.path(), options()).unwrap();
    // The store has one write transaction at a time: the writer waits for this one.
    let stalled = store.db.with(|db| db.begin_write().unwrap()).unwrap();
    let mut taken = Vec::new();
    // The writer has at most one group in hand, so two queues full are more than it can take.
    for _ in 0..=2 * MAX_QUEUED_REQUESTS {
        match store.offer(Work::Fence, 0) {
            Ok(answer) => taken.push(answer),
            Err(error) => {
                assert!(matches!(error, LocalError::Busy), "{error}");
                break;
            }
        }
    }
    assert!(taken.len() <= 2 * MAX_QUEUED_REQUESTS, "never refused");
    assert!(matches!(append(&store, "refused"), Err(LocalError::Busy)));
    stalled.abort().unwrap();
    assert!(taken.into_iter().all(|answer| answer.recv().unwrap().is_ok()));
    assert_eq!(append(&store, "taken").unwrap(), 0);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let dir = TempDir::new().unwrap();
    let refused = |change: fn(&mut Vec<LocalTopic>)| {
        let mut options = options();
        change(&mut options.topics);
        LocalStore::open(dir.path(), options).map(|_| ()).unwrap_err().to_string()
    };
    assert!(refused(|topics| topics[1].retention_ms = Some(1)).contains("remove its retention"));
    assert!(refused(|topics| topics[0].compacted = true).contains("cannot be compacted"));
    assert!(refused(|topics| topics[1].name = "in".into()).contains("is named twice"));
}
