//! What strangers see: `follow.py` while everything happens, `read.py` when it is over. Both know
//! only `docs/contract.md`, and both see committed records only.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::fleet::Patience;
use crate::process::oracle::Told;
use crate::support::python;

pub const RISKS: &str = "accountpulse.risks.v1";
pub const SCORES: &str = "accountpulse.scores.v1";
const DEAD_LETTERS: &str = "accountpulse.dead-letters.v1";

/// A transition, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Risk {
    pub partition: u64,
    pub offset: u64,
    pub timestamp_ms: i64,
    pub value: Value,
}

impl Risk {
    /// A text of the value; empty without one.
    pub fn text(&self, field: &str) -> &str {
        self.value[field].as_str().unwrap_or_default()
    }
}

/// What a reader has seen of risks and scores.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// In the order of their partitions.
    pub risks: Vec<Risk>,
    /// The newest per account.
    pub scores: BTreeMap<String, Value>,
    /// Records of the scores topic.
    pub score_records: u64,
    /// Ids of scores with a digest of the value.
    score_ids: HashMap<String, u64>,
    risk_ids: HashMap<String, u64>,
    /// What should never be.
    pub wrong: Vec<String>,
}

impl Seen {
    /// Takes in a line of `read.py`.
    pub fn take(&mut self, topic: &str, mut line: Value) {
        let id = line["headers"]["ce_id"].as_str().unwrap_or_default().to_owned();
        let value = line["value"].take();
        let (offset, partition) = (line["offset"].as_u64().unwrap(), line["partition"].as_u64().unwrap());
        if topic == RISKS {
            if let Some(first) = self.risk_ids.insert(id.clone(), offset) {
                self.wrong.push(format!("{id} stands at {first} and at {offset} of partition {partition}"));
            }
            let timestamp_ms = line["timestamp_ms"].as_i64().unwrap();
            self.risks.push(Risk { partition, offset, timestamp_ms, value });
            return;
        }
        self.score_records += 1;
        let digest = xxh3_64(value.to_string().as_bytes());
        if self.score_ids.insert(id.clone(), digest).is_some_and(|first| first != digest) {
            self.wrong.push(format!("the score id {id} names two records"));
        }
        self.scores.insert(value["account_id"].as_str().unwrap().to_owned(), value);
    }

    /// In the shape of the oracle.
    pub fn told(&self) -> Told {
        let mut told = Told::default();
        self.risks.iter().for_each(|risk| told.take("risks", risk.value.clone()));
        self.scores.values().for_each(|score| told.take("scores", score.clone()));
        told
    }

    fn count(&self) -> u64 {
        self.risks.len() as u64 + self.score_records
    }

    /// That two readers saw the same.
    pub fn assert_same(&self, other: &Seen) {
        assert_eq!(self.wrong, Vec::<String>::new());
        let by_place = |seen: &Seen| {
            let mut risks = seen.risks.clone();
            risks.sort_by_key(|risk| (risk.partition, risk.offset));
            risks
        };
        assert_eq!(by_place(self), by_place(other));
        assert_eq!(self.scores, other.scores);
        assert_eq!(self.score_records, other.score_records);
    }
}

/// Scripts that read both topics at the same time.
pub struct Readers {
    seen: Arc<Mutex<Seen>>,
    scripts: Vec<(Child, JoinHandle<()>)>,
}

impl Readers {
    /// Follows both topics from their beginning.
    pub fn follow(bootstrap: &str) -> Readers {
        // Ended by us: how long a broker may be silent is not its affair.
        Readers::start("follow.py", &["--bootstrap", bootstrap, "--until-idle", "900"])
    }

    /// Reads what is there, and ends.
    pub fn read(bootstrap: &str) -> Seen {
        let mut readers = Readers::start("read.py", &["--bootstrap", bootstrap]);
        for (child, thread) in readers.scripts.drain(..) {
            thread.join().unwrap();
            python::finish(child);
        }
        std::mem::take(&mut readers.seen.lock().unwrap())
    }

    fn start(script: &str, args: &[&str]) -> Readers {
        let seen = Arc::<Mutex<Seen>>::default();
        let scripts = [RISKS, SCORES].map(|topic| {
            let mut command = python::command(script, args);
            command.args(["--topic", topic]).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let seen = Arc::clone(&seen);
            let thread = std::thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    let line = serde_json::from_str(&line).unwrap();
                    seen.lock().unwrap().take(topic, line);
                }
            });
            (child, thread)
        });
        Readers { seen, scripts: scripts.into() }
    }

    /// Looks at what was seen so far.
    pub fn look<T>(&mut self, look: impl FnOnce(&Seen) -> T) -> T {
        for (child, _) in &mut self.scripts {
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("a reader ended by itself: {status}: {said}");
            }
        }
        look(&self.seen.lock().unwrap())
    }

    /// Waits until it has seen as much as another; what it saw.
    pub fn catch_up(mut self, other: &Seen) -> Seen {
        let mut patience = Patience::new();
        while self.look(Seen::count) < other.count() {
            let count = self.look(Seen::count);
            assert!(!patience.is_over(count), "the reader stands at {count} of {} records", other.count());
        }
        self.look(Seen::clone)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for (child, _) in &mut self.scripts {
            // Already ended is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Dead letters as `read.py` finds them.
pub fn dead_letters(bootstrap: &str) -> Vec<Value> {
    let text = python::run("read.py", &["--bootstrap", bootstrap, "--topic", DEAD_LETTERS]);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
