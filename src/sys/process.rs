//! This process and its relatives.

use core::ffi::{c_int, c_long, c_ulong};
use core::mem::MaybeUninit;
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::Pid;

use crate::sys::{Result, check};

/// umask(2), which a filter alone refuses; rustix's would end the process then. Gives
/// the mask before.
pub(crate) fn umask(mask: u32) -> Result<u32> {
    // SAFETY: it takes no pointer and has no effect on memory.
    let old = check(unsafe { libc::syscall(libc::SYS_umask, c_long::from(mask)) })?;
    Ok(u32::try_from(old).unwrap_or(mask))
}

/// Returns the soft and the hard limit of this process on `resource` (RLIMIT_*). rustix's
/// getrlimit panics where a filter around the launcher refuses the call.
pub(crate) fn limit_on(resource: impl Into<c_long>) -> Result<(u64, u64)> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let new: *const libc::rlimit64 = ptr::null();
    // SAFETY: the kernel writes to `limit`, which lives longer than the call, and reads no
    // new limit.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource.into(), new, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// What the children that were waited for have used, and their children.
pub(crate) struct Usage {
    /// Microseconds in their own code.
    pub(crate) user: u64,
    /// Microseconds in the kernel.
    pub(crate) system: u64,
    /// The most memory that one of them had resident, in bytes.
    pub(crate) peak: u64,
}

/// See `Usage`.
pub(crate) fn usage_of_children() -> Usage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: usage has room for one rusage; all zeros is one, too, should the
    // call fail.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    // SAFETY: zeroed before and perhaps written by the kernel since.
    let usage = unsafe { usage.assume_init() };
    let microseconds =
        |time: libc::timeval| u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0);
    Usage {
        user: microseconds(usage.ru_utime),
        system: microseconds(usage.ru_stime),
        // The kernel counts kilobytes.
        peak: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    }
}

// Groups and sessions of another pid namespace have the number 0 here, this
// process's own too, for which rustix's Pid has no room.

/// The process group of `pid`, with 0 for this process itself.
pub(crate) fn group_of(pid: libc::pid_t) -> libc::pid_t {
    // SAFETY: no memory is passed.
    unsafe { libc::getpgid(pid) }
}

/// Is process `pid` in this one's process group?
pub(crate) fn in_our_group(pid: Pid) -> bool {
    group_of(pid.as_raw_nonzero().get()) == group_of(0)
}

/// Is this process's group the one in the foreground of `terminal`? No answer
/// where it is not this session's terminal.
pub(crate) fn in_the_foreground(terminal: BorrowedFd<'_>) -> Option<bool> {
    // SAFETY: no memory is passed.
    let foreground = unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) };
    (foreground >= 0).then(|| foreground == group_of(0))
}

/// Does this process lead its session?
pub(crate) fn leads_its_session() -> bool {
    // SAFETY: no memory is passed.
    let session = unsafe { libc::getsid(0) };
    session == rustix::process::getpid().as_raw_pid()
}

/// kill(2) with the number as it came, real-time signals included.
pub(crate) fn kill(pid: Pid, signal: c_int) -> Result<()> {
    // SAFETY: no memory is passed.
    check(c_long::from(unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) }))?;
    Ok(())
}

/// Ends this process at once: no destructor, no exit handler, no flush.
pub(crate) fn exit_now(status: c_int) -> ! {
    // SAFETY: _exit is always sound.
    unsafe { libc::_exit(status) }
}

/// The signal that is sent when the parent thread ends (prctl PR_SET_PDEATHSIG).
pub(crate) fn die_with_parent(signal: c_int) -> Result<()> {
    let signal = c_ulong::try_from(signal).unwrap_or(0);
    // SAFETY: no memory is passed.
    check(c_long::from(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) }))?;
    Ok(())
}
