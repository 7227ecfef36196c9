//! What the user asked for: plain data from what was typed, before anything is
//! known of the machine. Contradictions that need no machine are found here.

pub(crate) mod endpoint;

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Resource;

use crate::cli::command_line::{Given, Typed};
use crate::error::{Asked, Error, Words};
use crate::plan::degrade;
use crate::policy::endpoint::Reach;
use crate::seccomp::overrides::{self, Change, Refusal, Subject};
use crate::seccomp::policy::bpf::Treatment;
use crate::seccomp::policy::table::{CORE, FAKEROOT, NESTED, NET_RAW, Powers, SET_ID, SYS_ADMIN, SYS_BOOT};
use crate::sys::caps;
use crate::sys::rlimits::{self, Limit};
use crate::util::name_map::Index;
use crate::util::text::{about, nearest, shown};
use crate::util::units;

/// A value and the flag that gave it; no flag where it is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Who asked.
    pub asked: Option<Asked>,
}

/// An anchor that is the jail's own, absent, or the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The jail has its own.
    Private,
    /// There is none.
    None,
    /// The host's.
    Host,
}

/// May what is shown be changed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may be read.
    ReadOnly,
    /// It may be changed, as far as its permissions let the caller.
    Writable,
}

/// Where what the command changes in the `--root` tree goes, and not into the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// To memory, of which it may take `size` bytes.
    Vanish {
        /// Bytes; the kernel's default is half the machine's memory.
        size: Option<u64>,
    },
    /// Into this directory of the host's.
    Keep {
        /// Where it is, as typed.
        dir: PathBuf,
    },
}

/// What a flag puts into the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A host file or directory.
    Bind {
        /// Where it is on the host, as typed.
        source: PathBuf,
        /// Read-only or not.
        access: Access,
    },
    /// A host device node.
    Device {
        /// Where it is on the host, as typed.
        source: PathBuf,
    },
    /// An empty directory in memory, of at most `size` bytes.
    Tmpfs {
        /// Bytes; the kernel's default is half the machine's memory.
        size: Option<u64>,
    },
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: OsString,
    },
    /// A file with what a descriptor gives.
    File {
        /// The descriptor.
        fd: i32,
    },
}

/// One destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is put there.
    pub what: What,
    /// Where, as typed.
    pub dest: PathBuf,
    /// A missing source is no error.
    pub may_miss: bool,
    /// The flag.
    pub asked: Asked,
}

/// A path that is hidden or whose execution is forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The path inside, as typed.
    pub path: PathBuf,
    /// That it is missing is no error.
    pub may_miss: bool,
    /// The flag.
    pub asked: Asked,
}

/// One `--env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Env {
    /// Pass this variable.
    Pass(OsString),
    /// Pass all whose name matches.
    Glob(OsString),
    /// Set this variable.
    Set(OsString, OsString),
}

/// The network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// The jail's own, with nothing but a loopback.
    None,
    /// The host's.
    Host,
    /// The jail's own, connected by pasta(1).
    Pasta,
}

/// An address outside that reaches a port of the jail's loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hole {
    /// For datagrams, and not connections: then pasta(1) passes them on.
    pub udp: bool,
    /// The address; port 0: a free one.
    pub at: SocketAddr,
    /// The port inside.
    pub to: u16,
}

/// What is process 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// jail's own reaper; the command is process 2.
    Reaper,
    /// The command itself.
    None,
}

/// The system-call policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// The default one, as flags change it.
    Default,
    /// None.
    None,
}

/// Landlock's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// As many as this kernel has.
    Default,
    /// None.
    None,
}

/// A layer that a user may do without where the machine has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degradable {
    /// All namespaces: without those of users and mounts there is none of the others.
    Namespaces,
    /// The network namespace.
    Net,
    /// The process table.
    Pid,
    /// The IPC namespace.
    Ipc,
    /// The view of the cgroup tree.
    Cgroup,
    /// The name.
    Hostname,
    /// The jail's own /proc, which a covered one forbids.
    Proc,
    /// The limit that forbids user namespaces inside.
    UsernsLimit,
    /// The system-call policy.
    Seccomp,
    /// Landlock.
    Landlock,
    /// The root directory, where namespaces are done without.
    Root,
}

impl Degradable {
    /// Each, by its name.
    pub const ALL: [(&'static str, Self); 11] = [
        ("namespaces", Self::Namespaces),
        ("net", Self::Net),
        ("pid", Self::Pid),
        ("ipc", Self::Ipc),
        ("cgroup", Self::Cgroup),
        ("hostname", Self::Hostname),
        ("proc", Self::Proc),
        ("userns-limit", Self::UsernsLimit),
        ("seccomp", Self::Seccomp),
        ("landlock", Self::Landlock),
        ("root", Self::Root),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, layer)| *layer == self).map_or("", |(name, _)| name)
    }

    /// Does `namespaces` name it, too?
    pub fn is_a_namespace(self) -> bool {
        match self {
            Self::Namespaces | Self::Net | Self::Pid | Self::Ipc | Self::Cgroup | Self::Hostname => true,
            Self::Proc | Self::UsernsLimit | Self::Seccomp | Self::Landlock | Self::Root => false,
        }
    }
}

/// How `--explain`, `--check` and `--diff` print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

/// All that was asked for.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The content of each `--args` file, in the order given.
    pub args_files: Vec<Vec<u8>>,
    pub net: Setting<Net>,
    pub pid: Setting<Anchor>,
    pub ipc: Setting<Anchor>,
    pub cgroup: Setting<Anchor>,
    pub proc: Setting<Anchor>,
    pub dev: Setting<Anchor>,
    pub tmp: Setting<Anchor>,
    pub run: Setting<Anchor>,
    pub home: Setting<Anchor>,
    pub hostname: Setting<OsString>,
    pub uptime: Option<Setting<Duration>>,
    pub uid: Option<Setting<u32>>,
    pub gid: Option<Setting<u32>>,
    pub as_root: Option<Asked>,
    pub subids: Option<Asked>,
    pub fakeroot: Option<Asked>,
    pub root: Option<Setting<PathBuf>>,
    pub writable: Option<Asked>,
    pub ephemeral: Option<Setting<Option<u64>>>,
    pub overlay: Option<Setting<PathBuf>>,
    pub entries: Vec<Entry>,
    pub hidden: Vec<Ban>,
    pub noexec: Vec<Ban>,
    pub env: Vec<(Env, Asked)>,
    pub fds: Vec<(i32, Asked)>,
    pub chdir: Option<Setting<PathBuf>>,
    pub umask: Option<Setting<u32>>,
    pub processors: Option<Setting<usize>>,
    pub caps: Vec<(u32, Asked)>,
    pub landlock: Setting<Landlock>,
    pub connect: Vec<(u16, Asked)>,
    pub listen: Vec<(u16, Asked)>,
    pub publish: Vec<(Hole, Asked)>,
    pub reach: Vec<(Reach, Asked)>,
    pub degrade: Option<Setting<Vec<Degradable>>>,
    pub nested: Option<Asked>,
    pub seccomp: Setting<Seccomp>,
    pub syscalls: Vec<Change>,
    pub trace_denied: Option<Asked>,
    pub timeout: Option<Setting<Duration>>,
    pub grace: Option<Setting<Duration>>,
    pub rlimits: Vec<(Limit, Asked)>,
    pub memory: Option<Setting<u64>>,
    pub tasks: Option<Setting<u64>>,
    pub cpus: Option<Setting<u64>>,
    pub status_fd: Option<Setting<i32>>,
    pub pty: Option<Asked>,
    pub new_session: Option<Asked>,
    pub init: Setting<Init>,
    pub command: Vec<OsString>,
}

