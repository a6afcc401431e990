//! The points of an account line by line: the part of a score that is kept between evaluations, and
//! until when each line stays as it is while nothing happens, so that a day that turns looks only at
//! the lines it can move.
//!
//! How a line goes on is asked at the end of a day's evaluation ([`Scorer::foresee`]), not at each
//! event: an event marks what it may have changed, and the next turn of the day looks at that.

mod days;

use super::{Cap, Card, CardLine, Ramp, Scorer};
use crate::engine::feature::{FeatureId, Forecast, NEVER, Touch, View};
use crate::engine::time::Day;
use serde::{Deserialize, Serialize};

/// Points of an absent feature.
const ABSENT: i16 = -1;
/// For a value that is not known, or does not fit.
const NOT_KEPT: i32 = i32::MIN;
/// For what may have changed: it is looked at when the day turns, whichever day that is.
pub(in crate::engine) const UNFORESEEN: Day = Day(i32::MIN);

/// Points per line of the chosen card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Points {
    /// Which card of the configuration.
    pub card: u8,
    lines: Box<[Held]>,
    /// Which cap holds, by number.
    cap: Option<u8>,
    /// The first day on which another cap may hold.
    #[serde(skip, default = "unforeseen")]
    cap_until: Day,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    /// Hundredths; absent as -1.
    points: i16,
    /// What is added to the value with every day before `until`.
    #[serde(skip)]
    step: i8,
    /// The value on the day for which it was computed; [`NOT_KEPT`] if it is to be computed again.
    #[serde(skip, default = "not_kept")]
    value: i32,
    /// That day.
    #[serde(skip, default = "unforeseen")]
    valued_on: Day,
    /// The first day on which the points may be others, if no event comes.
    #[serde(skip, default = "unforeseen")]
    until: Day,
    /// The first day on which the feature may appear or go.
    #[serde(skip, default = "unforeseen")]
    present_until: Day,
}

impl Default for Points {
    fn default() -> Self {
        Points { card: 0, lines: Box::default(), cap: None, cap_until: UNFORESEEN }
    }
}

fn unforeseen() -> Day {
    UNFORESEEN
}

fn not_kept() -> i32 {
    NOT_KEPT
}

impl Held {
    const NEW: Held = Held {
        points: ABSENT,
        step: 0,
        value: NOT_KEPT,
        valued_on: UNFORESEEN,
        until: UNFORESEEN,
        present_until: UNFORESEEN,
    };

    /// A line as it is on a day. How it goes on is not asked yet.
    fn on(day: Day, value: Option<i64>, ramp: &Ramp) -> Held {
        let points = value.map_or(ABSENT, |value| ramp.points(value));
        let value = value.and_then(|value| i32::try_from(value).ok()).unwrap_or(NOT_KEPT);
        Held { points, value, valued_on: day, ..Held::NEW }
    }

    /// An event may have changed how it goes on, not what it is.
    fn reconsidered(self) -> Held {
        Held { step: 0, until: UNFORESEEN, present_until: UNFORESEEN, ..self }
    }

    /// Takes what was foreseen from a day on.
    fn foresee(&mut self, today: Day, forecast: Forecast, until: Day) {
        (self.until, self.present_until) = (until, forecast.present_until);
        match i8::try_from(forecast.step) {
            // Steps are counted from the day of the value.
            Ok(step) if self.valued_on == today => self.step = step,
            _ => self.value = NOT_KEPT,
        }
    }

    /// The value on a day, if it need not be computed again.
    fn value_on(&self, day: Day) -> Option<i64> {
        let days = day.since(self.valued_on);
        let holds = self.value != NOT_KEPT && (days == 0 || (days > 0 && day < self.until));
        holds.then(|| i64::from(self.value) + i64::from(self.step) * i64::from(days))
    }
}

impl Points {
    /// The same points, as if no value of a feature were kept.
    #[cfg(test)]
    pub(in crate::engine) fn without_values(mut self) -> Points {
        self.lines.iter_mut().for_each(|line| {
            (line.value, line.valued_on, line.step) = (NOT_KEPT, UNFORESEEN, 0);
        });
        self
    }

    /// Points by line; `None` = absent.
    pub(super) fn lines(&self) -> impl Iterator<Item = Option<i16>> {
        self.lines.iter().map(|line| (line.points != ABSENT).then_some(line.points))
    }

    /// The values of present features on a day, by line, as far as they are kept.
    pub(super) fn values(&self, day: Day) -> impl Iterator<Item = Option<i64>> {
        self.lines.iter().map(move |line| line.value_on(day))
    }

    pub(super) fn cap(&self) -> Option<u8> {
        self.cap
    }

    /// Which features are present, a bit each.
    pub(super) fn mask(&self) -> u32 {
        let bits = self.lines.iter().enumerate();
        bits.fold(0, |mask, (i, line)| if line.points == ABSENT { mask } else { mask | 1 << i })
    }

