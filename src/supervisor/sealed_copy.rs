//! The copy of the program in memory that the launcher runs from where the command could reach its file.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, fchmod, fcntl_add_seals, fstat, memfd_create, openat, sendfile};
use rustix::io::{Errno, write};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::name;

use crate::host::own_file::{BY_DESCRIPTOR, Copied, LINK, SEALS};
use crate::sys::{self, Arguments};

/// Executes a sealed copy of this program with the same arguments and environment. In the
/// copy, closes the copy to every later exec and returns. `only_make`: makes a copy and
/// does not execute it.
///
/// # Errors
/// The kernel's; ELOOP if the copy was executed and the kernel does not show this process
/// as running from it.
pub(crate) fn run_from_copy(args_files: &[Vec<u8>], only_make: bool, arguments: &Arguments) -> Result<(), Errno> {
    if !only_make {
        if Copied::of_this_process()?.is_some() {
            return forbid_execution();
        }
        if sys::executed_as().as_bytes().starts_with(BY_DESCRIPTOR) {
            return Err(Errno::LOOP);
        }
    }
    let copy = make(args_files)?;
    if only_make {
        return Ok(());
    }
    let path = CString::new(format!("/proc/self/fd/{}", copy.as_raw_fd())).map_err(|_| Errno::INVAL)?;
    // execveat(2) would do without /proc, but would name the file /dev/fd/N in AT_EXECFN,
    // as fexecve(3) of any other program does.
    Err(sys::execve_with_same_arguments(&path, arguments))
}

/// Takes all permissions from the copy that this process executes. No capability lets a
/// file be executed that no user may execute, and `/proc/self/exe` leads to it.
pub(crate) fn forbid_execution() -> Result<(), Errno> {
    let file = openat(CWD, LINK, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    fchmod(file, Mode::empty())
}

/// Makes a sealed copy of this program in memory.
pub(crate) fn make(args_files: &[Vec<u8>]) -> Result<OwnedFd, Errno> {
    let mut comm = [0; 16];
    let own_name = name()?;
    own_name.to_bytes().iter().zip(&mut comm).for_each(|(byte, to)| *to = *byte);
    let end = Copied { name: comm, args_files: args_files.to_vec() }.bytes();

    let program = openat(CWD, LINK, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let size: u64 = fstat(&program)?.st_size.try_into().map_err(|_| Errno::FBIG)?;
    let limit = make_room(size + end.len() as u64)?;
    let copied = fill(&program, size, &end);
    if let Some(limit) = limit {
        setrlimit(Resource::Fsize, limit)?;
    }
    let copy = copied?;
    fcntl_add_seals(&copy, SEALS)?;
    Ok(copy)
}

/// Raises the limit on file sizes to `size`: the kernel would end the launcher by SIGXFSZ,
/// also for a file in memory. Returns the limit to set again.
pub(crate) fn make_room(size: u64) -> Result<Option<Rlimit>, Errno> {
    // Infinity is the largest number.
    let (soft, hard) = sys::limit_on(libc::RLIMIT_FSIZE)?;
    if soft >= size {
        return Ok(None);
    }
    if hard < size {
        return Err(Errno::FBIG);
    }
    let maximum = Some(hard).filter(|hard| *hard != u64::MAX);
    setrlimit(Resource::Fsize, Rlimit { current: maximum, maximum })?;
    Ok(Some(Rlimit { current: Some(soft), maximum }))
}

/// Makes a file in memory of the first `size` bytes of `program`, and of `end`.
pub(crate) fn fill(program: &OwnedFd, size: u64, end: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Where vm.memfd_noexec is 1, a file is executable only if it is asked for (Linux 6.3).
    let memory = match memfd_create(c"jail", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => memfd_create(c"jail", flags)?,
        memory => memory?,
    };
    let mut left = size;
    while left > 0 {
        match sendfile(&memory, program.as_fd(), None, usize::try_from(left).unwrap_or(usize::MAX)) {
            // It was truncated meanwhile.
            Ok(0) => return Err(Errno::IO),
            Ok(copied) => left = left.saturating_sub(copied as u64),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let mut rest = end;
    while !rest.is_empty() {
        match write(&memory, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::own_file::{Copied, FOOTER, MARK, read_at, split};
    use rustix::fs::SealFlags;

    #[test]
    fn args_files_survive_the_copy_byte_for_byte() {
        for files in [vec![], vec![b"".to_vec()], vec![b"--ro\0/\xff\n\0".to_vec(), vec![], vec![7; 70_000]]] {
            let bytes = Copied { name: [b'j'; 16], args_files: files.clone() }.bytes();
            let (end, footer) = bytes.split_at(bytes.len() - FOOTER);
            assert_eq!((&footer[..16], &footer[24..]), (&[b'j'; 16][..], &MARK[..]));
            assert_eq!(footer[16..24], (end.len() as u64).to_le_bytes());
            assert_eq!(split(end), Some(files));
        }
    }

    #[test]
    fn damaged_args_files_are_refused() {
        assert_eq!(split(&[1]), None);
        assert_eq!(split(&2_u64.to_le_bytes()), None);
        assert_eq!(split(&u64::MAX.to_le_bytes()), None);
    }

    #[test]
    fn a_copy_is_the_program_and_cannot_be_changed() {
        let copy = make(&[b"--net\nhost".to_vec()]).expect("make a copy");
        assert_eq!(write(&copy, b"x"), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&copy, 0), Err(Errno::PERM));
        assert!(fcntl_add_seals(&copy, SealFlags::empty()).is_err());
        let size = std::fs::metadata("/proc/self/exe").expect("a program").len();
        let program = std::fs::read("/proc/self/exe").expect("read it");
        assert!(read_at(&copy, 0, usize::try_from(size).unwrap()) == Ok(program));
    }
}
