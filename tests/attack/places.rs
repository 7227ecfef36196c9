//! Where things come to lie: links that lead what is planned in memory into a directory of
//! the host's, links in a checkout that lead a writable bind elsewhere, places that a flag
//! hides or that are another file for each process, and paths that take long to place.

use crate::support::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

/// Everything below `dir`: names, kinds and the contents of files.
fn listing(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let content = if kind.is_file() { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
            all.push(format!("{} {kind:?} {content}", path.display()));
            if kind.is_dir() {
                dirs.push(path);
            }
        }
    }
    all.sort();
    all
}

/// Runs `true` in a jail with `flags`, with a file that says "password" as descriptor 5.
fn with_password(s: &Scratch, flags: &str) -> Outcome {
    s.file("cred", "password");
    outside_in(&s.0, false, &format!("exec jail {flags} -- true 5<cred"))
}

#[test]
fn a_bind_that_a_link_leads_over_what_was_planned_gets_nothing_made_in_it() {
    for what in [
        "--dir /p/q/r",
        "--dir /p/q/r/s/t",
        "--file 5 /p/q/r",
        "--symlink evil /p/q/r",
        "--ro-bind /etc/passwd /p/q/r",
        "--tmpfs /p/q/r",
    ] {
        for access in ["--rw-bind", "--ro-bind"] {
            let s = Scratch::new();
            let data = s.dir("data");
            // The allowed twin: no link leads the bind there.
            assert_eq!(with_password(&s, &format!("{what} --symlink /p /z {access} data /z/other")).status, 0, "{what}");
            let out = with_password(&s, &format!("{what} --symlink /p /z {access} data /z/q"));
            out.refused(&[
                "it would be made in",
                "/data, which --r",
                "shows at /p/q",
                "name destinations without symbolic links",
            ]);
            assert!(listing(&data).is_empty(), "{what}: {:?}", listing(&data));
        }
    }
}

#[test]
fn a_link_in_a_hostile_tree_leads_no_secret_into_a_host_directory() {
    for (flags, link, target) in [
        ("--file 5 /run/app/cred --rw-bind data /srv/data", "srv/data", "/run/app"),
        ("--file 5 /tmp/app/cred --rw-bind data /srv/data", "srv/data", "../tmp/app"),
        // The tree's link leads a default there: the jail's own /home.
        ("--rw-bind data /srv/data", "srv/data", "/tmp/x"),
    ] {
        let s = Scratch::new();
        s.tree("t");
        let data = s.dir("data");
        s.link(&format!("t/{link}"), target);
        s.link("t/home", "tmp/x/home");
        let out = with_password(&s, &format!("--root t {flags}"));
        out.refused(&["it would be made in", "/data, which --rw-bind data /srv/data shows at"]);
        assert!(listing(&data).is_empty(), "{flags}: {:?}", listing(&data));
    }
}

