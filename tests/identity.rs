//! Ids, capabilities, environment, descriptors: who the command is and what it
//! was handed.

mod support;
use support::*;

const CAPS: &str = "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | tr -d '\\t\\n'";
const NO_CAPS: &str =
    "CapInh:0000000000000000CapPrm:0000000000000000CapEff:0000000000000000CapBnd:0000000000000000CapAmb:0000000000000000";

#[test]
fn ids_are_the_callers_unless_said() {
    let own = if we_are_root() { USER.to_string() } else { sh("", "id -u").good().to_owned() };
    assert_eq!(sh("", "id -u; id -g").good(), format!("{own}\n{own}"));
    assert_eq!(sh("--uid 7 --gid 8", "id -u; id -g").good(), "7\n8");
    assert_eq!(sh("--as-root", "id -u; id -g").good(), "0\n0");
}

#[test]
fn files_written_belong_to_the_caller_outside() {
    use std::os::unix::fs::MetadataExt;
    for flags in ["--rw .", "--rw . --as-root", "--rw . --uid 7 --gid 8"] {
        let scratch = Scratch::new();
        sh_in(&scratch.0, flags, "echo x > f").good();
        let (dir, file) = (std::fs::metadata(&scratch.0).unwrap(), std::fs::metadata(scratch.0.join("f")).unwrap());
        assert_eq!((file.uid(), file.gid()), (dir.uid(), dir.gid()), "{flags}");
    }
}

#[test]
fn no_capability_and_no_new_privileges() {
    assert_eq!(sh("", CAPS).good(), NO_CAPS);
    assert_eq!(sh("--uid 0", CAPS).good(), NO_CAPS);
    assert_eq!(sh("", "grep NoNewPrivs /proc/self/status").good(), "NoNewPrivs:\t1");
    // Process 1 holds none either.
    assert_eq!(
        sh("--as-root", "grep -E 'CapEff|CapPrm' /proc/1/status | tr -d '\\t\\n'").good(),
        "CapPrm:0000000000000000CapEff:0000000000000000"
    );
}

#[test]
fn root_as_the_caller_has_none_either() {
    if let Some(out) = sh_as_root(std::path::Path::new("/"), "", CAPS) {
        assert_eq!(out.good(), NO_CAPS);
    }
}

#[test]
fn a_jailed_root_has_its_powers_and_no_more() {
    assert_eq!(sh("--as-root", "grep CapEff /proc/self/status").good(), "CapEff:\t00000000800405fb");
    assert_eq!(sh("--as-root", "grep CapBnd /proc/self/status").good(), "CapBnd:\t00000000800405fb");
    assert_eq!(sh("--as-root", "chroot / true && touch /tmp/f && chmod 0 /tmp/f && cat /tmp/f && echo root").good(), "root");
    for no in [
        "mount -t tmpfs x /tmp",
        "umount /tmp",
        "mount -o remount,rw /usr",
        "mknod /tmp/n c 1 3",
        "ip link set lo down",
        "hostname x",
    ] {
        assert_ne!(sh("--as-root", no).status, 0, "{no}");
    }
}

#[test]
fn one_capability_is_kept_when_named() {
    assert_eq!(sh("--cap net_bind_service", "grep CapEff /proc/self/status").good(), "CapEff:\t0000000000000400");
    let bind = "python3 -c 'import socket; socket.create_server((\"127.0.0.1\",80)); print(\"bound\")'";
    assert_eq!(sh("--cap CAP_NET_BIND_SERVICE", bind).good(), "bound");
    assert_ne!(sh("", bind).status, 0);
}

