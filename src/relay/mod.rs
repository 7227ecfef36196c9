//! A process beside the launcher that takes connections and passes their bytes on:
//! from outside to a port of the jail for `--publish`, from inside to what `--reach`
//! names. Bytes are spliced, and nothing but bytes passes: no descriptor, no
//! credentials. Made only for a run that has such a hole.

pub(crate) mod publish;
pub(crate) mod reach;

use std::ffi::{CStr, CString};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use rustix::io::{Errno, read, write};
use rustix::net::sockopt::{set_socket_keepalive, set_socket_linger, set_socket_oobinline, set_tcp_nodelay, socket_error};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, accept_with, connect, getpeername,
    recv, send, shutdown, socket_with,
};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, getrlimit, pidfd_open, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, setsid, waitpid,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_name, set_no_new_privs};

use crate::child::apply::Line;
use crate::error::FAILED;
use crate::process::fd_channel;
use crate::supervisor::timespec;
use crate::sys::{self, Arguments, Cloned, SignalSet};

/// Connections at once, where descriptors suffice; the others wait.
const MOST: usize = 4096;
/// What a connection takes: two sockets, and a pipe each way while bytes wait.
const DESCRIPTORS: u64 = 6;
/// Descriptors for all else.
const OTHERS: u64 = 32;
/// Bytes moved at once; no more of one direction are held.
const CHUNK: usize = 65536;
/// Chunks that one connection moves before others have their turn.
const TURN: usize = 16;
/// Empty pipes kept for who needs one next.
const SPARE: usize = 16;
/// After the jail's end, what readers have to take in all that it has said, and those of
/// --publish, who may be anyone, to go on reading in.
const PATIENCE: u64 = 2_000_000_000;
const SILENCE: u64 = 200_000_000;
/// What an address has to answer in, where there is another to try: two packets are
/// repeated by then.
const ANSWER: u64 = 4_000_000_000;
/// When one is asked again who has too many that wait, and does not say when not; twice
/// as long after each time, until it is this long.
const AGAIN: u64 = 20_000_000;
const SELDOM: u64 = 1_000_000_000;
/// When a connection is tried to be taken again for which something was short.
const SHORT: u64 = 100_000_000;
/// What the launcher gives the relay to end in. It is done sooner, unless the kernel
/// holds it up.
const END: u64 = PATIENCE + 1_000_000_000;

/// Where the bytes of a listening socket's connections go.
#[derive(Debug)]
pub(crate) enum Target {
    /// The first of these that takes a connection.
    Tcp(Vec<SocketAddr>),
    /// The socket of this name, in a directory that nobody can put another in the place
    /// of.
    Unix(OwnedFd, CString),
}

/// Who takes connections.
pub(crate) struct Gate {
    /// It listens, and does not block.
    pub(crate) socket: OwnedFd,
    /// Which target it leads to.
    pub(crate) to: usize,
}

/// On which side of the relay the jail is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jail {
    /// It connects.
    Connects = 0,
    /// It is connected to.
    Listens = 1,
}

/// What a relay passes on.
pub(crate) struct Holes<'a> {
    /// What listens already.
    pub(crate) gates: Vec<Gate>,
    /// On which more come, with the number of a target in the message.
    pub(crate) more: Option<OwnedFd>,
    pub(crate) targets: &'a [Target],
    pub(crate) jail: Jail,
}

impl Holes<'_> {
    fn descriptors(&self) -> Vec<i32> {
        let gates = self.gates.iter().map(|gate| gate.socket.as_raw_fd());
        let targets = self.targets.iter().filter_map(|target| match target {
            Target::Unix(dir, _) => Some(dir.as_raw_fd()),
            Target::Tcp(_) => None,
        });
        gates.chain(self.more.iter().map(AsRawFd::as_raw_fd)).chain(targets).collect()
    }
}

/// The process, as the launcher has it.
pub(crate) struct Running {
    pid: Pid,
    /// It ends when this is closed, at once if nothing was written.
    alive: Option<OwnedFd>,
}

