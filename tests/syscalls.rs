//! System calls that the policy refuses give their error, by every way into the
//! kernel; what programs need is as outside; flags change the policy.

mod support;
use jail::seccomp::policy::table;
use std::path::Path;
use std::process::Command;
use support::*;
use table::{Arch, CALLS, Verdict};

const HERE: Arch = if cfg!(target_arch = "x86_64") { Arch::X86_64 } else { Arch::Aarch64 };

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
const EAFNOSUPPORT: i32 = 97;

/// Makes the calls that its arguments name, each NUMBER and up to six values with
/// commas between, and prints the error of each, or 0.
const PROBE: &str = r#"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        long v[7] = {0}, n = 0;
        for (char *at = argv[i]; n < 7; at++) {
            v[n++] = (long)strtoull(at, &at, 0);
            if (*at != ',') break;
        }
        pid_t us = getpid();
        long result = syscall(v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
        int error = result == -1 ? errno : 0;
        if (getpid() != us) _exit(0);
        printf("%d\n", error);
        fflush(stdout);
    }
    return 0;
}
"#;

struct Probe(Scratch);

impl Probe {
    fn new() -> Self {
        let s = Scratch::new();
        compile(&s, "probe", PROBE);
        Self(s)
    }

    fn read(out: &Outcome) -> Vec<i32> {
        out.good().lines().map(|line| line.parse().unwrap()).collect()
    }

    /// What calls give in a jail with these flags.
    fn inside(&self, flags: &str, calls: &[String]) -> Vec<i32> {
        let mut args: Vec<&str> = flags.split_whitespace().collect();
        args.extend(["--ro", ".", "--", "./probe"]);
        args.extend(calls.iter().map(String::as_str));
        Self::read(&run_in(&self.0.0, &args))
    }

    fn outside(&self, calls: &[String]) -> Vec<i32> {
        let mut command = command(&self.0.0.join("probe"), &self.0.0, false);
        command.args(calls);
        Self::read(&outcome(command))
    }
}

fn compile(s: &Scratch, name: &str, source: &str) {
    s.file(&format!("{name}.c"), source);
    let built = Command::new("gcc").args(["-w", "-o", name, &format!("{name}.c"), "-lpthread"]).current_dir(&s.0).status();
    assert!(built.unwrap().success(), "{name}");
}

/// A call as the probe reads it.
fn call(name: &str, arguments: &[u64]) -> String {
    let number = table::find(name).unwrap().number(HERE).unwrap();
    let values: Vec<String> = arguments.iter().map(|value| format!(",{value:#x}")).collect();
    format!("{number}{}", values.concat())
}

#[test]
fn every_refused_call_gives_its_error() {
    let probe = Probe::new();
    let senseless = [u64::MAX; 6];
    let mut refused: Vec<(&str, i32)> = Vec::new();
    for call in CALLS.iter().filter(|call| call.number(HERE).is_some()) {
        match call.verdict {
            Verdict::Out(..) => refused.push((call.name(), EPERM)),
            Verdict::Absent(..) => refused.push((call.name(), ENOSYS)),
            Verdict::In | Verdict::Limited(..) => {}
        }
    }
    let calls: Vec<String> = refused.iter().map(|(name, _)| call(name, &senseless)).collect();
    let (inside, open) = (probe.inside("", &calls), probe.inside("--seccomp none", &calls));
    assert_eq!(inside.len(), refused.len());
    for ((name, expected), got) in refused.iter().zip(&inside) {
        assert_eq!(got, expected, "{name}");
    }
    // Where each is told, the launcher answers for the kernel.
    assert_eq!(probe.inside("--trace-denied", &calls), inside);
    // That it is the policy's work shows where the kernel says something else.
    let differs: Vec<&str> =
        refused.iter().zip(&inside).zip(&open).filter(|((_, a), b)| a != b).map(|(((n, _), _), _)| *n).collect();
    for name in ["io_uring_enter", "add_key", "fanotify_mark", "name_to_handle_at", "adjtimex", "setns", "clone3", "open_tree"] {
        assert!(differs.contains(&name), "{name}: {differs:?}");
    }
    assert!(differs.len() > 20, "{differs:?}");
    // And not the jail's: outside it is the same without privilege.
    let outside = probe.outside(&calls);
    for (at, (name, _)) in
        refused.iter().enumerate().filter(|(_, (name, _))| ["keyctl", "io_uring_enter", "setns"].contains(name))
    {
        assert_eq!(outside[at], open[at], "{name}");
    }
}

