//! From the kernel's word to the cause: which layer refused, and what to do.
//! The kernel says EPERM for a dozen reasons; what tells them apart is read from
//! this machine once something has failed.

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, dumpable_behavior};

use crate::child::protocol::Report;
use crate::error::{Asked, Error, FAILED, Layer, NOT_EXECUTABLE, NOT_FOUND, Words, said};
use crate::host;
use crate::host::subids::MAPPERS;
use crate::plan::{Op, Over, Plan, Step};
use crate::policy::Degradable;
use crate::report::explain::namespaces;
use crate::supervisor::idmap_helper::Unmapped;
use crate::supervisor::launch::Failure;
use crate::supervisor::overlay_dir::{Entry, Unfit};
use crate::supervisor::pasta::Pasta;
use crate::sys;
use crate::util::text::{about, shown, shown_path};

/// What is read to tell causes apart.
#[derive(Clone, Debug, Default)]
pub struct Signs {
    /// Sysctls below /proc/sys/user that are 0.
    pub zero_limits: Vec<&'static str>,
    /// kernel.unprivileged_userns_clone is 0 (Debian's and Arch's patch).
    pub userns_clone_off: bool,
    /// kernel.apparmor_restrict_unprivileged_userns is 1 (Ubuntu 23.10).
    pub apparmor_restricts: bool,
    /// The packages' profile, which excepts /usr/bin/jail from that, is on this machine.
    pub apparmor_profile: bool,
    /// vm.memfd_noexec is 2 (Linux 6.3).
    pub memfd_noexec: bool,
    /// A seccomp filter is on this process.
    pub filtered: bool,
    /// Something is mounted over a part of /proc.
    pub proc_masked: bool,
    /// /proc could be read at all.
    pub proc: bool,
    /// This process's root is no mount: it was chrooted.
    pub chrooted: bool,
    /// What is mounted where, and of which kind.
    pub mounts: Vec<(PathBuf, String)>,
    /// The caller is root.
    pub root: bool,
    /// The caller may not read this program's file: the kernel then gives what is in
    /// /proc/self to root.
    pub unreadable: bool,
}

const LIMITS: [&str; 7] = [
    "max_user_namespaces",
    "max_mnt_namespaces",
    "max_pid_namespaces",
    "max_net_namespaces",
    "max_ipc_namespaces",
    "max_uts_namespaces",
    "max_cgroup_namespaces",
];

impl Signs {
    /// Reads them.
    pub fn read() -> Self {
        let file = |path: &str| host::text(path);
        let is = |path: &str, value: &str| file(path).trim_ascii() == value;
        let mounts = file("/proc/self/mountinfo");
        let points = || mounts.lines().filter_map(|line| line.split(' ').nth(4));
        Self {
            zero_limits: LIMITS.into_iter().filter(|name| is(&format!("/proc/sys/user/{name}"), "0")).collect(),
            userns_clone_off: is("/proc/sys/kernel/unprivileged_userns_clone", "0"),
            apparmor_restricts: is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
            apparmor_profile: rustix::fs::stat("/etc/apparmor.d/jail").is_ok(),
            memfd_noexec: is("/proc/sys/vm/memfd_noexec", "2"),
            filtered: file("/proc/self/status").lines().any(|line| line == "Seccomp:\t2"),
            proc_masked: points().any(|point| point.starts_with("/proc/")),
            proc: !mounts.is_empty(),
            mounts: mounts.lines().filter_map(mount).collect(),
            root: rustix::process::geteuid().is_root(),
            // Reset by execve(2), which alone sets another value before there is a jail.
            unreadable: !matches!(dumpable_behavior(), Ok(DumpableBehavior::Dumpable)),
            chrooted: !mounts.is_empty() && !points().any(|point| point == "/"),
        }
    }
}

/// The mount point and the file system's kind in a line of mountinfo, in which some
/// bytes are octal numbers.
fn mount(line: &str) -> Option<(PathBuf, String)> {
    let (_, escaped, kind) = host::mounted(line)?;
    let mut rest = escaped.as_bytes();
    let mut point = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| core::str::from_utf8(digits).ok());
        let octal = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        point.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    Some((PathBuf::from(OsString::from_vec(point)), kind.to_owned()))
}

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

