//! What a jail costs, beside other launchers and beside the *floor*, what the kernel must
//! do for one: `cargo bench --bench launch`.
//!
//! Each table's commands are run in one go, in rounds, each round in another order, so
//! that what else the machine does meets all of them alike. What they launch is a bare
//! static program, unless the table says what else. Started as root, it measures as an
//! unprivileged user: it starts itself again as that user, and that process times what
//! it starts.
//!
//! `JAIL_BENCH_ROUNDS` is the number of rounds, of which tables whose rows take long have a
//! part; `JAIL` the program to measure if not the release build, `JAIL_BENCH_BEFORE` another
//! jail to measure beside it, `JAIL_BENCH_BWRAP` a command line, without quoting, that is another bwrap, such as benches/newer-bwrap prints, and
//! `JAIL_BENCH_ONLY` what is in the names of the rows, or of the tables, that alone are
//! measured. A launch that fails, or a left-over process that lives, ends the benchmark with
//! an error; what is not installed, or is another's and cannot run here, is not measured and
//! said to be so.

mod command;
mod counts;
mod crowd;
mod filter;
mod host;
mod inside;
mod launchers;
mod launches;
mod processes;
mod rows;
mod scratch;
mod targets;

use rows::Table;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

/// The user that measures when we are root: no name, no files.
const USER: u32 = 54321;
const ROUNDS: usize = 200;
/// The binds that are measured; the growth is told from the last two.
const BINDS: [usize; 5] = [0, 1, 10, 100, 1000];
/// The environment that all are launched with.
const HOME: &str = "/home/tester";
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// The words that tell the second process, and one that has a host's mounts, what it is.
const MEASURE: &str = "--measure-in";
const HOST: &str = "--host-in";
/// The word of a try that is to be short.
const QUICK: &str = "quick";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let done = match &words[..] {
        [_, word, dir, rounds, size] if word == MEASURE => number(rounds).and_then(|n| measure(Path::new(dir), n, size == QUICK)),
        [_, word, dir, mounts] if word == HOST => number(mounts).and_then(|n| host::serve(Path::new(dir), n)),
        // cargo bench says so; cargo test, which only asks whether it works, does not.
        _ => prepare(words.iter().any(|word| word == "--bench")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("launch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(word: &OsStr) -> Result<usize> {
    word.to_str().and_then(|word| word.parse().ok()).ok_or_else(|| format!("{}: not a number", word.to_string_lossy()).into())
}

/// Builds what is launched, and goes on as the user who launches.
fn prepare(measured: bool) -> Result<()> {
    let rounds = match std::env::var("JAIL_BENCH_ROUNDS") {
        Ok(rounds) => rounds.parse::<usize>().ok().filter(|n| *n > 0).ok_or("JAIL_BENCH_ROUNDS is not a number from 1 up")?,
        Err(_) if measured => ROUNDS,
        Err(_) => 1,
    };
    let scratch = scratch::build(!measured)?;
    let dir = &scratch.0;
    if !scratch::as_root()? {
        return measure(dir, rounds, !measured);
    }
    let driver = dir.join("driver");
    fs::copy(std::env::current_exe()?, &driver)?;
    let status = Command::new("setpriv")
        .arg(format!("--reuid={USER}"))
        .arg(format!("--regid={USER}"))
        .args(["--clear-groups", "--pdeathsig=KILL", "--"])
        .arg(&driver)
        .arg(MEASURE)
        .arg(dir)
        .arg(rounds.to_string())
        .arg(if measured { "full" } else { QUICK })
        .current_dir(dir)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("start setpriv: {error}"))?;
    if status.success() { Ok(()) } else { Err("there is no result".into()) }
}

/// One run.
pub struct Bench {
    dir: PathBuf,
    rounds: usize,
    /// Once, and fewer of everything: only to see that it works.
    quick: bool,
    only: Option<String>,
    tables: Vec<Table>,
}

impl Bench {
    /// Measures the rows that are asked for, prints them, and keeps them for the targets.
    fn measure(&mut self, mut table: Table) -> Result<&Table> {
        if let Some(part) = &self.only {
            table.rows.retain(|row| row.name.contains(part) || table.title.contains(part));
        }
        if !table.rows.is_empty() {
            table.measure()?;
            table.print();
        }
        self.tables.push(table);
        self.tables.last().ok_or_else(|| "no table".into())
    }

    /// What this machine lacks, when all is measured.
    fn note(&self, what: &str) {
        if self.only.is_none() {
            eprintln!("launch: not measured: {what}");
        }
    }

    fn found(&self, title: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.title == title)
    }
}

fn measure(dir: &Path, rounds: usize, quick: bool) -> Result<()> {
    let only = std::env::var("JAIL_BENCH_ONLY").ok();
    let mut bench = Bench { dir: dir.to_owned(), rounds, quick, only, tables: Vec::new() };
    launchers::check_floor(dir)?;
    header(dir, rounds);
    let before = load();
    launches::plain(&mut bench)?;
    launches::before(&mut bench)?;
    launches::tree(&mut bench)?;
    launches::binds(&mut bench)?;
    launches::masks(&mut bench)?;
    host::mounts(&mut bench)?;
    launches::words(&mut bench)?;
    crowd::rates(&mut bench)?;
    crowd::left_over(&mut bench)?;
    host::kept(&mut bench)?;
    inside::calls(&mut bench)?;
    inside::make(&mut bench)?;
    counts::counts(&mut bench)?;
    targets::print(&bench);
    println!("\nLoad before: {before}; after: {}.", load());
    Ok(())
}

/// When, where and with what, as Markdown.
fn header(dir: &Path, rounds: usize) {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.split_once(':')).map(|(_, value)| value.trim());
    let model = field("model name").unwrap_or(std::env::consts::ARCH);
    let virtual_machine =
        if field("flags").is_some_and(|flags| flags.contains(" hypervisor ")) { ", virtual machine" } else { "" };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("- {}, {rounds} rounds", said_by("date", &["-u", "+%Y-%m-%d %H:%M UTC"]));
    println!("- Linux {}, {model}, {cpus} CPUs{virtual_machine}", kernel.trim());
    let jail = said_by(dir.join("jail"), &["--version"]);
    let mut others: Vec<String> = launchers::bwraps()
        .into_iter()
        .map(|(name, bwrap)| {
            let words: Vec<&str> = bwrap.split_whitespace().chain(["--version"]).collect();
            format!("{name}: {}", said_by(words[0], &words[1..]))
        })
        .collect();
    others.push(said_by("unshare", &["--version"]));
    println!("- {jail}; {}", others.join("; "));
}

/// The load averages of 1, 5 and 15 minutes.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The first line that a program prints.
fn said_by(program: impl AsRef<OsStr>, args: &[&str]) -> String {
    let program = program.as_ref();
    let output = Command::new(program).args(args).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().map_or(format!("no {}", Path::new(program).display()), str::to_owned)
}
