//! `--degrade`: going on without what this machine refuses, as far as it is named.
//!
//! What is named itself is then the host's, as its own flag has it with `host`. What
//! `namespaces` gives up without naming it is closed by the other layers: files by
//! Landlock's rules, signals by its scope, sockets and System V IPC by the system-call
//! policy. Where none of them can, and where a flag asks for what cannot be had, the
//! launch is refused.

use crate::error::{Asked, Error, Layer, Words};
use crate::host::Host;
use crate::plan::landlock::{HAS_FILES, HAS_SCOPES, HAS_TRUNCATE};
use crate::policy::files::{Access, Entry, What};
use crate::policy::layer::Degradable;
use crate::policy::net::Net;
use crate::policy::{Anchor, Init, Landlock, Policy, Seccomp, Setting};
use crate::seccomp::fallback::IPC;
use crate::seccomp::overrides::{Change, Subject};
use crate::seccomp::policy::action::{EAFNOSUPPORT, ENOSYS, Treatment};
use crate::seccomp::policy::table::{Limit, PROCESSES};

/// What is left to be done.
#[derive(Debug, Default)]
pub struct Degraded {
    /// No namespace is made: the command sees the host's files, and Landlock which
    /// of them it may open.
    pub bare: bool,
    /// Nothing reaches other processes: what the process table hides otherwise.
    pub closed_pids: bool,
    /// Nothing reaches the network.
    pub closed_net: bool,
    /// The hostname is the host's.
    pub shared_name: bool,
    /// User namespaces have no limit of their own.
    pub unlimited: bool,
    /// What the system-call policy refuses in place of the missing layers.
    pub closed_calls: Vec<Change>,
    /// The layers that are done without, by their names.
    pub names: Vec<&'static str>,
}

/// Takes out of the policy what this machine refuses of it, and is named; gives the rest
/// of what follows from that.
///
/// # Errors
/// What was asked for cannot be given so, and is not named.
pub fn degrade(policy: &mut Policy, host: &Host) -> Result<Degraded, Error> {
    let Some(Setting { value, asked: Some(asked) }) = &policy.degrade else { return Ok(Degraded::default()) };
    let (named, asked) = (value.clone(), *asked);
    let mut all = Without { named, asked, host, policy, out: Degraded::default() };
    all.landlock()?;
    all.seccomp()?;
    if all.lacks(Degradable::Namespaces) && all.names(Degradable::Namespaces) {
        all.namespaces()?;
    }
    all.pids()?;
    all.net()?;
    all.ipc()?;
    all.others()?;
    all.out.names = Degradable::ALL
        .into_iter()
        .filter(|(_, layer)| all.goes_without(*layer) && (all.names(*layer) || !all.out.bare))
        .map(|(name, _)| name)
        .collect();
    Ok(all.out)
}

/// The work in progress.
struct Without<'a> {
    named: Vec<Degradable>,
    asked: Asked,
    host: &'a Host,
    policy: &'a mut Policy,
    out: Degraded,
}

