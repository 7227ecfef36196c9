//! Packages are installed and built in a Debian tree of one's own: those that make
//! users, change owners, set capabilities and set-id bits.

#[path = "support/debian.rs"]
mod debian;
mod support;
use debian::Tree;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use support::*;

/// What of each installed file is as its package says, by dpkg's own sums.
const VERIFY: &str = "dpkg --verify | grep -v ' c /etc/'";

#[test]
fn a_fake_root_installs_and_builds_packages() {
    let Some(tree) = Tree::unpacked("--fakeroot") else { return };
    // The allowed twin of what follows: without the flag apt gives up at once.
    tree.s.file("inside", "apt-get -o APT::Sandbox::User=_apt update");
    let told = tree.outside("cp inside tree/inside && jail --root tree --writable --as-root --net host -- sh /inside").unwrap();
    assert!(told.status != 0 && told.err.contains("setgroups"), "{told:?}");
    if !tree.installs("build-essential openssh-server postgresql") || !tree.installs("debhelper mtr-tiny libcap2-bin") {
        return;
    }
    let look = format!(
        "{VERIFY}; stat -c '%u:%g %a' /usr/bin/ssh-agent /usr/bin/passwd; getent passwd sshd postgres | wc -l; getcap /usr/bin/mtr-packet"
    );
    assert_eq!(tree.inside("", &look).good(), "0:0 2755\n0:0 4755\n2\n/usr/bin/mtr-packet cap_net_raw=ep");
    let owner = std::fs::metadata(tree.s.0.join("tree/usr/bin/ssh-agent")).unwrap();
    assert_eq!(owner.uid(), std::fs::metadata(&tree.s.0).unwrap().uid());

    let Some(source) = input("zlib") else { return };
    assert!(Command::new("cp").arg("-r").arg(&source).arg(tree.s.0.join("tree/zlib")).status().unwrap().success());
    if we_are_root() {
        let owner = format!("{USER}:{USER}");
        assert!(Command::new("chown").args(["-R", &owner]).arg(tree.s.0.join("tree/zlib")).status().unwrap().success());
    }
    twice_the_same(&tree);
    another_mask_is_another_package(&tree);
}

/// A recipe that docs/same-package-twice.md and the manual print alike, and its output.
fn recipe() -> (Vec<String>, String) {
    let read = |file: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let document = read("docs/same-package-twice.md");
    let block = document.split("<!-- package -->\n```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let (lines, expected): (Vec<&str>, Vec<&str>) = block.lines().partition(|line| line.starts_with("$ "));
    let lines: Vec<String> = lines.iter().map(|line| line[2..].to_owned()).collect();
    let manual = read("man/jail.1");
    let section = manual.split(".Sh REPRODUCIBLE BUILDS\n").nth(1).unwrap();
    let literal = section.split(".Bd -literal -offset indent\n").nth(1).unwrap().split(".Ed\n").next().unwrap();
    assert_eq!(literal.lines().collect::<Vec<_>>(), lines, "the manual's recipe is that of docs/same-package-twice.md");
    (lines, format!("{}\n", expected.join("\n")))
}

/// All that a caller's surroundings can be another time, but for the umask, which the
/// shell has.
const OTHER_SURROUNDINGS: &str = "umask 077; export LANG=de_DE.UTF-8 LC_ALL=fr_FR.UTF-8 TZ=Asia/Tokyo HOME=/nonexistent \
USER=other LOGNAME=other SHELL=/bin/false TERM=vt100 CFLAGS=-O0; taskset -cp 0 $$ >/dev/null; \
ulimit -n 200; ulimit -s 4096; trap '' PIPE; exec 7</etc/passwd </dev/zero";

/// The recipe, with other surroundings before the second build.
fn twice_the_same(tree: &Tree) {
    let (mut lines, expected) = recipe();
    let second = lines.iter().rposition(|line| line.starts_with("$J ")).unwrap();
    lines.insert(second, OTHER_SURROUNDINGS.into());
    let out = tree.outside(&format!("mv tree/zlib src\n{}", lines.join("\n"))).expect("the tree was unpacked");
    assert_eq!(out.out, expected, "{out:#?}");
    let built = tree.outside("cat one.log; ls one; dpkg-deb -c one/zlib1g_*.deb | grep -v ' root/root '").unwrap().out;
    for line in ["*** zlib test OK ***", "*** zlib shared test OK ***", "*** zlib 64-bit test OK ***", ".deb\n", ".buildinfo\n"] {
        assert!(built.contains(line), "{line}: {built}");
    }
    assert!(built.ends_with(".buildinfo\n"), "all is root's: {built}");
    // The wall clock is the one thing that is seen, and the tree is as it was.
    let when =
        tree.outside("diff one/*.buildinfo two/*.buildinfo | grep '^[<>]' | cut -d: -f1 | sort -u; ls tree/srv | wc -l").unwrap();
    assert_eq!(when.good(), "< Build-Date\n> Build-Date\n0");
}

/// What is not pinned tells: a package whose build leaves modes to the mask.
fn another_mask_is_another_package(tree: &Tree) {
    let control = "Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: T <t@example.org>\\nDescription: p\\n";
    let make = format!(
        "mkdir -p /srv/p/DEBIAN && printf '{control}' >/srv/p/DEBIAN/control && SOURCE_DATE_EPOCH=1 dpkg-deb -b /srv/p /media"
    );
    tree.s.file("make", &make);
    let build = |mask: &str, flags: &str| {
        let line = "jail --root tree --ephemeral --fakeroot --ro-bind make /mnt/make --rw-bind made /media";
        let script = format!(
            "umask {mask}; rm -rf made; mkdir made; mkdir -p tree/mnt; : >>tree/mnt/make; {line} {flags} -- sh /mnt/make >&2; cksum <made/p_1_all.deb"
        );
        tree.outside(&script).unwrap().good().to_owned()
    };
    assert_eq!(build("022", ""), build("022", ""));
    assert_ne!(build("022", ""), build("002", ""));
    assert_eq!(build("022", "--umask 22"), build("002", "--umask 22"));
}

#[test]
fn subordinate_ids_install_packages_with_their_owners() {
    if !we_are_root() {
        return skip("this needs root, who alone gives subordinate ids");
    }
    let Some(tree) = Tree::unpacked("--subids") else { return };
    if !tree.installs("build-essential openssh-server postgresql") {
        return;
    }
    let look = format!("{VERIFY}; stat -c '%U:%G %a' /usr/bin/ssh-agent /etc/shadow /var/lib/postgresql/*/main");
    assert_eq!(tree.inside("", &look).good(), "root:_ssh 2755\nroot:shadow 640\npostgres:postgres 700");
    // The users are users: the database is one's that will not be root.
    let serve = "v=$(ls /etc/postgresql); pg_ctlcluster $v main start && su postgres -c 'psql -Atc \"select 6 * 7\"'; pg_ctlcluster $v main stop";
    assert_eq!(tree.inside("", serve).good(), "42");
    let main = |path: &Path| std::fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
    let cluster = main(&tree.s.0.join("tree/var/lib/postgresql"));
    assert!(std::fs::metadata(cluster.join("main")).unwrap().uid() > 100_000, "its owner is one of the ids behind the caller's");

    let removed = tree.outside("rm -rf tree 2>&1; jail --subids --rw . -- rm -rf tree").unwrap();
    assert!(removed.good().contains("Permission denied"), "{removed:?}");
    assert!(!tree.s.0.join("tree").exists());
}
