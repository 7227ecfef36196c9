//! The namespaces of the jail.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::{Error, Layer};
use crate::host::Host;
use crate::plan::op::{Op, Step};
use crate::policy::files::Access;
use crate::policy::net::Net;
use crate::policy::{Anchor, Policy};
use crate::util::escape::about;

/// Where the host's own files are seen: what is shown elsewhere, or less of what lies
/// below something writable, cannot be had.
pub(crate) fn at_their_own_places(steps: &[Step], host: &Host) -> Result<(), Error> {
    let path = |path: &CString| PathBuf::from(OsStr::from_bytes(path.to_bytes()));
    for step in steps {
        let (Op::Bind { source, dest, .. } | Op::Device { source, dest } | Op::Devices { source, dest }) = &step.op else {
            continue;
        };
        let problem = if host.canonical(&path(dest)) != Ok(path(source)) {
            "to show it elsewhere needs namespaces, which this machine refuses"
        } else if matches!(&step.op, Op::Bind { access: Access::ReadOnly, .. })
            && steps.iter().any(|other| {
                matches!(&other.op,
                    Op::Bind { source: above, access: Access::Writable, .. }
                    | Op::RootTree { source: above, access: Access::Writable }
                    | Op::Devices { source: above, .. }
                    if path(source) != path(above) && path(source).starts_with(path(above)))
            })
        {
            "to protect what lies below a writable directory needs namespaces, which this machine refuses"
        } else {
            continue;
        };
        let doing = about("show ", path(dest), " alone by Landlock");
        let layer = host.lacks.first().map_or(Layer::Kernel, |(_, layer)| *layer);
        return Err(Error::usage(step.asked, problem, "leave it out here").met(doing, layer));
    }
    Ok(())
}

/// The namespaces to make at once, and those to make once the mounts stand and
/// are to be locked: a capability reaches the namespaces of its own user
/// namespace, and mounts must belong to another.
pub(crate) fn new_namespaces(policy: &Policy, lock: bool) -> (i32, i32) {
    let mut first = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;
    let mut own = libc::CLONE_NEWUTS;
    for (anchor, flag) in [(policy.ipc.value, libc::CLONE_NEWIPC), (policy.cgroup.value, libc::CLONE_NEWCGROUP)] {
        if anchor != Anchor::Host {
            own |= flag;
        }
    }
    if policy.net.value != Net::Host {
        own |= libc::CLONE_NEWNET;
    }
    if policy.pid.value != Anchor::Host {
        first |= libc::CLONE_NEWPID;
    }
    if lock { (first, own | libc::CLONE_NEWUSER | libc::CLONE_NEWNS) } else { (first | own, 0) }
}
