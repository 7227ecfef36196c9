//! The launcher while the jail runs: passes signals on, stops and goes on with the
//! command, keeps the time, and knows how all ended.

pub(crate) mod cgroup;
pub(crate) mod denied_tracer;
pub(crate) mod idmap_helper;
pub(crate) mod launch;
pub(crate) mod netns_helper;
pub(crate) mod overlay_dir;
pub(crate) mod pasta;
pub(crate) mod pty_relay;
pub(crate) mod status_fd;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, waitpid};

use crate::child::init::CARRIER;
use crate::child::protocol::{NAMESPACES, Report};
use crate::error::FAILED;
use crate::plan::{Op, Plan, Step};
use crate::policy::{Hole, Init};
use crate::process::fd_channel::{Heard, Listener};
use crate::process::subreaper::Children;
use crate::process::watchdog::{End, Keeper};
use crate::relay::Running as Relaying;
use crate::relay::publish::{self, Listening};
use crate::relay::reach::Reacher;
use crate::supervisor::cgroup::Cgroup;
use crate::supervisor::denied_tracer::Tracer;
use crate::supervisor::idmap_helper::Unmapped;
use crate::supervisor::launch::{Ended, Failure, Passed};
use crate::supervisor::netns_helper::Beside;
use crate::supervisor::overlay_dir::Kept;
use crate::supervisor::pasta::{Pasta, Running};
use crate::supervisor::pty_relay::Relay;
use crate::supervisor::status_fd::Record;
use crate::sys::{self, Arguments, Caught, Flag, SignalFd, SignalSet};

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
const ENDING: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

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
    fn let_go(&mut self) -> Result<(), Errno> {
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

    fn wait(&mut self) -> Result<ExitStatus, Failure> {
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
    fn drain(&mut self) -> Result<(), Failure> {
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
    fn ready(&self) -> Result<Ready, Errno> {
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
    fn receive(&mut self) -> Result<(), Failure> {
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

    /// Has subordinate ids mapped, for which process 1 waits.
    fn map_ids(&mut self) -> Result<(), Failure> {
        let wanted = |step: &'a Step| if let Op::MapSubids { subids } = &step.op { Some(subids) } else { None };
        let subids = self.plan.inside.iter().find_map(wanted);
        if let Some(subids) = subids {
            self.subids = Some(idmap_helper::start(self.child, subids, self.arguments).map_err(Failure::Subids)?);
        }
        Ok(())
    }

    /// Lets process 1 go on if its ids are mapped.
    fn mapped(&mut self) -> Result<(), Failure> {
        if let Some(subids) = &mut self.subids {
            if subids.done().map_err(Failure::Subids)? {
                self.subids = None;
                self.let_go_on();
            }
        }
        Ok(())
    }

    /// Has the network connected, for which process 1 waits.
    fn connect(&mut self) -> Result<(), Failure> {
        if !self.published.is_empty() {
            let own_ids = self.plan.namespaces & libc::CLONE_NEWUSER != 0;
            self.told.published.extend(self.published.iter().map(|listening| listening.hole));
            let published = std::mem::take(&mut self.published);
            let started = publish::start(self.arguments, self.child, own_ids, published);
            self.publisher = Some(started.map_err(Failure::Publish)?);
            self.let_go_on();
            return Ok(());
        }
        let root = rustix::process::geteuid().is_root();
        let network = |step: &'a Step| if let Op::AwaitNetwork { pasta, udp } = &step.op { Some((pasta, udp)) } else { None };
        let Some((program, udp)) = self.plan.inside.iter().find_map(network) else { return Ok(()) };
        self.pasta = Some(pasta::start(program, self.child, root, udp).map_err(Failure::Pasta)?);
        self.told.published.extend(udp);
        Ok(())
    }

    /// Lets process 1 go on if the network stands.
    fn connected(&mut self) -> Result<(), Failure> {
        if let Some(pasta) = &mut self.pasta {
            pasta.connected().map_err(Failure::Pasta)?;
        }
        self.let_go_on();
        Ok(())
    }

    /// Lets process 1 go on with what it waits for.
    fn let_go_on(&mut self) {
        let more = (self.plan.pasta && self.pasta.is_none()) || !self.published.is_empty();
        if let Some(go) = &self.go {
            // If process 1 is dead by now, its end says more.
            let _ = rustix::io::write(go, b"\n");
        }
        if !more {
            self.go = None;
        }
    }

    /// Learns who the command's process is, and when it executes the command.
    fn listen(&mut self) -> Result<(), Failure> {
        let Some(listener) = &self.listener else { return Ok(()) };
        match listener.hear().map_err(Failure::Supervise)? {
            Heard::Command(pid) => self.told.command = Some(pid),
            Heard::Terminal(master) => self.relay = Some(Relay::start(master, self.arguments).map_err(Failure::Supervise)?),
            Heard::Refusals(refusals) => {
                self.tracer = self.plan.trace.as_ref().map(|trace| Tracer::start(refusals, trace));
            }
            // Said to a keeper, and to process 1.
            Heard::ProcessOne(_) | Heard::Network(_) | Heard::Work(_) => {}
            Heard::Gone => {
                self.listener = None;
                // A failure was reported before this end was closed.
                self.receive()?;
                if let (None, Some(record), true) = (self.told.failure, self.record, self.executing.is_set()) {
                    record.started(self.plan, self.child, self.told.command, &self.told.namespaces, &self.told.published);
                }
            }
        }
        Ok(())
    }

    /// Ends the launch by what would end the command, while that has to wait for its
    /// ids or the network and who knows how long.
    fn while_waiting(&self, caught: &Caught) -> Result<(), Failure> {
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
    fn stop(&mut self, signal: i32) {
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
    fn pass_on(&mut self, caught: &Caught) {
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
    fn send(&self, signal: i32) {
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
    fn child_changed(&mut self) -> Result<Option<ExitStatus>, Errno> {
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

    /// When there is something to be done about time, by `sys::now`.
    fn deadline(&self) -> Option<u64> {
        match (self.stage, self.plan.timeout) {
            (Stage::Running, Some(limit)) => Some(self.began.saturating_add(nanoseconds(limit.timeout))),
            (Stage::Asked(at) | Stage::Killing(at), _) => Some(at),
            (Stage::Running, None) | (Stage::Killed, _) => None,
        }
    }

    fn time_left(&self) -> Option<u64> {
        self.deadline().map(|at| at.saturating_sub(sys::now()))
    }

    /// Ends the jail when its time is up.
    fn keep_time(&mut self) {
        if self.time_left() != Some(0) {
            return;
        }
        self.stage = match self.stage {
            Stage::Running => {
                self.send(libc::SIGTERM);
                // One that stands still could not act on it.
                self.send(libc::SIGCONT);
                Stage::Asked(sys::now() + self.plan.timeout.map_or(0, |limit| nanoseconds(limit.grace)))
            }
            Stage::Asked(_) => {
                self.kill_all();
                Stage::Killing(sys::now() + 1_000_000_000)
            }
            // A process 1 that cannot act: it has not come so far as to have
            // anything below it.
            Stage::Killing(_) | Stage::Killed => {
                let _ = sys::kill(self.child, libc::SIGKILL);
                Stage::Killed
            }
        };
    }

    /// Kills everything in the jail.
    fn kill_all(&self) {
        // With a process table of its own the kernel kills all with process 1;
        // without one the reaper must do it.
        let _ = if self.plan.own_pids {
            sys::kill(self.child, libc::SIGKILL)
        } else {
            sys::queue(self.child, CARRIER, libc::SIGKILL)
        };
    }

    /// What the reports and process 1's end add up to.
    fn conclude(mut self, status: ExitStatus) -> Result<Ended, Failure> {
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

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

pub(crate) fn timespec(nanoseconds: u64) -> Timespec {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: i64::try_from(rest).unwrap_or(0) }
}
