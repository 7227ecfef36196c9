//! --ephemeral and --overlay: a tree that can be changed and stays as it is.

mod support;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::*;

/// A tree with something in it to be changed.
fn tree(s: &Scratch) {
    s.tree("t");
    s.file("t/etc/motd", "old\n");
    s.file("t/d/e/f", "deep\n");
    s.file("t/d/g", "g\n");
    s.file("t/script", "#!/bin/sh\n");
    fs::hard_link(s.0.join("t/etc/motd"), s.0.join("t/etc/linked")).unwrap();
    s.link("t/l", "etc/motd");
}

/// All that can be seen of a directory from outside: names, kinds, modes, owners,
/// times, content.
fn state(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names.iter().chain([&dir.to_owned()]) {
        let meta = fs::symlink_metadata(path).unwrap();
        let content = if meta.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        let sum = content.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        let (mode, owner) = (meta.mode(), (meta.uid(), meta.gid(), meta.nlink(), meta.ino()));
        let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        all.push(format!("{path:?} {mode:o} {owner:?} {times:?} {} {sum} {:?}", meta.len(), fs::read_link(path).ok()));
        if meta.is_dir() && path != dir {
            all.extend(state(path));
        }
    }
    all
}

/// Changes of every kind, and what is then seen of them.
const CHANGE: &str = "set -e; export PATH=/bin; \
    echo new > /etc/motd; echo more >> /d/g; busybox rm -r /d/e; mkdir /d/e; echo other > /d/e/f; \
    busybox mv /d /moved; busybox chmod 700 /script; busybox rm /etc/linked; busybox ln -s nowhere /sym; \
    mkdir -p /a/b; touch /a/b/c; busybox mkfifo /fifo";
const SEE: &str = "cat /etc/motd /moved/g /moved/e/f; stat -c %a /script; ls /etc; readlink /sym; ls /a/b; ls -d /d; ls /";
const SEEN: &str = "new\ng\nmore\nother\n700\nmotd\nnowhere\nc\na\nbin\ndev\netc\nfifo\nl\nmoved\nproc\nrun\nscript\nsym\ntmp\n";

#[test]
fn changes_vanish_with_an_ephemeral_jail() {
    let s = Scratch::new();
    tree(&s);
    let before = state(&s.0);
    let run = sh_in(&s.0, "--root t --ephemeral", &format!("{CHANGE}; set +e; {SEE}; touch /tmp/x && ls /proc/1 > /dev/null"));
    assert_eq!((run.out.as_str(), run.status), (SEEN, 0), "{run:?}");
    assert_eq!(state(&s.0), before);
    assert_eq!(sh_in(&s.0, "--root t --ephemeral", "cat /etc/motd /d/e/f; ls /a").out, "old\ndeep\n");
    assert_eq!(state(&s.0), before);
}

#[test]
fn a_full_one_is_out_of_space_and_goes_on() {
    let s = Scratch::new();
    tree(&s);
    let before = state(&s.0);
    let script = "export PATH=/bin; busybox dd if=/dev/zero of=/big bs=64k count=32; echo $?; \
        busybox rm /big; echo x > /small && cat /small";
    let run = sh_in(&s.0, "--root t --ephemeral=1m", script);
    assert_eq!(run.good(), "1\nx", "{run:?}");
    assert!(run.err.contains("No space left"), "{run:?}");
    assert_eq!(sh_in(&s.0, "--root t --ephemeral=4m", script).good(), "0\nx");
    // Nothing in them, and yet memory.
    let many = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); : > /n$i || exit 3; done";
    assert_eq!(sh_in(&s.0, "--root t --ephemeral=1m", many).status, 1);
    assert_eq!(sh_in(&s.0, "--root t --ephemeral=4m", many).status, 0);
    assert_eq!(state(&s.0), before);
}

