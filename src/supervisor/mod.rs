//! The launcher from set-up to the exit status: it passes signals on, stops and continues with
//! the command, keeps the time. It allocates before the clone, and not while the jail runs.

pub(crate) mod cgroup;
pub(crate) mod deadline;
pub(crate) mod denied_tracer;
pub(crate) mod idmap_helper;
pub(crate) mod launch;
pub(crate) mod netns_helper;
pub(crate) mod outcome;
pub(crate) mod overlay_dir;
pub(crate) mod pasta;
pub(crate) mod pty_relay;
pub(crate) mod sealed_copy;
pub(crate) mod setup;
pub(crate) mod signals;
pub(crate) mod startup;
pub(crate) mod status_fd;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

use crate::child::init::CARRIER;
use crate::child::protocol::{NAMESPACES, Report};
use crate::plan::Plan;
use crate::policy::Init;
use crate::policy::net::Hole;
use crate::process::fd_channel::Listener;
use crate::process::subreaper::Children;
use crate::process::watchdog::{End, Keeper};
use crate::relay::process::Running as Relaying;
use crate::relay::publish::Listening;
use crate::relay::reach::Reacher;
use crate::supervisor::cgroup::Cgroup;
use crate::supervisor::denied_tracer::Tracer;
use crate::supervisor::launch::Passed;
use crate::supervisor::netns_helper::Beside;
use crate::supervisor::outcome::{Ended, Failure};
use crate::supervisor::overlay_dir::Kept;
use crate::supervisor::pasta::Running;
use crate::supervisor::pty_relay::Relay;
use crate::supervisor::status_fd::Record;
use crate::sys::clock::timespec;
use crate::sys::{self, Arguments, Flag, SignalFd, SignalSet};
use crate::util::exit_status::FAILED;

/// All that the launcher knows of a running jail.
pub(crate) struct Supervisor<'a> {
    pub(crate) plan: &'a Plan,
    /// The launcher's argument strings.
    pub(crate) arguments: &'a Arguments,
    /// Process 1.
    pub(crate) child: Pid,
    /// Every signal that can be caught.
    pub(crate) signals: SignalFd,
    /// The pipe from inside; None once all its writers are gone.
    pub(crate) reports: Option<OwnedFd>,
    /// Tells who the command's process is, where a record wants it.
    pub(crate) listener: Option<Listener>,
    /// Lets process 1 go on once its ids are mapped, and once the network stands.
    pub(crate) go: Option<OwnedFd>,
    pub(crate) record: Option<&'a Record>,
    pub(crate) passed: Passed,
    /// What had come when process 1 was made.
    pub(crate) early: SignalSet,
    /// When the launch began, by `sys::now`.
    pub(crate) began: u64,
    /// Set once the command has been executed.
    pub(crate) executing: &'a Flag,
    /// What process 1 leaves, where that has no process table of its own.
    pub(crate) children: Option<Children>,
    pub(crate) told: Told,
    pub(crate) stage: Stage,
    /// While ids are being mapped.
    pub(crate) subids: Option<idmap_helper::Running>,
    pub(crate) pasta: Option<Running>,
    /// What listens outside, until the publisher has it.
    pub(crate) published: Vec<Listening>,
    /// With something published.
    pub(crate) publisher: Option<Relaying>,
    /// With something to be reached.
    pub(crate) reacher: Option<Reacher>,
    /// With a terminal of the jail's own.
    pub(crate) relay: Option<Relay>,
    /// Answers what the system-call policy refuses, and tells of it.
    pub(crate) tracer: Option<Tracer<'a>>,
    /// Has someone asked for the end?
    pub(crate) asked_to_end: bool,
    /// Makes the network namespace.
    pub(crate) beside: Option<Beside>,
    /// With `--init none`: ends process 1 if this one is killed.
    pub(crate) tie: Option<Keeper>,
    /// With limits of the whole jail. It is removed with this.
    pub(crate) cgroup: Option<Cgroup>,
    /// With a directory for changes. It is let go of with this.
    pub(crate) kept: Option<Kept>,
}

/// What the inside has told so far.
#[derive(Default)]
pub(crate) struct Told {
    /// How the command ended.
    ended: Option<ExitStatus>,
    /// What failed.
    failure: Option<Report>,
    /// By which signal the command stands still.
    stopped: Option<i32>,
    /// The command's process, as numbered here.
    command: Option<Pid>,
    /// The namespaces' inodes, in the order of `NAMESPACES`.
    namespaces: [u64; NAMESPACES.len()],
    /// What is published where.
    published: Vec<Hole>,
}

