//! `cargo xtask run`: a machine, a session in it, and the program's own standard streams.

mod boot;
mod crash;
mod manifest;
mod options;
mod terminal;
mod watch;

use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

pub(crate) use boot::{Boot, UEFI_LOADER, Wanted, programs};
pub(crate) use manifest::{Screen, Surroundings, read as manifest};
pub(crate) use options::{Options, System};
use serix_manifest::Manifest;
pub(crate) use terminal::lines;

use crate::image::{self, Cached, Kept, Source, boot_disk};
use crate::link::{Ends, Keys, Link};
use crate::machine::{
    Accelerator, Board, Display, Drive, Follower, Machine, Qemu, RunFolder, Start, write_header,
};
use crate::places::{Places, create_folder};
use crate::report::{Outcome, Progress, say};
use crate::setup::{
    Limine, Policy, RustPart, Tool, ensure, ensure_rust, ensure_space, find_busybox, find_firmware,
    qemu_version,
};
use options::BootBy;

/// Set-up, guest programs, libOS, root image, machine.
const STAGES: usize = 5;
/// Logs that are kept below the target folder.
const LOGS_KEPT: usize = 20;

/// Runs, says how it ended, and gives the exit status.
pub(crate) fn run(options: &Options) -> u8 {
    let outcome = attempt(options).unwrap_or_else(|error| Outcome::Setup(format!("{error:#}")));
    let line = outcome.line();
    if let Some(file) = &options.status_file
        && let Err(error) = std::fs::write(file, format!("{line}\n"))
    {
        say(&format!("xtask: cannot write {}: {error}", file.display()));
    }
    if outcome.is_announced() {
        say(&line);
    }
    outcome.status()
}

/// Everything that lives as long as the machine, in the order in which it is to end.
struct Parts {
    qemu: Qemu,
    link: Link,
    /// Ended before anything is said.
    _raw: Option<terminal::Raw>,
    follower: Option<Follower>,
    /// The first session's.
    libos: String,
    _root: Option<Root>,
    folder: RunFolder,
}

fn attempt(options: &Options) -> Result<Outcome> {
    let (notices, inbox) = channel();
    watch::signals(notices.clone())?;
    let mut progress = Progress::new(STAGES, options.system.verbose);
    let places = Places::find()?;
    let log = log_file(options, &places)?;
    let mut parts = prepare(options, &places, &log, &notices, &mut progress)?;
    drop(progress);
    // Set-up and builds do not count: they depend on what was there before.
    let limits = watch::Limits {
        start: Instant::now(),
        timeout: options.timeout.map(Duration::from_secs_f64),
    };
    let outcome = watch::watch(&mut parts.qemu, &mut parts.link, &inbox, &limits, &log);
    // The machine is at its end before its last words are copied and its folder goes.
    drop(parts.qemu);
    drop(parts.follower);
    drop(parts.folder);
    // A report that stays without names is still a report.
    match crash::name_addresses(&log, &parts.libos, &options.system, &places) {
        Ok(lines) => lines.iter().for_each(|line| say(line)),
        Err(error) => say(&format!("xtask: the log has no names of functions: {error:#}")),
    }
    outcome
}

