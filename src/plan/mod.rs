//! What will be done, in order: computed from the policy and the machine, with
//! no effect of its own. `explain` prints this list and `apply` performs it.

pub(crate) mod degrade;
pub(crate) mod fs;
pub(crate) mod landlock;
pub(crate) mod near;
pub(crate) mod own_file;
pub(crate) mod reach;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Resource;

use crate::error::{Asked, Error, Layer, Words, said};
use crate::host::subids::{FILES, MAPPERS, Mapper, Subordinate};
use crate::host::{CALLERS, CgroupDir, Fact, Host, Opened};
use crate::plan::degrade::{Degraded, degrade};
use crate::plan::fs::layout::Builder;
use crate::plan::fs::requests::{c_string, files_error, wanted};
use crate::plan::landlock::{HAS_FILES, HAS_PORTS, Ruleset};
use crate::plan::reach::{Outward, reached};
use crate::policy::endpoint::Endpoint;
use crate::policy::{Access, Anchor, ENV_PASSED, Env, Hole, Init, Landlock, Net, Policy, Seccomp, Setting, What, glob_matches};
use crate::process::helper::Unusable;
use crate::seccomp::explain_denied::Trace;
use crate::seccomp::overrides::{self, Change, Filter};
use crate::seccomp::policy::bpf::{self, Program};
use crate::sys::caps;
use crate::sys::rlimits::Limit;
use crate::util::name_map::Index;
use crate::util::text::{about, shown};

/// A user id and a group id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The user's.
    pub uid: u32,
    /// The group's.
    pub gid: u32,
}

/// Ids in a row, inside and outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first inside.
    pub inside: u32,
    /// The first outside.
    pub outside: u32,
    /// How many; never 0.
    pub count: u32,
}

impl Range {
    /// A single id.
    pub const fn one(inside: u32, outside: u32) -> Self {
        Self { inside, outside, count: 1 }
    }
}

/// The caller's ids and those that are subordinate to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subids {
    /// Those of users.
    pub uids: Vec<Range>,
    /// Those of groups.
    pub gids: Vec<Range>,
    /// newuidmap and newgidmap.
    pub mappers: [CString; 2],
}

/// Which ids keep their numbers in the second user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// The one of the first.
    One(Ids),
    /// All of the first, which it takes another process to map.
    All { uids: Vec<Range>, gids: Vec<Range> },
}

/// One thing to do; small, for there are many. Paths called `source` are the host's, all others lie in the
/// new root; none of them holds a symbolic link, and none may when it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Execute a copy of the launcher's own file in memory, which the command can neither
    /// change nor execute. The copy gets the content of the `--args` files. With
    /// `only_make`, make the copy and do not execute it.
    RunFromCopy { args_files: Vec<Vec<u8>>, only_make: bool },
    /// Read all of what is no regular file into memory, before there is a jail that
    /// would have to wait for it.
    Gather { fd: i32 },
    /// Give up the supplementary groups, which only privilege may.
    DropGroups,
    /// Make a cgroup with limits below `parent`, out of which processes must give
    /// way if `move_callers`.
    MakeCgroup { parent: CString, move_callers: bool, limits: Limits },
    /// Listen in the caller's network for what a port inside is to get.
    Publish { hole: Hole },
    /// Hold what a hole leads to, which is `name` inside.
    Reach { name: Box<Endpoint>, to: Box<Outward> },
    /// Start who passes on what is said through these holes.
    Reacher,
    /// Enter it.
    EnterCgroup,
    /// See it as the root of the cgroup tree.
    CgroupView,
    /// Be killed when the launcher dies, however it dies.
    DieWithLauncher,
    /// Without a process table of its own: be told when the launcher dies, and
    /// take over every process that the command leaves.
    AdoptOrphans,
    /// The same, in case process 1 is killed.
    AdoptFromOutside,
    /// The command's process: be killed when process 1 dies.
    DieWithInit,
    /// Number the caller's ids inside.
    MapIds { inside: Ids, outside: Ids },
    /// Wait until the launcher has had the caller's ids and those subordinate to it
    /// mapped.
    MapSubids { subids: Box<Subids> },
    /// Leave the caller's session keyring.
    NewKeyring,
    /// Keep the host's root.
    HostRoot,
    /// Have the monotonic and boot clocks of the processes to come show this now.
    Uptime { now: Duration },
    /// Name the machine.
    Hostname { name: OsString },
    /// Join the network namespace that was made meanwhile.
    JoinNetwork,
    /// Bring the own loopback up.
    LoopbackUp,
    /// Give the own loopback one more address.
    LoopbackAddress { address: IpAddr },
    /// Listen there for hole number `hole`.
    Listen { at: SocketAddr, hole: u32 },
    /// Start from an empty root.
    RootMemory,
    /// Start from a tree of the host's.
    RootTree { source: CString, access: Access },
    /// Open the directory that changes are kept in, which must belong to `owner`, make
    /// what is missing of it, and let no other run have it.
    KeepChanges { dir: CString, tree: CString, owner: u32 },
    /// Start from a tree of the host's with changes laid over it.
    RootOverlay { source: CString, over: Over },
    /// Make a directory in memory.
    Dir { dest: CString, mode: u32 },
    /// Make an empty file in memory to mount on.
    MountPoint { dest: CString },
    /// Make a symbolic link in memory.
    Symlink { target: CString, dest: CString },
    /// Make a file in memory with what a descriptor gives.
    File { fd: i32, dest: CString },
    /// Show a file in memory that says `text`, over the one that is there.
    Hosts { dest: CString, text: String },
    /// Show a Unix socket in memory that listens for hole number `hole`.
    Socket { dest: CString, hole: u32 },
    /// Show a host file or directory.
    Bind { source: CString, dest: CString, access: Access },
    /// Show the host's device nodes, and all beside them.
    Devices { source: CString, dest: CString },
    /// Show a host device node.
    Device { source: CString, dest: CString },
    /// Make a directory in memory that is there already, and a mount of it that stays
    /// writable.
    Memory { dest: CString, mode: u32 },
    /// An empty directory in memory of its own.
    Tmpfs { dest: CString, size: Option<u64>, mode: u32 },
    /// Replaces descriptor `fd` by the same device, opened through a read-only mount: the
    /// one at `dest`, or one of the host's `source` for this descriptor alone. The device
    /// has major number 1 and this minor number.
    OwnDevice { fd: i32, minor: u32, source: &'static CStr, dest: Option<CString> },
    /// A process table of the jail's own.
    Proc { dest: CString },
    /// Pseudo-terminals of the jail's own.
    Devpts { dest: CString },
    /// A pseudo-terminal for the jail, its master handed to the launcher.
    OpenTerminal,
    /// Take it, in a session of the command's own.
    TakeTerminal,
    /// Nothing more is made in this memory.
    Seal { dest: CString },
    /// Cover something with an empty, unreadable thing.
    Hide { dest: CString, dir: bool },
    /// Take writing or execution away below a path.
    Restrict { dest: CString, mounted: bool, access: Access, noexec: bool },
    /// Make the new root `/` and let go of the host's.
    EnterRoot,
    /// Go on in a second user namespace, to which all mounts are locked.
    LockMounts { namespaces: i32, ids: Box<Mapped> },
    /// Let no user namespace be made any more.
    NoUserNamespaces,
    /// Wait until the launcher has had the network connected by pasta(1), which passes
    /// datagrams on, too.
    AwaitNetwork { pasta: CString, udp: Vec<Hole> },
    /// Wait until the launcher relays what is published.
    AwaitPublisher,
    /// Tell the launcher which namespaces these are.
    TellNamespaces,
    /// Clear the launcher's arguments and name from process 1.
    Disguise,
    /// Close process 1's memory, executable and descriptors to others.
    NotDumpable,
    /// Take capabilities out of reach for good.
    BoundCapabilities { keep: caps::Set },
    /// No exec may raise privileges.
    NoNewPrivileges,
    /// Start a session.
    NewSession,
    /// Hold these capabilities and no other.
    Capabilities { keep: caps::Set },
    /// Go to the directory to start in.
    Chdir { path: CString },
    /// Limit the process, and each that it makes.
    Rlimit { limit: Limit },
    /// Set the file mode mask.
    Umask { mask: u32 },
    /// Run on these processors only.
    Processors { set: Vec<usize> },
    /// Close what was inherited from descriptor 3 up.
    CloseDescriptors { keep: Vec<i32> },
    /// Make Landlock's rules, while what they name can be reached.
    Ruleset { abi: u32, ruleset: Box<Ruleset> },
    /// Put them on.
    Landlock,
    /// Refuse the system calls that the command has no use for.
    FilterCalls { filter: Box<Filter> },
}

