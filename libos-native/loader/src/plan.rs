//! From program headers to what is mapped where (System V ABI, "Program Header"; gABI 5.1).
use crate::bytes::{u32_at, u64_at};
use crate::header::{ElfHeader, FileKind, PROGRAM_HEADER_BYTES};
use crate::{LoadError, PAGE_SIZE};
use alloc::vec::Vec;
use core::ops::Range;

const TYPE_LOAD: u32 = 1;
const TYPE_INTERPRETER: u32 = 3;
const TYPE_HEADERS: u32 = 6;
const TYPE_GNU_STACK: u32 = 0x6474_e551;
const EXECUTE: u32 = 1;
const WRITE: u32 = 2;
const READ: u32 = 4;
/// Longest path of an interpreter, with its NUL.
const INTERPRETER_MAX: u64 = 4096;
/// Largest alignment that is honoured.
const ALIGNMENT_MAX: u64 = 1 << 30;

/// Where programs may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Addresses that a program may use.
    pub addresses: Range<u64>,
    /// Most bytes of memory that its segments may take.
    pub memory: u64,
}

/// A part of the program in memory. Addresses are without bias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First address.
    pub address: u64,
    /// Bytes in memory; what the file does not fill is zero.
    pub memory_size: u64,
    /// Bytes of the file that fill its beginning.
    pub file: Range<u64>,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
}

/// A segment in whole pages, with bias: three consecutive ranges of addresses, each perhaps empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageMapping {
    /// Pages mapped from the file, privately.
    pub from_file: Range<u64>,
    /// Offset in the file of the first of them.
    pub file_offset: u64,
    /// The bytes at the end of the last of them that the file must not fill: to be zeroed if the
    /// segment is writable.
    pub tail: Range<u64>,
    /// Pages of zeroes behind them.
    pub zero: Range<u64>,
}

/// What is needed to put a program into memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether addresses are fixed. If so the bias is 0.
    pub kind: FileKind,
    /// What is mapped, by ascending address; a page that two segments share is the later one's.
    pub segments: Vec<Segment>,
    /// Where execution starts, without bias.
    pub entry: u64,
    /// Where in the file the path of the interpreter is, with its NUL; for [`interpreter_path`].
    pub interpreter: Option<Range<u64>>,
    /// Whether the program asks for an executable stack. Absent means it does, as on Linux.
    pub executable_stack: bool,
    /// Address of the program headers in memory, without bias, if they are mapped.
    pub headers_address: Option<u64>,
    /// Number of program headers.
    pub headers_count: u16,
    /// Alignment that the bias keeps: a power of two, at least a page.
    pub alignment: u64,
}

struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
    alignment: u64,
}

impl ProgramHeader {
    fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: u32_at(bytes, 0)?,
            flags: u32_at(bytes, 4)?,
            offset: u64_at(bytes, 8)?,
            address: u64_at(bytes, 16)?,
            file_size: u64_at(bytes, 32)?,
            memory_size: u64_at(bytes, 40)?,
            alignment: u64_at(bytes, 48)?,
        })
    }

    fn file_range(&self, file_size: u64) -> Result<Range<u64>, LoadError> {
        let end = self.offset.checked_add(self.file_size);
        match end {
            Some(end) if end <= file_size => Ok(self.offset..end),
            _ => Err(LoadError::Malformed("a segment lies outside the file")),
        }
    }

    /// A segment to load; `None` if it is empty.
    fn segment(&self, file_size: u64) -> Result<Option<Segment>, LoadError> {
        if self.memory_size == 0 && self.file_size == 0 {
            return Ok(None);
        }
        if self.file_size > self.memory_size {
            return Err(LoadError::Malformed("a segment has more file than memory"));
        }
        let is_congruent = self.address % PAGE_SIZE == self.offset % PAGE_SIZE;
        if self.file_size > 0 && !is_congruent {
            return Err(LoadError::Malformed("address and offset differ within a page"));
        }
        if self.address.checked_add(self.memory_size).is_none() {
            return Err(LoadError::TooLarge);
        }
        let file = if self.file_size == 0 { 0..0 } else { self.file_range(file_size)? };
        Ok(Some(Segment {
            address: self.address,
            memory_size: self.memory_size,
            file,
            readable: self.flags & READ != 0,
            writable: self.flags & WRITE != 0,
            executable: self.flags & EXECUTE != 0,
        }))
    }
}

