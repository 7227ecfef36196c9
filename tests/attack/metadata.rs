//! Modes and other metadata of files: no set-user-ID file is made, no device is left
//! behind, the host's devices keep their modes, and what the kernel does with a crash.
//! That crash is in tests/kernels.rs, the arguments one by one in src/seccomp/policy/bpf/tests.rs.

use crate::kit::*;
use crate::pty::Person;
use crate::support::*;
use crate::table::{Arch, find};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const HERE: Arch = if cfg!(target_arch = "x86_64") { Arch::X86_64 } else { Arch::Aarch64 };

/// Words for attempts in the directory D: a name that nothing has, a file, a descriptor.
const FILES: &str = r#"
made = 0
def new():
    global made; made += 1
    return f'{D}/{os.getpid()}-{made}'.encode()
def old():
    path = new(); open(path, 'w').close(); return path
def fd(): return os.open(old(), os.O_RDWR)
def how(mode): return struct.pack('QQQ', os.O_CREAT | os.O_WRONLY, mode, 0)
def tmpfile(at, mode):
    flags = os.O_TMPFILE | os.O_RDWR
    return call('openat', -100, at, flags, mode) if mode is not None else call('openat', -100, at, flags)
"#;

fn kit(dir: &Path) -> Kit {
    Kit::with(&format!("D = {dir:?}\n{FILES}"))
}

/// Each call that gives a file a mode, with MODE in it.
const CALLS: &[(&str, &str)] = &[
    ("chmod", "call('chmod', old(), MODE)"),
    ("fchmod", "call('fchmod', fd(), MODE)"),
    ("fchmodat", "call('fchmodat', -100, old(), MODE)"),
    ("fchmodat2", "call('fchmodat2', -100, old(), MODE, 0)"),
    ("fchmodat2", "call('fchmodat2', fd(), b'', MODE, 0x1000)"),
    ("open", "call('open', new(), os.O_CREAT | os.O_WRONLY, MODE)"),
    ("open", "call('open', D.encode(), os.O_TMPFILE | os.O_RDWR, MODE)"),
    ("openat", "call('openat', -100, new(), os.O_CREAT | os.O_EXCL | os.O_RDWR, MODE)"),
    ("openat", "call('openat', -100, D.encode(), os.O_TMPFILE | os.O_RDWR, MODE)"),
    ("creat", "call('creat', new(), MODE)"),
    ("mknod", "call('mknod', new(), 0o100000 | MODE, 0)"),
    ("mknod", "call('mknod', new(), 0o010000 | MODE, 0)"),
    ("mknodat", "call('mknodat', -100, new(), 0o100000 | MODE, 0)"),
    ("mkdir", "call('mkdir', new(), MODE)"),
    ("mkdirat", "call('mkdirat', -100, new(), MODE)"),
];

/// The attempts that this machine and its kernel have, with `mode`.
fn attempts(mode: &str) -> Vec<String> {
    let here = CALLS.iter().filter(|(name, _)| find(name).unwrap().number(HERE).is_some());
    here.map(|(_, attempt)| attempt.replace("MODE", mode)).collect()
}

/// Each of them with what it is to give, or ENOSYS where the kernel may lack the call.
fn all<'a>(attempts: &'a [String], expected: &'a str) -> Vec<Case<'a>> {
    let case = |attempt: &'a String| match expected {
        // It came with Linux 6.6. Refused it is without the kernel.
        "done" if attempt.contains("fchmodat2") => (attempt.as_str(), "done|ENOSYS"),
        expected => (attempt.as_str(), expected),
    };
    attempts.iter().map(case).collect()
}

/// How many entries of `dir` are set-user-ID; removes them all.
fn set_user_id(dir: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        count += usize::from(entry.metadata().unwrap().permissions().mode() & 0o4000 != 0);
        if entry.file_type().unwrap().is_dir() { fs::remove_dir(entry.path()) } else { fs::remove_file(entry.path()) }.unwrap();
    }
    count
}

