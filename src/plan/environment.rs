//! What the command inherits: variables and descriptors.

use std::ffi::{OsStr, OsString};

use crate::error::Error;
use crate::host::Host;
use crate::host::fds::Opened;
use crate::plan::fs::requests::files_error;
use crate::policy::{ENV_PASSED, Env, Policy, Setting};
use crate::util::escape::about;
use crate::util::glob::glob_matches;
use crate::util::name_map::Index;

/// A descriptor of the caller's that can be written to.
pub(crate) fn writable_descriptor(setting: &Setting<i32>, host: &Host) -> Result<(), Error> {
    let (fd, asked) = (setting.value, setting.asked.as_ref());
    let problem = match host.opened(fd) {
        Opened::ReadOnly => "it is open for reading only",
        Opened::Not => "it is not open",
        Opened::ForWriting | Opened::WriteOnly => return Ok(()),
    };
    let remedy = format!("open it, e.g. {fd}>FILE in a shell");
    Err(files_error(asked, format!("write to descriptor {fd}"), problem, remedy))
}

pub(crate) fn kept_descriptors(policy: &Policy, host: &Host) -> Result<Vec<i32>, Error> {
    let mut keep = Vec::new();
    for (fd, asked) in &policy.fds {
        if host.opened(*fd) == Opened::Not {
            return Err(files_error(
                Some(asked),
                format!("keep descriptor {fd}"),
                "it is not open",
                format!("open it, e.g. {fd}<FILE in a shell"),
            ));
        }
        keep.push(*fd);
    }
    keep.sort_unstable();
    Ok(keep)
}

pub(crate) fn variables(policy: &Policy, host: &Host) -> Result<Vec<(OsString, OsString)>, Error> {
    let mut env: Vec<(OsString, OsString)> = Vec::new();
    let (mut passed, mut set, mut globs) = (Index::new(), Index::new(), Vec::new());
    for (wanted, _) in &policy.env {
        match wanted {
            Env::Pass(name) => _ = passed.set(name, ()),
            Env::Set(name, _) => _ = set.set(name, ()),
            Env::Glob(glob) => globs.push(glob.as_os_str()),
        }
    }
    globs.extend(ENV_PASSED.map(OsStr::new));
    let chosen = |name: &OsString| passed.has(name) || globs.iter().any(|glob| glob_matches(glob, name));
    let mut seen = Index::new();
    for (name, value) in &host.env {
        // Of a variable that is there twice the first counts, as getenv has it.
        if chosen(name) && seen.set(name, ()) && !set.has(name) {
            env.push((name.clone(), value.clone()));
        }
    }
    for (wanted, asked) in &policy.env {
        match wanted {
            Env::Set(name, value) => env.push((name.clone(), value.clone())),
            Env::Pass(name) if !seen.has(name) => {
                return Err(Error::usage(
                    *asked,
                    "the variable is not set",
                    about("set it, give it here as ", name, "=VALUE, or leave the flag out"),
                ));
            }
            Env::Pass(_) | Env::Glob(_) => {}
        }
    }
    env.sort_unstable();
    Ok(env)
}