/// What is to be compared.
#[derive(Debug)]
pub struct Diff {
    /// The directory of `--overlay`.
    pub dir: PathBuf,
    /// The tree that it was laid over.
    pub root: Option<PathBuf>,
    /// How it is printed.
    pub format: Format,
    /// The flag.
    pub asked: Option<Asked>,
}

/// What the command line asks `jail` to do.
#[derive(Debug)]
pub enum Request {
    /// Run the command in a jail.
    Run(Box<Policy>),
    /// Say what would be done.
    Explain(Box<Policy>, Format),
    /// Perform the launch without the command, and tell how long its steps take.
    Time(Box<Policy>),
    /// Say what a directory of `--overlay` holds.
    Diff(Diff),
    /// Say what this machine offers, for this, a jail without flags.
    Check(Box<Policy>, Format),
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

fn setting<T>(value: T) -> Setting<T> {
    Setting { value, asked: None }
}

impl Policy {
    fn new(command: Vec<OsString>) -> Self {
        Self {
            args_files: Vec::new(),
            net: setting(Net::None),
            pid: setting(Anchor::Private),
            ipc: setting(Anchor::Private),
            cgroup: setting(Anchor::Private),
            proc: setting(Anchor::Private),
            dev: setting(Anchor::Private),
            tmp: setting(Anchor::Private),
            run: setting(Anchor::Private),
            home: setting(Anchor::Private),
            hostname: setting("jail".into()),
            uptime: None,
            uid: None,
            gid: None,
            as_root: None,
            subids: None,
            fakeroot: None,
            root: None,
            writable: None,
            ephemeral: None,
            overlay: None,
            entries: Vec::new(),
            hidden: Vec::new(),
            noexec: Vec::new(),
            env: Vec::new(),
            fds: Vec::new(),
            chdir: None,
            umask: None,
            processors: None,
            caps: Vec::new(),
            landlock: setting(Landlock::Default),
            connect: Vec::new(),
            listen: Vec::new(),
            publish: Vec::new(),
            reach: Vec::new(),
            degrade: None,
            nested: None,
            seccomp: setting(Seccomp::Default),
            syscalls: Vec::new(),
            trace_denied: None,
            timeout: None,
            grace: None,
            rlimits: Vec::new(),
            memory: None,
            tasks: None,
            cpus: None,
            status_fd: None,
            pty: None,
            new_session: None,
            init: setting(Init::Reaper),
            command,
        }
    }

    /// Where changes of the tree go, if not into it, and who asked.
    pub fn changes(&self) -> Option<(Changes, Option<&Asked>)> {
        let vanish = self.ephemeral.as_ref().map(|set| (Changes::Vanish { size: set.value }, set.asked.as_ref()));
        let keep = || self.overlay.as_ref().map(|set| (Changes::Keep { dir: set.value.clone() }, set.asked.as_ref()));
        vanish.or_else(keep)
    }

    /// What of the system-call policy other flags open.
    pub fn powers(&self) -> Powers {
        let caps = [(caps::SYS_ADMIN, SYS_ADMIN), (caps::SYS_BOOT, SYS_BOOT), (caps::NET_RAW, NET_RAW)];
        let named = |number: u32| self.caps.iter().any(|(named, _)| *named == number);
        let of_caps = caps.into_iter().filter(|(number, _)| named(*number)).fold(0, |powers, (_, power)| powers | power);
        let of_flags = [
            (self.nested.as_ref(), NESTED),
            (self.fakeroot.as_ref(), FAKEROOT),
            (self.jailed_root(), SET_ID),
            (self.core_limit(), CORE),
        ];
        of_flags.into_iter().filter(|(asked, _)| asked.is_some()).fold(of_caps, |powers, (_, power)| powers | power)
    }

    /// Returns the `--rlimit core=...` that replaces the default core limit.
    pub fn core_limit(&self) -> Option<&Asked> {
        self.rlimits.iter().find(|(limit, _)| limit.resource == Resource::Core).map(|(_, asked)| asked)
    }

    /// The flag that makes the command uid and gid 0, with a jailed root's powers.
    pub fn jailed_root(&self) -> Option<&Asked> {
        self.roots().iter().find_map(|root| *root)
    }

