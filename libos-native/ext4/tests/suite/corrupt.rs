//! Damaged images: errors, never a panic, an endless loop or unbounded memory.
use crate::checksums::Metadata;
use crate::common::{MODERN, Mounted, long, mkfs, plain};
use crate::model::{Outcome, Pair};
use crate::random::Random;
use crate::raw::peak_memory;
use serix_block::host::{FaultyDisk, MemoryDisk, block_on};
use serix_ext4::{Ext4, FileKind, Options, RenameFlags, SeekTarget, Time};
use std::sync::Arc;

/// Requests to the device after which a walk over a small image counts as endless.
const REQUEST_LIMIT: u64 = 200_000;
/// Most memory for all that is done with a small image: twice what the cache of 4 MiB and the pages of
/// transactions, 3 MiB, may take, and as much for inodes and what the test itself has.
const MEMORY_LIMIT: usize = 24 << 20;

/// An image with a bit of everything in it.
fn sample(arguments: &[&str], size_mib: u64) -> Vec<u8> {
    let disk = MemoryDisk::new(mkfs(size_mib, arguments));
    let mut pair = Pair::new(Mounted(crate::common::mount(&disk)), 4);
    for _ in 0..500 {
        assert!(matches!(pair.step(), Outcome::Done));
    }
    let fs = &pair.mounted.0;
    let many = pair.mounted.create(2, "many", FileKind::Directory).expect("mkdir");
    for number in 0..400 {
        let name = format!("entry-of-a-directory-with-an-index-{number}");
        pair.mounted.create(many, &name, FileKind::Regular).expect("create");
    }
    let sparse = pair.mounted.create(2, "sparse", FileKind::Regular).expect("create");
    for number in 0..400 {
        pair.mounted.write(sparse, number * 16_384, &[1; 100]).expect("write");
    }
    block_on(fs.set_xattr(sparse, b"user.x", &[3; 600], serix_ext4::XattrMode::Any))
        .expect("xattr");
    block_on(fs.unmount()).expect("unmount");
    disk.with(|bytes| bytes.clone())
}

/// Blocks that hold metadata, as far as they can be told by looking: those that are not all one
/// byte, as the contents of the model's files are.
fn interesting(image: &[u8], block: usize) -> Vec<usize> {
    let is_mixed = |bytes: &[u8]| bytes.iter().any(|byte| *byte != bytes[0]);
    let blocks = image.chunks(block).enumerate();
    blocks.filter(|(_, bytes)| is_mixed(bytes)).map(|(index, _)| index).collect()
}

/// Changes some bytes of some blocks; answers which.
fn damage(image: &mut [u8], blocks: &[usize], block: usize, random: &mut Random) -> Vec<usize> {
    let mut changed = Vec::new();
    for _ in 0..1 + random.below(6) {
        let index = blocks[random.below(blocks.len() as u64) as usize];
        changed.push(index);
        // The beginning of a block, where headers are, more often than the rest.
        let within =
            if random.below(2) == 0 { random.below(64) } else { random.below(block as u64) };
        let at = index * block + within as usize;
        match random.below(4) {
            0 => image[at] ^= 1 << random.below(8),
            1 => image[at] = 0xff,
            2 => image[at] = random.next() as u8,
            _ => {
                let end = (at + random.below(40) as usize).min(image.len());
                image[at..end].fill(0);
            }
        }
    }
    changed
}

/// Options that tell nobody.
fn quiet() -> Options {
    Options::new(Arc::new(|| Time { seconds: 1_700_000_000, nanoseconds: 0 }))
}

/// Uses everything that can be reached, and ignores every error.
fn use_all(fs: &Ext4<FaultyDisk<MemoryDisk>>, directory: u32, depth: u32, budget: &mut u32) {
    let mut cookie = 0;
    while let Ok(entries) = block_on(fs.read_dir(directory, cookie)) {
        let Some(last) = entries.last() else { break };
        assert!(last.next > cookie, "a listing that does not get on");
        cookie = last.next;
        for entry in entries {
            if *budget == 0 {
                return;
            }
            *budget -= 1;
            use_inode(fs, entry.inode);
            let _ = block_on(fs.lookup(directory, &entry.name));
            if depth < 6 {
                use_all(fs, entry.inode, depth + 1, budget);
            }
        }
    }
}

fn use_inode(fs: &Ext4<FaultyDisk<MemoryDisk>>, inode: u32) {
    let pages = crate::common::pages_of(&[0; 3 * 4096]);
    let _ = block_on(fs.attributes(inode));
    let _ = block_on(fs.read_pages(inode, 0, &pages));
    let _ = block_on(fs.read_pages(inode, 900, &pages));
    let _ = block_on(fs.readlink(inode));
    let _ = block_on(fs.xattr_names(inode));
    let _ = block_on(fs.seek(inode, 0, SeekTarget::Hole, 1 << 30));
}

