//! `bench --wall`: the Linux calls by time on the host, Serix and Linux in turn, so that what else the host does meets both.

use anyhow::{Context, Result, ensure};

use super::measure::{self, Measured};
use super::{Bench, linux};
use crate::machine::{Accelerator, Choice};
use crate::setup::qemu_version;

/// Rounds of both systems; the median of each row's medians counts.
const ROUNDS: usize = 5;

/// Measures and prints, on the translator and, where a guest comes up on it, on KVM.
pub(super) fn run(bench: &Bench<'_>) -> Result<()> {
    table(bench, Accelerator::Tcg)?;
    let (qemu, _) = qemu_version()?;
    match Accelerator::choose(Choice::Kvm, false, &qemu, &bench.loader()?) {
        Ok(kvm) => table(bench, kvm),
        Err(why) => {
            println!("\nnot on KVM: {why:#}");
            Ok(())
        }
    }
}

fn table(bench: &Bench<'_>, accelerator: Accelerator) -> Result<()> {
    let (kernel, program) = (bench.kernel()?, bench.program()?);
    let (mut serix, mut other) = (Vec::new(), Vec::new());
    let mut version = String::new();
    for round in 1..=ROUNDS {
        super::announce(&format!("round {round} of {ROUNDS}"), None);
        let run = measure::Run::new(bench, "Linux calls on Serix by time")?.by_time(accelerator);
        serix.push(run.posix(&program, bench.filter())?);
        let (name, rows) = linux::measure(bench, &kernel, &program, accelerator)?;
        version = name;
        other.push(rows);
    }
    println!(
        "\nLinux calls by time, {}, medians of {ROUNDS} runs in turn; {version}",
        accelerator.words(1)
    );
    println!("{:<22}{:>12}{:>12}{:>9}", "path", "Serix", "Linux", "ratio");
    for row in serix.first().context("no round")? {
        let (ours, theirs) = (median(&serix, &row.name)?, median(&other, &row.name)?);
        let ratio = theirs as f64 / ours.max(1) as f64;
        println!("{:<22}{ours:>12}{theirs:>12}{ratio:>8.1}x", row.name);
    }
    println!("ticks of the TSC, which both guests read from the host");
    Ok(())
}

/// The median of a row over the rounds.
fn median(rounds: &[Vec<Measured>], name: &str) -> Result<u64> {
    let find =
        |rows: &Vec<Measured>| rows.iter().find(|row| row.name == name).map(|row| row.median);
    let mut medians: Vec<_> = rounds.iter().filter_map(find).collect();
    ensure!(medians.len() == rounds.len(), "{name}: not in every round");
    medians.sort_unstable();
    medians.get(medians.len() / 2).copied().context("no round")
}

#[cfg(test)]
mod tests {
    use super::super::Side;
    use super::*;

    #[test]
    fn the_middle_round_counts() {
        let round = |median| {
            let (side, name) = (Side::Posix, "a".to_owned());
            vec![Measured { side, name, min: 0, median, p99: 0, rounds: 1, rep: 0 }]
        };
        let rounds = [round(9), round(1), round(5)];
        assert_eq!(median(&rounds, "a").unwrap(), 5);
        assert!(median(&rounds, "b").is_err());
    }
}
