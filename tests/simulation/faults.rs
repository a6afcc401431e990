//! Faults, drawn from the seed before every call of every member, and how often each fired.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use accountpulse::engine::PageId;
use accountpulse::log::TopicPartition;
use accountpulse::log::sim::{Call, CallSite, Fault, Indefinite, SimBroker};
use accountpulse::worker::format::{Key, Marker, Slot, decode, decode_page_part};

use super::history::PARTITIONS;
use super::rng::Rng;
use super::world::{CHECKPOINTS, MEMBERS, SCORES};

/// Every kind of fault; a run over all seeds must have seen each.
pub const KINDS: [&str; 19] = [
    "crash",
    "crash in restore",
    "crash in commit",
    "abort",
    "fenced",
    "unavailable",
    "slow",
    "buffer full",
    "indefinite landed",
    "indefinite lost",
    "indefinite late",
    "rebalance",
    "session expired",
    "compact",
    "rot page",
    "rot marker",
    "late request",
    "zombie",
    "transaction timeout",
];

/// Which faults this run draws, and what it drew.
pub struct Plan {
    rng: Rng,
    pub on: bool,
    ppm: u64,
    rot_only: bool,
    /// Members that crash at their next call but one or two.
    doomed: BTreeMap<&'static str, u64>,
    /// What rotted last; it rots again as soon as it is sound.
    last_rot: Option<(u32, PageId)>,
    pub fired: BTreeMap<&'static str, u64>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0xfa17);
        let ppm = *rng.pick(&[2_000, 6_000, 15_000]);
        // A third of the seeds is about rot: crashes and rotten values, little else.
        Plan {
            rot_only: seed.is_multiple_of(3),
            rng,
            on: true,
            ppm,
            doomed: BTreeMap::new(),
            last_rot: None,
            fired: BTreeMap::new(),
        }
    }

    pub fn count(&mut self, kind: &'static str) {
        *self.fired.entry(kind).or_default() += 1;
    }

    fn draw(&mut self, broker: &SimBroker, site: CallSite<'_>) -> Fault {
        if !self.on {
            return Fault::None;
        }
        if let Some(fault) = self.doom(site) {
            return fault;
        }
        // A late request is dangerous while its producer has another transaction open.
        let in_commit = matches!(site.call, Call::Send | Call::Drain | Call::SendOffsets);
        if in_commit && broker.late_requests() > 0 && self.rng.below(4) == 0 {
            self.doom_some(3);
            return self.act("late request", |_| {
                broker.deliver_late(0);
            });
        }
        // Commits are one call in many; their unclear outcomes are what matters most.
        let ppm = if site.call == Call::Commit { self.ppm * 6 } else { self.ppm };
        if !self.rng.ppm(ppm) {
            return Fault::None;
        }
        if self.rot_only {
            return self.rot_run(broker, site.call);
        }
        match self.rng.below(16) {
            0 | 1 => self.crash(site.call),
            2 => self.fault("abort", Fault::AbortRequired),
            3 => self.fault("fenced", Fault::Fenced),
            4 => self.fault("unavailable", Fault::Unavailable),
            5 => {
                let times = 1 + self.rng.below(4) as u32;
                self.fault("slow", Fault::Slow(times))
            }
            6 => {
                if site.call == Call::Send {
                    self.count("buffer full");
                }
                Fault::BufferFull
            }
            7..=9 if site.call == Call::Commit => self.indefinite(),
            7 | 8 => self.act("rebalance", |_| broker.rebalance()),
            9 => self.act("session expired", |rng| {
                let member: &str = rng.pick::<&str>(&MEMBERS);
                broker.expire_session(member);
            }),
            10..=12 => self.compact(broker),
            13 => self.rot(broker),
            _ if broker.late_requests() > 0 => self.act("late request", |_| {
                broker.deliver_late(0);
            }),
            _ => Fault::None,
        }
    }

    fn doom(&mut self, site: CallSite<'_>) -> Option<Fault> {
        let left = self.doomed.get_mut(site.member)?;
        *left = left.saturating_sub(1);
        if *left > 0 {
            return None;
        }
        self.doomed.remove(site.member);
        Some(self.crash(site.call))
    }

    fn doom_some(&mut self, within: u64) {
        for member in MEMBERS {
            if self.rng.below(2) == 0 {
                self.doomed.insert(member, 1 + self.rng.below(within));
            }
        }
    }

    fn rot_run(&mut self, broker: &SimBroker, call: Call) -> Fault {
        match self.rng.below(8) {
            0 | 1 => self.crash(call),
            2 => self.act("rebalance", |_| broker.rebalance()),
            3 => self.compact(broker),
            _ => self.rot(broker),
        }
    }

    fn crash(&mut self, call: Call) -> Fault {
        self.count("crash");
        match call {
            Call::Committed | Call::Watermarks | Call::ReadRange => self.count("crash in restore"),
            Call::Begin | Call::Send | Call::Drain | Call::SendOffsets | Call::Commit => {
                self.count("crash in commit");
            }
            _ => {}
        }
        Fault::Crash
    }

    fn fault(&mut self, kind: &'static str, fault: Fault) -> Fault {
        self.count(kind);
        fault
    }

    fn act(&mut self, kind: &'static str, action: impl FnOnce(&mut Rng)) -> Fault {
        self.count(kind);
        action(&mut self.rng);
        Fault::None
    }

    fn compact(&mut self, broker: &SimBroker) -> Fault {
        self.act("compact", |rng| {
            broker.compact(*rng.pick(&[CHECKPOINTS, SCORES]), rng.below(2) == 0);
        })
    }

    fn indefinite(&mut self) -> Fault {
        let (kind, what) = *self.rng.pick(&[
            ("indefinite landed", Indefinite::Landed),
            ("indefinite lost", Indefinite::Lost),
            ("indefinite late", Indefinite::Late),
        ]);
        self.fault(kind, Fault::Indefinite(what))
    }

    /// Damages one value, never so that the protocol's promise (one rotten value per page, one
    /// rotten marker) is exceeded.
    fn rot(&mut self, broker: &SimBroker) -> Fault {
        let again = self.last_rot.filter(|_| self.rng.below(2) == 0);
        let partition =
            again.map_or(self.rng.below(u64::from(PARTITIONS)) as u32, |(partition, _)| partition);
        let mut keys = rottable(broker, partition);
        if let Some((_, wanted)) = again {
            keys.retain(|(_, key)| matches!(key, Key::Page { page, .. } if *page == wanted));
        }
        if !keys.is_empty() {
            let (kind, key) = *self.rng.pick(&keys);
            let at = TopicPartition { topic: CHECKPOINTS, partition };
            if broker.rot(at, &key.bytes(partition)) {
                self.count(kind);
                if let Key::Page { page, .. } = key {
                    self.last_rot = Some((partition, page));
                }
                self.doom_some(12);
            }
        }
        Fault::None
    }
}

