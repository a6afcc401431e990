//! The bytes of the checkpoint topic: shard records, markers and page copies.
//!
//! Every value is sealed: a version byte, a checksum of everything behind it, then the payload.
//! A value that does not open is *unreadable*, whatever is wrong with it: recovery treats it as
//! absent and never guesses. Decoders are total: no bytes make them panic or allocate without
//! bound.
//!
//! ```text
//! value  = version u8 | xxh3-64 of the payload, little endian | payload
//! record = postcard(ShardRecord) or postcard(Marker)
//! page   = postcard(PageHeader) | a stretch of lz4(page content)
//! keys   = shard/<p>   marker/<p>/<0|1>   page/<p>/<page>/<slot>   page/<p>/<page>/<slot>/<part>
//! ```
//!
//! To change a layout: raise [`FORMAT_VERSION`], keep the decoder of the old one beside the new.
//! This room must not decide what is complete or newest (see `judge.rs`, `rounds.rs`).

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::Covered;
use crate::engine::PageId;
use crate::log::Offset;

/// Version byte in front of every value.
pub const FORMAT_VERSION: u8 = 1;
/// Bytes of version and checksum in front of the payload.
const SEAL_BYTES: usize = 9;
/// Largest uncompressed page that is believed; a header that claims more is rotten.
pub const MAX_PAGE_BYTES: u32 = 512 * 1024 * 1024;
/// No byte of compressed content stands for more bytes than this (lz4 counts a repeat in bytes of
/// at most 255); a header that claims more is rotten, and must not be believed with memory.
const MAX_EXPANSION: usize = 256;

/// Why a value of the checkpoint topic cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Shorter than the seal.
    #[error("the value has {bytes} bytes, less than its seal")]
    Short {
        /// Its length.
        bytes: usize,
    },
    /// Written by a version we do not know.
    #[error("the value has format version {found}, this program reads {FORMAT_VERSION}")]
    Version {
        /// Its version byte.
        found: u8,
    },
    /// The checksum does not match.
    #[error("the checksum does not match the bytes")]
    Checksum,
    /// The payload does not decode.
    #[error("the payload does not decode: {detail}")]
    Payload {
        /// What the decoder said.
        detail: String,
    },
    /// The parts of a page copy do not belong together.
    #[error("the page copy is incomplete: {detail}")]
    Parts {
        /// What is wrong.
        detail: &'static str,
    },
}

/// One of the two places a page is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// Key suffix `0`.
    Zero,
    /// Key suffix `1`.
    One,
}

impl Slot {
    /// Both, in order.
    pub const BOTH: [Slot; 2] = [Slot::Zero, Slot::One];

    /// As an index into a pair.
    pub const fn index(self) -> usize {
        match self {
            Slot::Zero => 0,
            Slot::One => 1,
        }
    }

    /// The other one.
    pub const fn other(self) -> Slot {
        match self {
            Slot::Zero => Slot::One,
            Slot::One => Slot::Zero,
        }
    }
}

/// Settings that decide what stored bytes mean. They are stored with the state, and a worker
/// that runs with others is refused instead of silently mis-reading it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StateIdentity {
    /// Partitions of every input topic.
    pub partitions: u32,
    /// Names of the input topics, in input order: positions are stored by that order.
    pub inputs: Vec<String>,
    /// [`crate::engine::event::PersonKey::fingerprint`] of the pseudonym key.
    pub person_key: u64,
    /// [`crate::engine::EngineConfig::state_version`]: day offset and limits.
    pub engine: String,
}

/// `shard/<p>`: written in every commit of the shard.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ShardRecord {
    /// Which shard.
    pub partition: u32,
    /// The commit this record belongs to; equals the number in the positions' metadata.
    pub commit: u64,
    /// Every deadline up to and including this instant is handled.
    pub clock_ms: Option<i64>,
    /// How often the config of this shard's state was changed.
    pub config_epoch: u64,
    /// The config that took the decisions.
    pub config_version: String,
    /// Whether every account was evaluated under that config.
    pub evaluated: bool,
    /// Newest event time per input, in input order.
    pub newest_ms: Vec<Option<i64>>,
    /// What the stored bytes mean.
    pub identity: StateIdentity,
}

/// A page in the list of a marker: a copy is complete when its number is at least `commit`, or
/// when its content has this digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Listed {
    /// Which page.
    pub page: u8,
    /// Number of the commit that last wrote it.
    pub commit: u64,
    /// xxh3-64 of its uncompressed content.
    pub digest: u64,
}

