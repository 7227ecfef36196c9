//! What will be done, in order: computed from the policy and the machine, with
//! no effect of its own. `explain` prints this list and `apply` performs it.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

use crate::caps;
use crate::error::{Asked, Error, Layer};
use crate::host::{CALLERS, CgroupDir, Fact, Host, Opened};
use crate::policy::{Access, Anchor, Ban, ENV_PASSED, Env, Init, Net, Policy, Setting, What, glob_matches};
use crate::rlimits::Limit;
use crate::text::shown;
use crate::view::{Backing, Found, View};

/// An absolute path inside, split for calls that make a name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The whole.
    pub path: CString,
    /// All but the last name.
    pub parent: CString,
    /// The last name.
    pub name: CString,
}

/// A user id and a group id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The user's.
    pub uid: u32,
    /// The group's.
    pub gid: u32,
}

/// One thing to do. Paths called `source` are the host's, all others lie in the
/// new root; none of them holds a symbolic link, and none may when it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read all of what is no regular file into memory, before there is a jail that
    /// would have to wait for it.
    Gather { fd: i32 },
    /// Make the ruleset that `KeepSignals` puts on.
    Ruleset,
    /// Give up the supplementary groups, which only a privileged caller may.
    DropGroups,
    /// Make a cgroup with limits below `parent`, out of which processes must give
    /// way if `move_callers`.
    MakeCgroup { parent: CString, move_callers: bool, limits: Limits },
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
    /// Leave the caller's session keyring.
    NewKeyring,
    /// Name the machine.
    Hostname { name: OsString },
    /// Bring the own loopback up.
    LoopbackUp,
    /// Start from an empty root.
    RootMemory,
    /// Start from a tree of the host's.
    RootTree { source: CString, access: Access },
    /// Make a directory in memory.
    Dir { place: Place, mode: u32 },
    /// Make an empty file in memory to mount on.
    MountPoint { place: Place },
    /// Make a symbolic link in memory.
    Symlink { target: CString, place: Place },
    /// Make a file in memory with what a descriptor gives.
    File { fd: i32, place: Place },
    /// Show a host file or directory.
    Bind { source: CString, dest: CString, access: Access },
    /// Show the host's device nodes, and all beside them.
    Devices { source: CString, dest: CString },
    /// Show a host device node.
    Device { source: CString, dest: CString },
    /// An empty directory in memory.
    Tmpfs { dest: CString, size: Option<u64>, mode: u32 },
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
    LockMounts { namespaces: i32, ids: Ids },
    /// Let no user namespace be made any more.
    NoUserNamespaces,
    /// Wait until the launcher has had the network connected by pasta(1).
    AwaitNetwork,
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
    /// Close what was inherited from descriptor 3 up.
    CloseDescriptors { keep: Vec<i32> },
    /// Send no signal out of the jail.
    KeepSignals,
    /// Refuse the system calls that type into a terminal.
    FilterTerminal,
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
    /// Is the command in a session of its own, out of the terminal's reach?
    pub own_session: bool,
    /// Has the jail a terminal of its own?
    pub pty: bool,
    /// When it is ended, if it has not ended by then.
    pub timeout: Option<TimeLimit>,
    /// The command.
    pub command: Command,
}

impl Plan {
    /// Is the host's `/` itself shown somewhere?
    pub fn needs_host_root(&self) -> bool {
        self.inside.iter().any(|step| shows_host_root(&step.op))
    }
}

fn shows_host_root(op: &Op) -> bool {
    matches!(op, Op::Bind { source, .. } | Op::RootTree { source, .. } if source.as_c_str() == c"/")
}

/// What a command has to end in by default, once it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// The host's system directories, and the links beside /usr.
const SYSTEM: [&str; 11] =
    ["/usr", "/etc", "/opt", "/nix/store", "/gnu/store", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];
/// Hidden from everyone: the keys of all the caller's sessions, which are in no
/// namespace.
const PROC_HIDDEN: [&str; 1] = ["keys"];
/// Hidden where the caller is the host's root, whose files these are.
const PROC_HIDDEN_ROOT: [&str; 16] = [
    "kcore",
    "kmsg",
    "sysrq-trigger",
    "key-users",
    "timer_list",
    "latency_stats",
    "sched_debug",
    "mtrr",
    "acpi",
    "scsi",
    "slabinfo",
    "vmallocinfo",
    "pagetypeinfo",
    "kpagecount",
    "kpageflags",
    "kpagecgroup",
];
/// Read-only where the caller is the host's root.
const PROC_READ_ONLY_ROOT: [&str; 5] = ["sys", "bus", "fs", "irq", "pressure"];

