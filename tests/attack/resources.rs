//! Resources: what a flag bounds, and what is the host's all the same, as the manual
//! says under LIMITS. Limits of one process are in tests/record.rs, those of the whole
//! jail, which want a cgroup, in tests/kernels.rs.

use crate::kit::*;
use crate::support::*;
use std::process::Command;
use std::time::{Duration, Instant};

/// As the user outside, with the sleep that says when.
fn outside(script: &str) -> Outcome {
    let mut shell = command(std::path::Path::new("/bin/sh"), std::path::Path::new("/"), false);
    shell.args(["-c", script]);
    outcome(shell)
}

#[test]
fn a_fork_bomb_is_bounded_and_ends_with_the_jail() {
    // Each forks for ever, in sessions of their own, and ignores what can be ignored.
    let bomb = "import os, signal
for s in range(1, 65):
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
most = 0
while True:
    try:
        if os.fork() == 0: os.setsid()
    except BlockingIOError: pass
";
    let s = Scratch::new();
    s.file("bomb.py", bomb);
    for flags in ["", "--as-root", "--init none"] {
        let start = Instant::now();
        let words = format!("{flags} --rlimit nproc=40 --timeout 0.5 --grace 0.1 --ro . -- python3 bomb.py");
        let mut jail = command(jail(), &s.0, false);
        let mut child = jail.args(words.split_whitespace()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(350));
        // While it goes on the user can start processes, and jails with limits of theirs.
        assert_eq!(sh("--rlimit nproc=40", "for i in 1 2 3 4 5; do sleep 0 & done; wait; echo well").good(), "well", "{flags}");
        assert_eq!(child.wait().unwrap().code(), Some(124), "{flags}");
        assert!(start.elapsed() < Duration::from_secs(20), "{flags}: {:?}", start.elapsed());
        let ps = Command::new("pgrep").args(["-c", "-u", &USER.to_string(), "-f", "bomb.py"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ps.stdout).trim(), "0", "{flags}");
    }
}

#[test]
fn memory_files_and_descriptors_are_bounded_by_flags() {
    let kit = Kit::with(
        "def fill(path, most):
    with open(path, 'wb', buffering=0) as f:
        for _ in range(most): f.write(bytes(1 << 20))
def many():
    kept = []
    while True: kept.append(os.dup(0))",
    );
    kit.inside("--rlimit as=300000000", &[("bytearray(1 << 29)", "MemoryError: "), ("bytearray(1 << 20)", "done")]);
    kit.inside("--rlimit nofile=64", &[("many()", "EMFILE"), ("str(resource.getrlimit(resource.RLIMIT_NOFILE))", "(64, 64)")]);
    kit.inside(
        "--rlimit nofile=64",
        &[("resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))", "ValueError: not allowed to raise maximum limit")],
    );
    kit.inside(
        "--tmpfs /x,size=2m --tmpfs /tmp,size=1m",
        &[
            ("fill('/x/f', 3)", "ENOSPC"),
            ("fill('/tmp/f', 2)", "ENOSPC"),
            ("os.unlink('/x/f')", "done"),
            ("fill('/x/g', 1)", "done"),
        ],
    );
    // A tmpfs without a size is half of the memory, as the kernel has it.
    kit.inside(
        "",
        &[("str(os.statvfs('/tmp').f_blocks * 4096 * 2 // os.sysconf('SC_PAGE_SIZE') // os.sysconf('SC_PHYS_PAGES'))", "0|1")],
    );
    kit.inside("--rlimit memlock=65536", &[("call('mlock', ctypes.create_string_buffer(1 << 20), 1 << 20)", "ENOMEM")]);
    kit.inside("--rlimit sigpending=0", &[("[call('rt_sigqueueinfo', os.getpid(), 40, struct.pack('iii', 40, 0, -1) + bytes(116)) for _ in [signal.pthread_sigmask(0, [40])]]", "EAGAIN")]);
    kit.inside(
        "--rlimit msgqueue=0",
        &[("call('mq_open', b'q', 0o102, 0o600, struct.pack('qqqq', 0, 1, 1, 0) + bytes(32))", "EMFILE|ENOMEM")],
    );
    for flags in ["", "--landlock none", "--ipc host --landlock none"] {
        kit.inside(
            flags,
            &[
                ("call('mq_open', b'q', 0o102, 0o600, struct.pack('qqqq', 0, 1, 1, 0) + bytes(32))", "done"),
                ("call('mq_unlink', b'q')", "done"),
            ],
        );
    }
    // Landlock knows no place for the host's, as the manual says.
    kit.inside("--ipc host", &[("call('mq_open', b'q', 0o102, 0o600, None)", "EACCES")]);
}

#[test]
fn what_the_kernel_counts_for_the_user_is_the_users() {
    // inotify's instances are counted for the user of all the jails: with descriptors
    // bounded there are enough left.
    let kit = Kit::with(
        "def watch():
    kept = 0
    while libc.inotify_init1(0) >= 0: kept += 1
    print('ready', flush=True); time.sleep(1000)",
    );
    let limit: u32 = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap().trim().parse().unwrap();
    if limit > 500 {
        return skip(&format!("this user may have {limit} inotify instances"));
    }
    let instance = "python3 -c 'import ctypes; print(ctypes.CDLL(None).inotify_init1(0) >= 0)'";
    assert_eq!(outside(instance).good(), "True");
    for (flags, left) in [("--rlimit nofile=50", "True"), ("--rlimit nofile=1000", "False")] {
        let mut jail = command(jail(), &kit.0.0, false);
        jail.args(flags.split_whitespace())
            .args(["--ro-bind", "kit.py", "/kit.py", "--", "python3", "/kit.py", "watch()"])
            .stdout(std::process::Stdio::piped());
        let mut child = jail.spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let given = outside(instance);
        // Not by SIGKILL: who is sent this returns when all is dead.
        let launcher = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(launcher, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap();
        assert_eq!(given.good(), left, "{flags}");
    }
}

#[test]
fn nothing_of_it_outlives_the_jail() {
    let kit = Kit::with(
        "def spread():
    libc.shmat.restype = ctypes.c_void_p
    for _ in range(20):
        ident = call('shmget', 0, 1 << 20, 0o1600); at = libc.shmat(ident, None, 0); ctypes.memset(at, 1, 1 << 20)
    for _ in range(20): call('msgget', 0, 0o1600); call('semget', 0, 9, 0o1600)
    call('mq_open', b'jail-test', 0o102, 0o600, None)
    for d in '/tmp', '/run', '/dev/shm', os.environ['HOME']: open(d + '/f', 'wb').write(bytes(1 << 20))
    kept = [os.memfd_create('m') for _ in range(20)]; [os.truncate(m, 1 << 20) for m in kept]
    return '%d %d' % (len(open('/proc/sysvipc/shm').readlines()), len(open('/proc/sysvipc/sem').readlines()))",
    );
    let host = || ["shm", "sem", "msg"].map(|what| std::fs::read_to_string(format!("/proc/sysvipc/{what}")).unwrap());
    let before = host();
    kit.inside("--landlock none", &[("spread()", "21 21")]);
    assert_eq!(host(), before);
    // The next has none of it either.
    assert_eq!(
        sh("", "cat /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg | wc -l; ls -A /tmp /dev/shm").good().lines().next(),
        Some("3")
    );
}
