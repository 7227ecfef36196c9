//! Launch after launch, many at once: none fails, and nothing piles up. JAIL_SOAK says
//! how many.

mod support;
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
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
#[derive(Debug, PartialEq)]
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
    let s = Scratch::new();
    s.tree("tree");
    s.file("place/file", "hidden");
    assert_eq!(sh("", "true").status, 0);
    // What loses its parent becomes a child of this process.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
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
    // Those whose launcher was killed are dying: nobody has waited for them yet.
    let killed = Instant::now();
    while let Ok(ended) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
        assert!(ended.is_some() || killed.elapsed() < Duration::from_secs(10), "left over: {:#?}", children());
        if ended.is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    assert_eq!(children(), Vec::<String>::new());
    assert_eq!(look(&s), before);
    let line = format!("{many} launches, {WIDTH} at once: {:.2} s, all dead {:?} later\n", took.as_secs_f64(), killed.elapsed());
    let _ = rustix::io::write(std::io::stderr().as_fd(), line.as_bytes());
}
