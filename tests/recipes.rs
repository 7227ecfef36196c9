//! The recipes do what their heads say, by the real tools: make, cargo, npm, pip, git,
//! systemd-analyze, buildah; CI's files by what they would run. Each is seen to do its
//! work, and to keep from what it runs what it should.

#[path = "support/filter.rs"]
mod filter;
mod support;
use filter::CONTAINER;
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use support::*;

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn program(s: &Scratch, path: &str, content: &str) -> PathBuf {
    // A process that another test makes meanwhile has a copy of each descriptor of this one
    // until its exec, and the kernel executes no file that is open for writing (ETXTBSY): cp
    // writes the file.
    let part = s.file(&format!("{path}.part"), content);
    let at = s.0.join(path);
    assert!(Command::new("cp").args([&part, &at]).status().unwrap().success());
    fs::remove_file(part).unwrap();
    s.give(&at);
    fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
    at
}

/// The recipe, where the user can read it.
fn recipe(s: &Scratch, name: &str, to: &str) -> PathBuf {
    program(s, to, &text(&format!("recipes/{name}")))
}

fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\" >&2", program]).output().unwrap().status.success();
    if !found {
        skip(&format!("{program} is missing"));
    }
    found
}

/// Serves `files` by their paths on a port of the loopback, and remembers who was asked
/// for: what a registry does.
fn serve(files: impl FnOnce(u16) -> HashMap<String, Vec<u8>>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (files, asked) = (files(port), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut request = String::new();
            let _ = reader.read_line(&mut request);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let (status, body) = files.get(&path).map_or(("404 Not Found", &b""[..]), |body| ("200 OK", &body[..]));
            let kind = if path.ends_with('/') { "text/html" } else { "application/octet-stream" };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            log.lock().unwrap().push(path);
        }
    });
    (port, asked)
}

#[test]
fn make_jails_every_line() {
    let s = Scratch::new();
    recipe(&s, "Makefile", "work/Makefile");
    s.file("secret", "secret");
    let probe = "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { return system(\"cat ../secret; touch ../made /etc/made; rm -rf .git; hostname >name\") == -1; }\n";
    s.file("work/hello.c", probe);
    s.file("work/.git/config", "kept");
    s.file("work/deeper/Makefile", "all:\n\thostname >name\n");
    outside_in(&s.0.join("work"), false, "make -j2 CC=gcc all deeper 2>&1").good();
    assert_eq!(fs::read_to_string(s.0.join("work/name")).unwrap(), "jail\n");
    assert!(!s.0.join("made").exists() && s.0.join("work/.git/config").exists());
    let host = outside_in(&s.0, false, "hostname");
    assert_eq!(fs::read_to_string(s.0.join("work/deeper/name")).unwrap().trim_end(), host.good());
    // A line that fails is make's failure; and what it could not see it did not print.
    s.file("work/hello.c", "int main(void) { return 7; }\n");
    let out = outside_in(&s.0.join("work"), false, "make CC=gcc 2>&1");
    assert!(out.status == 2 && out.out.contains("Error 7") && !out.out.contains("secret\n"), "{out:#?}");
    // The line that names a host has the flags for it.
    let fetch = outside_in(&s.0.join("work"), false, "make -n fetch");
    assert!(fetch.good().contains("curl") && text("recipes/Makefile").contains("--reach example.org:443"), "{fetch:#?}");
}

