//! The few ACPI facts the kernel wants (ACPI 6.5, chapter 5), read while the loader's page tables are still in force.
use crate::address::DIRECT_MAP;

const HEADER: u64 = 36;

/// Reads an integer from a table. The tables are RAM that the direct map covers.
fn read(address: u64, bytes: usize) -> u64 {
    let mut value = 0;
    for index in (0..bytes).rev() {
        // SAFETY: the loader maps the tables (base revision 4), wherever they lie. Unaligned, hence bytewise.
        let byte = unsafe { ((DIRECT_MAP + address + index as u64) as *const u8).read_volatile() };
        value = value << 8 | u64::from(byte);
    }
    value
}

/// Finds a table by signature: physical address.
fn find(rsdp: u64, signature: &[u8; 4]) -> Option<u64> {
    let revision = read(rsdp + 15, 1);
    let (root, width) =
        if revision >= 2 { (read(rsdp + 24, 8), 8) } else { (read(rsdp + 16, 4), 4) };
    let length = read(root + 4, 4);
    let wanted = u64::from(u32::from_le_bytes(*signature));
    (HEADER..length.min(4096))
        .step_by(width)
        .map(|offset| read(root + offset, width))
        .find(|table| *table != 0 && read(*table, 4) == wanted)
}

/// Physical address of the HPET's registers.
#[must_use]
pub fn hpet(rsdp: u64) -> Option<u64> {
    let rsdp = rsdp.checked_sub(DIRECT_MAP).unwrap_or(rsdp);
    find(rsdp, b"HPET").map(|table| read(table + 44, 8))
}

/// Interrupt controllers in a machine, at most.
const CONTROLLERS: usize = 8;

/// How interrupts come to the cores (ACPI 6.5, 5.2.12).
#[derive(Clone, Copy, Debug, Default)]
pub struct Interrupts {
    /// I/O APICs: physical address of the registers, and the number of the first line.
    pub controllers: [Option<(u64, u32)>; CONTROLLERS],
    /// Where the 16 lines of the ISA arrive, if not at the line of the same number: line, and flags.
    overrides: [Option<(u32, u16)>; 16],
}

/// A line, and how it signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, through all controllers.
    pub number: u32,
    /// It signals as long as it is asserted, not once when that begins.
    pub level: bool,
    /// Asserted is low.
    pub low: bool,
}

impl Interrupts {
    /// The line of an ISA interrupt, from 0 to 15.
    #[must_use]
    pub fn isa(&self, number: u8) -> Line {
        let (line, flags) = self
            .overrides
            .get(usize::from(number))
            .copied()
            .flatten()
            .unwrap_or((number.into(), 0));
        // Zero, the bus's own way, is by edges to high for the ISA.
        Line { number: line, level: flags >> 2 & 3 == 3, low: flags & 3 == 3 }
    }
}

/// Reads the table of interrupt controllers.
#[must_use]
pub fn interrupts(rsdp: u64) -> Interrupts {
    let mut found = Interrupts::default();
    let rsdp = rsdp.checked_sub(DIRECT_MAP).unwrap_or(rsdp);
    let Some(table) = find(rsdp, b"APIC") else { return found };
    let end = table + read(table + 4, 4).min(0x10_0000);
    let (mut at, mut controllers) = (table + HEADER + 8, 0);
    while at + 2 <= end {
        let length = read(at + 1, 1);
        if length < 2 {
            break;
        }
        match read(at, 1) {
            1 if controllers < CONTROLLERS => {
                found.controllers[controllers] = Some((read(at + 4, 4), read(at + 8, 4) as u32));
                controllers += 1;
            }
            2 => {
                let line = (read(at + 4, 4) as u32, read(at + 8, 2) as u16);
                if let Some(place) = found.overrides.get_mut(read(at + 3, 1) as usize) {
                    *place = Some(line);
                }
            }
            _ => {}
        }
        at += length;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isa_lines_go_where_the_table_says() {
        let mut found = Interrupts::default();
        (found.overrides[0], found.overrides[9]) = (Some((2, 0)), Some((9, 0b1101)));
        found.overrides[10] = Some((10, 0b1111));
        let line = |number, level, low| Line { number, level, low };
        assert_eq!(found.isa(0), line(2, false, false));
        assert_eq!(found.isa(1), line(1, false, false));
        assert_eq!(found.isa(9), line(9, true, false));
        assert_eq!(found.isa(10), line(10, true, true));
    }
}
