//! What the demo shows: the risks that fire, and each transition in words as it happens.

use std::collections::HashMap;

use crate::app::follow::{RiskNews, news};
use crate::app::store::RunningLog;
use crate::ingest::{OutputTopic, Outputs, StoreError};

/// Risks named when the live part begins.
const NAMED_MAX: usize = 8;
/// About how much is read at once.
const READ_BYTES: usize = 1024 * 1024;
/// Currencies whose minor unit is the whole unit.
const WITHOUT_CENTS: [&str; 4] = ["JPY", "KRW", "VND", "CLP"];

/// The state of the screen.
#[derive(Default)]
pub struct Board {
    live: bool,
    firing: HashMap<String, RiskNews>,
}

impl Board {
    /// Takes in what was told before this start.
    pub fn catch_up(&mut self, log: &RunningLog) -> Result<(), StoreError> {
        for (partition, bounds) in (0u32..).zip(log.bounds(OutputTopic::Risks)?) {
            let (mut from, end) = bounds;
            while from < end {
                let (records, next) = log.read(OutputTopic::Risks, partition, bounds, from, READ_BYTES)?;
                if next == from {
                    break;
                }
                for value in records.iter().filter_map(|record| record.value.as_deref()) {
                    // What another version wrote is left out of the picture, not fatal to it.
                    if let Some(news) = news(value) {
                        self.take(&news);
                    }
                }
                from = next;
            }
        }
        Ok(())
    }

    fn take(&mut self, news: &RiskNews) {
        match news.transition.as_str() {
            "resolved" | "retracted" => drop(self.firing.remove(&news.id)),
            _ => drop(self.firing.insert(news.id.clone(), news.clone())),
        }
    }

    /// A transition that was just committed.
    pub fn hear(&mut self, news: &RiskNews) {
        self.take(news);
        if self.live && !news.backfill {
            anstream::println!("{}", line(news, true));
        }
    }

    /// Shows what history left, and everything from now on.
    pub fn go_live(&mut self) {
        self.live = true;
        let mut worst: Vec<&RiskNews> = self.firing.values().collect();
        worst.sort_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| a.id.cmp(&b.id)));
        anstream::println!("{} risks fire now; the largest:", worst.len());
        for news in worst.into_iter().take(NAMED_MAX) {
            anstream::println!("{}", line(news, false));
        }
    }
}

/// Severity first, then money.
fn rank(news: &RiskNews) -> (u8, i64) {
    let severity = match news.severity.as_str() {
        "critical" => 3,
        "high" => 2,
        "medium" => 1,
        _ => 0,
    };
    (severity, news.money_at_stake.as_ref().map_or(0, |money| money.annual_minor))
}

/// One risk in words.
fn line(news: &RiskNews, with_transition: bool) -> String {
    const RED: &str = "\x1b[31m";
    const YELLOW: &str = "\x1b[33m";
    const GREEN: &str = "\x1b[32m";
    const PLAIN: &str = "\x1b[0m";
    let ended = matches!(news.transition.as_str(), "resolved" | "retracted");
    let colour = match news.severity.as_str() {
        _ if ended => GREEN,
        "critical" | "high" => RED,
        _ => YELLOW,
    };
    let name = news.account_name.as_deref().unwrap_or(&news.account_id);
    let mut line = match with_transition {
        true => {
            let time = news.at.get(11..19).unwrap_or(&news.at);
            let happened = news.transition.replace('_', " ");
            format!("{time} {colour}{happened:<15}{PLAIN}")
        }
        false => String::from("  "),
    };
    line.push_str(&format!(
        "{colour}{:<8}{PLAIN} {name} ({}): {}",
        news.severity, news.account_id, news.title
    ));
    line.push_str(&format!("\n           {}", news.what));
    let mut facts = Vec::new();
    if let Some(hundredths) = news.score_hundredths {
        facts.push(format!("score {}", (i32::from(hundredths) + 50) / 100));
    }
    if let Some(money) = &news.money_at_stake {
        facts.push(format!("{} a year at stake", amount(money.annual_minor, &money.currency)));
    }
    facts.extend(news.owner.as_ref().map(|owner| format!("owner {owner}")));
    if !facts.is_empty() {
        line.push_str(&format!("\n           {}", facts.join(" · ")));
    }
    if !ended {
        line.push_str(&format!("\n           → {}", news.play));
    }
    line
}

/// An amount without its cents, in groups of three digits.
fn amount(minor: i64, currency: &str) -> String {
    let major = if WITHOUT_CENTS.contains(&currency) { minor } else { minor / 100 };
    let digits = major.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{currency} {grouped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped_and_whole() {
        let cases = [
            (123_456_789, "USD", "USD 1,234,567"),
            (100_000, "KRW", "KRW 100,000"),
            (99, "EUR", "EUR 0"),
            (12_345, "EUR", "EUR 123"),
        ];
        for (minor, currency, expected) in cases {
            assert_eq!(amount(minor, currency), expected);
        }
    }
}
