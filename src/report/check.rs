//! `--check`: what this machine offers to this user, layer by layer. Each is tried
//! for real, in a throw-away jail of that layer alone: nothing but trying tells
//! what a sysctl, a security module or a container around us lets through.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, waitpid};

use crate::child::protocol::Report;
use crate::cli::request::Format;
use crate::error::{Asked, Error, Layer, Words, said};
use crate::host::Host;
use crate::plan::cgroup;
use crate::plan::ids;
use crate::plan::landlock::{HAS_FILES, HAS_UNIX, VERSIONS};
use crate::plan::op::{Limits, Op, Over, Step};
use crate::plan::{self, Command, Plan};
use crate::policy::identity::Ids;
use crate::policy::layer::Degradable;
use crate::policy::{Init, Policy, Setting};
use crate::process::helper::{self, Unusable};
use crate::report::causes;
use crate::report::diagnose;
use crate::report::evidence::Signs;
use crate::seccomp::overrides;
use crate::supervisor::launch::{self, Passed};
use crate::supervisor::outcome::Failure;
use crate::sys::{self, Arguments, Cloned};
use crate::util::escape::shown;
use crate::util::json::json;

/// What was found of one layer.
struct Finding {
    layer: &'static str,
    /// Does it work?
    works: bool,
    /// Does a jail without flags need it?
    needed: bool,
    detail: String,
    remedy: Words,
}

/// One layer, and how it is tried: a jail of it alone.
struct Trial {
    layer: &'static str,
    /// By which name it is done without.
    degradable: Degradable,
    namespaces: i32,
    ops: Vec<Op>,
}

/// Each layer that a jail without flags has, Landlock apart.
fn trials(host: &Host) -> Vec<Trial> {
    type Steps = fn() -> Vec<Op>;
    let all: [(_, _, _, Steps); 10] = [
        ("user namespace", Degradable::Namespaces, 0, Vec::new),
        ("mount namespace", Degradable::Namespaces, libc::CLONE_NEWNS, || vec![Op::RootMemory, Op::EnterRoot]),
        ("pid namespace", Degradable::Pid, libc::CLONE_NEWPID, Vec::new),
        ("network namespace", Degradable::Net, libc::CLONE_NEWNET, Vec::new),
        ("loopback", Degradable::Net, libc::CLONE_NEWNET, || vec![Op::LoopbackUp]),
        ("ipc namespace", Degradable::Ipc, libc::CLONE_NEWIPC, Vec::new),
        ("uts namespace", Degradable::Hostname, libc::CLONE_NEWUTS, || vec![Op::Hostname { name: "jail".into() }]),
        ("cgroup namespace", Degradable::Cgroup, libc::CLONE_NEWCGROUP, Vec::new),
        ("private /proc", Degradable::Proc, libc::CLONE_NEWNS | libc::CLONE_NEWPID, own_proc),
        ("no user namespaces inside", Degradable::UsernsLimit, 0, || vec![Op::NoUserNamespaces]),
    ];
    let in_one_of_users = |(layer, degradable, namespaces, ops): (_, _, i32, Steps)| {
        let ops = [MapIds(host).op()].into_iter().chain(ops()).collect();
        Trial { layer, degradable, namespaces: namespaces | libc::CLONE_NEWUSER, ops }
    };
    let mut trials: Vec<Trial> = all.into_iter().map(in_one_of_users).collect();
    // It needs no namespace, and is there where those are not.
    let ops = vec![Op::NoNewPrivileges, Op::FilterCalls { filter: overrides::default().into() }];
    trials.push(Trial { layer: "seccomp", degradable: Degradable::Seccomp, namespaces: 0, ops });
    trials
}

