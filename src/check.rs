//! `--check`: what this machine offers to this user, layer by layer. Each is tried
//! for real, in a throw-away jail of that layer alone: nothing but trying tells
//! what a sysctl, a security module or a container around us lets through.

use std::ffi::CString;

use crate::diagnose::{self, Signs};
use crate::error::{Asked, Error};
use crate::filter;
use crate::host::Host;
use crate::launch::{self, Failure, Passed};
use crate::plan::{self, Command, Ids, Limits, Op, Place, Plan, Step};
use crate::policy::{Format, Init, Policy};
use crate::report::Report;
use crate::sys::Arguments;
use crate::text::json;

/// What was found of one layer.
struct Finding {
    layer: &'static str,
    /// Does it work?
    works: bool,
    /// Does a jail without flags need it?
    needed: bool,
    detail: String,
    remedy: String,
}

/// Tries everything; gives what is to be printed, and whether a jail without flags
/// would start.
pub fn run(policy: &Policy, host: &Host, arguments: &Arguments, format: Format) -> (String, bool) {
    let signs = Signs::read();
    let ids = MapIds(host).op();
    let mut findings = Vec::new();
    let mut tried = |layer, needed, namespaces: i32, ops: Vec<Op>| {
        let plan = bare(namespaces | libc::CLONE_NEWUSER, [vec![ids.clone()], ops].concat());
        findings.push(finding(layer, needed, try_out(&plan, arguments, &signs)));
    };
    tried("user namespace", true, 0, Vec::new());
    tried("mount namespace", true, libc::CLONE_NEWNS, vec![Op::RootMemory]);
    tried("pid namespace", true, libc::CLONE_NEWPID, Vec::new());
    tried("network namespace", true, libc::CLONE_NEWNET, Vec::new());
    tried("loopback", true, libc::CLONE_NEWNET, vec![Op::LoopbackUp]);
    tried("ipc namespace", true, libc::CLONE_NEWIPC, Vec::new());
    tried("uts namespace", true, libc::CLONE_NEWUTS, vec![Op::Hostname { name: "jail".into() }]);
    tried("cgroup namespace", true, libc::CLONE_NEWCGROUP, Vec::new());
    tried("private /proc", true, libc::CLONE_NEWNS | libc::CLONE_NEWPID, own_proc());
    tried("no user namespaces inside", true, 0, vec![Op::NoUserNamespaces]);
    let filter = filter::default();
    tried("seccomp", true, 0, vec![Op::NoNewPrivileges, Op::FilterCalls { filter }]);
    findings.push(landlock(host));
    findings.push(cgroup(host));

    // All of it together, up to the command, which is none.
    let whole = plan::build(policy, host).and_then(|mut plan| {
        nothing_to_execute(&mut plan);
        try_out(&plan, arguments, &signs)
    });
    let starts = whole.is_ok();
    findings.push(finding("a jail without flags", true, whole));
    let text = match format {
        Format::Text => text(&findings),
        Format::Json => to_json(&findings, starts),
    };
    (text, starts)
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
    let place = Place { path: c"/proc".into(), parent: c"/".into(), name: c"proc".into() };
    vec![Op::RootMemory, Op::Dir { place, mode: 0o755 }, Op::Proc { dest: c"/proc".into() }]
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
}

fn try_out(plan: &Plan, arguments: &Arguments, signs: &Signs) -> Result<(), Error> {
    match launch::run(plan, arguments, None, Passed::Keep) {
        Ok(_) | Err(Failure::Inside(Report::Exec { .. })) => Ok(()),
        Err(failure) => Err(diagnose::error(plan, failure, signs)),
    }
}

fn finding(layer: &'static str, needed: bool, tried: Result<(), Error>) -> Finding {
    match tried {
        Ok(()) => Finding { layer, works: true, needed, detail: String::new(), remedy: String::new() },
        Err(error) => {
            let doing = if error.doing.is_empty() { String::new() } else { format!("{}: ", error.doing) };
            let detail = format!("{doing}{}; refused by {}", error.problem, error.layer);
            Finding { layer, works: false, needed, detail, remedy: error.remedy }
        }
    }
}

fn landlock(host: &Host) -> Finding {
    let abi = host.landlock_abi;
    let has = match abi {
        0 => "none",
        1 => "too old for rules of files",
        2 => "files",
        3 => "files, truncating",
        4 => "files, truncating, TCP ports",
        5 => "files, truncating, TCP ports, device ioctls",
        _ => "files, truncating, TCP ports, device ioctls, signals and abstract sockets",
    };
    let remedy =
        if abi == 0 { "boot with landlock among lsm= (CONFIG_SECURITY_LANDLOCK), or say --degrade landlock" } else { "" };
    Finding { layer: "Landlock", works: abi > 0, needed: true, detail: format!("ABI {abi}: {has}"), remedy: remedy.into() }
}

/// Not needed by a jail without flags: --memory, --tasks, --cpus.
fn cgroup(host: &Host) -> Finding {
    let limits = Limits { memory: Some(1), tasks: Some(1), cpus: Some(1) };
    let asked = Asked::new("memory", &[]);
    match plan::cgroup_for(limits, &host.cgroups(), &asked) {
        Ok(step) => {
            Finding { layer: "cgroup delegation", works: true, needed: false, detail: step.op.to_string(), remedy: String::new() }
        }
        Err(error) => {
            Finding { layer: "cgroup delegation", works: false, needed: false, detail: error.problem, remedy: error.remedy }
        }
    }
}

fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    for Finding { layer, works, needed, detail, remedy } in findings {
        let word = match (works, needed) {
            (true, _) => "yes",
            (false, true) => "NO",
            (false, false) => "no",
        };
        out.push_str(format!("{layer:<26} {word:<4} {detail}").trim_end());
        out.push('\n');
        if !remedy.is_empty() {
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
            json(remedy)
        )
    });
    format!("{{\"starts\":{starts},\"layers\":[{}]}}\n", each.collect::<Vec<_>>().join(","))
}
