//! What the system-call policy makes of arguments, compiled by seccompiler: when this
//! program is built, for all that can be asked for is known by then.

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::seccomp::{DONE, EAFNOSUPPORT, EPERM, GO, Treatment, instruction, returns, treatment};
use crate::syscalls::{Arch, CALLS, Limit, PROCESSES, SOCKETS};

/// Each limit that a call can have, by its number: what the table says, with any of the
/// command's powers, and what `--degrade` closes.
pub fn all(arch: Arch) -> Vec<(u32, Limit)> {
    let mut all = Vec::new();
    for call in CALLS {
        let Some(number) = call.number(arch).map(u32::from) else { continue };
        let of_table = (0..32).filter_map(|powers| match treatment(call, powers) {
            Treatment::Limit(limit) => Some(limit),
            Treatment::Allow | Treatment::Refuse(_) | Treatment::Done => None,
        });
        let closed = PROCESSES.iter().chain(&SOCKETS).filter(|(name, _)| *name == call.name).map(|(_, limit)| *limit);
        for limit in of_table.chain(closed) {
            if !all.contains(&(number, limit)) {
                all.push((number, limit));
            }
        }
    }
    all
}

/// What is done about call `number`, whose arguments decide.
///
/// # Errors
/// seccompiler's; the tests see to it that there are none.
pub fn leaf(arch: Arch, number: u32, limit: Limit) -> Result<BpfProgram, BackendError> {
    let errno = |errno: u16| SeccompAction::Errno(errno.into());
    let part = |rules, then, otherwise| part(arch, number, rules, then, otherwise);
    let (allow, eperm, no_family) = (SeccompAction::Allow, errno(EPERM), errno(EAFNOSUPPORT));
    match limit {
        // The kernel looks at the low half alone, and of that the lowest byte is a signal.
        Limit::Clone => part(vec![vec![low(0, Is::MaskedEq(NEW_NAMESPACES), 0)?]], allow, eperm),
        // Named are those that are no namespaces: a later kernel may have more of both.
        Limit::Unshare => part(vec![vec![whole(0, Is::MaskedEq(!UNSHARED), 0)?]], allow, eperm),
        Limit::Personality => {
            let harmless = low(0, Is::MaskedEq(!PERSONALITIES & LOW), 0)?;
            part(vec![vec![harmless], vec![low(0, Is::Eq, LOW)?]], allow, eperm)
        }
        Limit::Unix | Limit::Socketpair => part(vec![vec![low(0, Is::Eq, AF_UNIX)?]], allow, no_family),
        Limit::Socket | Limit::RawSocket | Limit::Internet => {
            let mut kinds = vec![vec![low(0, Is::Eq, AF_NETLINK)?, low(2, Is::Eq, NETLINK_ROUTE)?]];
            if limit != Limit::Internet {
                kinds.push(vec![low(0, Is::Eq, AF_UNIX)?]);
            }
            for (kind, protocols) in [(SOCK_STREAM, &STREAM_PROTOCOLS[..]), (SOCK_DGRAM, &DGRAM_PROTOCOLS[..])] {
                for protocol in protocols {
                    kinds.push(vec![inet()?, low(1, Is::MaskedEq(SOCK_TYPE), kind)?, low(2, Is::Eq, *protocol)?]);
                }
            }
            let raw = vec![inet()?, low(1, Is::MaskedEq(SOCK_TYPE), SOCK_RAW)?];
            if limit == Limit::RawSocket {
                kinds.push(raw);
                return part(kinds, allow, no_family);
            }
            // Refused as by a kernel that misses the capability: ping(8) knows that.
            Ok(then(part(vec![raw], eperm, GO_ON)?, part(kinds, allow, no_family)?))
        }
        // The low half alone counts (CVE-2019-10063 came of comparing 64 bits).
        Limit::Ioctl => {
            let refused = [TIOCSTI, TIOCLINUX, TIOCSETD].map(|request| low(1, Is::Eq, request).map(|is| vec![is]));
            part(refused.into_iter().collect::<Result<_, _>>()?, eperm, allow)
        }
        // A group of the command's own has a number; one from outside has none in here.
        Limit::Priority | Limit::IoPriority => {
            let group = if limit == Limit::Priority { PRIO_PGRP } else { IOPRIO_WHO_PGRP };
            part(vec![vec![low(0, Is::Eq, group)?, low(1, Is::Eq, 0)?]], eperm, allow)
        }
        Limit::Itself => part(vec![vec![low(0, Is::Eq, 0)?]], allow, eperm),
        Limit::OwnPriority | Limit::OwnIoPriority => {
            let process = if limit == Limit::OwnPriority { PRIO_PROCESS } else { IOPRIO_WHO_PROCESS };
            part(vec![vec![low(0, Is::Eq, process)?, low(1, Is::Eq, 0)?]], allow, eperm)
        }
        Limit::Connected => {
            let kind = |kind| Ok(vec![low(0, Is::Eq, AF_UNIX)?, low(1, Is::MaskedEq(SOCK_TYPE), kind)?]);
            part(vec![kind(SOCK_STREAM)?, kind(SOCK_SEQPACKET)?], allow, no_family)
        }
        Limit::Keyctl => {
            let join = vec![low(0, Is::Eq, KEYCTL_JOIN_SESSION_KEYRING)?, whole(1, Is::Eq, 0)?];
            part(vec![join], allow, eperm)
        }
        Limit::Ids { first, count } => {
            let mut all = vec![returns(allow.clone().into())];
            for index in (first..first + count).rev() {
                let real = vec![vec![low(index, Is::Eq, 0)?], vec![low(index, Is::Eq, NO_ID)?]];
                all = then(part(real, GO_ON, errno(DONE))?, all);
            }
            Ok(all)
        }
        Limit::Node { mode } => {
            let device = [S_IFCHR, S_IFBLK].map(|kind| low(mode, Is::MaskedEq(S_IFMT), kind).map(|is| vec![is]));
            part(device.into_iter().collect::<Result<_, _>>()?, errno(DONE), allow)
        }
    }
}

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. (NEWTIME is only
/// to be had of clone3 and unshare.)
const NEW_NAMESPACES: u64 = 0x7e02_0000;
/// CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM: what unshare(2) takes beside.
const UNSHARED: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;
/// PER_LINUX32, UNAME26, ADDR_NO_RANDOMIZE, as uname(1), setarch(8) and gdb(1) use them.
const PERSONALITIES: u64 = 0x8 | 0x2_0000 | 0x4_0000;
const LOW: u64 = 0xffff_ffff;
const AF_UNIX: u64 = 1;
const AF_INET: u64 = 2;
/// AF_INET6 is 10: this bit more.
const INET6_BIT: u64 = 8;
const AF_NETLINK: u64 = 16;
const NETLINK_ROUTE: u64 = 0;
/// Without SOCK_CLOEXEC and SOCK_NONBLOCK.
const SOCK_TYPE: u64 = 0xf;
const SOCK_STREAM: u64 = 1;
const SOCK_DGRAM: u64 = 2;
const SOCK_RAW: u64 = 3;
const SOCK_SEQPACKET: u64 = 5;
/// The usual one, TCP, MPTCP.
const STREAM_PROTOCOLS: [u64; 3] = [0, 6, 262];
/// The usual one, UDP, and echo requests of ICMP and ICMPv6.
const DGRAM_PROTOCOLS: [u64; 4] = [0, 17, 1, 58];
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
const TIOCSETD: u64 = 0x5423;
const KEYCTL_JOIN_SESSION_KEYRING: u64 = 1;
const PRIO_PROCESS: u64 = 0;
const PRIO_PGRP: u64 = 1;
const IOPRIO_WHO_PROCESS: u64 = 1;
const IOPRIO_WHO_PGRP: u64 = 2;
/// (uid_t)-1: leave it as it is.
const NO_ID: u64 = LOW;
const S_IFMT: u64 = 0o170_000;
const S_IFCHR: u64 = 0o020_000;
const S_IFBLK: u64 = 0o060_000;

/// AF_INET or AF_INET6.
fn inet() -> Result<SeccompCondition, BackendError> {
    low(0, Is::MaskedEq(LOW & !INET6_BIT), AF_INET)
}
/// The low half of argument `index`, which is all of an int that the kernel looks at.
fn low(index: u8, is: Is, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, Width::Dword, is, value)
}
fn whole(index: u8, is: Is, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, Width::Qword, is, value)
}

