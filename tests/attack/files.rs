//! Files: what is read-only, hidden or not there. That Landlock holds alone is in
//! tests/landlock.rs, links of hostile trees in tests/tree.rs and launch.rs, what the
//! flags give in tests/files.rs.

use crate::kit::*;
use crate::support::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Every way to change a file, `f`, or its directory, `d`.
const CHANGES: &str = r#"
def opened(path, flags):
    file = os.open(path, os.O_RDONLY)
    return os.open(f'/proc/self/fd/{file}', flags)
def shared(path):
    file = os.open(path, os.O_RDWR)
    mmap.mmap(file, 1, mmap.MAP_SHARED)[0] = 120
def protected(path, flags):
    file = os.open(path, flags)
    libc.mmap.restype = ctypes.c_void_p
    at = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, file, ctypes.c_long(0))
    call('mprotect', ctypes.c_void_p(at), 4096, 3)
def flagged(path):
    fcntl.ioctl(os.open(path, os.O_RDONLY), 0x40086602, struct.pack('l', 0))
def bound(path): socket.socket(socket.AF_UNIX).bind(path)
CHANGES = {
    'open': lambda f, d: os.open(f, os.O_WRONLY),
    'append': lambda f, d: os.open(f, os.O_WRONLY | os.O_APPEND),
    'truncate': lambda f, d: os.truncate(f, 1),
    'anew': lambda f, d: opened(f, os.O_RDWR),
    'by root': lambda f, d: os.open('/proc/self/root' + f, os.O_RDWR),
    'by root of another': lambda f, d: os.open('/proc/%d/root' % child() + f, os.O_RDWR),
    'map': lambda f, d: shared(f),
    'protect': lambda f, d: protected(f, os.O_RDONLY),
    'mode': lambda f, d: os.chmod(f, 0o666),
    'mode by descriptor': lambda f, d: os.fchmod(os.open(f, os.O_RDONLY), 0o666),
    'owner': lambda f, d: os.chown(f, os.getuid(), os.getgid()),
    'times': lambda f, d: os.utime(f),
    'attribute': lambda f, d: os.setxattr(f, 'user.x', b'y'),
    'flags': lambda f, d: flagged(f),
    'create': lambda f, d: os.open(d + '/new', os.O_CREAT | os.O_WRONLY),
    'unnamed': lambda f, d: os.open(d, os.O_TMPFILE | os.O_WRONLY),
    'directory': lambda f, d: os.mkdir(d + '/newdir'),
    'link': lambda f, d: os.symlink('x', d + '/newlink'),
    'fifo': lambda f, d: os.mkfifo(d + '/newfifo'),
    'socket': lambda f, d: bound(d + '/newsocket'),
    'hard link': lambda f, d: os.link(f, d + '/newname'),
    'hard link away': lambda f, d: os.link(f, W + '/kept'),
    'move away': lambda f, d: os.rename(f, W + '/moved'),
    'move in': lambda f, d: os.rename(W + '/mine', d + '/mine'),
    'exchange': lambda f, d: call('renameat2', -100, f.encode(), -100, (W + '/mine').encode(), 2),
    'remove': lambda f, d: os.unlink(f),
}
def change(name, f): return CHANGES[name](f, os.path.dirname(f))
"#;

const NAMES: [&str; 26] = [
    "open",
    "append",
    "truncate",
    "anew",
    "by root",
    "by root of another",
    "map",
    "protect",
    "mode",
    "mode by descriptor",
    "owner",
    "times",
    "attribute",
    "flags",
    "create",
    "unnamed",
    "directory",
    "link",
    "fifo",
    "socket",
    "hard link",
    "hard link away",
    "move away",
    "move in",
    "exchange",
    "remove",
];

#[test]
fn what_is_read_only_is_changed_in_no_way() {
    let s = Scratch::new();
    let place = s.0.display();
    let kit = Kit::with(&format!("{CHANGES}\nW = '{place}/own'"));
    let refused = "EROFS|EACCES|EPERM|ETXTBSY|EXDEV";
    for flags in ["", "--as-root", "--as-root --cap sys_admin --cap dac_read_search", "--landlock none", "--seccomp none"] {
        // As /usr is root's, so is there a file of the caller's.
        for (path, flag) in [("/usr/bin/env", ""), ("/etc/passwd", ""), ("PLACE/ro/f", "--ro"), ("PLACE/own/ro/f", "--ro")] {
            let _ = fs::remove_dir_all(s.0.join("own"));
            s.file("ro/f", "as it was");
            s.file("own/ro/f", "as it was");
            s.file("own/mine", "mine");
            let path = path.replace("PLACE", s.0.to_str().unwrap());
            let flag = if flag.is_empty() { String::new() } else { format!("--ro {}", path.trim_end_matches("/f")) };
            let attempts = NAMES.map(|name| format!("change('{name}', '{path}')"));
            kit.inside(
                &format!("{flags} {flag} --rw {place}/own"),
                &attempts.each_ref().map(|attempt| (attempt.as_str(), refused)),
            );
            assert_eq!(fs::read_to_string(s.0.join("ro/f")).unwrap(), "as it was", "{flags}");
            assert_eq!(fs::read_to_string(s.0.join("own/ro/f")).unwrap(), "as it was", "{flags}");
            assert_eq!(fs::read_dir(s.0.join("ro")).unwrap().count(), 1, "{flags}");
            assert_eq!(fs::metadata(s.0.join("ro/f")).unwrap().permissions().mode() & 0o777, 0o644, "{flags}");
        }
    }
    // The allowed twin: what is writable is changed in every one.
    s.file("own/w/f", "as it was");
    let f = s.0.join("own/w/f");
    let attempts = NAMES.map(|name| format!("change('{name}', '{}')", f.display()));
    let works = |attempt: &str| match attempt {
        // The file is gone then, and not all file systems have such flags.
        // Of a descriptor that is open for reading.
        _ if attempt.contains("'protect'") => "EACCES",
        _ if attempt.contains("'exchange'") || attempt.contains("'remove'") => "ENOENT|done",
        _ if attempt.contains("'flags'") || attempt.contains("'attribute'") || attempt.contains("'unnamed'") => {
            "done|ENOTTY|EOPNOTSUPP|EPERM"
        }
        _ => "done",
    };
    kit.inside(&format!("--rw {place}/own"), &attempts.each_ref().map(|attempt| (attempt.as_str(), works(attempt))));
}

