//! Money and contracts. Amounts are integer minor units of one currency per account; amounts in
//! other currencies are never summed with them.

use super::View;
use super::forecast::{Forecast, tomorrow};
use crate::engine::account::{ContractFact, Entry, InvoiceFact};
use crate::engine::event::{ContractStatus, InvoiceStatus};
use crate::engine::time::{DAY_MS, Day};

/// The account's currency: that of the contract in force, else of the contract or invoice that
/// was written last.
fn currency(view: &View<'_>) -> Option<[u8; 3]> {
    if let Some(contract) = view.contract() {
        return Some(contract.value.currency);
    }
    if view.facts.contracts.is_empty()
        && let Some(only) = only_currency(view)
    {
        return Some(only);
    }
    let contract = view.facts.contracts.iter().max_by_key(|c| (&c.stamp, &c.key)).map(|c| c.value.currency);
    contract
        .or_else(|| view.facts.invoices.iter().max_by_key(|i| (&i.stamp, &i.key)).map(|i| i.value.currency))
}

/// The currency of all invoices, if there is only one.
fn only_currency(view: &View<'_>) -> Option<[u8; 3]> {
    let mut currencies = view.facts.invoices.iter().map(|entry| entry.value.currency);
    let first = currencies.next()?;
    currencies.all(|other| other == first).then_some(first)
}

fn unpaid(view: &View<'_>, invoice: &InvoiceFact) -> bool {
    match invoice.status {
        InvoiceStatus::Void | InvoiceStatus::Disputed => false,
        InvoiceStatus::Open | InvoiceStatus::Paid => invoice.paid_at_ms.is_none_or(|paid| !view.known(paid)),
    }
}

/// Unpaid invoices that are `grace_ms` or more past due at the view's moment.
pub fn overdue<'a>(
    view: &'a View<'_>,
    grace_ms: i64,
) -> impl Iterator<Item = &'a Entry<Box<str>, InvoiceFact>> {
    view.facts.invoices.iter().filter(move |entry| {
        unpaid(view, &entry.value)
            && view.known(entry.value.issued_at_ms)
            && entry.value.due_at_ms.saturating_add(grace_ms) <= view.moment.at_ms
    })
}

fn some_invoice(view: &View<'_>) -> Option<()> {
    (!view.facts.invoices.is_empty()).then_some(())
}

/// When the first of the unpaid invoices that are `grace_ms` or more past due was due.
pub fn oldest_due_ms(view: &View<'_>, grace_ms: i64) -> Option<i64> {
    let of_all = || {
        let invoices = view.facts.invoices.iter().map(|entry| &entry.value);
        let counts = |invoice: &&InvoiceFact| unpaid(view, invoice) && view.known(invoice.issued_at_ms);
        invoices.filter(counts).map(|invoice| invoice.due_at_ms).min()
    };
    let oldest = *view.tally.oldest_due_ms.get_or_init(|| match view.facts.invoice_index() {
        Some(index) if !view.looks_back() => {
            let oldest = index.unpaid.iter().map(|invoice| invoice.due_at_ms).min();
            debug_assert_eq!(oldest, of_all());
            oldest
        }
        _ => of_all(),
    });
    oldest.filter(|due_ms| due_ms.saturating_add(grace_ms) <= view.moment.at_ms)
}

pub(super) fn overdue_invoices(view: &View<'_>) -> Option<i64> {
    some_invoice(view)?;
    Some(overdue(view, 0).count() as i64)
}

pub(super) fn overdue_days(view: &View<'_>) -> Option<i64> {
    some_invoice(view)?;
    let days = |due_ms: i64| i64::from(view.today().since(view.day_of(due_ms)).max(0));
    Some(oldest_due_ms(view, 0).map_or(0, days))
}

pub(super) fn overdue_amount(view: &View<'_>) -> Option<i64> {
    let currency = currency(view)?;
    let ours = |entry: &&Entry<Box<str>, InvoiceFact>| entry.value.currency == currency;
    view.facts.invoices.iter().find(ours)?;
    Some(overdue(view, 0).filter(ours).fold(0_i64, |sum, entry| sum.saturating_add(entry.value.amount_minor)))
}

