//! Events from JSON, in one pass over the bytes: keys in any order, strings borrowed (only
//! escaped ones are copied), nothing else allocated for a plain event. Our own visitor instead of
//! derived enums, because those buffer the body, double the time and turn every refusal into
//! a string: here the first refusal is kept by value in a side cell and the parse is aborted.
//! What a value must look like is not decided here but in `value.rs` and `draft.rs`.
//!
//! `plain.rs` is tried first, because it takes half the time for what is usual; it gives up
//! wherever this file would have anything to say.
//!
//! To add a kind: a draft in `draft.rs` and an arm in [`BodySeed::visit_map`] and in `plain.rs`.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::draft::{
    AccountDraft, BodyDraft, ContactDraft, ContractDraft, Draft, EnvelopeDraft, InvoiceDraft, LoginDraft,
    Source, SurveyDraft, TicketDraft, UsageDraft,
};
use super::plain::{self, NotPlain};
use super::value::{Raw, refusal, unsupported_version};
use super::{Body, ENVELOPE_VERSION, Event, Kind, MAX_ENTITLED_FEATURES, PersonKey, Reason, Refusal};

/// Decodes one event from the JSON of a record value.
///
/// # Errors
///
/// A [`Refusal`] that says why the bytes are not an event.
pub fn decode_json<'a>(bytes: &'a [u8], key: &PersonKey) -> Result<Event<'a>, Refusal> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(malformed("the value starts with a UTF-8 byte order mark; send it without"));
    }
    // Checked once for the whole record, so no string is checked again, ignored ones included.
    let text = utf8(bytes)?;
    let mut parts = plain::Parts::default();
    match plain::read(text, key, &mut parts) {
        // The same drafts as below, so the same event, or the same refusal.
        Ok(()) => parts.envelope.finish(parts.body, parts.unknown),
        Err(NotPlain) => decode_any(text, key),
    }
}

/// As [`decode_json`], for JSON of any form.
#[inline(never)]
pub(super) fn decode_any<'a>(text: &'a str, key: &PersonKey) -> Result<Event<'a>, Refusal> {
    let refused = Cell::new(None);
    let mut parser = serde_json::Deserializer::from_str(text);
    let event = parser.deserialize_map(EventVisitor(Context { key, refused: &refused }));
    match event.and_then(|event| parser.end().map(|()| event)) {
        Ok(Ok(event)) => Ok(event),
        Ok(Err(refusal)) => Err(refusal),
        Err(error) => Err(match refused.take() {
            Some(refusal) => explain(text, refusal),
            // Our visitors record a refusal before they fail, so this is a value of another type.
            None if error.is_data() => malformed("the value is JSON but not an object; send one JSON object"),
            None => malformed(format_args!("the value is not JSON: {error}; send one JSON object")),
        }),
    }
}

/// Decodes the body of a known kind, a JSON object of its own. Nothing for null.
pub(super) fn decode_json_body<'a>(
    kind: Kind,
    text: &'a str,
    key: &PersonKey,
) -> Result<Option<(Body<'a>, u32)>, Refusal> {
    let refused = Cell::new(None);
    let mut parser = serde_json::Deserializer::from_str(text);
    let seed = BodySeed { kind, context: Context { key, refused: &refused } };
    let body = seed.deserialize(&mut parser).and_then(|body| parser.end().map(|()| body));
    body.map_err(|error| match refused.take() {
        Some(refusal) => refusal,
        None => malformed(format_args!("the data is not JSON: {error}; send one JSON object")),
    })
}

/// The bytes as text.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|e| {
        malformed(format_args!("the value is not UTF-8 from byte {} on; encode it as UTF-8", e.valid_up_to()))
    })
}

#[cold]
fn malformed(sentence: impl fmt::Display) -> Refusal {
    Refusal::new(Reason::MalformedJson, sentence.to_string())
}

/// An event of another envelope version is refused for that, even if something else was met
/// first: under its own version the rest may be right.
#[cold]
fn explain(text: &str, refusal: Refusal) -> Refusal {
    #[derive(serde::Deserialize)]
    struct OnlyVersion {
        v: Option<u64>,
    }
    match serde_json::from_str::<OnlyVersion>(text) {
        Ok(OnlyVersion { v: Some(v) }) if v != ENVELOPE_VERSION => unsupported_version(),
        _ => refusal,
    }
}

/// What all visitors of one decode share.
#[derive(Clone, Copy)]
struct Context<'c> {
    key: &'c PersonKey,
    /// Why the decode was aborted. serde's errors are strings; the reason must be a value.
    refused: &'c Cell<Option<Refusal>>,
}

impl Context<'_> {
    #[cold]
    fn refuse<E: de::Error>(self, refusal: Refusal) -> E {
        self.refused.set(Some(refusal));
        E::custom("refused")
    }
}

/// The entries of one JSON object.
struct Entries<'c, A> {
    map: A,
    context: Context<'c>,
}

impl<'de, A: MapAccess<'de>> Source<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn value(&mut self) -> Result<Raw<'de>, A::Error> {
        self.map.next_value_seed(RawSeed { inside_list: false })
    }

    fn refuse(&mut self, refusal: Refusal) -> A::Error {
        self.context.refuse(refusal)
    }
}

