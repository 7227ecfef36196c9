//! --pty: a terminal of the jail's own, relayed byte for byte, and the caller's
//! put right on every way out.

#[path = "support/pty.rs"]
mod pty;
mod support;
use pty::Person;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::*;

fn here() -> &'static Path {
    Path::new("/")
}

/// The shell's terminal is as it was: a line is echoed and edited.
fn restored(person: &mut Person, before: &str) {
    person.types("\n");
    person.sees("ready> ");
    assert_eq!(person.asks("stty -a"), before);
}

#[test]
fn it_is_a_terminal_whatever_the_caller_has() {
    let out = sh("--pty", "tty; test -t 0 && test -t 1 && test -t 2 && stty size; exit 5");
    assert_eq!((out.status, out.out.replace('\r', "").as_str()), (5, "/dev/pts/0\n24 80\n"));
    assert_ne!(sh("", "test -t 1").status, 0);
    // Without pseudo-terminals in the jail's /dev it has no name there.
    assert_eq!(sh("--pty --dev none", "test -t 1 && exit 4").status, 4);
    assert_eq!(sh("--pty --init none", "test -t 1 && exit 4").status, 4);
    assert_eq!(sh("--pty --pid host", "test -t 1 && exit 4").status, 4);
    run(&["--pty", "--new-session", "--", "true"]).refused(&["--new-session", "no effect"]);
}

#[test]
fn input_and_its_end_reach_the_command() {
    let piped = |input: &str, script: &str| {
        let mut shell = command(Path::new("/bin/sh"), here(), false);
        shell.args(["-c", &format!("printf '{input}' | {} --pty -- {script}", jail().display())]);
        outcome(shell)
    };
    assert_eq!(piped("one\\ntwo\\n", "cat").out, "one\r\ntwo\r\n");
    assert_eq!(piped("no newline", "cat").out, "no newline");
    assert_eq!(piped("", "cat").status, 0);
    assert_eq!(piped("", "sh -c 'exec <&- >&- 2>&-; sleep 0.3; exit 6'").status, 6, "closed streams hang nothing up");
    let mut closed = command(Path::new("/bin/sh"), here(), false);
    closed.args(["-c", &format!("{} --pty -- sh -c 'echo x; exit 3' <&- >&-", jail().display())]);
    assert_eq!(outcome(closed).status, 3);
}

#[test]
fn a_terminal_of_an_outer_process_table_is_taken_and_restored() {
    // Its foreground group has no number here, and nor has this one.
    let mut person = Person::at_a_shell(here());
    let before = person.asks("stty -a");
    let script = format!("{} --pty -- sh -c 'read -r line; echo got $line'", jail().display());
    person.types(&format!("unshare -Urpf --mount-proc {script}\n"));
    person.waits(700);
    assert!(person.settings().contains("-icanon"), "{}", person.settings());
    person.types("some\r");
    person.sees("got some");
    // The relay takes what is typed before its end.
    person.sees("ready> ");
    restored(&mut person, &before);
}

#[test]
fn every_byte_passes_both_ways() {
    let s = Scratch::new();
    let all: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(s.0.join("all"), &all).unwrap();
    let mut shell = command(Path::new("/bin/sh"), &s.0, false);
    // Once the terminal is raw, it changes nothing. What is sent before is not.
    let script = "stty raw -echo; printf R; head -c 100000 > copy; cat copy; printf E";
    let line = format!(
        "mkfifo in; {} --rw . --pty -- sh -c '{script}' < in > out & exec 3> in; while [ ! -s out ]; do sleep 0.02; done; cat all >&3; wait",
        jail().display()
    );
    shell.args(["-c", &line]);
    outcome(shell).good();
    let out = std::fs::read(s.0.join("out")).unwrap();
    assert_eq!((out.len(), out[0], out[out.len() - 1]), (100_002, b'R', b'E'));
    assert!(out[1..100_001] == all[..]);
}

#[test]
fn a_shell_inside_has_job_control_and_the_callers_size() {
    let mut person = Person::at_a_shell(here());
    person.resizes(30, 90);
    let before = person.asks("stty -a");
    person.types("jail --pty -- bash --norc --noprofile -i\n");
    person.sees("$ ");
    person.types("PS1='inner''> '; bind 'set enable-bracketed-paste off'\n");
    person.sees("inner> ");
    person.types("stty size\n");
    person.sees("30 90");
    person.resizes(35, 95);
    person.types("stty size\n");
    person.sees("35 95");
    person.resizes(30, 90);
    person.sees("inner> ");
    // Typed signals go to what is in the foreground there, and nowhere else.
    person.types("sleep 1000\n");
    person.sees("sleep 1000\r\n");
    person.waits(200);
    person.types("\x1a");
    person.sees("Stopped");
    person.types("fg\n");
    person.sees("sleep 1000\r\n");
    person.waits(200);
    person.types("\x03");
    person.sees("inner> ");
    person.types("echo status $?\n");
    person.sees("status 130");
    person.types("exit 7\n");
    person.sees("ready> ");
    assert_eq!(person.asks("echo $?"), "7");
    restored(&mut person, &before);
}

