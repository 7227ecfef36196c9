//! The network, and sockets of every kind. Which families and protocols there are is
//! in tests/syscalls.rs, ports by Landlock in tests/landlock.rs, pasta in
//! tests/pasta.rs, a jailed root's part in tests/jailed_root.rs.

use crate::kit::*;
use crate::support::*;
use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Clients, and servers of one's own at the same addresses.
const SOCKETS: &str = r#"
def to(family, kind, address):
    s = socket.socket(family, kind); s.settimeout(2); s.connect(address)
    if kind == socket.SOCK_DGRAM and family != socket.AF_UNIX:
        s.send(b'x'); return s.recv(9).decode()
    return s.recv(9).decode() if kind == socket.SOCK_STREAM else ''
def own(family, address):
    server = socket.socket(family); server.bind(address); server.listen()
    client = socket.socket(family); client.connect(address)
    server.accept()[0].send(b'own'); return client.recv(9).decode()
V4, V6, UNIX, TCP, UDP = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.SOCK_STREAM, socket.SOCK_DGRAM
"#;

/// Says "host" to whoever connects.
fn serve(server: TcpListener) -> u16 {
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || server.incoming().flatten().for_each(|mut stream| drop(stream.write_all(b"host"))));
    port
}

#[test]
fn the_hosts_servers_are_out_of_reach() {
    let kit = Kit::with(SOCKETS);
    let v4 = serve(TcpListener::bind("127.0.0.1:0").unwrap());
    let v6 = TcpListener::bind("[::1]:0").ok().map(serve);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_port = udp.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((_, from)) = udp.recv_from(&mut [0; 9]) {
            let _ = udp.send_to(b"host", from);
        }
    });
    let mut attempts = vec![
        (format!("to(V4, TCP, ('127.0.0.1', {v4}))"), "host"),
        (format!("to(V4, UDP, ('127.0.0.1', {udp_port}))"), "host"),
        // All of 127.0.0.0/8, and 0.0.0.0, are the host's loopback, too.
        (format!("to(V4, TCP, ('0.0.0.0', {v4}))"), "host"),
        (format!("to(V6, TCP, ('::ffff:127.0.0.1', {v4}))"), "host"),
    ];
    attempts.extend(v6.map(|port| (format!("to(V6, TCP, ('::1', {port}))"), "host")));
    let cases = |given: Option<&'static str>| -> Vec<(String, &str)> {
        attempts.iter().map(|(attempt, host)| (attempt.clone(), given.unwrap_or(host))).collect()
    };
    fn lent<'a>(cases: &'a [(String, &'a str)]) -> Vec<Case<'a>> {
        cases.iter().map(|(attempt, given)| (attempt.as_str(), *given)).collect()
    }
    kit.outside(&lent(&cases(None)));
    for flags in [
        "",
        "--as-root",
        "--as-root --cap net_admin --cap net_raw --cap sys_admin",
        "--nested",
        "--seccomp none --landlock none",
        "--pid host --ipc host",
    ] {
        kit.inside(flags, &lent(&cases(Some("ECONNREFUSED|ENETUNREACH"))));
    }
    // The allowed twins: servers of its own at the very same addresses; and the host's, when named.
    kit.inside("", &[(&format!("own(V4, ('127.0.0.1', {v4}))"), "own"), (&format!("own(V6, ('::1', {v4}))"), "own")]);
    kit.inside("--net host", &lent(&cases(None)));
}

#[test]
fn the_hosts_unix_sockets_are_out_of_reach() {
    let s = Scratch::new();
    let name = format!("jail-attack-{}", std::process::id());
    let stream = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let _datagram = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(format!("{name}-d")).unwrap()).unwrap();
    let named = UnixListener::bind(s.dir("place").join("socket")).unwrap();
    s.give(&s.0.join("place/socket"));
    for server in [stream, named] {
        std::thread::spawn(move || server.incoming().flatten().for_each(|mut stream| drop(stream.write_all(b"host"))));
    }
    let kit = Kit::with(SOCKETS);
    let place = s.0.join("place");
    let [stream, datagram] = [format!("to(UNIX, TCP, '\\0{name}')"), format!("to(UNIX, UDP, '\\0{name}-d')")];
    let path = format!("to(UNIX, TCP, '{}/socket')", place.display());
    kit.outside(&[(&stream, "host"), (&datagram, ""), (&path, "host")]);
    // Two fences: the network namespace has such names, and Landlock looks at whose they are.
    for flags in ["", "--as-root", "--nested", "--landlock none", "--net host"] {
        kit.inside(flags, &[(&stream, "ECONNREFUSED|EPERM"), (&datagram, "ECONNREFUSED|EPERM"), (&path, "ENOENT")]);
    }
    kit.inside("", &[(&format!("own(UNIX, '\\0{name}')"), "own"), ("own(UNIX, '/tmp/socket')", "own")]);
    // Sockets in shown places are in sockets.rs. A socket that is covered is gone.
    kit.inside(&format!("--ro {0} --hide {0}/socket", place.display()), &[(&path, "ECONNREFUSED|EACCES")]);
}

