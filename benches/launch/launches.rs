//! From the start of the launcher to its end.

use crate::command::Launch;
use crate::launchers::{self, NOTHING, Wish};
use crate::rows::{Row, Table};
use crate::{BINDS, Bench, Result};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

pub const LAUNCH: &str = "launch to exit, µs";
pub const BEFORE: &str = "launch to exit beside an earlier jail, µs";
pub const BINDINGS: &str = "launch to exit with binds, µs";
pub const MASKS: &str = "launch to exit with masked files, µs";
pub const WORDS: &str = "launch to exit with words, µs";
const TREE: &str = "launch to exit in a tree, µs";
const TIME: &[(&str, usize)] = &[("time", 0)];
pub const FLOOR_AND_BWRAP: &[&str] = &["floor", "bwrap"];

/// A thousand binds, or a copied tree, are measured once in so many rounds: they take bwrap seconds.
const SELDOM: usize = 10;
const SELDOM_BWRAP: usize = 50;
/// So are ten thousand variables, of which it is to be seen whether they take so long.
const SELDOM_WORDS: usize = 5;

fn row(dir: &Path, name: &str, beside: &[&str], line: &str) -> Row {
    timed(name, beside, Launch::new(dir, line))
}

fn timed(name: &str, beside: &[&str], mut launch: Launch) -> Row {
    Row::new(name, beside, move || Ok(vec![launch.run()?]))
}

/// The default, the host's network and a tree, by all there is.
pub fn plain(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    let beside = ["floor", "bwrap"];
    let mut rows = vec![row(&dir, "fork and exec, nothing else", &beside, "./payload")];
    for (name, line) in launchers::others(&dir) {
        let mut launch = Launch::new(&dir, &line);
        // Another's launcher that cannot run here is no failure of ours.
        let cannot = launch.refusal()?;
        rows.push(timed(name, &beside, launch).unless(cannot));
    }
    let (floor, shared) = ("floor, host's network", "bwrap --share-net");
    let tree = ["floor, TREE as /", "bwrap, TREE as /"];
    if launchers::has_floor(&dir) {
        rows.push(row(&dir, "floor", &beside, &launchers::floor("floor", &NOTHING)));
        rows.push(row(&dir, floor, &[floor, shared], &launchers::floor("floor-host", &NOTHING)));
        rows.push(row(&dir, tree[0], &tree, &launchers::floor_tree("tree")));
    }
    for (name, bwrap) in launchers::bwraps() {
        let net = format!("{name} --share-net");
        rows.push(row(&dir, &name, &beside, &launchers::bwrap(&bwrap, "", &NOTHING)));
        rows.push(row(&dir, &net, &[floor, shared], &launchers::bwrap(&bwrap, "--share-net", &NOTHING)));
        let line = launchers::bwrap_tree(&bwrap, "--ro-bind tree /");
        rows.push(row(&dir, &format!("{name}, TREE as /"), &tree, &line));
    }
    rows.push(row(&dir, "jail", &beside, &launchers::jail("", &NOTHING)));
    rows.push(row(&dir, "jail --net host", &[floor, shared], &launchers::jail("--net host", &NOTHING)));
    rows.push(row(&dir, "jail --root TREE", &tree, "./jail --root tree -- /payload"));
    bench.measure(Table { title: LAUNCH, measures: TIME, ratios: FLOOR_AND_BWRAP, rounds: bench.rounds, rows })?;
    Ok(())
}

/// A tree that stays as it is: what keeps no change beside a copy.
pub fn tree(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    let only_read = "jail --root MASTER";
    let bwraps = launchers::bwraps();
    // The newest that has overlays.
    let overlay = bwraps.iter().rev().find(|(_, bwrap)| launchers::has_tmp_overlay(bwrap));
    let overlay = overlay.map_or(String::new(), |(name, _)| format!("{name}, MASTER by --tmp-overlay"));
    let (floor, floor_ephemeral) = ("floor, MASTER as /", "floor, MASTER with changes that vanish");
    let (reads, vanish) = ([only_read, floor, "bwrap, MASTER as /"], [only_read, floor_ephemeral, &overlay]);
    let mut rows = vec![
        row(&dir, only_read, &reads, "./jail --root master -- /payload"),
        row(&dir, "jail --root MASTER --ephemeral", &vanish, "./jail --root master --ephemeral -- /payload"),
        row(&dir, "jail --root MASTER --overlay DIR", &[only_read], "./jail --root master --overlay copies/kept -- /payload"),
        row(&dir, "cp -a MASTER, jail --writable in it, rm -r", &[only_read], "./copied").every(SELDOM),
    ];
    if can_clone(&dir) {
        rows.push(row(&dir, "cp -a --reflink=always MASTER, the same", &[only_read], "./cloned").every(SELDOM));
    } else {
        bench.note("this file system has no cp --reflink");
    }
    if launchers::has_floor(&dir) {
        rows.push(row(&dir, floor, &reads, &launchers::floor_tree("master")));
        rows.push(row(&dir, floor_ephemeral, &vanish, &launchers::floor_ephemeral(&dir, "master")));
    }
    for (name, bwrap) in &bwraps {
        let line = launchers::bwrap_tree(bwrap, "--ro-bind master /");
        rows.push(row(&dir, &format!("{name}, MASTER as /"), &reads, &line));
        if launchers::has_tmp_overlay(bwrap) {
            let line = launchers::bwrap_tree(bwrap, "--overlay-src master --tmp-overlay /");
            rows.push(row(&dir, &format!("{name}, MASTER by --tmp-overlay"), &vanish, &line));
        }
    }
    if overlay.is_empty() {
        bench.note("no bwrap that has --tmp-overlay (0.11 has): see benches/newer-bwrap");
    }
    let ratios = &["read-only", "floor", "bwrap"];
    bench.measure(Table { title: TREE, measures: TIME, ratios, rounds: bench.rounds, rows })?;
    Ok(())
}

