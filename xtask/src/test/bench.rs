//! What a guest test works with: runs of the system, the same busybox on the host, a folder.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Long;
use crate::machine::session_text;
use crate::places::{Places, create_folder};
use crate::setup::{find_busybox, newer_qemu};

/// What a test may take in all; a run is ended by its own `--timeout` before.
const MARGIN: Duration = Duration::from_secs(30);
/// Most bytes of a stream that a failure shows.
const SHOWN: usize = 3000;

/// The surroundings of one test.
#[derive(Clone)]
pub(super) struct Bench {
    /// Options of every run in the guest.
    machine: &'static [&'static str],
    folder: PathBuf,
    binaries: PathBuf,
    xtask: PathBuf,
    source: PathBuf,
    limit: Duration,
    long: Option<Long>,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) output: Vec<u8>,
    pub(super) errors: String,
    pub(super) status: Option<i32>,
    /// The kernel log; empty for a command of the host.
    pub(super) log: String,
}

impl Bench {
    /// A bench with an empty folder, for a test that may take `limit`.
    pub(super) fn new(
        places: &Places,
        binaries: &Path,
        name: &str,
        limit: Duration,
    ) -> Result<Self> {
        let folder = places.serix_folder("tests")?.join(name);
        // What a killed test left is in the way.
        let _ = std::fs::remove_dir_all(&folder);
        create_folder(&folder)?;
        let xtask = this_program()?;
        let source = places.source.clone();
        let binaries = binaries.to_owned();
        Ok(Self { machine: &[], folder, binaries, xtask, source, limit, long: None })
    }