/// Turns a failed launch into the error that is printed.
pub fn error(plan: &Plan, failure: Failure, signs: &Signs) -> Error {
    let joins = |index: usize| plan.inside.get(index).is_some_and(|step| matches!(step.op, Op::JoinNetwork));
    match failure {
        Failure::Prepare(errno) => plain("prepare the launch", errno, signs),
        Failure::Inside(Report::Inside(index, errno)) if joins(index) => error(plan, Failure::Namespaces(errno), signs),
        Failure::Namespaces(errno) => {
            let mut error = plain(format!("make the namespaces {}", namespaces(plan.namespaces)), errno, signs);
            error.remedy = or_without(Degradable::Namespaces, &error.remedy);
            error
        }
        Failure::Killed(Some(signal)) => {
            let problem = format!("process 1 of the jail was ended by signal {signal}");
            let remedy = "someone sent it, a limit of its own was reached, or memory ran out; everything in the jail is dead";
            let mut error = Error::usage(None, problem, remedy).met("", Layer::Kernel);
            error.status = u8::try_from(128 + signal).unwrap_or(FAILED);
            error
        }
        Failure::KilledBefore(memory) => {
            let layer = if memory { Layer::Cgroup } else { Layer::Kernel };
            let remedy = if memory { "--memory is less than starting it takes" } else { "someone did so, or memory ran out" };
            Error::usage(None, "it was killed before it ran", remedy).met("start the command", layer)
        }
        Failure::Killed(None) => {
            let problem = "process 1 of the jail ended and did not say why";
            let remedy = "it may have said so above; everything in the jail is dead: start again";
            Error::usage(None, problem, remedy).met("wait for the command", Layer::Kernel)
        }
        Failure::Pasta(failure) => pasta(plan, failure),
        Failure::Publish(errno) => step(plan.inside.iter().find(|step| matches!(step.op, Op::AwaitPublisher)), errno, signs),
        Failure::Subids(failure) => unmapped(plan, failure),
        Failure::Outside(index, errno) => step(plan.outside.get(index), errno, signs),
        Failure::Changes(index, entry, unfit) => changes(plan.outside.get(index), entry, unfit),
        Failure::Inside(Report::Inside(index, errno)) => step(plan.inside.get(index), errno, signs),
        Failure::Inside(Report::Last(index, errno)) => step(plan.last.get(index), errno, signs),
        Failure::Inside(Report::Fork(errno)) => plain("start the command's process", errno, signs),
        Failure::Inside(Report::Exec { index, found, errno }) => exec(plan, index, found, errno),
        Failure::Inside(
            Report::Ended(_)
            | Report::AwaitsNetwork
            | Report::AwaitsIds
            | Report::Namespace(..)
            | Report::Stopped(_)
            | Report::Continued,
        ) => plain("wait for the command", Errno::IO, signs),
        Failure::Relay(errno) => {
            let remedy = "make room, or send the output elsewhere";
            let error = Error::usage(Asked::new("pty", &[]), said(errno), remedy).numbered(errno);
            error.met("relay between the jail's terminal and the standard streams", Layer::Files)
        }
        Failure::Supervise(errno) => plain("wait for the command", errno, signs),
    }
}

/// pasta(1) did not connect the network.
fn pasta(plan: &Plan, failure: Pasta) -> Error {
    let step = plan.inside.iter().find(|step| matches!(step.op, Op::AwaitNetwork { .. }));
    let (problem, layer, remedy): (Words, _, _) = match failure {
        Pasta::Start(errno) => {
            (format!("pasta cannot be started: {}", said(errno)).into(), Layer::Files, "see whether pasta --version works")
        }
        Pasta::Interrupted(signal) => {
            (format!("signal {signal} came while pasta was at it").into(), Layer::Kernel, "start again")
        }
        Pasta::Ended => (
            "pasta ended at once".into(),
            Layer::Kernel,
            match step {
                Some(Step { op: Op::AwaitNetwork { udp, .. }, .. }) if !udp.is_empty() => {
                    "it says why above; it needs /dev/net/tun, a default route, and each port of --publish PORT/udp free and not below net.ipv4.ip_unprivileged_port_start"
                }
                Some(_) | None => "it says why above; it needs /dev/net/tun and a default route",
            },
        ),
    };
    Error::usage(step.and_then(|s| s.asked), problem, remedy).met("connect the network", layer)
}

