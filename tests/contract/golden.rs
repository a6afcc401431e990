//! Bytes of typical records, as files that anybody can feed to their own reader:
//!
//! ```text
//! contract/golden/NAME.json   the value as JSON
//! contract/golden/NAME.hex    the value as protobuf, hexadecimal
//! contract/golden/NAME.txt    key and headers (of the JSON record)
//! ```
//!
//! When this test fails, readers that nobody here knows will see other bytes. Answer first: can a
//! reader that was written from `docs/contract.md` still read them, and do they mean the same? The
//! section on versions there says what may change within `v` 1. Only then:
//! `ACCOUNTPULSE_BLESS=1 cargo test --test contract golden`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use accountpulse::engine::event::{PersonKey, decode_json};
use accountpulse::engine::record::{OutputEncoding, RecordKind, RiskTransition, json_twin};
use accountpulse::engine::risk::Transition;
use accountpulse::engine::{EngineConfig, Input, ScoreOutput, Shard, ShardId};
use accountpulse::log::{HeaderName, HeaderValue, OutRecord, TopicId, TopicPartition};
use accountpulse::worker::{HEADER_CONTENT_TYPE, HEADER_DECISIONS, OutputWriter};
use jiff::Timestamp;

use super::records::{Told, told};

/// In place of the real one, which is another with every default that changes.
const CONFIG_VERSION: &str = "config-of-the-golden-files";
const TO: TopicPartition = TopicPartition { topic: TopicId(0), partition: 0 };
const BLESS_VARIABLE: &str = "ACCOUNTPULSE_BLESS";

/// An account of which only bills are known, and later a little more: unknown, then capped.
const BILLS: &str = r#"
{"id":"b1","account_id":"beacon","occurred_at":"2026-02-01T08:00:00Z","invoice":{"id":"i1","amount_minor":90000,"currency":"EUR","issued_at":"2026-02-01T00:00:00Z","due_at":"2026-03-01T00:00:00Z"}}
{"id":"b2","account_id":"beacon","occurred_at":"2026-03-15T09:00:00Z","invoice":{"id":"i1","amount_minor":70000,"currency":"EUR","issued_at":"2026-02-01T00:00:00Z","due_at":"2026-03-01T00:00:00Z"}}
{"id":"b3","account_id":"beacon","occurred_at":"2026-04-27T09:00:00Z","login":{"user_id":"u1"}}
{"id":"b4","account_id":"beacon","occurred_at":"2026-04-28T09:00:00Z","contact":{"id":"c1","role":"champion","status":"active"}}
{"id":"b5","account_id":"beacon","occurred_at":"2026-04-28T10:00:00Z","survey":{"id":"s1","type":"nps","score":10,"respondent":"u1"}}
{"id":"b6","account_id":"beacon","occurred_at":"2026-04-29T09:00:00Z","login":{"user_id":"u1"}}
"#;

/// Tells [`BILLS`] to a shard: as it happens, or loaded at an instant of the wall clock.
fn bills(loaded_at: Option<&str>) -> Told {
    let mut shard = Shard::new(Arc::new(EngineConfig::default()), ShardId { partition: 0, partitions: 1 });
    let mut told = Told::default();
    let mut take = |shard: &mut Shard| {
        let effects = match loaded_at {
            Some(wall) => shard.drain(instant(wall)),
            None => shard.drain_all(),
        };
        told.scores.extend(effects.scores);
        told.risks.extend(effects.risks);
    };
    for line in BILLS.trim().lines() {
        let event = decode_json(line.as_bytes(), &PersonKey::new([7; 16])).unwrap();
        shard.advance(event.occurred_at_ms - 1, usize::MAX);
        take(&mut shard);
        shard.apply(Input(0), &event).unwrap();
        take(&mut shard);
    }
    shard.advance(instant("2026-05-03T00:00:00Z"), usize::MAX);
    take(&mut shard);
    told
}

