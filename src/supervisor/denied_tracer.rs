//! `--trace-denied`: the launcher answers each call that the policy refuses, as the
//! policy would have, and says so on standard error.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, ReadWriteFlags, pwritev2, read, write};
use rustix::termios::isatty;

use crate::seccomp::explain_denied::{Refusal, Trace};
use crate::seccomp::policy::bpf::Made;
use crate::sys::clock::timespec;
use crate::sys::{self, Waiting};
use crate::util::escape::shown;
use crate::util::stack_str::Line;

/// So many refusals that differ are told. A command can give itself names without end.
const MOST: usize = 1000;

/// So many programs are named for one call that they go on without.
const NAMED: usize = 8;

/// So long who reads standard error may take nothing, once everything else is done.
const PATIENCE: u64 = 1_000_000_000;

/// The listener, in the launcher.
pub(crate) struct Tracer<'a> {
    trace: &'a Trace,
    /// None once no process has the filter any more.
    listener: Option<OwnedFd>,
    lines: Lines,
    /// By what they are of, in order.
    seen: Vec<Seen>,
    /// Of those that were too many.
    untold: u64,
}

/// By what refusals are told apart: a program's name, as `who` gives it, and the call with
/// those of its arguments that matter.
type Key = (Name, u32, u32, [u32; 3]);

/// A program's name as the kernel escapes it, with NULs behind.
type Name = [u8; 64];

/// One of a program's refusals.
struct Seen {
    key: Key,
    program: String,
    refusal: Refusal,
    times: u64,
    remedy: String,
}

impl<'a> Tracer<'a> {
    /// Starts telling.
    pub(crate) fn start(listener: OwnedFd, trace: &'a Trace) -> Self {
        Self { trace, listener: Some(listener), lines: Lines::open(), seen: Vec::new(), untold: 0 }
    }

    /// What to wait for: the listener, standard error. None where nothing is wanted.
    pub(crate) fn wants(&self) -> [Option<(BorrowedFd<'_>, PollFlags)>; 2] {
        [self.listener.as_ref().map(|listener| (listener.as_fd(), PollFlags::IN)), self.lines.wants()]
    }

    /// Does what can be done, by what poll has found of `wants`. `raw`: the caller's
    /// terminal is, and its cursor is anywhere.
    pub(crate) fn turn(&mut self, [refusals, told]: [PollFlags; 2], raw: bool) -> Result<(), Errno> {
        if refusals.contains(PollFlags::IN) {
            self.answer(raw)?;
        } else if !refusals.is_empty() {
            self.listener = None;
        }
        if !told.is_empty() {
            self.lines.put_out();
        }
        Ok(())
    }

    /// Answers one call. Before it is told: a command is not to wait for a reader of
    /// standard error.
    fn answer(&mut self, raw: bool) -> Result<(), Errno> {
        let Some(listener) = self.listener.as_ref().map(AsFd::as_fd) else { return Ok(()) };
        let waiting = match Waiting::receive(listener) {
            Ok(waiting) => waiting,
            // It was killed, or a signal called it away.
            Err(Errno::NOENT | Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let (process, name) = who(waiting.thread);
        if !waiting.is_there(listener)? {
            return Ok(());
        }
        let data = &waiting.data;
        let made = &Made { audit: data.audit, number: data.number, arguments: data.arguments };
        let times = match waiting.refuse(listener, self.trace.errno(made)) {
            Ok(()) => 1,
            // It was killed. (Before Linux 5.19 a signal can have called it away, and
            // it then comes again.)
            Err(Errno::NOENT) => 0,
            Err(errno) => return Err(errno),
        };
        // Nothing that is known already takes any memory, which is not given back.
        let key = (name, made.audit, made.number, self.trace.telling(made));
        let at = match self.seen.binary_search_by(|seen| seen.key.cmp(&key)) {
            Ok(at) => {
                self.seen[at].times += times;
                return Ok(());
            }
            Err(at) => at,
        };
        if self.seen.len() == MOST {
            if self.untold == 0 {
                self.lines.add(&format!("{MOST} different refusals are told; of more, the number at the end"), raw);
            }
            self.untold += 1;
            return Ok(());
        }
        let (program, refusal, remedy) = (shown_name(&name), self.trace.refusal(made), self.trace.remedy(made));
        if !refusal.falls_back {
            let (what, error) = (&refusal.what, refusal.error());
            self.lines.add(&format!("{program} (pid {process}) was refused {what} ({error}): {remedy}"), raw);
        }
        self.seen.insert(at, Seen { key, program, refusal, times, remedy });
        Ok(())
    }

    /// Says how often what was told came, and what libraries go on without: nearly
    /// every program is refused clone3(2), and nothing comes of it. Everything in the
    /// jail is dead.
    pub(crate) fn conclude(mut self) {
        for Seen { program, refusal, times, .. } in &self.seen {
            if !refusal.falls_back && *times > 1 {
                self.lines.add(&format!("{program} was refused {} {times} times in all", refusal.what), false);
            }
        }
        let mut seen = self.seen;
        seen.retain(|seen| seen.refusal.falls_back);
        seen.sort_unstable_by(|a, b| (&a.refusal, &a.program).cmp(&(&b.refusal, &b.program)));
        for alike in seen.chunk_by(|a, b| a.refusal == b.refusal) {
            let Some(Seen { refusal, remedy, .. }) = alike.first() else { continue };
            let times: u64 = alike.iter().map(|seen| seen.times).sum();
            let mut programs: Vec<&str> = alike.iter().map(|seen| seen.program.as_str()).collect();
            let more = if programs.len() > NAMED { " and others" } else { "" };
            programs.truncate(NAMED);
            let (what, error, programs) = (&refusal.what, refusal.error(), programs.join(", "));
            let fall_back = "as if this kernel had none: programs fall back";
            let times = if times == 1 { "once".into() } else { format!("{times} times") };
            self.lines.add(&format!("{programs}{more} got {error} for {what} {times} ({fall_back}): {remedy}"), false);
        }
        if self.untold > 0 {
            self.lines.add(&format!("{} refusals more are not told", self.untold), false);
        }
        self.lines.put_out_all();
    }
}

/// The process that thread `thread` is of, and its program's name, which anyone may
/// give himself: what is said of it must not pass for more than one line.
fn who(thread: u32) -> (u32, Name) {
    let mut told = status(thread);
    let process = told.1.unwrap_or(thread);
    if process != thread {
        // Threads have names of their own.
        told = status(process);
    }
    (process, told.0)
}

fn shown_name(name: &Name) -> String {
    match name.iter().position(|byte| *byte == 0).unwrap_or(name.len()) {
        0 => "a program".into(),
        end => shown(OsStr::from_bytes(&as_set(&name[..end]))),
    }
}

/// A name as the program set it: the kernel writes `\n` for a newline in
/// /proc/PID/status, and two backslashes for one.
fn as_set(escaped: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'\\', [b'n', after @ ..]) => (b'\n', after),
            (b'\\', [b'\\', after @ ..]) => (b'\\', after),
            _ => (*first, after),
        };
        name.push(byte);
        rest = after;
    }
    name
}

