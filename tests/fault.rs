//! Faults: at each system call of a launch, in each process that takes part in
//! it, the process is killed, or the kernel refuses the call. Then either nothing
//! runs and `jail` says why, or what runs is jailed as asked; and nothing is left.
//!
//! A ptrace driver does it. It knows the processes by the order in which they are
//! made and the calls by their number, so it follows the program as it changes: a
//! first run without a fault tells how many there are.

mod support;
use std::collections::BTreeMap;
use std::ffi::c_long;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use support::*;

/// A launcher that takes longer hangs. A launch takes some milliseconds.
const HANGS: Duration = Duration::from_secs(5);

/// What lives longer after the launcher is left behind. Measured is well below
/// 100 ms; a busy machine is given time.
const LEFT: Duration = Duration::from_secs(2);

/// What the command says of its jail, with nothing but what the shell itself can
/// do, so that it is quick and runs in a tree with nothing but a shell.
const FACTS: &str = r#"
show() { while read -r line; do echo "$line"; done < "$1"; }
while read -r key value; do
    case $key in
    Uid: | Gid: | Groups: | Cap*: | NoNewPrivs: | Seccomp*: | SigBlk: | SigIgn: | Umask:) echo "$key $value" ;;
    esac
done < /proc/self/status
show /proc/self/uid_map
show /proc/self/gid_map
show /proc/self/setgroups
while read -r _ _ _ root point options _; do echo "$root on $point $options"; done < /proc/self/mountinfo
echo / /* /dev/*
echo descriptors /proc/self/fd/*
pwd
export -p
show /proc/sys/kernel/hostname
while read -r interface _; do echo "$interface"; done < /proc/net/dev
show /proc/net/fib_trie
if [ $$ -le 2 ]; then
    echo process $$
    if true < /proc/1/environ; then echo process 1 is open; else echo process 1 is closed; fi
fi 2> /dev/null
echo end
"#;

/// What is done to a process at its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// SIGKILL before the kernel performs the call.
    KillBefore,
    /// SIGKILL when it has performed it.
    KillAfter,
    /// The call is not performed, and gives this.
    Refuse(Errno),
}

/// One fault: the `call`th call of the `process`th process, both from 0.
#[derive(Clone, Copy, Debug)]
struct Fault {
    process: usize,
    call: usize,
    what: What,
    /// Does the launch go on without that process?
    spared: bool,
}

impl Fault {
    fn kills(&self) -> bool {
        matches!(self.what, What::KillBefore | What::KillAfter)
    }
}

/// The kernel refuses no one these: they do not return, or say who one is.
const NEVER_REFUSED: [c_long; 8] = [
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
];

/// After these others may be at work, so that to be killed then is not the same as
/// to be killed before the next call.
const RELEASE_OTHERS: [c_long; 9] = [
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_write,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_kill,
    libc::SYS_pidfd_send_signal,
];

/// How a fault came about.
#[derive(Debug)]
struct Hit {
    /// The call's number.
    number: c_long,
    /// The call in words.
    call: String,
    /// Had the command ended by then?
    over: bool,
}

/// What came of a run.
#[derive(Debug, Default)]
struct Run {
    /// The launcher's exit status, or minus the signal that ended it.
    status: i32,
    out: String,
    err: String,
    /// What is seen of the command from outside when it has been executed.
    seen: String,
    /// Each process's system calls, if there is no fault.
    calls: Vec<Vec<c_long>>,
    hit: Option<Hit>,
    /// Where everything waited when the launcher had hung.
    hung: Option<String>,
    /// What lived when the launcher had returned.
    alive: Vec<String>,
    /// What lived long after.
    left: Option<String>,
    /// How long the last one lived after the launcher was gone.
    lived: Duration,
}

/// One process that is traced.
#[derive(Clone, Copy, Debug, Default)]
struct Traced {
    /// Which process of the launch; none for what the command starts.
    process: Option<usize>,
    /// Has it executed the command?
    command: bool,
    /// System calls begun.
    calls: usize,
    /// Is it in one?
    inside: bool,
}

/// One run under ptrace.
struct Drive<'a> {
    case: &'a Case,
    fault: Option<Fault>,
    /// Is the fault still to come?
    pending: bool,
    launcher: Pid,
    /// Where the launcher reads its flags, until they are written.
    flags: Option<ChildStdin>,
    /// All that live.
    all: BTreeMap<Pid, Traced>,
    /// Processes that the launch is made of, so far.
    made: usize,
    /// Has the command been executed, and has it ended?
    executed: bool,
    over: bool,
    /// When the launcher was gone.
    gone: Option<Instant>,
    run: Run,
}

impl<'a> Drive<'a> {
    /// Starts a launcher and takes hold of it.
    #[expect(clippy::zombie_processes, reason = "`finish` waits for it, as for all others")]
    fn start(case: &'a Case, fault: Option<Fault>, out: &File, err: &File) -> Self {
        let mut child = case.command(out, err).spawn().expect("start jail");
        let launcher = Pid::from_raw(child.id().try_into().unwrap());
        let flags = child.stdin.take();
        // With EXITKILL nothing survives a test that panics.
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
            | ptrace::Options::PTRACE_O_TRACEFORK
            | ptrace::Options::PTRACE_O_TRACEVFORK
            | ptrace::Options::PTRACE_O_TRACECLONE
            | ptrace::Options::PTRACE_O_TRACEEXEC
            | ptrace::Options::PTRACE_O_EXITKILL;
        ptrace::seize(launcher, options).expect("trace jail");
        ptrace::interrupt(launcher).expect("stop jail");
        let mut drive = Self {
            case,
            fault,
            pending: fault.is_some(),
            launcher,
            flags,
            all: BTreeMap::new(),
            made: 0,
            executed: false,
            over: false,
            gone: None,
            run: Run::default(),
        };
        drive.meet(launcher);
        case.watch.within(HANGS);
        drive
    }

    /// Until everything that was ever traced is dead.
    fn finish(mut self) -> Run {
        // Of this thread alone: other tests have children, too.
        let every = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(every)) {
                Ok(status) => self.react(status),
                Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => break,
                Err(errno) => panic!("wait: {errno}"),
            }
        }
        self.run.left = self.case.watch.over();
        self.case.watch.forget();
        self.run
    }

    fn react(&mut self, status: WaitStatus) {
        let Some(pid) = status.pid() else { return };
        // A child may stop before its parent has told of it.
        self.meet(pid);
        let mut signal = None;
        match status {
            WaitStatus::Exited(_, code) => return self.ended(pid, code),
            WaitStatus::Signaled(_, signal, _) => return self.ended(pid, -(signal as i32)),
            WaitStatus::PtraceSyscall(_) => self.at_call(pid),
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => {
                let traced = self.all.get_mut(&pid).unwrap();
                traced.inside = true;
                // The launcher's own may end just after we have come.
                if pid != self.launcher {
                    traced.command = true;
                    self.executed = true;
                    self.run.seen = self.seen(pid);
                }
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE) => {
                if let Ok(child) = ptrace::getevent(pid) {
                    self.meet(Pid::from_raw(child.try_into().unwrap()));
                }
            }
            WaitStatus::Stopped(_, sent) => signal = Some(sent),
            WaitStatus::PtraceEvent(..) | WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
        }
        self.resume(pid, signal);
    }

    /// Which namespaces the command shares with us, and how process 1 is called.
    fn seen(&self, command: Pid) -> String {
        // Any may have been killed meanwhile, and then it does not matter.
        let link = |of: &str, name: &str| std::fs::read_link(format!("/proc/{of}/ns/{name}")).unwrap_or_default();
        let mut seen: String = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"]
            .into_iter()
            .filter(|name| link(&command.to_string(), name) == link("thread-self", name))
            .map(|name| format!("shares {name}\n"))
            .collect();
        let first = self.all.iter().find(|(pid, traced)| traced.process == Some(self.case.process_one()) && **pid != command);
        if let Some((first, _)) = first {
            let line = std::fs::read(format!("/proc/{first}/cmdline")).unwrap_or_default();
            let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            seen += &words.map(|word| format!("called {}\n", String::from_utf8_lossy(word))).collect::<String>();
        }
        seen
    }

    fn meet(&mut self, pid: Pid) {
        if !self.all.contains_key(&pid) {
            self.case.watch.add(pid);
            let process = (!self.executed).then_some(self.made);
            self.made += 1;
            self.all.insert(pid, Traced { process, ..Traced::default() });
        }
    }

    fn ended(&mut self, pid: Pid, status: i32) {
        self.case.watch.remove(pid);
        self.over |= self.all.remove(&pid).is_some_and(|dead| dead.command);
        if pid == self.launcher {
            self.gone = Some(Instant::now());
            self.run.status = status;
            self.run.hung = self.case.watch.over();
            // A zombie is dead, whoever has not waited for it yet.
            self.run.alive = self.all.keys().map(|pid| describe(*pid)).filter(|said| !is_dead(said)).collect();
            self.case.watch.within(LEFT);
        } else if let Some(gone) = self.gone {
            self.run.lived = gone.elapsed();
        }
    }

    /// At a system call's begin or end.
    fn at_call(&mut self, pid: Pid) {
        let traced = self.all.get_mut(&pid).unwrap();
        // Each call stops twice, and nothing else stops so.
        traced.inside = !traced.inside;
        if self.flags.is_some() {
            return self.before_main(pid);
        }
        traced.calls += usize::from(traced.inside);
        let traced = *traced;
        match self.fault {
            None if traced.inside => {
                let (Some(process), Some(regs)) = (traced.process, Registers::of(pid)) else { return };
                self.run.calls.resize_with(self.made, Vec::new);
                self.run.calls[process].push(regs.number());
            }
            Some(fault) if self.pending && traced.process == Some(fault.process) && traced.calls == fault.call + 1 => {
                self.strike(pid, fault.what, traced.inside);
            }
            Some(_) | None => {}
        }
    }

    /// What the C library does before main is not jail's: where its memory or its
    /// thread's data are refused, it ends the process in its own way. The reading
    /// of the flags is the first thing that main does, and there we hold it.
    fn before_main(&mut self, pid: Pid) {
        let Some(regs) = Registers::of(pid) else { return };
        let traced = self.all.get_mut(&pid).unwrap();
        if traced.inside && regs.number() == libc::SYS_read && regs.arguments()[0] == 0 {
            let mut flags = self.flags.take().unwrap();
            flags.write_all(self.case.lines().as_bytes()).expect("write the flags");
            drop(flags);
            // This one counts.
            traced.inside = false;
            self.at_call(pid);
        }
    }

    /// Lets the fault happen.
    fn strike(&mut self, pid: Pid, what: What, begins: bool) {
        let Some(regs) = Registers::of(pid) else { return };
        let hit = || Some(Hit { number: regs.number(), call: call(pid, &regs), over: self.over });
        match (what, begins) {
            (What::KillBefore, true) | (What::KillAfter, false) => {
                self.run.hit = hit();
                self.pending = false;
                kill(pid, Signal::SIGKILL).expect("kill");
                // From here on the command cannot end by itself: what ends it is
                // what the test is about.
                let ends = self.fault.is_some_and(|fault| !fault.spared);
                for (pid, _) in self.all.iter().filter(|(_, traced)| traced.command && ends) {
                    let _ = ptrace::interrupt(*pid);
                }
            }
            (What::KillAfter, true) | (What::KillBefore, false) => {}
            (What::Refuse(_), true) => {
                self.run.hit = hit();
                // Whatever close says, the descriptor is gone.
                if regs.number() != libc::SYS_close {
                    regs.skip_call(pid);
                }
            }
            (What::Refuse(errno), false) => {
                self.pending = false;
                regs.give_error(pid, errno);
            }
        }
    }

    /// Lets it go on, to its next system call where that is of interest: to stop
    /// there is what takes the time.
    fn resume(&self, pid: Pid, signal: Option<Signal>) {
        let traced = self.all[&pid];
        let struck = self.fault.is_some() && !self.pending;
        if traced.command && struck && self.fault.is_some_and(|fault| fault.kills() && !fault.spared) {
            return;
        }
        let stops = match self.fault {
            _ if self.flags.is_some() => true,
            None => traced.process.is_some() && !traced.command,
            Some(fault) => self.pending && traced.process == Some(fault.process) && !traced.command,
        };
        let resumed = if stops { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) };
        // ESRCH: killed meanwhile.
        assert!(matches!(resumed, Ok(()) | Err(Errno::ESRCH)), "{resumed:?}");
    }
}

/// Kills what is traced when time is up: waiting for it then ends. It is a thread
/// of its own since the driver sleeps in waitpid.
struct Watch(Arc<Mutex<Watched>>);

#[derive(Default)]
struct Watched {
    deadline: Option<Instant>,
    pids: Vec<Pid>,
    /// What was found when it had passed.
    found: Option<String>,
    done: bool,
}

impl Watch {
    fn new() -> Self {
        let watched = Arc::new(Mutex::new(Watched::default()));
        let theirs = watched.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(20));
                let mut watched = theirs.lock().unwrap();
                if watched.done {
                    return;
                }
                if watched.deadline.is_some_and(|deadline| Instant::now() > deadline) {
                    watched.deadline = None;
                    watched.found = Some(watched.pids.iter().map(|pid| describe(*pid)).collect::<Vec<_>>().join(", "));
                    for pid in &watched.pids {
                        let _ = kill(*pid, Signal::SIGKILL);
                    }
                }
            }
        });
        Self(watched)
    }

    /// Starts the time.
    fn within(&self, time: Duration) {
        let mut watched = self.0.lock().unwrap();
        watched.deadline = Some(Instant::now() + time);
    }

    /// Ends it, and gives what was found if it had run out.
    fn over(&self) -> Option<String> {
        let mut watched = self.0.lock().unwrap();
        watched.deadline = None;
        watched.found.take()
    }

    fn add(&self, pid: Pid) {
        let mut watched = self.0.lock().unwrap();
        if !watched.pids.contains(&pid) {
            watched.pids.push(pid);
        }
    }

    fn forget(&self) {
        self.0.lock().unwrap().pids.clear();
    }

    fn remove(&self, pid: Pid) {
        self.0.lock().unwrap().pids.retain(|known| *known != pid);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.lock().unwrap().done = true;
    }
}

/// A process, its state, and the call that it waits in.
fn describe(pid: Pid) -> String {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let line = |key: &str| read("status").lines().find_map(|line| line.strip_prefix(key).map(str::trim).map(str::to_owned));
    let call = read("syscall").split(' ').next().and_then(|nr| nr.parse().ok()).map(name).unwrap_or_default();
    format!("{} ({}) {call}", line("Name:").unwrap_or_default(), line("State:").unwrap_or("gone".into()))
}

fn name(number: c_long) -> String {
    usize::try_from(number).ok().and_then(syscalls::Sysno::new).map_or(format!("call {number}"), |known| known.name().to_owned())
}

/// Flags, and where they are tried.
struct Case {
    flags: Vec<String>,
    /// The caller's directory.
    dir: PathBuf,
    /// In the environment of all that is started, to find it by.
    marker: String,
    scratch: Scratch,
    /// What a run may leave something in.
    kept: Scratch,
    watch: Watch,
    /// One that jail inherits, and the command must not.
    _inherited: OwnedFd,
}

impl Case {
    fn new(flags: &str) -> Self {
        let scratch = Scratch::new();
        for dir in ["tmp", "home"] {
            scratch.dir(dir);
        }
        let tree = scratch.tree("tree");
        let kept = Scratch::new();
        let flags = flags.split_whitespace().map(|word| match word {
            "TREE" => tree.display().to_string(),
            "KEPT" => kept.0.join("kept").display().to_string(),
            word => word.into(),
        });
        let flags: Vec<String> = flags.collect();
        // Visible inside without a tree, and so the command's directory too.
        let dir = "/usr/share".into();
        let marker = format!("fault-in-{}", scratch.0.display());
        let inherited = memfd_create(c"inherited", MFdFlags::empty()).expect("memfd");
        Self { flags, dir, marker, scratch, kept, watch: Watch::new(), _inherited: inherited }
    }

    /// A launcher that reads its flags from its standard input, and waits there.
    fn command(&self, out: &File, err: &File) -> Command {
        let mut command = Command::new(jail());
        if we_are_root() {
            // std then drops the supplementary groups as well.
            command.uid(USER).gid(USER);
        }
        command
            .args(["--args", "-", "--", "sh", "-c", FACTS])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.scratch.0.join("home"))
            .env("TMPDIR", self.scratch.0.join("tmp"))
            .env("JAIL_FAULT", &self.marker)
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(err.try_clone().unwrap());
        command
    }

    /// Runs `jail` once; without a fault it tells the calls.
    fn run(&self, fault: Option<Fault>) -> Run {
        let (mut out, mut err) = (memory(), memory());
        let run = Drive::start(self, fault, &out, &err).finish();
        // What --trace-denied tells of the command is no word about the launch.
        let err =
            content(&mut err).lines().filter(|line| !line.contains(" was refused ")).map(|line| format!("{line}\n")).collect();
        // A terminal ends lines its own way.
        Run { out: content(&mut out).replace('\r', ""), err, ..run }
    }

    /// The flags as `--args` takes them.
    fn lines(&self) -> String {
        self.flags.iter().map(String::as_str).chain(["--env", "JAIL_FAULT"]).map(|word| format!("{word}\n")).collect()
    }

    /// What is wrong with a run, seen from `good`, one without a fault.
    fn wrong(&self, good: &Run, fault: Fault, run: &Run) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(where_) = &run.hung {
            wrong.push(format!("the launcher hangs: {where_}"));
            return wrong;
        }
        let launcher_killed = run.hit.is_some() && fault.kills() && fault.process == 0;
        if let Some(left) = &run.left {
            wrong.push(format!("left behind: {left}"));
        }
        if !run.alive.is_empty() && !launcher_killed {
            wrong.push(format!("alive when the launcher had returned: {}", run.alive.join(", ")));
        }
        let as_asked = run.status == 0 && run.out == good.out && run.seen == good.seen;
        // What was ended early had been jailed as asked, too.
        let begun = good.out.starts_with(&run.out) && run.seen.lines().all(|line| good.seen.lines().any(|other| other == line));
        let told = run.err.contains("jail: ");
        let right = match &run.hit {
            // Too late to meet a call: nothing may have changed.
            None => as_asked,
            Some(_) if fault.kills() && fault.spared => as_asked,
            Some(_) if launcher_killed => begun && run.status == -libc::SIGKILL,
            Some(hit) if fault.kills() => {
                // Within execve nobody can tell it from the command's own end.
                let executing = hit.number == libc::SYS_execve && run.status == 128 + libc::SIGKILL && run.out.is_empty();
                (begun && run.status > 0 && (told || executing)) || (hit.over && as_asked)
            }
            Some(hit) => {
                let executing = hit.number == libc::SYS_execve;
                let failed = run.status == 125 || (executing && (run.status == 126 || run.status == 127));
                as_asked || (begun && failed && told && run.err.contains("refused by"))
            }
        };
        if !right {
            let mut how = format!("status {}, stderr {:?}", run.status, run.err);
            if !begun || run.status == 0 {
                how += &difference(&good.out, &run.out);
                how += &difference(&good.seen, &run.seen);
            }
            wrong.push(how);
        }
        wrong
    }

    /// Everything in the scratch directory, to be the same afterwards.
    fn files(&self) -> Vec<String> {
        fn list(dir: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).unwrap().flatten() {
                let about = entry.metadata().unwrap();
                found.push(format!("{} {:o} {} {}", entry.path().display(), about.mode(), about.len(), about.mtime_nsec()));
                if about.is_dir() {
                    list(&entry.path(), found);
                }
            }
        }
        let mut found = Vec::new();
        list(&self.scratch.0, &mut found);
        found.sort();
        found
    }

    /// Which process is process 1, in the order in which they are made.
    fn process_one(&self) -> usize {
        if self.flags.iter().any(|flag| flag == "--overlay") { 2 } else { 1 }
    }

    /// What is kept beside changes.
    fn left(&self) -> String {
        let list = std::fs::read_dir(self.kept.0.join("kept")).into_iter().flatten().flatten();
        list.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name != "changes").collect()
    }

    /// Processes that hold the marker, found as a user would find them.
    fn marked(&self) -> Vec<String> {
        let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let holds = |pid: &i32| {
            ["environ", "cmdline"].iter().any(|file| {
                std::fs::read(format!("/proc/{pid}/{file}"))
                    .is_ok_and(|bytes| bytes.windows(self.marker.len()).any(|part| part == self.marker.as_bytes()))
            })
        };
        pids.filter(holds).map(|pid| describe(Pid::from_raw(pid))).filter(|said| !is_dead(said)).collect()
    }
}

fn is_dead(description: &str) -> bool {
    ["(Z", "(X", "(gone"].iter().any(|state| description.contains(state))
}

/// A file in memory: a pipe would stay open as long as anything left behind.
fn memory() -> File {
    memfd_create(c"output", MFdFlags::MFD_CLOEXEC).expect("memfd").into()
}

fn content(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).expect("UTF-8");
    text
}

/// The lines that two texts do not have in common.
fn difference(good: &str, bad: &str) -> String {
    let only = |a: &str, b: &str, sign: &str| -> String {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).map(|line| format!("\n        {sign} {line}")).collect()
    };
    only(good, bad, "-") + &only(bad, good, "+")
}

/// The call as strace would tell it; of the arguments, words and numbers.
fn call(pid: Pid, regs: &Registers) -> String {
    let word = |at: u64| {
        let mut bytes = [0; 64];
        let read = File::open(format!("/proc/{pid}/mem")).and_then(|memory| memory.read_at(&mut bytes, at)).unwrap_or(0);
        let length = bytes[..read].iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(&bytes[..length]).ok()?;
        (length > 1 && text.chars().all(|c| c.is_ascii_graphic())).then(|| format!("{text:?}"))
    };
    let shown = regs.arguments().map(|value| word(value).unwrap_or_else(|| format!("{value:#x}")));
    format!("{}({})", name(regs.number()), shown.join(", "))
}

/// A process's registers at a system call.
#[cfg(target_arch = "x86_64")]
struct Registers(libc::user_regs_struct);

#[cfg(target_arch = "x86_64")]
impl Registers {
    const KNOWN: bool = true;

    /// None where it was killed meanwhile.
    fn of(pid: Pid) -> Option<Self> {
        ptrace::getregs(pid).ok().map(Self)
    }

    fn number(&self) -> c_long {
        self.0.orig_rax as c_long
    }

    /// The first three.
    fn arguments(&self) -> [u64; 3] {
        [self.0.rdi, self.0.rsi, self.0.rdx]
    }

    /// Makes it a call that the kernel does not know, at its begin.
    fn skip_call(self, pid: Pid) {
        ptrace::setregs(pid, libc::user_regs_struct { orig_rax: u64::MAX, ..self.0 }).expect("skip the call");
    }

    /// Makes it return an error, at its end.
    fn give_error(self, pid: Pid, errno: Errno) {
        let rax = (-(errno as i64)) as u64;
        ptrace::setregs(pid, libc::user_regs_struct { rax, ..self.0 }).expect("give the error");
    }
}

/// Other machines keep the number where nix does not reach it.
#[cfg(not(target_arch = "x86_64"))]
struct Registers;

#[cfg(not(target_arch = "x86_64"))]
impl Registers {
    const KNOWN: bool = false;

    fn of(_: Pid) -> Option<Self> {
        None
    }

    fn number(&self) -> c_long {
        -1
    }

    fn arguments(&self) -> [u64; 3] {
        [0; 3]
    }

    fn skip_call(self, _: Pid) {}

    fn give_error(self, _: Pid, _: Errno) {}
}

fn mounts() -> String {
    std::fs::read_to_string("/proc/thread-self/mountinfo").expect("the mounts")
}

/// Gives this thread mounts of its own, so that what others mount meanwhile is
/// not taken for the jail's. Shared ones, as systemd makes them: what a jail let
/// through would be seen here.
fn own_mounts() {
    if we_are_root() {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        for propagation in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | propagation, None::<&str>).expect("set propagation");
        }
    }
}

/// What went wrong in one way at one or more calls of one process.
struct Finding {
    who: String,
    wrong: String,
    at: Vec<String>,
}

/// Is it worth trying?
fn applies(what: What, number: c_long) -> bool {
    match what {
        What::KillBefore => true,
        What::KillAfter => RELEASE_OTHERS.contains(&number),
        What::Refuse(_) => !NEVER_REFUSED.contains(&number),
    }
}

/// Tries each of `whats` at every call of every process of a launch with `flags`.
fn everywhere(flags: &str, whats: &[What]) {
    if !Registers::KNOWN {
        return skip("system calls are refused on x86-64 only");
    }
    own_mounts();
    let start = Instant::now();
    let case = Case::new(flags);
    let good = case.run(None);
    assert!(good.status == 0 && good.err.is_empty() && good.out.ends_with("end\n"), "{good:#?}");
    assert!(good.calls.len() >= 2 && good.calls.iter().all(|calls| calls.len() > 5), "{good:#?}");
    let (files, mounts_before) = (case.files(), mounts());
    let mut findings: Vec<Finding> = Vec::new();
    let (mut runs, mut longest) = (0, Duration::ZERO);
    // The one that makes the network namespace, which process 1 can do itself.
    let makes = |calls: &Vec<c_long>| calls.contains(&libc::SYS_setns) && !calls.contains(&libc::SYS_pivot_root);
    let beside = good.calls.iter().position(makes);
    let alone = std::thread::available_parallelism().map_or(1, usize::from) == 1;
    let without = ["host", "sys_admin"].iter().any(|without| flags.contains(without));
    assert!(beside.is_some() || alone || without, "{flags}: nothing is made beside");
    // Without a reaper the last process before the command is the keeper, and where
    // changes are kept the second, which runs beside the launch and not in it:
    // tests/life.rs and overlay.rs see what it does.
    let keeper = if flags.contains("--init none") {
        Some(beside.map_or(2, |beside| beside + 1))
    } else if flags.contains("KEPT") {
        Some(1)
    } else {
        None
    };
    for (process, calls) in good.calls.iter().enumerate().filter(|(process, _)| keeper != Some(*process)) {
        // The launcher starts a second time where it runs from a copy of itself. As at the first
        // start, the calls of the C library before main are not counted; main opens a file.
        let restart = calls.iter().position(|number| *number == libc::SYS_execve).filter(|_| process == 0);
        let main =
            restart.and_then(|at| calls[at..].iter().position(|number| *number == libc::SYS_openat).map(|after| at + after));
        let before_main = restart.zip(main).map_or(0..0, |(restart, main)| restart + 1..main);
        for (call, number) in calls.iter().enumerate().filter(|(call, _)| !before_main.contains(call)) {
            for what in whats.iter().copied().filter(|what| applies(*what, *number)) {
                let fault = Fault { process, call, what, spared: beside == Some(process) };
                let run = case.run(Some(fault));
                runs += 1;
                longest = longest.max(run.lived);
                let mut wrong = case.wrong(&good, fault, &run);
                if case.files() != files {
                    wrong.push(format!("files are left: {files:?} became {:?}", case.files()));
                }
                let left = case.left();
                if !left.is_empty() {
                    wrong.push(format!("beside the changes there is {left}"));
                }
                if mounts() != mounts_before {
                    wrong.push(format!("mounts are left:{}", difference(&mounts_before, &mounts())));
                }
                let who = if process == 0 { "the launcher".into() } else { format!("process {process}") };
                let at = run.hit.map_or(name(*number), |hit| hit.call);
                let at = format!("{what:?} at {call} of {}, {at}", calls.len());
                for wrong in wrong {
                    match findings.iter_mut().find(|finding| finding.who == who && finding.wrong == wrong) {
                        Some(finding) => finding.at.push(at.clone()),
                        None => findings.push(Finding { who: who.clone(), wrong, at: vec![at.clone()] }),
                    }
                }
            }
        }
    }
    let marked = case.marked();
    assert!(marked.is_empty(), "still there: {marked:?}");
    eprintln!("{runs} runs in {:?}, the last process died {longest:?} after the launcher", start.elapsed());
    let told: String = findings
        .iter()
        .map(|Finding { who, wrong, at }| format!("\njail {flags}: {who}: {wrong}\n    {}", at.join("\n    ")))
        .collect();
    assert!(findings.is_empty(), "{} findings:{told}", findings.len());
}

fn killed(flags: &str) {
    everywhere(flags, &[What::KillBefore, What::KillAfter]);
}

fn refused(flags: &str) {
    everywhere(flags, &[What::Refuse(Errno::EPERM), What::Refuse(Errno::ENOMEM)]);
}

#[test]
fn killed_at_any_call_nothing_is_left() {
    killed("");
}

#[test]
fn killed_at_any_call_nothing_is_left_among_the_hosts_processes() {
    killed("--pid host");
}

#[test]
fn killed_at_any_call_nothing_is_left_without_a_reaper() {
    killed("--init none");
}

#[test]
fn killed_at_any_call_nothing_is_left_with_capabilities_in_a_tree() {
    killed("--root TREE --as-root --cap sys_admin");
}

#[test]
fn killed_at_any_call_nothing_is_left_with_a_terminal_and_a_time_limit() {
    killed("--pty --timeout 1m --rlimit core=0 --umask 27 --processors 1 --uptime 5");
}

/// The shell asks for its parent when it starts.
const TOLD: &str = "--trace-denied --deny-syscall getppid";

#[test]
fn killed_at_any_call_nothing_is_left_when_refusals_are_told() {
    killed(TOLD);
}

#[test]
fn any_call_refused_is_told_or_weakens_nothing_when_refusals_are_told() {
    refused(TOLD);
}

#[test]
fn any_call_refused_is_told_or_weakens_nothing_with_a_terminal_and_a_time_limit() {
    refused("--pty --timeout 1m --rlimit core=0 --umask 27 --processors 1 --uptime 5");
}

#[test]
fn any_call_refused_is_told_or_weakens_nothing() {
    refused("");
}

#[test]
fn any_call_refused_is_told_or_weakens_nothing_among_the_hosts_processes() {
    refused("--pid host");
}

#[test]
fn any_call_refused_is_told_or_weakens_nothing_without_a_reaper() {
    refused("--init none");
}

#[test]
fn any_call_refused_is_told_or_weakens_nothing_with_capabilities_in_a_tree() {
    refused("--root TREE --as-root --cap sys_admin");
}

#[test]
fn killed_at_any_call_nothing_is_left_of_an_ephemeral_tree() {
    killed("--root TREE --ephemeral=1m");
}

#[test]
fn any_call_refused_is_told_or_weakens_nothing_of_an_ephemeral_tree() {
    refused("--root TREE --ephemeral=1m");
}

#[test]
fn killed_at_any_call_nothing_is_left_but_changes_that_are_kept() {
    killed("--root TREE --overlay KEPT");
}

#[test]
fn any_call_refused_is_told_or_weakens_nothing_where_changes_are_kept() {
    refused("--root TREE --overlay KEPT");
}
