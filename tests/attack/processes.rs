//! Processes: those outside, process 1, and what the command's status is made of. That
//! everything dies with the jail is in tests/life.rs, that process 1 shows nothing of
//! the launcher in tests/identity.rs, gdb and strace inside in tests/syscalls.rs.

use crate::kit::*;
use crate::support::*;
use std::path::Path;
use std::process::Child;

#[test]
fn process_1_is_out_of_reach() {
    let kit = Kit::with("own = child(); time.sleep(0.05)");
    let attempts = [
        "attach(P)",
        "call('process_vm_readv', P, vector(), 1, vector(), 1, 0)",
        "call('process_vm_writev', P, vector(), 1, vector(), 1, 0)",
        "call('pidfd_getfd', os.pidfd_open(P), 0, 0)",
        "call('kcmp', os.getpid(), P, 2, 0, 0)",
        "bool(os.readlink(f'/proc/{P}/ns/net'))",
        "bool(os.readlink(f'/proc/{P}/root'))",
        "bool(open(f'/proc/{P}/auxv', 'rb').read())",
        "write(f'/proc/{P}/coredump_filter', b'0')",
    ];
    let (one, own) = (attempts.map(|attempt| attempt.replace('P', "1")), attempts.map(|attempt| attempt.replace('P', "own")));
    for flags in ["", "--as-root", "--as-root --cap sys_ptrace", "--as-root --cap sys_admin --cap sys_resource --nested"] {
        let refused = one.iter().map(|attempt| (attempt.as_str(), "EPERM|EACCES"));
        let done = own.iter().map(|attempt| (attempt.as_str(), "done"));
        kit.inside(flags, &refused.chain(done).collect::<Vec<_>>());
        // It takes no signal that would end or stop it.
        let signals = "for s in KILL STOP TERM HUP INT SEGV USR1 TSTP CHLD 34 64; do kill -$s 1; done; sleep 0.1; cut -d' ' -f3 /proc/1/stat";
        assert_eq!(sh(flags, signals).good(), "S", "{flags}");
    }
}

/// A process of the user's outside.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        let mut sleep = command(Path::new("/bin/sleep"), Path::new("/"), false);
        sleep.arg("1000");
        Self(sleep.spawn().expect("start sleep"))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_number_names_a_process_outside() {
    let sleeper = Sleeper::new();
    let kit = Kit::with(&format!("p = {}", sleeper.0.id()));
    let attempts = [
        "os.kill(p, 0)",
        "os.pidfd_open(p)",
        "os.getpgid(p)",
        "os.sched_getaffinity(p)",
        "os.sched_setaffinity(p, os.sched_getaffinity(0))",
        "os.getpriority(os.PRIO_PROCESS, p)",
        "os.setpriority(os.PRIO_PROCESS, p, 19)",
        "call('ioprio_set', 1, p, 3 << 13)",
        "call('prlimit64', p, 7, None, vector(16))",
        "call('process_vm_readv', p, vector(), 1, vector(), 1, 0)",
        "call('rt_sigqueueinfo', p, 0, bytes(128))",
        "call('tgkill', p, p, 0)",
        "call('ptrace', 0x4206, p, 0, 0)",
        "fcntl.fcntl(0, fcntl.F_SETOWN, p)",
        "os.stat(f'/proc/{p}')",
    ];
    for flags in ["", "--as-root --cap sys_ptrace", "--init none", "--nested"] {
        kit.inside(flags, &attempts.map(|attempt| (attempt, "ESRCH|ENOENT|EPERM")));
        // EPERM is no answer that there may be: it would say that there is one.
        kit.inside(flags, &attempts[..6].iter().map(|attempt| (*attempt, "ESRCH")).collect::<Vec<_>>());
    }
    // The allowed twin: each names it outside, where the kernel may want more for one.
    kit.outside(
        &attempts.map(|attempt| (attempt, if attempt.contains("vm_readv") { "EFAULT|EPERM" } else { "done|EPERM|EINVAL" })),
    );
    kit.outside(&attempts[..7].iter().map(|attempt| (*attempt, "done")).collect::<Vec<_>>());
}

