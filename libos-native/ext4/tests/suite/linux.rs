//! Linux as the judge, and as the other side.
//!
//! Runs with `SERIX_LONG=1` where `SERIX_LINUX` names a directory that holds `vmlinuz`, a kernel with
//! ext4 and a serial console, and `initrd`, whose `init` loads the virtio drivers, runs the shell
//! script on `/dev/vdb` and powers off. The image is `/dev/vda`. `cargo xtask test --long` makes one.
use crate::common::{MODERN, Mounted, Scratch, check_clean, long, mkfs, mount, write_image};
use crate::model::{Content, Model, Outcome, Pair, check_tree};
use serix_block::host::{MemoryDisk, block_on};
use std::process::Command;

/// Bytes of the disk that holds the script.
const SCRIPT_SIZE: usize = 1 << 16;

/// Boots Linux with an image and lets it run a script; answers what it printed, and the image.
fn run_linux(image: &[u8], script: &str) -> Option<(String, Vec<u8>)> {
    let Some(directory) = std::env::var_os("SERIX_LINUX") else {
        let test = std::thread::current().name().unwrap_or("linux").to_owned();
        println!("SKIP {test}: no Linux in SERIX_LINUX");
        return None;
    };
    let directory = std::path::PathBuf::from(directory);
    let disk = write_image(image);
    let commands = Scratch::new();
    let mut padded = script.as_bytes().to_vec();
    padded.resize(SCRIPT_SIZE, b'\n');
    std::fs::write(commands.path(), padded).expect("script");
    let drive = |path: &std::path::Path| {
        format!("file={},format=raw,if=virtio,cache=unsafe", path.display())
    };
    let output = Command::new("timeout")
        .args(["300", "qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-display", "none"])
        .args(["-no-reboot", "-serial", "stdio", "-monitor", "none", "-nic", "none"])
        .arg("-kernel")
        .arg(directory.join("vmlinuz"))
        .arg("-initrd")
        .arg(directory.join("initrd"))
        .args(["-append", "console=ttyS0 panic=-1 quiet"])
        .args(["-drive", &drive(disk.path()), "-drive", &drive(commands.path())])
        .output()
        .expect("qemu-system-x86_64");
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    Some((said, std::fs::read(disk.path()).expect("image")))
}

/// The checksum that the command `crc32` prints.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 != 0 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    };
    !bytes.iter().fold(!0, step)
}

/// What Linux should print for each inode of the model.
fn expected(model: &Model, directory: usize, path: &str, lines: &mut Vec<String>) {
    for (name, number) in model.entries(directory) {
        let path = format!("{path}/{name}");
        match &model.inodes[number] {
            Content::Directory(_) => {
                lines.push(format!("D {path}"));
                expected(model, *number, &path, lines);
            }
            Content::File(bytes) => {
                lines.push(format!("F {:08x} {} {path}", crc32(bytes), bytes.len()));
            }
            Content::Link(target) => {
                lines.push(format!("L {} {path}", String::from_utf8_lossy(target)));
            }
        }
    }
}

const LIST: &str = "cd /m; find . -mindepth 1 | grep -v lost+found | while read n; do \
    p=${n#.}; if [ -L \"$n\" ]; then echo \"L $(readlink \"$n\") $p\"; \
    elif [ -d \"$n\" ]; then echo \"D $p\"; \
    else set -- $(crc32 \"$n\"); echo \"F $1 $(stat -c %s \"$n\") $p\"; fi; done; cd /\n";

/// Compares what Linux listed with the model, and fails if its log has a complaint.
fn check_listing(said: &str, model: &Model) {
    let mut lines = Vec::new();
    expected(model, 0, "", &mut lines);
    lines.sort();
    let is_line = |line: &&str| ["F ", "D ", "L "].into_iter().any(|start| line.starts_with(start));
    let mut found: Vec<_> = said.lines().filter(is_line).map(str::to_owned).collect();
    found.sort();
    assert!(!said.contains("EXT4-fs error") && !said.contains("EXT4-fs warning"), "{said}");
    let missing: Vec<_> = lines.iter().filter(|line| !found.contains(line)).collect();
    let extra: Vec<_> = found.iter().filter(|line| !lines.contains(line)).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:?}, extra {extra:?}: {said}");
}

