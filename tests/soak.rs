//! Launch after launch, many at once: none fails, and nothing piles up. JAIL_SOAK says
//! how many. Processes of a launch are killed at random moments: nothing is left, and the
//! terminal is as it was.

#[path = "support/random.rs"]
mod random;
mod support;
use random::{Random, is_usual, rounds};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, tcgetattr};
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use support::*;

/// At once.
const WIDTH: usize = 64;

/// Flags, a script, and the status that comes of it.
const KINDS: [(&str, &str, i32); 10] = [
    ("", "exit 0", 0),
    ("--net host", "exit 7", 7),
    ("--pid host", "sleep 1000 & exit 3", 3),
    ("--root TREE", "ls / > /tmp/f; exit 0", 0),
    ("--as-root --rw PLACE --hide PLACE/file", "cat PLACE/file 2>/dev/null || exit 4", 4),
    ("--as-root --cap sys_admin --tmpfs /x", "mount -t tmpfs y /x; kill -TERM $$", 143),
    ("--init none --new-session --tmpfs /x,size=1m", "setsid sleep 1000 & exit 5", 5),
    ("--ipc host --cgroup host --nested --ro PLACE", "unshare -Ur true && exit 6", 6),
    ("--timeout 10m --rlimit nofile=99 --env X=1 --dir /y", "sleep 1000 & sleep 1000 & exit $X", 1),
    ("--ro NOWHERE", "exit 0", 125),
];

/// Everything that a launch could leave behind.
struct Left {
    mounts: String,
    files: String,
    cgroups: BTreeSet<String>,
    descriptors: usize,
    shared_memory: String,
}

fn look(s: &Scratch) -> Left {
    let find = |dir: &Path, words: &[&str]| {
        let mut find = Command::new("find");
        find.arg(dir).args(words);
        outcome(find).out
    };
    Left {
        mounts: std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap(),
        files: find(&s.0, &["-printf", "%p %m %s %T@\n"]),
        cgroups: find(Path::new("/sys/fs/cgroup"), &["-type", "d"]).lines().map(str::to_owned).collect(),
        descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        shared_memory: std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default(),
    }
}

/// Fails if there is more than before. Other programs of the machine mount and unmount, and
/// make control groups, too: what is theirs is soon gone, or was there before.
fn nothing_more(s: &Scratch, before: &Left) {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let start = Instant::now();
    loop {
        let now = look(s);
        assert_eq!(now.files, before.files);
        assert_eq!(now.descriptors, before.descriptors);
        let mounts = &lines(&now.mounts) - &lines(&before.mounts);
        let memory = &lines(&now.shared_memory) - &lines(&before.shared_memory);
        let more = [mounts, memory, &now.cgroups - &before.cgroups];
        if more.iter().all(BTreeSet::is_empty) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "left: {more:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// All children of this process, whoever started them.
fn children() -> Vec<String> {
    let mut children = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let list = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(list.split_whitespace().map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.chars().take(60).collect()
        }));
    }
    children
}

/// Every process that loses its parent becomes a child of this process. One test at a time
/// can wait for all of them.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    alone
}

