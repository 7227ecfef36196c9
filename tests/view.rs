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
    // The -try form shows one that is there, and forgives only that it is missing.
    assert_ne!(sh("", "test -e /dev/kmsg").status, 0);
    assert_eq!(
        sh("--device-try /dev/kmsg --device-try /dev/no-such", "test -c /dev/kmsg && ls /dev/no-such 2>&1; true").out,
        "ls: cannot access '/dev/no-such': No such file or directory\n"
    );
    run(&["--device-try", "/etc/passwd", "--", "true"]).refused(&["--device-try /etc/passwd", "not a device node"]);
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

#[test]
fn run_can_be_the_hosts() {
    let names = |out: Outcome| out.good().lines().map(str::to_owned).collect::<Vec<_>>();
    let mut ls = command(std::path::Path::new("/bin/ls"), std::path::Path::new("/"), false);
    ls.args(["-A", "/run"]);
    let outside = names(outcome(ls));
    let inside = names(sh("--run host", "ls -A /run"));
    assert!(outside.iter().filter(|name| inside.contains(name)).count() * 2 >= outside.len(), "{outside:?} {inside:?}");
    assert_eq!(sh("", "ls -A /run").good(), "");
    if !we_are_root() {
        return skip("this needs root: to make a directory of the user's in /run");
    }
    // In a /run of the test's own, which only these processes have.
    let out = outside_in(
        std::path::Path::new("/"),
        true,
        &format!(
            "exec unshare -m sh -c 'mount -t tmpfs -o mode=755 x /run && install -d -o {USER} /run/ours && echo out > /run/ours/f &&
             setpriv --reuid={USER} --regid={USER} --clear-groups jail --run host -- \
                 sh -c \"cat /run/ours/f; echo in > /run/ours/g; touch /run/x 2>/dev/null || echo refused\"; cat /run/ours/g'"
        ),
    );
    assert_eq!(out.good(), "out\nrefused\nin");
}

#[test]
fn a_value_may_follow_after_an_equals_sign() {
    let s = Scratch::new();
    s.file("src/f", "x");
    let dir = s.0.display();
    let flags = format!(
        "--rw=. --ro-bind={dir}/src /data --tmpfs=/t,size=64k --dir=/made --symlink=/t /link --hide=src --env=X=a=b \
         --hostname=other --uid=7 --gid=8 --net=none --rlimit=nofile=99 --timeout=1m --chdir=/made --device-try=/dev/no-such"
    );
    let script = format!(
        "echo new > {dir}/made; cat /data/f; echo; head -c 100000 /dev/zero 2>/dev/null > /t/big; wc -c < /t/big; readlink /link; \
         ls {dir}/src; echo $X; uname -n; id -u; id -g; ulimit -n; pwd"
    );
    assert_eq!(sh_in(&s.0, &flags, &script).good(), "x\n65536\n/t\na=b\nother\n7\n8\n99\n/made");
    assert_eq!(std::fs::read_to_string(s.0.join("made")).unwrap(), "new\n");
    run(&["--as-root=yes", "--", "true"]).refused(&["--as-root", "takes no value"]);
    run(&["--net=other", "--", "true"]).refused(&["--net"]);
}

