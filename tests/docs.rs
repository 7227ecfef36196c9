//! The flag table, `--help` and the manual say the same; the README's examples
//! do what is printed beside them.

mod support;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use support::*;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The flags that `--help` prints; a unit test holds it against the table.
fn helped() -> BTreeSet<String> {
    let help = run(&["--help"]);
    let flags = help.good().lines().filter_map(|l| l.strip_prefix("  --"));
    flags.map(|l| l.split([' ', '[']).next().unwrap().to_owned()).collect()
}

#[test]
fn the_manual_has_every_flag_and_no_other() {
    let manual: BTreeSet<String> = read("man/jail.1")
        .lines()
        .filter_map(|l| l.strip_prefix(".It Fl Fl "))
        .map(|l| l.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(manual, helped());
    assert!(manual.len() > 30);
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(run(&["--version"]).good(), format!("jail {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn jail_alone_says_how_to_begin() {
    let alone = run::<&str>(&[]);
    assert_eq!((alone.status, alone.out.as_str()), (125, ""), "{alone:#?}");
    let lines: Vec<&str> = alone.err.lines().collect();
    assert_eq!(lines.len(), 6, "{alone:#?}");
    assert!(lines[0].starts_with("usage: jail ") && lines[4].contains("--help") && lines[5].contains("--check"), "{alone:#?}");
    // The examples are those of the help, and nothing is coloured.
    let help = run(&["--help"]);
    assert!(lines[1..4].iter().all(|line| line.contains("jail -") && help.good().contains(line)), "{alone:#?}");
    assert!(!alone.err.contains('\x1b') && !help.out.contains('\x1b'));
    // A flag without a command is a mistake, as before.
    run(&["--net", "host"]).refused(&["no command is named"]);
    run(&["--"]).refused(&["no command is named"]);
}

#[test]
fn the_help_is_grouped_as_the_manual_is() {
    let mut section = String::new();
    let mut manual = Vec::new();
    for line in read("man/jail.1").lines() {
        if let Some(title) = line.strip_prefix(".Ss ") {
            title.clone_into(&mut section);
        } else if line.starts_with(".Sh ") {
            section.clear();
        } else if let Some(flag) = line.strip_prefix(".It Fl Fl ").filter(|_| !section.is_empty()) {
            manual.push((section.clone(), flag.split(' ').next().unwrap().to_owned()));
        }
    }
    let help = run(&["--help"]);
    let mut grouped = Vec::new();
    for line in help.good().lines() {
        if let Some(flag) = line.strip_prefix("  --") {
            grouped.push((section.clone(), flag.split([' ', '[']).next().unwrap().to_owned()));
        } else {
            line.clone_into(&mut section);
        }
    }
    manual.sort();
    grouped.sort();
    assert_eq!(manual, grouped);
}

#[test]
fn the_readmes_examples_do_what_they_say() {
    let readme = read("README.md");
    let mut count = 0;
    for block in readme.split("<!-- test -->").skip(1) {
        let block = block.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
        let scratch = Scratch::new();
        let mut expected = String::new();
        let mut script = String::new();
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => script.push_str(&format!("{command}\n")),
                None => expected.push_str(&format!("{line}\n")),
            }
        }
        let mut shell = command(Path::new("/bin/sh"), &scratch.0, false);
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", jail().parent().unwrap().display());
        shell.env("PATH", path).env("HOME", "/home/tester").args(["-c", &format!("exec 2>&1\n{script}")]);
        let out = outcome(shell);
        // The one thing that differs from one reader to the next.
        assert_eq!(out.out, expected.replace("$PWD", scratch.0.to_str().unwrap()), "{block}");
        count += 1;
    }
    assert!(count >= 5, "{count} examples");
}

/// The commands are a reader's own, and so are not run; the flags before them are.
#[test]
fn the_manuals_examples_have_flags_that_make_a_jail() {
    let manual = read("man/jail.1");
    let examples = manual.split("\n.Sh EXAMPLES\n").nth(1).unwrap().split("\n.Sh ").next().unwrap();
    let mut count = 0;
    for line in examples.lines().filter_map(|line| line.strip_prefix(".Dl ")) {
        let line = line.replace("\\-", "-").replace("\\&", "");
        let (flags, _) = line.split_once(" -- ").expect(&line);
        let s = Scratch::new();
        s.tree("tree");
        s.file(".env", "secret");
        s.dir(".git");
        let mut shell = command(Path::new("/bin/sh"), &s.0, false);
        let path = format!("{}:/usr/bin:/bin", jail().parent().unwrap().display());
        shell.env("PATH", path).env("CI_JOB", "1").args(["-c", &format!("{flags} -- /bin/sh -c 'echo inside'")]);
        assert_eq!(outcome(shell).good(), "inside", "{line}");
        count += 1;
    }
    assert!(count >= 8, "{count} examples");
}

#[test]
fn explain_prints_what_is_then_mounted() {
    let explained = run(&["--explain=json", "--", "true"]);
    let json = explained.good();
    let inside = sh("", "cut -d' ' -f5 /proc/self/mountinfo | sort");
    for point in inside.good().lines() {
        assert!(json.contains(&format!("\"dest\":\"{point}\"")), "{point} is mounted and not explained");
    }
    let check =
        std::process::Command::new("python3").args(["-c", "import json,sys; json.loads(sys.argv[1])", json]).status().unwrap();
    assert!(check.success());
    assert!(run(&["--explain", "--", "true"]).good().contains("read-only /usr"));
}

#[test]
fn explain_times_the_steps_of_the_plan_and_executes_nothing() {
    let s = Scratch::new();
    let timed = sh_in(&s.0, "--rw . --explain=time", "echo executed | tee executed");
    let timed = timed.good();
    assert!(!s.0.join("executed").exists() && !timed.contains("executed"), "{timed}");
    // The steps are those of the plan, each with a time, some of which are not 0.
    let plan = sh_in(&s.0, "--rw . --explain", "true");
    let steps = |text: &str, indent: &str| -> Vec<String> {
        let lines =
            text.lines().filter_map(|line| line.strip_prefix(indent)).map(|line| line.split("  [").next().unwrap().trim());
        lines.map(str::to_owned).collect()
    };
    let planned = steps(plan.good(), "  ");
    let times: Vec<(f64, String)> = timed
        .lines()
        .filter_map(|line| line.trim_start().split_once("  "))
        // A slow one may fill the column.
        .filter_map(|(time, name)| Some((time.parse().ok()?, name.to_owned())))
        .collect();
    for step in planned.iter().filter(|step| !step.starts_with("environment: ") && !step.starts_with("execute ")) {
        assert!(times.iter().any(|(_, name)| name == step), "{step} is not in {timed}");
    }
    let took = |name: &str| times.iter().find(|(_, other)| other.starts_with(name)).expect(name).0;
    assert!(took("make process 1; new namespaces: user mount pid net") > took("hostname jail") && took("all is dead") > 0.0);
    assert!(took("of a launch") > took("make process 1"), "{timed}");
    // A launch that fails says so as any does, and the other formats are named.
    sh_in(&s.0, "--rw missing --explain=time", "true").refused(&["missing"]);
    run(&["--explain=times", "--", "true"]).refused(&["text, json, time"]);
}

/// The Markdown documents of the project.
fn documents(dir: &Path, all: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !["target", ".git"].contains(&name.as_str()) {
            documents(&path, all);
        } else if name.ends_with(".md") {
            all.push(path);
        }
    }
}

#[test]
fn links_of_documents_lead_to_files() {
    let mut all = Vec::new();
    documents(Path::new(env!("CARGO_MANIFEST_DIR")), &mut all);
    let mut count = 0;
    for document in &all {
        let text = fs::read_to_string(document).unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap();
            if !target.is_empty() && !target.contains(':') {
                assert!(document.parent().unwrap().join(target).exists(), "{}: {target}", document.display());
                count += 1;
            }
        }
    }
    assert!(count > 15, "{count} links in {} documents", all.len());
}

#[test]
fn the_readme_fits_in_two_hundred_lines() {
    assert!(read("README.md").lines().count() <= 200);
}
