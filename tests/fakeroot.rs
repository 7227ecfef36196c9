//! --fakeroot: what one mapped id cannot do is answered as done, what it can do is
//! done, and nothing else is answered.

mod support;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use support::*;

/// As the fake root, with a directory of the caller's to act on.
fn fake(s: &Scratch, script: &str) -> Outcome {
    sh_in(&s.dir("own"), "--rw . --fakeroot", script)
}

/// The same as the jailed root, who is told.
fn jailed(s: &Scratch, script: &str) -> Outcome {
    sh_in(&s.dir("own"), "--rw . --as-root", script)
}

fn python(lines: &str) -> String {
    format!("python3 -c '\nimport os\n{lines}\n'")
}

#[test]
fn owners_that_are_not_mapped_are_answered() {
    for attempt in [
        "chown 33:33 f",
        "chown 33 f",
        "chgrp 33 f",
        "chown -h 33:33 l",
        "chown -R 33:33 .",
        &python("os.fchown(os.open(\"f\", os.O_RDONLY), 33, -1)"),
        &python("os.chown(\"f\", 0, 33)"),
        &python("os.lchown(\"l\", -1, 33)"),
    ] {
        let s = Scratch::new();
        s.file("own/f", "x");
        fake(&s, "ln -s f l").good();
        let before = std::fs::metadata(s.0.join("own/f")).unwrap();
        let out = fake(&s, &format!("{attempt} && stat -c %u:%g f l"));
        assert_eq!(out.good(), "0:0\n0:0", "{attempt}");
        let after = std::fs::metadata(s.0.join("own/f")).unwrap();
        assert_eq!(
            (after.uid(), after.gid(), after.ctime_nsec()),
            (before.uid(), before.gid(), before.ctime_nsec()),
            "{attempt}"
        );
        let told = jailed(&s, attempt);
        assert!(told.status != 0 && told.err.contains("Invalid argument"), "{attempt}: {told:?}");
    }
}

#[test]
fn the_owner_that_is_mapped_is_given_by_the_kernel() {
    let s = Scratch::new();
    s.file("own/f", "x");
    // Giving a file away takes its set-id bits: that is how one sees that it was done.
    assert_eq!(fake(&s, "chmod 4755 f && stat -c %a f && chown 0:0 f && stat -c %a f").good(), "4755\n755");
    assert_eq!(fake(&s, "chmod 4755 f && chown 33:33 f && stat -c %a f").good(), "4755");
    let out = fake(&s, "chown 0:0 /usr/bin/env");
    assert!(out.status != 0 && out.err.contains("Read-only file system"), "{out:?}");
    assert!(fake(&s, "chown 0:0 missing").err.contains("No such file"));
}

#[test]
fn ids_that_are_not_mapped_are_answered() {
    for attempt in [
        "os.setuid(33)",
        "os.setgid(33)",
        "os.seteuid(33)",
        "os.setegid(33)",
        "os.setreuid(33, -1)",
        "os.setregid(0, 33)",
        "os.setresuid(33, 33, 33)",
        "os.setresgid(-1, 33, 0)",
        "os.setgroups([33])",
        "os.setgroups([])",
        "os.initgroups(\"nobody\", 33)",
    ] {
        let s = Scratch::new();
        let ids = python(&format!("{attempt}\nprint(os.getresuid(), os.getresgid())"));
        assert_eq!(fake(&s, &ids).good(), "(0, 0, 0) (0, 0, 0)", "{attempt}");
        let told = jailed(&s, &ids);
        assert!(told.status != 0 && told.err.contains("Error"), "{attempt}: {told:?}");
    }
    let s = Scratch::new();
    assert_eq!(fake(&s, &python("os.setresuid(0, -1, 0); os.setgid(0); print(os.getuid())")).good(), "0");
}

#[test]
fn device_nodes_are_answered_and_not_made() {
    for attempt in ["mknod d c 1 3", "mknod d b 254 0", &python("os.mknod(\"d\", 0o20666, os.makedev(1, 3))")] {
        let s = Scratch::new();
        assert_eq!(fake(&s, &format!("{attempt} && ls -A")).good(), "", "{attempt}");
        assert_ne!(jailed(&s, attempt).status, 0, "{attempt}");
        assert!(std::fs::symlink_metadata(s.0.join("own/d")).is_err(), "{attempt}");
    }
    let s = Scratch::new();
    fake(&s, &format!("mknod p p && {}", python("os.mknod(\"s\", 0o140666); os.mknod(\"f\", 0o100644)"))).good();
    let kind = |name: &str| std::fs::symlink_metadata(s.0.join("own").join(name)).unwrap().file_type();
    assert!(kind("p").is_fifo() && kind("s").is_socket() && kind("f").is_file());
}

