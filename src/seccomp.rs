//! The system-call policy as a program for the kernel. Pure; build.rs includes it,
//! too, and compiles the default policy when the program is built.
//!
//! The kernel runs the program once for each number when it is installed, to learn
//! which calls it need not run it for, and later for the calls that are not simply
//! allowed. So the numbers are cut into runs that are treated alike, the run is found
//! by halving, and what to do there is compiled by seccompiler. Installed so it takes
//! 59 µs; a comparison with each of the 68 refused calls in turn, without any limits
//! of arguments, took 178.

use std::borrow::Cow;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::fakeroot;
use crate::syscalls::{Arch, CALLS, Call, FAKEROOT, Limit, NESTED, NET_RAW, Powers, Verdict};

/// Instructions as the kernel takes them.
pub type Program = Cow<'static, [sock_filter]>;

/// What is done about one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// The call is made.
    Allow,
    /// It is not, and gives this error.
    Refuse(u16),
    /// Its arguments decide.
    Limit(Limit),
    /// It is not made, and answered as if it had been.
    Done,
}

/// The kernel's error numbers, alike on all machines of the table.
pub const EPERM: u16 = 1;
/// No such call.
pub const ENOSYS: u16 = 38;
/// No error: the call gives 0.
const DONE: u16 = 0;
/// No such family of sockets.
pub const EAFNOSUPPORT: u16 = 97;

/// What the default policy makes of `call` for a command with these powers.
pub fn treatment(call: &Call, powers: Powers) -> Treatment {
    if let (true, Some(answer)) = (powers & FAKEROOT != 0, fakeroot::answer(call.name)) {
        return answer;
    }
    match call.verdict {
        Verdict::Out(but) | Verdict::Absent(but) if but & powers != 0 => Treatment::Allow,
        Verdict::Limited(Limit::Clone | Limit::Unshare) if powers & NESTED != 0 => Treatment::Allow,
        Verdict::Limited(Limit::Socket) if powers & NET_RAW != 0 => Treatment::Limit(Limit::RawSocket),
        Verdict::Limited(Limit::Keyctl) if powers & NESTED == 0 => Treatment::Refuse(EPERM),
        Verdict::In => Treatment::Allow,
        Verdict::Out(..) => Treatment::Refuse(EPERM),
        Verdict::Absent(..) => Treatment::Refuse(ENOSYS),
        Verdict::Limited(limit) => Treatment::Limit(limit),
    }
}

/// Compiles what `treat` makes of each call of the table. Numbers that are not in it
/// give ENOSYS, whether they are holes, newer calls, or those of x32 and of 32-bit
/// programs, whose entries into the kernel differ in more than numbers.
///
/// # Errors
/// seccompiler's; the tests see to it that there are none.
pub fn compile(arch: Arch, treat: impl Fn(&Call) -> Treatment) -> Result<BpfProgram, BackendError> {
    // By number, up to the newest.
    let mut calls = Vec::new();
    for call in CALLS {
        if let Some(number) = call.number(arch).map(usize::from) {
            if calls.len() <= number {
                calls.resize(number + 1, Treatment::Refuse(ENOSYS));
            }
            calls[number] = treat(call);
        }
    }

    let (mut runs, mut newest): (Vec<(u32, Treatment)>, u32) = (Vec::new(), 0);
    for (number, treatment) in (0..).zip(calls) {
        newest = number;
        if runs.last().is_none_or(|(_, last)| *last != treatment || matches!(treatment, Treatment::Limit(_))) {
            runs.push((number, treatment));
        }
    }
    let mut leaves = Vec::with_capacity(runs.len());
    for (first, treatment) in runs {
        leaves.push((first, leaf(arch, first, treatment)?));
    }

    let (audit, no_such_call) = (audit(arch), returns(&SeccompAction::Errno(ENOSYS.into())));
    let mut program = vec![
        instruction(LOAD, 0, 0, ARCH),
        instruction(IF_EQUAL, 1, 0, audit),
        no_such_call.clone(),
        instruction(LOAD, 0, 0, NUMBER),
        instruction(IF_ABOVE, 0, 3, newest),
        // A tracer that skips a call says -1, and has put the result in place.
        instruction(IF_EQUAL, 1, 0, u32::MAX),
        no_such_call,
        returns(&SeccompAction::Allow),
    ];
    program.append(&mut tree(&leaves, newest + 1));
    Ok(program)
}