/// newuidmap(1) or newgidmap(1) did not map the ids.
fn unmapped(plan: &Plan, failure: Unmapped) -> Error {
    let step = plan.inside.iter().find(|step| matches!(step.op, Op::MapSubids { .. }));
    let (problem, layer, remedy): (Words, _, _) = match failure {
        Unmapped::Start(which, errno) => (
            format!("{} cannot be started: {}", MAPPERS[which], said(errno)).into(),
            Layer::Files,
            "see whether it can be executed",
        ),
        Unmapped::Refused(which) => (
            format!("{} refused", MAPPERS[which]).into(),
            Layer::Files,
            "it says why above; the caller must be in its own group, and a line subid: in /etc/nsswitch.conf overrules the files",
        ),
        Unmapped::Watch(errno) => (said(errno).into(), Layer::Kernel, "see ulimit -u and ulimit -n"),
        Unmapped::Interrupted(signal) => (format!("signal {signal} came meanwhile").into(), Layer::Kernel, "start again"),
    };
    Error::usage(step.and_then(|s| s.asked), problem, remedy).met("map the caller's subordinate ids", layer)
}

fn plain(doing: impl Into<Words>, errno: Errno, signs: &Signs) -> Error {
    let (layer, remedy) = refused(errno, signs).unwrap_or_else(|| unknown(signs));
    Error::usage(None, said(errno), remedy).numbered(errno).met(doing, layer)
}

/// What else can be done about a layer that is refused.
fn or_without(layer: Degradable, remedy: &str) -> Words {
    format!("{remedy}; or go on without: --degrade {}", layer.name()).into()
}

fn unknown(signs: &Signs) -> (Layer, Words) {
    let remedy = if signs.proc {
        "nothing on this machine says why; unshare -Urmpf true tells whether others are refused too"
    } else {
        "/proc, which may say why, is not mounted here: mount it; in a chroot the kernel makes no user namespaces"
    };
    (Layer::Kernel, remedy.into())
}

/// What a step that failed means.
fn step(step: Option<&Step>, errno: Errno, signs: &Signs) -> Error {
    let Some(step) = step else {
        return plain("perform the plan", errno, signs);
    };
    let (layer, remedy) = cause(&step.op, errno, signs);
    let remedy = match degradable(&step.op) {
        Some(named) if [Errno::PERM, Errno::ACCESS, Errno::NOSPC, Errno::NOSYS, Errno::ROFS].contains(&errno) => {
            or_without(named, &remedy)
        }
        Some(_) | None => remedy,
    };
    let problem: Words = match (&step.op, errno) {
        (Op::Bind { .. }, Errno::ROFS) => "the file system is mounted read-only".into(),
        (Op::KeepChanges { .. }, Errno::AGAIN) => "another run has it, or --diff is at it".into(),
        (Op::DieWithLauncher | Op::AdoptOrphans, Errno::PIPE) => "the launcher is gone".into(),
        _ => said(errno).into(),
    };
    Error::usage(step.asked, problem, remedy).numbered(errno).met(step.op.to_string(), layer)
}

/// The layer that an operation alone sets up.
fn degradable(op: &Op) -> Option<Degradable> {
    let layers = [
        (matches!(op, Op::MapIds { .. } | Op::RootMemory | Op::EnterRoot), Degradable::Namespaces),
        (matches!(op, Op::JoinNetwork | Op::LoopbackUp), Degradable::Net),
        (matches!(op, Op::Hostname { .. }), Degradable::Hostname),
        (matches!(op, Op::Proc { .. }), Degradable::Proc),
        (matches!(op, Op::NoUserNamespaces), Degradable::UsernsLimit),
        (matches!(op, Op::FilterCalls { .. }), Degradable::Seccomp),
    ];
    layers.into_iter().find(|(sets_up, _)| *sets_up).map(|(_, layer)| layer)
}

