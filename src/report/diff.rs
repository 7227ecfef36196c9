//! `--diff`: what a directory of `--overlay` holds, beside the tree that it was laid
//! over. A jail has made what is in it: no link is followed, nothing is opened that is
//! no regular file or directory, and no depth is too great.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, SeekFrom, Stat, accessat, flock, fstat, lgetxattr,
    llistxattr, openat, readlinkat, seek, statat,
};
use rustix::io::{Errno, pread};

use crate::cli::request::{Diff, Format};
use crate::error::{Error, said};
use crate::host::path_kind::overlay_opaque;
use crate::plan::fs::requests::files_error;
use crate::plan::op::CHANGES;
use crate::util::escape::{about, shown};
use crate::util::json::json;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// What is printed at once.
const PART: usize = 1 << 16;
/// The longest path that the kernel takes (PATH_MAX without the NUL), and so the longest
/// that is printed whole: what a tree of 6,000 levels prints would grow with its square.
const LONGEST: usize = 4095;
/// How much of each end of a longer path is printed.
const END: usize = 1000;

/// What became of a path.
#[derive(Clone, Copy)]
enum Change {
    Added,
    Changed,
    Deleted,
    /// Added or changed: without the tree nobody knows.
    Written,
}

impl Change {
    /// A letter for a person, a word for a program.
    fn names(self) -> (char, &'static str) {
        match self {
            Self::Added => ('A', "added"),
            Self::Changed => ('C', "changed"),
            Self::Deleted => ('D', "deleted"),
            Self::Written => ('W', "written"),
        }
    }
}

/// A directory on the way down, on the side of the changes, of the tree, or both.
struct Level {
    /// What is still to be looked at, the last first.
    names: Vec<CString>,
    /// How long the path was above it.
    path: usize,
    /// What the directories were when they were gone down into.
    changes: Option<Id>,
    tree: Option<Id>,
    /// Is nothing of the tree's seen here?
    replaced: bool,
}

type Id = (u64, u64);

fn id(stat: &Stat) -> Id {
    (stat.st_dev, stat.st_ino)
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn is_dir(stat: Option<&Stat>) -> bool {
    stat.is_some_and(|stat| kind(stat) == FileType::Directory)
}

/// The kernel's mark of what was deleted.
fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

struct Walk<'a> {
    diff: &'a Diff,
    out: &'a mut dyn FnMut(&str) -> Result<(), Error>,
    text: String,
    first: bool,
    /// Below the root; empty there.
    path: Vec<u8>,
    /// The directory that is looked at, on either side. The one below which the other
    /// side goes on alone stays where it is.
    changes: OwnedFd,
    tree: Option<OwnedFd>,
    buffers: [Vec<u8>; 2],
}

/// Prints all of it by `out`.
///
/// # Errors
/// What cannot be read.
pub fn run(diff: &Diff, out: &mut dyn FnMut(&str) -> Result<(), Error>) -> Result<(), Error> {
    let refuse = |path: &Path, problem: String, remedy: &'static str| {
        files_error(diff.asked.as_ref(), about("compare ", path, ""), problem, remedy)
    };
    let open = |path: &Path| {
        openat(CWD, path, DIRECTORY, Mode::empty())
            .map_err(|errno| refuse(path, said(errno), "name a directory that can be read"))
    };
    let dir = open(&diff.dir)?;
    // Not while a run has it.
    match flock(&dir, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {}
        Err(Errno::AGAIN) => return Err(refuse(&diff.dir, "a run has it".into(), "wait until that has ended")),
        Err(errno) => return Err(refuse(&diff.dir, said(errno), "name a directory of --overlay")),
    }
    let changes = openat(&dir, CHANGES, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
        .map_err(|errno| refuse(&diff.dir.join(CHANGES), said(errno), "name a directory that --overlay has kept changes in"))?;
    let tree = diff.root.as_deref().map(open).transpose()?;
    // Attributes are read by it, the mark of a replaced directory among them. Without it
    // every file would seem to be changed, and what such a directory lost would be left out.
    let by_proc = statat(CWD, path_of(&changes, c"."), AtFlags::empty()).map(|stat| id(&stat));
    if by_proc != fstat(&changes).map(|stat| id(&stat)) {
        let remedy = "/proc is not mounted here: mount it, jail reads attributes by /proc/self/fd";
        return Err(refuse(&diff.dir, said(by_proc.err().unwrap_or(Errno::NOENT)), remedy));
    }
    let mut walk = Walk {
        diff,
        out,
        text: String::new(),
        first: true,
        path: Vec::new(),
        changes,
        tree,
        buffers: [vec![0; PART], vec![0; PART]],
    };
    walk.all()
}

