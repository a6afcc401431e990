//! The shape of the file: which keys exist. Values are still text; `check.rs` gives them meaning.
//! Unknown keys are errors, absent keys take their default.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_saphyr::Error;

use super::error::Finding;
use super::scalar::Leaf;
use crate::engine::limits::Limits;
use crate::engine::rule::Rules;
use crate::engine::score::Scoring;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Where data is kept.
    #[serde(deserialize_with = "section")]
    pub storage: StorageFile,
    /// The cluster, where the log is one.
    #[serde(deserialize_with = "section")]
    pub kafka: KafkaFile,
    /// How topics are called.
    #[serde(deserialize_with = "section")]
    pub topics: TopicsFile,
    /// The HTTP listener.
    #[serde(deserialize_with = "section")]
    pub http: HttpFile,
    /// How time passes.
    #[serde(deserialize_with = "section")]
    pub clock: ClockFile,
    /// What may wait in memory.
    #[serde(deserialize_with = "section")]
    pub memory: MemoryFile,
    /// Personal data.
    #[serde(deserialize_with = "section")]
    pub privacy: PrivacyFile,
    /// Limits per account and shard, checked by the engine.
    #[serde(deserialize_with = "section")]
    pub limits: Limits,
    /// Added to UTC before the day is taken.
    pub day_offset: Option<Leaf>,
    /// Scorecards and bands, checked by the engine.
    #[serde(deserialize_with = "section")]
    pub scoring: Option<Scoring>,
    /// Thresholds of the rules, checked by the engine.
    #[serde(deserialize_with = "section")]
    pub rules: Rules,
    /// Longest time between commits.
    pub commit_interval: Option<Leaf>,
    /// Time for one round of checkpoint pages.
    pub checkpoint_round: Option<Leaf>,
    /// Logging.
    #[serde(deserialize_with = "section")]
    pub log: LogFile,
}

/// `storage`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageFile {
    /// `local` or `kafka`.
    pub log: Option<Leaf>,
    /// Folder of the embedded log.
    pub data_dir: Option<Leaf>,
    /// Partitions per topic.
    pub partitions: Option<Leaf>,
    /// How long records are kept.
    #[serde(deserialize_with = "section")]
    pub retention: RetentionFile,
}

/// `storage.retention`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionFile {
    /// Input topics.
    pub events: Option<Leaf>,
    /// Risk transitions.
    pub risks: Option<Leaf>,
    /// Dead letters.
    pub dead_letters: Option<Leaf>,
}

/// `kafka`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaFile {
    /// Where to find the cluster.
    pub brokers: Option<Leaf>,
    /// Consumer group.
    pub group: Option<Leaf>,
    /// Stable name of this process.
    pub instance: Option<Leaf>,
    /// Worker threads.
    pub workers: Option<Leaf>,
    /// Partitions of every topic.
    pub partitions: Option<Leaf>,
    /// Copies of topics that are created.
    pub replication: Option<Leaf>,
    /// Whether missing topics are created.
    pub create_topics: Option<Leaf>,
    /// How long a member may be silent.
    pub session_timeout: Option<Leaf>,
    /// How long a transaction may stay open.
    pub transaction_timeout: Option<Leaf>,
    /// The connection.
    #[serde(deserialize_with = "section")]
    pub security: KafkaSecurityFile,
    /// Passed through to the client library.
    #[serde(deserialize_with = "section")]
    pub properties: BTreeMap<String, Leaf>,
}

/// `kafka.security`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSecurityFile {
    /// Kind of connection.
    pub protocol: Option<Leaf>,
    /// Authority of the brokers' certificates.
    pub ca_file: Option<Leaf>,
    /// Our certificate.
    pub certificate_file: Option<Leaf>,
    /// Its key.
    pub key_file: Option<Leaf>,
    /// Password of the key.
    pub key_password: Option<Leaf>,
    /// The same, in a file.
    pub key_password_file: Option<Leaf>,
    /// How we authenticate.
    pub mechanism: Option<Leaf>,
    /// Name.
    pub username: Option<Leaf>,
    /// Password.
    pub password: Option<Leaf>,
    /// The same, in a file.
    pub password_file: Option<Leaf>,
    /// File with a bearer token.
    pub token_file: Option<Leaf>,
    /// Endpoint that gives bearer tokens.
    pub token_url: Option<Leaf>,
    /// Who we are there.
    pub client_id: Option<Leaf>,
    /// Our secret there.
    pub client_secret: Option<Leaf>,
    /// The same, in a file.
    pub client_secret_file: Option<Leaf>,
    /// What we ask for there.
    pub scope: Option<Leaf>,
}

