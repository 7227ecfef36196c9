//! Devices: none can be made, none that came in a tree can be used, and the few that
//! are there do no harm. What is in /dev, and --device, is in tests/view.rs, a jailed
//! root's part in tests/jailed_root.rs.

use crate::kit::*;
use crate::support::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

#[test]
fn no_device_node_can_be_made() {
    let s = Scratch::new();
    let rw = s.dir("rw");
    let kit = Kit::with(
        "def node(d, kind, major, minor): os.mknod(d + '/n', 0o666 | kind, os.makedev(major, minor))\nBLOCK, CHAR = 0o60000, 0o20000",
    );
    let places = ["/tmp", "/dev", "/dev/shm", "/run", rw.to_str().unwrap()];
    let mut attempts = Vec::new();
    for place in places {
        for what in ["CHAR, 1, 3", "CHAR, 1, 1", "BLOCK, 8, 0", "BLOCK, 7, 0", "CHAR, 10, 200"] {
            attempts.push(format!("node('{place}', {what})"));
        }
    }
    let cases: Vec<Case> = attempts.iter().map(|attempt| (attempt.as_str(), "EPERM|EACCES|EROFS")).collect();
    for flags in ["", "--as-root", "--as-root --cap mknod --cap sys_admin", "--nested", "--seccomp none --landlock none"] {
        kit.inside(&format!("{flags} --rw {}", rw.display()), &cases);
    }
    assert_eq!(fs::read_dir(&rw).unwrap().count(), 0);
    // The allowed twin: what is no device.
    let twins: Vec<String> = ["/tmp", "/dev/shm", "/run", rw.to_str().unwrap()]
        .iter()
        .flat_map(|place| [format!("os.mkfifo('{place}/p')"), format!("os.mknod('{place}/f')")])
        .collect();
    kit.inside(&format!("--rw {}", rw.display()), &twins.iter().map(|twin| (twin.as_str(), "done")).collect::<Vec<_>>());
}

#[test]
fn a_node_that_lies_in_a_tree_is_no_device() {
    if !we_are_root() {
        return skip("this needs root, to make device nodes");
    }
    let s = Scratch::new();
    for place in ["tree", "rw"] {
        s.tree(place);
        for (name, minor) in [("null", "3"), ("zero", "5")] {
            let node = s.0.join(place).join(name);
            assert!(Command::new("mknod").arg(&node).args(["c", "1", minor]).status().unwrap().success());
            fs::set_permissions(&node, fs::Permissions::from_mode(0o666)).unwrap();
        }
    }
    let attempt =
        "for n in null zero; do (: < $P/$n) 2>/dev/null && echo opened; (: > $P/$n) 2>/dev/null && echo written; done; true";
    let at = |place: &str| attempt.replace("$P", place);
    let rw = s.0.join("rw");
    let rw = rw.to_str().unwrap();
    let mut plain = command(Path::new("/bin/sh"), &s.0, false);
    plain.args(["-c", &at(rw)]);
    let outside = outcome(plain);
    if outside.good().is_empty() {
        return skip("this file system has no devices");
    }
    assert_eq!(outside.good().lines().count(), 4);
    for flags in ["", "--as-root", "--as-root --cap sys_admin --cap mknod", "--landlock none --seccomp none"] {
        assert_eq!(sh_in(&s.0, &format!("{flags} --rw rw"), &at(rw)).good(), "", "{flags}");
        assert_eq!(sh_in(&s.0, &format!("{flags} --rw-bind rw /tmp/rw"), &at("/tmp/rw")).good(), "", "{flags}");
        for access in ["", "--writable"] {
            assert_eq!(sh_in(&s.0, &format!("{flags} --root tree {access}"), &at("")).good(), "", "{flags}");
        }
    }
    // The allowed twin: one that a flag names.
    let named = format!("--device {rw}/null --device {rw}/zero");
    assert_eq!(sh_in(&s.0, &named, &at(rw)).good().lines().count(), 4);
}

#[test]
fn the_hosts_devices_are_not_there() {
    let names = [
        "mem",
        "kmem",
        "port",
        "kmsg",
        "kcore",
        "sda",
        "vda",
        "nvme0n1",
        "loop-control",
        "loop0",
        "mapper/control",
        "fuse",
        "kvm",
        "net/tun",
        "vsock",
        "vhost-vsock",
        "vhost-net",
        "uinput",
        "uhid",
        "input/event0",
        "userfaultfd",
        "snd/timer",
        "ppp",
        "tty0",
        "tty1",
        "console",
        "vcs",
        "vcs1",
        "vcsa1",
        "hpet",
        "rtc0",
        "nvram",
        "watchdog",
        "dri/card0",
        "hwrng",
        "autofs",
        "cuse",
        "btrfs-control",
        "sg0",
        "mei0",
        "cpu_dma_latency",
        "hugepages",
        "mqueue",
    ];
    let script =
        format!("cd /dev; for n in {}; do test -e $n && echo $n; done; ls /sys /proc/kcore/ 2>/dev/null; true", names.join(" "));
    for flags in ["", "--as-root --cap sys_admin", "--nested"] {
        assert_eq!(sh(flags, &script).good(), "", "{flags}");
    }
    // Some are there outside, or this shows nothing.
    let mut plain = command(Path::new("/bin/sh"), Path::new("/"), false);
    plain.args(["-c", &script]);
    assert!(outcome(plain).out.lines().count() > 2);
}

