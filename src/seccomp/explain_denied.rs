//! `--trace-denied` in words: which call the policy refuses, with what error, and
//! which flag would let it. Pure; `trace` listens and tells.

use crate::seccomp::overrides::{self, Change, HERE, Subject, deciding};
use crate::seccomp::policy::action;
use crate::seccomp::policy::action::{ENOSYS, Treatment};
use crate::seccomp::policy::bpf::{self, Made, Program};
use crate::seccomp::policy::defaults;
use crate::seccomp::policy::table::{
    Arch, CALLS, CORE, Call, Limit, NESTED, NET_RAW, Powers, SET_ID, SYS_ADMIN, SYS_BOOT, Verdict,
};
use crate::sys::namespaces::namespaces;

/// The policy that refuses, and the flags that made it what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// It, as the kernel would run it.
    pub program: Program,
    /// What other flags open of it.
    pub powers: Powers,
    /// What is changed by name or group.
    pub changes: Vec<Change>,
}

/// What was refused, and with what error. Alike for calls that are told as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The call, and of its arguments those that matter.
    pub what: String,
    /// The error's number.
    pub errno: u16,
    /// Is it one that libraries try, and do without?
    pub falls_back: bool,
}

impl Refusal {
    /// The error's name.
    pub fn error(&self) -> String {
        overrides::errno_name(self.errno).map_or_else(|| format!("error {}", self.errno), str::to_owned)
    }
}

impl Trace {
    /// What the policy answers, in whose place the launcher does.
    pub fn errno(&self, made: &Made) -> u16 {
        // Who asks has been refused.
        bpf::refusal(&self.program, made).unwrap_or(action::EPERM)
    }

    /// What is told of it.
    pub fn refusal(&self, made: &Made) -> Refusal {
        let call = call(made);
        let errno = self.errno(made);
        let absent =
            call.is_some_and(|call| matches!(call.verdict, Verdict::Absent(..)) && deciding(call, self.changes.iter()).is_none());
        Refusal { what: what(call, self.treatment(call), made), errno, falls_back: absent && errno == ENOSYS }
    }

    /// Of its arguments those that `refusal` tells of: the same for calls that are told
    /// as one.
    pub fn telling(&self, made: &Made) -> [u32; 3] {
        let [first, second, third] = [0, 1, 2].map(|index| int(made.arguments[index]));
        match self.treatment(call(made)) {
            Treatment::Limit(Limit::Clone | Limit::Unshare | Limit::Personality) => [first, 0, 0],
            Treatment::Limit(Limit::Ioctl) => [0, second, 0],
            Treatment::Limit(
                Limit::Socket | Limit::RawSocket | Limit::Internet | Limit::Unix | Limit::Socketpair | Limit::Connected,
            ) => match (first, second & 0xf) {
                (1 | 2 | 10, 3) => [first, 3, 0],
                (1, kind) => [first, kind, 0],
                (2 | 10, kind) => [first, kind, third],
                (16, _) => [first, 0, third],
                _ => [first, 0, 0],
            },
            // Another process, or the core limit.
            Treatment::Limit(Limit::OwnPrlimit) => [u32::from(first == 0), 0, 0],
            Treatment::Limit(
                Limit::Itself
                | Limit::OwnPriority
                | Limit::OwnIoPriority
                | Limit::Mode { .. }
                | Limit::NodeMode { .. }
                | Limit::NoDevice { .. }
                | Limit::Creation { .. }
                | Limit::Whiteout
                | Limit::SetCore
                | Limit::PrlimitCore
                | Limit::Priority
                | Limit::IoPriority
                | Limit::Keyctl
                | Limit::Ids { .. }
                | Limit::Node { .. },
            )
            | Treatment::Allow
            | Treatment::Refuse(_)
            | Treatment::Done => [0; 3],
        }
    }

    fn treatment(&self, call: Option<&Call>) -> Treatment {
        call.map_or(Treatment::Refuse(ENOSYS), |call| self.with(call, self.powers))
    }

    fn with(&self, call: &Call, powers: Powers) -> Treatment {
        deciding(call, self.changes.iter()).map_or_else(|| defaults::treatment(call, powers), |change| change.to)
    }

