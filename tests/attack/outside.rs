//! What the launcher does outside a jail for `--overlay DIR` and `--diff DIR`, where an
//! earlier jail, a checkout or another user made what is in DIR.

use crate::support::*;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A user that is neither the caller nor root.
const OTHER: u32 = 54399;

/// All that can be seen of a directory: names, types, modes, owners, times, content.
fn state(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names.iter().chain([&dir.to_owned()]) {
        let meta = fs::symlink_metadata(path).unwrap();
        let content = if meta.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        let sum = content.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        let owner = (meta.uid(), meta.gid(), meta.nlink(), meta.ino());
        let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        let link = fs::read_link(path).ok();
        all.push(format!("{path:?} {:o} {owner:?} {times:?} {} {sum} {link:?}", meta.mode(), content.len()));
        if meta.is_dir() && path != dir {
            all.extend(state(path));
        }
    }
    all
}

/// A tree to lay changes over, and a directory with what must not be touched: names that
/// the launcher uses in DIR are among them.
fn place() -> Scratch {
    let s = Scratch::new();
    s.tree("t");
    for dir in ["canary", "canary/work", "canary/changes"] {
        s.file(&format!("{dir}/thesis.tex"), "precious\n");
        s.file(&format!("{dir}/.hidden"), "x\n");
        s.dir(&format!("{dir}/empty"));
        s.dir(&format!("{dir}/work"));
    }
    s
}

const PLACES: [&str; 4] = ["kept", "kept/changes", "kept/work", "kept/work/work"];

/// DIR as far as the place, which is left free.
fn around(s: &Scratch, place: &str) {
    for dir in PLACES.iter().take_while(|dir| **dir != place) {
        s.dir(dir);
    }
}

/// What is put there, and how the message names it.
const KINDS: [(&str, &str); 9] = [
    ("link to a directory", "is a symbolic link"),
    ("relative link", "is a symbolic link"),
    ("link to a file", "is a symbolic link"),
    ("dangling link", "is a symbolic link"),
    ("file", "is a regular file, not a directory"),
    ("fifo", "is a FIFO, not a directory"),
    ("socket", "is a socket, not a directory"),
    ("foreign", "belongs to uid 54399"),
    ("open to all", "may be written to by all users"),
];

fn put(s: &Scratch, place: &str, kind: &str) {
    let at = s.0.join(place);
    let canary = s.0.join("canary");
    match kind {
        "link to a directory" => symlink(&canary, &at).unwrap(),
        "relative link" => symlink(format!("{}canary/work", "../".repeat(place.matches('/').count())), &at).unwrap(),
        "link to a file" => symlink(canary.join("thesis.tex"), &at).unwrap(),
        "dangling link" => symlink(canary.join("new"), &at).unwrap(),
        "file" => _ = s.file(place, ""),
        "fifo" => rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, 0o666.into(), 0).unwrap(),
        "socket" => drop(UnixListener::bind(&at).unwrap()),
        "foreign" | "open to all" => {
            s.dir(place);
            fs::set_permissions(&at, fs::Permissions::from_mode(0o777)).unwrap();
            if kind == "foreign" {
                chown(&at, Some(OTHER), Some(OTHER)).unwrap();
            }
        }
        _ => unreachable!(),
    }
}

#[test]
fn overlay_dir_with_a_wrong_entry_is_refused_by_name_and_nothing_is_changed() {
    for (kind, said) in KINDS {
        for place_of in PLACES {
            // The command chose the mode of `changes`: it is the mode of its /.
            if kind == "open to all" && place_of == "kept/changes" {
                continue;
            }
            if kind == "foreign" && !we_are_root() {
                skip("this needs root");
                continue;
            }
            let s = place();
            around(&s, place_of);
            put(&s, place_of, kind);
            let before = state(&s.0);
            let at = s.0.join(place_of).display().to_string();
            for flags in ["", "--explain=time "] {
                let run = sh_in(&s.0, &format!("--root t --overlay kept {flags}"), "echo ran");
                assert_eq!(state(&s.0), before, "{kind} at {place_of}: {run:?}");
                run.refused(&["--overlay kept", &at, said]);
                assert_eq!(run.out, "");
            }
            // To look is never to change, nor to wait.
            for flags in ["--root t --overlay kept --explain -- true", "--diff kept", "--diff kept --root t"] {
                let run = outside_in(&s.0, false, &format!("exec timeout 20 jail {flags}"));
                assert!([0, 125].contains(&run.status), "{kind} at {place_of}, {flags}: {run:?}");
                assert_eq!(state(&s.0), before, "{kind} at {place_of}, {flags}");
            }
        }
    }
}

