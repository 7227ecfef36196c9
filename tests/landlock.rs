//! Landlock, the second fence: what it refuses where mounts do not, what it lets
//! through, and that it holds alone.

mod support;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::*;

#[test]
fn what_a_build_does_with_files_works() {
    let s = Scratch::new();
    s.file("p/a/f", "x");
    let script = "set -e
        mkdir -p b/c; mv a/f b/c/g; ln b/c/g a/h; ln -s h a/l; cat a/l; echo more >> a/h; : > b/c/g; mv b d; rm -r d
        mkfifo a/p; (echo through > a/p &); cat a/p; python3 -c '
import os, socket, tempfile
s = socket.socket(socket.AF_UNIX); s.bind(\"a/s\"); s.listen()
c = socket.socket(socket.AF_UNIX); c.connect(\"a/s\"); c.send(b\"socket\"); print(s.accept()[0].recv(9))
with tempfile.TemporaryFile() as f: f.write(b\"t\"); f.truncate(0)
os.rename(\"a/h\", \"/tmp/h\") if os.stat(\"a\").st_dev == os.stat(\"/tmp\").st_dev else None
'; echo x > /dev/null; cp a/h /tmp/h; cp /tmp/h $HOME/h; mv $HOME/h /dev/shm/h; echo 500 > /proc/self/oom_score_adj; ls /dev/shm";
    assert_eq!(sh_in(&s.0.join("p"), "--rw .", script).good(), "xthrough\nb'socket'\nh");
}

#[test]
fn a_stream_is_opened_anew_only_as_it_is_open() {
    let s = Scratch::new();
    let run = |flags: &str, script: &str, redirections: &str| {
        let mut shell = command(Path::new("/bin/sh"), &s.0, false);
        shell.args(["-c", &format!("{} {flags} -- sh -c '{script}' {redirections}", jail().display())]);
        outcome(shell)
    };
    s.file("in", "content");
    assert_eq!(run("", "cat /dev/stdin", "< in").good(), "content");
    assert_ne!(run("", "echo changed > /proc/self/fd/0", "< in").status, 0);
    assert_eq!(
        run("--landlock none", "echo changed > /proc/self/fd/0; cat", "< in").good(),
        "changed",
        "this is what is refused"
    );
    s.file("log", "first\n");
    assert_eq!(run("", "echo second > /dev/stderr", "2>> log").status, 2, "appending is not truncating");
    assert_eq!(run("", "echo second >> /dev/stderr; cat /dev/stderr", "2>> log").status, 1, "nor reading");
    let log = std::fs::read_to_string(s.0.join("log")).unwrap();
    assert!(log.starts_with("first\n") && log.contains("\nsecond\n"), "{log}");
    s.file("d/f", "below");
    s.file("above", "above");
    assert_eq!(run("--fd 9", "cat /proc/self/fd/9/f", "9< d").good(), "below");
    assert_ne!(run("--fd 9", "cat /proc/self/fd/9/../above", "9< d").status, 0);
    run("", "true", "< d").refused(&["pass descriptor 0", "directory"]);
}

#[test]
fn only_named_ports_are_there() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let _ = stream.write_all(b"hello");
            let _ = stream.read(&mut [0]);
        }
    });
    let connect = format!("python3 -c 'import socket; print(socket.create_connection((\"127.0.0.1\", {port}), 2).recv(9))'");
    let listen = format!("python3 -c 'import socket; socket.create_server((\"127.0.0.1\", {other})); print(\"listening\")'");
    for (flags, connects, listens) in [
        (String::new(), true, true),
        (format!("--connect {port}"), true, false),
        (format!("--listen {other}"), false, true),
        (format!("--connect {port} --listen {other}"), true, true),
        (format!("--connect {other} --listen {port}"), false, false),
    ] {
        let out = sh(&format!("--net host {flags}"), &connect);
        assert_eq!(out.status == 0, connects, "{flags}: {out:?}");
        assert!(connects || out.err.contains("Permission denied"), "{flags}: {out:?}");
        let out = sh(&format!("--net host {flags}"), &listen);
        assert_eq!(out.status == 0, listens, "{flags}: {out:?}");
    }
    run(&["--connect", "80", "--", "true"]).refused(&["--connect 80", "no effect without --net host"]);
}

