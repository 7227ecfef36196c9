//! Memory that this process shares with those it makes.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::io::Errno;

use crate::sys::{Result, check, now};

/// Memory of `length` bytes, all zeros, that this process shares with those it makes.
pub(crate) fn shared(length: usize) -> Result<ptr::NonNull<u8>> {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping where the kernel chooses touches nothing that is.
    let page = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(check(-1).err().unwrap_or(Errno::NOMEM));
    }
    ptr::NonNull::new(page.cast()).ok_or(Errno::NOMEM)
}

/// When what happened one after another, in processes that share it.
pub(crate) struct Clock {
    /// How many ticks there were, and when they were.
    pub(crate) words: ptr::NonNull<AtomicU64>,
    pub(crate) room: usize,
}

impl Clock {
    /// With room for so many ticks.
    pub(crate) fn new(room: usize) -> Result<Self> {
        Ok(Self { words: shared((room + 1) * size_of::<AtomicU64>())?.cast(), room })
    }

    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        let at = self.words.as_ptr().wrapping_add(index.min(self.room));
        // SAFETY: `room` + 1 of them lie in a mapping that is never undone, and all
        // zeros, as the kernel made it, is an AtomicU64.
        unsafe { &*at }
    }

    /// Something has happened. What there is no room for is counted.
    pub(crate) fn tick(&self) {
        let before = usize::try_from(self.word(0).fetch_add(1, Ordering::AcqRel)).unwrap_or(usize::MAX);
        if before < self.room {
            self.word(before + 1).store(now(), Ordering::Release);
        }
    }

    /// When each tick was, by `now`; more or fewer than there is room for if so many
    /// there were.
    pub(crate) fn read(&self) -> Vec<u64> {
        let ticks = usize::try_from(self.word(0).load(Ordering::Acquire)).unwrap_or(0).min(self.room + 1);
        (1..=ticks).map(|index| self.word(index).load(Ordering::Acquire)).collect()
    }
}

/// One bit that processes share which this one makes.
pub(crate) struct Flag(ptr::NonNull<AtomicBool>);

impl Flag {
    /// Not set.
    pub(crate) fn new() -> Result<Self> {
        shared(size_of::<AtomicBool>()).map(|page| Self(page.cast()))
    }

    pub(crate) fn bit(&self) -> &AtomicBool {
        // SAFETY: it points to a mapping that is never undone, and all zeros, as
        // the kernel made it, is an AtomicBool.
        unsafe { self.0.as_ref() }
    }

    /// Sets it for all, or takes it back.
    pub(crate) fn set(&self, to: bool) {
        self.bit().store(to, Ordering::Release);
    }

    /// Has any set it?
    pub(crate) fn is_set(&self) -> bool {
        self.bit().load(Ordering::Acquire)
    }
}
