//! The steps of a plan, as data.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Asked;
use crate::plan::ruleset::Ruleset;
use crate::policy::endpoint::Endpoint;
use crate::policy::files::Access;
use crate::policy::identity::{Ids, Range};
use crate::policy::net::Hole;
use crate::seccomp::overrides::Filter;
use crate::sys::caps;
use crate::sys::rlimits::Limit;

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

/// One thing to do, and who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The thing.
    pub op: Op,
    /// The flag; none where it is a default.
    pub asked: Option<Asked>,
}

/// What a directory of `--overlay` holds: what was changed, laid out as the tree is.
pub const CHANGES: &str = "changes";

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

/// Where a hole leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outward {
    /// To the first of these that takes the connection.
    Tcp(Vec<SocketAddr>),
    /// To the Unix socket of this name in this directory.
    Unix {
        /// On the host; it holds no link.
        dir: CString,
        /// In it.
        name: CString,
    },
}

impl Outward {
    /// Each place, for a person.
    pub fn shown(&self) -> Vec<String> {
        match self {
            Self::Tcp(addresses) => addresses.iter().map(ToString::to_string).collect(),
            Self::Unix { dir, name } => {
                let part = |part: &CString| PathBuf::from(OsStr::from_bytes(part.to_bytes()));
                vec![Endpoint::Unix(part(dir).join(part(name))).to_string()]
            }
        }
    }
}
