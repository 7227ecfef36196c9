//! The loopback interface.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use crate::sys::Result;

/// Brings the interface `lo` up, without errno; the kernel then gives it its addresses.
pub(crate) fn loopback_up() -> Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq is plain data, of which all zeros is a value.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    request.ifr_name[0] = b'l' as c_char;
    request.ifr_name[1] = b'o' as c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: this request reads an ifreq with the name and the flags.
    let up = unsafe { rustix::ioctl::Setter::<{ libc::SIOCSIFFLAGS as rustix::ioctl::Opcode }, _>::new(request) };
    // SAFETY: as above.
    unsafe { rustix::ioctl::ioctl(&socket, up) }
}
