//! Files: what flags show, hide and forbid.

mod support;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use support::*;

#[test]
fn read_only_reads_and_does_not_write() {
    let s = Scratch::new();
    s.file("d/f", "x");
    assert_eq!(sh_in(&s.0, "--ro d", "cat d/f 2>/dev/null || cat f").out, "");
    assert_eq!(sh_in(&s.0.join("d"), "--ro .", "cat f").good(), "x");
    for write in ["echo y > f", "echo y >> f", "rm f", "mv f g", "mkdir n", "chmod 777 f", "touch f", "ln f g"] {
        assert_ne!(sh_in(&s.0.join("d"), "--ro .", write).status, 0, "{write}");
    }
    assert_eq!(std::fs::read_to_string(s.0.join("d/f")).unwrap(), "x");
}

#[test]
fn writable_writes_there_and_nowhere_else() {
    let s = Scratch::new();
    s.file("a/f", "x");
    s.file("b/f", "x");
    let out = sh_in(&s.0.join("a"), "--rw .", "echo y > f; cat f; ls ../b 2>/dev/null; echo z > ../b/f 2>/dev/null; true");
    assert_eq!(out.good(), "y");
    assert_eq!(std::fs::read_to_string(s.0.join("b/f")).unwrap(), "x");
}

#[test]
fn a_read_only_part_of_a_writable_directory_stays_so() {
    let s = Scratch::new();
    s.file("p/.git/config", "x");
    for flags in ["--rw . --ro .git", "--ro .git --rw ."] {
        let out = sh_in(&s.0.join("p"), flags, "echo new > n && cat n .git/config; echo y > .git/config");
        assert_eq!(out.out, "new\nx", "{flags}");
        assert_ne!(out.status, 0, "{flags}");
    }
}

#[test]
fn binds_go_to_another_place() {
    let s = Scratch::new();
    s.file("src/f", "x");
    let at = s.0.join("src");
    let out = sh(
        &format!("--ro-bind {0} /data/in --rw-bind {0} /data/out", at.display()),
        "cat /data/in/f; echo y > /data/out/g; cat /data/in/g; touch /data/in/h",
    );
    assert_eq!(out.out, "xy\n");
    assert_ne!(out.status, 0);
    assert_ne!(
        sh(&format!("--rw-bind {} /data/out", at.display()), "touch /data/x").status,
        0,
        "what holds the mount point is read-only"
    );
}

#[test]
fn one_file_can_be_shown() {
    let s = Scratch::new();
    let f = s.file("f", "mine");
    assert_eq!(sh(&format!("--ro-bind {} /etc/passwd", f.display()), "cat /etc/passwd").good(), "mine");
    assert_eq!(sh(&format!("--ro-bind {} /a/b/c", f.display()), "cat /a/b/c; ls /a/b").good(), "minec");
}

