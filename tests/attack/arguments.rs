//! Random command lines. `jail` must end in time, by itself and without a crash. It must
//! say why it refuses. It must not run what `--explain` refuses.

use crate::random::{Random, is_usual, rounds};
use crate::support::*;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A launch takes some milliseconds, and 100 times as long on a busy machine.
const HANGS: Duration = Duration::from_secs(30);

#[rustfmt::skip]
const PATHS: &[&str] = &[
    "/", "/usr", "/etc", "/etc/hosts", "/tmp", "/tmp/x", "/proc", "/proc/self", "/proc/sys", "/proc/1", "/dev", "/dev/null",
    "/dev/shm", "/home/tester", "/home", "/run", "/x", "/x/y", "/x/y/z", ".", "..", "rw", "ro", "rw/a", "rw/a/b", "ro/f",
    "tree", "tree/etc", "loop", "letc", "fifo", "sock", "./rw/./a//b", "missing", "/nope/x", "/usr/..", "/usr/../etc", "",
    "\n", "\x1b[2J", LONG, "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", "rw\u{fffd}", "/bin", "/lib",
    "/bin/sh", "/bin/x", "/dev/tty", "/dev/pts", "/dev/fd", "/var", "/var/tmp", "/sys", "/root", "/opt",
];
#[rustfmt::skip]
const NUMBERS: &[&str] = &[
    "0", "1", "2", "3", "7", "9", "10", "255", "1004", "65534", "65535", "65536", "4294967295", "4294967296", "-1",
    "18446744073709551615", "18446744073709551616", "1.5", "0.0001", "1e9", "", "abc", "１", "1k", "1m", "1g", "1t",
    "99999999999t", "0k", "1s", "5ms", "0.01", "1h", "99999999h", "+1", " 1", "0x10",
];
#[rustfmt::skip]
const ENDPOINTS: &[&str] = &[
    "127.0.0.1:9", "localhost:9", "[::1]:9", "a.test:80=127.0.0.1:9", "a.test:80", "0.0.0.0:1", "[fe80::1]:1", "127.0.0.1:0",
    "127.0.0.1:65536", "127.1:80", "unix:sock", "unix:/tmp/s=unix:sock", "unix:", "unix:missing", "unix:/tmp/q=unix:fifo",
    "x:1=unix:sock", "*.a:1", "A_B.c:5=[::1]:9", "1.2.3.4:80", "[2001:db8::1]:1=127.0.0.1:9", "-a.b:1=127.0.0.1:1", "a..b:1",
    "é.test:1", "jail:80=127.0.0.1:9",
];
const ADDRESSES: &[&str] =
    &["0", "127.0.0.2:0:80", "127.0.0.2:0", "[::1]:0:80", "1:2:3:4", "65536", "127.0.0.9:0/udp", "0:80", "x:1"];
const SIZES: &[&str] = &["/mnt", "/x,size=1m", "/x,size=0", "/x,size=x", "/x,size=1t", "/tmp/x", "rw", "/", "/proc/x", "", ","];
#[rustfmt::skip]
const SECCOMP: &[&str] = &[
    "mount", "@keyring", "@mount", "bpf", "read", "nope", "socket", "ptrace", "getpid:ENOSYS", "@network-io", "execve",
    "write", "@process", "@file-system", "openat:ENOENT", "close", "sendmsg", "umask", "@sandbox", "exit_group", "prctl",
    "brk", "mmap",
];
/// What would have the kernel end the command at once (`stack=1`) is not here: this looks
/// like a fault of the launcher.
const LIMITS: &[&str] =
    &["nofile=64", "nofile=3", "as=10000000", "nproc=1", "core=0", "cpu=1", "fsize=0", "x=1", "nofile=10:5", "memlock=unlimited"];
const LONG: &str = concat!(
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
);
const PRIVATE: &[&str] = &["private", "none", "host"];

