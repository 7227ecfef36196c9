//! How long a launch takes, from starting the launcher to its end, beside others; and
//! what system calls take inside: `cargo bench --bench launch`.
//!
//! All commands are run in one go, in rounds, each round in another order, so that
//! what else the machine does meets all of them alike. What they launch is a bare
//! static program. Started as root, it measures as an unprivileged user: it starts
//! itself again as that user, and that process times what it starts.
//!
//! `JAIL_BENCH_ROUNDS` is the number of rounds, `JAIL` the program to measure if
//! not the release build, `JAIL_BENCH_BWRAP` a command line, without quoting, that is
//! another bwrap, such as benches/newer-bwrap prints, and `JAIL_BENCH_ONLY` what is in
//! the names of the rows that alone are measured. A launch that fails ends the benchmark
//! with an error.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The user that measures when we are root: no name, no files.
const USER: u32 = 54321;
const ROUNDS: usize = 200;
/// The binds that are measured; the growth is told from the last two.
const BINDS: [usize; 4] = [1, 10, 100, 1000];
/// A thousand binds are measured once in so many rounds: they take bwrap seconds.
const SELDOM: usize = 10;
const SELDOM_BWRAP: usize = 50;
/// The calls inside, each launch of which takes a tenth of a second.
const SELDOM_CALLS: usize = 4;
/// Before each launch, for what is still taken down after the one before: a network
/// namespace goes in the background.
const PAUSE: Duration = Duration::from_millis(2);
/// The environment that all are launched with.
const HOME: &str = "/home/tester";
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// The word that tells the second process what it is.
const MEASURE: &str = "--measure-in";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let done = match &words[..] {
        [_, word, dir, rounds] if word == MEASURE => measure(Path::new(dir), rounds),
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

// What is launched, and the user who launches.

/// A directory that is gone afterwards.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn prepare(measured: bool) -> Result<()> {
    let rounds = match std::env::var("JAIL_BENCH_ROUNDS") {
        Ok(rounds) => rounds.parse::<usize>().ok().filter(|n| *n > 0).ok_or("JAIL_BENCH_ROUNDS is not a number from 1 up")?,
        Err(_) if measured => ROUNDS,
        Err(_) => 1,
    };
    let scratch = Scratch(std::env::temp_dir().join(format!("jail-bench-{}", std::process::id())));
    let dir = &scratch.0;
    fs::create_dir(dir)?;
    for name in ["", "files", "tree", "tree/proc", "tree/dev", "tree/tmp", "tree/run", "deep/a/b/c"] {
        fs::create_dir_all(dir.join(name))?;
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755))?;
    }
    // cargo builds the program, optimised as for release, before it starts us. A
    // copy, for the user may not be able to reach the original.
    let program = std::env::var_os("JAIL").unwrap_or(env!("CARGO_BIN_EXE_jail").into());
    fs::copy(&program, dir.join("jail")).map_err(|error| format!("copy {}: {error}", Path::new(&program).display()))?;
    let bare = ["-nostdlib", "-ffreestanding", "-fno-stack-protector"];
    build("payload.c", &bare, &dir.join("payload"))?;
    build("calls.c", &[], &dir.join("calls"))?;
    fs::write(dir.join("deep/a/b/c/file"), "")?;
    fs::copy(dir.join("payload"), dir.join("tree/payload"))?;
    for n in 0..BINDS[BINDS.len() - 1] {
        fs::write(dir.join(format!("files/{n}")), "")?;
    }

    build_master(dir)?;

    let rounds = OsString::from(rounds.to_string());
    if fs::metadata("/proc/self")?.uid() != 0 {
        return measure(dir, &rounds);
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
        .arg(rounds)
        .current_dir(dir)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("start setpriv: {error}"))?;
    if status.success() { Ok(()) } else { Err("there is no result".into()) }
}

/// The directories and the files in each of a tree that is worth not copying.
const MASTER: (usize, usize) = (40, 50);