#[test]
fn missing_sources_are_refused_or_tried() {
    let s = Scratch::new();
    for flag in ["--ro", "--rw", "--device"] {
        run_in(&s.0, &[flag, "nope", "--", "true"]).refused(&[&format!("{flag} nope"), "No such file", "-try"]);
        assert_eq!(run_in(&s.0, &[&format!("{flag}-try"), "nope", "--", "true"]).status, 0, "{flag}");
    }
    run_in(&s.0, &["--ro-bind", "nope", "/x", "--", "true"]).refused(&["--ro-bind nope /x"]);
    assert_eq!(run_in(&s.0, &["--ro-bind-try", "nope", "/x", "--", "true"]).status, 0);
    assert_eq!(run_in(&s.0, &["--rw-bind-try", "nope", "/x", "--", "true"]).status, 0);
    s.dir("closed/in");
    std::fs::set_permissions(s.0.join("closed"), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    run_in(&s.0, &["--ro", "closed/in", "--", "true"]).refused(&["--ro closed/in", "Permission denied", "allowed to search"]);
}

#[test]
fn made_things_are_there() {
    let s = Scratch::new();
    s.file("in", "content");
    let script = format!(
        "exec {} --dir /a/b --symlink ../etc /a/l --file 7 /a/f --tmpfs /a/t,size=64k -- sh -c \
         'ls -d /a/b; readlink /a/l; cat /a/f; head -c 100000 /dev/zero > /a/t/big; wc -c < /a/t/big; touch /a/x' 7< in",
        jail().display()
    );
    let mut shell = command(std::path::Path::new("/bin/sh"), &s.0, false);
    shell.args(["-c", &script]);
    let out = outcome(shell);
    assert_eq!(out.out, "/a/b\n../etc\ncontent65536\n", "{out:?}");
    assert_ne!(out.status, 0, "the empty root is read-only: {out:?}");
}

#[test]
fn hidden_things_are_empty_and_unreadable() {
    let s = Scratch::new();
    s.file("p/dir/f", "secret");
    s.file("p/file", "secret");
    let p = s.0.join("p");
    for flags in ["--rw . --hide dir --hide file", "--rw . --hide dir --hide file --as-root"] {
        let out = sh_in(
            &p,
            flags,
            "cat file; cat dir/f; ls dir; chmod 777 dir file; rm -rf dir file; echo x > file; echo x > dir/f; rmdir dir; mv dir e",
        );
        assert!(!out.out.contains("secret") && out.out.is_empty(), "{flags}: {out:?}");
    }
    assert_eq!(std::fs::read_to_string(p.join("dir/f")).unwrap(), "secret");
    assert_eq!(std::fs::read_to_string(p.join("file")).unwrap(), "secret");
    assert_eq!(sh("--hide /etc/passwd --hide /opt", "cat /etc/passwd; ls /opt").out, "");
    run(&["--hide", "/nope", "--", "true"]).refused(&["--hide /nope", "nothing is visible"]);
    assert_eq!(run(&["--hide-try", "/nope", "--", "true"]).status, 0);
}

#[test]
fn nothing_is_executed_below_noexec() {
    let s = Scratch::new();
    let p = s.dir("p");
    std::fs::copy("/bin/true", p.join("t")).unwrap();
    s.give(&p.join("t"));
    assert_eq!(sh_in(&p, "--rw .", "./t && echo ran").good(), "ran");
    let out = sh_in(&p, "--rw . --noexec .", "./t && echo ran; echo x > f && cat f");
    assert_eq!(out.good(), "x", "writing still works");
    assert_ne!(sh_in(&p, "--rw . --noexec /tmp", "./t").status, 0, "mounts below are covered: the scratch lies in /tmp");
    assert_eq!(run(&["--noexec", "/usr/bin", "--", "true"]).status, 126, "a part of a mount");
    assert_eq!(run(&["--noexec", "/", "--", "true"]).status, 126);
}

#[test]
fn read_only_covers_mounts_below() {
    // A second jail inside makes a tree with a mount in it, without privilege:
    // bind a directory that has a submount, read-only, and write to the latter.
    let s = Scratch::new();
    s.file("p/sub/f", "x");
    let Some(out) = sh_as_root(&s.0, "", "true") else { return };
    assert_eq!(out.status, 0);
    let sub = s.0.join("p/sub");
    let script = format!(
        "mount -t tmpfs -o mode=777 x {sub} && setpriv --reuid={USER} --regid={USER} --clear-groups {jail} --ro {p} -- sh -c 'ls {p}/sub; touch {sub}/g'; r=$?; umount {sub}; exit $r",
        sub = sub.display(),
        p = s.0.join("p").display(),
        jail = jail().display()
    );
    let mut shell = command(std::path::Path::new("/bin/sh"), &s.0, true);
    shell.args(["-c", &script]);
    let out = outcome(shell);
    assert!(out.status != 0 && out.err.contains("Read-only file system"), "{out:?}");
}

#[test]
fn mounts_do_not_propagate_in() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let s = Scratch::new();
    s.file("p/sub/f", "x");
    s.file("go", "");
    // Outside, a mount appears below a directory that a running jail shows.
    let script = format!(
        "mount --bind p p && mount --make-shared p; \
         setpriv --reuid={USER} --regid={USER} --clear-groups {jail} --rw p -- sh -c 'echo ready; sleep 1; ls p/sub' & \
         sleep 0.5; mount -t tmpfs x p/sub; wait; umount p/sub p",
        jail = jail().display()
    );
    let mut shell = command(std::path::Path::new("/bin/sh"), &s.0, true);
    shell.args(["-c", &script.replace("ls p/sub", &format!("ls {}/p/sub", s.0.display()))]);
    let out = outcome(shell);
    assert_eq!(out.out, "ready\nf\n", "{out:?}");
}

