//! Events: one fact about one account. Decoding borrows from the record and allocates nothing
//! on the hot path; person ids become keyed pseudonyms here and nothing later sees a raw id.
//!
//! To add a kind: a message in `proto/accountpulse/v1/event.proto`, a variant in [`Body`] and
//! [`Kind`], its fields in `draft.rs`, an arm in `json.rs`, `plain.rs` and `proto.rs`, its merge in
//! `engine::account`, its section in `docs/events.md` (a test holds the examples there to this decoder).

mod cloudevent;
mod currency;
mod draft;
mod framing;
mod headers;
mod intake;
mod json;
mod owned;
pub mod pb;
mod person;
mod plain;
mod proto;
mod refusal;
mod rfc3339;
mod slot;
#[cfg(test)]
mod tests;
mod value;
mod wire;

use std::borrow::Cow;

pub use headers::{Headers, NoHeaders, READ_HEADERS};
pub use intake::{Encoding, Intake, RawRecord};
pub use json::decode_json;
pub use person::{PersonId, PersonKey};
pub use proto::decode_protobuf;
pub use refusal::{Reason, Refusal};
pub use wire::split_delimited;

/// Longest event id, account id or entity id, in bytes.
pub const MAX_ID_BYTES: usize = 128;
/// Largest event value, in bytes; larger records are refused before parsing.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;
/// Longest free text (account name, industry, owner, feature name), in bytes.
pub const MAX_TEXT_BYTES: usize = 256;
/// Most features in the `entitled_features` of one account.
pub const MAX_ENTITLED_FEATURES: usize = 256;
/// Largest amount of money in one event, in minor units: sums of thousands of them fit an i64.
pub const MAX_AMOUNT_MINOR: i64 = 1_000_000_000_000_000;
/// Earliest time an event may name: 1990-01-01T00:00:00Z. Zeros and seconds taken for
/// milliseconds fall before it.
pub const MIN_TIME_MS: i64 = 631_152_000_000;
/// First instant no event may name any more: 2200-01-01T00:00:00Z.
pub const MAX_TIME_MS: i64 = 7_258_118_400_000;
/// The envelope's major version this decoder understands.
pub const ENVELOPE_VERSION: u64 = 1;

/// The kinds of event. The discriminant is stored in state: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A person signed in.
    Login = 0,
    /// A person (or the account as a whole) used a feature.
    Usage = 1,
    /// The full current state of a support ticket.
    Ticket = 2,
    /// The full current state of an invoice.
    Invoice = 3,
    /// An answered survey.
    Survey = 4,
    /// The full current state of a contact person.
    Contact = 5,
    /// The full current state of a contract.
    Contract = 6,
    /// Master data of the account; absent fields are unchanged.
    Account = 7,
}

impl Kind {
    /// All kinds, in discriminant order.
    pub const ALL: [Kind; 8] = [
        Kind::Login,
        Kind::Usage,
        Kind::Ticket,
        Kind::Invoice,
        Kind::Survey,
        Kind::Contact,
        Kind::Contract,
        Kind::Account,
    ];

    /// The name on the wire, in metrics and in docs.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Login => "login",
            Kind::Usage => "usage",
            Kind::Ticket => "ticket",
            Kind::Invoice => "invoice",
            Kind::Survey => "survey",
            Kind::Contact => "contact",
            Kind::Contract => "contract",
            Kind::Account => "account",
        }
    }

    /// The kind of that name on the wire.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A decoded event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// Unique per (account, kind).
    pub id: Cow<'a, str>,
    /// The account it is about; equals the record key.
    pub account: Cow<'a, str>,
    /// When it happened, UTC milliseconds.
    pub occurred_at_ms: i64,
    /// Producer's own version of the entity; the greatest wins before `occurred_at` is looked at.
    pub version: Option<u64>,
    /// What happened.
    pub body: Body<'a>,
    /// How many fields the decoder did not know (ignored, counted).
    pub unknown_fields: u32,
}

impl Event<'_> {
    /// The kind of the body.
    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Login(_) => Kind::Login,
            Body::Usage(_) => Kind::Usage,
            Body::Ticket(_) => Kind::Ticket,
            Body::Invoice(_) => Kind::Invoice,
            Body::Survey(_) => Kind::Survey,
            Body::Contact(_) => Kind::Contact,
            Body::Contract(_) => Kind::Contract,
            Body::Account(_) => Kind::Account,
        }
    }
}

/// What an event carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// See [`Kind::Login`].
    Login(Login),
    /// See [`Kind::Usage`].
    Usage(Usage<'a>),
    /// See [`Kind::Ticket`].
    Ticket(Ticket<'a>),
    /// See [`Kind::Invoice`].
    Invoice(Invoice<'a>),
    /// See [`Kind::Survey`].
    Survey(Survey<'a>),
    /// See [`Kind::Contact`].
    Contact(Contact<'a>),
    /// See [`Kind::Contract`].
    Contract(Contract<'a>),
    /// See [`Kind::Account`].
    Account(AccountUpdate<'a>),
}

/// A sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who; `user_id` on the wire.
    pub user: PersonId,
}

/// Use of one feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage<'a> {
    /// Who, if a person; absent for machine use.
    pub user: Option<PersonId>,
    /// Which feature.
    pub feature: Cow<'a, str>,
    /// How many times, at least 1; absent on the wire = 1.
    pub count: u32,
}

/// Priority of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Priority {
    /// `low`
    Low = 0,
    /// `normal` (the default)
    Normal = 1,
    /// `high`
    High = 2,
    /// `urgent`
    Urgent = 3,
}

/// Status of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TicketStatus {
    /// `open`: the clock of the vendor runs.
    Open = 0,
    /// `pending`: waiting for the customer; the resolve clock is paused.
    Pending = 1,
    /// `solved` (also `closed`).
    Solved = 2,
    /// `deleted`: spam or opened by mistake; counts nowhere.
    Deleted = 3,
}

/// The full current state of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket<'a> {
    /// Ticket id.
    pub id: Cow<'a, str>,
    /// Priority.
    pub priority: Priority,
    /// Status.
    pub status: TicketStatus,
    /// When it was opened.
    pub opened_at_ms: i64,
    /// When the first response was given.
    pub first_response_at_ms: Option<i64>,
    /// When the first response is due.
    pub first_response_due_ms: Option<i64>,
    /// When the solution is due.
    pub resolve_due_ms: Option<i64>,
    /// When it was solved; required when `status` is solved.
    pub solved_at_ms: Option<i64>,
    /// Whether it was escalated.
    pub escalated: bool,
    /// Satisfaction with the ticket, 1 to 5.
    pub csat: Option<u8>,
}

/// Status of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum InvoiceStatus {
    /// `open` (the default unless `paid_at` is given)
    Open = 0,
    /// `paid`
    Paid = 1,
    /// `void`: never owed.
    Void = 2,
    /// `disputed`: the payment clock is paused.
    Disputed = 3,
}

