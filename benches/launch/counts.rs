//! What does not depend on how busy the machine is.

use crate::command::Launch;
use crate::launchers::{self, NOTHING};
use crate::rows::{Row, Table};
use crate::{Bench, Result};
use nix::sys::resource::{UsageWho, getrusage};
use std::fs;
use std::path::{Path, PathBuf};

pub const COUNTS: &str = "one launch";

/// Page faults are those of the launcher and of what it waited for, less those of the
/// payload started bare. Calls are those of all processes.
pub fn counts(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    let strace = launchers::installed("strace");
    if !strace {
        bench.note("system calls of the launch: there is no strace");
    }
    let mut lines = vec![("fork and exec, nothing else".to_owned(), "./payload".to_owned())];
    lines.extend(launchers::each(&dir, &NOTHING));
    let rows = lines
        .into_iter()
        .map(|(name, line)| {
            let dir = dir.clone();
            Row::new(name, &[], move || {
                // A loader may be what starts a bwrap.
                let start = line.split_once(" --unshare-all").and_then(|(start, _)| start.split(' ').next_back());
                let program = start.or(line.split(' ').next()).unwrap_or_default();
                let faults = faults(&dir, &line)? - faults(&dir, "./payload")?;
                let size = fs::metadata(found(&dir, program)).map_or(f64::NAN, |about| about.len() as f64 / 1000.0);
                let mut counts = vec![faults, size];
                if strace {
                    counts.push(calls(&dir, &line)?);
                }
                Ok(counts)
            })
        })
        .collect();
    let measures: &[_] = &[("page faults", 0), ("program, kB", 1), ("system calls", 0)];
    let measures = if strace { measures } else { &measures[..2] };
    bench.measure(Table { title: COUNTS, measures, ratios: &[], rounds: bench.rounds.div_ceil(20), rows })?;
    Ok(())
}

/// A program's file.
fn found(dir: &Path, program: &str) -> PathBuf {
    match program.strip_prefix("./") {
        Some(name) => dir.join(name),
        None => Path::new("/usr/bin").join(program),
    }
}

fn faults(dir: &Path, line: &str) -> Result<f64> {
    let waited_for = || getrusage(UsageWho::RUSAGE_CHILDREN).map(|usage| usage.minor_page_faults() + usage.major_page_faults());
    let before = waited_for()?;
    Launch::new(dir, line).run()?;
    Ok((waited_for()? - before) as f64)
}

/// The last line of strace's table has the sum, after two shares and a time.
fn calls(dir: &Path, line: &str) -> Result<f64> {
    let log = dir.join("copies/strace");
    Launch::new(dir, &format!("strace -f -qq -c -o {} {}", log.display(), line)).run()?;
    let log = fs::read_to_string(log)?;
    let sum = log.lines().rfind(|line| line.ends_with(" total")).and_then(|line| line.split_whitespace().nth(3));
    Ok(sum.ok_or("strace counted nothing")?.parse()?)
}
