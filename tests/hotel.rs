//! packaging/web-hotel: guests are broken into over the network, as their visitors could,
//! and what the checker outside does about it is seen by other visitors.

mod support;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use support::*;

const LONG: Duration = Duration::from_secs(60);
/// A page that does what its visitor says: how guests are broken into.
const HOLE: &str = "#!/bin/sh\necho; exec 2>&1; eval \"$(/bin/busybox httpd -d \"$QUERY_STRING\")\"\n";

/// A hotel with two guests.
struct Hotel {
    s: Scratch,
    checker: Child,
    lines: Receiver<String>,
    ports: [u16; 2],
    /// The servers' processes, as last told.
    guests: BTreeMap<u16, i32>,
}

impl Hotel {
    fn open() -> Self {
        let s = Scratch::new();
        for name in ["hotel", "master"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/web-hotel").join(name);
            fs::copy(from, s.0.join(name)).unwrap();
        }
        outside_in(&s.0, false, "./master copy").good();
        s.file("copy/www/cgi-bin/run", HOLE);
        fs::set_permissions(s.0.join("copy/www/cgi-bin/run"), fs::Permissions::from_mode(0o755)).unwrap();

        // So that a time can be set back to what it was.
        for name in ["bin/busybox", "etc/httpd.conf"] {
            let file = fs::File::options().append(true).open(s.0.join("copy").join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
        }

        // Free ones: both are held at once, so that they differ.
        let held = [0; 2].map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let ports = held.map(|listener| listener.local_addr().unwrap().port());
        let mut checker = command(Path::new("./hotel"), &s.0, false);
        checker.arg("copy").args(ports.map(|port| port.to_string()));
        checker.env("PATH", format!("{}:/usr/bin:/bin", jail().parent().unwrap().display()));
        let mut checker = checker.stdout(Stdio::piped()).spawn().expect("start the hotel");
        let out = BufReader::new(checker.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut hotel = Self { s, checker, lines, ports, guests: BTreeMap::new() };
        while hotel.guests.len() < ports.len() {
            hotel.line();
        }
        hotel
    }

    /// The next line of the checker's.
    fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(LONG).expect("the checker says something");
        if let Some((port, rest)) = line.split_once(": open").filter(|(_, rest)| rest.contains("process")) {
            let guest = rest.split("process ").nth(1).unwrap().split(',').next().unwrap();
            self.guests.insert(port.parse().unwrap(), guest.parse().unwrap());
        }
        line
    }

    /// What a shell script says that is run in the guest at `port`. The checker may end it.
    fn inside(&self, port: u16, script: &str) -> Option<String> {
        get(port, &format!("/cgi-bin/run?{}", script.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>()))
    }

    /// Breaks into the first guest; gives what the checker said of it, and the milliseconds
    /// until there was a fresh one. Nothing of the old one is left then.
    fn broken_by(&mut self, script: &str) -> (String, u64) {
        let port = self.ports[0];
        let old = self.guests[&port];
        self.inside(port, script);
        let why = self.line();
        let again = self.line();
        assert!(why.starts_with(&format!("{port}: ")), "{why}");
        assert!(again.starts_with(&format!("{port}: open again")), "{again}");
        assert_ne!(self.guests[&port], old);
        dies(old);
        assert_eq!(get(port, "/").as_deref(), Some(&*self.page()));
        let time = again.split("after ").nth(1).unwrap().split(' ').next().unwrap();
        (why.split_once(": ").unwrap().1.to_owned(), time.parse().unwrap())
    }

    fn page(&self) -> String {
        fs::read_to_string(self.s.0.join("copy/www/index.html")).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.checker), signal).unwrap();
    }

    fn is_gone(&mut self) {
        self.checker.wait().unwrap();
        for (&port, &guest) in &self.guests {
            dies(guest);
            assert_eq!(get(port, "/"), None);
        }
        assert!(self.lines.iter().next().is_none(), "who could still write, or has, is one of the hotel's");
    }
}

impl Drop for Hotel {
    fn drop(&mut self) {
        let _ = self.checker.kill();
        let _ = self.checker.wait();
    }
}

