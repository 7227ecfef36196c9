//! The only unsafe code: system calls that rustix does not have, each behind a
//! safe function, one call a block, with the fact that makes it sound.

#![allow(unsafe_code)]

pub mod bump_alloc;
pub(crate) mod caps;
pub(crate) mod loopback;
pub(crate) mod rlimits;

use core::ffi::{CStr, c_char, c_int, c_long, c_ulong};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::io::Errno;
use rustix::process::Pid;

use crate::seccomp::policy::bpf::Made;

/// What a system call gives: its value or the kernel's error number.
pub(crate) type Result<T> = core::result::Result<T, Errno>;

fn check(returned: c_long) -> Result<c_long> {
    if returned < 0 {
        // SAFETY: it always gives where this thread's errno lies.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: nothing else uses it meanwhile.
        return Err(Errno::from_raw_os_error(unsafe { *errno }));
    }
    Ok(returned)
}

/// The C library's words for an error.
pub(crate) fn error_text(errno: Errno) -> String {
    // SAFETY: it gives a string that ends in NUL, for any number.
    let text = unsafe { libc::strerror(errno.raw_os_error()) };
    // SAFETY: it stays until the next such call, and is copied here.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().unwrap_or("").to_owned()
}

/// Where the argument strings lie as the kernel laid them out.
pub(crate) struct Arguments {
    start: *mut u8,
    length: usize,
    /// The kernel's array of them, which ends in null.
    all: *const *const c_char,
}

impl Arguments {
    /// Those of a C `main`, and copies of the words behind the program's name.
    pub(crate) fn of_main(argc: c_int, argv: *const *const c_char) -> (Self, Vec<OsString>) {
        let mut words = Vec::with_capacity(usize::try_from(argc).unwrap_or(0));
        let mut start: *mut u8 = ptr::null_mut();
        let mut end: *mut u8 = ptr::null_mut();
        for index in 0..usize::try_from(argc).unwrap_or(0) {
            // SAFETY: the kernel gives main `argc` pointers in `argv`.
            let at = unsafe { argv.add(index) };
            // SAFETY: so this is one of them.
            let word = unsafe { at.read() };
            if word.is_null() {
                break;
            }
            // SAFETY: each of them points to a string that ends in NUL.
            let bytes = unsafe { CStr::from_ptr(word) }.to_bytes();
            if start.is_null() {
                start = word.cast_mut().cast::<u8>();
            }
            end = word.cast_mut().cast::<u8>().wrapping_add(bytes.len());
            if index > 0 {
                words.push(OsString::from_vec(bytes.to_vec()));
            }
        }
        let length = (end as usize).saturating_sub(start as usize);
        (Self { start, length, all: argv }, words)
    }

    /// Overwrites this process's copy of the argument strings, which anyone who
    /// sees the process may read as `/proc/PID/cmdline`.
    pub(crate) fn wipe(&self, name: &[u8]) {
        if self.start.is_null() {
            return;
        }
        // SAFETY: start and length span the argument strings, which the kernel
        // laid out one behind the other on this process's own writable stack;
        // nothing else refers to them, the words are copies.
        unsafe { ptr::write_bytes(self.start, 0, self.length) };
        let shown = name.len().min(self.length);
        // SAFETY: as above; `shown` is at most `length`, and `name` is elsewhere.
        unsafe { ptr::copy_nonoverlapping(name.as_ptr(), self.start, shown) };
    }
}

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

/// The value of `kind` in the auxiliary vector, which the kernel put behind the
/// environment when it executed this program. It takes no system call to read.
fn auxiliary(kind: c_ulong) -> c_ulong {
    // SAFETY: it reads the vector, which stays, and gives 0 for a kind that is not there.
    unsafe { libc::getauxval(kind) }
}

/// True if executing this program gave the process privileges that its caller does not
/// have, or if a security module wants it treated so (AT_SECURE).
pub(crate) fn is_secure() -> bool {
    auxiliary(libc::AT_SECURE) != 0
}