impl Op {
    /// The place inside at which it makes or mounts something; None for all other operations.
    pub fn dest(&self) -> Option<&CStr> {
        if let Self::Dir { dest, .. }
        | Self::MountPoint { dest }
        | Self::Symlink { dest, .. }
        | Self::File { dest, .. }
        | Self::Hosts { dest, .. }
        | Self::Socket { dest, .. }
        | Self::Bind { dest, .. }
        | Self::Devices { dest, .. }
        | Self::Device { dest, .. }
        | Self::Memory { dest, .. }
        | Self::Tmpfs { dest, .. }
        | Self::Proc { dest }
        | Self::Devpts { dest }
        | Self::Seal { dest }
        | Self::Hide { dest, .. }
        | Self::Restrict { dest, .. } = self
        {
            return Some(dest);
        }
        None
    }
}

/// What lies over a tree and takes what is changed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// Memory of the jail's own, at most so many bytes.
    Memory { size: Option<u64> },
    /// A directory of the host's, which the launcher has opened.
    Kept { dir: CString },
}

/// What the whole jail may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Processes and threads, process 1 among them.
    pub tasks: Option<u64>,
    /// Thousandths of a processor.
    pub cpus: Option<u64>,
}

impl Limits {
    /// The controllers that they need.
    pub fn controllers(&self) -> impl Iterator<Item = &'static str> {
        let wanted = [("memory", self.memory.is_some()), ("pids", self.tasks.is_some()), ("cpu", self.cpus.is_some())];
        wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name)
    }
}

/// How long the jail may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    /// From the start of the launch to SIGTERM.
    pub timeout: Duration,
    /// From SIGTERM to the end of everything.
    pub grace: Duration,
}

/// One thing to do, and who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The thing.
    pub op: Op,
    /// The flag; none where it is a default.
    pub asked: Option<Asked>,
}

/// What is executed at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its words.
    pub argv: Vec<OsString>,
    /// Where it may lie: tried in turn, inside.
    pub candidates: Vec<CString>,
    /// Its environment.
    pub env: Vec<(OsString, OsString)>,
}

/// Three lists, for three processes, and what they start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// CLONE_NEW* bits of the first namespaces.
    pub namespaces: i32,
    /// Done by the launcher.
    pub outside: Vec<Step>,
    /// Done by process 1.
    pub inside: Vec<Step>,
    /// Done by the command's process before it is the command.
    pub last: Vec<Step>,
    /// Process 1.
    pub init: Init,
    /// Is there a process table of the jail's own?
    pub own_pids: bool,
    /// Is the network connected by pasta(1)?
    pub pasta: bool,
    /// The layers that this machine lacks and the user does without.
    pub degraded: Vec<&'static str>,
    /// Is the command in a session of its own, out of the terminal's reach?
    pub own_session: bool,
    /// Has the jail a terminal of its own?
    pub pty: bool,
    /// By what the launcher answers, and tells of, what the policy refuses.
    pub trace: Option<Trace>,
    /// When it is ended, if it has not ended by then.
    pub timeout: Option<TimeLimit>,
    /// The command.
    pub command: Command,
}

