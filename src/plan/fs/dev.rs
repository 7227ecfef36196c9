//! A private /dev.

use std::ffi::OsStr;
use std::path::Path;

use crate::error::{Asked, Error, c_string};
use crate::host::path_kind::Fact;
use crate::plan::fs::layout::{Builder, push};
use crate::plan::fs::mount_tree::Backing;
use crate::plan::op::{Op, Step};

impl<'a> Builder<'a> {
    /// Fills a private /dev.
    pub(crate) fn devices(&mut self, dev: &Path, asked: Option<&Asked>, steps: &mut Vec<Step>) -> Result<(), Error> {
        steps.reserve(2 * DEVICES.len() + DEVICE_LINKS.len() + 4);
        for name in DEVICES {
            let at = dev.join(name);
            let source = Path::new("/dev").join(name);
            push(steps, Op::MountPoint { dest: c_string(at.as_os_str())? }, asked);
            push(steps, Op::Device { source: c_string(source.as_os_str())?, dest: c_string(at.as_os_str())? }, asked);
            self.view.mount(at, Backing::Host(source));
        }
        for (target, name) in DEVICE_LINKS {
            let at = dev.join(name);
            push(steps, Op::Symlink { target: c_string(OsStr::new(target))?, dest: c_string(at.as_os_str())? }, asked);
            self.view.make(at, Fact::Link(target.into()));
        }
        let (pts, shm) = (dev.join("pts"), dev.join("shm"));
        self.dir(&pts, 0o755, asked, steps)?;
        push(steps, Op::Devpts { dest: c_string(pts.as_os_str())? }, asked);
        self.view.mount(pts, Backing::Devpts);
        let part = self.is_in_memory(&shm);
        if !part {
            self.dir(&shm, 0o755, asked, steps)?;
        }
        self.memory(&shm, 0o1777, part, asked, steps)?;
        self.view.mount(shm, Backing::Memory);
        Ok(())
    }
}

pub(crate) const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

pub(crate) const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];