    fn roots(&self) -> [Option<&Asked>; 3] {
        [self.as_root.as_ref(), self.subids.as_ref(), self.fakeroot.as_ref()]
    }
}

/// Gives what was typed its meaning.
///
/// # Errors
/// A value that is none of those its flag takes; flags that contradict each
/// other or have no effect together; no command.
pub fn interpret(typed: Typed) -> Result<Request, Error> {
    if typed.flags.iter().any(|given| given.flag.long == "help") {
        return Ok(Request::Help);
    }
    if typed.flags.iter().any(|given| given.flag.long == "version") {
        return Ok(Request::Version);
    }
    if let Some(given) = typed.flags.iter().find(|given| given.flag.long == "check") {
        if let Some(other) = typed.flags.iter().find(|given| given.flag.long != "check") {
            return Err(bad(other, "has no effect with --check", "leave it out"));
        }
        if let Some(command) = typed.command.first() {
            return Err(bad(given, about("", command, " would not be run"), "leave out one of the two"));
        }
        return Ok(Request::Check(Policy::new(vec!["check".into()]).into(), format(given)?));
    }
    if let Some(given) = typed.flags.iter().find(|given| given.flag.long == "diff") {
        return diff(given, &typed).map(Request::Diff);
    }
    let mut policy = Box::new(Policy::new(typed.command));
    policy.args_files = typed.args_files;
    let mut explain = None;
    for given in &typed.flags {
        if given.flag.long == "explain" {
            explain = Some(explained(given)?);
        } else {
            set(&mut policy, given)?;
        }
    }
    contradictions(&policy)?;
    match policy.command.first() {
        None => return Err(Error::usage(None, "no command is named", "write jail [OPTION]... -- COMMAND; see jail --help")),
        Some(command) if command.is_empty() => {
            return Err(Error::usage(None, "the command's name is empty", "name a program after --"));
        }
        Some(_) => {}
    }
    Ok(match explain {
        Some(Explained::Plan(format)) => Request::Explain(policy, format),
        Some(Explained::Time) => Request::Time(policy),
        None => Request::Run(policy),
    })
}

/// What `--diff` asks for.
fn diff(given: &Given, typed: &Typed) -> Result<Diff, Error> {
    let mut root = None;
    for other in typed.flags.iter().filter(|other| other.flag.long != "diff") {
        if other.flag.long != "root" {
            return Err(bad(other, "has no effect with --diff", "leave it out"));
        }
        root = Some(path(other, 0)?);
    }
    if let Some(command) = typed.command.first() {
        return Err(bad(given, about("", command, " would not be run"), "leave out one of the two"));
    }
    let format = if given.values.len() > 1 { format(given)? } else { Format::Text };
    Ok(Diff { dir: path(given, given.values.len() - 1)?, root, format, asked: Some(given.asked()) })
}

/// The variables that are passed without asking.
pub const ENV_PASSED: [&str; 11] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM", "NO_COLOR", "LANG", "LC_*", "TZ"];

const SHARED: &[(&str, Anchor)] = &[("private", Anchor::Private), ("host", Anchor::Host)];
const VIEW: &[(&str, Anchor)] = &[("private", Anchor::Private), ("none", Anchor::None), ("host", Anchor::Host)];

fn set(policy: &mut Policy, given: &Given) -> Result<(), Error> {
    let asked = given.asked();
    match given.flag.long {
        "net" => policy.net = word(given, &[("none", Net::None), ("host", Net::Host), ("pasta", Net::Pasta)])?,
        "pid" => policy.pid = word(given, SHARED)?,
        "ipc" => policy.ipc = word(given, SHARED)?,
        "cgroup" => policy.cgroup = word(given, SHARED)?,
        "proc" => policy.proc = word(given, VIEW)?,
        "dev" => policy.dev = word(given, VIEW)?,
        "tmp" => policy.tmp = word(given, VIEW)?,
        "run" => policy.run = word(given, VIEW)?,
        "home" => policy.home = word(given, &[("private", Anchor::Private), ("none", Anchor::None)])?,
        "hostname" => policy.hostname = hostname(given)?,
        "uptime" => policy.uptime = Some(Setting { value: uptime(given)?, asked: Some(asked) }),
        "uid" => policy.uid = Some(Setting { value: id(given)?, asked: Some(asked) }),
        "gid" => policy.gid = Some(Setting { value: id(given)?, asked: Some(asked) }),
        "as-root" => policy.as_root = Some(asked),
        "subids" => policy.subids = Some(asked),
        "fakeroot" => policy.fakeroot = Some(asked),
        "root" => policy.root = Some(Setting { value: path(given, 0)?, asked: Some(asked) }),
        "writable" => policy.writable = Some(asked),
        "ephemeral" => policy.ephemeral = Some(Setting { value: ephemeral(given)?, asked: Some(asked) }),
        "overlay" => policy.overlay = Some(Setting { value: path(given, 0)?, asked: Some(asked) }),
        "ro" | "ro-try" => bind(policy, given, Access::ReadOnly, 0)?,
        "rw" | "rw-try" => bind(policy, given, Access::Writable, 0)?,
        "ro-bind" | "ro-bind-try" => bind(policy, given, Access::ReadOnly, 1)?,
        "rw-bind" | "rw-bind-try" => bind(policy, given, Access::Writable, 1)?,
        "device" | "device-try" => {
            let source = path(given, 0)?;
            entry(policy, given, What::Device { source: source.clone() }, source);
        }
        "tmpfs" => {
            let (dest, size) = tmpfs(given)?;
            entry(policy, given, What::Tmpfs { size }, dest);
        }
        "dir" => {
            let dest = path(given, 0)?;
            entry(policy, given, What::Dir, dest);
        }
        "symlink" => {
            path(given, 0)?;
            let dest = path(given, 1)?;
            entry(policy, given, What::Symlink { target: given.values[0].clone() }, dest);
        }
        "file" => {
            let dest = path(given, 1)?;
            entry(policy, given, What::File { fd: number(given, 0)? }, dest);
        }
        "hide" | "hide-try" => {
            policy.hidden.push(Ban { path: path(given, 0)?, may_miss: given.flag.long == "hide-try", asked });
        }
        "noexec" => policy.noexec.push(Ban { path: path(given, 0)?, may_miss: false, asked }),
        "env" => {
            let env = env(given)?;
            policy.env.push((env, asked));
        }
        "fd" => {
            let fd = number(given, 0)?;
            if fd < 3 {
                return Err(bad(given, "has no effect: 0, 1 and 2 are always kept", "leave it out"));
            }
            policy.fds.push((fd, asked));
        }
        "chdir" => policy.chdir = Some(Setting { value: path(given, 0)?, asked: Some(asked) }),
        "umask" => policy.umask = Some(Setting { value: umask(given)?, asked: Some(asked) }),
        "processors" => policy.processors = Some(Setting { value: processors(given)?, asked: Some(asked) }),
        "cap" => {
            let number = capability(given)?;
            policy.caps.push((number, asked));
        }
        "landlock" => policy.landlock = word(given, &[("default", Landlock::Default), ("none", Landlock::None)])?,
        "connect" => policy.connect.push((port(given)?, asked)),
        "listen" => policy.listen.push((port(given)?, asked)),
        "publish" => policy.publish.push((hole(given)?, asked)),
        "reach" => policy
            .reach
            .push((endpoint::reach(&given.values[0]).map_err(|(problem, remedy)| bad(given, problem, remedy))?, asked)),
        "degrade" => policy.degrade = Some(Setting { value: degrade(given)?, asked: Some(asked) }),
        "nested" => policy.nested = Some(asked),
        "seccomp" => policy.seccomp = word(given, &[("default", Seccomp::Default), ("none", Seccomp::None)])?,
        "allow-syscall" => syscall(policy, given, |text| Ok((overrides::subject(text)?, Treatment::Allow)))?,
        "deny-syscall" => syscall(policy, given, overrides::denied)?,
        "timeout" => policy.timeout = Some(Setting { value: duration(given)?, asked: Some(asked) }),
        "grace" => policy.grace = Some(Setting { value: duration(given)?, asked: Some(asked) }),
        "rlimit" => {
            let limit = rlimit(given)?;
            policy.rlimits.push((limit, asked));
        }
        "memory" => policy.memory = Some(Setting { value: limit(given, units::size, SIZE)?, asked: Some(asked) }),
        "tasks" => policy.tasks = Some(Setting { value: limit(given, tasks, "write a number from 1 up")?, asked: Some(asked) }),
        "cpus" => policy.cpus = Some(Setting { value: limit(given, units::processors, CPUS)?, asked: Some(asked) }),
        "trace-denied" => policy.trace_denied = Some(asked),
        "status-fd" => policy.status_fd = Some(Setting { value: status_fd(given)?, asked: Some(asked) }),
        "pty" => policy.pty = Some(asked),
        "new-session" => policy.new_session = Some(asked),
        "init" => policy.init = word(given, &[("reaper", Init::Reaper), ("none", Init::None)])?,
        // A row of FLAGS without an arm here; the test below sees to it.
        _ => return Err(bad(given, "is known and means nothing", "report this as a bug")),
    }
    Ok(())
}

fn bad(given: &Given, problem: impl Into<Words>, remedy: impl Into<Words>) -> Error {
    Error::usage(given.asked(), problem, remedy)
}

/// What is typed is `problem`.
fn wrong(given: &Given, problem: &str, remedy: impl Into<Words>) -> Error {
    bad(given, format!("{} {problem}", shown(&given.values[0])), remedy)
}

fn word<T: Copy>(given: &Given, known: &[(&str, T)]) -> Result<Setting<T>, Error> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let at = one_of(given, &names)?;
    Ok(Setting { value: known[at].1, asked: Some(given.asked()) })
}

