//! Descriptors of root's devices, which the jail replaces.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::Error;
use crate::host::Host;
use crate::host::path_kind::Fact;
use crate::plan::fs::requests::files_error;
use crate::plan::op::{Op, Step};
use crate::util::escape::about;

/// Returns the step that has descriptor `fd` of a root caller refer to the jail's own
/// mount of the device behind it, which `shows` may hold. The caller's mount is writable: through it, the command
/// could change the mode of the host's /dev/null.
///
/// # Errors
/// The host's /dev does not have that device.
pub(crate) fn own_device(fd: i32, host: &Host, shows: &[Step]) -> Result<Option<Op>, Error> {
    // Another user owns no such device, so it cannot change one.
    if host.uid != 0 {
        return Ok(None);
    }
    let Some(minor) = host.memory_device(fd) else { return Ok(None) };
    let Some((_, source)) = MEMORY_DEVICES.iter().find(|(known, _)| *known == minor) else { return Ok(None) };
    let device = OsStr::from_bytes(source.to_bytes());
    if host.look(device.as_ref()) != Fact::Device {
        let doing = about("open the jail's own ", device, &format!(" as descriptor {fd}"));
        return Err(files_error(None, doing, "the host has no such device", "redirect the descriptor to a pipe or a file"));
    }
    let path = |path: &CString| PathBuf::from(OsStr::from_bytes(path.to_bytes()));
    let is_hidden = |shown: &CString| {
        shows.iter().any(|step| matches!(&step.op, Op::Hide { dest, .. } if path(shown).starts_with(path(dest))))
    };
    let dest = shows.iter().find_map(|step| {
        let Op::Device { source: shown, dest } = &step.op else { return None };
        (shown.as_c_str() == *source && !is_hidden(dest)).then(|| dest.clone())
    });
    Ok(Some(Op::OwnDevice { fd, minor, source, dest }))
}

/// Devices of major number 1 that do not differ between jail and host, by their minor
/// numbers. All users share them.
pub(crate) const MEMORY_DEVICES: [(u32, &CStr); 5] =
    [(3, c"/dev/null"), (5, c"/dev/zero"), (7, c"/dev/full"), (8, c"/dev/random"), (9, c"/dev/urandom")];