/// The path by which this program was executed, as execve(2) got it.
pub(crate) fn executed_as() -> &'static OsStr {
    let path = ptr::with_exposed_provenance::<c_char>(usize::try_from(auxiliary(libc::AT_EXECFN)).unwrap_or(0));
    if path.is_null() {
        return OsStr::new("jail");
    }
    // SAFETY: the kernel put a string that ends in NUL there, on this process's stack,
    // where it stays.
    OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes())
}

/// What a process runs on that has no memory of its own.
pub(crate) struct Stack {
    /// The lowest address above it.
    top: ptr::NonNull<u8>,
}

impl Stack {
    /// Bytes; the steps of the command's process need less than a tenth.
    const SIZE: usize = 64 * 1024;

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

/// Closes a descriptor whose owner is never dropped.
pub(crate) fn close(fd: BorrowedFd<'_>) {
    // SAFETY: callers say that nobody uses it any more.
    unsafe { libc::close(fd.as_raw_fd()) };
}

/// unshare(2) for namespaces.
pub(crate) fn unshare(namespaces: c_int) -> Result<()> {
    // SAFETY: only CLONE_NEW* bits are passed, never CLONE_FILES, which is what
    // makes unshare hazardous to I/O safety.
    check(unsafe { libc::syscall(libc::SYS_unshare, c_long::from(namespaces)) })?;
    Ok(())
}

/// umask(2), which a filter alone refuses; rustix's would end the process then. Gives
/// the mask before.
pub(crate) fn umask(mask: u32) -> Result<u32> {
    // SAFETY: it takes no pointer and has no effect on memory.
    let old = check(unsafe { libc::syscall(libc::SYS_umask, c_long::from(mask)) })?;
    Ok(u32::try_from(old).unwrap_or(mask))
}

/// `struct mount_attr` of mount_setattr(2), version 0 (Linux 5.12).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct MountAttr {
    /// MOUNT_ATTR_* to set.
    pub(crate) set: u64,
    /// MOUNT_ATTR_* to clear.
    pub(crate) clear: u64,
    /// MS_PRIVATE and the like, or 0.
    pub(crate) propagation: u64,
    /// A user namespace, with MOUNT_ATTR_IDMAP.
    pub(crate) userns: u64,
}

/// mount_setattr(2) on the mount that `mount` is open on, and with `recursive`
/// on all mounts below.
pub(crate) fn mount_setattr(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> Result<()> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path is a constant that ends in NUL; attr points to a
    // mount_attr of the size passed, which the kernel only reads.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            c_long::from(mount.as_raw_fd()),
            c"".as_ptr(),
            c_long::from(flags),
            ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// Closes every descriptor from `first` to `last`, both included.
fn close_range(first: c_int, last: c_int) -> Result<()> {
    // SAFETY: callers do so where nothing in this process uses these
    // descriptors any more: directly before exec, or in process 1 once its
    // setting up is done.
    check(unsafe { libc::syscall(libc::SYS_close_range, c_long::from(first), c_long::from(last), 0) })?;
    Ok(())
}

/// Closes every descriptor from `first` up but those of `keep` and `also`. As
/// `close_range`.
pub(crate) fn close_all_but(first: c_int, keep: &[c_int], also: &[c_int]) -> Result<()> {
    let mut first = first;
    loop {
        let kept = keep.iter().chain(also).copied().filter(|fd| *fd >= first).min();
        match kept {
            None => return close_range(first, c_int::MAX),
            Some(kept) if kept > first => close_range(first, kept - 1)?,
            Some(_) => {}
        }
        first = kept.map_or(c_int::MAX, |fd| fd.saturating_add(1));
    }
}

/// Is descriptor `fd` open?
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD touches nothing, whatever the number.
    let asked = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    !matches!(check(c_long::from(asked)), Err(Errno::BADF))
}