    /// The first day on which the score may be another one, if no event comes, as far as it was
    /// [foreseen](Scorer::foresee). Of an unknown score only which features are present matters.
    pub fn steady_until(&self, is_known: bool) -> Day {
        let lines = self.lines.iter().map(|line| if is_known { line.until } else { line.present_until });
        let lines = lines.min().unwrap_or(NEVER);
        if is_known { lines.min(self.cap_until) } else { lines }
    }

    /// Bytes of memory they have taken beside their own.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.lines)
    }
}

/// What can change the lines of a card.
#[derive(Debug)]
pub(super) struct Touched {
    lines: Box<[TouchedLine]>,
    caps: Touch,
    /// Any of it, or how it goes on.
    any: Touch,
}

#[derive(Debug)]
struct TouchedLine {
    feature: FeatureId,
    by: Touch,
    ramp: Ramp,
}

impl Touched {
    pub(super) fn new(card: &Card) -> Touched {
        let by = |feature: FeatureId| feature.def().touched_by;
        let line = |line: &CardLine| TouchedLine {
            feature: line.feature,
            by: by(line.feature),
            ramp: line.ramp.clone(),
        };
        let lines = card.lines().map(line).collect::<Box<[_]>>();
        let caps = card.caps.iter().fold(Touch::default(), |touch, cap| touch.or(by(cap.feature)));
        let any = lines.iter().fold(caps, |touch, line| touch.or(line.by)).foreseen();
        Touched { lines, caps, any }
    }
}

impl Scorer {
    /// Recomputes the lines that `touch` can change; everything when the card changed. Where time is
    /// what touches, the lines that do not stay as they are until the view's day. Returns whether any
    /// points or the cap are others.
    pub fn refresh(&self, points: &mut Points, view: &View<'_>, touch: Touch) -> bool {
        // What decides about the card is master data.
        let chosen =
            (touch.meets(Touch::MASTER) || points.lines.is_empty()).then(|| self.scoring.choose(view.facts));
        let card_index = chosen.unwrap_or(points.card);
        let card = &self.scoring.scorecards[usize::from(card_index)];
        let touched = &self.cards[usize::from(card_index)];
        let all = points.card != card_index || points.lines.len() != touched.lines.len();
        if all {
            let lines = vec![Held::NEW; touched.lines.len()].into();
            *points = Points { card: card_index, lines, cap: None, cap_until: UNFORESEEN };
        } else if !touched.any.meets(touch) {
            return false;
        }
        let (others, passed) = (touch.without(Touch::TIME), touch.meets(Touch::TIME));
        let mut changed = all;
        for (held, TouchedLine { feature, by, ramp }) in points.lines.iter_mut().zip(&touched.lines) {
            if all || by.meets(others) || (passed && held.until <= view.today()) {
                let now = Held::on(view.today(), feature.value(view), ramp);
                changed |= now.points != held.points;
                *held = now;
            } else if by.foreseen().meets(others) {
                *held = held.reconsidered();
            }
        }
        if all || touched.caps.meets(others) || (passed && points.cap_until <= view.today()) {
            let cap = lowest_cap(card, view);
            changed |= cap != points.cap;
            (points.cap, points.cap_until) = (cap, UNFORESEEN);
        } else if touched.caps.foreseen().meets(others) {
            points.cap_until = UNFORESEEN;
        }
        changed
    }

    /// Asks how the lines go on that were recomputed, or may go on otherwise, since they were asked.
    pub fn foresee(&self, points: &mut Points, view: &View<'_>) {
        let card = &self.scoring.scorecards[usize::from(points.card)];
        for (held, line) in points.lines.iter_mut().zip(card.lines()) {
            if held.until <= view.today() {
                let forecast = line.feature.forecast(view);
                let steps = |value| line.ramp.steady_steps(value, forecast.step);
                held.foresee(view.today(), forecast, moves(view, line.feature, forecast, steps));
            }
        }
        if points.cap_until <= view.today() {
            let caps = card.caps.iter().map(|cap| {
                let forecast = cap.feature.forecast(view);
                moves(view, cap.feature, forecast, |value| cap.steady_steps(value, forecast.step))
            });
            points.cap_until = caps.min().unwrap_or(NEVER);
        }
    }
}

fn lowest_cap(card: &Card, view: &View<'_>) -> Option<u8> {
    let holds = |cap: &Cap| cap.feature.value(view).is_some_and(|value| value >= cap.at_least);
    let lowest = card.caps.iter().enumerate().filter(|(_, cap)| holds(cap));
    lowest.min_by_key(|(_, cap)| cap.max_score).map(|(index, _)| index as u8)
}

/// The first day on which what follows from a feature may be something else: the forecast's, or
/// when the value has moved so many steps.
fn moves(
    view: &View<'_>,
    feature: FeatureId,
    forecast: Forecast,
    steps: impl FnOnce(i64) -> Option<i64>,
) -> Day {
    if forecast.step == 0 || forecast.until <= view.tomorrow() {
        return forecast.until;
    }
    let steps = feature.value(view).and_then(steps);
    let steps = steps.map(|steps| i32::try_from(steps).unwrap_or(i32::MAX));
    steps.map_or(forecast.until, |steps| forecast.until.min(view.today().plus(steps)))
}
