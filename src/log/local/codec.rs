//! How records lie in a stored value.
//!
//! ```text
//! value  = version u8 | count u32 | newest timestamp i64 | record*
//! record = timestamp i64 | key length u32 | value length u32 | headers length u32
//!          | key | value | header*                    (length 0xFFFF_FFFF: none)
//! header = name length u16 | name | value length u32 | value
//! ```
//! All integers are little-endian. The offset of the first record is in the key of the value;
//! the records of one value have consecutive offsets.

use super::{LocalError, MAX_RECORD_BYTES};
use crate::log::{Offset, RecordBatch, RecordRef, TopicPartition};

const VALUE_VERSION: u8 = 1;
const VALUE_HEAD: usize = 1 + 4 + 8;
const RECORD_HEAD: usize = 8 + 4 + 4 + 4;
const NONE: u32 = u32::MAX;

// Lengths are stored in 32 bits and the greatest value means "none".
const _: () = assert!(MAX_RECORD_BYTES < NONE as usize);

/// A record about to be stored, borrowed from its owner.
pub(super) struct Fresh<'a, N, V> {
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [(N, V)],
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Fresh<'_, N, V> {
    fn headers_len(&self) -> usize {
        self.headers.iter().map(|(name, value)| 6 + name.as_ref().len() + value.as_ref().len()).sum()
    }

    /// How many bytes the record takes when stored.
    pub(super) fn stored_len(&self) -> usize {
        let parts = self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len);
        RECORD_HEAD + parts + self.headers_len()
    }
}

/// Records of one partition, encoded, still without offsets.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) count: u32,
    newest_ms: i64,
    bytes: Vec<u8>,
}

