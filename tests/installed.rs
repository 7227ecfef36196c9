//! The packages that packaging/packages made, in JAIL_PACKAGES: installed, used as they
//! are then, and removed, in a fresh Debian tree of the user's own; the archive also in
//! a tree of no distribution's.

#[path = "support/debian.rs"]
mod debian;
mod support;
use debian::Tree;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::*;

/// The one file there whose name ends so; None, loudly, where no packages are.
fn package(end: &str) -> Option<PathBuf> {
    let Some(dir) = std::env::var_os("JAIL_PACKAGES") else {
        skip("JAIL_PACKAGES is to name the directory that packaging/packages made");
        return None;
    };
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<PathBuf> = entries.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
    assert_eq!(found.len(), 1, "{end}: {found:?}");
    found.into_iter().next()
}

/// A tree with these packages of Debian's, and ours as /srv/package.
fn tree(packages: &str, ours: &Path) -> Option<Tree> {
    let tree = Tree::unpacked("--fakeroot")?;
    if !tree.installs(packages) {
        return None;
    }
    fs::copy(ours, tree.s.0.join("tree/srv/package")).unwrap();
    Some(tree)
}

/// Every path in the tree but what its package manager and its caches keep for
/// themselves, and what it is.
fn listing(tree: &Tree) -> BTreeSet<String> {
    let kept = ["var/cache", "var/log", "var/lib/apt", "var/lib/dpkg", "var/lib/rpm", "var/lib/systemd", "tmp"];
    let omitted: String = kept.iter().map(|path| format!(" -path tree/{path} -prune -o")).collect();
    let found =
        tree.outside(&format!("find tree{omitted} -printf '%P %y %m %s %l\\n' | sed 's/\\( d [0-9]*\\) .*/\\1/'")).unwrap();
    found.good().lines().map(str::to_owned).collect()
}

fn gone(tree: &Tree, before: &BTreeSet<String>) {
    let after = listing(tree);
    let differ: Vec<&String> = after.symmetric_difference(before).filter(|path| !path.starts_with("inside ")).collect();
    assert!(differ.is_empty(), "{differ:?}");
    assert!(before.len() > 1000);
}

/// A shell script of an ordinary user's of the installed system: where root can have that
/// be the root of a few processes, and else in a jail.
fn by_a_user(tree: &Tree, script: &str) -> Outcome {
    let tree = &tree.s;
    if !we_are_root() {
        let script = script.replace("jail --", "jail --proc none --");
        return outside_in(&tree.0, false, &format!("jail --root tree --nested -- sh -c '{}'", script.replace('\'', "'\\''")));
    }
    tree.file("tree/tmp/script", script);
    let enter = format!(
        "mount --bind tree tree && cd tree && mount -t proc proc proc && mount --rbind /dev dev && pivot_root . mnt && \
         /mnt/bin/busybox umount -l /mnt && exec setpriv --reuid={USER} --regid={USER} --clear-groups -- sh /tmp/script"
    );
    let mut shell = command(Path::new("unshare"), &tree.0, true);
    shell.args(["-m", "--propagation", "private", "sh", "-c", &enter]);
    outcome(shell)
}

/// What someone does first.
fn used(tree: &Tree) {
    assert_eq!(
        by_a_user(tree, "command -v jail; jail -- sh -c 'hostname; id -u'").good(),
        format!("/usr/bin/jail\njail\n{}", id())
    );
    let refused = by_a_user(tree, "cd /tmp && mkdir made && cd made && jail -- sh -c ': >file'");
    assert!(refused.status != 0 && refused.err.contains("Read-only file system"), "{refused:?}");
    assert_eq!(by_a_user(tree, "cd /tmp/made && jail --rw . -- sh -c ': >file'; ls; rm -r /tmp/made").good(), "file");
    by_a_user(tree, "jail --ro /missing -- true").refused(&["--ro /missing: "]);
    assert_eq!(by_a_user(tree, "jail --version").good(), format!("jail {}", env!("CARGO_PKG_VERSION")));
    if we_are_root() {
        let checked = by_a_user(tree, "jail --check");
        assert!(checked.good().contains("\na jail without flags       yes"), "{checked:?}");
    }
}

fn id() -> u32 {
    if we_are_root() { USER } else { rustix::process::getuid().as_raw() }
}

/// A kernel with AppArmor takes the compiled profile, and it is then what /usr/bin/jail
/// runs under; no other copy does.
fn loads(profile: &Path) {
    let script = "\
        mount -t securityfs none /sys/kernel/security && cd /sys/kernel/security/apparmor || exit\n\
        cp /usr/bin/jail /usr/bin/copy\n\
        label() { as-user /usr/bin/$1 -- cat /proc/self/attr/apparmor/current; }\n\
        label jail; cat /profile >.load && label jail && label copy";
    let Some(machine) = vm("6.12", script, &[profile]) else { return };
    assert_eq!(machine.good(), "unconfined\njail (unconfined)\nunconfined", "{machine:?}");
}

