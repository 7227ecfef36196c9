//! Capabilities of process 1 and of the command.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};

use crate::sys::caps;

/// Removes every capability but those of `keep` from the bounding set, whatever else this
/// kernel has.
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
