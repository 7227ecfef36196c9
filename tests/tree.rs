//! --root: a tree is /, and a hostile one reaches nothing outside it.

mod support;
use std::fs;
use support::*;

#[test]
fn a_tree_is_the_root_and_read_only() {
    let s = Scratch::new();
    s.tree("t");
    let out = sh_in(
        &s.0,
        "--root t --net none",
        "ls / ; ls /proc/1 >/dev/null && echo proc; echo x > /dev/null && echo dev; touch /bin/x; touch /tmp/y && echo tmp",
    );
    assert_eq!(out.out, "bin\ndev\nproc\nrun\ntmp\nproc\ndev\ntmp\n", "{out:?}");
    assert!(out.err.contains("Read-only"), "{out:?}");
    assert!(!s.0.join("t/tmp/y").exists() && !s.0.join("t/bin/x").exists());
}

#[test]
fn a_tree_can_be_changed_when_said() {
    let s = Scratch::new();
    s.tree("t");
    assert_eq!(sh_in(&s.0, "--root t --writable", "echo new > /bin/x && cat /bin/x").good(), "new");
    assert_eq!(fs::read_to_string(s.0.join("t/bin/x")).unwrap(), "new\n");
}

#[test]
fn a_tree_with_nothing_but_a_static_binary() {
    let s = Scratch::new();
    s.dir("t");
    fs::copy("/bin/busybox", s.0.join("t/busybox")).unwrap();
    s.give(&s.0.join("t/busybox"));
    assert_eq!(run_in(&s.0, &["--root", "t", "--net", "none", "--", "/busybox", "ls", "/"]).good(), "busybox");
    run_in(&s.0, &["--root", "t", "--proc", "private", "--", "/busybox"]).refused(&[
        "--proc private",
        "nothing is there to mount on",
        "t/proc",
    ]);
}

#[test]
fn a_trees_own_home_and_files_are_used() {
    let s = Scratch::new();
    s.tree("t");
    s.file("t/home/tester/f", "hidden by the private home");
    s.file("t/etc/motd", "the tree's");
    assert_eq!(
        sh_in(&s.0, "--root t", "cat /etc/motd; ls /home/tester; touch /home/tester/x && echo private").good(),
        "the tree'sprivate"
    );
    assert_eq!(sh_in(&s.0, "--root t --home none", "cat /home/tester/f").good(), "hidden by the private home");
}

/// What hostile links may point at: nothing here may change or be read.
fn outside(s: &Scratch) -> std::path::PathBuf {
    s.dir("outside");
    s.file("outside/secret", "secret");
    s.0.join("outside")
}

#[test]
fn hostile_links_lead_nowhere() {
    // The allowed twin: the script reads what is shown, and writes where it may.
    let s = Scratch::new();
    s.tree("t");
    s.dir("t/mnt");
    let out = outside(&s);
    let run = sh_in(&s.0, "--root t --writable --rw-bind outside /mnt", "cat /*/secret; echo x > /mnt/new");
    assert_eq!(run.good(), "secret");
    assert!(out.join("new").exists());
    let mut ended = [0, 0];
    for target in [
        "ABSOLUTE",
        "../../../../../../../..ABSOLUTE",
        "../outside",
        "..",
        "../../..",
        "loop",
        "/nowhere",
        "nowhere/at/all",
        "/proc/1/root",
        "/proc/self/cwd",
    ] {
        for at in ["proc", "dev", "tmp", "run", "home", "mnt"] {
            let s = Scratch::new();
            s.tree("t");
            let out = outside(&s);
            let tree = s.0.join("t");
            if tree.join(at).exists() {
                fs::remove_dir(tree.join(at)).unwrap();
            }
            let target = if target == "loop" { at.to_owned() } else { target.replace("ABSOLUTE", out.to_str().unwrap()) };
            s.link(&format!("t/{at}"), &target);
            s.file("src/f", "x");
            for flags in [
                "",
                "--ro-bind src /mnt",
                "--tmpfs /mnt",
                "--dir /mnt/x",
                "--rw-bind src /home/tester",
                "--dev private --tmp private --run private --proc private",
            ] {
                let run = sh_in(
                    &s.0,
                    &format!("--root t --writable {flags}"),
                    "cat /*/secret /*/*/secret; echo x > /tmp/new; echo x > /mnt/new; echo ran",
                );
                match run.status {
                    0 => assert!(run.out.ends_with("ran\n"), "{target} {at} {flags}: {run:?}"),
                    // Nothing runs, because a mount point is not as it should be.
                    125 => assert!(run.out.is_empty() && run.err.starts_with("jail: "), "{target} {at} {flags}: {run:?}"),
                    _ => panic!("{target} {at} {flags}: {run:?}"),
                }
                ended[usize::from(run.status == 125)] += 1;
                assert!(!run.out.contains("secret"), "{target} {at} {flags}: {run:?}");
                let listed: Vec<_> = fs::read_dir(&out).unwrap().flatten().map(|e| e.file_name()).collect();
                assert_eq!(listed, ["secret"], "{target} {at} {flags}");
                assert_eq!(fs::read_dir(s.0.join("src")).unwrap().count(), if s.0.join("src/new").exists() { 2 } else { 1 });
                let _ = fs::remove_file(s.0.join("src/new"));
            }
        }
    }
    assert!(ended[0] > 50 && ended[1] > 50, "{ended:?}");
}

