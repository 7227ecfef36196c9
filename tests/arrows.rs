//! The source's folders use each other in one direction only, and no files import each
//! other in a circle. The head of `src/lib.rs` lists the folders: each may use only those before it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Modules = BTreeMap<Vec<String>, PathBuf>;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The folders in the order that the head of `lib.rs` gives.
fn order() -> Vec<String> {
    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    let line = lib.lines().find_map(|line| line.strip_prefix("//! ").filter(|line| line.contains(" < "))).expect("an order");
    line.trim().split(" < ").map(str::to_owned).collect()
}

/// Each file under `src` by its module path.
fn modules() -> Modules {
    fn walk(dir: &Path, path: &[String], all: &mut Modules) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap().path();
            let stem = entry.file_stem().unwrap().to_str().unwrap().to_owned();
            let mut below = path.to_vec();
            if entry.is_dir() {
                below.push(stem);
                walk(&entry, &below, all);
            } else if !(path.is_empty() && ["lib", "main"].contains(&stem.as_str())) {
                if stem != "mod" {
                    below.push(stem);
                }
                all.insert(below, entry);
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(&source(), &[], &mut all);
    all
}

/// The code of a file: without comments, and without the tests at its end.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path in `code` that begins with `crate` or `super`, as module names from the
/// crate's root on. Braces are expanded.
fn paths(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let before = code[..start].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let mut base = Vec::new();
        let mut rest = &code[start..];
        if let Some(after) = rest.strip_prefix("crate::") {
            rest = after;
        } else {
            base = module.to_vec();
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
        }
        expand(rest, &base, &mut found);
    }
    found
}

fn expand(text: &str, base: &[String], found: &mut Vec<Vec<String>>) {
    let mut base = base.to_vec();
    let mut rest = text;
    loop {
        if let Some(inner) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut begin = 0;
            for (at, c) in inner.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && c == ',') {
                    expand(inner[begin..at].trim_start(), &base, found);
                    begin = at + 1;
                }
                if depth == 0 {
                    return;
                }
            }
            return;
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if end > 0 && &rest[..end] != "self" {
            base.push(rest[..end].to_owned());
        }
        match rest[end..].strip_prefix("::") {
            Some(after) if end > 0 => rest = after,
            _ => break,
        }
    }
    if !base.is_empty() {
        found.push(base);
    }
}

/// The longest prefix of `path` that is a file.
fn file_of<'a>(path: &[String], all: &'a Modules) -> Option<&'a Vec<String>> {
    (1..=path.len()).rev().find_map(|length| all.get_key_value(&path[..length])).map(|(key, _)| key)
}

/// Every use of one file by another, without tests.
fn uses(all: &Modules) -> BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> {
    let mut uses = BTreeMap::new();
    for (module, file) in all.iter().filter(|(module, _)| module.last().is_none_or(|last| last != "tests")) {
        let used: BTreeSet<_> =
            paths(&code(file), module).iter().filter_map(|path| file_of(path, all)).filter(|used| *used != module).collect();
        uses.insert(module, used);
    }
    uses
}

#[test]
fn each_folder_uses_only_folders_before_it() {
    let (order, all) = (order(), modules());
    let rank = |module: &[String]| {
        order.iter().position(|name| *name == module[0]).unwrap_or_else(|| panic!("{module:?} is not in lib.rs"))
    };
    let mut wrong = Vec::new();
    for (user, used) in uses(&all) {
        wrong.extend(
            used.into_iter()
                .filter(|used| rank(used) > rank(user))
                .map(|used| format!("{} uses {}", user.join("::"), used.join("::"))),
        );
    }
    assert!(wrong.is_empty(), "against the arrows:\n{}", wrong.join("\n"));
    assert!(order.len() > 10 && all.len() > 40, "{order:?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let all = modules();
    let uses = uses(&all);
    // A folder's `mod.rs` and the files in it may know each other: they are one idea in parts.
    let mut left: BTreeMap<_, BTreeSet<_>> = uses
        .iter()
        .map(|(user, used)| {
            (*user, used.iter().copied().filter(|used| !user.starts_with(used) && !used.starts_with(user)).collect())
        })
        .collect();
    loop {
        let free: Vec<_> =
            left.iter().filter(|(_, used)| used.iter().all(|used| !left.contains_key(*used))).map(|(user, _)| *user).collect();
        if free.is_empty() {
            break;
        }
        free.iter().for_each(|module| drop(left.remove(module)));
    }
    let circle: Vec<String> = left
        .iter()
        .map(|(user, used)| {
            let inside: Vec<String> = used.iter().filter(|used| left.contains_key(*used)).map(|used| used.join("::")).collect();
            format!("{} -> {}", user.join("::"), inside.join(", "))
        })
        .collect();
    assert!(circle.is_empty(), "in or above a circle:\n{}", circle.join("\n"));
}

#[test]
fn paths_are_found_in_every_form() {
    let module = ["a".to_owned(), "b".to_owned()];
    let code = "use crate::c::{self, d::E, f::{G, H}};\nuse super::i;\nfn x() { crate::j::k(); other_crate::l(); }";
    let found: Vec<String> = paths(code, &module).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["c", "c::d::E", "c::f::G", "c::f::H", "j::k", "a::i"]);
}
