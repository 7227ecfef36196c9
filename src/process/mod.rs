//! How this program makes, watches and ends other processes; it does not know what they are for.

pub(crate) mod fd_channel;
pub(crate) mod helper;
pub(crate) mod path_search;
pub(crate) mod spawn;
pub(crate) mod subreaper;
pub(crate) mod watchdog;
