//! What a user can ask for, as data: add a field here for a new flag. No parsing, and nothing
//! that is known of the machine.

pub(crate) mod endpoint;
pub(crate) mod files;
pub(crate) mod identity;
pub mod layer;
pub(crate) mod net;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Resource;

use crate::error::Asked;
use crate::policy::endpoint::Reach;
use crate::policy::files::{Ban, Changes, Entry};
use crate::policy::layer::Degradable;
use crate::policy::net::{Hole, Net};
use crate::seccomp::overrides::Change;
use crate::seccomp::policy::table::{CORE, FAKEROOT, NESTED, NET_RAW, Powers, SET_ID, SYS_ADMIN, SYS_BOOT};
use crate::sys::caps;
use crate::sys::rlimits::Limit;

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

pub(crate) fn setting<T>(value: T) -> Setting<T> {
    Setting { value, asked: None }
}

impl Policy {
    pub(crate) fn new(command: Vec<OsString>) -> Self {
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

    pub(crate) fn roots(&self) -> [Option<&Asked>; 3] {
        [self.as_root.as_ref(), self.subids.as_ref(), self.fakeroot.as_ref()]
    }
}

/// The variables that are passed without asking.
pub const ENV_PASSED: [&str; 11] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM", "NO_COLOR", "LANG", "LC_*", "TZ"];
