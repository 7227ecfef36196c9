//! A person at a terminal: starts a program in a pseudo-terminal of its own,
//! types, and waits for what is to appear.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{command, jail};

/// How long anything may take to appear.
const PATIENCE: Duration = Duration::from_secs(15);

pub struct Person {
    terminal: File,
    slave: OwnedFd,
    program: Child,
    seen: String,
}

impl Person {
    /// At a shell of the user's, in which `jail` is found.
    pub fn at_a_shell(dir: &Path) -> Self {
        let mut person = Self::at(dir, &["bash", "--norc", "--noprofile", "-i"]);
        person.types("PS1='ready''> '; PS2=; bind 'set enable-bracketed-paste off'\n");
        person.sees("ready> ");
        person
    }

    /// At a program that has the terminal for itself.
    pub fn at(dir: &Path, words: &[&str]) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let slave = ioctl_tiocgptpeer(&terminal, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        let stream = || Stdio::from(slave.try_clone().unwrap());
        let mut inner = command(Path::new("setsid"), dir, false);
        inner.args(["--ctty", "--wait"]).args(words);
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", jail().parent().unwrap().display());
        inner.env("PATH", path).env("TERM", "xterm").stdin(stream()).stdout(stream()).stderr(stream());
        let program = inner.spawn().unwrap();
        let mut person = Self { terminal: File::from(terminal), slave, program, seen: String::new() };
        person.resizes(24, 80);
        person
    }

    pub fn types(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    pub fn resizes(&mut self, rows: u16, columns: u16) {
        tcsetwinsize(&self.terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    /// Waits until `text` has appeared, and gives what came before it.
    pub fn sees(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                let before = self.seen[..at].to_owned();
                self.seen = self.seen[at + text.len()..].to_owned();
                return before;
            }
            assert!(start.elapsed() < PATIENCE, "{text:?} does not appear; what does: {:?}", self.seen);
            self.reads(100);
        }
    }

    /// Waits `milliseconds`, and gives all that appeared.
    pub fn waits(&mut self, milliseconds: u64) -> String {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(milliseconds) {
            self.reads(20);
        }
        std::mem::take(&mut self.seen)
    }

    fn reads(&mut self, milliseconds: i64) {
        let limit = Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
        let mut fds = [PollFd::new(&self.terminal, PollFlags::IN)];
        if poll(&mut fds, Some(&limit)).unwrap() == 0 {
            return;
        }
        let mut bytes = [0; 4096];
        if let Ok(read) = self.terminal.read(&mut bytes) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    /// Has the program run a line, and gives what it printed.
    pub fn asks(&mut self, line: &str) -> String {
        self.types(&format!("{line}\n"));
        // The echo, then the answer, then the next prompt.
        self.sees("\n");
        self.sees("ready> ").trim_end().replace('\r', "")
    }

    /// The terminal's settings, as stty(1) prints them.
    pub fn settings(&self) -> String {
        let output = Command::new("stty").arg("-a").stdin(Stdio::from(self.slave.as_fd().try_clone_to_owned().unwrap())).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    /// Leaves the program, and gives its status.
    pub fn ends(mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.program.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end; what was seen: {:?}", self.seen);
            self.reads(20);
        }
    }

    /// The terminal is gone: the line is cut, the window closed.
    pub fn hangs_up(self) -> Child {
        let Self { terminal, slave, program, .. } = self;
        drop((terminal, slave));
        program
    }
}