#[test]
fn a_tree_that_changes_during_the_launch_reaches_nothing_outside() {
    let s = Scratch::new();
    s.tree("t");
    let out = outside(&s);
    s.dir("t/mnt/d");
    s.file("src/f", "x");
    let (mnt, aside) = (s.0.join("t/mnt"), s.0.join("t/aside"));
    let script = "echo x > /mnt/d/new; cat /mnt/secret 2>/dev/null; echo ran";
    // While nothing changes, it is launched.
    assert_eq!(sh_in(&s.0, "--root t --tmpfs /mnt/d", script).good(), "ran");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(&mnt, &aside);
                let _ = std::os::unix::fs::symlink(&out, &mnt);
                let _ = fs::remove_file(&mnt);
                let _ = fs::rename(&aside, &mnt);
            }
        });
        let mut seen = [0, 0];
        for _ in 0..150 {
            let run = sh_in(&s.0, "--root t --tmpfs /mnt/d", script);
            let ran = run.status == 0 && run.out == "ran\n";
            assert!(ran || run.status == 125 && run.err.contains("/mnt"), "{run:?}");
            assert!(!run.out.contains("secret"), "{run:?}");
            seen[usize::from(run.status == 125)] += 1;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        // It did change under some of them, and not under each.
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    });
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}

#[test]
fn a_source_that_is_swapped_is_the_one_named_or_an_error() {
    let s = Scratch::new();
    let out = outside(&s);
    s.file("src/d/f", "the one named");
    let (d, aside) = (s.0.join("src/d"), s.0.join("src/aside"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(&d, &aside);
                let _ = fs::rename(&aside, &d);
            }
        });
        for _ in 0..100 {
            let run = sh(&format!("--ro-bind {} /data", d.display()), "cat /data/f");
            assert!(run.status == 125 || run.out == "the one named", "{run:?}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    // A link that leads away at the time of launch is followed, and shown.
    s.link("src/l", out.to_str().unwrap());
    let explained = run_in(&s.0, &["--ro", "src/l", "--explain", "--", "true"]);
    assert!(explained.good().contains(&format!("src/l, which is {} outside", out.display())), "{explained:?}");
}

#[test]
fn the_classic_ways_out_of_a_chroot_are_shut() {
    let s = Scratch::new();
    s.tree("t");
    outside(&s);
    // chroot below, and walk up; a descriptor of a directory outside, kept open.
    let walk = "cd /; mkdir /tmp/d && busybox chroot /tmp/d /x 2>/dev/null; i=0; while [ $i -lt 50 ]; do cd ..; i=$((i+1)); done; ls | tr '\\n' ' '";
    assert_eq!(sh_in(&s.0, "--root t --as-root", walk).good(), "bin dev proc run tmp");
    assert_eq!(sh_in(&s.0, "--root t", "ls /proc/1/root/ /proc/1/cwd/ 2>/dev/null; true").good(), "");
    let script = format!("exec {} --root t -- sh -c 'ls /proc/self/fd/9/ 2>/dev/null; cat <&9; true' 9< .", jail().display());
    let mut shell = command(std::path::Path::new("/bin/sh"), &s.0, false);
    shell.args(["-c", &script]);
    assert!(!outcome(shell).out.contains("outside"));
}

#[test]
fn a_user_namespace_inside_gains_nothing_over_the_mounts() {
    let s = Scratch::new();
    s.file("p/f", "x");
    let p = s.0.join("p");
    for attempt in
        ["mount -o remount,bind,rw P", "umount P", "umount -l P", "umount /proc/keys", "mount -o remount,rw /", "umount -l /"]
    {
        let attempt = attempt.replace('P', p.to_str().unwrap());
        let script = format!("unshare -Urm sh -c '{attempt} && echo done; echo y > {}/f'", p.display());
        for flags in ["", "--nested "] {
            let out = sh(&format!("{flags}--ro {}", p.display()), &script);
            assert!(!out.out.contains("done"), "{attempt}: {out:?}");
        }
    }
    assert_ne!(sh("", "unshare -Ur true").status, 0);
    assert_ne!(sh("--as-root --cap sys_admin", "unshare -U true").status, 0);
    assert_ne!(sh("--as-root", "echo 9 > /proc/sys/user/max_user_namespaces; unshare -U true").status, 0);
    assert_eq!(sh("--nested", "unshare -Ur true").status, 0);
    assert_eq!(fs::read_to_string(p.join("f")).unwrap(), "x");
}

#[test]
fn mountinfo_tells_no_more_of_the_host_than_was_shown() {
    let s = Scratch::new();
    s.file("p/f", "x");
    let out = sh_in(
        &s.0.join("p"),
        "--rw .",
        "sed 's/^[^ ]* [^ ]* [^ ]* \\([^ ]* [^ ]*\\) .* - \\([^ ]*\\) .*/\\1 \\2/' /proc/self/mountinfo",
    );
    // The allowed twin: what is shown is there, in the mounts of the jail's own.
    assert!(out.good().lines().any(|line| line.contains("/p ")), "{out:?}");
    for line in out.good().lines() {
        let [root, point, kind] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        if kind == "tmpfs" && root == point {
            // The jail's own memory, in which it lies where it is seen.
            continue;
        }
        let ours = root == "/" || root.starts_with("/usr") || root.starts_with("/etc") || root.starts_with("/opt");
        assert!(ours || point.starts_with("/dev/") || point == "/proc/keys" || point.ends_with("/p"), "{line}");
    }
}
