//! The argument strings where the kernel laid them out.

use core::ffi::{CStr, c_char, c_int, c_ulong};
use core::ptr;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Where the argument strings lie as the kernel laid them out.
pub(crate) struct Arguments {
    pub(crate) start: *mut u8,
    pub(crate) length: usize,
    /// The kernel's array of them, which ends in null.
    pub(crate) all: *const *const c_char,
}

impl Arguments {
    /// Those of a C `main`, and copies of the words behind the program's name.
    pub(crate) fn of_main(argc: c_int, argv: *const *const c_char) -> (Self, Vec<OsString>) {
        let mut words = Vec::with_capacity(usize::try_from(argc).unwrap_or(0));
        let mut start: *mut u8 = ptr::null_mut();
        let mut end: *mut u8 = ptr::null_mut();
        for index in 0..usize::try_from(argc).unwrap_or(0) {
            // SAFETY: the kernel gives main `argc` pointers in `argv`.
            let at = unsafe { argv.add(index) };
            // SAFETY: so this is one of them.
            let word = unsafe { at.read() };
            if word.is_null() {
                break;
            }
            // SAFETY: each of them points to a string that ends in NUL.
            let bytes = unsafe { CStr::from_ptr(word) }.to_bytes();
            if start.is_null() {
                start = word.cast_mut().cast::<u8>();
            }
            end = word.cast_mut().cast::<u8>().wrapping_add(bytes.len());
            if index > 0 {
                words.push(OsString::from_vec(bytes.to_vec()));
            }
        }
        let length = (end as usize).saturating_sub(start as usize);
        (Self { start, length, all: argv }, words)
    }

    /// Overwrites this process's copy of the argument strings, which anyone who
    /// sees the process may read as `/proc/PID/cmdline`.
    pub(crate) fn wipe(&self, name: &[u8]) {
        if self.start.is_null() {
            return;
        }
        // SAFETY: start and length span the argument strings, which the kernel
        // laid out one behind the other on this process's own writable stack;
        // nothing else refers to them, the words are copies.
        unsafe { ptr::write_bytes(self.start, 0, self.length) };
        let shown = name.len().min(self.length);
        // SAFETY: as above; `shown` is at most `length`, and `name` is elsewhere.
        unsafe { ptr::copy_nonoverlapping(name.as_ptr(), self.start, shown) };
    }
}

/// The value of `kind` in the auxiliary vector, which the kernel put behind the
/// environment when it executed this program. It takes no system call to read.
pub(crate) fn auxiliary(kind: c_ulong) -> c_ulong {
    // SAFETY: it reads the vector, which stays, and gives 0 for a kind that is not there.
    unsafe { libc::getauxval(kind) }
}

/// True if executing this program gave the process privileges that its caller does not
/// have, or if a security module wants it treated so (AT_SECURE).
pub(crate) fn is_secure() -> bool {
    auxiliary(libc::AT_SECURE) != 0
}

/// The path by which this program was executed, as execve(2) got it.
pub(crate) fn executed_as() -> &'static OsStr {
    let path = ptr::with_exposed_provenance::<c_char>(usize::try_from(auxiliary(libc::AT_EXECFN)).unwrap_or(0));
    if path.is_null() {
        return OsStr::new("jail");
    }
    // SAFETY: the kernel put a string that ends in NUL there, on this process's stack,
    // where it stays.
    OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes())
}
