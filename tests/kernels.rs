//! Other kernels than this machine's: Debian's 6.1 and 6.12, each booted in a
//! virtual machine of its own.

mod support;
use std::path::Path;
use support::*;

/// What holds on every kernel, as a transcript.
const HOLDS: &str = r#"
uname -r
as-user jail -- true; echo "true: $?"
as-user jail -- sh -c 'exit 7'; echo "exit 7: $?"
as-user jail -- uname -r
as-user jail -- id -u

mkdir -m 777 /usr/open
as-user touch /usr/open/outside; echo "outside: $?"
as-user jail -- touch /usr/open/inside 2>&1; echo "inside: $?"
ls /usr/open

as-user jail --pid host -- true; echo "--pid host: $?"

left='tail -f /dev/null & until pidof tail >/dev/null; do :; done; echo "in it: $(pidof tail | wc -w)"'
as-user sh -c "$left"; echo "after a shell: $(pidof tail | wc -w)"
killall -KILL tail; while pidof tail >/dev/null; do :; done
as-user jail -- sh -c "$left"; echo "after a jail: $(pidof tail | wc -w)"
"#;

fn holds(version: &str) {
    let Some(outcome) = vm(version, HOLDS, &[]) else { return };
    let mut lines = outcome.good().lines();
    let release = lines.next().unwrap();
    assert!(release.starts_with(&format!("{version}.")), "{release}");
    let rest: Vec<&str> = lines.collect();
    assert_eq!(
        rest,
        [
            "true: 0",
            "exit 7: 7",
            release,
            "54321",
            "outside: 0",
            "touch: /usr/open/inside: Read-only file system",
            "inside: 1",
            "outside",
            "--pid host: 0",
            "in it: 1",
            "after a shell: 1",
            "in it: 1",
            "after a jail: 0",
        ],
        "{outcome:#?}"
    );
    assert_eq!(outcome.err, "");
}

fn a_limit_is_named(version: &str) {
    let script = "echo 0 >/proc/sys/user/max_user_namespaces; exec as-user jail -- true";
    if let Some(outcome) = vm(version, script, &[]) {
        outcome.refused(&[
            "make the namespaces",
            "No space left",
            "a kernel setting",
            "user.max_user_namespaces is 0: sysctl -w",
        ]);
        assert_eq!(outcome.out, "");
    }
}

/// Gives the user a group as systemd does, and puts the rest of the script into it
/// as the user.
const DELEGATED: &str = r#"
cd /sys/fs/cgroup
echo '+memory +pids +cpu' >cgroup.subtree_control
mkdir user
chown tester:tester user user/cgroup.procs user/cgroup.threads user/cgroup.subtree_control
echo $$ >user/cgroup.procs
exec as-user sh -euc "$(cat <<'END'
"#;

/// Runs the script as the user, in the delegated group, which is ./user. What the
/// script needs of single quotes and lines is kept; END alone in a line ends it.
fn delegated(version: &str, script: &str, files: &[&Path]) -> Option<Outcome> {
    vm(version, &format!("{DELEGATED}{script}\nEND\n)\""), files)
}

/// What tests of limits stand on: the user may make groups, go into them and limit them.
fn a_delegated_group(version: &str) {
    let script = r#"
        cat user/cgroup.controllers
        cat /proc/self/cgroup
        mkdir user/child
        echo $$ >user/child/cgroup.procs
        cat /proc/self/cgroup
        # Only a group whose processes are all in children may limit them.
        echo '+memory +pids +cpu' >user/cgroup.subtree_control
        echo 8M >user/child/memory.max
        echo '50000 100000' >user/child/cpu.max
        cat user/child/memory.max user/child/cpu.max
        # The shell itself: it can start nothing more.
        echo 1 >user/child/pids.max
        (true) || echo not reached
    "#;
    let Some(outcome) = delegated(version, script, &[]) else { return };
    assert_eq!(outcome.out, "cpu memory pids\n0::/user\n0::/user/child\n8388608\n50000 100000\n", "{outcome:#?}");
    assert!(outcome.status != 0 && outcome.err.contains("can't fork: Resource temporarily unavailable"), "{outcome:#?}");
}

macro_rules! on {
    ($name:ident, $version:literal) => {
        mod $name {
            #[test]
            fn holds() {
                super::holds($version);
            }

            #[test]
            fn a_limit_is_named() {
                super::a_limit_is_named($version);
            }

            #[test]
            fn a_delegated_group() {
                super::a_delegated_group($version);
            }
        }
    };
}
on!(linux_6_1, "6.1");
on!(linux_6_12, "6.12");