/// A tree of the user's with some files in it, what copies it and runs in the copy,
/// and a place for copies.
fn build_master(dir: &Path) -> Result<()> {
    let said = Command::new("cp").arg("-a").arg(dir.join("tree")).arg(dir.join("master")).status()?;
    if !said.success() {
        return Err("the tree cannot be copied".into());
    }
    for n in 0..MASTER.0 {
        let below = dir.join(format!("master/{n}"));
        fs::create_dir(&below)?;
        for file in 0..MASTER.1 {
            fs::write(below.join(file.to_string()), [b'x'; 4096])?;
        }
    }
    fs::create_dir(dir.join("copies"))?;
    for (script, how) in [("copied", ""), ("cloned", " --reflink=always")] {
        let text = format!(
            "#!/bin/sh\ncp -a{how} master copies/c || exit 1\n./jail --root copies/c --writable -- /payload && rm -r copies/c\n"
        );
        fs::write(dir.join(script), text)?;
        fs::set_permissions(dir.join(script), fs::Permissions::from_mode(0o755))?;
    }
    if fs::metadata("/proc/self")?.uid() == 0 {
        // Only an owner may change it.
        let status =
            Command::new("chown").arg("-R").arg(format!("{USER}:{USER}")).args(["master", "copies"]).current_dir(dir).status()?;
        if !status.success() {
            return Err("the tree cannot be given to the user".into());
        }
    }
    Ok(())
}

/// Can files share their blocks here?
fn can_clone(dir: &Path) -> bool {
    let mut cp = Command::new("cp");
    cp.args(["--reflink=always", "payload", "copies/clone"]).current_dir(dir).stderr(Stdio::null());
    cp.status().is_ok_and(|status| status.success())
}