/// Which of `names` is typed.
fn one_of(given: &Given, names: &[&str]) -> Result<usize, Error> {
    let typed = given.values[0].to_str().unwrap_or("");
    names
        .iter()
        .position(|name| *name == typed)
        .ok_or_else(|| bad(given, about("unknown value ", &given.values[0], ""), format!("write one of: {}", names.join(", "))))
}

fn path(given: &Given, index: usize) -> Result<PathBuf, Error> {
    let word = &given.values[index];
    if word.is_empty() {
        return Err(bad(given, "the path is empty", "name a path; . is the caller's directory"));
    }
    if word.as_bytes().contains(&0) {
        return Err(bad(given, "the path holds a NUL", "no file can be called so"));
    }
    Ok(PathBuf::from(word))
}

fn number(given: &Given, index: usize) -> Result<i32, Error> {
    given.values[index]
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|number| *number >= 0)
        .ok_or_else(|| bad(given, about("", &given.values[index], " is not a descriptor's number"), "write a number from 0 up"))
}

fn id(given: &Given) -> Result<u32, Error> {
    given.values[0]
        .to_str()
        .and_then(|text| text.parse().ok())
        // The last one is the kernel's word for "no id".
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| wrong(given, "is not an id", "write a number from 0 to 4294967294"))
}

fn hostname(given: &Given) -> Result<Setting<OsString>, Error> {
    let name = &given.values[0];
    // 64 is the kernel's __NEW_UTS_LEN.
    if name.is_empty() || name.len() > 64 || name.as_bytes().iter().any(|b| !b.is_ascii_graphic()) {
        return Err(bad(given, "not a hostname", "write 1 to 64 printable characters"));
    }
    Ok(Setting { value: name.clone(), asked: Some(given.asked()) })
}

fn capability(given: &Given) -> Result<u32, Error> {
    let typed = given.values[0].to_str().unwrap_or("");
    caps::number(typed).ok_or_else(|| {
        let lower = typed.to_ascii_lowercase();
        let remedy = match nearest(lower.strip_prefix("cap_").unwrap_or(&lower), caps::all()) {
            Some(near) => format!("did you mean {near}?"),
            None => "see capabilities(7) for the names".into(),
        };
        bad(given, "unknown capability", remedy)
    })
}

fn syscall(policy: &mut Policy, given: &Given, read: fn(&str) -> Result<(Subject, Treatment), Refusal>) -> Result<(), Error> {
    let text = given.values[0].to_str().unwrap_or("");
    let (subject, to) = read(text).map_err(|(problem, remedy)| bad(given, problem, remedy))?;
    policy.syscalls.push(Change { subject, to, asked: given.asked() });
    Ok(())
}

/// `DST` or `DST,size=N`, N in bytes or with k, m, g or t.
fn tmpfs(given: &Given) -> Result<(PathBuf, Option<u64>), Error> {
    const MARK: &[u8] = b",size=";
    let word = path(given, 0)?.into_os_string().into_vec();
    let Some(at) = word.windows(MARK.len()).rposition(|w| w == MARK) else {
        // ",sz=1m", or ":size=1m" as docker has it, would be a name and bound nothing.
        let option = word.rsplit(|byte| b",:/".contains(byte)).next().unwrap_or_default();
        let mark = word.len().checked_sub(option.len() + 1).map(|at| word[at]);
        return match option.iter().position(|byte| *byte == b'=') {
            Some(1..) if matches!(mark, Some(b',' | b':')) => {
                Err(bad(given, "only ,size=N may follow DST", "write DST,size=N, e.g. /scratch,size=64m"))
            }
            Some(_) | None => Ok((PathBuf::from(OsString::from_vec(word)), None)),
        };
    };
    let size = core::str::from_utf8(&word[at + MARK.len()..])
        .ok()
        .and_then(units::size)
        .ok_or_else(|| bad(given, "not a size", "write bytes from 1 up, or a number with k, m, g or t, e.g. ,size=64m"))?;
    if at == 0 {
        return Err(bad(given, "the path is empty", "write DST,size=N"));
    }
    Ok((PathBuf::from(OsString::from_vec(word[..at].to_vec())), Some(size)))
}

/// The size after `--ephemeral=`, if there is one.
fn ephemeral(given: &Given) -> Result<Option<u64>, Error> {
    let Some(word) = given.values.first() else { return Ok(None) };
    let size = word.to_str().and_then(units::size);
    size.map(Some).ok_or_else(|| bad(given, about("", word, " is not a size"), SIZE))
}

fn duration(given: &Given) -> Result<Duration, Error> {
    given.values[0]
        .to_str()
        .and_then(units::duration)
        .ok_or_else(|| wrong(given, "is not a duration", "write seconds above 0, or a number with ms, s, m or h, e.g. 1.5m"))
}

/// 0, or a duration that leaves the kernel's clocks room to go on.
fn uptime(given: &Given) -> Result<Duration, Error> {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let text = given.values[0].to_str().unwrap_or("");
    let zero = (text == "0").then_some(Duration::ZERO);
    zero.or_else(|| units::duration(text))
        .filter(|uptime| *uptime <= CENTURY)
        .ok_or_else(|| wrong(given, "is no time to be up", "write seconds, or a number with ms, s, m or h; from 0 to 100 years"))
}

fn umask(given: &Given) -> Result<u32, Error> {
    let octal = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'7')).then(|| u32::from_str_radix(text, 8).ok())?;
    given.values[0]
        .to_str()
        .and_then(octal)
        .filter(|mask| *mask <= 0o777)
        .ok_or_else(|| wrong(given, "is not a mask", "write it in octal, from 0 to 777, e.g. 022"))
}