#[test]
fn no_call_makes_a_set_user_id_file() {
    let s = Scratch::new();
    let rw = s.dir("rw");
    let kit = kit(&rw);
    let bits = ["0o4000", "0o4755", "0o6755", "0o7777", "1 << 32 | 0o4711"];
    let with: Vec<String> = bits.iter().flat_map(|mode| attempts(mode)).collect();
    let without: Vec<String> = ["0o755", "0o1777", "0o2755"].iter().flat_map(|mode| attempts(mode)).collect();
    let refused = all(&with, "EPERM");
    let made = all(&without, "done");
    // What is no set-user-ID file outside either would show nothing.
    kit.outside(&all(&attempts("0o4755"), "done"));
    assert!(set_user_id(&rw) >= 7);
    let place = format!("--rw {}", rw.display());
    for flags in ["", "--nested", "--cap fowner --cap sys_admin --net host --pid host", "--landlock none"] {
        kit.inside(&format!("{place} {flags}"), &refused);
        assert_eq!(set_user_id(&rw), 0, "{flags}");
        kit.inside(&format!("{place} {flags}"), &made);
        set_user_id(&rw);
    }
    // Nor in memory of the jail's own, where a process of another jail might look.
    let memory = Kit::with(&format!("D = '/tmp'\n{FILES}"));
    memory.inside("", &refused);
    memory.inside("", &made);
    // The allowed twins: flags that say so.
    let calls = ["chmod", "fchmod", "fchmodat", "fchmodat2", "open", "openat", "creat", "mknod", "mknodat", "mkdir", "mkdirat"];
    let calls = calls.iter().filter(|name| find(name).unwrap().number(HERE).is_some());
    let by_name: Vec<String> = calls.map(|name| format!("--allow-syscall {name}")).collect();
    let by_name = by_name.join(" ");
    for flags in ["--as-root", "--fakeroot", "--as-root --nested", "--allow-syscall @file-system", &by_name, "--seccomp none"] {
        let with = attempts("0o4755");
        kit.inside(&format!("{place} {flags}"), &all(&with, "done"));
        assert!(set_user_id(&rw) >= 7, "{flags}");
    }
    kit.inside(
        &format!("{place} --allow-syscall chmod"),
        &[("os.chmod(old(), 0o4755)", "done"), ("os.fchmod(fd(), 0o4755)", "EPERM")],
    );
}

#[test]
fn a_mode_that_no_filter_sees_is_not_given() {
    let s = Scratch::new();
    let rw = s.dir("rw");
    let kit = kit(&rw);
    let attempts =
        [("call('openat2', -100, new(), how(0o4755), 24)", "done"), ("call('openat2', -100, new(), how(0o755), 24)", "done")];
    kit.outside(&attempts);
    assert_eq!(set_user_id(&rw), 1);
    // ENOSYS, so that libraries use openat(2).
    kit.inside(&format!("--rw {}", rw.display()), &attempts.map(|(attempt, _)| (attempt, "ENOSYS")));
    assert_eq!(set_user_id(&rw), 0);
    // A jail inside needs it, and so do container programs.
    for flags in ["--nested", "--as-root", "--fakeroot", "--allow-syscall openat2"] {
        kit.inside(&format!("--rw {} {flags}", rw.display()), &attempts);
        assert_eq!(set_user_id(&rw), 1, "{flags}");
    }
}

#[test]
fn subordinate_roots_make_set_user_id_files() {
    let s = Scratch::new();
    let script = "as_user jail --subids --rw . -- sh -c 'touch f && chmod 4755 f && stat -c %a f'";
    if let Some(out) = Etc::new(&s).run(script) {
        assert_eq!(out.good(), "4755");
    }
}

/// What SECURITY.md says is open, and its twin: after a write(2) the bit is gone.
#[test]
fn a_set_user_id_file_keeps_the_bit_only_through_a_memory_map() {
    let s = Scratch::new();
    let script = "import mmap, os
f = os.open('id', os.O_RDWR)
mmap.mmap(f, 0)[0:2] = b'#!'
print(oct(os.fstat(f).st_mode), os.pread(f, 2, 0))
os.pwrite(f, b'#', 0)
print(oct(os.fstat(f).st_mode))";
    let run = format!("mkdir rwd; cd rwd; cp /usr/bin/id .; chmod 4755 id; jail --rw . -- python3 -c \"{script}\"");
    assert_eq!(outside_in(&s.0, false, &run).good(), "0o104755 b'#!'\n0o100755");
}