/// Borrows a descriptor that the caller of the program left open.
pub(crate) fn inherited(fd: RawFd) -> Option<BorrowedFd<'static>> {
    if fd < 0 || !is_open(fd) {
        return None;
    }
    // SAFETY: it is open, and an inherited descriptor is owned by nothing in
    // this program, so nothing closes it before exec.
    Some(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Returns the soft and the hard limit of this process on `resource` (RLIMIT_*). rustix's
/// getrlimit panics where a filter around the launcher refuses the call.
pub(crate) fn limit_on(resource: impl Into<c_long>) -> Result<(u64, u64)> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let new: *const libc::rlimit64 = ptr::null();
    // SAFETY: the kernel writes to `limit`, which lives longer than the call, and reads no
    // new limit.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource.into(), new, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Has descriptor `fd`, which the caller of the program left open, be `other`.
pub(crate) fn replace(fd: RawFd, other: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: an inherited descriptor is owned by nothing in this program, which
    // only borrows it while it works with it.
    check(c_long::from(unsafe { libc::dup3(other.as_raw_fd(), fd, libc::O_CLOEXEC) }))?;
    Ok(())
}

/// Leaves the caller's session keyring for a new, empty one. Keyrings are in no
/// namespace: without this, keys of the caller's login session pass inside.
pub(crate) fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<c_char>()) })?;
    Ok(())
}

/// Is every call that names a key refused to this process, before its arguments are
/// looked at?
pub(crate) fn keys_are_refused() -> bool {
    [libc::SYS_add_key, libc::SYS_request_key].into_iter().all(|call| {
        // SAFETY: the kernel does not read from null pointers: EFAULT.
        let done = unsafe { libc::syscall(call, ptr::null::<c_char>(), ptr::null::<c_char>(), ptr::null::<c_char>(), 0, 0) };
        matches!(check(done), Err(Errno::PERM | Errno::NOSYS))
    })
}

/// Brings the interface `lo` up, without errno; the kernel then gives it its addresses.
pub(crate) fn loopback_up() -> Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq is plain data, of which all zeros is a value.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    request.ifr_name[0] = b'l' as c_char;
    request.ifr_name[1] = b'o' as c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: this request reads an ifreq with the name and the flags.
    let up = unsafe { rustix::ioctl::Setter::<{ libc::SIOCSIFFLAGS as rustix::ioctl::Opcode }, _>::new(request) };
    // SAFETY: as above.
    unsafe { rustix::ioctl::ioctl(&socket, up) }
}

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// This process's variables. What has no equals sign behind its first byte is none.
pub(crate) fn environment() -> Vec<(OsString, OsString)> {
    let mut all = Vec::new();
    // SAFETY: nothing in this program changes it.
    let mut next = unsafe { environ };
    loop {
        // SAFETY: the array ends in null, which is not gone past.
        let variable = unsafe { *next };
        if variable.is_null() {
            return all;
        }
        // SAFETY: each string ends in NUL, and stays.
        let variable = unsafe { CStr::from_ptr(variable) }.to_bytes();
        if let Some(before) = variable.iter().skip(1).position(|b| *b == b'=') {
            let (name, value) = variable.split_at(before + 1);
            let word = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
            all.push((word(name), word(&value[1..])));
        }
        next = next.wrapping_add(1);
    }
}

/// execve(2) with this process's own arguments and environment. Returns only when it
/// failed. No one may have wiped the arguments before.
pub(crate) fn execve_with_same_arguments(path: &CStr, arguments: &Arguments) -> Errno {
    // SAFETY: nothing in this program changes it.
    let environment = unsafe { environ };
    // SAFETY: the kernel gave main both arrays, which end in null, and their strings end
    // in NUL.
    let returned = unsafe { libc::execve(path.as_ptr(), arguments.all, environment) };
    check(c_long::from(returned)).err().unwrap_or(Errno::IO)
}

/// execve(2). Returns only when it failed.
///
/// `argv` and `envp` must end in a null pointer; `Words::new` makes them so.
pub(crate) fn execve(path: &CStr, argv: &Words, envp: &Words) -> Errno {
    // SAFETY: the arrays end in null and their pointers come from strings that
    // end in NUL and live as long as the arrays (see Words).
    let returned = unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    match check(c_long::from(returned)) {
        Err(errno) => errno,
        Ok(_) => Errno::IO,
    }
}