/// Where one round began and what it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MarkerEntry {
    /// Start position per input; pages of the list contain everything below.
    pub positions: Vec<Offset>,
    /// Position in the scores partition from which decisions must be read.
    pub journal: Offset,
    /// The pages that exist, ascending.
    pub pages: Vec<Listed>,
}

impl MarkerEntry {
    /// The listing of a page.
    pub fn listed(&self, page: PageId) -> Option<Listed> {
        self.pages.iter().find(|l| l.page == page.0).copied()
    }
}

/// `marker/<p>/<round % 2>`: closes a round of pages.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Marker {
    /// Which shard.
    pub partition: u32,
    /// Counts up by one with each marker.
    pub round: u64,
    /// The round this marker closes.
    pub this: MarkerEntry,
    /// The round before (or the older one that recovery had to fall back to).
    pub previous: MarkerEntry,
}

/// In front of each part of a page copy.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct PageHeader {
    /// Which shard.
    pub partition: u32,
    /// Which page.
    pub page: u8,
    /// The commit that wrote this copy.
    pub commit: u64,
    /// This part, from 0.
    pub part: u16,
    /// How many parts the copy has.
    pub parts: u16,
    /// Length of the uncompressed content.
    pub raw_bytes: u32,
    /// xxh3-64 of the uncompressed content.
    pub digest: u64,
    /// Per input the position below which every event is contained.
    pub positions: Vec<Offset>,
    /// Which closed days the content holds; none before the first clock.
    pub covered: Option<Covered>,
}

/// What a key of the checkpoint topic names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `shard/<p>`
    Shard,
    /// `marker/<p>/<0|1>`
    Marker(Slot),
    /// `page/<p>/<page>/<slot>[/<part>]`
    Page {
        /// Which page.
        page: PageId,
        /// Which copy.
        slot: Slot,
        /// Which part of the copy.
        part: u16,
    },
}

impl Key {
    /// The bytes of the key in shard `partition`.
    pub fn bytes(self, partition: u32) -> Vec<u8> {
        match self {
            Key::Shard => format!("shard/{partition}"),
            Key::Marker(slot) => format!("marker/{partition}/{}", slot.index()),
            Key::Page { page, slot, part: 0 } => format!("page/{partition}/{}/{}", page.0, slot.index()),
            Key::Page { page, slot, part } => format!("page/{partition}/{}/{}/{part}", page.0, slot.index()),
        }
        .into_bytes()
    }

    /// What the bytes name, if they are a key of shard `partition`.
    pub fn parse(bytes: &[u8], partition: u32) -> Option<Key> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split('/');
        let kind = words.next()?;
        if words.next()?.parse::<u32>().ok()? != partition {
            return None;
        }
        let key = match kind {
            "shard" => Key::Shard,
            "marker" => Key::Marker(parse_slot(words.next()?)?),
            "page" => {
                let page = PageId(words.next()?.parse().ok()?);
                let slot = parse_slot(words.next()?)?;
                let part = words.next().map_or(Some(0), |w| w.parse().ok())?;
                Key::Page { page, slot, part }
            }
            _ => return None,
        };
        words.next().is_none().then_some(key)
    }
}

fn parse_slot(word: &str) -> Option<Slot> {
    match word {
        "0" => Some(Slot::Zero),
        "1" => Some(Slot::One),
        _ => None,
    }
}

fn seal(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(SEAL_BYTES + payload.len());
    out.push(FORMAT_VERSION);
    out.extend_from_slice(&xxh3_64(payload).to_le_bytes());
    out.extend_from_slice(payload);
    out
}

fn unseal(bytes: &[u8]) -> Result<&[u8], FormatError> {
    let (seal, payload) =
        bytes.split_at_checked(SEAL_BYTES).ok_or(FormatError::Short { bytes: bytes.len() })?;
    let [version, sum @ ..] = seal else { return Err(FormatError::Short { bytes: bytes.len() }) };
    if *version != FORMAT_VERSION {
        return Err(FormatError::Version { found: *version });
    }
    if sum != xxh3_64(payload).to_le_bytes() {
        return Err(FormatError::Checksum);
    }
    Ok(payload)
}

fn payload_error(error: &postcard::Error) -> FormatError {
    FormatError::Payload { detail: error.to_string() }
}

