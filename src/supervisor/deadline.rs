//! The time that a jail may take.

use crate::supervisor::{Stage, Supervisor, nanoseconds};
use crate::sys;

impl<'a> Supervisor<'a> {
    /// When there is something to be done about time, by `sys::now`.
    pub(crate) fn deadline(&self) -> Option<u64> {
        match (self.stage, self.plan.timeout) {
            (Stage::Running, Some(limit)) => Some(self.began.saturating_add(nanoseconds(limit.timeout))),
            (Stage::Asked(at) | Stage::Killing(at), _) => Some(at),
            (Stage::Running, None) | (Stage::Killed, _) => None,
        }
    }

    pub(crate) fn time_left(&self) -> Option<u64> {
        self.deadline().map(|at| at.saturating_sub(sys::now()))
    }

    /// Ends the jail when its time is up.
    pub(crate) fn keep_time(&mut self) {
        if self.time_left() != Some(0) {
            return;
        }
        self.stage = match self.stage {
            Stage::Running => {
                self.send(libc::SIGTERM);
                // One that stands still could not act on it.
                self.send(libc::SIGCONT);
                Stage::Asked(sys::now() + self.plan.timeout.map_or(0, |limit| nanoseconds(limit.grace)))
            }
            Stage::Asked(_) => {
                self.kill_all();
                Stage::Killing(sys::now() + 1_000_000_000)
            }
            // A process 1 that cannot act: it has not come so far as to have
            // anything below it.
            Stage::Killing(_) | Stage::Killed => {
                let _ = sys::kill(self.child, libc::SIGKILL);
                Stage::Killed
            }
        };
    }
}
