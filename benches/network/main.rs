//! What a network hole costs, beside plain loopback, pasta(1) and slirp4netns(1):
//! `cargo bench --bench network`.
//!
//! A server outside, a client inside that times what it does: bytes through one
//! connection in either direction, small requests through one connection, and small
//! requests with a connection each. The ways are taken in turn, in rounds. Started as
//! root, it measures as an unprivileged user: it starts itself again as that user.
//!
//! `JAIL_BENCH_ROUNDS` is the number of rounds, `JAIL_BENCH_MIB` how much is sent, `JAIL`
//! the program to measure if not the release build.

mod client;
mod ways;

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use client::Task;
use ways::Way;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The user that measures when we are root: no name, no files.
const USER: u32 = 54321;
const ROUNDS: usize = 9;
const MIB: usize = 1024;
/// Small requests: through one connection, and with one each.
const REQUESTS: usize = 10_000;
const CONNECTIONS: usize = 1_000;
/// The word that tells the process that measures what it is.
const MEASURE: &str = "--measure-in";

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let text: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or("")).collect();
    let done = match &text[..] {
        [_, "--client", host, port, task, count] => client::run(host, port, task, count),
        [_, "--serve", port] => client::serve(port),
        [_, MEASURE, dir, size] => measure(Path::new(dir), *size == "quick"),
        _ => prepare(!text.contains(&"--bench")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("network: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(variable: &str, default: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => text.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("{variable} is not a number from 1 up").into()),
        Err(_) => Ok(default),
    }
}

/// Copies what is measured to where every user can execute it, and goes on as the user.
fn prepare(quick: bool) -> Result<()> {
    let dir = std::env::temp_dir().join(format!("jail-network-{}", std::process::id()));
    fs::create_dir(&dir)?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
    let done = as_user(&dir, quick);
    let _ = fs::remove_dir_all(&dir);
    done
}

fn as_user(dir: &Path, quick: bool) -> Result<()> {
    let program = std::env::var_os("JAIL").unwrap_or(env!("CARGO_BIN_EXE_jail").into());
    fs::copy(&program, dir.join("jail"))?;
    fs::copy(std::env::current_exe()?, dir.join("driver"))?;
    let size = if quick { "quick" } else { "full" };
    if fs::metadata("/proc/self")?.uid() != 0 {
        return measure(dir, quick);
    }
    let mut user = Command::new("setpriv");
    user.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups", "--pdeathsig=KILL", "--"]);
    user.arg(dir.join("driver")).arg(MEASURE).arg(dir).arg(size).stdin(Stdio::null());
    if user.status()?.success() { Ok(()) } else { Err("there is no result".into()) }
}

fn measure(dir: &Path, quick: bool) -> Result<()> {
    let rounds = if quick { 1 } else { number("JAIL_BENCH_ROUNDS", ROUNDS)? };
    let mib = if quick { 16 } else { number("JAIL_BENCH_MIB", MIB)? };
    let tasks = [
        ("in, MiB/s", Task::In, mib, true),
        ("out, MiB/s", Task::Out, mib, true),
        ("a request, one connection, µs", Task::Requests, if quick { 100 } else { REQUESTS }, false),
        ("a request, its connection, µs", Task::Connections, if quick { 10 } else { CONNECTIONS }, false),
    ];
    let ways = Way::all();
    // By way and task, a value a round.
    let mut values = vec![vec![Vec::with_capacity(rounds); tasks.len()]; ways.len()];
    for round in 0..rounds {
        for offset in 0..ways.len() {
            let index = (round + offset) % ways.len();
            for (task, (_, kind, count, per_second)) in tasks.iter().enumerate() {
                let mut failed = 0;
                let seconds = loop {
                    match ways[index].time(dir, *kind, *count) {
                        Ok(seconds) => break seconds,
                        // Others' failures are not ours to mend: said, and tried again.
                        Err(error) if ways[index].is_of_others() && failed < 5 => {
                            eprintln!("network: {}, {}, once more: {error}", ways[index].name(), kind.word());
                            failed += 1;
                        }
                        Err(error) => return Err(format!("{}, {}: {error}", ways[index].name(), kind.word()).into()),
                    }
                };
                let each = *count as f64;
                values[index][task].push(if *per_second { each / seconds } else { seconds * 1e6 / each });
            }
        }
    }
    let titles: Vec<&str> = tasks.iter().map(|(title, ..)| *title).collect();
    println!("| {rounds} rounds, {mib} MiB; medians (quartiles) | {} |", titles.join(" | "));
    println!("| --- |{}", " ---: |".repeat(tasks.len()));
    for (way, values) in ways.iter().zip(&mut values) {
        let cells: Vec<String> = values.iter_mut().map(|values| cell(values)).collect();
        println!("| {} | {} |", way.name(), cells.join(" | "));
    }
    Ok(())
}

fn cell(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values[(values.len() - 1) * part / 4];
    format!("{:.0} ({:.0} to {:.0})", at(2), at(1), at(3))
}