/// Each flag with the values that it gets: a list for each of its words.
#[rustfmt::skip]
const FLAGS: &[(&str, &[&[&str]])] = &[
    ("net", &[&["none", "host", "none", "host", "bad"]]),
    ("reach", &[ENDPOINTS]),
    ("publish", &[ADDRESSES]),
    ("pid", &[PRIVATE]),
    ("ipc", &[PRIVATE]),
    ("cgroup", &[PRIVATE]),
    ("proc", &[PRIVATE]),
    ("dev", &[PRIVATE]),
    ("tmp", &[PRIVATE]),
    ("run", &[PRIVATE]),
    ("home", &[PRIVATE]),
    ("hostname", &[&["a", "", LONG, "x\ny", "\u{fffd}", "a.b", "localhost"]]),
    ("uptime", &[NUMBERS]),
    ("uid", &[NUMBERS]),
    ("gid", &[NUMBERS]),
    ("as-root", &[]),
    ("subids", &[]),
    ("fakeroot", &[]),
    ("root", &[&["tree", "tree", "/", "rw", "missing", "loop", "letc", "/etc"]]),
    ("writable", &[]),
    ("ephemeral", &[]),
    ("overlay", &[&["delta", "delta", "tree", "tree/d", "rw", "/", "missing/x", "fifo", "."]]),
    ("ro", &[PATHS]),
    ("rw", &[PATHS]),
    ("ro-bind", &[PATHS, PATHS]),
    ("rw-bind", &[PATHS, PATHS]),
    ("ro-try", &[PATHS]),
    ("rw-try", &[PATHS]),
    ("ro-bind-try", &[PATHS, PATHS]),
    ("rw-bind-try", &[PATHS, PATHS]),
    ("tmpfs", &[SIZES]),
    ("dir", &[PATHS]),
    ("symlink", &[PATHS, PATHS]),
    ("file", &[&["0", "1", "5", "9", "77", "-1"], PATHS]),
    ("hide", &[PATHS]),
    ("hide-try", &[PATHS]),
    ("noexec", &[PATHS]),
    ("device", &[&["/dev/null", "/dev/zero", "/dev/kvm", "/dev/ptmx", "/dev/tty", "/etc"]]),
    ("device-try", &[&["/dev/null", "/dev/kvm", "/dev/x"]]),
    ("env", &[&["A=1", "HOME", "HOME=/x", "*", "LC_*", "=x", "A", "", "PATH=", "PATH=:", "A=\n", "?=1", "\u{fffd}=1"]]),
    ("fd", &[&["3", "5", "9", "77", "0", "-1"]]),
    ("chdir", &[PATHS]),
    ("umask", &[&["0", "022", "777", "1777", "8", "-1", ""]]),
    ("processors", &[&["1", "2", "3", "0", "-1"]]),
    ("args", &[&["ro/f", "flags", "missing", "/dev/null", "/dev/fd/5"]]),
    ("allow-syscall", &[SECCOMP]),
    ("deny-syscall", &[SECCOMP]),
    ("seccomp", &[&["none", "default"]]),
    ("landlock", &[&["none", "default"]]),
    ("connect", &[&["80", "0", "65536"]]),
    ("listen", &[&["80", "0"]]),
    ("degrade", &[&["net", "pid", "namespaces", "landlock,seccomp", "namespaces,root", "proc", "x"]]),
    ("nested", &[]),
    ("cap", &[&["sys_admin", "net_admin", "net_raw", "sys_ptrace", "sys_boot", "chown", "nope", "sys_resource", "dac_override", "mknod"]]),
    ("timeout", &[&["1", "0.2", "0", "5ms", "1h", "x"]]),
    ("grace", &[&["1", "0", "x"]]),
    ("rlimit", &[LIMITS]),
    ("memory", &[NUMBERS]),
    ("tasks", &[NUMBERS]),
    ("cpus", &[NUMBERS]),
    ("pty", &[]),
    ("new-session", &[]),
    ("init", &[&["none", "reaper"]]),
    ("trace-denied", &[]),
    ("status-fd", &[&["3", "5", "9", "2"]]),
];
/// These do something else than to run a command, or are made beside the others.
const APART: &[&str] = &["explain", "check", "diff", "version", "help"];
/// What stands where it has no meaning.
const STRAY: &[&str] = &["", "--", "-x", "--bogus", "\u{fffd}", "--help=1", "--args", "--diff", "--check=json", "-", "---"];
/// Variables of the environment, some of which libraries and `jail` read.
const VARIABLES: &[(&str, &[&str])] = &[
    ("PATH", &["", ":", ".", "/usr/bin:/bin", "/missing", "rw:/bin", "\u{fffd}:/bin", LONG]),
    ("HOME", &["", "/", "rw", "/home/tester", "/proc/self/cwd", "/missing/x", "letc", "\n", LONG, "/home/tester/../.."]),
    ("TERM", &["", "xterm", LONG]),
    ("TMPDIR", &["", "rw", "/missing"]),
    ("LANG", &["C", "xx\u{fffd}"]),
    ("LD_PRELOAD", &["/missing.so", ""]),
    ("LD_LIBRARY_PATH", &["rw", ""]),
    ("GLIBC_TUNABLES", &["glibc.malloc.check=3", "glibc.rtld.optional_static_tls=18446744073709551615", "x"]),
    ("MALLOC_TRACE", &["rw/trace"]),
    ("A", &["1", "", "\u{fffd}", LONG]),
    ("XDG_RUNTIME_DIR", &["/run/user/1", "rw", ""]),
];

/// U+FFFD stands for a byte that is no text.
fn bytes(text: &str) -> OsString {
    let mut bytes = Vec::new();
    for (at, part) in text.split('\u{fffd}').enumerate() {
        if at > 0 {
            bytes.push(0xff);
        }
        bytes.extend(part.as_bytes());
    }
    OsString::from_vec(bytes)
}

fn word(random: &mut Random, from: &[&str]) -> OsString {
    let text: &&str = random.pick(from);
    bytes(text)
}

/// What came of a run: the launcher's own status, or the signal that ended it.
#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    signal: Option<i32>,
    err: String,
}

