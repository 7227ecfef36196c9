//! Compiled policies, run as the kernel runs them.

use super::super::action::{EAFNOSUPPORT, ENOSYS, EPERM, Treatment};
use super::super::arg_rules::{self, ALL_POWERS};
use super::super::defaults;
use super::super::fakeroot::ANSWERED;
use super::super::table::{Arch, CALLS, Call, Limit, NESTED, NET_RAW, Powers};
use super::super::table::{CORE, FAKEROOT, SET_ID, SYS_ADMIN, SYS_BOOT, find};
use super::*;

const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];
const ALLOW: u32 = 0x7fff_0000;
const DONE: u32 = 0x0005_0000;
const I386: u32 = 0x4000_0003;
const ARM: u32 = 0x4000_0028;

fn errno(number: u16) -> u32 {
    0x0005_0000 | u32::from(number)
}

/// What a program says of a call.
struct Said {
    action: u32,
    /// How many instructions were run.
    steps: usize,
    /// Was an argument looked at? Then the kernel runs the program for each call.
    asked: bool,
}

fn run(program: &[sock_filter], audit: u32, number: u32, arguments: [u64; 6]) -> Said {
    let (mut at, mut value, mut steps, mut asked) = (0, 0, 0, false);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        steps += 1;
        let mut jump = |yes: bool| at += usize::from(if yes { jt } else { jf });
        match code {
            LOAD => {
                asked |= k >= 16;
                value = match k {
                    NUMBER => number,
                    ARCH => audit,
                    k if k >= 16 && k % 4 == 0 && k < 64 => {
                        let argument = arguments[(k as usize - 16) / 8];
                        if k % 8 == 0 { argument as u32 } else { (argument >> 32) as u32 }
                    }
                    k => panic!("loads {k}"),
                }
            }
            AND => value &= k,
            GO => at += k as usize,
            IF_EQUAL => jump(value == k),
            IF_ABOVE => jump(value > k),
            IF_AT_LEAST => jump(value >= k),
            RETURN => return Said { action: k, steps, asked },
            code => panic!("instruction {code:#x}"),
        }
    }
}

fn policy(arch: Arch, powers: Powers) -> BpfProgram {
    compile(arch, |call| defaults::treatment(call, powers), &|limit| arg_rules::leaf(limit).ok()).unwrap()
}

/// All powers that open each other's calls, and the others one by one.
fn combinations() -> impl Iterator<Item = Powers> {
    (0..SET_ID).chain([SET_ID, CORE, ALL_POWERS - 1])
}

/// What the policy of a command with these powers says of a call by its name.
fn said(arch: Arch, powers: Powers, name: &str, arguments: &[u64]) -> u32 {
    let mut six = [0; 6];
    six[..arguments.len()].copy_from_slice(arguments);
    let number = find(name).unwrap().number(arch).unwrap();
    run(&policy(arch, powers), audit(arch), number.into(), six).action
}

fn each(powers: Powers, name: &str, arguments: &[u64], expected: u32) {
    for arch in ARCHES {
        if find(name).unwrap().number(arch).is_some() {
            let said = said(arch, powers, name, arguments);
            assert_eq!(said, expected, "{name} {arguments:x?} {arch:?} with {powers}: {said:#x}");
        }
    }
}

#[test]
fn every_number_is_treated_as_the_table_says() {
    for arch in ARCHES {
        for powers in combinations() {
            let program = policy(arch, powers);
            // As build.rs has it.
            let short = arg_rules::shorter(&program);
            for number in (0..2000).chain([0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe]) {
                let call = CALLS.iter().find(|call| call.number(arch).map(u32::from) == Some(number));
                let said = run(&program, audit(arch), number, [u64::MAX; 6]);
                let again = run(&short, audit(arch), number, [u64::MAX; 6]);
                assert_eq!((said.action, said.asked), (again.action, again.asked), "{number} {call:?}");
                match call.map_or(Treatment::Refuse(ENOSYS), |call| defaults::treatment(call, powers)) {
                    // The kernel need not run the program for it.
                    Treatment::Allow => assert!(said.action == ALLOW && !said.asked, "{call:?}"),
                    Treatment::Refuse(expected) => assert!(said.action == errno(expected) && !said.asked, "{number} {call:?}"),
                    Treatment::Limit(_) => assert!(said.asked, "{call:?}"),
                    Treatment::Done => assert!(said.action == DONE && !said.asked, "{call:?}"),
                }
            }
        }
    }
}

