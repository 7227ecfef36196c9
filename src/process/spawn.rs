//! Programs of the machine's that the launcher has work for a jail: pasta(1),
//! newuidmap(1). Not std's Command, which can do much more, and takes 12 KB for it.
//! `helper` finds their files.

use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Pid, WaitOptions, chdir, getpid, getppid, setpgid, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::process::helper;
use crate::sys::{self, SignalSet, Stack, Words};

/// One that runs; it ends with this.
pub(crate) struct Program {
    pid: Pid,
    /// Did it do well? None until it is known.
    ended: Option<bool>,
}

impl Program {
    /// Starts the program at `path`, with nothing to read, and a descriptor to write to;
    /// its own words go to standard error. Of what the caller has given the launcher it
    /// gets nothing else: no variable, no working directory, no descriptor.
    pub(crate) fn start(path: &CStr, words: Vec<CString>, stdout: BorrowedFd<'_>) -> Result<Self, Errno> {
        let null = openat(CWD, c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        // The launcher may have let go of its standard streams: at its own place one would
        // be closed by exec.
        let (null, stdout) = (fcntl_dupfd_cloexec(null, 3)?, fcntl_dupfd_cloexec(stdout, 3)?);
        let (words, us) = (Words::new(words), getpid());
        let environment = Words::new(vec![helper::ENVIRONMENT.to_owned()]);
        // The new process's to write, which has this one's memory.
        let mut failed = Ok(());
        let mut become_it = || {
            let ready = ready(us, &null, &stdout);
            failed = ready.and_then(|()| Err(sys::execve(path, &words, &environment)));
            127
        };
        let pid = sys::clone_until_exec(&Stack::new()?, &mut become_it)?;
        let mut program = Self { pid, ended: None };
        if failed.is_err() {
            program.wait();
        }
        failed.map(|()| program)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for its end; did it do well?
    pub(crate) fn wait(&mut self) -> bool {
        if let Some(well) = self.ended {
            return well;
        }
        let ended = loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Err(Errno::INTR) => {}
                ended => break ended,
            }
        };
        let well = matches!(ended, Ok(Some((_, status))) if status.exit_status() == Some(0));
        self.ended = Some(well);
        well
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = sys::kill(self.pid, libc::SIGKILL);
            self.wait();
        }
    }
}

/// In the new process, of `us`: what exec passes on. It allocates nothing.
fn ready(us: Pid, null: &OwnedFd, stdout: &OwnedFd) -> Result<(), Errno> {
    sys::die_with_parent(libc::SIGKILL)?;
    // Dead already: then the kernel will not say so again.
    if getppid() != Some(us) {
        return Err(Errno::SRCH);
    }
    // What is typed at the terminal is for the jail's command.
    setpgid(None, None)?;
    dup2_stdin(null)?;
    dup2_stdout(stdout)?;
    if !sys::is_open(2) {
        // Or the next file that it opens would be told what goes wrong.
        dup2_stderr(null)?;
    }
    sys::close_all_but(3, &[], &[])?;
    // The caller's may be one that a jailed command filled.
    chdir(c"/")?;
    SignalSet::of(&[]).set_blocked().map(drop)
}
