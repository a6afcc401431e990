//! The two encodings are one contract. The reader here knows nothing but the schema: it decodes
//! the bytes by descriptor, renders them by the rules in the heads of the `.proto` files, and must
//! arrive at the published JSON. So every JSON field has its schema field and the reverse.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use accountpulse::engine::account::Band;
use accountpulse::engine::record::{RecordKind, RiskTransition, ScoreRecord, json_twin};
use accountpulse::engine::risk::Transition;
use accountpulse::engine::rule::Severity;
use accountpulse::engine::time::rfc3339;
use proptest::prelude::*;
use protox::prost::Message;
use protox::prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage,
    Value as Field,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::records::{risk, score, stories, told};

const SCORE: &str = "accountpulse.v1.ScoreRecord";
const RISK: &str = "accountpulse.v1.RiskTransition";

fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| {
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
        let schemas = ["accountpulse/v1/score.proto", "accountpulse/v1/risk.proto"];
        let compiled = protox::compile(schemas, [proto]).unwrap();
        DescriptorPool::from_file_descriptor_set(compiled).unwrap()
    })
}

fn message(name: &str) -> MessageDescriptor {
    pool().get_message_by_name(name).unwrap()
}

/// `PREFIX_NAME` as JSON says it: `name`; the zero as null.
fn enum_name(of: &EnumDescriptor, number: i32) -> Value {
    let prefix = of.values().find(|value| value.number() == 0).unwrap();
    let prefix = prefix.name().strip_suffix("UNSPECIFIED").expect("the zero is unspecified").to_owned();
    let value = of.get_value(number).unwrap_or_else(|| panic!("{} {number}", of.name()));
    let name = value.name().strip_prefix(&*prefix).expect("values carry the name of their enum");
    if number == 0 { Value::Null } else { Value::String(name.to_lowercase()) }
}

fn is_time(field: &FieldDescriptor) -> bool {
    field.name().ends_with("_ms")
}

fn json_name(field: &FieldDescriptor) -> &str {
    field.name().strip_suffix("_ms").unwrap_or(field.name())
}

fn render_field(field: &FieldDescriptor, value: &Field) -> Value {
    match (value, field.kind()) {
        (Field::Bool(flag), _) => json!(flag),
        (Field::I64(ms), _) if is_time(field) => json!(rfc3339(*ms)),
        (Field::I64(number), _) => json!(number),
        (Field::I32(number), _) => json!(number),
        (Field::U32(number), _) => json!(number),
        (Field::String(text), _) => json!(text),
        (Field::EnumNumber(number), Kind::Enum(of)) => enum_name(&of, *number),
        (Field::Message(inner), _) => render(inner),
        (Field::List(items), _) => items.iter().map(|item| render_field(field, item)).collect(),
        other => panic!("{}: no rule for {other:?}", field.full_name()),
    }
}

/// A message as the JSON its schema says; what is absent is null.
fn render(message: &DynamicMessage) -> Value {
    let mut object = Map::new();
    for field in message.descriptor().fields() {
        let absent = field.supports_presence() && !message.has_field(&field);
        let value =
            if absent { Value::Null } else { render_field(&field, message.get_field(&field).as_ref()) };
        object.insert(json_name(&field).to_owned(), value);
    }
    Value::Object(object)
}

/// JSON with fields that are null taken out, since null and absent mean the same.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Everything that has to hold for one record in both encodings.
fn check(kind: RecordKind, name: &str, record: &impl Serialize, protobuf: &[u8]) {
    let json = serde_json::to_vec(record).unwrap();
    assert_eq!(json_twin(kind, &json).unwrap(), json, "JSON is its own twin");
    let twin = json_twin(kind, protobuf).unwrap();
    assert_eq!(String::from_utf8_lossy(&twin), String::from_utf8_lossy(&json));
    let decoded = DynamicMessage::decode(message(name), protobuf).unwrap();
    assert_eq!(decoded.unknown_fields().count(), 0, "{decoded:?}");
    assert_eq!(decoded.encode_to_vec(), protobuf, "another library writes the same bytes");
    let published: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(without_nulls(&render(&decoded)), without_nulls(&published));
}

/// The same, and that the JSON written by hand is the derived one.
fn check_score(record: &ScoreRecord<'_>) {
    check(RecordKind::Score, SCORE, record, &record.protobuf());
    is_derived(record, |out| record.write_json(out));
}

/// As above.
fn check_risk(record: &RiskTransition) {
    check(RecordKind::Risk, RISK, record, &record.protobuf());
    is_derived(record, |out| record.write_json(out));
}

