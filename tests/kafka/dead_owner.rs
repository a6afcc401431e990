//! A worker dies with an open transaction on the output partitions and does not come back. Its
//! successor must wait until the cluster has ended that transaction, and must then have seen all
//! that is behind it: nothing twice, nothing forgotten, also when the successor dies and returns.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use accountpulse::app::kafka_link::KafkaLink;
use accountpulse::app::running::worker_settings;
use accountpulse::clock;
use accountpulse::config::Config;
use accountpulse::engine::event::{Intake, Kind, PersonKey};
use accountpulse::log::kafka::KafkaLog;
use accountpulse::log::{
    CommitOutcome, Committed, CommittedPosition, Drain, GroupMetadata, Log, LogError, Offset, OutRecord,
    Polled, ReadRange, SweepAs, TopicPartition, Watermarks,
};
use accountpulse::worker::{Now, RebuildReason, Wake, Worker};

use super::fleet::{Fleet, INPUTS, PARTITIONS, TOPICS};
use crate::process::oracle::{last_words, replay};
use crate::process::{history, write_lines};
use crate::support::python::Produce;
use crate::support::{Broker, Listener, Options};

const EVENTS: usize = 4_000;
/// 2026-03-02T00:00:00Z
const END_MS: i64 = 1_772_409_600_000;
const EVENT_CLOCK: &str = "clock:\n  mode: event\n  lateness: 0s\ncheckpoint_round: 1s\n";
/// Commits before the owner dies: enough to have told something.
const COMMITS: u32 = 4;

/// The call before which the owner dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dies {
    Never,
    /// Outputs are acknowledged, positions are not in the transaction.
    BeforeOffsets,
    /// Positions are in the transaction.
    BeforeCommit,
}

/// A log handle whose owner dies in the middle of a commit.
struct Mortal {
    log: KafkaLog,
    dies: Dies,
    left: Rc<Cell<u32>>,
}

impl Mortal {
    fn may_die(&self, at: Dies) -> Result<(), LogError> {
        if self.dies == at && self.left.get() == 0 {
            return Err(LogError::Store { detail: "dead".to_owned() });
        }
        Ok(())
    }
}

impl Log for Mortal {
    type Batch = <KafkaLog as Log>::Batch;

    fn init(&mut self) -> Result<bool, LogError> {
        self.log.init()
    }
    fn poll(&mut self, wait: Duration) -> Result<Polled<Self::Batch>, LogError> {
        self.log.poll(wait)
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
    ) -> Result<ReadRange<Self::Batch>, LogError> {
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
        self.may_die(Dies::BeforeOffsets)?;
        self.log.send_offsets(positions, group)
    }
    fn commit(&mut self) -> Result<CommitOutcome, LogError> {
        self.may_die(Dies::BeforeCommit)?;
        let outcome = self.log.commit()?;
        self.left.set(self.left.get().saturating_sub(u32::from(outcome == CommitOutcome::Committed)));
        Ok(outcome)
    }
    fn abort(&mut self) -> Result<(), LogError> {
        self.log.abort()
    }
    fn settled(&mut self, partitions: &[TopicPartition]) -> Result<Committed, LogError> {
        self.log.settled(partitions)
    }
    fn stable_end(&mut self, at: TopicPartition) -> Result<Offset, LogError> {
        self.log.stable_end(at)
    }
    fn sweep(&mut self, partitions: &[TopicPartition], how: SweepAs) -> Result<(), LogError> {
        self.log.sweep(partitions, how)
    }
}

/// One process, in this thread.
struct Owner {
    worker: Worker<Mortal>,
    left: Rc<Cell<u32>>,
    _link: KafkaLink,
}

impl Owner {
    fn new(fleet: &Fleet, instance: &str, dies: Dies) -> Owner {
        let path = fleet.config(instance);
        let mut config = Config::load(&path, &|_| None).unwrap();
        // Longer than a session, which the configuration would not allow: the successor must meet it.
        config.kafka.transaction_timeout = Duration::from_secs(15);
        let link = KafkaLink::open(&config).unwrap();
        let left = Rc::new(Cell::new(COMMITS));
        let log = Mortal { log: link.cluster.member(0).unwrap(), dies, left: Rc::clone(&left) };
        let intake = Intake { person_key: PersonKey::new([0; 16]), skew_ms: 600_000, partitions: PARTITIONS };
        let mut settings = worker_settings(&config, &link.topics);
        // Many small commits, however fast events come in.
        settings.max_effects = 20;
        let worker = Worker::new(log, settings, Arc::clone(&config.engine), intake).unwrap();
        Owner { worker, left, _link: link }
    }

    /// Steps until `done`, or until the worker says why it cannot go on.
    fn run(&mut self, done: impl Fn(&Owner) -> bool) -> Option<Arc<RebuildReason>> {
        while !done(self) {
            match self.worker.step(Now { wall_ms: clock::wall_ms() }) {
                Wake::Immediately | Wake::Idle => {}
                Wake::At(at_ms) => {
                    let wait_ms = at_ms.saturating_sub(clock::wall_ms()).clamp(0, 50);
                    clock::pause(Duration::from_millis(wait_ms.unsigned_abs()));
                }
                Wake::Rebuild { reason } => return Some(reason),
                Wake::Stopped => panic!("nobody asked for it"),
            }
        }
        None
    }
}

fn survives(dies: Dies) {
    let broker = Broker::start(Options::plain());
    broker.warm_up();
    let bootstrap = broker.bootstrap(Listener::Plain);
    let fleet = Fleet::new(&bootstrap, EVENT_CLOCK);
    fleet.create_topics();
    let mut events = history(60, 60, EVENTS, END_MS);
    events.extend(last_words(PARTITIONS, &[Kind::Login, Kind::Ticket], END_MS + 2 * 86_400_000));
    let oracle = replay(fleet.folder(), fleet.config("oracle").to_str().unwrap(), &INPUTS, &events);
    assert!(oracle.risks.len() > 10, "only {} transitions: the history is too calm", oracle.risks.len());
    let file = fleet.folder().join("events.jsonl");
    write_lines(&file, events.iter());
    let sent = Produce::to(&bootstrap)
        .topic("login", TOPICS[0])
        .topic("usage", TOPICS[0])
        .topic("*", TOPICS[1])
        .send(&[&file]);
    assert_eq!(sent, events.len() as u64);

    let mut gone = Owner::new(&fleet, "gone", dies);
    let reason = gone.run(|_| false).unwrap();
    assert!(reason.to_string().contains("dead"), "{reason}");
    assert!(fleet.committed() > 0, "it died before it had done anything");
    drop(gone);

    let mut heir = Owner::new(&fleet, "heir", Dies::Never);
    assert!(heir.run(|owner| owner.left.get() < COMMITS).is_none(), "its successor could not go on");
    drop(heir);
    let mut again = Owner::new(&fleet, "heir", Dies::Never);
    let all = events.len() as u64 - u64::from(PARTITIONS);
    assert!(again.run(|_| fleet.committed() >= all).is_none());
    drop(again);
    fleet.read().assert_same(&oracle);
}

#[test]
fn outputs_without_positions_of_an_owner_that_never_returns() {
    survives(Dies::BeforeOffsets);
}

#[test]
fn outputs_and_positions_of_an_owner_that_never_returns() {
    survives(Dies::BeforeCommit);
}
