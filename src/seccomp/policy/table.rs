//! Every system call of Linux 7.2 on x86-64 and arm64, and what the default policy
//! makes of it: one table, read by the program and, when that is built, by build.rs.
//!
//! Its groups are systemd's (`systemd-analyze syscall-filter`, 262). A call that
//! systemd has in none is in the one where it belongs.

/// What the default policy makes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is allowed.
    In,
    /// It is refused, EPERM, unless the command has one of these powers.
    Out(Powers),
    /// It is answered as by a kernel without it, ENOSYS, unless the command has one
    /// of these powers.
    Absent(Powers),
    /// Its arguments decide.
    Limited(Limit),
}

/// Flags of the command line that open a part of the policy, as bits.
pub type Powers = u8;
/// `--nested`.
pub const NESTED: Powers = 1;
/// `--cap sys_admin`.
pub const SYS_ADMIN: Powers = 2;
/// `--cap sys_boot`.
pub const SYS_BOOT: Powers = 4;
/// `--cap net_raw`.
pub const NET_RAW: Powers = 8;
/// `--fakeroot`, which opens nothing: see `fakeroot`.
pub const FAKEROOT: Powers = 16;
/// `--as-root`, `--subids`, `--fakeroot`: a package or an image may hold set-user-ID files.
pub const SET_ID: Powers = 32;
/// `--rlimit core=...`: the command may change its core limit.
pub const CORE: Powers = 64;

/// A check of arguments, each written in `seccomp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// clone(2) without namespaces.
    Clone,
    /// unshare(2) without namespaces.
    Unshare,
    /// Harmless personalities.
    Personality,
    /// The families and protocols of socket(2).
    Socket,
    /// The same, and raw ones of IPv4 and IPv6.
    RawSocket,
    /// The same without Unix sockets, which lead to what files of the host's offer.
    Internet,
    /// Unix sockets alone.
    Unix,
    /// Those of socketpair(2).
    Socketpair,
    /// ioctl(2) but what commands a terminal.
    Ioctl,
    /// A new session keyring, for a jail inside.
    Keyctl,
    /// setpriority(2), but of a whole group that has no name inside.
    Priority,
    /// ioprio_set(2), the same.
    IoPriority,
    /// Ids in `count` arguments from `first` on: the call is made if each is 0 or says
    /// "none", and otherwise answered as done.
    Ids { first: u8, count: u8 },
    /// A device node, by the mode in this argument, is answered as done.
    Node { mode: u8 },
    /// What names a process first: the calling one, by 0.
    Itself,
    /// setpriority(2) of the calling process.
    OwnPriority,
    /// ioprio_set(2), the same.
    OwnIoPriority,
    /// Those of socketpair(2) that reach each other alone: one for datagrams sends to
    /// any address.
    Connected,
    /// No set-user-ID bit in the mode, which is this argument.
    Mode { mode: u8 },
    /// No set-user-ID bit in the mode of mknod(2), and no character device. The kernel lets every user make the
    /// device 0:0, a whiteout, and not every kernel's Landlock refuses that.
    NodeMode { mode: u8 },
    /// Any mode for mknod(2), but no character device.
    NoDevice { mode: u8 },
    /// No set-user-ID bit in the mode of open(2), which follows the flags in this argument. The kernel
    /// reads the mode only if the flags create a file.
    Creation { flags: u8 },
    /// renameat2(2) without RENAME_WHITEOUT, which leaves a character device 0:0 behind.
    Whiteout,
    /// setrlimit(2): reports success for RLIMIT_CORE, and changes nothing.
    SetCore,
    /// prlimit64(2), the same. Refuses a call that also asks for the old limit, because
    /// no filter can write the answer.
    PrlimitCore,
    /// The same, of the calling process alone.
    OwnPrlimit,
}

/// What changes another process by its number, as far as Landlock does not see it.
pub const PROCESSES: [(&str, Limit); 7] = [
    ("ioprio_set", Limit::OwnIoPriority),
    ("prlimit64", Limit::OwnPrlimit),
    ("sched_setaffinity", Limit::Itself),
    ("sched_setattr", Limit::Itself),
    ("sched_setparam", Limit::Itself),
    ("sched_setscheduler", Limit::Itself),
    ("setpriority", Limit::OwnPriority),
];

/// What else `--degrade` can make of sockets.
pub const SOCKETS: [(&str, Limit); 3] = [("socket", Limit::Internet), ("socket", Limit::Unix), ("socketpair", Limit::Connected)];

/// One system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Where its name begins in `NAMES`, and its length. An address would take more room
    /// than all the rest, and be written into the table at each start.
    name: (u16, u8),
    x86_64: u16,
    aarch64: u16,
    /// The groups it is in: bit N for number N of `GROUPS`.
    groups: u32,
    /// What the default policy makes of it.
    pub verdict: Verdict,
}

/// A machine whose calls are in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// x86-64.
    X86_64,
    /// arm64.
    Aarch64,
}

