//! The file that this process executes.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, SealFlags, fcntl_get_seals, fstat, openat, readlinkat, statat};
use rustix::io::{Errno, pread};
use rustix::thread::set_name;

use crate::policy::identity::Range;
use crate::sys;

/// The kernel's link to the file that this process executes.
pub(crate) const LINK: &str = "/proc/self/exe";

/// The path by which the launcher executes its copy begins so. The kernel hands it to
/// the new program as AT_EXECFN.
pub(crate) const BY_DESCRIPTOR: &[u8] = b"/proc/self/fd/";

/// No write, no change of length, no change of these seals.
pub(crate) const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::GROW).union(SealFlags::SHRINK).union(SealFlags::SEAL);

/// The last bytes of a copy, behind which an ELF loader never looks.
pub(crate) const MARK: [u8; 16] = *b"\0copy of jail 1\0";

/// The process name (16 bytes), the length of what precedes it (8 bytes), `MARK`.
pub(crate) const FOOTER: usize = 16 + 8 + MARK.len();

/// What the plan must know of the launcher's own file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFile {
    /// True if it is a sealed copy that this program made and executed.
    pub copy: bool,
    /// Its canonical path; None if it has none: it is in memory, or was removed.
    pub path: Option<PathBuf>,
    /// The user id of its owner.
    pub owner: u32,
    /// Its permission bits.
    pub mode: u32,
    /// The device and inode of the file and of each directory above it.
    pub above: Vec<(u64, u64)>,
}

impl OwnFile {
    /// Reads these facts from the kernel.
    ///
    /// # Errors
    /// /proc is not mounted, or it refuses.
    pub fn observe() -> Result<Self, Errno> {
        let stat = statat(CWD, LINK, AtFlags::empty())?;
        let path = host_path(&readlinkat(CWD, LINK, Vec::new())?);
        // A removed file has " (deleted)" behind its path, and a mount may cover the path.
        let above: Vec<_> = path.ancestors().map_while(identity).collect();
        let named = stat.st_nlink > 0 && above.first() == Some(&(stat.st_dev, stat.st_ino));
        let copy = stat.st_nlink == 0 && matches!(Copied::of_this_process(), Ok(Some(_)));
        let path = named.then_some(path);
        Ok(Self { copy, path, owner: stat.st_uid, mode: stat.st_mode & 0o7777, above })
    }

    /// True if the file is `source` or lies below it, as far as can be known.
    pub fn lies_below(&self, source: &Path) -> bool {
        self.path.is_none() || identity(source).is_none_or(|source| self.above.contains(&source))
    }

    /// True if none of the command's ids may change the file. `caller` and `uids` are
    /// the ids outside that the jail has.
    pub(crate) fn is_safe_from(&self, caller: u32, uids: &[Range]) -> bool {
        let owns = |range: &Range| (range.outside..range.outside.saturating_add(range.count)).contains(&self.owner);
        // The group's bits are the mask of an access control list, if the file has one.
        self.owner != caller && !uids.iter().any(owns) && self.mode & 0o022 == 0
    }
}

pub(crate) fn host_path(path: &CStr) -> PathBuf {
    OsStr::from_bytes(path.to_bytes()).into()
}

/// The device and inode of what lies at `path`.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    let stat = statat(CWD, path, AtFlags::empty()).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// True if the caller executed the launcher through a descriptor, as it is for the
/// second start from a copy. The file may then be in memory.
pub fn is_by_descriptor() -> bool {
    let path = sys::executed_as().as_bytes();
    path.starts_with(BY_DESCRIPTOR) || path.starts_with(b"/dev/fd/")
}

/// What the first start hands to the second.
#[derive(Debug, PartialEq, Eq)]
pub struct Copied {
    /// The process name of the first start, which exec replaces.
    pub(crate) name: [u8; 16],
    /// The content of each `--args` file, in the order of the command line. A pipe cannot
    /// be read a second time.
    pub args_files: Vec<Vec<u8>>,
}

impl Copied {
    /// What was handed to this process; None if it does not run from a copy.
    ///
    /// # Errors
    /// It cannot be found out. The launcher must not go on then: it would lose the flags of
    /// a pipe that the first start has read.
    pub fn of_this_process() -> Result<Option<Self>, Errno> {
        // Only for the second start, so that the first makes no system call for it.
        if !sys::executed_as().as_bytes().starts_with(BY_DESCRIPTOR) {
            return Ok(None);
        }
        let file = openat(CWD, LINK, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        // Only a file in memory has seals, and these seals stay: the kernel says this of the
        // file that is being executed. No argument and no variable is trusted for it.
        match fcntl_get_seals(&file) {
            Ok(seals) if seals.contains(SEALS) => {}
            Ok(_) | Err(Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        let size = u64::try_from(fstat(&file)?.st_size).map_err(|_| Errno::FBIG)?;
        let Some(end) = size.checked_sub(FOOTER as u64) else { return Ok(None) };
        let footer = read_at(&file, end, FOOTER)?;
        let Some((name, rest)) = footer.split_first_chunk::<16>() else { return Ok(None) };
        let Some((length, mark)) = rest.split_first_chunk::<8>() else { return Ok(None) };
        if mark != MARK {
            return Ok(None);
        }
        let length = u64::from_le_bytes(*length);
        let start = end.checked_sub(length).ok_or(Errno::NOEXEC)?;
        let files = read_at(&file, start, usize::try_from(length).map_err(|_| Errno::FBIG)?)?;
        Ok(Some(Self { name: *name, args_files: split(&files).ok_or(Errno::NOEXEC)? }))
    }

    /// Gives the process its earlier name again, for ps(1) and pkill(1).
    pub fn restore_name(&self) {
        let bytes = self.name.split(|byte| *byte == 0).next().unwrap_or(b"");
        if let Ok(name) = CString::new(bytes) {
            let _ = set_name(&name);
        }
    }

    /// The bytes behind the program in a copy.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for file in &self.args_files {
            all.extend_from_slice(&(file.len() as u64).to_le_bytes());
            all.extend_from_slice(file);
        }
        let length = all.len() as u64;
        all.extend_from_slice(&self.name);
        all.extend_from_slice(&length.to_le_bytes());
        all.extend_from_slice(&MARK);
        all
    }
}

/// The files, each of which follows its length.
pub(crate) fn split(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut files = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (file, rest) = rest.split_at_checked(u64::from_le_bytes(*length).try_into().ok()?)?;
        files.push(file.to_vec());
        bytes = rest;
    }
    Some(files)
}

/// Reads `length` bytes from `offset` on.
pub(crate) fn read_at(file: &OwnedFd, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        match pread(file, &mut bytes[done..], offset + done as u64) {
            Ok(0) => return Err(Errno::IO),
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(bytes)
}
