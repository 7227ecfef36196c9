//! execve(2), and what it is given.

use core::ffi::{CStr, c_char, c_long};
use core::ptr;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use crate::sys::{Arguments, check};

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// This process's variables. What has no equals sign behind its first byte is none.
pub(crate) fn environment() -> Vec<(OsString, OsString)> {
    let mut all = Vec::new();
    // SAFETY: nothing in this program changes it.
    let mut next = unsafe { environ };
    loop {
        // SAFETY: the array ends in null, which is not gone past.
        let variable = unsafe { *next };
        if variable.is_null() {
            return all;
        }
        // SAFETY: each string ends in NUL, and stays.
        let variable = unsafe { CStr::from_ptr(variable) }.to_bytes();
        if let Some(before) = variable.iter().skip(1).position(|b| *b == b'=') {
            let (name, value) = variable.split_at(before + 1);
            let word = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
            all.push((word(name), word(&value[1..])));
        }
        next = next.wrapping_add(1);
    }
}

/// execve(2) with this process's own arguments and environment. Returns only when it
/// failed. The arguments must not have been wiped before.
pub(crate) fn execve_with_same_arguments(path: &CStr, arguments: &Arguments) -> Errno {
    // SAFETY: nothing in this program changes it.
    let environment = unsafe { environ };
    // SAFETY: the kernel gave main both arrays, which end in null, and their strings end
    // in NUL.
    let returned = unsafe { libc::execve(path.as_ptr(), arguments.all, environment) };
    check(c_long::from(returned)).err().unwrap_or(Errno::IO)
}

/// execve(2). Returns only when it failed.
///
/// `argv` and `envp` must end in a null pointer; `Words::new` makes them so.
pub(crate) fn execve(path: &CStr, argv: &Words, envp: &Words) -> Errno {
    // SAFETY: the arrays end in null and their pointers come from strings that
    // end in NUL and live as long as the arrays (see Words).
    let returned = unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    match check(c_long::from(returned)) {
        Err(errno) => errno,
        Ok(_) => Errno::IO,
    }
}

/// Strings as execve wants them: an array of pointers that ends in null.
pub(crate) struct Words {
    pub(crate) pointers: Vec<*const c_char>,
    pub(crate) _strings: Vec<std::ffi::CString>,
}

impl Words {
    /// Lays `strings` out for execve.
    pub(crate) fn new(strings: Vec<std::ffi::CString>) -> Self {
        // A CString's bytes are on the heap: moving the CString leaves them.
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _strings: strings }
    }
}