impl Walk<'_> {
    fn failed(&self, errno: Errno) -> Error {
        let path = if self.path.is_empty() { ".".into() } else { shown(OsStr::from_bytes(&self.path)) };
        let remedy = match errno {
            Errno::ACCESS => match self.unreadable() {
                Some(path) => about("its owner can let it be read: chmod u+rx ", &path, ""),
                None => "its owner can let it be read, by chmod u+rx".into(),
            },
            _ => "let nothing else change it meanwhile".into(),
        };
        files_error(self.diff.asked.as_ref(), format!("compare {path}"), said(errno), remedy)
    }

    /// The directory at `path` that may not be read, in the changes or in the tree.
    fn unreadable(&self) -> Option<PathBuf> {
        let sides = [Some(self.diff.dir.join(CHANGES)), self.diff.root.clone()];
        let places = sides.into_iter().flatten().map(|side| match self.path.is_empty() {
            true => side,
            false => side.join(OsStr::from_bytes(&self.path)),
        });
        let refused = |path: &PathBuf| accessat(CWD, path, Access::READ_OK | Access::EXEC_OK, AtFlags::EACCESS);
        places.into_iter().find(|path| refused(path) == Err(Errno::ACCESS))
    }

    fn all(&mut self) -> Result<(), Error> {
        if self.diff.format == Format::Json {
            self.text.push('[');
        }
        let changes = fstat(&self.changes).map_err(|errno| self.failed(errno))?;
        let tree = self.tree.as_ref().map(fstat).transpose().map_err(|errno| self.failed(errno))?;
        if let Some(tree) = &tree {
            if self.differ(c".", &changes, tree) {
                self.print(Change::Changed, &changes)?;
            }
        }
        let names = self.names(true, false).map_err(|errno| self.failed(errno))?;
        let mut levels =
            vec![Level { names, path: 0, changes: Some(id(&changes)), tree: tree.as_ref().map(id), replaced: false }];
        while let Some(level) = levels.last_mut() {
            self.path.truncate(level.path);
            let Some(name) = level.names.pop() else {
                let ended = levels.pop();
                self.up(ended.as_ref(), &levels)?;
                continue;
            };
            let (sides, replaced) = ((level.changes.is_some(), level.tree.is_some()), level.replaced);
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
            if let Some(below) = self.look(&name, sides, replaced)? {
                levels.push(below);
            }
        }
        if self.diff.format == Format::Json {
            self.text.push_str(if self.first { "]\n" } else { "\n]\n" });
        }
        (self.out)(&self.text)
    }

    /// Looks at `name` in the directory on either or both of the sides, and goes down
    /// into it.
    fn look(&mut self, name: &CStr, (in_changes, in_tree): (bool, bool), replaced: bool) -> Result<Option<Level>, Error> {
        let stat = |dir: Option<&OwnedFd>| {
            let stat = dir.map(|dir| statat(dir, name, AtFlags::SYMLINK_NOFOLLOW));
            match stat {
                None | Some(Err(Errno::NOENT)) => Ok(None),
                Some(stat) => stat.map(Some),
            }
        };
        let changes = stat(Some(&self.changes).filter(|_| in_changes)).map_err(|errno| self.failed(errno))?;
        let tree = stat(self.tree.as_ref().filter(|_| in_tree)).map_err(|errno| self.failed(errno))?;
        let changes = match changes {
            Some(mark) if is_whiteout(&mark) => {
                if self.diff.root.is_none() {
                    self.print(Change::Deleted, &mark)?;
                }
                None
            }
            changes => changes,
        };
        let change = match (&changes, &tree) {
            (None, None) => return Ok(None),
            (None, Some(_)) => Some(Change::Deleted),
            (Some(_), None) if self.diff.root.is_none() => Some(Change::Written),
            (Some(_), None) => Some(Change::Added),
            (Some(changes), Some(tree)) => self.differ(name, changes, tree).then_some(Change::Changed),
        };
        if let (Some(change), Some(stat)) = (change, changes.as_ref().or(tree.as_ref())) {
            self.print(change, stat)?;
        }
        let (in_changes, in_tree) = (is_dir(changes.as_ref()), is_dir(tree.as_ref()));
        if !in_changes && !in_tree {
            return Ok(None);
        }
        // Where the changes have no directory, what the tree has in it is gone with it.
        let replaced = replaced || !in_changes || overlay_opaque(&path_of(&self.changes, name));
        self.down(name, in_changes, in_tree, replaced).map(Some).map_err(|errno| self.failed(errno))
    }

    /// Goes into directory `name` on the sides that have it.
    fn down(&mut self, name: &CStr, in_changes: bool, in_tree: bool, replaced: bool) -> Result<Level, Errno> {
        let enter = |dir: &mut OwnedFd| -> Result<Id, Errno> {
            let below = openat(&*dir, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
            *dir = below;
            fstat(&*dir).map(|stat| id(&stat))
        };
        let changes = if in_changes { Some(enter(&mut self.changes)?) } else { None };
        let tree = match &mut self.tree {
            Some(tree) if in_tree => Some(enter(tree)?),
            Some(_) | None => None,
        };
        Ok(Level { names: self.names(in_changes, in_tree && replaced)?, path: self.path.len(), changes, tree, replaced })
    }

    /// Goes up again from the directory that `ended`.
    fn up(&mut self, ended: Option<&Level>, levels: &[Level]) -> Result<(), Error> {
        let leave = |dir: &mut OwnedFd, to: Option<Id>| -> Result<(), Errno> {
            let above = openat(&*dir, c"..", DIRECTORY, Mode::empty())?;
            // Someone has moved it.
            if Some(id(&fstat(&above)?)) != to {
                return Err(Errno::STALE);
            }
            *dir = above;
            Ok(())
        };
        let (Some(ended), false) = (ended, levels.is_empty()) else { return Ok(()) };
        let mut left = Ok(());
        if ended.changes.is_some() {
            left = leave(&mut self.changes, levels.iter().rev().find_map(|level| level.changes));
        }
        if let (Some(_), Some(tree)) = (ended.tree, &mut self.tree) {
            left = left.and(leave(tree, levels.iter().rev().find_map(|level| level.tree)));
        }
        left.map_err(|errno| self.failed(errno))
    }

    /// The names in the directory, on either or both sides, the last first.
    fn names(&self, of_changes: bool, of_tree: bool) -> Result<Vec<CString>, Errno> {
        let mut names = Vec::new();
        let sides = [Some(&self.changes).filter(|_| of_changes), self.tree.as_ref().filter(|_| of_tree)];
        for dir in sides.into_iter().flatten() {
            for entry in Dir::read_from(dir)? {
                let entry = entry?;
                if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                    names.push(entry.file_name().to_owned());
                }
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        names.dedup();
        Ok(names)
    }

    /// Do the two called `name` differ in anything but their times? What cannot be read
    /// counts as other.
    fn differ(&mut self, name: &CStr, changes: &Stat, tree: &Stat) -> bool {
        let is = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid);
        if is(changes) != is(tree) || self.attributes(name) {
            return true;
        }
        let Some(lower) = &self.tree else { return true };
        match kind(changes) {
            FileType::RegularFile => {
                changes.st_size != tree.st_size || {
                    let [one, other] = &mut self.buffers;
                    !same_content(&self.changes, lower, name, one, other)
                }
            }
            FileType::Symlink => {
                let link = |dir: &OwnedFd| readlinkat(dir, name, Vec::new()).ok();
                let target = link(&self.changes);
                target.is_none() || target != link(lower)
            }
            FileType::CharacterDevice | FileType::BlockDevice => changes.st_rdev != tree.st_rdev,
            FileType::Directory | FileType::Fifo | FileType::Socket | FileType::Unknown => false,
        }
    }

    /// Do the attributes differ that the user can set, and those that give rights?
    fn attributes(&mut self, name: &CStr) -> bool {
        let Some(lower) = &self.tree else { return true };
        let of = |dir: &OwnedFd, buffer: &mut [u8]| -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
            let path = path_of(dir, name);
            let length = match llistxattr(&path, &mut *buffer) {
                Err(Errno::OPNOTSUPP) => 0,
                listed => listed.ok()?,
            };
            let counts = |attribute: &[u8]| {
                let user = attribute.starts_with(b"user.") && !attribute.starts_with(b"user.overlay.");
                user || attribute == b"security.capability" || attribute.starts_with(b"system.posix_acl_")
            };
            let names: Vec<Vec<u8>> =
                buffer[..length].split(|byte| *byte == 0).filter(|name| counts(name)).map(<[u8]>::to_vec).collect();
            let mut all = Vec::new();
            for name in names {
                let length = lgetxattr(&path, OsStr::from_bytes(&name), &mut *buffer).ok()?;
                all.push((name, buffer[..length].to_vec()));
            }
            all.sort_unstable();
            Some(all)
        };
        let [one, other] = &mut self.buffers;
        let changes = of(&self.changes, one);
        changes.is_none() || changes != of(lower, other)
    }

    fn print(&mut self, change: Change, stat: &Stat) -> Result<(), Error> {
        let path = if self.path.is_empty() { b"." } else { &self.path[..] };
        let (path, length) = match abridged(path) {
            Some(short) => (Cow::Owned(short), format!(",\"length\":{}", path.len())),
            None => (Cow::Borrowed(path), String::new()),
        };
        let path = OsStr::from_bytes(&path);
        let (letter, word) = change.names();
        match self.diff.format {
            Format::Text => self.text.push_str(&format!("{letter} {}\n", shown(path))),
            Format::Json => {
                let kind = match kind(stat) {
                    // Of what nothing but the mark is left.
                    FileType::CharacterDevice if is_whiteout(stat) => "null",
                    FileType::RegularFile => "\"file\"",
                    FileType::Directory => "\"directory\"",
                    FileType::Symlink => "\"link\"",
                    FileType::Fifo => "\"fifo\"",
                    FileType::Socket => "\"socket\"",
                    FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => "\"device\"",
                };
                let comma = if self.first { "" } else { "," };
                self.text
                    .push_str(&format!("{comma}\n{{\"change\":\"{word}\",\"type\":{kind},\"path\":{}{length}}}", json(path)));
            }
        }
        self.first = false;
        if self.text.len() >= PART {
            (self.out)(&self.text)?;
            self.text.clear();
        }
        Ok(())
    }
}

