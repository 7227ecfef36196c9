//! Values of flags.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::command_line::Given;
use crate::cli::request::Format;
use crate::error::{Error, Words};
use crate::policy::files::{Access, Entry, What};
use crate::policy::layer::Degradable;
use crate::policy::net::Hole;
use crate::policy::{Env, Policy, Setting};
use crate::seccomp::overrides::{Change, Refusal, Subject};
use crate::seccomp::policy::action::Treatment;
use crate::sys::caps;
use crate::sys::rlimits::{self, Limit};
use crate::util::escape::{about, shown};
use crate::util::suggest::nearest;
use crate::util::units;

pub(crate) fn bad(given: &Given, problem: impl Into<Words>, remedy: impl Into<Words>) -> Error {
    Error::usage(given.asked(), problem, remedy)
}

/// What is typed is `problem`.
pub(crate) fn wrong(given: &Given, problem: &str, remedy: impl Into<Words>) -> Error {
    bad(given, format!("{} {problem}", shown(&given.values[0])), remedy)
}

pub(crate) fn word<T: Copy>(given: &Given, known: &[(&str, T)]) -> Result<Setting<T>, Error> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let at = one_of(given, &names)?;
    Ok(Setting { value: known[at].1, asked: Some(given.asked()) })
}

/// Which of `names` is typed.
pub(crate) fn one_of(given: &Given, names: &[&str]) -> Result<usize, Error> {
    let typed = given.values[0].to_str().unwrap_or("");
    names
        .iter()
        .position(|name| *name == typed)
        .ok_or_else(|| bad(given, about("unknown value ", &given.values[0], ""), format!("write one of: {}", names.join(", "))))
}

pub(crate) fn path(given: &Given, index: usize) -> Result<PathBuf, Error> {
    let word = &given.values[index];
    if word.is_empty() {
        return Err(bad(given, "the path is empty", "name a path; . is the caller's directory"));
    }
    if word.as_bytes().contains(&0) {
        return Err(bad(given, "the path holds a NUL", "no file can be called so"));
    }
    Ok(PathBuf::from(word))
}

pub(crate) fn number(given: &Given, index: usize) -> Result<i32, Error> {
    given.values[index]
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|number| *number >= 0)
        .ok_or_else(|| bad(given, about("", &given.values[index], " is not a descriptor's number"), "write a number from 0 up"))
}

pub(crate) fn id(given: &Given) -> Result<u32, Error> {
    given.values[0]
        .to_str()
        .and_then(|text| text.parse().ok())
        // The last one is the kernel's word for "no id".
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| wrong(given, "is not an id", "write a number from 0 to 4294967294"))
}

pub(crate) fn hostname(given: &Given) -> Result<Setting<OsString>, Error> {
    let name = &given.values[0];
    // 64 is the kernel's __NEW_UTS_LEN.
    if name.is_empty() || name.len() > 64 || name.as_bytes().iter().any(|b| !b.is_ascii_graphic()) {
        return Err(bad(given, "not a hostname", "write 1 to 64 printable characters"));
    }
    Ok(Setting { value: name.clone(), asked: Some(given.asked()) })
}

pub(crate) fn capability(given: &Given) -> Result<u32, Error> {
    let typed = given.values[0].to_str().unwrap_or("");
    caps::number(typed).ok_or_else(|| {
        let lower = typed.to_ascii_lowercase();
        let remedy = match nearest(lower.strip_prefix("cap_").unwrap_or(&lower), caps::all()) {
            Some(near) => format!("did you mean {near}?"),
            None => "see capabilities(7) for the names".into(),
        };
        bad(given, "unknown capability", remedy)
    })
}

pub(crate) fn syscall(
    policy: &mut Policy,
    given: &Given,
    read: fn(&str) -> Result<(Subject, Treatment), Refusal>,
) -> Result<(), Error> {
    let text = given.values[0].to_str().unwrap_or("");
    let (subject, to) = read(text).map_err(|(problem, remedy)| bad(given, problem, remedy))?;
    policy.syscalls.push(Change { subject, to, asked: given.asked() });
    Ok(())
}

