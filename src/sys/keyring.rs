//! The session keyring.

use core::ffi::{c_char, c_long};
use core::ptr;

use rustix::io::Errno;

use crate::sys::{Result, check};

/// Leaves the caller's session keyring for a new, empty one. Keyrings are in no
/// namespace: without this, keys of the caller's login session pass inside.
pub(crate) fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<c_char>()) })?;
    Ok(())
}

/// Is every call that names a key refused to this process, before its arguments are
/// looked at?
pub(crate) fn keys_are_refused() -> bool {
    [libc::SYS_add_key, libc::SYS_request_key].into_iter().all(|call| {
        // SAFETY: the kernel does not read from null pointers: EFAULT.
        let done = unsafe { libc::syscall(call, ptr::null::<c_char>(), ptr::null::<c_char>(), ptr::null::<c_char>(), 0, 0) };
        matches!(check(done), Err(Errno::PERM | Errno::NOSYS))
    })
}
