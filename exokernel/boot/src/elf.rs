//! A checked view of a 64-bit x86 ELF executable: headers, loadable segments, relocations.
//!
//! Invariant: whatever the bytes are, no function panics or reads outside them; a [`Segment`]
//! that was handed out lies inside the file and does not wrap around the address space.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Error;

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_RELAENT: u64 = 9;
const DT_RELR: u64 = 36;
const DT_JMPREL: u64 = 23;
const R_X86_64_NONE: u32 = 0;
const R_X86_64_RELATIVE: u32 = 8;
const RELA_SIZE: usize = 24;
const MAX_SEGMENTS: usize = 64;

/// What a segment's pages may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// PF_W.
    pub write: bool,
    /// PF_X.
    pub execute: bool,
}

/// A PT_LOAD segment with a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its bytes in the file.
    pub file: Range<usize>,
    /// Its virtual addresses as linked; at least as many as file bytes.
    pub memory: Range<u64>,
    /// Its permissions.
    pub access: Access,
    /// Alignment it asks for.
    pub align: u64,
}

/// A relocation of a position-independent executable: at `address` (as linked), store the load
/// slide plus `addend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relative {
    /// Where, as linked.
    pub address: u64,
    /// What, before the slide.
    pub addend: u64,
}

/// A parsed executable.
#[derive(Debug)]
pub struct Elf<'a> {
    bytes: &'a [u8],
    /// Entry point as linked.
    pub entry: u64,
    /// Whether it may be loaded at another address than it was linked for.
    pub relocatable: bool,
    /// Loadable segments, as the file lists them.
    pub segments: Vec<Segment>,
    dynamic: Option<Range<usize>>,
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&self, offset: usize) -> Result<[u8; N], Error> {
        let bytes = offset.checked_add(N).and_then(|end| self.0.get(offset..end));
        bytes.and_then(|b| b.try_into().ok()).ok_or(Error::Elf("the ELF file is cut short"))
    }
    fn u16(&self, offset: usize) -> Result<u16, Error> {
        self.array(offset).map(u16::from_le_bytes)
    }
    fn u32(&self, offset: usize) -> Result<u32, Error> {
        self.array(offset).map(u32::from_le_bytes)
    }
    fn u64(&self, offset: usize) -> Result<u64, Error> {
        self.array(offset).map(u64::from_le_bytes)
    }
    fn range(&self, offset: u64, length: u64) -> Result<Range<usize>, Error> {
        let end = offset.checked_add(length).filter(|&end| end <= self.0.len() as u64);
        let end = end.ok_or(Error::Elf("a segment lies outside the file"))?;
        Ok(offset as usize..end as usize)
    }
}

