//! More addresses for a loopback. Without one beside 127.0.0.1 the C library takes a
//! machine for one without IPv4, and a name for one without an address (AI_ADDRCONFIG).

use std::net::IpAddr;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

// rtnetlink(7), netlink(7).
const RTM_NEWADDR: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Nobody else on a loopback could have it.
const IFA_F_NODAD: u8 = 2;
const RT_SCOPE_HOST: u8 = 254;
/// The number of the loopback in every network namespace.
const LOOPBACK: u32 = 1;

/// Gives the loopback of this network namespace one more address.
pub(crate) fn add(address: IpAddr) -> Result<(), Errno> {
    let (family, octets) = match &address {
        IpAddr::V4(address) => (AddressFamily::INET, &address.octets()[..]),
        IpAddr::V6(address) => (AddressFamily::INET6, &address.octets()[..]),
    };
    let bits = u8::try_from(octets.len() * 8).map_err(|_| Errno::INVAL)?;
    let family = u8::try_from(family.as_raw()).map_err(|_| Errno::INVAL)?;
    let mut message = Message { bytes: [0; 80], length: 4 };
    message.put(&RTM_NEWADDR.to_ne_bytes());
    message.put(&(NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE).to_ne_bytes());
    message.put(&[0; 8]);
    message.put(&[family, bits, IFA_F_NODAD, RT_SCOPE_HOST]);
    message.put(&LOOPBACK.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        let length = u16::try_from(4 + octets.len()).map_err(|_| Errno::INVAL)?;
        message.put(&length.to_ne_bytes());
        message.put(&kind.to_ne_bytes());
        message.put(octets);
    }
    let length = u32::try_from(message.length).map_err(|_| Errno::INVAL)?;
    message.bytes[..4].copy_from_slice(&length.to_ne_bytes());

    // NETLINK_ROUTE is 0, which a protocol is by default.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    send(&socket, &message.bytes[..message.length], SendFlags::empty())?;
    let mut answer = [0; 256];
    let (_, length) = recv(&socket, &mut answer, RecvFlags::empty())?;
    // A header of 16 bytes with the kind at 4, then the error, negative.
    let kind = [answer[4], answer[5]];
    if length < 20 || u16::from_ne_bytes(kind) != NLMSG_ERROR {
        return Err(Errno::IO);
    }
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        errno => Err(Errno::from_raw_os_error(-errno)),
    }
}

struct Message {
    bytes: [u8; 80],
    length: usize,
}

impl Message {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}
