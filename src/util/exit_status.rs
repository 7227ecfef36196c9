//! The exit statuses that env(1), timeout(1) and shells give a meaning.

/// The command's time was up.
pub const TIMED_OUT: u8 = 124;

/// `jail` itself failed.
pub const FAILED: u8 = 125;

/// The command was found and cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;

/// The command was not found.
pub const NOT_FOUND: u8 = 127;
