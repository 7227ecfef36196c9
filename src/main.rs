//! The program `jail`.

#![no_main]
#![allow(unsafe_code)] // `no_mangle`

use core::ffi::{c_char, c_int};

use jail::sys::bump_alloc::Memory;

#[global_allocator]
static MEMORY: Memory = Memory::new();

/// Where the C start-up code enters. Rust's own start-up is left out: it would
/// change how SIGPIPE is handled, which the command then inherits, and open what
/// the caller left closed.
#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    jail::run::main(argc, argv)
}