fn processors(given: &Given) -> Result<usize, Error> {
    let number = given.values[0].to_str().and_then(units::whole).and_then(|n| usize::try_from(n).ok());
    number.filter(|n| *n > 0).ok_or_else(|| {
        let problem = about("", &given.values[0], " is not a number of processors");
        bad(given, problem, "write a whole number from 1 up; --cpus limits the time on them, also to a part of one")
    })
}

/// What `--explain` is asked for.
#[derive(Clone, Copy)]
enum Explained {
    Plan(Format),
    Time,
}

fn explained(given: &Given) -> Result<Explained, Error> {
    let words = [("text", Explained::Plan(Format::Text)), ("json", Explained::Plan(Format::Json)), ("time", Explained::Time)];
    if given.values.is_empty() { Ok(Explained::Plan(Format::Text)) } else { Ok(word(given, &words)?.value) }
}

/// How `--check` and `--diff` print.
fn format(given: &Given) -> Result<Format, Error> {
    match given.values.first() {
        None => Ok(Format::Text),
        Some(_) => Ok(word(given, &[("text", Format::Text), ("json", Format::Json)])?.value),
    }
}

const SIZE: &str = "write bytes from 1 up, or a number with k, m, g or t, e.g. 512m";
const CPUS: &str = "write a number from 0.01 up, e.g. 1.5";

fn limit(given: &Given, read: fn(&str) -> Option<u64>, remedy: &'static str) -> Result<u64, Error> {
    let refuse = || wrong(given, "is no such limit", remedy);
    given.values[0].to_str().and_then(read).ok_or_else(refuse)
}

fn tasks(text: &str) -> Option<u64> {
    // What the kernel has numbers for at most.
    units::whole(text).filter(|n| (1..=4_194_304).contains(n))
}

fn rlimit(given: &Given) -> Result<Limit, Error> {
    let text = given.values[0].to_str().unwrap_or("");
    let Some((name, values)) = text.split_once('=') else {
        return Err(bad(given, "no value is given", "write NAME=SOFT or NAME=SOFT:HARD, e.g. nofile=1024"));
    };
    let Some(resource) = rlimits::find(name) else {
        let remedy = match nearest(&name.to_ascii_lowercase(), rlimits::NAMES.map(|(name, _)| name)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("write one of: {}", rlimits::NAMES.map(|(name, _)| name).join(", ")),
        };
        return Err(bad(given, "unknown limit", remedy));
    };
    let Some((soft, hard)) = rlimits::values(values) else {
        return Err(bad(given, about("", values, " is not a limit"), "write a number or unlimited, or two with : between"));
    };
    if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
        return Err(bad(given, "the soft limit is above the hard one", "write the smaller one first"));
    }
    Ok(Limit { resource, soft, hard })
}

fn port(given: &Given) -> Result<u16, Error> {
    let port = given.values[0].to_str().and_then(units::whole).and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port > 0)
        .ok_or_else(|| wrong(given, "is not a TCP port", "write a number from 1 to 65535, and the flag once for each"))
}

/// `[ADDR:]PORT[:PORT][/udp]`: one port is the same on both sides.
fn hole(given: &Given) -> Result<Hole, Error> {
    let number = |word: &str| units::whole(word).and_then(|port| u16::try_from(port).ok());
    let text = given.values[0].to_str().unwrap_or("");
    let (udp, text) = text.strip_suffix("/udp").map_or((false, text), |text| (true, text));
    let (addr, ports) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((addr, ports)) => (addr.parse().map(IpAddr::V6).ok(), ports.strip_prefix(':').unwrap_or("")),
        None => match text.split_once(':') {
            Some((addr, ports)) if addr.contains('.') => (addr.parse().map(IpAddr::V4).ok(), ports),
            Some(_) | None => (Some(Ipv4Addr::LOCALHOST.into()), text),
        },
    };
    let (outside, inside) = ports.split_once(':').unwrap_or((ports, ports));
    match (addr, number(outside), number(inside)) {
        // pasta(1) would not say which free port it took, and that of 2023 finds no way
        // back from another port.
        (Some(addr), Some(outside), Some(to @ 1..)) if outside == to || !udp => {
            Ok(Hole { udp, at: SocketAddr::new(addr, outside), to })
        }
        _ => Err(wrong(
            given,
            "is not [ADDR:]PORT[:PORT]",
            "write e.g. 8080, 8080:80, 127.0.0.2:8080:80 or [::1]:8080:80: an address, a port outside (a free one: 0:80), one inside; for UDP 5353/udp, the same on both sides",
        )),
    }
}

fn degrade(given: &Given) -> Result<Vec<Degradable>, Error> {
    let mut layers = Vec::new();
    for name in given.values[0].to_str().unwrap_or("").split(',') {
        let Some((_, layer)) = Degradable::ALL.iter().find(|(known, _)| *known == name) else {
            let known = Degradable::ALL.map(|(name, _)| name);
            let remedy = match nearest(name, known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("name one of: {}", known.join(", ")),
            };
            return Err(bad(given, about("", name, " is no layer to go without"), remedy));
        };
        if layers.contains(layer) {
            return Err(bad(given, format!("{name} is named twice"), "name it once"));
        }
        layers.push(*layer);
    }
    Ok(layers)
}

/// The descriptor of `--status-fd`. Not one that the command has, too: what it
/// wrote there would pass for a record.
pub fn status_fd(given: &Given) -> Result<i32, Error> {
    match number(given, 0)? {
        0..3 => Err(bad(given, "0, 1 and 2 are the command's, too", "open another, e.g. 3>FILE in a shell")),
        fd => Ok(fd),
    }
}

fn env(given: &Given) -> Result<Env, Error> {
    let word = given.values[0].as_bytes();
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    if word.contains(&0) {
        return Err(bad(given, "holds a NUL", "no variable can"));
    }
    match word.iter().position(|b| *b == b'=') {
        Some(0) => Err(bad(given, "the name is empty", "write NAME=VALUE")),
        Some(at) => Ok(Env::Set(os(&word[..at]), os(&word[at + 1..]))),
        None if word.is_empty() => Err(bad(given, "the name is empty", "write NAME, 'GLOB*' or NAME=VALUE")),
        None if word.iter().any(|b| matches!(b, b'*' | b'?')) => Ok(Env::Glob(os(word))),
        None => Ok(Env::Pass(os(word))),
    }
}

fn entry(policy: &mut Policy, given: &Given, what: What, dest: PathBuf) {
    let may_miss = given.flag.long.ends_with("-try");
    policy.entries.push(Entry { what, dest, may_miss, asked: given.asked() });
}

fn bind(policy: &mut Policy, given: &Given, access: Access, dest: usize) -> Result<(), Error> {
    let source = path(given, 0)?;
    let dest = path(given, dest)?;
    entry(policy, given, What::Bind { source, access }, dest);
    Ok(())
}