#[test]
fn a_bind_over_its_own_parents_is_refused_for_the_true_reason() {
    // A checkout with `target` as a link to what lies above it, named by its whole path.
    let s = Scratch::new();
    s.file("checkout/f", "x");
    s.link("checkout/target", "..");
    let target = s.0.join("checkout/target");
    let before = listing(&s.0);
    let out = run_in(&s.0.join("checkout"), &["--rw", ".", "--rw", target.to_str().unwrap(), "--", "true"]);
    out.refused(&["it would be made in", "shows at"]);
    assert!(!out.err.contains("while jail was starting"), "{out:?}");
    assert_eq!(listing(&s.0), before);
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

#[test]
fn no_mixture_of_links_and_mounts_makes_anything_on_the_host() {
    let s = Scratch::new();
    s.tree("t");
    s.link("t/srv", "tmp/a");
    s.link("t/mnt", "run/b");
    for dir in ["h/a/b", "h/b/c"] {
        s.dir(dir);
    }
    s.file("h/f", "the host's");
    s.link("h/c", "/a");
    let before = (listing(&s.0.join("h")), listing(&s.0.join("t")));
    let paths =
        ["/a", "/a/b", "/a/b/c", "/a/b/c/d", "/b", "/b/a", "/z", "/z/b", "/z/c/d", "/z/a/b", "/tmp/a", "/tmp/a/b", "/run/b/a"];
    let (mut numbers, mut runs, mut ran) = (Numbers(0x9e37_79b9_7f4a_7c15), 0, 0);
    let start = Instant::now();
    while runs < 250 || ran < 25 {
        let mut flags = String::from(numbers.of(&["", "", "--root t ", "--root t --writable "]));
        if flags.contains("--writable") {
            // What the tree's owner lets be changed may be: only `h` is of interest.
            flags = "--root t ".into();
        }
        for _ in 0..2 + numbers.below(4) {
            let at = numbers.of(&paths);
            flags += &match numbers.below(7) {
                0 => format!("--dir {at} "),
                1 => format!("--symlink {} {at} ", numbers.of(&paths)),
                2 => format!("--symlink {} /z ", numbers.of(&paths)),
                3 => format!("--rw-bind h {at} "),
                4 => format!("--rw-bind h/{} {at} ", numbers.of(&["a", "b", "f"])),
                5 => format!("--tmpfs {at} "),
                _ if !flags.contains("--file") => format!("--file 5 {at} "),
                _ => continue,
            };
        }
        let out = with_password(&s, &flags);
        assert!(out.status == 0 || out.status == 125 || out.status == 127, "{flags}: {out:?}");
        assert!(!out.err.contains("while jail was starting"), "{flags}: {out:?}");
        assert_eq!((listing(&s.0.join("h")), listing(&s.0.join("t"))), before, "{flags}: {out:?}");
        runs += 1;
        ran += usize::from(out.status != 125);
        assert!(start.elapsed() < Duration::from_secs(300), "{runs} runs, of which {ran} ran");
    }
}

#[test]
fn a_checkouts_link_under_a_fixed_name_is_not_written_through() {
    let s = Scratch::new();
    s.file("other/file", "my work");
    s.file("up/file", "above");
    s.dir("checkout/src");
    s.link("checkout/target", "../other");
    s.link("checkout/dir/node_modules", "../../other");
    s.link("checkout/gone", "../nothing");
    s.link("above", "up");
    let checkout = s.0.join("checkout");
    let write = "echo changed >PLACE/file";
    for (flags, place) in [
        ("--rw target", "target"),
        ("--ro . --rw target", "target"),
        ("--ro . --rw ./target/", "target"),
        ("--ro . --rw-try target", "target"),
        ("--ro . --rw-bind target /m", "/m"),
        ("--ro . --rw-bind-try target /m", "/m"),
        ("--ro . --rw dir/node_modules", "dir/node_modules"),
        ("--ro . --rw src/../target", "target"),
        ("--ro . --rw ../checkout/target", "target"),
        ("--ro . --rw target/../other", "../other"),
    ] {
        let out = sh_in(&checkout, flags, &write.replace("PLACE", place));
        out.refused(&["is a symbolic link below the current directory", "if that is meant, write the path that it leads to: "]);
        assert_eq!(fs::read_to_string(s.0.join("other/file")).unwrap(), "my work", "{flags}");
        // The hint is true: what it says to write works.
        let path = out.err.trim_end().rsplit(' ').next().unwrap();
        assert_eq!(path, s.0.join("other").to_str().unwrap(), "{flags}");
        assert_eq!(run_in(&checkout, &["--rw", path, "--", "true"]).status, 0);
    }
    sh_in(&checkout, "--rw gone", "true").refused(&["is a symbolic link below", "remove the link, or name a path without it"]);
    // A read-only source may go through the link, and so may one above the current directory.
    assert_eq!(sh_in(&checkout, "--ro . --ro-bind target /m", "cat /m/file").good(), "my work");
    assert_eq!(sh_in(&checkout, "--rw .", "touch new && echo made").good(), "made");
    let above = s.0.join("above/file");
    assert_eq!(sh_in(&checkout, "--rw ../above", &format!("cat {}", above.display())).good(), "above");
    // A link above the current directory does not count.
    symlink(&checkout, s.0.join("way")).unwrap();
    let script = "cd way && exec jail --rw src -- touch \"$(pwd -P)/src/made\"";
    assert_eq!(outside_in(&s.0, false, script).status, 0);
    assert!(checkout.join("src/made").exists());
}

#[test]
fn a_tree_or_a_directory_of_changes_is_not_found_through_a_checkouts_link() {
    let s = Scratch::new();
    s.tree("t");
    s.dir("checkout");
    s.dir("other");
    s.link("checkout/t", "../t");
    s.link("checkout/delta", "../other");
    let checkout = s.0.join("checkout");
    sh_in(&checkout, "--root t --writable", "true").refused(&["is a symbolic link below the current directory"]);
    sh_in(&checkout, "--root t --overlay delta", "true").refused(&["is a symbolic link below the current directory"]);
    sh_in(&checkout, "--root t --overlay delta/new", "true").refused(&["is a symbolic link below the current directory"]);
    assert!(listing(&s.0.join("other")).is_empty());
    assert_eq!(sh_in(&checkout, "--root t", "echo read").good(), "read");
}

#[test]
fn a_source_that_becomes_a_link_during_the_launch_is_an_error() {
    for (flags, swapped) in [("--rw a/target", "a/target"), ("--rw a/target", "a"), ("--rw-bind a/target /m", "a/target")] {
        let s = Scratch::new();
        s.dir("work/a/target");
        s.file("other/target/file", "my work");
        s.file("other/file", "my work");
        let script = "echo changed >a/target/file; echo changed >/m/file; true";
        let flags = format!("{flags} --file 0 /run/f");
        let work = s.0.join("work");
        assert_eq!(Held::at(&work, &flags, script).goes_on().status, 0, "{flags}");
        let held = Held::at(&work, &flags, script);
        let at = work.join(swapped);
        fs::rename(&at, work.join("aside")).unwrap();
        symlink(s.0.join("other"), &at).unwrap();
        held.goes_on().refused(&["while jail was starting"]);
        for file in ["other/file", "other/target/file"] {
            assert_eq!(fs::read_to_string(s.0.join(file)).unwrap(), "my work", "{flags} {swapped}");
        }
    }
}

#[test]
fn a_directory_that_holds_defaults_can_be_hidden() {
    let s = Scratch::new();
    let places = [
        "/home",
        "/home/tester",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/proc",
        "/tmp",
        "/run",
        "/etc",
        "/opt",
        "/usr",
        "/usr/lib",
        "/usr/bin",
        "/usr/share",
        "/bin",
        "/lib",
    ];
    for place in places {
        for flags in
            ["", "--landlock none", "--seccomp none", "--as-root", "--net host", "--init none", "--cap sys_admin", "--pty"]
        {
            for as_root in [false, true] {
                let script = format!(
                    "exec jail {flags} --hide {place} --ro-bind /bin/busybox /busybox -- /busybox sh -c '/busybox ls -A {place}; /busybox touch {place}/x; /busybox test -e {place}/x'"
                );
                if as_root && !we_are_root() {
                    return skip("this needs root");
                }
                let out = outside_in(&s.0, as_root, &script);
                // Not 125: the jail starts. Nothing is seen there, and nothing made.
                assert_eq!(out.status, 1, "{flags} --hide {place}, as root: {as_root}: {out:?}");
                let said = out.out.replace("\r\n", "\n");
                let refused = |line: &str| line.contains("ermission denied") || line.contains("Read-only file system");
                assert!(said.lines().all(refused), "{flags} --hide {place}: {out:?}");
                let explained = outside_in(&s.0, as_root, &format!("exec jail {flags} --hide {place} --explain -- true"));
                assert!(explained.good().lines().any(|line| line.contains("hide /")), "{explained:?}");
            }
        }
    }
    // What a flag shows is not hidden by another without a word.
    for (flags, other) in [
        ("--hide /dev --ro-bind /etc/passwd /dev/x", "--ro-bind /etc/passwd /dev/x"),
        ("--hide /home --rw-bind . /home/tester/x", "--rw-bind . /home/tester/x"),
        ("--hide /tmp --dir /tmp/x", "--dir /tmp/x"),
        ("--hide /tmp --tmp private", "--tmp private"),
    ] {
        sh_in(&s.0, flags, "true").refused(&["it would hide what", other]);
    }
}

#[test]
fn what_leads_to_a_process_or_is_no_file_to_take_is_refused_for_the_true_reason() {
    let s = Scratch::new();
    let process = "another file for each process";
    let others = "names a process, and those inside are others";
    for (flags, reason) in [
        ("--device /dev/ptmx", "where the jail has its own pseudo-terminals"),
        ("--tmpfs /dev/pts/x", "where the jail has its own pseudo-terminals"),
        ("--ro /proc/self", process),
        ("--ro-bind /proc/self/cwd /x", process),
        ("--ro-bind /proc/thread-self/root /x", process),
        ("--ro-bind /dev/fd/5 /x", process),
        ("--rw-bind /proc/self/fd/5 /x", process),
        ("--ro-bind /proc/mounts /x", process),
        ("--root /proc/self/root", process),
        ("--chdir /proc/self", others),
        ("--tmpfs /dev/fd", others),
        ("--dir /dev/fd/x", others),
        ("--hide /proc/self", others),
        ("--file 1 /x", "it is open for writing only"),
        ("--reach unix:fifo", "it is not a socket"),
        ("--reach unix:/x=unix:cred", "it is not a socket"),
        ("--trace-denied --rlimit nofile=3", "--rlimit nofile"),
    ] {
        let script = format!("[ -e fifo ] || mkfifo fifo; echo x >cred; exec jail {flags} -- true 5<cred");
        let out = outside_in(&s.0, false, &script);
        out.refused(&[reason]);
        assert!(!out.err.contains("while jail was starting"), "{flags}: {out:?}");
    }
    // A command may be started from a directory that is not there inside.
    assert_eq!(outside_in(&s.0, false, "cd /proc/self && exec jail -- pwd").good(), "/");
}

#[test]
fn a_path_of_2000_names_is_placed_in_time() {
    let s = Scratch::new();
    let deep = "/a".repeat(2000);
    for flag in ["--dir", "--tmpfs", "--ro-bind /etc/passwd", "--file 5", "--symlink x"] {
        s.file("flags", &format!("{}\n{deep}\n", flag.replace(' ', "\n")));
        let out = outside_in(&s.0, false, "echo x >cred; exec timeout 60 jail --args flags -- true 5<cred");
        assert_eq!(out.status, 0, "{flag}: {:.300?}", out.err);
    }
}

/// Each file costs the same number of system calls, however many there are; the benchmark
/// `launch to exit with masked files` has the times.
#[test]
fn hiding_many_files_makes_at_most_twice_the_system_calls_of_showing_them() {
    let s = Scratch::new();
    for n in 0..800 {
        s.file(&format!("d/f{n}"), "x");
    }
    let calls = |flag: &str, count: usize| -> u64 {
        let first = if flag == "--ro" { "" } else { "--ro\nd\n" };
        let flags: String = (0..count).map(|n| format!("{flag}\nd/f{n}\n")).collect();
        s.file("flags", &format!("{first}{flags}"));
        let strace = "strace -f -c -U calls,name -o calls jail --args flags -- true";
        let out = outside_in(&s.0, false, &format!("{strace} && awk '$2 == \"total\" {{ print $1 }}' calls"));
        out.good().parse().unwrap_or_else(|_| panic!("{flag} {count}: {out:#?}"))
    };
    let more = |flag: &str| {
        let [few, some, many] = [100, 400, 800].map(|count| calls(flag, count));
        // 400 files more, and not more than a third more than 300 files more.
        assert!((many - some) * 2 < (some - few) * 3, "{flag}: {few}, {some}, {many}");
        many - some
    };
    let [ro, hide, noexec] = ["--ro", "--hide", "--noexec"].map(more);
    assert!(hide <= ro * 2, "--ro {ro}, --hide {hide}");
    assert!(noexec <= ro * 2, "--ro {ro}, --noexec {noexec}");
}

/// Names each file in /proc that can be opened for writing, but for processes' own.
const WALK: &str = "find /proc -path '/proc/[0-9]*' -prune -o -path /proc/self -prune -o -path /proc/thread-self -prune \
    -o -path /proc/net -prune -o ! -type d ! -type l PERM -print 2>/dev/null |
    while IFS= read -r file; do true 2>/dev/null >>\"$file\" && echo \"$file\"; done 2>/dev/null; true";

#[test]
fn root_in_a_jail_opens_nothing_in_proc_for_writing_but_processes_files() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let s = Scratch::new();
    // The allowed twin: outside, root may.
    let knob = outside_in(&s.0, true, "true 2>/dev/null >>/proc/sys/kernel/core_pattern && echo opened");
    assert_eq!(knob.good(), "opened");
    // A jailed root may open what has no write permission; writing fails then, as the kernel
    // has no way to do it.
    for (flags, perm) in [
        ("", ""),
        ("--landlock none", ""),
        ("--seccomp none", ""),
        ("--as-root", "-perm /222"),
        ("--as-root --landlock none", "-perm /222"),
        ("--cap sys_admin", ""),
        ("--pid host", ""),
        ("--net host --ipc host", ""),
    ] {
        let out = sh_as_root(&s.0, flags, &WALK.replace("PERM", perm)).unwrap();
        assert_eq!(out.good(), "", "{flags}");
        // What is not root's alone is still there, and a process's own files are written to.
        if flags == "--pid host" {
            continue;
        }
        let works = "head -c 4 /proc/version; echo 500 >/proc/self/oom_score_adj && cat /proc/self/oom_score_adj";
        assert_eq!(sh_as_root(&s.0, flags, works).unwrap().good(), "Linu500", "{flags}");
    }
    for secret in ["timer_list", "slabinfo", "vmallocinfo", "pagetypeinfo", "kmsg", "kpageflags"] {
        let script = format!("test -e /proc/{secret} || exit 0; head -c 1 /proc/{secret} >/dev/null 2>&1 && echo read; true");
        assert_eq!(sh_as_root(&s.0, "--as-root", &script).unwrap().good(), "", "{secret}");
    }
}
