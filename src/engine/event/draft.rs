//! Events being filled in, and the checks that need more than one field. Both decoders put
//! values in by wire name and finish here, so an event means the same in both encodings.
//! Nothing here knows bytes.
//!
//! To add a field: a line in its draft (name on the wire, type, check), its place in `finish`,
//! the schema, `proto.rs` and `docs/events.md`.

use std::borrow::Cow;

use super::value::{self, Field, Raw, refusal};
use super::{
    AccountUpdate, BillingPeriod, Body, Contact, ContactRole, ContactStatus, Contract, ContractStatus,
    Currency, Event, Invoice, InvoiceStatus, Kind, Login, Patch, PersonId, PersonKey, Priority, Reason,
    Refusal, Survey, SurveyType, Ticket, TicketStatus, Usage,
};

/// Where a decoder stands in its input: in front of one value.
pub(super) trait Source<'a> {
    /// How this decoder reports that it stopped.
    type Error;
    /// Reads the value if it is a string that stands in the input as it is; else it stays unread.
    /// Never, for a decoder that can tell only by reading.
    fn text(&mut self) -> Result<Option<&'a str>, Self::Error> {
        Ok(None)
    }
    /// Reads the value.
    fn value(&mut self) -> Result<Raw<'a>, Self::Error>;
    /// Turns a refusal into the decoder's error.
    fn refuse(&mut self, refusal: Refusal) -> Self::Error;
}

/// A group of fields being filled in, in any order.
pub(super) trait Draft<'a>: Default {
    /// The kind's name, empty for the envelope.
    #[cfg(test)]
    const ROOM: &'static str;
    /// All names it knows.
    #[cfg(test)]
    const NAMES: &'static [&'static str];
    /// Takes the value that stands next in `source` if the name is known; `false`, with the
    /// value still unread, if it is not.
    fn set<S: Source<'a>>(&mut self, name: &str, key: &PersonKey, source: &mut S) -> Result<bool, S::Error>;
}

/// A draft that becomes the body of an event.
pub(super) trait BodyDraft<'a>: Draft<'a> {
    /// Checks what needs more than one field.
    fn finish(self) -> Result<Body<'a>, Refusal>;
}

/// Puts one value into its slot: null clears, a second value is refused.
///
/// Strings have a way of their own: most values are, and a check that is inlined where the value is
/// known to be one shrinks to what it does to strings.
#[inline]
fn put<'a, T, S: Source<'a>>(
    slot: &mut Patch<T>,
    field: Field<'_>,
    source: &mut S,
    check: impl Fn(Field<'_>, Raw<'a>) -> Result<T, Refusal>,
) -> Result<bool, S::Error> {
    if !matches!(slot, Patch::Unchanged) {
        return Err(source.refuse(twice(field)));
    }
    let Some(text) = source.text()? else { return put_other(slot, field, source, check) };
    match check(field, Raw::Text(Cow::Borrowed(text))) {
        Ok(value) => {
            *slot = Patch::Set(value);
            Ok(true)
        }
        Err(refusal) => Err(source.refuse(refusal)),
    }
}

/// As [`put`], for all that is no plain string.
#[inline(never)]
fn put_other<'a, T, S: Source<'a>>(
    slot: &mut Patch<T>,
    field: Field<'_>,
    source: &mut S,
    check: impl Fn(Field<'_>, Raw<'a>) -> Result<T, Refusal>,
) -> Result<bool, S::Error> {
    let raw = source.value()?;
    match place(slot, field, raw, check) {
        Ok(()) => Ok(true),
        Err(refusal) => Err(source.refuse(refusal)),
    }
}

/// As [`put`], for a value that was read already.
#[inline]
fn place<'a, T>(
    slot: &mut Patch<T>,
    field: Field<'_>,
    raw: Raw<'a>,
    check: impl Fn(Field<'_>, Raw<'a>) -> Result<T, Refusal>,
) -> Result<(), Refusal> {
    if !matches!(slot, Patch::Unchanged) {
        return Err(twice(field));
    }
    *slot = match raw {
        Raw::Null => Patch::Cleared,
        raw => Patch::Set(check(field, raw)?),
    };
    Ok(())
}

#[cold]
fn twice(field: Field<'_>) -> Refusal {
    refusal(Reason::DuplicateField, field.room, field.name, "stands twice; send it once")
}