fn prepare(
    options: &Options,
    places: &Places,
    log: &std::path::Path,
    notices: &std::sync::mpsc::Sender<crate::link::Notice>,
    progress: &mut Progress,
) -> Result<Parts> {
    progress.stage("tools");
    check_display(options.display)?;
    let wanted = terminal::is_wanted(options);
    let kind = std::env::var("TERM").ok().filter(|_| wanted);
    let screen = if options.display.is_some() { Screen::There } else { Screen::None };
    let surroundings = Surroundings { terminal: wanted, kind, screen, disks: &options.disk };
    ensure!(
        options.low_memory.is_none() || options.machine != Board::Microvm,
        "--low-memory: not on a microvm"
    );
    if options.boot.needs_image() {
        ensure!(options.machine != Board::Microvm, "--machine microvm goes with --boot loader");
        ensure!(
            !options.keep,
            "--keep goes with --boot loader: firmware boots an image of the run's own"
        );
    }
    options.disk_errors.iter().try_for_each(|file| ensure_exists("--disk-errors", file))?;
    let manifest = manifest(&options.system, &surroundings, places)?;
    let limine = options.boot.is_limine().then(|| Limine::find(options.system.limine.as_deref()));
    let limine = limine.transpose()?;
    let (qemu_path, version) = tools(options, places, progress)?;
    let folder = RunFolder::create(places)?;
    let disk_bus = options.disk_bus.unwrap_or(options.machine.disk_bus());
    let disks = options.disk.len() + usize::from(needs_root(options, &manifest));
    let mut words = Machine::words(options.machine, disk_bus, disks)?;
    words.extend(options.system.kernel_words());
    let parts = Wanted { words: &words, uefi: options.boot.needs_image() };
    let into = folder.file("boot");
    let boot = programs(&options.system, places, &manifest, &parts, &into, progress)?;
    progress.stage("root image");
    let root =
        if needs_root(options, &manifest) { Some(root(options, places, progress)?) } else { None };
    progress.stage("machine");
    let accelerator = if options.marked {
        Accelerator::Marked
    } else {
        Accelerator::choose(options.accel, options.icount, &qemu_path, &boot.loader)?
    };
    let mut drives = drives(options, root.as_ref());
    let start = start(options, boot, root.as_ref(), limine.as_ref(), &folder, &mut drives)?;
    let machine = Machine {
        board: options.machine,
        accelerator,
        memory: options.mem,
        low_memory: options.low_memory,
        cores: options.smp,
        start,
        log: log.to_owned(),
        link: folder.file("link"),
        drives,
        slow_disks: options.slow_disk,
        display: options.display,
        disk_bus,
        monitor: options.monitor.clone(),
        plugin: options.plugin.clone(),
        gdb: options.gdb.clone(),
    };
    let arguments = machine.arguments();
    write_header(log, places, &version, &qemu_path, &arguments)?;
    let follower = options.system.verbose.then(|| Follower::start(log)).transpose()?;
    progress.clear();
    let raw = if wanted { terminal::Raw::set()? } else { None };
    let terminal = wanted.then_some(Keys { have_chord: raw.is_some() });
    let link = Link::start(&machine.link, Ends::standard()?, terminal, notices)?;
    let qemu = Qemu::start(&qemu_path, &arguments, &folder)?;
    let libos = manifest.sessions.first().map(|one| one.libos.clone()).unwrap_or_default();
    Ok(Parts { qemu, link, _raw: raw, follower, libos, _root: root, folder })
}

/// How the machine comes to the kernel: by QEMU's own loader of kernels, or by firmware from a boot disk, which then is the
/// first of the drives.
fn start(
    options: &Options,
    boot: Boot,
    root: Option<&Root>,
    limine: Option<&Limine>,
    folder: &RunFolder,
    drives: &mut [Drive],
) -> Result<Start> {
    if !options.boot.needs_image() {
        return Ok(Start::Kernel { loader: boot.loader, modules: boot.modules });
    }
    let root = root.context("--boot: the manifest has no session with the first disk")?;
    let image = folder.file("boot.img");
    boot_disk::write(&boot, &root.image, limine, &image)?;
    let firmware = match (options.boot, limine) {
        (BootBy::LimineBios, Some(limine)) => {
            ensure!(
                limine.bios.is_some(),
                "--boot limine-bios: Limine's limine-bios.sys is missing"
            );
            let missing = limine.install_bios_stage(&image, boot_disk::STAGE_PARTITION)?;
            ensure!(
                missing.is_none(),
                "--boot limine-bios: there is no program `limine` in --limine or PATH"
            );
            None
        }
        (BootBy::Limine, Some(limine)) => {
            ensure!(limine.uefi.is_some(), "--boot limine: Limine's BOOTX64.EFI is missing");
            Some(find_firmware()?)
        }
        _ => Some(find_firmware()?),
    };
    drives[0] = Drive { image, throw_away: true, errors: options.disk_errors.clone() };
    Ok(Start::Firmware(firmware))
}

