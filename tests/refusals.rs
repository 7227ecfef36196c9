//! When the kernel refuses, the message names the layer and the remedy, and the
//! status is 125. Each refusal is a real one.

#[path = "support/filter.rs"]
mod filter;
mod support;
use filter::{CONTAINER, Filter};
use std::path::Path;
use support::*;

#[test]
fn a_limit_of_namespaces_is_named() {
    let program = jail().to_str().unwrap();
    // The limits of a user namespace of the tests' own: the machine's stay.
    for limit in ["user", "net", "pid"] {
        let script = format!("echo 0 > /proc/sys/user/max_{limit}_namespaces && exec {program} -- true");
        let mut outer = command(Path::new("unshare"), Path::new("/"), false);
        outer.args(["-Ur", "sh", "-c", &script]);
        outcome(outer).refused(&[
            "make the namespaces user mount pid",
            "No space left",
            "a kernel setting",
            &format!("user.max_{limit}_namespaces is 0: sysctl -w"),
            "\njail: jail --check tells",
        ]);
    }
    // What this machine has no part in is not to be looked for there.
    for mistake in ["--rw /missing", "--net nowhere"] {
        let out = sh(mistake, "true");
        out.refused(&[]);
        assert!(!out.err.contains("--check"), "{out:#?}");
    }
}

#[test]
fn a_chroot_is_named() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let s = Scratch::new();
    s.tree("t");
    std::fs::copy(jail(), s.0.join("t/jail")).unwrap();
    let script = format!(
        "mount -t proc proc {t}/proc && chroot --userspec={USER}:{USER} {t} /jail -- true; r=$?; umount {t}/proc; exit $r",
        t = s.0.join("t").display()
    );
    let mut shell = command(Path::new("/bin/sh"), &s.0, true);
    shell.args(["-c", &script]);
    outcome(shell).refused(&["Operation not permitted", "a chrooted process may make no user namespace"]);
}

/// Of this process and what it becomes: it may do all with files but mount, as one whose
/// capabilities in its user namespace AppArmor has taken.
const NO_MOUNTS: &str = "\
import ctypes, os, struct, sys
call = ctypes.CDLL(None, use_errno=True).syscall
rules = call(444, ctypes.create_string_buffer(struct.pack('QQ', 1, 0)), 16, 0)
beneath = ctypes.create_string_buffer(struct.pack('=Qi', 1, os.open('/', os.O_PATH)))
assert rules >= 0 and call(445, rules, 1, beneath, 0) == 0
assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0 and call(446, rules, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn apparmors_restriction_is_named_and_the_packages_profile() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let s = Scratch::new();
    s.file("no_mounts", NO_MOUNTS);
    // The setting is Ubuntu's kernels'; the refusal is a real one, of another layer's.
    let setting = "mount -t tmpfs none /proc/sys/kernel && echo 1 >/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    let start = |before: &str, flags: &str| {
        let user = format!("setpriv --reuid={USER} --regid={USER} --clear-groups python3 no_mounts");
        let mut shell = command(Path::new("unshare"), &s.0, true);
        let script = format!("{before} && exec {user} {} {flags}", jail().display());
        shell.args(["-m", "--propagation", "private", "sh", "-c", &script]);
        outcome(shell)
    };
    let parts = [
        "AppArmor",
        "kernel.apparmor_restrict_unprivileged_userns is 1",
        "install jail's package, whose AppArmor profile (/etc/apparmor.d/jail) lets /usr/bin/jail make them",
    ];
    start(setting, "-- true").refused(&parts);
    let checked = start(setting, "--check");
    assert!(checked.status != 0 && parts.iter().all(|part| checked.out.contains(part)), "{checked:#?}");
    // Where the profile is, this is not the program that it is for.
    let profile = "mount -t tmpfs none /etc && mkdir /etc/apparmor.d && : >/etc/apparmor.d/jail";
    start(&format!("{setting} && {profile}"), "-- true").refused(&["/etc/apparmor.d/jail lets /usr/bin/jail alone make them"]);
    // Without the setting it is another's.
    let other = start("true", "-- true");
    other.refused(&["Operation not permitted"]);
    assert!(!other.err.contains("AppArmor"), "{other:#?}");
}

