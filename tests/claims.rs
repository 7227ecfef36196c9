//! Each sentence of SECURITY.md stands in `tests/claims.txt` with the tests that hold it, or
//! with the reason why there is no test: a sentence cannot change without its evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The sentences of SECURITY.md, without headings, tables and comments. A list item begins
/// with a sentence of its own.
fn sentences() -> Vec<String> {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let mut paragraphs = vec![String::new()];
    for line in text.lines() {
        let item = line.strip_prefix("- ");
        let begins = item.is_some() || line.starts_with(|c: char| c.is_ascii_digit());
        let skipped = line.starts_with(['#', '|', '<']);
        if line.is_empty() || begins || skipped {
            paragraphs.push(String::new());
        }
        if !skipped {
            let last = paragraphs.last_mut().unwrap();
            last.push_str(item.unwrap_or(line).trim());
            last.push(' ');
        }
    }
    let mut all = Vec::new();
    for paragraph in paragraphs {
        let mut begin = 0;
        for (at, _) in paragraph.match_indices(". ") {
            let piece = &paragraph[begin..at];
            // "1. " numbers an item; in backquotes stands a command line.
            let numbers = piece.trim().chars().all(|c| c.is_ascii_digit());
            if !numbers && piece.matches('`').count() % 2 == 0 {
                all.push(paragraph[begin..=at].trim().to_owned());
                begin = at + 2;
            }
        }
        if !paragraph[begin..].trim().is_empty() {
            all.push(paragraph[begin..].trim().to_owned());
        }
    }
    all
}

/// What stands for each sentence: `test FILE NAME` and `reason TEXT` lines.
fn claims() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(root().join("tests/claims.txt")).unwrap();
    let mut claims: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut sentence = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("    ") {
            Some(evidence) => claims.get_mut(&sentence).expect("a sentence first").push(evidence.to_owned()),
            None => {
                line.clone_into(&mut sentence);
                assert!(claims.insert(sentence.clone(), Vec::new()).is_none(), "twice: {line}");
            }
        }
    }
    claims
}

/// The text of each file of Rust code below `dir`, by its path from the project's root.
fn sources(dir: &str) -> BTreeMap<String, String> {
    fn walk(dir: &Path, all: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, all);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                all.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(&root().join(dir), &mut all);
    all
}

/// True if `text` has a test of this name.
fn has_test(text: &str, name: &str) -> bool {
    text.match_indices(&format!("fn {name}(")).any(|(at, _)| text[..at].trim_end().ends_with("#[test]"))
}

/// What is wrong with a line of evidence; None if nothing is.
fn problem(evidence: &str, files: &BTreeMap<String, String>) -> Option<String> {
    match evidence.split(' ').collect::<Vec<_>>()[..] {
        ["reason", _, ..] => None,
        ["test", file, name] => match files.get(file) {
            None => Some(format!("no such file: {evidence}")),
            Some(text) if !has_test(text, name) => Some(format!("no such test: {evidence}")),
            Some(_) => None,
        },
        _ => Some(format!("neither a test nor a reason: {evidence}")),
    }
}

#[test]
fn each_sentence_of_security_md_has_a_test_or_a_reason() {
    let claims = claims();
    let mut files = sources("tests");
    files.append(&mut sources("src"));
    let sentences: BTreeSet<String> = sentences().into_iter().collect();
    let mut problems = Vec::new();
    for sentence in &sentences {
        match claims.get(sentence) {
            None => problems.push(format!("not in tests/claims.txt: {sentence}")),
            Some(evidence) if evidence.is_empty() => problems.push(format!("no evidence: {sentence}")),
            Some(_) => {}
        }
    }
    for (sentence, evidence) in &claims {
        if !sentences.contains(sentence) {
            problems.push(format!("not in SECURITY.md: {sentence}"));
        }
        problems.extend(evidence.iter().filter_map(|line| problem(line, &files)));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(sentences.len() > 80, "{}", sentences.len());
}

#[test]
fn evidence_that_is_not_there_is_noticed() {
    let files = BTreeMap::from([("tests/x.rs".to_owned(), "#[test]\nfn holds() {}\nfn helps() {}\n".to_owned())]);
    assert_eq!(problem("test tests/x.rs holds", &files), None);
    assert_eq!(problem("reason it is advice", &files), None);
    for wrong in ["test tests/x.rs helps", "test tests/x.rs hold", "test tests/y.rs holds", "reason", "see elsewhere"] {
        assert!(problem(wrong, &files).is_some(), "{wrong}");
    }
}

/// Cargo.toml denies unsafe code, and these files alone allow it again.
#[test]
fn unsafe_code_is_only_where_security_md_says() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("\nunsafe_code = \"deny\""));
    let sources = sources("src");
    let allows: Vec<&String> = sources.iter().filter(|(_, text)| text.contains("(unsafe_code)")).map(|(file, _)| file).collect();
    assert_eq!(allows, ["src/main.rs", "src/sys/mod.rs"]);
    let uses = |text: &str| text.lines().any(|line| line.split("//").next().is_some_and(|code| code.contains("unsafe ")));
    let with_unsafe: Vec<&String> = sources.iter().filter(|(_, text)| uses(text)).map(|(file, _)| file).collect();
    let elsewhere: Vec<_> = with_unsafe.iter().filter(|file| !file.starts_with("src/sys/")).collect();
    assert!(elsewhere.is_empty() && with_unsafe.len() > 1, "{with_unsafe:?}");
}
