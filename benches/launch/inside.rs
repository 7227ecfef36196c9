//! What a program pays that runs inside.

use crate::command::Launch;
use crate::launchers::{self, NOTHING, Wish};
use crate::rows::{Row, Table};
use crate::scratch::DEEP;
use crate::{Bench, Result};
use std::fs;
use std::path::Path;
use std::process::Stdio;

pub const CALLS: &str = "one call inside, ns";
pub const MAKE: &str = "make -j2 of 60 generated C files, µs";
const SMALL_MAKE: &str = "make -j2 of 4 generated C files, µs";

/// The columns of the table of calls.
pub const GETPPID: usize = 0;
pub const OPEN: usize = 1;

/// What calls take that a program makes inside, by layers.
pub fn calls(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir.clone();
    let binds = [("deep".to_owned(), "deep".to_owned()), ("payload".to_owned(), "program".to_owned())];
    let words = format!("/{DEEP} /program");
    let wish = Wish { program: "calls", words: &words, binds: &binds };
    let mut lines = vec![("outside".to_owned(), format!("./calls {DEEP} ./payload"))];
    lines.extend(launchers::each(&dir, &wish));
    let layers = ["--seccomp none --landlock none", "--seccomp none", "--landlock none"];
    let by_layer = layers.map(|flags| (format!("jail {flags}"), launchers::jail(flags, &wish)));
    let last = lines.len() - 1;
    lines.splice(last..last, by_layer);
    let rows = lines.into_iter().map(|(name, line)| Row::new(name, &[], numbers(&dir, &line))).collect();
    let measures = &[("getppid", 0), ("open and close", 0), ("stat", 0), ("fork, exec, wait", 0), ("there and back by pipes", 0)];
    bench.measure(Table { title: CALLS, measures, ratios: &[], rounds: bench.rounds.div_ceil(8), rows })?;
    Ok(())
}

/// What calls.c prints.
fn numbers(dir: &Path, line: &str) -> impl FnMut() -> Result<Vec<f64>> + use<> {
    let mut launch = Launch::new(dir, line);
    launch.command.stdout(Stdio::piped());
    move || {
        let output = launch.command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(launch.failed(output.status));
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().flat_map(str::parse).collect())
    }
}

pub fn make(bench: &mut Bench) -> Result<()> {
    if !launchers::installed("make") {
        bench.note("make -j2: there is no make");
        return Ok(());
    }
    let dir = bench.dir.clone();
    let run = "-- /usr/bin/make -s -j2 -C /project";
    let mut lines = vec![("outside".to_owned(), "make -s -j2 -C project".to_owned())];
    for (launcher, line) in launchers::each(&dir, &NOTHING).into_iter().filter(|(launcher, _)| launcher != "floor") {
        let bind = if launcher == "jail" { "--rw-bind" } else { "--bind" };
        lines.push((launcher, line.replace("-- /payload", &format!("{bind} project /project {run}"))));
    }
    let rows = lines
        .into_iter()
        .map(|(name, line)| {
            let dir = dir.clone();
            let mut launch = Launch::new(&dir, &line);
            Row::new(name, &["outside"], move || {
                clean(&dir.join("project"))?;
                Ok(vec![launch.run()?])
            })
        })
        .collect();
    let title = if bench.quick { SMALL_MAKE } else { MAKE };
    bench.measure(Table { title, measures: &[("time", 0)], ratios: &["outside"], rounds: bench.rounds.div_ceil(25), rows })?;
    Ok(())
}

/// What make made goes.
fn clean(project: &Path) -> Result<()> {
    for entry in fs::read_dir(project)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "o") || path.ends_with("project/project") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
