//! `--strace`: what it writes is what strace(1) writes of the same program on Linux.

use anyhow::{Context, Result, ensure};

use super::super::super::bench::{Bench, Ran};
use super::super::Test;
use super::programs::{add, compile_c};

pub(super) const TESTS: &[Test] = &[
    Test { name: "4-strace", seconds: 120, body: strace },
    Test { name: "4-strace-of-several", seconds: 60, body: several },
];

/// Of strace 6.1 on Linux 6.1, made comparable: calls from the first `access` to the last.
const EXPECTED: &str = include_str!("../programs/traced.txt");

fn strace(bench: Bench) -> Result<()> {
    let program = compile_c(&bench, "traced", include_str!("../programs/traced.c"))?;
    let ran = bench.run(&["--strace", "--add", &add(&program)?], &["/bin/traced", "/tmp"], b"")?;
    ran.expect("", 7)?;
    let lines: Vec<_> = ran.errors.lines().filter_map(comparable).collect();
    let is =
        |name: &str| lines.iter().position(|line| line.starts_with(&format!("access(\"{name}\"")));
    let (first, last) =
        is("begin").zip(is("end")).context("begin and end of the program's calls")?;
    for (line, expected) in lines[first..=last].iter().zip(EXPECTED.lines()) {
        ensure!(line == expected, "expected\n{expected}\nand found\n{line}");
    }
    ensure!(last - first + 1 == EXPECTED.lines().count(), "{} calls", last - first + 1);
    // What the libOS answers alone, and what takes the kernel.
    expect_line(&ran, |line| line.contains(" getpriority(") && line.ends_with("[trap]"))?;
    expect_line(&ran, |line| {
        line.contains(" nanosleep(") && line.contains("[trap+") && line.ends_with(", waited]")
    })
}

/// A line of a trace without what differs from run to run: who calls, addresses, and what Linux's own does not tell.
fn comparable(line: &str) -> Option<String> {
    let (who, call) = line.split_once(' ')?;
    who.parse::<u32>().ok()?;
    let call = call.rsplit_once(" [").map_or(call, |(call, _)| call);
    let mut text = String::new();
    let mut rest = call;
    while let Some((before, after)) = rest.split_once("0x") {
        let digits = after.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(after.len());
        text.push_str(before);
        let number = format!("0x{}", &after[..digits]);
        text.push_str(if digits < 6 { &number } else { "ADDRESS" });
        rest = &after[digits..];
    }
    Some(text + rest)
}

fn expect_line(ran: &Ran, is_it: impl Fn(&str) -> bool) -> Result<()> {
    ensure!(ran.errors.lines().any(is_it), "a line is missing\n{}", ran.errors);
    Ok(())
}

/// Calls that wait are told before they end, those of others in between; children, programs, signals and ends show.
fn several(bench: Bench) -> Result<()> {
    let script = "trap 'echo caught' USR1; kill -USR1 $$; cat /etc/hostname | grep -c e; exit 5";
    let ran = bench.run(&["--strace"], &["sh", "-c", script], b"")?;
    ran.expect("caught\n1\n", 5)?;
    for part in [
        " --- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=1, si_uid=0} ---",
        "wait4(-1,  <unfinished ...>",
        "<... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = ",
        "clone(CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, NULL, NULL, 0x",
        "execve(\"/proc/self/exe\", [\"cat\", \"/etc/hostname\"], 0x",
        "+++ exited with 0 +++",
        "1 exit_group(5) = ?",
        "1 +++ exited with 5 +++",
    ] {
        expect_line(&ran, |line| line.contains(part)).with_context(|| part.to_owned())?;
    }
    Ok(())
}
