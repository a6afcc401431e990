//! Ramps: monotone, piecewise-linear, as a customer success manager would say it — "0 at 7 days,
//! 100 at 30".

use serde::{Deserialize, Serialize};

/// A feature value and the points it is worth (0 to 100), ascending by value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ramp(pub Vec<(i64, u8)>);

impl Ramp {
    /// Points of a value in hundredths, 0 to 10000; flat beyond both ends, rounded half up
    /// between.
    pub fn points(&self, value: i64) -> i16 {
        let hundredths = |points: u8| i16::from(points) * 100;
        let after = self.0.partition_point(|&(at, _)| at <= value);
        let (below, above) = (after.checked_sub(1).and_then(|i| self.0.get(i)), self.0.get(after));
        match (below, above) {
            (Some(&(x0, p0)), Some(&(x1, p1))) => {
                let rise = i64::from(p1) - i64::from(p0);
                hundredths(p0) + share(rise, value, (x0, x1))
            }
            (Some(&(_, points)), None) | (None, Some(&(_, points))) => hundredths(points),
            (None, None) => 0,
        }
    }

    /// After how many steps of `step` from a value the points may be others; `None` = never. A value
    /// on a slope has others at once.
    pub fn steady_steps(&self, value: i64, step: i64) -> Option<i64> {
        let (first, last) = (self.0.first()?.0, self.0.last()?.0);
        match step {
            0 => None,
            1.. if value >= last => None,
            ..0 if value <= first => None,
            1.. if value < first => Some((first - value) / step + 1),
            ..0 if value > last => Some((last - value) / step + 1),
            _ => Some(1),
        }
    }

    /// What is wrong with the ramp, if anything.
    pub fn problem(&self) -> Option<String> {
        if self.0.len() < 2 {
            return Some("a ramp needs at least two steps, such as [[7, 100], [30, 0]]".to_owned());
        }
        if !self.0.is_sorted_by(|a, b| a.0 < b.0) {
            return Some("the values of a ramp must rise from step to step".to_owned());
        }
        if self.0.iter().any(|&(_, points)| points > 100) {
            return Some("points go from 0 to 100".to_owned());
        }
        let points = || self.0.iter().map(|&(_, points)| points);
        if !points().is_sorted() && !points().rev().is_sorted() {
            return Some("the points of a ramp must only rise or only fall".to_owned());
        }
        None
    }
}

/// A slope no longer than this has nothing that 64 bits do not hold: twice its length times 10,000.
const SHORT_RUN: i64 = i64::MAX / 40_000;

/// What a value between two steps has of the `rise` between them, in hundredths, rounded half up.
fn share(rise: i64, value: i64, (x0, x1): (i64, i64)) -> i16 {
    match x1.checked_sub(x0) {
        Some(run @ 1..=SHORT_RUN) => (2 * (value - x0) * rise * 100 + run).div_euclid(2 * run) as i16,
        _ => long_share(rise, value, (x0, x1)),
    }
}

/// The same for steps that lie as far apart as integers do: dividing is slow then.
fn long_share(rise: i64, value: i64, (x0, x1): (i64, i64)) -> i16 {
    let run = i128::from(x1) - i128::from(x0);
    let twice = 2 * (i128::from(value) - i128::from(x0)) * i128::from(rise) * 100 + run;
    twice.div_euclid(2 * run) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn short_slopes_are_divided_as_long_ones(
            x0 in any::<i64>(), bits in 0_u32..63, part in 0.0_f64..1.0, rise in -100_i64..=100,
        ) {
            let x1 = x0.saturating_add(1 << bits);
            prop_assume!(x1 > x0);
            let value = x0 + ((x1 - x0) as f64 * part * 0.999) as i64;
            prop_assert_eq!(share(rise, value, (x0, x1)), long_share(rise, value, (x0, x1)));
        }
    }

    #[test]
    fn ramps_are_flat_outside_and_linear_inside() {
        let falling = Ramp(vec![(2, 100), (21, 0)]);
        assert_eq!(falling.points(-5), 10_000);
        assert_eq!(falling.points(2), 10_000);
        assert_eq!(falling.points(21), 0);
        assert_eq!(falling.points(3), 9474);
        let bent = Ramp(vec![(0, 0), (10, 50), (20, 100)]);
        assert_eq!(bent.points(5), 2500);
        assert_eq!(bent.points(15), 7500);
    }

    #[test]
    fn points_stay_as_long_as_is_said() {
        let ramp = Ramp(vec![(2, 100), (5, 40), (9, 40), (12, 0)]);
        for step in [1, -1] {
            for value in -20_i64..20 {
                let steps = ramp.steady_steps(value, step).unwrap_or(100);
                let stay = (0..steps).all(|n| ramp.points(value + n * step) == ramp.points(value));
                assert!(stay && steps > 0, "{value} by {step}: {steps}");
                let flat = (0..100).all(|n| ramp.points(value + n * step) == ramp.points(value));
                assert!(!flat || steps == 100, "{value} by {step} never changes");
            }
        }
    }

    #[test]
    fn bad_ramps_are_named() {
        assert!(Ramp(vec![(1, 0)]).problem().is_some());
        assert!(Ramp(vec![(1, 0), (1, 100)]).problem().is_some());
        assert!(Ramp(vec![(1, 0), (2, 100), (3, 50)]).problem().is_some());
        assert!(Ramp(vec![(1, 0), (2, 101)]).problem().is_some());
        assert!(Ramp(vec![(1, 0), (2, 100)]).problem().is_none());
    }
}
