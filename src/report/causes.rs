//! The cause and the remedy of each step's failure.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, Layer, Words, said};
use crate::plan::Plan;
use crate::plan::op::{Op, Over};
use crate::report::evidence::Signs;
use crate::sys;
use crate::util::escape::{about, shown, shown_path};
use crate::util::exit_status::{NOT_EXECUTABLE, NOT_FOUND};

/// The cause of a refusal that is not about a file.
pub fn refused(errno: Errno, signs: &Signs) -> Option<(Layer, Words)> {
    if let (Errno::NOSPC, Some(name)) = (errno, signs.zero_limits.first()) {
        return Some((Layer::KernelSetting, format!("user.{name} is 0: sysctl -w user.{name}=15000 as root").into()));
    }
    match errno {
        Errno::NOSPC | Errno::USERS => Some((
            Layer::KernelSetting,
            "too many namespaces, or nested too deeply: raise user.max_user_namespaces, or end some of them".into(),
        )),
        Errno::NOSYS | Errno::INVAL => {
            Some((Layer::Kernel, "it is too old or built without this: Linux 5.12 and namespaces are needed".into()))
        }
        Errno::AGAIN => Some((Layer::Kernel, "a limit on processes is reached: see ulimit -u, or the cgroup's pids.max".into())),
        Errno::MFILE | Errno::NFILE => Some((Layer::Kernel, "too many descriptors are open: raise ulimit -n".into())),
        Errno::NAMETOOLONG => {
            Some((Layer::Files, "a path is longer than the kernel takes (4,095 bytes): name it by a shorter one".into()))
        }
        Errno::FBIG => Some((Layer::Files, "a file may not be as long as this one becomes: raise ulimit -f".into())),
        Errno::NOMEM => Some((
            Layer::Kernel,
            "memory is short: raise ulimit -v and ulimit -d, or the memory limit of the cgroup, or free memory".into(),
        )),
        Errno::PERM | Errno::ACCESS => {
            if signs.userns_clone_off {
                Some((
                    Layer::KernelSetting,
                    "kernel.unprivileged_userns_clone is 0: sysctl -w kernel.unprivileged_userns_clone=1 as root".into(),
                ))
            } else if signs.chrooted {
                Some((
                    Layer::Kernel,
                    "a chrooted process may make no user namespace: start jail outside the chroot, or enter it with jail --root"
                        .into(),
                ))
            } else if signs.filtered && signs.zero_limits.contains(&"max_user_namespaces") {
                Some((
                    Layer::Container,
                    "a seccomp filter is on this process and user.max_user_namespaces is 0, as in a jail: give that one --nested"
                        .into(),
                ))
            } else if signs.filtered {
                Some((
                    Layer::Container,
                    "a seccomp filter is on this process and refuses this: start the container with a profile that allows it (docker run --security-opt seccomp=unconfined)".into(),
                ))
            } else if signs.apparmor_restricts {
                let remedy = if signs.apparmor_profile {
                    "the profile /etc/apparmor.d/jail lets /usr/bin/jail alone make them: start that one, or load the profile (apparmor_parser -r /etc/apparmor.d/jail as root)"
                } else {
                    "install jail's package, whose AppArmor profile (/etc/apparmor.d/jail) lets /usr/bin/jail make them, or set it to 0 as root"
                };
                let setting = "kernel.apparmor_restrict_unprivileged_userns is 1, against user namespaces of unprivileged users";
                Some((Layer::AppArmor, format!("{setting}: {remedy}").into()))
            } else {
                None
            }
        }
        _ => None,
    }
}

pub(crate) fn unknown(signs: &Signs) -> (Layer, Words) {
    let remedy = if signs.proc {
        "nothing on this machine says why; unshare -Urmpf true tells whether others are refused too"
    } else {
        "/proc, which may say why, is not mounted here: mount it; in a chroot the kernel makes no user namespaces"
    };
    (Layer::Kernel, remedy.into())
}

