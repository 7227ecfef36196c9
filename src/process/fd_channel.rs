//! A socket for what no pipe carries: the command's process as it is known outside
//! (in the jail it has another number, and the kernel translates the one that a
//! message carries), its terminal, and where its refused calls are told. Made only for
//! a run that needs it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::Pid;

/// The launcher's end.
pub(crate) struct Listener(OwnedFd);

/// The end that the command's process holds until exec closes it.
pub(crate) struct Greeter(OwnedFd);

/// What is handed over.
#[derive(Clone, Copy)]
pub(crate) enum Handed {
    /// The master of the jail's own terminal.
    Terminal,
    /// The listener of the system-call filter.
    Refusals,
    /// Process 1, to its keeper.
    ProcessOne,
    /// The kernel's own directory beside an overlay's changes, to the keeper.
    Work,
    /// A network namespace, to process 1.
    Network,
}

impl Handed {
    const fn mark(self) -> u8 {
        match self {
            Self::Terminal => b't',
            Self::Refusals => b'r',
            Self::ProcessOne => b'p',
            Self::Work => b'w',
            Self::Network => b'n',
        }
    }
}

/// What comes.
pub(crate) enum Heard {
    /// The command's process has this number outside.
    Command(Pid),
    /// The master of the jail's own terminal.
    Terminal(OwnedFd),
    /// The listener of the system-call filter.
    Refusals(OwnedFd),
    /// Who process 1 is.
    ProcessOne(OwnedFd),
    /// The kernel's own directory beside an overlay's changes.
    Work(OwnedFd),
    /// A network namespace.
    Network(OwnedFd),
    /// It is executing the command, or has reported why not.
    Gone,
}

/// Both ends.
pub(crate) fn pair() -> Result<(Listener, Greeter), Errno> {
    let (listener, greeter) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // The kernel then says with every message who sent it.
    set_socket_passcred(&listener, true)?;
    Ok((Listener(listener), Greeter(greeter)))
}

impl Greeter {
    /// Says that this process is the command's.
    pub(crate) fn greet(&self) -> Result<(), Errno> {
        sendmsg(&self.0, &[IoSlice::new(b"c")], &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL).map(drop)
    }

    /// Hands a descriptor over.
    pub(crate) fn hand_over(&self, what: Handed, file: &OwnedFd) -> Result<(), Errno> {
        send(self.0.as_fd(), &[what.mark()], file.as_fd())
    }
}

impl AsFd for Greeter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    /// Receives one message, which poll has said is there.
    pub(crate) fn hear(&self) -> Result<Heard, Errno> {
        self.receive(RecvFlags::empty())
    }

    /// Receives one message if it is there, and does not wait for it (EAGAIN).
    pub(crate) fn heard(&self) -> Result<Heard, Errno> {
        self.receive(RecvFlags::DONTWAIT)
    }

    fn receive(&self, flags: RecvFlags) -> Result<Heard, Errno> {
        let mut byte = [0];
        let (length, file, sender) = receive_with(self.0.as_fd(), &mut byte, flags)?;
        if length == 0 {
            return Ok(Heard::Gone);
        }
        match (byte, file) {
            // The descriptor is lost where there is no room for one.
            ([b't' | b'r' | b'p' | b'n' | b'w'], None) => Err(Errno::MFILE),
            ([b'r'], Some(file)) => Ok(Heard::Refusals(file)),
            ([b'p'], Some(file)) => Ok(Heard::ProcessOne(file)),
            ([b'n'], Some(file)) => Ok(Heard::Network(file)),
            ([b'w'], Some(file)) => Ok(Heard::Work(file)),
            (_, Some(file)) => Ok(Heard::Terminal(file)),
            (_, None) => sender.map(Heard::Command).ok_or(Errno::IO),
        }
    }
}

/// Sends a descriptor with a few bytes that say what it is.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], file: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let files = [file];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(Errno::NOBUFS);
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL).map(drop)
}

/// Receives such a message: how long it is (0 at the end), the descriptor, and who sent
/// it, where the socket says so.
pub(crate) fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>, Option<Pid>), Errno> {
    receive_with(socket, bytes, RecvFlags::empty())
}

fn receive_with(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    flags: RecvFlags,
) -> Result<(usize, Option<OwnedFd>, Option<Pid>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1), ScmCredentials(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut ancillary, flags | RecvFlags::CMSG_CLOEXEC)?;
    let (mut sender, mut file) = (None, None);
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmCredentials(who) = part {
            sender = Some(who.pid);
        } else if let RecvAncillaryMessage::ScmRights(mut files) = part {
            file = files.next();
        }
    }
    Ok((message.bytes, file, sender))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
