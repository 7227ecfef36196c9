//! What runs between clone and exec and as process 1; it performs steps, decides nothing, allocates nothing.

pub(crate) mod affinity;
pub(crate) mod apply;
pub(crate) mod context;
pub(crate) mod ids;
pub(crate) mod init;
pub(crate) mod io;
pub(crate) mod keyring;
pub(crate) mod mounts;
pub(crate) mod netns;
pub(crate) mod overlay_mount;
pub(crate) mod powers;
pub(crate) mod protocol;
pub(crate) mod rules;
pub(crate) mod signal_dedup;
pub(crate) mod terminal;
