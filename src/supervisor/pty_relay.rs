//! `--pty`: a terminal of the jail's own, and the relay between it and the
//! caller's streams, which need not be a terminal.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::fs::{CWD, Mode, OFlags, fcntl_getfl, fcntl_setfl, openat};
use rustix::io::{Errno, read, write};
use rustix::termios::{OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::child::terminal::peer;
use crate::process::watchdog::{End, Keeper};
use crate::sys::{self, Arguments};

/// Bytes on their way. Not more than a pipe takes at once, so that a writer that
/// was told of room is not held up.
struct Way {
    bytes: [u8; 4096],
    from: usize,
    to: usize,
}

impl Way {
    const fn new() -> Self {
        Self { bytes: [0; 4096], from: 0, to: 0 }
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Reads once; gives how much.
    fn fill(&mut self, from: BorrowedFd<'_>) -> Result<usize, Errno> {
        let read = read(from, &mut self.bytes)?;
        (self.from, self.to) = (0, read);
        Ok(read)
    }

    /// Writes once.
    fn drain(&mut self, to: BorrowedFd<'_>) -> Result<(), Errno> {
        self.from += write(to, &self.bytes[self.from..self.to])?;
        Ok(())
    }
}

/// Where output goes.
enum Output {
    /// The caller's descriptor, which takes what poll says it has room for.
    Passed(BorrowedFd<'static>),
    /// A terminal, opened anew so that a write to one that stands still does not: the
    /// caller's own description is not ours to change.
    Terminal(OwnedFd),
}

impl Output {
    fn open(fd: BorrowedFd<'static>) -> Self {
        let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match isatty(fd).then(|| openat(CWD, c"/proc/self/fd/1", flags, Mode::empty())) {
            Some(Ok(terminal)) => Self::Terminal(terminal),
            Some(Err(_)) | None => Self::Passed(fd),
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Passed(fd) => *fd,
            Self::Terminal(fd) => fd.as_fd(),
        }
    }
}

/// The caller's stream `fd`, if it is open for what it is for.
pub(crate) fn stream(fd: i32, wrong: OFlags) -> Option<BorrowedFd<'static>> {
    let stream = sys::inherited(fd)?;
    // A closed one has a placeholder; see `keep_off_closed_streams`.
    let unusable = fcntl_getfl(stream).is_ok_and(|flags| flags.contains(OFlags::PATH) || flags & OFlags::RWMODE == wrong);
    (!unusable).then_some(stream)
}

/// The relay, in the launcher.
pub(crate) struct Relay {
    master: OwnedFd,
    /// Held so that a command that closes its streams does not hang the line up.
    slave: Option<OwnedFd>,
    /// The caller's input; None from its end on.
    input: Option<BorrowedFd<'static>>,
    /// The caller's output; None once it takes nothing more.
    output: Option<Output>,
    /// Has the jail's side been closed for good?
    over: bool,
    inward: Way,
    outward: Way,
    /// The caller's terminal as it was, where its input is one.
    saved: Option<Termios>,
    /// Is the caller's terminal raw now?
    raw: bool,
    /// Puts the caller's terminal right if this process cannot.
    keeper: Option<Keeper>,
}

impl Relay {
    /// Starts relaying for `master`.
    pub(crate) fn start(master: OwnedFd, arguments: &Arguments) -> Result<Self, Errno> {
        let slave = Some(peer(&master)?);
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        let (input, output) = (stream(0, OFlags::WRONLY), stream(1, OFlags::RDONLY).map(Output::open));
        let saved = input.filter(|input| isatty(input)).map(tcgetattr).transpose()?;
        let keeper = match (input, &saved) {
            (Some(terminal), Some(saved)) => {
                let saved = saved.clone();
                let restore = move |end| {
                    if end == End::Dead {
                        let _ = tcsetattr(terminal, OptionalActions::Now, &saved);
                    }
                };
                Some(Keeper::start(arguments, &[terminal.as_raw_fd()], restore)?)
            }
            (Some(_) | None, _) => None,
        };
        let mut relay = Self {
            master,
            slave,
            input,
            output,
            over: false,
            inward: Way::new(),
            outward: Way::new(),
            saved,
            raw: false,
            keeper,
        };
        if relay.input.is_none() {
            relay.end_input(true);
        }
        relay.go_on();
        Ok(relay)
    }

    /// The processes that this one has made for it.
    pub(crate) fn keeper(&self) -> Option<&Keeper> {
        self.keeper.as_ref()
    }

    /// Takes the caller's terminal, if it has one and is in its foreground.
    pub(crate) fn go_on(&mut self) {
        let (Some(terminal), Some(saved)) = (self.input, &self.saved) else { return };
        // One that is not this session's terminal is in nobody's background.
        if self.raw || sys::in_the_foreground(terminal) == Some(false) {
            return;
        }
        let mut raw = saved.clone();
        raw.make_raw();
        self.raw = tcsetattr(terminal, OptionalActions::Now, &raw).is_ok();
        self.resize();
    }

    /// Takes it again, whatever was done to it while this process stood still.
    pub(crate) fn retake(&mut self) {
        self.raw = false;
        self.go_on();
    }

    /// Gives the caller's terminal back.
    pub(crate) fn pause(&mut self) {
        if let (true, Some(saved), Some(terminal)) = (self.raw, &self.saved, sys::inherited(0)) {
            let _ = tcsetattr(terminal, OptionalActions::Now, saved);
            self.raw = false;
        }
    }

    /// Does a line on the caller's terminal need a carriage return now?
    pub(crate) fn is_raw(&self) -> bool {
        self.raw
    }

    /// Is the caller's terminal another's for now? Nobody says when it is ours again.
    pub(crate) fn in_background(&self) -> bool {
        self.saved.is_some() && self.input.is_some() && !self.raw
    }

    /// Gives the jail's terminal the size of the caller's.
    pub(crate) fn resize(&self) {
        let size = [0, 1, 2].into_iter().filter_map(sys::inherited).find_map(|stream| tcgetwinsize(stream).ok());
        if let Some(size) = size {
            let _ = tcsetwinsize(&self.master, size);
        }
    }

    /// What to wait for: the master, the input, the output. None where nothing is
    /// wanted: poll would tell of a line that was hung up all the same.
    pub(crate) fn wants(&self) -> [Option<(BorrowedFd<'_>, PollFlags)>; 3] {
        let mut master = PollFlags::empty();
        master.set(PollFlags::IN, self.outward.is_empty() && !self.over);
        master.set(PollFlags::OUT, !self.inward.is_empty() && !self.over);
        let input = self.input.filter(|_| self.inward.is_empty() && !self.in_background());
        let output = self.output.as_ref().filter(|_| !self.outward.is_empty());
        [
            (!master.is_empty()).then_some((self.master.as_fd(), master)),
            input.map(|input| (input, PollFlags::IN)),
            output.map(|output| (output.as_fd(), PollFlags::OUT)),
        ]
    }

    /// Does what can be done, by what poll has found of `wants`.
    pub(crate) fn turn(&mut self, [master, input, output]: [PollFlags; 3]) -> Result<(), Errno> {
        let ready = PollFlags::IN | PollFlags::OUT | PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if input.intersects(ready) && self.inward.is_empty() {
            self.take_in();
        }
        if master.contains(PollFlags::OUT) && !self.inward.is_empty() {
            again(self.inward.drain(self.master.as_fd()))?;
        }
        if master.intersects(PollFlags::IN | PollFlags::HUP) && self.outward.is_empty() {
            match self.outward.fill(self.master.as_fd()) {
                // The kernel says EIO when nobody has the other side and all is read.
                Ok(0) | Err(Errno::IO) => self.over = true,
                filled => again(filled.map(drop))?,
            }
        }
        if output.intersects(ready) || self.output.is_none() {
            self.put_out()?;
        }
        Ok(())
    }

    fn take_in(&mut self) {
        let Some(input) = self.input else { return };
        let ended_line = self.inward.bytes[self.inward.to.saturating_sub(1)] == b'\n' || self.inward.to == 0;
        match self.inward.fill(input) {
            Ok(0) => self.end_input(ended_line),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            // A terminal that is gone.
            Err(_) => self.end_input(ended_line),
        }
    }

    /// Ends the command's input as a person does: by one end-of-file character at the
    /// start of a line, and two elsewhere.
    fn end_input(&mut self, at_line: bool) {
        self.input = None;
        let end = tcgetattr(&self.master).map_or(4, |settings| settings.special_codes[SpecialCodeIndex::VEOF]);
        self.inward.bytes[..2].copy_from_slice(&[end, end]);
        (self.inward.from, self.inward.to) = (0, if at_line { 1 } else { 2 });
    }

    fn put_out(&mut self) -> Result<(), Errno> {
        let done = match &self.output {
            Some(output) => again(self.outward.drain(output.as_fd())),
            None => Err(Errno::PIPE),
        };
        match done {
            // A reader or a terminal that is gone. The command is not to stand
            // still for that.
            Err(Errno::PIPE | Errno::IO | Errno::BADF) => {
                self.output = None;
                (self.outward.from, self.outward.to) = (0, 0);
                Ok(())
            }
            done => done,
        }
    }

    /// Lets go of the jail's side, once everyone inside is dead: then there is an end.
    pub(crate) fn hang_up(&mut self) {
        self.slave = None;
    }

    /// Is there something that the output has not taken?
    pub(crate) fn has_output(&self) -> bool {
        !self.outward.is_empty() && self.output.is_some()
    }

    /// Has all been put out that will come?
    pub(crate) fn is_dry(&self) -> bool {
        self.over && !self.has_output()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.pause();
    }
}

/// Not now is no error.
pub(crate) fn again(done: Result<(), Errno>) -> Result<(), Errno> {
    match done {
        Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        done => done,
    }
}
