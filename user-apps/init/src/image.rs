//! A libOS image: an ELF executable linked at the start of session memory.
//!
//! Invariant: of a parsed [`Image`], every segment lies in session memory, has its bytes in the file, shares no
//! page with another, and is not both writable and executable.

use alloc::vec::Vec;
use core::fmt;
use serix_abi::PAGE_SIZE;
use serix_abi::map::MapFlags;
use serix_session::IMAGE_ADDRESS;
use xmas_elf::ElfFile;
use xmas_elf::header::{Class, Data, Machine, Type};
use xmas_elf::program::{ProgramHeader, Type as SegmentType};

/// Most pages of an image: 64 MiB.
const PAGES_MAX: u64 = 16 * 1024;
/// Most program headers.
const HEADERS_MAX: u16 = 64;
/// Bytes of an ELF64 program header.
const HEADER_SIZE: u16 = 56;
const PAGE: u64 = PAGE_SIZE as u64;

/// Consecutive pages with the same permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First page, counted from the image's start.
    pub first_page: u64,
    /// How many.
    pub pages: u64,
    /// Permissions.
    pub flags: MapFlags,
    /// Offset of the first byte from the image's start.
    offset: u64,
    /// Where its bytes are in the file.
    file_start: usize,
    /// How many bytes the file has of it; the rest is zero.
    file_size: usize,
}

/// A checked image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    bytes: &'a [u8],
    /// In the order of their addresses.
    pub segments: Vec<Segment>,
    /// Where the libOS is entered.
    pub entry: u64,
    /// Pages from the image's start to its end.
    pub pages: u64,
}

/// Why a module is no libOS image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// The bytes are no ELF file that could be read.
    NotElf,
    /// An ELF file, but not a fixed 64-bit little-endian x86-64 executable.
    NotExecutable,
    /// The program headers are outside the file, or too many.
    BadHeaders,
    /// This segment's bytes are outside the file.
    Truncated(usize),
    /// This segment is outside the first 64 MiB of session memory.
    Misplaced(usize),
    /// This segment shares a page with the one before it, or is out of order.
    Overlap(usize),
    /// This segment is both writable and executable.
    WritableCode(usize),
    /// There is nothing to load.
    Empty,
    /// The entry point is in no executable segment.
    BadEntry,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => f.write_str("not an ELF file"),
            Self::NotExecutable => f.write_str("not a fixed-address 64-bit x86-64 executable"),
            Self::BadHeaders => f.write_str("program headers outside the file, or too many"),
            Self::Truncated(n) => write!(f, "segment {n}: its bytes are outside the file"),
            Self::Misplaced(n) => {
                write!(f, "segment {n}: not in the 64 MiB from {IMAGE_ADDRESS:#x} on")
            }
            Self::Overlap(n) => write!(f, "segment {n}: overlaps the one before it"),
            Self::WritableCode(n) => write!(f, "segment {n}: both writable and executable"),
            Self::Empty => f.write_str("no segment to load"),
            Self::BadEntry => f.write_str("entry point outside of its code"),
        }
    }
}

impl<'a> Image<'a> {
    /// Checks a module.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let elf = checked_headers(bytes)?;
        let mut image = Self { bytes, segments: Vec::new(), entry: 0, pages: 0 };
        for (number, header) in elf.program_iter().enumerate() {
            if header.get_type() == Ok(SegmentType::Load) && header.mem_size() > 0 {
                image.add(number, &header)?;
            }
        }
        image.entry = elf.header.pt2.entry_point();
        if image.segments.is_empty() {
            Err(ImageError::Empty)
        } else if !image.is_code(image.entry) {
            Err(ImageError::BadEntry)
        } else {
            Ok(image)
        }
    }

    fn add(&mut self, number: usize, header: &ProgramHeader<'_>) -> Result<(), ImageError> {
        let file_end = header.offset().checked_add(header.file_size());
        let is_inside = file_end.is_some_and(|end| end <= self.bytes.len() as u64);
        if !is_inside || header.file_size() > header.mem_size() {
            return Err(ImageError::Truncated(number));
        }
        let segment = placed(header).ok_or(ImageError::Misplaced(number))?;
        if segment.first_page < self.pages {
            return Err(ImageError::Overlap(number));
        }
        if header.flags().is_write() && header.flags().is_execute() {
            return Err(ImageError::WritableCode(number));
        }
        self.pages = segment.first_page + segment.pages;
        self.segments.push(segment);
        Ok(())
    }

    fn is_code(&self, address: u64) -> bool {
        let Some(page) = address.checked_sub(IMAGE_ADDRESS).map(|offset| offset / PAGE) else {
            return false;
        };
        self.segments.iter().any(|segment| {
            let inside = page.checked_sub(segment.first_page).is_some_and(|n| n < segment.pages);
            inside && !segment.flags.has(MapFlags::NO_EXECUTE)
        })
    }

    /// Puts the file's bytes of a page, counted from the image's start, into `into`, which is zero.
    pub fn fill(&self, page: u64, into: &mut [u8; PAGE_SIZE]) {
        let (start, end) = (page * PAGE, (page + 1) * PAGE);
        for segment in &self.segments {
            let from = start.max(segment.offset);
            let to = end.min(segment.offset + segment.file_size as u64);
            if from < to {
                let source = segment.file_start + (from - segment.offset) as usize;
                let length = (to - from) as usize;
                into[(from - start) as usize..][..length]
                    .copy_from_slice(&self.bytes[source..source + length]);
            }
        }
    }
}

/// The file with headers that `xmas_elf` can walk: it indexes by them without asking.
fn checked_headers(bytes: &[u8]) -> Result<ElfFile<'_>, ImageError> {
    let elf = ElfFile::new(bytes).map_err(|_| ImageError::NotElf)?;
    let (ident, header) = (elf.header.pt1, elf.header.pt2);
    let is_ours = ident.class() == Class::SixtyFour && ident.data() == Data::LittleEndian;
    let is_executable = header.type_().as_type() == Type::Executable;
    if !is_ours || !is_executable || header.machine().as_machine() != Machine::X86_64 {
        return Err(ImageError::NotExecutable);
    }
    let size = u64::from(header.ph_count()) * u64::from(HEADER_SIZE);
    let end = header.ph_offset().checked_add(size);
    let is_inside = header.ph_offset() > 0 && end.is_some_and(|end| end <= bytes.len() as u64);
    // The headers are read in place, as 8-byte fields.
    let is_aligned =
        header.ph_offset().is_multiple_of(8) && bytes.as_ptr().addr().is_multiple_of(8);
    let is_bounded = header.ph_count() <= HEADERS_MAX && header.ph_entry_size() == HEADER_SIZE;
    (is_inside && is_aligned && is_bounded).then_some(elf).ok_or(ImageError::BadHeaders)
}

/// The segment, if it lies in session memory.
fn placed(header: &ProgramHeader<'_>) -> Option<Segment> {
    let offset = header.virtual_addr().checked_sub(IMAGE_ADDRESS)?;
    let end = offset.checked_add(header.mem_size())?;
    if end > PAGES_MAX * PAGE {
        return None;
    }
    let first_page = offset / PAGE;
    let mut flags = MapFlags::default();
    if header.flags().is_write() {
        flags = flags.with(MapFlags::WRITE);
    }
    if !header.flags().is_execute() {
        flags = flags.with(MapFlags::NO_EXECUTE);
    }
    Some(Segment {
        first_page,
        pages: end.div_ceil(PAGE) - first_page,
        flags,
        offset,
        file_start: header.offset() as usize,
        file_size: header.file_size() as usize,
    })
}
