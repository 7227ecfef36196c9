//! `--subids`: the caller's subordinate ids, mapped by newuidmap(1) and newgidmap(1),
//! which are set-user-ID root and see to it that they are the caller's.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::plan::op::Subids;
use crate::policy::identity::Range;
use crate::process::spawn::Program;
use crate::process::watchdog::{End, Keeper};
use crate::sys::Arguments;

/// Why the ids could not be mapped; which of the programs it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmapped {
    /// It cannot be started.
    Start(usize, Errno),
    /// It refused, and has said why.
    Refused(usize),
    /// They cannot be watched.
    Watch(Errno),
    /// This signal came before they were done.
    Interrupted(i32),
}

/// Both programs while they are at it; they end with this.
pub(crate) struct Running {
    processes: Vec<Program>,
    /// At its end when both are.
    says: OwnedFd,
    /// Who executes a set-id program is forgotten by it as the parent to die with.
    keeper: Option<Keeper>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.processes.clear();
        self.keeper = None;
    }
}

/// Has both write the maps of `pid`'s user namespace.
pub(crate) fn start(pid: Pid, subids: &Subids, arguments: &Arguments) -> Result<Running, Unmapped> {
    let (says, end) = pipe_with(PipeFlags::CLOEXEC).map_err(Unmapped::Watch)?;
    let mut running = Running { processes: Vec::new(), says, keeper: None };
    let mut watched = Vec::new();
    for (index, (mapper, ranges)) in
        [(&subids.mappers[0], &subids.uids), (&subids.mappers[1], &subids.gids)].into_iter().enumerate()
    {
        let process = Program::start(mapper, words(mapper, pid, ranges), end.as_fd());
        let process = process.map_err(|errno| Unmapped::Start(index, errno))?;
        watched.push(pidfd_open(process.pid(), PidfdFlags::empty()).map_err(Unmapped::Watch)?);
        running.processes.push(process);
    }
    let keep: Vec<i32> = watched.iter().map(AsRawFd::as_raw_fd).collect();
    let keeper = Keeper::start(arguments, &keep, move |end| {
        if end == End::Dead {
            for process in &watched {
                let _ = pidfd_send_signal(process, Signal::KILL);
            }
        }
    });
    running.keeper = Some(keeper.map_err(Unmapped::Watch)?);
    Ok(running)
}

fn words(mapper: &CString, pid: Pid, ranges: &[Range]) -> Vec<CString> {
    let number = |number: u32| CString::new(number.to_string()).unwrap_or_default();
    let mut words = vec![mapper.clone(), number(pid.as_raw_pid().unsigned_abs())];
    for Range { inside, outside, count } in ranges {
        words.extend([*inside, *outside, *count].map(number));
    }
    words
}

impl Running {
    /// What can be read once `done` has an answer.
    pub(crate) fn says(&self) -> BorrowedFd<'_> {
        self.says.as_fd()
    }

    /// Are both done?
    pub(crate) fn done(&mut self) -> Result<bool, Unmapped> {
        match read(&self.says, &mut [0; 64]) {
            Ok(0) => {}
            Ok(_) | Err(Errno::INTR) => return Ok(false),
            Err(errno) => return Err(Unmapped::Watch(errno)),
        }
        for (index, process) in self.processes.iter_mut().enumerate() {
            if !process.wait() {
                return Err(Unmapped::Refused(index));
            }
        }
        Ok(true)
    }
}
