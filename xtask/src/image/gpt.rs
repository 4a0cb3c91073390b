//! GUID partition tables: written, and partitions of all read.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{PARTITION_START, ROOT_PARTITION};

pub(super) const SECTOR: u64 = 512;
const ENTRY_COUNT: u32 = 128;
const ENTRY_SIZE: u32 = 128;
/// Sectors of the table of entries.
const TABLE_SECTORS: u64 = (ENTRY_COUNT * ENTRY_SIZE) as u64 / SECTOR;
const SIGNATURE: &[u8; 8] = b"EFI PART";
const DISK_GUID: [u8; 16] = *b"serix d\x40isk root";
const PARTITION_GUID: [u8; 16] = *b"serix p\x40art root";

/// What a partition is for, as its type's GUID in the byte order of the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type([u8; 16]);

impl Type {
    /// Linux file system data.
    pub(super) const LINUX_DATA: Self = Self([
        0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d,
        0xe4,
    ]);
    /// What UEFI firmware boots from.
    pub(super) const EFI_SYSTEM: Self = Self([
        0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9,
        0x3b,
    ]);
    /// Code that a loader started by a BIOS reads first.
    pub(super) const BIOS_BOOT: Self = Self(*b"Hah!IdontNeedEFI");
}

/// A partition of a table that is written.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    pub(super) of: Type,
    pub(super) guid: [u8; 16],
    pub(super) name: &'static str,
    /// Bytes, whole sectors.
    pub(super) place: Range<u64>,
}

/// Writes a disk image with one partition of `length` bytes, all holes.
pub(super) fn create(image: &Path, length: u64) -> Result<()> {
    let root = Partition {
        of: Type::LINUX_DATA,
        guid: PARTITION_GUID,
        name: ROOT_PARTITION,
        place: PARTITION_START..PARTITION_START + length.div_ceil(SECTOR) * SECTOR,
    };
    create_with(image, DISK_GUID, &[root])
}

/// Writes a disk image with these partitions, all holes.
pub(super) fn create_with(image: &Path, guid: [u8; 16], partitions: &[Partition]) -> Result<()> {
    let file = File::create(image).with_context(|| format!("cannot write {}", image.display()))?;
    let end = partitions.iter().map(|partition| partition.place.end).max().unwrap_or(0);
    // A MiB behind the partitions holds the second table.
    let sectors = (end + (1 << 20)) / SECTOR;
    file.set_len(sectors * SECTOR)?;
    let table = entries(partitions);
    file.write_all_at(&protective_record(sectors), 0)?;
    let (primary, backup) = (1, sectors - 1);
    let headers = [(primary, backup, 2), (backup, primary, backup - TABLE_SECTORS)];
    for (this, other, table_at) in headers {
        let header = header((this, other), table_at, sectors, guid, &table);
        file.write_all_at(&header, this * SECTOR)?;
        file.write_all_at(&table, table_at * SECTOR)?;
    }
    Ok(())
}

/// The record that tells older tools to keep off.
fn protective_record(sectors: u64) -> [u8; 512] {
    let mut record = [0; 512];
    let size = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    record[446..462].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0]);
    record[458..462].copy_from_slice(&size.to_le_bytes());
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    record
}

fn entries(partitions: &[Partition]) -> Vec<u8> {
    let mut table = vec![0; (ENTRY_COUNT * ENTRY_SIZE) as usize];
    for (partition, entry) in partitions.iter().zip(table.chunks_exact_mut(ENTRY_SIZE as usize)) {
        let (first, last) = (partition.place.start / SECTOR, partition.place.end / SECTOR - 1);
        entry[..16].copy_from_slice(&partition.of.0);
        entry[16..32].copy_from_slice(&partition.guid);
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        for (unit, to) in partition.name.encode_utf16().zip(entry[56..128].chunks_exact_mut(2)) {
            to.copy_from_slice(&unit.to_le_bytes());
        }
    }
    table
}