impl<T> Patch<T> {
    /// Null and absent are the same for every kind but `account`.
    fn optional(self) -> Option<T> {
        match self {
            Patch::Set(value) => Some(value),
            Patch::Unchanged | Patch::Cleared => None,
        }
    }

    #[inline]
    fn required(self, room: &str, name: &str) -> Result<T, Refusal> {
        self.optional().ok_or_else(|| refusal(Reason::MissingField, room, name, "is required; send it"))
    }
}

/// Writes a draft: one line per field, so that its name, type and check stand in one place.
macro_rules! draft {
    ($(#[$doc:meta])* $name:ident $(<$life:lifetime>)? as $room:literal {
        $($field:ident $wire:literal: $ty:ty = $check:expr;)*
    }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name $(<$life>)? {
            $($field: Patch<$ty>,)*
        }

        impl<'a> $name $(<$life>)? {
            $(
                /// Takes the value of this field, for a decoder that knows it by number.
                #[inline]
                pub(super) fn $field(&mut self, key: &PersonKey, raw: Raw<'a>) -> Result<(), Refusal> {
                    place(&mut self.$field, Field { room: $room, name: $wire, key }, raw, $check)
                }
            )*
        }

        impl<'a> Draft<'a> for $name $(<$life>)? {
            #[cfg(test)]
            const ROOM: &'static str = $room;
            #[cfg(test)]
            const NAMES: &'static [&'static str] = &[$($wire),*];

            fn set<S: Source<'a>>(
                &mut self,
                name: &str,
                key: &PersonKey,
                source: &mut S,
            ) -> Result<bool, S::Error> {
                match name {
                    $($wire => {
                        put(&mut self.$field, Field { room: $room, name: $wire, key }, source, $check)
                    })*
                    _ => Ok(false),
                }
            }
        }
    };
}

draft! {
    /// What every event carries.
    EnvelopeDraft<'a> as "" {
        v "v": u64 = value::envelope_version;
        id "id": Cow<'a, str> = value::id;
        account "account_id": Cow<'a, str> = value::id;
        occurred_at "occurred_at": i64 = value::time;
        version "version": u64 = value::entity_version;
    }
}

impl<'a> EnvelopeDraft<'a> {
    /// The event, once the body is known.
    #[inline]
    pub(super) fn finish(self, body: Option<Body<'a>>, unknown_fields: u32) -> Result<Event<'a>, Refusal> {
        Ok(Event {
            id: self.id.required("", "id")?,
            account: self.account.required("", "account_id")?,
            occurred_at_ms: self.occurred_at.required("", "occurred_at")?,
            version: self.version.optional(),
            body: body.ok_or_else(no_body)?,
            unknown_fields,
        })
    }
}

#[cold]
fn no_body() -> Refusal {
    let known = Kind::ALL.map(Kind::name).join(", ");
    Refusal::new(Reason::UnknownKind, format!("the event has no body of a known kind; send one of {known}"))
}

draft! {
    /// See [`Login`].
    LoginDraft as "login" {
        user "user_id": PersonId = value::person;
    }
}

impl<'a> BodyDraft<'a> for LoginDraft {
    #[inline]
    fn finish(self) -> Result<Body<'a>, Refusal> {
        Ok(Body::Login(Login { user: self.user.required("login", "user_id")? }))
    }
}

draft! {
    /// See [`Usage`].
    UsageDraft<'a> as "usage" {
        user "user_id": PersonId = value::person;
        feature "feature": Cow<'a, str> = value::text;
        count "count": u32 = value::count;
    }
}

impl<'a> BodyDraft<'a> for UsageDraft<'a> {
    #[inline]
    fn finish(self) -> Result<Body<'a>, Refusal> {
        Ok(Body::Usage(Usage {
            user: self.user.optional(),
            feature: self.feature.required("usage", "feature")?,
            count: self.count.optional().unwrap_or(1),
        }))
    }
}

draft! {
    /// See [`Ticket`].
    TicketDraft<'a> as "ticket" {
        id "id": Cow<'a, str> = value::id;
        priority "priority": Priority = value::choice;
        status "status": TicketStatus = value::choice;
        opened_at "opened_at": i64 = value::time;
        first_response_at "first_response_at": i64 = value::time;
        first_response_due "first_response_due_at": i64 = value::time;
        resolve_due "resolve_due_at": i64 = value::time;
        solved_at "solved_at": i64 = value::time;
        escalated "escalated": bool = value::flag;
        csat "csat": u8 = value::rating;
    }
}

