//! What a command line asks for: a run, or something printed.

use std::path::PathBuf;

use crate::error::Asked;
use crate::policy::Policy;

/// How `--explain`, `--check` and `--diff` print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

/// What is to be compared.
#[derive(Debug)]
pub struct Diff {
    /// The directory of `--overlay`.
    pub dir: PathBuf,
    /// The tree that it was laid over.
    pub root: Option<PathBuf>,
    /// How it is printed.
    pub format: Format,
    /// The flag.
    pub asked: Option<Asked>,
}

/// What the command line asks `jail` to do.
#[derive(Debug)]
pub enum Request {
    /// Run the command in a jail.
    Run(Box<Policy>),
    /// Say what would be done.
    Explain(Box<Policy>, Format),
    /// Perform the launch without the command, and tell how long its steps take.
    Time(Box<Policy>),
    /// Say what a directory of `--overlay` holds.
    Diff(Diff),
    /// Say what this machine offers, for this, a jail without flags.
    Check(Box<Policy>, Format),
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}