/// Strings as execve wants them: an array of pointers that ends in null.
pub(crate) struct Words {
    pointers: Vec<*const c_char>,
    _strings: Vec<std::ffi::CString>,
}

impl Words {
    /// Lays `strings` out for execve.
    pub(crate) fn new(strings: Vec<std::ffi::CString>) -> Self {
        // A CString's bytes are on the heap: moving the CString leaves them.
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _strings: strings }
    }
}

/// A set of signals as the kernel has it, a bit for each. A C library's sets leave
/// out the signals that the library keeps for itself, and musl keeps glibc's
/// SIGRTMIN, which is then neither caught nor passed on.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(u64);

impl SignalSet {
    /// The set of `signals`.
    pub(crate) fn of(signals: &[c_int]) -> Self {
        Self(signals.iter().fold(0, |set, &signal| set | Self::bit(signal)))
    }

    /// Every signal.
    pub(crate) fn all() -> Self {
        Self(u64::MAX)
    }

    /// The signals that have come to this process and are blocked.
    pub(crate) fn pending() -> Result<Self> {
        let mut set = Self(0);
        // SAFETY: the kernel writes as many bytes as it is told there are.
        check(unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set.0, size_of::<u64>()) })?;
        Ok(set)
    }

    /// Is `signal` in it?
    pub(crate) fn has(&self, signal: c_int) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    /// Takes `signal` out.
    pub(crate) fn remove(&mut self, signal: c_int) {
        self.0 &= !Self::bit(signal);
    }

    /// Nothing for a number that no signal has.
    fn bit(signal: c_int) -> u64 {
        u32::try_from(signal - 1).ok().and_then(|bit| 1_u64.checked_shl(bit)).unwrap_or(0)
    }

    /// A stop signal of a terminal's that has come, and that stops this process as soon
    /// as no more than `blocked` are.
    pub(crate) fn stops_without(blocked: &Self) -> Option<c_int> {
        let come = Self::pending().ok()?;
        [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].into_iter().find(|signal| {
            if !come.has(*signal) || blocked.has(*signal) {
                return false;
            }
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: null asks for no change, and action has room for one.
            unsafe { libc::sigaction(*signal, ptr::null(), action.as_mut_ptr()) };
            // SAFETY: all zeros is one, should the call fail, and has the default action.
            let action = unsafe { action.assume_init() };
            action.sa_sigaction == libc::SIG_DFL
        })
    }

    /// Blocks this set, too, and gives those blocked before.
    pub(crate) fn block(&self) -> Result<Self> {
        self.change(libc::SIG_BLOCK)
    }

    /// Makes this set the blocked signals, and gives those blocked before.
    pub(crate) fn set_blocked(&self) -> Result<Self> {
        self.change(libc::SIG_SETMASK)
    }

    fn change(&self, how: c_int) -> Result<Self> {
        let mut old = Self(0);
        let how = c_long::from(how);
        // SAFETY: both sets live through the call and are as long as it is told.
        check(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const self.0, &raw mut old.0, size_of::<u64>()) })?;
        Ok(old)
    }

    /// Waits for one of this set, which must be blocked, at most `limit`
    /// nanoseconds: EAGAIN then. EINTR is possible.
    pub(crate) fn wait(&self, limit: Option<u64>) -> Result<Caught> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: i64::try_from(limit / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: c_long::try_from(limit % 1_000_000_000).unwrap_or(0),
        });
        let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the set is as long as the call is told, info has room for one
        // siginfo, and limit is null or points to a timespec that lives through it.
        let signal = check(unsafe {
            libc::syscall(libc::SYS_rt_sigtimedwait, &raw const self.0, info.as_mut_ptr(), limit, size_of::<u64>())
        })?;
        // SAFETY: zeroed before and written by the kernel since.
        let info = unsafe { info.assume_init() };
        // SAFETY: for every signal that a process sends the kernel fills si_pid;
        // for others the field holds other plain bytes, read but not relied on.
        let sender = unsafe { info.si_pid() };
        // SAFETY: as si_pid; it is relied on with SI_QUEUE alone.
        let value = unsafe { info.si_value() };
        Ok(Caught {
            signal: c_int::try_from(signal).unwrap_or(0),
            code: info.si_code,
            sender,
            // The kernel's union holds an int; its bits are the pointer's low ones.
            value: value.sival_ptr as usize as c_int,
        })
    }
}