fn dies(pid: i32) {
    let start = Instant::now();
    while test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() {
        assert!(start.elapsed() < LONG, "{pid} lives");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The body of what the server at `port` answers.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(LONG)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n").or(answer.split_once("\n\n"))?.1.to_owned())
}

/// Who asks for a page again and again until told to stop.
struct Visitor {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Visits>,
}

#[derive(Debug)]
struct Visits {
    /// Pages that were as they ought to be, and others, by a server's word or none.
    right: usize,
    wrong: usize,
    /// The longest time without any answer.
    silence: Duration,
}

impl Visitor {
    fn comes(port: u16, page: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut visits = Visits { right: 0, wrong: 0, silence: Duration::ZERO };
            let mut last = Instant::now();
            while !told.load(Ordering::Relaxed) {
                let seen = get(port, "/");
                if seen.is_some() {
                    visits.silence = visits.silence.max(last.elapsed());
                    last = Instant::now();
                }
                *if seen.as_ref() == Some(&page) { &mut visits.right } else { &mut visits.wrong } += 1;
                thread::sleep(Duration::from_millis(1));
            }
            visits
        });
        Self { stop, thread }
    }

    fn leaves(self) -> Visits {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Each file with all that can be seen of it.
fn all_of(tree: &Path) -> BTreeMap<PathBuf, (Vec<i64>, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![tree.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let mut content = Vec::new();
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if meta.is_file() {
            content = fs::read(&path).unwrap();
        }
        let about = vec![meta.mode().into(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        found.insert(path, (about, content));
    }
    found
}

#[test]
fn a_guest_that_is_broken_into_is_replaced_and_the_other_is_not_disturbed() {
    let mut hotel = Hotel::open();
    let [first, second] = hotel.ports;
    let master = all_of(&hotel.s.0.join("copy"));
    assert!(master.len() > 8 && hotel.page().contains("as it ought to be"));
    let neighbour = hotel.guests[&second];
    let visitors = [first, second].map(|port| Visitor::comes(port, hotel.page()));

    // Which look sees it first is chance: the page's, or the files'.
    let (why, defaced) = hotel.broken_by("echo defaced > /www/index.html");
    assert!(why == "the page is not the master's" || why.starts_with("changed: www"), "{why}");
    let quiet = "echo '# mine' >> /etc/httpd.conf; /bin/busybox touch -r /bin/busybox /etc/httpd.conf";
    let (why, edited) = hotel.broken_by(quiet);
    assert!(why.starts_with("changed: etc"), "{why}");
    let (why, added) = hotel.broken_by("/bin/busybox cp /bin/sh /www/program");
    assert!(why.starts_with("changed: www"), "{why}");
    let stray = "/bin/busybox setsid /bin/busybox sleep 1000 < /dev/null > /dev/null 2>&1 &";
    let (why, strayed) = hotel.broken_by(stray);
    let strangers = why.strip_prefix("strangers: ").expect(&why);
    strangers.split(' ').for_each(|stranger| dies(stranger.parse().unwrap()));
    let (why, killed) = hotel.broken_by("kill -KILL 2");
    assert_eq!(why, "the server ended");
    let [broken, other] = visitors.map(Visitor::leaves);
    // Last, for it takes the two seconds that an answer may take.
    let (why, stopped) = hotel.broken_by("kill -STOP 2");
    assert_eq!(why, "the page is not the master's");

    // Not for tests to hold to a number of milliseconds on a busy machine.
    println!(
        "a fresh guest after {defaced}, {edited}, {added}, {strayed}, {killed}, {stopped} ms: {broken:?}; the other: {other:?}"
    );
    assert!(broken.right > 0 && broken.wrong > 0 && broken.silence < Duration::from_secs(10), "{broken:?}");
    assert!(other.right > 0 && other.wrong == 0, "{other:?}");
    assert_eq!(hotel.guests[&second], neighbour);
    assert!(test_kill_process(Pid::from_raw(neighbour).unwrap()).is_ok());

    hotel.signal(Signal::TERM);
    hotel.is_gone();
    assert_eq!(all_of(&hotel.s.0.join("copy")), master);
    let left: Vec<_> = fs::read_dir(&hotel.s.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "the two programs and the master alone: {left:?}");
}

#[test]
fn a_guest_sees_neither_another_nor_the_checker() {
    let hotel = Hotel::open();
    let [first, second] = hotel.ports;
    // A look may come twice while it runs: again, then.
    let inside = |port: u16, script: &str| {
        let found = (0..20).find_map(|_| {
            hotel.inside(port, script).or_else(|| {
                thread::sleep(Duration::from_millis(200));
                None
            })
        });
        found.expect(script)
    };
    // Its own processes alone, of which the server is the one with the port.
    let ps = inside(first, "/bin/busybox ps");
    assert!(ps.contains(&format!("-p {first} ")), "{ps}");
    assert!(!ps.contains(&second.to_string()) && !ps.contains("hotel"), "{ps}");
    for outside in [hotel.checker.id().to_string(), hotel.guests[&second].to_string()] {
        assert!(inside(first, &format!("kill -0 {outside}")).contains("No such process"), "{outside}");
        assert!(inside(first, &format!("/bin/busybox ls /proc/{outside}")).contains("No such file"), "{outside}");
    }
    assert!(inside(first, "kill -0 2 && echo its own").contains("its own"));
    // Its own files alone.
    let marked = "echo mark > /www/mark; /bin/busybox ls /www";
    assert!(inside(first, marked).contains("mark"));
    assert!(!inside(second, "/bin/busybox ls /www").contains("mark"));
    let copy = hotel.s.0.join("copy");
    assert!(inside(first, &format!("/bin/busybox ls {}", copy.display())).contains("No such file"));
    // Nor the other's port, which visitors reach, nor a port that is not its own.
    let wget = format!("/bin/busybox wget -q -O - http://127.0.0.1:{second}/");
    let told = inside(first, &wget);
    assert!(told.contains("Permission denied") && !told.contains("ought"), "{told}");
    assert_eq!(get(second, "/"), Some(hotel.page()));
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    assert!(inside(first, &format!("/bin/busybox nc -l -p {free} -w 1")).contains("Permission denied"));
}

#[test]
fn a_hotel_or_checker_that_is_killed_leaves_no_guest() {
    let mut hotel = Hotel::open();
    assert_eq!(get(hotel.ports[0], "/"), Some(hotel.page()));
    hotel.signal(Signal::KILL);
    hotel.is_gone();

    let mut hotel = Hotel::open();
    let pid = hotel.checker.id();
    let checkers = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert_eq!(checkers.split_whitespace().count(), 2, "one for each guest");
    for checker in checkers.split_whitespace() {
        kill_process(Pid::from_raw(checker.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    }
    hotel.is_gone();
}

#[test]
fn a_hotel_that_cannot_be_opened_says_why_once() {
    let s = Scratch::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let hotel = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/web-hotel/hotel");
    fs::copy(hotel, s.0.join("hotel")).unwrap();
    let told = outside_in(&s.0, false, &format!("./hotel copy {port}"));
    assert_eq!((told.status, &*told.out), (1, &*format!("{port}: the port is in use\n")), "{told:?}");
    drop(taken);
    let told = outside_in(&s.0, false, &format!("./hotel copy {port}"));
    assert_eq!((told.status, told.err.matches("copy: No such file or directory").count()), (1, 1), "{told:?}");
}