impl Running {
    /// Starts one that is called `name`, does `enter` where there is one, for which it has
    /// the descriptor, and can do nothing but relay from then on.
    pub(crate) fn start(
        arguments: &Arguments,
        name: &CStr,
        holes: Holes<'_>,
        enter: Option<(OwnedFd, impl FnOnce(OwnedFd) -> Result<(), Errno>)>,
    ) -> Result<Self, Errno> {
        let (told, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        let (answer, answers) = pipe_with(PipeFlags::CLOEXEC)?;
        let blocked = SignalSet::all().set_blocked()?;
        let cloned = sys::clone(0);
        if let Ok(Cloned::Child) = cloned {
            drop((alive, answer));
            let own: Vec<i32> =
                [&told, &answers].into_iter().chain(enter.iter().map(|(at, _)| at)).map(AsRawFd::as_raw_fd).collect();
            let ready = (|| {
                alone(arguments, name, &holes.descriptors(), &own)?;
                if let Some((at, enter)) = enter {
                    enter(at)?;
                }
                powerless()?;
                Relay::new(&told, holes)
            })();
            let errno = ready.as_ref().map_or_else(|errno| errno.raw_os_error(), |_| 0);
            let _ = write(&answers, &errno.to_ne_bytes());
            drop(answers);
            let ended = ready.and_then(|mut relay| relay.run());
            sys::exit_now(if ended.is_ok() { 0 } else { FAILED.into() });
        }
        // Or what is started next would find its signals blocked.
        let restored = blocked.set_blocked();
        let Cloned::Parent(pid) = cloned? else { return Err(Errno::IO) };
        let mut running = Self { pid, alive: Some(alive) };
        if let Err(errno) = restored {
            running.alive = None;
            return Err(errno);
        }
        drop(answers);
        let mut errno = [0; 4];
        loop {
            return match read(&answer, &mut errno) {
                Ok(4) if errno == [0; 4] => Ok(running),
                Ok(4) => Err(Errno::from_raw_os_error(i32::from_ne_bytes(errno))),
                Ok(_) => Err(Errno::IO),
                Err(Errno::INTR) => continue,
                Err(errno) => Err(errno),
            };
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// The descriptor that it watches the other end of.
    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.alive.as_ref().map(AsRawFd::as_raw_fd)
    }
}

impl Drop for Running {
    /// Has it pass on what the dead have left, and waits until it has.
    fn drop(&mut self) {
        if let Some(alive) = self.alive.take() {
            let _ = write(&alive, b"\n");
        }
        // One that shares the host's process table can have stopped it.
        let _ = sys::kill(self.pid, libc::SIGCONT);
        // Descriptors that the jail sends by a Unix socket are closed by the relay, and
        // closing can take as long as who opened them likes (SO_LINGER).
        if !ends_within(self.pid, END) {
            let _ = sys::kill(self.pid, libc::SIGKILL);
        }
        while !matches!(waitpid(Some(self.pid), WaitOptions::empty()), Ok(_) | Err(Errno::CHILD)) {}
    }
}

/// Does this child end in time?
fn ends_within(pid: Pid, time: u64) -> bool {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let until = sys::now() + time;
    loop {
        let left = timespec(until.saturating_sub(sys::now()));
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return ready > 0,
            Err(Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

/// Lets go of all that is the launcher's.
fn alone(arguments: &Arguments, name: &CStr, keep: &[i32], own: &[i32]) -> Result<(), Errno> {
    // What is typed at the terminal is for the jail's command.
    setsid()?;
    // No stream of the caller's is held open, nor anything else of it.
    sys::close_all_but(0, keep, own)?;
    arguments.wipe(name.to_bytes());
    set_name(name)
}

/// Gives up what it takes to do anything else.
fn powerless() -> Result<(), Errno> {
    // A command with the jail's capabilities is not to look into the launcher's memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_no_new_privs(true)?;
    // Should the launcher be killed while the kernel holds this one up. It comes after
    // the namespaces, for which the kernel forgets it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
}

/// A pipe, its end to read first.
type Pipe = (OwnedFd, OwnedFd);

/// One way of a connection.
#[derive(Default)]
struct Way {
    /// Where the bytes wait that the receiver has no room for.
    pipe: Option<Pipe>,
    held: usize,
    /// A byte that is to be sent as what it was, urgent, once the receiver has room.
    urgent: Option<u8>,
    /// The sender has said all.
    ended: bool,
    /// Nothing more goes this way.
    done: bool,
}

/// How a way was left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Until one of the two has more to do.
    Waiting,
    /// There is more to do at once.
    Busy,
    /// The sender is dead.
    Broken,
}

struct Connection {
    /// Who connected, and who is connected to.
    ends: [OwnedFd; 2],
    /// What each of them says.
    ways: [Way; 2],
    /// One end was reset, and the other is to see that.
    broken: bool,
    /// One of them has said something urgent.
    urgent: bool,
    /// While the second end is not connected.
    trying: Option<Trying>,
}

/// How far the search for someone who takes the connection has come.
#[derive(Clone, Copy)]
struct Trying {
    target: usize,
    /// The address to try after this one.
    next: usize,
    /// When to go on to that, by `sys::now`.
    until: Option<u64>,
    /// How long that was.
    pause: u64,
}

/// What there is to know of a connection that is being made.
enum Progress {
    Connected,
    Pending,
    /// Not there.
    Failed,
    /// Who wanted it is gone.
    Unwanted,
}

impl Connection {
    fn progress(&self) -> Progress {
        if !matches!(socket_error(&self.ends[0]), Ok(Ok(()))) {
            return Progress::Unwanted;
        }
        match socket_error(&self.ends[1]) {
            Ok(Ok(())) if getpeername(&self.ends[1]).is_ok() => Progress::Connected,
            Ok(Ok(())) => Progress::Pending,
            Ok(Err(_)) | Err(_) => Progress::Failed,
        }
    }
}

impl Target {
    /// Begins to connect, from address number `from` on and after a `pause`: the socket,
    /// and how to go on.
    fn connect(&self, target: usize, from: usize, pause: u64) -> Option<(OwnedFd, Trying)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match self {
            Self::Tcp(addresses) => addresses.iter().enumerate().skip(from).find_map(|(index, address)| {
                let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
                let socket = socket_with(family, SocketType::STREAM, flags, None).ok()?;
                match connect(&socket, address) {
                    Ok(()) | Err(Errno::INPROGRESS) => {
                        let other = index + 1 < addresses.len();
                        let until = if other { Some(sys::now() + ANSWER) } else { None };
                        Some((socket, Trying { target, next: index + 1, until, pause }))
                    }
                    Err(_) => None,
                }
            }),
            Self::Unix(dir, name) => {
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
                // Not through a link, which someone inside may have put there.
                let file = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
                let stat = statat(&file, c"", AtFlags::EMPTY_PATH).ok()?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
                    return None;
                }
                let mut path = Line::<32>::new();
                path.print(format_args!("/proc/self/fd/{}\0", file.as_raw_fd())).ok()?;
                let path = SocketAddrUnix::new(path.c_str().ok()?).ok()?;
                match connect(&socket, &path) {
                    Ok(()) => Some((socket, Trying { target, next: 0, until: None, pause })),
                    Err(Errno::AGAIN) => {
                        let pause = (2 * pause).clamp(AGAIN, SELDOM);
                        Some((socket, Trying { target, next: 0, until: Some(sys::now() + pause), pause }))
                    }
                    Err(_) => None,
                }
            }
        }
    }
}

/// What an event is about.
#[derive(Clone, Copy)]
enum About {
    /// The launcher has said something, or is dead.
    Launcher,
    /// A gate comes.
    More,
    /// A gate.
    Gate(usize),
    /// A connection.
    Connection(usize),
}

impl About {
    fn data(self) -> epoll::EventData {
        let (kind, number) = match self {
            Self::Launcher => (0, 0),
            Self::More => (1, 0),
            Self::Gate(number) => (2, number),
            Self::Connection(number) => (3, number),
        };
        epoll::EventData::new_u64(kind << 32 | number as u64)
    }

    fn of(data: epoll::EventData) -> Self {
        let number = usize::try_from(data.u64() & 0xffff_ffff).unwrap_or(0);
        match data.u64() >> 32 {
            0 => Self::Launcher,
            1 => Self::More,
            2 => Self::Gate(number),
            _ => Self::Connection(number),
        }
    }
}

struct Relay<'a> {
    told: &'a OwnedFd,
    holes: Holes<'a>,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    /// Places in `connections` that are free.
    free: Vec<usize>,
    /// Connections that have more to do at once.
    busy: Vec<usize>,
    /// Connections that are tried elsewhere if nobody answers.
    trying: Vec<usize>,
    /// Room for the next list of each.
    moved: Vec<usize>,
    tried: Vec<usize>,
    /// Gates that may have connections to be taken.
    knocked: Vec<bool>,
    /// The last accept failed for want of something.
    short: bool,
    spare: Vec<Pipe>,
    most: usize,
}

impl<'a> Relay<'a> {
    fn new(told: &'a OwnedFd, holes: Holes<'a>) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, told, About::Launcher.data(), epoll::EventFlags::IN)?;
        if let Some(more) = &holes.more {
            epoll::add(&epoll, more, About::More.data(), epoll::EventFlags::IN)?;
        }
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let others = OTHERS + (holes.gates.len() + 3 * holes.targets.len()) as u64;
        let room = descriptors.saturating_sub(others) / DESCRIPTORS;
        if room == 0 {
            // Gates that come later would be lost, too.
            return Err(Errno::MFILE);
        }
        let mut relay = Self {
            told,
            epoll,
            connections: Vec::new(),
            free: Vec::new(),
            busy: Vec::new(),
            trying: Vec::new(),
            moved: Vec::new(),
            tried: Vec::new(),
            knocked: vec![false; holes.gates.len()],
            short: false,
            spare: Vec::new(),
            most: usize::try_from(room).unwrap_or(MOST).min(MOST),
            holes,
        };
        for gate in 0..relay.holes.gates.len() {
            relay.watch(gate)?;
        }
        Ok(relay)
    }

    fn watch(&mut self, gate: usize) -> Result<(), Errno> {
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &self.holes.gates[gate].socket, About::Gate(gate).data(), edge)
    }

    /// Takes in a gate that comes, and answers whether it could.
    fn take_in(&mut self) -> Result<(), Errno> {
        let Some(more) = &self.holes.more else { return Ok(()) };
        let mut number = [0; 4];
        let (length, socket, _) = fd_channel::receive(more.as_fd(), &mut number)?;
        let taken = match (length, socket) {
            (0, _) => {
                self.holes.more = None;
                return Ok(());
            }
            (4, Some(socket)) => {
                let to = usize::try_from(u32::from_ne_bytes(number)).unwrap_or(usize::MAX);
                self.holes.gates.push(Gate { socket, to });
                // Who is quick may have knocked already.
                self.knocked.push(true);
                self.watch(self.knocked.len() - 1)
            }
            (_, _) => Err(Errno::MFILE),
        };
        let errno = taken.map_or_else(Errno::raw_os_error, |()| 0);
        if let Some(more) = &self.holes.more {
            // Who is dead needs no answer.
            let _ = send(more, &errno.to_ne_bytes(), SendFlags::NOSIGNAL);
        }
        Ok(())
    }

    /// Until the launcher says so or is dead.
    fn run(&mut self) -> Result<(), Errno> {
        loop {
            if self.turn(None)?.1 {
                return match read(self.told, &mut [0]) {
                    Ok(1) => self.drain(),
                    Ok(_) | Err(_) => Ok(()),
                };
            }
        }
    }

    /// The jail is dead: passes on what it has left, as the kernel does for the dead.
    fn drain(&mut self) -> Result<(), Errno> {
        epoll::delete(&self.epoll, self.told)?;
        while self.holes.more.is_some() {
            self.take_in()?;
        }
        // Connections that the dead have made and nobody has taken yet are their word,
        // too; of those from outside nobody is left to be heard.
        let of_the_jail = self.holes.jail == Jail::Connects;
        self.knocked.fill(of_the_jail);
        if !of_the_jail {
            for gate in &self.holes.gates {
                epoll::delete(&self.epoll, &gate.socket)?;
            }
        }
        self.short = false;
        // Or a jail that nobody speaks with would end later than one without holes.
        if self.free.len() == self.connections.len() && !self.has_knocks() {
            return Ok(());
        }
        self.busy = (0..self.connections.len()).collect();
        let until = sys::now() + PATIENCE;
        let silence = if of_the_jail { PATIENCE } else { SILENCE };
        loop {
            let left = until.saturating_sub(sys::now());
            let (done, _) = self.turn(Some(silence.min(left)))?;
            // Who has heard all of the dead need not be listened to.
            let said = self.holes.jail as usize;
            for place in 0..self.connections.len() {
                if self.connections[place].as_ref().is_some_and(|connection| connection.ways[said].done) {
                    self.close(place);
                }
            }
            let waiting = done > 0 || !self.busy.is_empty() || !self.trying.is_empty();
            let over = !waiting || self.free.len() == self.connections.len();
            if (over && !self.has_knocks() && !self.short) || sys::now() > until {
                return Ok(());
            }
        }
    }

    /// Does what there is to do: how much that was, and was there word of the launcher?
    fn turn(&mut self, limit: Option<u64>) -> Result<(usize, bool), Errno> {
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 64];
        let limit = if self.busy.is_empty() && !self.has_knocks() { limit } else { Some(0) };
        let short = self.short.then_some(SHORT);
        let limit = [limit, short, self.next_try()].into_iter().flatten().min();
        let limit = limit.map(timespec);
        let ready = match epoll::wait(&self.epoll, &mut events, limit.as_ref()) {
            Ok(ready) => ready,
            Err(Errno::INTR) => 0,
            Err(errno) => return Err(errno),
        };
        let (mut word, mut more) = (false, false);
        // Lists are used again: memory is not given back.
        let mut moving = core::mem::replace(&mut self.busy, core::mem::take(&mut self.moved));
        let did = ready + moving.len();
        for event in &events[..ready] {
            let flags = event.flags;
            match About::of(event.data) {
                About::Launcher => word = true,
                About::More => more = true,
                About::Gate(gate) => self.knocked[gate] = true,
                About::Connection(place) => {
                    if let (true, Some(Some(connection))) =
                        (flags.contains(epoll::EventFlags::PRI), self.connections.get_mut(place))
                    {
                        connection.urgent = true;
                    }
                    moving.push(place);
                }
            }
        }
        if more {
            self.take_in()?;
        }
        moving.sort_unstable();
        moving.dedup();
        for place in &moving {
            self.pump(*place);
        }
        moving.clear();
        self.moved = moving;
        self.try_others();
        self.welcome();
        Ok((did, word))
    }

    /// How long until a connection is to be tried elsewhere.
    fn next_try(&self) -> Option<u64> {
        let until = |place: &usize| self.connections[*place].as_ref().and_then(|connection| connection.trying?.until);
        self.trying.iter().filter_map(until).min().map(|until| until.saturating_sub(sys::now()))
    }

    /// Tries those elsewhere that nobody has answered.
    fn try_others(&mut self) {
        let mut trying = core::mem::replace(&mut self.trying, core::mem::take(&mut self.tried));
        trying.sort_unstable();
        trying.dedup();
        for place in trying.iter().copied() {
            match self.connections[place].as_ref().and_then(|connection| connection.trying) {
                Some(Trying { until: Some(until), .. }) if until <= sys::now() => self.try_next(place),
                Some(Trying { until: Some(_), .. }) => self.trying.push(place),
                Some(Trying { until: None, .. }) | None => {}
            }
        }
        trying.clear();
        self.tried = trying;
    }

    fn has_room(&self) -> bool {
        self.connections.len() - self.free.len() < self.most
    }

    /// Are there connections that can be taken at once?
    fn has_knocks(&self) -> bool {
        !self.short && self.has_room() && self.knocked.contains(&true)
    }

    /// Takes connections while there is room.
    fn welcome(&mut self) {
        self.short = false;
        for gate in 0..self.holes.gates.len() {
            // Those of other gates, and those that were taken, have their turn, too.
            for _ in 0..TURN {
                if !self.knocked[gate] || !self.has_room() {
                    break;
                }
                match accept_with(&self.holes.gates[gate].socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                    Ok(accepted) => self.connect(accepted, self.holes.gates[gate].to),
                    // Nobody is there, or it listens no more: who may do so inside has
                    // had the kernel end it.
                    Err(Errno::AGAIN | Errno::INVAL) => self.knocked[gate] = false,
                    // Of a connection that is gone again.
                    Err(Errno::CONNABORTED | Errno::INTR) => {}
                    Err(_) => {
                        // Something is short, and nobody tells when there is more.
                        self.short = true;
                        break;
                    }
                }
            }
        }
    }

    /// Connects someone with what the gate leads to.
    fn connect(&mut self, accepted: OwnedFd, target: usize) {
        let begun = self.holes.targets.get(target).and_then(|to| to.connect(target, 0, 0));
        let Some((socket, trying)) = begun else {
            reset(&accepted);
            return;
        };
        let place = self.free.pop().unwrap_or(self.connections.len());
        if place == self.connections.len() {
            self.connections.push(None);
        }
        let watched = self.attend(place, &accepted) && self.attend(place, &socket);
        let connection =
            Connection { ends: [accepted, socket], ways: Default::default(), broken: false, urgent: false, trying: Some(trying) };
        self.connections[place] = Some(connection);
        if !watched {
            return self.end(place, true);
        }
        if trying.until.is_some() {
            self.trying.push(place);
        }
        self.pump(place);
    }

    /// Is to be told what happens at this end.
    fn attend(&self, place: usize, end: &OwnedFd) -> bool {
        // Who writes has gathered already what is to be sent at once.
        let _ = set_tcp_nodelay(end, true);
        // Who has asked for it hears of the relay, and not of who is behind it. That one
        // may vanish without a word, and is not to take up a place for ever.
        let _ = set_socket_keepalive(end, true);
        // A byte that is urgent keeps its place among the others.
        let _ = set_socket_oobinline(end, true);
        let (to_do, urgent) = (epoll::EventFlags::IN | epoll::EventFlags::OUT, epoll::EventFlags::PRI);
        let flags = to_do | urgent | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&self.epoll, end, About::Connection(place).data(), flags).is_ok()
    }

    /// Goes on to the next address, if there is one.
    fn try_next(&mut self, place: usize) {
        let Some(Some(connection)) = self.connections.get(place) else { return };
        let Some(Trying { target, next, pause, .. }) = connection.trying else { return };
        let begun = self.holes.targets.get(target).and_then(|to| to.connect(target, next, pause));
        let Some((socket, trying)) = begun.filter(|(socket, _)| self.attend(place, socket)) else {
            return self.end(place, true);
        };
        if let Some(connection) = &mut self.connections[place] {
            connection.ends[1] = socket;
            connection.trying = Some(trying);
        }
        if trying.until.is_some() {
            self.trying.push(place);
        }
        self.pump(place);
    }

    /// Moves what can be moved of one connection.
    fn pump(&mut self, place: usize) {
        let Some(Some(connection)) = self.connections.get_mut(place) else { return };
        if connection.trying.is_some() {
            match connection.progress() {
                Progress::Connected => connection.trying = None,
                Progress::Pending => return,
                Progress::Failed => return self.try_next(place),
                Progress::Unwanted => return self.end(place, true),
            }
        }
        let mut busy = false;
        for from in 0..2 {
            let (ends, urgent) = (&connection.ends, connection.urgent);
            match connection.ways[from].pump(&ends[from], &ends[1 - from], urgent, &mut self.spare) {
                Ok(Left::Busy) => busy = true,
                Ok(Left::Waiting) => {}
                Ok(Left::Broken) => {
                    connection.broken = true;
                    connection.ways.iter_mut().for_each(|way| way.done = true);
                }
                // Nobody reads it; what the reader has said before is still passed on.
                Err(_) => {
                    // A Unix socket's sender can be told so by itself.
                    let _ = shutdown(&connection.ends[from], Shutdown::Read);
                    connection.broken = true;
                    connection.ways[from].done = true;
                    busy = true;
                }
            }
        }
        if connection.ways.iter().all(|way| way.done) {
            self.close(place);
        } else if busy {
            self.busy.push(place);
        }
    }

    fn close(&mut self, place: usize) {
        let broken = self.connections[place].as_ref().is_some_and(|connection| connection.broken);
        self.end(place, broken);
    }

    fn end(&mut self, place: usize, broken: bool) {
        if let Some(connection) = self.connections[place].take() {
            if broken {
                connection.ends.iter().for_each(reset);
            }
            self.free.push(place);
        }
    }
}

