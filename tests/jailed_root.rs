//! What a jailed root may do and may not: the list of Kamp and Watson, "Jails:
//! Confining the omnipotent root" (SANE 2000), line by line, both ways. The lines
//! are theirs in our words; each test names what Linux has for it.

mod support;
use std::path::Path;
use support::*;

/// As the jailed root, with a directory of the caller's to act on.
fn root(script: &str) -> Outcome {
    let s = Scratch::new();
    s.file("own/f", "x");
    sh_in(&s.0.join("own"), "--rw . --as-root", script)
}

fn may(script: &str) {
    let out = root(script);
    assert!(out.status == 0, "{script}: {out:?}");
}

fn may_not(script: &str, why: &str) {
    let out = root(script);
    assert!(out.status != 0 && out.err.contains(why), "{script}: {out:?}");
}

/// A Python line that calls one system call by number and prints how it ended.
fn call(x86_64: u32, aarch64: u32, arguments: &str) -> String {
    format!(
        "python3 -c 'import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
number = {{\"x86_64\": {x86_64}, \"aarch64\": {aarch64}}}[os.uname().machine]
done = libc.syscall(number, {arguments})
raise SystemExit(os.strerror(ctypes.get_errno()) if done < 0 else 0)'"
    )
}

#[test]
fn it_may_signal_any_process_of_the_jail() {
    may("sleep 100 & kill -0 $! && kill -TERM $! && ! wait $!");
}

#[test]
fn it_may_signal_none_outside() {
    let out = sh("--as-root", &format!("kill -0 {}", std::process::id()));
    assert!(out.status != 0 && out.err.contains("No such process"), "{out:?}");
}

#[test]
fn it_may_change_owner_and_mode_of_its_files() {
    may("chown 0:0 f && chmod 4755 f && chmod 0 f && cat f && test $(stat -c %u f) = 0");
    // One id is mapped; the others are not its to give.
    may_not("chown 5:5 f", "Invalid argument");
    // What is the host's is not its own.
    may_not("chown 0:0 /usr/bin/env", "Read-only file system");
    may_not("chmod 777 /etc", "Read-only file system");
}

#[test]
fn it_may_delete_and_read_any_of_its_files() {
    may("mkdir d && echo y > d/g && chmod 0 d d/g && cat d/g && rm -r d f && ! test -e f");
    may_not("rm /usr/bin/env", "Read-only file system");
}

#[test]
fn it_may_bind_reserved_ports_of_its_own_address() {
    let bind = "import socket; socket.create_server((\"127.0.0.1\", 80)); socket.socket(type=socket.SOCK_DGRAM).bind((\"\", 53))";
    may(&format!("python3 -c '{bind}'"));
    let out = sh("--net host --as-root", "python3 -c 'import socket; socket.create_server((\"127.0.0.1\", 81))'");
    assert!(out.status != 0 && out.err.contains("Permission denied"), "the host's ports are not its own: {out:?}");
}

#[test]
fn it_may_act_on_uids_and_gids() {
    may("python3 -c 'import os; os.setresuid(0, 0, 0); os.setresgid(0, 0, 0); os.setuid(0)'");
    may_not("python3 -c 'import os; os.setuid(5)'", "Invalid argument");
}

#[test]
fn it_may_chroot_further() {
    may("chroot / true");
}

#[test]
fn it_may_not_change_the_running_kernel() {
    may_not("head -c 1 /dev/mem", "No such file");
    may_not("head -c 1 /proc/kcore", "");
    // init_module, finit_module, delete_module, kexec_load, reboot, bpf.
    for (x86_64, aarch64, arguments) in [
        (175, 105, "0, 0, b\"\""),
        (313, 273, "0, b\"\", 0"),
        (176, 106, "b\"x\", 0"),
        (246, 104, "0, 0, 0, 0"),
        (169, 142, "0xfee1dead, 672274793, 0, 0"),
    ] {
        // A kernel without modules has not even the call.
        may_not(&call(x86_64, aarch64, arguments), "not ");
    }
}

#[test]
fn it_may_not_change_the_network_configuration() {
    for attempt in ["ip link set lo down", "ip addr add 192.0.2.1/24 dev lo", "ip route add 192.0.2.0/24 dev lo"] {
        may_not(attempt, "Operation not permitted");
    }
    // It may look at it.
    may("ip addr show dev lo && ip route show");
}

#[test]
fn it_may_not_mount_or_unmount() {
    for attempt in ["mount -t tmpfs x /tmp", "mount --bind /usr /opt", "mount -o remount,rw /usr"] {
        may_not(attempt, "ermi");
    }
    may_not("umount /tmp", "");
    may_not("unshare -m true", "Operation not permitted");
}

#[test]
fn it_may_not_make_device_nodes() {
    may_not("mknod d c 1 3", "ermi");
    may_not("mknod d b 254 0", "ermi");
    may("mknod p p && test -p p");
}

#[test]
fn it_may_not_open_raw_or_routing_sockets() {
    let no_family = "Address family not supported";
    for (domain, protocol, why) in
        [("AF_INET", 1, "not permitted"), ("AF_INET6", 58, "not permitted"), ("AF_PACKET", 3, no_family)]
    {
        may_not(&format!("python3 -c 'import socket; socket.socket(socket.{domain}, socket.SOCK_RAW, {protocol})'"), why);
    }
}

#[test]
fn it_may_not_change_the_kernels_settings() {
    for knob in ["kernel/core_pattern", "kernel/panic", "vm/swappiness", "fs/file-max", "net/ipv4/ip_forward", "kernel/hostname"]
    {
        may_not(&format!("echo 1 > /proc/sys/{knob}"), "");
    }
    may_not("hostname other", "");
    may_not(&call(164, 170, "b\"\\0\" * 16, 0"), "Operation not permitted");
    may_not(&call(167, 224, "b\"/dev/zero\", 0"), "Operation not permitted");
}

#[test]
fn it_may_not_change_flags_that_protect_files() {
    // FS_IOC_SETFLAGS: the flags that FS_IOC_GETFLAGS gave, and FS_IMMUTABLE_FL.
    let flags = |flags: &str| {
        format!(
            "python3 -c 'import fcntl, struct
f = open(\"f\")
now, = struct.unpack(\"l\", fcntl.ioctl(f, 0x80086601, bytes(8)))
fcntl.ioctl(f, 0x40086602, struct.pack(\"l\", {flags}))'"
        )
    };
    may_not(&flags("now | 0x10"), "Operation not permitted");
    may(&flags("now"));
}

#[test]
fn it_may_not_reach_networks_that_are_not_the_jails() {
    may_not("python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 1)'", "Network is unreachable");
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    may_not(&format!("python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 1)'"), "refused");
}

#[test]
fn root_outside_gains_nothing_by_being_jailed() {
    for (attempt, why) in [
        ("mknod /tmp/d c 1 3", "Operation not permitted"),
        ("mount -t tmpfs x /tmp", "permission denied"),
        ("ip link set lo down", "Operation not permitted"),
        ("echo 1 > /proc/sys/kernel/panic", "Read-only file system"),
    ] {
        let Some(out) = sh_as_root(Path::new("/"), "--as-root", attempt) else { return };
        assert!(out.status != 0 && out.status != 125 && out.err.contains(why), "{attempt}: {out:?}");
    }
    // What needs no power is done.
    let may = "mknod /tmp/p p && ip link show lo && cat /proc/sys/kernel/panic && touch /tmp/f && chown 0 /tmp/f";
    assert_eq!(sh_as_root(Path::new("/"), "--as-root", may).unwrap().status, 0);
}