fn refuse(asked: &Asked, problem: impl Into<Words>, remedy: &'static str) -> Result<(), Error> {
    Err(Error::usage(*asked, problem, remedy))
}

/// What contradicts itself on any machine.
fn contradictions(policy: &Policy) -> Result<(), Error> {
    if let (Some(asked), None) = (&policy.writable, &policy.root) {
        return refuse(asked, "has no effect without --root", "name the tree with --root, or a directory with --rw");
    }
    let ephemeral = policy.ephemeral.as_ref().and_then(|setting| setting.asked.as_ref());
    let overlay = policy.overlay.as_ref().and_then(|setting| setting.asked.as_ref());
    if let (Some(asked), None) = (ephemeral.or(overlay), &policy.root) {
        // Nobody could be the owner of what is changed in the host's system.
        return refuse(
            asked,
            "needs --root: a file keeps its owner when it is changed, and those of the host's system are no one in the jail",
            "name a tree that is your own with --root; TREES in jail(1) says how to come by one",
        );
    }
    let mut modes = [policy.writable.as_ref(), ephemeral, overlay].into_iter().flatten();
    if let (Some(one), Some(other)) = (modes.next(), modes.next()) {
        return refuse(other, format!("contradicts {}: changes go to one place", one.text()), "leave out one of the two");
    }
    let mut roots = policy.roots().into_iter().flatten();
    if let Some(root) = roots.next() {
        if let Some(other) = roots.next() {
            return refuse(other, format!("contradicts {}: each is a root of its own", root.text()), "leave out one of the two");
        }
        if let Some(Setting { asked: Some(asked), .. }) = policy.uid.as_ref().or(policy.gid.as_ref()) {
            return refuse(asked, format!("contradicts {}, which is uid and gid 0", root.text()), "leave out one of the two");
        }
    }
    if let (Some(asked), Seccomp::None) = (&policy.fakeroot, policy.seccomp.value) {
        return refuse(asked, "contradicts --seccomp none, which leaves out what would answer", "leave out one of the two");
    }
    if policy.pid.value == Anchor::Host {
        if let (Anchor::Private, Some(asked)) = (policy.proc.value, &policy.proc.asked) {
            return refuse(
                asked,
                "contradicts --pid host: a /proc of its own shows a process table of its own",
                "say --proc host or --proc none",
            );
        }
        if let (Init::None, Some(asked)) = (policy.init.value, &policy.init.asked) {
            return refuse(
                asked,
                "contradicts --pid host: without a process table of its own nothing but the reaper ends what the command leaves",
                "leave out one of the two",
            );
        }
    } else if let (Anchor::Host, Some(asked)) = (policy.proc.value, &policy.proc.asked) {
        return refuse(
            asked,
            "contradicts the private process table: the host's /proc numbers processes that the jail cannot name",
            "add --pid host, or leave it out",
        );
    }
    for (index, (fd, asked)) in policy.fds.iter().enumerate() {
        if policy.fds[..index].iter().any(|(other, _)| other == fd) {
            return refuse(asked, "given twice", "give it once");
        }
    }
    let files = || {
        policy.entries.iter().filter_map(|e| match e.what {
            What::File { fd } => Some((fd, &e.asked)),
            What::Bind { .. } | What::Device { .. } | What::Tmpfs { .. } | What::Dir | What::Symlink { .. } => None,
        })
    };
    for (index, (fd, asked)) in files().enumerate() {
        if files().take(index).any(|(other, _)| other == fd) || policy.fds.iter().any(|(other, _)| *other == fd) {
            return refuse(asked, "the descriptor is used by another flag too, and can be read once", "open one for each");
        }
    }
    if let (Some(Setting { asked: Some(asked), .. }), Init::None) = (&policy.uptime, policy.init.value) {
        return refuse(
            asked,
            "contradicts --init none: the process that sets the clocks keeps its own, and those that it makes have the new ones",
            "leave out one of the two",
        );
    }
    if let (Some(asked), Some(_)) = (&policy.new_session, &policy.pty) {
        return refuse(asked, "has no effect: --pty starts a session", "leave it out");
    }
    if let (Some(Setting { asked: Some(asked), .. }), None) = (&policy.grace, &policy.timeout) {
        return refuse(asked, "has no effect without --timeout", "add --timeout, or leave it out");
    }
    let ports = || policy.connect.iter().chain(&policy.listen);
    if let (Some((_, asked)), true) = (ports().next(), policy.net.value != Net::Host) {
        return refuse(asked, "has no effect without --net host", "add --net host, or leave it out");
    }
    if let (Some((_, asked)), Landlock::None) = (ports().next(), policy.landlock.value) {
        return refuse(asked, "contradicts --landlock none, which is what would do it", "leave out one of the two");
    }
    for all in [&policy.connect, &policy.listen] {
        if let Some((_, (_, asked))) =
            all.iter().enumerate().find(|(index, (port, _))| all[..*index].iter().any(|(p, _)| p == port))
        {
            return refuse(asked, "given twice", "give it once");
        }
    }
    let holes = || policy.publish.iter().map(|(_, asked)| asked).chain(policy.reach.iter().map(|(_, asked)| asked));
    if let (Some(asked), true) = (holes().next(), policy.net.value == Net::Host) {
        return refuse(asked, "needs a network of the jail's own, which --net host is not", "leave --net out, or this");
    }
    for (index, (hole, asked)) in policy.publish.iter().enumerate() {
        let same = |other: &Hole| (other.udp, other.at) == (hole.udp, hole.at);
        if hole.at.port() != 0 && policy.publish[..index].iter().any(|(other, _)| same(other)) {
            return refuse(asked, "the address outside is given twice", "give each once");
        }
        if hole.udp && policy.net.value != Net::Pasta {
            return refuse(asked, "only --net pasta passes UDP on", "add it, or publish TCP");
        }
    }
    for (index, (reach, asked)) in policy.reach.iter().enumerate() {
        if policy.reach[..index].iter().any(|(other, _)| other.at == reach.at) {
            return refuse(asked, "given twice", "give each once");
        }
    }
    degraded_without_effect(policy)?;
    for (index, (limit, asked)) in policy.rlimits.iter().enumerate() {
        if policy.rlimits[..index].iter().any(|(other, _)| other.resource == limit.resource) {
            return refuse(asked, "the limit is named twice", "name it once");
        }
    }
    if let Some(Setting { value, asked: Some(asked) }) = &policy.status_fd {
        if policy.fds.iter().any(|(fd, _)| fd == value) || files().any(|(fd, _)| fd == *value) {
            return refuse(
                asked,
                "the descriptor is passed inside by another flag, where records could be forged",
                "open one for each",
            );
        }
    }
    for (index, (number, asked)) in policy.caps.iter().enumerate() {
        if policy.caps[..index].iter().any(|(other, _)| other == number) {
            return refuse(asked, "the capability is named twice", "name it once");
        }
        if let (Some(root), true) = (policy.jailed_root(), caps::JAILED_ROOT & caps::only(*number) != 0) {
            return refuse(asked, format!("has no effect: {} has it", root.text()), "leave it out");
        }
        if *number == caps::SYS_RESOURCE && policy.nested.is_none() {
            return refuse(asked, "lets the command allow itself user namespaces again", "add --nested, or leave it out");
        }
    }
    if let (Seccomp::None, Some(change)) = (policy.seccomp.value, policy.syscalls.first()) {
        return refuse(&change.asked, "has no effect with --seccomp none", "leave out one of the two");
    }
    if let (Seccomp::None, Some(asked)) = (policy.seccomp.value, &policy.trace_denied) {
        return refuse(asked, "has no effect with --seccomp none, which refuses nothing", "leave out one of the two");
    }
    overrides::check(policy.powers(), &policy.syscalls, policy.trace_denied.is_some(), &|call| degrade::may_close(policy, call))?;
    for (env, asked) in &policy.env {
        if matches!(env, Env::Pass(name) if ENV_PASSED.iter().any(|glob| glob_matches(OsStr::new(glob), name))) {
            return refuse(asked, "has no effect: the variable is passed anyway", "leave it out");
        }
    }
    let mut named = Index::new();
    for (Env::Pass(name) | Env::Set(name, _) | Env::Glob(name), asked) in &policy.env {
        if !named.set(name, ()) {
            return refuse(asked, "the variable is named twice", "name it once");
        }
    }
    Ok(())
}