#[test]
fn a_stream_is_not_made_a_set_user_id_program() {
    let s = Scratch::new();
    // No flag: the file behind standard output, and one in a writable directory.
    let script = "jail -- sh -c 'cat /usr/bin/id; chmod 4755 /proc/self/fd/1; chmod u+s /proc/self/fd/1' >out; stat -c %a out; \
                  mkdir rwd; cd rwd; jail --rw . -- sh -c 'cp /usr/bin/id id; chmod 4755 id || exit 3'; echo $?; stat -c %a id";
    let out = outside_in(&s.0, false, &format!("umask 22; {script}"));
    assert_eq!(out.out, "644\n3\n755\n", "{out:#?}");
    assert_eq!(out.err.matches("Operation not permitted").count(), 3, "{out:#?}");
    // What the documents say is open: another mode, other times, attributes of a file
    // that is the caller's own.
    s.file("data", "secret");
    fs::set_permissions(s.0.join("data"), PermissionsExt::from_mode(0o600)).unwrap();
    let out = outside_in(
        &s.0,
        false,
        "jail -- python3 -c 'import os; os.fchmod(0, 0o640); os.utime(0, (1, 1))' <data; stat -c '%a %Y' data",
    );
    assert_eq!(out.good(), "640 1");
}

#[test]
fn programs_that_set_modes_work() {
    let s = Scratch::new();
    let script = "umask 22; git init -q --shared g && test -g g/.git/objects && mkdir -m 2775 d && cp -a d e && test -g e \
                  && install -m 2755 /bin/true t && tar cpf d.tar d g && mkdir x && tar xpf d.tar -C x && test -g x/d \
                  && chmod -R 755 d && python3 -c 'import shutil; shutil.copytree(\"g\", \"h\")' \
                  && tar cf s.tar --mode=u+s t && tar xf s.tar && stat -c %a t && echo all";
    let out = sh_in(&s.0, "--rw .", script);
    assert_eq!(out.good(), "755\nall", "{out:#?}");
}

#[test]
fn a_refused_mode_is_told_with_the_flag_that_allows_it() {
    let s = Scratch::new();
    s.file("f", "");
    let out = sh_in(&s.0, "--trace-denied --rw .", "chmod u+s f; true");
    let expected = "was refused fchmodat(set-user-ID) (EPERM): --allow-syscall fchmodat lets it through to the kernel";
    assert!(out.err.contains(expected), "{out:#?}");
    assert!(sh_in(&s.0, "--allow-syscall fchmodat --rw .", "chmod u+s f && test -u f").status == 0);
}

#[test]
fn a_terminal_of_the_jails_own_keeps_the_callers_mode() {
    let s = Scratch::new();
    let mut person = Person::at_a_shell(&s.0);
    let change = "python3 -c 'import os; os.fchmod(0, 0o666)'";
    // The test made it: a terminal is its user's.
    s.give(Path::new(person.asks("tty").trim()));
    let before = person.asks("stat -c %a $(tty)");
    person.asks(&format!("jail --pty -- {change}"));
    assert_eq!(person.asks("stat -c %a $(tty)"), before);
    // And what is shared is shared, as the documents say.
    person.asks(&format!("jail -- {change}"));
    assert_eq!(person.asks("stat -c %a $(tty)").trim(), "666");
}

/// Has the rest of the script see a /dev of its own, whose nodes may come to harm.
const OWN_DEV: &str = "set -e; mount -t tmpfs -o mode=755 dev /mnt
    node() { mknod -m 666 /mnt/$1 c $2 $3; }
    node null 1 3; node zero 1 5; node full 1 7; node random 1 8; node urandom 1 9; node tty 5 0
    mkdir /mnt/pts /mnt/shm; ln -s /proc/self/fd /mnt/fd; mount --bind /mnt /dev; set +e
    modes() { stat -c '%n %a' /dev/null /dev/zero /dev/full /dev/urandom | grep -v ' 666$'; chmod 666 /dev/null /dev/zero /dev/full; }
";