#[test]
fn the_harmless_ones_are_used_and_not_commanded() {
    let kit = Kit::new();
    for flags in ["", "--as-root", "--as-root --cap sys_admin"] {
        kit.inside(
            flags,
            &[
                // RNDADDTOENTCNT, RNDADDENTROPY, RNDZAPENTCNT, RNDCLEARPOOL, RNDRESEEDCRNG.
                ("fcntl.ioctl(os.open('/dev/random', os.O_RDWR), 0x40045201, struct.pack('i', 8))", "EPERM"),
                ("fcntl.ioctl(os.open('/dev/random', os.O_RDWR), 0x40085203, struct.pack('iii', 8, 4, 0))", "EPERM"),
                ("fcntl.ioctl(os.open('/dev/random', os.O_RDWR), 0x5204)", "EPERM"),
                ("fcntl.ioctl(os.open('/dev/random', os.O_RDWR), 0x5206)", "EPERM"),
                ("fcntl.ioctl(os.open('/dev/random', os.O_RDWR), 0x5207)", "EPERM"),
                ("os.chmod('/dev/null', 0)", "EPERM|EROFS|EACCES"),
                ("os.unlink('/dev/null')", "EROFS|EPERM|EACCES|EBUSY"),
                ("os.rename('/dev/zero', '/dev/null')", "EROFS|EPERM|EACCES|EBUSY"),
                // The allowed twins: RNDGETENTCNT, and what each is for.
                ("fcntl.ioctl(os.open('/dev/random', os.O_RDWR), 0x80045200, bytes(4))", "done"),
                ("write('/dev/urandom', b'more')", "done"),
                ("text('/dev/zero')", "read"),
                ("text('/dev/null')", "empty"),
                ("write('/dev/full')", "ENOSPC"),
                ("mmap.mmap(os.open('/dev/zero', os.O_RDWR), 4096, mmap.MAP_PRIVATE)", "done"),
            ],
        );
    }
}

#[test]
fn a_terminal_of_the_hosts_has_no_name_inside() {
    let kit = Kit::with(
        "def own():\n    master, slave = os.openpty(); os.write(master, b'typed\\n'); return os.ttyname(slave) + ' ' + os.read(slave, 9).decode().strip()",
    );
    // One is open outside, and its number would be in a /dev/pts that is shared.
    let (_master, _name) = pty();
    for flags in ["", "--as-root", "--nested"] {
        kit.inside(
            flags,
            &[
                ("' '.join(sorted(os.listdir('/dev/pts')))", "ptmx"),
                ("own()", "/dev/pts/0 typed"),
                // TIOCGPTPEER of the own one; a master without a number is not to be had.
                ("fcntl.ioctl(os.open('/dev/ptmx', os.O_RDWR), 0x5441, os.O_RDWR)", "EIO"),
                ("os.open('/dev/pts/ptmx', os.O_RDWR)", "done|EACCES"),
            ],
        );
    }
}

/// A pseudo-terminal of the host's.
fn pty() -> (std::os::fd::OwnedFd, String) {
    use rustix::pty::*;
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("open a pseudo-terminal");
    unlockpt(&master).expect("unlock it");
    let name = ptsname(&master, Vec::new()).expect("its name").into_string().unwrap();
    (master, name)
}

#[test]
fn a_tunnel_into_the_hosts_network_is_not_made() {
    let tun = Path::new("/dev/net/tun");
    if !tun.exists() {
        return skip("there is no /dev/net/tun");
    }
    // TUNSETIFF asks for a power over the network that the opener is in: the jail's.
    let make = "fcntl.ioctl(os.open('/dev/net/tun', os.O_RDWR), 0x400454ca, struct.pack('16sH14x', b'jail0', 0x1001))";
    let kit = Kit::new();
    kit.inside("", &[(make, "ENOENT")]);
    for flags in ["", "--as-root", "--as-root --cap sys_admin"] {
        kit.inside(&format!("{flags} --device /dev/net/tun"), &[(make, "EPERM"), ("os.open('/dev/net/tun', os.O_RDWR)", "done")]);
    }
    // The allowed twin: who has that power makes one in the jail's own network.
    kit.inside("--as-root --cap net_admin --device /dev/net/tun", &[(make, "done|EPERM")]);
    assert!(!Path::new("/sys/class/net/jail0").exists());
}
