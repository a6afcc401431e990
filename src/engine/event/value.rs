//! One value of one field: what a decoder found there, and the checks that turn it into a value
//! the engine accepts. JSON and protobuf share these checks, so both refuse the same things with
//! the same sentence. Nothing here knows a kind of event, and no sentence repeats a payload.
//!
//! To add a type of field: a check here, from a [`Field`] and a [`Raw`] to the value or a refusal;
//! then name it in `draft.rs`.

use std::borrow::Cow;
use std::fmt;

use super::{
    BillingPeriod, ContactRole, ContactStatus, ContractStatus, Currency, InvoiceStatus, MAX_AMOUNT_MINOR,
    MAX_ENTITLED_FEATURES, MAX_ID_BYTES, MAX_TEXT_BYTES, MAX_TIME_MS, MIN_TIME_MS, PersonId, PersonKey,
    Priority, Reason, Refusal, SurveyType, TicketStatus, rfc3339,
};

/// What stands in a field, before anybody has judged it.
#[derive(Debug)]
pub(super) enum Raw<'a> {
    /// JSON null, or a protobuf field named in `clear`.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number that is not negative.
    Unsigned(u64),
    /// A negative whole number.
    Negative(i64),
    /// A number with a fraction or an exponent, or too large for 64 bits.
    Float,
    /// A string.
    Text(Cow<'a, str>),
    /// A time as protobuf carries it.
    Millis(i64),
    /// A protobuf enum number other than zero.
    Code(i32),
    /// An array; entries past the limit of any list are left out.
    List(Vec<Raw<'a>>),
    /// A JSON object.
    Object,
}

impl Raw<'_> {
    /// The whole number that stands here, if one does.
    fn whole(&self) -> Option<i128> {
        match *self {
            Raw::Unsigned(n) => Some(n.into()),
            Raw::Negative(n) => Some(n.into()),
            _ => None,
        }
    }

    /// As [`Raw::whole`], and digits in a string too: JSON readers in some languages lose
    /// precision above 2^53, so 64-bit fields may be sent as strings.
    fn wide(&self) -> Option<i128> {
        match self {
            // `i128::from_str` takes a plus sign, which no JSON number has.
            Raw::Text(text) if !text.starts_with('+') => text.parse().ok(),
            other => other.whole(),
        }
    }

    /// What stands here, for a sentence that must not repeat the payload.
    fn described(&self) -> &'static str {
        match self {
            Raw::Null => "null",
            Raw::Bool(_) => "a boolean",
            Raw::Unsigned(_) => "a whole number",
            Raw::Negative(_) => "a negative number",
            Raw::Float => "a number with a fraction, an exponent or more than 64 bits",
            Raw::Text(_) => "a string",
            Raw::Millis(_) => "milliseconds",
            Raw::Code(_) => "an enum number",
            Raw::List(_) => "an array",
            Raw::Object => "an object",
        }
    }
}

/// Where a value stands, and the key with which person ids are hashed there.
#[derive(Clone, Copy)]
pub(super) struct Field<'k> {
    /// The kind it belongs to; empty for the envelope.
    pub room: &'static str,
    /// Its name on the wire.
    pub name: &'static str,
    /// The deployment's pseudonym key.
    pub key: &'k PersonKey,
}

impl Field<'_> {
    /// A refusal of the value in this field.
    #[cold]
    fn invalid(self, expected: impl fmt::Display) -> Refusal {
        refusal(Reason::InvalidField, self.room, self.name, expected)
    }

    /// A refusal because another type of value was expected.
    #[cold]
    fn wrong_type(self, expected: &str, found: &Raw<'_>) -> Refusal {
        self.invalid(format_args!("expected {expected}, found {}", found.described()))
    }
}

/// A refusal whose sentence starts with the path of the field.
#[cold]
pub(super) fn refusal(reason: Reason, room: &str, name: &str, rest: impl fmt::Display) -> Refusal {
    let dot = if room.is_empty() { "" } else { "." };
    Refusal::new(reason, format!("{room}{dot}{name}: {rest}"))
}

/// The envelope's major version. Any number but ours is refused as such, whatever else is wrong.
#[inline]
pub(super) fn envelope_version(field: Field<'_>, raw: Raw<'_>) -> Result<u64, Refusal> {
    match raw.whole() {
        Some(n) if n == i128::from(super::ENVELOPE_VERSION) => Ok(super::ENVELOPE_VERSION),
        Some(_) => Err(unsupported_version()),
        None => Err(field.wrong_type("the whole number 1", &raw)),
    }
}

