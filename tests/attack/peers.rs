//! Peers of --reach and --publish that behave at random, on both sides of the relay, and
//! what an endpoint is. Afterwards the relay sleeps, holds nothing, still works, and does
//! not hold up the jail's end.

use crate::random::{Random, rounds};
use crate::support::*;
use rustix::net::sockopt::{Timeout, set_socket_linger, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the peers are at it in each round.
const ROUND: Duration = Duration::from_secs(3);

/// The most descriptors of a relay without a connection: those that it listens and waits with.
const DESCRIPTORS: usize = 12;

/// Does something with a connection: sends, reads, ends one direction, resets.
fn play(mut random: Random, stream: OwnedFd) {
    let wait = Duration::from_millis(*random.pick(&[50, 300, 1000]));
    for timeout in [Timeout::Recv, Timeout::Send] {
        let _ = set_socket_timeout(&stream, timeout, Some(wait));
    }
    for _ in 0..1 + random.below(11) {
        let done = match random.below(8) {
            0..3 => {
                let size = *random.pick(&[1, 10, 1000, 100_000]);
                send(&stream, &vec![b'r'; size], SendFlags::NOSIGNAL).map(drop)
            }
            3 => send(&stream, b"!", SendFlags::NOSIGNAL | SendFlags::OOB).map(drop),
            4 => {
                let mut bytes = vec![0; *random.pick(&[1, 4096, 1 << 20])];
                // Nothing may come, and one goes on.
                let _ = recv(&stream, &mut bytes[..], RecvFlags::empty());
                Ok(())
            }
            5 => shutdown(&stream, *random.pick(&[Shutdown::Read, Shutdown::Write, Shutdown::Both])),
            6 => {
                std::thread::sleep(random.moment(Duration::from_millis(20)));
                Ok(())
            }
            _ => {
                // What is closed so is reset.
                let _ = set_socket_linger(&stream, Some(Duration::ZERO));
                return;
            }
        };
        if done.is_err() {
            return;
        }
    }
}

/// The same inside; also what only a Unix socket has: descriptors with the bytes.
const INSIDE: &str = r#"
import os, random, socket, struct, sys, threading, time
def play(s, seed):
    r = random.Random(seed)
    try:
        s.settimeout(r.choice([0.05, 0.3, 1]))
        for _ in range(r.randrange(1, 12)):
            op = r.randrange(9)
            if op <= 2: s.sendall(bytes(r.choice([1, 10, 1000, 100000])))
            elif op == 3: s.send(b"!", socket.MSG_OOB)
            elif op == 4:
                try: s.recv(r.choice([1, 4096, 1 << 20]))
                except socket.timeout: pass
            elif op == 5: s.shutdown(r.choice([socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR]))
            elif op == 6 and s.family == socket.AF_UNIX:
                f = os.pipe(); socket.send_fds(s, [b"x"], list(f)); os.close(f[0]); os.close(f[1])
            elif op == 7: time.sleep(r.random() * 0.02)
            elif op == 8: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); break
    except (OSError, ValueError): pass
    finally: s.close()
seed, stop = int(sys.argv[1]), time.time() + float(sys.argv[2])
def server(l):
    n = 0
    while True:
        c, _ = l.accept(); n += 1
        if n % 5 == 0: c.close(); continue
        threading.Thread(target=play, args=(c, seed + n), daemon=True).start()
l = socket.create_server(("127.0.0.1", 80), backlog=20)
threading.Thread(target=server, args=(l,), daemon=True).start()
print("ready", flush=True)
made = [0] * 8
def client(k):
    while time.time() < stop:
        try:
            if made[k] % 2: s = socket.create_connection(("a.test", 1234), 5)
            else: s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect("/tmp/s")
        except OSError: continue
        made[k] += 1
        play(s, seed + k * 100000 + made[k])
many = [threading.Thread(target=client, args=(k,)) for k in range(8)]
[t.start() for t in many]; [t.join() for t in many]
print(sum(made), flush=True)
sys.stdin.readline()
s = socket.create_connection(("echo.test", 7), 20); s.sendall(b"still there"); s.shutdown(socket.SHUT_WR)
said = b""
while part := s.recv(100): said += part
print(said.decode(), flush=True)
sys.stdin.read()
"#;

/// A child of the launcher that passes bytes on.
struct Relay {
    pid: String,
    name: String,
}

