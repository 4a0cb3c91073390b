//! The manifest of a run: given, or made up from the command line.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail, ensure};
use serix_manifest::{Access, Console, Disk, Manifest, Memory, Session};

use super::{Options, ensure_exists};
use crate::image::{ROOT_PARTITION, partition_names};

/// Boot module of the libOS that runs Linux programs.
const LIBOS: &str = "libos-posix";
/// What a program finds in its environment unless `--env` says otherwise.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("PATH", "/bin:/sbin:/usr/bin:/usr/sbin"),
    ("HOME", "/root"),
    ("USER", "root"),
    ("SHELL", "/bin/sh"),
    ("TERM", "dumb"),
];

/// The manifest that the machine starts with.
pub(super) fn read(options: &Options) -> Result<Manifest> {
    for path in options.rootfs.iter() {
        ensure_exists("--rootfs", path)?;
    }
    let manifest = match &options.manifest {
        None => made_up(options)?,
        Some(file) => {
            let bytes = std::fs::read(file);
            let bytes =
                bytes.with_context(|| format!("--manifest: cannot read {}", file.display()))?;
            let parsed = serix_manifest::parse(&bytes);
            parsed.map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?
        }
    };
    // What the guest would refuse is better refused here.
    let text = manifest.to_string();
    match serix_manifest::parse(text.as_bytes()) {
        Ok(read) if read == manifest => Ok(manifest),
        Ok(_) => bail!("the command line does not fit a manifest"),
        Err(error) => bail!("the command line does not fit a manifest: {error}"),
    }
}

fn made_up(options: &Options) -> Result<Manifest> {
    let mut session = Session::new("main", LIBOS, Memory::Rest);
    session.console = Console { link: true, log: true };
    session.disks = disks(options)?;
    session.program = program(&options.program);
    session.env = environment(options);
    if options.strace {
        session.options.push("strace".to_owned());
    }
    Ok(Manifest { sessions: vec![session] })
}

fn program(words: &[OsString]) -> Vec<Vec<u8>> {
    if !words.is_empty() {
        return words.iter().map(|word| word.as_bytes().to_vec()).collect();
    }
    let mut shell = vec![b"/bin/sh".to_vec()];
    if std::io::stdin().is_terminal() {
        shell.push(b"-i".to_vec());
    }
    shell
}

fn environment(options: &Options) -> Vec<Vec<u8>> {
    let given: Vec<&[u8]> = options.env.iter().map(|variable| variable.as_bytes()).collect();
    let is_given = |name: &str| given.iter().any(|variable| key(variable) == name.as_bytes());
    let defaults = ENVIRONMENT.iter().filter(|(name, _)| !is_given(name));
    let mut all: Vec<_> =
        defaults.map(|(name, value)| format!("{name}={value}").into_bytes()).collect();
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
fn disks(options: &Options) -> Result<Vec<Disk>> {
    let disk = |name: String, device: usize, partition: &str| Disk {
        name,
        device: format!("disk{device}"),
        partition: partition.to_owned(),
        access: Access::ReadWrite,
    };
    let mut all = vec![disk("root".to_owned(), 0, ROOT_PARTITION)];
    for (index, image) in options.disk.iter().enumerate() {
        ensure_exists("--disk", image)?;
        let names = partition_names(image)?;
        ensure!(!names.is_empty(), "--disk: {} has no partitions", image.display());
        for name in names {
            all.push(disk(format!("disk{}-{name}", index + 1), index + 1, &name));
        }
    }
    Ok(all)
}