/// Waits until this process has no child. The processes of a jail whose launcher was killed
/// are dying, and their parent is this process.
fn all_end(what: &str) {
    let start = Instant::now();
    while let Ok(ended) = wait(WaitOptions::NOHANG) {
        assert!(ended.is_some() || start.elapsed() < Duration::from_secs(10), "{what}: left over: {:#?}", children());
        if ended.is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    assert_eq!(children(), Vec::<String>::new(), "{what}");
}

fn launch(number: usize, s: &Scratch) {
    let (flags, script, status) = KINDS[number % KINDS.len()];
    let named = |text: &str| {
        let at = |name: &str| s.0.join(name).into_os_string().into_string().unwrap();
        text.replace("TREE", &at("tree")).replace("PLACE", &at("place")).replace("NOWHERE", &at("nowhere"))
    };
    let mut jail = command(jail(), Path::new("/"), false);
    jail.args(named(flags).split_whitespace()).args(["--", "sh", "-c", &named(script)]);
    jail.stdout(Stdio::null());
    // Now and then the launcher is killed, at another moment each time.
    if number % 16 == 15 {
        let mut child = jail.stderr(Stdio::null()).spawn().expect("start jail");
        std::thread::sleep(Duration::from_micros(number as u64 * 37 % 5000));
        child.kill().unwrap();
        child.wait().unwrap();
        return;
    }
    let out = outcome(jail);
    assert_eq!(out.status, status, "launch {number}, {flags}: {}", out.err);
}

#[test]
fn launch_after_launch_leaves_nothing() {
    let many: usize = std::env::var("JAIL_SOAK").map_or(1000, |many| many.parse().expect("JAIL_SOAK is a number"));
    let _alone = alone();
    let s = Scratch::new();
    s.tree("tree");
    s.file("place/file", "hidden");
    assert_eq!(sh("", "true").status, 0);
    let before = look(&s);
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WIDTH {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= many {
                        return;
                    }
                    launch(number, &s);
                }
            });
        }
    });
    let took = start.elapsed();
    let killed = Instant::now();
    all_end("launches");
    nothing_more(&s, &before);
    let line = format!("{many} launches, {WIDTH} at once: {:.2} s, all dead {:?} later\n", took.as_secs_f64(), killed.elapsed());
    let _ = rustix::io::write(std::io::stderr().as_fd(), line.as_bytes());
}

/// What a jail is made of when it is killed: flags, with TREE and KEPT for directories.
const MADE: [&str; 16] = [
    "",
    "--init none",
    "--pid host",
    "--cap sys_admin",
    "--nested",
    "--pty",
    "--publish 127.0.0.2:0:80",
    "--reach a.test:80=127.0.0.1:9 --reach 127.0.0.1:22",
    "--root TREE --overlay KEPT",
    "--root TREE --ephemeral",
    "--trace-denied",
    "--timeout 30",
    "--uptime 0",
    "--pid host --publish 127.0.0.2:0:80 --pty",
    "--net pasta",
    "--subids --cap sys_admin",
];

/// A command that no signal but SIGKILL ends, with children that leave its session.
const STAYS: &str = "trap '' TERM HUP INT; (setsid sleep 1000 &); sleep 1000 & sleep 1000; :";

/// All processes below `pid`, itself not.
fn below(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut left = vec![pid];
    while let Some(pid) = left.pop() {
        let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = list.split_whitespace().map(|child| child.parse::<u32>().unwrap());
        found.extend(children.clone());
        left.extend(children);
    }
    found
}

fn kill(pid: u32) {
    // It may have ended meanwhile.
    let _ = kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::KILL);
}

#[test]
fn random_processes_of_a_launch_are_killed_and_nothing_is_left() {
    let _alone = alone();
    let (s, kept) = (Scratch::new(), Scratch::new());
    s.tree("tree");
    let etc = Etc::new(&kept);
    let named = |flags: &str| {
        flags.replace("TREE", s.0.join("tree").to_str().unwrap()).replace("KEPT", kept.0.join("delta").to_str().unwrap())
    };
    let mut usable: Vec<&str> = MADE.to_vec();
    if !["/usr/bin/pasta", "/dev/net/tun"].into_iter().all(|path| Path::new(path).exists()) {
        skip("pasta or /dev/net/tun is missing");
        usable.retain(|flags| !flags.contains("pasta"));
    }
    if etc.command("true").is_none() {
        usable.retain(|flags| !flags.contains("subids"));
    }
    // Each is launched where nothing is killed.
    for flags in &usable {
        let mut launch = start(&named(flags), &etc, "exit 7");
        assert_eq!(launch.wait().unwrap().code(), Some(7), "{flags}");
    }
    all_end("nothing is killed");
    let before = look(&s);
    let (mut launchers, mut others) = (0, 0);
    rounds("random kills", 120, |random| {
        let flags = *random.pick(&usable);
        let slow = if flags.contains("pasta") || flags.contains("subids") { 150 } else { 12 };
        let longest = *random.pick(&[slow, 3, 50]);
        let delay = random.moment(Duration::from_millis(longest));
        let mut launch = start(&named(flags), &etc, STAYS);
        std::thread::sleep(delay);
        let of_launch = below(launch.id());
        // Half of them hit the launcher; the others one of its children, or anything below.
        let (all, victims) = match random.below(4) {
            0 | 1 => ("the launcher", Vec::new()),
            2 => ("a child", of_launch.iter().take(3).copied().collect()),
            _ => ("any process", of_launch),
        };
        if victims.is_empty() {
            launchers += 1;
        } else {
            others += 1;
            kill(*random.pick(&victims));
            std::thread::sleep(Duration::from_millis(30));
        }
        // The jail may go on where a helper is dead; the end of the launcher is its end.
        kill(launch.id());
        launch.wait().unwrap();
        all_end(&format!("{flags}, {all} killed after {delay:?}"));
        if flags.contains("KEPT") {
            // No lock is left, and a later run removes what a dead keeper could not.
            let out = outcome(jailed(&named(flags), "exit 7"));
            assert_eq!(out.status, 7, "{all} killed after {delay:?}: {}", out.err);
            let left: Vec<_> = std::fs::read_dir(kept.0.join("delta")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["changes"], "{all} killed after {delay:?}");
            all_end(flags);
        }
    });
    nothing_more(&s, &before);
    assert!(!is_usual() || launchers > 10 && others > 10, "{launchers} launchers and {others} others were killed");
}

