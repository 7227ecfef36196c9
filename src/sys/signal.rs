//! Signals: sets, signalfd(2), waiting, and signals with a message.

use core::ffi::{c_int, c_long};
use core::mem::MaybeUninit;
use core::ptr;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

use crate::sys::{Result, check, continue_at, continue_when_readable, is_readable, kill};

/// A set of signals as the kernel has it, a bit for each. A C library's sets leave
/// out the signals that the library keeps for itself, and musl keeps glibc's
/// SIGRTMIN, which is then neither caught nor passed on.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(u64);

impl SignalSet {
    /// The set of `signals`.
    pub(crate) fn of(signals: &[c_int]) -> Self {
        Self(signals.iter().fold(0, |set, &signal| set | Self::bit(signal)))
    }

    /// Every signal.
    pub(crate) fn all() -> Self {
        Self(u64::MAX)
    }

    /// The signals that have come to this process and are blocked.
    pub(crate) fn pending() -> Result<Self> {
        let mut set = Self(0);
        // SAFETY: the kernel writes as many bytes as it is told there are.
        check(unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set.0, size_of::<u64>()) })?;
        Ok(set)
    }

    /// Is `signal` in it?
    pub(crate) fn has(&self, signal: c_int) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    /// Takes `signal` out.
    pub(crate) fn remove(&mut self, signal: c_int) {
        self.0 &= !Self::bit(signal);
    }

    /// Nothing for a number that no signal has.
    pub(crate) fn bit(signal: c_int) -> u64 {
        u32::try_from(signal - 1).ok().and_then(|bit| 1_u64.checked_shl(bit)).unwrap_or(0)
    }

    /// A stop signal of a terminal's that has come, and that stops this process as soon
    /// as no more than `blocked` are.
    pub(crate) fn stops_without(blocked: &Self) -> Option<c_int> {
        let come = Self::pending().ok()?;
        [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].into_iter().find(|signal| {
            if !come.has(*signal) || blocked.has(*signal) {
                return false;
            }
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: null asks for no change, and action has room for one.
            unsafe { libc::sigaction(*signal, ptr::null(), action.as_mut_ptr()) };
            // SAFETY: all zeros is one, should the call fail, and has the default action.
            let action = unsafe { action.assume_init() };
            action.sa_sigaction == libc::SIG_DFL
        })
    }

    /// Blocks this set, too, and gives those blocked before.
    pub(crate) fn block(&self) -> Result<Self> {
        self.change(libc::SIG_BLOCK)
    }

    /// Makes this set the blocked signals, and gives those blocked before.
    pub(crate) fn set_blocked(&self) -> Result<Self> {
        self.change(libc::SIG_SETMASK)
    }

    pub(crate) fn change(&self, how: c_int) -> Result<Self> {
        let mut old = Self(0);
        let how = c_long::from(how);
        // SAFETY: both sets live through the call and are as long as it is told.
        check(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const self.0, &raw mut old.0, size_of::<u64>()) })?;
        Ok(old)
    }

    /// Waits for one of this set, which must be blocked, at most `limit`
    /// nanoseconds: EAGAIN then. EINTR is possible.
    pub(crate) fn wait(&self, limit: Option<u64>) -> Result<Caught> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: i64::try_from(limit / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: c_long::try_from(limit % 1_000_000_000).unwrap_or(0),
        });
        let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the set is as long as the call is told, info has room for one
        // siginfo, and limit is null or points to a timespec that lives through it.
        let signal = check(unsafe {
            libc::syscall(libc::SYS_rt_sigtimedwait, &raw const self.0, info.as_mut_ptr(), limit, size_of::<u64>())
        })?;
        // SAFETY: zeroed before and written by the kernel since.
        let info = unsafe { info.assume_init() };
        // SAFETY: for every signal that a process sends the kernel fills si_pid;
        // for others the field holds other plain bytes, read but not relied on.
        let sender = unsafe { info.si_pid() };
        // SAFETY: as si_pid; it is relied on with SI_QUEUE alone.
        let value = unsafe { info.si_value() };
        Ok(Caught {
            signal: c_int::try_from(signal).unwrap_or(0),
            code: info.si_code,
            sender,
            // The kernel's union holds an int; its bits are the pointer's low ones.
            value: value.sival_ptr as usize as c_int,
        })
    }
}

