//! The ways from a client inside to a server outside, and one in the other direction.

use crate::Result;
use crate::client::{self, Task};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

/// Where inside the client and the server's name are.
const DRIVER: &str = "/driver";
const NAME: &str = "server.example.test";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Plain,
    Reach,
    Publish,
    Pasta,
    Slirp,
}

impl Way {
    /// Those that this machine has.
    pub fn all() -> Vec<Self> {
        let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
        let mut all = vec![Self::Plain, Self::Reach, Self::Publish];
        for (way, program) in [(Self::Pasta, "pasta"), (Self::Slirp, "slirp4netns")] {
            if has(program) && Path::new("/dev/net/tun").exists() {
                all.push(way);
            } else {
                eprintln!("network: not measured: {program} or /dev/net/tun is missing");
            }
        }
        all
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "loopback, no jail",
            Self::Reach => "`jail --reach`",
            Self::Publish => "`jail --publish`, the server inside",
            Self::Pasta => "pasta",
            Self::Slirp => "slirp4netns",
        }
    }

    pub fn is_of_others(self) -> bool {
        matches!(self, Self::Pasta | Self::Slirp)
    }

    /// How many seconds one task takes, the launch not counted.
    pub fn time(self, dir: &Path, task: Task, count: usize) -> Result<f64> {
        let server = TcpListener::bind("127.0.0.1:0")?;
        let port = server.local_addr()?.port();
        if self == Self::Publish {
            drop(server);
            return published(dir, task, count);
        }
        thread::spawn(move || client::answer(server));
        let words = |host: &str, port: &str| ["--client", host, port, task.word(), &count.to_string()].map(str::to_owned);
        let driver = dir.join("driver");
        let mut command = match self {
            Self::Plain | Self::Publish => return Ok(client::time(("127.0.0.1", port), task, count)?.as_secs_f64()),
            Self::Reach => {
                let mut jail = Command::new(dir.join("jail"));
                jail.args(["--reach", &format!("{NAME}:80=127.0.0.1:{port}"), "--ro-bind"]).args([&driver, Path::new(DRIVER)]);
                jail.args(["--", DRIVER]).args(words(NAME, "80"));
                jail
            }
            Self::Pasta => {
                // Its own way to the host's loopback, by the address of the gateway.
                let mut pasta = Command::new("pasta");
                pasta.args(["--quiet", "--config-net", "-t", "none", "-u", "none", "-T", "none", "-U", "none", "--", "sh", "-c"]);
                pasta.arg(
                    "g=$(ip route show default | cut -d' ' -f3 | head -n 1); d=$1; p=$2; shift 2; exec $d --client $g $p \"$@\"",
                );
                pasta.arg("sh").arg(&driver).arg(port.to_string()).args(&words("", "")[3..]);
                pasta
            }
            Self::Slirp => return slirp(&driver, words("10.0.2.2", &port.to_string())),
        };
        seconds(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?)
    }
}

/// What the client prints.
fn seconds(child: Child) -> Result<f64> {
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| format!("a client said {text:?} ({})", output.status).into())
}

fn line(stdout: Option<&mut ChildStdout>) -> Result<String> {
    let mut line = String::new();
    BufReader::new(stdout.ok_or("no output")?).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// The client is outside, the server in a jail.
fn published(dir: &Path, task: Task, count: usize) -> Result<f64> {
    let mut jail = Command::new(dir.join("jail"));
    let free = TcpListener::bind("127.0.0.9:0")?.local_addr()?.port();
    jail.args(["--publish", &format!("127.0.0.9:{free}:80"), "--as-root", "--ro-bind"]);
    jail.args([&dir.join("driver"), Path::new(DRIVER)]).args(["--", DRIVER, "--serve", "80"]);
    let mut jail = jail.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let ready = line(jail.stdout.as_mut());
    let time = ready.and_then(|_| client::time(("127.0.0.9", free), task, count));
    jail.kill()?;
    jail.wait()?;
    Ok(time?.as_secs_f64())
}

/// A network namespace that waits until slirp4netns has connected it.
fn slirp(driver: &Path, words: [String; 5]) -> Result<f64> {
    let mut inside = Command::new("unshare");
    inside.args(["--map-root-user", "--net", "sh", "-c", "echo $$; read go; exec \"$@\"", "sh"]).arg(driver).args(words);
    let mut inside = inside.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let pid = {
        // A byte at a time: what follows is the client's.
        let stdout = inside.stdout.as_mut().ok_or("no output")?;
        let mut said = String::new();
        let mut byte = [0];
        while std::io::Read::read(stdout, &mut byte)? == 1 && byte != *b"\n" {
            said.push(char::from(byte[0]));
        }
        said
    };
    let mut slirp = Command::new("slirp4netns");
    slirp.args(["--configure", "--mtu=65520", "--ready-fd=1", &pid, "tap0"]);
    let mut slirp = slirp.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut ready = [0];
    std::io::Read::read_exact(slirp.stdout.as_mut().ok_or("no output")?, &mut ready)?;
    inside.stdin.as_mut().ok_or("no input")?.write_all(b"go\n")?;
    let time = seconds(inside);
    slirp.kill()?;
    slirp.wait()?;
    time
}
