//! What the launcher does for process 1 while the jail is made.

use crate::plan::op::{Op, Step};
use crate::process::fd_channel::Heard;
use crate::relay::publish;
use crate::supervisor::denied_tracer::Tracer;
use crate::supervisor::outcome::Failure;
use crate::supervisor::pty_relay::Relay;
use crate::supervisor::{Supervisor, idmap_helper, pasta};

impl<'a> Supervisor<'a> {
    /// Has subordinate ids mapped, for which process 1 waits.
    pub(crate) fn map_ids(&mut self) -> Result<(), Failure> {
        let wanted = |step: &'a Step| if let Op::MapSubids { subids } = &step.op { Some(subids) } else { None };
        let subids = self.plan.inside.iter().find_map(wanted);
        if let Some(subids) = subids {
            self.subids = Some(idmap_helper::start(self.child, subids, self.arguments).map_err(Failure::Subids)?);
        }
        Ok(())
    }

    /// Lets process 1 go on if its ids are mapped.
    pub(crate) fn mapped(&mut self) -> Result<(), Failure> {
        if let Some(subids) = &mut self.subids {
            if subids.done().map_err(Failure::Subids)? {
                self.subids = None;
                self.let_go_on();
            }
        }
        Ok(())
    }

    /// Has the network connected, for which process 1 waits.
    pub(crate) fn connect(&mut self) -> Result<(), Failure> {
        if !self.published.is_empty() {
            let own_ids = self.plan.namespaces & libc::CLONE_NEWUSER != 0;
            self.told.published.extend(self.published.iter().map(|listening| listening.hole));
            let published = std::mem::take(&mut self.published);
            let started = publish::start(self.arguments, self.child, own_ids, published);
            self.publisher = Some(started.map_err(Failure::Publish)?);
            self.let_go_on();
            return Ok(());
        }
        let root = rustix::process::geteuid().is_root();
        let network = |step: &'a Step| if let Op::AwaitNetwork { pasta, udp } = &step.op { Some((pasta, udp)) } else { None };
        let Some((program, udp)) = self.plan.inside.iter().find_map(network) else { return Ok(()) };
        self.pasta = Some(pasta::start(program, self.child, root, udp).map_err(Failure::Pasta)?);
        self.told.published.extend(udp);
        Ok(())
    }

    /// Lets process 1 go on if the network stands.
    pub(crate) fn connected(&mut self) -> Result<(), Failure> {
        if let Some(pasta) = &mut self.pasta {
            pasta.connected().map_err(Failure::Pasta)?;
        }
        self.let_go_on();
        Ok(())
    }

    /// Lets process 1 go on with what it waits for.
    pub(crate) fn let_go_on(&mut self) {
        let more = (self.plan.pasta && self.pasta.is_none()) || !self.published.is_empty();
        if let Some(go) = &self.go {
            // If process 1 is dead by now, its end says more.
            let _ = rustix::io::write(go, b"\n");
        }
        if !more {
            self.go = None;
        }
    }

    /// Learns who the command's process is, and when it executes the command.
    pub(crate) fn listen(&mut self) -> Result<(), Failure> {
        let Some(listener) = &self.listener else { return Ok(()) };
        match listener.hear().map_err(Failure::Supervise)? {
            Heard::Command(pid) => self.told.command = Some(pid),
            Heard::Terminal(master) => self.relay = Some(Relay::start(master, self.arguments).map_err(Failure::Supervise)?),
            Heard::Refusals(refusals) => {
                self.tracer = self.plan.trace.as_ref().map(|trace| Tracer::start(refusals, trace));
            }
            // Said to a keeper, and to process 1.
            Heard::ProcessOne(_) | Heard::Network(_) | Heard::Work(_) => {}
            Heard::Gone => {
                self.listener = None;
                // A failure was reported before this end was closed.
                self.receive()?;
                if let (None, Some(record), true) = (self.told.failure, self.record, self.executing.is_set()) {
                    record.started(self.plan, self.child, self.told.command, &self.told.namespaces, &self.told.published);
                }
            }
        }
        Ok(())
    }
}
