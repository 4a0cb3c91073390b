//! The few ACPI facts that a loader needs: where the tables lie, and which CPUs and I/O APICs
//! there are.
//!
//! Tables are firmware's bytes: lengths and counts are bounded, and what makes no sense is left
//! out. ACPI 6.5, sections 5.2.5 (RSDP) and 5.2.12 (MADT).

use alloc::vec::Vec;
use core::ops::Range;

const RSDP_SIGNATURE: &[u8; 8] = b"RSD PTR ";
const HEADER: usize = 36;
const MAX_TABLE: usize = 1 << 20;
const MAX_TABLES: usize = 256;
const MADT_ENABLED: u32 = 1;

/// Physical memory as far as the loader can read it.
pub trait Physical {
    /// The bytes at `address`, or `None` where nothing can be read.
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]>;
}

/// A CPU that the firmware says is usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processor {
    /// ACPI processor UID.
    pub acpi_id: u32,
    /// Local APIC id.
    pub apic_id: u32,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Acpi {
    /// Physical bytes of each table, RSDP first.
    pub tables: Vec<Range<u64>>,
    /// Usable CPUs in the MADT's order; empty without a MADT.
    pub processors: Vec<Processor>,
    /// Physical addresses of the I/O APICs' registers.
    pub io_apics: Vec<u64>,
}

/// Looks for the RSDP where a BIOS puts it: the first KiB of the extended BIOS data area, then
/// the BIOS's read-only memory.
pub fn find_rsdp(memory: &impl Physical) -> Option<u64> {
    let segment = memory.bytes(0x40e, 2).map_or(0, |b| u64::from(b[0]) | u64::from(b[1]) << 8);
    let extended = segment << 4;
    let areas = [extended..extended + 1024, 0xe_0000..0x10_0000];
    let mut places = areas.into_iter().filter(|a| a.start >= 0x8_0000).flat_map(|a| a.step_by(16));
    places.find(|&at| is_rsdp(memory, at))
}