    /// All runs on another machine.
    pub(super) fn on(self, machine: &'static [&'static str]) -> Self {
        Self { machine, ..self }
    }

    /// For a long run, if that is asked for.
    pub(super) fn lengthened(self, long: Option<&Long>) -> Self {
        Self { long: long.cloned(), ..self }
    }

    /// Whether the test is to do all it can.
    pub(super) fn is_long(&self) -> bool {
        self.long.is_some()
    }

    /// In a long run, a folder of the kernel and the initial file system of a Linux that judges.
    pub(super) fn linux(&self) -> Option<&Path> {
        self.long.as_ref()?.linux.as_deref()
    }

    /// The path of a file of this test.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The path of a file of the checkout.
    pub(super) fn source(&self, path: &str) -> PathBuf {
        self.source.join(path)
    }

    /// From here on, runs keep their image in this test's own folder.
    pub(super) fn with_own_target(mut self) -> Result<Self> {
        let folder = self.file("target/debug");
        create_folder(&folder)?;
        let xtask = folder.join("xtask");
        // A copy could not be started while a child of another test still has it open for writing.
        if std::fs::hard_link(&self.xtask, &xtask).is_err() {
            std::fs::copy(&self.xtask, &xtask)?;
        }
        self.xtask = xtask;
        Ok(self)
    }

    /// `xtask COMMAND` with the programs of the tests, not started. It ends with this process.
    fn xtask(&self, command: &str) -> Command {
        let mut xtask = Command::new(&self.xtask);
        xtask
            .args(["launch", &std::process::id().to_string(), "--"])
            .arg(&self.xtask)
            .args([command, "--no-install", "--binaries"])
            .arg(&self.binaries)
            .env("CARGO_MANIFEST_DIR", self.source.join("xtask"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        xtask
    }

    /// `xtask run OPTIONS -- PROGRAM`, not started.
    pub(super) fn command(&self, options: &[&str], program: &[&str]) -> Command {
        let mut command = self.xtask("run");
        command.arg("--log").arg(self.file("kernel.log")).args(self.machine).args(options);
        if !options.contains(&"--timeout") {
            command.args(["--timeout", &self.limit.as_secs().to_string()]);
        }
        if !program.is_empty() {
            command.arg("--").args(program);
        }
        command
    }

    /// Whether the loader for UEFI firmware was built for the tests.
    pub(super) fn has_uefi_loader(&self) -> bool {
        self.binaries.join(crate::run::UEFI_LOADER).exists()
    }

    /// `xtask image`: a disk image at `output`.
    pub(super) fn image(&self, output: &Path, options: &[&str], program: &[&str]) -> Result<Ran> {
        let mut command = self.xtask("image");
        command.arg("--output").arg(output).args(options).arg("--").args(program);
        self.finish(command, b"")
    }

    /// `xtask bench`: all path lengths against their budgets, and those against the parent commit's if it is at hand.
    pub(super) fn measure(&self) -> Result<Ran> {
        let mut command = self.xtask("bench");
        let mut git = Command::new("git");
        git.arg("-C").arg(&self.source).args(["rev-parse", "--verify", "--quiet", "HEAD^"]);
        // A checkout without history, or none of git at all, has no parent to compare with.
        if git.output().is_ok_and(|parent| parent.status.success()) {
            command.args(["--since", "HEAD^"]);
        }
        self.finish(command, b"")
    }

    /// `xtask profile`: a flame graph.
    pub(super) fn profile(&self, options: &[&str]) -> Result<Ran> {
        let mut command = self.xtask("profile");
        command.args(options);
        self.finish(command, b"")
    }

    /// `xtask gdb`: real gdb, with commands from a file.
    pub(super) fn gdb(&self, options: &[&str]) -> Result<Ran> {
        let mut command = self.xtask("gdb");
        command.args(options);
        self.finish(command, b"")
    }

    /// Runs a program in the guest.
    pub(super) fn run(&self, options: &[&str], program: &[&str], input: &[u8]) -> Result<Ran> {
        let mut ran = self.finish(self.command(options, program), input)?;
        ran.log = self.log();
        Ok(ran)
    }

    /// Runs the system on QEMU 9 or newer; why there is none, if so.
    pub(super) fn run_on_newer_qemu(&self, options: &[&str]) -> Result<Result<Ran, String>> {
        // Beside the folder of all tests.
        let folder = self.folder.ancestors().nth(2).context("a folder of its own")?;
        let bin = match newer_qemu(&folder.join("newer-qemu")) {
            Ok(bin) => bin,
            Err(reason) => return Ok(Err(format!("{reason:#}"))),
        };
        let mut command = self.command(options, &[]);
        let known = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(bin).chain(std::env::split_paths(&known));
        command.env("PATH", std::env::join_paths(path)?);
        let mut ran = self.finish(command, b"")?;
        ran.log = self.log();
        Ok(Ok(ran))
    }

    /// Runs a shell script in the guest.
    pub(super) fn script(&self, options: &[&str], script: &str) -> Result<Ran> {
        self.run(options, &["sh", "-c", script], b"")
    }

    /// The kernel log of the last run.
    pub(super) fn log(&self) -> String {
        let bytes = std::fs::read(self.file("kernel.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Runs a shell script with the same busybox on the host, its applets alone in PATH.
    pub(super) fn host_script(&self, script: &str, environment: &[(&str, &OsStr)]) -> Result<Ran> {
        let busybox = find_busybox()?;
        let bin = self.file("host-bin");
        create_folder(&bin)?;
        let mut install = Command::new(&busybox);
        install.args(["--install", "-s"]).arg(&bin).stdin(Stdio::null());
        // It says which links are there already.
        install.stderr(Stdio::null()).status()?;
        let mut command = Command::new(bin.join("sh"));
        command.args(["-c", script]).env("PATH", &bin).envs(environment.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.finish(command, b"")
    }

    /// Runs a command of the host.
    pub(super) fn host(&self, program: impl AsRef<OsStr>, arguments: &[&OsStr]) -> Result<Ran> {
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.finish(command, b"")
    }

    /// Sends a signal to a process, by the shell: a small machine has no program for it.
    pub(super) fn send(&self, signal: &str, process: u32) -> Result<()> {
        let script = format!("kill -s {signal} {process}");
        self.host("sh", &["-c".as_ref(), OsStr::new(&script)])?.expect("", 0)
    }

    fn finish(&self, mut command: Command, input: &[u8]) -> Result<Ran> {
        let mut child = command.stdin(Stdio::piped()).spawn().context("cannot start a command")?;
        let (stdin, input) = (child.stdin.take(), input.to_vec());
        // A program that reads no input closes it.
        std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        wait(child, self.limit + MARGIN)
    }
}

/// Waits for the end and takes all output.
pub(super) fn wait(mut child: Child, limit: Duration) -> Result<Ran> {
    let output = child.stdout.take().map(collect);
    let errors = child.stderr.take().map(collect);
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("no end after {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let all = |reader: Option<std::thread::JoinHandle<Vec<u8>>>| {
        reader.map(|reader| reader.join().unwrap_or_default()).unwrap_or_default()
    };
    let errors = String::from_utf8_lossy(&all(errors)).into_owned();
    Ok(Ran { output: all(output), errors, status: status.code(), log: String::new() })
}

fn collect(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is shown, and does not match.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

impl Ran {
    /// Standard output as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// What sessions wrote to the kernel log, line by line.
    pub(super) fn said(&self) -> impl Iterator<Item = &str> + Clone {
        self.log.lines().filter_map(session_text)
    }

    /// Requires this standard output and status.
    pub(super) fn expect(&self, output: &str, status: i32) -> Result<()> {
        let is_same = self.output == output.as_bytes() && self.status == Some(status);
        ensure!(is_same, "expected status {status} and\n{}\n{self}", shortened(output));
        Ok(())
    }

    /// Requires this status.
    pub(super) fn expect_status(&self, status: i32) -> Result<()> {
        ensure!(self.status == Some(status), "expected status {status}\n{self}");
        Ok(())
    }

    /// Requires this text on standard error.
    pub(super) fn expect_error(&self, text: &str) -> Result<()> {
        ensure!(self.errors.contains(text), "expected `{text}` on standard error\n{self}");
        Ok(())
    }

    /// Requires the same output and status.
    pub(super) fn expect_same(&self, other: &Self) -> Result<()> {
        let is_same = self.output == other.output && self.status == other.status;
        ensure!(is_same, "guest:\n{self}\nhost:\n{other}");
        Ok(())
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "status: {:?}", self.status)?;
        writeln!(f, "output: {}", shortened(&self.text()))?;
        write!(f, "errors: {}", shortened(&self.errors))?;
        if !self.log.is_empty() {
            write!(f, "\nlog: {}", last(&self.log))?;
        }
        Ok(())
    }
}

fn shortened(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() { format!("{short}… ({} bytes)", text.len()) } else { short }
}

fn last(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// The QEMU that `xtask run` started; it starts shorter-lived programs too.
pub(super) fn qemu_of(run: u32) -> Result<u32> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        let children = std::fs::read_to_string(format!("/proc/{run}/task/{run}/children"))?;
        let mut children = children.split_ascii_whitespace();
        if let Some(qemu) = children.find(|child| is_qemu(child)) {
            return qemu.parse().context("an odd process id");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("process {run} started no QEMU")
}

fn is_qemu(process: &str) -> bool {
    // One that has just ended is none.
    let command = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    command.split(|&byte| byte == 0).any(|word| word == b"isa-debug-exit,iobase=0xf4,iosize=0x04")
        && !command.split(|&byte| byte == 0).any(|word| word == b"launch")
}

/// This program's file. The host's tests may have linked it anew meanwhile: then the system says that the old
/// one is deleted, and the new one in its place will do.
fn this_program() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let known = program.to_string_lossy().strip_suffix(" (deleted)").map(PathBuf::from);
    Ok(known.unwrap_or(program))
}
