//! Rounds of pages: which page is due, which copy is replaced, when a marker closes the round.
//!
//! State is not written per event. Pages that changed go out a few at a time, inside the
//! ordinary commits; when every page that was due at the start of a round has been written, a
//! marker closes it. Two copies per page and two markers make one rotten value harmless:
//!
//! - a write replaces the copy that is *not* the best readable one;
//! - a page stays due until both copies hold its last change;
//! - a marker lists, for its round and the one before, where the round began and what it wrote.
//!
//! Pure bookkeeping over numbers. It must not encode pages and must not talk to the log; the
//! commit asks [`Rounds::pace`] and [`Rounds::next_page`] what to write and reports success with [`Rounds::committed`].

use std::collections::{BTreeMap, BTreeSet};

use super::format::{Listed, Marker, MarkerEntry, Slot};
use super::planted::{Break, Planted};
use crate::engine::Covered;
use crate::engine::PageId;
use crate::log::Offset;

/// A round is written within this part of the time between two of them. More would spread it
/// further, and a recovery would have as much more to read.
const ROUND_TO_WRITING: i64 = 3;

/// What is known about one copy of a page.
#[derive(Clone, Copy, Debug)]
pub struct CopyInfo {
    /// The commit that wrote it.
    pub commit: u64,
    /// Digest of its content.
    pub digest: u64,
    /// Closed days it holds.
    pub covered: Option<Covered>,
    /// Into how many parts it was split.
    pub parts: u16,
}

/// The two copies of a page, by slot; `None` is absent or unreadable.
#[derive(Clone, Copy, Debug, Default)]
pub struct Copies {
    slots: [Option<CopyInfo>; 2],
}

impl Copies {
    /// The two copies.
    pub fn new(zero: Option<CopyInfo>, one: Option<CopyInfo>) -> Self {
        Copies { slots: [zero, one] }
    }

    /// The copy in a slot.
    pub fn get(&self, slot: Slot) -> Option<&CopyInfo> {
        match slot {
            Slot::Zero => self.slots[0].as_ref(),
            Slot::One => self.slots[1].as_ref(),
        }
    }

    /// The slot of the readable copy with the greatest number.
    pub fn best(&self) -> Option<Slot> {
        match (&self.slots[0], &self.slots[1]) {
            (Some(zero), Some(one)) => Some(if zero.commit >= one.commit { Slot::Zero } else { Slot::One }),
            (Some(_), None) => Some(Slot::Zero),
            (None, Some(_)) => Some(Slot::One),
            (None, None) => None,
        }
    }

    /// Whether they differ or one is lacking: the page is due until they agree.
    pub fn differ(&self) -> bool {
        match (&self.slots[0], &self.slots[1]) {
            (Some(zero), Some(one)) => zero.digest != one.digest,
            _ => true,
        }
    }

    /// The days that *both* copies hold: those of the lesser one.
    pub fn covered(&self) -> Option<Covered> {
        match (&self.slots[0], &self.slots[1]) {
            (Some(zero), Some(one)) => zero.covered.min(one.covered),
            _ => None,
        }
    }

    fn set(&mut self, slot: Slot, info: CopyInfo) {
        match slot {
            Slot::Zero => self.slots[0] = Some(info),
            Slot::One => self.slots[1] = Some(info),
        }
    }
}

/// A page as written in one commit.
#[derive(Clone, Copy, Debug)]
pub struct WrittenPage {
    /// Which page.
    pub page: PageId,
    /// Into which slot.
    pub slot: Slot,
    /// What was written.
    pub info: CopyInfo,
}

/// The round that is being written.
#[derive(Clone, Debug)]
struct Round {
    /// Pages still to write.
    left: BTreeSet<PageId>,
    /// How many there were.
    pages: usize,
    /// When it began, and when it shall be through.
    began_ms: i64,
    through_ms: i64,
    /// Positions as committed before the first change of this round.
    positions: Vec<Offset>,
    /// Journal position at the same moment.
    journal: Offset,
}