/// A signal that was waited for.
pub(crate) struct Caught {
    /// Its number.
    pub(crate) signal: c_int,
    /// si_code: 0 and less for what a process sent, more for what the kernel did.
    pub(crate) code: c_int,
    /// si_pid as this pid namespace numbers it; 0 when it cannot.
    pub(crate) sender: c_int,
    /// The message of a signal that was queued with one.
    pub(crate) value: c_int,
}

/// Blocked signals as a descriptor, which poll can wait for together with others.
pub(crate) struct SignalFd(OwnedFd);

impl SignalFd {
    /// For the signals of `set`, which must be blocked.
    pub(crate) fn new(set: &SignalSet) -> Result<Self> {
        let flags = c_long::from(libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        // SAFETY: the set is as long as the call is told; -1 asks for a new descriptor.
        let raw = check(unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const set.0, size_of::<u64>(), flags) })?;
        // SAFETY: just opened and owned by nothing else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(c_int::try_from(raw).unwrap_or(-1)) }))
    }

    /// The next signal; None while there is none.
    pub(crate) fn read(&self) -> Result<Option<Caught>> {
        let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut bytes) {
            Ok(read) if read == bytes.len() => {}
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        // SAFETY: signalfd_siginfo is numbers alone, of which any bytes are a
        // value, and as long as `bytes`.
        let info: libc::signalfd_siginfo = unsafe { core::mem::transmute(bytes) };
        Ok(Some(Caught {
            signal: c_int::try_from(info.ssi_signo).unwrap_or(0),
            code: info.ssi_code,
            sender: c_int::try_from(info.ssi_pid).unwrap_or(0),
            value: info.ssi_int,
        }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends `signal` with the message `value`. EAGAIN where the receiver's user has
/// as many signals queued as RLIMIT_SIGPENDING allows.
pub(crate) fn queue(pid: Pid, signal: c_int, value: c_int) -> Result<()> {
    let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(usize::try_from(value).unwrap_or(0)) };
    // SAFETY: the message is a number; nobody takes it for a pointer.
    check(c_long::from(unsafe { libc::sigqueue(pid.as_raw_nonzero().get(), signal, value) }))?;
    Ok(())
}

/// Stops this process as `signal` stops one that does not handle it, and comes
/// back when it is continued; at `until` (by `now`) at the latest, and once `report`
/// can be read. Where the kernel stops nobody by it (in an orphaned process group),
/// comes back at once.
pub(crate) fn stop_as(signal: c_int, until: Option<u64>, report: Option<BorrowedFd<'_>>) {
    // Who stands still keeps no time and reads nothing. SIGCONT is what wakes it: from
    // a timer, and from the kernel when there is something to read.
    let timer = until.map(continue_at);
    if matches!(timer, Some(Err(_))) || report.is_some_and(|report| continue_when_readable(report, true).is_err()) {
        return;
    }
    // SAFETY: the default action is no function of this program.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    let own = SignalSet::of(&[signal]);
    let told = report.is_some_and(is_readable);
    if !told && kill(rustix::process::getpid(), signal).is_ok() {
        if let Ok(blocked) = own.change(libc::SIG_UNBLOCK) {
            let _ = blocked.set_blocked();
        }
    }
    if let Some(report) = report {
        let _ = continue_when_readable(report, false);
    }
    if let Some(Ok(timer)) = timer {
        // SAFETY: the timer is there, and nobody uses it any more.
        unsafe { libc::syscall(libc::SYS_timer_delete, timer) };
    }
}

/// Whether SIGCHLD is ignored, as it may be inherited, and so children vanish
/// unwaited for; sets it to its default or to ignored.
pub(crate) fn ignore_sigchld(ignore: bool) -> bool {
    let action = if ignore { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither of the two is a function of this program.
    let old = unsafe { libc::signal(libc::SIGCHLD, action) };
    old == libc::SIG_IGN
}