pub(crate) fn cause(op: &Op, errno: Errno, signs: &Signs) -> (Layer, Words) {
    let files = |remedy: &'static str| (Layer::Files, remedy.into());
    let system = || refused(errno, signs).unwrap_or_else(|| unknown(signs));
    match op {
        Op::RunFromCopy { .. } => match errno {
            Errno::NOENT => (Layer::Container, "/proc is not mounted here: mount it, jail opens /proc/self/exe".into()),
            Errno::ACCESS if signs.memfd_noexec => (
                Layer::KernelSetting,
                "vm.memfd_noexec is 2, against executable files in memory: sysctl -w vm.memfd_noexec=1 as root, or leave the flag out".into(),
            ),
            Errno::ACCESS => files("the caller must be allowed to read the file of jail: chmod a+r it, or leave the flag out"),
            Errno::FBIG => files("the copy is larger than a limit allows: raise ulimit -f, or leave the flag out"),
            Errno::LOOP => (Layer::Kernel, "/proc/self/exe does not lead to the copy that was executed: start jail by its path".into()),
            Errno::NOSYS => (Layer::Kernel, "it is built without memfd_create (CONFIG_MEMFD_CREATE): leave the flag out here".into()),
            _ => system(),
        },
        Op::MapIds { .. } | Op::MapSubids { .. } if !signs.proc => {
            (Layer::Container, "/proc is not mounted here: mount it, jail writes /proc/self/uid_map".into())
        }
        Op::MapIds { .. } | Op::MapSubids { .. } if errno == Errno::ACCESS && signs.unreadable => {
            let itself = shown(sys::executed_as());
            (Layer::Files, format!("the caller may not read jail's own file, so that the kernel gives /proc/self to root: chmod a+r {itself}").into())
        }
        Op::Proc { .. } if errno == Errno::PERM && signs.proc_masked => (
            Layer::Container,
            "parts of /proc are covered here (by a container runtime, or a jail around this one), and a new one would show them: say --proc none".into(),
        ),
        Op::Bind { .. } | Op::RootTree { .. } | Op::Devices { .. } | Op::Device { .. } => match errno {
            Errno::NOENT | Errno::NOTDIR => files("it changed while jail was starting: start again"),
            Errno::LOOP => files("a symbolic link came to be in its way while jail was starting: find out who made it"),
            Errno::ACCESS if signs.root => {
                files("inside its user namespace root has no power over other users' files: start jail as their owner")
            }
            Errno::ACCESS => files("the caller must be allowed to search every directory above it"),
            Errno::ROFS => files("say --ro, or remount it writable"),
            Errno::NOSPC => too_many_mounts(),
            Errno::PERM if signs.apparmor_restricts => system(),
            _ => system(),
        },
        Op::KeepChanges { .. } if errno == Errno::NOENT && !signs.proc => {
            (Layer::Container, "/proc is not mounted here: mount it, jail names what it opened by /proc/self/fd".into())
        }
        Op::KeepChanges { .. } => match errno {
            Errno::AGAIN => files("wait until that has ended, or name another directory"),
            Errno::NOTEMPTY => files("it holds other things than an earlier run's changes: name an empty directory, or a new one"),
            Errno::LOOP => files("it and the tree lie in each other, or a link came to be in its way: name one beside the tree"),
            Errno::NOENT | Errno::NOTDIR | Errno::EXIST | Errno::STALE => {
                files("it changed while jail was starting: start again")
            }
            Errno::ACCESS | Errno::PERM => files("the caller must be allowed to write there"),
            Errno::ROFS | Errno::NOSPC | Errno::DQUOT => files("name a directory where there is room to write"),
            _ => system(),
        },
        Op::RootOverlay { source, over } => overlay(source, over, errno, signs).unwrap_or_else(system),
        Op::File { .. } | Op::Gather { .. } => match errno {
            Errno::AGAIN => files("the descriptor is non-blocking and empty now: open it for blocking reads"),
            Errno::FBIG => files("the file is larger than a limit allows: see ulimit -f"),
            Errno::NOSPC => files("memory for files is full"),
            Errno::BADF => files("the descriptor cannot be read: open it for reading"),
            Errno::ISDIR => files("the descriptor is a directory: name a file"),
            _ => system(),
        },
        Op::Dir { .. } | Op::MountPoint { .. } | Op::Symlink { .. } => match errno {
            Errno::EXIST => files("it came to be there while jail was starting: start again"),
            Errno::NOSPC => files("memory for files is full: give the tmpfs a larger size"),
            Errno::ROFS => files("it lies in what is read-only: show it elsewhere"),
            Errno::NAMETOOLONG => files("the name is too long"),
            _ => system(),
        },
        Op::Chdir { .. } => files("the command's user must be allowed to enter it"),
        Op::Restrict { .. }
        | Op::Hide { .. }
        | Op::Memory { .. }
        | Op::Tmpfs { .. }
        | Op::Seal { .. }
        | Op::Proc { .. }
        | Op::Devpts { .. } => {
            match errno {
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP => files("the tree changed while jail was starting: start again"),
                Errno::NOSPC => too_many_mounts(),
                _ => system(),
            }
        }
        Op::Rlimit { .. } if errno == Errno::PERM => {
            (Layer::Kernel, "a hard limit can be lowered and not raised: see prlimit(1) for what it is".into())
        }
        Op::Uptime { .. } => match errno {
            Errno::INVAL | Errno::NOENT | Errno::NOSYS => {
                (Layer::Kernel, "it is built without time namespaces (CONFIG_TIME_NS): leave the flag out here".into())
            }
            Errno::NOSPC => (
                Layer::KernelSetting,
                "user.max_time_namespaces is 0, or so many there are: sysctl -w user.max_time_namespaces=15000 as root".into(),
            ),
            _ => system(),
        },
        Op::Processors { .. } if matches!(errno, Errno::INVAL | Errno::NXIO) => {
            (Layer::Kernel, "they were taken from the caller (a cgroup's cpuset) while jail was starting: start again".into())
        }
        Op::DieWithLauncher | Op::AdoptOrphans | Op::AdoptFromOutside | Op::DieWithInit => (Layer::Kernel, "start again".into()),
        Op::MakeCgroup { .. } | Op::EnterCgroup => (
            Layer::Cgroup,
            match errno {
                Errno::BUSY => "processes in it cannot give way: start jail in one of its own, e.g. with systemd-run --user --scope -p Delegate=yes".into(),
                Errno::INVAL | Errno::RANGE => "the kernel takes no such limit".into(),
                _ => "start it where one is delegated: systemd-run --user --scope -p Delegate=yes jail ...".into(),
            },
        ),
        Op::FilterCalls { filter } if filter.told && errno == Errno::BUSY => (
            Layer::Kernel,
            "it has one listener for a process's refused calls, and around this process there is one already: of nested jails one can have --trace-denied".into(),
        ),
        Op::FilterCalls { filter } if filter.told && errno == Errno::MFILE => (
            Layer::Kernel,
            "the limit on open files leaves no descriptor for --trace-denied: raise it (ulimit -n, --rlimit nofile)".into(),
        ),
        Op::FilterCalls { .. } if matches!(errno, Errno::INVAL | Errno::NOSYS) => (
            Layer::Kernel,
            "it is built without system-call filters (CONFIG_SECCOMP_FILTER)".into(),
        ),
        Op::Publish { .. } if errno == Errno::ADDRINUSE => {
            (Layer::Kernel, "another process listens there: end it, or name another port or address, e.g. 127.0.0.2".into())
        }
        Op::Publish { .. } if errno == Errno::ADDRNOTAVAIL => {
            (Layer::Kernel, "this machine has no such address: name one of its own, e.g. any 127.x.y.z".into())
        }
        Op::Publish { hole } if matches!(errno, Errno::ACCESS | Errno::PERM) && hole.at.port() != 0 => (
            Layer::KernelSetting,
            "ports below net.ipv4.ip_unprivileged_port_start are root's: name a higher one outside, e.g. 8080:80".into(),
        ),
        Op::Reach { .. } if errno == Errno::NOTSOCK => (Layer::Files, "name a Unix socket; files are shown with --ro".into()),
        Op::Reach { .. } if !matches!(errno, Errno::MFILE | Errno::NFILE) => (Layer::Files, "the caller must be allowed to search its directory, and its server be there".into()),
        Op::Reacher | Op::Listen { .. } | Op::Socket { .. } | Op::AwaitPublisher if errno == Errno::NOSPC => (
            Layer::KernelSetting,
            "the caller's epoll watches are used up: sysctl -w fs.epoll.max_user_watches=1000000 as root, or end what has so many".into(),
        ),
        Op::LoopbackAddress { address } if address.is_ipv6() && matches!(errno, Errno::ACCESS | Errno::PERM | Errno::OPNOTSUPP) => (
            Layer::KernelSetting,
            "new networks have no IPv6 here, though this one has: sysctl -w net.ipv6.conf.default.disable_ipv6=0 as root".into(),
        ),
        Op::NewKeyring if errno == Errno::DQUOT => (
            Layer::KernelSetting,
            "each jail has a keyring, and the caller has as many keys as kernel.keys.maxkeys allows: sysctl -w kernel.keys.maxkeys=20000 as root, or run fewer at once".into(),
        ),
        Op::NoUserNamespaces => match errno {
            Errno::ROFS | Errno::ACCESS | Errno::NOENT => (
                Layer::Container,
                "/proc/sys may not be written here: say --nested to go on with user namespaces allowed inside".into(),
            ),
            _ => system(),
        },
        Op::Ruleset { .. }
        | Op::Landlock
        | Op::CgroupView
        | Op::DropGroups
        | Op::MapIds { .. }
        | Op::MapSubids { .. }
        | Op::NewKeyring
        | Op::HostRoot
        | Op::Hostname { .. }
        | Op::JoinNetwork
        | Op::LoopbackUp
        | Op::RootMemory
        | Op::EnterRoot
        | Op::LockMounts { .. }
        | Op::AwaitNetwork { .. }
        | Op::AwaitPublisher
        | Op::Publish { .. }
        | Op::Reach { .. }
        | Op::Reacher
        | Op::LoopbackAddress { .. }
        | Op::Listen { .. }
        | Op::Hosts { .. }
        | Op::Socket { .. }
        | Op::TellNamespaces
        | Op::Disguise
        | Op::NotDumpable
        | Op::BoundCapabilities { .. }
        | Op::NoNewPrivileges
        | Op::OpenTerminal
        | Op::TakeTerminal
        | Op::NewSession
        | Op::Capabilities { .. }
        | Op::Rlimit { .. }
        | Op::OwnDevice { .. }
        | Op::Umask { .. }
        | Op::Processors { .. }
        | Op::CloseDescriptors { .. }
        | Op::FilterCalls { .. } => system(),
    }
}

