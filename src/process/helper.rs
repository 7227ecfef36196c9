//! Finds the programs of the system that the launcher runs outside a jail: getent(1),
//! pasta(1), newuidmap(1) and newgidmap(1).
//!
//! A jailed command could have written to every place that an earlier jail of the same
//! caller showed writable. The caller's PATH often names such a place (the `bin` of a
//! virtualenv, `node_modules/.bin`, `.`). Therefore the launcher never looks at PATH: it
//! looks in fixed directories, and runs only what root alone can change.
//!
//! The kernel walks the path again when it executes the program, and finds the same file:
//! it passes the directories and links that were checked here, and only root can change
//! these. Executing a descriptor instead would break scripts (the getent of Alpine is
//! one), and before Linux 6.14 ps(1) would show the descriptor's number as the name.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Stat, StatVfsMountFlags, accessat, readlinkat, stat, statat, statfs, statvfs};
use rustix::io::Errno;

use crate::error::{Words, said};
use crate::util::escape::shown;
use crate::util::fs;
use crate::util::path::Names;

/// The directories that are searched, in this order. Set-user-ID programs of NixOS and of
/// Guix come first, because the profiles further below hold powerless files of the same
/// names. `/usr/local` comes after `/usr`: it is the one that others can more often write.
pub const DIRECTORIES: [&str; 13] = [
    "/run/wrappers/bin",
    "/run/privileged/bin",
    "/run/setuid-programs",
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/run/current-system/sw/bin",
    "/run/current-system/profile/bin",
    "/run/current-system/profile/sbin",
    "/nix/var/nix/profiles/default/bin",
];

/// The whole environment of such a program. The caller's own could make it read or run
/// what a jailed command wrote: LD_PRELOAD, LD_LIBRARY_PATH, GCONV_PATH, HOSTALIASES.
/// PATH is for scripts.
pub const ENVIRONMENT: &CStr = c"PATH=/usr/bin:/bin:/usr/sbin:/sbin:/run/current-system/sw/bin:/run/current-system/profile/bin";

/// Why there is no program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// No directory has it.
    Missing,
    /// It is there, and the launcher does not run it.
    Refused(Refused),
}

/// A program that the launcher does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// In one of the directories.
    pub program: PathBuf,
    /// What is wrong: the program, a directory above it, or what a link leads to.
    pub at: PathBuf,
    /// What is wrong with that.
    pub why: Why,
}

/// What is wrong with a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its owner is this user.
    Owner(u32),
    /// This group can write to it.
    Group(u32),
    /// Every user can write to it.
    Everyone,
    /// It is not a regular file.
    NotAFile,
    /// The caller must not execute it.
    NotExecutable,
    /// The kernel does not show it.
    Hidden(Errno),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, at, why } = self;
        write!(f, "the launcher does not run {}: ", shown(program))?;
        match at {
            _ if at == program => f.write_str("it"),
            _ if program.starts_with(at) => write!(f, "its directory {}", shown(at)),
            _ => write!(f, "{}, to which it leads,", shown(at)),
        }?;
        match why {
            Why::Owner(0) => {
                f.write_str(" is owned by uid 0, which is the caller in this user namespace, and not by the system's root")
            }
            Why::Owner(uid) => write!(f, " is owned by uid {uid}, not by root"),
            Why::Group(gid) => write!(f, " is writable by group {gid}"),
            Why::Everyone => f.write_str(" is writable by every user"),
            Why::NotAFile => f.write_str(" is not a regular file"),
            Why::NotExecutable => f.write_str(" must not be executed by the caller"),
            Why::Hidden(errno) => write!(f, " cannot be looked at: {}", said(*errno)),
        }
    }
}

impl Refused {
    /// What the user can do about it.
    pub fn remedy(&self) -> Words {
        let at = shown(&self.at);
        match self.why {
            Why::Group(_) => format!("as root: chmod g-w {at}").into(),
            Why::Everyone => format!("as root: chmod go-w {at}").into(),
            Why::Owner(_) | Why::NotAFile | Why::NotExecutable | Why::Hidden(_) => {
                let name = self.program.file_name().unwrap_or_default();
                format!("have root install {} in /usr/bin, from a package of the system", shown(name)).into()
            }
        }
    }
}

/// Finds the program `name`.
///
/// # Errors
/// No directory has one that root alone can change. The first that was refused is told.
pub fn find(name: &str) -> Result<CString, Unusable> {
    let mut refused = None;
    for found in all(name) {
        match found {
            Ok(program) => return Ok(program),
            Err(reason) => _ = refused.get_or_insert(reason),
        }
    }
    Err(refused.map_or(Unusable::Missing, Unusable::Refused))
}

/// Returns each program `name` that there is, or why the launcher does not run it.
pub fn all(name: &str) -> impl Iterator<Item = Result<CString, Refused>> {
    DIRECTORIES.into_iter().filter_map(move |directory| {
        let program = Path::new(directory).join(name);
        match check(&program) {
            Ok(true) => CString::new(program.as_os_str().as_bytes()).ok().map(Ok),
            Ok(false) => None,
            Err((at, why)) => is_there(&program).then_some(Err(Refused { program, at, why })),
        }
    })
}

