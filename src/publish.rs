//! `--publish`: a process beside the launcher that takes connections outside and passes
//! their bytes to a port of the jail's loopback. The launcher listens before the command
//! starts; this process enters the jail's user and network namespaces and no other, and
//! holds nothing but its connections. Made only for a run that publishes something.

use std::ffi::CStr;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, read, write};
use rustix::net::sockopt::{set_socket_linger, set_socket_reuseaddr, set_tcp_nodelay};
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, accept_with, bind, connect, getsockname, listen, shutdown, socket_with,
};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, WaitOptions, getrlimit, pidfd_open, set_dumpable_behavior, setrlimit,
    setsid, waitpid,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, ThreadNameSpaceType, move_into_thread_name_spaces, set_capabilities, set_name,
    set_no_new_privs,
};

use crate::error::FAILED;
use crate::policy::Hole;
use crate::sys::{self, Arguments, Cloned, SignalSet};

/// What it is called in ps(1).
const NAME: &CStr = c"publisher";

/// Connections that wait to be taken, for each address.
const BACKLOG: i32 = 4096;
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
/// After the jail's end, what readers have to go on reading in, and in all.
const SILENCE: u64 = 200_000_000;
const PATIENCE: u64 = 2_000_000_000;

/// A socket that listens outside.
pub(crate) struct Listening {
    pub(crate) socket: OwnedFd,
    /// Where, with the port that the kernel chose for 0, and for which port inside.
    pub(crate) hole: Hole,
}

impl Listening {
    /// Listens in the caller's network.
    pub(crate) fn new(hole: Hole) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        // Connections of an earlier run that are ending are no reason to wait.
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &hole.at)?;
        listen(&socket, BACKLOG)?;
        let Ok(SocketAddr::V4(at)) = SocketAddr::try_from(getsockname(&socket)?) else { return Err(Errno::AFNOSUPPORT) };
        Ok(Self { socket, hole: Hole { at, ..hole } })
    }
}

/// The process, as the launcher has it.
pub(crate) struct Publisher {
    pid: Pid,
    /// It ends when this is closed, at once if nothing was written.
    alive: Option<OwnedFd>,
}

