//! Root as the caller: no stronger inside than it must be.

mod support;
use std::path::Path;
use support::*;

#[test]
fn the_kernels_knobs_are_out_of_reach() {
    let root = Path::new("/");
    for knob in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/kernel/panic",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
    ] {
        let Some(out) = sh_as_root(root, "", &format!("echo x > {knob}")) else { return };
        assert_ne!(out.status, 0, "{knob}");
        let Some(out) = sh_as_root(root, "--as-root", &format!("echo x > {knob}")) else { return };
        assert_ne!(out.status, 0, "{knob}");
    }
    for secret in ["kcore", "kmsg", "keys", "timer_list"] {
        let Some(out) = sh_as_root(root, "", &format!("head -c 1 /proc/{secret}")) else { return };
        assert!(out.status != 0 && out.out.is_empty(), "{secret}: {out:?}");
    }
    assert!(sh_as_root(root, "", "cat /proc/cpuinfo /proc/meminfo /proc/sys/kernel/ostype").unwrap().good().contains("Linux"));
}

#[test]
fn groups_are_dropped() {
    if let Some(out) = sh_as_root(Path::new("/"), "", "id -G") {
        assert_eq!(out.good(), "0");
    }
    if let Some(out) = sh_as_root(Path::new("/"), "", "grep -c '^Groups:[[:space:]]*$' /proc/self/status") {
        assert_eq!(out.good(), "1");
    }
}

#[test]
fn devices_cannot_be_made_or_mounted() {
    for attempt in ["mknod /tmp/d b 254 0", "mount -t tmpfs x /tmp", "unshare -m true", "chown 1 /tmp"] {
        let Some(out) = sh_as_root(Path::new("/"), "--as-root", attempt) else { return };
        assert_ne!(out.status, 0, "{attempt}");
    }
}

#[test]
fn the_launcher_is_as_closed_to_root() {
    for file in ["environ", "exe", "root", "mem"] {
        let script = format!("cat /proc/1/{file} 2>/dev/null; readlink /proc/1/{file}; true");
        let Some(out) = sh_as_root(Path::new("/"), "--as-root --cap sys_ptrace", &script) else { return };
        assert_eq!(out.good(), "", "{file}");
    }
}

#[test]
fn a_users_supplementary_groups_show_as_unmapped() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let mut with_group = std::process::Command::new("setpriv");
    with_group
        .args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--groups=4242", "--"])
        .arg(jail())
        .args(["--", "id", "-G"]);
    assert_eq!(outcome(with_group).good(), format!("{USER} 65534"));
}
