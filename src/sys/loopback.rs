//! More addresses for a loopback, and which addresses are this machine's own. Without one beside 127.0.0.1 the C library takes a
//! machine for one without IPv4, and a name for one without an address (AI_ADDRCONFIG).

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use rustix::thread::nanosleep;
use rustix::time::Timespec;

use crate::sys;

// rtnetlink(7), netlink(7).
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
/// Nobody else on a loopback could have it.
const IFA_F_NODAD: u8 = 2;
const RT_SCOPE_HOST: u8 = 254;
const RTN_LOCAL: u8 = 2;
const RTN_ANYCAST: u8 = 4;
/// The number of the loopback in every network namespace.
const LOOPBACK: u32 = 1;

/// How long the kernel's worker may take, and how often it is asked, in nanoseconds.
const PATIENCE: u64 = 10_000_000_000;
const PAUSE: i64 = 50_000;

/// Gives the loopback of this network namespace one more address, and waits until
/// packets to it arrive.
pub(crate) fn add(address: IpAddr) -> Result<(), Errno> {
    let parts = Parts::of(&address)?;
    let socket = route_socket()?;

    let mut new = Message::new(RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE);
    new.put(&[parts.family, parts.bits(), IFA_F_NODAD, RT_SCOPE_HOST]);
    new.put(&LOOPBACK.to_ne_bytes());
    new.attribute(IFA_LOCAL, parts.octets())?;
    new.attribute(IFA_ADDRESS, parts.octets())?;
    let (kind, answer) = new.ask(&socket)?;
    // The error, negative.
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        _ if kind != NLMSG_ERROR => return Err(Errno::IO),
        0 => {}
        errno => return Err(Errno::from_raw_os_error(-errno)),
    }
    // An IPv6 address is there at once, and its route a worker's turn later; a packet
    // that is sent before is lost, and sent again after a second.
    let until = sys::now() + PATIENCE;
    loop {
        if route(&socket, &parts)? == Ok(RTN_LOCAL) {
            return Ok(());
        }
        if sys::now() > until {
            return Err(Errno::TIMEDOUT);
        }
        let _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: PAUSE });
    }
}

/// True if packets to `address` stay in this machine: an interface of this network
/// namespace has it, or a route says so.
pub(crate) fn is_own(address: IpAddr) -> Result<bool, Errno> {
    match route(&route_socket()?, &Parts::of(&address)?)? {
        Ok(kind) => Ok(kind == RTN_LOCAL || kind == RTN_ANYCAST),
        // Without an answer the address may be this machine's.
        Err(errno @ (Errno::PERM | Errno::NOMEM | Errno::NOBUFS)) => Err(errno),
        Err(Errno::OPNOTSUPP) if address.is_ipv4() => Err(Errno::OPNOTSUPP),
        // No route leads there, or there is no IPv6: nothing is there to connect to.
        Err(_) => Ok(false),
    }
}

fn route_socket() -> Result<OwnedFd, Errno> {
    // NETLINK_ROUTE is 0, which a protocol is by default.
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
}

/// An address as rtnetlink has it.
struct Parts {
    family: u8,
    octets: [u8; 16],
    length: u8,
}

impl Parts {
    fn of(address: &IpAddr) -> Result<Self, Errno> {
        let mut octets = [0; 16];
        let (family, length) = match address {
            IpAddr::V4(v4) => {
                octets[..4].copy_from_slice(&v4.octets());
                (AddressFamily::INET, 4)
            }
            IpAddr::V6(v6) => {
                octets = v6.octets();
                (AddressFamily::INET6, 16)
            }
        };
        Ok(Self { family: u8::try_from(family.as_raw()).map_err(|_| Errno::INVAL)?, octets, length })
    }

    fn octets(&self) -> &[u8] {
        &self.octets[..self.length.into()]
    }

    fn bits(&self) -> u8 {
        self.length * 8
    }
}

/// The kind of route that the kernel takes to `address` (RTN_*), or why it takes none.
fn route(socket: &OwnedFd, address: &Parts) -> Result<Result<u8, Errno>, Errno> {
    let mut get = Message::new(RTM_GETROUTE, NLM_F_REQUEST);
    get.put(&[address.family, address.bits(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    get.attribute(RTA_DST, address.octets())?;
    let (kind, answer) = get.ask(socket)?;
    match kind {
        RTM_NEWROUTE => Ok(Ok(answer[16 + 7])),
        NLMSG_ERROR => {
            let errno = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
            Ok(Err(Errno::from_raw_os_error(-errno)))
        }
        _ => Err(Errno::IO),
    }
}

/// A request, from its header on.
struct Message {
    bytes: [u8; 80],
    length: usize,
}

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut message = Self { bytes: [0; 80], length: 4 };
        message.put(&kind.to_ne_bytes());
        message.put(&flags.to_ne_bytes());
        message.put(&[0; 8]);
        message
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) -> Result<(), Errno> {
        let length = u16::try_from(4 + value.len()).map_err(|_| Errno::INVAL)?;
        self.put(&length.to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
        Ok(())
    }

    /// The kind of answer, and the answer.
    fn ask(mut self, socket: &OwnedFd) -> Result<(u16, [u8; 512]), Errno> {
        let length = u32::try_from(self.length).map_err(|_| Errno::INVAL)?;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        send(socket, &self.bytes[..self.length], SendFlags::empty())?;
        let mut answer = [0; 512];
        let (_, length) = recv(socket, &mut answer, RecvFlags::empty())?;
        if length < 24 {
            return Err(Errno::IO);
        }
        Ok((u16::from_ne_bytes([answer[4], answer[5]]), answer))
    }
}