impl Plan {
    /// Has the launcher stay in the process that it is, where it executes no command.
    pub fn stay_in_this_process(&mut self) {
        for step in &mut self.outside {
            if let Op::RunFromCopy { only_make, .. } = &mut step.op {
                *only_make = true;
            }
        }
    }

    /// Has process 1 to wait for the launcher?
    pub fn waits(&self) -> bool {
        self.inside.iter().any(|step| matches!(step.op, Op::MapSubids { .. } | Op::AwaitNetwork { .. } | Op::AwaitPublisher))
    }

    /// The user ids that `--subids` maps.
    pub fn subordinate_uids(&self) -> &[Range] {
        let mapped = self.inside.iter().find_map(|step| {
            let Op::MapSubids { subids } = &step.op else { return None };
            Some(&*subids.uids)
        });
        mapped.unwrap_or_default()
    }

    /// Is the network namespace made beside process 1?
    pub fn joins_network(&self) -> bool {
        self.inside.iter().any(|step| matches!(step.op, Op::JoinNetwork))
    }

    /// Is the host's `/` itself shown somewhere?
    pub fn needs_host_root(&self) -> bool {
        self.inside.iter().any(|step| shows_host_root(&step.op))
    }
}

fn shows_host_root(op: &Op) -> bool {
    matches!(op, Op::Bind { source, .. } | Op::RootTree { source, .. } if source.as_c_str() == c"/")
}

/// What a directory of `--overlay` holds: what was changed, laid out as the tree is.
pub const CHANGES: &str = "changes";

