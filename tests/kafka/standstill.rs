//! Input that is not delivered, on a real cluster: what a live worker finds beside its group, and
//! what it must not take for something to deliver.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use accountpulse::clock;
use accountpulse::engine::EngineConfig;
use accountpulse::engine::event::{Encoding, Intake, PersonKey};
use accountpulse::log::kafka::{KafkaBatch, KafkaLog, KafkaOptions};
use accountpulse::log::{
    CommitOutcome, Committed, CommittedPosition, Drain, GroupMetadata, Log, LogError, Offset, OutRecord,
    Polled, ReadRange, TopicId, TopicPartition, Watermarks,
};
use accountpulse::worker::{
    ClockMode, InputTopic, Now, OutputTopics, PhaseName, RebuildReason, Wake, Worker, WorkerSettings,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::cluster::Cluster;
use crate::harness::{Harness, at};
use crate::support::shared;

const LONG: Duration = Duration::from_secs(60);
/// Long enough for many looks.
const MANY_LOOKS: Duration = Duration::from_secs(6);
/// How long an input may say nothing here.
const STANDSTILL_MS: i64 = 200;
const IN: TopicId = TopicId(0);

/// A member that may cease to deliver, and counts what is read beside it.
struct Withholding {
    log: KafkaLog,
    withholds: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
}

impl Log for Withholding {
    type Batch = KafkaBatch;

    fn init(&mut self) -> Result<bool, LogError> {
        self.log.init()
    }
    fn poll(&mut self, wait: Duration) -> Result<Polled<KafkaBatch>, LogError> {
        match self.log.poll(wait)? {
            Polled::Records(_) | Polled::Drained { .. } if self.withholds.load(Ordering::Relaxed) => {
                Ok(Polled::Idle)
            }
            seen => Ok(seen),
        }
    }
    fn assign(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.log.assign(positions)
    }
    fn unassign(&mut self) -> Result<(), LogError> {
        self.log.unassign()
    }
    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Committed, LogError> {
        self.log.committed(partitions)
    }
    fn watermarks(&mut self, at: TopicPartition) -> Result<Watermarks, LogError> {
        self.log.watermarks(at)
    }
    fn read_range(
        &mut self,
        at: TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<ReadRange<KafkaBatch>, LogError> {
        self.reads.fetch_add(u64::from(at.topic == IN), Ordering::Relaxed);
        self.log.read_range(at, from, max_bytes)
    }
    fn begin(&mut self) -> Result<(), LogError> {
        self.log.begin()
    }
    fn send(&mut self, record: &OutRecord) -> Result<(), LogError> {
        self.log.send(record)
    }
    fn drain(&mut self) -> Result<Drain, LogError> {
        self.log.drain()
    }
    fn last_sent(&self, at: TopicPartition) -> Option<Offset> {
        self.log.last_sent(at)
    }
    fn send_offsets(
        &mut self,
        positions: &[(TopicPartition, CommittedPosition)],
        group: &GroupMetadata,
    ) -> Result<(), LogError> {
        self.log.send_offsets(positions, group)
    }
    fn commit(&mut self) -> Result<CommitOutcome, LogError> {
        self.log.commit()
    }
    fn abort(&mut self) -> Result<(), LogError> {
        self.log.abort()
    }
    fn stable_end(&mut self, at: TopicPartition) -> Result<Offset, LogError> {
        self.log.stable_end(at)
    }
}

/// A worker on a cluster of its own.
struct Scene {
    cluster: Cluster,
    worker: Option<Worker<Withholding>>,
    withholds: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
    consumed: u64,
}

impl Scene {
    fn new() -> Scene {
        let all = Cluster::with(&["in", "letters"], 1, &[]);
        let cluster = Cluster::of(KafkaOptions { inputs: vec![IN], ..all.options });
        let (withholds, reads) = (Arc::default(), Arc::default());
        let mut scene = Scene { cluster, worker: None, withholds, reads, consumed: 0 };
        scene.start();
        scene
    }

    /// A new worker in place of the one there was; it is live.
    fn start(&mut self) {
        self.worker = None;
        let log = Withholding {
            log: self.cluster.cluster.member(0).unwrap(),
            withholds: Arc::clone(&self.withholds),
            reads: Arc::clone(&self.reads),
        };
        let input = InputTopic { topic: IN, name: "in".to_owned(), encoding: Encoding::Auto };
        let (letters, out, state) = (TopicId(1), TopicId(2), TopicId(3));
        let outputs = OutputTopics { scores: out, risks: out, dead_letters: letters, checkpoints: state };
        let clock = ClockMode::Wall { lateness_ms: 0 };
        let mut settings = WorkerSettings::new(vec![input], outputs, 1, clock);
        settings.standstill_ms = STANDSTILL_MS;
        let intake = Intake { person_key: PersonKey::new([7; 16]), skew_ms: 60_000, partitions: 1 };
        let config = Arc::new(EngineConfig::default());
        self.worker = Some(Worker::new(log, settings, config, intake).unwrap());
        let status = |scene: &Scene| scene.worker.as_ref().unwrap().status();
        assert!(self.drive(LONG, |scene| status(scene).phase == PhaseName::Live).is_none());
        assert!(status(self).ready, "{:?}", status(self));
        self.reads.store(0, Ordering::Relaxed);
    }

    /// Steps until that, or for so long; why the worker was given up, if it was.
    fn drive(&mut self, longest: Duration, done: impl Fn(&Scene) -> bool) -> Option<Arc<RebuildReason>> {
        let began = clock::monotonic();
        while clock::monotonic().duration_since(began) < longest && !done(self) {
            let worker = self.worker.as_mut().unwrap();
            let wake = worker.step(Now { wall_ms: clock::wall_ms() });
            self.consumed += worker.take_counts().consumed_total();
            if let Wake::Rebuild { reason } = wake {
                return Some(reason);
            }
        }
        None
    }

    fn assert_consumes(&mut self, records: u64) {
        let given_up = self.drive(LONG, |scene| scene.consumed >= records);
        assert!(given_up.is_none(), "{given_up:?}");
        let status = self.worker.as_ref().unwrap().status();
        assert_eq!(self.consumed, records, "{status:?}");
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

#[test]
fn a_record_that_another_reader_finds_ends_the_worker_and_the_next_one_reads_it() {
    let mut scene = Scene::new();
    scene.cluster.append(at(IN, 0), "k", "{");
    scene.assert_consumes(1);
    scene.withholds.store(true, Ordering::Relaxed);
    scene.cluster.append(at(IN, 0), "k", "{");
    let reason = scene.drive(LONG, |_| false).expect("nobody noticed");
    assert!(matches!(*reason, RebuildReason::Standstill { partition: 0, offset: 1, .. }), "{reason}");
    assert!(scene.reads() > 0);
    scene.withholds.store(false, Ordering::Relaxed);
    scene.start();
    scene.assert_consumes(2);
}

#[test]
fn aborted_records_and_an_open_transaction_upstream_are_waited_for() {
    let mut scene = Scene::new();
    let name = scene.cluster.options.topics[0].clone();
    let mut config = shared().config();
    let config = config.set("transactional.id", format!("{name}.upstream"));
    let upstream: BaseProducer = config.set("transaction.timeout.ms", "120000").create().unwrap();
    upstream.init_transactions(LONG).unwrap();
    let write = || {
        upstream.begin_transaction().unwrap();
        upstream.send(BaseRecord::<[u8], str>::to(&name).partition(0).payload("{")).unwrap();
        upstream.flush(LONG).unwrap();
    };
    write();
    upstream.abort_transaction(LONG).unwrap();
    write();
    let given_up = scene.drive(MANY_LOOKS, |_| false);
    assert!(given_up.is_none(), "{given_up:?}");
    // The end that committed readers see is behind the aborted record, so it was looked for one.
    assert!(scene.reads() > 0, "it was never looked after");
    assert_eq!(scene.consumed, 0);
    upstream.commit_transaction(LONG).unwrap();
    scene.assert_consumes(1);
}