/// Launches of this jail beside those of another one (`JAIL_BENCH_BEFORE`), such as that of
/// an earlier commit.
pub fn before(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    if !dir.join("before").exists() {
        return Ok(());
    }
    let mut rows = Vec::new();
    for flags in ["", "--net host", "--root tree", "--as-root", "--nested"] {
        let payload = if flags == "--root tree" { "" } else { "--ro-bind payload /payload" };
        let name = |launcher: &str| format!("{launcher} {flags}").trim_end().to_owned();
        for (launcher, program) in [("before", "./before"), ("jail", "./jail")] {
            let line = format!("{program} {flags} {payload} -- /payload");
            rows.push(row(&dir, &name(launcher), &[&name("before")], &line));
        }
    }
    bench.measure(Table { title: BEFORE, measures: TIME, ratios: &["before"], rounds: bench.rounds, rows })?;
    Ok(())
}

/// Can files share their blocks here?
fn can_clone(dir: &Path) -> bool {
    let mut cp = Command::new("cp");
    cp.args(["--reflink=always", "payload", "copies/clone"]).current_dir(dir).stderr(Stdio::null());
    cp.status().is_ok_and(|status| status.success())
}

/// How the cost grows with the policy.
pub fn binds(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    let counts = if bench.quick { &BINDS[..3] } else { &BINDS[..] };
    let mut rows = Vec::new();
    for &count in counts {
        let binds: Vec<_> = (0..count).map(|n| (format!("files/{n}"), format!("binds/{n}"))).collect();
        let beside = ["floor", "bwrap"].map(|launcher| counted(launcher, count, "bind"));
        for (launcher, line) in launchers::each(&dir, &Wish { binds: &binds, ..NOTHING }) {
            let every = match count {
                1000 if launcher.ends_with("bwrap") => SELDOM_BWRAP,
                1000 => SELDOM,
                _ => 1,
            };
            rows.push(row(&dir, &counted(&launcher, count, "bind"), &beside.each_ref().map(String::as_str), &line).every(every));
        }
    }
    let table = Table { title: BINDINGS, measures: TIME, ratios: FLOOR_AND_BWRAP, rounds: bench.rounds, rows };
    let table = bench.measure(table)?;
    for launcher in ["floor", "bwrap", "newer bwrap", "jail"] {
        growth(table, launcher, "bind", counts);
    }
    Ok(())
}

/// What it costs to hide files, or to forbid their execution, beside showing as many.
pub fn masks(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    let mut rows = Vec::new();
    for count in [100, 1000] {
        let shown = counted("jail", count, "bind");
        let flags = |flag: &str| (0..count).map(|n| format!(" {flag} /f/{n}")).collect::<String>();
        let binds: Vec<_> = (0..count).map(|n| (format!("files/{n}"), format!("f/{n}"))).collect();
        let every = if count == 1000 { SELDOM } else { 1 };
        for (name, line) in [
            (shown.clone(), launchers::jail("", &Wish { binds: &binds, ..NOTHING })),
            (counted("jail", count, "mask"), launchers::jail(&format!("--ro-bind files /f{}", flags("--hide")), &NOTHING)),
            (counted("jail", count, "noexec"), launchers::jail(&format!("--ro-bind files /f{}", flags("--noexec")), &NOTHING)),
        ] {
            rows.push(row(&dir, &name, &[&shown], &line).every(every));
        }
    }
    bench.measure(Table { title: MASKS, measures: TIME, ratios: &["binds"], rounds: bench.rounds, rows })?;
    Ok(())
}

