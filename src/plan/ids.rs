//! Ids inside and outside.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use crate::error::{Asked, Error, Layer, Words};
use crate::host::subids::{FILES, MAPPERS, Mapper, Subordinate};
use crate::plan::op::Subids;
use crate::policy::Policy;
use crate::policy::identity::{Ids, Range};
use crate::util::escape::shown;

pub(crate) fn ids_inside(policy: &Policy, caller: Ids) -> Ids {
    if policy.jailed_root().is_some() {
        return Ids { uid: 0, gid: 0 };
    }
    Ids { uid: policy.uid.as_ref().map_or(caller.uid, |s| s.value), gid: policy.gid.as_ref().map_or(caller.gid, |s| s.value) }
}

/// How many ids a system has: Debian's nobody is 65534.
pub(crate) const SYSTEM_IDS: u32 = 65_535;

/// The caller's ids as 0, and those subordinate to it from 1 up.
///
/// # Errors
/// There are too few, or nothing that maps them.
pub fn subordinate_ids(caller: Ids, facts: &Subordinate, asked: &Asked) -> Result<Subids, Error> {
    let refuse = |problem: String, remedy: Words| {
        Error::usage(*asked, problem, remedy).met("map the caller's subordinate ids", Layer::Files)
    };
    let ranges = |of: usize, own: u32| {
        let (file, option) = (FILES[of], ["--add-subuids", "--add-subgids"][of]);
        let name = facts.name.as_ref().map_or_else(|| caller.uid.to_string(), |name| shown(OsStr::from_bytes(name)));
        let given = &facts.ranges[of];
        let more = |missing: u32| {
            let first = facts.free[of];
            if facts.name.is_some() {
                return format!("as root: usermod {option} {first}-{} {name}", first.saturating_add(missing - 1));
            }
            // usermod(8) knows names alone.
            format!("as root: echo {name}:{first}:{missing} >>{file}")
        };
        let mut all = vec![Range::one(0, own)];
        for (first, count) in given {
            if let Some(other) = all.iter().find(|other| other.outside < first + count && *first < other.outside + other.count) {
                let problem = format!("{file} gives {name} {first}:{count}, and {}:{} is its, too", other.outside, other.count);
                return Err(refuse(problem, format!("have each id in one line of {file}, and not the caller's own").into()));
            }
            let inside = all.last().map_or(0, |last| last.inside.saturating_add(last.count));
            all.push(Range { inside, outside: *first, count: (*count).min(u32::MAX - inside) });
        }
        let total = all.last().map_or(0, |last| last.inside + last.count);
        if given.is_empty() {
            return Err(refuse(format!("{file} gives {name} no ids"), more(SYSTEM_IDS + 1).into()));
        }
        if total < SYSTEM_IDS {
            let problem = format!("{file} gives {name} {} ids, and a system has {SYSTEM_IDS}", total - 1);
            return Err(refuse(problem, more(SYSTEM_IDS - total).into()));
        }
        all.retain(|range| range.count > 0);
        Ok(all)
    };
    let mut mappers = Vec::new();
    for (mapper, name) in facts.mappers.iter().zip(MAPPERS) {
        match mapper {
            Mapper::Ready(path) => mappers.push(path.clone()),
            Mapper::Missing => {
                let remedy = "install it (Debian: apt-get install uidmap), or say --fakeroot";
                return Err(refuse(format!("{name} is not installed in a system directory such as /usr/bin"), remedy.into()));
            }
            Mapper::Refused(refused) => {
                return Err(refuse(refused.to_string(), format!("{}; or say --fakeroot", &*refused.remedy()).into()));
            }
            Mapper::Powerless(path) => {
                let path = shown(OsStr::from_bytes(path.to_bytes()));
                let problem = format!("{path} is not set-user-ID root, has no capabilities, or lies where neither counts");
                return Err(refuse(problem, format!("as root: chmod u+s {path}, or install it anew").into()));
            }
        }
    }
    let (uids, gids) = (ranges(0, caller.uid)?, ranges(1, caller.gid)?);
    if facts.no_new_privileges {
        let remedy = "start it where they may, not in a jail or a service that forbids it; or say --fakeroot";
        let problem = format!("no program may gain privileges here (no_new_privs), as {} must", MAPPERS[0]);
        let mut error = refuse(problem, remedy.into());
        error.layer = Layer::Kernel;
        return Err(error);
    }
    let [users, groups] = <[CString; 2]>::try_from(mappers).unwrap_or_default();
    Ok(Subids { uids, gids, mappers: [users, groups] })
}