/// What a command has to end in by default, once it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// Computes the plan. What is done without is taken out of the policy.
///
/// # Errors
/// What the policy asks for and this machine's files do not allow.
pub fn build(policy: &mut Policy, host: &Host) -> Result<Plan, Error> {
    let degraded = degrade(policy, host)?;
    let policy = &*policy;
    let bare = degraded.bare;
    let caller = Ids { uid: host.uid, gid: host.gid };
    let ids = ids(policy, caller);
    let named = policy.caps.iter().fold(0, |set, (number, _)| set | caps::only(*number));
    let keep = named | if policy.jailed_root().is_some() { caps::JAILED_ROOT } else { 0 };
    let lock = keep & caps::only(caps::SYS_ADMIN) != 0;
    let (mut namespaces, mut later) = namespaces(policy, lock);
    if bare {
        namespaces = 0;
    }
    if degraded.shared_name {
        namespaces &= !libc::CLONE_NEWUTS;
        later &= !libc::CLONE_NEWUTS;
    }
    let cgroup = cgroup(policy, host)?;
    let (filter, trace) = filter_calls(policy, &degraded.closed_calls)?;

    if let Some(fd) = (0..3).find(|fd| host.leads_elsewhere(*fd)) {
        return Err(files_error(
            None,
            format!("pass descriptor {fd}"),
            "it is a directory, from which all of the host's files can be reached",
            format!("redirect it, e.g. {fd}</dev/null in a shell"),
        ));
    }
    let mut builder = Builder::new(policy, host)?;
    let mut reached = reached(policy, host)?;
    builder.place(wanted(policy, host, std::mem::take(&mut reached.wanted))?)?;
    if let Some(second) = builder.steps.iter().filter(|step| shows_host_root(&step.op)).nth(1) {
        return Err(files_error(second.asked.as_ref(), "show the host's /", "it can be shown once", "leave out one of the two"));
    }
    builder.nothing_else_changes(&policy.changes())?;
    if bare {
        at_their_own_places(&builder.steps, host)?;
    } else {
        builder.seal();
        builder.mask_proc(host)?;
        builder.hide(&policy.hidden)?;
        builder.noexec(&policy.noexec)?;
    }

    let default = |op| Step { op, asked: None };
    let own_pids = policy.pid.value != Anchor::Host;
    let mut inside = vec![default(if own_pids { Op::DieWithLauncher } else { Op::AdoptOrphans })];
    if let Some(step) = &cgroup {
        inside.push(Step { op: Op::EnterCgroup, asked: step.asked });
        if namespaces & libc::CLONE_NEWCGROUP != 0 {
            // Its root is the cgroup of the process that makes it.
            namespaces &= !libc::CLONE_NEWCGROUP;
            inside.push(Step { op: Op::CgroupView, asked: step.asked });
        }
    }
    let asked = || [&policy.uid, &policy.gid].iter().find_map(|id| id.as_ref()?.asked);
    let mut kept = Mapped::One(ids);
    if bare {
        let asked = policy.degrade.as_ref().and_then(|degrade| degrade.asked);
        inside.push(Step { op: Op::HostRoot, asked });
    } else if let Some(asked) = &policy.subids {
        let subids = subids(caller, &host.subordinate(), asked)?;
        let same = |ranges: &[Range]| ranges.iter().map(|range| Range { outside: range.inside, ..*range }).collect();
        kept = Mapped::All { uids: same(&subids.uids), gids: same(&subids.gids) };
        inside.push(Step { op: Op::MapSubids { subids: subids.into() }, asked: Some(*asked) });
        inside.push(Step { op: Op::DropGroups, asked: Some(*asked) });
    } else {
        let op = Op::MapIds { inside: ids, outside: caller };
        inside.push(Step { op, asked: policy.jailed_root().copied().or_else(asked) });
    }
    if let Some(uptime) = &policy.uptime {
        // In the user namespace that is there by now; the command will have no power over it.
        inside.push(Step { op: Op::Uptime { now: uptime.value }, asked: uptime.asked });
    }
    inside.push(default(Op::NewKeyring));
    let mut own = Vec::new();
    if (namespaces | later) & libc::CLONE_NEWUTS != 0 {
        own.push(Step { op: Op::Hostname { name: policy.hostname.value.clone() }, asked: policy.hostname.asked });
    }
    let (mut network, mut joins) = (Vec::new(), false);
    if policy.net.value != Net::Host {
        // A second processor makes the namespace while the first goes on. Who sees the
        // host's processes would see that process, too.
        if !lock && own_pids && namespaces & libc::CLONE_NEWNET != 0 && host.can_make_beside() {
            network.push(Step { op: Op::JoinNetwork, asked: policy.net.asked });
            joins = true;
        }
        network.push(Step { op: Op::LoopbackUp, asked: policy.net.asked });
    }
    network.append(&mut reached.network);
    if !joins {
        own.append(&mut network);
    }
    if !lock {
        inside.append(&mut own);
    }
    let landlock = landlock(policy, host, &builder.steps, lock, &degraded)?;
    // Without a mount namespace every file is at its own place on the host's mounts, which
    // chmod(2) reaches by the path: a copy would keep nothing from the command.
    let own_file = if bare {
        None
    } else {
        let subids = inside.iter().find_map(|step| if let Op::MapSubids { subids } = &step.op { Some(subids) } else { None });
        let uids = subids.map_or(&[][..], |subids| &subids.uids);
        own_file::step(policy, host, &builder.steps, landlock.as_ref(), uids)
    };
    if !bare {
        inside.reserve(builder.steps.len() + 16);
        inside.append(&mut builder.steps);
    }
    if policy.pty.is_some() {
        inside.push(Step { op: Op::OpenTerminal, asked: policy.pty });
    }
    if !bare {
        let mut passed: Vec<(i32, Option<Asked>)> = policy.fds.iter().map(|(fd, asked)| (*fd, Some(*asked))).collect();
        passed.sort_unstable_by_key(|(fd, _)| *fd);
        for (fd, asked) in (0..3).map(|fd| (fd, None)).chain(passed) {
            let op = own_device(fd, host, &inside)?;
            inside.extend(op.map(|op| Step { op, asked }));
        }
    }
    let fenced = landlock.is_some();
    inside.extend(landlock);
    // In a namespace of its own the command could move what hides and protects.
    let limited = policy.nested.is_none() && !degraded.unlimited;
    let mut no_more = limited.then(|| default(Op::NoUserNamespaces));
    if !lock {
        inside.extend(no_more.take());
    }
    if !bare {
        inside.push(default(Op::EnterRoot));
    }
    inside.append(&mut network);
    if lock {
        let asked = policy.caps.iter().find(|(number, _)| *number == caps::SYS_ADMIN).map(|(_, asked)| *asked);
        inside.push(Step { op: Op::LockMounts { namespaces: later, ids: kept.into() }, asked });
        inside.append(&mut own);
        inside.extend(no_more);
    }
    if policy.net.value == Net::Pasta {
        // While process 1 can still be looked into: pasta opens its namespaces.
        let udp = policy.publish.iter().map(|(hole, _)| *hole).filter(|hole| hole.udp).collect();
        let pasta = pasta(host, policy.net.asked)?;
        inside.push(Step { op: Op::AwaitNetwork { pasta, udp }, asked: policy.net.asked });
    }
    let tcp = || policy.publish.iter().filter(|(hole, _)| !hole.udp);
    if let Some((_, asked)) = tcp().next() {
        inside.push(Step { op: Op::AwaitPublisher, asked: Some(*asked) });
    }
    if let Some(status_fd) = &policy.status_fd {
        writable_descriptor(status_fd, host)?;
        inside.push(Step { op: Op::TellNamespaces, asked: status_fd.asked });
    }
    inside.push(default(Op::Disguise));
    inside.push(default(Op::NotDumpable));
    // Without a user namespace of its own only a privileged caller may; the others
    // have none to lose, and no way to any.
    if !bare || host.can_bound_capabilities() {
        inside.push(default(Op::BoundCapabilities { keep }));
    }
    inside.push(default(Op::NoNewPrivileges));

    let mut last = Vec::new();
    if policy.pty.is_some() {
        last.push(Step { op: Op::TakeTerminal, asked: policy.pty });
    }
    if let Some(asked) = &policy.new_session {
        last.push(Step { op: Op::NewSession, asked: Some(*asked) });
    }
    last.push(Step { op: Op::Capabilities { keep }, asked: policy.jailed_root().copied().or_else(|| first(&policy.caps)) });
    last.push(builder.chdir(policy)?);
    let mut limits: Vec<&(Limit, Asked)> = policy.rlimits.iter().collect();
    limits.sort_unstable_by_key(|(limit, _)| limit.name());
    if policy.core_limit().is_none() {
        last.extend(core_limit(host)?.map(|limit| default(Op::Rlimit { limit })));
    }
    for (limit, asked) in limits {
        last.push(Step { op: Op::Rlimit { limit: *limit }, asked: Some(*asked) });
    }
    if let Some(umask) = &policy.umask {
        last.push(Step { op: Op::Umask { mask: umask.value }, asked: umask.asked });
    }
    if let Some(setting) = &policy.processors {
        last.push(Step { op: Op::Processors { set: processors(setting, host)? }, asked: setting.asked });
    }
    last.push(Step { op: Op::CloseDescriptors { keep: kept_descriptors(policy, host)? }, asked: first(&policy.fds) });
    if fenced {
        let close = last.len() - 1;
        last.insert(close, default(Op::Landlock));
    }
    // Last, so that it need allow nothing that only the launch does.
    last.extend(filter);

    let mut outside: Vec<Step> = Vec::new();
    for entry in &policy.entries {
        if let What::File { fd } = entry.what {
            outside.push(Step { op: Op::Gather { fd }, asked: Some(entry.asked) });
        }
    }
    outside.sort_unstable_by_key(|step| if let Op::Gather { fd } = step.op { fd } else { 0 });
    // The launcher starts a second time there: nothing may have been done before.
    outside.splice(0..0, own_file);
    // Before anything is changed: another run may have it.
    outside.append(&mut builder.outside);
    outside.extend(tcp().map(|(hole, asked)| Step { op: Op::Publish { hole: *hole }, asked: Some(*asked) }));
    outside.append(&mut reached.outside);
    outside.extend(cgroup);
    if host.can_drop_groups {
        outside.push(default(Op::DropGroups));
    }
    if !own_pids {
        outside.push(default(Op::AdoptFromOutside));
        last.insert(0, default(Op::DieWithInit));
    }
    let env = environment(policy, host)?;
    let candidates = candidates(&policy.command[0], &env)?;
    Ok(Plan {
        namespaces,
        outside,
        inside,
        last,
        init: policy.init.value,
        own_pids,
        pasta: policy.net.value == Net::Pasta,
        degraded: degraded.names,
        own_session: policy.new_session.is_some() || policy.pty.is_some(),
        pty: policy.pty.is_some(),
        trace,
        timeout: policy
            .timeout
            .as_ref()
            .map(|timeout| TimeLimit { timeout: timeout.value, grace: policy.grace.as_ref().map_or(GRACE, |grace| grace.value) }),
        command: Command { argv: policy.command.clone(), candidates, env },
    })
}

