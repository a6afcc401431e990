//! A dead letter as a program that reads the topic sees it: what the worker's headers say, and the
//! refused record as it was. `docs/contract.md` has the names; `worker/dead_letter.rs` writes them.
//!
//! This file decides nothing: what becomes of a letter is in `put_back.rs`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Stored;
use crate::worker::{
    HEADER_BY_REFERENCE, HEADER_CODE, HEADER_KEY_BY_REFERENCE, HEADER_LEFT_OUT, HEADER_MESSAGE,
    HEADER_OFFSET, HEADER_PARTITION, HEADER_STAGE, HEADER_TIMESTAMP, HEADER_TOPIC, is_letter_header,
};

/// On a record that was put back: the letter it comes from, `topic/partition/offset`.
pub const HEADER_RESUBMITTED: &str = "accountpulse.resubmitted.from";

/// Where a letter stands in the dead-letter topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LetterPlace {
    /// Partition; also that of the refused record.
    pub partition: u32,
    /// Offset.
    pub offset: u64,
}

impl fmt::Display for LetterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

impl FromStr for LetterPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<LetterPlace, String> {
        let parse = || {
            let (partition, offset) = text.split_once('/')?;
            Some(LetterPlace { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        };
        parse().ok_or_else(|| "a dead letter is named by partition/offset, such as 0/17".to_owned())
    }
}

impl TryFrom<String> for LetterPlace {
    type Error = String;

    fn try_from(text: String) -> Result<LetterPlace, String> {
        text.parse()
    }
}

impl From<LetterPlace> for String {
    fn from(place: LetterPlace) -> String {
        place.to_string()
    }
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Where it stands.
    pub place: LetterPlace,
    /// Its own time in the dead-letter topic.
    pub written_ms: i64,
    /// Name of the input topic of the refused record.
    pub topic: String,
    /// Its partition there.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// Why it was refused: one of the codes.
    pub code: String,
    /// The sentence.
    pub message: String,
    /// Where in the engine: `decode` or `apply`.
    pub stage: String,
    /// The refused record's time.
    pub timestamp_ms: i64,
    /// Its key, unless left out.
    pub key: Option<Vec<u8>>,
    /// Its value, unless left out.
    pub value: Option<Vec<u8>>,
    /// Its own headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Length of a value that was left out.
    pub value_left_out: Option<u64>,
    /// Length of a key that was left out.
    pub key_left_out: Option<u64>,
    /// How many of its headers were left out.
    pub headers_left_out: u64,
}

impl Letter {
    /// The letter in a record of the dead-letter topic; `None` if it is none of ours.
    pub fn read(partition: u32, record: Stored) -> Option<Letter> {
        let (ours, headers): (Vec<_>, Vec<_>) =
            record.headers.into_iter().partition(|(name, _)| is_letter_header(name));
        let text = |name: &str| {
            let found = ours.iter().rev().find(|(known, _)| known == name);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let number = |name: &str| text(name)?.parse::<u64>().ok();
        Some(Letter {
            place: LetterPlace { partition, offset: record.offset },
            written_ms: record.timestamp_ms,
            topic: text(HEADER_TOPIC)?,
            partition: text(HEADER_PARTITION)?.parse().ok()?,
            offset: number(HEADER_OFFSET)?,
            code: text(HEADER_CODE)?,
            message: text(HEADER_MESSAGE)?,
            stage: text(HEADER_STAGE).unwrap_or_default(),
            timestamp_ms: text(HEADER_TIMESTAMP)
                .and_then(|text| text.parse().ok())
                .unwrap_or(record.timestamp_ms),
            key: record.key,
            value: record.value,
            headers,
            value_left_out: number(HEADER_BY_REFERENCE),
            key_left_out: number(HEADER_KEY_BY_REFERENCE),
            headers_left_out: number(HEADER_LEFT_OUT).unwrap_or(0),
        })
    }

    /// The account, as far as the key says one.
    pub fn account(&self) -> Option<String> {
        self.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned())
    }

    /// Whether all of the refused record is here.
    pub fn is_whole(&self) -> bool {
        self.value_left_out.is_none() && self.key_left_out.is_none() && self.headers_left_out == 0
    }

    /// The letter that this one's record was put back from, if it was.
    pub fn resubmitted_from(&self) -> Option<LetterPlace> {
        let (_, value) = self.headers.iter().rev().find(|(name, _)| name == HEADER_RESUBMITTED)?;
        let text = std::str::from_utf8(value).ok()?;
        let (_, place) = text.split_once('/')?; // names of topics have no slash
        place.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(headers: &[(&str, &str)]) -> Stored {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Stored { offset: 9, timestamp_ms: 5, key: None, value: Some(vec![1]), headers: headers.collect() }
    }

    const OURS: [(&str, &str); 5] = [
        (HEADER_TOPIC, "in"),
        (HEADER_PARTITION, "2"),
        (HEADER_OFFSET, "7"),
        (HEADER_MESSAGE, "why"),
        (HEADER_CODE, "late"),
    ];

    #[test]
    fn our_headers_and_the_records_own_are_told_apart() {
        let mut all = OURS.to_vec();
        all.extend([("b", "1"), ("a", "2"), ("b", "3"), (HEADER_RESUBMITTED, "dead.v1/2/4")]);
        let letter = Letter::read(2, stored(&all)).unwrap();
        let own: Vec<&str> = letter.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(own, ["b", "a", "b", HEADER_RESUBMITTED]);
        assert_eq!((letter.topic.as_str(), letter.partition, letter.offset), ("in", 2, 7));
        assert_eq!(letter.resubmitted_from(), Some(LetterPlace { partition: 2, offset: 4 }));
        assert_eq!((letter.timestamp_ms, letter.is_whole()), (5, true));
        assert_eq!(letter.place.to_string().parse(), Ok(letter.place));
    }

    #[test]
    fn what_is_left_out_is_known() {
        let mut all = OURS.to_vec();
        all.extend([(HEADER_BY_REFERENCE, "800000"), (HEADER_LEFT_OUT, "2"), (HEADER_TIMESTAMP, "77")]);
        let letter = Letter::read(2, stored(&all)).unwrap();
        assert_eq!((letter.value_left_out, letter.headers_left_out), (Some(800_000), 2));
        assert_eq!((letter.timestamp_ms, letter.written_ms, letter.is_whole()), (77, 5, false));
    }

    #[test]
    fn what_somebody_else_wrote_is_no_letter() {
        assert_eq!(Letter::read(0, stored(&[("b", "1")])), None);
        assert_eq!(Letter::read(0, stored(&[(HEADER_TOPIC, "in"), (HEADER_PARTITION, "x")])), None);
        assert!("0:17".parse::<LetterPlace>().is_err() && "a/1".parse::<LetterPlace>().is_err());
    }
}