/// Computes the plan.
///
/// # Errors
/// What the policy asks for and this machine's files do not allow.
pub fn build(policy: &Policy, host: &Host) -> Result<Plan, Error> {
    if host.set_id {
        return Err(Error::usage(
            None,
            "this executable is set-user-id or set-group-id, and must not be",
            "chmod ug-s it: jail needs no privilege",
        ));
    }
    let caller = Ids { uid: host.uid, gid: host.gid };
    let ids = ids(policy, caller);
    let named = policy.caps.iter().fold(0, |set, (number, _)| set | caps::only(*number));
    let keep = named | if policy.as_root.is_some() { caps::JAILED_ROOT } else { 0 };
    let lock = keep & caps::only(caps::SYS_ADMIN) != 0;
    let (mut namespaces, later) = namespaces(policy, lock);
    let cgroup = cgroup(policy, host)?;

    if let Some(fd) = (0..3).find(|fd| host.leads_elsewhere(*fd)) {
        return Err(files_error(
            None,
            format!("pass descriptor {fd}"),
            "it is a directory, from which all of the host's files can be reached",
            format!("redirect it, e.g. {fd}</dev/null in a shell"),
        ));
    }
    let mut builder = Builder::new(policy, host)?;
    builder.place(wanted(policy, host)?)?;
    if let Some(second) = builder.steps.iter().filter(|step| shows_host_root(&step.op)).nth(1) {
        return Err(files_error(
            second.asked.as_ref(),
            "show the host's /".into(),
            "it can be shown once",
            "leave out one of the two",
        ));
    }
    builder.seal();
    builder.mask_proc(host)?;
    builder.hide(&policy.hidden)?;
    builder.noexec(&policy.noexec)?;

    let default = |op| Step { op, asked: None };
    let own_pids = policy.pid.value != Anchor::Host;
    let mut inside = vec![default(if own_pids { Op::DieWithLauncher } else { Op::AdoptOrphans })];
    if let Some(step) = &cgroup {
        inside.push(Step { op: Op::EnterCgroup, asked: step.asked.clone() });
        if namespaces & libc::CLONE_NEWCGROUP != 0 {
            // Its root is the cgroup of the process that makes it.
            namespaces &= !libc::CLONE_NEWCGROUP;
            inside.push(Step { op: Op::CgroupView, asked: step.asked.clone() });
        }
    }
    inside.push(Step {
        op: Op::MapIds { inside: ids, outside: caller },
        asked: policy.as_root.clone().or_else(|| [&policy.uid, &policy.gid].into_iter().flatten().find_map(|s| s.asked.clone())),
    });
    inside.push(default(Op::NewKeyring));
    let mut own = vec![Step { op: Op::Hostname { name: policy.hostname.value.clone() }, asked: policy.hostname.asked.clone() }];
    if policy.net.value != Net::Host {
        own.push(Step { op: Op::LoopbackUp, asked: policy.net.asked.clone() });
    }
    if !lock {
        inside.append(&mut own);
    }
    inside.append(&mut builder.steps);
    if policy.pty.is_some() {
        inside.push(Step { op: Op::OpenTerminal, asked: policy.pty.clone() });
    }
    // In a namespace of its own the command could move what hides and protects.
    let mut no_more = (policy.nested.is_none()).then(|| default(Op::NoUserNamespaces));
    if !lock {
        inside.extend(no_more.take());
    }
    inside.push(default(Op::EnterRoot));
    if lock {
        let asked = policy.caps.iter().find(|(number, _)| *number == caps::SYS_ADMIN).map(|(_, asked)| asked.clone());
        inside.push(Step { op: Op::LockMounts { namespaces: later, ids }, asked });
        inside.append(&mut own);
        inside.extend(no_more);
    }
    if policy.net.value == Net::Pasta {
        // While process 1 can still be looked into: pasta opens its namespaces.
        inside.push(Step { op: Op::AwaitNetwork, asked: policy.net.asked.clone() });
    }
    if let Some(status_fd) = &policy.status_fd {
        writable_descriptor(status_fd, host)?;
        inside.push(Step { op: Op::TellNamespaces, asked: status_fd.asked.clone() });
    }
    inside.push(default(Op::Disguise));
    inside.push(default(Op::NotDumpable));
    inside.push(default(Op::BoundCapabilities { keep }));
    inside.push(default(Op::NoNewPrivileges));

    let mut last = Vec::new();
    if policy.pty.is_some() {
        last.push(Step { op: Op::TakeTerminal, asked: policy.pty.clone() });
    }
    if let Some(asked) = &policy.new_session {
        last.push(Step { op: Op::NewSession, asked: Some(asked.clone()) });
    }
    last.push(Step { op: Op::Capabilities { keep }, asked: policy.as_root.clone().or_else(|| first(&policy.caps)) });
    last.push(builder.chdir(policy)?);
    let mut limits: Vec<&(Limit, Asked)> = policy.rlimits.iter().collect();
    limits.sort_by_key(|(limit, _)| limit.name());
    for (limit, asked) in limits {
        last.push(Step { op: Op::Rlimit { limit: *limit }, asked: Some(asked.clone()) });
    }
    last.push(Step { op: Op::CloseDescriptors { keep: kept_descriptors(policy, host)? }, asked: first(&policy.fds) });
    // Without a process table of its own the host's processes are there to be
    // signalled.
    let keep_signals = host.scopes_signals && own_pids;
    if keep_signals {
        last.insert(0, default(Op::KeepSignals));
    }
    // Last, so that it need allow nothing that only the launch does.
    last.push(default(Op::FilterTerminal));

    let mut outside: Vec<Step> = Vec::new();
    for entry in &policy.entries {
        if let What::File { fd } = entry.what {
            outside.push(Step { op: Op::Gather { fd }, asked: Some(entry.asked.clone()) });
        }
    }
    outside.sort_by_key(|step| if let Op::Gather { fd } = step.op { fd } else { 0 });
    outside.extend(cgroup);
    if host.can_drop_groups {
        outside.push(default(Op::DropGroups));
    }
    if keep_signals {
        outside.push(default(Op::Ruleset));
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
        own_session: policy.new_session.is_some() || policy.pty.is_some(),
        pty: policy.pty.is_some(),
        timeout: policy
            .timeout
            .as_ref()
            .map(|timeout| TimeLimit { timeout: timeout.value, grace: policy.grace.as_ref().map_or(GRACE, |grace| grace.value) }),
        command: Command { argv: policy.command.clone(), candidates, env },
    })
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
    let Some(asked) = flags.into_iter().flatten().find_map(|setting| setting.asked.clone()) else { return Ok(None) };

    let cgroups = host.cgroups();
    let has = |all: &[String]| limits.controllers().all(|name| all.iter().any(|has| has == name));
    let step = |dir: &CgroupDir, move_callers| {
        let parent = c_string(dir.path.as_os_str())?;
        Ok(Some(Step { op: Op::MakeCgroup { parent, move_callers, limits }, asked: Some(asked.clone()) }))
    };
    let problem = match &cgroups[..] {
        // Where other jails of this caller's have moved it to.
        [own, above, ..]
            if own.path.ends_with(OsStr::from_bytes(CALLERS.to_bytes())) && above.writable && has(&above.controllers) =>
        {
            return step(above, false);
        }
        [own, ..] if own.writable && has(&own.controllers) => return step(own, !own.is_root),
        // Beside the caller's own; not if it would leave limits of that behind.
        [own, above, ..] if above.writable && has(&above.enabled) && !own.limited => return step(above, false),
        [] => "no cgroup2 file system is mounted".to_owned(),
        [own, ..] if own.writable => {
            let missing: Vec<&str> = limits.controllers().filter(|name| !own.controllers.iter().any(|has| has == name)).collect();
            format!("{} has no controller {}", shown(&own.path), missing.join(", "))
        }
        [own, ..] => format!("{} is not delegated to the caller", shown(&own.path)),
    };
    Err(Error {
        doing: "make a cgroup for the jail".into(),
        layer: Layer::Cgroup,
        ..Error::usage(
            asked.text().to_owned(),
            problem,
            "start it in one that is: systemd-run --user --scope -p Delegate=yes jail ... (or have root make one and chown it)",
        )
    })
}

