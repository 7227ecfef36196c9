//! --reach: the named endpoints are reached from inside, by their own names, and
//! nothing else is.

mod support;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use support::*;

/// A server outside that does `serve` with each connection.
fn server(at: &str, serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind(at).unwrap();
    let port = listener.local_addr().unwrap().port();
    // The standard library's 128 overflow; the kernel then answers with cookies, and
    // loses what is sent with the end, without any relay too.
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(4096).unwrap()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Says back what it hears, and at the end that it was all.
fn echo(mut stream: impl Read + Write) {
    let mut buffer = [0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => stream.write_all(&buffer[..read]).unwrap_or(()),
            Err(_) => return,
        }
    }
    let _ = stream.write_all(b" all heard");
}

/// Python inside, with `call(host, port, said)`: what is answered, or an error's name.
fn python(flags: &str, script: &str) -> Outcome {
    let s = Scratch::new();
    python_in(&s, flags, script)
}

fn python_in(s: &Scratch, flags: &str, script: &str) -> Outcome {
    const CALL: &str = r#"
import errno, os, socket, struct, sys
def all(s):
    said = b""
    while part := s.recv(65536): said += part
    return said.decode()
def call(host, port, said=b"hello"):
    try:
        s = socket.create_connection((host, port), 20) if port else socket.socket(socket.AF_UNIX)
        if not port: s.connect(host)
        s.sendall(said); s.shutdown(socket.SHUT_WR)
        return all(s)
    except socket.gaierror as e: return "no such name"
    except OSError as e: return errno.errorcode.get(e.errno, str(e))
"#;
    let file = s.file("script.py", &format!("{CALL}\n{script}\n"));
    sh_in(&s.0, &format!("{flags} --ro-bind {} /script.py", file.display()), "python3 /script.py")
}

