//! --publish: a service inside is reached from outside, through that port alone.

mod support;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::*;

/// Does for each connection what its first byte says, and tells on stdout.
const SERVER: &str = r#"
import os, socket, struct, sys, threading
def serve(c):
    what = c.recv(1)
    if what == b"e":
        while data := c.recv(1 << 16): c.sendall(data)
        c.sendall(b"all heard")
    elif what == b"c":
        count = 0
        while data := c.recv(1 << 20): count += len(data)
        c.sendall(b"%d" % count)
    elif what == b"t":
        for i in range(1024): c.sendall(bytes(1 << 20))
    elif what == b"h":
        c.sendall(b"that is all"); c.shutdown(socket.SHUT_WR)
        say("heard", c.recv(99))
    elif what == b"r":
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif what == b"w":
        try: say("end", c.recv(1))
        except ConnectionResetError: say("reset")
    elif what == b"x":
        c.sendall(bytes(32 << 20)); os._exit(7)
    elif what == b"p":
        c.sendall(repr(c.getpeername()[0]).encode())
    c.close()
def say(*words): print(*words, flush=True)
s = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
say("ready")
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"#;

/// A jail that serves port 8000 of its loopback.
struct Served {
    jail: Child,
    /// What the server says.
    says: BufReader<std::process::ChildStderr>,
    start: String,
    port: u16,
}

impl Served {
    /// `publish` without the ports.
    fn at(address: &str) -> Self {
        Self::with(&format!("--publish {address}:0:8000"))
    }

    fn with(flags: &str) -> Self {
        Self::after(":", flags)
    }

    /// `first` is a shell command that comes before jail.
    fn after(first: &str, flags: &str) -> Self {
        let s = Scratch::new();
        let server = s.file("server.py", SERVER);
        let script = format!(
            "{first}; exec {} {flags} --ro-bind {} /server.py --status-fd 3 -- python3 /server.py 8000 3>&1 >&2",
            jail().display(),
            server.display()
        );
        let mut shell = command(Path::new("/bin/sh"), Path::new("/"), false);
        shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut jail = shell.spawn().unwrap();
        let mut start = String::new();
        BufReader::new(jail.stdout.take().unwrap()).read_line(&mut start).unwrap();
        let mut served = Self { says: BufReader::new(jail.stderr.take().unwrap()), jail, start, port: 0 };
        assert_eq!(served.line(), "ready", "{}", served.start);
        let port = served.start.split("\"port\":").nth(1).expect("the record says what is published");
        served.port = port.split(',').next().unwrap().parse().unwrap();
        served
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim_end().into()
    }

    fn connect(&self, what: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(what.as_bytes()).unwrap();
        stream
    }

    fn children(&self) -> Vec<String> {
        children(self.jail.id(), 2)
    }

    fn publisher(&self) -> String {
        let named = |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "publisher\n";
        self.children().into_iter().find(named).expect("the publisher is the launcher's child")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.jail.kill();
        let _ = self.jail.wait();
    }
}

fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_is_said_arrives_and_each_side_may_end_first() {
    let mut served = Served::at("127.0.0.1");
    let mut stream = served.connect("ehello ");
    let mut first = [0; 6];
    stream.read_exact(&mut first).unwrap();
    stream.write_all(b"again, ").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&first[..], rest(&mut stream).as_str()), (&b"hello "[..], "again, all heard"));

    let mut stream = served.connect("h");
    assert_eq!(rest(&mut stream), "that is all");
    stream.write_all(b"after the end").unwrap();
    assert_eq!(served.line(), "heard b'after the end'");
    // The jail learns nothing of who is outside.
    assert_eq!(rest(&mut served.connect("p")), "'127.0.0.1'");
}

#[test]
fn resets_pass_both_ways() {
    let mut served = Served::at("127.0.0.1");
    let error = served.connect("r").read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    // Rust's streams have no stable way to reset.
    let script = format!(
        "import socket,struct,time; s=socket.create_connection((\"127.0.0.1\",{})); s.send(b\"w\"); time.sleep(.2); \
         s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(\"ii\",1,0)); s.close()",
        served.port
    );
    assert!(Command::new("python3").args(["-c", &script]).status().unwrap().success());
    assert_eq!(served.line(), "reset");
}

#[test]
fn much_passes_both_ways_in_little_memory() {
    let served = Served::at("127.0.0.1");
    let mut stream = served.connect("t");
    // A slow reader at first: what waits is bounded.
    std::thread::sleep(Duration::from_millis(500));
    let (mut buffer, mut count) = (vec![0; 1 << 20], 0);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            read => count += read,
        }
    }
    assert_eq!(count, 1 << 30);
    let mut stream = served.connect("c");
    for _ in 0..1024 {
        stream.write_all(&buffer).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut stream), (1 << 30).to_string());
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.publisher())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 16384, "{peak} kB");
}

