//! Seccomp filters and their notifications.

use core::ffi::{c_int, c_long, c_ulong};
use core::mem::MaybeUninit;
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::sys::{Result, check};

/// Puts a system-call filter on this process and all it makes. no_new_privs must
/// be set.
pub(crate) fn filter(program: &[seccompiler::sock_filter]) -> Result<()> {
    let program = for_kernel(program)?;
    let program = ptr::from_ref(&program) as c_ulong;
    let mode = c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: program points to a sock_fprog whose filter has the length given,
    // and both live through the call.
    check(c_long::from(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, program, 0, 0) }))?;
    Ok(())
}

pub(crate) fn for_kernel(program: &[seccompiler::sock_filter]) -> Result<libc::sock_fprog> {
    Ok(libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        // The kernel only reads it; seccompiler lays an instruction out as libc does.
        filter: program.as_ptr().cast_mut().cast(),
    })
}

/// The same for a program that asks (SECCOMP_RET_USER_NOTIF): gives the descriptor
/// on which it does. EBUSY where an outer filter has one.
pub(crate) fn filter_told(program: &[seccompiler::sock_filter]) -> Result<OwnedFd> {
    let program = for_kernel(program)?;
    let install = |flags: c_ulong| {
        let mode = c_ulong::from(libc::SECCOMP_SET_MODE_FILTER);
        // SAFETY: program points to a sock_fprog whose filter has the length given,
        // and both live through the call.
        check(unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) })
    };
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // A call about which the launcher knows is interrupted by no signal but a deadly
    // one: then it is not made, and told, twice (Linux 5.19).
    let raw = match install(listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(Errno::INVAL) => install(listener)?,
        done => done?,
    };
    // SAFETY: just opened and owned by nothing else. The kernel sets CLOEXEC.
    Ok(unsafe { OwnedFd::from_raw_fd(c_int::try_from(raw).unwrap_or(-1)) })
}

/// A system call as the kernel shows it to a listener: `struct seccomp_data`.
pub(crate) struct SyscallData {
    /// AUDIT_ARCH_* of the way by which it came into the kernel.
    pub(crate) audit: u32,
    /// Its number there.
    pub(crate) number: u32,
    /// Its arguments.
    pub(crate) arguments: [u64; 6],
}

/// A call that waits for an answer.
pub(crate) struct Waiting {
    pub(crate) id: u64,
    /// The thread that makes it, as it is numbered here.
    pub(crate) thread: u32,
    /// The call.
    pub(crate) data: SyscallData,
}

impl Waiting {
    /// The next one, which poll has said is there. ENOENT where it is no more.
    pub(crate) fn receive(listener: BorrowedFd<'_>) -> Result<Self> {
        // SAFETY: seccomp_notif is numbers alone, of which all zeros is a value.
        let mut told: libc::seccomp_notif = unsafe { MaybeUninit::zeroed().assume_init() };
        let raw = listener.as_raw_fd();
        // SAFETY: told is all zeros, as the kernel asks, and has room for what it writes.
        check(c_long::from(unsafe { libc::ioctl(raw, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut told) }))?;
        let number = u32::from_ne_bytes(told.data.nr.to_ne_bytes());
        let data = SyscallData { audit: told.data.arch, number, arguments: told.data.args };
        Ok(Self { id: told.id, thread: told.pid, data })
    }

    /// Does it still wait? Then what was read of its thread was that thread's.
    pub(crate) fn is_there(&self, listener: BorrowedFd<'_>) -> Result<bool> {
        let raw = listener.as_raw_fd();
        // SAFETY: the kernel reads the id, a u64.
        let returned = unsafe { libc::ioctl(raw, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const self.id) };
        match check(c_long::from(returned)) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Answers it with an error. ENOENT where it waits no more.
    pub(crate) fn refuse(&self, listener: BorrowedFd<'_>, errno: u16) -> Result<()> {
        let mut answer = libc::seccomp_notif_resp { id: self.id, val: 0, error: -i32::from(errno), flags: 0 };
        let raw = listener.as_raw_fd();
        // SAFETY: the kernel reads the answer, a seccomp_notif_resp.
        check(c_long::from(unsafe { libc::ioctl(raw, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) }))?;
        Ok(())
    }
}
