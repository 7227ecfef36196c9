//! Ids, clocks and limits of the jail's namespaces.

use core::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, waitpid};

use crate::child::context::State;
use crate::child::io::wait_for_byte;
use crate::policy::identity::Range;
use crate::sys::fd::RESOLVE;
use crate::sys::{self, Cloned, SignalSet};
use crate::util::stack_str::Line;

impl<'a> State<'a> {
    /// Makes namespaces with more ids than one, which only a process with CAP_SETUID
    /// outside of them may map. It is process 2 for as long as that takes.
    pub(crate) fn unshare_and_map(&self, namespaces: i32, uids: &[Range], gids: &[Range]) -> Result<(), Errno> {
        let (told, tell) = pipe_with(PipeFlags::CLOEXEC)?;
        let mapper = match sys::clone(0)? {
            Cloned::Parent(mapper) => mapper,
            Cloned::Child => {
                drop(tell);
                let mapped = wait_for_byte(&told).and_then(|()| self.map(uids, gids));
                sys::exit_now(mapped.map_or_else(Errno::raw_os_error, |()| 0))
            }
        };
        let unshared = sys::unshare(namespaces).and_then(|()| write(&tell, b"\n").map(drop));
        drop(tell);
        let status = loop {
            match waitpid(Some(mapper), WaitOptions::empty()) {
                Ok(ended) => break ended,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        };
        unshared?;
        // The command is not to find a signal that is not of its own children.
        let _ = SignalSet::of(&[libc::SIGCHLD]).wait(Some(0));
        match status.and_then(|(_, status)| status.exit_status()) {
            Some(0) => Ok(()),
            Some(errno) => Err(Errno::from_raw_os_error(errno)),
            None => Err(Errno::SRCH),
        }
    }

    pub(crate) fn map(&self, uids: &[Range], gids: &[Range]) -> Result<(), Errno> {
        for (file, ranges) in [(c"uid_map", uids), (c"gid_map", gids)] {
            // The kernel takes less than a page.
            let mut lines = Line::<4096>::new();
            for Range { inside, outside, count } in ranges {
                lines.print(format_args!("{inside} {outside} {count}\n"))?;
            }
            let text = core::str::from_utf8(&lines.bytes[..lines.length]).map_err(|_| Errno::ILSEQ)?;
            self.write_proc(file, text)?;
        }
        Ok(())
    }

    /// Makes a time namespace, which this process's children come to be in, in which
    /// the clocks that only time makes go on show `wanted` now.
    pub(crate) fn set_clocks(&self, wanted: Duration) -> Result<(), Errno> {
        sys::unshare(libc::CLONE_NEWTIME)?;
        let mut lines = Line::<128>::new();
        for number in [libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
            let now = sys::clock(number);
            let mut seconds = i64::try_from(wanted.as_secs()).map_err(|_| Errno::RANGE)? - now.tv_sec;
            let mut rest = i64::from(wanted.subsec_nanos()) - now.tv_nsec;
            if rest < 0 {
                (seconds, rest) = (seconds - 1, rest + 1_000_000_000);
            }
            lines.print(format_args!("{number} {seconds} {rest}\n"))?;
        }
        let text = core::str::from_utf8(&lines.bytes[..lines.length]).map_err(|_| Errno::ILSEQ)?;
        self.write_proc(c"timens_offsets", text)
    }

    /// The limit of this user namespace alone, which its maker may lower. The
    /// host's /proc is asked first; where that is read-only, as in containers, the
    /// jail's own may not be.
    pub(crate) fn allow_no_user_namespaces(&self) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let dir = self.proc_self.as_ref().ok_or(Errno::BADF)?;
        let file = openat(dir, c"../sys/user/max_user_namespaces", flags, Mode::empty()).or_else(|errno| {
            let own = c"proc/sys/user/max_user_namespaces";
            let root = self.root().map_err(|_| errno)?;
            openat2(root, own, flags, Mode::empty(), RESOLVE | ResolveFlags::BENEATH).map_err(|_| errno)
        })?;
        write(&file, b"0").map(drop)
    }
}
