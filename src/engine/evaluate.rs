//! Evaluating one account: refresh the score lines that can have changed, move the band and the
//! risks that read what changed, and note what is to be told. Time comes from the shard.

use super::account::{Close, Decisions, Facts, MasterField, Moment, PublishedLine, RiskState, currency};
use super::config::EngineConfig;
use super::event::{Body, Event};
use super::feature::{COMPARED_AHEAD_DAYS, ScoreNow, Tally, Touch, View, annual_minor};
use super::judge::Ruling;
use super::quiet::Due;
use super::record::{Money, RECORD_VERSION, RiskTransition};
use super::risk::{Instant, Transition, risk_id};
use super::rule::{RULE_COUNT, RuleDef, numbered};
use super::score::{CoverageClass, Points, Score, Scorer, UNFORESEEN, whole_points};
use super::time::{Calendar, Day};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most causes named in one score record.
const MAX_CAUSES: usize = 8;
/// Coverage from which a score counts as fully backed, basis points.
const FULL_COVERAGE_BP: u16 = 8_000;

/// Bytes of an id that are kept with the account itself.
const ID_START: usize = 24;

/// One account in memory.
#[derive(Debug)]
pub(super) struct Account {
    pub id: Box<str>,
    /// How the id begins, beside all else: most are not longer.
    pub id_start: [u8; ID_START],
    pub jitter_ms: i64,
    pub facts: Facts,
    pub decisions: Decisions,
    /// Derived: never persisted, recomputed on restore.
    pub points: Points,
    pub score: Score,
    /// The day for which what time can change was derived last.
    pub derived_for: Day,
    /// What moved the score since it was last published.
    pub causes: Vec<Noted>,
    /// Decisions changed since the last commit: its scores record must be written.
    pub changed: bool,
    /// Wall time of the last publication.
    pub told_wall_ms: i64,
    /// Derived: the first day on which time may change what each rule does, as far as it was asked.
    pub rules_until: [Day; RULE_COUNT],
    /// Derived: what is due at instants of its own.
    pub due: Due,
}

/// What moved a score: an event, or time at an instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Noted {
    Event(Box<str>),
    Deadline(i64),
}

impl Account {
    pub(super) fn new(id: Box<str>) -> Self {
        let mut id_start = [0; ID_START];
        id_start.iter_mut().zip(id.bytes()).for_each(|(to, byte)| *to = byte);
        Account {
            jitter_ms: super::account::day_turn_jitter_ms(&id),
            id,
            id_start,
            facts: Facts::default(),
            decisions: Decisions::default(),
            points: Points::default(),
            score: Score::default(),
            derived_for: Day(i32::MIN),
            causes: Vec::new(),
            changed: false,
            told_wall_ms: i64::MIN,
            rules_until: [UNFORESEEN; RULE_COUNT],
            due: Due::default(),
        }
    }

    /// Whether this is its id, without going where the id is if it is a short one.
    pub(super) fn is_called(&self, id: &str) -> bool {
        let same_length = self.id.len() == id.len();
        same_length
            && self.id_start.get(..id.len()).map_or_else(|| *self.id == *id, |start| start == id.as_bytes())
    }

    /// Reads a little of all parts of it that every deadline reads.
    pub(super) fn glance(&self) -> i64 {
        let day = self.derived_for.0 ^ self.rules_until[0].0 ^ self.rules_until[RULE_COUNT - 1].0;
        let told = self.decisions.published.as_ref().map_or(0, |told| told.coverage_bp);
        let lengths = self.facts.tickets.len() ^ self.facts.invoices.len() ^ self.facts.contracts.len();
        let risks = self.decisions.risks.len() ^ self.causes.len() ^ usize::from(told);
        i64::from(day) ^ self.jitter_ms ^ self.told_wall_ms ^ (lengths ^ risks) as i64
    }

    /// Reads a little of what was decided and told about it.
    pub(super) fn glance_at_decisions(&self) -> i64 {
        let Decisions { risks, published, history, .. } = &self.decisions;
        let told = published.as_ref().and_then(|told| told.lines.first());
        let told = told.map_or(0, |line| i64::from(line.contribution));
        let phase = risks.first().map_or(0, |risk| i64::from(risk.seq));
        let closed = history.last_close().map_or(0, |(points, _)| i64::from(points));
        told ^ phase ^ closed
    }

    /// Reads a little of all that lies in memory of its own, so that the waits for it are one.
    pub(super) fn glance_far(&self) {
        let decided = self.glance_at_decisions() ^ i64::from(self.points.steady_until(true).0);
        let facts = self.facts.glance() ^ self.facts.glance_further() ^ self.facts.glance_at_series();
        std::hint::black_box((decided, facts));
    }

