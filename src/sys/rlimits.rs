//! Limits of one process, by the names of prlimit(1).

use rustix::process::Resource;

use crate::util::units::whole;

/// Each limit that this kernel interface has.
pub const NAMES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// One limit of the command's, in the unit that getrlimit(2) has for it; None is
/// unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which.
    pub resource: Resource,
    /// What holds until the process raises it.
    pub soft: Option<u64>,
    /// How far it can be raised.
    pub hard: Option<u64>,
}

impl Limit {
    /// Its name.
    pub fn name(&self) -> &'static str {
        NAMES.iter().find(|(_, resource)| *resource == self.resource).map_or("", |(name, _)| name)
    }
}

/// The kernel resource called `name`, in any case.
pub fn find(name: &str) -> Option<Resource> {
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, resource)| *resource)
}

/// `SOFT[:HARD]`, each a number or `unlimited`; one alone is both.
pub fn values(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let value = |text: &str| match text {
        "unlimited" | "infinity" => Some(None),
        // The kernel's word for unlimited is not a number that anyone means.
        text => whole(text).filter(|n| *n != u64::MAX).map(Some),
    };
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    Some((value(soft)?, value(hard)?))
}

/// A value as it is written.
pub fn shown(value: Option<u64>) -> String {
    value.map_or("unlimited".into(), |n| n.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_or_unlimited() {
        assert_eq!(values("5"), Some((Some(5), Some(5))));
        assert_eq!(values("0:unlimited"), Some((Some(0), None)));
        assert_eq!(values("unlimited"), Some((None, None)));
        for no in ["", ":", "5:", ":5", "-1", "5k", "1:2:3"] {
            assert_eq!(values(no), None, "{no}");
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(find("NOFILE"), Some(Resource::Nofile));
        assert_eq!(find("nofiles"), None);
    }
}
