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
    let at = s.file(path, content);
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
    let env = format!("export FETCHED=yes CARGO_HOME=$PWD/../cargo PATH={}:$PATH\n", rust.join("bin").display());
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
    let source = b"<!DOCTYPE html><html><body><a href=\"/files/dep-2.0.tar.gz\">dep-2.0.tar.gz</a></body></html>".to_vec();
    let (port, asked) = serve(|_| {
        HashMap::from([
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
    let flags = flags.replace("--memory 512m --tasks 64 ", "").replace("8080", "8127");
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
        "test:\n\techo \"$${CI_JOB_TOKEN-no token}\"; cat ../secret; touch ../made; echo tested >result\n",
    );
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
            "set -e\nexport CI_JOB_TOKEN=token CI_BUILDS_DIR={}\nchown() {{ :; }}\nsetpriv() {{ while case $1 in -*) ;; *) false ;; esac; do shift; done; \"$@\"; }}\n{variables}",
            s.0.display()
        );
        let mut shell = match contained {
            true => CONTAINER.around(Path::new("/bin/bash"), &s.0.join("project")),
            false => command(Path::new("/bin/bash"), &s.0.join("project"), false),
        };
        shell.args(["-c", &script]);
        let out = outcome(shell);
        assert!(
            out.out.contains("no token") && !s.0.join("made").exists() && s.0.join("project/result").exists(),
            "{job}: {out:#?}"
        );
        assert_eq!(out.out.contains("\"degraded\":[\"namespaces\""), contained, "{job}: {out:#?}");
        fs::remove_file(s.0.join("project/result")).unwrap();
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
    s.dir("base/etc");
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