impl Body {
    pub(super) fn new() -> Self {
        Self { count: 0, newest_ms: i64::MIN, bytes: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push<N: AsRef<str>, V: AsRef<[u8]>>(
        &mut self,
        record: &Fresh<'_, N, V>,
    ) -> Result<(), LocalError> {
        let headers = record.headers_len();
        let (key, value) = (record.key.map_or(0, <[u8]>::len), record.value.map_or(0, <[u8]>::len));
        let bytes = key + value + headers;
        if bytes > MAX_RECORD_BYTES {
            return Err(LocalError::TooLarge { what: "a record", bytes, limit: MAX_RECORD_BYTES });
        }
        if let Some((name, _)) =
            record.headers.iter().find(|(name, _)| name.as_ref().len() > usize::from(u16::MAX))
        {
            let (bytes, limit) = (name.as_ref().len(), usize::from(u16::MAX));
            return Err(LocalError::TooLarge { what: "a header name", bytes, limit });
        }
        self.bytes.reserve(RECORD_HEAD + bytes);
        self.bytes.extend_from_slice(&record.timestamp_ms.to_le_bytes());
        for length in [record.key.map(<[u8]>::len), record.value.map(<[u8]>::len), Some(headers)] {
            self.bytes.extend_from_slice(&length.map_or(NONE, narrow).to_le_bytes());
        }
        self.bytes.extend_from_slice(record.key.unwrap_or_default());
        self.bytes.extend_from_slice(record.value.unwrap_or_default());
        for (name, value) in record.headers {
            let (name, value) = (name.as_ref(), value.as_ref());
            // Checked above: names fit 16 bits.
            let name_length = u16::try_from(name.len()).unwrap_or(u16::MAX);
            self.bytes.extend_from_slice(&name_length.to_le_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(&narrow(value.len()).to_le_bytes());
            self.bytes.extend_from_slice(value);
        }
        self.count += 1;
        self.newest_ms = self.newest_ms.max(record.timestamp_ms);
        Ok(())
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.count += other.count;
        self.newest_ms = self.newest_ms.max(other.newest_ms);
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// The value as it is stored.
    pub(super) fn to_value(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(VALUE_HEAD + self.bytes.len());
        value.push(VALUE_VERSION);
        value.extend_from_slice(&self.count.to_le_bytes());
        value.extend_from_slice(&self.newest_ms.to_le_bytes());
        value.extend_from_slice(&self.bytes);
        value
    }
}

/// A length that was checked against [`MAX_RECORD_BYTES`] before.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(NONE)
}

/// What retention needs to know of a stored value.
pub(super) struct Summary {
    pub(super) count: u32,
    pub(super) newest_ms: i64,
}

pub(super) fn summary(value: &[u8]) -> Option<Summary> {
    let (head, _) = value.split_first_chunk::<VALUE_HEAD>()?;
    if head.first() != Some(&VALUE_VERSION) {
        return None;
    }
    Some(Summary { count: u32_at(value, 1)?, newest_ms: i64_at(value, 5)? })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..)?.first_chunk().map(|chunk| i64::from_le_bytes(*chunk))
}

/// Where a record's parts lie in the batch's bytes. Made by [`LocalBatch::take_value`] only, which
/// checks that all of them are inside.
#[derive(Clone, Copy, Debug)]
struct Slot {
    offset: Offset,
    timestamp_ms: i64,
    start: usize,
    key: Option<usize>,
    value: Option<usize>,
    headers: usize,
}

impl Slot {
    fn read(bytes: &[u8], start: usize, offset: Offset) -> Option<(Self, usize)> {
        let length = |at| u32_at(bytes, start + at).map(|found| (found != NONE).then_some(found as usize));
        let slot = Self {
            offset,
            timestamp_ms: i64_at(bytes, start)?,
            start: start + RECORD_HEAD,
            key: length(8)?,
            value: length(12)?,
            headers: length(16)??,
        };
        let end = slot.headers_start() + slot.headers;
        (end <= bytes.len()).then_some((slot, end))
    }

    fn headers_start(&self) -> usize {
        self.start + self.key.unwrap_or(0) + self.value.unwrap_or(0)
    }
}

/// Records of one partition; owns their bytes.
#[derive(Debug)]
pub struct LocalBatch {
    at: TopicPartition,
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

impl LocalBatch {
    pub(super) fn new(at: TopicPartition) -> Self {
        Self { at, bytes: Vec::new(), slots: Vec::new() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the records of a stored value with offsets from `from` on, until `room` bytes are
    /// passed. Answers the offset behind the last one taken or skipped; `None` if the value is
    /// damaged.
    pub(super) fn take_value(
        &mut self,
        base: Offset,
        value: &[u8],
        from: Offset,
        room: usize,
    ) -> Option<Offset> {
        let count = summary(value)?.count;
        let limit = self.bytes.len().saturating_add(room);
        let (mut at, mut offset) = (VALUE_HEAD, base);
        for _ in 0..count {
            let (slot, end) = Slot::read(value, at, offset)?;
            if offset >= from {
                if self.bytes.len() >= limit && !self.slots.is_empty() {
                    break;
                }
                let start = self.bytes.len();
                self.bytes.extend_from_slice(value.get(slot.start..end)?);
                self.slots.push(Slot { start, ..slot });
            }
            at = end;
            offset += 1;
        }
        Some(offset)
    }

    fn part(&self, start: usize, length: usize) -> &[u8] {
        self.bytes.get(start..start + length).unwrap_or_default()
    }

    /// The headers of the record at `index`, in order.
    pub fn headers(&self, index: usize) -> impl Iterator<Item = (&str, &[u8])> {
        let slot = self.slots.get(index);
        let mut rest = slot.map_or(&[][..], |slot| self.part(slot.headers_start(), slot.headers));
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk()?;
            let (name, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            let (length, after) = after.split_first_chunk()?;
            let (value, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = after;
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }
}

impl RecordBatch for LocalBatch {
    fn len(&self) -> usize {
        self.slots.len()
    }

    fn get(&self, index: usize) -> RecordRef<'_> {
        // The trait states the panic.
        let slot = &self.slots[index];
        RecordRef {
            at: self.at,
            offset: slot.offset,
            timestamp_ms: slot.timestamp_ms,
            key: slot.key.map(|length| self.part(slot.start, length)),
            value: slot.value.map(|length| self.part(slot.start + slot.key.unwrap_or(0), length)),
        }
    }

    fn has_headers(&self, index: usize) -> bool {
        self.slots.get(index).is_some_and(|slot| slot.headers > 0)
    }

    fn header(&self, index: usize, name: &str) -> Option<&[u8]> {
        self.headers(index).filter(|(known, _)| *known == name).last().map(|(_, value)| value)
    }

    fn each_header<'b>(&'b self, index: usize, see: &mut dyn FnMut(&'b str, &'b [u8])) {
        self.headers(index).for_each(|(name, value)| see(name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::TopicId;

    const AT: TopicPartition = TopicPartition { topic: TopicId(0), partition: 3 };

    fn body() -> Body {
        let headers = [("a", vec![1]), ("b", vec![]), ("a", vec![2, 3])];
        let mut body = Body::new();
        body.push(&Fresh { timestamp_ms: 5, key: Some(b"k"), value: Some(b"vv"), headers: &headers })
            .unwrap();
        body.push::<&str, Vec<u8>>(&Fresh { timestamp_ms: -9, key: None, value: None, headers: &[] })
            .unwrap();
        body.push::<&str, Vec<u8>>(&Fresh {
            timestamp_ms: 4,
            key: Some(b""),
            value: Some(b""),
            headers: &[],
        })
        .unwrap();
        body
    }

    #[test]
    fn records_come_back_as_they_were() {
        let value = body().to_value();
        let known = summary(&value).unwrap();
        assert_eq!((known.count, known.newest_ms), (3, 5));
        let mut batch = LocalBatch::new(AT);
        assert_eq!(batch.take_value(10, &value, 0, usize::MAX), Some(13));
        let seen: Vec<_> = (0..3)
            .map(|index| batch.get(index))
            .map(|r| (r.offset, r.timestamp_ms, r.key, r.value))
            .collect();
        let (k, vv, empty) = (b"k".as_slice(), b"vv".as_slice(), b"".as_slice());
        assert_eq!(
            seen,
            [(10, 5, Some(k), Some(vv)), (11, -9, None, None), (12, 4, Some(empty), Some(empty))]
        );
        assert_eq!(batch.header(0, "a"), Some([2, 3].as_slice()));
        assert_eq!(batch.header(0, "b"), Some(empty));
        assert_eq!((batch.header(0, "c"), batch.header(1, "a"), batch.header(9, "a")), (None, None, None));
    }

    #[test]
    fn a_read_may_start_and_stop_inside_a_value() {
        let value = body().to_value();
        let mut batch = LocalBatch::new(AT);
        assert_eq!(batch.take_value(10, &value, 11, 0), Some(12));
        assert_eq!((batch.len(), batch.get(0).offset), (1, 11));
    }

    #[test]
    fn a_cut_value_is_refused_at_every_length() {
        let value = body().to_value();
        for length in 0..value.len() {
            assert_eq!(LocalBatch::new(AT).take_value(0, &value[..length], 0, usize::MAX), None, "{length}");
        }
    }

    #[test]
    fn an_oversized_record_is_refused() {
        let value = vec![0; MAX_RECORD_BYTES + 1];
        let fresh = Fresh::<&str, Vec<u8>> { timestamp_ms: 0, key: None, value: Some(&value), headers: &[] };
        assert!(matches!(Body::new().push(&fresh), Err(LocalError::TooLarge { .. })));
    }
}