/// A path for calls that know none below a descriptor.
fn path_of(dir: &OwnedFd, name: &CStr) -> PathBuf {
    Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())).join(OsStr::from_bytes(name.to_bytes()))
}

/// A path that is too long to be used: both ends of it, cut between names.
fn abridged(path: &[u8]) -> Option<Vec<u8>> {
    if path.len() <= LONGEST {
        return None;
    }
    // A name has at most 255 bytes, so that there is a slash in each.
    let head = path[..END].iter().rposition(|byte| *byte == b'/')?;
    let tail = path.len() - END + path[path.len() - END..].iter().position(|byte| *byte == b'/')?;
    Some([&path[..head], b"/...", &path[tail..]].concat())
}

/// Do the two files of that name hold the same? Holes are not read: a sparse file may be
/// far larger than the disk.
fn same_content(changes: &OwnedFd, tree: &OwnedFd, name: &CStr, one: &mut [u8], other: &mut [u8]) -> bool {
    let open = |dir: &OwnedFd| {
        // What has come to be a fifo since is not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(dir.as_fd(), name, flags, Mode::empty()).ok()?;
        let stat = fstat(&file).ok()?;
        (kind(&stat) == FileType::RegularFile).then_some((file, stat.st_size))
    };
    let (Some((changes, size)), Some((tree, other_size))) = (open(changes), open(tree)) else { return false };
    if size != other_size {
        return false;
    }
    let mut at = 0;
    loop {
        let (Ok(next), Ok(other_next)) = (data(&changes, at), data(&tree, at)) else { return false };
        let Some(next) = next.into_iter().chain(other_next).min() else { return true };
        match (filled(&changes, next, one), filled(&tree, next, other)) {
            (Ok(0), Ok(0)) => return true,
            (Ok(read), Ok(others)) if one[..read] == other[..others] => at = next + read as u64,
            _ => return false,
        }
    }
}

