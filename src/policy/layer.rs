//! The layers of a jail that a user can do without.

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
