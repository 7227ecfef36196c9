//! Programs under the default policy, with the outcome that they have outside: a
//! language's own tests, compilers, machines with compilers of their own, browsers.
//! What a build does with files is in tests/real.rs and tests/landlock.rs, gdb and
//! strace in tests/syscalls.rs.

mod support;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::*;

/// As the user, without a jail.
fn outside_of_it(dir: &Path, script: &str) -> Outcome {
    let mut shell = command(Path::new("/bin/sh"), dir, false);
    shell.args(["-c", script]);
    outcome(shell)
}

/// What a script prints in a directory of the user's is the same inside and outside.
fn same(s: &Scratch, flags: &str, script: &str) -> String {
    let (outside, inside) = (outside_of_it(&s.0, script), sh_in(&s.0, &format!("--rw . {flags}"), script));
    assert_eq!(inside.good(), outside.good(), "{inside:#?}");
    inside.good().to_owned()
}

fn there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        skip(&format!("{program} is missing: tests/run installs it"));
    }
    found
}

/// What CPython is tested by, as far as it has to do with the kernel.
const MODULES: &str = "test_os test_posix test_mmap test_fcntl test_select test_epoll test_poll test_pty test_resource \
    test_tempfile test_shutil test_fork1 test_wait3 test_wait4 test_popen test_thread test_queue test_openpty test_stat \
    test_glob test_fileio test_import test_runpy test_socket test_subprocess";

/// What ends otherwise inside, and why.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "test_os.ChownFileTests.test_chown_without_permission test_subprocess.POSIXProcessTestCase.test_group \
        test_subprocess.POSIXProcessTestCase.test_user",
        "one user id and one group id are mapped: EINVAL and not EPERM for another",
    ),
    (
        "test_socket.GeneralModuleTests.testHostnameRes test_socket.GeneralModuleTests.testSockName",
        "the hostname is the jail's, which no file resolves: skipped",
    ),
    (
        "test_import.ImportTests.test_import \
        test_import.PycacheTests.test___cached__ \
        test_import.PycacheTests.test___cached___legacy_pyc \
        test_import.PycacheTests.test_import_pyc_path \
        test_import.PycacheTests.test_missing_source \
        test_import.PycacheTests.test_missing_source_legacy \
        test_import.PycacheTests.test_package___cached__ \
        test_import.PycacheTests.test_package___cached___from_pyc \
        test_import.PycacheTests.test_recompute_pyc_same_second \
        test_import.PycacheTests.test_unwritable_directory \
        test_runpy.RunModuleTestCase.test_run_module \
        test_runpy.RunModuleTestCase.test_run_module_alter_sys \
        test_runpy.RunModuleTestCase.test_run_module_in_namespace_package \
        test_runpy.RunModuleTestCase.test_run_name \
        test_runpy.RunModuleTestCase.test_run_namespace_package \
        test_runpy.RunModuleTestCase.test_run_namespace_package_in_namespace_package \
        test_runpy.RunModuleTestCase.test_run_package \
        test_runpy.RunModuleTestCase.test_run_package_alter_sys \
        test_runpy.RunModuleTestCase.test_run_package_in_namespace_package",
        "the system is mounted read-only: to remove what is not there, as they do in all of sys.path, gives EROFS and not ENOENT",
    ),
];

/// The outcome of each test, from the report that the tests write.
fn outcomes(report: &Path) -> BTreeMap<String, String> {
    let read = "import sys, xml.etree.ElementTree as tree
for case in tree.parse(sys.argv[1]).iter('testcase'):
    if case.get('name'):
        ends = [part.tag for part in case if part.tag in ('failure', 'error', 'skipped')]
        print(case.get('name').removeprefix('test.'), ends[0] if ends else 'ok')";
    let output = Command::new("python3").args(["-c", read]).arg(report).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(name, end)| (name.to_owned(), end.to_owned())).collect()
}

