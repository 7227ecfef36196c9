//! Everything printed for a person or a program: explain, check, diff, diagnosis; it has no effect on a jail.

pub(crate) mod causes;
pub(crate) mod check;
pub(crate) mod diagnose;
pub(crate) mod diff;
pub(crate) mod evidence;
pub mod explain;
pub(crate) mod profile;
