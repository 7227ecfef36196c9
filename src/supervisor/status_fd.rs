//! What `--status-fd` gets: a JSON object a line, one when the command has been
//! executed and one at the end. The fields are described in the manual and stay.

use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;

use rustix::process::Pid;

use crate::child::protocol::NAMESPACES;
use crate::cli::command_line::Typed;
use crate::cli::values;
use crate::error::Error;
use crate::plan::Plan;
use crate::plan::op::Op;
use crate::policy::net::Hole;
use crate::supervisor::cgroup::Counted;
use crate::supervisor::outcome::Ended;
use crate::sys::{self, SignalSet};
use crate::util::io::print;
use crate::util::json::json;

/// Where records go.
pub struct Record {
    to: BorrowedFd<'static>,
    /// When the run began, by `sys::now`.
    began: u64,
}

impl Record {
    /// Where `--status-fd` was typed and names an open descriptor. What is wrong
    /// with it otherwise is `policy`'s and `plan`'s to say.
    pub fn of(typed: &Typed) -> Option<Self> {
        let given = typed.flags.iter().find(|given| given.flag.long == "status-fd")?;
        sys::inherited(values::status_fd(given).ok()?).map(|to| Self { to, began: sys::now() })
    }

    /// The descriptor.
    pub(crate) fn fd(&self) -> i32 {
        std::os::fd::AsRawFd::as_raw_fd(&self.to)
    }

    /// A reader that is gone, or a full disk, is no reason to end the command.
    fn write(&self, line: &str) {
        // Nor to end the launcher, whose signals are the caller's until it has a jail.
        let ends = SignalSet::of(&[libc::SIGPIPE, libc::SIGXFSZ]);
        let blocked = ends.block();
        let _ = print(self.to, line);
        if let Ok(blocked) = blocked {
            while ends.wait(Some(0)).is_ok() {}
            let _ = blocked.set_blocked();
        }
    }

    /// The command has been executed.
    pub(crate) fn started(&self, plan: &Plan, process_one: Pid, command: Option<Pid>, namespaces: &[u64], published: &[Hole]) {
        let number = |pid: Option<Pid>| pid.map_or("null".into(), |pid| pid.as_raw_nonzero().to_string());
        let namespaces: Vec<String> = NAMESPACES
            .iter()
            .zip(namespaces)
            .map(|(path, inode)| {
                let name = path.to_str().unwrap_or("").strip_prefix("ns/").unwrap_or("");
                format!("{}:{inode}", json(name))
            })
            .collect();
        let published: Vec<String> = published
            .iter()
            .map(|hole| {
                let address = json(hole.at.ip().to_string());
                let protocol = if hole.udp { "udp" } else { "tcp" };
                format!(
                    "{{\"protocol\":\"{protocol}\",\"address\":{address},\"port\":{},\"inside\":{}}}",
                    hole.at.port(),
                    hole.to
                )
            })
            .collect();
        let reached: Vec<String> = plan
            .outside
            .iter()
            .filter_map(|step| {
                let Op::Reach { name, to } = &step.op else { return None };
                let to: Vec<String> = to.shown().iter().map(json).collect();
                Some(format!("{{\"name\":{},\"to\":[{}]}}", json(name.to_string()), to.join(",")))
            })
            .collect();
        let layers: Vec<String> = layers(plan).into_iter().map(json).collect();
        self.write(&format!(
            "{{\"event\":\"start\",\"pid\":{},\"process_1\":{},\"namespaces\":{{{}}},\"layers\":[{}],\"degraded\":[{}],\"published\":[{}],\"reached\":[{}]}}\n",
            number(command.or(Some(process_one))),
            number(Some(process_one)),
            namespaces.join(","),
            layers.join(","),
            plan.degraded.iter().map(json).collect::<Vec<_>>().join(","),
            published.join(","),
            reached.join(","),
        ));
    }

    /// The command has ended.
    pub fn ended(&self, ended: &Ended) {
        let reason = match ended.status.signal() {
            _ if ended.timed_out => "timeout",
            Some(libc::SIGKILL) if ended.counted.is_some_and(|counted| counted.oom_kills > 0) => "oom",
            Some(_) => "signal",
            None => "exit",
        };
        self.end(ended.exit_status(), ended.status.code(), ended.status.signal(), reason, ended.counted, "null");
    }

    /// The launch failed, or the launcher did.
    pub fn failed(&self, error: &Error) {
        let or_null = |text: Option<String>| text.unwrap_or_else(|| "null".into());
        let object = format!(
            "{{\"step\":{},\"flag\":{},\"problem\":{},\"errno\":{},\"layer\":{},\"remedy\":{}}}",
            json(&*error.doing),
            or_null(error.flag.map(|flag| json(flag.text()))),
            json(&*error.problem),
            or_null(error.errno.map(|errno| errno.to_string())),
            json(error.layer.to_string()),
            json(&*error.remedy),
        );
        self.end(error.status, None, None, "launcher", None, &object);
    }

    fn end(&self, status: u8, code: Option<i32>, signal: Option<i32>, reason: &str, counted: Option<Counted>, error: &str) {
        let number = |number: Option<i32>| number.map_or("null".into(), |n| n.to_string());
        let usage = sys::usage_of_children();
        let wall = sys::now().saturating_sub(self.began) / 1000;
        self.write(&format!(
            "{{\"event\":\"end\",\"status\":{status},\"code\":{},\"signal\":{},\"reason\":{},\"wall\":{},\"user\":{},\"system\":{},\"peak_memory\":{},\"oom_kills\":{},\"error\":{error}}}\n",
            number(code),
            number(signal),
            json(reason),
            seconds(wall),
            seconds(usage.user),
            seconds(usage.system),
            counted.and_then(|counted| counted.peak).unwrap_or(usage.peak),
            counted.map_or("null".into(), |counted| counted.oom_kills.to_string()),
        ));
    }
}

/// What holds the command back, by what the plan does for it.
fn layers(plan: &Plan) -> Vec<&'static str> {
    let done = |is: fn(&Op) -> bool| plan.inside.iter().chain(&plan.last).any(|step| is(&step.op));
    [
        ("namespaces", plan.namespaces != 0),
        ("mounts", done(|op| matches!(op, Op::EnterRoot))),
        ("capabilities", done(|op| matches!(op, Op::Capabilities { .. }))),
        ("no_new_privs", done(|op| matches!(op, Op::NoNewPrivileges))),
        ("landlock", done(|op| matches!(op, Op::Landlock))),
        ("seccomp", done(|op| matches!(op, Op::FilterCalls { .. }))),
    ]
    .into_iter()
    .filter(|(_, done)| *done)
    .map(|(name, _)| name)
    .collect()
}

/// Microseconds as seconds.
fn seconds(microseconds: u64) -> String {
    format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}