/// The flag with the smallest number, whichever was typed first.
fn first<N: Ord + Copy>(asked: &[(N, Asked)]) -> Option<Asked> {
    asked.iter().min_by_key(|(number, _)| *number).map(|(_, asked)| asked.clone())
}

fn ids(policy: &Policy, caller: Ids) -> Ids {
    if policy.as_root.is_some() {
        return Ids { uid: 0, gid: 0 };
    }
    Ids { uid: policy.uid.as_ref().map_or(caller.uid, |s| s.value), gid: policy.gid.as_ref().map_or(caller.gid, |s| s.value) }
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

/// What is to be at a destination.
#[derive(Clone, Debug)]
enum Put {
    Bind { source: PathBuf, access: Access },
    Device { source: PathBuf },
    Tmpfs { size: Option<u64>, mode: u32 },
    Proc,
    Dev,
    HostDev,
    Dir,
    Symlink { target: OsString },
    File { fd: i32 },
}

impl Put {
    /// Is a directory needed to put it on? None where nothing may be there.
    fn needs(&self, host: &Host) -> Option<Fact> {
        match self {
            Self::Bind { source, .. } => Some(match host.look(source) {
                Fact::Dir => Fact::Dir,
                Fact::Missing | Fact::Denied(_) | Fact::File | Fact::Device | Fact::Link(_) => Fact::File,
            }),
            Self::Device { .. } => Some(Fact::File),
            Self::Tmpfs { .. } | Self::Proc | Self::Dev | Self::HostDev => Some(Fact::Dir),
            Self::Dir | Self::Symlink { .. } | Self::File { .. } => None,
        }
    }
}

#[derive(Clone, Debug)]
struct Wanted {
    put: Put,
    dest: PathBuf,
    asked: Option<Asked>,
}

fn files_error(asked: Option<&Asked>, doing: String, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error { layer: Layer::Files, doing, ..Error::usage(asked.map(|a| a.text().to_owned()), problem, remedy) }
}

fn c_string(bytes: &OsStr) -> Result<CString, Error> {
    CString::new(bytes.as_bytes()).map_err(|_| Error::usage(None, format!("{} holds a NUL", shown(bytes)), "leave it out"))
}

/// Two for one destination: `other` is the flag that has it, or a default.
fn taken(wanted: &Wanted, at: &Path, other: Option<&Asked>) -> Error {
    files_error(
        wanted.asked.as_ref(),
        format!("place {} inside", shown(&wanted.dest)),
        format!("the destination {} is taken by {}", shown(at), other.map_or("a default", Asked::text)),
        match other {
            None => "leave the flag out, or say none to what is there by default",
            Some(_) => "leave out one of the two",
        },
    )
}

/// The caller's directory is not known, and a path needs it.
fn absolute(host: &Host, path: &Path, asked: Option<&Asked>) -> Result<PathBuf, Error> {
    host.absolute(path).map_err(|errno| {
        let problem = format!("the current directory is gone or may not be named: {errno}");
        files_error(asked, format!("resolve {}", shown(path)), problem, "name the path from / on")
    })
}

/// Where a source leads on the host; None where it is missing and may be.
fn source(host: &Host, path: &Path, may_miss: bool, asked: Option<&Asked>) -> Result<Option<PathBuf>, Error> {
    let path = absolute(host, path, asked)?;
    match host.canonical(&path) {
        Ok(path) => Ok(Some(path)),
        Err(Errno::NOENT | Errno::NOTDIR) if may_miss => Ok(None),
        Err(errno) => Err(files_error(
            asked,
            format!("find the source {}", shown(&path)),
            errno.to_string(),
            match errno {
                Errno::NOENT | Errno::NOTDIR if asked.is_some_and(|asked| asked.text().starts_with("--root")) => {
                    "create it first"
                }
                Errno::NOENT | Errno::NOTDIR => "create it first, or use the -try form of the flag",
                Errno::LOOP => "the links go round in a circle: name the place itself",
                Errno::NAMETOOLONG => "name it by a shorter path",
                _ => "the caller must be allowed to search every directory above it",
            },
        )),
    }
}

/// A part of the host's system that cannot be looked at: without it the view would
/// not be what it is to be.
fn unseen(path: &Path, errno: Errno) -> Error {
    files_error(None, format!("look at {}", shown(path)), errno.to_string(), "see whether ls -ld shows it")
}

/// Every destination, those of the defaults among them.
fn wanted(policy: &Policy, host: &Host) -> Result<Vec<Wanted>, Error> {
    let mut all = Vec::new();
    for entry in &policy.entries {
        let asked = Some(&entry.asked);
        let put = match &entry.what {
            What::Bind { source: path, access } => match source(host, path, entry.may_miss, asked)? {
                None => continue,
                Some(source) => Put::Bind { source, access: *access },
            },
            What::Device { source: path } => match source(host, path, entry.may_miss, asked)? {
                None => continue,
                Some(source) if host.look(&source) == Fact::Device => Put::Device { source },
                Some(source) => {
                    return Err(files_error(
                        asked,
                        format!("show {}", shown(&source)),
                        "not a device node",
                        "use --ro or --rw for files",
                    ));
                }
            },
            What::Tmpfs { size } => Put::Tmpfs { size: *size, mode: 0o755 },
            What::Dir => Put::Dir,
            What::Symlink { target } => Put::Symlink { target: target.clone() },
            What::File { fd } if host.opened(*fd) == Opened::Not => {
                return Err(files_error(
                    asked,
                    format!("read descriptor {fd}"),
                    "it is not open",
                    format!("open it, e.g. {fd}<FILE in a shell"),
                ));
            }
            What::File { fd } => Put::File { fd: *fd },
        };
        let mut dest = absolute(host, &entry.dest, asked)?;
        if matches!(&entry.what, What::Bind { source, .. } | What::Device { source } if *source == entry.dest) {
            // The same place, and so the host's `..`.
            dest = host.without_dotdot(&dest).unwrap_or(dest);
        }
        all.push(Wanted { put, dest, asked: asked.cloned() });
    }
    all.sort_by(|a, b| a.dest.cmp(&b.dest));
    for pair in all.windows(2) {
        if let ([first, second], true) = (pair, pair[0].dest == pair[1].dest) {
            return Err(taken(second, &second.dest, first.asked.as_ref()));
        }
    }
    let typed: BTreeSet<PathBuf> = all.iter().map(|w| w.dest.clone()).collect();
    if typed.contains(Path::new("/")) {
        let asked = all.iter().find(|w| w.dest == Path::new("/")).and_then(|w| w.asked.as_ref());
        return Err(files_error(asked, "choose what is at /".into(), "the root is not a destination", "use --root DIR"));
    }

    // A flag's destination takes the place of a default; of a setting that was
    // typed it is a duplicate, which `place` finds.
    let mut default = |put: Put, dest: &Path, asked: Option<&Asked>| {
        if asked.is_some() || !typed.contains(dest) {
            all.push(Wanted { put, dest: dest.to_owned(), asked: asked.cloned() });
        }
    };
    if policy.root.is_none() {
        for path in SYSTEM.map(Path::new) {
            match host.look(path) {
                Fact::Link(target) if path.parent() == Some(Path::new("/")) => {
                    default(Put::Symlink { target: target.into_os_string() }, path, None);
                }
                Fact::Dir | Fact::Link(_) => match host.canonical(path) {
                    Ok(source) => default(Put::Bind { source, access: Access::ReadOnly }, path, None),
                    // A link that leads nowhere shows nothing.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(errno) => return Err(unseen(path, errno)),
                },
                Fact::Denied(errno) => return Err(unseen(path, errno)),
                Fact::Missing | Fact::File | Fact::Device => {}
            }
        }
        // Where /etc/resolv.conf is a link into /run, names would not resolve.
        let resolv = Path::new("/etc/resolv.conf");
        let own_etc = policy.entries.iter().any(|entry| {
            entry.dest == Path::new("/etc") && !matches!(&entry.what, What::Bind { source, .. } if *source == entry.dest)
        });
        if policy.net.value != Net::None && !own_etc && policy.run.value != Anchor::Host {
            if let (Fact::Link(_), Ok(source)) = (host.look(resolv), host.canonical(resolv)) {
                if !source.starts_with("/etc") && !source.starts_with("/usr") {
                    default(Put::Bind { source, access: Access::ReadOnly }, resolv, None);
                }
            }
        }
    }
    let shared = |path: &str, access| Put::Bind { source: PathBuf::from(path), access };
    let proc = match policy.proc.value {
        // Without a process table of its own the jail shares its view, too.
        Anchor::Private | Anchor::Host if policy.pid.value == Anchor::Host => Some(shared("/proc", Access::ReadOnly)),
        Anchor::Private => Some(Put::Proc),
        Anchor::Host => Some(shared("/proc", Access::ReadOnly)),
        Anchor::None => None,
    };
    let memory = |mode| Put::Tmpfs { size: None, mode };
    for (path, put, asked) in [
        ("/proc", proc, &policy.proc.asked),
        ("/dev", anchor(policy.dev.value, || Put::Dev, || Put::HostDev), &policy.dev.asked),
        ("/tmp", anchor(policy.tmp.value, || memory(0o1777), || shared("/tmp", Access::Writable)), &policy.tmp.asked),
        ("/run", anchor(policy.run.value, || memory(0o755), || shared("/run", Access::Writable)), &policy.run.asked),
    ] {
        if let Some(put) = put {
            default(put, Path::new(path), asked.as_ref());
        }
    }
    if policy.home.value == Anchor::Private {
        let asked = policy.home.asked.as_ref();
        match home(host) {
            // What a flag shows there is not covered by a default.
            Ok(home) if asked.is_none() && shown_by_flag(policy, host, &home) => {}
            Ok(home) => default(memory(0o700), &home, asked),
            Err(problem) => {
                if asked.is_some() {
                    return Err(files_error(
                        asked,
                        "make a private home".into(),
                        problem,
                        "set HOME to a directory of its own, or say --home none",
                    ));
                }
            }
        }
    }
    Ok(all)
}

fn anchor(value: Anchor, own: impl FnOnce() -> Put, host: impl FnOnce() -> Put) -> Option<Put> {
    match value {
        Anchor::Private => Some(own()),
        Anchor::None => None,
        Anchor::Host => Some(host()),
    }
}

/// Does a flag show the host's file or directory `path`, or one above it?
fn shown_by_flag(policy: &Policy, host: &Host, path: &Path) -> bool {
    let binds = policy.entries.iter().filter(|entry| matches!(entry.what, What::Bind { .. }));
    let above = |dest: &Path| host.absolute(dest).is_ok_and(|dest| path.starts_with(dest));
    binds.into_iter().any(|entry| above(&entry.dest))
        || policy.tmp.value == Anchor::Host && path.starts_with("/tmp")
        || policy.run.value == Anchor::Host && path.starts_with("/run")
}

/// The caller's home, where an empty one would hide nothing else.
fn home(host: &Host) -> Result<PathBuf, &'static str> {
    let home = PathBuf::from(host.var(OsStr::new("HOME")).ok_or("HOME is not set")?);
    if !home.is_absolute() || home.components().any(|c| c.as_os_str() == "..") {
        return Err("HOME is not a path from / on");
    }
    let home: PathBuf = home.components().collect();
    let anchors = ["/proc", "/dev", "/tmp", "/run"].map(Path::new);
    let system = SYSTEM.iter().any(|dir| home.starts_with(dir));
    if home == Path::new("/")
        || system
        || anchors.contains(&home.as_path())
        || home.starts_with("/proc")
        || home.starts_with("/dev")
    {
        return Err("HOME is a system directory");
    }
    Ok(home)
}

