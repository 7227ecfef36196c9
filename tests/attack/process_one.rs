//! Process 1, as the command sees it: its files in /proc, and what it holds. Calls on it
//! and signals to it are in processes.rs.

use crate::kit::*;
use crate::support::*;
use std::fs;

/// Attempts that a process may make on a child of its own, and not on process 1.
const ATTEMPTS: &[&str] = &[
    "call('ptrace', 0x4206, PID, 0, 0), call('ptrace', 0x4207, PID, 0, 0)",
    "call('process_madvise', os.pidfd_open(PID), vector(), 0, 20, 0)",
    "os.open(f'/proc/{PID}/mem', os.O_RDONLY)",
    "os.open(f'/proc/{PID}/mem', os.O_WRONLY)",
    "text(f'/proc/{PID}/maps')",
    "text(f'/proc/{PID}/smaps')",
    "text(f'/proc/{PID}/environ')",
    "text(f'/proc/{PID}/syscall')",
    "text(f'/proc/{PID}/personality')",
    "text(f'/proc/{PID}/io')",
    "bool(os.listdir(f'/proc/{PID}/fd'))",
    "bool(os.listdir(f'/proc/{PID}/fdinfo'))",
    "bool(os.listdir(f'/proc/{PID}/map_files'))",
    "bool(os.readlink(f'/proc/{PID}/exe'))",
    "bool(os.readlink(f'/proc/{PID}/cwd'))",
    "os.open(f'/proc/{PID}/root/', os.O_PATH | os.O_DIRECTORY)",
    "os.open(f'/proc/{PID}/ns/mnt', os.O_RDONLY)",
    "os.open(f'/proc/{PID}/ns/user', os.O_RDONLY)",
    "os.open(f'/proc/{PID}/ns/pid', os.O_RDONLY)",
    "write(f'/proc/{PID}/timerslack_ns', b'50000')",
    "write(f'/proc/{PID}/sched', b'0')",
];

#[test]
fn its_files_in_proc_are_closed() {
    let kit = Kit::with("own = child(); time.sleep(0.05)");
    // Kernels differ in these for a process of one's own.
    let optional = ["process_madvise", "/syscall", "/personality", "/sched", "/timerslack_ns", "map_files", "/io"];
    for flags in ["", "--as-root", "--as-root --cap sys_ptrace", "--nested"] {
        let attempts: Vec<_> = ATTEMPTS.iter().map(|attempt| (attempt.replace("PID", "1"), "EPERM|EACCES|ENOENT")).collect();
        let own = ATTEMPTS.iter().filter(|attempt| !optional.iter().any(|word| attempt.contains(word)));
        let own: Vec<_> = own.map(|attempt| (attempt.replace("PID", "own"), "done|read")).collect();
        let cases = attempts.iter().chain(&own).map(|(attempt, given)| (attempt.as_str(), *given));
        kit.inside(flags, &cases.collect::<Vec<_>>());
    }
    // The call stack of the kernel is for the host's root alone, of one's own process too.
    kit.inside("", &[("text('/proc/1/stack')", "EPERM|EACCES|ENOENT")]);
}

#[test]
fn no_process_is_seen_but_those_of_the_jail() {
    let pids = |flags: &str| sh(flags, "echo /proc/[0-9]*").good().to_owned();
    for flags in ["", "--as-root", "--as-root --cap sys_ptrace", "--nested", "--new-session"] {
        assert_eq!(pids(flags), "/proc/1 /proc/2", "{flags}");
    }
    assert_eq!(pids("--init none"), "/proc/1");
    // The allowed twin: its own children, and with --pid host the launcher above it.
    assert_eq!(sh("", "sleep 9 & echo /proc/[0-9]*").good(), "/proc/1 /proc/2 /proc/3");
    assert!(pids("--pid host").split(' ').count() > 3);
}

#[test]
fn a_stream_open_for_reading_is_not_opened_again_for_writing() {
    let kit = Kit::new();
    kit.0.file("data", "data\n");
    let attempts = [
        "os.open('/proc/self/fd/0', os.O_WRONLY)",
        "os.open('/dev/stdin', os.O_RDWR)",
        "os.open('/proc/self/fd/0', os.O_WRONLY | os.O_TRUNC)",
        "os.truncate('/proc/self/fd/0', 0)",
        "os.ftruncate(0, 0)",
        "call('write', 0, b'x', 1)",
        "call('fallocate', 0, 0, 0, 4096)",
        "call('linkat', -100, b'/proc/self/fd/0', -100, b'/tmp/data', 0x400)",
    ];
    let words: String = attempts.map(|attempt| format!(" \"{attempt}\"")).concat();
    let line = |flags: &str| format!("jail {flags} --ro-bind kit.py /kit.py -- python3 /kit.py{words} < data");
    // By the user: the file is the user's, so that its mode would let the user write.
    let out = outside_in(&kit.0.0, false, &line(""));
    for (attempt, given) in attempts.iter().zip(out.good().lines()) {
        assert!(["EACCES", "EINVAL", "EBADF", "EXDEV"].contains(&given), "{attempt}: {given}");
    }
    assert_eq!(out.out.lines().count(), attempts.len());
    assert_eq!(fs::read_to_string(kit.0.0.join("data")).unwrap(), "data\n");
    // The allowed twin: outside, the user opens it again and truncates it.
    let outside = outside_in(&kit.0.0, false, &format!("python3 kit.py{words} < data"));
    assert_eq!(outside.good().lines().next(), Some("done"));
    assert_eq!(fs::read_to_string(kit.0.0.join("data")).unwrap(), "");
}