#[test]
fn other_ways_into_the_kernel_lead_nowhere() {
    for arch in ARCHES {
        let program = policy(arch, NESTED | SYS_ADMIN | SYS_BOOT | NET_RAW | FAKEROOT);
        for number in 0..2000 {
            for audit in [I386, ARM, 0] {
                assert_eq!(run(&program, audit, number, [0; 6]).action, errno(ENOSYS));
            }
            // x32, and what arm64 has no meaning for.
            assert_eq!(run(&program, audit(arch), 0x4000_0000 | number, [0; 6]).action, errno(ENOSYS));
        }
    }
}

#[test]
fn a_call_that_a_tracer_skips_keeps_the_tracers_answer() {
    for arch in ARCHES {
        assert_eq!(run(&policy(arch, 0), audit(arch), u32::MAX, [0; 6]).action, ALLOW);
    }
}

#[test]
fn namespaces_are_made_only_where_they_may_be() {
    let fork = 0x0120_0000 | 17;
    let thread = 0x003d_0f00;
    for flags in [fork, thread, 0x4111, 0xff, 0x8000_1000] {
        each(0, "clone", &[flags], ALLOW);
    }
    for new in [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        each(0, "clone", &[fork | new], errno(EPERM));
        each(0, "clone", &[0xffff_ffff_0000_0000 | new], errno(EPERM));
        each(SYS_ADMIN, "clone", &[new], errno(EPERM));
        each(NESTED, "clone", &[fork | new], ALLOW);
        each(0, "unshare", &[new], errno(EPERM));
        each(0, "unshare", &[new | 0x200], errno(EPERM));
        each(NESTED, "unshare", &[new], ALLOW);
    }
    for other in [0, 0x200, 0x400, 0x600, 0x4_0000, 0x1_0900] {
        each(0, "unshare", &[other], ALLOW);
    }
    // NEWTIME, an empty mount namespace (Linux 7.1), and what may come.
    for other in [0x80, 0x10_0000, 1 << 40] {
        each(0, "unshare", &[other], errno(EPERM));
    }
    each(0, "setns", &[3, 0], errno(EPERM));
    each(NESTED, "setns", &[3, 0], ALLOW);
    each(0, "clone3", &[], errno(ENOSYS));
    each(NESTED, "clone3", &[], ALLOW);
}

#[test]
fn sockets_are_those_of_programs() {
    let (cloexec, nonblock) = (0x8_0000, 0x800);
    for family in [2, 10] {
        for (kind, protocol) in [(1, 0), (1, 6), (1, 262), (2, 0), (2, 17), (2, 1), (2, 58)] {
            each(0, "socket", &[family, kind, protocol], ALLOW);
            each(0, "socket", &[0xdead_0000_0000_0000 | family, kind | cloexec | nonblock, protocol], ALLOW);
        }
        // SCTP, SMC, UDP-Lite, L2TP; SCTP by packets, DCCP, packets by the old way.
        for (kind, protocol) in [(1, 132), (1, 256), (2, 136), (2, 115), (5, 132), (6, 33), (10, 3), (4, 0)] {
            each(0, "socket", &[family, kind, protocol], errno(EAFNOSUPPORT));
            each(NET_RAW, "socket", &[family, kind, protocol], errno(EAFNOSUPPORT));
        }
        for protocol in [0, 1, 6, 255] {
            each(0, "socket", &[family, 3 | cloexec, protocol], errno(EPERM));
            each(NET_RAW, "socket", &[family, 3 | cloexec, protocol], ALLOW);
        }
    }
    for kind in [1, 2, 3, 5] {
        each(0, "socket", &[1, kind | cloexec, 0], ALLOW);
        each(0, "socketpair", &[1, kind | cloexec, 0], ALLOW);
        each(0, "socket", &[16, kind, 0], ALLOW);
        for protocol in 1..32 {
            each(0, "socket", &[16, kind, protocol], errno(EAFNOSUPPORT));
        }
        for family in (0..64).filter(|family| ![1, 2, 10, 16].contains(family)) {
            each(0, "socket", &[family, kind, 0], errno(EAFNOSUPPORT));
            each(NET_RAW, "socket", &[family, kind, 0], errno(EAFNOSUPPORT));
            each(0, "socketpair", &[family, kind, 0], errno(EAFNOSUPPORT));
        }
        each(0, "socketpair", &[2, kind, 0], errno(EAFNOSUPPORT));
    }
}

