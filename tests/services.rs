//! Real servers and real clients, with one jail or more between them: what --reach and
//! --publish lead to works as if nothing were between.

mod support;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::*;

/// A server, which is the user's and ends with the test.
struct Server(Child);

impl Server {
    /// Starts one in `dir` and waits until somebody listens at `at`.
    fn start(dir: &Path, at: &[SocketAddr], program: &Path, args: &[&str]) -> Self {
        let mut server = command(Path::new("/usr/bin/setpriv"), dir, false);
        // Also if the test is killed.
        server.args(["--pdeathsig", "TERM", "--"]).arg(program).args(args);
        let log = std::fs::File::create(dir.join("log")).unwrap();
        server.stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        let mut server = Self(server.spawn().unwrap());
        let start = Instant::now();
        for at in at {
            while !answers(at) {
                let said = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
                assert!(server.0.try_wait().unwrap().is_none(), "{program:?} has ended: {}", said());
                assert!(start.elapsed() < Duration::from_secs(30), "{program:?} does not listen at {at}: {}", said());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        server
    }
}

/// Is there somebody, and not just a hole that leads to nobody?
fn answers(at: &SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect(at) else { return false };
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    // Who is there waits to be spoken to; a hole that leads to nobody is reset.
    matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let start = Instant::now();
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            if start.elapsed() > Duration::from_secs(5) {
                let _ = Command::new("kill").args(["-KILL", "--", &format!("-{pid}")]).status();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn there(program: &str) -> bool {
    let mut which = command(Path::new("/bin/sh"), Path::new("/"), false);
    which.args(["-c", &format!("command -v {program}")]);
    let found = outcome(which).status == 0;
    if !found {
        skip(&format!("{program} is missing: tests/run installs it"));
    }
    found
}

/// As the user, in no jail.
fn user_in(dir: &Path, script: &str) -> Outcome {
    let mut shell = command(Path::new("/bin/sh"), dir, false);
    shell.args(["-c", script]);
    outcome(shell)
}

// PostgreSQL.

/// Where Debian keeps the server's programs.
fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
    if found.is_none() {
        skip("postgresql is missing: tests/run installs it");
    }
    found
}

/// A cluster in s/data. Who makes one must have a name: the user has one in a jail.
fn cluster(s: &Scratch, programs: &Path) {
    s.file("passwd", "postgres:x:54321:54321::/:/bin/sh\n");
    let make = format!("{}/initdb -D \"$PWD/data\" -A trust -E UTF8 --no-locale --no-sync", programs.display());
    sh_in(&s.0, "--rw . --ro-bind passwd /etc/passwd", &make).good();
}

/// Much in one answer; COPY in both directions; an error that ends nothing; a listener.
const QUERIES: &str = r#"
set -e
seq 200000 | sed 's/.*/&\tname &/' > /tmp/in
sql() { psql -X -v ON_ERROR_STOP=1 -U postgres -At $AT postgres; }
sql <<'.' > /tmp/said
create table t (n int, name text);
\copy t from /tmp/in
\copy (select * from t order by n) to /tmp/out
select count(*), sum(n) from t;
select length(repeat('x', 20000000));
.
cmp /tmp/in /tmp/out
echo "select md5(string_agg(repeat(name, 20), ',' order by n)) from t" | sql >> /tmp/said
echo "select string_agg(repeat(name, 20), ',' order by n) from t" | sql | tr -d '\n' > /tmp/big
md5sum < /tmp/big | cut -d' ' -f1 >> /tmp/said
psql -X -U postgres -At $AT postgres <<'.' >> /tmp/said 2>&1
select 1 / 0;
begin; listen l; commit; notify l, 'heard';
drop table t;
.
cat /tmp/said
"#;

fn queries(flags: &str, at: &str) {
    let out = sh(flags, &format!("AT='{at}'\n{QUERIES}"));
    let lines: Vec<&str> = out.good().lines().collect();
    assert_eq!(lines[..4], ["CREATE TABLE", "COPY 200000", "COPY 200000", "200000|20000100000"], "{lines:?}");
    assert_eq!(lines[4], "20000000", "{lines:?}");
    assert_eq!(lines[5], lines[6], "{lines:?}");
    let rest = lines[7..].join("\n");
    assert!(rest.contains("division by zero") && rest.contains(r#"notification "l" with payload "heard""#), "{rest}");
    assert!(rest.contains("DROP TABLE"), "{rest}");
}

#[test]
fn postgresql_is_reached_by_name_and_by_its_socket() {
    let Some(programs) = postgres_programs() else { return };
    let s = Scratch::new();
    cluster(&s, &programs);
    let (port, sockets) = (free_port().to_string(), s.0.display().to_string());
    let args = ["-D", "data", "-F", "-h", "127.0.0.1", "-p", &port, "-k", &sockets];
    let _server = Server::start(&s.0, &[local(port.parse().unwrap())], &programs.join("postgres"), &args);
    queries(&format!("--reach db.example.test:5432=127.0.0.1:{port}"), "-h db.example.test");
    let socket = format!("{sockets}/.s.PGSQL.{port}");
    queries(&format!("--reach unix:/run/postgresql/.s.PGSQL.5432=unix:{socket}"), "-h /run/postgresql");
    // Where it is looked for if nobody says where.
    queries(&format!("--reach unix:/var/run/postgresql/.s.PGSQL.5432=unix:{socket}"), "");
    // By another name, at another port, or in no hole, it is not there.
    let flags = format!("--reach db.example.test:5432=127.0.0.1:{port}");
    let tried = "psql -X -U postgres -c 'select 1' postgres -h";
    let out = sh(&flags, &format!("{tried} db.example.test -p {port}; {tried} 127.0.0.1; {tried} other.example.test"));
    assert_eq!(out.out, "");
    assert_eq!(out.err.matches("psql: error").count(), 3, "{out:?}");
    assert!(out.err.matches("Connection refused").count() >= 2, "{out:?}");
    assert_eq!(out.err.matches("could not translate host name").count(), 1, "{out:?}");
}

#[test]
fn postgresql_in_one_jail_is_reached_from_another() {
    let Some(programs) = postgres_programs() else { return };
    let s = Scratch::new();
    cluster(&s, &programs);
    let port = free_port();
    let hole = format!("{port}:5432");
    let program = programs.join("postgres").display().to_string();
    let args = ["--publish", &hole, "--rw", ".", "--", &program, "-D", "data", "-F", "-h", "127.0.0.1", "-k", "/tmp"];
    let _server = Server::start(&s.0, &[local(port)], jail(), &args);
    queries(&format!("--reach db.example.test:5432=127.0.0.1:{port}"), "-h db.example.test");
}

// A web server.

/// nginx in `dir`, with these lines about what it serves.
fn nginx_conf(s: &Scratch, serves: &str) {
    s.file(
        "nginx.conf",
        &format!(
            "daemon off; pid nginx.pid; error_log stderr; worker_processes 1; events {{ worker_connections 512; }}
             http {{ access_log off; client_body_temp_path tmp/b; proxy_temp_path tmp/p; fastcgi_temp_path tmp/f;
             uwsgi_temp_path tmp/u; scgi_temp_path tmp/s; client_max_body_size 100m; {serves} }}"
        ),
    );
    s.dir("tmp");
}

/// A certificate for `name` from an authority of our own: ca.pem, key.pem, cert.pem.
fn certificate(s: &Scratch, name: &str) {
    let make = format!(
        "set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=An authority of the test' -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN={name}' -keyout key.pem -out request.pem
printf 'subjectAltName=DNS:{name}\\nbasicConstraints=CA:false\\n' > extensions
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert.pem"
    );
    user_in(&s.0, &make).good();
}

/// An HTTPS server of s/www under `name`: its port.
fn https(s: &Scratch, name: &str) -> (Server, u16) {
    certificate(s, name);
    let port = free_port();
    s.dir("www");
    let root = s.0.join("www");
    nginx_conf(
        s,
        &format!(
            "server {{ listen 127.0.0.1:{port} ssl; server_name {name}; ssl_certificate cert.pem; ssl_certificate_key key.pem;
             root {}; }}",
            root.display()
        ),
    );
    let server =
        Server::start(&s.0, &[local(port)], Path::new("/usr/sbin/nginx"), &["-p", ".", "-c", "nginx.conf", "-e", "stderr"]);
    (server, port)
}

/// Programs that print the SHA-256 sum of https://HOST/big, which they trust ca.pem to
/// know the certificate of.
const CLIENTS: &[(&str, &str)] = &[
    ("curl", "curl -sS --cacert ca.pem https://HOST/big > /tmp/big && sha256sum < /tmp/big | cut -d' ' -f1"),
    (
        "python3",
        "python3 -c 'import hashlib, ssl, urllib.request as u
print(hashlib.sha256(u.urlopen(\"https://HOST/big\", context=ssl.create_default_context(cafile=\"ca.pem\")).read()).hexdigest())'",
    ),
    (
        "node",
        "NODE_EXTRA_CA_CERTS=ca.pem node -e 'const sum = require(\"crypto\").createHash(\"sha256\");
require(\"https\").get(\"https://HOST/big\", got => got.on(\"data\", part => sum.update(part))
    .on(\"end\", () => console.log(sum.digest(\"hex\")))).on(\"error\", error => { console.error(error.message); process.exit(1) })'",
    ),
    (
        "javac",
        "keytool -importcert -noprompt -alias a -file ca.pem -keystore /tmp/trust -storepass secret 2>/dev/null && cat > /tmp/Get.java <<'.'
class Get { public static void main(String[] of) throws Exception {
    var sum = java.security.MessageDigest.getInstance(\"SHA-256\");
    try (var in = new java.net.URL(of[0]).openStream()) {
        var part = new byte[65536]; int read;
        while ((read = in.read(part)) >= 0) sum.update(part, 0, read); }
    System.out.println(java.util.HexFormat.of().formatHex(sum.digest())); } }
.
java -Djavax.net.ssl.trustStore=/tmp/trust -Djavax.net.ssl.trustStorePassword=secret /tmp/Get.java https://HOST/big",
    ),
];

#[test]
fn https_clients_check_the_name_that_they_reach() {
    if !there("nginx") {
        return;
    }
    let s = Scratch::new();
    let (_server, port) = https(&s, "www.example.test");
    user_in(&s.0, "head -c 20000000 /dev/urandom > www/big").good();
    let sum = user_in(&s.0, "sha256sum < www/big | cut -d' ' -f1").good().to_owned();
    let flags = format!("--ro . --reach www.example.test:443=127.0.0.1:{port} --reach other.example.test:443=127.0.0.1:{port}");
    for (client, script) in CLIENTS {
        if !there(client) {
            continue;
        }
        let get = |name: &str| sh_in(&s.0, &flags, &script.replace("HOST", name));
        assert_eq!(get("www.example.test").good(), sum, "{client}");
        // The server is the same, but not the one that was asked for.
        let other = get("other.example.test");
        let told = other.err.to_lowercase();
        assert!(other.status != 0 && other.out.is_empty(), "{client}: {other:?}");
        assert!(
            ["alternative", "altname", "doesn't match", "mismatch"].iter().any(|word| told.contains(word)),
            "{client}: {told}"
        );
        // By its address it is not known either.
        let address = get("127.64.0.1");
        assert!(address.status != 0 && address.out.is_empty(), "{client}: {address:?}");
        let nobody = get("www2.example.test");
        assert!(nobody.status != 0 && nobody.out.is_empty(), "{client}: {nobody:?}");
    }
    let unknown = sh_in(&s.0, &flags, "curl -sS https://www.example.test/big");
    assert!(unknown.status == 60 && unknown.out.is_empty(), "{unknown:?}");
}

#[test]
fn git_clones_over_https() {
    if !there("nginx") || !there("git") {
        return;
    }
    let s = Scratch::new();
    let (_server, port) = https(&s, "git.example.test");
    let commits = "set -e; export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t
git init -q work && cd work && for i in $(seq 40); do head -c 100000 /dev/urandom > f$i; git add .; git commit -qm $i; done
cd .. && git clone -q --bare work www/project.git && git -C www/project.git update-server-info && git -C work rev-parse HEAD";
    let head = user_in(&s.0, commits).good().to_owned();
    let clone = |name: &str| {
        sh_in(
            &s.0,
            &format!("--ro . --reach git.example.test:443=127.0.0.1:{port} --reach other.example.test:443=127.0.0.1:{port}"),
            &format!(
                "GIT_SSL_CAINFO=$PWD/ca.pem git clone -q https://{name}/project.git /tmp/clone && cd /tmp/clone && git fsck --full && git rev-parse HEAD"
            ),
        )
    };
    assert_eq!(clone("git.example.test").good(), head);
    let other = clone("other.example.test");
    assert!(other.status != 0 && other.err.contains("match"), "{other:?}");
}

#[test]
fn two_jails_serve_the_same_port_each_at_its_own_address() {
    if !there("nginx") || !there("curl") {
        return;
    }
    let port = free_port();
    let serve = |address: [u8; 4], says: &str| {
        let s = Scratch::new();
        s.file("www/index.html", says);
        let root = s.0.join("www");
        nginx_conf(&s, &format!("server {{ listen 127.0.0.1:80; root {}; }}", root.display()));
        let at = SocketAddr::from((address, port));
        let hole = format!("{at}:80");
        let nginx = ["/usr/sbin/nginx", "-p", ".", "-c", "nginx.conf", "-e", "stderr", "-g", "user root root;"];
        let args = [&["--as-root", "--publish", &hole, "--rw", ".", "--"][..], &nginx[..]].concat();
        (Server::start(&s.0, &[at], jail(), &args), s)
    };
    let _both = [serve([127, 0, 0, 2], "the second"), serve([127, 0, 0, 3], "the third")];
    let get = |address: &str| user_in(Path::new("/"), &format!("curl -sS http://{address}:{port}/")).out;
    assert_eq!([get("127.0.0.2"), get("127.0.0.3"), get("127.0.0.1")], ["the second", "the third", ""]);
    // And from a third jail, where each has a name.
    let flags = format!("--reach two.test:80=127.0.0.2:{port} --reach three.test:80=127.0.0.3:{port}");
    assert_eq!(sh(&flags, "curl -sS http://two.test/ http://three.test/").good(), "the secondthe third");
}

// Registries: clients that fetch from the hosts that are named.

#[test]
fn cargo_fetches_from_the_registry_that_is_named() {
    let Some(rust) = input("rust/bin") else { return };
    if !there("nginx") {
        return;
    }
    let s = Scratch::new();
    let (_server, port) = https(&s, "index.example.test");
    // A sparse registry with one crate.
    let make = "set -e
mkdir -p demo-1.2.3/src www/index/de/mo www/crates
printf '[package]\nname = \"demo\"\nversion = \"1.2.3\"\nedition = \"2021\"\n' > demo-1.2.3/Cargo.toml
printf 'pub fn say() -> &'\\''static str { \"fetched\" }\n' > demo-1.2.3/src/lib.rs
tar -czf www/crates/demo-1.2.3.crate demo-1.2.3
sum=$(sha256sum < www/crates/demo-1.2.3.crate | cut -d' ' -f1)
printf '{\"dl\":\"https://index.example.test/crates/{crate}-{version}.crate\"}' > www/index/config.json
printf '{\"name\":\"demo\",\"vers\":\"1.2.3\",\"deps\":[],\"cksum\":\"%s\",\"features\":{},\"yanked\":false}\n' $sum > www/index/de/mo/demo
mkdir -p project/src project/.cargo
printf '[package]\nname = \"uses\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ndemo = { version = \"1\", registry = \"own\" }\n' > project/Cargo.toml
printf 'fn main() { println!(\"{}\", demo::say()) }\n' > project/src/main.rs
printf '[registries.own]\nindex = \"sparse+https://index.example.test/index/\"\n[http]\ncainfo = \"../ca.pem\"\n[net]\nretry = 0\n' > project/.cargo/config.toml";
    user_in(&s.0, make).good();
    let cargo = |flags: &str| {
        let script = format!("PATH={}:$PATH; export CARGO_HOME=/tmp/cargo; cd project && cargo run --quiet", rust.display());
        sh_in(&s.0, &format!("--rw . --ro {} {flags}", rust.parent().unwrap().display()), &script)
    };
    let refused = cargo("");
    assert!(refused.status != 0 && refused.err.contains("index.example.test"), "{refused:?}");
    assert_eq!(cargo(&format!("--reach index.example.test:443=127.0.0.1:{port}")).good(), "fetched");
}

#[test]
fn pip_installs_from_the_index_that_is_named() {
    if !there("nginx") || !there("pip3") {
        return;
    }
    let s = Scratch::new();
    let (_server, port) = https(&s, "index.example.test");
    let make = "set -e; mkdir -p www/simple/demo && python3 -c 'import zipfile
with zipfile.ZipFile(\"www/simple/demo/demo-1.2.3-py3-none-any.whl\", \"w\") as wheel:
    wheel.writestr(\"demo.py\", \"print(\\\"fetched\\\")\")
    wheel.writestr(\"demo-1.2.3.dist-info/METADATA\", \"Metadata-Version: 2.1\\nName: demo\\nVersion: 1.2.3\\n\")
    wheel.writestr(\"demo-1.2.3.dist-info/WHEEL\", \"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n\")
    wheel.writestr(\"demo-1.2.3.dist-info/RECORD\", \"\")'
echo '<a href=\"demo-1.2.3-py3-none-any.whl\">demo-1.2.3-py3-none-any.whl</a>' > www/simple/demo/index.html";
    user_in(&s.0, make).good();
    let pip = |flags: &str| {
        let install = "pip3 --isolated --no-cache-dir --disable-pip-version-check --cert ca.pem install -q --retries 0 --target /tmp/got \
            --index-url https://index.example.test/simple/ demo && PYTHONPATH=/tmp/got python3 -m demo";
        sh_in(&s.0, &format!("--ro . {flags}"), install)
    };
    let refused = pip("");
    assert!(refused.status != 0 && refused.out.is_empty(), "{refused:?}");
    assert_eq!(pip(&format!("--reach index.example.test:443=127.0.0.1:{port}")).good(), "fetched");
}

#[test]
fn iperf_runs_both_ways() {
    if !there("iperf3") {
        return;
    }
    let s = Scratch::new();
    let port = free_port();
    // One that is connected to, and says nothing, is a test that has begun.
    let mut server = command(Path::new("/usr/bin/setpriv"), &s.0, false);
    server.args(["--pdeathsig", "TERM", "--", "iperf3", "-s", "-B", "127.0.0.1", "-p", &port.to_string()]);
    let server = Server(server.stdout(Stdio::null()).spawn().unwrap());
    let script = "import json, subprocess, time
def run(streams, *how):
    size = streams * 300 << 20
    for _ in range(100):
        out = json.loads(subprocess.run(['iperf3', '-J', '-c', 'iperf.example.test', '-n', str(size), '-P', str(streams), *how], capture_output=True, timeout=60).stdout)
        if 'error' not in out: break
        time.sleep(.1)
    else: return out['error']
    sent, got = out['end']['sum_sent']['bytes'], out['end']['sum_received']['bytes']
    # It does not wait for what is on its way when it has sent all: the buffers
    # of two connections a stream, 20 MiB as kernels come and 75 as some are set.
    return sent >= size and got > sent - (streams * 150 << 20) or (sent, got)
print(run(1), run(8), run(1, '-R'))";
    let file = s.file("script.py", script);
    let flags = format!("--ro-bind {} /script.py --reach iperf.example.test:5201=127.0.0.1:{port}", file.display());
    assert_eq!(sh(&flags, "python3 /script.py").good(), "True True True");
    drop(server);
}