/// Runs `script` as root in a mount namespace with that /dev; `jail` is in PATH.
fn with_own_dev(s: &Scratch, script: &str) -> Option<Outcome> {
    if !we_are_root() {
        skip("this needs root");
        return None;
    }
    let mut shell = command(Path::new("/usr/bin/unshare"), &s.0, true);
    shell.args(["-m", "--propagation", "private", "sh", "-c", &format!("{OWN_DEV}{script}")]);
    shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", jail().parent().unwrap().display()));
    Some(outcome(shell))
}

#[test]
fn a_root_callers_devices_keep_their_modes() {
    let s = Scratch::new();
    s.tree("t");
    let change = "busybox chmod 600 /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; \
                  busybox touch -d 2001-01-01 /proc/self/fd/1; busybox setfattr 2>&1; true";
    for flags in [
        "",
        "--dev none",
        "--hide /dev/null --hide /dev/zero",
        "--root t",
        "--root /",
        "--as-root",
        "--nested",
        "--as-root --cap sys_admin",
        "--landlock none --seccomp none",
        "--uid 7 --gid 8",
        "--init none",
        "--pid host",
    ] {
        let script = format!(
            "jail {flags} -- /bin/sh -c '{change}' </dev/null >/dev/null 2>&1 || echo failed; \
             jail {flags} -- /bin/sh -c '{change}' </dev/zero >/dev/full 2>/dev/null || echo failed; \
             jail {flags} --fd 5 -- /bin/sh -c 'busybox chmod 600 /proc/self/fd/5' 5<>/dev/null >s 2>&1 && echo changed; \
             modes; stat -c %Y /dev/null | grep ^9783; echo done"
        );
        let Some(out) = with_own_dev(&s, &script) else { return };
        assert_eq!(out.good(), "done", "{flags}: {out:#?}");
    }
    // The attempt is not in vain: root outside can.
    let out = with_own_dev(&s, &format!("sh -c '{change}' </dev/null >/dev/null 2>&1; modes; echo done")).unwrap();
    assert_eq!(out.good(), "/dev/null 600\ndone");
}

#[test]
fn a_root_callers_devices_work_as_before() {
    let s = Scratch::new();
    let script = "jail -- sh -c 'cat; echo out; echo err >&2' </dev/null
        jail -- head -c 5 </dev/zero | od -An -c
        jail -- sh -c 'echo x; echo $? >&2' >/dev/full 2>e; tail -n 1 e
        jail -- sh -c 'echo x && exit 4' >/dev/null; echo $?
        jail -- sh -c 'echo x >&0' 0<>/dev/null; echo $?
        jail -- cat >/dev/null <&1; echo $?
        jail --explain -- true </dev/null | grep 'descriptor . is'
        jail --dev none --explain -- true </dev/null | grep 'descriptor . is'
        jail -- readlink /proc/self/fd/0 </dev/null
        jail --dev none -- sh -c 'exec 3</proc/self/fd/0 && echo opened again' </dev/null";
    let Some(out) = with_own_dev(&s, script) else { return };
    assert_eq!(out.status, 0, "{out:#?}");
    let lines: Vec<&str> = out.out.lines().map(str::trim).collect();
    assert_eq!(lines[..2], ["out", "\\0  \\0  \\0  \\0  \\0"], "{out:#?}");
    assert_eq!(lines[2..6], ["1", "4", "0", "1"], "{out:#?}");
    let explained = ["descriptor 0 is the jail's own /dev/null", "descriptor 0 is /dev/null by a read-only mount"];
    assert_eq!(lines[6..8], explained, "{out:#?}");
    assert_eq!(lines[8..], ["/dev/null", "opened again"], "{out:#?}");
}

#[test]
fn an_ordinary_users_streams_are_as_they_were() {
    // Its own node is what it was given: /dev/null is root's, and cannot be changed.
    let explained = outside_in(Path::new("/"), false, "jail --explain -- true </dev/null");
    assert!(!explained.good().contains("read-only mount"), "{explained:#?}");
    let out = outside_in(Path::new("/"), false, "jail -- sh -c 'chmod 600 /proc/self/fd/0' </dev/null");
    assert!(out.status != 0 && out.err.contains("not permitted"), "{out:#?}");
}

