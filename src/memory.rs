//! Memory for what the program allocates: a region of its own first, handed out from one
//! end, which asks the kernel for nothing. A C library's allocator asks some thirty times
//! a launch (musl), each of which takes as long as all of this, and can be refused.
//!
//! What is given back is given out again to who wants as much: a launcher may be there for
//! days. One process does so at a time; one that shares its memory allocates nothing, and
//! should it do so, gets pages of its own.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes; some 40,000 are needed for the default policy. What more is needed comes in
/// pieces of the same size. The kernel has no page for what is not touched.
const REGION: usize = 4 * 1024 * 1024;
/// Sizes are multiples of this, to which all is aligned.
const GRAIN: usize = 16;
/// Up to here each multiple is a size; from here on each power of two.
const SMALL: usize = 1024;
/// From here on it is pages of its own.
const LARGE: usize = 1024 * 1024;
const SIZES: usize = SMALL / GRAIN + (LARGE / SMALL).ilog2() as usize;

#[repr(align(16))]
struct Bytes(UnsafeCell<[u8; REGION]>);

pub(super) struct Memory {
    region: Bytes,
    /// Someone is at it.
    busy: AtomicBool,
    rest: UnsafeCell<Rest>,
}

struct Rest {
    /// Where what has not been given out yet begins, and how much it is.
    next: *mut u8,
    left: usize,
    /// What was given back, by size; the first bytes of each say where the next one is.
    free: [*mut u8; SIZES],
}

// SAFETY: only who has set `busy` touches the rest, and each byte of the region is handed
// out to one at a time.
unsafe impl Sync for Memory {}

impl Memory {
    pub(super) const fn new() -> Self {
        let rest = Rest { next: ptr::null_mut(), left: 0, free: [ptr::null_mut(); SIZES] };
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

/// Which of the sizes `layout` gets, and how many bytes that is; None where it gets pages
/// of its own.
fn size_of(layout: Layout) -> Option<(usize, usize)> {
    let wanted = layout.size().max(1);
    if layout.align() > GRAIN || wanted > LARGE {
        return None;
    }
    if wanted <= SMALL {
        let index = (wanted - 1) / GRAIN;
        return Some((index, (index + 1) * GRAIN));
    }
    let size = wanted.next_power_of_two();
    Some((SMALL / GRAIN - 1 + (size / SMALL).ilog2() as usize, size))
}

impl Rest {
    fn give(&mut self, index: usize, size: usize) -> *mut u8 {
        let first = self.free[index];
        if !first.is_null() {
            // SAFETY: what was given back begins with a pointer that `take` has put there.
            self.free[index] = unsafe { first.cast::<*mut u8>().read() };
            return first;
        }
        if self.left < size {
            let more = map(REGION);
            if more.is_null() {
                return more;
            }
            (self.next, self.left) = (more, REGION);
        }
        let given = self.next;
        self.next = given.wrapping_add(size);
        self.left -= size;
        given
    }

    fn take(&mut self, pointer: *mut u8, index: usize, size: usize) {
        if self.is_last(pointer, size) {
            (self.next, self.left) = (pointer, self.left + size);
            return;
        }
        // SAFETY: it is nobody's any more, aligned, and has at least GRAIN bytes.
        unsafe { pointer.cast::<*mut u8>().write(self.free[index]) };
        self.free[index] = pointer;
    }

    fn is_last(&self, pointer: *mut u8, size: usize) -> bool {
        pointer.wrapping_add(size) == self.next
    }
}

/// Pages of its own; null where there are none.
fn map(size: usize) -> *mut u8 {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new pages lie where nothing else does.
    let pages = unsafe { libc::mmap(ptr::null_mut(), size, access, kind, -1, 0) };
    if pages == libc::MAP_FAILED { ptr::null_mut() } else { pages.cast() }
}

// SAFETY: what is given is aligned, as long as was asked, and no one else's: a part of
// what was left, what was given back and is as long, or new pages.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let given = size_of(layout).and_then(|(index, size)| self.with(|rest| rest.give(index, size)));
        given.unwrap_or_else(|| map(layout.size()))
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match size_of(layout) {
            // Where someone is at it, it is lost.
            Some((index, size)) => _ = self.with(|rest| rest.take(pointer, index, size)),
            // SAFETY: `alloc` has mapped just this, and nobody has it any more.
            None => _ = unsafe { libc::munmap(pointer.cast(), layout.size()) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that such a layout can have, and not 0.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if let (Some((_, old)), Some((_, new))) = (size_of(layout), size_of(wanted)) {
            let stays = self.with(|rest| {
                let grows = rest.is_last(pointer, old) && rest.left + old >= new;
                if grows {
                    (rest.next, rest.left) = (pointer.wrapping_add(new), rest.left + old - new);
                }
                grows || old == new
            });
            if stays == Some(true) {
                return pointer;
            }
        }
        // SAFETY: as for any caller.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            // SAFETY: both are at least as long, and `new` is nobody else's.
            unsafe { ptr::copy_nonoverlapping(pointer, new, layout.size().min(size)) };
            // SAFETY: it is the caller's, who is done with it.
            unsafe { self.dealloc(pointer, layout) };
        }
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
    fn each_has_its_own_and_what_is_given_back_is_used_again() {
        static ONE: Memory = Memory::new();
        let memory = &ONE;
        let sizes = [1, 16, 17, 100, 1024, 1025, 2048, 5000, 70_000, LARGE, LARGE + 1, 3 << 20];
        for _ in 0..100 {
            let all: Vec<(usize, *mut u8)> = sizes.iter().map(|size| (*size, alloc(memory, *size))).collect();
            for (index, (size, start)) in all.iter().enumerate() {
                let overlaps = |(other, at): &(usize, *mut u8)| {
                    (*at as usize) < *start as usize + size && (*start as usize) < *at as usize + other
                };
                assert!(!all[..index].iter().any(overlaps), "{size}");
            }
            // SAFETY: each is given back once.
            all.iter().for_each(|(size, start)| unsafe { memory.dealloc(*start, layout(*size)) });
        }
        // All that in one region: nothing is lost.
        let region = memory.region.0.get() as usize;
        assert!((region..region + REGION).contains(&(alloc(memory, 16) as usize)));
    }

    #[test]
    fn what_grows_keeps_its_bytes_and_more_regions_come() {
        static OTHER: Memory = Memory::new();
        let memory = &OTHER;
        let mut size = 1;
        let mut start = alloc(memory, size);
        while size < 8 << 20 {
            // So that it is not the last, every other time.
            if size.ilog2() % 2 == 0 {
                alloc(memory, 40);
            }
            // SAFETY: it is given back by this alone.
            start = unsafe { memory.realloc(start, layout(size), size * 2) };
            // SAFETY: it has this many bytes.
            assert!(unsafe { core::slice::from_raw_parts(start, size) }.iter().all(|byte| *byte == 0xa5), "{size}");
            size *= 2;
            // SAFETY: as above.
            unsafe { start.write_bytes(0xa5, size) };
        }
        let some: Vec<*mut u8> = (0..200).map(|_| alloc(memory, 50_000)).collect();
        assert_eq!(some.iter().collect::<std::collections::BTreeSet<_>>().len(), 200);
    }
}
