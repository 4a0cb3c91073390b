//! The file of budgets: for each path its goal, its budget, what Linux and seL4 take, and why a budget is above its
//! goal.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::measure::Measured;
use super::{DISK_TOLERANCE, TOLERANCE};
use crate::places::Places;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Side {
    /// The kernel's primitives
    Native,
    /// Linux calls
    Posix,
}

impl Side {
    /// As the file and the JSON have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Posix => "posix",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Native, Self::Posix].into_iter().find(|side| side.name() == text)
    }
}

/// A path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) side: Side,
    pub(super) name: String,
    /// Instructions, where one is set.
    pub(super) goal: Option<u64>,
    pub(super) budget: u64,
    /// What the reference system takes: Linux for POSIX rows, seL4 for native ones.
    pub(super) other: Option<u64>,
    /// Why the budget is above the goal.
    pub(super) reason: String,
}

/// All paths, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Budgets {
    pub(super) paths: Vec<Entry>,
}

/// The head of the file.
const HEAD: &str = "\
# Path lengths in guest instructions (QEMU, TCG, -icount shift=0): `cargo xtask bench`.
#
# A path that takes 2 % more than its budget fails, or 5 % where a disk is in it. `--update` makes what was measured the budgets.
# other: Linux 6.1 for posix rows, seL4 16 for native rows, in the same machine. `-` is unknown.
# A budget above its goal says why after the semicolon.
#
# side path goal budget other
";

impl Budgets {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        let budgets = Self::parse(&text).with_context(|| file.display().to_string())?;
        let unexplained = budgets.unexplained();
        ensure!(
            unexplained.is_empty(),
            "{}: above their goals without a reason, which goes behind a semicolon: {}",
            file.display(),
            unexplained.join(", ")
        );
        Ok(budgets)
    }

    /// The paths whose budgets are above their goals and that do not say why.
    pub(super) fn unexplained(&self) -> Vec<String> {
        let is_unexplained = |path: &&Entry| {
            path.reason.is_empty() && path.goal.is_some_and(|goal| goal < path.budget)
        };
        self.paths.iter().filter(is_unexplained).map(|path| path.name.clone()).collect()
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut budgets = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let path = parse_line(line).with_context(|| format!("line {}: {line}", index + 1))?;
            ensure!(
                budgets.find(path.side, &path.name).is_none(),
                "line {}: {} is there twice",
                index + 1,
                path.name
            );
            budgets.paths.push(path);
        }
        Ok(budgets)
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        std::fs::write(file, self.text())
            .with_context(|| format!("cannot write {}", file.display()))
    }

    fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
        for path in &self.paths {
            let (side, goal, other) = (path.side.name(), number(path.goal), number(path.other));
            // Writing to a string does not fail.
            let _ = write!(text, "{side} {} {goal} {} {other}", path.name, path.budget);
            if !path.reason.is_empty() {
                let _ = write!(text, " ; {}", path.reason);
            }
            text.push('\n');
        }
        text
    }

    pub(super) fn find(&self, side: Side, name: &str) -> Option<&Entry> {
        self.paths.iter().find(|path| path.side == side && path.name == name)
    }

    /// Takes what Linux needs for a POSIX row.
    pub(super) fn set_linux(&mut self, row: &Measured) {
        let is_it = |path: &&mut Entry| path.side == Side::Posix && path.name == row.name;
        if let Some(path) = self.paths.iter_mut().find(is_it) {
            path.other = Some(row.median);
        }
    }

    /// Makes what was measured the budgets; new rows are added.
    pub(super) fn update(&mut self, measured: &[Measured]) {
        for row in measured {
            let is_it = |path: &&mut Entry| path.side == row.side && path.name == row.name;
            match self.paths.iter_mut().find(is_it) {
                Some(path) => path.budget = row.median,
                None => self.paths.push(Entry {
                    side: row.side,
                    name: row.name.clone(),
                    goal: None,
                    budget: row.median,
                    other: None,
                    reason: String::new(),
                }),
            }
        }
        for path in &mut self.paths {
            if path.goal.is_some_and(|goal| path.budget <= goal) {
                path.reason.clear();
            }
        }
    }

    /// What is over its budget, has none, or was not measured though everything was asked for.
    pub(super) fn faults(&self, measured: &[Measured], all: bool) -> Vec<String> {
        let mut faults = Vec::new();
        for row in measured {
            match self.find(row.side, &row.name) {
                None => faults.push(format!("{}: no budget; add one with --update", row.name)),
                Some(path) if row.median * 100 > path.budget * (100 + tolerance(path)) => {
                    let (median, budget) = (row.median, path.budget);
                    faults.push(format!("{}: {median} instructions, budget {budget}", row.name));
                }
                Some(_) => {}
            }
        }
        let was_measured = |path: &&Entry| {
            measured.iter().any(|row| row.side == path.side && row.name == path.name)
        };
        for path in self.paths.iter().filter(|path| all && !was_measured(path)) {
            faults.push(format!("{}: not measured", path.name));
        }
        faults
    }

    /// Prints the budgets that grew since a commit.
    pub(super) fn growth_since(&self, places: &Places, commit: &str) -> Result<()> {
        let before = at_commit(places, commit)?;
        for path in &self.paths {
            let old = before.find(path.side, &path.name).map(|old| old.budget);
            if let Some(old) = old.filter(|old| *old < path.budget) {
                println!("GREW {} {}: {old} -> {}", path.side.name(), path.name, path.budget);
            }
        }
        Ok(())
    }
}

