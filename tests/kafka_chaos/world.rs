//! A broker, three processes (sometimes four) and a producer, and what is done to them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use accountpulse::clock;
use accountpulse::simulate::{Random, SimEvent};

use crate::fleet::{Fleet, Patience, Shape, TOPICS};
use crate::group;
use crate::plan::Strike;
use crate::process::Process;
use crate::process::lines::Lines;
use crate::support::python::{self, Produce};
use crate::support::{Broker, Listener, Options};

/// The processes that work all the time.
const RESIDENTS: [&str; 3] = ["one", "two", "three"];
/// The one that comes and goes.
const GUEST: &str = "four";
/// Partitions of every topic.
pub const PARTITIONS: u32 = 5;
/// As short as a loaded machine allows: who is away for good is given up soon.
const SESSION_S: u32 = 5;
const TRANSACTION_S: u32 = 3;
/// Events a second, so that the work lasts as long as the faults.
const RATE: u32 = 2_000;
/// Longest answer of the cluster that is waited for.
const ANSWER: Duration = Duration::from_secs(5);
/// Events that may wait for something later in the other input, or for the rest of a transaction.
const UNDECIDED: u64 = 1_000;
/// Lines of each instance that a failure shows.
const SHOWN_LINES: usize = 25;

/// How often each fault was fired.
#[derive(Clone, Debug, Default)]
pub struct Fired {
    /// `kill -9` of a process.
    pub kills: u32,
    /// Of these, while it recovered from the one before.
    pub kills_in_recovery: u32,
    /// Of these, while the broker was away.
    pub kills_without_broker: u32,
    /// `kill -9` of the broker.
    pub bounces: u32,
    /// Processes that joined, the first three left out.
    pub joined: u32,
    /// Processes that ended in good order.
    pub left: u32,
    /// Processes that the group gave up because they were silent for a session.
    pub given_up: u32,
    /// Of these, frozen ones that went on afterwards.
    pub frozen: u32,
    /// Generations of the group since the first three stood: what all that led to.
    pub rebalances: u32,
}

/// See the module.
pub struct World {
    // In the order in which they are to end.
    instances: BTreeMap<&'static str, Process>,
    producer: Option<Producer>,
    pub fleet: Fleet,
    pub broker: Broker,
    random: Random,
    pub fired: Fired,
    first_generation: u32,
    /// What instances said that live no more.
    past: Vec<(&'static str, Arc<Lines>)>,
    /// Records given to the producer.
    given: u64,
}

/// Somebody else's producer, and the thread that hands it lines.
struct Producer {
    child: Child,
    lines: Sender<Vec<u8>>,
    feeder: JoinHandle<()>,
}

impl World {
    /// A broker with empty topics, and nobody at work.
    pub fn new(config: &str, random: Random) -> World {
        let broker = Broker::start(Options::plain().own_controller());
        broker.warm_up();
        let mut random = random;
        let shape = Shape {
            partitions: PARTITIONS,
            workers: 1 + random.below(2) as u32,
            session_s: SESSION_S,
            transaction_s: TRANSACTION_S,
        };
        let fleet = Fleet::shaped(&broker.bootstrap(Listener::Plain), config, shape);
        fleet.create_topics();
        World {
            instances: BTreeMap::new(),
            producer: None,
            fleet,
            broker,
            random,
            fired: Fired::default(),
            first_generation: 0,
            past: Vec::new(),
            given: 0,
        }
    }

    /// Starts the three, and waits until they share the work.
    pub fn begin(&mut self) {
        RESIDENTS.into_iter().for_each(|name| self.start(name));
        for name in RESIDENTS {
            self.until_member(name, true);
        }
        self.first_generation = self.generation();
        let (lines, given) = channel::<Vec<u8>>();
        let mut child = self.produce().rate(RATE).fed();
        let mut pipe = child.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || {
            // The pipe closes with its end. A script that died is noticed when it is asked how it went.
            given.into_iter().take_while(|lines| pipe.write_all(lines).is_ok()).for_each(drop);
        });
        self.producer = Some(Producer { child, lines, feeder });
    }

    fn produce(&self) -> Produce {
        Produce::to(&self.broker.bootstrap(Listener::Plain))
            .topic("login", TOPICS[0])
            .topic("usage", TOPICS[0])
            .topic("*", TOPICS[1])
    }

    /// Hands events to the producer, which sends them in its own time.
    pub fn give(&mut self, events: &[SimEvent]) {
        let mut lines = Vec::new();
        for event in events {
            lines.extend_from_slice(&event.json);
            lines.push(b'\n');
            self.given += 1;
        }
        let producer = self.producer.as_ref().expect("it has begun");
        assert!(producer.lines.send(lines).is_ok(), "the producer is gone");
    }

