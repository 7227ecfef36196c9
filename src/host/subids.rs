//! What this machine has for `--subids`: the ids that /etc/subuid and /etc/subgid give
//! the caller, and the programs that map them. Read, never changed.

use std::ffi::{CStr, CString};
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, getxattr, stat, statvfs};

use crate::process::helper::{self, Refused};
use crate::util::fs;

/// The files, that for users first.
pub const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// The programs, that for users first.
pub const MAPPERS: [&str; 2] = ["newuidmap", "newgidmap"];

/// One of the programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapper {
    /// No directory of the system has it.
    Missing,
    /// It is there, and the launcher does not run it.
    Refused(Refused),
    /// It is there, and has no more privilege than the caller.
    Powerless(CString),
    /// It is there.
    Ready(CString),
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subordinate {
    /// The caller's name, if /etc/passwd has it.
    pub name: Option<Vec<u8>>,
    /// First id and how many, for users and for groups, in the order of the files.
    pub ranges: [Vec<(u32, u32)>; 2],
    /// An id in each file from which on nobody has any.
    pub free: [u32; 2],
    /// The programs.
    pub mappers: [Mapper; 2],
    /// Can no program that the caller executes gain privileges?
    pub no_new_privileges: bool,
}

impl Subordinate {
    /// Reads it for the caller `uid`.
    pub fn observe(uid: u32) -> Self {
        let file = |path: &str| fs::read(Path::new(path)).unwrap_or_default();
        let name = name(&file("/etc/passwd"), uid);
        let files = FILES.map(file);
        let status = file("/proc/self/status");
        Self {
            ranges: [0, 1].map(|of| ranges(&files[of], name.as_deref(), uid)),
            free: [0, 1].map(|of| free(&files[of])),
            mappers: MAPPERS.map(|name| mapper(name, uid)),
            no_new_privileges: uid != 0 && status.split(|b| *b == b'\n').any(|line| line == b"NoNewPrivs:\t1"),
            name,
        }
    }
}

/// The fields of each line.
fn lines(file: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|b| *b == b'\n').map(|line| line.split(|b| *b == b':').collect())
}

fn number(field: &[u8]) -> Option<u32> {
    core::str::from_utf8(field).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// Who has this user id.
fn name(passwd: &[u8], uid: u32) -> Option<Vec<u8>> {
    lines(passwd).find(|fields| fields.get(2).and_then(|field| number(field)) == Some(uid)).map(|fields| fields[0].to_owned())
}

/// A line that is one, as the programs take it: its owner, the first id, how many.
fn line<'a>(fields: &[&'a [u8]]) -> Option<(&'a [u8], u32, u32)> {
    let [owner, first, count] = fields else { return None };
    let (first, count) = (number(first)?, number(count)?);
    (count > 0 && first.checked_add(count).is_some()).then_some((*owner, first, count))
}

/// What belongs to the caller, who may be named or numbered.
fn ranges(file: &[u8], name: Option<&[u8]>, uid: u32) -> Vec<(u32, u32)> {
    let own = |owner: &[u8]| Some(owner) == name || number(owner) == Some(uid);
    lines(file)
        .filter_map(|fields| line(&fields))
        .filter(|(owner, ..)| own(owner))
        .map(|(_, first, count)| (first, count))
        .collect()
}

fn free(file: &[u8]) -> u32 {
    lines(file).filter_map(|fields| line(&fields)).map(|(_, first, count)| first + count).fold(100_000, u32::max)
}

/// The first of the system's programs `name` that can map ids; otherwise why the first
/// that there is cannot.
fn mapper(name: &str, uid: u32) -> Mapper {
    let mut unusable = None;
    for found in helper::all(name) {
        let found = match found {
            Ok(path) if uid == 0 || has_power(&path) => return Mapper::Ready(path),
            Ok(path) => Mapper::Powerless(path),
            Err(refused) => Mapper::Refused(refused),
        };
        unusable.get_or_insert(found);
    }
    unusable.unwrap_or(Mapper::Missing)
}

/// Is it set-user-ID root, or has it capabilities of its own, where that counts? Root of
/// any user namespace can give capabilities to files of its own; but `path` is root's.
fn has_power(path: &CStr) -> bool {
    const SET_UID: u32 = 0o4000;
    let set_uid = stat(path).is_ok_and(|stat| stat.st_mode & SET_UID != 0 && stat.st_uid == 0);
    let capable = || getxattr(path, c"security.capability", &mut [0u8; 64][..]).is_ok();
    let counts = statvfs(path).is_ok_and(|system| !system.f_flag.contains(StatVfsMountFlags::NOSUID));
    counts && (set_uid || capable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_of_the_name_and_of_the_number() {
        let file =
            b"root:1:2\nu:100000:65536\n\nu:x:5\nu:7\nother:300000:10\n1000:200000:5\nu:4294967295:2\nu:5:0\n10:9:9\nu:+5:1\n";
        assert_eq!(ranges(file, Some(b"u"), 1000), [(100_000, 65_536), (200_000, 5)]);
        assert_eq!(ranges(file, None, 1000), [(200_000, 5)]);
        assert_eq!(ranges(file, Some(b"nobody"), 7), []);
        assert_eq!(free(file), 300_010);
        assert_eq!(free(b""), 100_000);
    }

    #[test]
    fn a_name_is_that_of_the_number() {
        let file = b"root:x:0:0:root:/root:/bin/sh\nbad\nu\xff:x:1000:5::/:\n";
        assert_eq!(name(file, 1000).as_deref(), Some(&b"u\xff"[..]));
        assert_eq!(name(file, 5), None);
    }

    #[test]
    fn a_program_is_sought_in_the_systems_directories_and_its_power_seen() {
        assert_eq!(mapper("no-such-program", 1000), Mapper::Missing);
        // Some program that has no power.
        assert_eq!(mapper("env", 1000), Mapper::Powerless(c"/usr/bin/env".into()));
        assert_eq!(mapper("env", 0), Mapper::Ready(c"/usr/bin/env".into()));
    }
}