#[test]
fn the_callers_process_group_is_not_slowed_down() {
    let kit = Kit::new();
    // Of a group from outside the number is 0, and nothing else asks whose it is.
    let attempts: [Case; 4] = [
        ("os.setpriority(os.PRIO_PGRP, 0, 18)", "EPERM"),
        ("call('ioprio_set', 2, 0, 3 << 13)", "EPERM"),
        ("os.setpriority(os.PRIO_USER, 0, 19)", "done"),
        ("call('ioprio_set', 3, os.getuid(), 3 << 13)", "done"),
    ];
    let words: String = attempts.map(|(attempt, _)| format!(" \"{attempt}\"")).concat();
    let niceness = outside_in(&kit.0.0, false, "nice").good().to_owned();
    for (flags, slowed) in [("", false), ("--as-root", false), ("--init none", false), ("--seccomp none", true)] {
        let line = format!(
            "sleep 1000 & jail {flags} --ro-bind kit.py /kit.py -- python3 /kit.py{words}; ps -o ni= -p $!; ionice -p $!; kill $!"
        );
        kit.0.file("line", &line);
        let out = outside_in(&kit.0.0, false, "exec setsid -w sh ./line");
        let mut lines = out.good().lines().map(str::trim).collect::<Vec<_>>();
        let class = lines.pop().unwrap();
        let expected =
            if slowed { ["done", "done", "done", "done", "18"] } else { ["EPERM", "EPERM", "done", "done", niceness.as_str()] };
        assert_eq!(lines, expected, "{flags}: {out:?}");
        assert_eq!(class == "idle", slowed, "{flags}: {out:?}");
    }
    // The allowed twin: oneself, and a group that has a number.
    let own = "os.setpgid(0, 0), os.setpriority(os.PRIO_PGRP, os.getpgrp(), 17), call('ioprio_set', 2, os.getpgrp(), 3 << 13)";
    kit.inside("", &[("os.nice(1)", "done"), (own, "done"), ("str(os.nice(0))", "17")]);
}

#[test]
fn a_command_that_its_parent_traces_is_ended_all_the_same() {
    let kit = Kit::new();
    // By PTRACE_TRACEME the reaper, or with --init none the launcher, comes to trace it.
    // It stands still at a signal that would end who does not know it.
    let stop = "call('ptrace', 0, 0, 0, 0), os.kill(os.getpid(), signal.SIGUSR1)";
    for flags in ["", "--init none", "--pid host"] {
        let flags = format!("{flags} --timeout 0.3 --grace 0.1 --ro-bind kit.py /kit.py -- python3 /kit.py");
        let start = std::time::Instant::now();
        let out = run_in(&kit.0.0, &flags.split_whitespace().chain([stop]).collect::<Vec<_>>());
        assert_eq!(out.status, 124, "{flags}: {out:?}");
        assert!(start.elapsed().as_secs() < 5, "{flags}");
    }
    // The allowed twin: a child of one's own is traced and goes on.
    kit.inside("", &[("attach(child())", "done")]);
    // A jailed root has more power than its parent, which then may not.
    kit.inside("--as-root", &[("call('ptrace', 0, 0, 0, 0)", "EPERM")]);
}

#[test]
fn a_sibling_of_the_command_is_not_the_command() {
    // CLONE_PARENT makes a child of the reaper's; its end is not the end.
    let sibling = |script: &str| {
        let kit = Kit::with(script);
        run_in(&kit.0.0, &["--ro-bind", "kit.py", "/kit.py", "--", "python3", "/kit.py"]).status
    };
    let clone = "pid = libc.syscall(CALLS['clone'], ctypes.c_long(0x8011), 0, 0, 0, 0)";
    assert_eq!(sibling(&format!("{clone}\nif pid == 0: os._exit(9)\ntime.sleep(0.2); os._exit(3)")), 3);
    assert_eq!(sibling(&format!("{clone}\nif pid == 0: time.sleep(1000)\nos._exit(4)")), 4);
    assert_eq!(sibling(&format!("{clone}\nif pid == 0: os.kill(os.getpid(), 9)\ntime.sleep(0.2); os._exit(5)")), 5);
}