#[test]
fn the_jails_network_is_not_changed_or_left() {
    let kit = Kit::with(
        "def request(kind, flags, body):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    s.send(struct.pack('IHHII', 16 + len(body), kind, flags, 1, 0) + body)
    done = struct.unpack_from('i', s.recv(9000), 16)[0]
    if done: raise OSError(-done, 'netlink')
def link(): request(16, 0x605, struct.pack('BxHiII', 0, 0, 0, 0, 0) + struct.pack('HH', 20, 18) + struct.pack('HH8s', 10, 1, b'dummy') + b'    ')
def down(): fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14x', b'lo', 0))
def address(): fcntl.ioctl(socket.socket(), 0x8916, struct.pack('16sHH4s8x', b'lo', 2, 0, bytes([10, 0, 0, 1])))
def links(): return ' '.join(name for _, name in socket.if_nameindex())
def table(): socket.socket().getsockopt(0, 64, 84)
def mark(): socket.socket().setsockopt(1, 36, 7)
def device(): socket.socket().setsockopt(1, 25, b'lo')
def force(): socket.socket().setsockopt(1, 33, 1 << 20)
def namespace(): fcntl.ioctl(socket.socket(), 0x894c)
def credentials(pid, uid):
    a, b = socket.socketpair(); a.sendmsg([b'x'], [(1, 2, struct.pack('iii', pid, uid, uid))])",
    );
    kit.inside(
        "",
        &[
            ("link()", "EPERM"),
            ("down()", "EPERM"),
            ("address()", "EPERM"),
            ("table()", "EPERM|ENOPROTOOPT"),
            ("mark()", "EPERM"),
            ("force()", "EPERM"),
            ("namespace()", "EPERM"),
            // To pass for another process or user is root's.
            ("credentials(1, os.getuid())", "EPERM"),
            ("credentials(os.getpid(), 0)", "EPERM|EINVAL"),
            ("os.open('/proc/1/ns/net', os.O_RDONLY)", "EACCES|EPERM"),
            ("call('setns', os.open('/proc/self/ns/net', os.O_RDONLY), 0x40000000)", "EPERM"),
            ("socket.create_server(('127.0.0.1', 80))", "EACCES"),
            // The allowed twins.
            ("credentials(os.getpid(), os.getuid())", "done"),
            ("links()", "lo"),
            ("device()", "done"),
            ("socket.create_server(('127.0.0.1', 8000))", "done"),
            ("socket.socket().setsockopt(1, 8, 1 << 20)", "done"),
        ],
    );
    // A jailed root, who has a network of its own, may not either; one with the power may.
    kit.inside(
        "--as-root",
        &[("link()", "EPERM"), ("down()", "EPERM"), ("address()", "EPERM"), ("force()", "EPERM"), ("namespace()", "EPERM")],
    );
}

