//! Attempts written as Python expressions, made inside and outside by one program.

use crate::support::*;
use crate::table::{Arch, CALLS};
use std::path::Path;

const HERE: Arch = if cfg!(target_arch = "x86_64") { Arch::X86_64 } else { Arch::Aarch64 };

/// An expression in the words of kit.py, and what it is to give: "done", a text, or
/// names of errors with | between.
pub type Case<'a> = (&'a str, &'a str);

/// The program, in a directory of the user's.
pub struct Kit(pub Scratch);

impl Kit {
    /// With `more` Python behind that of kit.py.
    pub fn with(more: &str) -> Self {
        let s = Scratch::new();
        let numbers = CALLS.iter().filter_map(|call| Some(format!("{:?}: {},", call.name(), call.number(HERE)?)));
        let kit = include_str!("kit.py");
        let (words, main) = kit.split_at(kit.find("\nif __name__").unwrap());
        s.file("kit.py", &format!("CALLS = {{{}}}\n{words}\n{more}\n{main}", numbers.collect::<String>()));
        Self(s)
    }

    pub fn new() -> Self {
        Self::with("")
    }

    /// In a jail with `flags`, whose paths are those of the kit's directory.
    pub fn inside(&self, flags: &str, cases: &[Case]) {
        let words = flags.split_whitespace().chain(["--ro-bind", "kit.py", "/kit.py", "--", "python3", "/kit.py"]);
        let words: Vec<&str> = words.chain(cases.iter().map(|case| case.0)).collect();
        check(&format!("inside, {flags}"), run_in(&self.0.0, &words), cases);
    }

    /// As the user, without a jail.
    pub fn outside(&self, cases: &[Case]) {
        let mut plain = command(Path::new("python3"), &self.0.0, false);
        plain.arg("kit.py").args(cases.iter().map(|case| case.0));
        check("outside", outcome(plain), cases);
    }
}

fn check(place: &str, out: Outcome, cases: &[Case]) {
    let given: Vec<&str> = out.good().lines().collect();
    assert_eq!(given.len(), cases.len(), "{place}: {out:#?}");
    let differ = |(_, (case, given)): &(usize, (&Case, &&str))| !case.1.split('|').any(|expected| expected == **given);
    let wrong: Vec<_> = cases.iter().zip(&given).enumerate().filter(differ).collect();
    assert!(wrong.is_empty(), "{place}: number, (attempt, expected), given: {wrong:#?}");
}
