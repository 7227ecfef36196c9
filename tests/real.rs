//! Real input: a Debian tree, a C project's own tests, a crate without network.

mod support;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::*;

/// Copies a directory for the user.
fn copy(s: &Scratch, from: &Path, to: &str) -> PathBuf {
    let to = s.0.join(to);
    assert!(Command::new("cp").arg("-r").arg(from).arg(&to).status().unwrap().success());
    if we_are_root() {
        assert!(Command::new("chown").arg("-R").arg(format!("{USER}:{USER}")).arg(&to).status().unwrap().success());
    }
    to
}

#[test]
fn a_debian_tree() {
    let Some(tar) = input("trixie.tar") else { return };
    let s = Scratch::new();
    let tree = s.dir("trixie");
    // Unpacked by the user: device nodes are what a user cannot make.
    let mut unpack = command(Path::new("/bin/tar"), &tree, false);
    unpack.args(["--exclude=./dev/*", "-xf"]).arg(&tar);
    outcome(unpack).good();

    changed_and_as_it_was(&s);

    let out = sh_in(&s.0, "--root trixie --net none", "dpkg -l | grep -c ^ii; . /etc/os-release; echo $VERSION_CODENAME");
    let (packages, codename) = out.good().split_once('\n').unwrap();
    assert!(packages.parse::<u32>().unwrap() > 100 && codename == "trixie", "{out:?}");
    assert_eq!(sh_in(&s.0, "--root trixie", "python3 -c 'import json, sys; print(json.dumps(sys.version_info[0]))'").good(), "3");
    let compile = "printf '#include <stdio.h>\\nint main(void) { puts(\"compiled\"); return 0; }\\n' > /tmp/a.c && gcc -o /tmp/a /tmp/a.c && /tmp/a";
    assert_eq!(sh_in(&s.0, "--root trixie", compile).good(), "compiled");

    let out = sh_in(&s.0, "--root trixie", "echo x > /etc/new");
    assert!(out.status != 0 && out.err.contains("Read-only"), "{out:?}");
    let out = sh_in(
        &s.0,
        "--root trixie --writable --as-root",
        "echo x > /etc/new && chown 0:0 /etc/new && stat -c %U /etc/new && dpkg --audit && dpkg-divert --list | wc -l",
    );
    assert!(out.good().starts_with("root\n"), "{out:?}");
    assert_eq!(std::fs::read_to_string(tree.join("etc/new")).unwrap(), "x\n");
}

/// Packages are removed from it and its files changed, and it stays as it is.
fn changed_and_as_it_was(s: &Scratch) {
    let state = || outside_in(&s.0, false, "find trixie -printf '%p %m %s %n %T@ %C@ %l\\n' | sort | sha256sum");
    let before = state().good().to_owned();
    let change = "dpkg --remove --force-depends make && ! dpkg -s make && rm -r /usr/share/doc && mkdir /usr/share/doc && \
        chmod -R g+w /etc && find /usr/lib -name '*.so*' -exec touch {} +";
    sh_in(&s.0, "--root trixie --ephemeral --as-root", change).good();
    sh_in(&s.0, "--root trixie --ephemeral=1m --as-root", "cp -a /usr/lib /lib2 2>&1 | grep -m 1 -o 'No space left'").good();
    sh_in(&s.0, "--root trixie --overlay kept --as-root", change).good();
    sh_in(&s.0, "--root trixie --overlay kept --as-root", "! dpkg -s make && ls /usr/bin/gcc").good();
    assert_eq!(state().good(), before);
    let listed = run_in(&s.0, &["--diff", "kept", "--root", "trixie"]);
    let (lines, said) = (listed.good().lines().collect::<Vec<_>>(), &listed.err);
    assert!(lines.contains(&"D usr/bin/make") && lines.contains(&"C etc/passwd") && said.is_empty(), "{lines:?}");
    assert!(
        !lines.iter().any(|line| line.contains("usr/lib/") && line.contains(".so")),
        "what was only touched is no change: {lines:?}"
    );
}

#[test]
fn a_c_projects_own_tests_end_as_they_do_outside() {
    let Some(source) = input("zlib") else { return };
    let s = Scratch::new();
    let script = "./configure >/dev/null && make -j2 >/dev/null 2>&1 && make test 2>&1 | grep -E 'zlib.* test|zlib version'; ls libz.so* | sort; ./minigzip < Makefile | ./minigzip -d | cmp - Makefile && echo same";
    let outside = {
        let mut shell = command(Path::new("/bin/sh"), &copy(&s, &source, "outside"), false);
        shell.args(["-c", script]);
        outcome(shell)
    };
    let inside = sh_in(&copy(&s, &source, "inside"), "--rw .", script);
    assert!(outside.good().contains("*** zlib test OK ***") && outside.good().ends_with("same"), "{outside:?}");
    assert_eq!(inside.good(), outside.good());
}

#[test]
fn a_crate_is_built_without_network() {
    let (Some(source), Some(rust)) = (input("crate"), input("rust")) else { return };
    let s = Scratch::new();
    let dir = copy(&s, &source, "crate");
    let rust = rust.display();
    let flags = format!("--net none --rw . --ro {rust} --env PATH={rust}/bin:/usr/bin:/bin");
    let out = sh_in(&dir, &flags, "cargo build --offline 2>&1 && ./target/debug/greets");
    assert!(out.good().ends_with("\n42"), "{out:?}");
}