    /// Writes events before anybody works; all of them are there when it returns.
    pub fn write(&mut self, events: &[SimEvent]) {
        let file = self.fleet.folder().join("before.jsonl");
        crate::process::write_lines(&file, events.iter());
        assert_eq!(self.produce().send(&[&file]), events.len() as u64);
        self.given += events.len() as u64;
    }

    /// Hands out a part of the events, and strikes when a random share of it has been handled.
    pub fn strike(&mut self, strike: Strike, events: &[SimEvent]) {
        let share = self.random.below(events.len() as u64);
        let target = (self.given + share).saturating_sub(UNDECIDED);
        // What is left is for those that go on behind somebody's back.
        let now = if strike == Strike::Freeze { events.len() / 2 } else { events.len() };
        self.give(&events[..now]);
        self.until_handled(target.min(self.given.saturating_sub(UNDECIDED)));
        match strike {
            Strike::Kill => {
                let name = self.victim();
                self.kill(name);
                self.start(name);
            }
            Strike::KillTwice => {
                let name = self.victim();
                self.kill(name);
                self.start(name);
                let moment_ms = self.random.below(600);
                clock::pause(Duration::from_millis(moment_ms));
                self.kill(name);
                self.fired.kills_in_recovery += 1;
                self.start(name);
            }
            Strike::KillAndStayAway => {
                let name = self.victim();
                self.kill(name);
                self.until_member(name, false);
                self.fired.given_up += 1;
                self.join(name);
            }
            Strike::Bounce => {
                self.broker.kill9();
                self.fired.bounces += 1;
                self.broker.restart();
            }
            Strike::BounceAndKill => {
                let name = self.victim();
                self.broker.kill9();
                self.fired.bounces += 1;
                self.kill(name);
                self.fired.kills_without_broker += 1;
                self.start(name);
                self.broker.restart();
            }
            Strike::Guest if self.instances.contains_key(GUEST) => self.leave(GUEST),
            Strike::Guest => self.join(GUEST),
            Strike::Leave => {
                let name = self.victim();
                self.leave(name);
                self.join(name);
            }
            Strike::Freeze => self.freeze(&events[now..]),
        }
        self.all_alive();
    }