fn instant(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn score(told: Told, which: impl Fn(&ScoreOutput) -> bool) -> Record {
    let mut found = told.scores.into_iter().find(|score| which(score)).expect("the history has one");
    found.record.config_version = CONFIG_VERSION.into();
    Record::Score(Box::new(found))
}

fn risk(told: Told, rule: &str, transition: Transition) -> Record {
    let wanted = |risk: &RiskTransition| risk.rule == rule && risk.transition == transition;
    let mut found = told.risks.into_iter().find(wanted).expect("the history has one");
    CONFIG_VERSION.clone_into(&mut found.config_version);
    Record::Risk(Box::new(found))
}

enum Record {
    Score(Box<ScoreOutput>),
    Risk(Box<RiskTransition>),
}

impl Record {
    fn kind(&self) -> RecordKind {
        match self {
            Record::Score(_) => RecordKind::Score,
            Record::Risk(_) => RecordKind::Risk,
        }
    }

    /// As the worker writes it.
    fn out(&self, encoding: OutputEncoding) -> OutRecord {
        match self {
            Record::Score(score) => {
                let ScoreOutput { record, decisions, .. } = &**score;
                OutputWriter::default().score(TO, record, decisions, encoding, 0)
            }
            Record::Risk(risk) => OutputWriter::default().risk(TO, risk, encoding, 0),
        }
    }
}

/// Every golden record; the name of its files first.
fn cases() -> Vec<(&'static str, Record)> {
    use Transition::{Amended, Renotified, Resolved, Retracted, SeverityRaised, Started};
    let is_capped =
        |score: &ScoreOutput| score.record.contributions.iter().any(|line| line.words.group() == "cap");
    let is_rich = |score: &ScoreOutput| {
        let record = &score.record;
        record.risks.len() > 2 && record.changes.len() > 1 && record.causes.len() > 1
    };
    let told_in = |story, rule, transition| risk(told(story), rule, transition);
    vec![
        ("score_first", score(told("sla_breach"), |score| score.record.previous.is_none())),
        ("score_known", score(told("quarter_turns_bad"), is_rich)),
        ("score_unknown", score(bills(None), |score| score.record.score.is_none())),
        ("score_capped", score(bills(None), is_capped)),
        ("risk_started_by_time", told_in("payments_slip", "late_payment", Started)),
        ("risk_started_by_event", told_in("quarter_turns_bad", "detractor", Started)),
        ("risk_severity_raised", told_in("payments_slip", "late_payment", SeverityRaised)),
        ("risk_amended", risk(bills(None), "late_payment", Amended)),
        ("risk_renotified", told_in("quarter_turns_bad", "usage_drop", Renotified)),
        ("risk_resolved", told_in("payments_slip", "late_payment", Resolved)),
        ("risk_retracted", told_in("invoice_corrected_after_alarm", "late_payment", Retracted)),
        ("risk_backfill", risk(bills(Some("2026-06-01T00:00:00Z")), "late_payment", Started)),
        ("risk_of_the_score", told_in("inactivity", "band_change", Started)),
        ("risk_of_silence", told_in("inactivity", "inactivity", Started)),
        ("risk_of_people", told_in("champion_leaves", "champion_departed", Started)),
        ("risk_of_tickets", told_in("sla_breach", "sla_breach", Started)),
        ("risk_of_renewal", told_in("renewal_at_risk", "renewal_at_risk", Started)),
    ]
}

/// 64 bytes a line.
fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.chunks(64) {
        line.iter().for_each(|byte| write!(out, "{byte:02x}").unwrap());
        out.push('\n');
    }
    out
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Key and headers as text, without those that are ours alone.
fn envelope(record: &OutRecord) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut out = format!("key: {}\n", text(record.key.as_deref().unwrap()));
    for (name, value) in record.headers.iter().filter(|(name, _)| *name != HEADER_DECISIONS) {
        writeln!(out, "{name}: {}", text(value)).unwrap();
    }
    out
}

#[test]
fn the_bytes_of_typical_records_do_not_change_by_accident() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/contract/golden");
    let bless = std::env::var_os(BLESS_VARIABLE).is_some();
    let mut changed = Vec::new();
    let mut files = Vec::new();
    for (name, record) in cases() {
        let (json, protobuf) = (record.out(OutputEncoding::Json), record.out(OutputEncoding::Protobuf));
        let value = String::from_utf8(json.value.clone().unwrap()).unwrap();
        let contents = [
            ("json", value + "\n"),
            ("hex", hex(protobuf.value.as_deref().unwrap())),
            ("txt", envelope(&json)),
        ];
        for (extension, fresh) in contents {
            let file = format!("{name}.{extension}");
            if bless {
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(&file), &fresh).unwrap();
            }
            if fs::read_to_string(folder.join(&file)).unwrap_or_default() != fresh {
                changed.push(file.clone());
            }
            files.push(file);
        }
    }
    let question = "Can a reader written from docs/contract.md still read them, and do they mean the same? See \
                    `Versions` there before anything else: a field or a name from a list may be added within v 1; \
                    anything removed, renamed, moved or given another meaning needs v 2 and topics of its own. Then:";
    assert!(
        changed.is_empty(),
        "{changed:?} in tests/contract/golden differ: other services will see other bytes.\n{question}\n\
         {BLESS_VARIABLE}=1 cargo test --test contract golden"
    );
    for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
        let file = entry.file_name().into_string().unwrap();
        assert!(files.contains(&file), "{file} belongs to no case");
    }
}

#[test]
fn golden_protobuf_reads_as_golden_json_and_only_the_content_type_differs() {
    for (name, record) in cases() {
        let (json, protobuf) = (record.out(OutputEncoding::Json), record.out(OutputEncoding::Protobuf));
        let folder = format!("{}/tests/contract/golden", env!("CARGO_MANIFEST_DIR"));
        let read = |extension: &str| fs::read_to_string(format!("{folder}/{name}.{extension}")).unwrap();
        let twin = json_twin(record.kind(), &bytes_of(&read("hex"))).unwrap().into_owned();
        assert_eq!(String::from_utf8(twin).unwrap(), read("json").trim_end(), "{name}");
        let same = |header: &&(HeaderName, HeaderValue)| header.0 != HEADER_CONTENT_TYPE;
        assert!(json.headers.iter().filter(same).eq(protobuf.headers.iter().filter(same)), "{name}");
        let content_type = protobuf.headers.iter().find(|(name, _)| *name == HEADER_CONTENT_TYPE).unwrap();
        assert_eq!(&*content_type.1, b"application/x-protobuf");
    }
}

/// What a stranger tests a reader with shows every transition and the shapes a score can have.
#[test]
fn golden_records_show_every_case() {
    let mut transitions = Vec::new();
    for (name, record) in cases() {
        match record {
            Record::Score(score) => {
                let record = &score.record;
                assert_eq!(
                    name == "score_unknown",
                    record.score.is_none() && record.band.is_none(),
                    "{name}"
                );
                assert_eq!(
                    name == "score_known" || name == "score_capped",
                    record.previous.is_some(),
                    "{name}"
                );
            }
            Record::Risk(risk) => {
                assert_eq!(name == "risk_backfill", risk.backfill, "{name}");
                transitions.push(risk.transition);
            }
        }
    }
    let missing: Vec<_> = Transition::ALL.iter().filter(|t| !transitions.contains(t)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