fn is_derived(record: &impl Serialize, write_json: impl Fn(&mut Vec<u8>)) {
    let mut by_hand = b"before".to_vec();
    write_json(&mut by_hand);
    let derived = format!("before{}", serde_json::to_string(record).unwrap());
    assert_eq!(String::from_utf8_lossy(&by_hand), derived);
}

#[test]
fn the_records_of_all_stories_are_the_same_in_both_encodings() {
    let mut seen = (0, 0);
    for story in stories() {
        let told = told(&story);
        for score in &told.scores {
            check_score(&score.record);
        }
        for risk in &told.risks {
            check_risk(risk);
        }
        seen = (seen.0 + told.scores.len(), seen.1 + told.risks.len());
    }
    assert!(seen.0 > 200 && seen.1 > 50, "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_score_is_the_same_in_both_encodings(record in score()) {
        check_score(&record);
    }

    #[test]
    fn any_risk_is_the_same_in_both_encodings(record in risk()) {
        check_risk(&record);
    }

    /// Foreign bytes are an error or a record, never a panic.
    #[test]
    fn any_bytes_are_refused_or_read(record in risk(), at in any::<usize>(), bit in 0_u8..8) {
        let mut bytes = record.protobuf();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        for kind in [RecordKind::Score, RecordKind::Risk] {
            drop(json_twin(kind, &bytes));
            drop(json_twin(kind, &bytes[..at]));
        }
    }
}

/// All paths of a JSON value, lists entered.
fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{at}.{name}");
                found.insert(path.clone());
                paths(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, at, found)),
        _ => {}
    }
}

/// All paths of a message.
fn schema_paths(of: &MessageDescriptor, at: &str, found: &mut BTreeSet<String>) {
    for field in of.fields() {
        let path = format!("{at}.{}", json_name(&field));
        found.insert(path.clone());
        if let Kind::Message(inner) = field.kind() {
            schema_paths(&inner, &path, found);
        }
    }
}

#[test]
fn every_field_of_one_encoding_is_in_the_other() {
    let mut json = [BTreeSet::new(), BTreeSet::new()];
    for story in stories() {
        let told = told(&story);
        let scores = told.scores.iter().map(|score| serde_json::to_value(&score.record).unwrap());
        scores.for_each(|value| paths(&value, "", &mut json[0]));
        let risks = told.risks.iter().map(|risk| serde_json::to_value(risk).unwrap());
        risks.for_each(|value| paths(&value, "", &mut json[1]));
    }
    for (name, json) in [SCORE, RISK].into_iter().zip(json) {
        let mut schema = BTreeSet::new();
        schema_paths(&message(name), "", &mut schema);
        assert_eq!(json, schema, "{name}: fields the stories show in JSON, and fields of the schema");
    }
}

#[test]
fn times_are_int64_milliseconds_and_every_enum_has_all_names() {
    for message in pool().all_messages() {
        for field in message.fields().filter(is_time) {
            assert_eq!(field.kind(), Kind::Int64, "{}", field.full_name());
        }
    }
    let names = |name: &str| -> Vec<Value> {
        let of = pool().get_enum_by_name(&format!("accountpulse.v1.{name}")).unwrap();
        let numbers: Vec<i32> = of.values().map(|value| value.number()).collect();
        assert_eq!(numbers, (0..numbers.len() as i32).collect::<Vec<_>>(), "{name}");
        numbers.into_iter().skip(1).map(|number| enum_name(&of, number)).collect()
    };
    assert_eq!(names("Band"), Band::ALL.map(|band| json!(band)));
    assert_eq!(names("Severity"), Severity::ALL.map(|severity| json!(severity)));
    assert_eq!(names("Transition"), Transition::ALL.map(|transition| json!(transition)));
    assert_eq!(names("RiskPhase"), ["pending", "firing"]);
    assert_eq!(names("Coverage"), ["unknown", "partial", "full"]);
}

/// A schema is read by people first.
#[test]
fn every_line_of_the_schemas_is_explained() {
    for schema in ["score", "risk"] {
        let path = format!("{}/proto/accountpulse/v1/{schema}.proto", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (before, line) in
            lines.iter().zip(&lines[1..]).skip_while(|(_, line)| !line.starts_with("message"))
        {
            let says = line.ends_with(';') || line.ends_with('{');
            assert!(!says || before.starts_with("//"), "{schema}.proto: `{line}` has no comment");
        }
    }
}

#[test]
fn what_is_no_record_is_refused_with_the_next_step() {
    let unknown = [0x08, 1, 0x30, 9];
    let error = json_twin(RecordKind::Score, &unknown).unwrap_err().to_string();
    assert!(error.contains("band is 9") && error.contains("or newer"), "{error}");
    assert!(json_twin(RecordKind::Risk, b"\xff\xff").is_err());
}
