//! `cargo xtask gdb`: the machine, stopped before its first instruction, in gdb with all symbols.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::SIGINT;

use crate::image::Addition;
use crate::machine::RunFolder;
use crate::places::Places;
use crate::report::{Progress, say};
use crate::setup::{Policy, Tool, ensure as ensure_tools};
use crate::symbols::program_bias;

/// How long the machine may take to open its socket: builds come before.
const START: Duration = Duration::from_secs(900);
/// How long the run may take to end once gdb has.
const END: Duration = Duration::from_secs(5);

/// Starts a machine for gdb, with the symbols of kernel, libOS and program
///
/// The machine stands still before its first instruction, and gdb's own prompt is yours: `break call_info_map`,
/// `continue`, `backtrace`. What the guest writes comes between; its standard input is empty. Breakpoints are addresses: one in a
/// program stops whatever process runs there. Exit status: gdb's, 125 when there
/// is no machine.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Carry out gdb's commands in this file, then end (repeatable)
    #[arg(long, value_name = "FILE")]
    commands: Vec<PathBuf>,
    /// Name the program's functions by this ELF file's symbols (default: the file that --add brings as the program)
    #[arg(long, value_name = "ELF")]
    linux_symbols: Option<PathBuf>,
    /// Bring a file or folder of the host into the root image (repeatable)
    #[arg(long, value_name = "HOST:GUEST")]
    add: Vec<Addition>,
    /// Cores of the machine
    #[arg(long, value_name = "N", default_value_t = 1)]
    smp: u32,
    /// Start the sessions of this manifest instead of one that is made up
    #[arg(long, value_name = "FILE", conflicts_with = "program")]
    manifest: Option<PathBuf>,
    /// With --manifest: symbols of this program of the workspace instead of libos-posix
    #[arg(long, value_name = "NAME", default_value = "libos-posix")]
    libos: String,
    /// Install nothing; say what is missing
    #[arg(long)]
    no_install: bool,
    /// Build nothing; take the guest's programs from this folder
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Program of the guest and its arguments (default: a shell)
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    program: Vec<String>,
}

/// Runs gdb to its end; its success.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let policy = if options.no_install { Policy::Refuse } else { Policy::Install };
    ensure_tools(&[Tool::Gdb], policy, &mut Progress::new(1, false))?;
    for file in &options.commands {
        ensure!(file.exists(), "--commands: there is no {}", file.display());
    }
    let places = Places::find()?;
    let folder = RunFolder::create(&places)?;
    let socket = folder.file("gdb");
    let mut machine = command(options, &socket)?.spawn().context("cannot start xtask run")?;
    let outcome =
        wait_for(&socket, &mut machine).and_then(|()| debug(options, &places, &folder, &socket));
    finish(&mut machine)?;
    outcome
}

/// `xtask run` with the socket, in a process group of its own: Ctrl-C is gdb's.
fn command(options: &Options, socket: &Path) -> Result<Command> {
    let this = std::env::current_exe()?;
    let mut command = Command::new(&this);
    command.args(["launch", &std::process::id().to_string(), "--"]).arg(&this);
    command.args(["run", "--accel", "tcg", "--no-tty", "--smp", &options.smp.to_string()]);
    command.arg("--gdb").arg(socket);
    for addition in &options.add {
        let mut word = addition.host.as_os_str().to_owned();
        word.push(":");
        word.push(&addition.guest);
        command.arg("--add").arg(word);
    }
    if options.no_install {
        command.arg("--no-install");
    }
    if let Some(binaries) = &options.binaries {
        command.arg("--binaries").arg(binaries);
    }
    match &options.manifest {
        Some(manifest) => command.arg("--manifest").arg(manifest),
        None if options.program.is_empty() => &mut command,
        None => command.arg("--").args(&options.program),
    };
    command.stdin(Stdio::null()).process_group(0);
    Ok(command)
}

fn wait_for(socket: &Path, machine: &mut Child) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < START {
        if socket.exists() {
            return Ok(());
        }
        if let Some(status) = machine.try_wait()? {
            bail!("the run ended before its machine started ({status})");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("no machine after {} s", START.as_secs())
}

fn debug(options: &Options, places: &Places, folder: &RunFolder, socket: &Path) -> Result<bool> {
    let script = folder.file("start.gdb");
    std::fs::write(&script, start(options, places, socket)?)?;
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-quiet"]);
    if !options.commands.is_empty() {
        gdb.arg("-batch");
    }
    gdb.arg("-x").arg(&script);
    for file in &options.commands {
        gdb.arg("-x").arg(file);
    }
    // Ctrl-C is for the machine, through gdb: this process waits on.
    let _ignored = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    signal_hook::flag::register(SIGINT, std::sync::Arc::clone(&_ignored))?;
    let status = gdb.status().context("cannot start gdb")?;
    say(&format!("gdb: ended with {status}"));
    Ok(status.success())
}

/// gdb's first commands.
fn start(options: &Options, places: &Places, socket: &Path) -> Result<String> {
    let binaries = options.binaries.clone().unwrap_or_else(|| places.guest_binaries());
    let file = |name: &str| quoted(&binaries.join(name));
    let mut script = String::from(
        "set confirm off\nset pagination off\nset architecture i386:x86-64\nset print asm-demangle on\n",
    );
    // Writing to a string does not fail.
    let _ = writeln!(script, "file {}", file("serix-kernel")?);
    let libos = match options.libos.as_str() {
        "libos-posix" => "serix-libos-posix",
        other => other,
    };
    let _ = writeln!(script, "add-symbol-file {}", file(libos)?);
    if let Some(program) = program(options) {
        let bias = program_bias(&program)?;
        let _ = writeln!(script, "add-symbol-file {} -o {bias:#x}", quoted(&program)?);
    }
    let _ = writeln!(script, "target remote {}", quoted(socket)?);
    Ok(script)
}

/// The program's file on the host, if it is known.
fn program(options: &Options) -> Option<PathBuf> {
    let added = |addition: &&Addition| {
        options.program.first().is_some_and(|program| addition.guest == Path::new(program))
    };
    let added = options.add.iter().find(added).map(|addition| addition.host.clone());
    options.linux_symbols.clone().or(added)
}

/// A path as gdb's commands take it.
fn quoted(path: &Path) -> Result<String> {
    let path = std::path::absolute(path)?;
    let text = path.to_str().filter(|text| !text.contains(['\n', '"', '\\']));
    let text = text.with_context(|| format!("gdb cannot take the path {}", path.display()))?;
    Ok(if text.contains([' ', '\'']) { format!("\"{text}\"") } else { text.to_owned() })
}

/// Ends the run in order, as Ctrl-C would.
fn finish(machine: &mut Child) -> Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let start = Instant::now();
    if machine.try_wait()?.is_none()
        && let Some(pid) = Pid::from_raw(machine.id() as i32)
    {
        // It may have ended just now.
        let _ = kill_process(pid, Signal::TERM);
    }
    while start.elapsed() < END {
        if machine.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    machine.kill()?;
    machine.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_quoted_or_refused() {
        assert_eq!(quoted(Path::new("/a/b")).unwrap(), "/a/b");
        assert_eq!(quoted(Path::new("/a b")).unwrap(), "\"/a b\"");
        assert!(quoted(Path::new("/a\"b")).is_err());
    }
}
