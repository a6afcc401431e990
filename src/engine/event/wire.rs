//! The protobuf wire format: keys, varints, lengths, and skipping what is not known. Everything
//! is read in place; nothing is copied and nothing is allocated. Total on any bytes: it either
//! advances or stops with a [`Damage`], and groups nest to a bounded depth.
//!
//! This file knows no message. To read another one: a `message!` table in `proto.rs`; to read
//! another type of field: a [`Slot`] in `slot.rs`.

use std::fmt;

use super::{Reason, Refusal};

/// How deep groups (long deprecated, still legal) may nest inside an unknown field.
const MAX_GROUPS: u32 = 32;

/// Where and why the bytes stop being a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Byte offset in the value.
    at: usize,
    what: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Truncated,
    Varint,
    Key,
    Group,
    Depth,
    WireType(u32),
    NotUtf8(u32),
    TooMany(u32),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            Fault::Truncated => f.write_str("the bytes end within a field")?,
            Fault::Varint => f.write_str("a varint is longer than 64 bits")?,
            Fault::Key => f.write_str("a field key is no key")?,
            Fault::Group => f.write_str("a group ends that did not begin")?,
            Fault::Depth => f.write_str("groups are nested too deep")?,
            Fault::WireType(field) => write!(f, "field {field} has another wire type than in the schema")?,
            Fault::NotUtf8(field) => write!(f, "the text in field {field} is not UTF-8")?,
            Fault::TooMany(field) => write!(f, "field {field} is repeated too often")?,
        }
        write!(f, " (byte {})", self.at)
    }
}

/// The wire type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Fixed64,
    Delimited,
    Group,
    GroupEnd,
    Fixed32,
}

/// The key in front of a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldKey {
    pub number: u32,
    pub wire: WireType,
    /// Where it stands, for [`Damage`].
    at: usize,
}

impl FieldKey {
    #[cold]
    fn damage(self, what: Fault) -> Damage {
        Damage { at: self.at, what }
    }

    /// The field is repeated more often than anybody needs.
    #[cold]
    pub fn too_many(self) -> Damage {
        self.damage(Fault::TooMany(self.number))
    }

    #[inline]
    fn expect(self, wire: WireType) -> Result<(), Damage> {
        if self.wire == wire { Ok(()) } else { Err(self.damage(Fault::WireType(self.number))) }
    }
}

/// A message, or a part of one, being read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    /// From the start of the whole value (so that offsets are its own) to the end of this message.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// Whether everything is read.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[cold]
    fn damage(&self, what: Fault) -> Damage {
        Damage { at: self.at, what }
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Damage> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Damage> {
        let rest = self.rest();
        let mut value = 0_u64;
        for (index, &byte) in rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                // The tenth byte has room for one bit.
                if index == 9 && byte > 1 {
                    return Err(self.damage(Fault::Varint));
                }
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(self.damage(if rest.len() < 10 { Fault::Truncated } else { Fault::Varint }))
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'a [u8], Damage> {
        let rest = self.rest();
        match usize::try_from(length).ok().and_then(|length| rest.get(..length)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(self.damage(Fault::Truncated)),
        }
    }

    /// The next key; only in front of something.
    #[inline]
    pub fn key(&mut self) -> Result<FieldKey, Damage> {
        let at = self.at;
        let raw = self.varint()?;
        let wire = match raw & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Delimited,
            3 => WireType::Group,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            _ => return Err(Damage { at, what: Fault::Key }),
        };
        match u32::try_from(raw) {
            Ok(raw) if raw >= 8 => Ok(FieldKey { number: raw >> 3, wire, at }),
            _ => Err(Damage { at, what: Fault::Key }),
        }
    }

    /// The value of a varint field.
    #[inline]
    pub fn number(&mut self, key: FieldKey) -> Result<u64, Damage> {
        key.expect(WireType::Varint)?;
        self.varint()
    }

    /// The value of a bytes field.
    #[inline]
    pub fn blob(&mut self, key: FieldKey) -> Result<&'a [u8], Damage> {
        key.expect(WireType::Delimited)?;
        let length = self.varint()?;
        self.take(length)
    }

    /// The value of a string field.
    #[inline]
    pub fn text(&mut self, key: FieldKey) -> Result<&'a str, Damage> {
        let bytes = self.blob(key)?;
        std::str::from_utf8(bytes).map_err(|_| key.damage(Fault::NotUtf8(key.number)))
    }

    /// The message in a message field.
    #[inline]
    pub fn message(&mut self, key: FieldKey) -> Result<Reader<'a>, Damage> {
        key.expect(WireType::Delimited)?;
        let length = self.varint()?;
        let at = self.at;
        self.take(length)?;
        // Just taken, so it ends inside.
        Ok(Reader { bytes: &self.bytes[..self.at], at })
    }

    /// Skips the value of a field nobody knows.
    #[cold]
    pub fn skip(&mut self, key: FieldKey) -> Result<(), Damage> {
        self.skip_within(key, MAX_GROUPS)
    }

    fn skip_within(&mut self, key: FieldKey, groups: u32) -> Result<(), Damage> {
        match key.wire {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed32 => self.take(4).map(drop),
            WireType::Fixed64 => self.take(8).map(drop),
            WireType::Delimited => {
                let length = self.varint()?;
                self.take(length).map(drop)
            }
            WireType::GroupEnd => Err(key.damage(Fault::Group)),
            WireType::Group if groups == 0 => Err(key.damage(Fault::Depth)),
            WireType::Group => loop {
                let inner = self.key()?;
                match inner.wire {
                    WireType::GroupEnd if inner.number == key.number => return Ok(()),
                    _ => self.skip_within(inner, groups - 1)?,
                }
            },
        }
    }
}

/// Cuts a stream of messages, each behind its length as a varint. After a broken length nothing
/// follows.
pub fn split_delimited(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], Refusal>> {
    let mut from = Reader::new(bytes);
    std::iter::from_fn(move || {
        if from.is_done() {
            return None;
        }
        let message = from.varint().and_then(|length| from.take(length));
        Some(message.map_err(|damage| {
            // What is left cannot be cut any more.
            from.at = bytes.len();
            let sentence =
                format!("the length in front of a message is wrong: {damage}; send varint, message, …");
            Refusal::new(Reason::MalformedFraming, sentence)
        }))
    })
}

/// A message being filled in, field by field.
pub(super) trait Message<'a> {
    /// Reads the value of a known field; `false`, with the value still unread, if it is not one.
    fn field(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<bool, Damage>;
}

/// Reads a message into `message`, on top of what is there: as protobuf has it, the last value
/// of a field stays. Returns how many fields were not known.
#[inline]
pub(super) fn merge<'a, M: Message<'a>>(message: &mut M, mut from: Reader<'a>) -> Result<u32, Damage> {
    let mut unknown = 0_u32;
    while !from.is_done() {
        let key = from.key()?;
        if !message.field(key, &mut from)? {
            unknown = unknown.saturating_add(1);
            from.skip(key)?;
        }
    }
    Ok(unknown)
}
