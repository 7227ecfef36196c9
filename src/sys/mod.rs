//! The kernel's interface that rustix lacks: the only unsafe code. One function a call, one call
//! a block, with the fact that makes it sound; no decision. Add the name of the manual page.

#![allow(unsafe_code)]

pub(crate) mod argv;
pub mod bump_alloc;
pub(crate) mod caps;
pub(crate) mod clock;
pub(crate) mod clone;
pub(crate) mod exec;
pub(crate) mod fd;
pub(crate) mod keyring;
pub(crate) mod landlock;
pub(crate) mod loopback;
pub(crate) mod mount;
pub(crate) mod namespaces;
pub(crate) mod netif;
pub(crate) mod process;
pub(crate) mod rlimits;
pub(crate) mod seccomp;
pub(crate) mod shared;
pub(crate) mod signal;

use core::ffi::{CStr, c_long};

use rustix::io::Errno;

pub(crate) use argv::{Arguments, auxiliary, executed_as, is_secure};
pub(crate) use clock::{clock, now};
pub(crate) use clone::{Cloned, Stack, clone, clone_beside, clone_until_exec, unshare, unshare_network};
pub(crate) use exec::{Words, environment, execve, execve_with_same_arguments};
pub(crate) use fd::{
    close, close_all_but, continue_at, continue_when_readable, inherited, is_open, is_readable, is_urgent, replace,
};
pub(crate) use keyring::{keys_are_refused, new_session_keyring};
pub(crate) use landlock::{landlock_abi, landlock_allow_below, landlock_allow_port, landlock_restrict, landlock_ruleset};
pub(crate) use mount::{MountAttr, mount_setattr};
pub(crate) use netif::loopback_up;
pub(crate) use process::{
    die_with_parent, exit_now, in_our_group, in_the_foreground, kill, leads_its_session, limit_on, umask, usage_of_children,
};
pub(crate) use seccomp::{Waiting, filter, filter_told};
pub(crate) use shared::{Clock, Flag};
pub(crate) use signal::{Caught, SignalFd, SignalSet, ignore_sigchld, queue, stop_as};

/// What a system call gives: its value or the kernel's error number.
pub(crate) type Result<T> = core::result::Result<T, Errno>;

pub(crate) fn check(returned: c_long) -> Result<c_long> {
    if returned < 0 {
        // SAFETY: it always gives where this thread's errno lies.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: nothing else uses it meanwhile.
        return Err(Errno::from_raw_os_error(unsafe { *errno }));
    }
    Ok(returned)
}

/// The C library's words for an error.
pub(crate) fn error_text(errno: Errno) -> String {
    // SAFETY: it gives a string that ends in NUL, for any number.
    let text = unsafe { libc::strerror(errno.raw_os_error()) };
    // SAFETY: it stays until the next such call, and is copied here.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().unwrap_or("").to_owned()
}
