//! Row 6: hostile sessions and programs get nothing, and everyone else lives on. The programs that
//! use the native ABI are those of exokernel/tests; `init` walks the ledger behind each.

use anyhow::{Context, Result, ensure};

use super::super::super::bench::{Bench, Ran};
use super::super::Test;
use super::programs::{add, compile_c};
use crate::machine::session_text;

pub(super) const TESTS: &[Test] = &[
    Test { name: "6-native-calls", seconds: 120, body: |bench| native(&bench, "calls", 60) },
    Test { name: "6-each-argument", seconds: 120, body: |bench| native(&bench, "matrix", 15) },
    Test { name: "6-escapes", seconds: 120, body: |bench| native(&bench, "escapes", 13) },
    Test { name: "6-gates", seconds: 120, body: |bench| native(&bench, "gates", 17) },
    Test { name: "6-revocation", seconds: 120, body: |bench| native(&bench, "revocation", 10) },
    Test { name: "6-bounded-work", seconds: 300, body: bounded_work },
    Test { name: "6-forged-lines", seconds: 60, body: forged_lines },
    Test { name: "6-devices", seconds: 120, body: devices },
    Test { name: "6-rings", seconds: 120, body: |bench| native(&bench, "rings", 16) },
    Test { name: "6-scheduler", seconds: 300, body: scheduler },
    Test {
        name: "6-slow-disk",
        seconds: 240,
        body: |bench| native_on(&bench, &["--slow-disk"], "slow", 4),
    },
    Test { name: "6-restart", seconds: 300, body: restart },
    Test { name: "6-forged-tokens", seconds: 300, body: |bench| native(&bench, "forgery", 15) },
    Test { name: "6-random-native-calls", seconds: 300, body: |bench| fuzz(&bench, 1, Length::CI) },
    Test {
        name: "6-random-native-calls-on-four-cores",
        seconds: 300,
        body: |bench| fuzz(&bench, 4, Length::CI),
    },
    Test { name: "6-hostile-session", seconds: 300, body: |bench| native(&bench, "hostile", 15) },
    Test { name: "6-upcalls", seconds: 120, body: |bench| native(&bench, "upcalls", 21) },
    Test { name: "6-vector-registers", seconds: 120, body: |bench| native(&bench, "vectors", 8) },
    Test { name: "6-random-linux-calls", seconds: 600, body: random_linux_calls },
];

/// Runs a manifest of exokernel/tests: no complaint, no violation, and at least so many passes.
fn native(bench: &Bench, name: &str, passes: usize) -> Result<()> {
    native_on(bench, &[], name, passes)
}

/// As [`native`], on a machine with these options.
fn native_on(bench: &Bench, options: &[&str], name: &str, passes: usize) -> Result<()> {
    let manifest = bench.source(&format!("exokernel/tests/manifests/{name}.manifest"));
    let manifest = manifest.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&[options, &["--manifest", manifest]].concat(), &[], b"")?;
    ran.expect("", 0)?;
    ensure!(lines(&ran, "FAIL ") == 0 && lines(&ran, "PASS ") >= passes, "{ran}\n{}", ran.log);
    expect_whole_ledger(&ran)
}

/// How long random calls are made.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Length {
    pub(in super::super) calls: u64,
    /// Of the guest's clock.
    pub(in super::super) seconds: u64,
}

impl Length {
    /// Time decides.
    const CI: Self = Self { calls: u64::MAX >> 8, seconds: 30 };
}

/// Random native calls on so many cores, with a player for each; the ledger is walked after each 10,000.
pub(in super::super) fn fuzz(bench: &Bench, cores: u32, length: Length) -> Result<()> {
    let text = std::fs::read_to_string(bench.source("exokernel/tests/manifests/fuzz.manifest"))?;
    let text = text.replace("libos = fuzz\n", "libos = fuzz\ncores = all\n");
    let Length { calls, seconds } = length;
    let options =
        format!("option = players={cores}\noption = calls={calls}\noption = seconds={seconds}\n");
    let manifest = bench.file("manifest");
    std::fs::write(&manifest, text + &options)?;
    let manifest = manifest.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&["--smp", &cores.to_string(), "--manifest", manifest], &[], b"")?;
    let is_told =
        |line: &&str| ["SEED ", "calls: ", "WRONG "].iter().any(|start| line.starts_with(start));
    ran.said().filter(is_told).for_each(|line| println!("        {line}"));
    ran.expect("", 0)?;
    ensure!(lines(&ran, "FAIL ") == 0 && lines(&ran, "PASS ") >= 2, "{ran}\n{}", ran.log);
    expect_whole_ledger(&ran)
}

/// Device frames, lines and ports; and a machine without what the manifest names says so.
fn devices(bench: Bench) -> Result<()> {
    native_on(&bench, &["--display=hidden"], "devices", 31)?;
    let manifest = bench.source("exokernel/tests/manifests/devices.manifest");
    let manifest = manifest.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&["--manifest", manifest], &[], b"")?;
    ran.expect_status(125)?;
    ensure!(ran.log.contains("this machine has no framebuffer"), "{ran}\n{}", ran.log);
    Ok(())
}

