//! From `Policy` and `Host` to the list of steps. It has no effects, and it alone decides:
//! `report` prints the list, `supervisor` and `child` perform it. Test it with the fake host.

pub(crate) mod cgroup;
pub(crate) mod degrade;
pub(crate) mod describe;
pub(crate) mod devices;
pub(crate) mod environment;
pub(crate) mod fs;
pub(crate) mod ids;
pub(crate) mod landlock;
pub(crate) mod layers;
pub(crate) mod limits;
pub(crate) mod namespaces;
pub(crate) mod near;
pub(crate) mod op;
pub(crate) mod own_file;
pub(crate) mod reach;
pub(crate) mod ruleset;
#[cfg(test)]
mod tests;

use crate::error::{Asked, Error, Layer, Words};
use crate::host::Host;
use crate::plan::cgroup::cgroup_step;
use crate::plan::degrade::degrade;
use crate::plan::devices::own_device;
use crate::plan::environment::{kept_descriptors, variables, writable_descriptor};
use crate::plan::fs::layout::Builder;
use crate::plan::fs::requests::{files_error, wanted};
use crate::plan::ids::{ids_inside, subordinate_ids};
use crate::plan::layers::{filter_calls, landlock_step};
use crate::plan::limits::{core_limit, processors};
use crate::plan::namespaces::{at_their_own_places, new_namespaces};
use crate::plan::op::{Mapped, Op, Step};
use crate::plan::reach::reached;
use crate::policy::files::What;
use crate::policy::identity::{Ids, Range};
use crate::policy::net::Net;
use crate::policy::{Anchor, Init, Policy};
use crate::process::helper::Unusable;
use crate::process::path_search::candidates;
use crate::seccomp::explain_denied::Trace;
use crate::sys::caps;
use crate::sys::rlimits::Limit;
use std::ffi::{CString, OsString};
use std::time::Duration;

/// How long the jail may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    /// From the start of the launch to SIGTERM.
    pub timeout: Duration,
    /// From SIGTERM to the end of everything.
    pub grace: Duration,
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
    let ids = ids_inside(policy, caller);
    let named = policy.caps.iter().fold(0, |set, (number, _)| set | caps::only(*number));
    let keep = named | if policy.jailed_root().is_some() { caps::JAILED_ROOT } else { 0 };
    let lock = keep & caps::only(caps::SYS_ADMIN) != 0;
    let (mut namespaces, mut later) = new_namespaces(policy, lock);
    if bare {
        namespaces = 0;
    }
    if degraded.shared_name {
        namespaces &= !libc::CLONE_NEWUTS;
        later &= !libc::CLONE_NEWUTS;
    }
    let cgroup = cgroup_step(policy, host)?;
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
        let subids = subordinate_ids(caller, &host.subordinate(), asked)?;
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
    let landlock = landlock_step(policy, host, &builder.steps, lock, &degraded)?;
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
    let env = variables(policy, host)?;
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

/// The flag with the smallest number, whichever was typed first.
pub(crate) fn first<N: Ord + Copy>(asked: &[(N, Asked)]) -> Option<Asked> {
    asked.iter().min_by_key(|(number, _)| *number).map(|(_, asked)| *asked)
}

/// Returns the path of pasta(1), or the error that says why the launcher does not run it.
pub(crate) fn pasta(host: &Host, asked: Option<Asked>) -> Result<CString, Error> {
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
