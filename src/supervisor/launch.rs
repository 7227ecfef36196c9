//! The launcher: does what must be done before there is a jail, makes the first
//! namespaces with process 1 in them, and waits until all is dead.

use std::ffi::{CString, OsStr};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::child::context::State;
use crate::child::init::{Prepared, process_one};
use crate::plan::Plan;
use crate::process::fd_channel;
use crate::relay::reach::Reacher;
use crate::supervisor::cgroup::Cgroup;
use crate::supervisor::netns_helper::Beside;
use crate::supervisor::outcome::{Ended, Failure};
use crate::supervisor::overlay_dir::Kept;
use crate::supervisor::setup::HostSetup;
use crate::supervisor::status_fd::Record;
use crate::supervisor::{Stage, Supervisor, Told};
use crate::sys::{self, Arguments, Clock, Cloned, Flag, SignalFd, SignalSet, Stack, Words};

/// What the launcher does with the caller's descriptors, once there is a jail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// Lets go of them.
    LetGo,
    /// Goes on using them.
    Keep,
}

/// Runs the plan to its end. With a `clock`, which ticks with each step, no command is
/// executed.
///
/// # Errors
/// Where it failed, if the command was not executed or not waited for.
pub fn run(
    plan: &Plan,
    arguments: &Arguments,
    record: Option<&Record>,
    passed: Passed,
    clock: Option<&Clock>,
) -> Result<Ended, Failure> {
    // Read the clock only with a time limit: the first read takes a microsecond for each of
    // its pages.
    let began = plan.timeout.map_or(0, |_| sys::now());
    if let Some(clock) = clock {
        clock.tick();
    }
    let placeholders = keep_off_closed_streams().map_err(Failure::Prepare)?;
    let (listener, greeter) = if record.is_some() || plan.pty || plan.trace.is_some() {
        fd_channel::pair().map(|(listener, greeter)| (Some(listener), Some(greeter))).map_err(Failure::Prepare)?
    } else {
        (None, None)
    };
    let mut setup = HostSetup::new(arguments, plan.subordinate_uids(), clock);
    setup.tick();
    for (index, step) in plan.outside.iter().enumerate() {
        if let Err(errno) = setup.perform(&step.op) {
            return Err(match setup.unfit {
                Some((entry, unfit)) => Failure::Changes(index, entry, unfit),
                None => Failure::Outside(index, errno),
            });
        }
    }
    let overlay = setup.kept.as_ref().map(Kept::layers).transpose().map_err(Failure::Prepare)?;

    // Now, so that no process made outside holds an end: process 1 is to see that the
    // launcher's is gone.
    let (reports, report) = pipe_with(PipeFlags::CLOEXEC).map_err(Failure::Prepare)?;

    // A caller that ignores SIGCHLD would have the kernel throw statuses away.
    let sigchld_ignored = sys::ignore_sigchld(false);
    let every = SignalSet::all();
    let blocked = every.set_blocked().map_err(Failure::Prepare)?;
    let signals = SignalFd::new(&every).map_err(Failure::Prepare)?;
    let executing = Flag::new().map_err(Failure::Prepare)?;
    let umask = sys::umask(0).map_err(Failure::Prepare)?;
    // Nothing is given back: the kernel does so when the launcher ends, all at once.
    let prepared = ManuallyDrop::new(Prepared {
        plan,
        argv: Words::new(plan.command.argv.iter().map(|word| c_word(&[word])).collect()),
        envp: Words::new(plan.command.env.iter().map(|(name, value)| c_word(&[name, OsStr::new("="), value])).collect()),
        stack: Stack::new().map_err(Failure::Prepare)?,
        umask,
        blocked,
        executing: &executing,
        sigchld_ignored,
    });
    let go = if plan.waits() { Some(pipe_with(PipeFlags::CLOEXEC).map_err(Failure::Prepare)?) } else { None };
    let (network, maker) = if plan.joins_network() {
        let (listener, greeter) = fd_channel::pair().map_err(Failure::Prepare)?;
        (Some(listener), Some(greeter))
    } else {
        (None, None)
    };
    setup.tick();
    let namespaces = if network.is_some() { plan.namespaces & !libc::CLONE_NEWNET } else { plan.namespaces };
    let cloned = sys::clone(namespaces);
    if !matches!(cloned, Ok(Cloned::Child)) {
        let _ = sys::umask(umask);
    }
    match cloned.map_err(Failure::Namespaces)? {
        Cloned::Child => {
            // Process 1 notices the launcher's death by this end being gone.
            drop((reports, listener, signals, maker));
            // Who connects outside is not to wait for it.
            drop(core::mem::take(&mut setup.published));
            let mut state = State::new(arguments, report.as_fd(), clock);
            state.placeholders = placeholders;
            state.network = network;
            state.cgroup_procs = setup.cgroup.as_ref().map(Cgroup::procs);
            state.overlay = overlay;
            state.reacher = setup.reacher.as_ref();
            let go = go.map(|(read, _)| read);
            process_one(&prepared, state, go, greeter)
        }
        Cloned::Parent(child) => {
            // If it cannot be started process 1 does its work.
            // Process 1 has a copy of the stack: in the launcher's memory it is free.
            let beside = maker.and_then(|greeter| Beside::start(child, greeter, &prepared.stack).ok());
            drop(network);
            // From here on process 1 gets what its process group gets.
            let early = SignalSet::pending().unwrap_or(every);
            let HostSetup { children, cgroup, kept, published, mut reacher, .. } = setup;
            reacher.iter_mut().for_each(Reacher::close_doors);
            drop((report, greeter));
            let reports = Some(reports);
            let go = go.map(|(_, write)| write);
            let (told, stage) = (Told::default(), Stage::Running);
            let (executing, subids, pasta, relay, tracer) = (&executing, None, None, None, None);
            Supervisor {
                plan,
                arguments,
                child,
                signals,
                reports,
                listener,
                go,
                record,
                passed,
                began,
                early,
                executing,
                children,
                told,
                stage,
                subids,
                pasta,
                published,
                publisher: None,
                reacher,
                relay,
                tracer,
                cgroup,
                kept,
                beside,
                tie: None,
                asked_to_end: false,
            }
            .run()
        }
    }
}

/// Where the caller closed 0, 1 or 2, puts something harmless there until exec,
/// which closes it again: else a pipe of ours would be the command's stdout. Returns
/// where.
fn keep_off_closed_streams() -> Result<[bool; 3], Errno> {
    let mut placeholders = [false; 3];
    loop {
        let fd = openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        match usize::try_from(fd.as_raw_fd()).ok().and_then(|fd| placeholders.get_mut(fd)) {
            Some(placeholder) => *placeholder = true,
            None => return Ok(placeholders),
        }
        core::mem::forget(fd);
    }
}

/// The parts, one behind the other. No NUL is in any: argv and the environment came
/// without, and policy refuses those that flags set.
fn c_word(parts: &[&OsStr]) -> CString {
    // With room for the NUL: there may be megabytes of them.
    let mut word = Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + 1);
    parts.iter().for_each(|part| word.extend_from_slice(part.as_bytes()));
    CString::new(word).unwrap_or_default()
}
