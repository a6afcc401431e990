//! Killed in mid-write: what the disk holds after any cut of the store's writes opens again, with
//! everything that was acknowledged before the cut. A killed process leaves every write that it made;
//! a power cut may leave any of those since the last sync, the last of them torn. Here both are
//! played over the recorded writes, so they need no power switch.

use std::sync::Mutex;

use redb::backends::InMemoryBackend;

use super::*;

/// What was done to the disk.
#[derive(Clone, Debug)]
enum Act {
    Write(u64, Vec<u8>),
    Length(u64),
    Sync,
}

/// A disk in memory that remembers what was done to it.
#[derive(Debug)]
struct Recorder {
    disk: InMemoryBackend,
    acts: Arc<Mutex<Vec<Act>>>,
}

impl StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.acts.lock().unwrap().push(Act::Length(len));
        self.disk.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.acts.lock().unwrap().push(Act::Sync);
        self.disk.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.acts.lock().unwrap().push(Act::Write(offset, data.to_vec()));
        self.disk.write(offset, data)
    }
}

/// What was acknowledged once so many acts were done.
struct Acknowledged {
    acts: usize,
    inputs: usize,
    outputs: usize,
}

/// Appends and commits by turns, with what was acknowledged when.
fn record() -> (Vec<Act>, Vec<Acknowledged>) {
    let dir = TempDir::new().unwrap();
    let acts = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&acts);
    let open = move || {
        let disk = InMemoryBackend::new();
        Builder::new().create_with_backend(Recorder { disk, acts: Arc::clone(&kept) })
    };
    let store = LocalStore::with_opener(Box::new(open), dir.path(), &options()).unwrap();
    let mut told = vec![Acknowledged { acts: acts.lock().unwrap().len(), inputs: 0, outputs: 0 }];
    let mut log = store.member();
    while !log.init().unwrap() {}
    let Polled::Assigned { group, .. } = log.poll(std::time::Duration::ZERO).unwrap() else { panic!() };
    for round in 1..=6_usize {
        // One that fills pages of its own, too.
        let long = "x".repeat(20_000 * (round % 3));
        append(&store, &format!("{round}{long}")).unwrap();
        told.push(Acknowledged { acts: acts.lock().unwrap().len(), inputs: round, outputs: round - 1 });
        log.begin().unwrap();
        let (key, value) = (Some(round.to_string().into_bytes()), Some(b"out".to_vec()));
        log.send(&OutRecord { to: OUT, key, value, headers: Vec::new(), timestamp_ms: 0 }).unwrap();
        let position = CommittedPosition { position: round as u64, metadata: round.to_string() };
        log.send_offsets(&[(IN, position)], &group).unwrap();
        while log.commit().unwrap() == CommitOutcome::Pending {}
        told.push(Acknowledged { acts: acts.lock().unwrap().len(), inputs: round, outputs: round });
    }
    // Without the orderly end, which is another write.
    let acts = acts.lock().unwrap().clone();
    (acts, told)
}

/// What survives of the acts before a cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// All of them: the process was killed.
    Killed,
    /// Those up to the last sync, and none since.
    LostSinceSync,
    /// Those up to the last sync, and some since, chosen by a seed; one of them half.
    SomeSinceSync(u64),
}

/// A small generator: the same seed, the same choice.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn image(acts: &[Act], cut: Cut) -> Vec<u8> {
    let synced = acts.iter().rposition(|act| matches!(act, Act::Sync)).unwrap_or(0);
    let mut disk = Vec::new();
    let mut seed = if let Cut::SomeSinceSync(seed) = cut { seed } else { 0 };
    for (index, act) in acts.iter().enumerate() {
        let mut half = false;
        if index > synced {
            match cut {
                Cut::Killed => {}
                Cut::LostSinceSync => break,
                Cut::SomeSinceSync(_) => match next(&mut seed) % 4 {
                    0 => half = true,
                    1 => continue,
                    _ => {}
                },
            }
        }
        match act {
            Act::Sync => {}
            Act::Length(len) => disk.resize(*len as usize, 0),
            Act::Write(offset, data) => {
                let data = if half { &data[..data.len() / 2] } else { data };
                let end = *offset as usize + data.len();
                if disk.len() < end {
                    disk.resize(end, 0);
                }
                disk[*offset as usize..end].copy_from_slice(data);
            }
        }
    }
    disk
}

fn open_image(bytes: &[u8]) -> Result<Arc<LocalStore>, LocalError> {
    let dir = TempDir::new().unwrap();
    let bytes = bytes.to_vec();
    let open = move || {
        let disk = InMemoryBackend::new();
        disk.set_len(bytes.len() as u64)?;
        disk.write(0, &bytes)?;
        Builder::new().create_with_backend(disk)
    };
    LocalStore::with_opener(Box::new(open), dir.path(), &options())
}

#[test]
fn whatever_a_cut_leaves_opens_with_everything_acknowledged() {
    let (acts, told) = record();
    let first = told[0].acts;
    let syncs = acts.iter().filter(|act| matches!(act, Act::Sync)).count();
    assert!(syncs > 12 && acts.len() > 60, "{syncs} syncs, {} acts", acts.len());
    let mut cuts = 0;
    for end in first..=acts.len() {
        let some = (0..4).map(|seed| Cut::SomeSinceSync(seed * 1_000_003 + end as u64));
        for cut in [Cut::Killed, Cut::LostSinceSync].into_iter().chain(some) {
            let safe = told.iter().rfind(|told| told.acts <= end).unwrap();
            let store = open_image(&image(&acts[..end], cut))
                .unwrap_or_else(|error| panic!("{cut:?} after {end} acts: {error}"));
            let (inputs, outputs) = (values(&store, IN), values(&store, OUT));
            assert!(inputs.len() >= safe.inputs, "{cut:?} after {end} acts: an input is lost");
            assert!(outputs.len() >= safe.outputs, "{cut:?} after {end} acts: an output is lost");
            let position = store.position(IN).unwrap().map_or(0, |known| known.position);
            assert_eq!(outputs.len() as u64, position, "{cut:?} after {end} acts: torn");
            let in_order =
                inputs.iter().zip(1..).all(|(value, round)| value.starts_with(format!("{round}").as_bytes()));
            assert!(in_order, "{cut:?} after {end} acts: {} inputs", inputs.len());
            assert_eq!(append(&store, "goes on").unwrap(), inputs.len() as u64, "{cut:?} after {end} acts");
            cuts += 1;
        }
    }
    assert!(cuts > 300, "{cuts}");
}
