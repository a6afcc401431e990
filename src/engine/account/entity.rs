//! The entities of an account as facts keep them: tickets, invoices, survey responses, contacts,
//! contracts. Which write of an entity counts is decided by [`super::Keyed`].

use crate::engine::event::{
    BillingPeriod, ContactRole, ContactStatus, ContractStatus, InvoiceStatus, Priority, SurveyType,
    TicketStatus,
};
use serde::{Deserialize, Serialize};

/// State of a ticket; see the event of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TicketFact {
    #[serde(with = "code")]
    pub priority: Priority,
    #[serde(with = "code")]
    pub status: TicketStatus,
    pub opened_at_ms: i64,
    pub first_response_at_ms: Option<i64>,
    pub first_response_due_ms: Option<i64>,
    pub resolve_due_ms: Option<i64>,
    pub solved_at_ms: Option<i64>,
    pub escalated: bool,
    pub csat: Option<u8>,
}

impl TicketFact {
    /// When the first response and the solution are due, as far as they were promised and not kept yet,
    /// if it is unsolved. A ticket that waits for the customer has its solution clock paused.
    pub fn promises(&self) -> [Option<i64>; 2] {
        match self.status {
            TicketStatus::Solved | TicketStatus::Deleted => [None, None],
            TicketStatus::Open | TicketStatus::Pending => [
                self.first_response_due_ms.filter(|_| self.first_response_at_ms.is_none()),
                self.resolve_due_ms.filter(|_| self.status == TicketStatus::Open),
            ],
        }
    }
}

/// State of an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct InvoiceFact {
    pub amount_minor: i64,
    pub currency: [u8; 3],
    pub issued_at_ms: i64,
    pub due_at_ms: i64,
    pub paid_at_ms: Option<i64>,
    #[serde(with = "code")]
    pub status: InvoiceStatus,
}

/// A survey response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SurveyFact {
    #[serde(with = "code")]
    pub survey: SurveyType,
    pub score: Option<u8>,
    pub respondent: Option<u64>,
}

/// State of a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ContactFact {
    #[serde(with = "code")]
    pub role: ContactRole,
    #[serde(with = "code")]
    pub status: ContactStatus,
    pub user: Option<u64>,
}

/// State of a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ContractFact {
    pub start_ms: i64,
    pub end_ms: Option<i64>,
    pub recurring_minor: i64,
    pub currency: [u8; 3],
    #[serde(with = "code")]
    pub billing: BillingPeriod,
    pub seats: Option<u32>,
    #[serde(with = "code")]
    pub status: ContractStatus,
    pub renews: Option<Box<str>>,
}

impl ContractFact {
    /// Recurring revenue per year, minor units.
    pub fn annual_minor(&self) -> i64 {
        let periods = match self.billing {
            BillingPeriod::Monthly => 12,
            BillingPeriod::Quarterly => 4,
            BillingPeriod::Annual => 1,
        };
        self.recurring_minor.saturating_mul(periods)
    }
}

/// Small enums of the event vocabulary as one byte; an unknown byte is a rotten page.
mod code {
    use crate::engine::event::*;
    use serde::{Deserialize, Deserializer, Serializer};

    pub trait Code: Copy + Sized + 'static {
        const ALL: &'static [Self];
        fn code(self) -> u8;
    }

    macro_rules! codes {
        ($($name:ident: $($variant:ident),+;)+) => {$(
            impl Code for $name {
                const ALL: &'static [Self] = &[$($name::$variant),+];
                fn code(self) -> u8 { self as u8 }
            }
        )+};
    }

    codes! {
        Priority: Low, Normal, High, Urgent;
        TicketStatus: Open, Pending, Solved, Deleted;
        InvoiceStatus: Open, Paid, Void, Disputed;
        SurveyType: Nps, Csat, Ces;
        ContactRole: Champion, Sponsor, Admin, User;
        ContactStatus: Active, Moved, Left;
        BillingPeriod: Monthly, Quarterly, Annual;
        ContractStatus: Active, Cancelled;
    }

    pub fn serialize<T: Code, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(value.code())
    }

    pub fn deserialize<'de, T: Code, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let byte = u8::deserialize(deserializer)?;
        T::ALL
            .iter()
            .copied()
            .find(|value| value.code() == byte)
            .ok_or_else(|| serde::de::Error::custom(format_args!("unknown code {byte}")))
    }
}