impl Relay {
    fn all(launcher: &Child) -> Vec<Self> {
        let named = children(launcher.id(), 3).into_iter().map(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim().to_owned();
            Self { pid, name }
        });
        named.filter(|relay| ["reacher", "publisher"].contains(&relay.name.as_str())).collect()
    }

    /// How often it ran, and was interrupted to let others run.
    fn turns(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("it lives");
        let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
        counts.map(|line| line.rsplit('\t').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// How many descriptors it has open; only root may ask.
    fn descriptors(&self) -> Option<usize> {
        Some(std::fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?.count())
    }
}

#[test]
fn random_peers_leave_the_relay_asleep_and_empty() {
    rounds("random peers", 1, |random| {
        let s = Scratch::new();
        let seed = random.below(1 << 32);
        let script = s.file("inside.py", INSIDE);
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let unix = UnixListener::bind(s.0.join("sock")).unwrap();
        std::fs::set_permissions(s.0.join("sock"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let (a, e) = (port(&tcp), port(&echo));
        // These threads end with the test program: each waits for one connection more.
        let accepts = move |n: u64, stream: OwnedFd| {
            // Now and then one that is closed at once.
            if n % 7 != 0 {
                std::thread::spawn(move || play(Random::new(seed + n), stream));
            }
        };
        std::thread::spawn(move || tcp.incoming().flatten().zip(1..).for_each(|(stream, n)| accepts(n, stream.into())));
        std::thread::spawn(move || unix.incoming().flatten().zip(1 << 20..).for_each(|(stream, n)| accepts(n, stream.into())));
        std::thread::spawn(move || {
            for mut stream in echo.incoming().flatten() {
                let mut said = Vec::new();
                let _ = stream.read_to_end(&mut said);
                let _ = stream.write_all(&said);
            }
        });
        let mut shell = command(std::path::Path::new("/bin/sh"), &s.0, false);
        let line = format!(
            "exec {} --as-root --reach a.test:1234=127.0.0.1:{a} --reach echo.test:7=127.0.0.1:{e} --reach unix:/tmp/s=unix:sock \
             --publish 127.0.0.2:0:80 --ro-bind {} /inside.py --status-fd 3 -- python3 /inside.py {seed} {} 3>record",
            jail().display(),
            script.display(),
            ROUND.as_secs_f64()
        );
        shell.args(["-c", &line]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut says = move || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            line.trim().to_owned()
        };
        assert_eq!(says(), "ready");
        let record = std::fs::read_to_string(s.0.join("record")).unwrap();
        let published = record.split("\"published\":").nth(1).and_then(|rest| rest.split("\"port\":").nth(1));
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        let published: u16 = digits(published.expect(&record)).parse().unwrap();
        let relays = Relay::all(&child);
        assert_eq!(relays.len(), 2, "one for each direction");
        // Clients from outside.
        let stop = AtomicBool::new(false);
        let connected: u64 = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..6)
                .map(|k| {
                    let stop = &stop;
                    scope.spawn(move || {
                        let mut n = 0;
                        while !stop.load(Ordering::Relaxed) {
                            let Ok(stream) = TcpStream::connect(("127.0.0.2", published)) else { continue };
                            n += 1;
                            play(Random::new(seed + (k + 2) * 1_000_000 + n), stream.into());
                        }
                        n
                    })
                })
                .collect();
            std::thread::sleep(ROUND);
            stop.store(true, Ordering::Relaxed);
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        let inside: u64 = says().parse().unwrap();
        assert!(connected > 20 && inside > 20, "{connected} connections from outside, {inside} from inside");
        // What is on its way comes to its end.
        let start = Instant::now();
        loop {
            let turns: Vec<u64> = relays.iter().map(Relay::turns).collect();
            std::thread::sleep(Duration::from_millis(500));
            let used: Vec<u64> = relays.iter().zip(&turns).map(|(relay, before)| relay.turns() - before).collect();
            let now: Vec<_> = relays.iter().map(Relay::descriptors).collect();
            if used.iter().all(|used| *used == 0) && now.iter().flatten().all(|now| *now <= DESCRIPTORS) {
                break;
            }
            let names: Vec<&str> = relays.iter().map(|relay| relay.name.as_str()).collect();
            assert!(start.elapsed() < Duration::from_secs(20), "{names:?}: turns {used:?}, descriptors {now:?}");
        }
        for relay in &relays {
            let resident = resident(&relay.pid);
            assert!(resident < 8192, "{} has {resident} kB", relay.name);
        }
        stdin.write_all(b"\n").unwrap();
        assert_eq!(says(), "still there");
        let start = Instant::now();
        drop(stdin);
        assert!(child.wait().unwrap().success());
        assert!(start.elapsed() < Duration::from_secs(5), "the end took {:?}", start.elapsed());
    });
}

#[test]
fn an_endpoint_is_an_address_and_a_port_whatever_host_a_request_names() {
    // A server of many hosts at one address, as those of content delivery networks are.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (stream, _) = server.accept().unwrap();
        let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
        let host = lines.by_ref().find(|line| line.starts_with("Host:"));
        let _ = (&stream).write_all(b"HTTP/1.0 200 OK\r\n\r\nheard");
        host
    });
    let flags = format!("--reach named.test:80=127.0.0.1:{port}");
    let ask = |host: &str, at: &str| {
        format!(
            "python3 -c 'import http.client; c = http.client.HTTPConnection(\"{at}\", timeout=20); \
             c.request(\"GET\", \"/\", headers={{\"Host\": \"{host}\"}}); print(c.getresponse().read().decode())'"
        )
    };
    // The relay passes bytes and does not read them: another host of that address is reached.
    assert_eq!(sh(&flags, &ask("other.test", "named.test")).good(), "heard");
    assert_eq!(heard.join().unwrap().as_deref(), Some("Host: other.test"));
    // By its own name it is not, and no other port is.
    let other = sh(&flags, &ask("other.test", "other.test"));
    assert!(other.status != 0 && other.err.contains("gaierror"), "{other:?}");
    let port = sh(&flags, &ask("named.test", "named.test:81"));
    assert!(port.status != 0 && port.err.contains("ConnectionRefusedError"), "{port:?}");
}
