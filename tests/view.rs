//! Nothing gets in unless a flag names it: the default view.

mod support;
use support::*;

#[test]
fn the_system_is_there_and_read_only() {
    assert_eq!(sh("", "test -x /usr/bin/env && test -r /etc/passwd && echo seen").good(), "seen");
    let out = sh("", "for d in / /usr /etc /opt /bin; do touch $d/x 2>/dev/null && echo wrote $d; done; true");
    assert_eq!(out.good(), "");
    let mounts = sh("", "cat /proc/self/mountinfo");
    for line in mounts.good().lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (point, options) = (fields[4], fields[5]);
        assert!(options.contains("nosuid"), "{line}");
        assert!(options.contains("nodev") || point.starts_with("/dev/"), "{line}");
        assert!(line.contains(" - ") && !line.contains("shared:") && !line.contains("master:"), "it propagates: {line}");
        if ["/", "/usr", "/etc", "/opt", "/dev"].contains(&point) {
            assert!(options.starts_with("ro"), "{line}");
        }
    }
}

#[test]
fn no_other_file_of_the_host_is_there() {
    let scratch = Scratch::new();
    let secret = scratch.file("secret", "s");
    let out = sh("", &format!("ls -A / | tr '\\n' ' '; echo; ls -A /tmp /run $HOME; test -e {} && echo found", secret.display()));
    let names: Vec<&str> = out.out.lines().next().unwrap().split_whitespace().collect();
    for name in &names {
        let known = [
            "bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "opt", "dev", "proc", "tmp", "run", "home", "nix",
            "gnu",
        ];
        assert!(known.contains(name), "/{name} is visible");
    }
    assert!(!out.out.contains("found") && !out.out.contains("secret"), "{out:?}");
}

#[test]
fn private_places_are_empty_writable_and_gone_afterwards() {
    for dir in ["/tmp", "/run", "$HOME", "/dev/shm"] {
        let out = sh("", &format!("ls -A {dir}; echo x > {dir}/f && cat {dir}/f"));
        assert_eq!(out.good(), "x", "{dir}");
    }
    assert_eq!(sh("", "cat /tmp/f /run/f /dev/shm/f $HOME/f 2>/dev/null; true").good(), "");
}

#[test]
fn devices_are_the_harmless_ones_and_work() {
    let listed = sh("", "ls /dev | tr '\\n' ' '");
    assert_eq!(listed.good(), "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero");
    let out = sh("", "echo x > /dev/null; head -c 3 /dev/zero | od -An -tx1; head -c 4 /dev/urandom | wc -c; echo x > /dev/full");
    assert_eq!(out.out.split_whitespace().collect::<Vec<_>>(), ["00", "00", "00", "4"]);
    assert_ne!(out.status, 0, "/dev/full is full");
    assert_ne!(sh("", "touch /dev/x").status, 0);
    assert_ne!(sh("--as-root", "mknod /tmp/sda b 8 0").status, 0);
    let pty = sh("", "script -qec 'tty' /dev/null </dev/null");
    assert!(pty.out.contains("/dev/pts/0"), "{pty:?}");
}

#[test]
fn one_device_more_when_named() {
    let out = sh("--device /dev/fuse", "test -c /dev/fuse && echo there");
    if std::path::Path::new("/dev/fuse").exists() {
        assert_eq!(out.good(), "there");
    } else {
        out.refused(&["--device /dev/fuse"]);
    }
    assert_ne!(sh("", "test -e /dev/fuse").status, 0);
}

#[test]
fn every_namespace_is_its_own_unless_shared() {
    let links =
        |flags| sh(flags, "for n in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done").good().to_owned();
    let outside: Vec<String> = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"]
        .map(|n| std::fs::read_link(format!("/proc/self/ns/{n}")).unwrap().to_str().unwrap().to_owned())
        .into();
    for line in links("").lines() {
        assert!(!outside.iter().any(|o| o == line), "{line} is the host's");
    }
    let shared = links("--net host --ipc host --cgroup host --pid host");
    for name in ["net", "ipc", "cgroup", "pid"] {
        let line = outside.iter().find(|o| o.starts_with(name)).unwrap();
        assert!(shared.contains(line.as_str()), "{line} is not shared: {shared}");
    }
}

#[test]
fn the_own_loopback_is_up_and_is_all() {
    assert_eq!(sh("", "cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '").good(), "lo");
    let script = "python3 -c 'import socket
s=socket.create_server((\"127.0.0.1\",80 if False else 8080)); c=socket.create_connection((\"127.0.0.1\",8080)); print(\"connected\")
s6=socket.create_server((\"::1\",8081),family=socket.AF_INET6); print(\"six\")'";
    assert_eq!(sh("", script).good(), "connected\nsix");
    let away = sh("", "python3 -c 'import socket; socket.create_connection((\"192.0.2.1\",80),2)'");
    assert!(away.err.contains("Network is unreachable"), "{away:?}");
}

#[test]
fn processes_outside_are_not_seen() {
    assert_eq!(sh("", "ls /proc | grep -c '^[0-9]'").status, 0);
    let seen = sh("", "for p in /proc/[0-9]*; do echo ${p#/proc/}; done | sort -n | tr '\\n' ' '");
    assert!(seen.good().starts_with("1 2 "), "{seen:?}");
    let outside = std::process::id();
    assert_ne!(sh("", &format!("kill -0 {outside}")).status, 0);
    assert_eq!(sh("--pid host", &format!("test -d /proc/{outside} && echo seen")).good(), "seen");
}

#[test]
fn the_hostname_is_the_jails() {
    assert_eq!(sh("", "uname -n").good(), "jail");
    assert_eq!(sh("--hostname builder-7", "uname -n").good(), "builder-7");
}

#[test]
fn anchors_can_be_left_out() {
    assert_eq!(sh("--dev none --tmp none --run none --home none", "ls -d /dev /tmp /run $HOME 2>/dev/null; true").good(), "");
    assert_eq!(run(&["--proc", "none", "--", "ls", "/proc"]).status, 2);
}

#[test]
fn anchors_can_be_the_hosts() {
    let scratch = Scratch::new();
    scratch.file("f", "from outside");
    let out = sh("--tmp host", &format!("cat {}/f; echo back > {}/g", scratch.0.display(), scratch.0.display()));
    assert_eq!(out.good(), "from outside");
    assert_eq!(std::fs::read_to_string(scratch.0.join("g")).unwrap(), "back\n");
    assert_eq!(sh("--dev host", "test -e /dev/kmsg && echo x > /dev/null && echo there").good(), "there");
}

#[test]
fn names_resolve_with_the_hosts_network() {
    // Whatever /etc/resolv.conf is, a file or a link into /run.
    if std::path::Path::new("/etc/resolv.conf").exists() {
        let outside = std::fs::read_to_string("/etc/resolv.conf").unwrap();
        assert_eq!(sh("--net host", "cat /etc/resolv.conf").good(), outside.trim_end());
    }
}