#[test]
fn a_containers_filter_is_named() {
    let mut command = CONTAINER.around(jail(), Path::new("/"));
    command.args(["--", "true"]);
    outcome(command).refused(&[
        "make the namespaces",
        "Operation not permitted",
        "the container around this process",
        "seccomp filter",
        "--degrade namespaces",
    ]);
    // One that lets namespaces through, and neither mounts nor keys.
    for (refused, parts) in [
        (&["mount", "move_mount", "fsopen", "fsmount", "open_tree"][..], ["start from an empty root", "--degrade namespaces"]),
        (&["pivot_root"], ["make it /", "--degrade namespaces"]),
        (&["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"], ["Landlock", "--degrade landlock"]),
        (&["sethostname"], ["hostname jail", "--degrade hostname"]),
    ] {
        let mut command = Filter { refused, ..Filter::default() }.around(jail(), Path::new("/"));
        command.args(["--", "true"]);
        let out = outcome(command);
        out.refused(&parts);
        out.refused(&["the container around this process"]);
    }
    let mut command = Filter { filters: true, ..Filter::default() }.around(jail(), Path::new("/"));
    command.args(["--", "true"]);
    outcome(command).refused(&["system calls by the default policy", "the container around this process", "--degrade seccomp"]);
    // Keys that are refused to the launcher are refused to the command, too.
    for (refused, works) in [(&["keyctl", "add_key", "request_key"][..], true), (&["keyctl"], false)] {
        let mut command = Filter { refused, ..Filter::default() }.around(jail(), Path::new("/"));
        command.args(["--seccomp", "none", "--", "true"]);
        let out = outcome(command);
        assert_eq!(out.status == 0, works, "{out:?}");
        assert!(works || out.err.contains("new session keyring") && out.err.contains("the container around"), "{out:?}");
    }
}

#[test]
fn a_filter_that_refuses_any_call_for_good_holds_nothing_up() {
    // What the launch and the wait are made of, but for those that never fail.
    for call in [
        "capget",
        "capset",
        "chdir",
        "close_range",
        "dup3",
        "fchdir",
        "fchmod",
        "fchmodat",
        "fcntl",
        "fstatfs",
        "fsconfig",
        "fsmount",
        "fsopen",
        "getgroups",
        "getsid",
        "keyctl",
        "kill",
        "landlock_add_rule",
        "landlock_create_ruleset",
        "landlock_restrict_self",
        "mkdirat",
        "mount_setattr",
        "move_mount",
        "openat2",
        "open_tree",
        "pidfd_open",
        "pidfd_send_signal",
        "pipe2",
        "pivot_root",
        "ppoll",
        "prctl",
        "readlinkat",
        "rt_sigpending",
        "rt_sigqueueinfo",
        "rt_sigtimedwait",
        "sendmsg",
        "recvmsg",
        "setsid",
        "sethostname",
        "setsockopt",
        "signalfd4",
        "socket",
        "socketpair",
        "symlinkat",
        "umount2",
        "unshare",
        "wait4",
        "waitid",
        "writev",
    ] {
        let started = std::time::Instant::now();
        let filter = Filter { refused: Box::leak(Box::new([call])), ..Filter::default() };
        let mut command = filter.around(Path::new("/usr/bin/timeout"), Path::new("/"));
        command.args(["-k", "1", "20"]).arg(jail()).args(["--", "sh", "-c", "exit 3"]);
        let out = outcome(command);
        let told = out.status == 125 && out.err.contains("refused by");
        assert!((out.status == 3 || told) && started.elapsed().as_secs() < 20, "{call}: {out:?}");
    }
}

#[test]
fn a_masked_proc_is_named_and_left_out_on_request() {
    // In a user namespace of its own, /proc is covered in part, as a container
    // runtime does it; a new procfs would show what that hides.
    let program = jail().to_str().unwrap();
    let inner = |flags: &str| {
        let script = format!("mount -t tmpfs x /proc/irq && exec unshare -Um --map-current-user {program} {flags} -- true");
        let mut outer = command(Path::new("unshare"), Path::new("/"), false);
        outer.args(["-Urm", "sh", "-c", &script]);
        outcome(outer)
    };
    inner("").refused(&["own process table /proc", "Operation not permitted", "parts of /proc are covered", "--proc none"]);
    assert_eq!(inner("--proc none").status, 0);
}

