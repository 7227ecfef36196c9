//! A host with many mounts, and what a launcher keeps while its command runs.
//!
//! Both are measured by a process of the same user in a user and a mount namespace of its
//! own, root there and nowhere else: so it may mount, and read the memory of processes
//! that are closed to their user, as jail's process 1. What it starts holds no capability.

use crate::command::Launch;
use crate::launchers::{self, NOTHING, Wish};
use crate::launches::{FLOOR_AND_BWRAP, counted, growth};
use crate::processes::{name, running};
use crate::rows::{Row, Table};
use crate::{Bench, HOST, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

pub const MOUNTS: &str = "launch to exit with mounts on the host, µs";
pub const KEEPS: &str = "kept while the command runs";

/// The process, seen from the one that measures.
struct Host {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Host {
    fn start(dir: &Path, mounts: usize) -> Result<Rc<RefCell<Self>>> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(HOST)
            .arg(dir)
            .arg(mounts.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(ask), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("a process without pipes".into());
        };
        Ok(Rc::new(RefCell::new(Self { process, ask, answers: BufReader::new(answers) })))
    }

    /// `what` and a command line give numbers.
    fn ask(&mut self, what: &str, line: &str) -> Result<Vec<f64>> {
        writeln!(self.ask, "{what} {line}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let numbers: Vec<f64> = answer.split_whitespace().flat_map(str::parse).collect();
        // Why not, it has said itself.
        if numbers.is_empty() { Err("it failed in a mount namespace of its own".into()) } else { Ok(numbers) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The process itself.
pub fn serve(dir: &Path, mounts: usize) -> Result<()> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(|error| format!("unshare: {error}"))?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    let place = dir.join("mounts");
    let none: Option<&str> = None;
    mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), none)?;
    // One less than asked, for that one is a mount, too.
    for n in 1..mounts {
        let point = place.join(n.to_string());
        fs::create_dir(&point)?;
        mount(Some(&dir.join("tree")), &point, none, MsFlags::MS_BIND, none)?;
    }
    if mounts == 0 {
        nix::mount::umount(&place)?;
    }
    for asked in std::io::stdin().lines() {
        let asked = asked?;
        let numbers = match asked.split_once(' ') {
            Some(("time", line)) => vec![Launch::new(dir, line).run()?],
            Some(("keeps", line)) => keeps(Launch::new(dir, line))?,
            _ => return Err(format!("{asked}: not understood").into()),
        };
        println!("{}", numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

/// A copy of the host's mounts is made for each jail.
pub fn mounts(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    let counts: &[usize] = if bench.quick { &[0, 20, 200] } else { &[0, 1000, 5000] };
    let mut rows = Vec::new();
    for &count in counts {
        let beside = ["floor", "bwrap"].map(|launcher| counted(launcher, count, "mount"));
        let host = Host::start(&dir, count)?;
        for (launcher, line) in launchers::each(&dir, &NOTHING) {
            let host = Rc::clone(&host);
            let run = move || host.borrow_mut().ask("time", &line);
            rows.push(Row::new(counted(&launcher, count, "mount"), &beside.each_ref().map(String::as_str), run));
        }
    }
    let rounds = bench.rounds.div_ceil(4);
    let table = Table { title: MOUNTS, measures: &[("time", 0)], ratios: FLOOR_AND_BWRAP, rounds, rows };
    let table = bench.measure(table)?;
    for launcher in ["floor", "bwrap", "newer bwrap", "jail"] {
        growth(table, launcher, "mount", counts);
    }
    Ok(())
}

/// Memory and processes of each launcher's own.
pub fn kept(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    let host = Host::start(&dir, 0)?;
    let rows = launchers::each(&dir, &Wish { program: "stay", ..NOTHING })
        .into_iter()
        .map(|(launcher, line)| {
            let host = Rc::clone(&host);
            Row::new(launcher, &[], move || host.borrow_mut().ask("keeps", &line))
        })
        .collect();
    let measures = &[("PSS, kB", 0), ("of which its own data", 0), ("processes", 0)];
    bench.measure(Table { title: KEEPS, measures, ratios: &[], rounds: bench.rounds.div_ceil(20), rows })?;
    Ok(())
}

/// The kilobytes of a launcher's processes while its command runs, shared ones by their
/// share, and how many they are.
fn keeps(launch: Launch) -> Result<Vec<f64>> {
    running(launch, |family| {
        // What the launcher does once the command has begun is soon done.
        thread::sleep(Duration::from_millis(10));
        let own: Vec<u32> = family.iter().copied().filter(|&pid| name(pid) != "payload").collect();
        let mut kilobytes = [0.0; 2];
        for pid in &own {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
            let rollup = rollup.map_err(|error| format!("the memory of process {pid}, {}: {error}", name(*pid)))?;
            // The rest is the program's file, which all that run it share.
            for (sum, field) in kilobytes.iter_mut().zip(["Pss:", "Pss_Anon:"]) {
                let pss = rollup.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next());
                *sum += pss.ok_or("no PSS")?.parse::<f64>()?;
            }
        }
        Ok(vec![kilobytes[0], kilobytes[1], own.len() as f64])
    })
}