#[test]
fn a_name_is_reached_by_that_name_and_its_port_alone() {
    let port = server("127.0.0.1:0", echo);
    let other = server("127.0.0.1:0", echo);
    let out = python(
        &format!("--reach db.example.test:5432=127.0.0.1:{port} --reach Other.example.test:443=127.0.0.1:{other}"),
        &format!(
            "for at in (('db.example.test', 5432), ('DB.example.test', 5432), ('other.example.test', 443), \
             ('db.example.test', 443), ('db.example.test', {port}), ('127.0.0.1', {port}), ('127.0.0.1', 5432), \
             ('::1', 5432), ('example.test', 5432), ('169.254.169.254', 80), ('192.0.2.1', 80)): print(call(*at))"
        ),
    );
    let expected = [
        "hello all heard",
        "hello all heard",
        "hello all heard",
        "ECONNREFUSED",
        "ECONNREFUSED",
        "ECONNREFUSED",
        "ECONNREFUSED",
        "ECONNREFUSED",
        "no such name",
        "ENETUNREACH",
        "ENETUNREACH",
    ];
    assert_eq!(out.good().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_name_has_an_address_of_each_kind_and_the_hosts_names_are_not_seen() {
    let port = server("127.0.0.1:0", echo);
    let flags = format!(
        "--hostname box --reach b.test:80=127.0.0.1:{port} --reach a.test:1=127.0.0.1:{port} --reach a.test:2=127.0.0.1:{port}"
    );
    let hosts = sh(&flags, "cat /etc/hosts");
    let v6 = Path::new("/proc/net/if_inet6").exists();
    let expected = if v6 {
        "127.0.0.1 localhost box\n::1 localhost\n127.64.0.1 a.test\nfd6a:6169:6c00::1 a.test\n127.64.0.2 b.test\nfd6a:6169:6c00::2 b.test"
    } else {
        "127.0.0.1 localhost box\n127.64.0.1 a.test\n127.64.0.2 b.test"
    };
    assert_eq!(hosts.good(), expected);
    // The order of the flags means nothing.
    let mut turned: Vec<&str> = flags.split(" --").collect();
    turned.reverse();
    let turned = format!("--{}", turned.join(" --").replace("----", "--"));
    assert_eq!(sh(&turned, "cat /etc/hosts").good(), expected);
    // Either kind works, also for who asks only for those that the machine has.
    let script = "
for family in (socket.AF_INET, socket.AF_INET6, 0):
    try: found = socket.getaddrinfo('b.test', 80, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
    except OSError as e: print(e); continue
    for kind, _, _, _, at in found:
        s = socket.socket(kind); s.connect(at); s.sendall(b'x'); s.shutdown(1); print(all(s))";
    let answers = if v6 { 4 } else { 2 };
    assert_eq!(python(&flags, script).good(), vec!["x all heard"; answers].join("\n"));
    // Nobody can change it.
    assert_eq!(sh(&flags, "echo x 2>/dev/null >/etc/hosts || echo no").good(), "no");
    assert_eq!(sh(&format!("--as-root {flags}"), "umount /etc/hosts 2>/dev/null || echo no").good(), "no");
}

#[test]
fn an_address_is_the_same_inside_and_localhost_is_the_hosts() {
    let port = server("127.0.0.1:0", echo);
    let localhost =
        format!("--reach localhost:{port} --reach 192.0.2.7:{port}=127.0.0.1:{port} --reach [2001:db8::7]:80=127.0.0.1:{port}");
    let script = format!(
        "for at in (('localhost', {port}), ('127.0.0.1', {port}), ('192.0.2.7', {port}), ('2001:db8::7', 80), ('192.0.2.7', 80)): print(call(*at))"
    );
    let out = python(&localhost, &script);
    assert_eq!(
        out.good().lines().collect::<Vec<_>>(),
        ["hello all heard"; 4].iter().chain(&["ECONNREFUSED"]).copied().collect::<Vec<_>>()
    );
}

#[test]
fn privileged_ports_are_as_any_other() {
    let port = server("127.0.0.1:0", echo);
    for flags in
        ["", "--as-root", "--cap sys_admin", "--init none", "--pid host", "--fakeroot", "--nested", "--pty", "--landlock none"]
    {
        let out = python(&format!("{flags} --reach www.example.test:80=127.0.0.1:{port}"), "print(call('www.example.test', 80))");
        assert_eq!(out.good(), "hello all heard", "{flags}");
    }
}

#[test]
fn it_works_for_root() {
    if !we_are_root() {
        return skip("only root can be root");
    }
    let port = server("127.0.0.1:0", echo);
    let script = format!(
        "jail --reach a.test:80=127.0.0.1:{port} -- python3 -c 'import socket
s = socket.create_connection((\"a.test\", 80)); s.sendall(b\"root\"); s.shutdown(1); print(s.recv(4))'"
    );
    assert_eq!(outside_in(Path::new("/"), true, &script).good(), "b'root'");
}

#[test]
fn names_are_the_resolvers_and_near_addresses_are_not_a_names() {
    // The name of this machine is known to it, or it is not; localhost's other names are.
    let out = sh("--reach no.such.name.invalid:80", "echo ran");
    out.refused(&[
        "--reach no.such.name.invalid:80: find no.such.name.invalid: the name is not known",
        "resolver",
        "=ADDRESS:80",
    ]);
    assert_eq!(out.out, "");
    // A resolver of our own making.
    let s = Scratch::new();
    let getent = s.file("getent", "#!/bin/sh\n[ \"$1 $#\" = 'ahosts 2' ] && case $2 in far.test) echo '192.0.2.1 STREAM far.test'; echo '192.0.2.1 DGRAM'; echo '2001:db8::1 STREAM';; *.test) echo \"${2%.test} STREAM\";; *) exit 2; esac\n");
    mode(&getent, 0o755);
    let explain = |name: &str| {
        let line = format!("as_user jail --reach {name}:443 --explain -- true | grep reach: || true");
        apart(&s.0, &format!("chown 0 getent; mount --bind getent /usr/bin/getent; {line}"))
    };
    let Some(far) = explain("far.test") else { return };
    assert!(far.out.contains("reach: far.test:443 inside is 192.0.2.1:443 or [2001:db8::1]:443 outside"), "{far:?}");
    for (near, which) in [
        ("127.0.0.1", "this machine's loopback"),
        ("127.9.9.9", "this machine's loopback"),
        ("169.254.169.254", "an address of this machine's link alone"),
        ("0.0.0.0", "not the address of a single machine"),
        ("255.255.255.255", "not the address of a single machine"),
        ("224.0.0.1", "not the address of a single machine"),
    ] {
        // Such a name is no name at all: it ends in letters.
        let out = explain(&format!("{near}.test")).unwrap();
        assert!(out.err.contains(&format!("the name leads to {near}, which is {which}")), "{}", out.err);
        let hint = if which.starts_with("not") { "ADDRESS" } else { near };
        assert!(out.err.contains(&format!("{near}.test:443={hint}:443")), "{}", out.err);
    }
    let script = "over /usr; rm -f /usr/bin/getent; as_user jail --reach far.test:443 -- true";
    apart(&s.0, script)
        .unwrap()
        .refused(&["getent(1), which asks this machine's resolver, is not installed in a system directory"]);
}

#[test]
fn the_first_address_that_takes_the_connection_has_it() {
    let s = Scratch::new();
    let port = server("127.0.0.1:0", echo);
    // Nobody is at [::1], where the host has IPv6, or it has none: both go on at once.
    let start = Instant::now();
    assert_eq!(
        python_in(&s, &format!("--reach localhost:{port}"), &format!("print(call('localhost', {port}))")).good(),
        "hello all heard"
    );
    let v6 = TcpListener::bind("[::1]:0");
    if let Ok(v6) = v6 {
        let port = v6.local_addr().unwrap().port();
        thread::spawn(move || v6.incoming().flatten().for_each(echo));
        assert_eq!(
            python_in(&s, &format!("--reach localhost:{port}"), &format!("print(call('localhost', {port}))")).good(),
            "hello all heard"
        );
    }
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn who_refuses_is_seen_as_a_reset() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let out = python(&format!("--reach a.test:80=127.0.0.1:{gone}"), "print(call('a.test', 80))");
    assert!(["ECONNRESET", "EPIPE"].contains(&out.good()), "{}", out.out);
}

#[test]
fn each_side_may_end_first_and_resets_pass_both_ways() {
    let (tell, told) = mpsc::channel();
    let port = server("127.0.0.1:0", move |mut stream| {
        let mut what = [0];
        let _ = stream.read(&mut what);
        match &what {
            b"h" => {
                stream.write_all(b"that is all").unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut rest = String::new();
                stream.read_to_string(&mut rest).unwrap();
                tell.send(rest).unwrap();
            }
            // Unread bytes make a close a reset.
            b"r" => drop(stream),
            _ => tell.send(format!("{:?}", stream.read(&mut what).map_err(|error| error.kind()))).unwrap(),
        }
    });
    let script = "
s = socket.create_connection(('a.test', 80)); s.sendall(b'h'); print(all(s)); s.sendall(b'after the end'); s.close()
s = socket.create_connection(('a.test', 80)); s.sendall(b'rxxxx')
try: print(s.recv(1))
except ConnectionResetError: print('reset')
s = socket.create_connection(('a.test', 80)); s.sendall(b'w'); import time; time.sleep(.2)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()";
    let out = python(&format!("--reach a.test:80=127.0.0.1:{port}"), script);
    assert_eq!(out.good(), "that is all\nreset");
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), "after the end");
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), "Err(ConnectionReset)");
}

#[test]
fn what_the_command_sent_last_arrives() {
    let (tell, told) = mpsc::channel();
    let port = server("127.0.0.1:0", move |mut stream| {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        tell.send(heard.len()).unwrap();
    });
    // It is dead before anyone has taken the connection, or before much is read.
    for length in [5, 1 << 20] {
        let script = format!("s = socket.create_connection(('a.test', 80)); s.sendall(bytes({length})); os._exit(3)");
        for _ in 0..5 {
            let out = python(&format!("--reach a.test:80=127.0.0.1:{port}"), &script);
            assert_eq!(out.status, 3, "{}", out.err);
            assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), length);
        }
    }
}