/// The whole event.
struct EventVisitor<'c>(Context<'c>);

impl<'de> Visitor<'de> for EventVisitor<'_> {
    type Value = Result<Event<'de>, Refusal>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event as one JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let context = self.0;
        let mut entries = Entries { map, context };
        let mut envelope = EnvelopeDraft::default();
        let mut body = None;
        let mut kinds_seen = 0_u8;
        let mut unknown = 0_u32;
        while let Some(name) = entries.map.next_key_seed(Name)? {
            if envelope.set(&name, context.key, &mut entries)? {
                continue;
            }
            let Some(kind) = Kind::from_name(&name) else {
                unknown = unknown.saturating_add(1);
                entries.map.next_value::<IgnoredAny>()?;
                continue;
            };
            let bit = 1 << (kind as u8);
            if kinds_seen & bit != 0 {
                let rest = "stands twice; send it once";
                return Err(context.refuse(refusal(Reason::DuplicateField, "", kind.name(), rest)));
            }
            kinds_seen |= bit;
            let Some((found, inside)) = entries.map.next_value_seed(BodySeed { kind, context })? else {
                continue;
            };
            if body.replace(found).is_some() {
                let rest = "is a second body; send one event for each";
                return Err(context.refuse(refusal(Reason::InvalidField, "", kind.name(), rest)));
            }
            unknown = unknown.saturating_add(inside);
        }
        // Not yet an error of serde's: the closing brace and the end must be seen first.
        Ok(envelope.finish(body, unknown))
    }
}

/// The body under its kind's name: itself and its unknown fields, or nothing for null.
struct BodySeed<'c> {
    kind: Kind,
    context: Context<'c>,
}

impl BodySeed<'_> {
    #[cold]
    fn not_an_object<E: de::Error>(&self) -> E {
        let rest = "expected an object with the fields of this kind";
        self.context.refuse(refusal(Reason::InvalidField, "", self.kind.name(), rest))
    }
}

impl<'de> DeserializeSeed<'de> for BodySeed<'_> {
    type Value = Option<(Body<'de>, u32)>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_> {
    type Value = Option<(Body<'de>, u32)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body of an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let entries = Entries { map, context: self.context };
        match self.kind {
            Kind::Login => fill::<LoginDraft, A>(entries),
            Kind::Usage => fill::<UsageDraft<'de>, A>(entries),
            Kind::Ticket => fill::<TicketDraft<'de>, A>(entries),
            Kind::Invoice => fill::<InvoiceDraft<'de>, A>(entries),
            Kind::Survey => fill::<SurveyDraft<'de>, A>(entries),
            Kind::Contact => fill::<ContactDraft<'de>, A>(entries),
            Kind::Contract => fill::<ContractDraft<'de>, A>(entries),
            Kind::Account => fill::<AccountDraft<'de>, A>(entries),
        }
        .map(Some)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Err(self.not_an_object())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Err(self.not_an_object())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(self.not_an_object())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(self.not_an_object())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(self.not_an_object())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.not_an_object())
    }
}

/// Reads the fields of one body.
fn fill<'de, D, A>(mut entries: Entries<'_, A>) -> Result<(Body<'de>, u32), A::Error>
where
    D: BodyDraft<'de>,
    A: MapAccess<'de>,
{
    let mut draft = D::default();
    let mut unknown = 0_u32;
    let key = entries.context.key;
    while let Some(name) = entries.map.next_key_seed(Name)? {
        if !draft.set(&name, key, &mut entries)? {
            unknown = unknown.saturating_add(1);
            entries.map.next_value::<IgnoredAny>()?;
        }
    }
    match draft.finish() {
        Ok(body) => Ok((body, unknown)),
        Err(refusal) => Err(entries.refuse(refusal)),
    }
}

/// A key, borrowed unless it is escaped.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Any value of a known field. It accepts every type, so that the check that follows can say
/// what was expected without repeating the payload. Nothing is kept of what is nested deeper
/// than a list, so a bomb costs no memory.
pub(super) struct RawSeed {
    pub inside_list: bool,
}

impl<'de> DeserializeSeed<'de> for RawSeed {
    type Value = Raw<'de>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Raw<'de>, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RawSeed {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw<'de>, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw<'de>, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw<'de>, E> {
        Ok(Raw::Unsigned(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw<'de>, E> {
        Ok(Raw::Negative(value))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Raw<'de>, E> {
        Ok(Raw::Float)
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Raw<'de>, E> {
        Ok(Raw::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Raw<'de>, E> {
        Ok(Raw::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw<'de>, A::Error> {
        let mut entries = Vec::new();
        // One more than the limit is kept, for the check to see that it is exceeded.
        let kept = if self.inside_list { 0 } else { MAX_ENTITLED_FEATURES + 1 };
        while entries.len() < kept {
            match seq.next_element_seed(RawSeed { inside_list: true })? {
                Some(entry) => entries.push(entry),
                None => return Ok(Raw::List(entries)),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Raw::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Raw::Object)
    }
}
