//! Dense counters over consecutive slots (days or weeks) that use one byte a slot while counts
//! are small and widen when one does not fit: most accounts stay far below 256 a day.

use super::bytes;
use serde::{Deserialize, Serialize};

/// Counters by slot number. Slots outside the stored range are zero.
#[derive(Clone, Debug, Default)]
pub struct SlotCounts {
    first: i32,
    lanes: Lanes,
}

#[derive(Clone, Debug)]
enum Lanes {
    Narrow(Vec<u8>),
    Wide(Vec<u32>),
}

impl Default for Lanes {
    fn default() -> Self {
        Lanes::Narrow(Vec::new())
    }
}

impl Lanes {
    fn len(&self) -> usize {
        match self {
            Lanes::Narrow(lane) => lane.len(),
            Lanes::Wide(lane) => lane.len(),
        }
    }

    fn get(&self, index: usize) -> u32 {
        match self {
            Lanes::Narrow(lane) => lane.get(index).copied().map_or(0, u32::from),
            Lanes::Wide(lane) => lane.get(index).copied().unwrap_or(0),
        }
    }

    fn widen(&mut self) {
        if let Lanes::Narrow(lane) = self {
            *self = Lanes::Wide(lane.iter().map(|&count| u32::from(count)).collect());
        }
    }

    fn set(&mut self, index: usize, count: u32) {
        if count > u32::from(u8::MAX) {
            self.widen();
        }
        match self {
            Lanes::Narrow(lane) => lane[index] = count as u8,
            Lanes::Wide(lane) => lane[index] = count,
        }
    }

    fn splice_zeros(&mut self, at_front: bool, n: usize) {
        match self {
            Lanes::Narrow(lane) if at_front => drop(lane.splice(0..0, std::iter::repeat_n(0, n))),
            Lanes::Wide(lane) if at_front => drop(lane.splice(0..0, std::iter::repeat_n(0, n))),
            Lanes::Narrow(lane) => {
                lane.reserve_exact(n);
                lane.resize(lane.len() + n, 0);
            }
            Lanes::Wide(lane) => {
                lane.reserve_exact(n);
                lane.resize(lane.len() + n, 0);
            }
        }
    }

    fn drop_front(&mut self, n: usize) {
        match self {
            Lanes::Narrow(lane) => drop(lane.drain(..n)),
            Lanes::Wide(lane) => drop(lane.drain(..n)),
        }
    }
}

impl SlotCounts {
    /// Adds to a slot; the count saturates at `u32::MAX` (still independent of order).
    pub fn add(&mut self, slot: i32, n: u32) {
        if n == 0 {
            return;
        }
        if self.lanes.len() == 0 {
            self.first = slot;
        }
        if slot < self.first {
            self.lanes.splice_zeros(true, (self.first - slot) as usize);
            self.first = slot;
        }
        let index = (slot - self.first) as usize;
        if index >= self.lanes.len() {
            self.lanes.splice_zeros(false, index + 1 - self.lanes.len());
        }
        self.lanes.set(index, self.lanes.get(index).saturating_add(n));
    }

    /// The count of one slot.
    pub fn get(&self, slot: i32) -> u32 {
        if slot < self.first { 0 } else { self.lanes.get((slot - self.first) as usize) }
    }

    /// Sum over `after < slot <= upto`.
    pub fn sum(&self, after: i32, upto: i32) -> u64 {
        let (from, to) = self.range(after, upto);
        match &self.lanes {
            Lanes::Narrow(lane) => lane[from..to].iter().map(|&count| u64::from(count)).sum(),
            Lanes::Wide(lane) => lane[from..to].iter().map(|&count| u64::from(count)).sum(),
        }
    }

    /// Which slots have a count in `after < slot <= upto`: bit `k` is the slot `upto - k`, for
    /// `k` up to 63.
    pub fn nonzero_mask(&self, after: i32, upto: i32) -> u64 {
        let (from, to) = self.range(after.max(upto.saturating_sub(64)), upto);
        if from == to {
            return 0;
        }
        // Bit 0 of the fold is the last stored slot of the range, which may lie before `upto`.
        let bits = match &self.lanes {
            Lanes::Narrow(lane) => lane[from..to].iter().fold(0, |bits, &n| bits << 1 | u64::from(n > 0)),
            Lanes::Wide(lane) => lane[from..to].iter().fold(0, |bits, &n| bits << 1 | u64::from(n > 0)),
        };
        bits << (i64::from(upto) - (i64::from(self.first) + to as i64 - 1))
    }

