//! Runs of the system that measure, and what they say.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::{Bench, Duration, Side};
use crate::machine::{Accelerator, RunFolder, session_text};
use crate::report::say;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) side: Side,
    pub(super) name: String,
    /// Ticks: instructions where the clock counts them.
    pub(super) min: u64,
    pub(super) median: u64,
    pub(super) p99: u64,
    pub(super) rounds: u64,
    /// Iterations of `rep` instructions among the median's, where they are many; else 0.
    pub(super) rep: u64,
}

impl Measured {
    /// From `name min median p99 rounds`, and perhaps the iterations of `rep`.
    fn parse(side: Side, text: &str) -> Result<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (name, min, median, p99, rounds, rep) = match words[..] {
            [name, min, median, p99, rounds] => (name, min, median, p99, rounds, "0"),
            [name, min, median, p99, rounds, rep] => (name, min, median, p99, rounds, rep),
            _ => bail!("an odd row: {text}"),
        };
        let number = |word: &str| word.parse().with_context(|| format!("an odd row: {text}"));
        Ok(Self {
            side,
            name: name.to_owned(),
            min: number(min)?,
            median: number(median)?,
            p99: number(p99)?,
            rounds: number(rounds)?,
            rep: number(rep)?,
        })
    }
}

/// What a program said, line by line.
#[derive(Debug)]
pub(super) struct Said {
    side: Side,
    pub(super) rows: Vec<Measured>,
    /// `SYSTEM` line.
    pub(super) system: String,
    is_exact: Option<bool>,
    failures: Vec<String>,
    is_done: bool,
}

impl Said {
    pub(super) fn new(side: Side) -> Self {
        let (rows, failures) = (Vec::new(), Vec::new());
        Self { side, rows, system: String::new(), is_exact: None, failures, is_done: false }
    }

    /// Takes in a line; others' lines are passed over.
    pub(super) fn hear(&mut self, line: &str) -> Result<()> {
        let line = line.trim();
        match line.split_once(' ') {
            Some(("BENCH", row)) => self.rows.push(Measured::parse(self.side, row)?),
            Some(("CLOCK", kind)) => self.is_exact = Some(kind == "instructions"),
            Some(("SYSTEM", name)) => name.clone_into(&mut self.system),
            Some(("FAIL", why)) => self.failures.push(why.to_owned()),
            Some(("DONE", _)) => self.is_done = true,
            _ => {}
        }
        Ok(())
    }

    /// The rows, if the program came to its end.
    pub(super) fn finish(self, what: &str, on: Accelerator) -> Result<Vec<Measured>> {
        self.failures.iter().for_each(|failure| say(&format!("bench: {what}: {failure}")));
        ensure!(self.failures.is_empty(), "{what}: {} rows failed", self.failures.len());
        ensure!(self.is_done, "{what}: ended early, after {} rows", self.rows.len());
        if self.is_exact == Some(false) && on == Accelerator::Counted {
            say(&format!("bench: warning: {what}: the clock does not count instructions"));
        }
        Ok(self.rows)
    }
}

/// A run of the system in preparation.
pub(super) struct Run<'a> {
    bench: &'a Bench<'a>,
    what: &'static str,
    folder: RunFolder,
    duration: Duration,
    accelerator: Accelerator,
}

impl<'a> Run<'a> {
    pub(super) fn new(bench: &'a Bench<'a>, what: &'static str) -> Result<Self> {
        let duration = Duration::start(&bench.places, what)?;
        let (folder, accelerator) = (RunFolder::create(&bench.places)?, Accelerator::Counted);
        Ok(Self { bench, what, folder, duration, accelerator })
    }

    /// By time on this, rather than by instructions.
    pub(super) fn by_time(self, accelerator: Accelerator) -> Self {
        Self { accelerator, ..self }
    }

    /// The rows of a program that is a session of its own and writes to the kernel log.
    pub(super) fn native(self, manifest: &Path) -> Result<Vec<Measured>> {
        let mut command = self.command();
        command.arg("--manifest").arg(manifest);
        let output = command.stdout(Stdio::null()).status().context("cannot start xtask run")?;
        let log = std::fs::read(self.log())?;
        let mut said = Said::new(Side::Native);
        for line in String::from_utf8_lossy(&log).lines() {
            // The kernel's own line stands among those of sessions.
            said.rows.extend(once(line, "first domain starts after ", "boot-to-first-domain"));
            session_text(line).map_or(Ok(()), |text| said.hear(text))?;
        }
        self.duration.record();
        ensure!(output.success(), "{}: the run ended with {output}", self.what);
        said.finish(self.what, self.accelerator)
    }