#[test]
fn terminals_are_not_typed_into() {
    for high in [0, 1 << 32, 0xffff_ffff_0000_0000] {
        for request in [0x5412, 0x541c, 0x5423] {
            each(NESTED | SYS_ADMIN, "ioctl", &[0, high | request], errno(EPERM));
        }
        for request in [0x5401, 0x5413, 0x5414, 0x5424, 0x8912, 0] {
            each(0, "ioctl", &[0x5412, high | request, 0x5412], ALLOW);
        }
    }
}

#[test]
fn personalities_are_harmless() {
    for harmless in [0, 8, 0x2_0000, 0x2_0008, 0x4_0000, 0x4_0008, 0xffff_ffff, 0xffff_ffff_ffff_ffff] {
        each(0, "personality", &[harmless], ALLOW);
    }
    // READ_IMPLIES_EXEC, MMAP_PAGE_ZERO, ADDR_COMPAT_LAYOUT, ADDR_LIMIT_3GB, another system's.
    for other in [0x40_0000, 0x10_0000, 0x20_0000, 0x800_0000, 0x44_0000, 1, 6] {
        each(0, "personality", &[other], errno(EPERM));
    }
}

#[test]
fn a_jail_inside_gets_a_keyring_and_no_more_of_them() {
    each(0, "keyctl", &[1, 0], errno(EPERM));
    each(NESTED, "keyctl", &[1, 0], ALLOW);
    for arguments in [[1, 0x7000_0000_0000], [0, 0], [2, 0], [11, 0]] {
        each(NESTED, "keyctl", &arguments, errno(EPERM));
    }
}

#[test]
fn a_group_is_slowed_by_its_number_alone() {
    for (name, process, group, user) in [("setpriority", 0, 1, 2), ("ioprio_set", 1, 2, 3)] {
        for high in [0, 1 << 32] {
            each(NESTED | SYS_ADMIN, name, &[high | group, high, 19], errno(EPERM));
            each(0, name, &[high | group, high | 7, 19], ALLOW);
            each(0, name, &[high | process, 0, 19], ALLOW);
            each(0, name, &[high | user, 0, 19], ALLOW);
        }
    }
}

#[test]
fn what_mounts_and_names_is_open_to_those_who_may() {
    for name in ["mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen", "mount_setattr", "sethostname"] {
        each(0, name, &[], errno(EPERM));
        each(NET_RAW | SYS_BOOT, name, &[], errno(EPERM));
        each(SYS_ADMIN, name, &[], ALLOW);
        each(NESTED, name, &[], ALLOW);
    }
    each(NESTED | SYS_ADMIN, "reboot", &[], errno(EPERM));
    each(SYS_BOOT, "reboot", &[], ALLOW);
    each(0, "chroot", &[], ALLOW);
    each(NESTED | SYS_ADMIN | SYS_BOOT | NET_RAW, "bpf", &[], errno(EPERM));
}

