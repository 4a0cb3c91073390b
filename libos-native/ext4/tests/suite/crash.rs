//! Power failures: the write log is cut anywhere, what was not flushed is kept, lost or torn.
use crate::common::{MODERN, Mounted, be32, check_clean, long, mkfs, options, tool, write_image};
use crate::model::{Model, Outcome, Pair, check_by_debugfs, check_tree};
use crate::random::Random;
use serix_block::SECTOR_SIZE;
use serix_block::host::{Entry, MemoryDisk, RecordingDisk, block_on, replay};
use serix_ext4::{Ext4, FileKind};

/// Steps between two syncs, at most.
const STEPS: u64 = 12;

/// A workload: the image before it, its write log, and the model at each mark of the log. Mark `n`
/// says that a sync of state `n` returned.
struct Recorded {
    base: Vec<u8>,
    log: Vec<Entry>,
    states: Vec<Model>,
}

/// Random operations with a sync now and then.
fn record(arguments: &[&str], size_mib: u64, seed: u64, syncs: usize) -> Recorded {
    let base = mkfs(size_mib, arguments);
    let disk = RecordingDisk::new(MemoryDisk::new(base.clone()));
    let fs = block_on(Ext4::mount(disk.clone(), options())).expect("mount");
    let mut pair = Pair::new(Mounted(fs), seed);
    let mut random = Random::new(seed);
    let mut states = vec![pair.model.clone()];
    for number in 1..=syncs {
        for _ in 0..=random.below(STEPS) {
            assert!(matches!(pair.step(), Outcome::Done));
        }
        block_on(pair.mounted.0.sync()).expect("sync");
        states.push(pair.model.clone());
        disk.mark(number as u64);
    }
    Recorded { base, log: disk.take_log(), states }
}

/// The sector with all that ever changes of the journal's superblock: like Linux we count on a disk that writes a
/// sector whole or not at all there.
fn journal_superblock(image: &[u8]) -> u64 {
    let is_it = |sector: &[u8]| be32(sector, 0) == 0xc03b_3998 && matches!(be32(sector, 4), 3 | 4);
    let found = image.chunks_exact(SECTOR_SIZE).position(is_it);
    found.expect("a journal") as u64
}

/// What the disk may hold after the log was cut at `cut`. The two sectors of the superblock live
/// or die together: a torn one is for a test of its own, as no replay comes before it.
pub(crate) fn cut_log(base: &[u8], log: &[Entry], cut: usize, random: &mut Random) -> Vec<u8> {
    let mut image = base.to_vec();
    let mut superblock = 0;
    let journal = journal_superblock(base);
    replay(&mut image, &log[..cut], |sector| match (sector, random.below(5)) {
        (sector, fate) if sector == journal => {
            if fate < 3 {
                0
            } else {
                SECTOR_SIZE
            }
        }
        (2, fate) => {
            superblock = if fate < 3 { 0 } else { SECTOR_SIZE };
            superblock
        }
        (3, _) => superblock,
        (_, 0 | 1) => 0,
        (_, 2 | 3) => SECTOR_SIZE,
        _ => random.below(SECTOR_SIZE as u64) as usize,
    });
    image
}

fn cut_image(recorded: &Recorded, cut: usize, random: &mut Random) -> Vec<u8> {
    cut_log(&recorded.base, &recorded.log, cut, random)
}

/// The last state whose sync returned before the cut.
fn last_synced(recorded: &Recorded, cut: usize) -> usize {
    let mut marks = recorded.log[..cut].iter().rev().filter_map(|entry| match entry {
        Entry::Mark(mark) => Some(*mark as usize),
        _ => None,
    });
    marks.next().unwrap_or(0)
}

/// Mounts what a crash left, and unmounts it; answers the image.
pub(crate) fn recover(image: Vec<u8>) -> Vec<u8> {
    let disk = MemoryDisk::new(image);
    let fs = block_on(Ext4::mount(disk.clone(), options())).expect("mount after a crash");
    block_on(fs.unmount()).expect("unmount");
    disk.with(|bytes| bytes.clone())
}

/// Without changes after the last sync, everything is as the model says.
fn check_exactly(image: &[u8], model: &Model) {
    let fs = block_on(Ext4::mount(MemoryDisk::new(image.to_vec()), options())).expect("mount");
    check_tree(&Mounted(fs), model, 0, 2);
    check_by_debugfs(image, model);
}

/// Cuts a workload at `cuts` points.
fn cut_everywhere(recorded: &Recorded, cuts: u64, seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..cuts {
        let cut = 1 + random.below(recorded.log.len() as u64) as usize;
        let image = cut_image(recorded, cut, &mut random);
        let recovered = recover(image.clone());
        check_clean(&recovered);
        // e2fsck alone must be content as well: replay and orphans are all it may find.
        let scratch = write_image(&image);
        let (status, said) = tool("e2fsck", &["-fy"], scratch.path());
        assert!(status <= 1, "e2fsck ({status}): {said}");
        let complains =
            ["Fix?", "UNEXPECTED", "multiply-claimed"].into_iter().any(|word| said.contains(word));
        assert!(!complains, "e2fsck after a crash: {said}");
    }
}