/// A signal that was waited for.
pub(crate) struct Caught {
    /// Its number.
    pub(crate) signal: c_int,
    /// si_code: 0 and less for what a process sent, more for what the kernel did.
    pub(crate) code: c_int,
    /// si_pid as this pid namespace numbers it; 0 when it cannot.
    pub(crate) sender: c_int,
    /// The message of a signal that was queued with one.
    pub(crate) value: c_int,
}

/// Blocked signals as a descriptor, which poll can wait for together with others.
pub(crate) struct SignalFd(OwnedFd);

impl SignalFd {
    /// For the signals of `set`, which must be blocked.
    pub(crate) fn new(set: &SignalSet) -> Result<Self> {
        let flags = c_long::from(libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        // SAFETY: the set is as long as the call is told; -1 asks for a new descriptor.
        let raw = check(unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const set.0, size_of::<u64>(), flags) })?;
        // SAFETY: just opened and owned by nothing else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(c_int::try_from(raw).unwrap_or(-1)) }))
    }

    /// The next signal; None while there is none.
    pub(crate) fn read(&self) -> Result<Option<Caught>> {
        let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut bytes) {
            Ok(read) if read == bytes.len() => {}
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        // SAFETY: signalfd_siginfo is numbers alone, of which any bytes are a
        // value, and as long as `bytes`.
        let info: libc::signalfd_siginfo = unsafe { core::mem::transmute(bytes) };
        Ok(Some(Caught {
            signal: c_int::try_from(info.ssi_signo).unwrap_or(0),
            code: info.ssi_code,
            sender: c_int::try_from(info.ssi_pid).unwrap_or(0),
            value: info.ssi_int,
        }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends `signal` with the message `value`. EAGAIN where the receiver's user has
/// as many signals queued as RLIMIT_SIGPENDING allows.
pub(crate) fn queue(pid: Pid, signal: c_int, value: c_int) -> Result<()> {
    let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(usize::try_from(value).unwrap_or(0)) };
    // SAFETY: the message is a number; nobody takes it for a pointer.
    check(c_long::from(unsafe { libc::sigqueue(pid.as_raw_nonzero().get(), signal, value) }))?;
    Ok(())
}

/// Stops this process as `signal` stops one that does not handle it, and comes
/// back when it is continued; at `until` (by `now`) at the latest, and once `report`
/// can be read. Where the kernel stops nobody by it (in an orphaned process group),
/// comes back at once.
pub(crate) fn stop_as(signal: c_int, until: Option<u64>, report: Option<BorrowedFd<'_>>) {
    // Who stands still keeps no time and reads nothing. SIGCONT is what wakes it: from
    // a timer, and from the kernel when there is something to read.
    let timer = until.map(continue_at);
    if matches!(timer, Some(Err(_))) || report.is_some_and(|report| continue_when_readable(report, true).is_err()) {
        return;
    }
    // SAFETY: the default action is no function of this program.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    let own = SignalSet::of(&[signal]);
    let told = report.is_some_and(is_readable);
    if !told && kill(rustix::process::getpid(), signal).is_ok() {
        if let Ok(blocked) = own.change(libc::SIG_UNBLOCK) {
            let _ = blocked.set_blocked();
        }
    }
    if let Some(report) = report {
        let _ = continue_when_readable(report, false);
    }
    if let Some(Ok(timer)) = timer {
        // SAFETY: the timer is there, and nobody uses it any more.
        unsafe { libc::syscall(libc::SYS_timer_delete, timer) };
    }
}

/// Is the next byte that this socket has an urgent one?
pub(crate) fn is_urgent(socket: BorrowedFd<'_>) -> bool {
    /// asm-generic/sockios.h.
    const SIOCATMARK: libc::c_ulong = 0x8905;
    let (raw, mut at): (c_int, c_int) = (socket.as_raw_fd(), 0);
    // SAFETY: the kernel writes an int.
    let returned = unsafe { libc::ioctl(raw, SIOCATMARK as _, &raw mut at) };
    returned == 0 && at != 0
}

/// Can `fd` be read now, or is it at its end?
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// Has the kernel send this process SIGCONT when `fd` can be read, or no more.
fn continue_when_readable(fd: BorrowedFd<'_>, on: bool) -> Result<()> {
    let raw = fd.as_raw_fd();
    let fcntl = |command: c_int, value: c_int| {
        // SAFETY: these commands take a number.
        check(c_long::from(unsafe { libc::fcntl(raw, command, value) }))
    };
    let flags = c_int::try_from(fcntl(libc::F_GETFL, 0)?).unwrap_or(0);
    if !on {
        fcntl(libc::F_SETFL, flags & !libc::O_ASYNC)?;
        return Ok(());
    }
    /// linux/fcntl.h; which signal is sent.
    const F_SETSIG: c_int = 10;
    fcntl(libc::F_SETOWN, rustix::process::getpid().as_raw_nonzero().get())?;
    fcntl(F_SETSIG, libc::SIGCONT)?;
    fcntl(libc::F_SETFL, flags | libc::O_ASYNC)?;
    Ok(())
}

/// Has the kernel send this process SIGCONT at `until` (by `now`). By the kernel's own
/// calls: the C library's can start threads, for which it brings a lot along.
fn continue_at(until: u64) -> Result<c_int> {
    // SAFETY: sigevent is plain data, of which all zeros is a value.
    let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = libc::SIGCONT;
    let mut timer: c_int = 0;
    // SAFETY: event is a sigevent, which for a signal is the kernel's; timer has room for one id.
    check(unsafe { libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) })?;
    let time = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec {
            tv_sec: i64::try_from(until / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: c_long::try_from(until % 1_000_000_000).unwrap_or(0),
        },
    };
    // SAFETY: the timer is there, time lives through the call, and null asks for
    // nothing back.
    check(unsafe {
        libc::syscall(libc::SYS_timer_settime, timer, libc::TIMER_ABSTIME, &raw const time, ptr::null_mut::<libc::itimerspec>())
    })?;
    Ok(timer)
}

/// What the children that were waited for have used, and their children.
pub(crate) struct Usage {
    /// Microseconds in their own code.
    pub(crate) user: u64,
    /// Microseconds in the kernel.
    pub(crate) system: u64,
    /// The most memory that one of them had resident, in bytes.
    pub(crate) peak: u64,
}

/// See `Usage`.
pub(crate) fn usage_of_children() -> Usage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: usage has room for one rusage; all zeros is one, too, should the
    // call fail.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    // SAFETY: zeroed before and perhaps written by the kernel since.
    let usage = unsafe { usage.assume_init() };
    let microseconds =
        |time: libc::timeval| u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0);
    Usage {
        user: microseconds(usage.ru_utime),
        system: microseconds(usage.ru_stime),
        // The kernel counts kilobytes.
        peak: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    }
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

