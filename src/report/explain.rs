//! The plan in words: for a person, for a program, and at the head of errors.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

use crate::plan::Plan;
use crate::plan::op::Step;
use crate::policy::Init;
use crate::sys::namespaces::{namespace_names, namespaces};
use crate::util::escape::shown;
use crate::util::json::json;
use crate::util::units::seconds;

/// The three lists of steps, each with its name and its heading.
pub fn lists(plan: &Plan) -> [(&'static str, &'static str, &[Step]); 3] {
    [
        ("outside", "The launcher:", &plan.outside),
        ("inside", "Process 1:", &plan.inside),
        ("last", "The command's process:", &plan.last),
    ]
}

/// The plan for a person: a line a step, with the flag that asked for it.
pub fn text(plan: &Plan) -> String {
    let new = if plan.namespaces == 0 { "none".into() } else { namespaces(plan.namespaces) };
    let mut out = format!("New namespaces: {new}\n");
    if !plan.degraded.is_empty() {
        out.push_str(&format!("Done without, as this machine refuses it: {}\n", plan.degraded.join(" ")));
    }
    if let Some(limit) = plan.timeout {
        let (timeout, grace) = (seconds(limit.timeout), seconds(limit.grace));
        out.push_str(&format!("Ended after {timeout} s by SIGTERM, and {grace} s later by SIGKILL\n"));
    }
    for (_, title, steps) in lists(plan) {
        if steps.is_empty() {
            continue;
        }
        out.push_str(title);
        out.push('\n');
        for step in steps {
            let line = step.op.to_string();
            match &step.asked {
                Some(asked) => out.push_str(&format!("  {line:<50}  [{}]\n", asked.text())),
                None => out.push_str(&format!("  {line}\n")),
            }
        }
    }
    let names: Vec<String> = plan.command.env.iter().map(|(name, _)| shown(name)).collect();
    out.push_str(&format!("  environment: {}\n", names.join(" ")));
    let words: Vec<String> = plan.command.argv.iter().map(shown).collect();
    out.push_str(&format!("  execute {}\n", words.join(" ")));
    out
}

/// The plan for a program: one JSON object. Values of variables are left out.
pub fn to_json(plan: &Plan) -> String {
    let array = |items: Vec<String>| format!("[{}]", items.join(","));
    let path = |path: Option<&CStr>| path.map_or("null".into(), |p| json(OsStr::from_bytes(p.to_bytes())));
    let mut out = format!("{{\"namespaces\":{}", array(namespace_names(plan.namespaces).into_iter().map(json).collect()));
    for (name, _, steps) in lists(plan) {
        let steps = steps.iter().map(|step| {
            let (source, dest) = step.op.paths();
            format!(
                "{{\"op\":{},\"source\":{},\"dest\":{},\"text\":{},\"flag\":{}}}",
                json(step.op.name()),
                path(source),
                path(dest),
                json(step.op.to_string()),
                step.asked.as_ref().map_or("null".into(), |asked| json(asked.text())),
            )
        });
        out.push_str(&format!(",\"{name}\":{}", array(steps.collect())));
    }
    let init = match plan.init {
        Init::Reaper => "reaper",
        Init::None => "none",
    };
    if let Some(limit) = plan.timeout {
        let (timeout, grace) = (seconds(limit.timeout), seconds(limit.grace));
        out.push_str(&format!(",\"timeout\":{timeout},\"grace\":{grace}"));
    }
    out.push_str(&format!(
        ",\"init\":{},\"environment\":{},\"command\":{}}}\n",
        json(init),
        array(plan.command.env.iter().map(|(name, _)| json(name)).collect()),
        array(plan.command.argv.iter().map(json).collect()),
    ));
    out
}
