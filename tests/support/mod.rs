//! What the behavioural tests share: a jail started as an unprivileged user, and
//! a place on the host that is gone afterwards.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The user that the tests drive when they run as root: no name, no files.
pub const USER: u32 = 54321;

pub fn we_are_root() -> bool {
    // SAFETY-free way to ask: the owner of our own /proc directory.
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").expect("/proc").uid() == 0
}

/// A copy of the program where every user can execute it.
pub fn jail() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("jail-program-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("make a directory for the program");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("open it");
        let program = dir.join("jail");
        fs::copy(std::env::var_os("JAIL").unwrap_or(env!("CARGO_BIN_EXE_jail").into()), &program).expect("copy the program");
        program
    })
}

/// A directory of the user's on the host, removed at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("jail-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).expect("make a scratch directory");
        let scratch = Self(dir);
        scratch.give(&scratch.0);
        scratch
    }

    /// Makes `path` the user's.
    pub fn give(&self, path: &Path) {
        if we_are_root() {
            chown(path, Some(USER), Some(USER)).expect("chown");
        }
    }

    pub fn dir(&self, path: &str) -> PathBuf {
        let mut at = self.0.clone();
        for name in path.split('/') {
            at.push(name);
            if !at.exists() {
                fs::create_dir(&at).expect("make a directory");
                self.give(&at);
            }
        }
        at
    }

    pub fn file(&self, path: &str, content: &str) -> PathBuf {
        if let Some((dir, _)) = path.rsplit_once('/') {
            self.dir(dir);
        }
        let at = self.0.join(path);
        fs::write(&at, content).expect("write a file");
        self.give(&at);
        at
    }

    pub fn link(&self, path: &str, target: &str) {
        if let Some((dir, _)) = path.rsplit_once('/') {
            self.dir(dir);
        }
        std::os::unix::fs::symlink(target, self.0.join(path)).expect("make a link");
    }

    /// A tree with nothing but a static busybox and empty mount points.
    pub fn tree(&self, name: &str) -> PathBuf {
        for dir in ["bin", "proc", "dev", "tmp", "run"] {
            self.dir(&format!("{name}/{dir}"));
        }
        let busybox = self.0.join(name).join("bin/busybox");
        fs::copy("/bin/busybox", &busybox).expect("busybox-static is installed");
        self.give(&busybox);
        for applet in ["sh", "ls", "cat", "touch", "mkdir", "readlink", "stat", "mount", "umount", "id", "echo"] {
            self.link(&format!("{name}/bin/{applet}"), "busybox");
        }
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a run gave.
#[derive(Debug)]
pub struct Outcome {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0)),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Outcome {
    /// The command ended with 0; gives what it wrote, without the last newline.
    pub fn good(&self) -> &str {
        assert_eq!(self.status, 0, "{self:#?}");
        self.out.trim_end()
    }

    /// jail refused, and said all of `parts`.
    pub fn refused(&self, parts: &[&str]) {
        assert_eq!(self.status, 125, "{self:#?}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {self:#?}");
        }
    }
}