fn cause(op: &Op, errno: Errno, signs: &Signs) -> (Layer, Words) {
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
fn too_many_mounts() -> (Layer, Words) {
    let remedy = "a mount namespace may have no more mounts: show fewer places, or raise fs.mount-max as root";
    (Layer::KernelSetting, remedy.into())
}

/// Names the entry of the directory of `--overlay` that is not as it must be.
fn changes(step: Option<&Step>, entry: Entry, unfit: Unfit) -> Error {
    let (dir, doing) = match step {
        Some(Step { op: op @ Op::KeepChanges { dir, .. }, .. }) => (dir.to_bytes(), op.to_string()),
        Some(_) | None => (&b""[..], String::new()),
    };
    let mut path = PathBuf::from(OsStr::from_bytes(dir));
    if !entry.below().is_empty() {
        path.push(entry.below());
    }
    let remove = if entry == Entry::Dir { "name a directory" } else { "remove it, or name another directory" };
    let (problem, remedy): (_, Words) = match unfit {
        Unfit::Kind(kind) => (format!(" is {}, not a directory", host::kind_of(kind)), remove.into()),
        Unfit::Owner(uid) if entry == Entry::Changes => (
            format!(" belongs to uid {uid}, and must belong to the caller, or with --subids to a subordinate id"),
            "name a directory of your own".into(),
        ),
        Unfit::Owner(uid) => {
            (format!(" belongs to uid {uid}, and must belong to the caller"), "name a directory of your own".into())
        }
        Unfit::OpenToOthers => {
            (" may be written to by all users, who could replace what is in it".into(), about("chmod o-w ", &path, "").into())
        }
        Unfit::Mounted => (
            " is a mount point, and must lie on the file system of the directory above it".into(),
            about("unmount it: umount ", &path, "").into(),
        ),
        Unfit::Unsearchable => (
            ": the caller may not search the directory above it".into(),
            about("chmod u+rwx ", path.parent().unwrap_or(&path), "").into(),
        ),
    };
    Error::usage(step.and_then(|step| step.asked), about("", &path, &problem), remedy).met(doing, Layer::Files)
}

/// Why a tree cannot have changes laid over it: the kernel says EINVAL for most.
fn overlay(tree: &CStr, over: &Over, errno: Errno, signs: &Signs) -> Option<(Layer, Words)> {
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
fn exec(plan: &Plan, index: usize, found: bool, errno: Errno) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(errno: Errno, signs: &Signs) -> String {
        plain("make the namespaces", errno, signs).to_string()
    }

    #[test]
    fn each_cause_is_told_by_its_sign() {
        let none = Signs { proc: true, ..Signs::default() };
        for (errno, signs, expected) in [
            (
                Errno::NOSPC,
                Signs { zero_limits: vec!["max_net_namespaces"], ..none.clone() },
                "sysctl -w user.max_net_namespaces=15000",
            ),
            (Errno::NOSPC, none.clone(), "nested too deeply"),
            (Errno::PERM, Signs { userns_clone_off: true, ..none.clone() }, "sysctl -w kernel.unprivileged_userns_clone=1"),
            (Errno::PERM, Signs { chrooted: true, ..none.clone() }, "chrooted process"),
            (Errno::PERM, Signs { filtered: true, ..none.clone() }, "the container around this process"),
            (
                Errno::PERM,
                Signs { filtered: true, zero_limits: vec!["max_user_namespaces"], ..none.clone() },
                "as in a jail: give that one --nested",
            ),
            (
                Errno::ACCESS,
                Signs { apparmor_restricts: true, ..none.clone() },
                "install jail's package, whose AppArmor profile (/etc/apparmor.d/jail)",
            ),
            (
                Errno::ACCESS,
                Signs { apparmor_restricts: true, apparmor_profile: true, ..none.clone() },
                "/etc/apparmor.d/jail lets /usr/bin/jail alone make them: start that one",
            ),
            (Errno::NOSYS, none.clone(), "Linux 5.12"),
            (Errno::PERM, none, "nothing on this machine says why"),
            (Errno::PERM, Signs::default(), "is not mounted here: mount it; in a chroot"),
        ] {
            assert!(said(errno, &signs).contains(expected), "{errno:?} {signs:?}: {}", said(errno, &signs));
        }
    }

    #[test]
    fn why_an_overlay_is_refused_is_told_by_what_is_mounted() {
        let line = "36 25 0:32 / /t/a\\040b\\134c rw,nosuid - tmpfs none rw";
        assert_eq!(mount(line), Some(("/t/a b\\c".into(), "tmpfs".into())));
        let mounts = |all: &[(&str, &str)]| all.iter().map(|(point, kind)| (PathBuf::from(point), (*kind).to_owned())).collect();
        let said = |errno, dir: Option<&CStr>, all: &[(&str, &str)]| {
            let over = dir.map_or(Over::Memory { size: None }, |dir| Over::Kept { dir: dir.into() });
            let op = Op::RootOverlay { source: c"/t".into(), over };
            step(Some(&Step { op, asked: None }), errno, &Signs { mounts: mounts(all), proc: true, ..Signs::default() })
                .to_string()
        };
        let inside = [("/", "ext4"), ("/t", "xfs"), ("/t/proc", "proc"), ("/two", "ext4")];
        assert!(said(Errno::INVAL, None, &inside).contains("/t/proc is mounted in the tree"));
        let beside = [("/", "ext4"), ("/t", "vfat"), ("/two", "ext4"), ("/two/d", "nfs4")];
        assert!(said(Errno::INVAL, None, &beside).contains("the tree lies on vfat: "));
        assert!(said(Errno::INVAL, Some(c"/two/d/k"), &beside).contains("the tree lies on vfat, changes on nfs4: "));
        assert!(said(Errno::OPNOTSUPP, None, &[]).contains("keep changes on a disk with --overlay DIR"));
        assert!(said(Errno::OPNOTSUPP, Some(c"/d"), &[]).contains("the file system of /d keeps no user attributes"));
        assert!(said(Errno::NODEV, None, &[]).contains("CONFIG_OVERLAY_FS"));
        assert!(said(Errno::PERM, None, &[]).contains("Linux 5.11"));
        assert!(said(Errno::NOSPC, Some(c"/d"), &[]).contains("no room for more files in /d"));
    }

    #[test]
    fn a_full_mount_namespace_is_not_taken_for_too_many_namespaces() {
        let dest = || c"/d".to_owned();
        for op in [
            Op::Bind { source: c"/s".into(), dest: dest(), access: crate::policy::Access::ReadOnly },
            Op::Hide { dest: dest(), dir: true },
            Op::Tmpfs { dest: dest(), size: None, mode: 0o755 },
            Op::Proc { dest: dest() },
        ] {
            let signs = Signs { proc: true, ..Signs::default() };
            let said = step(Some(&Step { op, asked: None }), Errno::NOSPC, &signs).to_string();
            assert!(said.contains("fs.mount-max") && !said.contains("user_namespaces"), "{said}");
        }
    }

    #[test]
    fn a_kernel_without_time_namespaces_is_named() {
        let op = Op::Uptime { now: core::time::Duration::ZERO };
        let asked = Some(crate::error::Asked::new("uptime", &["0".into()]));
        let error = step(Some(&Step { op, asked }), Errno::INVAL, &Signs { proc: true, ..Signs::default() });
        assert_eq!(error.layer, Layer::Kernel);
        for part in ["--uptime 0: monotonic and boot clocks", "CONFIG_TIME_NS", "leave the flag out"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn apparmor_is_named_at_each_step_where_it_takes_effect() {
        use crate::plan::Ids;
        // unshare succeeds there; the capabilities are gone afterwards.
        let signs = Signs { proc: true, apparmor_restricts: true, ..Signs::default() };
        let ids = Ids { uid: 1, gid: 1 };
        for (op, errno) in [
            (Op::MapIds { inside: ids, outside: ids }, Errno::PERM),
            (Op::LoopbackUp, Errno::PERM),
            (Op::RootMemory, Errno::ACCESS),
            (Op::Proc { dest: c"/proc".into() }, Errno::PERM),
        ] {
            assert_eq!(step(Some(&Step { op, asked: None }), errno, &signs).layer, Layer::AppArmor);
        }
    }
}
