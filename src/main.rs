//! `jail` runs one command where it sees nothing but what a flag names.
//!
//! One straight way: what was typed (`args`), what it means (`policy`), what
//! this machine is (`host`), what will be done (`plan`); then it is printed
//! (`explain`) or performed (`launch`, `init`, `apply`), and waited for (`supervise`).

#![cfg_attr(not(test), no_main)]
#![cfg_attr(test, allow(dead_code))]

use std::ffi::{OsStr, OsString};
use std::mem::ManuallyDrop;
use std::path::Path;

mod apply;
mod args;
mod beside;
mod caps;
mod cgroup;
mod check;
#[cfg(test)]
mod completions;
mod degrade;
mod denied;
mod diagnose;
mod diff;
mod endpoint;
mod error;
mod explain;
mod fakeroot;
mod filter;
mod flags;
mod forward;
mod greeting;
mod host;
mod init;
mod keeper;
mod landlock;
mod launch;
mod loopback;
mod orphans;
mod overlay;
mod pasta;
mod place;
mod plan;
mod policy;
mod pty;
mod publish;
mod reach;
mod reacher;
mod record;
mod relay;
mod report;
mod rlimits;
mod seccomp;
mod subids;
mod subordinate;
mod supervise;
mod sys;
mod syscalls;
mod text;
mod times;
mod trace;
mod units;
mod view;
mod wanted;

use args::Typed;
use error::{Error, FAILED, Layer};
use host::Host;
use policy::{Format, Policy, Request};
use record::Record;

/// From the command line to the exit status.
fn story(words: Vec<OsString>, arguments: &sys::Arguments) -> u8 {
    // Not a mistake that has a remedy: someone who asks what this is.
    let (text, status) = if words.is_empty() {
        (flags::first_words(), FAILED)
    } else {
        match tell(words, arguments) {
            Ok(status) => return status,
            Err(error) => (format!("{error}\n"), error.status),
        }
    };
    // Where nobody listens there is nobody to tell.
    if let Some(stderr) = sys::inherited(2) {
        let _ = launch::print(stderr, &text);
    }
    status
}

fn tell(words: Vec<OsString>, arguments: &sys::Arguments) -> Result<u8, Error> {
    let typed = args::parse(words, &read_flags)?;
    let record = Record::of(&typed);
    let told = act(typed, arguments, record.as_ref());
    if let (Some(record), Err(error)) = (&record, &told) {
        record.failed(error);
    }
    told
}

fn act(typed: Typed, arguments: &sys::Arguments, record: Option<&Record>) -> Result<u8, Error> {
    match policy::interpret(typed)? {
        Request::Help => print(&flags::help()),
        Request::Version => print(concat!("jail ", env!("CARGO_PKG_VERSION"), "\n")),
        Request::Check(policy, format) => {
            let (text, starts) = check::run(&policy, &mut Host::observe(), arguments, format);
            print(&text).map(|_| if starts { 0 } else { FAILED })
        }
        Request::Diff(asked) => diff::run(&asked, &mut |text| print(text).map(drop)).map(|()| 0),
        Request::Explain(policy, format) => {
            let plan = plan::build(&policy, &observe(&policy, arguments)?)?;
            print(&match format {
                Format::Text => explain::text(&plan),
                Format::Json => explain::to_json(&plan),
            })
        }
        Request::Time(policy) => {
            let began = sys::now();
            let plan = plan::build(&policy, &observe(&policy, arguments)?)?;
            let planned = sys::now() - began;
            let text = times::run(&plan, planned, arguments);
            print(&text.map_err(|failure| diagnose::error(&plan, failure, &diagnose::Signs::read()))?)
        }
        Request::Run(policy) => {
            // What is not given back here the kernel takes, all at once.
            let policy = ManuallyDrop::new(policy);
            let host = ManuallyDrop::new(observe(&policy, arguments)?);
            let plan = ManuallyDrop::new(plan::build(&policy, &host)?);
            let ended = launch::run(&plan, arguments, record, launch::Passed::LetGo, None)
                .map_err(|failure| diagnose::error(&plan, failure, &diagnose::Signs::read()))?;
            if let Some(record) = record {
                record.ended(&ended);
            }
            Ok(ended.exit_status())
        }
    }
}

/// This machine; and what it refuses, where that is to be done without.
fn observe(policy: &Policy, arguments: &sys::Arguments) -> Result<Host, Error> {
    let mut host = Host::observe();
    if let Some(degrade) = &policy.degrade {
        host.lacks = check::lacks(&degrade.value, &host, arguments)?;
    }
    Ok(host)
}

/// Prints to standard output; half an explanation is an error.
fn print(text: &str) -> Result<u8, Error> {
    let stdout = sys::inherited(1).ok_or(rustix::io::Errno::BADF);
    match stdout.and_then(|stdout| launch::print(stdout, text)) {
        Ok(()) => Ok(0),
        Err(errno) => Err(Error {
            status: FAILED,
            doing: "write to standard output".into(),
            layer: Layer::Files,
            ..Error::usage(None, errno.to_string(), "make room, or send it elsewhere")
        }),
    }
}

/// What `--args FILE` holds.
fn read_flags(file: &OsStr) -> Result<Vec<u8>, String> {
    if file != "-" {
        return std::fs::read(Path::new(file)).map_err(|error| error.to_string());
    }
    // Not std's stdin, which takes a closed one for an empty one.
    let stdin = sys::inherited(0).ok_or("standard input is closed")?;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match rustix::io::read(stdin, &mut part) {
            Ok(0) => return Ok(bytes),
            Ok(read) => bytes.extend_from_slice(&part[..read]),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.to_string()),
        }
    }
}