#[test]
fn a_whiteout_leaves_no_device() {
    let s = Scratch::new();
    let rw = s.dir("rw");
    let kit = kit(&rw);
    let rename = |flags: u32| format!("call('renameat2', -100, old(), -100, new(), {flags})");
    let (plain, whiteout, both) = (rename(1), rename(4), rename(5));
    let made = "call('mknodat', -100, new(), 0o020644, 0)";
    kit.outside(&[(made, "done")]);
    // Some file systems have none.
    kit.outside(&[(&whiteout, "done|EINVAL")]);
    let devices = |remove: bool| {
        let count = fs::read_dir(&rw).unwrap().map(Result::unwrap).filter(|entry| {
            use std::os::unix::fs::FileTypeExt;
            entry.file_type().unwrap().is_char_device()
        });
        let count = count.count();
        if remove {
            fs::read_dir(&rw).unwrap().for_each(|entry| fs::remove_file(entry.unwrap().path()).unwrap());
        }
        count
    };
    devices(true);
    for flags in ["", "--as-root", "--fakeroot", "--nested", "--as-root --nested", "--cap sys_admin", "--landlock none"] {
        kit.inside(&format!("--rw {} {flags}", rw.display()), &[(&whiteout, "EINVAL"), (&both, "EINVAL"), (&plain, "done")]);
        // A file system in user space makes its whiteouts so, which takes a mount.
        if !flags.contains("--nested") {
            kit.inside(
                &format!("--rw {} {flags}", rw.display()),
                &[(made, if flags == "--fakeroot" { "done" } else { "EPERM" })],
            );
        }
        assert_eq!(devices(true), 0, "{flags}");
    }
}

#[test]
fn the_core_limit_is_one_and_stays() {
    let kit = Kit::with(
        "import resource\n\
         CORE = resource.RLIMIT_CORE\n\
         def now(resource_=CORE): return str(resource.getrlimit(resource_))\n\
         def pair(soft, hard): return struct.pack('QQ', soft, hard)\n\
         def both(new): return call('prlimit64', 0, CORE, new, ctypes.create_string_buffer(16))\n",
    );
    let closed = [
        ("now()", "(1, 1)"),
        // Programs that guard secrets end where this fails: GnuPG, ssh-agent.
        ("resource.setrlimit(CORE, (0, 0))", "done"),
        ("call('setrlimit', CORE, pair(0, 0))", "done"),
        ("call('prlimit64', 0, CORE, pair(0, 0), None)", "done"),
        ("call('prlimit64', os.getpid(), 1 << 32 | CORE, pair(0, 1), None)", "done"),
        ("both(pair(0, 0))", "EPERM"),
        ("both(pair(0, 1))", "EPERM"),
        ("now()", "(1, 1)"),
        // The allowed twins: reading it, and other limits.
        ("both(None)", "done"),
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))", "done"),
        ("now(resource.RLIMIT_NOFILE)", "(99, 99)"),
    ];
    for flags in ["", "--nested", "--as-root", "--fakeroot", "--as-root --cap sys_resource --nested", "--rlimit nofile=100"] {
        kit.inside(flags, &closed);
    }
    kit.inside("--rlimit core=0:7", &[("now()", "(0, 7)"), ("resource.setrlimit(CORE, (5, 6))", "done"), ("now()", "(5, 6)")]);
    for flags in ["--allow-syscall setrlimit --allow-syscall prlimit64", "--seccomp none"] {
        kit.inside(flags, &[("now()", "(1, 1)"), ("resource.setrlimit(CORE, (0, 0))", "done"), ("now()", "(0, 0)")]);
    }
    // A caller that cannot have 1: no file is written with 0, and only a core_pattern
    // program would be started.
    let piped = fs::read("/proc/sys/kernel/core_pattern").unwrap().starts_with(b"|");
    let out = outside_in(Path::new("/"), false, "ulimit -c 0; jail -- sh -c 'ulimit -c; ulimit -Hc'");
    if piped {
        out.refused(&["keep core dumps inside", "hard core limit is 0", "--rlimit core=0"]);
    } else {
        assert_eq!(out.good(), "0\n0");
    }
    assert_eq!(outside_in(Path::new("/"), false, "ulimit -c 0; jail --rlimit core=0 -- sh -c 'ulimit -c'").good(), "0");
}
