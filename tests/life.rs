//! One life: statuses, signals, and that nothing outlives the command or the
//! launcher.

mod support;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::*;

/// Is a process called `name` (its whole argv[0]) alive anywhere?
fn alive(name: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line.split(|b| *b == 0).next() == Some(name.as_bytes()))
    })
}

fn gone_soon(name: &str) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        if !alive(name) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// A sleeper that is found by its name.
fn sleeper(name: &str) -> String {
    format!("(exec -a {name} sleep 1000)")
}

/// Waits until a child that `bash` has started says that it is ready.
fn is_ready(child: &mut Child) {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}

fn bash(flags: &str, script: &str) -> Command {
    let mut command = command(jail(), Path::new("/"), false);
    command.args(flags.split_whitespace()).args(["--", "bash", "-c", script]).stdout(Stdio::piped());
    command
}

#[test]
fn the_status_is_the_commands() {
    for (flags, script, status) in [
        ("", "exit 0", 0),
        ("", "exit 7", 7),
        ("", "exit 139", 139),
        ("", "kill -SEGV $$", 139),
        ("", "kill -KILL $$", 137),
        ("", "kill -TERM $$", 143),
        ("--init none", "exit 7", 7),
        ("--pid host", "exit 7", 7),
        ("--pid host", "kill -KILL $$", 137),
    ] {
        assert_eq!(sh(flags, script).status, status, "{flags} {script}");
    }
}