/// A window needs something to be on.
fn check_display(display: Option<Display>) -> Result<()> {
    let has = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ensure!(
        display != Some(Display::Window) || has("DISPLAY") || has("WAYLAND_DISPLAY"),
        "--display: there is nothing to open a window on (no DISPLAY, no WAYLAND_DISPLAY); \
         --display=vnc shows the screen at 127.0.0.1:5900"
    );
    Ok(())
}

fn tools(options: &Options, places: &Places, progress: &mut Progress) -> Result<(PathBuf, String)> {
    let system = &options.system;
    let policy = if system.no_install { Policy::Refuse } else { Policy::Install };
    let mut wanted = vec![Tool::Qemu, Tool::E2fsprogs];
    let mut parts = vec![RustPart::GuestTarget];
    if system.rootfs.is_none() {
        wanted.push(Tool::Busybox);
    }
    if options.boot.needs_image() {
        parts.push(RustPart::UefiTarget);
    }
    if matches!(options.boot, BootBy::Uefi | BootBy::Limine) {
        wanted.push(Tool::Ovmf);
    }
    ensure_space(&places.target)?;
    ensure(&wanted, policy, progress)?;
    if system.binaries.is_none() {
        ensure_rust(&parts, &places.source, policy, progress)?;
    }
    qemu_version()
}

/// The root disk: an image that stays as it is, and the copy of it that is written and kept.
struct Root {
    image: Cached,
    kept: Option<Kept>,
}

/// Whether some session uses the first disk. Without it further disks would have other names.
fn needs_root(options: &Options, manifest: &Manifest) -> bool {
    let mut disks = manifest.sessions.iter().flat_map(|session| &session.disks);
    options.keep
        || options.boot.needs_image()
        || !options.disk.is_empty()
        || disks.any(|disk| disk.device == "disk0")
}

fn root(options: &Options, places: &Places, progress: &mut Progress) -> Result<Root> {
    let image = root_image(&options.system, places, progress)?;
    let kept = options.keep.then(|| Kept::open(places, &image, options.fresh)).transpose()?;
    Ok(Root { image, kept })
}

/// The root image that the command line asks for.
pub(crate) fn root_image(
    system: &System,
    places: &Places,
    progress: &mut Progress,
) -> Result<Cached> {
    let source = match &system.rootfs {
        None => Source::Busybox(find_busybox()?),
        Some(path) if path.is_dir() => Source::Folder(path.clone()),
        Some(path) => Source::Image(path.clone()),
    };
    image::root_image(places, &source, &system.add, progress)
}

fn drives(options: &Options, root: Option<&Root>) -> Vec<Drive> {
    let drive =
        |image: &PathBuf, throw_away| Drive { image: image.clone(), throw_away, errors: None };
    let root = root.map(|root| match &root.kept {
        Some(kept) => drive(&kept.image, false),
        None => drive(&root.image.image, true),
    });
    let further = options.disk.iter().map(|disk| drive(disk, false));
    let mut all: Vec<_> = root.into_iter().chain(further).collect();
    if let Some(first) = all.first_mut() {
        first.errors.clone_from(&options.disk_errors);
    }
    all
}

/// The log's path, absolute: QEMU gets it.
fn log_file(options: &Options, places: &Places) -> Result<PathBuf> {
    if let Some(log) = &options.log {
        return std::path::absolute(log).context("--log");
    }
    let folder = places.serix_folder("logs")?;
    create_folder(&folder)?;
    prune_logs(&folder);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    Ok(folder.join(format!("{now}-{}.log", std::process::id())))
}

/// Removes the oldest logs; their names sort by time.
fn prune_logs(folder: &std::path::Path) {
    let Ok(entries) = folder.read_dir() else { return };
    let mut logs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    logs.sort();
    let spare = (logs.len() + 1).saturating_sub(LOGS_KEPT);
    for log in &logs[..spare] {
        // A log that cannot be removed costs room, nothing else.
        let _ = std::fs::remove_file(log);
    }
}

/// Refuses a path that is not there, with the option's name.
fn ensure_exists(option: &str, path: &std::path::Path) -> Result<()> {
    ensure!(path.exists(), "{option}: there is no {}", path.display());
    Ok(())
}
