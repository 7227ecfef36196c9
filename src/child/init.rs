//! The processes inside: process 1, which builds the view, starts the command,
//! reaps what is orphaned, and ends with it; and the command's, until exec.

use std::os::fd::OwnedFd;

use rustix::fs::{Access as Wanted, AtFlags, CWD, accessat};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, wait};

use crate::child::apply::LAUNCHER_DIED;
use crate::child::context::State;
use crate::child::powers::hold;
use crate::child::protocol::Report;
use crate::child::signal_dedup::Forward;
use crate::plan::Plan;
use crate::policy::Init;
use crate::process::fd_channel::Greeter;
use crate::process::subreaper::Children;
use crate::sys::{self, Cloned, Flag, SignalSet, Stack, Words};
use crate::util::exit_status::{FAILED, NOT_EXECUTABLE, NOT_FOUND};

/// The signal that brings process 1 the number of one that the launcher passes
/// on, as the message of a real-time signal that nothing sends otherwise.
///
/// The highest, and so the last that is taken of several: what process 1 got itself
/// is known by then.
pub(crate) const CARRIER: i32 = 64;

/// All that process 1 needs, made before it is: it allocates nothing.
pub(crate) struct Prepared<'a> {
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// The command's words.
    pub(crate) argv: Words,
    /// The command's environment.
    pub(crate) envp: Words,
    /// What the command's process runs on until exec.
    pub(crate) stack: Stack,
    /// The launcher's file mode mask; what process 1 makes has just the mode it is given.
    pub(crate) umask: u32,
    /// The signals blocked when the launcher was started.
    pub(crate) blocked: SignalSet,
    /// Set while the command is being executed, and so from then on.
    pub(crate) executing: &'a Flag,
    /// Was SIGCHLD ignored when the launcher was started?
    pub(crate) sigchld_ignored: bool,
}

/// What process 1 does. All signals are blocked when it begins.
pub(crate) fn process_one<'a>(
    prepared: &'a Prepared<'a>,
    mut state: State<'a>,
    go: Option<OwnedFd>,
    greeter: Option<Greeter>,
) -> ! {
    let plan = prepared.plan;
    let report = state.report;
    state.tick();
    state.go = go;
    state.greeter = greeter;
    if plan.needs_host_root() {
        if let Err(errno) = state.keep_host_root() {
            Report::Inside(0, errno).send(report);
            sys::exit_now(FAILED.into());
        }
    }
    for (index, step) in plan.inside.iter().enumerate() {
        if let Err(errno) = state.perform(&step.op) {
            Report::Inside(index, errno).send(report);
            sys::exit_now(FAILED.into());
        }
    }
    if plan.init == Init::None {
        sys::exit_now(become_command(prepared, &mut state));
    }
    state.init = Some(rustix::process::getpid());
    let mut cloned = sys::clone_until_exec(&prepared.stack, &mut || become_command(prepared, &mut state));
    if cloned == Err(Errno::INVAL) {
        // Who is to have other clocks may not share memory with who has not: so Linux
        // 6.1; 6.12 has no objection.
        cloned = match sys::clone(0) {
            Ok(Cloned::Child) => sys::exit_now(become_command(prepared, &mut state)),
            Ok(Cloned::Parent(command)) => Ok(command),
            Err(errno) => Err(errno),
        };
    }
    match cloned {
        Ok(command) => reap(plan, &mut state, command),
        Err(errno) => {
            Report::Fork(errno).send(report);
            sys::exit_now(FAILED.into());
        }
    }
}

/// Does the last steps and executes the command. Returns only if that failed, with the
/// exit status; it is reported.
fn become_command<'a>(prepared: &'a Prepared<'a>, state: &mut State<'a>) -> i32 {
    let failed = |report: Report, state: &State<'_>| {
        report.send(state.report);
        FAILED.into()
    };
    if prepared.plan.init == Init::Reaper {
        state.tick();
    }
    let greeted = state.greeter.as_ref().map_or(Ok(()), Greeter::greet);
    if let Err(errno) = greeted.and_then(|()| sys::umask(prepared.umask)) {
        return failed(Report::Fork(errno), state);
    }
    for (index, step) in prepared.plan.last.iter().enumerate() {
        if let Err(errno) = state.perform(&step.op) {
            return failed(Report::Last(index, errno), state);
        }
    }
    if state.clock.is_some() {
        // That was what they wanted to see.
        return 0;
    }
    // Everything of the caller's that exec passes on is as it was.
    if prepared.sigchld_ignored {
        sys::ignore_sigchld(true);
    }
    if let Some(signal) = SignalSet::stops_without(&prepared.blocked) {
        // Process 1 stands still until exec, and does not see it happen.
        Report::Stopped(signal).send(state.report);
    }
    if let Err(errno) = prepared.blocked.set_blocked() {
        return failed(Report::Fork(errno), state);
    }

    // As execvp(3), but no shell is tried on what is no executable.
    let mut worst = Report::Exec { index: 0, found: false, errno: Errno::NOENT };
    for (index, path) in prepared.plan.command.candidates.iter().enumerate() {
        prepared.executing.set(true);
        let errno = sys::execve(path, &prepared.argv, &prepared.envp);
        prepared.executing.set(false);
        match errno {
            Errno::NOENT | Errno::NOTDIR => {
                // A script whose interpreter is missing is ENOENT, too.
                if accessat(CWD, path.as_c_str(), Wanted::EXISTS, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                    worst = Report::Exec { index, found: true, errno };
                    break;
                }
            }
            // Another directory of PATH may hold one that can be executed.
            Errno::ACCESS => worst = Report::Exec { index, found: true, errno },
            _ => {
                worst = Report::Exec { index, found: true, errno };
                break;
            }
        }
    }
    worst.send(state.report);
    let found = matches!(worst, Report::Exec { found: true, .. });
    if found { NOT_EXECUTABLE } else { NOT_FOUND }.into()
}