/// False if nothing is at `program`: then it does not matter who can change the directories
/// above it.
fn is_there(program: &Path) -> bool {
    !matches!(stat(program), Err(Errno::NOENT | Errno::NOTDIR))
}

/// True if `program` is there and root alone can change what its path leads to; false if
/// there is nothing.
///
/// It walks as the kernel does. A component is looked at only after the directory that
/// holds it was found good, so that only root can exchange it meanwhile.
fn check(program: &Path) -> Result<bool, (PathBuf, Why)> {
    // As many as the kernel follows.
    const LINKS: usize = 40;
    let mut names = Names::of(program);
    let mut at = PathBuf::from("/");
    let root = stat("/").map_err(|errno| (at.clone(), Why::Hidden(errno)))?;
    let zero_is_root = zero_is_root();
    trusted(&at, &root, FileType::Directory, &root, zero_is_root).map_err(|why| (at.clone(), why))?;
    let mut links = 0;
    while let Some(down) = names.go(&mut at) {
        if !down {
            continue;
        }
        let here = match statat(CWD, &at, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(here) => here,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
            Err(errno) => return Err((at, Why::Hidden(errno))),
        };
        let kind = FileType::from_raw_mode(here.st_mode);
        if names.is_empty() && !matches!(kind, FileType::Directory | FileType::Symlink | FileType::RegularFile) {
            // Its mode does not matter. Often it is /dev/null, which a mount laid over the
            // program to mask it: the remedy must not have root change the mode of that.
            return Err((at, Why::NotAFile));
        }
        if let Err(why) = trusted(&at, &here, kind, &root, zero_is_root) {
            return Err((at, why));
        }
        match (kind, names.is_empty()) {
            (FileType::Directory, _) => {}
            (FileType::Symlink, _) => {
                links += 1;
                let target = if links > LINKS { Err(Errno::LOOP) } else { readlinkat(CWD, &at, Vec::new()) };
                match target {
                    Ok(target) => names.follow(Path::new(OsStr::from_bytes(target.to_bytes())), &mut at),
                    Err(errno) => return Err((at, Why::Hidden(errno))),
                }
            }
            (FileType::RegularFile, true) => {
                let executable = accessat(CWD, &at, Access::EXEC_OK, AtFlags::EACCESS);
                return if executable.is_ok() { Ok(true) } else { Err((at, Why::NotExecutable)) };
            }
            (_, true) => return Err((at, Why::NotAFile)),
            // As the kernel's ENOTDIR.
            (_, false) => return Ok(false),
        }
    }
    // It ended at a directory.
    Err((at, Why::NotAFile))
}

/// Finds what is wrong with `at`, of which the kernel says `stat`. `root` is that of `/`.
fn trusted(at: &Path, stat: &Stat, kind: FileType, root: &Stat, zero_is_root: bool) -> Result<(), Why> {
    const STICKY: u32 = 0o1000;
    let of_root = stat.st_uid == 0 && zero_is_root;
    if !of_root && !is_out_of_the_callers_reach(at, stat, kind, root) {
        return Err(Why::Owner(stat.st_uid));
    }
    // The mode of a link says nothing. In a sticky directory others add names, and cannot
    // change those of root, which is the owner of everything that is passed here: so are
    // /nix/store and /gnu/store. With an access-control list the bits of the group are its
    // mask, so that whatever it gives to others shows in them.
    if kind == FileType::Symlink || (kind == FileType::Directory && stat.st_mode & STICKY != 0) {
        return Ok(());
    }
    match stat.st_mode {
        mode if mode & 0o002 != 0 => Err(Why::Everyone),
        mode if mode & 0o020 != 0 => Err(Why::Group(stat.st_gid)),
        _ => Ok(()),
    }
}

/// In a user namespace the host's root may have no number (in a jail around this one, or
/// after `unshare -r`). True if `at` nonetheless cannot be changed by the caller:
/// - its owner has no number here, and so is not the caller; or
/// - it is a directory or link of the memory that an outer jail laid as `/` and mounted
///   read-only, which is the caller's. A program there is not taken.
fn is_out_of_the_callers_reach(at: &Path, stat: &Stat, kind: FileType, root: &Stat) -> bool {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    let Some(overflow) = unmapped_overflow_uid() else { return false };
    if stat.st_uid == overflow {
        return true;
    }
    // The directory that holds a link was found good before.
    let dir = if kind == FileType::Directory { at } else { Path::new("/") };
    let read_only = || statvfs(dir).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY));
    let memory = || statfs(dir).is_ok_and(|system| system.f_type == TMPFS_MAGIC);
    let passed = kind == FileType::Directory || kind == FileType::Symlink;
    passed && stat.st_dev == root.st_dev && read_only() && memory()
}

/// False if user id 0 is the caller and not the owner of the system: after `unshare -r`, and
/// in a jail with --as-root around this one, the system's owner has no number. In a
/// container of an ordinary user's the system itself belongs to 0.
fn zero_is_root() -> bool {
    unmapped_overflow_uid().is_none() || stat("/usr").is_ok_and(|usr| usr.st_uid == 0)
}

