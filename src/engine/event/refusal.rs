//! Why a record is refused: a closed code for machines, a sentence for people. Nothing here
//! decides; the checks do.
//!
//! To add a reason: a variant, its place in [`Reason::ALL`], its code, and a row in
//! `docs/events.md` (a test looks for it).

/// Why an input record was refused. Closed: it is a metric label and a header in the
/// dead-letter topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Not JSON, or not UTF-8.
    MalformedJson,
    /// Not a protobuf message of our schema.
    MalformedProtobuf,
    /// The framing of a schema registry's serializer is broken or names another message.
    MalformedFraming,
    /// Headers or value are not a CloudEvent we can read.
    MalformedCloudEvent,
    /// A CloudEvent of a version we do not know.
    UnsupportedSpecversion,
    /// A required field is absent.
    MissingField,
    /// A field has a value outside its domain.
    InvalidField,
    /// A field stands twice.
    DuplicateField,
    /// No body of a known kind.
    UnknownKind,
    /// Envelope version we do not know.
    UnsupportedVersion,
    /// Larger than [`MAX_EVENT_BYTES`](super::MAX_EVENT_BYTES).
    TooLarge,
    /// `occurred_at` is later than the record's timestamp by more than the skew limit.
    Future,
    /// The record has no key.
    MissingKey,
    /// Record key and account id differ.
    KeyMismatch,
    /// The key does not belong to the partition it stands in.
    WrongPartition,
    /// The shard holds its maximum of accounts and this one is new.
    AccountLimit,
    /// The count is older than the duplicate horizon of its partition.
    Late,
}

impl Reason {
    /// All reasons, for pre-registering metrics.
    pub const ALL: [Reason; 17] = [
        Reason::MalformedJson,
        Reason::MalformedProtobuf,
        Reason::MalformedFraming,
        Reason::MalformedCloudEvent,
        Reason::UnsupportedSpecversion,
        Reason::MissingField,
        Reason::InvalidField,
        Reason::DuplicateField,
        Reason::UnknownKind,
        Reason::UnsupportedVersion,
        Reason::TooLarge,
        Reason::Future,
        Reason::MissingKey,
        Reason::KeyMismatch,
        Reason::WrongPartition,
        Reason::AccountLimit,
        Reason::Late,
    ];

    /// The code used as label and header.
    pub const fn code(self) -> &'static str {
        match self {
            Reason::MalformedJson => "malformed_json",
            Reason::MalformedProtobuf => "malformed_protobuf",
            Reason::MalformedFraming => "malformed_framing",
            Reason::MalformedCloudEvent => "malformed_cloudevent",
            Reason::UnsupportedSpecversion => "unsupported_specversion",
            Reason::MissingField => "missing_field",
            Reason::InvalidField => "invalid_field",
            Reason::DuplicateField => "duplicate_field",
            Reason::UnknownKind => "unknown_kind",
            Reason::UnsupportedVersion => "unsupported_version",
            Reason::TooLarge => "too_large",
            Reason::Future => "future",
            Reason::MissingKey => "missing_key",
            Reason::KeyMismatch => "key_mismatch",
            Reason::WrongPartition => "wrong_partition",
            Reason::AccountLimit => "account_limit",
            Reason::Late => "late",
        }
    }
}

/// A refused record: why, in a closed code and in a sentence a person can act on. The sentence
/// never contains a person id or a payload value longer than a few characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}", reason = reason.code())]
pub struct Refusal {
    /// The code.
    pub reason: Reason,
    /// The sentence.
    pub message: String,
}

impl Refusal {
    /// The refusal of a count that is older than the duplicate horizon.
    pub fn late(event: &super::Event<'_>) -> Self {
        Refusal::new(
            Reason::Late,
            format!(
                "occurred_at: this {} is older than the duplicate horizon of its topic, so nobody can tell whether it \
                 was counted; load history in time order, or raise limits.duplicate_horizon",
                event.kind().name()
            ),
        )
    }

    /// A refusal with its sentence.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Refusal { reason, message: message.into() }
    }
}