fn page_down(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}

fn page_up(address: u64) -> Option<u64> {
    address.checked_add(PAGE_SIZE - 1).map(page_down)
}

impl Segment {
    fn end(&self) -> u64 {
        self.address + self.memory_size
    }

    /// The segment in whole pages, at its address plus `bias`, which [`Plan::bias`] gave.
    #[must_use]
    pub fn pages(&self, bias: u64) -> PageMapping {
        let start = self.address.wrapping_add(bias);
        let file_len = self.file.end - self.file.start;
        let file_end = start.wrapping_add(file_len);
        let memory_end = page_round(start.wrapping_add(self.memory_size));
        let from_file = match file_len {
            0 => page_down(start)..page_down(start),
            _ => page_down(start)..page_round(file_end),
        };
        let tail = match self.memory_size > file_len && file_len > 0 {
            true => file_end..from_file.end,
            false => from_file.end..from_file.end,
        };
        PageMapping {
            file_offset: page_down(self.file.start),
            tail,
            zero: from_file.end..memory_end.max(from_file.end),
            from_file,
        }
    }
}

/// Rounds up an address that is known to lie below the last page.
fn page_round(address: u64) -> u64 {
    page_down(address.wrapping_add(PAGE_SIZE - 1))
}

impl Plan {
    /// Makes a plan of the program headers, which are the bytes of the file at
    /// [`ElfHeader::program_headers`], of a file of `file_size` bytes.
    ///
    /// # Errors
    /// `Malformed`, or `TooLarge` for the `limits`.
    pub fn new(
        header: &ElfHeader,
        program_headers: &[u8],
        file_size: u64,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        if (program_headers.len() as u64) < header.headers_bytes()
            || header.program_headers().end > file_size
        {
            return Err(LoadError::Malformed("program headers lie outside the file"));
        }
        let mut plan = Self {
            kind: header.kind,
            segments: Vec::new(),
            entry: header.entry,
            interpreter: None,
            executable_stack: true,
            headers_address: None,
            headers_count: header.headers_count,
            alignment: PAGE_SIZE,
        };
        let headers = program_headers.chunks_exact(PROGRAM_HEADER_BYTES);
        for bytes in headers.take(usize::from(header.headers_count)) {
            let program_header = ProgramHeader::parse(bytes);
            let short = LoadError::Malformed("a program header is cut off");
            plan.add(&program_header.ok_or(short)?, file_size)?;
        }
        plan.find_headers(header);
        plan.check(limits)?;
        Ok(plan)
    }

    fn add(&mut self, header: &ProgramHeader, file_size: u64) -> Result<(), LoadError> {
        match header.kind {
            TYPE_LOAD => {
                let segment = header.segment(file_size)?;
                if let Some(segment) = segment {
                    self.add_segment(segment)?;
                    self.align(header.alignment)?;
                }
            }
            TYPE_INTERPRETER if self.interpreter.is_none() => {
                let path = header.file_range(file_size)?;
                if !(2..=INTERPRETER_MAX).contains(&header.file_size) {
                    return Err(LoadError::Malformed("path of the interpreter"));
                }
                self.interpreter = Some(path);
            }
            TYPE_HEADERS => self.headers_address = Some(header.address),
            TYPE_GNU_STACK => self.executable_stack = header.flags & EXECUTE != 0,
            _ => {}
        }
        Ok(())
    }