/// `DST` or `DST,size=N`, N in bytes or with k, m, g or t.
pub(crate) fn tmpfs(given: &Given) -> Result<(PathBuf, Option<u64>), Error> {
    const MARK: &[u8] = b",size=";
    let word = path(given, 0)?.into_os_string().into_vec();
    let Some(at) = word.windows(MARK.len()).rposition(|w| w == MARK) else {
        // ",sz=1m", or ":size=1m" as docker has it, would be a name and bound nothing.
        let option = word.rsplit(|byte| b",:/".contains(byte)).next().unwrap_or_default();
        let mark = word.len().checked_sub(option.len() + 1).map(|at| word[at]);
        return match option.iter().position(|byte| *byte == b'=') {
            Some(1..) if matches!(mark, Some(b',' | b':')) => {
                Err(bad(given, "only ,size=N may follow DST", "write DST,size=N, e.g. /scratch,size=64m"))
            }
            Some(_) | None => Ok((PathBuf::from(OsString::from_vec(word)), None)),
        };
    };
    let size = core::str::from_utf8(&word[at + MARK.len()..])
        .ok()
        .and_then(units::size)
        .ok_or_else(|| bad(given, "not a size", "write bytes from 1 up, or a number with k, m, g or t, e.g. ,size=64m"))?;
    if at == 0 {
        return Err(bad(given, "the path is empty", "write DST,size=N"));
    }
    Ok((PathBuf::from(OsString::from_vec(word[..at].to_vec())), Some(size)))
}

/// The size after `--ephemeral=`, if there is one.
pub(crate) fn ephemeral(given: &Given) -> Result<Option<u64>, Error> {
    let Some(word) = given.values.first() else { return Ok(None) };
    let size = word.to_str().and_then(units::size);
    size.map(Some).ok_or_else(|| bad(given, about("", word, " is not a size"), SIZE))
}

pub(crate) fn duration(given: &Given) -> Result<Duration, Error> {
    given.values[0]
        .to_str()
        .and_then(units::duration)
        .ok_or_else(|| wrong(given, "is not a duration", "write seconds above 0, or a number with ms, s, m or h, e.g. 1.5m"))
}

/// 0, or a duration that leaves the kernel's clocks room to go on.
pub(crate) fn uptime(given: &Given) -> Result<Duration, Error> {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let text = given.values[0].to_str().unwrap_or("");
    let zero = (text == "0").then_some(Duration::ZERO);
    zero.or_else(|| units::duration(text))
        .filter(|uptime| *uptime <= CENTURY)
        .ok_or_else(|| wrong(given, "is no time to be up", "write seconds, or a number with ms, s, m or h; from 0 to 100 years"))
}

pub(crate) fn umask(given: &Given) -> Result<u32, Error> {
    let octal = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'7')).then(|| u32::from_str_radix(text, 8).ok())?;
    given.values[0]
        .to_str()
        .and_then(octal)
        .filter(|mask| *mask <= 0o777)
        .ok_or_else(|| wrong(given, "is not a mask", "write it in octal, from 0 to 777, e.g. 022"))
}

pub(crate) fn processors(given: &Given) -> Result<usize, Error> {
    let number = given.values[0].to_str().and_then(units::whole).and_then(|n| usize::try_from(n).ok());
    number.filter(|n| *n > 0).ok_or_else(|| {
        let problem = about("", &given.values[0], " is not a number of processors");
        bad(given, problem, "write a whole number from 1 up; --cpus limits the time on them, also to a part of one")
    })
}

/// What `--explain` is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Explained {
    Plan(Format),
    Time,
}

pub(crate) fn explained(given: &Given) -> Result<Explained, Error> {
    let words = [("text", Explained::Plan(Format::Text)), ("json", Explained::Plan(Format::Json)), ("time", Explained::Time)];
    if given.values.is_empty() { Ok(Explained::Plan(Format::Text)) } else { Ok(word(given, &words)?.value) }
}

/// How `--check` and `--diff` print.
pub(crate) fn format(given: &Given) -> Result<Format, Error> {
    match given.values.first() {
        None => Ok(Format::Text),
        Some(_) => Ok(word(given, &[("text", Format::Text), ("json", Format::Json)])?.value),
    }
}

pub(crate) const SIZE: &str = "write bytes from 1 up, or a number with k, m, g or t, e.g. 512m";

pub(crate) const CPUS: &str = "write a number from 0.01 up, e.g. 1.5";

pub(crate) fn limit(given: &Given, read: fn(&str) -> Option<u64>, remedy: &'static str) -> Result<u64, Error> {
    let refuse = || wrong(given, "is no such limit", remedy);
    given.values[0].to_str().and_then(read).ok_or_else(refuse)
}

pub(crate) fn tasks(text: &str) -> Option<u64> {
    // What the kernel has numbers for at most.
    units::whole(text).filter(|n| (1..=4_194_304).contains(n))
}

pub(crate) fn rlimit(given: &Given) -> Result<Limit, Error> {
    let text = given.values[0].to_str().unwrap_or("");
    let Some((name, values)) = text.split_once('=') else {
        return Err(bad(given, "no value is given", "write NAME=SOFT or NAME=SOFT:HARD, e.g. nofile=1024"));
    };
    let Some(resource) = rlimits::find(name) else {
        let remedy = match nearest(&name.to_ascii_lowercase(), rlimits::NAMES.map(|(name, _)| name)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("write one of: {}", rlimits::NAMES.map(|(name, _)| name).join(", ")),
        };
        return Err(bad(given, "unknown limit", remedy));
    };
    let Some((soft, hard)) = rlimits::values(values) else {
        return Err(bad(given, about("", values, " is not a limit"), "write a number or unlimited, or two with : between"));
    };
    if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
        return Err(bad(given, "the soft limit is above the hard one", "write the smaller one first"));
    }
    Ok(Limit { resource, soft, hard })
}