#[test]
fn a_jail_in_a_jail_works_where_its_proc_is_left_out() {
    let program = jail().to_str().unwrap();
    let inner = format!("{program} --proc none -- sh -c 'echo inner'");
    assert_eq!(sh(&format!("--nested --tmp none --ro {program}"), &inner).good(), "inner");
    // Without --nested the policy refuses, and were it not there, the kernel would.
    sh(&format!("--tmp none --ro {program}"), &inner)
        .refused(&["Operation not permitted", "as in a jail: give that one --nested"]);
    sh(&format!("--seccomp none --tmp none --ro {program}"), &inner).refused(&["No space left", "user.max_user_namespaces is 0"]);
}

#[test]
fn a_writable_bind_of_what_is_read_only_is_refused() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let s = Scratch::new();
    s.dir("p");
    let p = s.0.join("p");
    let script = format!(
        "mount -t tmpfs -o ro x {p} && setpriv --reuid={USER} --regid={USER} --clear-groups {jail} --rw {p} -- true; r=$?; umount {p}; exit $r",
        p = p.display(),
        jail = jail().display()
    );
    let mut shell = command(Path::new("/bin/sh"), &s.0, true);
    shell.args(["-c", &script]);
    outcome(shell).refused(&["--rw", "the file system is mounted read-only", "say --ro"]);
}

#[test]
fn a_directory_that_is_gone_is_told() {
    let s = Scratch::new();
    let script =
        format!("mkdir gone && cd gone && rmdir ../gone && {jail} -- pwd && {jail} --rw . -- true", jail = jail().display());
    let mut shell = command(Path::new("/bin/sh"), &s.0, false);
    shell.args(["-c", &script]);
    let out = outcome(shell);
    assert_eq!(out.out, "/\n", "a default is no error: {out:?}");
    out.refused(&["--rw .", "the current directory is gone"]);
}

#[test]
fn a_full_tmpfs_is_told() {
    let s = Scratch::new();
    let script =
        format!("head -c 300000 /dev/zero > big && exec {} --tmpfs /t,size=64k --file 7 /t/big -- true 7< big", jail().display());
    let mut shell = command(Path::new("/bin/sh"), &s.0, false);
    shell.args(["-c", &script]);
    outcome(shell).refused(&["--file 7 /t/big", "No space left", "full"]);
}

#[test]
fn the_check_says_what_a_launch_would() {
    let program = jail().to_str().unwrap();
    let check = |words: &[&str], script: &str| {
        let mut outer = command(Path::new(words[0]), Path::new("/"), false);
        outer.args(&words[1..]).args(["sh", "-c", script]);
        outcome(outer)
    };
    let line = |out: &Outcome, layer: &str| out.out.lines().find(|line| line.starts_with(layer)).unwrap().to_owned();
    let out = run(&["--check"]);
    assert!(out.good().ends_with("a jail without flags       yes"), "{out:?}");
    assert!(line(&out, "Landlock").contains("ABI"));
    // Who has ephemeral trees has this, and the other way round.
    let s = Scratch::new();
    s.tree("t");
    let works = sh_in(&s.0, "--root t --ephemeral", "true").status == 0;
    assert_eq!(line(&out, "overlay").contains(" yes "), works, "{out:?}");
    for (limit, layer) in [("net", "network namespace"), ("uts", "uts namespace"), ("pid", "private /proc")] {
        let out = check(
            &["unshare", "-Ur"],
            &format!("echo 0 > /proc/sys/user/max_{limit}_namespaces; {program} --check; echo $?; {program} -- true; echo $?"),
        );
        assert!(line(&out, layer).contains(" NO ") && line(&out, "a jail without flags").contains(" NO "), "{out:?}");
        assert!(line(&out, "user namespace").ends_with(" yes") && out.out.ends_with("125\n125\n"), "{out:?}");
        assert!(out.out.contains(&format!("sysctl -w user.max_{limit}_namespaces=15000")), "{out:?}");
    }
    let masked = format!("mount -t tmpfs x /proc/irq && exec unshare -Um --map-current-user {program} --check");
    let out = check(&["unshare", "-Urm"], &masked);
    assert!(line(&out, "private /proc").contains(" NO ") && out.out.contains("--proc none") && out.status == 125, "{out:?}");
    let mut filtered = CONTAINER.around(jail(), Path::new("/"));
    filtered.arg("--check");
    let out = outcome(filtered);
    assert!(line(&out, "user namespace").contains("the container around this process") && out.status == 125, "{out:?}");
    assert!(line(&out, "seccomp").ends_with(" yes") && line(&out, "Landlock").contains(" yes "), "{out:?}");
    assert!(line(&out, "a jail without these").ends_with(" yes  --degrade namespaces"), "{out:?}");
    let json = run(&["--check=json"]);
    let read =
        "import json, sys; d = json.loads(sys.argv[1]); print(d['starts'], all(l['works'] for l in d['layers'] if l['needed']))";
    let read = std::process::Command::new("python3").args(["-c", read, json.good()]).output().unwrap();
    assert_eq!(read.stdout, b"True True\n");
    run(&["--check", "--net", "host"]).refused(&["--net host", "no effect with --check"]);
}

