//! The ext4 file system, made by `mkfs.ext4 -d` from a staged copy.
//!
//! The staged files have the builder's owner and this moment's times; a script for `debugfs` gives
//! each inode its own, so that the bytes of the image do not depend on who builds it and when.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::tree::{EPOCH, Entry, Kind, Tree};
use super::{PARTITION_START, gpt};
use crate::places::create_folder;
use crate::setup::find_e2fsprogs;

const UUID: &str = "5e71f000-2026-4000-8000-000000000001";
const HASH_SEED: &str = "5e71f000-2026-4000-8000-000000000002";
/// What e2fsprogs 1.46 and 1.47 both know; newer features would depend on the host's version.
const FEATURES: &str = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,\
                        sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum,\
                        resize_inode";
/// Room that a new image has beyond its files.
const FREE: u64 = 256 << 20;
/// Journal, bitmaps and tables.
const OVERHEAD: u64 = 48 << 20;
const BLOCK: u64 = 4096;

/// Writes a disk image that holds `tree` to `image`; `scratch` is an empty folder for the work.
pub(super) fn build(tree: &Tree, image: &Path, scratch: &Path) -> Result<()> {
    let staged = scratch.join("root");
    stage(tree, &staged)?;
    let length = size(tree)?;
    gpt::create(image, length)?;
    let tools = find_e2fsprogs()?;
    let inodes = tree.entries().count() * 2 + 65_536;
    let extended =
        format!("hash_seed={HASH_SEED},offset={PARTITION_START},root_owner=0:0,lazy_itable_init=0");
    let mut mkfs = Command::new(&tools.mkfs);
    mkfs.args(["-q", "-F", "-b", &BLOCK.to_string(), "-U", UUID, "-E", &extended, "-m", "0"])
        .args(["-L", "root", "-O", FEATURES, "-N", &inodes.to_string(), "-I", "256", "-d"])
        .arg(&staged)
        .arg(image)
        .arg(format!("{}k", length >> 10));
    run(&mut mkfs, "mkfs.ext4")?;
    let script = scratch.join("script");
    std::fs::write(&script, attribute_script(tree))?;
    let mut place = OsString::from(image);
    place.push(format!("?offset={PARTITION_START}"));
    let mut debugfs = Command::new(&tools.debugfs);
    run(debugfs.args(["-w", "-f"]).arg(&script).arg(place), "debugfs")
}

/// Bytes of the partition.
fn size(tree: &Tree) -> Result<u64> {
    let mut total = FREE + OVERHEAD;
    for (_, entry) in tree.entries() {
        // Twice the inode's 256 bytes, and some of a folder's block.
        total += entry.length()?.div_ceil(BLOCK) * BLOCK + 1024;
    }
    Ok(total.div_ceil(1 << 20) << 20)
}

/// Copies the tree to a folder of the host.
fn stage(tree: &Tree, staged: &Path) -> Result<()> {
    create_folder(staged)?;
    for (path, entry) in tree.entries() {
        let to = below(staged, path);
        let staged = match &entry.kind {
            Kind::Folder => create_folder(&to),
            Kind::Text(text) => std::fs::write(&to, text).map_err(Into::into),
            Kind::Link(target) => std::os::unix::fs::symlink(target, &to).map_err(Into::into),
            Kind::HostFile(file) => copy_contents(file, &to),
        };
        staged.with_context(|| format!("cannot stage {}", path.display()))?;
    }
    Ok(())
}

fn copy_contents(from: &Path, to: &Path) -> Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    std::io::copy(&mut from, &mut to)?;
    to.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}

fn below(folder: &Path, absolute: &Path) -> PathBuf {
    folder.join(absolute.strip_prefix("/").unwrap_or(absolute))
}

/// Commands that set mode, owner and times of each inode.
fn attribute_script(tree: &Tree) -> Vec<u8> {
    let mut script = Vec::new();
    for (path, entry) in tree.entries() {
        for field in fields(entry) {
            script.extend_from_slice(b"sif \"");
            for &byte in path.as_os_str().as_encoded_bytes() {
                // Inside quotes, a quote is written twice.
                script.extend(std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 }));
            }
            script.extend_from_slice(b"\" ");
            script.extend_from_slice(field.as_bytes());
            script.push(b'\n');
        }
    }
    script.extend_from_slice(b"sif /lost+found mode 040700\n");
    for time in ["atime", "ctime", "mtime"] {
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(line, "sif /lost+found {time} @{EPOCH}");
        script.extend_from_slice(line.as_bytes());
    }
    script
}

fn fields(entry: &Entry) -> [String; 6] {
    let Entry { owner, modified, .. } = entry;
    [
        format!("mode 0{:o}", entry.inode_mode()),
        format!("uid {owner}"),
        format!("gid {owner}"),
        format!("mtime @{modified}"),
        format!("ctime @{modified}"),
        format!("atime @{modified}"),
    ]
}

fn run(command: &mut Command, name: &str) -> Result<()> {
    let command = command.env("E2FSPROGS_FAKE_TIME", EPOCH.to_string()).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    // Both say their version on standard error; debugfs says its errors there, with status 0.
    let said: Vec<_> = errors.lines().filter(|line| !is_version(line)).collect();
    ensure!(output.status.success() && said.is_empty(), "{name}: {}", said.join("; "));
    Ok(())
}

fn is_version(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with("debugfs 1.") || line.starts_with("mke2fs 1.")
}

/// Whether a file is an ext file system: its superblock says so.
pub(super) fn is_file_system(image: &Path) -> Result<bool> {
    let mut file = File::open(image).with_context(|| format!("cannot read {}", image.display()))?;
    let mut magic = [0; 2];
    file.seek(SeekFrom::Start(0x438))?;
    Ok(file.read_exact(&mut magic).is_ok() && magic == [0x53, 0xef])
}