/// Runs a script as root of a user namespace with mounts of its own.
fn with_mounts(s: &Scratch, script: &str) -> Outcome {
    fs::write(s.0.join("script"), script).unwrap();
    outside_in(&s.0, false, "exec unshare -rm sh ./script")
}

#[test]
fn overlay_entry_on_another_file_system_is_refused_by_name() {
    let s = place();
    s.dir("kept/work/work");
    s.dir("kept/changes");
    for at in ["kept/changes", "kept/work", "kept/work/work"] {
        for mount in ["mount -t tmpfs t", "mount --bind canary"] {
            let script = format!(
                "{mount} {at} && touch {at}/file && ls -la {at} > before; \
                jail --root t --overlay kept -- sh -c true; status=$?; ls -la {at} | cmp - before && exit $status"
            );
            fs::write(s.0.join("script"), "").unwrap();
            s.file("before", "");
            let before: Vec<String> = state(&s.0.join("kept"));
            let run = with_mounts(&s, &script);
            run.refused(&["--overlay kept", &format!("{} is a mount point", s.0.join(at).display()), "umount"]);
            assert_eq!(state(&s.0.join("kept")), before, "{mount} {at}");
        }
    }
    // What the hint says, and a DIR that is itself a mount.
    with_mounts(&s, "mount -t tmpfs t kept/work; umount kept/work; exec jail --root t --overlay kept -- sh -c true").good();
    let whole = "mount -t tmpfs t kept; jail --root t --overlay kept -- sh -c 'echo x > /x' && cat kept/changes/x && ls kept";
    assert_eq!(with_mounts(&s, whole).good(), "x\nchanges");
}

