//! Slurm starts jails: 200 steps on two nodes of one machine, and what a scheduler sends
//! and wants to know arrives. By root, who alone starts its daemons; the jobs are the
//! user's.

mod support;
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use support::*;

/// In the cluster, in a directory of the user's. Each line is a name and what came of it.
const SCRIPT: &str = r#"
cd "$WORK"
one() { squeue --noheader --name="$1" --format=%A; }
until_there() { for ((i = 0; i < 200; i++)); do [ ! -e "$1" ] || break; sleep 0.1; done; }
until_over() { for ((i = 0; i < 600; i++)); do [ -n "$(one "$1")" ] || break; sleep 0.1; done; }
left() { pgrep --uid "$CLUSTER_USER" --full "^sleep $1" | wc -l; }

# A time limit is looked at twice a minute, so that this one goes first.
as_user sbatch --quiet --job-name=limit --nodes=1 --ntasks=1 --time=1 --output=limit.out \
    --wrap 'srun jail --rw . -- sh -c "touch limit.up; setsid sleep 7771 & sleep 7772"'
until_there limit.up
scontrol update jobid="$(one limit)" EndTime=now+1seconds

# 200 steps of one job on both nodes, each a jail that ends with a status of its own.
cat >step <<'END'
jail --env 'SLURM*' --rw . -- sh -c "echo \$SLURM_STEP_ID \$SLURMD_NODENAME \$(hostname) \$(id -u) >step.$1; exit $(($1 % 90))"
END
cat >steps <<'END'
seq 200 | xargs -P 8 -I @ sh -c 'srun --quiet --exact --nodes=1 --ntasks=1 sh step @ 2>>errors; echo @ $?'
END
as_user salloc --quiet --nodes=2 --ntasks=14 sh steps >statuses
echo "steps $(ls | grep -c '^step\.')"
echo "numbers $(cut -d ' ' -f 1 step.* | sort -u | wc -l)"
echo "nodes $(cut -d ' ' -f 2 step.* | sort -u | xargs)"
echo "inside $(cut -d ' ' -f 3- step.* | sort -u | xargs)"
echo "statuses $(awk '$2 == $1 % 90' statuses | wc -l)"

echo "status $(as_user srun --quiet jail -- sh -c 'exit 7' 2>/dev/null; echo $?)"
echo "killed $(as_user srun --quiet jail -- sh -c 'kill -SEGV $$' 2>/dev/null; echo $?)"
echo "not-found $(as_user srun --quiet jail -- no-such-program 2>/dev/null; echo $?)"
echo "limits $(as_user sh -c 'ulimit -n 77 && srun --quiet jail -- sh -c "ulimit -n"')"
echo "input $(echo given | as_user srun --quiet jail -- cat)"
echo "environment $(as_user env SECRET=s srun --quiet jail -- sh -c 'echo ${SECRET-kept} ${SLURM_JOB_ID-kept}')"

# A signal arrives, once.
as_user sbatch --quiet --job-name=signal --nodes=1 --ntasks=1 --output=signal.out --wrap 'srun jail --rw . -- sh -c "
    trap \"n=x\$n\" USR1; touch signal.up; while [ -z \$n ]; do sleep 0.1; done; sleep 1; echo \$n >signal.got; exit 42"'
until_there signal.up
as_user scancel --signal=USR1 "$(one signal).0"
until_there signal.got
until_over signal
echo "signal $(cat signal.got) $(grep -o 'exit code [0-9]*' signal.out)"

# scancel: the command is told by SIGTERM, and whatever it does is dead after KillWait.
as_user sbatch --quiet --job-name=cancel --nodes=1 --ntasks=1 --output=cancel.out --wrap 'srun jail --rw . -- sh -c "
    trap \"echo told >cancel.told\" TERM; setsid sleep 7773 & touch cancel.up; while :; do sleep 0.1; done"'
until_there cancel.up
echo "before $(left 7773)"
as_user scancel "$(one cancel)"
until_over cancel
echo "cancel $(cat cancel.told) $(left 7773)"

# The recipe, on both nodes.
cp "$RECIPE" recipe && as_user sbatch --quiet --wait --output=recipe.out recipe sh -c 'echo $SLURMD_NODENAME $(hostname) >recipe.$SLURM_PROCID; exit 5'
echo "recipe $? $(cat recipe.[01] | sort | xargs)"

until_over limit
echo "limit $(left 777[12]) $(grep -c 'DUE TO TIME LIMIT' limit.out | sed 's/[1-9].*/told/') $(grep -o 'exit code [0-9]*' limit.out)"
echo "left $(pgrep --uid "$CLUSTER_USER" | wc -l)"
echo "over $(squeue --noheader | wc -l) $(sinfo --noheader --states=down,drain --format=%n | wc -l)"
"#;

#[test]
fn slurm_runs_200_jailed_steps_on_two_nodes() {
    if !we_are_root() {
        return skip("this needs root, who starts Slurm's daemons");
    }
    if ["slurmctld", "slurmd", "munged"].iter().any(|daemon| !Path::new("/usr/sbin").join(daemon).exists()) {
        return skip("slurm-wlm or munge is missing");
    }
    let s = Scratch::new();
    let work = s.dir("work");
    let daemons = s.dir("daemons");
    for dir in [&s.0, &daemons] {
        chown(dir, Some(0), Some(0)).unwrap();
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = s.file("script", SCRIPT);
    let mut cluster = command(Path::new("/usr/bin/timeout"), &s.0, true);
    cluster.args(["--signal=KILL", "180", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/slurm/cluster")]);
    cluster.arg(&daemons).arg(script).env("CLUSTER_USER", USER.to_string()).env("WORK", &work);
    cluster.env("RECIPE", concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/slurm.sbatch"));
    cluster.env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", jail().parent().unwrap().display()));
    let out = outcome(cluster);
    let logs =
        || outside_in(&daemons, true, "tail -n 20 *.log; cat ../work/*.out ../work/errors | sort | uniq -c | head -n 30").out;
    let got: BTreeMap<&str, &str> = out.out.lines().filter_map(|line| line.split_once(' ')).collect();
    let inside = format!("jail {USER}");
    for (name, expected) in [
        ("steps", "200"),
        ("numbers", "200"),
        ("nodes", "n1 n2"),
        ("inside", inside.as_str()),
        ("statuses", "200"),
        ("status", "7"),
        ("killed", "139"),
        ("not-found", "127"),
        ("limits", "77"),
        ("input", "given"),
        ("environment", "kept kept"),
        ("signal", "x exit code 42"),
        ("before", "1"),
        ("cancel", "told 0"),
        ("recipe", "5 n1 jail n2 jail"),
        ("limit", "0 told exit code 143"),
        ("left", "0"),
        ("over", "0 0"),
    ] {
        assert_eq!(got.get(name), Some(&expected), "{name}: {out:#?}\n{}", logs());
    }
    let left = Command::new("pgrep").arg("-f").arg(&daemons).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "nothing is left of the cluster");
}