struct Builder<'a> {
    host: &'a Host,
    view: View<'a>,
    steps: Vec<Step>,
    /// Memory that is read-only to the command once everything is in it.
    sealed: Vec<CString>,
    /// Destinations that flags asked for.
    typed: Vec<(PathBuf, Asked)>,
    /// What flags hide.
    hidden: Vec<(PathBuf, Asked)>,
}

impl<'a> Builder<'a> {
    fn new(policy: &Policy, host: &'a Host) -> Result<Self, Error> {
        let (backing, op, asked) = match &policy.root {
            None => (Backing::Memory, Op::RootMemory, None),
            Some(root) => {
                let asked = root.asked.as_ref();
                let path = source(host, &root.value, false, asked)?.unwrap_or_default();
                if host.look(&path) != Fact::Dir {
                    return Err(files_error(
                        asked,
                        format!("take {} for the root", shown(&path)),
                        "not a directory",
                        "name the directory of a tree",
                    ));
                }
                let access = if policy.writable.is_some() { Access::Writable } else { Access::ReadOnly };
                let op = Op::RootTree { source: c_string(path.as_os_str())?, access };
                (Backing::Host(path), op, root.asked.clone())
            }
        };
        let sealed = if policy.root.is_none() { vec![c"/".to_owned()] } else { Vec::new() };
        Ok(Self {
            host,
            view: View::new(host, backing),
            steps: vec![Step { op, asked }],
            sealed,
            typed: Vec::new(),
            hidden: Vec::new(),
        })
    }

