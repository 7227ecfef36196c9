//! `--reach`, as it is planned: which address each host has inside, what the hosts file
//! says there, and where each hole leads outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;

use crate::error::{Asked, Error, Layer, c_string, said};
use crate::host::Host;
use crate::host::resolver::Unresolved;
use crate::plan::fs::requests::{Put, Wanted, absolute, files_error, not_through_a_link, source};
use crate::plan::near::{self, Near};
use crate::plan::op::{Op, Outward, Step};
use crate::policy::Policy;
use crate::policy::endpoint::{Endpoint, Machine, is_one_machine};
use crate::util::escape::shown;

/// All that is to be done for it.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// By the launcher.
    pub(crate) outside: Vec<Step>,
    /// By process 1 in its own network.
    pub(crate) network: Vec<Step>,
    /// Files inside.
    pub(crate) wanted: Vec<Wanted>,
}

/// The first network of addresses that hosts have inside: none of them has another
/// meaning. After 127.64.255.255 comes what nobody gets to.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 1);

/// The same for IPv6, from the range for private use; the 40 bits that make such a
/// network unique spell the program's name.
const FIRST6: Ipv6Addr = Ipv6Addr::new(0xfd6a, 0x6169, 0x6c00, 0, 0, 0, 0, 1);

/// Plans what `policy` wants to reach.
///
/// # Errors
/// What is not there, and what leads where a name is not to lead.
pub(crate) fn reached(policy: &Policy, host: &Host) -> Result<Reached, Error> {
    let mut reached = Reached::default();
    if policy.reach.is_empty() {
        return Ok(reached);
    }
    let mut all: Vec<_> = policy.reach.iter().collect();
    all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let ipv6 = host.has_ipv6();
    let mut inside = Inside::new(ipv6);
    inside.avoid(all.iter().map(|(reach, _)| &reach.at));
    let mut listens = Vec::new();
    for (number, (reach, asked)) in all.iter().enumerate() {
        let hole = u32::try_from(number).unwrap_or(u32::MAX);
        let to = outward(&reach.to, host, asked)?;
        let op = Op::Reach { name: reach.at.clone().into(), to: to.into() };
        reached.outside.push(Step { op, asked: Some(*asked) });
        match &reach.at {
            Endpoint::Unix(path) => {
                let mut dest = absolute(host, path, Some(asked))?;
                if reach.at == reach.to {
                    // The same place, and so the host's `..`.
                    dest = host.without_dotdot(&dest).unwrap_or(dest);
                }
                reached.wanted.push(Wanted { put: Put::Socket { hole }, dest, asked: Some(*asked) });
            }
            Endpoint::Tcp(machine, port) => {
                let addresses = inside.addresses(machine, asked)?;
                for address in addresses {
                    let at = SocketAddr::new(address, *port);
                    // 127.0.0.1 and localhost are the same inside.
                    if listens.contains(&at) {
                        return Err(Error::usage(*asked, format!("{at} inside is given twice"), "give each once"));
                    }
                    listens.push(at);
                    reached.network.push(Step { op: Op::Listen { at, hole }, asked: Some(*asked) });
                }
            }
        }
    }
    let first = all.first().map(|(_, asked)| *asked);
    let give = |address: &IpAddr| Step { op: Op::LoopbackAddress { address: *address }, asked: first };
    inside.given.sort_unstable();
    inside.given.dedup();
    let listening = std::mem::replace(&mut reached.network, inside.given.iter().map(give).collect());
    reached.network.extend(listening);
    reached.outside.push(Step { op: Op::Reacher, asked: first });
    if !inside.names.is_empty() {
        let put = Put::Hosts { text: inside.hosts(policy.hostname.value.to_str().unwrap_or("")) };
        let named = all.iter().find(|(reach, _)| matches!(reach.at, Endpoint::Tcp(Machine::Name(_), _)));
        let asked = named.map(|(_, asked)| *asked);
        reached.wanted.push(Wanted { put, dest: "/etc/hosts".into(), asked });
    }
    Ok(reached)
}

