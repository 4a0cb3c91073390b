//! `cargo xtask bench`: path lengths against budgets, goals, Linux and seL4.

mod budgets;
mod disk;
mod footprint;
mod linux;
mod measure;
mod plot;
mod report;
mod wall;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::build::Cargo;
use crate::machine::Accelerator;
use crate::places::Places;
use crate::report::{Progress, say};
use crate::setup::{Policy, RustPart, Tool, ensure as ensure_tools, ensure_rust};
use budgets::{Budgets, Side};
use measure::Measured;

/// The file of budgets, in the checkout.
const BUDGETS: &str = "user-apps/bench/budgets.txt";
/// Hundredths by which a path may exceed its budget before it fails.
const TOLERANCE: u64 = 2;
/// The same, where a disk is in the path.
const DISK_TOLERANCE: u64 = 5;

/// Measures path lengths in instructions, and compares them with their budgets
///
/// QEMU counts guest instructions exactly, so the figures are the same on every machine. Native rows are
/// the kernel's primitives, POSIX rows are one static Linux program on libos-posix; --linux runs the same
/// program on Linux, in the same machine. Exit status: 0 within the budgets, 1 when a path is more than
/// 2 % (with a disk in it 5 %) over its budget or a row failed, 125 when it could not be measured.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Run the POSIX rows on the distribution's Linux too, and fill its column
    #[arg(long)]
    linux: bool,
    /// With --linux or --wall: this kernel instead of Debian's cloud kernel
    #[arg(long, value_name = "VMLINUZ")]
    linux_kernel: Option<PathBuf>,
    /// Instead of the tables: file operations on ext4, on a disk. Instructions of one run; with --linux
    /// beside Linux, with the ratio of times as the median of --runs runs on both in turn
    #[arg(long, conflicts_with_all = ["filter", "side", "json", "update", "since"])]
    disk: bool,
    /// With --disk and --linux: runs for the times
    #[arg(long, value_name = "N", default_value_t = 3, requires = "disk")]
    runs: u32,
    /// Only rows whose names hold this
    #[arg(long, value_name = "WORD")]
    filter: Option<String>,
    /// Only one of the two tables
    #[arg(long, value_enum)]
    side: Option<Side>,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the tables to this file: bars on a logarithmic scale, goals marked
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Measure time instead: the Linux calls on Serix and on Linux in turn, five times
    #[arg(long, conflicts_with_all = ["linux", "json", "plot", "update", "side", "footprint"])]
    wall: bool,
    /// Measure sizes instead: the kernel's lines and image, unsafe code, boot, memory for a shell
    #[arg(long, conflicts_with_all = ["linux", "plot", "update", "filter", "side"])]
    footprint: bool,
    /// Make what was measured the budgets
    #[arg(long)]
    update: bool,
    /// Name the budgets that grew since this commit
    #[arg(long, value_name = "COMMIT")]
    since: Option<String>,
    /// Install nothing; say what is missing
    #[arg(long)]
    no_install: bool,
    /// Build nothing for the guest; take its programs, and bench-posix, from this folder
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

/// Measures and prints; true if all is within its budget.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let places = Places::find()?;
    if options.disk {
        report::header(&places)?;
        let bench = Bench { options, places };
        let kernel = options.linux.then(|| bench.kernel()).transpose()?;
        let runs = if options.linux { options.runs } else { 0 };
        disk::run(&bench, kernel.as_deref(), runs)?;
        return Ok(true);
    }
    let file = places.source.join(BUDGETS);
    let mut budgets = Budgets::read(&file)?;
    if let Some(commit) = &options.since {
        budgets.growth_since(&places, commit)?;
    }
    report::header(&places)?;
    let bench = Bench { options, places };
    if options.footprint {
        return footprint::run(&bench);
    }
    if options.wall {
        return wall::run(&bench).map(|()| true);
    }
    let mut measured = Vec::new();
    if options.side != Some(Side::Posix) {
        measured.extend(bench.native()?);
    }
    if options.side != Some(Side::Native) {
        measured.extend(bench.posix()?);
    }
    if let Some(version) = bench.linux(&mut budgets)? {
        println!("Linux column: {version}, measured now");
    }
    ensure!(!measured.is_empty(), "no row has `{}` in its name", bench.filter());
    report::tables(&budgets, &measured);
    if options.update {
        budgets.update(&measured);
        budgets.write(&file)?;
        println!("wrote {BUDGETS}");
    }
    let is_whole = options.filter.is_none() && options.side.is_none();
    let mut faults = budgets.faults(&measured, is_whole);
    let reason = "its budget is above its goal; write the reason behind a semicolon";
    faults.extend(budgets.unexplained().iter().map(|name| format!("{name}: {reason}")));
    for fault in &faults {
        println!("FAIL {fault}");
    }
    if let Some(json) = &options.json {
        let text = report::json(&budgets, &measured)?;
        std::fs::write(json, text).with_context(|| format!("--json {}", json.display()))?;
    }
    if let Some(file) = &options.plot {
        let chart = plot::svg(&budgets, &measured, &report::caption(&bench.places)?);
        std::fs::write(file, chart).with_context(|| format!("--plot {}", file.display()))?;
    }
    Ok(faults.is_empty())
}