#[test]
fn a_fake_root_is_answered_what_the_table_says_and_nothing_else() {
    for (index, (name, treatment, why)) in ANSWERED.iter().enumerate() {
        let call = find(name).unwrap_or_else(|| panic!("{name} is no call"));
        assert!(ANSWERED[..index].iter().all(|(other, ..)| other < name), "{name} is out of order");
        assert!(why.len() > 10, "{name}");
        // Nothing that is refused otherwise is answered instead, but a device.
        let otherwise = defaults::treatment(call, SET_ID);
        assert!(matches!(otherwise, Treatment::Allow | Treatment::Limit(Limit::NoDevice { .. })), "{name}");
        assert!(matches!(treatment, Treatment::Done | Treatment::Limit(Limit::Ids { .. } | Limit::Node { .. })), "{name}");
    }
    let programs = ARCHES.map(|arch| (arch, policy(arch, FAKEROOT)));
    for call in &CALLS {
        let answered = ANSWERED.iter().any(|(name, ..)| *name == call.name());
        assert_eq!(defaults::treatment(call, FAKEROOT) == seccomp_default(call), !answered, "{}", call.name());
        for (arch, program) in &programs {
            let Some(number) = call.number(*arch) else { continue };
            let all = [[0; 6], [33; 6], [0x2000; 6], [0x6000; 6], [u64::MAX; 6]];
            let done = all.iter().any(|six| run(program, audit(*arch), number.into(), *six).action == DONE);
            let by_default = ["setrlimit", "prlimit64"].contains(&call.name());
            assert_eq!(done, answered && !by_default, "{} {arch:?}", call.name());
        }
    }
}

fn seccomp_default(call: &Call) -> Treatment {
    defaults::treatment(call, 0)
}

#[test]
fn a_fake_roots_ids_are_real_where_there_is_one_and_answered_elsewhere() {
    let none = 0xffff_ffff;
    for (name, before, count, after) in [
        ("chown", 1, 2, 0),
        ("lchown", 1, 2, 0),
        ("fchown", 1, 2, 0),
        ("fchownat", 2, 2, 1),
        ("setuid", 0, 1, 0),
        ("setgid", 0, 1, 0),
        ("setreuid", 0, 2, 0),
        ("setregid", 0, 2, 0),
        ("setresuid", 0, 3, 0),
        ("setresgid", 0, 3, 0),
    ] {
        let call = |ids: &[u64]| [&vec![33; before][..], &ids[..count], &vec![33; after]].concat();
        for real in [[0, 0, 0], [none, none, none], [0, none, 0], [none, 0, none], [1 << 32, 7 << 32 | none, 0]] {
            each(FAKEROOT, name, &call(&real), ALLOW);
        }
        for id in [1, 33, 65534, none - 1, 1 << 31] {
            each(FAKEROOT, name, &call(&[id; 3]), DONE);
            for at in 0..count {
                let mut ids = [0, none, 0];
                ids[at] = id;
                each(FAKEROOT, name, &call(&ids), DONE);
                each(0, name, &call(&ids), ALLOW);
            }
        }
    }
    each(FAKEROOT, "setgroups", &[0, 0], DONE);
    each(FAKEROOT, "setfsuid", &[33], ALLOW);
}

#[test]
fn no_device_node_is_made_and_a_fake_roots_are_answered() {
    for permissions in [0, 0o666, 0o2777, 0xffff_0000_0000_0000] {
        for (kind, expected) in
            [(0o020_000, DONE), (0o060_000, DONE), (0, ALLOW), (0o010_000, ALLOW), (0o100_000, ALLOW), (0o140_000, ALLOW)]
        {
            // What is no kind at all is the kernel's to refuse.
            each(FAKEROOT, "mknod", &[33, kind | permissions, 0x103], expected);
            each(FAKEROOT, "mknodat", &[3, 33, kind | permissions, 0x103], expected);
            for device in [0, 0x103] {
                let expected = if kind == 0o020_000 { errno(EPERM) } else { ALLOW };
                for powers in [0, SET_ID, SYS_ADMIN] {
                    each(powers, "mknod", &[33, kind | permissions, device], expected);
                    each(powers, "mknodat", &[3, 33, kind | permissions, device], expected);
                }
                // An overlay file system in user space makes its whiteouts so.
                each(NESTED, "mknodat", &[3, 33, kind | permissions, device], ALLOW);
                each(NESTED | SET_ID, "mknodat", &[3, 33, kind | permissions, device], ALLOW);
            }
        }
    }
    each(FAKEROOT, "mknodat", &[0x2000, 0x2000, 0o040_755, 0], ALLOW);
}