/// What of `layers`, or of what they name with them, this machine refuses. It is tried
/// in a process of its own: this one's signals and descriptors are the command's yet.
///
/// # Errors
/// It could not be tried.
pub fn lacks(layers: &[Degradable], host: &Host, arguments: &Arguments) -> Result<Vec<(Degradable, Layer)>, Error> {
    let failed = |errno: Errno| {
        let (layer, remedy) = causes::refused(errno, &Signs::default())
            .unwrap_or((Layer::Kernel, "start again: someone killed it, perhaps".into()));
        let error = Error::usage(Asked::new("degrade", &[]), said(errno), remedy).numbered(errno);
        error.met("try what this machine refuses", layer)
    };
    let all = layers.contains(&Degradable::Namespaces);
    let asked = |layer: Degradable| layers.contains(&layer) || all && layer.is_a_namespace();
    let mut lacks = Vec::new();
    if asked(Degradable::Landlock) && host.landlock_abi < HAS_FILES {
        lacks.push((Degradable::Landlock, if host.landlock_refused { Layer::Container } else { Layer::Kernel }));
    }
    let wanted = || trials(host).into_iter().filter(|trial| asked(trial.degradable));
    let trials: Vec<Trial> = wanted().collect();
    if trials.is_empty() {
        return Ok(lacks);
    }
    let answers = in_a_child(|| {
        let signs = Signs::read();
        wanted().map(|trial| try_out(&bare(trial.namespaces, trial.ops), arguments, &signs)).collect()
    });
    let answers = answers.and_then(|answers| if answers.len() == trials.len() { Ok(answers) } else { Err(Errno::CHILD) });
    for (trial, answer) in trials.iter().zip(answers.map_err(failed)?) {
        let layer = match answer {
            Answer::Works => None,
            Answer::Refused(layer) => Some(layer),
            Answer::Untried(errno) => {
                let mut error = failed(errno);
                error.doing = format!("try whether this machine refuses a layer: {}", trial.layer).into();
                return Err(error);
            }
        };
        if let Some(layer) = layer {
            if lacks.iter().all(|(known, _)| *known != trial.degradable) {
                lacks.push((trial.degradable, layer));
            }
        }
    }
    Ok(lacks)
}

/// What became of a trial.
#[derive(Clone, Copy)]
enum Answer {
    Works,
    Refused(Layer),
    /// It says nothing of the machine: what a process, a descriptor or memory is needed
    /// for was not to be had, or someone killed it.
    Untried(Errno),
}

impl Answer {
    /// Of the errors of a trial those that another moment, or another limit of the
    /// caller's, would not have given.
    fn of(tried: &Result<(), Error>) -> Self {
        const SHORT: [Errno; 7] =
            [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::DQUOT, Errno::INTR, Errno::CHILD];
        let Err(error) = tried else { return Self::Works };
        match error.errno.map(Errno::from_raw_os_error) {
            Some(errno) if SHORT.contains(&errno) => Self::Untried(errno),
            Some(_) => Self::Refused(error.layer),
            // Killed.
            None => Self::Untried(Errno::CHILD),
        }
    }

    /// As two bytes: which it is, and of what.
    fn told(self) -> [u8; 2] {
        let number = |layer| Layer::ALL.iter().position(|known| *known == layer).and_then(|at| u8::try_from(at).ok());
        match self {
            Self::Works => [0, 0],
            Self::Refused(layer) => [1, number(layer).unwrap_or(u8::MAX)],
            Self::Untried(errno) => [2, u8::try_from(errno.raw_os_error()).unwrap_or(0)],
        }
    }

    fn heard([kind, of]: [u8; 2]) -> Self {
        match kind {
            0 => Self::Works,
            1 => Self::Refused(Layer::ALL.get(usize::from(of)).copied().unwrap_or(Layer::Kernel)),
            _ => Self::Untried(Errno::from_raw_os_error(of.into())),
        }
    }
}

/// Has a child find out what becomes of several trials.
fn in_a_child(try_all: impl FnOnce() -> Vec<Result<(), Error>>) -> Result<Vec<Answer>, Errno> {
    let (answers, answer) = pipe_with(PipeFlags::CLOEXEC)?;
    match sys::clone(0)? {
        Cloned::Child => {
            drop(answers);
            let _ = sys::die_with_parent(libc::SIGKILL);
            let told: Vec<u8> = try_all().iter().flat_map(|tried| Answer::of(tried).told()).collect();
            // One write of a few bytes: it comes whole or not at all.
            let written = rustix::io::write(&answer, &told);
            sys::exit_now(i32::from(written != Ok(told.len())))
        }
        Cloned::Parent(child) => {
            drop(answer);
            let mut told = [0; 64];
            let read = loop {
                match rustix::io::read(&answers, &mut told) {
                    Err(Errno::INTR) => {}
                    read => break read,
                }
            };
            while let Err(Errno::INTR) = waitpid(Some(child), WaitOptions::empty()) {}
            let told = told.get(..read?).unwrap_or_default();
            Ok(told.chunks_exact(2).map(|pair| Answer::heard([pair[0], pair[1]])).collect())
        }
    }
}

