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
    /// When process 1 itself last got each signal; 0: not, or settled.
    direct: [u64; 65],
    /// When the launcher last passed each on; 0: not, or settled.
    carried: [u64; 65],
    /// Those that process 1 got and the launcher has not passed on yet: bit N is
    /// signal N.
    owed: u128,
}

impl Forward {
    /// Nothing has come yet.
    pub(crate) fn new() -> Self {
        Self { direct: [0; 65], carried: [0; 65], owed: 0 }
    }

    /// The launcher passes `signal` on: is the command to get it? `in_group`: is the
    /// command in the launcher's process group, and has what that got?
    pub(crate) fn carried(&mut self, signal: i32, in_group: bool, now: u64) -> bool {
        let Some(at) = index(signal) else { return false };
        self.owed &= !(1 << at);
        let direct = core::mem::take(&mut self.direct[at]);
        if together(direct, now) && in_group {
            return false;
        }
        self.carried[at] = now;
        true
    }

    /// Process 1 got `signal` itself; `outside`: from outside the jail. Such a one
    /// is owed to the command if the launcher does not pass it on presently.
    pub(crate) fn direct(&mut self, signal: i32, outside: bool, now: u64) {
        let Some(at) = index(signal) else { return };
        if together(core::mem::take(&mut self.carried[at]), now) {
            return;
        }
        self.direct[at] = now;
        if outside {
            self.owed |= 1 << at;
        }
    }

    /// A signal that was sent to process 1 alone, and is the command's.
    pub(crate) fn due(&mut self, now: u64) -> Option<i32> {
        let at = (1..65).find(|at| self.owed & (1 << at) != 0 && !together(self.direct[*at], now))?;
        self.owed &= !(1 << at);
        self.direct[at] = 0;
        i32::try_from(at).ok()
    }

    /// Nanoseconds until one may be due; None while none can be.
    pub(crate) fn wait(&self, now: u64) -> Option<u64> {
        let owed = (1..65).filter(|at| self.owed & (1 << at) != 0);
        owed.map(|at| (self.direct[at] + TOGETHER).saturating_sub(now)).min()
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
    fn numbers_that_no_signal_has_are_nothing() {
        let mut forward = Forward::new();
        for signal in [-1, 0, 65, i32::MAX] {
            assert!(!forward.carried(signal, true, 1));
            forward.direct(signal, true, 1);
            assert_eq!(forward.wait(1), None);
        }
    }
}