#[test]
fn arguments_decide_where_they_are_told_apart() {
    let probe = Probe::new();
    let fork = 17; // SIGCHLD
    let mut cases: Vec<(String, i32)> = vec![
        (call("clone", &[fork]), 0),
        (call("clone", &[fork | 0x2_0000]), EPERM),
        (call("clone", &[fork | 0x1000_0000]), EPERM),
        (call("clone", &[0x1_0000_0000 | fork | 0x1000_0000]), EPERM),
        (call("unshare", &[0x600]), 0),
        (call("unshare", &[0x1000_0000]), EPERM),
        (call("unshare", &[0x4000_0000]), EPERM),
        (call("personality", &[0xffff_ffff]), 0),
        (call("personality", &[0x4_0000]), 0),
        (call("personality", &[0x40_0000]), EPERM),
        (call("keyctl", &[1, 0]), EPERM),
    ];
    for (family, kind, protocol, expected) in [
        (1, 1, 0, 0),
        (2, 1, 0, 0),
        (2, 0x8_0802, 17, 0),
        (10, 1, 6, 0),
        (16, 3, 0, 0),
        (16, 3, 15, EAFNOSUPPORT),
        (16, 3, 12, EAFNOSUPPORT),
        (2, 3, 1, EPERM),
        (10, 3, 58, EPERM),
        (2, 1, 132, EAFNOSUPPORT),
        (17, 3, 0x300, EAFNOSUPPORT),
        (38, 5, 0, EAFNOSUPPORT),
        (40, 1, 0, EAFNOSUPPORT),
        (31, 3, 1, EAFNOSUPPORT),
    ] {
        cases.push((call("socket", &[family, kind, protocol]), expected));
    }
    let calls: Vec<String> = cases.iter().map(|(call, _)| call.clone()).collect();
    for flags in ["", "--trace-denied"] {
        for ((call, expected), got) in cases.iter().zip(probe.inside(flags, &calls)) {
            assert_eq!(got, *expected, "{flags}: {call}");
        }
    }
    // vsock and the others do exist outside, or their errors are other ones.
    let outside = probe.outside(&calls);
    assert_ne!(outside[cases.len() - 4], EAFNOSUPPORT, "packet");
}

