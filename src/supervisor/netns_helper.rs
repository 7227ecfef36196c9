//! The network namespace is what takes the kernel longest: it is made by a process
//! beside process 1, while that builds the view, and joined in the end. Where that does
//! not work out, process 1 makes its own.

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, set_parent_process_death_signal, waitpid};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::process::fd_channel::{Greeter, Handed};
use crate::sys::{self, Stack};

/// The process, as the launcher has it, until it has ended, which it does by itself.
pub(crate) struct Beside(Pid);

impl Beside {
    /// Starts it for the jail of `process_one`, to which it hands the namespace over.
    ///
    /// It runs in the launcher's memory, which is why it allocates nothing and takes no
    /// lock; and it is no process of the jail's, where it would have the command's number.
    /// It runs on `stack`, which nothing else in the launcher may use from now on.
    pub(crate) fn start(process_one: Pid, greeter: Greeter, stack: &Stack) -> Result<Self, Errno> {
        let greeter: &'static Greeter = Box::leak(Box::new(greeter));
        let act = Box::leak(Box::new(move || i32::from(make(process_one, greeter).is_err())));
        let started = sys::clone_beside(stack, act);
        // The other one has a descriptor of its own: process 1 sees the end of that.
        sys::close(greeter.as_fd());
        started.map(Self)
    }

    /// Takes it in, if it has ended; gives it back if not.
    pub(crate) fn take_in(self) -> Option<Self> {
        match waitpid(Some(self.0), WaitOptions::NOHANG) {
            Ok(None) | Err(Errno::INTR) => Some(self),
            Ok(Some(_)) | Err(_) => None,
        }
    }

    /// Ends it, and takes it in.
    pub(crate) fn end(self) {
        let _ = sys::kill(self.0, libc::SIGKILL);
        while matches!(waitpid(Some(self.0), WaitOptions::empty()), Err(Errno::INTR)) {}
    }
}

/// Makes the namespace in the jail's user namespace, whose owner the caller is.
fn make(process_one: Pid, greeter: &Greeter) -> Result<(), Errno> {
    // Among them the end of a pipe by which process 1 knows that the launcher lives.
    sys::close_all_but(0, &[greeter.as_fd().as_raw_fd()], &[])?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let jail = pidfd_open(process_one, PidfdFlags::empty())?;
    move_into_thread_name_spaces(jail.as_fd(), ThreadNameSpaceType::USER)?;
    sys::unshare_network()?;
    sys::loopback_up()?;
    let own = openat(CWD, c"/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    greeter.hand_over(Handed::Network, &own)
}