/// A program in Rust that says what it can do to the outside.
fn tries(secret: &Path, port: u16) -> String {
    format!(
        "let got = [
            (\"secret\", std::fs::read({secret:?}).is_ok()),
            (\"source\", std::fs::write(\"src/made\", \"x\").is_ok()),
            (\"network\", std::net::TcpStream::connect((\"127.0.0.1\", {port})).is_ok()),
            (\"variable\", std::env::var_os(\"SECRET\").is_some()),
        ];
        let got: Vec<&str> = got.iter().filter(|(_, got)| *got).map(|(name, _)| *name).collect();"
    )
}

#[test]
fn cargo_builds_and_runs_in_jails() {
    let Some(rust) = input("rust") else { return };
    let s = Scratch::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let tries = tries(&s.file("secret", "s"), server.local_addr().unwrap().port());
    s.file("crate/Cargo.toml", "[package]\nname = \"tried\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    s.file("crate/Cargo.lock", "version = 3\n\n[[package]]\nname = \"tried\"\nversion = \"1.0.0\"\n");
    let out = "std::path::Path::new(&std::env::var_os(\"OUT_DIR\").unwrap()).join(\"got\")";
    s.file("crate/build.rs", &format!("fn main() {{ {tries} std::fs::write({out}, got.join(\" \")).unwrap(); }}"));
    let main = format!(
        "fn main() {{ {tries} println!(\"build: {{}}; run: {{}}\", include_str!(concat!(env!(\"OUT_DIR\"), \"/got\")), got.join(\" \")); }}
        #[test] fn in_a_jail() {{ {tries} assert!(got.is_empty()); }}"
    );
    s.file("crate/src/main.rs", &main);
    recipe(&s, "cargo-build", "cargo-build");
    let env = format!("export REACH= CARGO_HOME=$PWD/../cargo PATH={}:$PATH\n", rust.join("bin").display());
    let run = |script: &str| outside_in(&s.0.join("crate"), false, &format!("{env}{script}"));
    let all = "secret source network variable";
    assert_eq!(run("cargo run --quiet").good(), format!("build: {all}; run: {all}"), "without jails all is to be had");
    run("rm -rf target src/made; mkdir ../cargo; ../cargo-build --quiet").good();
    assert_eq!(run("./target/debug/tried").good(), format!("build: ; run: {all}"));
    fs::remove_file(s.0.join("crate/src/made")).unwrap();
    s.file("crate/.cargo/config.toml", &text("recipes/cargo-config.toml"));
    assert_eq!(run("cargo run --quiet").good(), "build: ; run:");
    let tested = run("RUST_BACKTRACE=1 cargo test --quiet");
    assert!(tested.good().contains("1 passed"), "{tested:#?}");
}

#[test]
fn cargo_fetches_from_the_registry_alone() {
    let Some(rust) = input("rust") else { return };
    let s = Scratch::new();
    s.file("dep-1.0.0/Cargo.toml", "[package]\nname = \"dep\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    s.file("dep-1.0.0/src/lib.rs", "pub const WORD: u32 = 42;\n");
    let sum = outside_in(&s.0, false, "tar -czf dep.crate dep-1.0.0 && sha256sum dep.crate");
    let sum = sum.good().split(' ').next().unwrap();
    let (port, asked) = serve(|port| {
        let entry = format!(r#"{{"name":"dep","vers":"1.0.0","deps":[],"cksum":"{sum}","features":{{}},"yanked":false}}"#);
        HashMap::from([
            ("/config.json".to_owned(), format!(r#"{{"dl":"http://index.test:{port}/dl"}}"#).into_bytes()),
            ("/3/d/dep".to_owned(), entry.into_bytes()),
            ("/dl/dep/1.0.0/download".to_owned(), fs::read(s.0.join("dep.crate")).unwrap()),
        ])
    });
    let config = format!(
        "[source.crates-io]\nreplace-with = \"double\"\n[source.double]\nregistry = \"sparse+http://index.test:{port}/\"\n"
    );
    s.file("cargo/config.toml", &config);
    s.file(
        "crate/Cargo.toml",
        "[package]\nname = \"uses\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\ndep = \"1\"\n",
    );
    s.file(
        "crate/Cargo.lock",
        &format!("version = 3\n\n[[package]]\nname = \"dep\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{sum}\"\n\n[[package]]\nname = \"uses\"\nversion = \"1.0.0\"\ndependencies = [\n \"dep\",\n]\n"),
    );
    s.file("crate/src/main.rs", "fn main() { println!(\"{}\", dep::WORD); }\n");
    recipe(&s, "cargo-build", "cargo-build");
    let script = format!(
        "export REACH=index.test:{port}=127.0.0.1:{port} CARGO_HOME=$PWD/../cargo CONFIG=../cargo/config.toml PATH={}:$PATH\n../cargo-build && ./target/debug/uses",
        rust.join("bin").display()
    );
    assert_eq!(outside_in(&s.0.join("crate"), false, &script).good(), "42");
    assert!(asked.lock().unwrap().contains(&"/dl/dep/1.0.0/download".to_owned()), "{asked:?}");
}

#[test]
fn npm_fetches_without_scripts_and_installs_without_network() {
    if !has("npm") || !has("node") {
        return;
    }
    let s = Scratch::new();
    s.file("package/package.json", r#"{"name":"dep","version":"1.0.0","scripts":{"install":"node probe.js"}}"#);
    let probe = "const fs = require('fs'), net = require('net'), said = [];
for (const [name, f] of [['secret', () => fs.readFileSync(process.env.INIT_CWD + '/../secret')], ['source', () => fs.writeFileSync(process.env.INIT_CWD + '/made', 'x')]])
    try { f(); said.push(name); } catch {}
const socket = net.connect(Number(require('./port').port), 'registry.test');
const end = (word) => { fs.writeFileSync('said', [...said, word].join(' ')); process.exit(); };
socket.on('connect', () => end('network')).on('error', () => end('no network'));\n";
    s.file("package/probe.js", probe);
    s.file("secret", "s");
    let (port, asked) = serve(|port| {
        s.file("package/port.js", &format!("exports.port = {port};"));
        outside_in(&s.0, false, "tar -czf dep.tgz package").good();
        let sum = outside_in(
            &s.0,
            false,
            "node -e 'console.log(require(\"crypto\").createHash(\"sha512\").update(require(\"fs\").readFileSync(\"dep.tgz\")).digest(\"base64\"))'",
        );
        let (url, sum) = (format!("http://registry.test:{port}/dep/-/dep-1.0.0.tgz"), format!("sha512-{}", sum.good()));
        s.file("work/package.json", r#"{"name":"work","version":"1.0.0","dependencies":{"dep":"1.0.0"}}"#);
        s.file(
            "work/package-lock.json",
            &format!(
                r#"{{"name":"work","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{{
            "":{{"name":"work","version":"1.0.0","dependencies":{{"dep":"1.0.0"}}}},
            "node_modules/dep":{{"version":"1.0.0","resolved":"{url}","integrity":"{sum}","hasInstallScript":true}}}}}}"#
            ),
        );
        let packument = format!(
            r#"{{"name":"dep","dist-tags":{{"latest":"1.0.0"}},"versions":{{"1.0.0":{{"name":"dep","version":"1.0.0","dist":{{"tarball":"{url}","integrity":"{sum}"}}}}}}}}"#
        );
        HashMap::from([
            ("/dep".to_owned(), packument.into_bytes()),
            ("/dep/-/dep-1.0.0.tgz".to_owned(), fs::read(s.0.join("dep.tgz")).unwrap()),
        ])
    });
    recipe(&s, "npm-install", "npm-install");
    let env = format!("REGISTRY=http://registry.test:{port}/ REACH=registry.test:{port}=127.0.0.1:{port}");
    let out = outside_in(&s.0.join("work"), false, &format!("{env} ../npm-install 2>&1"));
    let said = fs::read_to_string(s.0.join("work/node_modules/dep/said"));
    assert!(out.status == 0 && said.as_ref().is_ok_and(|said| said == "no network"), "{said:?} {out:#?}");
    assert!(asked.lock().unwrap().contains(&"/dep/-/dep-1.0.0.tgz".to_owned()), "{asked:?}");
    assert!(!s.0.join("work/made").exists());
}

#[test]
fn pip_fetches_from_the_index_alone_and_installs_without_network() {
    let s = Scratch::new();
    if !outside_in(&s.0, false, "python3 -c 'import venv, ensurepip'").err.is_empty() {
        return skip("python3-venv is missing");
    }
    let wheel = "import zipfile
wheel = zipfile.ZipFile('dep-1.0-py3-none-any.whl', 'w')
wheel.writestr('dep.py', 'word = 42')
info = 'dep-1.0.dist-info/'
wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: dep\\nVersion: 1.0\\n')
wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: hand\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
wheel.writestr(info + 'RECORD', 'dep.py,,\\n' + ''.join(info + name + ',,\\n' for name in ('METADATA', 'WHEEL', 'RECORD')))
wheel.close()";
    s.file("wheel.py", wheel);
    outside_in(&s.0, false, "python3 wheel.py").good();
    let wheel = fs::read(s.0.join("dep-1.0-py3-none-any.whl")).unwrap();
    let page =
        b"<!DOCTYPE html><html><body><a href=\"/files/dep-1.0-py3-none-any.whl\">dep-1.0-py3-none-any.whl</a></body></html>"
            .to_vec();
    let source = b"<!DOCTYPE html><html><body><a href=\"/files/source-1.0.tar.gz\">source-1.0.tar.gz</a></body></html>".to_vec();
    // Whose setup.py runs as soon as it is fetched, if it is.
    let ran = s.0.join("work/wheels/ran");
    s.file(
        "source-1.0/setup.py",
        &format!("open({ran:?}, 'w')\nimport setuptools\nsetuptools.setup(name='source', version='1.0')\n"),
    );
    outside_in(&s.0, false, "tar -czf source-1.0.tar.gz source-1.0").good();
    let tarball = fs::read(s.0.join("source-1.0.tar.gz")).unwrap();
    let (port, asked) = serve(|_| {
        HashMap::from([
            ("/files/source-1.0.tar.gz".to_owned(), tarball),
            ("/simple/dep/".to_owned(), page),
            ("/simple/source/".to_owned(), source),
            ("/files/dep-1.0-py3-none-any.whl".to_owned(), wheel),
        ])
    });
    s.file("work/requirements.txt", "dep==1.0\n");
    recipe(&s, "pip-install", "pip-install");
    let env = format!("INDEX=http://index.test:{port}/simple TRUST=index.test REACH=index.test:{port}=127.0.0.1:{port}");
    let run = || {
        outside_in(
            &s.0.join("work"),
            false,
            &format!("{env} ../pip-install 2>&1 && venv/bin/python -c 'import dep; print(dep.word)'"),
        )
    };
    let out = run();
    assert!(out.good().ends_with("\n42"), "{out:#?}");
    let fetched = asked.lock().unwrap().iter().filter(|path| path.ends_with(".whl")).count();
    assert_eq!(fetched, 1, "{asked:?}");
    // What would have to be built is refused, and another index is not reached.
    s.file("work/requirements.txt", "source\n");
    assert_eq!(run().status, 1);
    assert!(!ran.exists());
    s.file("work/requirements.txt", &format!("--extra-index-url http://127.0.0.1:{port}/other\ndep==3.0\n"));
    assert_eq!(run().status, 1);
    assert!(!asked.lock().unwrap().iter().any(|path| path.starts_with("/other")), "{asked:?}");
}

#[test]
fn a_repositorys_hooks_are_jailed() {
    if !has("git") {
        return;
    }
    let s = Scratch::new();
    s.file("secret", "s");
    recipe(&s, "git-hook", "hooks/pre-commit");
    recipe(&s, "git-hook", "hooks/commit-msg");
    let hook = "#!/bin/sh\ngit diff --cached --name-only >seen\ncat ../secret >>seen\necho x >>.git/config\necho \"${SECRET-no}\" >>seen\nexit 0\n";
    program(&s, "repo/.githooks/pre-commit", hook);
    program(&s, "repo/.githooks/commit-msg", "#!/bin/sh\ngrep -q '^good' \"$1\"\n");
    let config = "export GIT_CONFIG_GLOBAL=$PWD/../config\ngit config --global user.name t; git config --global user.email t@localhost; git config --global core.hooksPath \"$PWD/../hooks\"\n";
    let run = |script: &str| outside_in(&s.0.join("repo"), false, &format!("{config}{script}"));
    run("git init -q && cp .git/config ../before && echo x >file && git add file && git commit -qm 'good one'").good();
    assert_eq!(fs::read_to_string(s.0.join("repo/seen")).unwrap(), "file\nno\n");
    assert_eq!(fs::read(s.0.join("repo/.git/config")).unwrap(), fs::read(s.0.join("before")).unwrap());
    // What a hook says counts.
    assert_eq!(run("echo y >file && git commit -qam 'bad one'").status, 1);
}

#[test]
fn crontab_lines_run_as_cron_runs_them() {
    let s = Scratch::new();
    s.dir("reports");
    s.dir("mirror");
    program(&s, "mirror/update", "#!/bin/sh\ntouch \"$HOME/mirror/updated\" \"$HOME/no\"\n");
    let mut count = 0;
    for line in text("recipes/crontab").lines() {
        let fields: Vec<&str> = line.splitn(6, ' ').collect();
        if fields.len() < 6 || line.starts_with('#') {
            continue;
        }
        // Its host is not here.
        let job = fields[5].replace(" --reach example.org:443", "").replace("jail ", &format!("{} ", jail().display()));
        let mut cron = command(Path::new("/bin/sh"), &s.0, false);
        cron.env_clear()
            .env("HOME", &s.0)
            .env("LOGNAME", "tester")
            .env("SHELL", "/bin/sh")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin");
        cron.args(["-c", &job]);
        let _ = outcome(cron);
        count += 1;
    }
    assert_eq!(count, 2);
    assert!(fs::read_to_string(s.0.join("reports/logs")).unwrap().trim().parse::<u32>().is_ok());
    assert!(s.0.join("mirror/updated").exists() && !s.0.join("no").exists());
}

#[test]
fn the_unit_is_good_and_what_it_starts_is_jailed() {
    if !has("systemd-analyze") {
        return;
    }
    let s = Scratch::new();
    let unit = text("recipes/worker.service").replace("/usr/bin/jail", jail().to_str().unwrap());
    s.file("worker.service", &unit);
    let out = Command::new("systemd-analyze").arg("verify").arg(s.0.join("worker.service")).output().unwrap();
    let out = Outcome::from(out);
    assert!(out.status == 0 && !out.err.contains("worker.service"), "{out:#?}");
    s.dir("state");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    // No systemd that gives a cgroup, and another command.
    let (flags, _) = line.split_once(" -- ").unwrap();
    let flags = flags.replace("--memory 512m --tasks 64 ", "").replace("127.0.0.7:8080", "127.0.0.7:0:8080");
    let tried = outside_in(
        &s.0,
        false,
        &format!("export STATE_DIRECTORY=$PWD/state\n{flags} -- sh -c 'echo x >state; pwd; touch /etc/x 2>&-; ls ..'"),
    );
    assert!(s.0.join("state/state").exists() && tried.good().ends_with("/state\nstate"), "{tried:#?}");
    // None of what would keep jail from its work is set.
    for setting in
        ["RestrictNamespaces=", "PrivateUsers=", "ProtectProc=", "ProcSubset=", "ProtectKernelTunables=", "SystemCallFilter="]
    {
        assert!(!unit.lines().any(|line| line.starts_with(setting)), "{setting}");
    }
}

/// What a YAML file says, in a shell script: `python` prints it, with the file as `y`.
fn yaml(s: &Scratch, file: &str, python: &str) -> String {
    s.file("read.py", &format!("import yaml, shlex, json\ny = yaml.safe_load(open('read.yaml'))\n{python}"));
    s.file("read.yaml", &text(file));
    outside_in(&s.0, false, "python3 read.py").good().to_owned()
}

/// A release's tarball, and its sum.
fn release(s: &Scratch) -> String {
    s.dir("jail-0.1.0-x86_64-linux/bin");
    fs::copy(jail(), s.0.join("jail-0.1.0-x86_64-linux/bin/jail")).unwrap();
    let out = outside_in(
        &s.0,
        false,
        "tar -czf jail-0.1.0-x86_64-linux.tar.gz jail-0.1.0-x86_64-linux && sha256sum *.tar.gz && rm -r jail-0.1.0-x86_64-linux",
    );
    out.good().split(' ').next().unwrap().to_owned()
}

const PYTHON_YAML: &str = "python3-yaml is missing";

#[test]
fn gitlabs_jobs_run_their_scripts() {
    let s = Scratch::new();
    if outside_in(&s.0, false, "python3 -c 'import yaml'").status != 0 {
        return skip(PYTHON_YAML);
    }
    let sum = release(&s);
    s.file("secret", "s");
    s.file(
        "project/Makefile",
        "test:\n\techo \"$${CI_JOB_TOKEN-no token}\"; cat ../secret .git/config; touch ../made; echo tested | tee result\n",
    );
    s.file("project/.git/config", "url = https://gitlab-ci-token:hunter2@example.org/project.git\n");
    for (job, contained) in [("test", false), ("test-in-docker", true)] {
        let script = yaml(
            &s,
            "recipes/gitlab-ci.yml",
            &format!(
                "job = y['{job}']\nfor k, v in y['variables'].items(): print(f'export {{k}}={{shlex.quote(v)}}')\nprint('\\n'.join(job['before_script']))\nprint('\\n'.join(job['script']))"
            ),
        );
        let variables = script
            .replace("'the sum of jail-0.1.0-x86_64-linux.tar.gz, from SHA256SUMS'", &sum)
            .replace("https://example.org/jail", &format!("file://{}", s.0.display()));
        // The user here is no root who could become one.
        let script = format!(
            "set -e\nexport CI_JOB_TOKEN=token CI_BUILDS_DIR={0} TMPDIR={0}\nchown() {{ :; }}\nsetpriv() {{ while case $1 in -*) ;; *) false ;; esac; do shift; done; \"$@\"; }}\n{variables}",
            s.0.display()
        );
        let mut shell = match contained {
            true => CONTAINER.around(Path::new("/bin/bash"), &s.0.join("project")),
            false => command(Path::new("/bin/bash"), &s.0.join("project"), false),
        };
        shell.args(["-c", &script]);
        let out = outcome(shell);
        assert!(out.out.contains("no token") && !s.0.join("made").exists() && out.out.contains("tested\n"), "{job}: {out:#?}");
        assert!(!out.out.contains("hunter2"), "{job}: {out:#?}");
        // Without namespaces .git could be changed: there the job has a copy.
        assert_eq!(s.0.join("project/result").exists(), !contained, "{job}");
        let _ = fs::remove_file(s.0.join("project/result"));
        assert_eq!(out.out.contains("\"degraded\":[\"namespaces\""), contained, "{job}: {out:#?}");
        // Another tarball is not taken.
        let mut shell = command(Path::new("/bin/bash"), &s.0.join("project"), false);
        shell.args(["-c", &script.replace(&sum, &sum.chars().rev().collect::<String>())]);
        assert!(outcome(shell).status != 0 && !s.0.join("project/result").exists(), "{job}");
    }
}

#[test]
fn the_github_action_installs_and_tries_it() {
    let s = Scratch::new();
    if outside_in(&s.0, false, "python3 -c 'import yaml'").status != 0 {
        return skip(PYTHON_YAML);
    }
    let sum = release(&s);
    s.dir("bin");
    s.file("setting", "1\n");
    s.file("packaging/apparmor/jail", "profile\n");
    // What root does here is told, where it is not in the scratch directory.
    program(&s, "stubs/sudo", "#!/bin/sh\ncase $* in *apparmor*) echo \"$@\" >>\"$LOG\";; *) exec \"$@\";; esac\n");
    let steps = yaml(
        &s,
        "action.yml",
        &format!(
            "values = {{'inputs.version': '0.1.0', 'inputs.sha256': '{sum}', 'inputs.from': 'file://{dir}', 'inputs.into': '{dir}/bin', 'github.action_path': '{dir}', 'github.action_repository': 'o/jail', 'github.server_url': 'https://github.com'}}
assert y['runs']['using'] == 'composite' and set(y['inputs']) == {{'version', 'sha256', 'from', 'into'}}
for step in y['runs']['steps']:
    assert step['shell'] == 'bash' and '${{{{' not in step['run'], 'no expression in a script: it would be a hole'
    for k, v in step['env'].items(): print(f'export {{k}}=' + shlex.quote(values[v[4:-3]] if v.startswith('$') else v))
    print('bash --noprofile --norc -eo pipefail -c ' + shlex.quote(step['run'].replace('$SETTING', '{dir}/setting')))",
            dir = s.0.display()
        ),
    );
    let out = outside_in(
        &s.0,
        false,
        &format!("set -e\nexport LOG=$PWD/log PATH=$PWD/stubs:$PATH\n{steps}\nbin/jail -- echo installed"),
    );
    assert!(out.good().ends_with("installed"), "{out:#?}");
    let log = fs::read_to_string(s.0.join("log")).unwrap();
    assert!(log.contains("packaging/apparmor/jail /etc/apparmor.d/jail\napparmor_parser --replace"), "{log}");
    fs::remove_file(s.0.join("bin/jail")).unwrap();
    let other = steps.replace(&sum, &sum.chars().rev().collect::<String>());
    assert!(outside_in(&s.0, false, &format!("set -e\nexport LOG=$PWD/log PATH=$PWD/stubs:$PATH\n{other}")).status != 0);
    assert!(!s.0.join("bin/jail").exists());
    // And the workflow gives it what it takes.
    let with = yaml(
        &s,
        "recipes/github-workflow.yml",
        "print(*sorted(y['jobs']['test']['steps'][1]['with']), y['jobs']['test']['steps'][2]['run'])",
    );
    assert!(with.starts_with("sha256 version jail --rw . "), "{with}");
}

#[test]
fn the_kubernetes_job_runs_as_its_runtime_lets_it() {
    let s = Scratch::new();
    if outside_in(&s.0, false, "python3 -c 'import yaml'").status != 0 {
        return skip(PYTHON_YAML);
    }
    let words = yaml(
        &s,
        "recipes/kubernetes.yaml",
        "pod = y['spec']['template']['spec']
c = pod['containers'][0]
security = c['securityContext']
assert security['runAsNonRoot'] and not security['allowPrivilegeEscalation'] and security['capabilities'] == {'drop': ['ALL']}
assert security['seccompProfile'] == {'type': 'RuntimeDefault'}
print(json.dumps(c['command'] + c['args']))",
    );
    s.dir("work");
    let words = words.replace("/work", s.0.join("work").to_str().unwrap());
    let mut words = words.trim_matches(['[', ']']).split("\", \"").map(|word| word.trim_matches('"').to_owned());
    assert_eq!(words.next().unwrap(), "jail");
    let mut pod = CONTAINER.around(jail(), &s.0.join("work"));
    pod.args(words);
    outcome(pod).good();
    assert_eq!(fs::read_to_string(s.0.join("work/result")).unwrap(), "done\n");
}

/// As in a pod, where a signal whose action is the default would be lost.
#[test]
fn as_process_1_it_is_told_to_end_and_returns_the_commands_status() {
    let s = Scratch::new();
    let script = "unshare --user --map-current-user --pid --fork --kill-child jail --degrade proc --rw . -- sh -c '
    trap \"exit 9\" TERM; touch up; while :; do sleep 0.1; done' &
outer=$!
for i in $(seq 200); do [ ! -e up ] || break; sleep 0.1; done
inner=$(pgrep -P $outer)
grep NSpid /proc/$inner/status | cut -f 3
kill -TERM $inner
wait $outer
echo $?";
    assert_eq!(outside_in(&s.0, false, script).good(), "1\n9");
}

/// By root, as nobody else can build images on every machine: buildah, in the two ways
/// that it isolates a step.
#[test]
fn an_images_build_step_is_jailed() {
    if !we_are_root() {
        return skip("this needs root");
    }
    if !has("buildah") || !has("runc") {
        return;
    }
    let s = Scratch::new();
    s.tree("base");
    fs::set_permissions(s.dir("base/etc"), fs::Permissions::from_mode(0o777)).unwrap();
    s.dir("base/usr/bin");
    program(
        &s,
        "base/bin/make",
        "#!/bin/sh\necho made >made\ntouch /etc/made && echo escaped >>made\ntouch /src/../made && echo escaped >>made\nexit 0\n",
    );
    s.file("context/src/Makefile", "");
    fs::copy(jail(), s.0.join("context/jail")).unwrap();
    s.file("context/Containerfile", &text("recipes/Containerfile"));
    s.file(
        "storage.conf",
        &format!("[storage]\ndriver = \"vfs\"\nrunroot = \"{0}/run\"\ngraphroot = \"{0}/images\"\n", s.0.display()),
    );
    let script = "export CONTAINERS_STORAGE_CONF=$PWD/storage.conf BUILDAH_RUNTIME=/usr/sbin/runc
base=$(buildah from scratch) && buildah copy -q $base base / >&2 && buildah commit -q $base localhost/base >&2 || exit
for isolation in chroot oci; do
    buildah build -q --isolation $isolation --network host --build-arg BASE=localhost/base --tag built context >&2 || exit
    built=$(buildah from localhost/built) && mounted=$(buildah mount $built) && cat $mounted/src/made || exit
    test -e $mounted/etc/made -o -e $mounted/made || echo alone
    buildah umount $built >&2
done
buildah rm --all >&2; buildah rmi --all --force >&2";
    let out = outside_in(&s.0, true, script);
    assert_eq!(out.good(), "made\nalone\nmade\nalone", "{out:#?}");
}

/// A checkout of somebody's who wants out. Below `victim` lies what is the user's: no
/// recipe shows it, changes it, or runs anything of the checkout beside it.
struct Hostile {
    s: Scratch,
    before: String,
}

/// What a canary prints where it runs: the pid namespace tells inside from outside. It
/// tries to read what is the user's, and to change it.
const CANARY: &str = "#!/bin/sh
d=%DIR%
[ \"$(readlink /proc/self/ns/pid)\" != \"%PIDNS%\" ] || echo \"$0 $*\" >>$d/victim/ran-outside
for f in $d/victim/* $d/victim/.* $d/victim/cargo/* \"$HOME\"/.[a-z]* \"$CARGO_HOME\"/*.toml; do
    ! grep -q hunter2 \"$f\" 2>/dev/null || { echo \"read hunter2: $f\"; echo \"$f\" >>./read-a-password; }
    [ -d \"$f\" ] || echo evil 2>/dev/null >>\"$f\"
done
for d in $d/victim $d/victim/cargo $d/victim/cargo/registry \"$CARGO_HOME\"; do echo evil 2>/dev/null >$d/new; done
env | grep hunter2 && env >>./read-a-password
";

impl Hostile {
    fn new() -> Self {
        let s = Scratch::new();
        for file in [
            ".npmrc",
            ".netrc",
            ".git-credentials",
            ".config/pip/pip.conf",
            "cargo/credentials.toml",
            "cargo/config.toml",
            "cargo/registry/index/one",
            ".ssh/authorized_keys",
            "thesis.tex",
        ] {
            s.file(&format!("victim/{file}"), "token = \"hunter2\"\n");
        }
        s.dir("victim/cargo/git");
        let mut hostile = Self { s, before: String::new() };
        hostile.before = hostile.victims();
        hostile
    }

    /// Each file of the victim's with its content.
    fn victims(&self) -> String {
        outside_in(&self.s.0.join("victim"), false, "find . -type f | sort | xargs -d '\\n' sha256sum; find . | sort").out
    }

    /// A program of the checkout's that tells where it runs, and does `then` after that.
    fn canary(&self, path: &str, then: &str) -> PathBuf {
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
        let dir = self.s.0.to_str().unwrap();
        let canary = CANARY.replace("%DIR%", dir).replace("%PIDNS%", namespace.to_str().unwrap());
        program(&self.s, path, &format!("{canary}{then}\n"))
    }

    /// Runs `script` in the checkout, by a user who has what is the victim's.
    fn run(&self, script: &str) -> Outcome {
        let environment = "export HOME=$PWD/../victim CARGO_HOME=$PWD/../victim/cargo NPM_TOKEN=hunter2 CARGO_REGISTRY_TOKEN=hunter2
export SLURM_JWT=hunter2 PIP_INDEX_URL=http://u:hunter2@localhost/ GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=x.y GIT_CONFIG_VALUE_0=hunter2";
        outside_in(&self.s.0.join("checkout"), false, &format!("{environment}\n{script}"))
    }

    /// Nothing has happened that must not, whatever else.
    fn unharmed(&self, what: &str, out: &Outcome) {
        assert!(
            !self.s.0.join("victim/ran-outside").exists(),
            "{what}: {:?} {out:#?}",
            fs::read_to_string(self.s.0.join("victim/ran-outside"))
        );
        assert_eq!(self.victims(), self.before, "{what}: {out:#?}");
        assert!(!(out.out.contains("hunter2") || out.err.contains("hunter2")), "{what}: {out:#?}");
        assert!(!self.s.0.join("checkout/read-a-password").exists(), "{what}: {out:#?}");
    }
}

/// Every recipe that writes to a fixed name, with the tools it calls replaced by a canary:
/// what it lets be changed is what counts.
#[test]
fn a_fixed_name_that_is_a_link_changes_nothing_elsewhere() {
    for (name, recipe_name, tools) in [
        ("target", "cargo-build", &["cargo"][..]),
        ("node_modules", "npm-install", &["npm"]),
        (".npm-cache", "npm-install", &["npm"]),
        ("venv", "pip-install", &["python3"]),
        ("wheels", "pip-install", &["python3"]),
        ("requirements.txt", "pip-install", &["python3"]),
    ] {
        for to in ["../victim", "../victim/.ssh", "../victim/thesis.tex", "../victim/none", "%/victim", "in/it"] {
            let h = Hostile::new();
            h.s.dir("checkout");
            h.s.link("checkout/in", "../victim");
            h.s.link("checkout/in-it", ".");
            h.s.link(&format!("checkout/{name}"), &to.replace('%', h.s.0.to_str().unwrap()).replace("in/it", "in/.ssh"));
            for other in ["requirements.txt"].iter().filter(|other| **other != name) {
                h.s.file(&format!("checkout/{other}"), "");
            }
            // Of the user's own, and so run outside, rustc alone says where the compiler is.
            let rust = h.s.dir("rust/bin");
            program(&h.s, "tools/rustc", &format!("#!/bin/sh\necho {}\n", h.s.0.join("rust").display()));
            for tool in tools {
                h.canary(&format!("rust/bin/{tool}"), &format!("echo evil >{name}/evil; cat {name}; exit 0"));
            }
            recipe(&h.s, recipe_name, "recipe");
            let script =
                format!("export REACH=127.0.0.1:1 PATH={}:{}:$PATH\n../recipe", h.s.0.join("tools").display(), rust.display());
            let out = h.run(&script);
            h.unharmed(&format!("{recipe_name}, {name} -> {to}"), &out);
            assert!(out.status != 0 && out.err.contains("symbolic link"), "{recipe_name}, {name} -> {to}: {out:#?}");
        }
    }
}

/// jail's own refusal, for whoever has no such line in a script.
#[test]
fn jail_refuses_a_relative_writable_source_that_is_a_link() {
    let h = Hostile::new();
    h.s.dir("checkout/sub");
    h.s.link("checkout/target", "../victim");
    h.s.link("checkout/sub/out", "../../victim");
    for name in ["target", "./target", "sub/out", "target/.ssh", "sub/../target", "target/"] {
        for flag in ["--rw NAME", "--rw-try NAME", "--rw-bind NAME /x", "--rw-bind-try NAME /x"] {
            let flag = flag.replace("NAME", name);
            let out = h.run(&format!("jail --ro . {flag} -- true"));
            out.refused(&["symbolic link below the current directory"]);
        }
    }
    // What the user names from / on is meant, and so is what is no link.
    h.run("jail --ro . --rw \"$PWD/target\" -- true").good();
    h.run("jail --ro . --rw sub -- true").good();
}

#[test]
fn cargo_build_runs_nothing_of_a_hostile_crate_outside() {
    let Some(rust) = input("rust") else { return };
    let h = Hostile::new();
    h.s.file("checkout/Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    h.s.file("checkout/Cargo.lock", "version = 3\n\n[[package]]\nname = \"x\"\nversion = \"0.1.0\"\n");
    h.s.file("checkout/src/main.rs", "fn main() {}\n");
    let real = rust.join("bin");
    h.canary("checkout/evil/bin/rustc", &format!("exec {}/rustc \"$@\"", real.display()));
    h.canary("checkout/evil/bin/cargo", &format!("exec {}/cargo \"$@\"", real.display()));
    // As rustup does: what is started in a directory with such a file is what it names.
    let rustup = |tool: &str| {
        format!(
            "#!/bin/sh\nif [ -e rust-toolchain.toml ]; then exec \"$(sed -n 's/^path = \"\\(.*\\)\"/\\1/p' rust-toolchain.toml)/bin/{tool}\" \"$@\"; fi\nexec {}/{tool} \"$@\"\n",
            real.display()
        )
    };
    program(&h.s, "rustup/rustc", &rustup("rustc"));
    program(&h.s, "rustup/cargo", &rustup("cargo"));
    let evil = h.s.0.join("checkout/evil");
    let evil = evil.display();
    recipe(&h.s, "cargo-build", "cargo-build");
    h.s.file("checkout/.git/config", "url = https://u:hunter2@example.org/\n");
    for (file, content) in [
        ("rust-toolchain.toml", format!("[toolchain]\npath = \"{evil}\"\n")),
        (".cargo/config.toml", format!("[build]\nrustc = \"{evil}/bin/rustc\"\n")),
        (
            ".cargo/config.toml",
            format!("[build]\nrustc-wrapper = \"{evil}/bin/rustc\"\n[env]\nLD_PRELOAD = \"{evil}/none.so\"\n"),
        ),
        (".cargo/config", format!("[registry]\nglobal-credential-providers = [\"{evil}/bin/rustc\"]\n")),
    ] {
        h.s.file(&format!("checkout/{file}"), &content);
        for reach in ["", "localhost:1=127.0.0.1:1"] {
            let out = h.run(&format!("export REACH={reach} PATH={}:$PATH\n../cargo-build 2>&1", h.s.0.join("rustup").display()));
            h.unharmed(&format!("{content}, {reach}"), &out);
        }
        fs::remove_file(h.s.0.join("checkout").join(file)).unwrap();
    }
    // It does its work, with a build script that is one more canary.
    let script =
        h.canary("checkout/build.sh", "grep -q hunter2 .git/config && echo .git/config >>target/read-a-password; exit 0");
    h.s.file(
        "checkout/build.rs",
        &format!(
            "fn main() {{ std::process::Command::new({:?}).status().unwrap(); println!(\"cargo::rerun-if-changed=x\"); }}",
            script
        ),
    );
    let out = h.run(&format!("export REACH= PATH={}:$PATH\n../cargo-build --quiet 2>&1", h.s.0.join("rustup").display()));
    h.unharmed("build.rs", &out);
    assert!(out.status == 0 && h.s.0.join("checkout/target/debug/x").exists(), "{out:#?}");
    assert!(!h.s.0.join("checkout/target/read-a-password").exists(), "{out:#?}");
}

/// What cargo run starts has no password of cargo's, and none of git's.
#[test]
fn cargos_runner_passes_no_token() {
    let Some(rust) = input("rust") else { return };
    let h = Hostile::new();
    h.s.file("checkout/Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    h.s.file("checkout/src/main.rs", "fn main() { for (k, v) in std::env::vars() { println!(\"{k}={v}\"); } println!(\"{:?}\", std::fs::read(\".git/config\").is_ok()); }\n");
    h.s.file("checkout/.git/config", "url = https://u:hunter2@example.org/\n");
    h.s.file("checkout/.cargo/config.toml", &text("recipes/cargo-config.toml"));
    // Cargo itself reads its configuration outside: a good one.
    h.s.file("cargo/none", "");
    let out = h.run(&format!("export CARGO_HOME=$PWD/../cargo PATH={}:$PATH\ncargo run --quiet", rust.join("bin").display()));
    assert!(out.good().contains("CARGO_PKG_NAME=x") && out.out.ends_with("false\n") && !out.out.contains("hunter2"), "{out:#?}");
}

#[test]
fn npm_install_shows_no_password_and_runs_nothing_outside() {
    if !has("npm") || !has("node") {
        return;
    }
    let h = Hostile::new();
    let evil = h.canary("checkout/evil.sh", "exit 1");
    let evil = evil.display();
    h.s.file(
        "checkout/package.json",
        &format!(
            r#"{{"name":"work","version":"1.0.0","scripts":{{"preinstall":"{evil}","postinstall":"{evil}","prepare":"{evil}"}},"dependencies":{{"g":"git+ssh://git@localhost/x.git"}}}}"#
        ),
    );
    h.s.file(
        "checkout/package-lock.json",
        r#"{"name":"work","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{
"":{"name":"work","version":"1.0.0","dependencies":{"g":"git+ssh://git@localhost/x.git"}},
"node_modules/g":{"version":"1.0.0","resolved":"git+ssh://git@localhost/x.git#0123456789012345678901234567890123456789"}}}"#,
    );
    h.s.file(
        "checkout/.npmrc",
        &format!("ignore-scripts=false\nscript-shell={evil}\ngit={evil}\ncache=../victim\nprefix=../victim\nuserconfig=../victim/.npmrc\nnode-options=--require {evil}\n"),
    );
    h.s.file("checkout/.git/config", "url = https://u:hunter2@example.org/\n");
    recipe(&h.s, "npm-install", "npm-install");
    let out = h.run("REGISTRY=http://127.0.0.1:1/ REACH=127.0.0.1:1 timeout 120 ../npm-install 2>&1");
    h.unharmed("npm-install", &out);
    assert!(out.status != 0, "{out:#?}");
}

#[test]
fn pip_install_shows_no_password_and_runs_nothing_outside() {
    let h = Hostile::new();
    if !outside_in(&h.s.0, false, "python3 -c 'import venv, ensurepip'").err.is_empty() {
        return skip("python3-venv is missing");
    }
    // Its venv came with the checkout, and so did modules that a careless python3 -m imports.
    let evil = h.canary("checkout/venv/bin/python", "exit 1");
    h.canary("checkout/venv/bin/pip", "exit 1");
    let import = format!("import subprocess; subprocess.call([{:?}])\n", evil.to_str().unwrap());
    for module in ["pip.py", "venv.py", "ensurepip.py", "sitecustomize.py", "setup.py", "wheels/setup.py"] {
        h.s.file(&format!("checkout/{module}"), &import);
    }
    h.s.file("checkout/pip.conf", "[global]\nindex-url = http://127.0.0.1:1/evil\n");
    h.s.file("checkout/requirements.txt", "-r ../victim/.netrc\n-c ../victim/.npmrc\n-e .\n");
    recipe(&h.s, "pip-install", "pip-install");
    for remove in ["", "rm -r venv"] {
        let out = h.run(&format!("{remove}\nINDEX=http://127.0.0.1:1/ REACH=127.0.0.1:1 ../pip-install 2>&1"));
        h.unharmed(&format!("pip-install, {remove}"), &out);
        assert!(out.status != 0, "{out:#?}");
    }
}

/// A hook that makes git run evil.sh at the user's next command, in every way there is: by
/// the file .git, by what it leads to, by those of submodules and of other work trees.
const HOOK: &str = "#!/bin/sh
mkdir -p evilgit/objects evilgit/refs
echo 'ref: refs/heads/main' >evilgit/HEAD
printf '[core]\\n\\trepositoryformatversion = 0\\n\\tbare = false\\n\\tfsmonitor = %s/evil.sh\\n' \"$PWD\" >evilgit/config
common=$(git rev-parse --git-common-dir); own=$(git rev-parse --git-dir)
find \"$common\" \"$own\" -name 'config*' -type f -exec cat {} +
for at in \"$common\" \"$own\"; do
    cp evilgit/config \"$at/config\"; cp evilgit/config \"$at/config.worktree\"
    echo ../../../evilgit >\"$at/commondir\"; echo /x >\"$at/gitdir\"; echo 'ref: x' >\"$at/HEAD\"
    cp evil.sh \"$at/hooks/pre-commit\"; mkdir \"$at/hooks\" && cp evil.sh \"$at/hooks/post-checkout\"
    for inner in \"$at\"/worktrees/* \"$at\"/modules/*; do
        cp evilgit/config \"$inner/config.worktree\"; cp evilgit/config \"$inner/config\"; echo ../../../../evilgit >\"$inner/commondir\"
    done
done
for dir in . sub deep/er/sub below/wt; do
    [ -d $dir ] || continue
    echo \"gitdir: $PWD/evilgit\" >$dir/.git
    ln -sfn $PWD/evilgit $dir/.git
    mv $dir/.git $dir/.git-away && cp -r evilgit $dir/.git
    [ $dir = . ] || { mv $dir $dir-away && mkdir -p $dir && cp -r evilgit $dir/.git; }
done
mv deep deep-away && mkdir -p deep/er/sub && cp -r evilgit deep/er/sub/.git
mv below below-away && mkdir -p below/wt && cp -r evilgit below/wt/.git
touch hook-ran
exit 0
";

#[test]
fn a_hostile_hook_leaves_nothing_that_git_runs() {
    if !has("git") {
        return;
    }
    for place in ["main", "linked", "linked-below", "submodule", "superproject", "separate"] {
        let h = Hostile::new();
        recipe(&h.s, "git-hook", "hooks/post-checkout");
        h.s.dir("checkout");
        h.canary("checkout/evil.sh", "exit 0");
        program(&h.s, "checkout/.githooks/post-checkout", HOOK);
        // Of the user's own: not by h.run, whose variables are a caller's. No hook runs yet.
        let quiet = "export GIT_CONFIG_GLOBAL=$PWD/../gitconfig HOME=$PWD/../victim
git config --global user.name t; git config --global user.email t@localhost
git config --global init.defaultBranch main; git config --global protocol.file.allow always
G='git -c core.hooksPath=/dev/null'\n";
        let set_up = match place {
            "main" => "",
            "linked" => "$G worktree add -q ../linked -b feature && cd ../linked",
            "linked-below" => "$G worktree add -q below/wt -b feature",
            "submodule" => "$G init -q ../super && cd ../super && $G submodule --quiet add ../checkout sub && $G commit -qm x && cd sub",
            "superproject" => "mkdir ../other && cp -r evil.sh ../other && ( cd ../other && $G init -q && $G add . && $G commit -qm x ) &&
                $G submodule --quiet add ../other sub && $G submodule --quiet add ../other deep/er/sub && $G commit -qm subs &&
                git -C sub config remote.origin.url https://u:hunter2@example.org/sub.git && $G submodule deinit -q -f deep/er/sub",
            "separate" => "rm -rf ../sep && mv .git ../sep && echo 'gitdir: ../sep' >.git",
            _ => unreachable!(),
        };
        let script = format!(
            "{quiet}$G init -q && $G add . && $G commit -qm first &&
git config extensions.worktreeConfig true && git config --worktree x.y hunter2 && {set_up}
[ -z \"$(git config core.worktree)\" ] && git config remote.origin.url https://u:hunter2@example.org/x.git || git config remote.origin.url https://u:hunter2@example.org/x.git
git config --global core.hooksPath \"$(cd ../hooks 2>/dev/null || cd ../../hooks; pwd)\"
git checkout -q -b other 2>&1; pwd >$GIT_CONFIG_GLOBAL-at; ls
cd \"$(cat $GIT_CONFIG_GLOBAL-at)\"
for dir in . sub deep/er/sub below/wt $(git worktree list --porcelain | sed -n 's/^worktree //p'); do
    ( cd $dir && git -c core.hooksPath=/dev/null status && git diff --quiet; git -c core.hooksPath=/dev/null submodule status ) 2>&1
done; true"
        );
        let out = outside_in(&h.s.0.join("checkout"), false, &script);
        h.unharmed(place, &out);
        let at = fs::read_to_string(h.s.0.join("gitconfig-at")).unwrap();
        assert!(Path::new(at.trim_end()).join("hook-ran").exists(), "{place}: {out:#?}");
    }
}

/// git ls-files quotes such paths, so that a recipe could protect another place.
#[test]
fn a_submodule_of_any_name_is_protected_from_a_hook_or_refused() {
    if !has("git") {
        return;
    }
    for (name, protected) in
        [("plain", true), ("s\u{fc}b", true), ("a b", true), ("t\tb", false), ("q\"q", false), ("b\\b", false)]
    {
        let h = Hostile::new();
        recipe(&h.s, "git-hook", "hooks/post-checkout");
        h.s.dir("checkout");
        let hook = "#!/bin/sh\nfor git in */.git; do echo \"gitdir: $PWD/evil\" >\"$git\"; done\ntouch hook-ran\n";
        program(&h.s, "checkout/.githooks/post-checkout", hook);
        let script = format!(
            "export GIT_CONFIG_GLOBAL=$PWD/../gitconfig HOME=$PWD/../victim; sub='{name}'
git config --global user.name t; git config --global user.email t@localhost; git config --global protocol.file.allow always
git init -q ../other && ( cd ../other && git commit -q --allow-empty -m x )
git init -q && git add . && git submodule --quiet add --name sub ../other \"$sub\" && git commit -qm x && cp \"$sub/.git\" ../before
git config --global core.hooksPath $PWD/../hooks; git checkout -q -b other; cmp \"$sub/.git\" ../before && ls"
        );
        let out = outside_in(&h.s.0.join("checkout"), false, &script);
        let ls = if protected { format!("hook-ran\n{name}\n") } else { format!("{name}\n") };
        let mut lines: Vec<&str> = ls.lines().collect();
        lines.sort_unstable();
        let mut listed: Vec<&str> = out.out.lines().collect();
        listed.sort_unstable();
        assert_eq!(listed, lines, "{name:?}: {out:#?}");
        assert!(
            protected || out.err.contains("git-hook: the path of a submodule or repository holds characters"),
            "{name:?}: {out:#?}"
        );
    }
}

/// A submodule that is in the real index and not in that of `git commit FILE`, one of another
/// branch, and a clone that is ignored.
#[test]
fn a_hook_changes_no_repository_below_whatever_index_names_it() {
    if !has("git") {
        return;
    }
    let h = Hostile::new();
    recipe(&h.s, "git-hook", "hooks/pre-commit");
    h.s.dir("checkout");
    let hook =
        "#!/bin/sh\nfor git in */.git */*/.git; do echo evil >>\"$git\"; echo evil >>\"$git/config\"; done\ntouch hook-ran\n";
    program(&h.s, "checkout/.githooks/pre-commit", hook);
    let script = "export GIT_CONFIG_GLOBAL=$PWD/../gitconfig HOME=$PWD/../victim
git config --global user.name t; git config --global user.email t@localhost; git config --global protocol.file.allow always
git init -q ../other && ( cd ../other && git commit -q --allow-empty -m x )
echo x >file; git init -q && git add . && git commit -qm x
git checkout -q -b away && git submodule --quiet add ../other theirs && git commit -qm sub && git checkout -q - 2>&1
git clone -q ../other ignored/clone && echo ignored >.git/info/exclude && git submodule --quiet add ../other sub
cp sub/.git ../sub; cp theirs/.git ../theirs; cp ignored/clone/.git/config ../clone
git config --global core.hooksPath $PWD/../hooks; echo y >file; git commit -qm partial file
cmp sub/.git ../sub && cmp theirs/.git ../theirs && cmp ignored/clone/.git/config ../clone && ls hook-ran";
    let out = outside_in(&h.s.0.join("checkout"), false, script);
    assert!(out.good().ends_with("hook-ran"), "{out:#?}");
}

#[test]
fn a_work_tree_whose_git_is_a_link_is_refused() {
    if !has("git") {
        return;
    }
    let h = Hostile::new();
    recipe(&h.s, "git-hook", "hooks/post-checkout");
    h.s.dir("checkout");
    program(&h.s, "checkout/.githooks/post-checkout", "#!/bin/sh\ntouch hook-ran\n");
    let out = outside_in(
        &h.s.0.join("checkout"),
        false,
        "export GIT_CONFIG_GLOBAL=$PWD/../gitconfig; git init -q && git add . &&
git -c user.name=t -c user.email=t@localhost commit -qm x && mv .git ../moved && ln -s ../moved .git
git config --global core.hooksPath $PWD/../hooks; git checkout -q -b other",
    );
    assert!(out.err.contains("must be a file or a directory") && !h.s.0.join("checkout/hook-ran").exists(), "{out:#?}");
}

/// What runs by the other recipes: its lines, with the canary in the place of the command.
#[test]
fn the_other_recipes_show_no_password_and_keep_git_as_it_is() {
    let h = Hostile::new();
    let evil = h.canary(
        "checkout/evil.sh",
        "for f in .git .git/config; do cat $f; echo evil >>$f; done 2>/dev/null; rm -rf .git; mv .git away; exit 0",
    );
    let evil = evil.display();
    let lines = [
        (
            "recipes/github-workflow.yml",
            text("recipes/github-workflow.yml").lines().find_map(|line| line.split_once("run: ")).unwrap().1.to_owned(),
        ),
        (
            "recipes/gitlab-ci.yml",
            text("recipes/gitlab-ci.yml").lines().find_map(|line| line.split_once("- $CI_BUILDS_DIR/")).unwrap().1.to_owned(),
        ),
        ("recipes/slurm.sbatch", {
            let file = text("recipes/slurm.sbatch");
            let srun = file.split_once("\nsrun ").unwrap().1.replace("\"$@\"", "make test");
            srun.replace("jail --rw .", "jail --rw . --hide-try .git")
        }),
    ];
    for git in ["file", "directory"] {
        for (name, line) in &lines {
            h.run("rm -rf .git");
            match git {
                "file" => h.s.file("checkout/.git", "gitdir: https://u:hunter2@/\n"),
                _ => h.s.file("checkout/.git/config", "url = https://u:hunter2@example.org/\n"),
            };
            let before = h.run("find .git -type f | xargs sha256sum").out;
            let out = h.run(&line.replace("make test", &format!("{evil}")));
            h.unharmed(&format!("{name}, {git}"), &out);
            assert_eq!(h.run("find .git -type f | xargs sha256sum").out, before, "{name}, {git}: {out:#?}");
            assert_eq!(out.status, 0, "{name}, {git}: {out:#?}");
        }
    }
    // make's lines: neither .git nor the Makefile, which make reads outside.
    recipe(&h.s, "Makefile", "checkout/GNUmakefile");
    h.s.file("checkout/hello.c", "");
    let before = h.run("find .git GNUmakefile -type f | xargs sha256sum").out;
    let cc = h.canary(
        "checkout/cc",
        "echo 'x := $(shell id)' >>GNUmakefile; rm -f GNUmakefile; mv GNUmakefile away; cp evil.sh hello; exit 0",
    );
    let out = h.run(&format!("make CC={} all 2>&1", cc.display()));
    h.unharmed("make", &out);
    assert_eq!(h.run("find .git GNUmakefile -type f | xargs sha256sum").out, before, "{out:#?}");
    // A test by Bazel: the source, without its .git.
    h.s.dir("checkout/out");
    h.s.dir("checkout/tmp");
    recipe(&h.s, "bazel-run-under", "bazel-run-under");
    let out =
        h.run(&format!("export SOURCE=$PWD OUTPUT=$PWD/out TEST_TMPDIR=$PWD/tmp; cd out && ../../bazel-run-under {evil} 2>&1"));
    h.unharmed("bazel-run-under", &out);
    assert_eq!(h.run("find .git GNUmakefile -type f | xargs sha256sum").out, before, "{out:#?}");
}

/// No line of a recipe has what was wrong once.
#[test]
fn no_recipe_gives_a_whole_home_or_every_variable() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for wrong in [
            "--rw \"$CARGO_HOME\" ",
            "--ro \"$CARGO_HOME\" ",
            "--env 'SLURM*'",
            "\"CARGO*\"",
            "--env 'GIT_*'",
            "\"NOMAD_*\"",
            " /tmp/",
        ] {
            assert!(!text.contains(wrong), "{}: {wrong}", path.display());
        }
        // Outside, rustc and cargo are started in /.
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let outside = line.contains("rustc --print") && !line.contains("cd / &&");
            assert!(!outside, "{}: {line}", path.display());
        }
    }
}