    /// One that owns shards, if the cluster can say.
    fn victim(&mut self) -> &'static str {
        let members = self.fleet.link.cluster.members(ANSWER).unwrap_or_default();
        let owns = |name: &str| {
            let mut own = members.iter().filter(|member| is_of(member.instance(), name));
            own.any(|member| !member.partitions.is_empty())
        };
        let residents = || self.instances.keys().copied().filter(|name| *name != GUEST);
        let mut choices: Vec<&'static str> = residents().filter(|name| owns(name)).collect();
        if choices.is_empty() {
            choices = residents().collect();
        }
        self.random.pick(&choices)
    }

    fn start(&mut self, name: &'static str) {
        let process = self.fleet.start(name);
        self.instances.insert(name, process);
    }

    fn join(&mut self, name: &'static str) {
        self.start(name);
        self.until_member(name, true);
        self.fired.joined += 1;
    }

    fn take(&mut self, name: &'static str) -> Process {
        let process = self.instances.remove(name).expect("it is there");
        self.past.push((name, Arc::clone(&process.lines)));
        process
    }

    fn kill(&mut self, name: &'static str) {
        let mut process = self.take(name);
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        self.fired.kills += 1;
    }

    /// In good order, and until the group knows: static members say no good-bye.
    fn leave(&mut self, name: &'static str) {
        let process = self.take(name);
        let lines = Arc::clone(&process.lines);
        let code = process.end("-TERM");
        assert_eq!(code, Some(0), "{name} did not end in good order:\n{}", lines.last(SHOWN_LINES));
        self.until_member(name, false);
        self.fired.left += 1;
    }

    fn freeze(&mut self, behind_its_back: &[SimEvent]) {
        let name = self.victim();
        let pid = self.instances[name].child.id();
        signal("-STOP", pid);
        self.until_member(name, false);
        self.fired.given_up += 1;
        self.give(behind_its_back);
        self.until_handled(self.given.saturating_sub(UNDECIDED));
        signal("-CONT", pid);
        self.fired.frozen += 1;
        self.until_member(name, true);
    }

    /// Waits until an instance is, or is no longer, in a group that stands.
    fn until_member(&mut self, name: &'static str, wanted: bool) {
        let mut patience = Patience::new();
        loop {
            // While the coordinator moves there is no group, or one without members.
            let members = self.fleet.link.cluster.members(ANSWER).unwrap_or_default();
            let stands = !members.is_empty() && members.iter().all(|member| member.group_state == "Stable");
            let found = members.iter().any(|member| is_of(member.instance(), name));
            if stands && found == wanted {
                return;
            }
            self.all_alive();
            if patience.is_over(0) {
                self.fail(&format!("{name} in the group should be {wanted}: {members:?}"));
            }
        }
    }

    /// Waits until so many records are handled, as long as something moves.
    pub fn until_handled(&mut self, records: u64) {
        let mut patience = Patience::new();
        loop {
            let reached = self.fleet.committed();
            if reached >= records {
                return;
            }
            self.all_alive();
            if patience.is_over(reached) {
                let status = self.fleet.status();
                self.fail(&format!("{reached} of {records} records are handled, and no more: {status}"));
            }
        }
    }

    /// Waits until all that was given, but `left`, is handled.
    pub fn until_all_handled(&mut self, left: u64) {
        self.until_handled(self.given - left);
    }

    /// An instance ends when it is told to, and only then.
    fn all_alive(&mut self) {
        let ended = self.instances.iter_mut().find_map(|(name, instance)| {
            let status = instance.child.try_wait().unwrap()?;
            Some(format!("{name} ended by itself: {status}"))
        });
        if let Some(sentence) = ended {
            self.fail(&sentence);
        }
    }

    /// Ends the producer and the instances in good order, and counts what became of the group.
    pub fn end(&mut self) {
        let Producer { child, lines, feeder } = self.producer.take().expect("it has begun");
        drop(lines);
        feeder.join().unwrap();
        python::finish(child);
        let names: Vec<&'static str> = self.instances.keys().copied().collect();
        for name in names {
            let process = self.take(name);
            let lines = Arc::clone(&process.lines);
            let code = process.end("-TERM");
            assert_eq!(code, Some(0), "{name} did not end in good order:\n{}", lines.last(SHOWN_LINES));
        }
        self.fired.rebalances = self.generation() - self.first_generation;
    }

    fn generation(&self) -> u32 {
        group::generation(&self.broker, &self.fleet.link.cluster.options().group)
    }

    /// Partitions of all topics that committed readers do not see to their end.
    pub fn open_transactions(&self) -> Vec<String> {
        group::open_transactions(&self.broker, &self.fleet.link.cluster.options().topics)
    }

    /// What was fired, and what the instances made of it.
    pub fn summary(&self) -> String {
        let count = |part: &str| self.past.iter().map(|(_, lines)| lines.count(part)).sum::<usize>();
        format!(
            "faults fired: {:?}; processes {}, restores {}, workers built again {}, commits read back {}, \
             transactions swept {}",
            self.fired,
            self.past.len(),
            count(" restored "),
            count("starts again"),
            count("read back"),
            count("held back by a transaction"),
        )
    }

    /// Keeps what everybody said, shows the end of it, and fails.
    pub fn fail(&self, sentence: &str) -> ! {
        let living = self.instances.iter().map(|(name, process)| (*name, &process.lines));
        for (name, lines) in living {
            eprintln!("--- the last lines of {name}:\n{}", lines.last(SHOWN_LINES));
        }
        let open = self.open_transactions();
        panic!("{sentence}\nopen transactions: {open:?}\n{}", self.summary());
    }

    /// Everything that any instance ever said, one file per life.
    fn keep_lines(&self) -> PathBuf {
        let folder = tempfile::Builder::new().prefix("accountpulse-chaos-").tempdir().unwrap().keep();
        let living = self.instances.iter().map(|(name, process)| (*name, &process.lines));
        let past = self.past.iter().map(|(name, lines)| (*name, lines));
        for (life, (name, lines)) in past.chain(living).enumerate() {
            // Best effort: the test has failed already.
            let _ = std::fs::write(folder.join(format!("{life:02}-{name}.log")), lines.text());
        }
        folder
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what the instances said: {}", self.keep_lines().display());
        }
        if let Some(mut producer) = self.producer.take() {
            // Already ended is fine.
            let _ = producer.child.kill();
            let _ = producer.child.wait();
        }
    }
}

/// Whether a static member is a worker of an instance.
fn is_of(member: Option<&str>, instance: &str) -> bool {
    member.and_then(|member| member.rsplit_once('-')).is_some_and(|(name, _)| name == instance)
}

fn signal(signal: &str, pid: u32) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}
