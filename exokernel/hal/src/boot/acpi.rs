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
