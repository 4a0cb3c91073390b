//! Replay: what a crash left in the log goes to its place.
use super::Log;
use crate::cache::NumberMap;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::layout::bytes::put_be32;
use crate::layout::journal::{MAGIC, Tag, header, is_before, kind};
use alloc::vec::Vec;
use serix_block::BlockDevice;

/// A block of a complete transaction.
struct Logged {
    tag: Tag,
    at: u32,
    sequence: u32,
}

#[derive(Default)]
struct Scan {
    blocks: Vec<Logged>,
    revoked: Vec<(u64, u32)>,
    /// How many of both belong to complete transactions.
    complete: (usize, usize),
}

impl Log {
    /// Replays the log onto the disk and answers the first number for a new transaction. The log
    /// on disk is empty afterwards.
    pub(crate) async fn recover<D: BlockDevice>(&mut self, disk: &Disk<D>) -> Result<u32> {
        let first = self.superblock.sequence;
        if self.superblock.start == 0 {
            return Ok(first);
        }
        let mut scan = Scan::default();
        let next = self.scan(disk, &mut scan).await?;
        scan.blocks.truncate(scan.complete.0);
        scan.revoked.truncate(scan.complete.1);
        self.replay(disk, &scan).await?;
        disk.flush().await?;
        // One number is left out, so that remains of the last transaction never continue the log.
        let next = next.wrapping_add(1);
        self.write_superblock(disk, 0, next).await?;
        disk.flush().await?;
        Ok(next)
    }

    /// Reads transactions until one is not complete; answers its number.
    async fn scan<D: BlockDevice>(&self, disk: &Disk<D>, scan: &mut Scan) -> Result<u32> {
        let mut sequence = self.superblock.sequence;
        let (mut at, mut left) = (self.superblock.start, self.capacity());
        while left > 0 {
            let block = self.read(disk, at).await?;
            let Some((kind, number)) = header(&block) else { break };
            if number != sequence {
                break;
            }
            at = self.after(at);
            left -= 1;
            match kind {
                kind::DESCRIPTOR => {
                    if !self.superblock.format.is_tail_intact(&block) {
                        break;
                    }
                    for tag in self.superblock.format.tags(&block) {
                        scan.blocks.push(Logged { tag, at, sequence });
                        at = self.after(at);
                        left = left.saturating_sub(1);
                    }
                }
                kind::REVOKE => {
                    if !self.superblock.format.is_tail_intact(&block) {
                        break;
                    }
                    let revoked = self.superblock.format.revoked(&block);
                    scan.revoked.extend(revoked.map(|block| (block, sequence)));
                }
                kind::COMMIT => {
                    if !self.superblock.format.is_commit_intact(&block) {
                        break;
                    }
                    scan.complete = (scan.blocks.len(), scan.revoked.len());
                    sequence = sequence.wrapping_add(1);
                }
                _ => break,
            }
        }
        Ok(sequence)
    }

    async fn replay<D: BlockDevice>(&self, disk: &Disk<D>, scan: &Scan) -> Result<()> {
        let mut revoked = NumberMap::<u64, u32>::default();
        for (block, sequence) in &scan.revoked {
            let last = revoked.entry(*block).or_insert(*sequence);
            if is_before(*last, *sequence) {
                *last = *sequence;
            }
        }
        // Only the last copy of a block counts.
        let mut last = NumberMap::<u64, usize>::default();
        for (index, logged) in scan.blocks.iter().enumerate() {
            last.insert(logged.tag.block, index);
        }
        for (index, logged) in scan.blocks.iter().enumerate() {
            let block = logged.tag.block;
            let dead = revoked.get(&block).is_some_and(|until| !is_before(*until, logged.sequence));
            if !dead && last.get(&block) == Some(&index) {
                self.replay_block(disk, logged).await?;
            }
        }
        Ok(())
    }

    async fn replay_block<D: BlockDevice>(&self, disk: &Disk<D>, logged: &Logged) -> Result<()> {
        let mut data = self.read(disk, logged.at).await?;
        if !self.superblock.format.is_data_intact(&logged.tag, logged.sequence, &data) {
            return Err(Error::corrupt_block("journal data checksum", logged.tag.block));
        }
        if logged.tag.escaped {
            put_be32(&mut data, 0, MAGIC);
        }
        if logged.tag.block >= disk.blocks() {
            return Err(Error::corrupt_block(
                "journal names a block out of range",
                logged.tag.block,
            ));
        }
        disk.write_block(logged.tag.block, &data).await
    }
}