fn build(source: &str, flags: &[&str], to: &Path) -> Result<()> {
    let status = Command::new("gcc")
        .args(["-O2", "-static", "-o"])
        .arg(to)
        .args(flags)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(source))
        .status()
        .map_err(|error| format!("start gcc: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("gcc cannot build benches/{source}").into()) }
}

// The measurement.

/// One row of the table.
struct Case {
    name: String,
    /// The row it is compared with: the same view, made by bwrap, or read-only.
    beside: String,
    command: Command,
    /// It is run in every so many rounds.
    every: usize,
    /// Microseconds of each run, in the end from the shortest.
    times: Vec<f64>,
}

impl Case {
    /// `line` is a command line without quoting, run in the scratch directory.
    fn new(name: impl Into<String>, beside: impl Into<String>, dir: &Path, line: &str) -> Self {
        let mut words = line.split_whitespace();
        let program = words.next().unwrap_or_default();
        // What is in the scratch directory is found whatever the current directory is.
        let mut command = Command::new(program.strip_prefix("./").map_or(program.into(), |name| dir.join(name)));
        command.args(words).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null());
        command.env_clear().env("PATH", PATH).env("HOME", HOME);
        Self { name: name.into(), beside: beside.into(), command, every: 1, times: Vec::new() }
    }

    fn every(mut self, rounds: usize) -> Self {
        self.every = rounds;
        self
    }

    /// Starts it and waits for its end; gives the microseconds.
    fn run(&mut self) -> Result<f64> {
        let start = Instant::now();
        let status = self.command.status();
        let time = start.elapsed();
        let status = status.map_err(|error| format!("{}: {error}", self.name))?;
        if !status.success() {
            return Err(format!("{}: {status}: {:?}", self.name, self.command).into());
        }
        Ok(time.as_secs_f64() * 1e6)
    }

    /// The time that `part` of the runs do not exceed.
    fn quantile(&self, part: f64) -> f64 {
        let at = part * (self.times.len() - 1) as f64;
        let (low, high) = (self.times[at.floor() as usize], self.times[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }

    fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// How far off the median may be, in 95 of 100 cases.
    fn error(&self) -> f64 {
        if self.times.len() < 4 {
            return f64::INFINITY;
        }
        1.8 * (self.quantile(0.75) - self.quantile(0.25)) / (self.times.len() as f64).sqrt()
    }
}

fn binds_name(launcher: &str, count: usize) -> String {
    format!("{launcher}, {count} {}", if count == 1 { "bind" } else { "binds" })
}

/// All that is measured. What is not installed is left out.
fn cases(dir: &Path) -> Vec<Case> {
    let case = |name: &str, beside: &str, line: &str| Case::new(name, beside, dir, line);
    let payload = "--ro-bind payload /payload";
    let command = "-- /payload";
    let bind = |count: usize| (0..count).map(|n| format!(" --ro-bind files/{n} /binds/{n}")).collect::<String>();
    let [.., most] = BINDS;
    let every = |count: usize, seldom: usize| if count == most { seldom } else { 1 };

    let mut cases = vec![case("fork and exec, nothing else", "bwrap", "./payload")];
    if installed("unshare") {
        let line = "unshare -U -r -m -p -f -n -i -u -C --mount-proc ./payload";
        cases.push(case("unshare, all namespaces, own /proc", "bwrap", line));
    }
    if installed("bwrap") {
        let (bwrap, own) = (format!("bwrap {BWRAP_FLAGS}"), BWRAP_OWN);
        let view = format!("{} {own} --perms 700 --tmpfs {HOME} {payload}", host_view());
        cases.push(case("bwrap", "", &format!("{bwrap} {view} {command}")));
        cases.push(case("bwrap --share-net", "", &format!("{bwrap} --share-net {view} {command}")));
        cases.push(case("bwrap, TREE as /", "", &format!("{bwrap} --ro-bind tree / {own} {command}")));
        cases.extend(BINDS.map(|count| {
            case(&binds_name("bwrap", count), "", &format!("{bwrap} {view}{} {command}", bind(count)))
                .every(every(count, SELDOM_BWRAP))
        }));
    }
    cases.push(case("jail", "bwrap", &format!("./jail {payload} {command}")));
    cases.push(case("jail --net host", "bwrap --share-net", &format!("./jail --net host {payload} {command}")));
    cases.push(case("jail --root TREE", "bwrap, TREE as /", &format!("./jail --root tree {command}")));
    cases.push(case("jail --root MASTER", "", &format!("./jail --root master {command}")));
    cases.push(case(
        "jail --root MASTER --ephemeral",
        "jail --root MASTER",
        &format!("./jail --root master --ephemeral {command}"),
    ));
    cases.push(case(
        "jail --root MASTER --overlay DIR",
        "jail --root MASTER",
        &format!("./jail --root master --overlay copies/kept {command}"),
    ));
    cases.push(case("cp -a MASTER, jail --writable in it, rm -r", "jail --root MASTER", "./copied").every(SELDOM));
    if can_clone(dir) {
        cases.push(case("cp -a --reflink=always MASTER, the same", "jail --root MASTER", "./cloned").every(SELDOM));
    } else {
        eprintln!("launch: not measured: this file system has no cp --reflink");
    }
    for (name, bwrap) in bwraps() {
        let (flags, own) = (BWRAP_FLAGS, BWRAP_OWN);
        let line = format!("{bwrap} {flags} --ro-bind master / {own} {command}");
        cases.push(case(&format!("{name}, MASTER as /"), "jail --root MASTER", &line));
        if has_tmp_overlay(&bwrap) {
            let line = format!("{bwrap} {flags} --overlay-src master --tmp-overlay / {own} {command}");
            cases.push(case(&format!("{name}, MASTER by --tmp-overlay"), "jail --root MASTER", &line));
        }
    }
    if !cases.iter().any(|case| case.name.ends_with("by --tmp-overlay")) {
        eprintln!("launch: not measured: no bwrap that has --tmp-overlay (0.11 has): see benches/newer-bwrap");
    }
    cases.extend(BINDS.map(|count| {
        let line = format!("./jail {payload}{} {command}", bind(count));
        case(&binds_name("jail", count), &binds_name("bwrap", count), &line).every(every(count, SELDOM))
    }));
    cases
}

const BWRAP_FLAGS: &str = "--unshare-all --die-with-parent --hostname jail";
const BWRAP_OWN: &str = "--proc /proc --dev /dev --perms 1777 --tmpfs /tmp --tmpfs /run";

/// bwrap's flags for the part of the host that jail shows unasked.
fn host_view() -> String {
    let mut flags = String::new();
    for path in ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store", "/gnu/store"] {
        if let Ok(target) = fs::read_link(path) {
            flags += &format!(" --symlink {} {path}", target.display());
        } else if Path::new(path).is_dir() {
            flags += &format!(" --ro-bind {path} {path}");
        }
    }
    flags
}

/// Each bwrap there is: what it is called here, and the command line that starts it.
fn bwraps() -> Vec<(String, String)> {
    let mut found = Vec::new();
    if installed("bwrap") {
        found.push(("bwrap".to_owned(), "bwrap".to_owned()));
    }
    if let Ok(newer) = std::env::var("JAIL_BENCH_BWRAP") {
        // What it costs to be started by a loader's command line is seen beside it.
        let loader = newer.split_whitespace().next().and_then(|word| Path::new(word).file_name()?.to_str());
        if let Some(loader) = loader.filter(|name| name.starts_with("ld-linux")) {
            let own = ["/lib64", "/lib"].map(|dir| Path::new(dir).join(loader)).into_iter().find(|path| path.exists());
            if let (Some(own), true) = (own, Path::new("/usr/bin/bwrap").exists()) {
                found.push(("bwrap by its loader".to_owned(), format!("{} /usr/bin/bwrap", own.display())));
            }
        }
        found.push(("newer bwrap".to_owned(), newer));
    }
    found
}

fn has_tmp_overlay(bwrap: &str) -> bool {
    let mut words = bwrap.split_whitespace();
    let said = Command::new(words.next().unwrap_or_default()).args(words).arg("--help").output();
    said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("--tmp-overlay"))
}