#[test]
fn flags_come_from_files_too() {
    let s = Scratch::new();
    s.file("lines", "# a comment\n--hostname\nfrom-a-file\n\n--env=X=two words\n");
    s.file("nul", "--env\0X=two\nlines\0--dir=/made\0");
    let show = "sh -c 'uname -n; echo \"$X\"; ls -d /made 2>/dev/null; cat'";
    let run = |line: &str| outside_in(&s.0, false, &format!("{line} -- {show}"));
    for (line, seen) in [
        ("</dev/null jail --args lines", "from-a-file\ntwo words"),
        ("</dev/null jail --args=lines", "from-a-file\ntwo words"),
        ("</dev/null jail --args nul", "jail\ntwo\nlines\n/made"),
        // What --args - has read is not left for the command.
        ("<lines jail --args -", "from-a-file\ntwo words"),
        ("cat nul | jail --args -", "jail\ntwo\nlines\n/made"),
        ("7<lines </dev/null jail --args /dev/fd/7", "from-a-file\ntwo words"),
        ("</dev/null jail --args lines --args nul-2 --hostname=x", ""),
    ] {
        let out = run(line);
        if seen.is_empty() {
            out.refused(&["--args nul-2", "No such file"]);
        } else {
            assert_eq!(out.good(), seen, "{line}");
        }
    }
    // The descriptor that --args read from is closed inside as all others are.
    let out = outside_in(&s.0, false, "jail --args /dev/fd/7 -- sh -c 'cat <&7' 7<lines");
    assert!(out.status != 0 && out.out.is_empty(), "{out:?}");
    run("jail --args lines --hostname x").refused(&["--hostname", "given twice"]);
    s.file("bad", "--hostname\nx\n--\nls\n");
    run("jail --args bad").refused(&["--args bad", "ls is not a flag"]);
    s.file("within", "--args\nlines\n");
    run("jail --args within").refused(&["--args within", "holds --args itself"]);
}

#[test]
fn standard_input_is_read_for_flags_once_or_not_at_all() {
    let s = Scratch::new();
    s.file("lines", "--hostname\nx\n");
    s.file("names-stdin", "--file\n0\n/x\n");
    let run = |line: &str| outside_in(&s.0, false, line);
    assert_eq!(run("jail --args - -- uname -n < lines").good(), "x");
    run("jail --args - -- true <&-").refused(&["--args -", "standard input is closed"]);
    run("jail --args - -- true < .").refused(&["--args -", "directory"]);
    run("jail --args - --args - -- true < lines").refused(&["--args -", "given twice"]);
    run("jail --args - --file 0 /x -- true < lines").refused(&["--args -", "--file 0 /x"]);
    run("jail --args - --args names-stdin -- true < lines").refused(&["--args -", "--file 0 /x"]);
}

/// Runs jail as the user where /etc/resolv.conf is a link to a file in /run.
fn where_names_are_resolved_by_way_of_run(flags: &str, script: &str) -> Outcome {
    let s = Scratch::new();
    // What /etc needs to start a program and know a name by.
    let prepare = "mkdir etc && cp -a /etc/passwd /etc/group /etc/nsswitch.conf /etc/ld.so.* etc && \
         ln -s ../run/resolver/resolv.conf etc/resolv.conf && \
         mount --bind etc /etc && mount -t tmpfs -o mode=755 x /run && mkdir -p /run/resolver && \
         echo nameserver 192.0.2.53 > /run/resolver/resolv.conf && echo private > /run/resolver/other";
    let script =
        format!("{prepare} && exec setpriv --reuid={USER} --regid={USER} --clear-groups -- jail {flags} -- sh -c \"{script}\"",);
    outside_in(&s.0, true, &format!("exec unshare -m sh -c '{script}'"))
}

#[test]
fn a_resolver_file_in_run_is_shown_with_a_network_and_nothing_beside_it() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let script = "cat /etc/resolv.conf; ls -A /run; cat /run/resolver/other";
    for flags in ["--net host", "--net host --ro /etc", "--net host --ro-bind /etc /etc", "--ro /etc --net host --run none"] {
        let out = where_names_are_resolved_by_way_of_run(flags, script);
        assert!(out.out.starts_with("nameserver 192.0.2.53\n"), "{flags}: {out:?}");
        assert!(!out.out.contains("private"), "{flags}: {out:?}");
    }
    // Without a network it is a link that leads nowhere; with the host's /run one that
    // leads there.
    let out = where_names_are_resolved_by_way_of_run("", script);
    assert_eq!(out.out, "", "{out:?}");
    let out = where_names_are_resolved_by_way_of_run("--net host --run host", script);
    assert_eq!(out.good(), "nameserver 192.0.2.53\nresolver\nprivate");
    // Who brings an /etc is not given the host's.
    let out = where_names_are_resolved_by_way_of_run("--net host --tmpfs /etc", "cat /etc/resolv.conf");
    assert_eq!(out.out, "", "{out:?}");
}