/// Memory of `length` bytes, all zeros, that this process shares with those it makes.
fn shared(length: usize) -> Result<ptr::NonNull<u8>> {
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
    words: ptr::NonNull<AtomicU64>,
    room: usize,
}

impl Clock {
    /// With room for so many ticks.
    pub(crate) fn new(room: usize) -> Result<Self> {
        Ok(Self { words: shared((room + 1) * size_of::<AtomicU64>())?.cast(), room })
    }

    fn word(&self, index: usize) -> &AtomicU64 {
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

    fn bit(&self) -> &AtomicBool {
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

/// The version of Landlock's interface that this kernel has.
pub(crate) fn landlock_abi() -> Result<u32> {
    const VERSION: c_long = 1;
    // SAFETY: with this flag the kernel takes a null pointer and a size of 0.
    let abi = check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0, VERSION) })?;
    Ok(u32::try_from(abi).unwrap_or(0))
}

/// A Landlock ruleset without rules. The arguments: what needs rules of files and
/// of ports, and what is scoped.
pub(crate) fn landlock_ruleset(abi: u32, files: u64, ports: u64, scoped: u64) -> Result<OwnedFd> {
    // `struct landlock_ruleset_attr`, which has grown from ABI to ABI. Older kernels
    // take a longer one only where the rest is 0.
    let attributes = [files, ports, scoped];
    let fields = match abi {
        0..4 => 1,
        4..6 => 2,
        _ => 3,
    };
    // SAFETY: the attributes are at least as long as the size passed, and the
    // kernel only reads them.
    let raw =
        check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), fields * size_of::<u64>(), 0) })?;
    // SAFETY: just opened and owned by nothing else. The kernel sets CLOEXEC.
    Ok(unsafe { OwnedFd::from_raw_fd(c_int::try_from(raw).unwrap_or(-1)) })
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: c_int,
}