/// The number that the kernel shows for owners that this user namespace does not map;
/// None if it maps all, as the first one does, or if /proc does not tell.
fn unmapped_overflow_uid() -> Option<u32> {
    let overflow = number(&fs::read(Path::new("/proc/sys/kernel/overflowuid")).ok()?)?;
    let map = fs::read(Path::new("/proc/self/uid_map")).ok()?;
    if maps(&map, overflow)? { None } else { u32::try_from(overflow).ok() }
}

fn number(word: &[u8]) -> Option<u64> {
    core::str::from_utf8(word).ok()?.trim_ascii().parse().ok()
}

/// True if a line of this uid_map has `uid` inside; None if it cannot be read or is empty.
fn maps(map: &[u8], uid: u64) -> Option<bool> {
    let mut lines = map.split(|b| *b == b'\n').filter(|line| !line.is_empty()).peekable();
    lines.peek()?;
    lines.try_fold(false, |mapped, line| {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(number);
        let (first, _, count) = (words.next()??, words.next()??, words.next()??);
        Some(mapped || (first..first.saturating_add(count)).contains(&uid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat_of(uid: u32, mode: u32) -> (Stat, FileType) {
        let mut made_up = stat("/").unwrap();
        (made_up.st_uid, made_up.st_gid, made_up.st_mode) = (uid, 50, mode);
        (made_up, FileType::from_raw_mode(mode))
    }

    #[test]
    fn owner_and_mode_decide_who_can_change_a_file() {
        let (directory, file, link) = (libc::S_IFDIR, libc::S_IFREG, libc::S_IFLNK);
        for (uid, mode, expected) in [
            (0, directory | 0o755, Ok(())),
            (0, directory | 0o1775, Ok(())),
            (0, directory | 0o1777, Ok(())),
            (0, directory | 0o2755, Ok(())),
            (0, directory | 0o2775, Err(Why::Group(50))),
            (0, directory | 0o777, Err(Why::Everyone)),
            (0, directory | 0o702, Err(Why::Everyone)),
            (7, directory | 0o755, Err(Why::Owner(7))),
            (7, directory | 0o1755, Err(Why::Owner(7))),
            (0, file | 0o4755, Ok(())),
            (0, file | 0o511, Ok(())),
            (0, file | 0o775, Err(Why::Group(50))),
            (0, file | 0o1777, Err(Why::Everyone)),
            (7, file | 0o555, Err(Why::Owner(7))),
            (0, link | 0o777, Ok(())),
            (7, link | 0o777, Err(Why::Owner(7))),
        ] {
            let (stat, kind) = stat_of(uid, mode);
            assert_eq!(trusted(Path::new("/x"), &stat, kind, &stat, true), expected, "{uid} {mode:o}");
            if uid == 0 {
                let of_the_caller = trusted(Path::new("/x"), &stat, kind, &stat, false);
                assert_eq!(of_the_caller, Err(Why::Owner(0)), "{mode:o}");
            }
        }
    }

    #[test]
    fn an_owner_without_a_number_is_told_by_the_map() {
        for (map, expected) in [
            ("         0          0 4294967295\n", Some(true)),
            ("      1001       1001          1\n", Some(false)),
            ("         0       1000          1\n         1     100000      65536\n", Some(true)),
            ("         0       1000          1\n         1     100000      65533\n", Some(false)),
            ("     65534       1000          1\n", Some(true)),
            ("", None),
            ("0 x 1\n", None),
            ("0 0\n", None),
        ] {
            assert_eq!(maps(map.as_bytes(), 65_534), expected, "{map}");
        }
    }

    #[test]
    fn a_refusal_names_the_program_the_place_and_the_reason() {
        let said = |at: &str, why| {
            let refused = Refused { program: "/usr/local/bin/getent".into(), at: at.into(), why };
            format!("{refused}; {}", &*refused.remedy())
        };
        assert_eq!(
            said("/usr/local/bin", Why::Group(50)),
            "the launcher does not run /usr/local/bin/getent: its directory /usr/local/bin is writable by group 50; as root: chmod g-w /usr/local/bin"
        );
        assert_eq!(
            said("/usr/local/bin/getent", Why::Owner(7)),
            "the launcher does not run /usr/local/bin/getent: it is owned by uid 7, not by root; have root install getent in /usr/bin, from a package of the system"
        );
        assert_eq!(
            said("/home/u/x\n", Why::Everyone),
            "the launcher does not run /usr/local/bin/getent: /home/u/x\\n, to which it leads, is writable by every user; as root: chmod go-w /home/u/x\\n"
        );
    }

    #[test]
    fn a_device_is_no_program_whoever_may_write_to_it() {
        let null = Path::new("/dev/null");
        assert_eq!(check(null), Err((null.into(), Why::NotAFile)));
    }

    #[test]
    fn a_program_that_no_directory_has_is_missing() {
        assert_eq!(find("no-such-program"), Err(Unusable::Missing));
        // Slashes in it would lead out of the directories; no caller has one.
        assert!(DIRECTORIES.iter().all(|directory| directory.starts_with('/')));
    }
}