    /// Puts everything at its place, parents first. The order in which the flags
    /// were typed plays no part.
    fn place(&mut self, mut pending: Vec<Wanted>) -> Result<(), Error> {
        pending.sort_by(|a, b| a.dest.cmp(&b.dest));
        let mut groups: Vec<(PathBuf, PathBuf, Vec<Step>, Option<Asked>)> = Vec::new();
        let mut placed: BTreeSet<PathBuf> = BTreeSet::new();
        while !pending.is_empty() {
            let mut waiting = Vec::new();
            let dests: BTreeSet<PathBuf> = pending.iter().map(|w| w.dest.clone()).collect();
            let count = pending.len();
            for wanted in pending {
                // A link may lead below another destination: that one goes first.
                let found = self.view.resolve(&wanted.dest);
                let (Found::There(at, _) | Found::Missing(at) | Found::Makeable(at)) = &found else {
                    self.refuse_dest(&wanted, &found)?;
                    continue;
                };
                let covered = at.ancestors().skip(1).any(|a| dests.contains(a) && !placed.contains(a));
                if covered && waiting.len() + 1 < count {
                    waiting.push(wanted);
                    continue;
                }
                let mut steps = Vec::new();
                placed.insert(wanted.dest.clone());
                // Each its own, for another destination may come to lie between.
                for dir in self.missing_parents(&found) {
                    let mut step = Vec::new();
                    self.dir(&dir, 0o755, wanted.asked.as_ref(), &mut step)?;
                    groups.push((dir.clone(), dir, step, None));
                }
                if let Some(at) = self.put(&wanted, found, &mut steps)? {
                    groups.push((wanted.dest, at, steps, wanted.asked));
                }
            }
            pending = waiting;
        }
        // What was put later may lie over what was resolved before.
        for (dest, at, _, asked) in &groups {
            let settled = match self.view.resolve(dest) {
                Found::There(now, _) => now == *at,
                Found::Missing(_) | Found::Makeable(_) | Found::Denied(_) | Found::Nowhere(_) => false,
            };
            // A link that was made leads elsewhere than to its own place.
            if !settled && self.view.is_mount(at) {
                return Err(files_error(
                    asked.as_ref(),
                    format!("place {}", shown(dest)),
                    "another destination covers or redirects it",
                    "name destinations without symbolic links",
                ));
            }
        }
        groups.sort_by(|a, b| a.1.cmp(&b.1));
        for (_, _, mut steps, _) in groups {
            self.steps.append(&mut steps);
        }
        Ok(())
    }