/// What may rot: the better copy of a page none of whose copies is rotten (or the other, if both
/// are there), and the newer of two sound markers. Not while a transaction is open, which may be
/// overwriting the other copy.
fn rottable(broker: &SimBroker, partition: u32) -> Vec<(&'static str, Key)> {
    if !broker.open_transactions().is_empty() {
        return Vec::new();
    }
    let mut pages: BTreeMap<_, Vec<(Slot, Option<u64>)>> = BTreeMap::new();
    let mut markers: Vec<(Slot, Option<u64>)> = Vec::new();
    let mut latest = BTreeMap::new();
    for record in broker.committed_records(CHECKPOINTS) {
        if record.at.partition == partition {
            latest.insert(record.record.key.clone().unwrap_or_default(), record.record.value.clone());
        }
    }
    for (key, value) in latest {
        let (Some(key), Some(value)) = (Key::parse(&key, partition), value) else { continue };
        match key {
            Key::Page { page, slot, part: 0 } => {
                let number = decode_page_part(&value).ok().map(|(header, _)| header.commit);
                pages.entry(page).or_default().push((slot, number));
            }
            // A rotten later part must count against its page too.
            Key::Page { page, slot, .. } if decode_page_part(&value).is_err() => {
                pages.entry(page).or_default().push((slot, None));
            }
            Key::Marker(slot) => markers.push((slot, decode::<Marker>(&value).ok().map(|m| m.round))),
            _ => {}
        }
    }
    let mut keys = Vec::new();
    for (page, copies) in pages {
        if copies.iter().all(|(_, number)| number.is_some()) {
            // The better copy twice: it is the one that matters.
            let best = copies.iter().max_by_key(|(_, number)| *number);
            let slots = copies.iter().chain(best).map(|(slot, _)| *slot);
            keys.extend(slots.map(|slot| ("rot page", Key::Page { page, slot, part: 0 })));
        }
    }
    // From round 1 on there must be two.
    let two = markers.iter().any(|(_, round)| *round >= Some(1));
    let sound = two && markers.iter().all(|(_, round)| round.is_some());
    let newest = markers.iter().max_by_key(|(_, round)| *round).filter(|_| sound);
    keys.extend(newest.map(|(slot, _)| ("rot marker", Key::Marker(*slot))));
    keys
}

/// Puts the plan before every call.
pub fn install(broker: &SimBroker, plan: &Arc<Mutex<Plan>>) {
    let (handle, plan) = (broker.clone(), Arc::clone(plan));
    broker.set_hook(Box::new(move |site| plan.lock().unwrap().draw(&handle, site)));
}
