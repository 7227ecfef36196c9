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

/// The kernel keeps the mode of such a file for every /proc of the machine: with another
/// one no user could read /proc/stat, or all could read /proc/slabinfo.
#[test]
fn no_file_of_proc_gets_another_mode_or_time() {
    // Each file is given the mode and the time that it has, so that success changes nothing.
    let script = r#"
        tried=0
        for file in $(find /proc -path '/proc/[0-9]*' -prune -o -path /proc/sys -prune -o ! -type l -print 2>/dev/null); do
            chmod "$(stat -c %a "$file")" "$file" 2>/dev/null && echo "chmod $file"
            touch -c -r "$file" "$file" 2>/dev/null && echo "touch $file"
            tried=$((tried + 1))
        done
        [ $tried -gt 20 ] && echo tried
    "#;
    for flags in ["", "--as-root", "--nested", "--landlock none"] {
        let Some(out) = sh_as_root(Path::new("/"), flags, script) else { return };
        // The root of a /proc is the jail's own.
        let changed: Vec<_> = out.good().lines().filter(|line| !line.ends_with(" /proc")).collect();
        assert_eq!(changed, ["tried"], "{flags}");
    }
    // What SECURITY.md says is open. The mode stays the same.
    let open = "cd /proc/net; chmod $(stat -c %a psched) psched && echo open";
    assert_eq!(sh_as_root(Path::new("/"), "--net host", open).unwrap().good(), "open");
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
    for (attempt, why) in [
        ("mknod /tmp/d b 254 0", "Permission denied"),
        ("mount -t tmpfs x /tmp", "permission denied"),
        ("unshare -m true", "Operation not permitted"),
        ("chown 1 /tmp", "Invalid argument"),
    ] {
        let Some(out) = sh_as_root(Path::new("/"), "--as-root", attempt) else { return };
        assert!(out.status != 0 && out.status != 125 && out.err.contains(why), "{attempt}: {out:?}");
    }
    // The allowed twins: a FIFO, its own user namespace, its own id.
    let may = |flags: &str, script: &str| sh_as_root(Path::new("/"), flags, script).unwrap().good().to_owned();
    assert_eq!(may("--as-root", "mknod /tmp/p p && chown 0 /tmp && test -p /tmp/p && echo made"), "made");
    assert_eq!(may("--as-root --nested", "unshare -Um true && echo unshared"), "unshared");
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

/// Opens a knob to write to it, and writes nothing.
const OPENS: &str = "( : >> KNOB ) 2>/dev/null && echo opened KNOB";

#[test]
fn parts_of_proc_are_covered_wherever_one_is_shown() {
    if !we_are_root() {
        return skip("this needs root");
    }
    let s = Scratch::new();
    s.tree("t");
    std::fs::remove_dir(s.0.join("t/proc")).unwrap();
    s.link("t/proc", "p");
    s.dir("t/p");
    s.dir("t/hp");
    let script = |at: &str| {
        // busybox is in the tree, too.
        let mut script = format!("cat {at}/sys/kernel/ostype {at}/cpuinfo | busybox head -n 1; ");
        for secret in ["keys", "kcore", "slabinfo", "vmallocinfo", "timer_list", "key-users"] {
            script += &format!("busybox head -c 1 {at}/{secret} 2>/dev/null; ");
        }
        for knob in ["sys/kernel/core_pattern", "sys/kernel/modprobe", "sys/vm/drop_caches", "sysrq-trigger"] {
            script += &format!("{}; ", OPENS.replace("KNOB", &format!("{at}/{knob}")));
        }
        script + "true"
    };
    // The allowed twin: outside, root has them all.
    let outside = outside_in(&s.0, true, &script("/proc"));
    assert!(
        outside.out.lines().nth(1).is_some_and(|read| read.len() > 2)
            && outside.out.contains("opened /proc/sys/kernel/core_pattern"),
        "{outside:?}"
    );
    for (flags, at) in [
        ("", "/proc"),
        ("--root t", "/p"),
        ("--root t", "/proc"),
        ("--root t --writable", "/p"),
        ("--root t --as-root", "/p"),
        ("--rw-bind /proc /hp", "/hp"),
        ("--rw-bind /proc /hp", "/proc"),
        ("--rw-bind /proc /hp --as-root", "/hp"),
        ("--ro-bind /proc /hp", "/hp"),
        ("--root t --rw-bind /proc /hp", "/hp"),
        ("--rw-bind /proc/sys /hp/sys --ro-bind /proc/cpuinfo /hp/cpuinfo", "/hp"),
        ("--pid host", "/proc"),
    ] {
        let out = sh_as_root(&s.0, flags, &script(at)).unwrap();
        assert_eq!(out.out, "Linux\n", "{flags} {at}: {out:?}");
    }
    // All of the host's files, with its /proc among them.
    for flags in ["--rw-bind / /h", "--rw-bind / /h --rw-bind /proc /h/proc", "--root / --rw-bind /proc /mnt"] {
        let at = if flags.contains(" /h") { "/h/proc" } else { "/mnt" };
        let out = sh_as_root(&s.0, flags, &script(at)).unwrap();
        assert_eq!(out.out, "Linux\n", "{flags}: {out:?}");
    }
}

#[test]
fn a_user_with_groups_may_be_root_of_a_namespace_and_start_jails() {
    if !we_are_root() {
        return skip("this needs root");
    }
    // That root may not drop the groups, and is not stopped by it.
    for (flags, ids) in [("", "0\n0"), ("--uid 7 --gid 8", "7\n8"), ("--as-root", "0\n0")] {
        let script = format!(
            "exec setpriv --reuid={USER} --regid={USER} --groups=4242,{USER} -- unshare -r jail {flags} -- sh -c 'id -u; id -g'"
        );
        assert_eq!(outside_in(Path::new("/"), true, &script).good(), ids, "{flags}");
    }
}