/// The name and the process of a thread. A line's end in the name is escaped.
fn status(thread: u32) -> (Name, Option<u32>) {
    let (mut path, mut bytes, mut name) = (Line::<32>::new(), [0; 512], [0; 64]);
    let file = path
        .print(format_args!("/proc/{thread}/status\0"))
        .and_then(|()| openat(CWD, path.c_str()?, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()));
    let length = file.and_then(|file| read(&file, bytes.as_mut_slice())).unwrap_or(0);
    let mut lines = bytes[..length].split(|byte| *byte == b'\n');
    if let Some(said) = lines.next().and_then(|line| line.strip_prefix(b"Name:\t")) {
        let length = said.len().min(name.len());
        name[..length].copy_from_slice(&said[..length]);
    }
    let process = lines.find_map(|line| line.strip_prefix(b"Tgid:\t"));
    (name, process.and_then(|number| core::str::from_utf8(number).ok()?.parse().ok()))
}

/// What is to be put out on standard error, which may be full for as long as its
/// reader likes, while the launcher has other things to do.
struct Lines {
    /// None once it takes nothing more.
    to: Option<To>,
    /// Is it a terminal?
    terminal: bool,
    /// Of `MOST` lines at most, and the sums.
    bytes: Vec<u8>,
}

/// How standard error is written to without waiting.
enum To {
    /// A terminal, opened anew so that a write to one that stands still does not: the
    /// caller's own description is not ours to change.
    Terminal(OwnedFd),
    /// A pipe or a socket, where the command may have taken the room that poll found.
    Shared(BorrowedFd<'static>),
    /// A file.
    File(BorrowedFd<'static>),
}

/// At most so much is put out at once: what poll finds room for in a pipe.
const AT_ONCE: usize = 4096;

impl Lines {
    fn open() -> Self {
        let open = |stderr: BorrowedFd<'static>| {
            let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            if isatty(stderr) {
                return openat(CWD, c"/proc/self/fd/2", flags, Mode::empty()).map_or(To::Shared(stderr), To::Terminal);
            }
            match fstat(stderr).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Ok(FileType::Fifo | FileType::Socket) => To::Shared(stderr),
                Ok(_) | Err(_) => To::File(stderr),
            }
        };
        let stderr = sys::inherited(2);
        Self { to: stderr.map(open), terminal: stderr.is_some_and(isatty), bytes: Vec::new() }
    }