    fn refuse_dest(&self, wanted: &Wanted, found: &Found) -> Result<(), Error> {
        let problem = match found {
            // Where the caller may not go, the command cannot either.
            Found::Denied(Errno::ACCESS) if wanted.asked.is_none() => return Ok(()),
            Found::Denied(errno) => {
                let doing = format!("look at {} inside", shown(&wanted.dest));
                let remedy = "the caller must be allowed to search every directory above it";
                return Err(files_error(wanted.asked.as_ref(), doing, errno.to_string(), remedy));
            }
            Found::Nowhere(why) => *why,
            Found::Missing(_) if wanted.put.needs(self.host).is_none() => "it would have to be made there",
            Found::Missing(_) => "nothing is there to mount on",
            Found::There(..) | Found::Makeable(_) => return Ok(()),
        };
        if wanted.asked.is_none() {
            // In a tree without the directory a default does not appear.
            return Ok(());
        }
        let remedy = match found {
            Found::Missing(at) => match self.view.backing(at) {
                Backing::Host(_) if wanted.put.needs(self.host).is_none() => {
                    "jail makes nothing in a host's tree: make it there yourself, or name a place in a --tmpfs".into()
                }
                Backing::Host(path) => format!("create {} on the host first: jail makes nothing in a host's tree", shown(&path)),
                Backing::Memory => "choose another destination".into(),
            },
            Found::There(..) | Found::Makeable(_) | Found::Denied(_) | Found::Nowhere(_) => "choose another destination".into(),
        };
        Err(files_error(wanted.asked.as_ref(), format!("place {} inside", shown(&wanted.dest)), problem, remedy))
    }

    /// Appends the steps that put one thing at its place, and gives the place.
    fn put(&mut self, wanted: &Wanted, found: Found, steps: &mut Vec<Step>) -> Result<Option<PathBuf>, Error> {
        let asked = wanted.asked.as_ref();
        let doing = || format!("place {} inside", shown(&wanted.dest));
        if let (Some(_), Found::There(at, _)) = (asked, &found) {
            if let Some((_, other)) = self.typed.iter().find(|(path, _)| path == at) {
                return Err(taken(wanted, at, Some(other)));
            }
        }
        let need = wanted.put.needs(self.host);
        let at = match (&found, &need) {
            (Found::There(at, _), None) => {
                return match asked {
                    None => Ok(None),
                    Some(_) => Err(files_error(
                        asked,
                        doing(),
                        format!("{} exists already", shown(at)),
                        "choose another destination, or leave the flag out",
                    )),
                };
            }
            (Found::There(at, there), Some(need)) => {
                let fits = (*there == Fact::Dir) == (*need == Fact::Dir);
                if !fits && asked.is_none() {
                    return Ok(None);
                }
                if !fits {
                    let problem = if *need == Fact::Dir {
                        "a directory is put there, and it is none"
                    } else {
                        "a file is put there, and it is a directory"
                    };
                    return Err(files_error(asked, doing(), problem, "name a destination of the same kind"));
                }
                at.clone()
            }
            (Found::Makeable(at), _) => {
                match need {
                    Some(Fact::Dir) => self.dir(at, 0o755, asked, steps)?,
                    Some(_) => {
                        steps.push(step(Op::MountPoint { place: place(at)? }, asked));
                        self.view.make(at.clone(), Fact::File);
                    }
                    None => {}
                }
                at.clone()
            }
            (Found::Missing(_) | Found::Denied(_) | Found::Nowhere(_), _) => {
                self.refuse_dest(wanted, &found)?;
                return Ok(None);
            }
        };
        let dest = c_string(at.as_os_str())?;
        let backing = match &wanted.put {
            Put::Dir => {
                self.dir(&at, 0o755, asked, steps)?;
                None
            }
            Put::Symlink { target } => {
                steps.push(step(Op::Symlink { target: c_string(target)?, place: place(&at)? }, asked));
                self.view.make(at.clone(), Fact::Link(target.into()));
                None
            }
            Put::File { fd } => {
                steps.push(step(Op::File { fd: *fd, place: place(&at)? }, asked));
                self.view.make(at.clone(), Fact::File);
                None
            }
            Put::Bind { source, access } => {
                steps.push(step(Op::Bind { source: c_string(source.as_os_str())?, dest, access: *access }, asked));
                Some(Backing::Host(source.clone()))
            }
            Put::Device { source } => {
                steps.push(step(Op::Device { source: c_string(source.as_os_str())?, dest }, asked));
                Some(Backing::Host(source.clone()))
            }
            Put::Tmpfs { size, mode } => {
                steps.push(step(Op::Tmpfs { dest, size: *size, mode: *mode }, asked));
                Some(Backing::Memory)
            }
            Put::Proc => {
                steps.push(step(Op::Proc { dest }, asked));
                // The same names as in the host's, but for the processes.
                Some(Backing::Host("/proc".into()))
            }
            Put::HostDev => {
                steps.push(step(Op::Devices { source: c"/dev".to_owned(), dest }, asked));
                Some(Backing::Host("/dev".into()))
            }
            Put::Dev => {
                steps.push(step(Op::Tmpfs { dest: dest.clone(), size: None, mode: 0o755 }, asked));
                self.sealed.push(dest);
                Some(Backing::Memory)
            }
        };
        if let Some(backing) = backing {
            if !self.view.mount(at.clone(), backing) {
                return match asked {
                    None => {
                        steps.clear();
                        Ok(None)
                    }
                    Some(_) => Err(taken(wanted, &at, None)),
                };
            }
        }
        if matches!(wanted.put, Put::Dev) {
            self.devices(&at, asked, steps)?;
        }
        if let Some(asked) = asked {
            self.typed.push((at.clone(), asked.clone()));
        }
        Ok(Some(at))
    }

    /// The directories that must be made above what can be made, parents first.
    fn missing_parents(&self, found: &Found) -> Vec<PathBuf> {
        let Found::Makeable(at) = found else { return Vec::new() };
        let above = at.ancestors().skip(1);
        let mut missing: Vec<PathBuf> =
            above.take_while(|dir| !matches!(self.view.resolve(dir), Found::There(..))).map(Path::to_owned).collect();
        missing.reverse();
        missing
    }

    fn dir(&mut self, at: &Path, mode: u32, asked: Option<&Asked>, steps: &mut Vec<Step>) -> Result<(), Error> {
        steps.push(step(Op::Dir { place: place(at)?, mode }, asked));
        self.view.make(at.to_owned(), Fact::Dir);
        Ok(())
    }

