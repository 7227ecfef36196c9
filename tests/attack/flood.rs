//! A command that has the launcher write or answer without end. It ends in time, and what
//! the launcher writes stays bounded. Other floods of --trace-denied are in tests/trace.rs.

use crate::support::*;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Four processes make refused calls without end, each under another name of the thread,
/// with a line break and a command for the terminal in it.
const FLOOD: &str = r#"
import ctypes, os, time
libc = ctypes.CDLL(None)
def flood(k):
    n = 0
    while True:
        n += 1
        libc.prctl(15, b"n%d-%d\n\x1b[31m" % (k, n), 0, 0, 0)
        libc.syscall(NUMBERS[0], 0, 0, 0, 0, 0); libc.syscall(NUMBERS[1], 0, 0, 0, 0, 0)
for k in range(4):
    if os.fork() == 0: flood(k)
time.sleep(60)
"#;

/// Starts it with a time limit. The policy refuses `mount` and `perf_event_open`.
fn flood(s: &Scratch) -> std::process::Command {
    let number = |name: &str| {
        let arch = if cfg!(target_arch = "x86_64") { crate::table::Arch::X86_64 } else { crate::table::Arch::Aarch64 };
        crate::table::find(name).unwrap().number(arch).unwrap()
    };
    let numbers = format!("NUMBERS = [{}, {}]\n", number("mount"), number("perf_event_open"));
    s.file("flood.py", &format!("{numbers}{FLOOD}"));
    let mut command = command(jail(), &s.0, false);
    command.args(["--trace-denied", "--timeout", "1", "--grace", "0.5", "--ro", ".", "--", "python3", "flood.py"]);
    command
}

#[test]
fn refused_calls_under_many_names_end_in_time_and_in_few_lines() {
    let s = Scratch::new();
    let start = Instant::now();
    let run = outcome(flood(&s));
    let took = start.elapsed();
    assert_eq!(run.status, 124, "{run:#?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    // At most 1000 different ones, that there are more, and the number of these; and that the
    // time is over. A busy machine makes fewer.
    let lines = run.err.lines().count();
    assert!((50..=1004).contains(&lines), "{lines} lines");
    assert!(lines < 1000 || run.err.contains("refusals more are not told"), "{}", run.err.lines().last().unwrap());
    assert!(!run.err.contains('\x1b') && run.err.lines().all(|line| line.starts_with("jail: ")));
}

#[test]
fn refused_calls_whose_report_is_not_read_end_in_time() {
    let s = Scratch::new();
    let start = Instant::now();
    let mut child = flood(&s).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(124));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    // A pipe holds 64 KiB: the launcher had more to say.
    let mut said = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut said).unwrap();
    assert!(said.len() > 3_000, "{}", said.len());
}

#[test]
fn output_to_a_terminal_of_its_own_that_is_not_read_ends_in_time() {
    let s = Scratch::new();
    let start = Instant::now();
    let mut jail = command(jail(), &s.0, false);
    jail.args(["--pty", "--timeout", "0.5", "--grace", "0.5", "--", "yes"]);
    let mut child = jail.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(124));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let mut said = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    assert!(said.starts_with(b"y\r\ny\r\n") && said.len() <= 1 << 20, "{}", said.len());
}