#[test]
fn pythons_own_tests_end_as_outside() {
    let Some(tests) = input("python-tests") else { return };
    let s = Scratch::new();
    for side in ["outside", "inside"] {
        let dir = s.dir(side);
        assert!(Command::new("cp").arg("-rH").arg(&tests).arg(dir.join("tests")).status().unwrap().success());
        if we_are_root() {
            let owner = format!("{USER}:{USER}");
            assert!(Command::new("chown").arg("-R").arg(owner).arg(&dir).status().unwrap().success());
        }
    }
    // UDP-Lite is no family that there is inside, and a class of tests fails for it.
    let both = |what: &str| {
        let script = format!(
            "rm -f report; PYTHONPATH=$PWD/tests timeout 170 python3 -m test -j3 --timeout 100 -i '*UDPLITE*' --junit-xml report {what} > log 2>&1; true"
        );
        std::thread::scope(|scope| {
            let outside = scope.spawn(|| outside_of_it(&s.0.join("outside"), &script));
            sh_in(&s.0.join("inside"), "--rw .", &script).good();
            outside.join().unwrap().good();
        });
        ["outside", "inside"].map(|side| outcomes(&s.0.join(side).join("report")))
    };
    let differ = |[outside, inside]: &[BTreeMap<String, String>; 2]| -> BTreeSet<String> {
        outside.keys().chain(inside.keys()).filter(|name| outside.get(*name) != inside.get(*name)).cloned().collect()
    };
    let first = both(MODULES);
    let (passed, all) = (first[1].values().filter(|end| *end == "ok").count(), first[1].len());
    assert!(
        passed > 1000 && passed * 10 > all * 7,
        "{passed} of {all} pass: {:?}",
        std::fs::read_to_string(s.0.join("inside/log"))
    );
    // What hangs on time gets a second chance, alone.
    let known = |name: &String| OTHERWISE.iter().any(|(known, _)| known.split_whitespace().any(|known| known == name));
    let mut differing: Vec<String> = differ(&first).into_iter().filter(|name| !known(name)).collect();
    if !differing.is_empty() && differing.len() < 20 {
        let names = differing.iter().map(|name| format!("-m test.{name} ")).collect::<String>();
        let modules: BTreeSet<&str> = differing.iter().filter_map(|name| name.split('.').next()).collect();
        let modules: Vec<&str> = modules.into_iter().collect();
        let again = differ(&both(&format!("{names} {}", modules.join(" "))));
        differing.retain(|name| again.contains(name));
    }
    let ends = |name: &String| format!("{name}: {:?} outside, {:?} inside", first[0].get(name), first[1].get(name));
    assert!(differing.is_empty(), "{:#?}", differing.iter().map(ends).collect::<Vec<_>>());
}

#[test]
fn a_program_with_threads_is_compiled_and_run() {
    let s = Scratch::new();
    s.file(
        "t.c",
        r#"
        #include <pthread.h>
        #include <semaphore.h>
        #include <stdio.h>
        #include <stdatomic.h>
        static atomic_int sum; static sem_t ready; static __thread int own;
        static void *work(void *at) { own = (int)(long)at; sem_wait(&ready); atomic_fetch_add(&sum, own); return NULL; }
        int main(void) {
            pthread_t threads[64]; sem_init(&ready, 0, 0);
            for (long i = 0; i < 64; i++) if (pthread_create(&threads[i], NULL, work, (void *)i)) return 1;
            for (int i = 0; i < 64; i++) sem_post(&ready);
            for (int i = 0; i < 64; i++) pthread_join(threads[i], NULL);
            printf("%d\n", sum); return 0;
        }"#,
    );
    assert_eq!(same(&s, "", "gcc -O2 -pthread -o t t.c && ./t && gcc -O2 -static -pthread -o u t.c && ./u"), "2016\n2016");
    assert_eq!(same(&s, "", "gcc -fsanitize=address -g -pthread -o a t.c 2>/dev/null && ./a || ./t"), "2016");
}