    /// Fills a private /dev.
    fn devices(&mut self, dev: &Path, asked: Option<&Asked>, steps: &mut Vec<Step>) -> Result<(), Error> {
        for name in DEVICES {
            let at = dev.join(name);
            let source = Path::new("/dev").join(name);
            steps.push(step(Op::MountPoint { place: place(&at)? }, asked));
            steps.push(step(Op::Device { source: c_string(source.as_os_str())?, dest: c_string(at.as_os_str())? }, asked));
            self.view.mount(at, Backing::Host(source));
        }
        for (target, name) in DEVICE_LINKS {
            let at = dev.join(name);
            steps.push(step(Op::Symlink { target: c_string(OsStr::new(target))?, place: place(&at)? }, asked));
            self.view.make(at, Fact::Link(target.into()));
        }
        for (name, op) in [
            ("pts", Op::Devpts { dest: c_string(dev.join("pts").as_os_str())? }),
            ("shm", Op::Tmpfs { dest: c_string(dev.join("shm").as_os_str())?, size: None, mode: 0o1777 }),
        ] {
            let at = dev.join(name);
            self.dir(&at, 0o755, asked, steps)?;
            steps.push(step(op, asked));
            self.view.mount(at, Backing::Memory);
        }
        Ok(())
    }

    fn seal(&mut self) {
        for dest in self.sealed.drain(..).rev() {
            self.steps.push(Step { op: Op::Seal { dest }, asked: None });
        }
    }

    /// Takes out of /proc what no namespace does, wherever one is shown.
    fn mask_proc(&mut self, host: &Host) -> Result<(), Error> {
        let root = host.uid == 0;
        let hidden = PROC_HIDDEN.iter().chain(if root { &PROC_HIDDEN_ROOT[..] } else { &[] });
        let read_only = PROC_READ_ONLY_ROOT.iter().filter(|_| root);
        let masks = hidden.map(|name| (name, true)).chain(read_only.map(|name| (name, false)));
        for (path, hide) in masks.map(|(name, hide)| (Path::new("/proc").join(name), hide)) {
            let fact = host.look(&path);
            if fact == Fact::Missing {
                continue;
            }
            for at in self.view.places_of(&path) {
                let dest = c_string(at.as_os_str())?;
                let dir = fact == Fact::Dir;
                let op = if hide {
                    Op::Hide { dest, dir }
                } else {
                    Op::Restrict { dest, mounted: false, access: Access::ReadOnly, noexec: true }
                };
                self.steps.push(Step { op, asked: None });
            }
        }
        Ok(())
    }

    /// Where a ban applies; None where it may be missing and is.
    fn banned(&self, ban: &Ban) -> Result<Option<(PathBuf, Fact)>, Error> {
        let path = absolute(self.host, &ban.path, Some(&ban.asked))?;
        match self.view.resolve(&path) {
            Found::There(at, _) if self.is_process(&at) => Err(files_error(
                Some(&ban.asked),
                format!("find {} inside", shown(&path)),
                "it names a process, and those inside are others",
                "name a file of /proc that is none of a process's",
            )),
            Found::There(at, fact) => Ok(Some((at, fact))),
            Found::Missing(_) | Found::Makeable(_) if ban.may_miss => Ok(None),
            Found::Missing(at) | Found::Makeable(at) => Err(files_error(
                Some(&ban.asked),
                format!("find {} inside", shown(&path)),
                format!("nothing is visible at {}", shown(&at)),
                "name what another flag or a default shows, or leave the flag out",
            )),
            Found::Denied(errno) => Err(files_error(
                Some(&ban.asked),
                format!("find {} inside", shown(&path)),
                errno.to_string(),
                "the caller must be allowed to search every directory above it",
            )),
            Found::Nowhere(why) => {
                Err(files_error(Some(&ban.asked), format!("find {} inside", shown(&path)), why, "name the place itself"))
            }
        }
    }

    /// Does `at` name a process in a /proc?
    fn is_process(&self, at: &Path) -> bool {
        let Backing::Host(shown) = self.view.backing(at) else { return false };
        let Ok(below) = shown.strip_prefix("/proc") else { return false };
        below.components().next().is_some_and(|name| name.as_os_str().as_bytes().iter().all(u8::is_ascii_digit))
    }

