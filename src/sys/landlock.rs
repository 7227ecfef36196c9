//! Landlock's three calls.

use core::ffi::{c_int, c_long};
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::sys::{Result, check};

/// The version of Landlock's interface that this kernel has.
pub(crate) fn landlock_abi() -> Result<u32> {
    const VERSION: c_long = 1;
    // SAFETY: with this flag the kernel takes a null pointer and a size of 0.
    let abi = check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0, VERSION) })?;
    Ok(u32::try_from(abi).unwrap_or(0))
}

/// A Landlock ruleset without rules. The arguments: what needs rules of files and
/// of ports, and what is scoped.
pub(crate) fn landlock_ruleset(abi: u32, files: u64, ports: u64, scoped: u64) -> Result<OwnedFd> {
    // `struct landlock_ruleset_attr`, which has grown from ABI to ABI. Older kernels
    // take a longer one only where the rest is 0.
    let attributes = [files, ports, scoped];
    let fields = match abi {
        0..4 => 1,
        4..6 => 2,
        _ => 3,
    };
    // SAFETY: the attributes are at least as long as the size passed, and the
    // kernel only reads them.
    let raw =
        check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), fields * size_of::<u64>(), 0) })?;
    // SAFETY: just opened and owned by nothing else. The kernel sets CLOEXEC.
    Ok(unsafe { OwnedFd::from_raw_fd(c_int::try_from(raw).unwrap_or(-1)) })
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
pub(crate) struct PathBeneath {
    pub(crate) allowed: u64,
    pub(crate) parent: c_int,
}

/// Allows `rights` on what `file` is open on, and on all below.
pub(crate) fn landlock_allow_below(ruleset: BorrowedFd<'_>, file: BorrowedFd<'_>, rights: u64) -> Result<()> {
    const PATH_BENEATH: c_long = 1;
    let rule = PathBeneath { allowed: rights, parent: file.as_raw_fd() };
    let ruleset = c_long::from(ruleset.as_raw_fd());
    // SAFETY: rule is laid out as the kernel wants it for this type, and only read.
    check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, PATH_BENEATH, &raw const rule, 0) })?;
    Ok(())
}

/// Allows `rights` on TCP port `port`.
pub(crate) fn landlock_allow_port(ruleset: BorrowedFd<'_>, port: u16, rights: u64) -> Result<()> {
    const NET_PORT: c_long = 2;
    // `struct landlock_net_port_attr`.
    let rule: [u64; 2] = [rights, u64::from(port)];
    let ruleset = c_long::from(ruleset.as_raw_fd());
    // SAFETY: rule is laid out as the kernel wants it for this type, and only read.
    check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, NET_PORT, rule.as_ptr(), 0) })?;
    Ok(())
}

/// Puts a ruleset on this process and all it makes. no_new_privs must be set.
pub(crate) fn landlock_restrict(ruleset: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, c_long::from(ruleset.as_raw_fd()), 0) })?;
    Ok(())
}
