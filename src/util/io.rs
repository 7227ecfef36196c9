//! Writing all of a text.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

/// Writes all of `text`, or says why not.
///
/// # Errors
/// The kernel's: a full disk, a closed descriptor, a broken pipe.
pub fn print(to: BorrowedFd<'_>, text: &str) -> Result<(), Errno> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
