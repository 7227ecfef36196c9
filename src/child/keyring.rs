//! The session keyring of the jail.

use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::thread::nanosleep;

use crate::sys;

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