impl Without<'_> {
    fn names(&self, layer: Degradable) -> bool {
        self.named.contains(&layer)
    }

    fn lacks(&self, layer: Degradable) -> bool {
        // Not a layer of the machine's: what of it is done without goes with the namespaces.
        let layer = if layer == Degradable::Root { Degradable::Namespaces } else { layer };
        // Where there is one that cannot be done without, none is made.
        if self.out.bare && layer.is_a_namespace() {
            return true;
        }
        self.host.lacks.iter().any(|(lacks, _)| *lacks == layer)
    }

    fn goes_without(&self, layer: Degradable) -> bool {
        let by_all = layer.is_a_namespace() && self.names(Degradable::Namespaces);
        self.lacks(layer) && (self.names(layer) || by_all)
    }

    /// `asked` wants what cannot be had: what to name so that it is done without.
    fn refuse(&self, asked: Option<&Asked>, layer: Degradable, problem: impl Into<Words>, name: Option<Degradable>) -> Error {
        let refuses = |layer| self.host.lacks.iter().find(|(lacks, _)| *lacks == layer);
        let refused_by = refuses(layer).or_else(|| refuses(Degradable::Namespaces)).map_or(Layer::Kernel, |(_, by)| *by);
        let remedy: Words = match name {
            Some(name) => format!("name it, too, to go on without: {},{}", self.asked.text(), name.name()).into(),
            None => "leave it out here".into(),
        };
        let flag = *asked.unwrap_or(&self.asked);
        Error::usage(flag, problem, remedy).met(format!("go without {}", layer.name()), refused_by)
    }

    fn landlock(&mut self) -> Result<(), Error> {
        if self.goes_without(Degradable::Landlock) {
            if let Some((_, asked)) = self.policy.connect.iter().chain(&self.policy.listen).next() {
                return Err(self.refuse(Some(asked), Degradable::Landlock, "Landlock is what would do it", None));
            }
            self.policy.landlock.value = Landlock::None;
        }
        Ok(())
    }

    fn seccomp(&mut self) -> Result<(), Error> {
        if self.goes_without(Degradable::Seccomp) {
            if let Some(asked) = &self.policy.trace_denied {
                return Err(self.refuse(Some(asked), Degradable::Seccomp, "the filter is what would tell", None));
            }
            if let Some(change) = self.policy.syscalls.first() {
                return Err(self.refuse(Some(&change.asked), Degradable::Seccomp, "the filter is what would do it", None));
            }
            if let Some(asked) = &self.policy.fakeroot {
                return Err(self.refuse(Some(asked), Degradable::Seccomp, "the filter is what would answer", None));
            }
            self.policy.seccomp.value = Seccomp::None;
        }
        Ok(())
    }

    /// Does Landlock, with what `abi` brought, stand in?
    fn landlock_has(&self, abi: u32) -> bool {
        self.policy.landlock.value == Landlock::Default && self.host.landlock_abi >= abi
    }

    fn filtered(&self) -> bool {
        self.policy.seccomp.value == Seccomp::Default
    }

    /// All of them at once, the first ones among them: there is no other root.
    fn namespaces(&mut self) -> Result<(), Error> {
        self.out.bare = true;
        let named_root = self.names(Degradable::Root);
        self.needs_no_namespace()?;
        if let Some((_, asked)) = self.policy.changes() {
            let problem = "changes that leave the tree as it is need namespaces, which this machine refuses";
            return Err(self.refuse(asked, Degradable::Namespaces, problem, None));
        }
        if let Some(root) = &self.policy.root {
            if self.host.absolute(&root.value).is_ok_and(|path| self.host.canonical(&path) != Ok("/".into())) {
                if !named_root {
                    let problem = "another root directory needs namespaces, which this machine refuses";
                    return Err(self.refuse(root.asked.as_ref(), Degradable::Namespaces, problem, Some(Degradable::Root)));
                }
                // The tree is seen at its own place.
                let access = if self.policy.writable.is_some() { Access::Writable } else { Access::ReadOnly };
                let what = What::Bind { source: root.value.clone(), access };
                let asked = root.asked.unwrap_or(self.asked);
                self.policy.entries.push(Entry { what, dest: root.value.clone(), may_miss: false, asked });
                self.policy.root = None;
                self.policy.writable = None;
            }
        }
        if !named_root && !self.landlock_has(HAS_TRUNCATE) {
            let problem = match self.landlock_has(HAS_FILES) {
                true => "without namespaces and with this kernel's Landlock the command can truncate the host's files",
                false => "without namespaces and Landlock nothing keeps the command from the host's files",
            };
            return Err(self.refuse(None, Degradable::Namespaces, problem, Some(Degradable::Root)));
        }
        if !named_root && !self.filtered() {
            let problem = "without namespaces and a system-call policy nothing keeps the command from the host's Unix sockets";
            return Err(self.refuse(None, Degradable::Namespaces, problem, Some(Degradable::Root)));
        }
        if !named_root && self.host.uid == 0 {
            let problem = "Landlock is not asked when modes and attributes are changed, and the host's files are root's";
            return Err(self.refuse(None, Degradable::Namespaces, problem, Some(Degradable::Root)));
        }
        // What is private and cannot be closed is not there.
        let policy = &mut *self.policy;
        for anchor in [&mut policy.tmp, &mut policy.run, &mut policy.home] {
            if anchor.value == Anchor::Private {
                anchor.value = Anchor::None;
            }
        }
        if !named_root && policy.net.value == Net::Host {
            self.close_sockets(Treatment::Limit(Limit::Internet));
        }
        Ok(())
    }

    /// Refuses flags that nothing but a namespace does.
    fn needs_no_namespace(&self) -> Result<(), Error> {
        let policy = &*self.policy;
        let private = |anchor: &Setting<Anchor>| anchor.asked.filter(|_| anchor.value == Anchor::Private);
        let id = |id: &Option<Setting<u32>>| id.as_ref().and_then(|id| id.asked);
        let made = policy.entries.iter().find(|entry| match entry.what {
            What::Tmpfs { .. } | What::Dir | What::Symlink { .. } | What::File { .. } => true,
            What::Bind { .. } | What::Device { .. } => false,
        });
        let asked = [
            made.map(|entry| entry.asked),
            policy.hidden.first().or(policy.noexec.first()).map(|ban| ban.asked),
            private(&policy.dev),
            private(&policy.tmp),
            private(&policy.run),
            private(&policy.home),
            policy.uptime.as_ref().and_then(|uptime| uptime.asked),
            id(&policy.uid),
            id(&policy.gid),
            policy.jailed_root().copied(),
            policy.nested,
            policy.caps.first().map(|(_, asked)| *asked),
            policy.net.asked.filter(|_| policy.net.value == Net::Pasta),
            policy.pty,
            policy.publish.first().map(|(_, asked)| *asked),
            policy.reach.first().map(|(_, asked)| *asked),
        ];
        match asked.iter().find_map(Option::as_ref) {
            None => Ok(()),
            Some(asked) => {
                let problem = "it needs namespaces, which this machine refuses";
                Err(self.refuse(Some(asked), Degradable::Namespaces, problem, None))
            }
        }
    }

    fn pids(&mut self) -> Result<(), Error> {
        const LAYER: Degradable = Degradable::Pid;
        let policy = &*self.policy;
        let named = self.names(LAYER);
        if policy.pid.value == Anchor::Host || !self.goes_without(LAYER) {
            return Ok(());
        }
        if let (Some(asked), Init::None) = (&policy.init.asked, policy.init.value) {
            let problem = "without a process table of its own nothing but the reaper ends what the command leaves";
            return Err(self.refuse(Some(asked), LAYER, problem, None));
        }
        if !named {
            if let Some(asked) = &policy.pid.asked {
                return Err(self.refuse(Some(asked), LAYER, "this machine refuses a process table", Some(LAYER)));
            }
            if !self.landlock_has(HAS_SCOPES) {
                let problem = format!(
                    "without a process table of its own the command can signal the caller's other processes, and this kernel's \
                     Landlock (ABI {}, not {HAS_SCOPES}) does not prevent it",
                    self.host.landlock_abi
                );
                return Err(self.refuse(None, LAYER, problem, Some(LAYER)));
            }
        }
        if let (Anchor::Private, Some(asked)) = (policy.proc.value, &policy.proc.asked) {
            if !self.names(Degradable::Proc) {
                let problem = "a /proc of its own shows a process table of its own";
                return Err(self.refuse(Some(asked), LAYER, problem, Some(Degradable::Proc)));
            }
        }
        self.out.closed_pids = !named;
        if !named {
            self.close_processes()?;
        }
        self.policy.pid.value = Anchor::Host;
        if self.policy.proc.value == Anchor::Private && (!named || self.names(Degradable::Proc)) {
            self.policy.proc.value = Anchor::None;
        }
        Ok(())
    }

    fn net(&mut self) -> Result<(), Error> {
        const LAYER: Degradable = Degradable::Net;
        if self.policy.net.value != Net::None || !self.goes_without(LAYER) {
            return Ok(());
        }
        let policy = &self.policy;
        let mut holes = policy.publish.iter().map(|(_, asked)| asked).chain(policy.reach.iter().map(|(_, asked)| asked));
        if let Some(asked) = holes.next() {
            let problem = "it needs a network of the jail's own, which this machine refuses";
            return Err(self.refuse(Some(asked), LAYER, problem, None));
        }
        self.policy.net.value = Net::Host;
        if self.names(LAYER) {
            if self.out.bare && !self.names(Degradable::Root) {
                self.close_sockets(Treatment::Limit(Limit::Internet));
            }
            return Ok(());
        }
        if !self.filtered() {
            let problem = "without a network namespace and a system-call policy nothing keeps the command from the network";
            return Err(self.refuse(None, LAYER, problem, Some(LAYER)));
        }
        self.out.closed_net = true;
        // Unix sockets lie in files that are not shown, or are abstract.
        let only_inside = !self.out.bare && self.landlock_has(HAS_SCOPES);
        let treatment = if only_inside { Treatment::Limit(Limit::Unix) } else { Treatment::Refuse(EAFNOSUPPORT) };
        self.close_sockets(treatment);
        Ok(())
    }

    fn ipc(&mut self) -> Result<(), Error> {
        const LAYER: Degradable = Degradable::Ipc;
        if self.policy.ipc.value == Anchor::Host || !self.goes_without(LAYER) {
            return Ok(());
        }
        self.policy.ipc.value = Anchor::Host;
        if self.names(LAYER) {
            return Ok(());
        }
        if !self.filtered() {
            let problem = "without an IPC namespace and a system-call policy nothing keeps the command from the host's IPC";
            return Err(self.refuse(None, LAYER, problem, Some(LAYER)));
        }
        for call in IPC {
            self.close(call, Treatment::Refuse(ENOSYS));
        }
        Ok(())
    }

    fn others(&mut self) -> Result<(), Error> {
        let proc = self.goes_without(Degradable::Proc) && self.policy.pid.value == Anchor::Private;
        if self.policy.proc.value == Anchor::Private && proc {
            if let Some(asked) = self.policy.proc.asked.as_ref().filter(|_| !self.names(Degradable::Proc)) {
                let problem = "this machine refuses a /proc of the jail's own";
                return Err(self.refuse(Some(asked), Degradable::Proc, problem, Some(Degradable::Proc)));
            }
            self.policy.proc.value = Anchor::None;
        }
        if self.goes_without(Degradable::Cgroup) {
            let private = self.policy.cgroup.value != Anchor::Host && !self.names(Degradable::Cgroup);
            if let Some(asked) = self.policy.cgroup.asked.as_ref().filter(|_| private) {
                let problem = "this machine refuses a cgroup namespace";
                return Err(self.refuse(Some(asked), Degradable::Cgroup, problem, Some(Degradable::Cgroup)));
            }
            self.policy.cgroup.value = Anchor::Host;
        }
        if self.goes_without(Degradable::Hostname) {
            if let Some(asked) = self.policy.hostname.asked.as_ref().filter(|_| !self.names(Degradable::Hostname)) {
                let problem = "this machine refuses a name of the jail's own";
                return Err(self.refuse(Some(asked), Degradable::Hostname, problem, Some(Degradable::Hostname)));
            }
            self.out.shared_name = true;
        }
        self.out.unlimited = self.goes_without(Degradable::UsernsLimit) || self.out.bare;
        Ok(())
    }

    fn close_sockets(&mut self, treatment: Treatment) {
        self.close("socket", treatment);
        // One of a pair for datagrams would do in its place.
        let opened = self.policy.syscalls.iter().any(|change| change.subject.includes("socket"));
        if treatment != Treatment::Limit(Limit::Unix) && !opened {
            self.close("socketpair", Treatment::Limit(Limit::Connected));
        }
    }

    /// Of the same user's processes what no signal and no tracing is: a limit of
    /// processor time ends the launcher as SIGKILL does.
    fn close_processes(&mut self) -> Result<(), Error> {
        if !self.filtered() {
            let problem = "without a process table of its own and a system-call policy nothing keeps the command from the \
                           limits and priorities of the caller's other processes";
            return Err(self.refuse(None, Degradable::Pid, problem, Some(Degradable::Pid)));
        }
        for (call, limit) in PROCESSES {
            let own_core = limit == Limit::OwnPrlimit && self.policy.core_limit().is_some();
            let limit = if own_core { Limit::Itself } else { limit };
            self.close(call, Treatment::Limit(limit));
        }
        Ok(())
    }

    /// Has the system-call policy refuse `call`, unless a flag names that.
    fn close(&mut self, call: &'static str, to: Treatment) {
        let subject = Subject::Call(call);
        if !self.policy.syscalls.iter().any(|change| change.subject.includes(call)) {
            self.out.closed_calls.push(Change { subject, to, asked: self.asked });
        }
    }
}
