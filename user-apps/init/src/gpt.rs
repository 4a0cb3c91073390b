//! The GUID partition table (UEFI specification 2.10, chapter 5): names to extents.
//!
//! Invariant: each partition of a [`Table`] lies between the table's first and last usable sector, on the disk.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use crc::{CRC_32_ISO_HDLC, Crc};
use serix_block::{BlockError, SECTOR_SIZE};

/// Most bytes of the entry array: eight times the usual 16 KiB.
const ENTRIES_SIZE_MAX: usize = 128 * 1024;
/// Bytes of the header that its CRC covers.
const HEADER_SIZE: usize = 92;
/// Bytes of an entry that are read.
const ENTRY_SIZE_MIN: usize = 128;
const SIGNATURE: &[u8] = b"EFI PART";
const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// A disk to read sectors from.
pub trait Sectors {
    /// How many sectors of 512 bytes it has.
    fn count(&self) -> u64;

    /// Reads sectors from `first` on; `into` is a multiple of 512 bytes.
    ///
    /// # Errors
    /// As the device tells.
    fn read(&mut self, first: u64, into: &mut [u8]) -> Result<(), BlockError>;
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// First sector.
    pub first: u64,
    /// How many sectors.
    pub count: u64,
}

/// The partitions of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// In the order of the table.
    pub partitions: Vec<Partition>,
}

/// Why a disk has no usable table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GptError {
    /// The device failed.
    Device(BlockError),
    /// No table: no signature in sector 1 nor in the last.
    NoTable,
    /// The header or the entries do not have the CRC that they should have.
    BadCrc,
    /// A header field is outside its domain.
    BadHeader,
    /// The table is for a disk of more sectors than this one has.
    Truncated {
        /// Sectors that the table needs.
        wanted: u64,
        /// Sectors of the disk.
        present: u64,
    },
}

impl fmt::Display for GptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(BlockError::OutOfRange) => {
                f.write_str("is too small for a partition table")
            }
            Self::Device(_) => f.write_str("cannot be read (device error)"),
            Self::NoTable => f.write_str("has no GPT partition table"),
            Self::BadCrc => f.write_str("has a damaged partition table (wrong CRC)"),
            Self::BadHeader => f.write_str("has a damaged partition table (bad header)"),
            Self::Truncated { wanted, present } => write!(
                f,
                "is truncated: its partition table is for {wanted} sectors, and it has {present}"
            ),
        }
    }
}

impl Table {
    /// Reads the table; the backup in the last sector where the primary is damaged.
    ///
    /// # Errors
    /// What is wrong with the primary, if neither is good.
    pub fn read(disk: &mut impl Sectors) -> Result<Self, GptError> {
        let primary = Self::read_at(disk, 1);
        let is_damaged =
            matches!(primary, Err(GptError::NoTable | GptError::BadCrc | GptError::BadHeader));
        match disk.count().checked_sub(1) {
            Some(last) if is_damaged => Self::read_at(disk, last).or(primary),
            _ => primary,
        }
    }

    fn read_at(disk: &mut impl Sectors, sector: u64) -> Result<Self, GptError> {
        let mut bytes = [0; SECTOR_SIZE];
        disk.read(sector, &mut bytes).map_err(GptError::Device)?;
        let header = Header::decode(&bytes, sector)?;
        header.check_size(disk.count())?;
        let mut entries = vec![0; header.entries_size().next_multiple_of(SECTOR_SIZE)];
        disk.read(header.entries_sector, &mut entries).map_err(GptError::Device)?;
        entries.truncate(header.entries_size());
        if CRC32.checksum(&entries) != header.entries_crc {
            return Err(GptError::BadCrc);
        }
        let used = entries.chunks_exact(header.entry_size).filter(|entry| entry[..16] != [0; 16]);
        let partitions = used.map(|entry| header.partition(entry)).collect::<Result<_, _>>()?;
        Ok(Self { partitions })
    }

    /// The first partition of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.name == name)
    }
}

struct Header {
    backup_sector: u64,
    first_usable: u64,
    last_usable: u64,
    entries_sector: u64,
    entry_count: usize,
    entry_size: usize,
    entries_crc: u32,
}

impl Header {
    fn decode(bytes: &[u8; SECTOR_SIZE], sector: u64) -> Result<Self, GptError> {
        if &bytes[..8] != SIGNATURE {
            return Err(GptError::NoTable);
        }
        let size = u32_at(bytes, 12) as usize;
        if !(HEADER_SIZE..=SECTOR_SIZE).contains(&size) || u64_at(bytes, 24) != sector {
            return Err(GptError::BadHeader);
        }
        // The header's CRC is computed with its own field as zero.
        let mut digest = CRC32.digest();
        digest.update(&bytes[..16]);
        digest.update(&[0; 4]);
        digest.update(&bytes[20..size]);
        if digest.finalize() != u32_at(bytes, 16) {
            return Err(GptError::BadCrc);
        }
        let header = Self {
            backup_sector: u64_at(bytes, 32),
            first_usable: u64_at(bytes, 40),
            last_usable: u64_at(bytes, 48),
            entries_sector: u64_at(bytes, 72),
            entry_count: u32_at(bytes, 80) as usize,
            entry_size: u32_at(bytes, 84) as usize,
            entries_crc: u32_at(bytes, 88),
        };
        header.is_sound().then_some(header).ok_or(GptError::BadHeader)
    }

    fn is_sound(&self) -> bool {
        let size = self.entry_count.checked_mul(self.entry_size);
        self.entry_size >= ENTRY_SIZE_MIN
            && self.entry_size.is_multiple_of(8)
            && size.is_some_and(|size| size <= ENTRIES_SIZE_MAX)
            && self.first_usable <= self.last_usable
            && self.last_usable < u64::MAX
    }

    fn entries_size(&self) -> usize {
        self.entry_count * self.entry_size
    }

    /// The primary header names the disk's last sector as its backup.
    fn check_size(&self, present: u64) -> Result<(), GptError> {
        let last = self.backup_sector.max(self.last_usable);
        if last < present {
            return Ok(());
        }
        Err(GptError::Truncated { wanted: last.saturating_add(1), present })
    }

    fn partition(&self, entry: &[u8]) -> Result<Partition, GptError> {
        let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
        if first < self.first_usable || last < first || last > self.last_usable {
            return Err(GptError::BadHeader);
        }
        let units =
            entry[56..128].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let name = char::decode_utf16(units.take_while(|&unit| unit != 0))
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        Ok(Partition { name, first, count: last - first + 1 })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
