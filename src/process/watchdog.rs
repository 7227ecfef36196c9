//! A process beside the launcher that puts right what the launcher would leave
//! wrong if it were killed. Made only for a run that has such a thing.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, setsid, waitpid};
use rustix::thread::set_name;

use crate::sys::{self, Arguments, Cloned, SignalSet};
use crate::util::exit_status::FAILED;

/// What it is called in ps(1).
const NAME: &CStr = c"keeper";

/// The keeper, as the launcher has it.
pub(crate) struct Keeper {
    pid: Pid,
    /// The keeper acts when this is closed, by the launcher or its death.
    alive: Option<OwnedFd>,
}

/// Why the keeper acts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The launcher has come to its end.
    Told,
    /// It is dead.
    Dead,
}

impl Keeper {
    /// Starts one that keeps the descriptors of `keep` and does `act` at the end.
    pub(crate) fn start(arguments: &Arguments, keep: &[i32], act: impl FnOnce(End)) -> Result<Self, Errno> {
        let mut act = Some(act);
        Self::beside(arguments, keep, &mut |end| {
            if let Some(act) = act.take() {
                act(end);
            }
        })
    }

    fn beside(arguments: &Arguments, keep: &[i32], act: &mut dyn FnMut(End)) -> Result<Self, Errno> {
        let (told, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        let blocked = SignalSet::all().set_blocked()?;
        match sys::clone(0)? {
            Cloned::Parent(pid) => {
                let keeper = Self { pid, alive: Some(alive) };
                // Or the command would find its signals blocked.
                blocked.set_blocked()?;
                Ok(keeper)
            }
            Cloned::Child => {
                drop(alive);
                // Who kills the launcher's process group or session is not to hit
                // this one; and no stream of the caller's is held open.
                let own = [told.as_raw_fd()];
                let ready = setsid().and_then(|_| sys::close_all_but(0, keep, &own));
                if ready.is_err() {
                    sys::exit_now(FAILED.into());
                }
                // Nor is who kills the launcher by its name or arguments.
                arguments.wipe(NAME.to_bytes());
                let _ = set_name(NAME);
                let end = loop {
                    match read(&told, &mut [0]) {
                        Ok(0) => break End::Dead,
                        Ok(_) => break End::Told,
                        Err(Errno::INTR) => {}
                        Err(_) => break End::Dead,
                    }
                };
                act(end);
                sys::exit_now(0)
            }
        }
    }

    /// The descriptor that it watches the other end of.
    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.alive.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }
}

impl Drop for Keeper {
    /// Has it act, and waits until it has.
    fn drop(&mut self) {
        if let Some(alive) = self.alive.take() {
            let _ = write(&alive, b"\n");
        }
        // Until it is gone, or another has waited for it.
        while !matches!(waitpid(Some(self.pid), WaitOptions::empty()), Ok(_) | Err(Errno::CHILD)) {}
    }
}
