//! `--explain=time`: what each step of the launch costs on this machine. The launch is
//! performed, several times, with nothing executed at its end.

use std::fmt::Write as _;
use std::mem::ManuallyDrop;

use rustix::io::Errno;

use crate::plan::Plan;
use crate::policy::Init;
use crate::report::explain::lists;
use crate::supervisor::launch::{self, Passed};
use crate::supervisor::outcome::Failure;
use crate::sys::namespaces::namespaces;
use crate::sys::{Arguments, Clock};

/// How many launches: enough for a median that one interruption does not move.
const LAUNCHES: usize = 11;

/// Nanoseconds, launch by launch.
type Measured = Vec<Vec<u64>>;

/// Launches `plan` and tells what took how long; `planned` is what making the plan took,
/// in nanoseconds.
///
/// # Errors
/// Where a launch failed.
pub fn run(plan: &Plan, planned: u64, arguments: &Arguments) -> Result<String, Failure> {
    let names = names(plan);
    let mut measured = Measured::new();
    for _ in 0..LAUNCHES {
        // Read after the last process is gone; the mapping is not worth undoing.
        let clock = ManuallyDrop::new(Clock::new(names.len() + 1).map_err(Failure::Prepare)?);
        launch::run(plan, arguments, None, Passed::Keep, Some(&clock))?;
        clock.tick();
        let ticks = clock.read();
        if ticks.len() != names.len() + 1 {
            return Err(Failure::Supervise(Errno::IO));
        }
        measured.push(ticks.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect());
    }
    Ok(text(&names, planned, &measured))
}

/// What ends with each tick of the clock but the first, and under which heading.
fn names(plan: &Plan) -> Vec<(&'static str, String)> {
    let [outside, inside, last] = lists(plan).map(|(_, title, steps)| steps.iter().map(move |step| (title, step.op.to_string())));
    let mut all = vec![(LAUNCHER, "streams that are closed".into())];
    all.extend(outside);
    all.push((LAUNCHER, "signals, and what the command is given".into()));
    let new = if plan.namespaces == 0 { "none".into() } else { namespaces(plan.namespaces) };
    all.push((LAUNCHER, format!("make process 1; new namespaces: {new}")));
    all.extend(inside);
    if plan.init == Init::Reaper {
        all.push((COMMAND, "make it".into()));
    }
    all.extend(last);
    all.push((END, "all is dead".into()));
    all
}

const LAUNCHER: &str = "The launcher:";
const COMMAND: &str = "The command's process:";
const END: &str = "The end:";

fn text(names: &[(&'static str, String)], planned: u64, measured: &Measured) -> String {
    let mut out = format!(
        "Microseconds, the median of {LAUNCHES} launches that execute nothing. The program's own\n\
         start and end are not in it, nor the command's.\n\
         {LAUNCHER}\n{:>10}  read the machine, make the plan (once)\n",
        micros(planned)
    );
    let mut under = LAUNCHER;
    for (index, (title, name)) in names.iter().enumerate() {
        if *title != under {
            under = title;
            let _ = writeln!(out, "{title}");
        }
        let times = measured.iter().filter_map(|launch| launch.get(index).copied()).collect();
        let _ = writeln!(out, "{:>10}  {name}", micros(median(times)));
    }
    let all = measured.iter().map(|launch| launch.iter().sum()).collect();
    let _ = writeln!(out, "In all:\n{:>10}  of a launch, and {} for the plan", micros(median(all)), micros(planned));
    out
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}

/// Tenths, for many a step takes less than one.
fn micros(nanoseconds: u64) -> String {
    let tenths = (nanoseconds + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_in_tenths_of_a_microsecond() {
        assert_eq!(micros(median(vec![9_000_000, 1_249, 1])), "1.2");
        assert_eq!(micros(1_250), "1.3");
        assert_eq!((micros(0), micros(median(vec![]))), ("0.0".into(), "0.0".into()));
    }

    #[test]
    fn each_step_has_its_line_under_its_heading() {
        let names = [(LAUNCHER, "a".to_owned()), (COMMAND, "b".to_owned()), (COMMAND, "c".to_owned())];
        let out = text(&names, 5_000, &vec![vec![1_000, 2_000, 3_000]; LAUNCHES]);
        assert!(out.ends_with(
            "       5.0  read the machine, make the plan (once)\n       1.0  a\nThe command's process:\n       2.0  b\n       3.0  c\n\
             In all:\n       6.0  of a launch, and 5.0 for the plan\n"
        ));
    }
}
