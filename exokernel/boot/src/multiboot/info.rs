//! What a multiboot loader hands over: memory map, command line, modules.
//!
//! Multiboot specification 0.6.96, section 3.3. Everything is copied out of the structure, or its
//! extents are reported, before memory is allocated.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use core::slice;

use serix_boot::acpi::Physical;
use serix_boot::error::Error;
use serix_boot::memory::Kind;

const LOADER_MAGIC: u32 = 0x2bad_b002;
const HAS_COMMAND_LINE: u32 = 1 << 2;
const HAS_MODULES: u32 = 1 << 3;
const HAS_MEMORY_MAP: u32 = 1 << 6;
const INFORMATION_SIZE: u64 = 88;
const MAX_STRING: usize = 64 << 10;
const MAX_MODULES: u32 = 256;

/// The first MiB, where the BIOS keeps its tables.
pub(super) struct LowMemory;

impl Physical for LowMemory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let end = address.checked_add(length as u64).filter(|&end| end <= 0x10_0000)?;
        // SAFETY: 1. The first MiB is identity mapped. 2. This program lies above it.
        (address != 0).then(|| unsafe { bytes(&(address..end)) })
    }
}

/// Physical bytes below 4 GiB.
///
/// # Safety
/// They can be read, and nobody writes to them while the slice lives.
pub(super) unsafe fn bytes(range: &Range<u64>) -> &'static [u8] {
    let length = range.end.saturating_sub(range.start) as usize;
    // SAFETY: 1. All below 4 GiB is identity mapped. 2. The caller vouches for the rest.
    unsafe { slice::from_raw_parts(range.start as *const u8, length) }
}

/// A boot module.
pub(super) struct Module {
    pub(super) bytes: Range<u64>,
    pub(super) string: String,
}

/// The multiboot information structure.
pub(super) struct Information {
    address: u64,
}

impl Information {
    /// # Safety
    /// `magic` and `address` are what the multiboot loader passed in EAX and EBX.
    pub(super) unsafe fn new(magic: u32, address: u32) -> Result<Information, Error> {
        if magic != LOADER_MAGIC || address == 0 {
            return Err(Error::Firmware("not started by a multiboot loader"));
        }
        Ok(Information { address: u64::from(address) })
    }

    fn word(&self, offset: u64) -> u32 {
        read_word(self.address + offset)
    }

    fn has(&self, flag: u32) -> bool {
        self.word(0) & flag != 0
    }

    /// The command line without the loader's own name, its first word.
    pub(super) fn arguments(&self) -> String {
        if !self.has(HAS_COMMAND_LINE) {
            return String::new();
        }
        let line = read_string(self.word(16));
        line.split_once(' ').map_or("", |(_, rest)| rest).trim().to_owned()
    }

    /// The modules in order.
    pub(super) fn modules(&self) -> Result<Vec<Module>, Error> {
        let count = if self.has(HAS_MODULES) { self.word(20) } else { 0 };
        if count > MAX_MODULES {
            return Err(Error::Firmware("more than 256 multiboot modules"));
        }
        (0..u64::from(count)).map(|index| self.module(index)).collect()
    }

    fn module(&self, index: u64) -> Result<Module, Error> {
        let entry = u64::from(self.word(24)) + index * 16;
        let (start, end) = (u64::from(read_word(entry)), u64::from(read_word(entry + 4)));
        if start == 0 || start % 4096 != 0 || end < start {
            return Err(Error::Firmware("a multiboot module is not page aligned"));
        }
        Ok(Module { bytes: start..end, string: read_string(read_word(entry + 8)) })
    }

    /// The BIOS memory map.
    pub(super) fn memory(&self) -> Result<Vec<(u64, u64, Kind)>, Error> {
        if !self.has(HAS_MEMORY_MAP) {
            return Err(Error::Firmware("no memory map"));
        }
        let start = u64::from(self.word(48));
        let end = start + u64::from(self.word(44));
        let mut entries = Vec::new();
        let mut at = start;
        while at + 24 <= end {
            let long = |offset| {
                u64::from(read_word(at + offset)) | u64::from(read_word(at + offset + 4)) << 32
            };
            let kind = match read_word(at + 20) {
                1 => Kind::Usable,
                3 => Kind::AcpiReclaimable,
                4 => Kind::AcpiNvs,
                5 => Kind::BadMemory,
                _ => Kind::Reserved,
            };
            entries.push((long(4), long(12), kind));
            at += u64::from(read_word(at)) + 4;
        }
        Ok(entries)
    }

    /// The memory that the structure and what it refers to takes.
    pub(super) fn extents(&self, modules: &[Module]) -> impl Iterator<Item = Range<u64>> {
        let mut extents = alloc::vec![self.address..self.address + INFORMATION_SIZE];
        extents.extend(modules.iter().map(|module| module.bytes.clone()));
        extents.into_iter()
    }
}

fn read_word(address: u64) -> u32 {
    // SAFETY: 1. Below 4 GiB all is identity mapped. 2. The address is the structure's, or taken
    // from it. 3. The multiboot loader is gone, nobody writes. Alignment is not promised.
    unsafe { (address as *const u32).read_unaligned() }
}

fn read_string(address: u32) -> String {
    if address == 0 {
        return String::new();
    }
    let start = u64::from(address);
    // SAFETY: As in `read_word`; the string ends with a zero byte, which is looked for first.
    let text = unsafe { bytes(&(start..start + MAX_STRING as u64)) };
    let length = text.iter().position(|&byte| byte == 0).unwrap_or(0);
    String::from_utf8_lossy(&text[..length]).into_owned()
}
