//! Partition tables, good and damaged.

use crate::common::MemoryDisk;
use proptest::prelude::*;
use serix_block::BlockError;
use serix_init::gpt::{GptError, Partition, Table};

const SECTORS: u64 = 2048;

fn disk() -> MemoryDisk {
    MemoryDisk::with_partitions(SECTORS, &[("boot", 34, 99), ("serix-root", 100, 1999)])
}

#[test]
fn partitions_are_found_by_name() {
    let table = Table::read(&mut disk()).unwrap();
    let root = Partition { name: "serix-root".into(), first: 100, count: 1900 };
    assert_eq!(table.find("serix-root"), Some(&root));
    assert_eq!(table.partitions.len(), 2);
    assert_eq!(table.find("serix"), None);
}

#[test]
fn the_backup_stands_in_for_a_damaged_primary() {
    for damage in [0, 16, 40, 80] {
        let mut disk = disk();
        disk.0[512 + damage] ^= 1;
        assert_eq!(Table::read(&mut disk).unwrap().partitions.len(), 2, "byte {damage}");
    }
    let mut disk = disk();
    disk.0[2 * 512 + 60] ^= 1;
    assert!(Table::read(&mut disk).unwrap().find("boot").is_some());
}

#[test]
fn damage_of_both_is_told() {
    let mut no_table = MemoryDisk(vec![0; 512 * 100]);
    assert_eq!(Table::read(&mut no_table), Err(GptError::NoTable));
    let mut bad_entries = disk();
    for sector in [2, SECTORS - 33] {
        bad_entries.0[sector as usize * 512 + 60] ^= 1;
    }
    assert_eq!(Table::read(&mut bad_entries), Err(GptError::BadCrc));
}

#[test]
fn a_truncated_image_is_told_with_its_size() {
    let mut short = disk();
    short.0.truncate(1000 * 512);
    let error = Table::read(&mut short).unwrap_err();
    assert_eq!(error, GptError::Truncated { wanted: SECTORS, present: 1000 });
    assert!(error.to_string().contains("truncated"), "{error}");
    for sectors in [0, 1] {
        let mut tiny = MemoryDisk(vec![0; sectors * 512]);
        assert_eq!(Table::read(&mut tiny), Err(GptError::Device(BlockError::OutOfRange)));
    }
}

#[test]
fn absurd_headers_with_a_good_crc_are_refused() {
    let fields: [(usize, &[u8]); 6] = [
        (80, &u32::MAX.to_le_bytes()),
        (84, &0_u32.to_le_bytes()),
        (84, &129_u32.to_le_bytes()),
        (40, &u64::MAX.to_le_bytes()),
        (24, &7_u64.to_le_bytes()),
        (12, &600_u32.to_le_bytes()),
    ];
    for (at, value) in fields {
        let mut disk = disk();
        for sector in [1, SECTORS - 1] {
            let start = sector as usize * 512 + at;
            disk.0[start..start + value.len()].copy_from_slice(value);
            disk.reseal(sector);
        }
        assert_eq!(Table::read(&mut disk), Err(GptError::BadHeader), "field {at}");
    }
}

#[test]
fn partitions_outside_of_the_usable_sectors_are_refused() {
    for (first, last) in [(10, 50), (50, 40), (100, SECTORS), (0, u64::MAX)] {
        let mut disk = MemoryDisk::with_partitions(SECTORS, &[("bad", first, last)]);
        assert_eq!(Table::read(&mut disk), Err(GptError::BadHeader), "{first}..={last}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_header_is_read_or_refused(at in 0_usize..92, value in any::<u64>()) {
        let mut disk = disk();
        for sector in [1, SECTORS - 1] {
            let start = sector as usize * 512 + at;
            disk.0[start..start + 8].copy_from_slice(&value.to_le_bytes());
            disk.reseal(sector);
        }
        if let Ok(table) = Table::read(&mut disk) {
            for partition in table.partitions {
                prop_assert!(partition.first + partition.count <= SECTORS);
            }
        }
    }
}
