//! From the command line to the exit status.

use core::ffi::{c_char, c_int};
use std::ffi::{OsStr, OsString};
use std::mem::ManuallyDrop;
use std::path::Path;

use crate::cli::apply_flag;
use crate::cli::command_line;
use crate::cli::command_line::Typed;
use crate::cli::flags;
use crate::cli::request::{Format, Request};
use crate::error::{Error, Layer, said};
use crate::host::Host;
use crate::host::own_file::Copied;
use crate::host::privileges;
use crate::plan;
use crate::plan::Plan;
use crate::policy::Policy;
use crate::report::check;
use crate::report::diagnose;
use crate::report::diff;
use crate::report::evidence;
use crate::report::explain;
use crate::report::profile;
use crate::supervisor::launch;
use crate::supervisor::status_fd::Record;
use crate::sys;
use crate::util::exit_status::FAILED;
use crate::util::fs;
use crate::util::io;

/// From the command line to the exit status.
fn story(words: Vec<OsString>, arguments: &sys::Arguments) -> u8 {
    // Before any file is read: --args, --diff and --check would read it with the rights
    // of the executable's owner, and print parts of it.
    let privileged = if sys::is_secure() { privileges::privileged() } else { None };
    let (text, status) = if let Some(error) = privileged {
        (format!("{error}\n"), error.status)
    } else if words.is_empty() {
        // Not a mistake that has a remedy: someone who asks what this is.
        (flags::first_words(), FAILED)
    } else {
        match tell(words, arguments) {
            Ok(status) => return status,
            Err(error) => (format!("{error}\n"), error.status),
        }
    };
    // Where nobody listens there is nobody to tell.
    if let Some(stderr) = sys::inherited(2) {
        let _ = io::print(stderr, &text);
    }
    status
}

/// From the C `main` to the end of the process.
pub fn main(argc: c_int, argv: *const *const c_char) -> ! {
    // Nothing waits for the C library's end: no stream of its is used.
    let (arguments, words) = sys::Arguments::of_main(argc, argv);
    sys::exit_now(story(words, &arguments).into())
}

fn tell(words: Vec<OsString>, arguments: &sys::Arguments) -> Result<u8, Error> {
    let copied = Copied::of_this_process().map_err(|errno| {
        let error = Error::usage(None, said(errno), "start again; /proc must be mounted, and jail must be started by its path");
        error.numbered(errno).met("go on from the sealed copy", Layer::Kernel)
    })?;
    if let Some(copied) = &copied {
        copied.restore_name();
    }
    // The first start has read each file already, in this order.
    let mut known = copied.into_iter().flat_map(|copied| copied.args_files);
    let typed = command_line::parse(words, &mut |file| known.next().map_or_else(|| read_flags(file), Ok))
        .map_err(privileges::few_descriptors)?;
    let record = Record::of(&typed);
    let told = act(typed, arguments, record.as_ref()).map_err(privileges::few_descriptors);
    if let (Some(record), Err(error)) = (&record, &told) {
        record.failed(error);
    }
    told
}

fn act(typed: Typed, arguments: &sys::Arguments, record: Option<&Record>) -> Result<u8, Error> {
    match apply_flag::interpret(typed)? {
        Request::Help => print(&flags::help()),
        Request::Version => print(concat!("jail ", env!("CARGO_PKG_VERSION"), "\n")),
        Request::Check(policy, format) => {
            let (mut policy, mut host) = (ManuallyDrop::new(policy), ManuallyDrop::new(Host::observe()));
            let (text, starts) = check::run(&mut policy, &mut host, arguments, format);
            print(&text).map(|_| if starts { 0 } else { FAILED })
        }
        Request::Diff(asked) => diff::run(&asked, &mut |text| print(text).map(drop)).map(|()| 0),
        Request::Explain(policy, format) => {
            let plan = planned(policy, arguments)?;
            print(&match format {
                Format::Text => explain::text(&plan),
                Format::Json => explain::to_json(&plan),
            })
        }
        Request::Time(policy) => {
            let began = sys::now();
            let mut plan = planned(policy, arguments)?;
            plan.stay_in_this_process();
            let planned = sys::now() - began;
            let text = profile::run(&plan, planned, arguments);
            print(&text.map_err(|failure| diagnose::error(&plan, failure, &evidence::Signs::read()))?)
        }
        Request::Run(policy) => {
            let plan = planned(policy, arguments)?;
            let ended = launch::run(&plan, arguments, record, launch::Passed::LetGo, None)
                .map_err(|failure| diagnose::error(&plan, failure, &evidence::Signs::read()))?;
            if let Some(record) = record {
                record.ended(&ended);
            }
            Ok(ended.exit_status())
        }
    }
}

/// The plan for this machine. What is not given back here the kernel takes, all at once.
fn planned(policy: Box<Policy>, arguments: &sys::Arguments) -> Result<ManuallyDrop<Plan>, Error> {
    let mut policy = ManuallyDrop::new(policy);
    let host = observe(&policy, arguments)?;
    plan::build(&mut policy, &host).map(ManuallyDrop::new)
}

/// This machine; and what it refuses, where that is to be done without.
fn observe(policy: &Policy, arguments: &sys::Arguments) -> Result<ManuallyDrop<Host>, Error> {
    let mut host = ManuallyDrop::new(Host::observe());
    if let Some(degrade) = &policy.degrade {
        host.lacks = check::lacks(&degrade.value, &host, arguments)?;
    }
    Ok(host)
}

/// Prints to standard output; half an explanation is an error.
fn print(text: &str) -> Result<u8, Error> {
    let stdout = sys::inherited(1).ok_or(rustix::io::Errno::BADF);
    match stdout.and_then(|stdout| io::print(stdout, text)) {
        Ok(()) => Ok(0),
        Err(errno) => {
            let error = Error::usage(None, said(errno), "make room, or send it elsewhere");
            Err(error.met("write to standard output", Layer::Files))
        }
    }
}

/// What `--args FILE` holds.
fn read_flags(file: &OsStr) -> Result<Vec<u8>, String> {
    let read = if file == "-" {
        // Not std's stdin, which takes a closed one for an empty one.
        fs::read_all(sys::inherited(0).ok_or("standard input is closed")?)
    } else {
        fs::read(Path::new(file))
    };
    read.map_err(said)
}