#[test]
fn the_program_is_short_to_install() {
    for arch in ARCHES {
        let program = arg_rules::shorter(&policy(arch, 0));
        assert!(program.len() < 256, "{arch:?}: {} instructions", program.len());
        // The kernel runs it for each number; a chain of comparisons took 200 steps.
        let steps: Vec<usize> = (0..500).map(|number| run(&program, audit(arch), number, [0; 6]).steps).collect();
        let most = steps.iter().max().unwrap();
        let mean = steps.iter().sum::<usize>() / steps.len();
        assert!(mean <= 12 && *most <= 100, "{arch:?}: {mean} steps, {most} at most");
    }
}

#[test]
fn shorter_programs_say_the_same() {
    let values = [0, 1, 2, 3, 4, 10, 16, 17, 0o101, 0o4755, 0o20_4755, 0x5412, 0x1002_0000, 0xffff_ffff, 1 << 32, u64::MAX];
    for limit in arg_rules::all() {
        let (short, long) = (arg_rules::leaf(limit).unwrap(), arg_rules::long_leaf(limit).unwrap());
        assert!(short.len() < long.len(), "{limit:?}: {} of {}", short.len(), long.len());
        // Each triple of values in each place where an argument is looked at.
        for first in &values {
            for second in &values {
                for third in &values {
                    for six in [[*first, *second, *third, *first, *second, *third], [0, *first, *second, *third, *first, 0]] {
                        let said = run(&short, 0, 0, six).action;
                        assert_eq!(said, run(&long, 0, 0, six).action, "{limit:?} {six:x?}");
                    }
                }
            }
        }
    }
}

/// Each call that can give a file a mode, its arguments before the mode, and the flags
/// with which it does so.
const MODES: &[(&str, &[u64])] = &[
    ("chmod", &[9]),
    ("fchmod", &[0]),
    ("fchmodat", &[9, 9]),
    ("fchmodat2", &[9, 9]),
    ("creat", &[9]),
    ("mkdir", &[9]),
    ("mkdirat", &[9, 9]),
    ("mknod", &[9]),
    ("mknodat", &[9, 9]),
    ("open", &[9, 0o100]),
    ("open", &[9, 0o2_000_301]),
    ("open", &[9, 0o20_200_002]),
    ("open", &[9, 0o20_000_000]),
    ("openat", &[9, 9, 0o101]),
    ("openat", &[9, 9, 0o20_200_001]),
];

#[test]
fn no_call_makes_a_set_user_id_file() {
    for (name, before) in MODES {
        let call = |mode: u64| [*before, &[mode]].concat();
        for high in [0, 0xffff_ffff_0000_0000] {
            for kind in [0, 0o100_000, 0o010_000, 0o140_000] {
                for mode in [0o4000, 0o4755, 0o6755, 0o7777] {
                    each(0, name, &call(high | kind | mode), errno(EPERM));
                    each(NESTED | SYS_ADMIN | SYS_BOOT | NET_RAW | CORE, name, &call(high | kind | mode), errno(EPERM));
                    each(SET_ID, name, &call(high | kind | mode), ALLOW);
                    each(FAKEROOT | SET_ID, name, &call(high | kind | mode), ALLOW);
                }
                for mode in [0, 0o755, 0o1777, 0o2755, 0o3777] {
                    each(0, name, &call(high | kind | mode), ALLOW);
                }
            }
        }
        // What has no mode in that place.
        each(0, name, &[0, 0, 0, 0, 0o4777, 0o4777], ALLOW);
    }
    // Flags that create nothing: the third argument is what was left in a register.
    for flags in [0, 1, 2, 0o2_000_000, 0o200_000, 0o1000, 0o4000] {
        each(0, "open", &[9, flags, u64::MAX], ALLOW);
        each(0, "openat", &[9, 9, flags, u64::MAX], ALLOW);
    }
    each(0, "openat2", &[9, 9, 9, 24], errno(ENOSYS));
    for power in [NESTED, SET_ID] {
        each(power, "openat2", &[9, 9, 9, 24], ALLOW);
    }
}

#[test]
fn a_rename_leaves_no_device() {
    for powers in [0, SET_ID, NESTED | SYS_ADMIN, FAKEROOT | SET_ID] {
        for (flags, expected) in [(0, ALLOW), (1, ALLOW), (2, ALLOW), (4, errno(22)), (5, errno(22)), (1 << 32 | 4, errno(22))] {
            each(powers, "renameat2", &[9, 9, 9, 9, flags], expected);
        }
    }
}

