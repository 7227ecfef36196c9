//! Memory for what the program allocates, handed out from one end of a region of its own,
//! which asks the kernel for nothing. A C library's allocator asks some thirty times a
//! launch (musl), each of which takes as long as all of this, and can be refused.
//!
//! Nothing is given back: what would do so is a twentieth of the program. A launch is soon
//! over, and while the jail runs nothing is allocated again and again: not for a signal, a
//! refused call, a connection.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes; some 40,000 are needed for the default policy, and the stack of the command's
/// process. The kernel has no page for what is not touched, but counts all of it against
/// RLIMIT_AS and RLIMIT_DATA when it executes the program.
const REGION: usize = 256 * 1024;
/// Bytes of each further piece, which is mapped when the region before is full.
const PIECE: usize = 1024 * 1024;
/// Sizes are multiples of this, to which all is aligned.
const GRAIN: usize = 16;

#[repr(align(16))]
struct Bytes(UnsafeCell<[u8; REGION]>);

/// The allocator of the program; tests and tools have their own.
pub struct Memory {
    region: Bytes,
    /// Someone is at it: one process at a time. One that shares its memory allocates
    /// nothing; should it do so, it gets pages of its own.
    busy: AtomicBool,
    rest: UnsafeCell<Rest>,
}

/// Where what has not been given out yet begins, and how much it is.
struct Rest {
    next: *mut u8,
    left: usize,
}

// SAFETY: only who has set `busy` touches the rest, and each byte of the region is handed
// out once.
unsafe impl Sync for Memory {}

impl Memory {
    /// Nothing is given out yet.
    pub const fn new() -> Self {
        let rest = Rest { next: ptr::null_mut(), left: 0 };
        Self { region: Bytes(UnsafeCell::new([0; REGION])), busy: AtomicBool::new(false), rest: UnsafeCell::new(rest) }
    }

    /// Does `act` with what is left, if nobody is at it.
    fn with<T>(&self, act: impl FnOnce(&mut Rest) -> T) -> Option<T> {
        if self.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: `busy` was not set, and is until this is over.
        let rest = unsafe { &mut *self.rest.get() };
        if rest.next.is_null() {
            (rest.next, rest.left) = (self.region.0.get().cast(), REGION);
        }
        let done = act(rest);
        self.busy.store(false, Ordering::Release);
        Some(done)
    }
}

/// How many bytes `layout` gets; None where it gets pages of its own.
fn size_of(layout: Layout) -> Option<usize> {
    let size = layout.size().checked_next_multiple_of(GRAIN)?;
    (layout.align() <= GRAIN && size <= REGION / 2).then_some(size)
}

impl Rest {
    fn give(&mut self, size: usize) -> *mut u8 {
        if self.left < size {
            let (mut more, mut length) = (map(PIECE), PIECE);
            if more.is_null() {
                // A small piece may still be had below a limit.
                (more, length) = (map(REGION), REGION);
            }
            if more.is_null() {
                return more;
            }
            (self.next, self.left) = (more, length);
        }
        let given = self.next;
        (self.next, self.left) = (given.wrapping_add(size), self.left - size);
        given
    }

    /// Makes what was given out last as long as `new`, where there is room.
    fn grow(&mut self, start: *mut u8, old: usize, new: usize) -> bool {
        let grows = start.wrapping_add(old) == self.next && self.left + old >= new;
        if grows {
            (self.next, self.left) = (start.wrapping_add(new), self.left + old - new);
        }
        grows
    }
}

/// Pages of its own; null where there are none.
fn map(size: usize) -> *mut u8 {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new pages lie where nothing else does.
    let pages = unsafe { libc::mmap(ptr::null_mut(), size, access, kind, -1, 0) };
    if pages == libc::MAP_FAILED { ptr::null_mut() } else { pages.cast() }
}

/// What is printed when memory runs out, in the form of the other errors.
const OUT_OF_MEMORY: &[u8] = b"jail: allocate memory: out of memory (os error 12)\n\
    jail: refused by the kernel; raise ulimit -v and ulimit -d, or free memory\n";

/// Prints that memory has run out, and ends the process with status 125.
///
/// Rust's own handler would end it by SIGILL or SIGABRT and print nothing, or allocate.
/// The two calls here allocate nothing and take no lock, so that each process may make
/// them, process 1 and the command's process too.
#[cold]
fn give_up() -> ! {
    // SAFETY: the text is as long as the call is told.
    unsafe { libc::write(2, OUT_OF_MEMORY.as_ptr().cast(), OUT_OF_MEMORY.len()) };
    // SAFETY: _exit is always sound.
    unsafe { libc::_exit(crate::util::exit_status::FAILED.into()) }
}

// SAFETY: what is given is aligned, as long as was asked, and no one else's: a part of
// what was left, or new pages.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let given = size_of(layout).and_then(|size| self.with(|rest| rest.give(size)));
        let given = given.unwrap_or_else(|| map(layout.size()));
        if given.is_null() {
            give_up();
        }
        given
    }

    // In line, so that what leads to it, and does nothing else, is left out.
    #[inline(always)]
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that such a layout can have, and not 0.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if let (Some(old), Some(new)) = (size_of(layout), size_of(wanted)) {
            if old >= new || self.with(|rest| rest.grow(pointer, old, new)) == Some(true) {
                return pointer;
            }
        }
        // SAFETY: as for any caller.
        let new = unsafe { self.alloc(wanted) };
        // SAFETY: both are at least as long, and `new` is nobody else's.
        unsafe { ptr::copy_nonoverlapping(pointer, new, layout.size().min(size)) };
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    fn alloc(memory: &Memory, size: usize) -> *mut u8 {
        // SAFETY: no size here is 0.
        let given = unsafe { memory.alloc(layout(size)) };
        assert!(!given.is_null() && given.align_offset(GRAIN) == 0);
        // SAFETY: it was given just now.
        unsafe { given.write_bytes(0xa5, size) };
        given
    }

    #[test]
    fn each_has_its_own() {
        static ONE: Memory = Memory::new();
        let mut all: Vec<(usize, *mut u8)> = Vec::new();
        for size in [1, 16, 17, 100, 1024, 5000, 70_000, 1 << 20, (1 << 20) + 1, 5 << 20, 3, 40, 1 << 17, 1 << 17, 1 << 17, 7] {
            let start = alloc(&ONE, size);
            let overlaps = |(other, at): &(usize, *mut u8)| {
                (*at as usize) < start as usize + size && (start as usize) < *at as usize + other
            };
            assert!(!all.iter().any(overlaps), "{size}");
            all.push((size, start));
        }
        let region = ONE.region.0.get() as usize;
        assert_eq!(all[0].1 as usize, region);
        assert!(!(region..region + REGION).contains(&(all[15].1 as usize)), "that one was full");
    }

    #[test]
    fn what_grows_keeps_its_bytes() {
        static OTHER: Memory = Memory::new();
        let mut size = 1;
        let mut start = alloc(&OTHER, size);
        while size < 8 << 20 {
            // So that it is not the last, every other time.
            if size.ilog2() % 2 == 0 {
                alloc(&OTHER, 40);
            }
            // SAFETY: it was given for this size.
            start = unsafe { OTHER.realloc(start, layout(size), size * 2) };
            // SAFETY: it has this many bytes.
            assert!(unsafe { core::slice::from_raw_parts(start, size) }.iter().all(|byte| *byte == 0xa5), "{size}");
            size *= 2;
            // SAFETY: as above.
            unsafe { start.write_bytes(0xa5, size) };
        }
    }
}
