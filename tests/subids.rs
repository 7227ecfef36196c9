//! --subids: the caller's subordinate ids, real ones, through newuidmap and newgidmap.

mod support;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::*;

/// A shell script in the jail of a user that has subordinate ids.
fn inside(s: &Scratch, flags: &str, script: &str) -> Option<Outcome> {
    s.file("script", script);
    Etc::new(s).run(&format!("as_user jail --subids --rw . {flags} -- sh ./script"))
}

const IDS: &str = "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '";

#[test]
fn the_ids_are_real_and_the_callers() {
    let s = Scratch::new();
    let Some(out) = inside(&s, "", &format!("{IDS}; id -u; id -G; touch a b; chown 33:34 b; stat -c %u:%g a b")) else { return };
    assert_eq!(out.good(), " 0 54321 1\n 1 100000 65536\n 0 54321 1\n 1 100000 65536\n0\n0\n0:0\n33:34");
    let owner = |name: &str| std::fs::metadata(s.0.join(name)).map(|file| (file.uid(), file.gid())).unwrap();
    assert_eq!([owner("a"), owner("b")], [(54321, 54321), (100_032, 100_033)]);

    let change = "python3 -c 'import os; os.setgroups([5]); os.setresgid(33, 33, 33); os.setresuid(33, 33, 33); print(os.getresuid(), os.getgroups()); os.setuid(0)'";
    let out = inside(&s, "", change).unwrap();
    assert!(out.status != 0 && out.out == "(33, 33, 33) [5]\n" && out.err.contains("not permitted"), "{out:?}");
    // Ids that are nobody's here are not to be had.
    let out = inside(&s, "", "touch c && chown 65537 c").unwrap();
    assert!(out.status != 0 && out.err.contains("Invalid argument"), "{out:?}");
}

#[test]
fn its_powers_are_a_jailed_roots() {
    let s = Scratch::new();
    let caps = "grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr -d '\\t\\n'";
    let Some(out) = inside(&s, "", caps) else { return };
    assert_eq!(out.good(), sh("--as-root", caps).good());
    for no in ["mknod d c 1 3", "mount -t tmpfs x /tmp", "umount /tmp", "ip link set lo down", "unshare -U true", "echo > /etc/x"]
    {
        let out = inside(&s, "", no).unwrap();
        assert_ne!(out.status, 0, "{no}: {out:?}");
    }
}

#[test]
fn supplementary_groups_are_dropped() {
    let s = Scratch::new();
    s.file("secret", "x");
    std::fs::set_permissions(s.0.join("secret"), PermissionsExt::from_mode(0o040)).unwrap();
    std::os::unix::fs::chown(s.0.join("secret"), Some(0), Some(4)).unwrap_or_default();
    let look =
        |flags: &str| Etc::new(&s).run(&format!("GROUPS_TO=4,20 as_user jail {flags} --rw . -- sh -c 'id -G; cat secret'"));
    let Some(out) = look("--subids") else { return };
    assert!(out.out == "0\n" && out.err.contains("Permission denied"), "{out:?}");
    // As told of the others: they are kept from view, and count.
    assert_eq!(look("--as-root").unwrap().good(), "0 65534\nx");
}

#[test]
fn they_are_all_there_with_each_other_flag() {
    let s = Scratch::new();
    let script = "touch f && chown 33:33 f && stat -c %u f && rm f";
    for flags in [
        "--pid host",
        "--net pasta",
        "--pty",
        "--init none",
        "--cap sys_admin",
        "--cap sys_admin --init none",
        "--cap sys_admin --pid host",
    ] {
        if flags.ends_with("pasta") && !["/usr/bin/pasta", "/dev/net/tun"].into_iter().all(|path| Path::new(path).exists()) {
            skip("pasta or /dev/net/tun is missing");
            continue;
        }
        let Some(out) = inside(&s, flags, script) else { return };
        assert_eq!(out.good(), "33", "{flags}: {}", out.err);
    }
    let out = inside(&s, "--cap sys_admin", &format!("mount -t tmpfs x /tmp && {IDS}; umount /usr")).unwrap();
    assert!(out.out.ends_with(" 0 0 1\n 1 1 65536\n 0 0 1\n 1 1 65536\n") && out.status != 0, "{out:?}");
    // Nothing of the mapping is left for the command to find, nor beside the launcher.
    let block = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD]); os.execvp(sys.argv[1], sys.argv[1:])";
    let line = "jail --subids --cap sys_admin --init none -- grep Pnd: /proc/self/status";
    let pending = Etc::new(&s).run(&format!("as_user python3 -c '{block}' {line}")).unwrap();
    assert_eq!(pending.good(), "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000");
    let look = "launcher=$(cut -d' ' -f4 /proc/$PPID/stat); cat /proc/$launcher/task/$launcher/children | wc -w";
    assert_eq!(inside(&s, "--pid host", look).unwrap().good(), "1");
}