/// A sealed shard record or marker.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FormatError> {
    postcard::to_stdvec(value).map(|payload| seal(&payload)).map_err(|e| payload_error(&e))
}

/// Opens a sealed shard record or marker.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FormatError> {
    let (value, rest) = postcard::take_from_bytes(unseal(bytes)?).map_err(|e| payload_error(&e))?;
    if !rest.is_empty() {
        return Err(FormatError::Payload { detail: format!("{} bytes are left over", rest.len()) });
    }
    Ok(value)
}

/// The digest of a page's uncompressed content.
pub fn digest(content: &[u8]) -> u64 {
    xxh3_64(content)
}

/// What identifies one written copy of a page.
#[derive(Clone, Debug)]
pub struct CopyStamp {
    /// Which shard.
    pub partition: u32,
    /// Which page.
    pub page: PageId,
    /// The commit that writes it.
    pub commit: u64,
    /// Per input the position below which every event is contained.
    pub positions: Vec<Offset>,
    /// Which closed days the content holds; none before the first clock.
    pub covered: Option<Covered>,
}

/// The sealed parts of a page copy, each of about `split_bytes` at most.
pub fn encode_page(
    stamp: &CopyStamp,
    content: &[u8],
    split_bytes: usize,
) -> Result<Vec<Vec<u8>>, FormatError> {
    let raw_bytes = u32::try_from(content.len()).ok().filter(|bytes| *bytes <= MAX_PAGE_BYTES);
    let raw_bytes = raw_bytes.ok_or(FormatError::Parts { detail: "the page is larger than its limit" })?;
    let packed = lz4_flex::block::compress(content);
    let chunks: Vec<&[u8]> =
        if packed.is_empty() { vec![&[]] } else { packed.chunks(split_bytes.max(1)).collect() };
    let parts = u16::try_from(chunks.len())
        .map_err(|_| FormatError::Parts { detail: "the page has more parts than can be numbered" })?;
    let digest = digest(content);
    let mut sealed = Vec::with_capacity(chunks.len());
    for (part, chunk) in (0..parts).zip(chunks) {
        let header = PageHeader {
            partition: stamp.partition,
            page: stamp.page.0,
            commit: stamp.commit,
            part,
            parts,
            raw_bytes,
            digest,
            positions: stamp.positions.clone(),
            covered: stamp.covered,
        };
        let mut payload = postcard::to_stdvec(&header).map_err(|e| payload_error(&e))?;
        payload.extend_from_slice(chunk);
        sealed.push(seal(&payload));
    }
    Ok(sealed)
}

/// Opens one part of a page copy: its header and its stretch of the compressed content.
pub fn decode_page_part(bytes: &[u8]) -> Result<(PageHeader, &[u8]), FormatError> {
    let (header, body) =
        postcard::take_from_bytes::<PageHeader>(unseal(bytes)?).map_err(|e| payload_error(&e))?;
    if header.raw_bytes > MAX_PAGE_BYTES || header.part >= header.parts {
        return Err(FormatError::Parts { detail: "the header is out of its limits" });
    }
    Ok((header, body))
}

/// The content of a page copy from all its compressed stretches, checked against its digest.
pub fn unpack_page(packed: &[u8], raw_bytes: u32, expected: u64) -> Result<Vec<u8>, FormatError> {
    if raw_bytes > MAX_PAGE_BYTES {
        return Err(FormatError::Parts { detail: "the page is larger than its limit" });
    }
    if raw_bytes as usize > packed.len().saturating_mul(MAX_EXPANSION) {
        return Err(FormatError::Parts { detail: "the page is larger than its content can be" });
    }
    let content = lz4_flex::block::decompress(packed, raw_bytes as usize)
        .map_err(|e| FormatError::Payload { detail: e.to_string() })?;
    if content.len() != raw_bytes as usize || digest(&content) != expected {
        return Err(FormatError::Checksum);
    }
    Ok(content)
}

/// Prefix of the text committed beside a position.
const NUMBER_PREFIX: &str = "accountpulse/1 commit=";

/// The text committed beside every position of a shard: the commit's number.
pub fn number_text(commit: u64) -> String {
    format!("{NUMBER_PREFIX}{commit}")
}

/// The number in the text beside a position; `None` if another program wrote it.
pub fn parse_number(text: &str) -> Option<u64> {
    text.strip_prefix(NUMBER_PREFIX)?.parse().ok()
}