#[test]
fn a_socket_that_is_passed_is_of_the_network_that_it_came_from() {
    // The manual warns of it: what is passed can be connected anew.
    let (first, other) = (serve(TcpListener::bind("127.0.0.1:0").unwrap()), serve(TcpListener::bind("127.0.0.1:0").unwrap()));
    let kit = Kit::with(
        "def anew(port):
    s = socket.socket(fileno=0); libc.connect(0, bytes(16), 16); s.connect(('127.0.0.1', port)); return s.recv(9).decode()",
    );
    let anew = format!("anew({other})");
    let with = |stdin: Stdio| {
        let mut jail = command(jail(), &kit.0.0, false);
        jail.args(["--ro-bind", "kit.py", "/kit.py", "--", "python3", "/kit.py", &anew]).stdin(stdin);
        outcome(jail)
    };
    let passed = TcpStream::connect(("127.0.0.1", first)).unwrap();
    assert_eq!(with(OwnedFd::from(passed).into()).good(), "host");
    // The allowed twin: through a pipe, or a pair of Unix sockets, nothing is reached.
    let (own, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_ne!(with(OwnedFd::from(own).into()).good(), "host");
    assert_eq!(with(Stdio::null()).good(), "ENOTSOCK");
}

/// Runs jail as the user, and gives what came of it and how long it took; None where it
/// has not ended in time.
fn in_time(dir: &Path, flags: &str, script: &str) -> Option<(Outcome, Duration)> {
    let start = Instant::now();
    let mut jail = command(jail(), dir, false);
    jail.args(flags.split_whitespace()).args(["--", "python3", "-uc", script]);
    let mut jail = jail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while jail.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(20) {
            let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", jail.id())).unwrap();
            let _ = std::process::Command::new("kill").arg("-KILL").args(children.split_whitespace()).status();
            jail.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Some((Outcome::from(jail.wait_with_output().unwrap()), start.elapsed()))
}

#[test]
fn a_jail_that_ends_a_listening_socket_of_the_relay_gains_nothing() {
    // To have the kernel end sockets takes the power over the network, and more calls
    // than there are; `ss -K` does it so.
    let (gone, other) = (serve(TcpListener::bind("127.0.0.1:0").unwrap()), serve(TcpListener::bind("127.0.0.1:0").unwrap()));
    let script = "import errno, socket, struct
diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
def request(kind, flags, which):
    diag.send(struct.pack('IHHIIBBBBI', 72, kind, flags, 1, 0, socket.AF_INET, 6, 0, 0, 1 << 10) + which)
request(20, 0x301, bytes(48))
found, data, at = [], diag.recv(1 << 16), 0
while at < len(data):
    length, kind = struct.unpack_from('IH', data, at)
    if kind == 20 and data[at + 20:at + 22] == b'\\0\\x50': found.append(data[at + 20:at + 68])
    at += (length + 3) & ~3
for which in found:
    request(21, 5, which); print(errno.errorcode.get(-struct.unpack_from('i', diag.recv(9000), 16)[0], 'ended'))
try: print(socket.create_connection(('a.test', 80)).recv(9))
except OSError as e: print(errno.errorcode[e.errno])
print(socket.create_connection(('a.test', 81)).recv(9))";
    let flags = format!(
        "--seccomp none --as-root --cap net_admin --reach a.test:80=127.0.0.1:{gone} --reach a.test:81=127.0.0.1:{other}"
    );
    let (out, took) = in_time(Path::new("/"), &flags, script).expect("the relay spins, and the launcher waits for it");
    let lines: Vec<&str> = out.good().lines().collect();
    if lines[0] == "EOPNOTSUPP" {
        return skip("this kernel ends no sockets (CONFIG_INET_DIAG_DESTROY)");
    }
    assert_eq!(lines[0], "ended", "{lines:?}");
    assert_eq!(*lines.last().unwrap(), "b'host'");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_descriptor_that_is_long_in_closing_holds_up_nobody_outside() {
    let s = Scratch::new();
    let server = UnixListener::bind(s.0.join("s")).unwrap();
    std::fs::set_permissions(s.0.join("s"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    std::thread::spawn(move || {
        // All read nothing until what is sent to the last is in the relay's queue.
        for mut stream in server.incoming().flatten() {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(1));
                std::io::copy(&mut stream, &mut std::io::sink())
            });
        }
    });
    // A socket that has much to say to another, which reads nothing, and an hour for it.
    // Its last descriptors are in what the relay reads.
    let script = "import socket, struct, time
def fill(s):
    s.setblocking(False)
    try:
        while True: s.send(bytes(4096))
    except BlockingIOError: s.setblocking(True)
door = socket.socket(socket.AF_UNIX); door.connect('/run/s')
server = socket.create_server(('127.0.0.1', 9000)); a = socket.create_connection(('127.0.0.1', 9000)); b = server.accept()[0]
fill(a); a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 3600))
fill(door); door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
socket.send_fds(door, [b'a'], [a.fileno()]); socket.send_fds(door, [b'b'], [b.fileno()])
a.close(); b.close(); time.sleep(1.5); print('sent')";
    let flags = format!("--reach unix:/run/s=unix:{}/s", s.0.display());
    let (out, took) = in_time(Path::new("/"), &flags, script).expect("the relay waits, and the launcher for it");
    assert_eq!(out.good(), "sent");
    assert!(took < Duration::from_secs(15), "{took:?}");

    // Nor does the relay outlive a launcher that is killed meanwhile.
    let mut jail = command(jail(), Path::new("/"), false);
    jail.args(flags.split_whitespace()).args(["--", "python3", "-uc", &format!("{script}; time.sleep(60)")]);
    let mut jail = jail.stdout(Stdio::piped()).spawn().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(jail.stdout.as_mut().unwrap()), &mut String::new()).unwrap();
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", jail.id())).unwrap();
    jail.kill().unwrap();
    jail.wait().unwrap();
    let start = Instant::now();
    while children.split_whitespace().any(|pid| Path::new("/proc").join(pid).exists()) {
        assert!(start.elapsed() < Duration::from_secs(10), "something is left over");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_relay_that_is_stopped_holds_up_no_end() {
    let port = serve(TcpListener::bind("127.0.0.1:0").unwrap());
    // The host's processes are in reach, of signals too where Landlock keeps none in.
    let script = "import os, signal, socket
print(socket.create_connection(('a.test', 80)).recv(9))
for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
        status = open('/proc/' + pid + '/status').read()
        if status.startswith('Name:\\treacher') and '\\nPPid:\\t' + str(LAUNCHER) + '\\n' in status: os.kill(int(pid), signal.SIGSTOP); print('stopped')
    except OSError: pass";
    // The reaper's parent, as --pid host shows it.
    let script = script.replace("LAUNCHER", "open('/proc/' + str(os.getppid()) + '/stat').read().rsplit(') ')[-1].split()[1]");
    let flags = format!("--pid host --landlock none --reach a.test:80=127.0.0.1:{port}");
    let (out, _) = in_time(Path::new("/"), &flags, &script).expect("the launcher waits for one that stands still");
    assert_eq!(out.good(), "b'host'\nstopped");
}
