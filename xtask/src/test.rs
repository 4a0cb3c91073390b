//! `cargo xtask test`: the host's suites, then the guest's, two machines at a time.

mod bench;
mod guest;
mod host;
mod miri;
mod pty;
mod screenshot;
mod tally;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use crate::build::{Cargo, guest_programs};
use crate::places::Places;
use crate::report::Progress;
use crate::run::UEFI_LOADER;
use crate::setup::{Policy, RustPart, Tool, ensure, ensure_rust, ensure_space, has_rust};
use tally::{Tally, Verdict};

/// Runs the tests
///
/// The last line is `N passed, N failed, N skipped`. Where CI is set, a skip counts as a failure:
/// what is missing there could have been installed.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Only the tests of crates, on the host
    #[arg(long, conflicts_with = "guest")]
    host: bool,
    /// Only the tests of the whole system, in QEMU
    #[arg(long)]
    guest: bool,
    /// The long runs of the file system instead: about two hours. The distribution's Linux, fetched
    /// once, judges too
    #[arg(long)]
    long: bool,
    /// Instead of the tests: four cores of everything at once, for so many minutes of the guest's clock,
    /// which a busy host slows down
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["host", "long", "filter"],
          value_parser = clap::value_parser!(u64).range(1..=1440))]
    soak: Option<u64>,
    /// Instead of the tests: so many random native calls on one core, and as many on four
    #[arg(long, value_name = "CALLS", conflicts_with_all = ["host", "long", "soak", "filter"],
          value_parser = clap::value_parser!(u64).range(1..))]
    fuzz: Option<u64>,
    /// Instead of the tests: those of the kernel's algorithms in Miri, which needs a nightly toolchain
    #[arg(long, conflicts_with_all = ["host", "guest", "long", "soak", "fuzz", "filter"])]
    miri: bool,
    /// Only tests whose name holds this
    filter: Option<String>,
    /// Name the guest tests and run none
    #[arg(long)]
    list: bool,
    /// Install nothing; say what is missing
    #[arg(long)]
    no_install: bool,
}

/// Runs what is asked for; true if nothing failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if options.list {
        guest::names().for_each(|name| println!("{name}"));
        return Ok(true);
    }
    let places = Places::find()?;
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    let mut tally = Tally::new(is_ci);
    if options.miri {
        host::miri(&places, !options.no_install, &mut tally)?;
        println!("{}", tally.summary());
        return Ok(tally.is_good());
    }
    prepare(options, is_ci, &places)?;
    if let Some(minutes) = options.soak {
        guest::soak(&places, &build_guest(&places)?, minutes, &mut tally)?;
        println!("{}", tally.summary());
        return Ok(tally.is_good());
    }
    if let Some(calls) = options.fuzz {
        guest::fuzz(&places, &build_guest(&places)?, calls, &mut tally)?;
        println!("{}", tally.summary());
        return Ok(tally.is_good());
    }
    let filter = options.filter.as_deref();
    let long = options.long.then(|| Long::new(&places, &mut tally));
    if !options.guest {
        host::run(&places, (filter, long.as_ref()), &mut tally)?;
    }
    if !options.host && guest::names().any(|name| guest::is_wanted(name, filter)) {
        let binaries = build_guest(&places)?;
        guest::run(&places, &binaries, (filter, long.as_ref()), &mut tally)?;
    }
    println!("{}", tally.summary());
    Ok(tally.is_good())
}

/// A long run.
#[derive(Clone)]
struct Long {
    /// A Linux that judges what was written, where one could be had.
    linux: Option<PathBuf>,
}

impl Long {
    /// A long run with the Linux of the distribution, or without one and with the reason among the skips.
    fn new(places: &Places, tally: &mut Tally) -> Self {
        let start = Instant::now();
        let linux = crate::linux::judge(places);
        if let Err(error) = &linux {
            tally.add("linux", &Verdict::Skipped(format!("{error:#}")), start.elapsed());
        }
        Self { linux: linux.ok() }
    }
}

/// What only the tests of UEFI need is installed for CI, where they may not be skipped.
fn prepare(options: &Options, is_ci: bool, places: &Places) -> Result<()> {
    let mut tools = vec![Tool::Qemu, Tool::E2fsprogs, Tool::Busybox, Tool::MuslGcc];
    let mut parts = vec![RustPart::GuestTarget, RustPart::LinuxTarget];
    if is_ci {
        tools.extend([Tool::Ovmf, Tool::Mtools]);
        parts.push(RustPart::UefiTarget);
    }
    let policy = if options.no_install { Policy::Refuse } else { Policy::Install };
    let mut progress = Progress::new(1, false);
    progress.stage("tools");
    ensure_space(&places.target)?;
    ensure(&tools, policy, &mut progress)?;
    ensure_rust(&parts, &places.source, policy, &mut progress)
}

/// Builds the guest's programs once for all tests.
fn build_guest(places: &Places) -> Result<std::path::PathBuf> {
    let cargo = Cargo::new(places);
    let programs = guest_programs(&cargo.packages()?);
    let packages: BTreeSet<_> = programs.values().map(|program| program.package.clone()).collect();
    let mut progress = Progress::new(1, false);
    progress.stage("guest programs");
    cargo.build_guest(&Vec::from_iter(packages), false, &mut progress)?;
    let from = places.guest_binaries();
    let to = places.serix_folder("test-binaries")?;
    if has_rust(RustPart::UefiTarget, &places.source) {
        cargo.build_uefi("serix-boot", false, &mut progress)?;
        replace(&places.uefi_binaries().join(UEFI_LOADER), &to.join(UEFI_LOADER))?;
    }
    for program in programs.values().filter(|program| from.join(&program.file).exists()) {
        replace(&from.join(&program.file), &to.join(&program.file))?;
    }
    Ok(to)
}

/// Tests that are running keep the files they started with.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let new = to.with_extension("new");
    std::fs::copy(from, &new)?;
    std::fs::rename(&new, to)?;
    Ok(())
}
