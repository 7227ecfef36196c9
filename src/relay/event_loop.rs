//! The loop that serves all connections.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::{Errno, read};
use rustix::net::sockopt::{set_socket_keepalive, set_socket_oobinline, set_tcp_nodelay};
use rustix::net::{SendFlags, Shutdown, SocketFlags, accept_with, send, shutdown};
use rustix::process::{Resource, getrlimit};

use crate::process::fd_channel;
use crate::relay::connect::{Connection, Progress, Trying};
use crate::relay::pump::{Left, Pipe, reset};
use crate::relay::{DESCRIPTORS, Gate, Holes, Jail, MOST, OTHERS, PATIENCE, SHORT, SILENCE, TURN};
use crate::sys;
use crate::sys::clock::timespec;

/// What an event is about.
#[derive(Clone, Copy)]
pub(crate) enum About {
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
    pub(crate) fn data(self) -> epoll::EventData {
        let (kind, number) = match self {
            Self::Launcher => (0, 0),
            Self::More => (1, 0),
            Self::Gate(number) => (2, number),
            Self::Connection(number) => (3, number),
        };
        epoll::EventData::new_u64(kind << 32 | number as u64)
    }

    pub(crate) fn of(data: epoll::EventData) -> Self {
        let number = usize::try_from(data.u64() & 0xffff_ffff).unwrap_or(0);
        match data.u64() >> 32 {
            0 => Self::Launcher,
            1 => Self::More,
            2 => Self::Gate(number),
            _ => Self::Connection(number),
        }
    }
}

pub(crate) struct Relay<'a> {
    pub(crate) told: &'a OwnedFd,
    pub(crate) holes: Holes<'a>,
    pub(crate) epoll: OwnedFd,
    pub(crate) connections: Vec<Option<Connection>>,
    /// Places in `connections` that are free.
    pub(crate) free: Vec<usize>,
    /// Connections that have more to do at once.
    pub(crate) busy: Vec<usize>,
    /// Connections that are tried elsewhere if nobody answers.
    pub(crate) trying: Vec<usize>,
    /// Room for the next list of each.
    pub(crate) moved: Vec<usize>,
    pub(crate) tried: Vec<usize>,
    /// Gates that may have connections to be taken.
    pub(crate) knocked: Vec<bool>,
    /// The last accept failed for want of something.
    pub(crate) short: bool,
    pub(crate) spare: Vec<Pipe>,
    pub(crate) most: usize,
}

impl<'a> Relay<'a> {
    pub(crate) fn new(told: &'a OwnedFd, holes: Holes<'a>) -> Result<Self, Errno> {
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

    pub(crate) fn watch(&mut self, gate: usize) -> Result<(), Errno> {
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &self.holes.gates[gate].socket, About::Gate(gate).data(), edge)
    }

    /// Takes in a gate that comes, and answers whether it could.
    pub(crate) fn take_in(&mut self) -> Result<(), Errno> {
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
    pub(crate) fn run(&mut self) -> Result<(), Errno> {
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
    pub(crate) fn drain(&mut self) -> Result<(), Errno> {
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
    pub(crate) fn turn(&mut self, limit: Option<u64>) -> Result<(usize, bool), Errno> {
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
    pub(crate) fn next_try(&self) -> Option<u64> {
        let until = |place: &usize| self.connections[*place].as_ref().and_then(|connection| connection.trying?.until);
        self.trying.iter().filter_map(until).min().map(|until| until.saturating_sub(sys::now()))
    }

    /// Tries those elsewhere that nobody has answered.
    pub(crate) fn try_others(&mut self) {
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

    pub(crate) fn has_room(&self) -> bool {
        self.connections.len() - self.free.len() < self.most
    }

    /// Are there connections that can be taken at once?
    pub(crate) fn has_knocks(&self) -> bool {
        !self.short && self.has_room() && self.knocked.contains(&true)
    }

    /// Takes connections while there is room.
    pub(crate) fn welcome(&mut self) {
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
    pub(crate) fn connect(&mut self, accepted: OwnedFd, target: usize) {
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
    pub(crate) fn attend(&self, place: usize, end: &OwnedFd) -> bool {
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
    pub(crate) fn try_next(&mut self, place: usize) {
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
    pub(crate) fn pump(&mut self, place: usize) {
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

    pub(crate) fn close(&mut self, place: usize) {
        let broken = self.connections[place].as_ref().is_some_and(|connection| connection.broken);
        self.end(place, broken);
    }

    pub(crate) fn end(&mut self, place: usize, broken: bool) {
        if let Some(connection) = self.connections[place].take() {
            if broken {
                connection.ends.iter().for_each(reset);
            }
            self.free.push(place);
        }
    }
}