    /// About how many bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let Decisions { risks, published, .. } = &self.decisions;
        let told = published.as_ref().map_or(0, |told| told.lines.capacity() * size_of::<PublishedLine>());
        let risks = risks.capacity() * size_of::<RiskState>();
        let causes = self.causes.capacity() * 2 * size_of::<Noted>();
        let history = self.decisions.history.bytes();
        let decided = told + risks + history;
        size_of::<Account>() + self.id.len() + self.facts.bytes() + self.points.bytes() + decided + causes
    }

    pub(super) fn today(&self, calendar: Calendar, at_ms: i64) -> Day {
        calendar.day_of(at_ms.saturating_sub(self.jitter_ms))
    }

    pub(super) fn view<'a>(&'a self, calendar: Calendar, at_ms: i64, tally: &'a Tally) -> View<'a> {
        View {
            facts: &self.facts,
            decisions: &self.decisions,
            score: ScoreNow { hundredths: self.score.hundredths, band: self.decisions.band },
            moment: Moment { at_ms, today: self.today(calendar, at_ms), known_until_ms: None },
            calendar,
            jitter_ms: self.jitter_ms,
            tally,
        }
    }

    /// What `touch` an event is for this account at an instant. `repeats`: only counts differ.
    pub(super) fn touch_of(&self, event: &Event<'_>, repeats: bool, calendar: Calendar, at_ms: i64) -> Touch {
        match event.body {
            Body::Login(_) | Body::Usage(_) => {
                let ahead = calendar.day_of(event.occurred_at_ms).since(self.today(calendar, at_ms));
                // One far ahead rolls up days that windows of the present still need, and a
                // feature over the limit takes its past along.
                if !(0..=COMPARED_AHEAD_DAYS).contains(&ahead) || self.facts.forgets_features() {
                    Touch::ACTIVITY_PAST.or(Touch::ACTIVITY_TODAY)
                } else if repeats {
                    Touch::COUNTS_TODAY
                } else {
                    Touch::ACTIVITY_TODAY
                }
            }
            Body::Ticket(_) => Touch::TICKETS,
            Body::Invoice(_) => Touch::INVOICES,
            Body::Survey(_) => Touch::SURVEYS,
            Body::Contact(_) => Touch::CONTACTS,
            Body::Contract(_) => Touch::CONTRACTS,
            Body::Account(_) => Touch::ALL,
        }
    }
}

/// Evaluates accounts under one configuration.
#[derive(Debug)]
pub(super) struct Evaluator {
    pub config: Arc<EngineConfig>,
    pub version: String,
    pub calendar: Calendar,
    pub scorer: Scorer,
    /// In the order of the rules.
    pub rulings: Box<[Ruling]>,
    /// Where the journal header of a record is written.
    pub header: Vec<u8>,
}

/// The event an evaluation answers to. What it moves happens at its time, not at the clock,
/// which stays behind it: hindsight must find it, and nobody waits for the clock to pass it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause<'a> {
    pub id: &'a str,
    pub at_ms: i64,
}

/// What one evaluation did.
#[derive(Debug, Default)]
pub(super) struct Evaluated {
    /// Risk transitions to tell, in rule order.
    pub told: Vec<RiskTransition>,
    /// Whether any decision changed.
    pub decided: bool,
    /// Whether what the world should know about the score differs from what was published.
    pub due: bool,
}

impl Evaluator {
    pub(super) fn new(config: Arc<EngineConfig>) -> Self {
        Evaluator {
            version: config.version(),
            calendar: config.calendar(),
            scorer: Scorer::new(config.scoring.clone()),
            rulings: numbered().map(|numbered| Ruling::new(numbered, &config.rules)).collect(),
            header: Vec::new(),
            config,
        }
    }

    /// Recomputes the derived part only: what recovery does, since decisions are read, not made.
    pub(super) fn refresh(&mut self, account: &mut Account, at_ms: i64, touch: Touch) {
        self.refresh_with(account, at_ms, touch, &Tally::default());
    }

    /// Brings the derived part to the day of an instant, after days that changed nothing else.
    pub(super) fn catch_up(&mut self, account: &mut Account, at_ms: i64) {
        if account.derived_for != account.today(self.calendar, at_ms) {
            self.refresh(account, at_ms, Touch::TIME);
        }
    }