/// Amount-weighted average delay in days (see `docs/features.md`).
pub(super) fn payment_delay(view: &View<'_>) -> Option<i64> {
    let currency = currency(view)?;
    let today = view.today();
    let mut weighted = 0_i128;
    let mut total = 0_i128;
    for invoice in view.facts.invoices.iter().map(|entry| &entry.value) {
        let due = view.day_of(invoice.due_at_ms);
        let counts = matches!(invoice.status, InvoiceStatus::Open | InvoiceStatus::Paid);
        if !counts || invoice.currency != currency || due >= today || due <= today.minus(365) {
            continue;
        }
        let settled = match invoice.paid_at_ms {
            Some(paid) if view.known(paid) => view.day_of(paid),
            _ => today,
        };
        let amount = i128::from(invoice.amount_minor);
        weighted += amount * i128::from(settled.since(due));
        total += amount;
    }
    (total > 0).then(|| match (i64::try_from(weighted), i64::try_from(total)) {
        // Dividing what does not need 128 bits is much quicker.
        (Ok(weighted), Ok(total)) => weighted.div_euclid(total),
        _ => i64::try_from(weighted.div_euclid(total)).unwrap_or(i64::MAX),
    })
}

/// The contract in force, if it ends and nothing follows it yet.
pub fn renewal<'a>(view: &'a View<'_>) -> Option<(&'a Entry<Box<str>, ContractFact>, i64)> {
    let contract = view.contract()?;
    let end_ms = contract.value.end_ms?;
    if contract.value.status == ContractStatus::Cancelled {
        return None;
    }
    let follows = |other: &Entry<Box<str>, ContractFact>| {
        other.key != contract.key
            && other.value.status == ContractStatus::Active
            && (other.value.renews.as_deref() == Some(&*contract.key)
                || (other.value.start_ms <= end_ms.saturating_add(DAY_MS)
                    && other.value.end_ms.is_none_or(|end| end > end_ms)))
    };
    if view.facts.contracts.iter().any(follows) {
        return None;
    }
    Some((contract, end_ms))
}

pub(super) fn days_to_renewal(view: &View<'_>) -> Option<i64> {
    let (_, end_ms) = renewal(view)?;
    Some(view.day_of(end_ms).since(view.today()).into())
}

/// Recurring revenue per year of the contract in force, with its currency.
pub fn annual_minor(view: &View<'_>) -> Option<(i64, [u8; 3])> {
    let contract = view.contract()?;
    Some((contract.value.annual_minor(), contract.value.currency))
}

pub(super) fn arr(view: &View<'_>) -> Option<i64> {
    annual_minor(view).map(|(minor, _)| minor)
}

/// The next day on which another contract, or none, may be in force.
pub fn contract_until(view: &View<'_>) -> Day {
    let bounds = |c: &ContractFact| [Some(c.start_ms), c.end_ms].into_iter().flatten();
    let contracts = view.facts.contracts.iter();
    view.next_of(contracts.flat_map(|entry| bounds(&entry.value)).map(|at_ms| view.day_of(at_ms)))
}

pub(super) fn contract_on(view: &View<'_>) -> Forecast {
    Forecast::until(contract_until(view))
}

pub(super) fn renewal_on(view: &View<'_>) -> Forecast {
    Forecast { step: -1, ..contract_on(view) }
}

pub(super) fn overdue_on(view: &View<'_>) -> Forecast {
    match oldest_due_ms(view, 0).map(|due_ms| view.day_of(due_ms)) {
        // The next one is overdue at an instant of its own.
        None => Forecast::moving(0),
        Some(due) if due > view.today() => tomorrow(view),
        Some(_) => Forecast::moving(1),
    }
}

pub(super) fn delay_on(view: &View<'_>) -> Forecast {
    let changes = |invoice: &InvoiceFact| {
        let due = view.day_of(invoice.due_at_ms);
        match due {
            _ if due >= view.today() => due.plus(1),
            _ if due.plus(365) > view.today() && unpaid(view, invoice) => view.tomorrow(),
            _ => due.plus(365),
        }
    };
    let days = view.facts.invoices.iter().map(|entry| changes(&entry.value));
    Forecast::until(view.next_of(days).min(contract_until(view)))
}