/// The addresses of hosts inside. There are few.
struct Inside<'a> {
    ipv6: bool,
    names: Vec<(&'a str, Vec<IpAddr>)>,
    /// Addresses that the loopback is to have.
    given: Vec<IpAddr>,
    taken: Vec<IpAddr>,
    next: u16,
}

impl<'a> Inside<'a> {
    fn new(ipv6: bool) -> Self {
        Self { ipv6, names: Vec::new(), given: Vec::new(), taken: Vec::new(), next: 0 }
    }

    /// No name is to get an address that a flag names.
    fn avoid(&mut self, named: impl Iterator<Item = &'a Endpoint>) {
        let addresses = named.filter_map(|endpoint| match endpoint {
            Endpoint::Tcp(Machine::Address(address), _) => Some(*address),
            Endpoint::Tcp(Machine::Name(_), _) | Endpoint::Unix(_) => None,
        });
        self.taken = addresses.collect();
    }

    /// Those of `machine`.
    fn addresses(&mut self, machine: &'a Machine, asked: &Asked) -> Result<Vec<IpAddr>, Error> {
        let name = match machine {
            Machine::Address(IpAddr::V6(_)) if !self.ipv6 => {
                let (problem, remedy) = ("this machine has no IPv6", "name an IPv4 address");
                return Err(Error::usage(*asked, problem, remedy).met("", Layer::Kernel));
            }
            Machine::Address(address) => {
                if !address.is_loopback() && !self.given.contains(address) {
                    self.given.push(*address);
                }
                return Ok(vec![*address]);
            }
            Machine::Name(_) if machine.is_localhost() => {
                let v6 = self.ipv6.then_some(IpAddr::from(Ipv6Addr::LOCALHOST));
                return Ok([Some(Ipv4Addr::LOCALHOST.into()), v6].into_iter().flatten().collect());
            }
            Machine::Name(name) => name,
        };
        if let Some((_, known)) = self.names.iter().find(|(other, _)| other == name) {
            return Ok(known.clone());
        }
        loop {
            let v4 = IpAddr::from(Ipv4Addr::from(u32::from(FIRST) + u32::from(self.next)));
            let v6 = IpAddr::from(Ipv6Addr::from(u128::from(FIRST6) + u128::from(self.next)));
            self.next =
                self.next.checked_add(1).ok_or_else(|| Error::usage(*asked, "there are more than 65,000 hosts", "name fewer"))?;
            let own: Vec<IpAddr> = if self.ipv6 { vec![v4, v6] } else { vec![v4] };
            if own.iter().all(|address| !self.taken.contains(address)) {
                self.given.extend(&own);
                self.names.push((name, own.clone()));
                return Ok(own);
            }
        }
    }

    /// The hosts file.
    fn hosts(&self, hostname: &str) -> String {
        let mut text = String::new();
        let mut line = |address: IpAddr, name: &str| text.push_str(&format!("{address} {name}\n"));
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let own = !hostname.is_empty()
            && hostname.bytes().all(plain)
            && !self.names.iter().any(|(name, _)| name.eq_ignore_ascii_case(hostname));
        let with_own = |name: &str| if own { format!("{name} {hostname}") } else { name.to_owned() };
        line(Ipv4Addr::LOCALHOST.into(), &with_own("localhost"));
        if self.ipv6 {
            line(Ipv6Addr::LOCALHOST.into(), "localhost");
        }
        for (name, addresses) in self.names.iter() {
            addresses.iter().for_each(|address| line(*address, name));
        }
        text
    }
}

