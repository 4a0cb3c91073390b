//! Names of kernel functions, from the ELF file that the loader kept.
use core::fmt::{Display, Formatter, Result};
use spin::Once;
use xmas_elf::ElfFile;
use xmas_elf::sections::SectionData;
use xmas_elf::symbol_table::{Entry, Type};

static FILE: Once<&'static [u8]> = Once::new();

/// Names the kernel's file.
pub(crate) fn init(file: &'static [u8]) {
    FILE.call_once(|| file);
}

/// An address, shown as demangled function + offset where a symbol covers it.
pub(crate) struct Symbol(pub(crate) u64);

impl Display for Symbol {
    fn fmt(&self, formatter: &mut Formatter) -> Result {
        match FILE.get().and_then(|file| find(file, self.0)) {
            Some((name, offset)) => {
                write!(formatter, "{:#x} {:#}+{offset:#x}", self.0, rustc_demangle::demangle(name))
            }
            None => write!(formatter, "{:#x}", self.0),
        }
    }
}

fn find(file: &'static [u8], address: u64) -> Option<(&'static str, u64)> {
    let elf = ElfFile::new(file).ok()?;
    let section = elf.find_section_by_name(".symtab")?;
    let SectionData::SymbolTable64(symbols) = section.get_data(&elf).ok()? else { return None };
    let symbol = symbols.iter().find(|symbol| {
        symbol.get_type() == Ok(Type::Func)
            && (symbol.value()..symbol.value() + symbol.size().max(1)).contains(&address)
    })?;
    // The name borrows from the file's string table, which is static; `xmas-elf` ties it to `elf`.
    let strings = elf.find_section_by_name(".strtab")?.offset() as usize;
    let name = &file[strings + symbol.name() as usize..];
    let end = name.iter().position(|byte| *byte == 0)?;
    Some((core::str::from_utf8(&name[..end]).ok()?, address - symbol.value()))
}
