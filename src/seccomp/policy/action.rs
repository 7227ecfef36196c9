//! What the policy does with a call.

use super::table::Limit;

/// What is done about one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// The call is made.
    Allow,
    /// It is not, and gives this error.
    Refuse(u16),
    /// Its arguments decide.
    Limit(Limit),
    /// It is not made, and answered as if it had been.
    Done,
}

/// The kernel's error numbers, alike on all machines of the table.
pub const EPERM: u16 = 1;

/// No such call.
pub const ENOSYS: u16 = 38;

/// No error: the call gives 0.
pub const DONE: u16 = 0;

/// No such family of sockets.
pub const EAFNOSUPPORT: u16 = 97;
