//! A directory and a link change places all the time while jails are launched. Each launch
//! fails, or shows what the path led to when it was planned: never a part of it, and never
//! what a link in a tree leads to outside. Swaps at a known moment are in launch.rs.

use crate::random::{is_usual, rounds};
use crate::support::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Flags; how the path of the one mount ends that the launch places, if it succeeds; and
/// the words that the script may print then: the contents of the files that it can read, by
/// all paths that may lead to them.
const CASES: &[(&str, &str, &[&str])] = &[
    // The source is the link's target, if it was one.
    ("--ro sh/sub", "/sub", &["sub", "secret"]),
    ("--ro sh/sub/in", "/in", &["sub", "secret"]),
    ("--rw sh/d2/in", "/in", &["d2", "secret"]),
    // The directory is seen as it changes; what is hidden is not seen in any state.
    ("--rw sh --hide sh/sub/in/f", "/in/f", &["d2"]),
    ("--rw sh --noexec sh/sub/in", "/in", &["sub", "d2"]),
    // In the tree, the link leads to a place of the jail's own /tmp.
    ("--root t --ro-bind /usr /usr --ro-bind sh/d2/in /m/in", "/in", &["d2", "secret", "tree"]),
    ("--root t --ro-bind /usr /usr --hide /m/in/f", "/in/f", &[]),
    ("--root t --ro-bind /usr /usr --tmpfs /m/in", "/in", &["tree"]),
    ("--root t --ro-bind /usr /usr --ephemeral --hide /m/in/f", "/in/f", &[]),
    ("--root t --ro-bind /usr /usr", "", &["tree"]),
];

/// Ends the thread that swaps, whatever comes of the test.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Is it what was asked for, and all of it?
fn is_whole(out: &Outcome, (flags, ending, words): (&str, &str, &[&str])) -> bool {
    let executes = !flags.contains("--noexec") && !flags.contains("--root");
    let (mut placed, mut read, mut odd) = (0, 0, 0);
    for word in out.out.split_whitespace() {
        match word {
            "executed" if executes => {}
            // What the launch places, by the place where it is seen now.
            _ if word.starts_with('/') => placed += u32::from(!ending.is_empty() && word.ends_with(ending)),
            _ if words.contains(&word) => read += 1,
            _ => odd += 1,
        }
    }
    // Neither place of a source is empty.
    let is_source = flags.starts_with("--ro sh") || flags.starts_with("--rw sh/d2");
    odd == 0 && placed == u32::from(!ending.is_empty()) && (read > 0 || !is_source)
}

#[test]
fn a_path_that_changes_all_the_time_is_shown_whole_or_not_at_all() {
    let s = Scratch::new();
    for (file, content) in
        [("sh/sub/in/f", "sub "), ("sh/d2/in/f", "d2 "), ("sh/d2/f", "d2 "), ("secret/in/f", "secret "), ("t/m/in/f", "tree ")]
    {
        s.file(file, content);
    }
    s.file("elsewhere/in/f", "elsewhere ");
    let executable = s.file("sh/sub/in/run", "#!/usr/bin/busybox sh\necho executed\n");
    std::fs::set_permissions(&executable, PermissionsExt::from_mode(0o755)).unwrap();
    for dir in ["t/usr", "t/proc", "t/dev", "t/tmp", "t/run"] {
        s.dir(dir);
    }
    s.link("sh/lnk", "../secret");
    // It leads there from where the directory is.
    s.link("sh/lin", "../../secret/in");
    s.link("t/lnk", s.0.join("elsewhere").to_str().unwrap());
    let at = s.0.display();
    let script = format!(
        "cat {at}/sh/sub/in/f {at}/sh/d2/in/f /m/in/f /m/f /lnk/f /lnk/in/f {at}/elsewhere/in/f 2>/dev/null
         {at}/sh/sub/in/run 2>/dev/null; {at}/sh/lnk/in/run 2>/dev/null
         while read -r _ _ _ root point _; do
             case $root in */elsewhere*) echo shown ;; esac
             echo $point
         done < /proc/self/mountinfo"
    );
    let run = |flags: &str| {
        let words: Vec<&str> = flags.split_whitespace().chain(["--", "/usr/bin/busybox", "sh", "-c", &script]).collect();
        run_in(&s.0, &words)
    };
    // The allowed twins: while nothing moves, each is launched, and the program is executed
    // where it may be.
    for case in CASES {
        let out = run(case.0);
        assert!(out.status == 0 && is_whole(&out, *case), "{case:?}: {out:#?}");
    }
    assert!(run("--rw sh").out.contains("executed"));
    let seen = run("--ro sh/sub --ro elsewhere").out;
    assert!(["sub elsewhere executed\n", "shown\n"].iter().all(|word| seen.contains(word)), "{seen}");
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (one, other) in [("sh/sub", "sh/lnk"), ("sh/d2/in", "sh/lin"), ("t/m", "t/lnk")] {
                    renameat_with(CWD, s.0.join(one), CWD, s.0.join(other), RenameFlags::EXCHANGE).unwrap();
                }
                swaps.fetch_add(3, Ordering::Relaxed);
            }
        });
        let (mut shown, mut refused) = (0, 0);
        let made = rounds("paths that change", 250, |random| {
            let case = *random.pick(CASES);
            let out = run(case.0);
            let told = format!("{case:?}: {out:#?}");
            match out.status {
                0 => {
                    assert!(is_whole(&out, case), "{told}");
                    shown += 1;
                }
                125 => {
                    assert!(out.err.contains("jail: ") && out.out.is_empty(), "{told}");
                    refused += 1;
                }
                _ => panic!("{told}"),
            }
        });
        assert!(!is_usual() || (shown > made / 20 && refused > made / 50), "of {made}: {shown} shown, {refused} refused");
        let swaps = swaps.load(Ordering::Relaxed);
        assert!(!is_usual() || swaps > 3 * made, "{swaps} swaps in {made} launches");
    });
}