#[test]
fn what_the_command_sent_last_arrives_at_a_server_that_is_slow_at_first() {
    let (tell, told) = mpsc::channel();
    let port = server("127.0.0.1:0", move |mut stream| {
        thread::sleep(Duration::from_secs(1));
        tell.send(std::io::copy(&mut stream, &mut std::io::sink()).ok()).unwrap();
    });
    // As much as goes without anybody reading.
    let script = "
s = socket.create_connection(('a.test', 80)); s.settimeout(.2); n = 0
try:
    while True: n += s.send(bytes(65536))
except TimeoutError: print(n, flush=True); os._exit(0)";
    let out = python(&format!("--reach a.test:80=127.0.0.1:{port}"), script);
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), out.good().parse().ok());
}

#[test]
fn much_passes_both_ways_and_many_at_once() {
    let port = server("127.0.0.1:0", echo);
    let script = "
import threading, hashlib, resource
def pump(n):
    s = socket.create_connection(('a.test', 80)); block = os.urandom(1 << 16); sent = hashlib.sha256(); got = hashlib.sha256()
    def send():
        for _ in range(n): s.sendall(block); sent.update(block)
        s.shutdown(1)
    t = threading.Thread(target=send); t.start()
    rest = b''
    while part := s.recv(1 << 20): rest = (rest + part)[-10:]; got.update(part)
    t.join(); sent.update(b' all heard'); return sent.digest() == got.digest()
print(pump(8192))
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
many = [socket.create_connection(('a.test', 80)) for _ in range(1000)]
for i, s in enumerate(many): s.sendall(b'%d' % i); s.shutdown(1)
print(sum(all(s) == '%d all heard' % i for i, s in enumerate(many)))
for s in many: s.close()
print(sum(call('a.test', 80, b'x') == 'x all heard' for _ in range(10000)))";
    let out = python(&format!("--reach a.test:80=127.0.0.1:{port}"), script);
    assert_eq!(out.good(), "True\n1000\n10000");
}

