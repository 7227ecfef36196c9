//! Landlock's rules and the system-call policy as steps.

use std::borrow::Cow;

use crate::error::{Asked, Error, Layer};
use crate::host::Host;
use crate::plan::degrade::Degraded;
use crate::plan::landlock::{HAS_FILES, HAS_PORTS};
use crate::plan::op::{Op, Step};
use crate::plan::{first, landlock};
use crate::policy::{Anchor, Landlock, Policy, Seccomp};
use crate::seccomp::explain_denied::Trace;
use crate::seccomp::overrides::{self, Change};
use crate::seccomp::policy::bpf::{self, Program};
use crate::sys::caps;

/// The system-call policy, with what it closes for others, and how what it refuses is
/// told; None without.
pub(crate) fn filter_calls(policy: &Policy, closed: &[Change]) -> Result<(Option<Step>, Option<Trace>), Error> {
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
pub(crate) const OPENING: [u32; 3] = [caps::SYS_ADMIN, caps::SYS_BOOT, caps::NET_RAW];

/// Landlock's rules for what `shows` shows; None without. `lock`: the command has what
/// it takes to mount.
pub(crate) fn landlock_step(
    policy: &Policy,
    host: &Host,
    shows: &[Step],
    lock: bool,
    degraded: &Degraded,
) -> Result<Option<Step>, Error> {
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
