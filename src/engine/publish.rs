//! What an account tells when its score or its decisions are published: the record, which borrows
//! from the account and from the words of the card, and the journal header beside it.
//!
//! This file must not decide anything: [`super::evaluate`] has.

use super::account::{MasterField, Phase, Published, PublishedLine, encode_header};
use super::evaluate::{Account, Evaluator, Noted, closing_value, coverage_class};
use super::feature::{CATALOGUE, Tally, View};
use super::record::{Change, Contribution, Previous, RECORD_VERSION, RiskSummary, ScoreRecord, Word};
use super::risk::risk_id;
use super::rule::by_id;
use super::score::{Line, Scoring, line_number, whole_points};
use super::time::{Day, rfc3339};
use std::borrow::Cow;

impl Evaluator {
    /// The record that publishes an account's score and decisions, and its journal header; afterwards
    /// they count as told.
    pub(super) fn publish<'a>(
        &'a mut self,
        account: &'a mut Account,
        clock_ms: i64,
        covered: Option<Day>,
    ) -> (ScoreRecord<'a>, &'a [u8]) {
        let Evaluator { config, version, calendar, scorer, header, .. } = self;
        let coverage = coverage_class(account.score);
        let absent = scorer.absent(&account.points).map(Word::from).collect();
        let today = account.today(*calendar, clock_ms);
        let lines = scorer.explain(&account.points, today);
        let tally = Tally::default();
        let view = account.view(*calendar, clock_ms, &tally);
        let contributions = lines.iter().map(|line| contribution(line, &view)).collect();
        let before = account.decisions.published.take();
        let before_lines = before.as_ref().map_or(&[][..], |told| &told.lines);
        let changes = changes(&config.scoring, before_lines, &lines);
        let previous =
            before.as_ref().map(|told| Previous { score_hundredths: told.score_hundredths, band: told.band });
        account.decisions.published = Some(published(account, before, &lines));
        // This record says how the day closes unless another one follows.
        account.decisions.history.expect(today, closing_value(account));
        let causes = std::mem::take(&mut account.causes).iter().map(Noted::told).collect();
        let account = &*account;
        let header = encode_header(&account.decisions, covered, header);
        let card = config.scoring.scorecards.get(usize::from(account.points.card));
        let record = ScoreRecord {
            v: RECORD_VERSION,
            account_id: (&*account.id).into(),
            account_name: account.facts.text(MasterField::Name).map(Cow::Borrowed),
            score: account.score.hundredths.map(whole_points),
            score_hundredths: account.score.hundredths,
            band: account.decisions.band,
            coverage_basis_points: account.score.coverage_bp,
            coverage,
            scorecard: card.map_or("", |card| &card.name).into(),
            contributions,
            absent,
            previous,
            changes,
            causes,
            risks: summaries(account),
            as_of: clock_ms,
            config_version: (&**version).into(),
        };
        (record, header)
    }
}

/// What an account's record says, for the next one to compare with; in the room of the one before.
fn published(account: &Account, before: Option<Published>, lines: &[Line<'_>]) -> Published {
    let mut told = before.map_or_else(|| Vec::with_capacity(lines.len()), |before| before.lines);
    told.clear();
    // A line without a value contributes nothing.
    told.extend(
        lines
            .iter()
            .filter(|line| line.contribution != 0)
            .map(|line| PublishedLine { line: line.name.number, contribution: line.contribution }),
    );
    Published {
        score_hundredths: account.score.hundredths,
        band: account.decisions.band,
        coverage_bp: account.score.coverage_bp,
        lines: told,
    }
}

/// Lines that differ from what was published; their deltas sum to the change of the score.
fn changes<'a>(scoring: &Scoring, before: &[PublishedLine], now: &[Line<'a>]) -> Vec<Change<'a>> {
    let (mut next, mut found) = (0, 0);
    let mut was = |number: u32| {
        // Lines stand in the order of the card, so it is mostly the next one.
        let is_next = before.get(next).is_some_and(|line| line.line == number);
        let at = if is_next { Some(next) } else { before.iter().position(|line| line.line == number) };
        let Some(line) = at.and_then(|at| before.get(at)) else { return 0 };
        next = at.map_or(next, |at| at + 1);
        found += 1;
        line.contribution
    };
    let mut changes: Vec<Change<'a>> = now
        .iter()
        .filter_map(|line| {
            let delta_hundredths = line.contribution - was(line.name.number);
            let change = || Change { line: line.name.words.line().into(), delta_hundredths };
            (delta_hundredths != 0).then(change)
        })
        .collect();
    if found < before.len() {
        let is_gone = |line: &&PublishedLine| now.iter().all(|now| now.name.number != line.line);
        let gone = before.iter().filter(is_gone).filter(|line| line.contribution != 0);
        changes.extend(
            gone.map(|l| Change {
                line: line_name(scoring, l.line).into(),
                delta_hundredths: -l.contribution,
            }),
        );
    }
    changes
}