/// How far the end by `--timeout` has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The time is not up.
    Running,
    /// The command has been asked to end.
    Asked(u64),
    /// Everything is being killed.
    Killing(u64),
    /// Nothing is left to be done but to wait.
    Killed,
}

/// What poll has found: of signals, reports, listener and pasta; of the relay; of the
/// tracer.
type Ready = ([bool; 5], [PollFlags; 3], [PollFlags; 2]);

/// The signals that ask a program to end.
pub(crate) const ENDING: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

impl<'a> Supervisor<'a> {
    /// Waits until everything in the jail is dead.
    ///
    /// # Errors
    /// Where the launch failed; and where waiting itself did, and then all is
    /// dead, too.
    pub(crate) fn run(mut self) -> Result<Ended, Failure> {
        let ended = self.let_go().map_err(Failure::Supervise).and_then(|()| self.wait());
        if ended.is_err() {
            // Process 1 may be waiting for it, and then for no signal.
            self.go = None;
            self.subids = None;
            self.kill_all();
            let _ = waitpid(Some(self.child), WaitOptions::empty());
        }
        if let Some(children) = &self.children {
            let pasta = self.pasta.as_ref().map(Running::pid);
            let keeper = self.relay.as_ref().and_then(Relay::keeper).map(Keeper::pid);
            let other = self.cgroup.as_ref().and_then(Cgroup::keeper);
            let kept = self.kept.as_ref().map(Kept::keeper);
            let publisher = self.publisher.as_ref().map(Relaying::pid);
            let reacher = self.reacher.as_ref().map(Reacher::pid);
            let spared = [pasta, keeper, other, kept, publisher, reacher].into_iter().flatten().collect::<Vec<_>>();
            children.end_all(&spared);
        }
        if let Some(beside) = self.beside.take() {
            beside.end();
        }
        // Before the status is known: what the command has sent is then where it goes.
        self.publisher = None;
        self.reacher = None;
        let drained = ended.and_then(|status| self.drain().map(|()| status));
        // What the launcher says is said on the caller's terminal as it was.
        self.relay = None;
        if let Some(tracer) = self.tracer.take() {
            tracer.conclude();
        }
        let status = drained?;
        self.conclude(status)
    }

    /// Lets go of the caller's descriptors, so that a reader of the command's output
    /// sees its end when the command closes it; and sees to it that process 1 ends
    /// with this one where it could forget to.
    pub(crate) fn let_go(&mut self) -> Result<(), Errno> {
        if let Some(kept) = &mut self.kept {
            kept.until_dead(self.child)?;
        }
        let raw = |fd: Option<BorrowedFd<'_>>| fd.map(|fd| fd.as_raw_fd());
        let pidfd = if self.plan.init == Init::None { Some(pidfd_open(self.child, PidfdFlags::empty())?) } else { None };
        let mut keep: Vec<i32> = [
            Some(2),
            raw(Some(self.signals.as_fd())),
            raw(self.reports.as_ref().map(AsFd::as_fd)),
            raw(self.listener.as_ref().map(AsFd::as_fd)),
            raw(self.go.as_ref().map(AsFd::as_fd)),
            raw(pidfd.as_ref().map(AsFd::as_fd)),
            self.record.map(Record::fd),
            self.children.as_ref().map(Children::fd),
        ]
        .into_iter()
        .flatten()
        .collect();
        keep.extend(self.cgroup.iter().flat_map(Cgroup::descriptors));
        keep.extend(self.published.iter().map(|listening| listening.socket.as_raw_fd()));
        keep.extend(self.reacher.iter().filter_map(Reacher::descriptor));
        keep.extend(self.kept.iter().flat_map(Kept::descriptors));
        if self.plan.pty {
            keep.extend([0, 1]);
        }
        if self.passed == Passed::LetGo {
            sys::close_all_but(0, &keep, &[])?;
        }
        if let Some(pidfd) = pidfd {
            // A command that is process 1 can clear the signal that it is to get when
            // its parent dies; nobody can from here.
            let kill = [pidfd.as_raw_fd()];
            self.tie = Some(Keeper::start(self.arguments, &kill, move |end| {
                if end == End::Dead {
                    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
                }
            })?);
        }
        Ok(())
    }

