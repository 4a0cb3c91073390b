//! The manifest of a run: given, or made up from the command line.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serix_manifest::{Access, Console, Device, DeviceUse, Disk, Manifest, Memory, Session};

use super::ensure_exists;
use super::options::System;
use crate::image::{ROOT_PARTITION, partition_names};
use crate::machine::commit;
use crate::places::Places;

/// Boot module of the libOS that runs Linux programs.
const LIBOS: &str = "libos-posix";
/// Option of a session whose link may lead to a terminal.
const TERMINAL: &str = "tty";
/// What a program finds in its environment unless `--env` says otherwise.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("PATH", "/bin:/sbin:/usr/bin:/usr/sbin"),
    ("HOME", "/root"),
    ("USER", "root"),
    ("SHELL", "/bin/sh"),
    ("TERM", "dumb"),
];

/// What of a manifest depends on the machine that it is for.
pub(crate) struct Surroundings<'a> {
    /// Whether the link may lead to a terminal.
    pub(crate) terminal: bool,
    /// The terminal's kind, where it is known.
    pub(crate) kind: Option<String>,
    /// Whether the session gets screen and keyboard.
    pub(crate) screen: Screen,
    /// Disks besides the first.
    pub(crate) disks: &'a [PathBuf],
}

/// Screen and keyboard of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    /// Not asked for.
    None,
    /// The machine has them.
    There,
    /// The machine is not known yet.
    IfThere,
}

/// The manifest that the machine starts with.
pub(crate) fn read(
    options: &System,
    surroundings: &Surroundings<'_>,
    places: &Places,
) -> Result<Manifest> {
    for path in options.rootfs.iter() {
        ensure_exists("--rootfs", path)?;
    }
    let mut manifest = match &options.manifest {
        None => made_up(options, surroundings, places)?,
        Some(file) => {
            let bytes = std::fs::read(file);
            let bytes =
                bytes.with_context(|| format!("--manifest: cannot read {}", file.display()))?;
            let parsed = serix_manifest::parse(&bytes);
            parsed.map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?
        }
    };
    if surroundings.terminal {
        let on_link = manifest.sessions.iter_mut().filter(|session| session.console.link);
        on_link.for_each(|session| session.options.push(TERMINAL.to_owned()));
    }
    // What the guest would refuse is better refused here.
    let text = manifest.to_string();
    match serix_manifest::parse(text.as_bytes()) {
        Ok(read) if read == manifest => Ok(manifest),
        Ok(_) => bail!("the command line does not fit a manifest"),
        Err(error) => bail!("the command line does not fit a manifest: {error}"),
    }
}

fn made_up(options: &System, surroundings: &Surroundings<'_>, places: &Places) -> Result<Manifest> {
    let mut session = Session::new("main", LIBOS, Memory::Rest);
    session.console = Console { link: true, log: true };
    session.disks = disks(surroundings.disks)?;
    if surroundings.screen != Screen::None {
        let optional = surroundings.screen == Screen::IfThere;
        session.devices = Device::ALL.map(|device| DeviceUse { device, optional }).to_vec();
    }
    session.program = program(options, surroundings);
    session.env = environment(options, surroundings);
    // What `uname` tells. It is a word of the manifest, so that a commit builds nothing anew.
    session.options.push(format!("commit={}", commit(places).replace(' ', "-")));
    if options.strace {
        session.options.push("strace".to_owned());
    }
    if options.no_patch {
        session.options.push("no-patch".to_owned());
    }
    session.options.extend(options.patch_after.map(|traps| format!("patch-after={traps}")));
    Ok(Manifest { sessions: vec![session] })
}

fn program(options: &System, surroundings: &Surroundings<'_>) -> Vec<Vec<u8>> {
    if !options.program.is_empty() {
        return options.program.iter().map(|word| word.as_bytes().to_vec()).collect();
    }
    let mut shell = vec![b"/bin/sh".to_vec()];
    if surroundings.terminal {
        // A login shell reads /etc/profile.
        shell.push(b"-l".to_vec());
    }
    shell
}

fn environment(options: &System, surroundings: &Surroundings<'_>) -> Vec<Vec<u8>> {
    let given: Vec<&[u8]> = options.env.iter().map(|variable| variable.as_bytes()).collect();
    let is_given = |name: &str| given.iter().any(|variable| key(variable) == name.as_bytes());
    let defaults = ENVIRONMENT.iter().filter(|(name, _)| !is_given(name));
    let value = |name: &str, value: &str| match (&surroundings.kind, name) {
        (Some(kind), "TERM") => format!("{name}={kind}"),
        _ => format!("{name}={value}"),
    };
    let mut all: Vec<_> =
        defaults.map(|(name, otherwise)| value(name, otherwise).into_bytes()).collect();
    for (at, variable) in given.iter().enumerate() {
        let is_last = !given[at + 1..].iter().any(|later| key(later) == key(variable));
        if is_last {
            all.push(variable.to_vec());
        }
    }
    all
}

fn key(variable: &[u8]) -> &[u8] {
    variable.split(|&byte| byte == b'=').next().unwrap_or_default()
}

/// The root partition of the first disk, and all partitions of the further ones.
fn disks(further: &[PathBuf]) -> Result<Vec<Disk>> {
    let disk = |name: String, device: usize, partition: &str| Disk {
        name,
        device: format!("disk{device}"),
        partition: partition.to_owned(),
        access: Access::ReadWrite,
    };
    let mut all = vec![disk("root".to_owned(), 0, ROOT_PARTITION)];
    for (index, image) in further.iter().enumerate() {
        ensure_exists("--disk", image)?;
        let names = partition_names(image)?;
        ensure!(!names.is_empty(), "--disk: {} has no partitions", image.display());
        for name in names {
            all.push(disk(format!("disk{}-{name}", index + 1), index + 1, &name));
        }
    }
    Ok(all)
}