/// Layers to do without that are not asked for.
fn degraded_without_effect(policy: &Policy) -> Result<(), Error> {
    let Some(Setting { value, asked: Some(asked) }) = &policy.degrade else { return Ok(()) };
    let shared = |anchor: &Setting<Anchor>| anchor.value == Anchor::Host;
    for (layer, idle, flag) in [
        (Degradable::Net, policy.net.value == Net::Host, "--net host"),
        (Degradable::Pid, shared(&policy.pid), "--pid host"),
        (Degradable::Ipc, shared(&policy.ipc), "--ipc host"),
        (Degradable::Cgroup, shared(&policy.cgroup), "--cgroup host"),
        (Degradable::Proc, policy.proc.value != Anchor::Private, "--proc"),
        (Degradable::UsernsLimit, policy.nested.is_some(), "--nested"),
        (Degradable::Seccomp, policy.seccomp.value == Seccomp::None, "--seccomp none"),
        (Degradable::Landlock, policy.landlock.value == Landlock::None, "--landlock none"),
    ] {
        if value.contains(&layer) && idle {
            let problem = format!("{} has no effect: {flag} leaves it out", layer.name());
            return Err(Error::usage(*asked, problem, "leave out one of the two"));
        }
    }
    if value.contains(&Degradable::Root) && !value.contains(&Degradable::Namespaces) {
        let remedy = "name namespaces, too, or leave it out";
        return Err(Error::usage(*asked, "root has no effect without namespaces", remedy));
    }
    Ok(())
}