/// The kernel has no room for a mount: each namespace has at most fs.mount-max of them, and
/// one of a jail begins with copies of all that the caller has.
pub(crate) fn too_many_mounts() -> (Layer, Words) {
    let remedy = "a mount namespace may have no more mounts: show fewer places, or raise fs.mount-max as root";
    (Layer::KernelSetting, remedy.into())
}

/// Why a tree cannot have changes laid over it: the kernel says EINVAL for most.
pub(crate) fn overlay(tree: &CStr, over: &Over, errno: Errno, signs: &Signs) -> Option<(Layer, Words)> {
    let tree = Path::new(OsStr::from_bytes(tree.to_bytes()));
    let kept = match over {
        Over::Memory { .. } => None,
        Over::Kept { dir } => Some(Path::new(OsStr::from_bytes(dir.to_bytes()))),
    };
    let files = |remedy: Words| Some((Layer::Files, remedy));
    let kernel = |remedy: &'static str| Some((Layer::Kernel, remedy.into()));
    match (errno, kept) {
        (Errno::NOENT | Errno::NOTDIR | Errno::STALE, _) => files("it changed while jail was starting: start again".into()),
        (Errno::LOOP, Some(kept)) => files(about("", kept, " and the tree lie in each other: name one beside the tree").into()),
        (Errno::ACCESS, _) => files("the caller must be allowed to search every directory above it".into()),
        (Errno::OPNOTSUPP, None) => kernel(
            "its memory file system keeps no user attributes, which changes need (Linux 6.6 with CONFIG_TMPFS_XATTR): \
             keep changes on a disk with --overlay DIR, and remove DIR afterwards",
        ),
        (Errno::OPNOTSUPP, Some(kept)) => files(
            about(
                "the file system of ",
                kept,
                " keeps no user attributes, which changes need: name a directory on one that does, such as ext4, xfs, btrfs",
            )
            .into(),
        ),
        // The kernel makes a directory in `work`, and tries there what the file system can do.
        (Errno::NOSPC | Errno::DQUOT, Some(kept)) => {
            files(about("there is no room for more files in ", kept, ": make room, or name another directory").into())
        }
        (Errno::NODEV, _) => {
            kernel("it is built without overlayfs (CONFIG_OVERLAY_FS), or may not load it: modprobe overlay as root")
        }
        (Errno::PERM, _) if refused(errno, signs).is_none() => {
            kernel("before Linux 5.11 only root may mount overlayfs: copy the tree, and say --writable")
        }
        (Errno::INVAL, _) => {
            if let Some((point, _)) = signs.mounts.iter().find(|(point, _)| point != tree && point.starts_with(tree)) {
                return files(about("", point, " is mounted in the tree, and an overlay does not reach beyond one mount: unmount it, show it with --ro or --rw at the copy of a tree without it, or say --writable").into());
            }
            let kind = |path: &Path| {
                let over = signs.mounts.iter().filter(|(point, _)| path.starts_with(point));
                // Of several on one place the last is seen.
                over.max_by_key(|(point, _)| point.as_os_str().len()).map_or("unknown", |(_, kind)| kind.as_str())
            };
            let kept = kept.map(|kept| format!(", changes on {}", kind(kept))).unwrap_or_default();
            files(format!(
                "the tree lies on {}{kept}: overlayfs takes no changes on a network file system, FUSE or another overlay, and no \
                 tree on FAT, a case-folded directory or an overlay of an overlay: put it on another, such as ext4, xfs, btrfs",
                kind(tree)
            ).into())
        }
        _ => None,
    }
}

