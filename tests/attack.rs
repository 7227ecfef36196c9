//! What code in a jail, or somebody beside the launcher, does to get out.

mod support;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::*;

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

/// Moves what is hidden in a directory that it may write to: the cover belongs to the
/// name in the jail's mounts, and in a mount namespace of one's own those can be let
/// go of. A clone of a directory beside it then shows what was moved there.
const UNHIDE: &str = r#"
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void map(const char *file, const char *text) {
    int fd = open(file, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) err(1, "%s", file);
    close(fd);
}

#define DO(call) do { if ((long)(call) < 0) err(1, "%s", #call); } while (0)

int main(int count, char **words) {
    char line[64], content[64] = "";
    int uid = geteuid(), gid = getegid(), beside, kept, file;
    if (count > 2) {
        DO(unshare(CLONE_NEWNS));
    } else {
        DO(unshare(CLONE_NEWUSER | CLONE_NEWNS));
        map("/proc/self/setgroups", "deny");
        sprintf(line, "0 %d 1", uid);
        map("/proc/self/uid_map", line);
        sprintf(line, "0 %d 1", gid);
        map("/proc/self/gid_map", line);
    }
    printf("unshared\n");
    fflush(stdout);
    DO(chdir(words[1]));
    DO(beside = syscall(SYS_open_tree, AT_FDCWD, "beside", 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC));
    DO(kept = open(".", O_RDONLY | O_DIRECTORY));
    DO(mkdir("/tmp/new", 0755));
    DO(mount("new", "/tmp/new", "tmpfs", 0, NULL));
    DO(mkdir("/tmp/new/old", 0755));
    DO(syscall(SYS_pivot_root, "/tmp/new", "/tmp/new/old"));
    DO(chdir("/"));
    DO(umount2("/old", MNT_DETACH));
    DO(renameat(kept, "hidden", kept, "beside/hidden"));
    DO(renameat(kept, "guarded", kept, "beside/guarded"));
    if ((file = openat(beside, "hidden", O_RDONLY)) >= 0 && read(file, content, sizeof content - 1) >= 0)
        printf("read: %s\n", content);
    if ((file = openat(beside, "guarded/f", O_WRONLY | O_TRUNC)) >= 0 && write(file, "changed", 7) == 7)
        printf("changed\n");
    return 0;
}
"#;

#[test]
fn what_is_hidden_or_guarded_in_a_writable_place_stays_so() {
    let s = Scratch::new();
    s.file("unhide.c", UNHIDE);
    let built = Command::new("gcc").args(["-static", "-o", "unhide", "unhide.c"]).current_dir(&s.0).status();
    assert!(built.is_ok_and(|status| status.success()), "gcc and the C library's archive are needed");
    let prepare = || {
        let _ = fs::remove_dir_all(s.0.join("p"));
        s.file("p/hidden", "secret");
        s.file("p/guarded/f", "as it was");
        s.dir("p/beside");
    };
    let attack = |flags: &str, how: &str| {
        prepare();
        let flags = format!("--rw p --hide p/hidden --ro p/guarded --ro-bind unhide /attack {flags}");
        let out = run_in(
            &s.0,
            &[
                flags.split(' ').collect(),
                vec!["--", "/attack", s.0.join("p").to_str().unwrap()],
                how.split_whitespace().collect(),
            ]
            .concat(),
        );
        let kept =
            ["p/guarded/f", "p/beside/guarded/f"].iter().any(|f| fs::read_to_string(s.0.join(f)).is_ok_and(|t| t == "as it was"));
        (out, kept)
    };
    for flags in [
        "--env A=1",
        "--as-root",
        "--as-root --cap sys_ptrace",
        "--cap dac_override --net host",
        "--uid 0 --gid 0",
        "--init none",
    ] {
        for how in ["", "without-a-user-namespace"] {
            let (out, kept) = attack(flags, how);
            assert!(kept && out.out.is_empty() && out.status == 1, "{flags} {how}: {out:?}");
            assert!(out.err.contains("Operation not permitted"), "{flags} {how}: {out:?}");
        }
        // Two fences: without the filter the limit of user namespaces is met.
        let (out, kept) = attack(&format!("{flags} --seccomp none"), "");
        assert!(kept && out.out.is_empty() && out.err.contains("No space left on device"), "{flags}: {out:?}");
    }
    // The allowed twin: with --nested it comes further, as the manual warns.
    let (out, _) = attack("--nested", "");
    assert!(out.out.starts_with("unshared\n"), "{out:?}");
    // And the plain ways, by which a name is moved from under its cover.
    prepare();
    let script = "mv hidden beside/ ; mv guarded beside/; rm -f hidden; ln hidden beside/h; echo x > guarded/f; rm -rf guarded; \
         mv ../p ../q; cat hidden beside/* beside/*/f; true";
    for flags in ["", "--as-root"] {
        let out = sh_in(&s.0.join("p"), &format!("--rw . --hide hidden --ro guarded {flags}"), script);
        assert!(!out.out.contains("secret"), "{flags}: {out:?}");
        assert_eq!(fs::read_to_string(s.0.join("p/guarded/f")).unwrap(), "as it was", "{flags}");
        assert_eq!(fs::read_to_string(s.0.join("p/hidden")).unwrap(), "secret", "{flags}");
    }
}

