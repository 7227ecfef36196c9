//! Whatever stands on the command line: no panic from there to the plan and its
//! explanation, on a made-up machine; the order of flags changes nothing; and
//! `--explain=json` is JSON. `fuzz/run` builds and starts it.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::fuzz_target;

use jail::cli::request::Request;
use jail::cli::{apply_flag, command_line, flags};
use jail::error;
use jail::host::Host;
use jail::plan;
use jail::policy::layer;
use jail::report::explain;

/// Words end in NUL. One of a single byte is a flag, so that not every flag has
/// to be found letter by letter.
fn words(data: &[u8]) -> Vec<OsString> {
    let flag = |byte: u8| format!("--{}", flags::FLAGS[usize::from(byte) % flags::FLAGS.len()].long).into_bytes();
    data.split(|byte| *byte == 0)
        .map(|word| OsString::from_vec(if let [byte] = word { flag(*byte) } else { word.to_owned() }))
        .collect()
}

fn explained(typed: command_line::Typed, host: &Host) -> Option<String> {
    let Ok(Request::Explain(mut policy, _) | Request::Run(mut policy)) = apply_flag::interpret(typed) else { return None };
    let plan = plan::build(&mut policy, host).ok()?;
    let _ = explain::text(&plan);
    let json = explain::to_json(&plan);
    if let Err(error) = serde_json::from_str::<serde_json::Value>(&json) {
        panic!("{error}: {json}");
    }
    Some(json)
}

fuzz_target!(|data: &[u8]| {
    let mut host =
        Host::made_up(&["/t/bin/sh", "/t/proc/", "/t/dev->/etc", "/t/tmp->../../x", "/t/run->run", "/l->l", "/h/a->/etc"]);
    if data.last().is_some_and(|last| last % 2 == 1) {
        // As in a container: all that can be done without must be, if it is named.
        host.lacks = layer::Degradable::ALL.map(|(_, layer)| (layer, error::Layer::Container)).into();
        host.landlock_abi = u32::from(*data.first().unwrap_or(&0) % 8);
    }
    // What follows the first NUL pair is the file of --args.
    let cut = data.windows(2).position(|pair| pair == [0, 0]).unwrap_or(data.len());
    let (line, file) = (&data[..cut], data.get(cut + 2..).unwrap_or(&[]));
    let parse = || command_line::parse(words(line), &mut |_| Ok(file.to_owned()));
    let (Ok(typed), Ok(mut reversed)) = (parse(), parse()) else { return };
    reversed.flags.reverse();
    assert_eq!(explained(typed, &host), explained(reversed, &host), "the order of flags matters");
});
