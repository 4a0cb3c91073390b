//! Functions of a program as the tables of its ELF file have them: unwind information first, else symbols.
use crate::bytes::Bytes;
use crate::{Refusal, unwind};
use alloc::vec::Vec;
use core::ops::Range;

/// Most bytes of one table that are looked through.
const TABLE_MAX: u64 = 8 << 20;
const HEADER_SIZE: usize = 64;
const SEGMENT_SIZE: usize = 56;
const SECTION_SIZE: usize = 64;
const SYMBOL_SIZE: usize = 24;
const LOAD: u32 = 1;
const EXECUTABLE: u32 = 1;
const SYMBOL_TABLE: u32 = 2;
/// Types of symbols: a function, and one that is chosen at start.
const FUNCTIONS: [u8; 2] = [2, 10];
/// How far around a site functions are of interest: a short jump reaches 128 bytes.
const NEAR: u64 = 256;

/// A file to be read in pieces.
pub trait Source {
    /// `length` bytes from an offset on; `None` if they are not all there.
    fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>>;
}

impl Source for &[u8] {
    fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        self.part(usize::try_from(offset).ok()?, length).map(<[u8]>::to_vec)
    }
}

/// Where a site is among the functions of its file. Addresses are the file's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Around {
    /// Address of the site.
    pub site: u64,
    /// The function that it is in.
    pub function: Range<u64>,
    /// What lies between functions near it.
    pub gaps: Vec<Range<u64>>,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) range: Range<u64>,
    /// Whether it is the return of signal handlers.
    pub(crate) is_signal: bool,
}

struct Section {
    name: usize,
    kind: u32,
    address: u64,
    offset: u64,
    size: u64,
}

/// Finds the function of the site at an offset of a file.
///
/// # Errors
/// [`Refusal::NoFunction`], [`Refusal::SignalReturn`].
pub fn around(file: &impl Source, offset: u64) -> Result<Around, Refusal> {
    let site = address_of(file, offset).ok_or(Refusal::NoFunction)?;
    let sections = sections(file).ok_or(Refusal::NoFunction)?;
    let near = site.saturating_sub(NEAR)..site.saturating_add(NEAR);
    let mut functions = unwind_functions(file, &sections, &near).unwrap_or_default();
    let holds = |function: &&Function| function.range.contains(&site);
    if functions.iter().find(holds).is_none() {
        functions.extend(symbol_functions(file, &sections, &near).unwrap_or_default());
    }
    let function = functions.iter().find(holds).ok_or(Refusal::NoFunction)?.clone();
    if function.is_signal {
        return Err(Refusal::SignalReturn);
    }
    Ok(Around { site, function: function.range, gaps: gaps(functions) })
}

/// What lies between neighbours.
fn gaps(mut functions: Vec<Function>) -> Vec<Range<u64>> {
    functions.sort_by_key(|function| function.range.start);
    let mut gaps = Vec::new();
    let mut end = None;
    for Function { range, .. } in functions {
        if let Some(end) = end
            && end < range.start
            && range.start - end < NEAR
        {
            gaps.push(end..range.start);
        }
        end = Some(end.map_or(range.end, |end: u64| end.max(range.end)));
    }
    gaps
}

/// The address that the file gives to an offset in an executable segment.
fn address_of(file: &impl Source, offset: u64) -> Option<u64> {
    let header = file.read(0, HEADER_SIZE)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (header.u64(32)?, header.u16(54)?, header.u16(56)?);
    if usize::from(size) != SEGMENT_SIZE {
        return None;
    }
    let table = file.read(table, SEGMENT_SIZE * usize::from(count))?;
    table.chunks_exact(SEGMENT_SIZE).find_map(|segment| {
        let (start, size) = (segment.u64(8)?, segment.u64(32)?);
        let holds = segment.u32(0)? == LOAD
            && segment.u32(4)? & EXECUTABLE != 0
            && offset.checked_sub(start)? < size;
        holds.then(|| segment.u64(16)?.checked_add(offset - start)).flatten()
    })
}

/// Sections, with their names last.
fn sections(file: &impl Source) -> Option<(Vec<Section>, Vec<u8>)> {
    let header = file.read(0, HEADER_SIZE)?;
    let (table, size) = (header.u64(40)?, header.u16(58)?);
    let (count, names) = (header.u16(60)?, header.u16(62)?);
    if usize::from(size) != SECTION_SIZE {
        return None;
    }
    let table = file.read(table, SECTION_SIZE * usize::from(count))?;
    let sections: Vec<Section> = table.chunks_exact(SECTION_SIZE).filter_map(section).collect();
    let names = sections.get(usize::from(names))?;
    let names = contents(file, names)?;
    Some((sections, names))
}

fn section(bytes: &[u8]) -> Option<Section> {
    Some(Section {
        name: bytes.u32(0)? as usize,
        kind: bytes.u32(4)?,
        address: bytes.u64(16)?,
        offset: bytes.u64(24)?,
        size: bytes.u64(32)?,
    })
}

fn contents(file: &impl Source, section: &Section) -> Option<Vec<u8>> {
    if section.size > TABLE_MAX {
        return None;
    }
    file.read(section.offset, section.size as usize)
}

type Sections = (Vec<Section>, Vec<u8>);

fn unwind_functions(
    file: &impl Source,
    (sections, names): &Sections,
    near: &Range<u64>,
) -> Option<Vec<Function>> {
    let is_it = |section: &&Section| {
        names.get(section.name..).is_some_and(|name| name.starts_with(b".eh_frame\0"))
    };
    let section = sections.iter().find(is_it)?;
    let table = contents(file, section)?;
    Some(unwind::functions(&table, section.address, near))
}

fn symbol_functions(
    file: &impl Source,
    (sections, _): &Sections,
    near: &Range<u64>,
) -> Option<Vec<Function>> {
    let section = sections.iter().find(|section| section.kind == SYMBOL_TABLE)?;
    let table = contents(file, section)?;
    let functions = table.chunks_exact(SYMBOL_SIZE).filter_map(|symbol| {
        let is_function = FUNCTIONS.contains(&(symbol.u8(4)? & 0xF)) && symbol.u16(6)? != 0;
        is_function.then_some((symbol.u64(8)?, symbol.u64(16)?))
    });
    let mut all: Vec<(u64, u64)> = functions.collect();
    all.sort_unstable();
    let mut found = Vec::new();
    for (at, (start, size)) in all.iter().enumerate() {
        // Functions written in assembly may have no size: they end where another begins.
        let next = all[at + 1..].iter().map(|other| other.0).find(|other| other > start);
        let size = match (size, next) {
            (0, Some(next)) => next - start,
            (size, _) => *size,
        };
        let Some(end) = start.checked_add(size) else { continue };
        if *start < near.end && near.start < end {
            found.push(Function { range: *start..end, is_signal: false });
        }
    }
    Some(found)
}
