//! New processes and namespaces: clone(2) and unshare(2).

use core::ffi::{c_int, c_long};
use core::mem::MaybeUninit;
use core::ptr;

use rustix::io::Errno;
use rustix::process::Pid;

use crate::sys::{Result, auxiliary, check};

/// Which side of a `clone` this is.
pub(crate) enum Cloned {
    /// The new process.
    Child,
    /// The old one, with the new one's id.
    Parent(Pid),
}

/// Makes a process, as fork(2) does, in the new namespaces that `namespaces`
/// (CLONE_NEW* bits) names.
///
/// clone and not clone3: container runtimes answer clone3 with ENOSYS, and no
/// flag that only clone3 has is needed.
pub(crate) fn clone(namespaces: c_int) -> Result<Cloned> {
    let flags = c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without CLONE_VM the child has a copy of this memory and returns
    // here on a copy of this stack. The program has one thread, so that no lock
    // is held by a thread that the child does not have.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        None => Ok(Cloned::Child),
        Some(pid) => Ok(Cloned::Parent(pid)),
    }
}

/// What a process runs on that has no memory of its own.
pub(crate) struct Stack {
    /// The lowest address above it.
    pub(crate) top: ptr::NonNull<u8>,
}

impl Stack {
    /// Bytes; the steps of the command's process need less than a tenth.
    pub(crate) const SIZE: usize = 64 * 1024;

    /// Makes one, which stays as long as this process lives. Below it lies a page without
    /// access, so that an overflow ends the process and changes no other memory.
    pub(crate) fn new() -> Result<Self> {
        let page = usize::try_from(auxiliary(libc::AT_PAGESZ)).unwrap_or(0).max(4096);
        // Of the first two pages one begins and ends within.
        let length = Self::SIZE + 2 * page;
        let bytes: &'static mut [MaybeUninit<u8>] = Box::leak(Box::new_uninit_slice(length));
        let start: *mut u8 = bytes.as_mut_ptr().cast();
        let guard = start.wrapping_add(start.align_offset(page));
        // SAFETY: the page lies within `bytes`, which nothing else refers to.
        check(c_long::from(unsafe { libc::mprotect(guard.cast(), page, libc::PROT_NONE) }))?;
        let top = start.wrapping_add(length);
        let top = top.wrapping_sub(top as usize % 16);
        ptr::NonNull::new(top).map(|top| Self { top }).ok_or(Errno::NOMEM)
    }
}

/// Makes a process that does `act` in this one's memory, while this one stands still
/// until the other has executed a program or ended: by the status that `act` gives.
///
/// As vfork(2), for which no page table is copied, and no page when one of the two
/// writes to it. Descriptors, signals and credentials are the new process's own.
pub(crate) fn clone_until_exec(stack: &Stack, act: &mut dyn FnMut() -> c_int) -> Result<Pid> {
    extern "C" fn enter(act: *mut libc::c_void) -> c_int {
        // SAFETY: it points to what `clone_until_exec` was given, and stands still with.
        let act = unsafe { &mut *act.cast::<&mut dyn FnMut() -> c_int>() };
        act()
    }
    let mut act = act;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = stack.top.as_ptr().cast();
    // SAFETY: the stack is used by nothing else, for the process that had it last has
    // executed or ended before this is called again; and with CLONE_VFORK this process
    // touches nothing, and keeps `act` and all that it borrows, until the new one is gone.
    let pid = unsafe { libc::clone(enter, top, flags, (&raw mut act).cast()) };
    let pid = i32::try_from(check(c_long::from(pid))?).unwrap_or(0);
    Pid::from_raw(pid).ok_or(Errno::SRCH)
}

/// Makes a process that does `act` in this one's memory, beside it, and ends by the
/// status that `act` gives.
///
/// Both have one `errno`: of what sets it `act` may use only what does so when it fails,
/// and no function that takes a lock.
pub(crate) fn clone_beside(stack: &Stack, act: &'static (dyn Fn() -> c_int + Sync)) -> Result<Pid> {
    type Act = &'static (dyn Fn() -> c_int + Sync);
    extern "C" fn enter(act: *mut libc::c_void) -> c_int {
        // SAFETY: it points to what `clone_beside` has leaked.
        let act = unsafe { &*act.cast::<Act>() };
        act()
    }
    let act: &'static mut Act = Box::leak(Box::new(act));
    let top = stack.top.as_ptr().cast();
    // SAFETY: the stack lives as long as this process and is nobody else's, as is what
    // `act` refers to; that two run in one memory is what Sync is for.
    let pid = unsafe { libc::clone(enter, top, libc::CLONE_VM | libc::SIGCHLD, ptr::from_mut(act).cast()) };
    let pid = i32::try_from(check(c_long::from(pid))?).unwrap_or(0);
    Pid::from_raw(pid).ok_or(Errno::SRCH)
}

/// unshare(2) of the network, without errno.
pub(crate) fn unshare_network() -> Result<()> {
    // SAFETY: the descriptor table is not unshared.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
}

/// unshare(2) for namespaces.
pub(crate) fn unshare(namespaces: c_int) -> Result<()> {
    // SAFETY: only CLONE_NEW* bits are passed, never CLONE_FILES, which is what
    // makes unshare hazardous to I/O safety.
    check(unsafe { libc::syscall(libc::SYS_unshare, c_long::from(namespaces)) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hint::black_box;

    fn deep(depth: u64) -> u64 {
        let bytes = black_box([depth; 64]);
        if depth == 0 { bytes[0] } else { deep(depth - 1) + bytes[(depth % 64) as usize] }
    }

    fn ends_on_a_stack_at_depth(depth: u64) -> rustix::process::WaitStatus {
        let stack = Stack::new().unwrap();
        let mut act = || c_int::from(black_box(deep(black_box(depth))) == 1);
        let child = clone_until_exec(&stack, &mut act).unwrap();
        rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty()).unwrap().unwrap().1
    }

    #[test]
    fn a_stack_that_overflows_ends_the_process() {
        assert_eq!(ends_on_a_stack_at_depth(10).exit_status(), Some(0));
        assert_eq!(ends_on_a_stack_at_depth(1_000_000).terminating_signal(), Some(libc::SIGSEGV));
    }
}
