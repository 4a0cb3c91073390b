//! Names of code addresses, from the symbols of ELF files.

use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSymbol, SymbolKind};

/// Where each part has its code (docs/decisions/0003-address-map.md).
pub(crate) const KERNEL: u64 = 0xFFFF_FFFF_8000_0000;
/// That of the libOS.
pub(crate) const LIBOS: std::ops::Range<u64> = 0x7F00_0000_0000..0x7F40_0000_0000;
/// Where position-independent programs are loaded.
pub(crate) const PROGRAM_BASE: u64 = 0x5555_5555_4000;

/// Functions of one file.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Start, size and name, by address.
    functions: Vec<(u64, u64, String)>,
    bias: u64,
}

impl Table {
    /// Those of a file.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("no {}", file.display()))?;
        let object = object::File::parse(&*bytes).with_context(|| file.display().to_string())?;
        // Labels of assembly have no kind; those of data have addresses that no code has.
        let is_code =
            |kind| matches!(kind, SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown);
        let text =
            object.symbols().filter(|symbol| is_code(symbol.kind()) && symbol.address() != 0);
        let functions = text
            .filter_map(|symbol| {
                let name = symbol.name().ok()?;
                let name = format!("{:#}", rustc_demangle::demangle(name));
                Some((symbol.address(), symbol.size(), name))
            })
            .collect();
        Ok(Self::new(functions, bias(&object)))
    }

    /// Of these: start, size, name.
    pub(crate) fn new(mut functions: Vec<(u64, u64, String)>, bias: u64) -> Self {
        functions.sort();
        Self { functions, bias }
    }

    /// Whether it has none.
    pub(crate) fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// The function that an address is in, and how far; assembly has no sizes, and reaches to the next.
    pub(crate) fn find(&self, address: u64) -> Option<(&str, u64)> {
        let address = address.checked_sub(self.bias)?;
        let after = self.functions.partition_point(|function| function.0 <= address);
        let (start, size, name) = self.functions.get(after.checked_sub(1)?)?;
        (*size == 0 || address < start + size).then_some((name, address - start))
    }
}

/// What is added to a program's addresses when it is loaded.
pub(crate) fn program_bias(file: &Path) -> Result<u64> {
    let bytes = std::fs::read(file).with_context(|| format!("no {}", file.display()))?;
    Ok(bias(&object::File::parse(&*bytes).with_context(|| file.display().to_string())?))
}

fn bias(object: &object::File<'_>) -> u64 {
    if object.kind() == object::ObjectKind::Dynamic { PROGRAM_BASE } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_functions() {
        let functions = [(0x1000, 8, "main"), (0x2000, 0, "assembly"), (0x2010, 4, "last")];
        let owned = functions.map(|(start, size, name)| (start, size, name.to_owned()));
        let table = Table::new(owned.to_vec(), 0x10_0000);
        assert_eq!(table.find(0x10_1007), Some(("main", 7)));
        assert_eq!(table.find(0x10_1008), None, "between functions");
        assert_eq!(table.find(0x10_200F), Some(("assembly", 15)));
        assert_eq!(table.find(0x1000), None, "below where the file is loaded");
    }
}
