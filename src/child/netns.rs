//! Joining the network namespace that the helper process made.

use std::os::fd::AsFd;

use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::process::fd_channel::{Heard, Listener};

/// Process 1 joins what was made. False where nothing was.
pub(crate) fn join(listener: &Listener) -> bool {
    match listener.hear() {
        Ok(Heard::Network(made)) => move_into_thread_name_spaces(made.as_fd(), ThreadNameSpaceType::NETWORK).is_ok(),
        Ok(_) | Err(_) => false,
    }
}
