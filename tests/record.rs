//! --timeout, and the record that --status-fd gets.

mod support;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::*;

/// Runs jail with `flags` and a script, and gives what it was and the record's
/// lines as Python prints them: fields in the order of their names.
fn recorded(flags: &str, script: &str) -> (Outcome, Vec<String>) {
    let s = Scratch::new();
    let mut shell = command(Path::new("/bin/sh"), &s.0, false);
    let line = format!("exec {} {flags} --status-fd 3 -- sh -c \"$1\" 3> record", jail().display());
    shell.args(["-c", &line, "sh", script]);
    let outcome = outcome(shell);
    let read = "import json, sys
for line in open('record'): print(json.dumps(json.loads(line), sort_keys=True))";
    let lines = Command::new("python3").args(["-c", read]).current_dir(&s.0).output().unwrap();
    assert!(lines.status.success(), "every line is JSON: {lines:?}");
    (outcome, String::from_utf8(lines.stdout).unwrap().lines().map(String::from).collect())
}

fn has(line: &str, fields: &[&str]) {
    for field in fields {
        assert!(line.contains(field), "{field} is not in {line}");
    }
}

#[test]
fn a_code_and_a_signal_are_told_apart() {
    for flags in ["", "--pid host"] {
        let (out, lines) = recorded(flags, "exit 139");
        assert_eq!((out.status, lines.len()), (139, 2));
        has(&lines[1], &["\"code\": 139", "\"signal\": null", "\"reason\": \"exit\"", "\"status\": 139", "\"error\": null"]);
        let (out, lines) = recorded(flags, "kill -SEGV $$");
        assert_eq!(out.status, 139);
        has(&lines[1], &["\"code\": null", "\"signal\": 11", "\"reason\": \"signal\"", "\"status\": 139"]);
    }
}

#[test]
fn the_start_names_the_process_and_its_namespaces() {
    for flags in ["", "--pid host --net host", "--init none", "--as-root --cap sys_admin", "--proc none"] {
        let s = Scratch::new();
        let mut shell = command(Path::new("/bin/sh"), &s.0, false);
        // The outside looks while the command waits.
        let look = r#"
import json, os
start = json.loads(open("record").readline())
pid, first = start["pid"], start["process_1"]
for name, inode in start["namespaces"].items():
    assert os.stat(f"/proc/{pid}/ns/{name}").st_ino == inode, name
print(open(f"/proc/{pid}/comm").read().strip(), os.path.exists(f"/proc/{first}"), len(start["namespaces"]), start["layers"], start["degraded"])
"#;
        s.file("look.py", look);
        let script = format!(
            "mkfifo go; {jail} {flags} --rw . --status-fd 3 -- sh -c 'read word < go' 3> record & sleep 0.3; python3 look.py; echo > go; wait",
            jail = jail().display()
        );
        shell.args(["-c", &script]);
        let out = outcome(shell);
        assert_eq!(
            out.good(),
            "sh True 7 ['namespaces', 'mounts', 'capabilities', 'no_new_privs', 'landlock', 'seccomp'] []",
            "{flags}: {}",
            out.err
        );
    }
}

#[test]
fn times_and_memory_are_measured() {
    let (_, lines) = recorded(
        "",
        "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 0.3; head -c 50000000 /dev/zero | tail -c 40000000 | wc -c >/dev/null",
    );
    let number = |name: &str| {
        let rest = lines[1].split(&format!("\"{name}\": ")).nth(1).unwrap();
        rest.split([',', '}']).next().unwrap().parse::<f64>().unwrap()
    };
    assert!(number("wall") > 0.3 && number("user") > 0.01 && number("user") < number("wall"), "{lines:?}");
    assert!(number("peak_memory") > 40e6 && number("peak_memory") < 200e6, "{lines:?}");
}

#[test]
fn a_failed_launch_is_recorded_as_it_is_printed() {
    let s = Scratch::new();
    let run = |flags: &str| {
        let mut shell = command(Path::new("/bin/sh"), &s.0, false);
        shell.args(["-c", &format!("{} {flags} 3>&1", jail().display())]);
        outcome(shell)
    };
    let out = run("--status-fd 3 --ro /nope -- true");
    assert_eq!(out.status, 125);
    has(
        &out.out,
        &[
            "\"reason\":\"launcher\"",
            "\"status\":125",
            "\"flag\":\"--ro /nope\"",
            "\"step\":\"find the source /nope\"",
            "\"remedy\":\"create it first",
        ],
    );
    assert_eq!(out.out.lines().count(), 1, "it did not start");
    let out = run("--status-fd 3 -- no-such-command");
    has(&out.out, &["\"status\":127", "\"errno\":2", "\"reason\":\"launcher\""]);
    assert_eq!(out.out.lines().count(), 1, "it did not start");
    let out = run("--rlimit core=0 --rlimit core=1 --status-fd 3 -- true");
    has(&out.out, &["\"status\":125", "\"layer\":\"the command line\"", "named twice"]);
    run("--status-fd 9 -- true").refused(&["--status-fd 9", "it is not open"]);
    let mut shell = command(Path::new("/bin/sh"), &s.0, false);
    shell.args(["-c", &format!("{} --status-fd 3 -- true 3</etc/passwd", jail().display())]);
    outcome(shell).refused(&["--status-fd 3", "for reading only"]);
}

