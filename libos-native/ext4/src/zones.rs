//! Where the file system's own blocks lie: no file may claim them.
//!
//! A damaged map that leads there would let a write to a file destroy bitmaps or inodes. The ranges
//! are few: with `flex_bg` those of many groups lie side by side and are one.
use crate::allocator::Group;
use crate::layout::superblock::Superblock;
use alloc::vec::Vec;
use spin::Mutex;

/// Disjoint ranges in ascending order: start and end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zones(Vec<(u64, u64)>);

impl Zones {
    /// The zones of a file system with these groups.
    pub(crate) fn new(superblock: &Superblock, groups: &[Mutex<Group>]) -> Self {
        let table = superblock.inodes_per_group as usize * superblock.inode_size;
        let table_blocks = (table / superblock.block_size) as u64;
        let mut zones = Self::default();
        for (group, number) in groups.iter().zip(0..) {
            let descriptor = group.lock().descriptor;
            zones.add(superblock.group_start(number), superblock.backup_blocks(number).into());
            zones.add(descriptor.block_bitmap, 1);
            zones.add(descriptor.inode_bitmap, 1);
            zones.add(descriptor.inode_table, table_blocks);
        }
        zones.merge();
        zones
    }

    fn add(&mut self, start: u64, len: u64) {
        let end = start + len;
        match self.0.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ if len > 0 => self.0.push((start, end)),
            _ => {}
        }
    }

    fn merge(&mut self) {
        self.0.sort_unstable();
        self.0.dedup_by(|next, before| {
            let joins = next.0 <= before.1;
            if joins {
                before.1 = before.1.max(next.1);
            }
            joins
        });
        self.0.shrink_to_fit();
    }

    /// Whether a range has a block of a zone.
    pub(crate) fn touches(&self, start: u64, len: u64) -> bool {
        let next = self.0.partition_point(|zone| zone.1 <= start);
        self.0.get(next).is_some_and(|zone| zone.0 < start + len)
    }
}

#[cfg(test)]
mod tests {
    use super::Zones;

    #[test]
    fn ranges_merge_and_are_found() {
        let mut zones = Zones::default();
        for (start, len) in [(10, 2), (12, 1), (30, 5), (5, 5), (33, 4), (50, 0)] {
            zones.add(start, len);
        }
        zones.merge();
        assert_eq!(zones.0, [(5, 13), (30, 37)]);
        let touched: std::vec::Vec<u64> = (0..60).filter(|at| zones.touches(*at, 1)).collect();
        assert_eq!(touched, (5..13).chain(30..37).collect::<std::vec::Vec<u64>>());
        assert!(zones.touches(0, 6) && !zones.touches(13, 17) && zones.touches(13, 18));
    }
}
