//! What the loader gets: the kernel and the boot modules, under the names that `limine.conf` gives
//! them, in the run's folder, where no later build changes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serix_manifest::Manifest;

use super::options::System;
use crate::build::{Cargo, Lock, Program, guest_programs, program_name};
use crate::places::{Places, create_folder};
use crate::report::Progress;

/// Programs that every machine needs, as `(program, name for the loader)`.
const LOADER: &str = "boot";
/// File that cargo makes of the loader for UEFI firmware.
pub(crate) const UEFI_LOADER: &str = "serix-boot.efi";
const KERNEL: (&str, &str) = ("kernel", "kernel.elf");
const INIT: &str = "init";
const MANIFEST: &str = "manifest";
const CONFIGURATION: &str = "limine.conf";

/// Limine moves the kernel and its direct map about unless told not to; the kernel is linked for one place.
const FIXED_PLACES: &str = "    kaslr: no\n    randomise_hhdm_base: no\n";

/// The files for QEMU, or for an image.
pub(crate) struct Boot {
    pub(crate) loader: PathBuf,
    /// First the loader's configuration, then what it names.
    pub(crate) modules: Vec<PathBuf>,
    /// The loader for UEFI firmware, if that was asked for.
    pub(crate) uefi_loader: Option<PathBuf>,
}

/// What of the programs and their configuration depends on the machine.
pub(crate) struct Wanted<'a> {
    /// Words for the kernel.
    pub(crate) words: &'a [String],
    /// Whether the UEFI loader is needed too.
    pub(crate) uefi: bool,
}

/// Builds the programs and puts them, the manifest and the configuration into the folder `into`.
pub(crate) fn programs(
    options: &System,
    places: &Places,
    manifest: &Manifest,
    wanted: &Wanted<'_>,
    into: &Path,
    progress: &mut Progress,
) -> Result<Boot> {
    create_folder(into)?;
    let base = [LOADER, KERNEL.0, INIT];
    let libraries: BTreeSet<_> = manifest.sessions.iter().map(|one| one.libos.as_str()).collect();
    let known = known_programs(options, places)?;
    if let Some(libos) = libraries.iter().find(|libos| !known.contains_key(**libos)) {
        bail!("the manifest names a libOS `{libos}`, and there is no such program");
    }
    let from = options.binaries.clone().unwrap_or_else(|| places.guest_binaries());
    let take = |program: &str, name: &str| {
        let known = known.get(program).with_context(|| format!("there is no program {program}"))?;
        take(&from.join(&known.file), &into.join(name))
    };
    // Between build and copy, no other run may build.
    let _turn = Lock::wait(&places.serix_folder(".")?.join("build.lock"))?;
    progress.stage("kernel");
    build(options, places, &base, &known, progress)?;
    progress.stage("libOS");
    build(options, places, &Vec::from_iter(libraries.iter().copied()), &known, progress)?;
    let uefi_loader =
        wanted.uefi.then(|| uefi_loader(options, places, into, progress)).transpose()?;
    take(LOADER, "serix-boot")?;
    take(KERNEL.0, KERNEL.1)?;
    let mut modules = vec![INIT];
    modules.extend(&libraries);
    for module in &modules {
        take(module, module)?;
    }
    std::fs::write(into.join(MANIFEST), manifest.to_string())?;
    modules.push(MANIFEST);
    std::fs::write(into.join(CONFIGURATION), configuration(&modules, wanted.words))?;
    let names = [CONFIGURATION, KERNEL.1].into_iter().chain(modules);
    let modules = names.map(|name| into.join(name)).collect();
    Ok(Boot { loader: into.join("serix-boot"), modules, uefi_loader })
}

/// Builds the loader for UEFI firmware and puts it into `into`.
fn uefi_loader(
    options: &System,
    places: &Places,
    into: &Path,
    progress: &mut Progress,
) -> Result<PathBuf> {
    let from = match &options.binaries {
        Some(folder) => folder.join(UEFI_LOADER),
        None => {
            Cargo::new(places).build_uefi("serix-boot", options.verbose, progress)?;
            places.uefi_binaries().join(UEFI_LOADER)
        }
    };
    let to = into.join("BOOTX64.EFI");
    take(&from, &to)?;
    Ok(to)
}

/// The guest programs there are, by name, with their packages.
fn known_programs(options: &System, places: &Places) -> Result<BTreeMap<String, Program>> {
    let Some(folder) = &options.binaries else {
        return Ok(guest_programs(&Cargo::new(places).packages()?));
    };
    let entries = folder.read_dir();
    let entries = entries.with_context(|| format!("--binaries: no {}", folder.display()))?;
    let files = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let program = |file: String| (program_name(&file), Program { package: String::new(), file });
    Ok(files.map(program).collect())
}

fn build(
    options: &System,
    places: &Places,
    programs: &[&str],
    known: &BTreeMap<String, Program>,
    progress: &mut Progress,
) -> Result<()> {
    if options.binaries.is_some() {
        return Ok(());
    }
    let package = |program: &&str| {
        let known = known.get(*program).map(|known| known.package.clone());
        known.with_context(|| format!("the workspace has no program {program}"))
    };
    let packages = programs.iter().map(package).collect::<Result<BTreeSet<_>>>()?;
    let packages: Vec<_> = packages.into_iter().collect();
    Cargo::new(places).build_guest(&packages, options.verbose, progress)
}

fn take(from: &Path, to: &Path) -> Result<()> {
    // Cargo replaces its products and does not write into them, so a second name is as good as a copy.
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to).with_context(|| format!("no {}", from.display()))?;
    }
    Ok(())
}

/// An entry like that of the repository's `limine.conf`, with these modules and words for the kernel.
fn configuration(modules: &[&str], words: &[String]) -> String {
    let mut text = format!(
        "timeout: 0\n\n/Serix\n    protocol: limine\n    path: boot():/serix/{}\n{FIXED_PLACES}",
        KERNEL.1
    );
    // Writing to a string does not fail.
    if !words.is_empty() {
        let _ = writeln!(text, "    cmdline: {}", words.join(" "));
    }
    for module in modules {
        let _ = writeln!(text, "    module_path: boot():/serix/{module}");
    }
    text
}
