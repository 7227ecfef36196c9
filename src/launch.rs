//! The launcher: makes the first namespaces with process 1 in them, passes
//! signals on, waits until all is dead, and says what came of it.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::apply::State;
use crate::error::FAILED;
use crate::init::{Prepared, process_one};
use crate::pasta::{self, Pasta};
use crate::plan::Plan;
use crate::policy::Init;
use crate::report::Report;
use crate::sys::{self, Arguments, Cloned, SignalSet, Words};

/// Where a launch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Before anything was made.
    Prepare(Errno),
    /// Step `index` of the plan's `outside` list.
    Outside(usize, Errno),
    /// Making process 1 and its namespaces.
    Namespaces(Errno),
    /// Process 1 was ended from outside, by this signal.
    Killed(i32),
    /// Connecting the network.
    Pasta(Pasta),
    /// Something inside.
    Inside(Report),
}

/// Runs the plan to its end and gives the exit status.
///
/// # Errors
/// Where it failed, if the command was not executed or not waited for.
pub fn run(plan: &Plan, arguments: &Arguments) -> Result<u8, Failure> {
    keep_off_closed_streams().map_err(Failure::Prepare)?;
    let (reports, report) = pipe_with(PipeFlags::CLOEXEC).map_err(Failure::Prepare)?;
    let mut state = State::new(arguments, report.as_fd());
    for (index, step) in plan.outside.iter().enumerate() {
        state.perform(&step.op).map_err(|errno| Failure::Outside(index, errno))?;
    }

    // A caller that ignores SIGCHLD would have the kernel throw statuses away.
    let sigchld_ignored = sys::ignore_sigchld(false);
    let passed = SignalSet::of(&passed_on());
    let blocked = passed.block().map_err(Failure::Prepare)?;
    let prepared = Prepared {
        plan,
        arguments,
        argv: words(plan.command.argv.iter().cloned()),
        envp: words(plan.command.env.iter().map(|(name, value)| {
            let mut both = name.clone();
            both.push("=");
            both.push(value);
            both
        })),
        blocked,
        sigchld_ignored,
    };
    let go = if plan.pasta { Some(pipe_with(PipeFlags::CLOEXEC).map_err(Failure::Prepare)?) } else { None };
    match sys::clone(plan.namespaces).map_err(Failure::Namespaces)? {
        Cloned::Child => {
            // Process 1 notices the launcher's death by this end being gone.
            drop(reports);
            let _ = SignalSet::all().block();
            let go = go.map(|(read, _)| read);
            process_one(&prepared, report.as_fd(), go.as_ref().map(AsFd::as_fd))
        }
        Cloned::Parent(pid) => {
            drop(report);
            let pasta = match go {
                Some((_, go)) => connect(pid, &reports, &go)?,
                None => None,
            };
            let status = supervise(plan, pid, &passed);
            drop(pasta);
            conclude(plan, status, reports)
        }
    }
}

/// Has the network connected once process 1 waits for it. Where it cannot be,
/// process 1 and all with it is dead on return.
fn connect(pid: Pid, reports: &OwnedFd, go: &OwnedFd) -> Result<Option<pasta::Running>, Failure> {
    let failure = match Report::receive(reports.as_fd()) {
        Some(Report::AwaitsNetwork) => match pasta::connect(pid) {
            Ok(running) => {
                let _ = rustix::io::write(go, b"\n");
                return Ok(Some(running));
            }
            Err(why) => Failure::Pasta(why),
        },
        Some(report) => Failure::Inside(report),
        // It is dead: what follows finds out of what.
        None => return Ok(None),
    };
    let _ = sys::kill(pid, libc::SIGKILL);
    let _ = waitpid(Some(pid), WaitOptions::empty());
    Err(failure)
}

/// Waits for process 1; until then passes on what processes send.
fn supervise(plan: &Plan, pid: Pid, passed: &SignalSet) -> ExitStatus {
    loop {
        if let Ok(Some((_, status))) = waitpid(Some(pid), WaitOptions::NOHANG) {
            return ExitStatus::from_raw(status.as_raw());
        }
        let Ok(caught) = passed.wait() else { continue };
        // What the terminal or the kernel sends reaches the whole foreground
        // group, the command too, unless that has a session of its own.
        let sent = caught.code <= 0;
        if caught.signal != libc::SIGCHLD && (sent || plan.own_session) {
            let _ = sys::kill(pid, caught.signal);
        }
    }
}

/// What the reports and process 1's end add up to.
fn conclude(plan: &Plan, status: ExitStatus, reports: OwnedFd) -> Result<u8, Failure> {
    let mut ended = (plan.init == Init::None).then_some(status);
    while let Some(report) = Report::receive(reports.as_fd()) {
        match report {
            Report::Ended(raw) => ended = Some(ExitStatus::from_raw(raw)),
            Report::AwaitsNetwork => {}
            Report::Inside(..) | Report::Last(..) | Report::Fork(_) | Report::Exec { .. } => return Err(Failure::Inside(report)),
        }
    }
    match ended {
        Some(status) => Ok(exit_status(status)),
        None => Err(Failure::Killed(status.signal().unwrap_or(0))),
    }
}

/// The command's own, or 128+N.
fn exit_status(status: ExitStatus) -> u8 {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => FAILED.into(),
    };
    u8::try_from(code).unwrap_or(FAILED)
}

/// Signals that are passed on, and SIGCHLD. Not the ones that stop and continue:
/// job control acts on the launcher itself. Not the ones that a fault raises: a
/// fault here is the launcher's own.
fn passed_on() -> Vec<i32> {
    let own = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGCONT,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGSYS,
    ];
    (1..=64).filter(|signal| !own.contains(signal)).collect()
}

/// Where the caller closed 0, 1 or 2, puts something harmless there until exec,
/// which closes it again: else a pipe of ours would be the command's stdout.
fn keep_off_closed_streams() -> Result<(), Errno> {
    loop {
        let fd = openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        if fd.as_raw_fd() > 2 {
            return Ok(());
        }
        core::mem::forget(fd);
    }
}

/// No NUL is in any of them: argv and the environment came without, and policy
/// refuses those that flags set.
fn words(words: impl Iterator<Item = OsString>) -> Words {
    Words::new(words.map(|word| CString::new(word.into_vec()).unwrap_or_default()).collect())
}

/// Writes all of `text`, or says why not.
///
/// # Errors
/// The kernel's: a full disk, a closed descriptor, a broken pipe.
pub fn print(to: BorrowedFd<'_>, text: &str) -> Result<(), Errno> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
