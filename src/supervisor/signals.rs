//! Signals: passed on to the command, or the end of the launch.

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::io::Errno;
use rustix::process::{WaitOptions, getpid, waitpid};

use crate::child::init::CARRIER;
use crate::policy::Init;
use crate::supervisor::idmap_helper::Unmapped;
use crate::supervisor::outcome::Failure;
use crate::supervisor::pasta::Pasta;
use crate::supervisor::{ENDING, Supervisor};
use crate::sys::{self, Caught};

impl<'a> Supervisor<'a> {
    /// Ends the launch by what would end the command, while that has to wait for its
    /// ids or the network and who knows how long.
    pub(crate) fn while_waiting(&self, caught: &Caught) -> Result<(), Failure> {
        let ends = ENDING.contains(&caught.signal);
        if ends && self.subids.is_some() {
            return Err(Failure::Subids(Unmapped::Interrupted(caught.signal)));
        }
        if ends && self.pasta.as_ref().is_some_and(|pasta| pasta.says().is_some()) {
            return Err(Failure::Pasta(Pasta::Interrupted(caught.signal)));
        }
        Ok(())
    }

    /// Stops by `signal` until someone has this process go on.
    pub(crate) fn stop(&mut self, signal: i32) {
        if let Some(relay) = &mut self.relay {
            relay.pause();
        }
        // A command that its parent traces, which it may ask for, stands still at any
        // signal; this process would end by most of them.
        let stops = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal);
        let signal = if stops { signal } else { libc::SIGSTOP };
        sys::stop_as(signal, self.deadline(), self.reports.as_ref().map(AsFd::as_fd));
        if let Some(relay) = &mut self.relay {
            relay.go_on();
        }
    }

    /// Passes on what someone sent, for which there is a process 1 to tell apart
    /// whether the command has got it already.
    pub(crate) fn pass_on(&mut self, caught: &Caught) {
        // The kernel says so of a broken pipe of the launcher's own, too.
        let sent = caught.code <= 0 && caught.sender != getpid().as_raw_pid();
        let reaches_the_command = match caught.signal {
            // A hang-up reaches the session's leader alone.
            libc::SIGHUP => self.plan.own_session || sys::leads_its_session(),
            libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU if self.plan.own_session && !sent => {
                self.stop(caught.signal);
                return;
            }
            // Who stopped this one has perhaps changed the terminal since.
            libc::SIGCONT if self.relay.is_some() && sent => {
                if let Some(relay) = &mut self.relay {
                    relay.retake();
                }
                false
            }
            // The jail's own terminal then tells the command.
            libc::SIGWINCH if self.relay.is_some() => {
                if let Some(relay) = &self.relay {
                    relay.resize();
                }
                return;
            }
            libc::SIGCHLD => false,
            // What the terminal sends reaches the whole foreground group, the
            // command too, unless that has a session of its own.
            libc::SIGINT | libc::SIGQUIT | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU | libc::SIGWINCH | libc::SIGCONT => {
                self.plan.own_session
            }
            // Of the launcher's own doing.
            libc::SIGPIPE | libc::SIGXFSZ | libc::SIGXCPU => false,
            // A timer that the caller set before it executed the launcher, a
            // descriptor that it asked to be told of.
            _ => true,
        };
        // What came before there was a process 1 has reached nobody else.
        let early = !sent && self.early.has(caught.signal);
        self.early.remove(caught.signal);
        self.asked_to_end |= sent && ENDING.contains(&caught.signal);
        if sent || reaches_the_command || early {
            self.send(caught.signal);
        }
    }

    /// Sends the command a signal.
    pub(crate) fn send(&self, signal: i32) {
        if self.plan.init == Init::None {
            let _ = sys::kill(self.child, signal);
            return;
        }
        // As a message, which process 1 knows from the signal itself. Where the
        // queue is full, the signal must do.
        if sys::queue(self.child, CARRIER, signal).is_err() {
            let _ = sys::kill(self.child, signal);
        }
    }

    /// Has process 1 ended, or was the command stopped where it is process 1?
    pub(crate) fn child_changed(&mut self) -> Result<Option<ExitStatus>, Errno> {
        let mut options = WaitOptions::NOHANG;
        if self.plan.init == Init::None {
            options |= WaitOptions::UNTRACED;
        }
        let Some((_, status)) = waitpid(Some(self.child), options)? else { return Ok(None) };
        if let Some(signal) = status.stopping_signal() {
            self.told.stopped = Some(signal);
            return Ok(None);
        }
        Ok(Some(ExitStatus::from_raw(status.as_raw())))
    }
}
