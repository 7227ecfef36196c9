//! Rows that are measured in turn, in rounds, and what the Markdown says of them.

use crate::Result;
use std::thread;
use std::time::Duration;

/// Before each run, for what is still taken down after the one before: a network
/// namespace goes in the background.
const PAUSE: Duration = Duration::from_millis(2);

/// What was measured, in the end from the least.
#[derive(Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// The number that `part` of the samples do not exceed.
    pub fn quantile(&self, part: f64) -> f64 {
        let at = part * (self.0.len() - 1) as f64;
        let (low, high) = (self.0[at.floor() as usize], self.0[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }

    /// Of fewer than four nothing can be told.
    pub fn are_few(&self) -> bool {
        self.0.len() < 4
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    /// How far off the median may be, in 95 of 100 cases.
    pub fn error(&self) -> f64 {
        if self.are_few() {
            return f64::INFINITY;
        }
        1.8 * (self.quantile(0.75) - self.quantile(0.25)) / (self.0.len() as f64).sqrt()
    }
}

/// Gives one number for each thing that its table measures.
type Run = Box<dyn FnMut() -> Result<Vec<f64>>>;

pub struct Row {
    pub name: String,
    /// The rows it is compared with, one for each ratio of the table.
    beside: Vec<String>,
    /// It is run in every so many rounds.
    every: usize,
    run: Run,
    /// Why it is not measured.
    cannot: Option<String>,
    pub samples: Vec<Samples>,
}

impl Row {
    pub fn new(name: impl Into<String>, beside: &[&str], run: impl FnMut() -> Result<Vec<f64>> + 'static) -> Self {
        let beside = beside.iter().map(|name| (*name).to_owned()).collect();
        Self { name: name.into(), beside, every: 1, run: Box::new(run), cannot: None, samples: Vec::new() }
    }

    pub fn every(mut self, rounds: usize) -> Self {
        self.every = rounds;
        self
    }

    /// With a reason, it stands in the table and is not run.
    pub fn unless(mut self, cannot: Option<String>) -> Self {
        self.cannot = cannot;
        self
    }

    fn sample(&mut self) -> Result<Vec<f64>> {
        thread::sleep(PAUSE);
        (self.run)().map_err(|error| format!("{}: {error}", self.name).into())
    }
}

/// One table: rows that are compared with each other.
pub struct Table {
    pub title: &'static str,
    /// What a row measures, and to how many decimals.
    pub measures: &'static [(&'static str, usize)],
    /// What the ratios are called.
    pub ratios: &'static [&'static str],
    pub rounds: usize,
    pub rows: Vec<Row>,
}

/// The same orders in each run (xorshift64).
struct Random(u64);

impl Random {
    fn shuffle(&mut self, list: &mut [usize]) {
        for last in (1..list.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            list.swap(last, (self.0 % (last as u64 + 1)) as usize);
        }
    }
}

impl Table {
    pub fn measure(&mut self) -> Result<()> {
        for row in &mut self.rows {
            row.samples = vec![Samples::default(); self.measures.len()];
        }
        let mut order: Vec<usize> = (0..self.rows.len()).filter(|&at| self.rows[at].cannot.is_none()).collect();
        // Once, not counted: it fills the caches and shows what fails.
        if self.rounds > 1 {
            for &at in &order {
                self.rows[at].sample()?;
            }
        }
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        for round in 0..self.rounds {
            random.shuffle(&mut order);
            for &at in &order {
                let row = &mut self.rows[at];
                if round % row.every == 0 {
                    let numbers = row.sample()?;
                    if numbers.len() != row.samples.len() {
                        return Err(format!("{}: gave {} numbers", row.name, numbers.len()).into());
                    }
                    row.samples.iter_mut().zip(numbers).for_each(|(samples, number)| samples.0.push(number));
                }
            }
        }
        for samples in self.rows.iter_mut().flat_map(|row| &mut row.samples) {
            samples.0.sort_by(f64::total_cmp);
        }
        Ok(())
    }

    pub fn find(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name && row.cannot.is_none())
    }

    /// One measure with all that is known of it, or several, each in one column.
    pub fn print(&self) {
        match self.measures {
            [(_, digits)] => self.print_one(*digits),
            _ => self.print_several(),
        }
    }

    fn print_one(&self, digits: usize) {
        let mut columns = vec![self.title.to_owned(), "median".into(), "min".into(), "quartiles".into(), "runs".into()];
        columns.extend(self.ratios.iter().flat_map(|ratio| [format!("x {ratio}"), format!("x {ratio}, min")]));
        print_head(&columns);
        for row in &self.rows {
            if let Some(why) = &row.cannot {
                println!("| {} | cannot: {} |{}", row.name, why.replace('|', "/"), " |".repeat(columns.len() - 2));
                continue;
            }
            let samples = &row.samples[0];
            let mut cells = vec![
                row.name.clone(),
                format!("{:.digits$}", samples.median()),
                format!("{:.digits$}", samples.min()),
                format!("{:.digits$} to {:.digits$}", samples.quantile(0.25), samples.quantile(0.75)),
                samples.0.len().to_string(),
            ];
            for at in 0..self.ratios.len() {
                let other = row.beside.get(at).filter(|other| **other != row.name).and_then(|other| self.find(other));
                cells.extend(other.map_or(["".into(), "".into()], |other| {
                    let other = &other.samples[0];
                    [samples.median() / other.median(), samples.min() / other.min()].map(|ratio| format!("{ratio:.3}"))
                }));
            }
            println!("| {} |", cells.join(" | "));
        }
    }

    fn print_several(&self) {
        let mut columns = vec![format!("{}, {} rounds", self.title, self.rounds)];
        columns.extend(self.measures.iter().map(|(name, _)| (*name).to_owned()));
        print_head(&columns);
        for row in &self.rows {
            let cells: Vec<String> = row
                .samples
                .iter()
                .zip(self.measures)
                .map(|(samples, &(_, digits))| {
                    let (low, high) = (samples.quantile(0.25), samples.quantile(0.75));
                    let median = format!("{:.digits$}", samples.median());
                    if low == high { median } else { format!("{median} ({low:.digits$} to {high:.digits$})") }
                })
                .collect();
            println!("| {} | {} |", row.name, cells.join(" | "));
        }
    }
}

/// A new table's first two lines: the first column is text, the others are numbers.
pub fn print_head(columns: &[String]) {
    println!("\n| {} |", columns.join(" | "));
    println!("| --- |{}", " ---: |".repeat(columns.len() - 1));
}
