//! Random hostile trees for --root: links, FIFOs, sockets, devices, directories without
//! rights and overlay attributes where `jail` mounts and makes things. What lies outside
//! the tree is neither read nor changed, and a tree that may not change does not.

use crate::random::{Random, is_usual, rounds};
use crate::support::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, XattrFlags, lsetxattr};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What can be seen of each file from outside, but for the times of access.
fn all_of(dir: &Path) -> BTreeMap<PathBuf, Vec<i64>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            // As an ordinary user one cannot look into each.
            left.extend(fs::read_dir(&path).into_iter().flatten().map(|entry| entry.unwrap().path()));
        }
        let (links, size) = (meta.nlink().try_into().unwrap(), meta.size().try_into().unwrap());
        let about = [meta.mode().into(), meta.uid().into(), links, size];
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        found.insert(path, [&about[..], &times[..]].concat());
    }
    found
}

fn fifo(at: &Path) {
    // Only root makes things in a directory without rights.
    let _ = rustix::fs::mkfifoat(CWD, at, Mode::from_raw_mode(0o644));
}

/// A tree that is made, and who owns it.
struct Made<'a> {
    s: &'a Scratch,
    canary: &'a Path,
}

impl Made<'_> {
    fn dir(&self, at: &Path, mode: u32) {
        if fs::create_dir(at).is_ok() {
            fs::set_permissions(at, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
    }

    /// Makes something odd at `at`.
    fn odd(&self, random: &mut Random, at: &Path) {
        let attribute = |name: &str, value: &[u8]| {
            // Not every file system has them.
            let _ = lsetxattr(at, name, value, XattrFlags::empty());
        };
        let canary = self.canary.to_str().unwrap();
        let home = self.canary.parent().unwrap().to_str().unwrap();
        let up = format!("../../../../../../..{home}");
        match random.below(13) {
            0 | 1 => {
                let targets = [
                    "/etc",
                    "/",
                    "../../../../..",
                    home,
                    canary,
                    &up,
                    "/proc/self/root",
                    "/proc/1/root",
                    "usr",
                    "loop",
                    "/dev/null",
                    "..",
                    "/tmp",
                    "nowhere/x",
                    "self",
                    "/proc/self/fd/0",
                    "/proc/self/cwd",
                    "/var/tmp",
                ];
                let _ = std::os::unix::fs::symlink(random.pick(&targets), at);
            }
            2 => fifo(at),
            3 => drop(std::os::unix::net::UnixListener::bind(at)),
            4 => drop(fs::write(at, "x")),
            5 => self.dir(at, 0),
            // The number that an overlay takes for "removed"; a user may make it.
            6 => {
                let _ = rustix::fs::mknodat(CWD, at, FileType::CharacterDevice, Mode::from_raw_mode(0o600), 0);
            }
            7 => self.dir(at, *random.pick(&[0o755, 0o111, 0o444, 0o7777])),
            8 => {
                self.dir(at, 0o755);
                attribute("user.overlay.opaque", random.pick::<&[u8]>(&[b"y", b"x"]));
                let _ = fs::write(at.join("w"), "");
                let _ = lsetxattr(at.join("w"), "user.overlay.whiteout", b"y", XattrFlags::empty());
            }
            9 => {
                self.dir(at, 0o755);
                attribute("user.overlay.redirect", random.pick::<&[u8]>(&[b"/usr", b"/../../etc", b"x", canary.as_bytes()]));
            }
            10 => {
                let _ = fs::write(at, "");
                attribute("user.overlay.metacopy", b"");
                attribute("user.overlay.redirect", random.pick::<&[u8]>(&[b"/usr/bin/id", canary.as_bytes()]));
            }
            _ => self.dir(at, 0o755),
        }
    }

    /// Is `at` a directory below which something can be made?
    fn takes(&self, at: &Path) -> bool {
        fs::symlink_metadata(at).is_ok_and(|meta| meta.is_dir())
    }

    fn tree(&self, random: &mut Random) {
        let tree = self.s.0.join("t");
        self.dir(&tree, 0o755);
        self.dir(&tree.join("usr"), 0o755);
        if random.chance(85) {
            for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
                std::os::unix::fs::symlink(target, tree.join(link)).unwrap();
            }
        }
        for name in ["proc", "dev", "tmp", "run", "home", "etc", "mnt", "srv"] {
            match random.below(10) {
                0 | 1 => {}
                2..6 => self.odd(random, &tree.join(name)),
                _ => self.dir(&tree.join(name), 0o755),
            }
        }
        for name in
            ["etc/hosts", "etc/resolv.conf", "dev/null", "dev/pts", "dev/shm", "home/tester", "proc/keys", "mnt/a", "mnt/b"]
        {
            let at = tree.join(name);
            if random.chance(60) && self.takes(at.parent().unwrap()) {
                self.odd(random, &at);
            }
        }
        let delta = self.s.0.join("d");
        self.dir(&delta, 0o755);
        if random.chance(50) {
            let changes = delta.join("changes");
            if random.chance(80) {
                self.dir(&changes, 0o755)
            } else {
                self.odd(random, &changes)
            }
            for name in ["proc", "dev", "tmp", "etc", "usr", "bin", "x"] {
                if random.chance(40) && self.takes(&changes) {
                    self.odd(random, &changes.join(name));
                }
            }
        }
        let work = delta.join("work");
        match random.below(20) {
            0 => self.dir(&work, 0o755),
            1 => drop(fs::write(&work, "")),
            2 => {
                fs::create_dir_all(work.join("work/x")).unwrap();
                fs::write(work.join("work/y"), "").unwrap();
            }
            3 => fifo(&work),
            _ => {}
        }
        if we_are_root() {
            self.give(&tree);
            self.give(&delta);
        }
    }

    /// Makes all of it the user's, links too.
    fn give(&self, path: &Path) {
        let owner = (rustix::fs::Uid::from_raw(USER), rustix::fs::Gid::from_raw(USER));
        // A change of the owner takes the set-id bits away.
        let mode = fs::symlink_metadata(path).unwrap().mode();
        rustix::fs::chownat(CWD, path, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let meta = fs::symlink_metadata(path).unwrap();
        if meta.is_dir() {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode & 0o7777)).unwrap();
            for entry in fs::read_dir(path).unwrap().flatten() {
                self.give(&entry.path());
            }
        }
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // Directories without rights keep an ordinary user from removing them.
        let _ = std::process::Command::new("chmod").args(["-R", "u+rwx"]).arg(&self.s.0).output();
    }
}

