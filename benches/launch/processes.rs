//! What is seen from outside while a command runs.

use crate::Result;
use crate::command::Launch;
use std::fs;
use std::io::Read;
use std::process::Stdio;

/// Starts what runs stay.c, looks at the launcher and all that descends from it once the
/// command runs, and ends it.
pub fn running<T>(mut launch: Launch, look: impl FnOnce(&[u32]) -> Result<T>) -> Result<T> {
    let mut process = launch.command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let stdin = process.stdin.take();
    let mut said = [0];
    process.stdout.take().ok_or("no pipe")?.read_exact(&mut said).map_err(|error| launch.failed(error))?;
    let seen = family(process.id()).and_then(|family| look(&family));
    drop(stdin);
    let status = process.wait()?;
    if status.success() { seen } else { Err(launch.failed(status)) }
}

/// A process and all that descends from it.
fn family(head: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // One may have ended since the directory was read.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut family = vec![head];
    let mut at = 0;
    while let Some(&of) = family.get(at) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| pid));
        at += 1;
    }
    Ok(family)
}

pub fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}