#[test]
fn mounts_do_not_propagate_out() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let s = Scratch::new();
    s.dir("p/sub");
    s.file("go", "");
    // Inside, one who may mount does so below a directory that is shared outside; all
    // in a namespace of the test's own.
    let p = s.0.join("p");
    let script = format!(
        "mount --bind p p && mount --make-shared p && as_user mkdir p/twin &&
         as_user jail --rw p --as-root --cap sys_admin -- sh -c \"mount -t tmpfs x {p}/sub && touch {p}/sub/in && ls {p}/sub; \
             mount --make-shared {p}; mount -t tmpfs x {p}/twin && touch {p}/twin/in; echo ready; cat\" < wait | {{
         while read line && echo $line && [ \"$line\" != ready ]; do :; done
         ls p/sub p/twin; grep -c \" {p}/\" /proc/self/mountinfo; }} &
         exec 3> wait; sleep 0.4; exec 3>&-; wait",
        p = p.display()
    );
    let as_user = format!("as_user() {{ setpriv --reuid={USER} --regid={USER} --clear-groups -- \"$@\"; }}");
    let out = outside_in(&s.0, true, &format!("mkfifo wait; exec unshare -m sh -c '{as_user}\n{script}'"));
    assert_eq!(out.out, "in\nready\np/sub:\n\np/twin:\n0\n", "{out:?}");
}

#[test]
fn odd_names_work() {
    let s = Scratch::new();
    for name in [&b"a,b:c\\d e"[..], b"new\nline", b"\xff\xfe", b"size=1", b"'\"$(x)"] {
        let dir = s.0.join(OsStr::from_bytes(name));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("f"), "odd").unwrap();
        s.give(&dir);
        let words = [OsStr::new("--rw"), dir.as_os_str(), OsStr::new("--"), OsStr::new("cat"), OsStr::new("f")];
        assert_eq!(run_in(&dir, &words).good(), "odd", "{name:?}");
    }
}

#[test]
fn long_paths_work() {
    let s = Scratch::new();
    let mut path = s.0.clone();
    while path.as_os_str().len() < 3800 {
        path.push("d".repeat(190));
        std::fs::create_dir(&path).unwrap();
    }
    std::fs::write(path.join("f"), "deep").unwrap();
    let (dir, file) = (path.to_str().unwrap(), path.join("f"));
    assert_eq!(run(&["--ro", dir, "--", "cat", file.to_str().unwrap()]).good(), "deep");
    let longer = format!("{dir}/{}", "e".repeat(400));
    assert_eq!(run(&["--ro", &longer, "--", "true"]).status, 125);
}

#[test]
fn a_thousand_binds_work() {
    let s = Scratch::new();
    let mut args: Vec<String> = Vec::new();
    for n in 0..1000 {
        let f = s.file(&format!("d/{n}"), &n.to_string());
        args.extend(["--ro-bind".into(), f.to_str().unwrap().into(), format!("/b/{n}")]);
    }
    args.extend(["--", "sh", "-c", "ls /b | wc -l; cat /b/0 /b/999"].map(String::from));
    assert_eq!(run(&args).good(), "1000\n0999");
}

#[test]
fn the_start_directory_is_the_callers_where_visible() {
    let s = Scratch::new();
    let dir = s.dir("p");
    assert_eq!(sh_in(&dir, "--rw .", "pwd").good(), dir.to_str().unwrap());
    assert_eq!(sh_in(&dir, "", "pwd").good(), "/");
    assert_eq!(sh_in(&dir, "--chdir /usr/lib", "pwd").good(), "/usr/lib");
    sh_in(&dir, "--chdir .", "pwd").refused(&["--chdir .", "not visible inside"]);
    s.link("l", "p");
    assert_eq!(sh_in(&s.0.join("l"), "--rw .", "pwd -P").good(), dir.to_str().unwrap());
}

