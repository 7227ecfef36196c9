//! System-call filters that others have put around the launcher.

use crate::support::command;
use std::path::Path;
use std::process::Command;

/// What such a filter refuses.
#[derive(Default)]
pub struct Filter {
    /// clone and unshare with flags of namespaces.
    pub namespaces: bool,
    /// Another filter.
    pub filters: bool,
    /// By name, ENOSYS.
    pub absent: &'static [&'static str],
    /// By name, EPERM.
    pub refused: &'static [&'static str],
}

/// As the default profile of container runtimes has it.
pub const CONTAINER: Filter = Filter {
    namespaces: true,
    filters: false,
    absent: &["clone3"],
    refused: &[
        "mount",
        "umount2",
        "pivot_root",
        "open_tree",
        "move_mount",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "mount_setattr",
        "setns",
        "keyctl",
        "add_key",
        "request_key",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "io_uring_setup",
    ],
};

impl Filter {
    /// A command that runs `program` as the user under the filter.
    pub fn around(&self, program: &Path, dir: &Path) -> Command {
        let mut command = command(Path::new("python3"), dir, false);
        let list = |on: bool, names: &[&str]| {
            let numbers: Vec<String> = names.iter().filter(|_| on).map(|name| number(name)).collect();
            if numbers.is_empty() { "-".to_owned() } else { numbers.join(",") }
        };
        command.arg("-c").arg(include_str!("filter.py"));
        command.arg(list(self.namespaces, &["clone", "unshare"])).arg(list(self.filters, &["prctl"]));
        command.arg(list(true, self.absent)).arg(list(true, self.refused)).arg("--").arg(program);
        command
    }
}

fn number(name: &str) -> String {
    let headers = match std::env::consts::ARCH {
        "x86_64" => include_str!("../headers/x86_64"),
        _ => include_str!("../headers/aarch64"),
    };
    let mut calls = headers.lines().filter_map(|line| line.split_once(' '));
    calls.find(|(call, _)| *call == name).unwrap_or_else(|| panic!("no call {name}")).1.to_owned()
}
