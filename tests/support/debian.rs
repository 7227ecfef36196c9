//! A Debian tree of the user's own, in which packages are installed.

#![allow(dead_code, reason = "each test file uses its own part")]

use crate::support::*;
use std::path::PathBuf;
use std::process::Command;

/// A tree that the user unpacked in a jail, and the shell that drives it.
pub struct Tree {
    pub s: Scratch,
    pub tar: PathBuf,
    pub identity: &'static str,
}

impl Tree {
    /// None, loudly, where there is no tree to unpack.
    pub fn unpacked(identity: &'static str) -> Option<Self> {
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
    pub fn outside(&self, script: &str) -> Option<Outcome> {
        if self.identity != "--subids" {
            return Some(outside_in(&self.s.0, false, script));
        }
        let etc = Etc::new(&self.s);
        self.s.file("script", script);
        etc.run("as_user sh ./script")
    }

    /// A script in the tree, which may be changed.
    pub fn inside(&self, flags: &str, script: &str) -> Outcome {
        self.s.file("inside", script);
        let env = "--env DEBIAN_FRONTEND=noninteractive --env LC_ALL=C.UTF-8";
        let line = format!("jail --root tree --writable {} {env} {flags} -- sh /inside", self.identity);
        self.outside(&format!("cp inside tree/inside && {line}")).expect("the tree was unpacked")
    }

    /// Updates and installs; false, loudly, where there is no way to the packages.
    pub fn installs(&self, packages: &str) -> bool {
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