/// The bookkeeping of one shard's pages.
#[derive(Clone, Debug)]
pub struct Rounds {
    partition: u32,
    due: BTreeSet<PageId>,
    copies: BTreeMap<PageId, Copies>,
    listed: BTreeMap<PageId, Listed>,
    round: Option<Round>,
    marker: Option<Marker>,
    /// After a fallback: the older second entry, which the next marker repeats.
    carry: Option<MarkerEntry>,
    next_round_ms: i64,
    planted: Planted,
}

impl Rounds {
    /// The bookkeeping of a shard that has no checkpoint yet.
    pub fn fresh(partition: u32, now_ms: i64, round_ms: i64, planted: Planted) -> Self {
        Rounds {
            partition,
            due: BTreeSet::new(),
            copies: BTreeMap::new(),
            listed: BTreeMap::new(),
            round: None,
            marker: None,
            carry: None,
            next_round_ms: now_ms.saturating_add(round_ms),
            planted,
        }
    }

    /// The bookkeeping after recovery from `marker`. The next round may begin at once.
    pub fn restored(
        marker: Marker,
        copies: BTreeMap<PageId, Copies>,
        fell_back: bool,
        now_ms: i64,
        planted: Planted,
    ) -> Self {
        let mut listed = BTreeMap::new();
        for (page, pair) in &copies {
            if let Some(info) = pair.best().and_then(|slot| pair.get(slot)) {
                listed.insert(*page, Listed { page: page.0, commit: info.commit, digest: info.digest });
            }
        }
        let carry = fell_back.then(|| marker.previous.clone());
        let carry = if planted.is(Break::ForgetOlderEntry) { None } else { carry };
        Rounds {
            partition: marker.partition,
            due: BTreeSet::new(),
            copies,
            listed,
            round: None,
            marker: Some(marker),
            carry,
            next_round_ms: now_ms,
            planted,
        }
    }

    /// These pages changed.
    pub fn mark_due(&mut self, pages: impl IntoIterator<Item = PageId>) {
        self.due.extend(pages);
    }

    /// Whether pages of an open round wait to be written.
    pub fn is_writing(&self) -> bool {
        self.round.is_some()
    }

    /// Whether a round may begin at `now_ms`: its time has come and there is something to write,
    /// or at least a later start to record.
    pub fn may_begin(&self, now_ms: i64, round_ms: i64, positions: &[Offset]) -> bool {
        let Some(marker) = &self.marker else { return false };
        // A wall clock that was set back must not postpone it by as much.
        let left_ms = self.next_round_ms.saturating_sub(now_ms);
        self.round.is_none()
            && (left_ms <= 0 || left_ms > round_ms)
            && (!self.due.is_empty() || self.any_differs() || marker.this.positions != positions)
    }

    fn any_differs(&self) -> bool {
        !self.planted.is(Break::WriteOnce) && self.copies.values().any(Copies::differ)
    }

    /// Opens a round. `positions` and `journal` are those of the last commit: whatever changed
    /// since is due, so the pages of this round hold everything below them.
    pub fn begin(&mut self, now_ms: i64, round_ms: i64, positions: Vec<Offset>, journal: Offset) {
        let mut left = self.due.clone();
        if !self.planted.is(Break::WriteOnce) {
            left.extend(self.copies.iter().filter(|(_, pair)| pair.differ()).map(|(page, _)| *page));
        }
        let (pages, through_ms) = (left.len(), now_ms.saturating_add(round_ms / ROUND_TO_WRITING));
        self.round = Some(Round { left, pages, began_ms: now_ms, through_ms, positions, journal });
        self.next_round_ms = now_ms.saturating_add(round_ms);
    }

