//! The boot disk: a GPT disk image that UEFI firmware boots, and with the genuine Limine also a BIOS.
//!
//! It holds an EFI system partition with the loader, `limine.conf`, the kernel and the boot modules; the root partition;
//! and room for Limine's BIOS stage before them. All identifiers come from a hash of what it holds.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::gpt::{self, Partition, SECTOR, Type};
use super::tree::hash_file;
use super::{Cached, PARTITION_START, ROOT_PARTITION, esp, sparse};
use crate::run::Boot;
use crate::setup::Limine;

/// Name of the EFI system partition.
const BOOT_PARTITION: &str = "serix-boot";
/// Number of the partition for Limine's BIOS stage.
pub(crate) const STAGE_PARTITION: usize = 3;
/// That partition: behind the table, before the first MiB's end.
const STAGE: Range<u64> = 64 * SECTOR..PARTITION_START;
/// Where firmware looks for a loader.
const LOADER_PATH: &str = "/EFI/BOOT/BOOTX64.EFI";
const CONFIGURATION: &str = "limine.conf";

/// Writes a boot disk with the files of `boot` and the root partition of `root` to `image`.
///
/// # Errors
/// A file cannot be read or the image not be written. Limine's BIOS stage is not written here.
pub(crate) fn write(
    boot: &Boot,
    root: &Cached,
    limine: Option<&Limine>,
    image: &Path,
) -> Result<()> {
    let files = files(boot, limine)?;
    let root_place = gpt::find(&root.image, ROOT_PARTITION)?;
    let content = hash(&files, &root.image)?;
    let guid = |what: &str| guid(&content, what);
    let volume = esp::volume(&files, u32::from_le_bytes([0, 1, 2, 3].map(|at| content[at])))?;
    let boot_place = PARTITION_START..PARTITION_START + volume.len() as u64;
    let root_start = boot_place.end.next_multiple_of(1 << 20);
    let root_length = root_place.end - root_place.start;
    let partition = |of, name, place| Partition { of, guid: guid(name), name, place };
    let partitions = [
        partition(Type::EFI_SYSTEM, BOOT_PARTITION, boot_place),
        partition(Type::LINUX_DATA, ROOT_PARTITION, root_start..root_start + root_length),
        partition(Type::BIOS_BOOT, "limine-stage", STAGE),
    ];
    gpt::create_with(image, guid("disk"), &partitions)?;
    write_data(image, PARTITION_START, &volume)?;
    sparse::copy_part(&root.image, root_place, image, root_start)
}

/// What the boot volume holds.
fn files(boot: &Boot, limine: Option<&Limine>) -> Result<Vec<esp::File>> {
    let read = |path: &Path, name: String| -> Result<esp::File> {
        let bytes = std::fs::read(path);
        Ok((name, bytes.with_context(|| format!("cannot read {}", path.display()))?))
    };
    let ours = boot.uefi_loader.as_deref();
    let loader = limine.and_then(|limine| limine.uefi.as_deref()).or(ours);
    let mut files = vec![read(loader.context("no loader for UEFI")?, LOADER_PATH.to_owned())?];
    if let Some(bios) = limine.and_then(|limine| limine.bios.as_deref()) {
        files.push(read(bios, "/limine/limine-bios.sys".to_owned())?);
    }
    for module in &boot.modules {
        let name = module.file_name().and_then(|name| name.to_str()).context("a module's name")?;
        let folder = if name == CONFIGURATION { "" } else { "/serix" };
        files.push(read(module, format!("{folder}/{name}"))?);
    }
    Ok(files)
}

fn hash(files: &[esp::File], root: &Path) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    for (path, bytes) in files {
        for part in [path.as_bytes(), bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    let root = hash_file(root).with_context(|| format!("cannot read {}", root.display()))?;
    hash.update(root);
    Ok(hash.finalize().into())
}

/// A GUID of version 8 (RFC 9562, 5.8), in the byte order of the disk.
fn guid(content: &[u8; 32], what: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(content);
    hash.update(what);
    let whole: [u8; 32] = hash.finalize().into();
    let mut guid: [u8; 16] = std::array::from_fn(|at| whole[at]);
    guid[7] = guid[7] & 0x0f | 0x80;
    guid[8] = guid[8] & 0x3f | 0x80;
    guid
}

/// Writes `bytes` at `offset`, leaving holes where they are zero.
fn write_data(image: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
    const BLOCK: usize = 4096;
    let file = File::options().write(true).open(image)?;
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().any(|&byte| byte != 0) {
            file.write_all_at(block, offset + (index * BLOCK) as u64)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_differ_and_have_their_version() {
        let all = ["disk", BOOT_PARTITION, ROOT_PARTITION].map(|what| guid(&[1; 32], what));
        assert!(all[0] != all[1] && all[1] != all[2]);
        assert_ne!(all[0], guid(&[2; 32], "disk"), "other contents, other disk");
        for guid in all {
            assert_eq!((guid[7] >> 4, guid[8] >> 6), (8, 2));
        }
    }
}