/// Runs `line` in a session and process group of its own, in which a process sleeps
/// beside `jail`; says how both are afterwards. The record tells whether the launcher
/// lived to its end.
fn beside_a_sleeper(flags: &str, inside: &str) -> Outcome {
    let s = Scratch::new();
    s.file("inside.pl", inside);
    let line = format!(
        "sleep 1000 & \
         jail {flags} --ro . --status-fd 3 -- perl inside.pl 3> record; echo status $?; \
         read -r _ _ state rest < /proc/$!/stat && echo sleeper $state; \
         kill -KILL $!; grep -o '\"event\":\"end\"' record"
    );
    s.file("line", &line);
    outside_in(&s.0, false, "exec setsid -w sh ./line")
}

#[test]
fn no_signal_reaches_the_callers_process_group() {
    let check = run(&["--check"]);
    let kept_in = check.out.lines().any(|line| line.starts_with("Landlock") && line.contains("signals"));
    if !kept_in {
        // Before Linux 6.12, as the manual has it.
        skip("this kernel has no Landlock that keeps signals in");
    }
    let plain: &[&str] = &["", "--as-root", "--init none", "--as-root --cap sys_admin"];
    for flags in plain.iter().filter(|_| kept_in).chain(&["--new-session", "--new-session --as-root"]) {
        for (signal, number) in [("KILL", 9), ("TERM", 15), ("HUP", 1)] {
            // The allowed twin: one's own process is in that group, and can be ended.
            let out =
                beside_a_sleeper(flags, &format!("kill '{signal}', 0; select undef, undef, undef, 0.2; print \"alive\\n\""));
            let own = if flags.contains("--init none") { "alive\nstatus 0".into() } else { format!("status {}", 128 + number) };
            assert_eq!(out.out, format!("{own}\nsleeper S\n\"event\":\"end\"\n"), "{flags} {signal}: {}", out.err);
        }
        // -1 is everyone that one may signal.
        let out = beside_a_sleeper(
            flags,
            "$SIG{CHLD} = 'IGNORE'; unless (fork) { sleep 1000 } select undef, undef, undef, 0.1; print kill('KILL', -1), \"\\n\"",
        );
        assert_eq!(out.out, "1\nstatus 0\nsleeper S\n\"event\":\"end\"\n", "{flags}: {}", out.err);
        if flags.contains("--new-session") {
            // The command leads its session and cannot leave its group.
            continue;
        }
        // A stop would reach the command, too, and by it the launcher, as it should; so the
        // command leaves the group and has a child in it that sends. It kills the child
        // before it ends: else the kernel would hang the group up.
        let stop = "$child = fork;
unless ($child) { select undef, undef, undef, 0.2; kill 'STOP', 0; exit }
setpgrp 0, 0;
for (1 .. 200) { open F, qq(/proc/$child/stat); ($state) = <F> =~ /\\) (.)/; last if $state eq 'T'; select undef, undef, undef, 0.01 }
print qq(the child is $state\\n);
kill 'KILL', $child; waitpid $child, 0";
        let out = beside_a_sleeper(flags, stop);
        assert_eq!(out.out, "the child is T\nstatus 0\nsleeper S\n\"event\":\"end\"\n", "{flags}: {}", out.err);
    }
}

#[test]
fn a_session_of_its_own_keeps_the_kernels_hang_up_from_the_callers_group() {
    // A process group is orphaned where no job-control shell is above it, as in CI. A
    // child of the jail's in that group, whose parent has another, makes it one that is
    // not; when the parent ends while the child is stopped, the kernel sends SIGHUP and
    // SIGCONT to the whole group, and no Landlock is asked. The manual says so.
    let hang_up = "unless (fork) {
    unless (fork) { kill 'STOP', $$; sleep 1000; exit }
    setpgrp 0, 0; select undef, undef, undef, 0.2; exit
}
$SIG{HUP} = 'IGNORE'; sleep 1; print qq(the command lives\\n)";
    for flags in ["--new-session", "--new-session --as-root", "--new-session --init none"] {
        let out = beside_a_sleeper(flags, hang_up);
        assert!(out.out.ends_with("sleeper S\n\"event\":\"end\"\n"), "{flags}: {out:?}");
    }
}