/// What all parts of one call share.
struct Bench<'a> {
    options: &'a Options,
    places: Places,
}

impl Bench<'_> {
    fn filter(&self) -> &str {
        self.options.filter.as_deref().unwrap_or_default()
    }

    fn policy(&self) -> Policy {
        if self.options.no_install { Policy::Refuse } else { Policy::Install }
    }

    fn native(&self) -> Result<Vec<Measured>> {
        let manifest = self.places.source.join("exokernel/tests/manifests/paths.manifest");
        let run = measure::Run::new(self, "native kernel paths")?;
        let mut rows = run.native(&manifest)?;
        rows.push(measure::Run::new(self, "a whole run")?.reset_to_exit()?);
        rows.retain(|row| row.name.contains(self.filter()));
        Ok(rows)
    }

    fn posix(&self) -> Result<Vec<Measured>> {
        let program = self.program()?;
        measure::Run::new(self, "Linux calls on Serix")?.posix(&program, self.filter())
    }

    /// The Linux to compare with.
    fn kernel(&self) -> Result<PathBuf> {
        match &self.options.linux_kernel {
            Some(kernel) => Ok(kernel.clone()),
            None => crate::linux::kernel(&self.places)
                .context("--linux; give a kernel with --linux-kernel"),
        }
    }

    /// Fills the Linux column; the kernel's version.
    fn linux(&self, budgets: &mut Budgets) -> Result<Option<String>> {
        if !self.options.linux {
            return Ok(None);
        }
        let (kernel, program) = (self.kernel()?, self.program()?);
        let (version, rows) = linux::measure(self, &kernel, &program, Accelerator::Counted)?;
        rows.iter().for_each(|row| budgets.set_linux(row));
        Ok(Some(version))
    }

    /// The loader, to try an accelerator with.
    fn loader(&self) -> Result<PathBuf> {
        let folder = self.options.binaries.clone().unwrap_or_else(|| self.places.guest_binaries());
        Ok(folder.join("serix-boot"))
    }

    /// The Linux program, built unless it was given.
    fn program(&self) -> Result<PathBuf> {
        const NAME: &str = "bench-posix";
        let given = self.options.binaries.as_ref().map(|folder| folder.join(NAME));
        if let Some(given) = given.filter(|given| given.exists()) {
            return Ok(given);
        }
        let mut progress = Progress::new(1, false);
        progress.stage("bench-posix");
        let parts = [RustPart::GuestTarget, RustPart::LinuxTarget];
        ensure_rust(&parts, &self.places.source, self.policy(), &mut progress)?;
        ensure_tools(&[Tool::Qemu], self.policy(), &mut progress)?;
        Cargo::new(&self.places).build_static(
            "serix-bench",
            &["--features", "posix"],
            &mut progress,
        )?;
        Ok(self.places.target.join(RustPart::LINUX_TARGET).join("guest").join(NAME))
    }
}

/// A line for people while something runs.
fn announce(what: &str, seconds: Option<u64>) {
    let about = seconds.map(|seconds| format!(", about {seconds} s")).unwrap_or_default();
    say(&format!("bench: {what}{about} …"));
}

/// How long something took the last time, from a file of its own; `record` keeps it for the next.
struct Duration {
    file: PathBuf,
    start: std::time::Instant,
}

impl Duration {
    fn start(places: &Places, what: &str) -> Result<Self> {
        let file =
            places.serix_folder("bench")?.join(format!("{}.seconds", what.replace(' ', "-")));
        announce(what, last(&file));
        Ok(Self { file, start: std::time::Instant::now() })
    }

    fn record(&self) {
        // Without it the next announcement has no time, and nothing else changes.
        let _ = std::fs::write(&self.file, self.start.elapsed().as_secs().to_string());
    }
}

fn last(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
