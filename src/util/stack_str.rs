//! Text of a fixed size, written without the heap.

use core::ffi::CStr;
use core::fmt::Write as _;

use rustix::io::Errno;

/// Numbers written without the heap.
pub(crate) struct Line<const SIZE: usize> {
    pub(crate) bytes: [u8; SIZE],
    pub(crate) length: usize,
}

impl<const SIZE: usize> Line<SIZE> {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; SIZE], length: 0 }
    }

    /// Appends to it; nothing is cut off.
    pub(crate) fn print(&mut self, text: core::fmt::Arguments<'_>) -> Result<(), Errno> {
        self.write_fmt(text).map_err(|_| Errno::OVERFLOW)
    }

    pub(crate) fn c_str(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::OVERFLOW)
    }
}

impl<const SIZE: usize> core::fmt::Write for Line<SIZE> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
