//! Limits of the command's process.

use rustix::process::Resource;

use crate::error::{Error, Layer, said};
use crate::host::Host;
use crate::policy::Setting;
use crate::sys::rlimits::Limit;

/// Returns the core limit that the command gets unless `--rlimit` sets one: 1 byte, soft
/// and hard. For a crash of the command's, the kernel then starts no core_pattern program,
/// which would run outside the jail as root. With a limit of 0 the kernel starts it
/// (core(5)). No limit keeps the kernel from a core_pattern socket (tried on Linux 7.3).
///
/// The limit is 1 also where core_pattern is the name of a file. To read core_pattern
/// would cost each launch a file, and root may change it while the jail runs.
///
/// None where the caller's hard limit is 0 and core_pattern is no program: the limit stays
/// 0, and the kernel writes no file.
///
/// # Errors
/// The caller's hard limit is 0, and core_pattern is a program.
pub(crate) fn core_limit(host: &Host) -> Result<Option<Limit>, Error> {
    if host.may_limit_core_dumps() {
        return Ok(Some(Limit { resource: Resource::Core, soft: Some(1), hard: Some(1) }));
    }
    if !host.pipes_core_dumps() {
        return Ok(None);
    }
    let problem = "the caller's hard core limit is 0, with which the kernel starts the program of kernel.core_pattern outside";
    let remedy = "raise the hard limit to 1 or more (limits.conf(5), or prlimit --core=1 --pid PID as root, for the shell that \
                  starts jail), or let crashes inside start that program with --rlimit core=0";
    Err(Error::usage(None, problem, remedy).met("keep core dumps inside", Layer::Kernel))
}

/// The first so many of those that the caller may run on.
pub(crate) fn processors(wanted: &Setting<usize>, host: &Host) -> Result<Vec<usize>, Error> {
    let refuse = |problem: String, remedy: &'static str| {
        Error::usage(wanted.asked, problem, remedy).met("choose processors", Layer::Kernel)
    };
    let mut set = host.processors().map_err(|errno| refuse(said(errno), "leave it out here"))?;
    if set.len() < wanted.value {
        let problem = match set.len() {
            1 => "the caller may run on 1 processor".into(),
            n => format!("the caller may run on {n} processors"),
        };
        return Err(refuse(problem, "write no more than nproc(1) says; taskset(1) or a cgroup's cpuset may hide some"));
    }
    set.truncate(wanted.value);
    Ok(set)
}
