//! The relay process: how the launcher starts it, and how it gives up its powers.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, getrlimit, pidfd_open, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, setsid, waitpid,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_name, set_no_new_privs};

use crate::relay::event_loop::Relay;
use crate::relay::{END, Holes};
use crate::sys::clock::timespec;
use crate::sys::{self, Arguments, Cloned, SignalSet};
use crate::util::exit_status::FAILED;

/// The process, as the launcher has it.
pub(crate) struct Running {
    pub(crate) pid: Pid,
    /// It ends when this is closed, at once if nothing was written.
    pub(crate) alive: Option<OwnedFd>,
}

impl Running {
    /// Starts one that is called `name`, does `enter` where there is one, for which it has
    /// the descriptor, and can do nothing but relay from then on.
    pub(crate) fn start(
        arguments: &Arguments,
        name: &CStr,
        holes: Holes<'_>,
        enter: Option<(OwnedFd, impl FnOnce(OwnedFd) -> Result<(), Errno>)>,
    ) -> Result<Self, Errno> {
        let (told, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        let (answer, answers) = pipe_with(PipeFlags::CLOEXEC)?;
        let blocked = SignalSet::all().set_blocked()?;
        let cloned = sys::clone(0);
        if let Ok(Cloned::Child) = cloned {
            drop((alive, answer));
            let own: Vec<i32> =
                [&told, &answers].into_iter().chain(enter.iter().map(|(at, _)| at)).map(AsRawFd::as_raw_fd).collect();
            let ready = (|| {
                alone(arguments, name, &holes.descriptors(), &own)?;
                if let Some((at, enter)) = enter {
                    enter(at)?;
                }
                powerless()?;
                Relay::new(&told, holes)
            })();
            let errno = ready.as_ref().map_or_else(|errno| errno.raw_os_error(), |_| 0);
            let _ = write(&answers, &errno.to_ne_bytes());
            drop(answers);
            let ended = ready.and_then(|mut relay| relay.run());
            sys::exit_now(if ended.is_ok() { 0 } else { FAILED.into() });
        }
        // Or what is started next would find its signals blocked.
        let restored = blocked.set_blocked();
        let Cloned::Parent(pid) = cloned? else { return Err(Errno::IO) };
        let mut running = Self { pid, alive: Some(alive) };
        if let Err(errno) = restored {
            running.alive = None;
            return Err(errno);
        }
        drop(answers);
        let mut errno = [0; 4];
        loop {
            return match read(&answer, &mut errno) {
                Ok(4) if errno == [0; 4] => Ok(running),
                Ok(4) => Err(Errno::from_raw_os_error(i32::from_ne_bytes(errno))),
                Ok(_) => Err(Errno::IO),
                Err(Errno::INTR) => continue,
                Err(errno) => Err(errno),
            };
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// The descriptor that it watches the other end of.
    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.alive.as_ref().map(AsRawFd::as_raw_fd)
    }
}

impl Drop for Running {
    /// Has it pass on what the dead have left, and waits until it has.
    fn drop(&mut self) {
        if let Some(alive) = self.alive.take() {
            let _ = write(&alive, b"\n");
        }
        // One that shares the host's process table can have stopped it.
        let _ = sys::kill(self.pid, libc::SIGCONT);
        // Descriptors that the jail sends by a Unix socket are closed by the relay, and
        // closing can take as long as who opened them likes (SO_LINGER).
        if !ends_within(self.pid, END) {
            let _ = sys::kill(self.pid, libc::SIGKILL);
        }
        while !matches!(waitpid(Some(self.pid), WaitOptions::empty()), Ok(_) | Err(Errno::CHILD)) {}
    }
}

/// Does this child end in time?
pub(crate) fn ends_within(pid: Pid, time: u64) -> bool {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let until = sys::now() + time;
    loop {
        let left = timespec(until.saturating_sub(sys::now()));
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return ready > 0,
            Err(Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

/// Lets go of all that is the launcher's.
pub(crate) fn alone(arguments: &Arguments, name: &CStr, keep: &[i32], own: &[i32]) -> Result<(), Errno> {
    // What is typed at the terminal is for the jail's command.
    setsid()?;
    // No stream of the caller's is held open, nor anything else of it.
    sys::close_all_but(0, keep, own)?;
    arguments.wipe(name.to_bytes());
    set_name(name)
}

/// Gives up what it takes to do anything else.
pub(crate) fn powerless() -> Result<(), Errno> {
    // A command with the jail's capabilities is not to look into the launcher's memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_no_new_privs(true)?;
    // Should the launcher be killed while the kernel holds this one up. It comes after
    // the namespaces, for which the kernel forgets it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
}