pub(crate) fn port(given: &Given) -> Result<u16, Error> {
    let port = given.values[0].to_str().and_then(units::whole).and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port > 0)
        .ok_or_else(|| wrong(given, "is not a TCP port", "write a number from 1 to 65535, and the flag once for each"))
}

/// `[ADDR:]PORT[:PORT][/udp]`: one port is the same on both sides.
pub(crate) fn hole(given: &Given) -> Result<Hole, Error> {
    let number = |word: &str| units::whole(word).and_then(|port| u16::try_from(port).ok());
    let text = given.values[0].to_str().unwrap_or("");
    let (udp, text) = text.strip_suffix("/udp").map_or((false, text), |text| (true, text));
    let (addr, ports) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((addr, ports)) => (addr.parse().map(IpAddr::V6).ok(), ports.strip_prefix(':').unwrap_or("")),
        None => match text.split_once(':') {
            Some((addr, ports)) if addr.contains('.') => (addr.parse().map(IpAddr::V4).ok(), ports),
            Some(_) | None => (Some(Ipv4Addr::LOCALHOST.into()), text),
        },
    };
    let (outside, inside) = ports.split_once(':').unwrap_or((ports, ports));
    match (addr, number(outside), number(inside)) {
        // pasta(1) would not say which free port it took, and that of 2023 finds no way
        // back from another port.
        (Some(addr), Some(outside), Some(to @ 1..)) if outside == to || !udp => {
            Ok(Hole { udp, at: SocketAddr::new(addr, outside), to })
        }
        _ => Err(wrong(
            given,
            "is not [ADDR:]PORT[:PORT]",
            "write e.g. 8080, 8080:80, 127.0.0.2:8080:80 or [::1]:8080:80: an address, a port outside (a free one: 0:80), one inside; for UDP 5353/udp, the same on both sides",
        )),
    }
}

pub(crate) fn degrade(given: &Given) -> Result<Vec<Degradable>, Error> {
    let mut layers = Vec::new();
    for name in given.values[0].to_str().unwrap_or("").split(',') {
        let Some((_, layer)) = Degradable::ALL.iter().find(|(known, _)| *known == name) else {
            let known = Degradable::ALL.map(|(name, _)| name);
            let remedy = match nearest(name, known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("name one of: {}", known.join(", ")),
            };
            return Err(bad(given, about("", name, " is no layer to go without"), remedy));
        };
        if layers.contains(layer) {
            return Err(bad(given, format!("{name} is named twice"), "name it once"));
        }
        layers.push(*layer);
    }
    Ok(layers)
}

/// The descriptor of `--status-fd`. Not one that the command has, too: what it
/// wrote there would pass for a record.
pub fn status_fd(given: &Given) -> Result<i32, Error> {
    match number(given, 0)? {
        0..3 => Err(bad(given, "0, 1 and 2 are the command's, too", "open another, e.g. 3>FILE in a shell")),
        fd => Ok(fd),
    }
}

pub(crate) fn env(given: &Given) -> Result<Env, Error> {
    let word = given.values[0].as_bytes();
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    if word.contains(&0) {
        return Err(bad(given, "holds a NUL", "no variable can"));
    }
    match word.iter().position(|b| *b == b'=') {
        Some(0) => Err(bad(given, "the name is empty", "write NAME=VALUE")),
        Some(at) => Ok(Env::Set(os(&word[..at]), os(&word[at + 1..]))),
        None if word.is_empty() => Err(bad(given, "the name is empty", "write NAME, 'GLOB*' or NAME=VALUE")),
        None if word.iter().any(|b| matches!(b, b'*' | b'?')) => Ok(Env::Glob(os(word))),
        None => Ok(Env::Pass(os(word))),
    }
}

pub(crate) fn entry(policy: &mut Policy, given: &Given, what: What, dest: PathBuf) {
    let may_miss = given.flag.long.ends_with("-try");
    policy.entries.push(Entry { what, dest, may_miss, asked: given.asked() });
}

pub(crate) fn bind(policy: &mut Policy, given: &Given, access: Access, dest: usize) -> Result<(), Error> {
    let source = path(given, 0)?;
    let dest = path(given, dest)?;
    entry(policy, given, What::Bind { source, access }, dest);
    Ok(())
}
