//! `bench --footprint`: what the system takes before it does anything.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection};
use serde_json::json;

use super::{Bench, TOLERANCE, measure};
use crate::build::Cargo;
use crate::check;
use crate::report::Progress;
use crate::setup::{RustPart, ensure_rust};

/// The file of budgets, in the checkout.
const BUDGETS: &str = "user-apps/bench/footprint.txt";
/// Tried for the shell's memory, in MiB, from the most.
const MEMORY: [u64; 7] = [48, 40, 32, 28, 24, 20, 16];

/// A figure with the most it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limit {
    name: String,
    budget: u64,
    goal: Option<u64>,
}

/// Measures and prints; true if all is within its budget.
pub(super) fn run(bench: &Bench<'_>) -> Result<bool> {
    let text = std::fs::read_to_string(bench.places.source.join(BUDGETS));
    let limits = parse(&text.with_context(|| format!("no {BUDGETS}"))?)?;
    let figures = figures(bench)?;
    let limit = |name: &str| limits.iter().find(|limit| limit.name == name);
    println!("\n{:<26}{:>12}{:>12}{:>12}", "footprint", "now", "budget", "goal");
    let mut faults = Vec::new();
    let mut rows = Vec::new();
    for (name, figure) in &figures {
        let limit = limit(name).with_context(|| format!("{BUDGETS} has no budget for {name}"))?;
        let goal = limit.goal.map_or_else(|| "-".to_owned(), |goal| goal.to_string());
        println!("{name:<26}{figure:>12}{:>12}{goal:>12}", limit.budget);
        if figure * 100 > limit.budget * (100 + TOLERANCE) {
            faults.push(format!("FAIL {name}: {figure}, budget {}", limit.budget));
        }
        rows.push(
            json!({"name": name, "value": figure, "budget": limit.budget, "goal": limit.goal}),
        );
    }
    faults.iter().for_each(|fault| println!("{fault}"));
    if let Some(file) = &bench.options.json {
        let text = serde_json::to_string_pretty(&rows)? + "\n";
        std::fs::write(file, text).with_context(|| format!("--json {}", file.display()))?;
    }
    Ok(faults.is_empty())
}

fn figures(bench: &Bench<'_>) -> Result<Vec<(&'static str, u64)>> {
    let counts = check::count(&bench.places)?;
    let mut figures = vec![
        ("kernel-lines-of-code", counts.kernel_code as u64),
        ("kernel-lines", counts.kernel_lines as u64),
        ("unsafe-words", counts.unsafe_words as u64),
        ("kernel-image-bytes", image_size(&kernel(bench)?)?),
    ];
    let boot = measure::Run::new(bench, "boot")?.boot()?;
    figures.extend(boot.into_iter().map(|row| match row.name.as_str() {
        "reset-to-exit" => ("boot-to-exit-instructions", row.median),
        _ => ("boot-to-first-domain", row.median),
    }));
    figures.push(("shell-memory-mib", shell_memory(bench)?));
    Ok(figures)
}

/// The kernel's file, built unless it was given.
fn kernel(bench: &Bench<'_>) -> Result<std::path::PathBuf> {
    const NAME: &str = "serix-kernel";
    if let Some(folder) = &bench.options.binaries {
        return Ok(folder.join(NAME));
    }
    let mut progress = Progress::new(1, false);
    progress.stage("kernel");
    ensure_rust(&[RustPart::GuestTarget], &bench.places.source, bench.policy(), &mut progress)?;
    Cargo::new(&bench.places).build_guest(&[NAME.to_owned()], false, &mut progress)?;
    Ok(bench.places.guest_binaries().join(NAME))
}

/// Bytes of code and of data that is never written, which the machine loads.
fn image_size(kernel: &Path) -> Result<u64> {
    let bytes = std::fs::read(kernel).with_context(|| format!("no {}", kernel.display()))?;
    let object = object::File::parse(&*bytes)?;
    let parts = object.sections().filter(|section| {
        let name = section.name().unwrap_or_default();
        [".text", ".rodata"].iter().any(|part| name.starts_with(part))
    });
    let size = parts.map(|section| section.size()).sum();
    ensure!(size > 0, "{} has no code", kernel.display());
    Ok(size)
}

/// The least memory with which the shell starts and runs a program.
fn shell_memory(bench: &Bench<'_>) -> Result<u64> {
    let mut least = None;
    for mib in MEMORY {
        super::announce(&format!("a shell in {mib} MiB"), None);
        if !starts(bench, mib)? {
            break;
        }
        least = Some(mib);
    }
    match least {
        Some(mib) => Ok(mib),
        None => bail!("the shell does not start in {} MiB", MEMORY[0]),
    }
}

fn starts(bench: &Bench<'_>, mib: u64) -> Result<bool> {
    let mut command = Command::new(std::env::current_exe()?);
    let this = command.get_program().to_owned();
    command.arg("launch").arg(std::process::id().to_string()).arg("--").arg(this);
    command.args(["run", "--accel", "tcg", "--timeout", "120", "--mem", &format!("{mib}M")]);
    if bench.options.no_install {
        command.arg("--no-install");
    }
    if let Some(binaries) = &bench.options.binaries {
        command.arg("--binaries").arg(binaries);
    }
    command.args(["--", "sh", "-c", "echo $((6 * 7)) | cat"]).stdin(Stdio::null());
    let output = command.stderr(Stdio::null()).output().context("cannot start xtask run")?;
    Ok(output.status.success() && output.stdout == b"42\n")
}

/// Lines `name goal budget`; `#` begins a comment.
fn parse(text: &str) -> Result<Vec<Limit>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [name, goal, budget] = words[..] else { bail!("{BUDGETS}: an odd line: {line}") };
            let odd = || format!("{BUDGETS}: an odd number: {line}");
            let goal = if goal == "-" { None } else { Some(goal.parse().with_context(odd)?) };
            Ok(Limit { name: name.to_owned(), goal, budget: budget.parse().with_context(odd)? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read() {
        let limits = parse("# what\n\na 5 7\nb - 1\n").unwrap();
        let limit = |name: &str, goal, budget| Limit { name: name.to_owned(), goal, budget };
        assert_eq!(limits, [limit("a", Some(5), 7), limit("b", None, 1)]);
        assert!(parse("a 5\n").is_err() && parse("a x 5\n").is_err());
    }
}