    /// From the machine's reset to its power-off with a program that does nothing, without the times that it waits
    /// for its disk: those depend on the host.
    pub(super) fn reset_to_exit(self) -> Result<Measured> {
        let status = self.command().args(["--", "true"]).stdout(Stdio::null()).status();
        let status = status.context("cannot start xtask run")?;
        let log = std::fs::read(self.log())?;
        self.duration.record();
        ensure!(status.success(), "{}: the run ended with {status}", self.what);
        let log = String::from_utf8_lossy(&log);
        let row = log.lines().find_map(|line| once(line, "power off after ", "reset-to-exit"));
        row.context("the kernel log does not tell how long the run was")
    }

    /// How long the boot of a run is: to the first domain, and to the power-off of a program that does nothing.
    pub(super) fn boot(self) -> Result<Vec<Measured>> {
        let status = self.command().args(["--", "true"]).stdout(Stdio::null()).status();
        let status = status.context("cannot start xtask run")?;
        let log = String::from_utf8_lossy(&std::fs::read(self.log())?).into_owned();
        self.duration.record();
        ensure!(status.success(), "{}: the run ended with {status}", self.what);
        let find = |mark: &str, name: &str| {
            let row = log.lines().find_map(|line| once(line, mark, name));
            row.with_context(|| format!("the kernel log does not tell `{mark}`"))
        };
        Ok(vec![
            find("first domain starts after ", "boot-to-first-domain")?,
            find("power off after ", "reset-to-exit")?,
        ])
    }

    /// The rows of the Linux program.
    pub(super) fn posix(self, program: &Path, filter: &str) -> Result<Vec<Measured>> {
        let mut command = self.command();
        let mut addition = program.as_os_str().to_owned();
        addition.push(":/bin/bench-posix");
        command.arg("--add").arg(addition).args(["--", "/bin/bench-posix"]);
        if !filter.is_empty() {
            command.arg(filter);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start xtask run")?;
        let output = child.stdout.take().context("a run without output")?;
        let mut said = Said::new(Side::Posix);
        for line in BufReader::new(output).lines() {
            said.hear(&line?)?;
        }
        let status = child.wait()?;
        self.duration.record();
        let rows = said.finish(self.what, self.accelerator)?;
        ensure!(status.success(), "{}: the run ended with {status}", self.what);
        Ok(rows)
    }

    fn log(&self) -> PathBuf {
        self.folder.file("kernel.log")
    }

    /// `xtask run`.
    fn command(&self) -> Command {
        let mut command = xtask_run(self.bench.options);
        command.args(["--timeout", "600", "--log"]).arg(self.log());
        command.args(match self.accelerator {
            Accelerator::Tcg => ["--accel", "tcg"].as_slice(),
            Accelerator::Kvm => &["--accel", "kvm"],
            _ => &["--icount"],
        });
        command
    }
}

/// `xtask run`, which ends with this process.
pub(super) fn xtask_run(options: &super::Options) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| "xtask".into()));
    let this = command.get_program().to_owned();
    command.arg("launch").arg(std::process::id().to_string()).arg("--").arg(this).arg("run");
    if options.no_install {
        command.arg("--no-install");
    }
    if let Some(binaries) = &options.binaries {
        command.arg("--binaries").arg(binaries);
    }
    command.stdin(Stdio::null());
    command
}

/// What the kernel tells once, behind `mark`.
fn once(line: &str, mark: &str, name: &str) -> Option<Measured> {
    let (_, rest) = line.split_once(mark)?;
    let ticks = rest.split(' ').next()?.parse().ok()?;
    let (side, name) = (Side::Native, name.to_owned());
    Some(Measured { side, name, min: ticks, median: ticks, p99: ticks, rounds: 1, rep: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_say_is_read() {
        let mut said = Said::new(Side::Posix);
        let rows = ["BENCH a 1 2 3 4\r", "BENCH b 1 2 3 4 512"];
        for line in ["CLOCK instructions", "[ 1.2] noise", rows[0], rows[1], "DONE 0 failed"] {
            said.hear(line).unwrap();
        }
        let rows = said.finish("x", Accelerator::Counted).unwrap();
        let (side, name) = (Side::Posix, "a".to_owned());
        let row = Measured { side, name, min: 1, median: 2, p99: 3, rounds: 4, rep: 0 };
        assert_eq!(rows, [row.clone(), Measured { name: "b".into(), rep: 512, ..row }]);
        assert!(Said::new(Side::Posix).hear("BENCH a 1 2 3").is_err());
        let mut cut = Said::new(Side::Posix);
        cut.hear("BENCH a 1 2 3 4").unwrap();
        assert!(cut.finish("x", Accelerator::Counted).is_err(), "no DONE");
    }
}
