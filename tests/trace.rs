//! `--trace-denied`: each refused call is told, with its program and the flag that
//! would let it, and answered as without; nothing that the command does to it, or
//! to standard error, holds the launcher up.

#[path = "support/pty.rs"]
mod pty;
mod support;
use pty::Person;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::*;

/// Makes calls that the policy refuses, by words on its command line.
const CALLER: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
static long keyctl(void) { return syscall(SYS_keyctl, 0, -2, 0); }
static void said(const char *name, long result) { printf("%s %d\n", name, result == -1 ? errno : 0); fflush(stdout); }
static void *named(void *unused) { prctl(PR_SET_NAME, "a-thread"); said("thread", keyctl()); return unused; }
static void nothing(int signal) {}
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        long n = i + 1 < argc ? atol(argv[i + 1]) : 0;
        if (!strcmp(word, "mount")) said(word, syscall(SYS_mount, 0, 0, 0, 0, 0));
        if (!strcmp(word, "unshare")) said(word, syscall(SYS_unshare, 0x10000000));
        if (!strcmp(word, "keyctl")) said(word, keyctl());
        if (!strcmp(word, "alg")) said(word, socket(38, 5, 0));
        if (!strcmp(word, "interval")) said(word, syscall(SYS_sched_rr_get_interval, 0, 0));
        if (!strcmp(word, "number")) said(word, syscall(9999));
        if (!strcmp(word, "name")) prctl(PR_SET_NAME, argv[++i]);
        if (!strcmp(word, "evil")) prctl(PR_SET_NAME, "a\n\x1b[2J\xff:x");
        if (!strcmp(word, "thread")) { pthread_t t; pthread_create(&t, 0, named, 0); pthread_join(t, 0); }
        if (!strcmp(word, "listen")) {
            // A filter of its own that allows all, with a listener.
            struct { unsigned short code; unsigned char jt, jf; unsigned k; } allow = {6, 0, 0, 0x7fff0000};
            struct { unsigned short length; void *filter; } program = {1, &allow};
            said(word, syscall(SYS_seccomp, 1, 8, &program));
        }
#ifdef __x86_64__
        if (!strcmp(word, "i386")) {
            int done;
            __asm__ volatile("int $0x80" : "=a"(done) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
            printf("i386 %d\n", -done);
        }
#endif
        // N times, and how many of them gave EPERM.
        if (!strcmp(word, "times")) {
            long good = 0;
            for (long k = 0; k < n; k++) if (keyctl() == -1 && errno == EPERM) good++;
            printf("%ld\n", good);
        }
        if (!strcmp(word, "names")) {
            for (long k = 0; k < n; k++) {
                char name[16];
                sprintf(name, "n%ld", k);
                prctl(PR_SET_NAME, name);
                said(word, keyctl());
            }
        }
        if (!strcmp(word, "forever")) for (;;) keyctl();
        // N children that are killed while they wait for an answer, or do not.
        if (!strcmp(word, "killed")) {
            for (long k = 0; k < n; k++) {
                pid_t pid = fork();
                if (pid == 0) for (;;) keyctl();
                usleep(200 + k * 37 % 1000);
                kill(pid, SIGKILL);
                int status;
                waitpid(pid, &status, 0);
                if (!WIFSIGNALED(status)) return 1;
            }
            printf("%ld\n", n);
        }
        // N calls while signals come: refused every one, as the policy says or, where
        // a handler that restarts nothing came first, by EINTR. How many by the policy?
        if (!strcmp(word, "signals")) {
            struct sigaction action = {.sa_handler = nothing};
            sigaction(SIGALRM, &action, 0);
            struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
            setitimer(ITIMER_REAL, &often, 0);
            long good = 0, odd = 0;
            for (long k = 0; k < n; k++) {
                if (keyctl() == -1 && errno == EPERM) good++;
                else if (errno != EINTR) odd++;
            }
            setitimer(ITIMER_REAL, &never, 0);
            printf("%s %ld\n", good > n / 2 ? "most" : "few", odd);
        }
    }
    return 0;
}
"#;

struct Caller(Scratch);

impl Caller {
    fn new() -> Self {
        let s = Scratch::new();
        s.file("caller.c", CALLER);
        let built = Command::new("gcc").args(["-w", "-o", "caller", "caller.c", "-lpthread"]).current_dir(&s.0).status();
        assert!(built.unwrap().success());
        std::fs::copy(s.0.join("caller"), s.0.join("other")).unwrap();
        Self(s)
    }

