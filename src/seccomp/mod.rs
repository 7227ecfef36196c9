//! Which system call is allowed and why; no file is read and no call is made; a table row needs its reason.

pub mod explain_denied;
pub(crate) mod fallback;
pub mod overrides;
pub mod policy;