    /// The bans that apply, parents first; two for one place, or one below what is
    /// hidden, are an error.
    fn applicable(&self, bans: &[Ban], doing: &str) -> Result<Vec<(PathBuf, Fact, Asked)>, Error> {
        let mut all: Vec<(PathBuf, Fact, Asked)> = Vec::new();
        for ban in bans {
            if let Some((at, fact)) = self.banned(ban)? {
                all.push((at, fact, ban.asked.clone()));
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        for pair in all.windows(2) {
            if pair[0].0 == pair[1].0 {
                let problem = format!("{} names it already", pair[0].2.text());
                return Err(files_error(
                    Some(&pair[1].2),
                    format!("{doing} {}", shown(&pair[1].0)),
                    problem,
                    "leave out one of the two",
                ));
            }
        }
        Ok(all)
    }

    /// Refuses what is not to be found because `at` is hidden, or a directory above.
    fn not_hidden(&self, at: Option<&Path>, asked: Option<&Asked>, doing: &str) -> Result<(), Error> {
        let Some(at) = at else { return Ok(()) };
        match self.hidden.iter().find(|(hidden, _)| at.starts_with(hidden)) {
            None => Ok(()),
            Some((_, other)) => {
                let problem = format!("{} hides it", other.text());
                Err(files_error(asked, doing.to_owned(), problem, "leave out one of the two"))
            }
        }
    }

    fn hide(&mut self, bans: &[Ban]) -> Result<(), Error> {
        for (at, fact, asked) in self.applicable(bans, "hide")? {
            self.not_hidden(at.parent(), Some(&asked), &format!("hide {}", shown(&at)))?;
            let refuse =
                |problem: String, remedy: &str| Err(files_error(Some(&asked), format!("hide {}", shown(&at)), problem, remedy));
            if at == Path::new("/") {
                return refuse("it is the root of the jail".into(), "name something in it");
            }
            if let Some((_, other)) = self.typed.iter().find(|(path, _)| path.starts_with(&at)) {
                return refuse(format!("it would hide what {} shows", other.text()), "leave out one of the two");
            }
            let op = Op::Hide { dest: c_string(at.as_os_str())?, dir: fact == Fact::Dir };
            self.steps.push(Step { op, asked: Some(asked.clone()) });
            self.hidden.push((at, asked));
        }
        Ok(())
    }

    fn noexec(&mut self, bans: &[Ban]) -> Result<(), Error> {
        let all = self.applicable(bans, "forbid execution below")?;
        for (index, (at, _, asked)) in all.iter().enumerate() {
            self.not_hidden(Some(at), Some(asked), &format!("forbid execution below {}", shown(at)))?;
            if let Some((_, _, other)) = all[..index].iter().find(|(above, ..)| at.starts_with(above)) {
                return Err(files_error(
                    Some(asked),
                    format!("forbid execution below {}", shown(at)),
                    format!("has no effect: {} covers it", other.text()),
                    "leave it out",
                ));
            }
            let mounted = self.view.is_mount(at);
            let op = Op::Restrict { dest: c_string(at.as_os_str())?, mounted, access: Access::Writable, noexec: true };
            self.steps.push(Step { op, asked: Some(asked.clone()) });
        }
        Ok(())
    }

    /// The directory to start in.
    fn chdir(&self, policy: &Policy) -> Result<Step, Error> {
        let Some(chdir) = &policy.chdir else {
            let refuse = |errno: Errno| {
                Err(files_error(
                    None,
                    "find the current directory".into(),
                    errno.to_string(),
                    "name one that is visible with --chdir",
                ))
            };
            let visible = match &self.host.cwd {
                Err(Errno::NOENT) => None,
                Err(errno) => return refuse(*errno),
                Ok(cwd) => match self.view.resolve(cwd) {
                    Found::Denied(errno) if errno != Errno::ACCESS => return refuse(errno),
                    Found::There(at, Fact::Dir)
                        if self.view.backing(&at) == Backing::Host(cwd.clone())
                            && !self.hidden.iter().any(|(hidden, _)| at.starts_with(hidden)) =>
                    {
                        Some(cwd)
                    }
                    Found::There(..) | Found::Missing(_) | Found::Makeable(_) | Found::Denied(_) | Found::Nowhere(_) => None,
                },
            };
            let path = visible.map_or(Path::new("/"), PathBuf::as_path);
            // Where / cannot be entered, it is the tree's doing.
            let asked = policy.root.as_ref().filter(|_| path == Path::new("/")).and_then(|root| root.asked.clone());
            return Ok(Step { op: Op::Chdir { path: c_string(path.as_os_str())? }, asked });
        };
        let asked = chdir.asked.as_ref();
        let path = absolute(self.host, &chdir.value, asked)?;
        let problem = match self.view.resolve(&path) {
            Found::There(at, Fact::Dir) => {
                self.not_hidden(Some(&at), asked, &format!("start in {}", shown(&at)))?;
                return Ok(step(Op::Chdir { path: c_string(at.as_os_str())? }, asked));
            }
            Found::There(..) => "not a directory",
            Found::Missing(_) | Found::Makeable(_) => "it is not visible inside",
            Found::Denied(_) => "the caller may not search every directory above it",
            Found::Nowhere(why) => why,
        };
        Err(files_error(
            asked,
            format!("start in {}", shown(&path)),
            problem,
            "show the directory with --ro or --rw, or make it with --dir",
        ))
    }
}

fn step(op: Op, asked: Option<&Asked>) -> Step {
    Step { op, asked: asked.cloned() }
}

fn place(at: &Path) -> Result<Place, Error> {
    Ok(Place {
        path: c_string(at.as_os_str())?,
        parent: c_string(at.parent().unwrap_or(Path::new("/")).as_os_str())?,
        name: c_string(at.file_name().unwrap_or_default())?,
    })
}

/// A descriptor of the caller's that can be written to.
fn writable_descriptor(setting: &Setting<i32>, host: &Host) -> Result<(), Error> {
    let (fd, asked) = (setting.value, setting.asked.as_ref());
    let problem = match host.opened(fd) {
        Opened::ReadOnly => "it is open for reading only",
        Opened::Not => "it is not open",
        Opened::ForWriting => return Ok(()),
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
    let chosen = |name: &OsStr| {
        ENV_PASSED.iter().any(|glob| glob_matches(OsStr::new(glob), name))
            || policy.env.iter().any(|(env, _)| match env {
                Env::Pass(wanted) => wanted == name,
                Env::Glob(glob) => glob_matches(glob, name),
                Env::Set(..) => false,
            })
    };
    let set = |name: &OsStr| policy.env.iter().any(|(env, _)| matches!(env, Env::Set(n, _) if n == name));
    let mut seen = BTreeSet::new();
    for (name, value) in &host.env {
        // Of a variable that is there twice the first counts, as getenv has it.
        if chosen(name) && !set(name) && seen.insert(name) {
            env.push((name.clone(), value.clone()));
        }
    }
    for (wanted, asked) in &policy.env {
        match wanted {
            Env::Set(name, value) => env.push((name.clone(), value.clone())),
            Env::Pass(name) if host.var(name).is_none() => {
                return Err(Error::usage(
                    asked.text().to_owned(),
                    "the variable is not set",
                    format!("set it, give it here as {}=VALUE, or leave the flag out", shown(name)),
                ));
            }
            Env::Pass(_) | Env::Glob(_) => {}
        }
    }
    env.sort();
    Ok(env)
}

/// Where the command may lie inside, in the order to try.
fn candidates(command: &OsStr, env: &[(OsString, OsString)]) -> Result<Vec<CString>, Error> {
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

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