/// Runs `line` in a session and process group of its own, in which a process sleeps
/// beside `jail`; says how both are afterwards. The record tells whether the launcher
/// lived to its end.
fn beside_a_sleeper(flags: &str, inside: &str) -> Outcome {
    let s = Scratch::new();
    s.file("inside.pl", inside);
    let line = format!(
        "sleep 1000 & \
         jail {flags} --ro . --status-fd 3 -- perl inside.pl 3> record; echo status $?; \
         read -r _ _ state rest < /proc/$!/stat && echo sleeper $state | tr R S; \
         kill -KILL $!; grep -o '\"event\":\"end\"' record"
    );
    s.file("line", &line);
    outside_in(&s.0, false, "exec setsid -w sh ./line")
}

#[test]
fn no_signal_reaches_the_callers_process_group() {
    let check = run(&["--check"]);
    let kept_in = check.out.lines().any(|line| line.starts_with("Landlock") && line.contains("signals"));
    if !kept_in {
        // Before Linux 6.12, as the manual has it.
        skip("this kernel has no Landlock that keeps signals in");
    }
    let plain: &[&str] = &["", "--as-root", "--init none", "--as-root --cap sys_admin"];
    for flags in plain.iter().filter(|_| kept_in).chain(&["--new-session", "--new-session --as-root"]) {
        for (signal, number) in [("KILL", 9), ("TERM", 15), ("HUP", 1)] {
            // The allowed twin: one's own process is in that group, and can be ended.
            let out =
                beside_a_sleeper(flags, &format!("kill '{signal}', 0; select undef, undef, undef, 0.2; print \"alive\\n\""));
            let own = if flags.contains("--init none") { "alive\nstatus 0".into() } else { format!("status {}", 128 + number) };
            assert_eq!(out.out, format!("{own}\nsleeper S\n\"event\":\"end\"\n"), "{flags} {signal}: {}", out.err);
        }
        // -1 is everyone that one may signal.
        let out = beside_a_sleeper(
            flags,
            "$SIG{CHLD} = 'IGNORE'; unless (fork) { sleep 1000 } select undef, undef, undef, 0.1; print kill('KILL', -1), \"\\n\"",
        );
        assert_eq!(out.out, "1\nstatus 0\nsleeper S\n\"event\":\"end\"\n", "{flags}: {}", out.err);
        if flags.contains("--new-session") {
            // The command leads its session and cannot leave its group.
            continue;
        }
        // A stop would reach the command, too, and by it the launcher, as it should; so the
        // command leaves the group and has a child in it that sends. It kills the child
        // before it ends: else the kernel would hang the group up.
        let stop = "$child = fork;
unless ($child) { select undef, undef, undef, 0.2; kill 'STOP', 0; exit }
setpgrp 0, 0;
for (1 .. 200) { open F, qq(/proc/$child/stat); ($state) = <F> =~ /\\) (.)/; last if $state eq 'T'; select undef, undef, undef, 0.01 }
print qq(the child is $state\\n);
kill 'KILL', $child; waitpid $child, 0";
        let out = beside_a_sleeper(flags, stop);
        assert_eq!(out.out, "the child is T\nstatus 0\nsleeper S\n\"event\":\"end\"\n", "{flags}: {}", out.err);
    }
}

#[test]
fn a_session_of_its_own_keeps_the_kernels_hang_up_from_the_callers_group() {
    // A process group is orphaned where no job-control shell is above it, as in CI. A
    // child of the jail's in that group, whose parent has another, makes it one that is
    // not; when the parent ends while the child is stopped, the kernel sends SIGHUP and
    // SIGCONT to the whole group, and no Landlock is asked. The manual says so.
    let hang_up = "unless (fork) {
    unless (fork) { kill 'STOP', $$; sleep 1000; exit }
    setpgrp 0, 0; select undef, undef, undef, 0.2; exit
}
$SIG{HUP} = 'IGNORE'; sleep 1; print qq(the command lives\\n)";
    for flags in ["--new-session", "--new-session --as-root", "--new-session --init none"] {
        let out = beside_a_sleeper(flags, hang_up);
        assert!(out.out.ends_with("sleeper S\n\"event\":\"end\"\n"), "{flags}: {out:?}");
    }
}
