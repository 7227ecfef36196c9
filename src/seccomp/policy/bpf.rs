//! The system-call policy as a program for the kernel. Pure; build.rs includes it,
//! too, and compiles the default policy when the program is built.
//!
//! The kernel runs the program once for each number when it is installed, to learn
//! which calls it need not run it for, and later for the calls that are not simply
//! allowed. So the numbers are cut into runs that are treated alike, the run is found
//! by halving, and what to do there is `leaf`'s. Installed so it takes
//! 59 µs; a comparison with each of the 68 refused calls in turn, without any limits
//! of arguments, took 178.

use std::borrow::Cow;

use seccompiler::{BpfProgram, sock_filter};

use super::action::{DONE, ENOSYS, EPERM, Treatment};
use super::table::{Arch, CALLS, Call, Limit};

/// Instructions as the kernel takes them.
pub type Program = Cow<'static, [sock_filter]>;

/// What is done about a call whose arguments decide.
pub type Limits<'a> = &'a dyn Fn(Limit) -> Option<BpfProgram>;

/// Compiles what `treat` makes of each call of the table. Numbers that are not in it
/// give ENOSYS, whether they are holes, newer calls, or those of x32 and of 32-bit
/// programs, whose entries into the kernel differ in more than numbers.
///
/// None where `limits` has nothing; the tests see to it that there is no such case.
pub fn compile(arch: Arch, treat: impl Fn(&Call) -> Treatment, limits: Limits<'_>) -> Option<BpfProgram> {
    // By number, up to the newest.
    let mut calls = Vec::new();
    for call in &CALLS {
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
        if runs.last().is_none_or(|(_, last)| *last != treatment) {
            runs.push((number, treatment));
        }
    }
    let mut leaves = Vec::with_capacity(runs.len());
    for (first, treatment) in runs {
        leaves.push((first, leaf(treatment, limits)?));
    }

    let (audit, no_such_call) = (audit(arch), returns(ERRNO | u32::from(ENOSYS)));
    let mut program = vec![
        instruction(LOAD, 0, 0, ARCH),
        instruction(IF_EQUAL, 1, 0, audit),
        no_such_call.clone(),
        instruction(LOAD, 0, 0, NUMBER),
        instruction(IF_ABOVE, 0, 3, newest),
        // A tracer that skips a call says -1, and has put the result in place.
        instruction(IF_EQUAL, 1, 0, u32::MAX),
        no_such_call,
        returns(ALLOW),
    ];
    program.append(&mut tree(&leaves, newest + 1));
    Some(program)
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
    parts.sort_unstable_by_key(|part| part.len());
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

/// What is done about the numbers of one run.
fn leaf(treatment: Treatment, limits: Limits<'_>) -> Option<BpfProgram> {
    match treatment {
        Treatment::Allow => Some(vec![returns(ALLOW)]),
        Treatment::Refuse(errno) => Some(vec![returns(ERRNO | u32::from(errno))]),
        Treatment::Done => Some(vec![returns(ERRNO | u32::from(DONE))]),
        Treatment::Limit(limit) => limits(limit),
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
            RETURN if k == ALLOW => return None,
            RETURN if k & ACTION == ERRNO => return u16::try_from(k & !ACTION).ok(),
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
            u32::try_from(if from % 8 == 0 { whole & 0xffff_ffff } else { whole >> 32 }).unwrap_or(0)
        }
        (_, None) => 0,
    }
}

/// Is a call that is treated so made with these arguments?
pub fn lets(treatment: Treatment, made: &Made, limits: Limits<'_>) -> bool {
    leaf(treatment, limits).is_some_and(|leaf| refusal(&leaf, made).is_none())
}

/// The same policy with another in the kernel's place: who listens is asked for each
/// answer that is an error; what is answered as done is none.
pub fn asking(program: &[sock_filter]) -> BpfProgram {
    let ask = |at: &sock_filter| match at {
        sock_filter { code: RETURN, k, .. } if k & ACTION == ERRNO && k & !ACTION != 0 => instruction(RETURN, 0, 0, ASK),
        other => other.clone(),
    };
    program.iter().map(ask).collect()
}

/// Offsets into seccomp_data.
const NUMBER: u32 = 0;

const ARCH: u32 = 4;

const ARGUMENTS: u32 = 16;

/// BPF_LD | BPF_W | BPF_ABS.
const LOAD: u16 = 0x20;

/// BPF_JMP | BPF_JA, BPF_JEQ, BPF_JGT, BPF_JGE.
pub const GO: u16 = 0x05;

pub const IF_EQUAL: u16 = 0x15;

pub const IF_ABOVE: u16 = 0x25;

pub const IF_AT_LEAST: u16 = 0x35;

/// BPF_ALU | BPF_AND | BPF_K.
const AND: u16 = 0x54;

/// BPF_RET | BPF_K.
pub const RETURN: u16 = 0x06;

/// SECCOMP_RET_ALLOW.
const ALLOW: u32 = 0x7fff_0000;

/// SECCOMP_RET_ERRNO.
const ERRNO: u32 = 0x0005_0000;

/// SECCOMP_RET_ACTION_FULL; the rest is the error's number.
const ACTION: u32 = 0xffff_0000;

/// SECCOMP_RET_USER_NOTIF.
const ASK: u32 = 0x7fc0_0000;

pub fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

pub fn returns(action: u32) -> sock_filter {
    instruction(RETURN, 0, 0, action)
}

/// AUDIT_ARCH_*.
pub fn audit(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 => 0xc000_003e,
        Arch::Aarch64 => 0xc000_00b7,
    }
}

#[cfg(test)]
mod tests;
