//! What the system-call policy makes of arguments, compiled by seccompiler: when this
//! program is built, for all that can be asked for is known by then.

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::action::{DONE, EAFNOSUPPORT, EPERM, Treatment};
use super::bpf::{GO, IF_ABOVE, IF_AT_LEAST, IF_EQUAL, RETURN, instruction, returns};
use super::defaults::treatment;
use super::table::{CALLS, Limit, PROCESSES, Powers, SOCKETS};

/// Every combination of powers is below this number.
pub const ALL_POWERS: Powers = 128;

/// Each limit that a call can have: what the table says, with any of the command's
/// powers, and what `--degrade` closes.
pub fn all() -> Vec<Limit> {
    let of_table = CALLS.iter().flat_map(|call| (0..ALL_POWERS).map(|powers| treatment(call, powers)));
    let of_table = of_table.filter_map(|treatment| match treatment {
        Treatment::Limit(limit) => Some(limit),
        Treatment::Allow | Treatment::Refuse(_) | Treatment::Done => None,
    });
    let mut all = Vec::new();
    for limit in of_table.chain(PROCESSES.iter().chain(&SOCKETS).map(|(_, limit)| *limit)) {
        if !all.contains(&limit) {
            all.push(limit);
        }
    }
    all
}

/// What is done about a call whose arguments decide, once it is known which it is.
///
/// # Errors
/// seccompiler's; the tests see to it that there are none.
pub fn leaf(limit: Limit) -> Result<BpfProgram, BackendError> {
    long_leaf(limit).map(|program| shorter(&program))
}

/// The same with the jumps that seccompiler puts between its rules.
///
/// # Errors
/// As `leaf`.
pub fn long_leaf(limit: Limit) -> Result<BpfProgram, BackendError> {
    let errno = |errno: u16| SeccompAction::Errno(errno.into());
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
        Limit::NodeMode { mode } => {
            let refused = vec![vec![low(mode, Is::MaskedEq(S_ISUID), S_ISUID)?], vec![low(mode, Is::MaskedEq(S_IFMT), S_IFCHR)?]];
            part(refused, eperm, allow)
        }
        Limit::NoDevice { mode } => part(vec![vec![low(mode, Is::MaskedEq(S_IFMT), S_IFCHR)?]], eperm, allow),
        Limit::Mode { mode } => part(vec![vec![low(mode, Is::MaskedEq(S_ISUID), 0)?]], allow, eperm),
        Limit::Creation { flags } => {
            let creates_nothing = vec![low(flags, Is::MaskedEq(O_CREAT | O_TMPFILE), 0)?];
            part(vec![creates_nothing, vec![low(flags + 1, Is::MaskedEq(S_ISUID), 0)?]], allow, eperm)
        }
        // EINVAL is what a file system without whiteouts gives: programs know it.
        Limit::Whiteout => part(vec![vec![low(4, Is::MaskedEq(RENAME_WHITEOUT), 0)?]], allow, errno(EINVAL)),
        Limit::SetCore => part(vec![vec![low(0, Is::Eq, RLIMIT_CORE)?]], errno(DONE), allow),
        Limit::PrlimitCore => {
            let harmless = vec![vec![low(1, Is::Ne, RLIMIT_CORE)?], vec![whole(2, Is::Eq, 0)?]];
            Ok(then(part(harmless, allow, GO_ON)?, part(vec![vec![whole(3, Is::Eq, 0)?]], errno(DONE), eperm)?))
        }
        Limit::OwnPrlimit => Ok(then(part(vec![vec![low(0, Is::Eq, 0)?]], GO_ON, eperm)?, long_leaf(Limit::PrlimitCore)?)),
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

// S_ISGID is not in it. Refusing it was tried, and broke git init --shared, mkdir -m 2775,
// cp -r, tar -xp and chmod 755 wherever a directory has the bit: no filter can tell a
// directory from a file. A set-group-ID file gives the one group that it belongs to.
const S_ISUID: u64 = 0o4000;
const O_CREAT: u64 = 0o100;
/// Without O_DIRECTORY, which is part of the C library's O_TMPFILE and differs between
/// machines. The kernel looks at this bit alone when it reads the mode.
const O_TMPFILE: u64 = 0o20_000_000;
const RENAME_WHITEOUT: u64 = 4;
const EINVAL: u16 = 22;
const RLIMIT_CORE: u64 = 4;

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
/// are met. Without its checks of the machine and the number, which have been made.
fn part(rules: Vec<Vec<SeccompCondition>>, then: SeccompAction, otherwise: SeccompAction) -> Result<BpfProgram, BackendError> {
    let rules = rules.into_iter().map(SeccompRule::new).collect::<Result<_, _>>()?;
    let filter = SeccompFilter::new([(0, rules)].into(), otherwise, then, TargetArch::x86_64)?;
    let mut program = BpfProgram::try_from(filter)?;
    Ok(program.split_off(5))
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

/// Returns the same program without jumps that lead to a jump, without repeated answers
/// and without what is never reached; or `program`, where a jump would get too long. The
/// kernel copies, checks and translates each instruction at each launch.
pub fn shorter(program: &[sock_filter]) -> BpfProgram {
    let is_jump = |at: &sock_filter| [IF_EQUAL, IF_ABOVE, IF_AT_LEAST].contains(&at.code);
    let offset = |k: u32| usize::try_from(k).unwrap_or(usize::MAX / 2);
    // Where a jump to `at` ends. Equal answers are one, the last.
    let end = |mut at: usize| {
        while program[at].code == GO {
            at += 1 + offset(program[at].k);
        }
        if program[at].code == RETURN { program.iter().rposition(|other| *other == program[at]).unwrap_or(at) } else { at }
    };
    let next = |at: usize| match &program[at] {
        now if now.code == RETURN => [at, at],
        now if is_jump(now) => [end(at + 1 + usize::from(now.jt)), end(at + 1 + usize::from(now.jf))],
        _ => [end(at + 1); 2],
    };
    let mut reached = vec![end(0)];
    let mut done = 0;
    while let Some(at) = reached.get(done).copied() {
        done += 1;
        for at in next(at) {
            if !reached.contains(&at) {
                reached.push(at);
            }
        }
    }
    // All jumps lead on, so the old order will do.
    reached.sort_unstable();
    let place = |at: usize| reached.iter().position(|other| *other == at).unwrap_or(usize::MAX);
    let mut short = Vec::with_capacity(reached.len());
    for (here, at) in reached.iter().enumerate() {
        let over = |to: usize| u8::try_from(place(to) - here - 1).ok();
        let sock_filter { code, k, .. } = program[*at].clone();
        match (next(*at), is_jump(&program[*at])) {
            ([yes, no], true) => match (over(yes), over(no)) {
                (Some(jt), Some(jf)) => short.push(instruction(code, jt, jf, k)),
                _ => return program.to_vec(),
            },
            // What only goes on must be followed by what it goes on to.
            ([to, _], false) if code != RETURN && over(to) != Some(0) => return program.to_vec(),
            _ => short.push(instruction(code, 0, 0, k)),
        }
    }
    short
}