/// Changes what can be reached.
fn change_all(fs: &Ext4<FaultyDisk<MemoryDisk>>, random: &mut Random) {
    let Ok(entries) = block_on(fs.read_dir(2, 0)) else { return };
    let pages = crate::common::pages_of(&[7; 2 * 4096]);
    for (number, entry) in entries.iter().enumerate().take(24) {
        let fresh = format!("fresh-{number}");
        let _ = block_on(fs.create(2, fresh.as_bytes(), plain(FileKind::Regular)));
        let _ = block_on(fs.create(entry.inode, fresh.as_bytes(), plain(FileKind::Directory)));
        let _ = block_on(fs.write_pages(entry.inode, random.below(300), &pages, u64::MAX >> 20));
        let _ = match random.below(5) {
            0 => block_on(fs.truncate(entry.inode, random.below(100_000))),
            1 => block_on(fs.unlink(2, &entry.name)),
            2 => block_on(fs.rmdir(2, &entry.name)),
            3 => block_on(fs.link(entry.inode, 2, b"linked")),
            _ => block_on(fs.rename(2, &entry.name, 2, b"renamed", RenameFlags::Replace)),
        };
    }
    let _ = block_on(fs.sync());
}

fn try_image(image: Vec<u8>, random: &mut Random) -> bool {
    let (mounted, memory) = peak_memory(|| use_image(image, random));
    assert!(memory < MEMORY_LIMIT, "{memory} bytes of memory for a damaged image");
    mounted
}

fn use_image(image: Vec<u8>, random: &mut Random) -> bool {
    let disk = FaultyDisk::new(MemoryDisk::new(image));
    disk.fail(REQUEST_LIMIT, true);
    let Ok(fs) = block_on(Ext4::mount(disk.clone(), quiet())) else { return false };
    use_all(&fs, 2, 0, &mut 3000);
    change_all(&fs, random);
    let _ = block_on(fs.unmount());
    assert!(disk.requests() < REQUEST_LIMIT, "endless work on a damaged image");
    true
}

/// Without checksums nothing hides behind them: every damage gets through to the code that must
/// stand it. With them, half of the damage is found at once.
#[test]
fn damage_is_an_error() {
    let rounds = if long() { 2_000 } else { 24 };
    let sets: [(&[&str], u64, usize); 3] = [
        (&["-b", "1024", "-O", "^metadata_csum,^64bit", "-J", "size=1"], 16, 1024),
        (MODERN, 16, 4096),
        (&["-b", "1024", "-t", "ext2"], 16, 1024),
    ];
    for (index, (arguments, size, block)) in sets.into_iter().enumerate() {
        let image = sample(arguments, size);
        let blocks = interesting(&image, block);
        let mut random = Random::new(index as u64);
        let mut mounted = 0;
        for _ in 0..rounds {
            let mut bad = image.clone();
            damage(&mut bad, &blocks, block, &mut random);
            mounted += u32::from(try_image(bad, &mut random));
        }
        assert!(mounted > rounds / 4, "{mounted} of {rounds} images were mounted at all");
    }
}

/// Checksums are made right again after the damage, so that it is the code behind them that must
/// stand it.
#[test]
fn damage_behind_good_checksums_is_an_error() {
    let rounds = if long() { 3_000 } else { 24 };
    let small = ["-b", "1024", "-O", "orphan_file", "-J", "size=1"];
    for (index, (arguments, block)) in [(MODERN, 4096), (&small[..], 1024)].into_iter().enumerate()
    {
        let image = sample(arguments, 16);
        let metadata = Metadata::find(&image);
        let blocks = metadata.blocks();
        let mut same = image.clone();
        metadata.seal(&mut same, &blocks);
        let differs = (0..image.len() / block).find(|index| {
            let at = index * block..(index + 1) * block;
            same[at.clone()] != image[at]
        });
        assert_eq!(differs, None, "the checksums of a sound image are not as computed here");
        let mut random = Random::new(200 + index as u64);
        let (mut mounted, mut refused) = (0, 0);
        for _ in 0..rounds {
            let mut bad = image.clone();
            let changed = damage(&mut bad, &blocks, block, &mut random);
            metadata.seal(&mut bad, &changed);
            let is_mounted = try_image(bad, &mut random);
            mounted += u32::from(is_mounted);
            refused += u32::from(!is_mounted);
        }
        assert!(mounted > rounds / 2, "{mounted} mounted, {refused} refused: checksums are wrong");
    }
}

/// Random bytes behind a good superblock.
#[test]
fn noise_is_an_error() {
    let image = sample(&["-b", "1024", "-O", "^metadata_csum,^64bit", "-J", "size=1"], 16);
    let mut random = Random::new(99);
    for _ in 0..if long() { 2_000 } else { 16 } {
        let mut bad = image.clone();
        let from = 2048 + random.below(300) as usize * 1024;
        for byte in &mut bad[from..from + 4096] {
            *byte = random.next() as u8;
        }
        try_image(bad, &mut random);
    }
}
