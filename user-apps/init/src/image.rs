//! A libOS image: an ELF executable linked at the start of session memory.
//!
//! Invariant: of a parsed [`Image`], every segment lies in session memory, has its bytes in the file, shares no
//! page with another, and is not both writable and executable.

use alloc::vec::Vec;
use core::fmt;
use serix_abi::PAGE_SIZE;
use serix_abi::map::MapFlags;
use serix_loader::{ElfHeader, FileKind, Limits, LoadError, Plan};
use serix_session::IMAGE_ADDRESS;

/// Most bytes of an image in memory.
const SIZE_MAX: u64 = 64 << 20;
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
    /// No ELF program of this machine, or a damaged one.
    Load(LoadError),
    /// It may run anywhere; an image is linked at the start of session memory.
    PositionIndependent,
    /// It does not lie in the first 64 MiB of session memory.
    Misplaced,
    /// This segment shares a page with the one before it.
    SharedPage(usize),
    /// This segment is both writable and executable.
    WritableCode(usize),
    /// The entry point is in no executable segment.
    BadEntry,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => write!(f, "{error}"),
            Self::PositionIndependent => write!(f, "not linked at {IMAGE_ADDRESS:#x}"),
            Self::Misplaced => write!(f, "not in the 64 MiB from {IMAGE_ADDRESS:#x} on"),
            Self::SharedPage(n) => write!(f, "segment {n} shares a page with the one before it"),
            Self::WritableCode(n) => write!(f, "segment {n} is both writable and executable"),
            Self::BadEntry => f.write_str("the entry point is outside of its code"),
        }
    }
}

impl<'a> Image<'a> {
    /// Checks a module.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let plan = plan(bytes)?;
        let mut image = Self { bytes, segments: Vec::new(), entry: plan.entry, pages: 0 };
        for (number, segment) in plan.segments.iter().enumerate() {
            image.add(number, segment)?;
        }
        if image.is_code(image.entry) { Ok(image) } else { Err(ImageError::BadEntry) }
    }

    fn add(&mut self, number: usize, wanted: &serix_loader::Segment) -> Result<(), ImageError> {
        if wanted.writable && wanted.executable {
            return Err(ImageError::WritableCode(number));
        }
        let segment = placed(wanted);
        if segment.first_page < self.pages {
            return Err(ImageError::SharedPage(number));
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

/// The loader's plan of a module, which must be fixed in session memory.
fn plan(bytes: &[u8]) -> Result<Plan, ImageError> {
    let header = ElfHeader::parse(bytes).map_err(ImageError::Load)?;
    if header.kind != FileKind::Fixed {
        return Err(ImageError::PositionIndependent);
    }
    let range = header.program_headers();
    let headers = bytes.get(range.start as usize..range.end as usize).unwrap_or(&[]);
    let addresses = IMAGE_ADDRESS..IMAGE_ADDRESS + SIZE_MAX;
    let limits = Limits { addresses, memory: SIZE_MAX };
    let plan = Plan::new(&header, headers, bytes.len() as u64, &limits);
    plan.map_err(|error| match error {
        LoadError::TooLarge => ImageError::Misplaced,
        other => ImageError::Load(other),
    })
}

/// The pages of a segment, which lies in session memory.
fn placed(wanted: &serix_loader::Segment) -> Segment {
    let offset = wanted.address - IMAGE_ADDRESS;
    let first_page = offset / PAGE;
    let mut flags = MapFlags::default();
    if wanted.writable {
        flags = flags.with(MapFlags::WRITE);
    }
    if !wanted.executable {
        flags = flags.with(MapFlags::NO_EXECUTE);
    }
    Segment {
        first_page,
        pages: (offset + wanted.memory_size).div_ceil(PAGE) - first_page,
        flags,
        offset,
        file_start: wanted.file.start as usize,
        file_size: (wanted.file.end - wanted.file.start) as usize,
    }
}
