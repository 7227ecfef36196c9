//! The launcher's own file: the command can neither change it nor execute it, by
//! `/proc/self/exe` or a link like it (CVE-2019-5736). Where Landlock does not keep it
//! away, the launcher runs from a copy in memory.

use crate::support::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A program of the caller's at `bin/jail`, as after unpacking it into ~/.local, and
/// `work`, which the command may write.
struct Place {
    s: Scratch,
    program: PathBuf,
    work: PathBuf,
}

/// What a change of the program would change: mode, owner, times, length, content.
#[derive(Debug, PartialEq, Eq)]
struct Canary([i64; 8], Vec<u8>);

impl Place {
    fn new() -> Self {
        let s = Scratch::new();
        let program = s.dir("bin").join("jail");
        fs::copy(jail(), &program).expect("copy the program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
        s.give(&program);
        let work = s.dir("work");
        Self { s, program, work }
    }

    fn script(&self, name: &str, content: &str) -> PathBuf {
        self.executable(name, content.as_bytes())
    }

    fn executable(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.work.join(name);
        fs::write(&path, content).expect("write a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        self.s.give(&path);
        path
    }

    /// Runs the program in `work` with `flags`, in which BIN, WORK and ALL are directories.
    fn run(&self, flags: &str, command_line: &[&str]) -> Outcome {
        let mut run = command(&self.program, &self.work, false);
        run.args(self.flags(flags)).args(["--rw", "."]).arg("--").args(command_line);
        outcome(run)
    }

    fn flags(&self, flags: &str) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let flags = flags.replace("BIN", &path(self.program.parent().unwrap())).replace("ALL", &path(&self.s.0));
        flags.split_whitespace().map(str::to_owned).collect()
    }

    fn canary(&self) -> Canary {
        let m = fs::metadata(&self.program).expect("the program is there");
        let numbers = [
            m.mode().into(),
            m.uid().into(),
            m.gid().into(),
            m.mtime(),
            m.mtime_nsec(),
            m.ctime(),
            m.ctime_nsec(),
            m.size() as i64,
        ];
        Canary(numbers, fs::read(&self.program).expect("read the program"))
    }
}

/// Each in some way without Landlock's rules for files, or with rules that cover the file.
const FLAGS: [&str; 27] = [
    "--nested",
    "--nested --init none",
    "--nested --pid host",
    "--nested --pid host --proc host",
    "--nested --as-root",
    "--nested --as-root --cap sys_ptrace --cap sys_resource",
    "--nested --fakeroot",
    "--nested --seccomp none",
    "--nested --ro BIN",
    "--nested --ro-bind BIN /shown",
    "--nested --net host --ipc host --cgroup host",
    "--cap sys_admin",
    "--cap sys_admin --init none",
    "--cap sys_admin --as-root --pid host --proc host",
    "--cap sys_admin --nested --ro BIN",
    "--landlock none",
    "--landlock none --init none",
    "--landlock none --pid host --proc host",
    "--landlock none --as-root --seccomp none",
    "--landlock none --ro BIN",
    "--landlock none --root /",
    "--landlock none --degrade namespaces,seccomp",
    "--root /",
    "--root / --pid host --proc host",
    "--rw ALL --ro BIN",
    "--rw ALL --hide BIN",
    "--rw-bind ALL /elsewhere",
];

/// The smallest ELF file whose interpreter is /proc/self/exe.
fn elf() -> Vec<u8> {
    let interpreter = b"/proc/self/exe\0";
    let machine: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let push = |elf: &mut Vec<u8>, numbers: &[(u64, usize)]| {
        numbers.iter().for_each(|(number, size)| elf.extend_from_slice(&number.to_le_bytes()[..*size]));
    };
    // ET_EXEC, version 1, entry 0x400078, program headers behind the 64 bytes of the header.
    push(
        &mut elf,
        &[
            (2, 2),
            (machine.into(), 2),
            (1, 4),
            (0x40_0078, 8),
            (64, 8),
            (0, 8),
            (0, 4),
            (64, 2),
            (56, 2),
            (2, 2),
            (64, 2),
            (0, 2),
            (0, 2),
        ],
    );
    let length = 64 + 2 * 56 + interpreter.len() as u64;
    for (kind, offset, size) in [(3, 64 + 2 * 56, interpreter.len() as u64), (1, 0, length)] {
        let at = 0x40_0000 + offset;
        push(&mut elf, &[(kind, 4), (5, 4), (offset, 8), (at, 8), (at, 8), (size, 8), (size, 8), (0x1000, 8)]);
    }
    elf.extend_from_slice(interpreter);
    elf
}

#[test]
fn a_script_cannot_execute_the_launcher() {
    let p = Place::new();
    symlink("/proc/self/exe", p.work.join("link")).unwrap();
    let work = p.work.display();
    for (name, interpreter) in [
        ("self", "/proc/self/exe".to_owned()),
        ("thread", "/proc/thread-self/exe".to_owned()),
        ("task", "/proc/self/../thread-self/exe".to_owned()),
        ("pid", "/proc/2/exe".to_owned()),
        ("init", "/proc/1/exe".to_owned()),
        ("by-link", format!("{work}/link")),
        ("by-script", format!("{work}/self")),
    ] {
        p.script(name, &format!("#!{interpreter} --version\n"));
    }
    p.executable("elf", &elf());
    p.script("twin", "#!/bin/sh\necho twin\n");
    let before = p.canary();
    for flags in ["", "--as-root", "--init none", "--pid host"].iter().chain(&FLAGS) {
        for attempt in ["./self", "./thread", "./task", "./pid", "./init", "./by-link", "./by-script", "./elf"] {
            let out = p.run(flags, &[attempt]);
            assert_eq!((out.status, out.out.as_str()), (126, ""), "{flags}: {attempt}: {out:#?}");
        }
        assert_eq!(p.run(flags, &["./twin"]).good(), "twin", "{flags}");
        assert_eq!(p.canary(), before, "{flags}");
    }
}

/// Tries to change what every process that can be seen executes.
const CHANGE: &str = r#"
import os
for p in os.listdir("/proc"):
    link = f"/proc/{p}/exe"
    try:
        name = os.readlink(link)
    except OSError:
        continue
    if "jail" not in name:
        continue
    for what, attempt in (
        ("chmod", lambda: os.chmod(link, 0o777)),
        ("times", lambda: os.utime(link, (0, 0))),
        ("xattr", lambda: os.setxattr(link, "user.x", b"1")),
        ("write", lambda: os.open(link, os.O_WRONLY)),
    ):
        try:
            attempt()
            print(what, name)
        except OSError:
            pass
print("tried")
"#;

#[test]
fn the_launchers_file_cannot_be_changed_from_inside() {
    let p = Place::new();
    p.script("change", &format!("#!/usr/bin/python3{CHANGE}"));
    // It has the launcher start the attempt beside a process that executes the launcher.
    let flags =
        "--degrade\nnamespaces,root,net,ipc,userns-limit,hostname,cgroup\n--landlock\nnone\n--seccomp\nnone\n--pid\nhost\n";
    fs::create_dir(p.work.join("sub")).unwrap();
    p.s.give(&p.work.join("sub"));
    p.script("sub/run", &format!("#!/usr/bin/python3{CHANGE}"));
    p.script("flags", &format!("{flags}--rw\n{0}\n--chdir\n{0}/sub\n", p.work.display()));
    p.script("run", "#!/proc/self/exe --args=flags\n");
    let before = p.canary();
    for flags in FLAGS {
        let out = p.run(flags, &["./run"]);
        assert_eq!((out.status, out.out.as_str()), (126, ""), "{flags}: {out:#?}");
        assert_eq!(p.canary(), before, "{flags}");
        assert_eq!(p.run(flags, &["./change"]).good(), "tried", "{flags}");
        assert_eq!(p.canary(), before, "{flags}");
    }
    // The allowed twin: the caller changes it outside.
    fs::set_permissions(&p.program, fs::Permissions::from_mode(0o700)).unwrap();
    assert_ne!(p.canary(), before);
}

#[test]
fn a_program_of_another_user_is_executed_only_where_it_is_shown() {
    let s = Scratch::new();
    let run = s.file("run", "#!/proc/self/exe --version\n");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    let dir = jail().parent().unwrap().to_str().unwrap();
    let attempt = |flags: &str| run_in(&s.0, &format!("{flags} --rw . -- ./run").split_whitespace().collect::<Vec<_>>());
    for flags in ["--nested", "--landlock none", "--cap sys_admin"] {
        assert_eq!(attempt(flags).status, 126, "{flags}: {:#?}", attempt(flags));
        let hidden = format!("{flags} --ro {dir} --noexec {dir}");
        assert_eq!(attempt(&hidden).status, 126, "{hidden}");
        // Where we are root it is root's, and the caller is another.
        if we_are_root() {
            assert!(attempt(&format!("{flags} --ro {dir}")).good().starts_with("jail "), "{flags}");
        }
    }
    if let Some(out) = sh_as_root(&s.0, "--nested --rw .", "echo root") {
        assert_eq!(out.good(), "root");
        let out = outside_in(
            &s.0,
            true,
            "before=$(stat -c %z $(which jail)); chown 0 run; jail --nested --rw . -- ./run; echo $?; [ \"$before\" = \"$(stat -c %z $(which jail))\" ] && echo same",
        );
        assert_eq!(out.good(), "126\nsame");
    }
}

#[test]
fn subordinate_ids_do_not_reach_it() {
    let p = Place::new();
    p.script("run", "#!/proc/self/exe --version\n");
    let before = p.canary();
    let program = p.program.display();
    let script = format!(
        "cd work; for flags in --nested '--landlock none' '--cap sys_admin'; do as_user {program} --subids $flags --rw . -- ./run 2>&1 | grep -c 'may not be executed'; \
         as_user {program} --subids $flags --rw . -- sh -c 'echo twin'; done"
    );
    if let Some(out) = Etc::new(&p.s).run(&script) {
        assert_eq!(out.good(), "1\ntwin\n1\ntwin\n1\ntwin", "{out:#?}");
    }
    assert_eq!(p.canary(), before);
}

#[test]
fn swapping_the_script_while_jail_starts_does_not_help() {
    let p = Place::new();
    p.script("plain", "#!/bin/echo plain\n");
    p.script("hostile", "#!/proc/self/exe --version\n");
    p.script("run", "#!/bin/echo plain\n");
    let swap = "import os\nwhile True:\n  for f in ('hostile', 'plain'):\n    os.link(f, 'new'); os.rename('new', 'run')\n";
    let mut swap_it = command(Path::new("python3"), &p.work, false);
    let mut swapper = swap_it.args(["-c", swap]).stderr(Stdio::null()).spawn().expect("start python3");
    let before = p.canary();
    let mut seen = [0; 2];
    let mut wrong = None;
    for _ in 0..60 {
        let out = p.run("--landlock none", &["./run"]);
        match (out.status, out.out.as_str()) {
            (0, "plain ./run\n") => seen[0] += 1,
            (126, "") => seen[1] += 1,
            _ => wrong = Some(out),
        }
    }
    let _ = swapper.kill();
    let _ = swapper.wait();
    assert!(wrong.is_none(), "{wrong:#?}");
    assert!(seen.iter().all(|count| *count > 0), "both were tried: {seen:?}");
    assert_eq!(p.canary(), before);
}

/// Where a stream was closed, the launcher has the host's `/` open until exec.
#[test]
fn a_closed_stream_leads_to_no_file_of_the_host() {
    let p = Place::new();
    let secret = p.s.file("bin/secret", "#!/bin/sh\necho secret\n");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy("/bin/busybox", p.s.0.join("bin/busybox")).expect("busybox-static is installed");
    p.s.give(&p.s.0.join("bin/busybox"));
    for (fd, closed) in [(0, "<&-"), (1, ">&-"), (2, "2>&-")] {
        p.script("run", &format!("#!/proc/self/fd/{fd}{}/bin/busybox touch\n", p.s.0.display()));
        for flags in
            ["", "--nested", "--landlock none", "--landlock none --init none", "--root / --ro BIN", "--nested --pid host"]
        {
            let line = format!("{} {} --rw . -- ./run made {closed}", p.program.display(), p.flags(flags).join(" "));
            let out = outside_in(&p.work, false, &line);
            assert_eq!(out.status, 126, "{flags} {closed}: {out:#?}");
            assert!(!p.work.join("made").exists(), "{flags} {closed}");
        }
    }
    // The allowed twin: the same program, where it is shown.
    p.script("run", &format!("#!{}/bin/busybox touch\n", p.s.0.display()));
    p.run("--ro BIN", &["./run", "made"]).good();
    assert!(p.work.join("made").exists());
}

#[test]
fn a_jail_starts_in_a_jail_where_it_is_shown() {
    let p = Place::new();
    let program = p.program.to_str().unwrap();
    let before = p.canary();
    for flags in
        ["--nested --ro BIN", "--nested --landlock none --ro BIN", "--nested --as-root --ro BIN", "--nested --init none --ro BIN"]
    {
        for inner in ["--proc none", "--proc none --nested", "--proc none --landlock none"] {
            let line: Vec<&str> = [program].into_iter().chain(inner.split_whitespace()).chain(["--", "echo", "inner"]).collect();
            assert_eq!(p.run(flags, &line).good(), "inner", "{flags}: {inner}");
        }
    }
    assert_eq!(p.canary(), before);
}

#[test]
fn a_launch_from_a_copy_is_like_any_other() {
    let p = Place::new();
    let program = p.program.display();
    let said = |script: &str| {
        let out = outside_in(&p.work, false, &script.replace("JAIL", &format!("{program} --landlock none")));
        out.good().to_owned()
    };
    assert_eq!(
        said("JAIL -- sh -c 'exit 7'; echo $?; JAIL -- sh -c 'kill -9 $$'; echo $?; JAIL -- nothing 2>/dev/null; echo $?"),
        "7\n137\n127"
    );
    // What cannot be read twice is read once.
    assert_eq!(said(r"printf -- '--env\nA=b c\n--nested\n' | JAIL --args - -- sh -c 'echo $A; cat'"), "b c");
    assert_eq!(said(r"printf -- '--env\0A=1\n2\0' | JAIL --args /dev/fd/0 --env B=3 -- sh -c 'echo $A$B'"), "1 23");
    let two = r"mkfifo f; printf -- '--env\nB=2\n' >f & printf -- '--env\nA=1\n' | JAIL --args - --args f -- sh -c 'echo $A$B'";
    assert_eq!(said(two), "12");
    let large = r"for i in 0 1 2 3 4 5 6 7 8 9; do printf '#%0100000d\n--env\nV%d=%d\n' 0 $i $i; done | JAIL --args - -- sh -c 'echo $V0$V9'";
    assert_eq!(said(large), "09");
    assert_eq!(said(r#"JAIL --env A="$(printf '\377')" -- sh -c 'printf %s "$A" | od -An -tx1'"#), " ff");
    // Messages are those of the first start.
    assert_eq!(
        said(
            "printf -- '--rw\n' | JAIL --args - -- true 2>&1 | head -n 1; printf -- '--rw\n/nothing\n' | JAIL --args - -- true 2>&1 | head -n 1"
        ),
        "jail: --rw: read --args -: PATH is missing\njail: --rw /nothing: find the source /nothing: No such file or directory (os error 2)"
    );
    // ps(1) and pkill(1) find it as before; nothing of an --args file is shown there.
    let names = r"printf -- '--env\nA=hunter3\n' >args; JAIL --args args -- sleep 3 & sleep 0.7;
        cat /proc/$!/comm; tr '\0' ' ' </proc/$!/cmdline; kill $!";
    let line = format!("jail\n{program} --landlock none --args args -- sleep 3");
    assert_eq!(said(names).trim_end(), line);
    assert_eq!(said("exec 3<&- ; JAIL -- ls /proc/self/fd | wc -l"), "4");
    // Closed streams stay closed, and no descriptor of the copy is left.
    assert_eq!(said("JAIL -- sh -c 'readlink /proc/self/fd/0 || echo closed' <&-"), "closed");
    assert_eq!(
        said("JAIL --explain=json -- true | grep -c run-from-copy; JAIL --explain=time -- true | grep -c 'sealed copy'"),
        "1\n1"
    );
}

#[test]
fn the_default_launch_makes_no_copy() {
    let p = Place::new();
    let explained = |flags: &str| p.run(&format!("{flags} --explain"), &["true"]).good().contains("sealed copy");
    for flags in ["", "--ro BIN", "--ro ALL", "--as-root", "--cap sys_ptrace --as-root", "--pid host"] {
        assert!(!explained(flags), "{flags}");
    }
    for flags in FLAGS {
        assert!(explained(flags), "{flags}");
    }
}

#[test]
fn without_a_copy_there_is_no_launch() {
    let p = Place::new();
    let limited = outside_in(&p.work, false, &format!("ulimit -f 8; exec {} --nested -- true", p.program.display()));
    limited.refused(&["--nested: run from a sealed copy", "File too large", "ulimit -f"]);
    let soft = format!("ulimit -S -f 8; exec {} --nested -- sh -c 'ulimit -S -f'", p.program.display());
    assert_eq!(outside_in(&p.work, false, &soft).good(), "8");
    if !we_are_root() {
        return skip("the other refusals need root");
    }
    let no_proc = format!(
        "exec unshare -m sh -c 'umount -l /proc; exec setpriv --reuid={USER} --regid={USER} --clear-groups {} --nested -- true'",
        p.program.display()
    );
    outside_in(&p.work, true, &no_proc).refused(&["--nested: run from a sealed copy", "/proc is not mounted here"]);
    if !Path::new("/proc/sys/vm/memfd_noexec").exists() {
        return skip("this kernel has no vm.memfd_noexec (Linux 6.3)");
    }
    // Of a process table of its own, so that no other process is refused anything.
    let noexec = |level: u8| {
        let line = format!(
            "exec unshare --pid --fork --mount-proc sh -c 'echo {level} >/proc/sys/vm/memfd_noexec; setpriv --reuid={USER} --regid={USER} --clear-groups {} --nested -- echo done'",
            p.program.display()
        );
        outside_in(&p.work, true, &line)
    };
    assert_eq!(noexec(1).good(), "done");
    noexec(2).refused(&["--nested: run from a sealed copy", "a kernel setting", "vm.memfd_noexec is 2"]);
}
