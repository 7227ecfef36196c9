//! `--degrade`: what a jail still gives where the machine refuses a part of it, and
//! what it then refuses itself. The refusals are real ones.

#[path = "support/filter.rs"]
mod filter;
mod support;
use filter::{CONTAINER, Filter};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::*;

/// Jail with `flags` and a shell script in a container that refuses all namespaces.
fn contained(dir: &Path, flags: &str, script: &str) -> Command {
    let mut command = CONTAINER.around(jail(), dir);
    command.args(flags.split_whitespace()).args(["--", "sh", "-c", script]);
    command
}

fn bare_in(dir: &Path, flags: &str, script: &str) -> Outcome {
    outcome(contained(dir, &format!("--degrade namespaces {flags}"), script))
}

fn bare(flags: &str, script: &str) -> Outcome {
    bare_in(Path::new("/"), flags, script)
}

#[test]
fn without_namespaces_files_are_kept_by_landlock() {
    let s = Scratch::new();
    s.file("secret", "s");
    s.file("work/f", "old");
    s.file("seen", "seen");
    s.dir("work");
    outcome(contained(&s.0, "", "true")).refused(&["make the namespaces", "--degrade namespaces"]);
    let try_in = |script: &str| bare_in(&s.0.join("work"), "--rw . --ro ../seen", script);
    let may = |script: &str| assert_eq!(try_in(script).good(), "done", "{script}");
    may("echo new > f && cat f > g && mv g h && mkdir d && rm -r d h && echo done");
    may("test $(cat ../seen) = seen && echo done");
    may("grep -q root /etc/passwd && perl -e 'print \"done\"'");
    may("echo x > /dev/null && head -c 9 /dev/urandom > r && echo done");
    let may_not = |script: &str| {
        let out = try_in(script);
        assert!(out.status != 0 && out.err.contains("ermission denied"), "{script}: {out:?}");
    };
    may_not("cat ../secret");
    may_not("echo x > ../seen");
    may_not("echo x > ../secret");
    may_not("mkdir ../d");
    may_not("ls ..");
    may_not("ls /");
    may_not("ls /tmp");
    may_not("ls /proc");
    may_not("cat /proc/self/environ");
    may_not("cat /proc/self/cwd/../secret");
    may_not("ln -s ../secret l && cat l");
    may_not("echo x > /dev/shm/x");
    for script in ["ln ../secret l", "mv f ../moved", "chmod 777 /tmp", "chdir() { cd ..; }; chdir; echo x > x"] {
        assert_ne!(try_in(script).status, 0, "{script}");
    }
    assert_eq!(std::fs::read_to_string(s.0.join("work/f")).unwrap(), "new\n");
    // Where the caller's directory is not shown, the command starts in /.
    assert_eq!(bare_in(&s.0, "--rw work", "pwd").good(), "/");
    // All of it, read-only, when that is what was asked for.
    let script = "cat secret; mkdir d 2>/dev/null || echo not";
    assert_eq!(bare_in(&s.0, "--root /", script).good(), "snot");
}

#[test]
fn without_namespaces_the_statuses_are_the_same() {
    for (flags, script, status) in [
        ("", "exit 0", 0),
        ("", "exit 7", 7),
        ("", "kill -TERM $$", 143),
        ("", "kill -KILL $$", 137),
        ("--timeout 0.2s --grace 0.2s", "sleep 100", 124),
        ("--timeout 0.2s --grace 0.2s", "trap '' TERM; while :; do sleep 1; done", 124),
    ] {
        assert_eq!(bare(flags, script).status, status, "{flags} {script}");
    }
    for (command, status) in [("/nowhere", 127), ("no-such-program", 127), ("/etc/passwd", 126)] {
        let mut jail = CONTAINER.around(jail(), Path::new("/"));
        jail.args(["--degrade", "namespaces", "--", command]);
        assert_eq!(outcome(jail).status, status, "{command}");
    }
}

