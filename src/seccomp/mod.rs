//! Which system call is allowed and why: no file is read and no call is made. A row of the table
//! needs its reason.

pub mod explain_denied;
pub(crate) mod fallback;
pub mod overrides;
pub mod policy;
