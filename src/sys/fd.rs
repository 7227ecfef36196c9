//! Descriptors: those that the caller left open, and closing them.

use core::ffi::{c_int, c_long};
use core::mem::MaybeUninit;
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::fs::ResolveFlags;
use rustix::io::Errno;

use crate::sys::{Result, check};

/// Closes a descriptor whose owner is never dropped.
pub(crate) fn close(fd: BorrowedFd<'_>) {
    // SAFETY: callers say that nobody uses it any more.
    unsafe { libc::close(fd.as_raw_fd()) };
}

/// Closes every descriptor from `first` to `last`, both included.
pub(crate) fn close_range(first: c_int, last: c_int) -> Result<()> {
    // SAFETY: callers do so where nothing in this process uses these
    // descriptors any more: directly before exec, or in process 1 once its
    // setting up is done.
    check(unsafe { libc::syscall(libc::SYS_close_range, c_long::from(first), c_long::from(last), 0) })?;
    Ok(())
}

/// Closes every descriptor from `first` up but those of `keep` and `also`. As
/// `close_range`.
pub(crate) fn close_all_but(first: c_int, keep: &[c_int], also: &[c_int]) -> Result<()> {
    let mut first = first;
    loop {
        let kept = keep.iter().chain(also).copied().filter(|fd| *fd >= first).min();
        match kept {
            None => return close_range(first, c_int::MAX),
            Some(kept) if kept > first => close_range(first, kept - 1)?,
            Some(_) => {}
        }
        first = kept.map_or(c_int::MAX, |fd| fd.saturating_add(1));
    }
}

/// Is descriptor `fd` open?
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD touches nothing, whatever the number.
    let asked = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    !matches!(check(c_long::from(asked)), Err(Errno::BADF))
}

/// Borrows a descriptor that the caller of the program left open.
pub(crate) fn inherited(fd: RawFd) -> Option<BorrowedFd<'static>> {
    if fd < 0 || !is_open(fd) {
        return None;
    }
    // SAFETY: it is open, and an inherited descriptor is owned by nothing in
    // this program, so nothing closes it before exec.
    Some(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Has descriptor `fd`, which the caller of the program left open, be `other`.
pub(crate) fn replace(fd: RawFd, other: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: an inherited descriptor is owned by nothing in this program, which
    // only borrows it while it works with it.
    check(c_long::from(unsafe { libc::dup3(other.as_raw_fd(), fd, libc::O_CLOEXEC) }))?;
    Ok(())
}

/// Is the next byte that this socket has an urgent one?
pub(crate) fn is_urgent(socket: BorrowedFd<'_>) -> bool {
    /// asm-generic/sockios.h.
    const SIOCATMARK: libc::c_ulong = 0x8905;
    let (raw, mut at): (c_int, c_int) = (socket.as_raw_fd(), 0);
    // SAFETY: the kernel writes an int.
    let returned = unsafe { libc::ioctl(raw, SIOCATMARK as _, &raw mut at) };
    returned == 0 && at != 0
}

/// Can `fd` be read now, or is it at its end?
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// Has the kernel send this process SIGCONT when `fd` can be read, or no more.
pub(crate) fn continue_when_readable(fd: BorrowedFd<'_>, on: bool) -> Result<()> {
    let raw = fd.as_raw_fd();
    let fcntl = |command: c_int, value: c_int| {
        // SAFETY: these commands take a number.
        check(c_long::from(unsafe { libc::fcntl(raw, command, value) }))
    };
    let flags = c_int::try_from(fcntl(libc::F_GETFL, 0)?).unwrap_or(0);
    if !on {
        fcntl(libc::F_SETFL, flags & !libc::O_ASYNC)?;
        return Ok(());
    }
    /// linux/fcntl.h; which signal is sent.
    const F_SETSIG: c_int = 10;
    fcntl(libc::F_SETOWN, rustix::process::getpid().as_raw_nonzero().get())?;
    fcntl(F_SETSIG, libc::SIGCONT)?;
    fcntl(libc::F_SETFL, flags | libc::O_ASYNC)?;
    Ok(())
}

/// Has the kernel send this process SIGCONT at `until` (by `now`). By the kernel's own
/// calls: the C library's can start threads, for which it brings a lot along.
pub(crate) fn continue_at(until: u64) -> Result<c_int> {
    // SAFETY: sigevent is plain data, of which all zeros is a value.
    let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = libc::SIGCONT;
    let mut timer: c_int = 0;
    // SAFETY: event is a sigevent, which for a signal is the kernel's; timer has room for one id.
    check(unsafe { libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) })?;
    let time = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec {
            tv_sec: i64::try_from(until / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: c_long::try_from(until % 1_000_000_000).unwrap_or(0),
        },
    };
    // SAFETY: the timer is there, time lives through the call, and null asks for
    // nothing back.
    check(unsafe {
        libc::syscall(libc::SYS_timer_settime, timer, libc::TIMER_ABSTIME, &raw const time, ptr::null_mut::<libc::itimerspec>())
    })?;
    Ok(timer)
}

pub(crate) const RESOLVE: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_MAGICLINKS);