/// Tries everything; gives what is to be printed, and whether a jail without flags
/// would start.
pub fn run(policy: &mut Policy, host: &mut Host, arguments: &Arguments, format: Format) -> (String, bool) {
    let signs = Signs::read();
    let mut findings = Vec::new();
    let mut missing: Vec<Degradable> = Vec::new();
    for Trial { layer, degradable, namespaces, ops } in trials(host) {
        let tried = try_out(&bare(namespaces, ops), arguments, &signs);
        if let (Err(error), false) = (&tried, missing.contains(&degradable)) {
            host.lacks.push((degradable, error.layer));
            missing.push(degradable);
        }
        findings.push(finding(layer, true, tried));
    }
    findings.push(landlock(host));
    if host.landlock_abi < HAS_FILES {
        missing.push(Degradable::Landlock);
        host.lacks.push((Degradable::Landlock, Layer::Kernel));
    }
    findings.push(cgroup(host));
    findings.push(overlay(host, arguments, &signs));
    findings.push(subids(host, arguments, &signs));
    findings.push(uptime(host, arguments, &signs));
    findings.push(program("getent", "names of --reach", "install it (it comes with the C library)"));
    findings.push(program("pasta", "--net pasta", "install it (Debian: apt-get install passt)"));

    // All of it together, up to the command, which is none.
    let whole = |policy: &mut Policy| {
        plan::build(policy, host).and_then(|mut plan| {
            nothing_to_execute(&mut plan);
            try_out(&plan, arguments, &signs)
        })
    };
    let tried = whole(policy);
    let starts = tried.is_ok();
    findings.push(finding("a jail without flags", true, tried));
    if !starts {
        let named = shortest(&missing);
        let names = named.iter().map(|layer| layer.name()).collect::<Vec<_>>().join(",");
        let asked = Asked::new("degrade", &[names.into()]);
        let detail = asked.text().to_owned();
        policy.degrade = Some(Setting { value: named, asked: Some(asked) });
        let without = finding("a jail without these", false, whole(policy));
        findings.push(if without.works { Finding { detail, ..without } } else { without });
    }
    let text = match format {
        Format::Text => text(&findings),
        Format::Json => to_json(&findings, starts),
    };
    (text, starts)
}

/// The fewest that name all of `missing`.
fn shortest(missing: &[Degradable]) -> Vec<Degradable> {
    let all = missing.contains(&Degradable::Namespaces);
    // Without namespaces there is neither of these.
    let implied = |layer: Degradable| layer.is_a_namespace() || [Degradable::Proc, Degradable::UsernsLimit].contains(&layer);
    missing.iter().copied().filter(|layer| !all || *layer == Degradable::Namespaces || !implied(*layer)).collect()
}

/// The caller's ids, numbered as they are.
struct MapIds<'a>(&'a Host);

impl MapIds<'_> {
    fn op(&self) -> Op {
        let ids = Ids { uid: self.0.uid, gid: self.0.gid };
        Op::MapIds { inside: ids, outside: ids }
    }
}

fn own_proc() -> Vec<Op> {
    vec![Op::RootMemory, Op::Dir { dest: c"/proc".into(), mode: 0o755 }, Op::Proc { dest: c"/proc".into() }]
}

/// A jail of some namespaces, in which `ops` are done and nothing is executed.
fn bare(namespaces: i32, ops: Vec<Op>) -> Plan {
    let mut plan = Plan {
        namespaces,
        outside: Vec::new(),
        inside: ops.into_iter().map(|op| Step { op, asked: None }).collect(),
        last: Vec::new(),
        init: Init::Reaper,
        // It ends by itself; nothing below it is left.
        own_pids: true,
        pasta: false,
        pty: false,
        trace: None,
        degraded: Vec::new(),
        own_session: false,
        timeout: None,
        command: Command { argv: Vec::new(), candidates: Vec::new(), env: Vec::new() },
    };
    nothing_to_execute(&mut plan);
    plan
}

/// A directory cannot be executed: who comes to try has done all before.
fn nothing_to_execute(plan: &mut Plan) {
    plan.command.candidates = vec![CString::from(c"/")];
    plan.stay_in_this_process();
}

fn try_out(plan: &Plan, arguments: &Arguments, signs: &Signs) -> Result<(), Error> {
    match launch::run(plan, arguments, None, Passed::Keep, None) {
        Ok(_) | Err(Failure::Inside(Report::Exec { .. })) => Ok(()),
        Err(failure) => Err(diagnose::error(plan, failure, signs)),
    }
}

fn finding(layer: &'static str, needed: bool, tried: Result<(), Error>) -> Finding {
    match tried {
        Ok(()) => Finding { layer, works: true, needed, detail: String::new(), remedy: "".into() },
        Err(error) => {
            let doing = if error.doing.is_empty() { String::new() } else { format!("{}: ", error.doing) };
            let detail = format!("{doing}{}; refused by {}", error.problem, error.layer);
            Finding { layer, works: false, needed, detail, remedy: error.remedy.clone() }
        }
    }
}