#[test]
fn a_crates_tests_end_as_outside() {
    let (Some(source), Some(rust)) = (input("crate"), input("rust")) else { return };
    let s = Scratch::new();
    assert!(Command::new("cp").arg("-rH").arg(source).arg(s.0.join("crate")).status().unwrap().success());
    let tests = "
#[test]
fn passes() {
    let many: Vec<_> = (0..20).map(|n| std::thread::spawn(move || n)).collect();
    assert_eq!(many.into_iter().map(|thread| thread.join().unwrap()).sum::<i32>(), 190);
    let server = std::net::TcpListener::bind(\"127.0.0.1:0\").unwrap();
    std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
}
#[test]
fn fails() {
    assert_eq!(1, 2);
}
#[test]
fn aborts_alone() {
    let status = std::process::Command::new(\"sh\").args([\"-c\", \"kill -ABRT $$\"]).status().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6));
}
";
    let main = s.0.join("crate/src/main.rs");
    std::fs::write(&main, std::fs::read_to_string(&main).unwrap() + tests).unwrap();
    if we_are_root() {
        assert!(Command::new("chown").arg("-R").arg(format!("{USER}:{USER}")).arg(s.0.join("crate")).status().unwrap().success());
    }
    let rust = rust.display();
    let script = format!(
        "export PATH={rust}/bin:$PATH CARGO_HOME=$PWD/home; cd crate; cargo test --offline 2>&1 | grep -E '^(test |error)' | sort | sed 's/finished in .*//'; rm -rf target"
    );
    let given = same(&s, &format!("--ro {rust}"), &script);
    assert!(
        given.contains("test passes ... ok")
            && given.contains("test fails ... FAILED")
            && given.contains("test aborts_alone ... ok"),
        "{given}"
    );
}

/// Prints a line for each of what servers and build tools do.
const NODE: &str = r#"
const { Worker } = require('worker_threads'), { execFileSync, fork, spawn } = require('child_process');
const fs = require('fs'), net = require('net'), http = require('http'), os = require('os');
const say = (name, value) => console.log(name, value);
if (process.argv[2] === 'child') { process.send('forked'); process.disconnect(); return; }
(async () => {
    const worker = new Worker('require("worker_threads").parentPort.postMessage(21 * 2)', { eval: true });
    say('worker', await new Promise((done) => worker.on('message', done)));
    say('exec', execFileSync('sh', ['-c', 'echo through | cat']).toString().trim());
    say('fork', await new Promise((done) => fork(__filename, ['child']).on('message', done)));
    const killed = spawn('sleep', ['1000']); killed.kill('SIGTERM');
    say('kill', await new Promise((done) => killed.on('exit', (code, signal) => done(signal))));
    const server = http.createServer((request, answer) => answer.end('served ' + request.url)).listen(0, '127.0.0.1');
    await new Promise((done) => server.on('listening', done));
    say('http', await (await fetch(`http://127.0.0.1:${server.address().port}/x`)).text()); server.close(); server.closeAllConnections();
    const unix = net.createServer((socket) => socket.end('unix')).listen('socket');
    await new Promise((done) => unix.on('listening', done));
    say('unix', await new Promise((done) => net.connect('socket').on('data', (data) => done(data.toString())))); unix.close();
    fs.mkdirSync('watched', { recursive: true }); const watcher = fs.watch('watched');
    const seen = new Promise((done) => watcher.once('change', (kind, name) => done(name)));
    fs.writeFileSync('watched/f', 'x'); say('watch', await seen); watcher.close();
    const code = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]);
    say('wasm', (await WebAssembly.instantiate(code)).instance.exports.add(40, 2));
    let hot = 0; for (let i = 0; i < 1e6; i++) hot = (hot + i * 7) % 1000003;
    say('compiled', hot); say('cpus', os.cpus().length > 0); say('random', require('crypto').randomBytes(8).length);
    process.once('SIGUSR2', () => { say('signal', 'USR2'); clearInterval(timer); }); const timer = setInterval(() => {}, 10);
    process.kill(process.pid, 'SIGUSR2');
})();
"#;

#[test]
fn node_works_as_outside() {
    if !there("node") {
        return;
    }
    let s = Scratch::new();
    s.file("t.js", NODE);
    let given = same(&s, "", "node t.js; rm -rf watched socket");
    assert_eq!(given.lines().count(), 12, "{given}");
    assert!(given.contains("wasm 42") && given.contains("watch f"), "{given}");
}

const JAVA: &str = r#"
import java.io.*; import java.net.*; import java.nio.*; import java.nio.channels.*; import java.nio.file.*; import java.util.*;
import java.util.concurrent.*; import java.util.stream.*;
public class T {
    public static void main(String[] words) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(16);
        List<Future<Integer>> many = new ArrayList<>();
        for (int i = 0; i < 64; i++) { final int n = i; many.add(pool.submit(() -> n)); }
        int sum = 0; for (Future<Integer> one : many) sum += one.get(); pool.shutdown();
        System.out.println("threads " + sum);
        Process process = new ProcessBuilder("sh", "-c", "tr a b; exit 3").start();
        process.getOutputStream().write("aa".getBytes()); process.getOutputStream().close();
        System.out.println("process " + new String(process.getInputStream().readAllBytes()) + " " + process.waitFor());
        ServerSocket server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
        Thread serving = new Thread(() -> { try (Socket peer = server.accept()) { peer.getOutputStream().write("served".getBytes()); } catch (IOException e) { e.printStackTrace(); } });
        serving.start();
        try (Socket client = new Socket(InetAddress.getLoopbackAddress(), server.getLocalPort())) { System.out.println("socket " + new String(client.getInputStream().readAllBytes())); }
        serving.join();
        try (FileChannel file = FileChannel.open(Path.of("mapped"), StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            MappedByteBuffer map = file.map(FileChannel.MapMode.READ_WRITE, 0, 4096); map.put(0, (byte) 42); map.force(); System.out.println("mmap " + Files.readAllBytes(Path.of("mapped"))[0]);
        }
        WatchService watch = FileSystems.getDefault().newWatchService(); Path.of(".").register(watch, StandardWatchEventKinds.ENTRY_CREATE);
        Files.createFile(Path.of("new")); System.out.println("watch " + (watch.poll(10, TimeUnit.SECONDS) != null));
        System.out.println("streams " + IntStream.range(0, 1000000).parallel().mapToLong(n -> n % 7).sum());
        Object[] garbage = new Object[1000]; for (int i = 0; i < 1000000; i++) garbage[i % 1000] = new byte[100]; System.gc();
        System.out.println("garbage " + garbage.length);
    }
}
"#;