/// Returns the core limit that the command gets unless `--rlimit` sets one: 1 byte, soft
/// and hard. For a crash of the command's, the kernel then starts no core_pattern program,
/// which would run outside the jail as root. With a limit of 0 the kernel starts it
/// (core(5)). No limit keeps the kernel from a core_pattern socket (tried on Linux 7.3).
///
/// The limit is 1 also where core_pattern is the name of a file. To read core_pattern
/// would cost each launch a file, and root may change it while the jail runs.
///
/// None where the caller's hard limit is 0 and core_pattern is no program: the limit stays
/// 0, and the kernel writes no file.
///
/// # Errors
/// The caller's hard limit is 0, and core_pattern is a program.
fn core_limit(host: &Host) -> Result<Option<Limit>, Error> {
    if host.may_limit_core_dumps() {
        return Ok(Some(Limit { resource: Resource::Core, soft: Some(1), hard: Some(1) }));
    }
    if !host.pipes_core_dumps() {
        return Ok(None);
    }
    let problem = "the caller's hard core limit is 0, with which the kernel starts the program of kernel.core_pattern outside";
    let remedy = "raise the hard limit to 1 or more (limits.conf(5), or prlimit --core=1 --pid PID as root, for the shell that \
                  starts jail), or let crashes inside start that program with --rlimit core=0";
    Err(Error::usage(None, problem, remedy).met("keep core dumps inside", Layer::Kernel))
}

/// Returns the step that has descriptor `fd` of a root caller refer to the jail's own
/// mount of the device behind it, which `shows` may hold. The caller's mount is writable: through it, the command
/// could change the mode of the host's /dev/null.
///
/// # Errors
/// The host's /dev does not have that device.
fn own_device(fd: i32, host: &Host, shows: &[Step]) -> Result<Option<Op>, Error> {
    // Another user owns no such device, so it cannot change one.
    if host.uid != 0 {
        return Ok(None);
    }
    let Some(minor) = host.memory_device(fd) else { return Ok(None) };
    let Some((_, source)) = MEMORY_DEVICES.iter().find(|(known, _)| *known == minor) else { return Ok(None) };
    let device = OsStr::from_bytes(source.to_bytes());
    if host.look(device.as_ref()) != Fact::Device {
        let doing = about("open the jail's own ", device, &format!(" as descriptor {fd}"));
        return Err(files_error(None, doing, "the host has no such device", "redirect the descriptor to a pipe or a file"));
    }
    let path = |path: &CString| PathBuf::from(OsStr::from_bytes(path.to_bytes()));
    let is_hidden = |shown: &CString| {
        shows.iter().any(|step| matches!(&step.op, Op::Hide { dest, .. } if path(shown).starts_with(path(dest))))
    };
    let dest = shows.iter().find_map(|step| {
        let Op::Device { source: shown, dest } = &step.op else { return None };
        (shown.as_c_str() == *source && !is_hidden(dest)).then(|| dest.clone())
    });
    Ok(Some(Op::OwnDevice { fd, minor, source, dest }))
}

/// Devices of major number 1 that do not differ between jail and host, by their minor
/// numbers. All users share them.
const MEMORY_DEVICES: [(u32, &CStr); 5] =
    [(3, c"/dev/null"), (5, c"/dev/zero"), (7, c"/dev/full"), (8, c"/dev/random"), (9, c"/dev/urandom")];

/// Where the host's own files are seen: what is shown elsewhere, or less of what lies
/// below something writable, cannot be had.
fn at_their_own_places(steps: &[Step], host: &Host) -> Result<(), Error> {
    let path = |path: &CString| PathBuf::from(OsStr::from_bytes(path.to_bytes()));
    for step in steps {
        let (Op::Bind { source, dest, .. } | Op::Device { source, dest } | Op::Devices { source, dest }) = &step.op else {
            continue;
        };
        let problem = if host.canonical(&path(dest)) != Ok(path(source)) {
            "to show it elsewhere needs namespaces, which this machine refuses"
        } else if matches!(&step.op, Op::Bind { access: Access::ReadOnly, .. })
            && steps.iter().any(|other| {
                matches!(&other.op,
                    Op::Bind { source: above, access: Access::Writable, .. }
                    | Op::RootTree { source: above, access: Access::Writable }
                    | Op::Devices { source: above, .. }
                    if path(source) != path(above) && path(source).starts_with(path(above)))
            })
        {
            "to protect what lies below a writable directory needs namespaces, which this machine refuses"
        } else {
            continue;
        };
        let doing = about("show ", path(dest), " alone by Landlock");
        let layer = host.lacks.first().map_or(Layer::Kernel, |(_, layer)| *layer);
        return Err(Error::usage(step.asked, problem, "leave it out here").met(doing, layer));
    }
    Ok(())
}

