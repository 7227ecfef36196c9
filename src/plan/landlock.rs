//! Landlock: the same file policy a second time, by rules on files instead of a view
//! of them; what may be reached other than by path; and ports.
//!
//! Rules only add. What `--hide`, `--ro` or `--noexec` take away below a place that
//! another flag gives, the mounts alone take away.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

use crate::plan::op::{Op, Step};
use crate::plan::ruleset::{
    ABSTRACT_UNIX_SOCKET, EXECUTE, IOCTL_DEV, MAKE_BLOCK, MAKE_CHAR, READ, READ_FILE, RESOLVE_UNIX, Ruleset, SHARED, SIGNAL,
    TRUNCATE, USE, WRITE, WRITE_FILE,
};
use crate::policy::files::Access;
use crate::util::name_map::Index;

/// The first version of the interface that can carry rules of files: without REFER
/// no file could be renamed into another directory.
pub(crate) const HAS_FILES: u32 = 2;

/// The first version that sees truncating, by path and by a descriptor for reading.
pub(crate) const HAS_TRUNCATE: u32 = 3;

/// The first version that knows TCP ports.
pub(crate) const HAS_PORTS: u32 = 4;

/// The first version that sees the calls that only devices know.
const HAS_IOCTL_DEV: u32 = 5;

/// The first version that keeps signals and abstract sockets in.
pub(crate) const HAS_SCOPES: u32 = 6;

/// The first version that sees connections to Unix sockets by path (Linux 7.1).
pub(crate) const HAS_UNIX: u32 = 9;

/// What `jail` uses of each version of the interface: the version, the rights over files
/// that it brought, and its name in `--check`. No rule gives MAKE_CHAR or MAKE_BLOCK. Not
/// every kernel asks for MAKE_CHAR for the device 0:0 (6.18 does, Debian's 6.1 and 7.3 do not). `jail` does not use what the versions 7 (logging), 8 (all
/// threads at once) and 10 (UDP ports) brought.
pub(crate) const VERSIONS: [(u32, u64, &str); 6] = [
    (HAS_FILES, READ | WRITE & !TRUNCATE | MAKE_CHAR | MAKE_BLOCK, "files"),
    (HAS_TRUNCATE, TRUNCATE, "truncating"),
    (HAS_PORTS, 0, "TCP ports"),
    (HAS_IOCTL_DEV, IOCTL_DEV, "device ioctls"),
    (HAS_SCOPES, 0, "signals and abstract sockets"),
    (HAS_UNIX, RESOLVE_UNIX, "Unix sockets by path"),
];

/// The rights over files that version `abi` of the interface knows.
fn known(abi: u32) -> u64 {
    VERSIONS.iter().filter(|(since, ..)| *since <= abi).fold(0, |known, (_, rights, _)| known | rights)
}

/// What `steps` show, as rules. `mounts`: the command may mount, which the kernel
/// refuses to whom file rules bind. `own_pids`: the processes that it sees are the
/// jail's.
pub fn ruleset(abi: u32, steps: &[Step], mounts: bool, own_pids: bool, descriptors: Vec<i32>) -> Ruleset {
    let mut ruleset = Ruleset::default();
    if abi >= HAS_SCOPES {
        ruleset.scoped = ABSTRACT_UNIX_SOCKET | if own_pids { SIGNAL } else { 0 };
    }
    if mounts || known(abi) == 0 {
        return ruleset;
    }
    ruleset.files = known(abi);
    ruleset.descriptors = descriptors;
    let sealed: Vec<_> =
        steps.iter().filter_map(|step| if let Op::Seal { dest } = &step.op { Some(dest.as_c_str()) } else { None }).collect();
    // --hide may cover what a default shows. The mask there gets no rights.
    let mut hidden = Index::new();
    for step in steps.iter().filter(|step| step.asked.is_some()) {
        if let Op::Hide { dest, .. } = &step.op {
            hidden.set(OsStr::from_bytes(dest.to_bytes()), ());
        }
    }
    for step in steps {
        let Some((dest, rights)) = rights(&step.op, &sealed) else { continue };
        if hidden.has(OsStr::from_bytes(dest.to_bytes())) {
            continue;
        }
        // A device in a private /dev has its rights from there.
        let inherited = matches!(step.op, Op::Device { .. })
            && ruleset.below.iter().any(|(above, rights)| {
                let below = dest.to_bytes().strip_prefix(above.to_bytes());
                rights & IOCTL_DEV != 0 && below.is_some_and(|below| below.starts_with(b"/"))
            });
        // The kernel takes no rule without a right (ENOMSG).
        let rights = rights & ruleset.files;
        if !inherited && rights != 0 {
            ruleset.below.push((dest.to_owned(), rights));
        }
    }
    ruleset
}

/// Rules for a command that sees the host's own files: `steps` show them at their own
/// places, and nothing else may be opened.
pub fn ruleset_alone(abi: u32, steps: &[Step], own_pids: bool, descriptors: Vec<i32>) -> Ruleset {
    let mut ruleset = ruleset(abi, &[], false, own_pids, descriptors);
    for step in steps {
        if let Op::Bind { source, .. } | Op::Devices { source, .. } | Op::Device { source, .. } | Op::RootTree { source, .. } =
            &step.op
        {
            let rights = rights(&step.op, &[]).map_or(READ, |(_, rights)| rights);
            ruleset.below.push((source.clone(), rights & ruleset.files));
        }
    }
    ruleset
}

