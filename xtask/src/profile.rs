//! `cargo xtask profile`: where a run's instructions go, as a flame graph.

mod flame;
mod sampler;
mod symbols;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::image::Addition;
use crate::machine::RunFolder;
use crate::places::Places;
use crate::report::say;
use flame::Flames;
use sampler::Sampler;
use symbols::Symbols;

/// Fewest samples that say anything.
const SAMPLES_MIN: usize = 5;

/// Samples kernel, libOS and program of a run, and writes a flame graph
///
/// The program runs as with `run`, on QEMU's translator. Widths in the graph are shares of samples, which are taken at
/// equal intervals of time; boxes stand on their callers. The program's own functions show if it keeps frame pointers.
/// Exit status: 0 when the graph was written, whatever the program's own status, 125 otherwise.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Write the flame graph to this file
    #[arg(long, value_name = "FILE.svg", default_value = "profile.svg")]
    out: PathBuf,
    /// Name the program's functions by this ELF file's symbols (default: the file that --add brings as the program)
    #[arg(long, value_name = "ELF")]
    linux_symbols: Option<PathBuf>,
    /// Milliseconds of the host between samples
    #[arg(long, value_name = "MS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    interval: u64,
    /// End the run after so many samples
    #[arg(long, value_name = "N", default_value_t = 2000)]
    samples: usize,
    /// Bring a file or folder of the host into the root image (repeatable)
    #[arg(long, value_name = "HOST:GUEST")]
    add: Vec<Addition>,
    /// Install nothing; say what is missing
    #[arg(long)]
    no_install: bool,
    /// Build nothing; take the guest's programs from this folder
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Program of the guest and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM ARGS")]
    program: Vec<String>,
}

/// Runs, samples and writes; true if there is a graph.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let places = Places::find()?;
    let folder = RunFolder::create(&places)?;
    let socket = folder.file("monitor");
    let mut child = command(options, &socket)?.spawn().context("cannot start xtask run")?;
    let interval = Duration::from_millis(options.interval);
    let stacks = Sampler::connect(&socket, &mut child)
        .and_then(|mut sampler| sampler.collect(interval, options.samples, &mut child));
    // Samples may be complete before the program is; then nobody needs the rest of it.
    let _ = child.kill();
    child.wait()?;
    let stacks = stacks?;
    ensure!(
        stacks.len() >= SAMPLES_MIN,
        "{} samples are too few; a longer run or a smaller --interval gives more",
        stacks.len()
    );
    let symbols = symbols(options, &places)?;
    let mut flames = Flames::default();
    for stack in &stacks {
        flames.add(&symbols.name_stack(stack));
    }
    let title = format!("{} — {} samples", options.program.join(" "), stacks.len());
    std::fs::write(&options.out, flames.svg(&title))
        .with_context(|| format!("--out {}", options.out.display()))?;
    say(&format!("profile: {} samples in {}", stacks.len(), options.out.display()));
    for (name, share) in flames.top(10) {
        say(&format!("profile: {share:5.1} % {name}"));
    }
    Ok(true)
}

fn command(options: &Options, socket: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["run", "--accel", "tcg", "--monitor"]).arg(socket);
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
    command.arg("--").args(&options.program).stdin(Stdio::null());
    Ok(command)
}

/// Those of the kernel and the libOS that ran, and of the program if they can be found.
fn symbols(options: &Options, places: &Places) -> Result<Symbols> {
    let folder = options.binaries.clone().unwrap_or_else(|| places.guest_binaries());
    let added = |addition: &&Addition| {
        options.program.first().is_some_and(|program| addition.guest == Path::new(program))
    };
    let added = options.add.iter().find(added).map(|addition| addition.host.clone());
    let program = options.linux_symbols.clone().or(added);
    Symbols::read(
        &folder.join("serix-kernel"),
        &folder.join("serix-libos-posix"),
        program.as_deref(),
    )
}