#[test]
fn the_check_says_that_proc_sys_is_not_to_be_written() {
    let program = jail().to_str().unwrap();
    let covered = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";
    let mut outer = command(Path::new("unshare"), Path::new("/"), false);
    outer.args(["-Urm", "unshare", "-Urmpf", "--mount-proc", "sh", "-c", &format!("{covered} && {program} --check")]);
    let out = outcome(outer);
    let line = out.out.lines().find(|line| line.starts_with("no user namespaces inside")).unwrap();
    assert!(line.contains("Read-only file system") && out.out.contains("/proc/sys may not be written here"), "{out:#?}");
}

#[test]
fn a_directory_for_a_standard_stream_is_refused() {
    let s = Scratch::new();
    s.file("f", "x");
    let run = |line: &str| outside_in(&s.0, false, line);
    assert_eq!(run("jail -- cat < f").good(), "x");
    // It would be a way to all of the host's files.
    run("jail -- true < .").refused(&["pass descriptor 0", "it is a directory"]);
    run("jail -- true 1< .").refused(&["pass descriptor 1", "it is a directory"]);
    assert_eq!(run("jail -- true 2< .").status, 125);
    // One from 3 up is closed, as all are.
    assert_eq!(run("jail -- sh -c 'ls /proc/self/fd/7/ 2>/dev/null; echo closed' 7< .").good(), "closed");
    // So would a descriptor that only names a directory.
    let named = "import os, sys
os.dup2(os.open('.', os.O_PATH), 0)
os.execvp('jail', ['jail', '--', 'true'])";
    run(&format!("python3 -c \"{named}\"")).refused(&["pass descriptor 0"]);
    run("jail --file 7 /x -- true 7< .").refused(&["--file 7 /x", "the descriptor is a directory"]);
}

#[test]
fn a_set_user_id_copy_is_refused() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let s = Scratch::new();
    let copy = s.0.join("jail");
    std::fs::copy(jail(), &copy).unwrap();
    for (mode, refused) in [("0755", false), ("4755", true), ("2755", true), ("0755", false)] {
        let script = format!("chown 0:0 jail && chmod {mode} jail && as_user ./jail -- sh -c 'id -u'");
        let out = outside_in(&s.0, true, &script);
        if refused {
            out.refused(&["this executable is set-", "-s ./jail, which needs no privilege"]);
            assert_eq!(out.out, "", "{mode}");
        } else {
            assert_eq!(out.good(), USER.to_string(), "{mode}");
        }
    }
    // Whoever starts it: --explain and the messages would be root's, too.
    assert_eq!(outside_in(&s.0, true, "chown 0:0 jail; chmod 4755 jail; as_user ./jail --explain -- true").status, 125);
}

#[test]
fn the_callers_last_key_is_named() {
    if !we_are_root() {
        return skip("this needs root");
    }
    // A user of its own, whose keys no other test counts; these go with the process.
    let fill = "
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
ADD_KEY, KEYCTL = {'x86_64': (248, 250), 'aarch64': (217, 219)}[os.uname().machine]
# As a login has it; the kernel does not count the first of a process.
assert libc.syscall(KEYCTL, 1, None) > 0
n = 0
while libc.syscall(ADD_KEY, b'keyring', b'%d' % n, None, 0, -2) > 0: n += 1
assert ctypes.get_errno() == 122, ctypes.get_errno()  # EDQUOT
sys.exit(subprocess.run([sys.argv[1], '--', 'true']).returncode)";
    let mut python = command(Path::new("setpriv"), Path::new("/"), true);
    python.args(["--reuid=54323", "--regid=54323", "--clear-groups", "--", "python3", "-c", fill]).arg(jail());
    let out = outcome(python);
    out.refused(&["new session keyring", "a kernel setting", "sysctl -w kernel.keys.maxkeys"]);
}