/// Hundredths by which a path may exceed its budget. How often a disk interrupts differs a little between hosts.
fn tolerance(path: &Entry) -> u64 {
    if path.name.starts_with("disk-") { DISK_TOLERANCE } else { TOLERANCE }
}

fn at_commit(places: &Places, commit: &str) -> Result<Budgets> {
    let object = format!("{commit}:{}", super::BUDGETS);
    let mut git = Command::new("git");
    git.arg("-C").arg(&places.source).args(["show", &object]);
    let output = git.output().context("cannot start git")?;
    if output.status.success() {
        return Budgets::parse(&String::from_utf8_lossy(&output.stdout));
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    // Before the file existed nothing can have grown.
    if words.contains("does not exist") || words.contains("exists on disk, but not in") {
        return Ok(Budgets::default());
    }
    bail!("--since: git show {object}: {}", words.trim())
}

fn parse_line(line: &str) -> Result<Entry> {
    let (figures, reason) = line.split_once(';').unwrap_or((line, ""));
    let words: Vec<_> = figures.split_whitespace().collect();
    let [side, name, goal, budget, other] = words[..] else {
        bail!("expected: side path goal budget other");
    };
    let number = |text: &str| -> Result<Option<u64>> {
        Ok(if text == "-" { None } else { Some(text.parse().context("expected a number or -")?) })
    };
    Ok(Entry {
        side: Side::parse(side).context("the side is `native` or `posix`")?,
        name: name.to_owned(),
        goal: number(goal)?,
        budget: budget.parse().context("expected a number")?,
        other: number(other)?,
        reason: reason.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# c\nposix getppid 60 98 328 ; not patched\nnative null 60 58 240\n\
                        posix new - 10 -\n";

    fn row(side: Side, name: &str, median: u64) -> Measured {
        Measured {
            side,
            name: name.to_owned(),
            min: median,
            median,
            p99: median,
            rounds: 1,
            rep: 0,
        }
    }

    #[test]
    fn the_file_is_read_and_written() {
        let budgets = Budgets::parse(TEXT).unwrap();
        let getppid = budgets.find(Side::Posix, "getppid").unwrap();
        assert_eq!((getppid.goal, getppid.budget, getppid.other), (Some(60), 98, Some(328)));
        assert_eq!(getppid.reason, "not patched");
        assert_eq!(Budgets::parse(&budgets.text()).unwrap(), budgets);
        for bad in ["posix a 1 2", "other a 1 2 3", "posix a 1 - 3", "posix a 1 1 1\nposix a 1 1 1"]
        {
            assert!(Budgets::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_budget_above_its_goal_wants_a_reason() {
        let budgets =
            Budgets::parse("posix a 5 9 -\nposix b 5 9 - ; why\nposix c 9 9 -\n").unwrap();
        assert_eq!(budgets.unexplained(), ["a"]);
    }

    #[test]
    fn two_per_cent_are_let_through() {
        let budgets = Budgets::parse(TEXT).unwrap();
        let rows = |null| {
            [
                row(Side::Native, "null", null),
                row(Side::Posix, "getppid", 1),
                row(Side::Posix, "new", 1),
            ]
        };
        assert!(budgets.faults(&rows(59), true).is_empty());
        assert_eq!(budgets.faults(&rows(60), true), ["null: 60 instructions, budget 58"]);
        assert_eq!(budgets.faults(&rows(59)[..2], true), ["new: not measured"]);
        assert!(budgets.faults(&rows(59)[..2], false).is_empty());
        let unknown = [row(Side::Native, "getppid", 1)];
        assert_eq!(budgets.faults(&unknown, false).len(), 1, "of the other side");
    }

    #[test]
    fn an_update_drops_reasons_that_no_longer_hold() {
        let mut budgets = Budgets::parse(TEXT).unwrap();
        budgets.update(&[row(Side::Posix, "getppid", 60), row(Side::Native, "more", 5)]);
        let getppid = budgets.find(Side::Posix, "getppid").unwrap();
        assert_eq!((getppid.budget, getppid.reason.as_str()), (60, ""));
        assert_eq!(budgets.find(Side::Native, "more").unwrap().budget, 5);
    }
}
