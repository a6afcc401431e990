//! One event before it becomes JSON. Facts are small and made ahead of time; text is written
//! only when the event is asked for.

use std::sync::Arc;

use super::account::Account;
use super::catalogue::FEATURES;
use super::text::{Envelope, Fields};
use crate::engine::event::{
    BillingPeriod, ContactRole, ContactStatus, ContractStatus, InvoiceStatus, Kind, Priority, TicketStatus,
};

/// A generated event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimEvent {
    /// When it happened, UTC milliseconds; never less than that of the event before.
    pub at_ms: i64,
    /// The account: the record key.
    pub account: Arc<str>,
    /// The kind: decides the topic.
    pub kind: Kind,
    /// The event as JSON, without a line end.
    pub json: Vec<u8>,
}

/// Bytes most events fit into, so that writing one allocates once.
const TYPICAL_JSON_BYTES: usize = 448;

impl SimEvent {
    pub(super) fn new(account: &Account, at_ms: i64, fact: &Fact) -> SimEvent {
        let mut json = Vec::with_capacity(TYPICAL_JSON_BYTES);
        fact.write(account, at_ms, &mut json);
        SimEvent { at_ms, account: Arc::clone(&account.id), kind: fact.kind(), json }
    }
}

#[cfg(test)]
impl SimEvent {
    /// The id, once the decoder has accepted every field.
    pub(super) fn decoded_id(&self) -> String {
        use crate::engine::event::{PersonKey, decode_json};
        let event = decode_json(&self.json, &PersonKey::new([7; 16]))
            .unwrap_or_else(|refusal| panic!("{refusal}: {}", String::from_utf8_lossy(&self.json)));
        assert_eq!((event.unknown_fields, event.kind()), (0, self.kind));
        assert_eq!((&*event.account, event.occurred_at_ms), (&*self.account, self.at_ms));
        event.id.into_owned()
    }
}

/// A fact about some account at some time.
#[derive(Clone, Debug)]
pub(super) struct Dated {
    pub(super) at_ms: i64,
    pub(super) account: u32,
    pub(super) fact: Fact,
}

/// What happened. Users and entities are numbers here; ids are made of account and number.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Login { user: u16 },
    Usage { user: u16, feature: u8, count: u16 },
    Ticket(Ticket),
    Invoice(Invoice),
    Nps { number: u64, score: u8, user: u16 },
    Contact { number: u64, role: ContactRole, status: ContactStatus, user: u16 },
    Contract(Contract),
    Account,
}

/// A ticket's state.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) number: u64,
    pub(super) priority: Priority,
    pub(super) status: TicketStatus,
    pub(super) opened_ms: i64,
    pub(super) responded_ms: Option<i64>,
    pub(super) response_due_ms: i64,
    pub(super) resolve_due_ms: i64,
    pub(super) solved_ms: Option<i64>,
    pub(super) csat: Option<u8>,
}

/// An invoice's state.
#[derive(Clone, Debug)]
pub(super) struct Invoice {
    pub(super) number: u64,
    pub(super) issued_ms: i64,
    pub(super) due_ms: i64,
    pub(super) paid_ms: Option<i64>,
    pub(super) status: InvoiceStatus,
}

/// A contract's state; the amount is the account's.
#[derive(Clone, Debug)]
pub(super) struct Contract {
    pub(super) number: u64,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) status: ContractStatus,
    pub(super) renews: Option<u64>,
}

impl Fact {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Fact::Login { .. } => Kind::Login,
            Fact::Usage { .. } => Kind::Usage,
            Fact::Ticket(_) => Kind::Ticket,
            Fact::Invoice(_) => Kind::Invoice,
            Fact::Nps { .. } => Kind::Survey,
            Fact::Contact { .. } => Kind::Contact,
            Fact::Contract(_) => Kind::Contract,
            Fact::Account => Kind::Account,
        }
    }

    /// Distinguishes events of one kind at the same millisecond in one account.
    fn number(&self) -> u64 {
        match self {
            Fact::Login { user } => u64::from(*user),
            Fact::Usage { user, feature, .. } => {
                u64::from(*user) * FEATURES.len() as u64 + u64::from(*feature)
            }
            Fact::Ticket(ticket) => ticket.number,
            Fact::Invoice(invoice) => invoice.number,
            Fact::Nps { number, .. } | Fact::Contact { number, .. } => *number,
            Fact::Contract(contract) => contract.number,
            Fact::Account => 0,
        }
    }

    fn write(&self, account: &Account, at_ms: i64, buf: &mut Vec<u8>) {
        let envelope =
            Envelope { kind: self.kind().name(), account: &account.id, at_ms, number: self.number() };
        let mut fields = Fields::open(buf, envelope);
        match self {
            Fact::Login { user } => fields.user("user_id", account, *user),
            Fact::Usage { user, feature, count } => {
                fields.user("user_id", account, *user);
                fields.text("feature", FEATURES[usize::from(*feature) % FEATURES.len()]);
                fields.number("count", i64::from(*count));
            }
            Fact::Ticket(ticket) => ticket.write(account, &mut fields),
            Fact::Invoice(invoice) => invoice.write(account, &mut fields),
            Fact::Nps { number, score, user } => {
                fields.id("id", &account.id, "-nps-", *number);
                fields.text("type", "nps");
                fields.number("score", i64::from(*score));
                fields.user("respondent", account, *user);
            }
            Fact::Contact { number, role, status, user } => {
                fields.id("id", &account.id, "-c", *number);
                fields.text("role", role_name(*role));
                fields.text("status", contact_status_name(*status));
                fields.user("user_id", account, *user);
            }
            Fact::Contract(contract) => contract.write(account, &mut fields),
            Fact::Account => write_account(account, &mut fields),
        }
        fields.close();
    }
}