impl Call {
    /// Its name.
    pub fn name(&self) -> &'static str {
        let (start, length) = (usize::from(self.name.0), usize::from(self.name.1));
        &NAMES[start..start + length]
    }

    /// Its number there; None where there is no such call.
    pub fn number(&self, arch: Arch) -> Option<u16> {
        let number = match arch {
            Arch::X86_64 => self.x86_64,
            Arch::Aarch64 => self.aarch64,
        };
        (number != NO).then_some(number)
    }

    /// Is it in the group of this name (without `@`), or in one that this includes?
    pub fn is_in(&self, group: &str) -> bool {
        let Some(own) = groups().position(|name| name == group) else { return false };
        let included = INCLUDES.iter().find(|(name, _)| *name == group).map_or(0, |(_, included)| *included);
        self.groups & (1 << own | included) != 0
    }
}

/// The call of this name.
pub fn find(name: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.name() == name)
}

/// The names of all groups, without `@`.
pub fn groups() -> impl Iterator<Item = &'static str> {
    GROUPS.split(' ')
}

const GROUPS: &str = "aio basic-io chown clock cpu-emulation debug default file-system io-event ipc keyring \
     memlock module mount network-io obsolete pkey privileged process raw-io reboot resources \
     sandbox setuid signal swap sync system-service timer";

/// Groups that include others.
const INCLUDES: [(&str, u32); 3] = [
    ("default", in_groups("sandbox")),
    ("privileged", in_groups("chown clock module raw-io reboot swap")),
    (
        "system-service",
        in_groups(
            "aio basic-io chown default sandbox file-system io-event ipc keyring memlock network-io process resources setuid signal sync timer",
        ),
    ),
];

/// The groups of these names, spaces between, as bits. Whoever builds the program with
/// a name that no group has is told.
const fn in_groups(names: &str) -> u32 {
    let names = names.as_bytes();
    let (mut set, mut start, mut end) = (0, 0, 0);
    while start < names.len() {
        while end < names.len() && names[end] != b' ' {
            end += 1;
        }
        set |= 1 << number_of(names, start, end);
        end += 1;
        start = end;
    }
    set
}

/// Which group has the name that lies in `names` from `start` to `end`.
const fn number_of(names: &[u8], start: usize, end: usize) -> usize {
    let groups = GROUPS.as_bytes();
    let (mut group, mut at) = (0, 0);
    while at < groups.len() {
        let mut same = 0;
        while start + same < end && at + same < groups.len() && groups[at + same] == names[start + same] {
            same += 1;
        }
        at += same;
        if start + same == end && (at == groups.len() || groups[at] == b' ') {
            return group;
        }
        while at < groups.len() && groups[at] != b' ' {
            at += 1;
        }
        (group, at) = (group + 1, at + 1);
    }
    panic!("no group has this name")
}

/// No such call on that machine.
const NO: u16 = u16::MAX;

const IN: Verdict = Verdict::In;

// Why a call is not allowed stands in the table for its reader, and not in the program.
const fn out(why: &str) -> Verdict {
    out_but(0, why)
}
const fn out_but(powers: Powers, why: &str) -> Verdict {
    assert!(why.len() > 5);
    Verdict::Out(powers)
}
const fn absent(why: &str) -> Verdict {
    absent_but(0, why)
}
const fn absent_but(powers: Powers, why: &str) -> Verdict {
    assert!(why.len() > 5);
    Verdict::Absent(powers)
}
const fn limited(limit: Limit, why: &str) -> Verdict {
    assert!(why.len() > 5);
    Verdict::Limited(limit)
}
// A command with a set-user-ID file gives its caller's rights to every user of the
// machine who executes that file: through a writable directory, or through the file that
// is its standard output.
const SET_UID: &str = "no set-user-ID file";
const NODE: &str = "no set-user-ID file, and no whiteout but by an overlay file system in user space, which needs --nested";
// The kernel starts a core_pattern program outside as root if the limit is 0, but not if
// it is 1 (core(5)). So the command must not lower 1 to 0. GnuPG and ssh-agent lower it,
// and end if they are refused.
const CORE_DUMPS: &str = "the limit stays 1, with which the kernel starts no core_pattern program";

const fn row(name: &'static str, x86_64: u16, aarch64: u16, groups: &str, verdict: Verdict) -> (&'static str, Call) {
    (name, Call { name: (0, 0), x86_64, aarch64, groups: in_groups(groups), verdict })
}

/// Every call.
pub static CALLS: [Call; ROWS.len()] = {
    let mut calls = [ROWS[0].1; ROWS.len()];
    let (mut index, mut start) = (0, 0);
    while index < calls.len() {
        let length = ROWS[index].0.len();
        calls[index] = Call { name: (start as u16, length as u8), ..ROWS[index].1 };
        (index, start) = (index + 1, start + length);
    }
    calls
};

