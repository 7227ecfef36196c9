//! One command, started again and again.

use crate::{HOME, PATH, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

pub struct Launch {
    pub command: Command,
    dir: PathBuf,
    stdin: Option<PathBuf>,
}

impl Launch {
    /// `line` is a command line without quoting, run in the scratch directory.
    pub fn new(dir: &Path, line: &str) -> Self {
        let mut words = line.split_whitespace();
        let program = words.next().unwrap_or_default();
        // What is in the scratch directory is found whatever the current directory is.
        let mut command = Command::new(program.strip_prefix("./").map_or(program.into(), |name| dir.join(name)));
        command.args(words).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null());
        command.env_clear().env("PATH", PATH).env("HOME", HOME);
        Self { command, dir: dir.to_owned(), stdin: None }
    }

    /// Each start reads this file of the scratch directory from its beginning.
    pub fn stdin(mut self, file: &str) -> Self {
        self.stdin = Some(self.dir.join(file));
        self
    }

    pub fn words(mut self, words: &[String]) -> Self {
        self.command.args(words);
        self
    }

    /// Starts it and waits for its end; gives the microseconds.
    pub fn run(&mut self) -> Result<f64> {
        self.rewind()?;
        let start = Instant::now();
        let status = self.command.status();
        let time = start.elapsed();
        let status = status.map_err(|error| self.failed(error))?;
        if !status.success() {
            return Err(self.failed(status));
        }
        Ok(time.as_secs_f64() * 1e6)
    }

    /// What it says when it fails, in its first line.
    pub fn refusal(&mut self) -> Result<Option<String>> {
        self.rewind()?;
        let output = match self.command.stderr(Stdio::piped()).output() {
            Ok(output) => output,
            Err(error) => return Ok(Some(error.to_string())),
        };
        self.command.stdout(Stdio::null()).stderr(Stdio::inherit());
        if output.status.success() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Some(said.lines().next().map_or(output.status.to_string(), str::to_owned)))
    }

    pub fn failed(&self, why: impl std::fmt::Display) -> Box<dyn std::error::Error> {
        let mut line = format!("{:?}", self.command);
        if let Some((end, _)) = line.char_indices().nth(1000) {
            line.replace_range(end.., " ...");
        }
        format!("{why}: {line}").into()
    }

    fn rewind(&mut self) -> Result<()> {
        if let Some(file) = &self.stdin {
            self.command.stdin(File::open(file)?);
        }
        Ok(())
    }
}
