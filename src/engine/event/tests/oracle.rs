//! The oracle of the protobuf scan: the same events by way of the messages prost generates, which
//! own their text. Slow and plain; only tests use it.

use std::borrow::Cow;

use prost::Message;

use super::super::draft::{
    AccountDraft, BodyDraft, ContactDraft, ContractDraft, Draft, EnvelopeDraft, InvoiceDraft, LoginDraft,
    Source, SurveyDraft, TicketDraft, UsageDraft,
};
use super::super::value::Raw;
use super::*;

/// What `decode_protobuf` must give.
pub(super) fn decode(bytes: &[u8], key: &PersonKey) -> Result<Event<'static>, Refusal> {
    let message = pb::Event::decode(bytes).map_err(|error| {
        let sentence =
            format!("the value is not an accountpulse.v1.Event: {error}; send the message unframed");
        Refusal::new(Reason::MalformedProtobuf, sentence)
    })?;
    let mut envelope = Fill::<EnvelopeDraft>::new(key);
    // First, because another version decides what all the rest means.
    envelope.put("v", number(message.v))?;
    envelope.put("id", text(message.id))?;
    envelope.put("account_id", text(message.account_id))?;
    envelope.put("occurred_at", millis(message.occurred_at_ms))?;
    envelope.put("version", message.version.map(Raw::Unsigned))?;
    let (body, unknown) = match message.body {
        Some(body) => {
            let (body, unknown) = decode_body(body, key)?;
            (Some(body), unknown)
        }
        None => (None, 0),
    };
    envelope.draft.finish(body, unknown)
}

fn decode_body(body: pb::event::Body, key: &PersonKey) -> Result<(Body<'static>, u32), Refusal> {
    let body = match body {
        pb::event::Body::Login(m) => login(m, key)?,
        pb::event::Body::Usage(m) => usage(m, key)?,
        pb::event::Body::Ticket(m) => ticket(m, key)?,
        pb::event::Body::Invoice(m) => invoice(m, key)?,
        pb::event::Body::Survey(m) => survey(m, key)?,
        pb::event::Body::Contact(m) => contact(m, key)?,
        pb::event::Body::Contract(m) => contract(m, key)?,
        pb::event::Body::Account(m) => return account(m, key),
    };
    Ok((body, 0))
}

/// A draft with the key its person ids are hashed with.
struct Fill<'k, D> {
    draft: D,
    key: &'k PersonKey,
}

impl<'k, D: Draft<'static>> Fill<'k, D> {
    fn new(key: &'k PersonKey) -> Self {
        Fill { draft: D::default(), key }
    }

    /// Puts a value in; `false` if the draft has no such field.
    fn put(&mut self, name: &str, raw: Option<Raw<'static>>) -> Result<bool, Refusal> {
        match raw {
            Some(raw) => self.draft.set(name, self.key, &mut One(raw)),
            None => Ok(true),
        }
    }
}

/// A source of one value.
struct One(Raw<'static>);

impl Source<'static> for One {
    type Error = Refusal;

    fn value(&mut self) -> Result<Raw<'static>, Refusal> {
        Ok(std::mem::replace(&mut self.0, Raw::Null))
    }

    fn refuse(&mut self, refusal: Refusal) -> Refusal {
        refusal
    }
}

/// Text; empty is absent.
fn text(value: String) -> Option<Raw<'static>> {
    (!value.is_empty()).then_some(Raw::Text(Cow::Owned(value)))
}

/// Text with presence.
fn given(value: Option<String>) -> Option<Raw<'static>> {
    value.map(|value| Raw::Text(Cow::Owned(value)))
}

/// A time; zero is absent.
fn millis(value: i64) -> Option<Raw<'static>> {
    (value != 0).then_some(Raw::Millis(value))
}

/// An enum; unspecified is absent.
fn code(value: i32) -> Option<Raw<'static>> {
    (value != 0).then_some(Raw::Code(value))
}

/// A number; zero is absent.
fn number(value: u32) -> Option<Raw<'static>> {
    (value != 0).then_some(Raw::Unsigned(value.into()))
}

/// A number with presence.
fn counted(value: Option<u32>) -> Option<Raw<'static>> {
    value.map(|value| Raw::Unsigned(value.into()))
}

/// Money with presence.
fn money(value: Option<i64>) -> Option<Raw<'static>> {
    value.map(|value| u64::try_from(value).map_or(Raw::Negative(value), Raw::Unsigned))
}

fn login(m: pb::Login, key: &PersonKey) -> Result<Body<'static>, Refusal> {
    let mut fill = Fill::<LoginDraft>::new(key);
    fill.put("user_id", text(m.user_id))?;
    fill.draft.finish()
}