#[test]
fn the_callers_terminal_is_restored_on_every_way_out() {
    let mut person = Person::at_a_shell(here());
    let before = person.asks("stty -a");
    for (flags, end) in [
        ("", "exit 3"),
        ("", "kill -KILL $$"),
        ("--timeout 500ms --grace 100ms", "trap '' TERM; sleep 1000"),
        ("", "echo up; read word"),
        ("--pid host", "exit 3"),
    ] {
        person.types(&format!("jail --pty {flags} -- sh -c \"stty -echo raw; {end}\"; echo over\n"));
        if end.contains("read") {
            person.sees("up");
            person.waits(100);
            person.types("\n");
            // Raw: a return and no newline ends no line; the line is hung up.
            person.types("\x04\n");
        }
        person.sees("over\r\n");
        person.sees("ready> ");
        restored(&mut person, &before);
    }
    // The command cannot be executed.
    assert!(person.asks("jail --pty -- no-such-command").contains("not found"));
    restored(&mut person, &before);
    // It is killed, and cannot do so itself.
    person.types("jail --pty -- sh -c 'echo up; sleep 1000'\n");
    person.sees("up\r\n");
    person.waits(200);
    let find = Command::new("pgrep").args(["-n", "-f", "jail --pty -- sh -c echo up"]).output().unwrap();
    for pid in String::from_utf8(find.stdout).unwrap().split_whitespace() {
        assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());
    }
    person.sees("Killed");
    person.sees("ready> ");
    person.waits(200);
    restored(&mut person, &before);
}

#[test]
fn it_stops_and_goes_on_with_the_command() {
    let mut person = Person::at_a_shell(here());
    let before = person.asks("stty -a");
    person.types("jail --pty -- sh -c 'echo up; kill -STOP $$; echo goes on; read word; echo it is $word'\n");
    person.sees("Stopped");
    person.sees("ready> ");
    restored(&mut person, &before);
    person.types("fg\n");
    person.sees("goes on");
    person.types("blue\n");
    person.sees("it is blue");
    person.sees("ready> ");
    restored(&mut person, &before);
    // Started in the background it leaves the terminal alone.
    person.types("jail --pty -- sh -c 'sleep 0.5; read word; echo it is $word' &\n");
    person.sees("ready> ");
    restored(&mut person, &before);
    person.waits(600);
    person.types("fg\n");
    person.waits(500);
    person.types("green\n");
    person.sees("it is green");
    person.sees("ready> ");
    restored(&mut person, &before);
}

#[test]
fn a_reader_that_is_gone_does_not_hold_the_command_up() {
    let start = Instant::now();
    let mut shell = command(Path::new("/bin/sh"), here(), false);
    shell.args([
        "-c",
        &format!(
            "{} --pty -- sh -c 'i=0; while [ $i -lt 20000 ]; do echo line; i=$((i+1)); done; exit 3' | head -n 1",
            jail().display()
        ),
    ]);
    assert_eq!(outcome(shell).out, "line\r\n");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn streams_that_are_closed_or_of_no_use_end_the_input() {
    for redirections in ["<&-", "0> out", "< /dev/null", "<&- >&-"] {
        let s = Scratch::new();
        let mut shell = command(Path::new("/bin/sh"), &s.0, false);
        shell.args(["-c", &format!("timeout 5 {} --pty -- sh -c 'cat; exit 6' {redirections}", jail().display())]);
        assert_eq!(outcome(shell).status, 6, "{redirections}");
    }
}

#[test]
fn nobody_outside_holds_it_up() {
    // A reader that does not read: the time limit and a signal still end it.
    let stuck = |flags: &str, end: &str| {
        let mut shell = command(Path::new("/bin/bash"), here(), false);
        let line = format!(
            "{} --pty {flags} -- yes > >(exec sleep 6 > /dev/null 2>&1) & p=$!; {end}; wait $p; echo $?",
            jail().display()
        );
        shell.args(["-c", &line]);
        let start = Instant::now();
        (outcome(shell).out, start.elapsed())
    };
    let (out, took) = stuck("--timeout 500ms --grace 200ms", ":");
    assert!(out == "124\n" && took < Duration::from_secs(5), "{out} {took:?}");
    let (out, took) = stuck("", "sleep 0.5; kill -TERM $p");
    assert!(out.ends_with("\n") && took < Duration::from_secs(5), "{out} {took:?}");
    // The jail's terminal is opened outside, and stays so.
    let s = Scratch::new();
    let script = format!(
        "{} --status-fd 3 --pty -- sh -c 'sleep 0.7; exit 7' 3> record < /dev/null & p=$!
         while ! grep -q start record 2>/dev/null; do sleep 0.05; done
         pid=$(grep -o '\"pid\":[0-9]*' record | head -n 1 | cut -d: -f2)
         sleep 5 < /proc/$pid/fd/1 & wait $p; echo $?",
        jail().display()
    );
    let mut shell = command(Path::new("/bin/bash"), &s.0, false);
    shell.args(["-c", &script]).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = shell.spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    assert!(line == "7\n" && start.elapsed() < Duration::from_secs(3), "{line} {:?}", start.elapsed());
    child.wait().unwrap();
}

#[test]
fn output_that_is_lost_is_told() {
    let mut shell = command(Path::new("/bin/sh"), here(), false);
    shell.args(["-c", &format!("{} --pty -- echo lost > /dev/full", jail().display())]);
    outcome(shell).refused(&["--pty", "No space left", "send the output elsewhere"]);
}

#[test]
fn nothing_of_it_is_left() {
    let mut child = command(jail(), here(), false);
    child.args(["--pty", "--", "sh", "-c", "echo up; exec sleep 31337"]);
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let left = Command::new("pgrep").args(["-f", "sleep 31337"]).output().unwrap();
    assert!(left.stdout.is_empty(), "{left:?}");
}
