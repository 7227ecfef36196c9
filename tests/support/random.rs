//! Random tests that can be repeated. A test makes rounds, and each round draws all its
//! numbers from a seed of its own. A round that fails prints its seed:
//! `JAIL_TEST_SEED=SEED JAIL_TEST_ROUNDS=1` makes this round alone. Without
//! JAIL_TEST_SEED the rounds are the same in each run. JAIL_TEST_ROUNDS sets how many
//! rounds each test makes.

use std::time::{Duration, Instant};

/// The usual rounds take some seconds. A busy machine makes fewer rounds, not a longer
/// test.
const LONG: Duration = Duration::from_secs(10);

/// An xorshift generator (Marsaglia 2003, with the multiplication of Vigna 2016).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds would give similar numbers, and 0 gives only 0: mix the bits
        // as splitmix64 does.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ mixed >> 31) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a number from 0 to `end` - 1.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }

    /// Returns true in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    /// Returns a time of at most `longest`.
    pub fn moment(&mut self, longest: Duration) -> Duration {
        Duration::from_nanos(self.below(u64::try_from(longest.as_nanos()).unwrap()))
    }
}

/// Prints the seed of a round that panics.
struct Told<'a>(&'a str, u64);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            print(&format!("{}: to repeat this round: JAIL_TEST_SEED={} JAIL_TEST_ROUNDS=1\n", self.0, self.1));
        }
    }
}

/// Prints past the test runner, which keeps the output of tests that pass.
fn print(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// True if the rounds are the usual ones, of which a test knows what they meet.
pub fn is_usual() -> bool {
    number("JAIL_TEST_SEED").is_none() && number("JAIL_TEST_ROUNDS").is_none()
}

/// Makes the rounds of `test`: `usual` ones, unless JAIL_TEST_ROUNDS says how many.
/// Returns the number of rounds made.
pub fn rounds(test: &str, usual: u64, mut round: impl FnMut(&mut Random)) -> u64 {
    let (asked, first) = (number("JAIL_TEST_ROUNDS"), number("JAIL_TEST_SEED").unwrap_or(1));
    let start = Instant::now();
    let mut made = 0;
    while made < asked.unwrap_or(usual) && (asked.is_some() || start.elapsed() < LONG) {
        let seed = first.wrapping_add(made);
        let told = Told(test, seed);
        round(&mut Random::new(seed));
        drop(told);
        made += 1;
    }
    print(&format!("{test}: {made} rounds from seed {first} on in {:.1} s\n", start.elapsed().as_secs_f64()));
    made
}