#[test]
fn numbers_that_no_table_has_do_not_exist() {
    let probe = Probe::new();
    let newest = CALLS.iter().filter_map(|call| call.number(HERE)).max().unwrap();
    let numbers = [u32::from(newest) + 1, 600, 1023, 100_000, 0x3fff_ffff, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff];
    let calls: Vec<String> = numbers.iter().map(u32::to_string).collect();
    assert_eq!(probe.inside("", &calls), vec![ENOSYS; calls.len()]);
    assert_eq!(probe.inside("--nested", &calls), vec![ENOSYS; calls.len()]);
    assert_eq!(probe.inside("--trace-denied", &calls), vec![ENOSYS; calls.len()]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn other_ways_into_the_kernel_are_closed() {
    let s = Scratch::new();
    // getpid, unshare of a user namespace, mount, socket, and a call that i386 alone
    // has (socketcall), by all three ways.
    compile(
        &s,
        "ways",
        r#"
        #include <stdio.h>
        int main(void) {
            int old[] = {20, 310, 21, 359, 102}, new[] = {39, 272, 165, 41, 520};
            for (int i = 0; i < 5; i++) {
                int done;
                __asm__ volatile("int $0x80" : "=a"(done) : "a"(old[i]), "b"(0x10000000), "c"(1), "d"(0) : "memory", "r8", "r9", "r10", "r11");
                printf("i386 %d\n", done);
                long result, number = 0x40000000L + new[i];
                __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(0x10000000L), "S"(1L), "d"(0L) : "memory", "rcx", "r11");
                printf("x32 %ld\n", result);
            }
            return 0;
        }"#,
    );
    let inside = run_in(&s.0, &["--ro", ".", "--", "./ways"]);
    assert_eq!(inside.good().lines().collect::<Vec<_>>(), ["i386 -38", "x32 -38"].repeat(5));
    // They are there outside: the first is answered.
    let outside = outcome(command(&s.0.join("ways"), &s.0, false));
    let first = outside.good().lines().next().unwrap().to_owned();
    assert!(first != "i386 -38", "{first}");
    // A whole program of 32 bits fails plainly, where this machine can build one.
    s.file("small.c", "int main(void) { return 0; }");
    let small = Command::new("gcc").args(["-m32", "-static", "-o", "small", "small.c"]).current_dir(&s.0).output().unwrap();
    if small.status.success() {
        assert_ne!(run_in(&s.0, &["--ro", ".", "--", "./small"]).status, 0);
    }
}

/// What programs do all day. Prints a line for each.
const DAILY: &str = r#"
import ctypes, multiprocessing, os, select, signal, socket, ssl, subprocess, sys, tempfile, threading, time, mmap, asyncio
libc = ctypes.CDLL(None, use_errno=True)
def ok(name, value=True): print(name, value, flush=True)
def need(value):
    if value == -1: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return value
def square(n): return n * n
def threads():
    found = []
    many = [threading.Thread(target=found.append, args=(n,)) for n in range(20)]
    [t.start() for t in many]; [t.join() for t in many]
    return sorted(found) == list(range(20))
def forked():
    pid = os.fork()
    if pid == 0: os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def spawned():
    pid = os.posix_spawn('/bin/sh', ['sh', '-c', 'exit 5'], {})
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def pipes(): return subprocess.run(['sh', '-c', 'echo a | tr a b | cat'], capture_output=True, text=True).stdout.strip()
def stream(family, address):
    server = socket.socket(family); server.bind((address, 0)); server.listen()
    client = socket.create_connection(server.getsockname()[:2]); peer, _ = server.accept()
    client.sendall(b'ping'); return peer.recv(4)
def datagram():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.bind(('127.0.0.1', 0))
    two = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); two.sendto(b'x', one.getsockname())
    return one.recv(1)
def unix():
    a, b = socket.socketpair(); read, write = os.pipe()
    socket.send_fds(a, [b'fd'], [write]); _, fds, _, _ = socket.recv_fds(b, 2, 1)
    os.write(fds[0], b'through'); return os.read(read, 7)
def links(): return any(name == 'lo' for _, name in socket.if_nameindex())
def netlink():
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); s.bind((0, 0)); return True
def epolled():
    read, write = os.pipe(); e = select.epoll(); e.register(read, select.EPOLLIN); os.write(write, b'x')
    return len(e.poll(1))
def watched():
    fd = need(libc.inotify_init1(0)); d = tempfile.mkdtemp()
    need(libc.inotify_add_watch(fd, d.encode(), 0x100)); open(d + '/new', 'w').close()
    return len(os.read(fd, 100)) > 0
def timed():
    fd = need(libc.timerfd_create(1, 0)); ring = []
    signal.signal(signal.SIGALRM, lambda *_: ring.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.01)
    while not ring: time.sleep(0.01)
    return True
def shared():
    ident = need(libc.shmget(0, 4096, 0o1600)); libc.shmat.restype = ctypes.c_void_p
    at = libc.shmat(ident, None, 0); ctypes.memmove(at, b'shm', 3); need(libc.shmctl(ident, 0, None))
    return ctypes.string_at(at, 3)
def semaphores():
    ident = need(libc.semget(0, 1, 0o1600)); need(libc.semctl(ident, 0, 0)); return True
def queues():
    ident = need(libc.msgget(0, 0o1600)); need(libc.msgctl(ident, 0, None)); return True
def pooled():
    with multiprocessing.Pool(2) as pool: return pool.map(square, range(4))
def memory():
    fd = os.memfd_create('m'); os.write(fd, b'abc'); return mmap.mmap(fd, 3)[:]
