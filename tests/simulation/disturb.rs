//! What the world does to its members between two steps: pauses, zombies, outages, clocks that
//! jump, partitions that some topic lacks, a new config.

use accountpulse::engine::time::{DAY_MS, HOUR_MS};
use accountpulse::log::{LogError, TopicId, TopicPartition};
use accountpulse::worker::{PhaseName, RebuildReason, Wake};

use super::history::{PARTITIONS, TOPICS};
use super::setup::{MEMBERS, Mode};
use super::world::{World, Zombie};

/// The member whose shard moves when the last one goes.
pub const SLEEPER: usize = 1;

/// What heals by itself after a while.
#[derive(Clone, Copy)]
pub enum Ill {
    Broker,
    Leader(TopicPartition),
    Rectangle(u32),
    /// The wall clock is off by this much.
    Clock(i64),
}

impl World {
    /// One chance for everything.
    pub fn disturb(&mut self) {
        self.heal(false);
        let seat = self.rng.below(self.seats.len() as u64) as usize;
        match self.rng.below(1_200) {
            0 | 1 => {
                self.count("frozen member");
                self.seats[seat].frozen_until = self.step + 150;
            }
            2 | 3 => {
                // Paused for longer than its session: another member takes over meanwhile.
                // What it had read it may still apply before it hears of that.
                self.seats[seat].frozen_until = self.step + 300;
                self.count("session expired");
                self.broker.expire_session(MEMBERS[seat]);
                if self.rng.below(2) == 0 {
                    self.deafen(seat);
                }
            }
            4 | 5 => self.split(seat),
            6..=11 if !self.traits.damage_only => self.fall_ill(),
            _ => {}
        }
        // Nothing is left to read: whoever is replaced now has only deadlines to tell of.
        if self.step.is_multiple_of(16) && self.rng.below(12) == 0 && self.everything_is_consumed() {
            self.split(seat);
        }
        self.begin_sleep();
        self.go_to_sleep();
        self.roll_out();
        let pending = self.broker.pending_markers();
        if !pending.is_empty() && self.rng.below(3) == 0 {
            let marker = self.rng.pick(&pending).clone();
            self.broker.deliver_marker(&marker);
        }
        self.step_a_zombie();
    }

    /// A second process with the same name; the first does not know yet.
    fn split(&mut self, seat: usize) {
        let Some(worker) = self.seats[seat].worker.take() else { return };
        self.count("zombie");
        let only_timers = self.everything_is_consumed() && worker.status().phase == PhaseName::Live;
        self.zombies.push(Zombie { worker, only_timers });
    }

    /// A rebalance after which the middle member will give back its shard and sleep. By the wall
    /// clock, so that there are deadlines meanwhile, and with nothing to read.
    fn begin_sleep(&mut self) {
        let known = self.traits.mode == Mode::Wall && self.true_ms > self.start_ms + 5 * DAY_MS;
        let tired = self.step.is_multiple_of(16) && self.rng.below(16) == 0;
        if !known || !tired || self.step < self.sleep_until || !self.is_consumed(SLEEPER as u32) {
            return;
        }
        let status = self.seats[SLEEPER].worker.as_ref().map(|worker| worker.status().phase);
        if status == Some(PhaseName::Live) {
            self.sleepy = true;
            // Nothing comes in for its shard until it has slept.
            self.sleep_until = self.step + 700;
            self.broker.rebalance();
        }
    }

    /// It has given back and waits: while it sleeps the last member goes and comes back, so that its
    /// shard belongs to the first one for a while and is then assigned to it again.
    fn go_to_sleep(&mut self) {
        if !self.sleepy {
            return;
        }
        let phase = self.seats[SLEEPER].worker.as_ref().map(|worker| worker.status().phase);
        if phase != Some(PhaseName::Waiting) {
            return;
        }
        self.sleepy = false;
        self.count("slept through two assignments");
        self.seats[SLEEPER].frozen_until = self.step + 600;
        let last = self.seats.len() - 1;
        self.seats[last].worker = None;
        self.seats[last].known_epochs.clear();
        self.seats[last].back_at = self.step + 350;
        self.broker.expire_session(MEMBERS[last]);
    }

    fn step_a_zombie(&mut self) {
        if self.zombies.is_empty() || self.rng.below(3) != 0 {
            return;
        }
        let index = self.rng.below(self.zombies.len() as u64) as usize;
        let now = self.now();
        let Wake::Rebuild { reason } = self.zombies[index].worker.step(now) else { return };
        let zombie = self.zombies.swap_remove(index);
        let fenced = matches!(
            *reason,
            RebuildReason::Fenced
                | RebuildReason::Log(LogError::Fenced { .. } | LogError::AbortRequired { .. })
        );
        if fenced {
            self.count("fenced zombie");
        }
        if fenced && zombie.only_timers {
            self.count("zombie with only timers");
        }
    }