    /// Which flag would have it done, or at least tried: a call that gets through is
    /// the kernel's to refuse.
    pub fn remedy(&self, made: &Made) -> String {
        let Some(call) = call(made) else { return "no flag but --seccomp none lets it through to the kernel".into() };
        let lets = |treatment| bpf::lets(treatment, made, &overrides::limited);
        let name = call.name();
        if let Some(change) = deciding(call, self.changes.iter()) {
            let flag = change.asked.text();
            let by_default = lets(defaults::treatment(call, self.powers));
            return match (change.subject, by_default) {
                // It closes what a namespace would: by name it is opened all the same.
                _ if flag.starts_with("--degrade") => format!("--allow-syscall {name} {THROUGH}"),
                (Subject::Call(_), true) => format!("leave out {flag} to allow it"),
                (Subject::Call(_), false) => format!("--allow-syscall {name} in place of {flag} {THROUGH}"),
                (Subject::Group(_), true) => format!("--allow-syscall {name} beside {flag} allows it"),
                (Subject::Group(_), false) => format!("--allow-syscall {name} {THROUGH}"),
            };
        }
        let opens = |power: Powers| self.powers & power == 0 && lets(defaults::treatment(call, self.powers | power));
        // Another root or a jail inside would let it, too, but with much else.
        if opens(SET_ID) || matches!(call.verdict, Verdict::Limited(Limit::NodeMode { .. })) {
            return format!("--allow-syscall {name} {THROUGH}");
        }
        match (opens(NESTED), opens(SYS_ADMIN)) {
            (true, _) if makes_user_namespace(call, made) => return "--nested allows it".into(),
            (true, false) => return format!("--nested {IN_A_NAMESPACE}"),
            (true, true) => return format!("--nested {IN_A_NAMESPACE}, --cap sys_admin allows it"),
            (false, true) => return "--cap sys_admin allows it".into(),
            (false, false) => {}
        }
        match [(SYS_BOOT, "--cap sys_boot"), (NET_RAW, "--cap net_raw"), (CORE, "--rlimit core=0")]
            .into_iter()
            .find(|(power, _)| opens(*power))
        {
            Some((_, flag)) => format!("{flag} allows it"),
            None if HOSTS_ROOT.contains(&name) => {
                format!("--allow-syscall {name} {THROUGH}, where only the host's root may do it")
            }
            None => format!("--allow-syscall {name} {THROUGH}"),
        }
    }
}

const THROUGH: &str = "lets it through to the kernel";
const IN_A_NAMESPACE: &str = "lets those do it who have made a user namespace inside";

/// What no capability of a user namespace is enough for (the kernel asks capable(9)).
#[rustfmt::skip]
const HOSTS_ROOT: [&str; 15] = [
    "acct", "clock_settime", "delete_module", "finit_module", "init_module", "ioperm", "iopl", "kexec_file_load", "kexec_load",
    "lookup_dcookie", "open_by_handle_at", "settimeofday", "swapoff", "swapon", "vhangup",
];

/// The call of the table that this is; None for other ways into the kernel and for
/// numbers that it has not.
fn call(made: &Made) -> Option<&'static Call> {
    let of_table = |call: &&Call| call.number(HERE).map(u32::from) == Some(made.number);
    CALLS.iter().filter(|_| made.audit == bpf::audit(HERE)).find(of_table)
}

/// Does it ask for a user namespace, in which it then has every capability? What
/// clone3(2) asks for lies in memory and cannot be seen.
fn makes_user_namespace(call: &Call, made: &Made) -> bool {
    let flags = made.arguments[0] & u64::from(libc::CLONE_NEWUSER.unsigned_abs()) != 0;
    call.name() == "clone3" || ["clone", "unshare"].contains(&call.name()) && flags
}

/// x86-64: the call is of a program with pointers of 32 bits.
const X32: u32 = 0x4000_0000;