    /// The greatest slot `<= upto` with a count.
    pub fn last_nonzero(&self, upto: i32) -> Option<i32> {
        let (from, to) = self.range(i32::MIN, upto);
        (from..to).rev().find(|&index| self.lanes.get(index) > 0).map(|index| self.first + index as i32)
    }

    /// Indices of the stored slots in `after < slot <= upto`; always a valid range of the lane.
    fn range(&self, after: i32, upto: i32) -> (usize, usize) {
        let len = self.lanes.len() as i64;
        let index = |slot: i32| (i64::from(slot) + 1 - i64::from(self.first)).clamp(0, len) as usize;
        let (from, to) = (index(after), index(upto));
        (from, to.max(from))
    }

    /// Removes and returns all counts with `slot <= upto`, ascending.
    pub fn take_through(&mut self, upto: i32) -> Vec<(i32, u32)> {
        let (_, to) = self.range(i32::MIN, upto);
        if to == 0 {
            return Vec::new();
        }
        let taken = (0..to)
            .map(|index| (self.first + index as i32, self.lanes.get(index)))
            .filter(|&(_, count)| count > 0)
            .collect();
        self.lanes.drop_front(to);
        self.first += to as i32;
        taken
    }

    /// Bytes of memory it has taken beside its own.
    pub fn bytes(&self) -> usize {
        match &self.lanes {
            Lanes::Narrow(lane) => lane.capacity(),
            Lanes::Wide(lane) => lane.capacity() * size_of::<u32>(),
        }
    }

    /// Slots with a count, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (i32, u32)> + '_ {
        (0..self.lanes.len())
            .map(|index| (self.first + index as i32, self.lanes.get(index)))
            .filter(|&(_, count)| count > 0)
    }
}

/// Equality is about counts, not about how wide they happen to be stored.
impl PartialEq for SlotCounts {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SlotCounts {}

/// Written as what is there, not the zeros: the first slot, then gap and count of each in one byte
/// (four bits each) where both are small, else a zero and both as variable-length integers.
impl Serialize for SlotCounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = Vec::with_capacity(self.lanes.len() + 8);
        match &self.lanes {
            Lanes::Narrow(lane) => put_pairs(&mut out, self.first, lane.iter().map(|&n| u32::from(n))),
            Lanes::Wide(lane) => put_pairs(&mut out, self.first, lane.iter().copied()),
        }
        serializer.serialize_bytes(&out)
    }
}

fn put_pairs(out: &mut Vec<u8>, first: i32, counts: impl Iterator<Item = u32>) {
    let mut before = None;
    for (index, count) in counts.enumerate().filter(|&(_, count)| count > 0) {
        let slot = first + index as i32;
        let gap = match before {
            None => {
                bytes::put_signed(out, slot);
                1
            }
            Some(before) => slot.wrapping_sub(before) as u32,
        };
        before = Some(slot);
        if gap < 16 && count < 16 {
            out.push((gap << 4 | count) as u8);
        } else {
            out.push(0);
            bytes::put(out, gap.into());
            bytes::put(out, count.into());
        }
    }
}

/// A stored span longer than this is not ours: counters never span more than a few hundred slots.
const MAX_SPAN: u64 = 4096;

/// Gap and count of the next slot with a count; neither is zero.
#[inline]
fn take_pair(bytes: &mut &[u8]) -> Option<(u64, u32)> {
    let (&byte, rest) = bytes.split_first()?;
    *bytes = rest;
    let (gap, count) = match byte {
        0 => (bytes::take(bytes)?, u32::try_from(bytes::take(bytes)?).ok()?),
        _ => (u64::from(byte >> 4), u32::from(byte & 15)),
    };
    (gap > 0 && gap <= MAX_SPAN && count > 0).then_some((gap, count))
}

