//! Faults, drawn from the seed before every call of every member, and how often each fired. What
//! happens between steps is in `disturb.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use accountpulse::engine::PageId;
use accountpulse::log::TopicPartition;
use accountpulse::log::sim::{Call, CallSite, Fault, Indefinite, SimBroker};
use accountpulse::worker::format::{Key, Marker, Slot, decode, decode_page_part};

use super::history::PARTITIONS;
use super::reader::Reader;
use super::rng::Rng;
use super::setup::{CHECKPOINTS, MEMBERS, SCORES, Traits};

/// Every kind of fault; a run over all seeds must have seen each.
pub const KINDS: [&str; 47] = [
    // drawn before a call
    "crash",
    "crash in restore",
    "crash in commit",
    "crash in round closing",
    "abort",
    "fenced",
    "unavailable",
    "slow call",
    "stuck call",
    "late notice of a lost session",
    "buffer full",
    "indefinite commit that landed",
    "indefinite commit that did not land",
    "indefinite commit under way",
    "rebalance",
    "rebalance during restore",
    "session expired",
    "compaction",
    "compaction between two reads",
    "rotten page",
    "torn page",
    "missing page",
    "rotten marker",
    // between two steps
    "frozen member",
    "zombie",
    "slept through two assignments",
    "broker gone",
    "partition without leader",
    "clock forwards",
    "clock backwards",
    "lagging topic",
    "config changed before recovery",
    "rolling config change",
    "old config gave way",
    "transaction timeout",
    // seen to have had an effect
    "records withheld",
    "standstill noticed",
    "fenced zombie",
    "zombie with only timers",
    "watchdog in commit",
    "watchdog in restore",
    "late EndTxn in the next transaction",
    "stale generation",
    "open transaction below committed records",
    "overlapping rebalance",
    "rebalance with an incomplete rectangle",
    "tombstone compacted away",
];

/// How often a client begins to withhold a partition, per million polls of a run in which they do.
const WITHHELD_PPM: u64 = 600;

/// Which faults this run draws, and what it drew.
pub struct Plan {
    rng: Rng,
    pub on: bool,
    ppm: u64,
    damage_only: bool,
    /// Members that crash at their next call but some.
    doomed: BTreeMap<&'static str, u64>,
    /// Decides by itself when a client begins to withhold a partition; `None`: never.
    withholds: Option<Rng>,
    /// Members that do not hear of the group at their next poll.
    deaf: BTreeSet<&'static str>,
    /// Members whose next drain takes long, with records in an open transaction.
    stuck: BTreeSet<&'static str>,
    /// What was damaged last; it is damaged again as soon as it is sound.
    last_damage: Option<(u32, PageId)>,
    /// Copies that are gone and were not written again yet.
    lost: BTreeSet<(u32, u8, Slot)>,
    /// Reads before anything is compacted away.
    reader: Arc<Mutex<Reader>>,
    /// What the reader found.
    pub found: Option<String>,
    pub fired: BTreeMap<&'static str, u64>,
}

impl Plan {
    pub fn new(seed: u64, traits: &Traits, reader: Arc<Mutex<Reader>>) -> Self {
        Plan {
            rng: Rng::new(seed ^ 0xfa17),
            on: false,
            ppm: traits.ppm,
            damage_only: traits.damage_only,
            withholds: withholds(seed, traits),
            doomed: BTreeMap::new(),
            deaf: BTreeSet::new(),
            stuck: BTreeSet::new(),
            last_damage: None,
            lost: BTreeSet::new(),
            reader,
            found: None,
            fired: BTreeMap::new(),
        }
    }

    pub fn count(&mut self, kind: &'static str) {
        *self.fired.entry(kind).or_default() += 1;
    }

    /// The member goes on with what it has, and gets stuck in its next commit.
    pub fn deafen(&mut self, member: &'static str) {
        self.deaf.insert(member);
        self.stuck.insert(member);
    }

    fn draw(&mut self, broker: &SimBroker, site: CallSite<'_>) -> Fault {
        if !self.on {
            return Fault::None;
        }
        if let Some(fault) = self.doom(broker, site) {
            return fault;
        }
        if site.call == Call::Poll && self.withholds.as_mut().is_some_and(|rng| rng.ppm(WITHHELD_PPM)) {
            return Fault::Withhold;
        }
        if site.call == Call::Poll && self.deaf.remove(site.member) {
            return self.fault("late notice of a lost session", Fault::Slow(120));
        }
        if site.call == Call::Drain && self.stuck.remove(site.member) {
            return self.fault("stuck call", Fault::Slow(250));
        }
        // A late request is dangerous while its producer has another transaction open.
        if in_commit(site.call)
            && let Some(late) = broker.late_request_of(site.member)
            && self.rng.below(4) == 0
        {
            self.doom_some(3);
            broker.deliver_late(late);
            return Fault::None;
        }
        // Commits are one call in many; their unclear outcomes are what matters most.
        let ppm = if site.call == Call::Commit { self.ppm * 6 } else { self.ppm };
        if !self.rng.ppm(ppm) {
            return Fault::None;
        }
        if self.damage_only {
            return match self.rng.below(8) {
                0 | 1 => self.crash(broker, site),
                2 => self.rebalance(broker, site.call),
                3 => self.compact(broker, site.call),
                _ => self.damage(broker),
            };
        }
        self.draw_any(broker, site)
    }