/// Allows `rights` on what `file` is open on, and on all below.
pub(crate) fn landlock_allow_below(ruleset: BorrowedFd<'_>, file: BorrowedFd<'_>, rights: u64) -> Result<()> {
    const PATH_BENEATH: c_long = 1;
    let rule = PathBeneath { allowed: rights, parent: file.as_raw_fd() };
    let ruleset = c_long::from(ruleset.as_raw_fd());
    // SAFETY: rule is laid out as the kernel wants it for this type, and only read.
    check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, PATH_BENEATH, &raw const rule, 0) })?;
    Ok(())
}

/// Allows `rights` on TCP port `port`.
pub(crate) fn landlock_allow_port(ruleset: BorrowedFd<'_>, port: u16, rights: u64) -> Result<()> {
    const NET_PORT: c_long = 2;
    // `struct landlock_net_port_attr`.
    let rule: [u64; 2] = [rights, u64::from(port)];
    let ruleset = c_long::from(ruleset.as_raw_fd());
    // SAFETY: rule is laid out as the kernel wants it for this type, and only read.
    check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, NET_PORT, rule.as_ptr(), 0) })?;
    Ok(())
}

/// Puts a ruleset on this process and all it makes. no_new_privs must be set.
pub(crate) fn landlock_restrict(ruleset: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, c_long::from(ruleset.as_raw_fd()), 0) })?;
    Ok(())
}

/// Puts a system-call filter on this process and all it makes. no_new_privs must
/// be set.
pub(crate) fn filter(program: &[seccompiler::sock_filter]) -> Result<()> {
    let program = for_kernel(program)?;
    let program = ptr::from_ref(&program) as c_ulong;
    let mode = c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: program points to a sock_fprog whose filter has the length given,
    // and both live through the call.
    check(c_long::from(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, program, 0, 0) }))?;
    Ok(())
}

fn for_kernel(program: &[seccompiler::sock_filter]) -> Result<libc::sock_fprog> {
    Ok(libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        // The kernel only reads it; seccompiler lays an instruction out as libc does.
        filter: program.as_ptr().cast_mut().cast(),
    })
}

/// The same for a program that asks (SECCOMP_RET_USER_NOTIF): gives the descriptor
/// on which it does. EBUSY where an outer filter has one.
pub(crate) fn filter_told(program: &[seccompiler::sock_filter]) -> Result<OwnedFd> {
    let program = for_kernel(program)?;
    let install = |flags: c_ulong| {
        let mode = c_ulong::from(libc::SECCOMP_SET_MODE_FILTER);
        // SAFETY: program points to a sock_fprog whose filter has the length given,
        // and both live through the call.
        check(unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) })
    };
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // A call about which the launcher knows is interrupted by no signal but a deadly
    // one: then it is not made, and told, twice (Linux 5.19).
    let raw = match install(listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(Errno::INVAL) => install(listener)?,
        done => done?,
    };
    // SAFETY: just opened and owned by nothing else. The kernel sets CLOEXEC.
    Ok(unsafe { OwnedFd::from_raw_fd(c_int::try_from(raw).unwrap_or(-1)) })
}

/// A call that waits for an answer.
pub(crate) struct Waiting {
    id: u64,
    /// The thread that makes it, as it is numbered here.
    pub(crate) thread: u32,
    /// The call.
    pub(crate) made: Made,
}