#[test]
fn the_core_limit_stays() {
    let (some, high) = (0x7fff_0000_1000, 1 << 47);
    for new in [some, high, 1, 1 << 32] {
        each(0, "setrlimit", &[4, new], DONE);
        each(0, "setrlimit", &[1 << 32 | 4, new], DONE);
        for process in [0, 7] {
            for resource in [4, 1 << 32 | 4] {
                each(0, "prlimit64", &[process, resource, new, 0], DONE);
                each(0, "prlimit64", &[process, resource, new, some], errno(EPERM));
                each(0, "prlimit64", &[process, resource, new, 1 << 32], errno(EPERM));
                each(0, "prlimit64", &[process, resource, 0, some], ALLOW);
                each(CORE, "prlimit64", &[process, resource, new, some], ALLOW);
            }
            for other in [0, 3, 5, 7, 15, 0xffff_ffff] {
                each(0, "prlimit64", &[process, other, new, some], ALLOW);
                each(0, "setrlimit", &[other, new], ALLOW);
            }
        }
        each(CORE, "setrlimit", &[4, new], ALLOW);
        each(SET_ID | NESTED | SYS_ADMIN, "setrlimit", &[4, new], DONE);
    }
    // Beside another's limits, with --degrade.
    let of = |process, resource, new, old| {
        let made = Made { audit: 0, number: 0, arguments: [process, resource, new, old, 0, 0] };
        refusal(&arg_rules::leaf(Limit::OwnPrlimit).unwrap(), &made)
    };
    assert_eq!(of(0, 4, some, 0), Some(0));
    assert_eq!(of(0, 4, some, some), Some(EPERM));
    assert_eq!((of(0, 4, 0, some), of(0, 7, some, some)), (None, None));
    assert_eq!((of(7, 4, some, 0), of(7, 7, 0, some)), (Some(EPERM), Some(EPERM)));
}

#[test]
fn far_jumps_are_made() {
    // Each call another error: no run is longer than one number.
    for arch in ARCHES {
        let number = |call: &Call| call.number(arch).unwrap();
        let program = compile(arch, |call| Treatment::Refuse(1000 + number(call)), &|_| None).unwrap();
        for call in CALLS.iter().filter(|call| call.number(arch).is_some()) {
            assert_eq!(run(&program, audit(arch), number(call).into(), [0; 6]).action, errno(1000 + number(call)));
        }
    }
}

#[test]
fn who_answers_in_the_kernels_place_says_what_the_kernel_would() {
    let senseless = [u64::MAX; 6];
    let some =
        [[0; 6], senseless, [1, 2, 3, 4, 5, 6], [16, 3, 0, 0, 0, 0], [1 << 32 | 2, 0x8_0003, 0x5412, 0, 0, 0], [0x5412; 6]];
    for arch in ARCHES {
        for powers in combinations() {
            let program = policy(arch, powers);
            let asking = asking(&program);
            assert_eq!(asking.len(), program.len());
            for number in (0..600).chain([0x4000_0027, 0x7fff_ffff, 0xffff_fffe, u32::MAX]) {
                for (audit, arguments) in [audit(arch), I386].into_iter().flat_map(|audit| some.map(|six| (audit, six))) {
                    let said = run(&program, audit, number, arguments).action;
                    let answer = refusal(&program, &Made { audit, number, arguments });
                    assert_eq!(answer.map_or(ALLOW, errno), said, "{number} {arguments:x?}");
                    // It is asked about these, and about no other.
                    let expected = if [ALLOW, DONE].contains(&said) { said } else { ASK };
                    assert_eq!(run(&asking, audit, number, arguments).action, expected, "{number} {arguments:x?}");
                }
            }
        }
    }
    // What is no program refuses.
    let any = Made { audit: 0, number: 0, arguments: [0; 6] };
    assert_eq!(refusal(&[], &any), Some(EPERM));
    assert_eq!(refusal(&[instruction(0x16, 0, 0, 0)], &any), Some(EPERM));
}
