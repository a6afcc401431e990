//! `docs/events.md` is held to the decoder: its examples decode, and it names every field, every
//! enum value, every reason code and every limit the decoder knows.

use std::collections::BTreeSet;

use super::super::draft::{
    AccountDraft, ContactDraft, ContractDraft, Draft, EnvelopeDraft, InvoiceDraft, LoginDraft, SurveyDraft,
    TicketDraft, UsageDraft,
};
use super::super::value::Choice;
use super::*;

const DOC: &str = include_str!("../../../../docs/events.md");

/// The text of one section, from its heading to the next of the same level.
fn section(heading: &str) -> &'static str {
    let start = DOC.find(heading).unwrap_or_else(|| panic!("docs/events.md has no section {heading}"));
    let rest = &DOC[start + heading.len()..];
    rest.find("\n## ").map_or(rest, |end| &rest[..end])
}

#[test]
fn every_example_decodes() {
    let mut kinds = BTreeSet::new();
    for block in DOC.split("```json\n").skip(1) {
        let json = block.split("```").next().expect("split yields a first part");
        let event = decode_json(json.as_bytes(), &KEY).unwrap_or_else(|e| panic!("{e} in\n{json}"));
        assert_eq!(event.unknown_fields, 0, "{json}");
        kinds.insert(event.kind());
    }
    assert_eq!(kinds.len(), Kind::ALL.len(), "a kind without an example: {kinds:?}");
}

/// Every name stands in backticks in the section, and the section's example uses it.
fn names<'a, D: Draft<'a>>(heading: &str) {
    for name in D::NAMES {
        let ticked = format!("| `{name}` |");
        assert!(section(heading).contains(&ticked), "docs/events.md, {heading}: no row for `{name}`");
        let example = format!("\"{name}\":");
        assert!(section(heading).contains(&example), "docs/events.md, {heading}: no example of {name}");
    }
    assert!(D::ROOM.is_empty() || heading.contains(D::ROOM));
}

#[test]
fn every_field_is_described_and_shown() {
    names::<EnvelopeDraft<'_>>("\n## Envelope");
    names::<LoginDraft>("\n## login");
    names::<UsageDraft<'_>>("\n## usage");
    names::<TicketDraft<'_>>("\n## ticket");
    names::<InvoiceDraft<'_>>("\n## invoice");
    names::<SurveyDraft<'_>>("\n## survey");
    names::<ContactDraft<'_>>("\n## contact");
    names::<ContractDraft<'_>>("\n## contract");
    names::<AccountDraft<'_>>("\n## account");
}

fn choices<T: Choice>(heading: &str) {
    for (name, _) in T::TABLE {
        assert!(section(heading).contains(&format!("`{name}`")), "docs/events.md, {heading}: no `{name}`");
    }
}

#[test]
fn every_enum_value_is_described() {
    choices::<Priority>("\n## ticket");
    choices::<TicketStatus>("\n## ticket");
    choices::<InvoiceStatus>("\n## invoice");
    choices::<SurveyType>("\n## survey");
    choices::<ContactRole>("\n## contact");
    choices::<ContactStatus>("\n## contact");
    choices::<BillingPeriod>("\n## contract");
    choices::<ContractStatus>("\n## contract");
}

#[test]
fn every_reason_and_limit_is_described() {
    for reason in Reason::ALL {
        let row = format!("| `{}` |", reason.code());
        assert!(section("\n## What is refused").contains(&row), "docs/events.md: no row {row}");
    }
    let limits = section("\n## Limits");
    let numbers = [MAX_EVENT_BYTES, MAX_ID_BYTES, MAX_TEXT_BYTES, MAX_ENTITLED_FEATURES];
    for number in numbers.map(|n| n.to_string()).into_iter().chain([MAX_AMOUNT_MINOR.to_string()]) {
        assert!(limits.contains(&format!("| {number} ")), "docs/events.md, Limits: no {number}");
    }
}
