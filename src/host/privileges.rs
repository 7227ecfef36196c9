//! Privileges of the executable, which it must not have.

use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgid, getuid};
use rustix::thread::{capabilities, capability_is_in_ambient_set};

use crate::error::{Error, Layer};
use crate::sys;
use crate::util::escape::shown;

/// The error for a process that has privileges which its caller does not have; None if it
/// has none. The ids tell apart where they come from, without a look at the file.
///
/// For a process that the kernel calls secure (AT_SECURE). A security module can say so,
/// too, of an ordinary program: SELinux does where a service changes its domain.
pub fn privileged() -> Option<Error> {
    let itself = shown(sys::executed_as());
    let two = |kind: &str, letter: char| {
        (
            format!("this executable is set-{kind}-ID, or the process that started it has two {kind} ids"),
            format!("chmod {letter}-s {itself}, which needs no privilege, or start it with one {kind} id"),
        )
    };
    let (problem, remedy) = if getuid() != geteuid() {
        two("user", 'u')
    } else if getgid() != getegid() {
        two("group", 'g')
    } else if !getuid().is_root() && capabilities_of_the_file() {
        ("this executable has file capabilities".to_owned(), format!("setcap -r {itself} as root: jail needs no privilege"))
    } else {
        return None;
    };
    Some(Error::usage(None, problem, remedy).met("check its privileges", Layer::Files))
}

/// True if this process has capabilities that its caller did not pass on as ambient ones,
/// or if the kernel does not say. Of a process that is not root, only the file gives such.
pub(crate) fn capabilities_of_the_file() -> bool {
    let Ok(held) = capabilities(None) else { return true };
    held.permitted.iter().any(|one| !capability_is_in_ambient_set(one).unwrap_or(false))
}

/// Adds to an error that the caller may have too few descriptors, if it may have few:
/// what could not be opened for want of one was taken for missing.
pub fn few_descriptors(mut error: Error) -> Error {
    const ENOUGH: u64 = 24;
    let is_told = error.errno == Some(Errno::MFILE.raw_os_error()) || error.layer == Layer::CommandLine;
    if let (false, Ok((limit @ ..ENOUGH, _))) = (is_told, sys::limit_on(libc::RLIMIT_NOFILE)) {
        error.remedy = format!("{}; but first raise ulimit -n, which is {limit}", error.remedy).into();
    }
    error
}