fn what(call: Option<&Call>, treatment: Treatment, made: &Made) -> String {
    let Some(call) = call else {
        return match (made.audit == bpf::audit(HERE), HERE) {
            (false, _) => format!("32-bit system call {}", made.number),
            (true, Arch::X86_64) if made.number & X32 != 0 && made.number < 2 * X32 => {
                format!("x32 system call {}", made.number - X32)
            }
            (true, _) => format!("system call {}, which the policy does not know", made.number),
        };
    };
    let [first, second, third] = [0, 1, 2].map(|index| int(made.arguments[index]));
    let argument = match treatment {
        Treatment::Limit(Limit::Clone | Limit::Unshare) => {
            let known = namespaces(i32::from_ne_bytes(first.to_ne_bytes()));
            if known.is_empty() { format!("{first:#x}") } else { format!("{known} namespace") }
        }
        Treatment::Limit(Limit::Personality) => format!("{first:#x}"),
        Treatment::Limit(Limit::Ioctl) => named(second, &[(0x5412, "TIOCSTI"), (0x541c, "TIOCLINUX"), (0x5423, "TIOCSETD")]),
        Treatment::Limit(Limit::Connected) if first == 1 => format!("AF_UNIX, type {}", second & 0xf),
        Treatment::Limit(
            Limit::Socket | Limit::RawSocket | Limit::Internet | Limit::Unix | Limit::Socketpair | Limit::Connected,
        ) => socket(first, second, third),
        Treatment::Limit(Limit::OwnPrlimit) if first == 0 => "RLIMIT_CORE".into(),
        Treatment::Limit(Limit::SetCore | Limit::PrlimitCore) => "RLIMIT_CORE".into(),
        Treatment::Limit(Limit::Itself | Limit::OwnPrlimit | Limit::OwnPriority | Limit::OwnIoPriority) => {
            "of another process".into()
        }
        Treatment::Limit(Limit::NodeMode { mode } | Limit::NoDevice { mode })
            if made.arguments.get(usize::from(mode)).is_some_and(|mode| int(*mode) & 0o170_000 == 0o020_000) =>
        {
            "S_IFCHR".into()
        }
        Treatment::Limit(Limit::NodeMode { .. } | Limit::NoDevice { .. } | Limit::Mode { .. } | Limit::Creation { .. }) => {
            "set-user-ID".into()
        }
        Treatment::Limit(Limit::Whiteout) => "RENAME_WHITEOUT".into(),
        Treatment::Limit(Limit::Priority | Limit::IoPriority) => "of process group 0".into(),
        Treatment::Limit(Limit::Keyctl | Limit::Ids { .. } | Limit::Node { .. })
        | Treatment::Allow
        | Treatment::Refuse(_)
        | Treatment::Done => return call.name().into(),
    };
    format!("{}({argument})", call.name())
}