#[test]
fn the_inside_cannot_write_records() {
    let (_, lines) = recorded("", "echo forged >&3; ls /proc/1/fd /proc/self/fd | grep -c 3");
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn a_reader_that_is_gone_does_not_harm_the_command() {
    let mut shell = command(Path::new("/bin/bash"), Path::new("/"), false);
    shell.args(["-c", &format!("{} --status-fd 3 -- sh -c 'sleep 0.2; exit 6' 3> >(:); echo $?", jail().display())]);
    assert_eq!(outcome(shell).good(), "6");
}

#[test]
fn time_is_up() {
    for flags in ["", "--pid host", "--init none"] {
        let start = Instant::now();
        // As process 1 it is asked in vain, unless it handles the signal.
        let grace = if flags == "--init none" { " --grace 100ms" } else { "" };
        let (out, lines) = recorded(&format!("{flags} --timeout 300ms{grace}"), "sleep 1000");
        assert_eq!(out.status, 124, "{flags}");
        assert!(start.elapsed() >= Duration::from_millis(300) && start.elapsed() < Duration::from_secs(4), "{flags}");
        let signal = if flags == "--init none" { "\"signal\": 9" } else { "\"signal\": 15" };
        has(&lines[1], &["\"reason\": \"timeout\"", "\"status\": 124", signal]);
    }
}

#[test]
fn who_does_not_end_is_killed_after_the_grace() {
    for flags in ["", "--pid host"] {
        let start = Instant::now();
        let out = sh(
            &format!("{flags} --timeout 0.2 --grace 300ms"),
            "trap 'echo asked' TERM; sh -c 'trap \"\" TERM; sleep 77077' & while :; do sleep 0.05; done",
        );
        assert_eq!((out.status, out.out.as_str()), (124, "asked\n"), "{flags}");
        assert!(start.elapsed() >= Duration::from_millis(500) && start.elapsed() < Duration::from_secs(4), "{flags}");
        let left = Command::new("pgrep").args(["-f", "sleep 77077"]).output().unwrap();
        assert!(left.stdout.is_empty(), "{flags}");
    }
}

#[test]
fn who_ends_in_time_keeps_its_status_and_who_stops_does_not_escape() {
    assert_eq!(sh("--timeout 1h", "exit 3").status, 3);
    assert_eq!(sh("--timeout 300ms --grace 1m", "kill -STOP $$").status, 124, "it is continued to be ended");
    assert_eq!(sh("--timeout 300ms", "trap 'exit 0' TERM; while :; do sleep 0.05; done").status, 124);
}

#[test]
fn limits_hold_for_each_process() {
    let out = sh(
        "--rlimit nofile=99 --rlimit core=0:0 --rlimit cpu=7:9 --rlimit stack=1000000:unlimited",
        "ulimit -n; ulimit -c; ulimit -St; ulimit -Ht; ulimit -Hs",
    );
    if out.status == 125 {
        // A caller with a hard stack limit cannot have it raised.
        out.refused(&["--rlimit stack=1000000:unlimited", "a hard limit can be lowered and not raised"]);
    } else {
        assert_eq!(out.good(), "99\n0\n7\n9\nunlimited");
    }
    let out = sh("--rlimit fsize=4096", "head -c 10000 /dev/zero > /tmp/f; ls -l /tmp/f | cut -d' ' -f5");
    assert_eq!(out.good(), "4096");
    let out = sh("--rlimit cpu=1:3", "while :; do :; done");
    assert_eq!(out.status, 128 + 24, "SIGXCPU");
    let out = sh("--rlimit nproc=5", "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait");
    assert!(
        out.err.contains("fork") || out.err.contains("Resource temporarily"),
        "the jail's own processes are counted: {out:?}"
    );
    assert_eq!(sh("", "ulimit -n; ulimit -c; ulimit -u").out, {
        let mut shell = command(Path::new("/bin/sh"), Path::new("/"), false);
        shell.args(["-c", "ulimit -n; ulimit -c; ulimit -u"]);
        outcome(shell).out
    });
}

#[test]
fn a_hard_limit_is_not_raised() {
    let mut shell = command(Path::new("/bin/sh"), Path::new("/"), false);
    shell.args(["-c", &format!("ulimit -n 100; {} --rlimit nofile=200 -- true", jail().display())]);
    outcome(shell).refused(&[
        "--rlimit nofile=200",
        "limit nofile: 200",
        "Operation not permitted",
        "a hard limit can be lowered and not raised",
    ]);
}

#[test]
fn limits_of_the_whole_jail_are_refused_where_there_is_no_cgroup_for_them() {
    // tests/kernels.rs has one; this user has none.
    let out = sh("--memory 100m", "echo not reached");
    out.refused(&["--memory 100m: make a cgroup for the jail", "the cgroup tree", "systemd-run --user --scope -p Delegate=yes"]);
    assert_eq!(out.out, "");
}