    pub(crate) fn wait(&mut self) -> Result<ExitStatus, Failure> {
        loop {
            let ([signals, reports, listener, subids, pasta], relay, traced) = self.ready().map_err(Failure::Supervise)?;
            // What is told comes before the end that follows it.
            if reports {
                self.receive()?;
            }
            if listener {
                self.listen()?;
            }
            if subids {
                self.mapped()?;
            }
            if pasta {
                self.connected()?;
            }
            if let Some(tracer) = &mut self.tracer {
                let raw = self.relay.as_ref().is_some_and(Relay::is_raw);
                tracer.turn(traced, raw).map_err(Failure::Supervise)?;
            }
            if let Some(waiting) = &mut self.relay {
                waiting.turn(relay).map_err(Failure::Relay)?;
                waiting.go_on();
            }
            if let Some(caught) = if signals { self.signals.read().map_err(Failure::Supervise)? } else { None } {
                if caught.signal != libc::SIGCHLD || caught.code <= 0 {
                    self.while_waiting(&caught)?;
                    self.pass_on(&caught);
                }
                if caught.signal == libc::SIGCHLD {
                    self.beside = self.beside.take().and_then(Beside::take_in);
                    if let Some(status) = self.child_changed().map_err(Failure::Supervise)? {
                        return Ok(status);
                    }
                }
            }
            if let Some(signal) = self.told.stopped.take() {
                // The caller's shell is to see what it would see of the command.
                self.stop(signal);
            }
            self.keep_time();
        }
    }

    /// Has the relay put out what the dead have left, until nothing more comes, its
    /// time is up, or someone has had enough.
    pub(crate) fn drain(&mut self) -> Result<(), Failure> {
        // Someone outside may hold the jail's terminal open, so that it has no end.
        const SILENCE: u64 = 100_000_000;
        let Some(mut relay) = self.relay.take() else { return Ok(()) };
        relay.hang_up();
        while !relay.is_dry() {
            let [master, _, output] = relay.wants();
            let signals = self.signals.as_fd();
            let patient = relay.has_output() && !self.asked_to_end;
            let patience = if patient { None } else { Some(SILENCE) };
            let limit = [self.time_left(), patience].into_iter().flatten().min();
            let (ready, [signals, master, output]) =
                poll_wanted(signals, [Some(readable(signals)), master, output], limit).map_err(Failure::Supervise)?;
            if ready == 0 || self.time_left() == Some(0) {
                break;
            }
            relay.turn([master, PollFlags::empty(), output]).map_err(Failure::Relay)?;
            if !signals.is_empty() {
                match self.signals.read().map_err(Failure::Supervise)? {
                    Some(caught) if ENDING.contains(&caught.signal) => break,
                    Some(_) | None => {}
                }
            }
        }
        Ok(())
    }

    /// Waits until something can be done: which of signals, reports, listener, the
    /// mapping of ids, pasta can be read, and how it is with what the relay and the
    /// tracer want.
    pub(crate) fn ready(&self) -> Result<Ready, Errno> {
        let signals = self.signals.as_fd();
        let [master, caller_in, caller_out] = self.relay.as_ref().map_or([None; 3], Relay::wants);
        let [refusals, told] = self.tracer.as_ref().map_or([None; 2], Tracer::wants);
        let wanted = [
            Some(readable(signals)),
            self.reports.as_ref().map(AsFd::as_fd).map(readable),
            self.listener.as_ref().map(AsFd::as_fd).map(readable),
            self.subids.as_ref().map(idmap_helper::Running::says).map(readable),
            self.pasta.as_ref().and_then(Running::says).map(readable),
            master,
            caller_in,
            caller_out,
            refusals,
            told,
        ];
        let mut left = self.time_left();
        if self.relay.as_ref().is_some_and(Relay::in_background) {
            // Nobody tells when it comes to the foreground.
            left = Some(left.unwrap_or(u64::MAX).min(250_000_000));
        }
        let found = match poll_wanted(signals, wanted, left) {
            Ok((_, found)) => found,
            Err(Errno::INTR) => [PollFlags::empty(); 10],
            Err(errno) => return Err(errno),
        };
        let [signals, reports, listener, subids, pasta, master, caller_in, caller_out, refusals, told] = found;
        let there = [signals, reports, listener, subids, pasta].map(|events| !events.is_empty());
        Ok((there, [master, caller_in, caller_out], [refusals, told]))
    }