impl<'a> BodyDraft<'a> for TicketDraft<'a> {
    #[inline]
    fn finish(self) -> Result<Body<'a>, Refusal> {
        let ticket = Ticket {
            id: self.id.required("ticket", "id")?,
            priority: self.priority.optional().unwrap_or(Priority::Normal),
            status: self.status.required("ticket", "status")?,
            opened_at_ms: self.opened_at.required("ticket", "opened_at")?,
            first_response_at_ms: self.first_response_at.optional(),
            first_response_due_ms: self.first_response_due.optional(),
            resolve_due_ms: self.resolve_due.optional(),
            solved_at_ms: self.solved_at.optional(),
            escalated: self.escalated.optional().unwrap_or(false),
            csat: self.csat.optional(),
        };
        let opened = ticket.opened_at_ms;
        if ticket.status == TicketStatus::Solved && ticket.solved_at_ms.is_none() {
            let rest = "is required when ticket.status is solved or closed; send it";
            return Err(refusal(Reason::MissingField, "ticket", "solved_at", rest));
        }
        // A due time before the opening is a service level nobody could meet, not a broken record.
        not_before("ticket", "first_response_at", ticket.first_response_at_ms, "opened_at", opened)?;
        not_before("ticket", "solved_at", ticket.solved_at_ms, "opened_at", opened)?;
        Ok(Body::Ticket(ticket))
    }
}

fn not_before(room: &str, name: &str, at: Option<i64>, other: &str, bound: i64) -> Result<(), Refusal> {
    match at {
        Some(at) if at < bound => {
            let rest = format_args!("is before {room}.{other}; send both as they happened");
            Err(refusal(Reason::InvalidField, room, name, rest))
        }
        _ => Ok(()),
    }
}

draft! {
    /// See [`Invoice`].
    InvoiceDraft<'a> as "invoice" {
        id "id": Cow<'a, str> = value::id;
        amount "amount_minor": i64 = value::money;
        currency "currency": Currency = value::currency;
        issued_at "issued_at": i64 = value::time;
        due_at "due_at": i64 = value::time;
        paid_at "paid_at": i64 = value::time;
        status "status": InvoiceStatus = value::choice;
    }
}

impl<'a> BodyDraft<'a> for InvoiceDraft<'a> {
    #[inline]
    fn finish(self) -> Result<Body<'a>, Refusal> {
        let paid_at_ms = self.paid_at.optional();
        let implied = if paid_at_ms.is_some() { InvoiceStatus::Paid } else { InvoiceStatus::Open };
        let status = self.status.optional().unwrap_or(implied);
        match (status, paid_at_ms) {
            (InvoiceStatus::Paid, None) => {
                let rest = "is required when invoice.status is paid; send it";
                return Err(refusal(Reason::MissingField, "invoice", "paid_at", rest));
            }
            (InvoiceStatus::Open, Some(_)) => {
                let rest = "is open although invoice.paid_at is given; leave one of the two out";
                return Err(refusal(Reason::InvalidField, "invoice", "status", rest));
            }
            // Void or disputed after a payment: refunds and chargebacks exist. Paid or due before
            // the issue: prepayments and bills due on the day exist, too.
            _ => {}
        }
        Ok(Body::Invoice(Invoice {
            id: self.id.required("invoice", "id")?,
            amount_minor: self.amount.required("invoice", "amount_minor")?,
            currency: self.currency.required("invoice", "currency")?,
            issued_at_ms: self.issued_at.required("invoice", "issued_at")?,
            due_at_ms: self.due_at.required("invoice", "due_at")?,
            paid_at_ms,
            status,
        }))
    }
}

draft! {
    /// See [`Survey`].
    SurveyDraft<'a> as "survey" {
        id "id": Cow<'a, str> = value::id;
        survey "type": SurveyType = value::choice;
        score "score": u8 = value::score;
        respondent "respondent": PersonId = value::person;
    }
}