#[test]
fn changes_are_kept_in_a_directory_and_a_second_run_continues() {
    let s = Scratch::new();
    tree(&s);
    let before = state(&s.0.join("t"));
    sh_in(&s.0, "--root t --overlay kept", CHANGE).good();
    assert_eq!(state(&s.0.join("t")), before);
    assert_eq!(sh_in(&s.0, "--root t --overlay kept", SEE).out, SEEN);
    assert_eq!(sh_in(&s.0, "--root t --overlay ./kept", "echo newer > /etc/motd; cat /etc/motd").good(), "newer");
    assert_eq!(sh_in(&s.0, "--root t", "cat /etc/motd").good(), "old");
    assert_eq!(state(&s.0.join("t")), before);
    // Nothing but the changes, marks of what was deleted among them, and it can be removed.
    let listed: Vec<_> = fs::read_dir(s.0.join("kept")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(listed, ["changes"]);
    let mark = fs::symlink_metadata(s.0.join("kept/changes/etc/linked")).unwrap();
    assert_eq!((mark.mode() & 0o170_000, mark.rdev()), (0o020_000, 0));
    assert_eq!(fs::metadata(s.0.join("kept/changes")).unwrap().mode(), fs::metadata(s.0.join("t")).unwrap().mode());
    assert_eq!(outside_in(&s.0, false, "rm -r kept && ls").good(), "t");
}

#[test]
fn what_an_earlier_run_made_of_mount_points_counts() {
    let s = Scratch::new();
    tree(&s);
    s.dir("t/opt/sub");
    // What is mounted there cannot be replaced, so it is not mounted.
    let none = "--root t --overlay kept --tmp none --run none --home none";
    let change = "export PATH=/bin; busybox rmdir /run /tmp; busybox ln -s etc /run; mkdir /tmp /new; \
        busybox rm -r /opt; mkdir /opt";
    sh_in(&s.0, none, change).good();
    let run = sh_in(&s.0, "--root t --overlay kept --tmpfs /new", "ls /; touch /tmp/x /new/y; ls /opt; readlink /run");
    assert_eq!(run.out, "bin\nd\ndev\netc\nl\nnew\nopt\nproc\nrun\nscript\ntmp\netc\n", "{run:?}");
    sh_in(&s.0, "--root t --overlay kept --tmpfs /opt/sub", "true")
        .refused(&["--tmpfs /opt/sub", "nothing is there to mount on"]);
    sh_in(&s.0, "--root t --ephemeral --tmpfs /opt/sub", "true").good();
    // As for a tree that may be changed itself.
    sh_in(&s.0, "--root t --ephemeral --dir /x", "true").refused(&["--dir /x", "make it there yourself"]);
}

/// A run that says when its command runs, and then waits.
fn waiting(s: &Scratch, flags: &str) -> Child {
    let mut command = command(jail(), &s.0, false);
    command.args(flags.split_whitespace()).args(["--", "sh", "-c", "echo here; while :; do echo x >> /file; done"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 5];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
    child
}

/// Until the directory is free, which takes as long as processes take to die.
fn freed(s: &Scratch, script: &str) -> Outcome {
    let start = Instant::now();
    loop {
        let run = sh_in(&s.0, "--root t --overlay kept", script);
        if !run.err.contains("another run has it") || start.elapsed() > Duration::from_secs(20) {
            return run;
        }
    }
}

#[test]
fn two_runs_do_not_share_a_directory() {
    let s = Scratch::new();
    tree(&s);
    for flags in ["", "--init none", "--pid host"] {
        let mut first = waiting(&s, &format!("--root t --overlay kept {flags}"));
        sh_in(&s.0, "--root t --overlay kept", "true").refused(&[
            "--overlay kept",
            "another run has it",
            "wait until that has ended, or name another",
        ]);
        sh_in(&s.0, "--root t --overlay other", "true").good();
        // Not a file that would be left, but a lock that its holders' death ends.
        first.kill().unwrap();
        first.wait().unwrap();
        freed(&s, "ls /file").good();
        let listed: Vec<_> = fs::read_dir(s.0.join("kept")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(listed, ["changes"], "{flags}");
    }
}

#[test]
fn the_lock_holds_until_the_last_process_is_dead() {
    let s = Scratch::new();
    tree(&s);
    let lock = |wait: &str| outside_in(&s.0, false, &format!("flock {wait} kept true")).status;
    for _ in 0..5 {
        let mut first = waiting(&s, "--root t --overlay kept");
        assert_eq!(lock("-n"), 1);
        first.kill().unwrap();
        assert_eq!(lock(""), 0);
        // Then nobody writes any more.
        let size = || fs::metadata(s.0.join("kept/changes/file")).unwrap().len();
        let then = size();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(size(), then);
        first.wait().unwrap();
    }
}

#[test]
fn a_killed_run_leaves_the_tree_and_nothing_else() {
    let s = Scratch::new();
    tree(&s);
    let before = state(&s.0.join("t"));
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounted = mounts();
    for (round, flags) in ["--ephemeral", "--overlay kept"].into_iter().cycle().take(40).enumerate() {
        let mut command = command(jail(), &s.0, false);
        command.args(format!("--root t {flags}").split_whitespace()).args(["--", "sh", "-c", CHANGE]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From before there is a jail to after it has ended.
        std::thread::sleep(Duration::from_micros(round as u64 * 400));
        let _ = child.kill();
        child.wait().unwrap();
        freed(&s, "echo still > /here; cat /here").good();
    }
    assert_eq!(state(&s.0.join("t")), before);
    assert_eq!(mounts(), mounted);
    let mut listed: Vec<_> = fs::read_dir(&s.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    listed.sort();
    assert_eq!(listed, ["kept", "t"]);
    assert_eq!(outside_in(&s.0, false, "rm -r kept && ls").good(), "t");
}

#[test]
fn any_name_will_do() {
    let s = Scratch::new();
    for name in
        [&b"a,b"[..], b"a:b", b"a\\b", b"a\\,b:c", b"a b", b"a\nb", b"\xff\xfe", b"upperdir=x", "\u{202e}".as_bytes(), b"'\"$`"]
    {
        let name = OsStr::from_bytes(name);
        s.tree("t");
        let tree = s.0.join(name);
        fs::rename(s.0.join("t"), &tree).unwrap();
        let mut kept = name.to_owned();
        kept.push(",k:e\\p t");
        for flags in [&[OsStr::new("--ephemeral")][..], &[OsStr::new("--overlay"), &kept]] {
            let mut args = vec![OsStr::new("--root"), name];
            args.extend_from_slice(flags);
            args.extend(["--", "/bin/sh", "-c", "echo x > /bin/new && cat /bin/new"].map(OsStr::new));
            assert_eq!(run_in(&s.0, &args).good(), "x", "{args:?}");
        }
        assert!(s.0.join(&kept).join("changes/bin/new").exists() && !tree.join("bin/new").exists());
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let s = Scratch::new();
    tree(&s);
    s.file("full/mine", "");
    s.file("file", "");
    s.link("dangling", "nowhere");
    s.dir("ro");
    fs::set_permissions(s.0.join("ro"), fs::Permissions::from_mode(0o555)).unwrap();
    for (flags, parts) in [
        ("--overlay t", &["--overlay t", "it is the tree itself", "beside the tree"][..]),
        ("--overlay t/k", &["--overlay t/k", "it lies in the tree", "beside the tree"]),
        ("--overlay .", &["--overlay .", "the tree lies in it", "beside the tree"]),
        ("--overlay full", &["--overlay full", "Directory not empty", "holds other things", "name an empty directory"]),
        ("--overlay file", &["--overlay file", "/file is a regular file, not a directory"]),
        ("--overlay file/k", &["--overlay file/k", "Not a directory"]),
        ("--overlay no/k", &["--overlay no/k", "create the directory above it first"]),
        ("--overlay dangling", &["--overlay dangling", "is a symbolic link below the current directory", "remove the link"]),
        ("--overlay ro/k", &["--overlay ro/k", "Permission denied", "must be allowed to write there"]),
        ("--overlay k --rw-bind . /tmp/x", &["--rw-bind . /tmp/x", "of --overlay k could be changed", "read-only"]),
        ("--ephemeral --rw-bind t/d /d", &["--rw-bind t/d /d", "of --ephemeral could be changed", "read-only"]),
        ("--overlay k --tmp host", &["--tmp host", "could be changed through it"]),
    ] {
        sh_in(&s.0, &format!("--root t {flags}"), "true").refused(parts);
    }
    assert!(!s.0.join("k").exists(), "nothing is made for what is refused");
    assert_eq!(fs::read_dir(s.0.join("full")).unwrap().count(), 1);
    // The allowed twins.
    sh_in(&s.0, "--root t --overlay k --ro-bind . /tmp/x", "ls /tmp/x/t").good();
    s.dir("data");
    sh_in(&s.0, "--root t --overlay k --rw-bind data /d", "echo x > /d/x").good();
    assert!(s.0.join("data/x").exists());
    fs::set_permissions(s.0.join("ro"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_tree_of_someone_elses_is_refused_and_a_file_of_theirs_only_read() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let s = Scratch::new();
    tree(&s);
    let theirs = s.file("t/theirs", "theirs\n");
    chown(&theirs, Some(0), Some(0)).unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o666)).unwrap();
    let run = sh_in(&s.0, "--root t --ephemeral", "cat /theirs; echo x >> /theirs; rm /theirs; busybox rm /theirs; ls /theirs");
    assert!(run.out == "theirs\n" && run.err.contains("Value too large"), "{run:?}");
    chown(s.0.join("t"), Some(0), Some(0)).unwrap();
    for flags in ["--ephemeral", "--overlay k"] {
        sh_in(&s.0, &format!("--root t {flags}"), "true").refused(&[flags, "belongs to uid 0", "a tree of your own"]);
    }
    sh_in(&s.0, "--root t", "true").good();
}

#[test]
fn root_may_do_it_too() {
    let s = Scratch::new();
    tree(&s);
    if !we_are_root() {
        return skip("this needs root");
    }
    chown(s.0.join("t"), Some(0), Some(0)).unwrap();
    let before = state(&s.0.join("t"));
    let run = sh_as_root(&s.0, "--root t --overlay kept", "echo x > /new; cat /new").unwrap();
    assert_eq!(run.good(), "x");
    assert_eq!(sh_as_root(&s.0, "--root t --overlay kept", "cat /new; busybox rm /new").unwrap().good(), "x");
    assert_eq!(sh_as_root(&s.0, "--root t --ephemeral", "echo y > /new; cat /new").unwrap().good(), "y");
    assert_eq!(state(&s.0.join("t")), before);
}

/// Runs a script as root of a user namespace with mounts of its own.
fn with_mounts(s: &Scratch, script: &str) -> Outcome {
    fs::write(s.0.join("script"), script).unwrap();
    outside_in(&s.0, false, "exec unshare -rm sh ./script")
}

#[test]
fn a_mount_in_the_tree_is_named() {
    let s = Scratch::new();
    tree(&s);
    s.dir("t/a b");
    let at = s.0.join("t/a b").display().to_string();
    for flags in ["--ephemeral", "--overlay k"] {
        with_mounts(&s, &format!("mount -t tmpfs t 't/a b'; exec jail --root t {flags} -- sh -c true")).refused(&[
            flags,
            &format!("{at} is mounted in the tree"),
            "unmount it",
        ]);
    }
    // What works with it, and what works once it is gone.
    with_mounts(&s, "mount -t tmpfs t 't/a b'; jail --root t -- sh -c true").good();
    with_mounts(&s, "mount -t tmpfs t 't/a b'; umount 't/a b'; jail --root t --ephemeral -- sh -c true").good();
    // One above it is no matter.
    let script = "mkdir m && mount -t tmpfs t m && cp -r t m/t && jail --root m/t --ephemeral -- sh -c 'echo x > /x; cat /x'";
    assert_eq!(with_mounts(&s, script).good(), "x");
}

#[test]
fn file_systems_that_take_no_overlay_are_named() {
    let s = Scratch::new();
    tree(&s);
    let over = "mkdir -p u w m u2 w2 m2; mount -t overlay o -o userxattr,lowerdir=t,upperdir=u,workdir=w m; ";
    with_mounts(&s, &format!("{over} jail --root t --overlay m/k -- sh -c true")).refused(&[
        "--overlay m/k",
        "changes on overlay",
        "overlayfs takes no changes on",
    ]);
    // A tree that is one itself may be, and one that is two may not.
    assert_eq!(with_mounts(&s, &format!("{over} jail --root m --ephemeral -- sh -c 'echo x > /x; cat /x'")).good(), "x");
    let twice = format!("{over} mount -t overlay o -o userxattr,lowerdir=m,upperdir=u2,workdir=w2 m2; ");
    with_mounts(&s, &format!("{twice} jail --root m2 --ephemeral -- sh -c true")).refused(&[
        "--ephemeral",
        "the tree lies on overlay",
        "an overlay of an overlay",
    ]);
    // By a second name no path tells that they lie in each other.
    for script in [
        "mkdir b && mount --bind t b && jail --root t --overlay b/k -- sh -c true",
        "mkdir -p c k/changes && cp -r t k/changes && mount --bind k/changes/t c && jail --root c --overlay k -- sh -c true",
    ] {
        with_mounts(&s, script).refused(&["--overlay", "lie in each other", "beside the tree"]);
    }
}

#[test]
fn the_view_is_laid_over_it_as_over_any_tree() {
    let s = Scratch::new();
    tree(&s);
    s.file("src/f", "src\n");
    s.dir("rw");
    s.dir("t/mnt/rw");
    s.dir("t/home/tester");
    let before = state(&s.0.join("t"));
    let flags = "--ro-bind src /mnt --rw-bind rw /d/e --hide /etc/motd --noexec /script --tmpfs /home";
    for how in ["--ephemeral", "--overlay kept"] {
        let script = "cat /mnt/f; echo x > /d/e/out; cat /etc/motd; echo x > /mnt/f; /script; touch /home/a /d/new; ls /d";
        let run = sh_in(&s.0, &format!("--root t {how} {flags}"), script);
        assert_eq!(run.out, "src\ne\ng\nnew\n", "{run:?}");
        for part in ["'/etc/motd': Permission denied", "/mnt/f: Read-only", "/script: Permission denied"] {
            assert!(run.err.contains(part), "{part}: {run:?}");
        }
        assert!(s.0.join("rw/out").exists());
        fs::remove_file(s.0.join("rw/out")).unwrap();
    }
    assert_eq!(state(&s.0.join("t")), before);
}

#[test]
fn it_goes_with_every_kind_of_jail() {
    let s = Scratch::new();
    tree(&s);
    let before = state(&s.0.join("t"));
    for flags in [
        "--as-root",
        "--nested",
        "--cap sys_admin",
        "--pid host",
        "--init none",
        "--landlock none --seccomp none",
        "--net host",
        "--uid 7 --gid 8",
        "--pty",
        "--timeout 20",
        "--new-session",
    ] {
        for how in ["--ephemeral", "--overlay kept"] {
            let run = sh_in(&s.0, &format!("--root t {how} {flags}"), &format!("{CHANGE}; busybox rm -r /a; cat /etc/motd"));
            assert_eq!(run.good(), "new", "{flags} {how}");
            let _ = outside_in(&s.0, false, "rm -rf kept");
        }
    }
    assert_eq!(state(&s.0.join("t")), before);
}

#[test]
fn directories_move_by_copying_and_links_come_apart() {
    let s = Scratch::new();
    tree(&s);
    s.dir("t/mnt");
    // The kernel's rename(2) of a directory of the tree is EXDEV, as between file
    // systems; of one that the jail has made it works.
    let rename = r#"import os
try: os.rename("/d", "/r"); print("renamed")
except OSError as e: print(os.strerror(e.errno))
os.mkdir("/own"); os.rename("/own", "/own2")
open("/etc/motd", "a").write("more"); print(os.stat("/etc/motd").st_nlink, open("/etc/linked").read(), end="")"#;
    fs::write(s.0.join("rename.py"), rename).unwrap();
    for name in ["usr", "lib", "lib64"] {
        s.dir(&format!("t/{name}"));
    }
    let flags = "--root t --ephemeral --ro /usr --ro-bind-try /lib /lib --ro-bind-try /lib64 /lib64 --ro-bind rename.py /script";
    assert_eq!(sh_in(&s.0, flags, "python3 /script").good(), "Invalid cross-device link\n1 old");
}

#[test]
fn two_hundred_at_once_on_one_master() {
    let s = Scratch::new();
    tree(&s);
    // A user whose keys no other test counts: each jail has a keyring.
    let alone = 54324;
    let chown = ["-hR".to_owned(), format!("{alone}:{alone}"), s.0.display().to_string()];
    assert!(!we_are_root() || Command::new("chown").args(chown).status().unwrap().success());
    let before = state(&s.0);
    let mut all: Vec<Child> = (0..200)
        .map(|n| {
            let mut command = if we_are_root() {
                let mut command = command(Path::new("setpriv"), &s.0, true);
                command.args([format!("--reuid={alone}"), format!("--regid={alone}")]).args(["--clear-groups", "--"]).arg(jail());
                command
            } else {
                command(jail(), &s.0, false)
            };
            let script = format!("read go; echo {n} > /etc/motd; read go; cat /etc/motd");
            command.args(["--root", "t", "--ephemeral=1m", "--", "sh", "-c", &script]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    // All of them live when the first goes on.
    for _ in 0..2 {
        for jail in &mut all {
            let _ = std::io::Write::write_all(jail.stdin.as_mut().unwrap(), b"go\n");
        }
    }
    let mut refused = 0;
    for (n, jail) in all.into_iter().enumerate() {
        let out = Outcome::from(jail.wait_with_output().unwrap());
        // Where the tests themselves have a session keyring, 200 is all that there are.
        if out.status == 125 && out.err.contains("sysctl -w kernel.keys.maxkeys") {
            refused += 1;
        } else {
            assert_eq!(out.good(), n.to_string());
        }
    }
    assert!(refused < 20, "{refused} of 200");
    assert_eq!(state(&s.0), before);
}

#[test]
fn it_is_explained_and_nothing_is_made() {
    let s = Scratch::new();
    tree(&s);
    let at = s.0.display();
    let text = sh_in(&s.0, "--root t --overlay kept --explain", "true");
    assert!(text.good().contains(&format!("changes in {at}/kept, for this run alone")), "{text:?}");
    assert!(text.good().contains(&format!("start from {at}/t, changes in {at}/kept")), "{text:?}");
    let text = sh_in(&s.0, "--root t --ephemeral=3k --explain", "true");
    assert!(text.good().contains(&format!("start from {at}/t, changes in memory (at most 3072 bytes)")), "{text:?}");
    assert!(!s.0.join("kept").exists());
}

/// What `--diff` prints.
fn diff(s: &Scratch, args: &str) -> String {
    let words: Vec<&str> = args.split_whitespace().collect();
    let run = run_in(&s.0, &words);
    assert_eq!((run.status, run.err.as_str()), (0, ""), "{args}");
    run.out
}

#[test]
fn changes_are_listed_against_the_tree() {
    let s = Scratch::new();
    tree(&s);
    for path in ["t/same", "t/mode", "t/kind", "t/dir/kind/a", "t/opaque/gone/x", "t/opaque/kept", "t/opaque/d/e/f", "t/times"] {
        s.file(path, "as it was\n");
    }
    let change = "export PATH=/bin; echo x > /etc/motd; busybox rm /etc/linked; busybox rm -r /d; echo 'as it was' > /same; \
        busybox chmod 600 /mode; busybox rm /kind; mkdir /kind; touch /kind/x; \
        busybox rm -r /dir/kind; touch /dir/kind; busybox touch -d 2001-01-01 /times; \
        cd /; busybox cp /opaque/kept /tmp/k; busybox rm -r /opaque; mkdir /opaque /opaque/d; busybox cp /tmp/k /opaque/kept; \
        touch /opaque/d/new; busybox rm /l; busybox ln -s elsewhere /l; mkdir -p /new/deep; busybox mkfifo /new/fifo; \
        busybox mv /script /moved; echo y > /run-x; busybox rm /run-x";
    sh_in(&s.0, "--root t --overlay kept", change).good();
    let expected = "D d\nD d/e\nD d/e/f\nD d/g\nC dir/kind\nD dir/kind/a\nD etc/linked\nC etc/motd\nC kind\nA kind/x\nC l\nC mode\n\
        A moved\nA new\nA new/deep\nA new/fifo\nD opaque/d/e\nD opaque/d/e/f\nA opaque/d/new\n\
        D opaque/gone\nD opaque/gone/x\nD script\n";
    assert_eq!(diff(&s, "--diff kept --root t"), expected);
    assert_eq!(diff(&s, "--root t --diff=text ./kept"), expected);
    let json = diff(&s, "--diff=json kept --root t");
    let read = "import json,sys\nfor c in json.loads(sys.argv[1]): print(c['change'][0].upper(), c['path'])";
    let python = std::process::Command::new("python3").args(["-c", read, &json]).output().unwrap();
    assert_eq!(Outcome::from(python).out, expected);
    for line in [
        r#"{"change":"changed","type":"directory","path":"kind"}"#,
        r#"{"change":"deleted","type":"directory","path":"d/e"}"#,
        r#"{"change":"changed","type":"link","path":"l"}"#,
        r#"{"change":"added","type":"fifo","path":"new/fifo"}"#,
    ] {
        assert!(json.contains(line), "{line}: {json}");
    }
    let alone = diff(&s, "--diff kept");
    assert!(alone.starts_with("D d\nW dir\nW dir/kind\nW etc\nD etc/linked\nW etc/motd\n"), "{alone}");
    // A run that changed nothing, and one that only changed the root itself.
    sh_in(&s.0, "--root t --overlay nothing", "cat /etc/motd").good();
    assert_eq!(diff(&s, "--diff nothing --root t"), "");
    assert_eq!(diff(&s, "--diff=json nothing --root t"), "[]\n");
    sh_in(&s.0, "--root t --overlay nothing", "busybox chmod 700 /").good();
    assert_eq!(diff(&s, "--diff nothing --root t"), "C .\n");
}

#[test]
fn what_a_jail_left_is_listed_without_a_step_out_of_it() {
    let s = Scratch::new();
    tree(&s);
    s.file("outside/secret", "");
    s.file("t/fifo", "old\n");
    s.file("t/shut", "old\n");
    s.dir("t/attr");
    // Links out, a fifo in a file's place, a file that cannot be read, names that would
    // write on the terminal, a path far longer than any call takes.
    let change = "export PATH=/bin; busybox ln -s /../../../outside /out; busybox ln -s ../../outside /up; busybox rm -r /d; \
        busybox ln -s ../../outside /d; busybox rm /fifo; busybox mkfifo /fifo; echo new > /shut; busybox chmod 0 /shut; \
        touch \"$(busybox printf '/a\\nb\\033[2J\\377')\"; busybox rm -r /attr";
    sh_in(&s.0, "--root t --overlay kept", change).good();
    // Which busybox cannot make.
    let deep = "import os\nos.chdir('kept/changes')\nfor i in range(3000): os.mkdir('dd'); os.chdir('dd')\nopen('end', 'w')";
    assert_eq!(outside_in(&s.0, false, &format!("python3 -c \"{deep}\"")).good(), "");
    let limited = outside_in(&s.0, false, "ulimit -n 20; exec timeout 60 jail --diff kept --root t");
    let (deep, rest): (Vec<&str>, Vec<&str>) = limited.good().lines().partition(|line| line.starts_with("A dd"));
    assert_eq!(rest, ["A a\\nb\\x1b[2J\\xff", "D attr", "C d", "D d/e", "D d/e/f", "D d/g", "C fifo", "A out", "C shut", "A up"]);
    assert_eq!(deep.len(), 3001);
    assert!(deep[3000].ends_with("/dd/dd/end"));
    let json = diff(&s, "--diff=json kept");
    assert!(json.contains(r#"{"change":"written","type":"file","path":[97, 10, 98, 27, 91, 50, 74, 255]}"#));
    // What cannot be listed is not left out in silence.
    sh_in(&s.0, "--root t --overlay kept", "mkdir /closed; busybox chmod 0 /closed").good();
    run_in(&s.0, &["--diff", "kept", "--root", "t"]).refused(&[
        "--diff kept",
        "compare closed",
        "Permission denied",
        "chmod u+rx",
    ]);
}

#[test]
fn what_is_no_directory_of_changes_is_not_compared() {
    let s = Scratch::new();
    tree(&s);
    s.dir("empty");
    run_in(&s.0, &["--diff", "empty"]).refused(&["--diff empty", "empty/changes", "No such file", "that --overlay has kept"]);
    run_in(&s.0, &["--diff", "no"]).refused(&["--diff no", "No such file", "a directory that can be read"]);
    s.dir("link");
    s.link("link/changes", "../t");
    run_in(&s.0, &["--diff", "link"]).refused(&["link/changes", "Not a directory"]);
    let mut first = waiting(&s, "--root t --overlay kept");
    run_in(&s.0, &["--diff", "kept"]).refused(&["--diff kept", "a run has it", "wait"]);
    first.kill().unwrap();
    first.wait().unwrap();
}