/// Their names, one behind the other.
static NAMES: &str = match core::str::from_utf8(&LETTERS) {
    Ok(names) => names,
    Err(_) => panic!("a name has odd letters"),
};
const LETTERS: [u8; letters()] = {
    let mut all = [0; letters()];
    let (mut index, mut at) = (0, 0);
    while index < ROWS.len() {
        let name = ROWS[index].0.as_bytes();
        let mut letter = 0;
        while letter < name.len() {
            all[at] = name[letter];
            (letter, at) = (letter + 1, at + 1);
        }
        index += 1;
    }
    all
};
const fn letters() -> usize {
    let (mut index, mut sum) = (0, 0);
    while index < ROWS.len() {
        sum += ROWS[index].0.len();
        index += 1;
    }
    assert!(sum <= u16::MAX as usize);
    sum
}

/// Every call: its name, its numbers on x86-64 and arm64, its groups, the verdict.
#[rustfmt::skip]
const ROWS: &[(&str, Call)] = &[
    // @default
    row("arch_prctl", 158, NO, "default", IN),
    row("brk", 12, 214, "default", IN),
    row("clock_getres", 229, 114, "default", IN),
    row("clock_gettime", 228, 113, "default", IN),
    row("clock_nanosleep", 230, 115, "default", IN),
    row("execve", 59, 221, "default", IN),
    row("exit", 60, 93, "default", IN),
    row("exit_group", 231, 94, "default", IN),
    row("futex", 202, 98, "default", IN),
    row("futex_requeue", 456, 456, "default", IN),
    row("futex_wait", 455, 455, "default", IN),
    row("futex_waitv", 449, 449, "default", IN),
    row("futex_wake", 454, 454, "default", IN),
    row("get_robust_list", 274, 100, "default", IN),
    row("get_thread_area", 211, NO, "default", absent("no 64-bit kernel ever had it")),
    row("getegid", 108, 177, "default", IN),
    row("geteuid", 107, 175, "default", IN),
    row("getgid", 104, 176, "default", IN),
    row("getgroups", 115, 158, "default", IN),
    row("getpgid", 121, 155, "default", IN),
    row("getpgrp", 111, NO, "default", IN),
    row("getpid", 39, 172, "default", IN),
    row("getppid", 110, 173, "default", IN),
    row("getrandom", 318, 278, "default", IN),
    row("getresgid", 120, 150, "default", IN),
    row("getresuid", 118, 148, "default", IN),
    row("getrlimit", 97, 163, "default", IN),
    row("getsid", 124, 156, "default", IN),
    row("gettid", 186, 178, "default", IN),
    row("gettimeofday", 96, 169, "default", IN),
    row("getuid", 102, 174, "default", IN),
    row("lsm_get_self_attr", 459, 459, "default", IN),
    row("lsm_list_modules", 461, 461, "default", IN),
    row("map_shadow_stack", 453, 453, "default", IN),
    row("membarrier", 324, 283, "default", IN),
    row("mmap", 9, 222, "default", IN),
    row("mprotect", 10, 226, "default", IN),
    row("mseal", 462, 462, "default", IN),
    row("munmap", 11, 215, "default", IN),
    row("nanosleep", 35, 101, "default", IN),
    row("pause", 34, NO, "default", IN),
    row("prlimit64", 302, 261, "default", limited(Limit::PrlimitCore, CORE_DUMPS)),
    row("restart_syscall", 219, 128, "default", IN),
    row("rseq", 334, 293, "default", IN),
    row("rseq_slice_yield", 471, 471, "default", IN),
    row("rt_sigreturn", 15, 139, "default", IN),
    row("sched_getaffinity", 204, 123, "default", IN),
    row("sched_yield", 24, 124, "default system-service", IN),
    row("set_robust_list", 273, 99, "default", IN),
    row("set_thread_area", 205, NO, "default", absent("no 64-bit kernel ever had it")),
    row("set_tid_address", 218, 96, "default", IN),
    row("time", 201, NO, "default", IN),
    row("uprobe", 336, NO, "default", IN),
    row("uretprobe", 335, NO, "default", IN),

    // @basic-io
    row("close", 3, 57, "basic-io file-system", IN),
    row("close_range", 436, 436, "basic-io", IN),
    row("dup", 32, 23, "basic-io", IN),
    row("dup2", 33, NO, "basic-io", IN),
    row("dup3", 292, 24, "basic-io", IN),
    row("lseek", 8, 62, "basic-io", IN),
    row("pread64", 17, 67, "basic-io", IN),
    row("preadv", 295, 69, "basic-io", IN),
    row("preadv2", 327, 286, "basic-io", IN),
    row("pwrite64", 18, 68, "basic-io", IN),
    row("pwritev", 296, 70, "basic-io", IN),
    row("pwritev2", 328, 287, "basic-io", IN),
    row("read", 0, 63, "basic-io", IN),
    row("readv", 19, 65, "basic-io", IN),
    row("write", 1, 64, "basic-io", IN),
    row("writev", 20, 66, "basic-io", IN),

    // @file-system
    row("access", 21, NO, "file-system", IN),
    row("chdir", 80, 49, "file-system", IN),
    row("chmod", 90, NO, "file-system", limited(Limit::Mode { mode: 1 }, SET_UID)),
    row("creat", 85, NO, "file-system", limited(Limit::Mode { mode: 1 }, SET_UID)),
    row("faccessat", 269, 48, "file-system", IN),
    row("faccessat2", 439, 439, "file-system", IN),
    row("fallocate", 285, 47, "file-system", IN),
    row("fchdir", 81, 50, "file-system", IN),
    row("fchmod", 91, 52, "file-system", limited(Limit::Mode { mode: 1 }, SET_UID)),
    row("fchmodat", 268, 53, "file-system", limited(Limit::Mode { mode: 2 }, SET_UID)),
    row("fchmodat2", 452, 452, "file-system", limited(Limit::Mode { mode: 2 }, SET_UID)),
    row("fcntl", 72, 25, "file-system", IN),
    row("fgetxattr", 193, 10, "file-system", IN),
    row("file_getattr", 468, 468, "file-system", IN),
    row("file_setattr", 469, 469, "file-system", IN),
    row("flistxattr", 196, 13, "file-system", IN),
    row("fremovexattr", 199, 16, "file-system", IN),
    row("fsetxattr", 190, 7, "file-system", IN),
    row("fstat", 5, 80, "file-system", IN),
    row("fstatfs", 138, 44, "file-system", IN),
    row("ftruncate", 77, 46, "file-system", IN),
    row("futimesat", 261, NO, "file-system", IN),
    row("getcwd", 79, 17, "file-system", IN),
    row("getdents", 78, NO, "file-system", IN),
    row("getdents64", 217, 61, "file-system", IN),
    row("getxattr", 191, 8, "file-system", IN),
    row("getxattrat", 464, 464, "file-system", IN),
    row("inotify_add_watch", 254, 27, "file-system", IN),
    row("inotify_init", 253, NO, "file-system", IN),
    row("inotify_init1", 294, 26, "file-system", IN),
    row("inotify_rm_watch", 255, 28, "file-system", IN),
    row("lgetxattr", 192, 9, "file-system", IN),
    row("link", 86, NO, "file-system", IN),
    row("linkat", 265, 37, "file-system", IN),
    row("listmount", 458, 458, "file-system", IN),
    row("listxattr", 194, 11, "file-system", IN),
    row("listxattrat", 465, 465, "file-system", IN),
    row("llistxattr", 195, 12, "file-system", IN),
    row("lremovexattr", 198, 15, "file-system", IN),
    row("lsetxattr", 189, 6, "file-system", IN),
    row("lstat", 6, NO, "file-system", IN),
    row("mkdir", 83, NO, "file-system", limited(Limit::Mode { mode: 1 }, SET_UID)),
    row("mkdirat", 258, 34, "file-system", limited(Limit::Mode { mode: 2 }, SET_UID)),
    row("mknod", 133, NO, "file-system", limited(Limit::NodeMode { mode: 1 }, NODE)),
    row("mknodat", 259, 33, "file-system", limited(Limit::NodeMode { mode: 2 }, NODE)),
    row("newfstatat", 262, 79, "file-system", IN),
    row("open", 2, NO, "file-system", limited(Limit::Creation { flags: 1 }, SET_UID)),
    row("open_tree", 428, 428, "file-system", out_but(NESTED | SYS_ADMIN, "mounts are the launcher's")),
    row("openat", 257, 56, "file-system", limited(Limit::Creation { flags: 2 }, SET_UID)),
    row("openat2", 437, 437, "file-system", absent_but(NESTED | SET_ID, "its mode cannot be seen; libraries then use openat")),
    row("readlink", 89, NO, "file-system", IN),
    row("readlinkat", 267, 78, "file-system", IN),
    row("removexattr", 197, 14, "file-system", IN),
    row("removexattrat", 466, 466, "file-system", IN),
    row("rename", 82, NO, "file-system", IN),
    row("renameat", 264, 38, "file-system", IN),
    row("renameat2", 316, 276, "file-system", limited(Limit::Whiteout, "a whiteout is a device node; nothing but an overlay file system in user space makes one, and it then uses mknod")),
    row("rmdir", 84, NO, "file-system", IN),
    row("setxattr", 188, 5, "file-system", IN),
    row("setxattrat", 463, 463, "file-system", IN),
    row("stat", 4, NO, "file-system", IN),
    row("statfs", 137, 43, "file-system", IN),
    row("statmount", 457, 457, "file-system", IN),
    row("statx", 332, 291, "file-system", IN),
    row("symlink", 88, NO, "file-system", IN),
    row("symlinkat", 266, 36, "file-system", IN),
    row("truncate", 76, 45, "file-system", IN),
    row("unlink", 87, NO, "file-system", IN),
    row("unlinkat", 263, 35, "file-system", IN),
    row("utime", 132, NO, "file-system", IN),
    row("utimensat", 280, 88, "file-system", IN),
    row("utimes", 235, NO, "file-system", IN),

    // @io-event
    row("epoll_create", 213, NO, "io-event", IN),
    row("epoll_create1", 291, 20, "io-event", IN),
    row("epoll_ctl", 233, 21, "io-event", IN),
    row("epoll_ctl_old", 214, NO, "io-event", absent("no 64-bit kernel ever had it")),
    row("epoll_pwait", 281, 22, "io-event", IN),
    row("epoll_pwait2", 441, 441, "io-event", IN),
    row("epoll_wait", 232, NO, "io-event", IN),
    row("epoll_wait_old", 215, NO, "io-event", absent("no 64-bit kernel ever had it")),
    row("eventfd", 284, NO, "io-event", IN),
    row("eventfd2", 290, 19, "io-event", IN),
    row("poll", 7, NO, "io-event", IN),
    row("ppoll", 271, 73, "io-event", IN),
    row("pselect6", 270, 72, "io-event", IN),
    row("select", 23, NO, "io-event", IN),

    // @network-io
    row("accept", 43, 202, "network-io", IN),
    row("accept4", 288, 242, "network-io", IN),
    row("bind", 49, 200, "network-io", IN),
    row("connect", 42, 203, "network-io", IN),
    row("getpeername", 52, 205, "network-io", IN),
    row("getsockname", 51, 204, "network-io", IN),
    row("getsockopt", 55, 209, "network-io", IN),
    row("listen", 50, 201, "network-io", IN),
    row("recvfrom", 45, 207, "network-io", IN),
    row("recvmmsg", 299, 243, "network-io", IN),
    row("recvmsg", 47, 212, "network-io", IN),
    row("sendmmsg", 307, 269, "network-io", IN),
    row("sendmsg", 46, 211, "network-io", IN),
    row("sendto", 44, 206, "network-io", IN),
    row("setsockopt", 54, 208, "network-io", IN),
    row("shutdown", 48, 210, "network-io", IN),
    row("socket", 41, 198, "network-io", limited(Limit::Socket, "unix, IPv4 and IPv6 (TCP, UDP, ICMP echo), route netlink; no module is loaded for another")),
    row("socketpair", 53, 199, "network-io", limited(Limit::Socketpair, "unix; as socket")),

    // @process
    row("capget", 125, 90, "process system-service", IN),
    row("clone", 56, 220, "process", limited(Limit::Clone, "no new namespaces")),
    row("clone3", 435, 435, "process", absent_but(NESTED, "its flags cannot be seen; libraries then use clone")),
    row("execveat", 322, 281, "process", IN),
    row("fork", 57, NO, "process", IN),
    row("getrusage", 98, 165, "process", IN),
    row("kill", 62, 129, "process", IN),
    row("listns", 470, 470, "process", absent("lists namespaces; nothing needs it yet")),
    row("pidfd_open", 434, 434, "process", IN),
    row("pidfd_send_signal", 424, 424, "process", IN),
    row("prctl", 157, 167, "process", IN),
    row("process_mrelease", 448, 448, "process", IN),
    row("rt_sigqueueinfo", 129, 138, "process", IN),
    row("rt_tgsigqueueinfo", 297, 240, "process", IN),
    row("setns", 308, 268, "process", out_but(NESTED, "enters other namespaces")),
    row("tgkill", 234, 131, "process", IN),
    row("times", 100, 153, "process timer", IN),
    row("tkill", 200, 130, "process", IN),
    row("unshare", 272, 97, "process", limited(Limit::Unshare, "no new namespaces")),
    row("vfork", 58, NO, "process", IN),
    row("wait4", 61, 260, "process", IN),
    row("waitid", 247, 95, "process", IN),

    // @signal
    row("rt_sigaction", 13, 134, "signal", IN),
    row("rt_sigpending", 127, 136, "signal", IN),
    row("rt_sigprocmask", 14, 135, "signal", IN),
    row("rt_sigsuspend", 130, 133, "signal", IN),
    row("rt_sigtimedwait", 128, 137, "signal", IN),
    row("sigaltstack", 131, 132, "signal", IN),
    row("signalfd", 282, NO, "signal", IN),
    row("signalfd4", 289, 74, "signal", IN),

    // @ipc
    row("memfd_create", 319, 279, "ipc", IN),
    row("memfd_secret", 447, 447, "ipc", absent("memory that nobody outside can look into")),
    row("mq_getsetattr", 245, 185, "ipc", IN),
    row("mq_notify", 244, 184, "ipc", IN),
    row("mq_open", 240, 180, "ipc", IN),
    row("mq_timedreceive", 243, 183, "ipc", IN),
    row("mq_timedsend", 242, 182, "ipc", IN),
    row("mq_unlink", 241, 181, "ipc", IN),
    row("msgctl", 71, 187, "ipc", IN),
    row("msgget", 68, 186, "ipc", IN),
    row("msgrcv", 70, 188, "ipc", IN),
    row("msgsnd", 69, 189, "ipc", IN),
    row("pipe", 22, NO, "ipc", IN),
    row("pipe2", 293, 59, "ipc", IN),
    row("process_madvise", 440, 440, "ipc", IN),
    row("process_vm_readv", 310, 270, "ipc", IN),
    row("process_vm_writev", 311, 271, "ipc", IN),
    row("semctl", 66, 191, "ipc", IN),
    row("semget", 64, 190, "ipc", IN),
    row("semop", 65, 193, "ipc", IN),
    row("semtimedop", 220, 192, "ipc", IN),
    row("shmat", 30, 196, "ipc", IN),
    row("shmctl", 31, 195, "ipc", IN),
    row("shmdt", 67, 197, "ipc", IN),
    row("shmget", 29, 194, "ipc", IN),

    // @timer
    row("alarm", 37, NO, "timer", IN),
    row("getitimer", 36, 102, "timer", IN),
    row("setitimer", 38, 103, "timer", IN),
    row("timer_create", 222, 107, "timer", IN),
    row("timer_delete", 226, 111, "timer", IN),
    row("timer_getoverrun", 225, 109, "timer", IN),
    row("timer_gettime", 224, 108, "timer", IN),
    row("timer_settime", 223, 110, "timer", IN),
    row("timerfd_create", 283, 85, "timer", IN),
    row("timerfd_gettime", 287, 87, "timer", IN),
    row("timerfd_settime", 286, 86, "timer", IN),

    // @sync
    row("fdatasync", 75, 83, "sync", IN),
    row("fsync", 74, 82, "sync", IN),
    row("msync", 26, 227, "sync", IN),
    row("sync", 162, 81, "sync", IN),
    row("sync_file_range", 277, 84, "sync", IN),
    row("syncfs", 306, 267, "sync", IN),

    // @aio
    row("io_cancel", 210, 3, "aio", IN),
    row("io_destroy", 207, 1, "aio", IN),
    row("io_getevents", 208, 4, "aio", IN),
    row("io_pgetevents", 333, 292, "aio", IN),
    row("io_setup", 206, 0, "aio", IN),
    row("io_submit", 209, 2, "aio", IN),
    row("io_uring_enter", 426, 426, "aio", out("its work is done where no filter sees it; most kernel holes of late years")),
    row("io_uring_register", 427, 427, "aio", out("its work is done where no filter sees it; most kernel holes of late years")),
    row("io_uring_setup", 425, 425, "aio", out("its work is done where no filter sees it; most kernel holes of late years")),

    // @memlock
    row("mlock", 149, 228, "memlock", IN),
    row("mlock2", 325, 284, "memlock", IN),
    row("mlockall", 151, 230, "memlock", IN),
    row("munlock", 150, 229, "memlock", IN),
    row("munlockall", 152, 231, "memlock", IN),

    // @pkey
    row("pkey_alloc", 330, 289, "pkey", IN),
    row("pkey_free", 331, 290, "pkey", IN),
    row("pkey_mprotect", 329, 288, "pkey", IN),

    // @resources
    row("ioprio_set", 251, 30, "resources", limited(Limit::IoPriority, "process group 0 can be the caller's, which is not the command's to slow down")),
    row("mbind", 237, 235, "resources", IN),
    row("migrate_pages", 256, 238, "resources", IN),
    row("move_pages", 279, 239, "resources", IN),
    row("sched_setaffinity", 203, 122, "resources", IN),
    row("sched_setattr", 314, 274, "resources", IN),
    row("sched_setparam", 142, 118, "resources", IN),
    row("sched_setscheduler", 144, 119, "resources", IN),
    row("set_mempolicy", 238, 237, "resources", IN),
    row("set_mempolicy_home_node", 450, 450, "resources", IN),
    row("setpriority", 141, 140, "resources", limited(Limit::Priority, "process group 0 can be the caller's, which is not the command's to slow down")),
    row("setrlimit", 160, 164, "resources", limited(Limit::SetCore, CORE_DUMPS)),

    // @setuid
    row("setgid", 106, 144, "setuid", IN),
    row("setgroups", 116, 159, "setuid privileged", IN),
    row("setregid", 114, 143, "setuid", IN),
    row("setresgid", 119, 149, "setuid", IN),
    row("setresuid", 117, 147, "setuid privileged", IN),
    row("setreuid", 113, 145, "setuid privileged", IN),
    row("setuid", 105, 146, "setuid privileged", IN),

    // @chown
    row("chown", 92, NO, "chown", IN),
    row("fchown", 93, 55, "chown", IN),
    row("fchownat", 260, 54, "chown", IN),
    row("lchown", 94, NO, "chown", IN),

    // @sandbox
    row("landlock_add_rule", 445, 445, "sandbox", IN),
    row("landlock_create_ruleset", 444, 444, "sandbox", IN),
    row("landlock_restrict_self", 446, 446, "sandbox", IN),
    row("lsm_set_self_attr", 460, 460, "sandbox", IN),
    row("seccomp", 317, 277, "sandbox", IN),

    // @system-service
    row("cachestat", 451, 451, "system-service", IN),
    row("capset", 126, 91, "system-service privileged", IN),
    row("copy_file_range", 326, 285, "system-service", IN),
    row("fadvise64", 221, 223, "system-service", IN),
    row("flock", 73, 32, "system-service", IN),
    row("get_mempolicy", 239, 236, "system-service", IN),
    row("getcpu", 309, 168, "system-service", IN),
    row("getpriority", 140, 141, "system-service", IN),
    row("ioctl", 16, 29, "system-service", limited(Limit::Ioctl, "no typing into terminals (TIOCSTI, TIOCLINUX), no line discipline (TIOCSETD)")),
    row("ioprio_get", 252, 31, "system-service", IN),
    row("kcmp", 312, 272, "system-service", IN),
    row("madvise", 28, 233, "system-service", IN),
    row("mincore", 27, 232, "system-service", IN),
    row("mremap", 25, 216, "system-service", IN),
    row("name_to_handle_at", 303, 264, "system-service", out("handles reach files past the view")),
    row("personality", 135, 92, "system-service", limited(Limit::Personality, "no executable or low memory by surprise")),
    row("readahead", 187, 213, "system-service", IN),
    row("remap_file_pages", 216, 234, "system-service", IN),
    row("sched_get_priority_max", 146, 125, "system-service", IN),
    row("sched_get_priority_min", 147, 126, "system-service", IN),
    row("sched_getattr", 315, 275, "system-service", IN),
    row("sched_getparam", 143, 121, "system-service", IN),
    row("sched_getscheduler", 145, 120, "system-service", IN),
    row("sched_rr_get_interval", 148, 127, "system-service", IN),
    row("sendfile", 40, 71, "system-service", IN),
    row("setfsgid", 123, 152, "system-service", IN),
    row("setfsuid", 122, 151, "system-service privileged", IN),
    row("setpgid", 109, 154, "system-service", IN),
    row("setsid", 112, 157, "system-service", IN),
    row("splice", 275, 76, "system-service", IN),
    row("sysinfo", 99, 179, "system-service", IN),
    row("tee", 276, 77, "system-service", IN),
    row("umask", 95, 166, "system-service", IN),
    row("uname", 63, 160, "system-service", IN),
    row("userfaultfd", 323, 282, "system-service", out("holds the kernel up at a page fault, which exploits need")),
    row("vmsplice", 278, 75, "system-service", IN),

    // @debug
    row("lookup_dcookie", 212, 18, "debug", out("of profilers, gone since Linux 6.7")),
    row("perf_event_open", 298, 241, "debug", out("reads the processor's counters; a large surface")),
    row("pidfd_getfd", 438, 438, "debug", IN),
    row("ptrace", 101, 117, "debug", IN),

    // @cpu-emulation
    row("modify_ldt", 154, NO, "cpu-emulation", out("16-bit segments, long a source of kernel holes")),

    // @keyring
    row("add_key", 248, 217, "keyring", out("keyrings are in no namespace")),
    row("keyctl", 250, 219, "keyring", limited(Limit::Keyctl, "keyrings are in no namespace; a jail inside may join a new one")),
    row("request_key", 249, 218, "keyring", out("keyrings are in no namespace")),

    // @clock
    row("adjtimex", 159, 171, "clock", out("the machine's clock; what it asks cannot be told from what it sets")),
    row("clock_adjtime", 305, 266, "clock", out("the machine's clock; what it asks cannot be told from what it sets")),
    row("clock_settime", 227, 112, "clock", out("the machine's clock")),
    row("settimeofday", 164, 170, "clock", out("the machine's clock")),

    // @module
    row("delete_module", 176, 106, "module", out("kernel modules")),
    row("finit_module", 313, 273, "module", out("kernel modules")),
    row("init_module", 175, 105, "module", out("kernel modules")),

    // @mount
    row("chroot", 161, 51, "mount privileged", IN),
    row("fsconfig", 431, 431, "mount", out_but(NESTED | SYS_ADMIN, "mounts are the launcher's")),
    row("fsmount", 432, 432, "mount", out_but(NESTED | SYS_ADMIN, "mounts are the launcher's")),
    row("fsopen", 430, 430, "mount", out_but(NESTED | SYS_ADMIN, "mounts are the launcher's")),
    row("fspick", 433, 433, "mount", out_but(NESTED | SYS_ADMIN, "mounts are the launcher's")),
    row("mount", 165, 40, "mount", out_but(NESTED | SYS_ADMIN, "mounts are the launcher's")),
    row("mount_setattr", 442, 442, "mount", out_but(NESTED | SYS_ADMIN, "mounts are the launcher's")),
    row("move_mount", 429, 429, "mount", out_but(NESTED | SYS_ADMIN, "mounts are the launcher's")),
    row("open_tree_attr", 467, 467, "mount", out_but(NESTED | SYS_ADMIN, "mounts are the launcher's")),
    row("pivot_root", 155, 41, "mount privileged", out_but(NESTED | SYS_ADMIN, "mounts are the launcher's")),
    row("umount2", 166, 39, "mount", out_but(NESTED | SYS_ADMIN, "mounts are the launcher's")),

    // @raw-io
    row("ioperm", 173, NO, "raw-io", out("input and output ports")),
    row("iopl", 172, NO, "raw-io", out("input and output ports")),

    // @reboot
    row("kexec_file_load", 320, 294, "reboot", out("starts another kernel")),
    row("kexec_load", 246, 104, "reboot", out("starts another kernel")),
    row("reboot", 169, 142, "reboot", out_but(SYS_BOOT, "ends the machine; in the jail process 1")),

    // @swap
    row("swapoff", 168, 225, "swap", out("swap of the machine")),
    row("swapon", 167, 224, "swap", out("swap of the machine")),

    // @privileged
    row("_sysctl", 156, NO, "privileged obsolete", absent("no kernel has it any more")),
    row("acct", 163, 89, "privileged", out("process accounting of the machine")),
    row("bpf", 321, 280, "privileged", out("loads programs into the kernel")),
    row("fanotify_init", 300, 262, "privileged", out("watches whole file systems; inotify does for files")),
    row("fanotify_mark", 301, 263, "privileged", out("watches whole file systems; inotify does for files")),
    row("nfsservctl", 180, 42, "privileged", absent("no kernel has it any more")),
    row("open_by_handle_at", 304, 265, "privileged", out("handles reach files past the view")),
    row("quotactl", 179, 60, "privileged", out("disk quotas of the machine")),
    row("quotactl_fd", 443, 443, "privileged", out("disk quotas of the machine")),
    row("setdomainname", 171, 162, "privileged", out_but(NESTED | SYS_ADMIN, "names are the launcher's")),
    row("sethostname", 170, 161, "privileged", out_but(NESTED | SYS_ADMIN, "names are the launcher's")),
    row("syslog", 103, 116, "privileged", out("the kernel's log, which holds addresses")),
    row("vhangup", 153, 58, "privileged", out("hangs up the terminal")),

    // @obsolete
    row("afs_syscall", 183, NO, "obsolete", absent("no 64-bit kernel ever had it")),
    row("create_module", 174, NO, "obsolete", absent("no kernel has it any more")),
    row("get_kernel_syms", 177, NO, "obsolete", absent("no kernel has it any more")),
    row("getpmsg", 181, NO, "obsolete", absent("no 64-bit kernel ever had it")),
    row("putpmsg", 182, NO, "obsolete", absent("no 64-bit kernel ever had it")),
    row("query_module", 178, NO, "obsolete", absent("no kernel has it any more")),
    row("security", 185, NO, "obsolete", absent("no 64-bit kernel ever had it")),
    row("sysfs", 139, NO, "obsolete", out("obsolete: /proc/filesystems and statfs(2) say it")),
    row("tuxcall", 184, NO, "obsolete", absent("no 64-bit kernel ever had it")),
    row("uselib", 134, NO, "obsolete", out("loads libraries of before 1995")),
    row("ustat", 136, NO, "obsolete", out("obsolete: /proc/filesystems and statfs(2) say it")),
    row("vserver", 236, NO, "obsolete", absent("no 64-bit kernel ever had it")),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and numbers as the headers of the newest kernel have them: each
    /// `#define __NR_` of asm/unistd_64.h in Debian's linux-libc-dev 7.2.13.
    const HEADERS: [(Arch, &str); 2] = [
        (Arch::X86_64, include_str!("../../../tests/headers/x86_64")),
        (Arch::Aarch64, include_str!("../../../tests/headers/aarch64")),
    ];

    #[test]
    fn every_call_of_the_headers_is_classified_and_no_other() {
        for (arch, headers) in HEADERS {
            let mut count = 0;
            for line in headers.lines() {
                let (name, number) = line.split_once(' ').unwrap();
                let call = find(name).unwrap_or_else(|| panic!("{name} ({arch:?} {number}) is not in the table"));
                assert_eq!(call.number(arch), Some(number.parse().unwrap()), "{name} {arch:?}");
                count += 1;
            }
            assert_eq!(CALLS.iter().filter(|call| call.number(arch).is_some()).count(), count, "{arch:?}");
        }
    }

    #[test]
    fn every_call_of_this_machines_headers_is_classified() {
        for (arch, dir) in [(Arch::X86_64, "x86_64"), (Arch::Aarch64, "aarch64")] {
            let path = format!("/usr/include/{dir}-linux-gnu/asm/unistd_64.h");
            let headers = std::fs::read_to_string(path).unwrap_or_default();
            for line in headers.lines().filter_map(|line| line.strip_prefix("#define __NR_")) {
                let (name, number) = line.split_once(' ').unwrap();
                let call = find(name).unwrap_or_else(|| panic!("{name} {number} is not in the table"));
                assert_eq!(call.number(arch), number.trim().parse().ok(), "{name}");
            }
        }
    }

    #[test]
    fn no_call_stands_twice_and_each_is_in_a_group() {
        for (index, call) in CALLS.iter().enumerate() {
            assert!(CALLS[..index].iter().all(|other| other.name() != call.name()), "{}", call.name());
            assert_ne!(call.groups, 0, "{}", call.name());
        }
        for group in groups() {
            assert!(CALLS.iter().any(|call| call.is_in(group)), "{group}");
        }
        assert!(INCLUDES.iter().all(|(group, _)| groups().any(|known| known == *group)));
    }
}