    /// What a script gives that finds the caller in its directory.
    fn traced(&self, flags: &str, script: &str) -> Outcome {
        sh_in(&self.0.0, &format!("--ro . --trace-denied {flags}"), script)
    }
}

/// The launcher's lines, with PID for each pid.
fn told(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.err.lines().filter(|line| line.starts_with("jail: "));
    let line = |line: &str| match line.split_once("(pid ") {
        Some((before, rest)) => {
            let (pid, after) = rest.split_once(')').unwrap();
            assert!(pid.parse::<u32>().unwrap() > 1, "{line}");
            format!("{before}(pid PID){after}")
        }
        None => line.to_owned(),
    };
    lines.map(line).collect()
}

#[test]
fn each_refused_call_is_told_with_program_and_remedy() {
    let caller = Caller::new();
    let run = caller.traced(
        "--deny-syscall sched_rr_get_interval:EXDEV",
        "./caller mount unshare keyctl alg interval number; ./other keyctl",
    );
    assert_eq!(run.good(), "mount 1\nunshare 1\nkeyctl 1\nalg 97\ninterval 18\nnumber 38\nkeyctl 1");
    assert_eq!(
        told(&run),
        [
            "jail: caller (pid PID) was refused mount (EPERM): --nested lets those do it who have made a user namespace inside, --cap sys_admin allows it",
            "jail: caller (pid PID) was refused unshare(user namespace) (EPERM): --nested allows it",
            "jail: caller (pid PID) was refused keyctl (EPERM): --allow-syscall keyctl lets it through to the kernel",
            "jail: caller (pid PID) was refused socket(AF_ALG) (EAFNOSUPPORT): --allow-syscall socket lets it through to the kernel",
            "jail: caller (pid PID) was refused sched_rr_get_interval (EXDEV): leave out --deny-syscall sched_rr_get_interval:EXDEV to allow it",
            "jail: caller (pid PID) was refused system call 9999, which the policy does not know (ENOSYS): no flag but --seccomp none lets it through to the kernel",
            "jail: other (pid PID) was refused keyctl (EPERM): --allow-syscall keyctl lets it through to the kernel",
        ]
    );
    // What is let through is not told, and the remedies are true.
    let open = caller.traced("--nested --allow-syscall keyctl --allow-syscall socket", "./caller unshare keyctl alg");
    assert!(open.good().starts_with("unshare 0\nkeyctl ") && told(&open).is_empty(), "{open:#?}");
    let without = sh_in(&caller.0.0, "--ro .", "./caller mount");
    assert_eq!((without.good(), without.err.as_str()), ("mount 1", ""), "off by default");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn another_way_into_the_kernel_is_told_as_such() {
    let run = Caller::new().traced("", "./caller i386");
    assert_eq!(run.good(), "i386 38");
    assert_eq!(
        told(&run),
        [
            "jail: caller (pid PID) was refused 32-bit system call 20 (ENOSYS): no flag but --seccomp none lets it through to the kernel"
        ]
    );
}

#[test]
fn what_libraries_do_without_is_told_at_the_end() {
    let caller = Caller::new();
    let run = caller.traced("", "./caller thread thread");
    assert_eq!(run.good(), "thread 1\nthread 1");
    // By the program's name, whatever the thread's.
    assert_eq!(
        told(&run),
        [
            "jail: caller (pid PID) was refused keyctl (EPERM): --allow-syscall keyctl lets it through to the kernel",
            "jail: caller was refused keyctl 2 times in all",
            "jail: caller got ENOSYS for clone3 2 times (as if this kernel had none: programs fall back): --nested allows it",
        ]
    );
    for script in ["true", "ls / | cat >/dev/null", "test \"$(echo $(echo a))\" = a"] {
        let run = caller.traced("", script);
        assert_eq!((run.status, run.err.as_str()), (0, ""), "{script}");
    }
}

#[test]
fn a_flood_is_answered_and_counted_and_not_told() {
    let caller = Caller::new();
    let run = caller.traced("", "./caller times 100000");
    assert_eq!(run.good(), "100000");
    assert_eq!(told(&run).len(), 2, "{run:#?}");
    assert_eq!(told(&run)[1], "jail: caller was refused keyctl 100000 times in all");
    // Many at once.
    let run = caller.traced("", "for n in 1 2 3 4 5 6 7 8; do ./caller times 2000 & done; wait");
    assert_eq!(run.good(), ["2000"; 8].join("\n"));
    assert_eq!(told(&run)[1], "jail: caller was refused keyctl 16000 times in all");
    // Names without end.
    let run = caller.traced("", "./caller names 3000");
    assert_eq!(run.good(), ["names 1"; 3000].join("\n"));
    let told = told(&run);
    assert_eq!(told.len(), 1002);
    assert_eq!(told[1000], "jail: 1000 different refusals are told; of more, the number at the end");
    assert_eq!(told[1001], "jail: 2000 refusals more are not told");
}

#[test]
fn a_name_writes_on_no_terminal() {
    let run = Caller::new().traced("", "./caller evil keyctl");
    let expected =
        "jail: a\\n\\x1b[2J\\xff:x (pid PID) was refused keyctl (EPERM): --allow-syscall keyctl lets it through to the kernel";
    assert_eq!(told(&run), [expected]);
    assert!(!run.err.contains('\x1b') && run.err.lines().count() == 1);
}

#[test]
fn who_is_killed_or_called_away_holds_nothing_up() {
    let caller = Caller::new();
    let run = caller.traced("", "./caller killed 200 keyctl");
    assert_eq!(run.good(), "200\nkeyctl 1");
    let run = caller.traced("", "./caller signals 20000 keyctl");
    assert_eq!(run.good(), "most 0\nkeyctl 1");
    // The end of the command is the end, and so is that of its time.
    let start = Instant::now();
    assert_eq!(caller.traced("", "./caller forever & ./caller forever & sleep 0.1; exit 3").status, 3);
    assert_eq!(caller.traced("--pid host", "./caller forever & ./caller forever & sleep 0.1; exit 4").status, 4);
    assert_eq!(caller.traced("--timeout 0.3 --grace 0.2", "trap '' TERM; exec ./caller forever").status, 124);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn it_goes_with_every_kind_of_process_1() {
    let caller = Caller::new();
    let expected = "jail: caller (pid PID) was refused keyctl (EPERM): --allow-syscall keyctl lets it through to the kernel";
    for flags in ["--init none", "--pid host", "--as-root", "--nested", "--landlock none", "--new-session", "--cap sys_admin"] {
        let run = caller.traced(flags, "./caller keyctl; exit 5");
        assert_eq!((run.status, run.out.as_str()), (5, "keyctl 1\n"), "{flags}: {run:#?}");
        assert_eq!(told(&run), [expected], "{flags}");
    }
    // The pid is the one outside.
    let run = caller.traced("--pid host", "./caller keyctl >/dev/null & echo $!; wait");
    assert!(run.err.contains(&format!("(pid {})", run.good())), "{run:#?}");
    // And nothing else is different.
    let recorded = outcome(script(&caller.0.0, "$JAIL --trace-denied --status-fd 3 -- true 3>&1"));
    for part in ["\"event\":\"start\",\"pid\":", "\"seccomp\"]", "\"status\":0"] {
        assert!(recorded.good().contains(part), "{recorded:#?}");
    }
    assert_eq!(caller.traced("", "exit 42").status, 42);
    assert_eq!(caller.traced("", "kill -KILL $$").status, 137);
    assert_eq!(run_in(&caller.0.0, &["--trace-denied", "--", "/nowhere"]).status, 127);
    assert_eq!(run_in(&caller.0.0, &["--trace-denied", "--", "/etc/passwd"]).status, 126);
    let files = "cd /proc/self/fd; echo *; cd /proc/1/fd 2>/dev/null && echo *";
    assert_eq!(caller.traced("", files).out, sh_in(&caller.0.0, "--ro .", files).out, "no descriptor more");
}

/// Runs a shell script outside, as the user, which finds the program as $JAIL.
fn script(dir: &Path, script: &str) -> Command {
    let mut shell = command(Path::new("/bin/sh"), dir, false);
    shell.args(["-c", script]).env("JAIL", jail());
    shell
}

#[test]
fn standard_error_holds_nothing_up() {
    let caller = Caller::new();
    let dir = &caller.0.0;
    let run = |redirected: &str| {
        let start = Instant::now();
        let line = format!("$JAIL --ro . --trace-denied -- ./caller names 2000 {redirected}");
        let run = outcome(script(dir, &line));
        assert_eq!(run.out.matches("names 1\n").count(), 2000, "{redirected}: {run:#?}");
        assert_eq!(run.status, 0, "{redirected}: {run:#?}");
        assert!(start.elapsed() < Duration::from_secs(10), "{redirected}");
        run
    };
    run("2>&-");
    run("2>/dev/full");
    // A file is added to, where it was.
    let line = "(echo first >&2; $JAIL --ro . --trace-denied -- ./caller keyctl; echo last >&2) 2>err; cat err";
    let run = outcome(script(dir, line));
    let lines: Vec<&str> = run.good().lines().collect();
    assert!(matches!(lines[..], ["keyctl 1", "first", told, "last"] if told.starts_with("jail: caller")), "{run:#?}");
}

#[test]
fn a_reader_that_reads_nothing_holds_nothing_up() {
    let caller = Caller::new();
    for who_made_the_pipe in [false, true] {
        // A pipe that is full, with a reader: one of the user's, which can be opened
        // anew, or of who started the tests.
        let start = Instant::now();
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let fill = |pipe: &OwnedFd| {
            rustix::fs::fcntl_setfl(pipe, rustix::fs::OFlags::NONBLOCK).unwrap();
            while rustix::io::write(pipe, &[b'x'; 4096]).is_ok() {}
            rustix::fs::fcntl_setfl(pipe, rustix::fs::OFlags::empty()).unwrap();
        };
        let flags = ["--ro", ".", "--trace-denied"];
        let mut jail = command(jail(), &caller.0.0, false);
        jail.args(flags);
        if who_made_the_pipe {
            jail.args(["--timeout", "0.5", "--", "./caller", "forever"]);
        } else {
            jail.args(["--", "./caller", "names", "2000"]);
        }
        fill(&write);
        jail.stdout(Stdio::piped()).stderr(Stdio::from(write));
        let run = jail.output().unwrap();
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        assert_eq!(run.status.code(), Some(if who_made_the_pipe { 124 } else { 0 }));
        drop(read);
    }
}

#[test]
fn on_a_terminal_that_is_raw_its_lines_are_lines() {
    let caller = Caller::new();
    let mut person = Person::at_a_shell(&caller.0.0);
    person.types(&format!("{} --ro . --pty --trace-denied -- ./caller keyctl mount\n", jail().display()));
    person.sees("\r\njail: caller (pid ");
    person.sees("lets it through to the kernel\r\n");
    person.sees("ready> ");
}

#[test]
fn a_terminal_that_stands_still_holds_nothing_up() {
    let caller = Caller::new();
    let mut person = Person::at_a_shell(&caller.0.0);
    let jail = format!("{} --ro . --timeout 0.5 --trace-denied -- ./caller forever", jail().display());
    person.types(&format!("(sleep 0.5; {jail}; echo $? > status) & sleep 0\n"));
    person.waits(200);
    person.types("\x13");
    let start = Instant::now();
    let status = caller.0.0.join("status");
    while std::fs::read_to_string(&status).unwrap_or_default() != "124\n" {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(20));
    }
    person.types("\x11");
    person.types("echo alive and $((6 * 7))\n");
    person.sees("alive and 42");
}

#[test]
fn a_launcher_with_nothing_to_tell_sleeps() {
    let caller = Caller::new();
    let line = "$JAIL --ro . --trace-denied -- sh -c './caller keyctl; sleep 1' & p=$!; sleep 0.4; cat /proc/$p/stat; sleep 0.4; cat /proc/$p/stat; wait";
    let run = outcome(script(&caller.0.0, line));
    let ticks: Vec<u32> = run
        .good()
        .lines()
        .filter_map(|line| line.rsplit_once(") "))
        .map(|(_, fields)| fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u32>().unwrap()).sum())
        .collect();
    assert!(matches!(ticks[..], [before, after] if after - before < 5), "{ticks:?}: {run:#?}");
}