def evented():
    fd = os.eventfd(1); return os.eventfd_read(fd)
async def nap():
    process = await asyncio.create_subprocess_exec('true'); return await process.wait()
def sandboxed():
    # Its own filter, and a Landlock ruleset: what browsers and others make for themselves.
    need(libc.prctl(38, 1, 0, 0, 0))
    class Program(ctypes.Structure): _fields_ = [('n', ctypes.c_ushort), ('at', ctypes.c_char_p)]
    return need(libc.prctl(22, 2, ctypes.byref(Program(1, b'\x06\0\0\0\0\0\xff\x7f')), 0, 0))
def confined():
    attributes = (ctypes.c_uint64 * 1)(2)
    fd = libc.syscall(444, attributes, 8, 0)
    return fd >= 0 or os.strerror(ctypes.get_errno())
if __name__ == '__main__':
    ok('threads', threads()); ok('fork', forked()); ok('spawn', spawned()); ok('pipes', pipes())
    ok('tcp', stream(socket.AF_INET, '127.0.0.1')); ok('tcp6', stream(socket.AF_INET6, '::1')); ok('udp', datagram())
    ok('unix', unix()); ok('links', links()); ok('netlink', netlink()); ok('epoll', epolled()); ok('inotify', watched())
    ok('timers', timed()); ok('shm', shared()); ok('sem', semaphores()); ok('msg', queues()); ok('pool', pooled())
    ok('memfd', memory()); ok('eventfd', evented()); ok('asyncio', asyncio.run(nap()))
    ok('ssl', ssl.create_default_context().verify_mode.name); ok('affinity', len(os.sched_getaffinity(0)) > 0)
    ok('random', len(os.getrandom(8))); ok('nice', os.nice(0)); ok('landlock', confined()); ok('seccomp', sandboxed())
"#;

#[test]
fn what_programs_do_all_day_is_as_outside() {
    let s = Scratch::new();
    s.file("daily.py", DAILY);
    let inside = run_in(&s.0, &["--ro", ".", "--", "python3", "daily.py"]);
    let mut plain = command(Path::new("python3"), &s.0, false);
    plain.arg("daily.py");
    let outside = outcome(plain);
    assert_eq!(inside.good(), outside.good(), "{inside:#?}");
    assert_eq!(inside.out.lines().count(), 26);
    let traced = run_in(&s.0, &["--ro", ".", "--trace-denied", "--", "python3", "daily.py"]);
    assert_eq!(traced.good(), outside.good(), "{traced:#?}");
}

#[test]
fn programs_are_debugged_and_built_inside() {
    let s = Scratch::new();
    s.file(
        "t.c",
        "#include <stdio.h>\nint twice(int n) { return 2 * n; }\nint main(void) { printf(\"%d\\n\", twice(21)); return 0; }\n",
    );
    let work = |script: &str| {
        let mut plain = command(Path::new("/bin/sh"), &s.0, false);
        plain.args(["-c", script]);
        let (outside, inside) = (outcome(plain), sh_in(&s.0, "--rw .", script));
        assert_eq!(inside.good(), outside.good(), "{script}: {inside:#?}");
        inside.out
    };
    assert_eq!(work("gcc -g -O0 -o t t.c && ./t"), "42\n");
    assert!(
        work("gdb -q -batch -ex 'break twice' -ex run -ex 'print n' -ex continue ./t 2>/dev/null | grep -o '^.1 = 21'")
            .contains("21")
    );
    assert!(work("strace -f -e trace=write -o log sh -c ./t && grep -o 'write(1, .42' log").contains("42"));
    assert!(
        work("strace -o log -e trace=getppid -e inject=getppid:retval=77 perl -e 'print getppid' 2>/dev/null").contains("77")
    );
    assert_eq!(
        work("setarch -R ./t; setarch linux32 uname -m | wc -l; busybox sh -c 'busybox echo b | busybox cat'"),
        "42\n1\nb\n"
    );
    assert_eq!(
        work("perl -MSocket -e 'socketpair(A, B, AF_UNIX, SOCK_STREAM, 0) or die; fork or exit 3; wait; print $? >> 8'"),
        "3"
    );
}

