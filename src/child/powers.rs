//! Capabilities.

use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, CpuSet, configure_capability_in_ambient_set, nanosleep, remove_capability_from_bounding_set,
    sched_getaffinity, sched_setaffinity, set_capabilities,
};

use crate::sys;
use crate::sys::caps;

pub(crate) fn bound(keep: caps::Set) -> Result<(), Errno> {
    for number in 0..64 {
        let one = caps::only(number);
        if keep & one != 0 {
            continue;
        }
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(one)) {
            Ok(()) => {}
            // The first number that this kernel does not know.
            Err(Errno::INVAL) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Makes `keep` the capabilities of this process, and of what it executes.
pub(crate) fn hold(keep: caps::Set) -> Result<(), Errno> {
    let set = CapabilitySet::from_bits_retain(keep);
    set_capabilities(None, CapabilitySets { effective: set, permitted: set, inheritable: set })?;
    for number in (0..64).filter(|number| keep & caps::only(*number) != 0) {
        configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(caps::only(number)), true)?;
    }
    Ok(())
}

/// Leaves the caller's session keyring for a new one. Each counts as one of the user's
/// keys, of which there are 200, and those of jails that have just ended still do:
/// the kernel takes them back a little later.
pub(crate) fn new_session_keyring() -> Result<(), Errno> {
    for _ in 0..100 {
        match sys::new_session_keyring() {
            Err(Errno::DQUOT) => {
                let _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: 5_000_000 });
            }
            done => return done,
        }
    }
    Err(Errno::DQUOT)
}

/// Runs on these processors only. A cgroup may have taken some meanwhile: the kernel is
/// content with one that is left.
pub(crate) fn run_on(processors: &[usize]) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    processors.iter().for_each(|number| set.set(*number));
    sched_setaffinity(None, &set)?;
    if sched_getaffinity(None)? == set { Ok(()) } else { Err(Errno::NXIO) }
}