    pub(super) fn refresh_with(&mut self, account: &mut Account, at_ms: i64, touch: Touch, tally: &Tally) {
        let today = account.today(self.calendar, at_ms);
        let passed = account.derived_for != today;
        let touch = if passed { touch.or(Touch::TIME) } else { touch };
        account.derived_for = today;
        let mut points = std::mem::take(&mut account.points);
        let moved = self.scorer.refresh(&mut points, &account.view(self.calendar, at_ms, tally), touch);
        if moved || touch.meets(Touch::MASTER) {
            account.score = self.scorer.score(&points);
        }
        account.points = points;
    }

    /// Closes the account's day if `at_ms` is the instant at which its day turns.
    pub(super) fn close_day(&self, account: &mut Account, at_ms: i64) -> bool {
        let today = account.today(self.calendar, at_ms);
        if self.calendar.start_of(today) + account.jitter_ms != at_ms {
            return false;
        }
        let (before, now) = (account.decisions.history.last_close(), closing_value(account));
        let is_news = account.decisions.history.close(today.minus(1), now);
        if before != account.decisions.history.last_close() {
            self.reconsider(account, Touch::SCORE);
        }
        is_news
    }

    pub(super) fn tell(
        &self,
        account: &Account,
        rule: &'static RuleDef,
        transition: Transition,
        now: Instant,
        cause: Option<&str>,
    ) -> Option<RiskTransition> {
        let rules = &self.config.rules;
        let tally = Tally::default();
        // What is told is what was judged, also when an event ahead of the clock moved it.
        let view = account.view(self.calendar, now.judged_ms, &tally);
        let state = account.decisions.risk(rule.id())?;
        let evidence = (rule.evidence)(&view, rules);
        let enabled = (rule.settings)(rules).0;
        let what = match transition {
            Transition::Resolved if !enabled => "the rule was switched off".to_owned(),
            Transition::Resolved => format!("no longer: {}", rule.title),
            Transition::Retracted => {
                format!("withdrawn: late or corrected events show otherwise ({})", rule.title)
            }
            _ => evidence.what.clone(),
        };
        Some(RiskTransition {
            v: RECORD_VERSION,
            id: risk_id(&account.id, rule.key, state.began_ms),
            account_id: account.id.to_string(),
            account_name: account.facts.text(MasterField::Name).map(str::to_owned),
            rule: rule.key.into(),
            title: rule.title.into(),
            transition,
            transition_seq: state.seq,
            severity: state.severity,
            began_at_ms: state.began_ms,
            fired_at_ms: state.fired_ms,
            at_ms: now.at_ms,
            backfill: false,
            what,
            evidence,
            caused_by: cause.map(str::to_owned),
            score_hundredths: account.score.hundredths,
            band: account.decisions.band,
            coverage_basis_points: account.score.coverage_bp,
            money_at_stake: annual_minor(&view).map(|(annual_minor, code)| Money {
                annual_minor,
                currency: currency(code).as_str().to_owned(),
            }),
            owner: account.facts.text(MasterField::Owner).map(str::to_owned),
            play: rule.play.into(),
            config_version: self.version.clone(),
        })
    }

    /// Whether the whole-number score, the band or the coverage class differ from what was
    /// published last. An account about which nothing is known has nothing to publish.
    pub(super) fn is_due(&self, account: &Account) -> bool {
        let now = (account.score.hundredths.map(whole_points), account.decisions.band);
        let class = coverage_class(account.score);
        match &account.decisions.published {
            None => class != CoverageClass::Unknown,
            Some(told) => {
                let told_score = Score { hundredths: told.score_hundredths, coverage_bp: told.coverage_bp };
                now != (told.score_hundredths.map(whole_points), told.band)
                    || class != coverage_class(told_score)
            }
        }
    }
}

/// Full, partial or unknown.
pub(super) fn coverage_class(score: Score) -> CoverageClass {
    match score {
        Score { hundredths: None, .. } => CoverageClass::Unknown,
        Score { coverage_bp, .. } if coverage_bp >= FULL_COVERAGE_BP => CoverageClass::Full,
        Score { .. } => CoverageClass::Partial,
    }
}

/// What the day would close with now.
pub(super) fn closing_value(account: &Account) -> Close {
    let known = account.score.hundredths.zip(account.decisions.band);
    known.map(|(hundredths, band)| (whole_points(hundredths), band))
}

pub(super) fn note_cause(account: &mut Account, cause: Option<&str>, at_ms: i64) {
    if account.causes.len() == MAX_CAUSES {
        account.causes.remove(0);
    }
    account.causes.push(cause.map_or(Noted::Deadline(at_ms), |id| Noted::Event(id.into())));
}