/// The refusal of an envelope of another major version.
#[cold]
pub(super) fn unsupported_version() -> Refusal {
    let known = super::ENVELOPE_VERSION;
    refusal(
        Reason::UnsupportedVersion,
        "",
        "v",
        format_args!("this build reads envelope version {known} only; send {known} or upgrade accountpulse"),
    )
}

/// An id of an event, an account or an entity.
#[inline]
pub(super) fn id<'a>(field: Field<'_>, raw: Raw<'a>) -> Result<Cow<'a, str>, Refusal> {
    bounded(field, raw, MAX_ID_BYTES)
}

/// A short text.
#[inline]
pub(super) fn text<'a>(field: Field<'_>, raw: Raw<'a>) -> Result<Cow<'a, str>, Refusal> {
    bounded(field, raw, MAX_TEXT_BYTES)
}

/// A person's id, hashed on the spot.
#[inline]
pub(super) fn person(field: Field<'_>, raw: Raw<'_>) -> Result<PersonId, Refusal> {
    bounded(field, raw, MAX_ID_BYTES).map(|raw| field.key.pseudonym(&raw))
}

#[inline]
fn bounded<'a>(field: Field<'_>, raw: Raw<'a>, max: usize) -> Result<Cow<'a, str>, Refusal> {
    let text = match raw {
        Raw::Text(text) => text,
        other => return Err(field.wrong_type("a string", &other)),
    };
    if text.is_empty() || text.len() > max {
        let found = text.len();
        return Err(field.invalid(format_args!("expected 1 to {max} bytes, found {found}")));
    }
    // Most text is plain; only the rest pays for decoding.
    if !is_plain(text.as_bytes()) && text.chars().any(char::is_control) {
        return Err(field.invalid("holds a control character; remove it at the producer"));
    }
    Ok(text)
}

/// Whether all bytes are printable ASCII, told of eight at a time.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    // The high bit of a byte is set in one of the three if it is 0x80 or more, less than 0x20 (or
    // above one that is), or 0x7f.
    let odd = |eight: &[u8; 8]| {
        let word = u64::from_le_bytes(*eight);
        (word | (word.wrapping_sub(0x20 * EACH) & !word) | word.wrapping_add(EACH)) & HIGH
    };
    match bytes.last_chunk() {
        // The last eight may be looked at twice.
        Some(last) => bytes.as_chunks().0.iter().fold(odd(last), |found, eight| found | odd(eight)) == 0,
        None => bytes.iter().all(|byte| (0x20..0x7f).contains(byte)),
    }
}

/// A time: RFC 3339 with an offset in JSON, milliseconds in protobuf.
#[inline]
pub(super) fn time(field: Field<'_>, raw: Raw<'_>) -> Result<i64, Refusal> {
    let ms = match raw {
        Raw::Millis(ms) => ms,
        Raw::Text(text) => rfc3339::to_ms(&text).ok_or_else(|| {
            field.invalid("expected a time in RFC 3339 with an offset, such as 2026-01-05T09:00:00Z")
        })?,
        other => return Err(field.wrong_type("a time in RFC 3339 as a string", &other)),
    };
    if !(MIN_TIME_MS..MAX_TIME_MS).contains(&ms) {
        return Err(field.invalid("expected a time from 1990 to 2199; check the unit and the clock"));
    }
    Ok(ms)
}

/// The producer's version of an entity.
pub(super) fn entity_version(field: Field<'_>, raw: Raw<'_>) -> Result<u64, Refusal> {
    raw.wide()
        .and_then(|n| u64::try_from(n).ok())
        .ok_or_else(|| field.wrong_type("a whole number from 0 to 2^64 - 1", &raw))
}

/// Money in minor units.
pub(super) fn money(field: Field<'_>, raw: Raw<'_>) -> Result<i64, Refusal> {
    let Some(amount) = raw.wide() else {
        return Err(field.wrong_type("a whole number of minor units (cents)", &raw));
    };
    match i64::try_from(amount) {
        Ok(amount) if (0..=MAX_AMOUNT_MINOR).contains(&amount) => Ok(amount),
        _ => Err(field.invalid(format_args!("expected minor units from 0 to {MAX_AMOUNT_MINOR}"))),
    }
}

/// An ISO 4217 code.
pub(super) fn currency(field: Field<'_>, raw: Raw<'_>) -> Result<Currency, Refusal> {
    match &raw {
        Raw::Text(text) => match text.as_bytes() {
            &[a, b, c] if super::currency::exists([a, b, c]) => Ok(Currency([a, b, c])),
            _ => Err(field.invalid("expected three upper-case letters of ISO 4217, such as EUR")),
        },
        other => Err(field.wrong_type("a currency code as a string", other)),
    }
}

/// True or false.
pub(super) fn flag(field: Field<'_>, raw: Raw<'_>) -> Result<bool, Refusal> {
    match raw {
        Raw::Bool(value) => Ok(value),
        other => Err(field.wrong_type("true or false", &other)),
    }
}