/// Where `endpoint` leads on the host, now.
fn outward(endpoint: &Endpoint, host: &Host, asked: &Asked) -> Result<Outward, Error> {
    match endpoint {
        Endpoint::Unix(path) => {
            not_through_a_link(host, path, Some(asked))?;
            let at = source(host, path, false, Some(asked))?.unwrap_or_default();
            let (Some(dir), Some(name)) = (at.parent(), at.file_name()) else {
                let problem = "a directory is no socket";
                return Err(files_error(Some(asked), format!("find {}", shown(path)), problem, "name a socket"));
            };
            if !host.is_socket(&at) {
                return Err(files_error(
                    Some(asked),
                    format!("find {}", shown(path)),
                    "it is not a socket",
                    "name a Unix socket; files are shown with --ro",
                ));
            }
            Ok(Outward::Unix { dir: c_string(dir.as_os_str())?, name: c_string(name)? })
        }
        Endpoint::Tcp(Machine::Address(address), port) => Ok(Outward::Tcp(vec![SocketAddr::new(*address, *port)])),
        Endpoint::Tcp(machine, port) if machine.is_localhost() => {
            let both = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
            Ok(Outward::Tcp(both.map(|address| SocketAddr::new(address, *port)).to_vec()))
        }
        Endpoint::Tcp(machine, port) => {
            let addresses = named(machine, *port, host, asked)?;
            Ok(Outward::Tcp(addresses.into_iter().map(|address| SocketAddr::new(address, *port)).collect()))
        }
    }
}

/// What the resolver says that a name's addresses are.
fn named(machine: &Machine, port: u16, host: &Host, asked: &Asked) -> Result<Vec<IpAddr>, Error> {
    let refuse = |problem: String, layer: Layer, remedy: String| {
        Err(Error::usage(*asked, problem, remedy).met(format!("find {machine}"), layer))
    };
    let addresses = match host.addresses(&machine.to_string()) {
        Ok(addresses) => addresses,
        Err(Unresolved::NoResolver) => {
            return refuse(
                "getent(1), which asks this machine's resolver, is not installed in a system directory such as /usr/bin".into(),
                Layer::Files,
                format!("install it (it comes with the C library), or say which address it is: {machine}:{port}=ADDRESS:{port}"),
            );
        }
        Err(Unresolved::Refused(refused)) => {
            return refuse(
                refused.to_string(),
                Layer::Files,
                format!("{}; or say which address it is: {machine}:{port}=ADDRESS:{port}", &*refused.remedy()),
            );
        }
        Err(Unresolved::Start(errno)) => {
            return refuse(
                format!("getent(1), which asks this machine's resolver, cannot be started: {}", said(errno)),
                Layer::Kernel,
                format!("see ulimit -u and ulimit -n, or say which address it is: {machine}:{port}=ADDRESS:{port}"),
            );
        }
        Err(Unresolved::Unknown) => {
            return refuse(
                "the name is not known".into(),
                Layer::Resolver,
                format!("see what getent ahosts {machine} says, or say which address it is: {machine}:{port}=ADDRESS:{port}"),
            );
        }
    };
    for address in &addresses {
        let near = match near::near(*address) {
            None if host.is_own(address).map_err(|errno| own_unknown(machine, port, errno, asked))? => Some(Near::Own),
            near => near,
        };
        if let Some(near) = near {
            let shown = Machine::Address(*address);
            let remedy = if is_one_machine(*address) {
                format!("if that is meant, say so: {machine}:{port}={shown}:{port}")
            } else {
                format!("say which address is meant: {machine}:{port}=ADDRESS:{port}")
            };
            return refuse(format!("the name leads to {address}, which is {near}"), Layer::Resolver, remedy);
        }
    }
    Ok(addresses)
}

/// The kernel does not tell whether an address is this machine's own.
fn own_unknown(machine: &Machine, port: u16, errno: Errno, asked: &Asked) -> Error {
    let remedy = format!("say which address it is: {machine}:{port}=ADDRESS:{port}");
    let error = Error::usage(*asked, said(errno), remedy).numbered(errno);
    error.met(format!("find out whether {machine} is this machine"), Layer::Kernel)
}