#[test]
fn flags_open_and_close_calls() {
    let probe = Probe::new();
    let keyring = [call("keyctl", &[0, u64::MAX - 1, 0])];
    assert_eq!(probe.inside("", &keyring), [EPERM]);
    assert_ne!(probe.inside("--allow-syscall @keyring", &keyring), [EPERM]);
    assert_ne!(probe.inside("--allow-syscall keyctl", &keyring), [EPERM]);

    let others = [call("getppid", &[]), call("getpgid", &[0]), call("mq_unlink", &[0])];
    assert_eq!(probe.inside("--deny-syscall getppid --deny-syscall @ipc:ENOSPC", &others), [EPERM, 0, 28]);
    assert_eq!(
        probe.inside("--deny-syscall @ipc:ENOSPC --allow-syscall mq_unlink --deny-syscall getppid:EXDEV", &others),
        [18, 0, 14]
    );

    let sockets = [call("socket", &[2, 3, 1]), call("socket", &[17, 3, 0]), call("socket", &[16, 3, 15])];
    assert_eq!(probe.inside("", &sockets), [EPERM, EAFNOSUPPORT, EAFNOSUPPORT]);
    assert_eq!(probe.inside("--cap net_raw", &sockets), [0, EAFNOSUPPORT, EAFNOSUPPORT]);
    assert_eq!(probe.inside("--cap net_raw --allow-syscall socket", &sockets), [0, 0, 0]);

    // With an order that there is not: in a process table of one's own EINVAL.
    let reboot = [call("reboot", &[0xfee1_dead, 0x2812_1969, 0x1234_5678])];
    assert_eq!(probe.inside("", &reboot), [EPERM]);
    assert_eq!(probe.inside("--cap sys_boot", &reboot), [22]);

    assert_eq!(sh("--cap sys_admin", "mount -t tmpfs x /tmp && hostname other && hostname").good(), "other");
    assert_ne!(sh("", "hostname other").status, 0);
    assert_eq!(sh("--nested", "unshare -Urm sh -c 'mount -t tmpfs x /tmp && echo done'").good(), "done");
    assert_ne!(sh("--nested --deny-syscall @mount", "unshare -Urm sh -c 'mount -t tmpfs x /tmp'").status, 0);
}

#[test]
fn one_filter_or_none_is_on() {
    let seccomp = |flags: &str| sh(flags, "grep ^Seccomp /proc/self/status | cut -f2 | xargs").good().to_owned();
    assert_eq!(seccomp(""), "2 1");
    assert_eq!(seccomp("--seccomp default"), "2 1");
    assert_eq!(seccomp("--deny-syscall swapon:ENOSYS"), "2 1");
    assert_eq!(seccomp("--seccomp none"), "0 0");
}

#[test]
fn explain_and_the_record_say_so() {
    let explained =
        |flags: &str| run(&[&flags.split_whitespace().collect::<Vec<_>>()[..], &["--explain", "--", "true"]].concat());
    assert!(explained("").good().contains("  system calls by the default policy (seccomp)\n"));
    let changed = explained("--allow-syscall @keyring --deny-syscall ptrace");
    assert!(
        changed
            .good()
            .contains("(seccomp); allowed, too: add_key keyctl request_key; refused, too: ptrace  [--allow-syscall @keyring]"),
        "{changed:#?}"
    );
    assert!(explained("--cap net_raw").good().contains("allowed, too: socket  [--cap net_raw]"));
    assert!(!explained("--seccomp none").good().contains("seccomp)"));
    assert!(explained("--nested").good().contains("pivot_root"));
    let layers = |flags: &str| {
        let script = format!("exec {} {flags} --status-fd 3 -- true 3>&1", jail().display());
        let mut shell = command(Path::new("/bin/sh"), Path::new("/"), false);
        shell.args(["-c", &script]);
        outcome(shell).good().to_owned()
    };
    assert!(layers("").contains("\"seccomp\"]"), "{}", layers(""));
    assert!(!layers("--seccomp none").contains("seccomp"));
}