#[test]
fn overlay_dir_that_is_as_it_must_be_is_used_and_tidied() {
    let s = place();
    let canary = state(&s.0.join("canary"));
    let run = |flags: &str| {
        assert_eq!(sh_in(&s.0, &format!("--root t {flags}"), "echo x > /x; cat /x").good(), "x", "{flags}");
    };
    let names = || {
        let mut all: Vec<_> = fs::read_dir(s.0.join("kept")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        all.sort();
        all
    };
    // Missing, empty, used; what a run left whose keeper was killed, too.
    run("--overlay kept");
    assert_eq!(fs::metadata(s.0.join("kept")).unwrap().mode() & 0o002, 0);
    run("--overlay kept");
    s.dir("empty");
    run("--overlay empty");
    s.dir("kept/work/work/#1");
    s.file("kept/work/work/#2", "");
    fs::set_permissions(s.0.join("kept/work/work"), fs::Permissions::from_mode(0o000)).unwrap();
    run("--overlay kept");
    assert_eq!(names(), ["changes"]);
    // Notes of the user's beside the changes, which stay.
    s.file("kept/notes", "mine\n");
    run("--overlay kept");
    assert_eq!(
        (names(), fs::read_to_string(s.0.join("kept/notes")).unwrap()),
        (vec!["changes".into(), "notes".into()], "mine\n".into())
    );
    // The caller's group may write to it, and others where they may replace nothing.
    for mode in [0o775, 0o1777, 0o700] {
        fs::set_permissions(s.0.join("kept"), fs::Permissions::from_mode(mode)).unwrap();
        run("--overlay kept");
    }
    // With a umask that takes all away, and with one that takes nothing.
    for mask in ["777", "0"] {
        let run = outside_in(&s.0, false, &format!("umask {mask}; exec jail --root t --overlay empty -- sh -c 'echo x > /x'"));
        assert_eq!(run.status, 0, "{run:?}");
    }
    assert_eq!(outside_in(&s.0, false, "umask 0; jail --root t --overlay new -- sh -c : && stat -c %a new").good(), "775");
    assert_eq!(state(&s.0.join("canary")), canary);
}

#[test]
fn overlay_dir_without_changes_must_be_empty() {
    // The kernel empties what is called work/work.
    let s = place();
    s.file("kept/work/work/thesis.tex", "precious\n");
    let before = state(&s.0);
    let run = sh_in(&s.0, "--root t --overlay kept", "true");
    assert_eq!(state(&s.0), before);
    run.refused(&["--overlay kept", "holds other things", "name an empty directory"]);
}

/// A link of the user's.
fn link(s: &Scratch, path: &str, target: &str) {
    s.link(path, target);
    if we_are_root() {
        std::os::unix::fs::lchown(s.0.join(path), Some(USER), Some(USER)).unwrap();
    }
}

#[test]
fn overlay_dir_is_not_reached_through_a_link_that_root_did_not_make() {
    let s = place();
    link(&s, "link", "canary");
    link(&s, "sub/back", "..");
    let before = state(&s.0);
    let absolute = s.0.join("link/new").display().to_string();
    for dir in ["link/new", "link", "sub/back/new", "./link/../new", &absolute] {
        let run = sh_in(&s.0, &format!("--root t --overlay {dir}"), "true");
        assert_eq!(state(&s.0), before, "{dir}");
        run.refused(&["--overlay", "is a symbolic link"]);
        let hints = ["name the directory that it leads to", "write the path that it leads to", "name a path without it"];
        assert!(hints.iter().any(|hint| run.err.contains(hint)), "{run:#?}");
    }
    sh_in(&s.0, "--root t --overlay sub/../new", "true").good();
    // As /home is on some systems.
    if we_are_root() {
        s.link("roots", ".");
        let dir = s.0.join("roots/new");
        sh_in(&s.0, &format!("--root t --overlay {}", dir.display()), "true").good();
        sh_in(&s.0, "--root t --overlay roots/new", "true").refused(&["is a symbolic link"]);
    } else {
        skip("this needs root");
    }
}

#[test]
fn overlay_dir_that_a_jailed_command_made_costs_no_file() {
    // What an earlier jail can make that sees and may write one directory, and no other.
    for hostile in [
        "mkdir -p delta/changes && ln -s CANARY delta/work",
        "mkdir -p delta/work delta/changes && ln -s CANARY/work delta/work/work",
        "mkdir -p delta/work && : > delta/changes && ln -s CANARY/thesis.tex delta/work/work",
        "mkdir -p delta/work && ln -s CANARY delta/changes && ln -s ../../../canary/thesis.tex delta/work/work",
        "ln -s CANARY delta",
    ] {
        let s = place();
        s.dir("p");
        let canary = s.0.join("canary");
        let before = state(&canary);
        let script = hostile.replace("CANARY", &canary.display().to_string());
        sh_in(&s.0.join("p"), "--rw .", &script).good();
        for flags in ["--explain --", "--explain=time --", "--", "--"] {
            let run =
                outside_in(&s.0.join("p"), false, &format!("exec timeout 20 jail --root ../t --overlay delta {flags} true"));
            assert_eq!(state(&canary), before, "{hostile}, {flags}: {run:?}");
            assert!(run.status == 125 || flags == "--explain --", "{hostile}, {flags}: {run:?}");
        }
        outside_in(&s.0.join("p"), false, "exec timeout 20 jail --diff delta --root ../t");
        assert_eq!(state(&canary), before, "{hostile}");
    }
}

/// A run whose command has started, and goes on until it is killed.
fn running(s: &Scratch) -> Child {
    let mut command = command(jail(), &s.0, false);
    command.args(["--root", "t", "--overlay", "kept", "--", "sh", "-c", "echo here; while :; do echo x > /file; done"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    child
}

/// Puts something in the place of `work`; the second is the canary.
type Swap<'a> = &'a dyn Fn(&Path, &Path);

#[test]
fn killed_launcher_leaves_alone_what_took_the_place_of_work() {
    let swaps: [(&str, Swap); 5] = [
        ("a link", &|work, canary| symlink(canary, work).unwrap()),
        ("a directory", &|work, canary| fs::rename(canary.join("work"), work).unwrap()),
        ("an empty directory", &|work, _| fs::create_dir(work).unwrap()),
        ("a file", &|work, _| fs::write(work, "mine").unwrap()),
        ("nothing", &|_, _| {}),
    ];
    for (name, swap) in swaps {
        for kill in [true, false] {
            let s = place();
            let mut launcher = running(&s);
            fs::rename(s.0.join("kept/work"), s.0.join("kept/aside")).unwrap();
            swap(&s.0.join("kept/work"), &s.0.join("canary"));
            let before = (state(&s.0.join("canary")), fs::symlink_metadata(s.0.join("kept/work")).is_ok());
            let inside = if name == "a directory" { state(&s.0.join("kept/work")) } else { Vec::new() };
            let signal = if kill { rustix::process::Signal::KILL } else { rustix::process::Signal::TERM };
            let pid = rustix::process::Pid::from_child(&launcher);
            rustix::process::kill_process(pid, signal).unwrap();
            launcher.wait().unwrap();
            // The keeper holds the lock until it has tidied.
            assert_eq!(outside_in(&s.0, false, "exec timeout 30 flock kept true").status, 0, "{name}");
            let after = (state(&s.0.join("canary")), fs::symlink_metadata(s.0.join("kept/work")).is_ok());
            assert_eq!(after, before, "{name}, killed: {kill}");
            if name == "a directory" {
                assert_eq!(state(&s.0.join("kept/work")), inside, "{name}, killed: {kill}");
            }
        }
    }
    // The same with what the kernel made in it.
    let s = place();
    let mut launcher = running(&s);
    // A directory may be moved only by a user who may write to it.
    fs::set_permissions(s.0.join("kept/work/work"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(s.0.join("kept/work/work"), s.0.join("kept/aside")).unwrap();
    symlink(s.0.join("canary/thesis.tex"), s.0.join("kept/work/work")).unwrap();
    let before = state(&s.0.join("canary"));
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    assert_eq!(outside_in(&s.0, false, "exec timeout 30 flock kept true").status, 0);
    assert_eq!(state(&s.0.join("canary")), before);
    assert!(fs::symlink_metadata(s.0.join("kept/work/work")).unwrap().is_symlink());
}

#[test]
fn killed_launcher_with_a_hostile_dir_changes_nothing() {
    let s = place();
    s.dir("kept/changes");
    s.link("kept/work", s.0.join("canary").to_str().unwrap());
    let before = state(&s.0);
    for round in 0..60 {
        let mut command = command(jail(), &s.0, false);
        command.args(["--root", "t", "--overlay", "kept", "--", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(round * 150));
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(outside_in(&s.0, false, "exec timeout 30 flock kept true").status, 0);
        assert_eq!(state(&s.0), before, "round {round}");
    }
}

/// Does `act` again and again until `launches` have been made, or half a minute is over.
fn raced(s: &Scratch, launches: usize, act: impl Fn(usize) + Sync, check: impl Fn(&Outcome)) -> [usize; 2] {
    let done = std::sync::atomic::AtomicBool::new(false);
    let start = Instant::now();
    let mut counts = [0; 2];
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        scope.spawn(|| {
            for round in 0.. {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                act(round);
            }
        });
        for _ in 0..launches {
            if start.elapsed() > Duration::from_secs(30) {
                break;
            }
            let run = outside_in(&s.0, false, "exec timeout 20 jail --root t --overlay kept -- sh -c 'echo x > /x'");
            // A command whose / was moved away may fail.
            assert!([0, 1, 2, 125].contains(&run.status), "{run:?}");
            counts[usize::from(run.status == 125)] += 1;
            check(&run);
        }
    });
    counts
}

/// Sets the flag at the end, also where a check fails.
struct Ends<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn overlay_entries_that_are_swapped_during_the_launch_lead_nowhere() {
    for name in ["work", "changes"] {
        let s = place();
        s.dir("kept/changes");
        s.file("kept/changes/thesis.tex", "older\n");
        let canary = s.0.join("canary");
        let before = state(&canary);
        let (at, aside) = (s.0.join("kept").join(name), s.0.join("kept/aside"));
        symlink(&canary, s.0.join("link")).unwrap();
        let swap = |round: usize| {
            // The launcher may have removed it, or made it.
            let _ = fs::rename(&at, &aside);
            let _ = symlink(&canary, &at);
            std::thread::sleep(Duration::from_micros((round % 7) as u64 * 100));
            if fs::symlink_metadata(&at).is_ok_and(|meta| meta.is_symlink()) {
                let _ = fs::remove_file(&at);
            }
            let _ = fs::rename(&aside, &at);
            std::thread::sleep(Duration::from_micros((round % 11) as u64 * 500));
        };
        let counts = raced(&s, 150, swap, |run| assert_eq!(state(&canary), before, "{name}: {run:?}"));
        assert!(counts.iter().sum::<usize>() > 10, "{name}: {counts:?}");
    }
}

#[test]
fn overlay_dir_that_is_swapped_for_a_link_during_the_launch_leads_nowhere() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let s = place();
    s.dir("kept/changes");
    let canary = s.0.join("canary");
    symlink(&canary, s.0.join("link")).unwrap();
    let before = state(&canary);
    let swap = |round: usize| {
        renameat_with(CWD, s.0.join("kept"), CWD, s.0.join("link"), RenameFlags::EXCHANGE).unwrap();
        std::thread::sleep(Duration::from_micros((round % 13) as u64 * 300));
    };
    let counts = raced(&s, 200, swap, |run| assert_eq!(state(&canary), before, "{run:?}"));
    assert!(counts.iter().sum::<usize>() > 10, "{counts:?}");
}

#[test]
fn overlay_changes_of_a_subordinate_id_need_subids() {
    let s = place();
    let etc = Etc::new(&s);
    // The command gives its / away, as it may with --subids.
    let script = "j() { as_user jail --root t --overlay kept \"$@\"; }
        j --subids -- sh -c 'busybox chown 5:5 / && echo x > /x' || exit 1
        stat -c %u kept/changes
        j --subids -- cat /x || exit 2
        j -- cat /x; echo $?; ls kept";
    let Some(run) = etc.run(script) else { return };
    assert_eq!(run.out, "100004\nx\n125\nchanges\n", "{run:?}");
    assert!(run.err.contains("kept/changes belongs to uid 100004"), "{run:?}");
}

#[test]
fn root_refuses_an_overlay_dir_of_a_users() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let s = place();
    chown(s.0.join("t"), Some(0), Some(0)).unwrap();
    s.dir("kept");
    let before = state(&s.0);
    let run = sh_as_root(&s.0, "--root t --overlay kept", "true").unwrap();
    assert_eq!(state(&s.0), before);
    run.refused(&["--overlay kept", "/kept belongs to uid 54321"]);
    chown(s.0.join("kept"), Some(0), Some(0)).unwrap();
    sh_as_root(&s.0, "--root t --overlay kept", "true").unwrap().good();
}

fn deep(s: &Scratch) -> PathBuf {
    let script = "import os
os.chdir('kept/changes')
for i in range(6000):
    name = 'd' * 200 if i % 2 else 'e'
    os.mkdir(name); os.chdir(name)
open('end', 'w').close()";
    assert_eq!(outside_in(&s.0, false, &format!("python3 -c \"{script}\"")).good(), "");
    s.0.join("kept/changes/e")
}

/// Without /proc no attribute is read: each file would seem to be changed.
#[test]
fn diff_without_proc_is_refused() {
    if !we_are_root() {
        return skip("only root can unmount /proc");
    }
    let s = place();
    s.file("kept/changes/f", "x");
    s.file("t/f", "x");
    for flags in ["", "--root t"] {
        let script = format!(
            "exec unshare -m sh -c 'umount -l /proc; exec setpriv --reuid={0} --regid={0} --clear-groups {1} --diff kept {flags}'",
            USER,
            jail().display()
        );
        let run = outside_in(&s.0, true, &script);
        run.refused(&["--diff kept", "/proc is not mounted here: mount it"]);
        assert_eq!(run.out, "", "{run:?}");
    }
}

#[test]
fn diff_names_the_directory_that_cannot_be_read() {
    let s = place();
    s.dir("kept/changes/a/b");
    s.dir("t/a/b");
    for dir in ["kept/changes/a/b", "t/a/b"] {
        let script = format!("chmod 0 {dir}; jail --diff kept --root t; r=$?; chmod 755 {dir}; exit $r");
        outside_in(&s.0, false, &script).refused(&["compare a/b", &format!("chmod u+rx {dir}\n")]);
    }
}

#[test]
fn overlay_without_room_for_its_files_says_so() {
    let s = place();
    s.dir("full");
    // The root of the file system, the two directories of ours, and what the kernel adds.
    for inodes in 4..7 {
        let script = format!(
            "mount -t tmpfs -o nr_inodes={inodes} t full; mkdir full/kept; jail --root t --overlay full/kept -- sh -c true"
        );
        let run = with_mounts(&s, &script);
        if run.status != 0 {
            assert!(run.err.contains("room"), "{inodes}: {run:?}");
            assert!(!run.err.contains("namespaces"), "{inodes}: {run:?}");
        }
    }
}

#[test]
fn diff_of_a_deep_tree_is_linear() {
    let s = place();
    s.dir("kept/changes");
    let top = deep(&s);
    for (flags, end) in [("", "/end\n"), ("=json", "/end\",\"length\":609003}\n]\n")] {
        let script = format!("timeout 10 jail --diff{flags} kept > out; echo $?; wc -l < out; wc -c < out; tail -c 40 out");
        let run = outside_in(&s.0, false, &script);
        let mut lines = run.out.splitn(4, '\n');
        let mut next = || lines.next().unwrap_or_default();
        assert_eq!(next(), "0", "{run:?}");
        let (count, bytes): (usize, usize) = (next().parse().unwrap(), next().parse().unwrap());
        assert!((6001..6004).contains(&count) && bytes < 6010 * 4200, "{count} lines, {bytes} bytes");
        assert!(next().ends_with(end), "{run:?}");
    }
    // The standard library's way takes a descriptor a level.
    outside_in(&s.0, false, &format!("rm -rf {}", top.display())).good();
}

#[test]
fn diff_of_sparse_files_reads_no_hole() {
    let s = place();
    let sizes =
        [("same", 8 << 40), ("start", 8 << 40), ("middle", 8 << 40), ("hole", 8 << 40), ("size", 8 << 40), ("small", 300_000)];
    for (name, size) in sizes {
        for dir in ["t", "kept/changes"] {
            let file = fs::OpenOptions::new().write(true).open(s.file(&format!("{dir}/{name}"), "")).unwrap();
            file.set_len(size).unwrap();
            let changed = dir != "t";
            match name {
                "same" => file.write_all_at(b"both", 5 << 40).unwrap(),
                "start" if changed => file.write_all_at(b"x", 0).unwrap(),
                "middle" => file.write_all_at(if changed { b"x" } else { b"y" }, (4 << 40) + 77).unwrap(),
                // Zeros that take room are those of a hole.
                "hole" if changed => file.write_all_at(&[0; 100_000], 6 << 40).unwrap(),
                "size" if changed => file.set_len((8 << 40) - 1).unwrap(),
                "small" => file.write_all_at(b"s", 299_999).unwrap(),
                _ => {}
            }
        }
    }
    let run = outside_in(&s.0, false, "exec timeout 20 jail --diff kept --root t");
    let changed: Vec<&str> = run.good().lines().filter(|line| line.starts_with('C')).collect();
    assert_eq!(changed, ["C middle", "C size", "C start"], "{run:?}");
}

#[test]
fn cgroup_of_another_launcher_is_not_removed() {
    // Launchers in different pid namespaces can have one number: here each number that the
    // launcher can have is taken.
    let script = r#"
cd /sys/fs/cgroup
echo '+memory +pids +cpu' >cgroup.subtree_control
mkdir user
chown tester:tester user user/cgroup.procs user/cgroup.threads user/cgroup.subtree_control
echo $$ >user/cgroup.procs
exec as-user sh -euc "$(cat <<'END'
set +e
# No process for each, which would take its number.
set --; for n in $(seq $$ $(($$ + 200))); do set -- "$@" user/jail-$n; done; mkdir "$@"
sleep 1000 & sleeper=$!
echo $sleeper >user/jail-$(($$ + 200))/cgroup.procs
ls user | grep -c ^jail-
jail --tasks 9 -- echo ran; echo $?
jail --tasks 9 -- sleep 1000 & sleep 1
kill -KILL $!; wait $! 2>/dev/null
sleep 1
ls user | grep -c ^jail-
kill -0 $sleeper && echo lives
END
)""#;
    let Some(outcome) = vm("6.12", script, &[]) else { return };
    assert_eq!(outcome.out, "201\nran\n0\n201\nlives\n", "{outcome:#?}");
}
