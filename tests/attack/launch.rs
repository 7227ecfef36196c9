//! The launch: what is swapped for a link while it is under way. Hostile trees that
//! change all the time are in tests/tree.rs.

use crate::support::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A directory that no flag names.
fn elsewhere(s: &Scratch) -> PathBuf {
    s.file("elsewhere/d/secret", "secret");
    s.file("elsewhere/secret", "secret");
    s.0.join("elsewhere")
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// `at` becomes a link to `target` while the launch is held.
fn swap(at: &Path, target: &Path) {
    fs::rename(at, at.with_file_name("aside")).unwrap();
    symlink(target, at).unwrap();
}

#[test]
fn a_destination_that_becomes_a_link_leads_nowhere() {
    // Flags, and what of the tree is swapped for a link to what.
    for (flags, swapped, target) in [
        ("--tmpfs /mnt/d", "t/mnt", "ELSEWHERE"),
        ("--tmpfs /mnt/d", "t/mnt", "../elsewhere"),
        ("--tmpfs /mnt/d", "t/mnt", "aside"),
        ("--tmpfs /mnt/d", "t/mnt/d", "ELSEWHERE/d"),
        ("--tmpfs /mnt/d", "t/mnt/d", "/proc/self/cwd/elsewhere/d"),
        ("--tmpfs /mnt/d --dir /mnt/d/new", "t/mnt", "ELSEWHERE"),
        ("--rw-bind own /mnt/d", "t/mnt", "ELSEWHERE"),
        ("--rw-bind own /mnt/d", "t/mnt/d", "ELSEWHERE/d"),
        ("--hide /mnt/d", "t/mnt", "ELSEWHERE"),
        ("--hide /mnt/d/secret", "t/mnt/d/secret", "ELSEWHERE/secret"),
        ("--noexec /mnt/d", "t/mnt/d", "ELSEWHERE/d"),
        ("--as-root --tmpfs /mnt/d", "t/tmp", "ELSEWHERE/d"),
    ] {
        for access in ["", "--writable "] {
            let s = Scratch::new();
            s.tree("t");
            s.file("t/mnt/d/secret", "the tree's");
            s.dir("own");
            let outside = elsewhere(&s);
            let target = target.replace("ELSEWHERE", outside.to_str().unwrap());
            let script = "ls /mnt/d; cat /mnt/secret /mnt/d/secret; echo x > /mnt/d/in; echo x > /mnt/in; echo x > /tmp/in; true";
            let flags = format!("--root t {access}{flags} --file 0 /run/f");
            // The allowed twin: what does not change is launched.
            let same = Held::at(&s.0, &flags, script).goes_on();
            assert_eq!(same.status, 0, "{flags}: {same:?}");
            let held = Held::at(&s.0, &flags, script);
            swap(&s.0.join(swapped), Path::new(&target));
            let out = held.goes_on();
            out.refused(&["while jail was starting"]);
            assert_eq!(out.out, "", "{flags}");
            assert_eq!(names(&outside), ["d", "secret"], "{flags}");
            assert_eq!(names(&outside.join("d")), ["secret"], "{flags}");
        }
    }
}

#[test]
fn a_source_that_becomes_a_link_shows_nothing() {
    for (flags, swapped, target) in [
        ("--ro-bind src/d /data", "src/d", "ELSEWHERE/d"),
        ("--rw-bind src/d /data", "src/d", "ELSEWHERE/d"),
        ("--rw-bind src/d /data", "src", "ELSEWHERE"),
        ("--rw-bind src/d /data", "src", "elsewhere"),
        ("--rw-bind src/d /data", "src/d", "/proc/self/cwd/elsewhere/d"),
        ("--rw-bind src/d /data --pid host --net host", "src/d", "ELSEWHERE/d"),
        ("--ro-bind src/d/secret /data/secret", "src/d/secret", "ELSEWHERE/secret"),
        ("--root src --rw-bind src/d /data", "src/d", "ELSEWHERE/d"),
        ("--as-root --rw src/d --ro-bind src/d /data", "src/d", "ELSEWHERE/d"),
    ] {
        let s = Scratch::new();
        s.tree("src");
        s.dir("src/data");
        s.file("src/d/secret", "the one named");
        let outside = elsewhere(&s);
        let target = target.replace("ELSEWHERE", outside.to_str().unwrap());
        let script = "cat /data/secret; echo x > /data/in; true";
        let at = if flags.contains("--root") { "/run/f" } else { "/f" };
        let flags = format!("{flags} --file 0 {at}");
        let same = Held::at(&s.0, &flags, script).goes_on();
        assert_eq!(same.good(), "the one named", "{flags}");
        let held = Held::at(&s.0, &flags, script);
        swap(&s.0.join(swapped), Path::new(&target));
        let out = held.goes_on();
        out.refused(&["a symbolic link came to be in its way while jail was starting"]);
        assert_eq!(out.out, "", "{flags}");
        assert_eq!(names(&outside.join("d")), ["secret"], "{flags}");
    }
}

#[test]
fn a_root_that_becomes_a_link_is_no_root() {
    let s = Scratch::new();
    s.tree("t");
    s.tree("other");
    s.file("other/secret", "secret");
    let held = Held::at(&s.0, "--root t --file 0 /run/f", "cat /secret");
    swap(&s.0.join("t"), &s.0.join("other"));
    let out = held.goes_on();
    out.refused(&["--root t", "a symbolic link came to be in its way while jail was starting"]);
    assert_eq!(out.out, "");
}