impl<'a> Elf<'a> {
    /// Checks the headers of `bytes`.
    ///
    /// # Errors
    /// [`Error::Elf`] saying what is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Elf<'a>, Error> {
        let reader = Reader(bytes);
        check_identity(&reader)?;
        let mut elf = Elf {
            bytes,
            entry: reader.u64(24)?,
            relocatable: reader.u16(16)? == ET_DYN,
            segments: Vec::new(),
            dynamic: None,
        };
        let table = usize::try_from(reader.u64(32)?).unwrap_or(usize::MAX);
        let (size, count) = (usize::from(reader.u16(54)?), usize::from(reader.u16(56)?));
        if size < 56 || count == 0 || count > MAX_SEGMENTS {
            return Err(Error::Elf("the program header table makes no sense"));
        }
        for index in 0..count {
            let offset = table.checked_add(index * size);
            elf.add_header(&reader, offset.ok_or(Error::Elf("the ELF file is cut short"))?)?;
        }
        if elf.segments.is_empty() {
            return Err(Error::Elf("the ELF file has nothing to load"));
        }
        Ok(elf)
    }

    fn add_header(&mut self, reader: &Reader<'_>, at: usize) -> Result<(), Error> {
        let (kind, flags) = (reader.u32(at)?, reader.u32(at + 4)?);
        let (offset, address) = (reader.u64(at + 8)?, reader.u64(at + 16)?);
        let (file_size, size) = (reader.u64(at + 32)?, reader.u64(at + 40)?);
        match kind {
            PT_LOAD if size > 0 => {
                let end = address.checked_add(size).filter(|_| file_size <= size);
                let end = end.ok_or(Error::Elf("a segment's sizes make no sense"))?;
                self.segments.push(Segment {
                    file: reader.range(offset, file_size)?,
                    memory: address..end,
                    access: Access { write: flags & 2 != 0, execute: flags & 1 != 0 },
                    align: reader.u64(at + 48)?,
                });
            }
            PT_DYNAMIC => self.dynamic = Some(reader.range(offset, file_size)?),
            PT_INTERP => return Err(Error::Elf("the ELF file wants a dynamic linker")),
            _ => {}
        }
        Ok(())
    }

    /// The relocations that a position-independent executable needs.
    ///
    /// # Errors
    /// [`Error::Elf`] when it needs others than `R_X86_64_RELATIVE`, or the table is damaged.
    pub fn relocations(&self) -> Result<Vec<Relative>, Error> {
        let (mut address, mut size, mut entry_size) = (0, 0, RELA_SIZE as u64);
        for (tag, value) in self.dynamic_entries() {
            match tag {
                DT_RELA => address = value,
                DT_RELASZ => size = value,
                DT_RELAENT => entry_size = value,
                DT_RELR | DT_JMPREL => return Err(Error::Elf("relocations other than RELA")),
                _ => {}
            }
        }
        if size == 0 {
            return Ok(Vec::new());
        }
        if entry_size != RELA_SIZE as u64 || size % entry_size != 0 {
            return Err(Error::Elf("the relocation table makes no sense"));
        }
        let table = &self.bytes[self.file_range(address, size)?];
        let mut found = Vec::with_capacity(table.len() / RELA_SIZE);
        for entry in table.chunks_exact(RELA_SIZE).map(Reader) {
            match entry.u32(8)? {
                R_X86_64_NONE => {}
                R_X86_64_RELATIVE => {
                    found.push(Relative { address: entry.u64(0)?, addend: entry.u64(16)? });
                }
                _ => return Err(Error::Elf("relocations against symbols")),
            }
        }
        Ok(found)
    }

    fn dynamic_entries(&self) -> impl Iterator<Item = (u64, u64)> {
        let table = self.dynamic.clone().map_or(&[][..], |range| &self.bytes[range]);
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let entries = table.chunks_exact(16).map(move |e| (word(&e[..8]), word(&e[8..])));
        entries.take_while(|&(tag, _)| tag != DT_NULL)
    }

    /// Where in the file the linked addresses `address..address + size` come from.
    fn file_range(&self, address: u64, size: u64) -> Result<Range<usize>, Error> {
        let find = |segment: &Segment| {
            let offset = usize::try_from(address.checked_sub(segment.memory.start)?).ok()?;
            let start = segment.file.start.checked_add(offset)?;
            let end = start.checked_add(usize::try_from(size).ok()?)?;
            (end <= segment.file.end).then_some(start..end)
        };
        let found = self.segments.iter().find_map(find);
        found.ok_or(Error::Elf("the relocation table lies outside the segments"))
    }

    /// The file's bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

