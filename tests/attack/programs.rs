//! Programs that the launcher runs outside a jail (getent, pasta, newuidmap, newgidmap),
//! put in its way by what a jailed command could have written; and names whose owner has
//! them lead to this machine or its cloud.

use crate::support::*;
use std::fs;
use std::path::Path;

/// A program that leaves `./NAME.ran` in `dir`, whichever way it is started.
fn spy(dir: &Path, name: &str) -> String {
    format!("#!/bin/sh\necho outside >{}/{name}.ran\necho 192.0.2.66 STREAM\n", dir.display())
}

/// What of `names` ran.
fn ran(s: &Scratch, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{name}.ran")).filter(|file| s.0.join(file).exists()).collect()
}

const NAMES: [&str; 4] = ["getent", "pasta", "newuidmap", "newgidmap"];

#[test]
fn a_helper_that_an_earlier_jail_wrote_is_never_run() {
    let s = Scratch::new();
    s.dir("venv/bin");
    // The first jail: hostile code, which sees this directory alone.
    for name in NAMES {
        s.file(&format!("venv/{name}"), &spy(&s.0, name));
    }
    let write = format!("for n in {}; do cp venv/$n venv/bin/$n; chmod 755 venv/bin/$n; done", NAMES.join(" "));
    sh_in(&s.0, "--rw .", &write).good();
    // The second: an absolute directory of PATH, as of an activated virtualenv.
    let path = format!("export PATH={}/venv/bin:$PATH", s.0.display());
    for line in ["--reach no.such.name.invalid:443", "--net pasta", "--subids", "--check"] {
        outside_in(&s.0, false, &format!("{path}; jail {line} {} true", if line == "--check" { ";" } else { "--" }));
        assert_eq!(ran(&s, &NAMES), [] as [String; 0], "{line}");
    }
    // It would have been run by who looks at PATH.
    outside_in(&s.0, false, &format!("{path}; getent hosts localhost")).good();
    assert_eq!(ran(&s, &NAMES), ["getent.ran"]);
}