/// `topics`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicsFile {
    /// First part of every name.
    pub prefix: Option<Leaf>,
    /// `json` or `protobuf`.
    pub output_encoding: Option<Leaf>,
    /// Names that differ from `<prefix>.<topic>.v1`.
    #[serde(deserialize_with = "section")]
    pub names: NamesFile,
}

/// `topics.names`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NamesFile {
    /// Topic of login events.
    pub logins: Option<Leaf>,
    /// Topic of usage events.
    pub usage: Option<Leaf>,
    /// Topic of ticket events.
    pub tickets: Option<Leaf>,
    /// Topic of invoice events.
    pub invoices: Option<Leaf>,
    /// Topic of survey events.
    pub surveys: Option<Leaf>,
    /// Topic of contact events.
    pub contacts: Option<Leaf>,
    /// Topic of contract events.
    pub contracts: Option<Leaf>,
    /// Topic of account events.
    pub accounts: Option<Leaf>,
    /// Topic of scores.
    pub scores: Option<Leaf>,
    /// Topic of risk transitions.
    pub risks: Option<Leaf>,
    /// Topic of refused input.
    pub dead_letters: Option<Leaf>,
    /// Topic of checkpoints.
    pub checkpoints: Option<Leaf>,
}

/// `http`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpFile {
    /// Address and port.
    pub listen: Option<Leaf>,
    /// Largest request body.
    pub request_bytes: Option<Leaf>,
    /// Requests waiting for their write.
    pub queued_requests: Option<Leaf>,
    /// Records that may wait in a ready instance.
    pub ready_lag_records: Option<Leaf>,
}

/// `clock`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockFile {
    /// `wall` or `event`.
    pub mode: Option<Leaf>,
    /// How far the clock stays behind.
    pub lateness: Option<Leaf>,
    /// How far ahead an event may be.
    pub skew_limit: Option<Leaf>,
}

/// `memory`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryFile {
    /// Input that a worker holds and has not applied.
    pub buffered_bytes: Option<Leaf>,
    /// Input that the cluster's client fetches ahead of a worker.
    pub fetched_bytes: Option<Leaf>,
}

/// `privacy`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacyFile {
    /// Where the pseudonym key lies.
    pub person_key_file: Option<Leaf>,
}

/// `log`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogFile {
    /// `text` or `json`.
    pub format: Option<Leaf>,
    /// Level or filter.
    pub level: Option<Leaf>,
}

/// A section without content is its default: `http:` alone is what is left when every line below
/// it was commented out.
fn section<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads the shape. A file without any content is the default configuration.
pub fn parse(text: &str) -> Result<File, Finding> {
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(blank) {
        return Ok(File::default());
    }
    let options = serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| finding(&error))
}

/// What the parser found, in our words where it is about our keys.
fn finding(error: &Error) -> Finding {
    let location = error.location().unwrap_or(serde_saphyr::Location::UNKNOWN);
    let (message, help) = match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => {
            (format!("unknown key `{field}`"), did_you_mean(field, expected))
        }
        Error::SerdeInvalidType { unexpected, expected, .. } => (
            format!("expected {expected}, found {unexpected}"),
            "`accountpulse config defaults` shows what belongs here".to_owned(),
        ),
        other => (
            first_sentence(&other.to_string()),
            "check indentation and quotes; `accountpulse config defaults` prints a file that works"
                .to_owned(),
        ),
    };
    Finding::at(location, message, help)
}

/// The parser's first line without its own "at line …, column …": the place stands before it.
fn first_sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split(" at line ").next().unwrap_or(line).to_owned()
}

/// The most similar of `known`, or all of them.
pub fn did_you_mean(word: &str, known: &[&str]) -> String {
    /// Below this likeness a guess only misleads.
    const LIKENESS_MIN: f64 = 0.7;
    let likeness = |candidate: &&str| strsim::jaro_winkler(word, candidate);
    let best = known.iter().map(|k| (likeness(k), *k)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, best)) if likeness >= LIKENESS_MIN => format!("did you mean `{best}`?"),
        _ => format!("possible here: {}", known.join(", ")),
    }
}
