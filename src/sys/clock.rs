//! The kernel's clocks.

use rustix::event::Timespec;

pub(crate) fn timespec(nanoseconds: u64) -> Timespec {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: i64::try_from(rest).unwrap_or(0) }
}

/// Nanoseconds on a clock that only goes forward; never 0.
pub(crate) fn now() -> u64 {
    let time = clock(libc::CLOCK_MONOTONIC);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) + 1
}

/// What a clock shows (clock_gettime(2)): not rustix's, which looks for the kernel's
/// function by itself although the C library has it.
pub(crate) fn clock(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: time has room for a timespec.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time
}