    /// Takes all that process 1 and the command's process have reported.
    pub(crate) fn receive(&mut self) -> Result<(), Failure> {
        while let Some(reports) = &self.reports {
            if !sys::is_readable(reports.as_fd()) {
                return Ok(());
            }
            match Report::receive(reports.as_fd()).map_err(Failure::Supervise)? {
                None => self.reports = None,
                Some(Report::Ended(raw)) => self.told.ended = Some(ExitStatus::from_raw(raw)),
                Some(Report::Stopped(signal)) => self.told.stopped = Some(signal),
                Some(Report::Continued) => self.told.stopped = None,
                Some(Report::Namespace(index, inode)) => {
                    if let Some(known) = self.told.namespaces.get_mut(index) {
                        *known = inode;
                    }
                }
                Some(Report::AwaitsIds) => self.map_ids()?,
                Some(Report::AwaitsNetwork) => self.connect()?,
                Some(report @ (Report::Inside(..) | Report::Last(..) | Report::Fork(_) | Report::Exec { .. })) => {
                    self.told.failure.get_or_insert(report);
                }
            }
        }
        Ok(())
    }

    /// Kills everything in the jail.
    pub(crate) fn kill_all(&self) {
        // With a process table of its own the kernel kills all with process 1;
        // without one the reaper must do it.
        let _ = if self.plan.own_pids {
            sys::kill(self.child, libc::SIGKILL)
        } else {
            sys::queue(self.child, CARRIER, libc::SIGKILL)
        };
    }

    /// What the reports and process 1's end add up to.
    pub(crate) fn conclude(mut self, status: ExitStatus) -> Result<Ended, Failure> {
        // Everyone is dead: what was written is all there.
        self.receive()?;
        while self.listener.is_some() {
            self.listen()?;
        }
        let counted = self.cgroup.as_ref().map(Cgroup::counted);
        let timed_out = self.stage != Stage::Running;
        if let (Some(failure), false) = (self.told.failure, timed_out) {
            return Err(Failure::Inside(failure));
        }
        // A reaper ends as the command has, if that cannot be its own failure.
        let same = self.plan.init == Init::None || status.code().is_some_and(|code| code < FAILED.into());
        let of_command = self.told.ended.or(same.then_some(status));
        // By another signal someone has asked it to end, and it has.
        let killed = of_command.unwrap_or(status).signal() == Some(libc::SIGKILL);
        if killed && !timed_out && !self.executing.is_set() {
            return Err(Failure::KilledBefore(counted.is_some_and(|counted| counted.oom_kills > 0)));
        }
        match (of_command, status.signal()) {
            (Some(status), _) => Ok(Ended { status, timed_out, counted }),
            (None, Some(_)) if timed_out => Ok(Ended { status, timed_out, counted }),
            (None, signal) => Err(Failure::Killed(signal)),
        }
    }
}

/// Waits at most `limit` nanoseconds for one of `wanted`, and gives how many there are, and
/// what poll found of each.
///
/// poll(2) is given as many entries as are wanted, and no more: it refuses (EINVAL) more
/// than RLIMIT_NOFILE, even if no descriptor is behind them. `any` is an open descriptor.
fn poll_wanted<const N: usize>(
    any: BorrowedFd<'_>,
    wanted: [Option<(BorrowedFd<'_>, PollFlags)>; N],
    limit: Option<u64>,
) -> Result<(usize, [PollFlags; N]), Errno> {
    let mut fds: [PollFd<'_>; N] = core::array::from_fn(|_| PollFd::from_borrowed_fd(any, PollFlags::empty()));
    let mut count = 0;
    for (fd, events) in wanted.into_iter().flatten() {
        fds[count] = PollFd::from_borrowed_fd(fd, events);
        count += 1;
    }
    let ready = match poll(&mut fds[..count], limit.map(timespec).as_ref()) {
        // The time is a good one: it is the number of entries that is refused.
        Err(Errno::INVAL) => return Err(Errno::MFILE),
        ready => ready?,
    };
    let mut found = fds.iter().map(PollFd::revents);
    Ok((ready, wanted.map(|wanted| wanted.and_then(|_| found.next()).unwrap_or(PollFlags::empty()))))
}

fn readable(fd: BorrowedFd<'_>) -> (BorrowedFd<'_>, PollFlags) {
    (fd, PollFlags::IN)
}

pub(crate) fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}
