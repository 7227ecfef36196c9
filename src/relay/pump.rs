//! One direction of a connection.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use crate::relay::{CHUNK, SPARE, TURN};
use crate::sys;

/// A pipe, its end to read first.
pub(crate) type Pipe = (OwnedFd, OwnedFd);

/// One way of a connection.
#[derive(Default)]
pub(crate) struct Way {
    /// Where the bytes wait that the receiver has no room for.
    pub(crate) pipe: Option<Pipe>,
    pub(crate) held: usize,
    /// A byte that is to be sent as what it was, urgent, once the receiver has room.
    pub(crate) urgent: Option<u8>,
    /// The sender has said all.
    pub(crate) ended: bool,
    /// Nothing more goes this way.
    pub(crate) done: bool,
}

/// How a way was left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Until one of the two has more to do.
    Waiting,
    /// There is more to do at once.
    Busy,
    /// The sender is dead.
    Broken,
}

impl Way {
    /// Moves bytes until there are no more, or no room, or others must have their
    /// turn. An error is the receiver's.
    pub(crate) fn pump(&mut self, from: &OwnedFd, to: &OwnedFd, urgent: bool, spare: &mut Vec<Pipe>) -> Result<Left, Errno> {
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
    pub(crate) fn take_urgent(&mut self, from: &OwnedFd) -> bool {
        let mut byte = [0];
        if sys::is_urgent(from.as_fd()) && matches!(recv(from, &mut byte, RecvFlags::empty()), Ok((1, _))) {
            self.urgent = Some(byte[0]);
        }
        self.urgent.is_some()
    }

    /// An empty pipe is of use to others.
    pub(crate) fn give_back(&mut self, spare: &mut Vec<Pipe>) {
        if let (Some(pipe), true) = (self.pipe.take(), spare.len() < SPARE) {
            spare.push(pipe);
        }
    }
}

/// Has the end of this be seen as a reset.
pub(crate) fn reset(socket: &OwnedFd) {
    let _ = set_socket_linger(socket, Some(Duration::ZERO));
}
