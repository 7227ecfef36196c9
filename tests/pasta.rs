//! --net pasta: a network of the jail's own, connected to the outside.

mod support;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::*;

fn missing() -> bool {
    for path in ["/usr/bin/pasta", "/dev/net/tun"] {
        if !Path::new(path).exists() {
            skip(&format!("{path} is missing"));
            return true;
        }
    }
    false
}

/// The pasta that the launcher with this number has started.
fn pasta_of(launcher: u32) -> PathBuf {
    let children = std::fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap();
    let proc = |pid: &str| PathBuf::from("/proc").join(pid);
    let is_pasta = |p: &PathBuf| std::fs::read_to_string(p.join("comm")).unwrap().starts_with("pas");
    children.split_whitespace().map(proc).find(is_pasta).expect("pasta (or passt) is the launcher's child")
}

#[test]
fn it_is_connected_and_shut_to_the_hosts_loopback() {
    if missing() {
        return;
    }
    // An address of this machine's that is not its loopback.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if probe.connect("192.0.2.1:9").is_err() {
        return skip("this machine has no route to anywhere");
    }
    let address = probe.local_addr().unwrap().ip();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let _ = stream.write_all(b"the host's loopback");
        }
    });
    let connect = format!(
        "python3 -c 'import socket
for host in (\"127.0.0.1\", GATEWAY):
    try: print(socket.create_connection((host, {port}), 2).recv(99))
    except OSError: print(\"refused\")'"
    );
    let script = "cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '; ip -4 -o addr show scope global | wc -l; ip route show default | cut -d' ' -f1; GATEWAY=$(ip route show default | cut -d' ' -f3); ".to_owned()
        + &connect.replace("GATEWAY", "\"'$GATEWAY'\"");
    let out = sh("--net pasta", &script);
    let lines: Vec<&str> = out.good().lines().collect();
    assert!(lines.contains(&"lo") && lines.len() == 6, "{address}: {out:?}");
    assert_eq!(&lines[2..], ["1", "default", "refused", "refused"], "{out:?}");
}

#[test]
fn it_ends_with_the_command_and_with_the_launcher() {
    if missing() {
        return;
    }
    for killed in [false, true] {
        let mut child = command(jail(), Path::new("/"), false);
        child.args(["--net", "pasta", "--", "sh", "-c", "echo ready; read word"]);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let pasta = pasta_of(child.id());
        if killed {
            child.kill().unwrap();
        } else {
            drop(child.stdin.take());
        }
        child.wait().unwrap();
        let start = Instant::now();
        // Who was killed cannot wait for it.
        while killed && pasta.exists() && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!pasta.exists(), "it is left over, killed: {killed}");
    }
}

#[test]
fn without_pasta_the_package_is_named() {
    let script = "over /usr; rm -f /usr/bin/pasta; as_user jail --net pasta -- true";
    let Some(out) = apart(Path::new("/"), script) else { return };
    let problem = "--net pasta: connect the network: pasta is not installed in a system directory such as /usr/bin";
    out.refused(&[problem, "apt-get install passt"]);
}

#[test]
fn a_signal_ends_the_launch_while_pasta_takes_its_time() {
    for (signal, number) in [("TERM", "15"), ("INT", "2"), ("HUP", "1")] {
        let s = Scratch::new();
        // One that never says that the network stands.
        let slow = "#!/bin/sh\ncd DIR; echo $$ > started.new; mv started.new started\nexec sleep 1000\n";
        let slow = s.file("pasta", &slow.replace("DIR", &s.0.display().to_string()));
        std::fs::set_permissions(&slow, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let user = format!("setpriv --reuid={USER} --regid={USER} --clear-groups");
        let script = format!(
            "over /usr; rm -f /usr/bin/pasta; cp pasta /usr/bin; exec {user} {} --net pasta -- echo ran",
            jail().display()
        );
        let Some(mut jail) = apart_command(&s.0, "", &script) else { return };
        let mut jail = jail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while !s.0.join("started").exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "pasta is not started");
            std::thread::sleep(Duration::from_millis(5));
        }
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", jail.id())).unwrap();
        assert_eq!(children.split_whitespace().count(), 2, "process 1 and pasta");
        let sent = Instant::now();
        std::process::Command::new("kill").args([&format!("-{signal}"), &jail.id().to_string()]).status().unwrap();
        while jail.try_wait().unwrap().is_none() && sent.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = jail.kill();
        let out = Outcome::from(jail.wait_with_output().unwrap());
        assert!(sent.elapsed() < Duration::from_secs(1), "{signal}: {:?}", sent.elapsed());
        out.refused(&["--net pasta: connect the network", &format!("signal {number} came")]);
        assert_eq!(out.out, "", "the command did not run");
        for child in children.split_whitespace() {
            assert!(!Path::new("/proc").join(child).exists(), "{signal}: {child} is left over");
        }
    }
}

#[test]
fn holes_are_made_in_it_too() {
    if missing() {
        return;
    }
    // Named: the host's loopback, over TCP; and published: TCP by jail, UDP by pasta.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let _ = stream.write_all(b"reached");
        }
    });
    let free = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(), free());
    let python = format!(
        "import socket
t = socket.create_server((\"127.0.0.1\", 80)); u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((\"0.0.0.0\", {udp}))
print(socket.create_connection((\"db.test\", 5432)).recv(9).decode())
c = t.accept()[0]; c.sendall(b\"published\"); c.close()
while True:
    said, who = u.recvfrom(99); u.sendto(said[::-1], who)"
    );
    let mut child = command(Path::new("/bin/sh"), Path::new("/"), false);
    child.arg("-c").arg(format!(
        "exec {} --net pasta --reach db.test:5432=127.0.0.1:{port} --publish {tcp}:80 --publish 127.0.0.1:{udp}/udp --as-root \
         --status-fd 3 -- python3 -uc '{python}' 3>&2",
        jail().display()
    ));
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "reached\n");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut std::net::TcpStream::connect(("127.0.0.1", tcp)).unwrap(), &mut said).unwrap();
    assert_eq!(said, "published");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(b"abc", ("127.0.0.1", udp)).unwrap();
    let mut answer = [0; 9];
    let (length, _) = socket.recv_from(&mut answer).unwrap();
    assert_eq!(&answer[..length], b"cba");
    let mut start = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut start).unwrap();
    for (protocol, port, inside) in [("udp", udp, udp), ("tcp", tcp, 80)] {
        let hole = format!(r#"{{"protocol":"{protocol}","address":"127.0.0.1","port":{port},"inside":{inside}}}"#);
        assert!(start.contains(&hole), "{start}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_udp_port_that_cannot_be_had_is_an_error() {
    if missing() {
        return;
    }
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let out = sh(&format!("--net pasta --publish {port}/udp"), "echo ran");
    out.refused(&["--net pasta: connect the network", "pasta ended at once", "each port of --publish PORT/udp free"]);
    assert_eq!(out.out, "");
}