#[test]
fn not_found_not_executable_and_failed_are_told_apart() {
    for flags in [&[][..], &["--init", "none"], &["--pid", "host"]] {
        let status = |command: &str| run(&[flags, &["--", command]].concat()).status;
        assert_eq!(status("no-such-command"), 127);
        assert_eq!(status("/no/such/command"), 127);
        assert_eq!(status("/etc/passwd"), 126);
        assert_eq!(status("/usr"), 126);
    }
    assert_eq!(run(&["--no-such-flag"]).status, 125);
    let s = Scratch::new();
    let script = s.file("script", "#!/no/such/interpreter\n");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let out = run_in(&s.0, &["--ro", ".", "--", "./script"]);
    assert!(out.status == 126 && out.err.contains("interpreter"), "{out:?}");
    let plain = s.file("plain", "echo a shell ran this\n");
    std::fs::set_permissions(&plain, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let out = run_in(&s.0, &["--ro", ".", "--", "./plain"]);
    assert!(out.status == 126 && out.out.is_empty(), "no shell behind the user's back: {out:?}");
}

#[test]
fn the_command_is_process_2_or_process_1() {
    assert_eq!(sh("", "echo $$").good(), "2");
    assert_eq!(sh("--init none", "echo $$").good(), "1");
}

#[test]
fn orphans_are_reaped_while_the_command_runs() {
    let out =
        sh("", "for i in 1 2 3 4 5; do (sh -c 'exit 3' & ) ; done; sleep 0.3; grep -l '^State:.Z' /proc/[0-9]*/status; true");
    assert_eq!(out.good(), "");
}

#[test]
fn everything_is_dead_when_the_command_ends() {
    for (flags, name) in [("", "jail-left-a"), ("--pid host", "jail-left-b"), ("--init none", "jail-left-c")] {
        let script = format!(
            "trap '' TERM HUP INT; for i in 1 2 3; do (setsid bash -c \"trap '' TERM HUP INT; {}\" >/dev/null 2>&1 &) ; done; sleep 0.3; exit 5",
            sleeper(name)
        );
        let status = bash(flags, &script).status().unwrap();
        assert!(!alive(name), "{flags}: {name} lives when jail has returned");
        assert_eq!(status.code(), Some(5), "{flags}");
    }
}

#[test]
fn everything_dies_with_the_launcher() {
    for (flags, name) in [("", "jail-orphan-a"), ("--pid host", "jail-orphan-b"), ("--init none", "jail-orphan-c")] {
        let script = format!("setsid bash -c '{}' & echo ready; trap '' TERM HUP INT; {}", sleeper(name), sleeper(name));
        let mut child = bash(flags, &script).spawn().unwrap();
        is_ready(&mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(gone_soon(name), "{flags}: {name} outlives its launcher");
    }
}

#[test]
fn a_command_that_is_process_1_cannot_outlive_its_launcher() {
    let name = "jail-cleared";
    // It takes back the signal that the kernel is to send it then.
    let script = format!(
        "exec -a {name} python3 -c 'import ctypes, time; ctypes.CDLL(None).prctl(1, 0); print(\"ready\", flush=True); time.sleep(1000)'"
    );
    let mut child = bash("--init none", &script).spawn().unwrap();
    is_ready(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(gone_soon(name), "it outlives its launcher");
}

#[test]
fn signals_of_the_group_during_the_launch_are_not_lost() {
    for flags in ["", "--pid host", "--new-session"] {
        for delay in 0..30 {
            let mut command = bash(flags, "sleep 3; exit 9");
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            let mut child = command.spawn().unwrap();
            std::thread::sleep(Duration::from_micros(delay * 200));
            let group = format!("-{}", child.id());
            assert!(Command::new("kill").args(["-TERM", "--", &group]).status().unwrap().success());
            let status = child.wait().unwrap();
            let ended = (status.code(), std::os::unix::process::ExitStatusExt::signal(&status));
            // Before it is jail, and while it is not ready, the signal ends it itself.
            assert!(matches!(ended, (Some(143), _) | (None, Some(15))), "{flags} {delay}: {ended:?}");
        }
    }
}

#[test]
fn a_command_in_a_group_of_its_own_gets_the_groups_signals() {
    for flags in ["", "--pid host", "--init none"] {
        let mut command = bash(flags, "echo ready; exec setsid --wait sleep 1000");
        if flags == "--init none" {
            // A process 1 handles a signal or does not get it.
            command = bash(flags, "trap 'exit 143' TERM; echo ready; setsid sleep 1000 & while :; do wait; done");
        }
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().unwrap();
        is_ready(&mut child);
        std::thread::sleep(Duration::from_millis(200));
        let group = format!("-{}", child.id());
        assert!(Command::new("kill").args(["-TERM", "--", &group]).status().unwrap().success());
        let start = Instant::now();
        assert_eq!(child.wait().unwrap().code(), Some(143), "{flags}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    // coreutils' timeout makes a group of its own.
    let mut command = bash("", "echo ready; exec timeout 100 sleep 99");
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().unwrap();
    is_ready(&mut child);
    std::thread::sleep(Duration::from_millis(200));
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-TERM", "--", &group]).status().unwrap().success());
    assert!(child.wait().unwrap().code().is_some_and(|code| code >= 124));
}

#[test]
fn who_continues_or_kills_a_stopped_command_gets_the_launcher_on() {
    let start = Instant::now();
    assert_eq!(sh("", "(sleep 0.5; kill -CONT $$) & kill -STOP $$; exit 8").status, 8);
    assert_eq!(sh("", "(sleep 0.5; kill -KILL $$) & kill -STOP $$; exit 8").status, 137);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_callers_other_children_are_left_alone() {
    let name = "jail-inherited";
    let mut shell = command(Path::new("/bin/bash"), Path::new("/"), false);
    shell.args(["-c", &format!("(exec -a {name} sleep 2) & exec {} --pid host -- true", jail().display())]);
    assert_eq!(shell.status().unwrap().code(), Some(0));
    assert!(alive(name));
}

#[test]
fn a_reader_sees_the_end_when_the_command_closes_its_output() {
    let mut shell = command(Path::new("/bin/bash"), Path::new("/"), false);
    shell.args(["-c", &format!("{} -- sh -c 'exec >&-; sleep 3' | cat; echo over", jail().display())]);
    let start = Instant::now();
    let mut child = shell.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // bash waits for all of the pipeline; cat is over at once.
    let cat_gone = || {
        let cat = Command::new("pgrep").args(["-P", &child.id().to_string(), "-x", "cat"]).output().unwrap();
        cat.stdout.is_empty()
    };
    std::thread::sleep(Duration::from_millis(700));
    assert!(cat_gone(), "something holds the command's output open");
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(start.elapsed() > Duration::from_secs(2));
    child.wait().unwrap();
}

#[test]
fn a_launcher_killed_at_any_moment_leaves_nothing() {
    let name = "jail-moment";
    let script = sleeper(name);
    for delay in 0..60 {
        let mut child = bash("", &script).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(delay * 100));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(gone_soon(name), "a jail outlives its launcher");
}

#[test]
fn a_signal_that_a_process_sends_reaches_the_command_once() {
    let script = "n=0; trap 'n=$((n+1)); echo got $n' TERM USR1 HUP RTMIN; echo ready; for i in 1 2 3 4 5 6; do sleep 0.1; done; echo end $n";
    // musl keeps the last of these for itself, where a program goes through it.
    for (flags, signal) in [("", "TERM"), ("", "USR1"), ("--pid host", "HUP"), ("", "34"), ("--pid host", "34")] {
        let mut child = bash(flags, script).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let kill = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "got 1\nend 1\n", "{flags} {signal}");
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_caller_whose_group_and_session_have_no_number_is_a_caller() {
    // As in a container, and in another jail: both are of the outer table.
    let script = r#"
        read -r _ _ _ _ group session _ < /proc/self/stat; echo $group $session
        PROGRAM --pid host -- bash -c 'trap "echo hang-up; exit 4" HUP; echo up > ready; for i in {1..100}; do sleep 0.05; done' &
        for i in {1..100}; do test -s ready && break; sleep 0.05; done
        kill -HUP $!; wait $!; echo $?
        PROGRAM --pty -- bash -c 'echo x; exit 5' < /dev/null; echo $?"#;
    let s = Scratch::new();
    let script = script.replace("PROGRAM", &format!("{} --rw .", jail().display()));
    let mut outer = command(Path::new("unshare"), &s.0, false);
    outer.args(["-Urpf", "--mount-proc", "bash", "-c", &script]);
    assert_eq!(outcome(outer).good().replace('\r', ""), "0 0\nhang-up\n4\nx\n5");
}

#[test]
fn a_signal_that_the_command_does_not_catch_ends_it() {
    let mut child = bash("", "echo ready; exec sleep 1000").spawn().unwrap();
    is_ready(&mut child);
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn the_process_group_and_the_session() {
    let script = "read -r _ _ _ _ group session _ < /proc/self/stat; echo $group $session";
    assert_eq!(sh("", script).good(), "0 0", "those of the caller, which have no number inside");
    assert_eq!(sh("--new-session", script).good(), "2 2");
}

#[test]
fn closed_streams_stay_closed_and_full_ones_are_told() {
    let s = Scratch::new();
    let run = |line: &str| {
        let mut shell = command(Path::new("/bin/sh"), &s.0, false);
        shell.args(["-c", &line.replace("JAIL", jail().to_str().unwrap())]);
        outcome(shell)
    };
    assert_eq!(run("JAIL -- sh -c 'ls /proc/self/fd | tr \"\\n\" \" \"' <&-").good(), "0 1 2", "ls's own is 0 then");
    assert_eq!(run("JAIL -- sh -c 'exit 3' <&- >&- 2>&-").status, 3);
    assert_eq!(run("JAIL --nope <&- >&- 2>&-").status, 125);
    assert_eq!(run("JAIL --help > /dev/full").status, 125);
    assert!(run("JAIL --explain -- true > /dev/full").err.contains("No space left"));
    assert_eq!(run("JAIL --nope 2> /dev/full").status, 125);
    assert_eq!(run("JAIL -- yes | head -n 1").good(), "y", "a broken pipe ends the command as it does outside");
    assert_eq!(run("JAIL -- sh -c 'grep SigIgn /proc/self/status'").out, run("grep SigIgn /proc/self/status").out);
    assert_eq!(
        run("trap '' PIPE HUP; JAIL -- sh -c 'grep SigIgn /proc/self/status'").out,
        run("trap '' PIPE HUP; grep SigIgn /proc/self/status").out
    );
    assert_eq!(run("JAIL -- sh -c 'grep SigBlk /proc/self/status'").out, run("grep SigBlk /proc/self/status").out);
    assert_eq!(run("umask 027; JAIL -- sh -c umask").good(), "0027");
}

#[test]
fn long_arguments_pass() {
    let long = "x".repeat(120_000);
    let mut args = vec!["--", "sh", "-c", "echo $# ${#1}", "sh"];
    args.extend(std::iter::repeat_n(long.as_str(), 9));
    assert_eq!(run(&args).good(), "9 120000");
    assert_eq!(sh("", "tr '\\0' ' ' < /proc/1/cmdline").good().trim(), "reaper");
}

#[test]
fn a_mebibyte_of_environment_passes_beside_as_much_of_arguments() {
    let long = "x".repeat(120_000);
    let mut jail = command(jail(), Path::new("/"), false);
    jail.args(["--env", "LONG_*", "--", "sh", "-c", "env | grep ^LONG_ | wc -c; echo $# ${#1}", "sh"]);
    for n in 0..9 {
        jail.env(format!("LONG_{n}"), &long);
    }
    jail.args(std::iter::repeat_n(&long, 7));
    // LONG_n= and a newline each.
    assert_eq!(outcome(jail).good(), format!("{}\n7 120000", 9 * (120_000 + 8)));
    // One that a kernel does not take is told as such, and not cut.
    let mut jail = command(self::jail(), Path::new("/"), false);
    jail.args(["--env", &format!("X={}", "x".repeat(120_000)), "--", "sh", "-c", "echo ${#X}"]);
    assert_eq!(outcome(jail).good(), "120000");
    let mut jail = command(self::jail(), Path::new("/"), false);
    jail.arg("--args").arg("/dev/stdin").args(["--", "sh", "-c", "echo ${#X}"]);
    let s = Scratch::new();
    let flags = s.file("flags", &format!("--env=X={}\n", "x".repeat(200_000)));
    jail.stdin(std::fs::File::open(flags).unwrap());
    let out = outcome(jail);
    assert!(out.status == 126 && out.err.contains("longer than the kernel takes"), "{out:?}");
}

#[test]
fn nothing_is_left_on_the_host() {
    let s = Scratch::new();
    let tree = s.tree("t");
    let list = || {
        let mut find = Command::new("find");
        find.arg(&s.0).args(["-printf", "%p %m %s %T@\n"]);
        outcome(find).out
    };
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let (before, mounts_before) = (list(), mounts());
    for flags in ["--root t", "--ro t", "--root t --writable", "--root nope", "--root t --ro-bind t /nope"] {
        sh_in(&s.0, flags, "exit 0");
    }
    assert_eq!(list(), before, "{}", tree.display());
    assert_eq!(mounts(), mounts_before);
}

#[test]
fn the_outside_sees_in() {
    // As the manual has it: the record says who the command is.
    let script = format!(
        "{jail} --status-fd 3 -- sh -c 'echo ready; exec sleep 1000' 3> record > out & \
         while [ ! -s record ]; do sleep 0.02; done; sleep 0.2; PID=$(grep -o '\"pid\":[0-9]*' record | head -n 1 | cut -d: -f2); \
         ps -o args= -p $PID; \
         timeout 1 strace -f -p $PID 2>&1 | grep -c 'restart_syscall\\|clock_nanosleep'; \
         gdb --batch -nx -p $PID -ex 'info inferiors' 2>&1 | grep -c \"process $PID\"; \
         echo 'hostname; echo $$; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d \" \"; cat /proc/2/comm' | \
             nsenter -t $PID -U --preserve-credentials -m -p -n -i -u -C -r -w sh; \
         ps -o stat= -p $PID | cut -c1; kill -TERM $PID; wait; tail -n 1 record | grep -o '\"signal\":15'",
        jail = jail().display()
    );
    let s = Scratch::new();
    let mut shell = command(Path::new("/bin/bash"), &s.0, false);
    shell.args(["-c", &script]);
    let out = outcome(shell);
    let lines: Vec<&str> = out.out.lines().collect();
    let [args, traced, debugged, host, number, interface, comm, state, signal] = lines[..] else { panic!("{out:?}") };
    assert_eq!(
        (args, host, interface, comm, state, signal),
        ("sleep 1000", "jail", "lo", "sleep", "S", "\"signal\":15"),
        "{out:?}"
    );
    assert!(traced != "0" && debugged != "0", "{out:?}");
    assert!(number.parse::<u32>().unwrap() > 2, "a process beside it: {out:?}");
}

#[test]
fn the_callers_sigchld_ignored_is_no_matter() {
    let mut perl = command(Path::new("/usr/bin/perl"), Path::new("/"), false);
    perl.args(["-e", "$SIG{CHLD}='IGNORE'; exec @ARGV", jail().to_str().unwrap(), "--", "sh", "-c", "exit 9"]);
    assert_eq!(outcome(perl).status, 9);
}

#[test]
fn a_launch_that_waits_for_a_file_ends_by_the_callers_signal() {
    for (signal, number) in [("TERM", 15), ("INT", 2)] {
        let s = Scratch::new();
        let mut held = Held::at(&s.0, "--file 0 /f", "cat /f");
        // Nothing is made yet: the launcher is all that there is.
        let id = held.launcher.id();
        let children = || std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        assert_eq!(children(), "");
        let start = Instant::now();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id.to_string()]).status().unwrap().success());
        let status = held.launcher.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(number), "{status:?}");
        assert!(start.elapsed() < Duration::from_secs(2));
    }
    let s = Scratch::new();
    assert_eq!(Held::at(&s.0, "--file 0 /f", "cat /f").goes_on().good(), "x");
}

#[test]
fn a_signal_to_the_whole_group_is_handled_once() {
    let s = Scratch::new();
    s.file("inside", "trap 'echo got' TERM; echo up; for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done; exit 5");
    for flags in ["", "--pid host", "--new-session"] {
        // The shell leads the group that it signals.
        let script = format!(
            "trap : TERM; jail --ro . {flags} -- bash inside & sleep 0.4; /bin/kill -TERM -- -$$; wait $!; wait $!; echo $?"
        );
        s.file("group", &script);
        assert_eq!(outside_in(&s.0, false, "setsid --wait sh group").good(), "up\ngot\n5", "{flags}");
    }
}

#[test]
fn a_timer_of_the_callers_ends_the_command() {
    let line = |words: &str| {
        outside_in(Path::new("/"), false, &format!("perl -MTime::HiRes=ualarm -e 'ualarm 300000; exec @ARGV' {words}; echo $?"))
    };
    // The shell says 128 and 14 of one that the signal ended, and of one that says so.
    assert_eq!(line("sleep 1000").out, "142\n");
    for flags in ["", "--pid host", "--new-session"] {
        assert_eq!(line(&format!("jail {flags} -- sleep 1000")).out, "142\n", "{flags}");
        assert_eq!(
            line(&format!("jail {flags} -- bash -c 'trap \"echo rings; exit 3\" ALRM; while :; do sleep 0.05; done'")).out,
            "rings\n3\n"
        );
    }
}

/// What the kernel has counted of `process`.
fn counted(process: u32, file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_else(|| panic!("{field} in {text}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_gibibyte_through_the_jail_is_exact_and_passes_by_the_launcher() {
    // Every line is another, so that what is lost, doubled or moved is seen.
    let source = || {
        let mut seq = Command::new("sh");
        seq.args(["-c", "seq inf | head -c 1G"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let sum = |from: Stdio| {
        let mut cksum = Command::new("cksum");
        cksum.stdin(from).stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut straight = source();
    let straight_sum = sum(straight.stdout.take().unwrap().into());
    let mut through = source();
    // When all is written, the launcher is still there.
    let mut jail = command(jail(), Path::new("/"), false);
    jail.args(["--", "sh", "-c", "cat; echo written >&2; exec sleep 1000"]).stdin(through.stdout.take().unwrap());
    let mut jail = jail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let through_sum = sum(jail.stdout.take().unwrap().into());
    let mut line = String::new();
    BufReader::new(jail.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "written\n");
    let io = ["rchar:", "wchar:"].map(|what| counted(jail.id(), "io", what));
    jail.kill().unwrap();
    jail.wait().unwrap();
    let [straight_sum, through_sum] = [straight_sum, through_sum].map(|sum| Outcome::from(sum.wait_with_output().unwrap()));
    straight.wait().unwrap();
    through.wait().unwrap();
    assert!(straight_sum.good().ends_with(" 1073741824"), "{straight_sum:?}");
    assert_eq!(through_sum.good(), straight_sum.good());
    assert!(io[0] + io[1] < 100_000, "the launcher read and wrote {io:?} bytes");
}

#[test]
fn who_waits_uses_no_processor_and_little_memory() {
    for flags in ["", "--pid host", "--timeout 1h", "--net host --new-session"] {
        let mut jail = bash(flags, "echo ready; exec sleep 1000").spawn().unwrap();
        let mut line = String::new();
        BufReader::new(jail.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let launcher = jail.id();
        let children = std::fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap();
        let reaper: u32 = children.trim().parse().unwrap();
        let used = || {
            [launcher, reaper].map(|process| {
                let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
                let times: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').skip(11).take(2).collect();
                // One that was never woken did not so much as look.
                (times.join(" "), counted(process, "status", "voluntary_ctxt_switches:"))
            })
        };
        let before = used();
        std::thread::sleep(Duration::from_millis(if flags.is_empty() { 2000 } else { 300 }));
        let after = used();
        // Nobody but root may look into the reaper.
        let shares = we_are_root().then(|| [launcher, reaper].map(|process| counted(process, "smaps_rollup", "Pss:")));
        jail.kill().unwrap();
        jail.wait().unwrap();
        assert_eq!(after, before, "{flags}");
        for (name, kib) in ["the launcher", "the reaper"].into_iter().zip(shares.into_iter().flatten()) {
            println!("{flags}: {name} has {kib} KiB to itself");
            assert!(kib < 3072, "{flags}: {name}'s share of memory is {kib} KiB");
        }
    }
}