fn header(
    (this, other): (u64, u64),
    table_at: u64,
    sectors: u64,
    guid: [u8; 16],
    table: &[u8],
) -> [u8; 512] {
    let mut sector = [0; 512];
    let first_usable = 2 + TABLE_SECTORS;
    let last_usable = sectors - 2 - TABLE_SECTORS;
    sector[..8].copy_from_slice(SIGNATURE);
    sector[8..16].copy_from_slice(&[0, 0, 1, 0, 92, 0, 0, 0]);
    for (at, value) in [(24, this), (32, other), (40, first_usable), (48, last_usable)] {
        sector[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    sector[56..72].copy_from_slice(&guid);
    sector[72..80].copy_from_slice(&table_at.to_le_bytes());
    sector[80..84].copy_from_slice(&ENTRY_COUNT.to_le_bytes());
    sector[84..88].copy_from_slice(&ENTRY_SIZE.to_le_bytes());
    sector[88..92].copy_from_slice(&crc32fast::hash(table).to_le_bytes());
    let checksum = crc32fast::hash(&sector[..92]);
    sector[16..20].copy_from_slice(&checksum.to_le_bytes());
    sector
}

/// The names of a disk image's partitions.
///
/// # Errors
/// It has no partition table, or a damaged one.
pub(crate) fn partition_names(image: &Path) -> Result<Vec<String>> {
    Ok(read_table(image)?.into_iter().map(|(name, _)| name).collect())
}

/// Where the first partition of that name is, in bytes.
///
/// # Errors
/// As [`partition_names`], or there is none.
pub(super) fn find(image: &Path, name: &str) -> Result<Range<u64>> {
    let found = read_table(image)?.into_iter().find(|(this, _)| this == name);
    let (_, place) =
        found.with_context(|| format!("{} has no partition {name}", image.display()))?;
    let length = image.metadata()?.len();
    let is_inside = place.start < place.end && place.end <= length;
    ensure!(is_inside, "the partition {name} of {} reaches beyond its end", image.display());
    Ok(place)
}

/// Names and places of all partitions.
fn read_table(image: &Path) -> Result<Vec<(String, Range<u64>)>> {
    let shown = image.display();
    let file = File::open(image).with_context(|| format!("cannot read {shown}"))?;
    let mut sector = [0; 512];
    let has_header =
        file.read_exact_at(&mut sector, SECTOR).is_ok() && sector.starts_with(SIGNATURE);
    ensure!(has_header, "{shown} has no GUID partition table");
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| sector[at + i]));
    let (count, size, checksum) = (word(80), word(84), word(88));
    ensure!(count <= 1024 && (128..=4096).contains(&size), "{shown} has an odd partition table");
    let mut table = vec![0; (count * size) as usize];
    let is_whole = file.read_exact_at(&mut table, long(&sector, 72).saturating_mul(SECTOR)).is_ok()
        && crc32fast::hash(&table) == checksum;
    ensure!(is_whole, "{shown} has a damaged partition table");
    let used = table.chunks_exact(size as usize).filter(|entry| entry[..16] != [0; 16]);
    Ok(used.map(|entry| (name(entry), place(entry))).collect())
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn place(entry: &[u8]) -> Range<u64> {
    let (first, last) = (long(entry, 32), long(entry, 40));
    first.saturating_mul(SECTOR)..last.saturating_add(1).saturating_mul(SECTOR)
}

fn name(entry: &[u8]) -> String {
    let units = entry[56..128].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<_> = units.take_while(|&unit| unit != 0).collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let image = std::env::temp_dir().join(format!("serix-gpt-{}", std::process::id()));
        create(&image, 3 << 20).unwrap();
        assert_eq!(partition_names(&image).unwrap(), [ROOT_PARTITION]);
        assert_eq!(find(&image, ROOT_PARTITION).unwrap(), 1 << 20..4 << 20);
        assert!(find(&image, "other").is_err());
        let file = File::options().write(true).open(&image).unwrap();
        file.write_all_at(b"x", 2 * SECTOR + 60).unwrap();
        let error = partition_names(&image).unwrap_err().to_string();
        assert!(error.contains("damaged partition table"), "{error}");
        file.write_all_at(b"x", SECTOR).unwrap();
        let error = partition_names(&image).unwrap_err().to_string();
        assert!(error.contains("no GUID partition table"), "{error}");
        std::fs::remove_file(&image).unwrap();
    }
}
