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

/// The header lines and the value of a block that shows a record.
fn shown(block: &'static str) -> (Vec<(&'static str, &'static [u8])>, &'static str) {
    let text = block.split("```").next().expect("split yields a first part");
    let (headers, value) = text.split_once("\n\n").unwrap_or(("", text));
    let header = |line: &'static str| line.split_once(": ").map(|(name, value)| (name, value.as_bytes()));
    (headers.lines().map(|line| header(line).expect("a header line")).collect(), value)
}

#[test]
fn every_record_shown_is_the_login_of_its_section() {
    let login = section("\n## login").split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
    let login = decode_json(login.expect("an example").as_bytes(), &KEY).expect("a login");
    let texts = DOC.split("```text record\n").skip(1).map(|block| (block, false));
    let hexes = DOC.split("```text record hex\n").skip(1).map(|block| (block, true));
    let mut seen = 0;
    for (block, is_hex) in texts.chain(hexes) {
        let (headers, value) = shown(block);
        let byte = |digits: &str| u8::from_str_radix(digits, 16).expect("two hexadecimal digits");
        let bytes = match is_hex {
            true => value.split_whitespace().map(byte).collect(),
            false => value.as_bytes().to_vec(),
        };
        let headers = Given(&headers);
        let event = read(&bytes, &headers, Encoding::Auto).unwrap_or_else(|e| panic!("{e} in\n{block:.300}"));
        assert_eq!((&event.id, &event.account, &event.body), (&login.id, &login.account, &login.body));
        assert_eq!((event.occurred_at_ms, event.unknown_fields), (login.occurred_at_ms, 0));
        seen += 1;
    }
    assert_eq!(seen, 6, "a record in docs/events.md was not read");
}

#[test]
fn every_header_that_matters_is_described() {
    for name in READ_HEADERS {
        let attribute = name.strip_prefix("ce_").unwrap_or(name);
        assert!(DOC.contains(&format!("`{attribute}`")), "docs/events.md: no `{attribute}`");
    }
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
