//! The one error: what was being done, for which flag, what went wrong, which
//! layer refused, and what to do.

use core::fmt;

use crate::text::shown;

/// The command's time was up.
pub const TIMED_OUT: u8 = 124;
/// `jail` itself failed.
pub const FAILED: u8 = 125;
/// The command was found and cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub const NOT_FOUND: u8 = 127;

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
    /// The cgroup tree: what is not delegated, or not there.
    Cgroup,
    /// The kernel: too old, built without, or a rule of its own.
    Kernel,
}

impl Layer {
    /// Each.
    pub const ALL: [Self; 7] =
        [Self::CommandLine, Self::Files, Self::KernelSetting, Self::AppArmor, Self::Container, Self::Cgroup, Self::Kernel];
}

impl Layer {
    /// Would `--check` say more, which tries what this machine lets a jail have?
    fn is_checked(self) -> bool {
        match self {
            Self::KernelSetting | Self::AppArmor | Self::Container => true,
            // The kernel's may be a limit that is reached just now, which no check knows.
            Self::CommandLine | Self::Files | Self::Cgroup | Self::Kernel => false,
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
            Self::Cgroup => "the cgroup tree",
            Self::Kernel => "the kernel",
        })
    }
}

/// An error on its way to the user.
#[derive(Debug, PartialEq, Eq)]
pub struct Error {
    /// The exit status: 125, 126 or 127.
    pub status: u8,
    /// The flag that asked, as typed; none where a default did.
    pub flag: Option<Asked>,
    /// What was being done.
    pub doing: String,
    /// What went wrong.
    pub problem: String,
    /// The kernel's number for it, where the kernel refused.
    pub errno: Option<i32>,
    /// Who refused.
    pub layer: Layer,
    /// What to do about it.
    pub remedy: String,
}

impl Error {
    /// A mistake on the command line: nothing has been done yet.
    pub fn usage(flag: impl Into<Option<Asked>>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: FAILED,
            flag: flag.into(),
            doing: String::new(),
            problem: problem.into(),
            errno: None,
            layer: Layer::CommandLine,
            remedy: remedy.into(),
        }
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
            match (long, value.to_str().and_then(|v| v.split_once('='))) {
                ("env", Some((name, _))) => text.push_str(&format!("{name}=...")),
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
