//! `cargo xtask image`: a disk image that boots real machines.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::Cached;
use super::boot_disk::{self, STAGE_PARTITION};
use crate::machine::RunFolder;
use crate::places::{Places, create_folder};
use crate::report::{Progress, say};
use crate::run::{Boot, Screen, Surroundings, System, Wanted, manifest, programs, root_image};
use crate::setup::{Limine, Policy, RustPart, Tool, ensure, ensure_rust, ensure_space};

/// Tools, kernel, libOS, root image, image.
const STAGES: usize = 5;

/// Writes a disk image that boots by UEFI: loader, kernel, libOS and root file system
///
/// The image has a GUID partition table; copy it to a stick with dd, or start it in QEMU with OVMF. With
/// the genuine Limine (--limine) it boots from a BIOS too. The same inputs give the same bytes. Without
/// a program, a login shell.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Write the image to this file (default: target/serix/serix.img)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    system: System,
}

/// Writes the image.
///
/// # Errors
/// What is missing or cannot be written.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let system = &options.system;
    let mut progress = Progress::new(STAGES, system.verbose);
    let places = Places::find()?;
    progress.stage("tools");
    let limine = system.limine.as_deref().map(|folder| Limine::find(Some(folder))).transpose()?;
    tools(system, &places, &mut progress)?;
    let kind = std::env::var("TERM").ok();
    let (terminal, screen) = (system.program.is_empty(), Screen::IfThere);
    let surroundings = Surroundings { terminal, kind, screen, disks: &[] };
    let manifest = manifest(system, &surroundings, &places)?;
    let folder = RunFolder::create(&places)?;
    let words = system.kernel_words();
    let wanted = Wanted { words: &words, uefi: true };
    let boot = programs(system, &places, &manifest, &wanted, &folder.file("boot"), &mut progress)?;
    progress.stage("root image");
    let root = root_image(system, &places, &mut progress)?;
    progress.stage("disk image");
    let output = match &options.output {
        Some(output) => output.clone(),
        None => places.serix_folder(".")?.join("serix.img"),
    };
    if let Some(parent) = output.parent() {
        create_folder(parent)?;
    }
    write(&boot, &root, limine.as_ref(), &output)?;
    drop(progress);
    if let Some(limine) = limine.filter(|limine| limine.bios.is_some())
        && let Some(command) = limine.install_bios_stage(&output, STAGE_PARTITION)?
    {
        say(&format!("xtask: for a BIOS, run `{command}`: there is no program `limine` here"));
    }
    let size = output.metadata()?.len() >> 20;
    say(&format!("xtask: {} ({size} MiB)", output.display()));
    Ok(true)
}

/// Writes the image beside its place first: a half-written one is never found under the name.
fn write(boot: &Boot, root: &Cached, limine: Option<&Limine>, output: &Path) -> Result<()> {
    let mut new = output.to_owned().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    let written = boot_disk::write(boot, root, limine, &new);
    let placed = written.and_then(|()| {
        std::fs::rename(&new, output).with_context(|| format!("cannot write {}", output.display()))
    });
    if placed.is_err() {
        // What cannot be removed stays; the error says what went wrong.
        let _ = std::fs::remove_file(&new);
    }
    placed
}

fn tools(system: &System, places: &Places, progress: &mut Progress) -> Result<()> {
    let policy = if system.no_install { Policy::Refuse } else { Policy::Install };
    let mut wanted = vec![Tool::E2fsprogs];
    if system.rootfs.is_none() {
        wanted.push(Tool::Busybox);
    }
    ensure_space(&places.target)?;
    ensure(&wanted, policy, progress)?;
    if system.binaries.is_none() {
        let parts = [RustPart::GuestTarget, RustPart::UefiTarget];
        ensure_rust(&parts, &places.source, policy, progress)?;
    }
    Ok(())
}