/// Random operations, then Linux reads the image, with our journal to replay or without.
#[test]
fn linux_reads_what_we_wrote() {
    if !long() {
        return;
    }
    for (seed, dirty) in [(1, false), (2, true)] {
        let disk = MemoryDisk::new(mkfs(64, MODERN));
        let mut pair = Pair::new(Mounted(mount(&disk)), seed);
        for _ in 0..1500 {
            assert!(matches!(pair.step(), Outcome::Done));
        }
        block_on(pair.mounted.0.sync()).expect("sync");
        let image = if dirty {
            disk.with(|bytes| bytes.clone())
        } else {
            block_on(pair.mounted.0.unmount()).expect("unmount");
            disk.with(|bytes| bytes.clone())
        };
        let script = format!("mount -t ext4 /dev/vda /m && {LIST} umount /m; dmesg | grep EXT4\n");
        let Some((said, after)) = run_linux(&image, &script) else { return };
        check_listing(&said, &pair.model);
        check_clean(&after);
        // And back: what Linux left is read by us.
        check_tree(&Mounted(mount(&MemoryDisk::new(after))), &pair.model, 0, 2);
    }
}

/// Linux writes and loses power; we replay its journal and find what it had synced.
#[test]
fn we_read_what_linux_wrote() {
    let script = "mount -t ext4 -o commit=1 /dev/vda /m\n\
        mkdir /m/d; i=0; while [ $i -lt 300 ]; do echo $i > /m/d/name-$i; i=$((i+1)); done\n\
        head -c 3000000 /dev/zero | tr '\\0' x > /m/big; ln -s big /m/link; ln /m/big /m/hard\n\
        rm /m/d/name-7; mv /m/d/name-8 /m/moved; mknod /m/c c 5 1; mkfifo /m/p\n\
        sync; echo late > /m/late; sleep 2; echo o > /proc/sysrq-trigger; sleep 9\n";
    if !long() {
        return;
    }
    for arguments in [MODERN, &["-b", "1024"]] {
        let Some((said, image)) = run_linux(&mkfs(64, arguments), script) else { return };
        let dirty = crate::common::tool("dumpe2fs", &["-h"], write_image(&image).path()).1;
        assert!(dirty.contains("needs_recovery"), "Linux left nothing to replay: {said}");
        let disk = MemoryDisk::new(image);
        let mounted = Mounted(mount(&disk));
        let find = |directory, name: &str| block_on(mounted.0.lookup(directory, name.as_bytes()));
        let directory = find(2, "d").expect("d");
        for number in 0..300 {
            let found = find(directory, &format!("name-{number}"));
            assert_eq!(found.is_ok(), number != 7 && number != 8, "name-{number}");
            if let Ok(file) = found {
                assert_eq!(mounted.read_all(file), format!("{number}\n").into_bytes());
            }
        }
        let big = find(2, "big").expect("big");
        assert_eq!(find(2, "hard"), Ok(big));
        assert!(mounted.read_all(big) == vec![b'x'; 3_000_000]);
        let link = find(2, "link").expect("link");
        assert_eq!(block_on(mounted.0.readlink(link)), Ok(b"big".to_vec()));
        let moved = find(2, "moved").expect("moved");
        assert_eq!(mounted.read_all(moved), b"8\n");
        let device = block_on(mounted.0.attributes(find(2, "c").expect("c"))).expect("attributes");
        assert_eq!(device.device, (5, 1));
        block_on(mounted.0.unmount()).expect("unmount");
        check_clean(&disk.with(|bytes| bytes.clone()));
    }
}