/// The children of `pid`, once there are no more than `count`: who made the network may
/// not be taken in yet.
pub fn children(pid: u32, count: usize) -> Vec<String> {
    let start = Instant::now();
    loop {
        let said = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("a process");
        let all: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
        if all.len() <= count || start.elapsed() > Duration::from_secs(5) {
            return all;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port of 127.0.0.1 on which nobody listens.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("listen").local_addr().expect("an address").port()
}

/// What of process `pid` is in memory, in kB.
pub fn resident(pid: impl std::fmt::Display) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("one that has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A command that runs `program` as the user (or, `as_root`, as we are), with a
/// known environment, in `dir`.
pub fn command(program: &Path, dir: &Path, as_root: bool) -> Command {
    let mut command = if we_are_root() && !as_root {
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={USER}")).arg(format!("--regid={USER}")).args(["--clear-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", "/home/tester")
        .env("SECRET", "hunter2");
    command.current_dir(dir).stdin(Stdio::null());
    command
}

pub fn outcome(mut command: Command) -> Outcome {
    command.output().expect("start the program").into()
}

/// Runs jail with `args` as the user, in `dir`.
pub fn run_in<S: AsRef<OsStr>>(dir: &Path, args: &[S]) -> Outcome {
    can_jail();
    let mut command = command(jail(), dir, false);
    command.args(args);
    outcome(command)
}

pub fn run<S: AsRef<OsStr>>(args: &[S]) -> Outcome {
    run_in(Path::new("/"), args)
}

/// Runs jail with `flags` and a shell script as the user, in `dir`.
pub fn sh_in(dir: &Path, flags: &str, script: &str) -> Outcome {
    let mut args: Vec<&str> = flags.split_whitespace().collect();
    args.extend(["--", "sh", "-c", script]);
    run_in(dir, &args)
}

pub fn sh(flags: &str, script: &str) -> Outcome {
    sh_in(Path::new("/"), flags, script)
}

/// The same as root; None, loudly, where we are not.
pub fn sh_as_root(dir: &Path, flags: &str, script: &str) -> Option<Outcome> {
    if !we_are_root() {
        skip("this needs root");
        return None;
    }
    let mut command = command(jail(), dir, true);
    command.args(flags.split_whitespace()).args(["--", "sh", "-c", script]);
    Some(outcome(command))
}

/// Runs a shell script outside any jail, as the user or, `as_root`, as we are. It finds
/// `jail` in PATH, and `as_user COMMAND...` in it runs a command as the user.
pub fn outside_in(dir: &Path, as_root: bool, script: &str) -> Outcome {
    can_jail();
    let user = if as_root { format!("setpriv --reuid={USER} --regid={USER} --clear-groups -- ") } else { String::new() };
    let mut shell = command(Path::new("/bin/sh"), dir, as_root);
    shell.args(["-c", &format!("as_user() {{ {user}\"$@\"; }}\n{script}")]);
    shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", jail().parent().unwrap().display()));
    outcome(shell)
}

/// Shell functions for root in a mount namespace of its own: `as_user COMMAND...` runs a
/// command as the user, and `over DIR` lets what lies in DIR be changed for this
/// namespace alone.
const APART: &str = r#"
as_user() { setpriv --reuid=$USER_ID --regid=$USER_ID --clear-groups -- "$@"; }
over() {
    mount -t tmpfs -o mode=755 over /mnt && mkdir /mnt/upper /mnt/work &&
    mount -t overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" over "$1" && umount -l /mnt
}
"#;

/// Runs a shell script as root in `dir`, with mounts and, where `unshare` says so, other
/// things of its own; it finds `jail` in PATH. None, loudly, where we are not root.
pub fn apart_command(dir: &Path, unshare: &str, script: &str) -> Option<Command> {
    can_jail();
    if !we_are_root() {
        skip("this needs root, who alone can change the system's directories");
        return None;
    }
    let mut shell = command(Path::new("/usr/bin/unshare"), dir, true);
    shell.args(["-m", "--propagation", "private"]).args(unshare.split_whitespace());
    shell.args(["sh", "-c", &format!("{APART}{script}")]).env("USER_ID", USER.to_string());
    shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", jail().parent().unwrap().display()));
    Some(shell)
}

pub fn apart(dir: &Path, script: &str) -> Option<Outcome> {
    apart_command(dir, "", script).map(outcome)
}

/// A launch that stands still once its plan is made and before anything is: it reads
/// a `--file 0` that has no end until `goes_on`.
pub struct Held {
    pub launcher: Child,
    pipe: OwnedFd,
}

impl Held {
    /// Starts one; `flags` say where `--file 0` goes.
    pub fn at(dir: &Path, flags: &str, script: &str) -> Self {
        can_jail();
        let (read, pipe) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("make a pipe");
        let mut command = command(jail(), dir, false);
        command.args(flags.split_whitespace()).args(["--", "sh", "-c", script]);
        command.stdin(Stdio::from(read)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut launcher = command.spawn().expect("start jail");
        rustix::io::write(&pipe, b"x").expect("write to the launcher");
        let start = Instant::now();
        while rustix::io::ioctl_fionread(&pipe).expect("ask the pipe") > 0 {
            if launcher.try_wait().expect("ask for the launcher").is_some() {
                panic!("{flags}: {:#?}", Outcome::from(launcher.wait_with_output().expect("wait for jail")));
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it does not read the file: {flags}");
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { launcher, pipe }
    }

    /// Lets it read the file's end.
    pub fn goes_on(self) -> Outcome {
        drop(self.pipe);
        Outcome::from(self.launcher.wait_with_output().expect("wait for jail"))
    }
}

/// Says that a test was not run; in CI that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "not run: {why}");
    // Not eprintln, of which the test runner prints nothing where a test passes.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIPPED: {why}\n").as_bytes());
}

/// What tests/prepare or tests/vm/prepare made; None, loudly, where it has not.
pub fn input(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("JAIL_TEST_INPUT").unwrap_or("/var/tmp/jail-test-input".into());
    let path = Path::new(&dir).join(name);
    if !path.exists() {
        skip(&format!("{} is missing: tests/run makes it, as root", path.display()));
        return None;
    }
    Some(path)
}

/// Boots a machine with Linux `version` ("6.1"), `files` in its / and the program as
/// /bin/jail, and gives what the shell script gave in it. The script is root;
/// `as-user COMMAND...` in it is the user. None, loudly, where it cannot be.
pub fn vm(version: &str, script: &str, files: &[&Path]) -> Option<Outcome> {
    let kernel = input(&format!("kernels/vmlinuz-{version}"))?;
    if Command::new("qemu-system-x86_64").arg("--version").stdout(Stdio::null()).status().is_err() {
        skip("qemu-system-x86_64 is missing");
        return None;
    }
    let s = Scratch::new();
    let script = s.file("script", &format!("#!/bin/sh\n{script}"));
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/run"));
    command.env("JAIL", jail()).arg(kernel).arg(script).args(files).stdin(Stdio::null());
    Some(outcome(command))
}

/// Fails with a plain reason where this machine lets no one be jailed.
fn can_jail() {
    static CHECKED: OnceLock<()> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let mut command = command(jail(), Path::new("/"), false);
        command.args(["--", "true"]);
        let outcome = outcome(command);
        assert_eq!(outcome.status, 0, "these tests need user namespaces for unprivileged users: {}", outcome.err);
    });
}

const RANGES: &str = "tester:100000:65536\n";

/// Everything that /etc has to say of the user; seen by one run alone.
pub struct Etc<'a> {
    pub s: &'a Scratch,
    pub passwd: &'a str,
    pub subuid: &'a str,
    pub subgid: &'a str,
}

impl<'a> Etc<'a> {
    pub fn new(s: &'a Scratch) -> Self {
        Self { s, passwd: "root:x:0:0::/:/bin/sh\ntester:x:54321:54321::/:/bin/sh\n", subuid: RANGES, subgid: RANGES }
    }

    /// A shell script that finds it so, as root: `as_user` in it runs a command as the
    /// user. None, loudly, where that cannot be.
    pub fn command(&self, script: &str) -> Option<Command> {
        if !we_are_root() {
            skip("this needs root, who alone gives subordinate ids");
            return None;
        }
        if !Path::new("/usr/bin/newuidmap").exists() {
            skip("newuidmap is missing");
            return None;
        }
        let mut binds = String::new();
        for (name, content) in [("passwd", self.passwd), ("subuid", self.subuid), ("subgid", self.subgid)] {
            let file = self.s.file(&format!("etc-{name}"), content);
            std::os::unix::fs::chown(&file, Some(0), Some(0)).unwrap();
            std::fs::OpenOptions::new().create(true).append(true).open(format!("/etc/{name}")).unwrap();
            binds.push_str(&format!("mount --bind {} /etc/{name} && ", file.display()));
        }
        let user = format!("as_user() {{ setpriv --reuid={USER} --regid={USER} --groups ${{GROUPS_TO:-{USER}}} -- \"$@\"; }}");
        let mut shell = command(Path::new("/usr/bin/unshare"), &self.s.0, true);
        shell.args(["-m", "--propagation", "private", "sh", "-c", &format!("{binds}:\n{user}\n{script}")]);
        shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", jail().parent().unwrap().display()));
        Some(shell)
    }

    pub fn run(&self, script: &str) -> Option<Outcome> {
        self.command(script).map(outcome)
    }
}