#[test]
fn several_ranges_by_name_and_by_number() {
    let s = Scratch::new();
    let ranges = "other:1000000:65536\ntester:100000:1000\n# no\n54321:300000:65536\ntester:90000:10\n";
    let Some(out) = (Etc { subuid: ranges, ..Etc::new(&s) }).run(&format!("as_user jail --subids -- sh -c \"{IDS}\"")) else {
        return;
    };
    let uids = " 0 54321 1\n 1 100000 1000\n 1001 300000 65536\n 66537 90000 10\n";
    assert_eq!(out.good(), format!("{uids} 0 54321 1\n 1 100000 65536"));
    let inner = format!(
        "as_user jail --subids --cap sys_admin -- sh -c \"{IDS} | head -n 4 | tail -n 1; touch /tmp/f; chown 66540 /tmp/f\""
    );
    assert_eq!((Etc { subuid: ranges, ..Etc::new(&s) }).run(&inner).unwrap().good(), " 66537 66537 10");
}

#[test]
fn a_tree_made_so_is_removed_by_its_maker() {
    let s = Scratch::new();
    let make = "mkdir -p tree/var/db && echo x > tree/var/db/f && chmod 700 tree/var/db && chown -R 100:100 tree/var";
    let Some(out) = inside(&s, "", make) else { return };
    out.good();
    assert_eq!(std::fs::metadata(s.0.join("tree/var")).unwrap().uid(), 100_099);
    let out = Etc::new(&s).run("as_user rm -rf tree").unwrap();
    assert!(out.status != 0 && out.err.contains("Permission denied"), "{out:?}");
    Etc::new(&s).run("as_user jail --subids --rw . -- rm -rf tree").unwrap().good();
    assert!(!s.0.join("tree").exists());
}

#[test]
fn a_tree_is_a_root_with_owners() {
    let s = Scratch::new();
    s.tree("tree");
    // What lies in a tree is not what maps ids.
    s.file("tree/bin/newuidmap", "#!/bin/sh\ntouch /ran\n");
    s.link("tree/etc", "/etc");
    std::fs::set_permissions(s.0.join("tree/bin/newuidmap"), PermissionsExt::from_mode(0o755)).unwrap();
    let line = "as_user jail --root tree --writable --subids -- sh -c 'touch f && busybox chown 7:8 f && stat -c %u:%g f /bin && ls /ran'";
    let Some(out) = Etc::new(&s).run(line) else { return };
    assert!(out.out == "7:8\n0:0\n" && out.err.contains("/ran"), "{out:?}");
    assert_eq!(std::fs::metadata(s.0.join("tree/f")).unwrap().uid(), 100_006);
}

