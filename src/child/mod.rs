//! What runs between clone and exec and as process 1; it performs steps, decides nothing, allocates nothing.

pub(crate) mod apply;
pub(crate) mod init;
pub(crate) mod protocol;
pub(crate) mod signal_dedup;