#[test]
fn a_launcher_that_stands_still_answers_later() {
    let caller = Caller::new();
    let line =
        "$JAIL --ro . --trace-denied -- ./caller times 30000 & p=$!; sleep 0.2; kill -STOP $p; sleep 0.3; kill -CONT $p; wait $p";
    let run = outcome(script(&caller.0.0, line));
    assert_eq!((run.good(), told(&run).len()), ("30000", 2), "{run:#?}");
}

#[test]
fn of_nested_jails_one_traces() {
    let caller = Caller::new();
    let inner = format!("--ro {}", jail().display());
    let nested = |outer: &str, flags: &str| {
        let line = format!("{} --proc none {flags} --ro {} -- ./caller keyctl", jail().display(), caller.0.0.display());
        sh_in(&caller.0.0, &format!("--nested --ro . {inner} {outer}"), &line)
    };
    nested("--trace-denied", "--trace-denied").refused(&[
        "jail: --trace-denied: system calls by the default policy (seccomp); each refusal is told: ",
        "(os error 16)", // whose words are the C library's
        "refused by the kernel; it has one listener",
        "of nested jails one can have --trace-denied",
    ]);
    // And a command with a listener of its own has it where no other is.
    let listens = |flags: &str| sh_in(&caller.0.0, &format!("--ro . {flags}"), "./caller listen").out;
    assert_eq!((listens(""), listens("--trace-denied")), ("listen 0\n".into(), "listen 16\n".into()));
    // Each tells what it alone refuses: where another does, too, the kernel asks nobody.
    for (outer, inner, expected) in [
        ("", "--trace-denied", 0),
        ("--allow-syscall keyctl", "--trace-denied", 1),
        ("--trace-denied", "", 0),
        ("--trace-denied", "--seccomp none", 1),
    ] {
        let run = nested(outer, inner);
        assert_eq!(run.good(), "keyctl 1", "{outer} {inner}");
        let keyctl = told(&run).iter().filter(|line| line.contains("caller") && line.contains("keyctl")).count();
        assert_eq!(keyctl, expected, "{outer} {inner}: {run:#?}");
    }
}