/// What the lists of arguments and of variables cost that are as long as a build's.
pub fn words(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    let mut rows = Vec::new();
    let mut beside_each = |suffix: &str, launcher: String, mut launch: Launch, every| -> Result<()> {
        // That bwrap takes so many words and no more is what its row says.
        let cannot = if launcher.ends_with("bwrap") { launch.refusal()? } else { None };
        let beside = ["floor", "bwrap"].map(|other| format!("{other}, {suffix}"));
        let name = format!("{launcher}, {suffix}");
        rows.push(timed(&name, &beside.each_ref().map(String::as_str), launch).unless(cannot).every(every));
        Ok(())
    };
    // Both are 1 MiB, with the bytes that end the words.
    for (count, length) in [(1024, 1023), (16384, 63)] {
        let words = vec!["x".repeat(length); count];
        for (launcher, line) in launchers::each(&dir, &NOTHING) {
            beside_each(&format!("1 MiB in {count} arguments"), launcher, Launch::new(&dir, &line).words(&words), 1)?;
        }
    }
    let counts = variables(bench.quick);
    for &count in counts {
        write_variables(&dir, count)?;
        for (launcher, line) in launchers::each(&dir, &NOTHING).into_iter().filter(|(launcher, _)| launcher != "floor") {
            let (file, flag) = if launcher == "jail" { ("env", "--args -") } else { ("setenv", "--args 0") };
            let launch =
                Launch::new(&dir, &line.replace(" -- ", &format!(" {flag} -- "))).stdin(&format!("copies/{file}-{count}"));
            beside_each(&format!("{count} variables"), launcher, launch, if count == 10000 { SELDOM_WORDS } else { 1 })?;
        }
    }
    let table = Table { title: WORDS, measures: TIME, ratios: FLOOR_AND_BWRAP, rounds: bench.rounds.div_ceil(2), rows };
    let table = bench.measure(table)?;
    for launcher in ["bwrap", "newer bwrap", "jail"] {
        growth(table, launcher, "variable", counts);
    }
    Ok(())
}

/// The first is what is told from, the last two how it grows.
pub fn variables(quick: bool) -> &'static [usize] {
    if quick { &[0, 25, 250] } else { &[0, 2500, 10000] }
}

/// Flags that set so many variables, as jail and as bwrap read them.
fn write_variables(dir: &Path, count: usize) -> Result<()> {
    let (mut env, mut setenv) = (String::new(), String::new());
    for n in 0..count {
        env += &format!("--env\0VARIABLE_{n}=the value of one\0");
        setenv += &format!("--setenv\0VARIABLE_{n}\0the value of one\0");
    }
    fs::write(dir.join(format!("copies/env-{count}")), env)?;
    fs::write(dir.join(format!("copies/setenv-{count}")), setenv)?;
    Ok(())
}

pub fn counted(launcher: &str, count: usize, noun: &str) -> String {
    format!("{launcher}, {count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// How many times as much as the number of the one before the last adds the last adds,
/// how far off that may be, and how many times as many it is.
fn growth_of(table: &Table, launcher: &str, noun: &str, counts: &[usize]) -> Option<(f64, f64, f64)> {
    let &[.., fewer, more] = counts else { return None };
    let (few, many) = (adds(table, launcher, noun, fewer)?, adds(table, launcher, noun, more)?);
    let ratio = many.0 / few.0;
    Some((ratio, ratio.abs() * (many.1 / many.0).hypot(few.1 / few.0), more as f64 / fewer as f64))
}

/// What a number of things adds to the launch without them, and how far off that may be.
fn adds(table: &Table, launcher: &str, noun: &str, count: usize) -> Option<(f64, f64)> {
    let samples = |count| Some(&table.find(&counted(launcher, count, noun))?.samples[0]);
    let (with, without) = (samples(count)?, samples(0)?);
    Some((with.median() - without.median(), with.error().hypot(without.error())))
}

/// Linear is told from more, with what noise there is.
pub fn verdict(table: &Table, launcher: &str, noun: &str, counts: &[usize]) -> Option<&'static str> {
    let (ratio, error, linear) = growth_of(table, launcher, noun, counts)?;
    // Beyond the noise a tenth is let pass: more of them fit worse into the caches.
    Some(match ratio {
        _ if !error.is_finite() => "too few runs to tell",
        _ if ratio - error > linear * 1.1 => "more than linear",
        _ if ratio + error < linear / 1.1 => "less than linear",
        _ => "linear",
    })
}

pub fn growth(table: &Table, launcher: &str, noun: &str, counts: &[usize]) {
    let each: Vec<String> = counts
        .iter()
        .filter(|&&count| count > 0)
        .filter_map(|&count| {
            let (time, error) = adds(table, launcher, noun, count)?;
            Some(format!("{:.2} ± {:.2} µs each of {count}", time / count as f64, error / count as f64))
        })
        .collect();
    if each.is_empty() {
        return;
    }
    println!("\n{launcher}: a {noun} adds {}.", each.join(", "));
    if let (&[.., fewer, more], Some((ratio, error, _)), Some(verdict)) =
        (counts, growth_of(table, launcher, noun, counts), verdict(table, launcher, noun, counts))
    {
        println!("{more} {noun}s add {ratio:.1} ± {error:.1} times what {fewer} add: {verdict}.");
    }
}