#[test]
fn set_id_bits_and_file_capabilities_are_real() {
    let s = Scratch::new();
    s.file("own/f", "x");
    fake(&s, "chmod 6755 f").good();
    assert_eq!(std::fs::metadata(s.0.join("own/f")).unwrap().mode() & 0o7777, 0o6755);
    // cap_net_raw=ep, as setcap(8) writes it; the kernel notes whose root it is of.
    let set = "os.setxattr(\"f\", \"security.capability\", bytes.fromhex(\"0100000200200000000000000000000000000000\"))";
    let get = "print(os.getxattr(\"f\", \"security.capability\").hex())";
    let out = fake(&s, &python(&format!("{set}\n{get}")));
    if out.err.contains("Operation not supported") {
        return skip("this file system has no attributes");
    }
    assert_eq!(out.good(), "0100000200200000000000000000000000000000");
    let outside = outside_in(&s.0.join("own"), false, &python(get));
    let root = format!("{:08x}", std::fs::metadata(s.0.join("own")).unwrap().uid().swap_bytes());
    assert_eq!(outside.good(), format!("0100000300200000000000000000000000000000{root}"));
}

#[test]
fn nothing_else_is_answered() {
    let s = Scratch::new();
    for (attempt, why) in [
        ("mount -t tmpfs x /tmp", "ermi"),
        ("umount /tmp", ""),
        ("unshare -m true", "Operation not permitted"),
        ("ip link set lo down", "Operation not permitted"),
        ("hostname other", ""),
        ("kill -0 1; kill -STOP 4194304", "No such process"),
        ("echo x > /etc/x", "Read-only file system"),
        ("chmod 777 /etc", "Read-only file system"),
    ] {
        let out = fake(&s, attempt);
        assert!(out.status != 0 && out.err.contains(why), "{attempt}: {out:?}");
    }
    let caps = "grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status | tr -d '\\t\\n'";
    assert_eq!(fake(&s, caps).good(), jailed(&s, caps).good());
    // A file of another's stays so, and closed.
    if we_are_root() {
        std::fs::write(s.0.join("own/other"), "secret").unwrap();
        std::fs::set_permissions(s.0.join("own/other"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let out = fake(&s, "chown 33 other; chown 0 other || cat other");
        assert!(out.status != 0 && out.err.contains("not permitted") && out.err.contains("Permission denied"), "{out:?}");
        assert_eq!(std::fs::metadata(s.0.join("own/other")).unwrap().uid(), 0);
    }
}

#[test]
fn a_call_that_is_named_is_treated_as_named() {
    let s = Scratch::new();
    s.file("own/f", "x");
    let out = sh_in(&s.dir("own"), "--rw . --fakeroot --allow-syscall fchownat", "chown 33 f");
    assert!(out.err.contains("Invalid argument"), "{out:?}");
    let out = sh_in(&s.dir("own"), "--rw . --fakeroot --deny-syscall @chown:ENOSYS", "chown 0 f");
    assert!(out.err.contains("not implemented"), "{out:?}");
    run(&["--fakeroot", "--allow-syscall", "fchmod", "--", "true"]).refused(&["has no effect"]);
}

#[test]
fn what_is_answered_is_not_told_as_refused() {
    let s = Scratch::new();
    s.file("own/f", "x");
    let out =
        sh_in(&s.dir("own"), "--rw . --fakeroot --trace-denied", "chown 33 f; mknod d c 1 3; mount -t tmpfs x /tmp; chown 0 f");
    assert!(out.status == 0 && out.err.contains("mount"), "{out:?}");
    assert!(!out.err.contains("chown") && !out.err.contains("mknod"), "{out:?}");
}

#[test]
fn it_is_explained_and_told_from_its_likes() {
    let out = run(&["--fakeroot", "--explain", "--", "true"]);
    let line = out.good().lines().find(|line| line.contains("answered as done")).unwrap();
    assert!(line.contains("mknodat") && line.contains("setresuid") && line.ends_with("[--fakeroot]"), "{line}");
    assert!(!run(&["--as-root", "--explain", "--", "true"]).good().contains("answered"));
    run(&["--fakeroot", "--as-root", "--", "true"]).refused(&["--fakeroot: contradicts --as-root"]);
    run(&["--fakeroot", "--uid", "5", "--", "true"]).refused(&["--uid 5: contradicts --fakeroot"]);
    run(&["--seccomp", "none", "--fakeroot", "--", "true"]).refused(&["--fakeroot: contradicts --seccomp none"]);
}

#[test]
fn a_tree_is_unpacked_with_owners_and_devices_in_it() {
    let s = Scratch::new();
    s.file("in/f", "content");
    if !Path::new("/usr/bin/python3").exists() {
        return skip("python3 is missing");
    }
    let make = "import io, tarfile\nt = tarfile.open(\"a.tar\", \"w\")\nfor name, uid, mode in [(\"f\", 33, 0o644), (\"g\", 0, 0o4755)]:\n    i = tarfile.TarInfo(name); i.uid = i.gid = uid; i.mode = mode; i.size = 1\n    t.addfile(i, io.BytesIO(b\"x\"))\nt.close()";
    outside_in(&s.dir("own"), false, &python(make)).good();
    assert_eq!(fake(&s, "tar --numeric-owner -xpf a.tar && stat -c '%n %a %u' f g").good(), "f 644 0\ng 4755 0");
    let told = jailed(&s, "tar --numeric-owner -xpf a.tar");
    assert!(told.status != 0 && told.err.contains("Cannot change ownership"), "{told:?}");
}
