//! Every number of a system call, by the three ways into an x86-64 kernel. The table of
//! src/seccomp/policy/table.rs says what each call gives. That each refused call gives its error with
//! senseless arguments is in tests/syscalls.rs too; here no number is left out, and what is
//! allowed reaches the kernel.

use crate::support::*;
use crate::table::{Arch, CALLS, Verdict};
use std::collections::BTreeMap;
use std::process::Command;

const HERE: Arch = if cfg!(target_arch = "x86_64") { Arch::X86_64 } else { Arch::Aarch64 };

/// One past the last number that is tried; the newest kernel has about 480.
const END: u32 = 520;

/// These end, block or copy the process that makes them, or wait for the disks.
const SKIPPED: [&str; 14] = [
    "exit",
    "exit_group",
    "pause",
    "rt_sigreturn",
    "restart_syscall",
    "fork",
    "vfork",
    "clone",
    "kill",
    "tkill",
    "tgkill",
    "rt_sigsuspend",
    "sync",
    "munlockall",
];

/// Makes each call of the numbers from 0 to END that are not arguments, in a process of its
/// own and with senseless arguments, and prints the error's number.
const NATIVE: &str = r#"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    for (long n = 0; n < END; n++) {
        int skip = 0, status;
        for (int i = 1; i < argc; i++) skip |= atol(argv[i]) == n;
        if (skip) continue;
        pid_t pid = fork();
        if (pid == 0) {
            alarm(5);
            long result = syscall(n, -1L, -1L, -1L, -1L, -1L, -1L);
            _exit(result == -1 ? errno : 0);
        }
        waitpid(pid, &status, 0);
        printf("%ld %d\n", n, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
        fflush(stdout);
    }
    return 0;
}
"#;

fn compile(s: &Scratch, name: &str, source: &str) {
    s.file(&format!("{name}.c"), source);
    let built = Command::new("gcc").args(["-w", "-o", name, &format!("{name}.c")]).current_dir(&s.0).status();
    assert!(built.unwrap().success(), "{name}");
}

#[test]
fn each_number_gives_what_the_table_says() {
    let numbers: BTreeMap<u32, _> = CALLS.iter().filter_map(|call| Some((u32::from(call.number(HERE)?), call))).collect();
    let skipped: Vec<String> = SKIPPED
        .iter()
        .filter_map(|name| CALLS.iter().find(|call| call.name() == *name)?.number(HERE))
        .map(|number| number.to_string())
        .collect();
    let s = Scratch::new();
    compile(&s, "native", &NATIVE.replace("END", &END.to_string()));
    let given = |flags: &str| {
        let words = flags.split_whitespace().chain(["--ro", ".", "--", "./native"]);
        let words: Vec<&str> = words.chain(skipped.iter().map(String::as_str)).collect();
        let out = run_in(&s.0, &words);
        let pairs = out.good().lines().map(|line| line.split_once(' ').unwrap());
        pairs.map(|(number, error)| (number.parse().unwrap(), error.parse().unwrap())).collect::<BTreeMap<u32, i32>>()
    };
    let (filtered, open) = (given(""), given("--seccomp none"));
    assert_eq!(filtered.len() + skipped.len(), END as usize);
    assert_eq!(open.len(), filtered.len());
    const EPERM: i32 = 1;
    const ENOSYS: i32 = 38;
    const EAFNOSUPPORT: i32 = 97;
    let (mut refused, mut there) = (0, 0);
    for (number, error) in &filtered {
        let (kernels, name) = (open[number], numbers.get(number).map_or("no call", |call| call.name()));
        let good = match numbers.get(number).map(|call| call.verdict) {
            Some(Verdict::Out(..)) => *error == EPERM,
            // Numbers without a call, and those of calls that are newer than the table.
            Some(Verdict::Absent(..)) | None => *error == ENOSYS,
            Some(Verdict::Limited(..)) => *error == kernels || [EPERM, EAFNOSUPPORT].contains(error),
            Some(Verdict::In) => *error == kernels,
        };
        assert!(good, "{number} ({name}): {error}, without the policy {kernels}");
        refused += u32::from(*error != kernels);
        there += u32::from(*error == kernels && kernels != ENOSYS);
    }
    // The policy refuses what the kernel has, and the kernel is reached.
    assert!(refused > 20 && there > 200, "{refused} refused, {there} there");
}

/// Prints each number of an x32 or i386 call that gives something else than ENOSYS.
#[cfg(target_arch = "x86_64")]
const OTHERS: &str = r#"
#include <stdio.h>
static long i386(long n) {
    int done;
    __asm__ volatile("int $0x80" : "=a"(done) : "a"(n), "b"(0), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
    return done;
}
static long x32(long n) {
    long done;
    __asm__ volatile("syscall" : "=a"(done) : "a"(0x40000000L + n), "D"(0L), "S"(0L), "d"(0L) : "memory", "rcx", "r11");
    return done;
}
int main(int argc, char **argv) {
    // Asked outside: does this machine have getpid by this way?
    if (argc > 1) return printf("%d\n", i386(20) > 0) < 0;
    long i, x;
    for (x = 0; x < 600; x++) { long done = x32(x); if (done != -38) printf("x32 %ld: %ld\n", x, done); fflush(stdout); }
    for (i = 0; i < 480; i++) { long done = i386(i); if (done != -38) printf("i386 %ld: %ld\n", i, done); fflush(stdout); }
    printf("%ld of x32, %ld of i386\n", x, i);
    return 0;
}
"#;

#[test]
#[cfg(target_arch = "x86_64")]
fn each_number_of_another_interface_does_not_exist() {
    let s = Scratch::new();
    compile(&s, "others", OTHERS);
    for flags in ["", "--nested", "--as-root --cap sys_admin", "--pid host --net host"] {
        let words: Vec<&str> = flags.split_whitespace().chain(["--ro", ".", "--", "./others"]).collect();
        assert_eq!(run_in(&s.0, &words).good(), "600 of x32, 480 of i386", "{flags}");
    }
    // The allowed twin: it is the policy that refuses, where the machine has them.
    let outside = outside_in(&s.0, false, "./others asked");
    assert_eq!(run_in(&s.0, &["--seccomp", "none", "--ro", ".", "--", "./others", "asked"]).good(), outside.good());
}