fn is_rsdp(memory: &impl Physical, address: u64) -> bool {
    let bytes = memory.bytes(address, 20);
    bytes.is_some_and(|bytes| bytes.starts_with(RSDP_SIGNATURE) && checksum(bytes) == 0)
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    word.map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Walks the tables from the RSDP at `rsdp`.
pub fn walk(memory: &impl Physical, rsdp: u64) -> Acpi {
    let mut found = Acpi::default();
    if !is_rsdp(memory, rsdp) {
        return found;
    }
    let revision = memory.bytes(rsdp, 20).map_or(0, |bytes| bytes[15]);
    let size = if revision >= 2 { 36 } else { 20 };
    let Some(root) = memory.bytes(rsdp, size) else { return found };
    found.tables.push(rsdp..rsdp + size as u64);
    let extended = if revision >= 2 { u64_at(root, 24) } else { 0 };
    let (root_table, entry) = match extended {
        0 => (u64::from(u32_at(root, 16)), 4),
        address => (address, 8),
    };
    let Some(root_table) = found.add(memory, root_table) else { return found };
    for entry in root_table[HEADER..].chunks_exact(entry).take(MAX_TABLES) {
        let address = if entry.len() == 8 { u64_at(entry, 0) } else { u64::from(u32_at(entry, 0)) };
        let Some(table) = found.add(memory, address) else { continue };
        match &table[..4] {
            b"APIC" => found.read_madt(table),
            b"FACP" => found.read_fadt(memory, table),
            _ => {}
        }
    }
    found
}

impl Acpi {
    fn add<'m>(&mut self, memory: &'m impl Physical, address: u64) -> Option<&'m [u8]> {
        let length = u32_at(memory.bytes(address, HEADER).filter(|_| address != 0)?, 4) as usize;
        let length = Some(length).filter(|length| (HEADER..=MAX_TABLE).contains(length))?;
        let table = memory.bytes(address, length)?;
        self.tables.push(address..address + length as u64);
        Some(table)
    }

    /// The FADT points to the DSDT and to the FACS, which has no common header.
    fn read_fadt(&mut self, memory: &impl Physical, table: &[u8]) {
        let choose = |old: usize, new: usize| match u64_at(table, new) {
            0 => u64::from(u32_at(table, old)),
            address => address,
        };
        self.add(memory, choose(40, 140));
        let facs = choose(36, 132);
        if facs != 0 && memory.bytes(facs, 64).is_some_and(|bytes| bytes.starts_with(b"FACS")) {
            self.tables.push(facs..facs + 64);
        }
    }

    fn read_madt(&mut self, table: &[u8]) {
        let mut rest = table.get(44..).unwrap_or_default();
        while let [kind, length, ..] = *rest {
            let length = usize::from(length);
            if length < 2 || length > rest.len() {
                return;
            }
            self.read_madt_entry(kind, &rest[..length]);
            rest = &rest[length..];
        }
    }

    fn read_madt_entry(&mut self, kind: u8, entry: &[u8]) {
        let (acpi_id, apic_id, flags) = match (kind, entry.len()) {
            (0, 8..) => (u32::from(entry[2]), u32::from(entry[3]), u32_at(entry, 4)),
            (9, 16..) => (u32_at(entry, 12), u32_at(entry, 4), u32_at(entry, 8)),
            (1, 12..) => return self.io_apics.push(u64::from(u32_at(entry, 4))),
            _ => return,
        };
        let known = self.processors.iter().any(|processor| processor.apic_id == apic_id);
        if flags & MADT_ENABLED != 0 && !known {
            self.processors.push(Processor { acpi_id, apic_id });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Fake(BTreeMap<u64, Vec<u8>>);

    impl Physical for Fake {
        fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
            let (base, bytes) = self.0.range(..=address).next_back()?;
            let offset = usize::try_from(address - base).ok()?;
            bytes.get(offset..offset.checked_add(length)?)
        }
    }

    fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..4].copy_from_slice(signature);
        bytes[4..8].copy_from_slice(&((HEADER + body.len()) as u32).to_le_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn rsdp(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
        let mut bytes = vec![0; 36];
        bytes[..8].copy_from_slice(RSDP_SIGNATURE);
        bytes[15] = revision;
        bytes[16..20].copy_from_slice(&rsdt.to_le_bytes());
        bytes[24..32].copy_from_slice(&xsdt.to_le_bytes());
        bytes[8] = checksum(&bytes[..20]).wrapping_neg();
        bytes
    }

    fn madt() -> Vec<u8> {
        let mut body = vec![0; 8];
        body.extend_from_slice(&[0, 8, 0, 0, 1, 0, 0, 0]);
        body.extend_from_slice(&[0, 8, 1, 2, 1, 0, 0, 0]);
        body.extend_from_slice(&[0, 8, 2, 4, 0, 0, 0, 0]);
        body.extend_from_slice(&[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
        body.extend_from_slice(&[9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0]);
        body.extend_from_slice(&[9, 16, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]);
        table(b"APIC", &body)
    }

    fn machine() -> Fake {
        let mut fadt = vec![0; 112];
        fadt[0..4].copy_from_slice(&0x5000u32.to_le_bytes());
        fadt[4..8].copy_from_slice(&0x6000u32.to_le_bytes());
        let mut facs = b"FACS".to_vec();
        facs.resize(64, 0);
        let pointers = [0x3000u32, 0x4000, 0xdead_0000].map(u32::to_le_bytes).concat();
        Fake(BTreeMap::from([
            (0x40e, vec![0xc0, 0x9f]),
            (0xf_5a40, rsdp(0, 0x2000, 0)),
            (0x2000, table(b"RSDT", &pointers)),
            (0x3000, table(b"FACP", &fadt)),
            (0x4000, madt()),
            (0x5000, facs),
            (0x6000, table(b"DSDT", &[1; 100])),
        ]))
    }

    #[test]
    fn tables_and_processors_are_found() {
        let memory = machine();
        assert_eq!(find_rsdp(&memory), Some(0xf_5a40));
        let found = walk(&memory, 0xf_5a40);
        let starts: Vec<_> = found.tables.iter().map(|t| t.start).collect();
        assert_eq!(starts, [0xf_5a40, 0x2000, 0x3000, 0x6000, 0x5000, 0x4000]);
        assert_eq!(found.tables[3], 0x6000..0x6000 + 136);
        let ids: Vec<_> = found.processors.iter().map(|p| (p.acpi_id, p.apic_id)).collect();
        assert_eq!(ids, [(0, 0), (1, 2), (7, 256)]);
        assert_eq!(found.io_apics, [0xfec0_0000]);
    }

    #[test]
    fn revision_2_uses_the_xsdt() {
        let mut memory = machine();
        memory.0.insert(0x7000, table(b"XSDT", &0x4000u64.to_le_bytes()));
        memory.0.insert(0x9_fc00, rsdp(2, 0x2000, 0x7000));
        assert_eq!(find_rsdp(&memory), Some(0x9_fc00));
        let found = walk(&memory, 0x9_fc00);
        assert_eq!(found.tables.len(), 3);
        assert_eq!(found.processors.len(), 3);
    }

    #[test]
    fn damaged_tables_are_left_out() {
        let mut memory = machine();
        memory.0.get_mut(&0x4000).unwrap()[HEADER + 8 + 1] = 0;
        assert_eq!(walk(&memory, 0xf_5a40).processors, []);
        memory.0.get_mut(&0x2000).unwrap()[4] = 1;
        assert_eq!(walk(&memory, 0xf_5a40).tables.len(), 1);
        memory.0.get_mut(&0xf_5a40).unwrap()[8] ^= 1;
        assert_eq!(find_rsdp(&memory), None);
        assert_eq!(walk(&memory, 0xf_5a40), Acpi::default());
        assert_eq!(find_rsdp(&Fake::default()), None);
    }
}