#[test]
fn relative_and_empty_elements_of_path_lead_to_no_helper() {
    for (path, at) in [("bin:$PATH", "bin/"), (".:$PATH", ""), ("$PATH:", ""), (":$PATH", ""), ("bin", "bin/"), ("", "")] {
        let s = Scratch::new();
        for name in NAMES {
            let file = s.file(&format!("{at}{name}"), &spy(&s.0, name));
            fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        for line in ["--reach no.such.name.invalid:443", "--net pasta", "--subids"] {
            let script = format!("program=$(command -v jail); PATH=\"{path}\"; export PATH; $program --rw . {line} -- /bin/true");
            outside_in(&s.0, false, &script);
            assert_eq!(ran(&s, &NAMES), [] as [String; 0], "PATH={path} {line}");
        }
    }
}

#[test]
fn a_capability_that_a_jailed_root_gave_makes_no_newuidmap() {
    let s = Scratch::new();
    s.dir("venv/bin");
    for name in ["newuidmap", "newgidmap"] {
        s.file(&format!("venv/{name}"), &spy(&s.0, name));
    }
    let give = "import os, shutil
for name in (\"newuidmap\", \"newgidmap\"):
    at = \"venv/bin/\" + name
    shutil.copy(\"venv/\" + name, at)
    os.chmod(at, 0o755)
    os.setxattr(at, \"security.capability\", bytes.fromhex(\"01000002c0\" + \"0\" * 30))";
    sh_in(&s.0, "--as-root --rw .", &format!("python3 -c '{give}'")).good();
    let line = "as_user env PATH=$PWD/venv/bin:$PATH jail --subids --rw . -- sh -c 'cut -c1-10 /proc/self/uid_map | head -n 1'";
    let Some(out) = Etc::new(&s).run(line) else { return };
    assert_eq!(ran(&s, &NAMES), [] as [String; 0]);
    // The allowed twin: the system's own, which maps the caller as root.
    assert_eq!(out.good().trim(), "0");
    // For root as the caller, who asks for no set-user-ID.
    let line = "PATH=$PWD/venv/bin:$PATH; jail --subids --rw . -- true";
    let Some(out) = (Etc { subuid: "root:500000:65536\n", subgid: "root:500000:65536\n", ..Etc::new(&s) }).run(line) else {
        return;
    };
    assert_eq!(ran(&s, &NAMES), [] as [String; 0]);
    out.good();
}

/// A shell script whose only getent is the one that it makes: `good PATH` makes one that
/// root alone can change.
fn only_getent(s: &Scratch, script: &str) -> Option<Outcome> {
    let prelude = "set -e
over /usr; rm -f /usr/bin/getent /usr/sbin/getent
good() { mkdir -p \"${1%/*}\"; printf '#!/bin/sh\\necho 192.0.2.9 STREAM\\n' >\"$1\"; chmod 755 \"$1\"; }
look() { as_user jail --reach far.test:443 --explain -- true | grep reach:; }
local=/usr/local/bin/getent
";
    apart(&s.0, &format!("{prelude}{script}\n"))
}

#[test]
fn a_helper_that_others_than_root_can_change_is_refused_with_the_reason() {
    let user = format!("uid {USER}, not by root");
    let cases: &[(&str, &str)] = &[
        ("good $local; chown 54321 $local", &format!("{LOCAL}: it is owned by {user}")),
        ("good $local; chmod 775 $local; chgrp 50 $local", &format!("{LOCAL}: it is writable by group 50")),
        ("good $local; chmod g+w $local", &format!("{LOCAL}: it is writable by group 0")),
        ("good $local; chmod 777 $local", &format!("{LOCAL}: it is writable by every user")),
        // The other user of an access-control list.
        (
            "good $local; python3 -c 'import os, struct; os.setxattr(\"/usr/local/bin/getent\", \"system.posix_acl_access\", struct.pack(\"<I\", 2) + b\"\".join(struct.pack(\"<HHI\", *e) for e in [(1, 7, 2**32 - 1), (2, 7, 54321), (4, 5, 2**32 - 1), (16, 7, 2**32 - 1), (32, 5, 2**32 - 1)]))'",
            &format!("{LOCAL}: it is writable by group 0"),
        ),
        ("good $local; chown 54321 /usr/local/bin", &format!("{LOCAL}: its directory /usr/local/bin is owned by {user}")),
        (
            "good $local; chgrp 50 /usr/local/bin; chmod 2775 /usr/local/bin",
            &format!("{LOCAL}: its directory /usr/local/bin is writable by group 50"),
        ),
        ("good $local; chmod 777 /usr/local/bin", &format!("{LOCAL}: its directory /usr/local/bin is writable by every user")),
        ("good $local; chmod 777 /usr/local", &format!("{LOCAL}: its directory /usr/local is writable by every user")),
        ("good $local; chmod 1777 /usr/local; chown 54321 /usr/local", &format!("{LOCAL}: its directory /usr/local is owned by")),
        // Links: to a file of the caller's, through a directory of the caller's, and one
        // that is the caller's own.
        ("good $PWD/evil; ln -s $PWD/evil $local", &format!("HERE, to which it leads, is owned by {user}")),
        ("good /usr/x/getent; ln -s /usr/x/getent step; ln -s $PWD/step $local", "HERE, to which it leads, is owned by"),
        (
            "good /usr/x/getent; mkdir -p /usr/x/d; ln -s ../../x/d/../../..$PWD$(pwd | sed 's,/[^/]*,/..,g')/usr/x/getent $local; [ -e $local ] || exit 1",
            "HERE, to which",
        ),
        ("good /usr/x/getent; ln -s ../../x/getent $local; chown -h 54321 $local", &format!("{LOCAL}: it is owned by {user}")),
        (
            "good /usr/x/getent; ln -s ../../x/getent $local; chmod 777 /usr/x",
            "/usr/x, to which it leads, is writable by every user",
        ),
        (
            "good /usr/y/getent; chown 54321 /usr/y; ln -s /usr/y /usr/z; ln -s /usr/z/getent $local",
            "/usr/y, to which it leads, is owned by",
        ),
        ("mkdir $local", &format!("{LOCAL}: it is not a regular file")),
        ("mkfifo $local", &format!("{LOCAL}: it is not a regular file")),
        ("good $local; chmod 744 $local", &format!("{LOCAL}: it must not be executed by the caller")),
        ("good $local; chmod 700 /usr/local/bin", &format!("{LOCAL}: it cannot be looked at: Permission denied")),
    ];
    for (script, expected) in cases {
        let s = Scratch::new();
        let Some(out) = only_getent(&s, &format!("{script}\nlook || true")) else { return };
        let expected = expected.replace("HERE", &s.0.display().to_string());
        assert_eq!(out.out, "", "{script}: {out:#?}");
        assert!(out.err.contains("--reach far.test:443: find far.test: the launcher does not run"), "{script}: {out:#?}");
        assert!(out.err.contains(&expected), "{script}: {expected:?}: {out:#?}");
        assert!(out.err.contains("; or say which address it is: far.test:443=ADDRESS:443"), "{script}: {out:#?}");
    }
    const LOCAL: &str = "/usr/local/bin/getent";
}

#[test]
fn a_helper_that_root_alone_can_change_is_run() {
    for script in [
        "good $local",
        "good /usr/sbin/getent",
        "good /usr/bin/getent",
        // A sticky directory of root's, and the system profiles that lead into it.
        "good /usr/store/hash-x/bin/getent; chgrp 50 /usr/store; chmod 1775 /usr/store; ln -s /usr/store/hash-x/bin/getent $local",
        "mount -t tmpfs -o mode=755 x /run; good /usr/store/g/bin/getent; chmod 1777 /usr/store; mkdir -p /usr/store/system/sw/bin; ln -s ../../../g/bin/getent /usr/store/system/sw/bin; ln -s /usr/store/system /run/current-system",
        "mount -t tmpfs -o mode=755 x /run; good /usr/store/p/bin/getent; mkdir /usr/store/system; ln -s /usr/store/p /usr/store/system/profile; ln -s /usr/store/system /run/current-system",
        "mount -t tmpfs -o mode=755 x /run; good /run/wrappers/wrappers.1/getent; ln -s wrappers.1 /run/wrappers/bin",
        // The first that was refused does not stand before another.
        "good /usr/bin/getent; chown 54321 /usr/bin/getent; good $local",
    ] {
        let s = Scratch::new();
        let Some(out) = only_getent(&s, &format!("{script}\nlook")) else { return };
        assert!(out.good().contains("far.test:443 inside is 192.0.2.9:443 outside"), "{script}: {out:#?}");
    }
    let s = Scratch::new();
    let Some(out) = only_getent(&s, "look || true") else { return };
    assert!(out.err.contains("is not installed in a system directory such as /usr/bin"), "{out:#?}");
}

#[test]
fn pasta_and_the_mappers_are_looked_up_alike() {
    let s = Scratch::new();
    let script = "over /usr; rm -f /usr/bin/pasta /usr/bin/new?idmap
cp /bin/true /usr/local/bin/pasta; cp /bin/true /usr/local/bin/newuidmap; cp /bin/true /usr/local/bin/newgidmap
chmod 4755 /usr/local/bin/new?idmap; chmod 777 /usr/local/bin
as_user jail --net pasta -- echo ran; as_user jail --subids -- echo ran; as_user jail --check | grep -e newuidmap -e pasta";
    let Some(out) = apart(&s.0, script) else { return };
    let why = "its directory /usr/local/bin is writable by every user";
    for expected in [
        format!("--net pasta: connect the network: the launcher does not run /usr/local/bin/pasta: {why}"),
        "as root: chmod go-w /usr/local/bin; or say --net none".into(),
        format!("--subids: map the caller's subordinate ids: the launcher does not run /usr/local/bin/newuidmap: {why}"),
        "as root: chmod go-w /usr/local/bin; or say --fakeroot".into(),
    ] {
        assert!(out.err.contains(&expected), "{expected}: {out:#?}");
    }
    assert!(!out.out.contains("ran") && out.out.contains(&format!("newuidmap: {why}; refused by")), "{out:#?}");
    // A program without power does not stand before the set-user-ID one of a system whose
    // profile has both.
    let Some(mut command) = Etc::new(&s).command(
        "mount -t tmpfs -o mode=755 x /run && mkdir -p /run/wrappers/bin /tmp/plain && cp -p /usr/bin/new?idmap /run/wrappers/bin &&
mount --bind /bin/true /usr/bin/newuidmap && mount --bind /bin/true /usr/bin/newgidmap &&
as_user jail --subids --explain -- true | grep -o '; by .*newgidmap'; mount --bind /bin/true /run/wrappers/bin/newuidmap; as_user jail --subids -- true",
    ) else {
        return;
    };
    let out = Outcome::from(command.output().unwrap());
    assert_eq!(out.out, "; by /run/wrappers/bin/newuidmap and /run/wrappers/bin/newgidmap\n", "{out:#?}");
    assert!(out.err.contains("/run/wrappers/bin/newuidmap is not set-user-ID root"), "{out:#?}");
}

#[test]
fn a_helper_gets_nothing_of_the_callers() {
    let s = Scratch::new();
    // The system's own, which tell what they were given.
    let tell = format!(
        "printf '#!/bin/sh\\n{{ echo cwd $(pwd); /usr/bin/env; ls /proc/self/fd; }} >{}/$1\\necho 192.0.2.9 STREAM\\n'",
        s.0.display()
    );
    let script = format!(
        "over /usr; {tell} >/usr/bin/getent; rm -f /usr/bin/pasta; {} >/usr/bin/pasta; chmod 755 /usr/bin/getent /usr/bin/pasta
export LD_PRELOAD=$PWD/evil.so LD_LIBRARY_PATH=$PWD GCONV_PATH=$PWD HOSTALIASES=$PWD/aliases RES_OPTIONS=debug LOCPATH=$PWD HOME=$PWD TMPDIR=$PWD ENV=$PWD/evil BASH_ENV=$PWD/evil
as_user jail --reach far.test:443 --explain -- true 2>/dev/null 7<. | grep reach:
as_user jail --net pasta -- true 7<. 8>log 2>/dev/null; cat ahosts; echo; cat pasta",
        tell.replace("$1", "pasta")
    );
    let Some(out) = apart(&s.0, &script) else { return };
    let (_, told) = out.good().split_once("192.0.2.9:443 outside").unwrap_or_else(|| panic!("{out:#?}"));
    let told: Vec<&str> = told.split("\n\n").collect();
    assert_eq!(told.len(), 2, "{out:#?}");
    for told in told {
        // The shell adds PWD, and its listing is open on 3.
        let lines: Vec<&str> = told
            .lines()
            .filter(|line| {
                line.starts_with("cwd") || !line.contains("PWD=") && !line.contains("SHLVL=") && !line.starts_with("_=")
            })
            .filter(|line| !line.contains('['))
            .collect();
        let (environment, descriptors) = lines.split_at(lines.iter().position(|line| *line == "0").unwrap());
        assert_eq!(environment.iter().filter(|line| !line.is_empty()).count(), 2, "{out:#?}");
        assert!(
            environment.contains(&"cwd /") && environment.iter().any(|line| line.starts_with("PATH=/usr/bin:/bin:")),
            "{out:#?}"
        );
        assert_eq!(descriptors, ["0", "1", "2", "3"], "{out:#?}");
    }
}

#[test]
fn the_systems_own_helpers_serve_in_jails_and_user_namespaces_too() {
    let s = Scratch::new();
    // Root's files have no owner's number there.
    let look = "jail --reach no.such.name.invalid:443 -- true 2>&1 | head -n 1";
    let program = jail().display().to_string();
    for around in [
        format!("jail --nested --net host --ro-bind {program} /tmp/jail -- "),
        format!("jail --nested --as-root --net host --ro-bind {program} /tmp/jail -- "),
        format!("jail --nested --cap sys_admin --net host --ro-bind {program} /tmp/jail -- "),
        "unshare -r ".into(),
        "unshare -rm ".into(),
    ] {
        let inside =
            if around.starts_with("jail") { look.replacen("jail", "/tmp/jail", 1) } else { look.replacen("jail", &program, 1) };
        let out = outside_in(&s.0, false, &format!("{around} sh -c '{inside}'"));
        assert!(out.good().ends_with("the name is not known"), "{around}: {out:#?}");
    }
    // But not one that is the caller's, though it lies in a read-only place.
    let evil = s.file("getent", &spy(&s.0, "getent"));
    fs::set_permissions(evil, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // With --as-root its owner has number 0, as root would have.
    for (flags, owner) in [("", "it is owned by uid"), ("--as-root", "it is owned by uid 0, which is the caller")] {
        let around =
            format!("jail --nested {flags} --net host --ro-bind getent /usr/bin/getent --ro-bind {program} /tmp/jail --");
        let out = outside_in(&s.0, false, &format!("{around} sh -c '{}'", look.replacen("jail", "/tmp/jail", 1)));
        let expected = format!("the launcher does not run /usr/bin/getent: {owner}");
        assert!(out.good().contains(&expected), "{flags}: {out:#?}");
    }
    assert_eq!(ran(&s, &NAMES), [] as [String; 0]);
}

#[test]
fn the_systems_resolver_is_asked_whatever_path_says() {
    let s = Scratch::new();
    s.file("hosts", "127.0.0.1 localhost\n192.0.2.77 far.test\n100.100.100.200 meta.test\n");
    for name in NAMES {
        let file = s.file(&format!("venv/bin/{name}"), &spy(&s.0, name));
        fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let line = |name: &str| {
        let look = format!("as_user env PATH=$PWD/venv/bin:$PATH jail --reach {name}:443 --explain -- true 2>&1 | grep {name}");
        apart(&s.0, &format!("mount --bind hosts /etc/hosts; /usr/bin/getent ahosts far.test | head -c 10; echo; {look}"))
    };
    let Some(out) = line("far.test") else { return };
    if out.good().starts_with('\n') {
        return skip("this machine has no IPv4 address but its loopback's, and so no name has one");
    }
    assert!(out.out.contains("far.test:443 inside is 192.0.2.77:443 outside"), "{out:#?}");
    let out = line("meta.test").unwrap();
    let refused = "find meta.test: the name leads to 100.100.100.200, which is the address of a cloud's metadata service";
    assert!(out.out.contains(refused) && out.out.contains("say so: meta.test:443=100.100.100.200:443"), "{out:#?}");
    assert_eq!(ran(&s, &NAMES), [] as [String; 0]);
}

/// Names and where they lead, by a getent of root's that knows these.
fn names(pairs: &[(&str, &str)]) -> String {
    let cases: Vec<String> = pairs.iter().map(|(name, address)| format!("{name}) echo {address} STREAM;;")).collect();
    format!(
        "set -e; over /usr; rm -f /usr/bin/getent; printf '%s\\n' '#!/bin/sh' 'case $2 in {} *) exit 2; esac' >/usr/bin/getent; chmod 755 /usr/bin/getent\n",
        cases.join(" ")
    )
}

#[test]
fn a_name_leads_to_no_metadata_service_and_through_no_translator() {
    let cases = [
        ("a.test", "169.254.169.254", "an address of this machine's link alone"),
        ("b.test", "100.100.100.200", "the address of a cloud's metadata service"),
        ("c.test", "192.0.0.192", "the address of a cloud's metadata service"),
        ("d.test", "168.63.129.16", "the address of a cloud's metadata service"),
        ("e.test", "fd00:ec2::254", "the address of a cloud's metadata service"),
        ("f.test", "fd20:ce::254", "the address of a cloud's metadata service"),
        ("g.test", "64:ff9b::a9fe:a9fe", "an IPv6 address that holds the IPv4 address 169.254.169.254 (NAT64)"),
        ("h.test", "64:ff9b:1::a9fe:a9fe", "an IPv6 address that holds an IPv4 address (NAT64)"),
        ("i.test", "::127.0.0.1", "an IPv6 address that holds the IPv4 address 127.0.0.1 (IPv4-compatible)"),
        ("j.test", "::ffff:127.0.0.1", "an IPv6 address that holds the IPv4 address 127.0.0.1 (IPv4-mapped)"),
        ("k.test", "2002:7f00:1::", "an IPv6 address that holds the IPv4 address 127.0.0.1 (6to4)"),
        ("l.test", "2001:0:1:2::5601:5601", "an IPv6 address that holds the IPv4 address 169.254.169.254 (Teredo)"),
        ("m.test", "2001:db8::5efe:7f00:1", "an IPv6 address that holds the IPv4 address 127.0.0.1 (ISATAP)"),
        ("n.test", "fec0::1", "an address of this machine's link alone"),
        ("o.test", "fe80::1", "an address of this machine's link alone"),
        ("p.test", "0.0.0.0", "not the address of a single machine"),
        ("q.test", "::", "not the address of a single machine"),
        ("r.test", "255.255.255.255", "not the address of a single machine"),
        ("s.test", "ff02::1", "not the address of a single machine"),
        ("t.test", "127.9.9.9", "this machine's loopback"),
    ];
    let s = Scratch::new();
    let pairs: Vec<(&str, &str)> =
        cases.iter().map(|(name, address, _)| (*name, *address)).chain([("far.test", "192.0.2.1")]).collect();
    let all: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
    let script = format!(
        "{}for name in {}; do as_user jail --reach $name:443 --explain -- true 2>&1 | grep -e $name -e meant; echo; done",
        names(&pairs),
        all.join(" ")
    );
    let Some(out) = apart(&s.0, &script) else { return };
    let said: Vec<&str> = out.good().split("\n\n").collect();
    assert_eq!(said.len(), pairs.len(), "{out:#?}");
    let mut typed_ones = 0;
    for ((name, address, why), said) in cases.iter().zip(&said) {
        let address: std::net::IpAddr = address.parse().unwrap();
        let refused = format!("--reach {name}:443: find {name}: the name leads to {address}, which is {why}");
        assert!(said.contains(&refused), "{refused}: {said}");
        let typed = format!("{name}:443={}", std::net::SocketAddr::new(address, 443));
        if !said.contains(&format!("if that is meant, say so: {typed}")) {
            assert!(said.contains(&format!("say which address is meant: {name}:443=ADDRESS:443")), "{said}");
            run(&["--reach", &typed, "--explain", "--", "true"]).refused(&["is not the address of one machine"]);
            continue;
        }
        // What is typed is the caller's decision.
        typed_ones += 1;
        let out = run(&["--reach", &typed, "--explain", "--", "true"]);
        assert!(out.good().contains(&format!("{name}:443 inside is")), "{out:#?}");
    }
    assert_eq!(typed_ones, 15);
    assert!(said.last().unwrap().contains("far.test:443 inside is 192.0.2.1:443 outside"), "{said:?}");
}

#[test]
fn a_name_leads_to_no_address_of_this_machine() {
    let s = Scratch::new();
    let cases = [
        ("first.test", "203.0.113.7", true),
        ("second.test", "203.0.113.8", true),
        // By a route alone, without an interface that has it.
        ("routed.test", "198.51.100.77", true),
        ("six.test", "2001:db8::7", true),
        ("near.test", "203.0.113.9", false),
        ("far.test", "192.0.2.1", false),
        ("far6.test", "2001:db8::8", false),
    ];
    let pairs: Vec<(&str, &str)> = cases.iter().map(|(name, address, _)| (*name, *address)).collect();
    let all: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
    let script = format!(
        "{}ip link set lo up; ip addr add 203.0.113.7/32 dev lo; ip addr add 203.0.113.8/32 dev lo; ip addr add 2001:db8::7 dev lo nodad
ip route add local 198.51.100.0/24 dev lo; ip route add blackhole default
ip link add d type dummy && ip addr add 203.0.112.1/22 dev d && ip link set d up || true
for name in {}; do as_user jail --reach $name:443 --explain -- true 2>&1 | grep $name; echo; done",
        names(&pairs),
        all.join(" ")
    );
    let Some(command) = apart_command(&s.0, "-n", &script) else { return };
    let out = outcome(command);
    let said: Vec<&str> = out.good().split("\n\n").collect();
    assert_eq!(said.len(), cases.len(), "{out:#?}");
    for ((name, address, own), said) in cases.iter().zip(said) {
        let refused = said.contains(&format!("the name leads to {address}, which is an address of this machine"));
        assert_eq!(refused, *own, "{name}: {said}");
        assert_eq!(said.contains(&format!("{name}:443 inside is")), !*own, "{name}: {said}");
    }
}
