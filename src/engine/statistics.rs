//! The statistics behind the usage-drop rule. Floating point, but from one deterministic maths
//! library (`libm`) and plain arithmetic only, so every platform gets the same bits; only the
//! outcome of a comparison ever enters state.

/// Weeks in each of the two windows that are compared.
const WEEKS: f64 = 4.0;

/// Probability of seeing `now` or less in four weeks, given `before` in the four weeks before and
/// the variance of one week's count.
///
/// If a week varies no more than a Poisson process would, the exact conditional test is used:
/// given n = now + before, now ~ Bin(n, 1/2). If it varies more, the predictive negative binomial
/// with that mean and variance is used, its variance doubled because the mean itself is estimated
/// from as many weeks as are predicted.
pub fn lower_tail(now: u64, before: u64, week_variance: f64) -> f64 {
    let total_mean = before as f64;
    let total_variance = 2.0 * week_variance * WEEKS;
    if week_variance <= total_mean / WEEKS || total_mean <= 0.0 {
        return binomial_lower(now, now + before, 0.5);
    }
    let r = total_mean * total_mean / (total_variance - total_mean);
    negative_binomial_lower(now, r, total_mean)
}

/// How much one week's count varies by chance: the larger of two estimates. Four weekly totals
/// alone are too few (their variance often falls below the mean by luck), so the differences
/// between the same weekdays of neighbouring weeks are used too: they see batches of use, and
/// neither the weekly season nor a slow trend.
pub fn week_variance(weeks: &[u64; 4], same_weekday: impl Iterator<Item = (u64, u64)>) -> f64 {
    let mean = weeks.iter().map(|&week| week as f64).sum::<f64>() / WEEKS;
    let squares: f64 = weeks.iter().map(|&week| (week as f64 - mean) * (week as f64 - mean)).sum();
    let (mut differences, mut days) = (0.0, 0.0);
    for (earlier, later) in same_weekday {
        let difference = later as f64 - earlier as f64;
        differences += difference * difference / 2.0;
        days += 1.0;
    }
    let by_weekday = if days > 0.0 { differences / days * 7.0 } else { 0.0 };
    libm::fmax(squares / (WEEKS - 1.0), by_weekday)
}

/// P(X <= x) for X ~ Bin(n, p).
fn binomial_lower(x: u64, n: u64, p: f64) -> f64 {
    if x >= n {
        return 1.0;
    }
    beta_regularised(1.0 - p, (n - x) as f64, x as f64 + 1.0)
}

/// P(X <= x) for X negative binomial with size `r` and mean `mean`.
fn negative_binomial_lower(x: u64, r: f64, mean: f64) -> f64 {
    beta_regularised(r / (r + mean), r, x as f64 + 1.0)
}

/// Most steps of the continued fraction; it converges in O(sqrt(max(a, b))) of them.
const MAX_STEPS: u32 = 100_000;
/// Relative precision at which the fraction has converged.
const PRECISION: f64 = 1e-14;

/// The regularised incomplete beta function I_x(a, b), by Lentz's continued fraction
/// (Numerical Recipes, section 6.4; Abramowitz & Stegun 26.5.8).
fn beta_regularised(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let log_front =
        libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log1p(-x);
    let front = libm::exp(log_front);
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    let tiny = 1e-300;
    let floor = |v: f64| if v.abs() < tiny { tiny } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / floor(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for step in 1..MAX_STEPS {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / floor(1.0 + even * d);
        c = floor(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / floor(1.0 + odd * d);
        c = floor(1.0 + odd / c);
        let delta = d * c;
        h *= delta;
        if (delta - 1.0).abs() < PRECISION {
            break;
        }
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Independent: sums the probability mass with exact-ish products.
    fn binomial_naive(x: u64, n: u64, p: f64) -> f64 {
        let mut mass = (1.0 - p).powi(n as i32);
        let mut sum = mass;
        for k in 0..x {
            mass *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
            sum += mass;
        }
        sum
    }

    #[test]
    fn the_binomial_tail_agrees_with_summation() {
        for (x, n, p) in [(0, 10, 0.5), (3, 10, 0.5), (40, 120, 0.5), (5, 5, 0.5), (12, 60, 0.2), (0, 1, 0.5)]
        {
            let (got, want) = (binomial_lower(x, n, p), binomial_naive(x, n, p));
            assert!((got - want).abs() < 1e-10, "x={x} n={n} p={p}: {got} {want}");
        }
    }

    #[test]
    fn the_negative_binomial_tail_agrees_with_summation() {
        for (x, r, mean) in [(0, 2.5, 10.0), (5, 2.5, 10.0), (30, 12.0, 40.0), (100, 3.0, 90.0)] {
            let p: f64 = r / (r + mean);
            let mut mass = p.powf(r);
            let mut want = mass;
            for k in 0..x {
                mass *= (r + k as f64) / (k + 1) as f64 * (1.0 - p);
                want += mass;
            }
            let got = negative_binomial_lower(x, r, mean);
            assert!((got - want).abs() < 1e-9, "x={x} r={r}: {got} {want}");
        }
    }

    #[test]
    fn noise_is_not_a_drop_and_a_collapse_is() {
        let even = week_variance(&[12, 13, 12, 13], std::iter::empty());
        assert!(lower_tail(35, 50, even) > 0.01);
        assert!(lower_tail(200, 500, week_variance(&[125, 120, 130, 125], std::iter::empty())) < 1e-6);
        // The same drop after four very uneven weeks proves much less.
        assert!(lower_tail(200, 500, week_variance(&[400, 20, 60, 20], std::iter::empty())) > 0.01);
        // So it does when the weeks agree by luck and the days come in batches.
        let batches = (0..28).map(|day| if day % 2 == 0 { (70, 0) } else { (0, 70) });
        assert!(lower_tail(300, 500, week_variance(&[125, 125, 125, 125], batches)) > 0.01);
        assert_eq!(lower_tail(0, 0, 0.0), 1.0);
    }
}