fn jailed(flags: &str, script: &str) -> Command {
    let mut jail = command(jail(), Path::new("/"), false);
    jail.args(flags.split_whitespace()).args(["--", "sh", "-c", script]);
    jail
}

/// Starts a launcher. Its pid is the child's: all before it only execute the next.
fn start(flags: &str, etc: &Etc, script: &str) -> Child {
    let mut jail = if flags.contains("--subids") {
        let line = format!("exec setpriv --reuid={USER} --regid={USER} --groups={USER} -- jail {flags} -- sh -c \"{script}\"");
        etc.command(&line).unwrap()
    } else {
        jailed(flags, script)
    };
    jail.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start jail")
}

/// The settings of a terminal, all of them.
fn settings(terminal: impl AsFd) -> String {
    let settings: Termios = tcgetattr(terminal).unwrap();
    format!("{settings:?}")
}

#[test]
fn a_launcher_that_is_ended_at_random_leaves_the_terminal_as_it_was() {
    let _alone = alone();
    let mut changed = 0;
    let made = rounds("terminals", 40, |random: &mut Random| {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = openpt(flags).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let slave = ioctl_tiocgptpeer(&terminal, flags).unwrap();
        let before = settings(&slave);
        let stream = || Stdio::from(slave.try_clone().unwrap());
        let mut launch = command(Path::new("setsid"), Path::new("/"), false);
        launch.arg("--ctty").arg(jail()).args(["--pty", "--", "sh", "-c", "stty raw -echo; yes | head -c 3000000; sleep 1000"]);
        let mut launch = launch.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        // Someone reads what is on the terminal, or nobody does.
        let reads = random.chance(70);
        let read = || {
            let limit = rustix::event::Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            let mut fds = [rustix::event::PollFd::new(&terminal, rustix::event::PollFlags::IN)];
            if rustix::event::poll(&mut fds, Some(&limit)).unwrap() > 0 {
                let _ = rustix::io::read(&terminal, &mut [0; 65536]);
            }
        };
        // From here on the launcher may be in any state: it is starting, or long at work.
        let delay = random.moment(Duration::from_millis(60));
        let start = Instant::now();
        while start.elapsed() < delay {
            if reads { read() } else { std::thread::sleep(Duration::from_millis(1)) }
        }
        changed += u64::from(settings(&slave) != before);
        let signal = *random.pick(&[Signal::KILL, Signal::KILL, Signal::TERM, Signal::HUP, Signal::INT]);
        kill_process(Pid::from_child(&launch), signal).unwrap();
        let start = Instant::now();
        while launch.try_wait().unwrap().is_none() {
            read();
            // The shell inside may take the signal and go on.
            if start.elapsed() > Duration::from_secs(3) {
                launch.kill().unwrap();
            }
        }
        let start = Instant::now();
        while settings(&slave) != before {
            assert!(start.elapsed() < Duration::from_secs(5), "{signal:?} after {delay:?}: {} is not {before}", settings(&slave));
            std::thread::sleep(Duration::from_millis(5));
        }
        all_end("a jail with a terminal");
    });
    assert!(!is_usual() || changed > made / 10, "the terminal was changed in {changed} of {made} rounds");
}