/// Process 1 while the command runs.
fn reap(plan: &Plan, state: &mut State<'_>, command: Pid) -> ! {
    // What came before the command was there: it has not got it.
    let missed = SignalSet::pending();
    // Process 1 holds nothing: no capability, and no descriptor, so that a
    // reader of the command's pipe sees its end when the command closes it.
    state.greeter = None;
    let children = state.children.as_ref().map(Children::fd);
    let closed = state.close_all_but(0, children.as_slice());
    if let Err(errno) = hold(0).and(closed) {
        give_up(state, errno);
    }
    let every = SignalSet::all();
    let mut forward = Forward::new();
    if let Ok(missed) = missed {
        catch_up(&missed, command, &mut forward);
    }
    loop {
        let mut limit = None;
        if forward.owes() {
            while let Some(signal) = forward.due(sys::now()) {
                let _ = sys::kill(command, signal);
            }
            limit = forward.wait(sys::now());
        }
        let caught = match every.wait(limit) {
            Ok(caught) => caught,
            // Nothing came in time, or it was interrupted.
            Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(errno) => give_up(state, errno),
        };
        match caught.signal {
            libc::SIGCHLD => {
                reap_all(state, command);
                if caught.code <= 0 {
                    forward.direct(libc::SIGCHLD, !plan.own_pids || caught.sender == 0, sys::now());
                }
            }
            // Others can send this signal, too.
            LAUNCHER_DIED if !plan.own_pids && state.launcher_lives().is_err() => {
                end_all(state);
                sys::exit_now(FAILED.into());
            }
            // Nobody can pass this one on: the launcher asks for the end.
            CARRIER if caught.code == libc::SI_QUEUE && caught.value == libc::SIGKILL && !plan.own_pids => {
                let _ = sys::kill(command, libc::SIGKILL);
            }
            CARRIER if caught.code == libc::SI_QUEUE => {
                let new = forward.carried(caught.value, sys::in_our_group(command), sys::now());
                if new {
                    // It may have ended just now: its end is the next signal.
                    let _ = sys::kill(command, caught.value);
                }
            }
            // One of the jail's own can signal the command itself, and what the
            // terminal or the kernel sends has reached the command already.
            signal => {
                let outside = !plan.own_pids || caught.sender == 0;
                forward.direct(signal, outside && caught.code <= 0, sys::now());
            }
        }
    }
}

/// Sends the command the signals of `missed`, which reached the whole process group
/// while there was no command in it. One that came just now it may have, too; it is
/// blocked there yet, and then counts once.
fn catch_up(missed: &SignalSet, command: Pid, forward: &mut Forward) {
    if !sys::in_our_group(command) {
        // What the launcher passes on is all that it gets.
        return;
    }
    for signal in (1..CARRIER).filter(|signal| missed.has(*signal) && ![libc::SIGCHLD, LAUNCHER_DIED].contains(signal)) {
        if SignalSet::of(&[signal]).wait(Some(0)).is_ok() {
            let _ = sys::kill(command, signal);
            forward.direct(signal, false, sys::now());
        }
    }
}

/// Takes in every child that has changed, and ends with the command.
fn reap_all(state: &State<'_>, command: Pid) {
    loop {
        let (pid, status) = match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED) {
            Ok(Some(changed)) => changed,
            Ok(None) => return,
            Err(Errno::INTR) => continue,
            // There is a child, or the command would have been taken in.
            Err(errno) => give_up(state, errno),
        };
        if pid != command {
            continue;
        }
        if let Some(signal) = status.stopping_signal() {
            Report::Stopped(signal).send(state.report);
        } else if status.continued() {
            Report::Continued.send(state.report);
        } else {
            end_all(state);
            // In a pid namespace of its own the kernel now kills all that is
            // left, and the launcher waits until it has.
            match status.exit_status() {
                // Says as much, and wakes the launcher once less.
                Some(code) if code < FAILED.into() => sys::exit_now(code),
                _ => Report::Ended(status.as_raw()).send(state.report),
            }
            sys::exit_now(FAILED.into());
        }
    }
}

/// Without a pid namespace: kills all that the command left. With one, the kernel
/// does so when process 1 ends.
fn end_all(state: &State<'_>) {
    if let Some(children) = &state.children {
        children.end_all(&[]);
    }
}

/// The launch failed in process 1, which has the command below it.
fn give_up(state: &State<'_>, errno: Errno) -> ! {
    end_all(state);
    Report::Fork(errno).send(state.report);
    sys::exit_now(FAILED.into())
}
