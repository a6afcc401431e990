//! Evaluating one account: refresh the score lines that can have changed, move the band and the
//! risks that read what changed, and note what is to be told. Time comes from the shard.

use super::account::{
    Close, Decisions, Facts, MasterField, Moment, Phase, Published, PublishedLine, RiskState, currency,
    encode_header,
};
use super::config::EngineConfig;
use super::event::{Body, Event};
use super::feature::{COMPARED_AHEAD_DAYS, FeatureId, ScoreNow, Tally, Touch, View, annual_minor};
use super::judge::Ruling;
use super::quiet::Due;
use super::record::{
    Change, Contribution, Money, Previous, RECORD_VERSION, RiskSummary, RiskTransition, ScoreRecord, Word,
};
use super::risk::{Instant, Transition, risk_id};
use super::rule::{RULE_COUNT, RuleDef, by_id, numbered};
use super::score::{CoverageClass, Line, Points, Score, Scorer, UNFORESEEN, line_number, whole_points};
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

impl std::fmt::Display for Noted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Noted::Event(id) => write!(f, "event:{id}"),
            Noted::Deadline(at_ms) => write!(f, "deadline:{}", super::time::rfc3339(*at_ms)),
        }
    }
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

    /// What `touch` an event is for this account at an instant.
    pub(super) fn touch_of(&self, event: &Event<'_>, calendar: Calendar, at_ms: i64) -> Touch {
        match event.body {
            Body::Login(_) | Body::Usage(_) => {
                let ahead = calendar.day_of(event.occurred_at_ms).since(self.today(calendar, at_ms));
                // One far ahead rolls up days that windows of the present still need, and a
                // feature over the limit takes its past along.
                if !(0..=COMPARED_AHEAD_DAYS).contains(&ahead) || self.facts.forgets_features() {
                    Touch::ACTIVITY_PAST.or(Touch::ACTIVITY_TODAY)
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

    /// Full, partial or unknown.
    pub(super) fn coverage_class(&self, score: Score) -> CoverageClass {
        match score {
            Score { hundredths: None, .. } => CoverageClass::Unknown,
            Score { coverage_bp, .. } if coverage_bp >= FULL_COVERAGE_BP => CoverageClass::Full,
            Score { .. } => CoverageClass::Partial,
        }
    }

    /// Whether the whole-number score, the band or the coverage class differ from what was
    /// published last. An account about which nothing is known has nothing to publish.
    pub(super) fn is_due(&self, account: &Account) -> bool {
        let now = (account.score.hundredths.map(whole_points), account.decisions.band);
        let class = self.coverage_class(account.score);
        match &account.decisions.published {
            None => class != CoverageClass::Unknown,
            Some(told) => {
                let told_score = Score { hundredths: told.score_hundredths, coverage_bp: told.coverage_bp };
                now != (told.score_hundredths.map(whole_points), told.band)
                    || class != self.coverage_class(told_score)
            }
        }
    }

    /// The record that publishes an account's score and decisions; afterwards they count as told.
    pub(super) fn publish(
        &mut self,
        account: &mut Account,
        clock_ms: i64,
        covered: Option<Day>,
    ) -> (ScoreRecord, Vec<u8>) {
        let tally = Tally::default();
        let view = account.view(self.calendar, clock_ms, &tally);
        let scoring = self.scorer.scoring();
        let scorecard = scoring
            .scorecards
            .get(usize::from(account.points.card))
            .map_or_else(String::new, |card| card.name.clone());
        let lines = self.scorer.explain(&account.points);
        let present = |line: &&Line<'_>| line.points.is_some() || line.feature.is_none();
        let contributions: Vec<Contribution> =
            lines.iter().filter(present).map(|line| contribution(line, &view)).collect();
        let numbers: Vec<u32> = lines.iter().filter(present).map(|line| line_number(line.name)).collect();
        // A line without a value contributes nothing.
        let told_lines =
            contributions.iter().zip(&numbers).filter(|(line, _)| line.contribution_hundredths != 0);
        let told_line = |(line, &number): (&Contribution, &u32)| PublishedLine {
            line: number,
            contribution: line.contribution_hundredths,
        };
        let told = Published {
            score_hundredths: account.score.hundredths,
            band: account.decisions.band,
            coverage_bp: account.score.coverage_bp,
            lines: told_lines.map(told_line).collect(),
        };
        let absent = self.scorer.absent(&account.points);
        let today = view.today();
        let before = account.decisions.published.replace(told);
        // This record says how the day closes unless another one follows.
        account.decisions.history.expect(today, closing_value(account));
        let changes = self.changes(before.as_ref(), &contributions, &numbers);
        let record = ScoreRecord {
            v: RECORD_VERSION,
            account_id: account.id.to_string(),
            account_name: account.facts.text(MasterField::Name).map(str::to_owned),
            score: account.score.hundredths.map(whole_points),
            score_hundredths: account.score.hundredths,
            band: account.decisions.band,
            coverage_basis_points: account.score.coverage_bp,
            coverage: self.coverage_class(account.score),
            scorecard,
            contributions,
            absent: absent.into_iter().map(Word::from).collect(),
            previous: before
                .map(|told| Previous { score_hundredths: told.score_hundredths, band: told.band }),
            changes,
            causes: std::mem::take(&mut account.causes).iter().map(Noted::to_string).collect(),
            risks: summaries(account),
            as_of: clock_ms,
            config_version: self.version.clone(),
        };
        (record, encode_header(&account.decisions, covered))
    }

    /// Lines that differ from what was published; their deltas sum to the change of the score.
    fn changes(&self, before: Option<&Published>, now: &[Contribution], numbers: &[u32]) -> Vec<Change> {
        let before = before.map_or(&[][..], |told| &told.lines);
        let was = |number: u32| before.iter().find(|l| l.line == number).map_or(0, |l| l.contribution);
        let moved = now.iter().zip(numbers).filter_map(|(line, &number)| {
            let delta_hundredths = line.contribution_hundredths - was(number);
            (delta_hundredths != 0).then(|| Change { line: line.line.clone(), delta_hundredths })
        });
        let gone = before.iter().filter(|l| l.contribution != 0 && !numbers.contains(&l.line));
        let gone = gone.map(|l| Change { line: self.line_name(l.line), delta_hundredths: -l.contribution });
        moved.chain(gone).collect()
    }

    fn line_name(&self, number: u32) -> Word {
        let features = super::feature::CATALOGUE.iter().map(|def| def.name);
        let caps =
            self.config.scoring.scorecards.iter().flat_map(|card| card.caps.iter().map(|cap| &*cap.name));
        let name = features.chain(caps).find(|name| line_number(name) == number);
        name.unwrap_or("(removed)").to_owned().into()
    }
}

/// A line as it is told. Its words are ours, unless it is a cap or a group of the configuration.
fn contribution(line: &Line<'_>, view: &View<'_>) -> Contribution {
    let def = line.feature.map(FeatureId::def);
    let group = def.map(|def| def.group()).filter(|group| *group == line.group);
    Contribution {
        line: def.map_or_else(|| line.name.to_owned().into(), |def| def.name.into()),
        group: group.map_or_else(|| line.group.to_owned().into(), Word::Borrowed),
        value: line.feature.and_then(|feature| feature.value(view)),
        unit: def.map(|def| def.unit.name().into()),
        points_hundredths: line.points,
        weight_ppm: line.weight_ppm,
        contribution_hundredths: line.contribution,
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
