//! The command's process as it is known outside. In the jail it has another
//! number, and the kernel translates the one that a socket's message carries.
//! Made only for a run that needs it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType,
    recvmsg, sendmsg, socketpair,
};
use rustix::process::Pid;

/// The launcher's end.
pub(crate) struct Listener(OwnedFd);

/// The end that the command's process holds until exec closes it.
pub(crate) struct Greeter(OwnedFd);

/// What comes.
pub(crate) enum Heard {
    /// The command's process has this number outside.
    Command(Pid),
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
}

impl AsFd for Greeter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    /// Receives one message, which poll has said is there.
    pub(crate) fn hear(&self) -> Result<Heard, Errno> {
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let message = recvmsg(&self.0, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        if message.bytes == 0 {
            return Ok(Heard::Gone);
        }
        let sender = ancillary.drain().find_map(|message| {
            let RecvAncillaryMessage::ScmCredentials(who) = message else { return None };
            Some(who.pid)
        });
        sender.map(Heard::Command).ok_or(Errno::IO)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
