//! The same launch, said to each launcher.

use crate::command::Launch;
use crate::processes::{name, running};
use crate::{HOME, PATH, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What is launched, and what it sees beside the default: file systems of its own and the
/// host's system directories.
pub struct Wish<'a> {
    /// A file of the scratch directory, shown as /payload.
    pub program: &'a str,
    pub words: &'a str,
    /// What is shown, and where, without the first slash.
    pub binds: &'a [(String, String)],
}

/// The bare launch.
pub const NOTHING: Wish = Wish { program: "payload", words: "", binds: &[] };

const BWRAP_FLAGS: &str = "--unshare-all --die-with-parent --hostname jail";
const BWRAP_OWN: &str = "--proc /proc --dev /dev --perms 1777 --tmpfs /tmp --tmpfs /run";
/// What a jail shows of the host unasked, where it is there.
const SYSTEM: [&str; 11] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store", "/gnu/store"];

pub fn jail(flags: &str, wish: &Wish) -> String {
    let Wish { program, words, .. } = wish;
    format!("./jail {flags} --ro-bind {program} /payload {} -- /payload {words}", ro_binds(wish))
}

pub fn bwrap(bwrap: &str, flags: &str, wish: &Wish) -> String {
    let Wish { program, words, .. } = wish;
    format!(
        "{bwrap} {BWRAP_FLAGS} {} {BWRAP_OWN} --perms 700 --tmpfs {HOME} {flags} --ro-bind {program} /payload {} -- /payload {words}",
        shown(|path| format!("--ro-bind {path} {path}"), |target, path| format!("--symlink {target} {path}")),
        ro_binds(wish)
    )
}

/// `how` is the root, such as a bind of a tree.
pub fn bwrap_tree(bwrap: &str, how: &str) -> String {
    format!("{bwrap} {BWRAP_FLAGS} {how} {BWRAP_OWN} -- /payload")
}

pub fn floor(floor: &str, wish: &Wish) -> String {
    let binds: String = wish.binds.iter().map(|(from, to)| format!(" {from} {to}")).collect();
    format!("./{floor} {}{binds} -- {}", wish.program, wish.words)
}

pub fn floor_tree(tree: &str) -> String {
    format!("./floor-tree {tree} --")
}

pub fn floor_ephemeral(dir: &Path, tree: &str) -> String {
    format!("./floor-ephemeral {} --", dir.join(tree).display())
}

fn ro_binds(wish: &Wish) -> String {
    wish.binds.iter().map(|(from, to)| format!(" --ro-bind {from} /{to}")).collect()
}

/// The flags that show the part of the host that jail shows unasked.
fn shown(bind: impl Fn(&str) -> String, link: impl Fn(&str, &str) -> String) -> String {
    let mut flags = Vec::new();
    for path in SYSTEM {
        if let Ok(target) = fs::read_link(path) {
            flags.push(link(&target.to_string_lossy(), path));
        } else if Path::new(path).is_dir() {
            flags.push(bind(path));
        }
    }
    flags.join(" ")
}

/// What can make the same launch here, in the order of the rows: the floor, each bwrap
/// that there is, jail.
pub fn each(dir: &Path, wish: &Wish) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    if has_floor(dir) {
        lines.push(("floor".to_owned(), floor("floor", wish)));
    }
    for (name, command) in bwraps().into_iter().filter(|(name, _)| name != BY_LOADER) {
        lines.push((name, bwrap(&command, "", wish)));
    }
    lines.push(("jail".to_owned(), jail("", wish)));
    lines
}