#[test]
fn without_namespaces_environment_and_descriptors_are_clean() {
    let s = Scratch::new();
    s.file("f", "x");
    assert_eq!(bare("", "echo ${SECRET-none} $HOME").good(), "none /home/tester");
    // A reader outside its rules has it open; the command has not.
    let script = format!("exec 7<f; exec {} --degrade namespaces FLAGS -- sh -c 'cat <&7'", jail().display());
    let shell = |flags: &str| {
        let mut shell = CONTAINER.around(Path::new("/bin/bash"), &s.0);
        shell.args(["-c", &script.replace("FLAGS", flags)]);
        outcome(shell)
    };
    assert!(shell("").err.contains("Bad file descriptor"));
    assert_eq!(shell("--fd 7").good(), "x");
}

#[test]
fn without_namespaces_everything_dies_all_the_same() {
    let alive =
        |name: &str| Command::new("pgrep").args(["-f", &format!("^{name}")]).stdout(Stdio::null()).status().unwrap().success();
    let start = |name: &str| {
        format!(
            "for i in 1 2 3 4 5; do setsid bash -c 'trap \"\" TERM HUP; (exec -a {name} sleep 1000) & wait' & done; sleep 0.3"
        )
    };
    let bash = |name: &str, rest: &str| {
        let mut command = CONTAINER.around(jail(), Path::new("/"));
        command.args(["--degrade", "namespaces", "--", "bash", "-c", &format!("{}; {rest}", start(name))]);
        command
    };
    assert_eq!(outcome(bash("jail-bare-end", "pgrep x; exit 5")).status, 5);
    assert!(!alive("jail-bare-end"));
    let mut child = bash("jail-bare-kill", "echo ready; sleep 1000").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(alive("jail-bare-kill"));
    child.kill().unwrap();
    child.wait().unwrap();
    let since = Instant::now();
    while alive("jail-bare-kill") {
        assert!(since.elapsed() < Duration::from_secs(5), "processes outlive the launcher");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const REACH: &str = r#"
import ctypes, os, resource, signal, socket, sys
def tried(what):
    try: return what() or "done"
    except OSError as e: return e.strerror
libc = ctypes.CDLL(None, use_errno=True)
KEYCTL = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
def call(f, *args):
    result = f(*args)
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def connect(family, to):
    with socket.socket(family) as s: s.settimeout(3); s.connect(to)
pid, port, path, abstract, datagrams = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
for name, what in [
    ("signal", lambda: os.kill(pid, 0)),
    ("memory", lambda: open(f"/proc/{pid}/mem").close()),
    ("trace", lambda: call(libc.ptrace, 16, pid, 0, 0) and None),
    ("tcp", lambda: connect(socket.AF_INET, ("127.0.0.1", port))),
    ("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))and None),
    ("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()),
    ("unix", lambda: connect(socket.AF_UNIX, path)),
    ("abstract", lambda: connect(socket.AF_UNIX, "\0" + abstract)),
    ("pair", lambda: [s.close() for s in socket.socketpair()] and None),
    ("pair for datagrams", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", datagrams) and None),
    ("limits", lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (9, 9)) and None),
    ("priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19)),
    ("processors", lambda: os.sched_setaffinity(pid, os.sched_getaffinity(0))),
    ("scheduler", lambda: os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))),
    ("own limits", lambda: resource.setrlimit(resource.RLIMIT_CPU, (99, 99)) or os.nice(1) and os.sched_setaffinity(0, os.sched_getaffinity(0))),
    ("shm", lambda: call(libc.shmctl, call(libc.shmget, 0, 4096, 0o1600), 0, 0) and None),
    ("msg", lambda: call(libc.msgctl, call(libc.msgget, 0, 0o1600), 0, 0) and None),
    ("keys", lambda: call(libc.syscall, KEYCTL, 0, -3, 0) and None),
    ("own child", lambda: os.kill(os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "9"), 9)),
]:
    print(name + ": " + tried(what))
"#;

#[test]
fn without_namespaces_nothing_outside_is_reached() {
    let s = Scratch::new();
    let program = s.file("reach.py", REACH);
    // All of these are the user's own, outside.
    let mut sleeper = command(Path::new("sleep"), Path::new("/"), false).arg("60").stdout(Stdio::null()).spawn().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port.local_addr().unwrap().port();
    let path = s.0.join("socket");
    let _unix = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let datagrams = s.0.join("datagrams");
    let _datagrams = UnixDatagram::bind(&datagrams).unwrap();
    std::fs::set_permissions(&datagrams, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let name = format!("jail-bare-{}", std::process::id());
    let _abstract = UnixListener::bind_addr(&{
        use std::os::linux::net::SocketAddrExt;
        SocketAddr::from_abstract_name(&name).unwrap()
    })
    .unwrap();
    let pid = sleeper.id().to_string();
    let words = [
        "python3",
        program.to_str().unwrap(),
        &pid,
        &number.to_string(),
        path.to_str().unwrap(),
        &name,
        datagrams.to_str().unwrap(),
    ];
    let reach = |flags: &str| {
        let mut command = CONTAINER.around(jail(), &s.0);
        command.args(["--ro", "reach.py"]).args(flags.split_whitespace()).arg("--").args(words);
        outcome(command).good().to_owned()
    };
    let not = "Operation not permitted";
    let no_family = "Address family not supported by protocol";
    let closed = [
        ("signal", not),
        ("memory", "Permission denied"),
        ("trace", not),
        ("tcp", no_family),
        ("udp", no_family),
        ("netlink", no_family),
        ("unix", no_family),
        ("abstract", no_family),
        ("pair", "done"),
        ("pair for datagrams", no_family),
        ("limits", not),
        ("priority", not),
        ("processors", not),
        ("scheduler", not),
        ("own limits", "done"),
        ("shm", "Function not implemented"),
        ("msg", "Function not implemented"),
        ("keys", not),
        ("own child", "done"),
    ];
    let expected = |opened: &[(&str, &str)]| {
        let lines = closed.map(|(name, denied)| {
            let answer = opened.iter().find(|(other, _)| *other == name).map_or(denied, |(_, answer)| answer);
            format!("{name}: {answer}")
        });
        lines.join("\n")
    };
    assert_eq!(reach("--degrade namespaces"), expected(&[]));
    // What is named is the host's.
    assert_eq!(
        reach("--degrade namespaces,net"),
        expected(&[("tcp", "done"), ("udp", "done"), ("netlink", "done")]),
        "not what is in files"
    );
    assert_eq!(reach("--degrade namespaces --net host"), expected(&[("tcp", "done"), ("udp", "done"), ("netlink", "done")]));
    assert_eq!(
        reach("--degrade namespaces,pid"),
        expected(&["signal", "limits", "priority", "processors", "scheduler"].map(|name| (name, "done")))
    );
    assert_eq!(reach("--degrade namespaces,ipc"), expected(&[("shm", "done"), ("msg", "done")]));
    assert_eq!(
        reach("--degrade namespaces --allow-syscall socket"),
        expected(&[
            ("netlink", "done"),
            ("tcp", "Permission denied"),
            ("udp", "done"),
            ("unix", "done"),
            ("abstract", not),
            ("pair for datagrams", "done"),
        ]),
        "Landlock keeps TCP and abstract sockets all the same"
    );
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn what_cannot_be_given_is_refused_unless_it_is_named() {
    let s = Scratch::new();
    s.file("tree/etc/name", "tree");
    s.file("work/part/f", "x");
    let refused = |flags: &str, parts: &[&str]| {
        let out = bare_in(&s.0, flags, "true");
        out.refused(parts);
        out.refused(&["the container around this process"]);
    };
    for flags in [
        "--uid 7",
        "--gid 7",
        "--as-root",
        "--cap net_admin",
        "--nested",
        "--tmpfs /x",
        "--dir /x",
        "--symlink a /x",
        "--file 0 /x",
        "--hide /etc/passwd",
        "--noexec /usr",
        "--net pasta",
        "--publish 8000",
        "--reach a.test:80=127.0.0.1:1",
        "--pty",
        "--uptime 9",
        "--dev private",
        "--tmp private",
        "--run private",
    ] {
        refused(flags, &[&format!("{flags}: "), "needs namespaces", "leave it out"]);
    }
    refused("--root tree", &["--root tree", "another root", "--degrade namespaces,root"]);
    refused("--pid private", &["--pid private", "--degrade namespaces,pid"]);
    refused("--proc private", &["--proc private", "--degrade namespaces,proc"]);
    refused("--cgroup private", &["--cgroup private", "--degrade namespaces,cgroup"]);
    refused("--root / --writable --ro work", &["--ro work", "below a writable directory"]);
    refused("--hostname x", &["--hostname x", "--degrade namespaces,hostname"]);
    refused("--ro-bind work /opt", &["--ro-bind work /opt", "elsewhere needs namespaces"]);
    refused("--rw work --ro work/part", &["--ro work/part", "below a writable directory"]);
    refused("--init none", &["--init none", "reaper"]);
    refused("--seccomp none", &["Unix sockets", "--degrade namespaces,root"]);
    refused("--landlock none", &["Landlock", "the host's files", "--degrade namespaces,root"]);
    assert_eq!(bare_in(&s.0, "--ro work --rw work/part/f --chdir work", "cat part/f").good(), "x");

    let named = |layers: &str, flags: &str, script: &str| {
        let mut command = contained(&s.0, &format!("--degrade namespaces,{layers} --env OLD {flags}"), script);
        command.env("OLD", &s.0);
        outcome(command)
    };
    assert_eq!(
        named("root", "--root tree", "cd $OLD; cat tree/etc/name; cat work/part/f 2>/dev/null || echo ' alone'").good(),
        "tree alone"
    );
    assert_eq!(named("root", "--root tree --writable", "cd $OLD; echo x > tree/f && cat tree/f").good(), "x");
    assert_eq!(named("root", "--landlock none", "cd $OLD; cat work/part/f").status, 125, "signals would not be kept in");
    assert_eq!(named("root,pid", "--landlock none", "cd $OLD; cat work/part/f").good(), "x");
    assert_eq!(named("root", "--seccomp none", "true").status, 125, "nor would the network");
    assert_eq!(named("root,net,ipc", "--seccomp none", "true").status, 125, "nor the limits of other processes");
    assert_eq!(named("root,net,ipc,pid", "--seccomp none", "echo x").good(), "x");
    assert_eq!(named("hostname", "--hostname x", "uname -n").good(), outside_in(&s.0, false, "uname -n").good());
    assert!(named("pid", "", "cat /proc/self/status").good().starts_with("Name:"));
    assert_eq!(named("pid,proc", "--proc private", "cat /proc/self/stat 2>/dev/null || echo none").good(), "none");
}

#[test]
fn nothing_is_given_up_where_nothing_is_refused() {
    let every = "namespaces,net,pid,ipc,cgroup,hostname,proc,userns-limit,seccomp,landlock,root";
    let script = "ls /proc/1/stat; uname -n; ls /tmp; kill -0 $PPID; grep Seccomp: /proc/self/status";
    assert_eq!(sh(&format!("--degrade {every}"), script).out, sh("", script).out);
    assert_eq!(run(&["--degrade", every, "--explain", "--", "true"]).out, run(&["--explain", "--", "true"]).out);
    // Its own signals, descriptors and streams are as they were.
    let state = "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd";
    assert_eq!(sh("--degrade namespaces", state).out, sh("", state).out);
    for (line, problem) in [
        ("--degrade net --net host", "net has no effect: --net host"),
        ("--degrade pid --pid host", "pid has no effect"),
        ("--degrade ipc --ipc host", "ipc has no effect"),
        ("--degrade cgroup --cgroup host", "cgroup has no effect"),
        ("--degrade proc --proc none", "proc has no effect"),
        ("--degrade userns-limit --nested", "userns-limit has no effect"),
        ("--degrade seccomp --seccomp none", "seccomp has no effect"),
        ("--degrade root", "root has no effect without namespaces"),
        ("--degrade nemspaces", "no layer to go without"),
        ("--degrade net,net", "named twice"),
    ] {
        sh(line, "true").refused(&[problem]);
    }
}

#[test]
fn what_is_short_for_a_moment_is_not_refused() {
    if !we_are_root() {
        return skip("this needs root");
    }
    // The trials take a process more than a jail without namespaces would.
    let script = "import os, resource, sys\nn = int(sys.argv[1])\nresource.setrlimit(resource.RLIMIT_NPROC, (n, n))\nos.execv(sys.argv[2], sys.argv[2:])";
    let s = Scratch::new();
    let limited = |limit: u32| {
        // A user of whom there is no other process.
        let mut python = Command::new("setpriv");
        python.args(["--reuid=54322", "--regid=54322", "--clear-groups", "python3"]).env("PATH", "/usr/bin:/bin");
        python.current_dir(&s.0).args(["-c", script, &limit.to_string()]).arg(jail());
        // /tmp is the jail's own, or it may not be opened.
        python.args(["--degrade", "namespaces", "--", "ls", "/tmp"]);
        outcome(python)
    };
    let mut ran = false;
    for limit in 1..8 {
        let out = limited(limit);
        assert!([0, 125].contains(&out.status), "with {limit} processes: {out:?}");
        ran |= out.status == 0;
    }
    assert!(ran);
    limited(3).refused(&["--degrade: try whether this machine refuses a layer", "ulimit -u"]);
}

/// A jail with `flags` in a user namespace of the tests' own after `before` is done.
fn in_namespace(before: &str, flags: &str, script: &str) -> Outcome {
    let mut outer = command(Path::new("unshare"), Path::new("/"), false);
    let line = format!("{before} && exec unshare -Um --map-current-user {} {flags} -- sh -c '{script}'", jail().display());
    outer.args(["-Urm", "sh", "-c", &line]);
    outcome(outer)
}

#[test]
fn one_layer_is_done_without_by_its_name() {
    let limit = |kind: &str| format!("echo 0 > /proc/sys/user/max_{kind}_namespaces");
    for (before, layer, script, expected) in [
        (limit("net"), "net", "tail -n +3 /proc/net/dev | grep -c .", None),
        (limit("pid"), "pid", "test $$ -gt 2 && echo host", Some("host")),
        (limit("ipc"), "ipc", "echo on", Some("on")),
        (limit("uts"), "hostname", "echo on", Some("on")),
        (limit("cgroup"), "cgroup", "echo on", Some("on")),
        ("mount -t tmpfs x /proc/irq".to_owned(), "proc", "ls /proc 2>/dev/null || echo none", Some("none")),
    ] {
        in_namespace(&before, "", script).refused(&["jail: refused by"]);
        let out = in_namespace(&before, &format!("--degrade {layer}"), script);
        assert_eq!(expected.unwrap_or(&out.out.clone()).trim(), out.good(), "{layer}");
        // Another name is none.
        let other = if layer == "ipc" { "hostname" } else { "ipc" };
        assert_eq!(in_namespace(&before, &format!("--degrade {other}"), script).status, 125, "{layer}");
        let explained = in_namespace(&before, &format!("--degrade {layer} --explain"), "true");
        assert!(explained.good().contains(&format!("refuses it: {layer}\n")), "{explained:?}");
    }
    // Or by that of them all, and is closed then.
    let script = "python3 -c \"import socket; socket.socket()\" 2>&1 | tail -n 1; python3 -c \"import socket; socket.socket(1)\"";
    let out = in_namespace(&limit("net"), "--degrade namespaces", script);
    assert!(out.good().ends_with("Address family not supported by protocol"), "{out:?}");
    let script = "kill -0 1 || ls /proc/self";
    let out = in_namespace(&limit("pid"), "--degrade namespaces", script);
    assert!(out.status != 0 && out.err.contains("No such file"), "{out:?}");

    // The limit of user namespaces: the filter keeps them out all the same.
    let covered = "mount -o bind,ro /proc/sys /proc/sys 2>/dev/null || mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";
    let out = in_namespace(covered, "--proc none", "true");
    out.refused(&["no user namespace may be made", "--degrade userns-limit"]);
    let script = "unshare -U true 2>/dev/null || echo refused";
    assert_eq!(in_namespace(covered, "--proc none --degrade userns-limit", script).good(), "refused");
}

#[test]
fn a_filter_that_forbids_filters_is_done_without() {
    let under = |filter: &Filter, flags: &str, script: &str| {
        let mut command = filter.around(jail(), Path::new("/"));
        command.args(flags.split_whitespace()).args(["--", "sh", "-c", script]);
        outcome(command)
    };
    let no_filters = Filter { filters: true, ..Filter::default() };
    under(&no_filters, "", "true").refused(&["--degrade seccomp"]);
    let out = under(&no_filters, "--degrade seccomp", "grep Seccomp_filters /proc/self/status");
    assert_eq!(out.good(), "Seccomp_filters:\t1", "the outer one alone");
    under(&no_filters, "--degrade seccomp --deny-syscall getpid", "true").refused(&["--deny-syscall getpid"]);
    let no_landlock =
        Filter { refused: &["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"], ..Filter::default() };
    under(&no_landlock, "", "true").refused(&["Landlock's calls are refused", "the container", "--degrade landlock"]);
    assert_eq!(under(&no_landlock, "--degrade landlock", "echo on").good(), "on");
    under(&no_landlock, "--degrade landlock --net host --connect 80", "true").refused(&["--connect 80"]);
}

#[test]
fn the_record_says_what_was_in_force() {
    let line = |command: Command| {
        let mut command = command;
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut all = String::new();
        child.stdout.take().unwrap().read_to_string(&mut all).unwrap();
        child.wait().unwrap();
        all
    };
    let shell = |flags: &str| {
        let mut shell = CONTAINER.around(Path::new("/bin/sh"), Path::new("/"));
        shell.args(["-c", &format!("exec {} {flags} --status-fd 3 -- true 3>&1", jail().display())]);
        line(shell)
    };
    let record = shell("--degrade namespaces");
    assert!(
        record.contains(r#""layers":["capabilities","no_new_privs","landlock","seccomp"],"degraded":["namespaces"]"#),
        "{record}"
    );
    assert!(record.contains(r#""reason":"exit""#), "{record}");
    let record = shell("--degrade namespaces,pid,net");
    assert!(record.contains(r#""degraded":["namespaces","net","pid"]"#), "{record}");
    let record = shell("");
    assert!(
        record.contains(r#""layer":"the container around this process""#) && record.contains("--degrade namespaces"),
        "{record}"
    );
}

#[test]
fn root_of_a_container_is_bound_too() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let s = Scratch::new();
    let filtered = |flags: &str, script: &str| {
        let filter = CONTAINER.around(jail(), &s.0);
        let words: Vec<_> = filter.get_args().skip_while(|word| *word != "python3").skip(1).collect();
        // As root, and not as the user.
        let mut command = command(Path::new("python3"), &s.0, true);
        command.args(words).args(flags.split_whitespace()).args(["--", "sh", "-c", script]);
        outcome(command)
    };
    filtered("", "true").refused(&["--degrade namespaces"]);
    // What Landlock does not see could be done to every file of the system.
    filtered("--degrade namespaces", "true").refused(&["modes and attributes", "--degrade namespaces,root"]);
    let out = filtered(
        "--degrade namespaces,root",
        "id -u; grep -E '^Cap(Prm|Eff|Bnd)' /etc/hostname /proc/self/status; cat /etc/shadow",
    );
    assert!(out.out.starts_with("0\n") && out.err.contains("/proc/self/status: Permission denied"), "{out:?}");
    let out = filtered("--degrade namespaces,pid,root", "grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/self/status; chown 7 /etc/passwd");
    assert_eq!(out.out.matches("0000000000000000").count(), 4, "{out:?}");
    assert!(out.err.contains("Operation not permitted"), "{out:?}");
    let out = filtered("--degrade namespaces,root", "echo x > /etc/jail-test || mount -t tmpfs x /opt || ls /root");
    assert!(out.status != 0 && !Path::new("/etc/jail-test").exists(), "{out:?}");
}

#[test]
fn where_mounts_alone_are_refused_no_namespace_is_taken_to_be_there() {
    let no_mounts = Filter { refused: &["pivot_root"], ..Filter::default() };
    let in_it = |flags: &str, script: &str| {
        let mut command = no_mounts.around(jail(), Path::new("/"));
        command.args(["--degrade", "namespaces"]).args(flags.split_whitespace()).args(["--", "bash", "-c", script]);
        outcome(command)
    };
    let sockets = "python3 -c 'import socket; socket.socket()' 2>&1 | tail -n 1";
    assert!(in_it("", sockets).good().ends_with("Address family not supported by protocol"));
    let ipc = "python3 -c 'import ctypes; print(ctypes.CDLL(None).shmget(0, 4096, 384))'";
    assert_eq!(in_it("--net host", ipc).good(), "-1");
    let leave = "setsid bash -c '(exec -a jail-mounts-alone sleep 1000) & wait' > /dev/null 2>&1 & sleep 0.3";
    assert_eq!(in_it("--net host", leave).status, 0);
    let left = Command::new("pgrep").args(["-f", "^jail-mounts-alone"]).stdout(Stdio::null()).status().unwrap();
    assert!(!left.success(), "processes outlive the command");
}

#[test]
fn what_is_closed_is_told() {
    let script = "python3 -c 'import socket; socket.socket()' 2>/dev/null";
    let out = bare("--trace-denied", script);
    assert!(out.err.contains("--allow-syscall socket lets it through"), "{out:?}");
    // What is told to be done does it, though the call is let through where nothing is missing.
    let script = "python3 -c 'import os; os.setpriority(0, 1, 19)' 2>/dev/null";
    let out = bare("--trace-denied", script);
    assert!(out.err.contains("setpriority(of another process) (EPERM): --allow-syscall setpriority lets it"), "{out:?}");
    let script = "python3 -c \"import ctypes; print(ctypes.CDLL(None).shmctl(ctypes.CDLL(None).shmget(0, 4096, 384), 0, 0))\"";
    assert!(bare("--trace-denied", script).err.contains("--allow-syscall shmget lets it"));
    assert_eq!(bare("--allow-syscall shmget --allow-syscall shmctl", script).good(), "0");
    sh("--degrade pid --allow-syscall shmget", "true").refused(&["allowed anyway"]);
}

#[test]
fn a_jail_in_a_jail_goes_without_namespaces() {
    let s = Scratch::new();
    s.file("shown", "shown");
    let programs = jail().parent().unwrap().display();
    let outer = format!("--ro-bind {programs} /programs --ro-bind . /data");
    let inner = |flags: &str, script: &str| {
        sh_in(&s.0, &outer, &format!("/programs/jail --degrade namespaces {flags} -- sh -c '{script}'"))
    };
    assert_eq!(inner("--ro /data", "cat /data/shown").good(), "shown");
    assert_ne!(inner("", "cat /data/shown").status, 0);
    assert_ne!(inner("--ro /data", "echo x >/data/shown").status, 0);
}