#[test]
fn what_is_missing_is_named_with_the_remedy() {
    let s = Scratch::new();
    let line = "as_user jail --subids -- true";
    let refused = |etc: Etc<'_>, script: &str, parts: &[&str]| match etc.run(script) {
        Some(out) => out.refused(&[&["--subids: map the caller's subordinate ids: "], parts].concat()),
        None => assert!(!we_are_root()),
    };
    let etc = || Etc::new(&s);
    // /usr as it is, but for what is changed in it.
    let over = "mkdir u; mount -t tmpfs -o mode=755 x u; mkdir u/u u/w; mount -t overlay -o lowerdir=/usr,upperdir=u/u,workdir=u/w x /usr; umount -l u; rmdir u;";
    let missing = ["newuidmap is not installed in a system directory such as /usr/bin", "apt-get install uidmap"];
    refused(etc(), &format!("{over} rm /usr/bin/new[ug]idmap; {line}"), &missing);
    refused(
        Etc { subuid: "other:100000:65536\n", ..etc() },
        line,
        &["/etc/subuid gives tester no ids", "usermod --add-subuids 165536-231071 tester"],
    );
    refused(
        Etc { subgid: "", ..etc() },
        line,
        &["/etc/subgid gives tester no ids", "usermod --add-subgids 100000-165535 tester"],
    );
    refused(
        Etc { subuid: "tester:100000:1000\n", ..etc() },
        line,
        &["/etc/subuid gives tester 1000 ids, and a system has 65535", "usermod --add-subuids 101000-165533 tester"],
    );
    let twice = "tester:100000:65536\ntester:165535:65536\n";
    refused(Etc { subgid: twice, ..etc() }, line, &["/etc/subgid gives tester 165535:65536, and 100000:65536 is its, too"]);
    refused(Etc { subuid: "tester:54000:65536\n", ..etc() }, line, &["54000:65536, and 54321:1 is its, too"]);
    refused(Etc { passwd: "root:x:0:0::/:/bin/sh\n", subuid: "", ..etc() }, line, &["/etc/subuid gives 54321 no ids"]);
    refused(etc(), &line.replace("jail", "setpriv --no-new-privs jail"), &["no_new_privs", "or say --fakeroot"]);
    // What was given passes; what the programs then say is passed on.
    let elsewhere = "setpriv --reuid=54321 --regid=20 --clear-groups jail --subids -- true";
    refused(etc(), elsewhere, &["newuidmap: Target", "newuidmap refused", "it says why above", "in its own group"]);
    let powerless = format!("{over} chmod u-s /usr/bin/newuidmap; {line}");
    refused(etc(), &powerless, &["/usr/bin/newuidmap is not set-user-ID root", "chmod u+s /usr/bin/newuidmap"]);
}

#[test]
fn programs_with_capabilities_of_their_own_do_as_well() {
    let s = Scratch::new();
    let Some(mut make) = Etc::new(&s).command("mkdir bin && cp /usr/bin/new[ug]idmap bin") else { return };
    assert!(make.status().unwrap().success());
    for (name, set) in [("newuidmap", "80"), ("newgidmap", "40")] {
        let set = format!(
            "import os; os.setxattr(\"bin/{name}\", \"security.capability\", bytes.fromhex(\"01000002{set}\" + \"0\" * 30))"
        );
        outside_in(&s.0, true, &format!("python3 -c '{set}'")).good();
    }
    let bind = "mount --bind bin/newuidmap /usr/bin/newuidmap && mount --bind bin/newgidmap /usr/bin/newgidmap";
    let line = format!("{bind} && as_user jail --subids --rw . -- sh -c \"{IDS}\"");
    assert!(Etc::new(&s).run(&line).unwrap().good().starts_with(" 0 54321 1\n 1 100000 65536\n"));
}

#[test]
fn root_needs_ids_of_its_own_and_no_set_user_id() {
    let s = Scratch::new();
    let line = "mkdir -p own && cd own && jail --subids --rw . -- sh -c 'touch f && chown 5 f && stat -c %u f'";
    let Some(out) = (Etc { subuid: "root:500000:65536\n", subgid: "0:500000:65536\n", ..Etc::new(&s) }).run(line) else { return };
    assert_eq!(out.good(), "5");
    assert_eq!(std::fs::metadata(s.0.join("own/f")).unwrap().uid(), 500_004);
    Etc::new(&s).run(line).unwrap().refused(&["/etc/subuid gives root no ids"]);
}

