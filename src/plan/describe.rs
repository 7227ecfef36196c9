//! What each operation is called, and what it does in words.

use core::fmt;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

use crate::plan::op::{Op, Over};
use crate::policy::files::Access;
use crate::policy::identity::Range;
use crate::sys::caps;
use crate::sys::namespaces::namespaces;
use crate::sys::rlimits;
use crate::util::escape::shown;
use crate::util::units::seconds;

pub(crate) struct Path<'a>(&'a CStr);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(OsStr::from_bytes(self.0.to_bytes())))
    }
}

pub(crate) fn access(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "read-only",
        Access::Writable => "writable",
    }
}

pub(crate) fn capabilities(set: caps::Set) -> String {
    if set == 0 { "none".into() } else { caps::names(set).join(" ") }
}

pub(crate) fn ranges(f: &mut fmt::Formatter<'_>, ranges: &[Range]) -> fmt::Result {
    for (index, Range { inside, outside, count }) in ranges.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        match count - 1 {
            0 => write!(f, "{inside} is {outside}")?,
            more => write!(f, "{inside}-{} are {outside}-{}", inside + more, outside + more)?,
        }
    }
    Ok(())
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunFromCopy { .. } => f.write_str("run from a sealed copy, to keep the launcher's own file from the command"),
            Self::Gather { fd } => write!(f, "read descriptor {fd} to its end"),
            Self::DropGroups => f.write_str("drop supplementary groups"),
            Self::MakeCgroup { parent, limits, .. } => {
                write!(f, "cgroup in {}:", Path(parent))?;
                limits.memory.map_or(Ok(()), |bytes| write!(f, " {bytes} bytes of memory"))?;
                limits.tasks.map_or(Ok(()), |tasks| write!(f, " {tasks} tasks"))?;
                limits.cpus.map_or(Ok(()), |n| write!(f, " {}.{:03} processors", n / 1000, n % 1000))
            }
            Self::EnterCgroup => f.write_str("enter the cgroup"),
            Self::CgroupView => f.write_str("own view of the cgroup tree"),
            Self::DieWithLauncher => f.write_str("die with the launcher"),
            Self::AdoptOrphans => f.write_str("adopt orphans, and kill them with the launcher"),
            Self::AdoptFromOutside => f.write_str("adopt orphans, should process 1 be killed"),
            Self::DieWithInit => f.write_str("die with process 1"),
            Self::MapIds { inside, outside } => {
                write!(f, "uid {} and gid {} inside are {} and {} outside", inside.uid, inside.gid, outside.uid, outside.gid)
            }
            Self::MapSubids { subids } => {
                f.write_str("uids inside and outside: ")?;
                ranges(f, &subids.uids)?;
                f.write_str("; gids: ")?;
                ranges(f, &subids.gids)?;
                write!(f, "; by {} and {}", Path(&subids.mappers[0]), Path(&subids.mappers[1]))
            }
            Self::NewKeyring => f.write_str("new session keyring"),
            Self::HostRoot => f.write_str("stay in the host's root: no namespaces"),
            Self::Uptime { now } => write!(f, "monotonic and boot clocks that show {} s now", seconds(*now)),
            Self::Hostname { name } => write!(f, "hostname {}", shown(name)),
            Self::JoinNetwork => f.write_str("own network, made meanwhile"),
            Self::LoopbackUp => f.write_str("own loopback, up"),
            Self::RootMemory => f.write_str("start from an empty root"),
            Self::RootTree { source, access: a } => write!(f, "start from {}, {}", Path(source), access(*a)),
            Self::KeepChanges { dir, .. } => write!(f, "changes in {}, for this run alone", Path(dir)),
            Self::RootOverlay { source, over: Over::Memory { size: None } } => {
                write!(f, "start from {}, changes in memory", Path(source))
            }
            Self::RootOverlay { source, over: Over::Memory { size: Some(size) } } => {
                write!(f, "start from {}, changes in memory (at most {size} bytes)", Path(source))
            }
            Self::RootOverlay { source, over: Over::Kept { dir } } => {
                write!(f, "start from {}, changes in {}", Path(source), Path(dir))
            }
            Self::Dir { dest, mode } => write!(f, "directory {} (mode {mode:o})", Path(dest)),
            Self::MountPoint { dest } => write!(f, "mount point {}", Path(dest)),
            Self::Symlink { target, dest } => write!(f, "link {} -> {}", Path(dest), Path(target)),
            Self::File { fd, dest } => write!(f, "file {} from descriptor {fd}", Path(dest)),
            Self::Bind { source, dest, access: a } if source == dest => write!(f, "{} {}", access(*a), Path(dest)),
            Self::Bind { source, dest, access: a } => {
                write!(f, "{} {}, which is {} outside", access(*a), Path(dest), Path(source))
            }
            Self::Devices { dest, .. } => write!(f, "the host's devices {}", Path(dest)),
            Self::Device { source, dest } if source == dest => write!(f, "device {}", Path(dest)),
            Self::Device { source, dest } => write!(f, "device {}, which is {} outside", Path(dest), Path(source)),
            Self::Memory { dest, mode } => write!(f, "memory {} (mode {mode:o})", Path(dest)),
            Self::Tmpfs { dest, size: None, mode } => write!(f, "memory of its own {} (mode {mode:o})", Path(dest)),
            Self::Tmpfs { dest, size: Some(size), mode } => {
                write!(f, "memory of its own {} (mode {mode:o}, at most {size} bytes)", Path(dest))
            }
            Self::Proc { dest } => write!(f, "own process table {}", Path(dest)),
            Self::Devpts { dest } => write!(f, "own pseudo-terminals {}", Path(dest)),
            Self::OpenTerminal => f.write_str("a terminal of the jail's own"),
            Self::TakeTerminal => f.write_str("take that terminal, in a new session"),
            Self::Seal { dest } => write!(f, "read-only from here on {}", Path(dest)),
            Self::Hide { dest, .. } => write!(f, "hide {}", Path(dest)),
            Self::Restrict { dest, access: a, noexec, .. } => {
                let read_only = if *a == Access::ReadOnly { "read-only " } else { "" };
                let noexec = if *noexec { "no execution " } else { "" };
                write!(f, "{read_only}{noexec}below {}", Path(dest))
            }
            Self::EnterRoot => f.write_str("make it / and let go of the host's"),
            Self::LockMounts { namespaces: n, .. } => write!(f, "lock the mounts; new namespaces: {}", namespaces(*n)),
            Self::NoUserNamespaces => f.write_str("no user namespace may be made"),
            Self::AwaitNetwork { pasta, udp } => {
                write!(f, "wait until {} has connected the network", Path(pasta))?;
                udp.iter().try_for_each(|hole| write!(f, "; UDP port {} outside reaches {} inside", hole.at, hole.to))
            }
            Self::AwaitPublisher => f.write_str("wait until what is published is relayed"),
            Self::Publish { hole } if hole.at.port() == 0 => {
                write!(f, "publish: a free port of {} reaches port {} inside", hole.at.ip(), hole.to)
            }
            Self::Publish { hole } => write!(f, "publish: {} reaches port {} inside", hole.at, hole.to),
            Self::Reach { name, to } => {
                write!(f, "reach: {name} inside is {} outside", to.shown().join(" or "))
            }
            Self::Reacher => f.write_str("start who passes that on"),
            Self::LoopbackAddress { address } => write!(f, "own loopback is {address}, too"),
            Self::Listen { at, .. } => write!(f, "listen at {at} for what is reached"),
            Self::Hosts { dest, .. } => write!(f, "hosts {} with the names that can be reached", Path(dest)),
            Self::Socket { dest, .. } => write!(f, "socket {} for what is reached", Path(dest)),
            Self::TellNamespaces => f.write_str("tell which namespaces these are, for the record"),
            Self::Disguise => f.write_str("wipe the launcher's arguments and name"),
            Self::NotDumpable => f.write_str("close process 1 to others"),
            Self::BoundCapabilities { keep } => write!(f, "capabilities that can ever be had: {}", capabilities(*keep)),
            Self::NoNewPrivileges => f.write_str("no new privileges on exec"),
            Self::NewSession => f.write_str("new session"),
            Self::Capabilities { keep } => write!(f, "capabilities: {}", capabilities(*keep)),
            Self::Chdir { path } => write!(f, "start in {}", Path(path)),
            Self::Rlimit { limit } => {
                write!(f, "limit {}: {}, hard {}", limit.name(), rlimits::shown(limit.soft), rlimits::shown(limit.hard))
            }
            Self::OwnDevice { fd, dest: Some(dest), .. } => write!(f, "descriptor {fd} is the jail's own {}", Path(dest)),
            Self::OwnDevice { fd, source, .. } => write!(f, "descriptor {fd} is {} by a read-only mount", Path(source)),
            Self::Ruleset { abi, ruleset } => write!(f, "Landlock rules (ABI {abi}): {}", ruleset.shown()),
            Self::Landlock => f.write_str("put Landlock's rules on"),
            Self::FilterCalls { filter } => {
                f.write_str("system calls by the default policy (seccomp)")?;
                for (what, calls) in [
                    ("allowed, too", &filter.allowed),
                    ("the set-user-ID bit allowed in", &filter.set_id),
                    ("refused, too", &filter.refused),
                    ("answered as done where one id cannot do it", &filter.answered),
                ] {
                    if !calls.is_empty() {
                        write!(f, "; {what}: {}", calls.join(" "))?;
                    }
                }
                f.write_str(if filter.told { "; each refusal is told" } else { "" })
            }
            Self::Umask { mask } => write!(f, "file mode mask {mask:03o}"),
            Self::Processors { set } => {
                f.write_str("run on processors:")?;
                set.iter().try_for_each(|number| write!(f, " {number}"))
            }
            Self::CloseDescriptors { keep } => {
                f.write_str("descriptors: 0 1 2")?;
                keep.iter().try_for_each(|fd| write!(f, " {fd}"))
            }
        }
    }
}

