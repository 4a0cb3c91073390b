//! Journals that others wrote: `debugfs` makes transactions, mounting replays them.
use crate::common::{Mounted, Scratch, check_clean, mkfs, mount, tool, write_image};
use serix_block::host::{MemoryDisk, block_on};
use serix_ext4::FileKind;

/// An image with a file of known content, and the block where that lies.
fn with_file(arguments: &[&str]) -> (Vec<u8>, u64) {
    let disk = MemoryDisk::new(mkfs(32, arguments));
    let mounted = Mounted(mount(&disk));
    let file = mounted.create(2, "file", FileKind::Regular).expect("create");
    mounted.write(file, 0, &[b'a'; 4096]).expect("write");
    block_on(mounted.0.unmount()).expect("unmount");
    let image = disk.with(|bytes| bytes.clone());
    let said = crate::common::debugfs(&image, "blocks /file");
    let block = said.split_whitespace().find_map(|word| word.parse().ok());
    let block = block.unwrap_or_else(|| panic!("{said}"));
    (image, block)
}

/// Lets `debugfs` run commands that write.
fn script(image: &[u8], commands: &str) -> Vec<u8> {
    let scratch = write_image(image);
    let list = Scratch::new();
    std::fs::write(list.path(), commands).expect("commands");
    let file = list.path().to_string_lossy().into_owned();
    let (_, said) = tool("debugfs", &["-w", "-f", &file], scratch.path());
    let complaint = said.lines().find(|line| line.contains("error") || line.contains("unknown"));
    assert_eq!(complaint, None, "debugfs: {said}");
    std::fs::read(scratch.path()).expect("image")
}

fn content(image: &[u8]) -> Vec<u8> {
    let disk = MemoryDisk::new(image.to_vec());
    let mounted = Mounted(mount(&disk));
    let file = block_on(mounted.0.lookup(2, b"file")).expect("lookup");
    let content = mounted.read_all(file);
    block_on(mounted.0.unmount()).expect("unmount");
    check_clean(&disk.with(|bytes| bytes.clone()));
    content
}

fn formats() -> [&'static [&'static str]; 3] {
    [
        &["-b", "4096"],
        &["-b", "4096", "-O", "^64bit,^metadata_csum"],
        &["-b", "4096", "-O", "orphan_file,metadata_csum_seed"],
    ]
}

#[test]
fn transactions_are_replayed() {
    for arguments in formats() {
        let (image, block) = with_file(arguments);
        let source = Scratch::new();
        std::fs::write(source.path(), [b'b'; 4096]).expect("source");
        let open =
            if arguments.len() == 4 && arguments[3].starts_with('^') { "jo" } else { "jo -c" };
        let write = format!("{open}\njw -b {block} {}\njc\n", source.path().display());
        let image = script(&image, &write);
        assert_eq!(content(&image), [b'b'; 4096], "{arguments:?}");
    }
}

#[test]
fn revoked_blocks_are_not_replayed() {
    for arguments in formats() {
        let (image, block) = with_file(arguments);
        let source = Scratch::new();
        std::fs::write(source.path(), [b'b'; 4096]).expect("source");
        let open =
            if arguments.len() == 4 && arguments[3].starts_with('^') { "jo" } else { "jo -c" };
        let path = source.path().display();
        let write = format!("{open}\njw -b {block} {path}\njw -r {block}\njc\n");
        let image = script(&image, &write);
        assert_eq!(content(&image), [b'a'; 4096], "{arguments:?}");
    }
}

/// A block that begins as the journal's own do is disguised in the log.
#[test]
fn blocks_that_look_like_the_journals_come_back() {
    let (image, block) = with_file(&["-b", "4096"]);
    let source = Scratch::new();
    let mut bytes = [b'c'; 4096];
    bytes[..4].copy_from_slice(&[0xc0, 0x3b, 0x39, 0x98]);
    std::fs::write(source.path(), bytes).expect("source");
    let image = script(&image, &format!("jo -c\njw -b {block} {}\njc\n", source.path().display()));
    assert_eq!(content(&image), bytes);
}
