//! Dead letters as a reader finds them, and what they must be for a record that was refused.

use std::collections::BTreeMap;

use accountpulse::worker::{
    HEADER_BY_REFERENCE, HEADER_CODE, HEADER_EXCEPTION, HEADER_KEY_BY_REFERENCE, HEADER_MESSAGE,
    HEADER_OFFSET, HEADER_PARTITION, HEADER_STAGE, HEADER_TIMESTAMP, HEADER_TOPIC,
};

use super::kinds::{Draft, Kind};

/// Where a record stands in the inputs: topic, partition, offset.
pub type Place = (String, u32, u64);

/// The longest value that a letter carries, and the longest key, as the contract has it.
pub const MAX_VALUE_BYTES: usize = 768 * 1024;
const MAX_KEY_BYTES: usize = 64 * 1024;
/// A header of this length still fits beside what the other headers of these records take.
const MAX_HEADERS_BYTES: usize = 31 * 1024;
/// Headers of the refused record that a letter keeps: those the decoder reads.
const KEPT: [&str; 9] = [
    "content-type",
    "ce_specversion",
    "ce_type",
    "ce_id",
    "ce_subject",
    "ce_time",
    "ce_partitionkey",
    "ce_version",
    "__value_schema_id",
];

/// A record of the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub partition: u32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// None where the topic gives every record a time of its own.
    pub timestamp_ms: Option<i64>,
}

impl Letter {
    fn header(&self, name: &str) -> Option<String> {
        let found: Vec<_> = self.headers.iter().filter(|(known, _)| known == name).collect();
        assert!(found.len() <= 1, "{name} stands {} times", found.len());
        found.first().map(|(_, value)| String::from_utf8(value.clone()).unwrap())
    }

    /// The record it is about.
    pub fn place(&self) -> Place {
        let number = |name| self.header(name).unwrap().parse().unwrap();
        (self.header(HEADER_TOPIC).unwrap(), number(HEADER_PARTITION) as u32, number(HEADER_OFFSET))
    }

    /// That it is what a record of that kind becomes.
    pub fn check(&self, kind: &Kind, draft: &Draft) {
        let name = kind.name;
        assert_eq!(
            self.header(HEADER_CODE).as_deref(),
            Some(kind.reason.code()),
            "{name}: {:?}",
            self.sentence()
        );
        assert_eq!(self.header(HEADER_STAGE).as_deref(), Some(kind.stage()), "{name}");
        assert_eq!(self.header(HEADER_EXCEPTION).as_deref(), Some("Refusal"), "{name}");
        let sentence = self.sentence();
        assert!(
            (20..400).contains(&sentence.len()) && !sentence.contains(char::is_control),
            "{name}: {sentence}"
        );
        assert_eq!(self.partition, draft.partition, "{name}");
        self.check_bytes(name, HEADER_BY_REFERENCE, (&self.value, &draft.value), MAX_VALUE_BYTES);
        self.check_bytes(name, HEADER_KEY_BY_REFERENCE, (&self.key, &draft.key), MAX_KEY_BYTES);
        match self.header(HEADER_TIMESTAMP) {
            Some(original) => assert_eq!(original, draft.timestamp_ms.to_string(), "{name}"),
            None => assert!(self.timestamp_ms.is_none_or(|ms| ms == draft.timestamp_ms), "{name}"),
        }
        for (header, value) in draft.headers.iter().filter(|(header, _)| KEPT.contains(&header.as_str())) {
            let found: Vec<_> = self.headers.iter().filter(|(known, _)| known == header).collect();
            // Beyond 8 KiB it has no place of its own, and goes with the others.
            let expected = usize::from(value.len() <= MAX_HEADERS_BYTES);
            assert_eq!(found.len(), expected, "{name}: {header}");
            assert!(found.iter().all(|(_, kept)| kept == value), "{name}: {header}");
        }
    }

    fn sentence(&self) -> String {
        self.header(HEADER_MESSAGE).unwrap()
    }

    /// The original bytes, or none and their number.
    fn check_bytes(
        &self,
        name: &str,
        header: &str,
        (found, original): (&Option<Vec<u8>>, &Option<Vec<u8>>),
        most: usize,
    ) {
        let length = original.as_ref().map_or(0, Vec::len);
        if length > most {
            assert!(found.is_none(), "{name}: a letter carries {length} bytes");
            assert_eq!(self.header(header), Some(length.to_string()), "{name}");
        } else {
            assert!(found == original, "{name}: not the original bytes");
            assert_eq!(self.header(header), None, "{name}");
        }
    }
}

/// That there is one letter for each of these records and no other.
pub fn check_all(letters: Vec<Letter>, expected: &BTreeMap<Place, (Kind, Draft)>) {
    let mut found = BTreeMap::new();
    for letter in letters {
        let place = letter.place();
        let Some((kind, draft)) = expected.get(&place) else {
            panic!("{place:?} was refused: {}", letter.sentence());
        };
        letter.check(kind, draft);
        assert!(found.insert(place.clone(), ()).is_none(), "{}: {place:?} has two letters", kind.name);
    }
    for (place, (kind, _)) in expected {
        assert!(found.contains_key(place), "{}: {place:?} has no letter", kind.name);
    }
}
