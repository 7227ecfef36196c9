//! The jail's cgroup.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::error::{Asked, Error, Layer, c_string};
use crate::host::Host;
use crate::host::cgroup::CgroupDir;
use crate::host::fds::CALLERS;
use crate::plan::op::{Limits, Op, Step};
use crate::policy::{Init, Policy, Setting};
use crate::util::escape::{about, shown};

/// The cgroup for the limits of the whole jail; None without such.
pub(crate) fn cgroup_step(policy: &Policy, host: &Host) -> Result<Option<Step>, Error> {
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