/// How many times something happened.
pub(super) fn count(field: Field<'_>, raw: Raw<'_>) -> Result<u32, Refusal> {
    ranged(field, raw, 1, u32::MAX)
}

/// A number of things, zero included.
pub(super) fn number(field: Field<'_>, raw: Raw<'_>) -> Result<u32, Refusal> {
    ranged(field, raw, 0, u32::MAX)
}

/// Satisfaction with a ticket.
pub(super) fn rating(field: Field<'_>, raw: Raw<'_>) -> Result<u8, Refusal> {
    ranged(field, raw, 1, 5)
}

/// A survey answer; the range by type is checked once the type is known.
pub(super) fn score(field: Field<'_>, raw: Raw<'_>) -> Result<u8, Refusal> {
    ranged(field, raw, 0, 10)
}

fn ranged<T>(field: Field<'_>, raw: Raw<'_>, min: u32, max: T) -> Result<T, Refusal>
where
    T: Copy + fmt::Display + Into<i128> + TryFrom<i128>,
{
    let Some(n) = raw.whole() else {
        return Err(field.wrong_type("a whole number", &raw));
    };
    T::try_from(n)
        .ok()
        .filter(|_| (i128::from(min)..=max.into()).contains(&n))
        .ok_or_else(|| field.invalid(format_args!("expected a whole number from {min} to {max}")))
}

/// A list of feature names.
pub(super) fn features<'a>(field: Field<'_>, raw: Raw<'a>) -> Result<Vec<Cow<'a, str>>, Refusal> {
    match raw {
        Raw::List(entries) if entries.len() > MAX_ENTITLED_FEATURES => {
            Err(field.invalid(format_args!("expected at most {MAX_ENTITLED_FEATURES} features")))
        }
        Raw::List(entries) => entries.into_iter().map(|entry| text(field, entry)).collect(),
        other => Err(field.wrong_type("an array of strings", &other)),
    }
}

/// A closed set of names. A protobuf enum number is the position in the table plus one.
pub(super) trait Choice: Copy + 'static {
    /// Every name and its value.
    const TABLE: &'static [(&'static str, Self)];
}

/// A value of a closed set.
pub(super) fn choice<T: Choice>(field: Field<'_>, raw: Raw<'_>) -> Result<T, Refusal> {
    let found = match &raw {
        Raw::Text(text) => T::TABLE.iter().find(|(name, _)| name == text),
        Raw::Code(code) => usize::try_from(*code).ok().and_then(|n| T::TABLE.get(n.checked_sub(1)?)),
        other => return Err(field.wrong_type("a name as a string", other)),
    };
    found.map(|&(_, value)| value).ok_or_else(|| {
        let known: Vec<_> = T::TABLE.iter().map(|&(name, _)| name).collect();
        field.invalid(format_args!("expected one of {}", known.join(", ")))
    })
}

impl Choice for Priority {
    const TABLE: &'static [(&'static str, Self)] =
        &[("low", Self::Low), ("normal", Self::Normal), ("high", Self::High), ("urgent", Self::Urgent)];
}

impl Choice for TicketStatus {
    const TABLE: &'static [(&'static str, Self)] = &[
        ("open", Self::Open),
        ("pending", Self::Pending),
        ("solved", Self::Solved),
        ("deleted", Self::Deleted),
        ("closed", Self::Solved),
    ];
}

impl Choice for InvoiceStatus {
    const TABLE: &'static [(&'static str, Self)] =
        &[("open", Self::Open), ("paid", Self::Paid), ("void", Self::Void), ("disputed", Self::Disputed)];
}

impl Choice for SurveyType {
    const TABLE: &'static [(&'static str, Self)] =
        &[("nps", Self::Nps), ("csat", Self::Csat), ("ces", Self::Ces)];
}

impl Choice for ContactRole {
    const TABLE: &'static [(&'static str, Self)] = &[
        ("champion", Self::Champion),
        ("sponsor", Self::Sponsor),
        ("admin", Self::Admin),
        ("user", Self::User),
    ];
}

impl Choice for ContactStatus {
    const TABLE: &'static [(&'static str, Self)] =
        &[("active", Self::Active), ("moved", Self::Moved), ("left", Self::Left)];
}

impl Choice for BillingPeriod {
    const TABLE: &'static [(&'static str, Self)] =
        &[("monthly", Self::Monthly), ("quarterly", Self::Quarterly), ("annual", Self::Annual)];
}

impl Choice for ContractStatus {
    const TABLE: &'static [(&'static str, Self)] =
        &[("active", Self::Active), ("cancelled", Self::Cancelled)];
}