    fn add_segment(&mut self, segment: Segment) -> Result<(), LoadError> {
        if self.segments.last().is_some_and(|last| last.end() > segment.address) {
            return Err(LoadError::Malformed("segments overlap or do not ascend"));
        }
        self.segments.push(segment);
        Ok(())
    }

    fn align(&mut self, alignment: u64) -> Result<(), LoadError> {
        if alignment > 1 && !alignment.is_power_of_two() {
            return Err(LoadError::Malformed("alignment is no power of two"));
        }
        // More than this is a wish that cannot be had; Linux drops it too.
        if alignment <= ALIGNMENT_MAX {
            self.alignment = self.alignment.max(alignment);
        }
        Ok(())
    }

    /// Without a header for them, the headers are where a segment has that part of the file.
    fn find_headers(&mut self, header: &ElfHeader) {
        let wanted = header.program_headers();
        let mut segments = self.segments.iter();
        let holder = segments
            .find(|segment| segment.file.start <= wanted.start && wanted.end <= segment.file.end);
        let found = holder.map(|segment| segment.address + (wanted.start - segment.file.start));
        self.headers_address = self.headers_address.or(found);
    }

    fn check(&self, limits: &Limits) -> Result<(), LoadError> {
        let (Some(first), Some(last)) = (self.segments.first(), self.segments.last()) else {
            return Err(LoadError::Malformed("nothing to load"));
        };
        let start = page_down(first.address);
        let end = page_up(last.end()).ok_or(LoadError::TooLarge)?;
        if end - start > limits.memory {
            return Err(LoadError::TooLarge);
        }
        let span = limits.addresses.end.saturating_sub(limits.addresses.start);
        let fits = match self.kind {
            FileKind::Fixed => start >= limits.addresses.start && end <= limits.addresses.end,
            FileKind::PositionIndependent => end - start <= span,
        };
        if !fits {
            return Err(LoadError::TooLarge);
        }
        if !(start..end).contains(&self.entry) {
            return Err(LoadError::Malformed("the entry lies outside the program"));
        }
        let is_mapped = self.headers_address.is_none_or(|at| (start..end).contains(&at));
        if !is_mapped {
            return Err(LoadError::Malformed("the program headers lie outside the program"));
        }
        Ok(())
    }

    /// The whole pages that the segments span, without bias.
    #[must_use]
    pub fn span(&self) -> Range<u64> {
        let start = self.segments.first().map_or(0, |first| page_down(first.address));
        let end = self.segments.last().map_or(0, |last| page_round(last.end()));
        start..end
    }

    /// What is added to every address so that the program lies at `base` or at most one alignment
    /// above it; 0 for fixed addresses. Addresses wrap, as the bias may be "negative".
    ///
    /// # Errors
    /// `TooLarge` if it would leave `limits`.
    pub fn bias(&self, base: u64, limits: &Limits) -> Result<u64, LoadError> {
        if self.kind == FileKind::Fixed {
            return Ok(0);
        }
        let span = self.span();
        let mask = self.alignment - 1;
        let wanted = base.checked_add(mask).ok_or(LoadError::TooLarge)? & !mask;
        let bias = wanted.wrapping_sub(span.start & !mask);
        let start = span.start.wrapping_add(bias);
        let end = start.checked_add(span.end - span.start).ok_or(LoadError::TooLarge)?;
        if start < limits.addresses.start || end > limits.addresses.end {
            return Err(LoadError::TooLarge);
        }
        Ok(bias)
    }
}

/// The path of the interpreter, from the bytes that [`Plan::interpreter`] names.
///
/// # Errors
/// `Malformed` if it is not one path with a NUL at its end.
pub fn interpreter_path(bytes: &[u8]) -> Result<&[u8], LoadError> {
    match bytes.split_last() {
        Some((0, path)) if !path.is_empty() && !path.contains(&0) => Ok(path),
        _ => Err(LoadError::Malformed("path of the interpreter")),
    }
}