fn line_name(scoring: &Scoring, number: u32) -> String {
    let features = CATALOGUE.iter().map(|def| def.name);
    let caps = scoring.scorecards.iter().flat_map(|card| card.caps.iter().map(|cap| &*cap.name));
    let name = features.chain(caps).find(|name| line_number(name) == number);
    name.unwrap_or("(removed)").to_owned()
}

/// A line as it is told.
fn contribution<'a>(line: &Line<'a>, view: &View<'_>) -> Contribution<'a> {
    let compute = || line.feature.and_then(|feature| feature.value(view));
    debug_assert!(line.value.is_none() || line.value == compute(), "{line:?}");
    Contribution {
        words: Cow::Borrowed(&line.name.words),
        value: line.value.or_else(compute),
        points_hundredths: line.points,
        weight_ppm: line.weight_ppm,
        contribution_hundredths: line.contribution,
    }
}

fn summaries(account: &Account) -> Vec<RiskSummary> {
    let live = account.decisions.risks.iter().filter(|state| state.phase != Phase::Resolved);
    live.filter_map(|state| {
        let rule = by_id(state.rule)?;
        Some(RiskSummary {
            id: risk_id(&account.id, rule.key, state.began_ms),
            rule: rule.key.into(),
            phase: state.phase,
            severity: state.severity,
            began_at: state.began_ms,
        })
    })
    .collect()
}

impl Noted {
    /// As it is told.
    fn told(&self) -> String {
        match self {
            Noted::Event(id) => ["event:", id].concat(),
            Noted::Deadline(at_ms) => ["deadline:", &rfc3339(*at_ms)].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::LineWords;
    use super::super::score::{LineName, default_scoring};
    use super::*;

    fn name(line: &str) -> LineName {
        LineName { number: line_number(line), words: LineWords::new(line, "", None) }
    }

    #[test]
    fn changes_name_what_moved_what_came_and_what_went() {
        let told = |line: &str, contribution| PublishedLine { line: line_number(line), contribution };
        let before = [
            told("usage.trend_28d", 300),
            told("usage.days_since_active", 500),
            told("cap:overdue_60_days", -100),
            told("a line of another card", 7),
            told("billing.overdue_days_max", 50),
        ];
        let names =
            ["usage.days_since_active", "usage.active_days_28d", "billing.overdue_days_max"].map(name);
        let now: Vec<Line<'_>> = names
            .iter()
            .zip([400, 200, 50])
            .map(|(name, contribution)| Line {
                name,
                feature: None,
                points: None,
                value: None,
                weight_ppm: 0,
                contribution,
            })
            .collect();
        let changes = changes(&default_scoring(), &before, &now);
        let found: Vec<_> = changes.iter().map(|change| (&*change.line, change.delta_hundredths)).collect();
        let expected = [
            ("usage.days_since_active", -100),
            ("usage.active_days_28d", 200),
            ("usage.trend_28d", -300),
            ("cap:overdue_60_days", 100),
            ("(removed)", -7),
        ];
        assert_eq!(found, expected);
    }
}
