//! Which signals process 1 hands to the command, so that each reaches it once.
//!
//! A signal that someone sends to the launcher alone, the launcher passes on. One
//! that someone sends to the whole process group (a shell's `kill %1`, a CI
//! runner's `kill -- -PID`) reaches the launcher, process 1 and the command alike,
//! and the launcher, which cannot tell, passes it on as well. Process 1 can tell:
//! it then has the signal twice, once itself and once from the launcher.

/// Two that come within this many nanoseconds are one. A group's members get a
/// signal within microseconds; the rest is for a machine under load.
const TOGETHER: u64 = 50_000_000;

/// The signals that came lately. Times are of one monotonic clock, in
/// nanoseconds, and never 0.
pub(crate) struct Forward {
    /// What process 1 itself got of each signal and is not settled.
    direct: [Lately; 65],
    /// What the launcher passed on of each and is not settled.
    carried: [Lately; 65],
    /// Those that process 1 got and the launcher has not passed on yet: bit N is
    /// signal N.
    owed: u128,
}

/// How many of a signal came, and when the last did.
#[derive(Clone, Copy, Default)]
struct Lately {
    last: u64,
    count: u32,
}

impl Lately {
    /// Another came. Real-time signals are queued, and so counted; of the others the
    /// kernel keeps one.
    fn add(&mut self, signal: usize, now: u64) {
        let before = if signal >= REAL_TIME { self.count } else { 0 };
        *self = Self { last: now, count: before + 1 };
    }

    /// Takes one away, if one came just now.
    fn take(&mut self, now: u64) -> bool {
        if self.count == 0 || !together(self.last, now) {
            self.count = 0;
            return false;
        }
        self.count -= 1;
        true
    }
}

/// The first real-time signal, as the kernel has it.
const REAL_TIME: usize = 32;

impl Forward {
    /// Nothing has come yet.
    pub(crate) fn new() -> Self {
        Self { direct: [Lately::default(); 65], carried: [Lately::default(); 65], owed: 0 }
    }

    /// The launcher passes `signal` on: is the command to get it? `in_group`: is the
    /// command in the launcher's process group, and has what that got?
    pub(crate) fn carried(&mut self, signal: i32, in_group: bool, now: u64) -> bool {
        let Some(at) = index(signal) else { return false };
        let had = self.direct[at].take(now);
        if self.direct[at].count == 0 {
            self.owed &= !(1 << at);
        }
        if had && in_group {
            return false;
        }
        self.carried[at].add(at, now);
        true
    }

    /// Process 1 got `signal` itself; `outside`: from outside the jail. Such a one
    /// is owed to the command if the launcher does not pass it on presently.
    pub(crate) fn direct(&mut self, signal: i32, outside: bool, now: u64) {
        let Some(at) = index(signal) else { return };
        if self.carried[at].take(now) {
            return;
        }
        self.direct[at].add(at, now);
        if outside {
            self.owed |= 1 << at;
        }
    }

    /// May one be due, now or later?
    pub(crate) fn owes(&self) -> bool {
        self.owed != 0
    }

    /// A signal that was sent to process 1 alone, and is the command's.
    pub(crate) fn due(&mut self, now: u64) -> Option<i32> {
        let at = (1..65).find(|at| self.owed & (1 << at) != 0 && !together(self.direct[*at].last, now))?;
        self.direct[at].count = self.direct[at].count.saturating_sub(1);
        if self.direct[at].count == 0 {
            self.owed &= !(1 << at);
        }
        i32::try_from(at).ok()
    }

    /// Nanoseconds until one may be due; None while none can be.
    pub(crate) fn wait(&self, now: u64) -> Option<u64> {
        let owed = (1..65).filter(|at| self.owed & (1 << at) != 0);
        owed.map(|at| (self.direct[at].last + TOGETHER).saturating_sub(now)).min()
    }
}

fn index(signal: i32) -> Option<usize> {
    usize::try_from(signal).ok().filter(|at| (1..65).contains(at))
}

fn together(then: u64, now: u64) -> bool {
    then != 0 && now.saturating_sub(then) < TOGETHER
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: i32 = 15;

    #[test]
    fn what_the_launcher_alone_got_is_delivered_each_time() {
        let mut forward = Forward::new();
        assert!(forward.carried(TERM, true, 1) && forward.carried(TERM, true, 2));
        assert_eq!(forward.due(3 + TOGETHER), None);
    }

    #[test]
    fn what_the_group_got_is_not_delivered_again() {
        let mut forward = Forward::new();
        forward.direct(TERM, true, 10);
        assert!(!forward.carried(TERM, true, 20), "the command has it");
        assert!(forward.carried(TERM, true, 30), "and this one is another");
        let mut forward = Forward::new();
        assert!(forward.carried(TERM, true, 10));
        forward.direct(TERM, true, 20);
        assert_eq!(forward.due(20 + TOGETHER), None);
    }

    #[test]
    fn what_process_1_alone_got_is_delivered_after_a_while() {
        let mut forward = Forward::new();
        forward.direct(TERM, true, 10);
        assert_eq!((forward.due(11), forward.wait(11)), (None, Some(TOGETHER - 1)));
        assert_eq!(forward.due(10 + TOGETHER), Some(TERM));
        assert_eq!((forward.due(10 + TOGETHER), forward.wait(11 + TOGETHER)), (None, None));
        assert!(forward.carried(TERM, true, 11 + TOGETHER), "it is settled");
        // From inside, whoever sent it can reach the command without us.
        forward.direct(TERM, false, 1 << 40);
        assert_eq!(forward.wait(1 << 40), None);
    }

    #[test]
    fn a_command_out_of_the_group_gets_the_groups_signals_once() {
        let mut forward = Forward::new();
        forward.direct(TERM, true, 10);
        assert!(forward.carried(TERM, false, 20));
        assert_eq!(forward.due(20 + TOGETHER), None);
    }

    #[test]
    fn real_time_signals_are_counted() {
        let mut forward = Forward::new();
        (0..5).for_each(|n| forward.direct(40, true, 10 + n));
        let delivered = (0..6).filter(|n| forward.carried(40, true, 20 + n)).count();
        assert_eq!(delivered, 1, "the sixth was for the launcher alone");
        assert_eq!(forward.due(1 << 40), None);
        (0..3).for_each(|n| forward.direct(40, true, (1 << 41) + n));
        let due = std::iter::from_fn(|| forward.due(1 << 42)).count();
        assert_eq!(due, 3, "process 1 alone got them");
    }

    #[test]
    fn numbers_that_no_signal_has_are_nothing() {
        let mut forward = Forward::new();
        for signal in [-1, 0, 65, i32::MAX] {
            assert!(!forward.carried(signal, true, 1));
            forward.direct(signal, true, 1);
            assert_eq!(forward.wait(1), None);
        }
    }
}