impl Way {
    /// Moves bytes until there are no more, or no room, or others must have their
    /// turn. An error is the receiver's.
    fn pump(&mut self, from: &OwnedFd, to: &OwnedFd, urgent: bool, spare: &mut Vec<Pipe>) -> Result<Left, Errno> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        for _ in 0..TURN {
            if self.done {
                return Ok(Left::Waiting);
            }
            while let (1.., Some((out, _))) = (self.held, &self.pipe) {
                match splice(out, None, to, None, self.held, flags) {
                    Ok(0) => return Err(Errno::PIPE),
                    Ok(moved) => self.held = self.held.saturating_sub(moved),
                    Err(Errno::AGAIN) => return Ok(Left::Waiting),
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            if let Some(byte) = self.urgent {
                match send(to, &[byte], SendFlags::OOB | SendFlags::NOSIGNAL) {
                    Ok(_) => self.urgent = None,
                    Err(Errno::AGAIN) => return Ok(Left::Waiting),
                    Err(Errno::INTR) => continue,
                    Err(errno) => return Err(errno),
                }
            }
            if self.ended {
                // That is all, said as it was heard: the other way may go on.
                let _ = shutdown(to, Shutdown::Write);
                self.done = true;
                self.give_back(spare);
                return Ok(Left::Waiting);
            }
            if self.pipe.is_none() {
                self.pipe = match spare.pop() {
                    Some(pipe) => Some(pipe),
                    None => match pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
                        Ok(pipe) => Some(pipe),
                        Err(_) => return Ok(Left::Broken),
                    },
                };
            }
            let Some((_, into)) = &self.pipe else { return Ok(Left::Broken) };
            match splice(from, None, into, None, CHUNK, flags) {
                // What is urgent is not spliced: before it there seems to be nothing, or
                // the end.
                Ok(0) if self.take_urgent(from) => {}
                Ok(0) => self.ended = true,
                Ok(moved) => self.held = moved,
                Err(Errno::AGAIN) if urgent && self.take_urgent(from) => {}
                Err(Errno::AGAIN) => {
                    // The pipe is empty: it is the sender who has nothing.
                    self.give_back(spare);
                    return Ok(Left::Waiting);
                }
                Err(Errno::INTR) => {}
                Err(_) => return Ok(Left::Broken),
            }
        }
        Ok(Left::Busy)
    }

    /// Takes a byte that is urgent, if it is the next.
    fn take_urgent(&mut self, from: &OwnedFd) -> bool {
        let mut byte = [0];
        if sys::is_urgent(from.as_fd()) && matches!(recv(from, &mut byte, RecvFlags::empty()), Ok((1, _))) {
            self.urgent = Some(byte[0]);
        }
        self.urgent.is_some()
    }

    /// An empty pipe is of use to others.
    fn give_back(&mut self, spare: &mut Vec<Pipe>) {
        if let (Some(pipe), true) = (self.pipe.take(), spare.len() < SPARE) {
            spare.push(pipe);
        }
    }
}

/// Has the end of this be seen as a reset.
fn reset(socket: &OwnedFd) {
    let _ = set_socket_linger(socket, Some(Duration::ZERO));
}