    fn draw_any(&mut self, broker: &SimBroker, site: CallSite<'_>) -> Fault {
        match self.rng.below(19) {
            0 | 1 => self.crash(broker, site),
            2 => self.fault("abort", Fault::AbortRequired),
            3 => self.fault("fenced", Fault::Fenced),
            4 => self.fault("unavailable", Fault::Unavailable),
            5 => {
                let times = 1 + self.rng.below(4) as u32;
                self.fault("slow call", Fault::Slow(times))
            }
            6 if site.call == Call::Send => self.fault("buffer full", Fault::BufferFull),
            7..=9 if site.call == Call::Commit => self.indefinite(),
            7 | 8 => self.rebalance(broker, site.call),
            9 => {
                let member: &str = self.rng.pick::<&str>(&MEMBERS);
                broker.expire_session(member);
                self.fault("session expired", Fault::None)
            }
            10..=12 => self.compact(broker, site.call),
            13 | 14 => self.damage(broker),
            15 | 16 if site.call == Call::Poll => {
                // The group goes on without the member, which does not hear of it for a while.
                let times = 40 + self.rng.below(200) as u32;
                broker.expire_session(site.member);
                self.fault("late notice of a lost session", Fault::Slow(times))
            }
            17 if in_commit(site.call) || in_restore(site.call) => {
                self.fault("stuck call", Fault::Slow(3_000))
            }
            18 if broker.late_requests() > 0 => {
                broker.deliver_late(0);
                Fault::None
            }
            _ => Fault::None,
        }
    }

    fn doom(&mut self, broker: &SimBroker, site: CallSite<'_>) -> Option<Fault> {
        let left = self.doomed.get_mut(site.member)?;
        *left = left.saturating_sub(1);
        if *left > 0 {
            return None;
        }
        self.doomed.remove(site.member);
        Some(self.crash(broker, site))
    }

    fn doom_some(&mut self, within: u64) {
        for member in MEMBERS {
            if self.rng.below(2) == 0 {
                self.doomed.insert(member, 1 + self.rng.below(within));
            }
        }
    }

    fn crash(&mut self, broker: &SimBroker, site: CallSite<'_>) -> Fault {
        self.count("crash");
        if in_restore(site.call) {
            self.count("crash in restore");
        }
        if in_commit(site.call) {
            self.count("crash in commit");
            let keys = broker.open_keys(site.member, CHECKPOINTS);
            if keys.iter().any(|key| key.starts_with(b"marker/")) {
                self.count("crash in round closing");
            }
        }
        Fault::Crash
    }

    fn fault(&mut self, kind: &'static str, fault: Fault) -> Fault {
        self.count(kind);
        fault
    }

    fn rebalance(&mut self, broker: &SimBroker, call: Call) -> Fault {
        self.count("rebalance");
        if in_restore(call) {
            self.count("rebalance during restore");
        }
        broker.rebalance();
        Fault::None
    }

    fn compact(&mut self, broker: &SimBroker, call: Call) -> Fault {
        self.count("compaction");
        if let Err(found) = self.reader.lock().unwrap().read(broker) {
            self.found.get_or_insert(found);
        }
        let topic = *self.rng.pick(&[CHECKPOINTS, SCORES]);
        let removed = broker.compact(topic, self.rng.below(2) == 0);
        if call == Call::ReadRange && removed > 0 {
            self.count("compaction between two reads");
        }
        Fault::None
    }

    fn indefinite(&mut self) -> Fault {
        let (kind, what) = *self.rng.pick(&[
            ("indefinite commit that landed", Indefinite::Landed),
            ("indefinite commit that did not land", Indefinite::Lost),
            ("indefinite commit under way", Indefinite::Late),
        ]);
        self.fault(kind, Fault::Indefinite(what))
    }