/// An ISO 4217 code in upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(pub [u8; 3]);

impl Currency {
    /// The three letters.
    pub fn as_str(&self) -> &str {
        // Only constructed from three ASCII letters.
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl std::fmt::Debug for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The full current state of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice<'a> {
    /// Invoice id.
    pub id: Cow<'a, str>,
    /// Amount in minor units of `currency`; not negative.
    pub amount_minor: i64,
    /// Currency.
    pub currency: Currency,
    /// Date of issue.
    pub issued_at_ms: i64,
    /// Payment is late after this instant (plus grace).
    pub due_at_ms: i64,
    /// When it was paid; required when `status` is paid.
    pub paid_at_ms: Option<i64>,
    /// Status.
    pub status: InvoiceStatus,
}

/// What a survey asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum SurveyType {
    /// `nps`: 0–10.
    Nps = 0,
    /// `csat`: 1–5.
    Csat = 1,
    /// `ces`: 1–7.
    Ces = 2,
}

/// A survey response, or the fact that nobody answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey<'a> {
    /// Response id.
    pub id: Cow<'a, str>,
    /// What was asked.
    pub survey: SurveyType,
    /// The answer; absent = asked, no answer.
    pub score: Option<u8>,
    /// Who answered.
    pub respondent: Option<PersonId>,
}

/// Role of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ContactRole {
    /// `champion`: the person who carries our product inside the customer.
    Champion = 0,
    /// `sponsor`: who pays for it.
    Sponsor = 1,
    /// `admin`
    Admin = 2,
    /// `user`
    User = 3,
}

/// Status of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ContactStatus {
    /// `active`
    Active = 0,
    /// `moved`: still in the company, in another team.
    Moved = 1,
    /// `left`: no longer in the company.
    Left = 2,
}

/// The full current state of a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact<'a> {
    /// Contact id (of the CRM; not a person's name).
    pub id: Cow<'a, str>,
    /// Role.
    pub role: ContactRole,
    /// Status.
    pub status: ContactStatus,
    /// The user this contact signs in as.
    pub user: Option<PersonId>,
}

/// How often a contract is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BillingPeriod {
    /// `monthly`: the recurring amount is per month.
    Monthly = 0,
    /// `quarterly`
    Quarterly = 1,
    /// `annual` (the default)
    Annual = 2,
}

/// Status of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ContractStatus {
    /// `active` (the default)
    Active = 0,
    /// `cancelled`: will not be renewed, or ended early.
    Cancelled = 1,
}

/// The full current state of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract<'a> {
    /// Contract id.
    pub id: Cow<'a, str>,
    /// First instant.
    pub start_ms: i64,
    /// First instant after it; absent = open-ended.
    pub end_ms: Option<i64>,
    /// Recurring amount per billing period, minor units; not negative.
    pub recurring_minor: i64,
    /// Currency.
    pub currency: Currency,
    /// Billing period.
    pub billing: BillingPeriod,
    /// Seats bought.
    pub seats: Option<u32>,
    /// Status.
    pub status: ContractStatus,
    /// The contract this one renews.
    pub renews: Option<Cow<'a, str>>,
}

/// A field of an `account` event: absent = unchanged, null = cleared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// The field was absent.
    #[default]
    Unchanged,
    /// The field was null.
    Cleared,
    /// The field had a value.
    Set(T),
}

/// Master data of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountUpdate<'a> {
    /// Display name of the company.
    pub name: Patch<Cow<'a, str>>,
    /// Size segment, for example `smb`, `mid`, `enterprise`.
    pub segment: Patch<Cow<'a, str>>,
    /// Industry.
    pub industry: Patch<Cow<'a, str>>,
    /// The customer success manager in charge.
    pub owner: Patch<Cow<'a, str>>,
    /// IANA time zone, for display and quiet hours only.
    pub time_zone: Patch<Cow<'a, str>>,
    /// Lifecycle stage: `onboarding`, `adopting`, `established`, `renewing`, `churned` or a
    /// user's own.
    pub lifecycle: Patch<Cow<'a, str>>,
    /// Parent account id.
    pub parent: Patch<Cow<'a, str>>,
    /// Features the customer pays for.
    pub entitled_features: Patch<Vec<Cow<'a, str>>>,
    /// Agreed minimum active users per week.
    pub expected_weekly_users: Patch<u32>,
    /// Agreed minimum active users per month.
    pub expected_monthly_users: Patch<u32>,
}