#[test]
fn the_hosts_abstract_sockets_are_out_of_reach_and_the_jails_own_are_there() {
    let name = format!("jail-test-{}", std::process::id());
    let address = <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name).unwrap();
    let _server = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let script = format!(
        "python3 -c 'import socket
s = socket.socket(socket.AF_UNIX); s.bind(\"\\0own-{name}\"); s.listen()
socket.socket(socket.AF_UNIX).connect(\"\\0own-{name}\"); print(\"own\")
try: socket.socket(socket.AF_UNIX).connect(\"\\0{name}\"); print(\"host\")
except PermissionError: print(\"refused\")'"
    );
    assert_eq!(sh("--net host", &script).good(), "own\nrefused");
    assert_eq!(sh("--net host --landlock none", &script).good(), "own\nhost");
}

/// The program without its read-only mounts: Landlock alone is left.
fn open_mounts() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/open-mounts");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--target-dir"]).arg(&target).current_dir(root).env("RUSTFLAGS", "--cfg open_mounts");
    assert!(build.status().unwrap().success());
    target.join("debug/jail")
}

#[test]
fn it_holds_alone() {
    let s = Scratch::new();
    let program = s.0.join("jail");
    std::fs::copy(open_mounts(), &program).unwrap();
    s.give(&program);
    s.file("ro/f", "x");
    s.file("rw/f", "x");
    let run = |flags: &str, script: &str| {
        let mut command = command(&program, &s.0, false);
        command.args(flags.split_whitespace()).args(["--", "sh", "-c", script]);
        outcome(command)
    };
    // Not below the jail's own /tmp, all of which may be written to.
    let ro = "/data/ro";
    let flags = format!("--ro-bind {0}/ro /data/ro --rw-bind {0}/rw /data/rw", s.0.display());
    let without = run(&format!("{flags} --landlock none"), &format!("echo y > {ro}/f; mkdir {ro}/d; rmdir {ro}/d; mkdir /d"));
    assert_eq!(without.status, 0, "the mounts refuse nothing here: {without:?}");
    std::fs::write(s.0.join("ro/f"), "x").unwrap();
    for attempt in [
        "echo y > RO/f",
        "echo y >> RO/f",
        ": > RO/f",
        "rm RO/f",
        "mv RO/f RO/g",
        "mkdir RO/d",
        "ln -s x RO/l",
        "ln RO/f RO/h",
        "mv RO/f RO/../rw/g",
        "mkfifo RO/p",
        "mkdir /d",
        "touch /dev/x",
        "truncate -s 0 RO/f",
    ] {
        let attempt = attempt.replace("RO", ro);
        let out = run(&flags, &attempt);
        assert!(
            out.status != 0 && out.err.contains("ermission denied") || out.err.contains("cross-device"),
            "{attempt}: {out:?}"
        );
    }
    assert_eq!(run(&flags, &format!("cat {ro}/f; echo y > {ro}/../rw/f; cat {ro}/../rw/f; ls /usr > /dev/null")).good(), "xy");
    assert_eq!(std::fs::read_to_string(s.0.join("ro/f")).unwrap(), "x");
    assert_eq!(std::fs::read_dir(s.0.join("ro")).unwrap().count(), 1);
}

#[test]
fn who_may_mount_has_no_rules_for_files_and_is_told_so() {
    assert_eq!(sh("--as-root --cap sys_admin", "mkdir /tmp/m && mount -t tmpfs x /tmp/m && echo mounted").good(), "mounted");
    assert!(!run(&["--nested", "--explain", "--", "true"]).good().contains("files made and removed"));
    assert!(run(&["--nested", "--explain", "--", "true"]).good().contains("no signal leaves the jail"));
    assert!(!run(&["--landlock", "none", "--explain", "--", "true"]).good().contains("Landlock"));
    run(&["--degrade", "landlock", "--landlock", "none", "--", "true"]).refused(&["--degrade landlock", "no effect"]);
    assert_eq!(sh("--degrade landlock", "exit 4").status, 4, "it is not degraded where the kernel has it");
}