    /// Damages one value, never so that the protocol's promise (one damaged copy per page, one
    /// damaged marker) is exceeded.
    fn damage(&mut self, broker: &SimBroker) -> Fault {
        let again = self.last_damage.filter(|_| self.rng.below(2) == 0);
        let partition =
            again.map_or(self.rng.below(u64::from(PARTITIONS)) as u32, |(partition, _)| partition);
        let mut keys = self.sound(broker, partition);
        if let Some((_, wanted)) = again {
            keys.retain(|key| matches!(key, Key::Page { page, .. } if *page == wanted));
        }
        if keys.is_empty() {
            return Fault::None;
        }
        let key = *self.rng.pick(&keys);
        let at = TopicPartition { topic: CHECKPOINTS, partition };
        let bytes = key.bytes(partition);
        let kind = match key {
            Key::Page { page, slot, part } => {
                self.last_damage = Some((partition, page));
                match self.rng.below(4) {
                    0 if broker.tear(at, &bytes) => "torn page",
                    1 if broker.lose(at, &bytes) => {
                        // Nothing is left of it.
                        for part in part + 1..20 {
                            broker.lose(at, &Key::Page { page, slot, part }.bytes(partition));
                        }
                        self.lost.insert((partition, page.0, slot));
                        "missing page"
                    }
                    _ if broker.rot(at, &bytes) => "rotten page",
                    _ => return Fault::None,
                }
            }
            _ if broker.rot(at, &bytes) => "rotten marker",
            _ => return Fault::None,
        };
        self.count(kind);
        self.doom_some(12);
        Fault::None
    }

    /// What may be damaged: the better copy of a page none of whose copies is damaged (or the other,
    /// if both are there), and the newer of two sound markers. Not while a transaction is open, which
    /// may be overwriting the other copy.
    fn sound(&mut self, broker: &SimBroker, partition: u32) -> Vec<Key> {
        if !broker.open_transactions().is_empty() {
            return Vec::new();
        }
        let mut latest = BTreeMap::new();
        broker.visit_committed(CHECKPOINTS, |at, _, record| {
            if at.partition == partition {
                latest.insert(record.key.clone().unwrap_or_default(), record.value.clone());
            }
        });
        let mut pages: BTreeMap<_, Vec<(Slot, Option<u64>)>> = BTreeMap::new();
        let mut markers: Vec<(Slot, Option<u64>)> = Vec::new();
        for (key, value) in latest {
            let (Some(key), Some(value)) = (Key::parse(&key, partition), value) else { continue };
            match key {
                Key::Page { page, slot, part: 0 } => {
                    self.lost.remove(&(partition, page.0, slot));
                    let number = decode_page_part(&value).ok().map(|(header, _)| header.commit);
                    pages.entry(page).or_default().push((slot, number));
                }
                // A damaged later part must count against its page too.
                Key::Page { page, slot, .. } if decode_page_part(&value).is_err() => {
                    pages.entry(page).or_default().push((slot, None));
                }
                Key::Marker(slot) => markers.push((slot, decode::<Marker>(&value).ok().map(|m| m.round))),
                _ => {}
            }
        }
        pages
            .retain(|page, _| Slot::BOTH.iter().all(|slot| !self.lost.contains(&(partition, page.0, *slot))));
        let mut keys = Vec::new();
        for (page, copies) in pages {
            if copies.iter().all(|(_, number)| number.is_some()) {
                // The better copy twice: it is the one that matters.
                let best = copies.iter().max_by_key(|(_, number)| *number);
                let slots = copies.iter().chain(best).map(|(slot, _)| *slot);
                keys.extend(slots.map(|slot| Key::Page { page, slot, part: 0 }));
            }
        }
        // From round 1 on there must be two.
        let two = markers.iter().any(|(_, round)| *round >= Some(1));
        let sound = two && markers.iter().all(|(_, round)| round.is_some());
        let newest = markers.iter().max_by_key(|(_, round)| *round).filter(|_| sound);
        keys.extend(newest.map(|(slot, _)| Key::Marker(*slot)));
        keys
    }
}

/// In some runs clients cease to deliver partitions. What else goes wrong does not depend on it.
fn withholds(seed: u64, traits: &Traits) -> Option<Rng> {
    let mut rng = Rng::new(seed ^ 0x51e7);
    (traits.ppm > 0 && !traits.damage_only && rng.below(4) == 0).then_some(rng)
}

fn in_restore(call: Call) -> bool {
    matches!(call, Call::Committed | Call::Watermarks | Call::ReadRange)
}

fn in_commit(call: Call) -> bool {
    matches!(call, Call::Begin | Call::Send | Call::Drain | Call::SendOffsets | Call::Commit)
}

/// Puts the plan before every call.
pub fn install(broker: &SimBroker, plan: &Arc<Mutex<Plan>>) {
    let (handle, plan) = (broker.clone(), Arc::clone(plan));
    broker.set_hook(Box::new(move |site| plan.lock().unwrap().draw(&handle, site)));
}
