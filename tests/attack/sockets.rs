//! What is no ordinary file in a place that is shown read-only: Unix sockets and FIFOs,
//! whose other end is a program outside; and watching files that are seen. The kernel lets
//! a read-only mount stop none of it. What is held is tested here beside what the manual
//! says is open. The same places on other kernels are in tests/kernels.rs.

use crate::kit::*;
use crate::support::*;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The version of Landlock's interface that the jail's rules are made for.
fn abi() -> u32 {
    let explained = run(&["--explain", "--", "true"]);
    let after = explained.good().split_once("Landlock rules (ABI ").map(|(_, after)| after);
    after.map_or(0, |after| after.split_once(')').unwrap().0.parse().unwrap())
}

/// Makes DIR/s, for streams, and DIR/d, for datagrams, which answer everyone.
fn served(s: &Scratch, dir: &str) -> PathBuf {
    let dir = s.dir(dir);
    let (stream, datagram) = (dir.join("s"), dir.join("d"));
    let (listener, bound) = (UnixListener::bind(&stream).unwrap(), UnixDatagram::bind(&datagram).unwrap());
    for path in [stream, datagram] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }
    thread::spawn(move || listener.incoming().flatten().for_each(|mut stream| drop(stream.write_all(b"hello"))));
    thread::spawn(move || while bound.recv(&mut [0]).is_ok() {});
    dir
}

const REACH: &str = "
def stream(path):
    s = socket.socket(socket.AF_UNIX); s.connect(path)
    return s.recv(5).decode()
def datagram(path):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', path)
def own(path):
    s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen()
    d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d.bind(path + '.d')
    c = socket.socket(socket.AF_UNIX); c.connect(path); c.send(b'hello')
    datagram(path + '.d')
    return s.accept()[0].recv(5).decode()
";

#[test]
fn sockets_of_the_host_are_reached_only_in_writable_places() {
    let kit = Kit::with(REACH);
    let s = &kit.0;
    let (ro, rw) = (served(s, "ro"), served(s, "rw"));
    served(s, "rw/sub");
    s.give(&rw);
    let (ro, rw) = (ro.display(), rw.display());
    // Before Linux 7.1 the kernel does not ask Landlock.
    let closed = abi() >= 9;
    let (stream, datagram) = if closed { ("EACCES", "EACCES") } else { ("hello", "done") };
    let both = |dir: &str| [format!("stream('{dir}/s')"), format!("datagram('{dir}/d')")];
    let reached = |flags: &str, dir: &str, expected: [&str; 2]| {
        let attempts = both(dir);
        kit.inside(flags, &[(&attempts[0], expected[0]), (&attempts[1], expected[1])]);
    };
    let attempts = both(&ro.to_string());
    kit.outside(&[(&attempts[0], "hello"), (&attempts[1], "done")]);
    for (flags, dir) in [
        (format!("--ro {ro}"), ro.to_string()),
        (format!("--ro {ro}/s --ro {ro}/d"), ro.to_string()),
        (format!("--ro-bind {ro} /mnt/x"), "/mnt/x".into()),
        (format!("--ro-bind {ro} /run/x"), "/run/x".into()),
        (format!("--ro-bind {ro} /mnt/x --as-root"), "/mnt/x".into()),
        (format!("--ro-bind {ro} /mnt/x --net host"), "/mnt/x".into()),
        (format!("--ro-bind {ro} /mnt/x --degrade landlock"), "/mnt/x".into()),
        (format!("--ro-bind {ro} /mnt/x --seccomp none"), "/mnt/x".into()),
    ] {
        reached(&flags, &dir, [stream, datagram]);
    }
    for (flags, dir) in [
        (format!("--rw {rw}"), rw.to_string()),
        (format!("--rw-bind {rw} /mnt/x"), "/mnt/x".into()),
        (format!("--rw-bind {rw}/s /mnt/s --rw-bind {rw}/d /mnt/d"), "/mnt".into()),
        // A rule cannot take away what one above gives.
        (format!("--rw {rw} --ro {rw}/sub"), format!("{rw}/sub")),
        // No rules for files, as the manual says.
        (format!("--ro-bind {ro} /mnt/x --landlock none"), "/mnt/x".into()),
        (format!("--ro-bind {ro} /mnt/x --nested"), "/mnt/x".into()),
        (format!("--ro-bind {ro} /mnt/x --as-root --cap sys_admin"), "/mnt/x".into()),
    ] {
        reached(&flags, &dir, ["hello", "done"]);
    }
    kit.inside(&format!("--reach unix:/run/s=unix:{ro}/s"), &[("stream('/run/s')", "hello")]);
    kit.inside(&format!("--reach unix:{ro}/s"), &[(&attempts[0], "hello")]);
    // What the command makes itself, wherever it can.
    let own = ["/tmp", "/run", "/dev/shm", "/t", &rw.to_string()].map(|dir| format!("own('{dir}/own')"));
    kit.inside(&format!("--rw {rw} --tmpfs /t"), &own.each_ref().map(|attempt| (attempt.as_str(), "hello")));
}

/// What arrives at a reader outside of what the command writes to the FIFO.
fn written(s: &Scratch, fifo: &Path, flags: &str, inside: &str) -> String {
    // Not to wait for a writer.
    let mut reader = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(fifo).unwrap();
    let out = sh_in(&s.0, &format!("{flags} --timeout 10"), &format!("echo through >{inside}"));
    let mut got = String::new();
    let _ = reader.read_to_string(&mut got);
    assert_eq!(out.status == 0, !got.is_empty(), "{flags}: {out:?}");
    assert!(out.status == 0 || out.err.to_lowercase().contains("permission denied"), "{flags}: {out:?}");
    got
}