/// The launchers that come near, where they are installed: no flags give just this view.
pub fn others(dir: &Path) -> Vec<(&'static str, String)> {
    let payload = dir.join("payload").display().to_string();
    let view = shown(|path| format!("-R {path}"), |target, path| format!("-s {target}:{path}"));
    let devices = ["null", "zero", "full", "random", "urandom", "tty"].map(|name| format!(" -B /dev/{name}")).concat();
    let nsjail = format!(
        "nsjail -Mo --really_quiet -t 0 -H jail --cwd / {view}{devices} -T /tmp -T /run -T {HOME} -R {payload}:/payload -- /payload"
    );
    let firejail = "firejail --quiet --noprofile --net=none --ipc-namespace --private-dev --caps.drop=all --seccomp ./payload";
    let minijail = "minijail0 -U -m -M -v -p -r -l -e -N -n --uts -- ./payload";
    [
        ("unshare, all namespaces, own /proc", "unshare -U -r -m -p -f -n -i -u -C --mount-proc ./payload".to_owned()),
        ("nsjail", nsjail),
        ("firejail, the host's files", firejail.to_owned()),
        ("minijail, the host's files", minijail.to_owned()),
    ]
    .into_iter()
    .filter(|(_, line)| line.split(' ').next().is_some_and(installed))
    .collect()
}

/// Is there a floor?
pub fn has_floor(dir: &Path) -> bool {
    dir.join("floor").exists()
}

/// Where this kernel is too old for the floor there is none. Where it runs, it must show
/// what jail shows, or it is the floor of something else.
pub fn check_floor(dir: &Path) -> Result<()> {
    if !has_floor(dir) {
        return Ok(());
    }
    if let Some(why) = Launch::new(dir, &floor("floor", &NOTHING)).refusal()? {
        eprintln!("launch: not measured: the floor does not run here: {why} (the status is a line of benches/floor.c)");
        fs::rename(dir.join("floor"), dir.join("no-floor"))?;
        return Ok(());
    }
    let stay = Wish { program: "stay", ..NOTHING };
    let pairs = [
        (floor("floor", &stay), jail("", &stay)),
        (floor_tree("check"), "./jail --root check -- /payload".to_owned()),
        (floor_ephemeral(dir, "check"), "./jail --root check --ephemeral -- /payload".to_owned()),
    ];
    for (floor, jail) in pairs {
        let (of_floor, of_jail) = (mounts(dir, &floor)?, mounts(dir, &jail)?);
        if of_floor != of_jail {
            return Err(format!("the floor's view is not jail's, which is {of_jail:?}, but {of_floor:?}").into());
        }
    }
    Ok(())
}

/// The mounts that a command line's program sees, each with its attributes.
fn mounts(dir: &Path, line: &str) -> Result<Vec<String>> {
    running(Launch::new(dir, line), |family| {
        let payload = family.iter().find(|&&pid| name(pid) == "payload").ok_or("it is not to be seen")?;
        let text = fs::read_to_string(format!("/proc/{payload}/mountinfo"))?;
        let mut mounts: Vec<String> =
            text.lines().map(|line| line.split(' ').skip(4).take(2).collect::<Vec<_>>().join(" ")).collect();
        mounts.sort();
        Ok(mounts)
    })
}

const BY_LOADER: &str = "bwrap by its loader";

/// Each bwrap there is: what it is called here, and the command line that starts it.
pub fn bwraps() -> Vec<(String, String)> {
    let mut found = Vec::new();
    if installed("bwrap") {
        found.push(("bwrap".to_owned(), "bwrap".to_owned()));
    }
    if let Ok(newer) = std::env::var("JAIL_BENCH_BWRAP") {
        // What it costs to be started by a loader's command line is seen beside it.
        let loader = newer.split_whitespace().next().and_then(|word| Path::new(word).file_name()?.to_str());
        if let Some(loader) = loader.filter(|name| name.starts_with("ld-linux")) {
            let own = ["/lib64", "/lib"].map(|dir| Path::new(dir).join(loader)).into_iter().find(|path| path.exists());
            if let (Some(own), true) = (own, Path::new("/usr/bin/bwrap").exists()) {
                found.push((BY_LOADER.to_owned(), format!("{} /usr/bin/bwrap", own.display())));
            }
        }
        found.push(("newer bwrap".to_owned(), newer));
    }
    found
}

pub fn has_tmp_overlay(bwrap: &str) -> bool {
    let mut words = bwrap.split_whitespace();
    let said = Command::new(words.next().unwrap_or_default()).args(words).arg("--help").output();
    said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("--tmp-overlay"))
}

pub fn installed(program: &str) -> bool {
    PATH.split(':').any(|dir| Path::new(dir).join(program).exists())
}
