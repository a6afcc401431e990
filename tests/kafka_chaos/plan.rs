//! Which faults are fired, in which order: a function of the seed. And the seed itself.

use accountpulse::clock;
use accountpulse::simulate::Random;

/// Picks one seed.
const SEED_VARIABLE: &str = "ACCOUNTPULSE_CHAOS_SEED";
/// More rounds, each with the next seed.
const ROUNDS_VARIABLE: &str = "ACCOUNTPULSE_CHAOS_ROUNDS";

/// A fault, or a few that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// `kill -9`; the process is started again at once.
    Kill,
    /// The same, and again while it recovers.
    KillTwice,
    /// `kill -9`; the process stays away until the group has given it up.
    KillAndStayAway,
    /// The broker is killed and started again.
    Bounce,
    /// The broker is killed, then a process, which comes back first.
    BounceAndKill,
    /// A fourth process joins, or ends in good order if it is there.
    Guest,
    /// One of the three ends in good order, and returns when the group has given it up.
    Leave,
    /// A process is stopped until the group has given it up and others own its shards; then it goes
    /// on as if nothing had been.
    Freeze,
}

/// How often each strike comes.
pub type Mix = &'static [(Strike, usize)];

/// All strikes of a mix, in the order of a seed.
pub fn plan(mix: Mix, random: &mut Random) -> Vec<Strike> {
    let mut all: Vec<Strike> =
        mix.iter().flat_map(|(strike, times)| std::iter::repeat_n(*strike, *times)).collect();
    for last in (1..all.len()).rev() {
        let other = random.below(last as u64 + 1) as usize;
        all.swap(last, other);
    }
    all
}

/// Runs a test once, or as often as the environment says, each time with another seed.
pub fn rounds(name: &'static str, round: impl Fn(u64)) {
    let number = |variable| std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
    // Whoever names a seed wants that one; all others meet a new one each time.
    let first = number(SEED_VARIABLE).unwrap_or_else(|| clock::wall_ms().unsigned_abs() % 1_000_000);
    for seed in first..first + number(ROUNDS_VARIABLE).unwrap_or(1) {
        let shown = Shown { name, seed, began: clock::monotonic() };
        round(seed);
        drop(shown);
    }
}

/// Says how a round ended: when it fails, with the command that repeats it.
struct Shown {
    name: &'static str,
    seed: u64,
    began: std::time::Instant,
}

impl Drop for Shown {
    fn drop(&mut self) {
        let Shown { name, seed, began } = self;
        let seconds = clock::monotonic().duration_since(*began).as_secs();
        if std::thread::panicking() {
            eprintln!(
                "{name}: seed {seed} failed after {seconds} s; again with:\n    \
                 {SEED_VARIABLE}={seed} cargo test --test kafka_chaos {name} -- --nocapture"
            );
        } else {
            println!("{name}: seed {seed} took {seconds} s");
        }
    }
}