#[test]
fn many_at_once_and_one_after_another() {
    let served = Served::at("127.0.0.1");
    let mut streams: Vec<TcpStream> = (0..300).map(|_| served.connect("e")).collect();
    for (index, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("{index} ").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    }
    for (index, stream) in streams.iter_mut().enumerate() {
        assert_eq!(rest(stream), format!("{index} all heard"));
    }
    drop(streams);
    for _ in 0..1000 {
        assert_eq!(rest(&mut served.connect("p")), "'127.0.0.1'");
    }
    // Nothing of them is left: the listening socket, the launcher's pipe and epoll, and
    // some pipes for who comes next.
    let fds = || std::fs::read_dir(format!("/proc/{}/fd", served.publisher())).unwrap().count();
    if we_are_root() {
        let start = Instant::now();
        while fds() > 3 + 2 * 16 && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(fds() <= 3 + 2 * 16, "{}", fds());
    }
    // Nor does it spin where there is nothing to do.
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", served.publisher())).unwrap();
        stat.split(' ').skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_millis(500));
    assert!(ticks() - before < 5, "{}", ticks() - before);
}

#[test]
fn with_few_descriptors_some_wait_and_none_is_lost() {
    let served = Served::after("ulimit -n 80", "--publish 127.0.0.1:0:8000");
    let mut streams: Vec<TcpStream> = (0..30).map(|_| served.connect("e")).collect();
    for stream in &mut streams {
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(stream), "all heard");
    }
}

