//! Row 1 and the command itself: streams, pipes, statuses, nothing that outlives it.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::super::super::bench::{Bench, wait};
use super::super::Test;

pub(super) const TESTS: &[Test] = &[
    Test { name: "1-pipeline", seconds: 60, body: pipeline },
    Test { name: "1-wc", seconds: 60, body: wc },
    Test { name: "1-streams", seconds: 60, body: streams },
    Test { name: "1-statuses", seconds: 60, body: statuses },
    Test { name: "1-kernel-panic", seconds: 60, body: kernel_panic },
    Test { name: "1-random-bytes", seconds: 300, body: random_bytes },
    Test { name: "1-broken-pipe", seconds: 60, body: broken_pipe },
    Test { name: "1-without-network", seconds: 60, body: without_network },
];

fn pipeline(bench: Bench) -> Result<()> {
    let script = "for i in 1 2 3; do echo $i; done | while read x; do echo got $x; done | sort -r | \
                  tee /tmp/o; wc -c < /tmp/o; exit 7";
    bench.script(&[], script)?.expect("got 3\ngot 2\ngot 1\n18\n", 7)
}

fn wc(bench: Bench) -> Result<()> {
    let ran = bench.run(&[], &["wc", "-l"], b"a\nb\n")?;
    ran.expect("2\n", 0)?;
    ensure!(ran.errors.is_empty(), "something on standard error\n{ran}");
    Ok(())
}

fn streams(bench: Bench) -> Result<()> {
    let ran = bench.script(&["--env", "A=b c"], "echo out; echo \"$A\" >&2; cat; echo $?")?;
    ran.expect("out\n0\n", 0)?;
    ensure!(ran.errors == "b c\n", "standard error is not the program's alone\n{ran}");
    bench.run(&[], &[], b"echo from a shell; exit 3\n")?.expect("from a shell\n", 3)
}

fn statuses(bench: Bench) -> Result<()> {
    bench.run(&[], &["false"], b"")?.expect("", 1)?;
    bench.script(&[], "kill -9 $$")?.expect("", 137)?;
    let ran = bench.run(&[], &["/no/such/program"], b"")?;
    ran.expect_status(127)?;
    ran.expect_error("xtask: not-found: ")?;
    let ran = bench.run(&[], &["/etc/passwd"], b"")?;
    ran.expect_status(126)?;
    ran.expect_error("xtask: not-executable: ")?;
    let ran = bench.run(&["--timeout", "5"], &["sleep", "1000"], b"")?;
    ran.expect_status(124)?;
    ran.expect_error("xtask: timeout: ")
}

/// Status 121, and a backtrace whose lines name functions as the sources do.
fn kernel_panic(bench: Bench) -> Result<()> {
    let ran = bench.run(&["--kernel-option", "panic"], &["true"], b"")?;
    ran.expect("", 121)?;
    ran.expect_error("xtask: panic: ")?;
    ran.expect_error("the command line asks for a panic")?;
    let backtrace = ran.log.lines().filter(|line| line.contains("serix_kernel::"));
    let is_mangled = |line: &str| line.contains("_ZN") || line.contains("_RNv");
    ensure!(backtrace.clone().count() > 0, "no names in the backtrace\n{ran}");
    ensure!(!backtrace.clone().any(is_mangled), "mangled names in the backtrace\n{ran}");
    Ok(())
}

fn random_bytes(bench: Bench) -> Result<()> {
    let mut bytes = vec![0; 32 << 20];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let ran = bench.run(&[], &["cat"], &bytes)?;
    ran.expect_status(0)?;
    ensure!(ran.output == bytes, "{} bytes came back, and not those sent", ran.output.len());
    Ok(())
}

/// `yes | head -1`.
fn broken_pipe(bench: Bench) -> Result<()> {
    let start = Instant::now();
    let mut child = bench.command(&[], &["yes"]).spawn()?;
    let mut stdout = child.stdout.take().context("no standard output")?;
    let mut line = [0; 2];
    stdout.read_exact(&mut line)?;
    drop(stdout);
    let ran = wait(child, Duration::from_secs(30))?;
    ran.expect_status(141)?;
    ensure!(&line == b"y\n", "the line is {line:?}");
    ensure!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    Ok(())
}

fn without_network(bench: Bench) -> Result<()> {
    let run = bench.command(&[], &["true"]);
    let mut command = std::process::Command::new("unshare");
    // Who is not root becomes it, in a namespace of users.
    if !rustix::process::geteuid().is_root() {
        command.arg("-r");
    }
    command.arg("-n").arg(run.get_program()).args(run.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = wait(command.spawn()?, Duration::from_secs(60))?;
    if ran.errors.starts_with("unshare:") {
        return Err(super::super::Skip(format!("no namespaces here: {}", ran.errors.trim())).into());
    }
    ran.expect("", 0)
}