/// Whatever a session writes: its lines bear its mark, and the trusted ones are all there.
fn forged_lines(bench: Bench) -> Result<()> {
    let manifest = bench.source("exokernel/tests/manifests/calls.manifest");
    let text = std::fs::read_to_string(manifest)? + "option = only=forged_lines\n";
    let manifest = bench.file("manifest");
    std::fs::write(&manifest, text)?;
    let ran =
        bench.run(&["--manifest", manifest.to_str().context("a path in UTF-8")?], &[], b"")?;
    ran.expect("", 0)?;
    let forged = |line: &&str| line.contains("forged");
    // The paths in the log's header have the test's name.
    let lines_of_the_run = ran.log.lines().skip_while(|line| !line.starts_with("kernel: Serix "));
    for line in lines_of_the_run.filter(forged) {
        ensure!(session_text(line).is_some(), "a line without a mark: {line:?}\n{}", ran.log);
    }
    let said: Vec<&str> = ran.said().filter(forged).collect();
    let starts = ["kernel: ", "?kernel: ", "init: ", "7| ", "?[2K?init: ", "kernel: PANIC: "];
    for start in starts {
        ensure!(said.iter().any(|line| line.starts_with(start)), "no {start:?} in {said:?}");
    }
    let told = |line: &str| line.starts_with("kernel: fault 14 that no upcall took");
    ensure!(ran.log.lines().any(told), "the kernel's line is part of another\n{}", ran.log);
    let is_clean = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
    let sessions = ran.log.lines().filter(|line| session_text(line).is_some());
    ensure!(sessions.flat_map(str::as_bytes).all(is_clean), "a control character\n{}", ran.log);
    ensure!(lines(&ran, "PASS basics: forged_lines") == 1, "{ran}\n{}", ran.log);
    expect_whole_ledger(&ran)
}

/// A gibibyte is mapped, unmapped, given and taken back: by instruction count, no slice begins late.
fn bounded_work(bench: Bench) -> Result<()> {
    let manifest = bench.source("exokernel/tests/manifests/bounded.manifest");
    let manifest = manifest.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&["--icount", "--mem", "1536M", "--manifest", manifest], &[], b"")?;
    ran.expect("", 0)?;
    ensure!(lines(&ran, "PASS gibibyte: ") == 1 && lines(&ran, "FAIL ") == 0, "{ran}\n{}", ran.log);
    expect_whole_ledger(&ran)
}

/// Environments run by a scheduler in ring 3: shares as the weights say, and a lock whose holder inherits slices, by instruction
/// count.
fn scheduler(bench: Bench) -> Result<()> {
    let manifest = bench.source("exokernel/tests/manifests/scheduler.manifest");
    let manifest = manifest.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&["--icount", "--manifest", manifest], &[], b"")?;
    ran.expect("", 0)?;
    let is_told = |line: &&str| line.starts_with("SHARES slices ") || line.starts_with("WAIT ");
    ran.said().filter(is_told).for_each(|line| println!("        {line}"));
    ensure!(
        lines(&ran, "PASS scheduler: ") == 4 && lines(&ran, "FAIL ") == 0,
        "{ran}\n{}",
        ran.log
    );
    expect_whole_ledger(&ran)
}

/// A session that fails on purpose is started again with all that it had; the other does not notice.
fn restart(bench: Bench) -> Result<()> {
    let manifest = bench.source("exokernel/tests/manifests/restart.manifest");
    let ran =
        bench.run(&["--manifest", manifest.to_str().context("a path in UTF-8")?], &[], b"")?;
    ran.expect("", 0)?;
    let starts =
        ran.log.lines().filter(|line| line.starts_with("init: session failing: started ")).count();
    let failures = lines(&ran, "FAIL ");
    ensure!(starts >= 3, "{starts} starts\n{ran}");
    ensure!(failures == lines(&ran, "FAIL option fail: "), "failures that nobody asked for\n{ran}");
    let violations = ran.log.lines().filter(|line| line.contains("ledger check: "));
    let whole = violations.clone().filter(|line| line.ends_with("ledger check: 0 violations"));
    ensure!(whole.count() == violations.count(), "the ledger was not found whole\n{ran}");
    expect_whole_ledger(&ran)
}

fn lines(ran: &Ran, start: &str) -> usize {
    ran.said().filter(|line| line.starts_with(start)).count()
}

fn expect_whole_ledger(ran: &Ran) -> Result<()> {
    let is_whole = lines(ran, "PASS ledger: no violations") > 0
        || ran.log.lines().any(|line| line == "init: ledger check: 0 violations");
    ensure!(is_whole, "the ledger was not found whole\n{ran}");
    Ok(())
}

fn random_linux_calls(bench: Bench) -> Result<()> {
    let program = compile_c(&bench, "random-calls", include_str!("../programs/random_calls.c"))?;
    let manifest = bench.file("manifest");
    // The machine ends with the shell, which outlives the other session's five seconds.
    let text = "[session main]\nlibos = libos-posix\nmemory = rest\nconsole = link log\noption = audit\n\
                disk root = disk0:serix-root rw\nenv = \"PATH=/bin\"\n\
                program = \"sh\" \"-c\" \"random-calls || echo status $?; echo the shell lives; sleep 6\"\n\
                [session victim]\nlibos = victim\nmemory = 8M\nconsole = log\noption = seconds=5\n";
    std::fs::write(&manifest, text)?;
    let manifest = manifest.to_str().context("a path in UTF-8")?;
    let ran = bench.run(&["--manifest", manifest, "--add", &add(&program)?], &[], b"")?;
    ran.expect_status(0)?;
    let text = ran.text();
    ensure!(text.contains("done 100000\nthe shell lives\n"), "{ran}");
    println!("        6-random-linux-calls: {}", text.lines().next().unwrap_or_default());
    ensure!(lines(&ran, "FAIL ") == 0 && lines(&ran, "PASS ") > 0, "the other session: {ran}");
    expect_whole_ledger(&ran)
}