/// A server of a Unix socket.
fn unix_server(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    mode(path, 0o666);
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| echo(stream)))));
}

#[test]
fn a_unix_socket_is_reached_and_no_descriptor_passes() {
    let s = Scratch::new();
    let dir = s.dir("service");
    let path = dir.join("s");
    unix_server(&path);
    let inside = format!("--reach unix:/run/service/s=unix:{}", path.display());
    assert_eq!(python(&inside, "print(call('/run/service/s', 0))").good(), "hello all heard");
    // At its own place, a relative one, and over what is there.
    for (flags, at) in [
        (format!("--reach unix:{}", path.display()), path.display().to_string()),
        ("--reach unix:service/s".into(), path.display().to_string()),
        (format!("--rw {} --reach unix:{}", dir.display(), path.display()), path.display().to_string()),
        (format!("--reach unix:/etc/passwd=unix:{}", path.display()), "/etc/passwd".into()),
    ] {
        let out = python_in(&s, &flags, &format!("print(call('{at}', 0))"));
        assert_eq!(out.good(), "hello all heard", "{flags}");
    }
    // A descriptor is dropped on the way, in both directions; who asks outside sees jail.
    let (tell, told) = mpsc::channel();
    let listener = UnixListener::bind(dir.join("d")).unwrap();
    mode(&dir.join("d"), 0o666);
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let fds = || {
            std::fs::read_dir("/proc/self/fd")
                .unwrap()
                .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
                .filter(|to| to.ends_with("script.py"))
                .count()
        };
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        tell.send((said, fds())).unwrap();
    });
    let script = "
s = socket.socket(socket.AF_UNIX); s.connect('/run/d'); f = open('/script.py')
socket.send_fds(s, [b'with a file'], [f.fileno()]); s.close()";
    assert_eq!(python(&format!("--reach unix:/run/d=unix:{}", dir.join("d").display()), script).good(), "");
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), ("with a file".into(), 0));
}

#[test]
fn nobody_inside_can_lead_a_unix_hole_elsewhere() {
    let s = Scratch::new();
    let (dir, secret) = (s.dir("service"), s.dir("secret"));
    unix_server(&dir.join("s"));
    unix_server(&secret.join("s"));
    // The command may change the directory, and tries a link, a directory and nothing.
    let script = format!(
        "d = '{0}'
print(call('/run/s', 0))
os.rename(d + '/s', d + '/kept'); print(call('/run/s', 0))
os.symlink('{1}/s', d + '/s'); print(call('/run/s', 0)); os.unlink(d + '/s')
os.mkdir(d + '/s'); print(call('/run/s', 0)); os.rmdir(d + '/s')
os.rename(d + '/kept', d + '/s'); print(call('/run/s', 0))",
        dir.display(),
        secret.display()
    );
    let out = python(&format!("--rw {0} --reach unix:/run/s=unix:{0}/s", dir.display()), &script);
    let lines: Vec<&str> = out.good().lines().collect();
    assert_eq!((lines[0], lines[4]), ("hello all heard", "hello all heard"));
    // Reset, or an end without a word: who holds the socket cannot tell why.
    assert!(lines[1..4].iter().all(|line| ["", "ECONNRESET", "EPIPE"].contains(line)), "{lines:?}");
}