#[test]
fn it_costs_nothing_where_it_is_not_asked_for() {
    let s = Scratch::new();
    let calls = |flags: &str| {
        outcome(script(&s.0, &format!("strace -f -o log $JAIL {flags} -- true"))).good();
        std::fs::read_to_string(s.0.join("log")).unwrap()
    };
    let traced = calls("--trace-denied");
    let plain = calls("");
    // What makes the network namespace is handed over by the same calls, once.
    for (call, without) in [(" seccomp(", 0), (" socketpair(", 1), (" sendmsg(", 1)] {
        let count = |log: &str| log.matches(call).count();
        assert!(count(&traced) > without && count(&plain) <= without, "{call}");
    }
}

#[test]
fn it_is_explained_and_refused_where_it_does_nothing() {
    run(&["--trace-denied", "--seccomp", "none", "--", "true"]).refused(&["--trace-denied: has no effect with --seccomp none"]);
    let explained = run(&["--trace-denied", "--explain", "--", "true"]);
    assert!(explained.good().contains("(seccomp); each refusal is told  [--trace-denied]"), "{explained:#?}");
    run(&["--trace-denied", "--deny-syscall", "@network-io", "--", "true"])
        .refused(&["--deny-syscall @network-io: refuses sendmsg, which --trace-denied needs", "add --allow-syscall sendmsg"]);
    // As the remedy says; and what else exec needs nothing of may be refused.
    let flags = "--deny-syscall @network-io --allow-syscall sendmsg --deny-syscall close --deny-syscall setitimer";
    let words = format!("--trace-denied {flags} -- busybox sh -c");
    let words: Vec<&str> = words.split_whitespace().chain(["exit 6"]).collect();
    assert_eq!(run(&words).status, 6);
}

