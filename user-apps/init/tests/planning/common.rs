//! Builders of what init reads: partition tables and images.

use crc::{CRC_32_ISO_HDLC, Crc};
use serix_block::BlockError;
use serix_init::gpt::Sectors;
use serix_session::IMAGE_ADDRESS;

const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// A disk in memory.
#[derive(Clone)]
pub(crate) struct MemoryDisk(pub(crate) Vec<u8>);

impl Sectors for MemoryDisk {
    fn count(&self) -> u64 {
        self.0.len() as u64 / 512
    }

    fn read(&mut self, first: u64, into: &mut [u8]) -> Result<(), BlockError> {
        let start = usize::try_from(first).ok().and_then(|first| first.checked_mul(512));
        let range = start.and_then(|start| Some(start..start.checked_add(into.len())?));
        let bytes = range.and_then(|range| self.0.get(range)).ok_or(BlockError::OutOfRange)?;
        into.copy_from_slice(bytes);
        Ok(())
    }
}

impl MemoryDisk {
    /// A disk of `sectors` with these partitions: name, first and last sector.
    pub(crate) fn with_partitions(sectors: u64, partitions: &[(&str, u64, u64)]) -> Self {
        let mut disk = Self(vec![0; sectors as usize * 512]);
        let mut entries = vec![0; 128 * 128];
        for (&(name, first, last), entry) in partitions.iter().zip(entries.chunks_mut(128)) {
            entry[..16].fill(0x11);
            entry[32..40].copy_from_slice(&first.to_le_bytes());
            entry[40..48].copy_from_slice(&last.to_le_bytes());
            for (unit, place) in name.encode_utf16().zip(entry[56..].chunks_mut(2)) {
                place.copy_from_slice(&unit.to_le_bytes());
            }
        }
        disk.put(2, &entries);
        disk.put(sectors - 33, &entries);
        disk.put(1, &header(1, sectors - 1, sectors, 2, &entries));
        disk.put(sectors - 1, &header(sectors - 1, 1, sectors, sectors - 33, &entries));
        disk
    }

    pub(crate) fn put(&mut self, sector: u64, bytes: &[u8]) {
        self.0[sector as usize * 512..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Makes the CRC of a header right again after a change of its fields.
    pub(crate) fn reseal(&mut self, sector: u64) {
        let at = sector as usize * 512;
        seal(&mut self.0[at..at + 512]);
    }
}

fn header(own: u64, other: u64, sectors: u64, entries_sector: u64, entries: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..8].copy_from_slice(b"EFI PART");
    bytes[8..12].copy_from_slice(&0x0001_0000_u32.to_le_bytes());
    bytes[12..16].copy_from_slice(&92_u32.to_le_bytes());
    for (at, value) in [(24, own), (32, other), (40, 34), (48, sectors - 34), (72, entries_sector)]
    {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes[80..84].copy_from_slice(&128_u32.to_le_bytes());
    bytes[84..88].copy_from_slice(&128_u32.to_le_bytes());
    bytes[88..92].copy_from_slice(&CRC32.checksum(entries).to_le_bytes());
    seal(&mut bytes);
    bytes
}

fn seal(header: &mut [u8]) {
    header[16..20].fill(0);
    let crc = CRC32.checksum(&header[..92]);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
}

/// A loadable segment of a built ELF file.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) address: u64,
    pub(crate) bytes: &'a [u8],
    pub(crate) memory_size: u64,
    /// PF_X 1, PF_W 2, PF_R 4.
    pub(crate) flags: u32,
}

/// A small good image: code, then data with a tail of zeros.
pub(crate) fn good_segments() -> [Segment<'static>; 2] {
    [
        Segment { address: IMAGE_ADDRESS, bytes: &[0xC3; 100], memory_size: 100, flags: 5 },
        Segment { address: IMAGE_ADDRESS + 0x1080, bytes: b"data", memory_size: 0x2000, flags: 6 },
    ]
}

/// An ELF file of these segments, entered at the image's start.
pub(crate) fn elf(segments: &[Segment<'_>]) -> Vec<u8> {
    let mut bytes = vec![0; 64 + segments.len() * 56];
    bytes[..8].copy_from_slice(&[0x7F, b'E', b'L', b'F', 2, 1, 1, 0]);
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(16, &2_u16.to_le_bytes());
    put(18, &62_u16.to_le_bytes());
    put(20, &1_u32.to_le_bytes());
    put(24, &IMAGE_ADDRESS.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    put(52, &64_u16.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &(segments.len() as u16).to_le_bytes());
    for (index, segment) in segments.iter().enumerate() {
        // As linkers do: a segment is at the same place in a page of the file as in a page of memory.
        while bytes.len() as u64 % 4096 != segment.address % 4096 {
            bytes.push(0);
        }
        let (at, offset) = (64 + index * 56, bytes.len() as u64);
        let mut put = |field: usize, value: &[u8]| {
            bytes[at + field..at + field + value.len()].copy_from_slice(value);
        };
        put(0, &1_u32.to_le_bytes());
        put(4, &segment.flags.to_le_bytes());
        put(8, &offset.to_le_bytes());
        put(16, &segment.address.to_le_bytes());
        put(32, &(segment.bytes.len() as u64).to_le_bytes());
        put(40, &segment.memory_size.to_le_bytes());
        bytes.extend(segment.bytes);
    }
    bytes
}