/// The system-call policy, with what it closes for others, and how what it refuses is
/// told; None without.
fn filter_calls(policy: &Policy, closed: &[Change]) -> Result<(Option<Step>, Option<Trace>), Error> {
    if policy.seccomp.value == Seccomp::None {
        return Ok((None, None));
    }
    let all = if closed.is_empty() { Cow::Borrowed(&policy.syscalls[..]) } else { [&policy.syscalls, closed].concat().into() };
    let mut filter = overrides::filter(policy.powers(), &all)?;
    let trace = policy.trace_denied.as_ref().map(|_| {
        filter.told = true;
        let asking = Program::Owned(bpf::asking(&filter.program));
        let program = std::mem::replace(&mut filter.program, asking);
        Trace { program, powers: policy.powers(), changes: all.to_vec() }
    });
    // Of several flags that change it the first by name.
    let changes = policy.syscalls.iter().chain(closed);
    let named = changes.map(|change| &change.asked).min_by_key(|asked| asked.text());
    let opened = || policy.caps.iter().filter(|(number, _)| OPENING.contains(number)).min_by_key(|(number, _)| *number);
    let changed = named.or(policy.fakeroot.as_ref()).or(policy.nested.as_ref());
    let changed = changed.or_else(|| opened().map(|(_, asked)| asked)).or_else(|| policy.jailed_root());
    let changed = changed.or_else(|| policy.core_limit()).or(policy.seccomp.asked.as_ref());
    let asked = policy.trace_denied.as_ref().or(changed);
    Ok((Some(Step { op: Op::FilterCalls { filter: filter.into() }, asked: asked.copied() }), trace))
}

/// Capabilities that open a part of the system-call policy.
const OPENING: [u32; 3] = [caps::SYS_ADMIN, caps::SYS_BOOT, caps::NET_RAW];

/// Landlock's rules for what `shows` shows; None without. `lock`: the command has what
/// it takes to mount.
fn landlock(policy: &Policy, host: &Host, shows: &[Step], lock: bool, degraded: &Degraded) -> Result<Option<Step>, Error> {
    let ports = || policy.connect.iter().chain(&policy.listen);
    let asked = ports().next().map(|(_, asked)| *asked).or(policy.landlock.asked);
    let refuse = |problem: &'static str, remedy: &'static str, layer: Layer| {
        Err(Error::usage(asked, problem, remedy).met("make Landlock's rules", layer))
    };
    if policy.landlock.value == Landlock::None {
        return Ok(None);
    }
    let abi = host.landlock_abi;
    if ports().next().is_some() && abi < HAS_PORTS {
        return refuse("this kernel's Landlock knows no ports", "Linux 6.7 has them; or leave the flag out", Layer::Kernel);
    }
    if host.landlock_refused {
        let remedy = "let the container make Landlock's calls (a newer runtime's profile does), or say --degrade landlock";
        return refuse("Landlock's calls are refused to this process", remedy, Layer::Container);
    }
    if abi == 0 {
        let remedy = "boot it with landlock among its lsm= (CONFIG_SECURITY_LANDLOCK, Linux 5.19), or say --degrade landlock";
        return refuse("this kernel has no Landlock, or it is not switched on", remedy, Layer::Kernel);
    }
    if abi < HAS_FILES {
        return refuse(
            "this kernel's Landlock lets no file be renamed",
            "Linux 5.19 does; or say --degrade landlock",
            Layer::Kernel,
        );
    }
    // Who may mount cannot be bound by rules for files.
    let mounts = lock || policy.nested.is_some();
    let own_pids = policy.pid.value != Anchor::Host || degraded.closed_pids;
    let mut descriptors: Vec<i32> = policy.fds.iter().map(|(fd, _)| *fd).chain(0..3).collect();
    descriptors.sort_unstable();
    let mut ruleset = if degraded.bare {
        landlock::ruleset_alone(abi, shows, own_pids, descriptors)
    } else {
        landlock::ruleset(abi, shows, mounts, own_pids, descriptors)
    };
    ruleset.queues = ruleset.files != 0 && policy.ipc.value == Anchor::Private;
    if abi >= HAS_PORTS && degraded.closed_net {
        ruleset.only_ports(Vec::new(), Vec::new());
    } else if ports().next().is_some() {
        let sorted = |ports: &[(u16, Asked)]| {
            let mut all: Vec<u16> = ports.iter().map(|(port, _)| *port).collect();
            all.sort_unstable();
            all
        };
        ruleset.only_ports(sorted(&policy.connect), sorted(&policy.listen));
    }
    if ruleset.is_empty() {
        return Ok(None);
    }
    let asked = first(&policy.connect).or_else(|| first(&policy.listen)).or(policy.landlock.asked);
    Ok(Some(Step { op: Op::Ruleset { abi, ruleset: ruleset.into() }, asked }))
}

/// The cgroup for the limits of the whole jail; None without such.
fn cgroup(policy: &Policy, host: &Host) -> Result<Option<Step>, Error> {
    let value = |setting: &Option<Setting<u64>>| setting.as_ref().map(|setting| setting.value);
    let process_one = u64::from(policy.init.value == Init::Reaper);
    let limits = Limits {
        memory: value(&policy.memory),
        tasks: value(&policy.tasks).map(|tasks| tasks + process_one),
        cpus: value(&policy.cpus),
    };
    let flags = [&policy.memory, &policy.tasks, &policy.cpus];
    let Some(asked) = flags.iter().find_map(|setting| setting.as_ref()?.asked) else { return Ok(None) };
    cgroup_for(limits, &host.cgroups(), &asked).map(Some)
}