/// Its reader ends in the middle.
#[test]
fn a_reader_that_goes_away_holds_nothing_up() {
    let caller = Caller::new();
    let mut jail = command(jail(), &caller.0.0, false);
    jail.args(["--ro", ".", "--trace-denied", "--", "./caller", "names", "2000"]);
    jail.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = jail.spawn().unwrap();
    let mut some = [0; 100];
    run.stderr.take().unwrap().read_exact(&mut some).unwrap();
    let ended = Outcome::from(run.wait_with_output().unwrap());
    assert_eq!(ended.good().lines().count(), 2000);
}

#[test]
fn refused_calls_leave_nothing_in_the_launchers_memory() {
    let mut child = command(jail(), Path::new("/"), false);
    child.args(["--trace-denied", "--", "python3", "-uc"]).arg(
        "import ctypes, sys
libc = ctypes.CDLL(None)
for n in (100, 5000):
    for i in range(n): libc.unshare(0x10000000)
    print('ready'); sys.stdin.readline()",
    );
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut memory = || {
        said.read_line(&mut String::new()).unwrap();
        let now = resident(child.id());
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        now
    };
    // Nothing is given back of it: what each took would stay.
    let (first, later) = (memory(), memory());
    assert!(later <= first + 32, "{first} kB, then {later} kB");
    child.wait().unwrap();
}