impl<'a> BodyDraft<'a> for SurveyDraft<'a> {
    #[inline]
    fn finish(self) -> Result<Body<'a>, Refusal> {
        let survey = Survey {
            id: self.id.required("survey", "id")?,
            survey: self.survey.required("survey", "type")?,
            score: self.score.optional(),
            respondent: self.respondent.optional(),
        };
        let (name, range) = match survey.survey {
            SurveyType::Nps => ("nps", 0..=10),
            SurveyType::Csat => ("csat", 1..=5),
            SurveyType::Ces => ("ces", 1..=7),
        };
        if survey.score.is_some_and(|score| !range.contains(&score)) {
            let (from, to) = range.into_inner();
            let rest = format_args!("expected {from} to {to} for a survey of type {name}");
            return Err(refusal(Reason::InvalidField, "survey", "score", rest));
        }
        Ok(Body::Survey(survey))
    }
}

draft! {
    /// See [`Contact`].
    ContactDraft<'a> as "contact" {
        id "id": Cow<'a, str> = value::id;
        role "role": ContactRole = value::choice;
        status "status": ContactStatus = value::choice;
        user "user_id": PersonId = value::person;
    }
}

impl<'a> BodyDraft<'a> for ContactDraft<'a> {
    #[inline]
    fn finish(self) -> Result<Body<'a>, Refusal> {
        Ok(Body::Contact(Contact {
            id: self.id.required("contact", "id")?,
            role: self.role.required("contact", "role")?,
            status: self.status.required("contact", "status")?,
            user: self.user.optional(),
        }))
    }
}

draft! {
    /// See [`Contract`].
    ContractDraft<'a> as "contract" {
        id "id": Cow<'a, str> = value::id;
        start_at "start_at": i64 = value::time;
        end_at "end_at": i64 = value::time;
        recurring "recurring_minor": i64 = value::money;
        currency "currency": Currency = value::currency;
        billing "billing": BillingPeriod = value::choice;
        seats "seats": u32 = value::number;
        status "status": ContractStatus = value::choice;
        renews "renews": Cow<'a, str> = value::id;
    }
}

impl<'a> BodyDraft<'a> for ContractDraft<'a> {
    #[inline]
    fn finish(self) -> Result<Body<'a>, Refusal> {
        let contract = Contract {
            id: self.id.required("contract", "id")?,
            start_ms: self.start_at.required("contract", "start_at")?,
            end_ms: self.end_at.optional(),
            recurring_minor: self.recurring.required("contract", "recurring_minor")?,
            currency: self.currency.required("contract", "currency")?,
            billing: self.billing.optional().unwrap_or(BillingPeriod::Annual),
            seats: self.seats.optional(),
            status: self.status.optional().unwrap_or(ContractStatus::Active),
            renews: self.renews.optional(),
        };
        if contract.end_ms.is_some_and(|end| end <= contract.start_ms) {
            let rest =
                "is not after contract.start_at; it is the first instant the contract no longer covers";
            return Err(refusal(Reason::InvalidField, "contract", "end_at", rest));
        }
        if contract.renews.as_ref() == Some(&contract.id) {
            let rest = "names the contract itself; send the id of the contract before it";
            return Err(refusal(Reason::InvalidField, "contract", "renews", rest));
        }
        Ok(Body::Contract(contract))
    }
}

draft! {
    /// See [`AccountUpdate`].
    AccountDraft<'a> as "account" {
        name "name": Cow<'a, str> = value::text;
        segment "segment": Cow<'a, str> = value::text;
        industry "industry": Cow<'a, str> = value::text;
        owner "owner": Cow<'a, str> = value::text;
        time_zone "time_zone": Cow<'a, str> = value::text;
        lifecycle "lifecycle": Cow<'a, str> = value::text;
        parent "parent": Cow<'a, str> = value::id;
        entitled_features "entitled_features": Vec<Cow<'a, str>> = value::features;
        expected_weekly_users "expected_weekly_users": u32 = value::number;
        expected_monthly_users "expected_monthly_users": u32 = value::number;
    }
}

impl<'a> BodyDraft<'a> for AccountDraft<'a> {
    #[inline]
    fn finish(self) -> Result<Body<'a>, Refusal> {
        // An empty list says the same as null: we know of no feature the customer pays for.
        let entitled_features = match self.entitled_features {
            Patch::Set(features) if features.is_empty() => Patch::Cleared,
            other => other,
        };
        Ok(Body::Account(AccountUpdate {
            name: self.name,
            segment: self.segment,
            industry: self.industry,
            owner: self.owner,
            time_zone: self.time_zone,
            lifecycle: self.lifecycle,
            parent: self.parent,
            entitled_features,
            expected_weekly_users: self.expected_weekly_users,
            expected_monthly_users: self.expected_monthly_users,
        }))
    }
}