fn check_identity(reader: &Reader<'_>) -> Result<(), Error> {
    let identity: [u8; 16] = reader.array(0).map_err(|_| Error::Elf("not an ELF file"))?;
    if identity[..4] != *b"\x7fELF" {
        return Err(Error::Elf("not an ELF file"));
    }
    let little_endian_64 = identity[4] == 2 && identity[5] == 1;
    if !little_endian_64 || reader.u16(18)? != EM_X86_64 {
        return Err(Error::Elf("not an x86-64 ELF file"));
    }
    match reader.u16(16)? {
        ET_EXEC | ET_DYN => Ok(()),
        _ => Err(Error::Elf("not an executable ELF file")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A little ELF file: one segment per `(address, flags, bytes, zeroes)`, then extra program
    /// headers as they are.
    pub(crate) fn build(kind: u16, entry: u64, segments: &[(u64, u32, &[u8], u64)]) -> Vec<u8> {
        let mut file = vec![0u8; 64 + 56 * segments.len()];
        file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
        file[16..18].copy_from_slice(&kind.to_le_bytes());
        file[18..20].copy_from_slice(&EM_X86_64.to_le_bytes());
        file[24..32].copy_from_slice(&entry.to_le_bytes());
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[54..56].copy_from_slice(&56u16.to_le_bytes());
        file[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        for (index, &(address, flags, bytes, zeroes)) in segments.iter().enumerate() {
            let (kind, flags) = if flags & 0x100 != 0 { (2u32, 4) } else { (1, flags) };
            let offset = file.len() as u64;
            let header = &mut file[64 + 56 * index..][..56];
            header[..4].copy_from_slice(&kind.to_le_bytes());
            header[4..8].copy_from_slice(&flags.to_le_bytes());
            let size = bytes.len() as u64;
            for (at, value) in [(8, offset), (16, address), (32, size), (40, size + zeroes)] {
                header[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
            }
            header[48..56].copy_from_slice(&PAGE.to_le_bytes());
            file.extend_from_slice(bytes);
        }
        file
    }
    const PAGE: u64 = 4096;
    pub(crate) const DYNAMIC: u32 = 0x100;

    fn words(values: &[u64]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn segments_are_read() {
        let file = build(ET_EXEC, 0x1234, &[(0x1000, 5, b"text", 0), (0x2000, 6, b"", 64)]);
        let elf = Elf::parse(&file).unwrap();
        assert_eq!((elf.entry, elf.relocatable), (0x1234, false));
        assert_eq!(&file[elf.segments[0].file.clone()], b"text");
        assert_eq!(elf.segments[0].access, Access { write: false, execute: true });
        assert_eq!(elf.segments[1].memory, 0x2000..0x2040);
        assert_eq!(elf.segments[1].access, Access { write: true, execute: false });
    }

    #[test]
    fn relative_relocations_are_read() {
        let rela = words(&[0x1008, 8, 0x40, 0x1010, 0, 7]);
        let dynamic = words(&[DT_RELA, 0x1000, DT_RELASZ, 48, DT_RELAENT, 24, DT_NULL, 0, 36, 1]);
        let file = build(ET_DYN, 0, &[(0x1000, 6, &rela, 0), (0x2000, DYNAMIC, &dynamic, 0)]);
        let elf = Elf::parse(&file).unwrap();
        assert!(elf.relocatable);
        assert_eq!(elf.relocations().unwrap(), [Relative { address: 0x1008, addend: 0x40 }]);
    }

    #[test]
    fn other_relocations_are_refused() {
        let rela = words(&[0x1008, (1 << 32) | 6, 0]);
        let dynamic = words(&[DT_RELA, 0x1000, DT_RELASZ, 24]);
        let file = build(ET_DYN, 0, &[(0x1000, 6, &rela, 0), (0x2000, DYNAMIC, &dynamic, 0)]);
        let refused = Elf::parse(&file).unwrap().relocations();
        assert_eq!(refused, Err(Error::Elf("relocations against symbols")));
        let outside = words(&[DT_RELA, 0x1001, DT_RELASZ, 24]);
        let file = build(ET_DYN, 0, &[(0x1000, 6, &rela, 0), (0x2000, DYNAMIC, &outside, 0)]);
        assert!(Elf::parse(&file).unwrap().relocations().is_err());
    }

    #[test]
    fn garbage_is_refused() {
        for garbage in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0u8; 4096]] {
            assert_eq!(Elf::parse(garbage).err(), Some(Error::Elf("not an ELF file")));
        }
        let good = build(ET_EXEC, 0, &[(0x1000, 5, b"text", 0)]);
        let with = |at: usize, byte: u8| {
            let mut file = good.clone();
            file[at] = byte;
            Elf::parse(&file).err()
        };
        assert_eq!(with(4, 1), Some(Error::Elf("not an x86-64 ELF file")));
        assert_eq!(with(18, 3), Some(Error::Elf("not an x86-64 ELF file")));
        assert_eq!(with(16, 1), Some(Error::Elf("not an executable ELF file")));
        assert!(with(56, 0).is_some());
        assert!(with(64 + 8 + 6, 0xff).is_some());
        assert!(with(64 + 40, 1).is_some());
    }

    /// Every truncation and every single-byte corruption is answered, never with a panic.
    #[test]
    fn damaged_files_never_panic() {
        let rela = words(&[0x1008, 8, 0x40]);
        let dynamic = words(&[DT_RELA, 0x1000, DT_RELASZ, 24]);
        let file = build(ET_DYN, 0, &[(0x1000, 6, &rela, 8), (0x2000, DYNAMIC, &dynamic, 0)]);
        let mut accepted = 0;
        let mut try_one = |bytes: &[u8]| {
            accepted += usize::from(Elf::parse(bytes).and_then(|e| e.relocations()).is_ok());
        };
        for length in 0..file.len() {
            try_one(&file[..length]);
        }
        for at in 0..file.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[at] = byte;
                try_one(&damaged);
            }
        }
        assert!(accepted > 0, "changes to addends must be accepted");
    }
}