#[test]
fn the_power_to_mount_does_not_reach_the_jails_own_mounts() {
    let flags = "--as-root --cap sys_admin --ro-bind /etc /srv/ro --hide /etc/passwd";
    assert_eq!(
        sh(flags, "mkdir /tmp/m && mount -t tmpfs x /tmp/m && touch /tmp/m/f && hostname other && uname -n").good(),
        "other"
    );
    for no in [
        "umount /proc/keys",
        "umount -l /etc/passwd",
        "mount -o remount,bind,rw /srv/ro",
        "mount -o remount,rw /",
        "umount -l /usr",
        "mount -o remount,bind,dev /tmp",
        "mount --bind /etc /tmp/e",
    ] {
        assert_ne!(sh(flags, no).status, 0, "{no}");
    }
}

#[test]
fn the_environment_is_clean_but_for_what_is_named() {
    let names = |flags: &str| sh(flags, "env | cut -d= -f1 | sort | tr '\\n' ' '").good().to_owned();
    assert_eq!(names(""), "HOME PATH PWD");
    assert_eq!(names("--env SECRET --env X=1"), "HOME PATH PWD SECRET X");
    assert_eq!(names("--env SEC*"), "HOME PATH PWD SECRET");
    assert_eq!(sh("--env X=a=b", "echo $X").good(), "a=b");
    sh("--env NOPE", "true").refused(&["--env NOPE", "not set"]);
}

#[test]
fn the_launchers_secrets_are_out_of_reach() {
    for flags in ["", "--as-root", "--as-root --cap sys_ptrace", "--as-root --cap sys_admin --cap sys_ptrace"] {
        for file in ["environ", "mem", "maps", "exe", "root", "cwd", "fd"] {
            let script = format!("cat /proc/1/{file} /proc/1/{file}/* 2>/dev/null; readlink /proc/1/{file}; true");
            assert_eq!(sh(flags, &script).good(), "", "{flags}: {file}");
        }
        let cmdline = sh(&format!("{flags} --env TOKEN=hunter3"), "tr '\\0' ' ' < /proc/1/cmdline");
        assert_eq!(cmdline.good().trim(), "reaper", "{flags}");
    }
}

#[test]
fn the_launchers_own_file_cannot_be_changed_from_inside() {
    // As after cargo install: the caller owns the executable.
    let scratch = Scratch::new();
    let own = scratch.0.join("jail");
    std::fs::copy(jail(), &own).unwrap();
    scratch.give(&own);
    let before = std::fs::read(&own).unwrap();
    let mode = || std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&own).unwrap());
    let mode_before = mode();
    let script = "chmod 4777 /proc/1/exe; echo x >> /proc/1/exe; (exec 3< /proc/1/exe && chmod 4777 /proc/self/fd/3); (exec 3<> /proc/1/exe); true";
    for flags in [&["--as-root"][..], &[]] {
        let mut command = command(&own, &scratch.0, false);
        command.args(flags).args(["--", "sh", "-c", script]);
        assert_eq!(outcome(command).status, 0);
        assert_eq!(std::fs::read(&own).unwrap(), before);
        assert_eq!(mode(), mode_before);
    }
}

#[test]
fn no_descriptor_passes_but_those_named() {
    let scratch = Scratch::new();
    scratch.file("f", "content");
    let run = |flags: &str| {
        let mut shell = command(std::path::Path::new("/bin/sh"), &scratch.0, false);
        let script =
            format!("exec {} {flags} -- sh -c 'ls /proc/self/fd | tr \"\\n\" \" \"; cat <&7' 7<f 8<f 9<.", jail().display());
        shell.args(["-c", &script]);
        outcome(shell)
    };
    let closed = run("");
    assert!(closed.out.starts_with("0 1 2 3 "), "3 is ls's own: {closed:?}");
    assert!(!closed.out.contains("content") && !closed.out.contains("7"), "{closed:?}");
    assert_eq!(run("--fd 7").good(), "0 1 2 3 7 content");
    run("--fd 17").refused(&["--fd 17", "not open"]);
}

#[test]
fn a_session_keyring_does_not_pass() {
    assert_eq!(sh("--as-root", "cat /proc/keys 2>/dev/null | wc -l").good(), "0");
}