#[test]
fn it_is_explained_and_told_from_its_likes() {
    let s = Scratch::new();
    let Some(out) = Etc::new(&s).run("as_user jail --subids --explain -- true; as_user jail --check | grep -A1 subordinate")
    else {
        return;
    };
    let line = "uids inside and outside: 0 is 54321, 1-65536 are 100000-165535; gids: 0 is 54321, 1-65536 are 100000-165535; by /usr/bin/newuidmap and /usr/bin/newgidmap";
    assert!(out.good().contains(&format!("  {line}  [--subids]")), "{out:?}");
    assert!(out.good().contains(&format!("yes  {line}")), "{out:?}");
    run(&["--subids", "--as-root", "--", "true"]).refused(&["--subids: contradicts --as-root"]);
    run(&["--fakeroot", "--subids", "--", "true"]).refused(&["--fakeroot: contradicts --subids"]);
    run(&["--gid", "0", "--subids", "--", "true"]).refused(&["--gid 0: contradicts --subids"]);
    run(&["--cap", "setuid", "--subids", "--", "true"]).refused(&["has no effect: --subids has it"]);
}

/// A launch whose programs never come to an end: set-user-ID root as the real ones, and
/// any number is something to sleep for.
fn hanging(s: &Scratch, flags: &str) -> Option<(Child, Vec<PathBuf>)> {
    s.dir("bin");
    for name in ["newuidmap", "newgidmap"] {
        let program = s.0.join("bin").join(name);
        std::fs::copy("/bin/sleep", &program).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o4755)).unwrap();
    }
    let script = format!(
        "for n in newuidmap newgidmap; do chown 0 bin/$n; chmod 4755 bin/$n; mount --bind bin/$n /usr/bin/$n; done
        exec setpriv --reuid={USER} --regid={USER} --clear-groups -- jail --subids {flags} -- echo ran"
    );
    let mut command = Etc::new(s).command(&script)?;
    let launcher = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let children = started(launcher.id());
    Some((launcher, children))
}

/// The children of a launcher that waits for its ids.
fn started(launcher: u32) -> Vec<PathBuf> {
    let start = Instant::now();
    loop {
        let children = std::fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap_or_default();
        let children: Vec<PathBuf> = children.split_whitespace().map(|pid| Path::new("/proc").join(pid)).collect();
        let names = children.iter().map(|child| std::fs::read_to_string(child.join("comm")).unwrap_or_default());
        let names: Vec<String> = names.collect();
        let all = ["newuidmap\n", "newgidmap\n", "keeper\n"].iter().all(|name| names.iter().any(|other| other == name));
        // They and process 1, once the one that makes the network has ended, which may
        // outlive the start of the programs.
        if all && children.len() == 4 {
            return children;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "they are not started: {names:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn gone(children: &[PathBuf], why: &str) {
    let start = Instant::now();
    while children.iter().any(|child| child.exists()) {
        assert!(start.elapsed() < Duration::from_secs(5), "{why}: {children:?} are left over");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_launch_that_waits_for_its_ids_is_ended_whole() {
    for (signal, number) in [("TERM", "15"), ("INT", "2"), ("HUP", "1")] {
        let s = Scratch::new();
        let Some((launcher, children)) = hanging(&s, "") else { return };
        Command::new("kill").args([&format!("-{signal}"), &launcher.id().to_string()]).status().unwrap();
        let out = Outcome::from(launcher.wait_with_output().unwrap());
        out.refused(&["--subids: map the caller's subordinate ids", &format!("signal {number} came meanwhile")]);
        assert_eq!(out.out, "", "the command did not run");
        assert!(children.iter().all(|child| !child.exists()), "{signal}: {children:?}");
    }
    for flags in ["", "--pid host"] {
        let s = Scratch::new();
        let Some((mut launcher, children)) = hanging(&s, flags) else { return };
        launcher.kill().unwrap();
        launcher.wait().unwrap();
        gone(&children, flags);
    }
    let s = Scratch::new();
    let Some((launcher, children)) = hanging(&s, "--timeout 500ms --grace 100ms") else { return };
    let out = Outcome::from(launcher.wait_with_output().unwrap());
    assert_eq!((out.status, out.out.as_str()), (124, ""), "{out:?}");
    gone(&children, "--timeout");
}