impl Op {
    /// A word for programs, stable.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::RunFromCopy { .. } => "run-from-copy",
            Self::Gather { .. } => "gather",
            Self::DropGroups => "drop-groups",
            Self::MakeCgroup { .. } => "make-cgroup",
            Self::EnterCgroup => "enter-cgroup",
            Self::CgroupView => "cgroup-view",
            Self::DieWithLauncher => "die-with-launcher",
            Self::AdoptOrphans => "adopt-orphans",
            Self::AdoptFromOutside => "adopt-from-outside",
            Self::DieWithInit => "die-with-init",
            Self::MapIds { .. } => "map-ids",
            Self::MapSubids { .. } => "map-subids",
            Self::NewKeyring => "new-keyring",
            Self::HostRoot => "host-root",
            Self::Uptime { .. } => "uptime",
            Self::Hostname { .. } => "hostname",
            Self::JoinNetwork => "join-network",
            Self::LoopbackUp => "loopback-up",
            Self::RootMemory => "root-memory",
            Self::RootTree { .. } => "root-tree",
            Self::KeepChanges { .. } => "keep-changes",
            Self::RootOverlay { .. } => "root-overlay",
            Self::Dir { .. } => "dir",
            Self::MountPoint { .. } => "mount-point",
            Self::Symlink { .. } => "symlink",
            Self::File { .. } => "file",
            Self::Bind { .. } => "bind",
            Self::Devices { .. } => "devices",
            Self::Device { .. } => "device",
            Self::Memory { .. } => "memory",
            Self::Tmpfs { .. } => "tmpfs",
            Self::Proc { .. } => "proc",
            Self::Devpts { .. } => "devpts",
            Self::OpenTerminal => "open-terminal",
            Self::TakeTerminal => "take-terminal",
            Self::Seal { .. } => "seal",
            Self::Hide { .. } => "hide",
            Self::Restrict { .. } => "restrict",
            Self::EnterRoot => "enter-root",
            Self::LockMounts { .. } => "lock-mounts",
            Self::NoUserNamespaces => "no-user-namespaces",
            Self::AwaitNetwork { .. } => "await-network",
            Self::AwaitPublisher => "await-publisher",
            Self::Publish { .. } => "publish",
            Self::Reach { .. } => "reach",
            Self::Reacher => "reacher",
            Self::LoopbackAddress { .. } => "loopback-address",
            Self::Listen { .. } => "listen",
            Self::Hosts { .. } => "hosts",
            Self::Socket { .. } => "socket",
            Self::TellNamespaces => "tell-namespaces",
            Self::Disguise => "disguise",
            Self::NotDumpable => "not-dumpable",
            Self::BoundCapabilities { .. } => "bound-capabilities",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::NewSession => "new-session",
            Self::Capabilities { .. } => "capabilities",
            Self::Chdir { .. } => "chdir",
            Self::Rlimit { .. } => "rlimit",
            Self::OwnDevice { .. } => "own-device",
            Self::Umask { .. } => "umask",
            Self::Processors { .. } => "processors",
            Self::CloseDescriptors { .. } => "close-descriptors",
            Self::Ruleset { .. } => "ruleset",
            Self::Landlock => "landlock",
            Self::FilterCalls { .. } => "filter-calls",
        }
    }

    /// The source and the path inside, where it has them.
    pub(crate) fn paths(&self) -> (Option<&CStr>, Option<&CStr>) {
        match self {
            Self::RootTree { source, .. } | Self::RootOverlay { source, .. } => (Some(source), Some(c"/")),
            Self::KeepChanges { dir, .. } => (Some(dir), None),
            Self::Bind { source, dest, .. } | Self::Devices { source, dest } | Self::Device { source, dest } => {
                (Some(source), Some(dest))
            }
            Self::Dir { dest, .. }
            | Self::Memory { dest, .. }
            | Self::MountPoint { dest }
            | Self::Symlink { dest, .. }
            | Self::File { dest, .. }
            | Self::Tmpfs { dest, .. }
            | Self::Proc { dest }
            | Self::Devpts { dest }
            | Self::Seal { dest }
            | Self::Hosts { dest, .. }
            | Self::Socket { dest, .. }
            | Self::Hide { dest, .. }
            | Self::Restrict { dest, .. }
            | Self::Chdir { path: dest } => (None, Some(dest)),
            Self::RootMemory => (None, Some(c"/")),
            Self::RunFromCopy { .. }
            | Self::Gather { .. }
            | Self::DropGroups
            | Self::MakeCgroup { .. }
            | Self::EnterCgroup
            | Self::CgroupView
            | Self::DieWithLauncher
            | Self::AdoptOrphans
            | Self::AdoptFromOutside
            | Self::DieWithInit
            | Self::MapIds { .. }
            | Self::MapSubids { .. }
            | Self::NewKeyring
            | Self::HostRoot
            | Self::Uptime { .. }
            | Self::Hostname { .. }
            | Self::JoinNetwork
            | Self::LoopbackUp
            | Self::EnterRoot
            | Self::LockMounts { .. }
            | Self::NoUserNamespaces
            | Self::AwaitNetwork { .. }
            | Self::AwaitPublisher
            | Self::Publish { .. }
            | Self::Reach { .. }
            | Self::Reacher
            | Self::LoopbackAddress { .. }
            | Self::Listen { .. }
            | Self::TellNamespaces
            | Self::Disguise
            | Self::NotDumpable
            | Self::BoundCapabilities { .. }
            | Self::NoNewPrivileges
            | Self::OpenTerminal
            | Self::TakeTerminal
            | Self::NewSession
            | Self::Capabilities { .. }
            | Self::Rlimit { .. }
            | Self::OwnDevice { .. }
            | Self::Umask { .. }
            | Self::Processors { .. }
            | Self::CloseDescriptors { .. }
            | Self::Ruleset { .. }
            | Self::Landlock
            | Self::FilterCalls { .. } => (None, None),
        }
    }
}