#[test]
fn nothing_else_is_reached_from_either_side() {
    let served = Served::with("--publish 127.0.0.2:0:8000 --publish 127.0.0.2:0:8001");
    // Another address of the same port, and a port inside on which nobody listens.
    assert!(TcpStream::connect(("127.0.0.1", served.port)).is_err());
    let other = served.start.split("\"port\":").nth(2).unwrap().split(',').next().unwrap().parse::<u16>().unwrap();
    let mut refused = TcpStream::connect(("127.0.0.2", other)).unwrap();
    assert!(refused.read(&mut [0]).is_err(), "it is reset, as a refusal cannot be passed on");
    // The jail sees neither the host's loopback nor its own hole.
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = free_port();
    let script = format!(
        "python3 -c 'import socket
for at in ((\"127.0.0.1\", {}), (\"127.0.0.2\", {own})):
    try: socket.create_connection(at, 2); print(\"reached\")
    except OSError as e: print(e.errno)'",
        host.local_addr().unwrap().port()
    );
    assert_eq!(sh(&format!("--publish 127.0.0.2:{own}:80"), &script).good(), "111\n111");
}

#[test]
fn two_jails_have_the_same_port_each_at_its_own_address() {
    let port = free_port();
    let both = ["127.0.0.2", "127.0.0.3"].map(|address| Served::with(&format!("--publish {address}:{port}:8000")));
    for address in ["127.0.0.2", "127.0.0.3"] {
        let mut stream = TcpStream::connect((address, port)).unwrap();
        stream.write_all(b"p").unwrap();
        assert_eq!(rest(&mut stream), "'127.0.0.1'");
    }
    assert!(
        both[1]
            .start
            .contains(&format!(r#""published":[{{"protocol":"tcp","address":"127.0.0.3","port":{port},"inside":8000}}]"#)),
        "{}",
        both[1].start
    );
    // One that is in use is an error before anything runs.
    let out = sh(&format!("--publish 127.0.0.2:{port}:8000"), "echo ran");
    out.refused(&[&format!("--publish 127.0.0.2:{port}:8000: publish"), "(os error 98)", "name another port or address"]);
    assert_eq!(out.out, "");
}

#[test]
fn the_port_is_free_again_and_what_was_sent_arrives_when_the_jail_ends() {
    let served = Served::at("127.0.0.1");
    let mut idle = served.connect("e");
    let mut stream = served.connect("x");
    // So slow that much is on its way when the server is dead.
    let (mut part, mut count) = (vec![0; 1 << 18], 0);
    loop {
        match stream.read(&mut part).unwrap() {
            0 => break,
            read => count += read,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(count, 32 << 20);
    let start = Instant::now();
    let mut served = served;
    assert_eq!(served.jail.wait().unwrap().code(), Some(7));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(matches!(idle.read(&mut [0]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(("127.0.0.1", served.port)).is_err());
    TcpListener::bind(("127.0.0.1", served.port)).expect("it is free");
}

#[test]
fn a_jail_that_nobody_speaks_with_ends_at_once() {
    let quickest = |flags: &str| {
        let took = |_| {
            let start = Instant::now();
            sh(flags, "true").good();
            start.elapsed()
        };
        (0..5).map(took).min().unwrap()
    };
    // A relay that waits for readers gives them 0.2 seconds.
    for flags in ["--publish 127.0.0.1:0:8000", "--reach a:80=127.0.0.1:9"] {
        let (with, without) = (quickest(flags), quickest(""));
        assert!(with < without + Duration::from_millis(150), "{flags}: {with:?} instead of {without:?}");
    }
}

#[test]
fn a_killed_launcher_leaves_nothing() {
    let mut served = Served::at("127.0.0.1");
    let children = served.children();
    assert_eq!(children.len(), 2, "process 1 and the publisher");
    let _open = served.connect("e");
    served.jail.kill().unwrap();
    served.jail.wait().unwrap();
    let start = Instant::now();
    while children.iter().any(|pid| Path::new("/proc").join(pid).exists()) {
        assert!(start.elapsed() < Duration::from_secs(5), "something is left over");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(TcpStream::connect(("127.0.0.1", served.port)).is_err());
}

#[test]
fn the_publisher_holds_nothing_and_can_do_nothing() {
    if !we_are_root() {
        return skip("only root sees the descriptors of who is closed to others");
    }
    let served = Served::at("127.0.0.1");
    let publisher = format!("/proc/{}", served.publisher());
    let mut fds: Vec<String> = std::fs::read_dir(format!("{publisher}/fd"))
        .unwrap()
        .map(|fd| std::fs::read_link(fd.unwrap().path()).unwrap().display().to_string())
        .map(|to| to.split(':').next().unwrap().to_owned() + if to.contains("eventpoll") { " epoll" } else { "" })
        .collect();
    fds.sort();
    assert_eq!(fds, ["anon_inode epoll", "pipe", "socket"]);
    let status = std::fs::read_to_string(format!("{publisher}/status")).unwrap();
    for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let namespace = |pid: &str, name: &str| std::fs::read_link(format!("{pid}/ns/{name}")).unwrap();
    let first = served.children().into_iter().map(|pid| format!("/proc/{pid}")).find(|pid| *pid != publisher).unwrap();
    for (name, of_the_jail) in [("net", true), ("user", true), ("mnt", false), ("pid", false), ("ipc", false)] {
        assert_eq!(namespace(&publisher, name) == namespace(&first, name), of_the_jail, "{name}");
    }
}

#[test]
fn who_publishes_nothing_has_no_publisher() {
    let mut child = command(jail(), Path::new("/"), false);
    child.args(["--", "sh", "-c", "echo ready; read word"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let children = children(child.id(), 1);
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(children.len(), 1);
}

#[test]
fn it_works_with_other_flags() {
    for flags in ["--as-root", "--cap sys_admin", "--init none", "--pid host", "--new-session", "--pty"] {
        let served = Served::with(&format!("--publish 127.0.0.1:0:8000 {flags}"));
        assert_eq!(rest(&mut served.connect("p")), "'127.0.0.1'", "{flags}");
    }
}

#[test]
fn it_works_for_root() {
    let script = "python3 -c 'import socket
s = socket.create_server((\"127.0.0.1\", 80)); c = s.accept()[0]; c.sendall(b\"served\")' & sleep 0.1; wait";
    let port = free_port();
    let connect = format!(
        "python3 -c 'import socket, time
for i in range(200):
    try:
        s = socket.create_connection((\"127.0.0.1\", {port})); said = s.recv(9)
        if said: print(said); break
    except OSError: pass
    time.sleep(0.05)'"
    );
    let both = format!("jail --as-root --publish {port}:80 -- sh -c '{}' & {connect}; wait", script.replace('\'', "'\\''"));
    if we_are_root() {
        assert_eq!(outside_in(Path::new("/"), true, &both).good(), "b'served'");
    }
    assert_eq!(outside_in(Path::new("/"), false, &both).good(), "b'served'");
}

#[test]
fn an_ipv6_address_is_one_too() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return skip("this machine has no IPv6") };
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let _served = Served::with(&format!("--publish [::1]:{port}:8000 --publish 127.0.0.1:{port}:8001"));
    let mut stream = TcpStream::connect(("::1", port)).unwrap();
    stream.write_all(b"p").unwrap();
    assert_eq!(rest(&mut stream), "'127.0.0.1'");
}