/// The counts of as many slots as the gaps come to.
fn take_pairs<T: Clone + Default>(mut bytes: &[u8], len: usize, to: impl Fn(u32) -> T) -> Option<Vec<T>> {
    let (mut lane, mut at) = (vec![T::default(); len], 0);
    while !bytes.is_empty() {
        let (gap, count) = take_pair(&mut bytes)?;
        at += gap as usize;
        *lane.get_mut(at - 1)? = to(count);
    }
    Some(lane)
}

impl SlotCounts {
    fn from_bytes(mut bytes: &[u8]) -> Option<SlotCounts> {
        if bytes.is_empty() {
            return Some(SlotCounts::default());
        }
        let first = bytes::take_signed(&mut bytes)?;
        let (mut span, mut largest, mut rest) = (0, 0, bytes);
        while !rest.is_empty() {
            let (gap, count) = take_pair(&mut rest)?;
            span += gap;
            largest = largest.max(count);
            if span > MAX_SPAN {
                return None;
            }
        }
        first.checked_add(span as i32)?;
        let len = span as usize;
        let lanes = if largest <= u32::from(u8::MAX) {
            Lanes::Narrow(take_pairs(bytes, len, |count| count as u8)?)
        } else {
            Lanes::Wide(take_pairs(bytes, len, |count| count)?)
        };
        Some(SlotCounts { first, lanes })
    }
}

impl<'de> Deserialize<'de> for SlotCounts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        SlotCounts::from_bytes(bytes).ok_or_else(|| serde::de::Error::custom("counters are damaged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(i32, u32)]) -> SlotCounts {
        let mut counts = SlotCounts::default();
        pairs.iter().for_each(|&(slot, n)| counts.add(slot, n));
        counts
    }

    #[test]
    fn windows_are_half_open_below_and_closed_above() {
        let c = counts(&[(10, 1), (11, 2), (13, 300)]);
        assert_eq!(c.sum(10, 13), 302);
        assert_eq!(c.sum(9, 12), 3);
        assert_eq!(c.sum(20, 30), 0);
        assert_eq!(c.nonzero_mask(9, 13), 0b1101);
        assert_eq!(c.nonzero_mask(9, 15), 0b110100);
        assert_eq!(c.nonzero_mask(10, 12), 0b10);
        assert_eq!(c.nonzero_mask(20, 30), 0);
        assert_eq!(c.nonzero_mask(-500, 13), 0b1101);
        assert_eq!(c.last_nonzero(12), Some(11));
        assert_eq!(c.last_nonzero(9), None);
    }

    #[test]
    fn order_and_width_do_not_matter() {
        let a = counts(&[(5, 255), (5, 1), (1, 1)]);
        let b = counts(&[(1, 1), (5, 256)]);
        assert_eq!(a, b);
    }

    #[test]
    fn what_is_stored_comes_back_and_nothing_else_does() {
        let far = [(-3, 1), (4, 15), (19, 16), (20, 300), (3000, 7)];
        for pairs in [&[][..], &[(20_000, 1)], &[(7, 3), (8, 2), (30, 9)], &far] {
            let stored = postcard::to_stdvec(&counts(pairs)).unwrap();
            let back: SlotCounts = postcard::from_bytes(&stored).unwrap();
            assert_eq!(back.iter().collect::<Vec<_>>(), pairs);
            assert_eq!(back.lanes.len(), counts(pairs).lanes.len());
        }
        let stored = |rest: &[u8]| {
            let mut bytes = vec![2];
            bytes.extend(rest);
            SlotCounts::from_bytes(&bytes)
        };
        assert!(stored(&[0x11]).is_some());
        for damaged in [&[0x10][..], &[0x01], &[0, 1], &[0, 0x80, 0x80, 1, 1], &[0, 1, 0]] {
            assert!(stored(damaged).is_none(), "{damaged:?}");
        }
    }

    #[test]
    fn taking_the_front_leaves_the_rest() {
        let mut c = counts(&[(1, 1), (3, 3), (4, 4)]);
        assert_eq!(c.take_through(3), vec![(1, 1), (3, 3)]);
        assert_eq!(c, counts(&[(4, 4)]));
    }
}