/// Where a cgroup with `limits` can be made; `cgroups` as `Host::cgroups` gives them.
///
/// # Errors
/// There is no such place.
pub fn cgroup_for(limits: Limits, cgroups: &[CgroupDir], asked: &Asked) -> Result<Step, Error> {
    let has = |all: &[String]| limits.controllers().all(|name| all.iter().any(|has| has == name));
    let step = |dir: &CgroupDir, move_callers| {
        let parent = c_string(dir.path.as_os_str())?;
        Ok(Step { op: Op::MakeCgroup { parent, move_callers, limits }, asked: Some(*asked) })
    };
    let problem = match cgroups {
        // Where other jails of this caller's have moved it to.
        [own, above, ..]
            if own.path.file_name() == Some(OsStr::from_bytes(CALLERS.to_bytes()))
                && above.writable
                && has(&above.controllers) =>
        {
            // They may be put back before it is this one's turn.
            return step(above, !above.is_root);
        }
        [own, ..] if own.writable && has(&own.controllers) => return step(own, !own.is_root),
        // Beside the caller's own; not if it would leave limits of that behind.
        [own, above, ..] if above.writable && has(&above.enabled) && !own.limited => return step(above, false),
        [] => "no cgroup2 file system is mounted".to_owned(),
        [own, ..] if own.writable => {
            let missing: Vec<&str> = limits.controllers().filter(|name| !own.controllers.iter().any(|has| has == name)).collect();
            format!("{} has no controller {}", shown(&own.path), missing.join(", "))
        }
        [own, ..] => about("", &own.path, " is not delegated to the caller"),
    };
    let remedy =
        "start it in one that is: systemd-run --user --scope -p Delegate=yes jail ... (or have root make one and chown it)";
    Err(Error::usage(*asked, problem, remedy).met("make a cgroup for the jail", Layer::Cgroup))
}

/// The first so many of those that the caller may run on.
fn processors(wanted: &Setting<usize>, host: &Host) -> Result<Vec<usize>, Error> {
    let refuse = |problem: String, remedy: &'static str| {
        Error::usage(wanted.asked, problem, remedy).met("choose processors", Layer::Kernel)
    };
    let mut set = host.processors().map_err(|errno| refuse(said(errno), "leave it out here"))?;
    if set.len() < wanted.value {
        let problem = match set.len() {
            1 => "the caller may run on 1 processor".into(),
            n => format!("the caller may run on {n} processors"),
        };
        return Err(refuse(problem, "write no more than nproc(1) says; taskset(1) or a cgroup's cpuset may hide some"));
    }
    set.truncate(wanted.value);
    Ok(set)
}

/// The flag with the smallest number, whichever was typed first.
fn first<N: Ord + Copy>(asked: &[(N, Asked)]) -> Option<Asked> {
    asked.iter().min_by_key(|(number, _)| *number).map(|(_, asked)| *asked)
}

fn ids(policy: &Policy, caller: Ids) -> Ids {
    if policy.jailed_root().is_some() {
        return Ids { uid: 0, gid: 0 };
    }
    Ids { uid: policy.uid.as_ref().map_or(caller.uid, |s| s.value), gid: policy.gid.as_ref().map_or(caller.gid, |s| s.value) }
}

/// Returns the path of pasta(1), or the error that says why the launcher does not run it.
fn pasta(host: &Host, asked: Option<Asked>) -> Result<CString, Error> {
    let (problem, remedy): (Words, Words) = match host.pasta() {
        Ok(pasta) => return Ok(pasta),
        Err(Unusable::Missing) => (
            "pasta is not installed in a system directory such as /usr/bin".into(),
            "install it (Debian: apt-get install passt), or say --net none".into(),
        ),
        Err(Unusable::Refused(refused)) => {
            (refused.to_string().into(), format!("{}; or say --net none", &*refused.remedy()).into())
        }
    };
    Err(Error::usage(asked, problem, remedy).met("connect the network", Layer::Files))
}

/// How many ids a system has: Debian's nobody is 65534.
const SYSTEM_IDS: u32 = 65_535;

/// The caller's ids as 0, and those subordinate to it from 1 up.
///
/// # Errors
/// There are too few, or nothing that maps them.
pub fn subids(caller: Ids, facts: &Subordinate, asked: &Asked) -> Result<Subids, Error> {
    let refuse = |problem: String, remedy: Words| {
        Error::usage(*asked, problem, remedy).met("map the caller's subordinate ids", Layer::Files)
    };
    let ranges = |of: usize, own: u32| {
        let (file, option) = (FILES[of], ["--add-subuids", "--add-subgids"][of]);
        let name = facts.name.as_ref().map_or_else(|| caller.uid.to_string(), |name| shown(OsStr::from_bytes(name)));
        let given = &facts.ranges[of];
        let more = |missing: u32| {
            let first = facts.free[of];
            if facts.name.is_some() {
                return format!("as root: usermod {option} {first}-{} {name}", first.saturating_add(missing - 1));
            }
            // usermod(8) knows names alone.
            format!("as root: echo {name}:{first}:{missing} >>{file}")
        };
        let mut all = vec![Range::one(0, own)];
        for (first, count) in given {
            if let Some(other) = all.iter().find(|other| other.outside < first + count && *first < other.outside + other.count) {
                let problem = format!("{file} gives {name} {first}:{count}, and {}:{} is its, too", other.outside, other.count);
                return Err(refuse(problem, format!("have each id in one line of {file}, and not the caller's own").into()));
            }
            let inside = all.last().map_or(0, |last| last.inside.saturating_add(last.count));
            all.push(Range { inside, outside: *first, count: (*count).min(u32::MAX - inside) });
        }
        let total = all.last().map_or(0, |last| last.inside + last.count);
        if given.is_empty() {
            return Err(refuse(format!("{file} gives {name} no ids"), more(SYSTEM_IDS + 1).into()));
        }
        if total < SYSTEM_IDS {
            let problem = format!("{file} gives {name} {} ids, and a system has {SYSTEM_IDS}", total - 1);
            return Err(refuse(problem, more(SYSTEM_IDS - total).into()));
        }
        all.retain(|range| range.count > 0);
        Ok(all)
    };
    let mut mappers = Vec::new();
    for (mapper, name) in facts.mappers.iter().zip(MAPPERS) {
        match mapper {
            Mapper::Ready(path) => mappers.push(path.clone()),
            Mapper::Missing => {
                let remedy = "install it (Debian: apt-get install uidmap), or say --fakeroot";
                return Err(refuse(format!("{name} is not installed in a system directory such as /usr/bin"), remedy.into()));
            }
            Mapper::Refused(refused) => {
                return Err(refuse(refused.to_string(), format!("{}; or say --fakeroot", &*refused.remedy()).into()));
            }
            Mapper::Powerless(path) => {
                let path = shown(OsStr::from_bytes(path.to_bytes()));
                let problem = format!("{path} is not set-user-ID root, has no capabilities, or lies where neither counts");
                return Err(refuse(problem, format!("as root: chmod u+s {path}, or install it anew").into()));
            }
        }
    }
    let (uids, gids) = (ranges(0, caller.uid)?, ranges(1, caller.gid)?);
    if facts.no_new_privileges {
        let remedy = "start it where they may, not in a jail or a service that forbids it; or say --fakeroot";
        let problem = format!("no program may gain privileges here (no_new_privs), as {} must", MAPPERS[0]);
        let mut error = refuse(problem, remedy.into());
        error.layer = Layer::Kernel;
        return Err(error);
    }
    let [users, groups] = <[CString; 2]>::try_from(mappers).unwrap_or_default();
    Ok(Subids { uids, gids, mappers: [users, groups] })
}