#[test]
fn what_is_no_socket_is_refused() {
    let s = Scratch::new();
    let file = s.file("f", "");
    sh(&format!("--reach unix:{}", file.display()), "echo ran").refused(&["it is not a socket", "name a Unix socket"]);
    sh(&format!("--reach unix:{}/none", s.0.display()), "echo ran").refused(&["start its server first"]);
    sh("--net host --reach a.test:80=127.0.0.1:1", "echo ran").refused(&["needs a network of the jail's own"]);
    sh("--reach a.test:53/udp", "echo ran").refused(&["only TCP is relayed"]);
    // A tree without a hosts file, and a flag that has the place.
    let tree = s.dir("tree");
    let flags = format!("--root {} --reach a.test:80=127.0.0.1:1", tree.display());
    sh(&flags, "echo ran").refused(&["place /etc/hosts inside", "create"]);
    let taken = format!("--ro-bind {} /etc/hosts --reach a.test:80=127.0.0.1:1", file.display());
    sh(&taken, "echo ran").refused(&["/etc/hosts is taken by"]);
}

/// A jail that stays, with its children.
fn stays(flags: &str, count: usize) -> (Child, Vec<(String, String)>) {
    let mut child = command(jail(), Path::new("/"), false);
    child.args(flags.split_whitespace()).args(["--", "sh", "-c", "echo ready; read word"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let named = |pid: &str| (pid.to_owned(), std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim().to_owned());
    let children = children(child.id(), count).iter().map(|pid| named(pid)).collect();
    (child, children)
}

/// The time that a process has had so far, in hundredths of a second.
fn ticks(pid: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.split(' ').skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

fn reacher(of: &Child) -> String {
    let is_reacher = |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "reacher\n";
    children(of.id(), 2).into_iter().find(is_reacher).expect("it is the launcher's child")
}

#[test]
fn the_reacher_holds_nothing_and_ends_with_the_launcher() {
    let (mut child, children) = stays("--reach a.test:80=127.0.0.1:1 --reach a.test:81=127.0.0.1:1", 2);
    let (pid, _) = children.iter().find(|(_, name)| name == "reacher").expect("it is the launcher's child");
    if we_are_root() {
        let doors = if Path::new("/proc/net/if_inet6").exists() { 4 } else { 2 };
        let fds = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        // Process 1 may not yet have closed what it hands sockets out by.
        let start = Instant::now();
        while fds() > 2 + doors && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(5));
        }
        let mut fds: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .map(|fd| std::fs::read_link(fd.unwrap().path()).unwrap().display().to_string())
            .map(|to| to.split(':').next().unwrap().to_owned() + if to.contains("eventpoll") { " epoll" } else { "" })
            .collect();
        fds.sort();
        assert_eq!(fds, [vec!["anon_inode epoll", "pipe"], vec!["socket"; doors]].concat());
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
            assert!(status.contains(line), "{line}: {status}");
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let start = Instant::now();
    while children.iter().any(|(pid, _)| Path::new("/proc").join(pid).exists()) {
        assert!(start.elapsed() < Duration::from_secs(5), "something is left over");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_record_says_what_is_reached() {
    let out = outside_in(Path::new("/"), false, "jail --reach a.test:80=127.0.0.1:81 --status-fd 3 -- true 3>&1");
    assert!(out.good().contains(r#""reached":[{"name":"a.test:80","to":["127.0.0.1:81"]}]"#), "{}", out.out);
}

#[test]
fn who_reaches_nothing_has_no_reacher() {
    let (mut child, children) = stays("", 1);
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(children.len(), 1, "{children:?}");
}

#[test]
fn nothing_else_of_the_loopback_or_the_kernel_leads_out() {
    let port = server("127.0.0.1:0", echo);
    let host = server("127.0.0.1:0", echo);
    let abstract_name = format!("jail-reach-test-{}", std::process::id());
    let _abstract = {
        use std::os::linux::net::SocketAddrExt;
        UnixListener::bind_addr(&std::os::unix::net::SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap()
    };
    let script = format!(
        "
def ports(at, family=socket.AF_INET):
    found = []
    for port in range(1, 65536):
        s = socket.socket(family); s.settimeout(5)
        # One that the kernel gave this very port is connected with itself.
        if s.connect_ex((at, port)) == 0 and s.getsockname() != s.getpeername(): found.append(port)
        s.close()
    return found
for at in ('127.0.0.1', '127.64.0.1', '127.64.0.2', '127.0.0.53'): print(at, ports(at))
print(ports('fd6a:6169:6c00::1', socket.AF_INET6) if os.path.exists('/proc/net/if_inet6') else [80])
s = socket.socket(socket.AF_UNIX)
print(errno.errorcode[s.connect_ex('\\0{abstract_name}')])
s = socket.socket(socket.AF_INET); print(errno.errorcode[s.connect_ex(('127.0.0.1', {host}))])
# The rest of the relay: no socket of it but those that listen.
print(sorted(line.split()[1].split(':')[1] for line in open('/proc/net/tcp').readlines()[1:] if line.split()[3] == '0A'))
for family, kind in ((socket.AF_NETLINK, 4), (socket.AF_PACKET, 0), (socket.AF_VSOCK, 0)):
    try: socket.socket(family, socket.SOCK_RAW if family != socket.AF_VSOCK else socket.SOCK_STREAM, kind); print('made')
    except OSError as e: print(errno.errorcode[e.errno])
"
    );
    let out = python(&format!("--reach a.test:80=127.0.0.1:{port}"), &script);
    let lines: Vec<&str> = out.good().lines().collect();
    assert_eq!(&lines[..4], ["127.0.0.1 []", "127.64.0.1 [80]", "127.64.0.2 []", "127.0.0.53 []"]);
    assert_eq!(lines[4], "[80]");
    assert!(["EPERM", "ECONNREFUSED"].contains(&lines[5]), "{lines:?}");
    assert_eq!(&lines[6..8], ["ECONNREFUSED", "['0050']"]);
    assert!(lines[8..].iter().all(|line| *line != "made"), "{lines:?}");
}

#[test]
fn with_few_descriptors_some_wait_and_none_is_lost() {
    let port = server("127.0.0.1:0", echo);
    let script = format!(
        "ulimit -n 80; exec jail --reach a.test:80=127.0.0.1:{port} -- python3 -c 'import socket
many = [socket.create_connection((\"a.test\", 80)) for _ in range(40)]
for s in many: s.sendall(b\"x\"); s.shutdown(1)
print(sum(s.recv(99) != b\"\" for s in many))'"
    );
    assert_eq!(outside_in(Path::new("/"), false, &script).good(), "40");
}

#[test]
fn a_slow_reader_holds_little_and_nobody_spins() {
    let (hold, held) = mpsc::channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    let port = server("127.0.0.1:0", move |stream| {
        // Reads nothing until it may.
        let _ = held.lock().unwrap().recv_timeout(Duration::from_secs(30));
        drop(stream);
    });
    let mut child = command(jail(), Path::new("/"), false);
    child.args(["--reach", &format!("a.test:80=127.0.0.1:{port}"), "--", "python3", "-uc"]);
    child.arg("import socket, sys\ns = socket.create_connection(('a.test', 80)); s.settimeout(1); n = 0\ntry:\n    while True: n += s.send(bytes(1 << 16))\nexcept OSError: pass\nprint(n); sys.stdin.read()");
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.trim().parse::<u64>().unwrap() < 64 << 20, "{line}");
    let reacher = reacher(&child);
    let before = ticks(&reacher);
    thread::sleep(Duration::from_millis(500));
    assert!(ticks(&reacher) - before < 5, "{}", ticks(&reacher) - before);
    hold.send(()).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_silent_address_is_given_up_for_the_next() {
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("this machine has no second address of one name: no IPv6");
    }
    // The queue of the first is full: it answers nothing, as one behind a firewall.
    let script = "import socket, sys
s = socket.socket(); s.bind((\"127.0.0.1\", 0)); s.listen(0); port = s.getsockname()[1]
fill = [socket.socket() for _ in range(4)]
for f in fill: f.setblocking(False); f.connect_ex((\"127.0.0.1\", port))
t = socket.socket(socket.AF_INET6); t.bind((\"::1\", port)); t.listen()
print(port, flush=True)
c = t.accept()[0]; c.recv(9); c.sendall(b\"the second\"); c.close(); sys.stdin.read()";
    let mut server = std::process::Command::new("python3");
    let mut server = server.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut port).unwrap();
    let port = port.trim();
    let start = Instant::now();
    let out = python(&format!("--reach localhost:{port}"), &format!("print(call('localhost', {port}))"));
    assert_eq!(out.good(), "the second");
    assert!(start.elapsed() >= Duration::from_secs(3) && start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    drop(server.stdin.take());
    server.wait().unwrap();
}

#[test]
fn what_is_urgent_arrives_as_such_and_nothing_is_lost_behind_it() {
    use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt::OobInline};
    use std::os::fd::AsRawFd;
    // Who takes it from among the others, who takes it by itself, who does not look.
    let among = server("127.0.0.1:0", |stream| {
        setsockopt(&stream, OobInline, &true).unwrap();
        echo(stream);
    });
    let apart = server("127.0.0.1:0", |mut stream| {
        let mut byte = [0];
        // It is not there before what comes before it.
        stream.read_exact(&mut [0; 3]).unwrap();
        let start = Instant::now();
        while recv(stream.as_raw_fd(), &mut byte, MsgFlags::MSG_OOB).is_err() && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(5));
        }
        stream.write_all(&byte).unwrap();
        echo(stream);
    });
    let blind = server("127.0.0.1:0", echo);
    let script = "
for port in (1, 2, 3):
    s = socket.create_connection(('a.test', port), 20)
    s.sendall(b'abc'); s.send(b'x', socket.MSG_OOB); s.sendall(b'def'); s.shutdown(1)
    print(all(s))
s = socket.create_connection(('a.test', 1), 20); s.sendall(b'abc'); print(s.recv(3)); s.send(b'x', socket.MSG_OOB); print(s.recv(1))
s.sendall(b'def'); s.shutdown(1); print(all(s))";
    let flags =
        format!("--reach a.test:1=127.0.0.1:{among} --reach a.test:2=127.0.0.1:{apart} --reach a.test:3=127.0.0.1:{blind}");
    let expected = "abcxdef all heard\nxdef all heard\nabcdef all heard\nb'abc'\nb'x'\ndef all heard";
    assert_eq!(python(&flags, script).good(), expected);
}

#[test]
fn who_writes_to_nobody_is_told() {
    let s = Scratch::new();
    let listener = UnixListener::bind(s.dir("service").join("s")).unwrap();
    mode(&s.0.join("service/s"), 0o666);
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // It hears no more, and still has something to say.
        stream.shutdown(Shutdown::Read).unwrap();
        stream.write_all(b"deaf").unwrap();
        thread::sleep(Duration::from_secs(10));
    });
    let script = "
s = socket.socket(socket.AF_UNIX); s.connect('/run/s'); s.settimeout(5); print(s.recv(4))
try:
    while True: s.sendall(bytes(65536))
except OSError as e: print(type(e).__name__)";
    let out = python(&format!("--reach unix:/run/s=unix:{}/service/s", s.0.display()), script);
    assert_eq!(out.good(), "b'deaf'\nBrokenPipeError");
}

#[test]
fn fewer_descriptors_than_holes_want_is_an_error() {
    let names: String = (0..40).map(|n| format!("--reach h{n}.test:80=127.0.0.1:1 ")).collect();
    let out = outside_in(Path::new("/"), false, &format!("ulimit -n 64; exec jail {names} -- echo ran"));
    out.refused(&["(os error 24)", "ulimit -n"]);
    assert_eq!(out.out, "");
    let out = outside_in(Path::new("/"), false, &format!("ulimit -n 256; exec jail {names} -- echo ran"));
    assert_eq!(out.good(), "ran");
}

#[test]
fn a_hole_that_the_relay_cannot_take_in_is_an_error() {
    // As where the user's epoll watches are used up. The relay has two descriptors to
    // watch before those that come.
    let strace = |when: u32| {
        let inject = format!("strace -f -qq -o /dev/null -e trace=epoll_ctl -e inject=epoll_ctl:error=ENOSPC:when={when}");
        outside_in(Path::new("/"), false, &format!("{inject} jail --reach a.test:80=127.0.0.1:1 -- echo ran"))
    };
    for when in 1..=3 {
        let out = strace(when);
        out.refused(&["(os error 28)", "fs.epoll.max_user_watches"]);
        assert_eq!(out.out, "", "{when}");
    }
    assert_eq!(strace(100).good(), "ran");
}

#[test]
fn who_vanishes_without_a_word_is_noticed() {
    let port = server("127.0.0.1:0", echo);
    let mut child = command(jail(), Path::new("/"), false);
    child.args(["--reach", &format!("a.test:80=127.0.0.1:{port}"), "--", "python3", "-uc"]);
    child.arg("import socket; s = socket.create_connection(('a.test', 80)); s.send(b'x'); print(s.recv(1)); input()");
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    // The relay's end, whose timer is that of keeping alive.
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let end = fields.into_iter().find(|fields| fields[2] == format!("0100007F:{port:04X}")).expect("there is one");
    assert!(end[5].starts_with("02:"), "{end:?}");
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_full_queue_is_asked_seldom() {
    // A server that takes nothing, and has as many that wait as it wants.
    let s = Scratch::new();
    let script = "import os, socket
s = socket.socket(socket.AF_UNIX); s.bind('s'); os.chmod('s', 0o666); s.listen(0)
first = socket.socket(socket.AF_UNIX); first.connect('s')
print('full', flush=True); input(); s.accept()
for _ in range(300): s.accept()[0].sendall(b'at last')";
    let mut server = std::process::Command::new("python3");
    let mut server = server.args(["-c", script]).current_dir(&s.0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let mut child = command(jail(), &s.0, false);
    child.args(["--reach", "unix:/run/s=unix:s", "--", "python3", "-uc"]);
    child.arg("import socket; many = [socket.socket(socket.AF_UNIX) for _ in range(300)]\nfor s in many: s.connect('/run/s')\nprint('asked'); input()\nprint(sum(s.recv(9) == b'at last' for s in many))");
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    let reacher = reacher(&child);
    thread::sleep(Duration::from_secs(1));
    let before = ticks(&reacher);
    thread::sleep(Duration::from_secs(2));
    assert!(ticks(&reacher) - before <= 10, "{} of 200", ticks(&reacher) - before);
    server.stdin.take().unwrap().write_all(b"\n").unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut all = String::new();
    said.read_line(&mut all).unwrap();
    assert_eq!(all, "300\n");
    child.wait().unwrap();
    server.wait().unwrap();
}

/// Connects as soon as it is started, and says how many milliseconds that took.
const FIRST_THING: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
int main(void) {
    struct sockaddr_in6 at = { AF_INET6, htons(80) };
    struct timespec a, b;
    char said[5];
    inet_pton(AF_INET6, "fd6a:6169:6c00::1", &at.sin6_addr);
    clock_gettime(CLOCK_MONOTONIC, &a);
    int s = socket(AF_INET6, SOCK_STREAM, 0);
    if (connect(s, (void *)&at, sizeof at) || write(s, "hello", 5) != 5 || read(s, said, 5) < 1) return 1;
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%ld\n", (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000);
}
"#;

#[test]
fn the_first_packet_of_a_quick_command_arrives() {
    if !Path::new("/proc/net/if_inet6").exists() {
        return skip("this machine has no IPv6");
    }
    let s = Scratch::new();
    let (source, program) = (s.file("first.c", FIRST_THING), s.0.join("first"));
    let mut gcc = std::process::Command::new("gcc");
    assert!(gcc.args(["-O", "-static", "-o"]).args([&program, &source]).status().unwrap().success());
    let port = server("127.0.0.1:0", echo);
    // The kernel makes an address's route later than the address: of 100 launches that do
    // not wait for it, two or three have to send again, after a second.
    for _ in 0..100 {
        let reach = format!("a.test:80=127.0.0.1:{port}");
        let out = run(&["--reach", &reach, "--ro-bind", program.to_str().unwrap(), "/first", "--", "/first"]);
        assert!(out.good().parse::<u32>().unwrap() < 900, "{out:?}");
    }
}

#[test]
fn connections_leave_nothing_in_the_relays_memory() {
    let s = Scratch::new();
    unix_server(&s.0.join("s"));
    let port = server("127.0.0.1:0", echo);
    let mut child = command(jail(), Path::new("/"), false);
    child.args(["--reach", &format!("a.test:80=127.0.0.1:{port}"), "--reach", &format!("unix:/run/s=unix:{}/s", s.0.display())]);
    child.args(["--", "python3", "-uc"]).arg(
        "import socket, sys
def call(at):
    s = socket.socket(socket.AF_UNIX if at == '/run/s' else socket.AF_INET); s.connect(at); s.sendall(b'x'); s.shutdown(1)
    while s.recv(99): pass
for n in (200, 3000):
    for _ in range(n): call('/run/s'); call(('a.test', 80))
    print('ready'); sys.stdin.readline()",
    );
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut memory = || {
        said.read_line(&mut String::new()).unwrap();
        let now = resident(reacher(&child));
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        now
    };
    // Nothing is given back of it: what each took would stay.
    let (first, later) = (memory(), memory());
    assert!(later <= first + 32, "{first} kB, then {later} kB");
    child.wait().unwrap();
}
