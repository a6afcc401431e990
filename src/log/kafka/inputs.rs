//! The input partitions being read, and what proves that their silence was heard.
//!
//! A partition that was read as far as committed records go is asked about at a slow pace; if its
//! position is the end that the cluster then names, everything up to the question was heard. A
//! position above that end proves nothing: the topic was created anew and is shorter. No answer, no
//! proof: an answer counts for a second and for the assignment it was asked under.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::probe::{Answer, Prober};
use crate::log::{LogError, Offset, TopicPartition};

/// How often a partition is asked about.
const PACE: Duration = Duration::from_millis(500);
/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(1);
/// After this a question without an answer is put again.
const EXPIRY: Duration = Duration::from_secs(5);

/// An input partition being read.
struct InputPartition {
    /// Of the next record.
    position: Offset,
    /// Whether nothing more was to be seen there.
    at_end: bool,
}

/// A partition was heard to its end.
pub(super) struct Proof {
    pub at: TopicPartition,
    pub position: Offset,
    /// When the cluster was asked for the end.
    pub asked: Instant,
}

/// The input partitions being read.
pub(super) struct Inputs {
    reading: BTreeMap<TopicPartition, InputPartition>,
    prober: Arc<Prober>,
    reply: Sender<Answer>,
    answers: Receiver<Answer>,
    /// Of the last question.
    number: u64,
    /// That number and when it was asked, while it has no answer.
    open: Option<(u64, Instant)>,
    next_ask: Option<Instant>,
    proofs: VecDeque<Proof>,
}

impl Inputs {
    pub fn new(prober: Arc<Prober>) -> Inputs {
        let (reply, answers) = crossbeam_channel::unbounded();
        Inputs {
            reading: BTreeMap::new(),
            prober,
            reply,
            answers,
            number: 0,
            open: None,
            next_ask: None,
            proofs: VecDeque::new(),
        }
    }

    /// Begins anew with exactly these partitions.
    pub fn start(&mut self, positions: &[(TopicPartition, Offset)]) {
        let begin = |(at, position): &(TopicPartition, Offset)| {
            let begun = InputPartition { position: *position, at_end: false };
            (*at, begun)
        };
        self.reading = positions.iter().map(begin).collect();
        self.proofs.clear();
        // What was asked before says nothing about these.
        self.open = None;
        self.next_ask = None;
    }

    /// Whether any partition is read.
    pub fn is_reading(&self) -> bool {
        !self.reading.is_empty()
    }

    /// Where reading of this partition stands, if it is being read.
    pub fn position(&self, at: TopicPartition) -> Option<Offset> {
        self.reading.get(&at).map(|input| input.position)
    }

    /// A record that is being handed out.
    pub fn note_record(&mut self, at: TopicPartition, offset: Offset) {
        if let Some(input) = self.reading.get_mut(&at) {
            input.position = offset + 1;
            input.at_end = false;
        }
    }

    /// Nothing more is to be seen from `position` on.
    pub fn note_end(&mut self, at: TopicPartition, position: Offset) {
        if let Some(input) = self.reading.get_mut(&at)
            && position >= input.position
        {
            input.position = position;
            input.at_end = true;
        }
    }

    /// Puts the next question when it is time. `anything`: asks even if no partition is at its end,
    /// to learn whether the cluster answers at all.
    pub fn ask(&mut self, now: Instant, anything: Option<TopicPartition>) -> Result<(), LogError> {
        self.open = self.open.filter(|(_, asked)| now.saturating_duration_since(*asked) < EXPIRY);
        if self.open.is_some() || self.next_ask.is_some_and(|next| now < next) {
            return Ok(());
        }
        let at_end = self.reading.iter().filter(|(_, input)| input.at_end);
        let mut at: Vec<_> = at_end.map(|(at, _)| *at).collect();
        if at.is_empty() {
            at.extend(anything);
        }
        if at.is_empty() {
            return Ok(());
        }
        self.number += 1;
        self.open = Some((self.number, now));
        self.next_ask = Some(now + PACE);
        self.prober.ask(at, self.number, self.reply.clone())
    }

    /// Takes what was answered; `true` if the cluster did answer.
    pub fn hear(&mut self) -> bool {
        let mut heard = false;
        while let Ok(answer) = self.answers.try_recv() {
            heard |= !answer.ends.is_empty();
            if self.open.is_none_or(|(number, _)| number != answer.number) {
                continue;
            }
            self.open = None;
            for (at, end) in answer.ends {
                if let Some(input) = self.reading.get(&at)
                    && input.at_end
                    && input.position == end
                {
                    let (position, asked) = (input.position, answer.asked);
                    self.proofs.push_back(Proof { at, position, asked });
                }
            }
        }
        heard
    }

    /// The next proof that a partition was heard to its end, if it is not too old to count.
    pub fn proof(&mut self, now: Instant) -> Option<Proof> {
        while let Some(proof) = self.proofs.pop_front() {
            if now.saturating_duration_since(proof.asked) <= FRESH {
                return Some(proof);
            }
        }
        None
    }

    /// Forgets proofs that nobody has taken: the cluster has fallen silent.
    pub fn doubt(&mut self) {
        self.proofs.clear();
    }
}