#[test]
fn java_works_as_outside() {
    if !there("javac") {
        return;
    }
    let s = Scratch::new();
    s.file("T.java", JAVA);
    let given = same(&s, "", "javac T.java && java -Xmx256m T; rm -f mapped new *.class");
    assert_eq!(given.lines().count(), 7, "{given}");
    assert!(given.contains("process bb 3") && given.contains("mmap 42"), "{given}");
}

#[test]
fn a_jail_runs_in_a_jail_in_a_jail() {
    let s = Scratch::new();
    std::fs::copy(jail(), s.0.join("jail")).unwrap();
    s.give(&s.0.join("jail"));
    s.file("secret", "s");
    let nested =
        |outer: &str, inner: &str| outside_of_it(&s.0, &format!("./jail --nested {outer} -- ./jail --proc none {inner}"));
    // A /proc of its own has but the first, of which a part is covered: the kernel lets
    // no other show that. The second passes on what it has, for the third needs one.
    let three = "--nested --rw-bind /proc /proc --hostname two --ro . -- ./jail --proc none --hostname three -- sh -c 'echo $(id -u) $(uname -n); cat secret; ls /tmp; echo x > /tmp/f; exit 7'";
    let out = nested("--ro .", three);
    assert_eq!((out.status, out.out.as_str()), (7, format!("{USER} three\n").as_str()), "{out:?}");
    assert!(out.err.contains("secret: No such file"), "{out:?}");
    // Each can only take away: what the outer one has not cannot be given.
    assert_ne!(nested("--ro .", "--rw . -- touch new").status, 0);
    assert!(!s.0.join("new").exists());
    assert_eq!(nested("--ro .", "--net host -- python3 -c 'import socket; print(socket.if_nameindex())'").good(), "[(1, 'lo')]");
    assert_ne!(nested("--ro . --deny-syscall getppid", "-- python3 -c 'import os; assert os.getppid() == 0'").status, 0);
    // The allowed twin: what it has it can give.
    nested("--rw .", "--rw . -- touch new").good();
    assert!(s.0.join("new").exists());
    // Without --nested there is none inside, and it says why.
    let none = outside_of_it(&s.0, "./jail --ro . -- ./jail --proc none -- true");
    none.refused(&["Operation not permitted", "give that one --nested"]);
}

/// With JAIL_BROWSER, the name of a browser of Chromium's kind; an installed one is large.
#[test]
fn a_browser_keeps_its_own_sandbox() {
    let Some(browser) = std::env::var_os("JAIL_BROWSER").map(PathBuf::from) else { return };
    let s = Scratch::new();
    s.file("page.html", "<p id=p></p><script>p.textContent = 'six times seven is ' + 6 * 7</script>");
    let words = format!(
        "{} --headless --disable-gpu --user-data-dir=/tmp/profile --dump-dom file:///tmp/page/page.html",
        browser.display()
    );
    let page = format!("--ro-bind {} /tmp/page", s.0.display());
    let out = sh_in(&s.0, &format!("--nested {page}"), &words);
    assert!(out.out.contains("six times seven is 42"), "{out:?}");
    // What renders pages has namespaces of its own in the jail's.
    let look = format!(
        "{} & sleep 5; for p in /proc/[0-9]*; do readlink $p/ns/user; done | sort -u | wc -l; kill $!",
        words.replace("--dump-dom", "--remote-debugging-port=0")
    );
    let out = sh_in(&s.0, &format!("--nested {page}"), &look);
    assert!(out.out.trim().parse::<u32>().is_ok_and(|namespaces| namespaces > 1), "{out:?}");
    // Without --nested it finds none of it, and says so.
    let out = sh_in(&s.0, &page, &words);
    assert!(!out.out.contains("42") && out.err.contains("andbox"), "{out:?}");
}