impl Publisher {
    /// Starts one for the network of process 1, which must wait for it.
    pub(crate) fn start(arguments: &Arguments, process_one: Pid, own_ids: bool, sockets: &[Listening]) -> Result<Self, Errno> {
        let jail = pidfd_open(process_one, PidfdFlags::empty())?;
        let (told, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        let (answer, answers) = pipe_with(PipeFlags::CLOEXEC)?;
        let blocked = SignalSet::all().set_blocked()?;
        let cloned = sys::clone(0);
        if let Ok(Cloned::Child) = cloned {
            drop((alive, answer));
            let ready = enter(arguments, jail, own_ids, sockets, &[&told, &answers]).and_then(|()| Relay::new(&told, sockets));
            let errno = ready.as_ref().map_or_else(|errno| errno.raw_os_error(), |_| 0);
            let _ = write(&answers, &errno.to_ne_bytes());
            drop(answers);
            let ended = ready.and_then(|mut relay| relay.run());
            sys::exit_now(if ended.is_ok() { 0 } else { FAILED.into() });
        }
        // Or what is started next would find its signals blocked.
        blocked.set_blocked()?;
        let Cloned::Parent(pid) = cloned? else { return Err(Errno::IO) };
        let publisher = Self { pid, alive: Some(alive) };
        drop(answers);
        let mut errno = [0; 4];
        loop {
            return match read(&answer, &mut errno) {
                Ok(4) if errno == [0; 4] => Ok(publisher),
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
}

impl Drop for Publisher {
    /// Has it pass on what the dead have left, and waits until it has.
    fn drop(&mut self) {
        if let Some(alive) = self.alive.take() {
            let _ = write(&alive, b"\n");
        }
        while !matches!(waitpid(Some(self.pid), WaitOptions::empty()), Ok(_) | Err(Errno::CHILD)) {}
    }
}

/// Enters the jail's network, and can do nothing more from then on.
fn enter(arguments: &Arguments, jail: OwnedFd, own_ids: bool, sockets: &[Listening], pipes: &[&OwnedFd]) -> Result<(), Errno> {
    // What is typed at the terminal is for the jail's command.
    setsid()?;
    let mut keep: Vec<i32> = sockets.iter().map(|listening| listening.socket.as_raw_fd()).collect();
    keep.extend(pipes.iter().map(|pipe| pipe.as_raw_fd()));
    // No stream of the caller's is held open, nor anything else of it.
    sys::close_all_but(0, &keep, &[jail.as_raw_fd()])?;
    arguments.wipe(NAME.to_bytes());
    let _ = set_name(NAME);
    // The right to enter a network comes with the user namespace that it belongs to.
    let ids = if own_ids { ThreadNameSpaceType::USER } else { ThreadNameSpaceType::empty() };
    move_into_thread_name_spaces(jail.as_fd(), ids | ThreadNameSpaceType::NETWORK)?;
    drop(jail);
    // A command with the jail's capabilities is not to look into the launcher's memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_no_new_privs(true)?;
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
    /// Outside and inside.
    ends: [OwnedFd; 2],
    /// From outside and from inside.
    ways: [Way; 2],
    /// One end was reset, and the other is to see that.
    broken: bool,
}

struct Relay<'a> {
    told: &'a OwnedFd,
    sockets: &'a [Listening],
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    /// Places in `connections` that are free.
    free: Vec<usize>,
    /// Connections that have more to do at once.
    busy: Vec<usize>,
    /// Sockets that may have connections to be taken.
    knocked: Vec<bool>,
    /// The last accept failed for want of something.
    short: bool,
    spare: Vec<Pipe>,
    most: usize,
}

impl<'a> Relay<'a> {
    fn new(told: &'a OwnedFd, sockets: &'a [Listening]) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, told, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        for (index, listening) in sockets.iter().enumerate() {
            epoll::add(&epoll, &listening.socket, number(1 + index), edge)?;
        }
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let room = descriptors.saturating_sub(OTHERS + sockets.len() as u64) / DESCRIPTORS;
        Ok(Self {
            told,
            sockets,
            epoll,
            connections: Vec::new(),
            free: Vec::new(),
            busy: Vec::new(),
            knocked: vec![false; sockets.len()],
            short: false,
            spare: Vec::new(),
            most: usize::try_from(room).unwrap_or(MOST).clamp(1, MOST),
        })
    }

    /// Until the launcher says so or is dead.
    fn run(&mut self) -> Result<(), Errno> {
        loop {
            if self.turn(if self.short { Some(100_000_000) } else { None })?.1 {
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
        for listening in self.sockets {
            epoll::delete(&self.epoll, &listening.socket)?;
        }
        self.knocked.fill(false);
        self.short = false;
        self.busy = (0..self.connections.len()).collect();
        let until = sys::now() + PATIENCE;
        loop {
            let (ready, _) = self.turn(Some(SILENCE))?;
            // Who has heard all of the dead need not be listened to.
            for place in 0..self.connections.len() {
                if self.connections[place].as_ref().is_some_and(|connection| connection.ways[1].done) {
                    self.close(place);
                }
            }
            if (ready == 0 && self.busy.is_empty()) || self.free.len() == self.connections.len() || sys::now() > until {
                return Ok(());
            }
        }
    }

    /// Does what there is to do: how much that was, and was there word of the launcher?
    fn turn(&mut self, limit: Option<u64>) -> Result<(usize, bool), Errno> {
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 64];
        let limit = if self.busy.is_empty() { limit } else { Some(0) };
        let limit = limit.map(|limit| Timespec { tv_sec: 0, tv_nsec: i64::try_from(limit).unwrap_or(0) });
        let ready = match epoll::wait(&self.epoll, &mut events, limit.as_ref()) {
            Ok(ready) => ready,
            Err(Errno::INTR) => 0,
            Err(errno) => return Err(errno),
        };
        let mut word = false;
        let mut moving = core::mem::take(&mut self.busy);
        let did = ready + moving.len();
        for event in &events[..ready] {
            let number = usize::try_from(event.data.u64()).unwrap_or(0);
            match number.checked_sub(1) {
                None => word = true,
                Some(index) if index < self.sockets.len() => self.knocked[index] = true,
                Some(index) => moving.push(index - self.sockets.len()),
            }
        }
        moving.sort_unstable();
        moving.dedup();
        for place in moving {
            self.pump(place);
        }
        self.welcome();
        Ok((did, word))
    }

    /// Takes connections while there is room.
    fn welcome(&mut self) {
        self.short = false;
        for index in 0..self.sockets.len() {
            while self.knocked[index] && self.connections.len() - self.free.len() < self.most {
                match accept_with(&self.sockets[index].socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                    Ok(outside) => self.connect(outside, self.sockets[index].hole.to),
                    Err(Errno::AGAIN) => self.knocked[index] = false,
                    Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        // Nobody tells when there is more.
                        self.short = true;
                        break;
                    }
                    // Of a connection that is gone again.
                    Err(_) => {}
                }
            }
        }
    }

    /// Connects someone outside with a port inside.
    fn connect(&mut self, outside: OwnedFd, to: u16) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let connected = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).and_then(|inside| {
            match connect(&inside, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, to)) {
                Ok(()) | Err(Errno::INPROGRESS) => Ok(inside),
                Err(errno) => Err(errno),
            }
        });
        let Ok(inside) = connected else {
            reset(&outside);
            return;
        };
        let place = self.free.pop().unwrap_or(self.connections.len());
        if place == self.connections.len() {
            self.connections.push(None);
        }
        let connection = Connection { ends: [outside, inside], ways: Default::default(), broken: false };
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        let data = number(1 + self.sockets.len() + place);
        let watched = connection.ends.iter().all(|end| {
            // Who writes has gathered already what is to be sent at once.
            let _ = set_tcp_nodelay(end, true);
            epoll::add(&self.epoll, end, data, flags).is_ok()
        });
        self.connections[place] = Some(connection);
        if watched {
            self.pump(place);
        } else {
            self.end(place, true);
        }
    }

    /// Moves what can be moved of one connection.
    fn pump(&mut self, place: usize) {
        let Some(Some(connection)) = self.connections.get_mut(place) else { return };
        let mut busy = false;
        for from in 0..2 {
            match connection.ways[from].pump(&connection.ends[from], &connection.ends[1 - from], &mut self.spare) {
                Ok(Left::Busy) => busy = true,
                Ok(Left::Waiting) => {}
                Ok(Left::Broken) => {
                    connection.broken = true;
                    connection.ways.iter_mut().for_each(|way| way.done = true);
                }
                // Nobody reads it; what the reader has said before is still passed on.
                Err(_) => {
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
    fn pump(&mut self, from: &OwnedFd, to: &OwnedFd, spare: &mut Vec<Pipe>) -> Result<Left, Errno> {
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
                Ok(0) => self.ended = true,
                Ok(moved) => self.held = moved,
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

fn number(number: usize) -> epoll::EventData {
    epoll::EventData::new_u64(number as u64)
}