/// seccompiler's program for one call: `then` where all conditions of one of `rules`
/// are met. Without its check of the machine, which has been made.
fn part(
    arch: Arch,
    number: u32,
    rules: Vec<Vec<SeccompCondition>>,
    then: SeccompAction,
    otherwise: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let rules = rules.into_iter().map(SeccompRule::new).collect::<Result<_, _>>()?;
    let arch = match arch {
        Arch::X86_64 => TargetArch::x86_64,
        Arch::Aarch64 => TargetArch::aarch64,
    };
    let filter = SeccompFilter::new([(i64::from(number), rules)].into(), otherwise, then, arch)?;
    let mut program = BpfProgram::try_from(filter)?;
    Ok(program.split_off(3))
}

/// In a part: neither allow nor refuse, but go on with the next. Otherwise unused.
const GO_ON: SeccompAction = SeccompAction::Log;

/// Two parts with an action each, where seccompiler's filters have one.
fn then(mut first: BpfProgram, mut second: BpfProgram) -> BpfProgram {
    let length = first.len();
    for (index, at) in first.iter_mut().enumerate() {
        if *at == returns(GO_ON.into()) {
            *at = instruction(GO, 0, 0, u32::try_from(length - index - 1).unwrap_or(u32::MAX));
        }
    }
    first.append(&mut second);
    first
}
