//! The launcher's own file: when the command could execute or change it, and the copy in
//! memory that the launcher then runs from.
//!
//! Until its exec, the command's process executes the launcher's file. A script that
//! begins with `#!/proc/self/exe`, or an ELF file whose interpreter is `/proc/self/exe`,
//! therefore has the kernel execute that file inside (as CVE-2019-5736 did). The link
//! leads to the host's mount, which no flag of a mount inside covers. A process that
//! executes the file then offers it, writable, as its own `/proc/PID/exe`.
//!
//! docs/decisions/0001-own-file.md compares the ways to prevent this.

use std::path::{Path, PathBuf};

use crate::error::Asked;
use crate::host::Host;
use crate::host::own_file::host_path;
use crate::plan::landlock;
use crate::plan::op::{Op, Step};
use crate::plan::ruleset::EXECUTE;
use crate::policy::identity::Range;
use crate::policy::{Landlock, Policy};
use crate::sys::caps;

/// The step that has the launcher run from a copy; None if the command can neither change
/// its own file nor, where no flag shows the file, execute it.
///
/// `shows` are the steps that show files inside, `landlock` the step with Landlock's
/// rules, `uids` the subordinate ids of the jail.
pub fn step(policy: &Policy, host: &Host, shows: &[Step], landlock: Option<&Step>, uids: &[Range]) -> Option<Step> {
    let copy = |asked| Step { op: Op::RunFromCopy { args_files: policy.args_files.clone(), only_make: false }, asked };
    let rules = landlock.and_then(|step| if let Op::Ruleset { ruleset, .. } = &step.op { Some(ruleset) } else { None });
    let asked = if rules.is_some_and(|rules| rules.files & EXECUTE != 0) {
        // Landlock knows files by their inodes: what it lets be executed below a directory
        // inside, it lets be executed through the host's mount, too. Files that lie in no
        // directory, such as the ones of memfd_create(2), it does not rule at all.
        let below = |step: &&Step| landlock::source_to_execute(&step.op).is_some_and(|source| host.own_file_lies_below(source));
        let descriptor = || policy.fds.iter().find(|(fd, _)| host.leads_elsewhere(*fd)).map(|(_, asked)| *asked);
        let unruled = || host.is_started_by_descriptor() && host.own_file().is_none_or(|own| own.path.is_none());
        match shows.iter().find(below) {
            Some(step) => step.asked,
            None => match descriptor() {
                Some(asked) => Some(asked),
                None if unruled() => None,
                None => return None,
            },
        }
    } else {
        unruled_by(policy)
    };
    let Some(own) = host.own_file() else { return Some(copy(asked)) };
    let shown = || own.path.as_deref().is_some_and(|path| is_executable_inside(path, shows));
    if !own.copy && own.is_safe_from(host.uid, uids) && shown() { None } else { Some(copy(asked)) }
}

/// The flag for which Landlock has no rules for files.
fn unruled_by(policy: &Policy) -> Option<Asked> {
    if policy.landlock.value == Landlock::None {
        return policy.landlock.asked.or_else(|| policy.degrade.as_ref()?.asked);
    }
    let mounts = policy.caps.iter().find(|(number, _)| *number == caps::SYS_ADMIN).map(|(_, asked)| *asked);
    policy.nested.or(mounts)
}

/// True if `steps` show the host's file `own` inside, where the command may execute it.
/// When in doubt, false: then the launcher makes a copy that was not necessary.
fn is_executable_inside(own: &Path, steps: &[Step]) -> bool {
    let mut at: Option<PathBuf> = None;
    for step in steps {
        let (shown, dest) = match landlock::places(&step.op) {
            (Some(source), Some(dest)) => (own.strip_prefix(host_path(source)).ok(), host_path(dest)),
            (None, Some(dest)) => (None, host_path(dest)),
            (_, None) => continue,
        };
        if let Some(rest) = shown {
            at = Some(dest.join(rest));
        } else if at.as_ref().is_some_and(|at| at.starts_with(&dest)) {
            at = None;
        }
    }
    at.is_some()
}