impl Fields<'_> {
    fn user(&mut self, name: &str, account: &Account, user: u16) {
        self.id(name, &account.id, "-u", u64::from(user));
    }
}

impl Ticket {
    fn write(&self, account: &Account, fields: &mut Fields<'_>) {
        fields.id("id", &account.id, "-t", self.number);
        fields.text("priority", priority_name(self.priority));
        fields.text("status", ticket_status_name(self.status));
        fields.time("opened_at", self.opened_ms);
        fields.maybe_time("first_response_at", self.responded_ms);
        fields.time("first_response_due_at", self.response_due_ms);
        fields.time("resolve_due_at", self.resolve_due_ms);
        fields.maybe_time("solved_at", self.solved_ms);
        if let Some(csat) = self.csat {
            fields.number("csat", i64::from(csat));
        }
    }
}

impl Invoice {
    fn write(&self, account: &Account, fields: &mut Fields<'_>) {
        fields.id("id", &account.id, "-i", self.number);
        fields.number("amount_minor", account.recurring_minor);
        fields.text("currency", account.currency);
        fields.time("issued_at", self.issued_ms);
        fields.time("due_at", self.due_ms);
        fields.maybe_time("paid_at", self.paid_ms);
        fields.text("status", invoice_status_name(self.status));
    }
}

impl Contract {
    fn write(&self, account: &Account, fields: &mut Fields<'_>) {
        fields.id("id", &account.id, "-k", self.number);
        fields.time("start_at", self.start_ms);
        fields.time("end_at", self.end_ms);
        fields.number("recurring_minor", account.recurring_minor);
        fields.text("currency", account.currency);
        fields.text("billing", billing_name(account.billing));
        fields.number("seats", i64::from(account.seats));
        fields.text("status", contract_status_name(self.status));
        if let Some(renews) = self.renews {
            fields.id("renews", &account.id, "-k", renews);
        }
    }
}

fn write_account(account: &Account, fields: &mut Fields<'_>) {
    fields.text("name", &account.name);
    fields.text("segment", account.segment.name());
    fields.text("industry", account.industry);
    fields.text("owner", account.owner);
    fields.text("time_zone", account.time_zone);
    fields.text("lifecycle", account.lifecycle);
    fields.list("entitled_features", account.features().map(|feature| FEATURES[feature]));
    fields.number("expected_weekly_users", i64::from(account.users / 5));
    fields.number("expected_monthly_users", i64::from(account.users / 3));
}

fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Normal => "normal",
        Priority::High => "high",
        Priority::Urgent => "urgent",
    }
}

fn ticket_status_name(status: TicketStatus) -> &'static str {
    match status {
        TicketStatus::Open => "open",
        TicketStatus::Pending => "pending",
        TicketStatus::Solved => "solved",
        TicketStatus::Deleted => "deleted",
    }
}

fn invoice_status_name(status: InvoiceStatus) -> &'static str {
    match status {
        InvoiceStatus::Open => "open",
        InvoiceStatus::Paid => "paid",
        InvoiceStatus::Void => "void",
        InvoiceStatus::Disputed => "disputed",
    }
}

fn role_name(role: ContactRole) -> &'static str {
    match role {
        ContactRole::Champion => "champion",
        ContactRole::Sponsor => "sponsor",
        ContactRole::Admin => "admin",
        ContactRole::User => "user",
    }
}

fn contact_status_name(status: ContactStatus) -> &'static str {
    match status {
        ContactStatus::Active => "active",
        ContactStatus::Moved => "moved",
        ContactStatus::Left => "left",
    }
}

fn billing_name(billing: BillingPeriod) -> &'static str {
    match billing {
        BillingPeriod::Monthly => "monthly",
        BillingPeriod::Quarterly => "quarterly",
        BillingPeriod::Annual => "annual",
    }
}

fn contract_status_name(status: ContractStatus) -> &'static str {
    match status {
        ContractStatus::Active => "active",
        ContractStatus::Cancelled => "cancelled",
    }
}
