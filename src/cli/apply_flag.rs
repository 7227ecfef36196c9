//! What each flag does to the policy.

use crate::cli::command_line::{Given, Typed};
use crate::cli::request::{Diff, Format, Request};
use crate::cli::validate::contradictions;
use crate::cli::values::{
    CPUS, Explained, SIZE, bad, bind, capability, degrade, duration, entry, env, ephemeral, explained, format, hole, hostname,
    id, limit, number, path, port, processors, rlimit, status_fd, syscall, tasks, tmpfs, umask, uptime, word,
};
use crate::error::Error;
use crate::policy::files::{Access, Ban, What};
use crate::policy::net::Net;
use crate::policy::{Anchor, Init, Landlock, Policy, Seccomp, Setting, endpoint};
use crate::seccomp::overrides;
use crate::seccomp::policy::action::Treatment;
use crate::util::escape::about;
use crate::util::units;

/// Gives what was typed its meaning.
///
/// # Errors
/// A value that is none of those its flag takes; flags that contradict each
/// other or have no effect together; no command.
pub fn interpret(typed: Typed) -> Result<Request, Error> {
    if typed.flags.iter().any(|given| given.flag.long == "help") {
        return Ok(Request::Help);
    }
    if typed.flags.iter().any(|given| given.flag.long == "version") {
        return Ok(Request::Version);
    }
    if let Some(given) = typed.flags.iter().find(|given| given.flag.long == "check") {
        if let Some(other) = typed.flags.iter().find(|given| given.flag.long != "check") {
            return Err(bad(other, "has no effect with --check", "leave it out"));
        }
        if let Some(command) = typed.command.first() {
            return Err(bad(given, about("", command, " would not be run"), "leave out one of the two"));
        }
        return Ok(Request::Check(Policy::new(vec!["check".into()]).into(), format(given)?));
    }
    if let Some(given) = typed.flags.iter().find(|given| given.flag.long == "diff") {
        return diff(given, &typed).map(Request::Diff);
    }
    let mut policy = Box::new(Policy::new(typed.command));
    policy.args_files = typed.args_files;
    let mut explain = None;
    for given in &typed.flags {
        if given.flag.long == "explain" {
            explain = Some(explained(given)?);
        } else {
            set(&mut policy, given)?;
        }
    }
    contradictions(&policy)?;
    match policy.command.first() {
        None => return Err(Error::usage(None, "no command is named", "write jail [OPTION]... -- COMMAND; see jail --help")),
        Some(command) if command.is_empty() => {
            return Err(Error::usage(None, "the command's name is empty", "name a program after --"));
        }
        Some(_) => {}
    }
    Ok(match explain {
        Some(Explained::Plan(format)) => Request::Explain(policy, format),
        Some(Explained::Time) => Request::Time(policy),
        None => Request::Run(policy),
    })
}

/// What `--diff` asks for.
pub(crate) fn diff(given: &Given, typed: &Typed) -> Result<Diff, Error> {
    let mut root = None;
    for other in typed.flags.iter().filter(|other| other.flag.long != "diff") {
        if other.flag.long != "root" {
            return Err(bad(other, "has no effect with --diff", "leave it out"));
        }
        root = Some(path(other, 0)?);
    }
    if let Some(command) = typed.command.first() {
        return Err(bad(given, about("", command, " would not be run"), "leave out one of the two"));
    }
    let format = if given.values.len() > 1 { format(given)? } else { Format::Text };
    Ok(Diff { dir: path(given, given.values.len() - 1)?, root, format, asked: Some(given.asked()) })
}

pub(crate) const SHARED: &[(&str, Anchor)] = &[("private", Anchor::Private), ("host", Anchor::Host)];

pub(crate) const VIEW: &[(&str, Anchor)] = &[("private", Anchor::Private), ("none", Anchor::None), ("host", Anchor::Host)];