/// The host's file or directory that the rules let be executed, or let things below it be
/// executed, because an operation shows it. The rule is for the inode, so that it holds
/// for every path to it. A place that is shown read-only has no rule of its own.
pub fn source_to_execute(op: &Op) -> Option<&CStr> {
    let (Op::Bind { source, .. } | Op::Devices { source, .. } | Op::Device { source, .. } | Op::RootTree { source, .. }) = op
    else {
        return None;
    };
    rights(op, &[]).filter(|(_, rights)| rights & EXECUTE != 0).map(|_| source.as_c_str())
}

/// The host's source of what an operation mounts, and its place inside; also the place
/// below which it forbids execution.
pub fn places(op: &Op) -> (Option<&CStr>, Option<&CStr>) {
    if let Op::RootTree { source, .. } = op {
        (Some(source), Some(c"/"))
    } else if let Op::Bind { source, dest, .. } | Op::Devices { source, dest } = op {
        (Some(source), Some(dest))
    } else if let Op::RootMemory | Op::RootOverlay { .. } = op {
        (None, Some(c"/"))
    } else if let Op::Hide { dest, .. }
    | Op::Restrict { dest, noexec: true, .. }
    | Op::Tmpfs { dest, .. }
    | Op::Memory { dest, .. }
    | Op::Device { dest, .. }
    | Op::Devpts { dest }
    | Op::Proc { dest }
    | Op::Hosts { dest, .. }
    | Op::Socket { dest, .. } = op
    {
        (None, Some(dest))
    } else {
        (None, None)
    }
}

/// The place inside that an operation gives rights to, and which.
pub(crate) fn rights<'a>(op: &'a Op, sealed: &[&CStr]) -> Option<(&'a CStr, u64)> {
    match op {
        Op::RootMemory | Op::RootTree { access: Access::ReadOnly, .. } => Some((c"/", READ)),
        Op::RootTree { access: Access::Writable, .. } => Some((c"/", SHARED)),
        // A socket of the tree cannot be reached through an overlay, which has inodes of its own.
        Op::RootOverlay { .. } => Some((c"/", READ | WRITE)),
        // What is read-only lies below the root, which may be read.
        Op::Bind { access: Access::ReadOnly, .. } => None,
        Op::Bind { dest, access: Access::Writable, .. } => Some((dest, SHARED)),
        // A private /dev: nothing is made there, and its nodes are used.
        Op::Memory { dest, .. } | Op::Tmpfs { dest, .. } if sealed.contains(&dest.as_c_str()) => Some((dest, READ | USE)),
        Op::Memory { dest, .. } | Op::Tmpfs { dest, .. } => Some((dest, READ | WRITE)),
        Op::Devices { dest, .. } => Some((dest, SHARED | IOCTL_DEV)),
        Op::Device { dest, .. } => Some((dest, READ_FILE | USE)),
        Op::Devpts { dest } => Some((dest, READ | USE)),
        // The launcher's process beside makes it, outside the ruleset.
        Op::Socket { dest, .. } => Some((dest, RESOLVE_UNIX)),
        // Its files are written to and never made.
        Op::Proc { dest } => Some((dest, READ | WRITE_FILE | TRUNCATE)),
        Op::RunFromCopy { .. }
        | Op::Gather { .. }
        | Op::DropGroups
        | Op::MakeCgroup { .. }
        | Op::KeepChanges { .. }
        | Op::EnterCgroup
        | Op::CgroupView
        | Op::DieWithLauncher
        | Op::AdoptOrphans
        | Op::AdoptFromOutside
        | Op::DieWithInit
        | Op::MapIds { .. }
        | Op::MapSubids { .. }
        | Op::NewKeyring
        | Op::HostRoot
        | Op::Uptime { .. }
        | Op::Hostname { .. }
        | Op::JoinNetwork
        | Op::LoopbackUp
        | Op::Dir { .. }
        | Op::MountPoint { .. }
        | Op::Symlink { .. }
        | Op::File { .. }
        | Op::OpenTerminal
        | Op::TakeTerminal
        | Op::Seal { .. }
        | Op::Hide { .. }
        | Op::Restrict { .. }
        | Op::EnterRoot
        | Op::LockMounts { .. }
        | Op::NoUserNamespaces
        | Op::AwaitNetwork { .. }
        | Op::AwaitPublisher
        | Op::Publish { .. }
        | Op::Reach { .. }
        | Op::Reacher
        | Op::LoopbackAddress { .. }
        | Op::Listen { .. }
        | Op::Hosts { .. }
        | Op::TellNamespaces
        | Op::Disguise
        | Op::NotDumpable
        | Op::BoundCapabilities { .. }
        | Op::NoNewPrivileges
        | Op::NewSession
        | Op::Capabilities { .. }
        | Op::Chdir { .. }
        | Op::Rlimit { .. }
        | Op::OwnDevice { .. }
        | Op::Umask { .. }
        | Op::Processors { .. }
        | Op::CloseDescriptors { .. }
        | Op::Ruleset { .. }
        | Op::Landlock
        | Op::FilterCalls { .. } => None,
    }
}
