//! Packages are installed and built in a Debian tree of one's own: those that make
//! users, change owners, set capabilities and set-id bits.

mod support;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::*;

/// A tree that the user unpacked in a jail, and the shell that drives it.
struct Tree {
    s: Scratch,
    tar: PathBuf,
    identity: &'static str,
}

impl Tree {
    /// None, loudly, where there is no tree to unpack.
    fn unpacked(identity: &'static str) -> Option<Self> {
        let tree = Self { s: Scratch::new(), tar: input("trixie.tar")?, identity };
        let tar = tree.tar.display();
        let unpack = format!("mkdir tree && jail {identity} --rw . --ro {tar} -- tar -C tree --exclude './dev/*' -xf {tar}");
        tree.outside(&unpack)?.good();
        tree.s.file("tree/etc/resolv.conf", &std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
        // Whatever way this machine's apt goes to its sources, that of the tree goes, too.
        let dump = Command::new("apt-config").arg("dump").output().expect("apt-config is installed");
        let ways: String = String::from_utf8_lossy(&dump.stdout)
            .lines()
            .filter(|line| line.starts_with("Acquire::"))
            .map(|line| format!("{line}\n"))
            .collect();
        tree.s.file("tree/etc/apt/apt.conf.d/80way", &ways);
        if identity == "--fakeroot" {
            tree.s.file("tree/etc/apt/apt.conf.d/90jail", "APT::Sandbox::User \"root\";\n");
        }
        Some(tree)
    }

    /// A script outside, as the user; with --subids as one who has some.
    fn outside(&self, script: &str) -> Option<Outcome> {
        if self.identity != "--subids" {
            return Some(outside_in(&self.s.0, false, script));
        }
        let etc = Etc::new(&self.s);
        self.s.file("script", script);
        etc.run("as_user sh ./script")
    }

    /// A script in the tree, which may be changed.
    fn inside(&self, flags: &str, script: &str) -> Outcome {
        self.s.file("inside", script);
        let env = "--env DEBIAN_FRONTEND=noninteractive --env LC_ALL=C.UTF-8";
        let line = format!("jail --root tree --writable {} {env} {flags} -- sh /inside", self.identity);
        self.outside(&format!("cp inside tree/inside && {line}")).expect("the tree was unpacked")
    }

    /// Updates and installs; false, loudly, where there is no way to the packages.
    fn installs(&self, packages: &str) -> bool {
        let update = self.inside("--net host", "apt-get update");
        if ["resolving", "Could not connect", "Unable to connect"]
            .iter()
            .any(|sign| update.out.contains(sign) || update.err.contains(sign))
        {
            skip(&format!("there is no way to Debian's packages: {}", update.err));
            return false;
        }
        update.good();
        self.inside("--net host", &format!("apt-get install -y {packages}")).good();
        assert_eq!(self.inside("", "dpkg --audit; dpkg -l | grep -v ^ii | tail -n +6").good(), "", "{packages}");
        true
    }
}

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
    let build = tree.inside("--net none --chdir /zlib", "dpkg-buildpackage -us -uc -b -Pnobiarch");
    for line in ["*** zlib test OK ***", "*** zlib shared test OK ***", "*** zlib 64-bit test OK ***"] {
        assert!(build.good().contains(line), "{line}: {build:#?}");
    }
    assert_eq!(tree.inside("", "dpkg-deb -c /zlib1g_*.deb | grep -v ' root/root '; ls /zlib1g_*.deb | wc -l").good(), "1");
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