/// Where the next data is from `at` on; None where nothing but a hole is left.
fn data(file: &OwnedFd, at: u64) -> Result<Option<u64>, Errno> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(next) => Ok(Some(next)),
        Err(Errno::NXIO) => Ok(None),
        // A file system that knows of no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(at)),
        Err(errno) => Err(errno),
    }
}

/// Reads from `at` on until the buffer is full, or the file at its end.
fn filled(file: &OwnedFd, at: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut length = 0;
    while length < buffer.len() {
        match pread(file, &mut buffer[length..], at + length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_no_call_takes_is_printed_by_its_ends() {
        let long = [b"a".as_slice(), &b"/bc".repeat(2000), b"/end"].concat();
        let short = abridged(&long).unwrap();
        assert!(short.starts_with(b"a/bc/bc") && short.ends_with(b"/bc/end") && short.len() <= 2 * END + 4, "{short:?}");
        assert_eq!(short.windows(5).filter(|part| part == b"/.../").count(), 1);
        assert_eq!((abridged(&long[..LONGEST]), abridged(b".")), (None, None));
        // The longest names that there are.
        let names = [&[b'x'; 255][..], &b"/"[..], &[b'y'; 255], b"/"].concat().repeat(20);
        assert!(abridged(&names[..names.len() - 1]).is_some());
    }
}