/// Leads to the leaf whose first number is the last one that is not above the call's.
/// `end` is the first number behind the last leaf's.
fn tree(leaves: &[(u32, BpfProgram)], end: u32) -> BpfProgram {
    if let Some(program) = small_tree(leaves, end) {
        return program;
    }
    // A comparison jumps over 255 instructions at most.
    let Some(at) = middle(leaves, end) else { return Vec::new() };
    let (low, high) = leaves.split_at(at);
    let first = high[0].0;
    let (mut low, mut high) = (tree(low, first), tree(high, end));
    let over = u32::try_from(low.len()).unwrap_or(u32::MAX);
    let mut program = vec![instruction(IF_AT_LEAST, 0, 1, first), instruction(GO, 0, 0, over)];
    program.append(&mut low);
    program.append(&mut high);
    program
}

/// Where to halve: the numbers and not the leaves, so that wide runs are found soon.
fn middle(leaves: &[(u32, BpfProgram)], end: u32) -> Option<usize> {
    let start = leaves.first()?.0;
    (1..leaves.len()).min_by_key(|at| (leaves[*at].0 - start).abs_diff(end - leaves[*at].0))
}

/// A tree with each of the different leaves in it once, behind all comparisons: what
/// the installation costs is the length. None where a jump would be too far.
fn small_tree(leaves: &[(u32, BpfProgram)], end: u32) -> Option<BpfProgram> {
    let mut parts: Vec<&BpfProgram> = Vec::new();
    for (_, part) in leaves {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    // The short ones are needed most, and are to be near.
    parts.sort_by_key(|part| part.len());
    let place = |leaf: &BpfProgram| {
        let before = parts.iter().take_while(|part| **part != leaf);
        leaves.len() - 1 + before.map(|part| part.len()).sum::<usize>()
    };
    let mut program = Vec::with_capacity(leaves.len());
    compare(leaves, end, &place, &mut program)?;
    program.extend(parts.into_iter().flatten().cloned());
    Some(program)
}

/// Appends the comparisons that lead to one of `leaves`, and gives where they begin.
fn compare(
    leaves: &[(u32, BpfProgram)],
    end: u32,
    place: &dyn Fn(&BpfProgram) -> usize,
    program: &mut BpfProgram,
) -> Option<usize> {
    let Some(at) = middle(leaves, end) else { return leaves.first().map(|(_, leaf)| place(leaf)) };
    let (low, high) = leaves.split_at(at);
    let (here, first) = (program.len(), high[0].0);
    program.push(instruction(IF_AT_LEAST, 0, 0, first));
    let (low, high) = (compare(low, first, place, program)?, compare(high, end, place, program)?);
    let over = |to: usize| u8::try_from(to - here - 1).ok();
    program[here] = instruction(IF_AT_LEAST, over(high)?, over(low)?, first);
    Some(here)
}

/// What is done about the numbers of one run, all of which are `number` if their
/// arguments matter.
fn leaf(arch: Arch, number: u32, treatment: Treatment) -> Result<BpfProgram, BackendError> {
    let errno = |errno: u16| SeccompAction::Errno(errno.into());
    let limit = match treatment {
        Treatment::Allow => return Ok(vec![returns(&SeccompAction::Allow)]),
        Treatment::Refuse(number) => return Ok(vec![returns(&errno(number))]),
        Treatment::Done => return Ok(vec![returns(&errno(DONE))]),
        Treatment::Limit(limit) => limit,
    };
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
            let mut all = vec![returns(&allow)];
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

/// A call as the kernel shows it to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// AUDIT_ARCH_* of the way by which it came into the kernel.
    pub audit: u32,
    /// Its number there.
    pub number: u32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// The error that a compiled policy gives this call; None where the call is made. It is
/// run as the kernel runs it, so that who answers in the kernel's place says the same.
pub fn refusal(program: &[sock_filter], made: &Made) -> Option<u16> {
    let (mut at, mut value) = (0, 0);
    loop {
        // What is no program of this module refuses all.
        let Some(sock_filter { code, jt, jf, k }) = program.get(at).cloned() else { return Some(EPERM) };
        at += 1;
        let way = |yes: bool| usize::from(if yes { jt } else { jf });
        match code {
            LOAD => value = load(made, k),
            AND => value &= k,
            GO => at += usize::try_from(k).unwrap_or(usize::MAX / 2),
            IF_EQUAL => at += way(value == k),
            IF_ABOVE => at += way(value > k),
            IF_AT_LEAST => at += way(value >= k),
            RETURN if k == u32::from(SeccompAction::Allow) => return None,
            RETURN if k & ACTION == u32::from(SeccompAction::Errno(0)) => return u16::try_from(k & !ACTION).ok(),
            _ => return Some(EPERM),
        }
    }
}

/// What is at an offset into seccomp_data, of a little-endian machine as both are.
fn load(made: &Made, offset: u32) -> u32 {
    let argument = |from: u32| usize::try_from(from / 8).ok().and_then(|index| made.arguments.get(index).copied());
    match (offset, offset.checked_sub(ARGUMENTS)) {
        (NUMBER, _) => made.number,
        (ARCH, _) => made.audit,
        (_, Some(from)) => {
            let whole = argument(from).unwrap_or(0);
            u32::try_from(if from % 8 == 0 { whole & LOW } else { whole >> 32 }).unwrap_or(0)
        }
        (_, None) => 0,
    }
}

/// Is a call that is treated so made with these arguments?
///
/// # Errors
/// seccompiler's.
pub fn lets(arch: Arch, treatment: Treatment, made: &Made) -> Result<bool, BackendError> {
    Ok(refusal(&leaf(arch, made.number, treatment)?, made).is_none())
}

/// The same policy with another in the kernel's place: who listens is asked for each
/// answer that is an error; what is answered as done is none.
pub fn asking(program: &[sock_filter]) -> BpfProgram {
    let ask = |at: &sock_filter| match at {
        sock_filter { code: RETURN, k, .. } if k & ACTION == u32::from(SeccompAction::Errno(0)) && k & !ACTION != 0 => {
            instruction(RETURN, 0, 0, ASK)
        }
        other => other.clone(),
    };
    program.iter().map(ask).collect()
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
        if *at == returns(&GO_ON) {
            *at = instruction(GO, 0, 0, u32::try_from(length - index - 1).unwrap_or(u32::MAX));
        }
    }
    first.append(&mut second);
    first
}

/// Offsets into seccomp_data.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// BPF_LD | BPF_W | BPF_ABS.
const LOAD: u16 = 0x20;
/// BPF_JMP | BPF_JA, BPF_JEQ, BPF_JGT, BPF_JGE.
const GO: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_ABOVE: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;
/// BPF_ALU | BPF_AND | BPF_K.
const AND: u16 = 0x54;
/// BPF_RET | BPF_K.
const RETURN: u16 = 0x06;

/// SECCOMP_RET_ACTION_FULL; the rest is the error's number.
const ACTION: u32 = 0xffff_0000;
/// SECCOMP_RET_USER_NOTIF.
const ASK: u32 = 0x7fc0_0000;

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}
fn returns(action: &SeccompAction) -> sock_filter {
    instruction(RETURN, 0, 0, u32::from(action.clone()))
}

/// AUDIT_ARCH_*.
pub fn audit(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 => 0xc000_003e,
        Arch::Aarch64 => 0xc000_00b7,
    }
}

#[cfg(test)]
#[path = "seccomp_tests.rs"]
mod tests;