/// Does `name` match `glob`, where `*` is any run of bytes and `?` any one?
pub fn glob_matches(glob: &OsStr, name: &OsStr) -> bool {
    let (glob, name) = (glob.as_bytes(), name.as_bytes());
    let (mut g, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                g += 1;
                n += 1;
            }
            Some(_) | None => match star {
                // Let the last star take one byte more.
                Some((at, from)) => {
                    g = at + 1;
                    n = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line::parse;
    use crate::cli::flags::{FLAGS, Takes};

    fn request(line: &str) -> Result<Request, Error> {
        let words = line.split(' ').map(OsString::from).collect();
        interpret(parse(words, &mut |_| Err("no file".into()))?)
    }
    fn refused(line: &str) -> String {
        request(line).expect_err(line).to_string()
    }

    #[test]
    fn every_flag_has_a_meaning() {
        // --args is replaced by what its file holds before policy sees it.
        for flag in FLAGS.iter().filter(|flag| flag.long != "args") {
            let values: Vec<OsString> = match flag.takes {
                Takes::Nothing | Takes::Perhaps(_) => vec![],
                Takes::PerhapsAnd(..) => vec!["5".into()],
                Takes::Words(names) => names.split(' ').map(|_| "5".into()).collect(),
            };
            let typed = Typed { flags: vec![Given { flag, values }], command: vec!["x".into()], args_files: Vec::new() };
            if let Err(error) = interpret(typed) {
                assert!(!error.to_string().contains("means nothing"), "{}", flag.long);
            }
        }
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        for (line, expected) in [
            ("--writable x", "--writable: has no effect without --root"),
            ("--ephemeral x", "--ephemeral: needs --root"),
            ("--overlay /d x", "name a tree that is your own with --root"),
            ("--root /t --ephemeral --writable x", "--ephemeral: contradicts --writable"),
            ("--root /t --overlay /d --ephemeral=5 x", "--overlay /d: contradicts --ephemeral=5"),
            ("--root /t --writable --overlay /d x", "--overlay /d: contradicts --writable"),
            ("--root /t --ephemeral=12q x", "12q is not a size"),
            ("--root /t --ephemeral=0 x", "0 is not a size"),
            ("--as-root --uid 5 x", "--uid 5: contradicts --as-root"),
            ("--fakeroot --gid 5 x", "--gid 5: contradicts --fakeroot"),
            ("--as-root --fakeroot x", "--fakeroot: contradicts --as-root"),
            ("--fakeroot --subids x", "--fakeroot: contradicts --subids"),
            ("--subids --as-root x", "--subids: contradicts --as-root"),
            ("--subids --uid 0 x", "--uid 0: contradicts --subids"),
            ("--fakeroot --seccomp none x", "--fakeroot: contradicts --seccomp none"),
            ("--fakeroot --cap chown x", "has no effect: --fakeroot has it"),
            ("--pid host --proc private x", "contradicts --pid host"),
            ("--proc host x", "add --pid host"),
            ("--pid host --init none x", "--init none: contradicts --pid host"),
            ("--fd 2 x", "has no effect"),
            ("--fd 7 --fd 7 x", "given twice"),
            ("--file 7 /a --file 7 /b x", "can be read once"),
            ("--file 7 /a --fd 7 x", "can be read once"),
            ("--env A --env A=1 x", "--env A=...: the variable is named twice"),
            ("--cap kill --as-root x", "has no effect"),
            ("--cap kill --cap CAP_KILL x", "named twice"),
            ("--cap sys_resource x", "add --nested"),
            ("--env HOME x", "has no effect"),
            ("--cap kil x", "did you mean kill?"),
            ("--net nine x", "write one of: none, host, pasta"),
            ("--tmpfs /a,size=0 x", "not a size"),
            ("--tmpfs /a,size=12q x", "not a size"),
            ("--tmpfs /a,sz=1m x", "only ,size=N may follow DST"),
            ("--tmpfs /a:size=1m x", "write DST,size=N"),
            ("--uid 4294967295 x", "is not an id"),
            ("--umask 8 x", "8 is not a mask"),
            ("--umask +22 x", "+22 is not a mask"),
            ("--umask 1000 x", "write it in octal"),
            ("--umask  x", "is not a mask"),
            ("--umask 22 --umask 22 x", "--umask"),
            ("--processors 0 x", "0 is not a number of processors"),
            ("--processors 1.5 x", "--cpus limits"),
            ("--uptime -1 x", "-1 is no time to be up"),
            ("--uptime 876001h x", "from 0 to 100 years"),
            ("--uptime 0 --init none x", "--uptime 0: contradicts --init none"),
            ("--pty --new-session x", "has no effect"),
            ("--grace 5 x", "has no effect without --timeout"),
            ("--connect 80 x", "has no effect without --net host"),
            ("--net host --connect 80 --connect 80 x", "given twice"),
            ("--net host --listen 0 x", "is not a TCP port"),
            ("--net host --connect 80 --landlock none x", "contradicts --landlock none"),
            ("--net host --publish 80 x", "needs a network of the jail's own"),
            ("--publish 8080:80 --publish 127.0.0.1:8080:81 x", "given twice"),
            ("--publish 0 x", "0 is not [ADDR:]PORT[:PORT]"),
            ("--publish 1.2.3:80 x", "is not [ADDR:]PORT[:PORT]"),
            ("--publish 53/udp x", "only --net pasta passes UDP on"),
            ("--net pasta --publish 5353:53/udp x", "is not [ADDR:]PORT[:PORT]"),
            ("--publish [::1]:80 --publish [::1]:80:81 x", "given twice"),
            ("--publish [::1:80 x", "is not [ADDR:]PORT[:PORT]"),
            ("--publish ::1:80 x", "is not [ADDR:]PORT[:PORT]"),
            ("--publish 80:65536 x", "is not [ADDR:]PORT[:PORT]"),
            ("--net host --reach a:80 x", "needs a network of the jail's own"),
            ("--reach a:80 --reach A:80=b:80 x", "given twice"),
            ("--reach a x", "a is not HOST:PORT"),
            ("--degrade landlok x", "did you mean landlock?"),
            ("--degrade x y", "name one of: namespaces, net"),
            ("--degrade landlock --landlock none x", "has no effect"),
            ("--check --net host", "--net host: has no effect with --check"),
            ("--check x", "x would not be run"),
            ("--check=yaml", "write one of: text, json"),
            ("--diff=yaml d", "--diff=yaml d: unknown value yaml"),
            ("--diff d --ephemeral", "--ephemeral: has no effect with --diff"),
            ("--diff d --check", "--diff d: has no effect with --check"),
            ("--diff d ls", "--diff d: ls would not be run"),
            ("--diff=json  --root t", "the path is empty"),
            ("--memory 0 x", "is no such limit"),
            ("--tasks 0 x", "from 1 up"),
            ("--cpus none x", "from 0.01 up"),
            ("--timeout 0 x", "is not a duration"),
            ("--rlimit nofile x", "no value is given"),
            ("--rlimit nofil=5 x", "did you mean nofile?"),
            ("--rlimit nofile=5:4 x", "above the hard one"),
            ("--rlimit core=1 --rlimit CORE=2 x", "named twice"),
            ("--status-fd 2 x", "are the command's"),
            ("--status-fd 7 --fd 7 x", "forged"),
            ("--allow-syscall kexec_lode x", "did you mean kexec_load?"),
            ("--allow-syscall @mont x", "did you mean @mount?"),
            ("--allow-syscall keyring x", "did you mean the group, @keyring?"),
            ("--allow-syscall @nothing x", "write one of: @aio, "),
            ("--allow-syscall bpf:EPERM x", "unknown system call"),
            ("--deny-syscall read:ENOSYSS x", "did you mean ENOSYS?"),
            ("--deny-syscall read:38 x", "38 is not an error's name"),
            ("--allow-syscall read x", "--allow-syscall read: has no effect: it is allowed anyway"),
            ("--deny-syscall bpf x", "--deny-syscall bpf: has no effect: it is refused so anyway"),
            ("--nested --allow-syscall @mount x", "has no effect: it is allowed anyway"),
            ("--cap sys_admin --allow-syscall mount x", "has no effect: it is allowed anyway"),
            ("--allow-syscall @keyring --allow-syscall keyctl x", "--allow-syscall keyctl: has no effect"),
            ("--allow-syscall bpf --allow-syscall bpf x", "given twice"),
            ("--allow-syscall bpf --deny-syscall bpf:ENOSYS x", "contradicts --allow-syscall bpf: both name bpf"),
            ("--deny-syscall read --deny-syscall read:EIO x", "contradicts --deny-syscall read: both name read"),
            ("--deny-syscall @setuid --deny-syscall @privileged:ENOSYS x", "contradicts --deny-syscall @setuid: both name set"),
            ("--deny-syscall execve x", "refuses execve, which jail needs"),
            ("--deny-syscall @signal x", "add --allow-syscall rt_sig"),
            ("--seccomp none --deny-syscall read x", "--deny-syscall read: has no effect with --seccomp none"),
            ("--seccomp none --trace-denied x", "--trace-denied: has no effect with --seccomp none"),
            ("--trace-denied --check", "--trace-denied: has no effect with --check"),
            ("--trace-denied --deny-syscall sendmsg x", "refuses sendmsg, which --trace-denied needs"),
            ("--trace-denied --deny-syscall @network-io x", "add --allow-syscall sendmsg"),
            ("--trace-denied --trace-denied x", "--trace-denied"),
            ("--seccomp non x", "write one of: default, none"),
            ("--hostname ", "not a hostname"),
            ("--ro ", "the path is empty"),
            ("--net host", "no command is named"),
        ] {
            assert!(refused(line).contains(expected), "{line}: {}", refused(line));
        }
    }

    #[test]
    fn a_set_values_text_is_kept_out_of_errors() {
        assert!(!refused("--env TOKEN=secret --env TOKEN=other x").contains("secret"));
        assert!(!refused("--env TOKEN=secret --env TOKEN=other x").contains("other"));
    }

    #[test]
    fn globs() {
        let m = |g: &str, n: &str| glob_matches(OsStr::new(g), OsStr::new(n));
        assert!(m("CI_*", "CI_JOB") && m("*", "") && m("a?c", "abc") && m("*b*b", "abbb"));
        assert!(!m("CI_*", "CI") && !m("a?c", "ac") && !m("", "a") && !m("*b", "bc"));
    }
}