    /// Whether every record of that partition stands below the committed positions.
    fn is_consumed(&self, partition: u32) -> bool {
        let positions = self.broker.positions();
        let of = || positions.iter().filter(|(at, _)| at.partition == partition);
        of().count() == TOPICS.len()
            && of().all(|(at, committed)| {
                self.broker.watermarks(*at).is_ok_and(|marks| marks.end <= committed.position)
            })
    }

    /// Whether every record there is stands below the committed positions.
    fn everything_is_consumed(&self) -> bool {
        (0..PARTITIONS).all(|partition| self.is_consumed(partition))
    }

    fn fall_ill(&mut self) {
        let until = self.step + 40 + self.rng.below(260);
        let ill = match self.rng.below(6) {
            0 => {
                self.count("broker gone");
                self.broker.set_available(false);
                Ill::Broker
            }
            1 | 2 => {
                self.count("partition without leader");
                let topic = TopicId(self.rng.below(6) as u16);
                let at = TopicPartition { topic, partition: self.rng.below(u64::from(PARTITIONS)) as u32 };
                self.broker.set_leader(at, false).unwrap();
                Ill::Leader(at)
            }
            3 => {
                let partition = self.rng.below(u64::from(PARTITIONS)) as u32;
                self.broker.set_complete(partition, false);
                Ill::Rectangle(partition)
            }
            _ => {
                // By the wall clock not while calm accounts are not known yet, nor near the end.
                let wall = self.traits.mode == Mode::Wall;
                let calm = self.start_ms + 5 * DAY_MS..self.until_ms - 5 * DAY_MS;
                if wall && !calm.contains(&self.true_ms) {
                    return;
                }
                let span = if wall { 40 * HOUR_MS } else { 3 * HOUR_MS };
                let by = 1 + self.rng.below(span as u64) as i64;
                let forwards = self.rng.below(2) == 0;
                self.count(if forwards { "clock forwards" } else { "clock backwards" });
                let by = if forwards { by } else { -by };
                self.skew_ms += by;
                Ill::Clock(by)
            }
        };
        self.ills.push((until, ill));
    }

    /// Ends what has lasted long enough, or everything.
    pub fn heal(&mut self, all: bool) {
        let step = self.step;
        // A clock that is ahead must not take a shard's beyond the end: it would not come back.
        let near = self.traits.mode == Mode::Wall && self.true_ms > self.until_ms - 3 * DAY_MS;
        let is_over =
            |(until, ill): &(u64, Ill)| all || *until <= step || (near && matches!(ill, Ill::Clock(_)));
        let (over, left) = self.ills.drain(..).partition(is_over);
        self.ills = left;
        let over: Vec<(u64, Ill)> = over;
        for (_, ill) in over {
            let same = |other: &Ill| match (ill, other) {
                (Ill::Broker, Ill::Broker) => true,
                (Ill::Leader(a), Ill::Leader(b)) => a == *b,
                (Ill::Rectangle(a), Ill::Rectangle(b)) => a == *b,
                _ => false,
            };
            // It fell ill of the same again meanwhile.
            if self.ills.iter().any(|(_, other)| same(other)) {
                continue;
            }
            match ill {
                Ill::Broker => self.broker.set_available(true),
                Ill::Leader(at) => self.broker.set_leader(at, true).unwrap(),
                Ill::Rectangle(partition) => self.broker.set_complete(partition, true),
                Ill::Clock(by) => {
                    self.count(if by > 0 { "clock backwards" } else { "clock forwards" });
                    self.skew_ms -= by;
                }
            }
        }
    }

    /// One process after the other gets the newer config.
    fn roll_out(&mut self) {
        let Some(from) = self.traits.roll_from else { return };
        for index in 0..self.seats.len() {
            let due = from + index as u64 * 500;
            if self.seats[index].newer || self.step < due {
                continue;
            }
            if self.seats.iter().any(|seat| !seat.newer && seat.worker.is_some()) {
                self.count("rolling config change");
            }
            self.upgrade(index);
        }
    }

    /// Ends the process and starts it again with the newer config.
    pub fn upgrade(&mut self, index: usize) {
        let step = self.step;
        let pause = self.rng.below(40);
        let seat = &mut self.seats[index];
        seat.worker = None;
        seat.known_epochs.clear();
        seat.newer = true;
        seat.back_at = step + pause;
    }
}
