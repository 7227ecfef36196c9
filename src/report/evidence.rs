//! What the machine shows of the cause of a refusal.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::process::{DumpableBehavior, dumpable_behavior};

use crate::util::fs;

/// What is read to tell causes apart.
#[derive(Clone, Debug, Default)]
pub struct Signs {
    /// Sysctls below /proc/sys/user that are 0.
    pub zero_limits: Vec<&'static str>,
    /// kernel.unprivileged_userns_clone is 0 (Debian's and Arch's patch).
    pub userns_clone_off: bool,
    /// kernel.apparmor_restrict_unprivileged_userns is 1 (Ubuntu 23.10).
    pub apparmor_restricts: bool,
    /// The packages' profile, which excepts /usr/bin/jail from that, is on this machine.
    pub apparmor_profile: bool,
    /// vm.memfd_noexec is 2 (Linux 6.3).
    pub memfd_noexec: bool,
    /// A seccomp filter is on this process.
    pub filtered: bool,
    /// Something is mounted over a part of /proc.
    pub proc_masked: bool,
    /// /proc could be read at all.
    pub proc: bool,
    /// This process's root is no mount: it was chrooted.
    pub chrooted: bool,
    /// What is mounted where, and of which kind.
    pub mounts: Vec<(PathBuf, String)>,
    /// The caller is root.
    pub root: bool,
    /// The caller may not read this program's file: the kernel then gives what is in
    /// /proc/self to root.
    pub unreadable: bool,
}

pub(crate) const LIMITS: [&str; 7] = [
    "max_user_namespaces",
    "max_mnt_namespaces",
    "max_pid_namespaces",
    "max_net_namespaces",
    "max_ipc_namespaces",
    "max_uts_namespaces",
    "max_cgroup_namespaces",
];

impl Signs {
    /// Reads them.
    pub fn read() -> Self {
        let file = |path: &str| fs::text(path);
        let is = |path: &str, value: &str| file(path).trim_ascii() == value;
        let mounts = file("/proc/self/mountinfo");
        let points = || mounts.lines().filter_map(|line| line.split(' ').nth(4));
        Self {
            zero_limits: LIMITS.into_iter().filter(|name| is(&format!("/proc/sys/user/{name}"), "0")).collect(),
            userns_clone_off: is("/proc/sys/kernel/unprivileged_userns_clone", "0"),
            apparmor_restricts: is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
            apparmor_profile: rustix::fs::stat("/etc/apparmor.d/jail").is_ok(),
            memfd_noexec: is("/proc/sys/vm/memfd_noexec", "2"),
            filtered: file("/proc/self/status").lines().any(|line| line == "Seccomp:\t2"),
            proc_masked: points().any(|point| point.starts_with("/proc/")),
            proc: !mounts.is_empty(),
            mounts: mounts.lines().filter_map(mount).collect(),
            root: rustix::process::geteuid().is_root(),
            // Reset by execve(2), which alone sets another value before there is a jail.
            unreadable: !matches!(dumpable_behavior(), Ok(DumpableBehavior::Dumpable)),
            chrooted: !mounts.is_empty() && !points().any(|point| point == "/"),
        }
    }
}

/// The mount point and the file system's kind in a line of mountinfo, in which some
/// bytes are octal numbers.
pub(crate) fn mount(line: &str) -> Option<(PathBuf, String)> {
    let (_, escaped, kind) = fs::mounted(line)?;
    let mut rest = escaped.as_bytes();
    let mut point = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| core::str::from_utf8(digits).ok());
        let octal = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        point.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    Some((PathBuf::from(OsString::from_vec(point)), kind.to_owned()))
}
