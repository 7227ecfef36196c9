//! Ending what a command leaves behind where no process table of its own does it.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, pread};
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};

use crate::sys;

/// This process's children. It is their subreaper: those that a child leaves come
/// to be its own.
pub(crate) struct Children {
    list: OwnedFd,
    /// Those that were there before: whoever executed this program made them.
    before: Vec<Pid>,
}

impl Children {
    /// Becomes the subreaper, and opens the list (CONFIG_PROC_CHILDREN).
    pub(crate) fn adopt() -> Result<Self, Errno> {
        set_child_subreaper(Some(getpid()))?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let list = openat(CWD, c"/proc/thread-self/children", flags, Mode::empty())?;
        let mut children = Self { list, before: Vec::new() };
        let mut before = Vec::new();
        children.each(&mut |pid| before.push(pid));
        children.before = before;
        Ok(children)
    }

    /// The descriptor's number.
    pub(crate) fn fd(&self) -> i32 {
        std::os::fd::AsRawFd::as_raw_fd(&self.list)
    }

    /// Calls `act` with each, as far as one read gives them.
    fn each(&self, act: &mut dyn FnMut(Pid)) {
        let mut buffer = [0; 4096];
        // Numbers, a space behind each.
        let read = pread(&self.list, &mut buffer, 0).unwrap_or(0);
        // A number that the buffer's end cuts would be another process's.
        let whole = buffer[..read].iter().rposition(|b| *b == b' ').unwrap_or(0);
        for number in buffer[..whole].split(|b| *b == b' ') {
            let pid = core::str::from_utf8(number).ok().and_then(|n| n.parse().ok()).and_then(Pid::from_raw);
            if let Some(pid) = pid {
                act(pid);
            }
        }
    }

    /// Kills all of them but those of `spared` and those that were there before, and
    /// those that the killing orphans too, until there is none.
    pub(crate) fn end_all(&self, spared: &[Pid]) {
        loop {
            let mut last = None;
            self.each(&mut |pid| {
                if !spared.contains(&pid) && !self.before.contains(&pid) {
                    let _ = sys::kill(pid, libc::SIGKILL);
                    last = Some(pid);
                }
            });
            let Some(pid) = last else { return };
            match waitpid(Some(pid), WaitOptions::empty()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}