    fn add(&mut self, line: &str, raw: bool) {
        if self.to.is_some() {
            let (start, end) = if raw && self.terminal { ("\r\n", "\r\n") } else { ("", "\n") };
            self.bytes.extend_from_slice(format!("{start}jail: {line}{end}").as_bytes());
        }
    }

    fn wants(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.to.as_ref().filter(|_| !self.bytes.is_empty()).map(|to| (to.as_fd(), PollFlags::OUT))
    }

    /// Puts out a part, when poll has said that there is room.
    fn put_out(&mut self) {
        // Whole lines, as far as they fit: the command writes there, too.
        let part = &self.bytes[..self.bytes.len().min(AT_ONCE)];
        let part = &part[..part.iter().rposition(|byte| *byte == b'\n').map_or(part.len(), |end| end + 1)];
        let done = match &self.to {
            None => Ok(self.bytes.len()),
            Some(To::Terminal(fd)) => write(fd, part),
            Some(To::File(fd)) => write(fd, part),
            Some(To::Shared(fd)) => match pwritev2(fd, &[IoSlice::new(part)], u64::MAX, ReadWriteFlags::NOWAIT) {
                // Pipes take the flag since Linux 6.4. Before it there is no better.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => write(fd, part),
                done => done,
            },
        };
        match done {
            Ok(written) => drop(self.bytes.drain(..written)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // A reader that is gone, a full disk. The command is not to end for that.
            Err(_) => {
                self.to = None;
                self.bytes.clear();
            }
        }
    }

    /// Puts out the rest, unless nobody takes it.
    fn put_out_all(&mut self) {
        let mut until = sys::now() + PATIENCE;
        while let Some((fd, room)) = self.wants() {
            let left = self.bytes.len();
            let wait = until.saturating_sub(sys::now());
            let ready = poll(&mut [PollFd::from_borrowed_fd(fd, room)], Some(&timespec(wait)));
            if matches!(ready, Ok(1..)) {
                self.put_out();
            }
            if self.bytes.len() < left {
                until = sys::now() + PATIENCE;
            } else if wait == 0 {
                return;
            }
        }
    }
}

impl AsFd for To {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Terminal(fd) => fd.as_fd(),
            Self::Shared(fd) | Self::File(fd) => *fd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn a_pipe_that_others_have_filled_is_not_waited_for() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let writer = sys::inherited(writer.into_raw_fd()).unwrap();
        let page = [b'x'; AT_ONCE];
        let nowait = || pwritev2(writer, &[IoSlice::new(&page)], u64::MAX, ReadWriteFlags::NOWAIT);
        while nowait().is_ok() {}
        if nowait() == Err(Errno::OPNOTSUPP) {
            return; // Linux 6.3, where it may be.
        }
        let mut lines = Lines { to: Some(To::Shared(writer)), terminal: false, bytes: Vec::new() };
        lines.add("one", false);
        lines.put_out();
        assert_eq!(lines.bytes, b"jail: one\n");
        // With room for it, whole lines.
        read(&reader, &mut [0; AT_ONCE]).unwrap();
        lines.add(&"y".repeat(AT_ONCE - 15), false);
        lines.put_out();
        assert_eq!(lines.bytes.len(), AT_ONCE - 15 + "jail: \n".len());
        drop(reader);
        lines.put_out_all();
        assert!(lines.to.is_none() && lines.bytes.is_empty(), "its reader is gone");
    }

    #[test]
    fn processes_have_names_and_threads_have_those_of_their_processes() {
        let own = std::fs::read_to_string("/proc/self/comm").unwrap();
        let (process, name) = who(std::process::id());
        assert_eq!((process, shown_name(&name).as_str()), (std::process::id(), own.trim_end()));
        let thread = rustix::thread::gettid().as_raw_pid();
        assert_eq!(who(thread.unsigned_abs()), (process, name));
        assert_eq!(who(u32::MAX), (u32::MAX, [0; 64]));
        assert_eq!(shown_name(&[0; 64]), "a program");
    }
}
