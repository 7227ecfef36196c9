//! The launcher's own file: when the command could execute or change it, and the copy in
//! memory that the launcher then runs from.
//!
//! Until its exec, the command's process executes the launcher's file. A script that
//! begins with `#!/proc/self/exe`, or an ELF file whose interpreter is `/proc/self/exe`,
//! therefore has the kernel execute that file inside (as CVE-2019-5736 did). The link
//! leads to the host's mount, which no flag of a mount inside covers. A process that
//! executes the file then offers it, writable, as its own `/proc/PID/exe`.
//!
//! docs/decisions/0001-own-file.md compares the ways to prevent this.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, MemfdFlags, Mode, OFlags, SealFlags, fchmod, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create, openat,
    readlinkat, sendfile, statat,
};
use rustix::io::{Errno, pread, write};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{name, set_name};

use crate::error::Asked;
use crate::host::Host;
use crate::plan::landlock::{self, EXECUTE};
use crate::plan::{Op, Range, Step};
use crate::policy::{Landlock, Policy};
use crate::sys::caps;
use crate::sys::{self, Arguments};

/// The kernel's link to the file that this process executes.
const LINK: &str = "/proc/self/exe";

/// The path by which the launcher executes its copy begins so. The kernel hands it to
/// the new program as AT_EXECFN.
const BY_DESCRIPTOR: &[u8] = b"/proc/self/fd/";

/// No write, no change of length, no change of these seals.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::GROW).union(SealFlags::SHRINK).union(SealFlags::SEAL);

/// The last bytes of a copy, behind which an ELF loader never looks.
const MARK: [u8; 16] = *b"\0copy of jail 1\0";

/// The process name (16 bytes), the length of what precedes it (8 bytes), `MARK`.
const FOOTER: usize = 16 + 8 + MARK.len();

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
    fn is_safe_from(&self, caller: u32, uids: &[Range]) -> bool {
        let owns = |range: &Range| (range.outside..range.outside.saturating_add(range.count)).contains(&self.owner);
        // The group's bits are the mask of an access control list, if the file has one.
        self.owner != caller && !uids.iter().any(owns) && self.mode & 0o022 == 0
    }
}

fn host_path(path: &CStr) -> PathBuf {
    OsStr::from_bytes(path.to_bytes()).into()
}

/// The device and inode of what lies at `path`.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let stat = statat(CWD, path, AtFlags::empty()).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// True if the caller executed the launcher through a descriptor, as it is for the
/// second start from a copy. The file may then be in memory.
pub fn is_by_descriptor() -> bool {
    let path = sys::executed_as().as_bytes();
    path.starts_with(BY_DESCRIPTOR) || path.starts_with(b"/dev/fd/")
}

/// The step that has the launcher run from a copy; None if the command can neither change
/// its own file nor, where no flag shows the file, execute it.
///
/// `shows` are the steps that show files inside, `landlock` the step with Landlock's
/// rules, `uids` the subordinate ids of the jail.
pub fn step(policy: &Policy, host: &Host, shows: &[Step], landlock: Option<&Step>, uids: &[Range]) -> Option<Step> {
    let copy = |asked| Step { op: Op::RunFromCopy { args_files: policy.args_files.clone(), only_make: false }, asked };
    let rules = landlock.and_then(|step| if let Op::Ruleset { ruleset, .. } = &step.op { Some(ruleset) } else { None });
    let asked = if rules.is_some_and(|rules| rules.files & EXECUTE != 0) {
        // Landlock knows files by their inodes: what it lets be executed below a directory
        // inside, it lets be executed through the host's mount, too. Files that lie in no
        // directory, such as the ones of memfd_create(2), it does not rule at all.
        let below = |step: &&Step| landlock::source_to_execute(&step.op).is_some_and(|source| host.own_file_lies_below(source));
        let descriptor = || policy.fds.iter().find(|(fd, _)| host.leads_elsewhere(*fd)).map(|(_, asked)| *asked);
        let unruled = || host.is_started_by_descriptor() && host.own_file().is_none_or(|own| own.path.is_none());
        match shows.iter().find(below) {
            Some(step) => step.asked,
            None => match descriptor() {
                Some(asked) => Some(asked),
                None if unruled() => None,
                None => return None,
            },
        }
    } else {
        unruled_by(policy)
    };
    let Some(own) = host.own_file() else { return Some(copy(asked)) };
    let shown = || own.path.as_deref().is_some_and(|path| is_executable_inside(path, shows));
    if !own.copy && own.is_safe_from(host.uid, uids) && shown() { None } else { Some(copy(asked)) }
}

/// The flag for which Landlock has no rules for files.
fn unruled_by(policy: &Policy) -> Option<Asked> {
    if policy.landlock.value == Landlock::None {
        return policy.landlock.asked.or_else(|| policy.degrade.as_ref()?.asked);
    }
    let mounts = policy.caps.iter().find(|(number, _)| *number == caps::SYS_ADMIN).map(|(_, asked)| *asked);
    policy.nested.or(mounts)
}

/// True if `steps` show the host's file `own` inside, where the command may execute it.
/// When in doubt, false: then the launcher makes a copy that was not necessary.
fn is_executable_inside(own: &Path, steps: &[Step]) -> bool {
    let mut at: Option<PathBuf> = None;
    for step in steps {
        let (shown, dest) = match landlock::places(&step.op) {
            (Some(source), Some(dest)) => (own.strip_prefix(host_path(source)).ok(), host_path(dest)),
            (None, Some(dest)) => (None, host_path(dest)),
            (_, None) => continue,
        };
        if let Some(rest) = shown {
            at = Some(dest.join(rest));
        } else if at.as_ref().is_some_and(|at| at.starts_with(&dest)) {
            at = None;
        }
    }
    at.is_some()
}

/// What the first start hands to the second.
#[derive(Debug, PartialEq, Eq)]
pub struct Copied {
    /// The process name of the first start, which exec replaces.
    name: [u8; 16],
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
    fn bytes(&self) -> Vec<u8> {
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
fn split(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
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
fn read_at(file: &OwnedFd, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
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
/// file be executed that nobody may execute, and `/proc/self/exe` leads to it.
fn forbid_execution() -> Result<(), Errno> {
    let file = openat(CWD, LINK, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    fchmod(file, Mode::empty())
}

/// Makes a sealed copy of this program in memory.
fn make(args_files: &[Vec<u8>]) -> Result<OwnedFd, Errno> {
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
fn make_room(size: u64) -> Result<Option<Rlimit>, Errno> {
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
fn fill(program: &OwnedFd, size: u64, end: &[u8]) -> Result<OwnedFd, Errno> {
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
