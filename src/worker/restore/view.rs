//! What a checkpoint partition holds: the latest readable value per key. Step 5 of recovery.
//!
//! A value that does not open is as good as absent, but it hides an older value of the same key
//! only as a *copy to keep*: the older one may still be read, and the page is due again.
//! This room must not decide which copy is used (`plan.rs`).

use std::collections::BTreeMap;

use crate::engine::Covered;
use crate::engine::PageId;
use crate::log::Offset;
use crate::worker::format::{self, Key, Marker, ShardRecord, Slot};
use crate::worker::judge::Candidate;
use crate::worker::rounds::{Copies, CopyInfo};

/// One readable part of a page copy.
struct Part {
    header: format::PageHeader,
    packed: Vec<u8>,
    /// A newer value of this key is unreadable.
    hidden: bool,
}

/// A readable copy of a page, all parts together.
pub(super) struct PageCopy {
    /// The commit that wrote it.
    pub commit: u64,
    /// Digest of the content.
    pub digest: u64,
    /// Length of the content.
    pub raw_bytes: u32,
    /// Per input the position below which every event is contained.
    pub positions: Vec<Offset>,
    /// Closed days it holds.
    pub covered: Option<Covered>,
    /// Compressed content.
    pub packed: Vec<u8>,
    parts: u16,
    hidden: bool,
}

impl PageCopy {
    /// What the judge needs to know.
    pub fn candidate(&self) -> Candidate {
        Candidate { commit: self.commit, digest: self.digest }
    }

    fn info(&self) -> Option<CopyInfo> {
        (!self.hidden).then_some(CopyInfo {
            commit: self.commit,
            digest: self.digest,
            covered: self.covered,
            parts: self.parts,
        })
    }
}

/// The records of one shard's checkpoint partition.
#[derive(Default)]
pub(super) struct CheckpointView {
    /// The latest readable shard record.
    pub shard: Option<ShardRecord>,
    /// The latest readable marker per slot.
    pub markers: [Option<Marker>; 2],
    parts: BTreeMap<(PageId, Slot, u16), Part>,
    pages: BTreeMap<PageId, [Option<PageCopy>; 2]>,
    /// Keys of this shard were seen, readable or not.
    pub has_records: bool,
}

impl CheckpointView {
    /// Takes the next record of the partition, in offset order.
    pub fn push(&mut self, partition: u32, key: &[u8], value: Option<&[u8]>) {
        let Some(key) = Key::parse(key, partition) else { return };
        self.has_records = true;
        match key {
            Key::Shard => self.shard = read_shard(partition, value).or(self.shard.take()),
            Key::Marker(slot) => {
                let known = &mut self.markers[slot.index()];
                *known = read_marker(partition, value).or(known.take());
            }
            Key::Page { page, slot, part } => self.push_part(partition, (page, slot, part), value),
        }
    }

    fn push_part(&mut self, partition: u32, key: (PageId, Slot, u16), value: Option<&[u8]>) {
        let Some(value) = value else {
            self.parts.remove(&key);
            return;
        };
        let read = format::decode_page_part(value).ok().filter(|(header, _)| {
            (header.partition, header.page, header.part) == (partition, key.0.0, key.2)
        });
        match read {
            Some((header, packed)) => {
                self.parts.insert(key, Part { header, packed: packed.to_vec(), hidden: false });
            }
            None => {
                if let Some(part) = self.parts.get_mut(&key) {
                    part.hidden = true;
                }
            }
        }
    }

    /// Everything was read: puts the parts of each copy together.
    pub fn seal(&mut self) {
        let mut groups: BTreeMap<(PageId, Slot), Vec<Part>> = BTreeMap::new();
        for ((page, slot, _), part) in std::mem::take(&mut self.parts) {
            groups.entry((page, slot)).or_default().push(part);
        }
        for ((page, slot), parts) in groups {
            self.pages.entry(page).or_default()[slot.index()] = join(parts);
        }
    }

    /// The readable copy of a page with the greatest number.
    pub fn best(&self, page: PageId) -> Option<(Slot, &PageCopy)> {
        let pair = self.pages.get(&page)?;
        let readable = Slot::BOTH.into_iter().filter_map(|slot| Some((slot, pair[slot.index()].as_ref()?)));
        readable.max_by_key(|(slot, copy)| (copy.commit, std::cmp::Reverse(*slot)))
    }

    /// The best copy of every page that has one.
    pub fn best_copies(&self) -> BTreeMap<PageId, Candidate> {
        let best = self.pages.keys().filter_map(|page| Some((*page, self.best(*page)?.1.candidate())));
        best.collect()
    }

    /// The copy turned out to be unusable after all.
    pub fn discard(&mut self, page: PageId, slot: Slot) {
        if let Some(pair) = self.pages.get_mut(&page) {
            pair[slot.index()] = None;
        }
    }

    /// The page is loaded: its bytes are not needed any more, what is known of it stays.
    pub fn unload(&mut self, page: PageId) {
        for copy in self.pages.get_mut(&page).into_iter().flatten().flatten() {
            copy.packed = Vec::new();
        }
    }

    /// What the bookkeeping of pages needs to know.
    pub fn copies(&self) -> BTreeMap<PageId, Copies> {
        let info = |copy: &Option<PageCopy>| copy.as_ref().and_then(PageCopy::info);
        self.pages.iter().map(|(page, [zero, one])| (*page, Copies::new(info(zero), info(one)))).collect()
    }
}

/// The shard record in a value, if it is one of this shard.
pub(super) fn read_shard(partition: u32, value: Option<&[u8]>) -> Option<ShardRecord> {
    format::decode::<ShardRecord>(value?).ok().filter(|record| record.partition == partition)
}

fn read_marker(partition: u32, value: Option<&[u8]>) -> Option<Marker> {
    format::decode::<Marker>(value?).ok().filter(|marker| marker.partition == partition)
}

/// Parts 0 to n−1 of one commit; surplus parts of an older copy are ignored.
fn join(parts: Vec<Part>) -> Option<PageCopy> {
    let first = parts.first().filter(|part| part.header.part == 0)?;
    let (commit, count) = (first.header.commit, first.header.parts);
    let head = first.header.clone();
    let mut packed = Vec::new();
    let mut hidden = false;
    let mut expected = 0;
    for part in parts.into_iter().take(usize::from(count)) {
        if (part.header.commit, part.header.part) != (commit, expected) {
            return None;
        }
        packed.extend_from_slice(&part.packed);
        hidden |= part.hidden;
        expected += 1;
    }
    (expected == count).then_some(PageCopy {
        commit,
        digest: head.digest,
        raw_bytes: head.raw_bytes,
        positions: head.positions,
        covered: head.covered,
        packed,
        parts: count,
        hidden,
    })
}
