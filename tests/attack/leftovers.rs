//! What a jail leaves on the host: all that its user owns, anywhere, before and after. The
//! user is one that nothing else on the machine is; only root can drive it.

use crate::support::*;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

/// Flags, with TREE and PLACE for directories of the user's.
const FLAGS: &[&str] = &[
    "",
    "--rw PLACE",
    "--pty",
    "--publish 127.0.0.2:0:80",
    "--reach a.test:9=127.0.0.1:9",
    "--root TREE",
    "--root TREE --ephemeral",
    "--root TREE --ephemeral=1m --as-root",
    "--nested",
    "--cap sys_admin",
    "--pid host",
    "--trace-denied",
    "--uptime 0",
    "--tmp host",
    "--run host",
    "--ipc host",
    "--net host",
    "--dev host",
    "--as-root --rw PLACE",
    "--init none",
    "--init none --new-session",
    "--degrade namespaces",
    "--file 0 /f --dir /d/e --symlink /d /l --tmpfs /x,size=1m",
    "--hide PLACE --ro PLACE/..",
];

/// Each thing of the user's with its mode, size and times, and what the kernel counts for
/// the user. The time of the last access is not compared: who looks changes it.
fn look(user: u32) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let device = |path: &str| std::fs::metadata(path).ok().map(|meta| meta.dev());
    let mut find = Command::new("find");
    find.arg("/");
    // Other file systems that any user may write to.
    let others = ["/dev/shm", "/dev/mqueue", "/run", "/tmp", "/var/tmp"];
    find.args(others.iter().filter(|path| device(path).is_some() && device(path) != device("/")));
    // No user can write there, and much lies there.
    find.args(["-xdev", "(", "-path", "/proc", "-o", "-path", "/sys", "-o", "-path", "/usr", "-o", "-path", "/root"]);
    find.args(["-o", "-name", "target", "-o", "-name", ".git", ")", "-prune", "-o"]);
    find.args(["(", "-uid", &user.to_string(), "-o", "-gid", &user.to_string(), ")"]);
    find.args(["-printf", "%p\t%y %m %n %s %U %G %T@ %C@ %l\\n"]);
    // Other tests remove files while it looks, so its status says nothing.
    for line in outcome(find).out.lines() {
        let (path, about) = line.split_once('\t').unwrap_or((line, ""));
        found.insert(path.to_owned(), about.to_owned());
    }
    let mut groups = Command::new("find");
    groups.args(["/sys/fs/cgroup", "-uid", &user.to_string()]);
    found.insert("cgroups".into(), outcome(groups).out);
    for table in ["shm", "sem", "msg"] {
        let lines = std::fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap_or_default();
        let own = lines.lines().filter(|line| line.split_whitespace().any(|word| word == user.to_string()));
        found.insert(table.into(), own.map(|line| format!("{line}\n")).collect());
    }
    found
}

/// The processes of the user's, and its sockets that listen.
fn lives(user: u32) -> Vec<String> {
    let owner = |path: &Path| Some(std::fs::metadata(path).ok()?.uid());
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let mut all: Vec<String> = processes
        .filter(|path| path.join("stat").exists() && owner(path) == Some(user))
        .map(|path| std::fs::read_to_string(path.join("stat")).unwrap_or_default())
        .collect();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let lines = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        let own = lines.lines().skip(1).filter(|line| line.split_whitespace().nth(7) == Some(&user.to_string()));
        // 06 waits for late packets of a connection that has ended.
        all.extend(own.filter(|line| line.split_whitespace().nth(3) != Some("06")).map(str::to_owned));
    }
    all
}

#[test]
fn no_file_process_or_socket_of_the_users_is_left() {
    if !we_are_root() {
        return skip("this needs root, to be a user that nothing else is");
    }
    let user = 1_000_000 + std::process::id();
    assert_eq!(lives(user), Vec::<String>::new(), "the user is not this test's alone");
    let s = Scratch::new();
    s.tree("tree");
    s.file("place/f", "x");
    let give = |path: &Path| chown(path, Some(user), Some(user)).unwrap();
    let mut all = Command::new("chown");
    all.args(["-hR", &format!("{user}:{user}")]).arg(&s.0);
    outcome(all).good();
    give(&s.0);
    let at = |name: &str| s.0.join(name).into_os_string().into_string().unwrap();
    let start = |flags: &str, script: &str| {
        let mut jail = Command::new("setpriv");
        jail.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "--"]).arg(jail_path());
        jail.args(flags.replace("TREE", &at("tree")).replace("PLACE", &at("place")).split_whitespace());
        jail.args(["--", "sh", "-c", script]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/home/tester");
        jail.current_dir("/").stdin(std::process::Stdio::null());
        outcome(jail)
    };
    let before = look(user);
    assert!(before.contains_key(&at("place/f")), "it sees what is there");
    for flags in FLAGS {
        let run = start(flags, "exit 7");
        assert_eq!(run.status, 7, "{flags}: {run:#?}");
        let over = start(&format!("{flags} --timeout 0.1 --grace 0.1"), "trap '' TERM; sleep 9 & sleep 9; sleep 9");
        assert!([124, 137].contains(&over.status), "{flags}: {over:#?}");
        // Refused when part of it is made.
        let refused = start(&format!("{flags} --ro-bind /usr /proc/nowhere/x"), "exit 7");
        assert_eq!(refused.status, 125, "{flags}: {refused:#?}");
        assert_eq!(lives(user), Vec::<String>::new(), "{flags}");
    }
    let after = look(user);
    let differ: Vec<_> = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(differ.is_empty(), "left or changed: {differ:#?}");
    // The allowed twin: what a flag lets the command make is found.
    assert_eq!(start("--rw PLACE", &format!("echo y > {}", at("place/made"))).status, 0);
    let mut made = look(user);
    assert!(made.remove(&at("place/made")).is_some() && made.get(&at("place")) != before.get(&at("place")));
}

/// `jail` is the name of a command here.
fn jail_path() -> &'static Path {
    jail()
}