#[test]
fn random_hostile_trees_lead_nowhere_and_stay_as_they_are() {
    let (mut ran, mut refused) = (0, 0);
    let made = rounds("random hostile trees", 150, |random| {
        let (outside, s) = (Scratch::new(), Scratch::new());
        let canary = outside.file("home/canary", "the canary\n");
        outside.file("home/tester", "a file that is called as the user's home");
        let made = Made { s: &s, canary: &canary };
        made.tree(random);
        let access = *random.pick(&["", "--ephemeral", "--ephemeral", "--overlay d", "--writable"]);
        let mut flags = format!("--root t --ro-bind /usr /usr {access}");
        for more in [
            "--reach n.test:80=127.0.0.1:9",
            "--pty",
            "--hide /etc",
            "--hide-try /proc/keys",
            "--tmpfs /mnt/a",
            "--ro-bind /etc /mnt/b",
            "--file 0 /mnt/f",
            "--dir /srv/x/y",
            "--symlink /etc /srv/l",
            "--noexec /tmp",
            "--net host",
            "--home private",
            "--pid host",
            "--as-root",
            "--dev host",
            "--proc none",
            "--reach unix:/mnt/a=unix:/nope",
        ] {
            if random.chance(12) {
                flags += " ";
                flags += more;
            }
        }
        let script = format!(
            "cat {0} /x/../..{0} /*/canary /*/*/canary /proc/self/cwd{0} 2>/dev/null; echo z 2>/dev/null > {0}; echo z 2>/dev/null > /tmp/canary; echo ran",
            canary.display()
        );
        let words: Vec<&str> = flags.split_whitespace().chain(["--", "/usr/bin/busybox", "sh", "-c", &script]).collect();
        let before = (all_of(&outside.0), all_of(&s.0));
        let out = run_in(&s.0, &words);
        let told = format!("{flags}: {out:#?}");
        assert!(!out.out.contains("canary"), "what is outside is read: {told}");
        assert_eq!(all_of(&outside.0), before.0, "what is outside is changed: {told}");
        assert_eq!(fs::read_to_string(&canary).unwrap(), "the canary\n", "{told}");
        if !["--overlay d", "--writable"].contains(&access) {
            assert_eq!(all_of(&s.0), before.1, "the tree is changed: {told}");
        }
        match out.status {
            0 => assert!(out.out.contains("ran"), "{told}"),
            125 => assert!(out.err.contains("jail: "), "{told}"),
            126 => assert!(out.err.contains("busybox"), "{told}"),
            _ => panic!("{told}"),
        }
        ran += u64::from(out.status == 0);
        refused += u64::from(out.status == 125);
    });
    assert!(!is_usual() || (ran > made / 20 && refused > made / 20), "of {made} trees {ran} ran, {refused} were refused");
    // The allowed twin: what is shown is read, and changed where that is allowed.
    let s = Scratch::new();
    s.tree("t");
    let canary = s.file("shown/canary", "the canary\n");
    s.dir("t/mnt");
    let out = sh_in(&s.0, "--root t --rw-bind shown /mnt", "cat /mnt/canary; echo z > /mnt/canary");
    assert_eq!((out.good(), fs::read_to_string(canary).unwrap().as_str()), ("the canary", "z\n"));
}
