//! Events that must outlive the bytes they were read from: those that came in base64. Nothing on
//! the hot path comes here.
//!
//! To add a field with text: its line here; the compiler asks for it.

use std::borrow::Cow;

use super::{AccountUpdate, Body, Contact, Contract, Event, Invoice, Patch, Survey, Ticket, Usage};

fn own(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

impl<'a> Patch<Cow<'a, str>> {
    fn own(self) -> Patch<Cow<'static, str>> {
        self.map(own)
    }
}

impl<T> Patch<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Patch::Unchanged => Patch::Unchanged,
            Patch::Cleared => Patch::Cleared,
            Patch::Set(value) => Patch::Set(change(value)),
        }
    }
}

impl Event<'_> {
    /// The same event with text of its own.
    pub(super) fn into_owned(self) -> Event<'static> {
        Event {
            id: own(self.id),
            account: own(self.account),
            occurred_at_ms: self.occurred_at_ms,
            version: self.version,
            body: self.body.into_owned(),
            unknown_fields: self.unknown_fields,
        }
    }
}

impl Body<'_> {
    /// The same body with text of its own.
    pub(super) fn into_owned(self) -> Body<'static> {
        match self {
            Body::Login(login) => Body::Login(login),
            Body::Usage(u) => Body::Usage(Usage { feature: own(u.feature), ..u }),
            Body::Ticket(t) => Body::Ticket(Ticket { id: own(t.id), ..t }),
            Body::Invoice(i) => Body::Invoice(Invoice { id: own(i.id), ..i }),
            Body::Survey(s) => Body::Survey(Survey { id: own(s.id), ..s }),
            Body::Contact(c) => Body::Contact(Contact { id: own(c.id), ..c }),
            Body::Contract(c) => Body::Contract(Contract { id: own(c.id), renews: c.renews.map(own), ..c }),
            Body::Account(a) => Body::Account(AccountUpdate {
                name: a.name.own(),
                segment: a.segment.own(),
                industry: a.industry.own(),
                owner: a.owner.own(),
                time_zone: a.time_zone.own(),
                lifecycle: a.lifecycle.own(),
                parent: a.parent.own(),
                entitled_features: a.entitled_features.map(|list| list.into_iter().map(own).collect()),
                expected_weekly_users: a.expected_weekly_users,
                expected_monthly_users: a.expected_monthly_users,
            }),
        }
    }
}
