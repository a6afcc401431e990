//! The one source of randomness: xoshiro256++ (Blackman and Vigna, 2019), its state filled by
//! splitmix64. Small, fast, and the same on every machine. Not for secrets.

/// A seeded generator.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

/// One step of splitmix64: turns a counter into well-mixed bits.
fn splitmix64(counter: &mut u64) -> u64 {
    *counter = counter.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *counter;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl Random {
    /// A generator that depends on nothing but `seed`.
    pub fn new(seed: u64) -> Random {
        let mut counter = seed;
        Random { state: std::array::from_fn(|_| splitmix64(&mut counter)) }
    }

    /// A generator for one part of a whole (an account, a day), independent of the order in
    /// which parts are made.
    pub fn for_part(seed: u64, part: u64, sub: u64) -> Random {
        let mut counter = seed ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let first = splitmix64(&mut counter);
        Random::new(first ^ sub.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let out = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        out
    }

    /// A number in `0..limit`; 0 when `limit` is 0. The bias is below `limit / 2^64`.
    pub fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.bits()) * u128::from(limit);
        // The high half of a 64 x 64 bit product fits 64 bits.
        (wide >> 64) as u64
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).max(0).unsigned_abs();
        low.saturating_add_unsigned(self.below(span.saturating_add(1)))
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        debug_assert!(!choices.is_empty());
        choices[self.below(choices.len() as u64) as usize]
    }

    /// An integer near `mean` whose expectation is `mean`: its floor, or one more.
    pub fn round(&mut self, mean: f64) -> u64 {
        (mean.max(0.0) + self.unit()) as u64
    }

    /// A Poisson number. Exact (Knuth) for small means, rounded normal above.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean > 30.0 {
            let near = mean + mean.sqrt() * self.normal();
            return self.round(near);
        }
        let limit = libm::exp(-mean);
        let mut product = self.unit();
        let mut count = 0;
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// About a standard normal: the sum of twelve uniform numbers, so never beyond six.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_is_the_published_one() {
        // First outputs for seed 1234567, from the authors' C code.
        let mut counter = 1_234_567;
        assert_eq!(splitmix64(&mut counter), 6_457_827_717_110_365_317);
        assert_eq!(splitmix64(&mut counter), 3_203_168_211_198_807_973);
    }

    #[test]
    fn means_are_right() {
        let mut random = Random::new(1);
        for mean in [0.3, 4.0, 80.0] {
            let sum: u64 = (0..20_000).map(|_| random.poisson(mean)).sum();
            assert!((sum as f64 / 20_000.0 - mean).abs() < 0.05 * mean.max(1.0), "{mean}");
        }
        let sum: u64 = (0..20_000).map(|_| random.below(10)).sum();
        assert!((sum as f64 / 20_000.0 - 4.5).abs() < 0.1);
    }

    #[test]
    fn parts_differ_and_repeat() {
        let bits = |part, sub| Random::for_part(7, part, sub).bits();
        assert_eq!(bits(3, 4), bits(3, 4));
        assert_ne!(bits(3, 4), bits(4, 3));
        assert_ne!(bits(0, 0), bits(0, 1));
    }
}