#[test]
fn the_deb_is_installed_used_and_removed() {
    let Some(deb) = package(".deb") else { return };
    let Some(tree) = tree("man-db bash-completion zsh fish apparmor", &deb) else { return };
    let install = "cp /srv/package /tmp/jail.deb && apt-get install -y /tmp/jail.deb";
    let before = listing(&tree);
    tree.inside("", install).good();
    assert_eq!(
        tree.inside("", "dpkg --audit; dpkg --verify jail; dpkg -s jail | grep ^Status").good(),
        "Status: install ok installed"
    );
    used(&tree);

    let manual = tree.inside("", "MAN_DISABLE_SECCOMP=1 MANWIDTH=80 man jail");
    assert!(manual.good().contains("jail [option ...] [--] command"), "{manual:?}");
    let others = tree.inside("", "MAN_DISABLE_SECCOMP=1 MANWIDTH=80 man jail-from");
    assert!(others.good().contains("bwrap"), "{others:?}");
    let documents = tree.inside("", "zcat /usr/share/doc/jail/changelog.gz; cat /usr/share/doc/jail/copyright");
    assert!(documents.good().contains("# Changelog") && documents.out.contains("Rich Felker"));

    // The shells find their scripts by themselves.
    let completed = tree.inside(
        "",
        "bash -c '. /usr/share/bash-completion/bash_completion; _comp_load jail && complete -p jail
            COMP_WORDS=(jail --net \"\") COMP_CWORD=2 COMP_LINE=\"jail --net \" COMP_POINT=11; _jail; echo ${COMPREPLY[*]}
            COMP_WORDS=(jail -- env --nu) COMP_CWORD=3 COMP_LINE=\"jail -- env --nu\" COMP_POINT=16; _jail; echo ${COMPREPLY[*]}'
         zsh -fc 'autoload -U compinit; compinit -D; echo $_comps[jail]; autoload +X _jail && echo loaded'
         HOME=/tmp fish -c 'complete -C \"jail --net \"; complete -C \"jail -- sort --rev\" | cut -f 1'",
    );
    assert_eq!(
        completed.good(),
        "complete -F _jail jail\nnone host pasta\n--null\n_jail\nloaded\nhost\nnone\npasta\n--reverse",
        "{completed:?}"
    );

    // The profile is where AppArmor looks, and AppArmor's own parser takes it.
    let profile = "cd /etc/apparmor.d && readlink jail && apparmor_parser -QKN jail";
    assert_eq!(tree.inside("", profile).good(), "/usr/share/jail/apparmor\njail");
    let compile = "cd /etc/apparmor.d && apparmor_parser -QKS jail >/srv/profile && apparmor_parser -QK --debug jail";
    let compiled = tree.inside("", compile);
    assert!(compiled.good().contains("userns") && compiled.err.contains("Mode: unconfined"), "{compiled:?}");
    loads(&tree.s.0.join("tree/srv/profile"));
    let wrong = tree.inside("", "sed s/userns,/usernss,/ /etc/apparmor.d/jail >/tmp/wrong; apparmor_parser -QK /tmp/wrong");
    assert_ne!(wrong.status, 0, "{wrong:?}");

    tree.inside("", "apt-get purge -y jail; rm /srv/profile").good();
    gone(&tree, &before);

    // Where AppArmor is too old to read it, or is not, there is no profile; when it
    // comes, there is.
    tree.inside("", "mv /etc/apparmor.d/abi/4.0 /srv").good();
    tree.inside("", install).good();
    assert_ne!(tree.inside("", "ls -d /etc/apparmor.d/jail").status, 0);
    tree.inside("", "apt-get purge -y jail && mv /srv/4.0 /etc/apparmor.d/abi").good();
    tree.inside("", "apt-get purge -y apparmor").good();
    tree.inside("", install).good();
    assert_ne!(tree.inside("", "ls -d /etc/apparmor.d/jail").status, 0);
    assert!(tree.installs("apparmor"));
    assert_eq!(tree.inside("", profile).good(), "/usr/share/jail/apparmor\njail");
    // One of the machine's own is left alone.
    tree.inside("", "cd /etc/apparmor.d && rm jail && echo '# ours' >jail && dpkg-reconfigure jail && dpkg -r jail").good();
    assert_eq!(tree.inside("", "cat /etc/apparmor.d/jail").good(), "# ours");
}

#[test]
fn the_rpm_is_installed_used_and_removed() {
    let Some(rpm) = package(".rpm") else { return };
    // Debian's rpm does it, in Debian's tree: of a distribution that has its packages so
    // there is none to be had from Debian's archive. Its plugins would have a script's
    // own namespaces, which no fake root makes.
    let Some(tree) = tree("rpm apparmor", &rpm) else { return };
    tree.inside("", "rpm -qa").good();
    let before = listing(&tree);
    tree.inside("", "cp /srv/package /tmp/jail.rpm && rpm --noplugins --nodeps -i /tmp/jail.rpm").good();
    assert_eq!(tree.inside("", "rpm -V --nodeps jail").good(), "");
    used(&tree);
    let files = tree.inside("", "rpm -ql jail; readlink /etc/apparmor.d/jail; zcat /usr/share/man/man1/jail.1.gz | head -n 2");
    for file in [
        "/usr/bin/jail",
        "/usr/share/man/man1/jail.1.gz",
        "/usr/share/bash-completion/completions/jail",
        "/usr/share/zsh/site-functions/_jail",
        "/usr/share/fish/vendor_completions.d/jail.fish",
        "/usr/share/licenses/jail/LICENSE",
        "/usr/share/licenses/jail/THIRD-PARTY",
        "/usr/share/doc/jail/jail.spdx.json",
        "/usr/share/jail/apparmor\n.Dd ",
    ] {
        assert!(files.good().contains(file), "{file}: {files:?}");
    }
    tree.inside("", "rpm --noplugins -e jail").good();
    gone(&tree, &before);
}

#[test]
fn the_archive_is_unpacked_and_used_where_nothing_else_is() {
    let Some(archive) = package(".tar.gz") else { return };
    let s = Scratch::new();
    let tree = s.tree("tree");
    s.dir("tree/usr/local");
    s.file("unpack", &format!("tar -C tree/usr/local --strip-components=1 -xf {}\n", archive.display()));
    outside_in(&s.0, false, ". ./unpack").good();
    let jailed = "jail --root tree --nested -- /usr/local/bin/jail --proc none --root / -- /bin/sh -c 'echo inside; : >/made'";
    let out = outside_in(&s.0, false, jailed);
    assert_eq!((out.out.as_str(), out.status), ("inside\n", 1), "{out:?}");
    assert!(tree.join("usr/local/share/doc/jail/THIRD-PARTY").exists());
    // In it are the other packages' executable and manual.
    let Some(deb) = package(".deb") else { return };
    let same = format!(
        "mkdir deb && dpkg-deb -x {} deb && cmp deb/usr/bin/jail tree/usr/local/bin/jail && \
         cmp deb/usr/share/man/man1/jail.1.gz tree/usr/local/share/man/man1/jail.1.gz && echo same",
        deb.display()
    );
    assert_eq!(outside_in(&s.0, false, &same).good(), "same");
    let sums = Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(deb.parent().unwrap()).output();
    assert_eq!(Outcome::from(sums.unwrap()).good().lines().filter(|line| line.ends_with(": OK")).count(), 4);
}

#[test]
fn what_is_linked_in_is_listed_with_its_licence() {
    let (Some(bom), Some(deb)) = (package(".spdx.json"), package(".deb")) else { return };
    let script = "import json, sys; d = json.load(open(sys.argv[1])); linked = {r['relatedSpdxElement'] for r in d['relationships'] \
        if r['relationshipType'] == 'STATIC_LINK'}\nfor p in d['packages']:\n    if p['SPDXID'] in linked: \
        print(p['name'], p['versionInfo'] + ':', p['licenseDeclared'])\n    else: print('itself', p['checksums'][0]['checksumValue'])";
    let listed = Command::new("python3").args(["-c", script]).arg(&bom).output().unwrap();
    let listed = Outcome::from(listed);
    let s = Scratch::new();
    let unpack =
        format!("dpkg-deb -x {} deb && sha256sum deb/usr/bin/jail && cat deb/usr/share/doc/jail/copyright", deb.display());
    let unpacked = outside_in(&s.0, false, &unpack);
    let (sum, copyright) = unpacked.good().split_once('\n').unwrap();
    let (own, parts) = listed.good().split_once('\n').unwrap();
    assert_eq!(own.strip_prefix("itself "), sum.split(' ').next());
    // Of the lock file's versions, each that the program itself depends on.
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    for name in ["bitflags", "lexopt", "libc", "linux-raw-sys", "rustix", "seccompiler"] {
        let version = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1).unwrap().split('"').next().unwrap();
        assert!(parts.contains(&format!("{name} {version}: ")), "{name} {version}: {parts}");
    }
    for part in ["Rust standard library ", "musl 1.2", "compiler_builtins ", "hashbrown "] {
        assert!(parts.contains(part), "{part}: {parts}");
    }
    for part in parts.lines() {
        let licence = copyright.split(&format!("\n{part}\n")).nth(1).expect(part).split("\n=====").next().unwrap();
        assert!(licence.len() > 500 && licence.to_lowercase().contains("copyright"), "{part}: {licence}");
    }
}