    /// How many pages a commit at `now_ms` should write, so that the round takes its time instead of
    /// delaying everything that is told while it lasts. At least one: it always gets on.
    pub fn pace(&self, now_ms: i64) -> usize {
        let Some(round) = &self.round else { return 0 };
        let whole = usize::try_from(round.through_ms.saturating_sub(round.began_ms)).unwrap_or(0);
        let past = usize::try_from(now_ms.saturating_sub(round.began_ms)).unwrap_or(whole);
        if past >= whole {
            return round.left.len();
        }
        let written = round.pages - round.left.len();
        (round.pages * past).div_ceil(whole).saturating_sub(written).max(1)
    }

    /// The next page to write in this round after `after`, and into which slot.
    pub fn next_page(&self, after: Option<PageId>) -> Option<(PageId, Slot)> {
        let round = self.round.as_ref()?;
        let page = match after {
            None => round.left.iter().next(),
            Some(after) => round.left.iter().find(|page| **page > after),
        };
        page.map(|page| (*page, self.slot_for(*page)))
    }

    /// The copy that is not the best readable one.
    fn slot_for(&self, page: PageId) -> Slot {
        let best = self.copies.get(&page).and_then(Copies::best);
        if self.planted.is(Break::OverwriteBest) {
            return best.unwrap_or(Slot::Zero);
        }
        best.map_or(Slot::Zero, Slot::other)
    }

    /// How many parts the copy in that slot has now, so that surplus ones can be removed.
    pub fn parts_in(&self, page: PageId, slot: Slot) -> u16 {
        self.copies.get(&page).and_then(|pair| pair.get(slot)).map_or(0, |info| info.parts)
    }

    /// The marker of the very first commit: where the shard began.
    pub fn first_marker(&self, positions: Vec<Offset>, journal: Offset) -> Marker {
        let entry = MarkerEntry { positions, journal, pages: Vec::new() };
        Marker { partition: self.partition, round: 0, this: entry.clone(), previous: entry }
    }

    /// Whether this shard has never written a marker.
    pub fn lacks_marker(&self) -> bool {
        self.marker.is_none()
    }

    /// The marker that closes the round, if `written` are all that was left of it.
    pub fn closing_marker(&self, written: &[WrittenPage]) -> Option<Marker> {
        let round = self.round.as_ref()?;
        let last = self.marker.as_ref()?;
        if !round.left.iter().all(|page| written.iter().any(|w| w.page == *page)) {
            return None;
        }
        let mut listed = self.listed.clone();
        for page in written {
            listed.insert(page.page, listing(page));
        }
        let this = MarkerEntry {
            positions: round.positions.clone(),
            journal: round.journal,
            pages: listed.into_values().collect(),
        };
        let previous = self.carry.clone().unwrap_or_else(|| last.this.clone());
        Some(Marker { partition: self.partition, round: last.round + 1, this, previous })
    }

    /// The slot a marker is written to: the two alternate.
    pub fn marker_slot(&self, marker: &Marker) -> Slot {
        if self.planted.is(Break::OneMarkerKey) || marker.round.is_multiple_of(2) {
            return Slot::Zero;
        }
        Slot::One
    }

    /// The commit that wrote these pages and this marker has landed.
    pub fn committed(&mut self, written: &[WrittenPage], marker: Option<Marker>) {
        for page in written {
            self.due.remove(&page.page);
            self.listed.insert(page.page, listing(page));
            self.copies.entry(page.page).or_default().set(page.slot, page.info);
            if let Some(round) = &mut self.round {
                round.left.remove(&page.page);
            }
        }
        if let Some(marker) = marker {
            if marker.round > 0 {
                self.round = None;
                self.carry = None;
            }
            self.marker = Some(marker);
        }
    }

    /// The days that both copies of a page hold.
    pub fn covered(&self, page: PageId) -> Option<Covered> {
        self.copies.get(&page).and_then(Copies::covered)
    }
}

fn listing(page: &WrittenPage) -> Listed {
    Listed { page: page.page.0, commit: page.info.commit, digest: page.info.digest }
}
