//! Row 5: copy on write, interrupts, and an idle machine that is idle.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::super::super::bench::{Bench, qemu_of, wait};
use super::super::Test;
use super::programs::{add, compile_c};

pub(super) const TESTS: &[Test] = &[
    Test { name: "5-fork-copies-on-write", seconds: 120, body: fork_copies },
    Test { name: "5-interrupts-and-halts", seconds: 60, body: interrupts },
    Test { name: "5-idle", seconds: 60, body: idle },
];

/// Frames that a fork may copy, page tables and the few pages that both sides write included.
const MOST_FRAMES: u64 = 100;

/// A process of 24 MiB forks three times in 64 MiB. The kernel counts the pages that it maps, and a page
/// that is copied is mapped anew; the frames that are gone while the child lives bound it once more.
fn fork_copies(bench: Bench) -> Result<()> {
    let program = compile_c(&bench, "dirty", include_str!("../programs/dirty.c"))?;
    let ran = bench.run(&["--mem", "64M", "--add", &add(&program)?], &["/bin/dirty"], b"")?;
    ran.expect_status(0)?;
    let text = ran.text();
    let forks: Vec<_> = text.lines().filter_map(figures).collect();
    let is_good = |fork: &[u64; 3]| fork.iter().all(|count| (1..=MOST_FRAMES).contains(count));
    ensure!(forks.len() == 3 && forks.iter().all(is_good), "{ran}");
    Ok(())
}

/// The numbers in `taken 30 mapped 12 faults 9`.
fn figures(line: &str) -> Option<[u64; 3]> {
    let words: Vec<_> = line.split(' ').collect();
    let ["taken", taken, "mapped", mapped, "faults", faults] = words[..] else { return None };
    Some([taken.parse().ok()?, mapped.parse().ok()?, faults.parse().ok()?])
}

/// The kernel's own counters, which it writes to the log at the end.
fn interrupts(bench: Bench) -> Result<()> {
    let ran = bench.script(&[], "md5sum /bin/busybox > /dev/null; sleep 1")?;
    ran.expect("", 0)?;
    let counters = ran.log.lines().find(|line| line.contains("kernel: counters: "));
    let counters = counters.with_context(|| format!("no counters in the log\n{ran}"))?;
    for name in ["device interrupts", "halts", "block"] {
        let before = counters.split(name).next().unwrap_or_default().trim_end();
        let number = before.rsplit(' ').find_map(|word| word.parse::<u64>().ok());
        ensure!(number.is_some_and(|number| number > 0), "no {name}: {counters}");
    }
    Ok(())
}

fn idle(bench: Bench) -> Result<()> {
    let child = bench.command(&[], &["sleep", "14"]).spawn()?;
    let qemu = qemu_of(child.id())?;
    std::thread::sleep(Duration::from_secs(3));
    let before = processor_time(qemu)?;
    std::thread::sleep(Duration::from_secs(10));
    let used = processor_time(qemu)? - before;
    let ran = wait(child, Duration::from_secs(60))?;
    ran.expect("", 0)?;
    ensure!(used < 0.2, "QEMU used {used} s of processor time in 10 s at idle");
    Ok(())
}

/// Seconds that a process has computed.
fn processor_time(process: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold blanks.
    let Some((_, rest)) = text.rsplit_once(')') else { bail!("odd text in /proc: {text}") };
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let ticks = ticks(11).zip(ticks(12)).context("odd text in /proc")?;
    // USER_HZ is 100 wherever Linux runs on x86-64.
    Ok((ticks.0 + ticks.1) / 100.0)
}