/// The half of an argument that the kernel takes for an int.
fn int(argument: u64) -> u32 {
    let [a, b, c, d, ..] = argument.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// What is refused of sockets: the family, and of the usual ones what is not usual.
fn socket(family: u32, kind: u32, protocol: u32) -> String {
    let shown = named(family, FAMILIES);
    match (family, kind & 0xf) {
        (2 | 10, 3) => format!("{shown}, SOCK_RAW"),
        (2 | 10, _) => format!("{shown}, type {}, protocol {protocol}", kind & 0xf),
        (16, _) => format!("{shown}, {}", named(protocol, NETLINKS)),
        _ => shown,
    }
}

/// AF_*, those that are met.
#[rustfmt::skip]
const FAMILIES: &[(u32, &str)] = &[
    (1, "AF_UNIX"), (2, "AF_INET"), (10, "AF_INET6"), (15, "AF_KEY"), (16, "AF_NETLINK"), (17, "AF_PACKET"), (21, "AF_RDS"),
    (29, "AF_CAN"), (30, "AF_TIPC"), (31, "AF_BLUETOOTH"), (38, "AF_ALG"), (40, "AF_VSOCK"), (43, "AF_SMC"), (44, "AF_XDP"),
];

/// NETLINK_*, those that are met.
#[rustfmt::skip]
const NETLINKS: &[(u32, &str)] = &[
    (4, "NETLINK_SOCK_DIAG"), (6, "NETLINK_XFRM"), (9, "NETLINK_AUDIT"), (12, "NETLINK_NETFILTER"),
    (15, "NETLINK_KOBJECT_UEVENT"), (16, "NETLINK_GENERIC"), (20, "NETLINK_RDMA"), (21, "NETLINK_CRYPTO"),
];

fn named(number: u32, names: &[(u32, &str)]) -> String {
    names.iter().find(|(known, _)| *known == number).map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Asked;
    use crate::seccomp::policy::table::find;

    fn change(allow: bool, text: &str) -> Change {
        let flag = if allow { "allow-syscall" } else { "deny-syscall" };
        let (subject, to) = overrides::denied(text).unwrap();
        Change { subject, to: if allow { Treatment::Allow } else { to }, asked: Asked::new(flag, &[text.into()]) }
    }
    fn trace(powers: Powers, changes: Vec<Change>) -> Trace {
        Trace { program: overrides::filter(powers, &changes).unwrap().program, powers, changes }
    }
    fn made(name: &str, arguments: &[u64]) -> Made {
        let mut six = [0; 6];
        six[..arguments.len()].copy_from_slice(arguments);
        Made { audit: bpf::audit(HERE), number: find(name).unwrap().number(HERE).unwrap().into(), arguments: six }
    }
    fn said(trace: &Trace, made: &Made) -> String {
        let refusal = trace.refusal(made);
        format!("{} ({}): {}", refusal.what, refusal.error(), trace.remedy(made))
    }

    #[test]
    fn each_refusal_is_named_with_its_remedy() {
        let default = trace(0, Vec::new());
        let user = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
        for (name, arguments, expected) in [
            ("mount", &[][..], "mount (EPERM): --nested lets those do it who have made a user namespace inside, --cap sys_admin"),
            ("setns", &[], "setns (EPERM): --nested lets those do it who have made a user namespace inside"),
            ("unshare", &[user | 0x2_0000], "unshare(user mount namespace) (EPERM): --nested allows it"),
            ("clone", &[0x2_0000], "clone(mount namespace) (EPERM): --nested lets those do it"),
            ("clone3", &[], "clone3 (ENOSYS): --nested allows it"),
            ("keyctl", &[], "keyctl (EPERM): --allow-syscall keyctl lets it through to the kernel"),
            ("init_module", &[], "init_module (EPERM): --allow-syscall init_module lets it through to the kernel, where only"),
            ("reboot", &[], "reboot (EPERM): --cap sys_boot allows it"),
            ("socket", &[38, 5], "socket(AF_ALG) (EAFNOSUPPORT): --allow-syscall socket lets it through to the kernel"),
            ("socket", &[10, 0x8_0003, 1], "socket(AF_INET6, SOCK_RAW) (EPERM): --cap net_raw allows it"),
            ("socket", &[2, 1, 132], "socket(AF_INET, type 1, protocol 132) (EAFNOSUPPORT): --allow-syscall socket"),
            ("socket", &[16, 3, 9], "socket(AF_NETLINK, NETLINK_AUDIT) (EAFNOSUPPORT)"),
            ("ioctl", &[0, 0x1_0000_5412], "ioctl(TIOCSTI) (EPERM): --allow-syscall ioctl"),
            ("personality", &[0x40_0000], "personality(0x400000) (EPERM)"),
            ("memfd_secret", &[], "memfd_secret (ENOSYS): --allow-syscall memfd_secret"),
            ("fchmod", &[1, 0o104_755], "fchmod(set-user-ID) (EPERM): --allow-syscall fchmod lets it through to the kernel"),
            ("openat", &[0, 0, 0o101, 0o6755], "openat(set-user-ID) (EPERM): --allow-syscall openat lets it through"),
            ("mknod", &[0, 0o104_755], "mknod(set-user-ID) (EPERM): --allow-syscall mknod lets it through"),
            ("mknodat", &[0, 0, 0o020_644], "mknodat(S_IFCHR) (EPERM): --allow-syscall mknodat lets it through"),
            ("openat2", &[], "openat2 (ENOSYS): --allow-syscall openat2 lets it through to the kernel"),
            ("renameat2", &[0, 0, 0, 0, 4], "renameat2(RENAME_WHITEOUT) (EINVAL): --allow-syscall renameat2 lets it through"),
            ("prlimit64", &[0, 4, 1, 1], "prlimit64(RLIMIT_CORE) (EPERM): --rlimit core=0 allows it"),
        ] {
            let said = said(&default, &made(name, arguments));
            assert!(said.starts_with(expected), "{said}");
        }
        assert!(default.refusal(&made("clone3", &[])).falls_back);
        assert!(default.refusal(&made("openat2", &[])).falls_back);
        assert!(!default.refusal(&made("mount", &[])).falls_back);
    }

    #[test]
    fn what_the_flags_do_is_named() {
        let cases = [
            (trace(NESTED, vec![change(false, "mount")]), "mount", "leave out --deny-syscall mount to allow it"),
            (trace(0, vec![change(false, "mount:ENOSYS")]), "mount", "in place of --deny-syscall mount:ENOSYS lets it through"),
            (
                trace(0, vec![change(false, "@ipc:ENOSPC")]),
                "shmget",
                "--allow-syscall shmget beside --deny-syscall @ipc:ENOSPC allows",
            ),
            (trace(0, vec![change(false, "@swap:ENOSYS")]), "swapon", "--allow-syscall swapon lets it through"),
            (trace(NESTED, Vec::new()), "bpf", "--allow-syscall bpf lets it through"),
        ];
        for (trace, name, expected) in cases {
            let said = said(&trace, &made(name, &[]));
            assert!(said.contains(expected), "{said}");
            assert!(!trace.refusal(&made(name, &[])).falls_back);
        }
    }

    #[test]
    fn other_ways_into_the_kernel_are_named_as_such() {
        let trace = trace(0, Vec::new());
        let none = "--seccomp none";
        for (audit, number, expected) in [
            (0x4000_0003, 20, "32-bit system call 20"),
            (bpf::audit(HERE), 999, "system call 999, which the policy does not know"),
            (bpf::audit(HERE), 0xffff_fffe, "system call 4294967294, which"),
        ] {
            let said = said(&trace, &Made { audit, number, arguments: [0; 6] });
            assert!(said.starts_with(expected) && said.contains("(ENOSYS)") && said.contains(none), "{said}");
        }
        let x32 = said(&trace, &Made { audit: 0xc000_003e, number: 0x4000_0027, arguments: [0; 6] });
        assert!(x32.starts_with("x32 system call 39") || HERE != Arch::X86_64, "{x32}");
    }

    #[test]
    fn every_remedy_lets_the_call_through() {
        // With the flag that is named the policy makes the call, whatever the call.
        let none = trace(0, Vec::new());
        for call in CALLS.iter().filter(|call| call.number(HERE).is_some()) {
            let core = [0, 4, 1, 1, 0, 0];
            for arguments in [[0; 6], [u64::MAX; 6], [2, 3, 1, 0, 0, 0], [0x1000_0000, 0x5412, 0, 0, 0, 0], [0o4100; 6], core] {
                let made = made(call.name(), &arguments);
                if bpf::refusal(&none.program, &made).is_none() {
                    continue;
                }
                let remedy = none.remedy(&made);
                let mut with = Vec::new();
                for (flag, power) in [
                    ("--nested", NESTED),
                    ("--cap sys_admin", SYS_ADMIN),
                    ("--cap sys_boot", SYS_BOOT),
                    ("--cap net_raw", NET_RAW),
                    ("--rlimit core=0", CORE),
                ] {
                    if remedy.contains(flag) {
                        with.push(trace(power, Vec::new()));
                    }
                }
                if remedy.contains(&format!("--allow-syscall {} ", call.name())) {
                    with.push(trace(0, vec![change(true, call.name())]));
                }
                assert!(!with.is_empty(), "{}: {remedy}", call.name());
                for other in with {
                    assert_eq!(bpf::refusal(&other.program, &made), None, "{}: {remedy}", call.name());
                }
            }
        }
    }
}