fn landlock(host: &Host) -> Finding {
    let abi = host.landlock_abi;
    let brought: Vec<&str> = VERSIONS.iter().filter(|(since, ..)| *since <= abi).map(|(.., what)| *what).collect();
    let has = match abi {
        0 => "none".into(),
        1 => "too old for rules of files".into(),
        _ => brought.join(", "),
    };
    let remedy = match abi {
        0 if host.landlock_refused => "let the container make Landlock's calls, or say --degrade landlock",
        0 => "boot with landlock among lsm= (CONFIG_SECURITY_LANDLOCK), or say --degrade landlock",
        1 => "Linux 5.19 has more of it; or say --degrade landlock",
        2..HAS_UNIX => "Linux 7.1 adds Unix sockets by path: it refuses connections to those in read-only places",
        _ => "",
    };
    Finding {
        layer: "Landlock",
        works: abi >= HAS_FILES,
        needed: true,
        detail: format!("ABI {abi}: {has}"),
        remedy: remedy.into(),
    }
}

/// Not needed by a jail without flags: --memory, --tasks, --cpus.
fn cgroup(host: &Host) -> Finding {
    let limits = Limits { memory: Some(1), tasks: Some(1), cpus: Some(1) };
    let asked = Asked::new("memory", &[]);
    let found = cgroup::cgroup_for(limits, &host.cgroups(), &asked);
    optional("cgroup delegation", found.map(|step| step.op.to_string()))
}

/// Not needed by a jail without flags: --subids.
fn subids(host: &Host, arguments: &Arguments, signs: &Signs) -> Finding {
    let ids = Ids { uid: host.uid, gid: host.gid };
    let tried = ids::subordinate_ids(ids, &host.subordinate(), &Asked::new("subids", &[])).and_then(|subids| {
        let map = Op::MapSubids { subids: subids.into() };
        let detail = map.to_string();
        try_out(&bare(libc::CLONE_NEWUSER, vec![map]), arguments, signs).map(|()| detail)
    });
    optional("subordinate ids", tried)
}

/// Not needed by a jail without flags: --ephemeral, --overlay.
fn overlay(host: &Host, arguments: &Arguments, signs: &Signs) -> Finding {
    // Of any directory; nothing is changed in it.
    let lay = Op::RootOverlay { source: c"/etc".into(), over: Over::Memory { size: None } };
    let plan = bare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, vec![MapIds(host).op(), lay]);
    optional("overlay", try_out(&plan, arguments, signs).map(|()| "--ephemeral and --overlay".into()))
}

/// What only some flags need; what they get of it.
fn optional(layer: &'static str, tried: Result<String, Error>) -> Finding {
    match tried {
        Ok(detail) => Finding { detail, ..finding(layer, false, Ok(())) },
        Err(error) => finding(layer, false, Err(error)),
    }
}

/// Not needed by a jail without flags: --uptime.
fn uptime(host: &Host, arguments: &Arguments, signs: &Signs) -> Finding {
    let ops = vec![MapIds(host).op(), Op::Uptime { now: Duration::ZERO }];
    optional("time namespace", try_out(&bare(libc::CLONE_NEWUSER, ops), arguments, signs).map(|()| "--uptime".into()))
}

/// Not needed by a jail without flags either. The program is found and not run.
fn program(name: &'static str, serves: &str, install: &'static str) -> Finding {
    let refuse = |problem: String, remedy: Words| Err(Error::usage(None, problem, remedy).met("", Layer::Files));
    let found = match helper::find(name) {
        Ok(path) => Ok(format!("{serves}; by {}", shown(OsStr::from_bytes(path.to_bytes())))),
        Err(Unusable::Missing) => {
            refuse(format!("{name} is not installed in a system directory such as /usr/bin"), install.into())
        }
        Err(Unusable::Refused(refused)) => refuse(refused.to_string(), refused.remedy()),
    };
    optional(name, found)
}

fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    let mut told: Vec<&str> = Vec::new();
    for Finding { layer, works, needed, detail, remedy } in findings {
        let word = match (works, needed) {
            (true, _) => "yes",
            (false, true) => "NO",
            (false, false) => "no",
        };
        out.push_str(format!("{layer:<26} {word:<4} {detail}").trim_ascii_end());
        out.push('\n');
        // What refuses all namespaces is told once.
        if !remedy.is_empty() && !told.contains(&&**remedy) {
            told.push(remedy);
            out.push_str(&format!("{:<31} {remedy}\n", ""));
        }
    }
    out
}

fn to_json(findings: &[Finding], starts: bool) -> String {
    let each = findings.iter().map(|Finding { layer, works, needed, detail, remedy }| {
        format!(
            "{{\"layer\":{},\"works\":{works},\"needed\":{needed},\"detail\":{},\"remedy\":{}}}",
            json(layer),
            json(detail),
            json(&**remedy)
        )
    });
    format!("{{\"starts\":{starts},\"layers\":[{}]}}\n", each.collect::<Vec<_>>().join(","))
}
