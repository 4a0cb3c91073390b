//! The tables and the JSON.

use anyhow::Result;
use serde_json::{Value, json};

use super::budgets::{Budgets, Side};
use super::measure::Measured;
use crate::machine::{Accelerator, commit};
use crate::places::Places;
use crate::setup::qemu_version;

/// Says what was measured with.
pub(super) fn header(places: &Places) -> Result<()> {
    let (_, version) = qemu_version()?;
    println!("{version}");
    println!("{}", Accelerator::Counted.words(1));
    println!("one core; serix {} commit {}", env!("CARGO_PKG_VERSION"), commit(places));
    Ok(())
}

/// The same, as one line under a chart.
pub(super) fn caption(places: &Places) -> Result<String> {
    let (_, version) = qemu_version()?;
    let version = version.split(" (").next().unwrap_or(&version);
    let commit = commit(places);
    Ok(format!(
        "Guest instructions, median; {version}, TCG, icount, one core; serix commit {commit}"
    ))
}

/// Prints a table for each side that was measured.
pub(super) fn tables(budgets: &Budgets, measured: &[Measured]) {
    for side in [Side::Native, Side::Posix] {
        let rows: Vec<_> = measured.iter().filter(|row| row.side == side).collect();
        if !rows.is_empty() {
            table(budgets, side, &rows);
        }
    }
}

fn table(budgets: &Budgets, side: Side, rows: &[&Measured]) {
    let (title, other) = match side {
        Side::Native => ("Kernel primitives", "seL4"),
        Side::Posix => ("Linux calls", "Linux"),
    };
    println!("\n{title}, guest instructions");
    println!(
        "{:<22}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}  ",
        "path", "median", "min", "p99", "budget", "goal", other, "ratio"
    );
    for row in rows {
        println!("{}", line(budgets, row));
    }
}

fn line(budgets: &Budgets, row: &Measured) -> String {
    let entry = budgets.find(row.side, &row.name);
    let other = entry.and_then(|entry| entry.other);
    let goal = entry.and_then(|entry| entry.goal);
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let ratio = other.map_or_else(|| "-".to_owned(), |other| ratio(row.median, other));
    let verdict = match goal {
        Some(goal) if row.median <= goal => "goal met",
        Some(_) => "above goal",
        None => "",
    };
    let rep = if row.rep == 0 { String::new() } else { format!(" ({} in rep)", row.rep) };
    let (name, budget) = (&row.name, number(entry.map(|entry| entry.budget)));
    let figures = format!("{:>9}{:>9}{:>9}{budget:>9}", row.median, row.min, row.p99);
    let text = format!(
        "{name:<22}{figures}{:>9}{:>9}{ratio:>9}  {verdict}{rep}",
        number(goal),
        number(other)
    );
    text.trim_end().to_owned()
}

/// How many times fewer instructions than the other system.
fn ratio(median: u64, other: u64) -> String {
    format!("{:.1}x", other as f64 / median.max(1) as f64)
}

/// The figures for other programs.
pub(super) fn json(budgets: &Budgets, measured: &[Measured]) -> Result<String> {
    let rows: Vec<Value> = measured.iter().map(|row| json_row(budgets, row)).collect();
    Ok(serde_json::to_string_pretty(&rows)? + "\n")
}

fn json_row(budgets: &Budgets, row: &Measured) -> Value {
    let entry = budgets.find(row.side, &row.name);
    let linux = entry.filter(|_| row.side == Side::Posix).and_then(|entry| entry.other);
    json!({
        "path": row.name,
        "side": row.side.name(),
        "instructions": row.median,
        "goal": entry.and_then(|entry| entry.goal),
        "budget": entry.map(|entry| entry.budget),
        "linux": linux,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_other_to_us() {
        assert_eq!(ratio(100, 250), "2.5x");
        assert_eq!(ratio(0, 5), "5.0x");
    }
}