fn installed(program: &str) -> bool {
    PATH.split(':').any(|dir| Path::new(dir).join(program).exists())
}

/// Runs all cases, and prints what it took.
fn measure(dir: &Path, rounds: &OsString) -> Result<()> {
    let rounds: usize = rounds.to_str().and_then(|rounds| rounds.parse().ok()).ok_or("the number of rounds is no number")?;
    let mut cases = cases(dir);
    let only = std::env::var("JAIL_BENCH_ONLY").ok();
    if let Some(part) = &only {
        cases.retain(|case| case.name.contains(part));
    }
    let load = load();
    // Once, not counted: it fills the caches and shows what fails.
    for case in &mut cases {
        case.run()?;
    }
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..rounds {
        random.shuffle(&mut order);
        for &at in &order {
            if round % cases[at].every == 0 {
                thread::sleep(PAUSE);
                let time = cases[at].run()?;
                cases[at].times.push(time);
            }
        }
    }
    for case in &mut cases {
        case.times.sort_by(f64::total_cmp);
    }
    header(dir, rounds, &load);
    table(&cases);
    growth(&cases);
    if only.is_some() {
        return Ok(());
    }
    calls(dir, rounds.div_ceil(SELDOM_CALLS), &mut random)
}

/// What calls take that a program makes inside, by layers.
fn calls(dir: &Path, rounds: usize, random: &mut Random) -> Result<()> {
    let inside = "--ro-bind calls /calls --ro-bind payload /payload --ro-bind deep /deep";
    let run = "/calls /deep/a/b/c/file /payload";
    let jail = |flags: &str| format!("./jail {flags} {inside} -- {run}");
    let mut lines = vec![("outside", "./calls deep/a/b/c/file ./payload".to_owned())];
    if installed("bwrap") {
        lines.push(("bwrap", format!("bwrap {BWRAP_FLAGS} {} {BWRAP_OWN} {inside} -- {run}", host_view())));
    }
    lines.extend([
        ("jail --seccomp none --landlock none", jail("--seccomp none --landlock none")),
        ("jail --seccomp none", jail("--seccomp none")),
        ("jail --landlock none", jail("--landlock none")),
        ("jail", jail("")),
    ]);
    let mut cases: Vec<(Case, [Vec<f64>; 4])> =
        lines.into_iter().map(|(name, line)| (Case::new(name, "", dir, &line), Default::default())).collect();
    let mut order: Vec<usize> = (0..cases.len()).collect();
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for &at in &order {
            let (case, times) = &mut cases[at];
            let output = case.command.stdout(Stdio::piped()).stderr(Stdio::inherit()).output()?;
            let numbers: Vec<f64> = String::from_utf8_lossy(&output.stdout).lines().flat_map(str::parse).collect();
            if !output.status.success() || numbers.len() != times.len() {
                return Err(format!("{}: {}: {:?}", case.name, output.status, case.command).into());
            }
            times.iter_mut().zip(numbers).for_each(|(times, time)| times.push(time));
        }
    }
    println!("\n| one call inside, ns, {rounds} rounds | getppid | open and close | stat | fork, exec, wait |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (mut case, times) in cases {
        let medians = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            case.times = times;
            format!("{:.0} ({:.0} to {:.0})", case.median(), case.quantile(0.25), case.quantile(0.75))
        });
        println!("| {} | {} |", case.name, medians.join(" | "));
    }
    Ok(())
}