/// The command was not found, or cannot be executed.
pub(crate) fn exec(plan: &Plan, index: usize, found: bool, errno: Errno) -> Error {
    let name = plan.command.argv.first().map(shown).unwrap_or_default();
    let path = plan.command.candidates.get(index).map(|path| shown_path(path)).unwrap_or_default();
    let (status, problem, remedy): (u8, Words, &str) = match (found, errno) {
        (false, _) if plan.command.candidates.len() > 1 => (
            NOT_FOUND,
            "not found in any directory of PATH inside".into(),
            "show its directory with --ro, or set --env PATH=...; --explain prints what is visible",
        ),
        (false, _) => {
            (NOT_FOUND, format!("{path} is not visible inside").into(), "show it with --ro; --explain prints what is visible")
        }
        (true, Errno::NOENT | Errno::NOTDIR) => (
            NOT_EXECUTABLE,
            format!("{path} is there, and its interpreter or loader is not").into(),
            "show that too: see the file's first line (#!), or file(1)",
        ),
        (true, Errno::ACCESS) => (
            NOT_EXECUTABLE,
            format!("{path} may not be executed: {}", said(errno)).into(),
            "name a program, chmod +x it, or leave out the --noexec or --hide above it",
        ),
        (true, Errno::NOEXEC) => (
            NOT_EXECUTABLE,
            format!("{path} is no program that this machine runs: {}", said(errno)).into(),
            "a script needs a first line such as #!/bin/sh",
        ),
        (true, Errno::TOOBIG) => (
            NOT_EXECUTABLE,
            format!("{path}: {}", said(errno)).into(),
            "arguments and environment are longer than the kernel takes: see getconf ARG_MAX, ulimit -s",
        ),
        (true, _) => (NOT_EXECUTABLE, format!("{path}: {}", said(errno)).into(), "see execve(2)"),
    };
    let mut error = Error::usage(None, problem, remedy).numbered(errno).met(format!("execute {name}"), Layer::Files);
    error.status = status;
    error
}
