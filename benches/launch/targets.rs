//! What is to be reached, beside what this run measured.

use crate::Bench;
use crate::crowd::{LEFT, RATES, rate_name};
use crate::host::{KEEPS, MOUNTS};
use crate::inside::{CALLS, GETPPID, MAKE, OPEN};
use crate::launches::{BINDINGS, LAUNCH, MASKS, WORDS, variables, verdict};
use crate::rows::{Samples, print_head};

/// One number of a table: its title, the row, the column.
type Place<'a> = (&'a str, &'a str, usize);

enum Limit {
    AtMost(f64),
    AtLeast(f64),
}
use Limit::{AtLeast, AtMost};

struct Reached {
    median: f64,
    min: f64,
    few: bool,
}

pub fn print(bench: &Bench) {
    print_head(&["target".into(), "wanted".into(), "by medians".into(), "by minima".into(), "".into()]);
    let ratio = |what: &str, limit: Limit, this: Place, other: Place| {
        let pair = Option::zip(samples(bench, this), samples(bench, other));
        line(
            what,
            limit,
            pair.map(|(this, other)| Reached {
                median: this.median() / other.median(),
                min: this.min() / other.min(),
                few: this.are_few() || other.are_few(),
            }),
        );
    };
    let launch =
        |what: &str, limit: Limit, this: &str, other: &str| ratio(what, limit, first(LAUNCH, this), first(LAUNCH, other));
    launch("launch to exit, x the floor", AtMost(1.10), "jail", "floor");
    launch("launch to exit, x bwrap", AtMost(0.40), "jail", "bwrap");
    launch("the same with the host's network, x bwrap", AtMost(0.32), "jail --net host", "bwrap --share-net");
    let (jail, bwrap) = ("jail, 1000 binds", "bwrap, 1000 binds");
    ratio("1,000 binds, x bwrap", AtMost(0.015), first(BINDINGS, jail), first(BINDINGS, bwrap));
    ratio("1,000 hidden files, x 1,000 shown", AtMost(2.0), first(MASKS, "jail, 1000 masks"), first(MASKS, "jail, 1000 binds"));
    let (jail, bwrap) = ("jail, 5000 mounts", "bwrap, 5000 mounts");
    ratio("5,000 mounts on the host, x bwrap", AtMost(0.13), first(MOUNTS, jail), first(MOUNTS, bwrap));
    for many in [8, 64] {
        let [jail, bwrap] = ["jail", "bwrap"].map(|launcher| rate_name(launcher, many));
        let what = format!("launches per second, {many} at once, x bwrap");
        ratio(&what, AtLeast(2.3), first(RATES, &jail), first(RATES, &bwrap));
    }
    let table = bench.found(WORDS);
    let grows = table.and_then(|table| verdict(table, "jail", "variable", variables(false)));
    let met = match grows {
        None | Some("too few runs to tell") => "",
        Some("more than linear") => "**not met**",
        Some(_) => "met",
    };
    println!("| 10,000 variables | linear | {} | | {met} |", grows.unwrap_or("not measured"));
    let (jail, bwrap) = ("jail, 2500 variables", "bwrap, 2500 variables");
    ratio("2,500 variables, x bwrap", AtMost(0.6), first(WORDS, jail), first(WORDS, bwrap));
    let memory = samples(bench, (KEEPS, "jail", 0));
    line(
        "PSS of jail's own processes, kB",
        AtMost(200.0),
        memory.map(|memory| Reached { median: memory.median(), min: memory.min(), few: memory.are_few() }),
    );
    ratio("100 left-over processes, x the floor", AtMost(1.2), (LEFT, "jail", 1), (LEFT, "floor", 1));
    ratio("getppid, x outside", AtMost(1.10), (CALLS, "jail", GETPPID), (CALLS, "outside", GETPPID));
    ratio("open and close, seven directories deep, x the floor", AtMost(1.05), (CALLS, "jail", OPEN), (CALLS, "floor", OPEN));
    ratio("make -j2, x outside", AtMost(1.02), first(MAKE, "jail"), first(MAKE, "outside"));
}

fn first<'a>(title: &'a str, row: &'a str) -> Place<'a> {
    (title, row, 0)
}

fn samples<'a>(bench: &'a Bench, (title, row, column): Place) -> Option<&'a Samples> {
    bench.found(title)?.find(row)?.samples.get(column)
}

/// The medians decide.
fn line(what: &str, limit: Limit, reached: Option<Reached>) {
    let wanted = match limit {
        AtMost(limit) => format!("at most {limit}"),
        AtLeast(limit) => format!("at least {limit}"),
    };
    let Some(Reached { median, min, few }) = reached else {
        println!("| {what} | {wanted} | not measured | | |");
        return;
    };
    let met = match limit {
        AtMost(limit) => median <= limit,
        AtLeast(limit) => median >= limit,
    };
    let verdict = match (few, met) {
        (true, _) => "too few runs to tell",
        (false, true) => "met",
        (false, false) => "**not met**",
    };
    println!("| {what} | {wanted} | {median:.3} | {min:.3} | {verdict} |");
}
