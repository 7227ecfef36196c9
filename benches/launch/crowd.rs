//! Many jails at once, and many processes in one.

use crate::command::Launch;
use crate::launchers::{self, NOTHING, Wish};
use crate::launches::FLOOR_AND_BWRAP;
use crate::rows::{Row, Table};
use crate::{Bench, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub const RATES: &str = "launches per second";
pub const LEFT: &str = "left-over processes, µs from the command's end";
/// What a command leaves behind.
const COUNT: usize = 100;
/// After this time what is left over stays.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn rates(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    // Enough launches that the first and the last, which have less beside them, count little.
    let (at_once, launches): (&[usize], usize) = if bench.quick { (&[1, 2], 8) } else { (&[1, 2, 8, 64], 256) };
    let mut rows = Vec::new();
    for &many in at_once {
        let beside = ["floor", "bwrap"].map(|launcher| rate_name(launcher, many));
        for (launcher, line) in launchers::each(&dir, &NOTHING) {
            let dir = dir.clone();
            let run = move || Ok(vec![rate(&dir, &line, many, launches)?]);
            rows.push(Row::new(rate_name(&launcher, many), &beside.each_ref().map(String::as_str), run));
        }
    }
    let rounds = bench.rounds.div_ceil(25);
    bench.measure(Table { title: RATES, measures: &[("rate", 0)], ratios: FLOOR_AND_BWRAP, rounds, rows })?;
    Ok(())
}

pub fn rate_name(launcher: &str, many: usize) -> String {
    format!("{launcher}, {many} at once")
}

/// So many at any time, until so many have ended.
fn rate(dir: &Path, line: &str, many: usize, launches: usize) -> Result<f64> {
    let begun = AtomicUsize::new(0);
    let start = Instant::now();
    let failed = thread::scope(|scope| {
        let work = || {
            let mut launch = Launch::new(dir, line);
            while begun.fetch_add(1, Ordering::Relaxed) < launches {
                launch.run().map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        };
        let workers: Vec<_> = (0..many).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().unwrap_or(Err("a thread panicked".into())).err()).next()
    });
    let time = start.elapsed();
    failed.map_or(Ok(launches as f64 / time.as_secs_f64()), |error| Err(error.into()))
}

/// How long after its command the launcher returns, and how long after it all are dead.
pub fn left_over(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    // Another benchmark may run beside this one.
    let name = format!("left-{}", std::process::id());
    let words = format!("{COUNT} {name}");
    let rows = launchers::each(&dir, &Wish { program: "leave", words: &words, binds: &[] })
        .into_iter()
        .map(|(launcher, line)| {
            let (dir, name) = (dir.clone(), name.clone());
            let must_wait = !launcher.ends_with("bwrap");
            Row::new(launcher, &[], move || teardown(Launch::new(&dir, &line), &name, must_wait))
        })
        .collect();
    let measures = &[("to the launcher's end", 0), ("to the end of all", 0)];
    bench.measure(Table { title: LEFT, measures, ratios: &[], rounds: bench.rounds.div_ceil(2), rows })?;
    Ok(())
}

fn teardown(mut launch: Launch, name: &str, must_wait: bool) -> Result<Vec<f64>> {
    let mut process = launch.command.stdout(Stdio::piped()).spawn()?;
    let status = process.wait()?;
    let returned = now()?;
    // All hold the pipe's other end until they are dead: then this one has an end.
    let mut pipe = process.stdout.take().ok_or("no pipe")?;
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut said = Vec::new();
    let all_dead = match pipe.read_to_end(&mut said) {
        Ok(_) => returned,
        Err(error) if error.kind() == ErrorKind::WouldBlock && !must_wait => {
            fcntl(&pipe, FcntlArg::F_SETFL(OFlag::empty()))?;
            pipe.read_to_end(&mut said)?;
            now()?
        }
        Err(error) => return Err(launch.failed(format!("some left-over processes are alive at the return: {error}"))),
    };
    if !status.success() {
        return Err(launch.failed(status));
    }
    // The same, seen in the process table, where one that is dead and not waited for is, too.
    let deadline = Instant::now() + PATIENCE;
    while let left @ 1.. = called(name)? {
        if must_wait || Instant::now() > deadline {
            return Err(launch.failed(format!("{left} left-over processes are there after the return")));
        }
        thread::sleep(Duration::from_millis(1));
    }
    let (seconds, nanoseconds) = said.split_first_chunk::<8>().ok_or("the command told no time")?;
    let nanoseconds = nanoseconds.first_chunk::<8>().ok_or("the command told half a time")?;
    let ended = i64::from_ne_bytes(*seconds) as f64 * 1e6 + i64::from_ne_bytes(*nanoseconds) as f64 / 1e3;
    Ok(vec![returned - ended, all_dead - ended])
}

/// Microseconds of the clock that leave.c reads.
fn now() -> Result<f64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(now.tv_sec() as f64 * 1e6 + now.tv_nsec() as f64 / 1e3)
}

/// How many processes have this name.
fn called(name: &str) -> Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir("/proc")? {
        let comm = fs::read_to_string(entry?.path().join("comm")).unwrap_or_default();
        found += usize::from(comm.trim_end() == name);
    }
    Ok(found)
}
