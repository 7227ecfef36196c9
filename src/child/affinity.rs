//! The processors that the command runs on.

use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Runs on these processors only. A cgroup may have taken some meanwhile: the kernel is
/// content with one that is left.
pub(crate) fn run_on(processors: &[usize]) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    processors.iter().for_each(|number| set.set(*number));
    sched_setaffinity(None, &set)?;
    if sched_getaffinity(None)? == set { Ok(()) } else { Err(Errno::NXIO) }
}