/// The namespaces to make at once, and those to make once the mounts stand and
/// are to be locked: a capability reaches the namespaces of its own user
/// namespace, and mounts must belong to another.
fn namespaces(policy: &Policy, lock: bool) -> (i32, i32) {
    let mut first = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;
    let mut own = libc::CLONE_NEWUTS;
    for (anchor, flag) in [(policy.ipc.value, libc::CLONE_NEWIPC), (policy.cgroup.value, libc::CLONE_NEWCGROUP)] {
        if anchor != Anchor::Host {
            own |= flag;
        }
    }
    if policy.net.value != Net::Host {
        own |= libc::CLONE_NEWNET;
    }
    if policy.pid.value != Anchor::Host {
        first |= libc::CLONE_NEWPID;
    }
    if lock { (first, own | libc::CLONE_NEWUSER | libc::CLONE_NEWNS) } else { (first | own, 0) }
}

/// A descriptor of the caller's that can be written to.
fn writable_descriptor(setting: &Setting<i32>, host: &Host) -> Result<(), Error> {
    let (fd, asked) = (setting.value, setting.asked.as_ref());
    let problem = match host.opened(fd) {
        Opened::ReadOnly => "it is open for reading only",
        Opened::Not => "it is not open",
        Opened::ForWriting | Opened::WriteOnly => return Ok(()),
    };
    let remedy = format!("open it, e.g. {fd}>FILE in a shell");
    Err(files_error(asked, format!("write to descriptor {fd}"), problem, remedy))
}

fn kept_descriptors(policy: &Policy, host: &Host) -> Result<Vec<i32>, Error> {
    let mut keep = Vec::new();
    for (fd, asked) in &policy.fds {
        if host.opened(*fd) == Opened::Not {
            return Err(files_error(
                Some(asked),
                format!("keep descriptor {fd}"),
                "it is not open",
                format!("open it, e.g. {fd}<FILE in a shell"),
            ));
        }
        keep.push(*fd);
    }
    keep.sort_unstable();
    Ok(keep)
}

fn environment(policy: &Policy, host: &Host) -> Result<Vec<(OsString, OsString)>, Error> {
    let mut env: Vec<(OsString, OsString)> = Vec::new();
    let (mut passed, mut set, mut globs) = (Index::new(), Index::new(), Vec::new());
    for (wanted, _) in &policy.env {
        match wanted {
            Env::Pass(name) => _ = passed.set(name, ()),
            Env::Set(name, _) => _ = set.set(name, ()),
            Env::Glob(glob) => globs.push(glob.as_os_str()),
        }
    }
    globs.extend(ENV_PASSED.map(OsStr::new));
    let chosen = |name: &OsString| passed.has(name) || globs.iter().any(|glob| glob_matches(glob, name));
    let mut seen = Index::new();
    for (name, value) in &host.env {
        // Of a variable that is there twice the first counts, as getenv has it.
        if chosen(name) && seen.set(name, ()) && !set.has(name) {
            env.push((name.clone(), value.clone()));
        }
    }
    for (wanted, asked) in &policy.env {
        match wanted {
            Env::Set(name, value) => env.push((name.clone(), value.clone())),
            Env::Pass(name) if !seen.has(name) => {
                return Err(Error::usage(
                    *asked,
                    "the variable is not set",
                    about("set it, give it here as ", name, "=VALUE, or leave the flag out"),
                ));
            }
            Env::Pass(_) | Env::Glob(_) => {}
        }
    }
    env.sort_unstable();
    Ok(env)
}

/// Where the command may lie inside, in the order to try.
///
/// # Errors
/// A NUL in it.
pub fn candidates(command: &OsStr, env: &[(OsString, OsString)]) -> Result<Vec<CString>, Error> {
    if command.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(command)?]);
    }
    let path = env.iter().find(|(name, _)| name == "PATH").map_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"), |(_, v)| v);
    path.as_bytes()
        .split(|b| *b == b':')
        .map(|dir| {
            let mut whole = if dir.is_empty() { b".".to_vec() } else { dir.to_vec() };
            whole.push(b'/');
            whole.extend_from_slice(command.as_bytes());
            c_string(&OsString::from_vec(whole))
        })
        .collect()
}