#[test]
fn no_link_leads_from_a_read_only_place_to_a_writable_one() {
    // One file system, two binds.
    let s = Scratch::new();
    s.file("ro/f", "as it was");
    s.file("rw/g", "x");
    let script =
        "ln ../ro/f kept; mv ../ro/f moved 2>&1; rm -f moved; ln -L /proc/self/fd/3 kept 3< ../ro/f; ls; ln g h && mv h i && ls";
    let out = sh_in(&s.0.join("rw"), &format!("--rw . --ro {}", s.0.join("ro").display()), script);
    assert_eq!(out.good().lines().skip(1).collect::<Vec<_>>(), ["g", "g", "i"], "mv copied, and did not remove: {out:?}");
    assert_eq!(fs::read_to_string(s.0.join("ro/f")).unwrap(), "as it was");
}

#[test]
fn a_set_user_id_program_sets_nothing() {
    if !we_are_root() {
        return skip("this needs root, to make one of root's");
    }
    let s = Scratch::new();
    s.file("who.c", "#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf(\"%d\\n\", geteuid()); return 0; }\n");
    assert!(Command::new("gcc").args(["-o", "who", "who.c"]).current_dir(&s.0).status().unwrap().success());
    std::os::unix::fs::chown(s.0.join("who"), Some(0), Some(0)).unwrap();
    fs::set_permissions(s.0.join("who"), fs::Permissions::from_mode(0o6755)).unwrap();
    assert_eq!(outcome(command(&s.0.join("who"), &s.0, false)).good(), "0", "outside it does");
    for (flags, id) in [("", USER), ("--uid 7", 7), ("--as-root", 0), ("--nested", USER)] {
        let inside = sh_in(&s.0, &format!("{flags} --rw ."), "./who; unshare -Ur true 2>/dev/null && unshare -U ./who; true");
        assert!(inside.good().starts_with(&id.to_string()), "{flags}: {inside:?}");
        // In a namespace of its own neither: 65534 is who has no name there.
        assert!(inside.out.lines().skip(1).all(|line| line == "65534"), "{flags}: {inside:?}");
    }
    // A copy made inside does not get the bits; from a jailed root it does, and is the
    // caller's outside.
    let copied = sh_in(&s.0, "--rw .", "cp who mine; chmod 6755 mine 2>/dev/null || echo refused; ./mine");
    assert_eq!(copied.good(), format!("refused\n{USER}"));
    assert_eq!(sh_in(&s.0, "--as-root --rw .", "chmod 6755 mine; ./mine").good(), "0");
    let mine = fs::metadata(s.0.join("mine")).unwrap();
    assert_eq!((std::os::unix::fs::MetadataExt::uid(&mine), mine.permissions().mode() & 0o7777), (USER, 0o6755));
}

#[test]
fn proc_leads_nowhere_and_gives_nothing_back() {
    let kit = Kit::new();
    for flags in ["", "--as-root", "--as-root --cap sys_admin", "--nested"] {
        kit.inside(
            flags,
            &[
                // Walking up ends where it began.
                ("str(os.stat('/proc/self/root/../..').st_ino == os.stat('/').st_ino)", "True"),
                ("str('home' in os.listdir('/proc/self/root/..') and os.path.exists('/proc/self/cwd/../../../root'))", "False"),
                // The ids that it has are those that it keeps.
                ("write('/proc/self/uid_map', b'0 0 1')", "EPERM"),
                ("write('/proc/self/gid_map', b'0 0 1')", "EPERM"),
                ("write('/proc/self/setgroups', b'allow')", "EPERM|EACCES"),
                ("write('/proc/self/oom_score_adj', b'-1000')", "EACCES"),
                // Its own program is not its own to write.
                ("write('/proc/self/exe')", "EROFS|EACCES|ETXTBSY"),
                ("write('/proc/1/root/etc/passwd')", "EACCES|EPERM"),
                // The allowed twins.
                ("write('/proc/self/oom_score_adj', b'500')", "done"),
                ("text('/proc/self/exe')", "read"),
                ("write('/proc/self/comm', b'renamed')", "done"),
                ("str(os.readlink('/proc/self/root'))", "/"),
            ],
        );
    }
    // A descriptor kept from before a change of root leads no further than the jail.
    let kit = Kit::with(
        "def walk():
    top = os.open('/', os.O_RDONLY); os.mkdir('/tmp/d'); os.chroot('/tmp/d'); os.fchdir(top)
    for _ in range(9): os.chdir('..')
    os.chroot('.'); return ' '.join(sorted(os.listdir('/')))",
    );
    kit.inside(
        "--as-root",
        &[("walk()", sh("--as-root --dir /kit.py", "ls / | LC_ALL=C sort | xargs").good()), ("str(os.getuid())", "0")],
    );
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
