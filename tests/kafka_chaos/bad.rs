//! Events that are refused, strewn among the good ones: each must become one dead letter, whatever
//! dies meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use accountpulse::engine::event::Kind;
use accountpulse::engine::time::rfc3339;
use accountpulse::simulate::SimEvent;
use serde_json::Value;

use crate::readers::dead_letters;

/// One bad event comes after so many good ones.
const EVERY: usize = 500;

/// An invoice of less than nothing, about the account and the time of another event.
fn bad_after(event: &SimEvent, number: usize) -> SimEvent {
    let (account, at) = (&event.account, rfc3339(event.at_ms));
    let json = format!(
        r#"{{"id":"bad-{number}","account_id":"{account}","occurred_at":"{at}","invoice":{{"id":"i-{number}","amount_minor":-1,"currency":"EUR","issued_at":"{at}","due_at":"{at}"}}}}"#
    );
    SimEvent { at_ms: event.at_ms, account: Arc::clone(account), kind: Kind::Invoice, json: json.into() }
}

/// Events with bad ones between them, which are noted in `dead`.
pub fn strewn(good: &[SimEvent], dead: &mut Vec<SimEvent>) -> Vec<SimEvent> {
    let mut events = Vec::with_capacity(good.len() + good.len() / EVERY + 1);
    for (number, event) in good.iter().enumerate() {
        events.push(event.clone());
        if number % EVERY == EVERY / 2 {
            let bad = bad_after(event, dead.len());
            dead.push(bad.clone());
            events.push(bad);
        }
    }
    events
}

/// That the dead letters are these events, each once, with its bytes, from a place of its own.
pub fn assert_dead_once(bootstrap: &str, bad: &[SimEvent]) {
    let letters = dead_letters(bootstrap);
    let place = |letter: &Value| {
        ["topic", "partition", "offset"]
            .map(|name| letter["headers"][format!("__streams.errors.{name}")].to_string())
    };
    let places: BTreeSet<[String; 3]> = letters.iter().map(place).collect();
    assert_eq!(places.len(), letters.len(), "two dead letters of one place");
    let mut found: Vec<&str> = letters.iter().map(|letter| letter["value"].as_str().unwrap()).collect();
    let mut sent: Vec<&str> = bad.iter().map(|event| std::str::from_utf8(&event.json).unwrap()).collect();
    found.sort_unstable();
    sent.sort_unstable();
    assert_eq!(found, sent);
}
