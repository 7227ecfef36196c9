//! SECURITY.md's table of what holds when a layer is missing is true: each thing is
//! tried with all layers, and with each one away.

#[path = "support/filter.rs"]
mod filter;
mod support;
use filter::CONTAINER;
use std::collections::BTreeMap;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use support::*;

/// What is tried inside, by its name in the table: a shell script that prints OPEN if it
/// succeeds; or leaves that to be seen outside.
const TRIED: &[(&str, &str)] = &[
    ("read a file that no flag shows", "cat $S/secret && echo OPEN"),
    ("write to a file shown read-only", "echo x >>$S/shown && echo OPEN"),
    ("make a file where nothing is shown", "echo x >$S/made"),
    ("give a file shown read-only another mode", "chmod 640 $S/shown && echo OPEN"),
    ("write to the file that is its standard input", "echo x >>/proc/self/fd/0 && echo OPEN"),
    ("give the file that is its standard input another mode", "chmod 640 /proc/self/fd/0 && echo OPEN"),
    ("make the file that is its standard input set-user-ID", "chmod 4640 /proc/self/fd/0 && echo OPEN"),
    ("signal a process outside by its number", "kill -0 $OTHER && echo OPEN"),
    ("signal its process group, with members outside", "trap '' USR1; kill -USR1 0"),
    ("read the environment of a process outside", "grep -q hunter2 /proc/$OTHER/environ && echo OPEN"),
    ("use shared memory made outside", "python3 -c 'import ctypes; exit(ctypes.CDLL(None).shmget(KEY, 1, 0) < 0)' && echo OPEN"),
    (
        "connect to a port of the host",
        "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", PORT), 5)' && echo OPEN",
    ),
    (
        "connect to an abstract socket of the host",
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"\\0NAME\")' && echo OPEN",
    ),
    ("read a variable that is not passed", "test -n \"$SECRET\" && echo OPEN"),
    ("read a descriptor that is not passed", "cat <&7 && echo OPEN"),
    // PR_GET_NO_NEW_PRIVS.
    (
        "gain privileges by a set-user-ID program",
        "python3 -c 'import ctypes; exit(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))' && echo OPEN",
    ),
    ("make a user namespace", "unshare -U true && echo OPEN"),
    (
        "mount something",
        "python3 -c 'import ctypes; exit(ctypes.CDLL(None).mount(b\"x\", b\".\", b\"tmpfs\", 0, None))' && echo OPEN",
    ),
    ("type into the terminal", "python3 -c 'import fcntl; fcntl.ioctl(0, 0x5412, b\"x\")' && echo OPEN"),
    ("set io_uring up", "perl -e '$b = \"\\0\" x 120; exit(syscall(425, 1, $b) < 0)' && echo OPEN"),
    ("leave a process behind", "setsid sleep MARK & sleep 0.2"),
];

/// The table's cells after the first, by the first.
fn table() -> BTreeMap<String, Vec<String>> {
    let security = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/SECURITY.md")).unwrap();
    let table = security.split("<!-- test -->\n").nth(1).expect("a table");
    table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            (cells.next().unwrap(), cells.collect())
        })
        .collect()
}

/// Does the kernel itself refuse it to everyone?
fn refused_to_all(name: &str) -> bool {
    name.contains("terminal") && fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").is_ok_and(|on| on.trim() == "0")
}

/// After the table's columns.
const NO_JAIL: usize = 4;

fn tried(name: &str, script: &str, column: usize) -> &'static str {
    let flags = ["", "--seccomp none", "--landlock none", "--degrade namespaces", ""][column];
    let jail = format!("{} {flags} --ro ../shown --rw . --env S --env OTHER --", jail().display());
    let jail = if column == NO_JAIL { "" } else { &jail };
    let s = Scratch::new();
    s.file("secret", "secret\n");
    s.file("shown", "shown\n");
    s.file("given", "given\n");
    s.dir("work");
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let unique = format!("{}{column}", std::process::id());
    let abstract_name = format!("jail-security-{unique}-{port}");
    let _listens = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
    let (key, mark) = (format!("0x{port:x}"), format!("{unique}.{port}"));
    let script =
        script.replace("KEY", &key).replace("PORT", &port.to_string()).replace("NAME", &abstract_name).replace("MARK", &mark);
    s.file("inner", &script);
    s.file(
        "outer",
        &format!(
            "exec 7<../secret
export S={dir}
sleep 60 & export OTHER=$!
ipc=$(python3 -c 'import ctypes; print(ctypes.CDLL(None).shmget({key}, 1, 0o1600))')
trap 'echo OPEN' USR1
{jail} sh -c \"$(cat ../inner)\"
trap '' USR1
if pgrep -f 'sleep {mark}' >/dev/null; then echo OPEN; pkill -f 'sleep {mark}'; fi
if test -e ../made; then echo OPEN; fi
ipcrm -m $ipc
kill $OTHER
echo over",
            dir = s.0.display(),
        ),
    );
    // Where a terminal is needed, there is one; it has no other reader.
    let outer = if name.contains("terminal") {
        "script -qec '. ../outer' /dev/null"
    } else {
        // A group of its own, for what is sent to it.
        "exec setsid -w sh -c '. ../outer' <../given"
    };
    let dir = s.0.join("work");
    let mut shell = match column {
        3 => CONTAINER.around(Path::new("/bin/sh"), &dir),
        _ => command(Path::new("/bin/sh"), &dir, false),
    };
    shell.args(["-c", outer]).env("SHELL", "/bin/sh");
    let out = outcome(shell);
    assert!(out.out.contains("over") && !out.err.contains("jail: "), "{name}, {flags}: {out:#?}");
    if out.out.contains("OPEN") { "open" } else { "held" }
}

#[test]
fn what_holds_without_a_layer_is_as_security_md_says() {
    let mut told = table();
    for (name, script) in TRIED {
        let cells = told.remove(*name).unwrap_or_else(|| panic!("{name} is not in the table"));
        assert_eq!(cells.len(), 4, "{name}");
        for (column, cell) in cells.iter().enumerate() {
            let expected = if refused_to_all(name) { "held" } else { cell };
            assert_eq!(tried(name, script, column), expected, "{name}, column {column}");
        }
    }
    assert!(told.is_empty(), "not tried: {told:?}");
}

/// The same things can be done where there is no jail, so that what is held is held by it:
/// all but mounting, for which there is a privilege to gain first.
#[test]
fn without_a_jail_all_of_them_can_be_done() {
    for (name, script) in TRIED {
        let expected = if *name == "mount something" || refused_to_all(name) { "held" } else { "open" };
        assert_eq!(tried(name, script, NO_JAIL), expected, "{name}");
    }
}