pub(crate) fn set(policy: &mut Policy, given: &Given) -> Result<(), Error> {
    let asked = given.asked();
    match given.flag.long {
        "net" => policy.net = word(given, &[("none", Net::None), ("host", Net::Host), ("pasta", Net::Pasta)])?,
        "pid" => policy.pid = word(given, SHARED)?,
        "ipc" => policy.ipc = word(given, SHARED)?,
        "cgroup" => policy.cgroup = word(given, SHARED)?,
        "proc" => policy.proc = word(given, VIEW)?,
        "dev" => policy.dev = word(given, VIEW)?,
        "tmp" => policy.tmp = word(given, VIEW)?,
        "run" => policy.run = word(given, VIEW)?,
        "home" => policy.home = word(given, &[("private", Anchor::Private), ("none", Anchor::None)])?,
        "hostname" => policy.hostname = hostname(given)?,
        "uptime" => policy.uptime = Some(Setting { value: uptime(given)?, asked: Some(asked) }),
        "uid" => policy.uid = Some(Setting { value: id(given)?, asked: Some(asked) }),
        "gid" => policy.gid = Some(Setting { value: id(given)?, asked: Some(asked) }),
        "as-root" => policy.as_root = Some(asked),
        "subids" => policy.subids = Some(asked),
        "fakeroot" => policy.fakeroot = Some(asked),
        "root" => policy.root = Some(Setting { value: path(given, 0)?, asked: Some(asked) }),
        "writable" => policy.writable = Some(asked),
        "ephemeral" => policy.ephemeral = Some(Setting { value: ephemeral(given)?, asked: Some(asked) }),
        "overlay" => policy.overlay = Some(Setting { value: path(given, 0)?, asked: Some(asked) }),
        "ro" | "ro-try" => bind(policy, given, Access::ReadOnly, 0)?,
        "rw" | "rw-try" => bind(policy, given, Access::Writable, 0)?,
        "ro-bind" | "ro-bind-try" => bind(policy, given, Access::ReadOnly, 1)?,
        "rw-bind" | "rw-bind-try" => bind(policy, given, Access::Writable, 1)?,
        "device" | "device-try" => {
            let source = path(given, 0)?;
            entry(policy, given, What::Device { source: source.clone() }, source);
        }
        "tmpfs" => {
            let (dest, size) = tmpfs(given)?;
            entry(policy, given, What::Tmpfs { size }, dest);
        }
        "dir" => {
            let dest = path(given, 0)?;
            entry(policy, given, What::Dir, dest);
        }
        "symlink" => {
            path(given, 0)?;
            let dest = path(given, 1)?;
            entry(policy, given, What::Symlink { target: given.values[0].clone() }, dest);
        }
        "file" => {
            let dest = path(given, 1)?;
            entry(policy, given, What::File { fd: number(given, 0)? }, dest);
        }
        "hide" | "hide-try" => {
            policy.hidden.push(Ban { path: path(given, 0)?, may_miss: given.flag.long == "hide-try", asked });
        }
        "noexec" => policy.noexec.push(Ban { path: path(given, 0)?, may_miss: false, asked }),
        "env" => {
            let env = env(given)?;
            policy.env.push((env, asked));
        }
        "fd" => {
            let fd = number(given, 0)?;
            if fd < 3 {
                return Err(bad(given, "has no effect: 0, 1 and 2 are always kept", "leave it out"));
            }
            policy.fds.push((fd, asked));
        }
        "chdir" => policy.chdir = Some(Setting { value: path(given, 0)?, asked: Some(asked) }),
        "umask" => policy.umask = Some(Setting { value: umask(given)?, asked: Some(asked) }),
        "processors" => policy.processors = Some(Setting { value: processors(given)?, asked: Some(asked) }),
        "cap" => {
            let number = capability(given)?;
            policy.caps.push((number, asked));
        }
        "landlock" => policy.landlock = word(given, &[("default", Landlock::Default), ("none", Landlock::None)])?,
        "connect" => policy.connect.push((port(given)?, asked)),
        "listen" => policy.listen.push((port(given)?, asked)),
        "publish" => policy.publish.push((hole(given)?, asked)),
        "reach" => policy
            .reach
            .push((endpoint::reach(&given.values[0]).map_err(|(problem, remedy)| bad(given, problem, remedy))?, asked)),
        "degrade" => policy.degrade = Some(Setting { value: degrade(given)?, asked: Some(asked) }),
        "nested" => policy.nested = Some(asked),
        "seccomp" => policy.seccomp = word(given, &[("default", Seccomp::Default), ("none", Seccomp::None)])?,
        "allow-syscall" => syscall(policy, given, |text| Ok((overrides::subject(text)?, Treatment::Allow)))?,
        "deny-syscall" => syscall(policy, given, overrides::denied)?,
        "timeout" => policy.timeout = Some(Setting { value: duration(given)?, asked: Some(asked) }),
        "grace" => policy.grace = Some(Setting { value: duration(given)?, asked: Some(asked) }),
        "rlimit" => {
            let limit = rlimit(given)?;
            policy.rlimits.push((limit, asked));
        }
        "memory" => policy.memory = Some(Setting { value: limit(given, units::size, SIZE)?, asked: Some(asked) }),
        "tasks" => policy.tasks = Some(Setting { value: limit(given, tasks, "write a number from 1 up")?, asked: Some(asked) }),
        "cpus" => policy.cpus = Some(Setting { value: limit(given, units::processors, CPUS)?, asked: Some(asked) }),
        "trace-denied" => policy.trace_denied = Some(asked),
        "status-fd" => policy.status_fd = Some(Setting { value: status_fd(given)?, asked: Some(asked) }),
        "pty" => policy.pty = Some(asked),
        "new-session" => policy.new_session = Some(asked),
        "init" => policy.init = word(given, &[("reaper", Init::Reaper), ("none", Init::None)])?,
        // A row of FLAGS without an arm here; the test below sees to it.
        _ => return Err(bad(given, "is known and means nothing", "report this as a bug")),
    }
    Ok(())
}
