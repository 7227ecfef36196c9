//! man/jail-from.7, for those who know others: our side of its lists is made of flags
//! and values that there are, and its examples are run, as are theirs where the program
//! can be had here.

mod support;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use support::*;

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/man/jail-from.7")).unwrap()
}

/// Each flag of `--help`, and what follows it there.
fn helped() -> BTreeMap<String, String> {
    let help = run(&["--help"]);
    let rows = help.good().lines().filter_map(|line| line.strip_prefix("  --"));
    rows.map(|row| {
        let row = row.split("  ").next().unwrap();
        let (flag, value) = row.split_at(row.find([' ', '[']).unwrap_or(row.len()));
        (flag.to_owned(), value.split(' ').nth(1).unwrap_or_default().to_owned())
    })
    .collect()
}

#[test]
fn our_side_of_the_lists_is_there() {
    let helped = helped();
    let mut count = 0;
    for line in page().lines().filter(|line| line.starts_with(".Fl") || line.starts_with(".Pq Fl")) {
        for flag in line.split("Fl Fl ").skip(1) {
            let mut words = flag.split_whitespace();
            let name = words.next().unwrap().split('=').next().unwrap();
            let value = helped.get(name).unwrap_or_else(|| panic!("--{name} is no flag of jail: {line}"));
            // A choice that is named is one of the flag's.
            if words.next() == Some("Cm") && value.contains('|') && !value.contains(|c: char| c.is_uppercase()) {
                let word = words.next().unwrap();
                assert!(value.split('|').any(|choice| choice == word), "--{name} {word}: {value}");
            }
            count += 1;
        }
    }
    assert!(count > 200, "{count} flags");
}

/// The pairs of lines: theirs and ours.
fn examples() -> Vec<(String, String)> {
    let page = page();
    let mut lines: Vec<String> = Vec::new();
    for block in page.split(".Bd -literal").skip(1) {
        let block = block.split("\n.Ed").next().unwrap().replace("\\e", "\\");
        let mut goes_on = false;
        for line in block.lines().skip(1).filter(|line| !line.is_empty()) {
            let (text, more) = line.strip_suffix('\\').map_or((line, false), |text| (text, true));
            if goes_on {
                lines.last_mut().unwrap().push_str(text.trim_start());
            } else {
                lines.push(text.to_owned());
            }
            goes_on = more;
        }
    }
    lines
        .chunks(2)
        .map(|pair| {
            assert!(pair[1].starts_with("$ jail "), "{pair:?}");
            (pair[0].clone(), pair[1].strip_prefix("$ ").unwrap().to_owned())
        })
        .collect()
}

fn has(program: &str) -> bool {
    Command::new("sh").args(["-c", "command -v \"$0\"", program]).stdout(Stdio::null()).status().unwrap().success()
}

#[test]
fn the_examples_are_run_and_theirs_say_the_same() {
    let examples = examples();
    let mut both = Vec::new();
    for (theirs, ours) in &examples {
        let run = |line: &str, as_root: bool| {
            let s = Scratch::new();
            s.tree("tree");
            s.file("given", "42\n");
            s.file("Makefile", "all:\n\techo made >made && cat made\n");
            let out = outside_in(&s.0, as_root, line);
            (out.good().to_owned(), s.0.join("made").exists(), s.0.join("tree/made").exists())
        };
        let found = run(ours, false);
        assert!(!found.0.is_empty() || ours.ends_with(" ls /tmp"), "{ours}");
        let mut words = theirs.split(' ');
        let program = words.nth(1).unwrap();
        match program {
            // Not here: one needs a service, and one another kernel; firejail is root's.
            "docker" | "firejail" | "jail" => continue,
            "chroot" if !we_are_root() => skip("this needs root"),
            _ if !has(program) => skip(&format!("{program} is missing")),
            _ => {
                assert_eq!(found, run(theirs.strip_prefix("$ ").unwrap(), program == "chroot"), "{theirs}\n{ours}");
                both.push(program.to_owned());
            }
        }
    }
    assert!(examples.len() >= 12, "{examples:#?}");
    assert!(std::env::var_os("CI").is_none() || both.len() >= 6, "{both:?}");
}

/// bwrap's flags that its page here names are bwrap's; a version that is older than the
/// page has some not.
#[test]
fn their_side_is_theirs() {
    let page = page();
    for (section, program, newer) in [
        ("FROM BWRAP", "bwrap", &["overlay-src", "overlay", "tmp-overlay", "bind-fd", "ro-bind-fd", "argv0"][..]),
        ("FROM UNSHARE", "unshare", &[]),
    ] {
        if !has(program) {
            skip(&format!("{program} is missing"));
            continue;
        }
        let help = Command::new(program).arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).into_owned();
        let section = page.split(&format!(".Sh {section}\n")).nth(1).unwrap().split("\n.Sh ").next().unwrap();
        for line in section.lines().filter_map(|line| line.strip_prefix(".It ")) {
            for flag in line.split("\\-\\-").skip(1) {
                let flag = flag.split([' ', ',', '=', '[']).next().unwrap();
                assert!(help.contains(&format!("--{flag}")) || newer.contains(&flag), "{program} --{flag}");
            }
        }
    }
}