fn usage(m: pb::Usage, key: &PersonKey) -> Result<Body<'static>, Refusal> {
    let mut fill = Fill::<UsageDraft>::new(key);
    fill.put("user_id", text(m.user_id))?;
    fill.put("feature", text(m.feature))?;
    fill.put("count", number(m.count))?;
    fill.draft.finish()
}

fn ticket(m: pb::Ticket, key: &PersonKey) -> Result<Body<'static>, Refusal> {
    let mut fill = Fill::<TicketDraft>::new(key);
    fill.put("id", text(m.id))?;
    fill.put("priority", code(m.priority))?;
    fill.put("status", code(m.status))?;
    fill.put("opened_at", millis(m.opened_at_ms))?;
    fill.put("first_response_at", millis(m.first_response_at_ms))?;
    fill.put("first_response_due_at", millis(m.first_response_due_at_ms))?;
    fill.put("resolve_due_at", millis(m.resolve_due_at_ms))?;
    fill.put("solved_at", millis(m.solved_at_ms))?;
    fill.put("escalated", Some(Raw::Bool(m.escalated)))?;
    fill.put("csat", number(m.csat))?;
    fill.draft.finish()
}

fn invoice(m: pb::Invoice, key: &PersonKey) -> Result<Body<'static>, Refusal> {
    let mut fill = Fill::<InvoiceDraft>::new(key);
    fill.put("id", text(m.id))?;
    fill.put("amount_minor", money(m.amount_minor))?;
    fill.put("currency", text(m.currency))?;
    fill.put("issued_at", millis(m.issued_at_ms))?;
    fill.put("due_at", millis(m.due_at_ms))?;
    fill.put("paid_at", millis(m.paid_at_ms))?;
    fill.put("status", code(m.status))?;
    fill.draft.finish()
}

fn survey(m: pb::Survey, key: &PersonKey) -> Result<Body<'static>, Refusal> {
    let mut fill = Fill::<SurveyDraft>::new(key);
    fill.put("id", text(m.id))?;
    fill.put("type", code(m.r#type))?;
    fill.put("score", counted(m.score))?;
    fill.put("respondent", text(m.respondent))?;
    fill.draft.finish()
}

fn contact(m: pb::Contact, key: &PersonKey) -> Result<Body<'static>, Refusal> {
    let mut fill = Fill::<ContactDraft>::new(key);
    fill.put("id", text(m.id))?;
    fill.put("role", code(m.role))?;
    fill.put("status", code(m.status))?;
    fill.put("user_id", text(m.user_id))?;
    fill.draft.finish()
}

fn contract(m: pb::Contract, key: &PersonKey) -> Result<Body<'static>, Refusal> {
    let mut fill = Fill::<ContractDraft>::new(key);
    fill.put("id", text(m.id))?;
    fill.put("start_at", millis(m.start_at_ms))?;
    fill.put("end_at", millis(m.end_at_ms))?;
    fill.put("recurring_minor", money(m.recurring_minor))?;
    fill.put("currency", text(m.currency))?;
    fill.put("billing", code(m.billing))?;
    fill.put("seats", counted(m.seats))?;
    fill.put("status", code(m.status))?;
    fill.put("renews", text(m.renews))?;
    fill.draft.finish()
}

fn account(m: pb::Account, key: &PersonKey) -> Result<(Body<'static>, u32), Refusal> {
    let features: Vec<_> = m.entitled_features.into_iter().map(|name| Raw::Text(Cow::Owned(name))).collect();
    let mut fill = Fill::<AccountDraft>::new(key);
    fill.put("name", given(m.name))?;
    fill.put("segment", given(m.segment))?;
    fill.put("industry", given(m.industry))?;
    fill.put("owner", given(m.owner))?;
    fill.put("time_zone", given(m.time_zone))?;
    fill.put("lifecycle", given(m.lifecycle))?;
    fill.put("parent", given(m.parent))?;
    fill.put("entitled_features", (!features.is_empty()).then_some(Raw::List(features)))?;
    fill.put("expected_weekly_users", counted(m.expected_weekly_users))?;
    fill.put("expected_monthly_users", counted(m.expected_monthly_users))?;
    let mut unknown = 0_u32;
    for name in &m.clear {
        // A name given a value above, or cleared twice, is refused as standing twice.
        if !fill.put(name, Some(Raw::Null))? {
            unknown = unknown.saturating_add(1);
        }
    }
    Ok((fill.draft.finish()?, unknown))
}