#[test]
fn a_default_home_does_not_cover_what_a_flag_shows() {
    let s = Scratch::new();
    s.file("home/project/f", "shown");
    s.file("home/private", "not shown");
    let home = s.0.join("home");
    let run = |flags: &str, script: &str| {
        let mut jail = command(jail(), &home.join("project"), false);
        jail.args(flags.split_whitespace()).args(["--", "sh", "-c", script]).env("HOME", &home);
        outcome(jail)
    };
    let (above, home_shown) = (format!("--rw {}", s.0.display()), format!("--ro {}", home.display()));
    for flags in [&above, &home_shown] {
        assert_eq!(run(flags, "cat f ~/private").good(), "shownnot shown", "{flags}");
    }
    // What lies in the home is shown in an empty one.
    assert_eq!(run("--rw .", "cat f; ls -A ~; echo x > ~/new && cat ~/new; echo y > g").good(), "shownproject\nx");
    assert_eq!(std::fs::read_to_string(home.join("project/g")).unwrap(), "y\n");
    assert!(!home.join("new").exists());
    assert_eq!(run("", "ls -A ~; pwd").good(), "/");
}

#[test]
fn a_start_directory_that_is_hidden_is_not_visible() {
    let s = Scratch::new();
    let dir = s.dir("p/deep");
    let (above, p) = (s.0.display(), s.0.join("p"));
    assert_eq!(sh_in(&p, &format!("--rw {above}"), "pwd").good(), p.to_str().unwrap());
    assert_eq!(sh_in(&p, &format!("--rw {above} --hide {above}/p"), "pwd").good(), "/");
    assert_eq!(sh_in(&dir, &format!("--rw {above} --hide {above}/p"), "pwd").good(), "/");
    assert_eq!(sh_in(&dir, &format!("--rw {above} --hide {above}/p/deep"), "pwd").good(), "/");
    sh_in(&p, &format!("--rw {above} --hide . --chdir ."), "pwd").refused(&["--chdir .", "--hide . hides it"]);
}

#[test]
fn a_path_may_go_up() {
    let s = Scratch::new();
    s.file("x/f", "x's");
    s.file("y/f", "y's");
    s.dir("y/deep");
    let script = format!("cat {0}/x/f; ls {0}", s.0.display());
    assert_eq!(sh_in(&s.0.join("y"), "--ro ../x", &script).good(), "x'sx");
    assert_eq!(sh_in(&s.0.join("y"), "--ro ../x/../x/.", &script).good(), "x'sx");
    assert_eq!(
        sh_in(&s.0.join("y/deep"), "--ro ../../x --rw ..", "pwd; cat ../f; cat ../../x/f").good(),
        format!("{}/y/deep\ny'sx's", s.0.display())
    );
    // What precedes a `..` is followed first, where it is a link.
    s.link("y/link", "../x");
    s.dir("x/below");
    s.file("beside", "beside x");
    assert_eq!(sh_in(&s.0.join("y"), "--ro link/../beside", &format!("cat {}/beside", s.0.display())).good(), "beside x");
    sh_in(&s.0, "--ro ../no-such-directory", "true").refused(&["--ro ../no-such-directory", "No such file"]);
}

#[test]
fn the_callers_umask_is_not_that_of_what_is_made() {
    let s = Scratch::new();
    s.file("in", "content");
    s.dir("shown");
    for umask in ["0777", "0077", "0"] {
        let out = outside_in(
            &s.0,
            false,
            &format!(
                "umask {umask}; exec jail --file 7 /a/f --dir /a/d/e --ro-bind in /b/c --ro-bind shown /b/d --tmpfs /t --symlink x /l -- \
                 sh -c 'umask; cat /a/f /b/c; stat -c %a /a /a/f /a/d /a/d/e /b /t; ls /b/d; echo x > /t/f; stat -c %a /t/f' 7< in"
            ),
        );
        let own = match umask {
            "0777" => "0\n",
            "0077" => "600\n",
            _ => "666\n",
        };
        let umask = format!("{umask:0>4}");
        assert_eq!(out.out, format!("{umask}\ncontentcontent755\n644\n755\n755\n755\n755\n{own}"), "{out:?}");
    }
}