/// Runs jail with `words`. Descriptor 5 is a file, and 9 is /dev/null.
fn ended(dir: &Path, words: &[OsString], variables: &[(&str, OsString)]) -> Ended {
    let mut shell = command(Path::new("/bin/sh"), dir, false);
    // The variables are for jail alone, and none of the shell's before it.
    shell.args(["-c", "exec 5< ro/f 9<> /dev/null; exec \"$@\"", "sh", "env", "-i"]);
    for (name, value) in variables {
        let mut variable = OsString::from(format!("{name}="));
        variable.push(value);
        shell.arg(variable);
    }
    shell.arg(jail()).args(words);
    let mut child = shell.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("start a shell");
    // Whoever holds standard error open when the launcher is gone is left over.
    let mut from = child.stderr.take().unwrap();
    let (done, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut err = Vec::new();
        let _ = from.read_to_end(&mut err);
        let _ = done.send(err);
    });
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait for jail") {
            break status;
        }
        if start.elapsed() > HANGS {
            let _ = child.kill();
            panic!("jail hangs: {words:?} {variables:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let err = said.recv_timeout(HANGS).unwrap_or_else(|_| panic!("standard error stays open: {words:?} {variables:?}"));
    Ended { status: status.code(), signal: status.signal(), err: String::from_utf8_lossy(&err).into_owned() }
}

/// What the paths above name. Each round has its own, for a round may change it.
fn place() -> Scratch {
    let s = Scratch::new();
    for dir in ["tree/proc", "tree/dev", "tree/tmp", "tree/run", "tree/usr", "tree/home", "rw/a/b", "ro"] {
        s.dir(dir);
    }
    for (link, target) in
        [("tree/bin", "usr/bin"), ("tree/lib", "usr/lib"), ("tree/lib64", "usr/lib64"), ("loop", "loop"), ("letc", "/etc")]
    {
        s.link(link, target);
    }
    s.file("tree/etc/hosts", "");
    s.file("ro/f", "x");
    s.file("flags", "--dir=/from-a-file\n--env=B=2\n");
    rustix::fs::mkfifoat(rustix::fs::CWD, s.0.join("fifo"), rustix::fs::Mode::from_raw_mode(0o666)).unwrap();
    std::os::unix::net::UnixListener::bind(s.0.join("sock")).unwrap();
    s
}

/// The flags of which `--help` knows and this file does not yet.
fn unknown() -> Vec<String> {
    let help = run(&["--help"]);
    let flags = help.good().lines().filter_map(|line| line.strip_prefix("  --"));
    let named = flags.map(|line| line.split([' ', '[']).next().unwrap().to_owned());
    named.filter(|name| !FLAGS.iter().any(|(flag, _)| flag == name) && !APART.contains(&name.as_str())).collect()
}

#[test]
fn random_command_lines_run_or_are_refused_with_a_reason() {
    let new = unknown();
    let (mut ran, mut refused) = (0, 0);
    let made = rounds("random command lines", 300, |random| {
        let s = place();
        let mut words: Vec<OsString> = Vec::new();
        for _ in 0..*random.pick(&[1, 1, 2, 2, 3, 4, 6, 9]) {
            let (flag, values) = *random.pick(FLAGS);
            let mut values: Vec<OsString> = values.iter().map(|list| word(random, list)).collect();
            if !values.is_empty() && random.chance(10) {
                let mut word = OsString::from(format!("--{flag}="));
                word.push(values.remove(0));
                words.push(word);
            } else {
                words.push(OsString::from(format!("--{flag}")));
            }
            words.extend(values);
        }
        if !new.is_empty() && random.chance(20) {
            words.push(OsString::from(format!("--{}={}", random.pick(&new), random.pick(PATHS))));
        }
        if random.chance(3) {
            let at = usize::try_from(random.below(words.len() as u64 + 1)).unwrap();
            words.insert(at, word(random, STRAY));
        }
        words.extend(["--", "/usr/bin/busybox", "true"].map(OsString::from));
        let mut variables = Vec::new();
        for (name, values) in VARIABLES {
            if random.chance(30) {
                variables.push((*name, word(random, values)));
            }
        }
        let explained = ended(&s.0, &[&[OsString::from("--explain")], &words[..]].concat(), &variables);
        let real = ended(&s.0, &words, &variables);
        let all = format!("{words:?} {variables:?}\nexplained: {explained:#?}\nrun: {real:#?}");
        for end in [&explained, &real] {
            assert_eq!(end.signal, None, "the launcher crashes: {all}");
            assert_ne!(end.status, Some(101), "the launcher panics: {all}");
            assert!(!end.err.contains("panicked") && !end.err.contains("as a bug"), "a bug: {all}");
            assert!(end.status != Some(125) || end.err.contains("jail: "), "refused without a reason: {all}");
        }
        assert!(!(explained.status == Some(125) && real.status == Some(0)), "refused by --explain, and runs: {all}");
        ran += u64::from(real.status == Some(0));
        refused += u64::from(real.status == Some(125));
    });
    // The lines are neither all good nor all senseless.
    assert!(!is_usual() || (ran > made / 20 && refused > made / 20), "of {made} lines {ran} ran, {refused} were refused");
}
