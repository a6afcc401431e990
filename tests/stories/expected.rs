//! What a story must lead to, and how what it led to is compared with that.
//!
//! ```yaml
//! title: Payments slip month after month
//! why: what a customer success manager expects, and by which rule
//! until: 2026-07-05T00:00:00Z        # where the clock ends
//! risks:                             # all of them; an empty list = nothing may fire
//!   - rule: late_payment
//!     transitions:
//!       - started 2026-04-10T00:00:00Z
//!       - severity high 2026-05-01..2026-05-03
//!       - resolved 2026-04-14
//!       - anything                   # what follows is another story
//! may_also: [score_drop]             # rules that may fire and are not looked at
//! ```
//!
//! A time is an instant, a day (UTC), or two days, the last included. Repeated notices and
//! amendments are not transitions here.

use std::fmt;

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

/// An expected file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    pub title: String,
    pub why: String,
    pub until: String,
    pub risks: Vec<ExpectedRisk>,
    #[serde(default)]
    pub may_also: Vec<String>,
}

/// An expected episode.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedRisk {
    pub rule: String,
    pub transitions: Vec<String>,
}

/// An episode that came out: `what` is `started`, `severity NAME`, `resolved` or `retracted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRisk {
    pub id: String,
    pub rule: String,
    pub transitions: Vec<(String, i64)>,
}

impl fmt::Display for SeenRisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule)?;
        for (what, at_ms) in &self.transitions {
            write!(f, "\n      - {what} {}", Timestamp::from_millisecond(*at_ms).unwrap())?;
        }
        Ok(())
    }
}

/// First and last millisecond of a time as written in an expected file.
pub fn window(text: &str) -> (i64, i64) {
    if let Ok(instant) = text.parse::<Timestamp>() {
        // Deadlines may be read as "at" or "after": one millisecond apart.
        return (instant.as_millisecond(), instant.as_millisecond() + 1);
    }
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let start = |day: Date| day.to_zoned(TimeZone::UTC).unwrap().timestamp().as_millisecond();
    let day = |text: &str| text.parse::<Date>().unwrap_or_else(|_| panic!("{text} is no time"));
    (start(day(first)), start(day(last) + 1.day()) - 1)
}

/// Splits `severity high 2026-05-01` into what and when.
fn transition(text: &str) -> (&str, (i64, i64)) {
    let (what, when) = text.rsplit_once(' ').unwrap_or_else(|| panic!("{text} has no time"));
    let is_known = matches!(what, "started" | "resolved" | "retracted") || what.starts_with("severity ");
    assert!(is_known, "{what} is no transition");
    (what, window(when))
}

impl ExpectedRisk {
    fn matches(&self, seen: &SeenRisk) -> bool {
        if self.rule != seen.rule {
            return false;
        }
        let mut got = seen.transitions.iter();
        for text in &self.transitions {
            if text == "anything" {
                return true;
            }
            let (what, (first_ms, last_ms)) = transition(text);
            let is_met = got
                .next()
                .is_some_and(|(seen_what, at_ms)| seen_what == what && (first_ms..=last_ms).contains(at_ms));
            if !is_met {
                return false;
            }
        }
        got.next().is_none()
    }
}

impl Expected {
    pub fn parse(text: &str) -> Expected {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Where the clock ends.
    pub fn until_ms(&self) -> i64 {
        window(&self.until).0
    }

    /// Every written time is a time, and every transition is known.
    pub fn check(&self) {
        assert!(self.title.len() > 10 && self.why.len() > 15, "say what and why");
        let _ = self.until_ms();
        let written = self.risks.iter().flat_map(|risk| &risk.transitions);
        for text in written.filter(|text| *text != "anything") {
            let (_, (_, last_ms)) = transition(text);
            assert!(last_ms < self.until_ms(), "{text} is after the end");
        }
    }

    /// Differences in words; empty when all is as expected.
    pub fn differences(&self, seen: &[SeenRisk]) -> String {
        let mut left: Vec<&SeenRisk> = seen.iter().collect();
        let mut out = String::new();
        for risk in &self.risks {
            match left.iter().position(|seen| risk.matches(seen)) {
                Some(index) => drop(left.remove(index)),
                None => {
                    out.push_str(&format!("  expected: {}\n", risk.rule));
                    for text in &risk.transitions {
                        out.push_str(&format!("      - {text}\n"));
                    }
                }
            }
        }
        for seen in left.into_iter().filter(|seen| !self.may_also.contains(&seen.rule)) {
            out.push_str(&format!("  got: {seen}\n"));
        }
        out
    }
}