#[test]
fn a_fifo_shown_read_only_is_written_to_only_where_rules_say_nothing() {
    let s = Scratch::new();
    let fifo = |path: &str| {
        s.dir(path.rsplit_once('/').unwrap().0);
        let path = s.0.join(path);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::empty()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        path
    };
    let place = s.0.display();
    let (plain, below, tree) = (fifo("ro/p"), fifo("rw/sub/p"), fifo("tree/p"));
    s.give(&s.0.join("rw"));
    s.tree("tree");
    // Nothing above it may be written to: Landlock's rules hold.
    if abi() >= 2 {
        for (flags, inside, outside) in [
            (format!("--ro-bind {place}/ro /mnt/x"), "/mnt/x/p", &plain),
            (format!("--ro-bind {place}/ro/p /mnt/p"), "/mnt/p", &plain),
            (format!("--ro-bind {place}/ro /mnt/x --as-root"), "/mnt/x/p", &plain),
            (format!("--ro-bind {place}/ro /mnt/x --seccomp none"), "/mnt/x/p", &plain),
            ("--root tree".into(), "/p", &tree),
        ] {
            assert_eq!(written(&s, outside, &flags, inside), "", "{flags}");
        }
    }
    // Something above it may, or there are no rules: the manual says so.
    let sub = below.to_str().unwrap().to_owned();
    for (flags, inside, outside) in [
        (format!("--ro-bind {place}/ro /tmp/x"), "/tmp/x/p", &plain),
        (format!("--ro-bind {place}/ro /run/x"), "/run/x/p", &plain),
        (format!("--rw {place}/rw --ro {place}/rw/sub"), sub.as_str(), &below),
        (format!("--ro-bind {place}/ro /mnt/x --landlock none"), "/mnt/x/p", &plain),
        (format!("--ro-bind {place}/ro /mnt/x --nested"), "/mnt/x/p", &plain),
    ] {
        assert_eq!(written(&s, outside, &flags, inside), "through\n", "{flags}");
    }
}

#[test]
fn a_fifo_that_is_seen_is_read_from() {
    let s = Scratch::new();
    let fifo = s.dir("ro").join("p");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::empty()).unwrap();
    fs::set_permissions(&fifo, fs::Permissions::from_mode(0o666)).unwrap();
    let mut writer = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    writer.write_all(b"for a reader outside\n").unwrap();
    let flags = format!("--ro-bind {} /mnt/x --timeout 10", s.0.join("ro").display());
    assert_eq!(sh(&flags, "read line </mnt/x/p; echo $line").good(), "for a reader outside");
    let covered = sh(&format!("{flags} --hide /mnt/x/p"), "read line </mnt/x/p");
    assert!(covered.status != 0 && covered.err.to_lowercase().contains("permission denied"), "{covered:?}");
}

/// A file outside is opened again and again; what the command is told of it.
const WATCH: &str = "
F_NOTIFY, DN_ACCESS, DN_MULTISHOT = 1026, 1, -0x80000000
told = []
signal.signal(signal.SIGIO, lambda *_: told.append(1))
def watched(path):
    libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    fd = libc.inotify_init1(0o4000)
    if fd < 0 or libc.inotify_add_watch(fd, path.encode(), 0x20) < 0: raise OSError(ctypes.get_errno(), '')
    if not select.select([fd], [], [], 10)[0]: return 'nothing'
    event = os.read(fd, 4096)
    return event[16:16 + struct.unpack_from('I', event, 12)[0]].rstrip(b'\\0').decode()
def noticed(path):
    fcntl.fcntl(os.open(path, os.O_RDONLY), F_NOTIFY, DN_ACCESS)
    end = time.time() + 10
    while not told and time.time() < end: time.sleep(.05)
    return 'something' if told else 'nothing'
def locked(path):
    fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
";

#[test]
fn files_that_are_seen_are_watched_unless_a_flag_refuses_it() {
    let kit = Kit::with(WATCH);
    let file = kit.0.file("ro/f", "content");
    let read = file.clone();
    thread::spawn(move || {
        while read.exists() {
            let _ = fs::read(&read);
            thread::sleep(Duration::from_millis(20));
        }
    });
    let watch = |flags: &str, by_name: &str| {
        kit.inside(
            &format!("--ro-bind ro /mnt/x {flags}"),
            &[("watched('/mnt/x')", by_name), ("noticed('/mnt/x')", "something")],
        );
    };
    // Both as the manual says: who reads which file, and with the flag that something is read.
    watch("", "f");
    watch("--deny-syscall inotify_add_watch", "EPERM");
    kit.inside(
        "--deny-syscall inotify_add_watch --ro-bind ro /mnt/x",
        &[("watched('/usr/bin')", "EPERM"), ("call('fanotify_init', 0, 0)", "EPERM|ENOSYS")],
    );
    // What looks at a file by itself goes on.
    let tail = "echo one >f; (sleep 1; echo two >>f) & timeout 8 tail -n 1 -f f 2>/dev/null | head -n 2";
    kit.0.dir("work");
    let out = sh_in(&kit.0.0.join("work"), "--rw . --deny-syscall inotify_add_watch", tail);
    assert_eq!(out.good(), "one\ntwo");
}

#[test]
fn a_file_that_is_seen_can_be_locked() {
    let kit = Kit::with(WATCH);
    let file = fs::File::open(kit.0.file("ro/f", "content")).unwrap();
    kit.inside("--ro-bind ro /mnt/x", &[("locked('/mnt/x/f')", "done")]);
    let held = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).unwrap();
    kit.inside("--ro-bind ro /mnt/x", &[("locked('/mnt/x/f')", "EAGAIN")]);
    drop(held);
}