#[test]
fn survives_cuts_at_any_point() {
    let cuts = if long() { 400 } else { 12 };
    let sets: [(&[&str], u64); 5] = [
        (MODERN, 32),
        (&["-b", "1024", "-O", "orphan_file", "-J", "size=1"], 16),
        (&["-b", "4096", "-J", "size=4"], 32),
        (&["-b", "4096", "-O", "^metadata_csum,^64bit"], 32),
        (&["-b", "1024", "-t", "ext3"], 32),
    ];
    for (index, (arguments, size)) in sets.into_iter().enumerate() {
        let recorded = record(arguments, size, 50 + index as u64, 40);
        cut_everywhere(&recorded, cuts, index as u64);
    }
}

/// A superblock of which one sector is old and one is new.
#[test]
fn a_torn_superblock_is_believed_as_far_as_its_backup_agrees() {
    let recorded = record(&["-b", "1024"], 32, 5, 8);
    let mut random = Random::new(6);
    let mut torn = 0;
    let step = recorded.log.len() / 12;
    for cut in (1..recorded.log.len()).step_by(step) {
        let mut image = cut_image(&recorded, cut, &mut random);
        let second = 1024 + SECTOR_SIZE..2048;
        if image[second.clone()] != recorded.base[second.clone()] {
            image[second.clone()].copy_from_slice(&recorded.base[second]);
            torn += 1;
        }
        check_clean(&recover(image));
    }
    assert!(torn > 0, "no superblock was torn");
    // What its backup contradicts is not believed.
    let mut image = recorded.base.clone();
    image[1024 + 0x78 - 1] ^= 1;
    let refused = block_on(Ext4::mount(MemoryDisk::new(image), options()));
    assert!(refused.is_err());
}

/// A cut right behind a sync finds exactly the synced state.
#[test]
fn a_sync_keeps_everything() {
    let recorded = record(MODERN, 32, 77, 30);
    let mut random = Random::new(3);
    let marks: Vec<_> = recorded
        .log
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| matches!(entry, Entry::Mark(_)).then_some(index))
        .collect();
    let step = if long() { 1 } else { 5 };
    for index in marks.into_iter().step_by(step) {
        let cut = index + 1;
        let recovered = recover(cut_image(&recorded, cut, &mut random));
        check_clean(&recovered);
        check_exactly(&recovered, &recorded.states[last_synced(&recorded, cut)]);
    }
}

/// Files are written with a byte of their own each; whatever a crash leaves in a file is its own
/// byte or zero, and what was synced by `fsync` is whole.
#[test]
fn no_file_shows_what_was_anothers() {
    const FILES: usize = 24;
    let base = mkfs(16, &["-b", "1024", "-J", "size=1"]);
    let disk = RecordingDisk::new(MemoryDisk::new(base.clone()));
    let fs = block_on(Ext4::mount(disk.clone(), options())).expect("mount");
    let mounted = Mounted(fs);
    let mut random = Random::new(9);
    // Names carry the byte and the length that is promised once `fsync` returned.
    let mut synced: Vec<(u64, String, u8, usize)> = Vec::new();
    let mut removed: Vec<(u64, String)> = Vec::new();
    for round in 0..(FILES * 8) as u64 {
        let byte = 1 + (round % 250) as u8;
        let name = format!("f{round}-{byte}");
        let file = mounted.create(2, &name, FileKind::Regular).expect("create");
        let len = 1 + random.below(300_000) as usize;
        mounted.write(file, 0, &vec![byte; len]).expect("write");
        if random.below(2) == 0 {
            block_on(mounted.0.fsync(file, random.below(2) == 0)).expect("fsync");
            disk.mark(round);
            synced.push((round, name, byte, len));
        }
        if round >= FILES as u64 {
            let victim = round - FILES as u64;
            let name = format!("f{victim}-{}", 1 + (victim % 250) as u8);
            removed.push((victim, name.clone()));
            disk.mark(1_000_000 + victim);
            block_on(mounted.0.unlink(2, name.as_bytes())).expect("unlink");
        }
    }
    let log = disk.take_log();
    let recorded = Recorded { base, log, states: Vec::new() };
    let cuts = if long() { 600 } else { 25 };
    for _ in 0..cuts {
        let cut = 1 + random.below(recorded.log.len() as u64) as usize;
        let recovered = recover(cut_image(&recorded, cut, &mut random));
        check_clean(&recovered);
        let fs = block_on(Ext4::mount(MemoryDisk::new(recovered), options())).expect("mount");
        let mounted = Mounted(fs);
        let passed = |mark: u64| recorded.log[..cut].contains(&Entry::Mark(mark));
        for (name, inode) in mounted.list(2) {
            let name = String::from_utf8(name).expect("name");
            let Some((_, byte)) = name.split_once('-') else { continue };
            let byte: u8 = byte.parse().expect("byte");
            let content = mounted.read_all(inode);
            assert!(content.iter().all(|one| *one == byte || *one == 0), "{name} shows another's");
        }
        for (round, name, byte, len) in &synced {
            if !passed(*round) || passed(1_000_000 + round) {
                continue;
            }
            let inode = block_on(mounted.0.lookup(2, name.as_bytes())).expect("a synced name");
            assert!(mounted.read_all(inode) == vec![*byte; *len], "{name} was synced");
        }
    }
    assert!(!removed.is_empty());
}
