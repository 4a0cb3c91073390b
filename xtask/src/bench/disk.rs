//! File operations on a disk, on Serix and on Linux: the same program on the same image.
//!
//! Instructions are counted by a plugin of QEMU's between marks of the program, as the clock of `-icount` would count
//! the time in which a core waits for its disk. Times are those of the guests' clocks in further runs without the plugin, both systems
//! in turn; of a busy host they say little.

mod machines;
mod tree;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{Bench, announce};
use crate::places::create_folder;
use crate::report::Progress;
use crate::setup::{Tool, ensure as ensure_tools};
use machines::Machines;

/// The program and the plugin, in the checkout.
const SOURCES: &str = "user-apps/bench/disk";
/// Bytes of the file that is read from disk.
const COLD: usize = 64 << 20;
/// Marks from here on end a row of the program.
const FIRST_MARK: u64 = 10;
/// Behind the script's commands: what they are called, and for how many files.
const COMMANDS: [(u64, &str, u64); 2] = [(30, "tar-x", tree::FILES), (31, "rm-r", tree::FILES)];

/// What is put into both systems' image.
struct Inputs {
    program: PathBuf,
    plugin: PathBuf,
    tree: PathBuf,
    cold: PathBuf,
}

/// What one operation took.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    name: String,
    instructions: Option<f64>,
    ns: f64,
}

/// Measures on Serix, and with `linux` on this kernel, and prints a table.
pub(super) fn run(bench: &Bench<'_>, linux: Option<&Path>, rounds: u32) -> Result<()> {
    let inputs = Inputs::make(bench)?;
    let machines = Machines::new(bench, &inputs, linux)?;
    announce("file operations on disk", None);
    let serix = machines.serix(true)?;
    let linux = linux.map(|_| machines.linux(true)).transpose()?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let on_serix = machines.serix(false)?;
        let on_linux = linux.as_ref().map(|_| machines.linux(false)).transpose()?;
        times.push((on_serix, on_linux));
    }
    print(&serix, linux.as_deref(), &times);
    Ok(())
}

impl Inputs {
    fn make(bench: &Bench<'_>) -> Result<Self> {
        let mut progress = Progress::new(1, false);
        progress.stage("file_rates");
        let tools = [Tool::Qemu, Tool::MuslGcc, Tool::Busybox, Tool::E2fsprogs];
        ensure_tools(&tools, bench.policy(), &mut progress)?;
        let folder = bench.places.serix_folder("bench/disk")?;
        create_folder(&folder)?;
        let sources = bench.places.source.join(SOURCES);
        let inputs = Self {
            program: folder.join("file_rates"),
            plugin: folder.join("marks.so"),
            tree: folder.join("tree.tar"),
            cold: folder.join("cold"),
        };
        let compile = |compiler: &str, words: &str, source: &str, to: &Path| {
            let mut command = std::process::Command::new(compiler);
            command.args(words.split(' ')).arg("-o").arg(to).arg(sources.join(source));
            let output = command.output().with_context(|| format!("cannot start {compiler}"))?;
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(output.status.success(), "{compiler} {source}: {words}");
            Ok(())
        };
        compile("musl-gcc", "-static -O2 -Wall", "file_rates.c", &inputs.program)?;
        compile("cc", "-shared -fPIC -O2", "marks.c", &inputs.plugin)?;
        std::fs::write(&inputs.tree, tree::archive())?;
        let cold: Vec<u8> = (0..COLD / 8).flat_map(|word| (word as u64).to_le_bytes()).collect();
        std::fs::write(&inputs.cold, cold)?;
        Ok(inputs)
    }
}

/// The rows of a run: what the program and its script said, and what the plugin counted.
fn rows(said: &str, marks: Option<&str>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut counts = Vec::new();
    let mut began = 0.0;
    for line in said.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["ROW", name, count, ns] => {
                counts.push(count.parse::<f64>().context("an odd row")?);
                let ns = ns.parse().context("an odd row")?;
                rows.push(Row { name: name.to_owned(), instructions: None, ns });
            }
            ["TIME", mark, seconds] => {
                let (mark, now): (u64, f64) = (mark.parse()?, seconds.parse()?);
                if let Some((_, name, count)) = COMMANDS.iter().find(|command| command.0 == mark) {
                    counts.push(*count as f64);
                    let ns = (now - began) * 1e9 / *count as f64;
                    rows.push(Row { name: (*name).to_owned(), instructions: None, ns });
                }
                began = now;
            }
            _ => {}
        }
    }
    let Some(marks) = marks else { return Ok(rows) };
    let counted: Vec<f64> = marks.lines().filter_map(mark).collect();
    ensure!(counted.len() == rows.len(), "{} marks for {} rows", counted.len(), rows.len());
    for ((row, instructions), count) in rows.iter_mut().zip(counted).zip(counts) {
        row.instructions = Some(instructions / count);
    }
    Ok(rows)
}

/// The instructions of `MARK number instructions`, if that ends a row.
fn mark(line: &str) -> Option<f64> {
    let mut words = line.strip_prefix("MARK ")?.split(' ');
    let number: u64 = words.next()?.parse().ok()?;
    let instructions = words.next()?.parse().ok()?;
    (number >= FIRST_MARK).then_some(instructions)
}

/// A system's rows of a run, and those of the run on the other system.
type Round = (Vec<Row>, Option<Vec<Row>>);

fn print(serix: &[Row], linux: Option<&[Row]>, times: &[Round]) {
    println!("| operation | Linux, instructions | Serix, instructions | ratio | time, ratio |");
    println!("| --- | --- | --- | --- | --- |");
    for (index, row) in serix.iter().enumerate() {
        let own = row.instructions.unwrap_or_default();
        let other = linux.and_then(|rows| rows.get(index)?.instructions);
        let ratio = other.map(|other| own / other);
        let time = median(times.iter().filter_map(|(serix, linux)| {
            Some(serix.get(index)?.ns / linux.as_ref()?.get(index)?.ns)
        }));
        let figure = |figure: Option<f64>, digits| {
            figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
        };
        let (other, own) = (figure(other, 0), figure(row.instructions, 0));
        println!("| {} | {other} | {own} | {} | {} |", row.name, figure(ratio, 2), figure(time, 2));
    }
}

fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<_> = figures.collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// Fails unless a run came to the last of its rows.
fn check_whole(rows: &[Row], said: &str) -> Result<()> {
    match rows.last() {
        Some(row) if row.name == COMMANDS[COMMANDS.len() - 1].1 => Ok(()),
        _ => bail!("ended early: {}", said.lines().last().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_marks_belong_together() {
        let said = "ROW stat 10 50\nodd\nTIME 1 1.5\nTIME 30 2.5\nTIME 1 3\nTIME 31 5.0\r\n";
        let marks = "MARK 1 99\nMARK 11 1000\nMARK 1 7\nMARK 30 40000\nMARK 1 3\nMARK 31 20000\n";
        let rows = rows(said, Some(marks)).unwrap();
        let figures: Vec<_> = rows.iter().map(|row| (row.instructions, row.ns)).collect();
        assert_eq!(figures, [(Some(100.0), 50.0), (Some(2.0), 50_000.0), (Some(1.0), 100_000.0)]);
        assert!(check_whole(&rows, said).is_ok() && check_whole(&rows[..2], said).is_err());
        assert!(super::rows(said, Some("MARK 11 1000\n")).is_err());
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median(std::iter::empty()), None);
    }
}
