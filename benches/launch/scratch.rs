//! What is launched, and what it is launched on, in a directory that is gone afterwards.

use crate::{BINDS, Result, USER, filter};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Scratch(pub PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The directories and the files in each of a tree that is worth not copying.
const MASTER: (usize, usize) = (40, 50);
/// The C files of the project that make builds; and where one try is to do.
const PROJECT: usize = 60;
const SMALL_PROJECT: usize = 4;
/// A file seven directories deep.
pub const DEEP: &str = "deep/a/b/c/d/e/f/file";
/// For the programs that have no C library.
const BARE: [&str; 4] = ["-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-builtin"];

pub fn build(quick: bool) -> Result<Scratch> {
    let scratch = Scratch(std::env::temp_dir().join(format!("jail-bench-{}", std::process::id())));
    let dir = &scratch.0;
    fs::create_dir(dir)?;
    let deep = Path::new(DEEP).parent().and_then(Path::to_str).unwrap_or_default();
    let trees = ["tree", "check"].map(|tree| ["", "proc", "dev", "tmp", "run"].map(|below| format!("{tree}/{below}")));
    for name in ["", "files", deep].into_iter().chain(trees.as_flattened().iter().map(String::as_str)) {
        fs::create_dir_all(dir.join(name))?;
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755))?;
    }
    // cargo builds the program, optimised as for release, before it starts us. A
    // copy, for the user may not be able to reach the original.
    let program = std::env::var_os("JAIL").unwrap_or(env!("CARGO_BIN_EXE_jail").into());
    fs::copy(&program, dir.join("jail")).map_err(|error| format!("copy {}: {error}", Path::new(&program).display()))?;
    if let Some(before) = std::env::var_os("JAIL_BENCH_BEFORE") {
        fs::copy(&before, dir.join("before")).map_err(|error| format!("copy {}: {error}", Path::new(&before).display()))?;
    }
    for name in ["payload", "leave", "stay"] {
        compile(&format!("{name}.c"), &BARE, &dir.join(name))?;
    }
    compile("calls.c", &[], &dir.join("calls"))?;
    build_floor(dir)?;
    fs::write(dir.join(DEEP), "")?;
    fs::copy(dir.join("payload"), dir.join("tree/payload"))?;
    fs::copy(dir.join("stay"), dir.join("check/payload"))?;
    for n in 0..BINDS[BINDS.len() - 1] {
        fs::write(dir.join(format!("files/{n}")), "")?;
    }
    build_master(dir)?;
    build_project(dir, if quick { SMALL_PROJECT } else { PROJECT })?;
    if as_root()? {
        // Only an owner may change a tree, and only in a directory of one's own may one build.
        let mut chown = Command::new("chown");
        chown.arg("-R").arg(format!("{USER}:{USER}")).args(["master", "check", "copies", "project", "mounts"]).current_dir(dir);
        if !chown.status()?.success() {
            return Err("the trees cannot be given to the user".into());
        }
    }
    Ok(scratch)
}

pub fn as_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// The floors of the default, of the host's network and of trees. Older headers lack what
/// they are made of: then there is none.
fn build_floor(dir: &Path) -> Result<()> {
    fs::write(dir.join("filter.h"), filter::header())?;
    let include = format!("-I{}", dir.display());
    let flags = [&BARE[..], &[&include]].concat();
    // Last the one that tells that they are there.
    let floors: [(&str, &[&str]); 4] = [
        ("floor-host", &["-DHOST_NETWORK"]),
        ("floor-tree", &["-DTREE"]),
        ("floor-ephemeral", &["-DTREE", "-DEPHEMERAL"]),
        ("floor", &[]),
    ];
    for (name, switches) in floors {
        if let Err(error) = compile("floor.c", &[&flags, switches].concat(), &dir.join(name)) {
            eprintln!("launch: not measured: the floor: {error}");
            break;
        }
    }
    Ok(())
}

/// A tree of the user's with some files in it, what copies it and runs in the copy,
/// a place for copies, and one for mounts.
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
    fs::create_dir(dir.join("mounts"))?;
    for (script, how) in [("copied", ""), ("cloned", " --reflink=always")] {
        let text = format!(
            "#!/bin/sh\ncp -a{how} master copies/c || exit 1\n./jail --root copies/c --writable -- /payload && rm -r copies/c\n"
        );
        fs::write(dir.join(script), text)?;
        fs::set_permissions(dir.join(script), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// C files that a compiler has some work with. No real project's source is on every
/// machine; what matters to a jail, many short processes that open many headers, is alike.
/// `-pipe` keeps gcc out of /tmp, which is not the same file system inside.
fn build_project(dir: &Path, files: usize) -> Result<()> {
    let project = dir.join("project");
    fs::create_dir(&project)?;
    let names: Vec<String> = (0..files).map(|n| format!("part{n}.o")).collect();
    fs::write(
        project.join("Makefile"),
        format!("CFLAGS = -O2 -pipe\nproject: main.o {0}\n\tgcc -o project main.o {0}\n", names.join(" ")),
    )?;
    fs::write(project.join("main.c"), "int main(void) { return 0; }\n")?;
    for file in 0..files {
        let mut text: String = ["errno", "fcntl", "limits", "signal", "stdint", "stdio", "stdlib", "string", "time", "unistd"]
            .map(|header| format!("#include <{header}.h>\n"))
            .concat();
        for n in 0..8 {
            text += &format!(
                "int sum_{file}_{n}(const char *text, int *counts) {{\n    char line[64];\n    int sum = {n};\n    \
                 for (size_t i = 0; i < strlen(text); i++) {{\n        counts[text[i] & 63]++;\n        \
                 sum = sum * 31 + counts[i & 63];\n    }}\n    snprintf(line, sizeof line, \"%d %s\", sum, text);\n    \
                 return atoi(line) + (int)strtol(text, NULL, 10) % {};\n}}\n",
                n + 2
            );
        }
        fs::write(project.join(format!("part{file}.c")), text)?;
    }
    Ok(())
}

fn compile(source: &str, flags: &[&str], to: &Path) -> Result<()> {
    let status = Command::new("gcc")
        .args(["-O2", "-static", "-o"])
        .arg(to)
        .args(flags)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(source))
        .status()
        .map_err(|error| format!("start gcc: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("gcc cannot build benches/{source}").into()) }
}
