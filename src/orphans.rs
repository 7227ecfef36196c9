//! Ending what a command leaves behind where no process table of its own does it.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, pread};
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, wait};

use crate::sys;

/// This process's children. It is their subreaper: those that a child leaves come
/// to be its own.
pub(crate) struct Children(OwnedFd);

impl Children {
    /// Becomes the subreaper, and opens the list (CONFIG_PROC_CHILDREN).
    pub(crate) fn adopt() -> Result<Self, Errno> {
        set_child_subreaper(Some(getpid()))?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, c"/proc/thread-self/children", flags, Mode::empty())?))
    }

    /// The descriptor's number.
    pub(crate) fn fd(&self) -> i32 {
        std::os::fd::AsRawFd::as_raw_fd(&self.0)
    }

    /// Kills all of them but those of `spared`, those that the killing orphans too, until
    /// there is none.
    pub(crate) fn end_all(&self, spared: &[Pid]) {
        let mut buffer = [0; 4096];
        loop {
            // Numbers, a space behind each.
            let read = pread(&self.0, &mut buffer, 0).unwrap_or(0);
            // A number that the buffer's end cuts would be another process's.
            let whole = buffer[..read].iter().rposition(|b| *b == b' ').unwrap_or(0);
            let mut left = false;
            for number in buffer[..whole].split(|b| *b == b' ') {
                let pid = core::str::from_utf8(number).ok().and_then(|n| n.parse().ok()).and_then(Pid::from_raw);
                if let Some(pid) = pid.filter(|pid| !spared.contains(pid)) {
                    left = true;
                    let _ = sys::kill(pid, libc::SIGKILL);
                }
            }
            if !left {
                return;
            }
            match wait(WaitOptions::empty()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}