impl Waiting {
    /// The next one, which poll has said is there. ENOENT where it is no more.
    pub(crate) fn receive(listener: BorrowedFd<'_>) -> Result<Self> {
        // SAFETY: seccomp_notif is numbers alone, of which all zeros is a value.
        let mut told: libc::seccomp_notif = unsafe { MaybeUninit::zeroed().assume_init() };
        let raw = listener.as_raw_fd();
        // SAFETY: told is all zeros, as the kernel asks, and has room for what it writes.
        check(c_long::from(unsafe { libc::ioctl(raw, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut told) }))?;
        let number = u32::from_ne_bytes(told.data.nr.to_ne_bytes());
        let made = Made { audit: told.data.arch, number, arguments: told.data.args };
        Ok(Self { id: told.id, thread: told.pid, made })
    }

    /// Does it still wait? Then what was read of its thread was that thread's.
    pub(crate) fn is_there(&self, listener: BorrowedFd<'_>) -> Result<bool> {
        let raw = listener.as_raw_fd();
        // SAFETY: the kernel reads the id, a u64.
        let returned = unsafe { libc::ioctl(raw, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const self.id) };
        match check(c_long::from(returned)) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Answers it with an error. ENOENT where it waits no more.
    pub(crate) fn refuse(&self, listener: BorrowedFd<'_>, errno: u16) -> Result<()> {
        let mut answer = libc::seccomp_notif_resp { id: self.id, val: 0, error: -i32::from(errno), flags: 0 };
        let raw = listener.as_raw_fd();
        // SAFETY: the kernel reads the answer, a seccomp_notif_resp.
        check(c_long::from(unsafe { libc::ioctl(raw, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) }))?;
        Ok(())
    }
}

/// Whether SIGCHLD is ignored, as it may be inherited, and so children vanish
/// unwaited for; sets it to its default or to ignored.
pub(crate) fn ignore_sigchld(ignore: bool) -> bool {
    let action = if ignore { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither of the two is a function of this program.
    let old = unsafe { libc::signal(libc::SIGCHLD, action) };
    old == libc::SIG_IGN
}

// Groups and sessions of another pid namespace have the number 0 here, this
// process's own too, for which rustix's Pid has no room.

/// The process group of `pid`, with 0 for this process itself.
fn group_of(pid: libc::pid_t) -> libc::pid_t {
    // SAFETY: no memory is passed.
    unsafe { libc::getpgid(pid) }
}

/// Is process `pid` in this one's process group?
pub(crate) fn in_our_group(pid: Pid) -> bool {
    group_of(pid.as_raw_nonzero().get()) == group_of(0)
}

/// Is this process's group the one in the foreground of `terminal`? No answer
/// where it is not this session's terminal.
pub(crate) fn in_the_foreground(terminal: BorrowedFd<'_>) -> Option<bool> {
    // SAFETY: no memory is passed.
    let foreground = unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) };
    (foreground >= 0).then(|| foreground == group_of(0))
}

/// Does this process lead its session?
pub(crate) fn leads_its_session() -> bool {
    // SAFETY: no memory is passed.
    let session = unsafe { libc::getsid(0) };
    session == rustix::process::getpid().as_raw_pid()
}

/// kill(2) with the number as it came, real-time signals included.
pub(crate) fn kill(pid: Pid, signal: c_int) -> Result<()> {
    // SAFETY: no memory is passed.
    check(c_long::from(unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) }))?;
    Ok(())
}

/// Ends this process at once: no destructor, no exit handler, no flush.
pub(crate) fn exit_now(status: c_int) -> ! {
    // SAFETY: _exit is always sound.
    unsafe { libc::_exit(status) }
}

/// The signal that is sent when the parent thread ends (prctl PR_SET_PDEATHSIG).
pub(crate) fn die_with_parent(signal: c_int) -> Result<()> {
    let signal = c_ulong::try_from(signal).unwrap_or(0);
    // SAFETY: no memory is passed.
    check(c_long::from(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) }))?;
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
