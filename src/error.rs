//! The one error: what was being done, for which flag, what went wrong, which
//! layer refused, and what to do.

use core::fmt;
use std::borrow::Cow;
use std::ffi::CString;
use std::ffi::OsStr;
use std::ops::{Deref, DerefMut};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use crate::sys;
use crate::util::escape::{about, shown};
use crate::util::exit_status::FAILED;

/// Who said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The command line contradicts itself or says nothing.
    CommandLine,
    /// A file is missing, or its permissions or file system refuse.
    Files,
    /// A sysctl of this machine.
    KernelSetting,
    /// AppArmor's restriction of user namespaces.
    AppArmor,
    /// A container runtime around this process: its seccomp filter, its masked /proc.
    Container,
    /// This machine's resolver of names.
    Resolver,
    /// The cgroup tree: what is not delegated, or not there.
    Cgroup,
    /// The kernel: too old, built without, or a rule of its own.
    Kernel,
}

impl Layer {
    /// Each.
    pub const ALL: [Self; 8] = [
        Self::CommandLine,
        Self::Files,
        Self::KernelSetting,
        Self::AppArmor,
        Self::Container,
        Self::Resolver,
        Self::Cgroup,
        Self::Kernel,
    ];
}

impl Layer {
    /// Would `--check` say more, which tries what this machine lets a jail have?
    fn is_checked(self) -> bool {
        match self {
            Self::KernelSetting | Self::AppArmor | Self::Container => true,
            // The kernel's may be a limit that is reached just now, which no check knows.
            Self::CommandLine | Self::Files | Self::Resolver | Self::Cgroup | Self::Kernel => false,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandLine => "the command line",
            Self::Files => "the file system",
            Self::KernelSetting => "a kernel setting",
            Self::AppArmor => "AppArmor",
            Self::Container => "the container around this process",
            Self::Resolver => "the resolver of names",
            Self::Cgroup => "the cgroup tree",
            Self::Kernel => "the kernel",
        })
    }
}

/// What is said of an error; most of it is known when the program is built.
pub type Words = Cow<'static, str>;

/// An error on its way to the user: little more than nothing to give back, as nearly
/// every function may, for the case that there is none.
#[derive(Debug, PartialEq, Eq)]
pub struct Error(Box<Told>);

/// What is told of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The exit status: 125, 126 or 127.
    pub status: u8,
    /// The flag that asked, as typed; none where a default did.
    pub flag: Option<Asked>,
    /// What was being done.
    pub doing: Words,
    /// What went wrong.
    pub problem: Words,
    /// The kernel's number for it, where the kernel refused.
    pub errno: Option<i32>,
    /// Who refused.
    pub layer: Layer,
    /// What to do about it.
    pub remedy: Words,
}

impl Error {
    /// A mistake on the command line: nothing has been done yet.
    pub fn usage(flag: impl Into<Option<Asked>>, problem: impl Into<Words>, remedy: impl Into<Words>) -> Self {
        Self::new(flag.into(), problem.into(), remedy.into())
    }

    fn new(flag: Option<Asked>, problem: Words, remedy: Words) -> Self {
        let (doing, layer) = ("".into(), Layer::CommandLine);
        Self(Box::new(Told { status: FAILED, flag, doing, problem, errno: None, layer, remedy }))
    }

    /// The same, met while `doing` this, and `layer` refused.
    pub fn met(mut self, doing: impl Into<Words>, layer: Layer) -> Self {
        (self.doing, self.layer) = (doing.into(), layer);
        self
    }

    /// The same, with the kernel's number for it.
    pub fn numbered(mut self, errno: Errno) -> Self {
        self.errno = Some(errno.raw_os_error());
        self
    }
}

impl Deref for Error {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Told {
        &mut self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("jail: ")?;
        if let Some(flag) = &self.flag {
            write!(f, "{}: ", flag.text())?;
        }
        if !self.doing.is_empty() {
            write!(f, "{}: ", self.doing)?;
        }
        write!(f, "{}\njail: refused by {}; {}", self.problem, self.layer, self.remedy)?;
        if self.layer.is_checked() {
            f.write_str("\njail: jail --check tells what else this machine refuses")?;
        }
        Ok(())
    }
}

/// The kernel's error in words, as std has it, whose own way brings more along.
pub fn said(errno: Errno) -> String {
    format!("{} (os error {})", sys::error_text(errno), errno.raw_os_error())
}

/// The flag as typed, for errors and explanations. It is kept from argv to the end, in
/// many places, and so never given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked(&'static str);

impl Asked {
    /// From a flag's name and the values given to it.
    pub fn new(long: &str, values: &[std::ffi::OsString]) -> Self {
        let mut text = format!("--{long}");
        for value in values {
            text.push(' ');
            // A variable's value may be a secret, an error message a log.
            let bytes = value.as_bytes();
            match (long, bytes.iter().position(|byte| *byte == b'=')) {
                ("env", Some(end)) => text.push_str(&format!("{}=...", shown(OsStr::from_bytes(&bytes[..end])))),
                _ => text.push_str(&shown(value)),
            }
        }
        Self::typed(text)
    }

    /// From what was typed in its place.
    pub fn typed(text: String) -> Self {
        Self(text.leak())
    }

    /// The text.
    pub fn text(&self) -> &'static str {
        self.0
    }
}

pub(crate) fn c_string(bytes: &OsStr) -> Result<CString, Error> {
    CString::new(bytes.as_bytes()).map_err(|_| Error::usage(None, about("", bytes, " holds a NUL"), "leave it out"))
}