/// The same orders in each run (xorshift64).
struct Random(u64);

impl Random {
    fn shuffle(&mut self, list: &mut [usize]) {
        for last in (1..list.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            list.swap(last, (self.0 % (last as u64 + 1)) as usize);
        }
    }
}

// The result, as Markdown.

fn header(dir: &Path, rounds: usize, load: &str) {
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
    println!("- load before: {load}; after: {}", self::load());
    let jail = said_by(dir.join("jail"), &["--version"]);
    let mut others: Vec<String> = bwraps()
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

fn find<'a>(cases: &'a [Case], name: &str) -> Option<&'a Case> {
    cases.iter().find(|case| case.name == name)
}

fn table(cases: &[Case]) {
    println!();
    println!("| launch to exit, µs | median | min | quartiles | runs | x other | x other, min |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for case in cases {
        let (min, low, high) = (case.quantile(0.0), case.quantile(0.25), case.quantile(0.75));
        let ratios = find(cases, &case.beside).map_or(" | ".to_owned(), |other| {
            format!("{:.3} | {:.3}", case.median() / other.median(), min / other.quantile(0.0))
        });
        println!("| {} | {:.0} | {min:.0} | {low:.0} to {high:.0} | {} | {ratios} |", case.name, case.median(), case.times.len());
    }
}

/// What binds add to the launch without them.
fn growth(cases: &[Case]) {
    for launcher in ["jail", "bwrap"] {
        let Some(without) = find(cases, launcher) else { continue };
        // What a number of binds adds, and how far off that may be.
        let adds = |count: usize| {
            let with = find(cases, &binds_name(launcher, count))?;
            Some((with.median() - without.median(), with.error().hypot(without.error())))
        };
        let each: Vec<String> = BINDS
            .iter()
            .filter_map(|&count| {
                let (time, error) = adds(count)?;
                Some(format!("{:.1} ± {:.1} µs each of {count}", time / count as f64, error / count as f64))
            })
            .collect();
        println!("\n{launcher}: a bind adds {}.", each.join(", "));
        let [.., fewer, more] = BINDS;
        if let (Some(few), Some(many)) = (adds(fewer), adds(more)) {
            let linear = (more / fewer) as f64;
            let ratio = many.0 / few.0;
            let error = ratio.abs() * (many.1 / many.0).hypot(few.1 / few.0);
            // Beyond the noise a tenth is let pass: more mounts fit worse into the caches.
            let verdict = match ratio {
                _ if !error.is_finite() => "too few runs to tell",
                _ if ratio - error > linear * 1.1 => "more than linear",
                _ if ratio + error < linear / 1.1 => "less than linear",
                _ => "linear",
            };
            println!("{more} binds add {ratio:.1} ± {error:.1} times what {fewer} add: {verdict}.");
        }
    }
}
